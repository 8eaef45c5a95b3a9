//! The blocking and asynchronous calls of [`accel_core::CompressionAccelerator`].

use accel_core::{CompressOptions, DecompressOptions, End, Error, Format, Level, Outcome};
use pollster::block_on;

use crate::support::{NAMED_LEVELS, SIZES, Subject, contents, integer_levels, noise, same, text};

/// Checks an outcome against the lengths it should report.
#[track_caller]
fn check_outcome(subject: &Subject, outcome: &Outcome, bytes_in: usize, bytes_out: usize) {
    assert_eq!((outcome.bytes_in, outcome.bytes_out), (bytes_in, bytes_out));
    assert!((subject.may_run_on)(outcome.path), "ran on {}", outcome.path);
}

pub(crate) fn round_trips(subject: &Subject) {
    for size in SIZES {
        for (kind, plain) in contents(size) {
            for &format in subject.packs {
                for level in NAMED_LEVELS {
                    let what = (kind, size, format, level);
                    let options = CompressOptions::new(format).level(level);
                    let (packed, outcome) = subject.compression.compress(&plain, &options).unwrap();
                    check_outcome(subject, &outcome, plain.len(), packed.len());
                    assert!(packed.len() <= subject.compression.compress_bound(size, &options), "{what:?}");
                    if size >= 65_535 && kind != "incompressible" {
                        assert!(packed.len() < size / 2, "{what:?}: {} bytes", packed.len());
                    }
                    same(&subject.unpack(&packed, format), &plain, what);
                }
            }
        }
    }
}

pub(crate) fn every_level(subject: &Subject) {
    let plain = text(150_000);
    for &format in subject.packs {
        let mut sizes = Vec::new();
        for level in (subject.levels)(format) {
            let options = CompressOptions::new(format).level(Level::Exact(level));
            let (packed, _) = subject.compression.compress(&plain, &options).unwrap();
            same(&subject.unpack(&packed, format), &plain, (format, level));
            sizes.push(packed.len());
        }
        assert!(sizes.last() < sizes.first(), "{format}: the highest level packs no better: {sizes:?}");
        let levels = (subject.levels)(format);
        let below = levels.start().checked_sub(1);
        for level in below.into_iter().chain([levels.end() + 1, 255]) {
            let options = CompressOptions::new(format).level(Level::Exact(level));
            let error = subject.compression.compress(&plain, &options).unwrap_err();
            // A level that only other engines have may fall to them.
            let is_of_another = integer_levels(format).contains(&level);
            assert!(
                matches!(error, Error::InvalidArgument { argument: "level", .. })
                    || is_of_another && matches!(error, Error::Unsupported { .. }),
                "{format}: {error}"
            );
        }
    }
}

pub(crate) fn deflate_pieces_form_one_stream(subject: &Subject) {
    let plain = text(200_000);
    for level in (subject.levels)(Format::Deflate) {
        let options = CompressOptions::new(Format::Deflate).level(Level::Exact(level));
        let mut packed = Vec::new();
        let borders = [0, 0, 1, 17, 65_536, 65_536, 150_000];
        for pair in borders.windows(2) {
            let piece = &plain[pair[0]..pair[1]];
            let open = options.end(End::Open);
            let (bytes, outcome) = subject.compression.compress(piece, &open).unwrap();
            check_outcome(subject, &outcome, piece.len(), bytes.len());
            assert!(bytes.len() <= subject.compression.compress_bound(piece.len(), &open));
            packed.extend_from_slice(&bytes);
            let unfinished =
                subject.compression.decompress(&packed, &DecompressOptions::new(Format::Deflate));
            assert!(matches!(unfinished, Err(Error::Truncated { .. })), "level {level}: {unfinished:?}");
        }
        for tail in [&plain[150_000..], &[]] {
            let (bytes, _) = subject.compression.compress(tail, &options).unwrap();
            let whole = [&packed[..], &bytes].concat();
            let expected = &plain[..150_000 + tail.len()];
            let (again, _) =
                subject.compression.decompress(&whole, &DecompressOptions::new(Format::Deflate)).unwrap();
            same(&again, expected, level);
            let mut foreign = Vec::new();
            std::io::copy(&mut flate2::read::DeflateDecoder::new(&whole[..]), &mut foreign).unwrap();
            same(&foreign, expected, ("miniz_oxide", level));
        }
    }
    let has_none = |format: &&Format| !matches!(format, Format::Deflate | Format::Zstd);
    for &format in subject.formats.iter().filter(has_none) {
        let error = subject.compression.compress(&plain, &CompressOptions::new(format).end(End::Open));
        assert!(matches!(error, Err(Error::InvalidArgument { argument: "end", .. })), "{format}: {error:?}");
    }
}

/// The buffer rules of `compress_into`: enough is enough, too little is `OutputTooSmall`, and nothing in between.
pub(crate) fn compress_into_any_room(subject: &Subject) {
    for plain in [text(700), noise(300), vec![7; 900], Vec::new(), text(200_000)] {
        for &format in subject.packs {
            let ends: &[End] =
                if format == Format::Deflate { &[End::Final, End::Open] } else { &[End::Final] };
            for (level, &end) in
                NAMED_LEVELS.into_iter().flat_map(|level| ends.iter().map(move |end| (level, end)))
            {
                let options = CompressOptions::new(format).level(level).end(end);
                let (packed, _) = subject.compression.compress(&plain, &options).unwrap();
                let bound = subject.compression.compress_bound(plain.len(), &options);
                let step = (bound / if plain.len() < 1000 { 90 } else { 12 }).max(1);
                for room in (0..bound).step_by(step).chain([packed.len(), bound, bound + 4096]) {
                    let what = (format, level, end, plain.len(), room);
                    let mut output = vec![0xA5; room];
                    match subject.compression.compress_into(&plain, &mut output, &options) {
                        Ok(outcome) => {
                            check_outcome(subject, &outcome, plain.len(), outcome.bytes_out);
                            assert!(outcome.bytes_out <= room);
                            let mut result = output[..outcome.bytes_out].to_vec();
                            if end == End::Open {
                                result.extend_from_slice(&[3, 0]);
                            }
                            same(&subject.unpack(&result, format), &plain, what);
                        }
                        Err(Error::OutputTooSmall { required, available }) => {
                            assert!(room < bound, "{what:?}: the bound is not enough");
                            assert_eq!(available, room, "{what:?}");
                            assert!(
                                required.is_none_or(|required| required <= bound && required > room),
                                "{what:?}"
                            );
                        }
                        Err(error) => panic!("{what:?}: {error}"),
                    }
                }
            }
        }
    }
}

/// The buffer rules of `decompress_into`: exactly the plain length is enough, less never.
pub(crate) fn decompress_into_any_room(subject: &Subject) {
    for plain in [text(700), noise(300), vec![7; 900], Vec::new(), vec![b'x'], text(200_000), noise(140_000)]
    {
        for &format in subject.formats {
            let options = DecompressOptions::new(format);
            let (packed, _) = subject.compression.compress(&plain, &CompressOptions::new(format)).unwrap();
            let step = (plain.len() / if plain.len() < 1000 { 1000 } else { 30 }).max(1);
            for room in (0..plain.len()).step_by(step).chain([plain.len().saturating_sub(1)]) {
                if room == plain.len() {
                    continue;
                }
                let mut output = vec![0; room];
                match subject.compression.decompress_into(&packed, &mut output, &options) {
                    Err(Error::OutputTooSmall { required, available }) => {
                        assert_eq!(available, room, "{format} {} in {room}", plain.len());
                        assert!(
                            required.is_none_or(|n| n == plain.len()),
                            "{format}: {required:?} in {room}"
                        );
                    }
                    other => panic!("{format}, {} bytes into {room}: {other:?}", plain.len()),
                }
            }
            for room in [plain.len(), plain.len() + 1, plain.len() + 100_000] {
                let mut output = vec![0xA5; room];
                let outcome = subject.compression.decompress_into(&packed, &mut output, &options).unwrap();
                check_outcome(subject, &outcome, packed.len(), plain.len());
                same(&output[..plain.len()], &plain, (format, room));
            }
        }
    }
}

pub(crate) fn limits(subject: &Subject) {
    for plain in [text(10_000), text(300_000), noise(70_000), vec![0; 1 << 20]] {
        for &format in subject.formats {
            let (packed, _) = subject.compression.compress(&plain, &CompressOptions::new(format)).unwrap();
            for limit in [plain.len(), plain.len() + 1] {
                let options = DecompressOptions::new(format).limit(limit);
                same(&subject.compression.decompress(&packed, &options).unwrap().0, &plain, (format, limit));
            }
            for limit in [0, 1, plain.len() / 2, plain.len() - 1] {
                let options = DecompressOptions::new(format).limit(limit);
                let exceeded =
                    |error: Error| matches!(error, Error::LimitExceeded { limit: l } if l == limit as u64);
                let error = subject.compression.decompress(&packed, &options).unwrap_err();
                assert!(exceeded(error.clone()), "{format}, limit {limit} of {}: {error}", plain.len());
                let mut output = vec![0; plain.len() + 10];
                let error = subject.compression.decompress_into(&packed, &mut output, &options).unwrap_err();
                assert!(exceeded(error.clone()), "{format} into, limit {limit} of {}: {error}", plain.len());
                assert!(output[limit..].iter().all(|byte| *byte == 0), "{format}: written beyond the limit");
            }
        }
    }
}

pub(crate) fn futures_equal_blocking_calls(subject: &Subject) {
    let compression = &subject.compression;
    for plain in [Vec::new(), text(100_000), noise(3000)] {
        for &format in subject.formats {
            let (to, from) = (CompressOptions::new(format), DecompressOptions::new(format));
            let (packed, outcome) = compression.compress(&plain, &to).unwrap();
            let (future, future_outcome) = block_on(compression.compress_async(plain.clone(), to)).unwrap();
            same(&future, &packed, format);
            check_outcome(subject, &future_outcome, outcome.bytes_in, outcome.bytes_out);

            let room = vec![0; compression.compress_bound(plain.len(), &to)];
            let done = block_on(compression.compress_into_async(plain.clone(), room.clone(), to));
            same(&done.input, &plain, format);
            assert_eq!(done.output.len(), room.len());
            same(&done.output[..done.result.unwrap().bytes_out], &packed, format);

            let (again, outcome) = block_on(compression.decompress_async(packed.clone(), from)).unwrap();
            check_outcome(subject, &outcome, packed.len(), plain.len());
            same(&again, &plain, format);
            let room = vec![0; plain.len()];
            let done = block_on(compression.decompress_into_async(packed.clone(), room, from));
            same(&done.input, &packed, format);
            assert_eq!(done.result.unwrap().bytes_out, plain.len());
            same(&done.output, &plain, format);

            // After a failure both buffers come back as well.
            let done = block_on(compression.compress_into_async(plain.clone(), Vec::with_capacity(9), to));
            assert!(matches!(done.result, Err(Error::OutputTooSmall { available: 0, .. })), "{format}");
            same(&done.input, &plain, format);
            assert!(done.output.is_empty() && done.output.capacity() == 9);
            let cut = packed[..packed.len() - 1].to_vec();
            assert!(
                block_on(compression.decompress_async(cut.clone(), from)).is_err()
                    || format == Format::Lz4Block
            );
            let done = block_on(compression.decompress_into_async(cut.clone(), vec![1; 50], from));
            assert!(done.result.is_err() || format == Format::Lz4Block);
            assert_eq!((done.input, done.output.len()), (cut, 50));
        }
    }
    // Many at once, finished in whatever order, and some never polled.
    let plain = text(50_000);
    let futures: Vec<_> = (0..20)
        .map(|_| compression.compress_async(plain.clone(), CompressOptions::new(subject.formats[0])))
        .collect();
    drop(compression.compress_async(plain.clone(), CompressOptions::new(subject.formats[0])));
    let (expected, _) = compression.compress(&plain, &CompressOptions::new(subject.formats[0])).unwrap();
    for future in futures.into_iter().rev() {
        same(&block_on(future).unwrap().0, &expected, "many at once");
    }
}

/// Nothing that a caller passes may panic, and refusals come before any work.
pub(crate) fn wrong_arguments(subject: &Subject) {
    for &format in subject.formats {
        let empty = subject.compression.decompress(&[], &DecompressOptions::new(format));
        assert!(matches!(empty, Err(Error::Truncated { .. })), "{format}: {empty:?}");
        let options = CompressOptions::new(format);
        let huge = subject.compression.compress_bound(usize::MAX, &options);
        assert!(huge >= subject.compression.compress_bound(1 << 40, &options), "{format}: the bound wraps");
    }
}

/// One call reads all members or frames.
pub(crate) fn several_members(subject: &Subject) {
    let parts = [text(70_000), Vec::new(), noise(10), vec![0; 300_000]];
    let whole = parts.concat();
    for &format in subject.formats {
        if !matches!(format, Format::Gzip | Format::Lz4Frame | Format::Zstd) {
            continue;
        }
        let pack =
            |part: &Vec<u8>| subject.compression.compress(part, &CompressOptions::new(format)).unwrap().0;
        let mut packed: Vec<u8> = Vec::new();
        for (i, part) in parts.iter().enumerate() {
            if format != Format::Gzip {
                // A skippable frame (RFC 8878 section 3.1.2) between them, of every magic number.
                packed.extend_from_slice(&(0x184D_2A50 + i as u32 * 5).to_le_bytes());
                packed.extend_from_slice(&(3 * i as u32).to_le_bytes());
                packed.extend(std::iter::repeat_n(0xEE, 3 * i));
            }
            packed.extend(pack(part));
        }
        let options = DecompressOptions::new(format);
        let (again, outcome) = subject.compression.decompress(&packed, &options).unwrap();
        check_outcome(subject, &outcome, packed.len(), whole.len());
        same(&again, &whole, format);
        let mut exact = vec![0; whole.len()];
        subject.compression.decompress_into(&packed, &mut exact, &options).unwrap();
        same(&exact, &whole, format);
        for room in [0, 1, 70_000, 70_009, whole.len() - 1] {
            let error =
                subject.compression.decompress_into(&packed, &mut exact[..room], &options).unwrap_err();
            let Error::OutputTooSmall { required, available } = error else { panic!("{format}: {error}") };
            assert!(available == room && required.is_none_or(|n| n == whole.len()), "{format}: {required:?}");
        }
    }
}
