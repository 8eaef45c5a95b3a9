//! Tests of asynchronous subscribers.

use std::{
    future::Future,
    pin::pin,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    task::{Context, Poll, Wake, Waker},
    thread::{self, Thread},
    time::{Duration, Instant},
};

use capability_registry::{Feature, Pattern, RecvError, Registry, State, Value};

const A: Feature = Feature::from_static("a");
const B: Feature = Feature::from_static("b");
/// A timeout that is long enough for a loaded machine. Only a failing test waits this long.
const TIMEOUT: Duration = Duration::from_secs(20);

#[derive(Default)]
struct Count(AtomicUsize);

impl Wake for Count {
    fn wake(self: Arc<Self>) {
        self.0.fetch_add(1, Ordering::SeqCst);
    }
}

struct Unpark(Thread);

impl Wake for Unpark {
    fn wake(self: Arc<Self>) {
        self.0.unpark();
    }
}

/// Runs `future` on this thread. A lost wake-up fails the test.
fn block_on<F: Future>(future: F) -> F::Output {
    let mut future = pin!(future);
    let waker = Waker::from(Arc::new(Unpark(thread::current())));
    let mut context = Context::from_waker(&waker);
    let deadline = Instant::now() + TIMEOUT;
    loop {
        if let Poll::Ready(output) = future.as_mut().poll(&mut context) {
            return output;
        }
        thread::park_timeout(deadline.saturating_duration_since(Instant::now()));
        assert!(Instant::now() < deadline, "nothing woke the task");
    }
}

#[test]
fn a_change_wakes_the_waker_of_the_latest_poll_once() {
    let registry = Registry::new();
    let mut subscription = registry.subscribe(Pattern::All);
    let (first, second) = (Arc::<Count>::default(), Arc::<Count>::default());
    for count in [&first, &second] {
        let waker = Waker::from(count.clone());
        assert!(subscription.poll_recv(&mut Context::from_waker(&waker)).is_pending());
    }
    let registration = registry.register("test", [(A, State::present())]).unwrap();
    registration.replace([(B, State::present())]).unwrap();
    assert_eq!((first.0.load(Ordering::SeqCst), second.0.load(Ordering::SeqCst)), (0, 1));
    let diff = block_on(subscription.recv_async()).unwrap();
    assert_eq!((diff.added.len(), diff.removed.len()), (1, 0));
    assert_eq!(diff.added[0].0, B);
}

#[test]
fn a_dropped_subscription_or_future_leaves_no_waker_behind() {
    let registry = Registry::new();
    let mut subscription = registry.subscribe(Pattern::All);
    let count = Arc::<Count>::default();
    let waker = Waker::from(count.clone());
    // The future is dropped while it waits, and the next call returns the change.
    assert!(pin!(subscription.recv_async()).poll(&mut Context::from_waker(&waker)).is_pending());
    let _registration = registry.register("test", [(A, State::present())]).unwrap();
    assert_eq!(subscription.try_recv().unwrap().added.len(), 1);
    assert!(subscription.poll_recv(&mut Context::from_waker(&waker)).is_pending());
    drop((subscription, waker));
    assert_eq!(Arc::strong_count(&count), 1);
}

#[test]
fn a_pattern_that_does_not_match_keeps_the_task_waiting() {
    let registry = Registry::new();
    let mut subscription = registry.subscribe("a".parse().unwrap());
    let waiting = thread::spawn(move || block_on(subscription.recv_async()));
    let _other = registry.register("other", [(B, State::present())]).unwrap();
    let _wanted = registry.register("wanted", [(A, State::present())]).unwrap();
    let diff = waiting.join().unwrap().unwrap();
    assert_eq!(diff.added.iter().map(|(feature, _)| feature.as_str()).collect::<Vec<_>>(), ["a"]);
}

#[test]
fn the_end_of_the_registry_ends_every_waiting_task() {
    let registry = Registry::new();
    let waiting: Vec<_> = (0..4)
        .map(|_| {
            let mut subscription = registry.subscribe(Pattern::All);
            thread::spawn(move || {
                let end = block_on(subscription.recv_async());
                (end, subscription.try_recv())
            })
        })
        .collect();
    drop(registry);
    for task in waiting {
        assert_eq!(task.join().unwrap(), (None, Err(RecvError::Closed)));
    }
}

#[test]
fn no_wake_up_is_lost_between_a_writer_and_a_waiting_task() {
    const CHANGES: u64 = 5_000;
    let registry = Registry::new();
    let mut subscription = registry.subscribe(Pattern::All);
    let reader = thread::spawn(move || {
        let mut last = 0;
        while last < CHANGES {
            block_on(subscription.recv_async()).unwrap();
            let Some(Value::Integer(number)) = subscription.snapshot().get("a").unwrap().value().cloned()
            else {
                panic!("a number was registered");
            };
            assert!(number > last, "{number} after {last}");
            last = number;
        }
    });
    let registration = registry.register("test", []).unwrap();
    for number in 1..=CHANGES {
        registration.replace([(A, State::Present(Value::Integer(number)))]).unwrap();
    }
    reader.join().unwrap();
}
