//! Zstandard frames (RFC 8878): headers, and as much of the blocks as is needed to find where a frame ends. Streams and
//! both engines call this; it never decodes a block.

use accel_core::{Error, Format, Result};

use super::le32;

/// The first four bytes of a frame, as a little-endian number.
pub(crate) const MAGIC: u32 = 0xFD2F_B528;
/// The largest power of two that libzstd supports for a window (`ZSTD_WINDOWLOG_MAX`), in bytes.
pub(crate) const MAX_WINDOW: u64 = if cfg!(target_pointer_width = "64") { 1 << 31 } else { 1 << 30 };
/// The longest frame header in bytes: magic number, descriptor, window, dictionary id and content size.
pub(crate) const MAX_HEADER: usize = 4 + 1 + 1 + 4 + 8;
pub(crate) const BLOCK_HEADER_LEN: usize = 3;
/// The largest value of `Block_Maximum_Size` in bytes; it is less where the window is smaller.
const MAX_BLOCK: u64 = 128 << 10;
/// The length of the checksum in bytes: the low half of the xxHash64 of the content.
pub(crate) const CHECKSUM_LEN: usize = 4;

/// A raw block without content that is the last one of its frame (RFC 8878 section 3.1.1.2).
pub(crate) const EMPTY_LAST_BLOCK: [u8; BLOCK_HEADER_LEN] = [1, 0, 0];

/// The header fields of a frame that this crate writes. Such a frame always has a checksum.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Descriptor {
    /// How far back blocks may refer, in bytes: a power of two, at least 1 KiB.
    pub(crate) window: usize,
    /// The length of the content in bytes; `None` where it is unknown.
    pub(crate) content_size: Option<u64>,
}

impl Descriptor {
    /// Writes magic number and header to the front of `out`, for which [`MAX_HEADER`] bytes are enough, and returns
    /// their length in bytes.
    pub(crate) fn write(&self, out: &mut [u8]) -> usize {
        out[..4].copy_from_slice(&MAGIC.to_le_bytes());
        // The frame has a content checksum, and a content size of 8 bytes or none.
        out[4] = 0x04 | if self.content_size.is_some() { 0xc0 } else { 0 };
        // The exponent of the window counts from 1 KiB.
        out[5] = (self.window.ilog2() as u8 - 10) << 3;
        let Some(size) = self.content_size else { return 6 };
        out[6..14].copy_from_slice(&size.to_le_bytes());
        14
    }
}

/// Clears the mark of the last block in `blocks`, so that more can follow. Returns `None` where `blocks` does not
/// consist of whole blocks, or where none is marked as the last.
pub(crate) fn unmark_last(blocks: &mut [u8]) -> Option<()> {
    let mut at = 0;
    loop {
        let header = parse_block_header(*blocks.get(at..)?.first_chunk()?, MAX_BLOCK as usize).ok()?;
        if header.last {
            blocks[at] &= !1;
            return (at + BLOCK_HEADER_LEN + header.len == blocks.len()).then_some(());
        }
        at += BLOCK_HEADER_LEN + header.len;
    }
}

/// A parsed frame header.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Header {
    pub(crate) len: usize,
    pub(crate) content_size: Option<u64>,
    /// How far back the data may refer, in bytes.
    pub(crate) window: u64,
    /// The id of the dictionary that the frame was compressed with; 0 for none.
    pub(crate) dictionary: u32,
    pub(crate) checksum: bool,
    /// The largest block in bytes, `Block_Maximum_Size` (RFC 8878 section 3.1.1.2.4).
    pub(crate) max_block: usize,
}

impl Header {
    /// Refuses a valid frame that libzstd cannot decode.
    ///
    /// # Errors
    /// [`Unsupported`](Error::Unsupported) for a frame that needs a dictionary or too large a window.
    pub(crate) fn check_supported(&self) -> Result<()> {
        if self.dictionary != 0 {
            return Err(super::needs_dictionary(Format::Zstd, self.dictionary));
        }
        if self.window >= 2 * MAX_WINDOW {
            return Err(unsupported_window(self.window));
        }
        Ok(())
    }
}

/// A parsed block header.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct BlockHeader {
    /// The number of bytes of the block after its header.
    pub(crate) len: usize,
    pub(crate) last: bool,
}

fn corrupt(detail: &'static str) -> Error {
    Error::Corrupt { format: Format::Zstd, detail: detail.into() }
}

/// Returns the error for a window of `window` bytes.
pub(crate) fn unsupported_window(window: u64) -> Error {
    Error::Unsupported {
        accelerator: crate::error::SOFTWARE,
        operation: format!("Zstandard data with a window of {window} bytes").into(),
        remedy: format!("compress them again with a window of at most {MAX_WINDOW} bytes").into(),
    }
}

/// Parses the header at the front of `input`, including the magic number (RFC 8878 section 3.1.1.1). Returns `None`
/// when more bytes are needed.
///
/// # Errors
/// [`Corrupt`](Error::Corrupt) for an invalid header.
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
    let dictionary_at = 5 + usize::from(!single_segment);
    let at = dictionary_at + dictionary_len;
    let Some(size) = input.get(at..at + size_len) else { return Ok(None) };
    let integer = |bytes: &[u8]| bytes.iter().rev().fold(0, |value, byte| value << 8 | u64::from(*byte));
    let content_size = match size_len {
        0 => None,
        // The two-byte form counts from 256, because shorter sizes have a form of one byte.
        2 => Some(integer(size) + 256),
        _ => Some(integer(size)),
    };
    // The window of a single segment is as long as its content. Other frames state the window as three bits of mantissa
    // and five bits of exponent (section 3.1.1.1.2).
    let window = match content_size {
        Some(size) if single_segment => size,
        _ => {
            let base = 1_u64 << (10 + (input[5] >> 3));
            base + base / 8 * u64::from(input[5] & 7)
        }
    };
    let dictionary = integer(&input[dictionary_at..at]) as u32;
    Ok(Some(Header {
        len: at + size_len,
        content_size,
        window,
        dictionary,
        checksum: descriptor & 0x04 != 0,
        max_block: window.min(MAX_BLOCK) as usize,
    }))
}

/// Parses a block header (RFC 8878 section 3.1.1.2) of a frame whose blocks have at most `max_block` bytes.
///
/// # Errors
/// [`Corrupt`](Error::Corrupt) for an invalid header.
pub(crate) fn parse_block_header(header: [u8; BLOCK_HEADER_LEN], max_block: usize) -> Result<BlockHeader> {
    let word = u32::from_le_bytes([header[0], header[1], header[2], 0]);
    let size = (word >> 3) as usize;
    // The limit applies to blocks of every type. libzstd enforces it for streams, but not for whole frames.
    if size > max_block {
        return Err(corrupt("a block is larger than the frame allows"));
    }
    let len = match word >> 1 & 3 {
        // An RLE block has one byte, which is repeated.
        1 => 1,
        3 => return Err(corrupt("a block has the reserved type")),
        _ => size,
    };
    Ok(BlockHeader { len, last: word & 1 != 0 })
}

/// Returns the length in bytes of the frame with this header at the front of `input`, or `None` when more bytes are
/// needed. It walks the blocks.
///
/// # Errors
/// [`Corrupt`](Error::Corrupt) for an invalid block header.
pub(crate) fn frame_len(input: &[u8], header: &Header) -> Result<Option<usize>> {
    let mut at = header.len;
    loop {
        let Some(head) = input.get(at..).and_then(<[u8]>::first_chunk) else { return Ok(None) };
        let block = parse_block_header(*head, header.max_block)?;
        at += BLOCK_HEADER_LEN + block.len;
        if block.last {
            break;
        }
    }
    at += if header.checksum { CHECKSUM_LEN } else { 0 };
    Ok((at <= input.len()).then_some(at))
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
            assert_eq!((header.window, header.dictionary), (plain.len() as u64, 0), "one segment");
            for cut in [0, 4, header.len, len - 1] {
                assert_eq!(frame_len(&frame[..cut], &header).unwrap(), None, "{cut} of {len} bytes");
            }
            frame.extend_from_slice(b"behind it");
            assert_eq!(frame_len(&frame, &header).unwrap(), Some(len));
        }
    }

    #[test]
    fn windows_and_dictionaries_are_read() {
        // RFC 8878 section 3.1.1.1.2: the smallest window is 1 KiB, the largest 3.75 TiB.
        for (byte, window) in [(0, 1 << 10), (1, 1152), (0x88, 1 << 27), (0xff, 15 << 38)] {
            let header = parse_header(&[0x28, 0xB5, 0x2F, 0xFD, 0, byte]).unwrap().unwrap();
            assert_eq!((header.window, header.content_size, header.len), (window, None, 6));
            assert_eq!(header.check_supported().is_err(), byte == 0xff);
        }
        for (descriptor, id, expected) in
            [(0x21, &[7][..], 7), (0x22, &[7, 1], 263), (0x23, &[1, 2, 3, 4], 0x0403_0201), (0x21, &[0], 0)]
        {
            let frame = [&[0x28, 0xB5, 0x2F, 0xFD, descriptor][..], id, &[5]].concat();
            let header = parse_header(&frame).unwrap().unwrap();
            assert_eq!((header.dictionary, header.content_size), (expected, Some(5)));
            assert_eq!(header.check_supported().is_err(), expected != 0);
            assert_eq!(parse_header(&frame[..frame.len() - 1]).unwrap(), None);
        }
    }
}
