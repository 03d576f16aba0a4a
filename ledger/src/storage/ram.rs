//! A disk in memory that remembers what was synced, and fails on command.
//!
//! Why: what a log does when a sync fails, when the process is killed or when power is lost can only be shown on a disk that does so
//! exactly when told. Tests of every room use it; the demo's sandbox may live on it.
//!
//! The model: a write is in the page cache at once and on the medium only after a sync of its file; a new, renamed or removed name is on
//! the medium only after a sync of its directory. A failed sync *forgets* what it should have written, as Linux does: the page cache
//! keeps the bytes, a second sync "succeeds", the medium never sees them. [`Ram::restart`] is a new process on the same machine,
//! [`Ram::power_loss`] leaves what the medium has.
//!
//! Does not: keep a random subset of un-synced bytes at a power loss; it loses them all.

use std::collections::BTreeMap;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};

use super::{LockGuard, Mode, Storage, Stored};

/// What a rule may match.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Op {
    /// A write into a file.
    Write,
    /// A sync of a file.
    Sync,
    /// A truncation.
    Truncate,
    /// A rename.
    Rename,
    /// A removed file.
    Remove,
    /// A file or directory made.
    Create,
    /// A sync of a directory.
    SyncDir,
    /// A read.
    Read,
}

/// What happens at a matched operation.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    /// It fails with this error and without effect.
    Fail(io::ErrorKind),
    /// It fails with this error although its effect is there.
    FailKept(io::ErrorKind),
    /// The process is gone: this and every later operation fails without effect, until [`Ram::restart`].
    Kill,
    /// It never returns, until [`Ram::release`]; then it happens.
    Hang,
}

/// One fault to come: at the `nth` (from 0) operation that matches.
#[derive(Clone, Debug)]
pub struct Rule {
    /// The operation; `None` is any but a read.
    pub op: Option<Op>,
    /// A part of the file's path; empty is any.
    pub path: String,
    /// How many matching operations pass unharmed first.
    pub nth: u64,
    /// What then happens, once.
    pub fault: Fault,
}

/// The disk, as whoever breaks it sees it; clones are the same disk.
#[derive(Clone, Debug, Default)]
pub struct Ram(Arc<Shared>);

/// The disk as one process sees it. After [`Ram::restart`] every operation of an earlier process fails without effect.
#[derive(Clone, Debug)]
pub struct Process {
    ram: Ram,
    life: u64,
}

#[derive(Debug, Default)]
struct Shared {
    state: Mutex<State>,
    released: Condvar,
}

#[derive(Debug, Default)]
struct State {
    /// Names as a process sees them, and as the medium has them.
    names: BTreeMap<PathBuf, usize>,
    durable_names: BTreeMap<PathBuf, usize>,
    files: Vec<Node>,
    locks: Vec<PathBuf>,
    rules: Vec<Rule>,
    killed: bool,
    /// Raised by a restart: handles and locks of an earlier process are void.
    life: u64,
    open_gates: u64,
    operations: u64,
}

#[derive(Debug, Default)]
struct Node {
    directory: bool,
    mode: u32,
    cache: Vec<u8>,
    medium: Vec<u8>,
    dirty: Vec<Change>,
}

#[derive(Debug)]
enum Change {
    Bytes(usize, Vec<u8>),
    Length(usize),
}

impl Change {
    fn apply(&self, to: &mut Vec<u8>) {
        match self {
            Self::Bytes(at, bytes) => {
                if to.len() < at + bytes.len() {
                    to.resize(at + bytes.len(), 0);
                }
                if let Some(place) = to.get_mut(*at..at + bytes.len()) {
                    place.copy_from_slice(bytes);
                }
            }
            Self::Length(len) => to.resize(*len, 0),
        }
    }
}

impl Ram {
    /// An empty disk.
    pub fn new() -> Self {
        Self::default()
    }

    /// The disk for a process that starts now.
    pub fn process(&self) -> Process {
        Process { ram: self.clone(), life: self.state().life }
    }

    /// Adds a fault to come.
    pub fn fault(&self, rule: Rule) {
        self.state().rules.push(rule);
    }

    /// Lets every hanging operation go on, and forgets all faults to come.
    pub fn release(&self) {
        let mut state = self.state();
        state.rules.clear();
        state.open_gates += 1;
        self.0.released.notify_all();
    }

    /// A new process on the same machine: the page cache is still there, locks and handles of the old one are not.
    pub fn restart(&self) {
        let mut state = self.state();
        state.rules.clear();
        state.locks.clear();
        state.killed = false;
        state.life += 1;
        state.open_gates += 1;
        self.0.released.notify_all();
    }

    /// Power is lost and comes back: only what was synced is there.
    pub fn power_loss(&self) {
        self.restart();
        let mut state = self.state();
        state.names = state.durable_names.clone();
        for file in &mut state.files {
            file.dirty.clear();
            file.cache = file.medium.clone();
        }
    }

    /// How many operations but reads there were so far.
    pub fn operations(&self) -> u64 {
        self.state().operations
    }

    /// Every file with its content as a process sees it.
    pub fn snapshot(&self) -> BTreeMap<PathBuf, Vec<u8>> {
        let state = self.state();
        let files = state.names.iter().filter_map(|(path, id)| Some((path, state.files.get(*id)?)));
        files.filter(|(_, file)| !file.directory).map(|(path, file)| (path.clone(), file.cache.clone())).collect()
    }

    /// Puts the disk back to an earlier [`Ram::snapshot`] of the files under `dir`, durably: a restored backup.
    pub fn restore(&self, dir: &Path, snapshot: &BTreeMap<PathBuf, Vec<u8>>) {
        let mut state = self.state();
        let doomed: Vec<_> = state.names.keys().filter(|p| p.starts_with(dir)).cloned().collect();
        for path in doomed {
            if state.names.get(&path).and_then(|id| state.files.get(*id)).is_some_and(|file| !file.directory) {
                state.names.remove(&path);
                state.durable_names.remove(&path);
            }
        }
        for (path, bytes) in snapshot.iter().filter(|(path, _)| path.starts_with(dir)) {
            let id = state.add(false, 0o600);
            if let Some(file) = state.files.get_mut(id) {
                file.cache.clone_from(bytes);
                file.medium.clone_from(bytes);
            }
            state.names.insert(path.clone(), id);
            state.durable_names.insert(path.clone(), id);
        }
    }

    /// Changes a file's bytes behind everybody's back, on the medium too: what a failing medium or a hand does.
    pub fn damage(&self, path: &Path, change: impl FnOnce(&mut Vec<u8>)) -> io::Result<()> {
        let mut state = self.state();
        let id = state.find(path)?;
        let file = state.files.get_mut(id).ok_or(io::ErrorKind::NotFound)?;
        change(&mut file.cache);
        file.medium.clone_from(&file.cache);
        file.dirty.clear();
        Ok(())
    }

    /// Removes a file behind everybody's back.
    pub fn lose(&self, path: &Path) {
        let mut state = self.state();
        state.names.remove(path);
        state.durable_names.remove(path);
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.0.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Process {
    /// Runs one operation under the faults to come.
    fn run<T>(&self, op: Op, path: &Path, effect: impl FnOnce(&mut State) -> io::Result<T>) -> io::Result<T> {
        let mut state = self.ram.state();
        if state.killed || state.life != self.life {
            return Err(io::Error::other("the process was killed"));
        }
        if op != Op::Read {
            state.operations += 1;
        }
        match state.due(op, path) {
            None => effect(&mut state),
            Some(Fault::Fail(kind)) => {
                if op == Op::Sync {
                    let id = state.find(path)?;
                    if let Some(file) = state.files.get_mut(id) {
                        file.dirty.clear();
                    }
                }
                Err(kind.into())
            }
            Some(Fault::FailKept(kind)) => effect(&mut state).and(Err(kind.into())),
            Some(Fault::Kill) => {
                state.killed = true;
                Err(io::Error::other("the process was killed"))
            }
            Some(Fault::Hang) => {
                let gate = state.open_gates;
                while state.open_gates == gate {
                    state = self.ram.0.released.wait(state).unwrap_or_else(PoisonError::into_inner);
                }
                if state.life != self.life {
                    return Err(io::Error::other("the process was killed"));
                }
                effect(&mut state)
            }
        }
    }
}

impl State {
    fn due(&mut self, op: Op, path: &Path) -> Option<Fault> {
        let mut due = None;
        for (position, rule) in self.rules.iter_mut().enumerate() {
            let meant = rule.op.map_or(op != Op::Read, |wanted| wanted == op);
            if !meant || !path.to_string_lossy().contains(&rule.path) {
                continue;
            }
            match rule.nth.checked_sub(1) {
                Some(left) => rule.nth = left,
                None => due = due.or(Some((position, rule.fault))),
            }
        }
        due.map(|(position, fault)| {
            self.rules.remove(position);
            fault
        })
    }

    fn add(&mut self, directory: bool, mode: u32) -> usize {
        self.files.push(Node { directory, mode, ..Node::default() });
        self.files.len() - 1
    }

    fn find(&self, path: &Path) -> io::Result<usize> {
        self.names.get(path).copied().ok_or_else(|| io::ErrorKind::NotFound.into())
    }

    fn file(&mut self, id: usize) -> io::Result<&mut Node> {
        self.files.get_mut(id).ok_or_else(|| io::ErrorKind::NotFound.into())
    }
}

impl Storage for Process {
    fn open(&self, path: &Path, mode: Mode, _mapped: bool) -> io::Result<Arc<dyn Stored>> {
        let there = self.ram.state().find(path);
        let id = match (mode, there) {
            (Mode::Read | Mode::Write, Ok(id)) => self.run(Op::Read, path, |_| Ok(id))?,
            (Mode::Read, Err(error)) => return Err(error),
            (Mode::New | Mode::NewSecret, Ok(_)) => return Err(io::ErrorKind::AlreadyExists.into()),
            (Mode::Write | Mode::New | Mode::NewSecret, Err(_)) => self.run(Op::Create, path, |state| {
                if let Some(parent) = path.parent() {
                    state.find(parent)?;
                }
                let id = state.add(false, if mode == Mode::NewSecret { 0o600 } else { 0o644 });
                state.names.insert(path.to_owned(), id);
                Ok(id)
            })?,
        };
        if self.ram.state().files.get(id).is_none_or(|file| file.directory) {
            return Err(io::ErrorKind::IsADirectory.into());
        }
        Ok(Arc::new(Handle { process: self.clone(), path: path.to_owned(), id }))
    }

    fn list(&self, dir: &Path) -> io::Result<Vec<String>> {
        self.run(Op::Read, dir, |state| {
            state.find(dir)?;
            let children = state.names.keys().filter(|path| path.parent() == Some(dir));
            Ok(children.filter_map(|path| Some(path.file_name()?.to_string_lossy().into_owned())).collect())
        })
    }

    fn create_dir(&self, dir: &Path, secret: bool) -> io::Result<()> {
        self.run(Op::Create, dir, |state| {
            if state.find(dir).is_ok() {
                return Err(io::ErrorKind::AlreadyExists.into());
            }
            let id = state.add(true, if secret { 0o700 } else { 0o755 });
            state.names.insert(dir.to_owned(), id);
            // The parents are somebody else's: they have always been there.
            for parent in dir.ancestors().skip(1) {
                if state.find(parent).is_err() {
                    let id = state.add(true, 0o755);
                    state.names.insert(parent.to_owned(), id);
                    state.durable_names.insert(parent.to_owned(), id);
                }
            }
            Ok(())
        })
    }

    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        self.run(Op::Rename, from, |state| {
            let id = state.names.remove(from).ok_or(io::ErrorKind::NotFound)?;
            state.names.insert(to.to_owned(), id);
            Ok(())
        })
    }

    fn remove(&self, path: &Path) -> io::Result<()> {
        self.run(Op::Remove, path, |state| state.names.remove(path).map(drop).ok_or(io::ErrorKind::NotFound.into()))
    }

    fn sync_dir(&self, dir: &Path) -> io::Result<()> {
        self.run(Op::SyncDir, dir, |state| {
            state.find(dir)?;
            let child = |path: &PathBuf| path.parent() == Some(dir);
            state.durable_names.retain(|path, _| !child(path));
            let now: Vec<_> = state.names.iter().filter(|(p, _)| child(p)).map(|(p, id)| (p.clone(), *id)).collect();
            state.durable_names.extend(now);
            Ok(())
        })
    }

    fn exists(&self, path: &Path) -> io::Result<bool> {
        self.run(Op::Read, path, |state| Ok(state.find(path).is_ok()))
    }

    fn permissions(&self, path: &Path) -> io::Result<u32> {
        self.run(Op::Read, path, |state| {
            let id = state.find(path)?;
            Ok(state.files.get(id).map_or(0, |file| file.mode))
        })
    }

    fn lock(&self, path: &Path) -> io::Result<Option<Box<dyn LockGuard>>> {
        self.run(Op::Create, path, |state| {
            if state.locks.iter().any(|held| held == path) {
                return Ok(None);
            }
            if state.find(path).is_err() {
                let id = state.add(false, 0o644);
                state.names.insert(path.to_owned(), id);
            }
            state.locks.push(path.to_owned());
            let guard = Held { process: self.clone(), path: path.to_owned() };
            Ok(Some(Box::new(guard) as Box<dyn LockGuard>))
        })
    }
}

#[derive(Debug)]
struct Held {
    process: Process,
    path: PathBuf,
}

impl LockGuard for Held {}

impl Drop for Held {
    fn drop(&mut self) {
        let mut state = self.process.ram.state();
        if state.life == self.process.life {
            state.locks.retain(|held| held != &self.path);
        }
    }
}

#[derive(Debug)]
struct Handle {
    process: Process,
    path: PathBuf,
    id: usize,
}

impl Stored for Handle {
    fn len(&self) -> io::Result<u64> {
        self.process.run(Op::Read, &self.path, |state| Ok(state.file(self.id)?.cache.len() as u64))
    }

    fn read_at(&self, offset: u64, buffer: &mut [u8]) -> io::Result<()> {
        self.process.run(Op::Read, &self.path, |state| {
            let start = usize::try_from(offset).map_err(|_| io::ErrorKind::UnexpectedEof)?;
            let stop = start.checked_add(buffer.len()).ok_or(io::ErrorKind::UnexpectedEof)?;
            let file = state.file(self.id)?;
            buffer.copy_from_slice(file.cache.get(start..stop).ok_or(io::ErrorKind::UnexpectedEof)?);
            Ok(())
        })
    }

    fn write_at(&self, offset: u64, bytes: &[u8]) -> io::Result<()> {
        let at = usize::try_from(offset).map_err(|_| io::ErrorKind::FileTooLarge)?;
        self.change(Op::Write, Change::Bytes(at, bytes.to_vec()))
    }

    fn truncate(&self, len: u64) -> io::Result<()> {
        let len = usize::try_from(len).map_err(|_| io::ErrorKind::FileTooLarge)?;
        self.change(Op::Truncate, Change::Length(len))
    }

    fn sync(&self) -> io::Result<()> {
        self.process.run(Op::Sync, &self.path, |state| {
            let file = state.file(self.id)?;
            for change in file.dirty.drain(..) {
                change.apply(&mut file.medium);
            }
            Ok(())
        })
    }
}

impl Handle {
    fn change(&self, op: Op, change: Change) -> io::Result<()> {
        self.process.run(op, &self.path, |state| {
            let file = state.file(self.id)?;
            change.apply(&mut file.cache);
            file.dirty.push(change);
            Ok(())
        })
    }
}
