//! Throughput of the CPU engine through the public API, by Criterion: `cargo bench -p qat --bench software`.

use accel_core::{
    Cipher, CipherOptions, CompressOptions, CompressionAccelerator, DecompressOptions, EncryptionAccelerator,
    Format, HardwareAccelerator, Iv, Key, Level,
};
use criterion::{BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};
use qat::SoftwareAccelerator;

const SIZES: [usize; 3] = [4 << 10, 64 << 10, 1 << 20];

fn input(len: usize) -> Vec<u8> {
    // This file's own text, over and over at shifting places, is neither noise nor a single match.
    let text = include_bytes!("software.rs");
    (0..len).map(|i| text[(i + i / 700 * 13) % text.len()]).collect()
}

fn compression(criterion: &mut Criterion) {
    let software = SoftwareAccelerator::new();
    for format in [Format::Gzip, Format::Lz4Frame, Format::Zstd] {
        let mut group = criterion.benchmark_group(format!("compress/{format}"));
        for size in SIZES {
            let data = input(size);
            group.throughput(Throughput::Bytes(size as u64));
            for level in [Level::Fast, Level::Balanced, Level::Best] {
                let options = CompressOptions::new(format).level(level);
                let mut out = vec![0; software.compress_bound(size, &options)];
                group.bench_function(BenchmarkId::new(level.to_string(), size), |bencher| {
                    bencher.iter(|| software.compress_into(&data, &mut out, &options).expect("room enough"));
                });
            }
        }
        group.finish();
        let mut group = criterion.benchmark_group(format!("decompress/{format}"));
        for size in SIZES {
            let (packed, _) =
                software.compress(&input(size), &CompressOptions::new(format)).expect("room enough");
            let mut out = vec![0; size];
            group.throughput(Throughput::Bytes(size as u64));
            group.bench_function(BenchmarkId::from_parameter(size), |bencher| {
                let options = DecompressOptions::new(format);
                bencher.iter(|| software.decompress_into(&packed, &mut out, &options).expect("valid data"));
            });
        }
        group.finish();
    }
}

fn encryption(criterion: &mut Criterion) {
    let software = SoftwareAccelerator::new();
    for cipher in Cipher::ALL {
        let key = match cipher {
            Cipher::AesCbcHmacSha256 => Key::with_mac(&[1; 32], &[2; 32]),
            _ => Key::new(&(0..*cipher.key_lens().last().expect("one")).map(|i| i as u8).collect::<Vec<_>>()),
        };
        let options =
            CipherOptions::new(cipher).iv(Iv::new(&[3; 16][..cipher.iv_len()]).expect("its length"));
        let mut group = criterion.benchmark_group(format!("encrypt/{cipher}"));
        for size in SIZES {
            let (data, mut out) = (input(size), vec![0; cipher.ciphertext_len(size)]);
            group.throughput(Throughput::Bytes(size as u64));
            group.bench_function(BenchmarkId::from_parameter(size), |bencher| {
                bencher.iter(|| software.encrypt_into(&key, &data, &mut out, &options).expect("room enough"));
            });
        }
        group.finish();
    }
}

fn recording(criterion: &mut Criterion) {
    let software = SoftwareAccelerator::new();
    let options = CompressOptions::new(Format::Lz4Block);
    let mut out = [0; 64];
    // An operation so small that counting it is most of it.
    criterion.bench_function("recording/one byte", |bencher| {
        bencher.iter(|| software.compress_into(b"x", &mut out, &options).expect("room enough"));
    });
    criterion.bench_function("recording/statistics", |bencher| bencher.iter(|| software.statistics()));
}

criterion_group!(benches, compression, encryption, recording);
criterion_main!(benches);
