//! [`accel_core::HardwareAccelerator`]: `process`, its refusals, and the counters.

use accel_core::{
    Checksum, CipherOptions, CompressOptions, DecompressOptions, Digest, Error, Key, Level, Operation,
    SoftwareReason,
};

use crate::support::{Subject, key, same, text, to_hex};

pub(crate) fn process_runs_every_operation(subject: &Subject) {
    let plain = text(100_000);
    for &format in subject.formats {
        let (to, from) = (CompressOptions::new(format), DecompressOptions::new(format));
        let (packed, outcome) = subject.compression.process(&Operation::Compress(to), &plain).unwrap();
        assert_eq!((outcome.bytes_in, outcome.bytes_out), (plain.len(), packed.len()));
        assert!((subject.may_run_on)(outcome.path));
        same(&packed, &subject.compression.compress(&plain, &to).unwrap().0, format);
        let (again, outcome) = subject.compression.process(&Operation::Decompress(from), &packed).unwrap();
        assert_eq!((outcome.bytes_in, outcome.bytes_out), (packed.len(), plain.len()));
        same(&again, &plain, format);
    }
    // Catalogued check values of CRC-32 and Adler-32; xxHash of nothing as its reference gives it; FIPS 180-4.
    for (operation, input, expected) in [
        (Operation::Checksum(Checksum::Crc32), &b"123456789"[..], "cbf43926"),
        (Operation::Checksum(Checksum::Adler32), b"Wikipedia", "11e60398"),
        (Operation::Checksum(Checksum::XxHash32), b"", "02cc5d05"),
        (Operation::Checksum(Checksum::XxHash64), b"", "ef46db3751d8e999"),
        (
            Operation::Digest(Digest::Sha256),
            b"abc",
            "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad",
        ),
    ] {
        let is_there = match &operation {
            Operation::Checksum(checksum) => subject.checksums.contains(checksum),
            Operation::Digest(digest) => subject.digests.contains(digest),
            other => unreachable!("{other:?}"),
        };
        let result = subject.compression.process(&operation, input);
        if !is_there {
            assert!(matches!(result, Err(Error::Unsupported { .. })), "{operation:?}: {result:?}");
            continue;
        }
        let (output, outcome) = result.unwrap();
        assert_eq!(to_hex(&output), expected, "{operation:?}");
        assert_eq!((outcome.bytes_in, outcome.bytes_out), (input.len(), expected.len() / 2));
    }
}

pub(crate) fn process_refuses_what_it_cannot_do(subject: &Subject) {
    let before = subject.compression.statistics();
    for (operation, call) in [
        (Operation::Encrypt, "EncryptionAccelerator::encrypt"),
        (Operation::Decrypt, "EncryptionAccelerator::decrypt"),
        (Operation::Hmac(Digest::Sha256), "EncryptionAccelerator::hmac"),
    ] {
        let error = subject.encryption.process(&operation, b"x").unwrap_err();
        assert!(matches!(error, Error::Unsupported { .. }), "{error}");
        assert!(error.to_string().contains(call), "{error}");
    }
    let error = subject.compression.process(&Operation::Named("transmogrify".into()), b"x").unwrap_err();
    assert!(matches!(error, Error::InvalidArgument { argument: "operation", .. }), "{error}");
    assert!(error.to_string().contains("transmogrify"), "{error}");
    let after = subject.compression.statistics();
    assert_eq!((after.errors - before.errors, after.operations), (4, before.operations));
}

pub(crate) fn statistics_add_up(subject: &Subject) {
    let accelerator = &subject.compression;
    assert!(accelerator.is_available() && !accelerator.name().is_empty() && !accelerator.types().is_empty());
    accelerator.initialize().unwrap();
    let fresh = accelerator.statistics();
    assert_eq!((fresh.operations, fresh.errors, fresh.in_flight), (0, 0, 0));
    assert!(fresh.latency.is_none() && fresh.throughput() == 0.0);

    let plain = text(30_000);
    let (mut operations, mut bytes_in, mut bytes_out, mut errors, mut software) = (0, 0, 0, 0, 0);
    let mut count = |outcome: accel_core::Outcome| {
        operations += 1;
        bytes_in += outcome.bytes_in as u64;
        bytes_out += outcome.bytes_out as u64;
        software += u64::from(!outcome.path.is_hardware());
    };
    for &format in subject.formats {
        let (to, from) = (CompressOptions::new(format), DecompressOptions::new(format));
        let (packed, outcome) = accelerator.compress(&plain, &to).unwrap();
        count(outcome);
        count(accelerator.decompress(&packed, &from).unwrap().1);
        count(accelerator.decompress_into(&packed, &mut vec![0; plain.len()], &from).unwrap());
        count(pollster::block_on(accelerator.compress_async(plain.clone(), to)).unwrap().1);
        accelerator.decompress_into(&packed, &mut [0; 3], &from).unwrap_err();
        accelerator.compress(&plain, &to.level(Level::Exact(99))).unwrap_err();
        errors += 2;
    }
    for &cipher in subject.ciphers {
        let (sealed, done) =
            subject.encryption.encrypt(&key(cipher), &plain, &CipherOptions::new(cipher)).unwrap();
        count(done.outcome);
        let options = CipherOptions::new(cipher).iv(done.iv);
        count(subject.encryption.decrypt(&key(cipher), &sealed, &options).unwrap().1);
        subject.encryption.decrypt(&key(cipher), &sealed, &CipherOptions::new(cipher)).unwrap_err();
        errors += 1;
    }
    for &digest in subject.digests {
        count(subject.encryption.hmac(&Key::new(b"key"), digest, &plain).unwrap().1);
        count(
            pollster::block_on(subject.encryption.hmac_async(Key::new(b"key"), digest, plain.clone()))
                .unwrap()
                .1,
        );
        subject.encryption.hmac(&Key::new(b""), digest, &plain).unwrap_err();
        errors += 1;
    }
    let threads = 4;
    let format = subject.formats[0];
    std::thread::scope(|scope| {
        for _ in 0..threads {
            scope.spawn(|| {
                for _ in 0..50 {
                    accelerator.compress(b"counted together", &CompressOptions::new(format)).unwrap();
                }
            });
        }
    });
    let (small, outcome) = accelerator.compress(b"counted together", &CompressOptions::new(format)).unwrap();
    count(outcome);
    let concurrent = 50 * threads;

    let got = accelerator.statistics();
    assert_eq!(got.operations, operations + concurrent);
    assert_eq!(got.bytes_in, bytes_in + concurrent * 16);
    assert_eq!(got.bytes_out, bytes_out + concurrent * small.len() as u64);
    assert_eq!((got.errors, got.in_flight, got.retries), (errors, 0, 0));
    let by_reason: u64 = SoftwareReason::ALL.into_iter().map(|reason| got.software.count(reason)).sum();
    assert_eq!(by_reason, software + if outcome.path.is_hardware() { 0 } else { concurrent });
    let latency = got.latency.unwrap();
    assert!(latency.p50 <= latency.p90 && latency.p90 <= latency.p99 && latency.p99 <= latency.p999);
    assert!(latency.p999 <= latency.max && latency.max <= got.busy * 2);
    assert!(got.throughput() > 0.0);
}

/// A future that is dropped counts as abandoned, unless its work was done before, and never as a failure.
pub(crate) fn dropped_futures_are_abandoned(subject: &Subject) {
    let accelerator = &subject.compression;
    let options = CompressOptions::new(subject.formats[0]).level(Level::Best);
    let plain = text(300_000);
    // The first call of a process may wait for the device to start.
    pollster::block_on(accelerator.compress_async(plain.clone(), options)).unwrap();
    let before = accelerator.statistics();
    let calls = 200;
    let futures: Vec<_> = (0..calls).map(|_| accelerator.compress_async(plain.clone(), options)).collect();
    assert!(accelerator.statistics().in_flight > 0);
    drop(futures);
    // What runs already is finished.
    while accelerator.statistics().in_flight > 0 {
        std::thread::yield_now();
    }
    let after = accelerator.statistics();
    let done = after.operations - before.operations;
    assert_eq!((done + after.abandoned - before.abandoned, after.errors - before.errors), (calls, 0));
    assert!(after.abandoned > before.abandoned, "all of them were done in the time of a loop");
}
