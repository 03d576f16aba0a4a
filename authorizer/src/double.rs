//! Why: compiled policies answer as plain Cedar does, or they must not answer. What they decided is decided again by plain Cedar, beside the
//! hot path, for as long as they are in use.
//!
//! Guarantees: of the decisions that a batch recorded under compiled policies, one in `check_every` (by lot: the first bytes of its permit's
//! name, which nobody knows beforehand) and each with a policy error is handed on by its index alone, and read again from the log; the
//! first that comes out otherwise takes the compiled form out of service before anything else is done, then a record of the log says so, an
//! allowing permit is taken back, and a note stands in `cases/`. Without anybody to decide again nothing is decided compiled.
//! Does not: hold anybody up. What does not fit is counted; of decisions with a policy error some 16,000 fit. What waits when the service
//! stops is not decided again, nor are renewals, searches, nor the verdicts of an epoch in its shadow; replay computes all but searches.

mod compare;

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use crossbeam_queue::ArrayQueue;
use ledger::Cases;
use serde_json::json;
use verifier::decision::{Classes, Condition, Decision, Detail, Outcome, PermitId};
use verifier::record::Record;
use verifier::request::Request;
use verifier::text::rfc3339;

use crate::engine::{Code, Standing, Verdict};
use crate::engines::Engines;
use crate::live::{Live, Shared};
use crate::metrics::{Metrics, Rechecked};
use crate::proposal::{Item, Place, Proposal};
use crate::replay::says;
use crate::sync::Sleeper;

/// How long the thread sleeps without a wake-up: only a bound on the harm of a lost one.
const IDLE: Duration = Duration::from_millis(100);
/// From one look to the next for room among what was found.
const AGAIN: Duration = Duration::from_millis(1);
/// Mismatches that the sequencer was not told of yet: it takes all of them with its next batch.
const MAX_FOUND: usize = 64;
/// The thread's niceness beside that of the workers: it takes what they leave.
const NICE: i32 = 10;

/// How much may wait to be decided again.
#[derive(Clone, Copy, Debug)]
pub struct Room {
    /// Decisions that were drawn by lot: as many as a core decides in a tenth of a second.
    pub drawn: usize,
    /// Decisions with a policy error: two of the largest batches.
    pub erred: usize,
}

impl Default for Room {
    fn default() -> Self {
        Room { drawn: 4_096, erred: 16_384 }
    }
}

/// A decision that stands in the log, with the engines that decided it.
#[derive(Debug)]
struct Job {
    index: u64,
    engines: Engines,
}

/// A decision that came out otherwise.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Found {
    /// Its permit, if it was allowed.
    pub permit: Option<PermitId>,
}

/// Between the sequencer, the workers and whoever decides again.
#[derive(Debug)]
pub struct Doubles {
    drawn: ArrayQueue<Job>,
    erred: ArrayQueue<Job>,
    found: ArrayQueue<Found>,
    seen: AtomicBool,
    closing: AtomicBool,
    gone: AtomicBool,
    sleeper: Sleeper,
}

impl Doubles {
    /// With room for so much.
    #[must_use]
    pub fn new(room: Room) -> Self {
        Doubles {
            drawn: ArrayQueue::new(room.drawn.max(1)),
            erred: ArrayQueue::new(room.erred.max(1)),
            found: ArrayQueue::new(MAX_FOUND),
            seen: AtomicBool::new(false),
            closing: AtomicBool::new(false),
            gone: AtomicBool::new(false),
            sleeper: Sleeper::default(),
        }
    }

    /// Hands on what is to be decided again of what a batch recorded. For the sequencer, when the batch is durable.
    pub(crate) fn offer(&self, live: &Live, metrics: &Metrics, items: &[(Box<Item>, Place)]) {
        let Some(engines) = live.engines.as_ref().filter(|engines| engines.second().is_some()) else { return };
        if live.by_plain || self.is_gone() {
            return;
        }
        // Between the moment in which the compiled form is mistrusted and the record that says so everything is looked at.
        let all = engines.is_mistrusted();
        let drawn = u32::MAX / engines.check_every().max(1);
        let mut any = false;
        for (item, place) in items {
            let Place::New { index, .. } = place else { continue };
            let [a, b, c, d, ..] = item.permit.0;
            let erred = !item.verdict.errors.is_empty() || differed(&item.verdict);
            if !erred && !all && u32::from_be_bytes([a, b, c, d]) > drawn {
                continue;
            }
            let (queue, left_out) =
                if erred { (&self.erred, Rechecked::Missed) } else { (&self.drawn, Rechecked::Skipped) };
            match queue.push(Job { index: *index, engines: engines.clone() }) {
                Ok(()) => any = true,
                Err(_) => metrics.rechecked(left_out),
            }
        }
        if any {
            self.sleeper.wake();
        }
    }

    /// A worker saw that plain Cedar differs: the sequencer is to say so in the log.
    pub(crate) fn saw(&self) {
        self.seen.store(true, Ordering::SeqCst);
    }

    /// Whether anything was seen since the last time, and what was found. For the sequencer.
    pub(crate) fn take(&self) -> (bool, Vec<Found>) {
        let seen = self.seen.swap(false, Ordering::SeqCst);
        (seen, std::iter::from_fn(|| self.found.pop()).collect())
    }

    /// Ends the thread.
    pub fn close(&self) {
        self.closing.store(true, Ordering::SeqCst);
        self.sleeper.wake();
    }

    /// Whether there was somebody to decide again, and is no more.
    #[must_use]
    pub fn is_gone(&self) -> bool {
        self.gone.load(Ordering::SeqCst)
    }

    /// How many decisions wait to be decided again.
    #[must_use]
    pub fn waiting(&self) -> usize {
        self.drawn.len().saturating_add(self.erred.len())
    }

    fn is_closing(&self) -> bool {
        self.closing.load(Ordering::SeqCst)
    }
}

/// Whether a worker found that plain Cedar differs.
#[must_use]
pub fn differed(verdict: &Verdict) -> bool {
    verdict.standing(Condition::Policy) == Standing::Unknown(Code::EngineMismatch)
}

/// A proposal in which a worker found that plain Cedar differs: nothing is decided compiled from its making on, and the log is told when it
/// was answered, or nobody waits for its answer any more. Told before, its denial would be evaluated again.
pub(crate) struct Seen<'a>(&'a Shared);

impl<'a> Seen<'a> {
    /// Looks at a proposal.
    pub(crate) fn by(shared: &'a Shared, proposal: &Proposal) -> Option<Self> {
        let any = proposal.compiled && proposal.items.iter().any(|item| differed(&item.verdict));
        if any && let Some(engines) = &shared.live.load().engines {
            engines.mistrust();
        }
        any.then(|| Seen(shared))
    }
}

impl Drop for Seen<'_> {
    fn drop(&mut self) {
        self.0.doubles.saw();
        self.0.queue.wake();
    }
}

/// However it ends, what was looked at a moment ago is looked at no more: nothing is decided compiled from then on.
struct Watch<'a>(&'a Shared);

impl Drop for Watch<'_> {
    fn drop(&mut self) {
        self.0.doubles.gone.store(true, Ordering::SeqCst);
        // An epoch that is put in force at this moment looks at the mark above afterwards.
        if let Some(engines) = &self.0.live.load().engines {
            engines.mistrust();
        }
    }
}

/// Whoever decides again.
#[derive(Debug)]
pub struct Checker {
    shared: Arc<Shared>,
    cases: Cases,
    turns: u64,
}

/// What came of deciding again.
enum Came {
    Same,
    /// Its parts are erased or cannot be read, or it was evaluated under what was no longer in force, and denied for that.
    Unknown,
    Differs(Box<Case>),
}

struct Case {
    decision: Decision,
    detail: Detail,
    request: Request,
    plain: Classes,
    parts: Vec<&'static str>,
}

impl Checker {
    /// Over the log of this service, with a place for notes.
    #[must_use]
    pub fn new(shared: Arc<Shared>, cases: Cases) -> Self {
        Checker { shared, cases, turns: 0 }
    }

    /// Runs until it is closed.
    pub fn run(mut self) {
        // One thread's niceness, on Linux; where there is none it runs as the workers do.
        let _only_speed = rustix::process::nice(NICE);
        let shared = self.shared.clone();
        let _watch = Watch(&shared);
        shared.doubles.sleeper.introduce();
        while !shared.doubles.is_closing() {
            if !self.turn() {
                shared.doubles.sleeper.sleep(IDLE);
            }
        }
    }

    /// Decides one decision again, or makes what is needed to do without the compiled form; says whether there was anything to do.
    pub fn turn(&mut self) -> bool {
        let live = self.shared.live.load_full();
        if live.engines.as_ref().is_some_and(|engines| engines.make_one()) {
            return true;
        }
        let Doubles { drawn, erred, .. } = &self.shared.doubles;
        // Neither waits for the other.
        self.turns = self.turns.wrapping_add(1);
        let (first, then) = if self.turns.is_multiple_of(2) { (drawn, erred) } else { (erred, drawn) };
        let Some(job) = first.pop().or_else(|| then.pop()) else { return false };
        match self.came(&job) {
            Came::Same => self.shared.metrics.rechecked(Rechecked::Same),
            Came::Unknown => self.shared.metrics.rechecked(Rechecked::Unknown),
            Came::Differs(case) => self.differs(&job, &case),
        }
        true
    }

    fn came(&self, job: &Job) -> Came {
        let reader = &self.shared.reader;
        let (Ok(Record::Decision(decision)), Ok(private)) = (reader.record(job.index), reader.private(job.index))
        else {
            return Came::Unknown;
        };
        let (Ok(request), Ok(detail)) = (Request::parse(&private.request), Detail::decode(&private.detail)) else {
            return Came::Unknown;
        };
        let Some(engine) = job.engines.second().filter(|_| !says(&detail, Code::GovernanceRace)) else {
            return Came::Unknown;
        };
        let engine = engine.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        let plain = engine.decide_recorded(&request, &decision, &detail, reader.origin());
        drop(engine);
        let parts = compare::differences(&decision, &detail, &plain);
        if parts.is_empty() {
            return Came::Same;
        }
        Came::Differs(Box::new(Case { decision: *decision, detail, request, plain: plain.classes(), parts }))
    }

    /// First the compiled form decides no more, then the log is told, then a note is kept.
    fn differs(&self, job: &Job, case: &Case) {
        let doubles = &self.shared.doubles;
        job.engines.mistrust();
        if let Some(engines) = &self.shared.live.load().engines {
            engines.mistrust();
        }
        self.shared.metrics.rechecked(Rechecked::Differs);
        let found = Found { permit: (case.decision.outcome == Outcome::Allow).then_some(case.decision.permit) };
        while doubles.found.push(found).is_err() && !doubles.is_closing() && !self.shared.queue.is_closed() {
            self.shared.queue.wake();
            std::thread::sleep(AGAIN);
        }
        self.shared.queue.wake();
        // A disk that takes no note takes no more decisions either; the log tells of the mismatch, and replay finds it again.
        let _only_a_note = self.cases.keep(job.index, self.note(job, case).as_bytes());
    }

    /// Which decision, and both answers as far as the leaf tells of its own: what is private stands in the vault alone.
    fn note(&self, job: &Job, case: &Case) -> String {
        let Case { decision, detail, request, plain, parts } = case;
        let classes = |classes: &Classes| {
            let all = Condition::ALL.into_iter().map(|of| (of.name().to_owned(), json!(classes.of(of).name())));
            serde_json::Value::Object(all.collect())
        };
        let again = job.engines.compiled().map(|engine| {
            let engine = engine.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
            classes(&engine.decide_recorded(request, decision, detail, self.shared.reader.origin()).classes())
        });
        let note = json!({
            "index": job.index,
            "permit": decision.permit.to_string(),
            "epoch": decision.epoch,
            "evaluated_at": rfc3339(decision.evaluated_at),
            "differs": parts,
            "recorded": classes(&decision.classes),
            "plain_cedar": classes(plain),
            "compiled_again": again,
        });
        format!("{note:#}\n")
    }
}
