//! The fuzz targets on stable Rust: coverage counters are plain code generation options, so cargo-fuzz is not needed.

use anyhow::{Context as _, ensure};
use xshell::{Shell, cmd};

use crate::workspace::target_dir;

/// What libFuzzer needs in the code that it runs.
const FLAGS: &[&str] = &[
    "--cfg fuzzing",
    "-Cpasses=sancov-module",
    "-Cllvm-args=-sanitizer-coverage-level=4",
    "-Cllvm-args=-sanitizer-coverage-inline-8bit-counters",
    "-Cllvm-args=-sanitizer-coverage-pc-table",
    "-Cdebug-assertions",
];

/// Each target for some seconds.
pub(super) fn smoke(sh: &Shell) -> anyhow::Result<()> {
    let target = target_dir().join("fuzz");
    let triple = cmd!(sh, "rustc -vV").quiet().read()?;
    let host = triple.lines().find_map(|line| line.strip_prefix("host: ")).context("rustc names its host")?;
    {
        let _flags = [sh.push_env("RUSTFLAGS", FLAGS.join(" ")), sh.push_env("CARGO_TARGET_DIR", &target)];
        // With an explicit target the flags stay away from build scripts, which have no counters to link with.
        cmd!(
            sh,
            "cargo build --locked --profile smoke --manifest-path fuzz/Cargo.toml --bins --target {host}"
        )
        .run()?;
    }
    let mut ran = 0;
    for file in sh.read_dir("fuzz/fuzz_targets")? {
        let name = file.file_stem().and_then(|stem| stem.to_str()).context("a target's name")?;
        let program = target.join(host).join("smoke").join(name);
        println!("     Running {name}");
        cmd!(sh, "{program} -max_total_time=5 -rss_limit_mb=4096 -verbosity=0 -print_final_stats=1").run()?;
        ran += 1;
    }
    ensure!(ran > 0, "no fuzz target ran");
    Ok(())
}
