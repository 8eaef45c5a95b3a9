//! The jobs that run code: tests, documentation, examples and benches, all from one build.

use std::path::{Path, PathBuf};

use anyhow::{Context as _, ensure};
use xshell::{PushEnv, Shell, cmd};

use super::checks::VOCABULARY;
use crate::libqat;
use crate::workspace::{UNIFIED, target_dir};

/// The file with the Python packages that the interoperability tests compare with, and their versions.
const PYTHON_REQUIREMENTS: &str = "qat/tests/support/python-requirements.txt";

/// Compiles and downloads what the other jobs run.
pub(super) fn build(sh: &Shell) -> anyhow::Result<()> {
    // The programs are downloaded here, because two jobs that run at the same time need them.
    for release in libqat::RELEASES {
        libqat::programs(sh, release)?;
    }
    Ok(cmd!(sh, "cargo test {UNIFIED...} --all-targets --no-run").run()?)
}

/// Runs all tests, and requires every optional part.
pub(super) fn test(sh: &Shell) -> anyhow::Result<()> {
    let _demand = demand(sh)?;
    // `--tests` includes the tests of libraries and programs; examples and benches are separate jobs.
    cmd!(sh, "cargo test {UNIFIED...} --tests").run()?;
    cmd!(sh, "cargo test --locked {VOCABULARY...} --tests").run()?;
    Ok(())
}

/// Sets the environment in which the tests find libraries and tools. With it, a missing one is a failure.
fn demand(sh: &Shell) -> anyhow::Result<[PushEnv<'_>; 6]> {
    let libraries = |release| libqat::libraries(sh, libqat::release(None, release)?);
    let (old, new) = (libraries("24.02")?, libraries("26.08")?);
    // Where the C library is older than 26.08 requires, the tests use this loader.
    let programs = libqat::programs(sh, libqat::release(None, "24.02")?)?.join(libqat::LIB);
    let python = tink_python(sh)?;
    Ok([
        sh.push_env("QAT_TEST_LIBQAT_2402", old),
        sh.push_env("QAT_TEST_LIBQAT_2608", new),
        sh.push_env("QAT_TEST_LOADER_DIR", programs),
        sh.push_env("QAT_TEST_REQUIRE_LIBQAT", "1"),
        sh.push_env("QAT_TEST_REQUIRE_ISAL", "1"),
        sh.push_env("QAT_TEST_TINK_PYTHON", python),
    ])
}

/// Returns a Python with Tink and zstandard, in an environment below target.
fn tink_python(sh: &Shell) -> anyhow::Result<PathBuf> {
    let venv = target_dir().join("tink");
    let python = venv.join("bin/python");
    if cmd!(sh, "{python} -c 'import tink, zstandard'").quiet().ignore_stderr().run().is_err() {
        cmd!(sh, "python3 -m venv --clear {venv}").run()?;
        let install = ["--quiet", "--disable-pip-version-check", "--requirement", PYTHON_REQUIREMENTS];
        cmd!(sh, "{python} -m pip install {install...}").run()?;
    }
    Ok(python)
}

/// Tests `qat-sys` linked against libqat, which pkg-config finds.
pub(super) fn linked(sh: &Shell) -> anyhow::Result<()> {
    let root = libqat::unpacked(sh, libqat::release(None, "24.02")?)?;
    let libraries = root.join(libqat::LIB);
    let _found = [
        sh.push_env("PKG_CONFIG_PATH", libraries.join("pkgconfig")),
        sh.push_env("PKG_CONFIG_SYSROOT_DIR", &root),
        sh.push_env("LD_LIBRARY_PATH", &libraries),
        sh.push_env("QAT_TEST_LIBQAT_2402", &libraries),
    ];
    Ok(cmd!(sh, "cargo test --locked --package qat-sys --features linked").run()?)
}

/// Builds the documentation, and runs the examples in it.
pub(super) fn docs(sh: &Shell) -> anyhow::Result<()> {
    let _warnings = sh.push_env("RUSTDOCFLAGS", "-D warnings");
    cmd!(sh, "cargo doc {UNIFIED...} --no-deps").run()?;
    cmd!(sh, "cargo test {UNIFIED...} --doc").run()?;
    Ok(())
}

/// The members with examples.
const WITH_EXAMPLES: &[&str] = &["accel-core", "capability-registry", "qat-sys", "qat", "qat-cli"];

/// Runs every example of every member, with the arguments that it needs.
pub(super) fn examples(sh: &Shell) -> anyhow::Result<()> {
    // Two of the examples are about Intel's library.
    let libraries = libqat::libraries(sh, libqat::release(None, "24.02")?)?;
    let _libraries = [
        sh.push_env("QAT_LIBRARY", libraries.join("libqat.so.4")),
        sh.push_env("USDM_LIBRARY", libraries.join("libusdm.so.0")),
    ];
    let arguments = |name: &str| match name {
        "pipe" => vec!["gzip".to_owned(), "fast".to_owned()],
        "assets" => vec![target_dir().join("dist").display().to_string()],
        _ => Vec::new(),
    };
    cmd!(sh, "cargo build {UNIFIED...} --examples").run()?;
    for member in WITH_EXAMPLES {
        let files = sh.read_dir(Path::new(member).join("examples")).unwrap_or_default();
        ensure!(!files.is_empty(), "{member} has no example");
        for file in files {
            let name = file.file_stem().and_then(|stem| stem.to_str()).context("an example's name")?;
            let given = arguments(name);
            let program = target_dir().join("debug/examples").join(name);
            println!("     Running {member}/examples/{name}");
            cmd!(sh, "{program} {given...}").stdin("to be or not to be").ignore_stdout().run()?;
        }
    }
    Ok(())
}

/// Runs each bench once, as a test. They are listed by name, because `--benches` includes the unit tests.
pub(super) fn bench_smoke(sh: &Shell) -> anyhow::Result<()> {
    let mut benches = Vec::new();
    for member in WITH_EXAMPLES {
        for file in sh.read_dir(Path::new(member).join("benches")).unwrap_or_default() {
            if file.extension().is_some_and(|end| end == "rs") {
                let name = file.file_stem().and_then(|stem| stem.to_str()).context("a bench's name")?;
                benches.push(format!("--bench={name}"));
            }
        }
    }
    ensure!(!benches.is_empty(), "no bench was found");
    Ok(cmd!(sh, "cargo test --quiet {UNIFIED...} {benches...}").run()?)
}
