//! Compresses from and to memory that a QAT device reaches itself, so that nothing is copied. Without a device it
//! prints what is missing.

use qat::QatAccelerator;
use qat::accel_core::{CompressOptions, Error, Format, Result};

fn main() -> Result<()> {
    let qat = QatAccelerator::default();
    match compress(&qat) {
        Err(error @ (Error::Unavailable { .. } | Error::Unsupported { .. })) => {
            println!("no compression from device memory: {error}");
            Ok(())
        }
        done => done,
    }
}

fn compress(qat: &QatAccelerator) -> Result<()> {
    // The session holds what all requests have in common.
    let mut session = qat.dma_compressor(&CompressOptions::new(Format::Gzip))?;
    let mut input = qat.dma_buffer(65_536)?;
    input.fill(b'q');
    let mut output = qat.dma_buffer(QatAccelerator::dma_room(input.len()))?;
    for number in 0..3 {
        // A request owns its buffers until the device has answered, and then returns them.
        let completion = session.run(input, output);
        let done = completion.result?;
        println!("request {number}: {} bytes to {} bytes", done.bytes_in, done.bytes_out);
        let Some(buffers) = completion.buffers else { return Ok(()) };
        (input, output) = buffers;
    }
    Ok(())
}
