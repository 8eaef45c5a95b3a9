//! The real libqat on a machine without a device. Runs in processes of its own, one for each library, because a process
//! loads libqat once, and to see what is printed.

use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode, Output};
use std::sync::Arc;
use std::time::Instant;

use accel_core::{CompressOptions, CompressionAccelerator, Error, Format, HardwareAccelerator};
use capability_registry::Registry;
use qat::probe::QatProbe;
use qat::{QatAccelerator, Unavailability};

const DETECT: &str = "--detect";
const BARE: &str = "--bare";

fn main() -> ExitCode {
    let arguments: Vec<_> = std::env::args().skip(1).collect();
    match arguments.first().map(String::as_str) {
        Some(DETECT) => detect(),
        Some(BARE) => bare(),
        // What `cargo test -- --list` and nextest ask for.
        Some("--list") => println!("no_device: test"),
        _ => {
            without_library();
            with_library();
        }
    }
    ExitCode::SUCCESS
}

/// In the child: detects and prints the kind of what came of it.
fn detect() {
    let registry = Registry::new();
    let started = Instant::now();
    let qat = QatAccelerator::new(registry.clone(), Arc::new(QatProbe::new()));
    let constructed = started.elapsed();
    assert!(registry.snapshot().entries().is_empty());

    let started = Instant::now();
    assert!(!qat.is_available(), "this test wants a machine without QAT");
    let detected = started.elapsed();
    let reason = qat.unavailability().expect("not available");
    let error = qat.compress(b"plain", &CompressOptions::new(Format::Gzip)).expect_err("not available");
    assert!(matches!(error, Error::Unavailable { .. }), "{error}");
    assert_eq!(registry.get("qat.compression").expect("told").reason(), Some(reason.to_string().as_str()));
    let info = qat.info();
    assert_eq!(info.library.is_some(), *reason == Unavailability::NoDevice);

    println!("{}", reason.kind());
    println!("{reason}");
    println!("constructed in {constructed:?}");
    println!("took {} us", detected.as_micros());
    if let Some(library) = info.library {
        println!(
            "{} of qatlib {} or later",
            library.path.expect("on Linux").display(),
            library.release_at_least
        );
    }
    drop(qat);
    assert!(registry.snapshot().entries().is_empty());
}

/// In the child: the library by itself, without the crate `qat`.
fn bare() {
    let started = Instant::now();
    // SAFETY: the caller names a libqat whose digest `cargo xtask libqat` checked.
    let library = unsafe { qat_sys::Library::load(&qat_sys::LoadOptions::from_env()) }.expect("loads");
    // SAFETY: `icp_sal_user.h`: no argument, callable at any time.
    let is_available = unsafe { (library.symbols().icp_sal_userIsQatAvailable)() };
    println!("took {} us", started.elapsed().as_micros());
    assert_eq!(is_available, 0);
}

/// Prints what detection takes beyond the library itself: medians of processes that take turns.
fn measure(libqat: &Path) {
    let took = |mode| {
        let (_, text) = run(mode, libqat);
        let line = text.lines().find_map(|line| line.strip_prefix("took ")?.strip_suffix(" us"));
        line.and_then(|number| number.parse().ok()).expect("a number")
    };
    let mut times: [Vec<u64>; 2] = Default::default();
    for _ in 0..15 {
        times[0].push(took(BARE));
        times[1].push(took(DETECT));
    }
    let [bare, detect] = times.map(|mut times| {
        times.sort_unstable();
        times[times.len() / 2]
    });
    println!("libqat by itself {bare} us, detection {detect} us");
}

/// This program again: through the loader and the C library in `QAT_TEST_LOADER_DIR` where that is set, since a libqat may
/// want newer ones than the system has.
fn this_program() -> Command {
    let program = std::env::current_exe().expect("this program");
    let Some(directory) = std::env::var_os("QAT_TEST_LOADER_DIR").map(PathBuf::from) else {
        return Command::new(program);
    };
    let mut command = Command::new(directory.join("ld-linux-x86-64.so.2"));
    command.arg("--library-path").arg(directory).arg(program);
    command
}

fn run(mode: &str, libqat: &Path) -> (Output, String) {
    let output = this_program()
        .arg(mode)
        .env("QAT_LIBRARY", libqat)
        .env_remove("USDM_LIBRARY")
        .output()
        .expect("this program runs");
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(output.status.success(), "{text}{}", String::from_utf8_lossy(&output.stderr));
    (output, text)
}

fn without_library() {
    let (output, text) = run(DETECT, Path::new("/nowhere/libqat.so.4"));
    assert!(text.starts_with("no-library\n") && text.contains("/nowhere/libqat.so.4: "), "{text}");
    assert_eq!(output.stderr, b"");
}

fn with_library() {
    let variables = [("QAT_TEST_LIBQAT_2402", "24.02"), ("QAT_TEST_LIBQAT_2608", "26.08")];
    for (variable, release) in variables {
        let Some(directory) = std::env::var_os(variable) else {
            let is_required = std::env::var_os("QAT_TEST_REQUIRE_LIBQAT").is_some_and(|value| value == "1");
            assert!(
                !is_required,
                "{variable} is not set; set it to the directory that `cargo xtask libqat --release {release}` prints"
            );
            eprintln!("NOT TESTED: {variable} is not set");
            continue;
        };
        let libqat = Path::new(&directory).join("libqat.so.4");
        let (output, text) = run(DETECT, &libqat);
        print!("{text}");
        assert!(text.starts_with("no-device\n"), "{text}");
        assert!(text.contains(&format!("of qatlib {release} or later")), "{text}");
        // What the library prints is its own business and names it; nothing else is there.
        let printed = String::from_utf8_lossy(&output.stderr);
        println!("printed by libqat {release}: {printed:?}");
        assert!(!printed.to_lowercase().contains("panicked") && !printed.contains("qat::"), "{printed}");
        measure(&libqat);
    }
}
