//! A virtual function: its identity, its register windows, its mailbox and its ring pairs. The machine's threads serve
//! it, and the process boundary opens, attaches and resets it.

use std::{
    collections::VecDeque,
    sync::{
        Arc, Mutex, MutexGuard, OnceLock, PoisonError, RwLock, TryLockError,
        atomic::{
            AtomicBool, AtomicU64,
            Ordering::{Relaxed, SeqCst},
        },
    },
};

use super::{
    bank::{AddressSpace, Bank, EngineSchedule, RingContext, ServeResult},
    mailbox::{Handled, Mailbox, Notification, Notified},
    registers::{
        BANK_STRIDE, BANKS, BASE_SEEN, BUS_MASTER, BankOffsets, COMMAND, CONFIG_BYTES, CONFIG_SEEN,
        MESSAGE_MASK, MISC_BAR_BYTES, PF_TO_VF, REQUEST, RESPONSE, RING_BAR_BYTES, Registers, VF_TO_PF,
    },
};
use crate::{
    config::{Config, Model, Services, Timing},
    counters::Counters,
    engine::Engines,
    fault::{FaultKind, Faults},
    unserved::{self, UnservedKind},
};

/// The properties of a virtual function that sysfs shows.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Identity {
    pub(crate) index: usize,
    /// The index of its device.
    pub(crate) device: usize,
    /// The PCI address: four hexadecimal fields.
    pub(crate) address: String,
    /// The number of its IOMMU group.
    pub(crate) group: u32,
    pub(crate) model: Model,
    pub(crate) numa_node: i32,
    pub(crate) services: Services,
}

impl Identity {
    /// Returns the virtual functions of a machine, device by device.
    pub(crate) fn all(config: &Config) -> Vec<Self> {
        const FIRST_GROUP: u32 = 200;
        let mut all: Vec<Self> = Vec::new();
        for (device, d) in config.devices.iter().enumerate() {
            // Function 0 of the bus is the physical function.
            for function in 1..=d.vfs {
                let index = all.len();
                all.push(Self {
                    index,
                    device,
                    address: format!("0000:{:02x}:{:02x}.{:x}", bus(device), function / 8, function % 8),
                    group: FIRST_GROUP + index as u32,
                    model: d.model,
                    numa_node: d.numa_node,
                    services: d.services,
                });
            }
        }
        all
    }
}

/// Returns the PCI address of a physical function.
pub(crate) fn physical_address(device: usize) -> String {
    format!("0000:{:02x}:00.0", bus(device))
}

/// Returns the PCI bus of a device. Each device has its own bus, because libqat assumes that virtual functions on the
/// same bus belong to the same device.
fn bus(device: usize) -> usize {
    (0x10 + device) & 0xFF
}

/// The register windows of an open virtual function.
pub(crate) struct Windows {
    pub(crate) rings: Box<dyn Registers + Send + Sync>,
    pub(crate) misc: Box<dyn Registers + Send + Sync>,
    pub(crate) config: Box<dyn Registers + Send + Sync>,
}

/// What a virtual function shares with the other functions of its device.
pub(crate) struct DeviceContext<'a> {
    pub(crate) faults: &'a Faults,
    pub(crate) counters: &'a Counters,
    pub(crate) timing: Timing,
    pub(crate) schedule: &'a EngineSchedule,
    /// Whether the firmware of the device hangs, so that none of its functions serves requests.
    pub(crate) hung: &'a AtomicBool,
}

/// The receiver of the function's message interrupt.
pub(crate) trait Interrupt: Send + Sync {
    /// Signals one interrupt.
    fn raise(&self);
}

pub(crate) struct Vf {
    pub(crate) identity: Identity,
    mailbox: Mailbox,
    banks: [Mutex<Bank>; BANKS],
    /// The [`activity`] of each bank when it was last found to have nothing to do. The bank is not examined again until
    /// the activity differs.
    idle: [AtomicU64; BANKS],
    windows: OnceLock<Windows>,
    space: RwLock<Option<Arc<dyn AddressSpace>>>,
    /// Whether the function serves no requests until the next reset.
    dead: AtomicBool,
    removed: AtomicBool,
    mailbox_dead: bool,
    notifications: Mutex<VecDeque<Notification>>,
    /// The receiver of the one message interrupt that all ring pairs share.
    interrupt: Mutex<Option<Box<dyn Interrupt>>>,
}

/// A value that [`activity`] never returns, because it uses 38 bits.
const NOT_IDLE: u64 = u64::MAX;

/// Combines the registers of a bank that can indicate work: the request tail, the arbiter, whether interrupts are
/// enabled, and whether the program wrote the rings' addresses or configurations since the device read them.
fn activity(rings: &dyn Registers, offsets: BankOffsets) -> u64 {
    let bit = |offset: usize, mask: u32, at: u32| u64::from(rings.load(offset) & mask != 0) << at;
    u64::from(rings.load(offsets.tail(REQUEST)))
        | bit(offsets.arbiter(), 1, 32)
        | bit(offsets.interrupt_enable(), 1 << RESPONSE, 33)
        | bit(offsets.base_low(REQUEST), BASE_SEEN, 34)
        | bit(offsets.base_low(RESPONSE), BASE_SEEN, 35)
        | bit(offsets.config(REQUEST), CONFIG_SEEN, 36)
        | bit(offsets.config(RESPONSE), CONFIG_SEEN, 37)
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    // A poisoned lock is used as it is: a panic in an engine is caught before it reaches a lock, so the state is
    // consistent.
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Vf {
    pub(crate) fn new(identity: Identity, config: &Config) -> Self {
        let services = identity.services.ring_pairs();
        let index = identity.index;
        Self {
            mailbox: Mailbox::new(identity.services, config),
            banks: std::array::from_fn(|bank| Mutex::new(Bank::new(index, bank, services[bank]))),
            idle: [const { AtomicU64::new(NOT_IDLE) }; BANKS],
            windows: OnceLock::new(),
            space: RwLock::new(None),
            dead: AtomicBool::new(false),
            removed: AtomicBool::new(false),
            mailbox_dead: config.start.mailbox_dead,
            notifications: Mutex::new(VecDeque::new()),
            interrupt: Mutex::new(None),
            identity,
        }
    }

    /// Returns the windows, which `open` creates the first time.
    pub(crate) fn windows<E>(&self, open: impl FnOnce() -> Result<Windows, E>) -> Result<&Windows, E> {
        if self.windows.get().is_none() {
            let windows = open()?;
            mark_empty(&*windows.rings);
            // When two threads open the windows at once, those of the first one are used.
            let _ = self.windows.set(windows);
        }
        Ok(self.windows.get_or_init(|| unreachable!("set above")))
    }

    /// Returns whether the function serves no requests until the next reset.
    pub(crate) fn is_dead(&self) -> bool {
        self.dead.load(Relaxed)
    }

    pub(crate) fn is_removed(&self) -> bool {
        self.removed.load(Relaxed)
    }

    /// Gives the device access to the memory of a container.
    pub(crate) fn attach(&self, space: Arc<dyn AddressSpace>) {
        *self.space.write().unwrap_or_else(PoisonError::into_inner) = Some(space);
    }

    /// Resets the function and removes its access to memory. The configuration space and the interrupt return to their
    /// initial state.
    pub(crate) fn detach(&self, counters: &Counters) {
        self.reset(counters);
        if let Some(windows) = self.windows.get() {
            clear(&*windows.config, CONFIG_BYTES);
        }
        self.set_interrupt(None);
        *self.space.write().unwrap_or_else(PoisonError::into_inner) = None;
    }

    /// Resets the PCI function, except for its configuration space, which the kernel saves and restores.
    pub(crate) fn reset(&self, counters: &Counters) {
        let Some(windows) = self.windows.get() else { return };
        self.audit_registers(counters);
        // This lock is taken before those of the banks, in the order in which the reset of a ring pair by mailbox takes
        // them.
        lock(&self.notifications).clear();
        let mut banks: Vec<_> = self.banks.iter().map(lock).collect();
        for bank in &mut banks {
            bank.reset(&*windows.rings, counters);
        }
        for idle in &self.idle {
            idle.store(NOT_IDLE, Relaxed);
        }
        clear(&*windows.rings, RING_BAR_BYTES);
        clear(&*windows.misc, MISC_BAR_BYTES);
        mark_empty(&*windows.rings);
        self.dead.store(false, Relaxed);
        counters.device_resets.fetch_add(1, Relaxed);
    }

    /// Resets one ring pair.
    fn reset_ring_pair(&self, windows: &Windows, bank: usize, counters: &Counters) {
        self.audit_registers(counters);
        let (Some(place), Some(idle)) = (self.banks.get(bank), self.idle.get(bank)) else { return };
        lock(place).reset_all(&*windows.rings, counters);
        idle.store(NOT_IDLE, Relaxed);
        counters.ring_pair_resets.fetch_add(1, Relaxed);
    }

    /// Sets the receiver of interrupts.
    pub(crate) fn set_interrupt(&self, interrupt: Option<Box<dyn Interrupt>>) {
        *lock(&self.interrupt) = interrupt;
    }

    /// Returns whether the program has registered a receiver of interrupts.
    pub(crate) fn has_interrupt(&self) -> bool {
        lock(&self.interrupt).is_some()
    }

    /// Raises an interrupt if the program has registered a receiver.
    pub(crate) fn interrupt(&self, counters: &Counters) {
        if let Some(interrupt) = &*lock(&self.interrupt) {
            interrupt.raise();
            counters.interrupts.fetch_add(1, Relaxed);
        }
    }

    /// Records the values in the register windows that have no effect on this device.
    pub(crate) fn audit_registers(&self, counters: &Counters) {
        let Some(Windows { rings, misc, config }) = self.windows.get() else { return };
        let scan = |place, window: &dyn Registers, bytes, known: &dyn Fn(usize) -> u32| {
            for offset in (0..bytes).step_by(4) {
                let unknown = window.load(offset) & !known(offset);
                if unknown != 0 {
                    counters.unserved(place, self.identity.index, offset, unknown);
                }
            }
        };
        // The window is larger than the ring pairs; no register beyond them is known.
        let ring = |offset| {
            if offset < BANKS * BANK_STRIDE { unserved::ring_register(offset % BANK_STRIDE) } else { 0 }
        };
        scan(UnservedKind::RingRegister, &**rings, RING_BAR_BYTES, &ring);
        scan(UnservedKind::MailboxRegister, &**misc, MISC_BAR_BYTES, &unserved::mailbox_register);
        scan(UnservedKind::ConfigurationSpace, &**config, CONFIG_BYTES, &unserved::configuration_word);
    }

    /// Queues a notification. Those of a fatal error and of a restart also stop the function from serving requests.
    pub(crate) fn notify(&self, notification: Notification) {
        if notification != Notification::Restarted {
            self.dead.store(true, Relaxed);
        }
        lock(&self.notifications).push_back(notification);
    }

    /// Removes the virtual function, so that it does not respond and cannot be opened.
    pub(crate) fn remove(&self) {
        self.removed.store(true, Relaxed);
        self.dead.store(true, Relaxed);
    }

    /// Undoes the removal of a virtual function.
    pub(crate) fn restore(&self) {
        self.removed.store(false, Relaxed);
    }

    /// Serves the mailbox once; returns whether there was anything to do.
    pub(crate) fn serve_mailbox(&self, counters: &Counters) -> bool {
        let Some(windows) = self.windows.get() else { return false };
        if self.mailbox_dead || self.is_removed() {
            return false;
        }
        // The lock is held to the end, so that two threads do not respond to the same message. The thread that holds it
        // serves.
        let mut notifications = match self.notifications.try_lock() {
            Ok(guard) => guard,
            Err(TryLockError::Poisoned(guard)) => guard.into_inner(),
            Err(TryLockError::WouldBlock) => return false,
        };
        if let Some(next) = notifications.front()
            && let notified = self.mailbox.notify(&*windows.misc, *next)
            && notified != Notified::Busy
        {
            notifications.pop_front();
            if notified == Notified::Sent {
                self.announce_message(windows, counters);
            }
            return true;
        }
        let message = windows.misc.load(VF_TO_PF);
        let mut reset = |bank| self.reset_ring_pair(windows, bank, counters);
        let Some(handled) = self.mailbox.serve(&*windows.misc, &mut reset) else { return false };
        counters.mailbox_messages.fetch_add(1, Relaxed);
        if windows.misc.load(PF_TO_VF) & 1 != 0 {
            self.announce_message(windows, counters);
        }
        if handled == Handled::Unknown {
            counters.mailbox_unknown.fetch_add(1, Relaxed);
            let (kind, data) = ((message >> 2 & 0x3F) as usize, message >> 8);
            counters.unserved(UnservedKind::MailboxMessage, self.identity.index, kind, data);
        }
        true
    }

    /// Raises an interrupt for a word to the program in the mailbox, unless the program has masked it.
    fn announce_message(&self, windows: &Windows, counters: &Counters) {
        if windows.misc.load(MESSAGE_MASK) & 1 == 0 {
            self.interrupt(counters);
        }
    }

    /// Serves one ring pair once.
    pub(crate) fn serve_bank(
        &self,
        bank: usize,
        device: &DeviceContext<'_>,
        engines: &mut Engines,
    ) -> ServeResult {
        let Some(windows) = self.windows.get() else { return ServeResult::default() };
        if self.is_dead() || device.hung.load(Relaxed) {
            return ServeResult::default();
        }
        // Without the bit "bus master" the device may not access memory.
        if windows.config.load(COMMAND) & BUS_MASTER == 0 {
            return ServeResult::default();
        }
        let activity = activity(&*windows.rings, BankOffsets::of(bank));
        if self.idle[bank].load(Relaxed) == activity {
            return ServeResult::default();
        }
        // The bank is locked before the memory, as in `detach`, so that no reset happens between the two.
        let mut guard = lock(&self.banks[bank]);
        let space = self.space.read().unwrap_or_else(PoisonError::into_inner).clone();
        let Some(space) = space else { return ServeResult::default() };
        let context = RingContext {
            registers: &*windows.rings,
            space: &*space,
            faults: device.faults,
            counters: device.counters,
            timing: device.timing,
            schedule: device.schedule,
        };
        let result = guard.serve(&context, engines);
        let idle = !result.progress && guard.is_idle();
        self.idle[bank].store(if idle { activity } else { NOT_IDLE }, Relaxed);
        drop(guard);
        if result.interrupt {
            self.interrupt(device.counters);
        }
        match result.event {
            Some(FaultKind::FatalError) => self.notify(Notification::FatalError),
            Some(FaultKind::Restart) => self.notify(Notification::Restarting),
            Some(FaultKind::Removed) => self.remove(),
            Some(FaultKind::Hung) => device.hung.store(true, SeqCst),
            _ => {}
        }
        result
    }
}

/// Marks all rings of all banks as empty.
fn mark_empty(rings: &dyn Registers) {
    for bank in 0..BANKS {
        rings.store(BankOffsets::of(bank).empty_status(), u32::MAX);
    }
}

/// Sets all registers of a window to zero.
fn clear(window: &dyn Registers, bytes: usize) {
    for offset in (0..bytes).step_by(4) {
        window.store(offset, 0);
    }
}
