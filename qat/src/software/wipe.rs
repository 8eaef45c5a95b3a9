//! Wiping of the stack after work with a key.
//!
//! Setting a cipher up copies the key and its round keys from frame to frame: into functions by value, out of them, and
//! into registers that are spilled. Nobody can wipe a moved-from place through its owner, and freed frames keep their
//! bytes until something else happens to be written there. So keys are set up in calls that end with their part of the
//! stack overwritten, and what is kept lives in a box, whose contents do not move again.

use std::hint::black_box;

use zeroize::Zeroize;

/// Bytes of stack that are overwritten. The deepest call below, aws-lc's set-up of an HMAC, takes a fifth of it.
const DEPTH: usize = 16 << 10;

/// Runs `work` and overwrites the stack that it used, up to [`DEPTH`] bytes, even when it panics. What it returns passes
/// through the caller's frame, so that it must hold no key by value.
pub(crate) fn with_wiped_stack<T>(work: impl FnOnce() -> T) -> T {
    struct Wipe;
    impl Drop for Wipe {
        fn drop(&mut self) {
            overwrite();
        }
    }
    /// A frame of its own, which begins where that of [`overwrite`] will.
    #[inline(never)]
    fn run<T>(work: impl FnOnce() -> T) -> T {
        black_box(work())
    }
    let _wipe = Wipe;
    run(work)
}

#[inline(never)]
fn overwrite() {
    let mut dead = [0_u64; DEPTH / size_of::<u64>()];
    dead.zeroize();
    black_box(&dead);
}
