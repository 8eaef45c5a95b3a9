//! Compresses a stream to one Zstandard frame (RFC 8878) on the CPU. One thread reads, the worker threads of libzstd
//! compress, and the calling thread writes. [`compress`](super::compress()) calls this where no device takes part.

use std::io::{self, ErrorKind, Read, Write};
use std::num::NonZeroUsize;
use std::sync::atomic::Ordering;

use accel_core::ExecutedOn;

use super::pipeline::{self, Produced};
use super::source::Blocks;
use super::{Progress, Settings, StreamError, Summary};
use crate::software::zstd::{StreamCompressor, StreamFault};

type Result<T, E = StreamError> = std::result::Result<T, E>;

/// The number of plain bytes that are passed to libzstd at a time.
pub(super) const PIECE: usize = 1 << 20;

impl From<StreamFault> for StreamError {
    fn from(fault: StreamFault) -> Self {
        match fault {
            StreamFault::Memory => Self::Thread(io::Error::new(
                ErrorKind::OutOfMemory,
                "the system refused libzstd memory or a thread",
            )),
            StreamFault::Other(error) => error.into(),
        }
    }
}

/// A piece of the input.
#[derive(Default)]
struct Piece {
    plain: Vec<u8>,
    last: bool,
}

/// Returns the length of the input where it can be relied on. A short length may be wrong: files below `/proc` state a
/// length of 0.
pub(super) fn known_len(settings: &Settings) -> Option<u64> {
    settings.input_len.filter(|len| *len > PIECE as u64)
}

/// Compresses `first`, which was read already and is not the last piece, and everything that `blocks` yield to one
/// frame. Where `len` is given, it is the length of the whole input, and `blocks` yield no more than that.
///
/// # Errors
/// [`StreamError::Read`] also where the input ends before `len` bytes; [`StreamError::Write`], [`StreamError::Thread`]
/// and [`StreamError::Memory`].
#[expect(clippy::too_many_arguments, reason = "one call")]
pub(super) fn compress<R, W>(
    level: u8,
    len: Option<u64>,
    first: Vec<u8>,
    blocks: &mut Blocks<R>,
    output: &mut W,
    path: ExecutedOn,
    settings: &Settings,
    summary: &mut Summary,
) -> Result<()>
where
    R: Read + Send,
    W: Write,
{
    let mut compressor = StreamCompressor::new(level, settings.threads.get(), len)?;
    let progress: &Progress = &settings.progress;
    let mut left = len.map(|len| len - first.len() as u64);
    let mut first = Some(first);
    let mut room = Vec::new();
    // The pipeline needs only two threads, because libzstd has its own workers: one reads while the other one writes.
    let threads = settings.threads.min(NonZeroUsize::MIN.saturating_add(1));
    pipeline::run(
        threads,
        |piece: &mut Piece| {
            if let Some(first) = first.take() {
                piece.plain = first;
                return Ok(Produced::Block);
            }
            piece.last = blocks.next(&mut piece.plain, PIECE)?;
            if let Some(left) = &mut left {
                *left -= piece.plain.len() as u64;
                if piece.last && *left > 0 {
                    let text = format!("the input ended {left} bytes before its stated length");
                    return Err(StreamError::Read(io::Error::new(ErrorKind::UnexpectedEof, text)));
                }
            }
            Ok(if piece.last { Produced::Last } else { Produced::Block })
        },
        |_| Ok(()),
        |piece| {
            compressor.piece(&piece.plain, piece.last, &mut room, |bytes| {
                output.write_all(bytes).map_err(StreamError::Write)?;
                summary.bytes_out += bytes.len() as u64;
                progress.bytes_out.fetch_add(bytes.len() as u64, Ordering::Relaxed);
                Ok::<_, StreamError>(())
            })?;
            summary.bytes_in += piece.plain.len() as u64;
            summary.ran(path);
            Ok(())
        },
    )
}
