//! Counters that the kernel's driver keeps for a device, read from its debug files, which the kernel documents in
//! `Documentation/ABI/testing/debugfs-driver-qat` and `debugfs-driver-qat_telemetry`. Programs call
//! [`DeviceCounters::read`], and the statistics of the accelerator use the utilisation. This module only reads, and
//! never switches telemetry on.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{ErrorKind, Read};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use accel_core::DeviceId;
use serde::ser::{Serialize, SerializeStruct, Serializer};

use super::QatDevice;

/// The most bytes that are read from one file. The telemetry of the largest devices has about twenty thousand.
const MAX_TEXT: u64 = 64 << 10;

/// The counters that the kernel's driver keeps for one physical function, for all processes together, at the time of
/// reading.
///
/// # Examples
/// ```
/// use qat::probe::{DeviceCounters, QatProbe};
///
/// for device in QatProbe::new().devices()? {
///     match DeviceCounters::read(&device).map(|counters| counters.firmware.ok_or(counters.firmware_error)) {
///         Some(Ok(firmware)) => println!("{}: {} requests", device.id, firmware.requests()),
///         Some(Err(reason)) => println!("{}: {reason:?}", device.id),
///         None => println!("{}: no physical function with a driver", device.id),
///     }
/// }
/// # Ok::<(), qat::accel_core::Error>(())
/// ```
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize)]
#[non_exhaustive]
pub struct DeviceCounters {
    /// The PCI address of the function.
    pub device: DeviceId,
    /// The request and response counters of the firmware; `None` where they could not be read.
    pub firmware: Option<FirmwareCounters>,
    /// The reason why the firmware counters could not be read; `None` where they were.
    pub firmware_error: Option<CountersError>,
    /// The telemetry of the device; `None` where it is off or could not be read.
    pub telemetry: Option<Telemetry>,
    /// The reason why there is no telemetry; `None` where there is.
    pub telemetry_error: Option<CountersError>,
}

impl DeviceCounters {
    /// Reads the counters of a physical function that has a driver. Returns `None` for any other function.
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

/// The number of requests that the engines of a device received and of responses that they sent since the driver
/// started the device.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize)]
#[non_exhaustive]
pub struct FirmwareCounters {
    /// The counters of each engine. The engine that serves the driver itself is not included.
    pub engines: Vec<EngineCounters>,
}

/// The counters of one acceleration engine.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Serialize)]
#[non_exhaustive]
pub struct EngineCounters {
    /// The number of the engine.
    pub engine: u16,
    /// The number of requests that the engine received.
    pub requests: u64,
    /// The number of responses that the engine sent.
    pub responses: u64,
}

impl FirmwareCounters {
    fn read(directory: &Path) -> Result<Self, CountersError> {
        let path = directory.join("fw_counters");
        let text = read(&path)?;
        let unknown = |line: &str| CountersError::unknown(&path, line);
        let mut lines = text.lines();
        let title = lines.next().unwrap_or_default();
        if title.split_whitespace().ne(["AE", "Requests", "Responses"]) {
            return Err(unknown(title));
        }
        let engines = lines.map(|line| EngineCounters::parse(line).ok_or_else(|| unknown(line)));
        Ok(Self { engines: engines.collect::<Result<_, _>>()? })
    }

    /// Returns the number of requests of all engines.
    #[must_use]
    pub fn requests(&self) -> u64 {
        self.engines.iter().fold(0, |sum, engine| sum.saturating_add(engine.requests))
    }

    /// Returns the number of responses of all engines.
    #[must_use]
    pub fn responses(&self) -> u64 {
        self.engines.iter().fold(0, |sum, engine| sum.saturating_add(engine.responses))
    }
}

impl EngineCounters {
    /// Parses a line of the form `number: requests responses`.
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

/// The telemetry of a device: averages over the last `window` samples. The device takes one sample per second.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize)]
#[non_exhaustive]
pub struct Telemetry {
    /// The number of samples that are averaged, 1 to 4, as the administrator configured it.
    pub window: u8,
    /// The number of samples taken so far, at least 1.
    pub samples: u64,
    /// The counters by the kernel's names: latencies (`gp_lat_acc_avg`) in nanoseconds, bandwidths (`bw_in`) in Mbit/s,
    /// the utilisation of each slice (`util_cpr0`) in percent, and the number of its executions (`exec_cpr0`).
    pub counters: BTreeMap<String, u64>,
}

/// The counter that has only one value, without minimum, maximum and average.
const SAMPLES: &str = "sample_cnt";

impl Telemetry {
    pub(crate) fn read(directory: &Path) -> Result<Self, CountersError> {
        let path = directory.join("telemetry/control");
        let control = read(&path)?;
        let window = match control.trim().parse() {
            Ok(0) => return Err(CountersError::Off { path }),
            Ok(window @ 1..=4) => window,
            _ => return Err(CountersError::unknown(&path, &control)),
        };
        let path = directory.join("telemetry/device_data");
        let mut counters = BTreeMap::new();
        for line in read(&path)?.lines() {
            let (name, value) = parse_counter(line).ok_or_else(|| CountersError::unknown(&path, line))?;
            counters.insert(name.to_owned(), value);
        }
        match counters.remove(SAMPLES) {
            None => Err(CountersError::unknown(&path, "")),
            Some(0) => Err(CountersError::NoSample),
            Some(samples) => Ok(Self { window, samples, counters }),
        }
    }

    /// Returns the utilisation of every slice in percent, with the name of its kind, such as `cpr` for compression.
    fn slices(&self) -> impl Iterator<Item = (&str, u64)> {
        self.counters.iter().filter_map(|(name, percent)| {
            let slice = name.strip_prefix("util_")?;
            Some((slice.trim_end_matches(|c: char| c.is_ascii_digit()), *percent))
        })
    }
}

/// Parses a line of the form `name value`, or of the form `name current minimum maximum average`, from which it returns
/// the average.
fn parse_counter(line: &str) -> Option<(&str, u64)> {
    let mut words = line.split_whitespace();
    let name = words.next()?;
    let values: Vec<u64> = words.map(|word| word.parse().ok()).collect::<Option<_>>()?;
    match values[..] {
        [value] | [_, _, _, value] => Some((name, value)),
        _ => None,
    }
}

/// Returns the share of the devices' capacity in use, 0 to 1. It is that of the kind of slice with the highest
/// utilisation, because that kind limits the throughput. The slices of one kind are averaged over all devices.
pub(crate) fn utilisation(devices: &[Telemetry]) -> Option<f64> {
    let mut kinds: BTreeMap<&str, (u64, u64)> = BTreeMap::new();
    for (kind, percent) in devices.iter().flat_map(Telemetry::slices) {
        let (sum, count) = kinds.entry(kind).or_default();
        // A value above 100 % is limited, because the devices report such values although a slice cannot exceed its
        // capacity.
        *sum += percent.min(100);
        *count += 1;
    }
    let shares = kinds.into_values().map(|(sum, count)| sum as f64 / (100 * count) as f64);
    shares.max_by(f64::total_cmp)
}

/// The reason why counters of the kernel's driver could not be read.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum CountersError {
    /// The file does not exist.
    #[error(
        "cannot read {}: no such file; check that debugfs is mounted, that the device is up, and that the kernel \
         provides it (firmware counters: Linux 6.6; telemetry: Linux 6.8, devices of generation 4 or later)",
        path.display()
    )]
    Missing {
        /// The path of the file.
        path: PathBuf,
    },

    /// This process has no permission to read the file.
    #[error("cannot read {}: permission denied; only root may read it", path.display())]
    Denied {
        /// The path of the file.
        path: PathBuf,
    },

    /// The file exists, and reading it fails.
    #[error("cannot read {}: {reason}", path.display())]
    Failed {
        /// The path of the file.
        path: PathBuf,
        /// The error of the operating system.
        reason: Arc<str>,
    },

    /// The content of the file does not have the documented form.
    #[error("cannot read {}: unexpected line {line:?}", path.display())]
    Unknown {
        /// The path of the file.
        path: PathBuf,
        /// The first 80 characters of the line.
        line: Box<str>,
    },

    /// Telemetry is not switched on.
    #[error(
        "telemetry is off; to switch it on, write as root the number of samples to average, 1 to 4, to {}",
        path.display()
    )]
    Off {
        /// The path of the file that switches it on.
        path: PathBuf,
    },

    /// Telemetry was switched on less than a second ago.
    #[error("telemetry has no sample yet; the device takes one per second")]
    NoSample,
}

impl CountersError {
    /// Returns a short stable name of the reason, such as `missing`.
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

impl Serialize for CountersError {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut fields = serializer.serialize_struct("CountersError", 2)?;
        fields.serialize_field("kind", self.kind())?;
        fields.serialize_field("message", &self.to_string())?;
        fields.end()
    }
}

/// Returns the text of a file.
fn read(path: &Path) -> Result<String, CountersError> {
    let mut bytes = Vec::new();
    File::open(path).and_then(|file| file.take(MAX_TEXT).read_to_end(&mut bytes)).map_err(|error| {
        let path = path.to_owned();
        match error.kind() {
            ErrorKind::NotFound => CountersError::Missing { path },
            ErrorKind::PermissionDenied => CountersError::Denied { path },
            _ => CountersError::Failed { path, reason: error.to_string().into() },
        }
    })?;
    if bytes.len() as u64 == MAX_TEXT {
        return Err(CountersError::Failed {
            path: path.to_owned(),
            reason: "more than a driver would write".into(),
        });
    }
    Ok(String::from_utf8_lossy(&bytes).into_owned())
}

#[cfg(all(test, target_os = "linux"))]
mod tests;
