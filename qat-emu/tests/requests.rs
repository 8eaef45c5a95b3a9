//! Tests of the transport of requests through the real library to the emulated engines. `vectors` tests their results.

#![cfg(all(target_os = "linux", target_env = "gnu"))]

mod libqat;
#[path = "libqat/machine.rs"]
mod machine;

use libqat::{RETRY, SUCCESS, dc, sample};
use machine::with_started;
use qat_emu::{Config, Fault, FaultKind, Service, Services, Timing};

/// Decompresses raw deflate data with another implementation.
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
            // The expected value is the check value of CRC-32 (ISO 3309) for the nine digits.
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
        // The output ends with an unfinished stream, from which everything that was consumed can be decompressed.
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

/// A ring has space for 511 requests and the next one is refused; all get responses, in several rounds around the ring.
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

/// The null device stores instead of compressing, and the result is a valid stream.
#[test]
fn null_device_returns_stored_blocks() {
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

#[test]
fn the_same_with_libqat_26_08() {
    machine::all_with_newer("the_same_with_libqat_26_08");
}
