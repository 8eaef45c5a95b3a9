//! A software model of a QAT device below Intel's own, unmodified `libqat`.

pub mod engine;
pub mod memory;
