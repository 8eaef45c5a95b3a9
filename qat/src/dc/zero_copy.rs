//! Requests on the caller's own device memory: one request, no copy.

use std::cell::Cell;
use std::time::Instant;

use accel_core::{CompressOptions, End, Error, Format, Outcome, Path, Result};

use super::compress::{self, complete, ran_full, wrong_checksum};
use super::decompress::{check_gzip, check_zlib};
use super::request::Answer;
use super::session::{Checksum, Kind};
use crate::container::{gzip, zlib};
use crate::instance::{Call, Fault, Instance, Launched, Unsent};
use crate::mem::DmaBuffer;
use crate::op::{Blocks, Claim, Direction, Landed, Stateless, Work};
use crate::settings::Integrity;
use crate::software::{check_end, nothing_after, zlib_effort};

pub(crate) use compress::deflate_room;

/// What a call on device memory came to: its buffers, unless the device may still write to them, and the result.
pub(crate) type Completed = (Option<(DmaBuffer, DmaBuffer)>, Result<Outcome>);

/// What a call wants.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Job {
    Compress(CompressOptions),
    Decompress(Format),
}

/// The one request of a call, and what stands around its data.
#[derive(Clone, Copy)]
pub(crate) struct Plan {
    format: Format,
    level: u8,
    checksum: Checksum,
    kind: Kind,
    how: Stateless,
    /// Bytes in front of the deflate data, and behind them.
    framing: (usize, usize),
    /// Lengths of both buffers.
    lens: (usize, usize),
}

impl Plan {
    /// The request for `job`, or why there is none.
    #[inline]
    pub(crate) fn new(call: Call<'_>, job: &Job, input: &DmaBuffer, output: &DmaBuffer) -> Result<Self> {
        match job {
            Job::Compress(options) => Self::compress(call, options, input, output),
            Job::Decompress(format) => Self::decompress(call, *format, input, output),
        }
    }

    fn compress(
        call: Call<'_>,
        options: &CompressOptions,
        input: &DmaBuffer,
        output: &DmaBuffer,
    ) -> Result<Self> {
        let &CompressOptions { format, level, end, .. } = options;
        check_end(format, end)?;
        let (framing, checksum) = framing(format)?;
        let level = compress::hardware_level(format, level)?;
        if input.is_empty() {
            return unsupported("compressing nothing");
        }
        let required = framing.0 + deflate_room(input.len()) + framing.1;
        if output.len() < required {
            return Err(Error::OutputTooSmall { required: Some(required), available: output.len() });
        }
        let kind = compress::deflate_kind(call, level, checksum);
        let how = call.stateless(kind, end == End::Open);
        Ok(Self { format, level, checksum, kind, how, framing, lens: (input.len(), output.len()) })
    }

    fn decompress(call: Call<'_>, format: Format, input: &DmaBuffer, output: &DmaBuffer) -> Result<Self> {
        let (mut framing, checksum) = framing(format)?;
        let header = match format {
            Format::Gzip => gzip::parse_header(input)?.map(|header| header.len),
            Format::Zlib => zlib::check_header(input)?.map(|()| zlib::HEADER_LEN),
            _ => Some(0),
        };
        framing.0 = header.filter(|len| *len < input.len()).ok_or(Error::Truncated { format })?;
        if output.is_empty() {
            return Err(Error::OutputTooSmall { required: None, available: 0 });
        }
        let kind = Kind::Inflate { checksum };
        let how = call.stateless(kind, false);
        Ok(Self { format, level: 0, checksum, kind, how, framing, lens: (input.len(), output.len()) })
    }

    /// Bytes that the device reads, and bytes that it may write.
    fn request_lens(&self) -> (usize, usize) {
        match self.how.direction {
            Direction::Compress => (self.lens.0, self.lens.1 - self.framing.0 - self.framing.1),
            Direction::Decompress => (self.lens.0 - self.framing.0, self.lens.1),
        }
    }

    /// One try to submit. `held` has the buffers; it is empty when the device has them.
    pub(crate) fn try_launch(
        &self,
        call: Call<'_>,
        since: &mut Option<Instant>,
        held: &Cell<Option<(DmaBuffer, DmaBuffer)>>,
    ) -> Result<Launched, Fault> {
        let (read, write) = self.request_lens();
        let (input_at, output_at) = match self.how.direction {
            Direction::Compress => (0, self.framing.0),
            Direction::Decompress => (self.framing.0, 0),
        };
        let load = |_: &Instance, claim: &mut Claim| {
            let (mut input, mut output) = held.take().expect("given back by whoever did not send them");
            let is_ready = input.prepare().and_then(|()| output.prepare());
            if is_ready.is_err() {
                held.set(Some((input, output)));
                return is_ready;
            }
            *claim.input() = Blocks::part(input.into_block(), input_at..input_at + read);
            *claim.output() = Blocks::part(output.into_block(), output_at..output_at + write);
            Ok(())
        };
        let take_back = |claim: &mut Claim| {
            let blocks = (std::mem::take(claim.input()), std::mem::take(claim.output()));
            held.set(self.whole(blocks));
        };
        let fly = |instance: &Instance, mut claim: Claim| {
            let session = match instance.sessions.get(&instance.ring, self.kind, self.how, &claim) {
                Ok(session) => session,
                Err(error) => {
                    take_back(&mut claim);
                    return Err(Unsent::from(error));
                }
            };
            instance.ring.compress(claim, session, self.how).map_err(|mut refused| {
                take_back(&mut refused.claim);
                Unsent::from(refused)
            })
        };
        call.pool.try_launch(Work::Compression, call.patience, call.recorder, since, load, fly)
    }

    /// Whole buffers again.
    fn whole(&self, (input, output): (Blocks, Blocks)) -> Option<(DmaBuffer, DmaBuffer)> {
        let (input, output) = input.into_block().zip(output.into_block())?;
        Some((DmaBuffer::new(input, self.lens.0), DmaBuffer::new(output, self.lens.1)))
    }

    /// What the answer comes to.
    pub(crate) fn finish(&self, call: Call<'_>, landed: Landed, instance: u16) -> Completed {
        let (read, write) = self.request_lens();
        let answer = call.answer(&landed, instance, read, write, self.format);
        let Some((input, mut output)) = self.whole(landed.into_memory()) else {
            return (None, answer.and_then(|_| Err(ran_full())));
        };
        let result = answer.and_then(|answer| {
            let bytes_out = match self.how.direction {
                Direction::Compress => self.compressed(call, &answer, instance, &input, &mut output)?,
                Direction::Decompress => self.decompressed(call, &answer, instance, &input, &output)?,
            };
            Ok(Outcome { bytes_in: self.lens.0, bytes_out, path: Path::Hardware { instance } })
        });
        (Some((input, output)), result)
    }

    /// Checks what was compressed, and writes what stands around it; the length of both.
    fn compressed(
        &self,
        call: Call<'_>,
        answer: &Answer,
        instance: u16,
        input: &[u8],
        output: &mut [u8],
    ) -> Result<usize> {
        if call.blame(instance, complete(answer, input.len()))? < input.len() {
            return Err(ran_full());
        }
        let (header, trailer) = self.framing;
        let sum = answer.checksum;
        let is_checked = trailer > 0 && call.pool.settings.integrity != Integrity::Trust;
        if is_checked && sum != self.checksum.of(input) {
            return call.blame(instance, Err(wrong_checksum()));
        }
        let end = header + answer.produced;
        match self.format {
            Format::Gzip => {
                gzip::write_header(output, None);
                output[end..][..trailer].copy_from_slice(&gzip::trailer(sum, input.len() as u64));
            }
            Format::Zlib => {
                output[..header].copy_from_slice(&zlib::header(zlib_effort(self.level)));
                output[end..][..trailer].copy_from_slice(&sum.to_be_bytes());
            }
            _ => {}
        }
        Ok(end + trailer)
    }

    /// Checks what was decompressed against what stands around it; its length.
    fn decompressed(
        &self,
        call: Call<'_>,
        answer: &Answer,
        instance: u16,
        input: &[u8],
        output: &[u8],
    ) -> Result<usize> {
        let format = self.format;
        if answer.overflow {
            return Err(Error::OutputTooSmall { required: None, available: output.len() });
        }
        if !answer.end_of_stream {
            return Err(Error::Truncated { format });
        }
        let plain = &output[..answer.produced];
        let used = self.framing.0 + answer.consumed;
        let rest = &input[used..];
        let sum = answer.checksum;
        let is_checked = call.pool.settings.integrity != Integrity::Trust;
        match format {
            Format::Gzip => {
                let trailer = rest.first_chunk().ok_or(Error::Truncated { format })?;
                call.blame(instance, check_gzip(trailer, sum, plain))?;
            }
            Format::Zlib => {
                let trailer = rest.first_chunk().ok_or(Error::Truncated { format })?;
                call.blame(instance, check_zlib(trailer, sum, plain, is_checked))?;
            }
            _ if is_checked && self.checksum.of(plain) != sum => {
                return call.blame(instance, Err(wrong_checksum()));
            }
            _ => {}
        }
        nothing_after(input, used + self.framing.1, format)?;
        Ok(answer.produced)
    }
}

fn unsupported<T>(what: impl Into<std::borrow::Cow<'static, str>>) -> Result<T> {
    Err(Error::Unsupported {
        accelerator: crate::accelerator::NAME,
        operation: what.into(),
        remedy: "use slices, which every format takes".into(),
    })
}

/// Bytes in front of and behind the deflate data, and the checksum that the format has.
fn framing(format: Format) -> Result<((usize, usize), Checksum)> {
    match format {
        Format::Deflate => Ok(((0, 0), Checksum::Crc32)),
        Format::Gzip => Ok(((gzip::HEADER_LEN, gzip::TRAILER_LEN), Checksum::Crc32)),
        Format::Zlib => Ok(((zlib::HEADER_LEN, zlib::TRAILER_LEN), Checksum::Adler32)),
        other => unsupported(format!("{other} on device memory")),
    }
}
