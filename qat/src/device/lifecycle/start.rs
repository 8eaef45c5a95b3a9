//! What happens between libqat's start and its stop, on the thread that does both.

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

/// Longest wait for requests that are still on the device at the stop.
const DRAIN: Duration = Duration::from_secs(2);

const DRAIN_NAP: Duration = Duration::from_micros(100);
/// Longest wait for callers to take note that their requests were given up.
const RETURN: Duration = Duration::from_millis(200);

/// The slabs of a process, by NUMA node. Kept over a stop, for buffers that the program still holds.
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

/// Makes everything ready that the started library has for compression and symmetric encryption. What does not start is
/// left out.
///
/// # Safety
/// libqat is started, and [`halt`] comes before its stop.
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
        // SAFETY: the caller's contract; the count is the library's own.
        let handles = unsafe { instance::instances(symbols, kind, count) }.unwrap_or_default();
        for handle in handles.into_iter().filter(|handle| !handle.is_null()) {
            let Some(table) = Table::acquire() else {
                tracing::warn!("more instances than this crate can use");
                break;
            };
            // SAFETY: the caller's contract; the handle is an instance that does `work`.
            let node = unsafe { node_of(symbols, handle, work) };
            let memory = memories.on(symbols, node, settings.memory);
            // SAFETY: the same, and `halt` closes it.
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
                    tracing::warn!(?work, %status, "an instance does not start");
                    table.retire(true);
                }
            }
        }
    }
    Started::new(services, settings, instances, used)
}

/// # Safety
/// libqat is started and `handle` is an instance of this start that does `work`.
unsafe fn node_of(symbols: &Symbols, handle: CpaInstanceHandle, work: Work) -> i32 {
    let info = match work {
        // SAFETY: the caller's contract.
        Work::Compression => unsafe { dc::info(symbols, handle) },
        // SAFETY: the same.
        Work::Symmetric => unsafe { cy::info(symbols, handle) },
    };
    info.map_or(0, |info| info.nodeAffinity as i32)
}

/// Ends everything: waits for what is on the device, gives up what does not come, and leaves nothing of ours in libqat.
/// What may not go before libqat's stop is [`finish`]ed after it.
///
/// # Safety
/// libqat is started, by the start that `pool` is of.
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
    // Those that were given up return now, and with the last of them the sessions can go in order.
    let give_up = Instant::now() + RETURN;
    while Arc::strong_count(&started) > 1 && Instant::now() < give_up {
        thread::sleep(DRAIN_NAP);
    }
    match Arc::get_mut(&mut started) {
        Some(started) => started.instances.iter_mut().for_each(|instance| instance.sessions.clear()),
        // A future that was never finished; its pool keeps sessions that nobody uses any more.
        None => tracing::debug!("requests outlive the stop"),
    }
    for ring in &started.rings {
        ring.close();
        // What was submitted between the first time and the closing.
        ring.table().abandon_all();
    }
    started.reactor.end();
    fence(SeqCst);
    for ring in &started.rings {
        ring.table().waiters.set(0, None);
        ring.table().waiters.wake_for_room();
        // SAFETY: the caller's contract.
        if let Err(status) = unsafe { ring.stop() } {
            tracing::debug!(%status, "an instance does not stop");
        }
    }
    for memory in &started.memory {
        memory.close();
    }
    started
}

/// Gives memory back after libqat's stop, or, where that failed, what no device can have.
pub(super) fn finish(started: &Started, is_stopped: bool) {
    let given_up: usize = started.rings.iter().map(|ring| ring.table().retire(is_stopped)).sum();
    if given_up > 0 {
        tracing::warn!(given_up, "requests that were never answered keep their memory");
    }
    for memory in &started.memory {
        memory.trim();
    }
}
