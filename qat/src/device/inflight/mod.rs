//! Requests in flight: the ownership of their memory, the delivery of their responses, and the C calls that submit and
//! poll. The modules `device::instances` and `device::polling` call it; nothing here chooses an instance or waits.
//!
//! A request is kept in a [slot](table) of its ring's table from before its submission until its response was taken.
//! The tag of the callback consists of table, slot and generation, and is never an address, so that a late response
//! finds no request rather than the wrong one. Dropping a [`PendingRequest`] parks its slot: the memory is kept until
//! the device has responded.

mod completion;
mod free;
mod list;
mod ring;
mod session;
mod setup;
mod table;
pub(crate) mod waiters;

pub(crate) use list::{Blocks, MAX_BUFFERS, MAX_FLAT};
pub(crate) use ring::{Direction, Polled, Refused, Ring, SessionError, Stateless, Symmetric, Work};
pub(crate) use session::{Api, Session, SessionTable};
pub(crate) use setup::{Hash, SymmetricSetup};
pub(crate) use table::{Abandoned, CompletedRequest, NOT_VERIFIED, PendingRequest, SlotGuard, Table};

/// The atomics of `completion`. `qat/tests/completion.rs` replaces them with loom's.
mod sync {
    pub(super) use std::sync::atomic::{AtomicBool, AtomicI32, AtomicU16, AtomicU64, fence};

    pub(super) use atomic_waker::AtomicWaker;
}

#[cfg(test)]
mod tests;
