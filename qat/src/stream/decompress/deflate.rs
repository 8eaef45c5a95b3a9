//! Gzip members (RFC 1952), zlib streams (RFC 1950) and raw deflate (RFC 1951): the part of the decoder that finds and
//! inflates them. Only the parent module calls it.

use std::io::Read;

use accel_core::Format;

use super::super::pipeline;
use super::{Block, Check, Decoder, DecoderState, MAX_MEMBER, PIECE, Result, Trailer};
use crate::formats::{gzip, zlib};
use crate::software::deflate::StreamInflater;

/// The longest header in bytes of a member that is decoded whole. Members that state their sizes have short headers.
const MAX_SIZED_HEADER: usize = 1024;

impl<R: Read> Decoder<'_, R> {
    pub(super) fn begin_inflate(&mut self) {
        self.any = true;
        self.inflater.get_or_insert_with(StreamInflater::new).reset();
        self.state = DecoderState::Inflating;
    }

    pub(super) fn begin_zlib(&mut self, block: &mut Block) -> Result<bool> {
        while zlib::check_header(self.source.buffered())?.is_none() {
            if !self.source.more() {
                return self.truncated();
            }
        }
        if !self.work.engine.is_serial() {
            return self.rest(block);
        }
        self.source.consume(zlib::HEADER_LEN)?;
        self.begin_inflate();
        Ok(false)
    }

    /// Begins a member that is decoded in pieces.
    pub(super) fn begin_member(&mut self, block: &mut Block) -> Result<bool> {
        if self.any && !self.is_member_next()? {
            self.state = DecoderState::Ended;
            return Ok(false);
        }
        if !self.work.engine.is_serial() {
            return self.rest(block);
        }
        let mut header = gzip::HeaderReader::default();
        loop {
            let used = header.feed(self.source.buffered())?;
            self.source.consume(used)?;
            if header.is_done() {
                break;
            }
            if !self.source.more() {
                return self.truncated();
            }
        }
        self.begin_inflate();
        Ok(false)
    }

    /// Returns whether another member follows. Zero padding after the last member is ignored, as in gzip; any other
    /// data must be a member.
    fn is_member_next(&mut self) -> Result<bool> {
        if self.source.peek(gzip::MAGIC.len()).starts_with(&gzip::MAGIC) {
            return Ok(true);
        }
        loop {
            let head = self.source.peek(1);
            let zeros = head.iter().take_while(|byte| **byte == 0).count();
            if zeros < head.len() {
                self.source.consume(zeros)?;
                return self.trailing();
            }
            if zeros == 0 {
                return Ok(false);
            }
            self.source.consume(zeros)?;
        }
    }

    /// Takes a member that states its sizes, with its header and trailer, and returns the lengths of the header and of
    /// the content. Where this returns `None`, the caller puts back what was taken.
    pub(super) fn whole_member(&mut self, packed: &mut Vec<u8>) -> Result<Option<(usize, usize)>> {
        let header = loop {
            let head = self.source.buffered();
            let head = &head[..head.len().min(MAX_SIZED_HEADER)];
            let mut reader = gzip::HeaderReader::default();
            let Ok(len) = reader.feed(head) else { return Ok(None) };
            if reader.is_done() {
                break reader.header(len);
            }
            let is_hopeless = reader.states_sizes() == Some(false) || head.len() == MAX_SIZED_HEADER;
            if is_hopeless || !self.source.more() {
                return Ok(None);
            }
        };
        // QATzip's software path writes sizes of zero.
        let Some(sizes) = header.sizes.filter(|sizes| sizes.deflated > 0) else { return Ok(None) };
        let Some(plain) = self.fits(sizes.plain.into(), MAX_MEMBER) else { return Ok(None) };
        let deflated = sizes.deflated as usize;
        if deflated > MAX_MEMBER {
            return Ok(None);
        }
        let is_whole = self.source.take(header.len + deflated + gzip::TRAILER_LEN, packed)?;
        Ok(is_whole.then_some((header.len, plain)))
    }

    /// Fills `block` with the next piece of deflate data: everything that the input read so far decodes to. Returns
    /// whether that is more than nothing.
    pub(super) fn inflate(&mut self, block: &mut Block) -> Result<bool> {
        block.ran = Some(self.work.engine.serial_path(self.format)?);
        block.check = match self.format {
            Format::Gzip => Some(Check::Crc32),
            Format::Zlib => Some(Check::Adler32),
            _ => None,
        };
        let inflater = self.inflater.get_or_insert_with(StreamInflater::new);
        let room = pipeline::room(&mut block.plain, PIECE.min(self.work.most_room()))?;
        let finished = loop {
            let step = inflater.step(self.source.buffered(), room, self.format);
            self.source.consume(step.consumed)?;
            block.plain_len = step.produced;
            if let Some(error) = step.error {
                return Err(error.into());
            }
            if step.finished || step.produced > 0 {
                break step.finished;
            }
            if !self.source.more() {
                return self.truncated();
            }
        };
        if !finished {
            return Ok(true);
        }
        self.state = DecoderState::Trailer;
        if block.plain_len == 0 || self.source.buffered().len() >= self.trailer_len() {
            return self.trailer(block);
        }
        Ok(true)
    }

    fn trailer_len(&self) -> usize {
        match self.format {
            Format::Gzip => gzip::TRAILER_LEN,
            Format::Zlib => zlib::TRAILER_LEN,
            _ => 0,
        }
    }

    /// Verifies the end of the stream by its trailer.
    pub(super) fn trailer(&mut self, block: &mut Block) -> Result<bool> {
        let len = self.trailer_len();
        let head = self.source.peek(len);
        if head.len() < len {
            return self.truncated();
        }
        block.end = match self.format {
            Format::Gzip => head.first_chunk().copied().map(Trailer::Gzip),
            Format::Zlib => head.first_chunk().copied().map(Trailer::Zlib),
            _ => None,
        };
        self.source.consume(len)?;
        self.state = DecoderState::Between;
        Ok(true)
    }
}
