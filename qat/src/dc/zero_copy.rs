//! Requests on the caller's own device memory: one request, no copy.

use std::sync::{Mutex, PoisonError};

use accel_core::{CompressOptions, Error, Format, Outcome, Path, Result};

use super::compress::{self, wrong_checksum};
use super::decompress::witness;
use super::request::Answer;
use super::session::{Checksum, Kind};
use crate::container::{gzip, zlib};
use crate::instance::{Call, Instance, Unsent};
use crate::mem::DmaBuffer;
use crate::op::{Blocks, Claim, Direction, Stateless, Work};
use crate::settings::Integrity;
use crate::software::{check_end, nothing_after, zlib_effort};

/// Both buffers of a call, and which bytes of them the device sees.
struct Buffers {
    input: DmaBuffer,
    input_at: usize,
    output: DmaBuffer,
    output_at: usize,
    /// Of the output, bytes kept free behind the device's.
    output_spare: usize,
}

/// What a request on the caller's buffers came to: the buffers, unless the device still has them, and the answer.
struct Done {
    buffers: Option<(DmaBuffer, DmaBuffer)>,
    answer: Result<(Answer, u16)>,
}

async fn run(call: Call<'_>, kind: Kind, how: Stateless, format: Format, buffers: Buffers) -> Done {
    let Buffers { input, input_at, output, output_at, output_spare } = buffers;
    let (input_len, output_len) = (input.len(), output.len());
    let request_len = input_len - input_at;
    let room = output_len - output_at - output_spare;
    let held = Mutex::new(Some((input.into_block(), output.into_block())));
    let lock = || held.lock().unwrap_or_else(PoisonError::into_inner);
    let load = |_: &Instance, claim: &mut Claim| {
        let (input, output) = lock().take().expect("given back by whoever did not send them");
        *claim.input() = Blocks::part(input, input_at..input_len);
        *claim.output() = Blocks::part(output, output_at..output_at + room);
        Ok(())
    };
    let take_back = |claim: &mut Claim| {
        let input = std::mem::take(claim.input()).into_block();
        *lock() = input.zip(std::mem::take(claim.output()).into_block());
    };
    let fly = |instance: &Instance, mut claim: Claim| {
        let session = match instance.sessions.get(&instance.ring, kind, how, &claim) {
            Ok(session) => session,
            Err(error) => {
                take_back(&mut claim);
                return Err(error.into());
            }
        };
        instance.ring.compress(claim, session, how).map_err(|mut refused| {
            take_back(&mut refused.claim);
            Unsent::from(refused)
        })
    };
    let launched = call.pool.launch(Work::Compression, call.patience, call.recorder, load, fly).await;
    let whole = |blocks: (Blocks, Blocks)| {
        let (input, output) = (blocks.0.into_block()?, blocks.1.into_block()?);
        Some((DmaBuffer::new(input, input_len), DmaBuffer::new(output, output_len)))
    };
    let (flight, instance) = match launched {
        Ok(launched) => launched,
        Err(fault) => {
            let kept = lock().take();
            let buffers = kept.map(|(input, output)| {
                (DmaBuffer::new(input, input_len), DmaBuffer::new(output, output_len))
            });
            return Done { buffers, answer: Err(call.error(fault)) };
        }
    };
    match call.pool.land(flight, instance).await {
        Ok(landed) => {
            let answer = call.answer(&landed, instance, request_len, room, format);
            Done { buffers: whole(landed.into_memory()), answer: answer.map(|answer| (answer, instance)) }
        }
        Err(fault) => Done { buffers: None, answer: Err(call.error(fault)) },
    }
}

fn unsupported<T>(what: impl Into<std::borrow::Cow<'static, str>>) -> Result<T> {
    Err(Error::Unsupported {
        accelerator: crate::accelerator::NAME,
        operation: what.into(),
        remedy: "use slices, which every format takes".into(),
    })
}

/// What stands around the deflate data.
fn framing(format: Format) -> Result<(usize, usize, Checksum)> {
    match format {
        Format::Deflate => Ok((0, 0, Checksum::Crc32)),
        Format::Gzip => Ok((gzip::HEADER_LEN, gzip::TRAILER_LEN, Checksum::Crc32)),
        Format::Zlib => Ok((zlib::HEADER_LEN, zlib::TRAILER_LEN, Checksum::Adler32)),
        other => unsupported(format!("{other} on device memory")),
    }
}

pub(crate) use compress::deflate_room;

/// What a call on device memory came to.
pub(crate) type Completed = (Option<(DmaBuffer, DmaBuffer)>, Result<Outcome>);

/// Compresses all of `input` to the front of `output`.
pub(crate) async fn compress(
    call: Call<'_>,
    input: DmaBuffer,
    output: DmaBuffer,
    options: &CompressOptions,
) -> Completed {
    let &CompressOptions { format, level, end, .. } = options;
    let checked = check_end(format, end).and_then(|()| {
        let (header, trailer, checksum) = framing(format)?;
        let level = compress::hardware_level(format, level)?;
        if input.is_empty() {
            return unsupported("compressing nothing");
        }
        let required = header + compress::deflate_room(input.len()) + trailer;
        if output.len() < required {
            return Err(Error::OutputTooSmall { required: Some(required), available: output.len() });
        }
        Ok((header, trailer, checksum, level))
    });
    let (header, trailer, checksum, level) = match checked {
        Ok(checked) => checked,
        Err(error) => return (Some((input, output)), Err(error)),
    };
    let kind = compress::deflate_kind(call, level, checksum);
    let flush = compress::flush(end == accel_core::End::Open);
    let is_verified = call.is_verified(kind);
    let how = Stateless { direction: Direction::Compress, flush, seed: kind.seed(), is_verified };
    let input_len = input.len();
    let buffers = Buffers { input, input_at: 0, output, output_at: header, output_spare: trailer };
    let Done { buffers, answer } = run(call, kind, how, format, buffers).await;
    let Some((input, mut output)) = buffers else {
        return (None, answer.and_then(|_| Err(compress::ran_full())));
    };
    let result = answer.and_then(|(answer, instance)| {
        if call.blame(instance, compress::complete(&answer, input_len))? < input_len {
            return Err(compress::ran_full());
        }
        let sum = answer.checksum;
        let is_checked = trailer > 0 && call.pool.settings.integrity != Integrity::Trust;
        if is_checked && sum != checksum.of(&input) {
            return call.blame(instance, Err(wrong_checksum()));
        }
        let end = header + answer.produced;
        match format {
            Format::Gzip => {
                gzip::write_header(&mut output, None);
                output[end..][..trailer].copy_from_slice(&gzip::trailer(sum, input_len as u64));
            }
            Format::Zlib => {
                output[..header].copy_from_slice(&zlib::header(zlib_effort(level)));
                output[end..][..trailer].copy_from_slice(&sum.to_be_bytes());
            }
            _ => {}
        }
        let path = Path::Hardware { instance };
        Ok(Outcome { bytes_in: input_len, bytes_out: end + trailer, path })
    });
    (Some((input, output)), result)
}

/// Decompresses the one stream or member that `input` holds to the front of `output`.
pub(crate) async fn decompress(
    call: Call<'_>,
    input: DmaBuffer,
    output: DmaBuffer,
    format: Format,
) -> Completed {
    let checked = framing(format).and_then(|(_, trailer, checksum)| {
        let header = match format {
            Format::Gzip => gzip::parse_header(&input)?.map(|header| header.len),
            Format::Zlib => zlib::check_header(&input)?.map(|()| zlib::HEADER_LEN),
            _ => Some(0),
        };
        let header = header.filter(|len| *len < input.len()).ok_or(Error::Truncated { format })?;
        if output.is_empty() {
            return Err(Error::OutputTooSmall { required: None, available: 0 });
        }
        Ok((header, trailer, checksum))
    });
    let (header, trailer, checksum) = match checked {
        Ok(checked) => checked,
        Err(error) => return (Some((input, output)), Err(error)),
    };
    let kind = Kind::Inflate { checksum };
    let flush = compress::flush(false);
    let is_verified = call.is_verified(kind);
    let how = Stateless { direction: Direction::Decompress, flush, seed: kind.seed(), is_verified };
    let available = output.len();
    let buffers = Buffers { input, input_at: header, output, output_at: 0, output_spare: 0 };
    let Done { buffers, answer } = run(call, kind, how, format, buffers).await;
    let Some((input, output)) = buffers else {
        return (None, answer.and_then(|_| Err(compress::ran_full())));
    };
    let result = answer.and_then(|(answer, instance)| {
        if answer.overflow {
            return Err(Error::OutputTooSmall { required: None, available });
        }
        if !answer.end_of_stream {
            return Err(Error::Truncated { format });
        }
        let plain = &output[..answer.produced];
        let used = header + answer.consumed;
        let rest = &input[used..];
        let sum = answer.checksum;
        let is_checked = call.pool.settings.integrity != Integrity::Trust;
        match format {
            Format::Gzip => {
                let trailer = rest.first_chunk().ok_or(Error::Truncated { format })?;
                let checked = gzip::check_trailer(trailer, sum, plain.len() as u64);
                call.blame(instance, witness(checked, sum, || libdeflater::crc32(plain)))?;
            }
            Format::Zlib => {
                let trailer = rest.first_chunk().ok_or(Error::Truncated { format })?;
                let checked = match zlib::check_trailer(trailer, sum) {
                    Ok(()) if is_checked && libdeflater::adler32(plain) != sum => Err(wrong_checksum()),
                    checked => witness(checked, sum, || libdeflater::adler32(plain)),
                };
                call.blame(instance, checked)?;
            }
            _ if is_checked && libdeflater::crc32(plain) != sum => {
                return call.blame(instance, Err(wrong_checksum()));
            }
            _ => {}
        }
        nothing_after(&input, used + trailer, format)?;
        let path = Path::Hardware { instance };
        Ok(Outcome { bytes_in: input.len(), bytes_out: answer.produced, path })
    });
    (Some((input, output)), result)
}
