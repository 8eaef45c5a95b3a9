//! The jobs that read the code and do not run it.

use std::path::PathBuf;

use anyhow::{Context as _, bail};
use xshell::{Shell, cmd};

use super::run::GAP;
use crate::workspace::{UNIFIED, target_dir};
use crate::{flags, tools};

/// The members with optional features, which the other jobs enable.
pub(super) const VOCABULARY: &[&str] = &["--package=qat-accel-core", "--package=qat-capability-registry"];

pub(super) fn fmt(sh: &Shell) -> anyhow::Result<()> {
    Ok(cmd!(sh, "cargo fmt --all --check").run()?)
}

pub(super) fn drift(sh: &Shell) -> anyhow::Result<()> {
    flags::Bindgen { check: true }.run(sh)?;
    flags::Symbols { check: true }.run(sh)
}

pub(super) fn clippy(sh: &Shell) -> anyhow::Result<()> {
    cmd!(sh, "cargo clippy {UNIFIED...} --all-targets -- -D warnings").run()?;
    cmd!(sh, "cargo clippy --locked {VOCABULARY...} --all-targets -- -D warnings").run()?;
    Ok(())
}

pub(super) fn msrv(sh: &Shell) -> anyhow::Result<()> {
    let manifest = sh.read_file("Cargo.toml")?;
    let version = manifest.lines().find_map(|line| line.strip_prefix("rust-version = "));
    let version = version.context("Cargo.toml names no rust-version")?.trim_matches('"').to_owned();
    cmd!(sh, "rustup toolchain install --profile minimal --no-self-update {version}").run()?;
    // rustup is called by name, because `cargo` may be that of a toolchain and not rustup's.
    let target = target_dir().join("msrv");
    cmd!(sh, "rustup run {version} cargo check {UNIFIED...} --all-targets --target-dir {target}").run()?;
    Ok(())
}

/// The version of cargo-deny that `deny.toml` is written for.
const CARGO_DENY: &str = "0.20.2";

/// Checks licences, bans and sources, and advisories if their database, a Git repository, can be downloaded.
pub(super) fn deny(sh: &Shell) -> anyhow::Result<()> {
    let program = cargo_deny(sh)?;
    cmd!(sh, "{program} --locked check licenses bans sources").run()?;
    let database = "https://github.com/rustsec/advisory-db";
    let answers = cmd!(sh, "timeout 30 git ls-remote --heads {database}").ignore_stdout().quiet().run();
    if answers.is_err() {
        println!(
            "{GAP}security advisories of the dependencies, since their database at {database} cannot be reached \
             from here. Licences, bans and sources were checked."
        );
        return Ok(());
    }
    Ok(cmd!(sh, "{program} --locked check advisories").run()?)
}

/// Returns the installed cargo-deny, or one that is built below target.
fn cargo_deny(sh: &Shell) -> anyhow::Result<PathBuf> {
    if tools::found(sh, "cargo-deny") {
        return Ok(PathBuf::from("cargo-deny"));
    }
    let root = target_dir().join("tools");
    let program = root.join("bin/cargo-deny");
    if !program.is_file() {
        println!("building cargo-deny {CARGO_DENY}, once");
        // cargo-deny runs for seconds, and optimising it would take minutes.
        let _fast = [
            sh.push_env("CARGO_PROFILE_DEV_DEBUG", "0"),
            sh.push_env("CARGO_TARGET_DIR", root.join("build")),
        ];
        cmd!(sh, "cargo install --quiet --locked --debug --root {root} cargo-deny@{CARGO_DENY}").run()?;
    }
    if !program.is_file() {
        bail!("cargo install did not create {}", program.display());
    }
    Ok(program)
}
