//! Conversion of a complete deflate stream to one that more data can follow. A stream of libdeflate is always
//! converted, and such streams, concatenated, decode to the original content. A stream of any other origin is refused,
//! or converted to a stream that decodes to the same content as before. The decoder is miniz_oxide, which shares no
//! code with either side.
#![no_main]

use std::io::Read;

use flate2::bufread::DeflateDecoder;
use libdeflater::{CompressionLvl, Compressor};
use libfuzzer_sys::fuzz_target;

/// The largest number of bytes that the conversion adds.
const GROWTH: usize = 5;
/// A final stored block without content (RFC 1951, section 3.2.4).
const EMPTY: [u8; 5] = [1, 0, 0, 0xff, 0xff];
/// Deflate expands to at most 1032 times its length, so that input of libFuzzer's default length stays below this.
const LIMIT: u64 = 8 << 20;

/// Returns the content of a complete stream, or `None` where it is invalid or data follow it.
fn decode(stream: &[u8]) -> Option<Vec<u8>> {
    let (mut decoder, mut plain) = (DeflateDecoder::new(stream), Vec::new());
    let read = decoder.by_ref().take(LIMIT).read_to_end(&mut plain);
    (read.is_ok() && decoder.total_in() == stream.len() as u64 && decoder.get_ref().is_empty())
        .then_some(plain)
}

fn reopened(stream: &[u8]) -> Option<Vec<u8>> {
    let mut buffer = stream.to_vec();
    // Data after the stream must not affect the result.
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
    let len = compressor.deflate_compress(plain, &mut packed).expect("the buffer has the length of the bound");
    packed.truncate(len);
    packed
}

fn foreign(stream: &[u8]) {
    let open = reopened(stream);
    let Some(plain) = decode(stream) else { return };
    let open = open.expect("a decoder reads this stream to its end");
    let mut tight = stream.to_vec();
    match qat::fuzz_reopen_deflate(&mut tight, stream.len()) {
        Some(len) => assert!(tight == open && len == stream.len(), "the size of the buffer changed how the stream ends"),
        None => assert!(tight == stream, "a stream that was refused was altered"),
    }
    let again = decode(&[&open[..], &EMPTY].concat());
    assert!(again.as_ref() == Some(&plain), "the stream decodes to something else than before");
}

/// Returns the pieces that `data` describes. Each repeats a part of `data` with small changes, so that a long piece has
/// several blocks of more than one type.
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

/// Returns a stream of libdeflate with one altered byte, so that it is not refused already at its beginning.
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
