//! Tests of the policy: where work runs, and what is said of it.

use accel_core::{
    Cipher, CipherOptions, CompressOptions, CompressionAccelerator, EncryptionAccelerator, Error, ExecutedOn,
    Format, Key, Operation, SoftwareReason,
};
use capability_registry::Registry;

use super::super::*;
use crate::device::lifecycle::Driver;
use crate::device::lifecycle::stub::{FakeProbe, stub_library};
use crate::software::SoftwareAccelerator;

fn auto(driver: &'static Driver, policy: Policy) -> AutoAccelerator {
    let qat = QatAccelerator::with_driver(Registry::new(), FakeProbe::none(), driver);
    AutoAccelerator::new(qat, policy)
}

const GZIP: CompressOptions = CompressOptions::new(Format::Gzip);
/// What the stub does not offer.
const CHACHA: CipherOptions<'static> = CipherOptions::new(Cipher::ChaCha20Poly1305);

#[test]
fn each_policy_runs_where_it_says_and_says_why() {
    stub_library!(absent: available 0, start 0, instances [0, 0, 0, 0]);
    stub_library!(there: available 1, start 0, instances [0, 0, 1, 0]);
    let (small, large) = (vec![7; 100], vec![7; 4_000_000]);
    let cases = [
        (Policy::Auto, &absent::DRIVER, &small, SoftwareReason::Unavailable),
        (Policy::Auto, &absent::DRIVER, &large, SoftwareReason::Unavailable),
        (Policy::Auto, &there::DRIVER, &small, SoftwareReason::Sooner),
        (Policy::Auto, &there::DRIVER, &large, SoftwareReason::Unsupported),
        (Policy::Never, &there::DRIVER, &large, SoftwareReason::Policy),
        (Policy::Threshold(101), &there::DRIVER, &small, SoftwareReason::TooSmall),
        (Policy::Threshold(100), &there::DRIVER, &small, SoftwareReason::Unsupported),
        (Policy::Threshold(0), &absent::DRIVER, &small, SoftwareReason::Unavailable),
    ];
    let (software, key) = (SoftwareAccelerator::new(), Key::new(&[1; 32]));
    for (policy, driver, input, reason) in cases {
        let auto = auto(driver, policy);
        let (sealed, done) = auto.encrypt(&key, input, &CHACHA).unwrap();
        assert_eq!(done.outcome.path, ExecutedOn::Software(reason), "{policy:?}");
        let (plain, _) = software.decrypt(&key, &sealed, &CHACHA.iv(done.iv)).unwrap();
        assert!(plain == *input);
        let statistics = auto.statistics();
        assert_eq!((statistics.operations, statistics.errors), (1, 0));
        assert_eq!(statistics.software.count(reason), 1, "{policy:?}");
        assert!(auto.is_available() && auto.initialize().is_ok());
    }
}

#[test]
fn never_does_not_even_look() {
    stub_library!(unseen: available 1, start 0, instances [1, 0, 0, 0]);
    let auto = auto(&unseen::DRIVER, Policy::Never);
    auto.initialize().unwrap();
    auto.compress(b"plain", &GZIP).unwrap();
    assert_eq!(unseen::COUNTS.seen(), [0, 0, 0]);
}

#[test]
fn always_gives_the_hardware_error() {
    stub_library!(gone: available 0, start 0, instances [0, 0, 0, 0]);
    stub_library!(here: available 1, start 0, instances [1, 0, 1, 0]);
    let without = auto(&gone::DRIVER, Policy::Always);
    assert!(!without.is_available() && !without.has_cpu_fallback() && without.initialize().is_err());
    assert!(matches!(without.compress(b"plain", &GZIP), Err(Error::Unavailable { .. })));
    let with = auto(&here::DRIVER, Policy::Always);
    assert!(with.is_available());
    let sealed = with.encrypt(&Key::new(&[1; 32]), b"plain", &CHACHA);
    assert!(matches!(sealed, Err(Error::Unsupported { .. })));
    assert_eq!(with.statistics().errors, 1);
}

#[test]
fn errors_of_the_caller_are_not_retried_elsewhere() {
    stub_library!(device: available 1, start 0, instances [1, 0, 1, 0]);
    let auto = auto(&device::DRIVER, Policy::Threshold(0));
    let error = auto.encrypt_into(&Key::new(&[1; 32]), b"plain", &mut [0; 4], &CHACHA).unwrap_err();
    assert!(matches!(error, Error::OutputTooSmall { .. }), "{error}");
    assert!(matches!(auto.process(&Operation::Decrypt, b""), Err(Error::Unsupported { .. })));
    assert_eq!(auto.statistics().errors, 2);
}

#[test]
fn encryption_and_hashing_take_the_same_road() {
    stub_library!(crypto: available 1, start 0, instances [0, 0, 1, 0]);
    let auto = auto(&crypto::DRIVER, Policy::Threshold(0));
    let (key, options) = (Key::new(&[1; 32]), CHACHA.aad(&b"head"[..]));
    let (sealed, done) = auto.encrypt(&key, b"plain", &options).unwrap();
    assert_eq!(done.outcome.path, ExecutedOn::Software(SoftwareReason::Unsupported));
    let mut plain = [0; 16];
    let outcome = auto.decrypt_into(&key, &sealed, &mut plain, &options.iv(done.iv)).unwrap();
    assert_eq!(&plain[..outcome.bytes_out], b"plain");
    // Compression has no instance here, so the reason differs.
    let crc = Operation::Checksum(accel_core::Checksum::Crc32);
    let (value, outcome) = auto.process(&crc, b"123456789").unwrap();
    assert_eq!(
        (&value[..], outcome.path),
        (&0xCBF4_3926_u32.to_be_bytes()[..], ExecutedOn::Software(SoftwareReason::Unavailable))
    );
}
