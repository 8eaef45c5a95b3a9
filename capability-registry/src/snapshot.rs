//! Snapshots, which hold the entries of a registry at one moment, and differences between two of them. Registries
//! return them, and subscriptions compare them; they never change.

use std::{cmp::Ordering, collections::BTreeMap, collections::HashMap, fmt, iter, slice, sync::Arc};

use crate::{
    Feature, Pattern, State,
    feature::{parent, validate},
};

/// All entries of a registry at one moment, in the order of their names. A snapshot never changes, and cloning it
/// copies one pointer.
///
/// Two snapshots are equal when their entries are equal, even if their generations differ.
///
/// # Examples
/// ```
/// use capability_registry::{Feature, Registry, State};
///
/// let registry = Registry::new();
/// let _registration = registry.register("demo", [
///     (Feature::from_static("b"), State::absent("not built")),
///     (Feature::from_static("a"), State::present()),
/// ])?;
/// for (feature, state) in &registry.snapshot() {
///     println!("{feature}: {state}");
/// }
/// # Ok::<(), capability_registry::RegisterError>(())
/// ```
#[derive(Clone, Default)]
pub struct Snapshot(Arc<Data>);

/// The sorted entries, with an index that needs one lookup for any name or wildcard.
#[derive(Default)]
pub(crate) struct Data {
    pub(crate) generation: u64,
    entries: Box<[(Feature, State)]>,
    index: HashMap<Feature, Node, foldhash::fast::RandomState>,
    any_present: bool,
}

/// The record of the index for a name that is an entry, or that has a present entry below it.
#[derive(Default)]
struct Node {
    entry: Option<usize>,
    present: bool,
    present_below: bool,
}

impl Data {
    pub(crate) fn new(generation: u64, entries: BTreeMap<Feature, State>) -> Self {
        let entries: Box<[_]> = entries.into_iter().collect();
        let mut index = HashMap::<_, Node, foldhash::fast::RandomState>::default();
        let mut any_present = false;
        for (position, (feature, state)) in entries.iter().enumerate() {
            let node = index.entry(feature.clone()).or_default();
            node.entry = Some(position);
            node.present = state.is_present();
            if node.present {
                any_present = true;
                for ancestor in iter::successors(feature.parent(), Feature::parent) {
                    index.entry(ancestor).or_default().present_below = true;
                }
            }
        }
        Self { generation, entries, index, any_present }
    }

    pub(crate) fn is_present(&self, query: &str) -> bool {
        match query.strip_suffix('*') {
            None => self.index.get(query).is_some_and(|node| node.present),
            Some("") => self.any_present,
            Some(stem) => stem
                .strip_suffix('.')
                .and_then(|root| self.index.get(root))
                .is_some_and(|node| node.present_below),
        }
    }

    fn entry(&self, name: &str) -> Option<&(Feature, State)> {
        Some(&self.entries[self.index.get(name)?.entry?])
    }

    pub(crate) fn get(&self, name: &str) -> Option<&State> {
        self.entry(name).map(|(_, state)| state)
    }

    pub(crate) fn nearest(&self, name: &str) -> Option<&(Feature, State)> {
        validate(name).ok()?;
        iter::successors(Some(name), |name| parent(name)).find_map(|name| self.entry(name))
    }

    pub(crate) fn entries(&self) -> &[(Feature, State)] {
        &self.entries
    }

    fn matching(&self, pattern: &Pattern) -> &[(Feature, State)] {
        match pattern {
            Pattern::All => &self.entries,
            Pattern::Exact(feature) => self.entry(feature.as_str()).map_or(&[], slice::from_ref),
            Pattern::Below(root) => {
                // Names that begin with `root.` are adjacent in byte order.
                let stem = || root.as_str().bytes().chain([b'.']);
                let start = self.entries.partition_point(|(name, _)| name.as_str().bytes().lt(stem()));
                let tail = &self.entries[start..];
                &tail[..tail.partition_point(|(name, _)| name.is_below(root))]
            }
        }
    }
}

impl Snapshot {
    /// Returns the number of changes of the registry before this snapshot; see
    /// [`Registry::generation`](crate::Registry::generation).
    ///
    /// A snapshot that was not taken from a registry has generation 0.
    ///
    /// # Examples
    /// ```
    /// use capability_registry::Registry;
    /// assert_eq!(Registry::new().snapshot().generation(), 0);
    /// ```
    pub fn generation(&self) -> u64 {
        self.0.generation
    }

    /// Returns all entries in the order of the names.
    ///
    /// # Examples
    /// ```
    /// use capability_registry::{Feature, Snapshot, State};
    /// let snapshot = Snapshot::from_iter([(Feature::from_static("qat"), State::present())]);
    /// assert_eq!(snapshot.entries().len(), 1);
    /// ```
    pub fn entries(&self) -> &[(Feature, State)] {
        self.0.entries()
    }

    /// Returns the entries that match `pattern`, in the order of the names.
    ///
    /// # Examples
    /// ```
    /// use capability_registry::{Feature, Snapshot, State};
    /// let snapshot = Snapshot::from_iter([
    ///     (Feature::from_static("qat"), State::present()),
    ///     (Feature::from_static("qat.compression"), State::present()),
    /// ]);
    /// assert_eq!(snapshot.matching(&"qat.*".parse()?)[0].0.as_str(), "qat.compression");
    /// # Ok::<(), capability_registry::ParseError>(())
    /// ```
    pub fn matching(&self, pattern: &Pattern) -> &[(Feature, State)] {
        self.0.matching(pattern)
    }

    /// Returns whether an entry that matches `query` is present in this snapshot; see
    /// [`Registry::is_present`](crate::Registry::is_present).
    ///
    /// # Examples
    /// ```
    /// use capability_registry::Snapshot;
    /// assert!(!Snapshot::default().is_present("*"));
    /// ```
    pub fn is_present(&self, query: &str) -> bool {
        self.0.is_present(query)
    }

    /// Returns the state of the entry `name`, or `None` if there is none or `name` is not a valid name.
    ///
    /// # Examples
    /// ```
    /// use capability_registry::{Feature, Snapshot, State};
    /// let snapshot = Snapshot::from_iter([(Feature::from_static("qat"), State::present())]);
    /// assert_eq!(snapshot.get("qat"), Some(&State::present()));
    /// assert_eq!(snapshot.get("qat.*"), None);
    /// ```
    pub fn get(&self, name: &str) -> Option<&State> {
        self.0.get(name)
    }

    /// Returns the entry `name` or, if there is none, that of its nearest registered ancestor. `None` where there is no
    /// ancestor either.
    ///
    /// The result explains why a feature is missing where only an ancestor was registered as absent.
    ///
    /// # Examples
    /// ```
    /// use capability_registry::{Feature, Snapshot, State};
    /// let snapshot = Snapshot::from_iter([(Feature::from_static("qat"), State::absent("no device"))]);
    /// let (feature, state) = snapshot.nearest("qat.compression.lz4").unwrap();
    /// assert_eq!((feature.as_str(), state.reason()), ("qat", Some("no device")));
    /// ```
    pub fn nearest(&self, name: &str) -> Option<&(Feature, State)> {
        self.0.nearest(name)
    }

    /// Returns the changes from this snapshot to a `newer` one.
    ///
    /// # Examples
    /// ```
    /// use capability_registry::{Feature, Snapshot, State};
    /// let old = Snapshot::default();
    /// let new = Snapshot::from_iter([(Feature::from_static("qat"), State::present())]);
    /// assert_eq!(old.diff(&new).added, new.entries());
    /// assert_eq!(new.diff(&old).removed, new.entries());
    /// ```
    pub fn diff(&self, newer: &Self) -> Diff {
        self.diff_matching(newer, &Pattern::All)
    }

    pub(crate) fn diff_matching(&self, newer: &Self, pattern: &Pattern) -> Diff {
        let mut diff = Diff::default();
        let mut old = self.matching(pattern).iter().peekable();
        let mut new = newer.matching(pattern).iter().peekable();
        loop {
            let order = match (old.peek(), new.peek()) {
                (None, None) => return diff,
                (Some(_), None) => Ordering::Less,
                (None, Some(_)) => Ordering::Greater,
                (Some((before, _)), Some((after, _))) => before.cmp(after),
            };
            let before = old.next_if(|_| order.is_le());
            let after = new.next_if(|_| order.is_ge());
            match (before, after) {
                (Some((feature, before)), Some((_, after))) if before != after => diff.changed.push(Change {
                    feature: feature.clone(),
                    before: before.clone(),
                    after: after.clone(),
                }),
                (Some(entry), None) => diff.removed.push(entry.clone()),
                (None, Some(entry)) => diff.added.push(entry.clone()),
                _ => {}
            }
        }
    }
}

impl From<Arc<Data>> for Snapshot {
    fn from(data: Arc<Data>) -> Self {
        Self(data)
    }
}

/// Collects entries. Of two entries with the same name, the later one is kept.
impl FromIterator<(Feature, State)> for Snapshot {
    fn from_iter<I: IntoIterator<Item = (Feature, State)>>(entries: I) -> Self {
        Self(Arc::new(Data::new(0, entries.into_iter().collect())))
    }
}

impl<'a> IntoIterator for &'a Snapshot {
    type Item = &'a (Feature, State);
    type IntoIter = slice::Iter<'a, (Feature, State)>;

    fn into_iter(self) -> Self::IntoIter {
        self.entries().iter()
    }
}

impl PartialEq for Snapshot {
    fn eq(&self, other: &Self) -> bool {
        self.entries() == other.entries()
    }
}

impl Eq for Snapshot {}

impl fmt::Debug for Snapshot {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_map().entries(self.into_iter().map(|(feature, state)| (feature, state))).finish()
    }
}

/// The changes between two snapshots. Each list is in the order of the names.
///
/// # Examples
/// ```
/// use capability_registry::Snapshot;
/// let same = Snapshot::default();
/// assert!(same.diff(&same).is_empty());
/// ```
#[derive(Debug, Clone, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Diff {
    /// The entries that only the newer snapshot has.
    pub added: Vec<(Feature, State)>,
    /// The entries that only the older snapshot has, with their states there.
    pub removed: Vec<(Feature, State)>,
    /// The entries that both snapshots have, in different states.
    pub changed: Vec<Change>,
}

impl Diff {
    /// Returns whether nothing changed.
    ///
    /// # Examples
    /// ```
    /// assert!(capability_registry::Diff::default().is_empty());
    /// ```
    pub fn is_empty(&self) -> bool {
        self.added.is_empty() && self.removed.is_empty() && self.changed.is_empty()
    }
}

/// An entry whose state changed.
///
/// # Examples
/// ```
/// use capability_registry::{Feature, Snapshot, State};
///
/// const QAT: Feature = Feature::from_static("qat");
/// let old = Snapshot::from_iter([(QAT, State::present())]);
/// let new = Snapshot::from_iter([(QAT, State::absent("the device was removed"))]);
/// let change = &old.diff(&new).changed[0];
/// assert!(change.before.is_present());
/// assert_eq!(change.after.reason(), Some("the device was removed"));
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Change {
    /// The name of the entry.
    pub feature: Feature,
    /// Its state in the older snapshot.
    pub before: State,
    /// Its state in the newer snapshot.
    pub after: State,
}

#[cfg(test)]
mod tests {
    use super::*;

    fn snapshot(entries: &[(&'static str, State)]) -> Snapshot {
        entries.iter().map(|(name, state)| (Feature::from_static(name), state.clone())).collect()
    }

    fn names<'a>(snapshot: &'a Snapshot, pattern: &str) -> Vec<&'a str> {
        snapshot.matching(&pattern.parse().unwrap()).iter().map(|(feature, _)| feature.as_str()).collect()
    }

    #[test]
    fn wildcards_skip_neighbours_in_byte_order() {
        // `-` sorts before `.` and `0` after it, so that other names precede and follow the branch.
        let snapshot = snapshot(
            &["qat", "qat-x", "qat-x.a", "qat.a", "qat.a.b", "qat.a-b", "qat0", "qat0.a", "zz"]
                .map(|name| (name, State::present())),
        );
        assert_eq!(names(&snapshot, "qat.*"), ["qat.a", "qat.a-b", "qat.a.b"]);
        assert_eq!(names(&snapshot, "qat.a.*"), ["qat.a.b"]);
        assert_eq!(names(&snapshot, "qat"), ["qat"]);
        assert_eq!(names(&snapshot, "zz.*"), [""; 0]);
        assert_eq!(names(&snapshot, "*").len(), 9);
    }

    #[test]
    fn only_present_entries_answer_yes() {
        let snapshot = snapshot(&[
            ("a", State::absent("no a")),
            ("a.b.c", State::present()),
            ("d", State::present()),
            ("d.e", State::absent("no e")),
        ]);
        for (query, expected) in [
            ("a", false),
            ("a.*", true),
            ("a.b", false),
            ("a.b.*", true),
            ("a.b.c", true),
            ("a.b.c.*", false),
            ("d", true),
            ("d.*", false),
            ("*", true),
            ("", false),
            (".*", false),
            ("**", false),
            ("a*", false),
            ("a.**", false),
            ("a.b.*.*", false),
            ("D", false),
        ] {
            assert_eq!(snapshot.is_present(query), expected, "{query:?}");
        }
    }

    #[test]
    fn nearest_climbs_over_unregistered_levels_and_refuses_invalid_names() {
        let snapshot = snapshot(&[("a", State::absent("no a")), ("a.b.c", State::present())]);
        let name = |query| snapshot.nearest(query).map(|(feature, _)| feature.as_str());
        assert_eq!(name("a.b.c"), Some("a.b.c"));
        assert_eq!(name("a.b.c.d.e"), Some("a.b.c"));
        assert_eq!(name("a.b"), Some("a"));
        assert_eq!(name("b"), None);
        assert_eq!(name("a..b"), None);
        assert_eq!(name("a.*"), None);
    }

    #[test]
    fn diff_separates_added_removed_and_changed() {
        let old = snapshot(&[("a", State::present()), ("b", State::present()), ("c", State::absent("off"))]);
        let new =
            snapshot(&[("b", State::absent("gone")), ("c", State::absent("off")), ("d", State::present())]);
        let diff = old.diff(&new);
        assert_eq!(diff.added, [(Feature::from_static("d"), State::present())]);
        assert_eq!(diff.removed, [(Feature::from_static("a"), State::present())]);
        let b = Change {
            feature: Feature::from_static("b"),
            before: State::present(),
            after: State::absent("gone"),
        };
        assert_eq!(diff.changed, [b]);
    }
}
