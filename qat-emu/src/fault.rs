//! Faults on demand: which request they hit and what happens then.
//!
//! Random faults draw from a generator seeded by [`Config::seed`](crate::Config::seed), so that the same requests
//! in the same order meet the same faults.

use std::sync::{
    PoisonError, RwLock,
    atomic::{AtomicU64, Ordering},
};

use serde::{Deserialize, Serialize};

use crate::service::Service;

/// One fault: a trigger and what it does.
///
/// Requests that match `vf`, `bank` and `service` are counted; the fault hits the one after `after` of them, then
/// every `every`th (never again when 0), `times` times at most (without end when 0), each with `probability`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(try_from = "Entry", into = "Entry")]
#[non_exhaustive]
pub struct Fault {
    /// Only on this virtual function (by index over all devices).
    pub vf: Option<usize>,
    /// Only on this ring pair, 0 to 3.
    pub bank: Option<usize>,
    /// Only for this service.
    pub service: Option<Service>,
    /// Matching requests that pass unharmed first.
    pub after: u64,
    /// Hit every so many matching requests from then on; 0 to hit once.
    pub every: u64,
    /// Most hits; 0 for no bound.
    pub times: u64,
    /// Chance of each hit, 0 to 1.
    pub probability: f64,
    /// What happens.
    pub kind: FaultKind,
}

/// A fault as a scenario writes it: trigger, kind and the kind's parameter in one table.
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
            value.ok_or_else(|| format!("a fault of kind `{kind}` needs `{name}`"))
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
            _ => return Err(format!("no fault of kind `{name}`")),
        };
        let Entry { vf, bank, service, after, every, times, probability, .. } = entry;
        let Entry { microseconds, overtaken_by, code, bytes, .. } = entry;
        if microseconds.is_some() || overtaken_by.is_some() || code.is_some() || bytes.is_some() {
            return Err(format!("a fault of kind `{name}` has a parameter that it does not take"));
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
    /// `kind` on the first request.
    #[must_use]
    pub fn new(kind: FaultKind) -> Self {
        Self { vf: None, bank: None, service: None, after: 0, every: 0, times: 0, probability: 1.0, kind }
    }

    /// Lets `requests` pass first.
    #[must_use]
    pub fn after(self, requests: u64) -> Self {
        Self { after: requests, ..self }
    }

    /// Repeats on every `requests`th request.
    #[must_use]
    pub fn every(self, requests: u64) -> Self {
        Self { every: requests, ..self }
    }

    /// At most `times` hits.
    #[must_use]
    pub fn times(self, times: u64) -> Self {
        Self { times, ..self }
    }

    /// Hits with this chance only.
    #[must_use]
    pub fn probability(self, probability: f64) -> Self {
        Self { probability, ..self }
    }

    /// Only on this virtual function.
    #[must_use]
    pub fn on_vf(self, vf: usize) -> Self {
        Self { vf: Some(vf), ..self }
    }

    /// Only for this service.
    #[must_use]
    pub fn on_service(self, service: Service) -> Self {
        Self { service: Some(service), ..self }
    }
}

/// What a fault does to the request it hits, or to its device.
///
/// In a scenario the name is in small letters with hyphens (`kind = "ring-stalled"`) and the parameter beside it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum FaultKind {
    /// The request is executed and never answered.
    Lost,
    /// The answer comes so many microseconds later.
    Late {
        /// Delay in microseconds.
        microseconds: u64,
    },
    /// The answer comes after the next so many answers of the same ring.
    Reordered {
        /// How many answers overtake it.
        overtaken_by: u32,
    },
    /// The ring is not served for so many microseconds, so that it runs full.
    RingStalled {
        /// Duration in microseconds.
        microseconds: u64,
    },
    /// The answer carries this error code (byte 5: −1 to −19, −50) and no data is produced.
    Error {
        /// The code.
        code: i8,
    },
    /// Compression: the verification after compression finds a difference. The device recovers with stored blocks
    /// where the request allows it, and reports −18 where not.
    VerifyError,
    /// Compression: the reported checksums are wrong.
    WrongChecksum,
    /// Compression: the output runs over after exactly so many bytes of room.
    OverflowAt {
        /// Room in bytes.
        bytes: u32,
    },
    /// Compression: the last `bytes` bytes of the output are missing although success is reported.
    ShortOutput {
        /// Missing bytes.
        bytes: u32,
    },
    /// The answer has the "unsupported request" bit.
    Unsupported,
    /// Symmetric crypto: the answer says that the digest does not match.
    DigestMismatch,
    /// The device announces a fatal error to the virtual function and answers no more until it is re-opened.
    FatalError,
    /// The device announces a restart, loses everything in flight, and is back after a moment.
    Restart,
    /// The virtual function disappears: no answer, and it cannot be opened again.
    Removed,
    /// The firmware of the device hangs: none of its virtual functions answers, and its heartbeat is gone, until
    /// [`Emulator::revive`](crate::Emulator::revive).
    Hung,
}

/// Faults that a program meets while it finds and opens the devices.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
#[non_exhaustive]
pub struct StartFaults {
    /// The other end of the mailbox never answers.
    pub mailbox_dead: bool,
    /// Mappings for device access are refused (`ENOMEM`) after so many of them.
    pub map_refused_after: Option<u64>,
    /// The container refuses the IO memory management unit (`EPERM`).
    pub start_refused: bool,
    /// Virtual functions whose group another process holds (`EBUSY`).
    pub group_busy: Vec<usize>,
    /// Virtual functions whose group the user may not open (`EACCES`).
    pub group_denied: Vec<usize>,
    /// The heartbeat file says that the device is dead.
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

    /// Adds a fault, after those that are there.
    pub(crate) fn arm(&self, fault: Fault) {
        let mut armed = self.armed.write().unwrap_or_else(PoisonError::into_inner);
        let random = AtomicU64::new(splitmix(self.seed ^ splitmix(armed.len() as u64 + 1)));
        armed.push(Armed { fault, matched: AtomicU64::new(0), hits: AtomicU64::new(0), random });
    }

    /// Takes all faults away.
    pub(crate) fn disarm(&self) {
        self.armed.write().unwrap_or_else(PoisonError::into_inner).clear();
    }

    /// The fault that the next request of this ring meets.
    pub(crate) fn next(&self, vf: usize, bank: usize, service: Service) -> Option<FaultKind> {
        let mut hit = None;
        for armed in self.armed.read().unwrap_or_else(PoisonError::into_inner).iter() {
            // Every fault counts every request, so that one fault does not shift another.
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
            // 53 bits fill the mantissa of an f64 exactly.
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
