//! Compression through the library.

use std::{ffi::c_void, ptr};

use super::{Completion, DmaBuffer, Handle, Libqat, List, SUCCESS, Status, complete};

#[repr(C)]
#[derive(Debug, Clone, Copy)]
pub struct SessionSetup {
    pub level: u32,
    pub algorithm: u32,
    pub huffman: u32,
    pub auto_select: u32,
    pub direction: u32,
    pub state: u32,
    pub window: u32,
    pub min_match: u32,
    pub lz4_block: u32,
    pub lz4_block_checksum: u32,
    pub lz4_independent: u32,
    pub checksum: u32,
    pub accumulate_xxhash: u32,
}

#[repr(C)]
#[derive(Debug, Clone, Copy, Default)]
pub struct Results {
    pub status: i32,
    pub produced: u32,
    pub consumed: u32,
    pub checksum: u32,
    pub end_of_last_block: u32,
    pub stored: u32,
}

#[repr(C)]
#[derive(Debug, Clone, Copy)]
pub struct Operation {
    pub flush: u32,
    pub verify: u32,
    pub recover: u32,
    pub integrity: u32,
    pub verify_integrity: u32,
    pub crc_size: u32,
    pub skip: [[u32; 4]; 2],
    pub crcs: *mut c_void,
}

pub const DEFLATE: u32 = 3;
pub const LZ4: u32 = 4;
pub const STATIC: u32 = 0;
pub const DYNAMIC: u32 = 2;
const FLUSH_FINAL: u32 = 1;
const COMBINED: u32 = 2;
const STATELESS: u32 = 1;
const CRC32: u32 = 1;

/// A stateless deflate session in both directions, with its memory.
pub struct Session {
    library: &'static Libqat,
    instance: Handle,
    memory: DmaBuffer,
    meta_bytes: u32,
}

unsafe extern "C" fn done(tag: *mut c_void, status: Status) {
    // SAFETY: the tag of `Session::submit`.
    unsafe { complete(tag, status) };
}

/// A request in flight.
pub struct Request {
    pub results: Box<Results>,
    pub completion: Completion,
    pub output: DmaBuffer,
    operation: Box<Operation>,
    source: List,
    destination: List,
    _input: DmaBuffer,
}

impl Session {
    pub fn new(library: &'static Libqat, instance: Handle, huffman: u32) -> Self {
        let mut setup = SessionSetup {
            level: 1,
            algorithm: DEFLATE,
            huffman,
            auto_select: 0,
            direction: COMBINED,
            state: STATELESS,
            window: 3,
            min_match: 0,
            lz4_block: 0,
            lz4_block_checksum: 0,
            lz4_independent: 0,
            checksum: CRC32,
            accumulate_xxhash: 0,
        };
        let (mut bytes, mut context, mut meta_bytes) = (0, 0, 0);
        // SAFETY: a valid handle, setup and places for the results.
        let status = unsafe {
            (library.cpaDcGetSessionSize)(instance, &raw mut setup, &raw mut bytes, &raw mut context)
        };
        assert_eq!(status, SUCCESS, "cpaDcGetSessionSize");
        // SAFETY: a valid handle and a place for the result.
        let status = unsafe { (library.cpaDcBufferListGetMetaSize)(instance, 1, &raw mut meta_bytes) };
        assert_eq!(status, SUCCESS, "cpaDcBufferListGetMetaSize");
        let memory = library.alloc(bytes as usize);
        // SAFETY: memory of the size that was asked for; it lives until the session is removed.
        let status = unsafe {
            (library.cpaDcInitSession)(
                instance,
                memory.as_ptr().cast(),
                &raw mut setup,
                ptr::null_mut(),
                Some(done),
            )
        };
        assert_eq!(status, SUCCESS, "cpaDcInitSession");
        Self { library, instance, memory, meta_bytes }
    }

    /// Submits; the request has to be waited for, or the emulator detached, before it is dropped.
    pub fn submit(&self, compress: bool, input: &[u8], room: usize) -> (Status, Request) {
        let library = self.library;
        let input = library.alloc_from(input);
        let output = library.alloc(room);
        let mut request = Request {
            results: Box::default(),
            completion: Completion::new(),
            operation: Box::new(Operation {
                flush: FLUSH_FINAL,
                verify: 1,
                recover: 0,
                integrity: 0,
                verify_integrity: 0,
                crc_size: 0,
                skip: [[0; 4]; 2],
                crcs: ptr::null_mut(),
            }),
            source: List::new(library, self.meta_bytes, &[&input]),
            destination: List::new(library, self.meta_bytes, &[&output]),
            output,
            _input: input,
        };
        let (source, destination) = (request.source.as_mut_ptr(), request.destination.as_mut_ptr());
        let session = self.memory.as_ptr().cast();
        let results = &raw mut *request.results;
        let tag = request.completion.tag();
        let status = if compress {
            let operation = &raw mut *request.operation;
            // SAFETY: everything named lives in `request` until the answer.
            unsafe {
                (library.cpaDcCompressData2)(
                    self.instance,
                    session,
                    source,
                    destination,
                    operation,
                    results,
                    tag,
                )
            }
        } else {
            // SAFETY: as above.
            unsafe {
                (library.cpaDcDecompressData)(
                    self.instance,
                    session,
                    source,
                    destination,
                    results,
                    FLUSH_FINAL,
                    tag,
                )
            }
        };
        (status, request)
    }

    pub fn poll(&self) -> Status {
        // SAFETY: a valid handle.
        unsafe { (self.library.icp_sal_DcPollInstance)(self.instance, 0) }
    }

    /// Takes one answer.
    pub fn poll_one(&self) -> Status {
        // SAFETY: a valid handle.
        unsafe { (self.library.icp_sal_DcPollInstance)(self.instance, 1) }
    }

    /// Runs one request and returns callback status, results and output.
    pub fn run(&self, compress: bool, input: &[u8], room: usize) -> (Status, Results, Vec<u8>) {
        let (status, request) = self.submit(compress, input, room);
        assert_eq!(status, SUCCESS, "submit");
        let status = request.completion.wait(|| self.poll());
        let produced = (request.results.produced as usize).min(room);
        (status, *request.results, request.output.bytes()[..produced].to_vec())
    }

    pub fn remove(&self) -> Status {
        // SAFETY: initialised in `new`.
        unsafe { (self.library.cpaDcRemoveSession)(self.instance, self.memory.as_ptr().cast()) }
    }
}
