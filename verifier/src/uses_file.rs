//! A use store in one file, outside the pure core: the only module of this crate with I/O, behind the feature `uses-file`.
//!
//! Guarantees that a use is on the disk before [`Claim::Taken`] is answered, that one process at a time has the file, and that a store
//! which was lost, or has forgotten, refuses what it cannot know. Layout, integers big-endian:
//!
//! ```text
//! head   "interlock uses 1"  16   remembers_since  8   check  8
//! entry  permit              16   nth  4   expires_at  8   check  4        one a claim, appended and synced
//! ```
//!
//! A check is the start of SHA-256 over what stands before it. A last entry that is cut short or damaged is dropped, and since nobody
//! can tell whether it was answered the store then remembers since its opening only; damage anywhere else refuses the store. [`FileUses::open`] forgets what expired more than [`KEEP_MS`] ago and raises `remembers_since` to the
//! last expiry that it forgot: whatever clock it was told, nothing forgotten is admitted again.

use std::collections::HashMap;
use std::fs::{File, OpenOptions};
use std::io::{self, Read, Write};
use std::path::{Path, PathBuf};

use sha2::{Digest, Sha256};
use thiserror::Error;

use crate::decision::PermitId;
use crate::guard::{Claim, UseStore, UseStoreError};

/// Uses are kept for so long after their permit's end: a day, for clocks that step.
pub const KEEP_MS: u64 = 24 * 3_600_000;
const MAGIC: &[u8; 16] = b"interlock uses 1";
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
    /// It is no use store, or damaged before its end. Move it away: a new one refuses every permit that is older than itself.
    #[error("use store `{0}` is damaged at byte {1}")]
    Damaged(PathBuf, usize),
}

/// A file-backed [`UseStore`].
#[derive(Debug)]
pub struct FileUses {
    file: File,
    taken: HashMap<(PermitId, u32), u64>,
    remembers_since: u64,
    failed: bool,
    // Held for its lock; the data file is replaced when it is compacted.
    _lock: File,
}

impl FileUses {
    /// Opens a store, or begins one that remembers since `now`, Unix milliseconds.
    pub fn open(path: &Path, now: u64) -> Result<Self, OpenError> {
        let io = |error| OpenError::Io(path.to_owned(), error);
        let lock =
            OpenOptions::new().create(true).truncate(false).write(true).open(beside(path, "lock")).map_err(io)?;
        lock.try_lock().map_err(|_| OpenError::Locked(path.to_owned()))?;
        let mut bytes = Vec::new();
        let (taken, remembers_since) = match File::open(path) {
            Ok(mut file) => {
                file.read_to_end(&mut bytes).map_err(io)?;
                let (taken, since, whole) = read(&bytes).map_err(|at| OpenError::Damaged(path.to_owned(), at))?;
                (taken, if whole { since } else { since.max(now) })
            }
            Err(error) if error.kind() == io::ErrorKind::NotFound => (HashMap::new(), now),
            Err(error) => return Err(io(error)),
        };
        let (taken, remembers_since) = forget(taken, remembers_since, now);
        let file = write_anew(path, &taken, remembers_since).map_err(io)?;
        Ok(Self { file, taken, remembers_since, failed: false, _lock: lock })
    }

    /// Every use since then is known, Unix milliseconds; the guard refuses older permits.
    pub fn remembers_since(&self) -> u64 {
        self.remembers_since
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
        let written = self.file.write_all(&entry(permit, nth, expires_at)).and_then(|()| self.file.sync_data());
        if let Err(error) = written {
            self.failed = true;
            return Err(UseStoreError(error.to_string()));
        }
        self.taken.insert((permit, nth), expires_at);
        Ok(Claim::Taken)
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

/// Writes a whole store beside the old one and puts it in its place; a crash leaves one or the other.
fn write_anew(path: &Path, taken: &Taken, remembers_since: u64) -> io::Result<File> {
    let mut bytes = Vec::with_capacity(HEAD + ENTRY * taken.len());
    bytes.extend_from_slice(MAGIC);
    bytes.extend_from_slice(&remembers_since.to_be_bytes());
    let check = check::<8>(&bytes);
    bytes.extend_from_slice(&check);
    taken.iter().for_each(|((permit, nth), expires_at)| bytes.extend_from_slice(&entry(*permit, *nth, *expires_at)));
    let fresh = beside(path, "new");
    let mut file = OpenOptions::new().create(true).truncate(true).write(true).open(&fresh)?;
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
