//! Decompression: streams found in the input, each by requests that hold all of it.

use accel_core::{Error, Format, Outcome, Result};

use super::compress::{outcome, ran_full, wrong_checksum};
use super::lz4;
use super::request::{Answer, Request};
use super::session::{Checksum, Kind};
use crate::container::{gzip, zlib};
use crate::instance::Call;
use crate::op::{Direction, Landed};
use crate::settings::Integrity;
use crate::software::{self, output::Output};

/// Input of the first request for a stream whose end is not known; each further one takes four times as much.
const FIRST_INPUT: usize = 4 << 20;
/// Least room for output. Too little costs another request, and a line of libqat's on the standard error stream.
pub(super) const LEAST_ROOM: usize = 64 << 10;
/// Least room of the first request for a stream of unknown length: small ones never run out of it.
const FIRST_ROOM: usize = 512 << 10;
/// What a byte of deflate data can become at most: a match of 258 bytes for two bits, and its block's header.
const MAX_RATIO: usize = 1040;
/// Most output of one request.
const MAX_ROOM: usize = 512 << 20;

/// Decompresses all of `input`.
pub(crate) async fn decompress(
    call: Call<'_>,
    input: &[u8],
    output: &mut Output<'_>,
    format: Format,
) -> Result<Outcome> {
    super::check_offered(call, format, Direction::Decompress)?;
    let mut last = None;
    let is_checked = call.pool.settings.integrity != Integrity::Trust;
    let blame = |result, last: Option<u16>| match last {
        Some(instance) => call.blame(instance, result),
        None => result,
    };
    match format {
        Format::Deflate => {
            let used = inflate(call, input, output, Checksum::Crc32, format, None, &mut last).await?.0;
            software::nothing_after(input, used, format)?;
        }
        Format::Zlib => {
            zlib::check_header(input)?.ok_or(Error::Truncated { format })?;
            let start = output.written();
            let body = &input[zlib::HEADER_LEN..];
            let (used, adler) =
                inflate(call, body, output, Checksum::Adler32, format, None, &mut last).await?;
            let used = used + zlib::HEADER_LEN;
            let trailer = input[used..].first_chunk().ok_or(Error::Truncated { format })?;
            let plain = &output.filled()[start..];
            blame(check_zlib(trailer, adler, plain, is_checked), last)?;
            software::nothing_after(input, used + zlib::TRAILER_LEN, format)?;
        }
        Format::Gzip => {
            let mut at = 0;
            loop {
                let header = gzip::parse_header(&input[at..])?.ok_or(Error::Truncated { format })?;
                at += header.len;
                let start = output.written();
                let body = &input[at..];
                let (used, crc) =
                    inflate(call, body, output, Checksum::Crc32, format, header.sizes, &mut last).await?;
                at += used;
                let trailer = input[at..].first_chunk().ok_or(Error::Truncated { format })?;
                let plain = &output.filled()[start..];
                blame(check_gzip(trailer, crc, plain), last)?;
                at += gzip::TRAILER_LEN;
                if !software::is_member_next(&input[at..], at)? {
                    break;
                }
            }
        }
        Format::Lz4Block => lz4::block(call, input, output, format, &mut last).await?,
        Format::Lz4Frame => lz4::frames(call, input, output, &mut last).await?,
        // Zstandard would be here, where `capabilities.compression.zstd.decompress` is: from qatlib 25.08 on, and for
        // devices after generation 4.
        other => return Err(super::not_offered(other, Direction::Decompress)),
    }
    Ok(outcome(input.len(), output.written(), last))
}

/// Checks a zlib stream's trailer, and with `is_checked` the device's checksum, against each other and `plain`.
pub(super) fn check_zlib(trailer: &[u8; 4], adler: u32, plain: &[u8], is_checked: bool) -> Result<()> {
    match zlib::check_trailer(trailer, adler) {
        // The format does not say the length, so the trailer fits the device's sum even if output is missing.
        Ok(()) if is_checked && Checksum::Adler32.of(plain) != adler => Err(wrong_checksum()),
        checked => witness(checked, adler, Checksum::Adler32, plain),
    }
}

/// Checks a gzip member's trailer against the device's checksum and `plain`.
pub(super) fn check_gzip(trailer: &[u8; gzip::TRAILER_LEN], crc: u32, plain: &[u8]) -> Result<()> {
    witness(gzip::check_trailer(trailer, crc, plain.len() as u64), crc, Checksum::Crc32, plain)
}

/// When the stream's own checksum does not fit the device's: are the data to blame, or the device?
fn witness(checked: Result<()>, device: u32, checksum: Checksum, plain: &[u8]) -> Result<()> {
    match checked {
        Ok(()) => Ok(()),
        Err(corrupt) if checksum.of(plain) == device => Err(corrupt),
        Err(_) => Err(wrong_checksum()),
    }
}

/// Inflates one stream from the front of `input`; the bytes consumed, and the plain data's checksum. `sizes` are what
/// the stream says of itself, true or not.
async fn inflate(
    call: Call<'_>,
    input: &[u8],
    output: &mut Output<'_>,
    checksum: Checksum,
    format: Format,
    sizes: Option<gzip::MemberSizes>,
    last: &mut Option<u16>,
) -> Result<(usize, u32)> {
    let kind = Kind::Inflate { checksum };
    if input.is_empty() {
        return Err(Error::Truncated { format });
    }
    let sizes = sizes.filter(|sizes| sizes.deflated > 0);
    let mut taken = match format {
        // Other members may follow.
        Format::Gzip => sizes.map_or(FIRST_INPUT, |sizes| sizes.deflated as usize),
        _ => input.len(),
    };
    taken = taken.min(input.len());
    let mut room = room_for(call, output, taken, sizes);
    loop {
        let request = Request { kind, prefix: &[], input: &input[..taken], room, is_open: false };
        let (landed, instance) = call.run(request).await.map_err(|fault| call.error(fault))?;
        let answer = call.answer(&landed, instance, taken, room, format)?;
        if answer.overflow {
            // A stateless request does not go on, so it starts again with more room.
            more_than(output, room)?;
            let more = (room * 4).min(most(call, output, taken));
            if room >= taken.saturating_mul(MAX_RATIO).max(LEAST_ROOM) {
                return call.blame(instance, Err(ran_full()));
            }
            if room >= more {
                return Err(Error::Unsupported {
                    accelerator: crate::accelerator::NAME,
                    operation: format!("a {format} stream of more than {room} bytes of output").into(),
                    remedy: "use a format with members or frames, more device memory (HardwareSettings), or the CPU"
                        .into(),
                });
            }
            room = more;
            continue;
        }
        if !answer.end_of_stream {
            if taken == input.len() {
                return Err(Error::Truncated { format });
            }
            taken = taken.saturating_mul(4).min(input.len());
            room = room_for(call, output, taken, None).max(room);
            continue;
        }
        accept(&landed, &answer, output)?;
        *last = Some(instance);
        let plain = output.filled();
        let plain = &plain[plain.len() - answer.produced..];
        if format == Format::Deflate
            && call.pool.settings.integrity != Integrity::Trust
            && libdeflater::crc32(plain) != answer.checksum
        {
            // No trailer tells.
            return call.blame(instance, Err(wrong_checksum()));
        }
        return Ok((answer.consumed, answer.checksum));
    }
}

/// Most room that a request with `taken` bytes of input may have: one byte more than `output` may take, so that too
/// much is seen as too much; no more than such input can become, nor than the device's memory has.
fn most(call: Call<'_>, output: &Output<'_>, taken: usize) -> usize {
    let device = (call.pool.settings.memory / 4 * 3).saturating_sub(taken).min(MAX_ROOM);
    let wanted = output.most().saturating_add(1).min(taken.saturating_mul(MAX_RATIO));
    wanted.min(device).max(LEAST_ROOM)
}

/// A first guess for the output of `taken` bytes.
fn room_for(
    call: Call<'_>,
    output: &mut Output<'_>,
    taken: usize,
    sizes: Option<gzip::MemberSizes>,
) -> usize {
    let room = output.room().len().saturating_add(1);
    let guess = match sizes {
        Some(sizes) => sizes.plain as usize + 1,
        None if output.is_fixed() => room,
        None => room.max(taken.saturating_mul(if taken <= FIRST_INPUT { 8 } else { 4 })).max(FIRST_ROOM),
    };
    guess.clamp(LEAST_ROOM, most(call, output, taken))
}

/// The error for more than `room` bytes, if `output` may not take so many.
fn more_than(output: &mut Output<'_>, room: usize) -> Result<()> {
    if room < output.most() { Ok(()) } else { output.reserve(room.saturating_add(1)) }
}

/// Copies an answer's output to the caller.
pub(super) fn accept(landed: &Landed, answer: &Answer, output: &mut Output<'_>) -> Result<()> {
    output.reserve(answer.produced)?;
    landed.output().read(0, &mut output.room()[..answer.produced]);
    output.advance(answer.produced);
    Ok(())
}
