//! Faults that are injected on demand: the requests that they hit, and their effect. The device asks `Faults` before
//! it executes each request.
//!
//! Random faults use a generator seeded by [`Config::seed`](crate::Config::seed), so that the same requests in the same
//! order meet the same faults.

use std::sync::{
    PoisonError, RwLock,
    atomic::{AtomicU64, Ordering},
};

use serde::{Deserialize, Serialize};

use crate::service::Service;

/// Describes a fault to inject: a trigger and an effect.
///
/// Requests that match `vf`, `bank` and `service` are counted. The fault first hits the request after the first `after`
/// ones, and then every `every`th request (never again if 0), at most `times` times (without a limit if 0). Each hit
/// happens with the given `probability`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(try_from = "Entry", into = "Entry")]
#[non_exhaustive]
pub struct Fault {
    /// Restricts the fault to a virtual function, by its index over all devices; `None` means all.
    pub vf: Option<usize>,
    /// Restricts the fault to a ring pair, 0 to 3; `None` means all.
    pub bank: Option<usize>,
    /// Restricts the fault to a service; `None` means all.
    pub service: Option<Service>,
    /// Sets the number of matching requests that the fault skips first.
    pub after: u64,
    /// Sets the number of matching requests from one hit to the next; 0 means a single hit.
    pub every: u64,
    /// Limits the number of hits; 0 means no limit.
    pub times: u64,
    /// Sets the probability of each hit, 0 to 1.
    pub probability: f64,
    /// Sets the effect.
    pub kind: FaultKind,
}

/// A fault as a scenario file contains it: trigger, kind and the kind's parameter in one table.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
struct Entry {
    vf: Option<usize>,
    bank: Option<usize>,
    service: Option<Service>,
    after: u64,
    every: u64,
    times: u64,
    probability: Option<f64>,
    kind: String,
    microseconds: Option<u64>,
    overtaken_by: Option<u32>,
    code: Option<i8>,
    bytes: Option<u32>,
}

impl TryFrom<Entry> for Fault {
    type Error = String;

    fn try_from(mut entry: Entry) -> Result<Self, String> {
        fn needed<T>(kind: &str, name: &str, value: Option<T>) -> Result<T, String> {
            value.ok_or_else(|| format!("a fault of kind `{kind}` needs the parameter `{name}`"))
        }
        let name = std::mem::take(&mut entry.kind);
        let kind = match name.as_str() {
            "lost" => FaultKind::Lost,
            "late" => {
                FaultKind::Late { microseconds: needed(&name, "microseconds", entry.microseconds.take())? }
            }
            "reordered" => FaultKind::Reordered {
                overtaken_by: needed(&name, "overtaken_by", entry.overtaken_by.take())?,
            },
            "ring-stalled" => FaultKind::RingStalled {
                microseconds: needed(&name, "microseconds", entry.microseconds.take())?,
            },
            "error" => FaultKind::Error { code: needed(&name, "code", entry.code.take())? },
            "verify-error" => FaultKind::VerifyError,
            "wrong-checksum" => FaultKind::WrongChecksum,
            "overflow-at" => FaultKind::OverflowAt { bytes: needed(&name, "bytes", entry.bytes.take())? },
            "short-output" => FaultKind::ShortOutput { bytes: needed(&name, "bytes", entry.bytes.take())? },
            "unsupported" => FaultKind::Unsupported,
            "digest-mismatch" => FaultKind::DigestMismatch,
            "fatal-error" => FaultKind::FatalError,
            "restart" => FaultKind::Restart,
            "removed" => FaultKind::Removed,
            "hung" => FaultKind::Hung,
            _ => {
                return Err(format!(
                    "the kind of fault `{name}` is unknown: the documentation of FaultKind lists the kinds"
                ));
            }
        };
        let Entry { vf, bank, service, after, every, times, probability, .. } = entry;
        let Entry { microseconds, overtaken_by, code, bytes, .. } = entry;
        if microseconds.is_some() || overtaken_by.is_some() || code.is_some() || bytes.is_some() {
            return Err(format!("a fault of kind `{name}` has a parameter of another kind: remove it"));
        }
        Ok(Self { vf, bank, service, after, every, times, probability: probability.unwrap_or(1.0), kind })
    }
}

impl From<Fault> for Entry {
    fn from(fault: Fault) -> Self {
        let Fault { vf, bank, service, after, every, times, probability, kind } = fault;
        let mut entry = Self {
            vf,
            bank,
            service,
            after,
            every,
            times,
            probability: Some(probability),
            ..Self::default()
        };
        entry.kind = match kind {
            FaultKind::Lost => "lost",
            FaultKind::Late { microseconds } => {
                entry.microseconds = Some(microseconds);
                "late"
            }
            FaultKind::Reordered { overtaken_by } => {
                entry.overtaken_by = Some(overtaken_by);
                "reordered"
            }
            FaultKind::RingStalled { microseconds } => {
                entry.microseconds = Some(microseconds);
                "ring-stalled"
            }
            FaultKind::Error { code } => {
                entry.code = Some(code);
                "error"
            }
            FaultKind::VerifyError => "verify-error",
            FaultKind::WrongChecksum => "wrong-checksum",
            FaultKind::OverflowAt { bytes } => {
                entry.bytes = Some(bytes);
                "overflow-at"
            }
            FaultKind::ShortOutput { bytes } => {
                entry.bytes = Some(bytes);
                "short-output"
            }
            FaultKind::Unsupported => "unsupported",
            FaultKind::DigestMismatch => "digest-mismatch",
            FaultKind::FatalError => "fatal-error",
            FaultKind::Restart => "restart",
            FaultKind::Removed => "removed",
            FaultKind::Hung => "hung",
        }
        .to_owned();
        entry
    }
}

impl Fault {
    /// Creates a fault of this kind that hits the first request.
    #[must_use]
    pub fn new(kind: FaultKind) -> Self {
        Self { vf: None, bank: None, service: None, after: 0, every: 0, times: 0, probability: 1.0, kind }
    }

    /// Sets the number of requests that the fault skips first.
    #[must_use]
    pub fn after(self, requests: u64) -> Self {
        Self { after: requests, ..self }
    }

    /// Repeats the fault on every `requests`th request.
    #[must_use]
    pub fn every(self, requests: u64) -> Self {
        Self { every: requests, ..self }
    }

    /// Limits the number of hits.
    #[must_use]
    pub fn times(self, times: u64) -> Self {
        Self { times, ..self }
    }

    /// Sets the probability of each hit, 0 to 1.
    #[must_use]
    pub fn probability(self, probability: f64) -> Self {
        Self { probability, ..self }
    }

    /// Restricts the fault to a virtual function, by its index over all devices.
    #[must_use]
    pub fn on_vf(self, vf: usize) -> Self {
        Self { vf: Some(vf), ..self }
    }

    /// Restricts the fault to a service.
    #[must_use]
    pub fn on_service(self, service: Service) -> Self {
        Self { service: Some(service), ..self }
    }
}

/// Determines the effect of a fault on the request that it hits, or on its device.
///
/// A scenario file names the kind in lower case with hyphens (`kind = "ring-stalled"`), with the parameter in the same
/// table.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum FaultKind {
    /// The device executes the request and never sends a response.
    Lost,
    /// The response is delayed.
    Late {
        /// Sets the delay in microseconds.
        microseconds: u64,
    },
    /// The response follows later responses of the same ring.
    Reordered {
        /// Sets the number of responses that overtake this one.
        overtaken_by: u32,
    },
    /// The device does not serve the ring for a time, so that it becomes full.
    RingStalled {
        /// Sets the time in microseconds.
        microseconds: u64,
    },
    /// The response contains an error code (byte 5: −1 to −19, −50), and no data is produced.
    Error {
        /// Sets the error code.
        code: i8,
    },
    /// The verification after compression finds a difference. The device recovers with stored blocks where the request
    /// allows that, and otherwise reports −18.
    VerifyError,
    /// A compression request reports wrong checksums.
    WrongChecksum,
    /// The output of a compression request overflows after an exact number of bytes.
    OverflowAt {
        /// Sets the bytes of output that have room.
        bytes: u32,
    },
    /// The end of a compression request's output is missing although the response reports success.
    ShortOutput {
        /// Sets the number of missing bytes.
        bytes: u32,
    },
    /// The response has the bit "unsupported request".
    Unsupported,
    /// The response to a symmetric request reports that the digest does not match.
    DigestMismatch,
    /// The device announces a fatal error to the virtual function, and sends no response until it is opened again.
    FatalError,
    /// The device announces a restart, loses all requests in flight, and serves requests again after the next reset.
    Restart,
    /// The virtual function disappears: it sends no response and cannot be opened again.
    Removed,
    /// The firmware of the device hangs: none of its virtual functions responds, and its heartbeat fails, until
    /// [`Emulator::revive`](crate::Emulator::revive) is called.
    Hung,
}

/// Describes the faults that a program meets while it finds and opens the devices.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
#[non_exhaustive]
pub struct StartFaults {
    /// The physical function never responds to mailbox messages.
    pub mailbox_dead: bool,
    /// Mappings for device access are refused (`ENOMEM`) after this number of them; `None` refuses none.
    pub map_refused_after: Option<u64>,
    /// The container refuses the IO memory management unit (`EPERM`).
    pub start_refused: bool,
    /// Lists the virtual functions whose group appears to be held by another process (`EBUSY`).
    pub group_busy: Vec<usize>,
    /// Lists the virtual functions whose group the user may not open (`EACCES`).
    pub group_denied: Vec<usize>,
    /// The heartbeat file reports that the device is dead.
    pub heartbeat_dead: bool,
}

/// The faults of a machine with their state.
#[derive(Debug, Default)]
pub(crate) struct Faults {
    armed: RwLock<Vec<Armed>>,
    seed: u64,
}

#[derive(Debug)]
struct Armed {
    fault: Fault,
    matched: AtomicU64,
    hits: AtomicU64,
    random: AtomicU64,
}

impl Faults {
    pub(crate) fn new(faults: &[Fault], seed: u64) -> Self {
        let this = Self { armed: RwLock::default(), seed };
        faults.iter().for_each(|fault| this.arm(fault.clone()));
        this
    }

    /// Adds a fault, with a lower precedence than the existing ones.
    pub(crate) fn arm(&self, fault: Fault) {
        let mut armed = self.armed.write().unwrap_or_else(PoisonError::into_inner);
        let random = AtomicU64::new(splitmix(self.seed ^ splitmix(armed.len() as u64 + 1)));
        armed.push(Armed { fault, matched: AtomicU64::new(0), hits: AtomicU64::new(0), random });
    }

    /// Removes all faults.
    pub(crate) fn disarm(&self) {
        self.armed.write().unwrap_or_else(PoisonError::into_inner).clear();
    }

    /// Returns the fault that hits the next request of this ring, if any.
    pub(crate) fn next(&self, vf: usize, bank: usize, service: Service) -> Option<FaultKind> {
        let mut hit = None;
        for armed in self.armed.read().unwrap_or_else(PoisonError::into_inner).iter() {
            // Every fault counts every request, so that one fault does not change when another one hits.
            if armed.hit(vf, bank, service) && hit.is_none() {
                hit = Some(armed.fault.kind);
            }
        }
        hit
    }
}

impl Armed {
    fn hit(&self, vf: usize, bank: usize, service: Service) -> bool {
        let fault = &self.fault;
        if fault.vf.is_some_and(|v| v != vf)
            || fault.bank.is_some_and(|b| b != bank)
            || fault.service.is_some_and(|s| s != service)
        {
            return false;
        }
        let number = self.matched.fetch_add(1, Ordering::Relaxed);
        let Some(since) = number.checked_sub(fault.after) else { return false };
        let due = if fault.every == 0 { since == 0 } else { since.is_multiple_of(fault.every) };
        if !due || (fault.times != 0 && self.hits.load(Ordering::Relaxed) >= fault.times) {
            return false;
        }
        if fault.probability < 1.0 {
            let draw = splitmix(self.random.fetch_add(0x9E37_79B9_7F4A_7C15, Ordering::Relaxed));
            // An f64 represents 53 bits exactly.
            #[allow(clippy::cast_precision_loss)]
            let unit = (draw >> 11) as f64 / (1_u64 << 53) as f64;
            if unit >= fault.probability {
                return false;
            }
        }
        self.hits.fetch_add(1, Ordering::Relaxed);
        true
    }
}

/// The output function of the SplitMix64 generator (Steele, Lea, Flood: "Fast splittable pseudorandom number
/// generators", 2014).
fn splitmix(state: u64) -> u64 {
    let z = state.wrapping_add(0x9E37_79B9_7F4A_7C15);
    let z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
    let z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
    z ^ (z >> 31)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn hits(fault: Fault, requests: usize) -> Vec<usize> {
        let faults = Faults::new(&[fault], 7);
        (0..requests).filter(|_| faults.next(0, 0, Service::Compression).is_some()).collect()
    }

    #[test]
    fn triggers_count_from_the_first_matching_request() {
        assert_eq!(hits(Fault::new(FaultKind::Lost), 5), [0]);
        assert_eq!(hits(Fault::new(FaultKind::Lost).after(3), 8), [3]);
        assert_eq!(hits(Fault::new(FaultKind::Lost).after(1).every(3), 9), [1, 4, 7]);
        assert_eq!(hits(Fault::new(FaultKind::Lost).every(1).times(2), 9), [0, 1]);
        assert!(hits(Fault::new(FaultKind::Lost).on_vf(1), 9).is_empty());
    }

    #[test]
    fn scenarios_keep_every_kind() {
        let kinds = [
            FaultKind::Lost,
            FaultKind::Late { microseconds: 1 },
            FaultKind::Reordered { overtaken_by: 2 },
            FaultKind::RingStalled { microseconds: 3 },
            FaultKind::Error { code: -4 },
            FaultKind::VerifyError,
            FaultKind::WrongChecksum,
            FaultKind::OverflowAt { bytes: 5 },
            FaultKind::ShortOutput { bytes: 6 },
            FaultKind::Unsupported,
            FaultKind::DigestMismatch,
            FaultKind::FatalError,
            FaultKind::Restart,
            FaultKind::Removed,
            FaultKind::Hung,
        ];
        for kind in kinds {
            let fault = Fault::new(kind).after(3).every(2).on_vf(1).probability(0.5);
            let text = serde_json::to_string(&fault).unwrap();
            assert_eq!(serde_json::from_str::<Fault>(&text).unwrap(), fault);
        }
    }

    #[test]
    fn chance_repeats_with_the_seed() {
        let fault = Fault::new(FaultKind::Lost).every(1).probability(0.25);
        let first = hits(fault.clone(), 4000);
        assert_eq!(first, hits(fault, 4000));
        assert!((800..1200).contains(&first.len()), "{} of 4000", first.len());
    }
}
