//! Tests of checksums, error paths, injected errors and chaining.

use super::*;

const ECMA_182: u64 = 0x42F0_E1EB_A9EA_3693;

#[test]
fn checksums_have_their_published_check_values() {
    let digits = b"123456789";
    let ecma = Crc64::new(ECMA_182, false, false, 0);
    assert_eq!(ecma.checksum(0, digits), 0x6C40_DF5F_0B49_7347);
    // CRC-64/XZ and CRC-64/WE have the same polynomial and other conventions.
    let xz = Crc64::new(ECMA_182, true, true, u64::MAX);
    assert_eq!(xz.checksum(u64::MAX, digits), 0x995D_C9BB_DF19_39FA);
    let we = Crc64::new(ECMA_182, false, false, u64::MAX);
    assert_eq!(we.checksum(u64::MAX, digits), 0x62EC_59E3_F1A4_F00A);

    assert_eq!(Job::new(STATIC).run(digits).sums, [0xCBF4_3926, 0x091E_01DE]);
    assert_eq!(Job::new(LZ4).run(b"").sums[1], 0x02CC_5D05);
}

#[test]
fn integrity_block_covers_both_sides() {
    let plain = text(30_000);
    let crc = Crc64::new(ECMA_182, false, false, 0);
    for command in [STATIC, DYNAMIC, LZ4, LZ4S] {
        let host = Host::default();
        let mut block = vec![0; 64];
        block[4] = 1;
        block[40..48].copy_from_slice(&ECMA_182.to_le_bytes());
        host.map(BLOCK, block.clone());
        let done = Job::new(command).flags(FINAL | INTEGRITY).run_on(&host, &plain);
        let after = host.bytes(BLOCK, 64);
        let quad = |at: usize| u64::from_le_bytes(std::array::from_fn(|i| after[at + i]));
        assert_eq!(quad(8), crc.checksum(0, &plain));
        assert_eq!(quad(16), crc.checksum(0, &done.output));
        assert_eq!(quad(32), crc.checksum(0, &done.output));
        assert_eq!((quad(24), &after[40..]), (0, &block[40..]));
        let plain_sums = Job::new(command).run(&plain).sums;
        assert_eq!(quad(0), u64::from(plain_sums[0]) | u64::from(plain_sums[1]) << 32);
    }
}

#[test]
fn xxh32_accumulates_in_session_memory() {
    let plain = text(100_000);
    let host = Host::default();
    // This is the state after the library's reset: the four lanes of seed 0, and zeros otherwise.
    let mut state = vec![0; 40];
    for (i, lane) in [0x2423_4428u32, 0x85EB_CA77, 0, 0x61C8_864F].into_iter().enumerate() {
        state[8 + 4 * i..12 + 4 * i].copy_from_slice(&lane.to_le_bytes());
    }
    host.map(STATE, state);
    let mut end = 0;
    for len in [0, 5, 9, 3, 16, 70_000, 1] {
        let part = &plain[end..end + len];
        end += len;
        let done = Job::new(LZ4).flags(ACCUMULATE).run_on(&host, part);
        assert_eq!(done.sums[1], twox_hash::XxHash32::oneshot(0, &plain[..end]));
        let state = host.bytes(STATE, 8);
        assert_eq!(state[..4], (end as u32).to_le_bytes());
        assert_eq!(state[4..], (done.output.len() as u32).to_le_bytes());
    }
}

#[test]
fn verify_errors_recover_or_fail() {
    let plain = text(20_000);
    for command in [STATIC, DYNAMIC, LZ4, LZ4S] {
        let by_request = Job::new(command).flags(FINAL | VERIFY | RECOVER | INJECT);
        let by_host = Job::new(command)
            .flags(FINAL | VERIFY | RECOVER)
            .inject(Injection { verify_error: true, ..Injection::default() });
        for job in [by_request, by_host] {
            let done = job.run(&plain);
            assert_eq!((done.error, done.status, done.consumed), (0, 0, plain.len()));
            assert_eq!(done.header, header::VALID | header::VERIFIED | header::RECOVERED | header::STORED);
            let decoded = match command {
                LZ4 => lz4_blocks(&done.output, 1 << 16).0,
                LZ4S => {
                    let mut decoded = Vec::new();
                    sequences(&done.output, 2, &mut decoded);
                    decoded
                }
                _ => other_inflate(&done.output, plain.len()).0,
            };
            assert!(decoded == plain);
        }
        let failed = Job::new(command).flags(FINAL | VERIFY | INJECT).run(&plain);
        assert_eq!((failed.error, failed.status), (error::VERIFY, status::COMPRESSION_FAILED));
        assert_eq!((failed.consumed, failed.output.len()), (0, 0));
        assert_eq!(Job::new(command).run(&plain).header & header::VERIFIED, header::VERIFIED);
        assert_eq!(Job::new(command).flags(FINAL).run(&plain).header & header::VERIFIED, 0);
    }
}

#[test]
fn injections_do_what_they_say() {
    let plain = text(20_000);
    let run = |injection| Job::new(DYNAMIC).inject(injection).run(&plain);
    let good = run(Injection::default());

    let forced = run(Injection { error: Some(-12), ..Injection::default() });
    assert_eq!((forced.error, forced.status), (-12, status::COMPRESSION_FAILED));
    assert_eq!((forced.consumed, forced.output.len()), (0, 0));

    let wrong = run(Injection { wrong_checksum: true, ..Injection::default() });
    assert_eq!(wrong.sums, good.sums.map(|sum| !sum));
    assert_eq!(wrong.output, good.output);

    let short = run(Injection { short_output: 3, ..Injection::default() });
    assert_eq!((short.error, short.consumed), (0, plain.len()));
    assert_eq!(short.output, good.output[..good.output.len() - 3]);

    let full = run(Injection { output_limit: Some(777), ..Injection::default() });
    assert_eq!(full.error, error::OVERFLOW);
    assert!(full.output.len() <= 777);
    assert!(other_inflate(&full.output, plain.len()).0 == plain[..full.consumed]);

    let stored = run(Injection { store: true, ..Injection::default() });
    assert_eq!(blocks(&stored.output), [(0, 20_000)]);
}

#[test]
fn foreign_memory_ends_the_request_with_the_fault() {
    let plain = text(1000);
    let host = Host::default();
    let job = Job { pieces: 3, ..Job::new(STATIC).space(2000) };
    job.run_on(&host, &plain);
    let message = job.message(plain.len());
    for (hole, access) in
        [(SOURCE + (1 << 28), Access::Read), (DESTINATION, Access::Write), (LISTS, Access::Read)]
    {
        let bytes = host.0.borrow_mut().remove(&hole).unwrap();
        let completion = Engine::default().execute(&message, &host, &Injection::default());
        host.map(hole, bytes);
        let fault = completion.fault.expect("the hole must be reported");
        assert_eq!((fault.iova, fault.access), (hole, access));
        assert_eq!(completion.response[5] as i8, error::ENDPOINT);
        assert_eq!(completion.response[6], status::COMPRESSION_FAILED);
    }
    for flags in [INTEGRITY, ACCUMULATE] {
        let done = Job::new(LZ4).flags(FINAL | flags).run(&plain);
        assert!(done.fault.is_some() && done.error == error::ENDPOINT);
    }
}

#[test]
fn requests_beyond_the_device_are_unsupported() {
    let mut messages = Vec::new();
    for command in [6, 7, 10, 255] {
        messages.push(Job::new(command).message(0));
    }
    let plain = Job::new(STATIC);
    messages.push(Job { service_flags: 1 << 2, ..plain.clone() }.message(0));
    for bit in [24, 25, 27] {
        messages.push(plain.clone().flags(1 << bit).message(0));
    }
    let mut dictionary = plain.message(0);
    dictionary[76] = 32;
    messages.push(dictionary);
    for message in messages {
        let completion = Engine::default().execute(&message, &Host::default(), &Injection::default());
        assert_eq!(completion.response[6], status::UNSUPPORTED);
        assert_eq!(completion.fault, None);
    }
}

#[test]
fn chaining_hashes_then_compresses() {
    let plain = text(5000);
    let job = Job::new(DYNAMIC);
    let host = Host::default();
    job.run_on(&host, &plain);
    let (requests, responses) = (0x10_0000, 0x20_0000);
    let mut sym = [0; 128];
    // These are the symmetric service and the bit which says that the request is valid.
    (sym[2], sym[3]) = (4, 0x80);
    host.map(requests, [&job.message(plain.len())[..], &sym].concat());
    host.map(responses, vec![0x7F; 64]);
    let mut chain = [0; 128];
    chain[1..4].copy_from_slice(&[3, CHAIN_SERVICE, 0x80]);
    chain[24..32].copy_from_slice(&[9; 8]);
    for (at, iova) in [(64, requests), (72, responses), (80, requests + 128), (88, responses + 32)] {
        chain[at..at + 8].copy_from_slice(&iova.to_le_bytes());
    }
    for (status, expected) in [(0, 0), (1 << 7, 1 << 7), (1 << 2, 1 << 2)] {
        host.map(responses, vec![0x7F; 64]);
        let mut hash = |request: &Request, _: &dyn DeviceMemory| {
            assert_eq!(request, &sym);
            let mut response = [0; 32];
            response[6] = status;
            Outcome { response, fault: None }
        };
        let done = Engine::default().execute_chain(&chain, &host, &Injection::default(), &mut hash);
        assert_eq!(done.response[1..4], [3, CHAIN_SERVICE, 0x80]);
        assert_eq!((done.response[6], done.response[7]), (expected, 3));
        assert_eq!(done.response[8..16], [9; 8]);
        assert_eq!(host.bytes(responses + 38, 1), [status]);
        let packed = host.bytes(responses, 32);
        if status == 0 {
            let consumed = u32::from_le_bytes([packed[16], packed[17], packed[18], packed[19]]);
            assert_eq!((packed[5], consumed), (0, 5000));
        } else {
            assert_eq!(packed, [0x7F; 32], "a failed hash ends the chain");
        }
    }
    chain[1] = 1;
    let done =
        Engine::default().execute_chain(&chain, &host, &Injection::default(), &mut |_, _| unreachable!());
    assert_eq!(done.response[6], status::UNSUPPORTED);
}
