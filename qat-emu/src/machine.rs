//! The emulated machine of a process: its virtual functions, counters, faults and device threads.

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
    /// By device.
    pub(crate) schedules: Vec<EngineSchedule>,
    /// By device.
    pub(crate) telemetry: Vec<Mutex<Telemetry>>,
    /// By device: its firmware does nothing.
    hung: Vec<AtomicBool>,
    /// Groups that are in a container; device threads sleep for good while there are none.
    attached: AtomicUsize,
    started: AtomicBool,
    stopping: AtomicBool,
    /// Counts the calls that may have given the device work.
    calls: Mutex<u64>,
    called: Condvar,
    /// The engines of whoever calls [`serve_now`](Self::serve_now).
    callers: Mutex<Engines>,
}

/// Turns without work that a device thread spins, giving its core away each time.
const SPIN_ROUNDS: u32 = 200;
/// Shortest and longest sleep of an idle device thread. In between it sleeps an eighth of the time it has been idle,
/// so that a busy device answers fast and an idle one costs little.
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

    /// The counters, with what the windows hold now and is not served.
    pub(crate) fn snapshot(&self) -> Snapshot {
        self.audit_registers();
        self.counters.snapshot()
    }

    /// Looks for values in all windows that have no effect.
    fn audit_registers(&self) {
        for vf in &self.vfs {
            vf.audit_registers(self.counters);
        }
    }

    /// Stops the firmware of a device, or has it go on.
    pub(crate) fn set_hung(&self, device: usize, is_hung: bool) {
        if let Some(hung) = self.hung.get(device) {
            hung.store(is_hung, Ordering::SeqCst);
        }
    }

    pub(crate) fn is_hung(&self, device: usize) -> bool {
        self.hung.get(device).is_some_and(|hung| hung.load(Ordering::Relaxed))
    }

    /// A group joined a container: starts the device threads the first time. `spawn` prepares a thread for its
    /// work inside a foreign process and runs it.
    pub(crate) fn group_attached(
        &'static self,
        spawn: impl Fn(Box<dyn FnOnce() + Send>) -> std::io::Result<()>,
    ) {
        self.attached.fetch_add(1, Ordering::SeqCst);
        if !self.started.swap(true, Ordering::SeqCst) {
            for number in 0..self.config.engine_threads {
                if let Err(error) = spawn(Box::new(move || self.serve(number))) {
                    eprintln!("qat-emu: no device thread, requests will not be answered: {error}");
                }
            }
        }
        self.wake();
    }

    /// A group left its container.
    pub(crate) fn group_detached(&self) {
        self.attached.fetch_sub(1, Ordering::SeqCst);
    }

    /// Tells the device threads that there may be work.
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

    /// What a device thread does.
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
            // The program may end without taking anything back.
            if number == 0 && sleep == LONGEST_SLEEP && !audited {
                self.audit_registers();
            }
            audited = sleep == LONGEST_SLEEP;
            let until_due = due.map(|due| due.saturating_duration_since(Instant::now()));
            let sleep = until_due.map_or(sleep, |due| sleep.min(due));
            drop(self.called.wait_timeout(calls, sleep));
        }
    }

    /// Does all that there is to do, on the calling thread. Answers that are held back stay so until a later call.
    pub(crate) fn serve_now(&self) {
        if self.attached.load(Ordering::SeqCst) == 0 {
            return;
        }
        // Waits without a system call, for those who count the program's.
        let mut engines = loop {
            match self.callers.try_lock() {
                Ok(engines) => break engines,
                Err(TryLockError::Poisoned(engines)) => break engines.into_inner(),
                Err(TryLockError::WouldBlock) => hint::spin_loop(),
            }
        };
        while self.serve_round(0, 1, &mut engines).0 {}
    }

    /// Answers the messages that wait in the mailboxes.
    pub(crate) fn serve_mailboxes(&self) {
        if self.attached.load(Ordering::SeqCst) != 0 {
            for vf in &self.vfs {
                vf.serve_mailbox(self.counters);
            }
        }
    }

    /// One look at everything that this thread serves.
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
                // The mailbox has a deadline, so it is audited at whenever that took time.
                if result.progress && number == 0 {
                    vf.serve_mailbox(self.counters);
                }
                soonest = [soonest, result.due].into_iter().flatten().min();
            }
        }
        (worked, soonest)
    }
}
