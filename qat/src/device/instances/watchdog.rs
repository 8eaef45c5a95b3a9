//! The watchdog over the instances of a start: requests that are overdue, and instances that only a new start heals.

use std::fmt;
use std::time::{Duration, Instant};

use qat_sys as sys;

use super::{Instance, Started};
use crate::device::inflight::Work;

/// How often the watchdog looks, with requests in flight and without.
pub(crate) const TICK: Duration = Duration::from_millis(100);
pub(crate) const IDLE_TICK: Duration = Duration::from_secs(1);
/// How often it asks for events, which makes all requests wait for some microseconds.
const EVENTS: Duration = Duration::from_millis(500);
/// How often it asks for the heartbeat, which costs more than the other looks.
const HEARTBEAT: Duration = Duration::from_secs(1);

/// Why libqat has to be stopped and started. The later one is named where there are two.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum RestartReason {
    /// All instances of a service failed time and again.
    AllFailing,
    /// The heartbeat of all physical functions is gone. While one has it, the requests' deadlines tell the others.
    Heartbeat,
    /// libqat does not poll or take requests any more.
    Refusing,
    /// The device announced a restart.
    Restarting,
    /// The device announced that it failed.
    FatalError,
}

impl fmt::Display for RestartReason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Restarting => "the device announced a restart",
            Self::FatalError => "the device announced a fatal error",
            Self::Refusing => "libqat does not take requests or give answers any more",
            Self::AllFailing => "no instance of a service answered as it should, time and again",
            Self::Heartbeat => "the device's heartbeat stopped",
        })
    }
}

/// What the watchdog remembers from look to look.
pub(crate) struct Watchdog {
    looked: Instant,
    events: Every,
    heartbeat: Every,
}

/// Something that is done now and then.
struct Every(Instant);

impl Every {
    /// Whether `interval` has passed since it last had.
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

    /// Whether to ask for the heartbeat.
    pub(crate) fn is_heartbeat_due(&mut self) -> bool {
        self.heartbeat.is_due(HEARTBEAT)
    }

    /// Whole ticks since the last call; the rest counts for the next.
    fn ticks(&mut self) -> u16 {
        let ticks = self.looked.elapsed().as_millis() / TICK.as_millis();
        self.looked += TICK * u32::try_from(ticks).unwrap_or(u32::MAX);
        u16::try_from(ticks).unwrap_or(u16::MAX)
    }

    /// Asks for events by `ask`, gives up what is overdue in `pool`, and says what is wrong with it.
    pub(crate) fn check(&mut self, started: &Started, ask: impl FnOnce()) -> Option<RestartReason> {
        let mut reason = None;
        if self.events.is_due(EVENTS) {
            reason = started.take_events(ask);
        }
        let ticks = self.ticks();
        // A request counts from the first look on.
        let limit =
            u16::try_from(started.settings.deadline.as_millis() / TICK.as_millis() + 1).unwrap_or(u16::MAX);
        for instance in &started.instances {
            // Keys that nobody has any more do not stay in device memory.
            instance.ring.remove_retired_sessions();
            let table = instance.ring.table();
            if table.in_flight() > 0 {
                let limit = limit.min(u16::MAX - 2);
                if table.is_unattended(ticks, limit) {
                    instance.ring.poll();
                }
                let overdue = table.tick(ticks, limit);
                if overdue > 0 {
                    tracing::warn!(instance = instance.index, overdue, "requests were not answered in time");
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
    /// Ends its requests, which libqat says are lost.
    fn end(&self, reason: RestartReason) {
        tracing::warn!(instance = self.index, %reason, "the instance's requests are given up");
        self.ring.refuse();
        // What libqat gave up is not polled again, not even by the stop.
        self.ring.pause().close();
        self.ring.table().abandon_all();
    }
}

impl Started {
    /// Runs `ask`, which has libqat look for events, while nobody uses the rings, and ends the instances that it tells of.
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
            // After a restart the ring is no more, or another one; after a fatal error no answer comes.
            pause.close();
            ended.push((instance, reason));
        }
        for (instance, reason) in &ended {
            instance.end(*reason);
        }
        ended.into_iter().map(|(_, reason)| reason).max()
    }

    /// Whether requests are in flight.
    pub(crate) fn is_busy(&self) -> bool {
        self.rings.iter().any(|ring| ring.table().in_flight() > 0)
    }
}
