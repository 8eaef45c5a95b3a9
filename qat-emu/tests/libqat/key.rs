//! Key derivation calls of the library.

use std::ffi::c_void;

use super::{
    FlatBuffer, Status,
    pke::{Asym, FLAT_CALLBACK, Operands},
};

/// The structure of TLS; that of SSL 3.0 has a third buffer before the length.
#[repr(C)]
struct Tls {
    operation: u32,
    secret: FlatBuffer,
    seed: FlatBuffer,
    bytes: u32,
    label: FlatBuffer,
}

#[repr(C)]
struct Ssl {
    operation: u32,
    secret: FlatBuffer,
    seed: FlatBuffer,
    info: FlatBuffer,
    bytes: u32,
    label: FlatBuffer,
}

#[repr(C)]
struct Mgf {
    seed: FlatBuffer,
    bytes: u64,
    algorithm: u32,
}

#[repr(C)]
#[derive(Clone, Copy)]
struct Label {
    label: [u8; 78],
    bytes: u8,
    sublabels: u8,
}

#[repr(C)]
struct Hkdf {
    operation: u32,
    secret_bytes: u8,
    seed_bytes: u16,
    info_bytes: u16,
    label_count: u16,
    secret: [u8; 80],
    seed: [u8; 48],
    info: [u8; 80],
    labels: [Label; 4],
}

pub const MASTER_SECRET: u32 = 1;
pub const KEY_MATERIAL: u32 = 2;
pub const TLS_CLIENT_FINISHED: u32 = 3;
pub const TLS_USER_DEFINED: u32 = 5;
pub const SSL_USER_DEFINED: u32 = 3;

pub const EXTRACT: u32 = 12;
pub const EXPAND: u32 = 13;
pub const EXTRACT_EXPAND: u32 = 14;
pub const EXPAND_LABEL: u32 = 15;
pub const EXTRACT_EXPAND_LABEL: u32 = 16;

/// The cipher suites, each of which selects a hash.
pub const SUITE_SHA256: u32 = 1;
pub const SUITE_SHA384: u32 = 2;

/// The inputs of HKDF.
#[derive(Clone, Copy, Default)]
pub struct HkdfInput<'a> {
    pub secret: &'a [u8],
    pub seed: &'a [u8],
    pub info: &'a [u8],
    /// The HkdfLabel structures, each with the sublabels that are requested.
    pub labels: &'a [(&'a [u8], u8)],
}

fn filled<const N: usize>(bytes: &[u8]) -> [u8; N] {
    let mut array = [0; N];
    array[..bytes.len()].copy_from_slice(bytes);
    array
}

fn word(number: usize) -> u32 {
    u32::try_from(number).unwrap()
}

impl Asym {
    fn derive(
        self,
        bytes: usize,
        submit: impl FnOnce(*mut c_void, *mut FlatBuffer) -> Status,
    ) -> Result<Vec<u8>, Status> {
        let output = self.library.alloc(bytes);
        let mut result = output.flat();
        let result = &raw mut result;
        self.call(|tag| submit(tag, result))?;
        Ok(output.bytes().to_vec())
    }

    /// Derives a key by TLS 1.0 and 1.1 without a hash, or by TLS 1.2 with one.
    pub fn tls(
        self,
        operation: u32,
        hash: Option<u32>,
        [secret, seed, label]: [&[u8]; 3],
        bytes: usize,
    ) -> Result<Vec<u8>, Status> {
        let mut operands = Operands::new(self.library);
        let [secret, seed, label] = operands.put_all([secret, seed, label]);
        let data = Tls { operation, secret, seed, bytes: word(bytes), label };
        let data = (&raw const data).cast();
        let (library, instance) = (self.library, self.instance);
        self.derive(bytes, |tag, result| match hash {
            // SAFETY: libqat's headers require that everything in the request lives until its callback, for which
            // `call` waits.
            None => unsafe { (library.cpaCyKeyGenTls)(instance, FLAT_CALLBACK, tag, data, result) },
            // SAFETY: libqat's headers require that everything in the request lives until its callback, for which
            // `call` waits.
            Some(hash) => unsafe {
                (library.cpaCyKeyGenTls2)(instance, FLAT_CALLBACK, tag, data, hash, result)
            },
        })
    }

    pub fn ssl(
        self,
        operation: u32,
        [secret, seed, label]: [&[u8]; 3],
        bytes: usize,
    ) -> Result<Vec<u8>, Status> {
        let mut operands = Operands::new(self.library);
        let [secret, seed, label] = operands.put_all([secret, seed, label]);
        let info = operands.put(&[]);
        let data = Ssl { operation, secret, seed, info, bytes: word(bytes), label };
        let data = (&raw const data).cast();
        let (library, instance) = (self.library, self.instance);
        self.derive(bytes, |tag, result| {
            // SAFETY: libqat's headers require that everything in the request lives until its callback, for which
            // `call` waits.
            unsafe { (library.cpaCyKeyGenSsl)(instance, FLAT_CALLBACK, tag, data, result) }
        })
    }

    /// Computes MGF1 with SHA-1, or with another hash.
    pub fn mgf(self, hash: Option<u32>, seed: &[u8], bytes: usize) -> Result<Vec<u8>, Status> {
        let mut operands = Operands::new(self.library);
        let data = Mgf { seed: operands.put(seed), bytes: bytes as u64, algorithm: hash.unwrap_or(0) };
        let data = (&raw const data).cast();
        let library = self.library;
        let function = if hash.is_some() { library.cpaCyKeyGenMgfExt } else { library.cpaCyKeyGenMgf };
        let instance = self.instance;
        // SAFETY: libqat's headers require that everything in the request lives until its callback, for which `call`
        // waits.
        self.derive(bytes, |tag, result| unsafe { function(instance, FLAT_CALLBACK, tag, data, result) })
    }

    pub fn hkdf(
        self,
        operation: u32,
        suite: u32,
        input: &HkdfInput<'_>,
        bytes: usize,
    ) -> Result<Vec<u8>, Status> {
        let mut labels = [Label { label: [0; 78], bytes: 0, sublabels: 0 }; 4];
        for (place, (label, sublabels)) in labels.iter_mut().zip(input.labels) {
            *place = Label { label: filled(label), bytes: label.len() as u8, sublabels: *sublabels };
        }
        let data = Hkdf {
            operation,
            secret_bytes: input.secret.len() as u8,
            seed_bytes: input.seed.len() as u16,
            info_bytes: input.info.len() as u16,
            label_count: input.labels.len() as u16,
            secret: filled(input.secret),
            seed: filled(input.seed),
            info: filled(input.info),
            labels,
        };
        // The device reads this structure itself, so that it is in device memory.
        let place = self.library.alloc(size_of::<Hkdf>());
        // SAFETY: ptr::write requires memory of the structure's size and alignment: it was allocated with this size,
        // 64-byte aligned.
        unsafe { place.as_ptr().cast::<Hkdf>().write(data) };
        let (library, instance, data) = (self.library, self.instance, place.as_ptr().cast_const().cast());
        self.derive(bytes, |tag, result| {
            // SAFETY: libqat's headers require that everything in the request lives until its callback, for which
            // `call` waits.
            unsafe { (library.cpaCyKeyGenTls3)(instance, FLAT_CALLBACK, tag, data, suite, result) }
        })
    }
}
