//! LZ4 frames (LZ4 frame format description 1.6), ordinary and legacy ones: the part of the decoder that finds their
//! blocks. Only the parent module calls it.

use std::io::Read;

use super::super::pipeline;
use super::block::check_lz4_block;
use super::{Block, Check, Decode, Decoder, DecoderState, Result, Trailer, Window};
use crate::formats::{le32, lz4 as lz4_frame};
use crate::software;

impl<R: Read> Decoder<'_, R> {
    pub(super) fn begin_lz4(&mut self, block: &mut Block) -> Result<bool> {
        let (descriptor, len) = loop {
            if let Some(parsed) = lz4_frame::Descriptor::parse(self.source.buffered())? {
                break parsed;
            }
            if !self.source.more() {
                return self.truncated();
            }
        };
        if !descriptor.independent && !self.work.engine.is_serial() {
            return self.rest(block);
        }
        self.any = true;
        self.source.consume(len)?;
        self.state = DecoderState::Lz4(descriptor, Window::new());
        Ok(false)
    }

    /// Takes the next block of an LZ4 frame, or its end.
    pub(super) fn lz4_block(&mut self, block: &mut Block) -> Result<bool> {
        let word = self.word()?;
        let DecoderState::Lz4(descriptor, _) = &self.state else {
            unreachable!("the caller matched the state")
        };
        let descriptor = *descriptor;
        if word == 0 {
            let hash = if descriptor.content_checksum { Some(self.word()?) } else { None };
            self.state = DecoderState::Between;
            block.end = Some(Trailer::Lz4 { hash, size: descriptor.content_size });
            return Ok(true);
        }
        let (len, stored) = software::lz4::block_size(word, descriptor.max_block)?;
        block.check = descriptor.content_checksum.then_some(Check::XxHash32);
        if !self.source.take(len, &mut block.packed)? {
            if stored {
                // A stored block that is truncated is output as far as it was received.
                std::mem::swap(&mut block.plain, &mut block.packed);
                block.plain_len = block.plain.len();
            }
            return self.truncated();
        }
        let hash = if descriptor.block_checksum { Some(self.word()?) } else { None };
        if descriptor.independent {
            block.decode = Some(Decode::Lz4 { max: descriptor.max_block, stored, hash });
        } else {
            self.linked_block(block, descriptor.max_block, stored, hash)?;
        }
        Ok(true)
    }

    /// Decodes a block that may refer to earlier ones. The reading thread does this itself, because a worker does not
    /// have the earlier ones.
    fn linked_block(&mut self, block: &mut Block, max: usize, stored: bool, hash: Option<u32>) -> Result<()> {
        let DecoderState::Lz4(_, window) = &mut self.state else {
            unreachable!("the caller matched the state")
        };
        if stored {
            let checked = check_lz4_block(&block.packed, hash);
            std::mem::swap(&mut block.plain, &mut block.packed);
            block.plain_len = block.plain.len();
            checked?;
        } else {
            block.ran = Some(self.work.engine.serial_path(self.format)?);
            check_lz4_block(&block.packed, hash)?;
            let room = pipeline::room(&mut block.plain, max.min(self.work.most_room()))?;
            block.plain_len = software::lz4::decompress_frame_block(&block.packed, room, window, max)
                .map_err(|error| self.work.lz4_error(error, max))?;
        }
        let plain = &block.plain[..block.plain_len];
        window.extend_from_slice(&plain[plain.len().saturating_sub(lz4_frame::WINDOW)..]);
        let excess = window.len().saturating_sub(lz4_frame::WINDOW);
        window.drain(..excess);
        Ok(())
    }

    /// Takes the next block of a legacy frame, or its end.
    pub(super) fn lz4_legacy_block(&mut self, is_first: bool, block: &mut Block) -> Result<bool> {
        let head = self.source.peek(4);
        let Some(word) = le32(head) else {
            return if head.is_empty() { self.end_legacy(block) } else { self.truncated() };
        };
        let Some(len) = software::lz4::legacy_block_size(word, is_first)? else {
            return self.end_legacy(block);
        };
        self.source.consume(4)?;
        self.state = DecoderState::Lz4Legacy { is_first: false };
        if !self.source.take(len, &mut block.packed)? {
            return self.truncated();
        }
        block.decode = Some(Decode::Lz4 { max: lz4_frame::LEGACY_BLOCK, stored: false, hash: None });
        Ok(true)
    }

    /// Ends a legacy frame. It has no checksum, but those of the next frame must start anew.
    fn end_legacy(&mut self, block: &mut Block) -> Result<bool> {
        self.state = DecoderState::Between;
        block.end = Some(Trailer::Lz4 { hash: None, size: None });
        Ok(true)
    }

    /// Returns the next little-endian 32-bit word.
    fn word(&mut self) -> Result<u32> {
        let Some(word) = le32(self.source.peek(4)) else { return self.truncated() };
        self.source.consume(4)?;
        Ok(word)
    }
}
