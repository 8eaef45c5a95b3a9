//! Waiting for changes.

use std::{
    fmt,
    future::poll_fn,
    sync::{Arc, PoisonError},
    task::{Context, Poll},
    time::{Duration, Instant},
};

use thiserror::Error;

use crate::{Diff, Pattern, Snapshot, registry::Core};

/// Follows the entries of a [`Registry`](crate::Registry) that a pattern matches.
///
/// A subscription keeps the snapshot it has delivered up to and compares it with the present one. So a slow
/// consumer holds one snapshot, not a queue, and never delays those who register: what happened in between
/// arrives as one [`Diff`] to the latest state, and what was undone in between does not arrive at all.
/// Starting from [`Subscription::snapshot`], the diffs always add up to what the registry holds.
///
/// As an iterator it is [`Subscription::recv`]; an asynchronous task awaits [`Subscription::recv_async`], which works with
/// every runtime. Dropping it unsubscribes.
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
    /// The number under which the registry keeps this subscription's waker, once a task has waited.
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

    /// What the subscription follows.
    ///
    /// # Examples
    /// ```
    /// use capability_registry::{Pattern, Registry};
    /// assert_eq!(Registry::new().subscribe(Pattern::All).pattern(), &Pattern::All);
    /// ```
    pub fn pattern(&self) -> &Pattern {
        &self.pattern
    }

    /// The state that the diffs received so far lead to; before the first, that at subscription.
    ///
    /// It holds every entry, not only those that the pattern matches.
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

    /// Waits for a change; `None` when none can come any more, because the last registry clone and the last
    /// registration are gone.
    ///
    /// A thread that owns one of those itself waits for ever if nobody else makes a change.
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

    /// Waits for a change for `timeout` at most.
    ///
    /// # Errors
    /// [`RecvError::Empty`] if none came in that time, [`RecvError::Closed`] if none can come any more.
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
        // A deadline past the end of the clock is none.
        self.next_diff(Instant::now().checked_add(timeout).map_or(Wait::Forever, Wait::Until))
    }

    /// Takes a change that is already there.
    ///
    /// # Errors
    /// [`RecvError::Empty`] if there is none, [`RecvError::Closed`] if none can come any more.
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

    /// Waits for a change without blocking the thread; `None` when none can come any more, as in
    /// [`recv`](Self::recv).
    ///
    /// It needs no particular runtime. Dropping the future loses nothing: the change is delivered by the next call.
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

    /// The polling form of [`recv_async`](Self::recv_async), for hand-written futures and streams.
    ///
    /// After [`Poll::Pending`] the waker of the latest call is woken at the next change of the registry, whether or not
    /// the pattern matches it.
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
            // Cloning and dropping a waker runs foreign code, so both happen outside the lock.
            let waker = context.waker().clone();
            {
                // Changes are made under this lock, so none slips in between the look and the registration.
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
                // The change was one that the pattern does not match.
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

    /// The present snapshot, once it is newer than the one delivered.
    fn newer(&self, wait: &Wait) -> Result<Snapshot, RecvError> {
        // Changes are made under this lock, so none slips in between the look and the wait.
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
        // Bound to a name, so that the lock is released before the waker's own code runs.
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

/// Why a [`Subscription`] has no change to give.
///
/// # Examples
/// ```
/// use capability_registry::RecvError;
/// assert_eq!(RecvError::Empty.to_string(), "no change yet; try again later");
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum RecvError {
    /// Nothing changed so far.
    #[error("no change yet; try again later")]
    Empty,
    /// The last registry clone and the last registration are gone.
    #[error("the registry is gone; stop receiving")]
    Closed,
}
