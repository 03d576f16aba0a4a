//! Why: an execution under a lease is followed while it runs: what its executor reports or asks, on its way to the sequencer and back.
//!
//! Guarantees: a [`Followed`] exists only for a record that is durable under a signed head, so that nobody goes on on a promise.
//! Does not: check who reports; the HTTP handler does, before anything is handed over.

use std::sync::Arc;

use ledger::Head;
use tokio::sync::oneshot;
use verifier::decision::Decision;
use verifier::event::Step;
use verifier::record::Record;
use verifier::request::Request;

use crate::engine::Verdict;
use crate::queue::Load;
use crate::state::permits::Over;
use crate::traces::Queued;

/// An event, without its note, has at most so many bytes; a note with a signature or two is far below it.
pub const MAX_EVENT: usize = 4_096;

/// An event on its way to the sequencer.
#[derive(Debug)]
pub struct Report {
    /// The permit's decision, as recorded.
    pub decision: Box<Decision>,
    /// The request that was permitted.
    pub request: Box<Request>,
    /// What is reported or asked.
    pub step: Step,
    /// The signed note; absent where the requester itself aborts.
    pub note: Option<String>,
    /// What the conditions say now.
    pub verdict: Box<Verdict>,
    /// The governance version that they were evaluated under.
    pub governance: u64,
    /// The time that they were evaluated at, Unix milliseconds.
    pub evaluated_at: u64,
    /// What it counts for in the queue.
    pub load: Load,
    /// Its request's trace, where it has one.
    pub trace: Option<Queued>,
    /// Where the answer goes.
    pub reply: oneshot::Sender<Answer>,
}

/// What the sequencer answers.
#[derive(Debug)]
pub enum Answer {
    /// The record is durable.
    Durable(Followed),
    /// The verdicts no longer hold: evaluate again. Nothing was recorded.
    Stale,
    /// It cannot be taken. Nothing was recorded.
    Refused(Refused),
}

/// Why an event is not taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Refused {
    /// The log has ended.
    Frozen,
    /// The time of a record cannot be told.
    Clock,
    /// There is no such execution, or it is over.
    Over(Over),
    /// It was reported to have begun before.
    AlreadyStarted,
    /// The lease that is renewed ends at another time, which is given.
    OtherEnd(u64),
    /// Renewed, it would outlive its permit, which ends at the time that is given.
    BeyondPermit(u64),
}

/// What became of an event: made by the sequencer after `append` returned, and nowhere else.
///
/// ```compile_fail,E0624
/// fn forged(record: verifier::record::Record, head: std::sync::Arc<ledger::Head>) -> authorizer::execution::Followed {
///     authorizer::execution::Followed::new(0, record, Vec::new(), head)
/// }
/// ```
#[derive(Debug)]
pub struct Followed {
    index: u64,
    record: Record,
    codes: Vec<&'static str>,
    head: Arc<Head>,
}

impl Followed {
    /// For the sequencer, after `append` returned.
    pub(crate) fn new(index: u64, record: Record, codes: Vec<&'static str>, head: Arc<Head>) -> Self {
        Followed { index, record, codes, head }
    }

    /// The record's place in the log.
    #[must_use]
    pub fn index(&self) -> u64 {
        self.index
    }

    /// A lease's step, or a closure.
    #[must_use]
    pub fn record(&self) -> &Record {
        &self.record
    }

    /// Why execution was halted; none where it was not.
    #[must_use]
    pub fn codes(&self) -> &[&'static str] {
        &self.codes
    }

    /// The signed head that covers it.
    #[must_use]
    pub fn head(&self) -> &Arc<Head> {
        &self.head
    }
}
