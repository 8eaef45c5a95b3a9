//! Compresses many buffers by one call, which keeps many requests on the device at a time. Without a device each result
//! is the error that says what is missing.

use qat::QatAccelerator;
use qat::accel_core::{CompressOptions, Format};

fn main() {
    let qat = QatAccelerator::default();
    let records: Vec<String> = (0..100).map(|number| format!("record {number}\n").repeat(500)).collect();
    let inputs: Vec<&[u8]> = records.iter().map(String::as_bytes).collect();

    // Results are in the order of the inputs, and each input succeeds or fails by itself.
    let results = qat.compress_batch(&inputs, &CompressOptions::new(Format::Gzip));
    assert_eq!(results.len(), inputs.len());
    let (mut bytes_in, mut bytes_out) = (0, 0);
    for result in &results {
        match result {
            Ok((_, outcome)) => {
                bytes_in += outcome.bytes_in;
                bytes_out += outcome.bytes_out;
            }
            Err(error) => {
                println!("cannot compress on a device: {error}");
                break;
            }
        }
    }
    println!("{bytes_in} bytes to {bytes_out} bytes in {} requests", results.len());
}
