//! The watchdog over the instances of a start: it abandons overdue requests, and finds out when libqat has to be
//! restarted. The thread that owns libqat calls it and does the restart.

use std::fmt;
use std::time::{Duration, Instant};

use qat_sys as sys;

use super::{Instance, Started};
use crate::device::inflight::Work;

/// The interval of the watchdog's checks while requests are in flight.
pub(crate) const TICK: Duration = Duration::from_millis(100);
/// The interval of the watchdog's checks while no request is in flight.
pub(crate) const IDLE_TICK: Duration = Duration::from_secs(1);
/// The interval of polls for device events, which delay all requests by some microseconds.
const EVENTS: Duration = Duration::from_millis(500);
/// The interval of heartbeat checks, which take longer than the other checks.
const HEARTBEAT: Duration = Duration::from_secs(1);

/// Why libqat has to be restarted. Of two reasons, the later variant is reported.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum RestartReason {
    /// All instances of a service failed repeatedly.
    AllFailing,
    /// No physical function has a heartbeat. While some have, deadlines of requests reveal the others.
    Heartbeat,
    /// libqat rejects polls or requests.
    Refusing,
    /// A device announced a restart.
    Restarting,
    /// A device announced a fatal error.
    FatalError,
}

impl fmt::Display for RestartReason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Restarting => "the device announced a restart",
            Self::FatalError => "the device announced a fatal error",
            Self::Refusing => "libqat rejects requests or polls",
            Self::AllFailing => "all instances of a service failed repeatedly",
            Self::Heartbeat => "the device's heartbeat stopped",
        })
    }
}

/// The watchdog's state from one check to the next.
pub(crate) struct Watchdog {
    looked: Instant,
    events: Every,
    heartbeat: Every,
}

/// A task that is repeated; the time is that of the last execution.
struct Every(Instant);

impl Every {
    /// Returns whether `interval` has passed since this last returned true.
    fn is_due(&mut self, interval: Duration) -> bool {
        let is_due = self.0.elapsed() >= interval;
        if is_due {
            self.0 = Instant::now();
        }
        is_due
    }
}

impl Watchdog {
    pub(crate) fn new() -> Self {
        let now = Instant::now();
        Self { looked: now, events: Every(now), heartbeat: Every(now) }
    }

    /// Returns whether a heartbeat check is due.
    pub(crate) fn is_heartbeat_due(&mut self) -> bool {
        self.heartbeat.is_due(HEARTBEAT)
    }

    /// Returns the whole ticks since the last call. A remainder counts towards the next call.
    fn ticks(&mut self) -> u16 {
        let ticks = self.looked.elapsed().as_millis() / TICK.as_millis();
        self.looked += TICK * u32::try_from(ticks).unwrap_or(u32::MAX);
        u16::try_from(ticks).unwrap_or(u16::MAX)
    }

    /// Polls for device events with `ask`, abandons overdue requests, and returns why libqat has to be restarted, if it
    /// has.
    pub(crate) fn check(&mut self, started: &Started, ask: impl FnOnce()) -> Option<RestartReason> {
        let mut reason = None;
        if self.events.is_due(EVENTS) {
            reason = started.take_events(ask);
        }
        let ticks = self.ticks();
        // A request's age counts from the first check that sees it, hence one more tick.
        let limit =
            u16::try_from(started.settings.deadline.as_millis() / TICK.as_millis() + 1).unwrap_or(u16::MAX);
        for instance in &started.instances {
            // Sessions of dropped keys must not remain in device memory, even when no request polls the ring.
            instance.ring.remove_retired_sessions();
            let table = instance.ring.table();
            if table.in_flight() > 0 {
                let limit = limit.min(u16::MAX - 2);
                if table.is_unattended(ticks, limit) {
                    instance.ring.poll();
                }
                let overdue = table.tick(ticks, limit);
                if overdue > 0 {
                    tracing::warn!(
                        instance = instance.index,
                        overdue,
                        "requests were abandoned, because the device did not respond in time"
                    );
                }
            }
            if instance.ring.take_failure() {
                instance.end(RestartReason::Refusing);
                reason = reason.max(Some(RestartReason::Refusing));
            }
        }
        let of = |work| started.instances.iter().filter(move |instance| instance.work == work);
        let needs_restart = |work| of(work).next().is_some() && of(work).all(|it| it.health.needs_restart());
        let failing = [Work::Compression, Work::Symmetric].into_iter().any(needs_restart);
        reason.max(failing.then_some(RestartReason::AllFailing))
    }
}

impl Instance {
    /// Abandons the instance's requests, because libqat reported that the instance failed.
    fn end(&self, reason: RestartReason) {
        tracing::warn!(instance = self.index, %reason, "the instance's requests are abandoned");
        self.ring.refuse();
        // After such an event libqat must not be polled again, not even by the stop.
        self.ring.pause().close();
        self.ring.table().abandon_all();
    }
}

impl Started {
    /// Runs `ask`, which polls libqat for device events, while no thread uses the rings, and shuts down the instances
    /// whose device failed or restarts.
    fn take_events(&self, ask: impl FnOnce()) -> Option<RestartReason> {
        let pauses: Vec<_> = self.rings.iter().map(|ring| ring.pause()).collect();
        ask();
        let mut ended = Vec::new();
        for (instance, pause) in self.instances.iter().zip(pauses) {
            let events = instance.ring.table().take_events();
            let has = |event: sys::CpaInstanceEvent| events >> event & 1 == 1;
            let reason = if has(sys::CPA_INSTANCE_EVENT_FATAL_ERROR) {
                RestartReason::FatalError
            } else if has(sys::CPA_INSTANCE_EVENT_RESTARTING) {
                RestartReason::Restarting
            } else {
                continue;
            };
            // After a restart the ring is gone or replaced, and after a fatal error no response comes, so the ring must
            // not be used again.
            pause.close();
            ended.push((instance, reason));
        }
        for (instance, reason) in &ended {
            instance.end(*reason);
        }
        ended.into_iter().map(|(_, reason)| reason).max()
    }

    /// Returns whether requests are in flight.
    pub(crate) fn is_busy(&self) -> bool {
        self.rings.iter().any(|ring| ring.table().in_flight() > 0)
    }
}
