//! The ladder for an evidence bundle: all its records at once, their private parts, and the epochs that they were decided under.
//!
//! Guarantees, as in the parent: each rung rests on those below, and a verified bundle is made here only. Beyond a receipt's rungs: every part
//! that is here is what its record commits to, every part that is called erased has its record, and every epoch that a decision names is here
//! whole, as the digest in its act says. Does not: check who signed that act, nor that the choice left nothing out; it says so.

use std::collections::{BTreeMap, BTreeSet};

use thiserror::Error;

use super::{Climb, FormRefusal, LogKey, Refusal, Rung, claimed, signed_by_any};
use crate::act::{Act, Deed};
use crate::bundle::{Bundle, BundleError, Part, Parts};
use crate::checkpoint::Checkpoint;
use crate::decision::{Decision, commitment};
use crate::epoch::digest;
use crate::hash::{Hash, leaf_hash};
use crate::note::{Note, VerifierKey};
use crate::proof::verify_many;
use crate::record::Record;

/// What a bundle never shows, beside what no evidence does.
pub const BUNDLE_NOT_CHECKED: [&str; 2] = [
    "choice: that nothing was left out, and why a part is committed or lost, is the word of whoever made the bundle",
    "epochs: who signed their acts, and that no other epoch was in force, was not checked",
];

/// Why a bundle is not verified. Exhaustive on purpose.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum BundleRefusal {
    /// Not a bundle.
    #[error("{0}")]
    Unread(#[from] BundleError),
    /// A decision without private parts, or another record with some.
    #[error("entry {index} has private parts and is no decision, or the other way round")]
    Parts {
        /// The entry.
        index: u64,
    },
    /// What the bundle says about itself is not what is in it.
    #[error("the manifest does not say what the bundle holds")]
    Manifest,
    /// A part that is not the one that the record commits to.
    #[error("the {part} of decision {index} is not what its record commits to")]
    Commitment {
        /// The decision.
        index: u64,
        /// `request` or `detail`.
        part: &'static str,
    },
    /// A part that is called erased, by no record that says so.
    #[error("no record here says that the {part} of decision {index} was erased")]
    Erasure {
        /// The decision.
        index: u64,
        /// `request` or `detail`.
        part: &'static str,
    },
    /// An epoch that a decision names is not here whole.
    #[error("epoch {epoch} is named and not here whole")]
    NoEpoch {
        /// Its number.
        epoch: u64,
    },
    /// The parts of an epoch are not the content whose digest its act states, or it stands behind a decision that names it.
    #[error("epoch {epoch} is not what its act says, or not where it must be")]
    Epoch {
        /// Its number.
        epoch: u64,
    },
}

impl BundleRefusal {
    /// The stable code.
    pub const fn code(&self) -> &'static str {
        match self {
            Self::Unread(_) | Self::Parts { .. } => "malformed_bundle",
            Self::Manifest => "bad_manifest",
            Self::Commitment { .. } => "bad_commitment",
            Self::Erasure { .. } => "bad_erasure",
            Self::NoEpoch { .. } => "missing_epoch",
            Self::Epoch { .. } => "bad_epoch",
        }
    }

    /// The exit code of verifying commands: 1 invalid, 3 undecidable.
    pub const fn exit_code(&self) -> u8 {
        match self {
            Self::Commitment { .. } | Self::Epoch { .. } => 1,
            Self::Unread(_) | Self::Parts { .. } | Self::Manifest | Self::Erasure { .. } | Self::NoEpoch { .. } => 3,
        }
    }

    /// The rung that broke.
    pub(super) const fn rung(&self) -> &'static str {
        match self {
            Self::Unread(_) => "read",
            Self::Parts { .. } | Self::Manifest => "decoded",
            Self::Commitment { .. } | Self::Erasure { .. } => "disclosed",
            Self::NoEpoch { .. } | Self::Epoch { .. } => "governed",
        }
    }
}

/// A bundle that was verified. Made by [`climb_bundle`] only.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct VerifiedBundle<'a> {
    bundle: Bundle<'a>,
    records: Vec<Record>,
    head: Checkpoint,
    epochs: BTreeMap<u64, Vec<u8>>,
}

impl<'a> VerifiedBundle<'a> {
    /// What was read.
    pub fn bundle(&self) -> &Bundle<'a> {
        &self.bundle
    }

    /// The records with their indexes and, of decisions, their private parts, in the order of the log.
    pub fn records(&self) -> impl Iterator<Item = (u64, &Record, Option<&Parts<'a>>)> {
        self.bundle.entries.iter().zip(&self.records).map(|(entry, record)| (entry.index, record, entry.parts.as_ref()))
    }

    /// The decisions among them.
    pub fn decisions(&self) -> impl Iterator<Item = (u64, &Decision, &Parts<'a>)> {
        self.records().filter_map(|(index, record, parts)| match (record, parts) {
            (Record::Decision(decision), Some(parts)) => Some((index, &**decision, parts)),
            _ => None,
        })
    }

    /// The head that all were verified against.
    pub fn head(&self) -> &Checkpoint {
        &self.head
    }

    /// The content document of each epoch that a decision names.
    pub fn epochs(&self) -> &BTreeMap<u64, Vec<u8>> {
        &self.epochs
    }
}

/// Climbs the ladder for the bytes of a bundle.
pub fn climb_bundle<'a>(bytes: &'a [u8], keys: &[LogKey]) -> Climb<VerifiedBundle<'a>, FormRefusal> {
    let mut held = Vec::with_capacity(5);
    let verdict = rungs(bytes, keys, &mut held);
    Climb { held, verdict }
}

fn rungs<'a>(bytes: &'a [u8], keys: &[LogKey], held: &mut Vec<Rung>) -> Result<VerifiedBundle<'a>, FormRefusal> {
    let bundle = Bundle::decode(bytes).map_err(BundleRefusal::Unread)?;
    let records: Vec<Record> = bundle
        .entries
        .iter()
        .map(|entry| Record::decode(entry.record))
        .collect::<Result<_, _>>()
        .map_err(Refusal::Record)?;
    for (entry, record) in bundle.entries.iter().zip(&records) {
        if entry.parts.is_some() != matches!(record, Record::Decision(_)) {
            return Err(BundleRefusal::Parts { index: entry.index }.into());
        }
    }
    let head = claimed(bundle.checkpoint)?;
    let named = named_epochs(&records);
    if !says_what_it_is(&bundle, &records, &named, &head) {
        return Err(BundleRefusal::Manifest.into());
    }
    held.push(Rung::Decoded);

    let indexes: Vec<u64> = bundle.entries.iter().map(|entry| entry.index).collect();
    let leaves: Vec<Hash> = bundle.entries.iter().map(|entry| leaf_hash(entry.record)).collect();
    verify_many(&indexes, &leaves, head.size, &bundle.proof, &head.root).map_err(Refusal::Inclusion)?;
    held.push(Rung::Included);

    let (signed, key) = signed_by_any(bundle.checkpoint, keys)?;
    let head = signed.checkpoint().clone();
    if !key.covers_size(head.size) || !records.iter().all(|record| key.covers_time(record.recorded_at())) {
        return Err(Refusal::RetiredKey.into());
    }
    held.push(Rung::Signed);

    let mut verified = VerifiedBundle { bundle, records, head, epochs: BTreeMap::new() };
    verified.decisions().try_for_each(|(index, decision, parts)| verified.disclosed(index, decision, parts))?;
    held.push(Rung::Disclosed);

    verified.epochs = verified.governed(&named)?;
    held.push(Rung::Governed);
    Ok(verified)
}

/// The epochs that decisions name.
fn named_epochs(records: &[Record]) -> BTreeSet<u64> {
    records.iter().flat_map(epochs_of).collect()
}

/// The epochs that a record names: its own, and the candidate's in shadow mode.
fn epochs_of(record: &Record) -> impl Iterator<Item = u64> + use<> {
    let named = match record {
        Record::Decision(decision) => [Some(decision.epoch), decision.shadow.map(|shadow| shadow.epoch)],
        _ => [None, None],
    };
    named.into_iter().flatten()
}

fn says_what_it_is(bundle: &Bundle<'_>, records: &[Record], named: &BTreeSet<u64>, head: &Checkpoint) -> bool {
    let decisions = records.iter().filter(|record| matches!(record, Record::Decision(_))).count();
    let key = bundle.manifest.vkey.parse::<VerifierKey>();
    key.is_ok_and(|key| key.name() == head.origin)
        && bundle.manifest.decisions == decisions as u64
        && bundle.manifest.epochs.iter().eq(named)
}

impl VerifiedBundle<'_> {
    /// Both parts are what the record commits to, or are accounted for.
    fn disclosed(&self, index: u64, decision: &Decision, parts: &Parts<'_>) -> Result<(), BundleRefusal> {
        let both = [(1, "request", parts.request, decision.request), (2, "detail", parts.detail, decision.detail)];
        for (bit, name, part, committed) in both {
            match part {
                Part::Disclosed { salt, bytes } if commitment(&salt, bytes) == committed => {}
                Part::Disclosed { .. } => return Err(BundleRefusal::Commitment { index, part: name }),
                Part::Erased { by } if self.says_erased(by, index, bit) => {}
                Part::Erased { .. } => return Err(BundleRefusal::Erasure { index, part: name }),
                Part::Committed | Part::Lost => {}
            }
        }
        Ok(())
    }

    fn says_erased(&self, by: u64, of: u64, bit: u64) -> bool {
        let record = self.bundle.at(by).and_then(|place| self.records.get(place));
        matches!(record, Some(Record::Erasure { index, parts, .. }) if *index == of && parts & bit != 0)
    }

    /// The content of every named epoch, each put together from its parts and held against the digest in its act.
    fn governed(&self, named: &BTreeSet<u64>) -> Result<BTreeMap<u64, Vec<u8>>, BundleRefusal> {
        let closings = self.closings();
        let mut epochs = BTreeMap::new();
        for epoch in named.iter().copied() {
            let closing = closings.get(&epoch).ok_or(BundleRefusal::NoEpoch { epoch })?;
            let document = self.content(epoch, closing)?;
            if digest(&document) != closing.content {
                return Err(BundleRefusal::Epoch { epoch });
            }
            epochs.insert(epoch, document);
        }
        for (index, record, _) in self.records() {
            let late = |epoch: &u64| closings.get(epoch).is_none_or(|closing| closing.index >= index);
            if let Some(epoch) = epochs_of(record).find(late) {
                return Err(BundleRefusal::Epoch { epoch });
            }
        }
        Ok(epochs)
    }

    /// The closing records that are here, by the number that their act states; of two with one number the first.
    fn closings(&self) -> BTreeMap<u64, Closing> {
        let mut closings = BTreeMap::new();
        for (index, record, _) in self.records() {
            let Record::Epoch { first_part, parts, note, .. } = record else { continue };
            let act = Note::parse(note).ok().and_then(|note| Act::parse(&note.text).ok());
            if let Some(Act { origin, deed: Deed::Epoch { number, content, .. }, .. }) = act
                && origin == self.head.origin
            {
                let closing = Closing { index, first_part: *first_part, parts: *parts, content };
                closings.entry(number).or_insert(closing);
            }
        }
        closings
    }

    fn content(&self, epoch: u64, closing: &Closing) -> Result<Vec<u8>, BundleRefusal> {
        let end = closing.first_part.checked_add(closing.parts).filter(|end| *end <= closing.index);
        let end = end.ok_or(BundleRefusal::Epoch { epoch })?;
        let mut document = Vec::new();
        for (number, index) in (0..).zip(closing.first_part..end) {
            let place = self.bundle.at(index).ok_or(BundleRefusal::NoEpoch { epoch })?;
            match self.records.get(place) {
                Some(Record::EpochPart { epoch: of, part, bytes, .. }) if *of == epoch && *part == number => {
                    document.extend_from_slice(bytes);
                }
                Some(_) | None => return Err(BundleRefusal::Epoch { epoch }),
            }
        }
        Ok(document)
    }
}

/// What closes an epoch.
struct Closing {
    index: u64,
    first_part: u64,
    parts: u64,
    content: Hash,
}
