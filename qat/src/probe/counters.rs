//! What the kernel's driver counts of a device, as its debug files show it
//! (`Documentation/ABI/testing/debugfs-driver-qat` and `-qat_telemetry` of the kernel). Only reads: telemetry that is off
//! stays off.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{ErrorKind, Read};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use accel_core::DeviceId;
use serde::ser::{Serialize, SerializeStruct, Serializer};

use super::QatDevice;

/// Most bytes read of one file; telemetry of the largest devices has some twenty thousand.
const MAX_TEXT: u64 = 64 << 10;

/// What the kernel's driver counts of one physical function, for all processes together, read now.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize)]
#[non_exhaustive]
pub struct DeviceCounters {
    /// Its address.
    pub device: DeviceId,
    /// Requests and answers of the firmware.
    pub firmware: Option<FirmwareCounters>,
    /// Why these are not known.
    pub firmware_error: Option<Unread>,
    /// Telemetry, where it is switched on.
    pub telemetry: Option<Telemetry>,
    /// Why it is not known.
    pub telemetry_error: Option<Unread>,
}

impl DeviceCounters {
    /// Reads the counters of a physical function that a driver has; `None` of any other.
    #[must_use]
    pub fn read(device: &QatDevice) -> Option<Self> {
        let directory = device.debug_path.as_deref()?;
        let (firmware, firmware_error) = apart(FirmwareCounters::read(directory));
        let (telemetry, telemetry_error) = apart(Telemetry::read(directory));
        Some(Self { device: device.id.clone(), firmware, firmware_error, telemetry, telemetry_error })
    }
}

fn apart<T, E>(result: Result<T, E>) -> (Option<T>, Option<E>) {
    match result {
        Ok(value) => (Some(value), None),
        Err(error) => (None, Some(error)),
    }
}

/// Requests that the engines of a device took and answers that they gave, since its driver started it.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize)]
#[non_exhaustive]
pub struct FirmwareCounters {
    /// By engine. The one that serves the driver is not among them.
    pub engines: Vec<EngineCounters>,
}

/// Counters of one acceleration engine.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Serialize)]
#[non_exhaustive]
pub struct EngineCounters {
    /// Its number.
    pub engine: u16,
    /// Requests.
    pub requests: u64,
    /// Answers.
    pub responses: u64,
}

impl FirmwareCounters {
    fn read(directory: &Path) -> Result<Self, Unread> {
        let path = directory.join("fw_counters");
        let text = read(&path)?;
        let unknown = |line: &str| Unread::unknown(&path, line);
        let mut lines = text.lines();
        let title = lines.next().unwrap_or_default();
        if title.split_whitespace().ne(["AE", "Requests", "Responses"]) {
            return Err(unknown(title));
        }
        let engines = lines.map(|line| EngineCounters::parse(line).ok_or_else(|| unknown(line)));
        Ok(Self { engines: engines.collect::<Result<_, _>>()? })
    }

    /// Requests of all engines.
    #[must_use]
    pub fn requests(&self) -> u64 {
        self.engines.iter().fold(0, |sum, engine| sum.saturating_add(engine.requests))
    }

    /// Answers of all engines.
    #[must_use]
    pub fn responses(&self) -> u64 {
        self.engines.iter().fold(0, |sum, engine| sum.saturating_add(engine.responses))
    }
}

impl EngineCounters {
    /// `number: requests responses`.
    fn parse(line: &str) -> Option<Self> {
        let (engine, counts) = line.split_once(':')?;
        let mut counts = counts.split_whitespace().map(str::parse);
        let counters = Self {
            engine: engine.trim().parse().ok()?,
            requests: counts.next()?.ok()?,
            responses: counts.next()?.ok()?,
        };
        counts.next().is_none().then_some(counters)
    }
}

/// Telemetry of a device: averages over the last `window` samples, of which there is one a second.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize)]
#[non_exhaustive]
pub struct Telemetry {
    /// Samples that are averaged, 1 to 4, as the administrator switched it on.
    pub window: u8,
    /// Samples taken so far, at least 1.
    pub samples: u64,
    /// By the kernel's name: latencies (`gp_lat_acc_avg`) in nanoseconds, bandwidths (`bw_in`) in Mbit/s, utilisation of
    /// each slice (`util_cpr0`) in percent, executions of it (`exec_cpr0`).
    pub counters: BTreeMap<String, u64>,
}

/// The counter that has no history.
const SAMPLES: &str = "sample_cnt";

impl Telemetry {
    pub(crate) fn read(directory: &Path) -> Result<Self, Unread> {
        let path = directory.join("telemetry/control");
        let control = read(&path)?;
        let window = match control.trim().parse() {
            Ok(0) => return Err(Unread::Off { path }),
            Ok(window @ 1..=4) => window,
            _ => return Err(Unread::unknown(&path, &control)),
        };
        let path = directory.join("telemetry/device_data");
        let mut counters = BTreeMap::new();
        for line in read(&path)?.lines() {
            let (name, value) = parse_counter(line).ok_or_else(|| Unread::unknown(&path, line))?;
            counters.insert(name.to_owned(), value);
        }
        match counters.remove(SAMPLES) {
            None => Err(Unread::unknown(&path, "")),
            Some(0) => Err(Unread::NoSample),
            Some(samples) => Ok(Self { window, samples, counters }),
        }
    }

    /// Utilisation of every slice in percent, with the name of its kind: `cpr` for each of the compressing ones.
    fn slices(&self) -> impl Iterator<Item = (&str, u64)> {
        self.counters.iter().filter_map(|(name, percent)| {
            let slice = name.strip_prefix("util_")?;
            Some((slice.trim_end_matches(|c: char| c.is_ascii_digit()), *percent))
        })
    }
}

/// `name value`, or `name current least most average`, of which it takes the average.
fn parse_counter(line: &str) -> Option<(&str, u64)> {
    let mut words = line.split_whitespace();
    let name = words.next()?;
    let values: Vec<u64> = words.map(|word| word.parse().ok()).collect::<Option<_>>()?;
    match values[..] {
        [value] | [_, _, _, value] => Some((name, value)),
        _ => None,
    }
}

/// Share of the devices' capacity in use, 0 to 1: that of the kind of slice that is closest to its limit, which is what
/// bounds the work. The slices of a kind, over all devices, count together.
pub(crate) fn utilisation(devices: &[Telemetry]) -> Option<f64> {
    let mut kinds: BTreeMap<&str, (u64, u64)> = BTreeMap::new();
    for (kind, percent) in devices.iter().flat_map(Telemetry::slices) {
        let (sum, count) = kinds.entry(kind).or_default();
        // Beyond its capacity nothing is in use, whatever is said.
        *sum += percent.min(100);
        *count += 1;
    }
    let shares = kinds.into_values().map(|(sum, count)| sum as f64 / (100 * count) as f64);
    shares.max_by(f64::total_cmp)
}

/// Why counters of the kernel's driver are not known.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Unread {
    /// There is no such file.
    #[error(
        "not readable because there is no {}; check that debugfs is mounted, that the device is up, and that the kernel has \
         it (firmware counters: Linux 6.6; telemetry: 6.8, from generation 4 on)",
        path.display()
    )]
    Missing {
        /// The file.
        path: PathBuf,
    },

    /// The file is another user's.
    #[error("not readable because this process may not read {}, which is for root", path.display())]
    Denied {
        /// The file.
        path: PathBuf,
    },

    /// The file is there, and does not give its content.
    #[error("not readable because {} says: {reason}", path.display())]
    Failed {
        /// The file.
        path: PathBuf,
        /// What the system said.
        reason: Arc<str>,
    },

    /// The file's content is not what the kernel documents.
    #[error("not readable because {} has a line of another form: {line:?}", path.display())]
    Unknown {
        /// The file.
        path: PathBuf,
        /// The beginning of the line.
        line: Box<str>,
    },

    /// Nobody switched telemetry on.
    #[error(
        "telemetry is off; root switches it on by writing to {} over how many samples, 1 to 4, it is to be averaged",
        path.display()
    )]
    Off {
        /// The switch.
        path: PathBuf,
    },

    /// Telemetry was switched on just now.
    #[error("telemetry has no sample yet; there is one a second")]
    NoSample,
}

impl Unread {
    /// A short stable name of the reason, without its particulars.
    #[must_use]
    pub const fn kind(&self) -> &'static str {
        match self {
            Self::Missing { .. } => "missing",
            Self::Denied { .. } => "denied",
            Self::Failed { .. } => "failed",
            Self::Unknown { .. } => "unknown",
            Self::Off { .. } => "off",
            Self::NoSample => "no-sample",
        }
    }

    fn unknown(path: &Path, line: &str) -> Self {
        Self::Unknown { path: path.to_owned(), line: line.chars().take(80).collect() }
    }
}

impl Serialize for Unread {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut fields = serializer.serialize_struct("Unread", 2)?;
        fields.serialize_field("kind", self.kind())?;
        fields.serialize_field("message", &self.to_string())?;
        fields.end()
    }
}

/// The text of a file.
fn read(path: &Path) -> Result<String, Unread> {
    let mut bytes = Vec::new();
    File::open(path).and_then(|file| file.take(MAX_TEXT).read_to_end(&mut bytes)).map_err(|error| {
        let path = path.to_owned();
        match error.kind() {
            ErrorKind::NotFound => Unread::Missing { path },
            ErrorKind::PermissionDenied => Unread::Denied { path },
            _ => Unread::Failed { path, reason: error.to_string().into() },
        }
    })?;
    if bytes.len() as u64 == MAX_TEXT {
        return Err(Unread::Failed {
            path: path.to_owned(),
            reason: "more than a driver would write".into(),
        });
    }
    Ok(String::from_utf8_lossy(&bytes).into_owned())
}

#[cfg(all(test, target_os = "linux"))]
mod tests;
