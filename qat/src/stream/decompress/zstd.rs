//! Zstandard frames (RFC 8878): the part of the decoder that finds frames and decodes them. Only the parent module
//! calls it.

use std::io::Read;

use accel_core::Format;
use zstd_safe::{DCtx, DParameter, InBuffer, OutBuffer, ResetDirective};

use super::super::{StreamError, pipeline};
use super::{Block, Decoder, DecoderState, MAX_FRAME, PIECE, Result};
use crate::formats::{le32, lz4::is_skippable, zstd as zstd_frame};
use crate::software::zstd::{bound, corrupt, is_out_of_memory};

/// The most bytes of skippable frames before a frame that is decoded whole. `pzstd` writes 12 bytes before each of its
/// frames.
const MAX_SKIPPED: usize = 1024;

/// The position of the decoder in a frame. The decoder receives one element at a time, because after an error libzstd
/// discards what the same call has decoded.
pub(super) struct Position {
    /// The number of bytes of the current element (a header, a block or the checksum) that the decoder has not received
    /// yet.
    left: usize,
    /// The element after the current one.
    next: Next,
    /// Whether the output buffer was too small for the content that the decoder holds.
    has_more: bool,
    has_checksum: bool,
    /// The largest block in bytes that the frame allows.
    max_block: usize,
    /// The memory in bytes that the window of the frame needs.
    window: u64,
    /// The length of the content in bytes; `None` where the frame does not state it. This decoder verifies it, because
    /// libzstd does not after an empty last block.
    content_size: Option<u64>,
    /// The number of bytes of content so far.
    produced: u64,
}

#[derive(Clone, Copy)]
enum Next {
    Block,
    Checksum,
    End,
}

impl<R: Read> Decoder<'_, R> {
    /// Takes a frame that states its size, with small skippable frames before it, as far as that is possible without
    /// waiting. Returns where the frame begins and the length of its content. Where this returns `None`, the caller
    /// puts back what was taken.
    pub(super) fn whole_frame(&mut self, packed: &mut Vec<u8>) -> Result<Option<(usize, usize)>> {
        while le32(self.source.peek(4)).is_some_and(is_skippable) {
            let Some(len) = self.source.peek(8).get(4..).and_then(le32) else { return Ok(None) };
            let len = 8 + len as usize;
            if packed.len() + len > MAX_SKIPPED || !self.source.take(len, packed)? {
                return Ok(None);
            }
        }
        let head = packed.len();
        let header = loop {
            match zstd_frame::parse_header(self.source.buffered()) {
                Ok(Some(header)) => break header,
                Ok(None) if self.source.more() => {}
                _ => return Ok(None),
            }
        };
        let Some(plain) = header.content_size.and_then(|size| self.fits(size, MAX_FRAME)) else {
            return Ok(None);
        };
        if header.check_supported().is_err() || self.check_window(&header).is_err() {
            return Ok(None);
        }
        if !self.source.take_ready(header.len, packed)? {
            return Ok(None);
        }
        loop {
            let Some(next) = self.source.peek_ready(zstd_frame::BLOCK_HEADER_LEN).first_chunk().copied()
            else {
                return Ok(None);
            };
            let Ok(next) = zstd_frame::parse_block_header(next, header.max_block) else { return Ok(None) };
            let len = zstd_frame::BLOCK_HEADER_LEN + next.len;
            // A frame of many small blocks can be longer than its content; beyond this bound it is decoded in pieces.
            if packed.len() + len > bound(MAX_FRAME) || !self.source.take_ready(len, packed)? {
                return Ok(None);
            }
            if next.last {
                break;
            }
        }
        let len = if header.checksum { zstd_frame::CHECKSUM_LEN } else { 0 };
        Ok(self.source.take_ready(len, packed)?.then_some((head, plain)))
    }

    /// Returns the memory in bytes that the window of a frame needs.
    ///
    /// # Errors
    /// [`StreamError::WindowLimit`] where that exceeds the limit.
    fn check_window(&self, header: &zstd_frame::Header) -> Result<u64> {
        let required = header.content_size.map_or(header.window, |size| size.min(header.window));
        if required > zstd_frame::MAX_WINDOW {
            return Err(zstd_frame::unsupported_window(required).into());
        }
        if required > self.window_limit {
            return Err(StreamError::WindowLimit { required, limit: self.window_limit });
        }
        Ok(required)
    }

    /// Begins a frame that is decoded in pieces.
    pub(super) fn begin_zstd(&mut self) -> Result<bool> {
        self.any = true;
        let header = loop {
            if let Some(header) = zstd_frame::parse_header(self.source.buffered())? {
                break header;
            }
            if !self.source.more() {
                return self.truncated();
            }
        };
        header.check_supported()?;
        let window = self.check_window(&header)?;
        self.work.engine.serial_path(self.format)?;
        if self.zstd.is_none() {
            let mut context = DCtx::try_create().ok_or(StreamError::Memory { bytes: PIECE })?;
            // The window was compared with the limit before.
            let log = DParameter::WindowLogMax(zstd_frame::MAX_WINDOW.ilog2());
            context.set_parameter(log).map_err(corrupt)?;
            self.zstd = Some(context);
        } else if let Some(context) = &mut self.zstd {
            context.reset(ResetDirective::SessionOnly).map_err(corrupt)?;
        }
        self.state = DecoderState::Zstd(Position {
            left: header.len,
            next: Next::Block,
            has_more: false,
            has_checksum: header.checksum,
            max_block: header.max_block,
            window,
            content_size: header.content_size,
            produced: 0,
        });
        Ok(false)
    }

    /// Fills `block` with the next piece of a frame: everything that the input read so far decodes to. Returns whether
    /// that is more than nothing.
    pub(super) fn zstd_piece(&mut self, block: &mut Block) -> Result<bool> {
        block.ran = Some(self.work.engine.serial_path(self.format)?);
        let room = PIECE.min(self.work.most_room());
        pipeline::room(&mut block.plain, room)?;
        loop {
            let (DecoderState::Zstd(position), Some(context)) = (&mut self.state, &mut self.zstd) else {
                unreachable!("the caller matched the state")
            };
            if position.left == 0 && !position.has_more && !position.advance(self.source.buffered())? {
                if block.plain_len > 0 {
                    return Ok(true);
                }
                if !self.source.more() {
                    return self.truncated();
                }
                continue;
            }
            let input = self.source.buffered();
            let len = if position.has_more { 0 } else { position.left.min(input.len()) };
            if len == 0 && !position.has_more {
                if block.plain_len > 0 {
                    return Ok(true);
                }
                if !self.source.more() {
                    return self.truncated();
                }
                continue;
            }
            let mut input = InBuffer::around(&input[..len]);
            let mut output = OutBuffer::around(&mut block.plain[block.plain_len..room]);
            let hint = context.decompress_stream(&mut output, &mut input).map_err(|code| {
                if is_out_of_memory(code) {
                    return StreamError::Memory { bytes: position.window as usize };
                }
                corrupt(code).into()
            })?;
            let (consumed, produced) = (input.pos(), output.pos());
            block.plain_len += produced;
            position.left -= consumed;
            position.produced += produced as u64;
            position.has_more = block.plain_len == room;
            self.source.consume(consumed)?;
            if hint == 0 {
                if position.content_size.is_some_and(|size| size != position.produced) {
                    let detail = "the content length does not match the header".into();
                    return Err(accel_core::Error::Corrupt { format: self.format, detail }.into());
                }
                self.state = DecoderState::Between;
                return Ok(true);
            }
            if block.plain_len == room {
                return Ok(true);
            }
        }
    }
}

impl Position {
    /// Proceeds to the element at the front of `input`, and returns whether its length is known yet.
    fn advance(&mut self, input: &[u8]) -> Result<bool> {
        match self.next {
            Next::Block => {
                let Some(head) = input.first_chunk().copied() else { return Ok(false) };
                let block = zstd_frame::parse_block_header(head, self.max_block)?;
                self.left = zstd_frame::BLOCK_HEADER_LEN + block.len;
                self.next = match (block.last, self.has_checksum) {
                    (false, _) => Next::Block,
                    (true, true) => Next::Checksum,
                    (true, false) => Next::End,
                };
            }
            Next::Checksum => (self.left, self.next) = (zstd_frame::CHECKSUM_LEN, Next::End),
            Next::End => {
                let format = Format::Zstd;
                let detail = "data follow the last block of the frame".into();
                return Err(accel_core::Error::Corrupt { format, detail }.into());
            }
        }
        Ok(true)
    }
}
