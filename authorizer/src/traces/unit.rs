//! One request's trace while it is under way: what each step took, and what came of it.
//!
//! It travels with the request's task and with its proposal; whoever works on the request says when a step begins and ends. A batch's steps
//! are those of each request that waited for it.
//!
//! Guarantees: without a trace nothing is allocated, no clock is read, and a step costs one look at a place of the task's own; with one,
//! at most [`MAX_STEPS`] steps are kept. A trace holds numbers and names of closed lists, and nothing of the request.
//! Does not: know anything of OTLP.

use std::collections::BTreeSet;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use crate::engine::RealmMode;
use crate::proposal::{Durable, Place};

use super::context::Parent;

/// Steps that one request leaves: a decision has seven; AuthZEN's short circuits and races of governance go round again.
const MAX_STEPS: usize = 64;

tokio::task_local! {
    static TRACE: Arc<Trace>;
}

/// What is done with a request, in order.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Step {
    /// From a body's bytes to those of each request; AuthZEN reads them too.
    Parse,
    /// From a request's bytes to nine verdicts, with detail and commitments.
    Evaluate,
    /// Waits for the sequencer.
    Queue,
    /// Its place, the stateful conditions, its outcome and its record.
    Sequence,
    /// Vault write and sync, leaf hashes, nodes: the batch's.
    Hash,
    /// Frame write and sync, signature, memory, publication: the batch's.
    Commit,
    /// An act of governance is durable and put in force, or what it erases is erased.
    Enforce,
    /// Proofs and the answer's text.
    Answer,
}

impl Step {
    /// The span's name.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Step::Parse => "parse",
            Step::Evaluate => "evaluate",
            Step::Queue => "queue",
            Step::Sequence => "sequence",
            Step::Hash => "hash",
            Step::Commit => "commit",
            Step::Enforce => "enforce",
            Step::Answer => "answer",
        }
    }
}

/// A request that is traced.
#[derive(Debug)]
pub struct Trace {
    /// The method, of the list that the conventions have.
    pub(super) method: &'static str,
    /// Whose trace it continues.
    pub(super) parent: Option<Parent>,
    /// When it began, Unix nanoseconds.
    pub(super) begun_ns: u64,
    begun: Instant,
    left: Mutex<Left>,
}

/// What a request has left behind so far.
#[derive(Clone, Debug, Default)]
pub(super) struct Left {
    pub(super) steps: Vec<Took>,
    /// Steps beyond [`MAX_STEPS`].
    pub(super) more: u64,
    pub(super) decided: Option<Decided>,
    pub(super) recorded: Option<Recorded>,
}

/// One step.
#[derive(Clone, Copy, Debug)]
pub(super) struct Took {
    pub(super) step: Step,
    /// Nanoseconds from the request's beginning.
    pub(super) from: u64,
    pub(super) to: u64,
    /// Records of the batch that the step was for.
    pub(super) entries: Option<u64>,
}

/// What came of the request, if it was for decisions.
#[derive(Clone, Debug, Default)]
pub(super) struct Decided {
    pub(super) decisions: u64,
    pub(super) allowed: u64,
    /// Answered from an earlier record of the same request.
    pub(super) repeated: u64,
    pub(super) committed: bool,
    pub(super) shadow: bool,
    /// The first record's index. Not of a committed realm: the caller's trace may say elsewhere who asked for what, and a leaf that tells
    /// nothing of it must not be tied to that.
    pub(super) index: Option<u64>,
    /// Why something was denied. Not of a committed realm, where codes are private.
    pub(super) codes: BTreeSet<&'static str>,
}

/// What came of the request, if it was for anything else that is recorded.
#[derive(Clone, Debug)]
pub struct Recorded {
    /// The record's kind, of the closed list.
    pub kind: &'static str,
    /// Of an execution: whether it goes on.
    pub outcome: Option<&'static str>,
    /// Of an execution: whether its realm is committed. Neither index nor codes are told then, as of decisions.
    pub committed: Option<bool>,
    /// The record's index.
    pub index: u64,
    /// Why an execution was halted.
    pub codes: BTreeSet<&'static str>,
}

impl Recorded {
    /// A record that no realm hides.
    #[must_use]
    pub fn of(kind: &'static str, index: u64) -> Self {
        Recorded { kind, outcome: None, committed: None, index, codes: BTreeSet::new() }
    }
}

impl Trace {
    pub(super) fn new(method: &'static str, parent: Option<Parent>, begun_ns: u64) -> Self {
        Trace { method, parent, begun_ns, begun: Instant::now(), left: Mutex::default() }
    }

    pub(super) fn elapsed(&self) -> u64 {
        nanoseconds(self.begun.elapsed())
    }

    pub(super) fn left(&self) -> MutexGuard<'_, Left> {
        // Nothing is ever half written here.
        self.left.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn keep(&self, step: Step, since: Instant, took: Duration, entries: Option<u64>) {
        let from = nanoseconds(since.saturating_duration_since(self.begun));
        let took = Took { step, from, to: from.saturating_add(nanoseconds(took)), entries };
        let mut left = self.left();
        if left.steps.len() < MAX_STEPS {
            left.steps.push(took);
        } else {
            left.more = left.more.saturating_add(1);
        }
    }
}

fn nanoseconds(time: Duration) -> u64 {
    u64::try_from(time.as_nanos()).unwrap_or(u64::MAX)
}

/// Does work as part of a trace, where there is one.
pub async fn within<F: Future>(trace: Option<Arc<Trace>>, work: F) -> F::Output {
    match trace {
        Some(trace) => TRACE.scope(trace, work).await,
        None => work.await,
    }
}

fn current() -> Option<Arc<Trace>> {
    TRACE.try_with(Arc::clone).ok()
}

/// A step of the task's request begins; it ends where this is dropped.
#[must_use]
pub fn step(step: Step) -> Open {
    Open(current().map(|trace| Begun { trace, step, since: Instant::now() }))
}

/// The task's request goes to the sequencer.
#[must_use]
pub fn queued() -> Option<Queued> {
    current().map(|trace| Queued(Begun { trace, step: Step::Queue, since: Instant::now() }))
}

/// What came of the task's request.
pub fn decided(done: &[Durable]) {
    // Not counted unless somebody wants to know.
    let _ = TRACE.try_with(|trace| trace.left().decided = Some(Decided::of(done)));
}

/// What was recorded for the task's request; not asked unless somebody wants to know.
pub fn recorded(what: impl FnOnce() -> Recorded) {
    let _ = TRACE.try_with(|trace| trace.left().recorded = Some(what()));
}

impl Decided {
    fn of(done: &[Durable]) -> Self {
        let mut all = Decided::default();
        for (item, place) in done.iter().flat_map(Durable::items) {
            let (index, repeated) = match place {
                Place::New { index, .. } => (*index, false),
                Place::Again { index, .. } => (*index, true),
            };
            let committed = item.verdict.mode == RealmMode::Committed;
            all.decisions += 1;
            all.allowed += u64::from(place.is_allowed());
            all.repeated += u64::from(repeated);
            all.committed |= committed;
            all.shadow |= item.shadow.is_some();
            if !committed {
                all.index = all.index.or(Some(index));
                if !repeated {
                    all.codes.extend(item.verdict.codes().map(|(_, code)| code.name()));
                }
            }
        }
        all
    }
}

#[derive(Debug)]
struct Begun {
    trace: Arc<Trace>,
    step: Step,
    since: Instant,
}

impl Begun {
    fn end(self) -> Arc<Trace> {
        self.end_at(Instant::now())
    }

    fn end_at(self, end: Instant) -> Arc<Trace> {
        self.trace.keep(self.step, self.since, end.saturating_duration_since(self.since), None);
        self.trace
    }
}

/// A step that is under way, or nothing.
#[derive(Debug)]
pub struct Open(Option<Begun>);

impl Open {
    /// Ends the step. Whose it is, for whoever has more to say.
    #[must_use]
    pub fn end(mut self) -> Option<Arc<Trace>> {
        self.0.take().map(Begun::end)
    }

    /// Ends the step of an act of governance where its first batch began, and gives it what its batches took and what came behind them. One
    /// that was refused has none.
    pub fn enforced(mut self, appended: &[Shares]) {
        let Some(begun) = self.0.take() else { return };
        let (Some(first), Some(last)) = (appended.first(), appended.last()) else {
            begun.end();
            return;
        };
        let trace = begun.end_at(first.since);
        appended.iter().for_each(|shares| shares.give(&trace));
        let durable = last.since.checked_add(last.hashed.saturating_add(last.committed)).unwrap_or(last.since);
        trace.keep(Step::Enforce, durable, durable.elapsed(), None);
    }

    /// Whether anybody wants to know.
    #[must_use]
    pub fn is_traced(&self) -> bool {
        self.0.is_some()
    }
}

impl Drop for Open {
    fn drop(&mut self) {
        if let Some(begun) = self.0.take() {
            begun.end();
        }
    }
}

/// A traced request that waits for the sequencer.
#[derive(Debug)]
pub struct Queued(Begun);

impl Queued {
    /// The sequencer has it, if it is traced: waiting ends, and sequencing begins.
    #[must_use]
    pub fn taken(queued: Option<Queued>) -> Open {
        Open(queued.map(|Queued(waited)| Begun { trace: waited.end(), step: Step::Sequence, since: Instant::now() }))
    }
}

/// The steps of one batch, for each request that waited for it.
#[derive(Clone, Copy, Debug)]
pub struct Shares {
    /// When staging began.
    pub since: Instant,
    /// What staging took.
    pub hashed: Duration,
    /// What committing took.
    pub committed: Duration,
    /// Records in the batch.
    pub entries: u64,
}

impl Shares {
    /// Gives a request its share.
    pub fn give(self, trace: &Trace) {
        let staged = self.since.checked_add(self.hashed).unwrap_or(self.since);
        trace.keep(Step::Hash, self.since, self.hashed, Some(self.entries));
        trace.keep(Step::Commit, staged, self.committed, Some(self.entries));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_trace_keeps_so_many_steps_and_counts_the_others() {
        let trace = Trace::new("GET", None, 0);
        for _ in 0..MAX_STEPS + 3 {
            trace.keep(Step::Parse, Instant::now(), Duration::from_nanos(5), None);
        }
        let left = trace.left().clone();
        assert_eq!((left.steps.len(), left.more), (MAX_STEPS, 3));
        assert!(left.steps.iter().all(|took| took.to == took.from + 5));
    }

    #[tokio::test]
    async fn a_step_belongs_to_the_tasks_own_request_and_without_one_to_nobody() {
        drop(step(Step::Parse));
        assert!(queued().is_none() && step(Step::Parse).end().is_none());
        let trace = Arc::new(Trace::new("GET", None, 0));
        let work = async {
            drop(step(Step::Parse));
            let sequencing = Queued::taken(queued());
            assert!(sequencing.end().is_some());
        };
        within(Some(trace.clone()), work).await;
        let steps: Vec<Step> = trace.left().steps.iter().map(|took| took.step).collect();
        assert_eq!(steps, [Step::Parse, Step::Queue, Step::Sequence]);
    }
}
