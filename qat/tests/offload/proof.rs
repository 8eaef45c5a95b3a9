//! The device's own counters beside our statistics, and the whole suite over the newer libqat. In processes of their own:
//! a process has one libqat, and its counters are those of all its tests.

use std::collections::BTreeMap;
use std::process::Command;
use std::sync::Arc;
use std::time::{Duration, Instant};
use std::{env, fs, thread};

use accel_core::{
    CompressOptions, CompressionAccelerator, DecompressOptions, Digest, Format, HardwareAccelerator, Level,
    Operation,
};
use capability_registry::Registry;
use qat::probe::{CountersError, QatProbe};
use qat::{AutoAccelerator, Policy, QatAccelerator, SoftwareAccelerator};
use qat_emu::{Config, Device, Emulator, Service, Services};

use crate::emulated::{self, passes};
use crate::support::text;

const ALONE: &str = "QAT_TEST_ALONE";
const COUNTS: &str = "proof::the_device_counts_what_we_count";
const FIRMWARE: &str = "proof::the_firmware_counts_every_request";
const TELEMETRY: &str = "proof::telemetry_is_the_utilisation";

/// This program again.
fn this_program() -> Command {
    Command::new(env::current_exe().unwrap())
}

/// Whether this process runs `test` alone; runs one that does if not.
fn is_alone(test: &str) -> bool {
    let is_alone = env::var_os(ALONE).is_some();
    if !is_alone {
        passes(this_program().args(["--exact", test]).env(ALONE, test), "1 passed");
    }
    is_alone
}

/// Two devices, as a host sees them, and an accelerator on both.
fn host() -> (Emulator, QatAccelerator) {
    let mut config = Config::with_vfs(1, Services::SYM_DC);
    config.devices.push(Device::new(1, Services::DC, 0));
    config.host = true;
    let emulator = Emulator::attach(config).unwrap();
    let qat = QatAccelerator::new(Registry::new(), Arc::new(QatProbe::with_root(emulator.tree())));
    assert_eq!(qat.unavailability(), None);
    (emulator, qat)
}

/// Input of a request to compress, as `qat` cuts larger inputs.
fn piece(format: Format) -> usize {
    match format {
        Format::Lz4Block => 4 << 20,
        Format::Lz4Frame => 256 << 10,
        Format::Zstd => 128 << 10,
        _ => 112 << 10,
    }
}

#[test]
fn the_device_counts_what_we_count() {
    if !emulated::use_library() {
        return;
    }
    if !is_alone(COUNTS) {
        return;
    }
    let emulator = Emulator::attach(Config::with_vfs(2, Services::SYM_DC)).unwrap();
    let probe = QatProbe::with_root(emulator.tree());
    let qat = QatAccelerator::new(Registry::new(), Arc::new(probe));
    let counted = || emulator.counters().service(Service::Compression).clone();
    assert_eq!(counted().requests, 0);

    // Every call is on the device, in as many requests as it takes, of as many bytes as there are.
    let mut calls = 0;
    for (format, command, back) in [
        (Format::Deflate, "deflate-dynamic", Some("deflate-decompress")),
        (Format::Zlib, "deflate-dynamic", Some("deflate-decompress")),
        (Format::Gzip, "deflate-dynamic", Some("deflate-decompress")),
        (Format::Lz4Block, "lz4-compress", Some("lz4-decompress")),
        (Format::Lz4Frame, "lz4-compress", Some("lz4-decompress")),
        (Format::Zstd, "lz4s-compress", None),
    ] {
        // No last block of a few bytes, which an LZ4 frame stores and nobody needs to decompress.
        for size in [0, 1, 13, 65_535, 65_536, 65_537, 1 << 20, 3 << 20] {
            let plain = text(size);
            let pieces = size.div_ceil(piece(format)) as u64;
            let before = counted();
            let requests = |commands: &BTreeMap<String, u64>, command: &str| {
                commands.get(command).copied().unwrap_or_default()
            };
            let options = CompressOptions::new(format).level(Level::Fast);
            let (packed, outcome) = qat.compress(&plain, &options).unwrap();
            calls += u64::from(outcome.path.is_hardware());
            assert_eq!(outcome.path.is_hardware(), size > 0, "{format}, {size} bytes");
            let after = counted();
            assert_eq!(
                requests(&after.commands, command) - requests(&before.commands, command),
                pieces,
                "{format}, {size}"
            );
            assert_eq!(after.requests - before.requests, pieces, "{format}, {size} bytes");
            assert_eq!(after.bytes_in - before.bytes_in, size as u64, "{format}");
            let Some(back) = back else { continue };
            let before = after;
            let (again, outcome) = qat.decompress(&packed, &DecompressOptions::new(format)).unwrap();
            assert!(again == plain);
            calls += u64::from(outcome.path.is_hardware());
            let after = counted();
            assert_eq!(
                after.requests - before.requests,
                requests(&after.commands, back) - requests(&before.commands, back)
            );
            assert_eq!(after.requests > before.requests, outcome.path.is_hardware(), "{format}, {size}");
            if outcome.path.is_hardware() {
                assert_eq!(after.bytes_out - before.bytes_out, size as u64, "{format}");
            }
        }
    }

    // The same from many threads at once.
    let before = (counted(), qat.statistics());
    let plain = text(10_000);
    let options = CompressOptions::new(Format::Deflate);
    thread::scope(|scope| {
        for _ in 0..4 {
            scope.spawn(|| {
                for _ in 0..100 {
                    qat.compress(&plain, &options).unwrap();
                }
            });
        }
    });
    let (device, ours) = (counted(), qat.statistics());
    assert_eq!(device.requests - before.0.requests, 400);
    assert_eq!(device.bytes_in - before.0.bytes_in, ours.bytes_in - before.1.bytes_in);
    assert_eq!(device.bytes_out - before.0.bytes_out, ours.bytes_out - before.1.bytes_out);
    calls += 400;

    let software: u64 =
        accel_core::SoftwareReason::ALL.into_iter().map(|reason| ours.software.count(reason)).sum();
    assert_eq!(ours.operations - software, calls);
    assert_eq!((ours.errors, ours.in_flight), (0, 0));
    assert_eq!((device.responses, device.errors, device.unsupported), (device.requests, 0, 0));
    assert!(emulator.counters().vf_requests.iter().all(|requests| *requests > 0), "a device was idle");

    qat.shutdown();
    let counters = emulator.counters();
    assert_eq!(counters.audit(), Vec::<String>::new());
    assert_eq!((counters.maps, counters.requests()), (counters.unmaps, counters.responses()));
}

/// The kernel's counters of the firmware, as the accelerator gives them: the proof that any machine with QAT can have.
#[test]
fn the_firmware_counts_every_request() {
    if !emulated::use_library() || !is_alone(FIRMWARE) {
        return;
    }
    let (emulator, qat) = host();
    let counted = || {
        let info = qat.info();
        assert_eq!(info.devices.iter().filter(|device| !device.is_virtual()).count(), 2);
        assert_eq!(info.counters.len(), 2);
        info.counters.iter().fold((0, 0), |(requests, responses), counters| {
            let firmware = counters.firmware.as_ref().expect("readable");
            (requests + firmware.requests(), responses + firmware.responses())
        })
    };
    // The first one is preceded by the trial of the digest.
    let digest = || qat.process(&Operation::Digest(Digest::Sha256), b"plain").unwrap();
    digest();
    let mut requests = counted();
    let mut expected = requests.0;
    let mut sent = |what: &str, more: u64| {
        expected += more;
        let now = counted();
        assert_eq!((now.0 - requests.0, now.1 - requests.1), (more, more), "{what}");
        requests = now;
    };
    let options = CompressOptions::new(Format::Zlib);
    let plain = text(1000);
    let packed: Vec<_> = (0..300).map(|_| qat.compress(&plain, &options).unwrap().0).collect();
    sent("one each", 300);
    for packed in &packed[..77] {
        assert!(qat.decompress(packed, &DecompressOptions::new(Format::Zlib)).unwrap().0 == plain);
    }
    sent("one each", 77);
    digest();
    sent("a digest", 1);
    let three = text(2 * piece(Format::Zlib) + 1);
    qat.compress(&three, &options).unwrap();
    sent("three pieces", 3);
    qat.compress(b"", &options).unwrap();
    SoftwareAccelerator::new().compress(&plain, &options).unwrap();
    sent("nothing for a device", 0);
    // The emulator's own count, which the kernel's file is made of.
    assert_eq!(emulator.counters().requests(), expected);
    qat.shutdown();
}

/// The kernel's telemetry becomes the utilisation, when it is switched on for all devices, and nobody but the
/// administrator switches it.
#[test]
fn telemetry_is_the_utilisation() {
    const LONGEST: Duration = Duration::from_secs(60);
    if !emulated::use_library() || !is_alone(TELEMETRY) {
        return;
    }
    let (emulator, qat) = host();
    let control = |device: usize| {
        let debug = emulator.tree().join("sys/kernel/debug");
        debug.join(format!("qat_4xxx_0000:{:02x}:00.0/telemetry/control", 0x10 + device))
    };
    let why = |device: usize| qat.info().counters[device].telemetry_error.as_ref().map(CountersError::kind);
    let (plain, options) = (text(100_000), CompressOptions::new(Format::Gzip));
    let started = Instant::now();
    let work_until = |is_so: &dyn Fn() -> bool| {
        while !is_so() {
            qat.compress(&plain, &options).unwrap();
            assert!(started.elapsed() < LONGEST, "{:?}", qat.info().counters);
        }
    };

    assert_eq!((qat.statistics().utilisation, why(0), why(1)), (None, Some("off"), Some("off")));
    assert_eq!(fs::read_to_string(control(0)).unwrap(), "0\n");

    fs::write(control(0), "2\n").unwrap();
    assert_eq!((qat.statistics().utilisation, why(0)), (None, Some("no-sample")));
    work_until(&|| why(0).is_none());
    // Half of the truth is none.
    assert_eq!((qat.statistics().utilisation, why(1)), (None, Some("off")));

    fs::write(control(1), "1\n").unwrap();
    work_until(&|| qat.statistics().utilisation.is_some_and(|share| share > 0.0));
    let auto = AutoAccelerator::new(qat.clone(), Policy::Always);
    assert!(auto.statistics().utilisation.is_some_and(|share| (0.0..=1.0).contains(&share)));
    let windows: Vec<_> =
        qat.info().counters.iter().map(|counters| counters.telemetry.as_ref().unwrap().window).collect();
    assert_eq!(windows, [2, 1]);

    // Without hardware in use there is nothing to be in use of.
    qat.shutdown();
    assert_eq!(qat.statistics().utilisation, None);
}

/// Everything else of this program, over libqat 26.08.
#[test]
fn all_with_libqat_26_08() {
    const NAME: &str = "proof::all_with_libqat_26_08";
    for test in [COUNTS, FIRMWARE, TELEMETRY] {
        let Some(mut program) = emulated::with_libqat_26_08(NAME) else { return };
        passes(program.args(["--exact", test]).env(ALONE, test), "1 passed");
    }
    let Some(mut program) = emulated::with_libqat_26_08(NAME) else { return };
    passes(program.args(["--skip", "proof::"]), "test result: ok");
}
