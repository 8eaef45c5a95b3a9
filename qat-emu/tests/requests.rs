//! Requests through the real library to the emulated engines, checked against other implementations and published
//! vectors.

#![cfg(all(target_os = "linux", target_env = "gnu"))]

mod libqat;
#[path = "libqat/machine.rs"]
mod machine;

use hex_literal::hex;
use libqat::{RETRY, SUCCESS, dc, sample, sym};
use machine::with_started;
use qat_emu::{Config, Fault, FaultKind, Service, Services, Timing};

/// Decodes raw deflate data with another implementation.
fn inflate(data: &[u8]) -> Vec<u8> {
    miniz_oxide::inflate::decompress_to_vec(data).expect("valid deflate data")
}

#[test]
fn deflate_round_trips_and_others_read_it() {
    with_started(Config::with_vfs(1, Services::SYM_DC), |library, emulator| {
        let instance = library.dc_instances()[0];
        for huffman in [dc::STATIC, dc::DYNAMIC] {
            let session = dc::Session::new(library, instance, huffman);
            for bytes in [1, 100, 1000, 65_536, 1 << 20] {
                let plain = sample(bytes);
                let (status, packed, data) = session.run(true, &plain, bytes + bytes / 4 + 2048);
                assert_eq!((status, packed.status, packed.consumed), (SUCCESS, 0, bytes as u32));
                assert_eq!(inflate(&data), plain);
                let (status, results, back) = session.run(false, &data, bytes.max(1024));
                assert_eq!((status, results.status), (SUCCESS, 0));
                assert!(back == plain, "{bytes} bytes");
                assert_eq!(results.checksum, packed.checksum);
                if bytes >= 1000 {
                    assert!(data.len() < bytes / 2, "{bytes} bytes became {}", data.len());
                }
            }
            // The check value of CRC-32 (ISO 3309), as catalogued for the nine digits.
            assert_eq!(session.run(true, b"123456789", 2048).1.checksum, 0xCBF4_3926);
            assert_eq!(session.remove(), SUCCESS);
        }
        let counters = emulator.counters();
        assert_eq!(counters.service(Service::Compression).requests, 22);
        assert_eq!(counters.service(Service::Compression).commands["deflate-decompress"], 10);
    });
}

#[test]
fn overflow_reports_what_fitted() {
    with_started(Config::with_vfs(1, Services::SYM_DC), |library, _| {
        let session = dc::Session::new(library, library.dc_instances()[0], dc::DYNAMIC);
        let plain = sample(200_000);
        let (status, results, data) = session.run(true, &plain, 2048);
        assert_eq!((status, results.status), (SUCCESS, -11));
        assert!(results.consumed > 0 && (results.consumed as usize) < plain.len());
        // The output ends with an unfinished stream, of which everything that was consumed can be read.
        let mut read = vec![0; plain.len()];
        let mut state = miniz_oxide::inflate::core::DecompressorOxide::new();
        let flags = miniz_oxide::inflate::core::inflate_flags::TINFL_FLAG_HAS_MORE_INPUT
            | miniz_oxide::inflate::core::inflate_flags::TINFL_FLAG_USING_NON_WRAPPING_OUTPUT_BUF;
        let (_, _, count) = miniz_oxide::inflate::core::decompress(&mut state, &data, &mut read, 0, flags);
        assert_eq!(count, results.consumed as usize);
        assert_eq!(read[..count], plain[..count]);
        let (status, results, _) = session.run(false, b"\xFF\xFF\xFF\xFFnot deflate", 4096);
        assert!(status != SUCCESS && results.status < 0, "{status} {results:?}");
        assert_eq!(session.remove(), SUCCESS);
    });
}

/// 511 requests fit into a ring, the next one is refused, and all are answered, in several rounds around the ring.
#[test]
fn rings_fill_up_and_drain() {
    let stall = Fault::new(FaultKind::RingStalled { microseconds: 400_000 });
    with_started(Config::with_vfs(1, Services::SYM_DC).fault(stall), |library, emulator| {
        let session = dc::Session::new(library, library.dc_instances()[0], dc::STATIC);
        for round in 0..3_u8 {
            let mut flying = Vec::new();
            while flying.len() < 600 {
                let plain = sample(64 + usize::from(round) + flying.len() % 7);
                let (status, request) = session.submit(true, &plain, 2048);
                if status == RETRY {
                    break;
                }
                assert_eq!(status, SUCCESS);
                flying.push((plain, request));
            }
            if round == 0 {
                assert_eq!(flying.len(), 511);
            }
            for (plain, request) in &flying {
                assert_eq!(request.completion.wait(|| session.poll()), SUCCESS);
                let produced = request.results.produced as usize;
                assert_eq!(&inflate(&request.output.bytes()[..produced]), plain);
            }
        }
        assert_eq!(session.remove(), SUCCESS);
        let counters = emulator.counters();
        assert_eq!(counters.requests(), counters.responses());
        assert_eq!(counters.injected_faults, 1);
    });
}

/// The sample of NIST SP 800-38A, F.2.5 and F.2.6.
#[test]
fn aes_256_cbc_matches_the_published_vector() {
    with_started(Config::with_vfs(1, Services::SYM_DC), |library, _| {
        let instance = library.cy_instances()[0];
        let key = hex!("603deb1015ca71be2b73aef0857d7781 1f352c073b6108d72d9810a30914dff4");
        let iv = &hex!("000102030405060708090a0b0c0d0e0f");
        let plain = &hex!(
            "6bc1bee22e409f96e93d7e117393172a ae2d8a571e03ac9c9eb76fac45af8e51"
            "30c81c46a35ce411e5fbc1191a0a52ef f69f2445df4f9b17ad2b417be66c3710"
        );
        let cipher = &hex!(
            "f58c4c04d6e5f1ba779eabfb5f7bfbd6 9cfc4e967edb808d679f777bc6702c7d"
            "39f23369a9d9bacfa530e26304231461 b2eb05e2c39be9fcda6c19078c6a9d1b"
        );
        for (encrypt, text, expected) in [(true, plain, cipher), (false, cipher, plain)] {
            let session = sym::Session::new(library, instance, encrypt, &key, None);
            let (status, output, _) = session.run(&sym::Message { iv, text, ..Default::default() });
            assert_eq!((status, output.as_slice()), (SUCCESS, expected.as_slice()));
            assert_eq!(session.remove(), SUCCESS);
        }
    });
}

/// Test case 4 of McGrew and Viega, "The Galois/Counter Mode of Operation", appendix B; with and without the
/// single-pass capability, which makes the library use another form of the request.
#[test]
fn aes_128_gcm_matches_the_published_vector() {
    let key = hex!("feffe9928665731c6d6a8f9467308308");
    let iv = &hex!("cafebabefacedbaddecaf888");
    let plain = &hex!(
        "d9313225f88406e5a55909c5aff5269a86a7a9531534f7da2e4c303d8a318a72"
        "1c3c0c95956809532fcf0e2449a6b525b16aedf5aa0de657ba637b39"
    );
    let aad = &hex!("feedfacedeadbeeffeedfacedeadbeefabaddad2");
    let cipher = &hex!(
        "42831ec2217774244b7221b784d0d49ce3aa212f2c02a4e035c17e2329aca12e"
        "21d514b25466931c7d8f6a5aac84aa051ba30b396a0aac973d58e091"
    );
    let tag = &hex!("5bc94fbc3221a5db94fae95ae7121a47");
    with_started(Config::with_vfs(1, Services::SYM_DC), |library, emulator| {
        let instance = library.cy_instances()[0];
        let lengths = Some((aad.len() as u32, 16));
        let sealing = sym::Session::new(library, instance, true, &key, lengths);
        let (status, output, sealed) = sealing.run(&sym::Message { iv, aad, text: plain, tag: &[0; 16] });
        assert_eq!((status, output.as_slice(), sealed.as_slice()), (SUCCESS, &cipher[..], &tag[..]));
        let opening = sym::Session::new(library, instance, false, &key, lengths);
        let (status, output, _) = opening.run(&sym::Message { iv, aad, text: cipher, tag });
        assert_eq!((status, output.as_slice()), (SUCCESS, &plain[..]));
        let (status, ..) = opening.run(&sym::Message { iv, aad, text: cipher, tag: &[0; 16] });
        assert_eq!(status, sym::MISMATCH);
        assert_eq!((sealing.remove(), opening.remove()), (SUCCESS, SUCCESS));
        assert_eq!(emulator.counters().service(Service::Symmetric).unsupported, 0);
    });
}

/// The null device stores instead of compressing, and the result is still a valid stream.
#[test]
fn null_device_answers_with_stored_blocks() {
    with_started(Config::with_vfs(1, Services::SYM_DC).timing(Timing::null()), |library, _| {
        let session = dc::Session::new(library, library.dc_instances()[0], dc::DYNAMIC);
        let plain = sample(100_000);
        let (status, results, data) = session.run(true, &plain, 110_000);
        assert_eq!((status, results.status, results.stored), (SUCCESS, 0, 1));
        assert!(data.len() > plain.len());
        assert_eq!(inflate(&data), plain);
        assert_eq!(session.remove(), SUCCESS);
    });
}
