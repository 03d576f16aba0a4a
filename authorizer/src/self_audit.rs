//! Why: what was durable once may rot or be changed on the disk, and decisions go on being recorded on top of it. The service reads its own
//! log again and again and holds it against a head that it signed.
//!
//! Guarantees: a pass reads every entry under the head that is newest when it begins ([`ledger::Reader::audit_own`]); it is made by one thread
//! of the lowest priority, which rests [`REST`] times as long as each piece took, so it takes a quarter of a core at the most; there are never
//! two at once; a stop breaks it off. From the first fault on nothing is decided: the ledger is poisoned, the sequencer ends, and no later pass
//! takes that back. Nor is anything decided on a log that could not be read [`TRIES`] times in succession, or whose audit panicked.
//! Does not: look at private parts or at what is derived; remember over a restart that a log could not be read. Of one that failed a mark in its
//! directory keeps anybody from opening it ([`ledger::OpenError::Unsound`]).

mod auditor;
mod gauges;
mod standing;

use std::fmt;
use std::ops::ControlFlow;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use ledger::{Reader, Report};
use tokio::time::Instant;

pub use auditor::Auditor;
pub use gauges::Gauges;
pub use standing::{Ended, Outcome, Standing, UnderWay};

/// From the end of one pass to the beginning of the next, unless an operator says otherwise: what rots is found within a day.
pub const EVERY: Duration = Duration::from_secs(24 * 3_600);
/// From the start to the first pass: what a restart needs the disk for is over, and a log that is damaged is not relied on for long.
const FIRST: Duration = Duration::from_secs(5);
/// From a pass that could not read to the next one.
const AGAIN: Duration = Duration::from_secs(60);
/// So many passes that cannot read follow one another; then the log counts as failed.
pub const TRIES: u32 = 3;
/// After a piece the thread rests so many times as long as the piece took.
const REST: u32 = 3;
/// But not longer: a slow disk makes pieces long by itself.
const MAX_REST: Duration = Duration::from_secs(1);

/// What whoever is not ready for it says.
pub const FAILED: &str = "a self-audit found stored entries that are not what the signed head says";
/// What an operator has to look into.
pub const UNREADABLE: &str = "the last self-audit could not read the log";

/// When passes are made, and who is told of trouble.
#[derive(Clone)]
pub struct Plan {
    /// From the end of one to the beginning of the next.
    pub every: Duration,
    /// From the start to the first.
    pub first: Duration,
    /// From one that could not read to the next.
    pub again: Duration,
    /// Gets a line for each trouble, which begins with a stable code: `self_audit_failed` or `self_audit_unreadable`.
    pub tell: Arc<dyn Fn(&str) + Send + Sync>,
}

impl Default for Plan {
    fn default() -> Self {
        Self { every: EVERY, first: FIRST, again: AGAIN, tell: Arc::new(|_| {}) }
    }
}

impl fmt::Debug for Plan {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Plan").field("every", &self.every).finish_non_exhaustive()
    }
}

/// Between whoever audits and whoever asks.
#[derive(Debug, Default)]
pub struct SelfAudits {
    standing: Mutex<Standing>,
    /// Beside the rest: each turn of the sequencer looks at it.
    failed: AtomicBool,
    stopping: Mutex<bool>,
    wake: Condvar,
}

impl SelfAudits {
    /// How it stands.
    #[must_use]
    pub fn standing(&self) -> Standing {
        *self.locked()
    }

    /// Whether nothing may be decided on this log any more.
    #[must_use]
    pub fn failed(&self) -> bool {
        self.failed.load(Ordering::Acquire)
    }

    /// Makes one pass; `None` if another is under way, or it was broken off.
    pub fn pass(&self, reader: &Reader, now_ms: &impl Fn() -> u64, tell: &dyn Fn(&str)) -> Option<Outcome> {
        let head = reader.head();
        let (size, root) = (head.checkpoint.size, head.checkpoint.root);
        let began_ms = now_ms();
        {
            let mut standing = self.locked();
            if standing.under_way.is_some() {
                return None;
            }
            standing.under_way = Some(UnderWay { began_ms, size, root, entries: 0 });
        }
        let under_way = Ends(self);
        let mut piece = Instant::now();
        let made = reader.audit_own(&head, &mut |now| {
            if let Some(pass) = &mut self.locked().under_way {
                pass.entries = now.done;
            }
            if !self.sleep(rest(piece.elapsed())) {
                return ControlFlow::Break(());
            }
            piece = Instant::now();
            ControlFlow::Continue(())
        });
        let (outcome, first_fault) = match &made {
            Ok(None) => return None,
            Ok(Some(report)) if report.is_clean() => (Outcome::Passed, None),
            Ok(Some(report)) => (Outcome::Failed, report.first_fault()),
            Err(_) => (Outcome::Unreadable, None),
        };
        if outcome == Outcome::Failed {
            self.fail();
        }
        let ended_ms = now_ms();
        {
            let mut standing = self.locked();
            if let Some(pass) = standing.under_way {
                standing.last = Some(Ended { outcome, pass, ended_ms, first_fault });
            }
            let counted = Outcome::ALL.into_iter().zip(&mut standing.counts).find(|(of, _)| *of == outcome);
            if let Some((_, count)) = counted {
                *count = count.saturating_add(1);
            }
        }
        drop(under_way);
        match &made {
            Ok(Some(report)) => faults(report, size).for_each(|line| tell(&line)),
            Ok(None) => {}
            Err(error) => tell(&format!("self_audit_unreadable size={size}: {error}")),
        }
        Some(outcome)
    }

    /// Nothing is decided on this log any more.
    fn fail(&self) {
        self.locked().failed = true;
        self.failed.store(true, Ordering::Release);
    }

    /// Waits so long, on a condition and not on the clock alone, so that a stop ends it at once: false as soon as the service stops.
    fn sleep(&self, time: Duration) -> bool {
        let stopping = self.stopping.lock().unwrap_or_else(PoisonError::into_inner);
        let slept = self.wake.wait_timeout_while(stopping, time, |stopping| !*stopping);
        !*slept.unwrap_or_else(PoisonError::into_inner).0
    }

    fn stop(&self) {
        *self.stopping.lock().unwrap_or_else(PoisonError::into_inner) = true;
        self.wake.notify_all();
    }

    fn locked(&self) -> MutexGuard<'_, Standing> {
        self.standing.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A pass is over, however it ends.
struct Ends<'a>(&'a SelfAudits);

impl Drop for Ends<'_> {
    fn drop(&mut self) {
        self.0.locked().under_way = None;
        if std::thread::panicking() {
            // Nobody knows what it met: it cannot be relied on, nor can this log.
            self.0.fail();
        }
    }
}

/// How long to rest after a piece that took so long.
fn rest(took: Duration) -> Duration {
    took.saturating_mul(REST).min(MAX_REST)
}

/// What there is to tell of a report: nothing, or its first problem and how many there are.
fn faults(report: &Report, size: u64) -> impl Iterator<Item = String> {
    let index = report.first_fault().map_or_else(|| "unknown".to_owned(), |index| index.to_string());
    report.problems.iter().take(1).map(move |problem| {
        let (count, file) = (report.problem_count, problem.file.display());
        format!("self_audit_failed first_fault={index} size={size} problems={count}: {file}: {}", problem.what)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pass_takes_a_quarter_of_a_core_and_never_rests_for_long() {
        assert_eq!(rest(Duration::from_millis(5)), Duration::from_millis(15));
        assert_eq!(rest(Duration::from_secs(40)), Duration::from_secs(1));
    }

    #[test]
    fn a_panic_in_a_pass_ends_it_and_the_log_counts_as_failed() {
        let audits = Arc::new(SelfAudits::default());
        let within = audits.clone();
        let _panics = std::thread::spawn(move || {
            let _ends = Ends(&within);
            panic!("in a pass");
        })
        .join();
        assert!(audits.failed() && audits.standing().under_way.is_none());
    }
}
