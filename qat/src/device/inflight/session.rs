//! The sessions of libqat, which hold what requests have in common. `device::compression` and `device::encryption` keep
//! them; `ring` creates and removes them.

use std::sync::Arc;

use once_cell::sync::OnceCell;

use super::ring::{Ring, SessionError};
use crate::device::memory::Block;

/// The two APIs of libqat. A session belongs to one of them.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) enum Api {
    /// The traditional API: for compression of scattered buffers, streams that stay open, LZ4, end-to-end checksums,
    /// and AES-XTS of data that is not whole blocks.
    Traditional,
    /// The data-plane API: for all other requests, with a third of the instructions.
    #[default]
    DataPlane,
}

/// The sessions of one instance by index. The first request that needs a session creates it.
pub(crate) struct SessionTable(Box<[OnceCell<Arc<Session>>]>);

impl SessionTable {
    /// Creates an empty table for `count` sessions.
    pub(crate) fn new(count: usize) -> Self {
        Self((0..count).map(|_| OnceCell::new()).collect())
    }

    /// Returns the session at `index`, which `make` creates on the first call.
    #[inline]
    pub(crate) fn get(
        &self,
        index: usize,
        make: impl FnOnce() -> Result<Session, SessionError>,
    ) -> Result<&Arc<Session>, SessionError> {
        let cell = &self.0[index];
        match cell.get() {
            Some(session) => Ok(session),
            None => cell.get_or_try_init(|| make().map(Arc::new)),
        }
    }

    /// Drops all sessions that no request uses.
    pub(crate) fn clear(&mut self) {
        self.0.iter_mut().for_each(|session| drop(session.take()));
    }
}

/// A session on one ring, with its memory. Requests in flight keep it alive.
pub(crate) struct Session {
    pub(super) ring: Arc<Ring>,
    pub(super) api: Api,
    /// The session's memory; `None` only while the session is dropped.
    pub(super) memory: Option<Block>,
}

impl Session {
    /// Returns whether the session belongs to `ring`.
    pub(crate) fn is_of(&self, ring: &Ring) -> bool {
        std::ptr::eq(&*self.ring, ring)
    }

    /// Returns whether the libqat start of its ring has ended.
    pub(crate) fn is_stale(&self) -> bool {
        self.ring.is_closed()
    }
}

impl Drop for Session {
    fn drop(&mut self) {
        if let Some(memory) = self.memory.take() {
            self.ring.retire_session(memory);
        }
    }
}
