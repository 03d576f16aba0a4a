//! Why: one thread gives every decision its place in the log and its final verdict, in log order.
//!
//! Guarantees: an allowing outcome is constructed in one line of `bodies.rs`; a caller is answered only after `append`
//! returned, so nothing leaves the process that is not durable under a signed, remembered head; a body is recorded
//! together and in order or not at all; governance goes first. Whatever ends this thread (an I/O error, a panic, a
//! self-audit that failed) closes the queue: every waiting and later caller is denied.
//! Does not: check what workers check; make whoever asks alone wait (a batch is whatever waits, up to named limits).

mod acts;
mod bodies;
mod commit;
mod crowd;
mod erasures;
mod events;
mod mistrust;
mod statements;
mod states;

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use crowd::Crowd;
use ledger::{AppendError, Batch, BatchError, Cases, EraseError, Ledger, MAX_BATCH_BYTES};
use tokio::sync::oneshot;
use verifier::record::Record;

use crate::canary::{self, Canary};
use crate::execution;
use crate::fold::{Fold, Snapshot};
use crate::live::Shared;
use crate::notices::Notice;
use crate::present::Present;
use crate::proposal::{Item, Place, Reply, Work};
use crate::queue::Load;
use crate::saver::Saver;
use crate::service::Folded;
use crate::settle;
use crate::stages::{Since, Spent, Stage, Stages};
use crate::statement::Answer;
use crate::traces::{Shares, Trace};

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
    #[error("{}", crate::self_audit::FAILED)]
    Audit,
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
    /// Bodies that the last batch answered.
    answered: usize,
    crowd: Crowd,
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
            answered: 0,
            crowd: Crowd::default(),
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
                Turn::Done => self.gather(),
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

    /// Forgets what earlier decisions left behind: counters, open permits, nonces, idempotency keys. For the sandbox, where whoever asks next
    /// is somebody else; a log whose fold begins anew in its middle is nobody's truth.
    pub(crate) fn forget(&mut self) {
        (self.fold.state, self.fold.idempotency) = Default::default();
    }

    fn work(&mut self) -> Result<Turn, Fault> {
        if self.shared.audits.failed() {
            return Err(Fault::Audit);
        }
        self.answered = 0;
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
}
