//! Runs the same request under each policy and prints where it ran. Without a device, `Policy::Always` is an error that
//! says what is missing, and the other policies use the CPU.

use qat::accel_core::{CompressOptions, CompressionAccelerator, Format};
use qat::{AutoAccelerator, Policy, QatAccelerator};

fn main() {
    let qat = QatAccelerator::default();
    let input = b"to be or not to be ".repeat(4_000);
    for policy in [Policy::Auto, Policy::Always, Policy::Never, Policy::Threshold(64 << 10)] {
        let accelerator = AutoAccelerator::new(qat.clone(), policy);
        match accelerator.compress(&input, &CompressOptions::new(Format::Deflate)) {
            Ok((_, outcome)) => println!("{policy:?}: {} bytes, on {}", outcome.bytes_out, outcome.path),
            Err(error) => println!("{policy:?}: {error}"),
        }

        // The model holds the measured times that `Policy::Auto` decides by.
        let model = accelerator.model();
        println!("  on the CPU now: {}, on the device now: {}", model.on_cpu, model.on_device);
        for cell in model.cells {
            println!(
                "  {} from {} bytes: CPU {:?}, device {:?}",
                cell.operation, cell.bytes, cell.cpu, cell.device
            );
        }
    }
}
