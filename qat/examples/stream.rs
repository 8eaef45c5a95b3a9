//! Compresses one file to another in constant memory, on all cores and on QAT where there is a device: `stream INPUT
//! OUTPUT`. Without arguments it compresses its own source to a file in the directory for temporary files.

use std::error::Error;
use std::fs::File;
use std::io::{BufReader, Write};
use std::path::{Path, PathBuf};

use qat::accel_core::{CompressOptions, Format};
use qat::stream::{self, Engine, Settings};
use qat::{AutoAccelerator, Policy, QatAccelerator};

fn main() -> Result<(), Box<dyn Error>> {
    let mut arguments = std::env::args_os().skip(1).map(PathBuf::from);
    let input =
        arguments.next().unwrap_or_else(|| Path::new(env!("CARGO_MANIFEST_DIR")).join("examples/stream.rs"));
    let output = arguments.next().unwrap_or_else(|| std::env::temp_dir().join("qat-stream-example.zst"));

    let accelerator = AutoAccelerator::new(QatAccelerator::default(), Policy::Auto);
    let engine = Engine::auto(&accelerator);
    let options = CompressOptions::new(Format::Zstd);
    let (source, mut target) = (File::open(&input)?, File::create(&output)?);
    // A Zstandard frame states the length of its content where the length is known in advance.
    let settings = Settings::default().input_len(Some(source.metadata()?.len()));
    let summary = stream::compress(BufReader::new(source), &mut target, &engine, &options, &settings)?;
    target.flush()?;
    println!("{} -> {}", input.display(), output.display());
    println!("{} bytes to {} bytes", summary.bytes_in, summary.bytes_out);
    println!("blocks on a device: {}, on the CPU: {}", summary.hardware, summary.software.total());
    for (reason, blocks) in summary.software.iter() {
        println!("  {blocks} on the CPU: {reason}");
    }
    Ok(())
}
