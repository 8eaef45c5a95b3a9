//! gzip members, zlib streams and raw deflate.

use std::io::Read;

use accel_core::Format;

use super::super::pipeline;
use super::{Block, Check, Decode, Decoder, End, MAX_WHOLE, PIECE, Result, State};
use crate::container::{gzip, zlib};
use crate::software::deflate::StreamInflater;

impl<R: Read> Decoder<'_, R> {
    pub(super) fn begin_inflate(&mut self) {
        self.any = true;
        self.inflater.get_or_insert_with(StreamInflater::new).reset();
        self.state = State::Inflating;
    }

    pub(super) fn begin_member(&mut self, block: &mut Block) -> Result<bool> {
        if self.any {
            // Zero padding behind the last member is ignored, as gzip does; anything else must be a member.
            loop {
                let head = self.source.peek(gzip::MAGIC.len())?;
                if head.is_empty() {
                    self.state = State::Ended;
                    return Ok(false);
                }
                if head.starts_with(&gzip::MAGIC) {
                    break;
                }
                let zeros = self.source.buffered().iter().take_while(|byte| **byte == 0).count();
                if zeros == 0 {
                    return self.trailing();
                }
                self.source.consume(zeros);
                if !self.source.peek(1)?.is_empty() && self.source.buffered()[0] != 0 {
                    return self.trailing();
                }
            }
        }
        let header = loop {
            if let Some(header) = gzip::parse_header(self.source.buffered())? {
                break header;
            }
            if !self.source.more()? {
                return self.truncated();
            }
        };
        let whole = header.sizes.filter(|sizes| {
            // QATzip's software path writes zeroes; a size beyond reason is a lie or not worth the memory.
            sizes.deflated > 0
                && (sizes.deflated as usize) <= MAX_WHOLE
                && (sizes.plain as usize) <= MAX_WHOLE
        });
        if whole.is_none() && !self.engine.is_serial() {
            return self.rest(block);
        }
        self.source.consume(header.len);
        let Some(sizes) = whole else {
            self.begin_inflate();
            return Ok(false);
        };
        self.any = true;
        if !self.source.take(sizes.deflated as usize + gzip::TRAILER_LEN, &mut block.packed)? {
            return self.truncated();
        }
        block.decode = Some(Decode::Member { plain: sizes.plain as usize });
        Ok(true)
    }

    /// Fills `block` with the next piece of deflate data and closes the stream where it ends.
    pub(super) fn inflate(&mut self, block: &mut Block) -> Result<bool> {
        let inflater = self.inflater.get_or_insert_with(StreamInflater::new);
        pipeline::room(&mut block.plain, PIECE);
        let finished = loop {
            let at = block.plain_len;
            let step = inflater.step(self.source.buffered(), &mut block.plain[at..], self.format)?;
            self.source.consume(step.consumed);
            block.plain_len += step.produced;
            if step.finished || block.plain_len == block.plain.len() {
                break step.finished;
            }
            if step.consumed == 0 && step.produced == 0 && !self.source.more()? {
                return self.truncated();
            }
        };
        block.ran = Some(self.engine.serial_path(self.format)?);
        block.check = match self.format {
            Format::Gzip => Some(Check::Crc32),
            Format::Zlib => Some(Check::Adler32),
            _ => None,
        };
        if finished {
            self.state = State::Between;
            block.end = match self.format {
                Format::Gzip => {
                    let trailer = self.need(gzip::TRAILER_LEN)?.first_chunk().copied();
                    self.source.consume(gzip::TRAILER_LEN);
                    trailer.map(End::Gzip)
                }
                Format::Zlib => {
                    let trailer = self.need(zlib::TRAILER_LEN)?.first_chunk().copied();
                    self.source.consume(zlib::TRAILER_LEN);
                    trailer.map(End::Zlib)
                }
                _ => None,
            };
        }
        Ok(true)
    }
}
