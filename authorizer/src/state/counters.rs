//! Counters: what a subject has used of its limits, in integers.
//!
//! A rate is GCRA: the theoretical arrival time, in units of 1/count of a millisecond, so that no rounding ever adds up. A budget is a sum
//! over a window that moves in [`WINDOW_STEPS`] steps: what was spent within any window of that length never exceeds the cap, and is
//! forgotten at the latest one step after the window.

use std::collections::BTreeMap;

use verifier::cbor::{CborError, Decoder, Encoder};
use verifier::decision::Counter;

use crate::engine::{MAX_WINDOW_MS, Rule, WINDOW_STEPS};

/// Below so many counters none is looked for that is worth nothing any more.
const SWEEP_FROM: usize = 1_024;

/// Whose counter, of which limit.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Key {
    counter: Counter,
    name: String,
    realm: String,
    subject: (String, String),
}

impl Key {
    /// The counter of a subject, type and id, in a realm.
    #[must_use]
    pub fn new(counter: Counter, name: &str, realm: &str, subject: &(String, String)) -> Self {
        Key { counter, name: name.to_owned(), realm: realm.to_owned(), subject: subject.clone() }
    }
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Count {
    /// Theoretical arrival time, in 1/`per` milliseconds.
    Rate { arrival: u128, per: u64 },
    /// Sums by the last millisecond of their step.
    Budget(BTreeMap<u64, u128>),
    /// How many are open.
    Open(u64),
}

/// All counters.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Counters {
    counts: BTreeMap<Key, Count>,
    sweep_at: usize,
}

impl Counters {
    /// Whether a limit leaves room for so much more.
    #[must_use]
    pub fn fits(&self, key: &Key, rule: &Rule, amount: u64, now_ms: u64) -> bool {
        match (rule, self.counts.get(key)) {
            (Rule::Rate { count, per_ms, burst }, stored) => {
                let arrival = arrival(stored, *count, now_ms);
                let ahead = arrival - u128::from(now_ms) * u128::from(*count);
                ahead + u128::from(*per_ms) * u128::from(amount) <= u128::from(*burst) * u128::from(*per_ms)
            }
            (Rule::Budget { cap, window_ms, .. }, stored) => {
                spent(stored, *window_ms, now_ms) + u128::from(amount) <= u128::from(*cap)
            }
            (Rule::Concurrency { max }, Some(Count::Open(open))) => open.saturating_add(amount) <= *max,
            (Rule::Concurrency { max }, None) => amount <= *max,
            // A key has its own kind of count; if it had not, doubt denies.
            (Rule::Concurrency { .. }, Some(Count::Rate { .. } | Count::Budget(_))) => false,
        }
    }

    /// Counts what a record says was counted.
    pub fn add(&mut self, key: Key, rule: &Rule, amount: u64, now_ms: u64) {
        self.sweep(now_ms);
        let stored = self.counts.get(&key);
        let count = match rule {
            Rule::Rate { count, per_ms, .. } => {
                let more = u128::from(*per_ms) * u128::from(amount);
                Count::Rate { arrival: arrival(stored, *count, now_ms).saturating_add(more), per: *count }
            }
            Rule::Budget { window_ms, .. } => {
                let step = window_ms.div_ceil(WINDOW_STEPS).max(1);
                let end = (now_ms / step).saturating_add(1).saturating_mul(step) - 1;
                let mut sums = match stored {
                    Some(Count::Budget(sums)) => sums.clone(),
                    Some(Count::Rate { .. } | Count::Open(_)) | None => BTreeMap::new(),
                };
                sums.retain(|end, _| end.saturating_add(*window_ms) > now_ms);
                let sum = sums.entry(end).or_default();
                *sum = sum.saturating_add(u128::from(amount));
                Count::Budget(sums)
            }
            Rule::Concurrency { .. } => match stored {
                Some(Count::Open(open)) => Count::Open(open.saturating_add(amount)),
                Some(Count::Rate { .. } | Count::Budget(_)) | None => Count::Open(amount),
            },
        };
        self.counts.insert(key, count);
    }

    /// One open lease less.
    pub fn release(&mut self, key: &Key) {
        if let Some(Count::Open(open)) = self.counts.get_mut(key) {
            *open = open.saturating_sub(1);
            if *open == 0 {
                self.counts.remove(key);
            }
        }
    }

    /// How many counters are kept.
    #[must_use]
    pub fn len(&self) -> usize {
        self.counts.len()
    }

    /// Whether there are none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.counts.is_empty()
    }

    /// Whether a counter says the same as none at all.
    #[must_use]
    pub fn is_idle(&self, key: &Key, now_ms: u64) -> bool {
        self.counts.get(key).is_none_or(|count| !says_something(count, now_ms))
    }

    /// Forgets what says the same as no counter at all, each time that the number has doubled.
    fn sweep(&mut self, now_ms: u64) {
        if self.counts.len() >= self.sweep_at.max(SWEEP_FROM) {
            self.forget(now_ms);
        }
    }

    /// Forgets what says the same as no counter at all.
    pub fn forget(&mut self, now_ms: u64) {
        for count in self.counts.values_mut() {
            if let Count::Budget(sums) = count {
                sums.retain(|end, _| end.saturating_add(MAX_WINDOW_MS) > now_ms);
            }
        }
        self.counts.retain(|_, count| says_something(count, now_ms));
        self.sweep_at = self.counts.len().saturating_mul(2);
    }

    /// Writes them by their names (`FORMAT.md`).
    pub(crate) fn encode(&self, e: &mut Encoder<'_>) {
        e.array(self.counts.len());
        for (Key { counter, name, realm, subject }, count) in &self.counts {
            e.array(6);
            e.uint(*counter as u64);
            e.text(name);
            e.text(realm);
            e.text(&subject.0);
            e.text(&subject.1);
            match count {
                Count::Rate { arrival, per } => {
                    e.array(2);
                    e.bytes(&arrival.to_be_bytes());
                    e.uint(*per);
                }
                Count::Budget(sums) => {
                    e.array(sums.len());
                    for (end, sum) in sums {
                        e.array(2);
                        e.uint(*end);
                        e.bytes(&sum.to_be_bytes());
                    }
                }
                Count::Open(open) => e.uint(*open),
            }
        }
    }

    /// Reads back what [`Counters::encode`] wrote.
    pub(crate) fn decode(d: &mut Decoder<'_>) -> Result<Self, CborError> {
        let mut counts = BTreeMap::new();
        for _ in 0..d.array()? {
            d.array_of(6)?;
            let kind = d.uint()?;
            let counter = [Counter::Rate, Counter::Budget, Counter::Concurrency];
            let counter = counter.into_iter().find(|counter| *counter as u64 == kind);
            let counter = counter.ok_or(CborError::OutOfRange(kind))?;
            let (name, realm) = (d.text()?.to_owned(), d.text()?.to_owned());
            let subject = (d.text()?.to_owned(), d.text()?.to_owned());
            let count = match counter {
                Counter::Rate => {
                    d.array_of(2)?;
                    Count::Rate { arrival: u128::from_be_bytes(d.bytes_of()?), per: d.uint()? }
                }
                Counter::Budget => {
                    let mut sums = BTreeMap::new();
                    for _ in 0..d.array()? {
                        d.array_of(2)?;
                        sums.insert(d.uint()?, u128::from_be_bytes(d.bytes_of()?));
                    }
                    Count::Budget(sums)
                }
                Counter::Concurrency => Count::Open(d.uint()?),
            };
            counts.insert(Key { counter, name, realm, subject }, count);
        }
        Ok(Counters { sweep_at: counts.len().saturating_mul(2), counts })
    }
}

fn says_something(count: &Count, now_ms: u64) -> bool {
    match count {
        Count::Rate { arrival, per } => *arrival > u128::from(now_ms) * u128::from(*per),
        Count::Budget(sums) => sums.last_key_value().is_some_and(|(end, _)| end.saturating_add(MAX_WINDOW_MS) > now_ms),
        Count::Open(open) => *open > 0,
    }
}

/// The theoretical arrival time in 1/`count` milliseconds, now at the earliest. An epoch that changed the rate does not forget it: it is
/// rounded up to the new unit.
fn arrival(stored: Option<&Count>, count: u64, now_ms: u64) -> u128 {
    let now = u128::from(now_ms) * u128::from(count);
    match stored {
        Some(Count::Rate { arrival, per }) if *per == count => now.max(*arrival),
        Some(Count::Rate { arrival, per }) => {
            now.max(arrival.saturating_mul(u128::from(count)).div_ceil(u128::from(*per).max(1)))
        }
        Some(Count::Budget(_) | Count::Open(_)) | None => now,
    }
}

fn spent(stored: Option<&Count>, window_ms: u64, now_ms: u64) -> u128 {
    match stored {
        Some(Count::Budget(sums)) => {
            let counted = sums.iter().filter(|(end, _)| end.saturating_add(window_ms) > now_ms);
            counted.fold(0, |sum, (_, amount)| sum.saturating_add(*amount))
        }
        Some(Count::Rate { .. } | Count::Open(_)) | None => 0,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::engine::Amount;

    const START: u64 = 1_795_428_000_000;

    fn key(counter: Counter) -> Key {
        Key::new(counter, "limit", "main", &("Agent".into(), "a".into()))
    }

    fn rate(count: u64, per_ms: u64, burst: u64) -> Rule {
        Rule::Rate { count, per_ms, burst }
    }

    fn budget(cap: u64, window_ms: u64) -> Rule {
        Rule::Budget { amount: Amount::Context("n".into()), cap, window_ms }
    }

    /// Takes one if there is room.
    fn take(counters: &mut Counters, rule: &Rule, amount: u64, now: u64) -> bool {
        let counter = match rule {
            Rule::Rate { .. } => Counter::Rate,
            Rule::Budget { .. } => Counter::Budget,
            Rule::Concurrency { .. } => Counter::Concurrency,
        };
        let fits = counters.fits(&key(counter), rule, amount, now);
        if fits {
            counters.add(key(counter), rule, amount, now);
        }
        fits
    }

    #[test]
    fn a_rate_lets_a_burst_through_and_then_one_after_the_other() {
        let (mut counters, rule) = (Counters::default(), rate(3, 1_000, 3));
        let taken =
            |counters: &mut Counters, now| (0..10).take_while(|_| take(counters, &rule, 1, START + now)).count();
        assert_eq!(taken(&mut counters, 0), 3);
        assert_eq!(taken(&mut counters, 333), 0);
        assert_eq!(taken(&mut counters, 334), 1);
        // Thirds of a second add up to seconds exactly.
        assert_eq!(taken(&mut counters, 1_000), 2);
        assert_eq!(taken(&mut counters, 3_600_000), 3);
    }

    #[test]
    fn never_more_than_the_burst_and_what_the_rate_adds_pass_in_any_while() {
        // Against every while of a random run: the definition of a rate with a burst.
        let (count, per_ms, burst) = (7, 1_000, 4);
        let (mut counters, mut times, mut now, mut seed) = (Counters::default(), Vec::new(), START, 12_345_u64);
        for _ in 0..3_000 {
            seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
            now += (seed >> 33) % 120;
            if take(&mut counters, &rate(count, per_ms, burst), 1, now) {
                times.push(now);
            }
        }
        assert!(times.len() > 500);
        for (n, from) in times.iter().enumerate() {
            for (m, to) in times.iter().enumerate().skip(n).take(50) {
                assert!((m - n) as u64 * per_ms < (to - from) * count + burst * per_ms, "{n}..={m}");
            }
        }
    }

    #[test]
    fn a_rate_that_an_epoch_changes_is_not_forgotten() {
        let mut counters = Counters::default();
        assert!((0..4).all(|_| take(&mut counters, &rate(4, 1_000, 4), 1, START)));
        assert!(!take(&mut counters, &rate(2, 1_000, 1), 1, START + 999));
        assert!(take(&mut counters, &rate(2, 1_000, 1), 1, START + 1_000));
    }

    #[test]
    fn the_sum_within_any_window_never_exceeds_the_cap_and_is_free_again_a_step_after_it() {
        let (cap, window) = (100, 6_000);
        let (mut counters, mut spent, mut now, mut seed) = (Counters::default(), Vec::new(), START, 99_u64);
        for _ in 0..4_000 {
            seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
            now += (seed >> 33) % 90;
            let amount = (seed >> 20) % 9;
            if take(&mut counters, &budget(cap, window), amount, now) {
                spent.push((now, amount));
            }
        }
        assert!(spent.len() > 500);
        for (n, (from, _)) in spent.iter().enumerate() {
            let sum: u64 =
                spent.iter().skip(n).take_while(|(at, _)| at - from < window).map(|(_, amount)| amount).sum();
            assert!(sum <= cap, "{sum} from {n}");
        }
        let mut counters = Counters::default();
        assert!(take(&mut counters, &budget(cap, window), cap, START));
        assert!(!take(&mut counters, &budget(cap, window), 1, START + window - 1));
        assert!(take(&mut counters, &budget(cap, window), cap, START + window + 100));
    }

    #[test]
    fn what_counts_no_more_is_forgotten() {
        let mut counters = Counters::default();
        for n in 0..100_000_u64 {
            let subject = ("Agent".to_owned(), n.to_string());
            let key = Key::new(Counter::Rate, "limit", "main", &subject);
            counters.add(key, &rate(1, 1_000, 1), 1, START + n * 100);
        }
        assert!(counters.len() <= 2 * SWEEP_FROM, "{}", counters.len());
    }

    #[test]
    fn leases_that_end_make_room() {
        let (mut counters, rule) = (Counters::default(), Rule::Concurrency { max: 2 });
        assert!(take(&mut counters, &rule, 1, START) && take(&mut counters, &rule, 1, START));
        assert!(!take(&mut counters, &rule, 1, START));
        counters.release(&key(Counter::Concurrency));
        assert!(take(&mut counters, &rule, 1, START));
        (0..9).for_each(|_| counters.release(&key(Counter::Concurrency)));
        assert!(counters.is_empty());
    }
}
