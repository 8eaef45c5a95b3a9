//! Raw bindings of Intel's `libqat` and `libusdm`, and functions that load or link the libraries.
//!
//! The crate has three parts: the C types and constants ([`bindings`], re-exported here), the table of C functions
//! ([`Symbols`]), and the libraries that fill the table ([`Library`]). The crate `qat` builds on it; programs rarely
//! use it directly. It contains no wrappers, and calls no function of the libraries.
//!
//! ```no_run
//! use qat_sys::{CPA_STATUS_SUCCESS, Library, LoadOptions};
//!
//! // SAFETY: `Library::load` requires the libqat of qatlib, which the system's libqat is, and that nothing calls it after
//! // `library` is dropped.
//! let library = unsafe { Library::load(&LoadOptions::from_env()) }?;
//! let mut instances = 0;
//! // SAFETY: `cpa_dc.h` requires a pointer that is valid for writing, which a mutable reference is.
//! let status = unsafe { (library.symbols().cpaDcGetNumInstances)(&mut instances) };
//! println!("{instances} compression instances, status {status}, where {CPA_STATUS_SUCCESS} is success");
//! # Ok::<(), qat_sys::LoadError>(())
//! ```
//!
//! # Library dependency
//! With the feature `loaded` (default), nothing is needed at build time; [`Library::load`] loads `libqat.so.4` and
//! `libusdm.so.0` (Windows: `qat.dll`) at run time. With the feature `linked`, pkg-config finds the libraries, they are
//! linked, and `Library::linked` is available. Their development files are packaged in Debian 13, Ubuntu 24.04 and
//! later, but not in Debian 12. Both features may be enabled. [`Symbols::resolve`] accepts any other source of
//! addresses, such as stubs in a test.
//!
//! # Releases
//! The bindings are generated from the headers of qatlib 26.08 and support every release since 23.08, the first with
//! the soname `libqat.so.4`. Functions that 23.08 has are required: loading fails when one is missing. Later functions
//! are in groups, each an `Option` in [`Symbols`] with the release that introduced it. Sizes, alignments, offsets,
//! constants and signatures that 24.02 and 26.08 have in common are equal, which `cargo xtask bindgen --check` proves
//! from the headers. The headers of 23.08, 23.11, 24.09, 25.08 and 26.02 were compared once and agree as well. A
//! function that exists need not work: `cpaDcNsCompressData` and `cpaDcNsDecompressData` exist in 23.08, but return
//! `CPA_STATUS_UNSUPPORTED` before 23.11. The file `SYMBOLS.md` lists all functions.
//!
//! # Trust
//! A library is trusted to be what its name says: a function found under a C name is called with the signature from the
//! headers. Values are not trusted: no C enumeration is a Rust enumeration, so that a value that a newer library
//! introduces is only an unknown number.
//!
//! # Thread safety
//! [`Library`] and [`Symbols`] are `Send` and `Sync`, because they contain only addresses of code. Whether a function
//! may be called concurrently is documented in the headers, under *threadSafe*.
//!
//! # Unloading
//! Dropping a [`Library`] unloads its code, although copies of its function pointers, pending callbacks and threads of
//! libqat may still need it. Drop it only after `icp_sal_userStop`, or never.

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
