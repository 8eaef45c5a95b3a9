//! Compressing a stream to one Zstandard frame on the CPU: one thread reads, libzstd's workers compress, and the calling
//! thread writes.

use std::io::{self, ErrorKind, Read, Write};
use std::num::NonZeroUsize;
use std::sync::atomic::Ordering;

use accel_core::ExecutedOn;

use super::pipeline::{self, Produced};
use super::source::Blocks;
use super::{Progress, Settings, StreamError, Summary};
use crate::software::zstd::{StreamCompressor, StreamFault};

type Result<T, E = StreamError> = std::result::Result<T, E>;

/// Plain bytes that are handed on at a time.
pub(super) const PIECE: usize = 1 << 20;

impl From<StreamFault> for StreamError {
    fn from(fault: StreamFault) -> Self {
        match fault {
            StreamFault::Memory => Self::Thread(io::Error::new(
                ErrorKind::OutOfMemory,
                "memory or a thread was refused to libzstd",
            )),
            StreamFault::Other(error) => error.into(),
        }
    }
}

/// A piece on its way.
#[derive(Default)]
struct Piece {
    plain: Vec<u8>,
    last: bool,
}

/// The length of the whole input as far as it is relied on. What claims to be short may not be: files below `/proc` state
/// a length of 0.
pub(super) fn known_len(settings: &Settings) -> Option<u64> {
    settings.input_len.filter(|len| *len > PIECE as u64)
}

/// Compresses what `blocks` yield, of which `first` was read already and is not the last, to one frame. The whole has the
/// length `len` where it is given, and `blocks` yield no more.
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
    // The pipeline's own threads only keep reading and writing apart.
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
                    let text = format!("it ended {left} bytes before the length that it had at first");
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
