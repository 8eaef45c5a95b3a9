//! Bad input: cut, altered, extended, lying, hostile. A clear error, never a panic, never other data than what was
//! packed.

use std::io;

use accel_core::{CompressOptions, DecompressOptions, Error, Format};
use base64::Engine as _;
use proptest::collection::vec;
use proptest::prelude::*;
use proptest::sample::Index;
use proptest::test_runner::TestRunner;
use qat::stream::{self, Keyset, StreamError, detect};
use twox_hash::XxHash32;

use super::streams::{pack, unpack};
use crate::support::{Subject, noise, rules, same, settings, stream_formats, text};

type Decode<'a> = Box<dyn Fn(&[u8]) -> Result<Vec<u8>, Error> + 'a>;

/// The one-shot call, and the stream where there is one, its error taken apart.
fn decoders<'a>(subject: &'a Subject, format: Format) -> Vec<(&'static str, Decode<'a>)> {
    let one_shot = move |packed: &[u8]| {
        subject.compression.decompress(packed, &DecompressOptions::new(format)).map(|(plain, _)| plain)
    };
    let streamed = move |threads| {
        move |packed: &[u8]| {
            unpack(subject, packed, Some(format), &settings(threads)).map_err(|error| match error {
                StreamError::Work(error) => error,
                StreamError::WindowLimit { limit, .. } => Error::LimitExceeded { limit },
                other => panic!("{format}: {other}"),
            })
        }
    };
    let mut all: Vec<(_, Decode<'_>)> = vec![("one-shot", Box::new(one_shot))];
    if format != Format::Lz4Block {
        all.push(("stream", Box::new(streamed(1))));
        all.push(("stream, 2 threads", Box::new(streamed(2))));
    }
    all
}

/// Every way to decompress `packed` has this outcome: the same bytes, or a refusal.
#[track_caller]
fn all_agree(subject: &Subject, format: Format, name: &str, packed: &[u8], plain: Option<&[u8]>) {
    let mut ways = decoders(subject, format);
    let into = move |packed: &[u8]| {
        let mut room = vec![0; plain.map_or(1 << 20, <[u8]>::len)];
        let done = subject.compression.decompress_into(packed, &mut room, &DecompressOptions::new(format))?;
        room.truncate(done.bytes_out);
        Ok(room)
    };
    ways.push(("into a buffer", Box::new(into)));
    for (way, decode) in ways {
        let got = decode(packed);
        match (&got, plain) {
            (Ok(got), Some(plain)) => same(got, plain, (name, format, way)),
            (Err(Error::Corrupt { .. }), None) => {}
            // Cut in the middle is how a code without an end looks.
            (Err(Error::Truncated { .. }), None) if name.contains("an end without") => {}
            _ => panic!("{name} as {format}, {way}: {got:?} instead of {plain:?}"),
        }
    }
}

/// What is valid is the standard's business and not the engine's or the way's.
pub(crate) fn one_rule(subject: &Subject) {
    let offers = |format| subject.formats.contains(&format);
    for rules::Case { name, packed, plain } in rules::deflate() {
        let (expected, plain) = (plain.as_deref(), plain.as_deref().unwrap_or_default());
        all_agree(subject, Format::Deflate, name, &packed, expected);
        all_agree(subject, Format::Zlib, name, &rules::zlib(&packed, plain), expected);
        for is_sized in [false, true] {
            all_agree(subject, Format::Gzip, name, &rules::gzip(&packed, plain, is_sized), expected);
        }
    }
    // Found in the field: a zlib stream with 32 distance codes.
    let found = base64::engine::general_purpose::STANDARD.decode("CB0F34EAAAAAABDh804IAAAAAQ==").unwrap();
    all_agree(subject, Format::Zlib, "32 distance codes in the field", &found, None);
    for rules::Case { name, packed, plain } in rules::zstd().into_iter().filter(|_| offers(Format::Zstd)) {
        all_agree(subject, Format::Zstd, name, &packed, plain.as_deref());
        // Behind one that is in order, too.
        let first = one_shot(subject, b"first", Format::Zstd);
        let both = plain.map(|plain| [&b"first"[..], &plain].concat());
        all_agree(subject, Format::Zstd, name, &[first, packed].concat(), both.as_deref());
    }
    for rules::Case { name, packed, plain } in rules::lz4() {
        all_agree(subject, Format::Lz4Block, name, &packed, plain.as_deref());
        all_agree(subject, Format::Lz4Frame, name, &rules::lz4_frame(&packed), plain.as_deref());
    }
}

fn one_shot(subject: &Subject, plain: &[u8], format: Format) -> Vec<u8> {
    subject.compression.compress(plain, &CompressOptions::new(format)).unwrap().0
}

pub(crate) fn truncations(subject: &Subject) {
    for plain in [text(400), noise(100), Vec::new(), vec![b'a'; 1000]] {
        for &format in subject.formats {
            let packed = one_shot(subject, &plain, format);
            for cut in 0..packed.len() {
                for (name, decode) in decoders(subject, format) {
                    match decode(&packed[..cut]) {
                        Err(Error::Truncated { format: named }) => assert_eq!(named, format),
                        // A bare block carries no length: cut between two sequences it is a shorter block, or one
                        // whose last sequence ends as none may.
                        Ok(got) if format == Format::Lz4Block && plain.starts_with(&got) => {}
                        Err(Error::Corrupt { .. }) if format == Format::Lz4Block => {}
                        other => panic!("{format} {name} cut at {cut} of {}: {other:?}", packed.len()),
                    }
                }
            }
        }
    }
    // Streams of several blocks. Cut between gzip members or Zstandard frames, a shorter file is a whole one: those
    // formats cannot tell. Everywhere else it shows, and what was written until then is a true prefix.
    let plain = [text(9_000_000), noise(500)].concat();
    for format in stream_formats(subject) {
        let options = CompressOptions::new(format).level(accel_core::Level::Fast);
        let packed = pack(subject, &plain, &options, &settings(2));
        let step = packed.len() / 19;
        for cut in (1..packed.len()).step_by(step).chain(packed.len() - 12..packed.len()) {
            let mut out = Vec::new();
            let result =
                stream::decompress(&packed[..cut], &mut out, &subject.engine, Some(format), &settings(2));
            assert!(
                matches!(result, Err(StreamError::Work(Error::Truncated { .. }))),
                "{format} cut at {cut} of {}: {result:?}",
                packed.len()
            );
            assert!(plain.starts_with(&out), "{format} cut at {cut}: not a prefix");
        }
    }
}

/// Whether the format lets this bit differ for the same plaintext. Checksums cover the plaintext: inside compressed data
/// a bit that means nothing (an unused code, padding) may differ; in headers and trailers only what is named here.
fn is_ignorable(format: Format, packed: &[u8], bit: usize) -> bool {
    let byte = bit / 8;
    match format {
        // FTEXT, time, extra flags, operating system (RFC 1952 section 2.3.1).
        Format::Gzip if byte < 10 => byte >= 4 || bit == 3 * 8,
        Format::Gzip => byte < packed.len() - 8,
        Format::Zlib => (2..packed.len() - 4).contains(&byte),
        // Behind magic, descriptor, size and checksum, and the first block's size.
        Format::Lz4Frame => (19..packed.len() - 8).contains(&byte),
        // "Unused_bit", which decoders ignore (RFC 8878 section 3.1.1.1.1.4).
        // Without the single-segment flag the byte of the content size is that of a window that is large enough.
        Format::Zstd if byte < 5 => bit == 4 * 8 + 4 || bit == 4 * 8 + 5,
        Format::Zstd => (6..packed.len() - 4).contains(&byte),
        _ => false,
    }
}

pub(crate) fn bit_flips(subject: &Subject) {
    for plain in [text(400), noise(60), Vec::new(), vec![b'a'; 1000]] {
        for &format in subject.formats {
            let packed = one_shot(subject, &plain, format);
            // No checksum at all: nothing can be asked but that nothing breaks.
            let checked = !matches!(format, Format::Deflate | Format::Lz4Block);
            for bit in 0..packed.len() * 8 {
                let mut altered = packed.clone();
                altered[bit / 8] ^= 1 << (bit % 8);
                for (name, decode) in decoders(subject, format).into_iter().take(2) {
                    match decode(&altered) {
                        Ok(got) if checked => {
                            same(&got, &plain, (format, name, bit));
                            assert!(
                                is_ignorable(format, &packed, bit),
                                "{format} {name}: bit {bit} went unnoticed"
                            );
                        }
                        Ok(_) => {}
                        Err(
                            Error::Corrupt { .. }
                            | Error::Truncated { .. }
                            | Error::TrailingData { .. }
                            | Error::LimitExceeded { .. },
                        ) => {}
                        // A flag that announces a dictionary, which nothing but the data can contradict.
                        Err(Error::Unsupported { .. }) if format == Format::Zstd && bit / 8 == 4 => {}
                        Err(error) => panic!("{format} {name}, bit {bit}: {error}"),
                    }
                }
            }
        }
    }
}

pub(crate) fn garbage_behind(subject: &Subject) {
    for plain in [text(400), Vec::new(), noise(70_000)] {
        for &format in subject.formats.iter().filter(|format| **format != Format::Lz4Block) {
            let packed = one_shot(subject, &plain, format);
            for garbage in [&b"x"[..], b"xy", b"garbage behind", &noise(100_000)] {
                for (name, decode) in decoders(subject, format) {
                    let error = decode(&[&packed[..], garbage].concat()).unwrap_err();
                    let Error::TrailingData { consumed, .. } = error else {
                        panic!("{format} {name}: {error}")
                    };
                    assert_eq!(consumed, packed.len() as u64, "{format} {name}");
                }
            }
            for zeros in [1, 2, 511, 700_000] {
                let padded = [&packed[..], &vec![0; zeros]].concat();
                for (name, decode) in decoders(subject, format) {
                    if format == Format::Gzip {
                        // As gzip itself: what tapes and block devices leave.
                        same(&decode(&padded).unwrap(), &plain, (name, zeros));
                        let error = decode(&[&padded[..], b"x"].concat()).unwrap_err();
                        assert!(
                            matches!(error, Error::TrailingData { .. }),
                            "{name}, {zeros} zeros: {error}"
                        );
                        let error = decode(&[&padded[..], &packed].concat()).unwrap_err();
                        assert!(
                            matches!(error, Error::TrailingData { .. }),
                            "{name}, {zeros} zeros: {error}"
                        );
                    } else {
                        let error = decode(&padded).unwrap_err();
                        assert!(matches!(error, Error::TrailingData { .. }), "{format} {name}: {error}");
                    }
                }
            }
            // What was good is written before the garbage is met.
            let mut out = Vec::new();
            let input = [&packed[..], b"garbage"].concat();
            stream::decompress(&input[..], &mut out, &subject.engine, Some(format), &settings(1))
                .unwrap_err();
            same(&out, &plain, format);
        }
    }
}

pub(crate) fn wrong_formats(subject: &Subject) {
    let plain = text(5000);
    for &written in subject.formats {
        let packed = one_shot(subject, &plain, written);
        if !matches!(written, Format::Deflate | Format::Lz4Block) {
            assert_eq!(detect(&packed), Some(written));
            assert_eq!(detect(&packed[..4]), Some(written));
        }
        for &read in subject.formats.iter().filter(|read| **read != written) {
            for (name, decode) in decoders(subject, read) {
                let error = decode(&packed).unwrap_err();
                let clear = matches!(
                    error,
                    Error::Corrupt { .. } | Error::Truncated { .. } | Error::TrailingData { .. }
                );
                assert!(clear, "{written} as {read}, {name}: {error}");
            }
        }
    }
    for unknown in [&b""[..], b"\x1f", b"PK\x03\x04", b"BZh9", b"plain text", &[0; 100], b"\xfd7zXZ\0"] {
        assert_eq!(detect(unknown), None, "{unknown:?}");
        let error = unpack(subject, unknown, None, &settings(1)).unwrap_err();
        assert!(matches!(error, StreamError::UnknownFormat), "{unknown:?}: {error}");
    }
    // As many skippable frames as there is room for, none of which says what follows.
    let skippable = [0x50, 0x2A, 0x4D, 0x18, 0, 0, 0, 0].repeat(1 << 20);
    assert_eq!(detect(&skippable), Some(Format::Zstd));
    let skippable = [&skippable[..], &one_shot(subject, b"end", Format::Lz4Frame)].concat();
    assert_eq!(detect(&skippable), Some(Format::Lz4Frame));
    same(&unpack(subject, &skippable, Some(Format::Lz4Frame), &settings(1)).unwrap(), b"end", "behind them");
}

/// A gzip member with these flags and optional header parts.
fn gzip_member(plain: &[u8], flags: u8, optional: &[u8], deflated: &[u8]) -> Vec<u8> {
    let mut member = vec![0x1f, 0x8b, 8, flags, 0, 0, 0, 0, 0, 3];
    member.extend_from_slice(optional);
    member.extend_from_slice(deflated);
    let mut crc = flate2::Crc::new();
    crc.update(plain);
    member.extend_from_slice(&crc.sum().to_le_bytes());
    member.extend_from_slice(&(plain.len() as u32).to_le_bytes());
    member
}

/// QATzip's extra field.
fn qz_extra(plain: u32, deflated: u32) -> Vec<u8> {
    let mut extra = vec![12, 0, b'Q', b'Z', 8, 0];
    extra.extend_from_slice(&plain.to_le_bytes());
    extra.extend_from_slice(&deflated.to_le_bytes());
    extra
}

/// A Zstandard frame of one raw block "hello" with this descriptor and the fields it announces.
fn zstd_frame(descriptor: u8, fields: &[u8]) -> Vec<u8> {
    [&[0x28, 0xB5, 0x2F, 0xFD, descriptor][..], fields, &[5 << 3 | 1, 0, 0], b"hello"].concat()
}

/// An LZ4 frame with this descriptor (FLG, BD, optional fields) and body.
fn lz4_frame(descriptor: &[u8], body: &[u8]) -> Vec<u8> {
    let checksum = (XxHash32::oneshot(0, descriptor) >> 8) as u8;
    [&[0x04, 0x22, 0x4D, 0x18][..], descriptor, &[checksum], body].concat()
}

pub(crate) fn lying_headers(subject: &Subject) {
    let corrupt = |format: Format, packed: &[u8], what: &str| {
        for (name, decode) in decoders(subject, format) {
            let result = decode(packed);
            let clear = matches!(
                result,
                Err(Error::Corrupt { .. } | Error::Truncated { .. } | Error::LimitExceeded { .. })
            );
            assert!(clear, "{format} {name}, {what}: {result:?}");
        }
    };
    let unsupported = |format: Format, packed: &[u8], what: &str| {
        for (name, decode) in decoders(subject, format) {
            let result = decode(packed);
            assert!(matches!(result, Err(Error::Unsupported { .. })), "{format} {name}, {what}: {result:?}");
        }
    };
    let good = |format: Format, packed: &[u8], plain: &[u8], what: &str| {
        for (name, decode) in decoders(subject, format) {
            same(&decode(packed).unwrap(), plain, (format, name, what));
        }
    };

    let plain = text(3000);
    let deflated = one_shot(subject, &plain, Format::Deflate);
    let gzip = |flags, optional: &[u8]| gzip_member(&plain, flags, optional, &deflated);
    let (len, deflated_len) = (plain.len() as u32, deflated.len() as u32);
    good(Format::Gzip, &gzip(0, b""), &plain, "no options");
    good(Format::Gzip, &gzip(8, &[&[b'n'; 100_000][..], b"\0"].concat()), &plain, "a long name");
    good(Format::Gzip, &gzip(0x18, b"name\0comment\0"), &plain, "name and comment");
    good(Format::Gzip, &gzip(4, b"\x05\0ab\x01\0z"), &plain, "another's extra field");
    good(Format::Gzip, &gzip(4, b"\x03\0abc"), &plain, "a malformed extra field");
    good(Format::Gzip, &gzip(4, &qz_extra(len, deflated_len)), &plain, "a true QZ field");
    good(Format::Gzip, &gzip(4, &qz_extra(0, 0)), &plain, "a QZ field of zeroes");
    let twice = gzip(4, &qz_extra(len, deflated_len)).repeat(2);
    good(Format::Gzip, &twice, &plain.repeat(2), "two members with QZ fields");
    good(Format::Gzip, &gzip(8, &[&vec![b'n'; 2 << 20][..], b"\0"].concat()), &plain, "a name of 2 MiB");
    corrupt(Format::Gzip, &gzip(8, &vec![b'n'; 2 << 20])[..2 << 20], "a name that does not end");
    corrupt(Format::Gzip, &gzip(0x20, b""), "a reserved flag");
    corrupt(Format::Gzip, &gzip(2, b"\x12\x34"), "a wrong header checksum");
    for (plain_len, deflated_len) in [
        (len + 1, deflated_len),
        (len - 1, deflated_len),
        (0, deflated_len),
        (len, deflated_len + 1),
        (len, deflated_len - 1),
        (len, 1),
        (1 << 24, deflated_len),
        (len, 1 << 24),
    ] {
        // Extra fields are no part of the data (RFC 1952 section 2.3.1.1).
        let member = gzip(4, &qz_extra(plain_len, deflated_len));
        good(Format::Gzip, &member, &plain, &format!("a QZ field of {plain_len} and {deflated_len}"));
    }
    for lie in [u32::MAX, (16 << 20) + 1] {
        // Beyond what is decoded whole: not taken at its word.
        good(Format::Gzip, &gzip(4, &qz_extra(lie, lie)), &plain, "an absurd QZ field");
    }
    let mut wrong_length = gzip(0, b"");
    *wrong_length.last_mut().unwrap() ^= 0x40;
    corrupt(Format::Gzip, &wrong_length, "a length of a GiB more");

    unsupported(Format::Zlib, &[b"\x78\xbb", &deflated[..]].concat(), "a preset dictionary");
    corrupt(Format::Zlib, &[b"\x88\x1c", &deflated[..]].concat(), "a window of 64 KiB");

    if subject.formats.contains(&Format::Zstd) {
        lying_zstd_headers(subject, &corrupt, &unsupported, &good);
    }

    let block = |plain: &[u8]| {
        let stored = (plain.len() as u32 | 1 << 31).to_le_bytes();
        [&stored[..], plain, &[0; 4]].concat()
    };
    let sized = |size: u64| [&[0x68, 0x40][..], &size.to_le_bytes()].concat();
    good(Format::Lz4Frame, &lz4_frame(&sized(5), &block(b"hello")), b"hello", "a true content size");
    for size in [0, 4, 6, 1 << 40, u64::MAX] {
        corrupt(
            Format::Lz4Frame,
            &lz4_frame(&sized(size), &block(b"hello")),
            &format!("a content size of {size}"),
        );
    }
    let open = [0x60, 0x40];
    good(Format::Lz4Frame, &lz4_frame(&open, &block(&noise(65_536))), &noise(65_536), "a full block");
    corrupt(
        Format::Lz4Frame,
        &lz4_frame(&open, &block(&noise(65_537))),
        "a block beyond the frame's maximum",
    );
    corrupt(Format::Lz4Frame, &lz4_frame(&open, &u32::MAX.to_le_bytes()), "a block of 2 GiB");
    unsupported(Format::Lz4Frame, &lz4_frame(&[0x61, 0x40, 1, 2, 3, 4], &block(b"hello")), "a dictionary");
    corrupt(Format::Lz4Frame, &lz4_frame(&[0x20, 0x40], &block(b"hello")), "another version");
    corrupt(Format::Lz4Frame, &lz4_frame(&[0x60, 0x30], &block(b"hello")), "an unknown block size");
    corrupt(Format::Lz4Frame, &lz4_frame(&[0x62, 0x40], &block(b"hello")), "a reserved bit");
    // A compressed block that makes more than the frame's maximum out of few bytes.
    let fat = one_shot(subject, &vec![0; 70_000], Format::Lz4Block);
    let fat = [&(fat.len() as u32).to_le_bytes()[..], &fat, &[0; 4]].concat();
    corrupt(Format::Lz4Frame, &lz4_frame(&open, &fat), "a block of more than 64 KiB");
    // A match before the beginning: one literal, then 16 bytes from 9 back.
    let before = [&[8, 0, 0, 0][..], &[0x1C, b'x', 9, 0, 0x30, b'a', b'b', b'c'], &[0; 4]].concat();
    corrupt(Format::Lz4Frame, &lz4_frame(&open, &before), "a match before the block");
    corrupt(Format::Lz4Block, &before[4..12], "a match before the block");
    corrupt(Format::Lz4Frame, &lz4_frame(&[0x40, 0x40], &before), "a match before the first linked block");

    let legacy = |len: u32, block: &[u8]| [&[0x02, 0x21, 0x4C, 0x18][..], &len.to_le_bytes(), block].concat();
    let packed = one_shot(subject, &plain, Format::Lz4Block);
    let len = packed.len() as u32;
    good(Format::Lz4Frame, &legacy(len, &packed), &plain, "a legacy frame");
    for lie in [len + 1, len - 1, len | 1 << 31, 9 << 20, u32::MAX] {
        corrupt(Format::Lz4Frame, &legacy(lie, &packed), &format!("a legacy block of {lie} bytes"));
    }
}

type Refuse<'a> = &'a dyn Fn(Format, &[u8], &str);
type Accept<'a> = &'a dyn Fn(Format, &[u8], &[u8], &str);

fn lying_zstd_headers(subject: &Subject, corrupt: Refuse<'_>, unsupported: Refuse<'_>, good: Accept<'_>) {
    let single = |size: u32| zstd_frame(0xA0, &size.to_le_bytes());
    good(Format::Zstd, &single(5), b"hello", "a true content size");
    good(Format::Zstd, &zstd_frame(0x00, &[0x00]), b"hello", "no content size, a window of 1 KiB");
    good(Format::Zstd, &zstd_frame(0x21, &[0, 5]), b"hello", "dictionary 0, which means none");
    for size in [0, 4, 6, 1 << 20, 1 << 24, (1 << 24) + 1, 1 << 27] {
        corrupt(Format::Zstd, &single(size), &format!("a content size of {size}"));
    }
    unsupported(Format::Zstd, &zstd_frame(0x21, &[7, 5]), "a dictionary");
    unsupported(Format::Zstd, &zstd_frame(0x23, &[7, 7, 7, 7, 5]), "a dictionary with a long id");
    corrupt(Format::Zstd, &zstd_frame(0x28, &[5]), "a reserved bit");
    corrupt(Format::Zstd, &[0x28, 0xB5, 0x2F, 0xFD, 0x20, 5, 5 << 3 | 7, 0, 0], "a reserved block type");
    // 2^(10 + 31) bytes and 7/8 more, which no release of libzstd takes.
    unsupported(Format::Zstd, &zstd_frame(0x00, &[0xFF]), "a window of 3.75 TiB");
    // Content sizes that are a window too large for the stream's limit; one call has the whole output and needs none.
    for (descriptor, size) in [(0xA0, 1_u64 << 29), (0xA0, u32::MAX.into()), (0xE0, 1 << 40), (0xE0, 1 << 62)]
    {
        let len = if descriptor == 0xA0 { 4 } else { 8 };
        let packed = zstd_frame(descriptor, &size.to_le_bytes()[..len]);
        let options = DecompressOptions::new(Format::Zstd);
        subject.compression.decompress(&packed, &options).unwrap_err();
        for threads in [1, 2] {
            let error = unpack(subject, &packed, Some(Format::Zstd), &settings(threads)).unwrap_err();
            let clear = matches!(
                error,
                StreamError::WindowLimit { .. } | StreamError::Work(Error::Unsupported { .. })
            );
            assert!(clear, "a content size of {size}: {error}");
        }
    }
}

/// A little input that becomes a lot ends at the limit.
pub(crate) fn bombs(subject: &Subject) {
    let most = vec![0; 64 << 20];
    for &format in subject.formats {
        let plain = &most[..most.len().min((subject.largest)(format))];
        let packed = one_shot(subject, plain, format);
        let options = DecompressOptions::new(format).limit(1 << 20);
        for result in [
            subject.compression.decompress(&packed, &options).map(drop),
            subject.compression.decompress_into(&packed, &mut vec![0; 2 << 20], &options).map(drop),
        ] {
            assert!(matches!(result, Err(Error::LimitExceeded { limit: 0x10_0000 })), "{format}: {result:?}");
        }
        if format == Format::Lz4Block {
            continue;
        }
        let packed = pack(subject, plain, &CompressOptions::new(format), &settings(2));
        for threads in [1, 3] {
            let settings = settings(threads).limit(5 << 20);
            let result =
                stream::decompress(&packed[..], io::sink(), &subject.engine, Some(format), &settings);
            assert!(
                matches!(result, Err(StreamError::Work(Error::LimitExceeded { limit: 0x50_0000 }))),
                "{format}: {result:?}"
            );
        }
    }
}

/// A keyset of one key with short segments, so that little data has many.
fn short_segments(byte: u8) -> Keyset {
    const SEGMENT: u8 = 100;
    // AesGcmHkdfStreamingKey: parameters (segment size, derived key size 32, SHA-256), key.
    let value = [&[0x12, 6, 8, SEGMENT, 16, 32, 24, 3, 0x1a, 32][..], &[byte; 32]].concat();
    let value = base64::engine::general_purpose::STANDARD.encode(value);
    Keyset::parse(&format!(
        r#"{{"primaryKeyId": 7, "key": [{{"keyData": {{"typeUrl":
        "type.googleapis.com/google.crypto.tink.AesGcmHkdfStreamingKey", "value": "{value}",
        "keyMaterialType": "SYMMETRIC"}}, "status": "ENABLED", "keyId": 7, "outputPrefixType": "RAW"}}]}}"#
    ))
    .unwrap()
}

/// Header, then three whole segments and a shorter one.
fn sealed(subject: &Subject, keyset: &Keyset, plain: &[u8]) -> Vec<u8> {
    let mut out = Vec::new();
    stream::encrypt(plain, &mut out, &subject.engine, keyset, b"aad", &settings(1)).unwrap();
    out
}

/// Decrypts; what was written must be a prefix whatever happens.
#[track_caller]
fn open(
    subject: &Subject,
    keyset: &Keyset,
    sealed: &[u8],
    plain: &[u8],
    threads: usize,
) -> Result<(), StreamError> {
    let mut out = Vec::new();
    let result = stream::decrypt(sealed, &mut out, &subject.engine, keyset, b"aad", &settings(threads));
    assert!(plain.starts_with(&out), "other plaintext than was encrypted");
    assert!(result.is_err() || out.len() == plain.len(), "a shortened plaintext passed for whole");
    result.map(drop)
}

/// Plain bytes of three whole segments (44 and twice 84) and a part of one.
const PLAIN: usize = 44 + 84 + 84 + 50;

pub(crate) fn encrypted_truncations(subject: &Subject) {
    let (keyset, plain) = (short_segments(1), text(PLAIN));
    let whole = sealed(subject, &keyset, &plain);
    assert_eq!(whole.len(), 300 + 66);
    for threads in [1, 2] {
        open(subject, &keyset, &whole, &plain, threads).unwrap();
        for cut in 0..whole.len() {
            let error = open(subject, &keyset, &whole[..cut], &plain, threads).unwrap_err();
            match (cut, &error) {
                (0..40, StreamError::TruncatedHeader) | (40..=100, StreamError::NoMatchingKey) => {}
                (101.., StreamError::Work(Error::Authentication { .. })) => {}
                _ => panic!("cut at {cut}: {error}"),
            }
        }
    }
    for plain in [&plain[..0], &plain[..1], &plain[..44], &plain[..128]] {
        let whole = sealed(subject, &keyset, plain);
        for cut in 0..whole.len() {
            open(subject, &keyset, &whole[..cut], plain, 1).unwrap_err();
        }
        for more in [&[0][..], &[0; 16], &[0; 100], &[0; 1000]] {
            open(subject, &keyset, &[&whole[..], more].concat(), plain, 1).unwrap_err();
        }
    }
}

pub(crate) fn encrypted_bit_flips(subject: &Subject) {
    let (keyset, plain) = (short_segments(1), text(PLAIN));
    let whole = sealed(subject, &keyset, &plain);
    for bit in 0..whole.len() * 8 {
        let mut altered = whole.clone();
        altered[bit / 8] ^= 1 << (bit % 8);
        let error = open(subject, &keyset, &altered, &plain, 1).unwrap_err();
        match (bit / 8, &error) {
            (0, StreamError::NotEncrypted { .. }) | (1..=99, StreamError::NoMatchingKey) => {}
            (100.., StreamError::Work(Error::Authentication { .. })) => {}
            _ => panic!("bit {bit}: {error}"),
        }
    }
}

pub(crate) fn encrypted_segments_moved(subject: &Subject) {
    let (keyset, plain) = (short_segments(1), text(PLAIN));
    let whole = sealed(subject, &keyset, &plain);
    let other = sealed(subject, &keyset, &text(PLAIN));
    let parts = |of: &[u8]| -> Vec<Vec<u8>> {
        let (header, rest) = of.split_at(40);
        let (first, rest) = rest.split_at(60);
        [header, first].into_iter().chain(rest.chunks(100)).map(<[u8]>::to_vec).collect()
    };
    let (a, b) = (parts(&whole), parts(&other));
    assert_eq!(a.len(), 5);
    let attacks: [(&str, Vec<&[u8]>); 12] = [
        ("swapped", vec![&a[0], &a[1], &a[3], &a[2], &a[4]]),
        ("dropped in the middle", vec![&a[0], &a[1], &a[3], &a[4]]),
        ("dropped at the end", vec![&a[0], &a[1], &a[2], &a[3]]),
        ("the first dropped", vec![&a[0], &a[2], &a[3], &a[4]]),
        ("duplicated", vec![&a[0], &a[1], &a[2], &a[2], &a[3], &a[4]]),
        ("the last duplicated", vec![&a[0], &a[1], &a[2], &a[3], &a[4], &a[4]]),
        ("the last too early", vec![&a[0], &a[1], &a[4]]),
        ("spliced in the middle", vec![&a[0], &a[1], &b[2], &a[3], &a[4]]),
        ("spliced at the end", vec![&a[0], &a[1], &a[2], &a[3], &b[4]]),
        ("another's header", vec![&b[0], &a[1], &a[2], &a[3], &a[4]]),
        ("another's tail", vec![&a[0], &a[1], &b[2], &b[3], &b[4]]),
        ("another stream behind", vec![&whole, &other]),
    ];
    for (what, parts) in attacks {
        for threads in [1, 3] {
            let error = open(subject, &keyset, &parts.concat(), &plain, threads).unwrap_err();
            let clear =
                matches!(error, StreamError::NoMatchingKey | StreamError::Work(Error::Authentication { .. }));
            assert!(clear, "{what}: {error}");
        }
    }
}

pub(crate) fn wrong_keys(subject: &Subject) {
    let plain = text(PLAIN);
    let whole = sealed(subject, &short_segments(1), &plain);
    let error = open(subject, &short_segments(2), &whole, &plain, 1).unwrap_err();
    assert!(matches!(error, StreamError::NoMatchingKey), "{error}");
    // The same key bytes with other segments is another key.
    let other = Keyset::parse(&"01".repeat(32)).unwrap();
    let error = open(subject, &other, &whole, &plain, 1).unwrap_err();
    assert!(matches!(error, StreamError::NoMatchingKey), "{error}");
    for (input, header_len) in [(&b"\x1f\x8b\x08"[..], 0x1f), (b"plain text", b'p'.into()), (&[0; 100], 0)] {
        let error = open(subject, &other, input, b"", 1).unwrap_err();
        assert!(
            matches!(error, StreamError::NotEncrypted { header_len: len } if len == header_len),
            "{error}"
        );
    }
    assert!(matches!(open(subject, &other, b"", b"", 1), Err(StreamError::TruncatedHeader)));
}

fn run<S: Strategy>(cases: u32, strategy: S, test: impl Fn(S::Value)) {
    let config = ProptestConfig { cases, failure_persistence: None, ..ProptestConfig::default() };
    let result = TestRunner::new(config).run(&strategy, |value| {
        test(value);
        Ok(())
    });
    if let Err(error) = result {
        panic!("{error}");
    }
}

/// Whatever the bytes: an answer or an error, within the limit, and the same answer in every way to ask.
fn feed(subject: &Subject, format: Format, bytes: &[u8]) {
    const LIMIT: usize = 1 << 20;
    let options = DecompressOptions::new(format).limit(LIMIT);
    let limited = settings(1).limit(LIMIT as u64);
    // A block that breaks LZ4's rules for its last bytes is refused only where its end is the buffer's end.
    let may_differ = matches!(format, Format::Lz4Block | Format::Lz4Frame);
    let one_shot = subject.compression.decompress(bytes, &options).map(|(plain, _)| plain);
    if let Ok(plain) = &one_shot {
        assert!(plain.len() <= LIMIT);
        let mut exact = vec![0; plain.len()];
        match subject.compression.decompress_into(bytes, &mut exact, &options) {
            Ok(_) => same(&exact, plain, format),
            Err(Error::Corrupt { .. }) if may_differ => {}
            Err(error) => panic!("{format}, exact room: {error}"),
        }
    }
    if format != Format::Lz4Block {
        match (unpack(subject, bytes, Some(format), &limited), &one_shot) {
            (Ok(streamed), Ok(plain)) => same(&streamed, plain, (format, "stream")),
            (Err(_), Err(_)) => {}
            // Only the stream needs a window.
            (Err(StreamError::WindowLimit { .. }), _) => {}
            _ if may_differ => {}
            (streamed, plain) => panic!("{format}: stream {streamed:?}, one call {plain:?}"),
        }
    }
    let _ = subject.compression.decompress_into(bytes, &mut [0; 1000], &options);
    let _ = unpack(subject, bytes, None, &limited);
}

pub(crate) fn arbitrary_bytes(subject: &Subject) {
    for byte in 0..=255 {
        for &format in subject.formats {
            feed(subject, format, &[byte]);
        }
    }
    let starts: [&[u8]; 9] = [
        b"",
        b"\x1f\x8b\x08\0\0\0\0\0\0\x03",
        b"\x1f\x8b\x08\x04\0\0\0\0\0\x03\x0c\0QZ\x08\0",
        b"\x78\x9c",
        b"\x04\x22\x4d\x18\x64\x40\xa7",
        b"\x02\x21\x4c\x18",
        b"\x28\xb5\x2f\xfd",
        b"\x28\xb5\x2f\xfd\x20",
        b"\x50\x2a\x4d\x18",
    ];
    run(400, (any::<Index>(), vec(any::<u8>(), 0..600)), |(start, bytes)| {
        let bytes = [starts[start.index(starts.len())], &bytes].concat();
        let _ = detect(&bytes);
        for &format in subject.formats {
            feed(subject, format, &bytes);
        }
    });

    // Good data with a few bytes changed, and cut.
    let plain = text(2000);
    let good: Vec<_> =
        subject.formats.iter().map(|format| (*format, one_shot(subject, &plain, *format))).collect();
    let changes = vec((any::<Index>(), any::<u8>()), 0..4);
    run(600, (any::<Index>(), changes, any::<Index>(), any::<bool>()), |(which, changes, cut, do_cut)| {
        let (format, mut bytes) = good[which.index(good.len())].clone();
        for (at, byte) in changes {
            let at = at.index(bytes.len());
            bytes[at] = byte;
        }
        if do_cut {
            bytes.truncate(cut.index(bytes.len() + 1));
        }
        feed(subject, format, &bytes);
    });

    let keyset = short_segments(1);
    let whole = sealed(subject, &keyset, &text(PLAIN));
    run(200, (vec((any::<Index>(), any::<u8>()), 0..4), any::<Index>()), |(changes, cut)| {
        let mut bytes = whole.clone();
        for (at, byte) in changes {
            let at = at.index(bytes.len());
            bytes[at] = byte;
        }
        bytes.truncate(cut.index(bytes.len() + 1));
        if bytes != whole {
            open(subject, &keyset, &bytes, &text(PLAIN), 1).unwrap_err();
        }
    });

    let json = keyset.to_json();
    run(500, (vec(any::<u8>(), 0..200), vec((any::<Index>(), 0x20_u8..0x7f), 1..6)), |(bytes, changes)| {
        let _ = Keyset::parse(&String::from_utf8_lossy(&bytes));
        let mut text = json.as_bytes().to_vec();
        for (at, byte) in changes {
            let at = at.index(text.len());
            text[at] = byte;
        }
        let _ = Keyset::parse(&String::from_utf8_lossy(&text));
    });
}
