//! What a watch keeps between two looks and between two runs: one small JSON file.
//!
//! Guarantees: the file is there whole, as it was before or after, also after `kill -9`; one watch at a time has it; what is read from it
//! is believed only as far as it fits the signed head in it. Entries count as seen once a signed root covers them: what was folded
//! towards a head that is not reached yet is kept apart, and thrown away if it leads elsewhere.

use std::fs::{File, TryLockError};
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};
use verifier::checkpoint::SignedCheckpoint;
use verifier::hash::{EMPTY_ROOT, Hash};
use verifier::note::{Note, VerifierKey};

use super::edge::Edge;
use crate::exit::Failure;
use crate::files;

/// Heads that are kept to hold smaller ones against: what a cache or a restored backup would show.
pub const MAX_SEEN: usize = 64;
/// Signed heads above what was derived: more than one only if the log shows smaller ones in between.
pub const MAX_AHEAD: usize = 8;
/// Bytes of a state: the heads above with lines of the log's key only, each of some 4 KiB at most and twice that in JSON, and two edges.
const MAX_STATE: usize = 1024 * 1024;
const SCHEMA: &str = "interlock/watch/v1";

/// How far a log was folded, and what was seen on the way.
#[derive(Debug, Clone, Default)]
pub struct Folded {
    /// The tree.
    pub edge: Edge,
    /// Time of the newest record, Unix milliseconds.
    pub newest_ms: Option<u64>,
    /// Index of the record that froze the log.
    pub frozen: Option<u64>,
}

/// What is kept.
#[derive(Debug)]
pub struct State {
    path: PathBuf,
    _lock: File,
    key: VerifierKey,
    /// When this watch began, Unix milliseconds.
    pub since_ms: u64,
    /// What is derived, up to the head that was followed last.
    pub folded: Folded,
    /// That head; none before the first look.
    pub head: Option<SignedCheckpoint>,
    /// Heads that were followed, the newest last.
    pub seen: Vec<SignedCheckpoint>,
    /// Signed heads that were shown and not reached yet.
    pub ahead: Vec<SignedCheckpoint>,
    /// What was folded towards one of them.
    pub towards: Option<Folded>,
}

/// The file.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Stored {
    schema: String,
    vkey: String,
    since_ms: u64,
    folded: StoredFold,
    head: Option<String>,
    seen: Vec<String>,
    ahead: Vec<String>,
    towards: Option<StoredFold>,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct StoredFold {
    size: u64,
    peaks: Vec<Hash>,
    newest_ms: Option<u64>,
    frozen: Option<u64>,
}

impl State {
    /// The state in a file, or a new one where there is none. `now_ms` is when a new one begins.
    pub fn open(path: &Path, key: &VerifierKey, now_ms: u64) -> Result<Self, Failure> {
        let lock = lock(path)?;
        let new = Self {
            path: path.to_owned(),
            _lock: lock,
            key: key.clone(),
            since_ms: now_ms,
            folded: Folded::default(),
            head: None,
            seen: Vec::new(),
            ahead: Vec::new(),
            towards: None,
        };
        if !path.exists() {
            new.save()?;
            return Ok(new);
        }
        let text = files::read_text(path, MAX_STATE)?;
        let damaged = |what: &str| Failure::undecidable(format!("{}: {what}", path.display()));
        let stored: Stored = serde_json::from_str(&text).map_err(|error| damaged(&error.to_string()))?;
        if stored.schema != SCHEMA {
            return Err(damaged("not the state of a watch"));
        }
        if stored.vkey != key.to_string() {
            return Err(Failure::usage(format!("{}: the state of a watch over another key", path.display())));
        }
        new.read(stored).ok_or_else(|| damaged("it contradicts the signed heads in it"))
    }

    fn read(mut self, stored: Stored) -> Option<Self> {
        let open = |note: &String| SignedCheckpoint::open(note, &self.key, self.key.name()).ok();
        let heads = |notes: &[String]| notes.iter().map(open).collect::<Option<Vec<_>>>();
        self.since_ms = stored.since_ms;
        self.folded = Folded::read(stored.folded)?;
        self.seen = heads(&stored.seen)?;
        self.ahead = heads(&stored.ahead)?;
        self.head = match &stored.head {
            Some(note) => Some(open(note)?),
            None => None,
        };
        // What cannot be continued is folded again: it was not believed yet.
        self.towards = stored.towards.and_then(Folded::read);
        let root = self.folded.edge.root();
        let fits = self.head.as_ref().map_or(self.folded.edge.size() == 0 && root == EMPTY_ROOT, |head| {
            head.checkpoint().size == self.folded.edge.size() && head.checkpoint().root == root
        });
        fits.then_some(self)
    }

    /// Makes it durable.
    pub fn save(&self) -> Result<(), Failure> {
        let heads = |heads: &[SignedCheckpoint]| heads.iter().map(|head| self.bare(head)).collect();
        let stored = Stored {
            schema: SCHEMA.into(),
            vkey: self.key.to_string(),
            since_ms: self.since_ms,
            folded: self.folded.store(),
            head: self.head.as_ref().map(|head| self.bare(head)),
            seen: heads(&self.seen),
            ahead: heads(&self.ahead),
            towards: self.towards.as_ref().map(Folded::store),
        };
        let text = serde_json::to_string(&stored).map_err(Failure::undecidable)?;
        files::replace(&self.path, text + "\n")
    }

    /// A head was followed: all below it is derived.
    pub fn follow(&mut self, folded: Folded, head: SignedCheckpoint) {
        let size = head.checkpoint().size;
        self.ahead.retain(|ahead| ahead.checkpoint().size > size);
        self.seen.push(head.clone());
        let surplus = self.seen.len().saturating_sub(MAX_SEEN);
        self.seen.drain(..surplus);
        (self.folded, self.head, self.towards) = (folded, Some(head), None);
    }

    /// A signed head above what is derived was shown: it is not forgotten, whatever is shown next.
    pub fn note_ahead(&mut self, head: &SignedCheckpoint) {
        let known = self.ahead.iter().any(|ahead| ahead.checkpoint() == head.checkpoint());
        if !known && self.ahead.len() < MAX_AHEAD {
            self.ahead.push(head.clone());
        }
    }

    /// The largest size that the log signed for this watch.
    pub fn largest(&self) -> u64 {
        let ahead = self.ahead.iter().map(|head| head.checkpoint().size).max().unwrap_or(0);
        ahead.max(self.folded.edge.size())
    }

    /// The note without the lines of others, which may have a megabyte.
    fn bare(&self, head: &SignedCheckpoint) -> String {
        let note = Note::parse(head.raw()).ok().and_then(|note| note.only(&self.key));
        note.unwrap_or_else(|| head.raw().to_owned())
    }
}

impl Folded {
    fn read(stored: StoredFold) -> Option<Self> {
        let StoredFold { size, peaks, newest_ms, frozen } = stored;
        Some(Self { edge: Edge::kept(size, peaks)?, newest_ms, frozen })
    }

    fn store(&self) -> StoredFold {
        let Self { edge, newest_ms, frozen } = self;
        StoredFold { size: edge.size(), peaks: edge.peaks().to_vec(), newest_ms: *newest_ms, frozen: *frozen }
    }
}

/// Held as long as the watch runs; the operating system lets go of it with the process, however that ends.
fn lock(path: &Path) -> Result<File, Failure> {
    let mut name = path.file_name().unwrap_or_default().to_owned();
    name.push(".lock");
    let lock = path.with_file_name(name);
    let unavailable = |error: std::io::Error| Failure::unavailable(format!("{}: {error}", lock.display()));
    let file = File::create(&lock).map_err(unavailable)?;
    match file.try_lock() {
        Ok(()) => Ok(file),
        Err(TryLockError::WouldBlock) => {
            Err(Failure::unavailable(format!("{}: another watch has this state", path.display())))
        }
        Err(TryLockError::Error(error)) => Err(unavailable(error)),
    }
}
