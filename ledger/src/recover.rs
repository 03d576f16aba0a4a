//! Decides what of a log is the published truth, and only then lets anybody sign.
//!
//! `Unrecovered` (locked, identified, nothing believed) → `recover` → [`Ledger`] and [`Reader`].
//!
//! What stands on disk is judged by the head that is remembered outside the directory (DESIGN §6):
//!
//! | journal | is |
//! |---|---|
//! | ends below the remembered head | an older copy, or entries were lost: refused |
//! | has a broken frame below it | damage, never a torn tail: refused, with file and offset |
//! | has another root at its size | beside it, a fork: refused |
//! | has whole frames above it | perhaps only in the page cache: rewritten to a new segment, synced, then the old tail is cut, then signed |
//! | has frames above it after a recorded I/O error | not believed: cut |
//! | has something broken above it | a torn tail: cut |
//! | has a sealed segment that ends above it | an older memory: what is sealed was published, and later entries too: refused |
//! | has no whole frame above it, and the memory's other slot is damaged | not a torn write, whose frame would be durable: refused |
//!
//! Guarantees: nothing below the remembered head is ever rewritten; nothing is signed before what it covers is durable; the cost does not
//! grow with the log (see `derived.rs`). Does not: check every frame below the mark; fsck and audit do.

pub(crate) mod finish;
mod tail;

use std::path::PathBuf;

use crate::derived::{Derived, Mark};
use crate::frame::FrameHeader;
use crate::layout::{Identity, Layout, SEGMENT_HEADER};
use crate::ledger::Ledger;
use crate::memory::{Memory, Slots};
use crate::open::OpenError;
use crate::reader::Reader;
use crate::rows::Row;
use crate::scan::{JournalScan, Step};
use crate::seal::settle;
use crate::segments::Segments;
use crate::signer::Signer;
use crate::storage::{Files, LockGuard};
use crate::vault_scan::{VaultFrame, VaultScan};

/// A log of which only name, key and memory are known.
#[derive(Debug)]
pub(crate) struct Unrecovered {
    pub(crate) files: Files,
    pub(crate) layout: Layout,
    pub(crate) lock: Box<dyn LockGuard>,
    /// `None` if there is no such file.
    pub(crate) memory_lock: Option<Box<dyn LockGuard>>,
    pub(crate) identity: Identity,
    pub(crate) signer: Signer,
    pub(crate) memory_path: PathBuf,
    /// `None` if its loss is accepted.
    pub(crate) memory: Option<(Memory, Slots)>,
    pub(crate) accept_memory_loss: bool,
    pub(crate) journal: Segments,
    pub(crate) vault: Segments,
    pub(crate) segment_bytes: u64,
    pub(crate) seal: bool,
    /// Entries of the shortest runs of keys: [`RUN`](crate::keys::RUN), or fewer in tests.
    pub(crate) run: u64,
}

impl Unrecovered {
    pub(crate) fn recover(self, now_ms: u64) -> Result<(Ledger, Reader), OpenError> {
        self.journal.remove_left_overs()?;
        // What an interrupted erasure left holds what was to be erased.
        self.vault.remove_left_overs()?;
        settle::forms(&self.journal)?;
        // Derived directories may have been deleted: whatever they held is made again.
        for dir in [self.layout.tree(), self.layout.index()] {
            if !self.files.exists(&dir)? {
                self.files.create_dir(&dir, false)?;
            }
        }
        let (mut derived, certain) = self.derive()?;
        let tail = self.settle_tail(&mut derived, &certain)?;
        self.check_segments(&derived)?;
        let last = derived.last()?;
        let (segment, offset) = last.map_or((0, SEGMENT_HEADER), |row| row.vault_end());
        // Vault bytes that no frame knows: their batch was never in the journal.
        let Some(vault) = self.vault.cut(segment, offset)? else {
            let (file, index) = (self.vault.path(segment), derived.tree.size().saturating_sub(1));
            return Err(OpenError::BrokenVault { file, offset, index });
        };
        if self.files.exists(&self.layout.poisoned())? {
            // Nothing of what the failed writer left is believed any more.
            self.files.remove(&self.layout.poisoned())?;
            self.files.sync_dir(&self.layout.dir)?;
        }
        self.finish(derived, tail, vault, last, now_ms)
    }

    /// Derives tree and rows for all that is certainly published: up to the remembered head, or, if that is lost, to the last segment.
    fn derive(&self) -> Result<(Derived, Certain), OpenError> {
        let mark = Mark::read(&self.files, &self.layout, &self.identity.id)?;
        let certain = match &self.memory {
            Some((_, slots)) => slots.head.size,
            None => self.journal.list()?.last().copied().unwrap_or(0).max(mark.map_or(0, |mark| mark.size)),
        };
        let memory = self.memory.is_some().then_some(self.memory_path.as_path());
        settle::check_followed(&self.journal, certain, memory)?;
        if let Some(mark) = mark.filter(|mark| mark.size > certain)
            && self.files.exists(&self.layout.poisoned())?
        {
            // What lies above the remembered head would be cut, and the mark says that some of it was published.
            let (file, remembered, published) = (self.memory_path.clone(), certain, mark.size);
            return Err(OpenError::MemoryBehind { file, remembered, published });
        }
        let mut first = None;
        if let Some(mark) = mark.filter(|mark| mark.size <= certain)
            && let Some(mut derived) = Derived::resume(&self.files, &self.layout, &self.identity.id, mark)?
        {
            match self.replay(&mut derived, certain) {
                // The tree that was believed up to the mark does not lead to the journal's roots: derive it anew, then judge.
                Err(OpenError::MemoryBeside { .. } | OpenError::BrokenFrame { why: WRONG_ROOT, .. }) => {}
                // The row from which reading went on may be what is wrong, and not the journal.
                Err(
                    error @ (OpenError::BrokenFrame { .. }
                    | OpenError::BrokenVault { .. }
                    | OpenError::MemoryAhead { .. }),
                ) => {
                    first = Some(error);
                }
                judged => return judged.map(|certain| (derived, certain)),
            }
        }
        let mut derived = Derived::fresh(&self.files, &self.layout, &self.identity.id)?;
        // Where reading from the beginning fails too, what was met first is where the damage is.
        let certain = self.replay(&mut derived, certain).map_err(|error| first.unwrap_or(error))?;
        Ok((derived, certain))
    }

    /// Reads frames until the derived files reach `size`, and judges what was found against the remembered head.
    fn replay(&self, derived: &mut Derived, size: u64) -> Result<Certain, OpenError> {
        let last = derived.last()?;
        if let Some(row) = &last {
            self.check_last(derived, row)?;
        }
        let (segment, offset, time_ms) =
            last.map_or((0, SEGMENT_HEADER, 0), |row| (row.segment, row.end_offset(), row.time_ms));
        let (vault_segment, vault_offset) = last.map_or((0, SEGMENT_HEADER), |row| row.vault_end());
        let mut scan = JournalScan::new(&self.journal, segment, offset, derived.tree.size(), time_ms)?;
        let mut vault = VaultScan::new(&self.vault, vault_segment, vault_offset)?;
        while derived.tree.size() < size {
            let index = derived.tree.size();
            let frame = match scan.step()? {
                Step::Frame(frame) => frame,
                Step::End => return Err(self.ahead(size, index)),
                Step::Broken { file, offset, index, why } => {
                    return Err(OpenError::BrokenFrame { file, offset, index, why });
                }
            };
            let parts = vault.frame_of(&frame.header)?;
            let parts =
                parts.map_err(|broken| OpenError::BrokenVault { file: broken.file, offset: broken.offset, index })?;
            if frame.header.end() > size {
                return Err(OpenError::MemoryBeside { file: self.memory_path.clone(), size });
            }
            derived.tree.grow(&frame.body, frame.leaves.len(), |i| frame.leaves.get(i).cloned().unwrap_or_default());
            let root = derived.tree.grown_root(frame.header.end());
            if root != frame.header.root {
                let (file, offset) = (self.journal.present(frame.segment), frame.offset);
                return Err(OpenError::BrokenFrame { file, offset, index, why: WRONG_ROOT });
            }
            let row = row_of(&frame.header, frame.segment, frame.offset, parts.as_ref(), (vault.segment, vault.offset));
            derived.tree.write_nodes()?;
            derived.write_row(&row, |i| frame.leaves.get(i).map_or(0, |leaf| leaf.start as u64 - 2))?;
            derived.accept();
        }
        if let Some((_, slots)) = &self.memory
            && derived.tree.root() != slots.head.root
        {
            return Err(OpenError::MemoryBeside { file: self.memory_path.clone(), size });
        }
        Ok(Certain { segment: scan.segment, offset: scan.offset, overlaps: scan.overlaps })
    }

    /// The last frame below the mark is read whole, so that its damage is not found only when somebody asks for it.
    fn check_last(&self, derived: &Derived, row: &Row) -> Result<(), OpenError> {
        let mut scan = JournalScan::new(&self.journal, row.segment, row.offset, row.first, row.time_ms)?;
        let index = row.first;
        match scan.step()? {
            Step::Frame(frame) if (frame.header.end(), frame.header.time_ms) == (row.end(), row.time_ms) => {
                if frame.header.root == derived.tree.root() {
                    return Ok(());
                }
                let (file, offset) = (self.journal.present(frame.segment), frame.offset);
                Err(OpenError::BrokenFrame { file, offset, index, why: WRONG_ROOT })
            }
            Step::Frame(frame) => {
                let (file, offset) = (self.journal.present(frame.segment), frame.offset);
                Err(OpenError::BrokenFrame { file, offset, index, why: WRONG_ROOT })
            }
            Step::End => match &self.memory {
                Some((_, slots)) => Err(self.ahead(slots.head.size, index)),
                None => Err(OpenError::BrokenFrame {
                    file: self.journal.present(row.segment),
                    offset: row.offset,
                    index,
                    why: "it is missing",
                }),
            },
            Step::Broken { file, offset, index, why } => Err(OpenError::BrokenFrame { file, offset, index, why }),
        }
    }

    /// Every journal segment that the rows name is there, so that a missing file is not found only by its readers: one look-up a segment
    /// (64 MiB), of the entry before the next one. Were a segment missing, that entry would be in it.
    fn check_segments(&self, derived: &Derived) -> Result<(), OpenError> {
        let size = derived.tree.size();
        let missing = |first: u64, index: u64| {
            let file = self.journal.path(first);
            Err(OpenError::BrokenFrame { file, offset: 0, index, why: "the segment is missing" })
        };
        let list: Vec<u64> = self.journal.list()?.into_iter().filter(|first| *first < size).collect();
        if size > 0 && list.first() != Some(&0) {
            return missing(0, 0);
        }
        let ends = list.iter().copied().skip(1).chain([size]);
        for (first, end) in list.iter().copied().zip(ends) {
            match derived.rows.find(end - 1, derived.frames)? {
                Some((_, row)) if row.segment == first => {}
                Some((_, row)) => return missing(row.segment, end - 1),
                None => return missing(first, end - 1),
            }
        }
        Ok(())
    }

    fn ahead(&self, remembered: u64, size: u64) -> OpenError {
        OpenError::MemoryAhead { file: self.memory_path.clone(), remembered, size }
    }
}

const WRONG_ROOT: &str = "its root is not that of its entries and those before";

/// The end of what is certainly published.
#[derive(Debug)]
struct Certain {
    segment: u64,
    offset: u64,
    overlaps: Vec<(u64, u64)>,
}

pub(crate) fn row_of(
    header: &FrameHeader,
    segment: u64,
    offset: u64,
    parts: Option<&VaultFrame>,
    vault_end: (u64, u64),
) -> Row {
    let (vault_segment, vault_offset, vault_len) = match parts {
        Some(parts) => (parts.segment, parts.offset, u32::try_from(parts.header.len()).unwrap_or(u32::MAX)),
        None => (vault_end.0, vault_end.1, 0),
    };
    Row {
        first: header.first,
        count: header.count,
        body_len: header.body_len,
        time_ms: header.time_ms,
        segment,
        offset,
        vault_segment,
        vault_offset,
        vault_len,
    }
}
