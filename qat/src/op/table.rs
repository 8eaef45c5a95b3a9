//! The table of requests in flight of one ring.
//!
//! A slot's word holds its generation and its state. Whoever makes a transition owns what it leads to:
//!
//! ```text
//! free -> held -> flying -> landed -> held -> free       submitted, answered, taken
//!                 flying -> parked -> free               the waiter went away; the answer frees the memory
//!                 flying -> lost -> parked -> free       given up; a late answer frees the memory
//! ```
//!
//! What is parked for an answer that never comes is free when libqat was stopped, which takes the device from this
//! process and its memory.

use std::cell::{RefCell, UnsafeCell};
use std::ffi::c_void;
use std::future::Future;
use std::pin::Pin;
use std::ptr::NonNull;
use std::sync::atomic::Ordering::{AcqRel, Acquire, Relaxed, Release, SeqCst};
use std::sync::atomic::{AtomicBool, AtomicI32, AtomicU8, AtomicU16, AtomicU32, AtomicU64, fence};
use std::sync::{Arc, Mutex, OnceLock, PoisonError};
use std::task::{Context, Poll, Waker};

use atomic_waker::AtomicWaker;
use qat_sys::{
    CPA_STATUS_SUCCESS, CpaBoolean, CpaBufferList, CpaCrcData, CpaCySymOp, CpaCySymOpData, CpaDcDpOpData,
    CpaDcOpData, CpaDcRqResults, CpaInstanceEvent, CpaInstanceHandle,
};

use super::free::FreeSlots;
use super::list::{Blocks, List};
use super::ring::Direction;
use super::{Api, Session};
use crate::mem::{Block, Memory, NoMemory};
use crate::poll::Waiting;
use crate::{CpaStatus, poll};

/// Requests that a ring of libqat's default depth (512) takes: one entry stays empty.
pub(crate) const DEPTH: usize = 511;
const CHUNK: usize = 64;
/// Tables that one process can have; each belongs to an instance of a start.
const TABLES: usize = 1024;

/// The age of a request for whose answer nobody waits, not even the stop.
const GIVEN_UP: u16 = u16::MAX;

/// Status of an answer whose digest does not match; libqat's own are negative.
pub(crate) const NOT_VERIFIED: i32 = 1;

const FREE: u64 = 0;
const HELD: u64 = 1;
const FLYING: u64 = 2;
const LANDED: u64 = 3;
const LOST: u64 = 4;
const PARKED: u64 = 5;

/// Generation in the upper half, state in the lower.
const fn word(generation: u32, state: u64) -> u64 {
    (generation as u64) << 32 | state
}

const fn state_of(word: u64) -> u64 {
    word & 0xffff_ffff
}

const fn generation_of(word: u64) -> u32 {
    (word >> 32) as u32
}

static ALL: [OnceLock<Table>; TABLES] = [const { OnceLock::new() }; TABLES];
/// Numbers of tables without a ring, which may have slots that somebody still holds, and how many there are in all.
static IDLE: Mutex<(Vec<u16>, u16)> = Mutex::new((Vec::new(), 0));

/// The requests in flight of one ring.
pub(crate) struct Table {
    number: u16,
    chunks: [OnceLock<Box<[Slot]>>; DEPTH.div_ceil(CHUNK)],
    free: FreeSlots,
    flying: AtomicU32,
    /// Of those, the ones whose waiter is a future that somebody else has to poll for.
    awaited: AtomicU32,
    submitted: AtomicU64,
    stale: AtomicU64,
    /// Requests are given up, and none is taken any more.
    is_gone: AtomicBool,
    /// No device reaches the memory of the slots any more.
    is_safe: AtomicBool,
    /// Bit `n` stands for event `n` of `CpaInstanceEvent`, seen and not taken.
    events: AtomicU8,
    /// Who polls the ring.
    pub(crate) place: poll::Place,
}

#[repr(align(64))]
struct Slot {
    word: AtomicU64,
    status: AtomicI32,
    /// 0 until the watchdog has seen the request, then 1 and the ticks since; [`GIVEN_UP`] at the end.
    age: AtomicU16,
    waker: AtomicWaker,
    body: UnsafeCell<Body>,
}

/// What libqat reads and writes until the callback, and the memory that it leads to.
pub(super) struct Body {
    pub(super) api: Api,
    pub(super) direction: Direction,
    pub(super) results: CpaDcRqResults,
    pub(super) verified: CpaBoolean,
    pub(super) compression: CpaDcOpData,
    pub(super) crcs: CpaCrcData,
    pub(super) symmetric: CpaCySymOpData,
    pub(super) source: List,
    pub(super) target: List,
    pub(super) input: Blocks,
    pub(super) output: Blocks,
    pub(super) session: Option<Arc<Session>>,
    pub(super) side: Option<Side>,
}

/// The slot's own device memory: metadata of both lists, then parameters (IV, associated data, digest), then the
/// operation of a data-plane request.
pub(super) struct Side {
    pub(super) block: Block,
    pub(super) parameters_at: usize,
}

impl Side {
    fn new(memory: &'static Memory, meta_len: usize) -> Result<Self, NoMemory> {
        let parameters_at = 2 * meta_len.next_multiple_of(64);
        let mut block =
            memory.take(parameters_at + Claim::PARAMETERS + std::mem::size_of::<CpaDcDpOpData>())?;
        block.bytes_mut().fill(0);
        Ok(Self { block, parameters_at })
    }

    fn operation_at(&self) -> usize {
        self.parameters_at + Claim::PARAMETERS
    }

    /// The operation, and where the device sees it.
    pub(super) fn operation(&self) -> (NonNull<CpaDcDpOpData>, u64) {
        let at = self.operation_at();
        (self.block.at(at).cast(), self.block.bus_address(at))
    }

    /// What an answer put into the operation.
    fn results(&self) -> CpaDcRqResults {
        // SAFETY: inside the block, which is zeroed, aligned to 64 bytes as the offset is, and nobody else's once the
        // request was answered.
        unsafe { (*self.operation().0.as_ptr()).results }
    }
}

// SAFETY: the body is touched by the one who brought the slot's word into a state that gives it to him, as the module's
// documentation says; all else is atomic.
unsafe impl Sync for Slot {}
// SAFETY: the pointers inside lead to the slot itself and to device memory, which no thread owns.
unsafe impl Send for Slot {}

/// Why a request was given up without an answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Lost {
    /// Nothing came within the deadline.
    TimedOut,
    /// The device was restarted or taken away.
    DeviceGone,
}

impl Table {
    /// A table that no ring uses, with all its slots free. `None` when the process has too many already.
    pub(crate) fn acquire() -> Option<&'static Self> {
        let mut idle = IDLE.lock().unwrap_or_else(PoisonError::into_inner);
        let is_unused =
            |number: &u16| ALL[usize::from(*number)].get().is_none_or(|table| table.slots_in_use() == 0);
        let number = match idle.0.iter().position(is_unused) {
            Some(at) => idle.0.swap_remove(at),
            None if usize::from(idle.1) < TABLES => {
                idle.1 += 1;
                idle.1 - 1
            }
            None => return None,
        };
        let table = ALL[usize::from(number)].get_or_init(|| Self::new(number));
        table.submitted.store(0, Relaxed);
        table.events.store(0, Relaxed);
        table.is_safe.store(false, Relaxed);
        table.is_gone.store(false, Release);
        Some(table)
    }

    fn new(number: u16) -> Self {
        Self {
            number,
            chunks: [const { OnceLock::new() }; DEPTH.div_ceil(CHUNK)],
            free: FreeSlots::all(),
            flying: AtomicU32::new(0),
            awaited: AtomicU32::new(0),
            submitted: AtomicU64::new(0),
            stale: AtomicU64::new(0),
            is_gone: AtomicBool::new(false),
            is_safe: AtomicBool::new(false),
            events: AtomicU8::new(0),
            place: poll::Place::default(),
        }
    }

    /// Gives the table back; its slots' own memory with it. What is parked is free when `is_stopped` says that libqat
    /// was stopped, so that no device reaches its memory. The number of requests whose memory stays out of use: they
    /// keep it, and the table, for ever.
    pub(crate) fn retire(&'static self, is_stopped: bool) -> usize {
        self.lose_all();
        if is_stopped {
            self.is_safe.store(true, Relaxed);
            // In one order with `unpark`: either this finds a slot parked, or that finds the table safe.
            fence(SeqCst);
            for (index, slot) in (0..).zip(self.slots()) {
                self.unpark(index, slot.word.load(Acquire));
            }
        }
        // Whoever comes too late, with the ring of an earlier start, may claim a slot even now; so they are taken, too.
        let unused: Vec<_> = std::iter::from_fn(|| self.free.pop()).collect();
        for index in unused {
            if let Some(chunk) = self.chunks[usize::from(index) / CHUNK].get() {
                // SAFETY: free, and taken from the queue, so this thread has it alone.
                unsafe { &mut *chunk[usize::from(index) % CHUNK].body.get() }.side = None;
            }
            self.free.push(index);
        }
        IDLE.lock().unwrap_or_else(PoisonError::into_inner).0.push(self.number);
        self.parked()
    }

    /// Frees a parked slot, if no device reaches its memory any more.
    fn unpark(&'static self, index: u16, seen: u64) {
        fence(SeqCst);
        if state_of(seen) != PARKED || !self.is_safe.load(Relaxed) {
            return;
        }
        let (slot, held) = (self.slot(index), word(generation_of(seen), HELD));
        if slot.word.compare_exchange(seen, held, AcqRel, Relaxed).is_ok() {
            self.flying.fetch_sub(1, Relaxed);
            drop(Claim { table: self, slot, index });
        }
    }

    /// Requests whose answer the stop waits for: those that nobody gave up.
    pub(crate) fn is_expecting(&self) -> bool {
        let is_expected = |slot: &Slot| {
            let state = state_of(slot.word.load(Relaxed));
            (state == FLYING || state == PARKED) && slot.age.load(Relaxed) != GIVEN_UP
        };
        self.flying() > 0 && self.slots().any(is_expected)
    }

    fn in_state(&self, wanted: u64) -> usize {
        self.slots().filter(|slot| state_of(slot.word.load(Relaxed)) == wanted).count()
    }

    /// Requests without a waiter whose memory waits for the device.
    pub(crate) fn parked(&self) -> usize {
        self.in_state(PARKED)
    }

    /// Slots that are not free.
    pub(crate) fn slots_in_use(&self) -> usize {
        self.slots().filter(|slot| state_of(slot.word.load(Acquire)) != FREE).count()
    }

    /// Its place among all tables.
    pub(crate) fn number(&self) -> usize {
        self.number.into()
    }

    /// Requests that were submitted since the table was acquired.
    pub(crate) fn submitted(&self) -> u64 {
        self.submitted.load(Relaxed)
    }

    /// Events of the ring's device since the last call, as bits.
    pub(crate) fn take_events(&self) -> u8 {
        self.events.swap(0, Relaxed)
    }

    /// Whether its requests were given up for good.
    pub(crate) fn is_gone(&self) -> bool {
        self.is_gone.load(SeqCst)
    }

    fn slots(&self) -> impl Iterator<Item = &Slot> {
        self.chunks.iter().filter_map(OnceLock::get).flat_map(|chunk| chunk.iter())
    }

    fn slot(&self, index: u16) -> &Slot {
        let (chunk, at) = (usize::from(index) / CHUNK, usize::from(index) % CHUNK);
        &self.chunks[chunk].get().expect("made when it was claimed")[at]
    }

    /// Requests submitted and not answered.
    pub(crate) fn flying(&self) -> u32 {
        self.flying.load(Relaxed)
    }

    /// Waiters that do not poll themselves.
    pub(crate) fn awaited(&self) -> u32 {
        // In one order with the helper thread's going to rest.
        self.awaited.load(SeqCst)
    }

    /// One more of them.
    pub(crate) fn await_more(&self) {
        self.awaited.fetch_add(1, SeqCst);
    }

    /// One less.
    pub(crate) fn await_less(&self) {
        self.awaited.fetch_sub(1, SeqCst);
    }

    /// Takes a free slot, with metadata of `meta_len` bytes for each of its lists. `Ok(None)` when all are in use, or
    /// none is given any more.
    pub(crate) fn claim(
        &'static self,
        memory: &'static Memory,
        meta_len: usize,
    ) -> Result<Option<Claim>, NoMemory> {
        if self.is_gone.load(Relaxed) {
            return Ok(None);
        }
        let Some(index) = self.free.pop() else { return Ok(None) };
        let (chunk, at) = (usize::from(index) / CHUNK, usize::from(index) % CHUNK);
        let slot = &self.chunks[chunk].get_or_init(|| (0..CHUNK).map(|_| Slot::new()).collect())[at];
        let generation = generation_of(slot.word.load(Acquire)).wrapping_add(1);
        slot.word.store(word(generation, HELD), Relaxed);
        let mut claim = Claim { table: self, slot, index };
        let body = claim.body();
        if body.side.is_none() {
            let side = Side::new(memory, meta_len)?;
            body.source = List::new(side.block.at(0));
            body.target = List::new(side.block.at(side.parameters_at / 2));
            body.side = Some(side);
        }
        Ok(Some(claim))
    }

    fn tag(&self, index: u16, generation: u32) -> *mut c_void {
        let tag = (u64::from(generation)) << 32 | u64::from(self.number) << 16 | u64::from(index);
        std::ptr::without_provenance_mut(tag as usize)
    }

    /// Takes an answer: the callback's work.
    fn land(&'static self, index: u16, generation: u32, status: i32) {
        self.place.answered();
        let Some(chunk) = self.chunks.get(usize::from(index) / CHUNK).and_then(OnceLock::get) else { return };
        let slot = &chunk[usize::from(index) % CHUNK];
        slot.status.store(status, Relaxed);
        let flying = word(generation, FLYING);
        match slot.word.compare_exchange(flying, word(generation, LANDED), AcqRel, Acquire) {
            Ok(_) => {
                self.flying.fetch_sub(1, Relaxed);
                if let Some(waker) = slot.waker.take() {
                    defer(waker);
                }
            }
            Err(seen) if seen == word(generation, PARKED) => {
                slot.word.store(word(generation, HELD), Relaxed);
                self.flying.fetch_sub(1, Relaxed);
                drop(Claim { table: self, slot, index });
            }
            Err(seen) if seen == word(generation, LOST) => {
                // Its waiter has not looked yet; it learns that the answer came after all.
                if slot.word.compare_exchange(seen, word(generation, LANDED), AcqRel, Relaxed).is_ok() {
                    self.flying.fetch_sub(1, Relaxed);
                }
            }
            Err(_) => {
                self.stale.fetch_add(1, Relaxed);
            }
        }
    }

    /// Ends the waiting for all requests in flight, whose answers will never come.
    pub(crate) fn lose_all(&self) {
        self.is_gone.store(true, SeqCst);
        for slot in self.slots() {
            slot.lose(slot.word.load(Relaxed));
        }
    }

    /// The watchdog's look after `ticks` of its time: gives up what has been in flight for `limit` ticks at least. How
    /// many that were.
    pub(crate) fn tick(&self, ticks: u16, limit: u16) -> usize {
        let is_overdue = |slot: &Slot, seen| {
            // A slot whose request was followed by another meanwhile is young again, and stays so.
            let age = slot.age.load(Relaxed);
            let older = if age == 0 { 1 } else { age.saturating_add(ticks).min(GIVEN_UP - 1) };
            state_of(seen) == FLYING
                && slot.age.compare_exchange(age, older, Relaxed, Relaxed).is_ok()
                && older > limit
        };
        self.slots()
            .filter(|slot| {
                let seen = slot.word.load(Relaxed);
                is_overdue(slot, seen) && slot.lose(seen)
            })
            .count()
    }

    /// Wakes one waiter, so that it looks after the ring from now on.
    pub(crate) fn hand_over(&self) {
        let waker = self
            .slots()
            .filter(|slot| state_of(slot.word.load(Relaxed)) == FLYING)
            .find_map(|slot| slot.waker.take());
        if let Some(waker) = waker {
            waker.wake();
        }
    }
}

impl Slot {
    fn new() -> Self {
        let body = Body {
            api: Api::Traditional,
            direction: Direction::Compress,
            results: CpaDcRqResults::default(),
            verified: 0,
            // SAFETY: numbers and pointers only, for which zero is a value.
            compression: unsafe { std::mem::zeroed() },
            crcs: CpaCrcData::default(),
            // SAFETY: the same.
            symmetric: unsafe { std::mem::zeroed() },
            source: List::new(NonNull::dangling()),
            target: List::new(NonNull::dangling()),
            input: Blocks::default(),
            output: Blocks::default(),
            session: None,
            side: None,
        };
        Self {
            word: AtomicU64::new(word(0, FREE)),
            status: AtomicI32::new(0),
            age: AtomicU16::new(0),
            waker: AtomicWaker::new(),
            body: UnsafeCell::new(body),
        }
    }

    /// Gives up the request whose word is `seen`.
    fn lose(&self, seen: u64) -> bool {
        let lost = state_of(seen) == FLYING
            && self.word.compare_exchange(seen, word(generation_of(seen), LOST), AcqRel, Relaxed).is_ok();
        if lost {
            self.age.store(GIVEN_UP, Relaxed);
            self.waker.wake();
        }
        lost
    }
}

/// A slot to fill. Dropped, it is free again and its memory goes back.
pub(crate) struct Claim {
    pub(super) table: &'static Table,
    slot: &'static Slot,
    index: u16,
}

impl Claim {
    /// Bytes of device memory for parameters.
    pub(crate) const PARAMETERS: usize = 1024;

    pub(super) fn body(&mut self) -> &mut Body {
        // SAFETY: the slot is held, and this is the one claim of it.
        unsafe { &mut *self.slot.body.get() }
    }

    fn body_ref(&self) -> &Body {
        // SAFETY: as for `body`, with a shared borrow.
        unsafe { &*self.slot.body.get() }
    }

    /// The memory that the device reads.
    pub(crate) fn input(&mut self) -> &mut Blocks {
        &mut self.body().input
    }

    /// The memory that the device writes. Empty means in place.
    pub(crate) fn output(&mut self) -> &mut Blocks {
        &mut self.body().output
    }

    /// Device memory for what is neither: IV, associated data, digest.
    pub(crate) fn parameters(&mut self) -> &mut [u8] {
        let side = self.body().side.as_mut().expect("made when it was claimed");
        &mut side.block.bytes_mut()[side.parameters_at..][..Self::PARAMETERS]
    }

    /// Whether a data-plane request can hold it: each side is one piece.
    pub(crate) fn is_flat(&self) -> bool {
        let body = self.body_ref();
        body.input.flat().is_some() && body.output.flat().is_some()
    }

    /// Puts the request into flight: `submit` gets the body, whose place is fixed, and the tag of the answer.
    pub(super) fn fly<E>(
        mut self,
        submit: impl FnOnce(*mut Body, *mut c_void) -> Result<(), E>,
    ) -> Result<Flight, (Self, E)> {
        let (table, slot) = (self.table, self.slot);
        let generation = generation_of(slot.word.load(Relaxed));
        slot.age.store(0, Relaxed);
        let body: *mut Body = self.body();
        table.flying.fetch_add(1, Relaxed);
        // The answer may come before the call returns.
        slot.word.store(word(generation, FLYING), Release);
        match submit(body, table.tag(self.index, generation)) {
            Ok(()) => {
                table.submitted.fetch_add(1, Relaxed);
                let index = self.index;
                std::mem::forget(self);
                Ok(Flight { table, slot, index, generation, is_awaited: false, is_over: false })
            }
            Err(error) => {
                slot.word.store(word(generation, HELD), Relaxed);
                table.flying.fetch_sub(1, Relaxed);
                Err((self, error))
            }
        }
    }
}

impl Drop for Claim {
    fn drop(&mut self) {
        let is_over = self.table.is_safe.load(Relaxed);
        let body = self.body();
        body.input = Blocks::default();
        body.output = Blocks::default();
        body.session = None;
        if is_over {
            // The last of a ring that is no more.
            body.side = None;
        }
        let slot = self.slot;
        slot.word.store(word(generation_of(slot.word.load(Relaxed)), FREE), Release);
        self.table.free.push(self.index);
    }
}

/// A request in flight. Resolves when its answer was taken by somebody's poll of the ring; dropped before, its memory
/// stays with the driver until then.
pub(crate) struct Flight {
    table: &'static Table,
    slot: &'static Slot,
    index: u16,
    generation: u32,
    is_awaited: bool,
    is_over: bool,
}

impl Flight {
    /// What became of the request, or the word of one that is under way.
    fn take(&mut self) -> Result<Result<Landed, Lost>, u64> {
        let slot = self.slot;
        let seen = slot.word.load(Acquire);
        let outcome = match state_of(seen) {
            LANDED => {
                slot.word.store(word(self.generation, HELD), Relaxed);
                let status = CpaStatus::from_raw(slot.status.load(Relaxed));
                Ok(Landed { claim: Claim { table: self.table, slot, index: self.index }, status })
            }
            LOST => {
                let parked = word(self.generation, PARKED);
                if slot.word.compare_exchange(seen, parked, AcqRel, Acquire).is_err() {
                    return self.take();
                }
                self.table.unpark(self.index, parked);
                Err(if self.table.is_gone.load(Relaxed) { Lost::DeviceGone } else { Lost::TimedOut })
            }
            _ => return Err(seen),
        };
        self.end();
        Ok(outcome)
    }

    fn end(&mut self) {
        self.is_over = true;
        if self.is_awaited {
            self.table.await_less();
        }
    }
}

impl Future for Flight {
    type Output = Result<Landed, Lost>;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        if let Ok(outcome) = self.take() {
            return Poll::Ready(outcome);
        }
        let is_polled_here = self.table.place.is_polled_by_this_thread();
        if is_polled_here == Some(Waiting::Awake) {
            // It looks again after each poll of the ring.
            return Poll::Pending;
        }
        self.slot.waker.register(context.waker());
        // The answer may have come before the waker was there.
        if let Ok(outcome) = self.take() {
            return Poll::Ready(outcome);
        }
        if is_polled_here.is_none() && !self.is_awaited {
            self.is_awaited = true;
            self.table.await_more();
            self.table.place.call();
        }
        Poll::Pending
    }
}

impl Drop for Flight {
    fn drop(&mut self) {
        while !self.is_over {
            match self.take() {
                Ok(_) => {}
                Err(seen) => {
                    let parked = word(self.generation, PARKED);
                    if self.slot.word.compare_exchange(seen, parked, AcqRel, Acquire).is_ok() {
                        self.table.unpark(self.index, parked);
                        self.end();
                    }
                }
            }
        }
    }
}

/// An answered request: its memory is the program's again.
pub(crate) struct Landed {
    claim: Claim,
    status: CpaStatus,
}

impl Landed {
    /// What the callback was given.
    pub(crate) fn status(&self) -> CpaStatus {
        self.status
    }

    /// Counters and status of a compression.
    pub(crate) fn results(&self) -> CpaDcRqResults {
        let body = self.claim.body_ref();
        match (body.api, &body.side) {
            (Api::DataPlane, Some(side)) => side.results(),
            _ => body.results,
        }
    }

    /// Whether it was a compression, as opposed to a decompression.
    pub(crate) fn is_compression(&self) -> bool {
        self.claim.body_ref().direction == Direction::Compress
    }

    /// What the device wrote.
    pub(crate) fn output(&self) -> &Blocks {
        &self.claim.body_ref().output
    }

    /// What the device read, or worked on in place.
    pub(crate) fn input(&self) -> &Blocks {
        &self.claim.body_ref().input
    }

    /// The parameters, with a digest that the device wrote.
    pub(crate) fn parameters(&mut self) -> &mut [u8] {
        self.claim.parameters()
    }

    /// Takes the memory of both sides out.
    pub(crate) fn into_memory(mut self) -> (Blocks, Blocks) {
        let body = self.claim.body();
        (std::mem::take(&mut body.input), std::mem::take(&mut body.output))
    }
}

thread_local! {
    /// Wakers of this thread's callbacks. A waker is foreign code, which might poll the ring; libqat holds that ring's
    /// lock while it runs callbacks.
    static DEFERRED: RefCell<Vec<Waker>> = const { RefCell::new(Vec::new()) };
}

fn defer(waker: Waker) {
    DEFERRED.with_borrow_mut(|wakers| wakers.push(waker));
}

/// Wakes whom this thread's callbacks found an answer for.
pub(crate) fn wake_deferred() {
    while let Some(waker) = DEFERRED.with_borrow_mut(Vec::pop) {
        waker.wake();
    }
}

/// The callback of device events.
pub(super) unsafe extern "C" fn notified(_: CpaInstanceHandle, tag: *mut c_void, event: CpaInstanceEvent) {
    if let Some(table) = ALL.get(tag.addr()).and_then(OnceLock::get) {
        table.events.fetch_or(1_u8.checked_shl(event).unwrap_or(0), Relaxed);
    }
}

fn land(tag: *mut c_void, status: i32) {
    let tag = tag.addr() as u64;
    let (index, number, generation) = (tag as u16, (tag >> 16) as u16, (tag >> 32) as u32);
    if let Some(table) = ALL.get(usize::from(number)).and_then(OnceLock::get) {
        table.land(index, generation, status);
    }
}

/// The callback of compression.
pub(super) unsafe extern "C" fn compression_done(tag: *mut c_void, status: i32) {
    land(tag, status);
}

/// The callback of compression by the data plane.
pub(super) unsafe extern "C" fn data_plane_done(operation: *mut CpaDcDpOpData) {
    // SAFETY: `cpa_dc_dp.h`: what was submitted, which is the side memory of a slot; a slot keeps it as long as libqat
    // is started.
    let operation = unsafe { &*operation };
    land(operation.pCallbackTag, operation.responseStatus);
}

/// The callback of symmetric operations.
pub(super) unsafe extern "C" fn symmetric_done(
    tag: *mut c_void,
    status: i32,
    _: CpaCySymOp,
    _: *mut c_void,
    _: *mut CpaBufferList,
    verified: CpaBoolean,
) {
    // A digest that does not match is a success with this flag clear.
    land(tag, if status == CPA_STATUS_SUCCESS && verified == 0 { NOT_VERIFIED } else { status });
}
