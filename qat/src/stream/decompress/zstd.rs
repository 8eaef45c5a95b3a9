//! Zstandard frames.

use std::io::Read;

use accel_core::{Error, Format};
use zstd_safe::{DCtx, InBuffer, OutBuffer};

use super::super::pipeline;
use super::super::source::Source;
use super::{Block, Decode, Decoder, MAX_WHOLE, PIECE, Result, State};
use crate::container::zstd as zstd_frame;
use crate::software;

impl<R: Read> Decoder<'_, R> {
    /// A frame that says its size and is small enough goes to a worker whole, others are decoded here.
    pub(super) fn begin_zstd(&mut self, block: &mut Block) -> Result<bool> {
        let head = self.source.peek(zstd_frame::MAX_HEADER)?;
        let header = zstd_frame::parse_header(head)?;
        let Some(header) = header else { return self.truncated() };
        let plain = header.content_size.and_then(|size| usize::try_from(size).ok());
        if let Some(plain) = plain.filter(|size| *size <= MAX_WHOLE) {
            self.whole_zstd(block, &header)?;
            block.decode = Some(Decode::Zstd { plain });
            return Ok(true);
        }
        self.engine.serial_path(self.format)?;
        self.state = State::Zstd(DCtx::create());
        Ok(false)
    }

    /// Collects a whole frame by walking its blocks.
    pub(super) fn whole_zstd(&mut self, block: &mut Block, header: &zstd_frame::Header) -> Result<()> {
        let take = |source: &mut Source<R>, len: usize, block: &mut Block| -> Result<()> {
            if source.take(len, &mut block.packed)? {
                return Ok(());
            }
            Err(Error::Truncated { format: Format::Zstd }.into())
        };
        take(&mut self.source, header.len, block)?;
        loop {
            let head = self.need(zstd_frame::BLOCK_HEADER_LEN)?;
            let next = zstd_frame::parse_block_header([head[0], head[1], head[2]])?;
            take(&mut self.source, zstd_frame::BLOCK_HEADER_LEN + next.len, block)?;
            // The content size bounds an honest frame; blocks beyond it would bound nothing.
            if block.packed.len() > software::zstd::bound(MAX_WHOLE) {
                let detail = "the frame is longer than its content size allows".into();
                return Err(Error::Corrupt { format: Format::Zstd, detail }.into());
            }
            if next.last {
                break;
            }
        }
        if header.checksum {
            take(&mut self.source, zstd_frame::CHECKSUM_LEN, block)?;
        }
        Ok(())
    }

    pub(super) fn zstd_piece(&mut self, block: &mut Block) -> Result<bool> {
        let State::Zstd(context) = &mut self.state else { unreachable!("the caller matched the state") };
        pipeline::room(&mut block.plain, PIECE);
        let finished = loop {
            let mut input = InBuffer::around(self.source.buffered());
            let mut output = OutBuffer::around(&mut block.plain[block.plain_len..]);
            let hint =
                context.decompress_stream(&mut output, &mut input).map_err(software::zstd::bad_input)?;
            let (consumed, produced) = (input.pos(), output.pos());
            self.source.consume(consumed);
            block.plain_len += produced;
            if hint == 0 || block.plain_len == block.plain.len() {
                break hint == 0;
            }
            if consumed == 0 && produced == 0 && !self.source.more()? {
                return self.truncated();
            }
        };
        block.ran = Some(self.engine.serial_path(self.format)?);
        if finished {
            self.state = State::Between;
        }
        Ok(true)
    }
}
