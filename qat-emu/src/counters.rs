//! Counters of what the devices did, by service and command, with refused device accesses and the audit of all these.
//!
//! The device and the process boundary count; users read a [`Snapshot`]. The counters are atomics without pointers, so
//! that a program under `qat-emu run` keeps them in a shared file that survives however the program ends.

use std::{
    collections::BTreeMap,
    fmt,
    sync::atomic::{AtomicU64, Ordering::Relaxed},
};

use serde::Serialize;

use crate::{
    config::MAX_VFS,
    memory::{Access, DmaFault},
    message::{CHAIN_COMMANDS, NULL_COMMAND},
    service::Service,
    unserved::UnservedKind,
};

const COMMANDS: usize = 32;
/// Error codes are bytes, of which the known ones are negative.
const ERROR_CODES: usize = 256;
/// Classes of the number of requests that waited in a ring when one was fetched: 1, 2–3, 4–7, … 512 and more.
const DEPTHS: usize = 10;
const RECORDED_FAULTS: usize = 16;
/// The number of different registers, messages and flags that are recorded when the device does not serve them.
const RECORDED_UNSERVED: usize = 32;

/// The counters of one process. All zeros are a valid initial value, because a new shared file contains zeros.
#[derive(Debug)]
#[repr(C)]
pub(crate) struct Counters {
    services: [ServiceCounters; 3],
    vf_requests: [AtomicU64; MAX_VFS],
    vf_responses: [AtomicU64; MAX_VFS],
    vf_verify_errors: [AtomicU64; MAX_VFS],
    /// Indexed by virtual function, then by service.
    vf_work: [[WorkCounters; 3]; MAX_VFS],
    pub(crate) heartbeat_queries: AtomicU64,
    pub(crate) device_opens: AtomicU64,
    pub(crate) device_resets: AtomicU64,
    pub(crate) mailbox_messages: AtomicU64,
    pub(crate) mailbox_unknown: AtomicU64,
    pub(crate) maps: AtomicU64,
    pub(crate) unmaps: AtomicU64,
    /// The number of mappings that exist now; `mapped_bytes` is their size.
    pub(crate) mapped: AtomicU64,
    pub(crate) mapped_bytes: AtomicU64,
    dma_faults: AtomicU64,
    dma_faults_after_unmap: AtomicU64,
    dma_records: [DmaRecord; RECORDED_FAULTS],
    unserved_records: [UnservedCounter; RECORDED_UNSERVED],
    /// Counts the findings that `unserved_records` had no room for.
    unserved_more: AtomicU64,
    pub(crate) interrupts: AtomicU64,
    pub(crate) ring_pair_resets: AtomicU64,
    /// Counts requests that waited in a ring, or were being executed, when the library removed the ring.
    pub(crate) abandoned: AtomicU64,
    /// The number of requests that were fetched and have no response yet.
    pub(crate) in_work: AtomicU64,
    /// Counts how often a response had to wait for room in the response ring.
    pub(crate) response_ring_full: AtomicU64,
    pub(crate) protocol_errors: AtomicU64,
    pub(crate) engine_panics: AtomicU64,
    pub(crate) injected_faults: AtomicU64,
}

#[derive(Debug)]
#[repr(C)]
struct ServiceCounters {
    commands: [AtomicU64; COMMANDS],
    responses: AtomicU64,
    /// Indexed by the error code as an unsigned byte.
    errors: [AtomicU64; ERROR_CODES],
    unsupported: AtomicU64,
    bytes_in: AtomicU64,
    bytes_out: AtomicU64,
    busy_nanoseconds: AtomicU64,
    depths: [AtomicU64; DEPTHS],
}

/// Counts the work of one virtual function for one service.
#[derive(Debug, Default)]
#[repr(C)]
struct WorkCounters {
    executed: AtomicU64,
    bytes: AtomicU64,
    busy_nanoseconds: AtomicU64,
}

/// A copy of [`WorkCounters`], or a sum of copies.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct WorkTotals {
    pub(crate) executed: u64,
    /// The bytes read and written by the device.
    pub(crate) bytes: u64,
    pub(crate) busy_nanoseconds: u64,
}

impl std::iter::Sum for WorkTotals {
    fn sum<I: Iterator<Item = Self>>(all: I) -> Self {
        all.fold(Self::default(), |sum, one| Self {
            executed: sum.executed + one.executed,
            bytes: sum.bytes + one.bytes,
            busy_nanoseconds: sum.busy_nanoseconds + one.busy_nanoseconds,
        })
    }
}

#[derive(Debug)]
#[repr(C)]
struct DmaRecord {
    iova: AtomicU64,
    len: AtomicU64,
    /// Bit 0: write; bit 1: after unmap; from bit 8: command, 16: service + 1, 24: bank, 32: virtual function.
    origin: AtomicU64,
}

/// A record of a register, message or flag that a program used and the device does not serve.
#[derive(Debug)]
#[repr(C)]
struct UnservedCounter {
    /// 0 when free; otherwise bit 63 is set, 62:56 hold the kind, 55:48 the virtual function, and 47:0 the position.
    key: AtomicU64,
    /// All bits that were seen at that position.
    value: AtomicU64,
}

/// Identifies the request that made a device access.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Origin {
    pub(crate) vf: usize,
    pub(crate) bank: usize,
    pub(crate) service: Service,
    pub(crate) command: u8,
}

/// The result of an executed request as the counters record it.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct ExecutionResult {
    /// The error code of a response that reports an error; 0 where its service has no codes.
    pub(crate) error: Option<i8>,
    pub(crate) unsupported: bool,
    /// Compress-and-verify found a difference.
    pub(crate) verify_error: bool,
    pub(crate) bytes_in: u64,
    pub(crate) bytes_out: u64,
    pub(crate) busy_nanoseconds: u64,
}

fn zeros<const N: usize>() -> [AtomicU64; N] {
    std::array::from_fn(|_| AtomicU64::new(0))
}

impl Default for Counters {
    fn default() -> Self {
        let zero = || AtomicU64::new(0);
        Self {
            services: std::array::from_fn(|_| ServiceCounters {
                commands: zeros(),
                responses: zero(),
                errors: zeros(),
                unsupported: zero(),
                bytes_in: zero(),
                bytes_out: zero(),
                busy_nanoseconds: zero(),
                depths: zeros(),
            }),
            vf_requests: zeros(),
            vf_responses: zeros(),
            vf_verify_errors: zeros(),
            vf_work: std::array::from_fn(|_| Default::default()),
            heartbeat_queries: zero(),
            device_opens: zero(),
            device_resets: zero(),
            mailbox_messages: zero(),
            mailbox_unknown: zero(),
            maps: zero(),
            unmaps: zero(),
            mapped: zero(),
            mapped_bytes: zero(),
            dma_faults: zero(),
            dma_faults_after_unmap: zero(),
            dma_records: std::array::from_fn(|_| DmaRecord { iova: zero(), len: zero(), origin: zero() }),
            unserved_records: std::array::from_fn(|_| UnservedCounter { key: zero(), value: zero() }),
            unserved_more: zero(),
            interrupts: zero(),
            ring_pair_resets: zero(),
            abandoned: zero(),
            in_work: zero(),
            response_ring_full: zero(),
            protocol_errors: zero(),
            engine_panics: zero(),
            injected_faults: zero(),
        }
    }
}

impl Counters {
    /// Counts a fetched request; `waiting` is the number of requests in the ring, including this one.
    pub(crate) fn fetched(&self, origin: Origin, waiting: u32) {
        let service = &self.services[origin.service.index()];
        service.commands[usize::from(origin.command) % COMMANDS].fetch_add(1, Relaxed);
        service.depths[(waiting.max(1).ilog2() as usize).min(DEPTHS - 1)].fetch_add(1, Relaxed);
        if let Some(vf) = self.vf_requests.get(origin.vf) {
            vf.fetch_add(1, Relaxed);
        }
        self.in_work.fetch_add(1, Relaxed);
    }

    /// Counts an executed request.
    pub(crate) fn executed(&self, origin: Origin, result: ExecutionResult) {
        let service = &self.services[origin.service.index()];
        if let Some(code) = result.error {
            service.errors[usize::from(code.cast_unsigned())].fetch_add(1, Relaxed);
        }
        service.unsupported.fetch_add(u64::from(result.unsupported), Relaxed);
        service.bytes_in.fetch_add(result.bytes_in, Relaxed);
        service.bytes_out.fetch_add(result.bytes_out, Relaxed);
        service.busy_nanoseconds.fetch_add(result.busy_nanoseconds, Relaxed);
        if let Some(vf) = self.vf_verify_errors.get(origin.vf) {
            vf.fetch_add(u64::from(result.verify_error), Relaxed);
        }
        if let Some(work) = self.vf_work.get(origin.vf).map(|vf| &vf[origin.service.index()]) {
            work.executed.fetch_add(1, Relaxed);
            work.bytes.fetch_add(result.bytes_in + result.bytes_out, Relaxed);
            work.busy_nanoseconds.fetch_add(result.busy_nanoseconds, Relaxed);
        }
    }

    /// Returns the work of a virtual function for a service so far.
    pub(crate) fn work(&self, vf: usize, service: Service) -> WorkTotals {
        let Some(work) = self.vf_work.get(vf).map(|vf| &vf[service.index()]) else {
            return WorkTotals::default();
        };
        WorkTotals {
            executed: work.executed.load(Relaxed),
            bytes: work.bytes.load(Relaxed),
            busy_nanoseconds: work.busy_nanoseconds.load(Relaxed),
        }
    }

    /// Counts a response that was written to a response ring.
    pub(crate) fn responded(&self, vf: usize, service: Service) {
        self.services[service.index()].responses.fetch_add(1, Relaxed);
        if let Some(vf) = self.vf_responses.get(vf) {
            vf.fetch_add(1, Relaxed);
        }
        self.in_work.fetch_sub(1, Relaxed);
    }

    /// Counts requests that will never get a response: `fetched` ones, and `waiting` ones that are still in the ring.
    pub(crate) fn abandon(&self, fetched: u64, waiting: u64) {
        self.abandoned.fetch_add(fetched + waiting, Relaxed);
        self.in_work.fetch_sub(fetched, Relaxed);
    }

    /// Counts a refused access, and records it if it is among the first; returns whether it was recorded.
    pub(crate) fn dma_fault(&self, origin: Origin, fault: DmaFault, after_unmap: bool) -> bool {
        let number = self.dma_faults.fetch_add(1, Relaxed);
        self.dma_faults_after_unmap.fetch_add(u64::from(after_unmap), Relaxed);
        let record = usize::try_from(number).ok().and_then(|n| self.dma_records.get(n));
        if let Some(record) = record {
            record.iova.store(fault.iova, Relaxed);
            record.len.store(fault.len as u64, Relaxed);
            let flags = u64::from(fault.access == Access::Write) | u64::from(after_unmap) << 1;
            let place = (origin.bank as u64) << 24 | (origin.vf as u64) << 32;
            let what = u64::from(origin.command) << 8 | (origin.service.index() as u64 + 1) << 16;
            record.origin.store(flags | what | place, Relaxed);
        }
        record.is_some()
    }

    /// Records a register, message or flag that the device does not serve, once for each position, and prints the first
    /// occurrence to the standard error stream.
    pub(crate) fn unserved(&self, kind: UnservedKind, vf: usize, at: usize, value: u32) {
        let key =
            1 << 63 | (kind.index() as u64) << 56 | (vf as u64 & 0xFF) << 48 | at as u64 & 0xFFFF_FFFF_FFFF;
        for record in &self.unserved_records {
            let taken = record.key.compare_exchange(0, key, Relaxed, Relaxed);
            if taken.is_ok() || taken == Err(key) {
                record.value.fetch_or(value.into(), Relaxed);
                if taken.is_ok() {
                    eprintln!("qat-emu: {}", UnservedRecord::new(key, value.into()));
                }
                return;
            }
        }
        self.unserved_more.fetch_add(1, Relaxed);
    }

    /// Returns a copy of all counters.
    pub(crate) fn snapshot(&self) -> Snapshot {
        let get = |c: &AtomicU64| c.load(Relaxed);
        let services = Service::ALL
            .iter()
            .zip(&self.services)
            .map(|(service, c)| {
                let commands = (0_u8..)
                    .zip(&c.commands)
                    .filter(|(_, n)| get(n) != 0)
                    .map(|(command, n)| (command_name(*service, command), get(n)))
                    .collect::<BTreeMap<_, _>>();
                let depths =
                    c.depths.iter().enumerate().filter(|(_, n)| get(n) != 0).map(|(i, n)| (1 << i, get(n)));
                let error_codes: BTreeMap<i8, u64> = (0_u8..=u8::MAX)
                    .zip(&c.errors)
                    .filter(|(_, n)| get(n) != 0)
                    .map(|(code, n)| (code.cast_signed(), get(n)))
                    .collect();
                let snapshot = ServiceSnapshot {
                    requests: commands.values().sum(),
                    commands,
                    responses: get(&c.responses),
                    errors: error_codes.values().sum(),
                    error_codes,
                    unsupported: get(&c.unsupported),
                    bytes_in: get(&c.bytes_in),
                    bytes_out: get(&c.bytes_out),
                    busy_nanoseconds: get(&c.busy_nanoseconds),
                    depths: depths.collect(),
                };
                (service.name(), snapshot)
            })
            .collect();
        let recorded = get(&self.dma_faults).min(RECORDED_FAULTS as u64) as usize;
        let dma_fault_records = self.dma_records[..recorded]
            .iter()
            .map(|r| {
                let origin = get(&r.origin);
                let byte = |shift: u32| (origin >> shift & 0xFF) as u8;
                let service = Service::ALL
                    .get(usize::from(byte(16)).wrapping_sub(1))
                    .copied()
                    .unwrap_or(Service::Compression);
                DmaFaultRecord {
                    iova: get(&r.iova),
                    len: get(&r.len),
                    access: if origin & 1 == 1 { "write" } else { "read" },
                    after_unmap: origin & 2 != 0,
                    vf: byte(32),
                    bank: byte(24),
                    service: service.name(),
                    command: command_name(service, byte(8)),
                }
            })
            .collect();
        let used = self.vf_requests.iter().rposition(|n| get(n) != 0).map_or(0, |i| i + 1);
        Snapshot {
            services,
            vf_requests: self.vf_requests[..used].iter().map(get).collect(),
            vf_responses: self.vf_responses[..used].iter().map(get).collect(),
            vf_verify_errors: self.vf_verify_errors[..used].iter().map(get).collect(),
            device_opens: get(&self.device_opens),
            device_resets: get(&self.device_resets),
            mailbox_messages: get(&self.mailbox_messages),
            mailbox_unknown: get(&self.mailbox_unknown),
            maps: get(&self.maps),
            unmaps: get(&self.unmaps),
            mapped: get(&self.mapped),
            mapped_bytes: get(&self.mapped_bytes),
            dma_faults: get(&self.dma_faults),
            dma_faults_after_unmap: get(&self.dma_faults_after_unmap),
            dma_fault_records,
            unserved_records: self
                .unserved_records
                .iter()
                .map(|record| (get(&record.key), get(&record.value)))
                .filter(|(key, _)| *key != 0)
                .map(|(key, value)| UnservedRecord::new(key, value))
                .collect(),
            unserved_more: get(&self.unserved_more),
            interrupts: get(&self.interrupts),
            ring_pair_resets: get(&self.ring_pair_resets),
            abandoned: get(&self.abandoned),
            in_work: get(&self.in_work),
            response_ring_full: get(&self.response_ring_full),
            protocol_errors: get(&self.protocol_errors),
            engine_panics: get(&self.engine_panics),
            injected_faults: get(&self.injected_faults),
        }
    }
}

/// Returns the name of a command in the counters, which contains the number if the command has no name.
fn command_name(service: Service, command: u8) -> String {
    const COMPRESSION: [&str; 7] = [
        "deflate-static",
        "deflate-dynamic",
        "deflate-decompress",
        "lz4-compress",
        "lz4-decompress",
        "lz4s-compress",
        "lz4s-decompress",
    ];
    const SYMMETRIC: [&str; 17] = [
        "cipher",
        "hash",
        "cipher-hash",
        "hash-cipher",
        "random",
        "random-test",
        "ssl3-key",
        "tls1.1-key",
        "tls1.2-key",
        "mgf1",
        "hash-precompute",
        "cipher-precompute",
        "hkdf-extract",
        "hkdf-expand",
        "hkdf-extract-expand",
        "hkdf-expand-label",
        "hkdf-extract-expand-label",
    ];
    let known = match service {
        Service::Compression => match command.checked_sub(CHAIN_COMMANDS) {
            None => COMPRESSION.get(usize::from(command)),
            Some(3) => Some(&"hash-compress"),
            // Older libraries use different commands for static and dynamic deflate.
            Some(4) => Some(&"hash-compress-dynamic"),
            Some(_) => None,
        },
        Service::Symmetric => SYMMETRIC.get(usize::from(command)),
        Service::Asymmetric => (command == 0).then_some(&"pke"),
    };
    let known = if command == NULL_COMMAND { Some(&"null") } else { known };
    known.map_or_else(|| format!("command-{command}"), |name| (*name).to_owned())
}

/// Contains a copy of the counters of one process.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize)]
#[non_exhaustive]
pub struct Snapshot {
    /// Counts by service name: `dc`, `sym`, `asym`.
    pub services: BTreeMap<&'static str, ServiceSnapshot>,
    /// Counts requests by virtual function, up to the last one that was used.
    pub vf_requests: Vec<u64>,
    /// Counts responses by virtual function, up to the last one that was used.
    pub vf_responses: Vec<u64>,
    /// Counts, by virtual function, the responses which report that compress-and-verify found a difference, whether the
    /// device recovered or not.
    pub vf_verify_errors: Vec<u64>,
    /// Counts the device descriptors that programs opened.
    pub device_opens: u64,
    /// Counts resets of a virtual function, which happen by request and when a group leaves its container.
    pub device_resets: u64,
    /// Counts interrupts that were signalled through the program's event descriptors.
    pub interrupts: u64,
    /// Counts resets of one ring pair, which a mailbox message requests.
    pub ring_pair_resets: u64,
    /// Counts messages received through the mailbox.
    pub mailbox_messages: u64,
    /// Counts those of these messages that have an unknown type or name an unknown block.
    pub mailbox_unknown: u64,
    /// Counts the mappings made for device access.
    pub maps: u64,
    /// Counts the mappings removed.
    pub unmaps: u64,
    /// Is the number of mappings that exist now.
    pub mapped: u64,
    /// Is the size in bytes of the mappings that exist now.
    pub mapped_bytes: u64,
    /// Counts device accesses outside mapped memory, all of which were refused.
    pub dma_faults: u64,
    /// Counts those of these accesses whose memory had been mapped before.
    pub dma_faults_after_unmap: u64,
    /// Lists the first 16 refused accesses with the request that made each.
    pub dma_fault_records: Vec<DmaFaultRecord>,
    /// Lists the first 32 different registers, messages and flags that a program used and the device does not serve.
    pub unserved_records: Vec<UnservedRecord>,
    /// Counts further uses that the list had no room for, among which some may repeat each other.
    pub unserved_more: u64,
    /// Counts requests that waited in a ring, or were being executed, when the program removed the ring.
    pub abandoned: u64,
    /// Is the number of requests that were fetched and have no response yet.
    pub in_work: u64,
    /// Counts how often a response had to wait for room in the response ring.
    pub response_ring_full: u64,
    /// Counts values of ring registers, and messages, that no correct library writes.
    pub protocol_errors: u64,
    /// Counts panics in the engines, which are defects of the emulator itself.
    pub engine_panics: u64,
    /// Counts the faults that the configuration injected.
    pub injected_faults: u64,
}

/// Contains the counters of one service.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize)]
#[non_exhaustive]
pub struct ServiceSnapshot {
    /// Counts requests fetched from the rings.
    pub requests: u64,
    /// Counts the same requests by command.
    pub commands: BTreeMap<String, u64>,
    /// Counts responses written to the rings.
    pub responses: u64,
    /// Counts responses that report an error.
    pub errors: u64,
    /// Counts the same responses by their error code: for compression that of `CpaDcReqStatus`, and 0 for services that
    /// have no codes.
    ///
    /// The library treats −15 of an inflate request, which reports that the stream continues, as success.
    pub error_codes: BTreeMap<i8, u64>,
    /// Counts responses that report an unsupported request.
    pub unsupported: u64,
    /// Counts the bytes that requests consumed, except those of hash-and-compress chains.
    pub bytes_in: u64,
    /// Counts the bytes that requests produced, except those of hash-and-compress chains.
    pub bytes_out: u64,
    /// Is the time spent computing, in nanoseconds.
    pub busy_nanoseconds: u64,
    /// Counts how many requests waited in the ring when one was fetched: maps the lower bound of each class (1, 2, 4,
    /// …) to its count.
    pub depths: BTreeMap<u64, u64>,
}

/// Describes a refused device access.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct DmaFaultRecord {
    /// Is the first IO virtual address.
    pub iova: u64,
    /// Is the length in bytes.
    pub len: u64,
    /// Is the direction as the device sees it: `read` or `write`.
    pub access: &'static str,
    /// Says whether the memory was mapped before.
    pub after_unmap: bool,
    /// Is the index of the virtual function over all devices.
    pub vf: u8,
    /// Is the ring pair, 0 to 3.
    pub bank: u8,
    /// Names the service of the request.
    pub service: &'static str,
    /// Names the command of the request.
    pub command: String,
}

/// Describes a register, message or flag that a program used and the device does not serve.
///
/// Values that are known to have no effect are not recorded: [`WITHOUT_EFFECT`](crate::WITHOUT_EFFECT) lists them with
/// the reasons.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct UnservedRecord {
    /// Names the kind: `ring register`, `mailbox register`, `PCI configuration space`, `mailbox message` or `request
    /// flags`.
    pub what: &'static str,
    /// Is the index of the virtual function over all devices.
    pub vf: u8,
    /// Is the offset of the register, the offset of the flags in the request, or the type of the message.
    pub at: u32,
    /// Names the service of a request; `None` for the other kinds.
    pub service: Option<&'static str>,
    /// Contains the bits that are not served, or the data of a message.
    pub value: u32,
    /// Says what the device did with it: `acknowledged without effect`, `refused` or `not known`.
    pub outcome: &'static str,
}

impl UnservedRecord {
    fn new(key: u64, value: u64) -> Self {
        let kind =
            UnservedKind::ALL.get((key >> 56 & 0x7F) as usize).copied().unwrap_or(UnservedKind::RingRegister);
        let service =
            Service::ALL.get((key >> 32 & 0xFF) as usize).filter(|_| kind == UnservedKind::RequestFlags);
        Self {
            what: kind.name(),
            vf: (key >> 48 & 0xFF) as u8,
            at: key as u32,
            service: service.map(|service| service.name()),
            value: value as u32,
            outcome: kind.outcome(),
        }
    }
}

impl fmt::Display for UnservedRecord {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { what, vf, at, service, value, outcome } = self;
        let of = service.map(|service| format!(" of {service}")).unwrap_or_default();
        write!(f, "{what}{of} {at:#x} of virtual function {vf}: {value:#x} {outcome}")
    }
}

impl Snapshot {
    /// Returns the number of requests of all services.
    #[must_use]
    pub fn requests(&self) -> u64 {
        self.services.values().map(|s| s.requests).sum()
    }

    /// Returns the number of responses of all services.
    #[must_use]
    pub fn responses(&self) -> u64 {
        self.services.values().map(|s| s.responses).sum()
    }

    /// Returns the counters of one service.
    ///
    /// # Panics
    /// Never panics, because a snapshot contains all services.
    #[must_use]
    pub fn service(&self, service: Service) -> &ServiceSnapshot {
        &self.services[service.name()]
    }

    /// Returns one sentence for each finding that a correct program does not cause.
    #[must_use]
    pub fn audit(&self) -> Vec<String> {
        let mut findings = Vec::new();
        let mut find = |count: u64, what: &str| {
            if count != 0 {
                findings.push(format!("{count} {what}"));
            }
        };
        find(self.mapped, "mappings for device access left: the program did not unmap them");
        find(self.in_work, "requests without a response: they were still in the device");
        find(self.abandoned, "requests abandoned when their ring was taken away");
        find(self.dma_faults, "device accesses outside mapped memory, which were refused");
        find(self.dma_faults_after_unmap, "of these accesses came after the memory was unmapped");
        find(
            self.services.values().map(|s| s.unsupported).sum(),
            "requests that the device does not support and refused",
        );
        find(self.protocol_errors, "invalid values of ring registers or invalid messages");
        find(self.mailbox_unknown, "unknown mailbox messages");
        find(self.engine_panics, "panics in the emulator, which are defects of qat-emu");
        find(self.unserved_more, "more registers, messages or flags that the device does not serve");
        findings.extend(self.unserved_records.iter().map(UnservedRecord::to_string));
        for record in &self.dma_fault_records {
            let DmaFaultRecord { iova, len, access, vf, bank, service, command, after_unmap } = record;
            let when = if *after_unmap { ", which was unmapped before" } else { "" };
            findings.push(format!(
                "{access} of {len} bytes at {iova:#x}{when}: {service} {command}, virtual function {vf}, ring pair {bank}"
            ));
        }
        findings
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn errors_are_counted_by_code_and_chains_by_name() {
        let counters = Counters::default();
        let count = |command, error| {
            let origin = Origin { vf: 0, bank: 0, service: Service::Compression, command };
            counters.fetched(origin, 1);
            counters.executed(origin, ExecutionResult { error, ..ExecutionResult::default() });
            counters.responded(0, Service::Compression);
        };
        count(2, Some(-15));
        count(2, Some(-15));
        count(0, Some(-128));
        count(CHAIN_COMMANDS | 3, None);
        count(CHAIN_COMMANDS | 4, Some(0));
        let snapshot = counters.snapshot();
        let seen = snapshot.service(Service::Compression);
        assert_eq!(seen.errors, 4);
        assert_eq!(seen.error_codes, BTreeMap::from([(-128, 1), (-15, 2), (0, 1)]));
        let names: Vec<_> = seen.commands.iter().map(|(name, count)| (name.as_str(), *count)).collect();
        let expected = [
            ("deflate-decompress", 2),
            ("deflate-static", 1),
            ("hash-compress", 1),
            ("hash-compress-dynamic", 1),
        ];
        assert_eq!(names, expected);
    }
}
