//! A session of libqat: what stays the same from request to request.

use std::sync::Arc;

use once_cell::sync::OnceCell;

use super::ring::{Ring, SessionError};
use crate::device::memory::Block;

/// libqat's two families of calls; a session is for one of them.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) enum Api {
    /// Scattered compression, streams that stay open, and AES-XTS of parts of blocks.
    Traditional,
    /// All else, for a third of the instructions.
    #[default]
    DataPlane,
}

/// The sessions of one instance by number, each made by the first request that needs it.
pub(crate) struct SessionTable(Box<[OnceCell<Arc<Session>>]>);

impl SessionTable {
    /// Returns an empty table for `count` sessions.
    pub(crate) fn new(count: usize) -> Self {
        Self((0..count).map(|_| OnceCell::new()).collect())
    }

    /// Returns session number `index`, which `make` makes on the first call.
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

    /// Ends all sessions.
    pub(crate) fn clear(&mut self) {
        self.0.iter_mut().for_each(|session| drop(session.take()));
    }
}

/// A session on one ring, with its memory. Requests in flight keep it.
pub(crate) struct Session {
    pub(super) ring: Arc<Ring>,
    pub(super) api: Api,
    /// There until dropped.
    pub(super) memory: Option<Block>,
}

impl Session {
    /// Whether it is one of `ring`'s.
    pub(crate) fn is_of(&self, ring: &Ring) -> bool {
        std::ptr::eq(&*self.ring, ring)
    }

    /// Whether its ring's start is over.
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
