//! Wire formats around compressed blocks: headers, trailers and frames. Streams and both engines call them; they never
//! compress, decompress or touch a device.

pub(crate) mod deflate;
pub(crate) mod gzip;
pub(crate) mod lz4;
pub(crate) mod zlib;
pub(crate) mod zstd;

use accel_core::{Error, Format};

/// Returns the error for data that were compressed with a dictionary, which this crate does not support; `id` is the id
/// in the header.
pub(crate) fn needs_dictionary(format: Format, id: u32) -> Error {
    let tool = match format {
        Format::Zlib => "zlib's inflateSetDictionary",
        Format::Zstd => "zstd -D FILE",
        _ => "lz4 -D FILE",
    };
    Error::Unsupported {
        accelerator: crate::error::SOFTWARE,
        operation: format!("{format} data that need a dictionary (id {id}, {id:#x})").into(),
        remedy: format!("decompress them by a program that takes the dictionary, such as {tool}").into(),
    }
}

/// Returns whether `head`, which has fewer than four bytes, may be the beginning of a frame of `format`.
pub(crate) fn may_begin_frame(head: &[u8], format: Format) -> bool {
    let begins = |magic: u32| magic.to_le_bytes().starts_with(head);
    let own = match format {
        Format::Zstd => begins(zstd::MAGIC),
        _ => begins(lz4::MAGIC) || begins(lz4::LEGACY_MAGIC),
    };
    own || (0..16).any(|n| begins(lz4::SKIPPABLE_MAGIC + n))
}

/// Returns the little-endian `u32` at the front of `bytes`, or `None` where there are too few.
pub(crate) fn le32(bytes: &[u8]) -> Option<u32> {
    bytes.first_chunk().map(|b| u32::from_le_bytes(*b))
}
