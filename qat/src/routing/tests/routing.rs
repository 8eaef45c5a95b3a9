//! Each policy on hardware that works, refuses, fails, lies and is full.

use std::mem::discriminant;
use std::sync::Arc;
use std::thread;
use std::time::{Duration, Instant};

use accel_core::{
    AcceleratorTypes, Checksum, Cipher, CipherOptions, CompressOptions, CompressionAccelerator,
    DecompressOptions, Digest, EncryptionAccelerator, Error, ExecutedOn, Format, HardwareAccelerator, Iv,
    Key, Operation, SoftwareReason,
};
use pollster::block_on;

use super::super::{AutoAccelerator, Policy};
use super::double::{Double, HERE};
use crate::error::Unavailability;
use crate::job::WorkClass;
use crate::software::SoftwareAccelerator;

const GZIP: CompressOptions = CompressOptions::new(Format::Gzip);
const GUNZIP: DecompressOptions = DecompressOptions::new(Format::Gzip);

/// So much that every operation on it is worth a device's while by the priors. Hard to compress, so that what was
/// compressed is long as well.
fn plain() -> Vec<u8> {
    let mut state = 1_u32;
    let next = || {
        state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        (state >> 24) as u8
    };
    std::iter::repeat_with(next).take(1 << 18).collect()
}

fn packed() -> Vec<u8> {
    SoftwareAccelerator::new().compress(&plain(), &GZIP).unwrap().0
}

fn unavailable() -> Error {
    Error::Unavailable { accelerator: "double", reason: Arc::new(Unavailability::NoDevice) }
}

fn broken() -> Error {
    Error::Device { accelerator: "double", reason: Arc::new(Unavailability::NoDevice) }
}

/// Every error that hardware may answer with, and why the CPU does the work then; `None` where the error is final.
fn answers() -> Vec<(Error, Option<SoftwareReason>)> {
    let format = Format::Gzip;
    let device_error = Some(SoftwareReason::DeviceError);
    vec![
        (unavailable(), Some(SoftwareReason::Unavailable)),
        (
            Error::Unsupported { accelerator: "double", operation: "it".into(), remedy: "no".into() },
            Some(SoftwareReason::Unsupported),
        ),
        (Error::Busy { accelerator: "double" }, Some(SoftwareReason::Busy)),
        (broken(), device_error),
        (Error::Internal { engine: "double", detail: "confused".into() }, device_error),
        // The data are good, so that these are lies.
        (Error::Corrupt { format, detail: "a lie".into() }, device_error),
        (Error::Truncated { format }, device_error),
        (Error::TrailingData { format, consumed: 1 }, device_error),
        (Error::Authentication { cipher: Cipher::AesGcm }, device_error),
        (Error::InvalidArgument { argument: "it", remedy: "none".into() }, None),
        (Error::OutputTooSmall { required: None, available: 1 }, None),
        (Error::LimitExceeded { limit: 1 }, None),
    ]
}

/// One blocking and one asynchronous request; both must come to the same.
fn both_forms(
    auto: &AutoAccelerator,
    packed: &[u8],
    len: usize,
) -> [Result<(Vec<u8>, ExecutedOn), Error>; 2] {
    let blocking = auto.decompress(packed, &GUNZIP).map(|(bytes, outcome)| (bytes, outcome.path));
    let done = block_on(auto.decompress_into_async(packed.to_vec(), vec![0; len], GUNZIP));
    assert!(done.input == packed && done.output.len() == len, "the buffers come back");
    [blocking, done.result.map(|outcome| (done.output, outcome.path))]
}

#[test]
fn each_policy_on_each_answer() {
    let (plain, packed) = (plain(), packed());
    for (error, reason) in answers() {
        for policy in [Policy::Auto, Policy::Threshold(0), Policy::Always, Policy::Never] {
            // A device of its own for each form: the second request to one that failed would not reach it.
            for form in 0..2 {
                let double = Double::new().fails(error.clone());
                let auto = AutoAccelerator::with_hardware(double.clone(), policy);
                let what = format!("{policy:?}, {error:?}, form {form}");
                let result = if form == 0 {
                    auto.decompress(&packed, &GUNZIP)
                } else {
                    let done =
                        block_on(auto.decompress_into_async(packed.clone(), vec![0; plain.len()], GUNZIP));
                    assert!(done.input == packed && done.output.len() == plain.len(), "{what}: buffers");
                    done.result.map(|outcome| (done.output, outcome))
                };
                let expected = match policy {
                    Policy::Never => Some(SoftwareReason::Policy),
                    Policy::Always => None,
                    _ => reason,
                };
                assert_eq!(double.calls(), u64::from(policy != Policy::Never), "{what}");
                let statistics = auto.statistics();
                assert_eq!(statistics.in_flight, 0, "{what}");
                match (result, expected) {
                    (Ok((bytes, outcome)), Some(reason)) => {
                        assert!(bytes == plain, "{what}");
                        assert_eq!(outcome.path, ExecutedOn::Software(reason), "{what}");
                        assert_eq!((statistics.operations, statistics.errors), (1, 0), "{what}");
                        assert_eq!(statistics.software.count(reason), 1, "{what}");
                    }
                    (Err(got), None) => {
                        assert_eq!(discriminant(&got), discriminant(&error), "{what}: {got}");
                        assert_eq!((statistics.operations, statistics.errors), (0, 1), "{what}");
                    }
                    (result, _) => panic!("{what}: {:?}", result.map(|(_, outcome)| outcome)),
                }
                let is_failure = expected == Some(SoftwareReason::DeviceError);
                assert_eq!(auto.model().failures, u64::from(is_failure), "{what}");
            }
        }
    }
}

#[test]
fn hardware_that_is_not_there_is_not_tried() {
    let (plain, packed) = (plain(), packed());
    for policy in [Policy::Auto, Policy::Threshold(0)] {
        let double = Double::new().types(AcceleratorTypes::ENCRYPTION);
        let auto = AutoAccelerator::with_hardware(double.clone(), policy);
        for result in both_forms(&auto, &packed, plain.len()) {
            assert_eq!(result.unwrap().1, ExecutedOn::Software(SoftwareReason::Unavailable), "{policy:?}");
        }
        assert_eq!(double.calls(), 0);
        let options = CipherOptions::new(Cipher::AesGcm);
        let (_, done) = auto.encrypt(&Key::new(&[1; 32]), &plain, &options).unwrap();
        assert_eq!((done.outcome.path, double.calls()), (HERE, 1), "{policy:?}");
        // It worked, so well that it will be wanted again, and goes.
        let (model, kind) = (&auto.shared.model, WorkClass::Encrypt(Cipher::AesGcm));
        for _ in 0..100 {
            model.device_did(&model.measurement(kind, plain.len(), 0, 0), Duration::ZERO);
        }
        let _ = double.types(AcceleratorTypes::empty());
        let (_, done) = auto.encrypt(&Key::new(&[1; 32]), &plain, &options).unwrap();
        assert_eq!(done.outcome.path, ExecutedOn::Software(SoftwareReason::Unavailable), "{policy:?}");
    }
}

#[test]
fn bad_data_are_bad_by_the_word_of_the_cpu() {
    let mut packed = packed();
    packed[100_000] ^= 1;
    for lie in [None, Some(Error::TrailingData { format: Format::Gzip, consumed: 3 })] {
        let auto = AutoAccelerator::with_hardware(Double::new().fails(lie), Policy::Auto);
        for result in both_forms(&auto, &packed, 1 << 18) {
            assert!(matches!(result, Err(Error::Corrupt { .. })), "{result:?}");
        }
        assert_eq!((auto.statistics().errors, auto.model().failures), (2, 0));
    }
    let (key, options) =
        (Key::new(&[1; 32]), CipherOptions::new(Cipher::AesGcm).iv(Iv::new(&[2; 12]).unwrap()));
    let auto = AutoAccelerator::with_hardware(Double::new(), Policy::Threshold(0));
    let refused = auto.decrypt(&key, &[3; 999], &options);
    assert!(matches!(refused, Err(Error::Authentication { .. })), "{refused:?}");
}

#[test]
fn a_device_in_its_pause_gets_nothing() {
    let packed = packed();
    for (policy, form) in [Policy::Auto, Policy::Threshold(0)].into_iter().flat_map(|it| [(it, 0), (it, 1)]) {
        let double = Double::new();
        let auto = AutoAccelerator::with_hardware(double.clone(), policy);
        let model = &auto.shared.model;
        let in_an_hour = model.at(Instant::now()) + 3_600_000_000_000;
        model.device_failed(
            &model.measurement(WorkClass::Decompress(Format::Gzip), packed.len(), 0, 0),
            in_an_hour,
        );
        let outcome = if form == 0 {
            auto.decompress(&packed, &GUNZIP)
        } else {
            block_on(auto.decompress_async(packed.clone(), GUNZIP))
        };
        assert_eq!(outcome.unwrap().1.path, ExecutedOn::Software(SoftwareReason::DeviceError), "{policy:?}");
        assert_eq!(double.calls(), 0, "{policy:?}");
    }
}

/// Every call reaches its counterpart, on hardware and, when that fails, on the CPU.
#[test]
fn every_operation_takes_both_roads() {
    let plain = plain();
    let software = SoftwareAccelerator::new();
    let (key, iv) = (Key::new(&[1; 32]), Iv::new(&[2; 12]).unwrap());
    let options = CipherOptions::new(Cipher::AesGcm).iv(iv).aad(&b"head"[..]);
    let (packed, _) = software.compress(&plain, &GZIP).unwrap();
    let (sealed, _) = software.encrypt(&key, &plain, &options).unwrap();
    let failed = ExecutedOn::Software(SoftwareReason::DeviceError);
    for (double, policy, path) in
        [(Double::new(), Policy::Always, HERE), (Double::new().fails(broken()), Policy::Threshold(0), failed)]
    {
        let auto = AutoAccelerator::with_hardware(double, policy);
        let bound = auto.compress_bound(plain.len(), &GZIP);
        let mut output = vec![0; bound];
        let same = |bytes: &[u8], expected: &[u8], outcome: accel_core::Outcome| {
            assert!(bytes == expected, "{} bytes, expected {}", bytes.len(), expected.len());
            assert_eq!((outcome.path, outcome.bytes_out), (path, expected.len()));
        };

        let (bytes, outcome) = auto.compress(&plain, &GZIP).unwrap();
        same(&bytes, &packed, outcome);
        let outcome = auto.compress_into(&plain, &mut output, &GZIP).unwrap();
        same(&output[..outcome.bytes_out], &packed, outcome);
        let (bytes, outcome) = auto.decompress(&packed, &GUNZIP).unwrap();
        same(&bytes, &plain, outcome);
        let outcome = auto.decompress_into(&packed, &mut output, &GUNZIP).unwrap();
        same(&output[..outcome.bytes_out], &plain, outcome);
        let (bytes, done) = auto.encrypt(&key, &plain, &options).unwrap();
        same(&bytes, &sealed, done.outcome);
        let done = auto.encrypt_into(&key, &plain, &mut output, &options).unwrap();
        same(&output[..sealed.len()], &sealed, done.outcome);
        let (bytes, outcome) = auto.decrypt(&key, &sealed, &options).unwrap();
        same(&bytes, &plain, outcome);
        let outcome = auto.decrypt_into(&key, &sealed, &mut output, &options).unwrap();
        same(&output[..outcome.bytes_out], &plain, outcome);

        let (bytes, outcome) = block_on(auto.compress_async(plain.clone(), GZIP)).unwrap();
        same(&bytes, &packed, outcome);
        let done = block_on(auto.compress_into_async(plain.clone(), output, GZIP));
        assert!(done.input == plain && done.output.len() == bound);
        same(&done.output[..packed.len()], &packed, done.result.unwrap());
        let (bytes, outcome) = block_on(auto.decompress_async(packed.clone(), GUNZIP)).unwrap();
        same(&bytes, &plain, outcome);
        let done = block_on(auto.decompress_into_async(packed.clone(), done.output, GUNZIP));
        assert!(done.input == packed && done.output.len() == bound);
        same(&done.output[..plain.len()], &plain, done.result.unwrap());
        let (bytes, sealed_async) =
            block_on(auto.encrypt_async(key.clone(), plain.clone(), options.clone())).unwrap();
        same(&bytes, &sealed, sealed_async.outcome);
        let done =
            block_on(auto.encrypt_into_async(key.clone(), plain.clone(), done.output, options.clone()));
        assert!(done.input == plain && done.output.len() == bound);
        same(&done.output[..sealed.len()], &sealed, done.result.unwrap().outcome);
        let (bytes, outcome) =
            block_on(auto.decrypt_async(key.clone(), sealed.clone(), options.clone())).unwrap();
        same(&bytes, &plain, outcome);
        let done =
            block_on(auto.decrypt_into_async(key.clone(), sealed.clone(), done.output, options.clone()));
        assert!(done.input == sealed && done.output.len() == bound);
        same(&done.output[..plain.len()], &plain, done.result.unwrap());

        for (operation, expected) in [
            (Operation::Compress(GZIP), packed.clone()),
            (Operation::Checksum(Checksum::Crc32), libdeflater::crc32(&plain).to_be_bytes().to_vec()),
            (Operation::Digest(Digest::Sha256), crate::software::digest(Digest::Sha256, &plain).unwrap()),
        ] {
            let (bytes, outcome) = auto.process(&operation, &plain).unwrap();
            same(&bytes, &expected, outcome);
        }
        let mac = crate::software::hmac::hmac(&key, Digest::Sha256, &plain, <[u8]>::to_vec).unwrap();
        let (bytes, outcome) = auto.hmac(&key, Digest::Sha256, &plain).unwrap();
        same(&bytes, &mac, outcome);
        let (bytes, outcome) = block_on(auto.hmac_async(key.clone(), Digest::Sha256, plain.clone())).unwrap();
        same(&bytes, &mac, outcome);
        let digest = crate::software::digest(Digest::Sha256, &plain).unwrap();
        let (bytes, outcome) = auto.digest(Digest::Sha256, &plain).unwrap();
        same(&bytes, &digest, outcome);
        let (bytes, outcome) = block_on(auto.digest_async(Digest::Sha256, plain.clone())).unwrap();
        same(&bytes, &digest, outcome);
        let (value, outcome) = auto.checksum(Checksum::Crc32, &plain).unwrap();
        same(&value.to_be_bytes()[4..], &libdeflater::crc32(&plain).to_be_bytes(), outcome);
        assert_eq!(auto.statistics().operations, 24);
        let on_cpu = if path == HERE { 0 } else { 24 };
        assert_eq!(auto.statistics().software.count(SoftwareReason::DeviceError), on_cpu);
    }
}

/// While the device keeps what it has, the CPU does the rest.
#[test]
fn a_full_device_and_the_cpu_work_side_by_side() {
    let (plain, requests, room) = (plain(), 8_u64, 2);
    for policy in [Policy::Auto, Policy::Threshold(0)] {
        let double = Double::new().capacity(room).closed();
        let auto = AutoAccelerator::with_hardware(double.clone(), policy);
        thread::scope(|scope| {
            let calls: Vec<_> =
                (0..requests).map(|_| scope.spawn(|| auto.compress(&plain, &GZIP).unwrap().1)).collect();
            while auto.statistics().operations < requests - room as u64 {
                thread::yield_now();
            }
            // What is left is on the device, all of it.
            let now = auto.statistics();
            assert_eq!(
                (now.software.total(), now.in_flight, auto.model().on_device),
                (6, 2, 2),
                "{policy:?}"
            );
            double.open();
            let outcomes: Vec<_> = calls.into_iter().map(|call| call.join().unwrap()).collect();
            assert_eq!(outcomes.iter().filter(|outcome| outcome.path == HERE).count(), room, "{policy:?}");
        });
        let all = auto.statistics();
        assert_eq!((all.operations, all.errors, all.in_flight, all.software.total()), (8, 0, 0, 6));
        if policy != Policy::Auto {
            assert_eq!(all.software.count(SoftwareReason::Busy), 6);
        }
    }
}

#[test]
fn futures_fill_the_device_and_spill_to_the_pool() {
    let (plain, room) = (plain(), 3);
    let double = Double::new().capacity(room);
    let auto = AutoAccelerator::with_hardware(double.clone(), Policy::Threshold(0));
    block_on(auto.compress_async(plain.clone(), GZIP)).unwrap();
    let _ = double.clone().closed();
    // The device has its requests as soon as the calls return, before anybody waits for them.
    let mut futures: Vec<_> = (0..8).map(|_| auto.compress_async(plain.clone(), GZIP)).collect();
    assert_eq!(auto.model().on_device, room as u64);
    for future in futures.drain(room..) {
        assert_eq!(block_on(future).unwrap().1.path, ExecutedOn::Software(SoftwareReason::Busy));
    }
    double.open();
    for future in futures {
        assert_eq!(block_on(future).unwrap().1.path, HERE);
    }
    let all = auto.statistics();
    assert_eq!((all.operations, all.errors, all.in_flight, all.software.total()), (9, 0, 0, 5));
    assert_eq!((auto.model().on_device, auto.model().on_cpu), (0, 0));
}

#[test]
fn choosing_and_learning_allocate_nothing() {
    let plain = plain();
    for (double, policy) in [
        (Double::new(), Policy::Auto),
        (Double::new(), Policy::Always),
        (Double::new(), Policy::Never),
        (Double::new().capacity(0), Policy::Auto),
        (Double::new().capacity(0), Policy::Threshold(0)),
    ] {
        let auto = AutoAccelerator::with_hardware(double, policy);
        let mut output = vec![0; auto.compress_bound(plain.len(), &GZIP)];
        let mut call = || auto.compress_into(&plain, &mut output, &GZIP).unwrap();
        call();
        call();
        let info = allocation_counter::measure(|| (0..5).for_each(|_| assert!(call().bytes_out > 0)));
        assert_eq!(info.count_total, 0, "{policy:?}: {} bytes", info.bytes_total);
    }
}

#[test]
fn under_load_every_request_is_counted_once() {
    let plain = plain();
    let double = Double::new().capacity(1);
    let auto = AutoAccelerator::with_hardware(double.clone(), Policy::Auto);
    let (threads, each) = (4, 10);
    let on_device: u64 = thread::scope(|scope| {
        let counted = || (0..each).filter(|_| auto.compress(&plain, &GZIP).unwrap().1.path == HERE).count();
        let calls: Vec<_> = (0..threads).map(|_| scope.spawn(counted)).collect();
        calls.into_iter().map(|call| call.join().unwrap() as u64).sum()
    });
    let all = auto.statistics();
    assert_eq!((all.operations, all.errors, all.in_flight), (threads * each, 0, 0));
    assert_eq!(on_device + all.software.total(), threads * each);
    assert!(on_device > 0, "the first request goes to the device");
    let model = auto.model();
    assert_eq!((model.on_cpu, model.on_device, model.cells.len()), (0, 0, 1), "{model:?}");
}

#[test]
fn the_first_question_does_not_block_an_executor() {
    let double = Double::new();
    let auto = AutoAccelerator::with_hardware(double.clone(), Policy::Auto);
    block_on(auto.compress_async(plain(), GZIP)).unwrap();
    assert!(double.asked_by().is_some_and(|thread| thread != thread::current().id()));
}

#[test]
fn a_future_that_is_dropped_leaves_the_counts_right() {
    let double = Double::new();
    let auto = AutoAccelerator::with_hardware(double.clone(), Policy::Always);
    block_on(auto.compress_async(plain(), GZIP)).unwrap();
    let _ = double.clone().closed();
    let future = auto.compress_async(plain(), GZIP);
    assert_eq!((auto.statistics().in_flight, auto.model().on_device), (1, 1));
    drop(future);
    let counted = auto.statistics();
    assert_eq!((counted.operations, counted.errors, counted.in_flight), (1, 0, 0));
    assert_eq!(counted.abandoned, 1);
    double.open();
}
