//! The first half of an append: everything that may be done while the batch before is still on its way to the disk.
//!
//! Private parts are written and synced to the vault; beside that, on all cores, the entries are hashed and the tree's new nodes written.
//!
//! Guarantees: nothing here is published or signed, nor stands in the journal, so a batch that is staged and never committed leaves only
//! vault bytes and nodes that no frame knows; the next opening cuts both. Does not: wait for the batch before, or know whether it will last.

use std::borrow::Borrow;
use std::sync::atomic::Ordering;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use crate::batch::Batch;
use crate::frame::FrameHeader;
use crate::grow::{Growth, PARALLEL_FROM};
use crate::ledger::{AppendError, Poison};
use crate::segments::Tail;
use crate::storage::IoFailure;
use crate::tree::Tree;
use crate::vault;

/// Stages batches, one after the other. See [`Ledger::split`](crate::Ledger::split).
#[derive(Debug)]
pub struct Stager {
    pub(crate) poison: Poison,
    pub(crate) tree: Tree,
    pub(crate) vault: Tail,
    pub(crate) vault_head: Vec<u8>,
    pub(crate) segment_bytes: u64,
    /// The time of the last batch that was staged, Unix milliseconds.
    pub(crate) last_ms: u64,
    pub(crate) rooms: Rooms,
}

/// A batch whose tree is computed. It is to be committed in the order in which it was staged.
#[derive(Debug)]
#[must_use = "it is nowhere in the log before it is committed"]
pub struct Staged<B> {
    pub(crate) batch: B,
    pub(crate) header: FrameHeader,
    pub(crate) growth: Growth,
    pub(crate) vault: VaultPlace,
    /// What its private parts' sync took, if it has any.
    pub(crate) vault_sync: Option<Duration>,
}

/// A staged batch's frame, where its private parts stand, and what their sync took.
type Kept = (FrameHeader, VaultPlace, Option<Duration>);

/// Where a batch's private parts stand.
#[derive(Clone, Copy, Debug)]
pub(crate) struct VaultPlace {
    pub(crate) segment: u64,
    pub(crate) offset: u64,
    pub(crate) len: u32,
}

/// Growths that were confirmed, whose memory the next ones use again.
#[derive(Clone, Debug, Default)]
pub(crate) struct Rooms(Arc<Mutex<Vec<Growth>>>);

impl Rooms {
    fn take(&self) -> Growth {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).pop().unwrap_or_else(Growth::new)
    }

    pub(crate) fn give(&self, growth: Growth) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).push(growth);
    }
}

impl Stager {
    /// Stages a batch at `time_ms` (Unix milliseconds, not before the one staged last).
    ///
    /// # Errors
    /// [`AppendError::Io`] poisons the ledger. The other errors leave everything as it was.
    pub fn stage<B: Borrow<Batch>>(&mut self, batch: B, time_ms: u64) -> Result<Staged<B>, AppendError> {
        self.poison.check()?;
        if self.poison.shared.frozen.load(Ordering::Acquire) {
            return Err(AppendError::Frozen);
        }
        if batch.borrow().is_empty() {
            return Err(AppendError::Empty);
        }
        if time_ms < self.last_ms {
            return Err(AppendError::TimeBackwards { time_ms, last_ms: self.last_ms });
        }
        let kept = self.keep(batch.borrow(), time_ms).map_err(|failure| self.poison.spread(failure))?;
        let (header, vault, vault_sync) = kept;
        self.last_ms = time_ms;
        let growth = self.tree.pass_on(self.rooms.take());
        Ok(Staged { batch, header, growth, vault, vault_sync })
    }

    /// Makes private parts durable, computes the tree and writes its new nodes, un-synced.
    fn keep(&mut self, batch: &Batch, time_ms: u64) -> Result<Kept, IoFailure> {
        let first = self.tree.size();
        let Self { tree, vault, vault_head, poison, segment_bytes, .. } = self;
        let mut body_crc = 0;
        let mut derive = || {
            // First, so that a bit that flips while it is hashed or before it is written shows before anybody signs.
            body_crc = crc32fast::hash(&batch.arena);
            tree.grow(&batch.arena, batch.len(), |position| batch.leaf_range(position));
            tree.write_nodes()
        };
        let mut keep_parts = || {
            if batch.parts_count > 0 {
                vault.roll_if_full(&poison.shared.vault, first, *segment_bytes)?;
                let body_len = u32::try_from(batch.parts.len()).unwrap_or(u32::MAX);
                vault::encode_head(first, &batch.parts_at, body_len, vault_head);
                vault.write(&[vault_head, &batch.parts])?;
                return vault.sync().map(Some);
            }
            Ok(None)
        };
        let vault_sync = if batch.parts_count == 0 || batch.len() < PARALLEL_FROM {
            derive()?;
            keep_parts()?
        } else {
            // This thread waits for the disk meanwhile.
            let mut nodes = Ok(());
            let parts = rayon::in_place_scope(|scope| {
                scope.spawn(|_| nodes = derive());
                keep_parts()
            });
            nodes?;
            parts?
        };
        // If we crash here, the vault has a tail that no frame knows; recovery cuts it.
        let count = u32::try_from(batch.len()).unwrap_or(u32::MAX);
        let body_len = u32::try_from(batch.arena.len()).unwrap_or(u32::MAX);
        let root = tree.grown_root(first + u64::from(count));
        let header = FrameHeader { first, count, parts: batch.parts_count, body_len, time_ms, root, body_crc };
        let kept = if batch.parts_count > 0 { vault_head.len() + batch.parts.len() } else { 0 };
        let len = u32::try_from(kept).unwrap_or(u32::MAX);
        let place = VaultPlace { segment: vault.first, offset: vault.offset - u64::from(len), len };
        Ok((header, place, vault_sync))
    }
}
