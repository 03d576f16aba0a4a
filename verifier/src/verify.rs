//! From a receipt to a verified record: the ladder, rung by rung.
//!
//! Each rung says one thing and rests on the one below: the leaf is a record of ours, the receipt's path leads from its hash to the root in
//! the head, and a key that the reader trusts signed that head. What no rung shows is named in [`NOT_CHECKED`]: a verdict never ends
//! without it.

mod bundle;
mod compare;
mod explain;
mod fork;
mod forms;
mod judge;
mod said;

use std::fmt;

use thiserror::Error;

use crate::checkpoint::{Checkpoint, CheckpointError, SignedCheckpoint};
use crate::hash::{Hash, leaf_hash};
use crate::note::{Note, NoteError, VerifierKey};
use crate::proof::{ProofError, verify_inclusion};
use crate::receipt::Receipt;
use crate::record::{Record, RecordError};

pub use bundle::{BUNDLE_NOT_CHECKED, BundleRefusal, VerifiedBundle, climb_bundle};
pub use compare::{Compared, KeptRefusal, compare};
pub use explain::explain;
pub use fork::{FORK, Fork, ForkEvidence, ForkRefusal, MAX_FORK};
pub use forms::{
    FormRefusal, PLACE_NOT_CHECKED, VerifiedCose, VerifiedGrowth, VerifiedRange, climb_cose, climb_range,
    verify_consistency_receipt, verify_head,
};
pub use judge::{Beside, judge, judge_under};
pub use said::{SCHEMA, Said, worst};

/// A log's key, and how long it is believed. Without limits it is believed for ever.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LogKey {
    /// The key; its name is the origin.
    pub key: VerifierKey,
    /// Records before this time are not believed, Unix milliseconds.
    pub not_before: Option<u64>,
    /// Records at or after this time are not believed, Unix milliseconds.
    pub not_after: Option<u64>,
    /// Heads of more entries are not believed: the size at which the log was frozen or its key retired.
    pub max_size: Option<u64>,
}

impl LogKey {
    /// Believed for ever.
    pub fn unlimited(key: VerifierKey) -> Self {
        Self { key, not_before: None, not_after: None, max_size: None }
    }

    /// Whether the key is believed at a time, Unix milliseconds.
    pub fn covers_time(&self, time: u64) -> bool {
        self.not_before.is_none_or(|not_before| not_before <= time)
            && self.not_after.is_none_or(|not_after| time < not_after)
    }

    fn covers_size(&self, size: u64) -> bool {
        self.max_size.is_none_or(|max_size| size <= max_size)
    }
}

/// What was shown, from the ground up.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Rung {
    /// The leaf is one record in the one encoding that it has.
    Decoded,
    /// The record stands at its index in the tree of the head.
    Included,
    /// A key that the reader trusts signed the head.
    Signed,
    /// Of a bundle: the private parts that are here are those that the records commit to, and erased ones have their records.
    Disclosed,
    /// Of a bundle: the epochs that the decisions name are here, as their acts state them.
    Governed,
    /// The tree of a head that the reader kept is the beginning of this one.
    Consistent,
    /// As many witnesses as the reader's policy asks for cosigned the head.
    Witnessed,
}

impl fmt::Display for Rung {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Decoded => "decoded: the leaf is one record in its only encoding",
            Self::Included => "included: the path leads from the leaf's hash to the root of the head",
            Self::Signed => "signed: the trusted key signed that head",
            Self::Disclosed => "disclosed: each private part that is here is what its record commits to; each erased one has its record",
            Self::Governed => "governed: each epoch that a decision names is here whole, by the digest in its act",
            Self::Consistent => "consistent: the tree of the head that you kept is the beginning of this one",
            Self::Witnessed => "witnessed: the quorum of your policy cosigned that head",
        })
    }
}

/// What verifying evidence offline never shows, said at the end of every verdict behind what was compared.
pub const NOT_CHECKED: [&str; 3] = [
    "policy verdict: it was not recomputed from the request",
    "identity: that the key's holder sent the request is the operator's word",
    "order of events: that the decision was made before the action ran is the operator's time",
];
/// Said where no head of the reader was compared.
pub const NOTHING_COMPARED: &str = "split view: no earlier head of yours was compared, nor any witness or anchor";
/// Said where one was.
pub const NOBODY_ASKED: &str = "split view: no witness or anchor was asked";
/// Said where the witnesses of the reader's policy cosigned.
pub const OTHERS_NOT_ASKED: &str = "split view: no anchor was asked, nor any witness beyond your policy";

/// A record that was verified. Made by [`verify_receipt`] only.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Verified {
    record: Record,
    leaf: Hash,
    index: u64,
    head: SignedCheckpoint,
    key: LogKey,
}

impl Verified {
    /// The record.
    pub fn record(&self) -> &Record {
        &self.record
    }

    /// Its leaf hash.
    pub fn leaf(&self) -> &Hash {
        &self.leaf
    }

    /// Its place in the log, from 0.
    pub fn index(&self) -> u64 {
        self.index
    }

    /// The head that it was verified against.
    pub fn head(&self) -> &Checkpoint {
        self.head.checkpoint()
    }

    /// The head as signed.
    pub fn signed_head(&self) -> &SignedCheckpoint {
        &self.head
    }

    /// The key that signed the head.
    pub fn key(&self) -> &LogKey {
        &self.key
    }
}

/// Why a receipt is not verified. Exhaustive on purpose.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum Refusal {
    /// The receipt does not carry the leaf and none was given.
    #[error("the receipt carries no leaf")]
    NoLeaf,
    /// The leaf is not a record.
    #[error("{0}")]
    Record(#[from] RecordError),
    /// The path does not lead to the head's root.
    #[error("inclusion: {0}")]
    Inclusion(#[from] ProofError),
    /// The head is not a checkpoint, or a line under a trusted key's name fails.
    #[error("head: {0}")]
    Head(CheckpointError),
    /// No trusted key signed the head.
    #[error("no trusted key signed the head")]
    UnknownKey,
    /// A trusted key signed the head, but is not believed at that size or time.
    #[error("the key that signed the head is not believed for this size or time")]
    RetiredKey,
}

impl Refusal {
    /// The stable code.
    pub const fn code(&self) -> &'static str {
        match self {
            Self::NoLeaf => "no_leaf",
            Self::Record(_) => "malformed_record",
            Self::Inclusion(_) => "bad_proof",
            Self::Head(_) => "bad_head",
            Self::UnknownKey => "unknown_key",
            Self::RetiredKey => "retired_key",
        }
    }

    /// The exit code of verifying commands: 1 invalid, 3 undecidable, 5 not anchored in a trusted key.
    pub const fn exit_code(&self) -> u8 {
        match self {
            Self::Inclusion(_) | Self::RetiredKey | Self::Head(CheckpointError::Note(NoteError::BadSignature)) => 1,
            Self::NoLeaf | Self::Record(_) | Self::Head(_) => 3,
            Self::UnknownKey => 5,
        }
    }
}

/// The way up the ladder: the rungs that held, and the verdict.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Climb<V = Verified, R = Refusal> {
    /// The rungs that held, from the ground up.
    pub held: Vec<Rung>,
    /// What was verified, or what broke.
    pub verdict: Result<V, R>,
}

/// Climbs the ladder for one receipt. `leaf` is the record's bytes where the receipt does not carry them.
pub fn climb(receipt: &Receipt, leaf: Option<&[u8]>, keys: &[LogKey]) -> Climb {
    let mut held = Vec::with_capacity(3);
    let verdict = rungs(receipt, leaf, keys, &mut held);
    Climb { held, verdict }
}

/// Verifies one receipt: [`climb`] without the way.
pub fn verify_receipt(receipt: &Receipt, leaf: Option<&[u8]>, keys: &[LogKey]) -> Result<Verified, Refusal> {
    climb(receipt, leaf, keys).verdict
}

fn rungs(receipt: &Receipt, leaf: Option<&[u8]>, keys: &[LogKey], held: &mut Vec<Rung>) -> Result<Verified, Refusal> {
    let bytes = leaf.or(receipt.extra.as_deref()).ok_or(Refusal::NoLeaf)?;
    let record = Record::decode(bytes)?;
    held.push(Rung::Decoded);

    // The head is read before it is believed: its signature is the next rung, and nothing is verified without it.
    let leaf = leaf_hash(bytes);
    let claimed = claimed(&receipt.checkpoint)?;
    verify_inclusion(&leaf, receipt.index, claimed.size, &receipt.path, &claimed.root)?;
    held.push(Rung::Included);

    let (head, key) = signed_by_any(&receipt.checkpoint, keys)?;
    if !key.covers_size(head.checkpoint().size) || !key.covers_time(record.recorded_at()) {
        return Err(Refusal::RetiredKey);
    }
    held.push(Rung::Signed);
    Ok(Verified { record, leaf, index: receipt.index, head, key })
}

/// The head that a note states, read and not believed.
fn claimed(raw: &str) -> Result<Checkpoint, Refusal> {
    let note = Note::parse(raw).map_err(CheckpointError::Note);
    note.and_then(|note| Checkpoint::parse_text(&note.text)).map_err(Refusal::Head)
}

fn signed_by_any(raw: &str, keys: &[LogKey]) -> Result<(SignedCheckpoint, LogKey), Refusal> {
    for key in keys {
        match SignedCheckpoint::open(raw, &key.key, key.key.name()) {
            Ok(head) => return Ok((head, key.clone())),
            Err(CheckpointError::Note(NoteError::NoKnownKey) | CheckpointError::Origin) => {}
            Err(error) => return Err(Refusal::Head(error)),
        }
    }
    Err(Refusal::UnknownKey)
}
