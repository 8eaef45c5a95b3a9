//! The `_into` calls allocate nothing in the steady state. What the C libraries allocate by themselves (ISA-L,
//! libdeflate, lz4, zstd and aws-lc call `malloc`) does not pass Rust's allocator and is not counted here.

mod support;

use accel_core::{
    Checksum, Cipher, CipherOptions, CompressOptions, CompressionAccelerator, DecompressOptions, Digest, End,
    Format, HardwareAccelerator, Iv, Job, Key, Level, Output,
};
use allocation_counter::measure;
use qat::{AutoAccelerator, Policy, QatAccelerator, SoftwareAccelerator};
use support::{FORMATS, integer_levels, key, noise, software, text};

/// Two calls to prepare contexts, then none may allocate.
#[track_caller]
fn allocates_nothing(what: impl std::fmt::Debug, mut call: impl FnMut()) {
    call();
    call();
    let info = measure(|| {
        for _ in 0..3 {
            call();
        }
    });
    assert_eq!(info.count_total, 0, "{what:?}: {} bytes", info.bytes_total);
}

#[test]
fn the_counter_is_in_place() {
    assert!(measure(|| drop(std::hint::black_box(vec![0_u8; 100]))).count_total > 0);
}

#[test]
fn compress_into() {
    let subject = software();
    for plain in [text(100_000), noise(5000), Vec::new()] {
        for format in FORMATS {
            let ends: &[End] =
                if format == Format::Deflate { &[End::Final, End::Open] } else { &[End::Final] };
            let named = [Level::Fast, Level::Balanced, Level::Best];
            for level in named.into_iter().chain(integer_levels(format).map(Level::Exact)) {
                for &end in ends {
                    let options = CompressOptions::new(format).level(level).end(end);
                    let mut output = vec![0; subject.compression.compress_bound(plain.len(), &options)];
                    allocates_nothing((format, level, end, plain.len()), || {
                        subject.compression.compress_into(&plain, &mut output, &options).unwrap();
                    });
                }
            }
        }
    }
}

/// A thread that comes to a core for the first time finds what it needs, too.
#[cfg(target_os = "linux")]
#[test]
fn compress_into_on_each_core() {
    use rustix::thread::{CpuSet, sched_getaffinity, sched_setaffinity};

    let subject = software();
    let (plain, options) = (text(10_000), CompressOptions::new(Format::Zlib).level(Level::Exact(11)));
    let mut output = vec![0; subject.compression.compress_bound(plain.len(), &options)];
    let mut compress_on = |core| {
        let mut here = CpuSet::new();
        here.set(core);
        sched_setaffinity(None, &here).unwrap();
        subject.compression.compress_into(&plain, &mut output, &options).unwrap();
    };
    let allowed = sched_getaffinity(None).unwrap();
    let mut cores = (0..CpuSet::MAX_CPU).filter(|core| allowed.is_set(*core));
    compress_on(cores.next().expect("this thread runs somewhere"));
    for core in cores {
        let info = measure(|| compress_on(core));
        assert_eq!(info.count_total, 0, "core {core}: {} bytes", info.bytes_total);
    }
}

/// Without hardware the policy asks whether it came, which costs no allocation. Once in a while a call does look, and may
/// allocate; there are not five such in a row.
#[test]
fn the_policy_without_hardware() {
    let probe = std::sync::Arc::new(qat::probe::QatProbe::with_root("/nowhere"));
    let absent = QatAccelerator::new(capability_registry::Registry::new(), probe);
    let auto = AutoAccelerator::new(absent, Policy::Auto);
    if auto.qat().is_available() {
        println!("this machine has QAT, and nothing is absent");
        return;
    }
    let (plain, options) = (text(100_000), CompressOptions::new(Format::Gzip));
    let mut output = vec![0; auto.compress_bound(plain.len(), &options)];
    let mut call = || {
        auto.compress_into(&plain, &mut output, &options).unwrap();
    };
    call();
    call();
    let counts: Vec<u64> = (0..5).map(|_| measure(&mut call).count_total).collect();
    assert!(counts.contains(&0), "{counts:?}");
}

#[test]
fn decompress_into() {
    let subject = software();
    for plain in [text(300_000), noise(5000), Vec::new()] {
        for format in FORMATS {
            let (packed, _) = subject.compression.compress(&plain, &CompressOptions::new(format)).unwrap();
            let mut output = vec![0; plain.len()];
            allocates_nothing((format, plain.len()), || {
                let options = DecompressOptions::new(format);
                subject.compression.decompress_into(&packed, &mut output, &options).unwrap();
            });
        }
    }
}

#[test]
fn encrypt_into_and_decrypt_into() {
    let subject = software();
    let aad = b"associated data";
    for plain in [text(100_000), Vec::new()] {
        let takes = |cipher: &&Cipher| cipher.plaintext_lens().contains(&plain.len());
        for &cipher in subject.ciphers.iter().filter(takes) {
            let key = key(cipher);
            let mut options = CipherOptions::new(cipher).iv(Iv::new(&noise(cipher.iv_len())).unwrap());
            if cipher.tag_len() > 0 {
                options = options.aad(&aad[..]);
            }
            let mut sealed = vec![0; cipher.ciphertext_len(plain.len())];
            allocates_nothing((cipher, "encrypt", plain.len()), || {
                subject.encryption.encrypt_into(&key, &plain, &mut sealed, &options).unwrap();
            });
            let mut opened = vec![0; sealed.len()];
            allocates_nothing((cipher, "decrypt", plain.len()), || {
                subject.encryption.decrypt_into(&key, &sealed, &mut opened, &options).unwrap();
            });
            // A drawn IV costs no allocation either.
            let options = CipherOptions::new(cipher);
            allocates_nothing((cipher, "random IV"), || {
                subject.encryption.encrypt_into(&key, &plain, &mut sealed, &options).unwrap();
            });
        }
    }
}

/// A digest, an HMAC or a checksum has no `_into` form, but a job can write it to a buffer.
#[test]
fn jobs_that_hash() {
    let (software, key, input) = (SoftwareAccelerator::new(), Key::new(b"a key"), text(10_000));
    for digest in Digest::ALL {
        for job in [Job::Digest(digest), Job::Hmac(&key, digest), Job::Checksum(Checksum::XxHash64)] {
            let mut output = [0; 64];
            allocates_nothing((job, digest), || {
                software.execute(job, &input, &mut Output::fixed(&mut output)).unwrap();
            });
        }
    }
}
