//! The fold of a whole log, at a start: from the newest snapshot that the log vouches for, and every record behind it.
//!
//! Guarantees: a snapshot is believed only if its digest stands in a `state` record of the log, which is held against the tree as every
//! read is; one that is damaged, of another format or of another log is passed over and told, and the fold begins earlier, at the first
//! record if need be. Losing all snapshots costs time only. A detail that is lost ends the start: a counter that was not moved would allow.
//! Does not: check the digests of the `state` records that it meets; replay does.

use ledger::storage::IoFailure;
use ledger::{Reader, Snapshots};
use rayon::prelude::*;
use verifier::act::Deed;
use verifier::decision::Detail;
use verifier::epoch::{self, EpochContent};
use verifier::record::Record;

use super::{Contents, Damaged, Fold, FoldError};
use crate::engine;
use crate::governance::Governors;

/// Records that are read at a time: enough for all cores, little to hold.
const CHUNK: u64 = 1_024;

/// A fold of the whole log, and how it came about.
#[derive(Debug)]
pub struct Started {
    /// The fold.
    pub fold: Fold,
    /// The content of the live epoch, and of the candidate in its shadow.
    pub contents: Contents,
    /// The `state` record whose snapshot it began with.
    pub from: Option<u64>,
    /// How many records were read and folded.
    pub records: u64,
    /// Erasures that it met: decision, parts, and the record that says so. An interrupted one is finished by whoever writes.
    pub erasures: Vec<(u64, u64, u64)>,
    /// Snapshots that were passed over, and why.
    pub passed_over: Vec<(u64, PassedOver)>,
}

/// Why a snapshot was not used.
#[derive(Debug, thiserror::Error)]
pub enum PassedOver {
    /// It cannot be read.
    #[error(transparent)]
    Io(#[from] IoFailure),
    /// It is not what the log says.
    #[error(transparent)]
    Damaged(#[from] Damaged),
    /// Where it says that a `state` record stands, the log has none.
    #[error("the log has no `state` record there")]
    NoRecord,
}

impl Fold {
    /// Folds the whole published log.
    ///
    /// # Errors
    /// [`FoldError`]: the service must not start.
    pub fn of(reader: &Reader, governors: &Governors, snapshots: Option<&Snapshots>) -> Result<Started, FoldError> {
        let mut passed_over = Vec::new();
        let restored = snapshots.and_then(|snapshots| newest(reader, snapshots, &mut passed_over));
        let (from, mut fold, mut contents) = match restored {
            Some((index, mut fold)) => {
                let contents = fold.read_epochs(reader, governors)?;
                (Some(index), fold, contents)
            }
            None => (None, Fold::default(), Contents::default()),
        };
        let mut erasures = Vec::new();
        let begin = from.map_or(0, |index| index + 1);
        let (size, mut first) = (reader.head().checkpoint.size, begin);
        while first < size {
            let count = CHUNK.min(size - first);
            for (index, (record, detail)) in (first..).zip(read(reader, first, count)?) {
                match &record {
                    Record::Erasure { index: of, parts, .. } => erasures.push((*of, *parts, index)),
                    // Steps of its lease follow from a decision that is not seen any more, until the record that erases it.
                    Record::Decision(decision) if detail.is_none() => {
                        fold.state.lose_sight(&decision.realm, index, decision.recorded_at);
                    }
                    _ => {}
                }
                if let Some(epoch) = fold.apply(governors, index, &record, detail.as_ref())? {
                    contents.publish(epoch);
                }
            }
            first += count;
        }
        if !fold.state.sees_all() {
            let reason = "a detail is gone, and no record behind its decision erases it";
            return Err(FoldError::Broken { index: size.saturating_sub(1), reason });
        }
        fold.idempotency.forget(fold.last_ms);
        Ok(Started { fold, contents, from, records: size.saturating_sub(begin), erasures, passed_over })
    }

    /// Reads the live epoch and its candidate again out of the log, signatures and all.
    fn read_epochs(&mut self, reader: &Reader, governors: &Governors) -> Result<Contents, FoldError> {
        let closing = |number: u64| {
            let place = usize::try_from(number.checked_sub(1)?).ok()?;
            self.epochs.get(place).copied()
        };
        let read =
            |number| closing(number).map(|index| read_epoch(reader, governors, index).map(|content| (index, content)));
        let live = read(self.epoch).transpose()?;
        let candidate = self.candidate.and_then(read).transpose()?.map(|(_, content)| content);
        if let Some((index, content)) = &live {
            let trust = engine::trust(content);
            self.trust = trust.map_err(|source| FoldError::Trust { index: *index, source })?;
        }
        Ok(Contents { live: live.map(|(_, content)| content), candidate })
    }
}

fn read_epoch(reader: &Reader, governors: &Governors, index: u64) -> Result<EpochContent, FoldError> {
    let broken = |reason| FoldError::Broken { index, reason };
    let record = |index| reader.record(index).map_err(|source| FoldError::Read { index, source });
    let Record::Epoch { first_part, parts, note, .. } = record(index)? else {
        return Err(broken("no epoch is published there"));
    };
    let act = governors.open(&note).map_err(|source| FoldError::Act { index, source })?;
    let mut document = Vec::new();
    for part in (first_part..).take(usize::try_from(parts).unwrap_or(usize::MAX)) {
        let Record::EpochPart { bytes, .. } = record(part)? else {
            return Err(broken("an epoch part out of its run"));
        };
        document.extend_from_slice(&bytes);
    }
    match act.act().deed {
        Deed::Epoch { content, .. } if epoch::digest(&document) == content => {}
        _ => return Err(broken("an epoch's content is not what its act names")),
    }
    EpochContent::decode(&document).map_err(|_| broken("an epoch's content is malformed"))
}

/// The newest snapshot that the log vouches for.
fn newest(reader: &Reader, snapshots: &Snapshots, passed_over: &mut Vec<(u64, PassedOver)>) -> Option<(u64, Fold)> {
    let indexes = match snapshots.list() {
        Ok(indexes) => indexes,
        Err(failure) => {
            passed_over.push((0, failure.into()));
            return None;
        }
    };
    indexes.into_iter().find_map(|index| match restored(reader, snapshots, index) {
        Ok(fold) => Some((index, fold)),
        Err(why) => {
            passed_over.push((index, why));
            None
        }
    })
}

fn restored(reader: &Reader, snapshots: &Snapshots, index: u64) -> Result<Fold, PassedOver> {
    let Ok(Record::State { digest, .. }) = reader.record(index) else { return Err(PassedOver::NoRecord) };
    Ok(Fold::restore(&snapshots.read(index)?, &digest)?)
}

/// A run of records with the details of its decisions.
fn read(reader: &Reader, first: u64, count: u64) -> Result<Vec<(Record, Option<Detail>)>, FoldError> {
    let entries = reader.entries(first, count).map_err(|source| FoldError::Read { index: first, source })?;
    let one = |(place, leaf): (usize, Vec<u8>)| {
        let index = first + place as u64;
        let record = Record::decode(&leaf).map_err(|source| FoldError::Record { index, source })?;
        let detail = if matches!(record, Record::Decision(_)) { detail(reader, index)? } else { None };
        Ok((record, detail))
    };
    entries.into_par_iter().enumerate().map(one).collect()
}

/// A decision's detail; `None` if it was erased by record, which takes that nothing needs it. One that is lost ends the start.
fn detail(reader: &Reader, index: u64) -> Result<Option<Detail>, FoldError> {
    let bytes = reader.detail(index).map_err(|source| FoldError::Read { index, source })?;
    let malformed = |_| FoldError::Broken { index, reason: "its detail is malformed" };
    bytes.map(|bytes| Detail::decode(&bytes).map_err(malformed)).transpose()
}
