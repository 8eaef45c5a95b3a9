//! The hardware path as an engine under test: one emulated machine for all tests of a process.
#![allow(dead_code, reason = "each test binary uses its part")]

use std::env;
use std::io::Write;
use std::path::PathBuf;
use std::process::Command;
use std::sync::{Arc, OnceLock};

use accel_core::{Cipher, Digest, ExecutedOn, Format, SoftwareReason};
use capability_registry::Registry;
use qat::QatAccelerator;
use qat::probe::QatProbe;
use qat::stream::Engine;
use qat_emu::{Config, Emulator, Services};

use crate::support::{self, Subject};

/// Names the directory of the libqat under test.
pub(crate) const VARIABLE: &str = "QAT_TEST_LIBQAT_2402";

/// The directory that `variable` names. Where it is not set, says so where it is not lost among the output of passing
/// tests.
///
/// # Panics
/// When it is not set and has to be.
pub(crate) fn required(variable: &str, what: &str) -> Option<PathBuf> {
    let directory = env::var_os(variable).map(PathBuf::from);
    if directory.is_none() {
        let text = format!(
            "\nNOT TESTED: {what}. Set {variable} to the directory that `cargo xtask libqat` prints.\n"
        );
        assert!(env::var_os("QAT_TEST_REQUIRE_LIBQAT").is_none_or(|value| value != "1"), "{text}");
        // Not `eprintln!`, whose output the test harness keeps to itself.
        std::io::stderr().write_all(text.as_bytes()).unwrap();
    }
    directory
}

/// This program again, over libqat 26.08: through the loader and the C library in `QAT_TEST_LOADER_DIR` where that is set,
/// since it may want newer ones than the system has. `None` where that is not to be tested.
pub(crate) fn with_libqat_26_08(what: &str) -> Option<Command> {
    let directory = required("QAT_TEST_LIBQAT_2608", what)?;
    let this = env::current_exe().unwrap();
    let mut command = match env::var_os("QAT_TEST_LOADER_DIR").map(PathBuf::from) {
        None => Command::new(this),
        Some(programs) => {
            let mut command = Command::new(programs.join("ld-linux-x86-64.so.2"));
            command.arg("--library-path").arg(programs).arg(this);
            command
        }
    };
    command.env(VARIABLE, directory);
    Some(command)
}

/// Runs `command`, which is to print that `passed`.
#[track_caller]
pub(crate) fn passes(command: &mut Command, passed: &str) {
    let output = command.output().unwrap();
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    let printed = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success() && text.contains(passed), "{text}{printed}");
}

/// Makes the process load the libqat under test; whether there is one.
pub(crate) fn use_library() -> bool {
    static ONCE: OnceLock<bool> = OnceLock::new();
    *ONCE.get_or_init(|| {
        let Some(directory) = required(VARIABLE, "the hardware path") else { return false };
        for (name, file) in [("QAT_LIBRARY", "libqat.so.4"), ("USDM_LIBRARY", "libusdm.so.0")] {
            // SAFETY: every test begins here, so no other one reads the environment meanwhile.
            unsafe { env::set_var(name, directory.join(file)) };
        }
        // SAFETY: the same.
        unsafe { env::remove_var("QAT_POLICY") };
        true
    })
}

/// The process's emulated device, and an accelerator on it; `None` where no libqat is to be tested.
pub(crate) fn machine() -> Option<&'static (Emulator, QatAccelerator)> {
    static SHARED: OnceLock<(Emulator, QatAccelerator)> = OnceLock::new();
    if !use_library() {
        return None;
    }
    Some(SHARED.get_or_init(|| {
        let emulator = Emulator::attach(Config::with_vfs(2, Services::SYM_DC)).unwrap();
        let probe = QatProbe::with_root(emulator.tree());
        let qat = QatAccelerator::new(Registry::new(), Arc::new(probe));
        assert_eq!(qat.unavailability(), None);
        (emulator, qat)
    }))
}

/// An accelerator that counts from zero, and shares the start of libqat with all others of the process.
pub(crate) fn accelerator() -> Option<QatAccelerator> {
    let (emulator, _) = machine()?;
    let probe = QatProbe::with_root(emulator.tree());
    Some(QatAccelerator::new(Registry::new(), Arc::new(probe)))
}

/// Such an accelerator as the engine under test.
pub(crate) fn qat() -> Option<Subject> {
    let qat = accelerator()?;
    Some(Subject {
        engine: Engine::qat(&qat),
        compression: Arc::new(qat.clone()),
        encryption: Arc::new(qat),
        formats: &FORMATS,
        packs: &PACKS,
        // A device's blocks have at most 4 MiB.
        largest: |format| if format == Format::Lz4Block { 4 << 20 } else { usize::MAX },
        checksums: &[],
        digests: &Digest::ALL,
        ciphers: &Cipher::ALL,
        takes,
        levels: |_| 1..=12,
        // Nothing is compressed of nothing.
        may_run_on: |path| path.is_hardware() || path == ExecutedOn::Software(SoftwareReason::TooSmall),
    })
}

/// libqat takes no longer associated data where they stand apart, and no ChaCha20-Poly1305 of nothing.
pub(crate) fn takes(cipher: Cipher, text: usize, aad: usize) -> bool {
    let most = match cipher {
        Cipher::AesGcm | Cipher::ChaCha20Poly1305 => 240,
        Cipher::AesCcm => 222,
        _ => usize::MAX,
    };
    let least = usize::from(cipher == Cipher::ChaCha20Poly1305);
    aad <= most && text >= least && cipher.plaintext_lens().contains(&text)
}

const FORMATS: [Format; 5] =
    [Format::Deflate, Format::Zlib, Format::Gzip, Format::Lz4Block, Format::Lz4Frame];
/// Zstandard by LZ4s, which goes one way.
const PACKS: [Format; 6] = support::FORMATS;
