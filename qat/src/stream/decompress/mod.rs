//! Decompression of a stream. Members, frames and blocks that state their length are decoded by workers in parallel.
//! All other data are decoded in pieces by the thread that reads, or, where the CPU must not be used, collected and
//! decoded in one call. Programs call [`decompress`] and [`detect`].
//!
//! Three rules hold for every format. Content that was decoded before an error, before the end of a truncated input or
//! before a failed read is written before the error is returned. Decoded content is written before the stream waits for
//! more input. A header is trusted only as far as the data confirm it: a member or frame that differs from its header
//! is put back and decoded in pieces.

mod block;
mod deflate;
mod detect;
mod lz4;
mod zstd;

use std::io::{Read, Write};
use std::sync::atomic::AtomicU64;

use accel_core::{Error, Format};
use crossbeam_channel::{Receiver, unbounded};
use zstd_safe::DCtx;

use self::block::{Block, Check, Checks, Decode, Trailer, Verdict, Work, Writing};
pub use self::detect::detect;
use super::pipeline::{self, Produced};
use super::source::{CountingReader, Source};
use super::{Engine, Settings, StreamError, Summary};
use crate::formats::{le32, lz4 as lz4_frame, may_begin_frame, zstd as zstd_frame};
use crate::software::deflate::StreamInflater;

type Result<T, E = StreamError> = std::result::Result<T, E>;

/// The number of plain bytes that serial decoding produces at a time.
const PIECE: usize = 1 << 20;
/// The largest gzip member that is decoded whole, in compressed and in plain bytes. Those of this crate and of QATzip
/// are smaller.
const MAX_MEMBER: usize = 2 << 20;
/// The largest Zstandard frame that is decoded whole, in plain bytes. With larger ones, memory would follow the data.
const MAX_FRAME: usize = 16 << 20;
/// The most compressed bytes that are collected for an engine that cannot decode in pieces, and the most plain bytes of
/// their content.
const MAX_REST: usize = 64 << 20;
const MAX_REST_PLAIN: usize = 512 << 20;

/// Decompresses everything that `input` yields to `output`. A `format` of `None` detects the format from the content.
///
/// Content that could be decoded from input that is damaged, truncated or unreadable is written before the error is
/// returned. It is not verified, because checksums follow the data that they cover.
///
/// # Errors
/// [`StreamError::Read`] and [`StreamError::Write`] where reader or writer fail; [`StreamError::Thread`] and
/// [`StreamError::Memory`] where the system refuses a thread or memory; [`StreamError::UnknownFormat`];
/// [`StreamError::WindowLimit`]; and [`StreamError::Work`] with [`Corrupt`](Error::Corrupt),
/// [`Truncated`](Error::Truncated) or [`TrailingData`](Error::TrailingData) for invalid input, with
/// [`Unsupported`](Error::Unsupported) for data that need a dictionary, with [`LimitExceeded`](Error::LimitExceeded),
/// and with any error of the accelerator.
///
/// # Examples
/// ```
/// use qat::accel_core::Error;
/// use qat::stream::{self, Engine, Settings, StreamError};
///
/// // A gzip member whose only block is an empty stored block that is truncated.
/// let truncated = [0x1f, 0x8b, 8, 0, 0, 0, 0, 0, 0, 0xff, 1, 0];
/// let engine = Engine::software(&qat::SoftwareAccelerator::new());
/// let result = stream::decompress(&truncated[..], Vec::new(), &engine, None, &Settings::default());
/// assert!(matches!(result, Err(StreamError::Work(Error::Truncated { .. }))));
/// ```
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
    let mut source = Source::new(CountingReader::new(input, &settings.progress));
    let (format, skipped) = match format {
        Some(format) => (format, false),
        None => detect::detect_source(&mut source)?,
    };
    let written = AtomicU64::new(0);
    let work = Work { engine, limit: settings.limit, written: &written };
    let (verdicts, outcome) = unbounded();
    let mut decoder = Decoder::new(source, format, skipped, &work, settings.window_limit, outcome)?;
    let mut summary = Summary::new(Some(format));
    let mut writing = Writing {
        output: &mut output,
        summary: &mut summary,
        settings,
        written: &written,
        checks: Checks::default(),
        verdicts,
        returning: false,
    };
    pipeline::run(
        settings.threads,
        |block: &mut Block| Ok(decoder.fill(block)),
        |block| work.decode(block),
        move |block| writing.write(block),
    )?;
    output.flush().map_err(StreamError::Write)?;
    summary.bytes_in = decoder.source.taken();
    Ok(summary)
}

/// The producing side: it finds blocks, or decodes data that cannot be cut.
struct Decoder<'a, R> {
    source: Source<R>,
    format: Format,
    state: DecoderState,
    /// Whether at least one member or frame was read.
    any: bool,
    work: &'a Work<'a>,
    window_limit: u64,
    inflater: Option<StreamInflater>,
    zstd: Option<DCtx<'static>>,
    /// The number of whole members and frames that workers have not reported yet, and the channel for their results.
    outstanding: usize,
    verdicts: Receiver<Verdict>,
    /// The compressed bytes that were returned and must be put back, and the reason.
    returned: Vec<u8>,
    refused: Option<StreamError>,
    /// Whether members and frames that state their length go to workers. It is cleared by the first one that is wrong.
    trusting: bool,
    /// The number of plain bytes that all blocks so far contain or claim to contain.
    promised: u64,
}

enum DecoderState {
    /// Before a member, before a frame, or at the end.
    Between,
    /// Inside deflate data that are decoded in pieces.
    Inflating,
    /// After deflate data, before the trailer.
    Trailer,
    /// Inside an LZ4 frame.
    Lz4(lz4_frame::Descriptor, Window),
    /// Inside a legacy LZ4 frame, before its first block or a later one.
    Lz4Legacy {
        is_first: bool,
    },
    /// Inside a Zstandard frame that is decoded in pieces.
    Zstd(zstd::Position),
    Ended,
}

/// The last bytes of content, which a linked LZ4 block may refer to.
type Window = Vec<u8>;

impl<'a, R: Read> Decoder<'a, R> {
    fn new(
        source: Source<R>,
        format: Format,
        any: bool,
        work: &'a Work<'a>,
        window_limit: u64,
        verdicts: Receiver<Verdict>,
    ) -> Result<Self> {
        if format == Format::Lz4Block {
            return Err(Error::InvalidArgument {
                argument: "format",
                remedy: "a bare LZ4 block has no stream form: use the LZ4 frame".into(),
            }
            .into());
        }
        Ok(Self {
            source,
            format,
            state: DecoderState::Between,
            any,
            work,
            window_limit,
            inflater: None,
            zstd: None,
            outstanding: 0,
            verdicts,
            returned: Vec::new(),
            refused: None,
            trusting: true,
            promised: 0,
        })
    }

    /// Fills `block` with the next content. An error ends the stream after what `block` contains already.
    fn fill(&mut self, block: &mut Block) -> Produced {
        block.renew();
        self.next(block).unwrap_or_else(|failure| {
            (block.decode, block.failure) = (None, Some(failure));
            Produced::Last
        })
    }

    fn next(&mut self, block: &mut Block) -> Result<Produced> {
        loop {
            let produced = match &self.state {
                DecoderState::Ended => {
                    self.source.check_end()?;
                    return Ok(Produced::End);
                }
                DecoderState::Between => self.begin(block)?,
                DecoderState::Inflating => self.inflate(block)?,
                DecoderState::Trailer => self.trailer(block)?,
                DecoderState::Lz4(..) => self.lz4_block(block)?,
                &DecoderState::Lz4Legacy { is_first } => self.lz4_legacy_block(is_first, block)?,
                DecoderState::Zstd(_) => self.zstd_piece(block)?,
            };
            if produced {
                self.promised += block.plain_len as u64;
                return Ok(Produced::Block);
            }
        }
    }

    /// Begins the next member or frame, and returns whether `block` was filled with all of it.
    fn begin(&mut self, block: &mut Block) -> Result<bool> {
        while let Ok(verdict) = self.verdicts.try_recv() {
            self.learn(verdict)?;
        }
        if self.trusting && self.take_whole(block)? {
            self.any = true;
            self.outstanding += 1;
            return Ok(true);
        }
        // The results of all outstanding members and frames are needed first. Where a worker returned one, it is put
        // back and decoded next.
        while self.outstanding > 0 {
            // The channel is closed only where the stream has failed already.
            let Ok(verdict) = self.verdicts.recv() else { break };
            self.learn(verdict)?;
        }
        if !self.returned.is_empty() {
            self.source.put_back(&std::mem::take(&mut self.returned))?;
        }
        match self.format {
            Format::Gzip => self.begin_member(block),
            Format::Zlib | Format::Deflate if self.any => {
                if !self.source.peek(1).is_empty() {
                    return self.trailing();
                }
                self.state = DecoderState::Ended;
                Ok(false)
            }
            Format::Zlib => self.begin_zlib(block),
            Format::Deflate if !self.work.engine.is_serial() => self.rest(block),
            Format::Deflate => {
                self.begin_inflate();
                Ok(false)
            }
            _ => self.begin_frame(block),
        }
    }

    /// Records the result for a whole member or frame.
    fn learn(&mut self, verdict: Verdict) -> Result<()> {
        self.outstanding -= 1;
        if let Verdict::Returned(packed, failure) = verdict {
            self.trusting = false;
            self.refused = self.refused.take().or(failure);
            pipeline::reserve(&mut self.returned, packed.len())?;
            self.returned.extend_from_slice(&packed);
        }
        Ok(())
    }

    /// Fills `block` with a whole member or frame, where the next one states its length, is short enough, and is
    /// available.
    fn take_whole(&mut self, block: &mut Block) -> Result<bool> {
        let found = match self.format {
            Format::Gzip => self.whole_member(&mut block.packed)?,
            Format::Zstd => self.whole_frame(&mut block.packed)?,
            _ => None,
        };
        let Some((head, plain)) = found else {
            self.source.put_back(&block.packed)?;
            block.packed.clear();
            return Ok(false);
        };
        self.promised += plain as u64;
        block.decode = Some(Decode::Whole { format: self.format, head, plain });
        Ok(true)
    }

    /// Returns `plain` where that many bytes may be decoded in one call: at most `most`, and no more than the limit of
    /// the stream leaves.
    fn fits(&self, plain: u64, most: usize) -> Option<usize> {
        let plain = usize::try_from(plain).ok().filter(|plain| *plain <= most)?;
        (self.promised.saturating_add(plain as u64) <= self.work.limit).then_some(plain)
    }

    /// Returns the error for input that ends, or cannot be read, where data are missing.
    fn truncated<T>(&mut self) -> Result<T> {
        Err(self.source.ended_early(self.format))
    }

    /// Returns the error for unexpected data after the end, or the error of the reader where it failed before the data
    /// were complete enough to decide.
    fn trailing<T>(&mut self) -> Result<T> {
        self.source.check_end()?;
        Err(Error::TrailingData { format: self.format, consumed: self.source.taken() }.into())
    }

    /// Fills `block` with the rest of the input, for an engine that cannot decode in pieces.
    fn rest(&mut self, block: &mut Block) -> Result<bool> {
        let before = self.source.taken();
        if !self.source.take_rest(MAX_REST, &mut block.packed)? {
            let too_long = self.work.engine.unsupported_rest(self.format, MAX_REST, "compressed");
            return Err(self.refused.take().unwrap_or(too_long.into()));
        }
        block.decode = Some(Decode::Rest { format: self.format, before });
        self.state = DecoderState::Ended;
        Ok(true)
    }

    /// Begins an LZ4 or Zstandard frame, or skips a skippable frame, which both formats have.
    fn begin_frame(&mut self, block: &mut Block) -> Result<bool> {
        let head = self.source.peek(4);
        if head.is_empty() && self.any {
            self.state = DecoderState::Ended;
            return Ok(false);
        }
        let is_cut_off = head.len() < 4 && may_begin_frame(head, self.format);
        match le32(head) {
            Some(magic) if lz4_frame::is_skippable(magic) => {
                self.any = true;
                if detect::skip_source(&mut self.source)? { Ok(false) } else { self.truncated() }
            }
            Some(lz4_frame::MAGIC) if self.format == Format::Lz4Frame => self.begin_lz4(block),
            Some(lz4_frame::LEGACY_MAGIC) if self.format == Format::Lz4Frame => {
                self.any = true;
                self.source.consume(4)?;
                self.state = DecoderState::Lz4Legacy { is_first: true };
                Ok(false)
            }
            Some(zstd_frame::MAGIC) if self.format == Format::Zstd => self.begin_zstd(),
            _ if self.any => self.trailing(),
            None if is_cut_off => self.truncated(),
            _ => {
                let detail = format!("no {} frame signature", self.format).into();
                Err(Error::Corrupt { format: self.format, detail }.into())
            }
        }
    }
}
