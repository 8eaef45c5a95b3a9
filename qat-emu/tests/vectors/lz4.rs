//! Known answers of LZ4 with frames and checksums, and of LZ4s.

use crate::common::Random;
use crate::libqat::{INVALID_PARAM, SUCCESS, UNSUPPORTED, dc::*, sample};
use crate::readers::{crc64, lz4_blocks, lz4_frame, sequences, zstd_of_sequences};
use crate::with_bench;

fn xxh32(data: &[u8]) -> u32 {
    twox_hash::XxHash32::oneshot(0, data)
}

/// Returns text, noise, and repetitions of one byte.
fn samples() -> [Vec<u8>; 4] {
    [sample(20), sample(200_000), Random(43).bytes(70_000), vec![7; 1_500_000]]
}

/// Blocks of every size are read by an independent decoder and, in the library's frame, by lz4, which compares the
/// checksum of the content.
#[test]
fn every_block_size() {
    with_bench(|bench| {
        for (code, largest) in [(0, 1 << 16), (1, 1 << 18), (2, 1 << 20), (3, 1 << 22)] {
            let session = bench.dc(SessionSetup { lz4_block: code, ..SessionSetup::lz4(LZ4) });
            for (number, plain) in samples().iter().enumerate() {
                let options = Options { pieces: 1 + number, ..Options::default() };
                let packed = session.pack(plain, options);
                let (read, raw) = lz4_blocks(&packed.data, largest);
                assert!(read == *plain);
                assert_eq!(packed.results.stored == 1, raw == read.len().div_ceil(largest));
                assert_eq!(packed.results.checksum, xxh32(plain));
                let frame = [
                    session.session.frame(None),
                    packed.data.clone(),
                    session.session.frame(Some(packed.results)),
                ]
                .concat();
                assert!(lz4_frame(&frame, plain.len()).is_none_or(|read| read == *plain));
                let back = session.unpack(&packed.data, plain.len(), options);
                assert!(back.data == *plain && back.results.checksum == xxh32(plain));
            }
        }
    });
}

/// Tests every level that the library has.
#[test]
fn every_level() {
    with_bench(|bench| {
        for level in 1..=12 {
            for algorithm in [LZ4, LZ4S] {
                let session = bench.dc(SessionSetup { level, ..SessionSetup::lz4(algorithm) });
                let plain = sample(50_000);
                let packed = session.pack(&plain, Options::default());
                let read = if algorithm == LZ4 {
                    lz4_blocks(&packed.data, 1 << 16).0
                } else {
                    let mut read = Vec::new();
                    sequences(&packed.data, 2, true, &mut read);
                    read
                };
                assert!(read == plain);
            }
        }
    });
}

/// Sequences with both shortest matches are read by a decoder of these tests and by zstd.
#[test]
fn lz4s() {
    with_bench(|bench| {
        for (min_match, base) in [(0, 2), (1, 3)] {
            let session = bench.dc(SessionSetup { min_match, ..SessionSetup::lz4(LZ4S) });
            for plain in samples() {
                let packed = session.pack(&plain, Options::default());
                let mut read = Vec::new();
                let found = sequences(&packed.data, base, true, &mut read);
                assert!(read == plain);
                assert_eq!(packed.results.checksum, xxh32(&plain));
                assert!(zstd_of_sequences(&found, &plain).is_none_or(|read| read == plain));
            }
        }
    });
}

/// All consumed input can be decompressed from the output.
#[test]
fn overflow_has_true_counters() {
    with_bench(|bench| {
        let plain = sample(200_000);
        for algorithm in [LZ4, LZ4S] {
            let session = bench.dc(SessionSetup::lz4(algorithm));
            let result = session.result(true, &plain, 8192, Options::default());
            assert_eq!((result.status, result.results.status), (SUCCESS, -11));
            let read = if algorithm == LZ4 {
                lz4_blocks(&result.data, 1 << 16).0
            } else {
                let mut read = Vec::new();
                sequences(&result.data, 2, true, &mut read);
                read
            };
            assert!(result.results.consumed > 8192 && read == plain[..result.results.consumed as usize]);
        }
    });
}

/// A session that accumulates reports the checksum of all its requests, until it is reset.
#[test]
fn accumulated_checksum() {
    with_bench(|bench| {
        let setup = SessionSetup { accumulate_xxhash: 1, direction: COMPRESS, ..SessionSetup::lz4(LZ4) };
        let session = bench.dc(setup);
        let plain = sample(100_000);
        for _ in 0..2 {
            for (from, to) in [(0, 30_000), (30_000, 30_007), (30_007, 100_000)] {
                let flush = if to == 100_000 { FLUSH_FINAL } else { FLUSH_FULL };
                let packed = session.pack(&plain[from..to], Options { flush, ..Options::default() });
                assert_eq!(packed.results.checksum, xxh32(&plain[..to]));
            }
            assert_eq!(session.session.reset_xxh32(), SUCCESS);
        }
    });
}

/// Tests the functions without sessions. The library compares CRCs in LZ4 decompression, but not in LZ4 compression.
#[test]
fn without_a_session() {
    with_bench(|bench| {
        let session = bench.dc(SessionSetup::lz4(LZ4));
        let plain = sample(100_000);
        let options = Options { integrity: true, ..Options::default() };
        let refused = session.session.run_without(true, &plain, 120_000, options);
        let status = if bench.library.newer() { UNSUPPORTED } else { INVALID_PARAM };
        assert_eq!(refused.map(|_| ()), Err(status));
        session.announce(true);
        let packed = session.session.run_without(true, &plain, 120_000, Options::default()).expect("submits");
        assert_eq!((packed.status, packed.results.status), (SUCCESS, 0));
        assert!(lz4_blocks(&packed.data, 1 << 16).0 == plain);
        session.announce(false);
        let back = session.session.run_without(false, &packed.data, 100_000, options).expect("submits");
        assert_eq!((back.status, back.results.checksum), (SUCCESS, xxh32(&plain)));
        assert!(back.data == plain);
        assert_eq!(back.crcs.integrity64, [crc64(&packed.data), crc64(&plain)]);
    });
}
