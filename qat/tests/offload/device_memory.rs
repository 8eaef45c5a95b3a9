//! Calls on device memory, and batches.

use accel_core::{CompressOptions, CompressionAccelerator, DecompressOptions, Error, Format, Level};
use qat::{QatAccelerator, SoftwareAccelerator};

use crate::emulated;
use crate::support::{noise, same, text};

const FORMATS: [Format; 3] = [Format::Deflate, Format::Zlib, Format::Gzip];

#[test]
fn device_memory_there_and_back() {
    let Some(qat) = emulated::accelerator() else { return };
    for plain in [text(1), text(100_000), noise(70_000), vec![0; 3 << 20]] {
        for format in FORMATS {
            let what = (format, plain.len());
            let mut input = qat.dma_buffer(plain.len()).unwrap();
            input.copy_from_slice(&plain);
            let output = qat.dma_buffer(QatAccelerator::dma_room(plain.len())).unwrap();
            let done = qat.compress_dma(input, output, &CompressOptions::new(format).level(Level::Fast));
            let outcome = done.result.unwrap();
            let (input, mut packed) = done.buffers.unwrap();
            same(&input, &plain, what);
            assert!(outcome.path.is_hardware());
            packed.resize(outcome.bytes_out);
            let cpu = SoftwareAccelerator::new().decompress(&packed, &DecompressOptions::new(format));
            same(&cpu.unwrap().0, &plain, what);

            let done = qat.decompress_dma(packed, input, format);
            assert_eq!(done.result.unwrap().bytes_out, plain.len(), "{what:?}");
            let (packed, again) = done.buffers.unwrap();
            same(&again, &plain, what);

            // Too little room is said, and both buffers come back.
            let small = qat.dma_buffer(plain.len() / 2).unwrap();
            let done = qat.decompress_dma(packed, small, format);
            assert!(matches!(done.result, Err(Error::OutputTooSmall { .. })), "{what:?}: {:?}", done.result);
            assert!(done.buffers.is_some());
        }
    }
    let error = qat.dma_buffer((64 << 20) + 1).unwrap_err();
    assert!(matches!(error, Error::InvalidArgument { argument: "len", .. }), "{error}");
}

#[test]
fn batches_are_single_calls_in_order() {
    let Some(qat) = emulated::accelerator() else { return };
    let plain: Vec<Vec<u8>> = (0..150).map(|i| text(1 + i * 997)).collect();
    let inputs: Vec<&[u8]> = plain.iter().map(Vec::as_slice).collect();
    let packed = qat.compress_batch(&inputs, &CompressOptions::new(Format::Gzip));
    let mut packed: Vec<Vec<u8>> = packed.into_iter().map(|result| result.unwrap().0).collect();
    packed[7].truncate(20);
    let inputs: Vec<&[u8]> = packed.iter().map(Vec::as_slice).collect();
    let again = qat.decompress_batch(&inputs, &DecompressOptions::new(Format::Gzip));
    assert_eq!(again.len(), plain.len());
    for (i, (again, plain)) in again.into_iter().zip(&plain).enumerate() {
        match again {
            Ok((again, _)) => same(&again, plain, i),
            Err(error) => assert!(i == 7 && matches!(error, Error::Truncated { .. }), "{i}: {error}"),
        }
    }
}
