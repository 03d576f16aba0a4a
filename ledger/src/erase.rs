//! Erases private parts of a decision from the vault, once a record of the log says so.
//!
//! Guarantees: when it returns, no file of the log holds the erased bytes or their salt any more: the segment is written anew without them,
//! synced, and put in the place of the old one. Nothing else moves, so that everything that is derived stays true, and every proof. What
//! was erased before is left as it is, so it may be called again after a crash. Does not: write the record; touch backups or what a
//! device keeps of freed blocks. Segments of the vault are never sealed.

use crate::layout::SEGMENT_HEADER;
use crate::ledger::{AppendError, Ledger};
use crate::reader::{PartsPlace, ReadError, Reader};
use crate::storage::IoFailure;
use crate::vault::borrow_parts;

/// What is copied at once.
const CHUNK: u64 = 1 << 20;

/// Why parts were not erased.
#[derive(Debug, thiserror::Error)]
pub enum EraseError {
    /// The disk failed, and the ledger is poisoned: the log must be opened again, and the erasure done again.
    #[error(transparent)]
    Poisoned(#[from] AppendError),
    /// Snapshots that may hold what was erased cannot be removed.
    #[error(transparent)]
    Snapshots(#[from] IoFailure),
    /// The parts cannot be read, so it cannot be told where they end.
    #[error(transparent)]
    Unreadable(ReadError),
}

impl Ledger {
    /// Erases the parts (bit 0 the request, bit 1 the detail) of the decision at `index`, as the record at `by` says, which is published.
    /// Answers whether there was anything left to erase.
    ///
    /// # Errors
    /// [`EraseError`].
    pub fn erase(&mut self, index: u64, parts: u64, by: u64) -> Result<bool, EraseError> {
        self.stager.poison.check()?;
        let reader = Reader { shared: self.stager.poison.shared.clone() };
        let (place, stored) = match reader.stored_parts(index) {
            Ok(stored) => stored,
            // An archive that came without them, or what was lost before.
            Err(ReadError::Lost { .. } | ReadError::NoPrivate { .. }) => return Ok(false),
            Err(ReadError::Io(failure)) => return Err(self.stager.poison.spread(failure).into()),
            Err(error) => return Err(EraseError::Unreadable(error)),
        };
        let Some(found) = borrow_parts(&stored) else { return Err(EraseError::Unreadable(ReadError::Lost { index })) };
        if parts & 3 & !found.erased == 0 {
            // A rename that was cut short before its directory was synced would otherwise give the old segment back when power is lost.
            let synced = self.stager.poison.shared.vault.sync_names();
            synced.map_err(|failure| self.stager.poison.spread(failure))?;
            return Ok(false);
        }
        let left = found.without(parts & 3, by);
        self.rewrite(place, &left).map_err(|failure| self.stager.poison.spread(failure))?;
        Ok(true)
    }

    /// Writes a segment anew with other bytes at one place.
    fn rewrite(&mut self, place: PartsPlace, bytes: &[u8]) -> Result<(), IoFailure> {
        let vault = &self.stager.poison.shared.vault;
        let old = vault.reading_vault(place.segment)?;
        let tail = &mut self.stager.vault;
        let is_last = tail.first == place.segment;
        let end = if is_last { tail.offset } else { old.len()? };
        // If we crash from here on until the rename, a copy is left that the next opening removes, and the old segment stands.
        let mut new = vault.create_replacement(place.segment)?;
        let mut at = SEGMENT_HEADER;
        while at < end {
            let len = usize::try_from(CHUNK.min(end - at)).unwrap_or(usize::MAX);
            new.write(&[&old.read_vec(at, len)?])?;
            at += len as u64;
        }
        new.overwrite(place.offset, bytes)?;
        let new = vault.replace(new)?;
        // If we crash here, the bytes are gone.
        if is_last {
            *tail = new;
        }
        Ok(())
    }
}
