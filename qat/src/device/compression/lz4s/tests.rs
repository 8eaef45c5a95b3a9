//! Tests with LZ4s written by hand, by the emulated device, by a converter of lz4's blocks and by a greedy search. zstd
//! and ruzstd read the frames.

#[cfg(all(target_os = "linux", target_env = "gnu"))]
mod emulated;

use proptest::prelude::*;

use super::fuzz::expand;
use super::*;
use crate::formats::zstd::parse_header;

const MIN_MATCHES: [MinMatch; 2] = [MinMatch::Three, MinMatch::Four];

fn parsed(lz4s: &[u8], min_match: MinMatch, plain: &[u8]) -> Result<Vec<[u32; 3]>, Lz4sError> {
    let mut sequences = Vec::new();
    parse(lz4s, min_match, plain, &mut sequences)?;
    Ok(sequences.iter().map(|it| [it.litLength, it.matchLength, it.offset]).collect())
}

#[test]
fn layout_by_hand() {
    let (three, four) = (MinMatch::Three, MinMatch::Four);
    let read = |lz4s: &[u8], min_match, plain: &[u8]| parsed(lz4s, min_match, plain).unwrap();
    // The code of the shortest match is 1 in both formats.
    assert_eq!(read(b"\x31abc\x03\0\x10d", three, b"abcabcd"), [[3, 3, 3], [1, 0, 0]]);
    assert_eq!(read(b"\x31abc\x03\0\x10d", four, b"abcabcad"), [[3, 4, 3], [1, 0, 0]]);
    // The cases are: no literals after the match, with and without a last token; only literals; empty input.
    assert_eq!(read(b"\x31abc\x03\0", three, b"abcabc"), [[3, 3, 3], [0, 0, 0]]);
    assert_eq!(read(b"\x31abc\x03\0\0", three, b"abcabc"), [[3, 3, 3], [0, 0, 0]]);
    assert_eq!(read(b"\x20ab", four, b"ab"), [[2, 0, 0]]);
    assert_eq!(read(b"", four, b""), [[0, 0, 0]]);
    // Without a match the distance is ignored, and the literals belong to the next sequence, which may be the last.
    assert_eq!(read(b"\x20ab\xff\xff\x11a\x02\0\x10c\0\0\x10d", three, b"abababcd"), [[3, 3, 2], [2, 0, 0]],);
}

#[test]
fn long_lengths_by_hand() {
    let run = |len| vec![b'a'; len];
    // The length is 1 + (15 + 255 + 27) + base 2, or with 26 + base 3.
    assert_eq!(parsed(b"\x1fa\x01\0\xff\x1b", MinMatch::Three, &run(300)).unwrap()[0], [1, 299, 1]);
    assert_eq!(parsed(b"\x1fa\x01\0\xff\x1a", MinMatch::Four, &run(300)).unwrap()[0], [1, 299, 1]);
    // A byte follows a nibble of 15, even if the byte is 0, and likewise follows a byte of 255.
    assert_eq!(parsed(b"\x1fa\x01\0\0", MinMatch::Three, &run(18)).unwrap()[0], [1, 17, 1]);
    let literals: Vec<u8> = (0..270).map(|i| (i % 251) as u8).collect();
    let lz4s = [b"\xf0\xff\0", &literals[..]].concat();
    assert_eq!(parsed(&lz4s, MinMatch::Four, &literals).unwrap(), [[270, 0, 0]]);
}

#[test]
fn invalid_lz4s_is_an_error_of_the_device() {
    let three = |lz4s: &[u8], plain: &[u8]| parsed(lz4s, MinMatch::Three, plain).unwrap_err();
    let mismatch = |len, at| Lz4sError::Mismatch { len, at };
    for cut in [&b"\x30ab"[..], b"\xf0", b"\xf0\xff", b"\x31abc\x03", b"\x3fabc\x03\0", b"\x3fabc\x03\0\xff"]
    {
        assert_eq!(three(cut, b"abcabcabc"), Lz4sError::Truncated, "{cut:?}");
    }
    assert_eq!(three(b"\x31abc\0\0", b"abcabc"), Lz4sError::Distance { distance: 0, plain: 3 });
    assert_eq!(three(b"\x31abc\x04\0", b"abcabc"), Lz4sError::Distance { distance: 4, plain: 3 });
    assert_eq!(three(b"\x31abc\x03\0", b"abcabx"), mismatch(6, 3));
    assert_eq!(three(b"\x31abx\x03\0", b"abcabc"), mismatch(6, 0));
    assert_eq!(three(b"\x31abc\x03\0", b"abcab"), mismatch(5, 3));
    assert_eq!(three(b"\x31abc\x03\0", b"abcabca"), mismatch(7, 6));
    assert_eq!(three(b"", b"a"), mismatch(1, 0));

    let mut output = [0; 256];
    let mut writer = FrameWriter::new(b"abcabc", &mut output, MinMatch::Three).unwrap();
    for len in [0, 7, usize::MAX] {
        let error = writer.block(len, b"\x31abc\x03\0").unwrap_err();
        assert!(error.is_device_fault() && error.to_string().contains("1 to 6"), "{error}");
    }
    assert!(writer.block(6, b"\x31abd\x03\0").unwrap_err().is_device_fault());
    writer.block(6, b"\x31abc\x03\0").unwrap();
    let len = writer.finish().unwrap();
    check(&output[..len], b"abcabc");
    let plain = vec![0; BLOCK_MAX + 1];
    let mut writer = FrameWriter::new(&plain, &mut output, MinMatch::Three).unwrap();
    assert!(writer.block(BLOCK_MAX + 1, b"").unwrap_err().is_device_fault());
    assert!(matches!(writer.finish(), Err(Error::Internal { .. })));
}

fn push_length(lz4s: &mut Vec<u8>, length: usize) {
    if let Some(mut rest) = length.checked_sub(15) {
        while rest >= 255 {
            lz4s.push(255);
            rest -= 255;
        }
        lz4s.push(rest as u8);
    }
}

/// Appends a sequence in parts of at most `most` literals, as a device with a limited counter may.
fn push(lz4s: &mut Vec<u8>, mut literals: &[u8], matched: Option<(usize, usize)>, most: usize) {
    loop {
        let now = literals.len().min(most);
        let last = now == literals.len();
        let (distance, code) = if last { matched.unwrap_or_default() } else { (0xdead, 0) };
        lz4s.push((now.min(15) << 4 | code.min(15)) as u8);
        push_length(lz4s, now);
        lz4s.extend(&literals[..now]);
        if last && matched.is_none() {
            return;
        }
        lz4s.extend((distance as u16).to_le_bytes());
        push_length(lz4s, code);
        if last {
            return;
        }
        literals = &literals[now..];
    }
}

fn lz4_length(nibble: u8, rest: &mut &[u8]) -> usize {
    let extension = if nibble < 15 { 0 } else { 1 + rest.iter().take_while(|it| **it == 255).count() };
    let (more, after) = rest.split_at(extension);
    *rest = after;
    usize::from(nibble) + more.iter().copied().map(usize::from).sum::<usize>()
}

/// Converts the sequences of lz4's block to LZ4s.
fn from_lz4(plain: &[u8], min_match: MinMatch, most: usize) -> Vec<u8> {
    let mut block = vec![0; lzzzz::lz4::max_compressed_size(plain.len())];
    let len = lzzzz::lz4::compress(plain, &mut block, 1).unwrap();
    let mut rest = &block[..len];
    let mut lz4s = Vec::new();
    while let Some((token, after)) = rest.split_first() {
        rest = after;
        let len = lz4_length(token >> 4, &mut rest);
        let (literals, after) = rest.split_at(len);
        let Some((distance, after)) = after.split_first_chunk() else {
            push(&mut lz4s, literals, None, most);
            break;
        };
        rest = after;
        let len = lz4_length(token & 15, &mut rest) + 4;
        let distance = usize::from(u16::from_le_bytes(*distance));
        push(&mut lz4s, literals, Some((distance, len - min_match.base())), most);
    }
    lz4s
}

/// Compresses to LZ4s with a greedy search that also takes the shortest matches, and matches up to the last byte.
fn greedy(plain: &[u8], min_match: MinMatch, most: usize) -> Vec<u8> {
    let shortest = min_match.base() + 1;
    let mut seen = std::collections::HashMap::new();
    let (mut lz4s, mut at, mut from) = (Vec::new(), 0, 0);
    while let Some(key) = plain.get(at..at + shortest) {
        match seen.insert(key, at) {
            Some(earlier) if at - earlier <= 0xffff => {
                let len = plain[at..].iter().zip(&plain[earlier..]).take_while(|(a, b)| a == b).count();
                push(&mut lz4s, &plain[from..at], Some((at - earlier, len - min_match.base())), most);
                at += len;
                from = at;
            }
            _ => at += 1,
        }
    }
    if from < plain.len() {
        push(&mut lz4s, &plain[from..], None, most);
    }
    lz4s
}

fn noise(len: usize) -> Vec<u8> {
    let mut state = 0x9e37_79b9_7f4a_7c15_u64;
    let mut next = || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        (state >> 32) as u8
    };
    (0..len).map(|_| next()).collect()
}

fn text(len: usize) -> Vec<u8> {
    let words = [&include_bytes!("mod.rs")[..], include_bytes!("../../../raw/zstd.rs")].concat();
    words.iter().copied().cycle().take(len).collect()
}

fn samples() -> Vec<Vec<u8>> {
    let mixed = [text(100_000), noise(150_000), vec![7; 200_000], text(30_000)].concat();
    vec![vec![], vec![b'x'], text(6), text(700), noise(5000), vec![0; 300_000], text(400_000), mixed]
}

/// Decompresses a frame with two implementations and compares the results with `plain`.
fn check(frame: &[u8], plain: &[u8]) {
    let header = parse_header(frame).unwrap().unwrap();
    assert_eq!((header.content_size, header.checksum), (Some(plain.len() as u64), true));
    let mut back = vec![0; plain.len()];
    assert_eq!(zstd_safe::decompress(&mut back[..], frame), Ok(plain.len()));
    assert!(back == plain);
    let mut decoder = ruzstd::decoding::StreamingDecoder::new(frame).unwrap();
    let mut back = Vec::new();
    std::io::Read::read_to_end(&mut decoder, &mut back).unwrap();
    assert!(back == plain);
    let decoder = decoder.into_frame_decoder();
    assert_eq!(decoder.get_checksum_from_data(), decoder.get_calculated_checksum());
}

fn write(
    plain: &[u8],
    block_len: usize,
    min_match: MinMatch,
    lz4s: impl Fn(&[u8]) -> Vec<u8>,
) -> Result<Vec<u8>> {
    let mut output = vec![0; zstd::bound(plain.len())];
    let mut writer = FrameWriter::new(plain, &mut output, min_match)?;
    for block in plain.chunks(block_len) {
        writer.block(block.len(), &lz4s(block))?;
    }
    let len = writer.finish()?;
    output.truncate(len);
    Ok(output)
}

#[test]
fn frames_are_read_by_two_implementations() {
    for plain in samples() {
        for min_match in MIN_MATCHES {
            for (block_len, most) in [(BLOCK_MAX, usize::MAX), (64 << 10, 4000), (5000, 7)] {
                let frame = write(&plain, block_len, min_match, |it| from_lz4(it, min_match, most)).unwrap();
                check(&frame, &plain);
                let frame = write(&plain, block_len, min_match, |it| greedy(it, min_match, most)).unwrap();
                check(&frame, &plain);
            }
        }
    }
}

#[test]
fn matches_are_used_also_the_shortest() {
    // The data consists of repeated words of three bytes, so that only the shortest matches save anything.
    let words: Vec<[u8; 3]> = noise(64 * 3).as_chunks().0.to_vec();
    let plain: Vec<u8> = noise(60_000).iter().flat_map(|it| words[usize::from(it % 64)]).collect();
    let len = |min_match| {
        write(&plain, BLOCK_MAX, min_match, |it| greedy(it, min_match, usize::MAX)).unwrap().len()
    };
    let literals = write(&plain, BLOCK_MAX, MinMatch::Four, |it| {
        let mut lz4s = Vec::new();
        push(&mut lz4s, it, None, usize::MAX);
        lz4s
    });
    assert!(len(MinMatch::Three) < literals.unwrap().len() * 3 / 4);
}

#[test]
fn a_short_output_is_an_error_and_does_not_affect_the_next_frame() {
    let plain = text(200_000);
    let block = |it: &[u8]| greedy(it, MinMatch::Three, usize::MAX);
    let frame = write(&plain, BLOCK_MAX, MinMatch::Three, block).unwrap();
    for room in [0, 1, 5, 17, 1000, frame.len() - 5, frame.len() - 4, frame.len() - 1] {
        let mut output = vec![0; room];
        let mut writer = FrameWriter::new(&plain, &mut output, MinMatch::Three).unwrap();
        let error = plain.chunks(BLOCK_MAX).find_map(|it| writer.block(it.len(), &block(it)).err());
        let Some(Error::OutputTooSmall { required: Some(required), available }) = error else {
            panic!("{error:?}")
        };
        assert_eq!(available, room);
        assert!(required >= frame.len());
        assert!(matches!(
            writer.block(100, &block(&plain[..100])),
            Err(Error::Device { .. } | Error::Internal { .. })
        ));
        assert!(matches!(writer.finish(), Err(Error::Internal { .. })));
        // The next frame uses the same context, which an unfinished frame must not affect.
        assert!(write(&plain, BLOCK_MAX, MinMatch::Three, block).unwrap() == frame);
    }
    let mut exact = vec![0; frame.len()];
    let mut writer = FrameWriter::new(&plain, &mut exact, MinMatch::Three).unwrap();
    for it in plain.chunks(BLOCK_MAX) {
        writer.block(it.len(), &block(it)).unwrap();
    }
    assert_eq!(writer.finish().unwrap(), frame.len());
    assert!(exact == frame);
    assert!(matches!(
        FrameWriter::new(&[], &mut [], MinMatch::Four).unwrap().finish(),
        Err(Error::OutputTooSmall { .. })
    ));
}

#[test]
fn open_frames_do_not_share_a_context() {
    let (a, b) = (text(150_000), noise(150_000));
    let pack = |it: &[u8]| greedy(it, MinMatch::Four, usize::MAX);
    let (mut to_a, mut to_b) = (vec![0; zstd::bound(a.len())], vec![0; zstd::bound(b.len())]);
    let mut write_a = FrameWriter::new(&a, &mut to_a, MinMatch::Four).unwrap();
    let mut write_b = FrameWriter::new(&b, &mut to_b, MinMatch::Four).unwrap();
    for (a, b) in a.chunks(50_000).zip(b.chunks(50_000)) {
        write_a.block(a.len(), &pack(a)).unwrap();
        write_b.block(b.len(), &pack(b)).unwrap();
    }
    let (len_a, len_b) = (write_a.finish().unwrap(), write_b.finish().unwrap());
    check(&to_a[..len_a], &a);
    check(&to_b[..len_b], &b);
}

proptest! {
    #[test]
    fn whatever_bytes(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
        fuzz(&bytes);
    }

    /// The bytes are mostly small numbers, so that tokens, distances and lengths are often valid.
    #[test]
    fn likely_bytes(bytes in proptest::collection::vec(prop_oneof![0_u8..4, 0x10_u8..0x24, Just(255), any::<u8>()], 0..300)) {
        fuzz(&bytes);
    }

    #[test]
    fn altered_lz4s(
        plain in proptest::collection::vec(0_u8..4, 1..3000),
        min_match in proptest::sample::select(&MIN_MATCHES[..]),
        most in 1_usize..40,
        (at, value) in (any::<proptest::sample::Index>(), any::<u8>()),
    ) {
        let mut lz4s = greedy(&plain, min_match, most);
        prop_assert_eq!(expand(&lz4s, min_match), Some(plain.clone()));
        check(&write(&plain, BLOCK_MAX, min_match, |_| lz4s.clone()).unwrap(), &plain);
        let at = at.index(lz4s.len());
        lz4s[at] = value;
        match write(&plain, BLOCK_MAX, min_match, |_| lz4s.clone()) {
            Ok(frame) => check(&frame, &plain),
            Err(error) => prop_assert!(error.is_device_fault(), "{}", error),
        }
    }
}
