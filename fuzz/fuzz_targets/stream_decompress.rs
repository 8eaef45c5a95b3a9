//! Stream decompression of arbitrary bytes. The first byte selects the format, or detection of the format. The output
//! stays within the limit, and equals that of the one-shot call.
#![no_main]

use accel_core::{CompressionAccelerator, DecompressOptions, Format};
use libfuzzer_sys::fuzz_target;
use qat::stream::{self, Engine, Settings};

const FORMATS: [Option<Format>; 6] = [
    None,
    Some(Format::Deflate),
    Some(Format::Zlib),
    Some(Format::Gzip),
    Some(Format::Lz4Frame),
    Some(Format::Zstd),
];

fuzz_target!(|data: &[u8]| {
    const LIMIT: usize = 1 << 20;
    let Some((choice, input)) = data.split_first() else { return };
    let format = FORMATS[usize::from(*choice) % FORMATS.len()];
    let software = qat::SoftwareAccelerator::new();
    let settings = Settings::default().threads(std::num::NonZeroUsize::MIN).limit(LIMIT as u64);
    let mut out = Vec::new();
    let result = stream::decompress(input, &mut out, &Engine::software(&software), format, &settings);
    assert!(out.len() <= LIMIT);
    if let Ok(summary) = result {
        assert_eq!((summary.bytes_in, summary.bytes_out), (input.len() as u64, out.len() as u64));
        let format = summary.format.expect("the summary of a decompression names its format");
        let (plain, _) = software
            .decompress(input, &DecompressOptions::new(format).limit(LIMIT))
            .expect("the stream was decompressed");
        assert!(plain == out);
    }
});
