//! The instances of one start of libqat, and the choice of an instance for each request. The modules
//! `device::compression` and `device::encryption` submit here; nothing here builds requests.

mod call_context;
mod health;
pub(in crate::device) mod trials;
mod watchdog;
mod window;

use std::cell::Cell;
use std::sync::Arc;
use std::time::Instant;

use accel_core::{Error, Recorder};

use crate::device::inflight::{
    Abandoned, PendingRequest, Refused, Ring, SessionError, SessionTable, SlotGuard, Work,
};
use crate::device::memory::{Memory, NoMemory};
use crate::device::polling::{self, Reactor, Room};
use crate::error::{self, CpaStatus, DeviceError};
use crate::report::{InstanceInfo, Services};
use crate::service::Service;
use crate::settings::HardwareSettings;

pub(crate) use call_context::CallContext;
pub(crate) use health::{Failure, Health};
use trials::Trials;
pub(crate) use watchdog::{IDLE_TICK, RestartReason, TICK, Watchdog};
pub(crate) use window::Window;

/// A running libqat: the instances of one start, and what they share.
pub(crate) struct Started {
    pub(crate) services: Services,
    pub(crate) settings: HardwareSettings,
    pub(crate) instances: Vec<Instance>,
    /// The rings of `instances`, in the same order.
    pub(crate) rings: Vec<Arc<Ring>>,
    by_work: [Vec<u16>; 2],
    pub(crate) memory: Vec<&'static Memory>,
    pub(crate) reactor: Arc<Reactor>,
    pub(crate) trials: Trials,
}

/// An instance of libqat.
pub(crate) struct Instance {
    pub(crate) ring: Arc<Ring>,
    /// The index among the instances of the start; those for compression come first.
    pub(crate) index: u16,
    pub(crate) work: Work,
    pub(crate) node: i32,
    pub(crate) health: Health,
    /// The sessions that belong to no key.
    pub(crate) sessions: SessionTable,
}

impl Instance {
    pub(crate) fn new(ring: Arc<Ring>, index: u16, work: Work, node: i32, sessions: SessionTable) -> Self {
        Self { ring, index, work, node, health: Health::default(), sessions }
    }
}

impl Instance {
    fn info(&self) -> InstanceInfo {
        let table = self.ring.table();
        InstanceInfo {
            index: self.index,
            service: match self.work {
                Work::Compression => Service::Compression,
                Work::Symmetric => Service::Symmetric,
            },
            node: self.node,
            requests: table.submitted(),
            errors: self.health.errors(),
            retries: self.health.retries(),
            in_flight: table.in_flight(),
            parked: table.parked(),
            slots_in_use: table.slots_in_use(),
            suspended: !self.health.may_be_used(),
            suspensions: self.health.suspensions(),
            library: self.ring.library_counts(),
        }
    }
}

/// The result of an attempt to submit a request.
pub(crate) enum Submitted {
    /// The request is in flight on the instance with this index.
    Pending(PendingRequest, u16),
    /// The device is full. The next attempt can wait for this future.
    Full(Room),
}

/// Whether a request waits while the device is full.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum WhenFull {
    Wait,
    Fail,
}

/// Why a request could not be submitted or did not complete.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum RequestError {
    /// The device or its memory is full, and the request may not wait, or has waited until the deadline.
    Busy,
    /// The request is larger than the device's memory.
    TooLarge,
    Device(DeviceFailure),
}

/// A failure of the device, from which [`Started::error`] creates a [`DeviceError`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum DeviceFailure {
    Refused(CpaStatus),
    Abandoned(Abandoned),
    NoMemory,
    Suspended,
}

thread_local! {
    /// The index of the instance that this thread used last, by kind of work.
    static LAST: [Cell<u16>; 2] = const { [const { Cell::new(u16::MAX) }; 2] };
}

/// A thread stays with the instance that it used last while that has fewer requests in flight than this. The instances
/// of a device share its engines, so spreading requests earlier would gain nothing.
const KEEP: u32 = 32;

impl Started {
    pub(crate) fn new(
        services: Services,
        settings: HardwareSettings,
        instances: Vec<Instance>,
        memory: Vec<&'static Memory>,
    ) -> Self {
        let rings: Vec<_> = instances.iter().map(|instance| instance.ring.clone()).collect();
        let reactor = Reactor::new(rings.clone());
        let of = |work| {
            instances.iter().filter(|instance| instance.work == work).map(|instance| instance.index).collect()
        };
        let by_work = [of(Work::Compression), of(Work::Symmetric)];
        for (index, ring) in rings.iter().enumerate() {
            let reactor = reactor.clone();
            ring.table().waiters.set(index, Some(Box::new(move || reactor.call())));
        }
        Self { services, settings, instances, rings, by_work, memory, reactor, trials: Trials::default() }
    }

    /// Returns what library and device offer, without what failed its trial.
    pub(crate) fn offered(&self) -> Services {
        let mut services = self.services;
        services.capabilities.encryption = self.trials.offered(services.capabilities.encryption);
        services
    }

    /// Returns whether the libqat start that created this has ended.
    pub(crate) fn is_over(&self) -> bool {
        self.rings.first().is_none_or(|ring| ring.is_closed())
    }

    /// Returns the state and the counters of each instance.
    pub(crate) fn instance_infos(&self) -> Vec<InstanceInfo> {
        self.instances.iter().map(Instance::info).collect()
    }

    /// Chooses an instance for the next request: the one that this thread used last while it has few requests, and
    /// otherwise the least busy one that is not suspended, preferring this thread's NUMA node. Returns `None` when all
    /// are suspended.
    #[inline(always)]
    fn choose(&self, work: Work) -> Option<&Instance> {
        loop {
            let instance = self.candidate(work)?;
            if instance.health.begin_use() {
                return Some(instance);
            }
        }
    }

    #[inline(always)]
    fn candidate(&self, work: Work) -> Option<&Instance> {
        let candidates = &self.by_work[work as usize];
        let last = LAST.with(|last| last[work as usize].get());
        if let Some(instance) = self.instances.get(usize::from(last))
            && instance.work == work
            && instance.ring.table().in_flight() < KEEP
            && instance.health.is_good()
        {
            return Some(instance);
        }
        let node = if self.memory.len() > 1 { node_of_this_thread() } else { None };
        // Threads that choose at the same time begin their search at different instances.
        let start = usize::from(last) % candidates.len().max(1);
        let (before, after) = candidates.split_at(start.min(candidates.len()));
        let chosen = after
            .iter()
            .chain(before)
            .map(|index| &self.instances[usize::from(*index)])
            .filter(|instance| instance.health.may_be_used())
            .min_by_key(|instance| {
                let is_far = node.is_some_and(|node| node != instance.node);
                (instance.ring.table().in_flight() + if is_far { FAR } else { 0 }, is_far)
            })?;
        LAST.with(|last| last[work as usize].set(chosen.index));
        Some(chosen)
    }

    /// Returns the memory of the NUMA node that this thread runs on, or else the first one.
    pub(crate) fn near_memory(&self) -> Option<&'static Memory> {
        let node = if self.memory.len() > 1 { node_of_this_thread() } else { None };
        self.memory.iter().find(|memory| Some(memory.node()) == node).or(self.memory.first()).copied()
    }

    /// Submits a request on an instance that it chooses: `load` fills a slot, and `submit` submits it. Waits while the
    /// device is full, if `when_full` says so.
    pub(crate) async fn submit(
        &self,
        work: Work,
        when_full: WhenFull,
        recorder: &Recorder,
        mut load: impl FnMut(&Instance, &mut SlotGuard) -> Result<(), NoMemory>,
        mut submit: impl FnMut(&Instance, SlotGuard) -> Result<PendingRequest, Unsent>,
    ) -> Result<(PendingRequest, u16), RequestError> {
        let mut since = None;
        loop {
            match self.try_submit(work, when_full, recorder, &mut since, &mut load, &mut submit)? {
                Submitted::Pending(pending, instance) => return Ok((pending, instance)),
                Submitted::Full(room) => room.await,
            }
        }
    }

    /// Makes one attempt of [`submit`](Self::submit). `since` is the time at which the request first found the device
    /// full.
    #[inline(always)]
    pub(crate) fn try_submit(
        &self,
        work: Work,
        when_full: WhenFull,
        recorder: &Recorder,
        since: &mut Option<Instant>,
        load: impl FnMut(&Instance, &mut SlotGuard) -> Result<(), NoMemory>,
        submit: impl FnMut(&Instance, SlotGuard) -> Result<PendingRequest, Unsent>,
    ) -> Result<Submitted, RequestError> {
        let instance = self.choose(work).ok_or(RequestError::Device(DeviceFailure::Suspended))?;
        match self.attempt(instance, load, submit) {
            Ok(pending) => return Ok(Submitted::Pending(pending, instance.index)),
            Err(RequestError::Busy) if when_full == WhenFull::Wait => instance.health.was_full(),
            Err(error) => {
                match error {
                    RequestError::Device(DeviceFailure::Refused(_)) => {
                        instance.health.failed(Failure::Request)
                    }
                    RequestError::Busy => instance.health.was_full(),
                    // These are not failures of the instance, or libqat is stopping.
                    RequestError::Device(_) | RequestError::TooLarge => {}
                }
                return Err(error);
            }
        }
        recorder.retry();
        if since.get_or_insert_with(Instant::now).elapsed() > self.settings.deadline {
            return Err(RequestError::Busy);
        }
        Ok(Submitted::Full(Room::on(instance.ring.table())))
    }

    fn attempt(
        &self,
        instance: &Instance,
        mut load: impl FnMut(&Instance, &mut SlotGuard) -> Result<(), NoMemory>,
        mut submit: impl FnMut(&Instance, SlotGuard) -> Result<PendingRequest, Unsent>,
    ) -> Result<PendingRequest, RequestError> {
        let gone = RequestError::Device(DeviceFailure::Abandoned(Abandoned::DeviceGone));
        let full = || if instance.ring.is_refusing() { gone } else { RequestError::Busy };
        let mut slot = instance.ring.claim()?.ok_or_else(full)?;
        load(instance, &mut slot)?;
        match submit(instance, slot) {
            Ok(pending) => Ok(pending),
            Err(Unsent::Refused(Refused { status: CpaStatus::RETRY, .. })) => Err(RequestError::Busy),
            Err(Unsent::Refused(Refused { status: CpaStatus::RESTARTING, .. })) => Err(gone),
            Err(Unsent::Refused(Refused { status, .. })) => {
                Err(RequestError::Device(DeviceFailure::Refused(status)))
            }
            Err(Unsent::NoSession(SessionError::Refused(CpaStatus::RESTARTING))) => Err(gone),
            Err(Unsent::NoSession(SessionError::Refused(status))) => {
                Err(RequestError::Device(DeviceFailure::Refused(status)))
            }
            Err(Unsent::NoSession(SessionError::Memory(error))) => Err(error.into()),
        }
    }

    /// Records a request without a response in the instance's health.
    pub(crate) fn record_abandoned(&self, reason: Abandoned, index: u16) -> RequestError {
        self.instances[usize::from(index)].health.failed(Failure::Trust);
        RequestError::Device(DeviceFailure::Abandoned(reason))
    }

    /// Runs `future` on this thread, which polls the rings that it waits for.
    pub(crate) fn block_on<F: Future>(&self, future: F) -> F::Output {
        polling::block_on(&self.rings, future)
    }

    /// Converts a failure to the error that the caller sees.
    pub(crate) fn error(&self, error: RequestError) -> Error {
        let device = |error: DeviceError| Error::from(error);
        match error {
            RequestError::Busy => Error::Busy { accelerator: error::HARDWARE },
            RequestError::TooLarge => Error::Unsupported {
                accelerator: error::HARDWARE,
                operation: "one request of this size".into(),
                remedy: "use a stream, which splits the data, raise HardwareSettings::memory, or use the CPU"
                    .into(),
            },
            RequestError::Device(DeviceFailure::Refused(status)) => device(DeviceError::Refused { status }),
            RequestError::Device(DeviceFailure::Abandoned(Abandoned::TimedOut)) => {
                device(DeviceError::TimedOut { deadline: self.settings.deadline })
            }
            RequestError::Device(DeviceFailure::Abandoned(Abandoned::DeviceGone)) => {
                device(DeviceError::Gone)
            }
            RequestError::Device(DeviceFailure::NoMemory) => device(DeviceError::NoMemory),
            RequestError::Device(DeviceFailure::Suspended) => device(DeviceError::Suspended),
        }
    }
}

/// The number of requests in flight that a near instance may have more than one on another NUMA node and still be
/// preferred.
const FAR: u32 = 16;

/// Why a request was not submitted.
pub(crate) enum Unsent {
    Refused(Refused),
    NoSession(SessionError),
}

impl From<Refused> for Unsent {
    fn from(refused: Refused) -> Self {
        Self::Refused(refused)
    }
}

impl From<SessionError> for Unsent {
    fn from(error: SessionError) -> Self {
        Self::NoSession(error)
    }
}

impl From<NoMemory> for RequestError {
    fn from(error: NoMemory) -> Self {
        match error {
            NoMemory::TooLarge => Self::TooLarge,
            NoMemory::Limit => Self::Busy,
            NoMemory::System => Self::Device(DeviceFailure::NoMemory),
        }
    }
}

/// Returns the NUMA node that this thread runs on; `None` where the system does not report it.
fn node_of_this_thread() -> Option<i32> {
    #[cfg(target_os = "linux")]
    {
        /// Reads the node of a CPU from sysfs, which happens when a thread is seen on another CPU than before.
        fn node_of(cpu: usize) -> Option<i32> {
            let entries = std::fs::read_dir(format!("/sys/devices/system/cpu/cpu{cpu}")).ok()?;
            entries
                .filter_map(|entry| entry.ok()?.file_name().to_str()?.strip_prefix("node")?.parse().ok())
                .next()
        }
        thread_local! {
            static SEEN: Cell<(usize, Option<i32>)> = const { Cell::new((usize::MAX, None)) };
        }
        let cpu = rustix::thread::sched_getcpu();
        SEEN.with(|seen| {
            if seen.get().0 != cpu {
                seen.set((cpu, node_of(cpu)));
            }
            seen.get().1
        })
    }
    #[cfg(not(target_os = "linux"))]
    None
}
