//! Thread-safe store of dot-separated feature strings.
//!
//! A component says what it can do by registering features such as `qat` or `qat.compression.deflate`, each
//! with a value or with the reason why it is absent. Everyone else asks by name, by wildcard, or waits for
//! a change. The crate knows nothing of any particular feature.
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
//! A [`Feature`] is one or more segments of `a`–`z`, `0`–`9` and `-`, joined by dots, [`Feature::MAX_LEN`]
//! bytes at most. Queries have three forms, typed as [`Pattern`]:
//!
//! | query   | answers for                                                          |
//! |---------|----------------------------------------------------------------------|
//! | `qat`   | the entry `qat` alone                                                |
//! | `qat.*` | every entry below `qat`, at any depth; `qat` itself does not count   |
//! | `*`     | every entry                                                          |
//!
//! Entries stand for themselves: registering `qat.compression` does not make `qat` present, and an absent
//! `qat` does not hide a present `qat.compression`. [`Snapshot::nearest`] climbs the hierarchy for those who
//! want the reason given for a whole branch.
//!
//! # Ownership
//! Entries belong to the [`Registration`] that brought them. It adds, replaces and removes them in one step
//! each, so a reader sees all of a group or none of it; dropping it removes them. A name has one holder at a
//! time; a second one gets [`RegisterError::Held`], which names the first.
//!
//! # Thread safety and cost
//! Every public type is `Send` and `Sync`. A read is lock-free and, after the first of its thread, allocates
//! nothing; [`Registry::is_present`] is a few atomic operations and one hash lookup, whatever the number of
//! entries. A write takes a lock and rebuilds the snapshot of all entries: features change rarely. No user
//! code runs under that lock, so a panic in a caller leaves the registry as it was.
//!
//! # Cleanup
//! Registries and registrations keep the store alive, subscriptions do not: when the last [`Registry`] clone
//! and the last [`Registration`] are gone, each [`Subscription`] delivers what it still owes and then ends.
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
