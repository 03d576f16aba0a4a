//! Why: what workers and the sequencer share, in one place that shows who may write which part.
//!
//! Guarantees: [`Live`] is replaced as a whole, by the sequencer only, and only after the act that made it is durable;
//! workers read it without a lock. Engines were built before.
//! Does not: hold fold state that a later record could change, beside the switches that a look at an old permit needs.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, OnceLock};

use arc_swap::ArcSwap;
use ledger::Reader;

use crate::clock::{Clock, Reading};
use crate::fold::Switches;
use crate::governance::{Engines, Governors, Proposed};
use crate::keys::ApiKeys;
use crate::proposal::Proposal;
use crate::queue::Queue;

/// What is in force.
#[derive(Debug)]
pub struct Live {
    /// The governance version; 0 before the first epoch.
    pub governance: u64,
    /// The epoch; 0 before the first.
    pub epoch: u64,
    /// One engine for each worker; `None` before the first epoch.
    pub engines: Option<Engines>,
    /// What is stopped.
    pub switches: Arc<Switches>,
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
    pub queue: Queue<Proposal, Proposed>,
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
        queue: Queue<Proposal, Proposed>,
        workers: usize,
        last_ms: u64,
    ) -> Self {
        Shared {
            keys,
            governors,
            clock,
            reader,
            live: ArcSwap::from_pointee(live),
            queue,
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
