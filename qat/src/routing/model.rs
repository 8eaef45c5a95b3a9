//! What was measured of both engines, and the choice between them that follows.
//!
//! For each kind of work and each power of two of its input's length a cell keeps moving averages: how long one core
//! takes, and how long the device takes by the number of requests already on it. A request goes where it is expected to
//! be done first, with three exceptions:
//!
//! * An engine that is busy to capacity gains nothing from one more request. The other gets the request though it takes up
//!   to [`PATIENCE`] times as long: the CPU if it has room and adds [`WORTHWHILE`] to what is done in all; the device also
//!   when it is busy itself, because those who poll for its answers need the cores.
//! * An engine that has not had a turn for a while gets one, so that no choice rests on old figures. The worse it was,
//!   the longer it waits, so that this costs at most one part in [`EXPLORE`] of the time.
//! * A device that failed is left alone for a pause, which doubles with every failure in a row; then one request tries
//!   it again.
//!
//! Saturation is judged by averages of some measurements only: on a few noisy ones, an engine would look full and never
//! get the chance to show that it is not. Before a cell has figures, those of the nearest size are scaled by the shape of [`WorkClass`]'s priors, and without any
//! the priors themselves decide; the engine that has no figures gets its turn early.
//!
//! Everything is relaxed atomics: a figure that is lost when two threads meet is one measurement less.

use std::ops::Deref;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering::Relaxed};
use std::time::{Duration, Instant};

use accel_core::SoftwareReason;

use super::core_slots::{CoreSlot, CoreSlots};
use super::snapshot::{DeviceTime, ModelCell, ModelSnapshot, Preferred};
use super::timings::{DEPTHS, Timings, depth_of};
use crate::job::WorkClass;

/// A request may take this much longer on an engine with room than on one that is busy to capacity.
const PATIENCE: f32 = 4.0;
/// Least share of what the busy engine does by itself that the other must be able to add.
const WORTHWHILE: f32 = 1.0 / 16.0;
/// One choice in this many, times how much worse the other engine is, goes to the other engine.
const EXPLORE: f32 = 64.0;
/// The same while the other engine has no figures of its own.
const EXPLORE_UNKNOWN: f32 = 4.0;

/// Nanoseconds of work on the CPU for which a caller waits its turn: many times what waking it costs.
const LONG: f32 = 100_000.0;

/// First pause after a failure of the device; it doubles up to 1024 times this.
const PAUSE: Duration = Duration::from_millis(10);

/// Sizes that are told apart: powers of two from 64 bytes to 64 MiB, shorter and longer ones with their neighbour.
const SIZES: usize = 21;
const SMALLEST: u32 = 6;

const fn size_class(len: usize) -> usize {
    let power = if len == 0 { 0 } else { len.ilog2() };
    let above = power.saturating_sub(SMALLEST) as usize;
    if above < SIZES { above } else { SIZES - 1 }
}

/// Shortest input of a class in bytes.
const fn size_of(class: usize) -> usize {
    1 << (class as u32 + SMALLEST)
}

/// Middle of a class in bytes, as the priors take it.
fn middle(class: usize) -> f32 {
    size_of(class) as f32 * 1.5
}

/// All that is known of one kind.
struct Row {
    kind: WorkClass,
    cells: [Timings; SIZES],
}

#[derive(Clone, Copy)]
struct Estimate {
    ns: f32,
    /// By this cell's own figures.
    is_measured: bool,
}

impl Row {
    fn new(kind: WorkClass) -> Self {
        Self { kind, cells: std::array::from_fn(|_| Timings::default()) }
    }

    /// How long one core takes that has nothing else to do.
    fn cpu(&self, class: usize) -> Estimate {
        if let Some(ns) = self.cells[class].cpu.ns() {
            return Estimate { ns, is_measured: true };
        }
        self.guess(class, |cell| cell.cpu.ns(), |len| self.kind.cpu_prior(len))
    }

    /// How long the device takes with `depth` requests before this one.
    fn device(&self, class: usize, depth: usize) -> Estimate {
        if let Some(ns) = self.cells[class].device(depth) {
            return Estimate { ns, is_measured: true };
        }
        self.guess(class, |cell| cell.device(depth), WorkClass::device_prior)
    }

    /// A figure that is not there, by the nearest size that has one and the shape of the prior, or by that alone.
    fn guess(
        &self,
        class: usize,
        measured: impl Fn(&Timings) -> Option<f32>,
        prior: impl Fn(f32) -> f32,
    ) -> Estimate {
        let here = prior(middle(class));
        let neighbours = (1..SIZES).flat_map(|by| [class.checked_sub(by), Some(class + by)]).flatten();
        let known = neighbours
            .filter(|other| *other < SIZES)
            .find_map(|other| measured(&self.cells[other]).map(|ns| ns / prior(middle(other)) * here));
        Estimate { ns: known.unwrap_or(here), is_measured: false }
    }
}

/// A choice.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) enum Choice {
    Device,
    Cpu(SoftwareReason),
}

/// What a measurement belongs to.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Measurement {
    kind: WorkClass,
    class: usize,
    depth: usize,
    /// The engine had not had a turn for a while: what was known of it is old.
    is_stale: bool,
    /// When the request came, in nanoseconds of the model's time.
    pub(crate) at: u64,
}

/// Measurements and choices of one accelerator and its clones.
pub(crate) struct Model {
    origin: Instant,
    cores: OnceLock<u32>,
    rows: Box<[OnceLock<Box<Row>>]>,
    /// Requests on the CPU: at work, and waiting for their turn or for a thread.
    running: AtomicU32,
    waiting: AtomicU32,
    core_slots: CoreSlots,
    /// Requests sent to the device that are not back.
    sent: AtomicU32,
    /// Whether the device ever did something.
    has_worked: AtomicBool,
    /// Failures of the device in a row, when it was noticed last, and until when it is left alone.
    failures: AtomicU32,
    failed_at: AtomicU64,
    paused_until: AtomicU64,
}

impl std::fmt::Debug for Model {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Model")
            .field("running", &self.running)
            .field("waiting", &self.waiting)
            .field("sent", &self.sent)
            .field("failures", &self.failures)
            .finish_non_exhaustive()
    }
}

/// One more on a count of the model's, for as long as this lives.
pub(crate) struct Counted<M: Deref<Target = Model>> {
    model: M,
    count: fn(&Model) -> &AtomicU32,
}

impl<M: Deref<Target = Model>> Counted<M> {
    fn new(model: M, count: fn(&Model) -> &AtomicU32) -> Self {
        count(&model).fetch_add(1, Relaxed);
        Self { model, count }
    }

    /// A request sent to the device.
    pub(crate) fn sent(model: M) -> Self {
        Self::new(model, |model| &model.sent)
    }

    /// A request at work on the CPU.
    pub(crate) fn running(model: M) -> Self {
        Self::new(model, |model| &model.running)
    }

    /// A request that waits for its turn or for a thread.
    pub(crate) fn waiting(model: M) -> Self {
        Self::new(model, |model| &model.waiting)
    }
}

impl<M: Deref<Target = Model>> Drop for Counted<M> {
    fn drop(&mut self) {
        (self.count)(&self.model).fetch_sub(1, Relaxed);
    }
}

impl Model {
    pub(crate) fn new() -> Self {
        Self {
            origin: Instant::now(),
            cores: OnceLock::new(),
            rows: (0..WorkClass::COUNT).map(|_| OnceLock::new()).collect(),
            running: AtomicU32::new(0),
            waiting: AtomicU32::new(0),
            core_slots: CoreSlots::default(),
            sent: AtomicU32::new(0),
            has_worked: AtomicBool::new(false),
            failures: AtomicU32::new(0),
            failed_at: AtomicU64::new(0),
            paused_until: AtomicU64::new(0),
        }
    }

    #[cfg(test)]
    pub(crate) fn with_cores(cores: u32) -> Self {
        Self { cores: cores.into(), ..Self::new() }
    }

    fn cores(&self) -> f32 {
        let count = || std::thread::available_parallelism().map_or(1, |cores| cores.get() as u32);
        *self.cores.get_or_init(count) as f32
    }

    /// Nanoseconds of the model's time at `instant`.
    pub(crate) fn at(&self, instant: Instant) -> u64 {
        u64::try_from(instant.saturating_duration_since(self.origin).as_nanos()).unwrap_or(u64::MAX)
    }

    fn row(&self, kind: WorkClass) -> &Row {
        self.rows[kind.index()].get_or_init(|| Box::new(Row::new(kind)))
    }

    /// Whether the device ever did something for this accelerator.
    pub(crate) fn has_worked(&self) -> bool {
        self.has_worked.load(Relaxed)
    }

    /// Where to send a request that came `at` this time; `on_device` is how many the device has by its own count.
    pub(crate) fn choose(
        &self,
        kind: WorkClass,
        len: usize,
        on_device: usize,
        at: u64,
    ) -> (Choice, Measurement) {
        let (row, class) = (self.row(kind), size_class(len));
        let cell = &row.cells[class];
        let depth = depth_of(on_device.max(self.sent.load(Relaxed) as usize));
        let (cpu, device) = (row.cpu(class), row.device(class, depth));
        let by_figures = self.by_figures(cell, depth, cpu.ns, device.ns);
        let (turn, stale) = match by_figures {
            Choice::Device => (cell.cpu_skips.missed(), due(cpu, device.ns)),
            Choice::Cpu(_) => (cell.device_skips.missed(), due(device, cpu.ns)),
        };
        let choice = match by_figures {
            Choice::Device if turn >= stale => Choice::Cpu(SoftwareReason::Measured),
            Choice::Cpu(_) if turn >= stale => Choice::Device,
            chosen => chosen,
        };
        let taken = if choice == Choice::Device { &cell.device_skips } else { &cell.cpu_skips };
        let is_stale = taken.take() as f32 >= EXPLORE / 2.0;
        let measurement = Measurement { kind, class, depth, is_stale, at };
        match choice {
            Choice::Device if !self.may_try(at) => (Choice::Cpu(SoftwareReason::DeviceError), measurement),
            choice => (choice, measurement),
        }
    }

    /// The place of a request that somebody else chose an engine for.
    pub(crate) fn measurement(&self, kind: WorkClass, len: usize, on_device: usize, at: u64) -> Measurement {
        let depth = depth_of(on_device.max(self.sent.load(Relaxed) as usize));
        Measurement { kind, class: size_class(len), depth, is_stale: false, at }
    }

    fn by_figures(&self, cell: &Timings, depth: usize, cpu: f32, device: f32) -> Choice {
        let cores = self.cores();
        let on_cpu = (self.running.load(Relaxed) + self.waiting.load(Relaxed)) as f32;
        let cpu_done = cpu * ((on_cpu + 1.0) / cores).max(1.0);
        let cpu_has_room = on_cpu < cores;
        if device <= cpu_done {
            let adds_enough = || cores / cpu >= WORTHWHILE * (depth + 1) as f32 / device;
            let spills = cpu_has_room
                && cpu_done <= PATIENCE * device
                && cell.is_device_saturated(depth)
                && adds_enough();
            return if spills { Choice::Cpu(SoftwareReason::Busy) } else { Choice::Device };
        }
        // Even if the device is busy to capacity, too: those who poll for its answers need the cores.
        let spills = !cpu_has_room && device <= PATIENCE * cpu_done;
        if spills { Choice::Device } else { Choice::Cpu(SoftwareReason::Sooner) }
    }

    /// A turn at the CPU for the caller of a request, waited for: where its work is long, and others are on the device.
    pub(super) fn core_slot(&self, measurement: &Measurement) -> Option<CoreSlot<'_>> {
        let cpu = self.row(measurement.kind).cpu(measurement.class).ns;
        if cpu < LONG || self.sent.load(Relaxed) == 0 {
            return None;
        }
        let before = (self.running.load(Relaxed) + self.waiting.load(Relaxed)) as f32;
        let expected = cpu * (before + 1.0) / self.cores();
        let _waiting = Counted::waiting(self);
        Some(self.core_slots.take(self.cores() as u32, Duration::from_nanos((PATIENCE * expected) as u64)))
    }

    /// The device did a request in `took`.
    pub(crate) fn device_did(&self, measurement: &Measurement, took: Duration) {
        if !self.has_worked.load(Relaxed) {
            self.has_worked.store(true, Relaxed);
        }
        if self.failures.load(Relaxed) != 0 && measurement.at >= self.failed_at.load(Relaxed) {
            self.failures.store(0, Relaxed);
        }
        self.device_took(measurement, took);
    }

    /// A request that went to the device was done after `took`, by whomever: where the device failed and the CPU had to do
    /// it again, that is what sending it to the device came to.
    pub(crate) fn device_took(&self, measurement: &Measurement, took: Duration) {
        let cell = &self.row(measurement.kind).cells[measurement.class];
        cell.observe_device(measurement.depth, ns(took), measurement.is_stale);
    }

    /// The CPU did a request in `took`; with [`crowd`](Self::crowd) at its start and end the cores were shared.
    pub(crate) fn cpu_did(&self, measurement: &Measurement, took: Duration, crowd: f32) {
        let cell = &self.row(measurement.kind).cells[measurement.class];
        cell.cpu.observe(ns(took) / crowd.max(1.0), measurement.is_stale);
    }

    /// How many requests share each core now, at least one.
    pub(crate) fn crowd(&self) -> f32 {
        (self.running.load(Relaxed) as f32 / self.cores()).max(1.0)
    }

    /// The device failed at the request at `measurement` and says so `now`. Failures of requests that were sent before the last
    /// failure was noticed are one event with it.
    pub(crate) fn device_failed(&self, measurement: &Measurement, now: u64) {
        if self.failures.load(Relaxed) != 0 && measurement.at < self.failed_at.load(Relaxed) {
            return;
        }
        let failures = self.failures.fetch_add(1, Relaxed).saturating_add(1);
        self.failed_at.store(now, Relaxed);
        self.paused_until.store(now.saturating_add(pause(failures)), Relaxed);
    }

    /// Whether a request may go to the device: not during a pause, and after it one, until that one is back.
    pub(crate) fn may_try(&self, at: u64) -> bool {
        let failures = self.failures.load(Relaxed);
        if failures == 0 {
            return true;
        }
        let until = self.paused_until.load(Relaxed);
        let next = at.saturating_add(pause(failures));
        at >= until && self.paused_until.compare_exchange(until, next, Relaxed, Relaxed).is_ok()
    }

    /// Everything that is known.
    pub(crate) fn snapshot(&self, on_device: u64, now: u64) -> ModelSnapshot {
        let duration = |ns: f32| Duration::from_nanos(ns as u64);
        let cell = |row: &Row, class: usize| {
            let cell = &row.cells[class];
            let measured = |depth| {
                cell.device_at(depth).map(|(least, ns)| DeviceTime { in_flight: least, time: duration(ns) })
            };
            let device: Vec<DeviceTime> = (0..DEPTHS).filter_map(measured).collect();
            let cpu = cell.cpu.ns().map(duration);
            if cpu.is_none() && device.is_empty() {
                return None;
            }
            let preferred =
                if row.device(class, 0).ns <= row.cpu(class).ns { Preferred::Device } else { Preferred::Cpu };
            Some(ModelCell { operation: row.kind.to_string(), bytes: size_of(class), cpu, device, preferred })
        };
        let rows = self.rows.iter().filter_map(OnceLock::get);
        let failures = self.failures.load(Relaxed);
        let pause = if failures == 0 { 0 } else { self.paused_until.load(Relaxed).saturating_sub(now) };
        ModelSnapshot {
            cores: self.cores() as usize,
            on_cpu: u64::from(self.running.load(Relaxed)) + u64::from(self.waiting.load(Relaxed)),
            on_device,
            failures: failures.into(),
            pause: Duration::from_nanos(pause),
            cells: rows.flat_map(|row| (0..SIZES).filter_map(|class| cell(row, class))).collect(),
        }
    }
}

fn ns(took: Duration) -> f32 {
    took.as_nanos() as f32
}

fn pause(failures: u32) -> u64 {
    (PAUSE.as_nanos() as u64) << failures.saturating_sub(1).min(10)
}

/// After how many missed turns an engine is due, when the other takes `chosen`.
fn due(other: Estimate, chosen: f32) -> u32 {
    let worse = other.ns / chosen.max(1.0);
    let turns = if other.is_measured {
        EXPLORE * worse.clamp(1.0, 1024.0)
    } else {
        EXPLORE_UNKNOWN * worse.clamp(1.0, 64.0)
    };
    turns as u32
}
