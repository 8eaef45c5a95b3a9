//! Subscriptions, with which threads and asynchronous tasks wait for changes of a registry. A subscription never delays
//! registrations.

use std::{
    fmt,
    future::poll_fn,
    sync::{Arc, PoisonError},
    task::{Context, Poll},
    time::{Duration, Instant},
};

use thiserror::Error;

use crate::{Diff, Pattern, Snapshot, registry::Core};

/// Returns the changes of those entries of a [`Registry`](crate::Registry) that match a pattern.
///
/// A subscription keeps the last snapshot that it reported and compares it with the current one. A slow consumer
/// therefore holds one snapshot and not a queue, and never delays registrations. Several changes are reported as one
/// [`Diff`] to the latest state, and changes that were undone in between are not reported. Applied to
/// [`Subscription::snapshot`], the diffs always result in the content of the registry.
///
/// The iterator returns what [`Subscription::recv`] returns. An asynchronous task awaits [`Subscription::recv_async`],
/// which works with every runtime. Dropping the subscription unsubscribes.
///
/// # Examples
/// ```
/// use std::thread;
/// use capability_registry::{Feature, Pattern, Registry, State};
///
/// let registry = Registry::new();
/// let subscription = registry.subscribe(Pattern::All);
/// let consumer = thread::spawn(move || {
///     for diff in subscription {
///         println!("{diff:?}");
///     }
/// });
/// let registration = registry.register("demo", [(Feature::from_static("qat"), State::present())])?;
/// drop((registration, registry)); // ends the loop
/// consumer.join().unwrap();
/// # Ok::<(), capability_registry::RegisterError>(())
/// ```
#[must_use = "dropping a subscription unsubscribes"]
pub struct Subscription {
    core: Arc<Core>,
    pattern: Pattern,
    delivered: Snapshot,
    /// The number under which the registry stores the waker of this subscription; `None` until a task has waited.
    number: Option<u64>,
}

enum Wait {
    No,
    Until(Instant),
    Forever,
}

impl Subscription {
    pub(crate) fn new(core: Arc<Core>, pattern: Pattern, delivered: Snapshot) -> Self {
        Self { core, pattern, delivered, number: None }
    }

    /// Returns the pattern of the subscription.
    ///
    /// # Examples
    /// ```
    /// use capability_registry::{Pattern, Registry};
    /// assert_eq!(Registry::new().subscribe(Pattern::All).pattern(), &Pattern::All);
    /// ```
    pub fn pattern(&self) -> &Pattern {
        &self.pattern
    }

    /// Returns the snapshot after the last diff that was received, or the one at the time of subscription before the
    /// first.
    ///
    /// It contains all entries, and not only those that match the pattern.
    ///
    /// # Examples
    /// ```
    /// use capability_registry::{Feature, Pattern, Registry, State};
    ///
    /// let registry = Registry::new();
    /// let mut subscription = registry.subscribe(Pattern::All);
    /// let _registration = registry.register("demo", [(Feature::from_static("qat"), State::present())])?;
    /// assert!(!subscription.snapshot().is_present("qat"));
    /// subscription.recv();
    /// assert!(subscription.snapshot().is_present("qat"));
    /// # Ok::<(), capability_registry::RegisterError>(())
    /// ```
    pub fn snapshot(&self) -> &Snapshot {
        &self.delivered
    }

    /// Waits for a change. Returns `None` when no further change is possible, because the last registry clone and the
    /// last registration were dropped.
    ///
    /// A thread that owns one of those itself waits forever if no other thread makes a change.
    ///
    /// # Examples
    /// ```
    /// use capability_registry::{Pattern, Registry};
    /// let mut subscription = Registry::new().subscribe(Pattern::All);
    /// assert_eq!(subscription.recv(), None);
    /// ```
    pub fn recv(&mut self) -> Option<Diff> {
        self.next_diff(Wait::Forever).ok()
    }

    /// Waits at most `timeout` for a change.
    ///
    /// # Errors
    /// [`RecvError::Empty`] if there was none in that time, and [`RecvError::Closed`] if no further change is possible.
    ///
    /// # Examples
    /// ```
    /// use std::time::Duration;
    /// use capability_registry::{Pattern, RecvError, Registry};
    ///
    /// let registry = Registry::new();
    /// let mut subscription = registry.subscribe(Pattern::All);
    /// assert_eq!(subscription.recv_timeout(Duration::from_millis(1)), Err(RecvError::Empty));
    /// ```
    pub fn recv_timeout(&mut self, timeout: Duration) -> Result<Diff, RecvError> {
        // A deadline that the clock cannot represent is treated as no deadline.
        self.next_diff(Instant::now().checked_add(timeout).map_or(Wait::Forever, Wait::Until))
    }

    /// Returns a change without waiting.
    ///
    /// # Errors
    /// [`RecvError::Empty`] if there is none, and [`RecvError::Closed`] if no further change is possible.
    ///
    /// # Examples
    /// ```
    /// use capability_registry::{Pattern, RecvError, Registry};
    ///
    /// let registry = Registry::new();
    /// let mut subscription = registry.subscribe(Pattern::All);
    /// assert_eq!(subscription.try_recv(), Err(RecvError::Empty));
    /// drop(registry);
    /// assert_eq!(subscription.try_recv(), Err(RecvError::Closed));
    /// ```
    pub fn try_recv(&mut self) -> Result<Diff, RecvError> {
        self.next_diff(Wait::No)
    }

    /// Waits for a change without blocking the thread. Returns `None` when no further change is possible, as
    /// [`recv`](Self::recv) does.
    ///
    /// It needs no particular runtime. Dropping the future loses no change: the next call returns it.
    ///
    /// # Examples
    /// ```
    /// use capability_registry::{Feature, Pattern, Registry, State};
    ///
    /// # async fn example() -> Result<(), capability_registry::RegisterError> {
    /// let registry = Registry::new();
    /// let mut subscription = registry.subscribe(Pattern::All);
    /// let _registration = registry.register("demo", [(Feature::from_static("qat"), State::present())])?;
    /// let diff = subscription.recv_async().await.expect("the registry is still there");
    /// assert_eq!(diff.added[0].0.as_str(), "qat");
    /// # Ok(())
    /// # }
    /// ```
    pub async fn recv_async(&mut self) -> Option<Diff> {
        poll_fn(|context| self.poll_recv(context)).await
    }

    /// Does what [`recv_async`](Self::recv_async) does, for hand-written futures and streams.
    ///
    /// After [`Poll::Pending`], the waker of the latest call is woken at the next change of the registry, whether or
    /// not it matches the pattern.
    ///
    /// # Examples
    /// ```
    /// use std::task::{Context, Poll, Waker};
    /// use capability_registry::{Pattern, Registry};
    ///
    /// let registry = Registry::new();
    /// let mut subscription = registry.subscribe(Pattern::All);
    /// let mut context = Context::from_waker(Waker::noop());
    /// assert!(subscription.poll_recv(&mut context).is_pending());
    /// drop(registry);
    /// assert_eq!(subscription.poll_recv(&mut context), Poll::Ready(None));
    /// ```
    pub fn poll_recv(&mut self, context: &mut Context<'_>) -> Poll<Option<Diff>> {
        loop {
            // Cloning and dropping a waker runs code of the caller, which may use this registry. Under the lock that
            // would
            // be a deadlock.
            let waker = context.waker().clone();
            {
                // Writers change entries under this lock. Otherwise a change between the comparison and the storing of
                // the
                // waker would not wake the task.
                let mut writer = self.core.lock();
                let unchanged = self.core.current.load().generation == self.delivered.generation();
                if unchanged && writer.closed {
                    return Poll::Ready(None);
                }
                if unchanged {
                    let number = *self.number.get_or_insert_with(|| writer.number());
                    let replaced = writer.wakers.insert(number, waker);
                    drop(writer);
                    drop(replaced);
                    return Poll::Pending;
                }
            }
            match self.try_recv() {
                Ok(diff) => return Poll::Ready(Some(diff)),
                Err(RecvError::Closed) => return Poll::Ready(None),
                // The change does not match the pattern.
                Err(RecvError::Empty) => {}
            }
        }
    }

    fn next_diff(&mut self, wait: Wait) -> Result<Diff, RecvError> {
        loop {
            let latest = self.newer(&wait)?;
            let diff = self.delivered.diff_matching(&latest, &self.pattern);
            self.delivered = latest;
            if !diff.is_empty() {
                return Ok(diff);
            }
        }
    }

    /// Returns the current snapshot once it is newer than the one that was reported.
    fn newer(&self, wait: &Wait) -> Result<Snapshot, RecvError> {
        // Writers change entries under this lock. Otherwise a change between the comparison and the wait would not
        // wake the thread.
        let mut writer = self.core.lock();
        loop {
            if self.core.current.load().generation != self.delivered.generation() {
                return Ok(self.core.current.load_full().into());
            }
            if writer.closed {
                return Err(RecvError::Closed);
            }
            let changed = &self.core.changed;
            writer = match wait {
                Wait::No => return Err(RecvError::Empty),
                Wait::Forever => changed.wait(writer).unwrap_or_else(PoisonError::into_inner),
                Wait::Until(deadline) => {
                    let left = deadline.saturating_duration_since(Instant::now());
                    if left.is_zero() {
                        return Err(RecvError::Empty);
                    }
                    changed.wait_timeout(writer, left).unwrap_or_else(PoisonError::into_inner).0
                }
            };
        }
    }
}

impl Iterator for Subscription {
    type Item = Diff;

    fn next(&mut self) -> Option<Diff> {
        self.recv()
    }
}

impl Drop for Subscription {
    fn drop(&mut self) {
        let Some(number) = self.number else { return };
        // The binding releases the lock before the waker is dropped, which runs code of the caller.
        let waker = self.core.lock().wakers.remove(&number);
        drop(waker);
    }
}

impl fmt::Debug for Subscription {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Subscription")
            .field("pattern", &self.pattern)
            .field("generation", &self.delivered.generation())
            .finish_non_exhaustive()
    }
}

/// The reason why a [`Subscription`] returned no change.
///
/// # Examples
/// ```
/// use capability_registry::RecvError;
/// assert_eq!(RecvError::Empty.to_string(), "no change yet; try again later");
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum RecvError {
    /// There is no change yet.
    #[error("no change yet; try again later")]
    Empty,
    /// No further change is possible, because the last registry clone and the last registration were dropped.
    #[error("the registry is gone; stop receiving")]
    Closed,
}
