//! The hardware path as an engine under test: one emulated machine for all tests of a process.
#![allow(dead_code, reason = "each test binary uses its part")]

use std::env;
use std::path::PathBuf;
use std::sync::{Arc, OnceLock};

use accel_core::{Cipher, Digest, Format, Path, SoftwareReason};
use capability_registry::Registry;
use qat::probe::QatProbe;
use qat::stream::Engine;
use qat::{HardwareSettings, QatAccelerator};
use qat_emu::{Config, Emulator, Services};

use crate::support::Subject;

/// Names the directory of the libqat under test.
pub(crate) const VARIABLE: &str = "QAT_TEST_LIBQAT_2402";

/// Makes the process load the libqat under test.
///
/// # Panics
/// When there is none: this is what `cargo xtask ci test` provides, and without it the hardware path is untested.
pub(crate) fn use_library() {
    static ONCE: OnceLock<()> = OnceLock::new();
    ONCE.get_or_init(|| {
        let directory = env::var_os(VARIABLE).map(PathBuf::from).unwrap_or_else(|| {
            panic!(
                "set {VARIABLE} to the directory that `cargo xtask libqat` prints, or run `cargo xtask test`"
            )
        });
        for (name, file) in [("QAT_LIBRARY", "libqat.so.4"), ("USDM_LIBRARY", "libusdm.so.0")] {
            // SAFETY: every test begins here, so no other one reads the environment meanwhile.
            unsafe { env::set_var(name, directory.join(file)) };
        }
        // SAFETY: the same.
        unsafe { env::remove_var("QAT_POLICY") };
    });
}

/// An accelerator on the process's emulated device.
pub(crate) fn accelerator() -> &'static QatAccelerator {
    static SHARED: OnceLock<(Emulator, QatAccelerator)> = OnceLock::new();
    let (_, qat) = SHARED.get_or_init(|| {
        use_library();
        let emulator = Emulator::attach(Config::with_vfs(2, Services::SYM_DC)).unwrap();
        let probe = QatProbe::with_root(emulator.tree());
        let qat = QatAccelerator::new(Registry::new(), Arc::new(probe));
        assert_eq!(qat.unavailability(), None);
        (emulator, qat)
    });
    qat
}

pub(crate) fn qat() -> Subject {
    // With counters of its own.
    let qat = accelerator().clone().with_settings(HardwareSettings::default());
    Subject {
        engine: Engine::qat(&qat),
        compression: Arc::new(qat.clone()),
        encryption: Arc::new(qat),
        formats: &FORMATS,
        checksums: &[],
        digests: &Digest::ALL,
        ciphers: &Cipher::ALL,
        // libqat has no larger associated data, and refuses ChaCha20-Poly1305 of nothing.
        takes: |cipher, text, aad| match cipher {
            Cipher::AesGcm => aad <= 240,
            Cipher::ChaCha20Poly1305 => aad <= 240 && text > 0,
            _ => true,
        },
        levels: |_| 1..=12,
        // Nothing is compressed of nothing.
        may_run_on: |path| path.is_hardware() || path == Path::Software(SoftwareReason::TooSmall),
    }
}

const FORMATS: [Format; 5] =
    [Format::Deflate, Format::Zlib, Format::Gzip, Format::Lz4Block, Format::Lz4Frame];
