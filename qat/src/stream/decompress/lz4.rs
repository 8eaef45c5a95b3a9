//! LZ4 frames, ordinary and legacy ones.

use std::io::Read;

use accel_core::Format;

use super::super::pipeline;
use super::block::{check_lz4_block, decode};
use super::{Block, Check, Decode, Decoder, End, Result, State, Window};
use crate::container::{le32, lz4 as lz4_frame};
use crate::software;

impl<R: Read> Decoder<'_, R> {
    /// One block of an LZ4 frame, or its end.
    pub(super) fn lz4_block(&mut self, block: &mut Block) -> Result<bool> {
        let word = self.word()?;
        let State::Lz4(descriptor, _) = &self.state else { unreachable!("the caller matched the state") };
        let descriptor = *descriptor;
        if word == 0 {
            self.state = State::Between;
            let hash = if descriptor.content_checksum { Some(self.word()?) } else { None };
            block.end = Some(End::Lz4 { hash, size: descriptor.content_size });
            return Ok(true);
        }
        let (len, stored) = software::lz4::block_size(word, descriptor.max_block)?;
        if !self.source.take(len, &mut block.packed)? {
            return self.truncated();
        }
        let hash = if descriptor.block_checksum { Some(self.word()?) } else { None };
        block.check = descriptor.content_checksum.then_some(Check::XxHash32);
        block.decode = Some(Decode::Lz4 { max: descriptor.max_block, stored, hash });
        if !descriptor.independent {
            self.linked_block(block, descriptor.max_block, stored, hash)?;
        }
        Ok(true)
    }

    /// Decodes here, and not on a worker, a block that may refer to the ones before it.
    pub(super) fn linked_block(
        &mut self,
        block: &mut Block,
        max: usize,
        stored: bool,
        hash: Option<u32>,
    ) -> Result<()> {
        let path = self.engine.serial_path(self.format)?;
        let State::Lz4(_, window) = &mut self.state else { unreachable!("the caller matched the state") };
        if stored || window.is_empty() {
            decode(block, self.engine, u64::MAX)?;
        } else {
            check_lz4_block(&block.packed, hash)?;
            let room = pipeline::room(&mut block.plain, max);
            block.plain_len = software::lz4::decompress_block(&block.packed, room, window, Format::Lz4Frame)
                .map_err(|error| software::lz4::oversized(error, max))?;
            block.ran = Some(path);
        }
        block.decode = None;
        let plain = &block.plain[..block.plain_len];
        window.extend_from_slice(&plain[plain.len().saturating_sub(lz4_frame::WINDOW)..]);
        let excess = window.len().saturating_sub(lz4_frame::WINDOW);
        window.drain(..excess);
        Ok(())
    }

    pub(super) fn lz4_legacy_block(&mut self, block: &mut Block) -> Result<bool> {
        // No end mark: the frame ends with the input, or where another frame begins.
        let word = le32(self.source.peek(4)?);
        match word {
            None if !self.source.buffered().is_empty() => self.truncated(),
            None => self.end_legacy(block),
            Some(word) if lz4_frame::begins_frame(word) => self.end_legacy(block),
            Some(word) => {
                self.source.consume(4);
                let max = lz4_frame::LEGACY_BLOCK;
                let len = software::lz4::legacy_block_size(word)?;
                if !self.source.take(len, &mut block.packed)? {
                    return self.truncated();
                }
                block.decode = Some(Decode::Lz4 { max, stored: false, hash: None });
                Ok(true)
            }
        }
    }

    /// Nothing to check, but the next frame's checks begin anew.
    pub(super) fn end_legacy(&mut self, block: &mut Block) -> Result<bool> {
        self.state = State::Between;
        block.end = Some(End::Lz4 { hash: None, size: None });
        Ok(true)
    }

    /// The next little-endian word.
    pub(super) fn word(&mut self) -> Result<u32> {
        let word = le32(self.need(4)?).unwrap_or_default();
        self.source.consume(4);
        Ok(word)
    }
}
