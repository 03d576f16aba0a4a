//! The end of a log: what a `freeze` record says, and what a reader's trust file must say from then on (threat 36).
//!
//! A key that was stolen, or is to be retired, signs for ever; only the reader can stop believing it. A freeze gives the reader all that
//! it needs: the size at which the log ended, the time, and the key of the log that goes on, signed by an administrator of the old log. The
//! thief of a log's key can write a record, but not an administrator's act, so a successor is believed only with one.
//!
//! Guarantees: a [`Freeze`] was included under a believed key, as the last entry of its head, with an act that an administrator whom the
//! reader named has signed. Does not: know whether the administrator's key was stolen too.

use thiserror::Error;

use crate::act::{Act, ActError, Deed};
use crate::checkpoint::SignedCheckpoint;
use crate::note::{Note, NoteError, VerifierKey};
use crate::record::Record;
use crate::verify::{LogKey, Verified};

/// The end of a log. Made by [`Freeze::open`] only.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Freeze {
    head: SignedCheckpoint,
    recorded_at: u64,
    successor: Option<VerifierKey>,
}

/// Why a record is not the end of its log.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum FreezeError {
    /// The record is of another kind.
    #[error("the record is not a freeze")]
    NotAFreeze,
    /// The head has entries behind the freeze: the log, or a thief of its key, went on.
    #[error("the head has {size} entries, the freeze is entry {index}: the log went on behind its end")]
    WentOn {
        /// The freeze's place.
        index: u64,
        /// The head's size.
        size: u64,
    },
    /// No administrator whom the reader named signed the act.
    #[error("the act is not signed by an administrator of this log: {0}")]
    Signature(#[from] NoteError),
    /// The signed text is not an act.
    #[error("{0}")]
    Act(#[from] ActError),
    /// The act is of another log or is no freeze.
    #[error("the record carries another act")]
    OtherAct,
}

impl Freeze {
    /// Reads the freeze in a verified record; `administrators` are verification keys named [`Act::key_name`] of the origin.
    ///
    /// # Errors
    /// [`FreezeError`]; nothing of the record may be relied on then.
    pub fn open(verified: &Verified, administrators: &[VerifierKey]) -> Result<Self, FreezeError> {
        let Record::Freeze { recorded_at, note, .. } = verified.record() else { return Err(FreezeError::NotAFreeze) };
        let (index, head) = (verified.index(), verified.head());
        if index.checked_add(1) != Some(head.size) {
            return Err(FreezeError::WentOn { index, size: head.size });
        }
        let name = Act::key_name(&head.origin);
        let keys: Vec<VerifierKey> = administrators.iter().filter(|key| key.name() == name).cloned().collect();
        let act = Act::parse(Note::open(note, &keys)?.text())?;
        match act.deed {
            Deed::Freeze { successor, .. } if act.origin == head.origin => {
                Ok(Self { head: verified.signed_head().clone(), recorded_at: *recorded_at, successor })
            }
            Deed::Freeze { .. }
            | Deed::Epoch { .. }
            | Deed::Switch { .. }
            | Deed::Revocation { .. }
            | Deed::Erasure { .. } => Err(FreezeError::OtherAct),
        }
    }

    /// The final head of the log.
    pub fn head(&self) -> &SignedCheckpoint {
        &self.head
    }

    /// When the log ended, Unix milliseconds.
    pub fn recorded_at(&self) -> u64 {
        self.recorded_at
    }

    /// The key of the log that goes on, if any.
    pub fn successor(&self) -> Option<&VerifierKey> {
        self.successor.as_ref()
    }

    /// What is still believed of the log's key: heads up to the final one, and records and clocks up to the freeze. Limits that were
    /// narrower stay.
    #[must_use]
    pub fn retire(&self, key: &LogKey) -> LogKey {
        let size = self.head.checkpoint().size;
        // The freeze itself is the last record that is believed.
        let end = self.recorded_at.saturating_add(1);
        LogKey {
            key: key.key.clone(),
            not_before: key.not_before,
            not_after: Some(key.not_after.map_or(end, |not_after| not_after.min(end))),
            max_size: Some(key.max_size.map_or(size, |max_size| max_size.min(size))),
        }
    }

    /// Whether a record is the successor's first epoch, which names this log's final head; `first` was verified under the successor's key.
    pub fn is_succeeded_by(&self, first: &Verified) -> bool {
        let Record::Epoch { predecessor: Some(predecessor), governance: 1, .. } = first.record() else { return false };
        let named = Note::parse(predecessor).ok().map(|note| note.text);
        named.as_deref() == Some(self.head.checkpoint().text().as_str())
            && self.successor.as_ref() == Some(&first.key().key)
    }
}
