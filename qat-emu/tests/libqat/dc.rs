//! Compression calls of the library.

use std::{ffi::c_void, ptr};

use super::{BufferList, Completion, DmaBuffer, Handle, Libqat, List, SUCCESS, Status, complete, refused};

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

impl Operation {
    /// Options for the end of a stream, with verification.
    pub fn plain() -> Self {
        Self {
            flush: FLUSH_FINAL,
            verify: 1,
            recover: 0,
            integrity: 0,
            verify_integrity: 0,
            crc_size: 0,
            skip: [[0; 4]; 2],
            crcs: ptr::null_mut(),
        }
    }
}

pub const DEFLATE: u32 = 3;
pub const LZ4: u32 = 4;
pub const LZ4S: u32 = 5;
pub const STATIC: u32 = 0;
pub const DYNAMIC: u32 = 2;
pub const COMPRESS: u32 = 0;
pub const DECOMPRESS: u32 = 1;
const COMBINED: u32 = 2;
const STATEFUL: u32 = 0;
const STATELESS: u32 = 1;
pub const FLUSH_FINAL: u32 = 1;
pub const FLUSH_SYNC: u32 = 2;
pub const FLUSH_FULL: u32 = 3;
pub const CRC32: u32 = 1;
pub const ADLER32: u32 = 2;
pub const CRC32_ADLER32: u32 = 3;
pub const XXHASH32: u32 = 4;

impl SessionSetup {
    /// The setup of a stateless deflate session of level 1 with CRC-32, in both directions.
    pub fn deflate(huffman: u32) -> Self {
        Self {
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
        }
    }

    /// The setup of a session for LZ4 with blocks of 64 KiB, or for LZ4s in its only direction, with XXH32.
    pub fn lz4(algorithm: u32) -> Self {
        let direction = if algorithm == LZ4S { COMPRESS } else { COMBINED };
        Self { algorithm, direction, checksum: XXHASH32, lz4_independent: 1, ..Self::deflate(STATIC) }
    }

    pub fn stateful(self) -> Self {
        Self { state: STATEFUL, ..self }
    }
}

/// The CRCs of a request, as the library returns them.
#[repr(C)]
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Crcs {
    pub crc32: u32,
    pub adler32: u32,
    /// The 32-bit CRCs of the input and of the output.
    pub integrity: [u32; 2],
    /// The 64-bit CRCs of the input and of the output.
    pub integrity64: [u64; 2],
}

/// The parameters of a session's CRC-64.
#[repr(C)]
pub struct CrcControl {
    pub polynomial: u64,
    pub initial: u64,
    pub reflect_in: u32,
    pub reflect_out: u32,
    pub xor_out: u64,
}

/// The options of one request.
#[derive(Debug, Clone, Copy)]
pub struct Options {
    pub flush: u32,
    pub verify: bool,
    pub recover: bool,
    /// Whether to ask for the end-to-end CRCs, which the library then verifies in software.
    pub integrity: bool,
    /// The number of flat buffers for the input, and of those for the output.
    pub pieces: usize,
}

impl Default for Options {
    fn default() -> Self {
        Self { flush: FLUSH_FINAL, verify: true, recover: false, integrity: false, pieces: 1 }
    }
}

/// A stateless session in both directions, with its memory.
pub struct Session {
    library: &'static Libqat,
    instance: Handle,
    memory: DmaBuffer,
    setup: SessionSetup,
}

unsafe extern "C" fn done(tag: *mut c_void, status: Status) {
    // SAFETY: `complete` requires the tag of a `Completion`: `Session::submit` passed it, and `Request` keeps it until
    // this callback.
    unsafe { complete(tag, status) };
}

/// The result of a request.
#[derive(Debug, Clone)]
pub struct CompressionResult {
    pub status: Status,
    pub results: Results,
    pub crcs: Crcs,
    pub data: Vec<u8>,
}

/// Pointers to the parts of a request, for the library.
#[derive(Clone, Copy)]
struct Arguments {
    source: *mut BufferList,
    destination: *mut BufferList,
    operation: *mut Operation,
    results: *mut Results,
    tag: *mut c_void,
}

/// A request in flight.
pub struct Request {
    pub results: Box<Results>,
    pub completion: Completion,
    pub output: DmaBuffer,
    operation: Box<Operation>,
    crcs: Box<Crcs>,
    source: List,
    destination: List,
    _input: DmaBuffer,
}

impl Request {
    fn new(library: &'static Libqat, instance: Handle, input: &[u8], room: usize, options: Options) -> Self {
        let mut meta_bytes = 0;
        let pieces = u32::try_from(options.pieces).unwrap();
        // SAFETY: libqat's headers require a valid instance handle, which the library itself returned, and a pointer to
        // the result, which lives during the call.
        let status = unsafe { (library.cpaDcBufferListGetMetaSize)(instance, pieces, &raw mut meta_bytes) };
        assert_eq!(status, SUCCESS, "cpaDcBufferListGetMetaSize");
        let input = library.alloc_from(input);
        let output = library.alloc(room);
        let mut crcs = Box::new(Crcs::default());
        Self {
            results: Box::default(),
            completion: Completion::new(),
            operation: Box::new(Operation {
                flush: options.flush,
                verify: u32::from(options.verify),
                recover: u32::from(options.recover),
                integrity: u32::from(options.integrity),
                verify_integrity: u32::from(options.integrity),
                crc_size: u32::from(options.integrity),
                skip: [[0; 4]; 2],
                crcs: if options.integrity { (&raw mut *crcs).cast() } else { ptr::null_mut() },
            }),
            crcs,
            source: List::scattered(library, meta_bytes, &input, options.pieces),
            destination: List::scattered(library, meta_bytes, &output, options.pieces),
            output,
            _input: input,
        }
    }

    fn arguments(&mut self) -> Arguments {
        Arguments {
            source: self.source.as_mut_ptr(),
            destination: self.destination.as_mut_ptr(),
            operation: &raw mut *self.operation,
            results: &raw mut *self.results,
            tag: self.completion.tag(),
        }
    }

    fn result(self, poll: impl Fn() -> Status) -> CompressionResult {
        let status = self.completion.wait(poll);
        let produced = (self.results.produced as usize).min(self.output.bytes().len());
        let data = self.output.bytes()[..produced].to_vec();
        CompressionResult { status, results: *self.results, crcs: *self.crcs, data }
    }
}

impl Session {
    pub fn new(library: &'static Libqat, instance: Handle, huffman: u32) -> Self {
        Self::init(library, instance, SessionSetup::deflate(huffman)).expect("cpaDcInitSession")
    }

    /// # Errors
    /// Returns the status with which the library refuses the session.
    pub fn init(library: &'static Libqat, instance: Handle, mut setup: SessionSetup) -> Result<Self, Status> {
        let (mut bytes, mut context) = (0, 0);
        // SAFETY: libqat's headers require a valid instance handle, which the library itself returned, a setup, and
        // pointers to the results; all live during the call.
        let status = unsafe {
            (library.cpaDcGetSessionSize)(instance, &raw mut setup, &raw mut bytes, &raw mut context)
        };
        refused(status)?;
        let memory = library.alloc(bytes as usize);
        // SAFETY: libqat's headers require memory of the size that the library reported, which lives until the session
        // is removed.
        let status = unsafe {
            (library.cpaDcInitSession)(
                instance,
                memory.as_ptr().cast(),
                &raw mut setup,
                ptr::null_mut(),
                Some(done),
            )
        };
        refused(status)?;
        Ok(Self { library, instance, memory, setup })
    }

    /// Submits a request. Before it is dropped, it has to be waited for or the emulator detached.
    pub fn submit(&self, compress: bool, input: &[u8], room: usize) -> (Status, Request) {
        let mut request = Request::new(self.library, self.instance, input, room, Options::default());
        let arguments = request.arguments();
        let status = self.compress_or_not(compress, false, &arguments);
        (status, request)
    }

    /// Calls the function for compression or decompression; `second` selects the one with options.
    fn compress_or_not(&self, compress: bool, second: bool, arguments: &Arguments) -> Status {
        let Arguments { source, destination, operation, results, tag } = *arguments;
        let (library, instance) = (self.library, self.instance);
        let session = self.memory.as_ptr().cast();
        if compress || second {
            let function = if compress { library.cpaDcCompressData2 } else { library.cpaDcDecompressData2 };
            // SAFETY: libqat's headers require that everything in the request lives until its callback; `Request` owns
            // it.
            unsafe { function(instance, session, source, destination, operation, results, tag) }
        } else {
            // SAFETY: libqat's headers require that everything in the request lives until its callback; `Request` owns
            // it.
            unsafe {
                (library.cpaDcDecompressData)(
                    instance,
                    session,
                    source,
                    destination,
                    results,
                    FLUSH_FINAL,
                    tag,
                )
            }
        }
    }

    /// Runs one request with `options`.
    ///
    /// # Errors
    /// Returns the status with which the library refuses the call.
    pub fn run_with(
        &self,
        compress: bool,
        input: &[u8],
        room: usize,
        options: Options,
    ) -> Result<CompressionResult, Status> {
        let mut request = Request::new(self.library, self.instance, input, room, options);
        let arguments = request.arguments();
        refused(self.compress_or_not(compress, true, &arguments))?;
        Ok(request.result(|| self.poll()))
    }

    /// Runs one request without a session, with its setup alone.
    ///
    /// # Errors
    /// Returns the status with which the library refuses the call.
    pub fn run_without(
        &self,
        compress: bool,
        input: &[u8],
        room: usize,
        options: Options,
    ) -> Result<CompressionResult, Status> {
        let mut request = Request::new(self.library, self.instance, input, room, options);
        let Arguments { source, destination, operation, results, tag } = request.arguments();
        let direction = if compress { COMPRESS } else { DECOMPRESS };
        let mut setup = SessionSetup { direction, ..self.setup };
        let library = self.library;
        let function = if compress { library.cpaDcNsCompressData } else { library.cpaDcNsDecompressData };
        // SAFETY: libqat's headers require that everything in the request lives until its callback; `Request` owns it,
        // and the setup is read during the call.
        refused(unsafe {
            function(self.instance, &raw mut setup, source, destination, operation, results, done, tag)
        })?;
        Ok(request.result(|| self.poll()))
    }

    /// Sets the CRC-64; returns `None` where the release has no such function.
    pub fn set_crc(&self, mut control: CrcControl) -> Option<Status> {
        let function = self.library.set_crc_control?;
        // SAFETY: libqat's headers require an initialised session, which `init` created, and a structure, which is read
        // during the call.
        Some(unsafe { function(self.instance, self.memory.as_ptr().cast(), &raw mut control) })
    }

    /// Restarts the running XXH32 of the session.
    pub fn reset_xxh32(&self) -> Status {
        // SAFETY: libqat's headers require an initialised session, which `init` created.
        unsafe { (self.library.cpaDcResetXXHashState)(self.instance, self.memory.as_ptr().cast()) }
    }

    /// Returns the header before the data, or with results the footer after it.
    pub fn frame(&self, footer: Option<Results>) -> Vec<u8> {
        let buffer = self.library.alloc(64);
        let mut flat = buffer.flat();
        let session = self.memory.as_ptr().cast();
        let count = if let Some(mut results) = footer {
            results.produced = 0;
            // SAFETY: libqat's headers require an initialised session, a buffer, and the results of its last request;
            // all live during the call.
            let status =
                unsafe { (self.library.cpaDcGenerateFooter)(session, &raw mut flat, &raw mut results) };
            assert_eq!(status, SUCCESS, "cpaDcGenerateFooter");
            results.produced
        } else {
            let mut count = 0;
            // SAFETY: libqat's headers require an initialised session, a buffer, and a pointer to its length; all live
            // during the call.
            let status =
                unsafe { (self.library.cpaDcGenerateHeader)(session, &raw mut flat, &raw mut count) };
            assert_eq!(status, SUCCESS, "cpaDcGenerateHeader");
            count
        };
        buffer.bytes()[..count as usize].to_vec()
    }

    pub fn poll(&self) -> Status {
        // SAFETY: libqat's headers require a valid instance handle, which the library itself returned.
        unsafe { (self.library.icp_sal_DcPollInstance)(self.instance, 0) }
    }

    /// Polls for one response.
    pub fn poll_one(&self) -> Status {
        // SAFETY: libqat's headers require a valid instance handle, which the library itself returned.
        unsafe { (self.library.icp_sal_DcPollInstance)(self.instance, 1) }
    }

    /// Runs one request; returns callback status, results and output.
    pub fn run(&self, compress: bool, input: &[u8], room: usize) -> (Status, Results, Vec<u8>) {
        let (status, request) = self.submit(compress, input, room);
        assert_eq!(status, SUCCESS, "submit");
        let status = request.completion.wait(|| self.poll());
        let produced = (request.results.produced as usize).min(room);
        (status, *request.results, request.output.bytes()[..produced].to_vec())
    }

    pub fn remove(&self) -> Status {
        // SAFETY: libqat's headers require an initialised session without requests in flight; `init` created it.
        unsafe { (self.library.cpaDcRemoveSession)(self.instance, self.memory.as_ptr().cast()) }
    }
}
