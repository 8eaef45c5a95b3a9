//! Names of checksums and digests. Engines in other crates compute them.

/// Names a checksum, which detects accidents and not attackers.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Checksum {
    /// CRC-32 of gzip and zip (RFC 1952, section 8), 4 bytes.
    Crc32,
    /// Adler-32 of zlib (RFC 1950, section 8), 4 bytes.
    Adler32,
    /// xxHash, 32 bits, seed 0, 4 bytes.
    XxHash32,
    /// xxHash, 64 bits, seed 0, 8 bytes.
    XxHash64,
}

/// Names a cryptographic digest of the families SHA-2 (FIPS 180-4) and SHA-3 (FIPS 202).
///
/// # Examples
/// ```
/// use accel_core::Digest;
/// assert_eq!((Digest::Sha256.len(), Digest::Sha256.block_len()), (32, 64));
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Digest {
    /// SHA-224, 28 bytes.
    Sha224,
    /// SHA-256, 32 bytes.
    Sha256,
    /// SHA-384, 48 bytes.
    Sha384,
    /// SHA-512, 64 bytes.
    Sha512,
    /// SHA3-256, 32 bytes.
    Sha3_256,
    /// SHA3-384, 48 bytes.
    Sha3_384,
    /// SHA3-512, 64 bytes.
    Sha3_512,
}

impl Digest {
    /// All digests, in the order of their declaration.
    pub const ALL: [Self; 7] = [
        Self::Sha224,
        Self::Sha256,
        Self::Sha384,
        Self::Sha512,
        Self::Sha3_256,
        Self::Sha3_384,
        Self::Sha3_512,
    ];

    /// Returns the length of the digest in bytes.
    #[must_use]
    pub const fn len(self) -> usize {
        match self {
            Self::Sha224 => 28,
            Self::Sha256 | Self::Sha3_256 => 32,
            Self::Sha384 | Self::Sha3_384 => 48,
            Self::Sha512 | Self::Sha3_512 => 64,
        }
    }

    /// Returns the length in bytes of the block that the digest works on, for SHA-3 its rate. A key of an HMAC that is longer
    /// is hashed first (RFC 2104; FIPS 202, table 3).
    #[must_use]
    pub const fn block_len(self) -> usize {
        match self {
            Self::Sha224 | Self::Sha256 => 64,
            Self::Sha384 | Self::Sha512 => 128,
            Self::Sha3_256 => 136,
            Self::Sha3_384 => 104,
            Self::Sha3_512 => 72,
        }
    }

    /// Returns `false`, because every digest has bytes; it stands beside [`len`](Self::len) by convention.
    #[must_use]
    pub const fn is_empty(self) -> bool {
        false
    }
}
