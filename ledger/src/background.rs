//! The thread behind the writer: files keys, and makes derived files durable when a segment is closed.
//!
//! Why: neither is needed for an answer, so neither may stand between a batch and its answer.
//!
//! Guarantees: it never falls behind by more than [`MAX_BEHIND`] entries, the writer waits instead; when it meets an I/O error the ledger is
//! poisoned. Does not: touch journal, vault or memory.

use std::sync::atomic::Ordering;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;

use crate::derived::Mark;
use crate::layout::Layout;
use crate::reader::Shared;
use crate::storage::{Files, IoFailure};

/// Permit ids of so many entries wait at most: 24 MiB, and a look-up that walks over them stays below some milliseconds.
const MAX_BEHIND: u64 = 1 << 20;

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
}

impl Desk {
    fn todo(&self) -> MutexGuard<'_, Todo> {
        self.todo.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn wait<'a>(&self, todo: MutexGuard<'a, Todo>) -> MutexGuard<'a, Todo> {
        self.changed.wait(todo).unwrap_or_else(PoisonError::into_inner)
    }
}

impl Background {
    /// Starts the thread; everything below `size` is filed already.
    pub(crate) fn start(files: &Files, layout: &Layout, shared: &Arc<Shared>, size: u64) -> Result<Self, IoFailure> {
        let desk =
            Arc::new(Desk { todo: Mutex::new(Todo { size, filed: size, ..Todo::default() }), ..Desk::default() });
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

    /// Waits while too much is left to do.
    pub(crate) fn keep_up(&self) {
        let mut todo = self.desk.todo();
        while todo.size - todo.filed > MAX_BEHIND && !todo.stopped {
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
        loop {
            let (size, mark) = {
                let mut todo = self.desk.todo();
                while todo.filed == todo.size && todo.mark.is_none() && !todo.closing {
                    todo = self.desk.wait(todo);
                }
                if todo.filed == todo.size && todo.mark.is_none() {
                    return Ok(());
                }
                (todo.size, todo.mark.take())
            };
            if let Some(mark) = mark {
                mark.set(&self.files, &self.layout, &self.shared.identity.id, &self.shared.levels, &self.shared.rows)?;
            }
            self.shared.keys.file(size)?;
            self.desk.todo().filed = size;
            self.desk.changed.notify_all();
        }
    }
}
