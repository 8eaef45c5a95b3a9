//! LZ4 blocks and LZ4s sequences; decompression uses lz4_flex.
//!
//! LZ4 data consists of blocks, each of which follows a 32-bit little-endian size word whose top bit marks a raw block;
//! the library adds the frame header and footer. LZ4s data is one stream of sequences similar to LZ4's, without a size
//! word, which is converted to the sequences of a zstd block. Its match nibble counts from one below the shortest
//! match, and 0 means that there is no match.

use lz4_flex::block::{DecompressError, decompress_into_with_dict};

use super::message::error;
use super::search::{MIN_MATCH, matches};
use super::{CodecOutput, fill};

/// The bit of a size word that marks a raw block.
const RAW: u32 = 1 << 31;
/// The largest distance of a match.
const WINDOW: usize = 65_535;

/// Compresses as much of `input` as fits into `limit` bytes of output, in blocks of at most `block_max` plain bytes. If
/// `depth` is `None`, the blocks are raw.
pub(crate) fn compress(input: &[u8], limit: usize, block_max: usize, depth: Option<u32>) -> CodecOutput {
    let mut output = CodecOutput { stored: !input.is_empty(), ..CodecOutput::default() };
    for plain in input.chunks(block_max) {
        let room = limit - output.bytes.len();
        let block = |len: usize| {
            let (block, stored) = block(&plain[..len], depth);
            (block.len() <= room).then_some((block, stored))
        };
        if let Some((bytes, stored)) = block(plain.len()) {
            output.bytes.extend(bytes);
            output.consumed += plain.len();
            output.stored &= stored;
        } else {
            let part = fill(room, plain.len(), |len| block(len).map(|(bytes, _)| bytes));
            output.stored &= depth.is_none();
            output.bytes.extend(part.bytes);
            output.consumed += part.consumed;
            output.error = part.error;
            break;
        }
    }
    output
}

/// Returns one block with its size word, and whether it is raw.
fn block(plain: &[u8], depth: Option<u32>) -> (Vec<u8>, bool) {
    let packed = depth.map(|depth| sequences(plain, depth, MIN_MATCH));
    let packed = packed.filter(|packed| packed.len() < plain.len());
    let raw = packed.is_none();
    let packed = packed.unwrap_or_default();
    let (body, mark) = if raw { (plain, RAW) } else { (&packed[..], 0) };
    let mut bytes = (body.len() as u32 | mark).to_le_bytes().to_vec();
    bytes.extend(body);
    (bytes, raw)
}

/// Decompresses a sequence of blocks up to a zero size word or the end of the input. Blocks may refer to earlier
/// blocks.
pub(crate) fn decompress(input: &[u8], limit: usize, block_max: usize, checksums: bool) -> CodecOutput {
    let mut output = CodecOutput::default();
    let trailer = if checksums { 4 } else { 0 };
    loop {
        let rest = &input[output.consumed..];
        if rest.is_empty() {
            if input.is_empty() {
                output.error = error::INCOMPLETE_FILE;
            }
            output.end_of_last_block = !input.is_empty();
            break;
        }
        let Some((word, rest)) = rest.split_first_chunk::<4>() else {
            output.error = error::INCOMPLETE_FILE;
            break;
        };
        let word = u32::from_le_bytes(*word);
        if word == 0 {
            output.consumed += 4;
            output.end_of_last_block = true;
            break;
        }
        let size = (word & !RAW) as usize;
        if size > block_max {
            output.error = error::LZ4_MAX_BLOCK_SIZE_EXCEEDED;
            break;
        }
        if rest.len() < size + trailer {
            output.error = error::INCOMPLETE_FILE;
            break;
        }
        let result = if word & RAW == 0 {
            unpack(&rest[..size], &mut output.bytes, limit, block_max)
        } else if output.bytes.len() + size > limit {
            Err(error::OVERFLOW)
        } else {
            output.bytes.extend(&rest[..size]);
            Ok(())
        };
        if let Err(code) = result {
            output.error = code;
            break;
        }
        output.consumed += 4 + size + trailer;
    }
    output
}

/// Decompresses one block and appends its plain bytes.
fn unpack(block: &[u8], bytes: &mut Vec<u8>, limit: usize, block_max: usize) -> Result<(), i8> {
    let done = bytes.len();
    let room = block_max.min(limit - done);
    bytes.resize(done + room, 0);
    let (before, after) = bytes.split_at_mut(done);
    let result = decompress_into_with_dict(block, after, &before[done.saturating_sub(WINDOW)..]);
    bytes.truncate(done + *result.as_ref().unwrap_or(&0));
    match result {
        Ok(_) => Ok(()),
        Err(DecompressError::OutputTooSmall { .. }) if room == block_max => Err(error::LZ4_BLOCK_OVERFLOW),
        Err(DecompressError::OutputTooSmall { .. }) => Err(error::OVERFLOW),
        Err(DecompressError::OffsetZero | DecompressError::OffsetOutOfBounds) => {
            Err(error::LZ4_DISTANCE_OUT_OF_RANGE)
        }
        Err(_) => Err(error::INVALID_CODE),
    }
}

/// Compresses as much of `input` as fits into `limit` bytes of LZ4s sequences; if `depth` is `None`, into literals
/// only.
pub(crate) fn compress_lz4s(input: &[u8], limit: usize, min_match: usize, depth: Option<u32>) -> CodecOutput {
    let attempt = |len: usize| {
        let bytes = match depth {
            // Code 0 means no match, so the shortest match has code 1.
            Some(depth) => sequences(&input[..len], depth, min_match - 1),
            None => {
                let mut bytes = Vec::new();
                push_sequence(&mut bytes, &input[..len], None);
                bytes
            }
        };
        (bytes.len() <= limit).then_some(bytes)
    };
    let mut output = match attempt(input.len()) {
        Some(bytes) => CodecOutput { bytes, consumed: input.len(), ..CodecOutput::default() },
        None => fill(limit, input.len(), attempt),
    };
    output.stored = depth.is_none();
    output
}

/// Returns the sequences of `plain`, whose match lengths are coded as the difference to `base`.
fn sequences(plain: &[u8], depth: u32, base: usize) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(plain.len() / 2 + 16);
    let mut done = 0;
    matches(plain, depth, |found| {
        let matched = (found.distance.to_le_bytes(), found.len - base);
        push_sequence(&mut bytes, &plain[done..found.start], Some(matched));
        done = found.start + found.len;
    });
    push_sequence(&mut bytes, &plain[done..], None);
    bytes
}

/// Appends a sequence: literals and, except at the end, a distance and the code of a match length.
fn push_sequence(bytes: &mut Vec<u8>, literals: &[u8], matched: Option<([u8; 2], usize)>) {
    let code = matched.map_or(0, |(_, code)| code);
    bytes.push((literals.len().min(15) << 4 | code.min(15)) as u8);
    push_length(bytes, literals.len());
    bytes.extend_from_slice(literals);
    if let Some((distance, code)) = matched {
        bytes.extend_from_slice(&distance);
        push_length(bytes, code);
    }
}

/// Appends the part of a length that does not fit into a nibble.
fn push_length(bytes: &mut Vec<u8>, length: usize) {
    if let Some(rest) = length.checked_sub(15) {
        bytes.resize(bytes.len() + rest / 255, 255);
        bytes.push((rest % 255) as u8);
    }
}
