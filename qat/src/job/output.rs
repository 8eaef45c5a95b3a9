//! Where a decoder writes: the caller's buffer, or a vector that grows up to a limit.

use accel_core::{Error, Result};

/// Smallest growth of a vector.
const STEP: usize = 64 << 10;

pub(crate) struct Output<'a> {
    target: Target<'a>,
    written: usize,
    limit: usize,
}

enum Target<'a> {
    Fixed(&'a mut [u8]),
    Growing(Vec<u8>),
}

impl<'a> Output<'a> {
    /// The caller's buffer, of which at most `limit` bytes are used.
    pub(crate) fn fixed(buffer: &'a mut [u8], limit: usize) -> Self {
        Self { target: Target::Fixed(buffer), written: 0, limit }
    }

    /// A vector that starts with room for `hint` bytes and grows to at most `limit`.
    pub(crate) fn growing(hint: usize, limit: usize) -> Output<'static> {
        let room = hint.clamp(STEP, STEP.max(1 << 30)).min(limit);
        Output { target: Target::Growing(vec![0; room]), written: 0, limit }
    }

    pub(crate) fn is_fixed(&self) -> bool {
        matches!(self.target, Target::Fixed(_))
    }

    /// Most bytes that may be written.
    pub(crate) fn limit(&self) -> usize {
        self.limit
    }

    /// Most bytes that can still be written.
    pub(crate) fn most(&self) -> usize {
        let most = match &self.target {
            Target::Fixed(buffer) => buffer.len().min(self.limit),
            Target::Growing(_) => self.limit,
        };
        most - self.written
    }

    pub(crate) fn written(&self) -> usize {
        self.written
    }

    pub(crate) fn filled(&self) -> &[u8] {
        match &self.target {
            Target::Fixed(buffer) => &buffer[..self.written],
            Target::Growing(buffer) => &buffer[..self.written],
        }
    }

    /// What was written, and the room behind it.
    pub(crate) fn split(&mut self) -> (&[u8], &mut [u8]) {
        let limit = self.limit;
        let buffer: &mut [u8] = match &mut self.target {
            Target::Fixed(buffer) => buffer,
            Target::Growing(buffer) => buffer,
        };
        let end = buffer.len().min(limit);
        let (filled, room) = buffer[..end].split_at_mut(self.written);
        (filled, room)
    }

    pub(crate) fn room(&mut self) -> &mut [u8] {
        self.split().1
    }

    pub(crate) fn advance(&mut self, written: usize) {
        self.written += written;
    }

    /// Makes sure that `more` bytes have room.
    pub(crate) fn reserve(&mut self, more: usize) -> Result<()> {
        if self.room().len() >= more {
            return Ok(());
        }
        let need = self.written.saturating_add(more);
        if need > self.limit {
            return Err(Error::LimitExceeded { limit: self.limit as u64 });
        }
        match &mut self.target {
            Target::Fixed(buffer) => {
                // What follows will need room as well.
                Err(Error::OutputTooSmall { required: None, available: buffer.len() })
            }
            Target::Growing(buffer) => {
                let doubled = buffer.len().saturating_mul(2).min(self.limit);
                if self.written == 0 {
                    // Zeroed pages come from the system untouched, where resizing would write them all.
                    *buffer = vec![0; need.max(doubled)];
                } else {
                    buffer.resize(need.max(doubled), 0);
                }
                Ok(())
            }
        }
    }

    /// A block decoder's lack of room, as the caller should see it: the limit or the whole buffer.
    pub(crate) fn no_room(&mut self, error: Error) -> Error {
        match error {
            Error::OutputTooSmall { required: Some(more), .. } => self.reserve(more).err().unwrap_or(error),
            other => other,
        }
    }

    /// More room than now, by an amount that keeps the number of growths small.
    pub(crate) fn grow(&mut self) -> Result<()> {
        let more = self.room().len().saturating_add(1);
        if let Target::Fixed(buffer) = &self.target
            && buffer.len() <= self.limit
        {
            return Err(Error::OutputTooSmall { required: None, available: buffer.len() });
        }
        self.reserve(more)
    }

    /// The vector, cut to what was written; empty for a caller's buffer.
    pub(crate) fn into_vec(self) -> Vec<u8> {
        match self.target {
            Target::Fixed(_) => Vec::new(),
            Target::Growing(mut buffer) => {
                buffer.truncate(self.written);
                buffer
            }
        }
    }
}
