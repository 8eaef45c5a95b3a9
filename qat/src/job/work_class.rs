//! Kinds of work that are measured apart, and what is believed of them before they are.

use std::fmt;

use accel_core::{AcceleratorTypes, Checksum, Cipher, Digest, Format, Job, Level};

/// What a request asks for, as far as it decides how long an engine takes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum WorkClass {
    Compress(Format, Level),
    Decompress(Format),
    Encrypt(Cipher),
    Decrypt(Cipher),
    Checksum(Checksum),
    Digest(Digest),
    Hmac(Digest),
}

/// Bytes that no cipher or digest needs more than some 10 µs for on a core with instructions for AES.
const SHORT: usize = 4096;

/// Rows per family in the model's table, with room for what the vocabulary may gain; later ones share the last.
const FAMILY: usize = 8;
/// Three named levels and the integers from 0 to 22; those above share the last.
const LEVELS: usize = 26;

impl WorkClass {
    /// Rows that a table over kinds needs.
    pub(crate) const COUNT: usize = FAMILY * (LEVELS + 6);

    /// The row of this kind, below [`COUNT`](Self::COUNT).
    pub(crate) const fn index(self) -> usize {
        const fn within(index: usize, count: usize) -> usize {
            if index < count { index } else { count - 1 }
        }
        let (family, member) = match self {
            Self::Compress(format, level) => {
                let level = match level {
                    Level::Fast => 0,
                    Level::Balanced => 1,
                    Level::Best => 2,
                    Level::Exact(level) => within(3 + level as usize, LEVELS),
                };
                (level, format as usize)
            }
            Self::Decompress(format) => (LEVELS, format as usize),
            Self::Encrypt(cipher) => (LEVELS + 1, cipher as usize),
            Self::Decrypt(cipher) => (LEVELS + 2, cipher as usize),
            Self::Checksum(checksum) => (LEVELS + 3, checksum as usize),
            Self::Digest(digest) => (LEVELS + 4, digest as usize),
            Self::Hmac(digest) => (LEVELS + 5, digest as usize),
        };
        family * FAMILY + within(member, FAMILY)
    }

    /// What a device must be able to work on for this.
    pub(crate) const fn types(self) -> AcceleratorTypes {
        match self {
            Self::Compress(..) | Self::Decompress(_) | Self::Checksum(_) => AcceleratorTypes::COMPRESSION,
            Self::Encrypt(_) | Self::Decrypt(_) | Self::Hmac(_) => AcceleratorTypes::ENCRYPTION,
            Self::Digest(_) => AcceleratorTypes::HASHING,
        }
    }

    /// Returns the class of a job; `None` for one that no engine here does.
    pub(crate) const fn of(job: &Job<'_>) -> Option<Self> {
        Some(match job {
            Job::Compress(options) => Self::Compress(options.format, options.level),
            Job::Decompress(options) => Self::Decompress(options.format),
            Job::Encrypt(_, options) => Self::Encrypt(options.cipher),
            Job::Decrypt(_, options) => Self::Decrypt(options.cipher),
            Job::Checksum(checksum) => Self::Checksum(*checksum),
            Job::Digest(digest) => Self::Digest(*digest),
            Job::Hmac(_, digest) => Self::Hmac(*digest),
            _ => return None,
        })
    }

    /// Whether work on `len` bytes takes less than the way to another thread and back: some microseconds, whatever the
    /// bytes. Of compressed bytes that cannot be said, nor of compression, whose levels differ by factors of hundreds.
    pub(crate) const fn is_short(self, len: usize) -> bool {
        match self {
            Self::Encrypt(_) | Self::Decrypt(_) | Self::Hmac(_) | Self::Digest(_) | Self::Checksum(_) => {
                len <= SHORT
            }
            Self::Compress(..) | Self::Decompress(_) => false,
        }
    }

    /// Nanoseconds that one core is believed to take for `len` bytes: today's server cores, to a factor of about three.
    pub(crate) fn cpu_prior(self, len: f32) -> f32 {
        let per_byte = match self {
            // Speeds fall about with the square of the level, in all formats.
            Self::Compress(_, level) => {
                let level = match level {
                    Level::Fast => 1.0,
                    Level::Balanced => 6.0,
                    Level::Best => 9.0,
                    Level::Exact(level) => f32::from(level),
                };
                2.0 + level * level / 4.0
            }
            Self::Decompress(_) => 2.0,
            Self::Encrypt(_) | Self::Decrypt(_) => 0.5,
            Self::Checksum(_) => 0.1,
            Self::Digest(_) | Self::Hmac(_) => 1.0,
        };
        300.0 + len * per_byte
    }

    /// Nanoseconds that an idle device is believed to take for `len` bytes: the way there and back, then 5 GB/s.
    pub(crate) fn device_prior(len: f32) -> f32 {
        40_000.0 + len * 0.2
    }
}

impl fmt::Display for WorkClass {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Compress(format, level) => write!(f, "compress {format}, level {level}"),
            Self::Decompress(format) => write!(f, "decompress {format}"),
            Self::Encrypt(cipher) => write!(f, "encrypt {cipher}"),
            Self::Decrypt(cipher) => write!(f, "decrypt {cipher}"),
            Self::Checksum(checksum) => write!(f, "checksum {checksum:?}"),
            Self::Digest(digest) => write!(f, "digest {digest:?}"),
            Self::Hmac(digest) => write!(f, "HMAC {digest:?}"),
        }
    }
}
