//! The registry, and the registrations that fill it. Components register here, and readers query here; no code of a
//! caller ever runs while the lock is held.

use std::{
    collections::{BTreeMap, btree_map},
    fmt,
    sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError},
    task::Waker,
};

use arc_swap::ArcSwap;
use thiserror::Error;

use crate::{Feature, Pattern, Snapshot, State, Subscription, snapshot::Data};

/// A store of features. Clones share one store.
///
/// # Examples
/// ```
/// use capability_registry::{Feature, Registry, State};
///
/// let registry = Registry::new();
/// let reader = registry.clone();
/// let _registration = registry.register("demo", [(Feature::from_static("demo"), State::present())])?;
/// assert!(reader.is_present("demo"));
/// # Ok::<(), capability_registry::RegisterError>(())
/// ```
#[derive(Clone)]
pub struct Registry(Arc<Handle>);

/// The part that registries and registrations share. When it is dropped, no further change is possible, and all
/// subscriptions end.
struct Handle(Arc<Core>);

/// The part that the [`Handle`] and the subscriptions share.
pub(crate) struct Core {
    /// The current entries, which readers load without a lock. They are replaced only while `writer` is locked.
    pub(crate) current: ArcSwap<Data>,
    writer: Mutex<Writer>,
    /// Notified after each change of `current`, and after `closed` was set.
    pub(crate) changed: Condvar,
}

#[derive(Default)]
pub(crate) struct Writer {
    /// The owner of each entry of `current`.
    holders: BTreeMap<Feature, Arc<str>>,
    pub(crate) closed: bool,
    /// The wakers of tasks that wait in [`Subscription::poll_recv`], by the number of the subscription.
    pub(crate) wakers: BTreeMap<u64, Waker>,
    /// The number of the next subscription that waits.
    next_number: u64,
}

impl Writer {
    /// Returns a number that no other subscription of this registry has.
    pub(crate) fn number(&mut self) -> u64 {
        self.next_number += 1;
        self.next_number
    }
}

impl Core {
    pub(crate) fn lock(&self) -> MutexGuard<'_, Writer> {
        // A poisoned lock is usable, because only code of this crate runs under it, which leaves no partial change.
        self.writer.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Replaces all entries of `owner` by `entries`, or changes nothing where that fails.
    fn replace(&self, owner: &Arc<str>, entries: BTreeMap<Feature, State>) -> Result<(), RegisterError> {
        let mut writer = self.lock();
        // Each registration allocates the name of its owner, so that the address identifies it even if names are equal.
        let is_own = |holder: &Arc<str>| Arc::ptr_eq(holder, owner);
        for feature in entries.keys() {
            if let Some(holder) = writer.holders.get(feature).filter(|holder| !is_own(holder)) {
                return Err(RegisterError::Held { feature: feature.clone(), holder: holder.clone() });
            }
        }
        let current = self.current.load();
        let mut merged: BTreeMap<_, _> = current
            .entries()
            .iter()
            .filter(|(feature, _)| !is_own(&writer.holders[feature]))
            .cloned()
            .collect();
        let owned: Vec<_> = entries.keys().cloned().collect();
        merged.extend(entries);
        let next = Data::new(current.generation + 1, merged);
        if next.entries() == current.entries() {
            return Ok(());
        }
        self.current.store(Arc::new(next));
        writer.holders.retain(|_, holder| !is_own(holder));
        writer.holders.extend(owned.into_iter().map(|feature| (feature, owner.clone())));
        self.announce(writer);
        Ok(())
    }

    /// Releases the lock, and then wakes all threads and tasks that wait for a change.
    fn announce(&self, mut writer: MutexGuard<'_, Writer>) {
        let wakers = std::mem::take(&mut writer.wakers);
        drop(writer);
        self.changed.notify_all();
        // A waker runs code of the caller, which may use this registry. Under the lock that would be a deadlock.
        wakers.into_values().for_each(Waker::wake);
    }
}

impl Registry {
    /// Returns an empty registry, which is independent of all others.
    ///
    /// # Examples
    /// ```
    /// use capability_registry::Registry;
    /// assert!(Registry::new().snapshot().entries().is_empty());
    /// ```
    pub fn new() -> Self {
        Self(Arc::new(Handle(Arc::new(Core {
            current: ArcSwap::default(),
            writer: Mutex::default(),
            changed: Condvar::new(),
        }))))
    }

    /// Adds `entries` in one step and returns the guard that owns them.
    ///
    /// `owner` is a name for people, which [`RegisterError::Held`] reports. `entries` may be empty; the guard can add
    /// entries later with [`Registration::replace`].
    ///
    /// # Errors
    /// [`RegisterError::Duplicate`] if a name occurs twice in `entries`, and [`RegisterError::Held`] if another
    /// registration holds one, in whatever state. Nothing is registered then.
    ///
    /// # Examples
    /// ```
    /// use capability_registry::{Feature, RegisterError, Registry, State};
    ///
    /// const QAT: Feature = Feature::from_static("qat");
    /// let registry = Registry::new();
    /// let _first = registry.register("driver", [(QAT, State::present())])?;
    /// let error = registry.register("plugin", [(QAT, State::present())]).unwrap_err();
    /// assert!(matches!(error, RegisterError::Held { holder, .. } if &*holder == "driver"));
    /// # Ok::<(), RegisterError>(())
    /// ```
    pub fn register(
        &self,
        owner: &str,
        entries: impl IntoIterator<Item = (Feature, State)>,
    ) -> Result<Registration, RegisterError> {
        let owner = Arc::from(owner);
        self.0.0.replace(&owner, group(entries)?)?;
        Ok(Registration { handle: self.0.clone(), owner })
    }

    /// Returns whether an entry that matches `query` is present. This takes no lock.
    ///
    /// `query` has the form of a [`Pattern`]: `qat` is that entry, `qat.*` any entry below it at any depth, and `*` any
    /// entry. A text that is not a pattern matches nothing, so that the result is `false`.
    ///
    /// # Examples
    /// ```
    /// use capability_registry::{Feature, Registry, State};
    ///
    /// let registry = Registry::new();
    /// let _registration =
    ///     registry.register("demo", [(Feature::from_static("qat.compression"), State::present())])?;
    /// assert!(registry.is_present("qat.compression"));
    /// assert!(registry.is_present("qat.*"));
    /// assert!(!registry.is_present("qat"));
    /// assert!(!registry.is_present("not a name!"));
    /// # Ok::<(), capability_registry::RegisterError>(())
    /// ```
    #[inline]
    pub fn is_present(&self, query: &str) -> bool {
        self.0.0.current.load().is_present(query)
    }

    /// Returns the state of the entry `name`, or `None` if there is none or `name` is not a valid name. This takes no
    /// lock.
    ///
    /// # Examples
    /// ```
    /// use capability_registry::Registry;
    /// assert_eq!(Registry::new().get("qat"), None);
    /// ```
    pub fn get(&self, name: &str) -> Option<State> {
        self.0.0.current.load().get(name).cloned()
    }

    /// Returns the entry `name` or, if there is none, that of its nearest registered ancestor; see
    /// [`Snapshot::nearest`]. This takes no lock.
    ///
    /// # Examples
    /// ```
    /// use capability_registry::{Feature, Registry, State};
    ///
    /// let registry = Registry::new();
    /// let _registration =
    ///     registry.register("driver", [(Feature::from_static("qat"), State::absent("no device"))])?;
    /// let (_, state) = registry.nearest("qat.compression").unwrap();
    /// assert_eq!(state.reason(), Some("no device"));
    /// # Ok::<(), capability_registry::RegisterError>(())
    /// ```
    pub fn nearest(&self, name: &str) -> Option<(Feature, State)> {
        self.0.0.current.load().nearest(name).cloned()
    }

    /// Returns all entries at this moment. This takes no lock.
    ///
    /// Several queries whose results must be consistent should use one snapshot.
    ///
    /// # Examples
    /// ```
    /// use capability_registry::{Feature, Registry, State};
    ///
    /// let registry = Registry::new();
    /// let before = registry.snapshot();
    /// let _registration = registry.register("demo", [(Feature::from_static("qat"), State::present())])?;
    /// assert_eq!(before.diff(&registry.snapshot()).added.len(), 1);
    /// # Ok::<(), capability_registry::RegisterError>(())
    /// ```
    pub fn snapshot(&self) -> Snapshot {
        self.0.0.current.load_full().into()
    }

    /// Returns the number of changes so far: 0 for a new registry, and one more for each operation that changed an
    /// entry.
    ///
    /// Equal generations of one registry imply equal content.
    ///
    /// # Examples
    /// ```
    /// use capability_registry::{Feature, Registry, State};
    ///
    /// let registry = Registry::new();
    /// let registration = registry.register("demo", [(Feature::from_static("qat"), State::present())])?;
    /// assert_eq!(registry.generation(), 1);
    /// registration.replace([(Feature::from_static("qat"), State::present())])?;
    /// assert_eq!(registry.generation(), 1);
    /// drop(registration);
    /// assert_eq!(registry.generation(), 2);
    /// # Ok::<(), capability_registry::RegisterError>(())
    /// ```
    pub fn generation(&self) -> u64 {
        self.0.0.current.load().generation
    }

    /// Returns a subscription to changes of the entries that match `pattern`, from this moment on.
    ///
    /// # Examples
    /// ```
    /// use capability_registry::{Feature, Registry, State};
    ///
    /// let registry = Registry::new();
    /// let mut subscription = registry.subscribe("qat.*".parse()?);
    /// let _registration =
    ///     registry.register("demo", [(Feature::from_static("qat.compression"), State::present())])?;
    /// assert_eq!(subscription.recv().unwrap().added[0].0.as_str(), "qat.compression");
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn subscribe(&self, pattern: Pattern) -> Subscription {
        Subscription::new(self.0.0.clone(), pattern, self.snapshot())
    }
}

impl Default for Registry {
    fn default() -> Self {
        Self::new()
    }
}

impl fmt::Debug for Registry {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Registry").field(&self.snapshot()).finish()
    }
}

impl Drop for Handle {
    fn drop(&mut self) {
        let mut writer = self.0.lock();
        writer.closed = true;
        self.0.announce(writer);
    }
}

/// Owns entries of a [`Registry`]. Dropping it removes all of them in one step.
///
/// It remains usable after the last clone of the registry was dropped, for existing snapshots and subscriptions.
///
/// # Examples
/// ```
/// use capability_registry::{Feature, Registry, State};
///
/// const QAT: Feature = Feature::from_static("qat");
/// let registry = Registry::new();
/// let registration = registry.register("driver", [(QAT, State::present())])?;
/// registration.replace([(QAT, State::absent("the device was removed"))])?;
/// assert!(!registry.is_present("qat"));
/// # Ok::<(), capability_registry::RegisterError>(())
/// ```
#[must_use = "dropping a registration removes its entries"]
pub struct Registration {
    handle: Arc<Handle>,
    owner: Arc<str>,
}

impl Registration {
    /// Returns the owner that was named at registration.
    ///
    /// # Examples
    /// ```
    /// use capability_registry::Registry;
    /// assert_eq!(Registry::new().register("driver", [])?.owner(), "driver");
    /// # Ok::<(), capability_registry::RegisterError>(())
    /// ```
    pub fn owner(&self) -> &str {
        &self.owner
    }

    /// Replaces all entries of this registration by `entries` in one step.
    ///
    /// # Errors
    /// The errors of [`Registry::register`]. The previous entries are kept then.
    ///
    /// # Examples
    /// ```
    /// use capability_registry::{Feature, Registry, State};
    ///
    /// let registry = Registry::new();
    /// let registration = registry.register("driver", [(Feature::from_static("old"), State::present())])?;
    /// registration.replace([(Feature::from_static("new"), State::present())])?;
    /// assert!(!registry.is_present("old") && registry.is_present("new"));
    /// # Ok::<(), capability_registry::RegisterError>(())
    /// ```
    pub fn replace(&self, entries: impl IntoIterator<Item = (Feature, State)>) -> Result<(), RegisterError> {
        self.handle.0.replace(&self.owner, group(entries)?)
    }
}

impl fmt::Debug for Registration {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Registration").field("owner", &self.owner).finish_non_exhaustive()
    }
}

impl Drop for Registration {
    fn drop(&mut self) {
        // This cannot fail, because an empty group neither repeats a name nor has one of another holder.
        let _ = self.handle.0.replace(&self.owner, BTreeMap::new());
    }
}

/// The reason why entries could not be registered.
///
/// # Examples
/// ```
/// use capability_registry::{Feature, Registry, State};
///
/// const QAT: Feature = Feature::from_static("qat");
/// let error = Registry::new()
///     .register("driver", [(QAT, State::present()), (QAT, State::absent("no device"))])
///     .unwrap_err();
/// assert_eq!(error.to_string(), "`qat` occurs twice in one registration; name each feature once");
/// ```
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum RegisterError {
    /// A name occurs twice in one registration.
    #[error("`{feature}` occurs twice in one registration; name each feature once")]
    Duplicate {
        /// The name.
        feature: Feature,
    },
    /// Another registration holds the name.
    #[error("`{feature}` is registered by `{holder}`; drop that registration first or use another name")]
    Held {
        /// The name.
        feature: Feature,
        /// The owner of the other registration.
        holder: Arc<str>,
    },
}

/// Collects the entries of the caller's iterator before the lock is taken, because the iterator may use the registry.
fn group(
    entries: impl IntoIterator<Item = (Feature, State)>,
) -> Result<BTreeMap<Feature, State>, RegisterError> {
    let mut group = BTreeMap::new();
    for (feature, state) in entries {
        match group.entry(feature) {
            btree_map::Entry::Vacant(entry) => drop(entry.insert(state)),
            btree_map::Entry::Occupied(entry) => {
                return Err(RegisterError::Duplicate { feature: entry.key().clone() });
            }
        }
    }
    Ok(group)
}
