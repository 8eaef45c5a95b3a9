//! Compression to Zstandard through LZ4s: the device finds the matches of all blocks, and this thread encodes them in
//! order. `compress` calls it.

use accel_core::{End, Format, Result};

use super::compress::complete;
use super::request::StatelessRequest;
use super::session::SessionKind;
use crate::device::compression::lz4s::{FrameWriter, MinMatch};
use crate::device::instances::{CallContext, Window};
use crate::raw::zstd::BLOCK_MAX;
use crate::software::lz4::store_block;

/// The shortest match of [`SessionKind::Lz4s`].
const MIN_MATCH: MinMatch = MinMatch::Three;

/// Returns the output length for the LZ4s of `len` bytes. The published bounds are known to be too small, so this is
/// much larger; a block that still does not fit becomes a block of literals.
fn room(len: usize) -> usize {
    2 * len + 2048
}

/// Compresses `input` to one frame at the front of `output`, or to blocks of an open one. Returns the bytes written,
/// and the last instance that processed a request.
pub(super) async fn compress(
    call: CallContext<'_>,
    level: u8,
    input: &[u8],
    output: &mut [u8],
    end: End,
) -> Result<(usize, Option<u16>)> {
    let mut frame = FrameWriter::with_end(input, output, MIN_MATCH, end)?;
    let kind = SessionKind::Lz4s { level };
    let mut window = Window::new();
    let mut last = None;
    let mut rest = input;
    loop {
        while !rest.is_empty() && !window.is_full() {
            let (piece, later) = rest.split_at(rest.len().min(BLOCK_MAX));
            let request =
                StatelessRequest { kind, prefix: &[], input: piece, room: room(piece.len()), is_open: false };
            let submitted = call.submit(request, window.when_full(call.when_full)).await;
            if !window.push(submitted, piece).map_err(|error| call.error(error))? {
                break;
            }
            rest = later;
        }
        let Some(next) = window.next(call.started).await else { break };
        let (completed, instance, piece) = next.map_err(|error| call.error(error))?;
        let response = call.decode(&completed, instance, piece.len(), room(piece.len()), Format::Zstd)?;
        if response.overflow {
            let mut literals = Vec::with_capacity(piece.len() + piece.len() / 255 + 16);
            store_block(piece, |bytes| {
                literals.extend_from_slice(bytes);
                Ok(())
            })?;
            frame.block(piece.len(), &literals)?;
        } else {
            call.penalise_on_error(instance, complete(&response, piece.len()))?;
            // An output buffer of this length is always one block.
            let lz4s = completed.output().parts().next().and_then(|part| part.get(..response.produced));
            call.penalise_on_error(instance, frame.block(piece.len(), lz4s.unwrap_or_default()))?;
        }
        last = Some(instance);
    }
    Ok((frame.finish()?, last))
}
