//! The indices of the free slots of a table. `table` takes and frees them; nothing here accesses a slot.

use std::sync::atomic::{
    AtomicU16, AtomicU64,
    Ordering::{AcqRel, Acquire, Relaxed, Release},
};

use super::table::DEPTH;

const NONE: u16 = u16::MAX;

/// A lock-free stack, so that the slot that was used last, which is still in the CPU caches, is used next.
pub(super) struct FreeSlots {
    /// The top slot in the lower 16 bits, and a count of changes above, without which a compare-and-exchange could
    /// succeed although the top was popped and pushed again meanwhile (ABA).
    head: AtomicU64,
    /// The slot below each slot of the stack.
    below: [AtomicU16; DEPTH],
}

impl FreeSlots {
    /// Creates a stack of all slots.
    pub(super) fn all() -> Self {
        let below =
            std::array::from_fn(|at| AtomicU16::new(if at + 1 < DEPTH { at as u16 + 1 } else { NONE }));
        Self { head: AtomicU64::new(0), below }
    }

    const fn after(head: u64, top: u16) -> u64 {
        ((head >> 16).wrapping_add(1) << 16) | top as u64
    }

    pub(super) fn pop(&self) -> Option<u16> {
        let mut head = self.head.load(Acquire);
        loop {
            let top = head as u16;
            // Another thread may have popped `top` and changed what is below it, but then the head has changed, and the
            // exchange fails.
            let below = self.below.get(usize::from(top))?.load(Relaxed);
            match self.head.compare_exchange_weak(head, Self::after(head, below), AcqRel, Acquire) {
                Ok(_) => return Some(top),
                Err(seen) => head = seen,
            }
        }
    }

    /// Pushes a slot that was popped.
    pub(super) fn push(&self, slot: u16) {
        let mut head = self.head.load(Relaxed);
        loop {
            self.below[usize::from(slot)].store(head as u16, Relaxed);
            match self.head.compare_exchange_weak(head, Self::after(head, slot), Release, Relaxed) {
                Ok(_) => return,
                Err(seen) => head = seen,
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::AtomicBool;
    use std::thread;

    use super::*;

    #[test]
    fn each_slot_is_given_once() {
        let free = FreeSlots::all();
        let mut taken: Vec<_> = std::iter::from_fn(|| free.pop()).collect();
        taken.sort_unstable();
        assert_eq!(taken, (0..DEPTH as u16).collect::<Vec<_>>());
        free.push(7);
        free.push(300);
        assert_eq!([free.pop(), free.pop(), free.pop()], [Some(300), Some(7), None]);
    }

    #[test]
    fn threads_never_hold_the_same_slot() {
        let free = FreeSlots::all();
        let held: Vec<AtomicBool> = (0..DEPTH).map(|_| AtomicBool::new(false)).collect();
        let rounds = if cfg!(miri) { 20 } else { 20_000 };
        thread::scope(|scope| {
            for _ in 0..4 {
                scope.spawn(|| {
                    for _ in 0..rounds {
                        let slots: Vec<_> = std::iter::from_fn(|| free.pop()).take(3).collect();
                        for slot in slots {
                            assert!(!held[usize::from(slot)].swap(true, Acquire), "{slot} was held");
                            held[usize::from(slot)].store(false, Release);
                            free.push(slot);
                        }
                    }
                });
            }
        });
        assert_eq!(std::iter::from_fn(|| free.pop()).count(), DEPTH);
    }
}
