//! Deflate (RFC 1951) as the device writes and reads it, implemented with zlib-rs.

use std::collections::BTreeMap;

use zlib_rs::{Deflate, DeflateConfig, DeflateFlush, Inflate, InflateFlush, Status, Strategy};

use super::message::error;
use super::{CodecOutput, fill};

/// The space beyond the limit that distinguishes an output of exactly the limit from an incomplete one.
const PROBE: usize = 16;
/// The largest length of a stored block in bytes.
const STORED_MAX: usize = 65_535;

/// The parameters of a compression.
#[derive(Debug, Clone, Copy)]
pub(crate) struct SearchEffort {
    /// Whether to write fixed-Huffman blocks only.
    pub(crate) fixed: bool,
    /// The binary logarithm of the number of match candidates.
    pub(crate) search_depth: u32,
}

impl SearchEffort {
    /// Returns the zlib-rs level that is closest to the search depth. Level 1 of zlib-rs writes only fixed blocks, and
    /// compresses worse than any hardware level; its level 2 corresponds to level 1 of the original zlib.
    fn level(self) -> i32 {
        match self.search_depth {
            0 | 1 => 2,
            2 | 3 => 4,
            4 => 6,
            _ => 9,
        }
    }
}

/// The level at which zlib-rs always writes fixed blocks.
const FIXED_ALWAYS: i32 = 1;

/// Compressors and a decompressor, which are kept for later requests because creating one takes longer than a small
/// request.
#[derive(Default)]
pub(crate) struct Codec {
    deflate: BTreeMap<(bool, i32), Deflate>,
    inflate: Option<Inflate>,
}

impl Codec {
    /// Compresses as much of `input` as fits into `limit` bytes of output. A stream that is `last` is finished. Any
    /// other stream, and any that overflows, ends with a full flush on a byte boundary.
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

    /// Compresses all of `input` to at most `limit` bytes, or returns an input length that is certainly too long.
    fn attempt(
        &mut self,
        input: &[u8],
        limit: usize,
        effort: SearchEffort,
        last: bool,
    ) -> Result<Vec<u8>, usize> {
        let bytes = self.run(input, limit, effort.fixed, effort.level(), last);
        match bytes {
            // zlib writes a stored block instead of a larger fixed block, which the device does not.
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
        // Fixed codes use at most nine bits per literal.
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
        // A stream with pending output is discarded: zlib-rs 0.6.8 resets the length of its pending buffer but not the
        // start, and panics when their sum becomes too large.
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

/// Returns whether `bytes` may contain a non-empty stored block of `input`. Such a block has two zero bits (its type or
/// padding), its length and the complement of the length, then bytes of the input. Below fifteen bytes, a fixed block
/// is never larger than a stored one.
fn may_hold_stored_block(bytes: &[u8], input: &[u8]) -> bool {
    bytes.windows(17).any(|w| {
        let (len, complement) = (u16::from_le_bytes([w[1], w[2]]), u16::from_le_bytes([w[3], w[4]]));
        len == !complement && w[0] < 0x40 && len >= 12 && input.windows(12).any(|plain| plain == &w[5..])
    })
}

/// Returns the device's error code for an error message of zlib's inflate.
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

/// Returns the size of `len` bytes as stored blocks.
fn stored_len(len: usize) -> usize {
    len + 5 * len.div_ceil(STORED_MAX).max(1)
}

/// Writes as much of `input` as fits into `limit` bytes as stored blocks.
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
