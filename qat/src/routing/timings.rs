//! Moving averages of one kind of work at one size.

use std::sync::atomic::{AtomicBool, AtomicU32, Ordering::Relaxed};

/// Measurements after which each is one part in so many of the average; before, all have the same part.
const MEMORY: u32 = 16;
/// Measurements that make an average good enough to compare with another.
const ENOUGH: u32 = 8;
/// Times the average that a single measurement counts for at most: one interrupted call is no trend.
const OUTLIER: f32 = 4.0;
/// Times its shortest time that the device takes once it is busy to capacity.
const SATURATED: f32 = 1.5;

/// Depths that are told apart: 0 to 3, then two to each power of two, up to 3072.
pub(crate) const DEPTHS: usize = 24;

/// Number of the class that a depth belongs to, as a depth that stands for it: the least of the class.
pub(crate) const fn depth_of(in_flight: usize) -> usize {
    least(depth_class(in_flight))
}

const fn depth_class(depth: usize) -> usize {
    if depth < 4 {
        return depth;
    }
    let power = depth.ilog2() as usize;
    let class = 2 * power + (depth >> (power - 1) & 1);
    if class < DEPTHS { class } else { DEPTHS - 1 }
}

const fn least(class: usize) -> usize {
    if class < 4 { class } else { (2 + class % 2) << (class / 2 - 1) }
}

/// A moving average of nanoseconds, and in the lowest bits of its mantissa how many measurements it is of, up to
/// [`MEMORY`]` - 1`. Zero is none yet.
#[derive(Debug, Default)]
pub(crate) struct Average(AtomicU32);

const COUNT: u32 = MEMORY - 1;

impl Average {
    fn load(&self) -> (f32, u32) {
        let bits = self.0.load(Relaxed);
        (f32::from_bits(bits & !COUNT), bits & COUNT)
    }

    pub(crate) fn ns(&self) -> Option<f32> {
        let (ns, _) = self.load();
        (ns > 0.0).then_some(ns)
    }

    /// The average if it is of enough measurements to compare it with others.
    fn sound(&self) -> Option<f32> {
        let (ns, count) = self.load();
        (count >= ENOUGH).then_some(ns)
    }

    fn store(&self, ns: f32, count: u32) {
        self.0.store(ns.clamp(1.0, 1e15).to_bits() & !COUNT | count.min(COUNT), Relaxed);
    }

    /// Takes a measurement in; by what factor the average changed.
    pub(crate) fn observe(&self, ns: f32, is_stale: bool) -> f32 {
        let (old, count) = self.load();
        if old <= 0.0 {
            self.store(ns, 1);
            return 1.0;
        }
        // What is old counts as one measurement.
        let count = if is_stale { 1 } else { count };
        let new = old + (ns.min(old * OUTLIER) - old) / (count + 1) as f32;
        self.store(new, count + 1);
        new.max(1.0) / old
    }

    /// Makes the average so many times itself.
    fn scale(&self, by: f32) {
        let (old, count) = self.load();
        if old > 0.0 {
            self.store(old * by, count);
        }
    }
}

/// Choices in a row that an engine was not taken in.
#[derive(Debug, Default)]
pub(crate) struct SkipCount(AtomicU32);

impl SkipCount {
    /// Counts one more; how many before it.
    pub(crate) fn missed(&self) -> u32 {
        let missed = self.0.load(Relaxed);
        self.0.store(missed.saturating_add(1), Relaxed);
        missed
    }

    /// Starts again; how many there were.
    pub(crate) fn take(&self) -> u32 {
        let missed = self.0.load(Relaxed);
        if missed != 0 {
            self.0.store(0, Relaxed);
        }
        missed
    }
}

/// One kind of work at one size.
#[derive(Debug, Default)]
pub(crate) struct Timings {
    /// One core's time.
    pub(crate) cpu: Average,
    /// The device's time, by the class of the depth that a request found.
    device: [Average; DEPTHS],
    /// Whether `device` has anything, to know it without looking through all.
    is_device_known: AtomicBool,
    /// The least sound one of `device`.
    floor: Average,
    pub(crate) cpu_skips: SkipCount,
    pub(crate) device_skips: SkipCount,
}

impl Timings {
    /// The device's time at a depth; from the depths around it where that one was not met. `None` if none was.
    pub(crate) fn device(&self, depth: usize) -> Option<f32> {
        let class = depth_class(depth);
        if let Some(ns) = self.device[class].ns() {
            return Some(ns);
        }
        if !self.is_device_known.load(Relaxed) {
            return None;
        }
        let below = (0..class).rev().find_map(|class| self.device_at(class));
        let above = (class + 1..DEPTHS).find_map(|class| self.device_at(class));
        Some(match (below, above) {
            (Some((low, a)), Some((high, b))) => a + (b - a) * (depth - low) as f32 / (high - low) as f32,
            // From saturation on, time grows with the queue; before, another request costs nothing.
            (Some((low, ns)), None) if self.is_device_saturated(low) => {
                ns * (depth + 1) as f32 / (low + 1) as f32
            }
            (Some((_, ns)), None) | (None, Some((_, ns))) => ns,
            (None, None) => return None,
        })
    }

    /// The least depth of a class and the time measured there.
    pub(crate) fn device_at(&self, class: usize) -> Option<(usize, f32)> {
        self.device[class].ns().map(|ns| (least(class), ns))
    }

    /// Whether the device is so full at this depth that one more only waits longer, as far as sound figures tell.
    pub(crate) fn is_device_saturated(&self, depth: usize) -> bool {
        let Some(floor) = self.floor.ns() else { return false };
        let nearest = (0..=depth_class(depth)).rev().find_map(|class| self.device[class].sound());
        nearest.is_some_and(|ns| ns >= SATURATED * floor)
    }

    /// Takes a measurement of the device in. Where the figures are old, a change at one depth is a change of the device,
    /// and the other depths follow.
    pub(crate) fn observe_device(&self, depth: usize, ns: f32, is_stale: bool) {
        let class = depth_class(depth);
        let changed = self.device[class].observe(ns, is_stale);
        let mut floor = f32::INFINITY;
        for (other, average) in self.device.iter().enumerate() {
            if is_stale && other != class {
                average.scale(changed);
            }
            floor = average.sound().map_or(floor, |ns| floor.min(ns));
        }
        self.is_device_known.store(true, Relaxed);
        if floor.is_finite() {
            self.floor.store(floor, 0);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn depths_have_the_classes_that_the_documentation_names() {
        assert_eq!(
            [0, 1, 2, 3, 4, 5, 6, 7, 8, 11, 12, 15, 16].map(depth_class),
            [0, 1, 2, 3, 4, 4, 5, 5, 6, 6, 7, 7, 8]
        );
        assert_eq!((depth_class(3071), depth_class(3072), depth_class(usize::MAX)), (22, 23, 23));
        for class in 0..DEPTHS {
            assert_eq!(depth_class(least(class)), class);
            assert!(class == 0 || depth_class(least(class) - 1) == class - 1);
        }
    }

    /// The count takes the last bits of the mantissa.
    fn close(ns: Option<f32>, expected: f32) -> bool {
        ns.is_some_and(|ns| (ns / expected - 1.0).abs() < 1e-5)
    }

    #[test]
    fn an_average_is_that_of_the_first_figures_and_then_follows() {
        let average = Average::default();
        assert_eq!((average.ns(), average.observe(1000.0, false)), (None, 1.0));
        average.observe(2000.0, false);
        average.observe(3000.0, false);
        assert!(close(average.ns(), 2000.0), "{average:?}");
        for _ in 0..200 {
            average.observe(1000.0, false);
        }
        // One interrupted call counts as four times the average, with one part in sixteen.
        average.observe(1e9, false);
        assert!(close(average.ns(), 1000.0 * (1.0 + 3.0 / 16.0)), "{average:?}");
        average.observe(1187.5 / 2.0, true);
        assert!(close(average.ns(), 1187.5 * 0.75), "{average:?}");
    }

    #[test]
    fn depths_that_were_not_met_lie_between_those_that_were() {
        let cell = Timings::default();
        assert_eq!(cell.device(3), None);
        cell.observe_device(0, 100.0, false);
        // One figure: more depth costs nothing, as far as is known.
        assert!(close(cell.device(64), 100.0) && !cell.is_device_saturated(64));
        cell.observe_device(16, 400.0, false);
        assert!(!cell.is_device_saturated(16), "one figure each is not enough to tell");
        for _ in 0..ENOUGH {
            cell.observe_device(0, 100.0, false);
            cell.observe_device(16, 400.0, false);
        }
        assert!(close(cell.device(8), 250.0) && close(cell.device(64), 400.0 * 65.0 / 17.0));
        assert!(cell.is_device_saturated(16) && cell.is_device_saturated(64) && !cell.is_device_saturated(0));
    }

    #[test]
    fn what_is_old_moves_as_a_whole() {
        let cell = Timings::default();
        cell.observe_device(0, 1000.0, false);
        cell.observe_device(8, 3000.0, false);
        cell.observe_device(0, 100.0, true);
        assert!(close(cell.device(0), 550.0) && close(cell.device(8), 1650.0), "{cell:?}");
    }
}
