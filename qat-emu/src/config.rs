//! The configuration of an emulated machine: devices, virtual functions, services, timing and faults.
//!
//! A [`Config`] is built in code or read from a scenario file in TOML:
//!
//! ```
//! let scenario = r#"
//!     engine_threads = 2
//!
//!     [[device]]
//!     model = "4xxx"
//!     numa_node = 0
//!     services = "sym;dc"
//!     vfs = 2
//!
//!     [timing]
//!     latency_us = 30
//!
//!     [[fault]]
//!     service = "dc"
//!     after = 10
//!     kind = "lost"
//! "#;
//! let config = qat_emu::Config::from_toml(scenario)?;
//! assert_eq!(config.devices[0].vfs, 2);
//! # Ok::<(), qat_emu::ConfigError>(())
//! ```

use std::{collections::BTreeSet, fmt, fs, path::Path, str::FromStr, time::Duration};

use serde::{Deserialize, Serialize};

use crate::{
    affinity,
    fault::{Fault, StartFaults},
    service::Service,
};

/// Limits the number of virtual functions of one emulated machine.
pub const MAX_VFS: usize = 128;

/// Describes an emulated machine.
///
/// The default is one 4xxx device with one virtual function that serves symmetric crypto and compression.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
#[non_exhaustive]
pub struct Config {
    /// Sets the number of threads that execute requests; the ring pairs are distributed over them in turn. With 0,
    /// requests are executed only in [`Emulator::serve`](crate::Emulator::serve), on the calling thread.
    pub engine_threads: usize,
    /// Names the only core that these threads run on; with `None` they run on any core. A program that is kept off this
    /// core loses no CPU time to the device, as with real hardware.
    pub engine_cpu: Option<usize>,
    /// Sets the highest version of the capability block that the mailbox offers: 2, 3 (the highest that libqat 24.02
    /// reads) or 4 (which 26.08 reads, and which lists each compression algorithm).
    pub capability_version: u8,
    /// Replaces the capability bits that follow from the services, to remove features; `None` keeps them.
    pub capabilities: Option<u32>,
    /// Seeds the random faults.
    pub seed: u64,
    /// Makes the physical functions visible too, as on a host; otherwise the program appears to run in a virtual
    /// machine. On a host there is a heartbeat, and libqat asks one virtual function of a device for the capabilities
    /// of all.
    pub host: bool,
    /// Sets the time that requests take.
    pub timing: Timing,
    /// Lists the physical functions, of which there is at least one.
    #[serde(rename = "device")]
    pub devices: Vec<Device>,
    /// Lists the faults of single requests and devices, in order of precedence.
    #[serde(rename = "fault")]
    pub faults: Vec<Fault>,
    /// Describes the faults that a program meets while it opens the devices.
    pub start: StartFaults,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            engine_threads: 1,
            engine_cpu: None,
            capability_version: 3,
            capabilities: None,
            seed: 0,
            host: false,
            timing: Timing::default(),
            devices: vec![Device::default()],
            faults: Vec::new(),
            start: StartFaults::default(),
        }
    }
}

impl Config {
    /// Creates one 4xxx device with `vfs` virtual functions that serve `services`.
    #[must_use]
    pub fn with_vfs(vfs: usize, services: Services) -> Self {
        Self { devices: vec![Device { vfs, services, ..Device::default() }], ..Self::default() }
    }

    /// Adds a fault.
    #[must_use]
    pub fn fault(mut self, fault: Fault) -> Self {
        self.faults.push(fault);
        self
    }

    /// Sets the timing.
    #[must_use]
    pub fn timing(mut self, timing: Timing) -> Self {
        self.timing = timing;
        self
    }

    /// Returns the NUMA nodes of the devices that this computer does not have, or that have no cores, sorted. Devices
    /// on these nodes report −1 instead: libqat 26.08 uses the node of a device as an unchecked index into a table of
    /// this computer's nodes, and divides by the number of cores that it finds there.
    #[must_use]
    pub fn absent_nodes(&self) -> Vec<i32> {
        let nodes: BTreeSet<i32> = self.devices.iter().map(|device| device.numa_node).collect();
        nodes.into_iter().filter(|node| *node >= 0 && !has_node(*node)).collect()
    }

    /// Parses a scenario.
    ///
    /// # Errors
    /// Returns [`ConfigError`] when the text is not TOML, contains an unknown key or describes an impossible machine.
    pub fn from_toml(text: &str) -> Result<Self, ConfigError> {
        let config: Self = toml::from_str(text).map_err(|e| ConfigError::Syntax(e.to_string()))?;
        config.validate()?;
        Ok(config)
    }

    /// Reads a scenario file.
    ///
    /// # Errors
    /// Returns the errors of [`from_toml`](Self::from_toml), and [`ConfigError::Read`] when the file cannot be read.
    pub fn from_file(path: &Path) -> Result<Self, ConfigError> {
        let text =
            fs::read_to_string(path).map_err(|source| ConfigError::Read { path: path.to_owned(), source })?;
        Self::from_toml(&text)
    }

    /// Returns the number of virtual functions over all devices.
    #[must_use]
    pub fn vf_count(&self) -> usize {
        self.devices.iter().map(|d| d.vfs).sum()
    }

    /// Checks that the machine is within the limits of the emulator.
    ///
    /// # Errors
    /// Returns [`ConfigError::Impossible`], which names the invalid field.
    pub fn validate(&self) -> Result<(), ConfigError> {
        let wrong = |what: String| Err(ConfigError::Impossible(what));
        if self.engine_threads > 64 {
            return wrong(format!("engine_threads is {}: use at most 64", self.engine_threads));
        }
        if let Some(cpu) = self.engine_cpu
            && let Err(error) = affinity::try_cpu(cpu)
        {
            return wrong(format!(
                "engine_cpu is {cpu}, but threads of this process may not run on that core: {error}"
            ));
        }
        if !(2..=4).contains(&self.capability_version) {
            return wrong(format!("capability_version is {}: use 2, 3 or 4", self.capability_version));
        }
        if self.vf_count() > MAX_VFS {
            return wrong(format!(
                "it has {} virtual functions in total: use at most {MAX_VFS}",
                self.vf_count()
            ));
        }
        if let Some(device) = self.devices.iter().find(|d| d.vfs > 64) {
            return wrong(format!("it has {} virtual functions on one device: use at most 64", device.vfs));
        }
        Ok(())
    }
}

/// Returns whether this computer has cores on a NUMA node. A kernel without NUMA support has one node, numbered 0.
fn has_node(node: i32) -> bool {
    let nodes = Path::new("/sys/devices/system/node");
    match fs::read_to_string(nodes.join(format!("node{node}/cpulist"))) {
        Ok(cores) => !cores.trim().is_empty(),
        Err(_) => node == 0 && !nodes.exists(),
    }
}

/// Describes one physical function with its virtual functions.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
#[non_exhaustive]
pub struct Device {
    /// Sets the product line, which determines the PCI device ids.
    pub model: Model,
    /// Sets the NUMA node that sysfs reports; −1 means none, and is also reported for [`Config::absent_nodes`].
    pub numa_node: i32,
    /// Sets the services of its virtual functions.
    pub services: Services,
    /// Sets the number of its virtual functions, 0 to 64.
    pub vfs: usize,
}

impl Default for Device {
    fn default() -> Self {
        Self { model: Model::default(), numa_node: 0, services: Services::SYM_DC, vfs: 1 }
    }
}

impl Device {
    /// Creates a 4xxx device on node `numa_node` with `vfs` virtual functions that serve `services`.
    #[must_use]
    pub fn new(vfs: usize, services: Services, numa_node: i32) -> Self {
        Self { vfs, services, numa_node, ..Self::default() }
    }
}

/// Identifies a product line of the fourth generation.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[non_exhaustive]
pub enum Model {
    /// This is the 4xxx device of Sapphire Rapids.
    #[default]
    #[serde(rename = "4xxx")]
    Gen4xxx,
    /// This is the 401xx device of Emerald Rapids.
    #[serde(rename = "401xx")]
    Gen401xx,
    /// This is the 402xx device.
    #[serde(rename = "402xx")]
    Gen402xx,
    /// This is the 420xx device.
    #[serde(rename = "420xx")]
    Gen420xx,
}

impl Model {
    /// Returns the PCI device id of its virtual functions; the vendor id is 0x8086.
    #[must_use]
    pub fn vf_device_id(self) -> u16 {
        match self {
            Self::Gen4xxx => 0x4941,
            Self::Gen401xx => 0x4943,
            Self::Gen402xx => 0x4945,
            Self::Gen420xx => 0x4947,
        }
    }

    /// Returns the PCI device id of its physical functions, which precedes that of the virtual functions.
    #[must_use]
    pub fn pf_device_id(self) -> u16 {
        self.vf_device_id() - 1
    }

    /// Returns the name that the kernel's driver uses in its debugfs directory.
    #[must_use]
    pub fn driver_name(self) -> &'static str {
        match self {
            Self::Gen420xx => "420xx",
            _ => "4xxx",
        }
    }
}

impl FromStr for Model {
    type Err = ConfigError;

    fn from_str(text: &str) -> Result<Self, ConfigError> {
        match text {
            "4xxx" => Ok(Self::Gen4xxx),
            "401xx" => Ok(Self::Gen401xx),
            "402xx" => Ok(Self::Gen402xx),
            "420xx" => Ok(Self::Gen420xx),
            _ => Err(ConfigError::Impossible(format!(
                "the model `{text}` is unknown: use 4xxx, 401xx, 402xx or 420xx"
            ))),
        }
    }
}

/// Lists the services of a virtual function: one service, or two that share its four ring pairs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Services {
    compression: bool,
    symmetric: bool,
    asymmetric: bool,
    chaining: bool,
}

impl Services {
    const NONE: Self = Self { compression: false, symmetric: false, asymmetric: false, chaining: false };
    /// Serves compression on all four ring pairs.
    pub const DC: Self = Self { compression: true, ..Self::NONE };
    /// Serves compression on all four ring pairs, and hashing in the same request as compression ("dcc").
    pub const DCC: Self = Self { compression: true, chaining: true, ..Self::NONE };
    /// Serves symmetric cryptography on all four ring pairs.
    pub const SYM: Self = Self { symmetric: true, ..Self::NONE };
    /// Serves public-key cryptography on all four ring pairs.
    pub const ASYM: Self = Self { asymmetric: true, ..Self::NONE };
    /// Serves compression on two ring pairs and symmetric cryptography on two.
    pub const SYM_DC: Self = Self { compression: true, symmetric: true, ..Self::NONE };
    /// Serves compression on two ring pairs and public-key cryptography on two.
    pub const ASYM_DC: Self = Self { compression: true, asymmetric: true, ..Self::NONE };
    /// Serves public-key cryptography on two ring pairs and symmetric cryptography on two.
    pub const ASYM_SYM: Self = Self { symmetric: true, asymmetric: true, ..Self::NONE };

    /// Returns whether compression requests may also hash.
    #[must_use]
    pub fn chaining(self) -> bool {
        self.chaining
    }

    /// Returns the service of each of the four ring pairs.
    #[must_use]
    pub fn ring_pairs(self) -> [Service; 4] {
        use Service::{Asymmetric as A, Compression as C, Symmetric as S};
        match (self.compression, self.asymmetric, self.symmetric) {
            (true, false, false) => [C, C, C, C],
            (true, false, true) => [C, S, C, S],
            (true, true, _) => [C, A, C, A],
            (false, true, true) => [A, S, A, S],
            (false, true, false) => [A, A, A, A],
            (false, false, _) => [S, S, S, S],
        }
    }
}

impl FromStr for Services {
    type Err = ConfigError;

    fn from_str(text: &str) -> Result<Self, ConfigError> {
        if text.trim() == "dcc" {
            return Ok(Self::DCC);
        }
        let mut services = Self::NONE;
        for name in text.split([';', ',']) {
            match name.trim() {
                "dc" => services.compression = true,
                "sym" => services.symmetric = true,
                "asym" => services.asymmetric = true,
                _ => {
                    return Err(ConfigError::Impossible(format!(
                        "the service `{name}` in `{text}` is unknown: use dcc alone, or one or two of dc, sym and asym \
                         joined by `;`"
                    )));
                }
            }
        }
        if services.compression && services.symmetric && services.asymmetric {
            return Err(ConfigError::Impossible(format!(
                "the services `{text}` are three: a virtual function of this generation serves at most two"
            )));
        }
        Ok(services)
    }
}

impl TryFrom<String> for Services {
    type Error = ConfigError;

    fn try_from(text: String) -> Result<Self, ConfigError> {
        text.parse()
    }
}

impl From<Services> for String {
    fn from(services: Services) -> Self {
        services.to_string()
    }
}

impl fmt::Display for Services {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let compression = if self.chaining { "dcc" } else { "dc" };
        let names = [(self.asymmetric, "asym"), (self.symmetric, "sym"), (self.compression, compression)];
        let mut first = true;
        for (_, name) in names.iter().filter(|(on, _)| *on) {
            f.write_str(if first { "" } else { ";" })?;
            f.write_str(name)?;
            first = false;
        }
        Ok(())
    }
}

/// Determines the time that requests take.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
#[non_exhaustive]
pub struct Timing {
    /// Sets the time between fetching a request and its response on an otherwise idle device, in microseconds.
    pub latency_us: u64,
    /// Sets the bytes that one engine reads per second; 0 means no limit.
    pub bytes_per_second: u64,
    /// Sets the number of engines of a device, which the virtual functions share. Each request occupies one engine for
    /// as long as its bytes take. 0 counts as 1.
    pub engines: usize,
    /// Skips the computation: deflate stores its input, ciphers and public-key arithmetic do nothing.
    pub null: bool,
}

impl Timing {
    /// Creates a timing with a fixed latency.
    #[must_use]
    pub fn latency(latency: Duration) -> Self {
        Self { latency_us: u64::try_from(latency.as_micros()).unwrap_or(u64::MAX), ..Self::default() }
    }

    /// Creates a timing with `engines` engines, each of which reads `bytes_per_second`.
    #[must_use]
    pub fn bandwidth(bytes_per_second: u64, engines: usize) -> Self {
        Self { bytes_per_second, engines, ..Self::default() }
    }

    /// Creates the timing of the null device, which skips the computation.
    #[must_use]
    pub fn null() -> Self {
        Self { null: true, ..Self::default() }
    }
}

/// Explains why a machine cannot be emulated as described.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ConfigError {
    /// The scenario file cannot be read.
    #[error("cannot read the scenario {path}: {source}", path = path.display())]
    Read {
        /// Is the path of the scenario file.
        path: std::path::PathBuf,
        /// Is the error of the operating system.
        source: std::io::Error,
    },
    /// The scenario is not valid TOML or contains an unknown key.
    #[error("the scenario is invalid: {0}")]
    Syntax(String),
    /// A value is out of range.
    #[error("this machine cannot be emulated: {0}")]
    Impossible(String),
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn services_read_what_the_kernel_writes() {
        for text in ["dc", "dcc", "sym", "asym", "sym;dc", "asym;dc", "asym;sym"] {
            assert_eq!(text.parse::<Services>().unwrap().to_string(), text);
        }
        assert!("sym;asym;dc".parse::<Services>().is_err());
        assert!("sym;dcc".parse::<Services>().is_err());
        assert!("".parse::<Services>().is_err());
        assert_eq!("dc;sym".parse::<Services>().unwrap(), Services::SYM_DC);
    }

    #[test]
    fn unknown_keys_are_refused() {
        assert!(Config::from_toml("engine_thread = 3").is_err());
        assert!(Config::from_toml("engine_threads = 65").is_err());
        assert!(Config::from_toml("engine_cpu = 1000000").is_err());
        assert!(Config::from_toml("[[fault]]\nkind = \"lost\"\nafer = 3").is_err());
        assert!(Config::from_toml("[[fault]]\nkind = \"late\"").is_err());
        assert_eq!(Config::from_toml("").unwrap(), Config::default());
    }
}
