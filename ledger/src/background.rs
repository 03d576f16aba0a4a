//! The thread behind the writer: files keys, makes derived files durable when a segment is closed, and seals closed segments.
//!
//! Why: none of it is needed for an answer, so none may stand between a batch and its answer. Sealing comes last, a block at a time: between
//! two blocks whatever else there is to do is done, and while batches are appended the thread rests for [`REST`] times as long as a block took.
//!
//! Guarantees: it never falls behind by more than [`MAX_BEHIND`] entries, the writer waits instead; when it meets an I/O error with keys or
//! mark the ledger is poisoned. One while sealing leaves the segment raw and the log running: the file that failed is not part of the log.
//! (Should a sync of the journal's directory fail there, a file system that has lost a name says so at every later sync too, the writer's
//! among them.) Does not: touch the vault, the memory, or a segment that may still grow.

use std::sync::atomic::Ordering;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use crate::derived::Mark;
use crate::layout::Layout;
use crate::reader::Shared;
use crate::seal::{SealError, Sealer};
use crate::storage::{Files, IoFailure};

/// Permit ids of so many entries wait at most: 24 MiB, and a look-up that walks over them stays below some milliseconds.
pub(crate) const MAX_BEHIND: u64 = 1 << 20;

/// While batches are appended, sealing takes an eighth of one core at most. A log that is written faster than that is sealed when it is quiet.
const REST: u32 = 7;

/// The thread and what it is to do.
#[derive(Debug)]
pub(crate) struct Background {
    desk: Arc<Desk>,
    thread: Option<JoinHandle<()>>,
}

#[derive(Debug, Default)]
struct Desk {
    todo: Mutex<Todo>,
    changed: Condvar,
}

#[derive(Debug, Default)]
struct Todo {
    size: u64,
    mark: Option<Mark>,
    closing: bool,
    filed: u64,
    stopped: bool,
    /// Look for segments to seal.
    seal: bool,
    /// Some are being sealed.
    sealing: bool,
    /// Somebody waits for it.
    seal_now: bool,
    sealed: u64,
    seal_failure: Option<SealError>,
}

impl Desk {
    fn todo(&self) -> MutexGuard<'_, Todo> {
        self.todo.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn wait_for<'a>(&self, todo: MutexGuard<'a, Todo>, time: Duration) -> MutexGuard<'a, Todo> {
        self.changed.wait_timeout(todo, time).unwrap_or_else(PoisonError::into_inner).0
    }

    fn wait<'a>(&self, todo: MutexGuard<'a, Todo>) -> MutexGuard<'a, Todo> {
        self.changed.wait(todo).unwrap_or_else(PoisonError::into_inner)
    }
}

impl Background {
    /// Starts the thread; everything below `size` is filed already. With `seal` it looks for segments that an earlier process left raw.
    pub(crate) fn start(
        files: &Files,
        layout: &Layout,
        shared: &Arc<Shared>,
        size: u64,
        seal: bool,
    ) -> Result<Self, IoFailure> {
        let todo = Mutex::new(Todo { size, filed: size, seal, ..Todo::default() });
        let desk = Arc::new(Desk { todo, ..Desk::default() });
        let worker =
            Worker { files: files.clone(), layout: layout.clone(), shared: shared.clone(), desk: desk.clone() };
        let thread = std::thread::Builder::new().name("ledger-index".to_owned()).spawn(move || worker.run());
        let thread = thread.map_err(|source| IoFailure::new("start the index thread of", &layout.dir, source))?;
        Ok(Self { desk, thread: Some(thread) })
    }

    /// Everything below `size` is published: file its keys some time.
    pub(crate) fn file(&self, size: u64) {
        self.desk.todo().size = size;
        self.desk.changed.notify_all();
    }

    /// Make the derived files durable up to here some time.
    pub(crate) fn mark(&self, mark: Mark) {
        self.desk.todo().mark = Some(mark);
        self.desk.changed.notify_all();
    }

    /// A closed segment is followed by published entries: seal it some time.
    pub(crate) fn seal(&self) {
        self.desk.todo().seal = true;
        self.desk.changed.notify_all();
    }

    /// Seals whatever can be sealed and waits for it: how many segments were, and the last failure.
    pub(crate) fn seal_now(&self) -> Result<u64, SealError> {
        let mut todo = self.desk.todo();
        let before = todo.sealed;
        (todo.seal, todo.seal_now, todo.seal_failure) = (true, true, None);
        self.desk.changed.notify_all();
        while (todo.seal || todo.sealing) && !todo.stopped {
            todo = self.desk.wait(todo);
        }
        todo.seal_now = false;
        todo.seal_failure.take().map_or(Ok(todo.sealed - before), Err)
    }

    /// Waits while more than `behind` entries are left to file; marks that were set before them are made by then.
    pub(crate) fn keep_up(&self, behind: u64) {
        let mut todo = self.desk.todo();
        while todo.size - todo.filed > behind && !todo.stopped {
            todo = self.desk.wait(todo);
        }
    }

    /// Does what is left and ends the thread.
    pub(crate) fn finish(&mut self) {
        self.desk.todo().closing = true;
        self.desk.changed.notify_all();
        if let Some(thread) = self.thread.take() {
            // A thread that panicked has filed less; what it left is filed at the next opening.
            let _either_way = thread.join();
        }
    }
}

struct Worker {
    files: Files,
    layout: Layout,
    shared: Arc<Shared>,
    desk: Arc<Desk>,
}

impl Worker {
    fn run(self) {
        if self.work().is_err() {
            self.shared.poisoned.store(true, Ordering::Release);
        }
        self.desk.todo().stopped = true;
        self.desk.changed.notify_all();
    }

    fn work(&self) -> Result<(), IoFailure> {
        let mut sealer = Sealer::default();
        let mut rested = Instant::now();
        self.shared.keys.settle()?;
        while let Some(turn) = self.next(rested) {
            if let Some(mark) = turn.mark {
                mark.set(&self.files, &self.layout, &self.shared.identity.id, &self.shared.levels, &self.shared.rows)?;
            }
            if self.shared.keys.file(turn.size)? {
                self.shared.keys.settle()?;
            }
            if turn.look {
                sealer.look(&self.shared.journal, turn.size);
            }
            let begun = Instant::now();
            let more = turn.seal && !self.shared.poisoned.load(Ordering::Acquire) && sealer.step(&self.shared.journal);
            {
                let mut todo = self.desk.todo();
                if turn.seal {
                    let appending = todo.size != todo.filed;
                    rested = if appending { begun + begun.elapsed() * (1 + REST) } else { begun };
                    (todo.sealing, todo.sealed) = (more, sealer.sealed);
                    todo.seal_failure = sealer.failure.take().or(todo.seal_failure.take());
                }
                todo.filed = turn.size;
            }
            self.desk.changed.notify_all();
            if more {
                std::thread::yield_now();
            }
        }
        sealer.give_up(&self.shared.journal);
        Ok(())
    }

    /// Waits for something to do; `None` once the ledger is closed and nothing is left but sealing.
    fn next(&self, rested: Instant) -> Option<Turn> {
        let mut todo = self.desk.todo();
        loop {
            let rest = rested.saturating_duration_since(Instant::now());
            let sealing = todo.seal || todo.sealing;
            let seal = sealing && (todo.seal_now || rest.is_zero());
            if todo.filed != todo.size || todo.mark.is_some() {
                todo.sealing = sealing;
                let (mark, look) = (todo.mark.take(), std::mem::take(&mut todo.seal));
                return Some(Turn { size: todo.size, mark, look, seal });
            }
            if todo.closing {
                return None;
            }
            if seal {
                todo.sealing = true;
                return Some(Turn { size: todo.size, mark: None, look: std::mem::take(&mut todo.seal), seal });
            }
            todo = if sealing { self.desk.wait_for(todo, rest) } else { self.desk.wait(todo) };
        }
    }
}

/// What is to be done next.
struct Turn {
    /// Everything below is published.
    size: u64,
    mark: Option<Mark>,
    /// Look for segments to seal.
    look: bool,
    /// Seal a little.
    seal: bool,
}
