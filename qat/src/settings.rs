//! How the hardware is used.

use std::time::Duration;

/// How the hardware is used. The accelerator that starts libqat decides for the process; those that join it see its
/// settings.
///
/// # Examples
/// ```
/// use std::time::Duration;
///
/// let settings = qat::HardwareSettings::default().deadline(Duration::from_millis(500));
/// assert_eq!(settings.deadline, Duration::from_millis(500));
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub struct HardwareSettings {
    /// Longest time that the device may take for a request, and longest wait for room on it. Kept to about a second,
    /// and to two while a device is restarting.
    pub deadline: Duration,
    /// Most bytes of device memory for each NUMA node.
    pub memory: usize,
    /// Which codes deflate uses.
    pub huffman: Huffman,
    /// How far the device is believed.
    pub integrity: Integrity,
}

/// How far the device is believed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
#[non_exhaustive]
pub enum Integrity {
    /// Its checksums are taken as they are. Compress-and-verify is on all the same.
    Trust,
    /// Its checksums are compared with the CPU's where they are part of the output, or nothing else tells.
    #[default]
    Checksums,
    /// And what it read and wrote is compared with what is in memory: by libqat, which computes CRC-64s of input and
    /// output on the CPU for that. For deflate, zlib and gzip, where the library offers it
    /// ([`CompressionCapabilities::integrity_crcs`](crate::CompressionCapabilities::integrity_crcs)).
    EndToEnd,
}

impl Default for HardwareSettings {
    fn default() -> Self {
        Self {
            deadline: Duration::from_secs(5),
            memory: 256 << 20,
            huffman: Huffman::default(),
            integrity: Integrity::default(),
        }
    }
}

impl HardwareSettings {
    /// The same with another deadline.
    #[must_use]
    pub const fn deadline(mut self, deadline: Duration) -> Self {
        self.deadline = deadline;
        self
    }

    /// The same with another limit of device memory.
    #[must_use]
    pub const fn memory(mut self, bytes: usize) -> Self {
        self.memory = bytes;
        self
    }

    /// The same with other codes.
    #[must_use]
    pub const fn huffman(mut self, huffman: Huffman) -> Self {
        self.huffman = huffman;
        self
    }

    /// The same with other trust.
    #[must_use]
    pub const fn integrity(mut self, integrity: Integrity) -> Self {
        self.integrity = integrity;
        self
    }
}

/// Which codes deflate uses.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Hash)]
#[non_exhaustive]
pub enum Huffman {
    /// Made for the data: smaller output.
    #[default]
    Dynamic,
    /// RFC 1951's fixed codes: lower latency.
    Static,
}
