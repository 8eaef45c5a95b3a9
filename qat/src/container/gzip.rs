//! gzip members (RFC 1952), with QATzip's extra field that says how long a member is.

use accel_core::{Error, Format, Result};

use super::le32;

/// Length of the header that [`write_header`] writes.
pub(crate) const HEADER_LEN: usize = 10;
/// The same with the `QZ` extra field.
pub(crate) const SIZED_HEADER_LEN: usize = HEADER_LEN + 2 + 4 + 8;
/// CRC-32 and length modulo 2^32.
pub(crate) const TRAILER_LEN: usize = 8;
/// First two bytes of every member.
pub(crate) const MAGIC: [u8; 2] = [0x1f, 0x8b];

const FHCRC: u8 = 1 << 1;
const FEXTRA: u8 = 1 << 2;
const FNAME: u8 = 1 << 3;
const FCOMMENT: u8 = 1 << 4;
const RESERVED: u8 = 0xe0;
/// A header beyond this is refused: nobody writes one, and it must be held in memory.
const MAX_HEADER: usize = 1 << 20;

/// Sizes in QATzip's extra field (`Q`, `Z`): those of one member's data, headers not counted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct MemberSizes {
    pub(crate) plain: u32,
    pub(crate) deflated: u32,
}

/// A parsed member header.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Header {
    /// Its length in bytes.
    pub(crate) len: usize,
    /// The member's sizes, where the header gives them. Foreign bytes: hints until verified.
    pub(crate) sizes: Option<MemberSizes>,
}

/// Writes the fixed header to the front of `out`, with the extra field when `sizes` are given; its length.
pub(crate) fn write_header(out: &mut [u8], sizes: Option<MemberSizes>) -> usize {
    let flags = if sizes.is_some() { FEXTRA } else { 0 };
    // No time, no extra flags, operating system unknown: the output depends on the input alone.
    out[..HEADER_LEN].copy_from_slice(&[MAGIC[0], MAGIC[1], 8, flags, 0, 0, 0, 0, 0, 255]);
    let Some(sizes) = sizes else { return HEADER_LEN };
    out[10..16].copy_from_slice(&[12, 0, b'Q', b'Z', 8, 0]);
    out[16..20].copy_from_slice(&sizes.plain.to_le_bytes());
    out[20..24].copy_from_slice(&sizes.deflated.to_le_bytes());
    SIZED_HEADER_LEN
}

/// The trailer of a member.
pub(crate) fn trailer(crc: u32, plain_len: u64) -> [u8; TRAILER_LEN] {
    let mut out = [0; TRAILER_LEN];
    out[..4].copy_from_slice(&crc.to_le_bytes());
    out[4..].copy_from_slice(&(plain_len as u32).to_le_bytes());
    out
}

/// Parses the header at the front of `input`; `None` when more bytes are needed.
pub(crate) fn parse_header(input: &[u8]) -> Result<Option<Header>> {
    let corrupt = |detail: &'static str| Error::Corrupt { format: Format::Gzip, detail: detail.into() };
    if input.iter().zip(MAGIC).any(|(have, want)| *have != want) {
        return Err(corrupt("no gzip signature"));
    }
    let Some(fixed) = input.first_chunk::<HEADER_LEN>() else { return Ok(None) };
    if fixed[2] != 8 {
        return Err(corrupt("compression method is not deflate"));
    }
    let flags = fixed[3];
    if flags & RESERVED != 0 {
        return Err(corrupt("reserved header flags are set"));
    }
    let parsed = parse_optional(input, flags);
    match parsed {
        None if input.len() > MAX_HEADER => Err(corrupt("header is longer than 1 MiB")),
        None => Ok(None),
        Some((len, sizes, true)) => Ok(Some(Header { len, sizes })),
        Some((_, _, false)) => Err(corrupt("header checksum does not match")),
    }
}

/// Length, sizes, and whether the header's own checksum holds; `None` when more bytes are needed.
fn parse_optional(input: &[u8], flags: u8) -> Option<(usize, Option<MemberSizes>, bool)> {
    let mut at = HEADER_LEN;
    let mut sizes = None;
    if flags & FEXTRA != 0 {
        let len = usize::from(u16::from_le_bytes([*input.get(at)?, *input.get(at + 1)?]));
        let extra = input.get(at + 2..at + 2 + len)?;
        sizes = member_sizes(extra);
        at += 2 + len;
    }
    for flag in [FNAME, FCOMMENT] {
        if flags & flag != 0 {
            at += input.get(at..)?.iter().position(|b| *b == 0)? + 1;
        }
    }
    let mut intact = true;
    if flags & FHCRC != 0 {
        let want = u16::from_le_bytes([*input.get(at)?, *input.get(at + 1)?]);
        intact = libdeflater::crc32(&input[..at]) as u16 == want;
        at += 2;
    }
    (at <= input.len()).then_some((at, sizes, intact))
}

/// Finds the `QZ` subfield among the extra field's subfields.
fn member_sizes(mut extra: &[u8]) -> Option<MemberSizes> {
    while let Some((head, rest)) = extra.split_first_chunk::<4>() {
        let len = usize::from(u16::from_le_bytes([head[2], head[3]]));
        let data = rest.get(..len)?;
        if head[..2] == *b"QZ" && len == 8 {
            return Some(MemberSizes { plain: le32(data)?, deflated: le32(&data[4..])? });
        }
        extra = &rest[len..];
    }
    None
}

/// Checks a member's trailer against what was inflated.
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
        // FHCRC, FEXTRA, FNAME and FCOMMENT together, as RFC 1952 section 2.3.1 orders them.
        let mut header = vec![0x1f, 0x8b, 8, 0x1e, 1, 2, 3, 4, 0, 3];
        header.extend_from_slice(&[6, 0, b'a', b'b', 2, 0, 9, 9]);
        header.extend_from_slice(b"name\0comment\0");
        let crc = libdeflater::crc32(&header) as u16;
        header.extend_from_slice(&crc.to_le_bytes());
        let len = header.len();
        header.extend_from_slice(b"data");
        assert_eq!(parse_header(&header).unwrap(), Some(Header { len, sizes: None }));
        header[5] ^= 1;
        assert!(matches!(parse_header(&header), Err(Error::Corrupt { .. })));
    }

    #[test]
    fn foreign_headers_are_refused() {
        for bad in [&b"\x1f\x8c"[..], b"PK", b"\x1f\x8b\x07\0\0\0\0\0\0\0", b"\x1f\x8b\x08\xe0\0\0\0\0\0\0"] {
            assert!(parse_header(bad).is_err(), "{bad:x?}");
        }
    }
}
