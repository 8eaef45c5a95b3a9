//! Prints the counters of an accelerator after some work: operations, bytes, errors, latency, and why the CPU did work.
//! The utilisation is that of the devices, and is unknown where there is none or where the kernel's telemetry is off.

use qat::accel_core::{
    CompressOptions, CompressionAccelerator, DecompressOptions, Format, HardwareAccelerator, Result,
};
use qat::{AutoAccelerator, Policy, QatAccelerator};

fn main() -> Result<()> {
    let accelerator = AutoAccelerator::new(QatAccelerator::default(), Policy::Auto);
    let worker = accelerator.clone();
    for len in [1_000, 10_000, 100_000] {
        // Clones count together with the accelerator that they were cloned from.
        worker.compress(&vec![b'x'; len], &CompressOptions::new(Format::Zstd))?;
    }
    let refused = worker.decompress(b"this is no gzip member", &DecompressOptions::new(Format::Gzip));
    println!("refused: {}", refused.expect_err("the input is not gzip"));

    let statistics = accelerator.statistics();
    println!("{} operations, {} errors", statistics.operations, statistics.errors);
    println!("{} bytes in, {} bytes out", statistics.bytes_in, statistics.bytes_out);
    println!("{:.0} bytes of input per second", statistics.throughput());
    if let Some(latency) = statistics.latency {
        println!("latency: {latency:?}");
    }
    match statistics.utilisation {
        Some(share) => println!("devices: {:.0} % in use", 100.0 * share),
        None => println!("devices: utilisation unknown"),
    }
    for (reason, count) in statistics.software.iter() {
        println!("{count} operations on the CPU: {reason}");
    }
    assert_eq!((statistics.operations, statistics.errors), (3, 1));
    Ok(())
}
