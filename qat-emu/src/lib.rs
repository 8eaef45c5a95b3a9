//! A software model of a QAT device, which runs below Intel's own, unmodified `libqat`.
//!
//! Tests of QuickAssist software otherwise need a device. This crate presents virtual functions of the fourth
//! generation to `libqat.so.4` and its memory driver, and computes their requests on the CPU. It works at the level
//! of VFIO, with registers, rings and firmware messages, so that everything above is unmodified: the program, Intel's
//! library and its memory driver. It needs no privilege, no kernel module and no configuration. The only thing that it
//! changes outside its process is a directory in shared memory. It supports Linux on x86-64 with glibc.
//!
//! # In a test executable
//!
//! The build script of the package exports the functions that intercept those of the C library:
//!
//! ```no_run
//! // build.rs
//! println!("cargo:rustc-link-arg-tests=-rdynamic");
//! ```
//!
//! A test then attaches a machine, loads libqat with `dlopen` and uses it. Linking libqat with `-l` works only if the
//! executable exports the functions as shown above, because the dynamic loader then finds them first:
//!
//! ```no_run
//! use qat_emu::{Config, Emulator, Fault, FaultKind, Service, Services};
//!
//! let machine = Config::with_vfs(2, Services::SYM_DC)
//!     .fault(Fault::new(FaultKind::Error { code: -13 }).on_service(Service::Compression).after(10));
//! let emulator = Emulator::attach(machine)?;
//! // icp_sal_userStart, cpaDcCompressData2, …, icp_sal_userStop
//! let seen = emulator.counters();
//! assert_eq!(seen.service(Service::Compression).commands["deflate-static"], 11);
//! assert!(seen.audit().is_empty(), "{:?}", seen.audit());
//! # Ok::<(), qat_emu::AttachError>(())
//! ```
//!
//! # Under another program
//!
//! `qat-emu run` preloads the crate's shared library into a program and reports the requests that the devices
//! executed. The example runs QATzip's `qzip`, which silently falls back to software when it finds no device, and has
//! no option to prevent that. In a checkout on Debian, `cargo xtask emu` fetches `qzip`:
//!
//! ```text
//! $ cp Cargo.lock /tmp/plain
//! $ cargo xtask emu -- --services dc --require-requests 1 --require-clean --report /tmp/seen.json -- qzip -f -k -o /tmp/packed /tmp/plain
//! $ gzip -dc /tmp/packed.gz | cmp - /tmp/plain
//! $ grep -e deflate- -e bytes_in /tmp/seen.json
//! ```
//!
//! The last command prints how many dynamic deflate requests the device executed and how many bytes it read, which is
//! the size of the file. Where libqat and QATzip are installed, `qat-emu run` replaces `cargo xtask emu --`.
//!
//! With `--require-requests`, the silent fallback ends with exit code 125. With `--require-clean`, so does every
//! finding of the audit: memory that was not unmapped, requests without a response, accesses outside mapped memory, and
//! requests that the device does not support (which libqat reports as success). `--library-path` names the directory of
//! a libqat that is not installed, and `--loader` the dynamic loader of a newer C library that the program needs. A
//! scenario file (`--scenario`, see [`config`]) defines faults, several devices and timing; `qat-emu --help` describes
//! all options. A program that is statically linked, or built for another C library or architecture, cannot be
//! preloaded into; it is refused with the reason. The module [`programs`] reports how Intel's own programs run on the
//! device.
//!
//! # Length of the tests
//!
//! `cargo test` runs shortened tests. Environment variables lengthen them: `QAT_TEST_REQUESTS` sets the requests of
//! each load test (10,000), `QAT_TEST_STARTS` the starts and stops in one process (40), and `QAT_TEST_BUSY_STARTS` the
//! starts beside eight busy loops (50). A million requests take one to two minutes on two cores, a thousand starts
//! about one minute.
//!
//! # Limits
//!
//! The values that a program can write without an effect are listed in [`WITHOUT_EFFECT`] and in [`device_model`]; the
//! audit reports every other one. The telemetry files contain the values that the model knows, and zeros otherwise.
//! The null device responds to symmetric and public-key requests without touching their data. Each process has a
//! machine of its own, so that two processes do not compete for a virtual function.
//!
//! The device does not offer the following, and responds to it as unsupported: curves over GF(2^m), SM2, SM3, SM4, ZUC,
//! keys protected by KPT, and dictionaries.
//!
//! The contract between the device and the library, register by register, is in [`device_model`].

#![cfg(all(target_os = "linux", target_env = "gnu"))]
#![deny(unsafe_code)]

#[allow(unsafe_code, reason = "the scheduling calls of the C library")]
mod affinity;
#[allow(unsafe_code, reason = "the process boundary")]
mod boundary;
pub mod config;
pub mod counters;
mod debugfs;
mod device;
pub mod engine;
pub mod fault;
mod machine;
pub mod memory;
mod message;
pub mod service;
mod telemetry;
mod unserved;

#[doc = include_str!("../DEVICE.md")]
pub mod device_model {}

#[doc = include_str!("../PROGRAMS.md")]
pub mod programs {}

#[doc(hidden)]
pub use boundary::send_signal;
pub use boundary::{AttachError, Emulator, HOOKS, Preload, PreloadError, TreeError};
pub use config::{Config, ConfigError, Device, Model, Services, Timing};
pub use counters::Snapshot;
pub use device::{Notification, fuzz as fuzz_device};
pub use fault::{Fault, FaultKind, StartFaults};
pub use service::Service;
pub use unserved::{WITHOUT_EFFECT, WithoutEffect};
