//! Decompression of streams that arrive in pieces, are cut off, damaged, or cannot be read to their end: nothing that was
//! decoded is lost, and how the bytes arrive changes nothing. Expected values are what other implementations wrote, and
//! what `gzip`, `zstd` and `lz4` print of the same bytes.

mod support;

use std::io::{self, ErrorKind, Read, Write};
use std::process::{Command, Stdio};
use std::sync::{Arc, Condvar, Mutex};
use std::time::Duration;

use accel_core::{DecompressOptions, Error, Format};
use proptest::collection::vec;
use proptest::prelude::*;
use qat::stream::{self, Settings, StreamError};
use support::{noise, same, settings, software, text};
use zstd_safe::{CCtx, CParameter, InBuffer, OutBuffer, zstd_sys::ZSTD_EndDirective};

/// Decompresses `input`: what was written, and how it ended.
fn unpack(
    input: impl Read + Send,
    format: Option<Format>,
    settings: &Settings,
) -> (Vec<u8>, Result<(), StreamError>) {
    let mut out = Vec::new();
    let result = stream::decompress(input, &mut out, &software().engine, format, settings);
    if let Ok(summary) = &result {
        assert_eq!(summary.bytes_out, out.len() as u64);
    }
    (out, result.map(drop))
}

/// What a tool prints of `input`, however it ends.
fn printed(program: &str, input: &[u8]) -> Vec<u8> {
    let mut child = Command::new(program)
        .arg("-dc")
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .unwrap_or_else(|error| panic!("{program} is missing, apt-get install {program}: {error}"));
    let mut stdin = child.stdin.take().unwrap();
    std::thread::scope(|scope| {
        // A tool that has failed closes its input.
        scope.spawn(move || drop(stdin.write_all(input)));
        child.wait_with_output().unwrap().stdout
    })
}

/// What a tool writes of `input`.
fn packed(program: &str, args: &[&str], input: &[u8]) -> Vec<u8> {
    let mut child = Command::new(program)
        .args(args)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap_or_else(|error| panic!("{program} is missing, apt-get install {program}: {error}"));
    let mut stdin = child.stdin.take().unwrap();
    let output = std::thread::scope(|scope| {
        scope.spawn(move || stdin.write_all(input).unwrap());
        child.wait_with_output().unwrap()
    });
    assert!(output.status.success(), "{program} {args:?}");
    output.stdout
}

fn deflated(plain: &[u8]) -> Vec<u8> {
    let mut encoder = flate2::write::DeflateEncoder::new(Vec::new(), flate2::Compression::new(6));
    encoder.write_all(plain).unwrap();
    encoder.finish().unwrap()
}

/// A gzip member with QATzip's field, which says these lengths (`None`: those that it has).
fn qz_member(plain: &[u8], plain_len: Option<u32>, deflated_len: Option<u32>) -> Vec<u8> {
    let deflated = deflated(plain);
    let mut crc = flate2::Crc::new();
    crc.update(plain);
    let mut member = vec![0x1f, 0x8b, 8, 4, 0, 0, 0, 0, 0, 255, 12, 0, b'Q', b'Z', 8, 0];
    member.extend_from_slice(&plain_len.unwrap_or(plain.len() as u32).to_le_bytes());
    member.extend_from_slice(&deflated_len.unwrap_or(deflated.len() as u32).to_le_bytes());
    member.extend_from_slice(&deflated);
    member.extend_from_slice(&crc.sum().to_le_bytes());
    member.extend_from_slice(&(plain.len() as u32).to_le_bytes());
    member
}

/// A Zstandard frame that is flushed behind each of these pieces; with its content size, or without.
fn zstd_frame(pieces: &[&[u8]], sized: bool) -> Vec<u8> {
    pieces_of_zstd(pieces, sized).concat()
}

/// What libzstd has written after the flush behind each piece, and the end of the frame.
fn pieces_of_zstd(pieces: &[&[u8]], sized: bool) -> Vec<Vec<u8>> {
    let mut context = CCtx::create();
    context.set_parameter(CParameter::ChecksumFlag(true)).unwrap();
    if sized {
        let len: usize = pieces.iter().map(|piece| piece.len()).sum();
        context.set_pledged_src_size(Some(len as u64)).unwrap();
    }
    let mut step = |piece: &[u8], how| {
        let mut written = Vec::with_capacity(2 * piece.len() + 1000);
        let mut input = InBuffer::around(piece);
        let mut output = OutBuffer::around(&mut written);
        assert_eq!(context.compress_stream2(&mut output, &mut input, how).unwrap(), 0);
        written
    };
    let mut out: Vec<_> = pieces.iter().map(|piece| step(piece, ZSTD_EndDirective::ZSTD_e_flush)).collect();
    out.push(step(&[], ZSTD_EndDirective::ZSTD_e_end));
    out
}

/// An LZ4 frame of lz4_flex with blocks of 64 KiB.
fn lz4_frame(plain: &[u8], linked: bool, checksums: bool) -> Vec<u8> {
    use lz4_flex::frame::{BlockMode, BlockSize, FrameEncoder, FrameInfo};
    let info = FrameInfo::new()
        .block_size(BlockSize::Max64KB)
        .block_mode(if linked { BlockMode::Linked } else { BlockMode::Independent })
        .block_checksums(checksums)
        .content_checksum(checksums);
    let mut encoder = FrameEncoder::with_frame_info(info, Vec::new());
    encoder.write_all(plain).unwrap();
    encoder.finish().unwrap()
}

fn skippable(content: &[u8]) -> Vec<u8> {
    [&[0x57, 0x2A, 0x4D, 0x18][..], &(content.len() as u32).to_le_bytes(), content].concat()
}

/// Text, noise and text again, so that blocks are stored as well.
fn mixture(len: usize) -> Vec<u8> {
    [text(len / 3), noise(len / 3), text(len - 2 * (len / 3))].concat()
}

/// A file that streams read, with what it holds: name, tool that reads it, format, file, content.
type Sample = (&'static str, Option<&'static str>, Format, Vec<u8>, Vec<u8>);

/// Returns files of every kind that streams read.
fn files(len: usize) -> Vec<Sample> {
    let plain = mixture(len);
    let (a, b) = plain.split_at(len / 2);
    let zlib = {
        let mut encoder = flate2::write::ZlibEncoder::new(Vec::new(), flate2::Compression::new(6));
        encoder.write_all(&plain).unwrap();
        encoder.finish().unwrap()
    };
    let members = [qz_member(a, None, None), qz_member(b, None, None)].concat();
    let mixed = [qz_member(a, None, None), packed("gzip", &["-nc"], b)].concat();
    let records: Vec<&[u8]> = plain.chunks(512).collect();
    let frames = [zstd_frame(&[a], true), skippable(b"between"), zstd_frame(&[b], true)].concat();
    let legacy = packed("lz4", &["-lc"], &plain);
    let lz4s = [lz4_frame(a, false, true), skippable(&noise(5000)), legacy.clone()].concat();
    let plain_twice = [a, &plain[..]].concat();
    let gzip = packed("gzip", &["-nc"], &plain);
    vec![
        ("gzip", Some("gzip"), Format::Gzip, gzip, plain.clone()),
        ("members with QZ fields", Some("gzip"), Format::Gzip, members, plain.clone()),
        ("members with and without QZ fields", Some("gzip"), Format::Gzip, mixed, plain.clone()),
        ("zlib", None, Format::Zlib, zlib, plain.clone()),
        ("deflate", None, Format::Deflate, deflated(&plain), plain.clone()),
        ("zstd", Some("zstd"), Format::Zstd, packed("zstd", &["-c"], &plain), plain.clone()),
        ("zstd frames", Some("zstd"), Format::Zstd, frames, plain.clone()),
        ("zstd, flushed and sized", Some("zstd"), Format::Zstd, zstd_frame(&records, true), plain.clone()),
        ("lz4", Some("lz4"), Format::Lz4Frame, packed("lz4", &["-c"], &plain), plain.clone()),
        ("lz4, independent", Some("lz4"), Format::Lz4Frame, lz4_frame(&plain, false, false), plain.clone()),
        (
            "lz4, linked, checksums",
            Some("lz4"),
            Format::Lz4Frame,
            lz4_frame(&plain, true, true),
            plain.clone(),
        ),
        ("lz4 legacy", Some("lz4"), Format::Lz4Frame, legacy, plain.clone()),
        ("lz4 frames of all kinds", Some("lz4"), Format::Lz4Frame, lz4s, plain_twice),
    ]
}

/// Gives pieces of these lengths, again and again, with interruptions.
struct Pieces<'a> {
    rest: &'a [u8],
    lens: &'a [usize],
    reads: usize,
}

impl Read for Pieces<'_> {
    fn read(&mut self, to: &mut [u8]) -> io::Result<usize> {
        self.reads += 1;
        if self.reads.is_multiple_of(5) {
            return Err(ErrorKind::Interrupted.into());
        }
        let len = self.lens[self.reads % self.lens.len()].min(to.len()).min(self.rest.len());
        let (now, rest) = self.rest.split_at(len);
        to[..len].copy_from_slice(now);
        self.rest = rest;
        Ok(len)
    }
}

#[test]
fn how_the_bytes_arrive_changes_nothing() {
    let files = files(140_000);
    let lens = prop_oneof![vec(1_usize..200, 1..4), vec(1_usize..100_000, 1..6)];
    let config = ProptestConfig { cases: 8, failure_persistence: None, ..ProptestConfig::default() };
    let mut runner = proptest::test_runner::TestRunner::new(config);
    runner
        .run(&(lens, 1_usize..4), |(lens, threads)| {
            for (name, _, format, file, plain) in &files {
                let input = Pieces { rest: file, lens: &lens, reads: 0 };
                let named = (*format == Format::Deflate).then_some(*format);
                let (out, result) = unpack(input, named, &settings(threads));
                result.unwrap_or_else(|error| panic!("{name}: {error}"));
                same(&out, plain, name);
            }
            Ok(())
        })
        .unwrap();
}

/// Each way of damage gives an error behind at least what the format's own tool prints.
#[test]
fn what_comes_before_the_damage_is_written() {
    for (name, tool, format, file, plain) in files(3_000_000) {
        let cuts = (1..9).map(|n| file.len() * n / 9).chain([file.len() - 1]);
        for cut in cuts {
            let truncated = &file[..cut];
            let expected = tool.map(|tool| printed(tool, truncated)).unwrap_or_default();
            for threads in [1, 3] {
                let (out, result) = unpack(truncated, Some(format), &settings(threads));
                // The cut may be between two members or frames.
                if let Err(error) = result {
                    let is_clear = matches!(error, StreamError::Work(Error::Truncated { .. }));
                    assert!(is_clear, "{name} cut at {cut}: {error}");
                } else {
                    assert_eq!(tool.map(|_| out.len()), Some(expected.len()), "{name} cut at {cut}");
                }
                let enough = out.len() >= expected.len();
                assert!(enough, "{name} cut at {cut}: {} of {} bytes", out.len(), expected.len());
                assert!(plain.starts_with(&out), "{name} cut at {cut}: not a prefix");
            }
        }
        for at in (1..8).map(|n| file.len() * n / 8) {
            let mut damaged = file.clone();
            damaged[at..at + 8].iter_mut().for_each(|byte| *byte ^= 0xff);
            let expected = tool.map(|tool| printed(tool, &damaged)).unwrap_or_default();
            for threads in [1, 3] {
                let (out, result) = unpack(&damaged[..], Some(format), &settings(threads));
                // Nothing in raw deflate shows altered literals, and nothing in an LZ4 frame without checksums.
                let checked = !matches!(format, Format::Deflate | Format::Lz4Frame);
                assert!(result.is_err() || !checked, "{name} altered at {at}");
                // What a tool makes of the damage itself is not compared, only what it printed before it.
                let sound =
                    expected.iter().zip(&plain).take_while(|(printed, right)| printed == right).count();
                // A Zstandard block that holds the damage counts as damaged from its beginning: libzstd 1.5.7, which is
                // linked here, refuses blocks that the command of 1.5.4 decodes to something.
                let block = if format == Format::Zstd { 128 << 10 } else { 0 };
                let begins =
                    out.len() + block >= sound && out.iter().zip(&plain[..sound]).all(|(a, b)| a == b);
                assert!(begins, "{name} altered at {at}: {} of {sound} bytes", out.len());
            }
        }
    }
}

/// At each byte of small files, whatever the threads, and however the bytes arrive.
#[test]
fn a_cut_anywhere_is_an_error_behind_a_prefix() {
    for (name, _, format, file, plain) in files(600) {
        let mut most = 0;
        for cut in 0..file.len() {
            let mut seen = None;
            for (threads, lens) in [(1, [1 << 20]), (3, [1 << 20]), (1, [7]), (3, [1])] {
                let input = Pieces { rest: &file[..cut], lens: &lens, reads: 0 };
                let (out, result) = unpack(input, Some(format), &settings(threads));
                assert!(plain.starts_with(&out), "{name} cut at {cut}: not a prefix");
                let ended = match result {
                    Ok(()) => None,
                    Err(error) => Some(error.to_string()),
                };
                // Only what is whole passes for whole.
                assert!(ended.is_some() || out.len() < plain.len(), "{name} cut at {cut}");
                let now = (out.len(), ended);
                assert_eq!(seen.get_or_insert(now.clone()), &now, "{name} cut at {cut}, {threads} threads");
            }
            let (len, _) = seen.unwrap();
            assert!(len >= most, "{name}: more bytes of input gave less");
            most = len;
        }
    }
}

/// Gives its bytes, then fails.
struct Broken<'a>(&'a [u8]);

impl Read for Broken<'_> {
    fn read(&mut self, to: &mut [u8]) -> io::Result<usize> {
        match self.0.read(to)? {
            0 => Err(io::Error::other("unplugged")),
            n => Ok(n),
        }
    }
}

#[test]
fn a_read_that_fails_loses_as_little_as_an_end() {
    for (name, _, format, file, plain) in files(1_000_000) {
        for cut in (0..=10).map(|n| file.len() * n / 10) {
            for threads in [1, 3] {
                let (before_end, _) = unpack(&file[..cut], Some(format), &settings(threads));
                let (out, result) = unpack(Broken(&file[..cut]), Some(format), &settings(threads));
                assert!(matches!(result, Err(StreamError::Read(_))), "{name} broken at {cut}: {result:?}");
                same(&out, &before_end, (name, cut));
                assert!(plain.starts_with(&out), "{name} broken at {cut}: not a prefix");
            }
        }
        let error = unpack(Broken(b""), None, &settings(1)).1.unwrap_err();
        assert!(matches!(error, StreamError::Read(_)), "{error}");
    }
}

/// A writer and a reader that meet: the reader gives its next piece only when all that follows from the pieces before has
/// been written.
#[derive(Default)]
struct Meeting {
    out: Mutex<Vec<u8>>,
    changed: Condvar,
}

struct Waiting {
    meeting: Arc<Meeting>,
    /// Pieces, and how many bytes must have been written before each is given.
    pieces: std::vec::IntoIter<(Vec<u8>, usize)>,
    now: io::Cursor<Vec<u8>>,
}

impl Read for Waiting {
    fn read(&mut self, to: &mut [u8]) -> io::Result<usize> {
        loop {
            let n = self.now.read(to)?;
            if n > 0 {
                return Ok(n);
            }
            let Some((piece, expected)) = self.pieces.next() else { return Ok(0) };
            let out = self.meeting.out.lock().unwrap();
            let missing = |out: &mut Vec<u8>| out.len() < expected;
            let (out, wait) =
                self.meeting.changed.wait_timeout_while(out, Duration::from_secs(60), missing).unwrap();
            if wait.timed_out() {
                return Err(io::Error::other(format!("{} of {expected} bytes were passed on", out.len())));
            }
            self.now = io::Cursor::new(piece);
        }
    }
}

struct Passing(Arc<Meeting>);

impl Write for Passing {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.out.lock().unwrap().extend_from_slice(bytes);
        self.0.changed.notify_all();
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// Pieces that a writer has flushed, and the plain bytes of each: what is there is written before more is awaited.
fn passes_on(name: &str, format: Option<Format>, pieces: &[(Vec<u8>, Vec<u8>)]) {
    let plain: Vec<u8> = pieces.iter().flat_map(|(_, plain)| plain).copied().collect();
    for threads in [1, 3] {
        let mut before = 0;
        let due: Vec<_> = pieces
            .iter()
            .map(|(packed, plain)| {
                let piece = (packed.clone(), before);
                before += plain.len();
                piece
            })
            .chain([(Vec::new(), plain.len())])
            .collect();
        let meeting = Arc::new(Meeting::default());
        let input = Waiting { meeting: meeting.clone(), pieces: due.into_iter(), now: io::Cursor::default() };
        let result = stream::decompress(
            input,
            Passing(meeting.clone()),
            &software().engine,
            format,
            &settings(threads),
        );
        result.unwrap_or_else(|error| panic!("{name}, {threads} threads: {error}"));
        same(&meeting.out.lock().unwrap(), &plain, name);
    }
}

#[test]
fn what_was_flushed_is_passed_on_before_more_is_awaited() {
    let records: Vec<Vec<u8>> = [1, 100, 512, 70_000, 3, 300_000]
        .into_iter()
        .map(|len| mixture(len.max(3))[..len].to_vec())
        .collect();

    macro_rules! flushed {
        ($encoder:expr, $finish:ident) => {{
            let mut encoder = $encoder;
            let mut at = 0;
            let mut pieces = Vec::new();
            for record in &records {
                encoder.write_all(record).unwrap();
                encoder.flush().unwrap();
                pieces.push((encoder.get_ref()[at..].to_vec(), record.clone()));
                at = encoder.get_ref().len();
            }
            pieces.push((encoder.$finish().unwrap()[at..].to_vec(), Vec::new()));
            pieces
        }};
    }
    let level = flate2::Compression::new(6);
    let gzip = flushed!(flate2::write::GzEncoder::new(Vec::new(), level), finish);
    let zlib = flushed!(flate2::write::ZlibEncoder::new(Vec::new(), level), finish);
    let deflate = flushed!(flate2::write::DeflateEncoder::new(Vec::new(), level), finish);
    let lz4 = flushed!(lz4_flex::frame::FrameEncoder::new(Vec::new()), finish);
    passes_on("gzip", None, &gzip);
    passes_on("zlib", None, &zlib);
    passes_on("deflate", Some(Format::Deflate), &deflate);
    passes_on("lz4", None, &lz4);
    for sized in [false, true] {
        let plain: Vec<&[u8]> = records.iter().map(Vec::as_slice).collect();
        let contents = records.iter().cloned().chain([Vec::new()]);
        let zstd: Vec<_> = pieces_of_zstd(&plain, sized).into_iter().zip(contents).collect();
        passes_on("zstd", None, &zstd);
    }

    // Whole members and frames, and their last pieces before the trailers come.
    let whole = |pack: &dyn Fn(&[u8]) -> Vec<u8>| -> Vec<(Vec<u8>, Vec<u8>)> {
        records.iter().map(|record| (pack(record), record.clone())).collect()
    };
    let tool = |program, args: &'static [&str]| move |plain: &[u8]| packed(program, args, plain);
    passes_on("gzip members", None, &whole(&tool("gzip", &["-nc"])));
    passes_on("members with QZ fields", None, &whole(&|plain| qz_member(plain, None, None)));
    passes_on("zstd frames", None, &whole(&tool("zstd", &["-c"])));
    passes_on("sized zstd frames", None, &whole(&|plain| zstd_frame(&[plain], true)));
    passes_on("lz4 frames", None, &whole(&tool("lz4", &["-c"])));
    for (name, len, file) in [
        ("a gzip trailer", 8, packed("gzip", &["-nc"], &records[3])),
        ("a zstd checksum", 4, zstd_frame(&[&records[3]], false)),
        ("an lz4 end mark", 8, packed("lz4", &["-c"], &records[3])),
    ] {
        let (body, trailer) = file.split_at(file.len() - len);
        passes_on(name, None, &[(body.to_vec(), records[3].clone()), (trailer.to_vec(), Vec::new())]);
    }
}

#[test]
fn a_qz_field_is_only_an_extra_field() {
    let parts = [mixture(40_000), text(100), mixture(900_000), Vec::new(), mixture(300_000)];
    let lens: Vec<u32> = parts.iter().map(|part| deflated(part).len() as u32).collect();
    let after = qz_member(&parts[4], None, None);
    for which in 0..parts.len() {
        let (plain_len, len) = (parts[which].len() as u32, lens[which]);
        for (plain_lie, lie) in [
            (plain_len + 1, len),
            (plain_len.wrapping_sub(1), len),
            (0, len),
            (plain_len, len + 1),
            (plain_len, len - 1),
            (plain_len, 1),
            (1 << 21, len),
            (plain_len, 1 << 21),
            (u32::MAX, u32::MAX),
            // The member and the one behind it.
            (plain_len, len + 8 + after.len() as u32),
        ] {
            let members: Vec<Vec<u8>> = (0..parts.len())
                .map(|n| match n == which {
                    true => qz_member(&parts[n], Some(plain_lie), Some(lie)),
                    false => qz_member(&parts[n], None, None),
                })
                .collect();
            let file = [&members.concat()[..], &packed("gzip", &["-nc"], b"the end"), &[0; 600]].concat();
            let plain = [&parts.concat()[..], b"the end"].concat();
            for threads in [1, 3] {
                for len in [1 << 20, 4099] {
                    let input = Pieces { rest: &file, lens: &[len], reads: 0 };
                    let (out, result) = unpack(input, None, &settings(threads));
                    result.unwrap_or_else(|error| panic!("member {which}, QZ {plain_lie} {lie}: {error}"));
                    same(&out, &plain, (which, plain_lie, lie));
                }
                // The damage behind it is found where it is.
                let cut = &file[..file.len() - 620];
                let (out, result) = unpack(cut, None, &settings(threads));
                assert!(matches!(result, Err(StreamError::Work(Error::Truncated { .. }))), "{result:?}");
                assert!(out.len() >= plain.len() - 7 && plain.starts_with(&out), "{} bytes", out.len());
            }
        }
    }
}

#[test]
fn gzip_headers_have_any_length() {
    let plain = text(1000);
    let member = |name: &[u8]| {
        let plain_member = packed("gzip", &["-nc"], &plain);
        [&[0x1f, 0x8b, 8, 0x18], &plain_member[4..10], name, b"\0comment\0", &plain_member[10..]].concat()
    };
    let file = [member(&vec![b'n'; 5 << 20]), member(b"short")].concat();
    for (threads, len) in [(1, 100), (3, 100_000)] {
        let (out, result) = unpack(Pieces { rest: &file, lens: &[len], reads: 0 }, None, &settings(threads));
        result.unwrap();
        same(&out, &plain.repeat(2), "a name of 5 MiB");
    }
    let (out, _) = software().compression.decompress(&file, &DecompressOptions::new(Format::Gzip)).unwrap();
    same(&out, &plain.repeat(2), "a name of 5 MiB, in one call");
}

#[test]
fn many_small_blocks_are_a_valid_frame() {
    // The frame says 16 MiB, and its blocks have each a header of 3 bytes: it is longer than libzstd's bound for so much.
    let plain = noise(16 << 20);
    let records: Vec<&[u8]> = plain.chunks(512).collect();
    let frame = zstd_frame(&records, true);
    assert!(frame.len() > zstd_safe::compress_bound(plain.len()));
    for threads in [1, 3] {
        let (out, result) = unpack(&frame[..], None, &settings(threads));
        result.unwrap();
        same(&out, &plain, threads);
        let (out, result) =
            unpack(Pieces { rest: &frame, lens: &[65_536], reads: 0 }, None, &settings(threads));
        result.unwrap();
        same(&out, &plain, threads);
    }
}

#[test]
fn skippable_frames_decide_nothing() {
    let plain = text(5000);
    for content in [0, 1, 4000, 1 << 20] {
        let skipped = [skippable(&noise(content)), skippable(b"")].concat();
        for (format, frame) in [
            (Format::Lz4Frame, packed("lz4", &["-c"], &plain)),
            (Format::Zstd, packed("zstd", &["-c"], &plain)),
        ] {
            let file = [&skipped[..], &frame].concat();
            for len in [1, 5000, 1 << 20] {
                let (mut out, lens) = (Vec::new(), [len]);
                let input = Pieces { rest: &file, lens: &lens, reads: 0 };
                let summary =
                    stream::decompress(input, &mut out, &software().engine, None, &settings(1)).unwrap();
                assert_eq!((summary.format, summary.bytes_in), (Some(format), file.len() as u64));
                same(&out, &plain, (format, content, len));
            }
            assert_eq!(stream::detect(&file), Some(format));
        }
        let error = unpack(&[&skipped[..], b"PK\x03\x04"].concat()[..], None, &settings(1)).1.unwrap_err();
        assert!(matches!(error, StreamError::UnknownFormat), "{error}");
        unpack(&skipped[..], None, &settings(1)).1.unwrap();
        let error = unpack(&skipped[..skipped.len() - 9], None, &settings(1)).1.unwrap_err();
        assert!(matches!(error, StreamError::Work(Error::Truncated { .. })), "{error}");
    }
}

/// Every way to read: one call, and streams.
fn every_error(file: &[u8], format: Format) -> Vec<StreamError> {
    let one_shot = software().compression.decompress(file, &DecompressOptions::new(format));
    let mut errors = vec![one_shot.map(|_| ()).unwrap_err().into()];
    for (threads, lens) in [(1, [1 << 20]), (3, [1 << 20]), (1, [1])] {
        let input = Pieces { rest: file, lens: &lens, reads: 0 };
        errors.push(unpack(input, Some(format), &settings(threads)).1.unwrap_err());
    }
    errors
}

#[test]
fn dictionaries_are_unsupported_and_named() {
    let dictionary = text(20_000);
    let plain = text(3000);
    let unsupported = |file: &[u8], format: Format, id: &str| {
        for error in every_error(file, format) {
            assert!(matches!(error, StreamError::Work(Error::Unsupported { .. })), "{format}: {error}");
            assert!(error.to_string().contains(id), "{format}: {error} does not name {id}");
        }
    };
    // zlib: the dictionary's Adler-32 follows the header (RFC 1950 section 2.2).
    let zlib = [&[0x78, 0xbb, 0x06, 0x2c, 0x02, 0x15][..], &deflated(&plain)].concat();
    unsupported(&zlib, Format::Zlib, "0x62c0215");
    let error = unpack(&zlib[..], None, &settings(1)).1.unwrap_err();
    assert!(matches!(error, StreamError::Work(Error::Unsupported { .. })), "{error}");

    // zstd: a dictionary with a header, which has an id, from `zstd --train`'s format.
    let mut context = CCtx::create();
    let id = 0x1234_5678_u32;
    let frame = [&[0x28, 0xB5, 0x2F, 0xFD, 0x23][..], &id.to_le_bytes(), &[5, 5 << 3 | 1, 0, 0], b"hello"];
    unsupported(&frame.concat(), Format::Zstd, "305419896");
    // Without an id it cannot be told what is missing.
    context.load_dictionary(&dictionary).unwrap();
    let mut frame = vec![0; zstd_safe::compress_bound(plain.len())];
    let len = context.compress2(&mut frame[..], &plain).unwrap();
    for error in every_error(&frame[..len], Format::Zstd) {
        assert!(matches!(error, StreamError::Work(Error::Corrupt { .. })), "{error}");
    }

    let descriptor = [0x61, 0x40, 0x78, 0x56, 0x34, 0x12];
    let checksum = (twox_hash::XxHash32::oneshot(0, &descriptor) >> 8) as u8;
    let frame = [&[0x04, 0x22, 0x4D, 0x18][..], &descriptor, &[checksum], &[0; 4]].concat();
    unsupported(&frame, Format::Lz4Frame, "305419896");
    let mut damaged = frame.clone();
    damaged[7] ^= 1;
    for error in every_error(&damaged, Format::Lz4Frame) {
        assert!(matches!(error, StreamError::Work(Error::Corrupt { .. })), "{error}");
    }
}

#[test]
fn windows_have_a_limit_of_their_own() {
    // 200 MiB through a window of 256 MiB, its size unknown: `zstd --long=28` of a pipe.
    let plain = vec![7; 200 << 20];
    let frame = packed("zstd", &["-c", "--long=28"], &plain);
    for len in [1 << 20, 100] {
        let lens = [len];
        let input = || Pieces { rest: &frame, lens: &lens, reads: 0 };
        let (out, result) = unpack(input(), None, &settings(2));
        let error = result.unwrap_err();
        let named = matches!(error, StreamError::WindowLimit { required: 0x1000_0000, limit: 0x800_0000 });
        assert!(named && out.is_empty(), "{error}");
        let (out, result) = unpack(input(), None, &settings(2).window_limit(1 << 28));
        result.unwrap();
        assert!(out == plain, "{} bytes", out.len());
    }
    // A frame that says that it holds little needs little, whatever its window.
    let small =
        [&[0x28, 0xB5, 0x2F, 0xFD, 0x80, 0xA8][..], &5_u32.to_le_bytes(), &[5 << 3 | 1, 0, 0], b"hello"];
    for len in [1 << 20, 1] {
        let input = Pieces { rest: &small.concat(), lens: &[len], reads: 0 };
        let (out, result) = unpack(input, None, &settings(2));
        result.unwrap();
        same(&out, b"hello", "a window of 2 GiB");
    }
    for error in
        every_error(&[0x28, 0xB5, 0x2F, 0xFD, 0, 0xFF, 5 << 3 | 1, 0, 0, 1, 2, 3, 4, 5], Format::Zstd)
    {
        assert!(matches!(error, StreamError::Work(Error::Unsupported { .. })), "{error}");
    }
}

#[test]
fn an_invalid_frame_that_is_all_there_is_corrupt() {
    let plain = mixture(30_000);
    // Compressed blocks whose parts do not add up.
    let good = zstd_frame(&[&plain], true);
    let mut corrupt = 0;
    for at in (20..good.len() - 8).step_by(good.len() / 150) {
        let mut frame = good.clone();
        frame[at] ^= 0xff;
        for error in every_error(&frame, Format::Zstd) {
            assert!(
                matches!(error, StreamError::Work(Error::Corrupt { .. } | Error::Truncated { .. })),
                "at {at}: {error}"
            );
            corrupt += usize::from(matches!(error, StreamError::Work(Error::Corrupt { .. })));
        }
    }
    assert!(corrupt > 400, "{corrupt}");
    let one_block = |body: &[u8]| {
        let head = ((body.len() as u32) << 3 | 2 << 1 | 1).to_le_bytes();
        [&[0x28, 0xB5, 0x2F, 0xFD, 0x20, 200][..], &head[..3], body].concat()
    };
    for body in [&[0x02][..], &[0x02, 0x00], &[0xff, 0xff, 0xff], &[0x00, 0x01], &[0x06, 0x02, 0x00, 0x80]] {
        for error in every_error(&one_block(body), Format::Zstd) {
            assert!(matches!(error, StreamError::Work(Error::Corrupt { .. })), "{body:x?}: {error}");
        }
    }
    // LZ4 blocks that end inside a sequence, in each kind of frame.
    let block = [0xf0_u8, 200, b'x'];
    let sized = [&(block.len() as u32).to_le_bytes()[..], &block].concat();
    for flags in [0x60, 0x40] {
        let descriptor = [flags, 0x40];
        let checksum = (twox_hash::XxHash32::oneshot(0, &descriptor) >> 8) as u8;
        let frame = [&[0x04, 0x22, 0x4D, 0x18][..], &descriptor, &[checksum], &sized, &[0; 4]].concat();
        for error in every_error(&frame, Format::Lz4Frame) {
            assert!(matches!(error, StreamError::Work(Error::Corrupt { .. })), "{flags:x}: {error}");
        }
    }
    for error in every_error(&[&[0x02, 0x21, 0x4C, 0x18][..], &sized].concat(), Format::Lz4Frame) {
        assert!(matches!(error, StreamError::Work(Error::Corrupt { .. })), "legacy: {error}");
    }
    for format in [Format::Zstd, Format::Lz4Frame] {
        for error in every_error(b"abc", format) {
            assert!(matches!(error, StreamError::Work(Error::Corrupt { .. })), "{format}: {error}");
        }
    }
}

#[test]
fn something_behind_a_legacy_frame_is_trailing_data() {
    let plain = text(100_000);
    let frame = packed("lz4", &["-lc"], &plain);
    for garbage in [&b"garbage"[..], &[0xff; 100], &noise(100_000)[..]] {
        let file = [&frame[..], b"\xff\xff", garbage].concat();
        for error in every_error(&file, Format::Lz4Frame) {
            let at_its_end = |consumed: u64| consumed == frame.len() as u64;
            assert!(
                matches!(error, StreamError::Work(Error::TrailingData { consumed, .. }) if at_its_end(consumed)),
                "{error}"
            );
        }
        let (out, _) = unpack(&file[..], None, &settings(2));
        same(&out, &plain, "what is before it");
    }
}

#[test]
fn a_limit_is_filled_and_not_exceeded() {
    for (name, _, format, file, plain) in files(3_000_000) {
        for limit in [0, 1, 1000, plain.len() / 2, plain.len() - 1] {
            for threads in [1, 3] {
                let settings = settings(threads).limit(limit as u64);
                let (out, result) = unpack(&file[..], Some(format), &settings);
                assert!(
                    matches!(result, Err(StreamError::Work(Error::LimitExceeded { .. }))),
                    "{name}, {limit}: {result:?}"
                );
                assert!(out.len() <= limit && plain.starts_with(&out), "{name}, {limit}: {}", out.len());
                // Of an LZ4 block that exceeds it nothing is written.
                assert!(out.len() == limit || format == Format::Lz4Frame, "{name}, {limit}: {}", out.len());
            }
        }
    }
}
