//! Moving averages of one kind of work at one size.

use std::sync::atomic::{AtomicU32, Ordering::Relaxed};

/// Share of a measurement in the average; half where the average is old.
const WEIGHT: f32 = 1.0 / 8.0;
const WEIGHT_STALE: f32 = 1.0 / 2.0;
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

/// A moving average of nanoseconds; zero is none yet.
#[derive(Debug, Default)]
pub(crate) struct Average(AtomicU32);

impl Average {
    pub(crate) fn ns(&self) -> Option<f32> {
        let ns = f32::from_bits(self.0.load(Relaxed));
        (ns > 0.0).then_some(ns)
    }

    fn set(&self, ns: f32) {
        self.0.store(ns.clamp(1.0, 1e15).to_bits(), Relaxed);
    }

    /// Takes a measurement in; by what factor the average changed.
    pub(crate) fn observe(&self, ns: f32, is_stale: bool) -> f32 {
        let Some(old) = self.ns() else {
            self.set(ns);
            return 1.0;
        };
        let weight = if is_stale { WEIGHT_STALE } else { WEIGHT };
        let new = old + (ns.min(old * OUTLIER) - old) * weight;
        self.set(new);
        new.max(1.0) / old
    }
}

/// Choices in a row that an engine was not taken in.
#[derive(Debug, Default)]
pub(crate) struct Turn(AtomicU32);

impl Turn {
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
pub(crate) struct Cell {
    /// One core's time.
    pub(crate) cpu: Average,
    /// The device's time, by the class of the depth that a request found.
    device: [Average; DEPTHS],
    /// The least of `device`.
    floor: Average,
    pub(crate) cpu_turn: Turn,
    pub(crate) device_turn: Turn,
}

impl Cell {
    /// The device's time at a depth; from the depths around it where that one was not met. `None` if none was.
    pub(crate) fn device(&self, depth: usize) -> Option<f32> {
        let class = depth_class(depth);
        if let Some(ns) = self.device[class].ns() {
            return Some(ns);
        }
        let floor = self.floor.ns()?;
        let known = |class: usize| self.device[class].ns().map(|ns| (least(class), ns));
        let below = (0..class).rev().find_map(known);
        let above = (class + 1..DEPTHS).find_map(known);
        Some(match (below, above) {
            (Some((low, a)), Some((high, b))) => a + (b - a) * (depth - low) as f32 / (high - low) as f32,
            // From saturation on, time grows with the queue; before, another request costs nothing.
            (Some((low, ns)), None) if ns >= SATURATED * floor => ns * (depth + 1) as f32 / (low + 1) as f32,
            (Some((_, ns)), None) | (None, Some((_, ns))) => ns,
            (None, None) => return None,
        })
    }

    /// The least depth of a class and the time measured there.
    pub(crate) fn device_at(&self, class: usize) -> Option<(usize, f32)> {
        self.device[class].ns().map(|ns| (least(class), ns))
    }

    /// Whether the device is so full at this depth that one more only waits longer.
    pub(crate) fn is_device_saturated(&self, depth: usize) -> bool {
        match (self.floor.ns(), self.device(depth)) {
            (Some(floor), Some(ns)) => ns >= SATURATED * floor,
            _ => false,
        }
    }

    /// Takes a measurement of the device in. Where the figures are old, a change at one depth is a change of the device,
    /// and the other depths follow.
    pub(crate) fn observe_device(&self, depth: usize, ns: f32, is_stale: bool) {
        let class = depth_class(depth);
        let changed = self.device[class].observe(ns, is_stale);
        let mut floor = f32::INFINITY;
        for (other, average) in self.device.iter().enumerate() {
            let Some(mut ns) = average.ns() else { continue };
            if is_stale && other != class {
                ns *= changed;
                average.set(ns);
            }
            floor = floor.min(ns);
        }
        self.floor.set(floor);
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

    #[test]
    fn an_average_follows_and_is_not_thrown_by_one_outlier() {
        let average = Average::default();
        assert_eq!((average.ns(), average.observe(1000.0, false), average.ns()), (None, 1.0, Some(1000.0)));
        average.observe(1e9, false);
        assert_eq!(average.ns(), Some(1375.0));
        average.observe(1375.0 / 2.0, true);
        assert_eq!(average.ns(), Some(1031.25));
    }

    #[test]
    fn depths_that_were_not_met_lie_between_those_that_were() {
        let cell = Cell::default();
        assert_eq!(cell.device(3), None);
        cell.observe_device(0, 100.0, false);
        // One figure: more depth costs nothing, as far as is known.
        assert_eq!((cell.device(64), cell.is_device_saturated(64)), (Some(100.0), false));
        cell.observe_device(16, 400.0, false);
        assert_eq!(cell.device(8), Some(250.0));
        assert_eq!(cell.device(64), Some(400.0 * 65.0 / 17.0));
        assert!(cell.is_device_saturated(16) && cell.is_device_saturated(64) && !cell.is_device_saturated(0));
    }

    #[test]
    fn what_is_old_moves_as_a_whole() {
        let cell = Cell::default();
        cell.observe_device(0, 1000.0, false);
        cell.observe_device(8, 3000.0, false);
        cell.observe_device(0, 100.0, true);
        assert_eq!((cell.device(0), cell.device(8)), (Some(550.0), Some(1650.0)));
    }
}
