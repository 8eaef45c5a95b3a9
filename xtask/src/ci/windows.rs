//! The Windows build, on Linux and on Windows itself.

use anyhow::bail;
use xshell::{Shell, cmd};

use super::wine;

const WINDOWS: &str = "x86_64-pc-windows-gnu";

/// The members for every system: the emulator stands below libqat, which is Linux's.
const PORTABLE: &[&str] = &["--locked", "--workspace", "--exclude=qat-emu", "--exclude=xtask"];

/// Cross-compiled, and run under Wine.
pub(super) fn gnu(sh: &Shell) -> anyhow::Result<()> {
    if let Err(error) = cmd!(sh, "rustup target add {WINDOWS}").run() {
        bail!("{error}; where the target cannot be installed, the public Windows runner shows this job");
    }
    cmd!(sh, "cargo build {PORTABLE...} --target {WINDOWS}").run()?;
    let _wine = wine::start(sh)?;
    Ok(cmd!(sh, "cargo test {PORTABLE...} --target {WINDOWS} --lib --bins").run()?)
}

/// On whatever system this is.
pub(super) fn native(sh: &Shell) -> anyhow::Result<()> {
    cmd!(sh, "cargo build {PORTABLE...}").run()?;
    Ok(cmd!(sh, "cargo test {PORTABLE...} --lib --bins").run()?)
}
