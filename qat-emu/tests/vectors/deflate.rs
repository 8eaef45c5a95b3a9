//! Known answers of deflate, its checksums, the end-to-end CRCs and verification, through all of the library's
//! functions.

use qat_emu::{Config, Fault, FaultKind, Service, Services};

use crate::common::{Random, reference};
use crate::libqat::{self, FAIL, INVALID_PARAM, SUCCESS, UNSUPPORTED, chain, dc::*, sample, sym};
use crate::readers::{adler32, crc32, crc64, crc64_xz, zlib};
use crate::{Bench, config, with_bench, with_config};

/// Decompresses raw deflate data with another implementation.
fn inflate(data: &[u8]) -> Vec<u8> {
    miniz_oxide::inflate::decompress_to_vec(data).expect("valid deflate data")
}

/// Decompresses as much as possible of an unfinished stream.
fn inflate_part(data: &[u8], room: usize) -> Vec<u8> {
    use miniz_oxide::inflate::core::{DecompressorOxide, decompress, inflate_flags};
    let mut read = vec![0; room];
    let flags =
        inflate_flags::TINFL_FLAG_HAS_MORE_INPUT | inflate_flags::TINFL_FLAG_USING_NON_WRAPPING_OUTPUT_BUF;
    let (_, _, count) = decompress(&mut DecompressorOxide::new(), data, &mut read, 0, flags);
    read.truncate(count);
    read
}

/// Returns text, noise, and repetitions of one byte.
fn samples() -> [Vec<u8>; 4] {
    [sample(1), sample(70_000), Random(40).bytes(20_000), vec![7; 300_000]]
}

/// The library maps its levels 1 to 12 to fewer levels of the hardware.
#[test]
fn every_level_both_forms() {
    with_bench(|bench| {
        for huffman in [STATIC, DYNAMIC] {
            for level in 1..=12 {
                let setup = SessionSetup { level, ..SessionSetup::deflate(huffman) };
                let session = bench.dc(setup);
                for (number, plain) in samples().iter().enumerate() {
                    let options = Options { pieces: 1 + number * 2, ..Options::default() };
                    let packed = session.pack(plain, options);
                    assert!(inflate(&packed.data) == *plain, "level {level}, sample {number}");
                    let back = session.unpack(&packed.data, plain.len(), options);
                    assert!(back.data == *plain);
                    assert_eq!(back.results.end_of_last_block, 1);
                    let sums = [packed.results.checksum, back.results.checksum];
                    assert_eq!(sums, [crc32(plain); 2]);
                }
            }
        }
    });
}

/// zlib reads a stream with the device's Adler-32, and would refuse a wrong one.
#[test]
fn zlib_reads_it() {
    with_bench(|bench| {
        for huffman in [STATIC, DYNAMIC] {
            let setup = SessionSetup { checksum: ADLER32, ..SessionSetup::deflate(huffman) };
            let session = bench.dc(setup);
            for plain in samples() {
                let packed = session.pack(&plain, Options::default());
                assert_eq!(packed.results.checksum, adler32(&plain));
                let stream =
                    [&[0x78, 0x01], &packed.data[..], &packed.results.checksum.to_be_bytes()].concat();
                assert!(zlib(&stream, plain.len()).is_none_or(|read| read == plain));
                let header = session.session.frame(None);
                assert_eq!(
                    (header.len(), header[0], (u16::from(header[0]) << 8 | u16::from(header[1])) % 31),
                    (2, 0x78, 0)
                );
                assert_eq!(session.session.frame(Some(packed.results)), adler32(&plain).to_be_bytes());
            }
        }
    });
}

/// The library reads both CRC-64s of the device, computes its own over the data in memory, and compares.
#[test]
fn end_to_end_crcs() {
    with_bench(|bench| {
        for huffman in [STATIC, DYNAMIC] {
            let session = bench.dc(SessionSetup::deflate(huffman));
            for pieces in [1, 5] {
                let options = Options { integrity: true, pieces, ..Options::default() };
                for plain in samples() {
                    let packed = session.pack(&plain, options);
                    assert_eq!(packed.crcs.integrity64, [crc64(&plain), crc64(&packed.data)]);
                    assert_eq!(packed.crcs.crc32, crc32(&plain));
                    let back = session.unpack(&packed.data, plain.len(), options);
                    assert_eq!(back.crcs.integrity64, [crc64(&packed.data), crc64(&plain)]);
                    assert!(back.data == plain);
                }
            }
        }
    });
}

/// With 26.08, the application can choose the CRC-64: that of xz, which is reflected and inverted.
#[test]
fn chosen_crc() {
    with_bench(|bench| {
        let session = bench.dc(SessionSetup::deflate(DYNAMIC));
        let control = CrcControl {
            polynomial: 0x42F0_E1EB_A9EA_3693,
            initial: u64::MAX,
            reflect_in: 1,
            reflect_out: 1,
            xor_out: u64::MAX,
        };
        let chosen = session.session.set_crc(control);
        assert_eq!(chosen, bench.library.newer().then_some(SUCCESS));
        let options = Options { integrity: true, ..Options::default() };
        let packed = session.pack(b"123456789", options);
        // The expected values are the check values of CRC-64/XZ and CRC-64/ECMA-182.
        let (check, output) = if chosen.is_some() {
            (0x995D_C9BB_DF19_39FA, crc64_xz(&packed.data))
        } else {
            (0x6C40_DF5F_0B49_7347, crc64(&packed.data))
        };
        assert_eq!(packed.crcs.integrity64, [check, output]);
    });
}

/// The library detects a wrong CRC of the device.
#[test]
fn a_wrong_crc_is_found() {
    const CRC_INTEGRITY: i32 = -20;
    with_config(config().fault(Fault::new(FaultKind::WrongChecksum)), |bench| {
        let session = bench.dc(SessionSetup::deflate(STATIC));
        let options = Options { integrity: true, ..Options::default() };
        let result = session.result(true, &sample(5000), 8192, options);
        assert_eq!((result.status, result.results.status), (FAIL, CRC_INTEGRITY));
        session.pack(&sample(5000), options);
    });
}

/// Data that cannot be compressed is stored, and reported as stored.
#[test]
fn stored_blocks_are_indicated() {
    with_bench(|bench| {
        let session = bench.dc(SessionSetup::deflate(DYNAMIC));
        let noise = Random(41).bytes(100_000);
        let packed = session.pack(&noise, Options::default());
        assert_eq!(packed.results.stored, 1);
        assert!(packed.data.len() < noise.len() + 100 && inflate(&packed.data) == noise);
        let packed = session.pack(&sample(100_000), Options::default());
        assert_eq!(packed.results.stored, 0);
    });
}

/// If verification fails, a request that allows recovery returns stored blocks, and any other request fails.
#[test]
fn verification_recovers() {
    const VERIFY: i32 = -18;
    for recover in [true, false] {
        with_config(config().fault(Fault::new(FaultKind::VerifyError)), |bench| {
            let session = bench.dc(SessionSetup::deflate(DYNAMIC));
            let plain = sample(50_000);
            let options = Options { recover, ..Options::default() };
            if recover {
                let packed = session.pack(&plain, options);
                assert_eq!(packed.results.stored, 1);
                assert!(packed.data.len() > plain.len() && inflate(&packed.data) == plain);
            } else {
                let result = session.result(true, &plain, 60_000, options);
                assert_eq!((result.status, result.results.status), (FAIL, VERIFY));
            }
            let packed = session.pack(&plain, options);
            assert!(packed.results.stored == 0 && inflate(&packed.data) == plain);
            assert_eq!(bench.emulator.counters().vf_verify_errors.iter().sum::<u64>(), 1);
        });
    }
}

/// All consumed input can be decompressed from the output, and the next request can compress the rest.
#[test]
fn overflow_has_true_counters() {
    with_bench(|bench| {
        let plain = sample(200_000);
        for huffman in [STATIC, DYNAMIC] {
            let session = bench.dc(SessionSetup::deflate(huffman));
            let (mut rest, mut read, mut rounds) = (&plain[..], Vec::new(), 0);
            while !rest.is_empty() {
                let result = session.result(true, rest, 4096, Options::default());
                assert_eq!(result.status, SUCCESS);
                let consumed = result.results.consumed as usize;
                let part = inflate_part(&result.data, consumed + 1);
                assert!(part == rest[..consumed] && consumed > result.data.len());
                assert_eq!(result.results.status, if consumed == rest.len() { 0 } else { -11 });
                assert_eq!(result.results.checksum, crc32(&part));
                read.extend(part);
                rest = &rest[consumed..];
                rounds += 1;
            }
            assert!(read == plain && rounds > 3);
            // Decompression into too little space fails without counters.
            let packed = session.pack(&plain, Options::default());
            let result = session.result(false, &packed.data, 4096, Options::default());
            assert_eq!((result.status, result.results.status, result.results.consumed), (FAIL, -11, 0));
        }
    });
}

/// Flushed parts form one stream, of which only the last part has an end.
#[test]
fn flushed_parts_join() {
    with_bench(|bench| {
        for huffman in [STATIC, DYNAMIC] {
            let session = bench.dc(SessionSetup::deflate(huffman));
            let parts = [sample(10_000), Random(42).bytes(3000), sample(20_001)];
            let mut stream = Vec::new();
            for (number, part) in parts.iter().enumerate() {
                let flush = if number == 2 { FLUSH_FINAL } else { FLUSH_FULL };
                let packed = session.pack(part, Options { flush, ..Options::default() });
                if number < 2 {
                    let back = session.unpack(&packed.data, part.len(), Options::default());
                    assert!(back.data == *part && back.results.end_of_last_block == 0);
                }
                stream.extend(packed.data);
            }
            assert!(inflate(&stream) == parts.concat());
            let back = session.unpack(&stream, 40_000, Options::default());
            assert!(back.data == parts.concat() && back.results.end_of_last_block == 1);
        }
    });
}

/// Tests streams of another implementation at all of its levels, and corrupt ones.
#[test]
fn it_reads_what_others_wrote() {
    with_bench(|bench| {
        let session = bench.dc(SessionSetup::deflate(STATIC));
        for plain in samples() {
            for level in [0, 1, 6, 9] {
                let stream = miniz_oxide::deflate::compress_to_vec(&plain, level);
                let back = session.unpack(&stream, plain.len(), Options::default());
                assert!(back.data == plain);
                assert_eq!(back.results.checksum, crc32(&plain));
            }
        }
        let stored = [&[0x01, 0x05, 0x00, 0xfa, 0xff], &b"stored"[..]].concat();
        // RFC 1951, 3.2.3 and 3.2.4: block type 3; a length that does not match its complement; a distance that is too
        // large.
        for (stream, status) in [
            (&[0x07, 0, 0, 0][..], -1),
            (&[0x01, 0x05, 0x00, 0xfa, 0xfe, 1, 2, 3, 4, 5], -2),
            (&[0x63, 0x00, 0x12, 0x00], -10),
        ] {
            let result = session.result(false, stream, 4096, Options::default());
            assert_eq!((result.status, result.results.status), (FAIL, status), "{stream:02x?}");
        }
        // Data after the last block is not consumed.
        let result = session.result(false, &stored, 4096, Options::default());
        assert_eq!((result.status, result.results.consumed, &result.data[..]), (SUCCESS, 10, &b"store"[..]));
    });
}

/// The functions without sessions take the same setup with each request.
#[test]
fn without_a_session() {
    with_bench(|bench| {
        for huffman in [STATIC, DYNAMIC] {
            let session = bench.dc(SessionSetup::deflate(huffman));
            let plain = sample(60_000);
            for integrity in [false, true] {
                let options = Options { integrity, pieces: 3, ..Options::default() };
                session.announce(true);
                let packed = session.session.run_without(true, &plain, 70_000, options).expect("submits");
                assert_eq!((packed.status, packed.results.status), (SUCCESS, 0));
                assert!(inflate(&packed.data) == plain);
                assert_eq!(packed.results.checksum, crc32(&plain));
                session.announce(false);
                let back =
                    session.session.run_without(false, &packed.data, 60_000, options).expect("submits");
                assert!(back.data == plain);
                assert_eq!((back.results.status, back.results.end_of_last_block), (0, 1));
                assert_eq!(back.results.checksum, crc32(&plain));
            }
        }
    });
}

/// The library itself refuses what it does not support on this generation.
#[test]
fn refused() {
    with_bench(|bench| {
        let try_session =
            |bench: &Bench<'_>, setup| Session::init(bench.library, bench.compression, setup).err();
        let stateful = SessionSetup::deflate(STATIC).stateful();
        assert_eq!(try_session(bench, stateful), Some(UNSUPPORTED));
        for wrong in [
            SessionSetup { level: 13, ..SessionSetup::deflate(STATIC) },
            SessionSetup { huffman: 1, ..SessionSetup::deflate(STATIC) },
            SessionSetup { algorithm: 6, ..SessionSetup::deflate(STATIC) },
        ] {
            assert_eq!(try_session(bench, wrong), Some(INVALID_PARAM), "{wrong:?}");
        }
        // A chain of hash and compression requires a capability that the service dc does not report.
        let hash = sym::SessionSetup::hash(sym::Hash::plain(sym::SHA256, 32));
        let compression = SessionSetup { direction: COMPRESS, ..SessionSetup::deflate(STATIC) };
        let chained = chain::Session::init(bench.library, bench.compression, &hash, &compression);
        assert_eq!(chained.err(), Some(if bench.library.newer() { INVALID_PARAM } else { UNSUPPORTED }));
    });
}

/// The test runs in a process of its own, because the library remembers a device's capabilities.
#[test]
fn hash_then_compress() {
    if std::env::var_os("TEST_CHAINING").is_none() {
        libqat::rerun("deflate::hash_then_compress", &[("TEST_CHAINING", "1")]);
        return;
    }
    with_config(Config::with_vfs(1, Services::DCC), |bench| {
        for huffman in [STATIC, DYNAMIC] {
            for (number, code, digest) in [(sym::SHA1, 1, 20), (sym::SHA256, 4, 32)] {
                let hash = sym::SessionSetup::hash(sym::Hash::plain(number, digest));
                let compression = SessionSetup { direction: COMPRESS, ..SessionSetup::deflate(huffman) };
                let session = chain::Session::init(bench.library, bench.compression, &hash, &compression)
                    .expect("cpaDcChainInitSession");
                for plain in [sample(100), sample(60_000)] {
                    bench.expect(Service::Compression, "hash-compress");
                    let (status, results, hashed, data) = session.run(&plain, digest, 70_000);
                    assert_eq!((status, results.compression, results.crypto), (SUCCESS, 0, 0));
                    assert_eq!(results.consumed as usize, plain.len());
                    assert_eq!(hashed, reference::hash(code, &plain));
                    assert!(inflate(&data) == plain);
                    assert_eq!(results.crc32, crc32(&plain));
                }
                assert_eq!(session.remove(), SUCCESS);
            }
        }
    });
}
