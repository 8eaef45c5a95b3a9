//! Zstandard frames (RFC 8878): enough of the header to find where frames end.

/// First four bytes of a frame.
pub(crate) const MAGIC: u32 = 0xFD2F_B528;
