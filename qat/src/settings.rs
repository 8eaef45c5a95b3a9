//! The settings of the hardware: deadline, memory limit, Huffman codes and integrity checks. The caller creates them,
//! and the module `device` applies them.

use std::time::Duration;

/// The settings of the QAT hardware. The accelerator that starts libqat determines them for the process; accelerators
/// that join the started library use the same settings.
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
    /// The maximum time that the device may take for a request, and the maximum time that a request waits for a free
    /// place on the device. It is accurate to about a second, and to about two seconds while a device is restarting.
    pub deadline: Duration,
    /// The maximum device memory for each NUMA node, in bytes.
    pub memory: usize,
    /// The Huffman codes that deflate uses.
    pub huffman: Huffman,
    /// How the device's output is checked.
    pub integrity: Integrity,
}

/// How the device's output is checked.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
#[non_exhaustive]
pub enum Integrity {
    /// The device's checksums are used unchecked. The device still verifies its own compression (compress-and-verify).
    Trust,
    /// The device's checksums are compared with checksums computed on the CPU, where they are part of the output or
    /// where nothing else detects wrong output.
    #[default]
    Checksums,
    /// As [`Checksums`](Self::Checksums), and libqat compares what the device read and wrote with what is in memory,
    /// for which it computes CRC-64s of input and output on the CPU. This applies to deflate, zlib and gzip, where the
    /// library offers it ([`CompressionCapabilities::integrity_crcs`](crate::info::CompressionCapabilities::integrity_crcs)).
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
    /// Returns the settings with another deadline.
    #[must_use]
    pub const fn deadline(mut self, deadline: Duration) -> Self {
        self.deadline = deadline;
        self
    }

    /// Returns the settings with another limit of device memory, in bytes for each NUMA node.
    #[must_use]
    pub const fn memory(mut self, bytes: usize) -> Self {
        self.memory = bytes;
        self
    }

    /// Returns the settings with other Huffman codes.
    #[must_use]
    pub const fn huffman(mut self, huffman: Huffman) -> Self {
        self.huffman = huffman;
        self
    }

    /// Returns the settings with other integrity checks.
    #[must_use]
    pub const fn integrity(mut self, integrity: Integrity) -> Self {
        self.integrity = integrity;
        self
    }
}

/// The Huffman codes that deflate uses.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Hash)]
#[non_exhaustive]
pub enum Huffman {
    /// Codes computed for the data, for smaller output.
    #[default]
    Dynamic,
    /// The fixed codes of RFC 1951, for lower latency.
    Static,
}
