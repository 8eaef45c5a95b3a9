//! The Windows build, on Linux and on Windows.

use anyhow::bail;
use xshell::{Shell, cmd};

use super::wine;

const WINDOWS: &str = "x86_64-pc-windows-gnu";

/// The members that support every system. The emulator works below libqat, which exists for Linux only.
const PORTABLE: &[&str] = &["--locked", "--workspace", "--exclude=qat-emu", "--exclude=xtask"];

/// Cross-compiles the workspace, and runs the unit tests under Wine.
pub(super) fn gnu(sh: &Shell) -> anyhow::Result<()> {
    if let Err(error) = cmd!(sh, "rustup target add {WINDOWS}").run() {
        bail!("{error}; if the target cannot be installed, the public Windows runner runs this job");
    }
    cmd!(sh, "cargo build {PORTABLE...} --target {WINDOWS}").run()?;
    let _wine = wine::start(sh)?;
    Ok(cmd!(sh, "cargo test {PORTABLE...} --target {WINDOWS} --lib --bins").run()?)
}

/// Runs the unit tests on the system of the runner.
pub(super) fn native(sh: &Shell) -> anyhow::Result<()> {
    cmd!(sh, "cargo build {PORTABLE...}").run()?;
    Ok(cmd!(sh, "cargo test {PORTABLE...} --lib --bins").run()?)
}
