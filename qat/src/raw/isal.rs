//! ISA-L's deflate (`libisal.so.2`), loaded at run time where it is installed. `software::deflate` calls it; without
//! ISA-L, libdeflate compresses instead.
//!
//! [`ZStream`] declares the fields of `igzip_lib.h` that a caller sets or reads; the rest is internal to the library,
//! and only its size matters. The soname fixes the layout: 82,384 bytes in ISA-L 2.30, and more is reserved here. The
//! soname does not fix what the functions do, so the library has to pass a self-test before it is used, and its counts
//! are checked after each call. A library that fails either is not used any more, and [`Isal::load`] returns why.

use std::ffi::{c_int, c_void};
use std::mem::offset_of;
use std::path::{Path, PathBuf};

use libloading::Library;
use once_cell::sync::OnceCell;
use zlib_rs::{Inflate, InflateFlush, Status};

/// The file names that are tried, in order.
pub(crate) const NAMES: &[&str] = if cfg!(windows) { &["isa-l.dll"] } else { &["libisal.so.2"] };

const FULL_FLUSH: u16 = 2;
const COMP_OK: c_int = 0;
/// The length of the level buffer in bytes. `ISAL_DEF_LVLx_DEFAULT` is 276, 324 and 340 KiB for levels 1 to 3.
const LEVEL_BUFFER: usize = 352 * 1024;
const MAX_LEVEL: u32 = 3;
/// The bytes reserved behind the structure, in case a later minor release enlarges it.
const SPARE: usize = 16 * 1024;

#[repr(C, align(64))]
struct ZStream {
    next_in: *const u8,
    avail_in: u32,
    total_in: u32,
    next_out: *mut u8,
    avail_out: u32,
    total_out: u32,
    hufftables: *mut c_void,
    level: u32,
    level_buf_size: u32,
    level_buf: *mut u8,
    end_of_stream: u16,
    flush: u16,
    gzip_flag: u16,
    hist_bits: u16,
    internal: [u8; 82_320 + SPARE],
}

// `igzip_lib.h` gives this offset on every 64-bit target.
const _: () = assert!(offset_of!(ZStream, internal) == 64);

/// A loaded ISA-L.
pub(crate) struct Isal {
    functions: Functions,
    /// The library's file; `None` where the system does not name it.
    path: Option<PathBuf>,
    /// How the library broke its contract; empty while it has not.
    fault: OnceCell<String>,
    /// Keeps the functions loaded; `None` in tests, which supply their own.
    _library: Option<Library>,
}

#[derive(Clone, Copy)]
struct Functions {
    deflate_stateless_init: unsafe extern "C" fn(*mut ZStream),
    deflate_stateless: unsafe extern "C" fn(*mut ZStream) -> c_int,
}

impl Isal {
    /// Returns the library, which the first call in the process loads and tests.
    ///
    /// # Errors
    /// The reason when the library is not installed, fails its self-test, or broke its contract later.
    pub(crate) fn load() -> Result<&'static Self, &'static str> {
        static ISAL: OnceCell<Result<Isal, String>> = OnceCell::new();
        let isal = ISAL.get_or_init(|| {
            if !cfg!(all(target_pointer_width = "64", target_endian = "little")) {
                return Err("ISA-L is used on 64-bit little-endian targets only".to_owned());
            }
            let mut tried = Vec::new();
            for name in NAMES {
                // SAFETY: `Library::new`: loading runs the library's initialisers; libisal's only fill its CPU dispatch
                // tables.
                match unsafe { Library::new(*name) } {
                    Ok(library) => {
                        let isal = Self::resolve(library).map_err(|error| format!("{name}: {error}"))?;
                        return isal.self_tested().map_err(|fault| format!("{name}: {fault}"));
                    }
                    Err(error) => tried.push(error.to_string()),
                }
            }
            Err(tried.join("; "))
        });
        let isal = isal.as_ref().map_err(String::as_str)?;
        isal.fault.get().map_or(Ok(isal), |fault| Err(fault))
    }

    fn resolve(library: Library) -> Result<Self, libloading::Error> {
        /// Copies one function pointer out of the library, which `Isal` keeps loaded beside the pointer.
        macro_rules! symbol {
            ($name:literal) => {
                // SAFETY: `Library::get`: the signatures in `Functions` are those of `igzip_lib.h`.
                *unsafe { library.get(concat!($name, "\0").as_bytes()) }?
            };
        }
        let functions = Functions {
            deflate_stateless_init: symbol!("isal_deflate_stateless_init"),
            deflate_stateless: symbol!("isal_deflate_stateless"),
        };
        let path = file_of(functions.deflate_stateless as *const c_void);
        Ok(Self { functions, path, fault: OnceCell::new(), _library: Some(library) })
    }

    /// Returns the library's file with symbolic links resolved, whose name ends with the version; `None` where the
    /// system does not name it.
    pub(crate) fn path(&self) -> Option<&Path> {
        self.path.as_deref()
    }

    /// Returns `self` if zlib-rs decompresses to the sample what this library compressed from it.
    fn self_tested(self) -> Result<Self, String> {
        // The sample is longer than deflate's window, and has words, a run, and bytes without a pattern.
        let words =
            b"the library has to compress a sample before it is used ".iter().copied().cycle().take(20_000);
        let noise = (0..10_000_u32).map(|i| (i.wrapping_mul(2_654_435_761) >> 24) as u8);
        let sample: Vec<u8> = words.chain([0; 10_000]).chain(noise).collect();
        let (head, tail) = sample.split_at(25_000);
        let failed = |what: &str, level: u32| {
            let file = self.path.as_ref().map_or_else(String::new, |path| format!(" ({})", path.display()));
            let fault = format!("its self-test failed{file}: level {level} {what}");
            tracing::warn!(fault, "ISA-L is not used; libdeflate compresses instead");
            fault
        };
        for level in 0..=MAX_LEVEL {
            let mut packed = vec![0; sample.len() + 2048];
            let mut deflater = Deflater::new(&self);
            let head_len = deflater
                .deflate(head, &mut packed, level, false)
                .ok_or_else(|| failed("does not compress", level))?;
            let tail_len = deflater
                .deflate(tail, &mut packed[head_len..], level, true)
                .ok_or_else(|| failed("does not compress", level))?;
            packed.truncate(head_len + tail_len);
            let mut plain = vec![0; sample.len() + 1];
            let mut inflate = Inflate::new(false, 15);
            let status = inflate.decompress(&packed, &mut plain, InflateFlush::Finish);
            plain.truncate(inflate.total_out() as usize);
            if status != Ok(Status::StreamEnd) || inflate.total_in() != packed.len() as u64 || plain != sample
            {
                return Err(failed("writes what does not decompress to the same", level));
            }
        }
        Ok(self)
    }

    /// Records that the library broke its contract, so that it is not used any more, and logs it once.
    fn disable(&self, fault: String) {
        if self.fault.set(fault).is_ok() {
            let (fault, file) = (self.fault.get(), self.path.as_ref());
            tracing::warn!(fault, ?file, "ISA-L is not used any more; libdeflate compresses instead");
        }
    }
}

/// Returns the file that a function was loaded from, with symbolic links resolved.
fn file_of(function: *const c_void) -> Option<PathBuf> {
    #[cfg(unix)]
    {
        use std::ffi::{CStr, OsStr};
        use std::os::unix::ffi::OsStrExt as _;
        // SAFETY: `Dl_info` of dladdr(3) has only pointers, for which zero is a valid value.
        let mut info = unsafe { std::mem::zeroed::<libc::Dl_info>() };
        // SAFETY: dladdr(3): the call takes any address, and writes one structure to the pointer.
        let found = unsafe { libc::dladdr(function, &mut info) };
        if found == 0 || info.dli_fname.is_null() {
            return None;
        }
        // SAFETY: dladdr(3): the name is a zero-terminated string that is valid while the library is loaded, which it
        // is during this call.
        let name = unsafe { CStr::from_ptr(info.dli_fname) };
        std::fs::canonicalize(OsStr::from_bytes(name.to_bytes())).ok()
    }
    #[cfg(not(unix))]
    {
        let _ = function;
        None
    }
}

/// A reusable compressor, which keeps no state from call to call.
pub(crate) struct Deflater<'a> {
    isal: &'a Isal,
    stream: Box<ZStream>,
    level_buffer: Box<[u8]>,
}

// SAFETY: `igzip_lib.h` ties the structure to no thread; the raw pointers in it are set for each call and not used
// between calls.
unsafe impl Send for Deflater<'_> {}

impl<'a> Deflater<'a> {
    pub(crate) fn new(isal: &'a Isal) -> Self {
        // SAFETY: `ZStream` has only integers, pointers and bytes, for which zero is a valid value.
        let stream = Box::new(unsafe { std::mem::zeroed::<ZStream>() });
        Self { isal, stream, level_buffer: vec![0; LEVEL_BUFFER].into_boxed_slice() }
    }

    /// Compresses `input` to raw deflate at ISA-L's `level` (0 to 3), and returns the bytes written. With `last` unset
    /// the output ends on a byte boundary and more may follow. Returns `None` when `output` is too small, when the
    /// length of `input` exceeds 32 bits, and when the library breaks its contract.
    pub(crate) fn deflate(
        &mut self,
        input: &[u8],
        output: &mut [u8],
        level: u32,
        last: bool,
    ) -> Option<usize> {
        if self.isal.fault.get().is_some() {
            return None;
        }
        let avail_in = u32::try_from(input.len()).ok()?;
        // Output of at most 32 bits of length never fills more.
        let avail_out = u32::try_from(output.len()).unwrap_or(u32::MAX);
        let stream = &mut *self.stream;
        // SAFETY: `igzip_lib.h`: the call writes the fields of an `isal_zstream`, which `ZStream` has in full.
        unsafe { (self.isal.functions.deflate_stateless_init)(stream) };
        stream.level = level;
        stream.level_buf = self.level_buffer.as_mut_ptr();
        stream.level_buf_size = LEVEL_BUFFER as u32;
        stream.end_of_stream = u16::from(last);
        stream.flush = if last { 0 } else { FULL_FLUSH };
        stream.next_in = input.as_ptr();
        stream.avail_in = avail_in;
        stream.next_out = output.as_mut_ptr();
        stream.avail_out = avail_out;
        // SAFETY: `igzip_lib.h`: the call reads `avail_in` bytes at `next_in`, writes at most `avail_out` bytes at
        // `next_out`, and uses `level_buf` of `level_buf_size` bytes; the three are valid for these lengths and do not
        // overlap.
        let status = unsafe { (self.isal.functions.deflate_stateless)(stream) };
        if status != COMP_OK {
            return None;
        }
        // The counts are checked because the length of the output depends on them: all input must be consumed, and no
        // more written than the buffer holds.
        let written =
            u32::checked_sub(avail_out, stream.avail_out).filter(|written| *written == stream.total_out);
        let (Some(written), 0) = (written, stream.avail_in) else {
            self.isal.disable(format!(
                "it reports {} of {avail_in} bytes of input as left, and {} of {avail_out} bytes of the output buffer as free \
                 after {} bytes of output",
                stream.avail_in, stream.avail_out, stream.total_out
            ));
            return None;
        };
        Some(written as usize)
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicBool, Ordering};

    use super::*;

    #[test]
    fn blocks_and_streams_round_trip_where_isal_is_installed() {
        let isal = match Isal::load() {
            Ok(isal) => isal,
            // CI installs ISA-L and sets the variable; elsewhere the library is optional.
            Err(reason) => {
                assert!(std::env::var_os("QAT_TEST_REQUIRE_ISAL").is_none(), "{reason}");
                return;
            }
        };
        let input: Vec<u8> = (0..300_000_u32).flat_map(|i| (i / 7).to_le_bytes()).collect();
        let mut deflater = Deflater::new(isal);
        let mut packed = vec![0; input.len() + 1024];
        let (head, tail) = input.split_at(100_000);
        let first = deflater.deflate(head, &mut packed, 1, false).unwrap();
        let second = deflater.deflate(tail, &mut packed[first..], 1, true).unwrap();
        packed.truncate(first + second);
        let mut plain = vec![0; input.len()];
        let mut reader = flate2::read::DeflateDecoder::new(&packed[..]);
        std::io::Read::read_exact(&mut reader, &mut plain).unwrap();
        assert!(plain == input);
        assert_eq!(deflater.deflate(&input, &mut [0; 64], 1, true), None);
        #[cfg(target_os = "linux")]
        {
            let path = isal.path().expect("the loader knows where it found it");
            let name = path.file_name().unwrap().to_str().unwrap();
            assert!(path.is_absolute() && name.starts_with("libisal.so.2."), "{path:?}");
        }
    }

    /// Returns a library with this `deflate_stateless`.
    fn fake(deflate_stateless: unsafe extern "C" fn(*mut ZStream) -> c_int) -> Isal {
        unsafe extern "C" fn init(_: *mut ZStream) {}
        let functions = Functions { deflate_stateless_init: init, deflate_stateless };
        Isal { functions, path: None, fault: OnceCell::new(), _library: None }
    }

    /// Compresses to a stored block, the simplest correct output.
    unsafe extern "C" fn stores(stream: *mut ZStream) -> c_int {
        // SAFETY: `igzip_lib.h`: the caller passes a whole structure, whose pointers and lengths are those of its
        // slices.
        let stream = unsafe { &mut *stream };
        // SAFETY: `next_in` and `avail_in` are the pointer and length of the caller's input slice.
        let input = unsafe { std::slice::from_raw_parts(stream.next_in, stream.avail_in as usize) };
        // SAFETY: `next_out` and `avail_out` are the pointer and length of the caller's output slice.
        let output = unsafe { std::slice::from_raw_parts_mut(stream.next_out, stream.avail_out as usize) };
        let (len, is_last) = (input.len(), stream.end_of_stream != 0);
        output[0] = u8::from(is_last);
        output[1..3].copy_from_slice(&(len as u16).to_le_bytes());
        output[3..5].copy_from_slice(&(!(len as u16)).to_le_bytes());
        output[5..5 + len].copy_from_slice(input);
        stream.avail_in = 0;
        stream.avail_out -= 5 + len as u32;
        stream.total_out = 5 + len as u32;
        COMP_OK
    }

    #[test]
    fn a_library_that_does_what_it_should_passes_the_self_test() {
        assert!(fake(stores).self_tested().is_ok());
    }

    #[test]
    fn a_library_that_fails_its_self_test_is_not_used() {
        unsafe extern "C" fn writes_nothing(stream: *mut ZStream) -> c_int {
            // SAFETY: `igzip_lib.h`: the caller passes a whole structure.
            unsafe { (*stream).avail_in = 0 };
            COMP_OK
        }
        unsafe extern "C" fn refuses(_: *mut ZStream) -> c_int {
            -1
        }
        unsafe extern "C" fn alters(stream: *mut ZStream) -> c_int {
            // SAFETY: `igzip_lib.h`: the caller passes a whole structure.
            let first = unsafe { &*stream }.next_out.wrapping_add(5);
            // SAFETY: `igzip_lib.h`: `stream` is the whole structure that the caller passed.
            let status = unsafe { stores(stream) };
            // SAFETY: `stores` has written the first byte of the block there.
            unsafe { *first ^= 1 };
            status
        }
        for broken in [writes_nothing, refuses, alters] {
            let fault = fake(broken).self_tested().err().expect("it is not fit for use");
            assert!(fault.contains("its self-test failed"), "{fault}");
        }
    }

    /// A library whose counts are impossible, which reports more input left than it was given, unread input, more free
    /// space than there was, or more output than fits, is not used again.
    #[test]
    fn counts_that_cannot_be_end_the_use_of_the_library() {
        static CALLED: AtomicBool = AtomicBool::new(false);
        type Counts = fn(&mut ZStream);
        fn broken<const WHICH: usize>() -> Isal {
            const COUNTS: [Counts; 4] = [
                |stream| stream.avail_in += 1,
                |stream| stream.avail_in = 1,
                |stream| (stream.avail_out, stream.total_out) = (u32::MAX, 0),
                |stream| (stream.avail_in, stream.total_out) = (0, stream.avail_out + 1),
            ];
            unsafe extern "C" fn deflate<const WHICH: usize>(stream: *mut ZStream) -> c_int {
                CALLED.store(true, Ordering::Relaxed);
                // SAFETY: `igzip_lib.h`: the caller passes a whole structure.
                COUNTS[WHICH](unsafe { &mut *stream });
                COMP_OK
            }
            fake(deflate::<WHICH>)
        }
        for isal in [broken::<0>(), broken::<1>(), broken::<2>(), broken::<3>()] {
            let mut output = vec![0; 1000];
            assert_eq!(Deflater::new(&isal).deflate(b"input", &mut output, 2, true), None);
            assert!(isal.fault.get().is_some_and(|fault| fault.contains("of 5 bytes of input")));
            assert!(CALLED.swap(false, Ordering::Relaxed));
            assert_eq!(Deflater::new(&isal).deflate(b"input", &mut output, 2, true), None);
            assert!(!CALLED.load(Ordering::Relaxed), "it was asked again");
        }
    }
}
