//! [`qat::stream`]: every size, reader, writer and thread count.

use std::io::{self, ErrorKind, Read, Write};
use std::sync::Arc;

use accel_core::{CompressOptions, Error, Format, Level};
use qat::SoftwareAccelerator;
use qat::stream::{self, Engine, Keyset, Progress, Settings, StreamError};

use crate::support::{
    SIZES, Subject, contents, noise, packed_stream_formats, same, settings, stream_formats, text,
};

pub(crate) fn pack(
    subject: &Subject,
    plain: &[u8],
    options: &CompressOptions,
    settings: &Settings,
) -> Vec<u8> {
    let mut packed = Vec::new();
    let summary = stream::compress(plain, &mut packed, &subject.engine, options, settings).unwrap();
    assert_eq!((summary.bytes_in, summary.bytes_out), (plain.len() as u64, packed.len() as u64));
    assert_eq!(summary.format, Some(options.format));
    packed
}

pub(crate) fn unpack(
    subject: &Subject,
    packed: &[u8],
    format: Option<Format>,
    settings: &Settings,
) -> Result<Vec<u8>, StreamError> {
    let mut plain = Vec::new();
    let is_read_elsewhere = format
        .or_else(|| stream::detect(packed))
        .is_some_and(|format| subject.packs.contains(&format) && !subject.formats.contains(&format));
    let software = Engine::software(&SoftwareAccelerator::new());
    let engine = if is_read_elsewhere { &software } else { &subject.engine };
    let summary = stream::decompress(packed, &mut plain, engine, format, settings)?;
    assert_eq!((summary.bytes_in, summary.bytes_out), (packed.len() as u64, plain.len() as u64));
    Ok(plain)
}

pub(crate) fn round_trips(subject: &Subject) {
    let keyset = Keyset::generate().unwrap();
    for size in SIZES {
        for (kind, plain) in contents(size) {
            for threads in [1, 2, 5] {
                for format in packed_stream_formats(subject) {
                    let what = (kind, size, format, threads);
                    let settings = settings(threads);
                    let packed =
                        pack(subject, &plain, &CompressOptions::new(format).level(Level::Fast), &settings);
                    // By content where it can be told.
                    let named = (format == Format::Deflate).then_some(format);
                    same(&unpack(subject, &packed, named, &settings).unwrap(), &plain, what);
                }
                let (mut sealed, mut opened) = (Vec::new(), Vec::new());
                let (engine, settings) = (&subject.engine, settings(threads));
                let summary =
                    stream::encrypt(&plain[..], &mut sealed, engine, &keyset, b"aad", &settings).unwrap();
                assert_eq!((summary.bytes_in, summary.bytes_out), (size as u64, sealed.len() as u64));
                let summary =
                    stream::decrypt(&sealed[..], &mut opened, engine, &keyset, b"aad", &settings).unwrap();
                assert_eq!((summary.bytes_in, summary.bytes_out), (sealed.len() as u64, size as u64));
                same(&opened, &plain, (kind, size, threads));
            }
        }
    }
}

/// One byte less, exactly, and one byte more than whole blocks; gzip and Zstandard as one member or frame, and as several.
pub(crate) fn block_borders(subject: &Subject) {
    for format in packed_stream_formats(subject) {
        let block: usize = match format {
            Format::Lz4Frame => 4 << 20,
            Format::Zstd => 8 << 20,
            _ => 1 << 20,
        };
        for size in [block - 1, block, block + 1, 2 * block, 2 * block + 1] {
            let plain = text(size);
            for independent in [false, true] {
                if independent && !matches!(format, Format::Gzip | Format::Zstd) {
                    continue;
                }
                let settings = settings(2).independent(independent);
                let options = CompressOptions::new(format).level(Level::Fast);
                let packed = pack(subject, &plain, &options, &settings);
                same(&unpack(subject, &packed, Some(format), &settings).unwrap(), &plain, (format, size));
                if format == Format::Gzip {
                    let mut member = Vec::new();
                    flate2::read::GzDecoder::new(&packed[..]).read_to_end(&mut member).unwrap();
                    let expected = if independent { size.min(block) } else { size };
                    same(&member, &plain[..expected], "the first member");
                }
                // The one-shot calls read what streams write.
                same(&subject.unpack(&packed, format), &plain, (format, size));
            }
        }
    }
}

/// Reads a few bytes at a time, interrupted now and then.
struct Trickle<'a>(&'a [u8], usize);

impl Read for Trickle<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        self.1 += 1;
        if self.1.is_multiple_of(3) {
            return Err(ErrorKind::Interrupted.into());
        }
        let len = buffer.len().min(self.1 % 1017 + 1).min(self.0.len());
        buffer[..len].copy_from_slice(&self.0[..len]);
        self.0 = &self.0[len..];
        Ok(len)
    }
}

/// Takes a few bytes at a time.
struct Narrow(Vec<u8>);

impl Write for Narrow {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let len = bytes.len().min(1009);
        self.0.extend_from_slice(&bytes[..len]);
        Ok(len)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

pub(crate) fn any_reader_and_writer(subject: &Subject) {
    let plain = [text(1_300_000), noise(100_000)].concat();
    let keyset = Keyset::generate().unwrap();
    for threads in [1, 3] {
        for format in stream_formats(subject) {
            let progress = Arc::new(Progress::default());
            let settings = settings(threads).progress(progress.clone());
            let options = CompressOptions::new(format).level(Level::Fast);
            let mut packed = Narrow(Vec::new());
            stream::compress(Trickle(&plain, 0), &mut packed, &subject.engine, &options, &settings).unwrap();
            assert_eq!(
                (progress.bytes_in(), progress.bytes_out()),
                (plain.len() as u64, packed.0.len() as u64)
            );
            let mut again = Narrow(Vec::new());
            let settings = settings.progress(Arc::default());
            stream::decompress(Trickle(&packed.0, 1), &mut again, &subject.engine, Some(format), &settings)
                .unwrap();
            same(&again.0, &plain, (format, threads));
        }
        let (mut sealed, mut opened) = (Narrow(Vec::new()), Narrow(Vec::new()));
        let settings = settings(threads);
        stream::encrypt(Trickle(&plain, 0), &mut sealed, &subject.engine, &keyset, b"", &settings).unwrap();
        stream::decrypt(Trickle(&sealed.0, 0), &mut opened, &subject.engine, &keyset, b"", &settings)
            .unwrap();
        same(&opened.0, &plain, threads);
    }
}

/// Yields its bytes, then fails.
struct Broken<'a>(&'a [u8]);

impl Read for Broken<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        match self.0.read(buffer)? {
            0 if !buffer.is_empty() => Err(io::Error::other("unplugged")),
            n => Ok(n),
        }
    }
}

/// Takes so many bytes, then fails.
struct Full(usize);

impl Write for Full {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        if self.0 == 0 {
            return Err(ErrorKind::StorageFull.into());
        }
        let len = bytes.len().min(self.0);
        self.0 -= len;
        Ok(len)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

pub(crate) fn errors_of_both_ends(subject: &Subject) {
    let plain = noise(5_000_000);
    let keyset = Keyset::generate().unwrap();
    let engine = &subject.engine;
    for threads in [1, 3] {
        let settings = settings(threads);
        for format in stream_formats(subject) {
            let options = CompressOptions::new(format).level(Level::Fast);
            let packed = pack(subject, &plain, &options, &settings);
            for at in [0, 1, 100_000, 4_000_000] {
                let error = stream::compress(Broken(&plain[..at]), io::sink(), engine, &options, &settings)
                    .unwrap_err();
                assert!(matches!(error, StreamError::Read(_)), "{format} after {at}: {error}");
                let error = stream::compress(&plain[..], Full(at), engine, &options, &settings).unwrap_err();
                assert!(matches!(error, StreamError::Write(_)), "{format} after {at}: {error}");
                let packed_part = &packed[..at.min(packed.len() - 1)];
                let mut out = Vec::new();
                let error =
                    stream::decompress(Broken(packed_part), &mut out, engine, Some(format), &settings)
                        .unwrap_err();
                assert!(matches!(error, StreamError::Read(_)), "{format} after {at}: {error}");
                assert!(plain.starts_with(&out), "{format}: not a prefix");
                let error =
                    stream::decompress(&packed[..], Full(at), engine, Some(format), &settings).unwrap_err();
                assert!(matches!(error, StreamError::Write(_)), "{format} after {at}: {error}");
            }
        }
        let mut sealed = Vec::new();
        stream::encrypt(&plain[..], &mut sealed, engine, &keyset, b"", &settings).unwrap();
        for at in [0, 20, 100_000, 4_000_000] {
            let error = stream::encrypt(Broken(&plain[..at]), io::sink(), engine, &keyset, b"", &settings);
            assert!(matches!(error, Err(StreamError::Read(_))), "after {at}: {error:?}");
            let error = stream::encrypt(&plain[..], Full(at), engine, &keyset, b"", &settings);
            assert!(matches!(error, Err(StreamError::Write(_))), "after {at}: {error:?}");
            let error = stream::decrypt(Broken(&sealed[..at]), io::sink(), engine, &keyset, b"", &settings);
            assert!(matches!(error, Err(StreamError::Read(_))), "after {at}: {error:?}");
            let error = stream::decrypt(&sealed[..], Full(at), engine, &keyset, b"", &settings);
            assert!(matches!(error, Err(StreamError::Write(_))), "after {at}: {error:?}");
        }
    }
}

/// The limit counts plain bytes: exactly it passes, one less does not, and no more than it is written.
pub(crate) fn pieces_of_a_limit(subject: &Subject) {
    let plain = text(3_000_000);
    for format in stream_formats(subject) {
        let options = CompressOptions::new(format).level(Level::Fast);
        let packed = pack(subject, &plain, &options, &settings(2));
        for threads in [1, 2] {
            let limited = |limit: usize| settings(threads).limit(limit as u64);
            same(&unpack(subject, &packed, Some(format), &limited(plain.len())).unwrap(), &plain, format);
            for limit in [0, 1, 1_500_000, plain.len() - 1] {
                let mut out = Vec::new();
                let error =
                    stream::decompress(&packed[..], &mut out, &subject.engine, Some(format), &limited(limit));
                let exceeded = |l: u64| l == limit as u64;
                assert!(
                    matches!(error, Err(StreamError::Work(Error::LimitExceeded { limit })) if exceeded(limit)),
                    "{format}, {limit}: {error:?}"
                );
                assert!(out.len() <= limit && plain.starts_with(&out), "{format}: {} bytes", out.len());
            }
        }
    }
    let error = stream::compress(
        &plain[..],
        io::sink(),
        &subject.engine,
        &CompressOptions::new(Format::Lz4Block),
        &settings(1),
    );
    assert!(matches!(error, Err(StreamError::Work(Error::InvalidArgument { .. }))), "{error:?}");
    let error = unpack(subject, b"x", Some(Format::Lz4Block), &settings(1));
    assert!(matches!(error, Err(StreamError::Work(Error::InvalidArgument { .. }))), "{error:?}");
}

/// Hexadecimal, JSON, and what was written are the same key; a stream of one is read by all.
pub(crate) fn keysets(subject: &Subject) {
    let hexadecimal = "00112233445566778899aabbccddeeff0123456789abcdeffedcba9876543210";
    let plain = text(100_000);
    let same_keys = [
        Keyset::parse(hexadecimal).unwrap(),
        Keyset::parse(&format!("\n{}\t", hexadecimal.to_uppercase())).unwrap(),
        Keyset::parse(&Keyset::parse(hexadecimal).unwrap().to_json()).unwrap(),
    ];
    let (engine, settings) = (&subject.engine, settings(2));
    for writer in &same_keys {
        let mut sealed = Vec::new();
        stream::encrypt(&plain[..], &mut sealed, engine, writer, b"name", &settings).unwrap();
        // Tink's header: length, 32 bytes of salt, 7 of nonce prefix; then ciphertext and a 16-byte tag.
        assert_eq!((sealed[0], sealed.len()), (40, 40 + plain.len() + 16));
        for reader in &same_keys {
            let mut opened = Vec::new();
            stream::decrypt(&sealed[..], &mut opened, engine, reader, b"name", &settings).unwrap();
            same(&opened, &plain, "opened");
        }
        let mut opened = Vec::new();
        let error = stream::decrypt(&sealed[..], &mut opened, engine, writer, b"other name", &settings);
        assert!(matches!(error, Err(StreamError::NoMatchingKey)) && opened.is_empty(), "{error:?}");
        let mut second = Vec::new();
        stream::encrypt(&plain[..], &mut second, engine, writer, b"name", &settings).unwrap();
        assert!(second[1..40] != sealed[1..40] && second[40..60] != sealed[40..60], "the same salt twice");
    }
}
