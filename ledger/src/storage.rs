//! The one seam between the ledger and a disk.
//!
//! Why: a log earns trust by what it does when a disk fails, and that can only be shown on a disk that fails on command. Every read,
//! write, sync, rename, truncation, removal and directory change of this crate goes through [`Storage`]; [`disk`] is the real one,
//! [`ram`] remembers what was synced and what was not, and can fail, hang or "kill" at any chosen operation.
//!
//! Guarantees: an error that leaves this module names the file and what was being done to it.
//! Does not: retry. A failed write or sync is reported once and the caller poisons itself (DESIGN §2.7).

use std::fmt;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

pub mod disk;
pub mod ram;

/// How a file is opened.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mode {
    /// It must exist; it is only read.
    Read,
    /// It is read and written, and created when it is missing.
    Write,
    /// It is written and must not exist yet; readable and writable by everyone the umask allows.
    New,
    /// As [`Mode::New`], for the owner alone (0600).
    NewSecret,
}

/// A place where files live.
pub trait Storage: fmt::Debug + Send + Sync + 'static {
    /// Opens a file. `mapped` asks for reads through a memory map.
    fn open(&self, path: &Path, mode: Mode, mapped: bool) -> io::Result<Arc<dyn Stored>>;
    /// The names in a directory, in no particular order.
    fn list(&self, dir: &Path) -> io::Result<Vec<String>>;
    /// Makes one directory, for the owner alone when `secret` (0700). It must not exist.
    fn create_dir(&self, dir: &Path, secret: bool) -> io::Result<()>;
    /// Puts `from` in the place of `to`, atomically.
    fn rename(&self, from: &Path, to: &Path) -> io::Result<()>;
    /// Removes a file.
    fn remove(&self, path: &Path) -> io::Result<()>;
    /// Removes an empty directory.
    fn remove_dir(&self, dir: &Path) -> io::Result<()>;
    /// Makes the names in a directory durable.
    fn sync_dir(&self, dir: &Path) -> io::Result<()>;
    /// True if a file or directory of this name exists.
    fn exists(&self, path: &Path) -> io::Result<bool>;
    /// A path that exists, without symbolic links and `..`.
    fn real(&self, path: &Path) -> io::Result<PathBuf>;
    /// The permission bits of a file (`0o600` …).
    fn permissions(&self, path: &Path) -> io::Result<u32>;
    /// Takes the exclusive lock on a file (created when missing) until the guard is dropped; `None` if somebody else holds it.
    fn lock(&self, path: &Path) -> io::Result<Option<Box<dyn LockGuard>>>;
}

/// An open file. Positions and lengths are in bytes.
///
/// Contract for reads through a map: what was written through *this* handle is readable through it, and nothing is truncated
/// below a position that a reader may still ask for.
#[expect(clippy::len_without_is_empty, reason = "a file's length is a size on disk; emptiness is of no interest here")]
pub trait Stored: fmt::Debug + Send + Sync {
    /// The present length.
    fn len(&self) -> io::Result<u64>;
    /// Fills `buffer` from `offset`; `UnexpectedEof` when the file is shorter.
    fn read_at(&self, offset: u64, buffer: &mut [u8]) -> io::Result<()>;
    /// Writes all of `bytes` at `offset`.
    fn write_at(&self, offset: u64, bytes: &[u8]) -> io::Result<()>;
    /// Cuts or extends (with zeros) to `len`.
    fn truncate(&self, len: u64) -> io::Result<()>;
    /// Makes content and length durable (fdatasync).
    fn sync(&self) -> io::Result<()>;
}

/// Holds a lock for as long as it lives.
pub trait LockGuard: fmt::Debug + Send + Sync {}

/// An I/O error with its file.
#[derive(Debug, thiserror::Error)]
#[error("could not {doing} `{file}`: {source}", file = file.display())]
pub struct IoFailure {
    /// What was tried: `read`, `write`, `sync` …
    pub doing: &'static str,
    /// The file or directory.
    pub file: PathBuf,
    /// What the system said.
    pub source: io::Error,
}

impl IoFailure {
    pub(crate) fn new(doing: &'static str, file: &Path, source: io::Error) -> Self {
        Self { doing, file: file.to_owned(), source }
    }
}

/// A [`Storage`] whose errors name their file.
#[derive(Clone, Debug)]
pub(crate) struct Files(pub(crate) Arc<dyn Storage>);

impl Files {
    pub(crate) fn open(&self, path: &Path, mode: Mode) -> Result<File, IoFailure> {
        self.open_as(path, mode, false)
    }

    pub(crate) fn open_mapped(&self, path: &Path, mode: Mode) -> Result<File, IoFailure> {
        self.open_as(path, mode, true)
    }

    fn open_as(&self, path: &Path, mode: Mode, mapped: bool) -> Result<File, IoFailure> {
        let doing = if matches!(mode, Mode::New | Mode::NewSecret) { "create" } else { "open" };
        let stored = self.0.open(path, mode, mapped).map_err(|e| IoFailure::new(doing, path, e))?;
        Ok(File { path: path.to_owned(), stored })
    }

    /// The whole of a small file; longer than `limit` bytes is an error.
    pub(crate) fn read(&self, path: &Path, limit: u64) -> Result<Vec<u8>, IoFailure> {
        let file = self.open(path, Mode::Read)?;
        let len = file.len()?;
        if len > limit {
            let source =
                io::Error::new(io::ErrorKind::FileTooLarge, format!("{len} bytes where {limit} are the limit"));
            return Err(IoFailure::new("read", path, source));
        }
        file.read_vec(0, usize::try_from(len).unwrap_or(usize::MAX))
    }

    /// Writes a new file whole and syncs it, not its directory.
    pub(crate) fn write_new(&self, path: &Path, mode: Mode, bytes: &[u8]) -> Result<(), IoFailure> {
        let file = self.open(path, mode)?;
        file.write_at(0, bytes)?;
        file.sync()
    }

    pub(crate) fn list(&self, dir: &Path) -> Result<Vec<String>, IoFailure> {
        let mut names = self.0.list(dir).map_err(|e| IoFailure::new("list", dir, e))?;
        names.sort_unstable();
        Ok(names)
    }

    pub(crate) fn create_dir(&self, dir: &Path, secret: bool) -> Result<(), IoFailure> {
        self.0.create_dir(dir, secret).map_err(|e| IoFailure::new("create directory", dir, e))
    }

    pub(crate) fn rename(&self, from: &Path, to: &Path) -> Result<(), IoFailure> {
        self.0.rename(from, to).map_err(|e| IoFailure::new("rename", from, e))
    }

    pub(crate) fn remove(&self, path: &Path) -> Result<(), IoFailure> {
        self.0.remove(path).map_err(|e| IoFailure::new("remove", path, e))
    }

    pub(crate) fn sync_dir(&self, dir: &Path) -> Result<(), IoFailure> {
        self.0.sync_dir(dir).map_err(|e| IoFailure::new("sync directory", dir, e))
    }

    pub(crate) fn exists(&self, path: &Path) -> Result<bool, IoFailure> {
        self.0.exists(path).map_err(|e| IoFailure::new("look for", path, e))
    }

    /// Whether `path`, which need not exist, lies inside `dir`, whatever links lead there.
    pub(crate) fn inside(&self, path: &Path, dir: &Path) -> Result<bool, IoFailure> {
        Ok(self.located(path)?.starts_with(self.located(dir)?))
    }

    /// The real place of a path of which the end need not exist.
    fn located(&self, path: &Path) -> Result<PathBuf, IoFailure> {
        let looked = |at: &Path| self.0.real(at).map_err(|e| IoFailure::new("look for", path, e));
        if self.exists(path)? {
            return looked(path);
        }
        match (path.parent(), path.file_name()) {
            (Some(parent), Some(name)) if parent.as_os_str().is_empty() => Ok(looked(Path::new("."))?.join(name)),
            (Some(parent), Some(name)) => Ok(self.located(parent)?.join(name)),
            (None | Some(_), _) => Ok(path.to_owned()),
        }
    }

    pub(crate) fn remove_dir(&self, dir: &Path) -> Result<(), IoFailure> {
        self.0.remove_dir(dir).map_err(|e| IoFailure::new("remove directory", dir, e))
    }

    pub(crate) fn permissions(&self, path: &Path) -> Result<u32, IoFailure> {
        self.0.permissions(path).map_err(|e| IoFailure::new("read permissions of", path, e))
    }

    pub(crate) fn lock(&self, path: &Path) -> Result<Option<Box<dyn LockGuard>>, IoFailure> {
        self.0.lock(path).map_err(|e| IoFailure::new("lock", path, e))
    }
}

/// A [`Stored`] file whose errors name it.
#[derive(Clone, Debug)]
pub(crate) struct File {
    path: PathBuf,
    stored: Arc<dyn Stored>,
}

impl File {
    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    pub(crate) fn len(&self) -> Result<u64, IoFailure> {
        self.stored.len().map_err(|e| IoFailure::new("measure", &self.path, e))
    }

    pub(crate) fn read_at(&self, offset: u64, buffer: &mut [u8]) -> Result<(), IoFailure> {
        self.stored.read_at(offset, buffer).map_err(|e| IoFailure::new("read", &self.path, e))
    }

    pub(crate) fn read_array<const N: usize>(&self, offset: u64) -> Result<[u8; N], IoFailure> {
        let mut bytes = [0; N];
        self.read_at(offset, &mut bytes)?;
        Ok(bytes)
    }

    pub(crate) fn read_vec(&self, offset: u64, len: usize) -> Result<Vec<u8>, IoFailure> {
        let mut bytes = vec![0; len];
        self.read_at(offset, &mut bytes)?;
        Ok(bytes)
    }

    pub(crate) fn write_at(&self, offset: u64, bytes: &[u8]) -> Result<(), IoFailure> {
        self.stored.write_at(offset, bytes).map_err(|e| IoFailure::new("write", &self.path, e))
    }

    pub(crate) fn truncate(&self, len: u64) -> Result<(), IoFailure> {
        self.stored.truncate(len).map_err(|e| IoFailure::new("truncate", &self.path, e))
    }

    pub(crate) fn sync(&self) -> Result<(), IoFailure> {
        self.stored.sync().map_err(|e| IoFailure::new("sync", &self.path, e))
    }

    /// As [`File::sync`]; returns what it took.
    pub(crate) fn sync_timed(&self) -> Result<Duration, IoFailure> {
        let since = Instant::now();
        self.sync().map(|()| since.elapsed())
    }
}
