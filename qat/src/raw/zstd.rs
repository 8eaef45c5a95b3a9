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

const PARAMETERS: [(Parameter, c_int); 9] = [
    (Parameter::ZSTD_c_compressionLevel, 1),
    (Parameter::ZSTD_c_checksumFlag, 1),
    // LZ4s reaches back 64 KiB; a window below the largest block would make blocks smaller.
    (Parameter::ZSTD_c_windowLog, BLOCK_MAX.ilog2() as c_int),
    // Tables of a match finder that never runs, as small as they get: they are cleared for every frame.
    (Parameter::ZSTD_c_hashLog, 6),
    (Parameter::ZSTD_c_chainLog, 6),
    (Parameter::ZSTD_c_minMatch, 3),
    // ZSTD_c_validateSequences
    (Parameter::ZSTD_c_experimentalParam12, 1),
    // ZSTD_c_repcodeResolution: a tenth of the time for up to 7 % of ratio.
    (Parameter::ZSTD_c_experimentalParam19, ENABLE),
    // ZSTD_c_blockSplitterLevel: 1 is off, blocks end where the device's do.
    (Parameter::ZSTD_c_experimentalParam20, 1),
];

/// The input stays where it is for a whole frame, and is not copied.
const STABLE_INPUT: Parameter = Parameter::ZSTD_c_experimentalParam9;

/// The block before those of an open frame: zeroes, and matches farther back than any of LZ4s.
static PREFACE: [u8; BLOCK_MAX] = [0; BLOCK_MAX];
/// Farthest match of LZ4s.
const FARTHEST: u32 = 64 << 10;

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
    is_open: bool,
}

impl<'a> Frame<'a> {
    /// A frame for all of `plain`. The error is libzstd's code, as of the other calls.
    ///
    /// # Panics
    /// When memory is exhausted, as `Box::new` would.
    pub(crate) fn begin(plain: &'a [u8]) -> Result<Self, usize> {
        Self::begin_as(plain, false)
    }

    /// Blocks for a part, `plain`, of a frame that others begin and end: none is the last, none refers to what is before
    /// this part.
    ///
    /// A frame's decoder begins with three recent offsets that the format fixes, and libzstd refers to them in place of
    /// an offset that is the same. In the middle of a frame they would be whatever stood before. So libzstd begins with a
    /// block that is thrown away, of three matches that leave offsets behind which no match of LZ4s can have. Of its
    /// codes nothing remains for the blocks behind it: its literals are one byte repeated, and so few sequences are
    /// written with the codes that the format fixes.
    ///
    /// # Panics
    /// As [`begin`](Self::begin).
    pub(crate) fn begin_open(plain: &'a [u8]) -> Result<Self, usize> {
        let mut frame = Self::begin_as(&PREFACE, true)?;
        let sequences = frame.sequences();
        let (first, shortest) = (FARTHEST + 8, 3);
        let mut rest = BLOCK_MAX as u32 - first;
        sequences.push(Sequence { offset: FARTHEST + 1, litLength: first, matchLength: shortest, rep: 0 });
        for offset in [FARTHEST + 2, FARTHEST + 3] {
            sequences.push(Sequence { offset, litLength: 1, matchLength: shortest, rep: 0 });
            rest -= 1;
        }
        rest -= 3 * shortest;
        sequences.push(Sequence { offset: 0, litLength: rest, matchLength: 0, rep: 0 });
        let mut thrown_away = [0; 1024];
        // So much is always enough for this block; were it not, libzstd would hold back what is left.
        frame.block(BLOCK_MAX, &mut thrown_away)?.ok_or(PRODUCER_ERROR)?;
        (frame.plain, frame.at) = (plain, 0);
        Ok(frame)
    }

    /// Whether this is a part of a frame.
    pub(crate) fn is_open(&self) -> bool {
        self.is_open
    }

    fn begin_as(plain: &'a [u8], is_open: bool) -> Result<Self, usize> {
        let encoder = SPARE.take().map_or_else(Encoder::new, Ok)?;
        let context = encoder.context.as_ptr();
        // SAFETY: a live context; this forgets a frame that was left open, with the input it knew.
        check(unsafe { sys::ZSTD_CCtx_reset(context, sys::ZSTD_ResetDirective::ZSTD_reset_session_only) })?;
        let (len, stable) =
            if is_open { (sys::ZSTD_CONTENTSIZE_UNKNOWN as u64, 0) } else { (plain.len() as u64, 1) };
        // SAFETY: `zstd.h` takes any parameter and value for a live context, and answers with an error code.
        check(unsafe { sys::ZSTD_CCtx_setParameter(context, STABLE_INPUT, stable) })?;
        // SAFETY: as above.
        check(unsafe { sys::ZSTD_CCtx_setPledgedSrcSize(context, len) })?;
        Ok(Self { encoder: ManuallyDrop::new(encoder), plain, at: 0, is_open })
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
        let how = if end == self.plain.len() && !self.is_open { ZSTD_e_end } else { ZSTD_e_flush };
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
