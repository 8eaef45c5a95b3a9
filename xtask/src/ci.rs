//! `cargo xtask test` and `cargo xtask ci JOB`: the same jobs on a developer's machine and on every runner.

use std::path::Path;
use std::time::Instant;

use anyhow::{Context as _, bail, ensure};
use xshell::{Shell, cmd};

use crate::{flags, libqat, memory, pins, samples, wine};

/// A job: its name, whether `cargo xtask test` runs it, what it proves, and how.
struct Job {
    name: &'static str,
    in_test: bool,
    about: &'static str,
    run: fn(&Shell) -> anyhow::Result<()>,
}

const fn job(
    name: &'static str,
    in_test: bool,
    about: &'static str,
    run: fn(&Shell) -> anyhow::Result<()>,
) -> Job {
    Job { name, in_test, about, run }
}

/// In the order of a test run: what fails fast comes first.
const JOBS: &[Job] = &[
    job("fmt", true, "the formatting", fmt),
    job("tidy", true, "the rules that no compiler checks", |sh| flags::Tidy {}.run(sh)),
    job("drift", true, "bindings and coverage table against both releases of libqat", drift),
    job("clippy", true, "lints, in every feature combination that changes code", clippy),
    job("test", true, "unit, conformance, vector, interoperability and command tests", test),
    job("linked", true, "qat-sys linked against libqat instead of loading it", linked),
    job("valgrind", true, "memcheck over libqat, the emulated device and ours", memory::memcheck),
    job("samples", true, "Intel's own programs on emulated devices", samples::samples),
    job("docs", true, "documentation without warnings, and its examples", docs),
    job("examples", true, "every example, run", examples),
    job("bench-smoke", true, "benches, one pass each", bench_smoke),
    job("fuzz-smoke", true, "fuzz targets, some seconds each", fuzz_smoke),
    job("msrv", true, "the oldest supported compiler", msrv),
    job("windows-gnu", true, "the Windows build, and its unit tests under Wine", windows_gnu),
    job("miri", false, "the bookkeeping of requests under Miri, on a nightly that has it", memory::miri),
    job("native", false, "unit tests on a runner without Debian's packages (Windows, macOS)", native),
    job("deny", false, "licences, advisories and sources of the dependencies", deny),
];

impl flags::Test {
    pub(crate) fn run(self, sh: &Shell) -> anyhow::Result<()> {
        let start = Instant::now();
        if self.install {
            install(sh)?;
        }
        check_tools(sh)?;
        for job in JOBS.iter().filter(|job| job.in_test) {
            timed(sh, job)?;
        }
        println!("\nall jobs passed in {} s", start.elapsed().as_secs());
        Ok(())
    }
}

impl flags::Ci {
    pub(crate) fn run(self, sh: &Shell) -> anyhow::Result<()> {
        if self.job == "list" {
            for job in JOBS {
                println!("{:<12} {}", job.name, job.about);
            }
            return Ok(());
        }
        let job = JOBS.iter().find(|job| job.name == self.job);
        timed(sh, job.with_context(|| format!("no job {:?}: see `cargo xtask ci list`", self.job))?)
    }
}

fn timed(sh: &Shell, job: &Job) -> anyhow::Result<()> {
    println!("\n==> {}: {}", job.name, job.about);
    let start = Instant::now();
    (job.run)(sh).with_context(|| format!("job {} failed; again with `cargo xtask ci {0}`", job.name))?;
    println!("==> {} took {} s", job.name, start.elapsed().as_secs());
    Ok(())
}

/// A program that tests run, and the Debian package that has it.
const TOOLS: &[(&str, &str)] = &[
    ("cc", "gcc"),
    ("c++", "g++"),
    ("gzip", "gzip"),
    ("pigz", "pigz"),
    ("igzip", "isal"),
    ("lz4", "lz4"),
    ("zstd", "zstd"),
    ("openssl", "openssl"),
    ("strace", "strace"),
    ("valgrind", "valgrind"),
    ("python3", "python3"),
    ("pkg-config", "pkg-config"),
    ("x86_64-w64-mingw32-gcc", "gcc-mingw-w64-x86-64"),
    ("wine", "wine"),
];

/// Packages without a program of their own to look for.
const LIBRARIES: &[&str] = &["libisal2", "libclang-dev", "libssl-dev", "python3-venv", "ca-certificates"];

fn found(sh: &Shell, program: &str) -> bool {
    cmd!(sh, "sh -c 'command -v $0' {program}").quiet().ignore_stdout().ignore_stderr().run().is_ok()
}

fn install(sh: &Shell) -> anyhow::Result<()> {
    ensure!(found(sh, "apt-get"), "--install knows Debian and Ubuntu only: install the tools by hand");
    let packages: Vec<&str> =
        TOOLS.iter().map(|(_, package)| *package).chain(LIBRARIES.iter().copied()).collect();
    let apt: &[&str] =
        if cmd!(sh, "id -u").quiet().read()? == "0" { &["apt-get"] } else { &["sudo", "-E", "apt-get"] };
    let (program, rest) = (apt[0], &apt[1..]);
    let _quiet = sh.push_env("DEBIAN_FRONTEND", "noninteractive");
    cmd!(sh, "{program} {rest...} update -q").run()?;
    cmd!(sh, "{program} {rest...} install -q -y --no-install-recommends {packages...}").run()?;
    Ok(())
}

fn check_tools(sh: &Shell) -> anyhow::Result<()> {
    let missing: Vec<&str> =
        TOOLS.iter().filter(|(program, _)| !found(sh, program)).map(|(_, package)| *package).collect();
    ensure!(
        missing.is_empty(),
        "the tests need Debian packages that are not installed: {}; `cargo xtask test --install` installs them",
        missing.join(" ")
    );
    Ok(())
}

/// A Python that has Tink, in an environment below target.
fn tink_python(sh: &Shell) -> anyhow::Result<std::path::PathBuf> {
    let venv = crate::target_dir().join("tink");
    let python = venv.join("bin/python");
    if cmd!(sh, "{python} -c 'import tink'").quiet().ignore_stderr().run().is_err() {
        cmd!(sh, "python3 -m venv --clear {venv}").run()?;
        let version = pins::TINK;
        cmd!(sh, "{python} -m pip install --quiet --disable-pip-version-check tink=={version}").run()?;
    }
    Ok(python)
}

pub(crate) fn release(name: &str) -> anyhow::Result<&'static pins::Release> {
    pins::RELEASES.iter().find(|release| release.name == name).context("a pinned release")
}

fn fmt(sh: &Shell) -> anyhow::Result<()> {
    Ok(cmd!(sh, "cargo fmt --all --check").run()?)
}

fn drift(sh: &Shell) -> anyhow::Result<()> {
    flags::Bindgen { check: true }.run(sh)?;
    flags::Symbols { check: true }.run(sh)
}

fn clippy(sh: &Shell) -> anyhow::Result<()> {
    cmd!(sh, "cargo clippy --locked --workspace --all-targets -- -D warnings").run()?;
    cmd!(sh, "cargo clippy --locked {VOCABULARY...} --all-features --all-targets -- -D warnings").run()?;
    Ok(())
}

/// The members with features that change their code.
const VOCABULARY: &[&str] = &["-p=accel-core", "-p=capability-registry"];

/// Everything that `cargo test` knows, with every optional part demanded.
fn test(sh: &Shell) -> anyhow::Result<()> {
    let (old, new) = (libqat::libraries(sh, release("24.02")?)?, libqat::libraries(sh, release("26.08")?)?);
    // Where the C library is older than 26.08 asks for, tests run it with this loader.
    let programs = libqat::programs(sh, release("24.02")?)?.join(libqat::LIB);
    let python = tink_python(sh)?;
    let _demand = [
        sh.push_env("QAT_TEST_LIBQAT_2402", old),
        sh.push_env("QAT_TEST_LIBQAT_2608", new),
        sh.push_env("QAT_TEST_LOADER_DIR", programs),
        sh.push_env("QAT_TEST_REQUIRE_LIBQAT", "1"),
        sh.push_env("QAT_TEST_REQUIRE_ISAL", "1"),
        sh.push_env("QAT_TEST_TINK_PYTHON", python),
    ];
    cmd!(sh, "cargo test --locked --workspace --all-targets").run()?;
    cmd!(sh, "cargo test --locked {VOCABULARY...} --all-features --all-targets").run()?;
    Ok(())
}

fn linked(sh: &Shell) -> anyhow::Result<()> {
    let root = libqat::unpacked(sh, release("24.02")?)?;
    let libraries = root.join(libqat::LIB);
    let _found = [
        sh.push_env("PKG_CONFIG_PATH", libraries.join("pkgconfig")),
        sh.push_env("PKG_CONFIG_SYSROOT_DIR", &root),
        sh.push_env("LD_LIBRARY_PATH", &libraries),
        sh.push_env("QAT_TEST_LIBQAT_2402", &libraries),
    ];
    Ok(cmd!(sh, "cargo test --locked --package qat-sys --features linked").run()?)
}

fn docs(sh: &Shell) -> anyhow::Result<()> {
    let _warnings = sh.push_env("RUSTDOCFLAGS", "-D warnings");
    cmd!(sh, "cargo doc --locked --workspace --no-deps").run()?;
    cmd!(sh, "cargo test --locked --workspace --doc").run()?;
    Ok(())
}

/// Runs every example of every member: the name, and what it is given.
fn examples(sh: &Shell) -> anyhow::Result<()> {
    // Intel's library is what two of them are about.
    let libraries = libqat::libraries(sh, release("24.02")?)?;
    let _libraries = [
        sh.push_env("QAT_LIBRARY", libraries.join("libqat.so.4")),
        sh.push_env("USDM_LIBRARY", libraries.join("libusdm.so.0")),
    ];
    let arguments = |name: &str| match name {
        "pipe" => vec!["gzip".to_owned(), "fast".to_owned()],
        "assets" => vec![crate::target_dir().join("dist").display().to_string()],
        _ => Vec::new(),
    };
    // All at once, as the tests built them: one by one they would be built again with fewer features.
    cmd!(sh, "cargo build --locked --workspace --examples").run()?;
    for member in ["accel-core", "capability-registry", "qat-sys", "qat", "qat-cli", "qat-emu"] {
        let dir = Path::new(member).join("examples");
        let files = sh.read_dir(&dir).unwrap_or_default();
        ensure!(!files.is_empty() || member == "qat-emu", "{member} has no example");
        for file in files {
            let name = file.file_stem().and_then(|stem| stem.to_str()).context("an example's name")?;
            let given = arguments(name);
            let program = crate::target_dir().join("debug/examples").join(name);
            cmd!(sh, "{program} {given...}").stdin("to be or not to be").ignore_stdout().run()?;
        }
    }
    Ok(())
}

fn bench_smoke(sh: &Shell) -> anyhow::Result<()> {
    Ok(cmd!(sh, "cargo test --quiet --locked --workspace --benches").run()?)
}

/// The fuzz targets on stable Rust: coverage counters are plain code generation options, cargo-fuzz is not needed.
fn fuzz_smoke(sh: &Shell) -> anyhow::Result<()> {
    let target = crate::target_dir().join("fuzz");
    let flags = [
        "--cfg fuzzing",
        "-Cpasses=sancov-module",
        "-Cllvm-args=-sanitizer-coverage-level=4",
        "-Cllvm-args=-sanitizer-coverage-inline-8bit-counters",
        "-Cllvm-args=-sanitizer-coverage-pc-table",
        "-Ccodegen-units=1",
        "-Cdebug-assertions",
    ];
    let triple = cmd!(sh, "rustc -vV").quiet().read()?;
    let host = triple.lines().find_map(|line| line.strip_prefix("host: ")).context("rustc names its host")?;
    {
        let _flags = [sh.push_env("RUSTFLAGS", flags.join(" ")), sh.push_env("CARGO_TARGET_DIR", &target)];
        // With an explicit target the flags stay away from build scripts, which have no counters to link with.
        cmd!(sh, "cargo build --locked --release --manifest-path fuzz/Cargo.toml --bins --target {host}")
            .run()?;
    }
    let mut ran = 0;
    for file in sh.read_dir("fuzz/fuzz_targets")? {
        let name = file.file_stem().and_then(|stem| stem.to_str()).context("a target's name")?;
        let program = target.join(host).join("release").join(name);
        cmd!(sh, "{program} -max_total_time=5 -rss_limit_mb=4096 -verbosity=0 -print_final_stats=1").run()?;
        ran += 1;
    }
    ensure!(ran > 0, "no fuzz target ran");
    Ok(())
}

fn msrv(sh: &Shell) -> anyhow::Result<()> {
    let manifest = sh.read_file("Cargo.toml")?;
    let version = manifest.lines().find_map(|line| line.strip_prefix("rust-version = "));
    let version = version.context("Cargo.toml names no rust-version")?.trim_matches('"').to_owned();
    cmd!(sh, "rustup toolchain install --profile minimal --no-self-update {version}").run()?;
    // Asked for by name, since `cargo` here may be a toolchain's own and not rustup's.
    cmd!(sh, "rustup run {version} cargo check --locked --workspace --all-targets --target-dir target/msrv")
        .run()?;
    Ok(())
}

const WINDOWS: &str = "x86_64-pc-windows-gnu";

/// The members for every system: the emulator stands below libqat, which is Linux's.
const PORTABLE: &[&str] = &["--workspace", "--exclude=qat-emu", "--exclude=xtask"];

fn windows_gnu(sh: &Shell) -> anyhow::Result<()> {
    if let Err(error) = cmd!(sh, "rustup target add {WINDOWS}").run() {
        bail!("{error}; where the target cannot be installed, the public Windows runner shows this job");
    }
    cmd!(sh, "cargo build --locked {PORTABLE...} --target {WINDOWS}").run()?;
    let _wine = wine::start(sh)?;
    Ok(cmd!(sh, "cargo test --locked {PORTABLE...} --target {WINDOWS} --lib --bins").run()?)
}

fn native(sh: &Shell) -> anyhow::Result<()> {
    cmd!(sh, "cargo build --locked {PORTABLE...}").run()?;
    Ok(cmd!(sh, "cargo test --locked {PORTABLE...} --lib --bins").run()?)
}

fn deny(sh: &Shell) -> anyhow::Result<()> {
    if !found(sh, "cargo-deny") {
        cmd!(sh, "cargo install --quiet --locked cargo-deny").run()?;
    }
    Ok(cmd!(sh, "cargo deny check").run()?)
}
