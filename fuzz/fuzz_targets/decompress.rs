//! One-shot decompression of arbitrary bytes. The first byte selects the format. The output stays within the limit, and
//! decompression to a buffer of exactly its length returns the same.
#![no_main]

use accel_core::{CompressionAccelerator, DecompressOptions, Format};
use libfuzzer_sys::fuzz_target;

const FORMATS: [Format; 6] =
    [Format::Deflate, Format::Zlib, Format::Gzip, Format::Lz4Block, Format::Lz4Frame, Format::Zstd];

fuzz_target!(|data: &[u8]| {
    let Some((choice, input)) = data.split_first() else { return };
    let software = qat::SoftwareAccelerator::new();
    let options = DecompressOptions::new(FORMATS[usize::from(*choice) % FORMATS.len()]).limit(1 << 20);
    if let Ok((plain, outcome)) = software.decompress(input, &options) {
        assert!(plain.len() <= options.limit && outcome.bytes_out == plain.len());
        let mut exact = vec![0; plain.len()];
        software.decompress_into(input, &mut exact, &options).expect("the room is enough");
        assert!(exact == plain);
    }
});
