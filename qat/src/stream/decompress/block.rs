//! Blocks on their way from the thread that finds them to the caller's writer: what a worker does with one, and the
//! checksums that run over several.

use std::hash::Hasher;

use accel_core::{DecompressOptions, Error, Format, Path};
use libdeflater::{Adler32, Crc};
use twox_hash::XxHash32;

use super::super::{Engine, pipeline};
use super::{MAX_REST_PLAIN, Result};
use crate::container::{gzip, zlib};
use crate::software;

/// A block on its way: packed, then plain.
#[derive(Default)]
pub(super) struct Block {
    pub(super) packed: Vec<u8>,
    pub(super) plain: Vec<u8>,
    /// Bytes of `plain` that count.
    pub(super) plain_len: usize,
    /// How to make `plain` from `packed`; `None` when it is made already.
    pub(super) decode: Option<Decode>,
    /// Whether `plain` belongs to a checksum that `end` closes.
    pub(super) check: Option<Check>,
    pub(super) end: Option<End>,
    pub(super) ran: Option<Path>,
    /// To be reported once `plain` is written.
    pub(super) failure: Option<Error>,
}

impl Block {
    /// Ready to be filled, with its buffers.
    pub(super) fn renew(&mut self) {
        self.packed.clear();
        self.plain_len = 0;
        (self.decode, self.check, self.end, self.ran, self.failure) = (None, None, None, None, None);
    }
}

/// A whole piece for a worker.
#[derive(Debug, Clone, Copy)]
pub(super) enum Decode {
    /// Deflate data of `plain` bytes, then the member's trailer.
    Member { plain: usize },
    /// An LZ4 frame block of at most `max` bytes.
    Lz4 { max: usize, stored: bool, hash: Option<u32> },
    /// One whole Zstandard frame of `plain` bytes.
    Zstd { plain: usize },
    /// All the rest of a stream, which `before` bytes precede.
    Rest { format: Format, before: u64 },
}

/// A checksum that runs over several blocks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Check {
    Crc32,
    Adler32,
    XxHash32,
}

/// What must hold at the end of a member or frame.
#[derive(Debug, Clone, Copy)]
pub(super) enum End {
    Gzip([u8; gzip::TRAILER_LEN]),
    Zlib([u8; zlib::TRAILER_LEN]),
    Lz4 { hash: Option<u32>, size: Option<u64> },
}

/// A worker's part. `limit` is that of the whole stream's output.
pub(super) fn decode(block: &mut Block, engine: &Engine, limit: u64) -> Result<()> {
    let Some(decode) = block.decode else { return Ok(()) };
    let into = |packed: &[u8], plain: &mut Vec<u8>, len: usize, format: Format| {
        let room = pipeline::room(plain, len);
        engine.compression.decompress_into(packed, room, &DecompressOptions::new(format))
    };
    match decode {
        Decode::Member { plain: expected } => {
            let format = Format::Gzip;
            let (packed, trailer) = block.packed.split_last_chunk().ok_or(Error::Truncated { format })?;
            let wrong =
                || Error::Corrupt { format, detail: "a member differs from what its QZ field says".into() };
            let done =
                into(packed, &mut block.plain, expected, Format::Deflate).map_err(|error| match error {
                    Error::TrailingData { .. } | Error::OutputTooSmall { .. } | Error::Truncated { .. } => {
                        wrong()
                    }
                    Error::Corrupt { detail, .. } => Error::Corrupt { format, detail },
                    other => other,
                })?;
            if done.bytes_out != expected {
                return Err(wrong().into());
            }
            gzip::check_trailer(trailer, libdeflater::crc32(&block.plain[..expected]), expected as u64)?;
            (block.plain_len, block.ran) = (expected, Some(done.path));
        }
        Decode::Lz4 { max, stored, hash } => {
            check_lz4_block(&block.packed, hash)?;
            if stored {
                std::mem::swap(&mut block.plain, &mut block.packed);
                block.plain_len = block.plain.len();
                return Ok(());
            }
            let done = into(&block.packed, &mut block.plain, max, Format::Lz4Block).map_err(|error| {
                match software::lz4::oversized(error, max) {
                    Error::Corrupt { detail, .. } => Error::Corrupt { format: Format::Lz4Frame, detail },
                    // The frame said how long the block is, so that a block that ends early is not what it seems.
                    Error::Truncated { .. } => {
                        Error::Corrupt { format: Format::Lz4Frame, detail: "a block is invalid".into() }
                    }
                    other => other,
                }
            })?;
            (block.plain_len, block.ran) = (done.bytes_out, Some(done.path));
        }
        Decode::Zstd { plain } => {
            let done =
                into(&block.packed, &mut block.plain, plain, Format::Zstd).map_err(|error| match error {
                    // The room is the frame's own word.
                    Error::OutputTooSmall { .. } => Error::Corrupt {
                        format: Format::Zstd,
                        detail: "the frame holds more than its content size".into(),
                    },
                    other => other,
                })?;
            (block.plain_len, block.ran) = (done.bytes_out, Some(done.path));
        }
        Decode::Rest { format, before } => decode_rest(block, engine, format, before, limit)?,
    }
    Ok(())
}

/// Decodes the rest of a stream at once; what is good before trailing data is kept.
fn decode_rest(block: &mut Block, engine: &Engine, format: Format, before: u64, limit: u64) -> Result<()> {
    let most = usize::try_from(limit).unwrap_or(usize::MAX).min(MAX_REST_PLAIN);
    let options = DecompressOptions::new(format).limit(most);
    let mut packed = &block.packed[..];
    let (plain, done) = loop {
        match engine.compression.decompress(packed, &options) {
            Ok(done) => break done,
            Err(Error::TrailingData { format, consumed }) if block.failure.is_none() => {
                packed = &packed[..consumed as usize];
                block.failure = Some(Error::TrailingData { format, consumed: before + consumed });
            }
            Err(Error::LimitExceeded { .. }) if limit > MAX_REST_PLAIN as u64 => {
                return Err(engine.unsupported_rest(format, MAX_REST_PLAIN, "decompressed").into());
            }
            Err(error) => return Err(error.into()),
        }
    };
    (block.plain, block.plain_len, block.ran) = (plain, done.bytes_out, Some(done.path));
    Ok(())
}

/// Checks the xxHash32 that an LZ4 frame carries for a block, if it does.
pub(super) fn check_lz4_block(packed: &[u8], hash: Option<u32>) -> Result<(), Error> {
    let Some(hash) = hash else { return Ok(()) };
    software::lz4::check_hash(XxHash32::oneshot(0, packed), hash, "a block checksum does not match")
}

/// Running checksums, on the consumer's side.
pub(super) struct Checks {
    crc: Crc,
    adler: Adler32,
    hash: XxHash32,
    length: u64,
}

impl Default for Checks {
    fn default() -> Self {
        Self { crc: Crc::new(), adler: Adler32::new(), hash: XxHash32::with_seed(0), length: 0 }
    }
}

impl Checks {
    pub(super) fn update(&mut self, block: &Block) -> Result<()> {
        let plain = &block.plain[..block.plain_len];
        match block.check {
            Some(Check::Crc32) => self.crc.update(plain),
            Some(Check::Adler32) => self.adler.update(plain),
            Some(Check::XxHash32) => self.hash.write(plain),
            None => {}
        }
        self.length += plain.len() as u64;
        let Some(end) = block.end else { return Ok(()) };
        match end {
            End::Gzip(trailer) => gzip::check_trailer(&trailer, self.crc.sum(), self.length)?,
            End::Zlib(trailer) => zlib::check_trailer(&trailer, self.adler.sum())?,
            End::Lz4 { hash, size } => {
                if size.is_some_and(|size| size != self.length) {
                    let detail = "the content length does not match the header".into();
                    return Err(Error::Corrupt { format: Format::Lz4Frame, detail }.into());
                }
                if let Some(hash) = hash {
                    let actual = self.hash.finish() as u32;
                    software::lz4::check_hash(actual, hash, "the content checksum does not match")?;
                }
            }
        }
        *self = Self::default();
        Ok(())
    }
}
