//! Slots of the cores: of the callers with long work for the CPU as many at a time as there are cores, the others in the
//! order in which they came. All at once would be no faster, and would keep those who serve the device from the cores.

use std::collections::VecDeque;
use std::sync::atomic::AtomicBool;
use std::sync::atomic::Ordering::{Acquire, Release};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::{self, Thread};
use std::time::{Duration, Instant};

#[derive(Debug, Default)]
pub(super) struct CoreSlots(Mutex<State>);

#[derive(Debug, Default)]
struct State {
    taken: u32,
    queue: VecDeque<Arc<Waiter>>,
}

#[derive(Debug)]
struct Waiter {
    thread: Thread,
    has_turn: AtomicBool,
}

/// One of the slots, while this lives.
#[derive(Debug)]
pub(super) struct CoreSlot<'a> {
    slots: &'a CoreSlots,
    limit: u32,
}

impl CoreSlots {
    fn state(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Takes one of `limit` slots, after those who wait already. After `when_full` it goes without: nothing is known of
    /// the threads that have the slots, and they may not even run.
    pub(super) fn take(&self, limit: u32, when_full: Duration) -> CoreSlot<'_> {
        let slot = CoreSlot { slots: self, limit };
        let mut state = self.state();
        if state.taken < limit {
            state.taken += 1;
            return slot;
        }
        let waiter = Arc::new(Waiter { thread: thread::current(), has_turn: AtomicBool::new(false) });
        state.queue.push_back(waiter.clone());
        drop(state);
        let start = Instant::now();
        while !waiter.has_turn.load(Acquire) {
            let left = when_full.saturating_sub(start.elapsed());
            if left.is_zero() {
                let mut state = self.state();
                if let Some(at) = state.queue.iter().position(|other| Arc::ptr_eq(other, &waiter)) {
                    state.queue.remove(at);
                    state.taken += 1;
                }
                break;
            }
            thread::park_timeout(left);
        }
        slot
    }
}

impl Drop for CoreSlot<'_> {
    fn drop(&mut self) {
        let mut state = self.slots.state();
        let next = if state.taken <= self.limit { state.queue.pop_front() } else { None };
        if next.is_none() {
            state.taken -= 1;
        }
        drop(state);
        if let Some(next) = next {
            next.has_turn.store(true, Release);
            next.thread.unpark();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn turns_are_given_in_order_and_not_waited_for_without_end() {
        const FOREVER: Duration = Duration::from_secs(3600);
        let slots = CoreSlots::default();
        let order = Mutex::new(Vec::new());
        let counts = || {
            let state = slots.state();
            (state.taken, state.queue.len())
        };
        let first = slots.take(1, FOREVER);
        thread::scope(|scope| {
            for number in 0..3 {
                let (slots, order) = (&slots, &order);
                scope.spawn(move || {
                    let _turn = slots.take(1, FOREVER);
                    order.lock().unwrap().push(number);
                });
                while counts().1 <= number {
                    thread::yield_now();
                }
            }
            assert!(order.lock().unwrap().is_empty());
            // One more than there are, in front of nobody.
            let impatient = slots.take(1, Duration::ZERO);
            assert_eq!(counts(), (2, 3));
            drop(impatient);
            assert_eq!(counts(), (1, 3));
            drop(first);
        });
        assert_eq!(counts(), (0, 0));
        assert_eq!(order.into_inner().unwrap(), [0, 1, 2]);
    }
}
