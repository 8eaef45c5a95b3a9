//! Compression: formats, levels, options, and the trait.

use std::fmt;
use std::str::FromStr;

use crate::{BoxFuture, Completion, HardwareAccelerator, Outcome, Result};

/// A compressed format.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Format {
    /// Raw deflate (RFC 1951).
    Deflate,
    /// zlib (RFC 1950).
    Zlib,
    /// gzip (RFC 1952).
    Gzip,
    /// A bare LZ4 block: no header, no length, no checksum (LZ4 block format description).
    Lz4Block,
    /// LZ4 frame (LZ4 frame format description 1.6).
    Lz4Frame,
    /// Zstandard (RFC 8878).
    Zstd,
}

impl fmt::Display for Format {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Deflate => "deflate",
            Self::Zlib => "zlib",
            Self::Gzip => "gzip",
            Self::Lz4Block => "LZ4 block",
            Self::Lz4Frame => "LZ4",
            Self::Zstd => "Zstandard",
        })
    }
}

/// How hard to try.
///
/// The three names mean the same effort on every engine: on QAT the hardware levels 1, 6 and 9, on the CPU the
/// engine's own equivalents.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub enum Level {
    /// Speed first.
    Fast,
    /// The common middle.
    #[default]
    Balanced,
    /// Size first, within reason.
    Best,
    /// The format's own integer level.
    Exact(u8),
}

/// A text that is neither `fast`, `balanced`, `best` nor a number from 0 to 255.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("level {0:?} is not one of fast, balanced, best or a number")]
pub struct ParseLevelError(String);

impl FromStr for Level {
    type Err = ParseLevelError;

    fn from_str(s: &str) -> Result<Self, ParseLevelError> {
        match s {
            "fast" => Ok(Self::Fast),
            "balanced" => Ok(Self::Balanced),
            "best" => Ok(Self::Best),
            _ => s.parse().map(Self::Exact).map_err(|_| ParseLevelError(s.to_owned())),
        }
    }
}

impl fmt::Display for Level {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Fast => f.write_str("fast"),
            Self::Balanced => f.write_str("balanced"),
            Self::Best => f.write_str("best"),
            Self::Exact(level) => write!(f, "{level}"),
        }
    }
}

/// How the output of one call ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub enum End {
    /// The stream is complete.
    #[default]
    Final,
    /// More may follow. [`Format::Deflate`]: the output ends on a byte boundary; concatenated outputs, the last one
    /// [`Final`](End::Final), form one stream. [`Format::Zstd`]: the output is blocks (RFC 8878, section 3.1.1.2) that
    /// refer to nothing outside of them, none marked as the last; concatenated between a frame header, whose window is at
    /// least the longest input, and a last block, they form one frame. No other format has this.
    Open,
}

/// What to compress to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct CompressOptions {
    /// Format of the output.
    pub format: Format,
    /// Effort.
    pub level: Level,
    /// Whether more will follow.
    pub end: End,
}

impl CompressOptions {
    /// A complete stream of `format` at the balanced level.
    #[must_use]
    pub const fn new(format: Format) -> Self {
        Self { format, level: Level::Balanced, end: End::Final }
    }

    /// The same at another level.
    #[must_use]
    pub const fn level(mut self, level: Level) -> Self {
        self.level = level;
        self
    }

    /// The same with another end.
    #[must_use]
    pub const fn end(mut self, end: End) -> Self {
        self.end = end;
        self
    }
}

/// What to decompress from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct DecompressOptions {
    /// Format of the input.
    pub format: Format,
    /// Most bytes of output to produce; a decompression bomb ends here with
    /// [`Error::LimitExceeded`](crate::Error::LimitExceeded). It bounds memory too. Calls that write into the
    /// caller's buffer are bounded by that buffer as well.
    pub limit: usize,
}

impl DecompressOptions {
    /// 1 GiB, the limit when none is set.
    pub const DEFAULT_LIMIT: usize = 1 << 30;

    /// Input of `format`, at most [`DEFAULT_LIMIT`](Self::DEFAULT_LIMIT) bytes of output.
    #[must_use]
    pub const fn new(format: Format) -> Self {
        Self { format, limit: Self::DEFAULT_LIMIT }
    }

    /// The same with another limit in bytes.
    #[must_use]
    pub const fn limit(mut self, limit: usize) -> Self {
        self.limit = limit;
        self
    }
}

/// An accelerator of compression.
///
/// Inputs are whole: one call decompresses all members or frames of its input, and data after the last one is
/// [`Error::TrailingData`](crate::Error::TrailingData). For data that does not fit into memory use a stream.
pub trait CompressionAccelerator: HardwareAccelerator {
    /// Compresses `input` into a new vector.
    ///
    /// # Errors
    /// [`InvalidArgument`](crate::Error::InvalidArgument) for a level that the format does not have,
    /// [`Unsupported`](crate::Error::Unsupported), [`Unavailable`](crate::Error::Unavailable) or
    /// [`Device`](crate::Error::Device) as the accelerator has it.
    fn compress(&self, input: &[u8], options: &CompressOptions) -> Result<(Vec<u8>, Outcome)>;

    /// Compresses `input` into the front of `output`.
    ///
    /// # Errors
    /// As [`compress`](Self::compress), and [`OutputTooSmall`](crate::Error::OutputTooSmall);
    /// [`compress_bound`](Self::compress_bound) bytes are always enough.
    fn compress_into(&self, input: &[u8], output: &mut [u8], options: &CompressOptions) -> Result<Outcome>;

    /// Most bytes that `input_len` bytes can compress to.
    fn compress_bound(&self, input_len: usize, options: &CompressOptions) -> usize;

    /// Decompresses `input` into a new vector.
    ///
    /// # Errors
    /// [`Corrupt`](crate::Error::Corrupt), [`Truncated`](crate::Error::Truncated),
    /// [`TrailingData`](crate::Error::TrailingData) for bad input,
    /// [`LimitExceeded`](crate::Error::LimitExceeded), and what [`compress`](Self::compress) may fail with.
    fn decompress(&self, input: &[u8], options: &DecompressOptions) -> Result<(Vec<u8>, Outcome)>;

    /// Decompresses `input` into the front of `output`. Bytes of `output` behind the result are unspecified.
    ///
    /// # Errors
    /// As [`decompress`](Self::decompress), and [`OutputTooSmall`](crate::Error::OutputTooSmall).
    fn decompress_into(
        &self,
        input: &[u8],
        output: &mut [u8],
        options: &DecompressOptions,
    ) -> Result<Outcome>;

    /// [`compress`](Self::compress) as a future.
    fn compress_async(
        &self,
        input: Vec<u8>,
        options: CompressOptions,
    ) -> BoxFuture<Result<(Vec<u8>, Outcome)>>;

    /// [`compress_into`](Self::compress_into) as a future; `output.len()` is the room.
    fn compress_into_async(
        &self,
        input: Vec<u8>,
        output: Vec<u8>,
        options: CompressOptions,
    ) -> BoxFuture<Completion<Outcome>>;

    /// [`decompress`](Self::decompress) as a future.
    fn decompress_async(
        &self,
        input: Vec<u8>,
        options: DecompressOptions,
    ) -> BoxFuture<Result<(Vec<u8>, Outcome)>>;

    /// [`decompress_into`](Self::decompress_into) as a future; `output.len()` is the room.
    fn decompress_into_async(
        &self,
        input: Vec<u8>,
        output: Vec<u8>,
        options: DecompressOptions,
    ) -> BoxFuture<Completion<Outcome>>;
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn levels_parse_and_print() {
        for (text, level) in [
            ("fast", Level::Fast),
            ("balanced", Level::Balanced),
            ("best", Level::Best),
            ("7", Level::Exact(7)),
        ] {
            assert_eq!(text.parse::<Level>().unwrap(), level);
            assert_eq!(level.to_string(), text);
        }
        for bad in ["", "Fast", "256", "-1", "6.5"] {
            assert!(bad.parse::<Level>().is_err(), "{bad:?}");
        }
    }
}
