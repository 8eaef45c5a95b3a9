//! Calls on device memory, and batches.

use accel_core::{
    CompressOptions, CompressionAccelerator, DecompressOptions, Error, Format, HardwareAccelerator as _,
    Level,
};
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
            let options = CompressOptions::new(format).level(Level::Fast);
            let done = qat.dma_compressor(&options).unwrap().run(input, output);
            let outcome = done.result.unwrap();
            let (input, mut packed) = done.buffers.unwrap();
            same(&input, &plain, what);
            assert!(outcome.path.is_hardware());
            packed.resize(outcome.bytes_out);
            let cpu = SoftwareAccelerator::new().decompress(&packed, &DecompressOptions::new(format));
            same(&cpu.unwrap().0, &plain, what);

            let mut unpack = qat.dma_decompressor(format).unwrap();
            let done = unpack.run(packed, input);
            assert_eq!(done.result.unwrap().bytes_out, plain.len(), "{what:?}");
            let (packed, again) = done.buffers.unwrap();
            same(&again, &plain, what);

            // Too little room is said, and both buffers come back.
            let small = qat.dma_buffer(plain.len() / 2).unwrap();
            let done = unpack.run(packed, small);
            assert!(matches!(done.result, Err(Error::OutputTooSmall { .. })), "{what:?}: {:?}", done.result);
            assert!(done.buffers.is_some());
        }
    }
    let error = qat.dma_buffer((64 << 20) + 1).unwrap_err();
    assert!(matches!(error, Error::InvalidArgument { argument: "len", .. }), "{error}");
}

#[test]
fn requests_on_device_memory_wait_for_room() {
    let Some(qat) = emulated::accelerator() else { return };
    let options = CompressOptions::new(Format::Zlib);
    let mut session = qat.dma_compressor(&options).unwrap();
    let plain: Vec<Vec<u8>> = (0..2500).map(|i| text(900 + i % 100)).collect();
    let mut submit = |plain: &Vec<u8>| {
        let mut input = qat.dma_buffer(plain.len()).unwrap();
        input.copy_from_slice(plain);
        session.submit(input, qat.dma_buffer(QatAccelerator::dma_room(plain.len())).unwrap())
    };
    // More than the rings hold; of those that were submitted some are left alone.
    let requests: Vec<_> = plain.iter().map(&mut submit).collect();
    let retries = qat.statistics().retries;
    assert!(retries > 0, "all rings took all requests");
    for (at, (request, plain)) in requests.into_iter().zip(&plain).enumerate() {
        if at % 7 == 3 {
            continue;
        }
        let done = qat.block_on(request);
        let (_, packed) = done.buffers.unwrap();
        let packed = &packed[..done.result.unwrap().bytes_out];
        let again = SoftwareAccelerator::new().decompress(packed, &DecompressOptions::new(Format::Zlib));
        same(&again.unwrap().0, plain, at);
    }
    // What does not fit is said at once, and comes back.
    let (input, output) = (qat.dma_buffer(5000).unwrap(), qat.dma_buffer(5000).unwrap());
    let done = qat.block_on(session.submit(input, output));
    let room = QatAccelerator::dma_room(5000);
    assert!(done.buffers.is_some());
    match done.result {
        Err(Error::OutputTooSmall { required: Some(required), available: 5000 }) => assert!(required <= room),
        other => panic!("{other:?}"),
    }
}

#[test]
fn sessions_on_device_memory_say_what_they_do_not_do() {
    let Some(qat) = emulated::accelerator() else { return };
    let format = qat.dma_compressor(&CompressOptions::new(Format::Lz4Frame)).unwrap_err();
    assert!(matches!(format, Error::Unsupported { .. }), "{format}");
    let level = CompressOptions::new(Format::Gzip).level(Level::Exact(13));
    let level = qat.dma_compressor(&level).unwrap_err();
    assert!(matches!(level, Error::InvalidArgument { argument: "level", .. }), "{level}");
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
