//! What is known of a log's audits of itself: the last one, the one under way, and whether anything may still be decided.
//!
//! Guarantees: a log that failed stays so, whatever passes later. Does not: make passes; nor show any of it.

use std::time::Duration;

use verifier::hash::Hash;

/// How a pass ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// Every entry is what the head says.
    Passed,
    /// One is not, or the head's signature is not.
    Failed,
    /// The disk failed, or there was no thread: nothing is known.
    Unreadable,
}

impl Outcome {
    /// Each of them.
    pub const ALL: [Self; 3] = [Self::Passed, Self::Failed, Self::Unreadable];

    /// The word.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Passed => "passed",
            Self::Failed => "failed",
            Self::Unreadable => "unreadable",
        }
    }
}

/// A pass under way.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct UnderWay {
    /// When it began, Unix milliseconds.
    pub began_ms: u64,
    /// Size of the head that the log is held against.
    pub size: u64,
    /// Its root.
    pub root: Hash,
    /// Entries that were read.
    pub entries: u64,
}

/// A pass that ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Ended {
    /// How.
    pub outcome: Outcome,
    /// What it was, with the entries that held.
    pub pass: UnderWay,
    /// When it ended, Unix milliseconds.
    pub ended_ms: u64,
    /// The first entry with which something is wrong, where it is known.
    pub first_fault: Option<u64>,
}

/// How it stands.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Standing {
    /// From one pass to the next; `None` if none is made.
    pub every: Option<Duration>,
    /// The pass under way.
    pub under_way: Option<UnderWay>,
    /// The last that ended.
    pub last: Option<Ended>,
    /// How many ended in each way, in the order of [`Outcome::ALL`].
    pub counts: [u64; 3],
    /// Nothing may be decided on this log any more.
    pub failed: bool,
}

impl Standing {
    /// Whether the last pass could not read, and so says nothing.
    #[must_use]
    pub fn is_unreadable(&self) -> bool {
        self.last.is_some_and(|last| last.outcome == Outcome::Unreadable)
    }

    /// In a word: `off`, `never`, `running`, `passed`, `failed`, `unreadable`. A log that failed stays so.
    #[must_use]
    pub fn state(&self) -> &'static str {
        match (self.failed, self.under_way, self.last, self.every) {
            (true, ..) => Outcome::Failed.name(),
            (false, Some(_), ..) => "running",
            (false, None, Some(last), _) => last.outcome.name(),
            (false, None, None, Some(_)) => "never",
            (false, None, None, None) => "off",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const EVERY: Option<Duration> = Some(Duration::from_secs(1));

    #[test]
    fn a_log_that_failed_stays_so_whatever_comes_after() {
        let (size, root) = (9, Hash([7; 32]));
        let pass = UnderWay { began_ms: 1, size, root, entries: 9 };
        let last = Some(Ended { outcome: Outcome::Passed, pass, ended_ms: 2, first_fault: None });
        let mut standing = Standing::default();
        let states = [
            (None, None, None, false, "off"),
            (EVERY, None, None, false, "never"),
            (EVERY, Some(pass), None, false, "running"),
            (EVERY, Some(pass), last, false, "running"),
            (EVERY, None, last, false, "passed"),
            (EVERY, None, last, true, "failed"),
            (EVERY, Some(pass), last, true, "failed"),
        ];
        for (every, under_way, last, failed, state) in states {
            standing = Standing { every, under_way, last, failed, ..standing };
            assert_eq!(standing.state(), state);
        }
    }
}
