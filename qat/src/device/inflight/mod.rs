//! Requests in flight: who owns their memory, how their answers come back, and the C calls that send them.
//!
//! A request lives in a [`Slot`](table) of its ring's table from before it is submitted until its answer was taken. The
//! callback's tag is table, slot and generation, never an address, so that an answer that comes too late finds nothing
//! rather than the wrong request. A dropped [`PendingRequest`] parks its slot: the memory stays until the device has answered.

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

/// What `completion` is made of; its models have loom's instead.
mod sync {
    pub(super) use std::sync::atomic::{AtomicBool, AtomicI32, AtomicU16, AtomicU64, fence};

    pub(super) use atomic_waker::AtomicWaker;
}

#[cfg(test)]
mod tests;
