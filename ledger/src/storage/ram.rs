//! A disk in memory that remembers what was synced, and fails on command.
//!
//! Why: what a log does when a sync fails, when the process is killed or when power is lost can only be shown on a disk that does so
//! exactly when told. Tests of every room use it; the demo's sandbox may live on it.
//!
//! The model: a write is in the page cache at once and on the medium only after a sync of its file; a new, renamed or removed name is on
//! the medium only after a sync of its directory. A failed sync *forgets* what it should have written, as Linux does: the page cache
//! keeps the bytes, a second sync "succeeds", the medium never sees them. [`Ram::restart`] is a new process on the same machine,
//! [`Ram::power_loss`] leaves what the medium has, [`Ram::power_loss_keeping`] that and an arbitrary part of what was on its way.
//!
//! Does not: let the medium lie. What a successful sync covered is there.

use std::collections::BTreeMap;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};

mod loss;
mod process;

pub use process::Process;

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
    /// A write puts down its first half and then fails with this error; anything else fails without effect.
    Short {
        /// The error.
        error: io::ErrorKind,
        /// The half can still reach the medium; else only the page cache has it.
        kept: bool,
    },
    /// A sync fails with this error after a part of what it should have written, chosen by the seed, has reached the medium; the rest is
    /// forgotten. Anything else fails without effect.
    Torn {
        /// The error.
        error: io::ErrorKind,
        /// Chooses the part.
        seed: u64,
    },
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

/// A fault to come and the operations that it waits for.
#[derive(Clone, Debug)]
struct Due {
    rule: Rule,
    /// The path is the whole path.
    exact: bool,
}

/// The disk, as whoever breaks it sees it; clones are the same disk.
#[derive(Clone, Debug, Default)]
pub struct Ram(Arc<Shared>);

#[derive(Debug, Default)]
struct Shared {
    state: Mutex<State>,
    released: Condvar,
}

#[derive(Clone, Debug, Default)]
struct State {
    /// Names as a process sees them, and as the medium has them.
    names: BTreeMap<PathBuf, usize>,
    durable_names: BTreeMap<PathBuf, usize>,
    /// What happened to names since their directories were synced, oldest first.
    name_changes: Vec<NameChange>,
    files: Vec<Node>,
    locks: Vec<PathBuf>,
    rules: Vec<Due>,
    killed: bool,
    /// Raised by a restart: handles and locks of an earlier process are void.
    life: u64,
    open_gates: u64,
    /// Operations that hang now.
    hanging: u64,
    operations: u64,
    history: Option<Vec<(Op, PathBuf)>>,
}

#[derive(Clone, Debug, Default)]
struct Node {
    directory: bool,
    mode: u32,
    cache: Vec<u8>,
    medium: Vec<u8>,
    dirty: Vec<Change>,
}

#[derive(Clone, Debug)]
enum Change {
    Bytes(usize, Vec<u8>),
    Length(usize),
}

#[derive(Clone, Debug)]
enum NameChange {
    Put(PathBuf, usize),
    Gone(PathBuf),
    Moved { from: PathBuf, to: PathBuf, id: usize },
}

impl NameChange {
    /// The directory that must be synced for it. Names move inside one directory only.
    fn dir(&self) -> Option<&Path> {
        match self {
            Self::Put(path, _) | Self::Gone(path) | Self::Moved { to: path, .. } => path.parent(),
        }
    }

    fn apply(&self, to: &mut BTreeMap<PathBuf, usize>) {
        match self {
            Self::Put(path, id) => _ = to.insert(path.clone(), *id),
            Self::Gone(path) => _ = to.remove(path),
            Self::Moved { from, to: path, id } => {
                to.remove(from);
                to.insert(path.clone(), *id);
            }
        }
    }
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

    /// Another disk with the same content, for a process that starts now.
    pub fn fork(&self) -> Self {
        let mut state = self.state().clone();
        state.locks.clear();
        state.rules.clear();
        state.killed = false;
        state.hanging = 0;
        state.life += 1;
        Self(Arc::new(Shared { state: Mutex::new(state), released: Condvar::new() }))
    }

    /// Adds a fault to come.
    pub fn fault(&self, rule: Rule) {
        self.state().rules.push(Due { rule, exact: false });
    }

    /// Adds a fault to come at the `nth` operation of this kind on exactly this path.
    pub fn fault_at(&self, op: Op, path: &Path, nth: u64, fault: Fault) {
        let rule = Rule { op: Some(op), path: path.to_string_lossy().into_owned(), nth, fault };
        self.state().rules.push(Due { rule, exact: true });
    }

    /// How many faults are still to come.
    pub fn faults_left(&self) -> usize {
        self.state().rules.len()
    }

    /// From now on, every operation is written down.
    pub fn record(&self) {
        self.state().history = Some(Vec::new());
    }

    /// The operations since [`Ram::record`].
    pub fn history(&self) -> Vec<(Op, PathBuf)> {
        self.state().history.clone().unwrap_or_default()
    }

    /// True while an operation hangs.
    pub fn waiting(&self) -> bool {
        self.state().hanging > 0
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
        self.state().lose(&mut |_| false);
    }

    /// Power is lost and comes back: what was synced is there, and of what was not, a part that the seed chooses: whole changes, sectors or
    /// single bytes, lengths without their bytes, names without their files' content and the other way round.
    pub fn power_loss_keeping(&self, seed: u64) {
        self.restart();
        let mut choice = loss::Choice::new(seed);
        self.state().lose(&mut |what| choice.keeps(what));
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
        state.name_changes.retain(|change| change.dir().is_none_or(|parent| !parent.starts_with(dir)));
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

impl State {
    fn due(&mut self, op: Op, path: &Path) -> Option<Fault> {
        let mut due = None;
        for (position, Due { rule, exact }) in self.rules.iter_mut().enumerate() {
            let meant = rule.op.map_or(op != Op::Read, |wanted| wanted == op);
            let there =
                if *exact { path == Path::new(&rule.path) } else { path.to_string_lossy().contains(&rule.path) };
            if !meant || !there {
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
