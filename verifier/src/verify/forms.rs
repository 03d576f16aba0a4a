//! The ladder for the other forms of evidence: a run of records, COSE receipts, and a head by itself.
//!
//! Guarantees: as in the parent: each rung rests on the one below, and a verified value is made here only. A COSE receipt names no key and
//! its signature does not cover the place, so a key that is believed only up to some size verifies none, and what was verified says so.

use thiserror::Error;

use super::{BundleRefusal, Climb, KeptRefusal, LogKey, Refusal, Rung, claimed, signed_by_any};
use crate::checkpoint::{Checkpoint, SignedCheckpoint};
use crate::cose::{Consistency, CoseError, Inclusion};
use crate::hash::{Hash, leaf_hash};
use crate::proof::verify_range;
use crate::receipt::{FormError, RangeReceipt};
use crate::record::Record;

/// What a COSE receipt never shows, beside what no receipt does.
pub const PLACE_NOT_CHECKED: &str =
    "place: index and size of a COSE receipt are not under its signature; other places with the same path exist";

/// Why evidence of another form is not verified. Exhaustive on purpose.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum FormRefusal {
    /// The bytes are evidence of no form.
    #[error("{0}")]
    Unread(#[from] FormError),
    /// As for a single receipt.
    #[error("{0}")]
    Ladder(#[from] Refusal),
    /// Not as many leaves as the receipt covers.
    #[error("the receipt covers {covers} leaves, and {given} were given")]
    Leaves {
        /// Leaves that the receipt is for.
        covers: u64,
        /// Leaves that were given.
        given: u64,
    },
    /// The COSE receipt does not hold for this leaf, or this older root, under any trusted key.
    #[error("COSE: {0}")]
    Cose(#[from] CoseError),
    /// The receipt begins at another size than the older head has.
    #[error("the receipt begins at size {receipt}, the older head has {head}")]
    OtherSize {
        /// The receipt's older size.
        receipt: u64,
        /// The head's.
        head: u64,
    },
    /// A receipt of consistency, and no head that it might continue.
    #[error("no older head was given, which the receipt continues")]
    NoHead,
    /// It does not stand with the head that the reader kept.
    #[error("{0}")]
    Kept(#[from] KeptRefusal),
    /// A bundle, for a reason that only bundles have.
    #[error("{0}")]
    Bundle(#[from] BundleRefusal),
}

impl FormRefusal {
    /// The stable code.
    pub const fn code(&self) -> &'static str {
        match self {
            Self::Unread(_) => "malformed_receipt",
            Self::Ladder(refusal) => refusal.code(),
            Self::Leaves { .. } => "wrong_leaves",
            Self::Cose(CoseError::Proof(_)) => "bad_proof",
            Self::Cose(CoseError::Signature) => "bad_signature",
            Self::Cose(_) => "malformed_receipt",
            Self::OtherSize { .. } => "other_head",
            Self::NoHead => "no_head",
            Self::Kept(refusal) => refusal.code(),
            Self::Bundle(refusal) => refusal.code(),
        }
    }

    /// The exit code of verifying commands, as for [`Refusal`].
    pub const fn exit_code(&self) -> u8 {
        match self {
            Self::Ladder(refusal) => refusal.exit_code(),
            Self::Cose(CoseError::Proof(_) | CoseError::Signature) => 1,
            Self::Unread(_) | Self::Leaves { .. } | Self::Cose(_) | Self::OtherSize { .. } | Self::NoHead => 3,
            Self::Kept(refusal) => refusal.exit_code(),
            Self::Bundle(refusal) => refusal.exit_code(),
        }
    }
}

/// A run of records that was verified. Made by [`climb_range`] only.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct VerifiedRange {
    first: u64,
    records: Vec<Record>,
    head: Checkpoint,
}

impl VerifiedRange {
    /// Index of the first record.
    pub fn first(&self) -> u64 {
        self.first
    }

    /// The records.
    pub fn records(&self) -> &[Record] {
        &self.records
    }

    /// The head that they were verified against.
    pub fn head(&self) -> &Checkpoint {
        &self.head
    }
}

/// Climbs the ladder for a range receipt and the bytes of its leaves, in order.
pub fn climb_range(receipt: &RangeReceipt, leaves: &[&[u8]], keys: &[LogKey]) -> Climb<VerifiedRange, FormRefusal> {
    let mut held = Vec::with_capacity(3);
    let verdict = range_rungs(receipt, leaves, keys, &mut held);
    Climb { held, verdict }
}

fn range_rungs(
    receipt: &RangeReceipt,
    leaves: &[&[u8]],
    keys: &[LogKey],
    held: &mut Vec<Rung>,
) -> Result<VerifiedRange, FormRefusal> {
    let given = leaves.len() as u64;
    if given != receipt.count {
        return Err(FormRefusal::Leaves { covers: receipt.count, given });
    }
    let records: Vec<Record> =
        leaves.iter().map(|leaf| Record::decode(leaf)).collect::<Result<_, _>>().map_err(Refusal::Record)?;
    held.push(Rung::Decoded);
    let hashes: Vec<Hash> = leaves.iter().map(|leaf| leaf_hash(leaf)).collect();
    let head = claimed(&receipt.checkpoint)?;
    verify_range(receipt.first, &hashes, head.size, &receipt.proof, &head.root).map_err(Refusal::Inclusion)?;
    held.push(Rung::Included);
    let (head, key) = signed_by_any(&receipt.checkpoint, keys)?;
    let head = head.checkpoint().clone();
    if !key.covers_size(head.size) || !records.iter().all(|record| key.covers_time(record.recorded_at())) {
        return Err(Refusal::RetiredKey.into());
    }
    held.push(Rung::Signed);
    Ok(VerifiedRange { first: receipt.first, records, head })
}

/// A record that a COSE receipt showed to be in a signed tree. Made by [`climb_cose`] only.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct VerifiedCose {
    record: Record,
    leaf: Hash,
    root: Hash,
    key: LogKey,
}

impl VerifiedCose {
    /// The record.
    pub fn record(&self) -> &Record {
        &self.record
    }

    /// Its leaf hash.
    pub fn leaf(&self) -> &Hash {
        &self.leaf
    }

    /// The root that was signed.
    pub fn root(&self) -> &Hash {
        &self.root
    }

    /// The key that signed the root.
    pub fn key(&self) -> &LogKey {
        &self.key
    }
}

/// Climbs the ladder for a COSE receipt of inclusion and the bytes of its leaf. Inclusion and signature hold together or not at all: the
/// receipt states no root.
pub fn climb_cose(receipt: &Inclusion, leaf: &[u8], keys: &[LogKey]) -> Climb<VerifiedCose, FormRefusal> {
    let mut held = Vec::with_capacity(3);
    let verdict = cose_rungs(receipt, leaf, keys, &mut held);
    Climb { held, verdict }
}

fn cose_rungs(
    receipt: &Inclusion,
    bytes: &[u8],
    keys: &[LogKey],
    held: &mut Vec<Rung>,
) -> Result<VerifiedCose, FormRefusal> {
    let record = Record::decode(bytes).map_err(Refusal::Record)?;
    held.push(Rung::Decoded);
    let leaf = leaf_hash(bytes);
    let (root, key) = first_key(keys, |key| receipt.verify(&leaf, &key.key))?;
    held.push(Rung::Included);
    if key.max_size.is_some() || !key.covers_time(record.recorded_at()) {
        return Err(Refusal::RetiredKey.into());
    }
    held.push(Rung::Signed);
    Ok(VerifiedCose { record, leaf, root, key })
}

/// A root that a COSE receipt showed to continue an older head. Made by [`verify_consistency_receipt`] only.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct VerifiedGrowth {
    from: Checkpoint,
    to: u64,
    root: Hash,
}

impl VerifiedGrowth {
    /// The older head, whose signature was verified.
    pub fn from(&self) -> &Checkpoint {
        &self.from
    }

    /// The newer size, as the receipt states it.
    pub fn to(&self) -> u64 {
        self.to
    }

    /// The newer root, which was signed.
    pub fn root(&self) -> &Hash {
        &self.root
    }
}

/// Verifies a COSE receipt of consistency against an older head, a signed note.
///
/// # Errors
/// [`FormRefusal`]; a key with a limit of size is not believed here, since the newer size is not under the signature.
pub fn verify_consistency_receipt(
    receipt: &Consistency,
    older: &str,
    keys: &[LogKey],
) -> Result<VerifiedGrowth, FormRefusal> {
    let (head, _) = signed_by_any(older, keys)?;
    let from = head.checkpoint().clone();
    if receipt.from != from.size {
        return Err(FormRefusal::OtherSize { receipt: receipt.from, head: from.size });
    }
    let ours: Vec<LogKey> = keys.iter().filter(|key| key.key.name() == from.origin).cloned().collect();
    let (root, key) = first_key(&ours, |key| receipt.verify(&from.root, &key.key))?;
    if key.max_size.is_some() {
        return Err(Refusal::RetiredKey.into());
    }
    Ok(VerifiedGrowth { from, to: receipt.to, root })
}

/// Verifies a head by itself, a signed note. No record says when it was signed, so a key's limits of time are not held against it.
///
/// # Errors
/// [`Refusal`] of the rung `signed`.
pub fn verify_head(raw: &str, keys: &[LogKey]) -> Result<SignedCheckpoint, Refusal> {
    claimed(raw)?;
    let (head, key) = signed_by_any(raw, keys)?;
    if key.covers_size(head.checkpoint().size) { Ok(head) } else { Err(Refusal::RetiredKey) }
}

/// The first key under which something holds; else why it does not under the last.
fn first_key<T>(keys: &[LogKey], verify: impl Fn(&LogKey) -> Result<T, CoseError>) -> Result<(T, LogKey), FormRefusal> {
    let mut refusal = FormRefusal::Ladder(Refusal::UnknownKey);
    for key in keys {
        match verify(key) {
            Ok(value) => return Ok((value, key.clone())),
            Err(error) => refusal = error.into(),
        }
    }
    Err(refusal)
}
