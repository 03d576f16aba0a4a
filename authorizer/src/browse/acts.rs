//! Why: who governs, and since when, must be visible without reading the whole log: each epoch, switch, revocation and freeze.
//!
//! Each of them raises the governance version by one, and decisions state the version that they were decided under, so versions never fall
//! along the log, and the act that made one is found by bisection.
//!
//! Guarantees: one look reads at most [`MAX_READ`] records and shows at most [`MAX_ACTS`] acts (threat 33); nothing is kept for it.
//! Does not: check signatures; each act carries its signed note. Erasures raise no version and are not among them.

use ledger::{ReadError, Reader};
use verifier::record::Record;

/// Acts that one look shows.
pub const MAX_ACTS: u64 = 64;
/// Records that one look reads: bisecting a billion takes thirty for each act, and what states no version is passed over.
const MAX_READ: u64 = 8_192;
/// Records that are read at once while passing over what states no version.
const CHUNK: u64 = 64;

/// An act and where it stands.
#[derive(Clone, Debug)]
pub struct ActAt {
    /// Its index.
    pub index: u64,
    /// The governance version that it made.
    pub governance: u64,
    /// Its record.
    pub record: Record,
}

/// Some acts.
#[derive(Clone, Debug, Default)]
pub struct Acts {
    /// The newest first.
    pub acts: Vec<ActAt>,
    /// The version of the act to go on with; `None` at the end.
    pub next: Option<u64>,
}

/// The version that a record states: that it was decided under, or that it made.
fn stated(record: &Record) -> Option<u64> {
    match record {
        Record::Decision(decision) => Some(decision.governance),
        Record::Epoch { governance, .. }
        | Record::Revocation { governance, .. }
        | Record::Switch { governance, .. }
        | Record::SystemSwitch { governance, .. }
        | Record::Freeze { governance, .. } => Some(*governance),
        Record::EpochPart { .. }
        | Record::Closure { .. }
        | Record::Lease { .. }
        | Record::Approval { .. }
        | Record::Statement { .. }
        | Record::State { .. }
        | Record::Anchor { .. }
        | Record::Erasure { .. }
        | Record::Recovery { .. } => None,
    }
}

/// Reads of one look.
struct Reads<'a> {
    reader: &'a Reader,
    left: u64,
}

/// What a bounded search comes to.
enum Search<T> {
    Found(T),
    Nothing,
    /// It would take more reads than a look has.
    Exhausted,
}

impl Reads<'_> {
    /// The first record in `from..to` that states a version.
    fn forward(&mut self, mut from: u64, to: u64) -> Result<Search<(u64, u64)>, ReadError> {
        // Mostly the very first one is.
        let mut count = 1;
        while from < to {
            let count_now = std::mem::replace(&mut count, CHUNK).min(to - from);
            let Some(left) = self.left.checked_sub(count_now) else { return Ok(Search::Exhausted) };
            self.left = left;
            for (index, leaf) in (from..).zip(self.reader.entries(from, count_now)?) {
                let record = Record::outline(&leaf).map_err(|source| ReadError::NotARecord { index, source })?;
                if let Some(version) = stated(&record) {
                    return Ok(Search::Found((index, version)));
                }
            }
            from += count_now;
        }
        Ok(Search::Nothing)
    }

    /// The first record before `end` that states `version` or a later one: the act that made it.
    fn act(&mut self, version: u64, end: u64) -> Result<Search<u64>, ReadError> {
        let (mut low, mut high, mut at) = (0, end, None);
        while low < high {
            let middle = low + (high - low) / 2;
            match self.forward(middle, high)? {
                Search::Found((index, stated)) if stated < version => low = index + 1,
                Search::Found((index, _)) => (high, at) = (middle, Some(index)),
                Search::Nothing => high = middle,
                Search::Exhausted => return Ok(Search::Exhausted),
            }
        }
        Ok(at.map_or(Search::Nothing, Search::Found))
    }
}

/// The version that the log ends with; 0 before the first act, `None` if that cannot be told from its last [`MAX_READ`] records.
///
/// # Errors
/// [`ReadError`].
pub fn newest(reader: &Reader, size: u64) -> Result<Option<u64>, ReadError> {
    let (mut end, start) = (size, size.saturating_sub(MAX_READ));
    while end > start {
        let first = start.max(end.saturating_sub(CHUNK));
        for (place, leaf) in reader.entries(first, end - first)?.iter().enumerate().rev() {
            let index = first + place as u64;
            let record = Record::outline(leaf).map_err(|source| ReadError::NotARecord { index, source })?;
            if let Some(version) = stated(&record) {
                return Ok(Some(version));
            }
        }
        end = first;
    }
    Ok((start == 0).then_some(0))
}

/// The acts that made `version` and those before it, at most `limit`.
///
/// # Errors
/// [`ReadError`]; [`ReadError::Contradiction`] where versions do not rise one by one.
pub fn acts(reader: &Reader, version: u64, limit: u64, size: u64) -> Result<Acts, ReadError> {
    let mut reads = Reads { reader, left: MAX_READ };
    let (mut found, mut version, mut end) = (Acts::default(), version, size);
    while version > 0 && (found.acts.len() as u64) < limit.min(MAX_ACTS) {
        let index = match reads.act(version, end)? {
            Search::Found(index) => index,
            Search::Nothing => return Err(ReadError::Contradiction { index: end.saturating_sub(1) }),
            Search::Exhausted => break,
        };
        let record = reader.record(index)?;
        if matches!(record, Record::Decision(_)) || stated(&record) != Some(version) {
            return Err(ReadError::Contradiction { index });
        }
        found.acts.push(ActAt { index, governance: version, record });
        (version, end) = (version - 1, index);
    }
    found.next = Some(version).filter(|version| *version > 0);
    Ok(found)
}
