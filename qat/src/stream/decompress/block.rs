//! Blocks on their way from the thread that finds them to the caller's writer: what a worker does with one, what the
//! writing side does with it, and the checksums that run over several.

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
    pub(super) ran: Option<ExecutedOn>,
    /// To be reported once `plain` is written.
    pub(super) failure: Option<StreamError>,
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
    /// A gzip member or Zstandard frame that says that it holds `plain` bytes, from the byte `head` on.
    Whole { format: Format, head: usize, plain: usize },
    /// An LZ4 frame block of at most `max` bytes.
    Lz4 { max: usize, stored: bool, hash: Option<u32> },
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

/// What became of a whole member or frame: the reading side decodes again, piece by piece, what a worker could not.
pub(super) enum Verdict {
    Good,
    /// The packed bytes, and why they were not decoded, unless that was because an earlier one was not.
    Returned(Vec<u8>, Option<StreamError>),
}

/// What the workers know of the stream.
pub(super) struct Work<'a> {
    pub(super) engine: &'a Engine,
    /// Most plain bytes of the stream.
    pub(super) limit: u64,
    /// Plain bytes that are written.
    pub(super) written: &'a AtomicU64,
}

impl Work<'_> {
    /// Most room that a block needs: a byte more than what is left of the limit shows that there is too much.
    pub(super) fn most_room(&self) -> usize {
        let left = self.limit.saturating_sub(self.written.load(Ordering::Relaxed));
        usize::try_from(left).unwrap_or(usize::MAX).saturating_add(1)
    }

    /// A worker's part.
    pub(super) fn decode(&self, block: &mut Block) -> Result<()> {
        match block.decode {
            None => Ok(()),
            Some(Decode::Whole { format, head, plain }) => self.decode_whole(block, format, head, plain),
            Some(Decode::Lz4 { max, stored, hash }) => self.decode_lz4(block, max, stored, hash),
            Some(Decode::Rest { format, before }) => self.decode_rest(block, format, before),
        }
    }

    /// Decodes a member or frame that states its length; one that is not what it states gets a `failure`.
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
        let wrong = || Error::Corrupt { format, detail: "its length is not what its header says".into() };
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
        // A byte of LZ4 makes 255 at most.
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

    /// The error of a block of an LZ4 frame.
    pub(super) fn lz4_error(&self, error: Error, max: usize) -> Error {
        match software::lz4::in_frame(error, max) {
            Error::OutputTooSmall { .. } => Error::LimitExceeded { limit: self.limit },
            other => other,
        }
    }

    /// Decodes the rest of a stream at once; what is good before trailing data is kept.
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

/// Checks the xxHash32 that an LZ4 frame carries for a block, if it does.
pub(super) fn check_lz4_block(packed: &[u8], hash: Option<u32>) -> Result<(), Error> {
    let Some(hash) = hash else { return Ok(()) };
    software::lz4::check_hash(XxHash32::oneshot(0, packed), hash, "a block checksum does not match")
}

/// The writing side, which has the blocks in order.
pub(super) struct Writing<'a, W> {
    pub(super) output: &'a mut W,
    pub(super) summary: &'a mut Summary,
    pub(super) settings: &'a Settings,
    pub(super) written: &'a AtomicU64,
    pub(super) checks: Checks,
    /// Where the reading side learns what became of whole members and frames. It goes with this, so that nobody waits for
    /// a verdict that does not come.
    pub(super) verdicts: Sender<Verdict>,
    /// A member or frame was returned, so that those behind it are as well.
    pub(super) returning: bool,
}

impl<W: Write> Writing<'_, W> {
    /// Writes a block, and reports what is wrong with it afterwards: what could be decoded is not lost.
    pub(super) fn write(&mut self, block: &mut Block) -> Result<()> {
        if matches!(block.decode, Some(Decode::Whole { .. })) {
            self.returning |= block.failure.is_some();
            // Nobody listens any more only where reading is over, and then nobody waits.
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

/// Running checksums.
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
            // Checked already, and no part of what follows.
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
