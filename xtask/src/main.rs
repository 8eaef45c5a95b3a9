//! The project's own tasks; run with `cargo xtask`.
#![forbid(unsafe_code)]

mod apt;
mod bench;
mod bindgen;
mod ci;
mod corpus;
mod dist;
mod emu;
mod flags;
mod headers;
mod layout;
mod libqat;
mod memory;
mod offload;
mod pins;
mod samples;
mod symbols;
mod tidy;
mod wine;

use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::{Context as _, bail};
use xshell::Shell;

fn main() -> ExitCode {
    match run() {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn run() -> anyhow::Result<()> {
    let flags = flags::Xtask::from_env_or_exit();
    let sh = &Shell::new()?;
    sh.change_dir(project_root());
    match flags.subcommand {
        flags::XtaskCmd::Headers(cmd) => cmd.run(sh),
        flags::XtaskCmd::Libqat(cmd) => cmd.run(sh),
        flags::XtaskCmd::Emu(cmd) => cmd.run(sh),
        flags::XtaskCmd::Bindgen(cmd) => cmd.run(sh),
        flags::XtaskCmd::Symbols(cmd) => cmd.run(sh),
        flags::XtaskCmd::Test(cmd) => cmd.run(sh),
        flags::XtaskCmd::Ci(cmd) => cmd.run(sh),
        flags::XtaskCmd::Tidy(cmd) => cmd.run(sh),
        flags::XtaskCmd::Bench(cmd) => cmd.run(sh),
        flags::XtaskCmd::Dist(cmd) => cmd.run(sh),
    }
}

fn project_root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("xtask lies in the workspace")
}

/// Where Cargo builds, and so where tasks may leave what they fetched.
fn target_dir() -> PathBuf {
    let given = std::env::var_os("CARGO_TARGET_DIR").and_then(|dir| std::path::absolute(dir).ok());
    given.unwrap_or_else(|| project_root().join("target"))
}

/// Writes `text` to the committed file `path`, or, to check, fails when the file differs and names the command to run.
fn ensure_file_contents(
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
    // diff exits with 1 when the files differ, as they do here.
    xshell::cmd!(sh, "diff -u {committed} {fresh}").ignore_status().quiet().run()?;
    bail!("{path} is stale: run `{command}` and commit the result")
}
