//! Checks of a whole log, from journal and vault alone: [`fsck`] (is what is derived what it must be?) and [`audit`] (does every entry hold?).
//! The same audit of its own entries by a running server: `own.rs`.
//!
//! Why apart from the writer: they believe nothing that recovery believes, neither marks nor rows nor tree, and read without a lock beside a
//! running writer, since what is published does not change.
//!
//! Guarantees: every frame below the remembered head is read, every leaf hashed with all cores, every root compared. The first wrong index
//! is named with its file. Does not: mend anything.

mod audit;
mod fsck;
mod own;
mod runs;
mod walk;

use std::ops::ControlFlow;
use std::path::PathBuf;

use verifier::hash::Hash;

use crate::open::OpenError;
use crate::storage::IoFailure;

pub(crate) use audit::audit_at;
pub use audit::{audit, audit_in};
pub use fsck::{fsck, fsck_in};

/// A report lists at most so many problems; all are counted. Whoever has more has one cause.
pub const MAX_PROBLEMS: usize = 100;

/// One thing that is wrong.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Problem {
    /// The file that holds it.
    pub file: PathBuf,
    /// The first entry that it concerns.
    pub index: Option<u64>,
    /// Where in the file.
    pub offset: Option<u64>,
    /// What is wrong.
    pub what: String,
}

/// What a check found.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Report {
    /// The log's name.
    pub origin: String,
    /// The log's verification key, as `log.toml` states it.
    pub verification_key: String,
    /// Size of the published log, as remembered; of the whole frames, if nothing is remembered.
    pub size: u64,
    /// Root at that size, derived from the entries.
    pub root: Option<Hash>,
    /// Entries that were read and hashed.
    pub entries: u64,
    /// Frames that were read; each is one published head.
    pub frames: u64,
    /// Decisions among the entries.
    pub decisions: u64,
    /// Decisions whose private parts are in the vault and match their commitments.
    pub kept: u64,
    /// Decisions whose private parts were erased: for an audit, with a record of it; for fsck, as the vault says.
    pub erased: u64,
    /// The directory is an archive without private parts: those of its decisions cannot be checked here.
    pub without_private_parts: bool,
    /// Tree nodes that were compared (fsck).
    pub nodes: u64,
    /// How many problems there are.
    pub problem_count: u64,
    /// The first [`MAX_PROBLEMS`], in the order in which they were found: ascending by index within each kind of file.
    pub problems: Vec<Problem>,
}

impl Report {
    /// True if nothing is wrong.
    pub fn is_clean(&self) -> bool {
        self.problem_count == 0
    }

    fn add(&mut self, problem: Problem) {
        self.problem_count += 1;
        if self.problems.len() < MAX_PROBLEMS {
            self.problems.push(problem);
        }
    }
}

/// How far a check is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Progress {
    /// Entries done.
    pub done: u64,
    /// Entries in all; as many as done, while it is not known.
    pub total: u64,
}

/// Whoever watches without a say.
fn unbroken(progress: &mut dyn FnMut(Progress)) -> impl FnMut(Progress) -> ControlFlow<()> {
    |now| {
        progress(now);
        ControlFlow::Continue(())
    }
}

/// Why a log could not be checked at all.
#[derive(Debug, thiserror::Error)]
pub enum CheckError {
    /// It is not a log, or cannot be identified.
    #[error(transparent)]
    NotALog(#[from] OpenError),
    /// The disk failed.
    #[error(transparent)]
    Io(#[from] IoFailure),
    /// The operating system has no thread.
    #[error("cannot start a thread: {0}")]
    Thread(#[from] rayon::ThreadPoolBuildError),
}
