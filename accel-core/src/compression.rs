//! Compression: formats, levels, options, and the methods by which programs compress.
//!
//! Everything here describes a request; nothing here compresses. [`CompressionAccelerator`] turns each call into a job
//! for the accelerator.

use std::fmt;
use std::str::FromStr;

use crate::job::{into_buffer, to_vec, to_vec_async};
use crate::{
    BoxFuture, Checksum, Completion, HardwareAccelerator, Job, Outcome, Output, OwnedJob, OwnedOutput, Result,
};

/// Names a compressed format.
///
/// # Examples
/// ```
/// use accel_core::Format;
/// assert_eq!(Format::Zstd.to_string(), "Zstandard");
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Format {
    /// Raw deflate (RFC 1951).
    Deflate,
    /// zlib (RFC 1950).
    Zlib,
    /// gzip (RFC 1952).
    Gzip,
    /// A bare LZ4 block without header, length or checksum (LZ4 block format description).
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

/// Says how much time to spend on a smaller output.
///
/// The three names mean the same effort on every engine: the hardware levels 1, 6 and 9 on QAT, and the engine's own
/// equivalents on the CPU.
///
/// # Examples
/// ```
/// use accel_core::Level;
/// assert_eq!("best".parse::<Level>()?, Level::Best);
/// assert_eq!(Level::from(7), Level::Exact(7));
/// # Ok::<(), accel_core::ParseLevelError>(())
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub enum Level {
    /// Speed matters more than size.
    Fast,
    /// Speed and size matter alike; the usual default of command-line tools.
    #[default]
    Balanced,
    /// Size matters more than speed.
    Best,
    /// The format's own integer level, as the standard tools number it.
    Exact(u8),
}

impl From<u8> for Level {
    /// Makes the format's own integer level. Whether the format has it is checked when it is used.
    fn from(level: u8) -> Self {
        Self::Exact(level)
    }
}

/// The error for a text that is neither `fast`, `balanced`, `best` nor a number from 0 to 255.
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

/// Says how the output of one call ends.
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

/// Describes one compression: the format, the level, and how the output ends.
///
/// # Examples
/// ```
/// use accel_core::{CompressOptions, Format, Level};
///
/// let options = CompressOptions::new(Format::Gzip).level(Level::Best);
/// assert_eq!(options.format, Format::Gzip);
/// // Where the default level will do, the format alone is enough.
/// assert_eq!(CompressOptions::from(Format::Zstd).level, Level::Balanced);
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct CompressOptions {
    /// The format of the output.
    pub format: Format,
    /// How much time to spend on a smaller output.
    pub level: Level,
    /// Whether the output is complete or more will follow.
    pub end: End,
}

impl CompressOptions {
    /// Describes a complete stream of `format` at the balanced level.
    #[must_use]
    pub const fn new(format: Format) -> Self {
        Self { format, level: Level::Balanced, end: End::Final }
    }

    /// Returns these options with another level.
    #[must_use]
    pub const fn level(mut self, level: Level) -> Self {
        self.level = level;
        self
    }

    /// Returns these options with another end.
    #[must_use]
    pub const fn end(mut self, end: End) -> Self {
        self.end = end;
        self
    }

    /// Returns the largest number of bytes that `input_len` bytes can become in this format, by any accelerator: what
    /// cannot be compressed is stored.
    ///
    /// # Examples
    /// ```
    /// use accel_core::{CompressOptions, Format};
    /// // The bound of the reference implementation, `LZ4_COMPRESSBOUND`.
    /// assert_eq!(CompressOptions::new(Format::Lz4Block).bound(1000), 1019);
    /// ```
    #[must_use]
    pub const fn bound(&self, input_len: usize) -> usize {
        /// The longest header: magic number, flags, content size, dictionary number and checksum (LZ4 frame format 1.6).
        const LZ4_HEADER: usize = 4 + 2 + 8 + 4 + 1;
        let extra = match self.format {
            // A stored block has 5 bytes beside its content, and no encoder makes a short one of more than 5,000 bytes. An
            // open end takes 5 bytes.
            Format::Deflate => input_len / 512 + 128,
            Format::Zlib => input_len / 512 + 128 + 6,
            Format::Gzip => input_len / 512 + 128 + 18,
            Format::Lz4Block => input_len / 255 + 16,
            // A block is stored rather than expanded; the shortest full one has 64 KiB. End mark and checksum follow.
            Format::Lz4Frame => (input_len / (64 << 10) + 1) * 4 + LZ4_HEADER + 8,
            // `ZSTD_COMPRESSBOUND` of the reference implementation; in an open frame the end of a part can take a block
            // header more.
            Format::Zstd => {
                let small = if input_len < 128 << 10 { ((128 << 10) - input_len) >> 11 } else { 0 };
                input_len / 256 + small + 16
            }
        };
        input_len.saturating_add(extra)
    }
}

impl From<Format> for CompressOptions {
    /// Describes a complete stream of `format` at the balanced level.
    fn from(format: Format) -> Self {
        Self::new(format)
    }
}

/// Describes one decompression: the format, and how much output it may produce.
///
/// # Examples
/// ```
/// use accel_core::{DecompressOptions, Format};
///
/// let options = DecompressOptions::new(Format::Gzip).limit(64 << 20);
/// assert_eq!(options.limit, 64 << 20);
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct DecompressOptions {
    /// The format of the input.
    pub format: Format,
    /// The largest output in bytes. A decompression bomb ends there with
    /// [`Error::LimitExceeded`](crate::Error::LimitExceeded), so the limit bounds memory too. Calls that write into the
    /// caller's buffer are bounded by that buffer as well.
    pub limit: usize,
}

impl DecompressOptions {
    /// The limit in bytes when none is set: 1 GiB.
    pub const DEFAULT_LIMIT: usize = 1 << 30;

    /// Describes input of `format` that may decompress to [`DEFAULT_LIMIT`](Self::DEFAULT_LIMIT) bytes at most.
    #[must_use]
    pub const fn new(format: Format) -> Self {
        Self { format, limit: Self::DEFAULT_LIMIT }
    }

    /// Returns these options with another limit in bytes.
    #[must_use]
    pub const fn limit(mut self, limit: usize) -> Self {
        self.limit = limit;
        self
    }
}

impl From<Format> for DecompressOptions {
    /// Describes input of `format` that may decompress to [`DEFAULT_LIMIT`](Self::DEFAULT_LIMIT) bytes at most.
    fn from(format: Format) -> Self {
        Self::new(format)
    }
}

/// The methods by which programs compress and decompress. Every [`HardwareAccelerator`] has them.
///
/// Inputs are whole: one call decompresses all members or frames of its input, and data after the last one is
/// [`Error::TrailingData`](crate::Error::TrailingData). Data that do not fit into memory need a stream.
///
/// # Examples
/// ```
/// use accel_core::{CompressOptions, CompressionAccelerator, DecompressOptions, Format, Result};
///
/// fn round_trip(accelerator: &dyn CompressionAccelerator, data: &[u8]) -> Result<()> {
///     let (packed, outcome) = accelerator.compress(data, &CompressOptions::new(Format::Gzip))?;
///     println!("{} bytes by {}", packed.len(), outcome.path);
///     let (plain, _) = accelerator.decompress(&packed, &DecompressOptions::new(Format::Gzip))?;
///     assert_eq!(plain, data);
///     Ok(())
/// }
/// ```
pub trait CompressionAccelerator: HardwareAccelerator {
    /// Compresses `input` into a new vector.
    ///
    /// # Errors
    /// [`InvalidArgument`](crate::Error::InvalidArgument) for a level that the format does not have,
    /// [`Unsupported`](crate::Error::Unsupported), [`Unavailable`](crate::Error::Unavailable) or
    /// [`Device`](crate::Error::Device) when the accelerator cannot do it.
    #[inline]
    fn compress(&self, input: &[u8], options: &CompressOptions) -> Result<(Vec<u8>, Outcome)> {
        to_vec(self, Job::Compress(*options), input)
    }

    /// Compresses `input` into the front of `output`.
    ///
    /// # Errors
    /// As [`compress`](Self::compress), and [`OutputTooSmall`](crate::Error::OutputTooSmall);
    /// [`compress_bound`](Self::compress_bound) bytes are always enough.
    #[inline]
    fn compress_into(&self, input: &[u8], output: &mut [u8], options: &CompressOptions) -> Result<Outcome> {
        into_buffer(self, Job::Compress(*options), input, output)
    }

    /// Returns the largest number of bytes that `input_len` bytes can compress to: the format's own bound, which holds for
    /// every accelerator.
    fn compress_bound(&self, input_len: usize, options: &CompressOptions) -> usize {
        options.bound(input_len)
    }

    /// Decompresses `input` into a new vector.
    ///
    /// # Errors
    /// [`Corrupt`](crate::Error::Corrupt), [`Truncated`](crate::Error::Truncated),
    /// [`TrailingData`](crate::Error::TrailingData) for bad input,
    /// [`LimitExceeded`](crate::Error::LimitExceeded), and what [`compress`](Self::compress) may fail with.
    #[inline]
    fn decompress(&self, input: &[u8], options: &DecompressOptions) -> Result<(Vec<u8>, Outcome)> {
        to_vec(self, Job::Decompress(*options), input)
    }

    /// Decompresses `input` into the front of `output`. Bytes of `output` behind the result are unspecified.
    ///
    /// # Errors
    /// As [`decompress`](Self::decompress), and [`OutputTooSmall`](crate::Error::OutputTooSmall).
    #[inline]
    fn decompress_into(
        &self,
        input: &[u8],
        output: &mut [u8],
        options: &DecompressOptions,
    ) -> Result<Outcome> {
        into_buffer(self, Job::Decompress(*options), input, output)
    }

    /// Computes a checksum of `input`; one of 32 bits is zero-extended.
    ///
    /// # Errors
    /// [`Unsupported`](crate::Error::Unsupported) or [`Unavailable`](crate::Error::Unavailable) when the accelerator cannot
    /// do it.
    ///
    /// # Examples
    /// ```
    /// use accel_core::{Checksum, CompressionAccelerator, HardwareAccelerator, Result};
    ///
    /// /// Checks the value that the catalogue of CRCs lists for CRC-32.
    /// fn check(accelerator: &dyn HardwareAccelerator) -> Result<()> {
    ///     assert_eq!(accelerator.checksum(Checksum::Crc32, b"123456789")?.0, 0xCBF4_3926);
    ///     Ok(())
    /// }
    /// ```
    fn checksum(&self, checksum: Checksum, input: &[u8]) -> Result<(u64, Outcome)> {
        let mut bytes = [0; 8];
        let mut output = Output::fixed(&mut bytes);
        let outcome = self.execute(Job::Checksum(checksum), input, &mut output)?;
        let value = output.filled().iter().fold(0, |value, byte| value << 8 | u64::from(*byte));
        Ok((value, outcome))
    }

    /// Does what [`compress`](Self::compress) does, as a future.
    #[inline]
    fn compress_async(
        &self,
        input: Vec<u8>,
        options: CompressOptions,
    ) -> BoxFuture<Result<(Vec<u8>, Outcome)>> {
        to_vec_async(self, OwnedJob::Compress(options), input)
    }

    /// Does what [`compress_into`](Self::compress_into) does, as a future; `output.len()` is the room in bytes.
    #[inline]
    fn compress_into_async(
        &self,
        input: Vec<u8>,
        output: Vec<u8>,
        options: CompressOptions,
    ) -> BoxFuture<Completion<Outcome>> {
        self.submit(OwnedJob::Compress(options), input, OwnedOutput::Buffer(output))
    }

    /// Does what [`decompress`](Self::decompress) does, as a future.
    #[inline]
    fn decompress_async(
        &self,
        input: Vec<u8>,
        options: DecompressOptions,
    ) -> BoxFuture<Result<(Vec<u8>, Outcome)>> {
        to_vec_async(self, OwnedJob::Decompress(options), input)
    }

    /// Does what [`decompress_into`](Self::decompress_into) does, as a future; `output.len()` is the room in bytes.
    #[inline]
    fn decompress_into_async(
        &self,
        input: Vec<u8>,
        output: Vec<u8>,
        options: DecompressOptions,
    ) -> BoxFuture<Completion<Outcome>> {
        self.submit(OwnedJob::Decompress(options), input, OwnedOutput::Buffer(output))
    }
}

impl<A: HardwareAccelerator + ?Sized> CompressionAccelerator for A {}

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
