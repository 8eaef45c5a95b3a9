//! The window of requests that one operation has in flight, in order. `device::compression` and `device::encryption`
//! use it for data that takes several requests.

use std::collections::VecDeque;

use super::{RequestError, Started, WhenFull};
use crate::device::inflight::{CompletedRequest, PendingRequest};

/// The maximum number of requests that one operation has in flight.
const WIDTH: usize = 32;

/// Requests in flight, oldest first, each with a value that is returned together with its response.
pub(crate) struct Window<T> {
    /// The oldest request. It is kept apart so that the usual single request needs no allocation.
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

    /// Returns what the next request does when the device is full. An operation with requests in flight takes their
    /// responses first, so that operations do not wait for each other's slots.
    pub(crate) fn when_full(&self, asked: WhenFull) -> WhenFull {
        if self.is_empty() { asked } else { WhenFull::Fail }
    }

    /// Adds a submitted request. Returns false when the device was full, so that responses have to be taken first.
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

    /// Waits for the oldest request, and returns it with its instance and its value; `None` when none is in flight.
    pub(crate) async fn next(
        &mut self,
        started: &Started,
    ) -> Option<Result<(CompletedRequest, u16, T), RequestError>> {
        let Entry { pending, instance, with } = std::mem::replace(&mut self.first, self.later.pop_front())?;
        let completed = pending.await.map_err(|reason| started.record_abandoned(reason, instance));
        Some(completed.map(|completed| (completed, instance, with)))
    }
}
