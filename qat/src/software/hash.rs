//! Checksums and digests on the CPU.

use accel_core::{Checksum, Digest, Error, Output, Result};
use aws_lc_rs::digest;

/// A checksum of `input`; 32-bit ones are zero-extended.
///
/// # Errors
/// [`Error::Unsupported`] for a checksum that a later `accel-core` names and this engine does not have.
pub fn checksum(checksum: Checksum, input: &[u8]) -> Result<u64> {
    Ok(match checksum {
        Checksum::Crc32 => libdeflater::crc32(input).into(),
        Checksum::Adler32 => libdeflater::adler32(input).into(),
        Checksum::XxHash32 => twox_hash::XxHash32::oneshot(0, input).into(),
        Checksum::XxHash64 => twox_hash::XxHash64::oneshot(0, input),
        _ => return Err(unknown("checksum")),
    })
}

/// Writes a checksum's value as a job does: in big-endian order, without leading zero bytes of the extension.
pub(super) fn write_checksum(kind: Checksum, input: &[u8], output: &mut Output<'_>) -> Result<()> {
    let value = checksum(kind, input)?.to_be_bytes();
    output.write(if kind == Checksum::XxHash64 { &value } else { &value[4..] })
}

/// A digest of `input`.
///
/// # Errors
/// As [`checksum`](checksum()).
pub fn digest(digest: Digest, input: &[u8]) -> Result<Vec<u8>> {
    Ok(digest::digest(algorithm(digest)?, input).as_ref().to_vec())
}

/// Writes a digest as a job does.
pub(super) fn write_digest(digest: Digest, input: &[u8], output: &mut Output<'_>) -> Result<()> {
    output.write(digest::digest(algorithm(digest)?, input).as_ref())
}

/// aws-lc's name of a digest.
pub(super) fn algorithm(digest: Digest) -> Result<&'static digest::Algorithm> {
    Ok(match digest {
        Digest::Sha224 => &digest::SHA224,
        Digest::Sha256 => &digest::SHA256,
        Digest::Sha384 => &digest::SHA384,
        Digest::Sha512 => &digest::SHA512,
        Digest::Sha3_256 => &digest::SHA3_256,
        Digest::Sha3_384 => &digest::SHA3_384,
        Digest::Sha3_512 => &digest::SHA3_512,
        _ => return Err(unknown("digest")),
    })
}

fn unknown(operation: &'static str) -> Error {
    Error::Unsupported {
        accelerator: crate::error::SOFTWARE,
        operation: operation.into(),
        remedy: "use one of those that software::checksum and software::digest list".into(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Check values: CRC-32 and Adler-32 of "123456789" and "Wikipedia" as their specifications and catalogues give
    /// them, xxHash of the empty input and of "abc" as its reference gives them, SHA-2 and SHA-3 of "abc" from NIST's examples.
    #[test]
    fn published_check_values() {
        let of = |kind, input: &[u8]| checksum(kind, input).unwrap();
        assert_eq!(of(Checksum::Crc32, b"123456789"), 0xCBF4_3926);
        assert_eq!(of(Checksum::Adler32, b"Wikipedia"), 0x11E6_0398);
        assert_eq!(of(Checksum::XxHash32, b""), 0x02CC_5D05);
        assert_eq!(of(Checksum::XxHash32, b"abc"), 0x32D1_53FF);
        assert_eq!(of(Checksum::XxHash64, b""), 0xEF46_DB37_51D8_E999);
        assert_eq!(of(Checksum::XxHash64, b"abc"), 0x44BC_2CF5_AD77_0999);
        let hex = |kind| -> String {
            let bytes = digest(kind, b"abc").unwrap();
            assert_eq!(bytes.len(), kind.len());
            bytes[..4].iter().map(|b| format!("{b:02x}")).collect()
        };
        assert_eq!(hex(Digest::Sha224), "23097d22");
        assert_eq!(hex(Digest::Sha256), "ba7816bf");
        assert_eq!(hex(Digest::Sha384), "cb00753f");
        assert_eq!(hex(Digest::Sha512), "ddaf35a1");
        assert_eq!(hex(Digest::Sha3_256), "3a985da7");
        assert_eq!(hex(Digest::Sha3_384), "ec014982");
        assert_eq!(hex(Digest::Sha3_512), "b751850b");
    }

    #[test]
    fn bytes_are_big_endian() {
        let bytes = |kind, input: &[u8]| {
            let mut output = Output::growing();
            write_checksum(kind, input, &mut output).unwrap();
            output.into_vec()
        };
        assert_eq!(bytes(Checksum::Crc32, b"123456789"), [0xCB, 0xF4, 0x39, 0x26]);
        assert_eq!(bytes(Checksum::XxHash64, b"").len(), 8);
    }
}
