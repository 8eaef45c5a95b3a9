//! A thread-safe registry of dot-separated feature names.
//!
//! Components register the features that they provide, such as `qat` or `qat.compression.deflate`, each with a value or
//! with the reason why it is absent. Other components query features by name or by wildcard, or wait for changes. The
//! crate has no knowledge of any particular feature, and never detects one itself.
//!
//! ```
//! use capability_registry::{Feature, Registry, State, Value};
//!
//! const GPU: Feature = Feature::from_static("gpu");
//! const GPU_MEMORY: Feature = Feature::from_static("gpu.memory-bytes");
//! const GPU_TENSOR: Feature = Feature::from_static("gpu.tensor");
//!
//! let registry = Registry::new();
//! let registration = registry.register("gpu driver", [
//!     (GPU, State::present()),
//!     (GPU_MEMORY, State::Present(Value::Integer(8 << 30))),
//!     (GPU_TENSOR, State::absent("the device is older than generation 7")),
//! ])?;
//!
//! assert!(registry.is_present("gpu"));
//! assert!(registry.is_present("gpu.*"));
//! assert!(!registry.is_present("gpu.tensor"));
//! assert_eq!(
//!     registry.get("gpu.tensor").unwrap().reason(),
//!     Some("the device is older than generation 7"),
//! );
//!
//! drop(registration);
//! assert!(!registry.is_present("*"));
//! # Ok::<(), capability_registry::RegisterError>(())
//! ```
//!
//! # Names and queries
//! A [`Feature`] consists of one or more segments of `a`–`z`, `0`–`9` and `-`, joined by dots, and has at most
//! [`Feature::MAX_LEN`] bytes. Queries have three forms, which are those of a [`Pattern`]:
//!
//! | query   | matches                                                              |
//! |---------|----------------------------------------------------------------------|
//! | `qat`   | the entry `qat` alone                                                |
//! | `qat.*` | every entry below `qat`, at any depth; `qat` itself does not count   |
//! | `*`     | every entry                                                          |
//!
//! Entries are independent of each other: registering `qat.compression` does not make `qat` present, and an absent
//! `qat` does not hide a present `qat.compression`. [`Snapshot::nearest`] returns the entry of the nearest ancestor,
//! which may state the reason for a whole branch.
//!
//! # Ownership
//! Entries belong to the [`Registration`] that added them. It adds, replaces and removes all of them in one step, so
//! that a reader sees either all changes of that step or none. Dropping it removes them. A name has one holder at a
//! time; registering it again is [`RegisterError::Held`], which names that holder.
//!
//! # Thread safety and cost
//! Every public type is `Send` and `Sync`. A read takes no lock and, after the first one of its thread, allocates
//! nothing; [`Registry::is_present`] costs a few atomic operations and one hash lookup, whatever the number of entries.
//! A write takes a lock and rebuilds the snapshot of all entries, because features change rarely. No code of a caller
//! runs under that lock, so that a panic in a caller leaves the registry unchanged.
//!
//! # Cleanup
//! Registries and registrations keep the store alive, and subscriptions do not. When the last [`Registry`] clone and
//! the last [`Registration`] were dropped, each [`Subscription`] returns the changes that it has not returned yet, and
//! ends.
//!
//! # Cargo features
//! - `serde`: `Serialize` and `Deserialize` for [`Feature`], [`Value`], [`State`] and [`Snapshot`].
#![forbid(unsafe_code)]

mod feature;
mod pattern;
mod registry;
#[cfg(feature = "serde")]
mod serde;
mod snapshot;
mod state;
mod subscription;

pub use feature::{Feature, ParseError};
pub use pattern::Pattern;
pub use registry::{RegisterError, Registration, Registry};
pub use snapshot::{Change, Diff, Snapshot};
pub use state::{State, Value};
pub use subscription::{RecvError, Subscription};
