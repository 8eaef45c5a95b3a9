//! Whole jobs on the CPU, for the accelerators that run them there and say why.

use accel_core::{CompressOptions, End, Error, ExecutedOn, Format, Job, Outcome, Output, Result};

use super::{cipher, deflate, hash, hmac, lz4, zstd};
use crate::formats::{gzip, zlib};
use crate::job::size_hint;

/// Runs a job on the CPU and says that it ran on `path`.
pub(crate) fn execute(
    job: Job<'_>,
    input: &[u8],
    output: &mut Output<'_>,
    path: ExecutedOn,
) -> Result<Outcome> {
    match job {
        Job::Compress(options) => {
            let room = output.room_for(job.output_bound(input.len()))?;
            let written = compress(input, room, &options)?;
            output.advance(written);
        }
        Job::Decompress(options) => {
            output.expect(size_hint(input, options.format));
            decompress(input, output, options.format)?;
        }
        Job::Encrypt(key, options) => {
            let room = output.room_for(job.output_bound(input.len()))?;
            let written = cipher::encrypt(key, input, room, options)?;
            output.advance(written);
        }
        Job::Decrypt(key, options) => {
            let room = output.room_for(job.output_bound(input.len()))?;
            let written = cipher::decrypt(key, input, room, options)?;
            output.advance(written);
        }
        Job::Checksum(checksum) => hash::write_checksum(checksum, input, output)?,
        Job::Digest(digest) => hash::write_digest(digest, input, output)?,
        Job::Hmac(key, digest) => hmac::hmac(key, digest, input, |mac| output.write(mac))??,
        other => return Err(other.unsupported(crate::error::SOFTWARE)),
    }
    Ok(Outcome { bytes_in: input.len(), bytes_out: output.written(), path })
}

fn unsupported(format: Format) -> Error {
    Error::Unsupported {
        accelerator: crate::error::SOFTWARE,
        operation: format.to_string().into(),
        remedy: "choose one of deflate, zlib, gzip, LZ4 and Zstandard".into(),
    }
}

/// Compresses to the front of `output`; the bytes written.
fn compress(input: &[u8], output: &mut [u8], options: &CompressOptions) -> Result<usize> {
    let &CompressOptions { format, level, end, .. } = options;
    check_end(format, end)?;
    let available = output.len();
    Ok(match format {
        Format::Deflate => deflate::deflate(input, output, deflate::level(format, level)?, end)?,
        Format::Gzip | Format::Zlib => {
            let level = deflate::level(format, level)?;
            let mut header = [0; gzip::HEADER_LEN];
            let mut trailer = [0; gzip::TRAILER_LEN];
            let (header, trailer) = if format == Format::Gzip {
                gzip::write_header(&mut header, None);
                trailer = gzip::trailer(libdeflater::crc32(input), input.len() as u64);
                (&header[..], &trailer[..])
            } else {
                header[..zlib::HEADER_LEN].copy_from_slice(&zlib::header(zlib_effort(level)));
                trailer[..zlib::TRAILER_LEN].copy_from_slice(&libdeflater::adler32(input).to_be_bytes());
                (&header[..zlib::HEADER_LEN], &trailer[..zlib::TRAILER_LEN])
            };
            let too_small =
                || Error::OutputTooSmall { required: Some(options.bound(input.len())), available };
            let wrapping = header.len() + trailer.len();
            let room = available.checked_sub(wrapping).ok_or_else(too_small)?;
            output[..header.len()].copy_from_slice(header);
            let body = &mut output[header.len()..][..room];
            let written = deflate::deflate(input, body, level, End::Final).map_err(|error| match error {
                Error::OutputTooSmall { .. } => too_small(),
                other => other,
            })?;
            output[header.len() + written..][..trailer.len()].copy_from_slice(trailer);
            wrapping + written
        }
        Format::Lz4Block => lz4::compress_block(input, output, lz4::level(format, level)?)?,
        Format::Lz4Frame => lz4::compress_frame(input, output, lz4::level(format, level)?)?,
        Format::Zstd => {
            let level = zstd::level(level)?;
            match end {
                End::Final => zstd::compress(input, output, level)?,
                End::Open => zstd::compress_open(input, output, level)?,
            }
        }
        other => return Err(unsupported(other)),
    })
}

/// Only raw deflate can stay open.
pub(crate) fn check_end(format: Format, end: End) -> Result<()> {
    if end == End::Final || matches!(format, Format::Deflate | Format::Zstd) {
        return Ok(());
    }
    Err(Error::InvalidArgument {
        argument: "end",
        remedy: format!("only raw deflate and Zstandard can stay open, not {format}").into(),
    })
}

/// RFC 1950's coarse name of a level.
pub(crate) const fn zlib_effort(level: u8) -> u8 {
    match level {
        0..=1 => 0,
        2..=5 => 1,
        6 => 2,
        _ => 3,
    }
}

/// Decompresses all of `input`.
fn decompress(input: &[u8], output: &mut Output<'_>, format: Format) -> Result<()> {
    match format {
        Format::Deflate => {
            let used = deflate::inflate(input, output, format)?;
            nothing_after(input, used, format)
        }
        Format::Zlib => {
            zlib::check_header(input)?.ok_or(Error::Truncated { format })?;
            let start = output.written();
            let used = zlib::HEADER_LEN + deflate::inflate(&input[zlib::HEADER_LEN..], output, format)?;
            let trailer = input[used..].first_chunk().ok_or(Error::Truncated { format })?;
            zlib::check_trailer(trailer, libdeflater::adler32(&output.filled()[start..]))?;
            nothing_after(input, used + zlib::TRAILER_LEN, format)
        }
        Format::Gzip => gunzip(input, output),
        Format::Lz4Block => lz4::decompress_bare_block(input, output),
        Format::Lz4Frame => lz4::decompress_frames(input, output),
        Format::Zstd => zstd::decompress(input, output),
        other => Err(unsupported(other)),
    }
}

/// An error for anything behind the first `consumed` bytes of `input`.
pub(crate) fn nothing_after(input: &[u8], consumed: usize, format: Format) -> Result<()> {
    if consumed == input.len() {
        return Ok(());
    }
    Err(Error::TrailingData { format, consumed: consumed as u64 })
}

fn gunzip(input: &[u8], output: &mut Output<'_>) -> Result<()> {
    let format = Format::Gzip;
    let mut at = 0;
    loop {
        let header = gzip::parse_header(&input[at..])?.ok_or(Error::Truncated { format })?;
        at += header.len;
        let start = output.written();
        at += deflate::inflate(&input[at..], output, format)?;
        let trailer = input[at..].first_chunk().ok_or(Error::Truncated { format })?;
        let plain = &output.filled()[start..];
        gzip::check_trailer(trailer, libdeflater::crc32(plain), plain.len() as u64)?;
        at += gzip::TRAILER_LEN;
        if !is_member_next(&input[at..], at)? {
            return Ok(());
        }
    }
}

/// Whether another gzip member begins `rest`, which stands behind `consumed` bytes of members.
pub(crate) fn is_member_next(rest: &[u8], consumed: usize) -> Result<bool> {
    // Zero padding after the last member is what tapes and block devices leave; gzip ignores it too.
    if rest.iter().all(|byte| *byte == 0) {
        return Ok(false);
    }
    if !rest.starts_with(&gzip::MAGIC) {
        return Err(Error::TrailingData { format: Format::Gzip, consumed: consumed as u64 });
    }
    Ok(true)
}

#[cfg(test)]
mod tests {
    use accel_core::CompressOptions;
    use libdeflater::{CompressionLvl, Compressor};

    use super::*;

    /// The bounds of the vocabulary hold for the libraries that do the work, by their own words.
    #[test]
    fn bounds_are_those_of_the_libraries() {
        let mut compressor = Compressor::new(CompressionLvl::default());
        let bound = |format, len| CompressOptions::new(format).bound(len);
        for len in (0..40).map(|shift| (1_usize << shift) - 1).chain([1, 5000, 131_072, 131_073, 4 << 20]) {
            assert_eq!(bound(Format::Zstd, len), zstd_safe::compress_bound(len) + 16, "{len}");
            assert!(bound(Format::Deflate, len) >= compressor.deflate_compress_bound(len), "{len}");
            assert!(bound(Format::Zlib, len) >= compressor.zlib_compress_bound(len), "{len}");
            assert!(bound(Format::Gzip, len) >= compressor.gzip_compress_bound(len), "{len}");
        }
    }
}
