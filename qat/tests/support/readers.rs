//! Readers that return the first gzip member or Zstandard frame of a file and lose the rest, some of them without an error.

use std::fmt::Debug;
use std::future::poll_fn;
use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::pin::pin;

use accel_core::{CompressOptions, Format, Level};
use async_compression::futures::bufread::{GzipDecoder, ZstdDecoder};
use futures_io::AsyncRead;
use qat::stream::{self, Engine};

use super::python::python;
use super::tool::tool;
use super::{noise, same, settings, text};

/// Compresses several MiB by `engine` with the default settings; each reader must return all of it.
#[track_caller]
pub(crate) fn default_output_is_read(engine: &Engine, level: Level, threads: usize) {
    let plain = [text(2_000_000), noise(300_000), text(1_500_000)].concat();
    for format in [Format::Gzip, Format::Zlib, Format::Zstd] {
        for is_len_known in [false, true] {
            let len = is_len_known.then_some(plain.len() as u64);
            let settings = settings(threads).input_len(len);
            let (options, mut packed) = (CompressOptions::new(format).level(level), Vec::new());
            stream::compress(&plain[..], &mut packed, engine, &options, &settings).unwrap();
            all_read(&packed, format, &plain, (level, threads, is_len_known));
        }
    }
}

/// Reads `packed` with each reader of `format`.
#[track_caller]
fn all_read(packed: &[u8], format: Format, plain: &[u8], what: impl Debug) {
    let returns = |again: &[u8], reader| same(again, plain, (reader, format, &what));
    let mut again = Vec::new();
    match format {
        Format::Gzip => {
            flate2::read::GzDecoder::new(packed).read_to_end(&mut again).unwrap();
            returns(&again, "flate2");
            returns(&to_end(GzipDecoder::new(packed)), "async-compression");
            for program in ["gzip", "pigz", "igzip"] {
                let package = if program == "igzip" { "isal" } else { program };
                returns(&tool(program, package, &["-dc"], packed), program);
            }
            returns(&zlib_of_python(packed, 31), "Python's zlib");
            returns(&curl(packed, "gzip"), "curl");
        }
        Format::Zlib => {
            returns(&zlib_of_python(packed, 15), "Python's zlib");
            returns(&curl(packed, "deflate"), "curl");
        }
        Format::Zstd => {
            let mut decoder = ruzstd::decoding::StreamingDecoder::new(packed).unwrap();
            decoder.read_to_end(&mut again).unwrap();
            returns(&again, "ruzstd");
            returns(&to_end(ZstdDecoder::new(packed)), "async-compression");
            returns(&tool("zstd", "zstd", &["-dc"], packed), "zstd");
            // It reads the first frame only; `max_output_size` counts where the frame's header does not state a length.
            let script = format!(
                "import sys, zstandard; d = zstandard.ZstdDecompressor(); \
                 o = d.decompress(sys.stdin.buffer.read(), max_output_size={}); sys.stdout.buffer.write(o)",
                plain.len()
            );
            returns(&tool(python(), "python3-venv", &["-c", &script], packed), "Python's zstandard");
            returns(&curl(packed, "zstd"), "curl");
        }
        other => panic!("no readers of {other}"),
    }
}

fn to_end(reader: impl AsyncRead) -> Vec<u8> {
    let (mut reader, mut all, mut part) = (pin!(reader), Vec::new(), vec![0; 64 << 10]);
    loop {
        let read = pollster::block_on(poll_fn(|context| reader.as_mut().poll_read(context, &mut part)));
        match read.unwrap() {
            0 => return all,
            n => all.extend_from_slice(&part[..n]),
        }
    }
}

fn zlib_of_python(packed: &[u8], window_bits: u8) -> Vec<u8> {
    let script = format!(
        "import sys, zlib; d = zlib.decompressobj({window_bits}); o = d.decompress(sys.stdin.buffer.read()); \
         assert d.eof and not d.unused_data; sys.stdout.buffer.write(o)"
    );
    tool("python3", "python3", &["-c", &script], packed)
}

/// What `curl --compressed` makes of an HTTP response with this body and content coding.
fn curl(body: &[u8], coding: &str) -> Vec<u8> {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    std::thread::scope(|scope| {
        let server = scope.spawn(|| {
            let (mut connection, _) = listener.accept().unwrap();
            let (mut request, mut part) = (Vec::new(), [0; 1024]);
            while !request.ends_with(b"\r\n\r\n") {
                match connection.read(&mut part).unwrap() {
                    // The connection below, which ends the wait for a request.
                    0 => return,
                    n => request.extend_from_slice(&part[..n]),
                }
            }
            let head = format!(
                "HTTP/1.1 200 OK\r\nContent-Encoding: {coding}\r\nContent-Length: {}\r\nConnection: close\r\n\r\n",
                body.len()
            );
            // A client that finds the body damaged closes the connection early; its status and message say why.
            let _ = connection.write_all(head.as_bytes()).and_then(|()| connection.write_all(body));
        });
        let url = format!("http://{address}/");
        let args = ["--compressed", "--fail", "--silent", "--show-error", "--noproxy", "*", &url];
        let ran = std::panic::catch_unwind(|| tool("curl", "curl", &args, b""));
        // Without curl nobody connects, and the server would wait for ever.
        drop(TcpStream::connect(address));
        server.join().unwrap();
        ran.unwrap_or_else(|panic| std::panic::resume_unwind(panic))
    })
}
