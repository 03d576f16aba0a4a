//! Why: only an administrator's signature changes what is allowed, and it must fit this log at this moment.
//!
//! Guarantees: a [`Verified`] act has one birthplace: a signed note under a key of the epoch in force, for this
//! origin, checked with `verify_strict`. The governance version that it follows is compared by the sequencer, when the
//! act gets its place, and by the fold at every start.
//! Does not: rotate admin keys; the keys that `init` wrote stay until a later version records others in an epoch.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use ledger::Head;
use tokio::sync::oneshot;
use verifier::act::{self, Act, Deed};
use verifier::note::{Note, VerifierKey};
use verifier::record::MAX_NOTE;

pub use crate::engines::Engines;
use crate::traces::Queued;

/// Admin keys that are read: a handful of people govern a log.
pub const MAX_ADMIN_KEYS: usize = 64;

/// Why an act is refused before it is sequenced.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ActError {
    /// Longer than a record can carry.
    #[error("the signed act has more than {MAX_NOTE} bytes")]
    TooLong,
    /// Not a signed note, or no signature of an admin key on it.
    #[error("the act is not signed by an admin key of this log")]
    Signature,
    /// The note's text is not an act.
    #[error("{0}")]
    Malformed(#[from] act::ActError),
    /// The act is for another log.
    #[error("the act is for the log `{0}`")]
    Origin(String),
}

/// An act whose origin and signature were checked: [`Governors::open`] is its one birthplace.
///
/// ```compile_fail,E0451
/// fn forged(act: verifier::act::Act, note: String) -> authorizer::governance::Verified {
///     authorizer::governance::Verified { act, note }
/// }
/// ```
#[derive(Debug, Clone)]
pub struct Verified {
    act: Act,
    note: String,
}

impl Verified {
    /// What was signed.
    #[must_use]
    pub fn act(&self) -> &Act {
        &self.act
    }

    /// The whole signed note, verbatim.
    #[must_use]
    pub fn note(&self) -> &str {
        &self.note
    }
}

/// Who may govern this log.
#[derive(Debug, Clone)]
pub struct Governors {
    origin: String,
    keys: Vec<VerifierKey>,
}

/// Why the admin keys could not be read.
#[derive(Debug, thiserror::Error)]
pub enum GovernorsError {
    /// The operating system refused.
    #[error("admin key file `{path}`: {source}")]
    Io {
        /// The file.
        path: PathBuf,
        /// What it said.
        source: io::Error,
    },
    /// A line is not a verifier key of this origin's administrators.
    #[error("admin key file `{path}` line {line} is not a verifier key named `{name}`")]
    Line {
        /// The file.
        path: PathBuf,
        /// The line, from 1.
        line: usize,
        /// The name that the key must have.
        name: String,
    },
    /// No key at all: nobody could ever govern.
    #[error("admin key file `{0}` holds no key")]
    Empty(PathBuf),
}

impl Governors {
    /// From verifier keys whose name is that of this origin's administrators; others are left out.
    #[must_use]
    pub fn new(origin: &str, keys: Vec<VerifierKey>) -> Self {
        let name = Act::key_name(origin);
        Governors { origin: origin.into(), keys: keys.into_iter().filter(|key| key.name() == name).collect() }
    }

    /// Reads a file of verifier keys, one a line.
    ///
    /// # Errors
    /// [`GovernorsError`].
    pub fn read(path: &Path, origin: &str) -> Result<Self, GovernorsError> {
        let text = fs::read_to_string(path).map_err(|source| GovernorsError::Io { path: path.into(), source })?;
        let name = Act::key_name(origin);
        let mut keys = Vec::new();
        for (line, text) in (1..).zip(text.lines().take(MAX_ADMIN_KEYS)) {
            let key = text.parse::<VerifierKey>().ok().filter(|key| key.name() == name);
            let wrong = || GovernorsError::Line { path: path.into(), line, name: name.clone() };
            keys.push(key.ok_or_else(wrong)?);
        }
        if keys.is_empty() {
            return Err(GovernorsError::Empty(path.into()));
        }
        Ok(Governors::new(origin, keys))
    }

    /// The log that they govern.
    #[must_use]
    pub fn origin(&self) -> &str {
        &self.origin
    }

    /// Checks a signed act.
    ///
    /// # Errors
    /// [`ActError`]; the act must not be recorded.
    pub fn open(&self, note: &str) -> Result<Verified, ActError> {
        if note.len() > MAX_NOTE {
            return Err(ActError::TooLong);
        }
        let opened = Note::open(note, &self.keys).map_err(|_| ActError::Signature)?;
        let act = Act::parse(opened.text())?;
        if act.origin != self.origin {
            return Err(ActError::Origin(act.origin));
        }
        Ok(Verified { act, note: note.to_owned() })
    }

    /// Checks a signed erasure: by one of these keys, or where there are none by an administrator's.
    ///
    /// # Errors
    /// [`ActError`]; the act must not be recorded.
    pub fn open_erasure(&self, note: &str, erasers: &[VerifierKey]) -> Result<Verified, ActError> {
        if erasers.is_empty() {
            return self.open(note);
        }
        let verified = Governors { origin: self.origin.clone(), keys: erasers.to_vec() }.open(note)?;
        match verified.act.deed {
            Deed::Erasure { .. } => Ok(verified),
            // Whoever may erase may nothing else.
            _ => Err(ActError::Signature),
        }
    }
}

/// An epoch in shadow mode: evaluated beside the live one, enforced never.
#[derive(Debug, Clone)]
pub struct Candidate {
    /// Its number.
    pub epoch: u64,
    /// Its engines.
    pub engines: Engines,
}

/// An epoch on its way to the sequencer.
#[derive(Debug)]
pub struct NewEpoch {
    /// The content document, whose digest the act names.
    pub document: Vec<u8>,
    /// The engines that were built from it.
    pub engines: Engines,
    /// For the first epoch: the final checkpoint of the log that this one succeeds.
    pub predecessor: Option<String>,
}

/// An act on its way to the sequencer.
#[derive(Debug)]
pub struct Proposed {
    /// The act.
    pub verified: Verified,
    /// For an epoch: what it is made of.
    pub epoch: Option<NewEpoch>,
    /// Its request's trace, where it has one.
    pub trace: Option<Queued>,
    /// Where the answer goes.
    pub reply: oneshot::Sender<Result<Recorded, NotRecorded>>,
}

/// An act that is durable and in force.
#[derive(Debug)]
pub struct Recorded {
    /// The index of its record; of the closing record of an epoch.
    pub index: u64,
    /// When it was recorded, Unix milliseconds.
    pub recorded_at: u64,
    /// The governance version that it made.
    pub governance: u64,
    /// The signed head that covers it.
    pub head: Arc<Head>,
}

/// Why an act was not recorded.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum NotRecorded {
    /// It follows another governance version than the one in force, which is given.
    Stale(u64),
    /// It does not number the next epoch; the newest one is given.
    EpochNumber(u64),
    /// A switch, a freeze or a candidate before the first epoch: the log's first act is an epoch in force.
    NoEpoch,
    /// Private parts that cannot be erased now.
    Needed(Needed),
    /// The log has ended.
    Frozen,
}

/// Why private parts cannot be erased now.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Needed {
    /// The entry is no decision.
    NoDecision,
    /// They are erased or lost already.
    Gone,
    /// They are younger than the epoch lets be erased; the time from which they may be is given.
    Retention(u64),
    /// A permit that is open, an approval, a nonce, a window or an idempotency key rests on them.
    InUse(&'static str),
}
