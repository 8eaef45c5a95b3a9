//! LZ4s, Intel's intermediate format, and the Zstandard frame that libzstd encodes from it. `device::compression::zstd`
//! calls it; it compares all that the device returned with the plain bytes.
//!
//! The device finds the matches, and libzstd encodes them. LZ4s has the layout of the sequences in an LZ4 block: a
//! token of two nibbles, further bytes of the literal length, the literals, a distance of two bytes, and further bytes
//! of the match length. It differs in two ways. The match length is relative to one less than the shortest match, and 0
//! means that there is no match: the distance is meaningless then, and the literals belong to the next sequence. And
//! LZ4's rules for the last bytes of a block do not apply.

mod fuzz;
#[cfg(test)]
mod tests;

use std::sync::Arc;

use accel_core::{End, Error, Result};

pub use fuzz::fuzz;

use crate::error::HARDWARE;
use crate::raw::zstd::{BLOCK_MAX, Frame, Sequence};
use crate::software::zstd;

/// The shortest match that the device searches for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum MinMatch {
    /// `CPA_DC_MIN_3_BYTE_MATCH`
    Three,
    /// `CPA_DC_MIN_4_BYTE_MATCH`
    Four,
}

impl MinMatch {
    /// Returns the number that is added to a match length in the format.
    const fn base(self) -> usize {
        match self {
            Self::Three => 2,
            Self::Four => 3,
        }
    }
}

/// Why the device's LZ4s is wrong.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub(crate) enum Lz4sError {
    #[error("the device's LZ4s ends within a sequence")]
    Truncated,
    #[error("the device's LZ4s has a match {distance} bytes back, but only {plain} bytes precede it")]
    Distance { distance: usize, plain: usize },
    #[error("the device's LZ4s differs from the block of {len} bytes that it compressed, from byte {at} on")]
    Mismatch { len: usize, at: usize },
    #[error("the device consumed {len} bytes of a block of 1 to {most}")]
    BlockLen { len: usize, most: usize },
}

impl From<Lz4sError> for Error {
    fn from(error: Lz4sError) -> Self {
        Self::Device { accelerator: HARDWARE, reason: Arc::new(error) }
    }
}

/// Parses a block's LZ4s to `sequences`, the last of which has only literals. Literals and matches are compared with
/// `plain`, the block's bytes, because libzstd validates lengths and distances but not the content, and would encode a
/// frame that decompresses to other bytes.
fn parse(
    lz4s: &[u8],
    min_match: MinMatch,
    plain: &[u8],
    sequences: &mut Vec<Sequence>,
) -> Result<(), Lz4sError> {
    let mut rest = lz4s;
    let (mut at, mut literals_from) = (0, 0);
    let mismatch = |at| Lz4sError::Mismatch { len: plain.len(), at };
    while let Some((&token, after)) = rest.split_first() {
        rest = after;
        let len = length(token >> 4, &mut rest)?;
        let (literals, after) = rest.split_at_checked(len).ok_or(Lz4sError::Truncated)?;
        if !plain[at..].starts_with(literals) {
            return Err(mismatch(at));
        }
        at += len;
        rest = after;
        if rest.is_empty() {
            break;
        }
        let (distance, after) = rest.split_first_chunk().ok_or(Lz4sError::Truncated)?;
        rest = after;
        let code = length(token & 15, &mut rest)?;
        if code == 0 {
            continue;
        }
        let distance = usize::from(u16::from_le_bytes(*distance));
        let from = at
            .checked_sub(distance)
            .filter(|_| distance > 0)
            .ok_or(Lz4sError::Distance { distance, plain: at })?;
        let len = code.saturating_add(min_match.base());
        let matched = plain[at..].get(..len).ok_or(mismatch(at))?;
        // This is also right where the match overlaps itself: each byte equals the one a distance before it.
        if *matched != plain[from..][..len] {
            return Err(mismatch(at));
        }
        sequences.push(sequence(distance, at - literals_from, len));
        at += len;
        literals_from = at;
    }
    if at != plain.len() {
        return Err(mismatch(at));
    }
    sequences.push(sequence(0, at - literals_from, 0));
    Ok(())
}

/// Reads a length: the nibble, and if that is 15, the sum of the bytes up to and including the first that is not 255.
fn length(nibble: u8, rest: &mut &[u8]) -> Result<usize, Lz4sError> {
    let mut length = usize::from(nibble);
    if nibble == 15 {
        loop {
            let (&more, after) = rest.split_first().ok_or(Lz4sError::Truncated)?;
            *rest = after;
            length = length.saturating_add(usize::from(more));
            if more != 255 {
                break;
            }
        }
    }
    Ok(length)
}

/// Creates a sequence. The lengths are within a block, so they fit into 32 bits.
fn sequence(distance: usize, literals: usize, matched: usize) -> Sequence {
    Sequence { offset: distance as u32, litLength: literals as u32, matchLength: matched as u32, rep: 0 }
}

fn internal(detail: String) -> Error {
    Error::Internal { engine: "lz4s", detail: detail.into() }
}

/// Encodes blocks that the device compressed to LZ4s as one Zstandard frame, with content size and checksum, or as
/// blocks of an open frame ([`End::Open`]).
///
/// The device may process the blocks in parallel, but they are added in order. Each thread keeps its libzstd context.
pub(crate) struct FrameWriter<'a> {
    frame: Frame<'a>,
    plain: &'a [u8],
    done: usize,
    output: &'a mut [u8],
    written: usize,
    min_match: MinMatch,
    /// Whether libzstd failed on a block, after which the frame cannot be continued.
    broken: bool,
}

impl<'a> FrameWriter<'a> {
    /// Creates a writer of all of `plain` to the front of `output`. `software::zstd::bound` is always enough for blocks
    /// of 1 KiB and more.
    ///
    /// # Errors
    /// `Internal` when libzstd fails.
    pub(crate) fn new(plain: &'a [u8], output: &'a mut [u8], min_match: MinMatch) -> Result<Self> {
        Self::with_end(plain, output, min_match, End::Final)
    }

    /// Creates a writer of a frame or, with [`End::Open`], of blocks of an open one.
    ///
    /// # Errors
    /// `Internal` when libzstd fails.
    pub(crate) fn with_end(
        plain: &'a [u8],
        output: &'a mut [u8],
        min_match: MinMatch,
        end: End,
    ) -> Result<Self> {
        let frame = match end {
            End::Final => Frame::begin(plain),
            End::Open => Frame::begin_open(plain),
        };
        let frame = frame.map_err(zstd::internal)?;
        Ok(Self { frame, plain, done: 0, output, written: 0, min_match, broken: false })
    }

    /// Adds the next `len` plain bytes, at most 128 KiB, which the device compressed to `lz4s`.
    ///
    /// # Errors
    /// `Device` when `lz4s` does not decompress to these bytes: nothing was added, and the caller may add other LZ4s
    /// for them. `OutputTooSmall` and `Internal`: the frame cannot be continued.
    pub(crate) fn block(&mut self, len: usize, lz4s: &[u8]) -> Result<()> {
        let rest = &self.plain[self.done..];
        let most = rest.len().min(BLOCK_MAX);
        if !(1..=most).contains(&len) {
            return Err(Lz4sError::BlockLen { len, most }.into());
        }
        parse(lz4s, self.min_match, &rest[..len], self.frame.sequences())?;
        self.encode(len)
    }

    fn encode(&mut self, len: usize) -> Result<()> {
        if std::mem::replace(&mut self.broken, true) {
            return Err(internal("a block was added to a frame that had failed".into()));
        }
        let too_small = Error::OutputTooSmall {
            required: Some(zstd::bound(self.plain.len())),
            available: self.output.len(),
        };
        let room = &mut self.output[self.written..];
        self.written += self.frame.block(len, room).map_err(zstd::internal)?.ok_or(too_small)?;
        self.done += len;
        self.broken = false;
        Ok(())
    }

    /// Ends the frame after all plain bytes were added, and returns the bytes written.
    ///
    /// # Errors
    /// `Internal` when plain bytes are missing, and `OutputTooSmall`.
    pub(crate) fn finish(mut self) -> Result<usize> {
        if self.plain.is_empty() && !self.frame.is_open() {
            self.encode(0)?;
        }
        if self.done != self.plain.len() {
            return Err(internal(format!(
                "{} of {} bytes were added to a frame",
                self.done,
                self.plain.len()
            )));
        }
        Ok(self.written)
    }
}
