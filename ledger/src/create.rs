//! Makes a new log.
//!
//! Guarantees: nothing that exists is overwritten: neither a directory with anything in it, nor a memory. `log.toml` comes last, so a
//! creation that was interrupted is not a log and says so when it is opened. The signing key is made with mode 0600 in a directory of
//! mode 0700, and so is the vault's.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use verifier::hash::EMPTY_ROOT;
use verifier::note::VerifierKey;

use crate::derived::{Derived, Mark};
use crate::head::Head;
use crate::layout::{Identity, Layout, SegmentKind, default_memory};
use crate::memory::{Memory, Remembered};
use crate::segments::Segments;
use crate::signer::{Signer, SignerError};
use crate::storage::disk::Disk;
use crate::storage::{Files, IoFailure, Mode, Storage};

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
    /// An operation failed; what was made so far stays.
    #[error(transparent)]
    Io(#[from] IoFailure),
}

/// Makes a log in `dir`, which must not exist or be empty, with its memory at [`default_memory`]; answers its verification key.
///
/// # Errors
/// See [`CreateError`]; a log that was not made is never opened.
pub fn create(dir: &Path, origin: &str, now_ms: u64) -> Result<VerifierKey, CreateError> {
    create_in(Arc::new(Disk), dir, &default_memory(dir), origin, now_ms)
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
    let files = Files(storage);
    let layout = Layout::new(dir);
    let signer = Signer::generate(origin).map_err(|source| CreateError::Key { origin: origin.to_owned(), source })?;
    let identity = Identity::new(signer.verifier_key().clone(), now_ms);
    if files.exists(dir)? {
        if !files.list(dir)?.is_empty() {
            return Err(CreateError::NotEmpty { dir: dir.to_owned() });
        }
    } else {
        files.create_dir(dir, false)?;
    }
    if files.exists(memory)? {
        return Err(CreateError::MemoryExists { file: memory.to_owned() });
    }
    files.create_dir(&layout.keys(), true)?;
    // What is private is for the owner alone; the rest is public anyway.
    files.create_dir(&layout.vault(), true)?;
    for sub in [layout.journal(), layout.tree(), layout.index()] {
        files.create_dir(&sub, false)?;
    }
    files.write_new(&layout.log_key(), Mode::NewSecret, format!("{}\n", signer.skey().as_str()).as_bytes())?;
    files.sync_dir(&layout.keys())?;
    Segments::new(&files, &layout.journal(), SegmentKind::Journal, identity.id).create(0)?;
    Segments::new(&files, &layout.vault(), SegmentKind::Vault, identity.id).create(0)?;
    let derived = Derived::fresh(&files, &layout)?;
    Mark { size: 0, frames: 0 }.set(&files, &layout, &identity.id, &derived.levels, &derived.rows)?;

    let head = Head::sign(&signer, 0, EMPTY_ROOT, now_ms);
    Memory::create(&files, memory, identity.id)?.remember(&Remembered::of(&head))?;
    sync_parent(&files, memory)?;

    let fresh = dir.join("log.toml.new");
    files.write_new(&fresh, Mode::New, identity.to_toml()?.as_bytes())?;
    files.sync_dir(dir)?;
    sync_parent(&files, dir)?;
    // If we crash before this, there is no log: opening says so, creating again asks for an empty directory. After it, everything is there.
    files.rename(&fresh, &layout.log_toml())?;
    files.sync_dir(dir)?;
    Ok(identity.key)
}

/// Makes a name durable in the directory that holds it.
pub(crate) fn sync_parent(files: &Files, path: &Path) -> Result<(), IoFailure> {
    match path.parent() {
        Some(parent) if parent.as_os_str().is_empty() => files.sync_dir(Path::new(".")),
        Some(parent) => files.sync_dir(parent),
        None => Ok(()),
    }
}
