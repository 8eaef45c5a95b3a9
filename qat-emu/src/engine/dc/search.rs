//! The search for matches of LZ4 and LZ4s. It follows chains of positions with the same hash, as far as a request asks.

use std::ops::Range;

/// The length of the shortest match that is searched for; LZ4 has no shorter ones.
pub(super) const MIN_MATCH: usize = 4;
/// The largest distance of a match.
const WINDOW: usize = 65_535;
/// No match starts in the last 12 bytes of an LZ4 block, and none includes its last 5 bytes.
const LAST_START: usize = 12;
const LAST_LITERALS: usize = 5;
/// From this depth on, a match is replaced by a longer one that starts at the next byte.
const LAZY_DEPTH: u32 = 3;

/// A match: the `len` bytes at `start` equal those `distance` bytes before.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Match {
    pub(super) start: usize,
    pub(super) len: usize,
    pub(super) distance: u16,
}

struct Chains<'a> {
    plain: &'a [u8],
    /// The last position with each hash, plus one.
    heads: Vec<u32>,
    /// For each position, modulo the table length, the previous position with the same hash, plus one.
    before: Vec<u32>,
    inserted: usize,
    candidates: u32,
}

impl Chains<'_> {
    fn slot(&self, at: usize) -> usize {
        let word = self.plain[at..].first_chunk().map_or(0, |word| u32::from_le_bytes(*word));
        (word.wrapping_mul(2_654_435_761) >> (32 - self.heads.len().ilog2())) as usize
    }

    fn insert_up_to(&mut self, end: usize) {
        for at in self.inserted..end {
            let (slot, position) = (self.slot(at), at & (self.before.len() - 1));
            self.before[position] = std::mem::replace(&mut self.heads[slot], at as u32 + 1);
        }
        self.inserted = self.inserted.max(end);
    }

    /// Returns the longest match at `at` among the candidates.
    fn longest(&mut self, at: usize, end: usize) -> Option<Match> {
        self.insert_up_to(at);
        let mut best = Match { start: at, len: MIN_MATCH - 1, distance: 0 };
        let mut next = self.heads[self.slot(at)];
        for _ in 0..self.candidates {
            let Some(candidate) = next.checked_sub(1).map(|position| position as usize) else { break };
            let distance = at.wrapping_sub(candidate);
            if distance == 0 || distance > WINDOW.min(self.before.len()) {
                break;
            }
            let len = same(self.plain, candidate, at..end);
            if len > best.len {
                best = Match { start: at, len, distance: distance as u16 };
            }
            next = self.before[candidate & (self.before.len() - 1)];
        }
        (best.len >= MIN_MATCH).then_some(best)
    }
}

/// Returns how many bytes at `candidate` equal those at `position`.
fn same(plain: &[u8], candidate: usize, position: Range<usize>) -> usize {
    let ahead = &plain[position];
    let words = plain[candidate..].chunks_exact(8).zip(ahead.chunks_exact(8));
    let equal = words.take_while(|(a, b)| a == b).count() * 8;
    equal + plain[candidate + equal..].iter().zip(&ahead[equal..]).take_while(|(a, b)| a == b).count()
}

/// Calls `each` for the matches of `plain` in order; `depth` is the binary logarithm of the number of candidates for
/// each.
pub(super) fn matches(plain: &[u8], depth: u32, mut each: impl FnMut(Match)) {
    let Some(last) = plain.len().checked_sub(LAST_START) else { return };
    let end = plain.len() - LAST_LITERALS;
    let positions = plain.len().next_power_of_two().clamp(256, WINDOW + 1);
    let mut chains = Chains {
        plain,
        heads: vec![0; positions.min(1 << 15)],
        before: vec![0; positions],
        inserted: 0,
        candidates: 1 << depth.min(12),
    };
    let mut at = 0;
    while at < last {
        let Some(mut found) = chains.longest(at, end) else {
            at += 1;
            continue;
        };
        while depth >= LAZY_DEPTH
            && found.start + 1 < last
            && let Some(later) = chains.longest(found.start + 1, end)
            && later.len > found.len
        {
            found = later;
        }
        at = found.start + found.len;
        chains.insert_up_to(at.min(last));
        each(found);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Checks that matches are correct, in order, and within the limits of LZ4; returns the number of matched bytes.
    #[track_caller]
    fn check(plain: &[u8], depth: u32) -> usize {
        let (mut at, mut matched) = (0, 0);
        matches(plain, depth, |found| {
            assert!(found.start >= at && found.len >= MIN_MATCH, "{found:?} after {at}");
            at = found.start + found.len;
            assert!(found.start + LAST_START < plain.len() + 1 && at + LAST_LITERALS <= plain.len());
            for position in found.start..at {
                assert_eq!(plain[position], plain[position - usize::from(found.distance)], "{found:?}");
            }
            matched += found.len;
        });
        matched
    }

    #[test]
    fn deeper_finds_more() {
        let words = [&b"accelerator "[..], b"queue ", b"of ", b"the ", b"device ", b"ring ", b"request "];
        let mut state = 1_u32;
        let mut plain = Vec::new();
        while plain.len() < 200_000 {
            state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            plain.extend_from_slice(words[(state >> 24) as usize % words.len()]);
        }
        let count = |depth| {
            let mut count = 0;
            matches(&plain, depth, |_| count += 1);
            check(&plain, depth);
            count
        };
        let counts = [0, 1, 3, 4, 6, 9].map(count);
        assert!(counts.is_sorted_by(|a, b| a > b), "fewer and longer matches the deeper: {counts:?}");
    }

    #[test]
    fn borders() {
        for len in (0..40).chain([65_534, 65_535, 65_536, 65_537, 131_073, 200_000]) {
            let matched = check(&vec![7; len], 4);
            assert_eq!(matched, if len > LAST_START + 1 { len - LAST_LITERALS - 1 } else { 0 }, "{len}");
        }
        // These are the largest distance of a match, and one more.
        for (distance, is_near) in [(65_535, true), (65_536, false)] {
            let mut plain = b"0123456789abcdef".to_vec();
            plain.extend((plain.len()..distance).map(|i| b'g' + (i * i % 7 + i % 11) as u8));
            plain.extend_from_slice(b"0123456789abcdefGHIJKLMNOPQ");
            let mut is_found = false;
            matches(&plain, 12, |it| is_found |= usize::from(it.distance) == distance);
            assert_eq!(is_found, is_near, "{distance}");
        }
    }
}
