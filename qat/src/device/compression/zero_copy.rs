//! Requests on device memory of the caller, which are one request each and copy nothing. `DmaSession` calls it;
//! `single` shares its plan.

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

/// A completed request on device memory: both buffers and the result.
#[derive(Debug)]
pub struct DmaCompletion {
    /// The input and the output buffer; `None` when the device did not respond in time, so that it may still write to
    /// them.
    pub buffers: Option<(DmaBuffer, DmaBuffer)>,
    /// The result of the request. The output begins at the front of its buffer.
    pub result: Result<Outcome>,
}

/// The operation of a session.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Job {
    Compress(CompressOptions),
    Decompress(Format),
}

/// The parameters that the requests of a session share.
#[derive(Clone, Copy)]
pub(crate) struct Plan {
    format: Format,
    level: u8,
    pub(super) checksum: Checksum,
    pub(super) how: Stateless,
    pub(super) session: SessionSlot,
    /// The bytes before the deflate data, and the bytes after it.
    pub(super) framing: (usize, usize),
}

/// The lengths of one request, in bytes.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Spans {
    input: usize,
    output: usize,
    /// The bytes before the deflate data.
    header: usize,
}

impl Plan {
    /// Determines the parameters of requests for `job`.
    ///
    /// # Errors
    /// `Unsupported` for another format than deflate, zlib and gzip, or for a level that only the CPU has, and
    /// `InvalidArgument` for a level that does not exist.
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

    /// Determines the lengths of a request with these buffers.
    ///
    /// # Errors
    /// `Unsupported` for empty input, `OutputTooSmall`, and, for decompression, `Corrupt` or `Truncated` for a bad
    /// header.
    pub(crate) fn spans(&self, input: &DmaBuffer, output: &DmaBuffer) -> Result<Spans> {
        let header = match self.how.direction {
            Direction::Compress => {
                let required = self.framing.0 + deflate_room(input.len()) + self.framing.1;
                if input.is_empty() {
                    return unsupported("compressing empty input");
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

    /// Returns the length of the header before the deflate data; `None` if the header is incomplete.
    fn header_of(&self, input: &[u8]) -> Result<Option<usize>> {
        Ok(match self.format {
            Format::Gzip => gzip::parse_header(input)?.map(|header| header.len),
            Format::Zlib => zlib::check_header(input)?.map(|()| zlib::HEADER_LEN),
            _ => Some(0),
        })
    }

    /// Returns the range of the input that the device reads, and the range of the output that it may write.
    fn ranges(&self, spans: Spans) -> (Range<usize>, Range<usize>) {
        match self.how.direction {
            Direction::Compress => (0..spans.input, spans.header..spans.output - self.framing.1),
            Direction::Decompress => (spans.header..spans.input, 0..spans.output),
        }
    }

    /// Makes one attempt to submit. `held` contains the buffers, and is empty afterwards if the request was submitted.
    pub(crate) fn try_submit(
        &self,
        call: CallContext<'_>,
        spans: Spans,
        since: &mut Option<Instant>,
        held: &mut Option<(DmaBuffer, DmaBuffer)>,
    ) -> Result<Submitted, RequestError> {
        let held = Cell::from_mut(held);
        let load = |_: &Instance, slot: &mut SlotGuard| {
            let (mut input, mut output) =
                held.take().expect("an attempt that does not submit returns the buffers");
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

    /// Converts a response to the result, and returns the buffers.
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

    /// Checks compressed output, writes header and trailer around it, and returns the total length.
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

    /// Writes header and trailer to the front and the end of `output`, for plain data with this checksum and length.
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

    /// Checks decompressed output against the trailer in the input, and returns its length.
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

/// Converts the blocks of a request back to the caller's buffers.
#[inline(always)]
fn whole((input, output): (Blocks, Blocks), spans: Spans) -> Option<(DmaBuffer, DmaBuffer)> {
    let (input, output) = input.into_block().zip(output.into_block())?;
    Some((DmaBuffer::new(input, spans.input), DmaBuffer::new(output, spans.output)))
}

fn unsupported<T>(what: impl Into<std::borrow::Cow<'static, str>>) -> Result<T> {
    Err(Error::Unsupported {
        accelerator: crate::error::HARDWARE,
        operation: what.into(),
        remedy: "use the operations on slices, which support it".into(),
    })
}

/// Returns the lengths of header and trailer, and the checksum of the format.
fn framing(format: Format) -> Result<((usize, usize), Checksum)> {
    match format {
        Format::Deflate => Ok(((0, 0), Checksum::Crc32)),
        Format::Gzip => Ok(((gzip::HEADER_LEN, gzip::TRAILER_LEN), Checksum::Crc32)),
        Format::Zlib => Ok(((zlib::HEADER_LEN, zlib::TRAILER_LEN), Checksum::Adler32)),
        other => unsupported(format!("{other} on device memory")),
    }
}
