//! A batch: records encoded one after the other into the bytes that the journal will hold, with their private parts beside them.
//!
//! Why: an entry is encoded once, straight into the arena from which it is hashed and written; there is no allocation per entry, and a
//! cleared batch keeps its memory for the next one.
//!
//! Guarantees: a leaf has one birthplace (`Record::encode_into`, DESIGN §2.8); a batch never exceeds its limits; a decision always has its
//! private parts, nothing else has any, and private parts never touch the arena of leaves.
//! Does not: check that the salted commitments in a decision's leaf are those of the parts that come with it; who pushes has just computed
//! them, and audit checks every one.

use std::ops::Range;

use verifier::decision::PermitId;
use verifier::record::{MAX_RECORD, Record};

use crate::frame::{MAX_BATCH_BYTES, MAX_BATCH_ENTRIES};
use crate::vault::{self, MAX_BATCH_PRIVATE_BYTES, NO_PARTS, Private};

/// Why a record did not go into a batch; the batch is as it was before.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum BatchError {
    /// The limit of entries, of bytes or of private bytes is reached: append this batch first.
    #[error("the batch is full")]
    Full,
    /// The record's encoding is longer than a leaf may be.
    #[error("record has {0} bytes, a leaf at most 65,535")]
    TooLong(usize),
    /// A decision without private parts.
    #[error("a decision comes with its request and detail")]
    PrivateMissing,
    /// Private parts beside a record that commits to none.
    #[error("only a decision has private parts")]
    PrivateUnexpected,
    /// Behind a freeze nothing stands.
    #[error("the batch holds a freeze, which is the last record of its log")]
    Frozen,
}

/// Records on their way into one frame.
#[derive(Clone, Debug, Default)]
pub struct Batch {
    /// Entries in entry-bundle form: u16 length ‖ leaf.
    pub(crate) arena: Vec<u8>,
    /// Where each leaf ends in the arena.
    pub(crate) ends: Vec<u32>,
    /// Private parts in the vault's form.
    pub(crate) parts: Vec<u8>,
    /// Where each entry's private part begins, or [`NO_PARTS`].
    pub(crate) parts_at: Vec<u32>,
    /// Permit ids with the entry that has them.
    pub(crate) permits: Vec<(u32, PermitId)>,
    /// How many entries have private parts.
    pub(crate) parts_count: u32,
    /// The last record is a freeze.
    pub(crate) freezes: bool,
}

impl Batch {
    /// Adds one record with the private parts that its leaf commits to.
    pub fn push(&mut self, record: &Record, private: Option<Private<'_>>) -> Result<(), BatchError> {
        if self.freezes {
            return Err(BatchError::Frozen);
        }
        let permit = match (record, &private) {
            (Record::Decision(decision), Some(_)) => Some(decision.permit),
            (Record::Decision(_), None) => return Err(BatchError::PrivateMissing),
            (_, Some(_)) => return Err(BatchError::PrivateUnexpected),
            (_, None) => None,
        };
        if self.len() >= MAX_BATCH_ENTRIES {
            return Err(BatchError::Full);
        }
        if let Some(private) = &private
            && self.parts.len() + vault::encoded_len(private) > MAX_BATCH_PRIVATE_BYTES
        {
            return Err(BatchError::Full);
        }
        let start = self.arena.len();
        self.arena.extend_from_slice(&[0, 0]);
        record.encode_into(&mut self.arena);
        let leaf = self.arena.len() - start - 2;
        let (Ok(length), true) = (u16::try_from(leaf), leaf <= MAX_RECORD) else {
            self.arena.truncate(start);
            return Err(BatchError::TooLong(leaf));
        };
        let end = match u32::try_from(self.arena.len()) {
            Ok(end) if self.arena.len() <= MAX_BATCH_BYTES => end,
            _ => {
                self.arena.truncate(start);
                return Err(BatchError::Full);
            }
        };
        if let Some(place) = self.arena.get_mut(start..start + 2) {
            place.copy_from_slice(&length.to_be_bytes());
        }
        let position = u32::try_from(self.ends.len()).unwrap_or(u32::MAX);
        self.ends.push(end);
        self.parts_at.push(match &private {
            Some(private) => vault::encode_parts(private, &mut self.parts),
            None => NO_PARTS,
        });
        self.parts_count += u32::from(private.is_some());
        self.permits.extend(permit.map(|permit| (position, permit)));
        self.freezes = matches!(record, Record::Freeze { .. });
        Ok(())
    }

    /// How many records are in it.
    pub fn len(&self) -> usize {
        self.ends.len()
    }

    /// True if nothing is in it.
    pub fn is_empty(&self) -> bool {
        self.ends.is_empty()
    }

    /// Bytes of its entries with their lengths.
    pub fn bytes(&self) -> usize {
        self.arena.len()
    }

    /// Empties it and keeps its memory.
    pub fn clear(&mut self) {
        self.arena.clear();
        self.ends.clear();
        self.parts.clear();
        self.parts_at.clear();
        self.permits.clear();
        self.parts_count = 0;
        self.freezes = false;
    }

    /// Where the leaf of an entry stands in the arena.
    pub(crate) fn leaf_range(&self, position: usize) -> Range<usize> {
        let before = position.checked_sub(1).and_then(|p| self.ends.get(p)).map_or(0, |end| *end as usize);
        let end = self.ends.get(position).map_or(before, |end| *end as usize);
        (before + 2).min(end)..end
    }
}
