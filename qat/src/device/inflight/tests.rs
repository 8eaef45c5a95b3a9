//! Tests of slots, memory and sessions with a libqat of stubs, in the orders in which submitter, device and waiter can
//! act. They are small enough for Miri: `cargo +nightly miri test -p qat --lib inflight::`.

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

/// A device with one ring. Its instance handle is its address.
#[derive(Default)]
struct Device {
    submitted: Mutex<VecDeque<Submitted>>,
    /// The status that the next submissions return.
    refusal: AtomicI32,
    sessions_removed: AtomicUsize,
}

enum Submitted {
    Traditional { tag: usize, results: usize },
    DataPlane { operation: usize },
}

impl Device {
    fn of<'a>(handle: CpaInstanceHandle) -> &'a Self {
        // SAFETY: `Bench::new` created the handle from the address of a leaked device.
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
                    // SAFETY: `cpa_dc.h`: the results remain until the callback.
                    unsafe { (*results).consumed = 77 };
                    let tag = std::ptr::without_provenance_mut(tag);
                    // SAFETY: `compression_done` accepts any arguments.
                    unsafe { table::compression_done(tag, CPA_STATUS_SUCCESS) };
                }
                Submitted::DataPlane { operation } => {
                    let operation: *mut CpaDcDpOpData = std::ptr::with_exposed_provenance_mut(operation);
                    // SAFETY: `cpa_dc_dp.h`: the operation remains until the callback.
                    let it = unsafe { &mut *operation };
                    (it.results.consumed, it.responseStatus) = (77, CPA_STATUS_SUCCESS);
                    // SAFETY: `data_plane_done`: a ring submitted the operation.
                    unsafe { table::data_plane_done(operation) };
                }
            }
        }
        taken.len()
    }
}

static ALLOCATIONS: Mutex<Option<HashMap<usize, usize>>> = Mutex::new(None);

unsafe extern "C" fn allocate(len: usize, _: c_int, align: usize) -> *mut c_void {
    // SAFETY: `alloc_zeroed`: neither length nor alignment is zero.
    let memory = unsafe { alloc_zeroed(Layout::from_size_align(len, align).unwrap()) };
    ALLOCATIONS.lock().unwrap().get_or_insert_default().insert(memory.addr(), len);
    memory.cast()
}

unsafe extern "C" fn free(memory: *mut *mut c_void) {
    // SAFETY: `qae_mem.h`: the argument is the address of a pointer.
    let memory = unsafe { *memory };
    let len = ALLOCATIONS.lock().unwrap().as_mut().unwrap().remove(&memory.addr()).expect("allocated");
    // SAFETY: `dealloc`: `allocate` allocated the memory with this layout.
    unsafe { dealloc(memory.cast(), Layout::from_size_align(len, 64).unwrap()) };
}

/// Returns the address of the process as the bus address.
unsafe extern "C" fn bus_address(memory: *mut c_void) -> u64 {
    memory.expose_provenance() as u64
}

unsafe extern "C" fn meta_len(_: CpaInstanceHandle, _: u32, len: *mut u32) -> CpaStatus {
    // SAFETY: `cpa_dc.h`: the argument points to space for the result.
    unsafe { *len = 100 };
    CPA_STATUS_SUCCESS
}

unsafe extern "C" fn session_len(
    _: CpaInstanceHandle,
    _: *mut CpaDcSessionSetupData,
    len: *mut u32,
    _: *mut u32,
) -> CpaStatus {
    // SAFETY: `cpa_dc.h`: the argument points to space for the result.
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
    // SAFETY: `cpa_dc.h`: the session memory has the length that `session_len` returned.
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
        // SAFETY: `cpa_dc.h`: the argument is a buffer list.
        let list = unsafe { &*list };
        assert!(list.numBuffers > 0 && !list.pPrivateMetaData.is_null());
        // SAFETY: `cpa_dc.h`: the list has `numBuffers` buffers, which is not 0.
        let first = unsafe { &*list.pBuffers };
        // SAFETY: the device may access the buffer's memory until the callback.
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
    // SAFETY: `cpa_dc.h`: the session memory has the length that `session_len` returned.
    unsafe { session.cast::<u8>().write_bytes(0xAA, 600) };
    CPA_STATUS_SUCCESS
}

unsafe extern "C" fn enqueue(operation: *mut CpaDcDpOpData, _: sys::CpaBoolean) -> CpaStatus {
    // SAFETY: `cpa_dc_dp.h`: the argument is an operation.
    let it = unsafe { &*operation };
    let device = Device::of(it.dcInstance);
    let refusal = device.refusal.load(SeqCst);
    if refusal != CPA_STATUS_SUCCESS {
        return refusal;
    }
    assert_eq!(it.thisPhys, operation.addr() as u64);
    for (buffer, len) in [(it.srcBuffer, it.srcBufferLen), (it.destBuffer, it.destBufferLen)] {
        let buffer: *mut u8 = std::ptr::with_exposed_provenance_mut(buffer as usize);
        // SAFETY: the device may access the buffer's memory until the callback.
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

/// A ring on a stub device.
struct Bench {
    device: &'static Device,
    memory: &'static Memory,
    ring: Arc<Ring>,
    session: Arc<Session>,
}

const LIMIT: usize = if cfg!(miri) { 2 << 20 } else { 8 << 20 };

impl Bench {
    /// Returns a bench for each of the two APIs.
    fn each() -> impl Iterator<Item = Self> {
        [Api::Traditional, Api::DataPlane].into_iter().map(Self::new)
    }

    fn new(api: Api) -> Self {
        let symbols = symbols();
        let device: &Device = Box::leak(Box::default());
        let memory: &Memory = Box::leak(Box::new(Memory::new(symbols, 0, LIMIT)));
        let table = Table::acquire().unwrap();
        let handle = std::ptr::from_ref(device).cast_mut().cast();
        // SAFETY: `Ring::start`: the stubs have the contract of libqat for this handle.
        let ring = unsafe { Ring::start(symbols, handle, Work::Compression, table, memory) }.unwrap();
        // SAFETY: `CpaDcSessionSetupData` of `cpa_dc.h` has only numbers.
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

    /// Asserts that all slots can be claimed again, and ends the start.
    fn finish(self) {
        let ring = &self.ring;
        let claims: Vec<_> =
            std::iter::from_fn(|| ring.claim().unwrap()).take(if cfg!(miri) { 3 } else { 600 }).collect();
        assert_eq!(claims.len(), if cfg!(miri) { 3 } else { table::DEPTH });
        drop(claims);
        self.stop();
    }

    /// Ends the start, and asserts that all memory returns to the slab.
    fn stop(self) {
        let Self { memory, ring, session, .. } = self;
        drop(session);
        ring.close();
        // SAFETY: `Ring::stop`: the ring was closed above, and the stubs accept the handle.
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
fn a_dropped_request_keeps_its_memory_until_the_response() {
    for bench in Bench::each() {
        let (mut polled, fresh, answered) = (bench.submit(), bench.submit(), bench.submit());
        assert!(poll(&mut polled, Waker::noop()).is_pending());
        drop((polled, fresh));
        // The first two requests were dropped.
        assert_eq!(bench.ring.table().in_flight(), 3);
        assert_eq!(bench.ring.poll(), Polled::Answers);
        assert_eq!((bench.ring.table().in_flight(), bench.ring.table().waiting_futures()), (0, 0));
        // The third is dropped after its response, which nobody has taken.
        drop(answered);
        bench.finish();
    }
}

#[test]
fn an_abandoned_request_ends_and_a_late_response_is_its_own() {
    for bench in Bench::each() {
        let (mut first, second, mut third) = (bench.submit(), bench.submit(), bench.submit());
        assert_eq!(bench.ring.table().tick(1, 2), 0);
        assert_eq!(bench.ring.table().tick(2, 2), 3);
        let Poll::Ready(Err(reason)) = poll(&mut first, Waker::noop()) else { panic!("given up") };
        assert_eq!(reason, Abandoned::TimedOut);
        drop(second);
        // The slots of abandoned requests are not reused before the response.
        let mut later = bench.submit();
        bench.ring.table().abandon_all();
        let Poll::Ready(Err(reason)) = poll(&mut later, Waker::noop()) else { panic!("given up") };
        assert_eq!(reason, Abandoned::DeviceGone);
        // The responses come late: the waiter of the third has not looked, and gets its response.
        assert_eq!(bench.ring.poll(), Polled::Answers);
        assert!(matches!(poll(&mut third, Waker::noop()), Poll::Ready(Ok(_))));
        // A ring whose device is gone gives out no slot.
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
    // SAFETY: `compression_done` accepts any tag.
    unsafe { table::compression_done(std::ptr::without_provenance_mut(tag), CPA_STATUS_SUCCESS) };
    for nonsense in [0, usize::MAX, tag ^ 0xffff, tag ^ 0xffff_0000] {
        // SAFETY: `compression_done` accepts any tag.
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
        // SAFETY: `CpaDcSessionSetupData` of `cpa_dc.h` has only numbers.
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
        // A new block of the session's length comes from the same class as the session's memory.
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

/// Threads submit, wait and drop requests while another thread polls: every slot and every byte is freed.
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
                            // The request is dropped in the state that it happens to be in.
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
