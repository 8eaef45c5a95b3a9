//! Decompression: streams found in the input, each by requests that hold all of it.

use accel_core::{Error, Format, Outcome, Path, Result, SoftwareReason};
use twox_hash::XxHash32;

use super::compress::wrong_checksum;
use super::request::{Answer, Request};
use super::session::{Checksum, Kind, Lz4Block};
use crate::container::{gzip, le32, lz4 as frame, zlib};
use crate::device_error::DeviceError;
use crate::instance::{Call, Window};
use crate::op::Landed;
use crate::settings::Integrity;
use crate::software::{self, lz4, output::Output};

/// Input of the first request for a stream whose end is not known; each further one takes four times as much.
const FIRST_INPUT: usize = 4 << 20;
/// Least room for output. Too little costs another request, and a line of libqat's on the standard error stream.
const LEAST_ROOM: usize = 64 << 10;
/// Most output of one request.
const MAX_ROOM: usize = 512 << 20;

/// Decompresses all of `input`.
pub(crate) async fn decompress(
    call: Call<'_>,
    input: &[u8],
    output: &mut Output<'_>,
    format: Format,
) -> Result<Outcome> {
    let mut last = None;
    let is_checked = call.pool.settings.integrity != Integrity::Trust;
    let blame = |result, last: Option<u16>| match last {
        Some(instance) => call.blame(instance, result),
        None => result,
    };
    match format {
        Format::Deflate => {
            let used = inflate(call, input, output, Checksum::Crc32, format, &mut last).await?.0;
            software::nothing_after(input, used, format)?;
        }
        Format::Zlib => {
            zlib::check_header(input)?.ok_or(Error::Truncated { format })?;
            let start = output.written();
            let body = &input[zlib::HEADER_LEN..];
            let (used, adler) = inflate(call, body, output, Checksum::Adler32, format, &mut last).await?;
            let used = used + zlib::HEADER_LEN;
            let trailer = input[used..].first_chunk().ok_or(Error::Truncated { format })?;
            let plain = &output.filled()[start..];
            let checked = zlib::check_trailer(trailer, adler);
            // The format does not say the length, so the trailer fits the device's sum even if output is missing.
            let checked = match checked {
                Ok(()) if is_checked && libdeflater::adler32(plain) != adler => Err(wrong_checksum()),
                checked => witness(checked, adler, || libdeflater::adler32(plain)),
            };
            blame(checked, last)?;
            software::nothing_after(input, used + zlib::TRAILER_LEN, format)?;
        }
        Format::Gzip => {
            let mut at = 0;
            loop {
                let header = gzip::parse_header(&input[at..])?.ok_or(Error::Truncated { format })?;
                at += header.len;
                let start = output.written();
                let (used, crc) =
                    inflate(call, &input[at..], output, Checksum::Crc32, format, &mut last).await?;
                at += used;
                let trailer = input[at..].first_chunk().ok_or(Error::Truncated { format })?;
                let plain = &output.filled()[start..];
                let checked = gzip::check_trailer(trailer, crc, plain.len() as u64);
                blame(witness(checked, crc, || libdeflater::crc32(plain)), last)?;
                at += gzip::TRAILER_LEN;
                if !software::is_member_next(&input[at..], at)? {
                    break;
                }
            }
        }
        Format::Lz4Block => lz4_block(call, input, output, &mut last).await?,
        Format::Lz4Frame => lz4_frames(call, input, output, &mut last).await?,
        other => {
            return Err(Error::Unsupported {
                accelerator: crate::accelerator::NAME,
                operation: format!("decompress {other}").into(),
                remedy: "use the CPU".into(),
            });
        }
    }
    let path = last.map_or(Path::Software(SoftwareReason::TooSmall), |instance| Path::Hardware { instance });
    Ok(Outcome { bytes_in: input.len(), bytes_out: output.written(), path })
}

/// When the stream's own checksum does not fit the device's: are the data to blame, or the device?
pub(super) fn witness(checked: Result<()>, device: u32, of_plain: impl FnOnce() -> u32) -> Result<()> {
    match checked {
        Ok(()) => Ok(()),
        Err(corrupt) if of_plain() == device => Err(corrupt),
        Err(_) => Err(wrong_checksum()),
    }
}

/// Inflates one stream from the front of `input`; the bytes consumed, and the plain data's checksum.
async fn inflate(
    call: Call<'_>,
    input: &[u8],
    output: &mut Output<'_>,
    checksum: Checksum,
    format: Format,
    last: &mut Option<u16>,
) -> Result<(usize, u32)> {
    let kind = Kind::Inflate { checksum };
    if input.is_empty() {
        return Err(Error::Truncated { format });
    }
    let mut taken = input.len().min(FIRST_INPUT);
    let mut room = room_for(output, taken);
    loop {
        let request = Request { kind, prefix: &[], input: &input[..taken], room, is_open: false };
        let (landed, instance) = call.run(request).await.map_err(|fault| call.error(fault))?;
        let answer = call.answer(&landed, instance, taken, room, format)?;
        if answer.overflow {
            // A stateless request does not go on, so it starts again with more room.
            more_than(output, room)?;
            if room >= MAX_ROOM {
                return Err(Error::Unsupported {
                    accelerator: crate::accelerator::NAME,
                    operation: format!("a {format} stream of more than {MAX_ROOM} bytes of output").into(),
                    remedy: "use a stream with members or frames, or the CPU".into(),
                });
            }
            room = (room * 4).min(most(output)).min(MAX_ROOM);
            continue;
        }
        if !answer.end_of_stream {
            if taken == input.len() {
                return Err(Error::Truncated { format });
            }
            taken = taken.saturating_mul(4).min(input.len());
            room = room.saturating_mul(4).min(most(output)).min(MAX_ROOM);
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

/// One byte more than `output` may take, so that too much is seen as too much.
fn most(output: &mut Output<'_>) -> usize {
    output.most().saturating_add(1).max(LEAST_ROOM)
}

/// A first guess for the output of `taken` bytes.
fn room_for(output: &mut Output<'_>, taken: usize) -> usize {
    let room = output.room().len().saturating_add(1);
    let guess = if output.is_fixed() { room } else { room.max(taken.saturating_mul(8)) };
    guess.clamp(LEAST_ROOM, most(output)).min(MAX_ROOM)
}

/// The error for more than `room` bytes, if `output` may not take so many.
fn more_than(output: &mut Output<'_>, room: usize) -> Result<()> {
    if room < output.most() { Ok(()) } else { output.reserve(room.saturating_add(1)) }
}

/// Copies an answer's output to the caller.
fn accept(landed: &Landed, answer: &Answer, output: &mut Output<'_>) -> Result<()> {
    output.reserve(answer.produced)?;
    landed.output().read(0, &mut output.room()[..answer.produced]);
    output.advance(answer.produced);
    Ok(())
}

fn unsupported(operation: &'static str) -> Error {
    Error::Unsupported {
        accelerator: crate::accelerator::NAME,
        operation: operation.into(),
        remedy: "use the CPU".into(),
    }
}

/// A frame's block without its size word.
async fn lz4_block(
    call: Call<'_>,
    input: &[u8],
    output: &mut Output<'_>,
    last: &mut Option<u16>,
) -> Result<()> {
    let format = Format::Lz4Block;
    let len = lz4::block_len(input, format)?;
    output.reserve(len)?;
    if len == 0 {
        return lz4::decompress_bare_block(input, output);
    }
    let fitting = (16..=22).step_by(2).find_map(|power| Lz4Block::of_len(len.max(1 << power)));
    let Some(block) = fitting.filter(|block| input.len() <= block.len()) else {
        return Err(unsupported("an LZ4 block of more than 4 MiB, or one that compression made longer"));
    };
    let prefix = (input.len() as u32).to_le_bytes();
    let kind = Kind::Unlz4 { block, has_block_checksums: false };
    let room = len.max(LEAST_ROOM);
    let request = Request { kind, prefix: &prefix, input, room, is_open: false };
    let (landed, instance) = call.run(request).await.map_err(|fault| call.error(fault))?;
    let answer = call.answer(&landed, instance, input.len() + 4, room, format)?;
    call.blame(instance, block_done(&answer, Some(len)))?;
    accept(&landed, &answer, output)?;
    call.blame(instance, check_block(call, &answer, output))?;
    *last = Some(instance);
    Ok(())
}

/// A block's output has to be `len` bytes long, where that is known.
fn block_done(answer: &Answer, len: Option<usize>) -> Result<()> {
    if !answer.overflow && len.is_none_or(|len| len == answer.produced) {
        return Ok(());
    }
    let detail = format!("{} bytes of output instead of {len:?}", answer.produced);
    Err(DeviceError::Wrong { detail: detail.into() }.into())
}

/// Compares the device's hash of the last block with that of its data.
fn check_block(call: Call<'_>, answer: &Answer, output: &Output<'_>) -> Result<()> {
    let plain = output.filled();
    let plain = &plain[plain.len() - answer.produced..];
    if call.pool.settings.integrity != Integrity::Trust && XxHash32::oneshot(0, plain) != answer.checksum {
        return Err(wrong_checksum());
    }
    Ok(())
}

async fn lz4_frames(
    call: Call<'_>,
    input: &[u8],
    output: &mut Output<'_>,
    last: &mut Option<u16>,
) -> Result<()> {
    let mut at = 0;
    while at < input.len() || at == 0 {
        let rest = &input[at..];
        at += match lz4::next_frame(rest, at)? {
            lz4::Frame::Skippable { len } => len,
            lz4::Frame::Legacy => return Err(unsupported("a legacy LZ4 frame")),
            lz4::Frame::Ordinary => lz4_frame(call, rest, output, last).await?,
        };
    }
    Ok(())
}

async fn lz4_frame(
    call: Call<'_>,
    input: &[u8],
    output: &mut Output<'_>,
    last: &mut Option<u16>,
) -> Result<usize> {
    let format = Format::Lz4Frame;
    let truncated = || Error::Truncated { format };
    let (descriptor, mut at) = frame::Descriptor::parse(input)?.ok_or_else(truncated)?;
    if !descriptor.independent {
        return Err(unsupported("an LZ4 frame whose blocks refer to earlier ones"));
    }
    let block = Lz4Block::of_len(descriptor.max_block).expect("a size that frames have");
    let kind = Kind::Unlz4 { block, has_block_checksums: false };
    let start = output.written();
    let mut window = Window::new();
    let mut stored = None;
    let mut has_ended = false;
    loop {
        while !has_ended && stored.is_none() && !window.is_full() {
            let word = input.get(at..).and_then(le32).ok_or_else(truncated)?;
            if word == 0 {
                at += 4;
                has_ended = true;
                break;
            }
            let (len, is_stored) = lz4::block_size(word, descriptor.max_block)?;
            let data = input.get(at + 4..at + 4 + len).ok_or_else(truncated)?;
            let mut next = at + 4 + len;
            if descriptor.block_checksum {
                let hash = input.get(next..).and_then(le32).ok_or_else(truncated)?;
                lz4::check_hash(XxHash32::oneshot(0, data), hash, "a block checksum does not match")?;
                next += 4;
            }
            if is_stored {
                stored = Some(data);
            } else {
                let plain_len = lz4::block_len(data, format)?;
                if plain_len > descriptor.max_block {
                    return Err(lz4::holds_too_much());
                }
                let request = Request {
                    kind,
                    prefix: &word.to_le_bytes(),
                    input: data,
                    room: plain_len.max(LEAST_ROOM),
                    is_open: false,
                };
                let launched = call.launch(request, window.patience(call.patience)).await;
                let lens = (data.len(), plain_len);
                if !window.push(launched, lens).map_err(|fault| call.error(fault))? {
                    break;
                }
            }
            at = next;
        }
        match window.next(call.pool).await {
            Some(next) => {
                let (landed, instance, (len, plain_len)) = next.map_err(|fault| call.error(fault))?;
                let answer = call.answer(&landed, instance, len + 4, plain_len.max(LEAST_ROOM), format)?;
                call.blame(instance, block_done(&answer, Some(plain_len)))?;
                accept(&landed, &answer, output)?;
                call.blame(instance, check_block(call, &answer, output))?;
                *last = Some(instance);
            }
            None => match stored.take() {
                Some(data) => {
                    output.reserve(data.len())?;
                    output.room()[..data.len()].copy_from_slice(data);
                    output.advance(data.len());
                }
                None if has_ended => break,
                None => {}
            },
        }
    }
    at += lz4::check_content(&descriptor, &output.filled()[start..], &input[at..])?;
    Ok(at)
}
