//! The one writer of a log: takes batches, in two halves that may overlap.
//!
//! [`Ledger::append`] stages a batch (`stage.rs`: vault sync, hashing, nodes) and commits it (`commit.rs`: frame sync → confirm entries and
//! tree → sign → memory sync → publish), the commit order of DESIGN §6. Who has batches in store lets a thread stage the next one while
//! another commits this one: [`Ledger::split`].
//!
//! Guarantees: whoever is answered has a batch that is durable, under a head that is signed, remembered outside the directory, and
//! published. After the first I/O error the writer is poisoned for good: the log must be opened again, which believes nothing above the
//! remembered head. Does not: retry anything, ever (a second fsync may "succeed" and lie).

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use verifier::note::VerifierKey;

use crate::batch::Batch;
use crate::cases::Cases;
use crate::commit::Committer;
use crate::head::Head;
use crate::layout::Layout;
use crate::memory::Remembered;
use crate::reader::Shared;
use crate::seal::SealError;
use crate::snapshots::Snapshots;
use crate::stage::Stager;
use crate::storage::{Files, IoFailure, LockGuard, Mode};

/// Why a batch was not appended.
#[derive(Debug, thiserror::Error)]
pub enum AppendError {
    /// There is nothing in the batch.
    #[error("the batch is empty")]
    Empty,
    /// Time in the log never goes backwards.
    #[error("the batch's time {time_ms} is before the last one, {last_ms}")]
    TimeBackwards {
        /// The batch's time, Unix milliseconds.
        time_ms: u64,
        /// That of the last frame.
        last_ms: u64,
    },
    /// The last record is a freeze: nothing is ever appended behind it, however often the log is opened.
    #[error("the log is frozen: nothing is ever appended behind its last record")]
    Frozen,
    /// A batch that was staged before this one was never committed; the log must be opened again.
    #[error("the batch begins at {first}, but the log ends at {size}: a batch before it was staged and not committed")]
    OutOfOrder {
        /// Index of the batch's first entry.
        first: u64,
        /// The published size.
        size: u64,
    },
    /// An earlier append failed, or an audit found a fault in what is stored; the log must be opened again.
    #[error("the ledger stopped after an I/O error or an audit that failed, and must be opened again")]
    Poisoned,
    /// The disk failed; nothing of the batch is acknowledged, and nothing more will be appended.
    #[error(transparent)]
    Io(#[from] IoFailure),
}

/// What an append achieved: the batch's first index, and a published head that covers it.
#[derive(Clone, Debug)]
pub struct Appended {
    /// Index of the batch's first entry.
    pub first: u64,
    /// The head that was published with it.
    pub head: Arc<Head>,
    /// What the disk took for it.
    pub syncs: Syncs,
}

/// What each sync of one batch took by itself.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Syncs {
    /// That of its private parts, if it has any.
    pub vault: Option<Duration>,
    /// That of its frame.
    pub journal: Duration,
    /// That of the memory with its head.
    pub memory: Duration,
}

impl Syncs {
    /// Tells them in order, each with the name of what was made durable.
    pub fn each(&self, mut tell: impl FnMut(&'static str, Duration)) {
        if let Some(vault) = self.vault {
            tell("vault", vault);
        }
        tell("journal", self.journal);
        tell("memory", self.memory);
    }
}

/// The one writer of a log. It holds the locks of directory and memory for as long as it lives.
#[derive(Debug)]
pub struct Ledger {
    pub(crate) stager: Stager,
    pub(crate) committer: Committer,
    /// Of the directory and of the memory.
    pub(crate) _locks: (Box<dyn LockGuard>, Option<Box<dyn LockGuard>>),
}

impl Ledger {
    /// Appends a batch at `time_ms` (Unix milliseconds, not before the last one). Returns once it is published.
    ///
    /// # Errors
    /// [`AppendError::Io`] poisons the ledger: what became of the batch is known only after the log is opened again. The other errors leave
    /// everything as it was.
    pub fn append(&mut self, batch: &Batch, time_ms: u64) -> Result<Appended, AppendError> {
        let staged = self.stager.stage(batch, time_ms)?;
        Ok(self.committer.commit(staged)?.0)
    }

    /// The two halves of an append, for two threads. Batches are committed in the order in which they were staged; one that was staged and
    /// is not committed ends the writing, as an I/O error would. How many wait in between is the caller's choice: one is enough to keep both
    /// halves busy.
    pub fn split(&mut self) -> (&mut Stager, &mut Committer) {
        (&mut self.stager, &mut self.committer)
    }

    /// Seals every journal segment that can be and is not (see `sealed.rs`), and waits for it: all but the last, and one before it while
    /// that is empty. Answers how many were sealed now.
    ///
    /// # Errors
    /// The last failure, if there was one: the segments that it concerns stay as they were, and the log goes on.
    pub fn seal(&self) -> Result<u64, SealError> {
        self.committer.background.seal_now()
    }

    /// Waits until the thread behind has filed the keys of everything published: an opening after this finds nothing left to file, whatever
    /// ends the process.
    pub fn settle(&self) {
        self.committer.background.keep_up(0);
    }

    /// The published size.
    pub fn size(&self) -> u64 {
        self.committer.published.size
    }

    /// The time of the last frame, Unix milliseconds; of the log's creation if there is none.
    pub fn last_time_ms(&self) -> u64 {
        self.stager.last_ms
    }

    /// The signature by the log's key over a JWS signing input (RFC 7515 §5.1); `None` for what is none.
    pub fn sign_jws(&self, input: &str) -> Option<[u8; 64]> {
        self.committer.signer.sign_jws(input)
    }

    /// Where snapshots of what is folded out of the log are kept, beside it.
    pub fn snapshots(&self) -> Snapshots {
        let Poison { files, layout, .. } = &self.stager.poison;
        Snapshots::new(files, layout.state())
    }

    /// Where notes about single records are kept, beside it.
    pub fn cases(&self) -> Cases {
        let Poison { files, layout, .. } = &self.stager.poison;
        Cases::new(files, layout.cases())
    }

    /// The log's verification key.
    pub fn verifier_key(&self) -> &VerifierKey {
        &self.stager.poison.shared.identity.key
    }
}

impl Drop for Ledger {
    fn drop(&mut self) {
        self.committer.background.finish();
        if self.stager.poison.check().is_ok() {
            // Only a shorter opening depends on it; an error here leaves the mark before.
            let _only_speed = self.committer.mark();
        }
    }
}

/// What ends a writer for good, in both halves at once.
#[derive(Clone, Debug)]
pub(crate) struct Poison {
    pub(crate) shared: Arc<Shared>,
    pub(crate) files: Files,
    pub(crate) layout: Layout,
}

impl Poison {
    pub(crate) fn check(&self) -> Result<(), AppendError> {
        if self.shared.poisoned.load(Ordering::Acquire) { Err(AppendError::Poisoned) } else { Ok(()) }
    }

    /// From now on nothing is appended; the marker tells the next opening not to believe the page cache.
    pub(crate) fn spread(&self, failure: IoFailure) -> AppendError {
        self.shared.poisoned.store(true, Ordering::Release);
        // As much as can be done on a disk that has just failed; without the marker, recovery rewrites what it believes.
        let _best_effort = self
            .files
            .write_new(&self.layout.poisoned(), Mode::New, format!("{failure}\n").as_bytes())
            .and_then(|()| self.files.sync_dir(&self.layout.dir));
        AppendError::Io(failure)
    }
}

impl Remembered {
    pub(crate) fn of(head: &Head) -> Self {
        Self {
            size: head.checkpoint.size,
            root: head.checkpoint.root,
            time_ms: head.time_ms,
            signature: head.signature,
        }
    }
}
