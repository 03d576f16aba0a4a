//! Why: who set off what must be visible to whoever may see it: what a permit descends from, and what descends from it.
//!
//! Guarantees: only what is disclosed is shown; of a committed realm there are commitments, which the leaf has anyway (threat 26). What may
//! descend from a permit and cannot be read is counted, so that nobody takes a lineage for whole that is not. Each
//! look reads at most [`MAX_SCAN`] records and shows at most [`MAX_NODES`] descendants, and says where to go on (threat 33); nothing is
//! kept for it, so that it tells the same after a restart.
//! Does not: prove. Each node says where its proof is; reading the log, anybody finds the same.

use std::collections::HashMap;

use ledger::{MAX_ENTRIES, ReadError, Reader};
use verifier::decision::{Decision, Detail, PermitId};
use verifier::record::Record;

use crate::engine::MOST_MAX_DEPTH;

/// Records that one look reads for descendants: some tens of milliseconds.
pub const MAX_SCAN: u64 = 1_024;
/// Descendants that one look shows.
pub const MAX_NODES: usize = 256;

/// One decision of a lineage.
#[derive(Clone, Debug)]
pub struct Node {
    /// Its index.
    pub index: u64,
    /// Its leaf.
    pub decision: Decision,
    /// Its detail, or why it is not shown.
    pub detail: Result<Detail, Withheld>,
}

/// Why a detail is not shown.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Withheld {
    /// Its realm does not disclose it.
    Committed,
    /// A record of the log erased it.
    Erased,
    /// It is not here: this is a copy without private parts, or they are lost.
    Missing,
}

impl Withheld {
    /// Its name.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Withheld::Committed => "committed",
            Withheld::Erased => "erased",
            Withheld::Missing => "missing",
        }
    }
}

/// A permit with what is above and below it.
#[derive(Clone, Debug)]
pub struct Lineage {
    /// The published size that was read.
    pub size: u64,
    /// What it descends from, the first ancestor first.
    pub ancestors: Vec<Node>,
    /// Itself.
    pub node: Node,
    /// Permits that descend from it, in the order of the log.
    pub descendants: Vec<Node>,
    /// Allowed decisions of its realm, among those that were looked at, that may descend from it too: their details are not shown.
    pub hidden: u64,
    /// The index from which on more may stand.
    pub next: Option<u64>,
}

/// Looks at a permit's lineage; descendants from the index `from` on. `None` where there is no such permit.
///
/// # Errors
/// [`ReadError`].
pub fn of(reader: &Reader, permit: &PermitId, from: Option<u64>) -> Result<Option<Lineage>, ReadError> {
    let size = reader.head().checkpoint.size;
    let Some(node) = node(reader, permit)? else { return Ok(None) };
    let mut ancestors = Vec::new();
    // What a denied request names as its parent was not found to be one.
    let mut next = node.decision.grant.and_then(|_| parent(&node));
    while let Some(id) = next.filter(|_| ancestors.len() < MOST_MAX_DEPTH as usize) {
        let Some(above) = self::node(reader, &id)? else { break };
        next = parent(&above);
        ancestors.push(above);
    }
    ancestors.reverse();
    let first = from.unwrap_or(0).max(node.index + 1);
    let below = match node.decision.grant {
        Some(grant) => below(reader, &node.decision, grant.expires_at, first, size)?,
        None => Below::default(),
    };
    let Below { found: descendants, hidden, next } = below;
    Ok(Some(Lineage { size, ancestors, node, descendants, hidden, next }))
}

fn node(reader: &Reader, permit: &PermitId) -> Result<Option<Node>, ReadError> {
    let Some(index) = reader.permit(permit)? else { return Ok(None) };
    let Record::Decision(decision) = reader.record(index)? else { return Ok(None) };
    Ok(Some(Node { index, decision: *decision, detail: detail(reader, index)? }))
}

/// The detail of a decision, as far as it is disclosed.
///
/// # Errors
/// [`ReadError`].
pub(crate) fn detail(reader: &Reader, index: u64) -> Result<Result<Detail, Withheld>, ReadError> {
    match reader.private(index) {
        Ok(private) if private.disclosed => Ok(Detail::decode(&private.detail).map_err(|_| Withheld::Missing)),
        Ok(_) => Ok(Err(Withheld::Committed)),
        Err(ReadError::Erased { .. }) => Ok(Err(Withheld::Erased)),
        Err(ReadError::Lost { .. } | ReadError::NoPrivate { .. }) => Ok(Err(Withheld::Missing)),
        Err(error) => Err(error),
    }
}

fn parent(node: &Node) -> Option<PermitId> {
    node.detail.as_ref().ok().and_then(|detail| detail.parent)
}

/// What one look found below a permit.
#[derive(Default)]
struct Below {
    found: Vec<Node>,
    hidden: u64,
    next: Option<u64>,
}

/// Permits among the next records that descend from `root`, how many more may, and where to go on. A child is born while its parent lives, so the search ends
/// with the first record after that.
fn below(reader: &Reader, root: &Decision, root_ends: u64, first: u64, size: u64) -> Result<Below, ReadError> {
    let mut known: HashMap<PermitId, bool> = HashMap::from([(root.permit, true)]);
    let mut below = Below::default();
    let end = size.min(first.saturating_add(MAX_SCAN));
    let mut at = first;
    while at < end {
        let count = MAX_ENTRIES.min(end - at);
        for (index, leaf) in (at..).zip(reader.entries(at, count)?) {
            let record = Record::decode(&leaf).map_err(|source| ReadError::NotARecord { index, source })?;
            if record.recorded_at() >= root_ends {
                return Ok(below);
            }
            let Record::Decision(decision) = record else { continue };
            // A child is of its parent's realm.
            if decision.grant.is_none() || decision.realm != root.realm {
                continue;
            }
            let Ok(detail) = detail(reader, index)? else {
                below.hidden += 1;
                continue;
            };
            let Some(parent) = detail.parent else { continue };
            let descends = descends(reader, &mut known, parent)?;
            known.insert(decision.permit, descends);
            if descends {
                below.found.push(Node { index, decision: *decision, detail: Ok(detail) });
                if below.found.len() == MAX_NODES {
                    below.next = Some(index + 1).filter(|next| *next < size);
                    return Ok(below);
                }
            }
        }
        at += count;
    }
    below.next = Some(end).filter(|end| *end < size);
    Ok(below)
}

/// Whether a permit is one that is known to be in the lineage, or descends from one. At most as many steps as a lineage is deep.
fn descends(reader: &Reader, known: &mut HashMap<PermitId, bool>, permit: PermitId) -> Result<bool, ReadError> {
    let mut path = Vec::new();
    let mut next = Some(permit);
    let mut answer = false;
    while let Some(id) = next.filter(|_| path.len() <= MOST_MAX_DEPTH as usize) {
        if let Some(descends) = known.get(&id) {
            answer = *descends;
            break;
        }
        path.push(id);
        next = node(reader, &id)?.as_ref().and_then(parent);
    }
    known.extend(path.into_iter().map(|id| (id, answer)));
    Ok(answer)
}
