//! Taking a log elsewhere: [`export`] into one file, [`import`] out of it, [`backup`] into another directory.
//!
//! What is taken is what the last signed head covers, and nothing above it; `source.rs` says what that is, `container.rs` how it stands in a
//! file, `arrival.rs` how a directory is made of it. All three work beside a running server: what is published does not change.
//!
//! Guarantees: a directory that is made has the same tree, byte for byte, under the same head; it is held against the head before anybody
//! can open it, and nothing of it remains where it does not hold. The signing key is never taken by an export. Whoever has the directory
//! and not the key has an archive: it can be read and served, and signs and appends nothing.
//! Does not: take private parts unless told to, nor API keys, nor the memory: a copy that remembered a head of its own could be opened as
//! the log and fork it.

mod arrival;
mod container;
mod source;

use std::io::{Read, Write};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use verifier::hash::Hash;
use verifier::note::VerifierKey;

use crate::check::Report;
use crate::open::OpenError;
use crate::storage::disk::Disk;
use crate::storage::{Files, IoFailure, Storage};

use arrival::Arrival;
use container::Writer;
use source::Source;

pub use container::Malformed;
#[cfg(test)]
pub(crate) use container::sample;

/// Bytes that are copied at once.
const CHUNK: usize = 1 << 20;

/// What was taken.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Transferred {
    /// The log's name.
    pub origin: String,
    /// The log's verification key, as the log states it.
    pub verification_key: String,
    /// Size of the log under the head that was taken.
    pub size: u64,
    /// Root at that size.
    pub root: Hash,
    /// The head, a signed note.
    pub checkpoint: String,
    /// Whether private parts were taken.
    pub private_parts: bool,
}

/// Why nothing was taken. Where a directory was to be made, nothing of it remains.
#[derive(Debug, thiserror::Error)]
pub enum TransferError {
    /// The source cannot be identified or has no signed head, or what arrived does not hold.
    #[error(transparent)]
    Log(#[from] OpenError),
    /// The directory that was to be made has something in it.
    #[error("`{dir}` is not empty", dir = dir.display())]
    NotEmpty {
        /// The directory.
        dir: PathBuf,
    },
    /// The source does not hold what its head covers.
    #[error("the log is damaged below its head: {what}")]
    Damaged {
        /// What is wrong, with its place.
        what: String,
    },
    /// The file is not an export of ours, or not all of it.
    #[error("not a whole export: {0}")]
    Malformed(#[from] Malformed),
    /// The log has another key than the one that was demanded.
    #[error("the log's key is `{found}`, not the one that was given")]
    OtherKey {
        /// The key that the log states.
        found: String,
    },
    /// What arrived holds together as files and not as a log.
    #[error("what arrived does not hold: {first} ({count} problems)")]
    DoesNotHold {
        /// The first problem.
        first: String,
        /// How many there are.
        count: u64,
    },
    /// The stream to write to or read from failed.
    #[error("the file cannot be read or written: {0}")]
    Stream(#[source] std::io::Error),
    /// The disk failed.
    #[error(transparent)]
    Io(#[from] IoFailure),
}

/// What takes members one after the other: a file of them, or a directory that is made.
trait Sink {
    /// A member of exactly `len` bytes begins.
    fn begin(&mut self, name: &str, len: u64) -> Result<(), TransferError>;
    /// The next bytes of it.
    fn write(&mut self, bytes: &[u8]) -> Result<(), TransferError>;
    /// All of it was written.
    fn end(&mut self) -> Result<(), TransferError>;
}

/// Writes the log in `dir`, as its last signed head covers it, into one file; private parts only with `private_parts`.
///
/// # Errors
/// [`TransferError`]; what was written until then is not an export, and [`import`] refuses it.
pub fn export(
    dir: &Path,
    memory: Option<&Path>,
    private_parts: bool,
    out: &mut dyn Write,
) -> Result<Transferred, TransferError> {
    export_in(Arc::new(Disk), dir, memory, private_parts, out)
}

/// As [`export`], on any storage.
///
/// # Errors
/// As [`export`].
pub fn export_in(
    storage: Arc<dyn Storage>,
    dir: &Path,
    memory: Option<&Path>,
    private_parts: bool,
    out: &mut dyn Write,
) -> Result<Transferred, TransferError> {
    let source = Source::look(Files(storage), dir, memory)?;
    let mut writer = Writer::new(out)?;
    let taken = source.copy(private_parts, &mut writer)?;
    writer.finish()?;
    Ok(taken)
}

/// Makes `dir`, which must not exist, be empty or hold an import that was cut short, of an export. `key` is the log's key where the reader
/// has it from elsewhere; without one the file vouches for itself.
///
/// # Errors
/// [`TransferError`]; nothing of the directory remains.
pub fn import(input: &mut dyn Read, dir: &Path, key: Option<&VerifierKey>) -> Result<Transferred, TransferError> {
    import_in(Arc::new(Disk), input, dir, key)
}

/// As [`import`], on any storage.
///
/// # Errors
/// As [`import`].
pub fn import_in(
    storage: Arc<dyn Storage>,
    input: &mut dyn Read,
    dir: &Path,
    key: Option<&VerifierKey>,
) -> Result<Transferred, TransferError> {
    let mut arrival = Arrival::begin(Files(storage), dir, key.cloned())?;
    let arrived = container::read(input, &mut arrival).and_then(|()| arrival.finish(&[]));
    arrived.map_err(|error| arrival.undo(error))
}

/// Makes `target`, which must not exist, be empty or hold a backup that was cut short, a copy of the log in `dir` as its last signed head covers it, private parts included.
/// With `keys` it has the log's keys too, and becomes the log again once it has a memory: the real one, if that survived.
///
/// # Errors
/// [`TransferError`]; nothing of the target remains.
pub fn backup(dir: &Path, memory: Option<&Path>, target: &Path, keys: bool) -> Result<Transferred, TransferError> {
    backup_in(Arc::new(Disk), dir, memory, target, keys)
}

/// As [`backup`], on any storage.
///
/// # Errors
/// As [`backup`].
pub fn backup_in(
    storage: Arc<dyn Storage>,
    dir: &Path,
    memory: Option<&Path>,
    target: &Path,
    keys: bool,
) -> Result<Transferred, TransferError> {
    let files = Files(storage);
    let source = Source::look(files.clone(), dir, memory)?;
    let mut arrival = Arrival::begin(files, target, None)?;
    let copied = source.copy(true, &mut arrival);
    let secrets = if keys { source.keys() } else { Ok(Vec::new()) };
    let arrived = copied.and_then(|_| arrival.finish(&secrets?));
    arrived.map_err(|error| arrival.undo(error))
}

/// Refuses what a check found fault with.
fn clean(report: &Report) -> Result<(), TransferError> {
    let Some(first) = report.problems.first() else { return Ok(()) };
    let index = first.index.map_or_else(String::new, |index| format!(", entry {index}"));
    let first = format!("{}{index}: {}", first.file.display(), first.what);
    Err(TransferError::DoesNotHold { first, count: report.problem_count })
}
