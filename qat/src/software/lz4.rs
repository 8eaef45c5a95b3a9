//! LZ4 blocks and frames on the CPU.

use accel_core::{CompressOptions, Error, Format, Level, Output, Result};
use twox_hash::XxHash32;

use crate::formats::{le32, lz4 as frame, may_begin_frame};

/// Lowest level of the high-compression search; below it the fast one runs.
const FIRST_HC_LEVEL: u8 = 3;
const MAX_LEVEL: u8 = 12;
/// Largest input of one block, `LZ4_MAX_INPUT_SIZE`.
const MAX_INPUT: usize = 0x7E00_0000;
/// Longest slice that lz4 takes: its lengths are C integers, to which the crate converts without a look.
const MAX_LEN: usize = i32::MAX as usize;

/// The integer level behind a named one. `Balanced` is `lz4`'s own default: who picks LZ4 wants its speed.
pub(crate) fn level(format: Format, level: Level) -> Result<u8> {
    match level {
        Level::Fast | Level::Balanced => Ok(1),
        Level::Best => Ok(9),
        Level::Exact(level @ 1..=MAX_LEVEL) => Ok(level),
        Level::Exact(level) => Err(Error::InvalidArgument {
            argument: "level",
            remedy: format!("{format} has levels 1 to {MAX_LEVEL}, not {level}").into(),
        }),
    }
}

/// Most bytes that a block of `len` bytes compresses to (`LZ4_compressBound`).
pub(crate) const fn block_bound(len: usize) -> usize {
    CompressOptions::new(Format::Lz4Block).bound(len)
}

/// Most bytes that a frame of `len` bytes compresses to.
pub(crate) const fn frame_bound(len: usize) -> usize {
    CompressOptions::new(Format::Lz4Frame).bound(len)
}

/// Compresses one block to the front of `output`; the bytes written.
pub(crate) fn compress_block(input: &[u8], output: &mut [u8], level: u8) -> Result<usize> {
    if input.len() > MAX_INPUT {
        return Err(Error::InvalidArgument {
            argument: "input",
            remedy: format!("an LZ4 block holds at most {MAX_INPUT} bytes: use the frame format").into(),
        });
    }
    let available = output.len();
    let too_small = || Error::OutputTooSmall { required: Some(block_bound(input.len())), available };
    if input.is_empty() {
        // One token, no literals: what the reference writes, and the crate leaves out.
        *output.first_mut().ok_or_else(too_small)? = 0;
        return Ok(1);
    }
    // More room than lz4 can name is more than it needs.
    let output = &mut output[..available.min(MAX_LEN)];
    let written = if level < FIRST_HC_LEVEL {
        lzzzz::lz4::compress(input, output, lzzzz::lz4::ACC_LEVEL_DEFAULT)
    } else {
        lzzzz::lz4_hc::compress(input, output, i32::from(level))
    };
    match written {
        Ok(written) if written > 0 => Ok(written),
        _ => Err(too_small()),
    }
}

/// Makes a frame block of what was compressed to `output[4..]`: writes its size word, or stores `input` where that is
/// no longer. `output` must hold `input.len() + 4` bytes; the bytes used.
pub(crate) fn seal_frame_block(input: &[u8], output: &mut [u8], compressed: Option<usize>) -> usize {
    let (len, flag) = match compressed {
        Some(len) if len < input.len() => (len, 0),
        _ => {
            output[4..][..input.len()].copy_from_slice(input);
            (input.len(), frame::STORED)
        }
    };
    output[..4].copy_from_slice(&(len as u32 | flag).to_le_bytes());
    4 + len
}

/// Compresses `input` to one frame at the front of `output`; the bytes written.
pub(crate) fn compress_frame(input: &[u8], output: &mut [u8], level: u8) -> Result<usize> {
    let available = output.len();
    let too_small = || Error::OutputTooSmall { required: Some(frame_bound(input.len())), available };
    let descriptor = frame::Descriptor::for_len(input.len() as u64, Some(input.len() as u64));
    let mut header = [0; frame::MAX_HEADER];
    let mut at = descriptor.write(&mut header);
    output.get_mut(..at).ok_or_else(too_small)?.copy_from_slice(&header[..at]);
    for block in input.chunks(descriptor.max_block) {
        let room = output.get_mut(at..at + 4 + block.len()).ok_or_else(too_small)?;
        let compressed = match compress_block(block, &mut room[4..], level) {
            Ok(len) => Some(len),
            Err(Error::OutputTooSmall { .. }) => None,
            Err(error) => return Err(error),
        };
        at += seal_frame_block(block, room, compressed);
    }
    let end = output.get_mut(at..at + 8).ok_or_else(too_small)?;
    end[..4].fill(0);
    end[4..].copy_from_slice(&XxHash32::oneshot(0, input).to_le_bytes());
    Ok(at + 8)
}

/// Returns the plain length of a block, which it finds by walking the sequences, and checks their offsets on the way (LZ4
/// block format description): a match 0 bytes back is what some decoders, a device's among them, refuse and others make
/// whatever bytes of.
pub(crate) fn block_len(input: &[u8], format: Format) -> Result<usize> {
    fn extended(input: &[u8], at: &mut usize, nibble: u8) -> Option<usize> {
        let mut len = usize::from(nibble);
        if nibble == 15 {
            loop {
                let byte = *input.get(*at)?;
                *at += 1;
                len += usize::from(byte);
                if byte != 255 {
                    break;
                }
            }
        }
        Some(len)
    }
    let mut has_zero_offset = false;
    let mut walk = || {
        let (mut at, mut len) = (0, 0_usize);
        loop {
            let token = *input.get(at)?;
            at += 1;
            let literals = extended(input, &mut at, token >> 4)?;
            at = at.checked_add(literals)?;
            len += literals;
            if at == input.len() {
                // The last sequence is literals only.
                return Some(len);
            }
            has_zero_offset = *input.get(at..at + 2)? == [0; 2];
            if has_zero_offset {
                return None;
            }
            at += 2;
            len += extended(input, &mut at, token & 15)? + 4;
        }
    };
    let len = walk();
    if has_zero_offset {
        return Err(Error::Corrupt { format, detail: "a match has the offset 0".into() });
    }
    len.ok_or(Error::Truncated { format })
}

/// Whether two zeros stand side by side somewhere, as they do in an offset of 0. Rare in compressed data, and found at a
/// fraction of the cost of a walk.
fn has_zero_pair(bytes: &[u8]) -> bool {
    let (Some((_, behind)), Some((_, before))) = (bytes.split_first(), bytes.split_last()) else {
        return false;
    };
    before.chunks(1024).zip(behind.chunks(1024)).any(|(before, behind)| {
        // Without a way out inside, so that it is done many bytes at a time.
        before.iter().zip(behind).fold(false, |found, (a, b)| found | (a | b == 0))
    })
}

/// Decompresses one block into the front of `output`, which may refer to `history` right before it.
pub(crate) fn decompress_block(
    input: &[u8],
    output: &mut [u8],
    history: &[u8],
    format: Format,
) -> Result<usize> {
    if input.len() > MAX_LEN {
        return Err(too_long());
    }
    let most = output.len().min(MAX_LEN);
    let Some(written) = decompress_raw(input, &mut output[..most], history) else {
        return decompress_tight(input, output, history, format);
    };
    if has_zero_pair(input) {
        block_len(input, format)?;
    }
    Ok(written)
}

/// Says why a block is refused, or decompresses one that lz4 refuses only for the room: where a block's end is near the
/// end of the room it wants the last bytes to be literals, which it otherwise does not look at.
#[cold]
fn decompress_tight(input: &[u8], output: &mut [u8], history: &[u8], format: Format) -> Result<usize> {
    /// More than lz4 looks at behind a block.
    const SPARE: usize = 64;
    let required = block_len(input, format)?;
    if required > MAX_LEN - SPARE {
        return Err(too_long());
    }
    let available = output.len();
    let Some(room) = output.get_mut(..required) else {
        return Err(Error::OutputTooSmall { required: Some(required), available });
    };
    let mut spare = vec![0; required + SPARE];
    if decompress_raw(input, &mut spare, history) != Some(required) {
        return Err(Error::Corrupt { format, detail: "a sequence is invalid".into() });
    }
    room.copy_from_slice(&spare[..required]);
    Ok(required)
}

/// lz4's own call. Neither slice may be longer than [`MAX_LEN`].
fn decompress_raw(input: &[u8], output: &mut [u8], history: &[u8]) -> Option<usize> {
    let written = if history.is_empty() {
        lzzzz::lz4::decompress(input, output)
    } else {
        lzzzz::lz4::decompress_with_dict(input, output, history)
    };
    written.ok()
}

/// The error for a block that lz4's C integers cannot express.
fn too_long() -> Error {
    Error::Unsupported {
        accelerator: crate::error::SOFTWARE,
        operation: format!("an LZ4 block of more than {MAX_LEN} bytes").into(),
        remedy: "use the frame format, whose blocks are shorter".into(),
    }
}

/// Decompresses a bare block.
pub(crate) fn decompress_bare_block(input: &[u8], output: &mut Output<'_>) -> Result<()> {
    if !output.is_fixed() {
        output.reserve(block_len(input, Format::Lz4Block)?)?;
    }
    let limit = output.limit();
    let written =
        decompress_block(input, output.room(), &[], Format::Lz4Block).map_err(|error| match error {
            Error::OutputTooSmall { required: Some(len), .. } if len > limit => {
                Error::LimitExceeded { limit: limit as u64 }
            }
            other => other,
        })?;
    output.advance(written);
    Ok(())
}

/// What begins at the front of some input.
pub(crate) enum Frame {
    Ordinary,
    Legacy,
    /// To be passed over, with its length.
    Skippable {
        len: usize,
    },
}

/// The frame at the front of `rest`, which stands behind `at` bytes of frames.
pub(crate) fn next_frame(rest: &[u8], at: usize) -> Result<Frame> {
    let magic = le32(rest).ok_or_else(|| after_frames(at, rest))?;
    if magic == frame::MAGIC {
        return Ok(Frame::Ordinary);
    }
    if magic == frame::LEGACY_MAGIC {
        return Ok(Frame::Legacy);
    }
    if !frame::is_skippable(magic) {
        return Err(after_frames(at, rest));
    }
    let len = rest.get(4..).and_then(le32).ok_or(TRUNCATED)? as usize;
    rest.get(8..).and_then(|r| r.get(..len)).ok_or(TRUNCATED)?;
    Ok(Frame::Skippable { len: 8 + len })
}

/// Decompresses all frames of `input`: ordinary, skippable and legacy ones.
pub(crate) fn decompress_frames(input: &[u8], output: &mut Output<'_>) -> Result<()> {
    let mut at = 0;
    while at < input.len() || at == 0 {
        let rest = &input[at..];
        at += match next_frame(rest, at)? {
            Frame::Ordinary => decompress_frame(rest, output)?,
            Frame::Legacy => decompress_legacy(rest, output)?,
            Frame::Skippable { len } => len,
        };
    }
    Ok(())
}

const TRUNCATED: Error = Error::Truncated { format: Format::Lz4Frame };

/// The error for bytes that begin no frame, at the start or behind one.
fn after_frames(at: usize, rest: &[u8]) -> Error {
    let format = Format::Lz4Frame;
    if at > 0 {
        return Error::TrailingData { format, consumed: at as u64 };
    }
    if rest.len() < 4 && may_begin_frame(rest, format) {
        return Error::Truncated { format };
    }
    Error::Corrupt { format, detail: "no LZ4 frame signature".into() }
}

/// One block of a frame: its size word taken apart.
pub(crate) fn block_size(word: u32, max_block: usize) -> Result<(usize, bool)> {
    let len = (word & !frame::STORED) as usize;
    if len > max_block {
        return Err(Error::Corrupt {
            format: Format::Lz4Frame,
            detail: "a block is larger than the frame allows".into(),
        });
    }
    Ok((len, word & frame::STORED != 0))
}

/// Length of the next block of a legacy frame by its size word; `None` where the frame has ended, since it has no end
/// mark: another frame begins there, or something that is no block.
pub(crate) fn legacy_block_size(word: u32, is_first: bool) -> Result<Option<usize>> {
    if frame::begins_frame(word) {
        return Ok(None);
    }
    let len = word as usize;
    if len <= block_bound(frame::LEGACY_BLOCK) {
        return Ok(Some(len));
    }
    if is_first {
        let detail = "a legacy block is larger than 8 MiB can become".into();
        return Err(Error::Corrupt { format: Format::Lz4Frame, detail });
    }
    Ok(None)
}

/// Checks an xxHash32 that the frame carries.
pub(crate) fn check_hash(actual: u32, stored: u32, what: &'static str) -> Result<()> {
    if actual == stored {
        return Ok(());
    }
    Err(Error::Corrupt { format: Format::Lz4Frame, detail: what.into() })
}

/// Returns a block decoder's lack of room as the caller should see it: the limit or the whole buffer.
fn no_room(output: &mut Output<'_>, error: Error) -> Error {
    match error {
        Error::OutputTooSmall { required: Some(more), .. } => output.reserve(more).err().unwrap_or(error),
        other => other,
    }
}

fn decompress_frame(input: &[u8], output: &mut Output<'_>) -> Result<usize> {
    let (descriptor, mut at) = frame::Descriptor::parse(input)?.ok_or(TRUNCATED)?;
    let start = output.written();
    loop {
        let word = input.get(at..).and_then(le32).ok_or(TRUNCATED)?;
        at += 4;
        if word == 0 {
            break;
        }
        let (len, stored) = block_size(word, descriptor.max_block)?;
        let block = input.get(at..at + len).ok_or(TRUNCATED)?;
        at += len;
        if descriptor.block_checksum {
            let hash = input.get(at..).and_then(le32).ok_or(TRUNCATED)?;
            check_hash(XxHash32::oneshot(0, block), hash, "a block checksum does not match")?;
            at += 4;
        }
        if stored {
            output.reserve(len)?;
            output.room()[..len].copy_from_slice(block);
            output.advance(len);
            continue;
        }
        if !output.is_fixed() {
            output.reserve(frame_block_len(block, descriptor.max_block)?)?;
        }
        let (history, room) = output.split();
        let since = if descriptor.independent {
            history.len()
        } else {
            start.max(history.len().saturating_sub(frame::WINDOW))
        };
        let room_len = room.len().min(descriptor.max_block);
        let (room, history) = (&mut room[..room_len], &history[since..]);
        let written = decompress_frame_block(block, room, history, descriptor.max_block)
            .map_err(|error| no_room(output, error))?;
        output.advance(written);
    }
    Ok(at + check_content(&descriptor, &output.filled()[start..], &input[at..])?)
}

/// Checks what a frame says of its whole content; `rest` begins behind its last block. The bytes used of that.
pub(crate) fn check_content(descriptor: &frame::Descriptor, content: &[u8], rest: &[u8]) -> Result<usize> {
    if descriptor.content_size.is_some_and(|size| size != content.len() as u64) {
        let detail = "the content length does not match the header".into();
        return Err(Error::Corrupt { format: Format::Lz4Frame, detail });
    }
    if !descriptor.content_checksum {
        return Ok(0);
    }
    let hash = le32(rest).ok_or(TRUNCATED)?;
    check_hash(XxHash32::oneshot(0, content), hash, "the content checksum does not match")?;
    Ok(4)
}

/// Decompresses one block of a frame with blocks of at most `max_block` bytes, as [`decompress_block`].
pub(crate) fn decompress_frame_block(
    block: &[u8],
    room: &mut [u8],
    history: &[u8],
    max_block: usize,
) -> Result<usize> {
    decompress_block(block, room, history, Format::Lz4Frame).map_err(|error| in_frame(error, max_block))
}

/// Plain length of one block of a frame with blocks of at most `max_block` bytes.
pub(crate) fn frame_block_len(block: &[u8], max_block: usize) -> Result<usize> {
    let len = block_len(block, Format::Lz4Frame).map_err(|error| in_frame(error, max_block))?;
    if len > max_block { Err(holds_too_much()) } else { Ok(len) }
}

/// The error of a block, as one of a frame that says how long its blocks are: a block that ends early is not cut off but
/// wrong, and so is one that holds more than the frame allows, whatever room there is.
pub(crate) fn in_frame(error: Error, max_block: usize) -> Error {
    match error {
        Error::OutputTooSmall { required: Some(required), .. } if required > max_block => holds_too_much(),
        Error::Truncated { .. } | Error::TrailingData { .. } => {
            Error::Corrupt { format: Format::Lz4Frame, detail: "a block is invalid".into() }
        }
        Error::Corrupt { detail, .. } => Error::Corrupt { format: Format::Lz4Frame, detail },
        other => other,
    }
}

fn holds_too_much() -> Error {
    Error::Corrupt { format: Format::Lz4Frame, detail: "a block holds more than the frame allows".into() }
}

/// Writes a block of nothing but literals.
pub(crate) fn store_block(input: &[u8], mut put: impl FnMut(&[u8]) -> Result<()>) -> Result<()> {
    let Some(mut more) = input.len().checked_sub(15) else {
        put(&[(input.len() as u8) << 4])?;
        return put(input);
    };
    put(&[0xf0])?;
    while more >= 255 {
        put(&[255])?;
        more -= 255;
    }
    put(&[more as u8])?;
    put(input)
}

fn decompress_legacy(input: &[u8], output: &mut Output<'_>) -> Result<usize> {
    let mut at = 4;
    while at < input.len() {
        let word = le32(&input[at..]).ok_or(TRUNCATED)?;
        let Some(len) = legacy_block_size(word, at == 4)? else { break };
        let block = input.get(at + 4..).and_then(|rest| rest.get(..len)).ok_or(TRUNCATED)?;
        if !output.is_fixed() {
            output.reserve(frame_block_len(block, frame::LEGACY_BLOCK)?)?;
        }
        let room = output.room();
        let room_len = room.len().min(frame::LEGACY_BLOCK);
        let written = decompress_frame_block(block, &mut room[..room_len], &[], frame::LEGACY_BLOCK)
            .map_err(|error| no_room(output, error))?;
        output.advance(written);
        at += 4 + len;
    }
    Ok(at)
}
