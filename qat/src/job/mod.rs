//! What every engine needs of an operation, whether it runs on the device or on the CPU.

pub(crate) mod output;
