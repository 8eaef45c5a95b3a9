//! Compares the registry with simple models of it, on random operations.

use std::collections::BTreeMap;

use capability_registry::{
    Diff, Feature, Pattern, RegisterError, Registration, Registry, Snapshot, State, Subscription, Value,
};
use proptest::{collection::vec, option, prelude::*};

type Model = BTreeMap<Feature, State>;

/// Generates names of a few short segments, so that they are often equal, nested or adjacent.
fn feature() -> impl Strategy<Value = Feature> {
    vec(prop::sample::select(vec!["a", "b", "a-b", "a0"]), 1..4)
        .prop_map(|segments| segments.join(".").parse().unwrap())
}

fn state() -> impl Strategy<Value = State> {
    prop_oneof![
        Just(State::present()),
        (0..3u64).prop_map(|number| State::Present(Value::Integer(number))),
        "[xy]".prop_map(|text| State::Present(Value::Text(text.into()))),
        "[xy]".prop_map(State::absent),
    ]
}

fn entries() -> impl Strategy<Value = Vec<(Feature, State)>> {
    vec((feature(), state()), 0..6)
}

/// Generates patterns, names, and texts that are neither.
fn query() -> impl Strategy<Value = String> {
    prop_oneof!["[ab](\\.[ab]){0,2}(\\.\\*)?", "[ab0.*-]{0,6}", any::<String>()]
}

/// Checks the grammar of names as the documentation states it, independently of the parser.
fn is_name(text: &str) -> bool {
    text.len() <= 128
        && text.split('.').all(|segment| {
            !segment.is_empty()
                && segment.chars().all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-')
        })
}

/// Returns whether a pattern matches a feature, by comparing segments instead of bytes.
fn selects(pattern: &str, feature: &Feature) -> bool {
    let wanted: Vec<_> = pattern.split('.').collect();
    let segments: Vec<_> = feature.segments().collect();
    match wanted.split_last() {
        Some((&"*", root)) => segments.len() > root.len() && segments.starts_with(root),
        _ => segments == wanted,
    }
}

fn apply(model: &mut Model, diff: Diff) {
    for (feature, state) in diff.removed {
        assert_eq!(model.remove(&feature), Some(state));
    }
    for (feature, state) in diff.added {
        assert_eq!(model.insert(feature, state), None);
    }
    for change in diff.changed {
        assert_ne!(change.before, change.after);
        assert_eq!(model.insert(change.feature, change.after), Some(change.before));
    }
}

fn model_of(snapshot: &Snapshot) -> Model {
    snapshot.entries().iter().cloned().collect()
}

proptest! {
    #[test]
    fn parsing_follows_the_grammar(text in prop_oneof![query(), "[a-c.-]{120,136}"]) {
        let parsed = text.parse::<Feature>();
        prop_assert_eq!(parsed.is_ok(), is_name(&text));
        if let Ok(feature) = parsed {
            prop_assert_eq!(feature.to_string(), text);
        }
    }

    #[test]
    fn a_pattern_prints_as_it_was_written(text in query()) {
        if let Ok(pattern) = text.parse::<Pattern>() {
            prop_assert_eq!(pattern.to_string(), text);
        }
    }

    #[test]
    fn queries_select_by_segments(entries in entries(), query in query()) {
        let snapshot: Snapshot = entries.into_iter().collect();
        let Ok(pattern) = query.parse::<Pattern>() else {
            prop_assert!(!snapshot.is_present(&query));
            prop_assert_eq!(snapshot.get(&query), None);
            return Ok(());
        };
        let expected: Vec<_> =
            snapshot.entries().iter().filter(|(feature, _)| selects(&query, feature)).cloned().collect();
        prop_assert!(snapshot.entries().iter().all(|(feature, _)| pattern.matches(feature) == selects(&query, feature)));
        prop_assert_eq!(snapshot.matching(&pattern), &expected[..]);
        prop_assert_eq!(snapshot.is_present(&query), expected.iter().any(|(_, state)| state.is_present()));
    }

    #[test]
    fn nearest_is_the_longest_registered_prefix(entries in entries(), feature in feature()) {
        let snapshot: Snapshot = entries.into_iter().collect();
        let expected = snapshot
            .entries()
            .iter()
            .filter(|(other, _)| feature.is_within(other))
            .max_by_key(|(other, _)| other.segments().count());
        prop_assert_eq!(snapshot.nearest(feature.as_str()), expected);
    }

    #[test]
    fn a_diff_leads_from_old_to_new(old in entries(), new in entries()) {
        let (old, new): (Snapshot, Snapshot) = (old.into_iter().collect(), new.into_iter().collect());
        let mut model = model_of(&old);
        let diff = old.diff(&new);
        prop_assert_eq!(diff.is_empty(), old == new);
        apply(&mut model, diff);
        prop_assert_eq!(model, model_of(&new));
    }
}

/// A step adds, replaces or drops one of a few registrations, and in some steps the subscriber receives.
#[derive(Debug, Clone)]
struct Step {
    slot: usize,
    entries: Option<Vec<(Feature, State)>>,
    receive: bool,
}

fn step() -> impl Strategy<Value = Step> {
    (0..3usize, option::weighted(0.8, entries()), any::<bool>()).prop_map(|(slot, entries, receive)| Step {
        slot,
        entries,
        receive,
    })
}

/// Returns the expected result of registering `entries` for `slot`.
fn verdict(groups: &[Model; 3], slot: usize, entries: &[(Feature, State)]) -> Result<Model, RegisterError> {
    let mut group = Model::new();
    for (feature, state) in entries {
        if group.insert(feature.clone(), state.clone()).is_some() {
            return Err(RegisterError::Duplicate { feature: feature.clone() });
        }
    }
    for feature in group.keys() {
        for (other, held) in groups.iter().enumerate() {
            if other != slot && held.contains_key(feature) {
                let holder = format!("owner {other}").into();
                return Err(RegisterError::Held { feature: feature.clone(), holder });
            }
        }
    }
    Ok(group)
}

fn receive(subscription: &mut Subscription, pattern: &str, seen: &mut Model, now: &Model) {
    while let Ok(diff) = subscription.try_recv() {
        assert!(!diff.is_empty());
        apply(seen, diff);
    }
    let mut expected = now.clone();
    expected.retain(|feature, _| selects(pattern, feature));
    assert_eq!(*seen, expected);
    assert_eq!(model_of(subscription.snapshot()), *now);
}

proptest! {
    #[test]
    fn registrations_behave_as_maps(
        steps in vec(step(), 1..24),
        pattern in prop::sample::select(vec!["*", "a", "a.*", "a-b.a.*"]),
    ) {
        let registry = Registry::new();
        let mut subscription = registry.subscribe(pattern.parse().unwrap());
        let mut seen = Model::new();
        let mut guards: [Option<Registration>; 3] = Default::default();
        let mut groups: [Model; 3] = Default::default();
        let mut generation = 0;
        let mut before = Model::new();

        for Step { slot, entries, receive: look } in steps {
            match entries {
                None => {
                    guards[slot] = None;
                    groups[slot].clear();
                }
                Some(entries) => {
                    let expected = verdict(&groups, slot, &entries);
                    let answer = match &guards[slot] {
                        Some(guard) => guard.replace(entries),
                        None => registry
                            .register(&format!("owner {slot}"), entries)
                            .map(|guard| guards[slot] = Some(guard)),
                    };
                    prop_assert_eq!(answer.err(), expected.as_ref().err().cloned());
                    if let Ok(group) = expected {
                        groups[slot] = group;
                    }
                }
            }
            let now: Model = groups.iter().flatten().map(|(f, s)| (f.clone(), s.clone())).collect();
            generation += u64::from(now != before);
            prop_assert_eq!(model_of(&registry.snapshot()), now.clone());
            prop_assert_eq!(registry.generation(), generation);
            if look {
                receive(&mut subscription, pattern, &mut seen, &now);
            }
            before = now;
        }

        drop((guards, registry));
        let rest: Vec<_> = subscription.by_ref().collect();
        rest.into_iter().for_each(|diff| apply(&mut seen, diff));
        prop_assert_eq!(seen, Model::new());
    }
}
