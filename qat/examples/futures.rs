//! Starts several asynchronous compressions from one thread and waits for all of them. The futures need no particular
//! executor; this program uses `block_on` of the accelerator, which polls a device itself where there is one.

use qat::accel_core::{CompressOptions, CompressionAccelerator, Format, Result};
use qat::{AutoAccelerator, Policy, QatAccelerator};

fn main() -> Result<()> {
    let accelerator = AutoAccelerator::new(QatAccelerator::default(), Policy::Auto);
    if let Some(reason) = accelerator.qat().unavailability() {
        println!("no QAT device: {reason}");
    }

    // A future starts when it is made, so that all eight requests are in progress before the first is awaited.
    let options = CompressOptions::new(Format::Gzip);
    let futures: Vec<_> =
        (0..8_u8).map(|number| accelerator.compress_async(vec![number; 100_000], options)).collect();
    accelerator.qat().block_on(async {
        for (number, future) in futures.into_iter().enumerate() {
            let (compressed, outcome) = future.await?;
            println!("request {number}: {} bytes, on {}", compressed.len(), outcome.path);
        }
        Ok(())
    })
}
