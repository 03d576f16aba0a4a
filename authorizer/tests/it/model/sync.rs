//! What the queue is made of in a model: the names of the library's `sync.rs`, each watched by loom.

use std::collections::VecDeque;
use std::time::Duration;

pub(crate) use loom::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use loom::sync::{Condvar, Mutex};

/// A lane: a bounded list.
#[derive(Debug)]
pub(crate) struct ArrayQueue<T> {
    items: Mutex<VecDeque<T>>,
    bound: usize,
}

impl<T> ArrayQueue<T> {
    pub(crate) fn new(bound: usize) -> Self {
        ArrayQueue { items: Mutex::new(VecDeque::new()), bound }
    }

    pub(crate) fn push(&self, item: T) -> Result<(), T> {
        let mut items = self.items.lock().unwrap();
        if items.len() == self.bound {
            return Err(item);
        }
        items.push_back(item);
        Ok(())
    }

    pub(crate) fn pop(&self) -> Option<T> {
        self.items.lock().unwrap().pop_front()
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.items.lock().unwrap().is_empty()
    }

    pub(crate) fn len(&self) -> usize {
        self.items.lock().unwrap().len()
    }
}

/// A thread that sleeps until it is woken, however long that takes.
#[derive(Debug, Default)]
pub(crate) struct Sleeper {
    state: Mutex<State>,
    woken: Condvar,
}

#[derive(Debug, Default)]
struct State {
    known: bool,
    token: bool,
}

impl Sleeper {
    pub(crate) fn introduce(&self) {
        self.state.lock().unwrap().known = true;
    }

    pub(crate) fn sleep(&self, _at_most: Duration) {
        let mut state = self.state.lock().unwrap();
        while !state.token {
            state = self.woken.wait(state).unwrap();
        }
        state.token = false;
    }

    /// Nobody is woken who has not introduced itself.
    pub(crate) fn wake(&self) {
        let mut state = self.state.lock().unwrap();
        if state.known {
            state.token = true;
            self.woken.notify_one();
        }
    }
}
