//! The disk in memory as a process sees it: every operation under the faults to come.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, PoisonError};

use super::loss::{Choice, Unsynced};
use super::{Change, Fault, NameChange, Op, Ram, State};
use crate::storage::{LockGuard, Mode, Storage, Stored};

/// The disk as one process sees it. After [`Ram::restart`] every operation of an earlier process fails without effect.
#[derive(Clone, Debug)]
pub struct Process {
    pub(super) ram: Ram,
    pub(super) life: u64,
}

impl Process {
    /// Runs one operation under the faults to come.
    fn run<T>(&self, op: Op, path: &Path, effect: impl FnOnce(&mut State) -> io::Result<T>) -> io::Result<T> {
        self.run_on(op, path, None, |state, _| effect(state))
    }

    /// As [`Process::run`], on an open file. The effect learns how much of it is to happen.
    fn run_on<T>(
        &self,
        op: Op,
        path: &Path,
        file: Option<usize>,
        effect: impl FnOnce(&mut State, Extent) -> io::Result<T>,
    ) -> io::Result<T> {
        let mut state = self.ram.state();
        if state.killed || state.life != self.life {
            return Err(io::Error::other("the process was killed"));
        }
        if op != Op::Read {
            state.operations += 1;
        }
        if let Some(history) = &mut state.history {
            history.push((op, path.to_owned()));
        }
        match state.due(op, path) {
            None => effect(&mut state, Extent::Whole),
            Some(Fault::Short { error, kept }) if op == Op::Write => {
                effect(&mut state, Extent::Half { kept }).and(Err(error.into()))
            }
            Some(Fault::Fail(error) | Fault::Short { error, .. }) => {
                state.forget(op, path, file, &mut |_| false);
                Err(error.into())
            }
            Some(Fault::Torn { error, seed }) => {
                let mut choice = Choice::new(seed);
                state.forget(op, path, file, &mut |what| choice.keeps(what));
                Err(error.into())
            }
            Some(Fault::FailKept(error)) => {
                let done = effect(&mut state, Extent::Whole);
                // What was made is let go of again, and may want the disk for that.
                drop(state);
                done.and(Err(error.into()))
            }
            Some(Fault::Kill) => {
                state.killed = true;
                Err(io::Error::other("the process was killed"))
            }
            Some(Fault::Hang) => {
                let gate = state.open_gates;
                state.hanging += 1;
                while state.open_gates == gate {
                    state = self.ram.0.released.wait(state).unwrap_or_else(PoisonError::into_inner);
                }
                state.hanging -= 1;
                if state.life != self.life {
                    return Err(io::Error::other("the process was killed"));
                }
                effect(&mut state, Extent::Whole)
            }
        }
    }
}

/// How much of a write happens.
#[derive(Clone, Copy, Debug)]
enum Extent {
    Whole,
    /// The first half; it can reach the medium only if it is kept.
    Half {
        kept: bool,
    },
}

impl State {
    /// A sync fails: a part of what it covered reaches the medium. What a file's sync did not write is forgotten.
    fn forget(&mut self, op: Op, path: &Path, file: Option<usize>, keeps: &mut dyn FnMut(Unsynced) -> bool) {
        if op == Op::Sync
            && let Some(file) = file.and_then(|id| self.files.get_mut(id))
        {
            for change in file.dirty.drain(..) {
                change.keep_part(&mut file.medium, keeps);
            }
        }
        if op == Op::SyncDir {
            let (here, elsewhere) = self.name_changes.drain(..).partition(|change| change.dir() == Some(path));
            self.name_changes = elsewhere;
            for change in Vec::<NameChange>::into_iter(here) {
                match keeps(Unsynced::Name) {
                    true => change.apply(&mut self.durable_names),
                    false => self.name_changes.push(change),
                }
            }
        }
    }

    /// A name changes for every process; for the medium only with its directory.
    fn change_name(&mut self, change: NameChange) {
        change.apply(&mut self.names);
        self.name_changes.push(change);
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
                state.change_name(NameChange::Put(path.to_owned(), id));
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
            state.change_name(NameChange::Put(dir.to_owned(), id));
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
            let id = state.find(from)?;
            state.change_name(NameChange::Moved { from: from.to_owned(), to: to.to_owned(), id });
            Ok(())
        })
    }

    fn remove(&self, path: &Path) -> io::Result<()> {
        self.run(Op::Remove, path, |state| {
            state.find(path)?;
            state.change_name(NameChange::Gone(path.to_owned()));
            Ok(())
        })
    }

    fn remove_dir(&self, dir: &Path) -> io::Result<()> {
        self.run(Op::Remove, dir, |state| {
            let id = state.find(dir)?;
            if !state.files.get(id).is_some_and(|file| file.directory) {
                return Err(io::ErrorKind::NotADirectory.into());
            }
            if state.names.keys().any(|path| path.parent() == Some(dir)) {
                return Err(io::ErrorKind::DirectoryNotEmpty.into());
            }
            state.change_name(NameChange::Gone(dir.to_owned()));
            Ok(())
        })
    }

    fn sync_dir(&self, dir: &Path) -> io::Result<()> {
        self.run(Op::SyncDir, dir, |state| {
            state.find(dir)?;
            let child = |path: &PathBuf| path.parent() == Some(dir);
            state.durable_names.retain(|path, _| !child(path));
            let now: Vec<_> = state.names.iter().filter(|(p, _)| child(p)).map(|(p, id)| (p.clone(), *id)).collect();
            state.durable_names.extend(now);
            state.name_changes.retain(|change| change.dir() != Some(dir));
            Ok(())
        })
    }

    fn exists(&self, path: &Path) -> io::Result<bool> {
        self.run(Op::Read, path, |state| Ok(state.find(path).is_ok()))
    }

    fn real(&self, path: &Path) -> io::Result<PathBuf> {
        // This disk has no links.
        Ok(path.to_owned())
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
                state.change_name(NameChange::Put(path.to_owned(), id));
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
        self.process.run_on(Op::Write, &self.path, Some(self.id), |state, extent| {
            let half = bytes.get(..bytes.len() / 2).unwrap_or_default();
            let (part, kept) = match extent {
                Extent::Whole => (bytes, true),
                Extent::Half { kept } => (half, kept),
            };
            self.change(state, Change::Bytes(at, part.to_vec()), kept)
        })
    }

    fn truncate(&self, len: u64) -> io::Result<()> {
        let len = usize::try_from(len).map_err(|_| io::ErrorKind::FileTooLarge)?;
        self.process
            .run_on(Op::Truncate, &self.path, Some(self.id), |state, _| self.change(state, Change::Length(len), true))
    }

    fn sync(&self) -> io::Result<()> {
        self.process.run_on(Op::Sync, &self.path, Some(self.id), |state, _| {
            let file = state.file(self.id)?;
            for change in file.dirty.drain(..) {
                change.apply(&mut file.medium);
            }
            Ok(())
        })
    }
}

impl Handle {
    fn change(&self, state: &mut State, change: Change, kept: bool) -> io::Result<()> {
        let file = state.file(self.id)?;
        change.apply(&mut file.cache);
        if kept {
            file.dirty.push(change);
        }
        Ok(())
    }
}
