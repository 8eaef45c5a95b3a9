//! The emulated machine of a process: its virtual functions, counters, faults and device threads. The process boundary
//! creates it and calls it from the hooks; it never calls into the program.

use std::{
    hint,
    sync::{
        Condvar, Mutex, PoisonError, TryLockError,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
    thread,
    time::{Duration, Instant},
};

use crate::{
    config::{Config, ConfigError},
    counters::{Counters, Snapshot},
    device::{
        bank::EngineSchedule,
        registers::BANKS,
        vf::{DeviceContext, Identity, Vf},
    },
    engine::Engines,
    fault::Faults,
    telemetry::Telemetry,
};

pub(crate) struct Machine {
    pub(crate) config: Config,
    pub(crate) counters: &'static Counters,
    pub(crate) faults: Faults,
    pub(crate) vfs: Vec<Vf>,
    /// Indexed by device.
    pub(crate) schedules: Vec<EngineSchedule>,
    /// Indexed by device.
    pub(crate) telemetry: Vec<Mutex<Telemetry>>,
    /// Whether the firmware of each device hangs, indexed by device.
    hung: Vec<AtomicBool>,
    /// The number of groups in a container; while it is 0, the device threads sleep until they are woken.
    attached: AtomicUsize,
    started: AtomicBool,
    stopping: AtomicBool,
    /// Counts the calls that may have created work for the device.
    calls: Mutex<u64>,
    called: Condvar,
    /// The engines for the thread that calls [`serve_now`](Self::serve_now).
    callers: Mutex<Engines>,
}

/// The number of rounds without work in which a device thread only yields its core.
const SPIN_ROUNDS: u32 = 200;
/// The shortest and longest sleep of an idle device thread. In between, the thread sleeps an eighth of the time since
/// its last work, so that a busy device responds fast and an idle one uses little CPU time.
const SHORTEST_SLEEP: Duration = Duration::from_micros(20);
const LONGEST_SLEEP: Duration = Duration::from_millis(10);

impl Machine {
    pub(crate) fn new(config: Config, counters: &'static Counters) -> Result<Self, ConfigError> {
        config.validate()?;
        let vfs = Identity::all(&config).into_iter().map(|identity| Vf::new(identity, &config)).collect();
        Ok(Self {
            faults: Faults::new(&config.faults, config.seed),
            vfs,
            schedules: config.devices.iter().map(|_| EngineSchedule::default()).collect(),
            telemetry: config.devices.iter().map(|_| Mutex::default()).collect(),
            hung: config.devices.iter().map(|_| AtomicBool::new(false)).collect(),
            counters,
            attached: AtomicUsize::new(0),
            started: AtomicBool::new(false),
            stopping: AtomicBool::new(false),
            calls: Mutex::new(0),
            called: Condvar::new(),
            callers: Mutex::default(),
            config,
        })
    }

    pub(crate) fn vf(&self, index: usize) -> Option<&Vf> {
        self.vfs.get(index)
    }

    /// Returns the counters, after an audit of the register windows.
    pub(crate) fn snapshot(&self) -> Snapshot {
        self.audit_registers();
        self.counters.snapshot()
    }

    /// Records the values in all register windows that have no effect on the device.
    fn audit_registers(&self) {
        for vf in &self.vfs {
            vf.audit_registers(self.counters);
        }
    }

    /// Sets whether the firmware of a device hangs.
    pub(crate) fn set_hung(&self, device: usize, is_hung: bool) {
        if let Some(hung) = self.hung.get(device) {
            hung.store(is_hung, Ordering::SeqCst);
        }
    }

    pub(crate) fn is_hung(&self, device: usize) -> bool {
        self.hung.get(device).is_some_and(|hung| hung.load(Ordering::Relaxed))
    }

    /// Counts a group that joined a container, and starts the device threads the first time. `spawn` runs a function on
    /// a thread that is prepared for running inside a foreign process.
    pub(crate) fn group_attached(
        &'static self,
        spawn: impl Fn(Box<dyn FnOnce() + Send>) -> std::io::Result<()>,
    ) {
        self.attached.fetch_add(1, Ordering::SeqCst);
        if !self.started.swap(true, Ordering::SeqCst) {
            for number in 0..self.config.engine_threads {
                if let Err(error) = spawn(Box::new(move || self.serve(number))) {
                    eprintln!(
                        "qat-emu: a device thread cannot be started, so requests get no responses: {error}"
                    );
                }
            }
        }
        self.wake();
    }

    /// Counts a group that left its container.
    pub(crate) fn group_detached(&self) {
        self.attached.fetch_sub(1, Ordering::SeqCst);
    }

    /// Wakes the device threads, because there may be work.
    pub(crate) fn wake(&self) {
        let mut calls = self.calls.lock().unwrap_or_else(PoisonError::into_inner);
        *calls += 1;
        self.called.notify_all();
    }

    /// Ends the device threads.
    pub(crate) fn stop(&self) {
        self.stopping.store(true, Ordering::SeqCst);
        self.wake();
    }

    /// Serves the mailboxes and ring pairs of device thread `number` until the machine stops.
    fn serve(&self, number: usize) {
        let threads = self.config.engine_threads;
        let mut engines = Engines::default();
        let mut seen_calls = 0;
        let mut idle_rounds = 0;
        let mut audited = false;
        let mut last_work = Instant::now();
        while !self.stopping.load(Ordering::Relaxed) {
            let (worked, due) = self.serve_round(number, threads, &mut engines);
            if worked {
                idle_rounds = 0;
                last_work = Instant::now();
                continue;
            }
            idle_rounds += 1;
            if idle_rounds < SPIN_ROUNDS {
                thread::yield_now();
                continue;
            }
            let calls = self.calls.lock().unwrap_or_else(PoisonError::into_inner);
            if *calls != seen_calls {
                seen_calls = *calls;
                (idle_rounds, last_work) = (0, Instant::now());
                continue;
            }
            if self.attached.load(Ordering::SeqCst) == 0 {
                drop(self.called.wait(calls).unwrap_or_else(PoisonError::into_inner));
                continue;
            }
            let sleep = (last_work.elapsed() / 8).clamp(SHORTEST_SLEEP, LONGEST_SLEEP);
            // The program may end without a reset or a detach, which audit the registers otherwise.
            if number == 0 && sleep == LONGEST_SLEEP && !audited {
                self.audit_registers();
            }
            audited = sleep == LONGEST_SLEEP;
            let until_due = due.map(|due| due.saturating_duration_since(Instant::now()));
            let sleep = until_due.map_or(sleep, |due| sleep.min(due));
            drop(self.called.wait_timeout(calls, sleep));
        }
    }

    /// Executes all pending work on the calling thread. Responses that are held back by timing or a fault wait for a
    /// later call.
    pub(crate) fn serve_now(&self) {
        if self.attached.load(Ordering::SeqCst) == 0 {
            return;
        }
        // This waits without a system call, because callers may count the program's system calls.
        let mut engines = loop {
            match self.callers.try_lock() {
                Ok(engines) => break engines,
                Err(TryLockError::Poisoned(engines)) => break engines.into_inner(),
                Err(TryLockError::WouldBlock) => hint::spin_loop(),
            }
        };
        while self.serve_round(0, 1, &mut engines).0 {}
    }

    /// Responds to the pending messages in the mailboxes.
    pub(crate) fn serve_mailboxes(&self) {
        if self.attached.load(Ordering::SeqCst) != 0 {
            for vf in &self.vfs {
                vf.serve_mailbox(self.counters);
            }
        }
    }

    /// Serves everything that belongs to device thread `number` once. Returns whether there was work, and when the next
    /// delayed response or interrupt is due.
    fn serve_round(&self, number: usize, threads: usize, engines: &mut Engines) -> (bool, Option<Instant>) {
        let mut worked = false;
        let mut soonest: Option<Instant> = None;
        for (index, vf) in self.vfs.iter().enumerate() {
            if number == 0 {
                worked |= vf.serve_mailbox(self.counters);
            }
            let device = vf.identity.device;
            let context = DeviceContext {
                faults: &self.faults,
                counters: self.counters,
                timing: self.config.timing,
                schedule: &self.schedules[device],
                hung: &self.hung[device],
            };
            for bank in 0..BANKS {
                if (index * BANKS + bank) % threads != number {
                    continue;
                }
                let result = vf.serve_bank(bank, &context, engines);
                worked |= result.progress;
                // The library waits for the mailbox for some milliseconds only, so it is served after each long round.
                if result.progress && number == 0 {
                    vf.serve_mailbox(self.counters);
                }
                soonest = [soonest, result.due].into_iter().flatten().min();
            }
        }
        (worked, soonest)
    }
}
