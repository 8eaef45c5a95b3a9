//! Tests of one registry in several threads, and of the order in which its parts are dropped.

use std::{
    panic::{AssertUnwindSafe, catch_unwind},
    sync::{
        atomic::{AtomicBool, Ordering},
        mpsc,
    },
    thread,
    time::{Duration, Instant},
};

use capability_registry::{
    Change, Diff, Feature, Pattern, RecvError, RegisterError, Registration, Registry, Snapshot, State,
    Subscription, Value,
};
use static_assertions::assert_impl_all;

assert_impl_all!(Registry: Send, Sync, Clone);
assert_impl_all!(Registration: Send, Sync);
assert_impl_all!(Subscription: Send, Sync, Iterator);
assert_impl_all!(Snapshot: Send, Sync, Clone);
assert_impl_all!(Pattern: Send, Sync);
assert_impl_all!(Diff: Send, Sync);
assert_impl_all!(Change: Send, Sync);
assert_impl_all!(RegisterError: Send, Sync, std::error::Error);

const A: Feature = Feature::from_static("a");
const B: Feature = Feature::from_static("a.b");
/// A timeout that is long enough for a loaded machine. Only a failing test waits this long.
const TIMEOUT: Duration = Duration::from_secs(20);

fn both(number: u64) -> [(Feature, State); 2] {
    [A, B].map(|feature| (feature, State::Present(Value::Integer(number))))
}

fn number(snapshot: &Snapshot, feature: &Feature) -> Option<u64> {
    match snapshot.get(feature.as_str())?.value()? {
        Value::Integer(number) => Some(*number),
        _ => None,
    }
}

#[test]
fn readers_never_see_half_of_a_group() {
    const ROUNDS: u64 = 4_000;
    let registry = Registry::new();
    let stop = AtomicBool::new(false);
    thread::scope(|scope| {
        for _ in 0..3 {
            scope.spawn(|| {
                let (mut last, mut seen) = (0, 0u64);
                while !stop.load(Ordering::Relaxed) || seen == 0 {
                    let snapshot = registry.snapshot();
                    assert!(snapshot.generation() >= last, "time runs backwards");
                    last = snapshot.generation();
                    assert_eq!(number(&snapshot, &A), number(&snapshot, &B));
                    assert_eq!(snapshot.is_present("a"), snapshot.is_present("a.*"));
                    assert!(matches!(snapshot.entries().len(), 0 | 2));
                    seen += 1;
                }
            });
        }
        for round in 0..ROUNDS {
            let registration = registry.register("writer", both(round)).unwrap();
            registration.replace(both(round + ROUNDS)).unwrap();
        }
        stop.store(true, Ordering::Relaxed);
    });
    assert_eq!(registry.generation(), 3 * ROUNDS);
}

#[test]
fn one_of_many_racing_for_a_name_gets_it() {
    let registry = Registry::new();
    for _ in 0..200 {
        let answers: Vec<_> = thread::scope(|scope| {
            let racers: Vec<_> = ["left", "right"]
                .map(|owner| scope.spawn(|| registry.register(owner, both(1))))
                .into_iter()
                .collect();
            racers.into_iter().map(|racer| racer.join().unwrap()).collect()
        });
        let (won, lost): (Vec<_>, Vec<_>) = answers.into_iter().partition(Result::is_ok);
        let won = won.into_iter().map(Result::unwrap).next().unwrap();
        let [Err(RegisterError::Held { feature, holder })] = &lost[..] else { panic!("{lost:?}") };
        assert_eq!((feature, &**holder), (&A, won.owner()));
    }
}

#[test]
fn the_same_owner_name_twice_is_two_owners() {
    let registry = Registry::new();
    let first = registry.register("driver", both(1)).unwrap();
    registry.register("driver", both(2)).unwrap_err();
    let second = registry.register("driver", [(Feature::from_static("c"), State::present())]).unwrap();
    drop(first);
    assert_eq!(registry.snapshot().entries().len(), 1);
    drop(second);
    assert!(registry.snapshot().entries().is_empty());
}

#[test]
fn a_consumer_that_sleeps_gets_the_final_state_in_one_piece() {
    let registry = Registry::new();
    let mut subscription = registry.subscribe(Pattern::All);
    let registration = registry.register("writer", []).unwrap();
    for round in 1..=10_000 {
        registration.replace(both(round)).unwrap();
    }
    assert_eq!(subscription.recv().unwrap().added, both(10_000));
    assert_eq!(subscription.try_recv(), Err(RecvError::Empty));

    registration.replace([]).unwrap();
    registration.replace(both(10_000)).unwrap();
    assert_eq!(subscription.try_recv(), Err(RecvError::Empty), "undone changes are no change");
}

#[test]
fn waiting_consumers_lose_no_wakeup() {
    const ROUNDS: u64 = 2_000;
    let registry = Registry::new();
    let mut subscription = registry.subscribe(Pattern::Below(A));
    let (reached, at) = mpsc::channel();
    let consumer = thread::spawn(move || {
        while subscription.recv().is_some() {
            if let Some(number) = number(subscription.snapshot(), &B) {
                reached.send(number).unwrap();
            }
        }
    });
    let registration = registry.register("writer", []).unwrap();
    // The writer waits for the consumer after each change, so that the consumer often goes to sleep during a change.
    for round in 1..=ROUNDS {
        registration.replace(both(round)).unwrap();
        assert_eq!(at.recv_timeout(TIMEOUT), Ok(round));
    }
    drop((registration, registry));
    consumer.join().unwrap();
}

#[test]
fn changes_elsewhere_do_not_end_a_wait() {
    let registry = Registry::new();
    let mut subscription = registry.subscribe(Pattern::Exact(B));
    let _registration = registry.register("writer", [(A, State::present())]).unwrap();
    let start = Instant::now();
    assert_eq!(subscription.recv_timeout(Duration::from_millis(20)), Err(RecvError::Empty));
    assert!(start.elapsed() >= Duration::from_millis(20));
    assert!(subscription.snapshot().is_present("a"));
}

#[test]
fn an_endless_timeout_waits_for_the_change() {
    let registry = Registry::new();
    let mut subscription = registry.subscribe(Pattern::All);
    let _registration = registry.register("writer", both(1)).unwrap();
    assert_eq!(subscription.recv_timeout(Duration::MAX).unwrap().added, both(1));
}

#[test]
fn a_consumer_may_register_and_may_panic() {
    let registry = Registry::new();
    let mut subscription = registry.subscribe(Pattern::Exact(A));
    let consumer = registry.clone();
    let first = registry.register("first", [(A, State::present())]).unwrap();
    let panicked: Result<(), _> = catch_unwind(AssertUnwindSafe(|| {
        assert!(subscription.recv().is_some());
        let _second = consumer.register("second", [(B, State::present())]).unwrap();
        panic!("while a change is handled and a registration is held");
    }));
    assert_eq!(
        panicked.unwrap_err().downcast_ref(),
        Some(&"while a change is handled and a registration is held")
    );
    assert!(registry.is_present("a") && !registry.is_present("a.b"));
    drop(first);
    assert_eq!(subscription.recv().unwrap().removed, [(A, State::present())]);
}

#[test]
fn a_panicking_iterator_registers_nothing() {
    let registry = Registry::new();
    let entries = both(1).into_iter().chain(std::iter::from_fn(|| panic!("in the caller's iterator")));
    assert!(catch_unwind(AssertUnwindSafe(|| registry.register("writer", entries))).is_err());
    assert_eq!(registry.generation(), 0);
    let _registration = registry.register("writer", both(2)).unwrap();
}

#[test]
fn an_iterator_may_use_the_registry_it_feeds() {
    let registry = Registry::new();
    let inner = registry.register("inner", [(B, State::present())]).unwrap();
    let lazily = std::iter::once_with(|| {
        inner.replace([]).unwrap();
        (B, State::absent("taken over"))
    });
    let _outer = registry.register("outer", lazily).unwrap();
    assert_eq!(registry.get("a.b"), Some(State::absent("taken over")));
}

#[test]
fn a_registration_outlives_the_registry_and_a_subscription_both() {
    let registry = Registry::new();
    let mut subscription = registry.subscribe(Pattern::All);
    let registration = registry.register("writer", both(1)).unwrap();
    drop(registry);
    assert_eq!(subscription.recv().unwrap().added, both(1));
    registration.replace(both(2)).unwrap();
    assert_eq!(subscription.recv().unwrap().changed.len(), 2);
    assert_eq!(subscription.try_recv(), Err(RecvError::Empty));
    drop(registration);
    assert_eq!(subscription.recv().unwrap().removed, both(2));
    assert_eq!(subscription.recv(), None);
    assert_eq!(subscription.recv_timeout(TIMEOUT), Err(RecvError::Closed));
}

#[test]
fn the_end_of_the_registry_wakes_the_waiting() {
    let registry = Registry::new();
    let mut subscription = registry.subscribe(Pattern::All);
    let (ended, end) = mpsc::channel();
    let consumer = thread::spawn(move || ended.send(subscription.recv()).unwrap());
    thread::sleep(Duration::from_millis(20));
    drop(registry);
    assert_eq!(end.recv_timeout(TIMEOUT), Ok(None));
    consumer.join().unwrap();
}

#[test]
fn nothing_is_left_when_all_are_dropped() {
    // The reference count of the reason shows whether any part of the registry still exists.
    let reason = std::sync::Arc::<str>::from("counted");
    let registry = Registry::new();
    let subscription = registry.subscribe(Pattern::All);
    let registration = registry.register("writer", [(A, State::Absent(reason.clone()))]).unwrap();
    let snapshot = registry.snapshot();
    drop(registry);
    drop(registration);
    drop(subscription);
    assert_eq!(std::sync::Arc::strong_count(&reason), 2, "the snapshot's");
    drop(snapshot);
    assert_eq!(std::sync::Arc::strong_count(&reason), 1);
}
