//! Functions that all tasks use: paths, the selection of packages to build, and generated files that are committed.

use std::path::{Path, PathBuf};

use anyhow::{Context as _, bail};
use xshell::{Shell, cmd};

/// The options of each build of the test run: all members, and the optional features of the independent crates. Cargo
/// then selects the same features each time and compiles each dependency once.
pub(crate) const UNIFIED: &[&str] = &[
    "--locked",
    "--workspace",
    "--features=qat-accel-core/serde,qat-capability-registry/serde,xtask/bindgen",
];

/// The environment variable that is set once a test run has built everything. Tasks that the run starts then build
/// nothing, because that would replace programs that other jobs are running.
pub(crate) const BUILT: &str = "QAT_XTASK_BUILT";

/// Returns the directory of the workspace.
pub(crate) fn project_root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("xtask lies in the workspace")
}

/// Returns Cargo's target directory, in which tasks also keep what they downloaded.
pub(crate) fn target_dir() -> PathBuf {
    let given = std::env::var_os("CARGO_TARGET_DIR").and_then(|dir| std::path::absolute(dir).ok());
    given.unwrap_or_else(|| project_root().join("target"))
}

/// Builds the program and the library of `qat-emu`, unless a test run has built them, and returns the path of the
/// program.
pub(crate) fn emulator(sh: &Shell) -> anyhow::Result<PathBuf> {
    if std::env::var_os(BUILT).is_none() {
        cmd!(sh, "cargo build --locked --package qat-emu").quiet().run()?;
    }
    Ok(target_dir().join("debug/qat-emu"))
}

/// Writes `text` to the committed file `path`. With `check`, fails instead when the file differs, and names the command
/// to run.
pub(crate) fn ensure_file_contents(
    sh: &Shell,
    path: &str,
    text: &str,
    check: bool,
    command: &str,
) -> anyhow::Result<()> {
    let committed = project_root().join(path);
    let old = std::fs::read_to_string(&committed).unwrap_or_default();
    if old == text {
        return Ok(());
    }
    if !check {
        std::fs::write(&committed, text).with_context(|| format!("cannot write {}", committed.display()))?;
        eprintln!("{path} updated");
        return Ok(());
    }
    let fresh = target_dir().join("xtask-fresh").join(Path::new(path).file_name().expect("a file path"));
    sh.write_file(&fresh, text)?;
    // diff exits with 1, because the files differ.
    cmd!(sh, "diff -u {committed} {fresh}").ignore_status().quiet().run()?;
    bail!("{path} is out of date; run `{command}` and commit the result")
}
