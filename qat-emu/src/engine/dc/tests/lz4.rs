//! Tests of LZ4 in both directions, and of LZ4s.

use super::*;

#[test]
fn lz4_blocks_carry_size_words() {
    for (code, block_max) in [(0, 1 << 16), (1, 1 << 18), (2, 1 << 20), (3, 1 << 22)] {
        for plain in samples() {
            let mut job = Job::new(LZ4);
            job.high = code << 19;
            let done = job.run(&plain);
            assert_eq!((done.error, done.status, done.consumed), (0, 0, plain.len()));
            let (decoded, raw) = lz4_blocks(&done.output, block_max);
            assert!(decoded == plain);
            assert_eq!(
                raw > 0 && done.header & header::STORED == 0,
                plain.len() == 160_000 && code == 0 && raw > 0
            );
            assert_eq!(done.sums[1], twox_hash::XxHash32::oneshot(0, &plain));

            let mut back = Job::new(UNLZ4);
            back.low = code << 8;
            if !plain.is_empty() {
                let back = back.run(&done.output);
                assert_eq!((back.error, back.status), (0, status::END_OF_LAST_BLOCK));
                assert_eq!((back.consumed, back.sums), (done.output.len(), done.sums));
                assert!(back.output == plain);
            }
        }
    }
    assert_eq!(Job::new(LZ4).run(&noise(5000)).header & header::STORED, header::STORED);
}

#[test]
fn lz4_overflow_has_true_partial_counters() {
    let plain = text(200_000);
    for space in [0, 5, 100, 5000, 12_000, 20_000] {
        let done = Job::new(LZ4).space(space).run(&plain);
        assert_eq!((done.error, done.status), (error::OVERFLOW, status::COMPRESSION_FAILED));
        assert!(lz4_blocks(&done.output, 1 << 16).0 == plain[..done.consumed]);
        assert!(space < 5000 || done.consumed > space, "the space must be used");
        let done = Job::new(LZ4S).space(space).run(&plain);
        assert_eq!(done.error, error::OVERFLOW);
        let mut decoded = Vec::new();
        if !done.output.is_empty() {
            sequences(&done.output, 2, &mut decoded);
        }
        assert!(decoded == plain[..done.consumed]);
    }
}

#[test]
fn lz4_decompression_reads_every_form_of_the_sequence() {
    let plain = text(50_000);
    let packed = lz4_flex::block::compress(&plain);
    let word = |len: usize, raw: u32| (len as u32 | raw << 31).to_le_bytes();
    let (half, rest) = plain.split_at(20_000);
    let linked = lz4_flex::block::compress_with_dict(rest, half);
    let check = [1, 2, 3, 4];

    let mixed =
        [&word(half.len(), 1)[..], half, &check, &word(linked.len(), 0), &linked, &check, &word(0, 0), b"xx"];
    let mut job = Job::new(UNLZ4);
    job.low = 1 << 3;
    let done = job.run(&mixed.concat());
    assert_eq!((done.error, done.status), (0, status::END_OF_LAST_BLOCK));
    assert!(done.output == plain);
    assert_eq!(done.consumed, mixed.concat().len() - 2, "the footer behind the end mark is not the device's");

    let run = |parts: &[&[u8]]| Job::new(UNLZ4).run(&parts.concat());
    assert_eq!(run(&[&word(packed.len(), 0), &packed[..packed.len() - 1]]).error, error::INCOMPLETE_FILE);
    assert_eq!(run(&[&[1, 2]]).error, error::INCOMPLETE_FILE);
    assert_eq!(run(&[]).error, error::INCOMPLETE_FILE);
    assert_eq!(run(&[&word(65_537, 1), &[0; 65_537]]).error, error::LZ4_MAX_BLOCK_SIZE_EXCEEDED);
    let bomb = lz4_flex::block::compress(&[0; 70_000]);
    assert_eq!(run(&[&word(bomb.len(), 0), &bomb]).error, error::LZ4_BLOCK_OVERFLOW);
    // The first distance reaches before the start of the data; the format declares 0 invalid.
    for distance in [9, 0] {
        assert_eq!(
            run(&[&word(8, 0), &[0x10, b'a', distance, 0, 0x10, b'b', 0, 0]]).error,
            error::LZ4_DISTANCE_OUT_OF_RANGE
        );
    }
    assert_eq!(run(&[&word(1, 0), &[0x50]]).error, error::INVALID_CODE);
    let full = Job::new(UNLZ4).space(49_999).run(&[&word(packed.len(), 0)[..], &packed].concat());
    assert_eq!((full.error, full.status), (error::OVERFLOW, status::COMPRESSION_FAILED));
}

#[test]
fn lz4s_is_read_by_an_independent_decoder() {
    for plain in samples() {
        for (min_match, base) in [(3, 2), (4, 3)] {
            let mut job = Job::new(LZ4S);
            job.low |= if min_match == 4 { 1 << 4 } else { 0 };
            let done = job.run(&plain);
            assert_eq!((done.error, done.status, done.consumed), (0, 0, plain.len()));
            let mut decoded = Vec::new();
            sequences(&done.output, base, &mut decoded);
            assert!(decoded == plain);
            assert_eq!(done.sums[1], twox_hash::XxHash32::oneshot(0, &plain));
        }
    }
}
