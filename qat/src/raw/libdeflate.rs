//! libdeflate's decompressor with the number of consumed bytes, which the crate `libdeflater` leaves out and
//! several members in one input need.

use std::ptr::NonNull;

use libdeflate_sys as sys;

/// Why an inflate did not succeed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum InflateFault {
    /// Not deflate, or it ends too early.
    BadData,
    /// The output has no room for all of it.
    OutputFull,
}

/// A reusable libdeflate decompressor.
pub(crate) struct Inflater(NonNull<sys::libdeflate_decompressor>);

// SAFETY: libdeflate.h: a decompressor may be used by one thread at a time and is not tied to the one that made it.
unsafe impl Send for Inflater {}

impl Inflater {
    /// A new decompressor.
    ///
    /// # Panics
    /// When memory is exhausted, as `Box::new` would.
    pub(crate) fn new() -> Self {
        // SAFETY: no argument; the result is null or owned by us until freed in `drop` (libdeflate.h).
        let raw = unsafe { sys::libdeflate_alloc_decompressor() };
        Self(NonNull::new(raw).expect("out of memory for a libdeflate decompressor"))
    }

    /// Inflates one raw deflate stream (RFC 1951) from the front of `input` to the front of `output`: bytes
    /// consumed and produced.
    pub(crate) fn inflate(
        &mut self,
        input: &[u8],
        output: &mut [u8],
    ) -> Result<(usize, usize), InflateFault> {
        let (mut consumed, mut produced) = (0, 0);
        // SAFETY: libdeflate.h: reads at most `in_nbytes` from `in`, writes at most `out_nbytes_avail` to `out` and
        // the two counts; the slices are valid for these lengths and do not overlap (one is `&mut`).
        let status = unsafe {
            sys::libdeflate_deflate_decompress_ex(
                self.0.as_ptr(),
                input.as_ptr().cast(),
                input.len(),
                output.as_mut_ptr().cast(),
                output.len(),
                &mut consumed,
                &mut produced,
            )
        };
        match status {
            sys::libdeflate_result_LIBDEFLATE_SUCCESS => Ok((consumed, produced)),
            sys::libdeflate_result_LIBDEFLATE_INSUFFICIENT_SPACE => Err(InflateFault::OutputFull),
            _ => Err(InflateFault::BadData),
        }
    }
}

impl Drop for Inflater {
    fn drop(&mut self) {
        // SAFETY: allocated by `libdeflate_alloc_decompressor` and freed once.
        unsafe { sys::libdeflate_free_decompressor(self.0.as_ptr()) };
    }
}
