//! What either engine wrote the other reads.

use accel_core::{CompressOptions, CompressionAccelerator, DecompressOptions, Error, Format, Level};
use qat::stream::{self, Engine, Settings, StreamError, Summary};
use qat::{AutoAccelerator, Policy, SoftwareAccelerator};

use crate::emulated;
use crate::support::readers::default_output_is_read;
use crate::support::{FORMATS, SIZES, Subject, contents, noise, same, settings, text};

fn cpu() -> SoftwareAccelerator {
    SoftwareAccelerator::new()
}

#[test]
fn one_shot() {
    let Some(qat) = emulated::qat() else { return };
    for size in SIZES {
        for (kind, plain) in contents(size) {
            for format in FORMATS {
                let (to, from) =
                    (CompressOptions::new(format).level(Level::Fast), DecompressOptions::new(format));
                let what = (kind, size, format);
                let (packed, _) = qat.compression.compress(&plain, &to).unwrap();
                same(&cpu().decompress(&packed, &from).unwrap().0, &plain, what);
                if qat.formats.contains(&format) {
                    let (packed, _) = cpu().compress(&plain, &to).unwrap();
                    let (again, outcome) = qat.compression.decompress(&packed, &from).unwrap();
                    same(&again, &plain, what);
                    assert!((qat.may_run_on)(outcome.path), "{what:?} on {}", outcome.path);
                }
            }
        }
    }
}

fn pack(engine: &Engine, plain: &[u8], format: Format, settings: &Settings) -> Vec<u8> {
    let mut packed = Vec::new();
    let options = CompressOptions::new(format).level(Level::Fast);
    stream::compress(plain, &mut packed, engine, &options, settings).unwrap();
    packed
}

fn unpack(engine: &Engine, packed: &[u8], format: Format) -> Result<(Vec<u8>, Summary), StreamError> {
    let mut plain = Vec::new();
    let summary = stream::decompress(packed, &mut plain, engine, Some(format), &settings(2))?;
    Ok((plain, summary))
}

/// Whether all blocks ran on the device, of which there are `blocks` or more.
#[track_caller]
fn on_device(summary: &Summary, blocks: u64) {
    let software: u64 =
        accel_core::SoftwareReason::ALL.iter().map(|reason| summary.software.count(*reason)).sum();
    assert!(summary.hardware >= blocks && software == 0, "{summary:?}");
}

#[test]
fn streams() {
    let Some(qat) = emulated::qat() else { return };
    let software = Engine::software(&cpu());
    let plain = [text(5 << 20), noise(100_000)].concat();
    for format in FORMATS.into_iter().filter(|format| *format != Format::Lz4Block) {
        for independent in [false, true] {
            let settings = settings(2).independent(independent);
            let packed = pack(&qat.engine, &plain, format, &settings);
            same(&unpack(&software, &packed, format).unwrap().0, &plain, format);
            let packed = pack(&software, &plain, format, &settings);
            match unpack(&qat.engine, &packed, format) {
                Ok((again, summary)) => {
                    same(&again, &plain, format);
                    // Members and blocks that say how long they are go side by side, everything else at once.
                    let is_cut = matches!(format, Format::Gzip if independent) || format == Format::Lz4Frame;
                    on_device(&summary, if is_cut { 2 } else { 1 });
                }
                Err(error) => {
                    assert_eq!(format, Format::Zstd, "{error}");
                    assert!(
                        matches!(&error, StreamError::Work(Error::Unsupported { .. }))
                            && error.to_string().contains("Zstandard")
                            && error.to_string().contains("CPU"),
                        "{error}"
                    );
                }
            }
        }
    }
}

/// What others write does not say how long its parts are: one member, linked blocks, frames of the first days.
#[test]
fn streams_of_others() {
    use std::io::Write;
    let Some(qat) = emulated::qat() else { return };
    let plain = [text(2_000_000), noise(100_000)].concat();
    let deflate = |format| {
        let level = flate2::Compression::new(6);
        let mut packed = Vec::new();
        match format {
            Format::Gzip => {
                flate2::write::GzEncoder::new(&mut packed, level).write_all(&plain).unwrap();
                packed = packed.repeat(2);
            }
            Format::Zlib => flate2::write::ZlibEncoder::new(&mut packed, level).write_all(&plain).unwrap(),
            _ => flate2::write::DeflateEncoder::new(&mut packed, level).write_all(&plain).unwrap(),
        }
        packed
    };
    let linked = |block_checksums| {
        let info = lz4_flex::frame::FrameInfo::new()
            .block_mode(lz4_flex::frame::BlockMode::Linked)
            .block_size(lz4_flex::frame::BlockSize::Max64KB)
            .block_checksums(block_checksums)
            .content_checksum(true);
        let mut encoder = lz4_flex::frame::FrameEncoder::with_frame_info(info, Vec::new());
        encoder.write_all(&plain).unwrap();
        encoder.finish().unwrap()
    };
    let legacy = {
        let block = cpu().compress(&plain, &CompressOptions::new(Format::Lz4Block)).unwrap().0;
        [&[0x02, 0x21, 0x4C, 0x18][..], &(block.len() as u32).to_le_bytes(), &block].concat()
    };
    // Ours before another's: the blocks that can be found go side by side, the rest at once.
    let mixed = [pack(&qat.engine, &plain, Format::Gzip, &settings(2)), deflate(Format::Gzip)].concat();
    for (what, format, packed, times) in [
        ("two members", Format::Gzip, deflate(Format::Gzip), 2),
        ("ours and others'", Format::Gzip, mixed, 3),
        ("zlib", Format::Zlib, deflate(Format::Zlib), 1),
        ("deflate", Format::Deflate, deflate(Format::Deflate), 1),
        ("linked blocks", Format::Lz4Frame, linked(false), 1),
        ("linked blocks with checksums, twice", Format::Lz4Frame, linked(true).repeat(2), 2),
        ("a legacy frame", Format::Lz4Frame, legacy, 1),
    ] {
        let expected = plain.repeat(times);
        let (again, summary) = unpack(&qat.engine, &packed, format).unwrap();
        same(&again, &expected, what);
        on_device(&summary, 1);
        assert_eq!(summary.bytes_in, packed.len() as u64, "{what}");
        // Garbage behind is met after what was good was written, and counted from the beginning.
        let mut out = Vec::new();
        let garbage = [&packed[..], b"garbage"].concat();
        let error = stream::decompress(&garbage[..], &mut out, &qat.engine, Some(format), &settings(2));
        if what != "a legacy frame" {
            let at = |consumed| consumed == packed.len() as u64;
            assert!(
                matches!(error, Err(StreamError::Work(Error::TrailingData { consumed, .. })) if at(consumed)),
                "{what}: {error:?}"
            );
            same(&out, &expected, what);
        }
    }
}

/// Beyond what is collected for a device there is an error that names the remedy, for either side.
#[test]
fn too_long_for_one_piece() {
    let Some(qat) = emulated::qat() else { return };
    let refused = |packed: &[u8], side: &str| {
        let error = unpack(&qat.engine, packed, Format::Deflate).unwrap_err();
        assert!(matches!(&error, StreamError::Work(Error::Unsupported { .. })), "{error}");
        assert!(
            error.to_string().contains(side) && error.to_string().contains("(auto or software)"),
            "{error}"
        );
    };
    // Stored blocks, none of which is the last.
    let block = [&[0, 0xFF, 0xFF, 0, 0][..], &[7; 0xFFFF]].concat();
    let mut long = block.repeat((64 << 20) / block.len() + 1);
    refused(&long, "64 MiB compressed");
    // All that is collected, and not a whole stream.
    long.truncate(64 << 20);
    let error = unpack(&qat.engine, &long, Format::Deflate).unwrap_err();
    assert!(matches!(&error, StreamError::Work(Error::Truncated { .. })), "{error}");
}

/// The largest input of the issue, through every format and back.
#[test]
fn sixty_four_megabytes() {
    let Some(Subject { compression, engine, formats, packs, .. }) = emulated::qat() else { return };
    let mut plain = text(4 << 20).repeat(15);
    plain.extend(noise(4 << 20));
    for &format in packs.iter().filter(|format| **format != Format::Lz4Block) {
        let (to, from) = (CompressOptions::new(format).level(Level::Fast), DecompressOptions::new(format));
        let (packed, outcome) = compression.compress(&plain, &to).unwrap();
        assert!(outcome.path.is_hardware() && packed.len() < plain.len() / 2);
        let mut again = vec![0; plain.len()];
        cpu().decompress_into(&packed, &mut again, &from).unwrap();
        same(&again, &plain, format);
        if formats.contains(&format) {
            again.fill(0);
            compression.decompress_into(&packed, &mut again, &from).unwrap();
            same(&again, &plain, format);
        }
        let packed = pack(&engine, &plain, format, &settings(2));
        let reader = if formats.contains(&format) { engine.clone() } else { Engine::software(&cpu()) };
        same(&unpack(&reader, &packed, format).unwrap().0, &plain, (format, "stream"));
    }
    assert_eq!(compression.statistics().errors, 0);
}

/// Readers that stop after the first gzip member or Zstandard frame get all of what the device has a part in: alone, and
/// beside the CPU.
#[test]
fn readers_of_one_member_get_everything() {
    let (Some(qat), Some(device)) = (emulated::qat(), emulated::accelerator()) else { return };
    let both = Engine::auto(&AutoAccelerator::new(device, Policy::Auto));
    for engine in [&qat.engine, &both] {
        default_output_is_read(engine, Level::Fast, 2);
    }
}
