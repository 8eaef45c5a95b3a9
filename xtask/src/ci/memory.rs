//! The memory checks of the C and Rust code: memcheck for all of it, and Miri for the bookkeeping of requests.

use std::path::{Path, PathBuf};

use anyhow::{Context as _, ensure};
use serde_json::Value;
use xshell::{Shell, cmd};

use super::run::GAP;
use crate::libqat;
use crate::workspace::{UNIFIED, project_root, target_dir};

const MEMCHECK: &[&str] = &[
    "--quiet --error-exitcode=9",
    // Most tests start this program again as a separate process.
    "--trace-children=yes",
    // Without this, a polling thread would prevent the others from running.
    "--fair-sched=yes",
    "--num-callers=40",
    // A block to which only an interior pointer exists, such as that of an `Arc`, would be reported as possibly lost.
    "--show-leak-kinds=definite --errors-for-leak-kinds=definite",
    "--suppressions=tests/valgrind/emulator.supp",
];

const LEAKS: &str = "--leak-check=full";
const LEAKS_BUT_LIBQATS: &str = "--leak-check=full --suppressions=tests/valgrind/never_answered.supp";
/// A forked child has the memory of its parent's threads, but not the threads, so that all of it would be reported.
const NO_LEAKS: &str = "--leak-check=no";

/// The tests of `qat` that run under memcheck, by program and options.
const CHECKED: &[(&str, &str, &[&str])] = &[
    (
        "lifecycle",
        LEAKS,
        &[
            "futures_are_dropped_in_every_state",
            "a_stop_with_requests_in_flight",
            "a_killed_process_hinders_nobody",
        ],
    ),
    ("lifecycle", LEAKS_BUT_LIBQATS, &["a_stop_with_requests_that_are_never_answered"]),
    ("lifecycle", NO_LEAKS, &["forks_before_and_after_the_start"]),
    (
        "offload_encryption",
        LEAKS,
        &["dropped_futures_keep_what_the_device_still_uses", "keys_outlive_a_start"],
    ),
    (
        "offload",
        LEAKS,
        &["encryption::futures_equal_blocking_calls", "device_memory::device_memory_there_and_back"],
    ),
];

/// Runs memcheck on Intel's libqat 24.02, the emulated device and the crates of this project.
pub(super) fn memcheck(sh: &Shell) -> anyhow::Result<()> {
    let _libqat = [
        sh.push_env("QAT_TEST_LIBQAT_2402", libqat::libraries(sh, libqat::release(None, "24.02")?)?),
        sh.push_env("QAT_TEST_REQUIRE_LIBQAT", "1"),
    ];
    let programs = test_programs(sh)?;
    // Cargo runs tests in this directory.
    let member = project_root().join("qat");
    let _directory = [sh.push_env("CARGO_MANIFEST_DIR", &member)];
    let _here = sh.push_dir(&member);
    for (name, options, tests) in CHECKED.iter().copied() {
        let (_, program) = programs
            .iter()
            .find(|(other, _)| other == name)
            .with_context(|| format!("qat has no test {name}"))?;
        println!("     Running {name}, {options}");
        let checker: Vec<&str> =
            MEMCHECK.iter().flat_map(|option| option.split(' ')).chain(options.split(' ')).collect();
        let run = cmd!(sh, "valgrind {checker...} {program} --exact {tests...}");
        let output = run.ignore_status().output()?;
        let text = String::from_utf8_lossy(&output.stdout);
        print!("{text}{}", String::from_utf8_lossy(&output.stderr));
        // The test harness does not fail for a name that matches no test, so that the number of tests is checked.
        let all = format!("test result: ok. {} passed", tests.len());
        ensure!(output.status.success() && text.contains(&all), "memcheck over {name}");
    }
    Ok(())
}

/// Builds the test programs of `qat` if necessary, and returns their names and files.
fn test_programs(sh: &Shell) -> anyhow::Result<Vec<(String, PathBuf)>> {
    let mut programs = Vec::new();
    let tests: Vec<String> = CHECKED.iter().map(|(name, ..)| format!("--test={name}")).collect();
    let build =
        cmd!(sh, "cargo test --no-run {UNIFIED...} {tests...} --message-format=json-render-diagnostics");
    for line in build.read()?.lines() {
        let message: Value = serde_json::from_str(line).context("Cargo's messages are JSON")?;
        let manifest = message["manifest_path"].as_str().unwrap_or_default();
        let is_ours = Path::new(manifest).starts_with(project_root().join("qat"));
        let (file, name) = (message["executable"].as_str(), message["target"]["name"].as_str());
        if let (true, Some(file), Some(name)) = (is_ours, file, name) {
            programs.push((name.to_owned(), file.into()));
        }
    }
    Ok(programs)
}

/// Runs Miri on the bookkeeping of requests, with stubs in place of libqat.
pub(super) fn miri(sh: &Shell) -> anyhow::Result<()> {
    let nightly = ["run", "nightly", "cargo", "miri"];
    let is_there =
        || cmd!(sh, "rustup {nightly...} --version").quiet().ignore_stdout().ignore_stderr().run().is_ok();
    if !is_there() {
        let with = ["--component", "miri", "--component", "rust-src"];
        let install =
            cmd!(sh, "rustup toolchain install nightly --profile minimal --no-self-update {with...}");
        if let Err(reason) = install.run() {
            println!("{GAP}the bookkeeping of requests under Miri, which is part of nightly Rust: {reason}");
            return Ok(());
        }
    }
    // The stubs receive addresses as the device would, and memory that the process keeps until its end is not a leak.
    let flags = [
        "-Zmiri-disable-isolation",
        "-Zmiri-ignore-leaks",
        "-Zmiri-permissive-provenance",
        // By default four of five exchanges fail spuriously, and loops around them take minutes.
        "-Zmiri-compare-exchange-weak-failure-rate=0.1",
    ];
    let _flags = sh.push_env("MIRIFLAGS", flags.join(" "));
    let target = target_dir().join("miri");
    Ok(cmd!(
        sh,
        "rustup {nightly...} test --locked --package qat --lib --target-dir {target} device::inflight::"
    )
    .run()?)
}
