//! The table of requests in flight of one ring.
//!
//! A slot's [`Completion`] says who has it. What is parked for an answer that never comes is free when libqat was stopped,
//! which takes the device from this process and its memory.

use std::cell::{RefCell, UnsafeCell};
use std::ffi::c_void;
use std::future::Future;
use std::pin::Pin;
use std::ptr::NonNull;
use std::sync::atomic::Ordering::{Relaxed, Release, SeqCst};
use std::sync::atomic::{AtomicBool, AtomicU8, AtomicU32, AtomicU64};
use std::sync::{Arc, Mutex, OnceLock, PoisonError};
use std::task::{Context, Poll, Waker};

use qat_sys::{
    CPA_STATUS_SUCCESS, CpaBoolean, CpaBufferList, CpaCrcData, CpaCySymDpOpData, CpaCySymOp, CpaCySymOpData,
    CpaDcDpOpData, CpaDcOpData, CpaDcRqResults, CpaInstanceEvent, CpaInstanceHandle,
};

use super::completion::{Completion, Delivery, RequestEnd};
use super::free::FreeSlots;
use super::list::{Blocks, List};
use super::ring::Direction;
use super::waiters::{Waiters, Waiting};
use super::{Api, Session};
use crate::device::memory::{Block, Memory, NoMemory};
use crate::error::CpaStatus;

/// Requests that a ring of libqat's default depth (512) takes: one entry stays empty.
pub(crate) const DEPTH: usize = 511;
const CHUNK: usize = 64;
/// Tables that one process can have; each belongs to an instance of a start.
const TABLES: usize = 1024;

/// Status of an answer whose digest does not match; libqat's own are negative.
pub(crate) const NOT_VERIFIED: i32 = 1;

static ALL: [OnceLock<Table>; TABLES] = [const { OnceLock::new() }; TABLES];
/// Numbers of tables without a ring, which may have slots that somebody still holds, and how many there are in all.
static IDLE: Mutex<(Vec<u16>, u16)> = Mutex::new((Vec::new(), 0));

/// The requests in flight of one ring.
pub(crate) struct Table {
    number: u16,
    chunks: [OnceLock<Box<[Slot]>>; DEPTH.div_ceil(CHUNK)],
    free: FreeSlots,
    in_flight: AtomicU32,
    /// Of those, the ones whose waiter is a future that somebody else has to poll for.
    waiting_futures: AtomicU32,
    submitted: AtomicU64,
    stale: AtomicU64,
    /// Requests are given up, and none is taken any more.
    is_gone: AtomicBool,
    /// No device reaches the memory of the slots any more.
    is_safe: AtomicBool,
    /// Bit `n` stands for event `n` of `CpaInstanceEvent`, seen and not taken.
    events: AtomicU8,
    /// Who polls the ring.
    pub(crate) waiters: Waiters,
}

#[repr(align(64))]
struct Slot {
    completion: Completion,
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

/// The slot's own device memory: metadata of both lists, or a [`PhysicalList`](super::list::PhysicalList), then parameters
/// (IV, associated data, digest), then the operation of a data-plane request.
pub(super) struct Side {
    pub(super) block: Block,
    pub(super) parameters_at: usize,
    operation: (NonNull<u8>, u64),
}

impl Side {
    fn new(memory: &'static Memory, meta_len: usize) -> Result<Self, NoMemory> {
        let parameters_at = 2 * meta_len.next_multiple_of(64);
        let operation_at = parameters_at + SlotGuard::PARAMETERS;
        let operation_len = size_of::<CpaDcDpOpData>().max(size_of::<CpaCySymDpOpData>());
        let mut block = memory.take(operation_at + operation_len)?;
        block.bytes_mut().fill(0);
        let operation = (block.at(operation_at), block.bus_address(operation_at));
        Ok(Self { block, parameters_at, operation })
    }

    /// The operation, and where the device sees it.
    #[inline(always)]
    pub(super) fn operation<T>(&self) -> (NonNull<T>, u64) {
        (self.operation.0.cast(), self.operation.1)
    }

    /// What an answer put into the operation.
    fn results(&self) -> CpaDcRqResults {
        // SAFETY: inside the block, which is zeroed, aligned to 64 bytes as the offset is, and nobody else's once the
        // request was answered.
        unsafe { (*self.operation::<CpaDcDpOpData>().0.as_ptr()).results }
    }
}

// SAFETY: the body is touched by the one whom the completion gave the slot to; all else is atomic.
unsafe impl Sync for Slot {}
// SAFETY: the pointers inside lead to the slot itself and to device memory, which no thread owns.
unsafe impl Send for Slot {}

/// Why a request was given up without an answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Abandoned {
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
            in_flight: AtomicU32::new(0),
            waiting_futures: AtomicU32::new(0),
            submitted: AtomicU64::new(0),
            stale: AtomicU64::new(0),
            is_gone: AtomicBool::new(false),
            is_safe: AtomicBool::new(false),
            events: AtomicU8::new(0),
            waiters: Waiters::default(),
        }
    }

    /// Gives the table back; its slots' own memory with it. What is parked is free when `is_stopped` says that libqat
    /// was stopped, so that no device reaches its memory. The number of requests whose memory stays out of use: they
    /// keep it, and the table, for ever.
    pub(crate) fn retire(&'static self, is_stopped: bool) -> usize {
        self.abandon_all();
        if is_stopped {
            self.is_safe.store(true, Relaxed);
            for (chunk, slots) in self.chunks.iter().enumerate() {
                for (at, slot) in slots.get().into_iter().flatten().enumerate() {
                    self.unpark((chunk * CHUNK + at) as u16, slot);
                }
            }
        }
        // Whoever comes too late, with the ring of an earlier start, may claim a slot even now; so they are taken, too.
        let unused: Vec<_> = std::iter::from_fn(|| self.free.pop()).collect();
        // The lowest ones on top again.
        for index in unused.into_iter().rev() {
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
    fn unpark(&'static self, index: u16, slot: &'static Slot) {
        if slot.completion.unpark(&self.is_safe) {
            self.in_flight.fetch_sub(1, Relaxed);
            drop(SlotGuard { table: self, slot, index });
        }
    }

    /// Requests whose answer the stop waits for: those that nobody gave up.
    pub(crate) fn is_expecting(&self) -> bool {
        self.in_flight() > 0 && self.slots().any(|slot| slot.completion.is_expected())
    }

    /// Requests without a waiter whose memory waits for the device.
    pub(crate) fn parked(&self) -> usize {
        self.slots().filter(|slot| slot.completion.is_parked()).count()
    }

    /// Slots that are not free.
    pub(crate) fn slots_in_use(&self) -> usize {
        self.slots().filter(|slot| !slot.completion.is_free()).count()
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

    /// Requests submitted and not answered.
    pub(crate) fn in_flight(&self) -> u32 {
        self.in_flight.load(Relaxed)
    }

    /// Waiters that do not poll themselves.
    pub(crate) fn waiting_futures(&self) -> u32 {
        // In one order with the helper thread's going to rest.
        self.waiting_futures.load(SeqCst)
    }

    /// One more of them.
    pub(crate) fn add_waiting_future(&self) {
        self.waiting_futures.fetch_add(1, SeqCst);
    }

    /// One less.
    pub(crate) fn remove_waiting_future(&self) {
        self.waiting_futures.fetch_sub(1, SeqCst);
    }

    /// Takes a free slot, with metadata of `meta_len` bytes for each of its lists. `Ok(None)` when all are in use, or
    /// none is given any more.
    #[inline(always)]
    pub(crate) fn claim(
        &'static self,
        memory: &'static Memory,
        meta_len: usize,
    ) -> Result<Option<SlotGuard>, NoMemory> {
        if self.is_gone.load(Relaxed) {
            return Ok(None);
        }
        let Some(index) = self.free.pop() else { return Ok(None) };
        let (chunk, at) = (usize::from(index) / CHUNK, usize::from(index) % CHUNK);
        let slot = &self.chunks[chunk].get_or_init(|| (0..CHUNK).map(|_| Slot::new()).collect())[at];
        slot.completion.hold();
        let mut guard = SlotGuard { table: self, slot, index };
        let body = guard.body();
        if body.side.is_none() {
            let side = Side::new(memory, meta_len)?;
            body.source = List::new(side.block.at(0));
            body.target = List::new(side.block.at(side.parameters_at / 2));
            body.side = Some(side);
        }
        Ok(Some(guard))
    }

    fn tag(&self, index: u16, generation: u32) -> *mut c_void {
        let tag = (u64::from(generation)) << 32 | u64::from(self.number) << 16 | u64::from(index);
        std::ptr::without_provenance_mut(tag as usize)
    }

    /// Takes an answer: the callback's work.
    fn complete(&'static self, index: u16, generation: u32, status: i32) {
        self.waiters.answered();
        let Some(chunk) = self.chunks.get(usize::from(index) / CHUNK).and_then(OnceLock::get) else { return };
        let slot = &chunk[usize::from(index) % CHUNK];
        match slot.completion.complete(generation, status) {
            Delivery::ToWaiter(waker) => {
                self.in_flight.fetch_sub(1, Relaxed);
                waker.into_iter().for_each(defer);
            }
            Delivery::Late => {
                self.in_flight.fetch_sub(1, Relaxed);
            }
            Delivery::Unclaimed => {
                self.in_flight.fetch_sub(1, Relaxed);
                drop(SlotGuard { table: self, slot, index });
            }
            Delivery::Stale => {
                self.stale.fetch_add(1, Relaxed);
            }
        }
    }

    /// Ends the waiting for all requests in flight, whose answers will never come.
    pub(crate) fn abandon_all(&self) {
        self.is_gone.store(true, SeqCst);
        for slot in self.slots() {
            slot.completion.abandon();
        }
    }

    /// Whether somebody should poll the ring before the watchdog's [`tick`](Self::tick).
    pub(crate) fn is_unattended(&self, ticks: u16, limit: u16) -> bool {
        self.slots().any(|slot| slot.completion.is_unattended(ticks, limit))
    }

    /// The watchdog's look after `ticks` of its time: gives up what has been in flight for `limit` ticks at least. How
    /// many that were.
    pub(crate) fn tick(&self, ticks: u16, limit: u16) -> usize {
        self.slots().filter(|slot| slot.completion.tick(ticks, limit)).count()
    }

    /// Wakes one waiter, so that it looks after the ring from now on.
    pub(crate) fn hand_over(&self) {
        let waker = self.slots().find_map(|slot| slot.completion.take_waker());
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
        Self { completion: Completion::new(), body: UnsafeCell::new(body) }
    }
}

/// A slot to fill. Dropped, it is free again and its memory goes back.
pub(crate) struct SlotGuard {
    pub(super) table: &'static Table,
    slot: &'static Slot,
    index: u16,
}

impl SlotGuard {
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

    /// Gives it the memory that the device reads, and that it writes; none for what works in place.
    #[inline(always)]
    pub(crate) fn load(&mut self, input: Blocks, output: Blocks) {
        let body = self.body();
        body.input.put(input);
        body.output.put(output);
    }

    /// Empties both.
    #[inline(always)]
    pub(crate) fn unload(&mut self) -> (Blocks, Blocks) {
        let body = self.body();
        (std::mem::take(&mut body.input), std::mem::take(&mut body.output))
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

    /// Is about to be submitted, with this generation and tag. The answer may come before [`end_submit`](Self::end_submit).
    #[inline(always)]
    pub(super) fn begin_submit(&mut self) -> (u32, *mut c_void) {
        self.table.in_flight.fetch_add(1, Relaxed);
        let generation = self.slot.completion.begin_submit();
        (generation, self.table.tag(self.index, generation))
    }

    /// Was submitted, or refused.
    #[inline(always)]
    pub(super) fn end_submit<E>(
        self,
        generation: u32,
        submitted: Result<(), E>,
    ) -> Result<PendingRequest, (Self, E)> {
        let Self { table, slot, index } = &self;
        let (table, slot, index) = (*table, *slot, *index);
        match submitted {
            Ok(()) => {
                table.submitted.fetch_add(1, Relaxed);
                std::mem::forget(self);
                Ok(PendingRequest { table, slot, index, generation, is_awaited: false, is_over: false })
            }
            Err(error) => {
                slot.completion.recall(generation);
                table.in_flight.fetch_sub(1, Relaxed);
                Err((self, error))
            }
        }
    }
}

impl Drop for SlotGuard {
    #[inline(always)]
    fn drop(&mut self) {
        let is_over = self.table.is_safe.load(Relaxed);
        let body = self.body();
        body.input.clear();
        body.output.clear();
        body.session = None;
        if is_over {
            // The last of a ring that is no more.
            body.side = None;
        }
        self.slot.completion.free();
        self.table.free.push(self.index);
    }
}

/// A request in flight. Resolves when its answer was taken by somebody's poll of the ring; dropped before, its memory
/// stays with the driver until then.
pub(crate) struct PendingRequest {
    table: &'static Table,
    slot: &'static Slot,
    index: u16,
    generation: u32,
    is_awaited: bool,
    is_over: bool,
}

impl PendingRequest {
    /// The end that `completion` told of.
    fn ended(&mut self, end: RequestEnd) -> Result<CompletedRequest, Abandoned> {
        let Self { table, slot, index, .. } = *self;
        self.is_over = true;
        if self.is_awaited {
            table.remove_waiting_future();
        }
        match end {
            RequestEnd::Completed(status) => Ok(CompletedRequest {
                slot: SlotGuard { table, slot, index },
                status: CpaStatus::from_raw(status),
            }),
            RequestEnd::Abandoned => {
                table.unpark(index, slot);
                Err(if table.is_gone.load(Relaxed) { Abandoned::DeviceGone } else { Abandoned::TimedOut })
            }
        }
    }
}

impl Future for PendingRequest {
    type Output = Result<CompletedRequest, Abandoned>;

    #[inline(always)]
    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        let completion = &self.slot.completion;
        if let Ok(end) = completion.take(self.generation) {
            return Poll::Ready(self.ended(end));
        }
        let is_polled_here = self.table.waiters.is_polled_by_this_thread();
        if is_polled_here == Some(Waiting::Polling) {
            // It looks again after each poll of the ring.
            return Poll::Pending;
        }
        if let Ok(end) = completion.take_or_wake(self.generation, context.waker()) {
            return Poll::Ready(self.ended(end));
        }
        if is_polled_here.is_none() && !self.is_awaited {
            self.is_awaited = true;
            self.table.add_waiting_future();
            self.table.waiters.call();
        }
        Poll::Pending
    }
}

impl Drop for PendingRequest {
    fn drop(&mut self) {
        if !self.is_over {
            let end = self.slot.completion.leave(self.generation);
            drop(self.ended(end));
        }
    }
}

/// An answered request: its memory is the program's again.
pub(crate) struct CompletedRequest {
    slot: SlotGuard,
    status: CpaStatus,
}

impl CompletedRequest {
    /// What the callback was given.
    pub(crate) fn status(&self) -> CpaStatus {
        self.status
    }

    /// Counters and status of a compression.
    pub(crate) fn results(&self) -> CpaDcRqResults {
        let body = self.slot.body_ref();
        match (body.api, &body.side) {
            (Api::DataPlane, Some(side)) => side.results(),
            _ => body.results,
        }
    }

    /// By which calls it went.
    pub(crate) fn api(&self) -> Api {
        self.slot.body_ref().api
    }

    /// Whether it was a compression, as opposed to a decompression.
    pub(crate) fn is_compression(&self) -> bool {
        self.slot.body_ref().direction == Direction::Compress
    }

    /// What the device wrote.
    pub(crate) fn output(&self) -> &Blocks {
        &self.slot.body_ref().output
    }

    /// What the device read, or worked on in place.
    pub(crate) fn input(&self) -> &Blocks {
        &self.slot.body_ref().input
    }

    /// The parameters, with a digest that the device wrote.
    pub(crate) fn parameters(&mut self) -> &mut [u8] {
        self.slot.parameters()
    }

    /// Takes the memory of both sides out.
    pub(crate) fn into_memory(mut self) -> (Blocks, Blocks) {
        self.slot.unload()
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

fn complete(tag: *mut c_void, status: i32) {
    let tag = tag.addr() as u64;
    let (index, number, generation) = (tag as u16, (tag >> 16) as u16, (tag >> 32) as u32);
    if let Some(table) = ALL.get(usize::from(number)).and_then(OnceLock::get) {
        table.complete(index, generation, status);
    }
}

/// The callback of compression.
pub(super) unsafe extern "C" fn compression_done(tag: *mut c_void, status: i32) {
    complete(tag, status);
}

/// The callback of compression by the data plane.
pub(super) unsafe extern "C" fn data_plane_done(operation: *mut CpaDcDpOpData) {
    // SAFETY: `cpa_dc_dp.h`: what was submitted, which is the side memory of a slot; a slot keeps it as long as libqat
    // is started.
    let operation = unsafe { &*operation };
    complete(operation.pCallbackTag, operation.responseStatus);
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
    complete_verified(tag, status, verified);
}

/// The callback of symmetric operations by the data plane.
pub(super) unsafe extern "C" fn symmetric_data_plane_done(
    operation: *mut CpaCySymDpOpData,
    status: i32,
    verified: CpaBoolean,
) {
    // SAFETY: `cpa_cy_sym_dp.h`: what was submitted, as for `data_plane_done`.
    let tag = unsafe { (*operation).pCallbackTag };
    complete_verified(tag, status, verified);
}

fn complete_verified(tag: *mut c_void, status: i32, verified: CpaBoolean) {
    // A digest that does not match is a success with this flag clear.
    complete(tag, if status == CPA_STATUS_SUCCESS && verified == 0 { NOT_VERIFIED } else { status });
}
