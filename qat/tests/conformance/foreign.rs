//! Against implementations in Rust that share no code with the engine's: miniz_oxide, lz4_flex, ruzstd.

use std::io::{Read, Write};

use accel_core::{CompressOptions, DecompressOptions, Format, Level};

use crate::support::{NAMED_LEVELS, SIZES, Subject, contents, same};

fn read_all(mut reader: impl Read) -> Vec<u8> {
    let mut out = Vec::new();
    reader.read_to_end(&mut out).unwrap();
    out
}

fn foreign_decompress(format: Format, packed: &[u8], plain_len: usize) -> Vec<u8> {
    match format {
        Format::Deflate => read_all(flate2::read::DeflateDecoder::new(packed)),
        Format::Zlib => read_all(flate2::read::ZlibDecoder::new(packed)),
        Format::Gzip => read_all(flate2::read::MultiGzDecoder::new(packed)),
        Format::Lz4Block => lz4_flex::block::decompress(packed, plain_len).unwrap(),
        Format::Lz4Frame => read_all(lz4_flex::frame::FrameDecoder::new(packed)),
        Format::Zstd => read_all(ruzstd::decoding::StreamingDecoder::new(packed).unwrap()),
        other => panic!("no other implementation of {other}"),
    }
}

fn foreign_compress(format: Format, plain: &[u8]) -> Vec<u8> {
    let level = flate2::Compression::new(6);
    match format {
        Format::Deflate => read_all(flate2::read::DeflateEncoder::new(plain, level)),
        Format::Zlib => read_all(flate2::read::ZlibEncoder::new(plain, level)),
        Format::Gzip => read_all(flate2::read::GzEncoder::new(plain, level)),
        Format::Lz4Block => lz4_flex::block::compress(plain),
        Format::Lz4Frame => {
            let info = lz4_flex::frame::FrameInfo::new()
                .block_mode(lz4_flex::frame::BlockMode::Linked)
                .block_checksums(true)
                .content_checksum(true);
            let mut encoder = lz4_flex::frame::FrameEncoder::with_frame_info(info, Vec::new());
            encoder.write_all(plain).unwrap();
            encoder.finish().unwrap()
        }
        Format::Zstd => ruzstd::encoding::compress_to_vec(plain, ruzstd::encoding::CompressionLevel::Fastest),
        other => panic!("no other implementation of {other}"),
    }
}

pub(crate) fn others_read_what_we_write(subject: &Subject) {
    for size in SIZES {
        for (kind, plain) in contents(size) {
            for &format in subject.packs {
                for level in NAMED_LEVELS.into_iter().chain([Level::Exact(1), Level::Exact(12)]) {
                    if level != Level::Fast && size >= 1 << 20 {
                        continue;
                    }
                    let options = CompressOptions::new(format).level(level);
                    let (packed, _) = subject.compression.compress(&plain, &options).unwrap();
                    same(&foreign_decompress(format, &packed, size), &plain, (kind, size, format, level));
                }
            }
        }
    }
}

pub(crate) fn we_read_what_others_write(subject: &Subject) {
    for size in SIZES {
        for (kind, plain) in contents(size) {
            for &format in subject.formats {
                let packed = foreign_compress(format, &plain);
                let (again, _) =
                    subject.compression.decompress(&packed, &DecompressOptions::new(format)).unwrap();
                same(&again, &plain, (kind, size, format));
                let mut exact = vec![0; size];
                let options = DecompressOptions::new(format);
                subject.compression.decompress_into(&packed, &mut exact, &options).unwrap();
                same(&exact, &plain, (kind, size, format, "into"));
            }
        }
    }
}
