//! Intel's libqat 24.02 on the emulated device of `qat-emu`: what detection finds, tells and leaves behind. Each test
//! runs in a process of its own, because libqat keeps what it learnt about a device over a stop.

#![cfg(all(target_os = "linux", target_env = "gnu"))]

#[path = "emulated/machine.rs"]
mod machine;

use std::io::Read;
use std::sync::{Arc, Barrier};
use std::time::{Duration, Instant};
use std::{env, fs, thread};

use accel_core::{
    AcceleratorTypes, Cipher, CipherOptions, CompressOptions, CompressionAccelerator, DecompressOptions,
    Digest, EncryptionAccelerator, Error, ExecutedOn, Format, HardwareAccelerator, Key, Operation,
    SoftwareReason,
};
use capability_registry::Registry;
use qat::probe::{Access, QatProbe, Service};
use qat::{AutoAccelerator, HardwareSettings, Policy, QatAccelerator, SoftwareAccelerator, Unavailability};
use qat_emu::{Config, Notification, Services};

use machine::{Machine, alone};

/// What a device of one mix of services comes to.
struct Expected {
    types: AcceleratorTypes,
    /// Compression, decompression, symmetric, asymmetric.
    instances: [u16; 4],
    /// Features that are absent although their service is there.
    not_offered: &'static [&'static str],
}

const NOT_OFFERED: &str = "the device or this release of libqat does not offer it";
const COMPRESSION: [&str; 4] = ["deflate", "lz4", "lz4s", "zstd"];
const ENCRYPTION: [&str; 9] = [
    "aes-gcm",
    "aes-cbc",
    "aes-cbc-hmac-sha-256",
    "aes-ctr",
    "chacha20-poly1305",
    "aes-xts",
    "aes-ccm",
    "hmac-sha-2",
    "hmac-sha-3",
];
const PUBLIC_KEY: [&str; 4] = ["rsa", "dh", "ecdh", "ecdsa"];
/// Zstandard came with qatlib 25.08.
const NO_ZSTD: &[&str] = &["qat.compression.zstd"];

impl Expected {
    fn registry(&self) -> Vec<(String, String)> {
        let [compression, _, symmetric, asymmetric] = self.instances;
        let mut states = vec![("qat".to_owned(), format!("present: {}", self.instances.iter().sum::<u16>()))];
        for (branch, service, count, features) in [
            ("compression", Service::Compression, compression, COMPRESSION.as_slice()),
            ("encryption", Service::Symmetric, symmetric, ENCRYPTION.as_slice()),
            ("public-key", Service::Asymmetric, asymmetric, PUBLIC_KEY.as_slice()),
        ] {
            let none = format!("absent: {}", Unavailability::NoInstances { service: Some(service) });
            let branch = format!("qat.{branch}");
            for feature in features.iter().map(|feature| format!("{branch}.{feature}")) {
                let state = match count {
                    0 => none.clone(),
                    _ if self.not_offered.contains(&feature.as_str()) => format!("absent: {NOT_OFFERED}"),
                    _ => "present".to_owned(),
                };
                states.push((feature, state));
            }
            states.push((branch, if count == 0 { none } else { format!("present: {count}") }));
        }
        states.sort();
        states
    }

    /// Compares all that the accelerator says with this.
    fn check(&self, qat: &QatAccelerator) {
        assert!(qat.is_available());
        assert_eq!(qat.unavailability(), None);
        qat.initialize().unwrap();
        for types in (0..16).map(AcceleratorTypes::from_bits_truncate) {
            assert_eq!(qat.is_available_for(types), self.types.contains(types), "{types:?}");
            assert_eq!(qat.unavailability_for(types).is_none(), self.types.contains(types), "{types:?}");
        }
        assert_eq!(states(qat.registry()), self.registry());
        let info = qat.info();
        let instances: Vec<_> = info.services.iter().map(|service| service.instances).collect();
        assert_eq!(instances, self.instances);
        for service in &info.services {
            assert_eq!(service.unavailability.is_some(), service.instances == 0, "{service:?}");
        }
        assert_eq!(info.capabilities, qat.capabilities());
        assert!(info.available && info.unavailability.is_none());
    }
}

fn states(registry: &Registry) -> Vec<(String, String)> {
    let snapshot = registry.snapshot();
    let mut states: Vec<_> =
        snapshot.entries().iter().map(|(feature, state)| (feature.to_string(), state.to_string())).collect();
    states.sort();
    states
}

const DC: Expected =
    Expected { types: AcceleratorTypes::COMPRESSION, instances: [4, 0, 0, 0], not_offered: NO_ZSTD };
const SYM: Expected = Expected {
    types: AcceleratorTypes::ENCRYPTION.union(AcceleratorTypes::HASHING),
    instances: [0, 0, 4, 0],
    not_offered: &[],
};
const ASYM: Expected =
    Expected { types: AcceleratorTypes::PUBLIC_KEY, instances: [0, 0, 0, 4], not_offered: &[] };
const SYM_DC: Expected =
    Expected { types: DC.types.union(SYM.types), instances: [2, 0, 2, 0], not_offered: NO_ZSTD };

/// One virtual function of these services is found, described, told, and given back.
fn detects(services: Services, expected: &Expected, check: impl FnOnce(&QatAccelerator)) {
    let machine = Machine::new(Config::with_vfs(1, services));
    let qat = machine.accelerator();
    assert_eq!(states(qat.registry()), []);
    assert_eq!(machine.emulator.counters().device_opens, 0, "construction touches nothing");
    let started = Instant::now();
    assert!(qat.is_available(), "{:?}", qat.unavailability());
    println!("{services}: detected in {:?}", started.elapsed());
    expected.check(&qat);
    check(&qat);
    let registry = qat.registry().clone();

    let started = Instant::now();
    qat.shutdown();
    println!("{services}: shut down in {:?}", started.elapsed());
    assert_eq!(states(&registry), []);
    assert_eq!(qat.unavailability().as_deref(), Some(&Unavailability::Stopped));
    machine.assert_clean();

    qat.reinitialize().unwrap();
    expected.check(&qat);
    drop(qat);
    assert_eq!(states(&registry), []);
    machine.assert_clean();
}

fn assert_unavailable<T: std::fmt::Debug>(result: Result<T, Error>, service: Service) {
    let Err(Error::Unavailable { accelerator: "qat", reason }) = result else { panic!("{result:?}") };
    let expected = Unavailability::NoInstances { service: Some(service) };
    assert_eq!(reason.downcast_ref(), Some(&expected));
}

fn gzip_by_policy(qat: &QatAccelerator) -> ExecutedOn {
    let plain = b"on whatever there is ".repeat(500);
    let auto = AutoAccelerator::new(qat.clone(), Policy::Threshold(0));
    let (packed, outcome) = auto.compress(&plain, &CompressOptions::new(Format::Gzip)).unwrap();
    assert_eq!(gunzip(&packed), plain);
    outcome.path
}

fn gunzip(packed: &[u8]) -> Vec<u8> {
    let mut plain = Vec::new();
    flate2::read::GzDecoder::new(packed).read_to_end(&mut plain).unwrap();
    plain
}

fn encrypt_by_policy(qat: &QatAccelerator) -> ExecutedOn {
    let auto = AutoAccelerator::new(qat.clone(), Policy::Auto);
    let (_, done) =
        auto.encrypt(&Key::new(&[7; 32]), &[1; 1 << 20], &CipherOptions::new(Cipher::AesGcm)).unwrap();
    done.outcome.path
}

const UNAVAILABLE: ExecutedOn = ExecutedOn::Software(SoftwareReason::Unavailable);

#[test]
fn compression() {
    alone("compression", || {
        detects(Services::DC, &DC, |qat| {
            let capabilities = qat.capabilities().unwrap();
            let it = capabilities.compression;
            assert!(it.deflate.compress && it.deflate.decompress && it.dynamic_huffman);
            assert!(it.lz4.compress && it.lz4.decompress && it.lz4s.compress && !it.lz4s.decompress);
            assert!(it.crc32 && it.adler32 && it.xxhash32);
            assert!(it.compress_and_verify && it.compress_and_verify_and_recover);
            assert_eq!(capabilities.encryption, Default::default());
            assert_eq!(capabilities.public_key, Default::default());

            let gzip = CompressOptions::new(Format::Gzip);
            let (packed, outcome) = qat.compress(b"plain", &gzip).unwrap();
            assert!(outcome.path.is_hardware());
            assert_eq!(gunzip(&packed), b"plain");
            let later = pollster::block_on(qat.compress_async(b"plain".to_vec(), gzip)).unwrap();
            assert_eq!(gunzip(&later.0), b"plain");
            let ungzip = DecompressOptions::new(Format::Gzip);
            let (plain, outcome) = qat.decompress(&packed, &ungzip).unwrap();
            assert!(outcome.path.is_hardware());
            assert_eq!(plain, b"plain");
            assert_unavailable(
                qat.encrypt(&Key::new(&[7; 32]), b"plain", &CipherOptions::new(Cipher::AesGcm)),
                Service::Symmetric,
            );
            assert_unavailable(qat.process(&Operation::Digest(Digest::Sha256), b"plain"), Service::Symmetric);
            assert!(gzip_by_policy(qat).is_hardware());
            assert_eq!(encrypt_by_policy(qat), UNAVAILABLE);
        });
    });
}

#[test]
fn symmetric_encryption() {
    alone("symmetric_encryption", || {
        detects(Services::SYM, &SYM, |qat| {
            let capabilities = qat.capabilities().unwrap();
            assert!(Cipher::ALL.iter().all(|cipher| capabilities.encryption.offers(*cipher)));
            assert_eq!(capabilities.compression, Default::default());

            let (key, gcm) = (Key::new(&[7; 32]), CipherOptions::new(Cipher::AesGcm));
            let (sealed, done) = qat.encrypt(&key, b"plain", &gcm).unwrap();
            let (opened, outcome) = qat.decrypt(&key, &sealed, &gcm.iv(done.iv)).unwrap();
            assert_eq!(opened, b"plain");
            let (_, digested) = qat.process(&Operation::Digest(Digest::Sha256), b"plain").unwrap();
            let (_, mac) = qat.hmac(&key, Digest::Sha3_512, b"plain").unwrap();
            assert!([done.outcome, outcome, digested, mac].iter().all(|outcome| outcome.path.is_hardware()));
            assert_unavailable(
                qat.compress(b"plain", &CompressOptions::new(Format::Gzip)),
                Service::Compression,
            );
            assert_eq!(gzip_by_policy(qat), UNAVAILABLE);
            assert!(encrypt_by_policy(qat).is_hardware());
        });
    });
}

#[test]
fn public_key_arithmetic() {
    alone("public_key_arithmetic", || {
        detects(Services::ASYM, &ASYM, |qat| {
            let it = qat.capabilities().unwrap().public_key;
            assert!(it.rsa && it.dh && it.ecdh && it.ecdsa);
            assert_eq!((gzip_by_policy(qat), encrypt_by_policy(qat)), (UNAVAILABLE, UNAVAILABLE));
        });
    });
}

#[test]
fn compression_and_encryption() {
    alone("compression_and_encryption", || {
        detects(Services::SYM_DC, &SYM_DC, |qat| {
            assert!(gzip_by_policy(qat).is_hardware() && encrypt_by_policy(qat).is_hardware());
        });
    });
}

/// A message of AES-CBC may be longer than the device's memory; what is authenticated is one request, and that has a limit.
#[test]
fn more_than_the_device_memory_holds() {
    alone("more_than_the_device_memory_holds", || {
        let machine = Machine::new(Config::with_vfs(1, Services::SYM));
        let qat = machine.accelerator().with_settings(HardwareSettings::default().memory(32 << 20));
        let (key, plain) = (Key::new(&[7; 32]), vec![0x5a; 40_000_000]);
        let cbc = CipherOptions::new(Cipher::AesCbc);
        let (sealed, done) = qat.encrypt(&key, &plain, &cbc).unwrap();
        assert!(done.outcome.path.is_hardware());
        let cbc = cbc.iv(done.iv);
        assert!(SoftwareAccelerator::new().decrypt(&key, &sealed, &cbc).unwrap().0 == plain);
        assert!(qat.decrypt(&key, &sealed, &cbc).unwrap().0 == plain);
        let error = qat.encrypt(&key, &plain, &CipherOptions::new(Cipher::AesGcm)).unwrap_err();
        assert!(matches!(error, Error::Unsupported { .. }), "{error}");
        drop(qat);
        machine.assert_clean();
    });
}

/// Two devices whose capability words, in the bits of the kernel's driver, have compression with its checks but neither
/// LZ4 nor LZ4s, and symmetric encryption without ChaCha20-Poly1305; a third one without the newer AES too, where libqat
/// has AES-CCM for 16-byte keys only.
#[test]
fn what_the_device_lacks_is_absent() {
    alone("what_the_device_lacks_is_absent", || {
        let no_lz4 = &["qat.compression.lz4", "qat.compression.lz4s", "qat.compression.zstd"];
        const OLDER_AES: u32 = 0x0001_920D;
        let no_chacha = &["qat.encryption.chacha20-poly1305"];
        for (services, word, expected) in [
            (Services::DC, 0x00C0_0020, Expected { not_offered: no_lz4, ..DC }),
            (Services::SYM, 0x0401_920D, Expected { not_offered: no_chacha, ..SYM }),
            (Services::SYM, OLDER_AES, Expected { not_offered: no_chacha, ..SYM }),
        ] {
            let mut config = Config::with_vfs(1, services);
            config.capabilities = Some(word);
            let machine = Machine::new(config);
            let qat = machine.accelerator();
            expected.check(&qat);
            if word == OLDER_AES {
                let ccm = CipherOptions::new(Cipher::AesCcm).aad(&b"head"[..]);
                let key = Key::new(&[7; 16]);
                let (sealed, done) = qat.encrypt(&key, b"plain", &ccm).unwrap();
                assert!(done.outcome.path.is_hardware());
                let (expected, _) =
                    SoftwareAccelerator::new().encrypt(&key, b"plain", &ccm.clone().iv(done.iv)).unwrap();
                assert_eq!(sealed, expected);
                assert_eq!(qat.decrypt(&key, &sealed, &ccm.clone().iv(done.iv)).unwrap().0, b"plain");
                let error = qat.encrypt(&Key::new(&[7; 32]), b"plain", &ccm).unwrap_err();
                assert!(matches!(error, Error::Unsupported { .. }), "{error}");
                assert!(qat.capabilities().unwrap().encryption.offers(Cipher::AesCcm));
            }
            drop(qat);
            machine.assert_clean();
        }
    });
}

#[test]
fn info_lists_library_devices_and_services() {
    alone("info_lists_library_devices_and_services", || {
        let machine = Machine::new(Config::with_vfs(2, Services::SYM_DC));
        let qat = machine.accelerator();
        let info = qat.info();
        let library = info.library.as_ref().unwrap();
        let named = fs::canonicalize(env::var_os("QAT_LIBRARY").unwrap()).unwrap();
        assert_eq!(library.path.as_ref(), Some(&named));
        assert_eq!(library.release_at_least, "24.02");
        assert_eq!((info.devices.len(), &info.devices_error), (2, &None));
        for device in &info.devices {
            assert_eq!(device.product_id, 0x4941);
            assert_eq!(device.vfio.as_ref().map(|vfio| vfio.access), Some(Access::Granted));
        }
        let json = serde_json::to_value(&info).unwrap();
        assert_eq!(json["available"], true);
        assert_eq!(json["services"][0]["instances"], 4);
        assert_eq!(json["capabilities"]["compression"]["deflate"]["compress"], true);
        assert_eq!(json["devices"].as_array().map(Vec::len), Some(2));
        drop(qat);
        machine.assert_clean();
    });
}

#[test]
fn a_device_goes_and_comes_back() {
    alone("a_device_goes_and_comes_back", || {
        let machine = Machine::new(Config::with_vfs(1, Services::DC));
        let qat = machine.accelerator();
        DC.check(&qat);
        qat.shutdown();
        machine.emulator.remove(0);
        let error = qat.reinitialize().unwrap_err();
        println!("without it: {error}");
        let reason = qat.unavailability().unwrap();
        assert!(matches!(*reason, Unavailability::StartFailed { .. }), "{reason}");
        assert!(!qat.is_available() && !qat.info().available);
        let told = states(qat.registry());
        assert_eq!(told.len(), DC.registry().len());
        assert!(told.iter().all(|(_, state)| *state == format!("absent: {reason}")), "{told:?}");
        assert_eq!(gzip_by_policy(&qat), UNAVAILABLE);

        machine.emulator.restore(0);
        assert!(!qat.is_available(), "an answer stays until it is asked for anew");
        qat.reinitialize().unwrap();
        DC.check(&qat);
        drop(qat);
        machine.assert_clean();
    });
}

#[test]
fn a_device_restarts_while_it_is_in_use() {
    alone("a_device_restarts_while_it_is_in_use", || {
        let machine = Machine::new(Config::with_vfs(1, Services::SYM_DC));
        let qat = machine.accelerator();
        SYM_DC.check(&qat);
        for notification in [Notification::Restarting, Notification::FatalError] {
            machine.emulator.notify(0, notification);
            qat.reinitialize().unwrap();
            SYM_DC.check(&qat);
        }
        drop(qat);
        machine.assert_clean();
    });
}

/// A limit of libqat 24.02: a stop that its device no longer hears costs it the way to ask any device, until the
/// process ends. What it then starts has no instances, and is no hardware here.
#[test]
fn a_device_that_goes_while_it_is_in_use_is_not_claimed_again() {
    alone("a_device_that_goes_while_it_is_in_use_is_not_claimed_again", || {
        let machine = Machine::new(Config::with_vfs(1, Services::DC));
        let qat = machine.accelerator();
        DC.check(&qat);
        machine.emulator.remove(0);
        DC.check(&qat);
        assert!(qat.reinitialize().is_err());
        machine.emulator.restore(0);
        for _ in 0..2 {
            let error = qat.reinitialize().unwrap_err();
            assert!(error.to_string().contains("restart this process"), "{error}");
            let expected = Unavailability::NoInstances { service: None };
            assert_eq!(qat.unavailability().as_deref(), Some(&expected));
            assert!(!qat.registry().is_present("qat"));
            assert_eq!(gzip_by_policy(&qat), UNAVAILABLE);
        }
        drop(qat);
        machine.assert_clean();
    });
}

/// Nothing of the last machine sticks to the next, although libqat keeps a configuration for each thread.
#[test]
fn another_machine_after_each_stop() {
    alone("another_machine_after_each_stop", || {
        let qat = QatAccelerator::new(Registry::new(), Arc::new(QatProbe::with_root("/nowhere")));
        let assert_absent = || {
            let machine = Machine::new(Config::with_vfs(0, Services::DC));
            assert!(qat.reinitialize().is_err());
            assert_eq!(qat.unavailability().as_deref(), Some(&Unavailability::NoDevice));
            machine.assert_clean();
        };
        assert_absent();
        let mixes = [(Services::DC, &DC), (Services::SYM, &SYM), (Services::SYM_DC, &SYM_DC)];
        for (services, expected) in mixes.into_iter().chain([(Services::ASYM, &ASYM), (Services::DC, &DC)]) {
            let machine = Machine::new(Config::with_vfs(1, services));
            qat.reinitialize().unwrap();
            expected.check(&qat);
            qat.shutdown();
            machine.assert_clean();
            drop(machine);
            assert_absent();
        }
    });
}

#[test]
fn sixty_four_threads_make_one_start() {
    alone("sixty_four_threads_make_one_start", || {
        let machine = Machine::new(Config::with_vfs(1, Services::SYM_DC));
        let qat = machine.accelerator();
        assert!(qat.is_available());
        drop(qat);
        let one = machine.emulator.counters();

        let (qat, other) = (machine.accelerator(), machine.accelerator());
        let barrier = Barrier::new(64);
        thread::scope(|scope| {
            for thread in 0..64 {
                let qat = if thread % 2 == 0 { &qat } else { &other };
                let barrier = &barrier;
                scope.spawn(move || {
                    barrier.wait();
                    assert!(qat.is_available());
                });
            }
        });
        drop(qat);
        SYM_DC.check(&other);
        drop(other);
        let two = machine.emulator.counters();
        assert_eq!(two.device_opens, 2 * one.device_opens);
        assert_eq!(two.mailbox_messages, 2 * one.mailbox_messages);
        machine.assert_clean();
    });
}

#[test]
fn fifty_starts_leave_nothing_behind() {
    alone("fifty_starts_leave_nothing_behind", || {
        let descriptors = || fs::read_dir("/proc/self/fd").unwrap().count();
        let machine = Machine::new(Config::with_vfs(1, Services::SYM_DC));
        let qat = machine.accelerator();
        let mut starts = Vec::new();
        let mut first = None;
        for _ in 0..50 {
            let started = Instant::now();
            qat.reinitialize().unwrap();
            starts.push(started.elapsed());
            SYM_DC.check(&qat);
            qat.shutdown();
            machine.assert_clean();
            let (before, threads) = *first.get_or_insert_with(|| (descriptors(), machine::threads(0)));
            assert_eq!((descriptors(), machine::threads(threads)), (before, threads), "descriptors, threads");
        }
        let later: Duration = starts[1..].iter().sum();
        println!("first start {:?}, later ones {:?} on average", starts[0], later / 49);
    });
}

#[test]
fn a_forked_child_starts_for_itself() {
    alone("a_forked_child_starts_for_itself", || {
        let machine = Machine::new(Config::with_vfs(1, Services::SYM_DC));
        let qat = machine.accelerator();
        SYM_DC.check(&qat);
        // SAFETY: the child only runs this accelerator and leaves by `_exit`; no lock that it takes is held by another
        // thread of this process, and glibc's allocator survives a fork.
        let child = unsafe { libc::fork() };
        if child == 0 {
            let is_forked = qat.unavailability().as_deref() == Some(&Unavailability::Forked);
            let starts_afresh = qat.reinitialize().is_ok() && states(qat.registry()) == SYM_DC.registry();
            qat.shutdown();
            let counters = machine.emulator.counters();
            let is_clean = counters.mailbox_messages > 0 && counters.audit().is_empty();
            let code =
                [is_forked, starts_afresh, is_clean].iter().fold(0, |code, ok| code << 1 | i32::from(!ok));
            // SAFETY: ends the child at once, without the parent's exit handlers.
            unsafe { libc::_exit(code) };
        }
        assert!(child > 0);
        let mut status = 0;
        // SAFETY: waits for the child just made and writes one number.
        assert_eq!(unsafe { libc::waitpid(child, &mut status, 0) }, child);
        assert!(
            libc::WIFEXITED(status) && libc::WEXITSTATUS(status) == 0,
            "bits of what failed: {status:#x}"
        );
        SYM_DC.check(&qat);
        drop(qat);
        machine.assert_clean();
    });
}
