//! Wiping of the memory that work with a key leaves behind: the stack, and boxes.
//!
//! Setting a cipher up copies the key and its round keys from frame to frame: into functions by value, out of them, and
//! into registers that are spilled. Nobody can wipe a moved-from place through its owner, and freed frames keep their
//! bytes until something else happens to be written there. So keys are set up in calls that end with their part of the
//! stack overwritten, and what is kept lives in a [`WipedBox`], whose contents do not move again.

use std::hint::black_box;
use std::mem::ManuallyDrop;
use std::ops::Deref;

use zeroize::{Zeroize, zeroize_flat_type};

/// Bytes of stack that are overwritten after a key was set up. The deepest set-up, that of AES-XTS with 64 bytes, takes less
/// than 24 KiB without optimisation.
const SET_UP: usize = 32 << 10;
/// Bytes of stack that are overwritten after an operation. The deepest one, aws-lc's ChaCha20-Poly1305, keeps its key within
/// the first 2 KiB.
const OPERATION: usize = 4 << 10;

/// Runs `work`, which sets a key up, and overwrites the stack that it used, even when it panics. What it returns passes
/// through the caller's frame, so that it must hold no key by value.
pub(crate) fn with_wiped_stack<T>(work: impl FnOnce() -> T) -> T {
    wiped::<{ SET_UP / 8 }, T>(work)
}

/// Does what [`with_wiped_stack`] does for a single operation with a key that was set up, which uses less of the stack.
pub(crate) fn with_wiped_frames<T>(work: impl FnOnce() -> T) -> T {
    wiped::<{ OPERATION / 8 }, T>(work)
}

/// Overwrites `WORDS` words of 8 bytes behind `work`.
fn wiped<const WORDS: usize, T>(work: impl FnOnce() -> T) -> T {
    struct Wipe<const WORDS: usize>;
    impl<const WORDS: usize> Drop for Wipe<WORDS> {
        fn drop(&mut self) {
            overwrite::<WORDS>();
        }
    }
    /// A frame of its own, which begins where that of [`overwrite`] will.
    #[inline(never)]
    fn run<T>(work: impl FnOnce() -> T) -> T {
        black_box(work())
    }
    let _wipe = Wipe::<WORDS>;
    run(work)
}

#[inline(never)]
fn overwrite<const WORDS: usize>() {
    let mut dead = [0_u64; WORDS];
    dead.zeroize();
    black_box(&dead);
}

/// A box whose whole memory is overwritten after its value was dropped.
///
/// A value that moves into a box takes along the padding of its type and the room that a smaller variant of an enum leaves
/// unused. These bytes come from dead stack frames, so that they can be those of a key, and no owner ever drops them.
pub(crate) struct WipedBox<T>(Box<ManuallyDrop<T>>);

impl<T> WipedBox<T> {
    pub(crate) fn new(value: T) -> Self {
        Self(Box::new(ManuallyDrop::new(value)))
    }
}

impl<T> Deref for WipedBox<T> {
    type Target = T;

    fn deref(&self) -> &T {
        &self.0
    }
}

impl<T> Drop for WipedBox<T> {
    fn drop(&mut self) {
        // SAFETY: `ManuallyDrop::drop` must be called once, and the value must not be used again. This is the only call, in
        // the destructor of the only owner.
        unsafe { ManuallyDrop::drop(&mut self.0) };
        // SAFETY: `zeroize_flat_type` writes `size_of::<ManuallyDrop<T>>()` bytes, which the box owns. Its other conditions
        // are about a later use of the value, and there is none: the value was dropped, and `ManuallyDrop` drops nothing.
        unsafe { zeroize_flat_type(&raw mut *self.0) };
    }
}
