//! The writer: one batch at a time, in the commit order of DESIGN §6.
//!
//! vault sync → frame sync → confirm entries and tree → sign → memory sync → publish. Only after the last step does anybody learn of the batch.
//!
//! Guarantees: [`Ledger::append`] returns a head only when its batch is durable, its head signed and remembered outside the directory, and
//! published. After the first I/O error the writer is poisoned for good: the log must be opened again, which believes nothing above the
//! remembered head. Does not: retry anything, ever (a second fsync may "succeed" and lie).

use std::sync::Arc;
use std::sync::atomic::Ordering;

use verifier::hash::Hash;
use verifier::note::VerifierKey;

use crate::background::Background;
use crate::batch::Batch;
use crate::derived::{Derived, Mark, flipped};
use crate::frame::{FRAME_HEADER, FrameHeader};
use crate::grow::PARALLEL_FROM;
use crate::head::Head;
use crate::layout::Layout;
use crate::memory::{Memory, Remembered};
use crate::reader::{Published, Shared};
use crate::rows::Row;
use crate::seal::SealError;
use crate::segments::Tail;
use crate::signer::Signer;
use crate::storage::{Files, IoFailure, LockGuard, Mode};
use crate::vault;

/// From so many bytes on, a body without private parts is written and synced while it is hashed, and its header with a second, short sync
/// (0.2 ms; hashing 1 MiB of 256 B entries takes 0.6 ms on two cores).
const EARLY_BYTES: usize = 1 << 20;

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
    /// An earlier append failed; the log must be opened again.
    #[error("the ledger stopped after an I/O error and must be opened again")]
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
}

/// The one writer of a log. It holds the locks of directory and memory for as long as it lives.
#[derive(Debug)]
pub struct Ledger {
    pub(crate) shared: Arc<Shared>,
    pub(crate) signer: Arc<Signer>,
    pub(crate) files: Files,
    pub(crate) layout: Layout,
    pub(crate) derived: Derived,
    pub(crate) journal: Tail,
    pub(crate) vault: Tail,
    pub(crate) memory: Memory,
    pub(crate) last_ms: u64,
    pub(crate) segment_bytes: u64,
    pub(crate) vault_head: Vec<u8>,
    pub(crate) background: Background,
    /// Closed segments are sealed in the background.
    pub(crate) seal: bool,
    /// The journal went on in a new segment that nothing is published in yet.
    pub(crate) rolled: bool,
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
        if self.shared.poisoned.load(Ordering::Acquire) {
            return Err(AppendError::Poisoned);
        }
        if self.shared.frozen.load(Ordering::Acquire) {
            return Err(AppendError::Frozen);
        }
        if batch.is_empty() {
            return Err(AppendError::Empty);
        }
        if time_ms < self.last_ms {
            return Err(AppendError::TimeBackwards { time_ms, last_ms: self.last_ms });
        }
        self.background.keep_up();
        self.commit(batch, time_ms).map_err(|failure| {
            self.poison(&failure);
            AppendError::Io(failure)
        })
    }

    /// Seals every journal segment that can be and is not (see `sealed.rs`), and waits for it: all but the last, and one before it while
    /// that is empty. Answers how many were sealed now.
    ///
    /// # Errors
    /// The last failure, if there was one: the segments that it concerns stay as they were, and the log goes on.
    pub fn seal(&self) -> Result<u64, SealError> {
        self.background.seal_now()
    }

    /// The published size.
    pub fn size(&self) -> u64 {
        self.derived.size()
    }

    /// The time of the last frame, Unix milliseconds; of the log's creation if there is none.
    pub fn last_time_ms(&self) -> u64 {
        self.last_ms
    }

    /// The log's verification key.
    pub fn verifier_key(&self) -> &VerifierKey {
        &self.shared.identity.key
    }

    fn commit(&mut self, batch: &Batch, time_ms: u64) -> Result<Appended, IoFailure> {
        let header = self.keep(batch, time_ms)?;
        // If we crash here, the frame is whole above the remembered head; recovery signs the same head.
        self.confirm(batch, &header)?;
        let head = Head::sign(&self.signer, header.end(), header.root, time_ms);
        self.memory.remember(&Remembered::of(&head))?;
        // If we crash here, the head is remembered and nobody was told; after recovery it is the published one.
        self.derived.accept();
        self.last_ms = time_ms;
        let head = self.publish(batch, header.first, head);
        if self.seal && self.rolled {
            self.background.seal();
        }
        self.rolled = false;
        Ok(Appended { first: header.first, head })
    }

    /// Makes the batch durable: its private parts, then its frame; computes the tree and writes it, un-synced. Answers the frame's header.
    fn keep(&mut self, batch: &Batch, time_ms: u64) -> Result<FrameHeader, IoFailure> {
        let first = self.derived.size();
        let early = self.prepare(batch, first)?;
        let done = self.derive_while_writing(batch, first, early)?;
        // If we crash here, the vault has a tail, and the journal perhaps a body, that no frame knows; recovery cuts both.
        let (header, row) = self.plan(batch, first, time_ms, &done);
        if early {
            self.journal.write(&[&header.encode()])?;
            self.journal.skip(batch.arena.len());
        } else {
            self.journal.write(&[&header.encode(), &batch.arena])?;
        }
        // If we crash here, the frame may be in the page cache only, with a good checksum: recovery rewrites and syncs it, or finds it torn.
        self.derived.write_row(&row, |position| batch.leaf_range(position).start.saturating_sub(2) as u64)?;
        self.journal.sync()?;
        Ok(header)
    }

    /// Refuses to go on if a bit flipped since the batch came: its entries must still be those that the checksum was taken of before they
    /// were hashed, and the tree as stored must extend what is published to the root that is about to be signed.
    fn confirm(&mut self, batch: &Batch, header: &FrameHeader) -> Result<(), IoFailure> {
        let published = self.shared.published.load();
        let (layout, derived) = (&self.layout, &mut self.derived);
        let entries = || {
            let same = crc32fast::hash(&batch.arena) == header.body_crc;
            if same { Ok(()) } else { Err(flipped(&layout.journal(), "the entries are not those that were hashed")) }
        };
        let mut tree = || derived.confirm(&published.head.checkpoint.root, &header.root);
        let (entries, tree) =
            if batch.len() < PARALLEL_FROM { (entries(), tree()) } else { rayon::join(entries, tree) };
        entries.and(tree)
    }

    /// Goes on in new segments where the old ones are full; answers whether the body is to be synced while it is hashed.
    fn prepare(&mut self, batch: &Batch, first: u64) -> Result<bool, IoFailure> {
        if self.journal.offset >= self.segment_bytes {
            // The segment is full and everything in it published: from here on an opening need not read it.
            self.background.mark(self.mark());
        }
        self.rolled |= self.journal.roll_if_full(&self.shared.journal, first, self.segment_bytes)?;
        if batch.parts_count > 0 {
            self.vault.roll_if_full(&self.shared.vault, first, self.segment_bytes)?;
        }
        Ok(batch.parts_count == 0 && batch.arena.len() >= EARLY_BYTES)
    }

    /// Hashes the batch on all cores and writes the tree's new nodes while this thread waits for the disk: for the vault, or for a large
    /// body whose header follows.
    fn derive_while_writing(&mut self, batch: &Batch, first: u64, early: bool) -> Result<Prepared, IoFailure> {
        let Self { derived, vault, journal, vault_head, .. } = self;
        let mut write = || {
            if early {
                journal.write_ahead(FRAME_HEADER, &batch.arena)?;
            }
            keep_private_parts(batch, first, vault, vault_head)
        };
        let mut body_crc = 0;
        let mut derive = || {
            // First, so that a bit that flips while it is hashed or before it is written shows before anybody signs.
            body_crc = crc32fast::hash(&batch.arena);
            derived.grow(&batch.arena, batch.len(), |position| batch.leaf_range(position));
            derived.write_nodes()
        };
        let (nodes, parts) = if batch.len() < PARALLEL_FROM {
            (derive(), write())
        } else {
            let mut nodes = Ok(());
            let parts = rayon::in_place_scope(|scope| {
                scope.spawn(|_| nodes = derive());
                write()
            });
            (nodes, parts)
        };
        nodes?;
        Ok(Prepared { vault_len: parts?, root: derived.grown_root(first + batch.len() as u64), body_crc })
    }

    fn plan(&self, batch: &Batch, first: u64, time_ms: u64, done: &Prepared) -> (FrameHeader, Row) {
        let count = u32::try_from(batch.len()).unwrap_or(u32::MAX);
        let body_len = u32::try_from(batch.arena.len()).unwrap_or(u32::MAX);
        let Prepared { root, body_crc, vault_len } = *done;
        let header = FrameHeader { first, count, parts: batch.parts_count, body_len, time_ms, root, body_crc };
        let row = Row {
            first,
            count,
            body_len,
            time_ms,
            segment: self.journal.first,
            offset: self.journal.offset,
            vault_segment: self.vault.first,
            vault_offset: self.vault.offset - u64::from(vault_len),
            vault_len,
        };
        (header, row)
    }

    fn publish(&mut self, batch: &Batch, first: u64, head: Head) -> Arc<Head> {
        let permits = batch.permits.iter().map(|(position, permit)| (first + u64::from(*position), *permit));
        self.shared.keys.leave(permits);
        let head = Arc::new(head);
        self.shared.frozen.store(batch.freezes, Ordering::Release);
        self.shared.published.store(Arc::new(Published { head: head.clone(), frames: self.derived.frames }));
        self.background.file(self.derived.size());
        head
    }

    /// What is published now.
    fn mark(&self) -> Mark {
        Mark { size: self.derived.size(), frames: self.derived.frames }
    }

    /// From now on nothing is appended; the marker tells the next opening not to believe the page cache.
    fn poison(&self, failure: &IoFailure) {
        self.shared.poisoned.store(true, Ordering::Release);
        // As much as can be done on a disk that has just failed; without the marker, recovery rewrites what it believes.
        let _best_effort = self
            .files
            .write_new(&self.layout.poisoned(), Mode::New, format!("{failure}\n").as_bytes())
            .and_then(|()| self.files.sync_dir(&self.layout.dir));
    }
}

/// What a frame's header and row need beside the batch.
struct Prepared {
    root: Hash,
    body_crc: u32,
    vault_len: u32,
}

/// Writes and syncs the batch's private parts; answers the length of their frame.
fn keep_private_parts(batch: &Batch, first: u64, vault: &mut Tail, head: &mut Vec<u8>) -> Result<u32, IoFailure> {
    if batch.parts_count == 0 {
        return Ok(0);
    }
    let body_len = u32::try_from(batch.parts.len()).unwrap_or(u32::MAX);
    vault::encode_head(first, &batch.parts_at, body_len, head);
    vault.write(&[head, &batch.parts])?;
    vault.sync()?;
    Ok(u32::try_from(head.len() + batch.parts.len()).unwrap_or(u32::MAX))
}

impl Drop for Ledger {
    fn drop(&mut self) {
        self.background.finish();
        if !self.shared.poisoned.load(Ordering::Acquire) {
            let (log, derived) = (&self.shared.identity.id, &self.derived);
            // Only a shorter opening depends on it; an error here leaves the mark before.
            let _only_speed = self.mark().set(&self.files, &self.layout, log, &derived.levels, &derived.rows);
        }
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::storage::ram::Ram;
    use crate::{Options, create_in, default_memory};
    use std::path::Path;
    use verifier::record::Record;

    #[test]
    fn a_bit_of_an_entry_that_flips_between_hashing_and_signing_is_refused() {
        let (ram, dir) = (Ram::new(), Path::new("/log"));
        create_in(Arc::new(ram.process()), dir, &default_memory(dir), "log.example/test", 1).unwrap();
        let options = Options { seal: false, ..Options::new(dir) };
        let (mut ledger, _reader) = Ledger::open_in(Arc::new(ram.process()), options, 1).unwrap();
        // Few entries, and so many that all cores hash them.
        for (time_ms, count) in [(1, 3), (2, 2000)] {
            let mut batch = Batch::default();
            for size in 0..count {
                let record = Record::Recovery { recorded_at: time_ms, size, cause: "drill".to_owned() };
                batch.push(&record, None).unwrap();
            }
            let header = ledger.keep(&batch, time_ms).unwrap();
            for bit in (0..batch.arena.len() * 8).step_by(1 + batch.arena.len() / 64) {
                batch.arena[bit / 8] ^= 1 << (bit % 8);
                let failure = ledger.confirm(&batch, &header).unwrap_err();
                assert!(failure.to_string().contains("the entries are not those that were hashed"), "bit {bit}");
                batch.arena[bit / 8] ^= 1 << (bit % 8);
            }
            ledger.confirm(&batch, &header).unwrap();
            // What is about to be signed is what was hashed.
            let mut other = header;
            other.root.0[7] ^= 1;
            assert!(ledger.confirm(&batch, &other).is_err());
            let head = Head::sign(&ledger.signer, header.end(), header.root, time_ms);
            ledger.derived.accept();
            ledger.publish(&batch, header.first, head);
        }
    }
}
