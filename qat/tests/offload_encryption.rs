//! Encryption on the emulated device: the same bytes as the CPU's, what becomes of keys and their sessions, and a device
//! that does not do what it says.

#![cfg(all(target_os = "linux", target_env = "gnu"))]

mod emulated;
mod support;

use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};

use accel_core::{
    Cipher, CipherOptions, Digest, EncryptionAccelerator, Error, ExecutedOn, HardwareAccelerator, Iv, Key,
    Operation, SoftwareReason,
};
use capability_registry::Registry;
use proptest::prelude::*;
use qat::probe::QatProbe;
use qat::{AutoAccelerator, CpaStatus, DeviceError, Policy, QatAccelerator, SoftwareAccelerator};
use qat_emu::{Config, Emulator, Fault, FaultKind, Service, Services};
use support::{noise, same};

/// The process's one device. Tests take turns, so that faults and starts are their own.
struct Turn {
    emulator: &'static Emulator,
    _turn: MutexGuard<'static, ()>,
}

impl Turn {
    fn take() -> Self {
        static EMULATOR: OnceLock<Emulator> = OnceLock::new();
        static TURN: Mutex<()> = Mutex::new(());
        let turn = TURN.lock().unwrap_or_else(PoisonError::into_inner);
        let emulator = EMULATOR.get_or_init(|| {
            emulated::use_library();
            Emulator::attach(Config::with_vfs(2, Services::SYM_DC)).unwrap()
        });
        emulator.disarm();
        Self { emulator, _turn: turn }
    }

    /// An accelerator, and libqat started for it.
    fn start(&self) -> QatAccelerator {
        let qat = QatAccelerator::new(Registry::new(), Arc::new(QatProbe::with_root(self.emulator.tree())));
        assert_eq!(qat.unavailability(), None);
        qat
    }

    fn unsupported(&self) -> u64 {
        self.emulator.counters().service(Service::Symmetric).unsupported
    }

    /// Every request is refused from now on.
    fn refuse(&self) {
        self.emulator.arm(Fault::new(FaultKind::Unsupported).on_service(Service::Symmetric).every(1));
    }
}

fn key(cipher: Cipher, len: usize) -> Key {
    let bytes: Vec<u8> = (7..).take(len).collect();
    match cipher {
        Cipher::AesCbcHmacSha256 => Key::with_mac(&bytes, &noise(100)),
        _ => Key::new(&bytes),
    }
}

fn options(cipher: Cipher, aad: usize) -> CipherOptions<'static> {
    let options = CipherOptions::new(cipher).iv(Iv::new(&noise(cipher.iv_len())).unwrap());
    if cipher.tag_len() > 0 { options.aad(noise(aad)) } else { options }
}

/// Both ways, compared with the CPU; with the same key, which then serves both engines.
fn same_as_the_cpu(qat: &QatAccelerator, key: &Key, plain: &[u8], options: &CipherOptions<'_>) {
    let what = (options.cipher, plain.len(), options.aad.len());
    let (expected, _) = SoftwareAccelerator::new().encrypt(key, plain, options).unwrap();
    let (sealed, done) = qat.encrypt(key, plain, options).unwrap();
    same(&sealed, &expected, what);
    let (opened, outcome) = qat.decrypt(key, &sealed, options).unwrap();
    same(&opened, plain, what);
    for path in [done.outcome.path, outcome.path] {
        let expected = path.is_hardware()
            || what == (Cipher::AesCtr, 0, 0) && path == ExecutedOn::Software(SoftwareReason::TooSmall);
        assert!(expected, "{what:?} ran on {path}");
    }
}

#[test]
fn the_device_and_the_cpu_make_the_same_bytes() {
    let turn = Turn::take();
    let qat = turn.start();
    let keys: Vec<_> = Cipher::ALL
        .into_iter()
        .flat_map(|cipher| cipher.key_lens().iter().map(move |len| (cipher, key(cipher, *len))))
        .collect();
    let refused = turn.unsupported();
    let messages = (0..keys.len(), 0_usize..4000, 0_usize..=240);
    proptest!(ProptestConfig::with_cases(400), |((which, text, aad) in messages)| {
        let (cipher, key) = &keys[which];
        if emulated::takes(*cipher, text, aad) {
            same_as_the_cpu(&qat, key, &noise(text), &options(*cipher, aad));
        }
    });
    // Around the borders of requests and of device memory.
    for cipher in Cipher::ALL {
        let key = &key(cipher, 32);
        for len in [(128 << 10) - 1, 128 << 10, (128 << 10) + 1, 300_000, (1 << 20) + 1, 2 << 20] {
            same_as_the_cpu(&qat, key, &noise(len), &options(cipher, 13));
        }
    }
    assert_eq!(turn.unsupported(), refused, "requests that the device refused");
}

#[test]
fn the_device_and_the_cpu_make_the_same_hmacs() {
    let turn = Turn::take();
    let qat = turn.start();
    let refused = turn.unsupported();
    // Keys around the block lengths, which are 64, 72, 104, 128 and 136 bytes.
    let messages = (0..Digest::ALL.len(), 1_usize..200, 0_usize..4000);
    proptest!(ProptestConfig::with_cases(300), |((which, key, text) in messages)| {
        let (digest, key, text) = (Digest::ALL[which], Key::new(&noise(key)), noise(text));
        let (expected, _) = SoftwareAccelerator::new().hmac(&key, digest, &text).unwrap();
        // The second time with a session that is there.
        for _ in 0..2 {
            let (mac, done) = qat.hmac(&key, digest, &text).unwrap();
            same(&mac, &expected, (digest, text.len()));
            assert!(done.path.is_hardware(), "{digest:?} ran on {}", done.path);
        }
    });
    for digest in Digest::ALL {
        let (key, text) = (Key::new(&noise(32)), noise((2 << 20) + 3));
        let (expected, _) = SoftwareAccelerator::new().hmac(&key, digest, &text).unwrap();
        same(&qat.hmac(&key, digest, &text).unwrap().0, &expected, digest);
        qat.reinitialize().unwrap();
        same(&qat.hmac(&key, digest, &text).unwrap().0, &expected, digest);
    }
    assert_eq!(turn.unsupported(), refused, "requests that the device refused");
}

/// More than one request of AES-CBC, around where the next begins.
#[test]
fn a_chain_of_requests_is_one_message() {
    let turn = Turn::take();
    let qat = turn.start();
    for len in [(4 << 20) - 1, 4 << 20, (4 << 20) + 1, 8 << 20] {
        same_as_the_cpu(&qat, &key(Cipher::AesCbc, 32), &noise(len), &options(Cipher::AesCbc, 0));
    }
}

#[test]
fn a_counter_runs_over_between_and_within_requests() {
    let turn = Turn::take();
    let qat = turn.start();
    let key = key(Cipher::AesCtr, 16);
    for before in [1, 3, 8191, 8192, 8193] {
        let iv = Iv::new(&0_u128.wrapping_sub(before).to_be_bytes()).unwrap();
        same_as_the_cpu(&qat, &key, &noise(300_000), &CipherOptions::new(Cipher::AesCtr).iv(iv));
    }
}

#[test]
fn what_libqat_does_not_take_is_unsupported_and_goes_to_the_cpu() {
    let turn = Turn::take();
    let qat = turn.start();
    let auto = AutoAccelerator::new(qat.clone(), Policy::Threshold(0));
    for (cipher, text, aad) in [
        (Cipher::AesGcm, 100, 241),
        (Cipher::AesCcm, 100, 223),
        (Cipher::ChaCha20Poly1305, 100, 1000),
        (Cipher::ChaCha20Poly1305, 0, 5),
    ] {
        let (key, plain, options) = (key(cipher, 32), noise(text), options(cipher, aad));
        let refused = qat.encrypt(&key, &plain, &options).unwrap_err();
        assert!(matches!(refused, Error::Unsupported { .. }), "{cipher}: {refused}");
        let (sealed, done) = auto.encrypt(&key, &plain, &options).unwrap();
        assert_eq!(done.outcome.path, ExecutedOn::Software(SoftwareReason::Unsupported), "{cipher}");
        let refused = qat.decrypt(&key, &sealed, &options).unwrap_err();
        assert!(matches!(refused, Error::Unsupported { .. }), "{cipher}: {refused}");
        same(&auto.decrypt(&key, &sealed, &options).unwrap().0, &plain, cipher);
    }
    // The limits, and what has none.
    same_as_the_cpu(&qat, &key(Cipher::AesCcm, 32), &noise(100), &options(Cipher::AesCcm, 222));
    same_as_the_cpu(&qat, &key(Cipher::AesGcm, 32), &noise(100), &options(Cipher::AesGcm, 240));
    let cipher = Cipher::AesCbcHmacSha256;
    same_as_the_cpu(&qat, &key(cipher, 32), &noise(100), &options(cipher, 10_000));
}

#[test]
fn keys_outlive_a_start() {
    let turn = Turn::take();
    let keys = Cipher::ALL.map(|cipher| (cipher, key(cipher, 32)));
    for _ in 0..3 {
        let qat = turn.start();
        for (cipher, key) in &keys {
            same_as_the_cpu(&qat, key, &noise(1000), &options(*cipher, 5));
        }
        qat.shutdown();
        let (cipher, key) = &keys[0];
        let error = qat.encrypt(key, b"x", &options(*cipher, 5)).unwrap_err();
        assert!(matches!(error, Error::Unavailable { .. }), "{error}");
        qat.reinitialize().unwrap();
        for (cipher, key) in &keys {
            same_as_the_cpu(&qat, key, &noise(1000), &options(*cipher, 5));
        }
    }
}

#[test]
fn threads_share_a_key() {
    let turn = Turn::take();
    let qat = turn.start();
    let keys = Cipher::ALL.map(|cipher| (cipher, key(cipher, 32)));
    std::thread::scope(|scope| {
        for thread in 0..4 {
            let (qat, keys) = (&qat, &keys);
            scope.spawn(move || {
                for round in 0..30 {
                    for (cipher, key) in keys {
                        // More lengths of associated data than a key keeps sessions for.
                        same_as_the_cpu(
                            qat,
                            key,
                            &noise(500 + round),
                            &options(*cipher, (thread + round) % 9),
                        );
                    }
                }
            });
        }
    });
}

/// Nothing is believed to be encrypted or authentic that the device refused.
#[test]
fn what_the_device_refuses_is_not_offered() {
    let turn = Turn::take();
    let qat = turn.start();
    let auto = AutoAccelerator::new(qat.clone(), Policy::Threshold(0));
    turn.refuse();
    for (cipher, feature) in Cipher::ALL.into_iter().zip([
        "qat.encryption.aes-gcm",
        "qat.encryption.aes-cbc",
        "qat.encryption.aes-cbc-hmac-sha-256",
        "qat.encryption.aes-ctr",
        "qat.encryption.chacha20-poly1305",
        "qat.encryption.aes-xts",
        "qat.encryption.aes-ccm",
    ]) {
        assert!(qat.registry().is_present(feature), "{feature}");
        let (key, plain, options) = (key(cipher, 32), noise(100), options(cipher, 5));
        let error = qat.encrypt(&key, &plain, &options).unwrap_err();
        assert!(matches!(error, Error::Unsupported { .. }), "{cipher}: {error}");
        assert!(!qat.capabilities().unwrap().encryption.offers(cipher));
        assert!(!qat.registry().is_present(feature), "{feature}");
        let (sealed, done) = auto.encrypt(&key, &plain, &options).unwrap();
        assert_eq!(done.outcome.path, ExecutedOn::Software(SoftwareReason::Unsupported));
        let error = qat.decrypt(&key, &sealed, &options).unwrap_err();
        assert!(matches!(error, Error::Unsupported { .. }), "{cipher}: {error}");
    }
    let error = qat.process(&Operation::Digest(Digest::Sha256), b"abc").unwrap_err();
    assert!(matches!(error, Error::Unsupported { .. }), "{error}");
    let hmac_key = Key::new(&noise(32));
    for (digest, feature) in
        [(Digest::Sha256, "qat.encryption.hmac-sha-2"), (Digest::Sha3_384, "qat.encryption.hmac-sha-3")]
    {
        assert!(qat.registry().is_present(feature), "{feature}");
        let error = qat.hmac(&hmac_key, digest, b"abc").unwrap_err();
        assert!(matches!(error, Error::Unsupported { .. }), "{error}");
        assert!(!qat.capabilities().unwrap().encryption.offers_hmac(digest));
        assert!(!qat.registry().is_present(feature), "{feature}");
    }
    let (_, done) = auto.hmac(&hmac_key, Digest::Sha256, b"abc").unwrap();
    assert_eq!(done.path, ExecutedOn::Software(SoftwareReason::Unsupported));
    // A fresh start tries again.
    drop(auto);
    turn.emulator.disarm();
    qat.reinitialize().unwrap();
    assert!(Digest::ALL.iter().all(|digest| qat.capabilities().unwrap().encryption.offers_hmac(*digest)));
    for cipher in Cipher::ALL {
        assert!(qat.capabilities().unwrap().encryption.offers(cipher));
        same_as_the_cpu(&qat, &key(cipher, 32), &noise(100), &options(cipher, 5));
    }
}

/// The same from one request to the next, when the trial is long over.
#[test]
fn a_request_that_was_refused_is_no_success() {
    let turn = Turn::take();
    let qat = turn.start();
    for (cipher, len) in
        Cipher::ALL.into_iter().flat_map(|cipher| [0, 1, 7, 8, 15, 16, 100].map(|len| (cipher, len)))
    {
        if !emulated::takes(cipher, len, 5) || len == 0 && cipher == Cipher::AesCtr {
            // Those are never sent.
            continue;
        }
        let (key, plain, options) = (key(cipher, 32), noise(len), options(cipher, 5));
        let (sealed, _) = qat.encrypt(&key, &plain, &options).unwrap();
        turn.refuse();
        let mut output = vec![0; 200];
        let mut forged = sealed.clone();
        let tag_at = forged.len() - cipher.tag_len();
        forged[tag_at..].fill(0xd1);
        for error in [
            qat.encrypt_into(&key, &plain, &mut output, &options).unwrap_err(),
            qat.decrypt_into(&key, &sealed, &mut output, &options).unwrap_err(),
            qat.decrypt_into(&key, &forged, &mut output, &options).unwrap_err(),
        ] {
            let Error::Device { reason, .. } = &error else { panic!("{cipher}, {len} bytes: {error}") };
            let Some(DeviceError::Failed { status, .. }) = reason.downcast_ref() else { panic!("{error}") };
            assert_eq!(*status, CpaStatus::UNSUPPORTED, "{cipher}, {len} bytes");
        }
        assert!(output.iter().all(|byte| *byte == 0), "{cipher}: something was handed out");
        turn.emulator.disarm();
        same(&qat.decrypt(&key, &sealed, &options).unwrap().0, &plain, cipher);
    }
    let digest = Operation::Digest(Digest::Sha256);
    qat.process(&digest, b"abc").unwrap();
    turn.refuse();
    let error = qat.process(&digest, b"abc").unwrap_err();
    assert!(matches!(error, Error::Device { .. }), "{error}");
    turn.emulator.disarm();
    let key = Key::new(&noise(32));
    qat.hmac(&key, Digest::Sha256, b"abc").unwrap();
    turn.refuse();
    let error = qat.hmac(&key, Digest::Sha256, b"abc").unwrap_err();
    assert!(matches!(error, Error::Device { .. }), "{error}");
}

#[test]
fn a_tag_that_the_device_finds_wrong_is_an_authentication_failure() {
    let turn = Turn::take();
    let qat = turn.start();
    for cipher in [Cipher::AesGcm, Cipher::ChaCha20Poly1305, Cipher::AesCcm] {
        let (key, plain, options) = (key(cipher, 32), vec![b'S'; 100], options(cipher, 5));
        let (sealed, _) = qat.encrypt(&key, &plain, &options).unwrap();
        turn.emulator.arm(Fault::new(FaultKind::DigestMismatch).on_service(Service::Symmetric).every(1));
        let mut output = vec![0; 100];
        let error = qat.decrypt_into(&key, &sealed, &mut output, &options).unwrap_err();
        assert!(matches!(error, Error::Authentication { .. }), "{cipher}: {error}");
        assert_eq!(output, [0; 100]);
        turn.emulator.disarm();
        assert_eq!(qat.decrypt(&key, &sealed, &options).unwrap().0, plain);
    }
}

#[test]
fn what_fails_on_the_device_is_an_error() {
    let turn = Turn::take();
    let qat = turn.start();
    for cipher in Cipher::ALL {
        let (key, plain, options) = (key(cipher, 32), noise(100), options(cipher, 5));
        let (sealed, _) = qat.encrypt(&key, &plain, &options).unwrap();
        let mut output = vec![0; 200];
        turn.emulator.arm(Fault::new(FaultKind::Error { code: -1 }).on_service(Service::Symmetric).every(1));
        let error = qat.encrypt_into(&key, &plain, &mut output, &options).unwrap_err();
        assert!(matches!(error, Error::Device { .. }), "{cipher}: {error}");
        // An error that comes with a tag to compare cannot be told from a wrong tag.
        let error = qat.decrypt_into(&key, &sealed, &mut output, &options).unwrap_err();
        assert!(matches!(error, Error::Device { .. } | Error::Authentication { .. }), "{cipher}: {error}");
        assert!(output.iter().all(|byte| *byte == 0), "{cipher}: something was handed out");
        turn.emulator.disarm();
        same(&qat.decrypt(&key, &sealed, &options).unwrap().0, &plain, cipher);
    }
}

/// The session of a request that nobody waits for any more stays until the answer, whatever becomes of the key.
#[test]
fn dropped_futures_keep_what_the_device_still_uses() {
    let turn = Turn::take();
    let qat = turn.start();
    for cipher in Cipher::ALL {
        let options = options(cipher, 5);
        qat.encrypt(&key(cipher, 32), b"the trial is over", &options).unwrap();
        turn.emulator
            .arm(Fault::new(FaultKind::Late { microseconds: 2000 }).on_service(Service::Symmetric).every(1));
        for _ in 0..20 {
            drop(qat.encrypt_async(key(cipher, 32), noise(1000), options.clone()));
        }
        turn.emulator.disarm();
        same_as_the_cpu(&qat, &key(cipher, 32), &noise(1000), &options);
    }
    assert_eq!(qat.statistics().in_flight, 0);
    drop(qat);
    let counters = turn.emulator.counters();
    assert_eq!((counters.dma_faults, counters.in_work, counters.engine_panics), (0, 0, 0));
}

/// All of that over libqat 26.08.
#[test]
fn all_with_libqat_26_08() {
    const NAME: &str = "all_with_libqat_26_08";
    let Some(mut program) = emulated::with_libqat_26_08(NAME) else { return };
    emulated::passes(program.args(["--skip", NAME]), "test result: ok");
}
