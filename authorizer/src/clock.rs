//! Why: a permit's life and a deadline are only as good as the time they are measured with, and a clock that jumps
//! must not mint permits that live for years (threat 15). This file owns the only wall clock of the authorizer.
//!
//! Guarantees: every time handed out is at most [`MAX_LEAD_MS`] ahead of what the monotonic clock says since start,
//! and never before the last record; trouble is told beside the time, and callers deny on it (DESIGN §5).
//! Does not: correct a clock. A step forward denies until restart, a step back until time has caught up.

use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use verifier::text::rfc3339;

/// The wall clock may not lead the monotonic clock by more than this: NTP slews both, so only a step shows here.
pub const MAX_LEAD_MS: u64 = 1_000;
/// The wall clock may not fall behind the last record by more than this: small backward steps of NTP are absorbed by
/// repeating the last time, larger ones are doubt.
pub const MAX_BEHIND_MS: u64 = 1_000;
/// At start the wall clock and the last record may be this far apart without an operator's word: a week covers a
/// service that was switched off over holidays, not a board that booted in 1970 or 2031.
pub const MAX_START_GAP_MS: u64 = 7 * 24 * 3_600_000;

/// Where time comes from; tests inject their own.
pub trait Source: Send + Sync + 'static {
    /// Unix milliseconds by the wall clock.
    fn wall_ms(&self) -> u64;
    /// Milliseconds by a clock that never steps, from an arbitrary start.
    fn monotonic_ms(&self) -> u64;
    /// Unix nanoseconds by the wall clock: for traces, which nothing rests on.
    fn wall_ns(&self) -> u64 {
        self.wall_ms().saturating_mul(1_000_000)
    }
}

/// The operating system's clocks.
#[derive(Debug)]
pub struct System {
    start: Instant,
}

impl Default for System {
    fn default() -> Self {
        System { start: Instant::now() }
    }
}

impl Source for System {
    fn wall_ms(&self) -> u64 {
        u64::try_from(since_1970().as_millis()).unwrap_or(u64::MAX)
    }

    fn wall_ns(&self) -> u64 {
        u64::try_from(since_1970().as_nanos()).unwrap_or(u64::MAX)
    }

    fn monotonic_ms(&self) -> u64 {
        u64::try_from(self.start.elapsed().as_millis()).unwrap_or(u64::MAX)
    }
}

fn since_1970() -> Duration {
    #[expect(clippy::disallowed_methods, reason = "this shell owns the authorizer's wall clock")]
    let now = SystemTime::now();
    // Before 1970 is as wrong as it gets: 0 is behind every record.
    now.duration_since(UNIX_EPOCH).unwrap_or_default()
}

/// Why the time cannot be relied on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Trouble {
    /// The wall clock stepped forward: it leads the monotonic clock by more than [`MAX_LEAD_MS`].
    Leads,
    /// The wall clock is more than [`MAX_BEHIND_MS`] behind the last record.
    Behind,
}

/// One look at the clock.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Reading {
    /// Unix milliseconds; never before the last record, and bounded by the monotonic clock even under trouble.
    pub at_ms: u64,
    /// Where set, nothing may be allowed at this time.
    pub trouble: Option<Trouble>,
}

/// The wall clock and the last record are too far apart to start without an operator's word.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("the clock says {} but the last record is from {}, more than a week {}", rfc3339(*wall_ms), rfc3339(*last_ms), self.advice())]
pub struct StartGap {
    /// Unix milliseconds by the wall clock at start.
    pub wall_ms: u64,
    /// Unix milliseconds of the last record.
    pub last_ms: u64,
}

impl StartGap {
    fn advice(&self) -> &'static str {
        if self.wall_ms > self.last_ms {
            "before; if the clock is right, start again with the clock gap accepted"
        } else {
            "ahead: recorded time never goes backwards, so nothing can be allowed before that time has come. If the clock is right now, it was \
             wrong when that was recorded: begin a new log. With the clock gap accepted, reads are served and everything is denied"
        }
    }
}

/// The clock under the rules above. Cheap to clone.
#[derive(Clone)]
pub struct Clock {
    source: Arc<dyn Source>,
    wall_at_start: u64,
    monotonic_at_start: u64,
    gap_accepted: bool,
}

impl Clock {
    /// Ties the wall clock to the monotonic clock. `last_record_ms` is the time of the last record, if there is one.
    ///
    /// # Errors
    /// [`StartGap`] where the two are more than [`MAX_START_GAP_MS`] apart and `accept_gap` is not set.
    pub fn start(source: Arc<dyn Source>, last_record_ms: Option<u64>, accept_gap: bool) -> Result<Clock, StartGap> {
        let wall_ms = source.wall_ms();
        let gap = last_record_ms.filter(|last_ms| wall_ms.abs_diff(*last_ms) > MAX_START_GAP_MS);
        if let Some(last_ms) = gap
            && !accept_gap
        {
            return Err(StartGap { wall_ms, last_ms });
        }
        let monotonic_at_start = source.monotonic_ms();
        Ok(Clock { source, wall_at_start: wall_ms, monotonic_at_start, gap_accepted: gap.is_some() })
    }

    /// Whether the start took an operator's word; that belongs into the log.
    #[must_use]
    pub fn gap_accepted(&self) -> bool {
        self.gap_accepted
    }

    /// The time now, given the time of the last record.
    #[must_use]
    pub fn read(&self, last_record_ms: u64) -> Reading {
        let wall = self.source.wall_ms();
        let elapsed = self.source.monotonic_ms().saturating_sub(self.monotonic_at_start);
        let expected = self.wall_at_start.saturating_add(elapsed);
        if wall > expected.saturating_add(MAX_LEAD_MS) {
            return Reading { at_ms: expected.max(last_record_ms), trouble: Some(Trouble::Leads) };
        }
        if wall.saturating_add(MAX_BEHIND_MS) < last_record_ms {
            return Reading { at_ms: last_record_ms, trouble: Some(Trouble::Behind) };
        }
        Reading { at_ms: wall.max(last_record_ms), trouble: None }
    }
}

impl std::fmt::Debug for Clock {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Clock").field("wall_at_start", &self.wall_at_start).finish_non_exhaustive()
    }
}

/// A clock for tests: both hands are set by hand.
#[derive(Debug, Default)]
pub struct Manual {
    wall: std::sync::atomic::AtomicU64,
    monotonic: std::sync::atomic::AtomicU64,
}

impl Manual {
    /// A clock that stands at `wall_ms`.
    #[must_use]
    pub fn at(wall_ms: u64) -> Self {
        Manual { wall: wall_ms.into(), monotonic: 0.into() }
    }

    /// Lets `ms` pass on both hands.
    pub fn advance(&self, ms: u64) {
        self.wall.fetch_add(ms, std::sync::atomic::Ordering::SeqCst);
        self.monotonic.fetch_add(ms, std::sync::atomic::Ordering::SeqCst);
    }

    /// Steps the wall clock alone.
    pub fn step_to(&self, wall_ms: u64) {
        self.wall.store(wall_ms, std::sync::atomic::Ordering::SeqCst);
    }
}

impl Source for Manual {
    fn wall_ms(&self) -> u64 {
        self.wall.load(std::sync::atomic::Ordering::SeqCst)
    }

    fn monotonic_ms(&self) -> u64 {
        self.monotonic.load(std::sync::atomic::Ordering::SeqCst)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOON: u64 = 1_760_000_000_000;
    const IN_2031: u64 = 1_925_000_000_000;

    fn clock_at(wall: u64) -> (Arc<Manual>, Clock) {
        let source = Arc::new(Manual::at(wall));
        let clock = Clock::start(source.clone(), None, false).unwrap();
        (source, clock)
    }

    #[test]
    fn a_clock_that_jumps_to_2031_and_back_never_hands_out_2031() {
        let (source, clock) = clock_at(NOON);
        source.advance(5_000);
        assert_eq!(clock.read(NOON), Reading { at_ms: NOON + 5_000, trouble: None });
        source.step_to(IN_2031);
        assert_eq!(clock.read(NOON + 5_000), Reading { at_ms: NOON + 5_000, trouble: Some(Trouble::Leads) });
        source.advance(1_000);
        assert_eq!(clock.read(NOON + 5_000), Reading { at_ms: NOON + 6_000, trouble: Some(Trouble::Leads) });
        source.step_to(NOON + 6_000);
        assert_eq!(clock.read(NOON + 6_000), Reading { at_ms: NOON + 6_000, trouble: None });
    }

    #[test]
    fn recorded_time_never_goes_backwards() {
        let (source, clock) = clock_at(NOON);
        source.step_to(NOON - 900);
        assert_eq!(clock.read(NOON), Reading { at_ms: NOON, trouble: None });
        source.step_to(NOON - 1_001);
        assert_eq!(clock.read(NOON), Reading { at_ms: NOON, trouble: Some(Trouble::Behind) });
    }

    #[test]
    fn a_lead_of_exactly_one_second_is_still_believed() {
        let (source, clock) = clock_at(NOON);
        source.step_to(NOON + MAX_LEAD_MS);
        assert_eq!(clock.read(NOON).trouble, None);
        source.step_to(NOON + MAX_LEAD_MS + 1);
        assert_eq!(clock.read(NOON).trouble, Some(Trouble::Leads));
    }

    #[test]
    fn a_start_far_from_the_last_record_needs_an_operators_word() {
        for wall in [IN_2031, 0] {
            let source = Arc::new(Manual::at(wall));
            let refused = Clock::start(source.clone(), Some(NOON), false).unwrap_err();
            assert_eq!(refused, StartGap { wall_ms: wall, last_ms: NOON });
            // An operator's word helps where the log rested, not where it comes from the future.
            assert_eq!(refused.to_string().contains("begin a new log"), wall < NOON, "{refused}");
            assert!(Clock::start(source, Some(NOON), true).is_ok());
        }
        assert!(Clock::start(Arc::new(Manual::at(NOON + MAX_START_GAP_MS)), Some(NOON), false).is_ok());
    }
}
