//! The C interface as `qat-sys` has it: generated bindings, the table of functions, and what differs between releases.

#[cfg(feature = "bindgen")]
mod bindgen;
#[cfg(feature = "bindgen")]
mod layout;
// What generates the bindings uses all of it.
#[cfg_attr(not(feature = "bindgen"), allow(dead_code))]
mod symbols;

/// The committed list of functions, an invocation of the macro that makes the symbol table.
const FUNCTIONS: &str = "qat-sys/src/functions.rs";

#[cfg(not(feature = "bindgen"))]
impl crate::flags::Bindgen {
    /// Builds these tasks with bindgen, and lets them do it.
    pub(crate) fn run(self, sh: &xshell::Shell) -> anyhow::Result<()> {
        use crate::workspace::{UNIFIED, target_dir};

        xshell::cmd!(sh, "cargo build {UNIFIED...} --bin xtask").quiet().run()?;
        let program = target_dir().join("debug/xtask");
        let check = self.check.then_some("--check");
        Ok(xshell::cmd!(sh, "{program} bindgen {check...}").quiet().run()?)
    }
}
