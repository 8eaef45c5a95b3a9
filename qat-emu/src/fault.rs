//! Faults on demand: which request they hit and what happens then.
//!
//! Random faults draw from a generator seeded by [`Config::seed`](crate::Config::seed), so that the same requests
//! in the same order meet the same faults.

use std::sync::atomic::{AtomicU64, Ordering};

use serde::{Deserialize, Serialize};

use crate::config::Service;

/// One fault: a trigger and what it does.
///
/// Requests that match `vf`, `bank` and `service` are counted; the fault hits the one after `after` of them, then
/// every `every`th (never again when 0), `times` times at most (without end when 0), each with `probability`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct Fault {
    /// Only on this virtual function (by index over all devices).
    #[serde(default)]
    pub vf: Option<usize>,
    /// Only on this ring pair, 0 to 3.
    #[serde(default)]
    pub bank: Option<usize>,
    /// Only for this service.
    #[serde(default)]
    pub service: Option<Service>,
    /// Matching requests that pass unharmed first.
    #[serde(default)]
    pub after: u64,
    /// Hit every so many matching requests from then on; 0 to hit once.
    #[serde(default)]
    pub every: u64,
    /// Most hits; 0 for no bound.
    #[serde(default)]
    pub times: u64,
    /// Chance of each hit, 0 to 1.
    #[serde(default = "always")]
    pub probability: f64,
    /// What happens.
    #[serde(flatten)]
    pub kind: FaultKind,
}

fn always() -> f64 {
    1.0
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
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "kebab-case", deny_unknown_fields)]
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
    armed: Vec<Armed>,
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
        let armed = faults
            .iter()
            .enumerate()
            .map(|(i, fault)| Armed {
                fault: fault.clone(),
                matched: AtomicU64::new(0),
                hits: AtomicU64::new(0),
                random: AtomicU64::new(splitmix(seed ^ splitmix(i as u64 + 1))),
            })
            .collect();
        Self { armed }
    }

    /// The fault that the next request of this ring meets.
    pub(crate) fn next(&self, vf: usize, bank: usize, service: Service) -> Option<FaultKind> {
        let mut hit = None;
        for armed in &self.armed {
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
    fn chance_repeats_with_the_seed() {
        let fault = Fault::new(FaultKind::Lost).every(1).probability(0.25);
        let first = hits(fault.clone(), 4000);
        assert_eq!(first, hits(fault, 4000));
        assert!((800..1200).contains(&first.len()), "{} of 4000", first.len());
    }
}
