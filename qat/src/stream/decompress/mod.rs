//! Decompressing a stream: members, frames and blocks that say how long they are go to all cores, the rest is decoded
//! piece by piece by the thread that reads, or, where the CPU must not be used, collected and decoded at once.

mod block;
mod deflate;
mod detect;
mod lz4;
mod zstd;

use std::io::{Read, Write};
use std::sync::atomic::Ordering;

use accel_core::{Error, Format};
use zstd_safe::DCtx;

use self::block::{Block, Check, Checks, Decode, End, decode};
pub use self::detect::detect;
use super::pipeline::{self, Produced};
use super::source::{Counted, Source};
use super::{Engine, Settings, StreamError, Summary};
use crate::container::{le32, lz4 as lz4_frame, zlib, zstd as zstd_frame};
use crate::software::deflate::StreamInflater;

type Result<T, E = StreamError> = std::result::Result<T, E>;

/// Plain bytes that serial decoding makes at a time.
const PIECE: usize = 1 << 20;
/// Largest member, frame or block that is decoded whole: beyond it, memory would follow the data.
const MAX_WHOLE: usize = 16 << 20;
/// Most packed bytes that are collected for an engine that has no piece-by-piece decoding, and most plain bytes of them.
const MAX_REST: usize = 64 << 20;
const MAX_REST_PLAIN: usize = 512 << 20;

/// Decompresses everything that `input` yields to `output`; `format` of `None` recognises it by content.
///
/// # Errors
/// [`StreamError::Read`], [`StreamError::Write`], [`StreamError::UnknownFormat`]; [`StreamError::Work`] with
/// [`Corrupt`](Error::Corrupt), [`Truncated`](Error::Truncated) or [`TrailingData`](Error::TrailingData) for bad
/// input, [`LimitExceeded`](Error::LimitExceeded), and what the engine may fail with.
pub fn decompress<R, W>(
    input: R,
    mut output: W,
    engine: &Engine,
    format: Option<Format>,
    settings: &Settings,
) -> Result<Summary>
where
    R: Read + Send,
    W: Write,
{
    let mut source = Source::new(Counted::new(input, &settings.progress));
    let format = match format {
        Some(format) => format,
        None => detect(source.peek(4096)?).ok_or(StreamError::UnknownFormat)?,
    };
    let mut decoder = Decoder::new(source, format, engine)?;
    let mut summary = Summary::new(Some(format));
    let mut checks = Checks::default();
    pipeline::run(
        settings.threads,
        |block: &mut Block| {
            block.renew();
            decoder.next(block)
        },
        |block| decode(block, engine, settings.limit),
        |block| {
            let plain = &block.plain[..block.plain_len];
            if summary.bytes_out + plain.len() as u64 > settings.limit {
                return Err(Error::LimitExceeded { limit: settings.limit }.into());
            }
            checks.update(block)?;
            output.write_all(plain).map_err(StreamError::Write)?;
            if let Some(path) = block.ran {
                summary.ran(path);
            }
            summary.bytes_out += plain.len() as u64;
            settings.progress.bytes_out.fetch_add(plain.len() as u64, Ordering::Relaxed);
            block.failure.take().map_or(Ok(()), |failure| Err(failure.into()))
        },
    )?;
    output.flush().map_err(StreamError::Write)?;
    summary.bytes_in = decoder.source.taken();
    Ok(summary)
}

/// The producing side: finds blocks, or decodes what cannot be cut.
struct Decoder<'a, R> {
    source: Source<R>,
    format: Format,
    state: State,
    /// At least one member or frame was read.
    any: bool,
    inflater: Option<StreamInflater>,
    engine: &'a Engine,
}

enum State {
    /// Before a member, a frame or the end.
    Between,
    /// Inside deflate data that is decoded piece by piece.
    Inflating,
    /// Inside an LZ4 frame.
    Lz4(lz4_frame::Descriptor, Window),
    Lz4Legacy,
    /// Inside a Zstandard frame that is decoded piece by piece.
    Zstd(DCtx<'static>),
    Ended,
}

/// The last bytes that a linked LZ4 block may refer to.
type Window = Vec<u8>;

impl<'a, R: Read> Decoder<'a, R> {
    fn new(source: Source<R>, format: Format, engine: &'a Engine) -> Result<Self> {
        if format == Format::Lz4Block {
            return Err(Error::InvalidArgument {
                argument: "format",
                remedy: "a bare LZ4 block has no stream form: use the LZ4 frame".into(),
            }
            .into());
        }
        Ok(Self { source, format, state: State::Between, any: false, inflater: None, engine })
    }

    fn truncated<T>(&self) -> Result<T> {
        Err(Error::Truncated { format: self.format }.into())
    }

    /// At least `want` bytes, or the truncation error.
    fn need(&mut self, want: usize) -> Result<&[u8]> {
        if self.source.peek(want)?.len() < want {
            return self.truncated();
        }
        Ok(self.source.buffered())
    }

    fn next(&mut self, block: &mut Block) -> Result<Produced> {
        loop {
            let produced = match &self.state {
                State::Ended => return Ok(Produced::End),
                State::Between => self.begin(block)?,
                State::Inflating => self.inflate(block)?,
                State::Lz4(..) => self.lz4_block(block)?,
                State::Lz4Legacy => self.lz4_legacy_block(block)?,
                State::Zstd(_) => self.zstd_piece(block)?,
            };
            if produced {
                return Ok(Produced::Block);
            }
        }
    }

    /// Begins the next member or frame; whether `block` was filled with all of it.
    fn begin(&mut self, block: &mut Block) -> Result<bool> {
        match self.format {
            Format::Gzip => self.begin_member(block),
            Format::Zlib | Format::Deflate if self.any => {
                if !self.source.peek(1)?.is_empty() {
                    return self.trailing();
                }
                self.state = State::Ended;
                Ok(false)
            }
            Format::Zlib => {
                let head = self.source.peek(zlib::HEADER_LEN)?;
                if zlib::check_header(head)?.is_none() {
                    return self.truncated();
                }
                if !self.engine.is_serial() {
                    return self.rest(block);
                }
                self.source.consume(zlib::HEADER_LEN);
                self.begin_inflate();
                Ok(false)
            }
            Format::Deflate if !self.engine.is_serial() => self.rest(block),
            Format::Deflate => {
                self.begin_inflate();
                Ok(false)
            }
            _ => self.begin_frame(block),
        }
    }

    fn trailing<T>(&self) -> Result<T> {
        Err(Error::TrailingData { format: self.format, consumed: self.source.taken() }.into())
    }

    /// Fills `block` with all that is left, for an engine that decodes nothing piece by piece.
    fn rest(&mut self, block: &mut Block) -> Result<bool> {
        let before = self.source.taken();
        if !self.source.take_rest(MAX_REST, &mut block.packed)? {
            return Err(self.engine.unsupported_rest(self.format, MAX_REST, "compressed").into());
        }
        block.decode = Some(Decode::Rest { format: self.format, before });
        self.state = State::Ended;
        Ok(true)
    }

    /// Begins an LZ4 or Zstandard frame, or skips one that both call skippable.
    fn begin_frame(&mut self, block: &mut Block) -> Result<bool> {
        let head = self.source.peek(8)?;
        let magic = le32(head);
        if head.is_empty() && self.any {
            self.state = State::Ended;
            return Ok(false);
        }
        match magic {
            Some(magic) if lz4_frame::is_skippable(magic) => {
                let Some(len) = head.get(4..).and_then(le32) else { return self.truncated() };
                self.any = true;
                self.source.consume(8);
                self.skip(len as usize)?;
                Ok(false)
            }
            Some(lz4_frame::MAGIC) if self.format == Format::Lz4Frame => {
                let head = self.source.peek(lz4_frame::MAX_HEADER)?;
                let Some((descriptor, len)) = lz4_frame::Descriptor::parse(head)? else {
                    return self.truncated();
                };
                if !descriptor.independent && !self.engine.is_serial() {
                    return self.rest(block);
                }
                self.any = true;
                self.source.consume(len);
                self.state = State::Lz4(descriptor, Window::new());
                Ok(false)
            }
            Some(lz4_frame::LEGACY_MAGIC) if self.format == Format::Lz4Frame => {
                self.any = true;
                self.source.consume(4);
                self.state = State::Lz4Legacy;
                Ok(false)
            }
            Some(zstd_frame::MAGIC) if self.format == Format::Zstd => {
                self.any = true;
                self.begin_zstd(block)
            }
            _ if self.any => self.trailing(),
            None => self.truncated(),
            Some(_) => {
                let detail = format!("no {} frame signature", self.format).into();
                Err(Error::Corrupt { format: self.format, detail }.into())
            }
        }
    }

    fn skip(&mut self, mut len: usize) -> Result<()> {
        while len > 0 {
            let have = self.source.peek(1)?.len().min(len);
            if have == 0 {
                return self.truncated();
            }
            self.source.consume(have);
            len -= have;
        }
        Ok(())
    }
}
