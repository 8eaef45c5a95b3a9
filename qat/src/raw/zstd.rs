//! libzstd's entropy coder for sequences that another match finder made, which the crate `zstd-safe` leaves out.
//!
//! The block-level sequence producer of `zstd.h`, not `ZSTD_compressSequences`: the latter makes a whole frame of
//! sequences that must all be there, where this takes block after block as a device returns them.

use std::cell::Cell;
use std::ffi::{c_int, c_void};
use std::mem::ManuallyDrop;
use std::ptr::NonNull;

use zstd_sys as sys;
use zstd_sys::ZSTD_EndDirective::{ZSTD_e_end, ZSTD_e_flush};
use zstd_sys::ZSTD_cParameter as Parameter;

/// Literals and then a match; offset and match length are 0 in the last one of a block.
pub(crate) use sys::ZSTD_Sequence as Sequence;

/// Most plain bytes of a block (`ZSTD_BLOCKSIZE_MAX`).
pub(crate) const BLOCK_MAX: usize = 128 << 10;

/// `ZSTD_SEQUENCE_PRODUCER_ERROR`
const PRODUCER_ERROR: usize = usize::MAX;
/// `ZSTD_ps_enable`
const ENABLE: c_int = 1;

const PARAMETERS: [(Parameter, c_int); 10] = [
    (Parameter::ZSTD_c_compressionLevel, 1),
    (Parameter::ZSTD_c_checksumFlag, 1),
    // LZ4s reaches back 64 KiB; a window below the largest block would make blocks smaller.
    (Parameter::ZSTD_c_windowLog, BLOCK_MAX.ilog2() as c_int),
    // Tables of a match finder that never runs, as small as they get: they are cleared for every frame.
    (Parameter::ZSTD_c_hashLog, 6),
    (Parameter::ZSTD_c_chainLog, 6),
    (Parameter::ZSTD_c_minMatch, 3),
    // ZSTD_c_stableInBuffer
    (Parameter::ZSTD_c_experimentalParam9, 1),
    // ZSTD_c_validateSequences
    (Parameter::ZSTD_c_experimentalParam12, 1),
    // ZSTD_c_repcodeResolution: a tenth of the time for up to 7 % of ratio.
    (Parameter::ZSTD_c_experimentalParam19, ENABLE),
    // ZSTD_c_blockSplitterLevel: 1 is off, blocks end where the device's do.
    (Parameter::ZSTD_c_experimentalParam20, 1),
];

thread_local! {
    static SPARE: Cell<Option<Encoder>> = const { Cell::new(None) };
}

/// What the producer hands to libzstd for the block at hand.
#[derive(Default)]
struct Parse {
    sequences: Vec<Sequence>,
    len: usize,
}

/// A context with its producer's state.
struct Encoder {
    context: NonNull<sys::ZSTD_CCtx>,
    /// From a box; libzstd knows its address.
    parse: NonNull<Parse>,
}

// SAFETY: zstd.h ties a context to no thread, only to one at a time; `parse` is owned.
unsafe impl Send for Encoder {}

impl Encoder {
    fn new() -> Result<Self, usize> {
        // SAFETY: no argument; the result is null or owned by us until freed in `drop` (zstd.h).
        let context = unsafe { sys::ZSTD_createCCtx() };
        let context = NonNull::new(context).expect("out of memory for a Zstandard context");
        let this = Self { context, parse: NonNull::from(Box::leak(Box::<Parse>::default())) };
        for (parameter, value) in PARAMETERS {
            // SAFETY: a live context; bad values are answered with an error (zstd.h).
            check(unsafe { sys::ZSTD_CCtx_setParameter(context.as_ptr(), parameter, value) })?;
        }
        // SAFETY: zstd.h: state and function stay registered until the parameters are reset; `parse` lives as long as
        // the context, and `produce` is what that state is for.
        unsafe {
            sys::ZSTD_registerSequenceProducer(
                context.as_ptr(),
                this.parse.as_ptr().cast::<c_void>(),
                Some(produce),
            );
        }
        Ok(this)
    }

    fn parse(&mut self) -> &mut Parse {
        // SAFETY: allocated in `new`, freed in `drop`; libzstd reads it within calls that borrow `self` mutably only.
        unsafe { self.parse.as_mut() }
    }
}

impl Drop for Encoder {
    fn drop(&mut self) {
        // SAFETY: created by `ZSTD_createCCtx` and freed once.
        unsafe { sys::ZSTD_freeCCtx(self.context.as_ptr()) };
        // SAFETY: leaked from a box in `new`, and the only one that knew it is gone.
        drop(unsafe { Box::from_raw(self.parse.as_ptr()) });
    }
}

/// The sequence producer of `zstd.h`: hands over what was parsed before.
unsafe extern "C" fn produce(
    state: *mut c_void,
    sequences: *mut Sequence,
    capacity: usize,
    _plain: *const c_void,
    plain_len: usize,
    _dictionary: *const c_void,
    _dictionary_len: usize,
    _level: c_int,
    _window: usize,
) -> usize {
    // SAFETY: registered with an encoder's `Parse`, which nobody else borrows while libzstd runs.
    let parse = unsafe { &*state.cast::<Parse>() };
    let count = parse.sequences.len();
    if parse.len != plain_len || count > capacity {
        return PRODUCER_ERROR;
    }
    // SAFETY: zstd.h: room for `capacity` sequences, memory of the context's own.
    unsafe { parse.sequences.as_ptr().copy_to_nonoverlapping(sequences, count) };
    count
}

fn check(code: usize) -> Result<usize, usize> {
    // SAFETY: any value may be asked about.
    let is_error = unsafe { sys::ZSTD_isError(code) };
    if is_error == 0 { Ok(code) } else { Err(code) }
}

/// An open frame, with content size and checksum. Its context goes back to the thread that drops it.
pub(crate) struct Frame<'a> {
    encoder: ManuallyDrop<Encoder>,
    plain: &'a [u8],
    at: usize,
}

impl<'a> Frame<'a> {
    /// A frame for all of `plain`. The error is libzstd's code, as of the other calls.
    ///
    /// # Panics
    /// When memory is exhausted, as `Box::new` would.
    pub(crate) fn begin(plain: &'a [u8]) -> Result<Self, usize> {
        let encoder = SPARE.take().map_or_else(Encoder::new, Ok)?;
        let context = encoder.context.as_ptr();
        // SAFETY: a live context; this forgets a frame that was left open, with the input it knew.
        check(unsafe { sys::ZSTD_CCtx_reset(context, sys::ZSTD_ResetDirective::ZSTD_reset_session_only) })?;
        // SAFETY: as above.
        check(unsafe { sys::ZSTD_CCtx_setPledgedSrcSize(context, plain.len() as u64) })?;
        Ok(Self { encoder: ManuallyDrop::new(encoder), plain, at: 0 })
    }

    /// Where the next block's sequences go, empty: literals and matches in turn, then literals (also none) with offset
    /// and match length 0.
    pub(crate) fn sequences(&mut self) -> &mut Vec<Sequence> {
        let sequences = &mut self.encoder.parse().sequences;
        sequences.clear();
        sequences
    }

    /// Encodes the next `len` bytes, at most [`BLOCK_MAX`], as one block of the sequences given, to the front of
    /// `output`; the bytes written, `None` when there is too little room. The last block ends the frame; an empty
    /// frame is one block of no bytes. After a failure the frame is of no use.
    pub(crate) fn block(&mut self, len: usize, output: &mut [u8]) -> Result<Option<usize>, usize> {
        self.encoder.parse().len = len;
        let end = self.plain.len().min(self.at.saturating_add(len));
        let mut input =
            sys::ZSTD_inBuffer { src: self.plain.as_ptr().cast::<c_void>(), size: end, pos: self.at };
        let mut output =
            sys::ZSTD_outBuffer { dst: output.as_mut_ptr().cast::<c_void>(), size: output.len(), pos: 0 };
        let how = if end == self.plain.len() { ZSTD_e_end } else { ZSTD_e_flush };
        // SAFETY: zstd.h: reads `src` up to `size`, writes `dst` up to its `size`, both of slices of that length; with
        // a stable input `src` is the same and unchanged in every call of a frame, which `'a` holds borrowed. Sequences
        // are validated, so wrong ones are an error or a wrong frame, not undefined behaviour.
        let left = unsafe {
            sys::ZSTD_compressStream2(self.encoder.context.as_ptr(), &raw mut output, &raw mut input, how)
        };
        let left = check(left)?;
        self.at = input.pos;
        Ok((left == 0 && input.pos == end).then_some(output.pos))
    }
}

impl Drop for Frame<'_> {
    fn drop(&mut self) {
        // SAFETY: taken once, and not used again.
        let encoder = unsafe { ManuallyDrop::take(&mut self.encoder) };
        // A thread that is ending keeps nothing.
        let _ = SPARE.try_with(|spare| spare.set(Some(encoder)));
    }
}
