//! Tests of deflate in both directions.

use super::*;

#[test]
fn static_compression_writes_fixed_blocks_only() {
    for plain in samples() {
        for depth in [1, 3, 4, 12] {
            let done = Job::new(STATIC).depth(depth).run(&plain);
            assert_eq!((done.error, done.status, done.consumed), (0, 0, plain.len()));
            assert_eq!(other_inflate(&done.output, plain.len()), (plain.clone(), true));
            let blocks = blocks(&done.output);
            assert!(blocks.iter().all(|b| b.0 == 1), "{blocks:?}");
            assert_eq!(blocks.iter().map(|b| b.1).sum::<usize>(), plain.len());
            assert_eq!(done.header & header::STORED, 0);

            let open = Job::new(STATIC).depth(depth).flags(0).run(&plain);
            let last = *self::blocks(&open.output).last().unwrap();
            assert_eq!(last, (0, 0), "a full flush ends with an empty stored block");
            assert!(self::blocks(&open.output).iter().all(|b| b.0 == 1 || b.1 == 0));
            assert_eq!(other_inflate(&open.output, plain.len()), (plain.clone(), false));
        }
    }
}

#[test]
fn dynamic_compression_is_read_by_another_implementation() {
    for plain in samples() {
        for depth in [1, 3, 4] {
            let done = Job::new(DYNAMIC).depth(depth).run(&plain);
            assert_eq!((done.error, done.translator_error, done.status), (0, 0, 0));
            assert_eq!(done.consumed, plain.len());
            assert_eq!(other_inflate(&done.output, plain.len()), (plain.clone(), true));
        }
    }
}

#[test]
fn flushed_requests_join_into_one_stream_with_running_checksums() {
    let plain = text(150_000);
    for command in [STATIC, DYNAMIC] {
        let (mut stream, mut seeds) = (Vec::new(), [0, 1]);
        for (i, part) in plain.chunks(50_000).enumerate() {
            let mut job = Job::new(command).flags(if i == 2 { FINAL } else { 0 });
            job.seeds = seeds;
            let done = job.run(part);
            seeds = done.sums;
            stream.extend(done.output);
        }
        assert_eq!(other_inflate(&stream, plain.len()), (plain.clone(), true));
        // miniz_oxide computes the Adler-32 of its zlib stream itself.
        let zlib = miniz_oxide::deflate::compress_to_vec_zlib(&plain, 1);
        assert_eq!(seeds[1].to_be_bytes(), zlib[zlib.len() - 4..]);
    }
}

#[test]
fn deeper_search_packs_better_and_static_worse() {
    let plain = text(1 << 17);
    let size = |command, depth| Job::new(command).depth(depth).run(&plain).output.len();
    assert!(size(DYNAMIC, 1) > size(DYNAMIC, 3) && size(DYNAMIC, 3) >= size(DYNAMIC, 4));
    assert!(size(STATIC, 1) > size(STATIC, 3) && size(STATIC, 3) >= size(STATIC, 4));
    assert!([1, 3, 4].iter().all(|&depth| size(STATIC, depth) > size(DYNAMIC, depth)));
    let miniz = miniz_oxide::deflate::compress_to_vec(&plain, 1).len();
    assert!(size(DYNAMIC, 1) < miniz * 11 / 10, "level 1 must be near other level 1 compressors");
}

#[test]
fn stored_blocks_are_chosen_and_indicated() {
    let plain = noise(150_000);
    for job in [Job::new(STATIC).auto(), Job::new(DYNAMIC), Job::new(DYNAMIC).auto()] {
        let done = job.run(&plain);
        assert_eq!(done.header & header::STORED, header::STORED);
        assert_eq!(blocks(&done.output), [(0, 65_535), (0, 65_535), (0, 18_930)]);
        assert_eq!(other_inflate(&done.output, plain.len()), (plain.clone(), true));
        assert_eq!(job.run(&text(9000)).header & header::STORED, 0);
    }
}

/// Checks an overflow: the output decodes to exactly the consumed input, and the rest can be compressed after it.
pub(super) fn check_overflow(command: u8, plain: &[u8], space: usize, auto: bool) -> usize {
    let job = if auto { Job::new(command).auto() } else { Job::new(command) };
    let done = job.clone().space(space).run(plain);
    if done.error == 0 {
        assert_eq!(done.consumed, plain.len());
        return done.consumed;
    }
    assert_eq!(done.error, error::OVERFLOW);
    let translator = if command == DYNAMIC { status::TRANSLATOR_FAILED } else { 0 };
    assert_eq!(done.status, status::COMPRESSION_FAILED | translator);
    assert_eq!(done.translator_error, if command == DYNAMIC { error::OVERFLOW } else { 0 });
    assert!(done.consumed < plain.len());
    let (part, finished) = other_inflate(&done.output, plain.len());
    assert!(part == plain[..done.consumed] && !finished);
    let crc = job.run(&plain[..done.consumed]).sums;
    assert_eq!(done.sums, crc, "checksums cover the consumed part");
    let rest = job.run(&plain[done.consumed..]);
    let whole = [done.output, rest.output].concat();
    assert!(other_inflate(&whole, plain.len()) == (plain.to_vec(), true));
    done.consumed
}

#[test]
fn compress_overflow_has_true_partial_counters() {
    let plain = text(60_000);
    for command in [STATIC, DYNAMIC] {
        let mut previous = 0;
        for space in [1, 4, 5, 16, 64, 200, 1024, 5000, 9000, 12_000] {
            let consumed = check_overflow(command, &plain, space, false);
            assert!(consumed >= previous);
            previous = consumed;
        }
        assert!(check_overflow(command, &plain, 5000, false) > 7000, "the space must be used");
        check_overflow(command, &noise(50_000), 20_000, false);
        check_overflow(command, &noise(50_000), 20_000, true);
        check_overflow(command, &vec![0; 1 << 20], 300, false);
    }
    let long = text(200_000);
    for command in [STATIC, DYNAMIC] {
        for space in (1..10).map(|i| 7000 * i) {
            check_overflow(command, &long, space, false);
        }
    }
    let whole = Job::new(STATIC).run(&plain).output.len();
    assert_eq!(Job::new(STATIC).space(whole).run(&plain).error, 0);
    assert_eq!(Job::new(STATIC).space(whole - 1).run(&plain).error, error::OVERFLOW);
}

#[test]
fn inflate_stops_behind_the_final_block() {
    for plain in samples() {
        for level in [0, 1, 9] {
            let stream = miniz_oxide::deflate::compress_to_vec(&plain, level);
            let done = Job::new(INFLATE).run(&[&stream[..], b"gzip trailer"].concat());
            assert_eq!((done.error, done.status), (0, status::END_OF_LAST_BLOCK));
            assert_eq!(done.consumed, stream.len());
            assert!(done.output == plain);
            let exact = Job::new(INFLATE).space(plain.len()).run(&stream);
            assert_eq!((exact.error, exact.output.len()), (0, plain.len()));
        }
    }
}

#[test]
fn inflate_reports_full_output_and_missing_input() {
    let plain = text(100_000);
    let stream = miniz_oxide::deflate::compress_to_vec(&plain, 6);
    for space in [0, 1, 4096, 99_999] {
        let done = Job::new(INFLATE).space(space).run(&stream);
        assert_eq!((done.error, done.status), (error::OVERFLOW, status::COMPRESSION_FAILED));
        assert_eq!((done.translator_error, &done.output[..]), (0, &plain[..space]));
    }
    for len in [0, 1, 100, stream.len() - 1] {
        let done = Job::new(INFLATE).run(&stream[..len]);
        assert_eq!((done.error, done.consumed), (error::INCOMPLETE_FILE, len));
        assert!(plain.starts_with(&done.output));
    }
    // This is one request of several, which ends with a flush; the library treats the error as success.
    let open = Job::new(DYNAMIC).flags(0).run(&plain);
    let done = Job::new(INFLATE).run(&open.output);
    assert_eq!((done.error, done.consumed), (error::INCOMPLETE_FILE, open.output.len()));
    assert!(done.output == plain);
}

#[test]
fn corrupt_deflate_has_the_code_of_its_defect() {
    // These are the streams of zlib's inflate coverage test, with the code for the message that zlib reports.
    let cases: [(&[u8], i8); 15] = [
        (&[0, 0, 0, 0, 0], error::BAD_STORED_BLOCK_LEN),
        (&[6], error::INVALID_BLOCK_TYPE),
        (&[0xFC, 0, 0], error::TOO_MANY_CODES),
        // These are valid except for 32 and 31 distance codes, of which the last two never occur (RFC 1951, 3.2.6).
        (&[0x05, 0xDF, 0x81, 0, 0, 0, 0, 0x10, 0xE1, 0xF3, 0x4E, 0x08], error::TOO_MANY_CODES),
        (&[0x05, 0xDE, 0x81, 0, 0, 0, 0, 0x10, 0xE1, 0xF3, 0x4E, 0x08], error::TOO_MANY_CODES),
        (&[4, 0, 0xFE, 0xFF], error::INCOMPLETE_CODE_LENS),
        (&[4, 0, 0x24, 0x49, 0], error::MORE_REPEAT),
        (&[4, 0, 0x24, 0xE9, 0xFF, 0xFF], error::MORE_REPEAT),
        (&[4, 0, 0x24, 0xE9, 0xFF, 0x6D], error::BAD_LITLEN_CODES),
        (
            &[4, 0x80, 0x49, 0x92, 0x24, 0x49, 0x92, 0x24, 0x71, 0xFF, 0xFF, 0x93, 0x11, 0],
            error::BAD_LITLEN_CODES,
        ),
        (
            &[4, 0x80, 0x49, 0x92, 0x24, 0x49, 0x92, 0x24, 0x0F, 0xB4, 0xFF, 0xFF, 0xC3, 0x84],
            error::BAD_DIST_CODES,
        ),
        (&[4, 0xC0, 0x81, 8, 0, 0, 0, 0, 0x20, 0x7F, 0xEB, 0x0B, 0, 0], error::INVALID_CODE),
        (&[2, 0x7E, 0xFF, 0xFF], error::INVALID_CODE),
        (&[0x0C, 0xC0, 0x81, 0, 0, 0, 0, 0, 0x90, 0xFF, 0x6B, 4, 0], error::INVALID_DIST),
        (&[3, 0], 0),
    ];
    for (stream, code) in cases {
        let done = Job::new(INFLATE).run(stream);
        assert_eq!(done.error, code, "{stream:x?}");
        assert_eq!(done.status & status::COMPRESSION_FAILED != 0, code != 0);
    }
}
