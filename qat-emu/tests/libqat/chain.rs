//! Compression without a session, and what the library says about chaining.

use std::ffi::c_void;

use super::{DcCallback, Handle, Libqat, Status, dc, sym};

/// Setup of one link of a chain.
#[repr(C)]
pub struct ChainSetup {
    kind: u32,
    setup: *const c_void,
}

/// Hash the input and compress it, in one request.
pub const HASH_THEN_COMPRESS: u32 = 5;

/// The status with which the library takes a session that hashes and then compresses.
pub fn chain_status(
    library: &'static Libqat,
    instance: Handle,
    hash: &sym::SessionSetup,
    compression: &dc::SessionSetup,
) -> Status {
    let mut setups = [
        ChainSetup { kind: 1, setup: std::ptr::from_ref(hash).cast() },
        ChainSetup { kind: 0, setup: std::ptr::from_ref(compression).cast() },
    ];
    let mut bytes = 0;
    // SAFETY: a valid handle, two setups, and a place for the result.
    let status = unsafe {
        (library.cpaDcChainGetSessionSize)(
            instance,
            HASH_THEN_COMPRESS,
            2,
            setups.as_mut_ptr(),
            &raw mut bytes,
        )
    };
    if status != super::SUCCESS {
        return status;
    }
    let memory = library.alloc(bytes as usize);
    // SAFETY: memory of the size that was asked for.
    unsafe {
        (library.cpaDcChainInitSession)(
            instance,
            memory.as_ptr().cast(),
            HASH_THEN_COMPRESS,
            2,
            setups.as_mut_ptr(),
            None::<DcCallback>,
        )
    }
}
