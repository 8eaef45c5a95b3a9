//! Symmetric crypto through the library.

use std::{
    ffi::{c_int, c_void},
    ptr,
};

use super::{BufferList, Completion, DmaBuffer, Handle, Libqat, List, SUCCESS, Status, complete};

#[repr(C)]
#[derive(Debug, Clone, Copy)]
pub struct Cipher {
    pub algorithm: u32,
    pub key_bytes: u32,
    pub key: *const u8,
    pub direction: u32,
}

#[repr(C)]
#[derive(Debug, Clone, Copy)]
pub struct Hash {
    pub algorithm: u32,
    pub mode: u32,
    pub digest_bytes: u32,
    pub auth_key: *const u8,
    pub auth_key_bytes: u32,
    pub aad_bytes: u32,
    pub inner_prefix: *const u8,
    pub inner_prefix_bytes: u32,
    pub outer_algorithm: u32,
    pub outer_prefix: *const u8,
    pub outer_prefix_bytes: u32,
}

#[repr(C)]
#[derive(Debug, Clone, Copy)]
pub struct SessionSetup {
    pub priority: u32,
    pub operation: u32,
    pub cipher: Cipher,
    pub hash: Hash,
    pub order: u32,
    pub digest_appended: u32,
    pub verify_digest: u32,
    pub no_partials: u32,
}

#[repr(C)]
#[derive(Debug)]
pub struct Operation {
    pub session: *mut c_void,
    pub packet: u32,
    pub iv: *mut u8,
    pub iv_bytes: u32,
    pub cipher_offset: u32,
    pub cipher_bytes: u32,
    pub hash_offset: u32,
    pub hash_bytes: u32,
    pub digest: *mut u8,
    pub aad: *mut u8,
}

pub const AES_CBC: u32 = 4;
pub const AES_GCM: u32 = 7;
pub const HASH_AES_GCM: u32 = 9;
const CIPHER: u32 = 1;
const CHAINED: u32 = 3;
const AUTH: u32 = 2;

pub struct Session {
    library: &'static Libqat,
    instance: Handle,
    memory: DmaBuffer,
    meta_bytes: u32,
}

unsafe extern "C" fn done(
    tag: *mut c_void,
    status: Status,
    _: u32,
    _: *mut c_void,
    _: *mut BufferList,
    verified: c_int,
) {
    // A failed verification is a success with this flag clear.
    let status = if status == SUCCESS && verified == 0 { MISMATCH } else { status };
    // SAFETY: the tag of `Session::run`.
    unsafe { complete(tag, status) };
}

/// What [`Session::run`] returns when the digest did not match.
pub const MISMATCH: Status = 1000;

/// Parts of one message.
#[derive(Default)]
pub struct Message<'a> {
    pub iv: &'a [u8],
    pub aad: &'a [u8],
    pub text: &'a [u8],
    /// The tag to verify; its length when generating.
    pub tag: &'a [u8],
}

impl Session {
    /// AES-CBC, or AES-GCM with `aad_bytes` and `tag_bytes`.
    pub fn new(
        library: &'static Libqat,
        instance: Handle,
        encrypt: bool,
        key: &[u8],
        gcm: Option<(u32, u32)>,
    ) -> Self {
        let (aad_bytes, tag_bytes) = gcm.unwrap_or_default();
        let setup = SessionSetup {
            priority: 1,
            operation: if gcm.is_some() { CHAINED } else { CIPHER },
            cipher: Cipher {
                algorithm: if gcm.is_some() { AES_GCM } else { AES_CBC },
                key_bytes: u32::try_from(key.len()).unwrap(),
                key: key.as_ptr(),
                direction: if encrypt { 1 } else { 2 },
            },
            hash: Hash {
                algorithm: if gcm.is_some() { HASH_AES_GCM } else { 0 },
                mode: AUTH,
                digest_bytes: tag_bytes,
                auth_key: ptr::null(),
                auth_key_bytes: 0,
                aad_bytes,
                inner_prefix: ptr::null(),
                inner_prefix_bytes: 0,
                outer_algorithm: 0,
                outer_prefix: ptr::null(),
                outer_prefix_bytes: 0,
            },
            // Hash then cipher when decrypting.
            order: if encrypt { 2 } else { 1 },
            digest_appended: 0,
            verify_digest: u32::from(gcm.is_some() && !encrypt),
            no_partials: 1,
        };
        let (mut bytes, mut meta_bytes) = (0, 0);
        // SAFETY: a valid handle, setup and a place for the result.
        let status =
            unsafe { (library.cpaCySymSessionCtxGetSize)(instance, &raw const setup, &raw mut bytes) };
        assert_eq!(status, SUCCESS, "cpaCySymSessionCtxGetSize");
        // SAFETY: a valid handle and a place for the result.
        let status = unsafe { (library.cpaCyBufferListGetMetaSize)(instance, 1, &raw mut meta_bytes) };
        assert_eq!(status, SUCCESS, "cpaCyBufferListGetMetaSize");
        let memory = library.alloc(bytes as usize);
        // SAFETY: memory of the size that was asked for; the key is copied.
        let status = unsafe {
            (library.cpaCySymInitSession)(instance, done, &raw const setup, memory.as_ptr().cast())
        };
        assert_eq!(status, SUCCESS, "cpaCySymInitSession");
        Self { library, instance, memory, meta_bytes }
    }

    /// Runs one message; returns the callback's status (or [`MISMATCH`]), text and tag.
    pub fn run(&self, message: &Message<'_>) -> (Status, Vec<u8>, Vec<u8>) {
        let library = self.library;
        let iv = library.alloc_from(message.iv);
        // The library pads the additional data to whole blocks in place.
        let mut aad = library.alloc(message.aad.len().next_multiple_of(16).max(16));
        aad.bytes_mut()[..message.aad.len()].copy_from_slice(message.aad);
        let tag = library.alloc_from(message.tag);
        let text = library.alloc_from(message.text);
        let mut list = List::new(library, self.meta_bytes, &[&text]);
        let bytes = u32::try_from(message.text.len()).unwrap();
        let operation = Box::new(Operation {
            session: self.memory.as_ptr().cast(),
            packet: 1,
            iv: iv.as_ptr(),
            iv_bytes: u32::try_from(message.iv.len()).unwrap(),
            cipher_offset: 0,
            cipher_bytes: bytes,
            hash_offset: 0,
            hash_bytes: bytes,
            digest: tag.as_ptr(),
            aad: aad.as_ptr(),
        });
        let completion = Completion::new();
        let mut verified = 0;
        let list = list.as_mut_ptr();
        // SAFETY: everything named lives until the answer is waited for below.
        let status = unsafe {
            (library.cpaCySymPerformOp)(
                self.instance,
                completion.tag(),
                &raw const *operation,
                list,
                list,
                &raw mut verified,
            )
        };
        assert_eq!(status, SUCCESS, "cpaCySymPerformOp");
        let status = completion.wait(|| {
            // SAFETY: a valid handle.
            unsafe { (library.icp_sal_CyPollInstance)(self.instance, 0) }
        });
        (status, text.bytes().to_vec(), tag.bytes().to_vec())
    }

    pub fn remove(&self) -> Status {
        // SAFETY: initialised in `new`.
        unsafe { (self.library.cpaCySymRemoveSession)(self.instance, self.memory.as_ptr().cast()) }
    }
}
