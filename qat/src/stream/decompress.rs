//! Decompressing a stream: members, frames and blocks that say how long they are go to all cores, the rest is decoded
//! piece by piece by the thread that reads, or, where the CPU must not be used, collected and decoded at once.

use std::hash::Hasher;
use std::io::{Read, Write};
use std::sync::atomic::Ordering;

use accel_core::{DecompressOptions, Error, Format, Path};
use libdeflater::{Adler32, Crc};
use twox_hash::XxHash32;
use zstd_safe::{DCtx, InBuffer, OutBuffer};

use super::pipeline::{self, Produced};
use super::source::{Counted, Source};
use super::{Engine, Settings, StreamError, Summary};
use crate::container::{gzip, le32, lz4 as lz4_frame, zlib, zstd as zstd_frame};
use crate::software::{self, deflate::StreamInflater};

type Result<T, E = StreamError> = std::result::Result<T, E>;

/// Plain bytes that serial decoding makes at a time.
const PIECE: usize = 1 << 20;
/// Largest member, frame or block that is decoded whole: beyond it, memory would follow the data.
const MAX_WHOLE: usize = 16 << 20;
/// Most packed bytes that are collected for an engine that has no piece-by-piece decoding, and most plain bytes of them.
const MAX_REST: usize = 64 << 20;
const MAX_REST_PLAIN: usize = 512 << 20;

/// A block on its way: packed, then plain.
#[derive(Default)]
struct Block {
    packed: Vec<u8>,
    plain: Vec<u8>,
    /// Bytes of `plain` that count.
    plain_len: usize,
    /// How to make `plain` from `packed`; `None` when it is made already.
    decode: Option<Decode>,
    /// Whether `plain` belongs to a checksum that `end` closes.
    check: Option<Check>,
    end: Option<End>,
    ran: Option<Path>,
    /// To be reported once `plain` is written.
    failure: Option<Error>,
}

impl Block {
    /// Ready to be filled, with its buffers.
    fn renew(&mut self) {
        self.packed.clear();
        self.plain_len = 0;
        (self.decode, self.check, self.end, self.ran, self.failure) = (None, None, None, None, None);
    }
}

/// A whole piece for a worker.
#[derive(Debug, Clone, Copy)]
enum Decode {
    /// Deflate data of `plain` bytes, then the member's trailer.
    Member { plain: usize },
    /// An LZ4 frame block of at most `max` bytes.
    Lz4 { max: usize, stored: bool, hash: Option<u32> },
    /// One whole Zstandard frame of `plain` bytes.
    Zstd { plain: usize },
    /// All the rest of a stream, which `before` bytes precede.
    Rest { format: Format, before: u64 },
}

/// A checksum that runs over several blocks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Check {
    Crc32,
    Adler32,
    XxHash32,
}

/// What must hold at the end of a member or frame.
#[derive(Debug, Clone, Copy)]
enum End {
    Gzip([u8; gzip::TRAILER_LEN]),
    Zlib([u8; zlib::TRAILER_LEN]),
    Lz4 { hash: Option<u32>, size: Option<u64> },
}

/// Recognises a format by the first bytes of a stream; raw deflate and bare LZ4 blocks cannot be.
#[must_use]
pub fn detect(mut head: &[u8]) -> Option<Format> {
    // LZ4 and Zstandard share skippable frames, and both decoders here read on behind them.
    let mut skipped = false;
    while le32(head).is_some_and(lz4_frame::is_skippable) {
        skipped = true;
        head = skip_frame(head).unwrap_or_default();
    }
    detect_unskipped(head).or(skipped.then_some(Format::Zstd))
}

/// What stands behind the skippable frame at the front of `head`, where that is in it.
fn skip_frame(head: &[u8]) -> Option<&[u8]> {
    let len = usize::try_from(head.get(4..).and_then(le32)?).ok()?;
    head.get(8..)?.get(len..)
}

fn detect_unskipped(head: &[u8]) -> Option<Format> {
    if head.starts_with(&gzip::MAGIC) {
        return Some(Format::Gzip);
    }
    match le32(head) {
        Some(zstd_frame::MAGIC) => return Some(Format::Zstd),
        Some(lz4_frame::MAGIC | lz4_frame::LEGACY_MAGIC) => return Some(Format::Lz4Frame),
        _ => {}
    }
    let head = *head.first_chunk()?;
    (zlib::is_header(head) && head[1] & 0x20 == 0).then_some(Format::Zlib)
}

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

/// A worker's part. `limit` is that of the whole stream's output.
fn decode(block: &mut Block, engine: &Engine, limit: u64) -> Result<()> {
    let Some(decode) = block.decode else { return Ok(()) };
    let into = |packed: &[u8], plain: &mut Vec<u8>, len: usize, format: Format| {
        let room = pipeline::room(plain, len);
        engine.compression.decompress_into(packed, room, &DecompressOptions::new(format))
    };
    match decode {
        Decode::Member { plain: expected } => {
            let format = Format::Gzip;
            let (packed, trailer) = block.packed.split_last_chunk().ok_or(Error::Truncated { format })?;
            let wrong =
                || Error::Corrupt { format, detail: "a member differs from what its QZ field says".into() };
            let done =
                into(packed, &mut block.plain, expected, Format::Deflate).map_err(|error| match error {
                    Error::TrailingData { .. } | Error::OutputTooSmall { .. } | Error::Truncated { .. } => {
                        wrong()
                    }
                    Error::Corrupt { detail, .. } => Error::Corrupt { format, detail },
                    other => other,
                })?;
            if done.bytes_out != expected {
                return Err(wrong().into());
            }
            gzip::check_trailer(trailer, libdeflater::crc32(&block.plain[..expected]), expected as u64)?;
            (block.plain_len, block.ran) = (expected, Some(done.path));
        }
        Decode::Lz4 { max, stored, hash } => {
            check_lz4_block(&block.packed, hash)?;
            if stored {
                std::mem::swap(&mut block.plain, &mut block.packed);
                block.plain_len = block.plain.len();
                return Ok(());
            }
            let done = into(&block.packed, &mut block.plain, max, Format::Lz4Block).map_err(|error| {
                match software::lz4::oversized(error, max) {
                    Error::Corrupt { detail, .. } => Error::Corrupt { format: Format::Lz4Frame, detail },
                    // The frame said how long the block is, so that a block that ends early is not what it seems.
                    Error::Truncated { .. } => {
                        Error::Corrupt { format: Format::Lz4Frame, detail: "a block is invalid".into() }
                    }
                    other => other,
                }
            })?;
            (block.plain_len, block.ran) = (done.bytes_out, Some(done.path));
        }
        Decode::Zstd { plain } => {
            let done =
                into(&block.packed, &mut block.plain, plain, Format::Zstd).map_err(|error| match error {
                    // The room is the frame's own word.
                    Error::OutputTooSmall { .. } => Error::Corrupt {
                        format: Format::Zstd,
                        detail: "the frame holds more than its content size".into(),
                    },
                    other => other,
                })?;
            (block.plain_len, block.ran) = (done.bytes_out, Some(done.path));
        }
        Decode::Rest { format, before } => decode_rest(block, engine, format, before, limit)?,
    }
    Ok(())
}

/// Decodes the rest of a stream at once; what is good before trailing data is kept.
fn decode_rest(block: &mut Block, engine: &Engine, format: Format, before: u64, limit: u64) -> Result<()> {
    let most = usize::try_from(limit).unwrap_or(usize::MAX).min(MAX_REST_PLAIN);
    let options = DecompressOptions::new(format).limit(most);
    let mut packed = &block.packed[..];
    let (plain, done) = loop {
        match engine.compression.decompress(packed, &options) {
            Ok(done) => break done,
            Err(Error::TrailingData { format, consumed }) if block.failure.is_none() => {
                packed = &packed[..consumed as usize];
                block.failure = Some(Error::TrailingData { format, consumed: before + consumed });
            }
            Err(Error::LimitExceeded { .. }) if limit > MAX_REST_PLAIN as u64 => {
                return Err(engine.unsupported_rest(format, MAX_REST_PLAIN, "decompressed").into());
            }
            Err(error) => return Err(error.into()),
        }
    };
    (block.plain, block.plain_len, block.ran) = (plain, done.bytes_out, Some(done.path));
    Ok(())
}

/// Checks the xxHash32 that an LZ4 frame carries for a block, if it does.
fn check_lz4_block(packed: &[u8], hash: Option<u32>) -> Result<(), Error> {
    let Some(hash) = hash else { return Ok(()) };
    software::lz4::check_hash(XxHash32::oneshot(0, packed), hash, "a block checksum does not match")
}

/// Running checksums, on the consumer's side.
struct Checks {
    crc: Crc,
    adler: Adler32,
    hash: XxHash32,
    length: u64,
}

impl Default for Checks {
    fn default() -> Self {
        Self { crc: Crc::new(), adler: Adler32::new(), hash: XxHash32::with_seed(0), length: 0 }
    }
}

impl Checks {
    fn update(&mut self, block: &Block) -> Result<()> {
        let plain = &block.plain[..block.plain_len];
        match block.check {
            Some(Check::Crc32) => self.crc.update(plain),
            Some(Check::Adler32) => self.adler.update(plain),
            Some(Check::XxHash32) => self.hash.write(plain),
            None => {}
        }
        self.length += plain.len() as u64;
        let Some(end) = block.end else { return Ok(()) };
        match end {
            End::Gzip(trailer) => gzip::check_trailer(&trailer, self.crc.sum(), self.length)?,
            End::Zlib(trailer) => zlib::check_trailer(&trailer, self.adler.sum())?,
            End::Lz4 { hash, size } => {
                if size.is_some_and(|size| size != self.length) {
                    let detail = "the content length does not match the header".into();
                    return Err(Error::Corrupt { format: Format::Lz4Frame, detail }.into());
                }
                if let Some(hash) = hash {
                    let actual = self.hash.finish() as u32;
                    software::lz4::check_hash(actual, hash, "the content checksum does not match")?;
                }
            }
        }
        *self = Self::default();
        Ok(())
    }
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

    fn begin_inflate(&mut self) {
        self.any = true;
        self.inflater.get_or_insert_with(StreamInflater::new).reset();
        self.state = State::Inflating;
    }

    fn begin_member(&mut self, block: &mut Block) -> Result<bool> {
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

    /// Fills `block` with the next piece of deflate data and closes the stream where it ends.
    fn inflate(&mut self, block: &mut Block) -> Result<bool> {
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

    /// One block of an LZ4 frame, or its end.
    fn lz4_block(&mut self, block: &mut Block) -> Result<bool> {
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
    fn linked_block(&mut self, block: &mut Block, max: usize, stored: bool, hash: Option<u32>) -> Result<()> {
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

    fn lz4_legacy_block(&mut self, block: &mut Block) -> Result<bool> {
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
    fn end_legacy(&mut self, block: &mut Block) -> Result<bool> {
        self.state = State::Between;
        block.end = Some(End::Lz4 { hash: None, size: None });
        Ok(true)
    }

    /// The next little-endian word.
    fn word(&mut self) -> Result<u32> {
        let word = le32(self.need(4)?).unwrap_or_default();
        self.source.consume(4);
        Ok(word)
    }

    /// A frame that says its size and is small enough goes to a worker whole, others are decoded here.
    fn begin_zstd(&mut self, block: &mut Block) -> Result<bool> {
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
    fn whole_zstd(&mut self, block: &mut Block, header: &zstd_frame::Header) -> Result<()> {
        let take = |source: &mut Source<R>, len: usize, block: &mut Block| -> Result<()> {
            if source.take(len, &mut block.packed)? {
                return Ok(());
            }
            Err(Error::Truncated { format: Format::Zstd }.into())
        };
        take(&mut self.source, header.len, block)?;
        loop {
            let head = self.need(zstd_frame::BLOCK_HEADER_LEN)?;
            let next = zstd_frame::parse_block_header([head[0], head[1], head[2]], header.max_block)?;
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

    fn zstd_piece(&mut self, block: &mut Block) -> Result<bool> {
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
