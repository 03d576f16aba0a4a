//! Why: one thread gives every decision its place in the log and its final verdict, in log order.
//!
//! Guarantees: an allowing outcome is constructed in one line of this file; a caller is answered only after `append`
//! returned, so nothing leaves the process that is not durable under a signed, remembered head; a body is recorded
//! together and in order or not at all; governance goes first. Whatever ends this thread (an I/O error, a panic)
//! closes the queue: every waiting and later caller is denied.
//! Does not: check what workers check; wait for a timer (a batch is whatever waits, up to named limits).

mod acts;
mod erasures;
mod events;
mod mistrust;
mod states;

use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use ledger::{AppendError, Batch, BatchError, Cases, EraseError, Head, Ledger, MAX_BATCH_BYTES, Private, ReadError};
use tokio::sync::oneshot;
use verifier::decision::{Decision, Detail, Outcome, Shadow};
use verifier::record::Record;

use crate::canary::{self, Canary};
use crate::clock::Reading;
use crate::double;
use crate::engine::{Code, RealmMode};
use crate::execution::{self, Followed};
use crate::fold::{Fold, Snapshot};
use crate::keys::Identity;
use crate::live::Shared;
use crate::notices::Notice;
use crate::present::{Present, present_state};
use crate::proposal::{Durable, Item, MAX_AGE_MS, MAX_ATTEMPTS, Place, Proposal, Refusal, Reply, Stop, Work};
use crate::queue::Load;
use crate::saver::Saver;
use crate::service::Folded;
use crate::settle;
use crate::stages::{Since, Spent, Stage, Stages};
use crate::state::approvals::Untaken;
use crate::statement::{Answer, Kept, Stated, Submission};
use crate::traces::{Queued, Shares, Trace};

/// Decisions that one batch takes before it is committed: two bodies of the largest kind, about 10 ms of hashing.
pub const BATCH_DECISIONS: usize = 8_192;
/// Bytes of requests and details that one batch takes before it is committed: about 30 ms of a disk's time.
pub const BATCH_BYTES: usize = 16 * 1024 * 1024;
/// How long the sequencer sleeps without a wake-up: only a bound on the harm of a lost one.
const IDLE: Duration = Duration::from_millis(100);

/// Why the sequencer ended.
#[derive(Debug, thiserror::Error)]
enum Fault {
    #[error("the log cannot be written: {0}")]
    Append(#[from] AppendError),
    #[error("what a record says is erased cannot be: {0}")]
    Erase(#[from] EraseError),
    #[error("a record does not fit: {0}")]
    Batch(#[from] BatchError),
    #[error("a decision does not follow from the fold: {0}")]
    Fold(&'static str),
    #[error("a request that must be denied was about to be allowed")]
    Canary,
    #[error("the log gave index {got} where {expected} was next")]
    Index { got: u64, expected: u64 },
}

/// The single writer.
#[derive(Debug)]
pub struct Sequencer {
    /// First, so that it ends while the log is still ours.
    saver: Saver,
    folded: Folded,
    /// What is in the batch and not yet with the saver.
    unsaved: Option<(u64, Snapshot)>,
    state_every: u64,
    /// Snapshots were removed: state it again, however few decisions came since.
    state_due: bool,
    ledger: Ledger,
    fold: Fold,
    shared: Arc<Shared>,
    batch: Batch,
    batch_load: Load,
    waiting: Vec<Waiting>,
    held: Option<Work>,
    lapsed: Vec<Notice>,
    /// What encoding took in this turn, where it is measured.
    encoding: Option<Spent>,
    /// What the batches of the act took that is recorded now, where it is traced.
    appended: Option<Vec<Shares>>,
}

/// What is in the batch and not yet answered.
#[derive(Debug)]
enum Waiting {
    Decisions {
        items: Vec<(Box<Item>, Place)>,
        load: Load,
        reply: oneshot::Sender<Reply>,
        trace: Option<Arc<Trace>>,
    },
    Statement {
        index: u64,
        record: Record,
        load: Load,
        reply: oneshot::Sender<Answer>,
        trace: Option<Arc<Trace>>,
    },
    Event {
        index: u64,
        record: Record,
        codes: Vec<&'static str>,
        realm: String,
        load: Load,
        reply: oneshot::Sender<execution::Answer>,
        trace: Option<Arc<Trace>>,
    },
    Look {
        present: Present,
        reply: oneshot::Sender<Present>,
    },
    Survey {
        states: Vec<&'static str>,
        reply: oneshot::Sender<Vec<&'static str>>,
    },
}

/// What stands under an item's idempotency key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Earlier {
    /// Nothing, or it has no key.
    No,
    /// A published record, and its state now.
    Recorded(u64, Present),
    /// The item with this number of the same body, which is the same request.
    InThisBody(usize),
}

/// What a turn came to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Turn {
    /// Something was recorded, answered or sent back; more may wait.
    Done,
    /// Nothing waits.
    Idle,
    /// The service stops and nothing waits, or the log cannot be written any more.
    Over,
}

/// Whatever ends the sequencer closes the queue.
impl Drop for Sequencer {
    fn drop(&mut self) {
        if std::thread::panicking() {
            self.shared.fail("the sequencer panicked".into());
        }
        self.shared.queue.close();
    }
}

impl Sequencer {
    /// The writer of a log whose fold is given.
    #[must_use]
    pub fn new(ledger: Ledger, fold: Fold, shared: Arc<Shared>, folded: Folded, state_every: u64) -> Self {
        Sequencer {
            saver: Saver::Here(ledger.snapshots()),
            folded,
            unsaved: None,
            state_due: false,
            state_every: state_every.max(1),
            ledger,
            fold,
            shared,
            batch: Batch::default(),
            batch_load: Load::default(),
            waiting: Vec::new(),
            held: None,
            lapsed: Vec::new(),
            encoding: None,
            appended: None,
        }
    }

    /// Runs until a turn says that it is over.
    pub fn run(mut self) {
        loop {
            match self.turn() {
                Turn::Done => {}
                Turn::Idle => self.shared.queue.wait(IDLE),
                Turn::Over => return,
            }
        }
    }

    /// Records every act of governance that waits, then one batch of what waits, and answers. Does not wait for anything but the disk; after
    /// [`Turn::Over`] it must be dropped.
    pub fn turn(&mut self) -> Turn {
        self.work().unwrap_or_else(|fault| {
            self.shared.fail(fault.to_string());
            Turn::Over
        })
    }

    /// Writes snapshots on a thread of their own from now on, and not between two turns.
    ///
    /// # Errors
    /// The operating system has no thread.
    pub fn save_aside(&mut self) -> std::io::Result<()> {
        self.saver = Saver::aside(self.ledger.snapshots())?;
        Ok(())
    }

    /// How the state came about that it began with.
    #[must_use]
    pub fn folded(&self) -> &Folded {
        &self.folded
    }

    /// Where notes about decisions are kept.
    #[must_use]
    pub fn cases(&self) -> Cases {
        self.ledger.cases()
    }

    /// The state that the next decision rests on.
    #[must_use]
    pub fn fold(&self) -> &Fold {
        &self.fold
    }

    fn work(&mut self) -> Result<Turn, Fault> {
        let mut turn = Turn::Idle;
        while let Some(act) = self.shared.queue.pop_act() {
            self.govern(act)?;
            turn = Turn::Done;
        }
        if self.mistrust()? {
            turn = Turn::Done;
        }
        self.lapse()?;
        self.state()?;
        turn = if self.fill_measured()? { Turn::Done } else { turn };
        if !self.waiting.is_empty() || !self.batch.is_empty() {
            self.commit()?;
            turn = Turn::Done;
        }
        let over = turn == Turn::Idle && self.shared.stopping.load(Ordering::SeqCst);
        Ok(if over { Turn::Over } else { turn })
    }

    /// As [`Sequencer::fill`], measured now and then: each record is, then.
    fn fill_measured(&mut self) -> Result<bool, Fault> {
        self.encoding = Stages::measures(Stage::Sequence, 0).then(Spent::default);
        let since = self.encoding.map(|_| Since::now());
        let any = self.fill()?;
        let decisions = self.batch_load.decisions;
        if let (Some(since), Some(encoding), true) = (since, self.encoding.take(), decisions > 0) {
            let stages = &self.shared.metrics.stages;
            stages.add(Stage::Sequence, decisions, since.spent().without(encoding));
            stages.add(Stage::Encode, decisions, encoding);
        }
        Ok(any)
    }

    /// Takes what waits, up to the limits of a batch. Says whether there was anything.
    fn fill(&mut self) -> Result<bool, Fault> {
        let mut any = false;
        while let Some(work) = self.held.take().or_else(|| self.shared.queue.pop()) {
            let (Load { decisions, bytes }, load) = (self.batch_load, work.load());
            let full = decisions.saturating_add(load.decisions) > BATCH_DECISIONS
                || bytes.saturating_add(load.bytes) > BATCH_BYTES
                || self.batch.bytes().saturating_add(work.leaf_bytes()) > MAX_BATCH_BYTES;
            // Any one body fits into an empty batch: its limits are below those of the ledger.
            if full && !(self.waiting.is_empty() && self.batch.is_empty()) {
                self.held = Some(work);
                return Ok(true);
            }
            any = true;
            match work {
                Work::Decisions(proposal) => self.sequence(proposal)?,
                Work::Statement(submission) => self.keep(submission)?,
                Work::Canary(canary) => self.listen(*canary)?,
                Work::Report(report) => self.report(*report)?,
                Work::Look(look) => self.look(look),
                Work::Survey(survey) => self.survey(survey),
            }
        }
        Ok(any)
    }

    fn batched(&mut self, load: Load, waiting: Waiting) {
        self.batch_load.decisions = self.batch_load.decisions.saturating_add(load.decisions);
        self.batch_load.bytes = self.batch_load.bytes.saturating_add(load.bytes);
        self.waiting.push(waiting);
    }

    /// Settles a canary as every request is settled. If it stands, nothing is allowed any more.
    fn listen(&mut self, canary: Canary) -> Result<(), Fault> {
        let Canary { request, mut verdict, denied } = canary;
        let stood = verdict.stands();
        let now = self.shared.clock.read(self.fold.last_ms).at_ms;
        self.fold.advance(now);
        settle::settle(&mut verdict, &request, &self.fold, canary::REALM, now, None);
        if stood || verdict.stands() {
            return Err(Fault::Canary);
        }
        // A worker that went away in between asks again, or is gone.
        let _ = denied.send(());
        Ok(())
    }

    /// Gives a statement its place, sends it back, or refuses it.
    fn keep(&mut self, submission: Submission) -> Result<(), Fault> {
        let Submission { caller, what, body, governance, load, trace, reply } = submission;
        let sequencing = Queued::taken(trace);
        let Reading { at_ms, trouble } = self.shared.clock.read(self.fold.last_ms);
        let refusal = if self.fold.frozen {
            Some(Answer::Refused(Refusal::Frozen))
        } else if trouble.is_some() {
            Some(Answer::Refused(Refusal::Clock))
        } else {
            // The realm may be public no longer, and what is recorded is public for ever.
            (governance != self.fold.governance).then_some(Answer::Stale)
        };
        let refusal = refusal.or_else(|| self.untaken(&what, at_ms).map(Refusal::Approval).map(Answer::Refused));
        if refusal.is_some() || reply.is_closed() {
            self.shared.queue.release(load);
            if let Some(refusal) = refusal {
                // A caller that went away in between has no answer.
                let _ = reply.send(refusal);
            }
            return Ok(());
        }
        let index = self.ledger.size().saturating_add(self.batch.len() as u64);
        let record = match &what {
            Kept::Statement { media_type } => {
                let (realm, media_type) = (caller.realm().to_owned(), media_type.clone());
                Record::Statement { recorded_at: at_ms, realm, media_type, body: body.to_vec() }
            }
            Kept::Approval(given) => {
                let (decision, note) = (given.approval().decision, given.note().to_owned());
                Record::Approval { recorded_at: at_ms, decision, note }
            }
        };
        self.batch.push(&record, None)?;
        if let Kept::Approval(given) = &what {
            self.fold.state.approve(given);
        }
        self.fold.last_ms = self.fold.last_ms.max(at_ms);
        self.batched(load, Waiting::Statement { index, record, load, reply, trace: sequencing.end() });
        Ok(())
    }

    /// Why an approval cannot be recorded now.
    fn untaken(&mut self, what: &Kept, now_ms: u64) -> Option<Untaken> {
        let Kept::Approval(given) = what else { return None };
        self.fold.advance(now_ms);
        self.fold.state.admits(given, now_ms).err()
    }

    /// Gives a body its place, sends it back, or refuses it; all of it or nothing.
    fn sequence(&mut self, mut proposal: Proposal) -> Result<(), Fault> {
        let sequencing = Queued::taken(proposal.trace.take());
        if proposal.reply.is_closed() {
            // The caller has gone: deciding for nobody would only fill the log.
            self.shared.queue.release(proposal.load);
            return Ok(());
        }
        if self.fold.frozen {
            self.shared.queue.release(proposal.load);
            let _ = proposal.reply.send(Reply::Refused(Refusal::Frozen));
            return Ok(());
        }
        let Reading { at_ms, trouble } = self.shared.clock.read(self.fold.last_ms);
        let now = at_ms.max(proposal.evaluated_at);
        let stale = self.is_stale(&proposal, now);
        let answer = if stale && proposal.attempt <= MAX_ATTEMPTS {
            Err(None)
        } else {
            self.recall(&proposal, now, trouble.is_some()).map_err(Some)
        };
        let Proposal { caller, items, governance, evaluated_at, stop, load, reply, .. } = proposal;
        let mut earlier = match answer {
            Ok(earlier) => earlier.into_iter(),
            Err(refusal) => {
                self.shared.queue.release(load);
                // A caller that went away in between is denied by that.
                let _ = reply.send(refusal.map_or(Reply::Stale(items), Reply::Refused));
                return Ok(());
            }
        };
        let mut placed = Vec::with_capacity(items.len());
        for mut item in items {
            let earlier = earlier.next().unwrap_or(Earlier::No);
            let again = match earlier {
                Earlier::No => None,
                Earlier::Recorded(index, present) => Some(Place::Again { index, present }),
                Earlier::InThisBody(first) => placed.get(first).map(|(_, place): &(Box<Item>, Place)| place.again()),
            };
            let place = match again {
                Some(place) => place,
                None => {
                    let code = if earlier != Earlier::No {
                        // Never: the first item under a key stands before the second. It denies.
                        Some(Code::EngineError)
                    } else if stale {
                        Some(Code::GovernanceRace)
                    } else if trouble.is_some() {
                        Some(Code::Clock)
                    } else {
                        None
                    };
                    let discloses = governance == self.fold.governance && item.verdict.mode == RealmMode::Public;
                    self.record(&caller, &mut item, evaluated_at, now, code, discloses)?
                }
            };
            let stops = match stop {
                Stop::Never => false,
                Stop::AfterDeny => !place.is_allowed(),
                Stop::AfterAllow => place.is_allowed(),
            };
            placed.push((item, place));
            if stops {
                break;
            }
        }
        self.batched(load, Waiting::Decisions { items: placed, load, reply, trace: sequencing.end() });
        Ok(())
    }

    fn is_stale(&self, proposal: &Proposal, now: u64) -> bool {
        // A deadline that passed since is applied here; any other end of a verdict needs the worker again.
        let ran_out = |item: &Item| {
            let until = item.verdict.valid_until_ms;
            until > proposal.evaluated_at && until <= now && item.request.deadline.is_none_or(|deadline| deadline > now)
        };
        // What compiled policies say counts no more once they are mistrusted, but where it was just found, and denies.
        let found = |item: &Item| double::differed(&item.verdict);
        let mistrusted = proposal.compiled
            && self.shared.live.load().engines.as_ref().is_some_and(|engines| engines.is_mistrusted())
            && !proposal.items.iter().any(|item| found(item));
        mistrusted
            || proposal.governance != self.fold.governance
            || now.saturating_sub(proposal.evaluated_at) > MAX_AGE_MS
            || proposal.items.iter().any(|item| ran_out(item))
    }

    /// Looks every idempotency key of a body up before anything of the body is recorded.
    /// Two items under one key in one body are one request if they are the same bytes, and a reused key if not.
    fn recall(&mut self, proposal: &Proposal, now: u64, trouble: bool) -> Result<Vec<Earlier>, Refusal> {
        self.fold.advance(now);
        let mut found = Vec::with_capacity(proposal.items.len());
        let mut new_tags: HashMap<[u8; 32], (usize, &Item)> = HashMap::new();
        for (n, item) in proposal.items.iter().enumerate() {
            let Some(tag) = item.tag else {
                found.push(Earlier::No);
                continue;
            };
            found.push(match self.fold.idempotency.get(&tag) {
                // Above what is published: its answer is not out yet, so there is nothing to repeat.
                Some(index) if index >= self.ledger.size() => return Err(Refusal::InFlight { item: n }),
                Some(index) => Earlier::Recorded(index, self.present(n, item, index, now, trouble)?),
                None => match new_tags.entry(tag) {
                    Entry::Vacant(new) => {
                        new.insert((n, item));
                        Earlier::No
                    }
                    Entry::Occupied(first) if first.get().1.committed != item.committed => {
                        return Err(Refusal::KeyReused { item: n });
                    }
                    Entry::Occupied(first) => Earlier::InThisBody(first.get().0),
                },
            });
        }
        if !self.fold.idempotency.has_room(new_tags.len()) {
            return Err(Refusal::TooManyKeys);
        }
        Ok(found)
    }

    /// The present state of what was recorded for the same request; threat 13.
    fn present(&self, n: usize, item: &Item, index: u64, now: u64, trouble: bool) -> Result<Present, Refusal> {
        let gone = |_: ReadError| Refusal::Erased { item: n };
        let private = self.shared.reader.private(index).map_err(gone)?;
        if private.request != *item.committed {
            return Err(Refusal::KeyReused { item: n });
        }
        let leaf = self.shared.reader.entry(index).map_err(gone)?;
        let (Ok(Record::Decision(decision)), Ok(detail)) = (Record::decode(&leaf), Detail::decode(&private.detail))
        else {
            return Err(Refusal::Erased { item: n });
        };
        Ok(present_state(&self.fold, &decision, &detail, now, trouble))
    }

    /// Decides one item for good and records it.
    fn record(
        &mut self,
        caller: &Identity,
        item: &mut Item,
        evaluated_at: u64,
        now: u64,
        doubt: Option<Code>,
        disclosed: bool,
    ) -> Result<Place, Fault> {
        let before = (item.verdict.classes(), item.verdict.counted.len());
        self.fold.advance(now);
        settle::settle(&mut item.verdict, &item.request, &self.fold, caller.realm(), now, doubt);
        // After a race nothing follows from an epoch that may be over.
        let shadow = item.shadow.as_deref_mut().filter(|_| doubt != Some(Code::GovernanceRace));
        let shadow = shadow.map(|(epoch, verdict)| {
            settle::settle(verdict, &item.request, &self.fold, caller.realm(), now, doubt);
            Shadow::of(*epoch, verdict.classes())
        });
        let classes = item.verdict.classes();
        // What is counted is only ever left out.
        if (classes, item.verdict.counted.len()) != before {
            item.prepare_detail(caller);
        }
        // The one place where an action is allowed: nine verdicts, none of which failed or is unknown, at log time.
        let outcome = if item.verdict.stands() { Outcome::Allow } else { Outcome::Deny };
        let grant = (outcome == Outcome::Allow).then(|| settle::grant(&item.verdict, now));
        let index = self.ledger.size().saturating_add(self.batch.len() as u64);
        let decision = Box::new(Decision {
            recorded_at: now,
            governance: self.fold.governance,
            epoch: self.fold.epoch,
            permit: item.permit,
            realm: caller.realm().to_owned(),
            evaluated_at,
            outcome,
            classes,
            request: item.request_hash,
            detail: item.detail.hash,
            grant,
            audience: item.request.audience.clone(),
            shadow,
        });
        let moves = settle::opens(&item.request) || item.signed.is_some() || item.verdict.demands.retry.is_some();
        let moves = moves || item.verdict.demands.attested.is_some();
        if moves || !item.verdict.counted.is_empty() {
            let detail = item.detail_of(caller);
            self.fold.state.decided(&self.fold.trust, index, &decision, &detail).map_err(Fault::Fold)?;
        }
        let record = Record::Decision(decision);
        let private = Private {
            disclosed,
            request_salt: item.request_salt,
            request: &item.committed,
            detail_salt: item.detail.salt,
            detail: &item.detail.bytes,
        };
        // By the clock on the wall alone: a reading of the thread's clock would take as long as what it measures.
        let since = self.encoding.map(|_| Instant::now());
        self.batch.push(&record, Some(private))?;
        if let (Some(since), Some(encoding)) = (since, &mut self.encoding) {
            let took = since.elapsed();
            *encoding = encoding.and(Spent { cpu: took, wall: took });
        }
        self.fold.decided(item.tag, index, now);
        Ok(Place::New { index, record })
    }

    /// Makes everything in the batch durable, then answers.
    fn commit(&mut self) -> Result<(), Fault> {
        // A crash before `append` returns: nobody was answered; what recovery finds of the frame is not a promise.
        let (head, shares) = if self.batch.is_empty() {
            (self.shared.reader.head(), None)
        } else {
            let (_, head, shares) = self.append_timed()?;
            (head, Some(shares))
        };
        if let Some((index, snapshot)) = self.unsaved.take() {
            self.saver.save(index, snapshot);
        }
        let share = |trace: Option<Arc<Trace>>| {
            trace.zip(shares).into_iter().for_each(|(trace, shares)| shares.give(&trace));
        };
        let live = self.shared.live.load();
        // A crash from here on: the records stand, and a retry under an idempotency key finds them.
        for waiting in self.waiting.drain(..) {
            match waiting {
                Waiting::Decisions { items, load, reply, trace } => {
                    share(trace);
                    self.shared.queue.release(load);
                    self.shared.metrics.decided(&items);
                    self.shared.doubles.offer(&live, &self.shared.metrics, &items);
                    // A caller that went away has no permit; its record stays.
                    let _ = reply.send(Reply::Durable(Durable::new(items, head.clone())));
                }
                Waiting::Statement { index, record, load, reply, trace } => {
                    share(trace);
                    self.shared.queue.release(load);
                    let _ = reply.send(Answer::Durable(Stated::new(index, record, head.clone())));
                }
                Waiting::Event { index, record, codes, realm, load, reply, trace } => {
                    share(trace);
                    self.shared.queue.release(load);
                    self.shared.notices.tell_of(realm, &record);
                    let followed = Followed::new(index, record, codes, head.clone());
                    let _ = reply.send(execution::Answer::Durable(followed));
                }
                Waiting::Look { present, reply } => {
                    let _ = reply.send(present);
                }
                Waiting::Survey { states, reply } => {
                    let _ = reply.send(states);
                }
            }
        }
        self.lapsed.drain(..).for_each(|notice| self.shared.notices.tell(notice));
        self.batch_load = Load::default();
        Ok(())
    }

    /// Appends the batch; returns the index of its first record.
    fn append(&mut self) -> Result<(u64, Arc<Head>), Fault> {
        let (first, head, shares) = self.append_timed()?;
        self.appended.iter_mut().for_each(|appended| appended.push(shares));
        Ok((first, head))
    }

    /// As [`Sequencer::append`], with what it took.
    fn append_timed(&mut self) -> Result<(u64, Arc<Head>, Shares), Fault> {
        let expected = self.ledger.size();
        let (metrics, decisions) = (&self.shared.metrics, self.batch_load.decisions);
        let (stager, committer) = self.ledger.split();
        let since = Since::now();
        let staged = stager.stage(&self.batch, self.fold.last_ms)?;
        let hashed = since.spent();
        let (appended, _) = committer.commit(staged)?;
        appended.syncs.each(|file, took| metrics.synced(file, took));
        let spent = since.spent();
        let committed = spent.without(hashed);
        metrics.sequenced(spent.wall);
        metrics.committed(committed.wall);
        if decisions > 0 {
            metrics.stages.add(Stage::Hash, decisions, hashed);
            metrics.stages.add(Stage::Commit, decisions, committed);
        }
        let entries = self.batch.len() as u64;
        let shares = Shares { since: since.when(), hashed: hashed.wall, committed: committed.wall, entries };
        self.batch.clear();
        if appended.first != expected {
            return Err(Fault::Index { got: appended.first, expected });
        }
        self.shared.recorded(self.fold.last_ms);
        Ok((expected, appended.head, shares))
    }
}
