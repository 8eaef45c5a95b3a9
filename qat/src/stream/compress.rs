//! Compresses a stream: the block size of each format, the work on one block, and the headers, checksums and trailers
//! around the blocks.
//!
//! Programs call [`compress`]. This module never reads further ahead than the blocks in circulation, except that
//! [`zstd`](super::zstd) compresses a whole Zstandard frame on the CPU.

use std::io::{Read, Write};
use std::sync::atomic::Ordering;

use accel_core::{CompressOptions, CompressionAccelerator, End, Error, ExecutedOn, Format};
use libdeflater::{Adler32, Crc};
use twox_hash::{XxHash32, XxHash64};

use super::pipeline::{self, Produced};
use super::source::{Blocks, CountingReader};
use super::{Engine, Progress, Settings, StreamError, Summary, zstd};
use crate::formats::{gzip, lz4 as lz4_frame, zlib, zstd as zstd_frame};
use crate::software;

type Result<T, E = StreamError> = std::result::Result<T, E>;

/// A block of the stream: its plain bytes, and then their compressed form.
#[derive(Default)]
struct Block {
    plain: Vec<u8>,
    packed: Vec<u8>,
    packed_len: usize,
    first: bool,
    last: bool,
    ran: Option<ExecutedOn>,
}

/// Returns the number of plain bytes in one block. It is large enough that cutting does not worsen the ratio, and small
/// enough that every core has work.
fn block_len(options: &CompressOptions) -> usize {
    match options.format {
        Format::Lz4Frame => 4 << 20,
        // A frame cannot refer to the data before it. It is several windows long, so that this worsens the ratio
        // little.
        Format::Zstd => match software::zstd::level(options.level).unwrap_or_default() {
            0..=2 => 4 << 20,
            3..=9 => 8 << 20,
            _ => 16 << 20,
        },
        _ => 1 << 20,
    }
}

/// Compresses everything that `input` yields to `output`.
///
/// # Errors
/// [`StreamError::Read`] and [`StreamError::Write`] where reader or writer fail; [`StreamError::Thread`] and
/// [`StreamError::Memory`] where the system refuses a thread or memory; [`StreamError::Work`] with
/// [`InvalidArgument`](Error::InvalidArgument) for a level that the format does not have and for [`Format::Lz4Block`],
/// which has no stream form, and with any error of the accelerator.
///
/// # Examples
/// ```
/// use accel_core::{CompressOptions, Format};
/// use qat::stream::{self, Engine, Settings};
///
/// let engine = Engine::software(&qat::SoftwareAccelerator::new());
/// let (text, mut packed, mut plain) = (vec![b'a'; 3_000_000], Vec::new(), Vec::new());
/// stream::compress(&text[..], &mut packed, &engine, &CompressOptions::new(Format::Gzip), &Settings::default())?;
/// stream::decompress(&packed[..], &mut plain, &engine, None, &Settings::default())?;
/// assert_eq!(plain, text);
/// # Ok::<(), qat::stream::StreamError>(())
/// ```
pub fn compress<R, W>(
    input: R,
    mut output: W,
    engine: &Engine,
    options: &CompressOptions,
    settings: &Settings,
) -> Result<Summary>
where
    R: Read + Send,
    W: Write,
{
    let format = options.format;
    check_level(options)?;
    let is_one_frame = format == Format::Zstd && !settings.independent;
    let input_len = if is_one_frame { zstd::known_len(settings) } else { None };
    let mut blocks =
        Blocks::new(CountingReader::new(input.take(input_len.unwrap_or(u64::MAX)), &settings.progress));
    let mut first = true;
    let mut wrapper = Wrapper::new(*options, settings, input_len);
    let mut summary = Summary::new(Some(format));
    let (mut len, members) = (block_len(options), format == Format::Gzip && settings.independent);
    let mut block = Block::default();
    if is_one_frame && let Some(reason) = engine.zstd_on_cpu(options.level) {
        len = zstd::PIECE;
        (block.first, block.last) = (true, blocks.next(&mut block.plain, len)?);
        if !block.last {
            let level = software::zstd::level(options.level)?;
            let path = ExecutedOn::Software(reason);
            let plain = block.plain;
            zstd::compress(level, input_len, plain, &mut blocks, &mut output, path, settings, &mut summary)?;
            output.flush().map_err(StreamError::Write)?;
            return Ok(summary);
        }
    }
    let mut read_already = block.last.then_some(block);
    pipeline::run(
        settings.threads,
        |block: &mut Block| {
            match read_already.take() {
                Some(whole) => *block = whole,
                None => {
                    block.last = blocks.next(&mut block.plain, len)?;
                    block.first = std::mem::take(&mut first);
                }
            }
            Ok(if block.last { Produced::Last } else { Produced::Block })
        },
        |block| {
            if members {
                pack_member(block, engine, options)
            } else {
                pack(block, engine, options, is_one_frame)
            }
        },
        |block| {
            summary.bytes_in += block.plain.len() as u64;
            if let Some(path) = block.ran {
                summary.ran(path);
            }
            summary.bytes_out += wrapper.write(block, &mut output, &settings.progress)?;
            Ok(())
        },
    )?;
    output.flush().map_err(StreamError::Write)?;
    Ok(summary)
}

/// Fails for a format or level that cannot be written, before anything is read.
fn check_level(options: &CompressOptions) -> Result<(), Error> {
    match options.format {
        Format::Lz4Block => Err(Error::InvalidArgument {
            argument: "format",
            remedy: "a bare LZ4 block has no stream form: use the LZ4 frame".into(),
        }),
        Format::Lz4Frame => software::lz4::level(options.format, options.level).map(drop),
        Format::Zstd => software::zstd::level(options.level).map(drop),
        _ => software::deflate::level(options.format, options.level).map(drop),
    }
}

/// Compresses a block to one gzip member. The member states its length unless it is the only one.
fn pack_member(block: &mut Block, engine: &Engine, options: &CompressOptions) -> Result<()> {
    let deflate = CompressOptions::new(Format::Deflate).level(options.level);
    let bound = engine.accelerator.compress_bound(block.plain.len(), &deflate);
    pipeline::room(&mut block.packed, gzip::SIZED_HEADER_LEN + bound + gzip::TRAILER_LEN)?;
    let sized = !(block.first && block.last);
    let header_len = if sized { gzip::SIZED_HEADER_LEN } else { gzip::HEADER_LEN };
    let body = &mut block.packed[header_len..][..bound];
    let done = engine.accelerator.compress_into(&block.plain, body, &deflate)?;
    let sizes = gzip::MemberSizes { plain: block.plain.len() as u32, deflated: done.bytes_out as u32 };
    gzip::write_header(&mut block.packed, sized.then_some(sizes));
    let trailer = gzip::trailer(libdeflater::crc32(&block.plain), block.plain.len() as u64);
    let end = header_len + done.bytes_out;
    block.packed[end..][..gzip::TRAILER_LEN].copy_from_slice(&trailer);
    block.packed_len = end + gzip::TRAILER_LEN;
    block.ran = Some(done.path);
    Ok(())
}

/// Compresses a block to the part of the output that its format has for it: a piece of one deflate stream, an LZ4
/// block, a Zstandard frame, or Zstandard blocks where the whole stream is one frame.
fn pack(block: &mut Block, engine: &Engine, options: &CompressOptions, is_one_frame: bool) -> Result<()> {
    let compression = &engine.accelerator;
    if options.format == Format::Lz4Frame {
        if block.plain.is_empty() {
            // A frame may have no blocks, and a block of length 0 would be read as the end of the frame.
            (block.packed_len, block.ran) = (0, None);
            return Ok(());
        }
        let bare = CompressOptions::new(Format::Lz4Block).level(options.level);
        let len = 4 + compression.compress_bound(block.plain.len(), &bare);
        let room = &mut pipeline::room(&mut block.packed, len)?[4..];
        let done = compression.compress_into(&block.plain, room, &bare)?;
        block.packed_len =
            software::lz4::seal_frame_block(&block.plain, &mut block.packed, Some(done.bytes_out));
        block.ran = Some(done.path);
        return Ok(());
    }
    let options = match options.format {
        Format::Zstd if is_one_frame && !(block.first && block.last) => options.end(End::Open),
        Format::Zstd => *options,
        _ => CompressOptions::new(Format::Deflate).level(options.level).end(if block.last {
            End::Final
        } else {
            End::Open
        }),
    };
    let bound = compression.compress_bound(block.plain.len(), &options);
    let room = pipeline::room(&mut block.packed, bound)?;
    let done = compression.compress_into(&block.plain, room, &options)?;
    (block.packed_len, block.ran) = (done.bytes_out, Some(done.path));
    Ok(())
}

/// The bytes around the blocks of a stream: headers, running checksums and trailers.
struct Wrapper {
    kind: Kind,
    length: u64,
}

enum Kind {
    /// Each block is complete by itself, and needs no wrapper.
    Bare,
    Gzip(Crc),
    Zlib(u8, Adler32),
    Lz4(XxHash32),
    Zstd(zstd_frame::Descriptor, Box<XxHash64>),
}

impl Wrapper {
    fn new(options: CompressOptions, settings: &Settings, input_len: Option<u64>) -> Self {
        let kind = match options.format {
            Format::Gzip if !settings.independent => Kind::Gzip(Crc::new()),
            Format::Zlib => {
                let level = software::deflate::level(Format::Zlib, options.level).unwrap_or_default();
                Kind::Zlib(software::zlib_effort(level), Adler32::new())
            }
            Format::Lz4Frame => Kind::Lz4(XxHash32::with_seed(0)),
            Format::Zstd if !settings.independent => {
                // The blocks do not refer to each other, and this is the length of the longest.
                let descriptor =
                    zstd_frame::Descriptor { window: block_len(&options), content_size: input_len };
                Kind::Zstd(descriptor, Box::new(XxHash64::with_seed(0)))
            }
            _ => Kind::Bare,
        };
        Self { kind, length: 0 }
    }

    /// Writes a compressed block with the header before it and the trailer after it where they belong, and returns the
    /// number of bytes written.
    fn write(&mut self, block: &Block, output: &mut impl Write, progress: &Progress) -> Result<u64> {
        self.length += block.plain.len() as u64;
        const { assert!(zstd_frame::MAX_HEADER <= lz4_frame::MAX_HEADER) };
        let mut head = [0; lz4_frame::MAX_HEADER];
        let mut tail = [0; gzip::TRAILER_LEN];
        let (mut head_len, mut tail_len) = (0, 0);
        match &mut self.kind {
            Kind::Bare => {}
            Kind::Gzip(crc) => {
                crc.update(&block.plain);
                head_len = gzip::write_header(&mut head, None);
                tail = gzip::trailer(crc.sum(), self.length);
                tail_len = tail.len();
            }
            Kind::Zlib(effort, adler) => {
                adler.update(&block.plain);
                head[..zlib::HEADER_LEN].copy_from_slice(&zlib::header(*effort));
                head_len = zlib::HEADER_LEN;
                tail[..zlib::TRAILER_LEN].copy_from_slice(&adler.sum().to_be_bytes());
                tail_len = zlib::TRAILER_LEN;
            }
            Kind::Lz4(hash) => {
                use std::hash::Hasher;
                hash.write(&block.plain);
                if block.first {
                    // The only block of a short stream states its length, which selects the smallest block size.
                    let len = if block.last { block.plain.len() as u64 } else { u64::MAX };
                    let size = block.last.then_some(len);
                    head_len = lz4_frame::Descriptor::for_len(len, size).write(&mut head);
                }
                // The end mark of four zero bytes is already in `tail`.
                tail[4..].copy_from_slice(&(hash.finish() as u32).to_le_bytes());
                tail_len = 8;
            }
            Kind::Zstd(descriptor, hash) => {
                use std::hash::Hasher;
                hash.write(&block.plain);
                head_len = descriptor.write(&mut head);
                // An empty last block follows, because the blocks before it were written before it was known which one
                // is the last.
                tail[..zstd_frame::BLOCK_HEADER_LEN].copy_from_slice(&zstd_frame::EMPTY_LAST_BLOCK);
                tail_len = zstd_frame::BLOCK_HEADER_LEN + zstd_frame::CHECKSUM_LEN;
                tail[zstd_frame::BLOCK_HEADER_LEN..tail_len]
                    .copy_from_slice(&(hash.finish() as u32).to_le_bytes());
            }
        }
        if block.first && block.last && matches!(self.kind, Kind::Zstd(..)) {
            // The block is a whole frame, which needs no header or trailer.
            (head_len, tail_len) = (0, 0);
        }
        if !block.first {
            head_len = 0;
        }
        if !block.last {
            tail_len = 0;
        }
        for part in [&head[..head_len], &block.packed[..block.packed_len], &tail[..tail_len]] {
            output.write_all(part).map_err(StreamError::Write)?;
        }
        let written = (head_len + block.packed_len + tail_len) as u64;
        progress.bytes_out.fetch_add(written, Ordering::Relaxed);
        Ok(written)
    }
}
