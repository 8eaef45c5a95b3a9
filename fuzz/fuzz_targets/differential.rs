//! Differential test of all ways to decompress: input that one of them accepts is accepted by all others, with the same
//! output, and input that one refuses is refused by all. The ways are the one-shot call to a growing and to an exact
//! buffer, the stream with one and with several threads, and for deflate data also a gzip member with and without a
//! `QZ` field, and zlib. libdeflate accepts more than zlib, and returns the same output where both accept.
//!
//! The first byte selects the format, and whether the rest is compressed data, or plain data whose compressed form is
//! then altered according to a second part of the input. The target therefore needs no corpus to get past headers and
//! checksums.
#![no_main]

use std::num::NonZeroUsize;

use accel_core::{CompressOptions, CompressionAccelerator, DecompressOptions, End, Error, Format, Level};
use libfuzzer_sys::fuzz_target;
use qat::SoftwareAccelerator;
use qat::stream::{self, Engine, Settings, StreamError};

const FORMATS: [Format; 6] =
    [Format::Deflate, Format::Zlib, Format::Gzip, Format::Lz4Block, Format::Lz4Frame, Format::Zstd];
const LIMIT: usize = 1 << 20;

/// The plain bytes, or `None` for input that is refused. Any other result is a failure of the target.
type Verdict = Option<Vec<u8>>;

fn verdict(result: Result<Vec<u8>, Error>, what: &str) -> Result<Verdict, ()> {
    match result {
        Ok(plain) => Ok(Some(plain)),
        Err(Error::Corrupt { .. } | Error::Truncated { .. } | Error::TrailingData { .. }) => Ok(None),
        // The ways may differ in how much they output before the limit, and in what they do not support.
        Err(Error::LimitExceeded { .. } | Error::Unsupported { .. }) => Err(()),
        Err(error) => panic!("{what}: {error}"),
    }
}

fn one_shot(packed: &[u8], format: Format) -> Result<Verdict, ()> {
    let options = DecompressOptions::new(format).limit(LIMIT);
    let result = SoftwareAccelerator::new().decompress(packed, &options);
    verdict(result.map(|(plain, _)| plain), "one-shot")
}

fn has_trailing_data(deflated: &[u8]) -> bool {
    let options = DecompressOptions::new(Format::Deflate).limit(LIMIT);
    matches!(SoftwareAccelerator::new().decompress(deflated, &options), Err(Error::TrailingData { .. }))
}

fn streamed(packed: &[u8], format: Format, threads: usize) -> Result<Verdict, ()> {
    let engine = Engine::software(&SoftwareAccelerator::new());
    let threads = NonZeroUsize::new(threads).expect("it is not zero");
    let settings = Settings::default().threads(threads).limit(LIMIT as u64);
    let mut plain = Vec::new();
    let result = match stream::decompress(packed, &mut plain, &engine, Some(format), &settings) {
        Ok(_) => Ok(plain),
        Err(StreamError::Work(error)) => Err(error),
        // The one-shot call has the whole output available, and needs no window.
        Err(StreamError::WindowLimit { .. }) => return Err(()),
        Err(error) => panic!("stream: {error}"),
    };
    verdict(result, "stream")
}

fn same(first: &Verdict, other: Result<Verdict, ()>, what: &str, format: Format) {
    let Ok(other) = other else { return };
    assert_eq!(
        first.is_some(),
        other.is_some(),
        "{format}: the one-shot call and {what} differ in their verdict"
    );
    assert!(*first == other, "{format}: the one-shot call and {what} differ in the bytes");
}

/// Returns a gzip member with the given deflate data, with or without a `QZ` field.
fn member(deflated: &[u8], plain: &[u8], is_sized: bool) -> Vec<u8> {
    let mut member = vec![0x1f, 0x8b, 8, if is_sized { 4 } else { 0 }, 0, 0, 0, 0, 0, 255];
    if is_sized {
        member.extend_from_slice(&[12, 0, b'Q', b'Z', 8, 0]);
        member.extend_from_slice(&(plain.len() as u32).to_le_bytes());
        member.extend_from_slice(&(deflated.len() as u32).to_le_bytes());
    }
    member.extend_from_slice(deflated);
    member.extend_from_slice(&libdeflater::crc32(plain).to_le_bytes());
    member.extend_from_slice(&(plain.len() as u32).to_le_bytes());
    member
}

fn zlib(deflated: &[u8], plain: &[u8]) -> Vec<u8> {
    [&[0x78, 0x9c], deflated, &libdeflater::adler32(plain).to_be_bytes()].concat()
}

/// Returns the compressed data that `data` describes.
fn packed(choice: u8, format: Format, data: &[u8]) -> Vec<u8> {
    if choice & 0x80 == 0 {
        return data.to_vec();
    }
    let Some((&[patches, level], rest)) = data.split_first_chunk() else { return Vec::new() };
    let patches_len = usize::from(patches % 8) * 3;
    let Some((patches, plain)) = rest.split_at_checked(patches_len) else { return Vec::new() };
    // Repetition creates matches, and blocks of more than one type.
    let plain = plain.repeat(usize::from(level / 16) + 1);
    let options = CompressOptions::new(format).level(Level::Exact(level % 12 + 1));
    let (mut packed, _) = SoftwareAccelerator::new().compress(&plain, &options).expect("any input can be compressed");
    if format == Format::Deflate && choice & 0x40 != 0 {
        let (open, _) =
            SoftwareAccelerator::new().compress(&plain, &options.end(End::Open)).expect("any input can be compressed");
        packed.splice(0..0, open);
    }
    for patch in patches.chunks_exact(3) {
        let at = usize::from(u16::from_le_bytes([patch[0], patch[1]])) % packed.len();
        packed[at] ^= patch[2];
    }
    packed
}

fuzz_target!(|data: &[u8]| {
    let Some((choice, data)) = data.split_first() else { return };
    let format = FORMATS[usize::from(choice % 6)];
    let packed = packed(*choice, format, data);
    let Ok(first) = one_shot(&packed, format) else { return };
    if let Some(plain) = &first {
        let mut exact = vec![0; plain.len()];
        let options = DecompressOptions::new(format).limit(LIMIT);
        let result = SoftwareAccelerator::new().decompress_into(&packed, &mut exact, &options);
        let into = verdict(result.map(|_| exact), "into an exact buffer");
        same(&first, into, "the exact buffer", format);
    }
    if format != Format::Lz4Block {
        same(&first, streamed(&packed, format, 1), "the stream", format);
        same(&first, streamed(&packed, format, 3), "the stream with three threads", format);
    }
    // Behind a header of another format, what follows the deflate data is that format's trailer.
    if format == Format::Deflate && !has_trailing_data(&packed) {
        let plain = first.as_deref().unwrap_or_default();
        for is_sized in [false, true] {
            let member = member(&packed, plain, is_sized);
            same(&first, streamed(&member, Format::Gzip, 2), "a gzip member", format);
            if !is_sized {
                same(&first, one_shot(&member, Format::Gzip), "a gzip member at once", format);
            }
        }
        let zlib = zlib(&packed, plain);
        same(&first, streamed(&zlib, Format::Zlib, 1), "zlib", format);
        if first.is_some() {
            let mut other = vec![0; plain.len()];
            let len = libdeflater::Decompressor::new().deflate_decompress(&packed, &mut other);
            assert!(len == Ok(plain.len()) && other == plain, "libdeflate reads something else: {len:?}");
        }
    }
});
