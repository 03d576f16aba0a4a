//! The second half of an append: the step after which a batch is in the log.
//!
//! frame sync → confirm entries and tree → sign → memory sync → publish, in this order, one batch after the other.
//!
//! Guarantees: a head that leaves here is of a durable batch, signed, and remembered outside the directory; it is over what was staged and
//! nothing else. Does not: retry anything, ever (a second fsync may "succeed" and lie).

use std::borrow::Borrow;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use crate::background::{Background, MAX_BEHIND};
use crate::batch::Batch;
use crate::derived::Mark;
use crate::head::Head;
use crate::ledger::{AppendError, Appended, Poison, Syncs};
use crate::memory::{Memory, Remembered};
use crate::reader::Published;
use crate::rows::Row;
use crate::segments::Tail;
use crate::signer::Signer;
use crate::stage::{Rooms, Staged};
use crate::storage::IoFailure;
use crate::tree::{confirm, flipped};

/// Commits what was staged, one batch after the other. See [`Ledger::split`](crate::Ledger::split).
#[derive(Debug)]
pub struct Committer {
    pub(crate) poison: Poison,
    pub(crate) signer: Arc<Signer>,
    pub(crate) journal: Tail,
    pub(crate) memory: Memory,
    /// Frames under the published head, and its size.
    pub(crate) published: Mark,
    pub(crate) segment_bytes: u64,
    pub(crate) background: Background,
    /// Closed segments are sealed in the background.
    pub(crate) seal: bool,
    /// The journal went on in a new segment that nothing is published in yet.
    pub(crate) rolled: bool,
    pub(crate) rooms: Rooms,
    pub(crate) scratch: Vec<u8>,
}

impl Committer {
    /// Commits a staged batch, and returns it once it is published.
    ///
    /// # Errors
    /// [`AppendError::Io`] poisons the ledger: what became of the batch is known only after the log is opened again.
    /// [`AppendError::OutOfOrder`] where what was staged before it was never committed.
    pub fn commit<B: Borrow<Batch>>(&mut self, staged: Staged<B>) -> Result<(Appended, B), AppendError> {
        self.poison.check()?;
        if self.poison.shared.frozen.load(Ordering::Acquire) {
            return Err(AppendError::Frozen);
        }
        let first = staged.header.first;
        if first != self.published.size {
            return Err(AppendError::OutOfOrder { first, size: self.published.size });
        }
        self.background.keep_up(MAX_BEHIND);
        let (head, syncs) = self.keep(&staged).map_err(|failure| self.poison.spread(failure))?;
        self.rooms.give(staged.growth);
        Ok((Appended { first, head, syncs }, staged.batch))
    }

    fn keep<B: Borrow<Batch>>(&mut self, staged: &Staged<B>) -> Result<(Arc<Head>, Syncs), IoFailure> {
        let (batch, header) = (staged.batch.borrow(), &staged.header);
        self.roll(header.first)?;
        let row = self.row(staged);
        self.journal.write(&[&header.encode(), &batch.arena])?;
        // If we crash here, the frame may be in the page cache only, with a good checksum: recovery rewrites and syncs it, or finds it torn.
        let start = |position| batch.leaf_range(position).start.saturating_sub(2) as u64;
        self.poison.shared.rows.write(self.published.frames, &row, start)?;
        let journal = self.journal.sync()?;
        // If we crash here, the frame is whole above the remembered head; recovery signs the same head.
        self.confirm(staged)?;
        let head = Head::sign(&self.signer, header.end(), header.root, header.time_ms);
        let memory = self.memory.remember(&Remembered::of(&head))?;
        // If we crash here, the head is remembered and nobody was told; after recovery it is the published one.
        let head = self.publish(batch, header.first, head);
        if self.seal && self.rolled {
            self.background.seal();
        }
        self.rolled = false;
        Ok((head, Syncs { vault: staged.vault_sync, journal, memory }))
    }

    /// Goes on in a new segment where the old one is full: from there on an opening need not read it, since everything in it is published.
    fn roll(&mut self, first: u64) -> Result<(), IoFailure> {
        if self.journal.offset >= self.segment_bytes {
            self.background.mark(self.published);
        }
        self.rolled |= self.journal.roll_if_full(&self.poison.shared.journal, first, self.segment_bytes)?;
        Ok(())
    }

    fn row<B>(&self, staged: &Staged<B>) -> Row {
        let (header, vault) = (&staged.header, staged.vault);
        Row {
            first: header.first,
            count: header.count,
            body_len: header.body_len,
            time_ms: header.time_ms,
            segment: self.journal.first,
            offset: self.journal.offset,
            vault_segment: vault.segment,
            vault_offset: vault.offset,
            vault_len: vault.len,
        }
    }

    /// Refuses to go on if a bit flipped since the batch came: its entries must still be those that the checksum was taken of before they
    /// were hashed, and the tree as stored must extend what is published to the root that is about to be signed.
    fn confirm<B: Borrow<Batch>>(&mut self, staged: &Staged<B>) -> Result<(), IoFailure> {
        let (Poison { shared, layout, .. }, header) = (&self.poison, &staged.header);
        if crc32fast::hash(&staged.batch.borrow().arena) != header.body_crc {
            return Err(flipped(&layout.journal(), "the entries are not those that were hashed"));
        }
        let before = shared.published.load().head.checkpoint.root;
        confirm(&shared.levels, &staged.growth, header.first, &before, &header.root, &mut self.scratch)
    }

    fn publish(&mut self, batch: &Batch, first: u64, head: Head) -> Arc<Head> {
        let shared = &self.poison.shared;
        let permits = batch.permits.iter().map(|(position, permit)| (first + u64::from(*position), *permit));
        shared.keys.leave(permits);
        self.published = Mark { size: head.checkpoint.size, frames: self.published.frames + 1 };
        let head = Arc::new(head);
        shared.frozen.store(batch.freezes, Ordering::Release);
        shared.published.store(Arc::new(Published { head: head.clone(), frames: self.published.frames }));
        self.background.file(self.published.size);
        head
    }

    /// The derived files are durable up to what is published; only a shorter opening depends on it.
    pub(crate) fn mark(&self) -> Result<(), IoFailure> {
        let Poison { shared, files, layout } = &self.poison;
        self.published.set(files, layout, &shared.identity.id, &shared.levels, &shared.rows)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::storage::ram::Ram;
    use crate::{Ledger, Options, create_in, default_memory};
    use std::path::Path;
    use verifier::record::Record;

    fn ledger() -> Ledger {
        let (ram, dir) = (Ram::new(), Path::new("/log"));
        create_in(Arc::new(ram.process()), dir, &default_memory(dir), "log.example/test", 1).unwrap();
        let options = Options { seal: false, ..Options::new(dir) };
        Ledger::open_in(Arc::new(ram.process()), options, 1).unwrap().0
    }

    fn batch(count: u64) -> Batch {
        let mut batch = Batch::default();
        for size in 0..count {
            batch.push(&Record::Recovery { recorded_at: 1, size, cause: "drill".to_owned() }, None).unwrap();
        }
        batch
    }

    #[test]
    fn a_bit_of_an_entry_that_flips_between_hashing_and_signing_is_refused() {
        let mut ledger = ledger();
        // Few entries, and so many that all cores hash them.
        for (time_ms, count) in [(1, 3), (2, 2000)] {
            let (stager, committer) = ledger.split();
            let mut staged = stager.stage(batch(count), time_ms).unwrap();
            for bit in (0..staged.batch.arena.len() * 8).step_by(1 + staged.batch.arena.len() / 64) {
                staged.batch.arena[bit / 8] ^= 1 << (bit % 8);
                let failure = committer.confirm(&staged).unwrap_err();
                assert!(failure.to_string().contains("the entries are not those that were hashed"), "bit {bit}");
                staged.batch.arena[bit / 8] ^= 1 << (bit % 8);
            }
            committer.confirm(&staged).unwrap();
            // What is about to be signed is what was hashed.
            staged.header.root.0[7] ^= 1;
            assert!(committer.confirm(&staged).is_err());
            staged.header.root.0[7] ^= 1;
            committer.commit(staged).unwrap();
        }
        assert_eq!(ledger.size(), 2003);
    }

    #[test]
    fn what_is_staged_before_its_predecessor_is_committed_gives_the_log_that_one_by_one_gives() {
        let (mut ahead, mut one_by_one) = (ledger(), ledger());
        let counts = [3, 1, 2000, 7, 1500];
        let (stager, committer) = ahead.split();
        let (send, staged) = std::sync::mpsc::sync_channel(1);
        std::thread::scope(|scope| {
            scope.spawn(move || {
                for count in counts {
                    send.send(stager.stage(batch(count), 5).unwrap()).unwrap();
                }
            });
            for count in counts {
                let (done, _) = committer.commit(staged.recv().unwrap()).unwrap();
                let other = one_by_one.append(&batch(count), 5).unwrap();
                assert_eq!((done.first, done.head.checkpoint.root), (other.first, other.head.checkpoint.root));
            }
        });
        assert_eq!(ahead.size(), one_by_one.size());
    }

    #[test]
    fn a_batch_whose_predecessor_was_staged_and_never_committed_is_refused() {
        let mut ledger = ledger();
        ledger.append(&batch(2), 1).unwrap();
        let (stager, committer) = ledger.split();
        drop(stager.stage(batch(3), 1).unwrap());
        let staged = stager.stage(batch(1), 1).unwrap();
        assert!(matches!(committer.commit(staged), Err(AppendError::OutOfOrder { first: 5, size: 2 })));
        assert!(matches!(ledger.append(&batch(1), 1), Err(AppendError::OutOfOrder { first: 6, size: 2 })));
        assert_eq!(ledger.size(), 2);
    }

    #[test]
    fn nothing_that_was_staged_behind_a_freeze_is_committed() {
        let mut ledger = ledger();
        let mut last = batch(2);
        last.freezes = true;
        let (stager, committer) = ledger.split();
        let (freeze, behind) = (stager.stage(last, 1).unwrap(), stager.stage(batch(1), 1).unwrap());
        committer.commit(freeze).unwrap();
        assert!(matches!(committer.commit(behind), Err(AppendError::Frozen)));
        assert!(matches!(stager.stage(batch(1), 1), Err(AppendError::Frozen)));
        assert_eq!(ledger.size(), 2);
    }
}
