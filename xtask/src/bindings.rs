//! The C interface in `qat-sys`: generated bindings, the table of functions, and the differences between releases.

#[cfg(feature = "bindgen")]
mod bindgen;
#[cfg(feature = "bindgen")]
mod layout;
// Without the feature `bindgen`, only a part of this module is used.
#[cfg_attr(not(feature = "bindgen"), allow(dead_code))]
mod symbols;

/// The committed list of functions, an invocation of the macro that defines the symbol table.
const FUNCTIONS: &str = "qat-sys/src/functions.rs";

#[cfg(not(feature = "bindgen"))]
impl crate::flags::Bindgen {
    /// Builds xtask with the feature `bindgen`, and runs the task there.
    pub(crate) fn run(self, sh: &xshell::Shell) -> anyhow::Result<()> {
        use crate::workspace::{UNIFIED, target_dir};

        xshell::cmd!(sh, "cargo build {UNIFIED...} --bin xtask").quiet().run()?;
        let program = target_dir().join("debug/xtask");
        let check = self.check.then_some("--check");
        Ok(xshell::cmd!(sh, "{program} bindgen {check...}").quiet().run()?)
    }
}
