//! The only code that calls a C symbol.

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
