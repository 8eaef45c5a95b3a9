//! The ring of one instance of libqat: the calls that submit requests, poll for responses, and create sessions.
//! `device::instances` submits, `device::polling` polls, and the thread that owns libqat starts and closes rings;
//! nothing here waits for a response.

use std::collections::BTreeSet;
use std::ffi::c_void;
use std::ptr::NonNull;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering::Relaxed};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, TryLockError};

use qat_sys::{
    CPA_DP_BUFLIST, CPA_TRUE, CpaCrcData, CpaCySymCbFunc, CpaCySymDpOpData, CpaCySymOpData,
    CpaCySymSessionSetupData, CpaDcCallbackFn, CpaDcDpOpData, CpaDcFlush, CpaDcRqResults,
    CpaDcSessionSetupData, CpaInstanceHandle, Symbols,
};

use super::list::{Blocks, PhysicalList};
use super::table::{self, Body, PendingRequest, Side, SlotGuard, Table};
use super::{Api, MAX_BUFFERS, Session};
use crate::device::memory::{Address, Block, Memory, NoMemory};
use crate::error::CpaStatus;
use crate::raw::{cy, cy_dp, dc, dc_dp};
use crate::report::LibraryCounts;

/// The kind of work that an instance does, which determines the calls.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Work {
    Compression,
    Symmetric,
}

/// An instance between its start and its stop. A gate admits one thread at a time to libqat's calls for the instance,
/// which the data-plane API requires. The thread that owns libqat closes the gate before the stop, so that no call
/// follows it.
pub(crate) struct Ring {
    symbols: &'static Symbols,
    handle: Handle,
    work: Work,
    table: &'static Table,
    memory: &'static Memory,
    meta_len: usize,
    /// Locked during each call into libqat. The value is false when the gate is closed.
    gate: Mutex<bool>,
    /// The number of threads that wait at the gate, to which polling threads give way.
    waiting: AtomicU32,
    is_closed: AtomicBool,
    /// Whether requests are rejected while responses are still taken.
    is_refusing: AtomicBool,
    /// Whether libqat rejected a poll, or reported that the device is restarting or has failed.
    has_failed: AtomicBool,
    /// The addresses of the sessions that libqat knows.
    sessions: Mutex<BTreeSet<Address>>,
    /// The memory of dropped sessions that libqat may still know.
    retired: Mutex<Vec<Block>>,
    has_retired: AtomicBool,
}

#[derive(Clone, Copy)]
struct Handle(CpaInstanceHandle);
// SAFETY: `cpa.h`: a handle is opaque and tied to no thread; `Ring`'s gate admits one thread at a time to its calls.
unsafe impl Send for Handle {}
// SAFETY: `cpa.h`: a shared handle is only passed to libqat, and `Ring`'s gate admits one thread at a time.
unsafe impl Sync for Handle {}

/// The result of a poll.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Polled {
    /// Responses were taken.
    Answers,
    /// No response was available, or another thread uses the ring.
    Nothing,
    /// The gate is closed, because libqat is stopped or about to stop.
    Closed,
    /// libqat rejected the poll.
    Refused(CpaStatus),
}

/// A submission that libqat rejected, or that the closed gate prevented.
pub(crate) struct Refused {
    /// The slot, to submit again.
    pub(crate) slot: SlotGuard,
    /// The status of libqat; `RESTARTING` when the gate is closed.
    pub(crate) status: CpaStatus,
}

/// The parameters of a symmetric request. Fields that end in `_at` are offsets into [`SlotGuard::parameters`].
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Symmetric {
    pub(crate) iv_at: usize,
    /// The length of the IV in bytes.
    pub(crate) iv_len: u32,
    /// The offset and the length of the part of the data that is encrypted or decrypted.
    pub(crate) cipher: (u32, u32),
    /// The offset and the length of the part of the data that is hashed.
    pub(crate) hash: (u32, u32),
    /// `None` without a digest, or where it follows the data.
    pub(crate) digest_at: Option<usize>,
    /// `None` without associated data.
    pub(crate) aad_at: Option<usize>,
}

impl Ring {
    /// Starts an instance.
    ///
    /// # Errors
    /// The status of the call that failed.
    ///
    /// # Safety
    /// libqat is started, `handle` is an instance of this start that does `work`, and it has no other ring.
    /// [`close`](Self::close) is called before libqat stops. `symbols` belong to libqat and libusdm.
    pub(crate) unsafe fn start(
        symbols: &'static Symbols,
        handle: CpaInstanceHandle,
        work: Work,
        table: &'static Table,
        memory: &'static Memory,
    ) -> Result<Arc<Self>, CpaStatus> {
        let meta_len = match work {
            // SAFETY: `dc::start`: `handle` is a compression instance of this start, and started once, by this
            // function's contract.
            Work::Compression => unsafe { dc::start(symbols, handle) }
                // SAFETY: `dc::list_meta_len`: `handle` is a compression instance of this start by this function's
                // contract.
                .and_then(|()| unsafe { dc::list_meta_len(symbols, handle, MAX_BUFFERS as u32) }),
            // SAFETY: `cy::start`: `handle` is a symmetric instance of this start, and started once, by this function's
            // contract.
            Work::Symmetric => unsafe { cy::start(symbols, handle) }
                // SAFETY: `cy::list_meta_len`: `handle` is a symmetric instance of this start by this function's
                // contract.
                .and_then(|()| unsafe { cy::list_meta_len(symbols, handle, MAX_BUFFERS as u32) })
                .map(|len| len.max(size_of::<PhysicalList>() as u32)),
        }? as usize;
        let tag = std::ptr::without_provenance_mut(table.number());
        let notified = match work {
            // SAFETY: `dc::notify`: the handle is valid by this function's contract; the callback is this crate's, and
            // accepts every tag.
            Work::Compression => unsafe { dc::notify(symbols, handle, Some(table::notified), tag) },
            // SAFETY: `cy::notify`: the handle is valid by this function's contract; the callback is this crate's, and
            // accepts every tag.
            Work::Symmetric => unsafe { cy::notify(symbols, handle, Some(table::notified), tag) },
        };
        match work {
            // SAFETY: `dc_dp::register`: the handle is valid by this function's contract; the callback is this crate's,
            // which stays loaded.
            Work::Compression => unsafe { dc_dp::register(symbols, handle, Some(table::data_plane_done)) },
            // SAFETY: `cy_dp::register`: the handle is valid by this function's contract; the callback is this crate's,
            // which stays loaded.
            Work::Symmetric => unsafe {
                cy_dp::register(symbols, handle, Some(table::symmetric_data_plane_done))
            },
        }?;
        if let Err(status) = notified {
            tracing::debug!(?work, %status, "libqat does not report events of this instance's device");
        }
        Ok(Arc::new(Self {
            symbols,
            handle: Handle(handle),
            work,
            table,
            memory,
            meta_len,
            gate: Mutex::new(true),
            waiting: AtomicU32::new(0),
            is_closed: AtomicBool::new(false),
            is_refusing: AtomicBool::new(false),
            has_failed: AtomicBool::new(false),
            sessions: Mutex::default(),
            retired: Mutex::default(),
            has_retired: AtomicBool::new(false),
        }))
    }

    pub(crate) fn table(&self) -> &'static Table {
        self.table
    }

    pub(crate) fn memory(&self) -> &'static Memory {
        self.memory
    }

    /// Acquires the gate, which is held during each call into libqat. Returns `None` when the gate is closed.
    #[inline(always)]
    fn enter(&self) -> Option<MutexGuard<'_, bool>> {
        let is_open = match self.gate.try_lock() {
            Ok(is_open) => is_open,
            Err(TryLockError::Poisoned(error)) => error.into_inner(),
            Err(TryLockError::WouldBlock) => {
                self.waiting.fetch_add(1, Relaxed);
                let is_open = self.gate.lock().unwrap_or_else(PoisonError::into_inner);
                self.waiting.fetch_sub(1, Relaxed);
                is_open
            }
        };
        Some(is_open).filter(|is_open| **is_open)
    }

    /// Keeps all threads from using this ring until the pause is dropped. libqat changes rings when it handles device
    /// events, without locking out their users.
    pub(crate) fn pause(&self) -> Pause<'_> {
        Pause { ring: self, is_open: self.gate.lock().unwrap_or_else(PoisonError::into_inner) }
    }

    /// Returns whether the gate was closed, which is permanent.
    pub(crate) fn is_closed(&self) -> bool {
        self.is_closed.load(Relaxed)
    }

    /// Takes a slot for a request. Returns `Ok(None)` when the ring is full.
    ///
    /// # Errors
    /// The lack of device memory for the slot.
    #[inline(always)]
    pub(crate) fn claim(&self) -> Result<Option<SlotGuard>, NoMemory> {
        self.table.claim(self.memory, self.meta_len)
    }

    /// Takes the responses that are available, and wakes their waiters.
    pub(crate) fn poll(&self) -> Polled {
        let is_open = match self.gate.try_lock() {
            Ok(is_open) if self.waiting.load(Relaxed) == 0 => is_open,
            Err(TryLockError::Poisoned(error)) => error.into_inner(),
            Ok(_) | Err(TryLockError::WouldBlock) => return Polled::Nothing,
        };
        if !*is_open {
            return Polled::Closed;
        }
        let status = match self.work {
            // SAFETY: `dc_dp::poll`: the gate is open, so libqat is started, and this thread holds it; callbacks do not
            // poll, because `table::defer` delays the wakers.
            Work::Compression => unsafe { dc_dp::poll(self.symbols, self.handle.0) },
            // SAFETY: `cy_dp::poll`: the gate is open, so libqat is started, and this thread holds it; callbacks do not
            // poll, because `table::defer` delays the wakers.
            Work::Symmetric => unsafe { cy_dp::poll(self.symbols, self.handle.0) },
        };
        if self.has_retired.load(Relaxed) {
            self.sweep(true);
        }
        drop(is_open);
        match status {
            CpaStatus::SUCCESS => {
                table::wake_deferred();
                self.table.waiters.wake_for_room();
                Polled::Answers
            }
            CpaStatus::RETRY => Polled::Nothing,
            other => {
                self.has_failed.store(true, Relaxed);
                table::wake_deferred();
                Polled::Refused(other)
            }
        }
    }

    /// Creates a session for stateless compression or decompression.
    ///
    /// # Errors
    /// The status of libqat, `RESTARTING` when the gate is closed, or the lack of device memory.
    pub(crate) fn compression_session(
        self: &Arc<Self>,
        api: Api,
        setup: &CpaDcSessionSetupData,
    ) -> Result<Session, SessionError> {
        debug_assert_eq!(self.work, Work::Compression);
        // SAFETY: `dc::session_len`: `session` calls this while the gate is open, so libqat is started.
        let len = || unsafe { dc::session_len(self.symbols, self.handle.0, setup) };
        self.session(api, len, |memory| match api {
            // SAFETY: `dc::init_session`: `session` calls this while the gate is open, with device memory of the length
            // of `session_len`, which remains until `remove`.
            Api::Traditional => unsafe {
                let done: CpaDcCallbackFn = Some(table::compression_done);
                dc::init_session(self.symbols, self.handle.0, memory, setup, done)
            },
            // SAFETY: `dc_dp::init_session`: `session` calls this while the gate is open, with device memory of the
            // length of `session_len`, which remains until `remove`.
            Api::DataPlane => unsafe { dc_dp::init_session(self.symbols, self.handle.0, memory, setup) },
        })
    }

    /// Creates a session for symmetric operations.
    ///
    /// # Errors
    /// The status of libqat, `RESTARTING` when the gate is closed, or the lack of device memory.
    ///
    /// # Safety
    /// The pointers in `setup` point to keys of the lengths that it states, for the duration of the call.
    pub(super) unsafe fn symmetric_session_raw(
        self: &Arc<Self>,
        api: Api,
        setup: &CpaCySymSessionSetupData,
    ) -> Result<Session, SessionError> {
        debug_assert_eq!(self.work, Work::Symmetric);
        // SAFETY: `cy::session_len`: `session` calls this while the gate is open, and the keys are valid by this
        // function's contract.
        let len = || unsafe { cy::session_len(self.symbols, self.handle.0, setup) };
        self.session(api, len, |memory| match api {
            // SAFETY: `cy::init_session`: `session` calls this while the gate is open, with device memory of the length
            // of `session_len`, which remains until `remove`; the keys are valid by this function's contract.
            Api::Traditional => unsafe {
                let done: CpaCySymCbFunc = Some(table::symmetric_done);
                cy::init_session(self.symbols, self.handle.0, memory, setup, done)
            },
            // SAFETY: `cy_dp::init_session`: `session` calls this while the gate is open, with device memory of the
            // length of `session_len`, which remains until `remove`; the keys are valid by this function's contract.
            Api::DataPlane => unsafe { cy_dp::init_session(self.symbols, self.handle.0, memory, setup) },
        })
    }

    /// Creates a session with `init` in memory of `len` bytes. Both are called while this thread holds the open gate.
    fn session(
        self: &Arc<Self>,
        api: Api,
        len: impl FnOnce() -> Result<u32, CpaStatus>,
        init: impl FnOnce(NonNull<u8>) -> Result<(), CpaStatus>,
    ) -> Result<Session, SessionError> {
        let _entered = self.enter().ok_or(SessionError::Refused(CpaStatus::RESTARTING))?;
        let memory = self.memory.take(len()? as usize)?;
        init(memory.as_ptr())?;
        self.known().insert(memory.address());
        Ok(Session { ring: self.clone(), api, memory: Some(memory) })
    }

    fn known(&self) -> MutexGuard<'_, BTreeSet<Address>> {
        self.sessions.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Submits a compression or, with a session for it, a decompression.
    ///
    /// # Errors
    /// The slot, with the reason why the request was not submitted.
    #[inline(always)]
    pub(crate) fn compress(
        &self,
        mut slot: SlotGuard,
        session: &Arc<Session>,
        how: Stateless,
    ) -> Result<PendingRequest, Refused> {
        debug_assert!(session.is_of(self));
        let Some(_entered) = self.enter().filter(|_| !self.is_refusing.load(Relaxed)) else {
            return Err(Refused { slot, status: CpaStatus::RESTARTING });
        };
        let (generation, tag) = slot.begin_submit();
        let body = slot.body();
        body.api = session.api;
        body.direction = how.direction;
        body.session = Some(session.clone());
        let submitted = match session.api {
            // SAFETY: `enqueue`: this thread holds the open gate, and the session belongs to this ring and to the
            // data-plane API. The slot keeps itself and the session until the response was taken.
            Api::DataPlane => unsafe { self.enqueue(body, session, how.direction, tag) },
            // SAFETY: `submit_traditional`: this thread holds the open gate, and the session belongs to this ring and
            // to the traditional API. The slot keeps itself and the session until the response was taken.
            Api::Traditional => unsafe { self.submit_traditional(body, session, how, tag) },
        };
        slot.end_submit(generation, submitted).map_err(|(slot, status)| self.refused(slot, status))
    }

    /// Submits a compression or decompression with the traditional API.
    ///
    /// # Safety
    /// This thread holds the open gate, and the session belongs to this ring and to the traditional API. Slot and
    /// session remain until the response was taken.
    #[inline(never)]
    unsafe fn submit_traditional(
        &self,
        body: &mut Body,
        session: &Session,
        how: Stateless,
        tag: *mut c_void,
    ) -> Result<(), CpaStatus> {
        body.results = CpaDcRqResults { checksum: how.seed, ..Default::default() };
        body.compression.flushFlag = how.flush;
        let verify = if how.direction == Direction::Compress { CPA_TRUE } else { 0 };
        body.compression.compressAndVerify = verify;
        body.compression.compressAndVerifyAndRecover = verify;
        body.compression.integrityCrcCheck = how.is_verified.into();
        body.compression.verifyHwIntegrityCrcs = how.is_verified.into();
        body.compression.integrityCrcSize = qat_sys::CPA_DC_INTEGRITY_CRC64;
        body.crcs = CpaCrcData::default();
        body.compression.pCrcData = &mut body.crcs;
        let submission = dc::Submission {
            instance: self.handle.0,
            session: session_memory(session),
            source: body.source.name(&body.input),
            target: body.target.name(&body.output),
            operation: &mut body.compression,
            results: &mut body.results,
            tag,
        };
        match how.direction {
            // SAFETY: `dc::compress`: gate and session are valid by this function's contract, and the lists describe
            // the slot's blocks, which are device memory and remain until the response.
            Direction::Compress => unsafe { dc::compress(self.symbols, &submission) },
            // SAFETY: `dc::decompress`: gate and session are valid by this function's contract, and the lists describe
            // the slot's blocks, which are device memory and remain until the response.
            Direction::Decompress => unsafe { dc::decompress(self.symbols, &submission) },
        }
    }

    /// Submits a compression or decompression with the data-plane API.
    ///
    /// # Safety
    /// This thread holds the open gate, and the session belongs to this ring and to the data-plane API. Slot and
    /// session remain until the response was taken.
    #[inline(always)]
    unsafe fn enqueue(
        &self,
        body: &mut Body,
        session: &Session,
        direction: Direction,
        tag: *mut c_void,
    ) -> Result<(), CpaStatus> {
        let (Some(source), Some(target)) = (body.input.flat(), body.output.flat()) else {
            return Err(CpaStatus::INVALID_PARAM);
        };
        let side = body.side.as_ref().expect("`Table::claim` creates it");
        let (operation, bus_address) = side.operation::<CpaDcDpOpData>();
        let verify = if direction == Direction::Compress { CPA_TRUE } else { 0 };
        let filled = CpaDcDpOpData {
            bufferLenToCompress: source.1,
            bufferLenForData: target.1,
            results: CpaDcRqResults::default(),
            dcInstance: self.handle.0,
            pSessionHandle: session_memory(session).as_ptr().cast(),
            srcBuffer: source.0,
            srcBufferLen: source.1,
            destBuffer: target.0,
            destBufferLen: target.1,
            sessDirection: match direction {
                Direction::Compress => qat_sys::CPA_DC_DIR_COMPRESS,
                Direction::Decompress => qat_sys::CPA_DC_DIR_DECOMPRESS,
            },
            compressAndVerify: verify,
            compressAndVerifyAndRecover: verify,
            responseStatus: CpaStatus::FAIL.raw(),
            thisPhys: bus_address,
            pCallbackTag: tag,
            pSetupData: std::ptr::null_mut(),
            reserved0: 0,
            reserved1: 0,
            reserved2: 0,
            reserved3: 0,
        };
        // SAFETY: `NonNull::write`: `Side::new` reserved memory of this length and alignment in the slot's own block.
        unsafe { operation.write(filled) };
        // SAFETY: `dc_dp::enqueue`: gate and session are valid by this function's contract; the operation and the
        // buffers are the slot's blocks, which are device memory and remain until the response.
        unsafe { dc_dp::enqueue(self.symbols, operation) }
    }

    /// Submits a symmetric operation that works on the slot's input in place.
    ///
    /// # Errors
    /// The slot, with the reason why the request was not submitted.
    #[inline(always)]
    pub(crate) fn perform(
        &self,
        mut slot: SlotGuard,
        session: Arc<Session>,
        operation: &Symmetric,
    ) -> Result<PendingRequest, Refused> {
        debug_assert!(session.is_of(self));
        let Some(_entered) = self.enter().filter(|_| !self.is_refusing.load(Relaxed)) else {
            return Err(Refused { slot, status: CpaStatus::RESTARTING });
        };
        let (generation, tag) = slot.begin_submit();
        let body = slot.body();
        body.api = session.api;
        let memory = session_memory(&session);
        body.session = Some(session);
        let submitted = match body.api {
            // SAFETY: `enqueue_symmetric`: this thread holds the open gate, and the session belongs to this ring and to
            // the data-plane API. The slot keeps itself and the session until the response was taken.
            Api::DataPlane => unsafe { self.enqueue_symmetric(body, memory, operation, tag) },
            // SAFETY: `submit_symmetric_traditional`: this thread holds the open gate, and the session belongs to this
            // ring and to the traditional API. The slot keeps itself and the session until the response was taken.
            Api::Traditional => unsafe { self.submit_symmetric_traditional(body, memory, operation, tag) },
        };
        slot.end_submit(generation, submitted).map_err(|(slot, status)| self.refused(slot, status))
    }

    /// Submits a symmetric operation with the data-plane API.
    ///
    /// # Safety
    /// This thread holds the open gate, and the session belongs to this ring and to the data-plane API. Slot and
    /// session remain until the response was taken.
    #[inline(always)]
    unsafe fn enqueue_symmetric(
        &self,
        body: &mut Body,
        session: NonNull<u8>,
        operation: &Symmetric,
        tag: *mut c_void,
    ) -> Result<(), CpaStatus> {
        let side = body.side.as_ref().expect("`Table::claim` creates it");
        let parameters = side.block.at(side.parameters_at).as_ptr();
        let parameters_bus = side.block.bus_address(side.parameters_at);
        let pointer = |offset: usize| parameters.wrapping_add(offset);
        let bus_address = |offset: usize| parameters_bus + offset as u64;
        let (buffer, len) = body.input.flat().unwrap_or_else(|| {
            // SAFETY: `scattered`: the slot belongs to a symmetric ring, is held, and is not submitted yet.
            unsafe { scattered(side, &body.input) }
        });
        let (written, bus) = side.operation();
        let filled = CpaCySymDpOpData {
            reserved0: 0,
            cryptoStartSrcOffsetInBytes: operation.cipher.0,
            messageLenToCipherInBytes: operation.cipher.1,
            iv: bus_address(operation.iv_at),
            reserved1: 0,
            hashStartSrcOffsetInBytes: operation.hash.0,
            messageLenToHashInBytes: operation.hash.1,
            additionalAuthData: operation.aad_at.map_or(0, bus_address),
            digestResult: operation.digest_at.map_or(0, bus_address),
            instanceHandle: self.handle.0,
            sessionCtx: session.as_ptr().cast(),
            ivLenInBytes: operation.iv_len,
            srcBuffer: buffer,
            srcBufferLen: len,
            dstBuffer: buffer,
            dstBufferLen: len,
            thisPhys: bus,
            pIv: pointer(operation.iv_at),
            pAdditionalAuthData: operation.aad_at.map_or(std::ptr::null_mut(), pointer),
            pCallbackTag: tag,
        };
        // SAFETY: `NonNull::write`: `Side::new` reserved memory of this length and alignment in the slot's own block.
        unsafe { written.write(filled) };
        // SAFETY: `cy_dp::enqueue`: gate and session are valid by this function's contract; operation, buffers and
        // parameters are the slot's blocks, which are device memory and remain until the response.
        unsafe { cy_dp::enqueue(self.symbols, written) }
    }

    /// Submits a symmetric operation with the traditional API.
    ///
    /// # Safety
    /// This thread holds the open gate, and the session belongs to this ring and to the traditional API. Slot and
    /// session remain until the response was taken.
    #[inline(never)]
    unsafe fn submit_symmetric_traditional(
        &self,
        body: &mut Body,
        session: NonNull<u8>,
        operation: &Symmetric,
        tag: *mut c_void,
    ) -> Result<(), CpaStatus> {
        let side = body.side.as_ref().expect("`Table::claim` creates it");
        let at = |offset: usize| side.block.at(side.parameters_at + offset).as_ptr();
        body.symmetric = CpaCySymOpData {
            sessionCtx: session.as_ptr().cast(),
            packetType: qat_sys::CPA_CY_SYM_PACKET_TYPE_FULL,
            pIv: at(operation.iv_at),
            ivLenInBytes: operation.iv_len,
            cryptoStartSrcOffsetInBytes: operation.cipher.0,
            messageLenToCipherInBytes: operation.cipher.1,
            hashStartSrcOffsetInBytes: operation.hash.0,
            messageLenToHashInBytes: operation.hash.1,
            pDigestResult: operation.digest_at.map_or(std::ptr::null_mut(), at),
            pAdditionalAuthData: operation.aad_at.map_or(std::ptr::null_mut(), at),
        };
        body.verified = 0;
        let buffers = body.source.name(&body.input);
        let submission = cy::Submission {
            instance: self.handle.0,
            operation: &body.symmetric,
            source: buffers,
            target: buffers,
            verified: &mut body.verified,
            tag,
        };
        // SAFETY: `cy::perform`: gate and session are valid by this function's contract; lists and parameters describe
        // the slot's blocks, which are device memory and remain until the response.
        unsafe { cy::perform(self.symbols, &submission) }
    }

    fn refused(&self, slot: SlotGuard, status: CpaStatus) -> Refused {
        if matches!(status, CpaStatus::RESTARTING | CpaStatus::FATAL) {
            self.has_failed.store(true, Relaxed);
        }
        Refused { slot, status }
    }

    /// Returns whether libqat reported since the last call that the instance does not work.
    pub(crate) fn take_failure(&self) -> bool {
        self.has_failed.swap(false, Relaxed)
    }

    /// Takes over a dropped session's memory. The session itself is removed later, because this may be called inside a
    /// callback, where libqat must not be called.
    pub(super) fn retire_session(&self, memory: Block) {
        self.retired.lock().unwrap_or_else(PoisonError::into_inner).push(memory);
        self.has_retired.store(true, Relaxed);
        if self.is_closed() {
            self.sweep(false);
        }
    }

    /// Removes retired sessions from libqat and wipes their memory. Keeps a session that libqat still uses. The caller
    /// holds the gate if `is_open`.
    fn sweep(&self, is_open: bool) {
        let Ok(mut retired) = self.retired.try_lock() else { return };
        retired.retain_mut(|memory| {
            if is_open {
                // SAFETY: `remove`: this thread holds the open gate, and the session was dropped, so no request uses it
                // any more.
                if unsafe { self.remove(memory.as_ptr()) } == Err(CpaStatus::RETRY) {
                    return true;
                }
                self.known().remove(&memory.address());
            }
            zeroize::Zeroize::zeroize(memory.bytes_mut());
            false
        });
        self.has_retired.store(!retired.is_empty(), Relaxed);
    }

    /// Removes a session from libqat.
    ///
    /// # Safety
    /// This thread holds the open gate. `session` is the memory of a session of this ring, with which no request is
    /// submitted any more.
    unsafe fn remove(&self, session: NonNull<u8>) -> Result<(), CpaStatus> {
        match self.work {
            // SAFETY: `dc::remove_session`: the session belongs to this instance, and is unused, by this function's
            // contract.
            Work::Compression => unsafe { dc::remove_session(self.symbols, self.handle.0, session) },
            // SAFETY: `cy::remove_session`: the session belongs to this instance, and is unused, by this function's
            // contract.
            Work::Symmetric => unsafe { cy::remove_session(self.symbols, self.handle.0, session) },
        }
    }

    /// Removes retired sessions, also when nobody polls the ring.
    pub(crate) fn remove_retired_sessions(&self) {
        if self.has_retired.load(Relaxed)
            && let Some(_entered) = self.enter()
        {
            self.sweep(true);
        }
    }

    /// Rejects all further requests.
    pub(crate) fn refuse(&self) {
        self.is_refusing.store(true, Relaxed);
    }

    /// Returns whether requests are rejected.
    pub(crate) fn is_refusing(&self) -> bool {
        self.is_refusing.load(Relaxed)
    }

    /// Closes the gate permanently. When this returns, no thread is inside a call to libqat for this ring, and none
    /// will be.
    pub(crate) fn close(&self) {
        let pause = self.pause();
        if *pause.is_open {
            // Sessions of keys and futures that outlive the stop are removed, too, because libqat would leak its own
            // memory of each.
            for session in std::mem::take(&mut *self.known()) {
                // SAFETY: `remove`: this thread holds the open gate, and closes it before any further request; the
                // memory belongs to the session or is among the retired ones.
                let _ = unsafe { self.remove(session.as_ptr()) };
            }
        }
        pause.close();
        // Sessions that libqat still used end with the stop.
        self.sweep(false);
    }

    /// Returns libqat's own counters of the instance; `None` when the gate is closed or libqat does not report them.
    pub(crate) fn library_counts(&self) -> Option<LibraryCounts> {
        let _entered = self.enter()?;
        match self.work {
            Work::Compression => {
                // SAFETY: `dc::stats`: this thread holds the open gate, so libqat is started.
                let stats = unsafe { dc::stats(self.symbols, self.handle.0) }.ok()?;
                Some(LibraryCounts {
                    requests: stats.numCompRequests + stats.numDecompRequests,
                    completed: stats.numCompCompleted + stats.numDecompCompleted,
                    errors: stats.numCompRequestsErrors
                        + stats.numCompCompletedErrors
                        + stats.numDecompRequestsErrors
                        + stats.numDecompCompletedErrors,
                    recovered: stats.numCompCnvErrorsRecovered,
                })
            }
            Work::Symmetric => {
                // SAFETY: `cy::stats`: this thread holds the open gate, so libqat is started.
                let stats = unsafe { cy::stats(self.symbols, self.handle.0) }.ok()?;
                Some(LibraryCounts {
                    requests: stats.numSymOpRequests,
                    completed: stats.numSymOpCompleted,
                    errors: stats.numSymOpRequestErrors + stats.numSymOpCompletedErrors,
                    recovered: 0,
                })
            }
        }
    }

    /// Stops the instance after the gate was closed.
    ///
    /// # Errors
    /// The status that libqat returns.
    ///
    /// # Safety
    /// libqat is still running in the start that this ring belongs to, and [`close`](Self::close) was called.
    pub(crate) unsafe fn stop(&self) -> Result<(), CpaStatus> {
        match self.work {
            // SAFETY: `dc::stop`: the handle is valid, and the gate is closed, so that no request follows, by this
            // function's contract.
            Work::Compression => unsafe { dc::stop(self.symbols, self.handle.0) },
            // SAFETY: `cy::stop`: the handle is valid, and the gate is closed, so that no request follows, by this
            // function's contract.
            Work::Symmetric => unsafe { cy::stop(self.symbols, self.handle.0) },
        }
    }
}

/// A guard that keeps all threads from calling libqat for its ring.
pub(crate) struct Pause<'a> {
    ring: &'a Ring,
    is_open: MutexGuard<'a, bool>,
}

impl Pause<'_> {
    /// Closes the gate permanently.
    pub(crate) fn close(mut self) {
        *self.is_open = false;
        self.ring.is_closed.store(true, Relaxed);
    }
}

/// The parameters of a compression request beside its data and session.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Stateless {
    pub(crate) direction: Direction,
    pub(crate) flush: CpaDcFlush,
    /// The initial value of the checksum: 1 for Adler-32, else 0.
    pub(crate) seed: u32,
    /// Whether libqat compares what the device read and wrote with what is in memory.
    pub(crate) is_verified: bool,
}

/// The direction of a compression request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Direction {
    Compress,
    Decompress,
}

/// Why a session could not be created.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum SessionError {
    Refused(CpaStatus),
    Memory(NoMemory),
}

impl From<CpaStatus> for SessionError {
    fn from(status: CpaStatus) -> Self {
        Self::Refused(status)
    }
}

impl From<NoMemory> for SessionError {
    fn from(error: NoMemory) -> Self {
        Self::Memory(error)
    }
}

/// Writes a list that describes `data` to the slot's own memory, and returns its bus address and the marker for lists.
///
/// # Safety
/// The slot belongs to a symmetric ring, is held, and is not in flight.
#[cold]
unsafe fn scattered(side: &Side, data: &Blocks) -> (u64, u32) {
    // SAFETY: `NonNull::write`: on a symmetric ring, `Ring::start` makes `meta_len` at least the length of a list, so
    // the front of the slot's own memory has space for it.
    unsafe { side.block.at(0).cast().write(PhysicalList::new(data)) };
    (side.block.bus_address(0), CPA_DP_BUFLIST)
}

fn session_memory(session: &Session) -> NonNull<u8> {
    session.memory.as_ref().expect("a session has memory until it is dropped").as_ptr()
}
