//! Makes a new log.
//!
//! `log.toml.new` is the first file and becomes `log.toml` last: until then it says that a creation was not finished. [`Creation::begin`]
//! makes everything, [`Creation::finish`] renames; between them callers add what must be there when the log is.
//!
//! Guarantees: nothing that exists is overwritten: neither a directory with anything in it, nor a memory; but what an interrupted creation
//! left is recognised and taken away by the next one. A log has no `log.toml.new`, so nothing of one can be taken for that. The signing key
//! is made with mode 0600 in a directory of mode 0700, and so is the vault's.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use verifier::hash::EMPTY_ROOT;
use verifier::note::VerifierKey;

use crate::derived::{Derived, Mark};
use crate::head::Head;
use crate::layout::{Identity, Layout, SMALL_FILE, SegmentKind, default_memory};
use crate::memory::{Memory, MemoryError, Remembered};
use crate::segments::Segments;
use crate::signer::{Signer, SignerError};
use crate::storage::disk::Disk;
use crate::storage::{Files, IoFailure, LockGuard, Mode, Storage};

/// Why no log was made.
#[derive(Debug, thiserror::Error)]
pub enum CreateError {
    /// The directory has something in it.
    #[error("`{dir}` is not empty", dir = dir.display())]
    NotEmpty {
        /// The directory.
        dir: PathBuf,
    },
    /// A head is remembered there, of this or another log; it is never overwritten.
    #[error("`{file}` already remembers the head of a log", file = file.display())]
    MemoryExists {
        /// The memory.
        file: PathBuf,
    },
    /// The memory would be lost, copied and rolled back together with what it guards.
    #[error("`{file}` lies inside `{dir}`: whoever copies the directory back would copy the memory with it", file = file.display(), dir = dir.display())]
    MemoryInside {
        /// The memory.
        file: PathBuf,
        /// The directory.
        dir: PathBuf,
    },
    /// Another process is making a log there.
    #[error("`{dir}` is in use by another process", dir = dir.display())]
    Busy {
        /// The directory.
        dir: PathBuf,
    },
    /// The origin cannot name a key, or no key could be made.
    #[error("origin `{origin}` cannot name a log key: {source}")]
    Key {
        /// The origin.
        origin: String,
        /// Why.
        source: SignerError,
    },
    /// The origin cannot be written into `log.toml`.
    #[error("`log.toml` cannot be written: {0}")]
    Toml(#[from] toml::ser::Error),
    /// An operation failed; what was made so far is taken away by the next creation there.
    #[error(transparent)]
    Io(#[from] IoFailure),
}

/// Makes a log in `dir`, which must not exist or be empty, with its memory at [`default_memory`]; answers its verification key.
///
/// # Errors
/// See [`CreateError`]; a log that was not made is never opened.
pub fn create(dir: &Path, origin: &str, now_ms: u64) -> Result<VerifierKey, CreateError> {
    Creation::begin(dir, origin, now_ms)?.finish()
}

/// As [`create`], on any storage, with the memory at `memory`.
///
/// # Errors
/// As [`create`].
pub fn create_in(
    storage: Arc<dyn Storage>,
    dir: &Path,
    memory: &Path,
    origin: &str,
    now_ms: u64,
) -> Result<VerifierKey, CreateError> {
    Creation::begin_in(storage, dir, memory, origin, now_ms)?.finish()
}

/// A log that is all there but for its name: it cannot be opened, and the next creation takes it away.
#[derive(Debug)]
#[must_use = "a creation that is neither finished nor abandoned leaves an unfinished directory"]
pub struct Creation {
    files: Files,
    layout: Layout,
    memory: PathBuf,
    key: VerifierKey,
    /// The directory was not there before.
    made_dir: bool,
    lock: Box<dyn LockGuard>,
}

impl Creation {
    /// Makes all of a log but its name in `dir`, which must not exist, be empty or hold an unfinished creation.
    ///
    /// # Errors
    /// See [`CreateError`].
    pub fn begin(dir: &Path, origin: &str, now_ms: u64) -> Result<Self, CreateError> {
        Self::begin_in(Arc::new(Disk), dir, &default_memory(dir), origin, now_ms)
    }

    fn begin_in(
        storage: Arc<dyn Storage>,
        dir: &Path,
        memory: &Path,
        origin: &str,
        now_ms: u64,
    ) -> Result<Self, CreateError> {
        let files = Files(storage);
        let layout = Layout::new(dir);
        let signer =
            Signer::generate(origin).map_err(|source| CreateError::Key { origin: origin.to_owned(), source })?;
        let identity = Identity::new(signer.verifier_key().clone(), now_ms);
        let made_dir = !files.exists(dir)?;
        if made_dir {
            if files.exists(memory)? {
                return Err(CreateError::MemoryExists { file: memory.to_owned() });
            }
            files.create_dir(dir, false)?;
        }
        // Only of a directory that is there can be said where it is.
        if files.inside(memory, dir)? {
            if made_dir {
                files.remove_dir(dir)?;
            }
            return Err(CreateError::MemoryInside { file: memory.to_owned(), dir: dir.to_owned() });
        }
        let lock = take(&files, &layout, memory)?;
        if files.exists(memory)? {
            return Err(CreateError::MemoryExists { file: memory.to_owned() });
        }
        // Before everything else: whatever stands beside it from here on is known to be unfinished.
        files.write_new(&layout.unfinished(), Mode::New, identity.to_toml()?.as_bytes())?;
        files.sync_dir(dir)?;
        sync_parent(&files, dir)?;

        files.create_dir(&layout.keys(), true)?;
        // What is private is for the owner alone; the rest is public anyway.
        files.create_dir(&layout.vault(), true)?;
        for sub in [layout.journal(), layout.tree(), layout.index()] {
            files.create_dir(&sub, false)?;
        }
        files.write_new(&layout.log_key(), Mode::NewSecret, format!("{}\n", signer.skey().as_str()).as_bytes())?;
        Segments::new(&files, &layout.journal(), SegmentKind::Journal, identity.id).create(0)?;
        Segments::new(&files, &layout.vault(), SegmentKind::Vault, identity.id).create(0)?;
        let derived = Derived::fresh(&files, &layout, &identity.id)?;
        Mark { size: 0, frames: 0 }.set(&files, &layout, &identity.id, &derived.tree.levels, &derived.rows)?;
        let head = Head::sign(&signer, 0, EMPTY_ROOT, now_ms);
        Memory::create(&files, memory, identity.id)?.remember(&Remembered::of(&head))?;
        sync_parent(&files, memory)?;
        Ok(Self { files, layout, memory: memory.to_owned(), key: identity.key, made_dir, lock })
    }

    /// The log's verification key.
    pub fn verifier_key(&self) -> &VerifierKey {
        &self.key
    }

    /// Gives the log its name.
    ///
    /// # Errors
    /// [`CreateError::Io`]; there is no log then.
    pub fn finish(self) -> Result<VerifierKey, CreateError> {
        self.files.sync_dir(&self.layout.keys())?;
        self.files.sync_dir(&self.layout.dir)?;
        // If we crash before this, there is no log: opening says so, creating again begins anew. After it, everything is there.
        self.files.rename(&self.layout.unfinished(), &self.layout.log_toml())?;
        self.files.sync_dir(&self.layout.dir)?;
        Ok(self.key)
    }

    /// Takes everything away again.
    ///
    /// # Errors
    /// [`CreateError::Io`]; the next creation there does the rest.
    pub fn abandon(self) -> Result<(), CreateError> {
        clear(&self.files, &self.layout, &self.memory)?;
        drop(self.lock);
        self.files.remove(&self.layout.lock())?;
        if self.made_dir {
            self.files.remove_dir(&self.layout.dir)?;
            sync_parent(&self.files, &self.layout.dir)?;
        }
        Ok(())
    }
}

/// Locks a directory for a creation; what an unfinished one left there is gone afterwards.
fn take(files: &Files, layout: &Layout, memory: &Path) -> Result<Box<dyn LockGuard>, CreateError> {
    let not_empty = || CreateError::NotEmpty { dir: layout.dir.clone() };
    let ours = ["journal", "keys", "index", "lock", "log.toml.new", "tree", "vault"];
    let foreign = |names: &[String]| {
        let nothing = names.iter().all(|name| name == "lock");
        let unfinished =
            names.iter().any(|name| name == "log.toml.new") && names.iter().all(|name| ours.contains(&name.as_str()));
        !nothing && !unfinished
    };
    if foreign(&files.list(&layout.dir)?) {
        return Err(not_empty());
    }
    let Some(lock) = files.lock(&layout.lock())? else { return Err(CreateError::Busy { dir: layout.dir.clone() }) };
    // Whoever had the lock may have finished.
    if foreign(&files.list(&layout.dir)?) {
        return Err(not_empty());
    }
    if files.exists(&layout.unfinished())? {
        clear(files, layout, memory)?;
    }
    Ok(lock)
}

/// Removes what an unfinished creation made, its `log.toml.new` last.
fn clear(files: &Files, layout: &Layout, memory: &Path) -> Result<(), IoFailure> {
    let identity = Identity::from_toml(&files.read(&layout.unfinished(), SMALL_FILE)?);
    // Unreadable, it was cut short before anything else was made.
    if let Ok(identity) = identity
        && files.exists(memory)?
    {
        let ours = match Memory::peek(files, memory, identity.id) {
            Ok(found) => found.is_some(),
            Err(MemoryError::Damaged { .. }) => Memory::is_blank(files, memory)?,
            Err(MemoryError::OtherLog { .. }) => false,
            Err(MemoryError::Io(failure)) => return Err(failure),
        };
        if ours {
            files.remove(memory)?;
            sync_parent(files, memory)?;
        }
    }
    for dir in [layout.keys(), layout.vault(), layout.journal(), layout.tree(), layout.index()] {
        if files.exists(&dir)? {
            for name in files.list(&dir)? {
                files.remove(&dir.join(name))?;
            }
            files.remove_dir(&dir)?;
        }
    }
    files.sync_dir(&layout.dir)?;
    files.remove(&layout.unfinished())?;
    files.sync_dir(&layout.dir)
}

/// Makes a name durable in the directory that holds it.
pub(crate) fn sync_parent(files: &Files, path: &Path) -> Result<(), IoFailure> {
    match path.parent() {
        Some(parent) if parent.as_os_str().is_empty() => files.sync_dir(Path::new(".")),
        Some(parent) => files.sync_dir(parent),
        None => Ok(()),
    }
}
