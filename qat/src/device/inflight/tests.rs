//! The bookkeeping of requests, over a libqat of stubs: what happens to slots, memory and sessions in every order in which
//! submitter, device and waiter can come. Small enough for Miri: `cargo +nightly miri test -p qat --lib inflight::`.

use std::alloc::{Layout, alloc_zeroed, dealloc};
use std::collections::{HashMap, VecDeque};
use std::ffi::{c_int, c_void};
use std::sync::atomic::{AtomicI32, AtomicUsize, Ordering::SeqCst};
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll, Wake, Waker};
use std::thread;

use qat_sys::{
    self as sys, CPA_STATUS_RETRY, CPA_STATUS_SUCCESS, CpaBufferList, CpaDcCallbackFn, CpaDcDpOpData,
    CpaDcOpData, CpaDcRqResults, CpaDcSessionHandle, CpaDcSessionSetupData, CpaInstanceHandle, CpaStatus,
    Symbols,
};

use super::*;

use crate::device::lifecycle::stub;
use crate::device::memory::Memory;

/// A device of one ring. Its instance handle is its address.
#[derive(Default)]
struct Device {
    submitted: Mutex<VecDeque<Submitted>>,
    /// What the next submissions are answered with.
    refusal: AtomicI32,
    sessions_removed: AtomicUsize,
}

enum Submitted {
    Traditional { tag: usize, results: usize },
    DataPlane { operation: usize },
}

impl Device {
    fn of<'a>(handle: CpaInstanceHandle) -> &'a Self {
        // SAFETY: the handle that `Bench::new` made of a leaked device.
        unsafe { &*handle.cast() }
    }

    fn answer(&self, count: usize) -> usize {
        let taken: Vec<_> = {
            let mut submitted = self.submitted.lock().unwrap();
            let count = count.min(submitted.len());
            submitted.drain(..count).collect()
        };
        for it in &taken {
            match *it {
                Submitted::Traditional { tag, results } => {
                    let results: *mut CpaDcRqResults = std::ptr::with_exposed_provenance_mut(results);
                    // SAFETY: libqat's contract: results stay until the callback.
                    unsafe { (*results).consumed = 77 };
                    let tag = std::ptr::without_provenance_mut(tag);
                    // SAFETY: what libqat does.
                    unsafe { table::compression_done(tag, CPA_STATUS_SUCCESS) };
                }
                Submitted::DataPlane { operation } => {
                    let operation: *mut CpaDcDpOpData = std::ptr::with_exposed_provenance_mut(operation);
                    // SAFETY: libqat's contract: the operation stays until the callback.
                    let it = unsafe { &mut *operation };
                    (it.results.consumed, it.responseStatus) = (77, CPA_STATUS_SUCCESS);
                    // SAFETY: what libqat does.
                    unsafe { table::data_plane_done(operation) };
                }
            }
        }
        taken.len()
    }
}

static ALLOCATIONS: Mutex<Option<HashMap<usize, usize>>> = Mutex::new(None);

unsafe extern "C" fn allocate(len: usize, _: c_int, align: usize) -> *mut c_void {
    // SAFETY: neither is zero.
    let memory = unsafe { alloc_zeroed(Layout::from_size_align(len, align).unwrap()) };
    ALLOCATIONS.lock().unwrap().get_or_insert_default().insert(memory.addr(), len);
    memory.cast()
}

unsafe extern "C" fn free(memory: *mut *mut c_void) {
    // SAFETY: the place of a pointer, by libusdm's contract.
    let memory = unsafe { *memory };
    let len = ALLOCATIONS.lock().unwrap().as_mut().unwrap().remove(&memory.addr()).expect("allocated");
    // SAFETY: allocated above with this layout.
    unsafe { dealloc(memory.cast(), Layout::from_size_align(len, 64).unwrap()) };
}

/// The stub device sees memory where the process does.
unsafe extern "C" fn bus_address(memory: *mut c_void) -> u64 {
    memory.expose_provenance() as u64
}

unsafe extern "C" fn meta_len(_: CpaInstanceHandle, _: u32, len: *mut u32) -> CpaStatus {
    // SAFETY: a place for the result.
    unsafe { *len = 100 };
    CPA_STATUS_SUCCESS
}

unsafe extern "C" fn session_len(
    _: CpaInstanceHandle,
    _: *mut CpaDcSessionSetupData,
    len: *mut u32,
    _: *mut u32,
) -> CpaStatus {
    // SAFETY: a place for the result.
    unsafe { *len = 600 };
    CPA_STATUS_SUCCESS
}

unsafe extern "C" fn init_session(
    _: CpaInstanceHandle,
    session: CpaDcSessionHandle,
    _: *mut CpaDcSessionSetupData,
    _: *mut CpaBufferList,
    _: CpaDcCallbackFn,
) -> CpaStatus {
    // SAFETY: session memory of the length asked for.
    unsafe { session.cast::<u8>().write_bytes(0xAA, 600) };
    CPA_STATUS_SUCCESS
}

unsafe extern "C" fn remove_session(handle: CpaInstanceHandle, _: CpaDcSessionHandle) -> CpaStatus {
    Device::of(handle).sessions_removed.fetch_add(1, SeqCst);
    CPA_STATUS_SUCCESS
}

unsafe extern "C" fn compress(
    handle: CpaInstanceHandle,
    _: CpaDcSessionHandle,
    source: *mut CpaBufferList,
    target: *mut CpaBufferList,
    _: *mut CpaDcOpData,
    results: *mut CpaDcRqResults,
    tag: *mut c_void,
) -> CpaStatus {
    let device = Device::of(handle);
    let refusal = device.refusal.load(SeqCst);
    if refusal != CPA_STATUS_SUCCESS {
        return refusal;
    }
    for list in [source, target] {
        // SAFETY: a list by libqat's contract.
        let list = unsafe { &*list };
        assert!(list.numBuffers > 0 && !list.pPrivateMetaData.is_null());
        // SAFETY: the list's buffers.
        let first = unsafe { &*list.pBuffers };
        // SAFETY: memory of the buffer's length, which the device may read and write.
        unsafe { first.pData.write_bytes(0x5A, first.dataLenInBytes as usize) };
    }
    device
        .submitted
        .lock()
        .unwrap()
        .push_back(Submitted::Traditional { tag: tag.addr(), results: results.expose_provenance() });
    CPA_STATUS_SUCCESS
}

unsafe extern "C" fn init_data_plane_session(
    _: CpaInstanceHandle,
    session: CpaDcSessionHandle,
    _: *mut CpaDcSessionSetupData,
) -> CpaStatus {
    // SAFETY: session memory of the length asked for.
    unsafe { session.cast::<u8>().write_bytes(0xAA, 600) };
    CPA_STATUS_SUCCESS
}

unsafe extern "C" fn enqueue(operation: *mut CpaDcDpOpData, _: sys::CpaBoolean) -> CpaStatus {
    // SAFETY: an operation by libqat's contract.
    let it = unsafe { &*operation };
    let device = Device::of(it.dcInstance);
    let refusal = device.refusal.load(SeqCst);
    if refusal != CPA_STATUS_SUCCESS {
        return refusal;
    }
    assert_eq!(it.thisPhys, operation.addr() as u64);
    for (buffer, len) in [(it.srcBuffer, it.srcBufferLen), (it.destBuffer, it.destBufferLen)] {
        let buffer: *mut u8 = std::ptr::with_exposed_provenance_mut(buffer as usize);
        // SAFETY: memory of the buffer's length, which the device may read and write.
        unsafe { buffer.write_bytes(0x5A, len as usize) };
    }
    let operation = operation.expose_provenance();
    device.submitted.lock().unwrap().push_back(Submitted::DataPlane { operation });
    CPA_STATUS_SUCCESS
}

unsafe extern "C" fn poll_instance(handle: CpaInstanceHandle, _: u32) -> CpaStatus {
    if Device::of(handle).answer(usize::MAX) > 0 { CPA_STATUS_SUCCESS } else { CPA_STATUS_RETRY }
}

unsafe extern "C" fn set_translation(_: CpaInstanceHandle, _: sys::CpaVirtualToPhysical) -> CpaStatus {
    CPA_STATUS_SUCCESS
}

unsafe extern "C" fn start_instance(_: CpaInstanceHandle, _: u16, _: *mut *mut CpaBufferList) -> CpaStatus {
    CPA_STATUS_SUCCESS
}

unsafe extern "C" fn set_notification(
    _: CpaInstanceHandle,
    _: sys::CpaDcInstanceNotificationCbFunc,
    _: *mut c_void,
) -> CpaStatus {
    CPA_STATUS_SUCCESS
}

unsafe extern "C" fn register(_: CpaInstanceHandle, _: sys::CpaDcDpCallbackFn) -> CpaStatus {
    CPA_STATUS_SUCCESS
}

unsafe extern "C" fn stop_instance(_: CpaInstanceHandle) -> CpaStatus {
    CPA_STATUS_SUCCESS
}

fn symbols() -> &'static Symbols {
    let find = |name: &[u8]| {
        Some(match name {
            b"qaeMemAllocNUMA" => allocate as *const c_void,
            b"qaeMemFreeNUMA" => free as *const c_void,
            b"qaeVirtToPhysNUMA" => bus_address as *const c_void,
            b"cpaDcSetAddressTranslation" => set_translation as *const c_void,
            b"cpaDcStartInstance" => start_instance as *const c_void,
            b"cpaDcInstanceSetNotificationCb" => set_notification as *const c_void,
            b"cpaDcStopInstance" => stop_instance as *const c_void,
            b"cpaDcDpRegCbFunc" => register as *const c_void,
            b"cpaDcBufferListGetMetaSize" => meta_len as *const c_void,
            b"cpaDcGetSessionSize" => session_len as *const c_void,
            b"cpaDcInitSession" => init_session as *const c_void,
            b"cpaDcRemoveSession" => remove_session as *const c_void,
            b"cpaDcCompressData2" => compress as *const c_void,
            b"cpaDcDpInitSession" => init_data_plane_session as *const c_void,
            b"cpaDcDpEnqueueOp" => enqueue as *const c_void,
            b"icp_sal_DcPollDpInstance" => poll_instance as *const c_void,
            _ => return None,
        })
    };
    Box::leak(Box::new(stub::symbols(&[], find)))
}

/// A ring on a device of stubs.
struct Bench {
    device: &'static Device,
    memory: &'static Memory,
    ring: Arc<Ring>,
    session: Arc<Session>,
}

const LIMIT: usize = if cfg!(miri) { 2 << 20 } else { 8 << 20 };

impl Bench {
    /// One for each kind of calls.
    fn each() -> impl Iterator<Item = Self> {
        [Api::Traditional, Api::DataPlane].into_iter().map(Self::new)
    }

    fn new(api: Api) -> Self {
        let symbols = symbols();
        let device: &Device = Box::leak(Box::default());
        let memory: &Memory = Box::leak(Box::new(Memory::new(symbols, 0, LIMIT)));
        let table = Table::acquire().unwrap();
        let handle = std::ptr::from_ref(device).cast_mut().cast();
        // SAFETY: the symbols keep libqat's contract with this handle.
        let ring = unsafe { Ring::start(symbols, handle, Work::Compression, table, memory) }.unwrap();
        // SAFETY: numbers only.
        let setup = unsafe { std::mem::zeroed() };
        let session = Arc::new(ring.compression_session(api, &setup).unwrap_or_else(|_| unreachable!()));
        Self { device, memory, ring, session }
    }

    fn claim(&self) -> SlotGuard {
        let mut slot = loop {
            match self.ring.claim().unwrap() {
                Some(slot) => break slot,
                None => drop(self.ring.poll()),
            }
        };
        let blocks = |len| Blocks::with_room(self.memory, len).unwrap();
        slot.load(blocks(3000), blocks(5000));
        slot
    }

    fn submit(&self) -> PendingRequest {
        let how = Stateless {
            direction: Direction::Compress,
            flush: sys::CPA_DC_FLUSH_FINAL,
            seed: 0,
            is_verified: false,
        };
        self.ring.compress(self.claim(), &self.session, how).unwrap_or_else(|_| unreachable!("taken"))
    }

    /// All slots can be claimed again, and the start ends.
    fn finish(self) {
        let ring = &self.ring;
        let claims: Vec<_> =
            std::iter::from_fn(|| ring.claim().unwrap()).take(if cfg!(miri) { 3 } else { 600 }).collect();
        assert_eq!(claims.len(), if cfg!(miri) { 3 } else { table::DEPTH });
        drop(claims);
        self.stop();
    }

    /// The end of a start: the slab gets all its memory back.
    fn stop(self) {
        let Self { memory, ring, session, .. } = self;
        drop(session);
        ring.close();
        // SAFETY: the stubs' instance.
        unsafe { ring.stop() }.unwrap();
        assert_eq!(ring.table().retire(true), 0);
        memory.trim();
        assert_eq!(memory.allocated(), 0, "device memory is left");
    }
}

#[derive(Default)]
struct Count(AtomicUsize);

impl Wake for Count {
    fn wake(self: Arc<Self>) {
        self.0.fetch_add(1, SeqCst);
    }
}

fn poll(pending: &mut PendingRequest, waker: &Waker) -> Poll<Result<CompletedRequest, Abandoned>> {
    std::pin::Pin::new(pending).poll(&mut Context::from_waker(waker))
}

#[test]
fn an_answer_wakes_and_gives_the_memory_back() {
    for bench in Bench::each() {
        let mut pending = bench.submit();
        let count = Arc::new(Count::default());
        let waker = Waker::from(count.clone());
        assert!(poll(&mut pending, &waker).is_pending());
        assert_eq!((bench.ring.table().in_flight(), bench.ring.table().waiting_futures()), (1, 1));
        assert_eq!(bench.ring.poll(), Polled::Answers);
        assert_eq!((count.0.load(SeqCst), bench.ring.table().in_flight()), (1, 0));
        let Poll::Ready(Ok(completed)) = poll(&mut pending, &waker) else { panic!("answered") };
        assert_eq!((completed.status().raw(), completed.results().consumed), (CPA_STATUS_SUCCESS, 77));
        let mut byte = [0];
        completed.output().read(4999, &mut byte);
        assert_eq!((byte, bench.ring.table().waiting_futures()), ([0x5A], 0));
        assert_eq!(bench.ring.poll(), Polled::Nothing);
        drop((completed, pending));
        bench.finish();
    }
}

#[test]
fn a_dropped_flight_keeps_its_memory_until_the_answer() {
    for bench in Bench::each() {
        let (mut polled, fresh, answered) = (bench.submit(), bench.submit(), bench.submit());
        assert!(poll(&mut polled, Waker::noop()).is_pending());
        drop((polled, fresh));
        // The oldest two are the dropped ones.
        assert_eq!(bench.ring.table().in_flight(), 3);
        assert_eq!(bench.ring.poll(), Polled::Answers);
        assert_eq!((bench.ring.table().in_flight(), bench.ring.table().waiting_futures()), (0, 0));
        // Dropped when its answer is there and nobody took it.
        drop(answered);
        bench.finish();
    }
}

#[test]
fn a_lost_request_ends_and_a_late_answer_is_its_own() {
    for bench in Bench::each() {
        let (mut first, second, mut third) = (bench.submit(), bench.submit(), bench.submit());
        assert_eq!(bench.ring.table().tick(1, 2), 0);
        assert_eq!(bench.ring.table().tick(2, 2), 3);
        let Poll::Ready(Err(reason)) = poll(&mut first, Waker::noop()) else { panic!("given up") };
        assert_eq!(reason, Abandoned::TimedOut);
        drop(second);
        // Their slots are not free, whatever comes.
        let mut later = bench.submit();
        bench.ring.table().abandon_all();
        let Poll::Ready(Err(reason)) = poll(&mut later, Waker::noop()) else { panic!("given up") };
        assert_eq!(reason, Abandoned::DeviceGone);
        // The answers come after all: the third's waiter has not looked, and gets it.
        assert_eq!(bench.ring.poll(), Polled::Answers);
        assert!(matches!(poll(&mut third, Waker::noop()), Poll::Ready(Ok(_))));
        // A ring whose device is gone takes nothing any more.
        assert!(bench.ring.claim().unwrap().is_none());
        bench.stop();
    }
}

#[test]
fn an_answer_of_another_generation_is_ignored() {
    let bench = Bench::new(Api::Traditional);
    let pending = bench.submit();
    let Some(&Submitted::Traditional { tag, .. }) = bench.device.submitted.lock().unwrap().front() else {
        panic!("submitted")
    };
    bench.ring.poll();
    drop(pending);
    let mut next = bench.submit();
    // SAFETY: any tag may come.
    unsafe { table::compression_done(std::ptr::without_provenance_mut(tag), CPA_STATUS_SUCCESS) };
    for nonsense in [0, usize::MAX, tag ^ 0xffff, tag ^ 0xffff_0000] {
        // SAFETY: the same.
        unsafe { table::compression_done(std::ptr::without_provenance_mut(nonsense), CPA_STATUS_SUCCESS) };
    }
    assert!(poll(&mut next, Waker::noop()).is_pending());
    bench.ring.poll();
    assert!(matches!(poll(&mut next, Waker::noop()), Poll::Ready(Ok(_))));
    bench.finish();
}

#[test]
fn a_refused_request_is_the_callers_again() {
    for bench in Bench::each() {
        bench.device.refusal.store(CPA_STATUS_RETRY, SeqCst);
        let how = Stateless {
            direction: Direction::Compress,
            flush: sys::CPA_DC_FLUSH_FINAL,
            seed: 0,
            is_verified: false,
        };
        let Err(refused) = bench.ring.compress(bench.claim(), &bench.session, how) else { panic!("refused") };
        assert_eq!((refused.status.raw(), bench.ring.table().in_flight()), (CPA_STATUS_RETRY, 0));
        bench.device.refusal.store(CPA_STATUS_SUCCESS, SeqCst);
        let Ok(mut pending) = bench.ring.compress(refused.slot, &bench.session, how) else { panic!("taken") };
        bench.ring.poll();
        assert!(matches!(poll(&mut pending, Waker::noop()), Poll::Ready(Ok(_))));
        drop(pending);
        bench.finish();
    }
}

#[test]
fn a_session_is_removed_and_wiped_after_its_last_request() {
    for bench in Bench::each() {
        // SAFETY: numbers only.
        let setup = unsafe { std::mem::zeroed() };
        let session = Arc::new(
            bench.ring.compression_session(bench.session.api, &setup).unwrap_or_else(|_| unreachable!()),
        );
        let how = Stateless {
            direction: Direction::Compress,
            flush: sys::CPA_DC_FLUSH_FINAL,
            seed: 0,
            is_verified: false,
        };
        let Ok(pending) = bench.ring.compress(bench.claim(), &session, how) else { panic!("taken") };
        drop((session, pending));
        assert_eq!(bench.device.sessions_removed.load(SeqCst), 0, "a request uses it");
        bench.ring.poll();
        bench.ring.poll();
        assert_eq!(bench.device.sessions_removed.load(SeqCst), 1);
        // Session memory is of the class that a new block of its length comes from.
        let blocks: Vec<_> = (0..3).map(|_| bench.memory.take(600).unwrap()).collect();
        assert!(blocks.iter().all(|block| block.bytes()[..600].iter().all(|byte| *byte != 0xAA)));
        drop(blocks);
        bench.finish();
    }
}

#[test]
fn a_closed_ring_takes_nothing() {
    for bench in Bench::each() {
        bench.ring.refuse();
        let how = Stateless {
            direction: Direction::Compress,
            flush: sys::CPA_DC_FLUSH_FINAL,
            seed: 0,
            is_verified: false,
        };
        let refused = bench.ring.compress(bench.claim(), &bench.session, how);
        assert!(refused.is_err_and(|refused| refused.status == crate::error::CpaStatus::RESTARTING));
        bench.ring.close();
        assert_eq!(bench.ring.poll(), Polled::Closed);
        bench.finish();
    }
}

/// Threads that submit, wait, and drop, beside threads that poll: every slot and every byte comes back.
#[test]
fn threads_of_all_kinds() {
    for bench in Bench::each() {
        let (threads, rounds) = if cfg!(miri) { (2, 8) } else { (4, 5000) };
        thread::scope(|scope| {
            let callers: Vec<_> = (0..threads)
                .map(|thread| {
                    let bench = &bench;
                    scope.spawn(move || {
                        for round in 0..rounds {
                            let mut pending = bench.submit();
                            if (round + thread) % 3 > 0
                                && poll(&mut pending, Waker::noop()).is_pending()
                                && round % 3 == 1
                            {
                                while poll(&mut pending, Waker::noop()).is_pending() {
                                    bench.ring.poll();
                                }
                            }
                            // Dropped in whatever state it is in.
                        }
                    })
                })
                .collect();
            while !callers.iter().all(|caller| caller.is_finished()) {
                bench.ring.poll();
                thread::yield_now();
            }
        });
        bench.ring.poll();
        assert_eq!((bench.ring.table().in_flight(), bench.ring.table().waiting_futures()), (0, 0));
        bench.finish();
    }
}
