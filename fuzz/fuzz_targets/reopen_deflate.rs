//! A complete deflate stream made into one that more can follow. What libdeflate writes is always made so, and such
//! streams joined behind each other decode to what went in. Bytes of any other origin are refused, or made into a stream
//! that decodes to what it decoded to before. miniz_oxide decodes, which shares no code with either side.
#![no_main]

use std::io::Read;

use flate2::bufread::DeflateDecoder;
use libdeflater::{CompressionLvl, Compressor};
use libfuzzer_sys::fuzz_target;

/// The most that reopening a stream adds to it.
const GROWTH: usize = 5;
/// A final stored block without contents (RFC 1951, section 3.2.4).
const EMPTY: [u8; 5] = [1, 0, 0, 0xff, 0xff];
/// Deflate expands to 1032 times its length at most; input of libFuzzer's usual length stays below this.
const LIMIT: u64 = 8 << 20;

/// What a complete stream decodes to, if nothing follows it.
fn decode(stream: &[u8]) -> Option<Vec<u8>> {
    let (mut decoder, mut plain) = (DeflateDecoder::new(stream), Vec::new());
    let read = decoder.by_ref().take(LIMIT).read_to_end(&mut plain);
    (read.is_ok() && decoder.total_in() == stream.len() as u64 && decoder.get_ref().is_empty())
        .then_some(plain)
}

fn reopened(stream: &[u8]) -> Option<Vec<u8>> {
    let mut buffer = stream.to_vec();
    // What is behind the stream must not matter.
    buffer.resize(stream.len() + GROWTH, 0xa5);
    let len = qat::fuzz_reopen_deflate(&mut buffer, stream.len())?;
    assert!((stream.len()..=buffer.len()).contains(&len), "{} bytes became {len}", stream.len());
    buffer.truncate(len);
    Some(buffer)
}

fn deflate(plain: &[u8], level: u8) -> Vec<u8> {
    let mut compressor =
        Compressor::new(CompressionLvl::new(i32::from(level % 13)).expect("0 to 12 are levels"));
    let mut packed = vec![0; compressor.deflate_compress_bound(plain.len())];
    let len = compressor.deflate_compress(plain, &mut packed).expect("the room is enough");
    packed.truncate(len);
    packed
}

fn foreign(stream: &[u8]) {
    let open = reopened(stream);
    let Some(plain) = decode(stream) else { return };
    let open = open.expect("a decoder reads this stream to its end");
    let mut tight = stream.to_vec();
    match qat::fuzz_reopen_deflate(&mut tight, stream.len()) {
        Some(len) => assert!(tight == open && len == stream.len(), "the room decided how the stream ends"),
        None => assert!(tight == stream, "a stream that was refused was altered"),
    }
    let again = decode(&[&open[..], &EMPTY].concat());
    assert!(again.as_ref() == Some(&plain), "the stream decodes to something else than before");
}

/// Pieces that `data` describes, each of them part of it many times, slightly altered each time, so that long ones become
/// several blocks of more than one kind.
fn pieces(mut data: &[u8]) -> Vec<(u8, Vec<u8>)> {
    let mut pieces = Vec::new();
    while let Some((&[level, times, step, len], rest)) = data.split_first_chunk() {
        let (part, rest) = rest.split_at(usize::from(len).min(rest.len()));
        let altered = |n: u8| part.iter().map(move |byte| byte.wrapping_add(n.wrapping_mul(step)));
        pieces.push((level, (0..=times).flat_map(altered).collect()));
        data = rest;
    }
    pieces
}

fn joined(data: &[u8]) {
    let (mut whole, mut plain) = (Vec::new(), Vec::new());
    for (level, piece) in pieces(data).into_iter().take(8) {
        whole.extend(reopened(&deflate(&piece, level)).expect("libdeflate wrote it"));
        plain.extend(piece);
    }
    whole.extend(EMPTY);
    assert!(decode(&whole).as_ref() == Some(&plain), "{} bytes decode to something else", plain.len());
}

/// A stream of libdeflate's with an altered byte, so that what is altered is not refused for being no stream at all.
fn altered(data: &[u8]) -> Vec<u8> {
    let Some((&[level, low, high, mask], plain)) = data.split_first_chunk() else { return Vec::new() };
    let mut stream = deflate(plain, level);
    let at = usize::from(u16::from_le_bytes([low, high])) % stream.len();
    stream[at] ^= mask;
    stream
}

fuzz_target!(|data: &[u8]| {
    let Some((choice, data)) = data.split_first() else { return };
    match choice % 3 {
        0 => joined(data),
        1 => foreign(data),
        _ => foreign(&altered(data)),
    }
});
