//! Decompression of LZ4: independent blocks in parallel, linked blocks in one request. `decompress` calls it; stored
//! blocks are copied without the device.

use accel_core::{Error, Format, Output, Result};
use twox_hash::XxHash32;

use super::compress::wrong_checksum;
use super::decompress::{LEAST_ROOM, accept};
use super::request::{DecodedResponse, StatelessRequest};
use super::session::{Lz4Block, SessionKind};
use crate::device::inflight::CompletedRequest;
use crate::device::instances::{CallContext, Window};
use crate::error::DeviceError;
use crate::formats::{le32, lz4 as frame};
use crate::settings::Integrity;
use crate::software::lz4;

fn unsupported(operation: &'static str) -> Error {
    Error::Unsupported {
        accelerator: crate::error::HARDWARE,
        operation: operation.into(),
        remedy: "use the CPU".into(),
    }
}

/// Decompresses a block without its size word, which is a bare block or one of a legacy frame.
pub(super) async fn block(
    call: CallContext<'_>,
    input: &[u8],
    output: &mut Output<'_>,
    format: Format,
    last: &mut Option<u16>,
) -> Result<()> {
    let len = lz4::block_len(input, format)?;
    output.reserve(len).map_err(|error| match error {
        // A bare block is the whole input, so its length is the required length of the output.
        Error::OutputTooSmall { available, .. } if format == Format::Lz4Block => {
            Error::OutputTooSmall { required: Some(len), available }
        }
        other => other,
    })?;
    if len == 0 {
        return lz4::decompress_block(input, &mut [], &[], format).map(drop);
    }
    let Some(block) = Lz4Block::for_len(len.max(input.len())) else {
        return Err(unsupported("an LZ4 block of more than 4 MiB"));
    };
    let prefix = (input.len() as u32).to_le_bytes();
    let kind = SessionKind::Unlz4 { block, has_block_checksums: false };
    let room = len.max(LEAST_ROOM);
    let request = StatelessRequest { kind, prefix: &prefix, input, room, is_open: false };
    let (completed, instance) = call.run(request).await.map_err(|error| call.error(error))?;
    let response = call.decode(&completed, instance, input.len() + 4, room, format)?;
    call.penalise_on_error(instance, take(call, &completed, &response, len, output))?;
    *last = Some(instance);
    Ok(())
}

/// Copies the output of a response that must have `len` bytes to the caller.
fn take(
    call: CallContext<'_>,
    completed: &CompletedRequest,
    response: &DecodedResponse,
    len: usize,
    output: &mut Output<'_>,
) -> Result<()> {
    if response.overflow || len != response.produced {
        let detail = format!("it has {} bytes instead of {len}", response.produced);
        return Err(DeviceError::Wrong { detail: detail.into() }.into());
    }
    accept(completed, response, output)?;
    let plain = output.filled();
    let plain = &plain[plain.len() - len..];
    if call.started.settings.integrity != Integrity::Trust && XxHash32::oneshot(0, plain) != response.checksum
    {
        return Err(wrong_checksum());
    }
    Ok(())
}

/// Decompresses all frames of `input`.
pub(super) async fn frames(
    call: CallContext<'_>,
    input: &[u8],
    output: &mut Output<'_>,
    last: &mut Option<u16>,
) -> Result<()> {
    let mut at = 0;
    while at < input.len() || at == 0 {
        let rest = &input[at..];
        at += match lz4::next_frame(rest, at)? {
            lz4::Frame::Skippable { len } => len,
            lz4::Frame::Legacy => legacy_frame(call, rest, output, last).await?,
            lz4::Frame::Ordinary => ordinary_frame(call, rest, output, last).await?,
        };
    }
    Ok(())
}

/// Decompresses one frame, and returns its length.
async fn ordinary_frame(
    call: CallContext<'_>,
    input: &[u8],
    output: &mut Output<'_>,
    last: &mut Option<u16>,
) -> Result<usize> {
    let format = Format::Lz4Frame;
    let (descriptor, mut at) = frame::Descriptor::parse(input)?.ok_or(Error::Truncated { format })?;
    if !descriptor.independent {
        return linked_frame(call, &descriptor, input, at, output, last).await;
    }
    let block = Lz4Block::of_len(descriptor.max_block).expect("a descriptor has one of the four block sizes");
    let kind = SessionKind::Unlz4 { block, has_block_checksums: false };
    let start = output.written();
    let mut window = Window::new();
    let mut stored = None;
    let mut has_ended = false;
    loop {
        while !has_ended && stored.is_none() && !window.is_full() {
            let Some(part) = Part::at(input, at, &descriptor)? else {
                at += 4;
                has_ended = true;
                break;
            };
            let Part { word, data, next, is_stored } = part;
            if is_stored {
                stored = Some(data);
            } else {
                let plain_len = part.plain_len(&descriptor)?;
                let request = StatelessRequest {
                    kind,
                    prefix: &word.to_le_bytes(),
                    input: data,
                    room: plain_len.max(LEAST_ROOM),
                    is_open: false,
                };
                let submitted = call.submit(request, window.when_full(call.when_full)).await;
                let lens = (data.len(), plain_len);
                if !window.push(submitted, lens).map_err(|error| call.error(error))? {
                    break;
                }
            }
            at = next;
        }
        match window.next(call.started).await {
            Some(next) => {
                let (completed, instance, (len, plain_len)) = next.map_err(|error| call.error(error))?;
                let response =
                    call.decode(&completed, instance, len + 4, plain_len.max(LEAST_ROOM), format)?;
                call.penalise_on_error(instance, take(call, &completed, &response, plain_len, output))?;
                *last = Some(instance);
            }
            None => match stored.take() {
                Some(data) => {
                    output.reserve(data.len())?;
                    output.room()[..data.len()].copy_from_slice(data);
                    output.advance(data.len());
                }
                None if has_ended => break,
                None => {}
            },
        }
    }
    at += lz4::check_content(&descriptor, &output.filled()[start..], &input[at..])?;
    Ok(at)
}

/// A block of a frame.
struct Part<'a> {
    /// The size word of the block.
    word: u32,
    data: &'a [u8],
    /// The offset at which the next block begins.
    next: usize,
    is_stored: bool,
}

impl<'a> Part<'a> {
    /// Returns the block at `at` after checking its checksum; `None` for the end mark.
    fn at(input: &'a [u8], at: usize, descriptor: &frame::Descriptor) -> Result<Option<Self>> {
        let truncated = || Error::Truncated { format: Format::Lz4Frame };
        let word = input.get(at..).and_then(le32).ok_or_else(truncated)?;
        if word == 0 {
            return Ok(None);
        }
        let (len, is_stored) = lz4::block_size(word, descriptor.max_block)?;
        let data = input.get(at + 4..at + 4 + len).ok_or_else(truncated)?;
        let mut next = at + 4 + len;
        if descriptor.block_checksum {
            let hash = input.get(next..).and_then(le32).ok_or_else(truncated)?;
            lz4::check_hash(XxHash32::oneshot(0, data), hash, "a block checksum does not match")?;
            next += 4;
        }
        Ok(Some(Self { word, data, next, is_stored }))
    }

    fn plain_len(&self, descriptor: &frame::Descriptor) -> Result<usize> {
        if self.is_stored {
            return Ok(self.data.len());
        }
        lz4::frame_block_len(self.data, descriptor.max_block)
    }
}

/// Decompresses a frame whose blocks refer to earlier ones, with one request for all of them. The first block is at
/// offset `begin`.
async fn linked_frame(
    call: CallContext<'_>,
    descriptor: &frame::Descriptor,
    input: &[u8],
    begin: usize,
    output: &mut Output<'_>,
    last: &mut Option<u16>,
) -> Result<usize> {
    let format = Format::Lz4Frame;
    let start = output.written();
    let (mut at, mut len) = (begin, 0);
    while let Some(part) = Part::at(input, at, descriptor)? {
        len += part.plain_len(descriptor)?;
        at = part.next;
    }
    at += 4;
    output.reserve(len)?;
    if len > 0 {
        let block =
            Lz4Block::of_len(descriptor.max_block).expect("a descriptor has one of the four block sizes");
        let kind = SessionKind::Unlz4 { block, has_block_checksums: descriptor.block_checksum };
        let room = len.max(LEAST_ROOM);
        let request = StatelessRequest { kind, prefix: &[], input: &input[begin..at], room, is_open: false };
        let (completed, instance) = call.run(request).await.map_err(|error| call.error(error))?;
        let response = call.decode(&completed, instance, at - begin, room, format)?;
        call.penalise_on_error(instance, take(call, &completed, &response, len, output))?;
        *last = Some(instance);
    }
    Ok(at + lz4::check_content(descriptor, &output.filled()[start..], &input[at..])?)
}

/// Decompresses a legacy frame, which has blocks of up to 8 MiB and no end mark.
async fn legacy_frame(
    call: CallContext<'_>,
    input: &[u8],
    output: &mut Output<'_>,
    last: &mut Option<u16>,
) -> Result<usize> {
    let truncated = || Error::Truncated { format: Format::Lz4Frame };
    let mut at = 4;
    while at < input.len() {
        let word = le32(&input[at..]).ok_or_else(truncated)?;
        let Some(len) = lz4::legacy_block_size(word, at == 4)? else { break };
        let data = input.get(at + 4..).and_then(|rest| rest.get(..len)).ok_or_else(truncated)?;
        lz4::frame_block_len(data, frame::LEGACY_BLOCK)?;
        block(call, data, output, Format::Lz4Frame, last).await?;
        at += 4 + len;
    }
    Ok(at)
}
