//! The wrappers of the C functions that this crate calls: libqat's, libusdm's, ISA-L's, libzstd's, and the system's
//! clock.
//!
//! The modules `device` and `software` call them. A wrapper adds types and the `# Safety` contract of its function, and
//! never a decision.

pub(crate) mod clock;
pub(crate) mod cy;
pub(crate) mod cy_dp;
pub(crate) mod dc;
pub(crate) mod dc_dp;
pub(crate) mod instance;
pub(crate) mod isal;
pub(crate) mod mem;
pub(crate) mod sal;
pub(crate) mod zstd;
