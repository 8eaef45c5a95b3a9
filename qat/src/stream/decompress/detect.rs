//! Recognising a format by the first bytes of a stream.

use accel_core::Format;

use crate::container::{gzip, le32, lz4 as lz4_frame, zlib, zstd as zstd_frame};

/// Recognises a format by the first bytes of a stream; raw deflate and bare LZ4 blocks cannot be.
#[must_use]
pub fn detect(mut head: &[u8]) -> Option<Format> {
    // LZ4 and Zstandard share skippable frames, and both decoders here read on behind them.
    let mut skipped = false;
    while le32(head).is_some_and(lz4_frame::is_skippable) {
        skipped = true;
        head = skip_frame(head).unwrap_or_default();
    }
    detect_unskipped(head).or(skipped.then_some(Format::Zstd))
}

/// What stands behind the skippable frame at the front of `head`, where that is in it.
fn skip_frame(head: &[u8]) -> Option<&[u8]> {
    let len = usize::try_from(head.get(4..).and_then(le32)?).ok()?;
    head.get(8..)?.get(len..)
}

fn detect_unskipped(head: &[u8]) -> Option<Format> {
    if head.starts_with(&gzip::MAGIC) {
        return Some(Format::Gzip);
    }
    match le32(head) {
        Some(zstd_frame::MAGIC) => return Some(Format::Zstd),
        Some(lz4_frame::MAGIC | lz4_frame::LEGACY_MAGIC) => return Some(Format::Lz4Frame),
        _ => {}
    }
    let head = *head.first_chunk()?;
    (zlib::is_header(head) && head[1] & 0x20 == 0).then_some(Format::Zlib)
}
