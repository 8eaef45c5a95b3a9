//! Requests on the caller's own device memory: one request, no copy.

use std::cell::Cell;
use std::ops::Range;
use std::time::Instant;

use accel_core::{CompressOptions, End, Error, ExecutedOn, Format, Outcome, Result};

use super::compress::{self, complete, ran_full, wrong_checksum};
use super::decompress::{check_gzip, check_zlib};
use super::request::DecodedResponse;
use super::session::{self};
use super::session::{Checksum, SessionKind, SessionSlot};
use crate::device::inflight::{Blocks, CompletedRequest, Direction, SlotGuard, Stateless, Work};
use crate::device::instances::{CallContext, Instance, RequestError, Submitted, Unsent};
use crate::device::memory::DmaBuffer;
use crate::formats::{gzip, zlib};
use crate::settings::Integrity;
use crate::software::{check_end, nothing_after, zlib_effort};

pub(crate) use compress::deflate_room;

/// Both buffers of a request on device memory, with its result.
#[derive(Debug)]
pub struct DmaCompletion {
    /// Input and output; `None` when the device did not answer in time and may still write to them.
    pub buffers: Option<(DmaBuffer, DmaBuffer)>,
    /// What the request came to; the output begins at the front of its buffer.
    pub result: Result<Outcome>,
}

/// What a call wants.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Job {
    Compress(CompressOptions),
    Decompress(Format),
}

/// What the requests of a session have in common.
#[derive(Clone, Copy)]
pub(crate) struct Plan {
    format: Format,
    level: u8,
    pub(super) checksum: Checksum,
    pub(super) how: Stateless,
    pub(super) session: SessionSlot,
    /// Bytes in front of the deflate data, and behind them.
    pub(super) framing: (usize, usize),
}

/// Lengths in bytes of one request.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Spans {
    input: usize,
    output: usize,
    /// In front of the deflate data.
    header: usize,
}

impl Plan {
    /// The requests for `job`, or why there are none.
    pub(crate) fn new(call: CallContext<'_>, job: &Job) -> Result<Self> {
        let (Job::Compress(CompressOptions { format, .. }) | Job::Decompress(format)) = *job;
        if let Job::Compress(options) = job {
            check_end(format, options.end)?;
        }
        let (framing, checksum) = framing(format)?;
        let (level, kind, is_open) = match *job {
            Job::Compress(CompressOptions { level, end, .. }) => {
                let level = compress::hardware_level(format, level)?;
                (level, compress::deflate_kind(call, level, checksum), end == End::Open)
            }
            Job::Decompress(_) => (0, SessionKind::Inflate { checksum }, false),
        };
        let how = call.stateless(kind, is_open);
        Ok(Self { format, level, checksum, how, session: SessionSlot::new(kind, how, true), framing })
    }

    /// The lengths of a request with these buffers, or why there is none.
    pub(crate) fn spans(&self, input: &DmaBuffer, output: &DmaBuffer) -> Result<Spans> {
        let header = match self.how.direction {
            Direction::Compress => {
                let required = self.framing.0 + deflate_room(input.len()) + self.framing.1;
                if input.is_empty() {
                    return unsupported("compressing nothing");
                }
                if output.len() < required {
                    return Err(Error::OutputTooSmall { required: Some(required), available: output.len() });
                }
                self.framing.0
            }
            Direction::Decompress => {
                let header = self.header_of(input)?.filter(|len| *len < input.len());
                let header = header.ok_or(Error::Truncated { format: self.format })?;
                if output.is_empty() {
                    return Err(Error::OutputTooSmall { required: None, available: 0 });
                }
                header
            }
        };
        Ok(Spans { input: input.len(), output: output.len(), header })
    }

    /// Length of what stands in front of the deflate data, if it is whole.
    fn header_of(&self, input: &[u8]) -> Result<Option<usize>> {
        Ok(match self.format {
            Format::Gzip => gzip::parse_header(input)?.map(|header| header.len),
            Format::Zlib => zlib::check_header(input)?.map(|()| zlib::HEADER_LEN),
            _ => Some(0),
        })
    }

    /// What the device reads, and where it may write.
    fn ranges(&self, spans: Spans) -> (Range<usize>, Range<usize>) {
        match self.how.direction {
            Direction::Compress => (0..spans.input, spans.header..spans.output - self.framing.1),
            Direction::Decompress => (spans.header..spans.input, 0..spans.output),
        }
    }

    /// One try to submit. `held` has the buffers; it is empty when the device has them.
    pub(crate) fn try_submit(
        &self,
        call: CallContext<'_>,
        spans: Spans,
        since: &mut Option<Instant>,
        held: &mut Option<(DmaBuffer, DmaBuffer)>,
    ) -> Result<Submitted, RequestError> {
        let held = Cell::from_mut(held);
        let load = |_: &Instance, slot: &mut SlotGuard| {
            let (mut input, mut output) = held.take().expect("given back by whoever did not send them");
            let is_ready = input.prepare().and_then(|()| output.prepare());
            if is_ready.is_err() {
                held.set(Some((input, output)));
                return is_ready;
            }
            let (read, write) = self.ranges(spans);
            slot.load(Blocks::part(input.into_block(), read), Blocks::part(output.into_block(), write));
            Ok(())
        };
        let take_back = |slot: &mut SlotGuard| {
            held.set(whole(slot.unload(), spans));
        };
        let submit = |instance: &Instance, mut slot: SlotGuard| {
            let session = match session::session(instance, self.session) {
                Ok(session) => session,
                Err(error) => {
                    take_back(&mut slot);
                    return Err(Unsent::from(error));
                }
            };
            instance.ring.compress(slot, session, self.how).map_err(|mut refused| {
                take_back(&mut refused.slot);
                Unsent::from(refused)
            })
        };
        call.started.try_submit(Work::Compression, call.when_full, call.recorder, since, load, submit)
    }

    /// What the answer comes to.
    pub(crate) fn finish(
        &self,
        call: CallContext<'_>,
        spans: Spans,
        completed: CompletedRequest,
        instance: u16,
    ) -> DmaCompletion {
        let (read, write) = self.ranges(spans);
        let response = call.decode(&completed, instance, read.len(), write.len(), self.format);
        let Some((input, mut output)) = whole(completed.into_memory(), spans) else {
            return DmaCompletion { buffers: None, result: response.and_then(|_| Err(ran_full())) };
        };
        let result = response.and_then(|response| {
            let bytes_out = match self.how.direction {
                Direction::Compress => self.compressed(call, &response, instance, &input, &mut output)?,
                Direction::Decompress => {
                    self.decompressed(call, &response, instance, (&input, spans.header), &output)?
                }
            };
            Ok(Outcome { bytes_in: spans.input, bytes_out, path: ExecutedOn::Hardware { instance } })
        });
        DmaCompletion { buffers: Some((input, output)), result }
    }

    /// Checks what was compressed, and writes what stands around it; the length of both.
    fn compressed(
        &self,
        call: CallContext<'_>,
        response: &DecodedResponse,
        instance: u16,
        input: &[u8],
        output: &mut [u8],
    ) -> Result<usize> {
        if call.penalise_on_error(instance, complete(response, input.len()))? < input.len() {
            return Err(ran_full());
        }
        let (header, trailer) = self.framing;
        let sum = response.checksum;
        let is_checked = trailer > 0 && call.started.settings.integrity != Integrity::Trust;
        if is_checked && sum != self.checksum.of(input) {
            return call.penalise_on_error(instance, Err(wrong_checksum()));
        }
        let len = header + response.produced + trailer;
        self.frame(&mut output[..len], sum, input.len());
        Ok(len)
    }

    /// Writes what stands around the deflate data: the front and the end of `output`, for plain data of this checksum and
    /// length.
    #[inline(always)]
    pub(super) fn frame(&self, output: &mut [u8], sum: u32, plain_len: usize) {
        let (header, trailer) = self.framing;
        let end = output.len() - trailer;
        match self.format {
            Format::Gzip => {
                gzip::write_header(output, None);
                output[end..].copy_from_slice(&gzip::trailer(sum, plain_len as u64));
            }
            Format::Zlib => {
                output[..header].copy_from_slice(&zlib::header(zlib_effort(self.level)));
                output[end..].copy_from_slice(&sum.to_be_bytes());
            }
            _ => {}
        }
    }

    /// Checks what was decompressed against what stands behind it in the input, which has a header; its length.
    fn decompressed(
        &self,
        call: CallContext<'_>,
        response: &DecodedResponse,
        instance: u16,
        (input, header): (&[u8], usize),
        output: &[u8],
    ) -> Result<usize> {
        let format = self.format;
        if response.overflow {
            return Err(Error::OutputTooSmall { required: None, available: output.len() });
        }
        if !response.end_of_stream {
            return Err(Error::Truncated { format });
        }
        let plain = &output[..response.produced];
        let used = header + response.consumed;
        let rest = &input[used..];
        let sum = response.checksum;
        let is_checked = call.started.settings.integrity != Integrity::Trust;
        match format {
            Format::Gzip => {
                let trailer = rest.first_chunk().ok_or(Error::Truncated { format })?;
                call.penalise_on_error(instance, check_gzip(trailer, sum, plain))?;
            }
            Format::Zlib => {
                let trailer = rest.first_chunk().ok_or(Error::Truncated { format })?;
                call.penalise_on_error(instance, check_zlib(trailer, sum, plain, is_checked))?;
            }
            _ if is_checked && self.checksum.of(plain) != sum => {
                return call.penalise_on_error(instance, Err(wrong_checksum()));
            }
            _ => {}
        }
        nothing_after(input, used + self.framing.1, format)?;
        Ok(response.produced)
    }
}

/// Whole buffers again.
#[inline(always)]
fn whole((input, output): (Blocks, Blocks), spans: Spans) -> Option<(DmaBuffer, DmaBuffer)> {
    let (input, output) = input.into_block().zip(output.into_block())?;
    Some((DmaBuffer::new(input, spans.input), DmaBuffer::new(output, spans.output)))
}

fn unsupported<T>(what: impl Into<std::borrow::Cow<'static, str>>) -> Result<T> {
    Err(Error::Unsupported {
        accelerator: crate::error::HARDWARE,
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
