//! The table of one ring's requests in flight. `ring` claims and submits slots, libqat's callbacks complete them, and
//! waiters take them; nothing here calls libqat.
//!
//! A slot's [`Completion`] determines who owns it. A slot that is parked for a response that never comes is freed when
//! libqat was stopped, which detaches the device from this process and its memory.

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

/// The number of requests that a ring of libqat's default depth (512) accepts: one entry stays empty.
pub(crate) const DEPTH: usize = 511;
/// The number of slots that are allocated together, when the first of them is used.
const CHUNK: usize = 64;
/// The maximum number of tables in one process. Each belongs to an instance of a start.
const TABLES: usize = 1024;

/// The status of a response whose digest does not match. libqat's own error statuses are negative.
pub(crate) const NOT_VERIFIED: i32 = 1;

static ALL: [OnceLock<Table>; TABLES] = [const { OnceLock::new() }; TABLES];
/// The numbers of the tables without a ring, whose slots may still be held, and the total number of tables.
static IDLE: Mutex<(Vec<u16>, u16)> = Mutex::new((Vec::new(), 0));

/// The requests in flight of one ring.
pub(crate) struct Table {
    number: u16,
    chunks: [OnceLock<Box<[Slot]>>; DEPTH.div_ceil(CHUNK)],
    free: FreeSlots,
    in_flight: AtomicU32,
    /// The number of futures that wait at the ring, so that the helper thread has to poll for them.
    waiting_futures: AtomicU32,
    submitted: AtomicU64,
    stale: AtomicU64,
    /// Whether all requests were abandoned and no further slot is given out.
    is_gone: AtomicBool,
    /// Whether libqat was stopped, so that no device accesses the memory of the slots any more.
    is_safe: AtomicBool,
    /// Bit `n` is set when event `n` of `CpaInstanceEvent` occurred and was not taken yet.
    events: AtomicU8,
    /// The threads and futures that wait at the ring.
    pub(crate) waiters: Waiters,
}

#[repr(align(64))]
struct Slot {
    completion: Completion,
    body: UnsafeCell<Body>,
}

/// The structures that libqat reads and writes until the callback, and the memory that they point to.
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

/// The slot's own device memory: the metadata of both lists, or a [`PhysicalList`](super::list::PhysicalList), then the
/// parameters (IV, associated data, digest), then the operation of a data-plane request.
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

    /// Returns the address and the bus address of the operation.
    #[inline(always)]
    pub(super) fn operation<T>(&self) -> (NonNull<T>, u64) {
        (self.operation.0.cast(), self.operation.1)
    }

    /// Returns the results that the response wrote into the operation.
    fn results(&self) -> CpaDcRqResults {
        // SAFETY: `new` placed the operation inside the zeroed block, at an offset with its alignment, and after the
        // response neither libqat nor the device accesses it (`cpa_dc_dp.h`).
        unsafe { (*self.operation::<CpaDcDpOpData>().0.as_ptr()).results }
    }
}

// SAFETY: only the owner of the slot, according to its `Completion`, accesses the body; everything else is atomic.
unsafe impl Sync for Slot {}
// SAFETY: the pointers inside point to the slot itself and to device memory, neither of which is tied to a thread.
unsafe impl Send for Slot {}

/// Why a request was abandoned without a response.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Abandoned {
    /// The device did not respond within the deadline.
    TimedOut,
    /// The device was restarted or removed, or libqat is stopping.
    DeviceGone,
}

impl Table {
    /// Returns a table that no ring uses, with all its slots free. Returns `None` when the process has too many tables
    /// already.
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

    /// Releases the table and its slots' own memory. Parked slots are freed if `is_stopped`, that is, if libqat was
    /// stopped, so that no device accesses their memory. Returns the number of requests that keep their memory, and the
    /// table, for ever.
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
        // A caller with the ring of an ended start may still claim a slot, so the free slots are taken before their
        // memory is freed.
        let unused: Vec<_> = std::iter::from_fn(|| self.free.pop()).collect();
        // The slots are pushed so that the lowest ones are on top again.
        for index in unused.into_iter().rev() {
            if let Some(chunk) = self.chunks[usize::from(index) / CHUNK].get() {
                // SAFETY: the slot was popped from the free list, so this thread owns it alone.
                unsafe { &mut *chunk[usize::from(index) % CHUNK].body.get() }.side = None;
            }
            self.free.push(index);
        }
        IDLE.lock().unwrap_or_else(PoisonError::into_inner).0.push(self.number);
        self.parked()
    }

    /// Frees a parked slot, if no device accesses its memory any more.
    fn unpark(&'static self, index: u16, slot: &'static Slot) {
        if slot.completion.unpark(&self.is_safe) {
            self.in_flight.fetch_sub(1, Relaxed);
            drop(SlotGuard { table: self, slot, index });
        }
    }

    /// Returns whether the stop has to wait for a response, which it does for requests that were not abandoned.
    pub(crate) fn is_expecting(&self) -> bool {
        self.in_flight() > 0 && self.slots().any(|slot| slot.completion.is_expected())
    }

    /// Returns the number of requests without a waiter whose memory is kept until the device responds.
    pub(crate) fn parked(&self) -> usize {
        self.slots().filter(|slot| slot.completion.is_parked()).count()
    }

    /// Returns the number of slots that are not free.
    pub(crate) fn slots_in_use(&self) -> usize {
        self.slots().filter(|slot| !slot.completion.is_free()).count()
    }

    /// Returns the number of the table, which the tags of its requests contain.
    pub(crate) fn number(&self) -> usize {
        self.number.into()
    }

    /// Returns the number of requests that were submitted since the table was acquired.
    pub(crate) fn submitted(&self) -> u64 {
        self.submitted.load(Relaxed)
    }

    /// Returns the events of the ring's device since the last call, as bits.
    pub(crate) fn take_events(&self) -> u8 {
        self.events.swap(0, Relaxed)
    }

    /// Returns whether all requests were abandoned and no further slot is given out.
    pub(crate) fn is_gone(&self) -> bool {
        self.is_gone.load(SeqCst)
    }

    fn slots(&self) -> impl Iterator<Item = &Slot> {
        self.chunks.iter().filter_map(OnceLock::get).flat_map(|chunk| chunk.iter())
    }

    /// Returns the number of requests that were submitted and have no response yet.
    pub(crate) fn in_flight(&self) -> u32 {
        self.in_flight.load(Relaxed)
    }

    /// Returns the number of waiting futures, for which the helper thread polls.
    pub(crate) fn waiting_futures(&self) -> u32 {
        // SeqCst: ordered against the helper thread going to sleep (`Reactor::run`); otherwise a wake-up is lost.
        self.waiting_futures.load(SeqCst)
    }

    /// Adds a waiting future.
    pub(crate) fn add_waiting_future(&self) {
        self.waiting_futures.fetch_add(1, SeqCst);
    }

    /// Removes a waiting future.
    pub(crate) fn remove_waiting_future(&self) {
        self.waiting_futures.fetch_sub(1, SeqCst);
    }

    /// Takes a free slot, with metadata of `meta_len` bytes for each of its lists. Returns `Ok(None)` when all slots
    /// are in use, or when no further slot is given out.
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

    /// Records a response. libqat's callbacks call it.
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

    /// Abandons all requests in flight, and gives out no further slot.
    pub(crate) fn abandon_all(&self) {
        self.is_gone.store(true, SeqCst);
        for slot in self.slots() {
            slot.completion.abandon();
        }
    }

    /// Returns whether the watchdog should poll the ring before its [`tick`](Self::tick).
    pub(crate) fn is_unattended(&self, ticks: u16, limit: u16) -> bool {
        self.slots().any(|slot| slot.completion.is_unattended(ticks, limit))
    }

    /// Ages all requests by `ticks` of the watchdog, abandons those that are older than `limit`, and returns their
    /// number.
    pub(crate) fn tick(&self, ticks: u16, limit: u16) -> usize {
        self.slots().filter(|slot| slot.completion.tick(ticks, limit)).count()
    }

    /// Wakes one waiter, which then polls the ring.
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
            // SAFETY: `CpaDcOpData` of `cpa_dc.h` has only numbers and pointers, for which zero is a valid value.
            compression: unsafe { std::mem::zeroed() },
            crcs: CpaCrcData::default(),
            // SAFETY: `CpaCySymOpData` of `cpa_cy_sym.h` has only numbers and pointers, for which zero is a valid
            // value.
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

/// A slot that the holder fills with a request. Dropping it frees the slot and its memory.
pub(crate) struct SlotGuard {
    pub(super) table: &'static Table,
    slot: &'static Slot,
    index: u16,
}

impl SlotGuard {
    /// The number of bytes for parameters in device memory.
    pub(crate) const PARAMETERS: usize = 1024;

    pub(super) fn body(&mut self) -> &mut Body {
        // SAFETY: the slot is held according to its `Completion`, and this is its only guard, which is borrowed
        // mutably.
        unsafe { &mut *self.slot.body.get() }
    }

    fn body_ref(&self) -> &Body {
        // SAFETY: the slot is held according to its `Completion`, and this is its only guard, which is borrowed shared.
        unsafe { &*self.slot.body.get() }
    }

    /// Sets the memory that the device reads and the memory that it writes. `output` is empty for requests that work in
    /// place.
    #[inline(always)]
    pub(crate) fn load(&mut self, input: Blocks, output: Blocks) {
        let body = self.body();
        body.input.put(input);
        body.output.put(output);
    }

    /// Takes the memory of input and output out.
    #[inline(always)]
    pub(crate) fn unload(&mut self) -> (Blocks, Blocks) {
        let body = self.body();
        (std::mem::take(&mut body.input), std::mem::take(&mut body.output))
    }

    /// Returns the device memory for the parameters: IV, associated data and digest.
    pub(crate) fn parameters(&mut self) -> &mut [u8] {
        let side = self.body().side.as_mut().expect("made when it was claimed");
        &mut side.block.bytes_mut()[side.parameters_at..][..Self::PARAMETERS]
    }

    /// Returns whether input and output are one buffer each, as data-plane requests need.
    pub(crate) fn is_flat(&self) -> bool {
        let body = self.body_ref();
        body.input.flat().is_some() && body.output.flat().is_some()
    }

    /// Marks the request as pending before its submission, and returns its generation and tag. The response may come
    /// before [`end_submit`](Self::end_submit).
    #[inline(always)]
    pub(super) fn begin_submit(&mut self) -> (u32, *mut c_void) {
        self.table.in_flight.fetch_add(1, Relaxed);
        let generation = self.slot.completion.begin_submit();
        (generation, self.table.tag(self.index, generation))
    }

    /// Returns the pending request if it was submitted, or the slot and the error if libqat rejected it.
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
            // The ring's start has ended, so nobody else frees the slot's own memory.
            body.side = None;
        }
        self.slot.completion.free();
        self.table.free.push(self.index);
    }
}

/// A request in flight, as a future that resolves when a poll of the ring has taken its response. If it is dropped
/// before, the table keeps its memory until then.
pub(crate) struct PendingRequest {
    table: &'static Table,
    slot: &'static Slot,
    index: u16,
    generation: u32,
    is_awaited: bool,
    is_over: bool,
}

impl PendingRequest {
    /// Converts the end that `completion` reported.
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
            // The thread polls this future again after each poll of the ring, so it needs no waker.
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

/// A request with a response. It owns the slot and its memory.
pub(crate) struct CompletedRequest {
    slot: SlotGuard,
    status: CpaStatus,
}

impl CompletedRequest {
    /// Returns the status that libqat passed to the callback.
    pub(crate) fn status(&self) -> CpaStatus {
        self.status
    }

    /// Returns the results of a compression or decompression.
    pub(crate) fn results(&self) -> CpaDcRqResults {
        let body = self.slot.body_ref();
        match (body.api, &body.side) {
            (Api::DataPlane, Some(side)) => side.results(),
            _ => body.results,
        }
    }

    /// Returns the API that submitted the request.
    pub(crate) fn api(&self) -> Api {
        self.slot.body_ref().api
    }

    /// Returns whether the request was a compression, as opposed to a decompression.
    pub(crate) fn is_compression(&self) -> bool {
        self.slot.body_ref().direction == Direction::Compress
    }

    /// Returns the memory that the device wrote.
    pub(crate) fn output(&self) -> &Blocks {
        &self.slot.body_ref().output
    }

    /// Returns the memory that the device read, or worked on in place.
    pub(crate) fn input(&self) -> &Blocks {
        &self.slot.body_ref().input
    }

    /// Returns the parameters, including a digest that the device wrote.
    pub(crate) fn parameters(&mut self) -> &mut [u8] {
        self.slot.parameters()
    }

    /// Returns the memory of input and output.
    pub(crate) fn into_memory(mut self) -> (Blocks, Blocks) {
        self.slot.unload()
    }
}

thread_local! {
    /// The wakers that this thread's callbacks have to call. They are called after the poll, because a waker is foreign
    /// code that might use the ring, whose gate this thread holds while callbacks run: that would deadlock.
    static DEFERRED: RefCell<Vec<Waker>> = const { RefCell::new(Vec::new()) };
}

fn defer(waker: Waker) {
    DEFERRED.with_borrow_mut(|wakers| wakers.push(waker));
}

/// Calls the wakers that this thread's callbacks have deferred.
pub(crate) fn wake_deferred() {
    while let Some(waker) = DEFERRED.with_borrow_mut(Vec::pop) {
        waker.wake();
    }
}

/// The callback for device events.
///
/// # Safety
/// Any arguments are allowed: the tag is not dereferenced.
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

/// The callback of the traditional API for compression.
///
/// # Safety
/// Any arguments are allowed: the tag is not dereferenced.
pub(super) unsafe extern "C" fn compression_done(tag: *mut c_void, status: i32) {
    complete(tag, status);
}

/// The callback of the data-plane API for compression.
///
/// # Safety
/// `operation` is one that [`Ring`](super::ring::Ring) submitted.
pub(super) unsafe extern "C" fn data_plane_done(operation: *mut CpaDcDpOpData) {
    // SAFETY: `cpa_dc_dp.h`: libqat passes the operation that was submitted. It is in the slot's own memory, which the
    // slot keeps while libqat is started.
    let operation = unsafe { &*operation };
    complete(operation.pCallbackTag, operation.responseStatus);
}

/// The callback of the traditional API for symmetric operations.
///
/// # Safety
/// Any arguments are allowed: no pointer is dereferenced.
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

/// The callback of the data-plane API for symmetric operations.
///
/// # Safety
/// `operation` is one that [`Ring`](super::ring::Ring) submitted.
pub(super) unsafe extern "C" fn symmetric_data_plane_done(
    operation: *mut CpaCySymDpOpData,
    status: i32,
    verified: CpaBoolean,
) {
    // SAFETY: `cpa_cy_sym_dp.h`: libqat passes the operation that was submitted. It is in the slot's own memory, which
    // the slot keeps while libqat is started.
    let tag = unsafe { (*operation).pCallbackTag };
    complete_verified(tag, status, verified);
}

fn complete_verified(tag: *mut c_void, status: i32, verified: CpaBoolean) {
    // libqat reports a digest that does not match as a success with this flag cleared.
    complete(tag, if status == CPA_STATUS_SUCCESS && verified == 0 { NOT_VERIFIED } else { status });
}
