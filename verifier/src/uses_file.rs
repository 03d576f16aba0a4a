//! A use store in one file, outside the pure core: the only module of this crate with I/O, behind the feature `uses-file`. Unix only.
//!
//! Guarantees that a use is on the disk before [`Claim::Taken`] is answered, that one process at a time has the file, by whatever name, and
//! that a store which was lost, or has forgotten, refuses what it cannot know. Layout, integers big-endian:
//!
//! ```text
//! head   "interlock uses 1"  16   remembers_since  8   check  8
//! entry  permit              16   nth  4   expires_at  8   check  4        one a claim, appended and synced
//! ```
//!
//! A check is the start of SHA-256 over what stands before it. A last entry that is cut short or damaged is dropped, and since nobody can
//! tell whether it was answered the store then remembers from its opening only ([`remembers_from`]); damage anywhere else refuses the store.
//! [`FileUses::open`] forgets what expired more than [`KEEP_MS`] ago and raises `remembers_since` to the last expiry that it forgot:
//! whatever clock it was told, nothing forgotten is admitted again.
//!
//! The lock is on the file itself, not on a second name that could be removed: the process whose lock is on the file that the path names
//! has the store, and looks before each claim that the path still names it. A path through symbolic links is followed to its end; a file
//! with a second hard link is refused, since replacing one name would leave the other behind.
//!
//! Does not, and no file can: notice that an earlier copy of itself was put in its place, which admits again what was used in between. Keep
//! backups and snapshots away from it; a store that was restored must be removed instead, so that a new one refuses what is older. The lock
//! is `flock`: on a network file system it holds as far as that system says.

use std::collections::HashMap;
use std::fs::{File, OpenOptions, TryLockError};
use std::io::{self, Read, Write};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use sha2::{Digest, Sha256};
use thiserror::Error;

use crate::decision::PermitId;
use crate::guard::{Claim, UseStore, UseStoreError, remembers_from};

/// Uses are kept for so long after their permit's end: a day, for clocks that step.
pub const KEEP_MS: u64 = 24 * 3_600_000;
const MAGIC: &[u8; 16] = b"interlock uses 1";
/// The path may name another file than the one just locked if somebody opened the store at the same moment; so often in a row it does not.
const LOOKS: u32 = 8;
const HEAD: usize = 32;
const ENTRY: usize = 32;

/// Why a store cannot be opened.
#[derive(Debug, Error)]
pub enum OpenError {
    /// The operating system refused.
    #[error("use store `{0}`: {1}")]
    Io(PathBuf, io::Error),
    /// Another process has it.
    #[error("use store `{0}` is in use by another process")]
    Locked(PathBuf),
    /// It has a second hard link, under which another process could open it.
    #[error("use store `{0}` has more than one hard link")]
    Linked(PathBuf),
    /// It is no use store, or damaged before its end. Move it away: a new one refuses every permit that is older than itself.
    #[error("use store `{0}` is damaged at byte {1}")]
    Damaged(PathBuf, usize),
}

/// A file-backed [`UseStore`].
#[derive(Debug)]
pub struct FileUses {
    // Locked, and what `path` names.
    file: File,
    path: PathBuf,
    taken: Taken,
    remembers_since: u64,
    failed: bool,
}

impl FileUses {
    /// Opens a store, or begins one that remembers from `now`, Unix milliseconds.
    pub fn open(path: &Path, now: u64) -> Result<Self, OpenError> {
        let io = |error| OpenError::Io(path.to_owned(), error);
        let (mut old, path) = lock(path)?;
        let mut bytes = Vec::new();
        old.read_to_end(&mut bytes).map_err(io)?;
        // Nothing in it: just made, by us or by somebody who crashed here.
        let (taken, remembers_since) = if bytes.is_empty() {
            (Taken::new(), remembers_from(now))
        } else {
            let (taken, since, whole) = read(&bytes).map_err(|at| OpenError::Damaged(path.clone(), at))?;
            (taken, if whole { since } else { since.max(remembers_from(now)) })
        };
        let (taken, remembers_since) = forget(taken, remembers_since, now);
        let file = write_anew(&path, &taken, remembers_since).map_err(io)?;
        // Nobody could open the old file by this path while it was locked; a name that it got meanwhile must not open it afterwards.
        if old.metadata().map_err(io)?.nlink() != 0 {
            return Err(OpenError::Linked(path));
        }
        Ok(Self { file, path, taken, remembers_since, failed: false })
    }

    /// Every use of a record from then on is known, Unix milliseconds; the guard refuses older permits.
    pub fn remembers_since(&self) -> u64 {
        self.remembers_since
    }

    fn write(&mut self, entry: &[u8]) -> io::Result<()> {
        // Who opens the path after this look begins a store that refuses whatever this claim is for.
        if !names(&self.path, &self.file)? {
            return Err(io::Error::other("the store was moved, removed or replaced"));
        }
        self.file.write_all(entry)?;
        self.file.sync_data()
    }
}

impl UseStore for FileUses {
    fn claim(&mut self, permit: PermitId, nth: u32, expires_at: u64) -> Result<Claim, UseStoreError> {
        if self.failed {
            return Err(UseStoreError("an earlier write failed; open the store again".to_owned()));
        }
        if self.taken.contains_key(&(permit, nth)) {
            return Ok(Claim::AlreadyTaken);
        }
        // After a failed sync the kernel may have dropped the bytes; only reading the file again tells.
        if let Err(error) = self.write(&entry(permit, nth, expires_at)) {
            self.failed = true;
            return Err(UseStoreError(error.to_string()));
        }
        self.taken.insert((permit, nth), expires_at);
        Ok(Claim::Taken)
    }
}

/// Opens the file that a path leads to, made if missing, and locks it; answers it with its own name.
fn lock(path: &Path) -> Result<(File, PathBuf), OpenError> {
    let io = |error| OpenError::Io(path.to_owned(), error);
    for _ in 0..LOOKS {
        let file = OpenOptions::new().create(true).truncate(false).read(true).write(true).open(path).map_err(io)?;
        match file.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => return Err(OpenError::Locked(path.to_owned())),
            Err(TryLockError::Error(error)) => return Err(io(error)),
        }
        let real = path.canonicalize().map_err(io)?;
        // Between opening and locking, the process that had it may have put a new file in its place.
        if names(&real, &file).map_err(io)? {
            if file.metadata().map_err(io)?.nlink() > 1 {
                return Err(OpenError::Linked(real));
            }
            return Ok((file, real));
        }
    }
    Err(OpenError::Locked(path.to_owned()))
}

/// Whether a path names this open file and no other.
fn names(path: &Path, file: &File) -> io::Result<bool> {
    let held = file.metadata()?;
    match std::fs::symlink_metadata(path) {
        Ok(named) => Ok((named.dev(), named.ino()) == (held.dev(), held.ino())),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(false),
        Err(error) => Err(error),
    }
}

type Taken = HashMap<(PermitId, u32), u64>;

fn forget(mut taken: Taken, mut remembers_since: u64, now: u64) -> (Taken, u64) {
    taken.retain(|_, expires_at| {
        let keep = expires_at.saturating_add(KEEP_MS) >= now;
        if !keep {
            remembers_since = remembers_since.max(*expires_at);
        }
        keep
    });
    (taken, remembers_since)
}

/// Writes a whole store beside the old one, locks it and puts it in its place; a crash leaves one or the other. Only who has the old one
/// locked may call this.
fn write_anew(path: &Path, taken: &Taken, remembers_since: u64) -> io::Result<File> {
    let mut bytes = Vec::with_capacity(HEAD + ENTRY * taken.len());
    bytes.extend_from_slice(MAGIC);
    bytes.extend_from_slice(&remembers_since.to_be_bytes());
    let check = check::<8>(&bytes);
    bytes.extend_from_slice(&check);
    taken.iter().for_each(|((permit, nth), expires_at)| bytes.extend_from_slice(&entry(*permit, *nth, *expires_at)));
    let fresh = beside(path, "new");
    match std::fs::remove_file(&fresh) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
        Ok(()) | Err(_) => {}
    }
    let mut file = OpenOptions::new().create_new(true).write(true).open(&fresh)?;
    file.lock()?;
    file.write_all(&bytes)?;
    file.sync_all()?;
    std::fs::rename(&fresh, path)?;
    let parent = path.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new("."));
    File::open(parent)?.sync_all()?;
    Ok(file)
}

/// The uses, since when they are all, and whether the end was whole; or where the damage is.
fn read(bytes: &[u8]) -> Result<(Taken, u64, bool), usize> {
    let (head, mut rest) = bytes.split_first_chunk::<HEAD>().ok_or(0_usize)?;
    let (magic, after) = head.split_first_chunk::<16>().ok_or(0_usize)?;
    let (since, stored) = after.split_first_chunk::<8>().ok_or(16_usize)?;
    if magic != MAGIC || stored != check::<8>(&[&magic[..], since].concat()) {
        return Err(0);
    }
    let mut taken = Taken::new();
    while let Some((one, left)) = rest.split_first_chunk::<ENTRY>() {
        match parse_entry(one) {
            Some((permit, nth, expires_at)) => taken.insert((permit, nth), expires_at),
            None if left.is_empty() => return Ok((taken, u64::from_be_bytes(*since), false)),
            None => return Err(bytes.len() - left.len() - ENTRY),
        };
        rest = left;
    }
    Ok((taken, u64::from_be_bytes(*since), rest.is_empty()))
}

fn entry(permit: PermitId, nth: u32, expires_at: u64) -> Vec<u8> {
    let mut bytes = [&permit.0[..], &nth.to_be_bytes(), &expires_at.to_be_bytes()].concat();
    let check = check::<4>(&bytes);
    bytes.extend_from_slice(&check);
    bytes
}

fn parse_entry(bytes: &[u8; ENTRY]) -> Option<(PermitId, u32, u64)> {
    let (permit, rest) = bytes.split_first_chunk::<16>()?;
    let (nth, rest) = rest.split_first_chunk::<4>()?;
    let (expires_at, _) = rest.split_first_chunk::<8>()?;
    let read = (PermitId(*permit), u32::from_be_bytes(*nth), u64::from_be_bytes(*expires_at));
    (entry(read.0, read.1, read.2) == bytes).then_some(read)
}

fn check<const N: usize>(bytes: &[u8]) -> [u8; N] {
    let digest: [u8; 32] = Sha256::digest(bytes).into();
    digest.first_chunk::<N>().copied().unwrap_or([0; N])
}

fn beside(path: &Path, suffix: &str) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(".");
    name.push(suffix);
    PathBuf::from(name)
}
