//! Why: what workers and the sequencer share, in one place that shows who may write which part.
//!
//! Guarantees: [`Live`] is replaced as a whole, by the sequencer only, and only after the act that made it is durable;
//! workers read it without a lock. Engines were built before.
//! Does not: hold fold state that a later record could change, beside the switches, which searches look at.

use std::collections::BTreeSet;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, OnceLock};

use arc_swap::ArcSwap;
use ledger::Reader;

use crate::canary::Canaries;
use crate::clock::{Clock, Reading};
use crate::double::{Doubles, Room};
use crate::fold::{Fold, Switches};
use crate::governance::{Candidate, Engines, Governors, Proposed};
use crate::history::{History, Seen};
use crate::http::{Budget, Metadata};
use crate::keys::ApiKeys;
use crate::metrics::{self, Metrics};
use crate::notices::Notices;
use crate::proposal::Work;
use crate::queue::Queue;
use crate::quota::Quotas;
use crate::sandbox::Sandbox;
use crate::self_audit::{self, SelfAudits};
use crate::spare::Spare;
use crate::traces::Tracer;

/// What is in force.
#[derive(Debug)]
pub struct Live {
    /// The governance version; 0 before the first epoch.
    pub governance: u64,
    /// The epoch; 0 before the first.
    pub epoch: u64,
    /// The indexes of the closing records of all epochs, in order.
    pub epochs: Arc<[u64]>,
    /// One engine for each worker; `None` before the first epoch.
    pub engines: Option<Engines>,
    /// The epoch that is tried in its shadow.
    pub candidate: Option<Candidate>,
    /// The realms that any epoch so far lists as committed.
    pub committed: Arc<BTreeSet<String>>,
    /// What is stopped.
    pub switches: Arc<Switches>,
    /// Plain Cedar decides, since what the epoch compiles to was found to differ.
    pub by_plain: bool,
    /// The log has ended: nothing is decided or recorded any more.
    pub frozen: bool,
}

impl Live {
    /// What is in force after a fold, with the engines of its epoch and of its candidate.
    #[must_use]
    pub fn of(fold: &Fold, engines: Option<Engines>, candidate: Option<Candidate>) -> Self {
        let Fold { governance, epoch, by_plain, frozen, .. } = *fold;
        Live {
            governance,
            epoch,
            epochs: fold.epochs.clone(),
            engines,
            candidate,
            committed: fold.committed.clone(),
            switches: fold.switches.clone(),
            by_plain,
            frozen,
        }
    }
}

/// The service's shared parts.
#[derive(Debug)]
pub struct Shared {
    /// API keys.
    pub keys: ApiKeys,
    /// Who may govern.
    pub governors: Governors,
    /// The one clock.
    pub clock: Clock,
    /// The log, read side.
    pub reader: Reader,
    /// What is in force.
    pub live: ArcSwap<Live>,
    /// From workers to the sequencer.
    pub queue: Queue<Work, Proposed>,
    /// What bodies of decisions may still be read.
    pub budget: Budget,
    /// What bodies of administrators may still be read: a flood of decisions must not stand in front of a kill switch.
    pub admin_budget: Budget,
    /// When a request that must be denied was denied last.
    pub canaries: Canaries,
    /// What is decided again.
    pub doubles: Doubles,
    /// What is counted.
    pub metrics: Metrics,
    /// How it was.
    pub history: History,
    /// What the log's own audits came to.
    pub audits: Arc<SelfAudits>,
    /// Who is told of what changes.
    pub notices: Arc<Notices>,
    /// What keys have taken of their quotas.
    pub quotas: Quotas,
    /// What is kept of the disk; a log in memory has none.
    pub spare: OnceLock<Spare>,
    /// AuthZEN's metadata, where the operator said by which address clients come.
    pub metadata: OnceLock<Metadata>,
    /// Who traces requests, if anybody does.
    pub tracer: OnceLock<Arc<Tracer>>,
    /// Where strangers try their own policies, if they may: its door alone, nothing of this is within its reach.
    pub sandbox: OnceLock<Arc<Sandbox>>,
    /// How many workers decide, each with an engine of its own.
    pub workers: usize,
    /// Set when the service shall end; the sequencer finishes what waits and ends.
    pub stopping: AtomicBool,
    last_ms: AtomicU64,
    fault: OnceLock<String>,
}

impl Shared {
    /// Everything together; `last_ms` is the time of the last record.
    #[expect(clippy::too_many_arguments, reason = "a structure's parts, each of its own type")]
    #[must_use]
    pub fn new(
        keys: ApiKeys,
        governors: Governors,
        clock: Clock,
        reader: Reader,
        live: Live,
        queue: Queue<Work, Proposed>,
        workers: usize,
        room: Room,
        last_ms: u64,
    ) -> Self {
        Shared {
            keys,
            governors,
            clock,
            reader,
            live: ArcSwap::from_pointee(live),
            queue,
            budget: Budget::default(),
            admin_budget: Budget::default(),
            canaries: Canaries::default(),
            doubles: Doubles::new(room),
            metrics: Metrics::default(),
            history: History::default(),
            audits: Arc::default(),
            quotas: Quotas::default(),
            spare: OnceLock::new(),
            metadata: OnceLock::new(),
            notices: Arc::default(),
            tracer: OnceLock::new(),
            sandbox: OnceLock::new(),
            workers,
            stopping: AtomicBool::new(false),
            last_ms: AtomicU64::new(last_ms),
            fault: OnceLock::new(),
        }
    }

    /// The time now, under the rules of the clock.
    #[must_use]
    pub fn now(&self) -> Reading {
        self.clock.read(self.last_ms.load(Ordering::Acquire))
    }

    /// The sequencer's last recorded time.
    pub(crate) fn recorded(&self, last_ms: u64) {
        self.last_ms.store(last_ms, Ordering::Release);
    }

    /// Whether decisions can be made: no self-audit failed, the log can be written, an epoch is published, the clock can be relied on, and
    /// what must be denied was denied lately.
    ///
    /// # Errors
    /// What is missing, in words that anyone may read.
    pub fn ready(&self) -> Result<(), &'static str> {
        if self.audits.failed() {
            return Err(self_audit::FAILED);
        }
        if self.queue.is_closed() || self.fault().is_some() || self.reader.poisoned() {
            return Err("the log cannot be written");
        }
        if self.live.load().frozen {
            return Err("the log is frozen");
        }
        if self.live.load().engines.is_none() {
            return Err("no epoch is published");
        }
        if self.now().trouble.is_some() {
            return Err("the clock cannot be relied on");
        }
        if self.is_short() {
            return Err("the disk is nearly full");
        }
        if self.canaries.age(self.live.load().epoch).is_none() {
            return Err("no canary was denied lately");
        }
        if self.stopping.load(Ordering::SeqCst) { Err("the service is stopping") } else { Ok(()) }
    }

    /// Whether what is left of the disk is kept for governance and for executions under way.
    #[must_use]
    pub fn is_short(&self) -> bool {
        self.spare.get().is_some_and(Spare::is_short)
    }

    /// What an operator has to look into while decisions go on, in words that anyone may read.
    #[must_use]
    pub fn alerts(&self) -> Vec<&'static str> {
        let live = self.live.load();
        let mistrusted = live.engines.as_ref().is_some_and(|engines| engines.is_mistrusted());
        let gone = self.doubles.is_gone();
        let alerts = [
            (live.by_plain || (mistrusted && !gone), "compiled policies differed from plain Cedar, which decides now"),
            (gone && mistrusted, "nobody decides again what compiled policies decide, so plain Cedar decides"),
            (self.metrics.missed() > 0, "decisions with a policy error were not decided again"),
            (self.audits.standing().is_unreadable(), self_audit::UNREADABLE),
        ];
        alerts.into_iter().filter_map(|(stands, what)| stands.then_some(what)).collect()
    }

    /// What metrics tell of now.
    #[must_use]
    pub fn metrics_now(&self) -> metrics::Now {
        let head = self.reader.head();
        metrics::Now {
            tree_size: head.checkpoint.size,
            head_ms: head.time_ms,
            waiting: self.queue.decisions(),
            ready: self.ready().is_ok(),
            canary: self.canaries.age(self.live.load().epoch),
            compiled: self.live.load().engines.as_ref().is_some_and(|engines| engines.is_compiled()),
            alerts: self.alerts().len(),
            rechecks_waiting: self.doubles.waiting(),
            audit: self.audits.standing(),
        }
    }

    /// What a sample is taken of.
    #[must_use]
    pub fn seen(&self) -> Seen {
        Seen {
            at_ms: self.now().at_ms,
            size: self.reader.size(),
            waiting: self.queue.decisions(),
            ready: self.ready().is_ok(),
            canary: self.canaries.age(self.live.load().epoch),
            sums: self.metrics.tally.read(),
        }
    }

    /// Why nothing can be recorded any more, if so.
    #[must_use]
    pub fn fault(&self) -> Option<&str> {
        self.fault.get().map(String::as_str)
    }

    /// Notes why the sequencer ended; the first reason stays.
    pub(crate) fn fail(&self, reason: String) {
        // A second reason is a consequence of the first.
        let _ = self.fault.set(reason);
    }
}
