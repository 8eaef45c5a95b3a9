//! LZ4 frames (LZ4 frame format description 1.6): descriptors and block sizes. Streams and both engines call this; it
//! never touches the blocks.

use accel_core::{Error, Format, Result};

use super::le32;

/// The first four bytes of a frame, as a little-endian number.
pub(crate) const MAGIC: u32 = 0x184D_2204;
/// The first four bytes of a frame in the legacy format of `lz4` before 1.4, which has 8 MiB blocks and no end mark.
pub(crate) const LEGACY_MAGIC: u32 = 0x184C_2102;
/// The largest block of a legacy frame in plain bytes.
pub(crate) const LEGACY_BLOCK: usize = 8 << 20;
/// The bit of a block's size word that marks a block stored without compression.
pub(crate) const STORED: u32 = 1 << 31;
/// How far back a linked block may refer, in bytes.
pub(crate) const WINDOW: usize = 64 << 10;
/// The longest frame header in bytes: magic number, flags, content size, dictionary id, checksum.
pub(crate) const MAX_HEADER: usize = 4 + 2 + 8 + 4 + 1;

/// The lowest of the 16 magic numbers of skippable frames, which LZ4 and Zstandard have in common.
pub(crate) const SKIPPABLE_MAGIC: u32 = 0x184D_2A50;

/// Returns whether this magic number is that of a skippable frame.
pub(crate) fn is_skippable(magic: u32) -> bool {
    magic & 0xffff_fff0 == SKIPPABLE_MAGIC
}

/// Returns whether this magic number is that of a frame of any kind, which ends a legacy frame.
pub(crate) fn begins_frame(magic: u32) -> bool {
    magic == MAGIC || magic == LEGACY_MAGIC || is_skippable(magic)
}

/// The descriptor of a frame.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Descriptor {
    /// Whether blocks do not refer to earlier ones.
    pub(crate) independent: bool,
    /// Whether each block is followed by its xxHash32.
    pub(crate) block_checksum: bool,
    /// Whether the frame ends with the xxHash32 of its content.
    pub(crate) content_checksum: bool,
    /// The length of the content in bytes; `None` where it is unknown.
    pub(crate) content_size: Option<u64>,
    /// The largest block in plain bytes: 64 KiB, 256 KiB, 1 MiB or 4 MiB.
    pub(crate) max_block: usize,
}

impl Descriptor {
    /// Returns the descriptor that this crate writes: independent blocks, the smallest maximum that `len` bytes fit in,
    /// and a content checksum.
    pub(crate) fn for_len(len: u64, content_size: Option<u64>) -> Self {
        let max_block = [64 << 10, 256 << 10, 1 << 20].into_iter().find(|max| len <= *max as u64);
        Self {
            independent: true,
            block_checksum: false,
            content_checksum: true,
            content_size,
            max_block: max_block.unwrap_or(4 << 20),
        }
    }

    /// Writes magic number and descriptor to the front of `out`, for which [`MAX_HEADER`] bytes are enough, and returns
    /// their length in bytes.
    pub(crate) fn write(&self, out: &mut [u8]) -> usize {
        out[..4].copy_from_slice(&MAGIC.to_le_bytes());
        out[4] = 0x40
            | u8::from(self.independent) << 5
            | u8::from(self.block_checksum) << 4
            | u8::from(self.content_size.is_some()) << 3
            | u8::from(self.content_checksum) << 2;
        // 64 KiB has the code 4, and each further code means four times as much.
        out[5] = ((self.max_block.ilog2() as u8 - 16) / 2 + 4) << 4;
        let mut at = 6;
        if let Some(size) = self.content_size {
            out[at..at + 8].copy_from_slice(&size.to_le_bytes());
            at += 8;
        }
        out[at] = header_checksum(&out[4..at]);
        at + 1
    }

    /// Parses the frame header at the front of `input`, including the magic number, and returns it with its length in
    /// bytes. Returns `None` when more bytes are needed.
    ///
    /// # Errors
    /// [`Corrupt`](Error::Corrupt) for an invalid header, and [`Unsupported`](Error::Unsupported) for one that names a
    /// dictionary.
    pub(crate) fn parse(input: &[u8]) -> Result<Option<(Self, usize)>> {
        let corrupt =
            |detail: &'static str| Error::Corrupt { format: Format::Lz4Frame, detail: detail.into() };
        let (Some(magic), Some(&[flags, block])) = (le32(input), input.get(4..6)) else { return Ok(None) };
        if magic != MAGIC {
            return Err(corrupt("no LZ4 frame signature"));
        }
        if flags >> 6 != 1 {
            return Err(corrupt("unknown frame version"));
        }
        if flags & 0x02 != 0 || block & 0x8f != 0 {
            return Err(corrupt("reserved header bits are set"));
        }
        let code = block >> 4;
        if code < 4 {
            return Err(corrupt("unknown block size"));
        }
        let content_size = if flags & 8 != 0 {
            let Some(bytes) = input.get(6..14).and_then(<[u8]>::first_chunk) else { return Ok(None) };
            Some(u64::from_le_bytes(*bytes))
        } else {
            None
        };
        let mut at = if content_size.is_some() { 14 } else { 6 };
        let mut dictionary = None;
        if flags & 1 != 0 {
            dictionary = input.get(at..).and_then(le32);
            at += 4;
        }
        let Some(checksum) = input.get(at) else { return Ok(None) };
        if *checksum != header_checksum(&input[4..at]) {
            return Err(corrupt("header checksum does not match"));
        }
        if let Some(id) = dictionary {
            return Err(super::needs_dictionary(Format::Lz4Frame, id));
        }
        let descriptor = Self {
            independent: flags & 0x20 != 0,
            block_checksum: flags & 0x10 != 0,
            content_checksum: flags & 0x04 != 0,
            content_size,
            max_block: 1 << (8 + 2 * code),
        };
        Ok(Some((descriptor, at + 1)))
    }
}

fn header_checksum(descriptor: &[u8]) -> u8 {
    (twox_hash::XxHash32::oneshot(0, descriptor) >> 8) as u8
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn descriptors_round_trip() {
        for len in [0, 65_536, 65_537, 1 << 20, 1 << 30] {
            for size in [None, Some(len)] {
                let descriptor = Descriptor::for_len(len, size);
                let mut out = [0; MAX_HEADER];
                let written = descriptor.write(&mut out);
                assert_eq!(Descriptor::parse(&out[..written]).unwrap(), Some((descriptor, written)));
                assert_eq!(Descriptor::parse(&out[..written - 1]).unwrap(), None);
                out[written - 1] ^= 1;
                assert!(Descriptor::parse(&out[..written]).is_err());
            }
        }
    }

    #[test]
    fn the_reference_header_is_understood() {
        // The header that `lz4 -c` of release 1.9.4 writes for standard input.
        let header = [0x04, 0x22, 0x4d, 0x18, 0x64, 0x40, 0xa7];
        let (descriptor, len) = Descriptor::parse(&header).unwrap().unwrap();
        assert_eq!(len, 7);
        assert!(descriptor.independent && descriptor.content_checksum && !descriptor.block_checksum);
        assert_eq!(descriptor.max_block, 64 << 10);
    }
}
