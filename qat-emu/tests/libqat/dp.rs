//! Calls of the library's data plane, which uses physical addresses, batches, and one callback for each instance.

use std::{ffi::c_int, ptr};

use super::{
    Completion, DmaBuffer, Handle, Libqat, MISMATCH, SUCCESS, Status, complete, dc, refused,
    sym::{self, Packet},
};

pub type DcCallback = unsafe extern "C" fn(*mut DcOperation);
pub type SymCallback = unsafe extern "C" fn(*mut SymOperation, Status, c_int);

#[repr(C)]
pub struct DcOperation {
    reserved: u64,
    input_bytes: u32,
    room: u32,
    reserved_more: [u64; 3],
    pub results: dc::Results,
    instance: Handle,
    session: *mut u8,
    source: u64,
    source_bytes: u32,
    destination: u64,
    destination_bytes: u32,
    direction: u32,
    verify: u32,
    recover: u32,
    pub response: Status,
    this: u64,
    tag: *mut std::ffi::c_void,
    setup: *mut dc::SessionSetup,
}

#[repr(C)]
pub struct SymOperation {
    reserved: u64,
    cipher_offset: u32,
    cipher_bytes: u32,
    iv: u64,
    reserved_more: u64,
    hash_offset: u32,
    hash_bytes: u32,
    aad: u64,
    digest: u64,
    instance: Handle,
    session: *mut u8,
    iv_bytes: u32,
    source: u64,
    source_bytes: u32,
    destination: u64,
    destination_bytes: u32,
    this: u64,
    iv_pointer: *mut u8,
    aad_pointer: *mut u8,
    tag: *mut std::ffi::c_void,
}

const _: () = assert!(size_of::<DcOperation>() == 152 && size_of::<SymOperation>() == 144);

unsafe extern "C" fn packed(operation: *mut DcOperation) {
    // SAFETY: the library passes the operation that `compress` submitted, which lives until this callback.
    let operation = unsafe { &*operation };
    // SAFETY: `complete` requires the tag of a `Completion`: `compress` passed it, and waits for this callback.
    unsafe { complete(operation.tag, operation.response) };
}

unsafe extern "C" fn ciphered(operation: *mut SymOperation, status: Status, verified: c_int) {
    // SAFETY: the library passes the operation that `cipher` submitted, which lives until this callback.
    let tag = unsafe { (*operation).tag };
    let status = if status == SUCCESS && verified == 0 { MISMATCH } else { status };
    // SAFETY: `complete` requires the tag of a `Completion`: `cipher` passed it, and waits for this callback.
    unsafe { complete(tag, status) };
}

/// Allocates device memory for one operation.
fn place<T>(library: &'static Libqat) -> DmaBuffer {
    library.alloc(size_of::<T>())
}

/// Compresses or decompresses each input in flat buffers: all are enqueued in one batch and then submitted together.
pub fn compress(
    library: &'static Libqat,
    instance: Handle,
    setup: dc::SessionSetup,
    compress: bool,
    inputs: &[&[u8]],
    room: usize,
) -> Vec<(Status, dc::Results, Vec<u8>)> {
    // SAFETY: libqat's headers require a valid instance handle, which the library itself returned, and a callback that
    // exists for the rest of the process.
    assert_eq!(unsafe { (library.cpaDcDpRegCbFunc)(instance, packed) }, SUCCESS);
    let mut setup = setup;
    let mut bytes = 0;
    // SAFETY: libqat's headers require a valid instance handle, which the library itself returned, a setup, and a
    // pointer to the result; all live during the call.
    let status = unsafe { (library.cpaDcDpGetSessionSize)(instance, &raw mut setup, &raw mut bytes) };
    assert_eq!(status, SUCCESS);
    let session = library.alloc(bytes as usize);
    // SAFETY: libqat's headers require memory of the size that the library reported, until the session is removed.
    let status = unsafe { (library.cpaDcDpInitSession)(instance, session.as_ptr().cast(), &raw mut setup) };
    assert_eq!(status, SUCCESS);
    let requests: Vec<_> = inputs
        .iter()
        .map(|input| {
            let (source, destination) = (library.alloc_from(input), library.alloc(room));
            let (completion, memory) = (Completion::new(), place::<DcOperation>(library));
            let operation = DcOperation {
                reserved: 0,
                input_bytes: input.len() as u32,
                room: room as u32,
                reserved_more: [0; 3],
                results: dc::Results::default(),
                instance,
                session: session.as_ptr(),
                source: source.iova(),
                source_bytes: input.len() as u32,
                destination: destination.iova(),
                destination_bytes: room as u32,
                direction: u32::from(!compress),
                verify: u32::from(compress),
                recover: 0,
                response: SUCCESS,
                this: memory.iova(),
                tag: completion.tag(),
                setup: ptr::null_mut(),
            };
            // SAFETY: ptr::write requires memory of the operation's size and alignment, which `place` allocated.
            unsafe { memory.as_ptr().cast::<DcOperation>().write(operation) };
            (memory, completion, source, destination)
        })
        .collect();
    let mut batch: Vec<*mut DcOperation> = requests.iter().map(|r| r.0.as_ptr().cast()).collect();
    // SAFETY: libqat's headers require an array of the given length, whose operations live until their callbacks, which
    // are waited for below.
    let status = unsafe { (library.cpaDcDpEnqueueOpBatch)(batch.len() as u32, batch.as_mut_ptr(), 0) };
    assert_eq!(status, SUCCESS);
    // SAFETY: libqat's headers require a valid instance handle, which the library itself returned.
    assert_eq!(unsafe { (library.cpaDcDpPerformOpNow)(instance) }, SUCCESS);
    let results = requests
        .iter()
        .map(|(memory, completion, _, destination)| {
            let status = completion.wait(|| {
                // SAFETY: libqat's headers require a valid instance handle, which the library itself returned.
                unsafe { (library.icp_sal_DcPollDpInstance)(instance, 0) }
            });
            // SAFETY: the operation was written above, and the library does not use it after its callback.
            let results = unsafe { (*memory.as_ptr().cast::<DcOperation>()).results };
            let produced = results.produced as usize;
            (status, results, destination.bytes()[..produced].to_vec())
        })
        .collect();
    // SAFETY: libqat's headers require an initialised session without requests in flight: all have been waited for.
    let status = unsafe { (library.cpaDcDpRemoveSession)(instance, session.as_ptr().cast()) };
    assert_eq!(status, SUCCESS);
    results
}

/// Runs packets in flat buffers on one session: the last one submits the others, which are only enqueued.
///
/// # Errors
/// Returns the status with which the library refuses the session or a packet.
pub fn cipher(
    library: &'static Libqat,
    instance: Handle,
    setup: &sym::SessionSetup,
    packets: &[Packet<'_>],
) -> Result<Vec<sym::PacketResult>, Status> {
    // SAFETY: libqat's headers require a valid instance handle, which the library itself returned, and a callback that
    // exists for the rest of the process.
    assert_eq!(unsafe { (library.cpaCySymDpRegCbFunc)(instance, ciphered) }, SUCCESS);
    let mut bytes = 0;
    // SAFETY: libqat's headers require a valid instance handle, which the library itself returned, a setup, and a
    // pointer to the result; all live during the call.
    refused(unsafe { (library.cpaCySymDpSessionCtxGetSize)(instance, setup, &raw mut bytes) })?;
    let session = library.alloc(bytes as usize);
    // SAFETY: libqat's headers require memory of the size that the library reported, until the session is removed; keys
    // are copied.
    refused(unsafe { (library.cpaCySymDpInitSession)(instance, setup, session.as_ptr().cast()) })?;
    let mut requests = Vec::new();
    for (number, packet) in packets.iter().enumerate() {
        let Packet { iv, aad, text, digest, .. } = packet;
        let source = library.alloc_from(text);
        let destination = library.alloc(text.len());
        let (iv, digest) = (library.alloc_from(iv), library.alloc_from(digest));
        let mut padded = library.alloc(aad.len().next_multiple_of(16).max(16));
        padded.bytes_mut()[..aad.len()].copy_from_slice(aad);
        let (completion, memory) = (Completion::new(), place::<SymOperation>(library));
        let target = if packet.in_place { &source } else { &destination };
        let operation = SymOperation {
            reserved: 0,
            cipher_offset: packet.cipher.start as u32,
            cipher_bytes: packet.cipher.len() as u32,
            iv: iv.iova(),
            reserved_more: 0,
            hash_offset: packet.hash.start as u32,
            hash_bytes: packet.hash.len() as u32,
            aad: padded.iova(),
            digest: digest.iova(),
            instance,
            session: session.as_ptr(),
            iv_bytes: packet.iv.len() as u32,
            source: source.iova(),
            source_bytes: text.len() as u32,
            destination: target.iova(),
            destination_bytes: text.len() as u32,
            this: memory.iova(),
            iv_pointer: iv.as_ptr(),
            aad_pointer: padded.as_ptr(),
            tag: completion.tag(),
        };
        let at = memory.as_ptr().cast::<SymOperation>();
        // SAFETY: ptr::write requires memory of the operation's size and alignment, which `place` allocated.
        unsafe { at.write(operation) };
        let now = c_int::from(number + 1 == packets.len());
        // SAFETY: libqat's headers require that the operation and its buffers live until the callback, which is waited
        // for below.
        refused(unsafe { (library.cpaCySymDpEnqueueOp)(at, now) })?;
        requests.push((completion, packet.in_place, source, destination, digest, [iv, padded, memory]));
    }
    let results = requests
        .iter()
        .map(|(completion, in_place, source, destination, digest, _)| sym::PacketResult {
            status: completion.wait(|| {
                // SAFETY: libqat's headers require a valid instance handle, which the library itself returned.
                unsafe { (library.icp_sal_CyPollDpInstance)(instance, 0) }
            }),
            text: if *in_place { source.bytes() } else { destination.bytes() }.to_vec(),
            digest: digest.bytes().to_vec(),
        })
        .collect();
    // SAFETY: libqat's headers require an initialised session without requests in flight: all have been waited for.
    let status = unsafe { (library.cpaCySymDpRemoveSession)(instance, session.as_ptr().cast()) };
    assert_eq!(status, SUCCESS);
    Ok(results)
}
