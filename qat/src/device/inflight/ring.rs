//! One instance of libqat: the C calls that submit, poll, and make sessions.

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

/// What an instance works on, which decides by which calls.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Work {
    Compression,
    Symmetric,
}

/// An instance between start and stop. One thread at a time is inside libqat by it, behind a gate that the owner of the
/// start closes before the stop: the data-plane calls demand it, and so nothing is submitted while libqat takes answers.
pub(crate) struct Ring {
    symbols: &'static Symbols,
    handle: Handle,
    work: Work,
    table: &'static Table,
    memory: &'static Memory,
    meta_len: usize,
    /// Locked by whoever is inside; whether anybody may.
    gate: Mutex<bool>,
    /// Threads with requests at the gate, which those who poll give way to.
    waiting: AtomicU32,
    is_closed: AtomicBool,
    /// Requests are not taken any more, answers are.
    is_refusing: AtomicBool,
    /// libqat refused a poll, or said that the device is restarting or broken.
    has_failed: AtomicBool,
    /// Sessions that libqat knows.
    sessions: Mutex<BTreeSet<Address>>,
    retired: Mutex<Vec<Block>>,
    has_retired: AtomicBool,
}

#[derive(Clone, Copy)]
struct Handle(CpaInstanceHandle);
// SAFETY: `cpa.h`: a handle is a name; libqat locks what is behind it.
unsafe impl Send for Handle {}
// SAFETY: the same.
unsafe impl Sync for Handle {}

/// What a poll came to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Polled {
    /// Answers came.
    Answers,
    /// None was there, or another thread is at the ring.
    Nothing,
    /// libqat is stopped, or about to be.
    Closed,
    /// libqat refused.
    Refused(CpaStatus),
}

/// A submission that libqat or the gate did not take.
pub(crate) struct Refused {
    /// To try again with.
    pub(crate) slot: SlotGuard,
    /// Why; `RESTARTING` when the gate is closed.
    pub(crate) status: CpaStatus,
}

/// Addresses of a symmetric request's parameters are offsets into [`SlotGuard::parameters`].
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Symmetric {
    pub(crate) iv_at: usize,
    pub(crate) iv_len: u32,
    /// Of the data, the part that is enciphered.
    pub(crate) cipher: (u32, u32),
    /// And the part that is hashed.
    pub(crate) hash: (u32, u32),
    pub(crate) digest_at: Option<usize>,
    pub(crate) aad_at: Option<usize>,
}

impl Ring {
    /// Starts an instance.
    ///
    /// # Safety
    /// libqat is started; `handle` is an instance of this start that does `work`; [`close`](Self::close) comes before
    /// the stop. `symbols` are libqat's and libusdm's.
    pub(crate) unsafe fn start(
        symbols: &'static Symbols,
        handle: CpaInstanceHandle,
        work: Work,
        table: &'static Table,
        memory: &'static Memory,
    ) -> Result<Arc<Self>, CpaStatus> {
        let meta_len = match work {
            // SAFETY: the caller's contract.
            Work::Compression => unsafe { dc::start(symbols, handle) }
                // SAFETY: the same.
                .and_then(|()| unsafe { dc::list_meta_len(symbols, handle, MAX_BUFFERS as u32) }),
            // SAFETY: the same.
            Work::Symmetric => unsafe { cy::start(symbols, handle) }
                // SAFETY: the same.
                .and_then(|()| unsafe { cy::list_meta_len(symbols, handle, MAX_BUFFERS as u32) })
                .map(|len| len.max(size_of::<PhysicalList>() as u32)),
        }? as usize;
        let tag = std::ptr::without_provenance_mut(table.number());
        let notified = match work {
            // SAFETY: the caller's contract; the callback is this crate's, and takes every tag.
            Work::Compression => unsafe { dc::notify(symbols, handle, Some(table::notified), tag) },
            // SAFETY: the same.
            Work::Symmetric => unsafe { cy::notify(symbols, handle, Some(table::notified), tag) },
        };
        match work {
            // SAFETY: the caller's contract; the callback is this crate's.
            Work::Compression => unsafe { dc_dp::register(symbols, handle, Some(table::data_plane_done)) },
            // SAFETY: the same.
            Work::Symmetric => unsafe {
                cy_dp::register(symbols, handle, Some(table::symmetric_data_plane_done))
            },
        }?;
        if let Err(status) = notified {
            tracing::debug!(?work, %status, "libqat does not tell of this instance's device");
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

    /// Held during each call into libqat; `None` when the gate is closed.
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

    /// Keeps all threads out of libqat by this ring, until the pause is dropped: what libqat does on an event of the
    /// device, it does to the rings, and takes no heed of those who use them.
    pub(crate) fn pause(&self) -> Pause<'_> {
        Pause { ring: self, is_open: self.gate.lock().unwrap_or_else(PoisonError::into_inner) }
    }

    /// Closed for good.
    pub(crate) fn is_closed(&self) -> bool {
        self.is_closed.load(Relaxed)
    }

    /// A slot for a request. `Ok(None)` when the ring has all it can take.
    #[inline(always)]
    pub(crate) fn claim(&self) -> Result<Option<SlotGuard>, NoMemory> {
        self.table.claim(self.memory, self.meta_len)
    }

    /// Takes the answers that are there.
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
            // SAFETY: the gate is open, so libqat is started, and locked; callbacks do not poll (`table::defer`).
            Work::Compression => unsafe { dc_dp::poll(self.symbols, self.handle.0) },
            // SAFETY: the same.
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

    /// A session for stateless compression or decompression.
    pub(crate) fn compression_session(
        self: &Arc<Self>,
        api: Api,
        setup: &CpaDcSessionSetupData,
    ) -> Result<Session, SessionError> {
        debug_assert_eq!(self.work, Work::Compression);
        // SAFETY: the gate is open.
        let len = || unsafe { dc::session_len(self.symbols, self.handle.0, setup) };
        self.session(api, len, |memory| match api {
            // SAFETY: the gate is open; the memory is device memory of the length asked for and stays with the session.
            Api::Traditional => unsafe {
                let done: CpaDcCallbackFn = Some(table::compression_done);
                dc::init_session(self.symbols, self.handle.0, memory, setup, done)
            },
            // SAFETY: the same.
            Api::DataPlane => unsafe { dc_dp::init_session(self.symbols, self.handle.0, memory, setup) },
        })
    }

    /// A session for symmetric operations.
    ///
    /// # Safety
    /// The pointers in `setup` lead to keys of the lengths it says, for the time of the call.
    pub(super) unsafe fn symmetric_session_raw(
        self: &Arc<Self>,
        api: Api,
        setup: &CpaCySymSessionSetupData,
    ) -> Result<Session, SessionError> {
        debug_assert_eq!(self.work, Work::Symmetric);
        // SAFETY: the gate is open; the caller's contract.
        let len = || unsafe { cy::session_len(self.symbols, self.handle.0, setup) };
        self.session(api, len, |memory| match api {
            // SAFETY: as above; the memory is device memory of the length asked for and stays with the session.
            Api::Traditional => unsafe {
                let done: CpaCySymCbFunc = Some(table::symmetric_done);
                cy::init_session(self.symbols, self.handle.0, memory, setup, done)
            },
            // SAFETY: the same.
            Api::DataPlane => unsafe { cy_dp::init_session(self.symbols, self.handle.0, memory, setup) },
        })
    }

    /// A session that `init` makes in memory of `len` bytes; both are called while the gate is open.
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
            // SAFETY: the gate is open and locked; the session is of this ring.
            Api::DataPlane => unsafe { self.enqueue(body, session, how.direction, tag) },
            // SAFETY: the same.
            Api::Traditional => unsafe { self.submit_traditional(body, session, how, tag) },
        };
        slot.end_submit(generation, submitted).map_err(|(slot, status)| self.refused(slot, status))
    }

    /// # Safety
    /// The gate is open; the session is one of this ring's for the traditional calls. Slot and session stay until the
    /// answer was taken.
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
            // SAFETY: the caller's contract; the lists name the slot's own blocks, which are device memory.
            Direction::Compress => unsafe { dc::compress(self.symbols, &submission) },
            // SAFETY: the same.
            Direction::Decompress => unsafe { dc::decompress(self.symbols, &submission) },
        }
    }

    /// # Safety
    /// The gate is open, and locked by this thread; the session is one of this ring's for the data-plane calls. Slot and
    /// session stay until the answer was taken.
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
        let side = body.side.as_ref().expect("made when it was claimed");
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
        // SAFETY: the slot's own memory, of that length and alignment.
        unsafe { operation.write(filled) };
        // SAFETY: the caller's contract; the buffers are the slot's own blocks.
        unsafe { dc_dp::enqueue(self.symbols, operation) }
    }

    /// Submits a symmetric operation on the claim's input, in place.
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
            // SAFETY: the gate is open and locked; the session is of this ring.
            Api::DataPlane => unsafe { self.enqueue_symmetric(body, memory, operation, tag) },
            // SAFETY: the same.
            Api::Traditional => unsafe { self.submit_symmetric_traditional(body, memory, operation, tag) },
        };
        slot.end_submit(generation, submitted).map_err(|(slot, status)| self.refused(slot, status))
    }

    /// # Safety
    /// As for [`enqueue`](Self::enqueue).
    #[inline(always)]
    unsafe fn enqueue_symmetric(
        &self,
        body: &mut Body,
        session: NonNull<u8>,
        operation: &Symmetric,
        tag: *mut c_void,
    ) -> Result<(), CpaStatus> {
        let side = body.side.as_ref().expect("made when it was claimed");
        let parameters = side.block.at(side.parameters_at).as_ptr();
        let parameters_bus = side.block.bus_address(side.parameters_at);
        let pointer = |offset: usize| parameters.wrapping_add(offset);
        let bus_address = |offset: usize| parameters_bus + offset as u64;
        let (buffer, len) = body.input.flat().unwrap_or_else(|| {
            // SAFETY: a symmetric ring's.
            unsafe { scattered(side, &body.input) }
        });
        let (waiters, this) = side.operation();
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
            thisPhys: this,
            pIv: pointer(operation.iv_at),
            pAdditionalAuthData: operation.aad_at.map_or(std::ptr::null_mut(), pointer),
            pCallbackTag: tag,
        };
        // SAFETY: the slot's own memory, of that length and alignment.
        unsafe { waiters.write(filled) };
        // SAFETY: the caller's contract; buffers and parameters are the slot's own blocks, which are device memory.
        unsafe { cy_dp::enqueue(self.symbols, waiters) }
    }

    /// # Safety
    /// As for [`submit_traditional`](Self::submit_traditional).
    #[inline(never)]
    unsafe fn submit_symmetric_traditional(
        &self,
        body: &mut Body,
        session: NonNull<u8>,
        operation: &Symmetric,
        tag: *mut c_void,
    ) -> Result<(), CpaStatus> {
        let side = body.side.as_ref().expect("made when it was claimed");
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
        // SAFETY: the caller's contract; lists and parameters are the slot's own blocks, which are device memory.
        unsafe { cy::perform(self.symbols, &submission) }
    }

    fn refused(&self, slot: SlotGuard, status: CpaStatus) -> Refused {
        if matches!(status, CpaStatus::RESTARTING | CpaStatus::FATAL) {
            self.has_failed.store(true, Relaxed);
        }
        Refused { slot, status }
    }

    /// Whether libqat said since the last call that the instance does not work.
    pub(crate) fn take_failure(&self) -> bool {
        self.has_failed.swap(false, Relaxed)
    }

    /// Takes a session's memory; the session itself is removed at the next opportunity, because this may be inside a
    /// callback, where libqat would not.
    pub(super) fn retire_session(&self, memory: Block) {
        self.retired.lock().unwrap_or_else(PoisonError::into_inner).push(memory);
        self.has_retired.store(true, Relaxed);
        if self.is_closed() {
            self.sweep(false);
        }
    }

    /// Removes retired sessions and wipes their memory. One that libqat does not let go yet is kept. The caller has a
    /// pass, if the gate `is_open`.
    fn sweep(&self, is_open: bool) {
        let Ok(mut retired) = self.retired.try_lock() else { return };
        retired.retain_mut(|memory| {
            if is_open {
                // SAFETY: the gate is open; nobody names the session in this memory any more.
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

    /// # Safety
    /// The gate is open, and locked by this thread; at `session` is one of this ring's, for which no request follows.
    unsafe fn remove(&self, session: NonNull<u8>) -> Result<(), CpaStatus> {
        match self.work {
            // SAFETY: the caller's contract.
            Work::Compression => unsafe { dc::remove_session(self.symbols, self.handle.0, session) },
            // SAFETY: the same.
            Work::Symmetric => unsafe { cy::remove_session(self.symbols, self.handle.0, session) },
        }
    }

    /// Removes them when nothing is polled.
    pub(crate) fn remove_retired_sessions(&self) {
        if self.has_retired.load(Relaxed)
            && let Some(_entered) = self.enter()
        {
            self.sweep(true);
        }
    }

    /// Takes no requests any more.
    pub(crate) fn refuse(&self) {
        self.is_refusing.store(true, Relaxed);
    }

    /// Whether it takes none.
    pub(crate) fn is_refusing(&self) -> bool {
        self.is_refusing.load(Relaxed)
    }

    /// Closes the gate, for good. When this returns, no thread is inside libqat by this ring and none will be.
    pub(crate) fn close(&self) {
        let pause = self.pause();
        if *pause.is_open {
            // Those of keys and futures that outlive the stop, too: libqat has memory of its own for each.
            for session in std::mem::take(&mut *self.known()) {
                // SAFETY: the gate is open and locked, and nothing is submitted behind it any more; the memory stays with
                // the session, or among the retired.
                let _ = unsafe { self.remove(session.as_ptr()) };
            }
        }
        pause.close();
        // What libqat did not let go ends with the stop.
        self.sweep(false);
    }

    /// What libqat counted: requests, those that failed, and compressions that only recovery saved. `None` when it does
    /// not tell.
    pub(crate) fn library_counts(&self) -> Option<LibraryCounts> {
        let _entered = self.enter()?;
        match self.work {
            Work::Compression => {
                // SAFETY: the gate is open.
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
                // SAFETY: the same.
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

    /// Stops the instance behind a closed gate.
    ///
    /// # Safety
    /// libqat is still started, by the start that this ring is of.
    pub(crate) unsafe fn stop(&self) -> Result<(), CpaStatus> {
        match self.work {
            // SAFETY: the caller's contract; the gate is closed, so no request follows.
            Work::Compression => unsafe { dc::stop(self.symbols, self.handle.0) },
            // SAFETY: the same.
            Work::Symmetric => unsafe { cy::stop(self.symbols, self.handle.0) },
        }
    }
}

/// While there is one, no thread is inside libqat by its ring.
pub(crate) struct Pause<'a> {
    ring: &'a Ring,
    is_open: MutexGuard<'a, bool>,
}

impl Pause<'_> {
    /// Has nobody pass any more, for good.
    pub(crate) fn close(mut self) {
        *self.is_open = false;
        self.ring.is_closed.store(true, Relaxed);
    }
}

/// What a compression request has beside data and session.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Stateless {
    pub(crate) direction: Direction,
    pub(crate) flush: CpaDcFlush,
    /// Where the checksum begins: 1 for Adler-32, else 0.
    pub(crate) seed: u32,
    /// libqat compares what the device read and wrote with what is in memory.
    pub(crate) is_verified: bool,
}

/// Which way a compression request goes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Direction {
    Compress,
    Decompress,
}

/// Why there is no session.
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

/// Names `data` in the slot's own memory: where the device finds the list.
///
/// # Safety
/// The slot is of a symmetric ring, held, and not in flight.
#[cold]
unsafe fn scattered(side: &Side, data: &Blocks) -> (u64, u32) {
    // SAFETY: the front of the slot's own memory, which has room for it on such a ring (`start`).
    unsafe { side.block.at(0).cast().write(PhysicalList::new(data)) };
    (side.block.bus_address(0), CPA_DP_BUFLIST)
}

fn session_memory(session: &Session) -> NonNull<u8> {
    session.memory.as_ref().expect("there until dropped").as_ptr()
}
