//! Zstandard frames.

use std::io::Read;

use accel_core::Format;
use zstd_safe::{DCtx, DParameter, InBuffer, OutBuffer, ResetDirective};

use super::super::{StreamError, pipeline};
use super::{Block, Decoder, MAX_FRAME, PIECE, Result, State};
use crate::formats::{le32, lz4::is_skippable, zstd as zstd_frame};
use crate::software::zstd::{bound, corrupt, is_out_of_memory};

/// Most bytes of skippable frames that stay in front of a frame that is decoded whole. `pzstd` writes 12 bytes before
/// each of its frames.
const MAX_SKIPPED: usize = 1024;

/// Where in a frame the decoder is. It is fed one element at a time, since by an error it loses what the same call has
/// decoded before.
pub(super) struct Position {
    /// Bytes of the current element, a header, a block or the checksum, that the decoder has not had yet.
    left: usize,
    /// What follows the current element.
    next: Next,
    /// The decoder had no room for all that it has decoded.
    has_more: bool,
    has_checksum: bool,
    /// The largest block in bytes that the frame allows.
    max_block: usize,
    /// Bytes of memory that the frame's window takes.
    window: u64,
    /// The length of the content in bytes, where the frame states it. libzstd does not compare it behind an empty last
    /// block, so that this decoder does.
    content_size: Option<u64>,
    /// Bytes of content so far.
    produced: u64,
}

#[derive(Clone, Copy)]
enum Next {
    Block,
    Checksum,
    End,
}

impl<R: Read> Decoder<'_, R> {
    /// Takes a frame that says its size, with small skippable frames before it, as far as that is possible without waiting:
    /// where the frame begins, and the plain length. Whatever this says no to is put back by the caller.
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
            // Many small blocks make a frame longer than its content, and no block makes it shorter.
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

    /// The memory that a frame's window takes, if it may take so much.
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

    /// Begins a frame that is decoded piece by piece.
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
            // How large a window may be was decided above.
            let log = DParameter::WindowLogMax(zstd_frame::MAX_WINDOW.ilog2());
            context.set_parameter(log).map_err(corrupt)?;
            self.zstd = Some(context);
        } else if let Some(context) = &mut self.zstd {
            context.reset(ResetDirective::SessionOnly).map_err(corrupt)?;
        }
        self.state = State::Zstd(Position {
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

    /// Fills `block` with the next piece of a frame: all that follows from what was read so far, if it is anything.
    pub(super) fn zstd_piece(&mut self, block: &mut Block) -> Result<bool> {
        block.ran = Some(self.work.engine.serial_path(self.format)?);
        let room = PIECE.min(self.work.most_room());
        pipeline::room(&mut block.plain, room)?;
        loop {
            let (State::Zstd(position), Some(context)) = (&mut self.state, &mut self.zstd) else {
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
                    let detail = "the content has another length than the frame states".into();
                    return Err(accel_core::Error::Corrupt { format: self.format, detail }.into());
                }
                self.state = State::Between;
                return Ok(true);
            }
            if block.plain_len == room {
                return Ok(true);
            }
        }
    }
}

impl Position {
    /// Goes on to the element at the front of `input`; whether it is known what that is.
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
                let detail = "the frame goes on behind its last block".into();
                return Err(accel_core::Error::Corrupt { format, detail }.into());
            }
        }
        Ok(true)
    }
}
