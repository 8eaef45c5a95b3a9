//! Compression and encryption on Intel QAT, or on the CPU, behind one API that says which.

mod container;
mod raw;
pub mod software;
pub mod stream;

pub use software::SoftwareAccelerator;
