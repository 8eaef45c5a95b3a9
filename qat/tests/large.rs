//! Buffers of 2 GiB and more, whose lengths are no C `int`. One test, so that there is one such buffer at a time; none
//! is written to beyond its first bytes, so that most of it is never mapped.

mod support;

use accel_core::{CompressOptions, CompressionAccelerator, DecompressOptions, Error, Format, Level};
use qat::SoftwareAccelerator;
use support::{FORMATS, noise, same, text};

/// More than `i32::MAX`.
const LARGE: usize = (2 << 30) + 4096;

#[test]
fn room_and_input_beyond_c_integers() {
    let software = SoftwareAccelerator::new();
    let mut large = vec![0_u8; LARGE];

    // Room, both ways.
    for format in FORMATS {
        for plain in [Vec::new(), b"a".to_vec(), text(100_000), noise(100_000)] {
            for level in [Level::Exact(1), Level::Exact(3), Level::Exact(9)] {
                let options = CompressOptions::new(format).level(level);
                let packed_len = software.compress_into(&plain, &mut large, &options).unwrap().bytes_out;
                let packed = large[..packed_len].to_vec();
                // Bytes behind a result are unspecified: engines copy in wide steps.
                large[..1 << 20].fill(0);
                let options = DecompressOptions::new(format).limit(usize::MAX);
                let done = software.decompress_into(&packed, &mut large, &options).unwrap();
                same(&large[..done.bytes_out], &plain, format);
                large[..1 << 20].fill(0);
            }
        }
    }
    // The smallest that was refused: one literal.
    let options = DecompressOptions::new(Format::Lz4Block).limit(usize::MAX);
    let done = software.decompress_into(&[0x10, b'a'], &mut large, &options).unwrap();
    assert_eq!((done.bytes_out, large[0]), (1, b'a'));
    large[0] = 0;

    // Input. An LZ4 block cannot be so long, and says so; what is bad is bad in its first bytes.
    let options = CompressOptions::new(Format::Lz4Block);
    let error = software.compress_into(&large, &mut [0; 64], &options).unwrap_err();
    assert!(matches!(error, Error::InvalidArgument { argument: "input", .. }), "{error}");
    for format in FORMATS {
        let options = DecompressOptions::new(format).limit(1 << 20);
        let error = software.decompress(&large, &options).unwrap_err();
        assert!(
            matches!(error, Error::Corrupt { .. } | Error::Unsupported { .. } | Error::TrailingData { .. }),
            "{format}: {error}"
        );
        let mut room = [0; 1000];
        let error = software.decompress_into(&large, &mut room, &options).unwrap_err();
        assert!(!matches!(error, Error::Internal { .. }), "{format}: {error}");
    }
    // What is good in front of so much else is told from it.
    for format in [Format::Deflate, Format::Zlib, Format::Lz4Frame, Format::Zstd] {
        let (packed, _) = software.compress(b"in front", &CompressOptions::new(format)).unwrap();
        large[..packed.len()].copy_from_slice(&packed);
        let error = software.decompress(&large, &DecompressOptions::new(format)).unwrap_err();
        assert!(
            matches!(error, Error::TrailingData { consumed, .. } if consumed == packed.len() as u64),
            "{format}: {error}"
        );
        large[..packed.len()].fill(0);
    }
    // Zeros behind a gzip member are padding, however many.
    let (packed, _) = software.compress(b"in front", &CompressOptions::new(Format::Gzip)).unwrap();
    large[..packed.len()].copy_from_slice(&packed);
    let (plain, _) = software.decompress(&large, &DecompressOptions::new(Format::Gzip)).unwrap();
    assert_eq!(plain, b"in front");
    large[..packed.len()].fill(0);
    // An LZ4 block that claims more than there can be.
    let claim = [&[0x1f, b'a', 1, 0][..], &vec![255; LARGE / 255 + 1], &[0, 0x50], b"bbbbb"].concat();
    let options = DecompressOptions::new(Format::Lz4Block).limit(usize::MAX);
    let error = software.decompress_into(&claim, &mut [0; 64], &options).unwrap_err();
    assert!(matches!(error, Error::Unsupported { .. }) && error.to_string().contains("frame"), "{error}");
}
