//! Compresses a buffer to gzip and decompresses it again, on QAT where there is a device and on the CPU otherwise.
//! Prints where each step ran and why.

use qat::accel_core::{
    CompressOptions, CompressionAccelerator, DecompressOptions, Format, HardwareAccelerator, Level, Result,
};
use qat::{AutoAccelerator, Policy, QatAccelerator};

fn main() -> Result<()> {
    let accelerator = AutoAccelerator::new(QatAccelerator::default(), Policy::Auto);
    if let Some(reason) = accelerator.qat().unavailability() {
        println!("no QAT device: {reason}");
    }
    println!("name: {}, available: {}", accelerator.name(), accelerator.is_available());

    let plain = b"to be or not to be, that is the question\n".repeat(10_000);
    let options = CompressOptions::new(Format::Gzip).level(Level::Balanced);
    let (compressed, outcome) = accelerator.compress(&plain, &options)?;
    println!("compressed {} bytes to {} on {}", outcome.bytes_in, outcome.bytes_out, outcome.path);

    // The limit bounds the memory that a decompression bomb can take.
    let options = DecompressOptions::new(Format::Gzip).limit(1 << 20);
    let (decompressed, outcome) = accelerator.decompress(&compressed, &options)?;
    println!("decompressed {} bytes to {} on {}", outcome.bytes_in, outcome.bytes_out, outcome.path);
    assert_eq!(decompressed, plain);
    Ok(())
}
