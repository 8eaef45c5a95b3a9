//! ISA-L's deflate and inflate (`libisal.so.2`), loaded at run time where it is installed.
//!
//! The structures are those of `igzip_lib.h` as far as a caller sets and reads them; what follows is the library's own
//! business and only its size matters. The soname fixes the layout: 82,384 and 87,368 bytes in 2.30, with room here.

use std::ffi::{c_int, c_void};
use std::mem::offset_of;

use libloading::Library;
use once_cell::sync::OnceCell;

/// Names tried, in order.
pub(crate) const NAMES: &[&str] = if cfg!(windows) { &["isa-l.dll"] } else { &["libisal.so.2"] };

const FULL_FLUSH: u16 = 2;
const COMP_OK: c_int = 0;
const DECOMP_OK: c_int = 0;
const END_INPUT: c_int = 1;
const OUT_OVERFLOW: c_int = 2;
const BLOCK_FINISH: c_int = 5;
/// `ISAL_DEF_LVLx_DEFAULT` is 276, 324 and 340 KiB for levels 1 to 3.
const LEVEL_BUFFER: usize = 352 * 1024;
/// Spare bytes behind each structure, should a later minor release grow it.
const SPARE: usize = 16 * 1024;

#[repr(C, align(64))]
struct ZStream {
    next_in: *const u8,
    avail_in: u32,
    total_in: u32,
    next_out: *mut u8,
    avail_out: u32,
    total_out: u32,
    hufftables: *mut c_void,
    level: u32,
    level_buf_size: u32,
    level_buf: *mut u8,
    end_of_stream: u16,
    flush: u16,
    gzip_flag: u16,
    hist_bits: u16,
    internal: [u8; 82_320 + SPARE],
}

#[repr(C, align(64))]
struct InflateState {
    next_out: *mut u8,
    avail_out: u32,
    total_out: u32,
    next_in: *const u8,
    read_in: u64,
    avail_in: u32,
    read_in_length: i32,
    huffman_codes: [u8; 18_912 + 2_208],
    block_state: c_int,
    dict_length: u32,
    bfinal: u32,
    crc_flag: u32,
    crc: u32,
    hist_bits: u32,
    internal: [u8; 66_184 + SPARE],
}

// The offsets that `igzip_lib.h` gives on every 64-bit target.
const _: () = {
    assert!(offset_of!(ZStream, internal) == 64);
    assert!(offset_of!(InflateState, block_state) == 21_160);
    assert!(offset_of!(InflateState, internal) == 21_184);
};

/// The functions in use.
pub(crate) struct Isal {
    deflate_stateless_init: unsafe extern "C" fn(*mut ZStream),
    deflate_stateless: unsafe extern "C" fn(*mut ZStream) -> c_int,
    inflate_init: unsafe extern "C" fn(*mut InflateState),
    inflate: unsafe extern "C" fn(*mut InflateState) -> c_int,
    _library: Library,
}

impl Isal {
    /// The library, loaded once per process; the reason when it is not there.
    pub(crate) fn load() -> Result<&'static Self, &'static str> {
        static ISAL: OnceCell<Result<Isal, String>> = OnceCell::new();
        ISAL.get_or_init(|| {
            if !cfg!(all(target_pointer_width = "64", target_endian = "little")) {
                return Err("ISA-L is used on 64-bit little-endian targets only".to_owned());
            }
            let mut tried = Vec::new();
            for name in NAMES {
                // SAFETY: loading runs the library's initialisers; libisal has none beyond its CPU dispatch tables.
                match unsafe { Library::new(*name) } {
                    Ok(library) => return Self::resolve(library).map_err(|error| format!("{name}: {error}")),
                    Err(error) => tried.push(error.to_string()),
                }
            }
            Err(tried.join("; "))
        })
        .as_ref()
        .map_err(String::as_str)
    }

    fn resolve(library: Library) -> Result<Self, libloading::Error> {
        /// Copies one function pointer out of the library, which the caller keeps loaded beside it.
        macro_rules! symbol {
            ($name:literal) => {
                // SAFETY: the signatures above are those of `igzip_lib.h`.
                *unsafe { library.get(concat!($name, "\0").as_bytes()) }?
            };
        }
        Ok(Self {
            deflate_stateless_init: symbol!("isal_deflate_stateless_init"),
            deflate_stateless: symbol!("isal_deflate_stateless"),
            inflate_init: symbol!("isal_inflate_init"),
            inflate: symbol!("isal_inflate"),
            _library: library,
        })
    }
}

/// A reusable compressor of whole blocks.
pub(crate) struct Deflater {
    isal: &'static Isal,
    stream: Box<ZStream>,
    level_buffer: Box<[u8]>,
}

// SAFETY: `igzip_lib.h` ties neither structure to a thread; the raw pointers in them are set for each call and mean
// nothing between calls.
unsafe impl Send for Deflater {}

impl Deflater {
    pub(crate) fn new(isal: &'static Isal) -> Self {
        // SAFETY: a C structure of integers, pointers and bytes, for which all zeroes is a value.
        let stream = Box::new(unsafe { std::mem::zeroed::<ZStream>() });
        Self { isal, stream, level_buffer: vec![0; LEVEL_BUFFER].into_boxed_slice() }
    }

    /// Compresses `input` to raw deflate at ISA-L's `level` (0 to 3). With `last` unset the output ends on a byte
    /// boundary and more may follow. `None` when `output` is too small or a length is beyond 32 bits.
    pub(crate) fn deflate(
        &mut self,
        input: &[u8],
        output: &mut [u8],
        level: u32,
        last: bool,
    ) -> Option<usize> {
        let (avail_in, avail_out) = (u32::try_from(input.len()).ok()?, clamp(output.len()));
        let stream = &mut *self.stream;
        // SAFETY: `stream` is a whole `isal_zstream`; init only writes its fields.
        unsafe { (self.isal.deflate_stateless_init)(stream) };
        stream.level = level;
        stream.level_buf = self.level_buffer.as_mut_ptr();
        stream.level_buf_size = LEVEL_BUFFER as u32;
        stream.end_of_stream = u16::from(last);
        stream.flush = if last { 0 } else { FULL_FLUSH };
        stream.next_in = input.as_ptr();
        stream.avail_in = avail_in;
        stream.next_out = output.as_mut_ptr();
        stream.avail_out = avail_out;
        // SAFETY: `igzip_lib.h`: reads `avail_in` bytes at `next_in`, writes at most `avail_out` at `next_out`, uses
        // `level_buf` of `level_buf_size` bytes; all three are valid for these lengths and distinct.
        let status = unsafe { (self.isal.deflate_stateless)(stream) };
        (status == COMP_OK && stream.avail_in == 0).then_some(stream.total_out as usize)
    }
}

/// What one step of a streaming inflate came to.
pub(crate) struct InflateStep {
    pub(crate) consumed: usize,
    pub(crate) produced: usize,
    pub(crate) finished: bool,
    /// The data is not deflate behind what was produced.
    pub(crate) failed: bool,
}

/// A streaming decompressor of raw deflate.
pub(crate) struct StreamInflater {
    isal: &'static Isal,
    state: Box<InflateState>,
    /// Bytes at the front of the next input that the library has taken already: should the stream end, those it read
    /// ahead into its bit buffer belong to what follows, also when an earlier step took them.
    held: usize,
}

/// Bytes that the library's bit buffer holds at most.
const READ_AHEAD: usize = size_of::<u64>();

// SAFETY: as for `Deflater`.
unsafe impl Send for StreamInflater {}

impl StreamInflater {
    pub(crate) fn new(isal: &'static Isal) -> Self {
        // SAFETY: as in `Deflater::new`.
        let state = Box::new(unsafe { std::mem::zeroed::<InflateState>() });
        let mut this = Self { isal, state, held: 0 };
        this.reset();
        this
    }

    /// Forgets the stream so far.
    pub(crate) fn reset(&mut self) {
        // SAFETY: `state` is a whole `inflate_state`; init only writes its fields.
        unsafe { (self.isal.inflate_init)(&mut *self.state) };
        self.held = 0;
    }

    /// Inflates from the front of `input`, which begins with what the last step did not consume, to the front of
    /// `output`.
    pub(crate) fn step(&mut self, input: &[u8], output: &mut [u8]) -> InflateStep {
        let input = input.get(self.held..).unwrap_or_default();
        let (avail_in, avail_out) = (clamp(input.len()), clamp(output.len()));
        let state = &mut *self.state;
        state.next_in = input.as_ptr();
        state.avail_in = avail_in;
        state.next_out = output.as_mut_ptr();
        state.avail_out = avail_out;
        // SAFETY: `igzip_lib.h`: reads at most `avail_in` bytes at `next_in`, writes at most `avail_out` at
        // `next_out`; the slices are valid for these lengths. History lives inside the state.
        let status = unsafe { (self.isal.inflate)(state) };
        let failed = !matches!(status, DECOMP_OK | END_INPUT | OUT_OVERFLOW);
        let finished = !failed && state.block_state == BLOCK_FINISH;
        let taken = self.held + (avail_in - state.avail_in) as usize;
        let ahead =
            if finished { usize::try_from(state.read_in_length / 8).unwrap_or(0) } else { READ_AHEAD };
        self.held = ahead.min(taken);
        InflateStep {
            consumed: taken - self.held,
            produced: (avail_out - state.avail_out) as usize,
            finished,
            failed,
        }
    }
}

fn clamp(len: usize) -> u32 {
    u32::try_from(len).unwrap_or(u32::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn blocks_and_streams_round_trip_where_isal_is_installed() {
        let isal = match Isal::load() {
            Ok(isal) => isal,
            // CI installs it and demands it; elsewhere it is optional by design.
            Err(reason) => {
                assert!(std::env::var_os("QAT_TEST_REQUIRE_ISAL").is_none(), "{reason}");
                return;
            }
        };
        let input: Vec<u8> = (0..300_000_u32).flat_map(|i| (i / 7).to_le_bytes()).collect();
        let mut deflater = Deflater::new(isal);
        let mut packed = vec![0; input.len() + 1024];
        let (head, tail) = input.split_at(100_000);
        let first = deflater.deflate(head, &mut packed, 1, false).unwrap();
        let second = deflater.deflate(tail, &mut packed[first..], 1, true).unwrap();
        packed.truncate(first + second);
        packed.extend_from_slice(b"behind the stream");
        let mut inflater = StreamInflater::new(isal);
        let (mut output, mut at, mut chunk) = (Vec::new(), 0, vec![0; 10_000]);
        loop {
            let end = packed.len().min(at + 777);
            let step = inflater.step(&packed[at..end], &mut chunk);
            assert!(!step.failed);
            at += step.consumed;
            output.extend_from_slice(&chunk[..step.produced]);
            if step.finished {
                break;
            }
            assert!(at < packed.len());
        }
        assert_eq!(&packed[at..], b"behind the stream");
        assert!(output == input);
    }
}
