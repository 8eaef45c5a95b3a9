//! Requests to QAT through the public API: the program that `cargo xtask bench --only offload` measures beside
//! `baseline.c`, which does the same on libqat itself. Its options and output are the baseline's, as far as they apply.
//!
//! Alone: `cargo bench -p qat --bench offload -- -m deflate -n 1000 -s 65536 -d 1`, on a machine with a device.

use std::collections::VecDeque;
use std::future::{Future as _, poll_fn};
use std::pin::Pin;
use std::process::ExitCode;
use std::sync::Barrier;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::task::Poll;
use std::thread;
use std::time::{Duration, Instant};

use accel_core::{
    BoxFuture, Cipher, CipherOptions, Completion, CompressOptions, CompressionAccelerator, DecompressOptions,
    EncryptFuture, EncryptionAccelerator, Error, Format, Iv, Key, Level, Outcome,
};
use qat::dma::DmaCompletion;
use qat::{AutoAccelerator, Policy, QatAccelerator, SoftwareAccelerator};

const USAGE: &str = "\
Usage: offload [-e qat|software|auto] [-m deflate|inflate|gcm|gcm-open] [-l LEVEL]
               [-a blocking|futures|batch|dma] [-n REQUESTS] [-s BYTES] [-d DEPTH] [-w REQUESTS]
  -e  the engine (default qat)
  -m  raw deflate (default), at LEVEL (default 1), or its inverse; encryption with AES-256-GCM, or decryption
  -a  which part of the API: blocking calls from DEPTH threads (default), futures of one thread, batches of DEPTH
      from one thread, or device memory from one thread (the last two: deflate on QAT only)
  -s  bytes of plain data in each request
  -d  requests in flight
  -w  requests before those that are measured (default 2 x DEPTH)

The exit code is 3 when the engine does not do what is asked on this machine.";

/// Makes all requests; bytes produced, and the time from the first request to the last answer.
type Api = fn(&Options) -> Result<(u64, Duration), Error>;

/// All that is measured.
trait Engine: CompressionAccelerator + EncryptionAccelerator {}

impl<T: CompressionAccelerator + EncryptionAccelerator> Engine for T {}

struct Options {
    engine: Box<dyn Engine>,
    /// The engine, where it is QAT alone.
    qat: Option<QatAccelerator>,
    work: Work,
    api: Api,
    requests: u64,
    bytes: usize,
    depth: usize,
    warm_up: u64,
}

impl Options {
    fn parse(mut arguments: impl Iterator<Item = String>) -> Option<Self> {
        let qat = QatAccelerator::default();
        let mut options = Self {
            engine: Box::new(qat.clone()),
            qat: Some(qat),
            work: Work::new("deflate")?,
            api: blocking,
            requests: 1000,
            bytes: 64 << 10,
            depth: 1,
            warm_up: 0,
        };
        while let Some(name) = arguments.next() {
            let value = arguments.next()?;
            match name.as_str() {
                "-e" => {
                    let qat = options.qat.take()?;
                    options.engine = match value.as_str() {
                        "qat" => {
                            options.qat = Some(qat.clone());
                            Box::new(qat)
                        }
                        "software" => Box::new(SoftwareAccelerator::new()),
                        "auto" => Box::new(AutoAccelerator::new(qat, Policy::Auto)),
                        _ => return None,
                    }
                }
                "-m" => options.work = Work::new(&value)?,
                "-l" => options.work = options.work.level(value.parse().ok()?),
                "-a" => options.api = APIS.iter().find(|(name, _)| *name == value)?.1,
                "-n" => options.requests = value.parse().ok()?,
                "-s" => options.bytes = value.parse().ok()?,
                "-w" => options.warm_up = value.parse().ok()?,
                "-d" => options.depth = value.parse().ok().filter(|depth| *depth > 0)?,
                _ => return None,
            }
        }
        Some(options)
    }
}

/// Words that repeat at irregular distances: the same as the baseline's.
fn fill(len: usize) -> Vec<u8> {
    let (mut out, mut state) = (Vec::with_capacity(len + 16), 0x9E37_79B9_7F4A_7C15_u64);
    while out.len() < len {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        let draw = (state >> 32) as u32 % 4096;
        let word = (draw * draw / 4096).wrapping_mul(2_654_435_761) >> (draw % 20);
        out.extend_from_slice(format!("{word:x} ").as_bytes());
    }
    out.truncate(len);
    out
}

/// One kind of request: what is done with each piece, whichever way it is asked for.
enum Work {
    Deflate(CompressOptions),
    Inflate(DecompressOptions),
    Gcm(Key, CipherOptions<'static>),
    GcmOpen(Key, CipherOptions<'static>),
}

impl Work {
    fn new(mode: &str) -> Option<Self> {
        let key = Key::new(&[1; 32]);
        let options = CipherOptions::new(Cipher::AesGcm).iv(Iv::new(&[3; 12]).expect("12 bytes"));
        match mode {
            "deflate" => Some(Self::Deflate(CompressOptions::new(Format::Deflate).level(Level::Exact(1)))),
            "inflate" => Some(Self::Inflate(DecompressOptions::new(Format::Deflate))),
            "gcm" => Some(Self::Gcm(key, options)),
            "gcm-open" => Some(Self::GcmOpen(key, options)),
            _ => None,
        }
    }

    fn level(self, level: u8) -> Self {
        match self {
            Self::Deflate(options) => Self::Deflate(options.level(Level::Exact(level))),
            other => other,
        }
    }

    /// What a request with so many bytes of plain data takes in; made by the CPU.
    fn input(&self, bytes: usize) -> Result<Vec<u8>, Error> {
        let (plain, software) = (fill(bytes), SoftwareAccelerator::new());
        match self {
            Self::Deflate(_) | Self::Gcm(..) => Ok(plain),
            Self::Inflate(_) => Ok(software.compress(&plain, &CompressOptions::new(Format::Deflate))?.0),
            Self::GcmOpen(key, options) => {
                let mut sealed = vec![0; Cipher::AesGcm.ciphertext_len(bytes)];
                software.encrypt_into(key, &plain, &mut sealed, options)?;
                Ok(sealed)
            }
        }
    }

    fn room(&self, engine: &dyn Engine, bytes: usize) -> usize {
        match self {
            Self::Deflate(options) => engine.compress_bound(bytes, options),
            Self::Gcm(..) => Cipher::AesGcm.ciphertext_len(bytes),
            Self::Inflate(_) | Self::GcmOpen(..) => bytes,
        }
    }

    /// One call begun; the buffers and bytes produced.
    fn begin(
        &self,
        engine: &dyn Engine,
        input: Vec<u8>,
        output: Vec<u8>,
    ) -> impl Future<Output = (Vec<u8>, Vec<u8>, Result<usize, Error>)> + use<> {
        enum Begun {
            Outcome(BoxFuture<Completion<Outcome>>),
            Encrypted(EncryptFuture),
        }
        let begun = match self {
            Self::Deflate(options) => Begun::Outcome(engine.compress_into_async(input, output, *options)),
            Self::Inflate(options) => Begun::Outcome(engine.decompress_into_async(input, output, *options)),
            Self::GcmOpen(key, options) => {
                Begun::Outcome(engine.decrypt_into_async(key.clone(), input, output, options.clone()))
            }
            Self::Gcm(key, options) => {
                Begun::Encrypted(engine.encrypt_into_async(key.clone(), input, output, options.clone()))
            }
        };
        async {
            match begun {
                Begun::Outcome(done) => {
                    let Completion { input, output, result } = done.await;
                    (input, output, result.map(|outcome| outcome.bytes_out))
                }
                Begun::Encrypted(done) => {
                    let Completion { input, output, result } = done.await;
                    (input, output, result.map(|done| done.outcome.bytes_out))
                }
            }
        }
    }

    /// One blocking call; bytes produced.
    fn call(&self, engine: &dyn Engine, input: &[u8], output: &mut [u8]) -> Result<usize, Error> {
        let outcome = match self {
            Self::Deflate(options) => engine.compress_into(input, output, options)?,
            Self::Inflate(options) => engine.decompress_into(input, output, options)?,
            Self::Gcm(key, options) => engine.encrypt_into(key, input, output, options)?.outcome,
            Self::GcmOpen(key, options) => engine.decrypt_into(key, input, output, options)?,
        };
        Ok(outcome.bytes_out)
    }
}

const APIS: &[(&str, Api)] = &[("blocking", blocking), ("futures", futures), ("batch", batch), ("dma", dma)];

/// Futures of one thread, DEPTH of them begun before the oldest is waited for.
fn futures(options: &Options) -> Result<(u64, Duration), Error> {
    let engine = &*options.engine;
    let input = options.work.input(options.bytes)?;
    let room = options.work.room(engine, options.bytes);
    let mut spare: Vec<_> = (0..options.depth).map(|_| (input.clone(), vec![0; room])).collect();
    let mut under_way = VecDeque::new();
    let (mut left, mut produced) = (options.requests, 0);
    let start = Instant::now();
    loop {
        while left > 0
            && let Some((input, output)) = spare.pop()
        {
            under_way.push_back(options.work.begin(engine, input, output));
            left -= 1;
        }
        let Some(oldest) = under_way.pop_front() else { return Ok((produced, start.elapsed())) };
        let (input, output, bytes) = match &options.qat {
            Some(qat) => qat.block_on(oldest),
            None => pollster::block_on(oldest),
        };
        produced += bytes? as u64;
        spare.push((input, output));
    }
}

/// What batches and device memory are for.
fn deflate_on_qat(options: &Options) -> Result<(&QatAccelerator, &CompressOptions), Error> {
    match (&options.qat, &options.work) {
        (Some(qat), Work::Deflate(work)) => Ok((qat, work)),
        _ => {
            let remedy = "-a batch and -a dma go with -e qat and -m deflate".into();
            Err(Error::InvalidArgument { argument: "-a", remedy })
        }
    }
}

/// Batches of DEPTH slices, each answered with a vector of its own.
fn batch(options: &Options) -> Result<(u64, Duration), Error> {
    let (qat, work) = deflate_on_qat(options)?;
    let input = fill(options.bytes);
    let inputs = vec![&input[..]; options.depth];
    let (mut left, mut produced) = (usize::try_from(options.requests).expect("64 bits"), 0);
    let start = Instant::now();
    while left > 0 {
        let now = left.min(options.depth);
        for result in qat.compress_batch(&inputs[..now], work) {
            produced += result?.1.bytes_out as u64;
        }
        left -= now;
    }
    Ok((produced, start.elapsed()))
}

/// Requests on device memory, from one thread, without a copy.
fn dma(options: &Options) -> Result<(u64, Duration), Error> {
    let (qat, work) = deflate_on_qat(options)?;
    let plain = fill(options.bytes);
    let pair = || -> Result<_, Error> {
        let mut input = qat.dma_buffer(options.bytes)?;
        input.copy_from_slice(&plain);
        Ok((input, qat.dma_buffer(QatAccelerator::dma_room(options.bytes))?))
    };
    let mut produced = 0;
    let mut finish = |done: DmaCompletion| {
        produced += done.result?.bytes_out as u64;
        Ok::<_, Error>(done.buffers.expect("answered"))
    };
    let mut session = qat.dma_compressor(work)?;
    if options.depth == 1 {
        let mut buffers = pair()?;
        let start = Instant::now();
        for _ in 0..options.requests {
            buffers = finish(session.run(buffers.0, buffers.1))?;
        }
        return Ok((produced, start.elapsed()));
    }
    let mut left = options.requests;
    let mut idle = Vec::new();
    for _ in 0..left.min(options.depth as u64) {
        idle.push(pair()?);
        left -= 1;
    }
    let start = Instant::now();
    let mut requests: Vec<_> =
        idle.into_iter().map(|(input, output)| session.submit(input, output)).collect();
    let (mut oldest, mut flying) = (0, requests.len());
    qat.block_on(poll_fn(|context| {
        loop {
            let request = &mut requests[oldest];
            let Poll::Ready(done) = Pin::new(&mut *request).poll(context) else { return Poll::Pending };
            let (input, output) = match finish(done) {
                Ok(buffers) => buffers,
                Err(error) => return Poll::Ready(Err(error)),
            };
            if left > 0 {
                left -= 1;
                *request = session.submit(input, output);
            } else {
                flying -= 1;
                if flying == 0 {
                    return Poll::Ready(Ok(()));
                }
            }
            oldest = if oldest + 1 == requests.len() { 0 } else { oldest + 1 };
        }
    }))?;
    Ok((produced, start.elapsed()))
}

/// Blocking calls, from one thread for each request in flight.
fn blocking(options: &Options) -> Result<(u64, Duration), Error> {
    let engine = &*options.engine;
    let (started, produced) = (AtomicU64::new(0), AtomicU64::new(0));
    let input = options.work.input(options.bytes)?;
    let ready = Barrier::new(options.depth);
    let caller = || {
        let mut output = vec![0; options.work.room(engine, options.bytes)];
        ready.wait();
        let start = Instant::now();
        let mut bytes = 0;
        while started.fetch_add(1, Relaxed) < options.requests {
            bytes += options.work.call(engine, &input, &mut output)? as u64;
        }
        produced.fetch_add(bytes, Relaxed);
        Ok::<_, Error>(start.elapsed())
    };
    let mut longest = Duration::ZERO;
    if options.depth == 1 {
        longest = caller()?;
    } else {
        thread::scope(|scope| {
            let callers: Vec<_> = (0..options.depth).map(|_| scope.spawn(caller)).collect();
            for caller in callers {
                longest = longest.max(caller.join().expect("no panic")?);
            }
            Ok::<_, Error>(())
        })?;
    }
    Ok((produced.into_inner(), longest))
}

/// A function of its own, so that callgrind can start to count here.
#[inline(never)]
fn measured(options: &Options) -> Result<(u64, Duration), Error> {
    (options.api)(options)
}

fn run(options: &mut Options) -> Result<(), Error> {
    options.engine.initialize()?;
    // Sessions and memory are made on first use.
    let warm_up = options.warm_up.max(2 * options.depth as u64);
    let requests = std::mem::replace(&mut options.requests, warm_up);
    (options.api)(options)?;
    options.requests = requests;
    let (produced, time) = measured(options)?;
    let (requests, bytes) = (options.requests, options.requests * options.bytes as u64);
    println!("requests={requests} in={bytes} out={produced} seconds={:.6}", time.as_secs_f64());
    Ok(())
}

fn main() -> ExitCode {
    // Cargo adds `--bench`.
    let arguments: Vec<String> = std::env::args().skip(1).filter(|argument| argument != "--bench").collect();
    if arguments.iter().any(|argument| argument == "--help" || argument == "-h") {
        println!("{USAGE}");
        return ExitCode::SUCCESS;
    }
    let asked = !arguments.is_empty();
    if arguments.first().is_some_and(|first| !first.starts_with('-')) {
        // Names of other benches.
        return ExitCode::SUCCESS;
    }
    let Some(mut options) = Options::parse(arguments.into_iter()) else {
        eprintln!("{USAGE}");
        return ExitCode::from(2);
    };
    match run(&mut options) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) if asked => {
            eprintln!("offload: {error}");
            let is_absent = matches!(error, Error::Unavailable { .. } | Error::Unsupported { .. });
            ExitCode::from(if is_absent { 3 } else { 1 })
        }
        // All benches of a machine without a device, say.
        Err(error) => {
            println!("offload: not measured: {error}; `cargo xtask bench --only offload` emulates a device");
            ExitCode::SUCCESS
        }
    }
}
