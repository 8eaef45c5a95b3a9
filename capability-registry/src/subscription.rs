//! Waiting for changes.

use std::{
    fmt,
    sync::{Arc, PoisonError},
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
/// As an iterator it is [`Subscription::recv`]. Dropping it unsubscribes.
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
}

enum Wait {
    No,
    Until(Instant),
    Forever,
}

impl Subscription {
    pub(crate) fn new(core: Arc<Core>, pattern: Pattern, delivered: Snapshot) -> Self {
        Self { core, pattern, delivered }
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
