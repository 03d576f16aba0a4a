//! How many spans a second are kept, whoever asks for them (a cell rate, as GCRA counts it).
//!
//! Guarantees: over any time at most one second's worth more than the rate; one atomic number, no lock.
//! Does not: read a clock. Callers bring the time, counted from whenever they began.

use std::sync::atomic::{AtomicU64, Ordering};

/// What may come at once, in nanoseconds of the rate: one second's worth.
const BURST: u64 = 1_000_000_000;

/// A rate and how much of it is taken.
#[derive(Debug)]
pub struct Bound {
    /// Nanoseconds of the rate that one span takes.
    each: u64,
    /// Until when the rate is used up.
    until: AtomicU64,
}

impl Bound {
    /// So many spans a second, and not fewer than one.
    pub fn a_second(spans: u64) -> Self {
        Bound { each: BURST / spans.clamp(1, BURST), until: AtomicU64::new(0) }
    }

    /// Whether one span would be taken now.
    pub fn has_room(&self, now: u64) -> bool {
        self.after(self.until.load(Ordering::Relaxed), now, 1).is_some()
    }

    /// Takes so many spans, or none.
    pub fn take(&self, now: u64, spans: u64) -> bool {
        self.until.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |until| self.after(until, now, spans)).is_ok()
    }

    fn after(&self, until: u64, now: u64, spans: u64) -> Option<u64> {
        let after = until.max(now).saturating_add(self.each.saturating_mul(spans));
        (after.saturating_sub(now) <= BURST).then_some(after)
    }
}

#[cfg(test)]
impl Bound {
    pub fn until(&self) -> u64 {
        self.until.load(Ordering::Relaxed)
    }

    /// One more second's worth, whether it is there or not.
    pub fn use_up(&self, now: u64) {
        self.until.fetch_max(now, Ordering::Relaxed);
        self.until.fetch_add(BURST, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_second_takes_a_seconds_worth_and_no_more() {
        let bound = Bound::a_second(100);
        let taken = |now| (0..1_000).filter(|_| bound.take(now, 1)).count();
        assert_eq!(taken(0), 100);
        assert!(!bound.has_room(0));
        assert_eq!(taken(BURST / 2), 50);
        assert_eq!(taken(BURST * 10), 100, "what was not used is not saved up");
    }

    #[test]
    fn what_does_not_fit_takes_nothing() {
        let bound = Bound::a_second(100);
        assert!(!bound.take(0, 101) && bound.take(0, 60) && !bound.take(0, 41) && bound.take(0, 40));
    }
}
