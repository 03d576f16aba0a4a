//! What the log's own audits came to, as `/v1/health` and its page tell it.
//!
//! Guarantees: what was held against which head, how far it went and where the first fault is; no byte of an entry and no name of a file.
//! Does not: prove anything. Whoever wants proof audits the log from outside.

use ledger::http::habits::age;
use serde::Serialize;
use verifier::hash::Hash;
use verifier::text::rfc3339;

use crate::self_audit::{Ended, Outcome, Standing, UnderWay};

/// The JSON of it.
#[derive(Serialize)]
pub(super) struct AuditView {
    state: &'static str,
    /// Seconds from the end of one to the beginning of the next; `null` where none is made.
    every_s: Option<u64>,
    running: Option<PassView>,
    last: Option<EndedView>,
    #[serde(skip)]
    ended_ms: u64,
}

#[derive(Serialize)]
struct PassView {
    began: String,
    /// Of the head that the log is held against.
    size: u64,
    root: Hash,
    /// That were read.
    entries: u64,
}

#[derive(Serialize)]
struct EndedView {
    #[serde(flatten)]
    pass: PassView,
    result: &'static str,
    ended: String,
    /// The first entry that is wrong, where it is known.
    first_fault: Option<u64>,
}

impl PassView {
    fn of(pass: &UnderWay) -> Self {
        let UnderWay { began_ms, size, root, entries } = *pass;
        Self { began: rfc3339(began_ms), size, root, entries }
    }
}

impl EndedView {
    fn of(ended: &Ended) -> Self {
        let Ended { outcome, pass, ended_ms, first_fault } = ended;
        Self { pass: PassView::of(pass), result: outcome.name(), ended: rfc3339(*ended_ms), first_fault: *first_fault }
    }
}

impl AuditView {
    pub(super) fn of(standing: &Standing) -> Self {
        Self {
            state: standing.state(),
            every_s: standing.every.map(|every| every.as_secs()),
            running: standing.under_way.as_ref().map(PassView::of),
            last: standing.last.as_ref().map(EndedView::of),
            ended_ms: standing.last.map_or(0, |last| last.ended_ms),
        }
    }

    /// In a word.
    pub(super) fn state(&self) -> &'static str {
        self.state
    }

    /// For the page: what came of the last one, and how far the next one is. `health.js` writes the same.
    pub(super) fn words(&self, now_ms: u64) -> String {
        let tag = |colour, words: &str| format!("<span class=\"tag {colour}\">{words}</span>");
        let last = match &self.last {
            None if self.state == "off" => {
                return "none: it is switched off; anybody can audit, with interlock audit".to_owned();
            }
            None if self.state == "failed" => {
                tag("bad", "failed") + " it did not come to an end; nothing is permitted any more"
            }
            None => "none yet".to_owned(),
            Some(EndedView { pass: PassView { size, entries, .. }, result, first_fault, .. }) => {
                let ago = age(now_ms.saturating_sub(self.ended_ms));
                match *result {
                    // Three in succession that could not read, or a panic.
                    _ if self.state == "failed" && *result != Outcome::Failed.name() => {
                        tag("bad", "failed") + " the log could not be read; nothing is permitted any more"
                    }
                    "passed" => format!(
                        "{} {entries} entries are what the signed head of size {size} says, {ago} ago",
                        tag("good", "passed")
                    ),
                    "failed" => {
                        let at = first_fault.map_or_else(|| "it".to_owned(), |index| format!("entry {index}"));
                        let bad = tag("bad", "failed");
                        format!(
                            "{bad} {at} is not what the signed head of size {size} says; nothing is permitted any more"
                        )
                    }
                    _ => format!("{} the log could not be read, {ago} ago", tag("open", "unreadable")),
                }
            }
        };
        match &self.running {
            Some(PassView { entries, size, .. }) => format!("{last}; one is under way: {entries} of {size} entries"),
            None => last,
        }
    }
}
