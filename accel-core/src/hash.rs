//! Names of checksums and digests.

/// A checksum: detects accidents, not attackers.
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

/// A cryptographic digest of the SHA-2 family (FIPS 180-4).
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
}

impl Digest {
    /// Length of the digest in bytes.
    #[must_use]
    pub const fn len(self) -> usize {
        match self {
            Self::Sha224 => 28,
            Self::Sha256 => 32,
            Self::Sha384 => 48,
            Self::Sha512 => 64,
        }
    }

    /// Never true; a digest has bytes.
    #[must_use]
    pub const fn is_empty(self) -> bool {
        false
    }
}
