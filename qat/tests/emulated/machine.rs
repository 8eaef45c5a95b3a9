//! An emulated machine of a test's own, in a process of its own.
#![allow(dead_code, reason = "each test binary uses its part")]

use std::env;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;

use capability_registry::Registry;
use qat::QatAccelerator;
use qat::probe::QatProbe;
use qat_emu::{Config, Emulator};

const ALONE: &str = "QAT_TEST_ALONE";
const RELEASE: &str = "QAT_TEST_RELEASE";
const OLDER: &str = "24.02";
const NEWER: &str = "26.08";

/// Runs one test of this executable in a process of its own, with libqat 24.02 named to it. Where there is none, says so
/// where it is not lost among the output of passing tests, or fails where there has to be one.
pub(crate) fn alone(test: &str, body: impl FnOnce()) {
    if is_alone(test) {
        return body();
    }
    run_alone(test, OLDER);
}

/// The same with libqat 24.02 and then with 26.08.
pub(crate) fn alone_with_each(test: &str, body: impl FnOnce()) {
    if is_alone(test) {
        return body();
    }
    run_alone(test, OLDER);
    run_alone(test, NEWER);
}

fn is_alone(test: &str) -> bool {
    env::var(ALONE).is_ok_and(|name| name == test)
}

/// Whether this process has the newer one.
pub(crate) fn is_newer() -> bool {
    env::var(RELEASE).is_ok_and(|release| release == NEWER)
}

fn run_alone(test: &str, release: &str) {
    let variable = format!("QAT_TEST_LIBQAT_{}", release.replace('.', ""));
    let Some(directory) = env::var_os(&variable).map(PathBuf::from) else {
        let text = format!(
            "\nNOT TESTED with libqat {release} on the emulated device: {test}. Set {variable} to the directory that \
             `cargo xtask libqat` prints.\n"
        );
        assert!(env::var_os("QAT_TEST_REQUIRE_LIBQAT").is_none_or(|value| value != "1"), "{text}");
        // Not `eprintln!`, whose output the test harness keeps to itself.
        std::io::stderr().write_all(text.as_bytes()).unwrap();
        return;
    };
    let output = this_program(&directory, release)
        .args(["--exact", test, "--nocapture"])
        .env(ALONE, test)
        .env(RELEASE, release)
        .env("QAT_LIBRARY", directory.join("libqat.so.4"))
        .env("USDM_LIBRARY", directory.join("libusdm.so.0"))
        .env_remove("QAT_POLICY")
        .output()
        .unwrap();
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    let printed = String::from_utf8_lossy(&output.stderr);
    let status = output.status;
    assert!(status.success() && text.contains("1 passed"), "libqat {release}, {status}: {text}{printed}");
    println!("libqat {release}: {text}{printed}");
}

/// This program; through the loader in `QAT_TEST_LOADER_DIR` where that is set, since the newer libqat may need a newer C
/// library than this machine's.
fn this_program(library: &Path, release: &str) -> Command {
    let program = env::current_exe().unwrap();
    let loader = env::var_os("QAT_TEST_LOADER_DIR").map(PathBuf::from).filter(|_| release == NEWER);
    let Some(directory) = loader else { return Command::new(program) };
    let mut command = Command::new(directory.join("ld-linux-x86-64.so.2"));
    let path = env::join_paths([library, &directory]).unwrap();
    command.arg("--library-path").arg(path).arg(program);
    command
}

/// An emulated machine.
pub(crate) struct Machine {
    pub(crate) emulator: Emulator,
}

impl Machine {
    pub(crate) fn new(config: Config) -> Self {
        Self { emulator: Emulator::attach(config).unwrap() }
    }

    pub(crate) fn accelerator(&self) -> QatAccelerator {
        QatAccelerator::new(Registry::new(), Arc::new(QatProbe::with_root(self.emulator.tree())))
    }

    /// libqat is stopped: nothing is left of it, and what came was answered.
    pub(crate) fn assert_clean(&self) {
        let counters = self.emulator.counters();
        assert_eq!(counters.audit(), Vec::<String>::new());
        assert_eq!(counters.requests(), counters.responses());
        assert_eq!(counters.maps, counters.unmaps);
    }
}

/// Threads of this process, after a while if there are more than `expected`: the system lists a thread for some time after
/// it was joined.
pub(crate) fn threads(expected: usize) -> usize {
    let now = || std::fs::read_dir("/proc/self/task").unwrap().count();
    for _ in 0..50 {
        if now() <= expected {
            break;
        }
        std::thread::sleep(std::time::Duration::from_millis(20));
    }
    now()
}
