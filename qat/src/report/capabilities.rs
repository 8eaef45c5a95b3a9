//! The capabilities of the started library and its devices, converted from libqat's structures. Nothing here calls
//! libqat.

use accel_core::{Cipher, Digest};
use capability_registry::Feature;
use qat_sys as sys;
use serde::Serialize;

/// The capabilities of this process's instances, as libqat reports them. All are false for a service without instances.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct Capabilities {
    /// The capabilities of compression.
    pub compression: CompressionCapabilities,
    /// The capabilities of symmetric encryption, digests and HMAC.
    pub encryption: EncryptionCapabilities,
    /// The capabilities of public-key arithmetic.
    pub public_key: PublicKeyCapabilities,
}

/// The directions in which the device supports a format.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct Directions {
    /// Whether the device compresses to the format.
    pub compress: bool,
    /// Whether the device decompresses the format.
    pub decompress: bool,
}

impl Directions {
    const fn any(self) -> bool {
        self.compress || self.decompress
    }
}

/// The capabilities of compression, all of them for stateless requests.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct CompressionCapabilities {
    /// Whether deflate (RFC 1951) is supported.
    pub deflate: Directions,
    /// Whether LZ4 is supported.
    pub lz4: Directions,
    /// Whether LZ4s is supported, Intel's intermediate format from which software creates Zstandard.
    pub lz4s: Directions,
    /// Whether Zstandard (RFC 8878) is supported. Libraries before qatlib 25.08 do not report it.
    pub zstd: Directions,
    /// Whether deflate uses Huffman codes computed for the data.
    pub dynamic_huffman: bool,
    /// Whether the device computes the CRC-32 of the plain data.
    pub crc32: bool,
    /// Whether the device computes the Adler-32 of the plain data.
    pub adler32: bool,
    /// Whether the device computes the xxHash32 of the plain data.
    pub xxhash32: bool,
    /// Whether the device decompresses what it compressed, and compares the result with the input.
    pub compress_and_verify: bool,
    /// Whether the device emits stored blocks when that comparison fails.
    pub compress_and_verify_and_recover: bool,
    /// Whether the device computes CRCs of what it reads and writes, which are needed for
    /// [`Integrity::EndToEnd`](crate::Integrity::EndToEnd).
    pub integrity_crcs: bool,
}

/// The capabilities of symmetric encryption, digests and HMAC.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct EncryptionCapabilities {
    /// Whether AES-GCM is supported.
    pub aes_gcm: bool,
    /// Whether AES-CBC is supported.
    pub aes_cbc: bool,
    /// Whether AES-CBC with HMAC-SHA-256 is supported.
    pub aes_cbc_hmac_sha256: bool,
    /// Whether AES-CTR is supported.
    pub aes_ctr: bool,
    /// Whether ChaCha20-Poly1305 is supported.
    pub chacha20_poly1305: bool,
    /// Whether AES-XTS is supported.
    pub aes_xts: bool,
    /// Whether AES-CCM is supported.
    pub aes_ccm: bool,
    /// Whether SHA-224, SHA-256, SHA-384 and SHA-512 are supported.
    pub sha2: bool,
    /// Whether SHA3-256, SHA3-384 and SHA3-512 are supported.
    pub sha3: bool,
    /// Whether HMAC with the SHA-2 digests is supported.
    pub hmac_sha2: bool,
    /// Whether HMAC with the SHA-3 digests is supported.
    pub hmac_sha3: bool,
}

/// The capabilities of public-key arithmetic.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct PublicKeyCapabilities {
    /// Whether RSA is supported.
    pub rsa: bool,
    /// Whether Diffie-Hellman over prime fields is supported.
    pub dh: bool,
    /// Whether Diffie-Hellman over elliptic curves is supported.
    pub ecdh: bool,
    /// Whether signatures over elliptic curves are supported.
    pub ecdsa: bool,
}

impl EncryptionCapabilities {
    /// Returns whether the device offers `cipher`.
    #[must_use]
    pub const fn offers(&self, cipher: Cipher) -> bool {
        match cipher {
            Cipher::AesGcm => self.aes_gcm,
            Cipher::AesCbc => self.aes_cbc,
            Cipher::AesCbcHmacSha256 => self.aes_cbc_hmac_sha256,
            Cipher::AesCtr => self.aes_ctr,
            Cipher::ChaCha20Poly1305 => self.chacha20_poly1305,
            Cipher::AesXts => self.aes_xts,
            Cipher::AesCcm => self.aes_ccm,
            _ => false,
        }
    }

    /// Returns whether the device offers `digest`.
    #[must_use]
    pub const fn offers_digest(&self, digest: Digest) -> bool {
        match digest {
            Digest::Sha224 | Digest::Sha256 | Digest::Sha384 | Digest::Sha512 => self.sha2,
            Digest::Sha3_256 | Digest::Sha3_384 | Digest::Sha3_512 => self.sha3,
            _ => false,
        }
    }

    /// Returns whether the device offers HMAC with `digest`.
    #[must_use]
    pub const fn offers_hmac(&self, digest: Digest) -> bool {
        match digest {
            Digest::Sha224 | Digest::Sha256 | Digest::Sha384 | Digest::Sha512 => self.hmac_sha2,
            Digest::Sha3_256 | Digest::Sha3_384 | Digest::Sha3_512 => self.hmac_sha3,
            _ => false,
        }
    }

    /// Clears the capability of HMAC with the family of `digest`.
    pub(crate) const fn withdraw_hmac(&mut self, digest: Digest) {
        match digest {
            Digest::Sha256 | Digest::Sha384 | Digest::Sha512 => self.hmac_sha2 = false,
            Digest::Sha3_256 | Digest::Sha3_384 | Digest::Sha3_512 => self.hmac_sha3 = false,
            // No capability stands for it.
            _ => {}
        }
    }

    /// Clears the capability of `cipher`.
    pub(crate) const fn withdraw(&mut self, cipher: Cipher) {
        match cipher {
            Cipher::AesGcm => self.aes_gcm = false,
            Cipher::AesCbc => self.aes_cbc = false,
            Cipher::AesCbcHmacSha256 => self.aes_cbc_hmac_sha256 = false,
            Cipher::AesCtr => self.aes_ctr = false,
            Cipher::ChaCha20Poly1305 => self.chacha20_poly1305 = false,
            Cipher::AesXts => self.aes_xts = false,
            Cipher::AesCcm => self.aes_ccm = false,
            _ => {}
        }
    }
}

impl CompressionCapabilities {
    /// Returns the formats under their names in the capability registry, each with whether it is supported.
    pub(crate) fn features(&self) -> [(Feature, bool); 4] {
        [
            (Feature::from_static("qat.compression.deflate"), self.deflate.any()),
            (Feature::from_static("qat.compression.lz4"), self.lz4.any()),
            (Feature::from_static("qat.compression.lz4s"), self.lz4s.any()),
            (Feature::from_static("qat.compression.zstd"), self.zstd.any()),
        ]
    }
}

impl EncryptionCapabilities {
    /// Returns the ciphers and HMAC under their names in the capability registry, each with whether it is supported.
    pub(crate) fn features(&self) -> [(Feature, bool); 9] {
        [
            (Feature::from_static("qat.encryption.aes-gcm"), self.aes_gcm),
            (Feature::from_static("qat.encryption.aes-cbc"), self.aes_cbc),
            (Feature::from_static("qat.encryption.aes-cbc-hmac-sha-256"), self.aes_cbc_hmac_sha256),
            (Feature::from_static("qat.encryption.aes-ctr"), self.aes_ctr),
            (Feature::from_static("qat.encryption.chacha20-poly1305"), self.chacha20_poly1305),
            (Feature::from_static("qat.encryption.aes-xts"), self.aes_xts),
            (Feature::from_static("qat.encryption.aes-ccm"), self.aes_ccm),
            (Feature::from_static("qat.encryption.hmac-sha-2"), self.hmac_sha2),
            (Feature::from_static("qat.encryption.hmac-sha-3"), self.hmac_sha3),
        ]
    }
}

impl PublicKeyCapabilities {
    /// Returns the families under their names in the capability registry, each with whether it is supported.
    pub(crate) fn features(&self) -> [(Feature, bool); 4] {
        [
            (Feature::from_static("qat.public-key.rsa"), self.rsa),
            (Feature::from_static("qat.public-key.dh"), self.dh),
            (Feature::from_static("qat.public-key.ecdh"), self.ecdh),
            (Feature::from_static("qat.public-key.ecdsa"), self.ecdsa),
        ]
    }
}

impl From<&sys::CpaDcInstanceCapabilities> for CompressionCapabilities {
    fn from(raw: &sys::CpaDcInstanceCapabilities) -> Self {
        let both = |compress, decompress| Directions { compress: compress != 0, decompress: decompress != 0 };
        Self {
            deflate: both(raw.statelessDeflateCompression, raw.statelessDeflateDecompression),
            lz4: both(raw.statelessLZ4Compression, raw.statelessLZ4Decompression),
            lz4s: both(raw.statelessLZ4SCompression, 0),
            zstd: Directions::default(),
            dynamic_huffman: raw.dynamicHuffman != 0,
            crc32: raw.checksumCRC32 != 0,
            adler32: raw.checksumAdler32 != 0,
            xxhash32: raw.checksumXXHash32 != 0,
            compress_and_verify: raw.compressAndVerify != 0,
            compress_and_verify_and_recover: raw.compressAndVerifyAndRecover != 0,
            integrity_crcs: raw.integrityCrcs != 0 || raw.integrityCrcs64b != 0,
        }
    }
}

impl From<&sys::CpaCySymCapabilitiesInfo> for EncryptionCapabilities {
    fn from(raw: &sys::CpaCySymCapabilitiesInfo) -> Self {
        let cipher = |id| is_set(&raw.ciphers, id);
        let hash = |id| is_set(&raw.hashes, id);
        let aes_cbc = cipher(sys::CPA_CY_SYM_CIPHER_AES_CBC);
        let sha2 = hash(sys::CPA_CY_SYM_HASH_SHA256)
            && hash(sys::CPA_CY_SYM_HASH_SHA384)
            && hash(sys::CPA_CY_SYM_HASH_SHA512);
        let sha3 = hash(sys::CPA_CY_SYM_HASH_SHA3_256)
            && hash(sys::CPA_CY_SYM_HASH_SHA3_384)
            && hash(sys::CPA_CY_SYM_HASH_SHA3_512);
        Self {
            aes_gcm: cipher(sys::CPA_CY_SYM_CIPHER_AES_GCM) && hash(sys::CPA_CY_SYM_HASH_AES_GCM),
            aes_cbc,
            aes_cbc_hmac_sha256: aes_cbc && hash(sys::CPA_CY_SYM_HASH_SHA256),
            aes_ctr: cipher(sys::CPA_CY_SYM_CIPHER_AES_CTR),
            chacha20_poly1305: cipher(sys::CPA_CY_SYM_CIPHER_CHACHA) && hash(sys::CPA_CY_SYM_HASH_POLY),
            aes_xts: cipher(sys::CPA_CY_SYM_CIPHER_AES_XTS),
            aes_ccm: cipher(sys::CPA_CY_SYM_CIPHER_AES_CCM) && hash(sys::CPA_CY_SYM_HASH_AES_CCM),
            sha2,
            sha3,
            // libqat reports digests without their modes, so a digest counts as HMAC, too, until its trial fails.
            hmac_sha2: sha2,
            hmac_sha3: sha3,
        }
    }
}

impl From<&sys::CpaCyCapabilitiesInfo> for PublicKeyCapabilities {
    fn from(raw: &sys::CpaCyCapabilitiesInfo) -> Self {
        Self {
            rsa: raw.rsaSupported != 0,
            dh: raw.dhSupported != 0,
            ecdh: raw.ecdhSupported != 0,
            ecdsa: raw.ecdsaSupported != 0,
        }
    }
}

/// Returns whether `id` is set in a bitmap of `cpa_types.h`: bit `id % 32` of word `id / 32`.
fn is_set(bitmap: &[u32], id: u32) -> bool {
    bitmap.get(id as usize / 32).is_some_and(|word| word >> (id % 32) & 1 == 1)
}
