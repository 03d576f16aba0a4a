//! Why: workers hand proposals to the one sequencer through a queue that can never grow past its bounds, and
//! governance must not wait behind a flood (threat 27).
//!
//! Guarantees: bounded in bodies, decisions and bytes, counted until the body is answered; the governance lane is
//! separate and is drained first; a push after [`Queue::close`] is refused, and nothing stays behind in a closed
//! queue, so no caller waits for a dead sequencer. Lock-free: a slow worker never blocks the sequencer.
//! Does not: order bodies of different workers beyond first come, first served; promise an answer (the waiting side
//! has its own deadline).
//!
//! Every interleaving of this file's own steps is tried in `tests/it/model.rs`, which compiles it over another `sync.rs`.

use std::time::Duration;

use super::sync::{ArrayQueue, AtomicBool, AtomicUsize, Ordering, Sleeper};

/// Bodies that may wait: at 5 ms a batch and one body each, more than a second of waiting, after which a verdict is
/// too old anyway.
pub const MAX_BODIES: usize = 4_096;
/// Decisions that may wait in all bodies: 16 of the largest batches.
pub const MAX_DECISIONS: usize = 65_536;
/// Bytes of request and detail that may wait: what the process may hold for work that nobody has been promised.
pub const MAX_BYTES: usize = 64 * 1024 * 1024;
/// What may wait beside the bodies of callers: canaries, one for each worker, and those of a time when the log did not answer.
pub const MAX_BESIDE: usize = 64;
/// Governance acts that may wait: each is one human decision.
pub const MAX_ACTS: usize = 64;

/// What a proposal occupies in the queue.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Load {
    /// Decisions in the body.
    pub decisions: usize,
    /// Bytes of requests and details.
    pub bytes: usize,
}

/// Why a push was refused. The pushed value comes back.
#[derive(Debug, PartialEq, Eq)]
pub enum Refused<T> {
    /// A bound is reached; try again later.
    Full(T),
    /// The sequencer has ended.
    Closed,
}

/// The queue: `P` are proposals, `A` governance acts. Many producers, one consumer.
#[derive(Debug)]
pub struct Queue<P, A> {
    proposals: ArrayQueue<P>,
    acts: ArrayQueue<A>,
    bodies: AtomicUsize,
    decisions: AtomicUsize,
    bytes: AtomicUsize,
    closed: AtomicBool,
    asleep: AtomicBool,
    consumer: Sleeper,
    bounds: Bounds,
}

/// The bounds of a queue. [`Default`] is what the service uses; tests take smaller ones.
#[derive(Clone, Copy, Debug)]
pub struct Bounds {
    /// See [`MAX_BODIES`].
    pub bodies: usize,
    /// See [`MAX_DECISIONS`].
    pub decisions: usize,
    /// See [`MAX_BYTES`].
    pub bytes: usize,
}

impl Default for Bounds {
    fn default() -> Self {
        Bounds { bodies: MAX_BODIES, decisions: MAX_DECISIONS, bytes: MAX_BYTES }
    }
}

impl<P, A> Queue<P, A> {
    /// An empty, open queue.
    #[must_use]
    pub fn new(bounds: Bounds) -> Self {
        Queue {
            proposals: ArrayQueue::new(bounds.bodies.saturating_add(MAX_BESIDE)),
            acts: ArrayQueue::new(MAX_ACTS),
            bodies: AtomicUsize::new(0),
            decisions: AtomicUsize::new(0),
            bytes: AtomicUsize::new(0),
            closed: AtomicBool::new(false),
            asleep: AtomicBool::new(false),
            consumer: Sleeper::default(),
            bounds,
        }
    }

    /// Whether a small body would be accepted now: asked before a body is read.
    #[must_use]
    pub fn has_room(&self) -> bool {
        self.bodies.load(Ordering::Relaxed) < self.bounds.bodies
            && self.decisions.load(Ordering::Relaxed) < self.bounds.decisions
            && self.bytes.load(Ordering::Relaxed) < self.bounds.bytes
            && !self.is_closed()
    }

    /// Decisions that wait, or are on their way to the disk.
    #[must_use]
    pub fn decisions(&self) -> usize {
        self.decisions.load(Ordering::Relaxed)
    }

    /// Bodies that wait to be sequenced.
    #[must_use]
    pub fn waiting(&self) -> usize {
        self.proposals.len()
    }

    /// Whether a governance act waits.
    #[must_use]
    pub fn has_acts(&self) -> bool {
        !self.acts.is_empty()
    }

    /// Whether the sequencer has ended.
    #[must_use]
    pub fn is_closed(&self) -> bool {
        self.closed.load(Ordering::SeqCst)
    }

    /// Hands a proposal to the sequencer. `load` is given back by [`Queue::release`] when the proposal is answered.
    ///
    /// # Errors
    /// [`Refused::Full`] at a bound, [`Refused::Closed`] after the sequencer ended; nothing was decided.
    pub fn push(&self, proposal: P, load: Load) -> Result<(), Refused<P>> {
        if self.is_closed() {
            return Err(Refused::Closed);
        }
        if !self.reserve(load) {
            return Err(Refused::Full(proposal));
        }
        if let Err(back) = self.proposals.push(proposal) {
            self.release(load);
            return Err(Refused::Full(back));
        }
        self.after_push()
    }

    /// Hands over what takes no room from callers, behind them in the same lane; it is not to be released. At most [`MAX_BESIDE`] wait.
    ///
    /// # Errors
    /// As [`Queue::push`].
    pub fn push_beside(&self, proposal: P) -> Result<(), Refused<P>> {
        if self.is_closed() {
            return Err(Refused::Closed);
        }
        self.proposals.push(proposal).map_err(Refused::Full)?;
        self.after_push()
    }

    /// Hands a governance act to the sequencer, past all proposals.
    ///
    /// # Errors
    /// As [`Queue::push`].
    pub fn push_act(&self, act: A) -> Result<(), Refused<A>> {
        if self.is_closed() {
            return Err(Refused::Closed);
        }
        self.acts.push(act).map_err(Refused::Full)?;
        self.after_push()
    }

    /// Gives back what an answered proposal occupied.
    pub fn release(&self, load: Load) {
        self.bodies.fetch_sub(1, Ordering::Relaxed);
        self.decisions.fetch_sub(load.decisions, Ordering::Relaxed);
        self.bytes.fetch_sub(load.bytes, Ordering::Relaxed);
    }

    /// The next governance act. For the consumer only.
    #[must_use]
    pub fn pop_act(&self) -> Option<A> {
        self.acts.pop()
    }

    /// The next proposal. For the consumer only.
    #[must_use]
    pub fn pop(&self) -> Option<P> {
        self.proposals.pop()
    }

    /// Sleeps until something was pushed, the queue was closed, or `at_most` has passed. For the consumer only.
    pub fn wait(&self, at_most: Duration) {
        self.consumer.introduce();
        // Announce the sleep before the last look: a producer either sees the announcement or its push is seen here. Swapped, as the
        // producers do: each change of the flag then follows the one before, and none can overtake an announcement.
        self.asleep.swap(true, Ordering::SeqCst);
        if self.proposals.is_empty() && self.acts.is_empty() && !self.is_closed() {
            self.consumer.sleep(at_most);
        }
        self.asleep.swap(false, Ordering::SeqCst);
    }

    /// Refuses all later pushes and drops what waits: the dropped reply channels tell the callers.
    pub fn close(&self) {
        self.closed.store(true, Ordering::SeqCst);
        self.drop_waiting();
        self.wake();
    }

    /// Wakes the consumer so that it looks at the state of the service.
    pub fn wake(&self) {
        self.consumer.wake();
    }

    fn after_push<T>(&self) -> Result<(), Refused<T>> {
        // A close between the first look and the push: whoever comes last clears the queue, so nobody waits for ever.
        if self.is_closed() {
            self.drop_waiting();
            return Err(Refused::Closed);
        }
        if self.asleep.swap(false, Ordering::SeqCst) {
            self.wake();
        }
        Ok(())
    }

    fn drop_waiting(&self) {
        while self.proposals.pop().is_some() {}
        while self.acts.pop().is_some() {}
    }

    fn reserve(&self, load: Load) -> bool {
        let bodies = self.bodies.fetch_add(1, Ordering::Relaxed).saturating_add(1);
        let decisions = self.decisions.fetch_add(load.decisions, Ordering::Relaxed).saturating_add(load.decisions);
        let bytes = self.bytes.fetch_add(load.bytes, Ordering::Relaxed).saturating_add(load.bytes);
        // A body is accepted while the queue is empty even if it alone were above a bound of decisions or bytes: the
        // limits on bodies are the HTTP layer's, and a bound here below them would refuse such a body for ever.
        let fits = bodies <= self.bounds.bodies
            && (bodies == 1 || (decisions <= self.bounds.decisions && bytes <= self.bounds.bytes));
        if !fits {
            self.release(load);
        }
        fits
    }
}
