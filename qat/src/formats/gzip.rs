//! Gzip members (RFC 1952): headers, trailers, and QATzip's extra field, which states how long a member is. Streams and
//! both engines call this; it never touches the compressed data.

use accel_core::{Error, Format, Result};
use libdeflater::Crc;

use super::le32;

/// The length in bytes of the header that [`write_header`] writes without sizes.
pub(crate) const HEADER_LEN: usize = 10;
/// The length in bytes of the header with the extra field `QZ`.
pub(crate) const SIZED_HEADER_LEN: usize = HEADER_LEN + 2 + 4 + 8;
/// The length in bytes of the trailer: CRC-32, and the content length modulo 2^32.
pub(crate) const TRAILER_LEN: usize = 8;
/// The first two bytes of every member.
pub(crate) const MAGIC: [u8; 2] = [0x1f, 0x8b];

const FHCRC: u8 = 1 << 1;
const FEXTRA: u8 = 1 << 2;
const FNAME: u8 = 1 << 3;
const FCOMMENT: u8 = 1 << 4;
const RESERVED: u8 = 0xe0;

/// The sizes in QATzip's extra field (`Q`, `Z`) in bytes: those of the data of one member, without header and trailer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct MemberSizes {
    pub(crate) plain: u32,
    pub(crate) deflated: u32,
}

/// A parsed member header.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Header {
    /// The length of the header in bytes.
    pub(crate) len: usize,
    /// The sizes of the member; `None` where the header does not state them. They are untrusted until the data were
    /// verified.
    pub(crate) sizes: Option<MemberSizes>,
}

/// Writes the header to the front of `out`, with the extra field where `sizes` are given, and returns its length in
/// bytes.
pub(crate) fn write_header(out: &mut [u8], sizes: Option<MemberSizes>) -> usize {
    let flags = if sizes.is_some() { FEXTRA } else { 0 };
    // The time is 0, the extra flags are 0 and the operating system is unknown, so that the output depends on the input
    // only.
    out[..HEADER_LEN].copy_from_slice(&[MAGIC[0], MAGIC[1], 8, flags, 0, 0, 0, 0, 0, 255]);
    let Some(sizes) = sizes else { return HEADER_LEN };
    out[10..16].copy_from_slice(&[12, 0, b'Q', b'Z', 8, 0]);
    out[16..20].copy_from_slice(&sizes.plain.to_le_bytes());
    out[20..24].copy_from_slice(&sizes.deflated.to_le_bytes());
    SIZED_HEADER_LEN
}

/// Returns the trailer of a member.
pub(crate) fn trailer(crc: u32, plain_len: u64) -> [u8; TRAILER_LEN] {
    let mut out = [0; TRAILER_LEN];
    out[..4].copy_from_slice(&crc.to_le_bytes());
    out[4..].copy_from_slice(&(plain_len as u32).to_le_bytes());
    out
}

/// Parses the header at the front of `input`. Returns `None` when more bytes are needed.
///
/// # Errors
/// [`Corrupt`](Error::Corrupt) where the bytes cannot be a gzip header.
pub(crate) fn parse_header(input: &[u8]) -> Result<Option<Header>> {
    let mut reader = HeaderReader::default();
    let len = reader.feed(input)?;
    Ok(reader.is_done().then(|| reader.header(len)))
}

/// Parses a member header that is received in pieces. It stores only the sizes, so that fields may have any length; RFC
/// 1952 limits neither name nor comment.
#[derive(Default)]
pub(crate) struct HeaderReader {
    part: Part,
    flags: u8,
    /// The first `have` bytes of a part of fixed length.
    front: [u8; HEADER_LEN],
    have: usize,
    /// The number of bytes of the extra field that were not read yet.
    extra: usize,
    sizes: Option<MemberSizes>,
    crc: Crc,
}

/// The next part of a header, in the order of RFC 1952 section 2.3.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Default)]
enum Part {
    #[default]
    Fixed,
    ExtraLen,
    /// The head of a subfield, or the rest of the extra field where it is too short for one.
    Subfield,
    /// The data of a subfield `QZ`.
    Sizes,
    /// The given number of bytes of a subfield that is ignored.
    Skip(usize),
    Name,
    Comment,
    Check,
    Done,
}

impl HeaderReader {
    /// Continues at the front of `input` until the end of the header, and returns the number of bytes used.
    ///
    /// # Errors
    /// [`Corrupt`](Error::Corrupt) where the bytes cannot be a gzip header.
    pub(crate) fn feed(&mut self, input: &[u8]) -> Result<usize> {
        let mut rest = input;
        while self.part != Part::Done && self.read_part(&mut rest)? {}
        Ok(input.len() - rest.len())
    }

    /// Returns whether the whole header has been read.
    pub(crate) fn is_done(&self) -> bool {
        self.part == Part::Done
    }

    /// Returns the header that was read, which has `len` bytes.
    pub(crate) fn header(&self, len: usize) -> Header {
        Header { len, sizes: self.sizes }
    }

    /// Returns whether the header states the sizes of the member, or `None` when more bytes are needed to decide.
    pub(crate) fn states_sizes(&self) -> Option<bool> {
        if self.sizes.is_some() { Some(true) } else { (self.part >= Part::Name).then_some(false) }
    }

    /// Reads one part, and returns whether it was complete.
    fn read_part(&mut self, rest: &mut &[u8]) -> Result<bool> {
        let corrupt =
            |detail: &'static str| Err(Error::Corrupt { format: Format::Gzip, detail: detail.into() });
        match self.part {
            Part::Fixed => {
                let whole = self.gather(rest, HEADER_LEN);
                let arrived = if whole { HEADER_LEN } else { self.have };
                if self.front[..arrived].iter().zip(MAGIC).any(|(have, want)| *have != want) {
                    return corrupt("no gzip signature");
                }
                if !whole {
                    return Ok(false);
                }
                if self.front[2] != 8 {
                    return corrupt("compression method is not deflate");
                }
                self.flags = self.front[3];
                if self.flags & RESERVED != 0 {
                    return corrupt("reserved header flags are set");
                }
                self.crc.update(&self.front);
                self.enter(Part::ExtraLen);
            }
            Part::ExtraLen => {
                if !self.gather(rest, 2) {
                    return Ok(false);
                }
                self.crc.update(&self.front[..2]);
                self.extra = usize::from(u16::from_le_bytes([self.front[0], self.front[1]]));
                self.part = Part::Subfield;
            }
            Part::Subfield if self.extra == 0 => self.enter(Part::Name),
            Part::Subfield if self.extra < 4 => self.skip_extra(self.extra),
            Part::Subfield => {
                if !self.gather(rest, 4) {
                    return Ok(false);
                }
                self.crc.update(&self.front[..4]);
                self.extra -= 4;
                let len = usize::from(u16::from_le_bytes([self.front[2], self.front[3]]));
                match &self.front[..2] {
                    b"QZ" if len == 8 && self.extra >= 8 && self.sizes.is_none() => self.part = Part::Sizes,
                    // A subfield that is longer than the field ends the field.
                    _ => self.skip_extra(len.min(self.extra)),
                }
            }
            Part::Sizes => {
                if !self.gather(rest, 8) {
                    return Ok(false);
                }
                self.crc.update(&self.front[..8]);
                self.extra -= 8;
                self.sizes = le32(&self.front)
                    .zip(le32(&self.front[4..]))
                    .map(|(plain, deflated)| MemberSizes { plain, deflated });
                self.part = Part::Subfield;
            }
            Part::Skip(len) => {
                let (skipped, more) = rest.split_at(rest.len().min(len));
                self.crc.update(skipped);
                *rest = more;
                self.part =
                    if skipped.len() == len { Part::Subfield } else { Part::Skip(len - skipped.len()) };
                return Ok(skipped.len() == len);
            }
            Part::Name | Part::Comment => {
                let end = rest.iter().position(|byte| *byte == 0);
                let (skipped, more) = rest.split_at(end.map_or(rest.len(), |end| end + 1));
                self.crc.update(skipped);
                *rest = more;
                if end.is_none() {
                    return Ok(false);
                }
                self.enter(if self.part == Part::Name { Part::Comment } else { Part::Check });
            }
            Part::Check => {
                if !self.gather(rest, 2) {
                    return Ok(false);
                }
                if self.front[..2] != (self.crc.sum() as u16).to_le_bytes() {
                    return corrupt("header checksum does not match");
                }
                self.part = Part::Done;
            }
            Part::Done => {}
        }
        Ok(true)
    }

    /// Proceeds to the first part from `part` on that the flags announce.
    fn enter(&mut self, part: Part) {
        let optional =
            [(Part::ExtraLen, FEXTRA), (Part::Name, FNAME), (Part::Comment, FCOMMENT), (Part::Check, FHCRC)];
        let next = optional.into_iter().find(|(next, flag)| *next >= part && self.flags & flag != 0);
        self.part = next.map_or(Part::Done, |(next, _)| next);
    }

    fn skip_extra(&mut self, len: usize) {
        self.extra -= len;
        self.part = Part::Skip(len);
    }

    /// Fills the buffer up to `want` bytes, and returns whether that many were available.
    fn gather(&mut self, rest: &mut &[u8], want: usize) -> bool {
        let (taken, more) = rest.split_at(rest.len().min(want - self.have));
        self.front[self.have..][..taken.len()].copy_from_slice(taken);
        *rest = more;
        self.have = (self.have + taken.len()) % want;
        self.have == 0 && (!taken.is_empty() || want == 0)
    }
}

/// Verifies the trailer of a member against the content.
///
/// # Errors
/// [`Corrupt`](Error::Corrupt) where checksum or length differ.
pub(crate) fn check_trailer(trailer: &[u8; TRAILER_LEN], crc: u32, plain_len: u64) -> Result<()> {
    if *trailer == self::trailer(crc, plain_len) {
        return Ok(());
    }
    let detail =
        if trailer[..4] != crc.to_le_bytes() { "CRC-32 does not match" } else { "length does not match" };
    Err(Error::Corrupt { format: Format::Gzip, detail: detail.into() })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn headers_round_trip() {
        let mut out = [0; SIZED_HEADER_LEN];
        assert_eq!(write_header(&mut out, None), HEADER_LEN);
        assert_eq!(parse_header(&out[..HEADER_LEN]).unwrap(), Some(Header { len: HEADER_LEN, sizes: None }));
        let sizes = MemberSizes { plain: 70_000, deflated: 1234 };
        assert_eq!(write_header(&mut out, Some(sizes)), SIZED_HEADER_LEN);
        assert_eq!(parse_header(&out).unwrap(), Some(Header { len: SIZED_HEADER_LEN, sizes: Some(sizes) }));
        for cut in 0..SIZED_HEADER_LEN {
            assert_eq!(parse_header(&out[..cut]).unwrap(), None, "{cut} bytes");
        }
    }

    #[test]
    fn every_optional_field_is_skipped_and_checked() {
        // FHCRC, FEXTRA, FNAME and FCOMMENT together, in the order of RFC 1952 section 2.3.1.
        let mut header = vec![0x1f, 0x8b, 8, 0x1e, 1, 2, 3, 4, 0, 3];
        header.extend_from_slice(&[6, 0, b'a', b'b', 2, 0, 9, 9]);
        header.extend_from_slice(b"name\0comment\0");
        let crc = libdeflater::crc32(&header) as u16;
        header.extend_from_slice(&crc.to_le_bytes());
        let len = header.len();
        header.extend_from_slice(b"data");
        assert_eq!(parse_header(&header).unwrap(), Some(Header { len, sizes: None }));
        for cut in 0..len {
            let mut reader = HeaderReader::default();
            assert_eq!(reader.feed(&header[..cut]).unwrap(), cut);
            assert!(!reader.is_done(), "{cut} bytes");
            assert_eq!(reader.feed(&header[cut..]).unwrap(), len - cut);
            assert!(reader.is_done(), "{cut} bytes and the rest");
        }
        header[5] ^= 1;
        assert!(matches!(parse_header(&header), Err(Error::Corrupt { .. })));
    }

    #[test]
    fn sizes_are_found_among_subfields_however_they_arrive() {
        let sizes = MemberSizes { plain: 0x0102_0304, deflated: 5 };
        let qz = b"QZ\x08\0\x04\x03\x02\x01\x05\0\0\0";
        for (extra, expected) in [
            (&[&b"ab\x01\0z"[..], qz].concat()[..], Some(sizes)),
            (&[&qz[..], b"ab"].concat(), Some(sizes)),
            (&[&qz[..], b"ab\xff\xffz"].concat(), Some(sizes)),
            (&[&b"ab\xff\xff"[..], qz].concat(), None),
            (b"QZ\x04\0\x04\x03\x02\x01", None),
            (&qz[..11], None),
            (b"", None),
        ] {
            let len = (extra.len() as u16).to_le_bytes();
            let header =
                [&[0x1f, 0x8b, 8, FEXTRA | FNAME, 0, 0, 0, 0, 0, 3][..], &len, extra, b"n\0"].concat();
            assert_eq!(parse_header(&header).unwrap(), Some(Header { len: header.len(), sizes: expected }));
            let mut reader = HeaderReader::default();
            for (at, byte) in header.iter().enumerate() {
                assert!(!reader.is_done());
                if at < 12 {
                    assert_eq!(reader.states_sizes(), None, "{at} bytes");
                }
                assert_eq!(reader.feed(&[*byte]).unwrap(), 1);
            }
            assert!(reader.is_done());
            assert_eq!((reader.sizes, reader.states_sizes()), (expected, Some(expected.is_some())));
        }
    }

    #[test]
    fn foreign_headers_are_refused() {
        for bad in [&b"\x1f\x8c"[..], b"PK", b"\x1f\x8b\x07\0\0\0\0\0\0\0", b"\x1f\x8b\x08\xe0\0\0\0\0\0\0"] {
            assert!(parse_header(bad).is_err(), "{bad:x?}");
        }
    }
}
