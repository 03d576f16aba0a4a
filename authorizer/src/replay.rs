//! Replay: every decision of a log computed again, by anyone who holds it.
//!
//! The log is folded from its first record, as at a start, and each decision is evaluated again by plain `cedar-policy` under the epoch,
//! switches and times that stand in the log, from the request's committed bytes. What comes out must be the record's own bytes and the
//! detail's own bytes. A decision that was altered does not come out, whoever signed the tree above it.
//!
//! Guarantees: a decision counts as the same only if every byte of its leaf and of its detail follows from what stands before it and from
//! its input facts, which are counted: the caller's key was valid, a signed body had its digest, the operator's clock was in doubt, a governance race denied,
//! two engines differed about a critical action. The last three only ever deny. What was erased or is withheld is counted by outcome, never guessed; what the log's entries hash to is held against
//! the head that the caller brought. Does not: check that head's signature, nor read anything; a [`Source`] does.

mod compare;
mod error;
mod evaluate;
mod executions;
mod frontier;
mod report;
mod source;

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};

use rayon::prelude::*;
use verifier::act::Mode;
use verifier::decision::Outcome;
use verifier::epoch::EpochContent;
use verifier::hash::{Hash, leaf_hash};
use verifier::record::{Record, RecordError};

pub use error::ReplayError;
pub use report::{Difference, Report};
pub use source::{Source, Stored};

use compare::compare;
pub(crate) use evaluate::says;
use evaluate::{Evaluated, evaluate};
use frontier::Frontier;

use crate::engine::{Engine, PublishError, Published, Verdict};
use crate::engine::{LONGEST_ATTESTED_MS, LONGEST_SIGNED_MS};
use crate::fold::{Fold, FoldError};
use crate::governance::{Engines, Governors};
use crate::settle;
use crate::state::{NO_SCOPE, NO_SUCH_COUNTER};

/// Entries that are read and decided together: enough for all cores, little to hold.
pub const CHUNK: u64 = 4_096;
/// Differences that are named; the others are counted.
pub const MAX_DIFFERENCES: usize = 100;

/// How a log is replayed.
#[derive(Clone, Copy, Debug, Default)]
pub struct Options {
    /// Evaluate all policies of the epoch each time, and not only those whose scope can be true.
    pub full: bool,
    /// Begin to decide behind this `state` record. What stands before it is folded as it is told, and held against the record's digest.
    pub from: Option<u64>,
}

/// Replays the `size` entries under a head with this root.
///
/// # Errors
/// [`ReplayError`].
pub fn replay<S: Source>(
    source: &mut S,
    governors: &Governors,
    (size, root): (u64, Hash),
    options: Options,
    progress: &mut dyn FnMut(u64),
) -> Result<Report, ReplayError<S::Error>> {
    if let Some(index) = options.from {
        let stored = if index < size { source.read(index, 1).map_err(ReplayError::Source)? } else { Vec::new() };
        let record = stored.first().map(|stored| Record::decode(&stored.leaf));
        if !matches!(record, Some(Ok(Record::State { .. }))) {
            return Err(ReplayError::NoState(index));
        }
    }
    let mut state = State {
        fold: Fold::default(),
        contents: Vec::new(),
        engines: None,
        candidate: None,
        options,
        report: Report::default(),
        erased: BTreeMap::new(),
    };
    let mut tree = Frontier::default();
    let mut ahead = source.ahead();
    let mut first = 0;
    let mut next = None;
    while first < size {
        let wanted = CHUNK.min(size - first);
        let stored = next.take().unwrap_or_else(|| source.read(first, wanted)).map_err(ReplayError::Source)?;
        if stored.len() as u64 != wanted {
            return Err(ReplayError::Short { first, wanted, got: stored.len() as u64 });
        }
        let behind = first + wanted;
        let more = CHUNK.min(size - behind);
        std::thread::scope(|scope| {
            let reading =
                ahead.as_mut().filter(|_| more > 0).map(|ahead| scope.spawn(move || ahead.read(behind, more)));
            let read: Vec<_> = stored.par_iter().map(|one| (leaf_hash(&one.leaf), Record::decode(&one.leaf))).collect();
            let (hashes, records): (Vec<Hash>, Vec<_>) = read.into_iter().unzip();
            hashes.into_iter().for_each(|hash| tree.push(hash));
            let followed = state.follow(source, governors, first, stored.iter().zip(records));
            // A thread that panicked has read nothing: it is read here then.
            next = reading.and_then(|reading| reading.join().ok());
            followed
        })?;
        first = behind;
        progress(first);
    }
    let computed = tree.root();
    if computed != root {
        return Err(ReplayError::Root { size, computed, stated: root });
    }
    Ok(state.report)
}

/// What stands before the next record.
struct State {
    fold: Fold,
    /// Epochs whose engines are not built yet: the live one and the one in its shadow.
    contents: Vec<(u64, Mode, EpochContent)>,
    engines: Option<Engines>,
    candidate: Option<Engines>,
    options: Options,
    report: Report,
    /// When decisions were recorded of which parts were erased, and no record that says so was met yet.
    erased: BTreeMap<u64, u64>,
}

/// One decision on its way to be computed again.
struct Task<'a> {
    index: u64,
    stored: &'a Stored,
    record: Record,
}

/// What became of one decision.
enum Came {
    Same(&'static [&'static str]),
    NotRecomputable(Outcome),
    /// Its own parts are there, and those that it rests on may not be.
    Rests(On, Outcome),
    /// Of an execution whose permit cannot be read.
    Withheld,
    Differs(String),
}

/// What a decision rests on that cannot be read.
#[derive(Clone, Copy)]
enum On {
    /// A parent, or what moved a counter of its realm.
    Others,
    /// Whoever may have used its nonce, in whichever realm.
    Nonces,
}

impl State {
    /// Follows a run of entries. Decisions between two acts of governance are evaluated together, on all cores; then they are given what
    /// the fold says at their place, one after the other; then they are compared, on all cores.
    fn follow<'a, S: Source>(
        &mut self,
        source: &mut S,
        governors: &Governors,
        first: u64,
        stored: impl Iterator<Item = (&'a Stored, Result<Record, RecordError>)>,
    ) -> Result<(), ReplayError<S::Error>> {
        let mut tasks = Vec::new();
        for (index, (stored, record)) in (first..).zip(stored) {
            let record = record.map_err(|source| FoldError::Record { index, source })?;
            self.report.entries += 1;
            if self.options.from.is_some_and(|from| index < from) {
                self.believe(governors, index, &record, stored)?;
                continue;
            }
            if matches!(record, Record::Decision(_)) {
                tasks.push(Task { index, stored, record });
                continue;
            }
            self.decide(governors, std::mem::take(&mut tasks))?;
            let came = self.execution(source, governors, &stored.leaf, &record).map_err(ReplayError::Source)?;
            if let Some(came) = came {
                self.report.executions += 1;
                self.count(index, came, |report| &mut report.executions_same);
            }
            self.erasure(index, &record);
            if let Some((mode, content)) = self.fold.apply(governors, index, &record, None)? {
                self.publish(index, mode, content);
            }
            if let Record::State { decisions, digest, .. } = record {
                self.state(index, decisions, digest);
            }
            self.build()?;
        }
        self.decide(governors, tasks)
    }

    /// Folds a record as it is told.
    fn believe<E>(
        &mut self,
        governors: &Governors,
        index: u64,
        record: &Record,
        stored: &Stored,
    ) -> Result<(), ReplayError<E>> {
        let detail = stored.own_detail();
        if let Record::Decision(decision) = record
            && detail.is_none()
        {
            self.fold.state.lose_sight(&decision.realm, index, decision.recorded_at);
        }
        if let Some((mode, content)) = self.fold.apply(governors, index, record, detail.as_ref())? {
            self.publish(index, mode, content);
        }
        Ok(())
    }

    /// Holds an erasure against what the epoch in force says about when parts may go.
    fn erasure(&mut self, index: u64, record: &Record) {
        let Record::Erasure { recorded_at, index: of, .. } = record else { return };
        let Some(decided_at) = self.erased.remove(of) else { return };
        let after_ms = self.fold.trust.erasure().after_ms;
        if *recorded_at < decided_at.saturating_add(after_ms) {
            self.differs(index, format!("decision {of} was erased before the epoch lets it be"));
        }
    }

    /// Notes an epoch; one that is not in force any more needs no engines.
    fn publish(&mut self, index: u64, mode: Mode, content: EpochContent) {
        self.contents.retain(|(_, before, _)| mode == Mode::Shadow && *before == Mode::Live);
        self.contents.push((index, mode, content));
    }

    /// Builds the engines of what was published.
    fn build<E>(&mut self) -> Result<(), ReplayError<E>> {
        for (index, mode, content) in std::mem::take(&mut self.contents) {
            let engines = self.engines_of(content).map_err(|source| ReplayError::Epoch { index, source })?;
            match mode {
                Mode::Live => (self.engines, self.candidate) = (Some(engines), None),
                Mode::Shadow => self.candidate = Some(engines),
            }
        }
        Ok(())
    }

    /// Holds what a `state` record says against the fold, which has followed it.
    fn state(&mut self, index: u64, decisions: u64, digest: Hash) {
        self.report.states += 1;
        if !self.fold.state.sees_all() {
            *self.report.not_recomputable.entry("state").or_default() += 1;
            return;
        }
        let computed = self.fold.snapshot().digest();
        if decisions != self.fold.decisions {
            let what = format!("it says that {decisions} decisions stand before it, there are {}", self.fold.decisions);
            self.differs(index, what);
        } else if digest != computed {
            self.differs(
                index,
                format!("it says that the state has the digest {digest}, computed again it is {computed}"),
            );
        } else {
            self.report.states_same += 1;
        }
    }

    fn differs(&mut self, index: u64, what: String) {
        self.report.difference_count += 1;
        if self.report.differences.len() < MAX_DIFFERENCES {
            self.report.differences.push(Difference { index, what });
        }
    }

    /// An engine for each core.
    fn engines_of(&self, content: EpochContent) -> Result<Engines, PublishError> {
        // Whatever the epoch says: nobody has to trust what policies were compiled to.
        let published = Published::plain(content)?;
        let one = || if self.options.full { published.replica_without_index() } else { published.replica() };
        let engines = (0..rayon::current_num_threads().max(1)).map(|_| one().map(Mutex::new));
        Ok(Arc::new(engines.collect::<Result<_, _>>()?))
    }

    fn decide<E>(&mut self, governors: &Governors, tasks: Vec<Task<'_>>) -> Result<(), ReplayError<E>> {
        let Self { engines, candidate, .. } = &*self;
        let engines = (engines.as_ref(), candidate.as_ref());
        let evaluated: Vec<_> = tasks.into_par_iter().map(|task| evaluate(task, engines, governors.origin())).collect();
        let mut placed = Vec::with_capacity(evaluated.len());
        for (task, evaluated) in evaluated {
            let evaluated = self.place(governors, &task, evaluated)?;
            placed.push((task, evaluated));
        }
        let Self { fold, .. } = &*self;
        let came: Vec<(u64, Came)> = placed
            .into_par_iter()
            .map(|(task, evaluated)| {
                (task.index, evaluated.map_or_else(|came| came, |again| compare(&task, *again, fold)))
            })
            .collect();
        for (index, came) in came {
            self.report.decisions += 1;
            self.count(index, came, |report| &mut report.same);
        }
        Ok(())
    }

    fn count(&mut self, index: u64, came: Came, same: impl FnOnce(&mut Report) -> &mut u64) {
        match came {
            Came::Same(given) => {
                *same(&mut self.report) += 1;
                given.iter().for_each(|fact| *self.report.given.entry(fact).or_default() += 1);
            }
            Came::NotRecomputable(outcome) => {
                *self.report.not_recomputable.entry(name(outcome)).or_default() += 1;
            }
            Came::Rests(on, outcome) => {
                let denied = outcome == Outcome::Deny;
                let name = match on {
                    On::Others if denied => "deny, resting on others",
                    On::Others => "allow, resting on others",
                    On::Nonces if denied => "deny, its nonce perhaps used unseen",
                    On::Nonces => "allow, its nonce perhaps used unseen",
                };
                *self.report.not_recomputable.entry(name).or_default() += 1;
            }
            Came::Withheld => *self.report.not_recomputable.entry("execution").or_default() += 1,
            Came::Differs(what) => self.differs(index, what),
        }
    }

    /// Gives an evaluated decision what the fold says at its place, and lets the fold follow what the record says.
    fn place(
        &mut self,
        governors: &Governors,
        task: &Task<'_>,
        mut evaluated: Result<Box<Evaluated>, Came>,
    ) -> Result<Result<Box<Evaluated>, Came>, FoldError> {
        let Record::Decision(recorded) = &task.record else { return Ok(evaluated) };
        let now = recorded.recorded_at;
        self.fold.state.advance(now);
        if let Ok(again) = &mut evaluated {
            let Evaluated { request, verdict, shadow, doubt, .. } = &mut **again;
            let rests_on_others = settle::opens(request);
            let settle = |verdict: &mut Verdict| {
                settle::settle(verdict, request, &self.fold, &recorded.realm, now, *doubt);
            };
            settle(verdict);
            shadow.iter_mut().for_each(settle);
            let all = || shadow.iter().chain([&*verdict]);
            let rests_on_others = rests_on_others
                || all().any(|verdict| verdict.demands.retry.is_some() || !verdict.demands.limits.is_empty());
            let sees = |longest_ms| self.fold.state.sees_nonces(now, longest_ms);
            let signed = all().any(|verdict| verdict.demands.nonce.is_some()) && !sees(LONGEST_SIGNED_MS);
            let attested = all().any(|verdict| verdict.demands.attested.is_some()) && !sees(LONGEST_ATTESTED_MS);
            if rests_on_others && !self.fold.state.sees(&recorded.realm) {
                evaluated = Err(Came::Rests(On::Others, recorded.outcome));
            } else if signed || attested {
                evaluated = Err(Came::Rests(On::Nonces, recorded.outcome));
            }
        }
        let decoded;
        let detail = match &evaluated {
            Ok(evaluated) => Some(&evaluated.detail),
            Err(_) => {
                decoded = task.stored.own_detail();
                decoded.as_ref()
            }
        };
        if detail.is_none() {
            self.fold.state.lose_sight(&recorded.realm, task.index, now);
        }
        if task.stored.erased {
            self.erased.insert(task.index, now);
            let key = detail.map_or(String::new(), |detail| detail.key_id.clone());
            *self.report.erased.entry((key, name(recorded.outcome))).or_default() += 1;
        }
        match self.fold.apply(governors, task.index, &task.record, detail) {
            Ok(_) => Ok(evaluated),
            Err(FoldError::Broken { reason, .. }) if [NO_SUCH_COUNTER, NO_SCOPE].contains(&reason) => {
                Ok(Err(Came::Differs(reason.to_owned())))
            }
            Err(error) => Err(error),
        }
    }
}

fn name(outcome: Outcome) -> &'static str {
    if outcome == Outcome::Allow { "allow" } else { "deny" }
}

/// The engine of the core that runs this.
fn own_engine(engines: Option<&Engines>) -> Option<&Mutex<Engine>> {
    let engines = engines?;
    engines.get(rayon::current_thread_index().unwrap_or(0) % engines.len().max(1))
}
