//! The last step of recovery: everything is durable, so sign, remember, publish.
//!
//! Guarantees: the head is remembered before anybody can read it; a loss of the memory that the operator accepted stands in the log before the
//! log is handed out. Does not: judge what stands on disk.

use std::sync::Arc;
use std::sync::atomic::AtomicBool;

use arc_swap::ArcSwap;
use verifier::record::Record;

use super::Unrecovered;
use crate::background::{Background, MAX_BEHIND};
use crate::batch::{Batch, BatchError};
use crate::commit::Committer;
use crate::create::sync_parent;
use crate::derived::{Derived, Mark};
use crate::head::Head;
use crate::keys::{FAN, Keys, RUN};
use crate::ledger::{AppendError, Ledger, Poison};
use crate::memory::{Memory, Remembered};
use crate::open::OpenError;
use crate::reader::{MAX_ENTRIES, Published, ReadError, Reader, Shared};
use crate::rows::Row;
use crate::scan::{JournalScan, Step};
use crate::segments::Tail;
use crate::stage::{Rooms, Stager};

// The thread behind the writer may leave so many entries to be filed, and the maps so many that no run covers.
const _: () = assert!(MAX_BEHIND <= RUN * FAN);

impl Unrecovered {
    /// Everything is durable: sign, remember, publish.
    pub(super) fn finish(
        self,
        derived: Derived,
        journal: Tail,
        vault: Tail,
        last: Option<Row>,
        now_ms: u64,
    ) -> Result<(Ledger, Reader), OpenError> {
        let last_ms = last.map_or(self.identity.created_ms, |row| row.time_ms);
        let frozen = self.ends_in_a_freeze(last.as_ref())?;
        let lost =
            self.memory.as_ref().is_none_or(|(_, slots)| slots.damaged && derived.tree.size() == slots.head.size);
        if frozen && lost {
            return Err(OpenError::FrozenWithoutMemory { dir: self.layout.dir });
        }
        let head = Head::sign(&self.signer, derived.tree.size(), derived.tree.confirmed_root()?, last_ms);
        let (memory, memory_lock, lost) = match self.memory {
            Some((mut memory, slots)) => {
                // Always, even if nothing changed: the slot that we believed may never have reached the medium.
                memory.renew(&slots.head)?;
                let grown = head.checkpoint.size > slots.head.size;
                if grown {
                    memory.remember(&Remembered::of(&head))?;
                }
                (memory, self.memory_lock, (slots.damaged && !grown).then_some("a slot of the memory was damaged"))
            }
            None => {
                if self.files.exists(&self.memory_path)? {
                    self.files.remove(&self.memory_path)?;
                }
                let memory = Memory::create(&self.files, &self.memory_path, self.identity.id)?;
                // Of the file that was just removed.
                drop(self.memory_lock);
                let Some(lock) = self.files.lock(&self.memory_path)? else {
                    return Err(OpenError::MemoryLocked { file: self.memory_path });
                };
                (memory, Some(lock), Some("memory lost"))
            }
        };
        if self.files.exists(&self.layout.archived_head())? {
            // It was an archive; from here on the memory alone says what was published.
            self.files.remove(&self.layout.archived_head())?;
            self.files.sync_dir(&self.layout.dir)?;
        }
        let (log, signer) = (self.identity.id, Arc::new(self.signer));
        let shared = Arc::new(Shared {
            identity: self.identity,
            files: self.files.clone(),
            layout: self.layout.clone(),
            signer: Some(signer.clone()),
            levels: derived.tree.levels.clone(),
            rows: derived.rows.clone(),
            journal: self.journal,
            vault: self.vault,
            keys: Keys::open(
                &self.files,
                &self.layout.index(),
                log,
                derived.tree.levels.clone(),
                derived.tree.size(),
                self.run,
            )?,
            published: ArcSwap::from_pointee(Published { head: Arc::new(head), frames: derived.frames }),
            poisoned: AtomicBool::new(false),
            frozen: AtomicBool::new(frozen),
            _lock: None,
        });
        let reader = Reader { shared: shared.clone() };
        file_keys(&reader)?;
        let background = Background::start(&self.files, &self.layout, &shared, derived.tree.size(), self.seal)?;
        let published = Mark { size: derived.tree.size(), frames: derived.frames };
        if Mark::read(&self.files, &self.layout, &log)?.is_none_or(|mark| mark.size < published.size) {
            // What was derived now need not be derived again if we crash: were the mark left to whoever closes the log or a full segment, a
            // log that is only ever killed would be read from further and further back.
            background.mark(published);
        }
        let (poison, rooms) = (Poison { shared, files: self.files, layout: self.layout }, Rooms::default());
        let stager = Stager {
            poison: poison.clone(),
            tree: derived.tree,
            vault,
            vault_head: Vec::new(),
            segment_bytes: self.segment_bytes,
            last_ms,
            rooms: rooms.clone(),
        };
        let committer = Committer {
            poison,
            signer,
            journal,
            memory,
            published,
            segment_bytes: self.segment_bytes,
            background,
            seal: self.seal,
            rolled: false,
            rooms,
            scratch: Vec::new(),
        };
        let mut ledger = Ledger { stager, committer, _locks: (self.lock, memory_lock) };
        if let Some(lost) = lost {
            // The memory has no head, or a damaged slot, until the loss is in the log: if we crash here, the operator is asked again.
            sync_parent(&ledger.stager.poison.files, &self.memory_path)?;
            let recorded_at = now_ms.max(last_ms);
            let mut batch = Batch::default();
            let cause = format!("{lost}; its loss was accepted by the operator");
            batch.push(&Record::Recovery { recorded_at, size: ledger.size(), cause }, None)?;
            ledger.append(&batch, recorded_at).map_err(|error| match error {
                AppendError::Io(failure) => OpenError::Io(failure),
                AppendError::Empty
                | AppendError::TimeBackwards { .. }
                | AppendError::Frozen
                | AppendError::OutOfOrder { .. }
                | AppendError::Poisoned => OpenError::Unrecorded(BatchError::Full),
            })?;
        }
        Ok((ledger, reader))
    }

    /// Whether the last record is a freeze. One frame is read, however long the log is.
    fn ends_in_a_freeze(&self, last: Option<&Row>) -> Result<bool, OpenError> {
        let Some(row) = last else { return Ok(false) };
        let mut scan = JournalScan::new(&self.journal, row.segment, row.offset, row.first, row.time_ms)?;
        let frame = match scan.step()? {
            Step::Frame(frame) => frame,
            Step::End | Step::Broken { .. } => {
                let (file, index) = (self.journal.path(row.segment), row.first);
                return Err(OpenError::BrokenFrame { file, offset: row.offset, index, why: "it is missing" });
            }
        };
        let leaf = frame.leaves.last().and_then(|leaf| frame.body.get(leaf.clone())).unwrap_or_default();
        let index = row.end().saturating_sub(1);
        let record = Record::decode(leaf).map_err(|source| ReadError::NotARecord { index, source })?;
        Ok(matches!(record, Record::Freeze { .. }))
    }
}

/// Files the keys of all entries that no run covers. Merging them is left to the thread behind the writer, unless there are more than it can
/// have left: then runs were lost, all of them are made anew, and there would be too many.
pub(crate) fn file_keys(reader: &Reader) -> Result<(), ReadError> {
    let (keys, size) = (&reader.shared.keys, reader.size());
    let mut next = keys.upto();
    let anew = size - next.min(size) > keys.most_left();
    while next < size {
        let count = (size - next).min(MAX_ENTRIES);
        let mut permits = Vec::new();
        for (index, leaf) in (next..).zip(reader.entries(next, count)?) {
            let record = Record::decode(&leaf).map_err(|source| ReadError::NotARecord { index, source })?;
            if let Record::Decision(decision) = record {
                permits.push((index, decision.permit));
            }
        }
        keys.leave(permits.into_iter());
        next += count;
        if keys.file(next)? && anew {
            keys.settle()?;
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;
    use std::path::{Path, PathBuf};

    use verifier::record::Record;

    use super::*;
    use crate::runs::{Kind, Span};
    use crate::small::{DIR, SHORT, append, new_log, open, permit, record};
    use crate::storage::ram::Ram;

    fn index(ram: &Ram) -> BTreeMap<PathBuf, Vec<u8>> {
        ram.snapshot().into_iter().filter(|(path, _)| path.starts_with(Path::new(DIR).join("index"))).collect()
    }

    /// Lost runs of a long log are written and merged in one go: were merging left for later, as many files as the log has shortest runs would
    /// be open at once.
    #[test]
    fn an_index_that_is_lost_is_made_again_while_opening_and_merged_on_the_way() {
        const SIZE: u64 = 5_000;
        let ram = new_log();
        let mut ledger = open(&ram).0;
        while ledger.size() < SIZE {
            let first = ledger.size();
            append(&mut ledger, first..SIZE.min(first + 700));
        }
        drop(ledger);
        let before = index(&ram);
        // 5,000 = 2 · 2,048 + 7 · 128 + 8: of each kind two that were merged twice, seven merged once, one short; and three files of rows.
        let runs = before.keys().filter(|path| path.extension().is_some_and(|end| end == "run"));
        assert_eq!(runs.count(), 2 * (2 + 7 + 1));

        before.keys().for_each(|path| ram.lose(path));
        ram.lose(&Path::new(DIR).join("index"));
        ram.record();
        let (ledger, reader) = open(&ram);
        let made = |kind, first, end| {
            let name = Span { kind, first, end }.file_name() + ".new";
            let history = ram.history();
            history.iter().position(|(_, path)| path.file_name().is_some_and(|other| other == &*name)).unwrap()
        };
        for kind in Kind::ALL {
            // Entries are filed 1,024 at a time: no run of those behind is written before all that can be merged is.
            for step in (MAX_ENTRIES..SIZE).step_by(1_024) {
                assert!(made(kind, step - 128, step) < made(kind, step, step + SHORT), "{step}");
            }
            assert!(made(kind, 0, 2_048) < made(kind, 2_048, 2_048 + SHORT));
        }
        for number in 0..SIZE {
            let leaf = verifier::hash::leaf_hash(&record(number).encode());
            assert_eq!(reader.leaf(&leaf).unwrap(), Some(number));
            if let Record::Decision(decision) = record(number) {
                assert_eq!(decision.permit, permit(number));
                assert_eq!(reader.permit(&decision.permit).unwrap(), Some(number));
            }
        }
        drop(ledger);
        assert_eq!(index(&ram), before, "the same bytes");
    }
}
