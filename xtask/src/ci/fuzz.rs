//! The fuzz targets. Coverage counters are ordinary code generation options, so that cargo-fuzz is not needed.

use std::path::Path;

use anyhow::{Context as _, ensure};
use xshell::{Shell, cmd};

use crate::workspace::target_dir;

/// The code generation options that libFuzzer needs in the code that it runs.
const COVERAGE: &[&str] = &[
    "--cfg fuzzing",
    "-Cpasses=sancov-module",
    "-Cllvm-args=-sanitizer-coverage-level=4",
    "-Cllvm-args=-sanitizer-coverage-inline-8bit-counters",
    "-Cllvm-args=-sanitizer-coverage-pc-table",
    "-Cdebug-assertions",
];

/// Builds the fuzz targets with stable Rust, and runs each for some seconds.
pub(super) fn smoke(sh: &Shell) -> anyhow::Result<()> {
    fuzz(sh, &["cargo"], &target_dir().join("fuzz"), COVERAGE, 5)
}

/// Builds the fuzz targets with AddressSanitizer, and runs each for `QAT_FUZZ_SECONDS` seconds, five minutes by
/// default. The C libraries are instrumented as well, because the crate that compiles them reads the sanitizer from
/// rustc's flags.
pub(super) fn address_sanitizer(sh: &Shell) -> anyhow::Result<()> {
    let seconds = match std::env::var("QAT_FUZZ_SECONDS") {
        Ok(seconds) => seconds.parse().context("QAT_FUZZ_SECONDS must be a number of seconds")?,
        Err(_) => 300,
    };
    let target = target_dir().join("fuzz-asan");
    // libdeflate, lz4 and zstd keep contexts per thread until the process ends, which would be reported as leaks.
    let _options = sh.push_env("ASAN_OPTIONS", "detect_leaks=0");
    let flags: Vec<&str> = COVERAGE.iter().copied().chain(["-Zsanitizer=address"]).collect();
    fuzz(sh, &["rustup", "run", "nightly", "cargo"], &target, &flags, seconds)
}

/// Builds the fuzz targets with `cargo` and `flags`, and runs each for `seconds`, even if another one fails. Their
/// corpora are kept below `target`, so that the next run continues from them.
fn fuzz(sh: &Shell, cargo: &[&str], target: &Path, flags: &[&str], seconds: u32) -> anyhow::Result<()> {
    let triple = cmd!(sh, "rustc -vV").quiet().read()?;
    let host = triple.lines().find_map(|line| line.strip_prefix("host: ")).context("rustc names its host")?;
    {
        let _flags = [sh.push_env("RUSTFLAGS", flags.join(" ")), sh.push_env("CARGO_TARGET_DIR", target)];
        // With an explicit target, the flags do not apply to build scripts, which are not linked with the counters.
        let (cargo, arguments) = cargo.split_first().context("a command")?;
        cmd!(
            sh,
            "{cargo} {arguments...} build --locked --profile smoke --manifest-path fuzz/Cargo.toml --bins --target {host}"
        )
        .run()?;
    }
    let (mut ran, mut failed) = (0, Vec::new());
    for file in sh.read_dir("fuzz/fuzz_targets")? {
        let name = file.file_stem().and_then(|stem| stem.to_str()).context("a target's name")?;
        let program = target.join(host).join("smoke").join(name);
        let corpus = target.join("corpus").join(name);
        seed(sh, &corpus)?;
        let (artifacts, seconds) = (format!("{}/{name}-", target.display()), seconds.to_string());
        println!("     Running {name}");
        let run = cmd!(
            sh,
            "{program} -max_total_time={seconds} -rss_limit_mb=4096 -verbosity=0 -print_final_stats=1 -artifact_prefix={artifacts} {corpus}"
        )
        .run();
        // The remaining targets run even if this one fails.
        failed.extend(run.err().map(|error| format!("{name}: {error}")));
        ran += 1;
    }
    ensure!(ran > 0, "no fuzz target ran");
    ensure!(failed.is_empty(), "{}", failed.join("\n"));
    Ok(())
}

/// Fills an empty corpus with the output of the usual tools for a file of the project, once for each first byte that
/// selects a format.
fn seed(sh: &Shell, corpus: &Path) -> anyhow::Result<()> {
    if corpus.exists() {
        return Ok(());
    }
    sh.create_dir(corpus)?;
    let plain = sh.read_binary_file("LICENSE-MIT")?;
    for (tool, args) in
        [("gzip", "-c"), ("gzip", "-1c"), ("zstd", "-c"), ("lz4", "-c"), ("lz4", "-lc"), ("cat", "-")]
    {
        let packed = cmd!(sh, "{tool} {args}").quiet().stdin(&plain).output()?.stdout;
        for choice in 0..6_u8 {
            let name = format!("{tool}{args}-{choice}");
            sh.write_file(corpus.join(name), [&[choice][..], &packed].concat())?;
        }
    }
    Ok(())
}
