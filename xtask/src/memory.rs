//! What the C code and ours do to memory: memcheck over the whole, Miri over the bookkeeping.

use anyhow::{Context as _, ensure};
use xshell::{Shell, cmd};

use crate::{ci, libqat};

const MEMCHECK: &[&str] = &[
    "valgrind --quiet --error-exitcode=9",
    // Most tests start this program again, for a process of their own.
    "--trace-children=yes",
    // Else a thread that polls would keep the others from running.
    "--fair-sched=yes",
    "--num-callers=40",
    // Where it knows only of a pointer into the middle, as an `Arc` is held, it calls a block possibly lost.
    "--show-leak-kinds=definite --errors-for-leak-kinds=definite",
    "--suppressions=tests/valgrind/emulator.supp",
];

const LEAKS: &str = "--leak-check=full";
const LEAKS_BUT_LIBQATS: &str = "--leak-check=full --suppressions=tests/valgrind/never_answered.supp";
/// A forked child has the memory of its parent's threads, and not the threads.
const NO_LEAKS: &str = "--leak-check=no";

/// Tests of `qat` under memcheck, by program and options.
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

/// Intel's libqat 24.02, the emulated device and all of ours.
pub(crate) fn memcheck(sh: &Shell) -> anyhow::Result<()> {
    let _libqat = [
        sh.push_env("QAT_TEST_LIBQAT_2402", libqat::libraries(sh, ci::release("24.02")?)?),
        sh.push_env("QAT_TEST_REQUIRE_LIBQAT", "1"),
    ];
    for (program, options, tests) in CHECKED.iter().copied() {
        let runner = format!("{} {options}", MEMCHECK.join(" "));
        let _runner = sh.push_env("CARGO_TARGET_X86_64_UNKNOWN_LINUX_GNU_RUNNER", runner);
        let run =
            cmd!(sh, "cargo test --quiet --locked --package qat --test {program} -- --exact {tests...}");
        let output = run.ignore_status().output()?;
        let text = String::from_utf8_lossy(&output.stdout);
        print!("{text}{}", String::from_utf8_lossy(&output.stderr));
        // A name that no test has is no failure to the harness.
        let all = format!("test result: ok. {} passed", tests.len());
        ensure!(output.status.success() && text.contains(&all), "memcheck over {program}");
    }
    Ok(())
}

/// The bookkeeping of requests over a libqat of stubs.
pub(crate) fn miri(sh: &Shell) -> anyhow::Result<()> {
    let nightly = ["run", "nightly", "cargo", "miri"];
    cmd!(sh, "rustup {nightly...} --version").quiet().run().context(
        "Miri is not installed: `rustup toolchain install nightly --component miri --component rust-src`",
    )?;
    // The stubs get addresses as the device would, and what the process keeps for ever is not a leak.
    let flags = [
        "-Zmiri-disable-isolation",
        "-Zmiri-ignore-leaks",
        "-Zmiri-permissive-provenance",
        // By default four of five fail for no reason, and loops around them take minutes.
        "-Zmiri-compare-exchange-weak-failure-rate=0.1",
    ];
    let _flags = sh.push_env("MIRIFLAGS", flags.join(" "));
    let target = crate::target_dir().join("miri");
    Ok(cmd!(sh, "rustup {nightly...} test --locked --package qat --lib --target-dir {target} op::").run()?)
}
