//! Symmetric calls of the library.

use std::{
    ffi::{c_int, c_void},
    ops::Range,
    ptr,
};

pub use super::MISMATCH;
use super::{BufferList, Completion, DmaBuffer, Handle, Libqat, List, SUCCESS, Status, complete, refused};

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

impl Operation {
    /// The operation that hashes a whole packet as part of a chain.
    pub fn hash(bytes: usize, digest: &DmaBuffer) -> Self {
        Self {
            session: ptr::null_mut(),
            packet: FULL,
            iv: ptr::null_mut(),
            iv_bytes: 0,
            cipher_offset: 0,
            cipher_bytes: 0,
            hash_offset: 0,
            hash_bytes: u32::try_from(bytes).unwrap(),
            digest: digest.as_ptr(),
            aad: ptr::null_mut(),
        }
    }
}

pub const NULL_CIPHER: u32 = 1;
pub const ARC4: u32 = 2;
pub const AES_ECB: u32 = 3;
pub const AES_CBC: u32 = 4;
pub const AES_CTR: u32 = 5;
pub const AES_CCM: u32 = 6;
pub const AES_GCM: u32 = 7;
pub const DES_ECB: u32 = 8;
pub const DES_CBC: u32 = 9;
pub const TRIPLE_DES_ECB: u32 = 10;
pub const TRIPLE_DES_CBC: u32 = 11;
pub const TRIPLE_DES_CTR: u32 = 12;
pub const AES_F8: u32 = 15;
pub const AES_XTS: u32 = 16;
pub const CHACHA: u32 = 18;
pub const SM4_CBC: u32 = 20;

pub const MD5: u32 = 1;
pub const SHA1: u32 = 2;
pub const SHA224: u32 = 3;
pub const SHA256: u32 = 4;
pub const SHA384: u32 = 5;
pub const SHA512: u32 = 6;
pub const XCBC: u32 = 7;
pub const HASH_CCM: u32 = 8;
pub const HASH_AES_GCM: u32 = 9;
pub const CMAC: u32 = 12;
pub const GMAC: u32 = 13;
pub const CBC_MAC: u32 = 14;
pub const SHA3_256: u32 = 16;
pub const SHA3_224: u32 = 17;
pub const SHA3_384: u32 = 18;
pub const SHA3_512: u32 = 19;
pub const POLY: u32 = 22;
pub const SM3: u32 = 23;

const CIPHER: u32 = 1;
const HASH: u32 = 2;
const CHAINED: u32 = 3;
const PLAIN: u32 = 1;
const AUTH: u32 = 2;
const NESTED: u32 = 3;
pub const HASH_THEN_CIPHER: u32 = 1;
pub const CIPHER_THEN_HASH: u32 = 2;
pub const FULL: u32 = 1;
pub const PARTIAL: u32 = 2;
pub const LAST_PARTIAL: u32 = 3;

impl Cipher {
    pub fn new(algorithm: u32, key: &[u8], encrypt: bool) -> Self {
        Self {
            algorithm,
            key_bytes: u32::try_from(key.len()).unwrap(),
            key: key.as_ptr(),
            direction: if encrypt { 1 } else { 2 },
        }
    }
}

impl Hash {
    fn new(algorithm: u32, mode: u32, digest_bytes: usize) -> Self {
        Self {
            algorithm,
            mode,
            digest_bytes: u32::try_from(digest_bytes).unwrap(),
            auth_key: ptr::null(),
            auth_key_bytes: 0,
            aad_bytes: 0,
            inner_prefix: ptr::null(),
            inner_prefix_bytes: 0,
            outer_algorithm: 0,
            outer_prefix: ptr::null(),
            outer_prefix_bytes: 0,
        }
    }

    pub fn plain(algorithm: u32, digest_bytes: usize) -> Self {
        Self::new(algorithm, PLAIN, digest_bytes)
    }

    pub fn auth(algorithm: u32, key: &[u8], aad_bytes: usize, digest_bytes: usize) -> Self {
        Self {
            auth_key: if key.is_empty() { ptr::null() } else { key.as_ptr() },
            auth_key_bytes: u32::try_from(key.len()).unwrap(),
            aad_bytes: u32::try_from(aad_bytes).unwrap(),
            ..Self::new(algorithm, AUTH, digest_bytes)
        }
    }

    /// The setup of a hash of `outer.1` and of the hash of `inner.1` and the data.
    pub fn nested(inner: (u32, &[u8]), outer: (u32, &[u8]), digest_bytes: usize) -> Self {
        Self {
            inner_prefix: inner.1.as_ptr(),
            inner_prefix_bytes: u32::try_from(inner.1.len()).unwrap(),
            outer_algorithm: outer.0,
            outer_prefix: outer.1.as_ptr(),
            outer_prefix_bytes: u32::try_from(outer.1.len()).unwrap(),
            ..Self::new(inner.0, NESTED, digest_bytes)
        }
    }
}

/// The keys and prefixes of a setup have to live until the session is initialised.
impl SessionSetup {
    fn new(operation: u32, cipher: Cipher, hash: Hash, order: u32) -> Self {
        Self {
            priority: 1,
            operation,
            cipher,
            hash,
            order,
            digest_appended: 0,
            verify_digest: 0,
            no_partials: 0,
        }
    }

    pub fn cipher(cipher: Cipher) -> Self {
        Self::new(CIPHER, cipher, Hash::new(0, AUTH, 0), CIPHER_THEN_HASH)
    }

    pub fn hash(hash: Hash) -> Self {
        Self::new(HASH, Cipher::new(0, &[], true), hash, CIPHER_THEN_HASH)
    }

    pub fn chain(cipher: Cipher, hash: Hash, order: u32) -> Self {
        Self::new(CHAINED, cipher, hash, order)
    }

    pub fn appended(self) -> Self {
        Self { digest_appended: 1, ..self }
    }

    pub fn verifying(self) -> Self {
        Self { verify_digest: 1, ..self }
    }

    pub fn without_partials(self) -> Self {
        Self { no_partials: 1, ..self }
    }
}

/// One call with a session.
#[derive(Clone)]
pub struct Packet<'a> {
    pub kind: u32,
    pub iv: &'a [u8],
    /// The length of the IV where the buffer is longer; `None` otherwise.
    pub iv_bytes: Option<usize>,
    pub aad: &'a [u8],
    pub text: &'a [u8],
    pub cipher: Range<usize>,
    pub hash: Range<usize>,
    /// The digest to verify, or a buffer of its length when generating.
    pub digest: &'a [u8],
    /// The number of flat buffers for the text.
    pub pieces: usize,
    pub in_place: bool,
}

impl<'a> Packet<'a> {
    /// A packet with all of `text` in one piece, in place.
    pub fn new(text: &'a [u8]) -> Self {
        Self {
            kind: FULL,
            iv: &[],
            iv_bytes: None,
            aad: &[],
            text,
            cipher: 0..text.len(),
            hash: 0..text.len(),
            digest: &[],
            pieces: 1,
            in_place: true,
        }
    }
}

/// The result of a packet.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PacketResult {
    /// The status of the callback, or [`MISMATCH`].
    pub status: Status,
    pub text: Vec<u8>,
    pub digest: Vec<u8>,
}

pub struct Session {
    library: &'static Libqat,
    instance: Handle,
    memory: DmaBuffer,
}

unsafe extern "C" fn done(
    tag: *mut c_void,
    status: Status,
    _: u32,
    _: *mut c_void,
    _: *mut BufferList,
    verified: c_int,
) {
    // The library reports a failed verification as success with this flag clear.
    let status = if status == SUCCESS && verified == 0 { MISMATCH } else { status };
    // SAFETY: `complete` requires the tag of a `Completion`: `Session::run` passed it, and waits for this callback.
    unsafe { complete(tag, status) };
}

/// The parts of one message.
#[derive(Default)]
pub struct Message<'a> {
    pub iv: &'a [u8],
    pub aad: &'a [u8],
    pub text: &'a [u8],
    /// The tag to verify, or a buffer of its length when generating.
    pub tag: &'a [u8],
}

impl Session {
    /// Creates a session for AES-CBC, or for AES-GCM with `aad_bytes` and `tag_bytes`.
    pub fn new(
        library: &'static Libqat,
        instance: Handle,
        encrypt: bool,
        key: &[u8],
        gcm: Option<(u32, u32)>,
    ) -> Self {
        let cipher = |algorithm| Cipher::new(algorithm, key, encrypt);
        let setup = match gcm {
            None => SessionSetup::cipher(cipher(AES_CBC)),
            Some((aad_bytes, tag_bytes)) => {
                let hash = Hash::auth(HASH_AES_GCM, &[], aad_bytes as usize, tag_bytes as usize);
                let order = if encrypt { CIPHER_THEN_HASH } else { HASH_THEN_CIPHER };
                let setup = SessionSetup::chain(cipher(AES_GCM), hash, order);
                if encrypt { setup } else { setup.verifying() }
            }
        }
        .without_partials();
        Self::init(library, instance, &setup).expect("cpaCySymInitSession")
    }

    /// # Errors
    /// Returns the status with which the library refuses the session.
    pub fn init(library: &'static Libqat, instance: Handle, setup: &SessionSetup) -> Result<Self, Status> {
        let mut bytes = 0;
        // SAFETY: libqat's headers require a valid instance handle, which the library itself returned, a setup, and a
        // pointer to the result; all live during the call.
        let status = unsafe { (library.cpaCySymSessionCtxGetSize)(instance, setup, &raw mut bytes) };
        refused(status)?;
        let memory = library.alloc(bytes as usize);
        // SAFETY: libqat's headers require memory of the size that the library reported, until the session is removed;
        // the key is copied.
        let status = unsafe { (library.cpaCySymInitSession)(instance, done, setup, memory.as_ptr().cast()) };
        refused(status)?;
        Ok(Self { library, instance, memory })
    }

    /// Runs one message; returns the callback's status (or [`MISMATCH`]), text and tag.
    pub fn run(&self, message: &Message<'_>) -> (Status, Vec<u8>, Vec<u8>) {
        let Message { iv, aad, text, tag } = *message;
        let packet = Packet { iv, aad, digest: tag, ..Packet::new(text) };
        let result = self.perform(&packet).expect("cpaCySymPerformOp");
        (result.status, result.text, result.digest)
    }

    /// Runs one packet.
    ///
    /// # Errors
    /// Returns the status with which the library refuses the call.
    pub fn perform(&self, packet: &Packet<'_>) -> Result<PacketResult, Status> {
        self.perform_after(packet, || ())
    }

    /// Runs one packet, and calls `wait` before each poll.
    ///
    /// # Errors
    /// Returns the status with which the library refuses the call.
    pub fn perform_after(&self, packet: &Packet<'_>, wait: impl Fn()) -> Result<PacketResult, Status> {
        let library = self.library;
        let from = |bytes: &[u8]| (!bytes.is_empty()).then(|| library.alloc_from(bytes));
        let pointer = |buffer: &Option<DmaBuffer>| buffer.as_ref().map_or(ptr::null_mut(), DmaBuffer::as_ptr);
        let (iv, digest) = (from(packet.iv), from(packet.digest));
        // The library pads the additional data to whole blocks in place.
        let mut aad = library.alloc(packet.aad.len().next_multiple_of(16).max(16));
        aad.bytes_mut()[..packet.aad.len()].copy_from_slice(packet.aad);
        // The library refuses an empty buffer; this byte is not processed.
        let text = if packet.text.is_empty() { &[0] } else { packet.text };
        let (source, destination) = (library.alloc_from(text), library.alloc(text.len()));
        let mut meta_bytes = 0;
        // SAFETY: libqat's headers require a valid instance handle, which the library itself returned, and a pointer to
        // the result, which lives during the call.
        let status = unsafe {
            (library.cpaCyBufferListGetMetaSize)(self.instance, packet.pieces as u32, &raw mut meta_bytes)
        };
        assert_eq!(status, SUCCESS, "cpaCyBufferListGetMetaSize");
        let mut from = List::scattered(library, meta_bytes, &source, packet.pieces);
        let mut to = List::scattered(library, meta_bytes, &destination, packet.pieces);
        let word = |number: usize| u32::try_from(number).unwrap();
        let operation = Box::new(Operation {
            session: self.memory.as_ptr().cast(),
            packet: packet.kind,
            iv: pointer(&iv),
            iv_bytes: word(packet.iv_bytes.unwrap_or(packet.iv.len())),
            cipher_offset: word(packet.cipher.start),
            cipher_bytes: word(packet.cipher.len()),
            hash_offset: word(packet.hash.start),
            hash_bytes: word(packet.hash.len()),
            digest: pointer(&digest),
            aad: if packet.aad.is_empty() { ptr::null_mut() } else { aad.as_ptr() },
        });
        let completion = Completion::new();
        let mut verified = 0;
        let from = from.as_mut_ptr();
        // SAFETY: libqat's headers require that everything in the request lives until its callback, which is waited for
        // below.
        let status = unsafe {
            (library.cpaCySymPerformOp)(
                self.instance,
                completion.tag(),
                &raw const *operation,
                from,
                if packet.in_place { from } else { to.as_mut_ptr() },
                &raw mut verified,
            )
        };
        refused(status)?;
        let status = completion.wait(|| {
            wait();
            // SAFETY: libqat's headers require a valid instance handle, which the library itself returned.
            unsafe { (self.library.icp_sal_CyPollInstance)(self.instance, 0) }
        });
        Ok(PacketResult {
            status,
            text: if packet.in_place { &source } else { &destination }.bytes()[..packet.text.len()].to_vec(),
            digest: digest.map_or_else(Vec::new, |digest| digest.bytes().to_vec()),
        })
    }

    pub fn remove(&self) -> Status {
        // SAFETY: libqat's headers require an initialised session without requests in flight; `init` created it.
        unsafe { (self.library.cpaCySymRemoveSession)(self.instance, self.memory.as_ptr().cast()) }
    }
}
