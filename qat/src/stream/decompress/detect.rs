//! Detection of a format from the first bytes of a stream. [`decompress`](super::decompress()) and programs call it; it
//! never decodes anything.

use std::io::Read;

use accel_core::Format;

use super::super::StreamError;
use super::super::source::Source;
use super::Result;
use crate::formats::{gzip, le32, lz4 as lz4_frame, may_begin_frame, zlib, zstd as zstd_frame};

/// What the first bytes of a stream show.
enum Front {
    Format(Format),
    /// A skippable frame, which LZ4 and Zstandard have in common. The data after it decide.
    Skippable,
    Unknown,
    /// There are too few bytes to decide.
    Short,
}

/// Detects a format from the first bytes of a stream. Raw deflate and LZ4 blocks without a frame cannot be detected.
/// Skippable frames, which LZ4 and Zstandard have in common, are passed over; a stream of skippable frames only is
/// Zstandard. Returns `None` where `head` is in no known format, or is too short to decide.
///
/// # Examples
/// ```
/// use qat::accel_core::Format;
///
/// assert_eq!(qat::stream::detect(&[0x1f, 0x8b, 8, 0]), Some(Format::Gzip));
/// assert_eq!(qat::stream::detect(b"plain text"), None);
/// ```
#[must_use]
pub fn detect(mut head: &[u8]) -> Option<Format> {
    let mut skipped = false;
    loop {
        match front(head, skipped) {
            Front::Format(format) => return Some(format),
            Front::Skippable => head = skip_frame(head)?,
            Front::Short if skipped && head.is_empty() => return Some(Format::Zstd),
            Front::Unknown | Front::Short => return None,
        }
        skipped = true;
    }
}

/// Detects the format of `source`, and returns it with whether skippable frames were passed over. It reads no more than
/// it must.
///
/// # Errors
/// [`StreamError::UnknownFormat`], and the error of the reader.
pub(super) fn detect_source<R: Read>(source: &mut Source<R>) -> Result<(Format, bool)> {
    let mut skipped = false;
    loop {
        match front(source.buffered(), skipped) {
            Front::Format(format) => return Ok((format, skipped)),
            Front::Skippable => {
                if !skip_source(source)? {
                    return Err(source.ended_early(Format::Zstd));
                }
                skipped = true;
            }
            Front::Unknown => return Err(StreamError::UnknownFormat),
            Front::Short if source.more() => {}
            Front::Short => {
                source.check_end()?;
                let only_skipped = skipped && source.buffered().is_empty();
                return if only_skipped { Ok((Format::Zstd, true)) } else { Err(StreamError::UnknownFormat) };
            }
        }
    }
}

/// Returns the data after the skippable frame at the front of `head`, or `None` where `head` ends earlier.
fn skip_frame(head: &[u8]) -> Option<&[u8]> {
    let len = usize::try_from(head.get(4..).and_then(le32)?).ok()?;
    head.get(8..)?.get(len..)
}

/// Passes over the skippable frame at the front of `source`, and returns whether it was complete.
pub(super) fn skip_source<R: Read>(source: &mut Source<R>) -> Result<bool> {
    let Some(len) = source.peek(8).get(4..).and_then(le32) else { return Ok(false) };
    source.consume(8)?;
    let mut left = len as usize;
    while left > 0 {
        let have = source.peek(1).len().min(left);
        if have == 0 {
            return Ok(false);
        }
        source.consume(have)?;
        left -= have;
    }
    Ok(true)
}

/// Returns what `head` begins with. `behind` is whether skippable frames precede it.
fn front(head: &[u8], behind: bool) -> Front {
    if !behind {
        if head.starts_with(&gzip::MAGIC) {
            return Front::Format(Format::Gzip);
        }
        // Text can begin with the bytes of a zlib stream that has a dictionary, at the lowest levels of zlib.
        let is_zlib = |head| zlib::is_header(head) && !(zlib::needs_dictionary(head) && head[1].is_ascii());
        if head.first_chunk().is_some_and(|head| is_zlib(*head)) {
            return Front::Format(Format::Zlib);
        }
    }
    match le32(head) {
        Some(zstd_frame::MAGIC) => Front::Format(Format::Zstd),
        Some(lz4_frame::MAGIC | lz4_frame::LEGACY_MAGIC) => Front::Format(Format::Lz4Frame),
        Some(magic) if lz4_frame::is_skippable(magic) => Front::Skippable,
        Some(_) => Front::Unknown,
        None if head.len() < 2 && !behind => Front::Short,
        None if may_begin_frame(head, Format::Zstd) || may_begin_frame(head, Format::Lz4Frame) => {
            Front::Short
        }
        None => Front::Unknown,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A reader that returns one byte at a time, and fails the test where more is read than necessary.
    struct Miser<'a>(&'a [u8]);

    impl Read for Miser<'_> {
        fn read(&mut self, to: &mut [u8]) -> std::io::Result<usize> {
            let (first, rest) = self.0.split_first().expect("more than decides is read");
            (to[0], self.0) = (*first, rest);
            Ok(1)
        }
    }

    #[test]
    fn the_fewest_bytes_that_decide_are_enough() {
        let skippable: &[u8] = &[0x5f, 0x2a, 0x4d, 0x18, 3, 0, 0, 0, 1, 2, 3];
        for (head, expected) in [
            (&[0x1f, 0x8b][..], Some(Format::Gzip)),
            (&[0x78, 0x9c], Some(Format::Zlib)),
            (&[0x78, 0xbb], Some(Format::Zlib)),
            (&[0x28, 0xb5, 0x2f, 0xfd], Some(Format::Zstd)),
            (&[0x04, 0x22, 0x4d, 0x18], Some(Format::Lz4Frame)),
            (&[0x02, 0x21, 0x4c, 0x18], Some(Format::Lz4Frame)),
            (&[skippable, &[0x04, 0x22, 0x4d, 0x18]].concat(), Some(Format::Lz4Frame)),
            (&[skippable, skippable, &[0x28, 0xb5, 0x2f, 0xfd]].concat(), Some(Format::Zstd)),
            (b"PK", None),
            (b"x?", None),
            (&[0x28, 0xb5, 0x2f, 0xfe], None),
            (&[0x28, 0xb5, 0x30], None),
            (&[0x50, 0x2b], None),
            (&[skippable, &[0x1f]].concat(), None),
            (&[skippable, b"PK"].concat(), None),
        ] {
            assert_eq!(detect(head), expected, "{head:x?}");
            let found = detect_source(&mut Source::new(Miser(head)));
            match expected {
                Some(format) => assert_eq!(found.unwrap().0, format, "{head:x?}"),
                None => assert!(matches!(found, Err(StreamError::UnknownFormat)), "{head:x?}"),
            }
            for cut in 0..head.len() {
                let got = detect(&head[..cut]);
                assert!(got.is_none() || got == Some(Format::Zstd), "{:x?}", &head[..cut]);
            }
        }
        assert_eq!(detect(&skippable[..9]), None, "what decides is behind the frame");
    }
}
