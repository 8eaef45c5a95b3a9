//! A software model of a QAT device below Intel's own, unmodified `libqat`.
//!
//! QuickAssist software otherwise needs a device for its tests. This crate makes `libqat.so.4` and
//! its memory driver see virtual functions of the fourth generation, and computes their requests on the CPU. It works
//! below VFIO, with registers, rings and firmware messages, so everything above is the real thing: the program, Intel's
//! library, its memory driver. It needs no privilege, no kernel module and no configuration, and touches nothing
//! outside its process but a directory in shared memory. Linux on x86-64, glibc.
//!
//! # In a test executable
//!
//! Let the build script of the package export the functions that stand in front of the C library's:
//!
//! ```no_run
//! // build.rs
//! println!("cargo:rustc-link-arg-tests=-rdynamic");
//! ```
//!
//! Then attach a machine, load libqat with `dlopen` (not at link time with `-l`, unless the executable exports the
//! functions as above, which puts them first in either case) and use it:
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
//! `qat-emu run` preloads the crate's shared library into a program and reports what the devices saw. As an example,
//! QATzip's `qzip`, which falls back to software without a word when it finds no device, and has no option against
//! that. In a checkout on Debian, where `cargo xtask emu` fetches it:
//!
//! ```text
//! $ cp Cargo.lock /tmp/plain
//! $ cargo xtask emu -- --services dc --require-requests 1 --require-clean --report /tmp/seen.json -- qzip -f -k -o /tmp/packed /tmp/plain
//! $ gzip -dc /tmp/packed.gz | cmp - /tmp/plain
//! $ grep -e deflate- -e bytes_in /tmp/seen.json
//! ```
//!
//! The last command prints how many dynamic deflate requests the device executed and how many bytes it took in: those
//! of the file, all of them. Where libqat and QATzip are installed, `qat-emu run` stands for `cargo xtask emu --`.
//!
//! `--require-requests` turns the silent fallback into exit code 125, `--require-clean` anything that the audit finds:
//! memory left mapped, requests without an answer, accesses outside mapped memory, requests that the device does not
//! support (which libqat reports as success). `--library-path` names the directory with libqat where it is not
//! installed, `--loader` the dynamic loader of a newer C library that the program needs. Faults, several devices and
//! timing come from a scenario file (`--scenario`, see [`config`]); `qat-emu --help` has the rest. A statically linked
//! program, one for another C library or another architecture cannot be preloaded into, and is refused with the
//! reason. What Intel's own programs do on the device is in [`programs`].
//!
//! # How long the tests are
//!
//! `cargo test` runs shortened forms. Environment variables make them long: `QAT_TEST_REQUESTS` (requests of each load
//! test, 10,000), `QAT_TEST_STARTS` (starts and stops in one process, 40), `QAT_TEST_BUSY_STARTS` (starts beside eight
//! busy loops, 50). A million requests take a minute or two on two cores, a thousand starts about one.
//!
//! # Limits
//!
//! What a program writes without effect is listed in [`WITHOUT_EFFECT`] and in [`device_model`], and everything else is
//! found by the audit; the telemetry files hold what can be known, zeros else; the
//! null device answers symmetric and public-key requests without touching their data. Each process has a machine of
//! its own: two processes do not compete for a virtual function.
//!
//! The device does not offer, and answers as unsupported: curves over GF(2^m), SM2, SM3, SM4, ZUC, keys protected by KPT, and
//! dictionaries.
//!
//! The device's contract with the library, register by register, is in [`device_model`].

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
