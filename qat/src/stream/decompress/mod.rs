//! Decompressing a stream: members, frames and blocks that say how long they are go to all cores, the rest is decoded
//! piece by piece by the thread that reads, or, where the CPU must not be used, collected and decoded at once.
//!
//! Three rules hold for every format. What was decoded before an error, before the end of a truncated input or before a
//! read that fails is written before the error is returned. What was decoded is written before anybody waits for more
//! input. And a header is believed only as far as the data confirm it: a member or frame that is not what it says is put
//! back and decoded piece by piece.

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

use self::block::{Block, Check, Checks, Decode, End, Verdict, Work, Writing};
pub use self::detect::detect;
use super::pipeline::{self, Produced};
use super::source::{Counted, Source};
use super::{Engine, Settings, StreamError, Summary};
use crate::formats::{le32, lz4 as lz4_frame, may_begin_frame, zstd as zstd_frame};
use crate::software::deflate::StreamInflater;

type Result<T, E = StreamError> = std::result::Result<T, E>;

/// Plain bytes that serial decoding makes at a time.
const PIECE: usize = 1 << 20;
/// Largest gzip member that is decoded whole, in packed and in plain bytes: ours and QATzip's are smaller.
const MAX_MEMBER: usize = 2 << 20;
/// Largest Zstandard frame that is decoded whole, in plain bytes: beyond it, memory would follow the data.
const MAX_FRAME: usize = 16 << 20;
/// Most packed bytes that are collected for an engine that has no piece-by-piece decoding, and most plain bytes of them.
const MAX_REST: usize = 64 << 20;
const MAX_REST_PLAIN: usize = 512 << 20;

/// Decompresses everything that `input` yields to `output`; `format` of `None` recognises it by content.
///
/// What can be decoded of input that is damaged, cut off or cannot be read to its end is written before the error is
/// returned. It is not verified: checksums stand behind what they cover.
///
/// # Errors
/// [`StreamError::Read`], [`StreamError::Write`], [`StreamError::UnknownFormat`]; [`StreamError::Work`] with
/// [`Corrupt`](Error::Corrupt), [`Truncated`](Error::Truncated) or [`TrailingData`](Error::TrailingData) for bad
/// input, [`Unsupported`](Error::Unsupported) for data that need a dictionary,
/// [`LimitExceeded`](Error::LimitExceeded), and what the engine may fail with; [`StreamError::WindowLimit`] and
/// [`StreamError::Memory`].
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

/// The producing side: finds blocks, or decodes what cannot be cut.
struct Decoder<'a, R> {
    source: Source<R>,
    format: Format,
    state: State,
    /// At least one member or frame was read.
    any: bool,
    work: &'a Work<'a>,
    window_limit: u64,
    inflater: Option<StreamInflater>,
    zstd: Option<DCtx<'static>>,
    /// Whole members and frames that workers have, and where they say what became of them.
    outstanding: usize,
    verdicts: Receiver<Verdict>,
    /// What was returned, to be put back, and why.
    returned: Vec<u8>,
    refused: Option<StreamError>,
    /// Members and frames that state their length go to workers: none of them was wrong so far.
    trusting: bool,
    /// Plain bytes that all blocks so far hold or are said to hold.
    promised: u64,
}

enum State {
    /// Before a member, a frame or the end.
    Between,
    /// Inside deflate data that is decoded piece by piece.
    Inflating,
    /// Behind deflate data, before the trailer.
    Trailer,
    /// Inside an LZ4 frame.
    Lz4(lz4_frame::Descriptor, Window),
    /// Inside a legacy LZ4 frame, before its first block or a later one.
    Lz4Legacy {
        is_first: bool,
    },
    /// Inside a Zstandard frame that is decoded piece by piece.
    Zstd(zstd::Position),
    Ended,
}

/// The last bytes that a linked LZ4 block may refer to.
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
            state: State::Between,
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

    /// Fills `block` with what comes next. An error ends the stream behind what `block` holds already.
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
                State::Ended => {
                    self.source.check_end()?;
                    return Ok(Produced::End);
                }
                State::Between => self.begin(block)?,
                State::Inflating => self.inflate(block)?,
                State::Trailer => self.trailer(block)?,
                State::Lz4(..) => self.lz4_block(block)?,
                &State::Lz4Legacy { is_first } => self.lz4_legacy_block(is_first, block)?,
                State::Zstd(_) => self.zstd_piece(block)?,
            };
            if produced {
                self.promised += block.plain_len as u64;
                return Ok(Produced::Block);
            }
        }
    }

    /// Begins the next member or frame; whether `block` was filled with all of it.
    fn begin(&mut self, block: &mut Block) -> Result<bool> {
        while let Ok(verdict) = self.verdicts.try_recv() {
            self.learn(verdict)?;
        }
        if self.trusting && self.take_whole(block)? {
            self.any = true;
            self.outstanding += 1;
            return Ok(true);
        }
        // What follows is decoded by this thread, or is the end, if the workers were given what they should be.
        while self.outstanding > 0 {
            // Nobody answers only where the stream has failed already.
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
                self.state = State::Ended;
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

    /// Takes note of what became of a whole member or frame.
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

    /// Fills `block` with a whole member or frame, where one that states its length comes next, is not too long, and is
    /// there.
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

    /// Whether so many plain bytes may be decoded at once: they are few enough, and the stream may still hold so many.
    fn fits(&self, plain: u64, most: usize) -> Option<usize> {
        let plain = usize::try_from(plain).ok().filter(|plain| *plain <= most)?;
        (self.promised.saturating_add(plain as u64) <= self.work.limit).then_some(plain)
    }

    /// The error for input that ends, or cannot be read, where something is missing.
    fn truncated<T>(&mut self) -> Result<T> {
        Err(self.source.ended_early(self.format))
    }

    /// The error for something else behind the end, unless reading failed before it was known what it is.
    fn trailing<T>(&mut self) -> Result<T> {
        self.source.check_end()?;
        Err(Error::TrailingData { format: self.format, consumed: self.source.taken() }.into())
    }

    /// Fills `block` with all that is left, for an engine that decodes nothing piece by piece.
    fn rest(&mut self, block: &mut Block) -> Result<bool> {
        let before = self.source.taken();
        if !self.source.take_rest(MAX_REST, &mut block.packed)? {
            let too_long = self.work.engine.unsupported_rest(self.format, MAX_REST, "compressed");
            return Err(self.refused.take().unwrap_or(too_long.into()));
        }
        block.decode = Some(Decode::Rest { format: self.format, before });
        self.state = State::Ended;
        Ok(true)
    }

    /// Begins an LZ4 or Zstandard frame, or skips one that both call skippable.
    fn begin_frame(&mut self, block: &mut Block) -> Result<bool> {
        let head = self.source.peek(4);
        if head.is_empty() && self.any {
            self.state = State::Ended;
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
                self.state = State::Lz4Legacy { is_first: true };
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
