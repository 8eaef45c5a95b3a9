//! Zstandard on the CPU.

use std::cell::RefCell;

use accel_core::{CompressOptions, Error, Format, Level, Output, Result};
use zstd_safe::{CCtx, CParameter, DCtx, InBuffer, OutBuffer, ResetDirective, zstd_sys::ZSTD_EndDirective};

use crate::formats::lz4::is_skippable;
use crate::formats::zstd::{MAGIC, frame_len, parse_header, unmark_last};
use crate::formats::{le32, may_begin_frame};

const MAX_LEVEL: u8 = 22;
const FORMAT: Format = Format::Zstd;
const SOURCE_WRONG: &str = "Src size is incorrect";

thread_local! {
    static COMPRESSOR: RefCell<Option<CCtx<'static>>> = const { RefCell::new(None) };
    static OPEN: RefCell<Option<CCtx<'static>>> = const { RefCell::new(None) };
    static DECOMPRESSOR: RefCell<Option<DCtx<'static>>> = const { RefCell::new(None) };
}

/// The integer level behind a named one.
pub(crate) fn level(level: Level) -> Result<u8> {
    match level {
        Level::Fast => Ok(1),
        Level::Balanced => Ok(3),
        Level::Best => Ok(12),
        Level::Exact(level @ 1..=MAX_LEVEL) => Ok(level),
        Level::Exact(level) => Err(Error::InvalidArgument {
            argument: "level",
            remedy: format!("{FORMAT} has levels 1 to {MAX_LEVEL}, not {level}").into(),
        }),
    }
}

/// Most bytes that `len` bytes compress to.
pub(crate) const fn bound(len: usize) -> usize {
    CompressOptions::new(Format::Zstd).bound(len)
}

pub(crate) fn internal(code: usize) -> Error {
    Error::Internal { engine: "zstd", detail: zstd_safe::get_error_name(code).into() }
}

/// Whether zstd's error is the one named so in its own words (`zstd_errors.h`).
fn is(code: usize, text: &str) -> bool {
    zstd_safe::get_error_name(code) == text
}

const TOO_SMALL: &str = "Destination buffer is too small";

/// Compresses `input` to one frame, with content size and checksum, at the front of `output`; the bytes written.
pub(crate) fn compress(input: &[u8], output: &mut [u8], level: u8) -> Result<usize> {
    COMPRESSOR.with_borrow_mut(|slot| {
        let context = slot.get_or_insert_with(CCtx::create);
        // A call that found too little room leaves its frame open.
        context.reset(ResetDirective::SessionOnly).map_err(internal)?;
        context.set_parameter(CParameter::CompressionLevel(i32::from(level))).map_err(internal)?;
        context.set_parameter(CParameter::ChecksumFlag(true)).map_err(internal)?;
        let available = output.len();
        context.compress2(output, input).map_err(|code| {
            if is(code, TOO_SMALL) {
                Error::OutputTooSmall { required: Some(bound(input.len())), available }
            } else {
                internal(code)
            }
        })
    })
}

/// Compresses `input` to blocks of a frame that others begin and end, at the front of `output`; the bytes written. None is
/// the last, none refers to what is before `input`, not even by a recent offset.
///
/// Such blocks are what libzstd's workers make of all jobs of a frame but the first: so the first is of one byte, and what
/// becomes of it is thrown away.
pub(crate) fn compress_open(input: &[u8], output: &mut [u8], level: u8) -> Result<usize> {
    if input.is_empty() {
        return Ok(0);
    }
    OPEN.with_borrow_mut(|slot| {
        let written = open_blocks(slot.get_or_insert_with(CCtx::create), input, output, level);
        if written.is_err() {
            // After a failure of its workers a context is of no use.
            *slot = None;
        }
        written
    })
}

fn open_blocks(context: &mut CCtx<'_>, input: &[u8], output: &mut [u8], level: u8) -> Result<usize> {
    let job_len = u32::try_from(input.len()).unwrap_or(u32::MAX).min(MAX_JOB_LEN);
    context.reset(ResetDirective::SessionOnly).map_err(internal)?;
    for parameter in [
        CParameter::CompressionLevel(i32::from(level)),
        CParameter::NbWorkers(1),
        // No job sees what is before it.
        CParameter::OverlapSizeLog(1),
        CParameter::JobSize(job_len),
    ] {
        context.set_parameter(parameter).map_err(internal)?;
    }
    let mut first = [0; 64];
    let (mut written, mut byte) = (OutBuffer::around(&mut first[..]), InBuffer::around(&[0]));
    while context
        .compress_stream2(&mut written, &mut byte, ZSTD_EndDirective::ZSTD_e_flush)
        .map_err(internal)?
        > 0
    {}
    let available = output.len();
    let mut written = OutBuffer::around(&mut *output);
    let mut rest = InBuffer::around(input);
    while context
        .compress_stream2(&mut written, &mut rest, ZSTD_EndDirective::ZSTD_e_end)
        .map_err(internal)?
        > 0
    {
        if written.pos() == available {
            return Err(Error::OutputTooSmall { required: Some(bound(input.len())), available });
        }
    }
    let written = written.pos();
    unmark_last(&mut output[..written])
        .ok_or_else(|| Error::Internal { engine: "zstd", detail: "its output is no blocks".into() })?;
    Ok(written)
}

/// `ZSTDMT_JOBSIZE_MAX`
const MAX_JOB_LEN: u32 = if cfg!(target_pointer_width = "64") { 1 << 30 } else { 512 << 20 };

/// Largest window that is written, as a power of two: the 8 MiB that RFC 8878 (section 3.1.1.1.2) asks every decoder to
/// support. libzstd's levels up to 19 stay within it.
const MAX_WINDOW_LOG: u32 = 23;

/// One frame of data that come piece by piece, with a checksum, compressed by libzstd's own worker threads.
pub(crate) struct StreamCompressor(CCtx<'static>);

/// Why a [`StreamCompressor`] failed.
pub(crate) enum StreamFault {
    /// Memory or a thread was refused; libzstd does not say which.
    Memory,
    Other(Error),
}

impl StreamFault {
    fn new(code: usize) -> Self {
        if is(code, "Allocation error : not enough memory") {
            Self::Memory
        } else {
            Self::Other(internal(code))
        }
    }
}

impl StreamCompressor {
    /// A compressor with this many worker threads, or on the calling thread where it is one. The frame states the length
    /// `len` where it is given; the pieces must have that length together.
    pub(crate) fn new(level: u8, threads: usize, len: Option<u64>) -> Result<Self, StreamFault> {
        let mut context = CCtx::try_create().ok_or(StreamFault::Memory)?;
        let workers =
            if threads > 1 { u32::try_from(threads).unwrap_or(u32::MAX).min(MAX_WORKERS) } else { 0 };
        let parameters = [
            CParameter::CompressionLevel(i32::from(level)),
            CParameter::ChecksumFlag(true),
            CParameter::NbWorkers(workers),
        ];
        let window = (level > MAX_LEVEL_WITHIN_WINDOW).then_some(CParameter::WindowLog(MAX_WINDOW_LOG));
        for parameter in parameters.into_iter().chain(window) {
            context.set_parameter(parameter).map_err(StreamFault::new)?;
        }
        context.set_pledged_src_size(len).map_err(StreamFault::new)?;
        Ok(Self(context))
    }

    /// Compresses `piece`, at once or later, and with `last` ends the frame; `write` gets what is ready.
    pub(crate) fn piece<E: From<StreamFault>>(
        &mut self,
        piece: &[u8],
        last: bool,
        room: &mut Vec<u8>,
        mut write: impl FnMut(&[u8]) -> Result<(), E>,
    ) -> Result<(), E> {
        room.resize(CCtx::out_size(), 0);
        let how = if last { ZSTD_EndDirective::ZSTD_e_end } else { ZSTD_EndDirective::ZSTD_e_continue };
        let mut input = InBuffer::around(piece);
        loop {
            let mut output = OutBuffer::around(&mut room[..]);
            let left = self.0.compress_stream2(&mut output, &mut input, how).map_err(StreamFault::new)?;
            let written = output.pos();
            write(&room[..written])?;
            let is_done = if last { left == 0 } else { input.pos == piece.len() };
            if is_done {
                return Ok(());
            }
        }
    }
}

/// `ZSTDMT_NBWORKERS_MAX` on 64-bit targets is 256.
const MAX_WORKERS: u32 = if cfg!(target_pointer_width = "64") { 256 } else { 64 };
/// Highest level whose window libzstd itself keeps within [`MAX_WINDOW_LOG`].
const MAX_LEVEL_WITHIN_WINDOW: u8 = 19;

/// Decompresses all frames of `input`.
pub(crate) fn decompress(input: &[u8], output: &mut Output<'_>) -> Result<()> {
    let truncated = || Error::Truncated { format: FORMAT };
    let mut at = 0;
    while at < input.len() || at == 0 {
        let rest = &input[at..];
        at += match le32(rest) {
            Some(MAGIC) => {
                let header = parse_header(rest)?.ok_or_else(truncated)?;
                header.check_supported()?;
                let len = frame_len(rest, &header)?.ok_or_else(truncated)?;
                decompress_frame(&rest[..len], output)?;
                len
            }
            Some(magic) if is_skippable(magic) => {
                let len = rest.get(4..).and_then(le32).ok_or_else(truncated)? as usize;
                rest[8..].get(..len).map(|skipped| 8 + skipped.len()).ok_or_else(truncated)?
            }
            _ if at > 0 => return Err(Error::TrailingData { format: FORMAT, consumed: at as u64 }),
            None if may_begin_frame(rest, FORMAT) => return Err(truncated()),
            _ => {
                return Err(Error::Corrupt { format: FORMAT, detail: "no Zstandard frame signature".into() });
            }
        };
    }
    Ok(())
}

fn decompress_frame(frame: &[u8], output: &mut Output<'_>) -> Result<()> {
    if let Ok(Some(size)) = zstd_safe::get_frame_content_size(frame)
        && !output.is_fixed()
    {
        // A forged size costs no more than an honest one of as many bytes: a block of four makes 128 KiB at most.
        let most = frame.len().saturating_mul(32 << 10);
        output.reserve(usize::try_from(size).unwrap_or(usize::MAX).min(most))?;
    }
    loop {
        match decompress_whole_frame(frame, output.room()) {
            Ok(written) => {
                output.advance(written);
                return Ok(());
            }
            Err(code) if is(code, TOO_SMALL) => output.grow()?,
            Err(code) => return Err(corrupt(code)),
        }
    }
}

/// Decompresses exactly one frame to the front of `output`; zstd's code on failure.
fn decompress_whole_frame(frame: &[u8], output: &mut [u8]) -> Result<usize, usize> {
    DECOMPRESSOR.with_borrow_mut(|slot| slot.get_or_insert_with(DCtx::create).decompress(output, frame))
}

/// The error for a frame, or a part of one, all of which is there.
pub(crate) fn corrupt(code: usize) -> Error {
    let detail = match zstd_safe::get_error_name(code) {
        // zstd's word also for a block whose parts do not add up to its length.
        SOURCE_WRONG => "a block is invalid",
        name => name,
    };
    Error::Corrupt { format: FORMAT, detail: detail.into() }
}

/// Whether zstd had no memory.
pub(crate) fn is_out_of_memory(code: usize) -> bool {
    is(code, "Allocation error : not enough memory")
}
