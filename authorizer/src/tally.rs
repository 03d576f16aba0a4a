//! Why: a dashboard shows rates and percentiles of the last minute; counters and histograms for scrapers cannot be read back in a process.
//!
//! Guarantees: a fixed number of atomic counters, of closed sets only; adding is one relaxed addition, so that it costs the hot path nothing
//! that could be measured; a percentile is at most an eighth above the truth. Does not: remember when; [`crate::history`] does.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use verifier::decision::Condition;

/// Buckets for each doubling.
const STEPS: u32 = 8;
/// The last bucket ends at 2^25 microseconds, half a minute, and takes what is longer: nobody waits for so long.
const LAST: u32 = 25;
/// `STEPS` buckets below 8 µs, then as many for each doubling.
const BUCKETS: usize = (STEPS * (LAST - 2)) as usize;

/// Durations by how long they were.
#[derive(Debug)]
pub struct Spread([AtomicU64; BUCKETS]);

impl Default for Spread {
    fn default() -> Self {
        Self(std::array::from_fn(|_| AtomicU64::new(0)))
    }
}

/// The bucket of so many microseconds.
fn bucket(micros: u64) -> usize {
    let micros = micros.min((1 << LAST) - 1);
    let exponent = micros.checked_ilog2().unwrap_or(0);
    match exponent.checked_sub(3) {
        None => usize::try_from(micros).unwrap_or(0),
        Some(shift) => {
            let place = u64::from(STEPS * (shift + 1)) + (micros >> shift) - u64::from(STEPS);
            usize::try_from(place).unwrap_or(BUCKETS - 1)
        }
    }
}

/// Microseconds that everything in a bucket is below.
fn end_of(bucket: usize) -> u64 {
    let (doubling, step) = (bucket as u64 / u64::from(STEPS), bucket as u64 % u64::from(STEPS));
    match doubling.checked_sub(1) {
        None => step + 1,
        Some(shift) => (u64::from(STEPS) + step + 1) << shift,
    }
}

impl Spread {
    /// One more.
    pub fn add(&self, time: Duration) {
        let micros = u64::try_from(time.as_micros()).unwrap_or(u64::MAX);
        if let Some(counter) = self.0.get(bucket(micros)) {
            counter.fetch_add(1, Ordering::Relaxed);
        }
    }

    fn read(&self) -> Counted {
        Counted(self.0.each_ref().map(|counter| counter.load(Ordering::Relaxed)))
    }
}

/// How many durations were in each bucket.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Counted([u64; BUCKETS]);

impl Default for Counted {
    fn default() -> Self {
        Self([0; BUCKETS])
    }
}

impl Counted {
    fn since(&self, before: &Self) -> Self {
        let mut since = self.clone();
        since.0.iter_mut().zip(before.0).for_each(|(now, before)| *now = now.saturating_sub(before));
        since
    }

    /// How many there were, and milliseconds that a half, nine tenths and 99 hundredths of them were below; `None` if there were none.
    #[must_use]
    pub fn percentiles(&self) -> Option<Percentiles> {
        let count: u64 = self.0.iter().sum();
        let below = |hundredths: u64| {
            let wanted = (count * hundredths).div_ceil(100).max(1);
            let mut seen = 0;
            let found = self.0.iter().position(|counted| {
                seen += counted;
                seen >= wanted
            });
            Duration::from_micros(end_of(found.unwrap_or(BUCKETS - 1))).as_secs_f32() * 1_000.0
        };
        (count > 0).then(|| Percentiles { count, p50: below(50), p90: below(90), p99: below(99) })
    }
}

/// Of some durations, in milliseconds.
#[derive(Clone, Copy, Debug, PartialEq, serde::Serialize)]
pub struct Percentiles {
    /// How many.
    pub count: u64,
    /// A half of them were below.
    pub p50: f32,
    /// Nine tenths.
    pub p90: f32,
    /// 99 hundredths.
    pub p99: f32,
}

/// Everything that is added up.
#[derive(Debug, Default)]
pub struct Tally {
    allowed: AtomicU64,
    denied: [AtomicU64; 9],
    shed: AtomicU64,
    /// From a body that was read to its durable records.
    pub decisions: Spread,
    /// From a frame's write to its published head.
    pub commits: Spread,
    /// Each sync by itself.
    pub journal: Spread,
    /// As above.
    pub vault: Spread,
    /// As above.
    pub memory: Spread,
}

/// What a [`Tally`] was at a time, or what came between two times.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Sums {
    /// Recorded decisions that allow.
    pub allowed: u64,
    /// Those that deny, by the first condition that did not pass, in record order: what each leaf says.
    pub denied: [u64; 9],
    /// Calls that got 503.
    pub shed: u64,
    /// See [`Tally::decisions`].
    pub decisions: Counted,
    /// See [`Tally::commits`].
    pub commits: Counted,
    /// Syncs of the journal.
    pub journal: Counted,
    /// Syncs of the vault.
    pub vault: Counted,
    /// Syncs of the memory.
    pub memory: Counted,
}

impl Tally {
    /// So many decisions that allow.
    pub fn allow(&self, count: u64) {
        self.allowed.fetch_add(count, Ordering::Relaxed);
    }

    /// A decision that denies, for this condition first.
    pub fn deny(&self, condition: Condition) {
        if let Some(counter) = self.denied.get(condition.index()) {
            counter.fetch_add(1, Ordering::Relaxed);
        }
    }

    /// A call that got 503.
    pub fn shed(&self) {
        self.shed.fetch_add(1, Ordering::Relaxed);
    }

    /// A sync of a file of the log.
    pub fn synced(&self, file: &str, time: Duration) {
        match file {
            "journal" => self.journal.add(time),
            "vault" => self.vault.add(time),
            "memory" => self.memory.add(time),
            _ => {}
        }
    }

    /// What it is now.
    #[must_use]
    pub fn read(&self) -> Sums {
        Sums {
            allowed: self.allowed.load(Ordering::Relaxed),
            denied: self.denied.each_ref().map(|counter| counter.load(Ordering::Relaxed)),
            shed: self.shed.load(Ordering::Relaxed),
            decisions: self.decisions.read(),
            commits: self.commits.read(),
            journal: self.journal.read(),
            vault: self.vault.read(),
            memory: self.memory.read(),
        }
    }
}

impl Sums {
    /// What came after `before`.
    #[must_use]
    pub fn since(&self, before: &Self) -> Self {
        let mut denied = self.denied;
        denied.iter_mut().zip(before.denied).for_each(|(now, before)| *now = now.saturating_sub(before));
        Self {
            allowed: self.allowed.saturating_sub(before.allowed),
            denied,
            shed: self.shed.saturating_sub(before.shed),
            decisions: self.decisions.since(&before.decisions),
            commits: self.commits.since(&before.commits),
            journal: self.journal.since(&before.journal),
            vault: self.vault.since(&before.vault),
            memory: self.memory.since(&before.memory),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_duration_is_below_the_end_of_its_bucket_by_at_most_an_eighth() {
        let mut last = 0;
        for micros in (0..5_000).chain((1..=25).map(|power| (1 << power) - 1)).chain([20_000, 333_333, 9_999_999]) {
            let end = end_of(bucket(micros));
            assert!(end > micros && (end - 1) - micros <= micros / 8, "{micros}: {end}");
            last = last.max(bucket(micros));
        }
        assert_eq!(bucket(u64::MAX), BUCKETS - 1);
        assert_eq!(last, BUCKETS - 1);
    }

    #[test]
    fn percentiles_are_of_what_came_between_two_readings() {
        let tally = Tally::default();
        assert_eq!(tally.read().decisions.percentiles(), None);
        tally.decisions.add(Duration::from_secs(20));
        let before = tally.read();
        for millis in 1..=100 {
            tally.decisions.add(Duration::from_millis(millis));
        }
        let Percentiles { count, p50, p90, p99 } = tally.read().since(&before).decisions.percentiles().unwrap();
        assert_eq!(count, 100);
        for (found, least) in [(p50, 50.0), (p90, 90.0), (p99, 99.0)] {
            assert!(found >= least && found <= least * 1.13, "{found} for {least}");
        }
        tally.deny(Condition::Scopes);
        tally.allow(2);
        let sums = tally.read().since(&before);
        assert_eq!((sums.allowed, sums.denied), (2, [0, 0, 0, 0, 1, 0, 0, 0, 0]));
    }
}
