//! Opens a log: takes the lock, reads who it is, and hands what is not yet believed to `recover.rs`.
//!
//! Guarantees: a directory that is missing, empty or foreign never becomes a log; a key that others may read, or that is not this log's, is
//! never used; a second writer is refused. Does not: judge what the journal holds.

use std::path::PathBuf;
use std::sync::Arc;

use crate::batch::BatchError;
use crate::keys::RUN;
use crate::layout::{Identity, Layout, SEGMENT_BYTES, SMALL_FILE, SegmentKind, default_memory};
use crate::ledger::Ledger;
use crate::memory::{Memory, MemoryError};
use crate::reader::{ReadError, Reader};
use crate::recover::Unrecovered;
use crate::rows::RowError;
use crate::sealed::{Damage, SegmentError};
use crate::segments::Segments;
use crate::signer::{Signer, SignerError};
use crate::storage::disk::Disk;
use crate::storage::{Files, IoFailure, Storage};

/// How a log is opened.
#[derive(Clone, Debug)]
pub struct Options {
    /// The log's directory.
    pub dir: PathBuf,
    /// Where its head is remembered; [`default_memory`] if not given.
    pub memory: Option<PathBuf>,
    /// The operator's word that the memory is lost for good. It is recorded in the log. Without it a missing or damaged memory is refused.
    pub accept_memory_loss: bool,
    /// Bytes after which journal and vault go on in a new segment; [`SEGMENT_BYTES`] but where many segments are to be seen.
    pub segment_bytes: u64,
    /// Full segments of the journal are sealed in the background; without, only by [`Ledger::seal`].
    pub seal: bool,
}

impl Options {
    /// The log in `dir`, with its memory at the default place.
    pub fn new(dir: impl Into<PathBuf>) -> Self {
        Self { dir: dir.into(), memory: None, accept_memory_loss: false, segment_bytes: SEGMENT_BYTES, seal: true }
    }
}

/// Why a log was not opened. Nothing below the remembered head was changed.
#[derive(Debug, thiserror::Error)]
#[expect(missing_docs, reason = "each field is what its message says it is")]
pub enum OpenError {
    /// Missing, empty or foreign directory; opening never makes a log.
    #[error("`{dir}` is not a log: it has no `log.toml`", dir = dir.display())]
    NotALog { dir: PathBuf },
    /// `log.toml` is not ours.
    #[error("`{file}` does not describe a log: {why}", file = file.display())]
    Malformed { file: PathBuf, why: String },
    /// Somebody else is writing.
    #[error("`{dir}` is in use by another process", dir = dir.display())]
    Locked { dir: PathBuf },
    /// Somebody else writes a log with this memory: a copy of the directory, or the same one although its lock was removed.
    #[error("`{file}` is in use by another process, which writes this log", file = file.display())]
    MemoryLocked { file: PathBuf },
    /// Others may read the signing key.
    #[error("`{file}` has mode {mode:o}: the signing key must be readable by its owner alone (chmod 600)", file = file.display())]
    KeyExposed { file: PathBuf, mode: u32 },
    /// No signing key: the directory is an archive, or its key is kept elsewhere.
    #[error("`{file}` is missing: without the log's key a directory can only be read (`serve --read-only`)", file = file.display())]
    NoKey { file: PathBuf },
    /// A directory to be read that has neither a memory nor the head of an archive.
    #[error("neither `{memory}` nor `{head}` has a signed head: what of the log was published cannot be told", memory = memory.display(), head = head.display())]
    NoHead { memory: PathBuf, head: PathBuf },
    /// A head that is not signed by the key that `log.toml` names.
    #[error("the head in `{file}` is not signed by the key that `log.toml` names", file = file.display())]
    HeadUnsigned { file: PathBuf },
    /// A self-audit found stored entries that are not what was signed, and nobody has looked into it since.
    #[error("`{file}` says what a self-audit found wrong with stored entries: nothing is decided on this log until that is mended, `interlock audit` finds it whole, and the file is removed", file = file.display())]
    Unsound { file: PathBuf },
    /// The signing key cannot be used.
    #[error("`{file}` holds no usable signing key: {source}", file = file.display())]
    Key { file: PathBuf, source: SignerError },
    /// The signing key is not that of this log.
    #[error("`{file}` holds another key than `log.toml` names", file = file.display())]
    ForeignKey { file: PathBuf },
    /// No memory.
    #[error("`{file}` is missing: without the remembered head a rolled-back log cannot be told from a whole one (restore it, or accept its loss, which is recorded)", file = file.display())]
    MemoryMissing { file: PathBuf },
    /// A memory without a whole slot.
    #[error("`{file}` is damaged and remembers no head (restore it, or accept its loss, which is recorded)", file = file.display())]
    MemoryDamaged { file: PathBuf },
    /// One slot of the memory is damaged, and the frame that would explain it as a torn write is not there.
    #[error("one of the two slots of `{file}` is damaged and no whole frame stands above the head of size {remembered} in the other: what was published above it may be lost (restore memory or log, or accept the memory's loss, which is recorded)", file = file.display())]
    MemorySlotDamaged { file: PathBuf, remembered: u64 },
    /// A memory that would be lost, copied and rolled back together with what it guards.
    #[error("`{file}` lies inside `{dir}`: whoever copies the directory back would copy the memory with it", file = file.display(), dir = dir.display())]
    MemoryInside { file: PathBuf, dir: PathBuf },
    /// The memory of another log.
    #[error("`{file}` remembers the head of another log", file = file.display())]
    MemoryOfAnotherLog { file: PathBuf },
    /// The directory is older than what was published.
    #[error("`{file}` remembers a head of size {remembered}, but the log ends at {size}: it is an older copy or has lost entries, and would fork if it went on", file = file.display())]
    MemoryAhead { file: PathBuf, remembered: u64, size: u64 },
    /// An older memory beside what was certainly published: sealed segments, or the mark in a log whose last writer met an I/O error.
    #[error("`{file}` remembers a head of size {remembered}, but at least {published} entries were published: it is an older copy (restore the newer one, or remove it and accept its loss, which is recorded)", file = file.display())]
    MemoryBehind { file: PathBuf, remembered: u64, published: u64 },
    /// The directory holds another history than what was published.
    #[error("`{file}` remembers a head of size {size} with another root: this directory is a fork of the published log", file = file.display())]
    MemoryBeside { file: PathBuf, size: u64 },
    /// Damage below the remembered head.
    #[error("`{file}` is broken at offset {offset}, in the frame of entry {index}, which was published: {why}", file = file.display())]
    BrokenFrame { file: PathBuf, offset: u64, index: u64, why: &'static str },
    /// Damage below the remembered head.
    #[error("`{file}` is broken at offset {offset}: the private parts of entry {index} and its neighbours are damaged", file = file.display())]
    BrokenVault { file: PathBuf, offset: u64, index: u64 },
    /// A derived file that cannot be read although it was just made.
    #[error("`{file}` is damaged; remove it and open again", file = file.display())]
    Derived { file: PathBuf },
    /// The memory of a frozen log is lost: its loss cannot be recorded, since nothing is appended to such a log.
    #[error("`{dir}` is frozen, so the loss of its memory cannot be recorded in it; it can be opened for reading only", dir = dir.display())]
    FrozenWithoutMemory { dir: PathBuf },
    /// The loss of the memory could not be recorded.
    #[error("the loss of the memory could not be recorded: {0}")]
    Unrecorded(#[from] BatchError),
    /// A published entry cannot be read or is no record.
    #[error(transparent)]
    Entry(ReadError),
    /// The disk failed.
    #[error(transparent)]
    Io(#[from] IoFailure),
}

impl From<ReadError> for OpenError {
    fn from(error: ReadError) -> Self {
        match error {
            ReadError::Io(failure) => Self::Io(failure),
            other => Self::Entry(other),
        }
    }
}

impl From<SegmentError> for OpenError {
    fn from(error: SegmentError) -> Self {
        match error {
            SegmentError::Io(failure) => Self::Io(failure),
            SegmentError::Damaged(Damage { file, index, why }) => Self::BrokenFrame { file, offset: 0, index, why },
        }
    }
}

impl From<RowError> for OpenError {
    fn from(error: RowError) -> Self {
        match error {
            RowError::Io(failure) => Self::Io(failure),
            RowError::Damaged { file, .. } => Self::Derived { file },
        }
    }
}

impl Ledger {
    /// Opens a log for writing and recovers what the last writer left.
    ///
    /// # Errors
    /// See [`OpenError`]; when in doubt it refuses.
    pub fn open(options: Options, now_ms: u64) -> Result<(Ledger, Reader), OpenError> {
        Self::open_in(Arc::new(Disk), options, now_ms)
    }

    /// As [`Ledger::open`], on any storage.
    ///
    /// # Errors
    /// As [`Ledger::open`].
    pub fn open_in(storage: Arc<dyn Storage>, options: Options, now_ms: u64) -> Result<(Ledger, Reader), OpenError> {
        look(Files(storage), options)?.recover(now_ms)
    }
}

/// Locks and identifies a log.
pub(crate) fn look(files: Files, options: Options) -> Result<Unrecovered, OpenError> {
    let layout = Layout::new(&options.dir);
    if !files.exists(&layout.log_toml())? {
        return Err(OpenError::NotALog { dir: options.dir });
    }
    let Some(lock) = files.lock(&layout.lock())? else { return Err(OpenError::Locked { dir: options.dir }) };
    if files.exists(&layout.unsound())? {
        return Err(OpenError::Unsound { file: layout.unsound() });
    }
    let identity = read_identity(&files, &layout)?;
    let signer = read_signer(&files, &layout, &identity)?;
    let memory_path = options.memory.unwrap_or_else(|| default_memory(&options.dir));
    if files.inside(&memory_path, &options.dir)? {
        return Err(OpenError::MemoryInside { file: memory_path, dir: options.dir });
    }
    // Two copies of a directory that share one memory would both sign: whoever has the memory is the one writer.
    let memory_lock = match files.exists(&memory_path)? {
        true => Some(files.lock(&memory_path)?.ok_or_else(|| OpenError::MemoryLocked { file: memory_path.clone() })?),
        false => None,
    };
    let memory = match Memory::open(&files, &memory_path, identity.id) {
        Ok(Some(memory)) => Some(memory),
        Ok(None) if options.accept_memory_loss => None,
        Err(MemoryError::Damaged { .. }) if options.accept_memory_loss => None,
        Ok(None) => return Err(OpenError::MemoryMissing { file: memory_path }),
        Err(MemoryError::Damaged { file }) => return Err(OpenError::MemoryDamaged { file }),
        Err(MemoryError::OtherLog { file }) => return Err(OpenError::MemoryOfAnotherLog { file }),
        Err(MemoryError::Io(failure)) => return Err(failure.into()),
    };
    let journal = Segments::new(&files, &layout.journal(), SegmentKind::Journal, identity.id);
    let vault = Segments::new(&files, &layout.vault(), SegmentKind::Vault, identity.id);
    let segment_bytes = options.segment_bytes;
    let accept_memory_loss = options.accept_memory_loss;
    Ok(Unrecovered {
        segment_bytes,
        seal: options.seal,
        run: RUN,
        files,
        layout,
        lock,
        memory_lock,
        identity,
        signer,
        memory_path,
        memory,
        accept_memory_loss,
        journal,
        vault,
    })
}

pub(crate) fn read_identity(files: &Files, layout: &Layout) -> Result<Identity, OpenError> {
    let file = layout.log_toml();
    let bytes = files.read(&file, SMALL_FILE)?;
    Identity::from_toml(&bytes).map_err(|why| OpenError::Malformed { file, why })
}

pub(crate) fn read_signer(files: &Files, layout: &Layout, identity: &Identity) -> Result<Signer, OpenError> {
    let file = layout.log_key();
    if !files.exists(&file)? {
        return Err(OpenError::NoKey { file });
    }
    let mode = files.permissions(&file)?;
    if mode & 0o077 != 0 {
        return Err(OpenError::KeyExposed { file, mode });
    }
    let text = zeroize::Zeroizing::new(files.read(&file, SMALL_FILE)?);
    let malformed = |_| OpenError::Key { file: file.clone(), source: SignerError::Malformed };
    let text = str::from_utf8(&text).map_err(malformed)?;
    let signer = Signer::from_skey(text).map_err(|source| OpenError::Key { file: file.clone(), source })?;
    if *signer.verifier_key() != identity.key {
        return Err(OpenError::ForeignKey { file });
    }
    Ok(signer)
}
