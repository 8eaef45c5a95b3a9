//! A session of libqat: what stays the same from request to request.

use std::sync::Arc;

use super::ring::Ring;
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
