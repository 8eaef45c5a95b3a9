//! The register offsets of a virtual function, and the trait that accesses register windows.

use std::sync::atomic::{AtomicU32, Ordering};

/// A window of 32-bit registers that both sides can change at any time.
pub(crate) trait Registers {
    /// Reads the register at a byte offset with acquire ordering; returns 0 outside the window.
    fn load(&self, offset: usize) -> u32;
    /// Writes the register with release ordering; does nothing outside the window.
    fn store(&self, offset: usize, value: u32);
    /// Writes `new` if the register still contains `current`, with acquire and release ordering; returns whether it
    /// did.
    fn exchange(&self, offset: usize, current: u32, new: u32) -> bool;
}

/// The size in bytes of the window with the rings.
pub(crate) const RING_BAR_BYTES: usize = 0x1_0000;
/// The size in bytes of the window with the mailbox.
pub(crate) const MISC_BAR_BYTES: usize = 0x2000;

/// The size in bytes of the PCI configuration space.
pub(crate) const CONFIG_BYTES: usize = 0x1000;
/// The offset of the command and status word in the configuration space.
pub(crate) const COMMAND: usize = 4;
/// The bit of the command which allows the function to access memory.
pub(crate) const BUS_MASTER: u32 = 1 << 2;

/// The register that masks the interrupt for a word from the physical function: bit 0 disables it.
pub(crate) const MESSAGE_MASK: usize = 0x1004;
/// The mailbox word from the physical to the virtual function.
pub(crate) const PF_TO_VF: usize = 0x1008;
/// The mailbox word from the virtual to the physical function.
pub(crate) const VF_TO_PF: usize = 0x100C;

pub(crate) const BANKS: usize = 4;
pub(crate) const BANK_STRIDE: usize = 0x2000;
/// The ring numbers inside a bank.
pub(crate) const REQUEST: usize = 0;
pub(crate) const RESPONSE: usize = 1;

/// The bit of a ring's configuration register with which the device marks that it has read the value.
///
/// The register windows are plain memory, so that a write of the value that is already there cannot be detected. The
/// device therefore sets a bit that the hardware reserves; a program that writes the register clears the bit.
pub(crate) const CONFIG_SEEN: u32 = 1 << 31;
/// The same mark in the low word of a ring's address, which is aligned to at least 64 bytes.
pub(crate) const BASE_SEEN: u32 = 1;
/// The same mark in the tail of a request ring, whose values never reach this bit.
pub(crate) const TAIL_SEEN: u32 = 1 << 31;

/// The bit of the coalescing control that enables coalescing.
pub(crate) const COALESCING: u32 = 1 << 31;
/// The field of the coalescing control that says how long responses are collected, in units of 256 ns.
pub(crate) const COALESCING_TIME: u32 = 0xFFFF;

/// The offset of a bank in the ring window, from which the offsets of its registers follow.
#[derive(Debug, Clone, Copy)]
pub(crate) struct BankOffsets(pub(crate) usize);

impl BankOffsets {
    pub(crate) fn of(bank: usize) -> Self {
        Self(bank * BANK_STRIDE)
    }
    pub(crate) fn head(self, ring: usize) -> usize {
        self.0 + 0xC0 + 4 * ring
    }
    pub(crate) fn tail(self, ring: usize) -> usize {
        self.0 + 0x100 + 4 * ring
    }
    /// Returns the register with one bit per ring that is set while the ring is empty.
    pub(crate) fn empty_status(self) -> usize {
        self.0 + 0x14C
    }
    /// Returns the register with one bit per ring that enables interrupts, coalesced or not, while the ring is not
    /// empty.
    pub(crate) fn interrupt_enable(self) -> usize {
        self.0 + 0x17C
    }
    pub(crate) fn coalescing(self) -> usize {
        self.0 + 0x180
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

/// Registers in plain memory, for tests and fuzzing.
pub(crate) struct PlainWindow(Vec<AtomicU32>);

impl PlainWindow {
    pub(crate) fn new(bytes: usize) -> Self {
        Self((0..bytes / 4).map(|_| AtomicU32::new(0)).collect())
    }
}

impl Registers for PlainWindow {
    fn load(&self, offset: usize) -> u32 {
        self.0.get(offset / 4).map_or(0, |register| register.load(Ordering::Acquire))
    }

    fn store(&self, offset: usize, value: u32) {
        if let Some(register) = self.0.get(offset / 4) {
            register.store(value, Ordering::Release);
        }
    }

    fn exchange(&self, offset: usize, current: u32, new: u32) -> bool {
        self.0.get(offset / 4).is_some_and(|register| {
            register.compare_exchange(current, new, Ordering::AcqRel, Ordering::Relaxed).is_ok()
        })
    }
}
