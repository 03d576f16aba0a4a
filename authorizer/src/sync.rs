//! What the queue is made of: lanes, counters, and a thread that sleeps. A model of the queue has others of the same names in this place.

use std::sync::OnceLock;
pub(crate) use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::thread::Thread;
use std::time::Duration;

pub(crate) use crossbeam_queue::ArrayQueue;

/// The one thread that sleeps, once it has introduced itself.
#[derive(Debug, Default)]
pub(crate) struct Sleeper(OnceLock<Thread>);

impl Sleeper {
    /// It is the calling thread, from now on.
    pub(crate) fn introduce(&self) {
        self.0.get_or_init(std::thread::current);
    }

    /// Sleeps until it is woken or `at_most` has passed; not at all if it was woken since it slept last. For that thread only.
    #[expect(clippy::unused_self, reason = "a model sleeps on what it holds")]
    pub(crate) fn sleep(&self, at_most: Duration) {
        std::thread::park_timeout(at_most);
    }

    /// Wakes it; if it does not sleep, its next sleep ends at once.
    pub(crate) fn wake(&self) {
        if let Some(thread) = self.0.get() {
            thread.unpark();
        }
    }
}
