//! The only code that calls a C symbol.

pub(crate) mod isal;
pub(crate) mod libdeflate;
