//! Requests of one call, in order.

use std::collections::VecDeque;

use super::{RequestError, Started, WhenFull};
use crate::device::inflight::{CompletedRequest, PendingRequest};

/// Most requests that one call has in flight.
const WIDTH: usize = 32;

/// Requests in flight, oldest first, each with what the caller wants back with its answer.
pub(crate) struct Window<T> {
    /// The usual only one, so that it costs no allocation.
    first: Option<Entry<T>>,
    later: VecDeque<Entry<T>>,
}

struct Entry<T> {
    pending: PendingRequest,
    instance: u16,
    with: T,
}

impl<T> Window<T> {
    pub(crate) fn new() -> Self {
        Self { first: None, later: VecDeque::new() }
    }

    fn is_empty(&self) -> bool {
        self.first.is_none()
    }

    pub(crate) fn is_full(&self) -> bool {
        self.later.len() + 1 >= WIDTH
    }

    /// What to do when the device is full: with requests of its own in flight a call takes their answers first, so
    /// that calls do not wait for each other's slots.
    pub(crate) fn when_full(&self, asked: WhenFull) -> WhenFull {
        if self.is_empty() { asked } else { WhenFull::Fail }
    }

    /// Takes in what a launch gave; false when there was no room and answers have to be taken first.
    pub(crate) fn push(
        &mut self,
        submitted: Result<(PendingRequest, u16), RequestError>,
        with: T,
    ) -> Result<bool, RequestError> {
        match submitted {
            Ok((pending, instance)) => {
                let entry = Entry { pending, instance, with };
                match &mut self.first {
                    None => self.first = Some(entry),
                    Some(_) => self.later.push_back(entry),
                }
                Ok(true)
            }
            Err(RequestError::Busy) if !self.is_empty() => Ok(false),
            Err(error) => Err(error),
        }
    }

    /// The oldest request's answer, its instance, and what was put with it; `None` when none is in flight.
    pub(crate) async fn next(
        &mut self,
        started: &Started,
    ) -> Option<Result<(CompletedRequest, u16, T), RequestError>> {
        let Entry { pending, instance, with } = std::mem::replace(&mut self.first, self.later.pop_front())?;
        let completed = pending.await.map_err(|reason| started.record_abandoned(reason, instance));
        Some(completed.map(|completed| (completed, instance, with)))
    }
}
