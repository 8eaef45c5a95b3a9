//! Compression of data of any length: splits the input into requests, and joins their responses to one stream. `single`
//! does what is one request, without the futures of this module.

use accel_core::{CompressOptions, End, Error, ExecutedOn, Format, Level, Outcome, Result, SoftwareReason};
use qat_sys as sys;
use twox_hash::XxHash32;
use zlib_rs::adler32::adler32_combine;
use zlib_rs::crc32::crc32_combine;

use super::request::{DecodedResponse, StatelessRequest};
use super::session::{Checksum, Lz4Block, SessionKind};
use crate::device::inflight::{CompletedRequest, Direction};
use crate::device::instances::{CallContext, Window};
use crate::error::DeviceError;
use crate::formats::{gzip, lz4 as frame, zlib};
use crate::settings::{Huffman, Integrity};
use crate::software;

/// The input of one deflate request of several. The bound of its output just fits into a block of the slab.
pub(super) const PIECE: usize = 112 << 10;
/// The block length of LZ4 frames of longer input; each block is one request.
const LZ4_PIECE: usize = 256 << 10;
/// The output buffer that libqat needs at least, however short the input is (26.08: 1,026 bytes), with a margin.
const LEAST_ROOM: usize = 1152;
/// The highest level of libqat.
const MAX_LEVEL: u8 = 12;
/// The maximum length of a stored block (RFC 1951, section 3.2.4).
const STORED_MAX: usize = 65_535;
/// The length of a stored block's header, at a byte boundary.
const STORED_HEADER: usize = 5;

/// Writes output to the front of the caller's buffer.
pub(super) struct Writer<'a> {
    output: &'a mut [u8],
    written: usize,
    bound: usize,
}

impl<'a> Writer<'a> {
    /// Creates a writer to `output`. `bound` is the length that the error states when `output` is too small.
    pub(super) fn new(output: &'a mut [u8], bound: usize) -> Self {
        Self { output, written: 0, bound }
    }

    fn room(&mut self, len: usize) -> Result<&mut [u8]> {
        let (available, bound) = (self.output.len(), self.bound);
        let room = self.output[self.written..].get_mut(..len);
        let room = room.ok_or_else(|| Error::OutputTooSmall { required: Some(bound), available })?;
        self.written += len;
        Ok(room)
    }

    fn put(&mut self, bytes: &[u8]) -> Result<()> {
        self.room(bytes.len())?.copy_from_slice(bytes);
        Ok(())
    }
}

/// The progress of an operation.
struct Done {
    /// The last instance that processed a request; `None` before the first.
    instance: Option<u16>,
    checksum: u32,
}

/// Compresses `input` to the front of `output`.
///
/// # Errors
/// As the trait method [`compress_into`](accel_core::CompressionAccelerator::compress_into).
pub(crate) async fn compress(
    call: CallContext<'_>,
    input: &[u8],
    output: &mut [u8],
    options: &CompressOptions,
) -> Result<Outcome> {
    let &CompressOptions { format, level, end, .. } = options;
    software::check_end(format, end)?;
    let level = hardware_level(format, level)?;
    super::check_offered(call, format, Direction::Compress)?;
    if format == Format::Zstd {
        let (bytes_out, instance) = super::zstd::compress(call, level, input, output, end).await?;
        return Ok(outcome(input.len(), bytes_out, instance));
    }
    let mut writer = Writer::new(output, options.bound(input.len()));
    let instance = match format {
        Format::Deflate => {
            let kind = deflate_kind(call, level, Checksum::Crc32);
            deflate(call, kind, input, &mut writer, end, false).await?.instance
        }
        Format::Gzip => {
            let mut header = [0; gzip::HEADER_LEN];
            gzip::write_header(&mut header, None);
            writer.put(&header)?;
            let kind = deflate_kind(call, level, Checksum::Crc32);
            let done = deflate(call, kind, input, &mut writer, end, true).await?;
            writer.put(&gzip::trailer(done.checksum, input.len() as u64))?;
            done.instance
        }
        Format::Zlib => {
            writer.put(&zlib::header(software::zlib_effort(level)))?;
            let kind = deflate_kind(call, level, Checksum::Adler32);
            let done = deflate(call, kind, input, &mut writer, end, true).await?;
            writer.put(&done.checksum.to_be_bytes())?;
            done.instance
        }
        Format::Lz4Frame => lz4_frame(call, level, input, &mut writer).await?,
        Format::Lz4Block => lz4_block(call, level, input, &mut writer).await?,
        other => return Err(super::not_offered(other, Direction::Compress)),
    };
    Ok(outcome(input.len(), writer.written, instance))
}

/// Returns the outcome of an operation whose last request ran on `instance`. Empty input needs no device request,
/// because its compressed form is a constant; `instance` is `None` then.
pub(super) fn outcome(bytes_in: usize, bytes_out: usize, instance: Option<u16>) -> Outcome {
    let path = instance
        .map_or(ExecutedOn::Software(SoftwareReason::TooSmall), |instance| ExecutedOn::Hardware { instance });
    Outcome { bytes_in, bytes_out, path }
}

/// Converts the caller's level to libqat's: named levels as `CompressOptions` documents, numbers as they are.
///
/// # Errors
/// `Unsupported` for a level that only the CPU has, and `InvalidArgument` for one that does not exist.
pub(crate) fn hardware_level(format: Format, level: Level) -> Result<u8> {
    match level {
        Level::Fast => Ok(1),
        Level::Balanced => Ok(6),
        Level::Best => Ok(9),
        Level::Exact(level @ 1..=MAX_LEVEL) => Ok(level),
        // The CPU has these levels, and the device does not.
        Level::Exact(other)
            if match format {
                Format::Lz4Block | Format::Lz4Frame => false,
                Format::Zstd => software::zstd::level(level).is_ok(),
                _ => other == 0,
            } =>
        {
            Err(Error::Unsupported {
                accelerator: crate::error::HARDWARE,
                operation: format!("{format} at level {other}").into(),
                remedy: format!("choose a level from 1 to {MAX_LEVEL}, or the CPU").into(),
            })
        }
        Level::Exact(level) => Err(Error::InvalidArgument {
            argument: "level",
            remedy: format!("{format} has levels 1 to {MAX_LEVEL} on the device, not {level}").into(),
        }),
    }
}

pub(super) fn deflate_kind(call: CallContext<'_>, level: u8, checksum: Checksum) -> SessionKind {
    let has_dynamic = call.started.services.capabilities.compression.dynamic_huffman;
    let huffman = if has_dynamic { call.started.settings.huffman } else { Huffman::Static };
    SessionKind::Deflate { level, huffman, checksum }
}

/// Returns an output length that always suffices for `len` bytes: fixed Huffman codes take at most nine bits a byte.
pub(crate) const fn deflate_room(len: usize) -> usize {
    let room = len + len / 8 + 256;
    if room > LEAST_ROOM { room } else { LEAST_ROOM }
}

/// Returns the length of `len` bytes in stored blocks.
pub(super) const fn stored_len(len: usize) -> usize {
    len + len.div_ceil(STORED_MAX) * STORED_HEADER
}

/// Deflates `input`, and returns the last instance and the checksum that `kind` names.
async fn deflate(
    call: CallContext<'_>,
    kind: SessionKind,
    input: &[u8],
    writer: &mut Writer<'_>,
    end: End,
    is_checksum_used: bool,
) -> Result<Done> {
    let adler = matches!(kind, SessionKind::Deflate { checksum: Checksum::Adler32, .. });
    let done = Done { instance: None, checksum: u32::from(adler) };
    if input.is_empty() {
        // A final fixed block without content (RFC 1951, section 3.2.6), or an empty stored block after which more may
        // follow.
        writer.put(if end == End::Final { &[3, 0] } else { &[0, 0, 0, 0xff, 0xff] })?;
        return Ok(done);
    }
    let mut joiner = OutputJoiner {
        call,
        writer,
        checksum: is_checksum_used.then_some(if adler { Checksum::Adler32 } else { Checksum::Crc32 }),
        done,
    };
    let mut window = Window::new();
    let mut rest = input;
    loop {
        while !rest.is_empty() && !window.is_full() {
            let (piece, later) = rest.split_at(rest.len().min(PIECE));
            let request = piece_of(kind, piece, !later.is_empty() || end == End::Open);
            let submitted = call.submit(request, window.when_full(call.when_full)).await;
            if !window.push(submitted, request).map_err(|error| call.error(error))? {
                break;
            }
            rest = later;
        }
        let Some(next) = window.next(call.started).await else { return Ok(joiner.done) };
        let (completed, instance, request) = next.map_err(|error| call.error(error))?;
        joiner.put(completed, instance, request).await?;
    }
}

fn piece_of(kind: SessionKind, input: &[u8], is_open: bool) -> StatelessRequest<'_> {
    StatelessRequest { kind, prefix: &[], input, room: deflate_room(input.len()), is_open }
}

/// Joins the outputs of requests to one stream.
struct OutputJoiner<'a, 'b> {
    call: CallContext<'a>,
    writer: &'a mut Writer<'b>,
    /// The checksum that the format needs, if any.
    checksum: Option<Checksum>,
    done: Done,
}

impl OutputJoiner<'_, '_> {
    /// Appends the output of a request.
    async fn put(
        &mut self,
        mut completed: CompletedRequest,
        mut instance: u16,
        mut request: StatelessRequest<'_>,
    ) -> Result<()> {
        loop {
            let left = self.append(completed, instance, request)?;
            if left.is_empty() {
                return Ok(());
            }
            // The output buffer was full, which its length should prevent, so the device does not behave as specified.
            // What it compressed is still valid, and another request continues after it.
            request.input = left;
            (completed, instance) = self.call.run(request).await.map_err(|error| self.call.error(error))?;
        }
    }

    /// Appends a response, and returns the part of the request's input that it does not contain.
    fn append<'i>(
        &mut self,
        completed: CompletedRequest,
        instance: u16,
        request: StatelessRequest<'i>,
    ) -> Result<&'i [u8]> {
        let Self { call, writer, .. } = self;
        let len = request.input.len();
        let response = call.decode(&completed, instance, len, request.room, Format::Deflate)?;
        let (packed, left) =
            request.input.split_at(call.penalise_on_error(instance, complete(&response, len))?);
        if let Some(checksum) = self.checksum {
            let sum = response.checksum;
            if call.started.settings.integrity != Integrity::Trust && sum != checksum.of(packed) {
                return call.penalise_on_error(instance, Err(wrong_checksum()));
            }
            let (before, more) = (self.done.checksum, packed.len() as u64);
            self.done.checksum = match (self.done.instance, checksum) {
                (None, _) => sum,
                (_, Checksum::Adler32) => adler32_combine(before, sum, more),
                (_, Checksum::Crc32) => crc32_combine(before, sum, more),
            };
        }
        self.done.instance = Some(instance);
        if response.produced >= stored_len(packed.len()) {
            store(packed, writer, !request.is_open && left.is_empty())?;
        } else {
            completed.output().read(0, writer.room(response.produced)?);
        }
        Ok(left)
    }
}

/// Returns how much of a request's input the response contains: all of it, or a part after an overflow.
///
/// # Errors
/// The device's counts contradict each other.
#[inline(always)]
pub(super) fn complete(response: &DecodedResponse, len: usize) -> Result<usize> {
    let is_plausible = if response.overflow { response.consumed > 0 } else { response.consumed == len };
    if is_plausible && response.produced > 0 {
        return Ok(response.consumed);
    }
    let detail = format!("{} of {len} bytes consumed, {} produced", response.consumed, response.produced);
    Err(DeviceError::Wrong { detail: detail.into() }.into())
}

/// Returns the error for output that exceeded a buffer whose length always suffices.
pub(super) fn ran_full() -> Error {
    DeviceError::Wrong { detail: "it is longer than the input can become".into() }.into()
}

/// Returns how a request ends its output: at a byte boundary, after which more may follow, or with the end of the
/// stream.
pub(super) const fn flush(is_open: bool) -> sys::CpaDcFlush {
    if is_open { sys::CPA_DC_FLUSH_FULL } else { sys::CPA_DC_FLUSH_FINAL }
}

pub(super) fn wrong_checksum() -> Error {
    DeviceError::Wrong { detail: "the checksum does not match the data".into() }.into()
}

/// Writes `input` as stored blocks, the shortest form of incompressible data.
pub(super) fn store(input: &[u8], writer: &mut Writer<'_>, is_final: bool) -> Result<()> {
    let count = input.len().div_ceil(STORED_MAX);
    for (i, block) in input.chunks(STORED_MAX).enumerate() {
        let len = (block.len() as u16).to_le_bytes();
        let is_last = is_final && i + 1 == count;
        writer.put(&[u8::from(is_last), len[0], len[1], !len[0], !len[1]])?;
        writer.put(block)?;
    }
    Ok(())
}

/// Returns an output length that always suffices for an LZ4 block of `len` bytes with its size word.
fn lz4_room(len: usize) -> usize {
    (software::lz4::block_bound(len) + 4 + 64).max(LEAST_ROOM)
}

async fn lz4_frame(
    call: CallContext<'_>,
    level: u8,
    input: &[u8],
    writer: &mut Writer<'_>,
) -> Result<Option<u16>> {
    let len = input.len() as u64;
    let mut descriptor = frame::Descriptor::for_len(len, Some(len));
    descriptor.max_block = descriptor.max_block.min(LZ4_PIECE);
    let mut header = [0; frame::MAX_HEADER];
    let header_len = descriptor.write(&mut header);
    writer.put(&header[..header_len])?;
    let block = Lz4Block::of_len(descriptor.max_block).expect("a descriptor has one of the four block sizes");
    let kind = SessionKind::Lz4 { level, block };
    let is_whole = input.len() <= descriptor.max_block;
    let mut device_hash = None;
    let mut last = None;
    let mut window = Window::new();
    let mut rest = input;
    loop {
        while !rest.is_empty() && !window.is_full() {
            let (piece, later) = rest.split_at(rest.len().min(descriptor.max_block));
            let request = StatelessRequest {
                kind,
                prefix: &[],
                input: piece,
                room: lz4_room(piece.len()),
                is_open: false,
            };
            let submitted = call.submit(request, window.when_full(call.when_full)).await;
            if !window.push(submitted, piece).map_err(|error| call.error(error))? {
                break;
            }
            rest = later;
        }
        let Some(next) = window.next(call.started).await else { break };
        let (completed, instance, piece) = next.map_err(|error| call.error(error))?;
        let response =
            call.decode(&completed, instance, piece.len(), lz4_room(piece.len()), Format::Lz4Frame)?;
        call.penalise_on_error(instance, whole_block(&response, piece.len()))?;
        call.penalise_on_error(instance, block_word(&completed, &response).map(drop))?;
        if response.produced >= piece.len() + 4 {
            writer.put(&(piece.len() as u32 | frame::STORED).to_le_bytes())?;
            writer.put(piece)?;
        } else {
            completed.output().read(0, writer.room(response.produced)?);
        }
        device_hash = Some(response.checksum);
        last = Some(instance);
    }
    writer.put(&[0; 4])?;
    // The device hashes each request separately, and hashes of parts cannot be combined.
    let hash = match device_hash {
        Some(hash) if is_whole && call.started.settings.integrity == Integrity::Trust => hash,
        _ => XxHash32::oneshot(0, input),
    };
    if is_whole && device_hash.is_some_and(|device_hash| device_hash != hash) {
        return call.penalise_on_error(last.unwrap_or_default(), Err(wrong_checksum()));
    }
    writer.put(&hash.to_le_bytes())?;
    Ok(last)
}

/// Checks that a response contains all of its LZ4 block.
fn whole_block(response: &DecodedResponse, len: usize) -> Result<()> {
    if response.overflow || complete(response, len)? != len || response.produced <= 4 {
        let detail = format!("{} of {len} bytes consumed, overflow {}", response.consumed, response.overflow);
        return Err(DeviceError::Wrong { detail: detail.into() }.into());
    }
    Ok(())
}

/// Returns the size word in front of a block, which has to match the length of the output.
fn block_word(completed: &CompletedRequest, response: &DecodedResponse) -> Result<u32> {
    let mut word = [0; 4];
    completed.output().read(0, &mut word);
    let word = u32::from_le_bytes(word);
    let len = word & !frame::STORED;
    if len as usize + 4 == response.produced {
        return Ok(word);
    }
    let detail = format!("a block of {len} bytes in {} of output", response.produced);
    Err(DeviceError::Wrong { detail: detail.into() }.into())
}

/// Compresses to a bare block, which is the device's frame block without its size word.
async fn lz4_block(
    call: CallContext<'_>,
    level: u8,
    input: &[u8],
    writer: &mut Writer<'_>,
) -> Result<Option<u16>> {
    if input.is_empty() {
        writer.put(&[0])?;
        return Ok(None);
    }
    let Some(block) = Lz4Block::for_len(input.len()) else {
        return Err(Error::Unsupported {
            accelerator: crate::error::HARDWARE,
            operation: "an LZ4 block of more than 4 MiB".into(),
            remedy: "use the LZ4 frame format, or the CPU".into(),
        });
    };
    let room = lz4_room(input.len());
    let request = StatelessRequest {
        kind: SessionKind::Lz4 { level, block },
        prefix: &[],
        input,
        room,
        is_open: false,
    };
    let (completed, instance) = call.run(request).await.map_err(|error| call.error(error))?;
    let response = call.decode(&completed, instance, input.len(), room, Format::Lz4Block)?;
    call.penalise_on_error(instance, whole_block(&response, input.len()))?;
    let word = call.penalise_on_error(instance, block_word(&completed, &response))?;
    if word & frame::STORED != 0 {
        software::lz4::store_block(input, |bytes| writer.put(bytes))?;
    } else {
        completed.output().read(4, writer.room(word as usize)?);
    }
    Ok(Some(instance))
}
