//! Counters: recorded with relaxed atomics, read as one consistent-enough snapshot.

use std::ops::Deref;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::{Duration, Instant};

use crate::{Error, ExecutedOn, Outcome, SoftwareReason};

/// Sub-buckets per power of two: percentiles are exact to one part in eight.
const SUB_BUCKETS: usize = 8;
/// Powers of two of nanoseconds that are told apart: up to 2^40 ns, about 18 minutes.
const POWERS: usize = 40;
const BUCKETS: usize = POWERS * SUB_BUCKETS;

/// Counts what an accelerator does. One per accelerator, shared by all threads.
#[derive(Debug)]
pub struct Recorder {
    started: Instant,
    operations: AtomicU64,
    bytes_in: AtomicU64,
    bytes_out: AtomicU64,
    errors: AtomicU64,
    abandoned: AtomicU64,
    retries: AtomicU64,
    software: [AtomicU64; SoftwareReason::ALL.len()],
    in_flight: AtomicU64,
    busy_ns: AtomicU64,
    latency: Box<[AtomicU64; BUCKETS]>,
}

impl Default for Recorder {
    fn default() -> Self {
        Self::new()
    }
}

impl Recorder {
    /// A recorder at zero. Throughput counts from here.
    #[must_use]
    pub fn new() -> Self {
        Self {
            started: Instant::now(),
            operations: AtomicU64::new(0),
            bytes_in: AtomicU64::new(0),
            bytes_out: AtomicU64::new(0),
            errors: AtomicU64::new(0),
            abandoned: AtomicU64::new(0),
            retries: AtomicU64::new(0),
            software: Default::default(),
            in_flight: AtomicU64::new(0),
            busy_ns: AtomicU64::new(0),
            latency: Box::new([const { AtomicU64::new(0) }; BUCKETS]),
        }
    }

    /// Starts one operation. A guard that is dropped without [`finish`](InFlight::finish) counts the operation as
    /// abandoned, or as an error if its thread is panicking.
    #[must_use = "the operation is counted when the guard is finished"]
    pub fn start(&self) -> InFlight<'_> {
        InFlight::new(Holder::Borrowed(self))
    }

    /// [`start`](Self::start) for an operation that outlives the caller's frame, such as a future.
    #[must_use = "the operation is counted when the guard is finished"]
    pub fn start_shared(self: Arc<Self>) -> InFlight<'static> {
        InFlight::new(Holder::Shared(self))
    }

    /// Counts one operation as running, for those who take the time themselves. [`end`](Self::end) or
    /// [`abandon`](Self::abandon) has to follow.
    #[inline]
    pub fn begin(&self) {
        self.in_flight.fetch_add(1, Relaxed);
    }

    /// Ends what [`begin`](Self::begin) counted, after the time that it took, with `None` if it failed.
    #[inline]
    pub fn end(&self, took: Duration, outcome: Option<&Outcome>) {
        self.in_flight.fetch_sub(1, Relaxed);
        let Some(outcome) = outcome else {
            self.errors.fetch_add(1, Relaxed);
            return;
        };
        self.operations.fetch_add(1, Relaxed);
        self.bytes_in.fetch_add(outcome.bytes_in as u64, Relaxed);
        self.bytes_out.fetch_add(outcome.bytes_out as u64, Relaxed);
        if let ExecutedOn::Software(reason) = outcome.path {
            self.software[reason.index()].fetch_add(1, Relaxed);
        }
        // Right for five centuries.
        let ns = took.as_secs().wrapping_mul(1_000_000_000).wrapping_add(took.subsec_nanos().into());
        self.busy_ns.fetch_add(ns, Relaxed);
        self.latency[bucket(ns)].fetch_add(1, Relaxed);
    }

    /// Ends what [`begin`](Self::begin) counted, of which nobody wants the result any more. While the calling thread
    /// panics, the operation counts as an error instead.
    pub fn abandon(&self) {
        self.in_flight.fetch_sub(1, Relaxed);
        let counter = if std::thread::panicking() { &self.errors } else { &self.abandoned };
        counter.fetch_add(1, Relaxed);
    }

    /// Operations running now: [`Statistics::in_flight`] alone, at the price of one load.
    #[must_use]
    pub fn in_flight(&self) -> u64 {
        self.in_flight.load(Relaxed)
    }

    /// Counts one request that had to be submitted again.
    pub fn retry(&self) {
        self.retries.fetch_add(1, Relaxed);
    }

    /// A snapshot.
    #[must_use]
    pub fn statistics(&self) -> Statistics {
        let mut software = SoftwareExecutions::default();
        for (count, counter) in software.0.iter_mut().zip(&self.software) {
            *count = counter.load(Relaxed);
        }
        Statistics {
            operations: self.operations.load(Relaxed),
            bytes_in: self.bytes_in.load(Relaxed),
            bytes_out: self.bytes_out.load(Relaxed),
            errors: self.errors.load(Relaxed),
            abandoned: self.abandoned.load(Relaxed),
            retries: self.retries.load(Relaxed),
            software,
            in_flight: self.in_flight.load(Relaxed),
            busy: Duration::from_nanos(self.busy_ns.load(Relaxed)),
            elapsed: self.started.elapsed(),
            utilisation: None,
            latency: self.latency_percentiles(),
        }
    }

    fn latency_percentiles(&self) -> Option<Latency> {
        let counts: Vec<u64> = self.latency.iter().map(|bucket| bucket.load(Relaxed)).collect();
        let total: u64 = counts.iter().sum();
        if total == 0 {
            return None;
        }
        // The upper edge of the bucket that holds the requested rank: never below the true percentile.
        let percentile = |permille: u64| {
            let rank = (total * permille).div_ceil(1000).max(1);
            let mut seen = 0;
            let bucket = counts.iter().position(|count| {
                seen += count;
                seen >= rank
            });
            Duration::from_nanos(upper_edge(bucket.unwrap_or(BUCKETS - 1)))
        };
        Some(Latency {
            p50: percentile(500),
            p90: percentile(900),
            p99: percentile(990),
            p999: percentile(999),
            max: percentile(1000),
        })
    }
}

/// Bucket of a latency: exact below `SUB_BUCKETS` ns, then logarithmic with linear parts.
fn bucket(ns: u64) -> usize {
    if ns < SUB_BUCKETS as u64 {
        return ns as usize;
    }
    let power = ns.ilog2() as usize;
    let sub = (ns >> (power - 3)) as usize & (SUB_BUCKETS - 1);
    ((power - 2) * SUB_BUCKETS + sub).min(BUCKETS - 1)
}

/// Largest latency in ns that falls into a bucket.
fn upper_edge(bucket: usize) -> u64 {
    if bucket < SUB_BUCKETS {
        return bucket as u64;
    }
    let power = bucket / SUB_BUCKETS + 2;
    let sub = (bucket % SUB_BUCKETS) as u64;
    ((SUB_BUCKETS as u64 + sub + 1) << (power - 3)) - 1
}

/// An operation that has started.
#[derive(Debug)]
pub struct InFlight<'a> {
    recorder: Holder<'a>,
    started: Instant,
    done: bool,
}

#[derive(Debug)]
enum Holder<'a> {
    Borrowed(&'a Recorder),
    Shared(Arc<Recorder>),
}

impl Deref for Holder<'_> {
    type Target = Recorder;

    fn deref(&self) -> &Recorder {
        match self {
            Self::Borrowed(recorder) => recorder,
            Self::Shared(recorder) => recorder,
        }
    }
}

impl<'a> InFlight<'a> {
    fn new(recorder: Holder<'a>) -> Self {
        recorder.begin();
        Self { recorder, started: Instant::now(), done: false }
    }

    /// When it started.
    #[must_use]
    pub const fn started(&self) -> Instant {
        self.started
    }

    /// Ends the operation and counts what it came to; how long it ran.
    pub fn finish(mut self, result: Result<&Outcome, &Error>) -> Duration {
        self.done = true;
        let took = self.started.elapsed();
        self.recorder.end(took, result.ok());
        took
    }
}

impl Drop for InFlight<'_> {
    fn drop(&mut self) {
        if !self.done {
            self.recorder.abandon();
        }
    }
}

/// What was counted. Values are read one by one, so that under load they may be a few operations apart.
#[derive(Debug, Clone, PartialEq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
#[non_exhaustive]
pub struct Statistics {
    /// Operations that succeeded.
    pub operations: u64,
    /// Bytes of input of those.
    pub bytes_in: u64,
    /// Bytes of output of those.
    pub bytes_out: u64,
    /// Operations that failed.
    pub errors: u64,
    /// Asynchronous operations whose future was dropped before they ended. Some never started, and those that ran were
    /// worked on to their end; their bytes and times are counted nowhere.
    #[cfg_attr(feature = "serde", serde(default))]
    pub abandoned: u64,
    /// Requests that were submitted again.
    pub retries: u64,
    /// Operations that ran on the CPU, by reason.
    pub software: SoftwareExecutions,
    /// Operations that have begun and not ended: those that run, and futures that wait for a thread or for the device.
    pub in_flight: u64,
    /// Sum of the operations' durations; more than `elapsed` when they overlap.
    pub busy: Duration,
    /// Time since the counters were at zero.
    pub elapsed: Duration,
    /// Share of the device's capacity in use, 0 to 1, where the device tells; `None` where it does not.
    pub utilisation: Option<f64>,
    /// Latency of successful operations; `None` before the first.
    pub latency: Option<Latency>,
}

impl Statistics {
    /// Bytes of input per second of `elapsed`.
    #[must_use]
    pub fn throughput(&self) -> f64 {
        let seconds = self.elapsed.as_secs_f64();
        if seconds > 0.0 { self.bytes_in as f64 / seconds } else { 0.0 }
    }
}

/// Operations that ran on the CPU, by reason.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct SoftwareExecutions([u64; SoftwareReason::ALL.len()]);

impl SoftwareExecutions {
    /// How many for this reason.
    #[must_use]
    pub const fn count(&self, reason: SoftwareReason) -> u64 {
        self.0[reason.index()]
    }

    /// Counts one more for this reason.
    pub const fn add(&mut self, reason: SoftwareReason) {
        self.0[reason.index()] += 1;
    }

    /// How many in all.
    #[must_use]
    pub fn total(&self) -> u64 {
        self.0.iter().sum()
    }

    /// Every reason that occurred, with its count.
    pub fn iter(&self) -> impl Iterator<Item = (SoftwareReason, u64)> + '_ {
        SoftwareReason::ALL.into_iter().zip(self.0).filter(|(_, count)| *count > 0)
    }
}

#[cfg(feature = "serde")]
mod software_serde {
    use std::collections::BTreeMap;

    use serde::de::{Deserialize, Deserializer, Error as _};
    use serde::ser::{Serialize, Serializer};

    use super::{SoftwareExecutions, SoftwareReason};

    impl Serialize for SoftwareExecutions {
        fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
            serializer.collect_map(self.iter())
        }
    }

    impl<'de> Deserialize<'de> for SoftwareExecutions {
        fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
            let mut all = Self::default();
            // Through text keys, so that formats without enum keys work as well.
            for (name, count) in BTreeMap::<String, u64>::deserialize(deserializer)? {
                let key = serde::de::value::StringDeserializer::<D::Error>::new(name);
                let reason = SoftwareReason::deserialize(key).map_err(D::Error::custom)?;
                all.0[reason.index()] = count;
            }
            Ok(all)
        }
    }
}

/// Latency percentiles, rounded up by at most one part in eight.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
pub struct Latency {
    /// Half of the operations took no longer.
    pub p50: Duration,
    /// 90 % took no longer.
    pub p90: Duration,
    /// 99 % took no longer.
    pub p99: Duration,
    /// 99.9 % took no longer.
    pub p999: Duration,
    /// None took longer.
    pub max: Duration,
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn outcome(path: ExecutedOn) -> Outcome {
        Outcome { bytes_in: 100, bytes_out: 40, path }
    }

    #[test]
    fn counts_successes_failures_and_reasons() {
        let recorder = Recorder::new();
        recorder.start().finish(Ok(&outcome(ExecutedOn::Software(SoftwareReason::Busy))));
        recorder.start().finish(Ok(&outcome(ExecutedOn::Hardware { instance: 0 })));
        recorder.start().finish(Err(&Error::LimitExceeded { limit: 1 }));
        drop(recorder.start());
        let panicked = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
            let _in_flight = recorder.start();
            panic!("on purpose");
        }));
        assert!(panicked.is_err());
        recorder.retry();
        let open = recorder.start();
        recorder.begin();
        recorder.begin();
        recorder.end(Duration::from_millis(2), Some(&outcome(ExecutedOn::Hardware { instance: 0 })));
        recorder.end(Duration::ZERO, None);
        let seen = recorder.statistics();
        assert_eq!((seen.operations, seen.errors, seen.retries, seen.in_flight), (3, 3, 1, 1));
        assert_eq!(seen.abandoned, 1);
        assert_eq!((seen.bytes_in, seen.bytes_out), (300, 120));
        assert!(seen.busy >= Duration::from_millis(2));
        assert_eq!(seen.software.count(SoftwareReason::Busy), 1);
        assert_eq!(seen.software.total(), 1);
        assert!(seen.latency.is_some() && seen.utilisation.is_none() && seen.throughput() > 0.0);
        drop(open);
        assert_eq!(recorder.statistics().in_flight, 0);
    }

    #[test]
    fn a_shared_operation_counts_where_it_started() {
        let recorder = Arc::new(Recorder::new());
        let moved = recorder.clone().start_shared();
        assert_eq!(recorder.in_flight(), 1);
        std::thread::spawn(move || moved.finish(Ok(&outcome(ExecutedOn::Hardware { instance: 3 }))))
            .join()
            .unwrap();
        assert_eq!((recorder.in_flight(), recorder.statistics().operations), (0, 1));
    }

    #[test]
    fn percentiles_bracket_the_recorded_values() {
        let recorder = Recorder::new();
        for ns in 1..=1000_u64 {
            recorder.latency[bucket(ns * 1000)].fetch_add(1, Relaxed);
        }
        let latency = recorder.statistics().latency.unwrap();
        for (value, exact_us) in
            [(latency.p50, 500), (latency.p90, 900), (latency.p99, 990), (latency.max, 1000)]
        {
            let exact = Duration::from_micros(exact_us);
            assert!(value >= exact && value <= exact + exact / 8, "{value:?} for {exact:?}");
        }
    }

    proptest! {
        #[test]
        fn a_bucket_holds_what_it_says(ns in 0..(1_u64 << 41)) {
            let b = bucket(ns);
            prop_assert!(b < BUCKETS);
            if b + 1 < BUCKETS {
                prop_assert!(ns <= upper_edge(b));
                prop_assert!(b == 0 || ns > upper_edge(b - 1));
            }
        }
    }

    #[cfg(feature = "serde")]
    #[test]
    fn statistics_survive_serialisation() {
        let recorder = Recorder::new();
        recorder.start().finish(Ok(&outcome(ExecutedOn::Software(SoftwareReason::TooSmall))));
        let seen = recorder.statistics();
        let json = serde_json::to_string(&seen).unwrap();
        assert!(json.contains("\"too_small\":1"), "{json}");
        assert_eq!(serde_json::from_str::<Statistics>(&json).unwrap(), seen);
        // As an earlier release wrote it.
        let earlier = json.replace("\"abandoned\":0,", "");
        assert_ne!(earlier, json);
        assert_eq!(serde_json::from_str::<Statistics>(&earlier).unwrap(), seen);
    }
}
