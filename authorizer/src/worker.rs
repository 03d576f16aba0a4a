//! Why: what one HTTP worker does with a body: evaluate on its own engine, propose, wait, evaluate again if told to.
//!
//! Guarantees: the clock is read once per evaluation, and that is the time of every condition; whatever goes wrong on
//! the way (queue full, sequencer gone, no answer in time) is [`NoAnswer`], never a decision.
//! Does not: change or read state that a later record could change.

mod judge;
mod kept;

use std::collections::VecDeque;
use std::sync::{Arc, Mutex as Lock, PoisonError};
use std::time::Duration;

use tokio::sync::{Mutex, MutexGuard, oneshot};
use verifier::decision::{Decision, Detail, Outcome, PermitId};
use verifier::event::Step;
use verifier::note::VerifierKey;
use verifier::record::Record;
use verifier::request::{Request, RequestError};

pub use judge::{Asked, What};
use judge::{Bench, Read, judge};

use crate::answer::Desk;
use crate::canary::{self, Canary};
use crate::clock::Reading;
use crate::double::Seen;
use crate::engine::{Catalogue, Code, Engine, Facts};
use crate::engines::Seat;
use crate::execution::{self, Followed, Refused, Report};
use crate::keys::Identity;
use crate::live::Shared;
use crate::present::{Look, Present};
use crate::proposal::{Durable, Item, MAX_BODY_PRIVATE, Proposal, Refusal, Reply, Stop, Work};
use crate::queue::{self, Load};
use crate::stages::{Since, Spent, Stage, Stages, timed};
use crate::traces;

/// How long a caller waits for its records to be durable. A disk that takes longer is as good as none.
pub const ANSWER_DEADLINE: Duration = Duration::from_secs(5);

/// How long a large body waits for those before it on its worker; as long as for a disk.
const TURN_DEADLINE: Duration = ANSWER_DEADLINE;

/// Items of a body that are worked on in one go. Then whatever else waits on this worker has its turn: a kill switch must not stand behind
/// thousands of evaluations (threat 27). 64 take less than a millisecond.
pub const SLICE: usize = 64;

/// Requests that are read before the first of them is evaluated: together they stay in a core's caches, and are enough to be measured.
const AT_ONCE: usize = 16;

/// Lets others have their turn after each [`SLICE`] of items; `n` counts what was done.
pub async fn pause(n: usize) {
    if n.is_multiple_of(SLICE) {
        tokio::task::yield_now().await;
    }
}

/// Why there is no decision. Nothing is allowed by any of these.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum NoAnswer {
    /// No epoch is published yet.
    NoEpoch,
    /// The queue is full.
    Full,
    /// The log cannot be written, or not in time.
    Unavailable,
    /// Requests and details together are larger than a batch takes.
    TooLarge,
    /// The sequencer refused the body.
    Refused(Refusal),
    /// The realm is not public, and a statement would be.
    NotPublic,
    /// An item of the body is no request.
    NoRequest {
        /// Which item, from 0.
        item: usize,
        /// What is wrong with it.
        error: RequestError,
    },
}

/// Why an event of an execution is not taken. Nothing goes on by any of these.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum NotFollowed {
    /// There is no answer at all.
    NoAnswer(NoAnswer),
    /// It does not fit the execution.
    Refused(Refused),
    /// Governance changed, or the verdict grew old: look at the keys again.
    Stale,
}

impl From<NoAnswer> for NotFollowed {
    fn from(none: NoAnswer) -> Self {
        NotFollowed::NoAnswer(none)
    }
}

/// One worker of the HTTP server.
#[derive(Debug)]
pub struct Worker {
    shared: Arc<Shared>,
    index: usize,
    large: Mutex<()>,
    desk: Desk,
}

impl Worker {
    /// The worker with this index; each has its own engine.
    #[must_use]
    pub fn new(shared: Arc<Shared>, index: usize) -> Self {
        Worker { shared, index, large: Mutex::new(()), desk: Desk::default() }
    }

    /// The service's shared parts.
    #[must_use]
    pub fn shared(&self) -> &Shared {
        &self.shared
    }

    /// What it writes its answers with.
    #[must_use]
    pub fn desk(&self) -> &Desk {
        &self.desk
    }

    /// The turn of a body of so many items: large ones are worked on one after the other, in the order in which they came, so that a verdict
    /// is not old before its body is through; small ones have theirs in the pauses. Held for parsing, for evaluating, for writing; not
    /// while the log is waited for.
    pub async fn turn(&self, items: usize) -> Option<MutexGuard<'_, ()>> {
        if items > SLICE { Some(self.large.lock().await) } else { None }
    }

    /// As [`Worker::turn`], for what is not decided yet and so need not wait for ever.
    ///
    /// # Errors
    /// [`NoAnswer::Full`] after [`TURN_DEADLINE`].
    pub async fn turn_in_time(&self, items: usize) -> Result<Option<MutexGuard<'_, ()>>, NoAnswer> {
        tokio::time::timeout(TURN_DEADLINE, self.turn(items)).await.map_err(|_| NoAnswer::Full)
    }

    /// Decides requests of one caller, recorded in order. With [`Stop::Never`] there is one [`Durable`] with all of
    /// them; else there are as many as it took until an item stopped the rest, which is neither evaluated nor recorded.
    ///
    /// # Errors
    /// [`NoAnswer`]; with [`Stop::Never`] nothing was recorded then, or its answer came too late.
    pub async fn decide(&self, caller: &Identity, asked: Vec<Asked>, stop: Stop) -> Result<Vec<Durable>, NoAnswer> {
        let begun = tokio::time::Instant::now();
        let mut asked = VecDeque::from(asked);
        let mut done = Vec::new();
        while !asked.is_empty() {
            let durable = self.decide_some(caller, &mut asked, stop).await?;
            let stopped = match (stop, durable.last_is_allowed()) {
                (Stop::Never, _) => false,
                (Stop::AfterDeny, last) => last != Some(true),
                (Stop::AfterAllow, last) => last == Some(true),
            };
            done.push(durable);
            if stopped {
                break;
            }
        }
        self.shared.metrics.took(begun.elapsed());
        traces::decided(&done);
        Ok(done)
    }

    async fn decide_some(
        &self,
        caller: &Identity,
        asked: &mut VecDeque<Asked>,
        stop: Stop,
    ) -> Result<Durable, NoAnswer> {
        let mut attempt: u8 = 1;
        loop {
            let (reply, answer) = oneshot::channel();
            let measured = Stages::measures(Stage::Evaluate, asked.len());
            let evaluating = traces::step(traces::Step::Evaluate);
            let proposed = self.propose(caller, asked, (stop, attempt), reply, measured);
            let (proposal, spent) = timed(measured, proposed).await;
            let (proposal, reading) = proposal?;
            drop(evaluating);
            let (stages, items) = (&self.shared.metrics.stages, proposal.items.len());
            stages.add_some(Stage::Parse, items, reading);
            stages.add_some(Stage::Evaluate, items, spent.zip(reading).map(|(all, reading)| all.without(reading)));
            let load = proposal.load;
            let _told_when_it_is_answered = Seen::by(&self.shared, &proposal);
            self.hand_over(Work::Decisions(proposal), load)?;
            match tokio::time::timeout(ANSWER_DEADLINE, answer).await {
                Ok(Ok(Reply::Durable(durable))) => return Ok(durable),
                Ok(Ok(Reply::Refused(refusal))) => return Err(NoAnswer::Refused(refusal)),
                Ok(Ok(Reply::Stale(items))) => {
                    for item in items.into_iter().rev() {
                        asked.push_front((*item).into());
                    }
                    attempt = attempt.saturating_add(1);
                }
                // The sequencer dropped the reply, or the disk takes too long.
                Ok(Err(_)) | Err(_) => return Err(NoAnswer::Unavailable),
            }
        }
    }

    /// What a permit is worth now.
    ///
    /// # Errors
    /// [`NoAnswer`]: nobody can say.
    pub async fn look(&self, decision: Decision, detail: Detail) -> Result<Present, NoAnswer> {
        let (reply, answer) = oneshot::channel();
        let look = Look { decision: Box::new(decision), detail: Box::new(detail), reply };
        self.hand_over(Work::Look(look), Load::default())?;
        match tokio::time::timeout(ANSWER_DEADLINE, answer).await {
            Ok(Ok(present)) => Ok(present),
            Ok(Err(_)) | Err(_) => Err(NoAnswer::Unavailable),
        }
    }

    /// The keys of the enforcement points behind an audience, and the governance version that they are in force under.
    ///
    /// # Errors
    /// [`NoAnswer::NoEpoch`].
    pub fn audience_keys(&self, audience: Option<&str>) -> Result<(Vec<VerifierKey>, u64), NoAnswer> {
        let live = self.shared.live.load();
        let engine = live.engines.as_ref().and_then(|engines| engines.get(self.index)).ok_or(NoAnswer::NoEpoch)?;
        let engine = engine.lock().unwrap_or_else(PoisonError::into_inner);
        Ok((audience.map_or(Vec::new(), |audience| engine.trust().audience(audience).to_vec()), live.governance))
    }

    /// Follows an execution: evaluates every condition of its permit again, and records the step. `governance` is the version that the
    /// audience's keys were looked up under: a key that an epoch has taken out since signs nothing.
    ///
    /// # Errors
    /// [`NotFollowed`]; nothing was recorded then, or its answer came too late.
    pub async fn follow(
        &self,
        permit: (&Decision, &Detail, &Request),
        step: Step,
        note: Option<String>,
        governance: u64,
    ) -> Result<Followed, NotFollowed> {
        let (decision, detail, request) = permit;
        let live = self.shared.live.load_full();
        if live.governance != governance {
            return Err(NotFollowed::Stale);
        }
        let engines = live.engines.as_ref().ok_or(NoAnswer::NoEpoch)?;
        let Seat { engine, confirm, .. } = engines.seat(self.index).ok_or(NoAnswer::NoEpoch)?;
        let reading = self.shared.now();
        if reading.trouble.is_some() {
            return Err(NotFollowed::Refused(Refused::Clock));
        }
        let (realm, key_id) = (decision.realm.as_str(), detail.key_id.as_str());
        let origin = self.shared.reader.origin();
        let evaluating = traces::step(traces::Step::Evaluate);
        let mut verdict = {
            let again = |engine: &Engine| engine.decide_again(request, detail, realm, origin, reading.at_ms);
            let engine = engine.lock().unwrap_or_else(PoisonError::into_inner);
            let verdict = again(&engine);
            let plain = || confirm.map(|engine| again(&engine.lock().unwrap_or_else(PoisonError::into_inner)));
            if engine.needs_confirming(request) && plain().as_ref() != Some(&verdict) {
                // Asked again, it is plain Cedar that decides.
                engines.mistrust();
                self.shared.doubles.saw();
                self.shared.queue.wake();
                return Err(NotFollowed::Stale);
            }
            verdict
        };
        if !self.shared.keys.holds(key_id) {
            verdict.fail(Code::KeyRevoked);
        }
        drop(evaluating);
        let load = Load { decisions: 1, bytes: note.as_ref().map_or(0, String::len) };
        let (reply, answer) = oneshot::channel();
        let report = Report {
            decision: Box::new(decision.clone()),
            request: Box::new(request.clone()),
            step,
            note,
            verdict: Box::new(verdict),
            governance,
            evaluated_at: reading.at_ms,
            load,
            trace: traces::queued(),
            reply,
        };
        self.hand_over(Work::Report(Box::new(report)), load)?;
        match tokio::time::timeout(ANSWER_DEADLINE, answer).await {
            Ok(Ok(execution::Answer::Durable(followed))) => Ok(followed),
            Ok(Ok(execution::Answer::Refused(refused))) => Err(NotFollowed::Refused(refused)),
            Ok(Ok(execution::Answer::Stale)) => Err(NotFollowed::Stale),
            Ok(Err(_)) | Err(_) => Err(NoAnswer::Unavailable.into()),
        }
    }

    /// The salt of the request of a denied decision of the caller's realm: a record that is published does not change.
    fn salt_of(&self, caller: &Identity, decision: &PermitId) -> Option<[u8; 16]> {
        let reader = &self.shared.reader;
        let index = reader.permit(decision).ok()??;
        let Ok(Record::Decision(record)) = reader.record(index) else { return None };
        let denied = record.outcome == Outcome::Deny && record.realm == caller.realm();
        reader.private(index).ok().filter(|_| denied).map(|private| private.request_salt)
    }

    /// Whether a canary was denied, here and by the sequencer (`canary.rs`).
    pub(crate) async fn canary(&self) -> bool {
        let Some(request) = canary::request() else { return false };
        let live = self.shared.live.load_full();
        let Some(engine) = live.engines.as_ref().and_then(|engines| engines.get(self.index)) else { return false };
        let now_ms = self.shared.now().at_ms;
        let facts = Facts::unsigned(canary::REALM, "canary", now_ms);
        let verdict = engine.lock().unwrap_or_else(PoisonError::into_inner).decide(&request, &facts);
        let (denied, answer) = oneshot::channel();
        self.shared.queue.push_beside(Work::Canary(Box::new(Canary { request, verdict, denied }))).is_ok()
            && matches!(tokio::time::timeout(ANSWER_DEADLINE, answer).await, Ok(Ok(())))
    }

    fn hand_over(&self, work: Work, load: Load) -> Result<(), NoAnswer> {
        self.shared.queue.push(work, load).map_err(|refused| match refused {
            queue::Refused::Full(_) => NoAnswer::Full,
            queue::Refused::Closed => NoAnswer::Unavailable,
        })
    }

    /// Evaluates requests from the front, up to the first that is sure to stop the rest: all at one time and under one epoch, with pauses.
    /// Tells beside it what reading them took, where `measured`.
    async fn propose(
        &self,
        caller: &Identity,
        asked: &mut VecDeque<Asked>,
        (stop, attempt): (Stop, u8),
        reply: oneshot::Sender<Reply>,
        measured: bool,
    ) -> Result<(Proposal, Option<Spent>), NoAnswer> {
        let _turn = self.turn_in_time(asked.len()).await?;
        let live = self.shared.live.load_full();
        if live.frozen {
            return Err(NoAnswer::Refused(Refusal::Frozen));
        }
        let Seat { engine, confirm, compiled } =
            live.engines.as_ref().and_then(|engines| engines.seat(self.index)).ok_or(NoAnswer::NoEpoch)?;
        let now = self.shared.now();
        let candidate = live.candidate.as_ref();
        let candidate = candidate.and_then(|candidate| Some((candidate.epoch, candidate.engines.get(self.index)?)));
        // One signature covers the whole body: one asymmetric check an epoch, whatever the number of requests.
        let signature = asked.front().and_then(|first| first.signed.as_ref()).map(|signed| signed.signature.clone());
        let check = |engine: &Lock<Engine>| {
            let engine = engine.lock().unwrap_or_else(PoisonError::into_inner);
            signature.as_ref().map(|signature| engine.check(signature, self.shared.reader.origin(), now.at_ms))
        };
        let (checked, checked_in_shadow) = (check(engine), candidate.and_then(|(_, engine)| check(engine)));
        let mut items = Vec::with_capacity(asked.len());
        let (mut bytes, mut evidence) = (0_usize, 0);
        let mut ended = false;
        // What stands behind an item that stops the rest is not even read.
        let at_once = if stop == Stop::Never { AT_ONCE.min(asked.len()) } else { 1 };
        let mut read = VecDeque::with_capacity(at_once);
        let mut reading = measured.then(Spent::default);
        while !(ended || asked.is_empty() && read.is_empty()) {
            pause(items.len().max(1)).await;
            // Held for one slice: while others have their turn it is free. Deciding does not change an engine, so none is ever left half
            // changed.
            let engine = engine.lock().unwrap_or_else(PoisonError::into_inner);
            let confirm = confirm.map(|engine| engine.lock().unwrap_or_else(PoisonError::into_inner));
            let in_shadow = candidate.map(|(_, engine)| engine.lock().unwrap_or_else(PoisonError::into_inner));
            let live = Bench { engine: &engine, confirm: confirm.as_deref(), checked: checked.as_ref() };
            let tried = candidate.zip(in_shadow.as_deref()).map(|((epoch, _), engine)| {
                (epoch, Bench { engine, confirm: None, checked: checked_in_shadow.as_ref() })
            });
            for _ in 0..SLICE {
                if read.is_empty() {
                    let since = measured.then(Since::now);
                    for next in asked.drain(..at_once.min(asked.len())) {
                        let item = items.len() + read.len();
                        read.push_back(next.read().map_err(|error| NoAnswer::NoRequest { item, error })?);
                    }
                    reading = reading.zip(since).map(|(reading, since)| reading.and(since.spent()));
                }
                let Some(next) = read.pop_front() else { break };
                evidence += next.evidence();
                let item = self.evaluate(live, tried, caller, next, &now);
                bytes = bytes.saturating_add(item.committed.len()).saturating_add(item.detail.bytes.len());
                let stands = item.verdict.stands();
                items.push(Box::new(item));
                ended = match stop {
                    Stop::Never => false,
                    Stop::AfterDeny => !stands,
                    Stop::AfterAllow => stands,
                };
                if ended {
                    break;
                }
            }
        }
        if attempt == 1 {
            self.shared.quotas.charge(caller, evidence);
        }
        if bytes > MAX_BODY_PRIVATE {
            return Err(NoAnswer::TooLarge);
        }
        let load = Load { decisions: items.len(), bytes };
        let (governance, evaluated_at) = (live.governance, now.at_ms);
        let caller = caller.clone();
        let trace = traces::queued();
        Ok((Proposal { caller, items, governance, evaluated_at, compiled, attempt, stop, load, reply, trace }, reading))
    }

    /// What the epoch in force knows by name, with its number.
    ///
    /// # Errors
    /// [`NoAnswer::NoEpoch`].
    pub fn catalogue(&self) -> Result<(u64, Arc<Catalogue>), NoAnswer> {
        let live = self.shared.live.load();
        let engine = live.engines.as_ref().and_then(|engines| engines.get(self.index)).ok_or(NoAnswer::NoEpoch)?;
        let engine = engine.lock().unwrap_or_else(PoisonError::into_inner);
        Ok((live.epoch, engine.catalogue().clone()))
    }

    /// Whether each of a few AuthZEN requests would be allowed now, as far as that can be told without recording it: neither counted
    /// amounts nor parents nor revocations are looked at. Grants nothing.
    ///
    /// # Errors
    /// [`NoAnswer::NoEpoch`], also where another epoch than `epoch` is in force by now.
    pub fn would_allow(&self, caller: &Identity, epoch: u64, requests: Vec<Request>) -> Result<Vec<bool>, NoAnswer> {
        let live = self.shared.live.load();
        let engines = live.engines.as_ref().filter(|_| live.epoch == epoch);
        let engine = engines.and_then(|engines| engines.get(self.index)).ok_or(NoAnswer::NoEpoch)?;
        let engine = engine.lock().unwrap_or_else(PoisonError::into_inner);
        let reading = self.shared.now();
        let would = |request| {
            let asked = Read::plain(request);
            let origin = self.shared.reader.origin();
            let bench = Bench { engine: &engine, confirm: None, checked: None };
            let (evaluated, verdict, _) = judge(bench, None, caller, asked, &reading, origin, None);
            verdict.stands() && !live.switches.halt_request(caller.realm(), &evaluated.request, &verdict.policies)
        };
        Ok(requests.into_iter().map(would).collect())
    }

    fn evaluate(
        &self,
        live: Bench<'_>,
        tried: Option<(u64, Bench<'_>)>,
        caller: &Identity,
        asked: Read,
        reading: &Reading,
    ) -> Item {
        let origin = self.shared.reader.origin();
        let retry_salt = asked.retry_of().and_then(|decision| self.salt_of(caller, &decision));
        let (epoch, tried) = tried.unzip();
        let (evaluated, verdict, shadow) = judge(live, tried, caller, asked, reading, origin, retry_salt);
        let key = evaluated.request.idempotency_key.as_deref();
        let tag = key.map(|key| self.shared.keys.idempotency_tag(caller, key));
        Item::new(caller, evaluated, tag, verdict, epoch.zip(shadow))
    }
}
