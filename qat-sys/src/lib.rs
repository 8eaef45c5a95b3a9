//! Raw bindings of Intel's `libqat` and `libusdm`, and ways to get at the libraries.
//!
//! The crate has three parts: the C types and constants ([`bindings`], re-exported here), the table of C functions
//! ([`Symbols`]), and the libraries that fill the table ([`Library`]). It wraps nothing; that is the crate `qat`'s part.
//!
//! ```no_run
//! use qat_sys::{CPA_STATUS_SUCCESS, Library, LoadOptions};
//!
//! // SAFETY: the system's libqat is trusted.
//! let library = unsafe { Library::load(&LoadOptions::from_env()) }?;
//! let mut instances = 0;
//! // SAFETY: the argument is valid for writing, as `cpa_dc.h` asks.
//! let status = unsafe { (library.symbols().cpaDcGetNumInstances)(&mut instances) };
//! println!("{instances} compression instances, status {status}, {CPA_STATUS_SUCCESS} is good");
//! # Ok::<(), qat_sys::LoadError>(())
//! ```
//!
//! # Library dependency
//! With the feature `loaded` (default) nothing is needed at build time; [`Library::load`] looks for `libqat.so.4` and
//! `libusdm.so.0` (Windows: `qat.dll`) at run time. With the feature `linked` the libraries are found by pkg-config and
//! linked, and `Library::linked` is there too; their development files are packaged from Debian 13 and Ubuntu 24.04 on, not
//! in Debian 12. Both features may be on. [`Symbols::resolve`] takes any other source of
//! addresses, such as stubs in a test.
//!
//! # Releases
//! The bindings are generated from the headers of qatlib 26.08 and serve every release since 23.08, the first with
//! the soname `libqat.so.4`. Functions that 23.08 has are required: loading fails when one is missing. Later ones
//! come in groups, each an `Option` in [`Symbols`] with the release that brought it. Sizes, alignments, offsets,
//! constants and signatures common to 24.02 and 26.08 are the same in both, which `cargo xtask bindgen --check`
//! proves from the headers; compared once, the headers of 23.08, 23.11, 24.09, 25.08 and 26.02 agree as well. That a
//! function is there does not mean that it works: `cpaDcNsCompressData` and `cpaDcNsDecompressData` exist in 23.08,
//! but answer `CPA_STATUS_UNSUPPORTED` before 23.11. The file `SYMBOLS.md` lists all functions.
//!
//! # What is trusted
//! The library behind a name is taken to be what it says: a function found under a C name is called with the signature
//! from the headers. Nothing else is: no C enumeration is a Rust enumeration, so unknown values from a newer library are
//! merely unknown numbers.
//!
//! # Thread safety
//! [`Library`] and [`Symbols`] are `Send` and `Sync`: they hold addresses of code. Which functions may run at the same time
//! is each function's own matter; the headers say so for each under *threadSafe*.
//!
//! # Unloading
//! Dropping a [`Library`] unloads the code, while copies of its function pointers, callbacks on their way and threads of
//! libqat's own may still need it. Drop it after `icp_sal_userStop` only, or never.

#[macro_use]
mod table;

#[rustfmt::skip]
#[allow(
    missing_docs,
    non_camel_case_types,
    non_snake_case,
    non_upper_case_globals,
    unreachable_pub,
    unsafe_op_in_unsafe_fn,
    clippy::all,
    clippy::missing_safety_doc,
    clippy::multiple_unsafe_ops_per_block,
    clippy::undocumented_unsafe_blocks,
    reason = "generated; the C headers are its documentation"
)]
pub mod bindings;
#[rustfmt::skip]
mod functions;
mod library;

pub use bindings::*;
pub use functions::*;
#[cfg(feature = "loaded")]
pub use library::LoadOptions;
pub use library::{Attempt, Library, LoadError};
pub use table::{Group, MissingSymbols};
