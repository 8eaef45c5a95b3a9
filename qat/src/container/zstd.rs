//! Zstandard frames (RFC 8878): enough of the headers to find where frames end.

use accel_core::{Error, Format, Result};

use super::le32;

/// First four bytes of a frame.
pub(crate) const MAGIC: u32 = 0xFD2F_B528;
/// Longest frame header: magic, descriptor, window, dictionary id, content size.
pub(crate) const MAX_HEADER: usize = 4 + 1 + 1 + 4 + 8;
pub(crate) const BLOCK_HEADER_LEN: usize = 3;
/// Low half of the content's xxHash64.
pub(crate) const CHECKSUM_LEN: usize = 4;

/// A raw block without content that is the last one of its frame (RFC 8878 section 3.1.1.2).
pub(crate) const EMPTY_LAST_BLOCK: [u8; BLOCK_HEADER_LEN] = [1, 0, 0];

/// What a frame is declared to be, besides having a checksum.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Descriptor {
    /// How far back blocks may refer, in bytes: a power of two from 1 KiB on.
    pub(crate) window: usize,
    /// Length of the content, where it is known.
    pub(crate) content_size: Option<u64>,
}

impl Descriptor {
    /// Writes magic and header to the front of `out` ([`MAX_HEADER`] bytes are enough); its length.
    pub(crate) fn write(&self, out: &mut [u8]) -> usize {
        out[..4].copy_from_slice(&MAGIC.to_le_bytes());
        // A content checksum follows; a content size of 8 bytes, or none.
        out[4] = 0x04 | if self.content_size.is_some() { 0xc0 } else { 0 };
        // The exponent counts from 1 KiB.
        out[5] = (self.window.ilog2() as u8 - 10) << 3;
        let Some(size) = self.content_size else { return 6 };
        out[6..14].copy_from_slice(&size.to_le_bytes());
        14
    }
}

/// Unmarks the last one of the blocks in `blocks`, so that more can follow; `None` where they are no whole blocks or none
/// is the last.
pub(crate) fn unmark_last(blocks: &mut [u8]) -> Option<()> {
    let mut at = 0;
    loop {
        let header = parse_block_header(*blocks.get(at..)?.first_chunk()?).ok()?;
        if header.last {
            blocks[at] &= !1;
            return (at + BLOCK_HEADER_LEN + header.len == blocks.len()).then_some(());
        }
        at += BLOCK_HEADER_LEN + header.len;
    }
}

/// A frame's header.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Header {
    pub(crate) len: usize,
    pub(crate) content_size: Option<u64>,
    pub(crate) checksum: bool,
}

/// A block's header.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct BlockHeader {
    /// Bytes in the frame behind the header.
    pub(crate) len: usize,
    pub(crate) last: bool,
}

fn corrupt(detail: &'static str) -> Error {
    Error::Corrupt { format: Format::Zstd, detail: detail.into() }
}

/// Parses the header at the front of `input`, magic included (RFC 8878 section 3.1.1.1); `None` when more bytes are
/// needed.
pub(crate) fn parse_header(input: &[u8]) -> Result<Option<Header>> {
    let (Some(magic), Some(descriptor)) = (le32(input), input.get(4)) else { return Ok(None) };
    if magic != MAGIC {
        return Err(corrupt("no Zstandard frame signature"));
    }
    if descriptor & 0x08 != 0 {
        return Err(corrupt("a reserved header bit is set"));
    }
    let single_segment = descriptor & 0x20 != 0;
    let dictionary_len = [0, 1, 2, 4][usize::from(descriptor & 3)];
    let size_len = match descriptor >> 6 {
        0 => usize::from(single_segment),
        code => 1 << code,
    };
    let at = 5 + usize::from(!single_segment) + dictionary_len;
    let Some(size) = input.get(at..at + size_len) else { return Ok(None) };
    let mut value = [0; 8];
    value[..size_len].copy_from_slice(size);
    let value = u64::from_le_bytes(value);
    let content_size = match size_len {
        0 => None,
        // Two bytes count from 256: shorter sizes have a form of their own.
        2 => Some(value + 256),
        _ => Some(value),
    };
    Ok(Some(Header { len: at + size_len, content_size, checksum: descriptor & 0x04 != 0 }))
}

/// Parses a block header (RFC 8878 section 3.1.1.2).
pub(crate) fn parse_block_header(header: [u8; BLOCK_HEADER_LEN]) -> Result<BlockHeader> {
    let word = u32::from_le_bytes([header[0], header[1], header[2], 0]);
    let size = (word >> 3) as usize;
    let len = match word >> 1 & 3 {
        // RLE: one byte stands for all of them.
        1 => 1,
        3 => return Err(corrupt("a block has the reserved type")),
        _ => size,
    };
    Ok(BlockHeader { len, last: word & 1 != 0 })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn frames_of_the_reference_are_walked_to_their_end() {
        let noise: Vec<u8> = (0..400_000_u32).map(|i| (i.wrapping_mul(2_654_435_761) >> 24) as u8).collect();
        for (plain, checksum) in
            [(&noise[..0], true), (&noise[..1], false), (&noise[..255], true), (&noise, true)]
        {
            let mut context = zstd_safe::CCtx::create();
            context.set_parameter(zstd_safe::CParameter::ChecksumFlag(checksum)).unwrap();
            let mut frame = vec![0; zstd_safe::compress_bound(plain.len())];
            let len = context.compress2(&mut frame[..], plain).unwrap();
            frame.truncate(len);
            let header = parse_header(&frame).unwrap().unwrap();
            assert_eq!((header.content_size, header.checksum), (Some(plain.len() as u64), checksum));
            let mut at = header.len;
            loop {
                let block = parse_block_header(*frame[at..].first_chunk().unwrap()).unwrap();
                at += BLOCK_HEADER_LEN + block.len;
                if block.last {
                    break;
                }
            }
            assert_eq!(at + if checksum { CHECKSUM_LEN } else { 0 }, len);
        }
    }
}
