//! Calls of hash-then-compress requests of the library.

use std::{ffi::c_void, ptr};

use super::{Completion, DmaBuffer, Handle, Libqat, List, SUCCESS, Status, complete, dc, refused, sym};

/// The setup of one part of a chain.
#[repr(C)]
pub struct ChainSetup {
    kind: u32,
    setup: *const c_void,
}

/// The operation of one part of a chain.
#[repr(C)]
pub struct ChainOperation {
    kind: u32,
    operation: *const c_void,
}

#[repr(C)]
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct ChainResults {
    pub compression: i32,
    pub crypto: i32,
    pub verified: u32,
    pub produced: u32,
    pub consumed: u32,
    pub crc32: u32,
    pub adler32: u32,
}

const COMPRESSION: u32 = 0;
const CRYPTO: u32 = 1;
/// The operation that hashes the input and compresses it.
const HASH_THEN_COMPRESS: u32 = 5;

/// A session that hashes its input and compresses it.
pub struct Session {
    library: &'static Libqat,
    instance: Handle,
    memory: DmaBuffer,
}

unsafe extern "C" fn done(tag: *mut c_void, status: Status) {
    // SAFETY: `complete` requires the tag of a `Completion`: `Session::run` passed it, and waits for this callback.
    unsafe { complete(tag, status) };
}

impl Session {
    /// # Errors
    /// Returns the status with which the library refuses the session.
    pub fn init(
        library: &'static Libqat,
        instance: Handle,
        hash: &sym::SessionSetup,
        compression: &dc::SessionSetup,
    ) -> Result<Self, Status> {
        let mut setups = [
            ChainSetup { kind: CRYPTO, setup: ptr::from_ref(hash).cast() },
            ChainSetup { kind: COMPRESSION, setup: ptr::from_ref(compression).cast() },
        ];
        let setups = setups.as_mut_ptr();
        let mut bytes = 0;
        let size = library.cpaDcChainGetSessionSize;
        // SAFETY: libqat's headers require a valid instance handle, which the library itself returned, two setups, and
        // a pointer to the result; all live during the call.
        refused(unsafe { size(instance, HASH_THEN_COMPRESS, 2, setups, &raw mut bytes) })?;
        let memory = library.alloc(bytes as usize);
        let (init, at) = (library.cpaDcChainInitSession, memory.as_ptr().cast());
        // SAFETY: libqat's headers require memory of the size that the library reported, until the session is removed.
        refused(unsafe { init(instance, at, HASH_THEN_COMPRESS, 2, setups, Some(done)) })?;
        Ok(Self { library, instance, memory })
    }

    /// Runs one request; returns callback status, results, digest and compressed data.
    pub fn run(
        &self,
        input: &[u8],
        digest_bytes: usize,
        room: usize,
    ) -> (Status, ChainResults, Vec<u8>, Vec<u8>) {
        let library = self.library;
        let mut meta_bytes = 0;
        // SAFETY: libqat's headers require a valid instance handle, which the library itself returned, and a pointer to
        // the result, which lives during the call.
        let status = unsafe { (library.cpaDcBufferListGetMetaSize)(self.instance, 1, &raw mut meta_bytes) };
        assert_eq!(status, SUCCESS, "cpaDcBufferListGetMetaSize");
        let (source, destination) = (library.alloc_from(input), library.alloc(room));
        let digest = library.alloc(digest_bytes);
        let mut from = List::new(library, meta_bytes, &[&source]);
        let mut to = List::new(library, meta_bytes, &[&destination]);
        let hash = sym::Operation::hash(input.len(), &digest);
        let compression = dc::Operation::plain();
        let mut operations = [
            ChainOperation { kind: CRYPTO, operation: ptr::from_ref(&hash).cast() },
            ChainOperation { kind: COMPRESSION, operation: ptr::from_ref(&compression).cast() },
        ];
        let mut results = Box::<ChainResults>::default();
        let completion = Completion::new();
        // SAFETY: libqat's headers require that everything in the request lives until its callback, which is waited for
        // below.
        let status = unsafe {
            (library.cpaDcChainPerformOp)(
                self.instance,
                self.memory.as_ptr().cast(),
                from.as_mut_ptr(),
                to.as_mut_ptr(),
                HASH_THEN_COMPRESS,
                2,
                operations.as_mut_ptr(),
                &raw mut *results,
                completion.tag(),
            )
        };
        assert_eq!(status, SUCCESS, "cpaDcChainPerformOp");
        let status = completion.wait(|| {
            // SAFETY: libqat's headers require a valid instance handle, which the library itself returned.
            unsafe { (library.icp_sal_DcPollInstance)(self.instance, 0) }
        });
        let produced = (results.produced as usize).min(room);
        (status, *results, digest.bytes().to_vec(), destination.bytes()[..produced].to_vec())
    }

    pub fn remove(&self) -> Status {
        // SAFETY: libqat's headers require an initialised session, which `init` created.
        unsafe { (self.library.cpaDcChainRemoveSession)(self.instance, self.memory.as_ptr().cast()) }
    }
}
