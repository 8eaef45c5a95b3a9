//! Deflate (RFC 1951) as the device writes and reads it, on zlib-rs.

use std::collections::BTreeMap;

use zlib_rs::{Deflate, DeflateConfig, DeflateFlush, Inflate, InflateFlush, Status, Strategy};

use super::message::error;
use super::{CodecOutput, fill};

/// Room beyond the limit that tells "exactly full" from "not finished".
const PROBE: usize = 16;
/// Largest stored block.
const STORED_MAX: usize = 65_535;

/// How to compress.
#[derive(Debug, Clone, Copy)]
pub(crate) struct SearchEffort {
    /// Fixed-Huffman blocks only.
    pub(crate) fixed: bool,
    /// Binary logarithm of the number of match candidates.
    pub(crate) search_depth: u32,
}

impl SearchEffort {
    /// The zlib-rs level nearest to a search depth. Level 1 of zlib-rs knows only fixed blocks and packs worse than
    /// any hardware level; level 2 is the counterpart of the classic zlib's level 1.
    fn level(self) -> i32 {
        match self.search_depth {
            0 | 1 => 2,
            2 | 3 => 4,
            4 => 6,
            _ => 9,
        }
    }
}

/// Level of zlib-rs that writes fixed blocks whatever the data.
const FIXED_ALWAYS: i32 = 1;

/// Compressors and a decompressor, kept for the next request: setting one up costs more than a small request.
#[derive(Default)]
pub(crate) struct Codec {
    deflate: BTreeMap<(bool, i32), Deflate>,
    inflate: Option<Inflate>,
}

impl Codec {
    /// Compresses as much of `input` as `limit` bytes of output take. A `last` stream is finished; another one, and
    /// any that overflows, ends with a full flush on a byte boundary.
    pub(crate) fn compress(
        &mut self,
        input: &[u8],
        limit: usize,
        effort: SearchEffort,
        last: bool,
        choose_stored: bool,
    ) -> CodecOutput {
        let whole = self.attempt(input, limit, effort, last);
        if choose_stored {
            let size = stored_len(input.len());
            if size <= limit && whole.as_ref().map_or(true, |w| w.len() > size) {
                return store(input, limit, last);
            }
        }
        match whole {
            Ok(bytes) => CodecOutput { bytes, consumed: input.len(), ..CodecOutput::default() },
            Err(reached) => {
                fill(limit, reached, |len| self.attempt(&input[..len], limit, effort, false).ok())
            }
        }
    }

    /// All of `input` in at most `limit` bytes, or a length of input that is certainly too long.
    fn attempt(
        &mut self,
        input: &[u8],
        limit: usize,
        effort: SearchEffort,
        last: bool,
    ) -> Result<Vec<u8>, usize> {
        let bytes = self.run(input, limit, effort.fixed, effort.level(), last);
        match bytes {
            // zlib prefers a stored block to a larger fixed one.
            Ok(bytes) if effort.fixed && may_hold_stored_block(&bytes, input) => {
                self.run(input, limit, true, FIXED_ALWAYS, last)
            }
            other => other,
        }
    }

    fn run(
        &mut self,
        input: &[u8],
        limit: usize,
        fixed: bool,
        level: i32,
        last: bool,
    ) -> Result<Vec<u8>, usize> {
        let mut stream = self.deflate.remove(&(fixed, level)).unwrap_or_else(|| {
            let strategy = if fixed { Strategy::Fixed } else { Strategy::Default };
            Deflate::new_with_config(DeflateConfig {
                level,
                window_bits: -15,
                strategy,
                ..DeflateConfig::default()
            })
        });
        // Nine bits per literal is the worst that fixed codes do.
        let room = limit.min(input.len() + input.len() / 4 + 4096) + PROBE;
        let mut bytes = vec![0; room];
        let flush = if last { DeflateFlush::Finish } else { DeflateFlush::FullFlush };
        let status = stream.compress(input, &mut bytes, flush);
        let (read, written) = (stream.total_in() as usize, stream.total_out() as usize);
        let complete = match status {
            Ok(Status::StreamEnd) => true,
            Ok(_) => !last && read == input.len() && written < room,
            Err(_) => false,
        };
        // A stream with output pending is not kept: zlib-rs 0.6.8 resets the length of its pending buffer but not the
        // start, and panics once the two have added up.
        if complete {
            stream.reset();
            self.deflate.insert((fixed, level), stream);
        }
        bytes.truncate(written);
        if complete && written <= limit { Ok(bytes) } else { Err(read) }
    }

    /// Decompresses one raw stream.
    pub(crate) fn decompress(&mut self, input: &[u8], limit: usize) -> CodecOutput {
        let stream = self.inflate.get_or_insert_with(|| Inflate::new(false, 15));
        stream.reset(false);
        let mut bytes = Vec::new();
        let mut probe = [0];
        loop {
            let (read, len) = (stream.total_in() as usize, bytes.len());
            let room = (limit - len).min(len.max(4 * input.len()).max(4096));
            let status = if room == 0 {
                stream.decompress(&input[read..], &mut probe, InflateFlush::NoFlush)
            } else {
                bytes.resize(len + room, 0);
                stream.decompress(&input[read..], &mut bytes[len..], InflateFlush::NoFlush)
            };
            let (consumed, produced) = (stream.total_in() as usize, stream.total_out() as usize);
            let overflow = produced > limit;
            bytes.truncate(produced);
            let stuck = consumed == read && produced == len;
            let code = match status {
                _ if overflow => error::OVERFLOW,
                Err(_) => corrupt(stream.error_message()),
                Ok(Status::StreamEnd) => {
                    return CodecOutput {
                        bytes,
                        consumed,
                        end_of_last_block: true,
                        ..CodecOutput::default()
                    };
                }
                Ok(_) if stuck || (consumed == input.len() && produced < len + room) => {
                    error::INCOMPLETE_FILE
                }
                Ok(_) => continue,
            };
            return CodecOutput { bytes, consumed, error: code, ..CodecOutput::default() };
        }
    }
}

/// Whether `bytes` may contain a non-empty stored block of `input`. Such a block shows two zero bits (its type or
/// padding), its length beside the complement, then bytes of the input; below fifteen bytes a fixed block is never
/// the larger one.
fn may_hold_stored_block(bytes: &[u8], input: &[u8]) -> bool {
    bytes.windows(17).any(|w| {
        let (len, complement) = (u16::from_le_bytes([w[1], w[2]]), u16::from_le_bytes([w[3], w[4]]));
        len == !complement && w[0] < 0x40 && len >= 12 && input.windows(12).any(|plain| plain == &w[5..])
    })
}

/// The device's error code for a message of zlib's inflate.
fn corrupt(message: Option<&str>) -> i8 {
    match message.unwrap_or_default() {
        "invalid block type" => error::INVALID_BLOCK_TYPE,
        "invalid stored block lengths" => error::BAD_STORED_BLOCK_LEN,
        "too many length or distance symbols" => error::TOO_MANY_CODES,
        "invalid code lengths set" => error::INCOMPLETE_CODE_LENS,
        "invalid bit length repeat" => error::MORE_REPEAT,
        "invalid literal/lengths set" | "invalid code -- missing end-of-block" => error::BAD_LITLEN_CODES,
        "invalid distances set" => error::BAD_DIST_CODES,
        "invalid distance too far back" => error::INVALID_DIST,
        _ => error::INVALID_CODE,
    }
}

/// Size of `len` bytes as stored blocks.
fn stored_len(len: usize) -> usize {
    len + 5 * len.div_ceil(STORED_MAX).max(1)
}

/// `input` as stored blocks, as much as `limit` takes.
pub(crate) fn store(input: &[u8], limit: usize, last: bool) -> CodecOutput {
    let whole = |input: &[u8], last| {
        let mut bytes = Vec::with_capacity(stored_len(input.len()));
        let mut rest = input;
        loop {
            let (block, next) = rest.split_at(rest.len().min(STORED_MAX));
            bytes.push(u8::from(last && next.is_empty()));
            bytes.extend((block.len() as u16).to_le_bytes());
            bytes.extend((!(block.len() as u16)).to_le_bytes());
            bytes.extend(block);
            rest = next;
            if rest.is_empty() {
                return bytes;
            }
        }
    };
    let mut output = if stored_len(input.len()) <= limit {
        CodecOutput { bytes: whole(input, last), consumed: input.len(), ..CodecOutput::default() }
    } else {
        fill(limit, input.len(), |len| (stored_len(len) <= limit).then(|| whole(&input[..len], false)))
    };
    output.stored = true;
    output
}
