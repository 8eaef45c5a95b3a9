//! Zlib streams (RFC 1950): headers and trailers. Streams and both engines call this; it never touches the compressed
//! data.

use accel_core::{Error, Format, Result};

/// The length of the header in bytes.
pub(crate) const HEADER_LEN: usize = 2;
/// The length of the trailer in bytes: the Adler-32 of the content, big-endian.
pub(crate) const TRAILER_LEN: usize = 4;

/// Returns a header for deflate with a 32 KiB window. `effort` is the field FLEVEL of RFC 1950, 0 to 3.
pub(crate) fn header(effort: u8) -> [u8; HEADER_LEN] {
    let head = 0x7800 | u16::from(effort & 3) << 6;
    (head + (31 - head % 31)).to_be_bytes()
}

/// Verifies the header at the front of `input`. Returns `None` when more bytes are needed.
///
/// # Errors
/// [`Corrupt`](Error::Corrupt) for an invalid header, and [`Unsupported`](Error::Unsupported) for one that needs a
/// dictionary.
pub(crate) fn check_header(input: &[u8]) -> Result<Option<()>> {
    let Some(head) = input.first_chunk::<HEADER_LEN>() else { return Ok(None) };
    let corrupt = |detail: &'static str| Err(Error::Corrupt { format: Format::Zlib, detail: detail.into() });
    if !is_header(*head) {
        return corrupt("no zlib header");
    }
    if needs_dictionary(*head) {
        let id = input.get(HEADER_LEN..).and_then(<[u8]>::first_chunk).copied().map(u32::from_be_bytes);
        return id.map_or(Ok(None), |id| Err(super::needs_dictionary(Format::Zlib, id)));
    }
    Ok(Some(()))
}

/// Returns whether these two bytes can begin a zlib stream.
pub(crate) fn is_header(head: [u8; HEADER_LEN]) -> bool {
    head[0] & 0x0f == 8 && head[0] >> 4 <= 7 && u16::from_be_bytes(head).is_multiple_of(31)
}

/// Returns whether a header announces a preset dictionary, whose Adler-32 follows it.
pub(crate) fn needs_dictionary(head: [u8; HEADER_LEN]) -> bool {
    head[1] & 0x20 != 0
}

/// Verifies the trailer against the checksum of the content.
///
/// # Errors
/// [`Corrupt`](Error::Corrupt) where they differ.
pub(crate) fn check_trailer(trailer: &[u8; TRAILER_LEN], adler: u32) -> Result<()> {
    if *trailer == adler.to_be_bytes() {
        return Ok(());
    }
    Err(Error::Corrupt { format: Format::Zlib, detail: "Adler-32 does not match".into() })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn headers_are_the_usual_ones() {
        // The headers that levels 1, 5, 6 and 9 of zlib write.
        assert_eq!([0, 1, 2, 3].map(header), [[0x78, 0x01], [0x78, 0x5e], [0x78, 0x9c], [0x78, 0xda]]);
        for effort in 0..4 {
            assert_eq!(check_header(&header(effort)).unwrap(), Some(()));
        }
        assert_eq!(check_header(&[0x78]).unwrap(), None);
        for bad in [[0x78, 0x9d], [0x79, 0x9c], [0x88, 0x1c]] {
            assert!(check_header(&bad).is_err(), "{bad:x?}");
        }
        // The first bytes that Python's zlib.compressobj(zdict=b"hello") writes: the dictionary's Adler-32 is
        // 0x062c0215.
        let head = [0x78, 0xbb, 0x06, 0x2c, 0x02, 0x15];
        for cut in 2..6 {
            assert_eq!(check_header(&head[..cut]).unwrap(), None, "{cut} bytes");
        }
        let error = check_header(&head).unwrap_err();
        assert!(
            matches!(error, Error::Unsupported { .. }) && error.to_string().contains("0x62c0215"),
            "{error}"
        );
    }
}
