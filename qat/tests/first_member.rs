//! Readers that stop after the first gzip member or Zstandard frame get all of what streams write by default.

mod support;

use std::io::Read;
use std::process::{Command, Stdio};

use accel_core::{CompressOptions, Format, Level};
use qat::stream;
use support::{noise, same, settings, software, text};

fn packed(plain: &[u8], format: Format, level: Level, threads: usize) -> Vec<u8> {
    let mut packed = Vec::new();
    let options = CompressOptions::new(format).level(level);
    let settings = settings(threads).input_len(Some(plain.len() as u64));
    stream::compress(plain, &mut packed, &software().engine, &options, &settings).unwrap();
    packed
}

/// Runs a tool on `input`; its output. It must succeed.
fn tool(program: &str, args: &[&str], input: &[u8]) -> Vec<u8> {
    use std::io::Write;
    let child = Command::new(program).args(args).stdin(Stdio::piped()).stdout(Stdio::piped()).spawn();
    let mut child = child.unwrap_or_else(|error| panic!("{program}: {error}"));
    let mut stdin = child.stdin.take().unwrap();
    let output = std::thread::scope(|scope| {
        scope.spawn(move || drop(stdin.write_all(input)));
        child.wait_with_output().unwrap()
    });
    assert!(output.status.success(), "{program} {args:?}");
    output.stdout
}

#[test]
fn they_get_everything() {
    let plain = [text(2_000_000), noise(300_000), text(1_500_000)].concat();
    for threads in [1, 2] {
        for level in [Level::Fast, Level::Balanced] {
            let gzip = packed(&plain, Format::Gzip, level, threads);
            let mut again = Vec::new();
            flate2::read::GzDecoder::new(&gzip[..]).read_to_end(&mut again).unwrap();
            same(&again, &plain, ("flate2", level, threads));
            for (program, args) in [("gzip", ["-t"]), ("pigz", ["-t"]), ("igzip", ["-t"])] {
                tool(program, &args, &gzip);
            }
            let zlib = packed(&plain, Format::Zlib, level, threads);
            for (bits, bytes) in [("31", &gzip), ("15", &zlib)] {
                let script = format!(
                    "import sys, zlib; d = zlib.decompressobj({bits}); o = d.decompress(sys.stdin.buffer.read()); \
                     assert d.eof and not d.unused_data; sys.stdout.buffer.write(o)"
                );
                same(&tool("python3", &["-c", &script], bytes), &plain, (bits, level, threads));
            }
            let zstd = packed(&plain, Format::Zstd, level, threads);
            tool("zstd", &["-t"], &zstd);
            let mut again = Vec::new();
            ruzstd::decoding::StreamingDecoder::new(&zstd[..]).unwrap().read_to_end(&mut again).unwrap();
            same(&again, &plain, ("ruzstd", level, threads));
        }
    }
}
