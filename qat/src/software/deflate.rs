//! Raw deflate on the CPU. It is compressed by libdeflate, or by ISA-L at level 1 where it is installed.
//!
//! Everything is inflated by zlib-rs. libdeflate and ISA-L are faster, but each of them accepts streams that the other
//! one, zlib and gzip refuse (reserved symbols, codewords without a meaning, incomplete codes), and neither says that it
//! has seen any. One decoder makes one rule, whichever way the data come. The rule is that of zlib and gzip, which
//! `cpa_dc.h` lists as the errors of the device, too: no more than 286 literal and length codes and 30 distance codes,
//! complete codes except for a single distance code or none, and no codeword without a meaning.

use std::cell::RefCell;
use std::sync::{Mutex, MutexGuard};

use accel_core::{CompressOptions, End, Error, Format, Level, Output, Result};
use libdeflater::{CompressionLvl, Compressor};
use zlib_rs::{Inflate, InflateFlush, Status};

use crate::formats::deflate;
use crate::raw::isal;

/// Highest level. Levels 1 to 9 mean what zlib's mean; from 3 on it is libdeflate's own scale.
const MAX_LEVEL: u8 = 12;
/// ISA-L's level for one of ours: it packs no worse than zlib's level of our number, at many times its speed. ISA-L's own 1
/// is hardly faster than its 2, and libdeflate's 1 packs better than its 3 in no more time.
const fn isal_level(level: u8) -> Option<u32> {
    match level {
        1 => Some(2),
        _ => None,
    }
}

/// libdeflate's level for one of ours. Its 1 packs better than zlib's 2 already.
const fn libdeflate_level(level: u8) -> u8 {
    match level {
        2 => 1,
        other => other,
    }
}

#[derive(Default)]
struct Contexts {
    isal: Option<isal::Deflater<'static>>,
    inflater: Option<StreamInflater>,
}

/// Compressors that nobody uses, by the core that used them last and their level. They take half a core's cache: where
/// many threads share a core, one of each thread's own would be cold whenever its turn comes.
static IDLE: [[Mutex<Kept>; MAX_LEVEL as usize + 1]; CORES] =
    [const { [const { Mutex::new([const { None }; KEPT]) }; MAX_LEVEL as usize + 1] }; CORES];
/// Not a `Vec`, which would allocate when a thread comes to a core for the first time.
type Kept = [Option<Compressor>; KEPT];
/// Cores that are told apart.
const CORES: usize = 64;
/// Most compressors kept for a core and a level: more are needed only while threads are interrupted at work.
const KEPT: usize = 4;

/// Those of the first of the cores, from this one on, that `wanted` answers for. What another thread holds is passed over,
/// as is what another thread held when this process was forked.
fn from_idle<T>(level: u8, wanted: impl FnMut(MutexGuard<'static, Kept>) -> Option<T>) -> Option<T> {
    let here = core();
    let of_core = |core: usize| IDLE[core % CORES][usize::from(level)].try_lock().ok();
    (here..here + CORES).filter_map(of_core).find_map(wanted)
}

/// The core that this thread is on, where the system tells.
fn core() -> usize {
    #[cfg(target_os = "linux")]
    return rustix::thread::sched_getcpu();
    #[cfg(not(target_os = "linux"))]
    0
}

thread_local! {
    /// Made on a thread's first use of each, then reused, so that a call allocates nothing.
    static CONTEXTS: RefCell<Contexts> = RefCell::default();
}

/// The integer level behind a named one.
pub(crate) fn level(format: Format, level: Level) -> Result<u8> {
    match level {
        Level::Fast => Ok(1),
        Level::Balanced => Ok(6),
        Level::Best => Ok(9),
        Level::Exact(level @ 0..=MAX_LEVEL) => Ok(level),
        Level::Exact(level) => Err(Error::InvalidArgument {
            argument: "level",
            remedy: format!("{format} has levels 0 to {MAX_LEVEL}, not {level}").into(),
        }),
    }
}

/// Most bytes that `len` bytes deflate to, with any engine and end.
pub(crate) const fn bound(len: usize) -> usize {
    CompressOptions::new(Format::Deflate).bound(len)
}

/// Deflates `input` to the front of `output`; the bytes written.
pub(crate) fn deflate(input: &[u8], output: &mut [u8], level: u8, end: End) -> Result<usize> {
    CONTEXTS.with_borrow_mut(|contexts| {
        if let Some(isal_level) = isal_level(level)
            && let Ok(library) = isal::Isal::load()
        {
            let deflater = contexts.isal.get_or_insert_with(|| isal::Deflater::new(library));
            // Refused for want of room or beyond 32 bits: the other engines may still manage.
            if let Some(written) = deflater.deflate(input, output, isal_level, end == End::Final) {
                return Ok(written);
            }
        }
        let level = libdeflate_level(level);
        match end {
            End::Final => finish(input, output, level),
            End::Open => leave_open(input, output, level),
        }
    })
}

fn finish(input: &[u8], output: &mut [u8], level: u8) -> Result<usize> {
    let mut compressor =
        from_idle(level, |mut idle| idle.iter_mut().find_map(Option::take)).unwrap_or_else(|| {
            Compressor::new(CompressionLvl::new(i32::from(level)).expect("level was checked"))
        });
    let available = output.len();
    let deflated = compressor.deflate_compress(input, output);
    let mut compressor = Some(compressor);
    from_idle(level, |mut idle| {
        let free = idle.iter_mut().find(|place| place.is_none())?;
        *free = compressor.take();
        Some(())
    });
    deflated.map_err(|_| Error::OutputTooSmall { required: Some(bound(input.len())), available })
}

/// Deflates as [`finish`] does, to a stream that ends on a byte border with more to come.
fn leave_open(input: &[u8], output: &mut [u8], level: u8) -> Result<usize> {
    let len = finish(input, output, level)?;
    deflate::reopen(output, len).map_err(|error| match error {
        deflate::ReopenError::NoRoom => {
            Error::OutputTooSmall { required: Some(bound(input.len())), available: output.len() }
        }
        deflate::ReopenError::Invalid => {
            Error::Internal { engine: "libdeflate", detail: "its output is no deflate stream".into() }
        }
    })
}

/// Inflates one whole stream from the front of `input` to `output`; the bytes consumed.
pub(crate) fn inflate(input: &[u8], output: &mut Output<'_>, format: Format) -> Result<usize> {
    CONTEXTS.with_borrow_mut(|contexts| {
        let inflater = contexts.inflater.get_or_insert_with(StreamInflater::new);
        inflater.reset();
        let mut at = 0;
        loop {
            // All of the input is here, so that zlib-rs need not keep a window behind the end.
            let step = inflater.run(&input[at..], output.room(), InflateFlush::Finish, format);
            at += step.consumed;
            output.advance(step.produced);
            if let Some(error) = step.error {
                return Err(error);
            }
            if step.finished {
                return Ok(at);
            }
            if step.consumed > 0 || step.produced > 0 {
                continue;
            }
            if output.room().is_empty() {
                output.grow().map_err(|no_room| {
                    // What is cut off needs no room. A byte for the output to go to shows which it is.
                    let step = inflater.run(&input[at..], &mut [0], InflateFlush::Finish, format);
                    match step.error {
                        Some(error) => error,
                        None if step.consumed == 0 && step.produced == 0 => Error::Truncated { format },
                        None => no_room,
                    }
                })?;
            } else {
                return Err(Error::Truncated { format });
            }
        }
    })
}

/// One step of a [`StreamInflater`].
pub(crate) struct InflateStep {
    pub(crate) consumed: usize,
    pub(crate) produced: usize,
    /// The stream has ended.
    pub(crate) finished: bool,
    /// What is wrong with the data behind what was produced; the stream does not go on.
    pub(crate) error: Option<Error>,
}

/// Inflates a stream piece by piece, in constant memory.
pub(crate) struct StreamInflater(Box<Inflate>);

impl StreamInflater {
    pub(crate) fn new() -> Self {
        Self(Box::new(Inflate::new(false, 15)))
    }

    /// Forgets the stream so far.
    pub(crate) fn reset(&mut self) {
        self.0.reset(false);
    }

    /// Inflates from the front of `input` to the front of `output`, as far as either reaches.
    pub(crate) fn step(&mut self, input: &[u8], output: &mut [u8], format: Format) -> InflateStep {
        self.run(input, output, InflateFlush::NoFlush, format)
    }

    fn run(&mut self, input: &[u8], output: &mut [u8], flush: InflateFlush, format: Format) -> InflateStep {
        let inflater = &mut self.0;
        let (before_in, before_out) = (inflater.total_in(), inflater.total_out());
        let status = inflater.decompress(input, output, flush);
        let error = status.err().map(|error| {
            let detail = inflater.error_message().unwrap_or(error.as_str());
            Error::Corrupt { format, detail: format!("the deflate data is invalid ({detail})").into() }
        });
        InflateStep {
            consumed: (inflater.total_in() - before_in) as usize,
            produced: (inflater.total_out() - before_out) as usize,
            finished: status == Ok(Status::StreamEnd),
            error,
        }
    }
}
