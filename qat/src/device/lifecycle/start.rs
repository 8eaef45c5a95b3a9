//! Starts the instances after libqat's start, and shuts them down before its stop. The thread that owns libqat calls
//! it; no other thread does.

use std::collections::BTreeMap;
use std::sync::atomic::{Ordering::SeqCst, fence};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use qat_sys::{self as sys, CpaInstanceHandle, Symbols};

use crate::device;
use crate::device::inflight::{Ring, SessionTable, Table, Work};
use crate::device::instances::{Instance, Started};
use crate::device::memory::Memory;
use crate::raw::{cy, dc, instance};
use crate::report::MemoryInfo;
use crate::report::{Instances, Services};
use crate::settings::HardwareSettings;

/// The maximum time that a stop waits for requests that are in flight.
const DRAIN: Duration = Duration::from_secs(2);

const DRAIN_NAP: Duration = Duration::from_micros(100);
/// The maximum time that a stop waits for callers to return after their requests were abandoned.
const RETURN: Duration = Duration::from_millis(200);

/// The memory slabs of a process, by NUMA node. They outlive a stop, because the program may still hold their buffers.
#[derive(Default)]
pub(super) struct Memories(Mutex<BTreeMap<i32, &'static Memory>>);

impl Memories {
    fn on(&self, symbols: &'static Symbols, node: i32, limit: usize) -> &'static Memory {
        let mut memories = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        memories.entry(node).or_insert_with(|| Box::leak(Box::new(Memory::new(symbols, node, limit))))
    }

    pub(super) fn infos(&self) -> Vec<MemoryInfo> {
        let memories = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let info = |memory: &&'static Memory| MemoryInfo {
            node: memory.node(),
            allocated: memory.allocated(),
            in_use: memory.in_use(),
            limit: memory.limit(),
        };
        memories.values().map(info).collect()
    }
}

/// Starts the library's instances for compression and symmetric encryption. Leaves out those that fail to start.
///
/// # Safety
/// libqat is started, and [`halt`] is called before its stop.
pub(super) unsafe fn start_instances(
    symbols: &'static Symbols,
    services: Services,
    settings: HardwareSettings,
    memories: &Memories,
) -> Started {
    let mut instances: Vec<Instance> = Vec::new();
    let mut used: Vec<&'static Memory> = Vec::new();
    let Instances { compression, symmetric, .. } = services.instances;
    for (work, kind, count, sessions) in [
        (
            Work::Compression,
            sys::CPA_ACC_SVC_TYPE_DATA_COMPRESSION,
            compression,
            device::compression::SESSIONS,
        ),
        (Work::Symmetric, sys::CPA_ACC_SVC_TYPE_CRYPTO_SYM, symmetric, device::encryption::SESSIONS),
    ] {
        if count == 0 {
            continue;
        }
        // SAFETY: `instance::instances`: libqat is started by this function's contract, and the count is the one that
        // it reported in this start.
        let handles = unsafe { instance::instances(symbols, kind, count) }.unwrap_or_default();
        for handle in handles.into_iter().filter(|handle| !handle.is_null()) {
            let Some(table) = Table::acquire() else {
                tracing::warn!(
                    "libqat has more instances than this process has request tables; the others stay unused"
                );
                break;
            };
            // SAFETY: `node_of`: libqat is started by this function's contract, and `handle` is an instance of this
            // start that does `work`.
            let node = unsafe { node_of(symbols, handle, work) };
            let memory = memories.on(symbols, node, settings.memory);
            // SAFETY: `Ring::start`: libqat is started by this function's contract, `handle` does `work`, and `halt`
            // closes the ring before the stop.
            match unsafe { Ring::start(symbols, handle, work, table, memory) } {
                Ok(ring) => {
                    if !used.iter().any(|seen| std::ptr::eq(*seen, memory)) {
                        memory.open();
                        used.push(memory);
                    }
                    let index = instances.len() as u16;
                    instances.push(Instance::new(ring, index, work, node, SessionTable::new(sessions)));
                }
                Err(status) => {
                    tracing::warn!(?work, %status, "an instance failed to start and stays unused");
                    table.retire(true);
                }
            }
        }
    }
    Started::new(services, settings, instances, used)
}

/// Returns the NUMA node of an instance, or 0 when libqat does not report it.
///
/// # Safety
/// libqat is started and `handle` is an instance of this start that does `work`.
unsafe fn node_of(symbols: &Symbols, handle: CpaInstanceHandle, work: Work) -> i32 {
    let info = match work {
        // SAFETY: `dc::info`: `handle` is a compression instance of this start by this function's contract.
        Work::Compression => unsafe { dc::info(symbols, handle) },
        // SAFETY: `cy::info`: `handle` is a symmetric instance of this start by this function's contract.
        Work::Symmetric => unsafe { cy::info(symbols, handle) },
    };
    info.map_or(0, |info| info.nodeAffinity as i32)
}

/// Shuts the instances down before libqat's stop: waits for requests in flight, abandons those that do not complete,
/// and removes all sessions. [`finish`] releases what has to remain until after the stop.
///
/// # Safety
/// libqat is still running in the start that `started` belongs to.
pub(super) unsafe fn halt(mut started: Arc<Started>) -> Arc<Started> {
    for ring in &started.rings {
        ring.refuse();
    }
    let give_up = Instant::now() + DRAIN;
    while started.rings.iter().any(|ring| ring.table().is_expecting()) && Instant::now() < give_up {
        for ring in &started.rings {
            ring.poll();
        }
        thread::sleep(DRAIN_NAP);
    }
    for ring in &started.rings {
        ring.table().abandon_all();
    }
    // Callers of abandoned requests return now. Sessions can be removed as soon as no caller holds `started`.
    let give_up = Instant::now() + RETURN;
    while Arc::strong_count(&started) > 1 && Instant::now() < give_up {
        thread::sleep(DRAIN_NAP);
    }
    match Arc::get_mut(&mut started) {
        Some(started) => started.instances.iter_mut().for_each(|instance| instance.sessions.clear()),
        // A future that was never polled to its end keeps `started`, whose sessions `Ring::close` removes from libqat.
        None => tracing::debug!("futures outlive the stop of libqat"),
    }
    for ring in &started.rings {
        ring.close();
        // Requests may have been submitted between the first `abandon_all` and the closing of the ring.
        ring.table().abandon_all();
    }
    started.reactor.end();
    fence(SeqCst);
    for ring in &started.rings {
        ring.table().waiters.set(0, None);
        ring.table().waiters.wake_for_room();
        // SAFETY: `Ring::stop`: libqat is still running by this function's contract.
        if let Err(status) = unsafe { ring.stop() } {
            tracing::debug!(%status, "an instance failed to stop");
        }
    }
    for memory in &started.memory {
        memory.close();
    }
    started
}

/// Frees memory after libqat's stop. Where the stop failed, memory of requests in flight is kept, because a device may
/// still write to it.
pub(super) fn finish(started: &Started, is_stopped: bool) {
    let given_up: usize = started.rings.iter().map(|ring| ring.table().retire(is_stopped)).sum();
    if given_up > 0 {
        tracing::warn!(
            given_up,
            "the memory of requests without a response is lost, because libqat did not stop"
        );
    }
    for memory in &started.memory {
        memory.trim();
    }
}
