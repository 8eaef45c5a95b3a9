//! Compresses standard input to standard output on the CPU: `pipe gzip|zlib|deflate|lz4|zstd [LEVEL]`. With `-d` it
//! decompresses instead, and detects the format.

use std::io;

use accel_core::{CompressOptions, Format};
use qat::SoftwareAccelerator;
use qat::stream::{self, Engine, Settings};

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let mut arguments = std::env::args().skip(1);
    let format = match arguments.next().as_deref() {
        Some("gzip") => Some(Format::Gzip),
        Some("zlib") => Some(Format::Zlib),
        Some("deflate") => Some(Format::Deflate),
        Some("lz4") => Some(Format::Lz4Frame),
        Some("zstd") => Some(Format::Zstd),
        Some("-d") => None,
        _ => return Err("usage: pipe gzip|zlib|deflate|lz4|zstd [LEVEL], or pipe -d".into()),
    };
    let engine = Engine::software(&SoftwareAccelerator::new());
    let (input, output, settings) = (io::stdin(), io::stdout().lock(), Settings::default());
    let summary = match format {
        Some(format) => {
            let level = arguments.next().as_deref().unwrap_or("balanced").parse()?;
            let options = CompressOptions::new(format).level(level);
            stream::compress(input, output, &engine, &options, &settings)?
        }
        None => stream::decompress(input, output, &engine, None, &settings)?,
    };
    eprintln!("{} -> {} bytes", summary.bytes_in, summary.bytes_out);
    Ok(())
}
