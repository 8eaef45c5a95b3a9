//! Whole operations on the CPU, for whoever runs them there and says why.

use accel_core::{
    CipherOptions, CompressOptions, DecompressOptions, Digest, Encrypted, End, Error, ExecutedOn, Format,
    Key, Operation, Outcome, Result,
};

use super::{cipher, deflate, hash, hmac, lz4, zstd};
use crate::formats::{gzip, zlib};
use crate::job::output::Output;

/// Runs an operation that needs no key, for the accelerator `name`.
pub(crate) fn process(
    name: &'static str,
    operation: &Operation,
    input: &[u8],
    path: ExecutedOn,
) -> Result<(Vec<u8>, Outcome)> {
    let output = match operation {
        Operation::Compress(options) => return compress(input, options, path),
        Operation::Decompress(options) => return decompress(input, options, path),
        Operation::Checksum(checksum) => hash::checksum_bytes(*checksum, input)?,
        Operation::Digest(digest) => hash::digest(*digest, input)?,
        other => return Err(refused(name, other)),
    };
    let outcome = Outcome { bytes_in: input.len(), bytes_out: output.len(), path };
    Ok((output, outcome))
}

/// The error for an operation that `process` does not run.
pub(crate) fn refused(name: &'static str, operation: &Operation) -> Error {
    let keyed = |call: &'static str| Error::Unsupported {
        accelerator: name,
        operation: operation.name().to_owned().into(),
        remedy: format!("process has no key, call EncryptionAccelerator::{call}").into(),
    };
    match operation {
        Operation::Encrypt => keyed("encrypt"),
        Operation::Decrypt => keyed("decrypt"),
        Operation::Hmac(_) => keyed("hmac"),
        other => Error::InvalidArgument {
            argument: "operation",
            remedy: format!("{name} knows compress, decompress, checksum and digest, not {:?}", other.name())
                .into(),
        },
    }
}

fn unsupported(format: Format) -> Error {
    Error::Unsupported {
        accelerator: super::NAME,
        operation: format.to_string().into(),
        remedy: "choose one of deflate, zlib, gzip, LZ4 and Zstandard".into(),
    }
}

/// Most bytes that `len` bytes compress to.
pub(crate) fn compress_bound(len: usize, options: &CompressOptions) -> usize {
    let wrapped = |wrapping: usize| deflate::bound(len).saturating_add(wrapping);
    match options.format {
        Format::Gzip => wrapped(gzip::HEADER_LEN + gzip::TRAILER_LEN),
        Format::Zlib => wrapped(zlib::HEADER_LEN + zlib::TRAILER_LEN),
        Format::Lz4Block => lz4::block_bound(len),
        Format::Lz4Frame => lz4::frame_bound(len),
        Format::Zstd => zstd::bound(len),
        _ => wrapped(0),
    }
}

/// Compresses into a new vector.
pub(crate) fn compress(
    input: &[u8],
    options: &CompressOptions,
    path: ExecutedOn,
) -> Result<(Vec<u8>, Outcome)> {
    let mut output = vec![0; compress_bound(input.len(), options)];
    let outcome = compress_into(input, &mut output, options, path)?;
    output.truncate(outcome.bytes_out);
    Ok((output, outcome))
}

/// Compresses to the front of `output`.
pub(crate) fn compress_into(
    input: &[u8],
    output: &mut [u8],
    options: &CompressOptions,
    path: ExecutedOn,
) -> Result<Outcome> {
    let &CompressOptions { format, level, end, .. } = options;
    check_end(format, end)?;
    let available = output.len();
    let bytes_out = match format {
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
                || Error::OutputTooSmall { required: Some(compress_bound(input.len(), options)), available };
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
    };
    Ok(Outcome { bytes_in: input.len(), bytes_out, path })
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

/// Decompresses into a new vector.
pub(crate) fn decompress(
    input: &[u8],
    options: &DecompressOptions,
    path: ExecutedOn,
) -> Result<(Vec<u8>, Outcome)> {
    let mut output = Output::growing(size_hint(input, options.format), options.limit);
    decompress_to(input, &mut output, options.format)?;
    let outcome = Outcome { bytes_in: input.len(), bytes_out: output.written(), path };
    Ok((output.into_vec(), outcome))
}

/// Decompresses to the front of `output`.
pub(crate) fn decompress_into(
    input: &[u8],
    output: &mut [u8],
    options: &DecompressOptions,
    path: ExecutedOn,
) -> Result<Outcome> {
    let mut output = Output::fixed(output, options.limit);
    decompress_to(input, &mut output, options.format)?;
    Ok(Outcome { bytes_in: input.len(), bytes_out: output.written(), path })
}

/// A first guess of the plain length. gzip's own length field is a hint, bounded by what deflate can reach (1032 : 1).
pub(crate) fn size_hint(input: &[u8], format: Format) -> usize {
    let guess = input.len().saturating_mul(4);
    match (format, input.last_chunk::<4>()) {
        (Format::Gzip, Some(length)) => {
            let length = u32::from_le_bytes(*length) as usize;
            if length <= input.len().saturating_mul(1032) { length.max(1) } else { guess }
        }
        _ => guess,
    }
}

fn decompress_to(input: &[u8], output: &mut Output<'_>, format: Format) -> Result<()> {
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

/// Encrypts into a new vector.
pub(crate) fn encrypt(
    key: &Key,
    plaintext: &[u8],
    options: &CipherOptions<'_>,
    path: ExecutedOn,
) -> Result<(Vec<u8>, Encrypted)> {
    let mut output = vec![0; options.cipher.ciphertext_len(plaintext.len())];
    let done = encrypt_into(key, plaintext, &mut output, options, path)?;
    Ok((output, done))
}

/// Encrypts to the front of `output`.
pub(crate) fn encrypt_into(
    key: &Key,
    plaintext: &[u8],
    output: &mut [u8],
    options: &CipherOptions<'_>,
    path: ExecutedOn,
) -> Result<Encrypted> {
    let (iv, bytes_out) = cipher::encrypt(key, plaintext, output, options)?;
    Ok(Encrypted { iv, outcome: Outcome { bytes_in: plaintext.len(), bytes_out, path } })
}

/// Decrypts into a new vector.
pub(crate) fn decrypt(
    key: &Key,
    ciphertext: &[u8],
    options: &CipherOptions<'_>,
    path: ExecutedOn,
) -> Result<(Vec<u8>, Outcome)> {
    let mut output = vec![0; ciphertext.len().saturating_sub(options.cipher.tag_len())];
    let outcome = decrypt_into(key, ciphertext, &mut output, options, path)?;
    output.truncate(outcome.bytes_out);
    Ok((output, outcome))
}

/// Decrypts to the front of `output`.
pub(crate) fn decrypt_into(
    key: &Key,
    ciphertext: &[u8],
    output: &mut [u8],
    options: &CipherOptions<'_>,
    path: ExecutedOn,
) -> Result<Outcome> {
    let bytes_out = cipher::decrypt(key, ciphertext, output, options)?;
    Ok(Outcome { bytes_in: ciphertext.len(), bytes_out, path })
}

/// HMAC.
pub(crate) fn authenticate(
    key: &Key,
    digest: Digest,
    input: &[u8],
    path: ExecutedOn,
) -> Result<(Vec<u8>, Outcome)> {
    let output = hmac::hmac(key, digest, input)?;
    let outcome = Outcome { bytes_in: input.len(), bytes_out: output.len(), path };
    Ok((output, outcome))
}
