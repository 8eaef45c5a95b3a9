//! The process boundary: hooks, file descriptors, register windows and mapped memory. It contains the crate's `unsafe`
//! code, except for the scheduling calls in `affinity`; requests are decoded elsewhere, in safe code.

mod attach;
mod dma;
mod emulator;
mod files;
#[allow(unreachable_pub, reason = "reached by their C names")]
mod hooks;
mod interrupts;
mod next;
mod paths;
mod preload;
mod shared;
mod tree;
mod vfio;
mod window;

pub use emulator::{AttachError, Emulator, HOOKS};
#[doc(hidden)]
pub use preload::send_signal;
pub use preload::{Preload, PreloadError};
pub use tree::TreeError;
