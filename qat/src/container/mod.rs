//! Wire formats around compressed blocks: headers, trailers and frames, without any engine.

pub(crate) mod deflate;
pub(crate) mod gzip;
pub(crate) mod lz4;
pub(crate) mod zlib;
pub(crate) mod zstd;

/// A little-endian `u32` at the front of `bytes`, `None` when they are too few.
pub(crate) fn le32(bytes: &[u8]) -> Option<u32> {
    bytes.first_chunk().map(|b| u32::from_le_bytes(*b))
}
