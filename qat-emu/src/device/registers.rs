//! Register offsets of a virtual function and how they are reached.

/// A window of 32-bit registers that both sides change at any time.
pub(crate) trait Registers {
    /// Reads the register at a byte offset, with acquire ordering; 0 outside the window.
    fn load(&self, offset: usize) -> u32;
    /// Writes it, with release ordering; nothing outside the window.
    fn store(&self, offset: usize, value: u32);
}

/// Bytes of the window with the rings.
pub(crate) const RING_BAR_BYTES: usize = 0x1_0000;
/// Bytes of the window with the mailbox.
pub(crate) const MISC_BAR_BYTES: usize = 0x2000;

/// Mailbox word from the physical to the virtual function.
pub(crate) const PF_TO_VF: usize = 0x1008;
/// Mailbox word from the virtual to the physical function.
pub(crate) const VF_TO_PF: usize = 0x100C;

pub(crate) const BANKS: usize = 4;
pub(crate) const BANK_STRIDE: usize = 0x2000;
/// Ring numbers inside a bank.
pub(crate) const REQUEST: usize = 0;
pub(crate) const RESPONSE: usize = 1;

/// Registers of one bank, as offsets into the ring window.
#[derive(Debug, Clone, Copy)]
pub(crate) struct BankOffsets(pub(crate) usize);

impl BankOffsets {
    pub(crate) fn head(self, ring: usize) -> usize {
        self.0 + 0xC0 + 4 * ring
    }
    pub(crate) fn tail(self, ring: usize) -> usize {
        self.0 + 0x100 + 4 * ring
    }
    /// One bit per ring: empty.
    pub(crate) fn empty_status(self) -> usize {
        self.0 + 0x14C
    }
    pub(crate) fn arbiter(self) -> usize {
        self.0 + 0x19C
    }
    pub(crate) fn config(self, ring: usize) -> usize {
        self.0 + 0x1000 + 4 * ring
    }
    pub(crate) fn base_low(self, ring: usize) -> usize {
        self.0 + 0x1040 + 4 * ring
    }
    pub(crate) fn base_high(self, ring: usize) -> usize {
        self.0 + 0x1080 + 4 * ring
    }
}

#[cfg(test)]
pub(crate) mod fake {
    use std::sync::atomic::{AtomicU32, Ordering};

    /// A register window in plain memory.
    pub(crate) struct Window(Vec<AtomicU32>);

    impl Window {
        pub(crate) fn new(bytes: usize) -> Self {
            Self((0..bytes / 4).map(|_| AtomicU32::new(0)).collect())
        }
    }

    impl super::Registers for Window {
        fn load(&self, offset: usize) -> u32 {
            self.0.get(offset / 4).map_or(0, |r| r.load(Ordering::Acquire))
        }
        fn store(&self, offset: usize, value: u32) {
            if let Some(r) = self.0.get(offset / 4) {
                r.store(value, Ordering::Release);
            }
        }
    }
}
