//! Zstandard on the CPU.

use std::cell::RefCell;

use accel_core::{Error, Format, Level, Result};
use zstd_safe::{CCtx, CParameter, DCtx, ResetDirective};

use super::output::Output;
use crate::container::{
    le32,
    lz4::is_skippable,
    may_begin_frame,
    zstd::{MAGIC, parse_header},
};

const MAX_LEVEL: u8 = 22;
const FORMAT: Format = Format::Zstd;

thread_local! {
    static COMPRESSOR: RefCell<Option<CCtx<'static>>> = const { RefCell::new(None) };
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
pub(crate) fn bound(len: usize) -> usize {
    zstd_safe::compress_bound(len)
}

pub(crate) fn internal(code: usize) -> Error {
    Error::Internal { engine: "zstd", detail: zstd_safe::get_error_name(code).into() }
}

/// Whether zstd's error is the one named so in its own words (`zstd_errors.h`).
fn is(code: usize, text: &str) -> bool {
    zstd_safe::get_error_name(code) == text
}

const TOO_SMALL: &str = "Destination buffer is too small";
const SOURCE_WRONG: &str = "Src size is incorrect";

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

/// Decompresses all frames of `input`.
pub(crate) fn decompress(input: &[u8], output: &mut Output<'_>) -> Result<()> {
    let mut at = 0;
    while at < input.len() || at == 0 {
        let rest = &input[at..];
        let magic = le32(rest);
        if magic == Some(MAGIC) {
            parse_header(rest)?.ok_or(Error::Truncated { format: FORMAT })?.check_supported()?;
        } else if !magic.is_some_and(is_skippable) {
            return Err(match magic {
                _ if at > 0 => Error::TrailingData { format: FORMAT, consumed: at as u64 },
                None if may_begin_frame(rest, FORMAT) => Error::Truncated { format: FORMAT },
                _ => Error::Corrupt { format: FORMAT, detail: "no Zstandard frame signature".into() },
            });
        }
        let len = zstd_safe::find_frame_compressed_size(rest).map_err(|code| {
            // Here the size of the input is wrong only where it ends inside the frame.
            if is(code, SOURCE_WRONG) { Error::Truncated { format: FORMAT } } else { corrupt(code) }
        })?;
        decompress_frame(&rest[..len], output)?;
        at += len;
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
