//! Why: a log has no index of subjects or reasons, and need not have one: whoever looks reads it, newest first, a piece at a time.
//!
//! Guarantees: one look reads at most [`MAX_LEAVES`] leaves and [`MAX_DETAILS`] details, shows at most what was asked for, and says where to go
//! on (threat 33); nothing is kept for it, and what a cursor names stays where it is. Times are found by bisection, since recorded times never
//! go backwards. Does not: prove; each decision has a receipt.

use ledger::{ReadError, Reader};
use verifier::hash::{Hash, leaf_hash};
use verifier::record::Record;

use super::filter::{Filter, Seen};
use crate::lineage::{Node, detail};

/// Leaves that one look reads: each is read, hashed and decoded, ten milliseconds or so in all.
pub const MAX_LEAVES: u64 = 8_192;
/// Details that one look reads: each is a few reads of the vault, some tens of milliseconds in all.
pub const MAX_DETAILS: u64 = 1_024;
/// Decisions that one look shows: an answer stays below a few megabytes.
pub const MAX_LIMIT: u64 = 1_000;
/// Leaves that are read at once: a bundle of the log.
const CHUNK: u64 = 256;

/// A decision that was wanted.
#[derive(Clone, Debug)]
pub struct Found {
    /// It, with what is disclosed.
    pub node: Node,
    /// Its leaf's hash.
    pub leaf: Hash,
}

/// What one look came to.
#[derive(Clone, Debug)]
pub struct Looked {
    /// The published size that it was bounded by.
    pub size: u64,
    /// What was found, newest first.
    pub found: Vec<Found>,
    /// Decisions among those looked at that may be wanted too: what would tell is not shown.
    pub unseen: u64,
    /// The first index that was looked at.
    pub low: u64,
    /// The first index beyond those that were looked at.
    pub high: u64,
    /// Where to go on, as [`look`]'s `before`; `None` at the end.
    pub next: Option<u64>,
}

/// Looks for decisions below the index `before`, recorded at or after the first and before the second of `times` (Unix milliseconds).
///
/// # Errors
/// [`ReadError`].
pub fn look(
    reader: &Reader,
    filter: &Filter,
    times: (Option<u64>, Option<u64>),
    before: Option<u64>,
    limit: u64,
) -> Result<Looked, ReadError> {
    let size = reader.size();
    let start = times.0.map_or(Ok(0), |from| first_at(reader, from, size))?;
    let end = times.1.map_or(Ok(size), |to| first_at(reader, to, size))?;
    let high = end.min(before.unwrap_or(size));
    let mut looked = Looked { size, found: Vec::new(), unseen: 0, low: high, high, next: None };
    let (mut leaves, mut details) = (0, 0);
    let full = |looked: &Looked, leaves, details| {
        looked.found.len() as u64 >= limit.min(MAX_LIMIT) || leaves >= MAX_LEAVES || details >= MAX_DETAILS
    };
    while looked.low > start && !full(&looked, leaves, details) {
        let first = start.max(looked.low.saturating_sub(CHUNK));
        let chunk = reader.entries(first, looked.low - first)?;
        for (place, leaf) in chunk.iter().enumerate().rev() {
            let index = first + place as u64;
            if full(&looked, leaves, details) {
                break;
            }
            (looked.low, leaves) = (index, leaves + 1);
            let record = Record::decode(leaf).map_err(|source| ReadError::NotARecord { index, source })?;
            let Record::Decision(decision) = record else { continue };
            if !filter.takes(&decision) {
                continue;
            }
            details += 1;
            let detail = detail(reader, index)?;
            match filter.sees(&decision, detail.as_ref().ok()) {
                Seen::Yes => {
                    let node = Node { index, decision: *decision, detail };
                    looked.found.push(Found { node, leaf: leaf_hash(leaf) });
                }
                Seen::No => {}
                Seen::Unseen => looked.unseen += 1,
            }
        }
    }
    looked.next = Some(looked.low).filter(|low| *low > start);
    Ok(looked)
}

/// The decision at an index; `None` where another record stands.
///
/// # Errors
/// [`ReadError`].
pub fn found(reader: &Reader, index: u64) -> Result<Option<Found>, ReadError> {
    let leaf = reader.entry(index)?;
    match Record::decode(&leaf).map_err(|source| ReadError::NotARecord { index, source })? {
        Record::Decision(decision) => {
            let node = Node { index, decision: *decision, detail: detail(reader, index)? };
            Ok(Some(Found { node, leaf: leaf_hash(&leaf) }))
        }
        _ => Ok(None),
    }
}

/// The first index whose record was recorded at or after a time; `size` if there is none.
fn first_at(reader: &Reader, time: u64, size: u64) -> Result<u64, ReadError> {
    let (mut low, mut high) = (0, size);
    while low < high {
        let middle = low + (high - low) / 2;
        if reader.record(middle)?.recorded_at() < time { low = middle + 1 } else { high = middle }
    }
    Ok(low)
}
