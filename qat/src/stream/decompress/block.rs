//! Blocks on the way from the thread that finds them to the caller's writer: how a worker decodes one, how the writing
//! side writes it, and the checksums over several blocks. Only the parent module uses this.

use std::hash::Hasher;
use std::io::Write;
use std::sync::atomic::{AtomicU64, Ordering};

use accel_core::{CompressionAccelerator, DecompressOptions, Error, ExecutedOn, Format};
use crossbeam_channel::Sender;
use libdeflater::{Adler32, Crc};
use twox_hash::XxHash32;

use super::super::{Engine, Settings, StreamError, Summary, pipeline};
use super::{MAX_REST_PLAIN, Result};
use crate::formats::{gzip, zlib};
use crate::software;

/// A block of the stream: its compressed bytes, and then its plain bytes.
#[derive(Default)]
pub(super) struct Block {
    pub(super) packed: Vec<u8>,
    pub(super) plain: Vec<u8>,
    /// The number of bytes of `plain` that are content.
    pub(super) plain_len: usize,
    /// How a worker makes `plain` from `packed`; `None` when `plain` is complete already.
    pub(super) decode: Option<Decode>,
    /// The checksum that `plain` belongs to and that `end` verifies; `None` where there is none.
    pub(super) check: Option<Check>,
    pub(super) end: Option<Trailer>,
    pub(super) ran: Option<ExecutedOn>,
    /// The error to report after `plain` was written; `None` where the block is good.
    pub(super) failure: Option<StreamError>,
}

impl Block {
    /// Empties the block for its next use, and keeps its buffers.
    pub(super) fn renew(&mut self) {
        self.packed.clear();
        self.plain_len = 0;
        (self.decode, self.check, self.end, self.ran, self.failure) = (None, None, None, None, None);
    }
}

/// How a worker decodes a block, which is complete by itself.
#[derive(Debug, Clone, Copy)]
pub(super) enum Decode {
    /// A gzip member or Zstandard frame that states a content of `plain` bytes and begins at the byte `head`.
    Whole { format: Format, head: usize, plain: usize },
    /// A block of an LZ4 frame, with at most `max` bytes of content.
    Lz4 { max: usize, stored: bool, hash: Option<u32> },
    /// The whole rest of a stream, after `before` bytes.
    Rest { format: Format, before: u64 },
}

/// A checksum over several blocks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Check {
    Crc32,
    Adler32,
    XxHash32,
}

/// The values that must match at the end of a member or frame.
#[derive(Debug, Clone, Copy)]
pub(super) enum Trailer {
    Gzip([u8; gzip::TRAILER_LEN]),
    Zlib([u8; zlib::TRAILER_LEN]),
    Lz4 { hash: Option<u32>, size: Option<u64> },
}

/// A worker's result for a whole member or frame. The reading side decodes in pieces what a worker could not decode.
pub(super) enum Verdict {
    Good,
    /// The compressed bytes, and the error. The error is `None` where this one was not decoded only because an earlier
    /// one failed.
    Returned(Vec<u8>, Option<StreamError>),
}

/// What the workers need to know about the stream.
pub(super) struct Work<'a> {
    pub(super) engine: &'a Engine,
    /// The largest decompressed length of the stream in bytes.
    pub(super) limit: u64,
    /// The number of plain bytes written so far.
    pub(super) written: &'a AtomicU64,
}

impl Work<'_> {
    /// Returns the largest useful output buffer of a block in bytes: one byte more than the limit leaves, which shows
    /// that the limit is exceeded.
    pub(super) fn most_room(&self) -> usize {
        let left = self.limit.saturating_sub(self.written.load(Ordering::Relaxed));
        usize::try_from(left).unwrap_or(usize::MAX).saturating_add(1)
    }

    /// Decodes a block on a worker thread.
    pub(super) fn decode(&self, block: &mut Block) -> Result<()> {
        match block.decode {
            None => Ok(()),
            Some(Decode::Whole { format, head, plain }) => self.decode_whole(block, format, head, plain),
            Some(Decode::Lz4 { max, stored, hash }) => self.decode_lz4(block, max, stored, hash),
            Some(Decode::Rest { format, before }) => self.decode_rest(block, format, before),
        }
    }

    /// Decodes a member or frame that states its length. Where its content differs from what it states, the block gets
    /// a `failure`.
    fn decode_whole(&self, block: &mut Block, format: Format, head: usize, expected: usize) -> Result<()> {
        let room = pipeline::room(&mut block.plain, expected)?;
        let packed = &block.packed[head..];
        let (packed, trailer, inner) = match format {
            Format::Gzip => {
                let (packed, trailer) = packed.split_last_chunk().ok_or(Error::Truncated { format })?;
                (packed, Some(trailer), Format::Deflate)
            }
            _ => (packed, None, format),
        };
        let done = self.engine.accelerator.decompress_into(packed, room, &DecompressOptions::new(inner));
        let wrong =
            || Error::Corrupt { format, detail: "its length differs from the one in its header".into() };
        let checked = match (done, trailer) {
            (Ok(done), _) if done.bytes_out != expected => Err(wrong()),
            (Ok(done), Some(trailer)) => {
                gzip::check_trailer(trailer, libdeflater::crc32(&block.plain[..expected]), expected as u64)
                    .map(|()| done)
            }
            (done, _) => done,
        };
        match checked {
            Ok(done) => (block.plain_len, block.ran) = (expected, Some(done.path)),
            Err(Error::Corrupt { detail, .. }) => {
                block.failure = Some(Error::Corrupt { format, detail }.into());
            }
            Err(
                Error::Truncated { .. }
                | Error::TrailingData { .. }
                | Error::OutputTooSmall { .. }
                | Error::LimitExceeded { .. },
            ) => block.failure = Some(wrong().into()),
            Err(other) => return Err(other.into()),
        }
        Ok(())
    }

    fn decode_lz4(&self, block: &mut Block, max: usize, stored: bool, hash: Option<u32>) -> Result<()> {
        let checked = check_lz4_block(&block.packed, hash);
        if stored {
            std::mem::swap(&mut block.plain, &mut block.packed);
            block.plain_len = block.plain.len();
            block.failure = checked.err().map(StreamError::from);
            return Ok(());
        }
        checked?;
        // One byte of an LZ4 block expands to at most 255.
        let most = max.min(block.packed.len().saturating_mul(255)).min(self.most_room());
        let room = pipeline::room(&mut block.plain, most)?;
        let options = DecompressOptions::new(Format::Lz4Block);
        let done = self
            .engine
            .accelerator
            .decompress_into(&block.packed, room, &options)
            .map_err(|error| self.lz4_error(error, max))?;
        (block.plain_len, block.ran) = (done.bytes_out, Some(done.path));
        Ok(())
    }

    /// Converts the error of an LZ4 block to that of its frame.
    pub(super) fn lz4_error(&self, error: Error, max: usize) -> Error {
        match software::lz4::in_frame(error, max) {
            Error::OutputTooSmall { .. } => Error::LimitExceeded { limit: self.limit },
            other => other,
        }
    }

    /// Decodes the rest of a stream in one call. The content before trailing data is kept.
    fn decode_rest(&self, block: &mut Block, format: Format, before: u64) -> Result<()> {
        let most = usize::try_from(self.limit).unwrap_or(usize::MAX).min(MAX_REST_PLAIN);
        let options = DecompressOptions::new(format).limit(most);
        let mut packed = &block.packed[..];
        let (plain, done) = loop {
            match self.engine.accelerator.decompress(packed, &options) {
                Ok(done) => break done,
                Err(Error::TrailingData { format, consumed }) if block.failure.is_none() => {
                    packed = &packed[..consumed as usize];
                    let consumed = before + consumed;
                    block.failure = Some(Error::TrailingData { format, consumed }.into());
                }
                Err(Error::LimitExceeded { .. }) if self.limit > MAX_REST_PLAIN as u64 => {
                    return Err(self.engine.unsupported_rest(format, MAX_REST_PLAIN, "decompressed").into());
                }
                Err(error) => return Err(error.into()),
            }
        };
        (block.plain, block.plain_len, block.ran) = (plain, done.bytes_out, Some(done.path));
        Ok(())
    }
}

/// Verifies the xxHash32 of a block where the LZ4 frame has one.
pub(super) fn check_lz4_block(packed: &[u8], hash: Option<u32>) -> Result<(), Error> {
    let Some(hash) = hash else { return Ok(()) };
    software::lz4::check_hash(XxHash32::oneshot(0, packed), hash, "a block checksum does not match")
}

/// The writing side, which receives the blocks in order.
pub(super) struct Writing<'a, W> {
    pub(super) output: &'a mut W,
    pub(super) summary: &'a mut Summary,
    pub(super) settings: &'a Settings,
    pub(super) written: &'a AtomicU64,
    pub(super) checks: Checks,
    /// The channel that reports the results for whole members and frames to the reading side. It is dropped together
    /// with the writing side, so that the reading side does not wait for a result that is never sent.
    pub(super) verdicts: Sender<Verdict>,
    /// Whether a member or frame was returned. All later ones are then returned as well, because output must stay in
    /// order.
    pub(super) returning: bool,
}

impl<W: Write> Writing<'_, W> {
    /// Writes a block, and then reports its error, so that no content that could be decoded is lost.
    pub(super) fn write(&mut self, block: &mut Block) -> Result<()> {
        if matches!(block.decode, Some(Decode::Whole { .. })) {
            self.returning |= block.failure.is_some();
            // Sending fails only where the reading side has ended, and then nobody waits for the result.
            if self.returning {
                let packed = std::mem::take(&mut block.packed);
                let _ = self.verdicts.send(Verdict::Returned(packed, block.failure.take()));
                return Ok(());
            }
            let _ = self.verdicts.send(Verdict::Good);
        }
        let left = usize::try_from(self.settings.limit - self.summary.bytes_out).unwrap_or(usize::MAX);
        let plain = &block.plain[..block.plain_len.min(left)];
        self.output.write_all(plain).map_err(StreamError::Write)?;
        if let Some(path) = block.ran {
            self.summary.ran(path);
        }
        self.summary.bytes_out += plain.len() as u64;
        self.settings.progress.bytes_out.fetch_add(plain.len() as u64, Ordering::Relaxed);
        self.written.store(self.summary.bytes_out, Ordering::Relaxed);
        if block.plain_len > left {
            return Err(Error::LimitExceeded { limit: self.settings.limit }.into());
        }
        self.checks.update(block)?;
        block.failure.take().map_or(Ok(()), Err)
    }
}

/// The running checksums of a member or frame.
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
    fn update(&mut self, block: &Block) -> Result<()> {
        if matches!(block.decode, Some(Decode::Whole { .. })) {
            // A whole member or frame was verified by its worker, and does not belong to the running checksums.
            return Ok(());
        }
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
            Trailer::Gzip(trailer) => gzip::check_trailer(&trailer, self.crc.sum(), self.length)?,
            Trailer::Zlib(trailer) => zlib::check_trailer(&trailer, self.adler.sum())?,
            Trailer::Lz4 { hash, size } => {
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
