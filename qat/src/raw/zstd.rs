//! libzstd's entropy coder for sequences that another match finder found. The crate `zstd-safe` does not expose it, and
//! `device::compression::lz4s` calls it; no match finder of libzstd runs here.
//!
//! It uses the block-level sequence producer of `zstd.h` rather than `ZSTD_compressSequences`, which needs all
//! sequences of a frame at once. The producer takes one block after the other, as the device returns them.

use std::cell::Cell;
use std::ffi::{c_int, c_void};
use std::mem::ManuallyDrop;
use std::ptr::NonNull;

use zstd_sys as sys;
use zstd_sys::ZSTD_EndDirective::{ZSTD_e_end, ZSTD_e_flush};
use zstd_sys::ZSTD_cParameter as Parameter;

/// A run of literals followed by a match. Offset and match length are 0 in the last sequence of a block.
pub(crate) use sys::ZSTD_Sequence as Sequence;

/// The maximum plain bytes of a block (`ZSTD_BLOCKSIZE_MAX`).
pub(crate) const BLOCK_MAX: usize = 128 << 10;

/// `ZSTD_SEQUENCE_PRODUCER_ERROR`
const PRODUCER_ERROR: usize = usize::MAX;
/// `ZSTD_ps_enable`
const ENABLE: c_int = 1;

const PARAMETERS: [(Parameter, c_int); 9] = [
    (Parameter::ZSTD_c_compressionLevel, 1),
    (Parameter::ZSTD_c_checksumFlag, 1),
    // Matches of LZ4s are at most 64 KiB back; a window smaller than the largest block would shrink the blocks.
    (Parameter::ZSTD_c_windowLog, BLOCK_MAX.ilog2() as c_int),
    // The match finder never runs, but its tables are cleared for every frame, so they are as small as possible.
    (Parameter::ZSTD_c_hashLog, 6),
    (Parameter::ZSTD_c_chainLog, 6),
    (Parameter::ZSTD_c_minMatch, 3),
    // ZSTD_c_validateSequences
    (Parameter::ZSTD_c_experimentalParam12, 1),
    // ZSTD_c_repcodeResolution: it takes a tenth more time and improves the ratio by up to 7 %.
    (Parameter::ZSTD_c_experimentalParam19, ENABLE),
    // ZSTD_c_blockSplitterLevel: 1 disables splitting, so that blocks end where the device's blocks do.
    (Parameter::ZSTD_c_experimentalParam20, 1),
];

/// With this parameter the input stays where it is for a whole frame, so libzstd does not copy it.
const STABLE_INPUT: Parameter = Parameter::ZSTD_c_experimentalParam9;

/// The plain bytes of the block that precedes an open frame and is discarded; see [`Frame::begin_open`].
static PREFACE: [u8; BLOCK_MAX] = [0; BLOCK_MAX];
/// The maximum match distance of LZ4s.
const FARTHEST: u32 = 64 << 10;

thread_local! {
    static SPARE: Cell<Option<Encoder>> = const { Cell::new(None) };
}

/// The sequences that the producer passes to libzstd for the current block, and the block's plain length.
#[derive(Default)]
struct Parse {
    sequences: Vec<Sequence>,
    len: usize,
}

/// A libzstd context with the state of its sequence producer.
struct Encoder {
    context: NonNull<sys::ZSTD_CCtx>,
    /// Leaked from a box, because libzstd keeps its address.
    parse: NonNull<Parse>,
}

// SAFETY: zstd.h: a context may move between threads as long as one uses it at a time; `parse` is owned.
unsafe impl Send for Encoder {}

impl Encoder {
    fn new() -> Result<Self, usize> {
        // SAFETY: zstd.h: the call takes no argument; the result is null, or owned by us until `drop` frees it.
        let context = unsafe { sys::ZSTD_createCCtx() };
        let context = NonNull::new(context).expect("out of memory for a Zstandard context");
        let this = Self { context, parse: NonNull::from(Box::leak(Box::<Parse>::default())) };
        for (parameter, value) in PARAMETERS {
            // SAFETY: zstd.h: the context is live, and the call returns an error code for an invalid value.
            check(unsafe { sys::ZSTD_CCtx_setParameter(context.as_ptr(), parameter, value) })?;
        }
        // SAFETY: zstd.h: state and function stay registered until the parameters are reset; `parse` lives as long as
        // the context, and `produce` expects this state.
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
        // SAFETY: `new` allocated it, `drop` frees it, and libzstd reads it only during calls that borrow `self`
        // mutably.
        unsafe { self.parse.as_mut() }
    }
}

impl Drop for Encoder {
    fn drop(&mut self) {
        // SAFETY: zstd.h: `ZSTD_createCCtx` created the context in `new`, and it is freed once.
        unsafe { sys::ZSTD_freeCCtx(self.context.as_ptr()) };
        // SAFETY: `Box::from_raw`: `new` leaked it from a box, and the context that kept its address was freed above.
        drop(unsafe { Box::from_raw(self.parse.as_ptr()) });
    }
}

/// The sequence producer of `zstd.h`, which copies the sequences that were parsed before.
///
/// # Safety
/// Only libzstd calls it, with the state of [`Encoder::new`] and space for `capacity` sequences.
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
    // SAFETY: this function's contract: `state` is an encoder's `Parse`, which nobody else borrows while libzstd runs.
    let parse = unsafe { &*state.cast::<Parse>() };
    let count = parse.sequences.len();
    if parse.len != plain_len || count > capacity {
        return PRODUCER_ERROR;
    }
    // SAFETY: zstd.h: `sequences` has space for `capacity` sequences in memory of the context, which `parse` does not
    // overlap.
    unsafe { parse.sequences.as_ptr().copy_to_nonoverlapping(sequences, count) };
    count
}

/// Returns `code` as an error if libzstd defines it as one.
fn check(code: usize) -> Result<usize, usize> {
    // SAFETY: zstd.h: the call accepts any value.
    let is_error = unsafe { sys::ZSTD_isError(code) };
    if is_error == 0 { Ok(code) } else { Err(code) }
}

/// A frame that is being written, with content size and checksum. The thread that drops it keeps its context for the
/// next frame.
pub(crate) struct Frame<'a> {
    encoder: ManuallyDrop<Encoder>,
    plain: &'a [u8],
    at: usize,
    is_open: bool,
}

impl<'a> Frame<'a> {
    /// Begins a frame for all of `plain`.
    ///
    /// # Errors
    /// The error code of libzstd.
    ///
    /// # Panics
    /// Panics when memory is exhausted.
    pub(crate) fn begin(plain: &'a [u8]) -> Result<Self, usize> {
        Self::begin_as(plain, false)
    }

    /// Begins blocks for `plain`, a part of a frame whose header and end the caller writes. None of the blocks is the
    /// last one, and none refers to data before this part.
    ///
    /// A frame's decoder begins with three recent offsets that the format defines, and libzstd refers to a recent
    /// offset instead of repeating it. In the middle of a frame the recent offsets are unknown. Therefore libzstd first
    /// encodes a block that is discarded, with three matches whose offsets no match of LZ4s can have. The discarded
    /// block leaves no codes behind that later blocks could reuse: its literals are one repeated byte, and so few
    /// sequences are encoded with the predefined codes.
    ///
    /// # Errors
    /// The error code of libzstd.
    ///
    /// # Panics
    /// Panics when memory is exhausted.
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
        // The buffer always holds this block; if it did not, libzstd would write the remainder in front of the next
        // block.
        frame.block(BLOCK_MAX, &mut thrown_away)?.ok_or(PRODUCER_ERROR)?;
        (frame.plain, frame.at) = (plain, 0);
        Ok(frame)
    }

    /// Returns whether this writes a part of a frame.
    pub(crate) fn is_open(&self) -> bool {
        self.is_open
    }

    fn begin_as(plain: &'a [u8], is_open: bool) -> Result<Self, usize> {
        let encoder = SPARE.take().map_or_else(Encoder::new, Ok)?;
        let context = encoder.context.as_ptr();
        // SAFETY: zstd.h: the context is live; the reset discards an unfinished frame, together with the pointer to its
        // input.
        check(unsafe { sys::ZSTD_CCtx_reset(context, sys::ZSTD_ResetDirective::ZSTD_reset_session_only) })?;
        let (len, stable) =
            if is_open { (sys::ZSTD_CONTENTSIZE_UNKNOWN as u64, 0) } else { (plain.len() as u64, 1) };
        // SAFETY: zstd.h: the context is live, and the call returns an error code for an invalid value.
        check(unsafe { sys::ZSTD_CCtx_setParameter(context, STABLE_INPUT, stable) })?;
        // SAFETY: zstd.h: the context is live, and any size is allowed.
        check(unsafe { sys::ZSTD_CCtx_setPledgedSrcSize(context, len) })?;
        Ok(Self { encoder: ManuallyDrop::new(encoder), plain, at: 0, is_open })
    }

    /// Returns the empty list for the next block's sequences. Its last sequence has the trailing literals, of which
    /// there may be none, with offset and match length 0.
    pub(crate) fn sequences(&mut self) -> &mut Vec<Sequence> {
        let sequences = &mut self.encoder.parse().sequences;
        sequences.clear();
        sequences
    }

    /// Encodes the next `len` bytes, at most [`BLOCK_MAX`], as one block with the given sequences, to the front of
    /// `output`, and returns the bytes written; `None` when `output` is too small. The last block ends the frame; an
    /// empty frame is one block of no bytes. After a failure the frame cannot be continued.
    ///
    /// # Errors
    /// The error code of libzstd.
    pub(crate) fn block(&mut self, len: usize, output: &mut [u8]) -> Result<Option<usize>, usize> {
        self.encoder.parse().len = len;
        let end = self.plain.len().min(self.at.saturating_add(len));
        let mut input =
            sys::ZSTD_inBuffer { src: self.plain.as_ptr().cast::<c_void>(), size: end, pos: self.at };
        let mut output =
            sys::ZSTD_outBuffer { dst: output.as_mut_ptr().cast::<c_void>(), size: output.len(), pos: 0 };
        let how = if end == self.plain.len() && !self.is_open { ZSTD_e_end } else { ZSTD_e_flush };
        // SAFETY: zstd.h: the call reads `src` up to `size` and writes `dst` up to its `size`, both of which are slices
        // of that length. With a stable input, `src` must be the same and unchanged in every call of a frame, which the
        // borrow `'a` ensures. libzstd validates the sequences, so wrong ones cause an error or a wrong frame, not
        // undefined behaviour.
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
        // SAFETY: `ManuallyDrop::take`: the encoder is taken once, in `drop`, and not used again.
        let encoder = unsafe { ManuallyDrop::take(&mut self.encoder) };
        // Fails on a thread whose thread-locals were destroyed already; the encoder is dropped then.
        let _ = SPARE.try_with(|spare| spare.set(Some(encoder)));
    }
}
