//! The instances of one start, and the choice among them.

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

/// What one start of libqat gave: its instances, and what they share.
pub(crate) struct Started {
    pub(crate) services: Services,
    pub(crate) settings: HardwareSettings,
    pub(crate) instances: Vec<Instance>,
    /// The instances' rings, in the same order.
    pub(crate) rings: Vec<Arc<Ring>>,
    by_work: [Vec<u16>; 2],
    pub(crate) memory: Vec<&'static Memory>,
    pub(crate) reactor: Arc<Reactor>,
    pub(crate) trials: Trials,
}

/// One instance.
pub(crate) struct Instance {
    pub(crate) ring: Arc<Ring>,
    /// Its place among the instances of the start, compression first.
    pub(crate) index: u16,
    pub(crate) work: Work,
    pub(crate) node: i32,
    pub(crate) health: Health,
    /// Sessions that belong to no key.
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

/// What a try to submit came to.
pub(crate) enum Submitted {
    /// In flight, on the instance of this index.
    Pending(PendingRequest, u16),
    /// The next try may wait for this.
    Full(Room),
}

/// Whether a request waits while the device is full.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum WhenFull {
    Wait,
    Fail,
}

/// Why a request was not answered as it should.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum RequestError {
    /// No room, and no when_full.
    Busy,
    /// More than the device's memory can ever hold.
    TooLarge,
    Device(DeviceFailure),
}

/// [`DeviceError`] before it is a caller's.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum DeviceFailure {
    Refused(CpaStatus),
    Abandoned(Abandoned),
    NoMemory,
    Suspended,
}

thread_local! {
    /// The instance that this thread used last, by work.
    static LAST: [Cell<u16>; 2] = const { [const { Cell::new(u16::MAX) }; 2] };
}

/// Requests that an instance may have for the thread that used it last to stay with it. The instances of a device share
/// its engines, so that less would spread the requests and gain nothing.
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

    /// What library and device offer, without what they turned out not to do.
    pub(crate) fn offered(&self) -> Services {
        let mut services = self.services;
        services.capabilities.encryption = self.trials.offered(services.capabilities.encryption);
        services
    }

    /// Whether its start is.
    pub(crate) fn is_over(&self) -> bool {
        self.rings.first().is_none_or(|ring| ring.is_closed())
    }

    /// How each instance fares.
    pub(crate) fn instance_infos(&self) -> Vec<InstanceInfo> {
        self.instances.iter().map(Instance::info).collect()
    }

    /// An instance for the next request: this thread's last one while it has little to do, else the least busy one of
    /// those in health, near ones first.
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
        // Threads that come at the same moment begin at different places.
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

    /// The slab of the node that this thread is on, or else the first.
    pub(crate) fn near_memory(&self) -> Option<&'static Memory> {
        let node = if self.memory.len() > 1 { node_of_this_thread() } else { None };
        self.memory.iter().find(|memory| Some(memory.node()) == node).or(self.memory.first()).copied()
    }

    /// Puts a request into flight: on an instance of the pool's choice, `load` fills a slot and `fly` submits it.
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

    /// One try of [`launch`](Self::launch). `since` is when a request without room was first tried.
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
                    // Not the instance's fault, or it is one no more.
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

    /// Tells the instance's health of a request that got no answer.
    pub(crate) fn record_abandoned(&self, reason: Abandoned, index: u16) -> RequestError {
        self.instances[usize::from(index)].health.failed(Failure::Trust);
        RequestError::Device(DeviceFailure::Abandoned(reason))
    }

    /// Runs a request on this thread.
    pub(crate) fn block_on<F: Future>(&self, future: F) -> F::Output {
        polling::block_on(&self.rings, future)
    }

    /// The caller's error for a fault.
    pub(crate) fn error(&self, error: RequestError) -> Error {
        let device = |error: DeviceError| Error::from(error);
        match error {
            RequestError::Busy => Error::Busy { accelerator: error::HARDWARE },
            RequestError::TooLarge => Error::Unsupported {
                accelerator: error::HARDWARE,
                operation: "one request of this size".into(),
                remedy: "use a stream, which cuts it into pieces, or the CPU".into(),
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

/// In units of requests in flight: how much busier a near instance may be than one on another NUMA node.
const FAR: u32 = 16;

/// Why `fly` did not.
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

/// The NUMA node that this thread runs on, where the system tells.
fn node_of_this_thread() -> Option<i32> {
    #[cfg(target_os = "linux")]
    {
        /// Looked up once for each CPU that a thread is seen on.
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
