//! What every test binary shares: the engines under test and data to put through them.
#![allow(dead_code, reason = "each test binary uses its part")]

pub(crate) mod python;
pub(crate) mod readers;
pub(crate) mod rules;
pub(crate) mod tool;

use std::fmt::Debug;
use std::num::NonZeroUsize;
use std::ops::RangeInclusive;
use std::sync::Arc;

use accel_core::{
    Checksum, Cipher, CipherOptions, CompressionAccelerator, DecompressOptions, Digest,
    EncryptionAccelerator, Error, ExecutedOn, Format, Key, Level, SoftwareReason,
};
use qat::stream::{Engine, Settings};
use qat::{AutoAccelerator, Policy, QatAccelerator, SoftwareAccelerator};

/// One engine under test, and what it promises.
pub(crate) struct Subject {
    pub(crate) compression: Arc<dyn CompressionAccelerator>,
    pub(crate) encryption: Arc<dyn EncryptionAccelerator>,
    pub(crate) engine: Engine,
    /// Formats that it compresses to and decompresses; all of what it lists must work.
    pub(crate) formats: &'static [Format],
    /// The same and those that it compresses to only.
    pub(crate) packs: &'static [Format],
    /// Most plain bytes of one call.
    pub(crate) largest: fn(Format) -> usize,
    /// Checksums and digests as operations of their own, and ciphers.
    pub(crate) checksums: &'static [Checksum],
    pub(crate) digests: &'static [Digest],
    pub(crate) ciphers: &'static [Cipher],
    /// Whether it takes a message of this cipher with so much text and associated data; others are `Unsupported`.
    pub(crate) takes: fn(Cipher, usize, usize) -> bool,
    /// Its integer levels.
    pub(crate) levels: fn(Format) -> RangeInclusive<u8>,
    /// Whether a piece of work may have run there.
    pub(crate) may_run_on: fn(ExecutedOn) -> bool,
}

impl Subject {
    /// Decompresses what it compressed: itself, or by the CPU engine where it only compresses.
    #[track_caller]
    pub(crate) fn unpack(&self, packed: &[u8], format: Format) -> Vec<u8> {
        let options = DecompressOptions::new(format);
        if !self.formats.contains(&format) {
            return SoftwareAccelerator::new().decompress(packed, &options).unwrap().0;
        }
        let (plain, outcome) = self.compression.decompress(packed, &options).unwrap();
        assert_eq!((outcome.bytes_in, outcome.bytes_out), (packed.len(), plain.len()));
        assert!((self.may_run_on)(outcome.path), "ran on {}", outcome.path);
        plain
    }

    /// Whether it takes such a message. If not, it must say so, both ways.
    #[track_caller]
    pub(crate) fn takes(&self, key: &Key, plain: &[u8], options: &CipherOptions<'_>) -> bool {
        if !options.cipher.plaintext_lens().contains(&plain.len()) {
            self.refuses_len(key, plain, options);
            return false;
        }
        if (self.takes)(options.cipher, plain.len(), options.aad.len()) {
            return true;
        }
        let error = self.encryption.encrypt(key, plain, options).unwrap_err();
        assert!(matches!(error, Error::Unsupported { .. }), "{error}");
        let (sealed, _) = SoftwareAccelerator::new().encrypt(key, plain, options).unwrap();
        let error = self.encryption.decrypt(key, &sealed, options).unwrap_err();
        assert!(matches!(error, Error::Unsupported { .. }), "{error}");
        false
    }
}

impl Subject {
    /// A length that the cipher does not have is the caller's mistake when encrypting, and not authentic when decrypting.
    #[track_caller]
    fn refuses_len(&self, key: &Key, text: &[u8], options: &CipherOptions<'_>) {
        let error = self.encryption.encrypt(key, text, options).unwrap_err();
        assert!(matches!(error, Error::InvalidArgument { argument: "plaintext", .. }), "{error}");
        let sealed = vec![0; options.cipher.ciphertext_len(text.len())];
        let error = self.encryption.decrypt(key, &sealed, options).unwrap_err();
        assert!(matches!(error, Error::Authentication { .. }), "{error}");
    }
}

/// The CPU engine.
pub(crate) fn software() -> Subject {
    let software = SoftwareAccelerator::new();
    Subject {
        engine: Engine::software(&software),
        compression: Arc::new(software.clone()),
        encryption: Arc::new(software),
        formats: &FORMATS,
        packs: &FORMATS,
        largest: |_| usize::MAX,
        checksums: &CHECKSUMS,
        digests: &Digest::ALL,
        ciphers: &Cipher::ALL,
        takes: |_, _, _| true,
        levels: integer_levels,
        may_run_on: |path| path == ExecutedOn::Software(SoftwareReason::Chosen),
    }
}

/// Hardware where it works, else the CPU: on a machine without a device everything runs there, and says why.
pub(crate) fn auto() -> Subject {
    let auto = AutoAccelerator::new(QatAccelerator::default(), Policy::Auto);
    Subject {
        engine: Engine::auto(&auto),
        compression: Arc::new(auto.clone()),
        encryption: Arc::new(auto),
        formats: &FORMATS,
        packs: &FORMATS,
        largest: |_| usize::MAX,
        checksums: &CHECKSUMS,
        digests: &Digest::ALL,
        ciphers: &Cipher::ALL,
        takes: |_, _, _| true,
        levels: integer_levels,
        may_run_on: |path| path != ExecutedOn::Software(SoftwareReason::Chosen),
    }
}

pub(crate) const FORMATS: [Format; 6] =
    [Format::Deflate, Format::Zlib, Format::Gzip, Format::Lz4Block, Format::Lz4Frame, Format::Zstd];

pub(crate) const CHECKSUMS: [Checksum; 4] =
    [Checksum::Crc32, Checksum::Adler32, Checksum::XxHash32, Checksum::XxHash64];

/// Formats that have a stream form.
pub(crate) fn stream_formats(subject: &Subject) -> impl Iterator<Item = Format> {
    subject.formats.iter().copied().filter(|format| *format != Format::Lz4Block)
}

/// Formats that have a stream form, and those that it only compresses to.
pub(crate) fn packed_stream_formats(subject: &Subject) -> impl Iterator<Item = Format> {
    subject.packs.iter().copied().filter(|format| *format != Format::Lz4Block)
}

/// Integer levels of a format, as the engine's documentation lists them.
pub(crate) fn integer_levels(format: Format) -> RangeInclusive<u8> {
    match format {
        Format::Lz4Block | Format::Lz4Frame => 1..=12,
        Format::Zstd => 1..=22,
        _ => 0..=12,
    }
}

pub(crate) const NAMED_LEVELS: [Level; 3] = [Level::Fast, Level::Balanced, Level::Best];

/// The sizes of the issue: nothing, one byte, small, around 64 KiB, a MiB, several MiB.
pub(crate) const SIZES: [usize; 8] = [0, 1, 13, 65_535, 65_536, 65_537, 1 << 20, (3 << 20) + 7];

pub(crate) fn settings(threads: usize) -> Settings {
    Settings::default().threads(NonZeroUsize::new(threads).expect("at least one thread"))
}

/// A key of the longest length that `cipher` takes, with a MAC key where it needs one.
pub(crate) fn key(cipher: Cipher) -> Key {
    let bytes: Vec<u8> = (0..).take(*cipher.key_lens().last().unwrap()).collect();
    match cipher {
        Cipher::AesCbcHmacSha256 => Key::with_mac(&bytes, &noise(32)),
        _ => Key::new(&bytes),
    }
}

/// Bytes without any pattern (xorshift64*).
pub(crate) fn noise(len: usize) -> Vec<u8> {
    let mut state = 0x9E37_79B9_7F4A_7C15_u64;
    let mut out = Vec::with_capacity(len + 8);
    while out.len() < len {
        state ^= state >> 12;
        state ^= state << 25;
        state ^= state >> 27;
        out.extend_from_slice(&state.wrapping_mul(0x2545_F491_4F6C_DD1D).to_le_bytes());
    }
    out.truncate(len);
    out
}

/// Words in no particular order.
pub(crate) fn text(len: usize) -> Vec<u8> {
    const WORDS: [&str; 16] = [
        "accelerator ",
        "queue ",
        "of ",
        "the ",
        "device ",
        "ring ",
        "and ",
        "buffer ",
        "is ",
        "not ",
        "whole, ",
        "descriptor ",
        "a ",
        "between ",
        "request\n",
        "answers. ",
    ];
    let mut out = Vec::with_capacity(len + 16);
    for byte in noise(len / 4 + 1) {
        out.extend_from_slice(WORDS[usize::from(byte >> 4)].as_bytes());
    }
    out.truncate(len);
    out
}

/// The kinds of content of the issue, by name.
pub(crate) fn contents(len: usize) -> [(&'static str, Vec<u8>); 4] {
    let mut sparse = vec![0; len];
    for (i, byte) in noise(len / 4096 + 1).into_iter().enumerate() {
        if let Some(place) = sparse.get_mut(i * 4096 + usize::from(byte)) {
            *place = byte;
        }
    }
    let compressible = b"QuickAssist".iter().copied().cycle().take(len).collect();
    [("incompressible", noise(len)), ("compressible", compressible), ("sparse", sparse), ("text", text(len))]
}

/// `assert_eq` for long data: says where it differs instead of printing all of it.
#[track_caller]
pub(crate) fn same(actual: &[u8], expected: &[u8], what: impl Debug) {
    if actual != expected {
        let at = actual.iter().zip(expected).position(|(a, b)| a != b);
        panic!("{what:?}: {} bytes, expected {}, first difference at {at:?}", actual.len(), expected.len());
    }
}

/// Bytes of hexadecimal digits; white space is ignored.
pub(crate) fn hex(digits: &str) -> Vec<u8> {
    let digits: Vec<u8> = digits
        .chars()
        .filter(|c| !c.is_whitespace())
        .map(|c| c.to_digit(16).expect("a hexadecimal digit") as u8)
        .collect();
    assert!(digits.len().is_multiple_of(2), "an odd number of digits");
    digits.chunks_exact(2).map(|pair| pair[0] << 4 | pair[1]).collect()
}

pub(crate) fn to_hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}
