//! What this crate costs on top of the engines it chose: the same work through the API and by calling the engine
//! directly, interleaved round by round in one process, medians of the rounds' quotients.
//!
//! `cargo bench -p qat --bench overhead [FILTER]`. Ours over theirs: 1.00 is equal, 1.03 is 3 % slower.

use std::hint::black_box;
use std::process::Command;
use std::time::{Duration, Instant};

use accel_core::{
    Cipher, CipherOptions, CompressOptions, CompressionAccelerator, DecompressOptions, EncryptionAccelerator,
    Format, Iv, Key, Level,
};
use aws_lc_rs::aead::{AES_256_GCM, Aad, LessSafeKey, Nonce, UnboundKey};
use libdeflater::{CompressionLvl, Compressor, Decompressor};
use qat::SoftwareAccelerator;

/// Text-like data: words of a small vocabulary in an order that a xorshift generator draws.
fn text(len: usize) -> Vec<u8> {
    let words: Vec<String> =
        (0..4096_u32).map(|i| format!("{:x} ", i.wrapping_mul(2_654_435_761) >> (i % 20))).collect();
    let (mut out, mut state) = (Vec::with_capacity(len + 16), 0x9E37_79B9_7F4A_7C15_u64);
    while out.len() < len {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        // Squaring favours the first words, as language does.
        let draw = (state >> 32) as usize % words.len();
        out.extend_from_slice(words[draw * draw / words.len()].as_bytes());
    }
    out.truncate(len);
    out
}

struct Bench {
    filter: Option<String>,
    smoke: bool,
    worst: f64,
}

impl Bench {
    /// Runs both in turns and prints the median of theirs' speed and of the quotients.
    fn pair(&mut self, name: &str, bytes: usize, mut ours: impl FnMut(), mut theirs: impl FnMut()) {
        if self.filter.as_ref().is_some_and(|filter| !name.contains(filter.as_str())) {
            return;
        }
        ours();
        theirs();
        if self.smoke {
            return;
        }
        // Batches long enough for the clock, short enough for many rounds.
        let one = time(&mut theirs, 1).max(Duration::from_nanos(100));
        let batch = (Duration::from_millis(4).as_nanos() / one.as_nanos()).clamp(1, 100_000) as u32;
        let rounds =
            (Duration::from_millis(900).as_nanos() / (2 * one.as_nanos() * u128::from(batch))).clamp(11, 201);
        let (mut quotients, mut speeds) = (Vec::new(), Vec::new());
        for round in 0..rounds {
            // Whoever is second finds warmer caches: take turns.
            let (us, them) = if round % 2 == 0 {
                let us = time(&mut ours, batch);
                (us, time(&mut theirs, batch))
            } else {
                let them = time(&mut theirs, batch);
                (time(&mut ours, batch), them)
            };
            quotients.push(us.as_secs_f64() / them.as_secs_f64());
            speeds.push(bytes as f64 * f64::from(batch) / them.as_secs_f64() / 1e6);
        }
        let quotient = median(quotients);
        self.worst = self.worst.max(quotient);
        println!("{name:<44} {:>9.0} MB/s {quotient:>8.3}", median(speeds));
    }
}

fn time(work: &mut impl FnMut(), times: u32) -> Duration {
    let start = Instant::now();
    for _ in 0..times {
        work();
    }
    start.elapsed()
}

fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    values[values.len() / 2]
}

fn print_machine() {
    let cpu = std::fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    let model = cpu.lines().find_map(|line| line.strip_prefix("model name")?.split(": ").nth(1));
    let commit = Command::new("git").args(["rev-parse", "--short", "HEAD"]).output();
    let commit = commit.map(|out| String::from_utf8_lossy(&out.stdout).trim().to_owned()).unwrap_or_default();
    println!("machine {} | commit {commit} | ISA-L {:?}", model.unwrap_or("unknown"), qat::software::isal());
    println!("{:<44} {:>14} {:>8}", "", "engine alone", "ours/it");
}

const HELP: &str = "\
What this crate costs on top of the engines it chose, called directly: medians of interleaved rounds.

cargo bench -p qat --bench overhead [-- FILTER]

FILTER measures only rows whose name contains it, such as deflate, inflate, LZ4, Zstandard, AES, 64 KiB.
Each row: the engine's speed, and our time over its time. 1.00 is equal, 1.03 is 3 % slower.
Some minutes for all rows. Without Cargo's --bench, as `cargo test` runs it, each row runs once and nothing is measured.";

fn main() {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    if arguments.iter().any(|argument| argument == "--help" || argument == "-h") {
        println!("{HELP}");
        return;
    }
    let smoke = !arguments.iter().any(|argument| argument == "--bench");
    let filter = arguments.into_iter().find(|argument| !argument.starts_with("--"));
    let mut bench = Bench { filter, smoke, worst: 0.0 };
    if !smoke {
        print_machine();
    }
    let software = SoftwareAccelerator::new();
    for (label, size) in [("64 KiB", 64 << 10), ("1 MiB", 1 << 20)] {
        let input = text(size);
        deflate(&mut bench, &software, label, &input);
        lz4(&mut bench, &software, label, &input);
        zstd(&mut bench, &software, label, &input);
        gcm(&mut bench, &software, label, &input);
    }
    if !smoke {
        println!("worst {:.3}", bench.worst);
    }
}

fn deflate(bench: &mut Bench, software: &SoftwareAccelerator, label: &str, input: &[u8]) {
    // Below 3 the engine may be ISA-L, which has no public crate to call directly.
    for level in 3..=12 {
        let options = CompressOptions::new(Format::Deflate).level(Level::Exact(level));
        let mut direct =
            Compressor::new(CompressionLvl::new(i32::from(level)).expect("a level of libdeflate's"));
        let room = software.compress_bound(input.len(), &options);
        let (mut a, mut b) = (vec![0; room], vec![0; room]);
        bench.pair(
            &format!("deflate level {level}, {label}"),
            input.len(),
            || {
                black_box(software.compress_into(input, &mut a, &options).expect("room enough"));
            },
            || {
                black_box(direct.deflate_compress(input, &mut b).expect("room enough"));
            },
        );
    }
    let (packed, _) = software.compress(input, &CompressOptions::new(Format::Deflate)).expect("room enough");
    let options = DecompressOptions::new(Format::Deflate);
    let mut direct = Decompressor::new();
    let (mut a, mut b) = (vec![0; input.len()], vec![0; input.len()]);
    bench.pair(
        &format!("inflate, {label}"),
        input.len(),
        || {
            black_box(software.decompress_into(&packed, &mut a, &options).expect("valid data"));
        },
        || {
            black_box(direct.deflate_decompress(&packed, &mut b).expect("valid data"));
        },
    );
}

fn lz4(bench: &mut Bench, software: &SoftwareAccelerator, label: &str, input: &[u8]) {
    for level in [1, 3, 9, 12] {
        let options = CompressOptions::new(Format::Lz4Block).level(Level::Exact(level));
        let room = software.compress_bound(input.len(), &options);
        let (mut a, mut b) = (vec![0; room], vec![0; room]);
        bench.pair(
            &format!("LZ4 block level {level}, {label}"),
            input.len(),
            || {
                black_box(software.compress_into(input, &mut a, &options).expect("room enough"));
            },
            || {
                let done = match level {
                    1 => lzzzz::lz4::compress(input, &mut b, 1),
                    _ => lzzzz::lz4_hc::compress(input, &mut b, i32::from(level)),
                };
                black_box(done.expect("room enough"));
            },
        );
    }
    let (packed, _) = software.compress(input, &CompressOptions::new(Format::Lz4Block)).expect("room enough");
    let options = DecompressOptions::new(Format::Lz4Block);
    let (mut a, mut b) = (vec![0; input.len()], vec![0; input.len()]);
    bench.pair(
        &format!("LZ4 block decompress, {label}"),
        input.len(),
        || {
            black_box(software.decompress_into(&packed, &mut a, &options).expect("valid data"));
        },
        || {
            black_box(lzzzz::lz4::decompress(&packed, &mut b).expect("valid data"));
        },
    );
}

fn zstd(bench: &mut Bench, software: &SoftwareAccelerator, label: &str, input: &[u8]) {
    use zstd_safe::{CCtx, CParameter, DCtx};
    for level in [1, 3, 6, 9, 12] {
        let options = CompressOptions::new(Format::Zstd).level(Level::Exact(level));
        let room = software.compress_bound(input.len(), &options);
        let (mut a, mut b) = (vec![0; room], vec![0; room]);
        let mut direct = CCtx::create();
        direct.set_parameter(CParameter::CompressionLevel(i32::from(level))).expect("a level of zstd's");
        direct.set_parameter(CParameter::ChecksumFlag(true)).expect("a parameter of zstd's");
        bench.pair(
            &format!("Zstandard level {level}, {label}"),
            input.len(),
            || {
                black_box(software.compress_into(input, &mut a, &options).expect("room enough"));
            },
            || {
                black_box(direct.compress2(&mut b[..], input).expect("room enough"));
            },
        );
    }
    let (packed, _) = software.compress(input, &CompressOptions::new(Format::Zstd)).expect("room enough");
    let options = DecompressOptions::new(Format::Zstd);
    let mut direct = DCtx::create();
    let (mut a, mut b) = (vec![0; input.len()], vec![0; input.len()]);
    bench.pair(
        &format!("Zstandard decompress, {label}"),
        input.len(),
        || {
            black_box(software.decompress_into(&packed, &mut a, &options).expect("valid data"));
        },
        || {
            black_box(direct.decompress(&mut b[..], &packed).expect("valid data"));
        },
    );
}

fn gcm(bench: &mut Bench, software: &SoftwareAccelerator, label: &str, input: &[u8]) {
    let (bytes, iv) = ([7; 32], [9; 12]);
    let key = Key::new(&bytes);
    let options = CipherOptions::new(Cipher::AesGcm).iv(Iv::new(&iv).expect("12 bytes"));
    let direct = LessSafeKey::new(UnboundKey::new(&AES_256_GCM, &bytes).expect("32 bytes"));
    let room = Cipher::AesGcm.ciphertext_len(input.len());
    let (mut a, mut b) = (vec![0; room], vec![0; room]);
    bench.pair(
        &format!("AES-256-GCM encrypt, {label}"),
        input.len(),
        || {
            black_box(software.encrypt_into(&key, input, &mut a, &options).expect("room enough"));
        },
        || {
            let (body, tag) = b.split_at_mut(input.len());
            let nonce = Nonce::assume_unique_for_key(iv);
            direct
                .seal_out_of_place_scatter(nonce, Aad::empty(), input, body, &[], tag)
                .expect("room enough");
        },
    );
    let sealed = b.clone();
    let (mut a, mut b) = (vec![0; input.len()], vec![0; input.len()]);
    bench.pair(
        &format!("AES-256-GCM decrypt, {label}"),
        input.len(),
        || {
            black_box(software.decrypt_into(&key, &sealed, &mut a, &options).expect("valid data"));
        },
        || {
            let (body, tag) = sealed.split_at(input.len());
            let nonce = Nonce::assume_unique_for_key(iv);
            direct.open_separate_gather(nonce, Aad::empty(), body, tag, &mut b).expect("valid data");
        },
    );
}
