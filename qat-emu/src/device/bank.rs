//! One ring pair: fetches requests, passes them to the engines, delays responses according to timing and faults, and
//! publishes them. A virtual function calls [`Bank::serve`] again and again; this module starts no thread and reaches
//! host memory only through [`AddressSpace`].

use std::{
    cell::Cell,
    collections::VecDeque,
    panic::{AssertUnwindSafe, catch_unwind},
    sync::{Mutex, PoisonError, atomic::Ordering::Relaxed},
    time::{Duration, Instant},
};

use super::registers::{
    BANK_STRIDE, BASE_SEEN, BankOffsets, COALESCING, COALESCING_TIME, CONFIG_SEEN, REQUEST, RESPONSE,
    Registers, TAIL_SEEN,
};
use crate::{
    config::Timing,
    counters::{Counters, ExecutionResult, Origin},
    engine::{
        self, Engines, Request, Response,
        dc::{self, Injection},
    },
    fault::{FaultKind, Faults},
    memory::{DeviceMemory, DmaFault},
    message::{self, failed, unsupported, word},
    service::Service,
    unserved::{self, UnservedKind},
};

/// The first word of a free slot in a response ring.
const FREE_SLOT: u32 = 0x7F7F_7F7F;
const RESPONSE_BYTES: u32 = 32;
/// The number of requests fetched from one bank before other banks are served.
const REQUESTS_PER_ROUND: usize = 64;
/// The largest size code, which means 4 MiB.
const MAX_SIZE_CODE: u32 = 16;
/// The error code of a request that made an engine panic: the most severe code that a response can report.
const FATAL: i8 = -13;
/// A response that waits for others to overtake it is published after this time at the latest.
const REORDER_TIMEOUT: Duration = Duration::from_millis(2);
/// The unit of the coalescing time: 256 cycles of a clock of 1 GHz.
const COALESCING_UNIT: Duration = Duration::from_nanos(256);
/// The shortest time between two interrupts for the same responses.
const SHORTEST_REPEAT: Duration = Duration::from_micros(50);

/// Host memory with the two ordered accesses that rings need.
pub(crate) trait RingMemory: DeviceMemory {
    /// Reads an aligned word with acquire ordering.
    fn load_word(&self, iova: u64) -> Result<u32, DmaFault>;
    /// Writes an aligned word with release ordering.
    fn store_word(&self, iova: u64, value: u32) -> Result<(), DmaFault>;
    /// Returns whether the address belonged to a mapping that has been removed.
    fn was_mapped(&self, iova: u64) -> bool;
}

/// The memory that a virtual function can access.
pub(crate) trait AddressSpace: Send + Sync {
    /// Calls `act` with the memory; nothing is unmapped until it returns.
    fn with_memory(&self, act: &mut dyn FnMut(&dyn RingMemory));
}

/// What a ring pair needs from its surroundings to serve requests.
pub(crate) struct RingContext<'a> {
    pub(crate) registers: &'a dyn Registers,
    pub(crate) space: &'a dyn AddressSpace,
    pub(crate) faults: &'a Faults,
    pub(crate) counters: &'a Counters,
    pub(crate) timing: Timing,
    pub(crate) schedule: &'a EngineSchedule,
}

/// What a ring pair needs to serve requests when there is no machine, in tests and in fuzzing.
#[derive(Default)]
pub(crate) struct StandaloneContext {
    faults: Faults,
    pub(crate) counters: Counters,
    schedule: EngineSchedule,
}

impl StandaloneContext {
    pub(crate) fn ring_context<'a>(
        &'a self,
        registers: &'a dyn Registers,
        space: &'a dyn AddressSpace,
        timing: Timing,
    ) -> RingContext<'a> {
        let Self { faults, counters, schedule } = self;
        RingContext { registers, space, faults, counters, timing, schedule }
    }
}

/// The times at which the engines of one device become free.
#[derive(Debug, Default)]
pub(crate) struct EngineSchedule(Mutex<Vec<Instant>>);

impl EngineSchedule {
    /// Reserves an engine for `bytes`, and returns when the response may be published; `None` means at once.
    fn due(&self, timing: Timing, bytes: u64) -> Option<Instant> {
        if timing.latency_us == 0 && timing.bytes_per_second == 0 {
            return None;
        }
        let now = Instant::now();
        let mut at = now;
        if timing.bytes_per_second != 0 {
            let nanoseconds = u128::from(bytes) * 1_000_000_000 / u128::from(timing.bytes_per_second);
            let mut engines = self.0.lock().unwrap_or_else(PoisonError::into_inner);
            engines.resize(timing.engines.max(1), now);
            if let Some(free) = engines.iter_mut().min() {
                *free = now.max(*free) + Duration::from_nanos(u64::try_from(nanoseconds).unwrap_or(u64::MAX));
                at = *free;
            }
        }
        Some(at + Duration::from_micros(timing.latency_us))
    }
}

/// The result of serving a ring pair once.
#[derive(Debug, Default)]
pub(crate) struct ServeResult {
    pub(crate) progress: bool,
    /// When the next delayed response or interrupt is due; `None` if there is none.
    pub(crate) due: Option<Instant>,
    /// A fault that affects the whole virtual function.
    pub(crate) event: Option<FaultKind>,
    /// Whether the ring pair raises an interrupt.
    pub(crate) interrupt: bool,
}

impl ServeResult {
    /// Requests that the ring pair is served again at `due`, or earlier.
    fn wake_at(&mut self, due: Instant) {
        self.due = Some(self.due.map_or(due, |soonest| soonest.min(due)));
    }
}

#[derive(Debug)]
pub(crate) struct Bank {
    offsets: BankOffsets,
    vf: usize,
    number: usize,
    service: Service,
    request_head: u32,
    response_tail: u32,
    pending: VecDeque<PendingResponse>,
    stalled_until: Option<Instant>,
    /// The request ring while it is in use. The library clears the ring's registers before it resets the device, so
    /// that they cannot be read again then.
    ring: Option<Ring>,
    /// When the next interrupt is due; `None` while there is nothing to interrupt for.
    interrupt_at: Option<Instant>,
    /// The response tail at the time of the last interrupt.
    interrupted_tail: u32,
}

#[derive(Debug)]
struct PendingResponse {
    response: Response,
    /// When the response may be published; `None` means at once.
    due: Option<Instant>,
    /// The number of later responses that have to be published first; at 0, the response is published at once.
    overtaken_by: u32,
}

/// A configured ring.
#[derive(Debug, Clone, Copy)]
struct Ring {
    base: u64,
    bytes: u32,
    /// The values of the configuration and address registers when they were read.
    config: u32,
    base_low: u32,
}

impl Ring {
    fn read(registers: &dyn Registers, offsets: BankOffsets, ring: usize) -> Option<Self> {
        let config = registers.load(offsets.config(ring));
        let base_low = registers.load(offsets.base_low(ring));
        let code = config & 0x1F;
        let high = u64::from(registers.load(offsets.base_high(ring)));
        let base = high << 32 | u64::from(base_low & !BASE_SEEN);
        let valid = code != 0 && code <= MAX_SIZE_CODE && base != 0;
        valid.then_some(Self { base, bytes: 64 << code, config, base_low })
    }

    /// Returns whether the device has marked both registers as read, and the program has not written them since.
    fn is_seen(&self) -> bool {
        self.config & CONFIG_SEEN != 0 && self.base_low & BASE_SEEN != 0
    }

    /// Marks both registers as read. A register that the program wrote in the meantime stays without the mark, so that
    /// the next round reads it again.
    fn mark(&self, registers: &dyn Registers, offsets: BankOffsets, ring: usize) {
        registers.exchange(offsets.config(ring), self.config, self.config | CONFIG_SEEN);
        registers.exchange(offsets.base_low(ring), self.base_low, self.base_low | BASE_SEEN);
    }
}

impl Bank {
    pub(crate) fn new(vf: usize, number: usize, service: Service) -> Self {
        Self {
            offsets: BankOffsets::of(number),
            vf,
            number,
            service,
            request_head: 0,
            response_tail: 0,
            pending: VecDeque::new(),
            stalled_until: None,
            ring: None,
            interrupt_at: None,
            interrupted_tail: 0,
        }
    }

    /// Returns whether only a changed register can create work for the ring pair.
    pub(crate) fn is_idle(&self) -> bool {
        self.pending.is_empty() && self.stalled_until.is_none() && self.interrupt_at.is_none()
    }

    fn request_bytes(&self) -> u32 {
        if self.service == Service::Asymmetric { 64 } else { 128 }
    }

    /// Resets the state of the ring pair, and counts the requests that get no response.
    pub(crate) fn reset(&mut self, registers: &dyn Registers, counters: &Counters) {
        let tail = registers.load(self.offsets.tail(REQUEST)) & !TAIL_SEEN;
        let waiting = self.ring.map_or(0, |ring| self.waiting(tail, ring));
        self.forget(waiting, counters);
    }

    /// Resets the state of the ring pair as [`reset`](Self::reset) does, and sets all its registers to their values
    /// after a reset.
    pub(crate) fn reset_all(&mut self, registers: &dyn Registers, counters: &Counters) {
        self.reset(registers, counters);
        for register in (0..BANK_STRIDE).step_by(4) {
            registers.store(self.offsets.0 + register, 0);
        }
        registers.store(self.offsets.empty_status(), u32::MAX);
    }

    fn forget(&mut self, waiting: u32, counters: &Counters) {
        counters.abandon(self.pending.len() as u64, u64::from(waiting));
        self.pending.clear();
        self.request_head = 0;
        self.response_tail = 0;
        self.stalled_until = None;
        self.ring = None;
        self.interrupt_at = None;
        self.interrupted_tail = 0;
    }

    /// Returns the number of requests in the ring that were not fetched yet.
    fn waiting(&self, tail: u32, ring: Ring) -> u32 {
        tail.wrapping_sub(self.request_head) % ring.bytes / self.request_bytes()
    }

    /// Returns the request and response rings if both are configured. If the program wrote their registers since the
    /// device last read them, even with the same values, both rings start again at their beginning, as on hardware.
    fn rings(&mut self, registers: &dyn Registers, counters: &Counters) -> Option<(Ring, Ring)> {
        let requests = Ring::read(registers, self.offsets, REQUEST)?;
        let responses = Ring::read(registers, self.offsets, RESPONSE)?;
        if !(requests.is_seen() && responses.is_seen()) {
            self.set_up(registers, counters);
            requests.mark(registers, self.offsets, REQUEST);
            responses.mark(registers, self.offsets, RESPONSE);
        }
        self.ring = Some(requests);
        Some((requests, responses))
    }

    /// Starts again at the beginning of both rings.
    fn set_up(&mut self, registers: &dyn Registers, counters: &Counters) {
        let tail = registers.load(self.offsets.tail(REQUEST));
        // A tail without the mark was written since the device last read it, so it belongs to the new ring.
        let is_old = tail & TAIL_SEEN != 0;
        let waiting = self.ring.filter(|_| is_old).map_or(0, |ring| self.waiting(tail & !TAIL_SEEN, ring));
        self.forget(waiting, counters);
        if is_old {
            registers.exchange(self.offsets.tail(REQUEST), tail, 0);
        }
        for register in [self.offsets.head(REQUEST), self.offsets.head(RESPONSE), self.offsets.tail(RESPONSE)]
        {
            registers.store(register, 0);
        }
        registers.store(self.offsets.empty_status(), u32::MAX);
    }

    /// Reads the tail of the request ring and marks it as read.
    fn tail(&self, registers: &dyn Registers) -> u32 {
        let tail = registers.load(self.offsets.tail(REQUEST));
        if tail & TAIL_SEEN == 0 {
            registers.exchange(self.offsets.tail(REQUEST), tail, tail | TAIL_SEEN);
        }
        tail & !TAIL_SEEN
    }

    /// Fetches and executes requests, and publishes the responses that are due.
    pub(crate) fn serve(&mut self, context: &RingContext<'_>, engines: &mut Engines) -> ServeResult {
        let mut result = ServeResult::default();
        let registers = context.registers;
        if registers.load(self.offsets.arbiter()) & 1 == 0 {
            self.interrupt_at = None;
            let idle = registers.load(self.offsets.config(REQUEST)) == 0
                && registers.load(self.offsets.config(RESPONSE)) == 0;
            if idle && self.ring.is_some() {
                self.reset(registers, context.counters);
            }
            return result;
        }
        let Some((requests, responses)) = self.rings(registers, context.counters) else { return result };
        let now = Instant::now();
        if self.stalled_until.is_some_and(|until| until > now) {
            result.due = self.stalled_until;
        } else {
            self.stalled_until = None;
            for _ in 0..REQUESTS_PER_ROUND {
                if !self.fetch(context, requests, engines, &mut result) {
                    break;
                }
                result.progress = true;
                // Without this, the responses of a round would wait for its last request.
                self.publish(context, responses, &mut result);
                if result.event.is_some() || self.stalled_until.is_some() {
                    self.interrupt(registers, &mut result);
                    return result;
                }
            }
        }
        self.publish(context, responses, &mut result);
        let drained = registers.load(self.offsets.head(RESPONSE)) == self.response_tail;
        let empty = registers.load(self.offsets.empty_status());
        if drained && empty & 1 << RESPONSE == 0 {
            registers.store(self.offsets.empty_status(), empty | 1 << RESPONSE);
        }
        self.interrupt(registers, &mut result);
        result
    }

    /// Decides whether to interrupt. The ring pair interrupts if the program enabled that and the response ring is not
    /// empty according to its head: with coalescing once the coalescing time has passed, otherwise at each response. It
    /// interrupts again after the same time until the program has moved the head.
    fn interrupt(&mut self, registers: &dyn Registers, result: &mut ServeResult) {
        let enabled = registers.load(self.offsets.interrupt_enable()) & 1 << RESPONSE != 0;
        if !enabled || registers.load(self.offsets.head(RESPONSE)) == self.response_tail {
            self.interrupt_at = None;
            self.interrupted_tail = self.response_tail;
            return;
        }
        let control = registers.load(self.offsets.coalescing());
        let coalesced = control & COALESCING != 0;
        let time = if coalesced { COALESCING_UNIT * (control & COALESCING_TIME) } else { Duration::ZERO };
        let now = Instant::now();
        let is_new = !coalesced && self.interrupted_tail != self.response_tail;
        let due = if is_new { now } else { *self.interrupt_at.get_or_insert(now + time) };
        if due <= now {
            result.interrupt = true;
            self.interrupted_tail = self.response_tail;
            self.interrupt_at = Some(now + time.max(SHORTEST_REPEAT));
        }
        result.wake_at(self.interrupt_at.unwrap_or(due));
    }

    /// Fetches and executes one request. Returns `false` when there is none, or when too many responses are delayed.
    fn fetch(
        &mut self,
        context: &RingContext<'_>,
        ring: Ring,
        engines: &mut Engines,
        result: &mut ServeResult,
    ) -> bool {
        let (registers, counters) = (context.registers, context.counters);
        let step = self.request_bytes();
        let tail = self.tail(registers);
        if tail >= ring.bytes || !tail.is_multiple_of(step) {
            counters.protocol_errors.fetch_add(1, Relaxed);
            registers.exchange(self.offsets.tail(REQUEST), tail | TAIL_SEEN, self.request_head | TAIL_SEEN);
            return false;
        }
        let waiting = self.waiting(tail, ring);
        if waiting == 0 || self.pending.len() >= (ring.bytes / step) as usize {
            return false;
        }
        let fault = self.next_fault(context);
        if let Some(FaultKind::RingStalled { microseconds }) = fault {
            self.stalled_until = Some(Instant::now() + Duration::from_micros(microseconds));
            result.due = self.stalled_until;
            return false;
        }
        let of_device = matches!(
            fault,
            Some(FaultKind::FatalError | FaultKind::Restart | FaultKind::Removed | FaultKind::Hung)
        );
        if of_device {
            result.event = fault;
            return false;
        }
        let slot = ring.base + u64::from(self.request_head);
        let mut request: Request = [0; 128];
        let mut executed = None;
        context.space.with_memory(&mut |memory| {
            let audited = AuditedMemory::new(memory, counters, self.origin(0));
            if audited.read(slot, &mut request[..step as usize]).is_ok() {
                let origin = self.origin(message::command(&request));
                counters.fetched(origin, waiting);
                let audited = AuditedMemory::new(memory, counters, origin);
                executed = Some(self.execute(context, &request, &audited, engines, fault));
            }
        });
        self.request_head = (self.request_head + step) % ring.bytes;
        registers.store(self.offsets.head(REQUEST), self.request_head);
        if waiting == 1 {
            let empty = registers.load(self.offsets.empty_status());
            registers.store(self.offsets.empty_status(), empty | 1 << REQUEST);
        }
        let Some((response, execution)) = executed else { return true };
        counters.executed(self.origin(message::command(&request)), execution);
        let mut pending = PendingResponse {
            response,
            due: context.schedule.due(context.timing, execution.bytes_in),
            overtaken_by: 0,
        };
        match fault {
            Some(FaultKind::Lost) => {
                counters.abandon(1, 0);
                return true;
            }
            Some(FaultKind::Late { microseconds }) => {
                let from = pending.due.unwrap_or_else(Instant::now);
                pending.due = Some(from + Duration::from_micros(microseconds));
            }
            Some(FaultKind::Reordered { overtaken_by }) => {
                pending.overtaken_by = overtaken_by;
                pending.due = Some(Instant::now() + REORDER_TIMEOUT);
            }
            _ => {}
        }
        self.pending.push_back(pending);
        true
    }

    /// Returns whether a request has flags that this device does not know, and records them for the audit.
    fn has_unknown_flags(&self, request: &Request, counters: &Counters) -> bool {
        let Some((at, flags)) = unserved::unknown_flags(request) else { return false };
        counters.unserved(UnservedKind::RequestFlags, self.vf, self.service.index() << 32 | at, flags);
        true
    }

    fn origin(&self, command: u8) -> Origin {
        Origin { vf: self.vf, bank: self.number, service: self.service, command }
    }

    fn next_fault(&self, context: &RingContext<'_>) -> Option<FaultKind> {
        let fault = context.faults.next(self.vf, self.number, self.service);
        context.counters.injected_faults.fetch_add(u64::from(fault.is_some()), Relaxed);
        fault
    }

    /// Executes a request, and applies the faults that change the response.
    fn execute(
        &self,
        context: &RingContext<'_>,
        request: &Request,
        memory: &AuditedMemory<'_>,
        engines: &mut Engines,
        fault: Option<FaultKind>,
    ) -> (Response, ExecutionResult) {
        let start = Instant::now();
        let null = context.timing.null;
        let injection = injection(fault, null);
        let mut response = match fault {
            Some(FaultKind::Error { code }) => failed(request, code),
            Some(FaultKind::Unsupported) => unsupported(request),
            // The null request gets a response on the ring of any service; the firmware version is not reported.
            _ if request[2] == message::service_id::NULL => message::reply(request),
            _ if message::service(request) != Some(self.service) => {
                context.counters.protocol_errors.fetch_add(1, Relaxed);
                unsupported(request)
            }
            _ if self.has_unknown_flags(request, context.counters) => unsupported(request),
            _ => {
                let execute = || engines.execute(self.service, request, memory, &injection, null);
                match catch_unwind(AssertUnwindSafe(execute)) {
                    Ok(engine::Outcome { response, fault }) => {
                        // A scatter-gather list that is too short is refused without an access, so it is recorded here.
                        if let Some(refused) = fault.filter(|_| !memory.recorded.get()) {
                            memory.record(refused);
                        }
                        response
                    }
                    Err(_) => {
                        context.counters.engine_panics.fetch_add(1, Relaxed);
                        *engines = Engines::default();
                        failed(request, FATAL)
                    }
                }
            }
        };
        if fault == Some(FaultKind::DigestMismatch) && self.service == Service::Symmetric {
            response[6] |= message::status::CRYPTO_FAILED;
        }
        let (bytes_in, bytes_out) = match self.service {
            // The byte counts of a chain are in the responses of its two requests, in host memory.
            Service::Compression if request[2] == message::service_id::CHAIN => (0, 0),
            Service::Compression => (word(&response, 16), word(&response, 20)),
            Service::Symmetric => {
                let bytes = word(request, 60).max(word(request, 48));
                (bytes, bytes)
            }
            Service::Asymmetric => (0, 0),
        };
        let result = ExecutionResult {
            error: message::error_code(&response),
            unsupported: message::is_unsupported(&response),
            verify_error: dc::is_verify_error(&response),
            bytes_in: u64::from(bytes_in),
            bytes_out: u64::from(bytes_out),
            busy_nanoseconds: u64::try_from(start.elapsed().as_nanos()).unwrap_or(u64::MAX),
        };
        (response, result)
    }

    /// Writes the responses that are due to the response ring, as long as it has room.
    fn publish(&mut self, context: &RingContext<'_>, ring: Ring, result: &mut ServeResult) {
        let registers = context.registers;
        let now = Instant::now();
        let mut index = 0;
        while let Some(pending) = self.pending.get(index) {
            if let Some(due) = pending.due.filter(|due| *due > now) {
                result.wake_at(due);
                index += 1;
                continue;
            }
            let slot = ring.base + u64::from(self.response_tail);
            let mut room = false;
            context.space.with_memory(&mut |memory| {
                let audited = AuditedMemory::new(memory, context.counters, self.origin(0));
                room = write_response(&audited, slot, &pending.response);
            });
            if !room {
                context.counters.response_ring_full.fetch_add(1, Relaxed);
                return;
            }
            self.pending.remove(index);
            self.response_tail = (self.response_tail + RESPONSE_BYTES) % ring.bytes;
            registers.store(self.offsets.tail(RESPONSE), self.response_tail);
            let empty = registers.load(self.offsets.empty_status());
            registers.store(self.offsets.empty_status(), empty & !(1 << RESPONSE));
            context.counters.responded(self.vf, self.service);
            result.progress = true;
            let mut first_released = None;
            for (i, earlier) in self.pending.iter_mut().enumerate().take(index) {
                if earlier.overtaken_by > 0 {
                    earlier.overtaken_by -= 1;
                    if earlier.overtaken_by == 0 {
                        earlier.due = None;
                        first_released.get_or_insert(i);
                    }
                }
            }
            index = first_released.unwrap_or(index);
        }
    }
}

/// Returns what a fault changes in the compression engine.
fn injection(fault: Option<FaultKind>, store: bool) -> Injection {
    let mut injection = Injection { store, ..Injection::default() };
    match fault {
        Some(FaultKind::OverflowAt { bytes }) => injection.output_limit = Some(bytes),
        Some(FaultKind::VerifyError) => injection.verify_error = true,
        Some(FaultKind::WrongChecksum) => injection.wrong_checksum = true,
        Some(FaultKind::ShortOutput { bytes }) => injection.short_output = bytes,
        _ => {}
    }
    injection
}

/// Writes a response. Its first word is written last, because the library recognises a new response by it. Returns
/// `false` when the slot is still in use. If the slot is not mapped, the fault is recorded and the response is lost.
fn write_response(audited: &AuditedMemory<'_>, slot: u64, response: &Response) -> bool {
    match audited.memory.load_word(slot) {
        Ok(FREE_SLOT) => {
            if audited.write(slot + 4, &response[4..]).is_ok() {
                // The rest of the slot could be written, so its first word can be written, too.
                let _ = audited.memory.store_word(slot, word(response, 0));
            }
            true
        }
        Ok(_) => false,
        Err(fault) => {
            audited.record(fault);
            true
        }
    }
}

/// Host memory that records refused accesses for the audit.
struct AuditedMemory<'a> {
    memory: &'a dyn RingMemory,
    counters: &'a Counters,
    origin: Origin,
    recorded: Cell<bool>,
}

impl<'a> AuditedMemory<'a> {
    fn new(memory: &'a dyn RingMemory, counters: &'a Counters, origin: Origin) -> Self {
        Self { memory, counters, origin, recorded: Cell::new(false) }
    }

    fn record(&self, fault: DmaFault) {
        self.recorded.set(true);
        let after_unmap = self.memory.was_mapped(fault.iova);
        if self.counters.dma_fault(self.origin, fault, after_unmap) {
            let Origin { vf, bank, service, command } = self.origin;
            let when = if after_unmap { ", which was mapped before" } else { "" };
            let service = service.name();
            eprintln!(
                "qat-emu: {fault}{when} ({service} command {command}, virtual function {vf}, ring pair {bank})"
            );
        }
    }
}

impl DeviceMemory for AuditedMemory<'_> {
    fn read(&self, iova: u64, into: &mut [u8]) -> Result<(), DmaFault> {
        self.memory.read(iova, into).inspect_err(|fault| self.record(*fault))
    }

    fn write(&self, iova: u64, from: &[u8]) -> Result<(), DmaFault> {
        self.memory.write(iova, from).inspect_err(|fault| self.record(*fault))
    }
}

#[cfg(test)]
mod tests {
    use super::{
        super::{
            flat::FlatMemory,
            registers::{PlainWindow, RING_BAR_BYTES},
        },
        *,
    };

    const REQUESTS: u64 = FlatMemory::START;
    const RESPONSES: u64 = FlatMemory::START + 512;

    /// Creates a bank with rings of four requests and four responses.
    fn rings() -> (Bank, PlainWindow, FlatMemory) {
        let bank = Bank::new(0, 0, Service::Symmetric);
        let window = PlainWindow::new(RING_BAR_BYTES);
        let offsets = bank.offsets;
        for (ring, base, code) in [(REQUEST, REQUESTS, 3), (RESPONSE, RESPONSES, 1)] {
            window.store(offsets.base_low(ring), base as u32);
            window.store(offsets.config(ring), code);
        }
        window.store(offsets.arbiter(), 1);
        let memory = FlatMemory::new(&[0x7F; 1024]);
        (bank, window, memory)
    }

    fn submit(window: &PlainWindow, memory: &FlatMemory, number: u64) {
        let slot = number % 4 * 128;
        let mut request = [0; 128];
        (request[2], request[3]) = (message::service_id::SYMMETRIC, 0x80);
        request[24..32].copy_from_slice(&number.to_le_bytes());
        memory.write(REQUESTS + slot, &request).unwrap();
        window.store(BankOffsets(0).tail(REQUEST), (slot as u32 + 128) % 512);
    }

    /// Takes a response as the library does: it looks at the first word, and restores that word afterwards.
    fn take(memory: &FlatMemory, number: u64) -> Option<u64> {
        let slot = RESPONSES + number % 4 * 32;
        if memory.load_word(slot).unwrap() == FREE_SLOT {
            return None;
        }
        let mut opaque = [0; 8];
        memory.read(slot + 8, &mut opaque).unwrap();
        memory.store_word(slot, FREE_SLOT).unwrap();
        Some(u64::from_le_bytes(opaque))
    }

    #[test]
    fn responses_wait_for_room_and_rings_wrap() {
        let (mut bank, window, memory) = rings();
        let standalone = StandaloneContext::default();
        let context = standalone.ring_context(&window, &memory, Timing::null());
        let mut engines = Engines::default();
        let (mut submitted, mut taken) = (0, 0);
        for _ in 0..5 {
            // Each round submits three requests; nobody takes the responses of the first round.
            for _ in 0..3 {
                submit(&window, &memory, submitted);
                submitted += 1;
                bank.serve(&context, &mut engines);
            }
            if submitted == 6 {
                assert!(standalone.counters.snapshot().response_ring_full > 0);
            }
            if submitted > 3 {
                while let Some(opaque) = take(&memory, taken) {
                    assert_eq!(opaque, taken);
                    taken += 1;
                    bank.serve(&context, &mut engines);
                }
            }
        }
        assert_eq!((submitted, taken), (15, 15));
        assert_eq!(standalone.counters.snapshot().audit(), Vec::<String>::new());
    }

    #[test]
    fn a_bad_tail_and_unmapped_rings_are_counted() {
        let (mut bank, window, memory) = rings();
        let standalone = StandaloneContext::default();
        let context = standalone.ring_context(&window, &memory, Timing::null());
        for tail in [5, 512, u32::MAX] {
            window.store(BankOffsets(0).tail(REQUEST), tail);
            assert!(!bank.serve(&context, &mut Engines::default()).progress);
        }
        assert_eq!(standalone.counters.snapshot().protocol_errors, 3);
        window.store(BankOffsets(0).base_low(REQUEST), 0x8000_0000);
        window.store(BankOffsets(0).tail(REQUEST), 128);
        bank.serve(&context, &mut Engines::default());
        let records = standalone.counters.snapshot().dma_fault_records;
        assert_eq!((records.len(), records[0].iova), (1, 0x8000_0000));
    }
}
