//! Why: whoever looks at the service wants to see how it got here, not only how it is; a scraper's database is not everybody's.
//!
//! Guarantees: [`SECONDS`] samples of a second and [`MINUTES`] of a minute, each of a fixed size, whatever happens (a few hundred kilobytes);
//! closed sets only, no realm, subject, key or reason; what a sample says of outcomes stands in the leaves, which anybody can count.
//! Does not: survive a restart; the log does.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::time::Instant;

use crate::live::Shared;
use crate::tally::{Percentiles, Sums};

/// Samples of a second that are kept: ten minutes, for curves that move.
pub const SECONDS: usize = 600;
/// Samples of a minute that are kept: a day.
pub const MINUTES: usize = 1_440;
/// From one sample to the next.
const EVERY: Duration = Duration::from_secs(1);
/// Two samples closer than this are of two workers that both take them: the second one is left out.
const TOO_SOON: Duration = Duration::from_millis(500);
/// Readings of the last minute, one each ten seconds.
const READINGS: usize = 7;
const READ_EVERY: u32 = 10;

/// What a second or a minute was like.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Sample {
    /// When it ended, Unix milliseconds.
    pub at_ms: u64,
    /// Entries under the published head.
    pub size: u64,
    /// Recorded decisions that allow.
    pub allowed: u64,
    /// Those that deny, by the first condition that did not pass.
    pub denied: [u64; 9],
    /// Calls that got 503.
    pub shed: u64,
    /// Decisions that waited to be recorded, at the most.
    pub waiting: usize,
    /// Looks at which the service was ready, of [`Sample::looks`].
    pub ready: u32,
    /// How often it was looked at: once a second.
    pub looks: u32,
    /// Milliseconds since a request that must be denied was denied, at the most; `None` if none was lately.
    pub canary_ms: Option<u64>,
    /// From a body that was read to its durable records.
    pub decisions: Option<Percentiles>,
    /// From a frame's write to its published head.
    pub commits: Option<Percentiles>,
    /// Syncs of the journal.
    pub journal: Option<Percentiles>,
    /// Syncs of the vault.
    pub vault: Option<Percentiles>,
    /// Syncs of the memory.
    pub memory: Option<Percentiles>,
}

/// What one look sees.
#[derive(Clone, Debug, Default)]
pub struct Seen {
    /// When, Unix milliseconds.
    pub at_ms: u64,
    /// Entries under the published head.
    pub size: u64,
    /// Decisions that wait to be recorded.
    pub waiting: usize,
    /// Whether the service is ready.
    pub ready: bool,
    /// Since the last canary.
    pub canary: Option<Duration>,
    /// Everything that was counted so far.
    pub sums: Sums,
}

/// The samples.
#[derive(Debug, Default)]
pub struct History(Mutex<Kept>);

#[derive(Debug, Default)]
struct Kept {
    seconds: VecDeque<Sample>,
    minutes: VecDeque<Sample>,
    last: Sums,
    taken: Option<Instant>,
    started_ms: Option<u64>,
    minute: Minute,
    readings: VecDeque<Sums>,
    looks: u32,
}

/// The minute that is under way.
#[derive(Debug, Default)]
struct Minute {
    number: u64,
    begin: Sums,
    waiting: usize,
    ready: u32,
    looks: u32,
    canary: Option<Duration>,
    last: Option<(u64, u64)>,
}

impl History {
    /// Takes a sample.
    pub fn take(&self, seen: Seen) {
        let mut kept = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if kept.taken.is_some_and(|taken| taken.elapsed() < TOO_SOON) {
            return;
        }
        kept.taken = Some(Instant::now());
        kept.add(seen);
    }

    /// When the first sample was taken, Unix milliseconds.
    #[must_use]
    pub fn started_ms(&self) -> Option<u64> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).started_ms
    }

    /// The samples of a second that ended after a time, oldest first.
    #[must_use]
    pub fn seconds(&self, after: u64) -> Vec<Sample> {
        let kept = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        kept.seconds.iter().filter(|sample| sample.at_ms > after).copied().collect()
    }

    /// As [`History::seconds`], of a minute.
    #[must_use]
    pub fn minutes(&self, after: u64) -> Vec<Sample> {
        let kept = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        kept.minutes.iter().filter(|sample| sample.at_ms > after).copied().collect()
    }

    /// What was counted in the last minute, or since the start.
    #[must_use]
    pub fn lately(&self, now: &Sums) -> Sums {
        let kept = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        kept.readings.front().map_or_else(|| now.clone(), |before| now.since(before))
    }
}

impl Kept {
    fn add(&mut self, seen: Seen) {
        let number = seen.at_ms / 60_000;
        if self.started_ms.is_none() {
            self.started_ms = Some(seen.at_ms);
            self.minute.number = number;
            // Everything that was counted before the first look is of the time since the start.
            push(&mut self.readings, READINGS, Sums::default());
        }
        // A clock that was put back goes on with the minute that is under way.
        if number > self.minute.number {
            self.end_minute(number);
        }
        if self.looks.is_multiple_of(READ_EVERY) {
            push(&mut self.readings, READINGS, seen.sums.clone());
        }
        self.looks = self.looks.wrapping_add(1);
        let minute = &mut self.minute;
        minute.waiting = minute.waiting.max(seen.waiting);
        minute.ready += u32::from(seen.ready);
        minute.looks += 1;
        minute.canary = minute.canary.max(seen.canary);
        minute.last = Some((seen.at_ms, seen.size));
        let since = seen.sums.since(&self.last);
        let (at, looks) = ((seen.at_ms, seen.size), (u32::from(seen.ready), 1));
        push(&mut self.seconds, SECONDS, sample(at, looks, seen.waiting, seen.canary, &since));
        self.last = seen.sums;
    }

    fn end_minute(&mut self, next: u64) {
        let begun = Minute { number: next, begin: self.last.clone(), ..Minute::default() };
        let Minute { begin, waiting, ready, looks, canary, last, number: _ } =
            std::mem::replace(&mut self.minute, begun);
        let since = self.last.since(&begin);
        if let Some(last) = last {
            push(&mut self.minutes, MINUTES, sample(last, (ready, looks), waiting, canary, &since));
        }
    }
}

fn push<T>(ring: &mut VecDeque<T>, most: usize, one: T) {
    if ring.len() == most {
        ring.pop_front();
    }
    ring.push_back(one);
}

fn sample(
    (at_ms, size): (u64, u64),
    (ready, looks): (u32, u32),
    waiting: usize,
    canary: Option<Duration>,
    sums: &Sums,
) -> Sample {
    Sample {
        at_ms,
        size,
        allowed: sums.allowed,
        denied: sums.denied,
        shed: sums.shed,
        waiting,
        ready,
        looks,
        canary_ms: canary.map(|age| u64::try_from(age.as_millis()).unwrap_or(u64::MAX)),
        decisions: sums.decisions.percentiles(),
        commits: sums.commits.percentiles(),
        journal: sums.journal.percentiles(),
        vault: sums.vault.percentiles(),
        memory: sums.memory.percentiles(),
    }
}

/// Takes samples for as long as the worker lives that this runs on.
pub async fn keep(shared: Arc<Shared>) {
    loop {
        shared.history.take(shared.seen());
        tokio::time::sleep(EVERY).await;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn seen(at_ms: u64, allowed: u64) -> Seen {
        let sums = Sums { allowed, denied: [1, 0, 0, 0, 0, 0, 0, 0, 0], ..Sums::default() };
        Seen { at_ms, size: allowed, ready: true, waiting: 3, canary: Some(Duration::from_millis(7)), sums }
    }

    #[test]
    fn rings_are_bounded_and_a_minute_holds_what_its_seconds_hold() {
        let mut kept = Kept::default();
        // Three looks a minute are enough to see it.
        let looks = 3 * (MINUTES as u64 + 5);
        for look in 0..looks {
            kept.add(seen(look * 20_000, look + 1));
        }
        assert_eq!((kept.seconds.len(), kept.minutes.len()), (SECONDS, MINUTES));
        assert_eq!(kept.readings.len(), READINGS);
        let last = kept.minutes.back().unwrap();
        assert_eq!((last.allowed, last.ready, last.looks, last.waiting), (3, 3, 3, 3));
        assert_eq!((last.denied[0], last.canary_ms), (0, Some(7)), "what was denied before the minute is not of it");
        assert_eq!(last.at_ms, (looks - 4) * 20_000);
        assert_eq!(kept.seconds.back().unwrap().allowed, 1);
        assert_eq!(kept.started_ms, Some(0));
    }

    #[test]
    fn a_clock_that_is_put_back_ends_no_minute_twice() {
        let mut kept = Kept::default();
        for at in [60_000, 61_000, 1_000, 62_000, 120_000] {
            kept.add(seen(at, at));
        }
        assert_eq!(kept.minutes.iter().map(|minute| minute.looks).collect::<Vec<_>>(), [4]);
    }

    #[test]
    fn samples_that_come_at_once_count_once() {
        let history = History::default();
        history.take(seen(1_000, 1));
        history.take(seen(1_001, 2));
        assert_eq!(history.seconds(0).len(), 1);
        assert_eq!((history.seconds(999).len(), history.seconds(1_000).len()), (1, 0));
        assert_eq!(history.lately(&seen(2_000, 5).sums).allowed, 5);
    }
}
