//! 100 MB through every stream, and bombs against a limit, in bounded memory. One test, since the peak that the kernel
//! keeps is the process's; it is reset before each case.
#![cfg(target_os = "linux")]

mod support;

use std::fs;
use std::io::{self, Read, Seek, Write};

use accel_core::{CompressOptions, DecompressOptions, Error, Format, Level};
use qat::stream::{self, Keyset, StreamError};
use support::{contents, settings, software, stream_formats};

const LEN: u64 = 100_000_000;

/// A mixture of all kinds of content, without end; compares as a writer what it makes as a reader.
struct Mixture {
    period: Vec<u8>,
    at: u64,
}

impl Mixture {
    fn new() -> Self {
        let parts = contents(700_001).map(|(_, part)| part);
        Self { period: parts.concat(), at: 0 }
    }

    fn next(&self) -> &[u8] {
        &self.period[(self.at % self.period.len() as u64) as usize..]
    }
}

impl Read for Mixture {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let len = self.next().len().min(buffer.len());
        buffer[..len].copy_from_slice(&self.next()[..len]);
        self.at += len as u64;
        Ok(len)
    }
}

impl Write for Mixture {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let len = self.next().len().min(bytes.len());
        assert!(self.next()[..len] == bytes[..len], "other data behind {} bytes", self.at);
        self.at += len as u64;
        Ok(len)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// A line of `/proc/self/status` in MiB.
fn status_mib(name: &str) -> u64 {
    let status = fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find(|line| line.starts_with(name)).unwrap();
    line.split_whitespace().nth(1).unwrap().parse::<u64>().unwrap() / 1024
}

/// Runs `work` and fails when it needed more than `most` MiB beyond what was in use.
#[track_caller]
fn within(most: u64, what: impl std::fmt::Debug, work: impl FnOnce()) {
    // Resets the peak (proc(5), clear_refs).
    fs::write("/proc/self/clear_refs", "5").unwrap();
    let before = status_mib("VmRSS");
    work();
    let grown = status_mib("VmHWM").saturating_sub(before);
    println!("{what:?}: {grown} MiB");
    assert!(grown <= most, "{what:?}: {grown} MiB, at most {most} expected");
}

#[test]
fn memory_is_bounded() {
    let subject = software();
    let keyset = Keyset::generate().unwrap();
    for threads in [1, 2, 5] {
        let count = threads as u64;
        for format in stream_formats(&subject) {
            let mut file = tempfile::tempfile().unwrap();
            let options = CompressOptions::new(format).level(Level::Fast);
            let settings = settings(threads);
            // MiB. Three blocks of input and output, and the engine's contexts.
            let per_thread = match format {
                Format::Zstd => 30,
                Format::Lz4Frame => 20,
                _ => 10,
            };
            within(8 + per_thread * count, (format, "compress", threads), || {
                let summary = stream::compress(
                    Mixture::new().take(LEN),
                    &mut file,
                    &subject.engine,
                    &options,
                    &settings,
                );
                assert_eq!(summary.unwrap().bytes_in, LEN);
            });
            file.rewind().unwrap();
            within(8 + per_thread * count, (format, "decompress", threads), || {
                let mut check = Mixture::new();
                stream::decompress(&file, &mut check, &subject.engine, Some(format), &settings).unwrap();
                assert_eq!(check.at, LEN);
            });
        }
        let mut file = tempfile::tempfile().unwrap();
        within(8 + 10 * count, ("encrypt", threads), || {
            let input = Mixture::new().take(LEN);
            stream::encrypt(input, &mut file, &subject.engine, &keyset, b"", &settings(threads)).unwrap();
        });
        file.rewind().unwrap();
        within(8 + 10 * count, ("decrypt", threads), || {
            let mut check = Mixture::new();
            stream::decrypt(&file, &mut check, &subject.engine, &keyset, b"", &settings(threads)).unwrap();
            assert_eq!(check.at, LEN);
        });
    }

    // A GiB of zeroes against a limit of 16 MiB.
    for format in stream_formats(&subject) {
        let mut file = tempfile::tempfile().unwrap();
        let options = CompressOptions::new(format).level(Level::Fast);
        let zeroes = io::repeat(0).take(1 << 30);
        stream::compress(zeroes, &mut file, &subject.engine, &options, &settings(2)).unwrap();
        let mut packed = Vec::new();
        file.rewind().unwrap();
        file.read_to_end(&mut packed).unwrap();
        within(8 + 50 * 2, (format, "bomb, stream"), || {
            let limited = settings(2).limit(16 << 20);
            let result = stream::decompress(&packed[..], io::sink(), &subject.engine, Some(format), &limited);
            assert!(
                matches!(result, Err(StreamError::Work(Error::LimitExceeded { .. }))),
                "{format}: {result:?}"
            );
        });
        within(16 * 2 + 8, (format, "bomb, one call"), || {
            let options = DecompressOptions::new(format).limit(16 << 20);
            let result = subject.compression.decompress(&packed, &options);
            assert!(matches!(result, Err(Error::LimitExceeded { .. })), "{format}");
        });
    }
    // A Zstandard header that claims 900 MiB, under the default limit: one raw block of five bytes.
    let lie =
        [&[0x28, 0xB5, 0x2F, 0xFD, 0xA0][..], &(900_u32 << 20).to_le_bytes(), &[5 << 3 | 1, 0, 0], b"hello"]
            .concat();
    within(8, "a lying content size", || {
        subject.compression.decompress(&lie, &DecompressOptions::new(Format::Zstd)).unwrap_err();
        let mut out = Vec::new();
        let format = Some(Format::Zstd);
        stream::decompress(&lie[..], &mut out, &subject.engine, format, &settings(2)).unwrap_err();
    });
    // A gzip name of 64 MiB is skipped and not kept.
    within(16, "a long header", || {
        let head: &[u8] = &[0x1f, 0x8b, 8, 8, 0, 0, 0, 0, 0, 3];
        let member: &[u8] = b"\0\x03\0\0\0\0\0\0\0\0\0";
        let long = head.chain(io::repeat(b'n').take(64 << 20)).chain(member);
        let mut out = Vec::new();
        stream::decompress(long, &mut out, &subject.engine, Some(Format::Gzip), &settings(2)).unwrap();
        assert!(out.is_empty());
    });
    // Members and frames that hold far more than the limit allows, for many threads.
    let zeroes = vec![0; 15 << 20];
    let deflated = {
        let mut encoder = flate2::write::DeflateEncoder::new(Vec::new(), flate2::Compression::new(1));
        encoder.write_all(&zeroes).unwrap();
        encoder.finish().unwrap()
    };
    let mut crc = flate2::Crc::new();
    crc.update(&zeroes);
    let len = zeroes.len() as u32;
    let member = [
        &[0x1f, 0x8b, 8, 4, 0, 0, 0, 0, 0, 255, 12, 0, b'Q', b'Z', 8, 0][..],
        &len.to_le_bytes(),
        &(deflated.len() as u32).to_le_bytes(),
        &deflated,
        &crc.sum().to_le_bytes(),
        &len.to_le_bytes(),
    ];
    let members = member.concat().repeat(150);
    let frame = zstd_safe_frame(&zeroes);
    for (format, packed) in [(Format::Gzip, members), (Format::Zstd, frame.repeat(150))] {
        within(8 + 2 * 32, (format, "a limit for many threads"), || {
            let limited = settings(32).limit(1 << 20);
            let mut out = Vec::new();
            let result = stream::decompress(&packed[..], &mut out, &subject.engine, Some(format), &limited);
            assert!(matches!(result, Err(StreamError::Work(Error::LimitExceeded { .. }))), "{result:?}");
            assert_eq!(out.len(), 1 << 20);
        });
    }
}

fn zstd_safe_frame(plain: &[u8]) -> Vec<u8> {
    let mut frame = vec![0; zstd_safe::compress_bound(plain.len())];
    let len = zstd_safe::compress(&mut frame[..], plain, 1).unwrap();
    frame.truncate(len);
    frame
}
