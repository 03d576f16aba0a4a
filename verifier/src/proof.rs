//! Inclusion, consistency and range proofs (RFC 6962 §2.1.1, §2.1.2; RFC 9162 §2.1.3, §2.1.4): checks and provers.
//!
//! Guarantees that a check which says `Ok` leaves one tree of that size and root, with that leaf, prefix or run of leaves
//! at that place, unless SHA-256 has a collision. The length of a proof is computed first and must be exact.
//! Sizes and roots must come from a verified checkpoint; nothing here knows who signed them.

mod many;

use crate::{
    hash::{EMPTY_ROOT, Hash, node_hash},
    text::DECIMAL_LIMIT,
};

pub use many::{many_length, root_of_many_by, verify_many};

/// Hashes of the longest inclusion path: one for each halving of fewer than 2^63 leaves.
pub const MAX_PATH: usize = 63;
/// Hashes of the longest consistency proof: such a path, and the subtree on which it hangs.
pub const MAX_CONSISTENCY: usize = MAX_PATH + 1;

/// Why a proof does not show what it was asked to show.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ProofError {
    /// Index not below size, range empty or past the end, from-size above to-size, or a size of 2^63 or more.
    #[error("index, range or size out of bounds")]
    Bounds,
    /// The proof has more or fewer hashes than the place in the tree demands.
    #[error("proof of the wrong length")]
    Length,
    /// The hashes lead to another root.
    #[error("root mismatch")]
    Root,
}

/// Checks that the leaf with this hash stands at `index` in the tree of `size` leaves with this root.
///
/// # Errors
/// [`ProofError`]; the length of `path` is checked before any hash.
pub fn verify_inclusion(leaf: &Hash, index: u64, size: u64, path: &[Hash], root: &Hash) -> Result<(), ProofError> {
    if root_of_inclusion(leaf, index, size, path)? == *root { Ok(()) } else { Err(ProofError::Root) }
}

/// The root to which a path leads from the leaf with this hash at `index` of `size` leaves. It says nothing until the root is held against
/// one that is believed; a root does not know its size, so other places whose way up has the same turns lead to the same root.
///
/// # Errors
/// [`ProofError::Bounds`] and [`ProofError::Length`]; the length of `path` is checked before any hash.
pub fn root_of_inclusion(leaf: &Hash, index: u64, size: u64, path: &[Hash]) -> Result<Hash, ProofError> {
    root_of_inclusion_by(leaf, index, size, path, &mut node_hash)
}

/// As [`root_of_inclusion`], with each node made by `join`, from its left and right child: for whoever shows the arithmetic.
///
/// # Errors
/// As [`root_of_inclusion`].
pub fn root_of_inclusion_by(
    leaf: &Hash,
    index: u64,
    size: u64,
    path: &[Hash],
    join: &mut impl FnMut(&Hash, &Hash) -> Hash,
) -> Result<Hash, ProofError> {
    if index >= size || size >= DECIMAL_LIMIT {
        return Err(ProofError::Bounds);
    }
    let (inner, border) = inclusion_parts(index, size);
    let (below, above) = split_exact(path, inner, border)?;
    let hash = chain_inner(*leaf, below, index, join);
    Ok(chain_border(hash, above, join))
}

/// The root of the first `index` + 1 leaves, which a path from leaf `index` gives beside the root of all `size`: what stands left of it.
/// It is as good as the path is: check that with a root.
///
/// # Errors
/// As [`root_of_inclusion`].
pub fn root_of_prefix(leaf: &Hash, index: u64, size: u64, path: &[Hash]) -> Result<Hash, ProofError> {
    if index >= size || size >= DECIMAL_LIMIT {
        return Err(ProofError::Bounds);
    }
    let (inner, border) = inclusion_parts(index, size);
    let (below, above) = split_exact(path, inner, border)?;
    let hash = chain_inner_right(*leaf, below, index, &mut node_hash);
    Ok(chain_border(hash, above, &mut node_hash))
}

/// Number of hashes in the path of `index` in a tree of `size` leaves; `None` if there is no such leaf.
#[must_use]
pub fn inclusion_length(index: u64, size: u64) -> Option<usize> {
    if index >= size || size >= DECIMAL_LIMIT {
        return None;
    }
    let (inner, border) = inclusion_parts(index, size);
    Some(inner + border)
}

/// Checks that the tree of `from` leaves is a prefix of the tree of `to` leaves.
///
/// # Errors
/// [`ProofError`]. Equal sizes and a `from` of 0 take an empty proof only, and the empty tree has one root only.
pub fn verify_consistency(
    from: u64,
    to: u64,
    proof: &[Hash],
    from_root: &Hash,
    to_root: &Hash,
) -> Result<(), ProofError> {
    if from > to || to >= DECIMAL_LIMIT {
        return Err(ProofError::Bounds);
    }
    if from == 0 || from == to {
        if !proof.is_empty() {
            return Err(ProofError::Length);
        }
        let empty_is_empty = (from != 0 || *from_root == EMPTY_ROOT) && (to != 0 || *to_root == EMPTY_ROOT);
        return if empty_is_empty && (from == 0 || from_root == to_root) { Ok(()) } else { Err(ProofError::Root) };
    }
    if root_of_consistency(from, to, proof, from_root)? == *to_root { Ok(()) } else { Err(ProofError::Root) }
}

/// The root of `to` leaves to which a consistency proof leads from the root of the first `from`, 0 < `from` < `to`. It says nothing until
/// it is held against a root that is believed.
///
/// # Errors
/// [`ProofError::Root`] if the proof does not even lead to `from_root`; else [`ProofError::Bounds`] and [`ProofError::Length`].
pub fn root_of_consistency(from: u64, to: u64, proof: &[Hash], from_root: &Hash) -> Result<Hash, ProofError> {
    root_of_consistency_by(from, to, proof, from_root, &mut node_hash)
}

/// As [`root_of_consistency`], with each node made by `join`; those of the older tree come first.
///
/// # Errors
/// As [`root_of_consistency`].
pub fn root_of_consistency_by(
    from: u64,
    to: u64,
    proof: &[Hash],
    from_root: &Hash,
    join: &mut impl FnMut(&Hash, &Hash) -> Hash,
) -> Result<Hash, ProofError> {
    if from == 0 || from >= to || to >= DECIMAL_LIMIT {
        return Err(ProofError::Bounds);
    }
    // The proof hangs on the last complete subtree of the old tree: `shift` levels up, at index `last`.
    let shift = from.trailing_zeros();
    let last = (from - 1) >> shift;
    let (inner, border) = inclusion_parts(last, ((to - 1) >> shift) + 1);
    // If that subtree is the whole old tree its hash is the old root, which the reader has.
    let (seed, rest) = if from.is_power_of_two() {
        (*from_root, proof)
    } else {
        let (seed, rest) = proof.split_first().ok_or(ProofError::Length)?;
        (*seed, rest)
    };
    let (below, above) = split_exact(rest, inner, border)?;
    let old = chain_inner_right(seed, below, last, join);
    let old = chain_border(old, above, join);
    let new = chain_inner(seed, below, last, join);
    let new = chain_border(new, above, join);
    if old == *from_root { Ok(new) } else { Err(ProofError::Root) }
}

/// Checks that the leaves with these hashes stand at `first`, `first` + 1, … in the tree of `size` leaves with this root.
///
/// `proof` holds the hashes of the maximal subtrees outside the range, depth first, left to right.
///
/// # Errors
/// [`ProofError`]; the length of `proof` is checked before any hash.
pub fn verify_range(first: u64, leaves: &[Hash], size: u64, proof: &[Hash], root: &Hash) -> Result<(), ProofError> {
    if root_of_range_by(first, leaves, size, proof, &mut node_hash)? == *root { Ok(()) } else { Err(ProofError::Root) }
}

/// The root to which a range proof leads, with each node made by `join`. It says nothing until it is held against one that is believed.
///
/// # Errors
/// As [`verify_range`], but for the root.
pub fn root_of_range_by(
    first: u64,
    leaves: &[Hash],
    size: u64,
    proof: &[Hash],
    join: &mut impl FnMut(&Hash, &Hash) -> Hash,
) -> Result<Hash, ProofError> {
    let range = Range::new(first, leaves, size, proof)?;
    range.fold(0, size, &mut proof.iter(), None, &mut Vec::new(), join)
}

/// The inclusion path of one leaf out of a range proof. It is as good as the range proof is: check it, or that, with a root.
///
/// # Errors
/// [`ProofError::Bounds`] if `index` is not in the range, [`ProofError::Length`] as in [`verify_range`].
pub fn inclusion_from_range(
    first: u64,
    leaves: &[Hash],
    size: u64,
    proof: &[Hash],
    index: u64,
) -> Result<Vec<Hash>, ProofError> {
    let range = Range::new(first, leaves, size, proof)?;
    if !(range.first..range.end).contains(&index) {
        return Err(ProofError::Bounds);
    }
    let mut path = Vec::with_capacity(MAX_PATH);
    range.fold(0, size, &mut proof.iter(), Some(index), &mut path, &mut node_hash)?;
    Ok(path)
}

/// Number of hashes in the proof of `count` leaves from `first` in a tree of `size`; `None` if there is no such run.
#[must_use]
pub fn range_length(first: u64, count: u64, size: u64) -> Option<usize> {
    let end = range_end(first, count, size)?;
    Some(outside_count(first, end, 0, size))
}

/// Where provers find the tree: any complete subtree by height and index.
pub trait Nodes {
    /// Why a node cannot be had.
    type Error;

    /// Hash of the complete subtree of 2^`height` leaves that starts at leaf `index` · 2^`height`; height 0 is a leaf hash.
    ///
    /// # Errors
    /// Whatever keeps the source from answering. Provers ask for complete subtrees below the size that they are given only.
    fn node(&self, height: u8, index: u64) -> Result<Hash, Self::Error>;
}

/// Root of the tree of the first `size` leaves.
///
/// # Errors
/// Those of `nodes`.
pub fn root<N: Nodes>(nodes: &N, size: u64) -> Result<Hash, N::Error> {
    if size == 0 { Ok(EMPTY_ROOT) } else { subtree(nodes, 0, size) }
}

/// Inclusion path of `index` in the tree of the first `size` leaves, leaf's sibling first; empty if there is no such leaf.
///
/// # Errors
/// Those of `nodes`.
pub fn prove_inclusion<N: Nodes>(nodes: &N, index: u64, size: u64) -> Result<Vec<Hash>, N::Error> {
    let Some(length) = inclusion_length(index, size) else { return Ok(Vec::new()) };
    let mut path = Vec::with_capacity(length);
    for height in 0..u64::BITS {
        if path.len() == length {
            break;
        }
        let start = ((index >> height) ^ 1) << height;
        // A node at the right edge may have no sibling: it is the tree so far, promoted.
        if start < size {
            let end = size.min(start.saturating_add(1 << height));
            path.push(subtree(nodes, start, end)?);
        }
    }
    Ok(path)
}

/// Consistency proof between the trees of the first `from` and the first `to` leaves; empty if `from` is 0 or not below `to`.
///
/// # Errors
/// Those of `nodes`.
pub fn prove_consistency<N: Nodes>(nodes: &N, from: u64, to: u64) -> Result<Vec<Hash>, N::Error> {
    if from == 0 || from >= to || to >= DECIMAL_LIMIT {
        return Ok(Vec::new());
    }
    let mut proof = Vec::new();
    // SUBPROOF of RFC 6962 §2.1.2 from the top: what stands beside the way down to the seam, then the seam, bottom first.
    let (mut low, mut high, mut whole) = (0, to, true);
    while from != high {
        let middle = low + split(high - low);
        if from <= middle {
            proof.push((middle, high));
            high = middle;
        } else {
            proof.push((low, middle));
            low = middle;
            whole = false;
        }
    }
    if !whole {
        proof.push((low, high));
    }
    proof.into_iter().rev().map(|(low, high)| subtree(nodes, low, high)).collect()
}

/// Proof of `count` leaves from `first` in the tree of the first `size` leaves, for [`verify_range`]; empty if there is no
/// such run.
///
/// # Errors
/// Those of `nodes`.
pub fn prove_range<N: Nodes>(nodes: &N, first: u64, count: u64, size: u64) -> Result<Vec<Hash>, N::Error> {
    let Some(end) = range_end(first, count, size) else { return Ok(Vec::new()) };
    let mut proof = Vec::with_capacity(outside_count(first, end, 0, size));
    prove_outside(nodes, first, end, 0, size, &mut proof)?;
    Ok(proof)
}

fn prove_outside<N: Nodes>(
    nodes: &N,
    first: u64,
    end: u64,
    low: u64,
    high: u64,
    proof: &mut Vec<Hash>,
) -> Result<(), N::Error> {
    if high <= first || end <= low {
        proof.push(subtree(nodes, low, high)?);
    } else if low < first || end < high {
        let middle = low + split(high - low);
        prove_outside(nodes, first, end, low, middle, proof)?;
        prove_outside(nodes, first, end, middle, high, proof)?;
    }
    Ok(())
}

/// Merkle tree hash of the leaves from `low` to below `high`, where `low` is a multiple of a power of two that is at least
/// their number, as every subtree's start is. They are complete subtrees, one for each bit of their number, folded from the
/// right.
fn subtree<N: Nodes>(nodes: &N, low: u64, high: u64) -> Result<Hash, N::Error> {
    let count = high - low;
    let mut hash = None;
    for height in 0_u8..64 {
        if (count >> height) & 1 == 0 {
            continue;
        }
        // What stands left of this subtree: the higher bits of the count.
        let start = low + (count & !(u64::MAX >> (63 - height)));
        let left = nodes.node(height, start >> height)?;
        hash = Some(match hash {
            None => left,
            Some(right) => node_hash(&left, &right),
        });
    }
    Ok(hash.unwrap_or(EMPTY_ROOT))
}

/// Largest power of two below `n`, which is at least 2.
fn split(n: u64) -> u64 {
    1 << (63 - (n - 1).leading_zeros())
}

/// Path hashes at the levels where the way up has siblings on both sides, and at those where it follows the right edge.
fn inclusion_parts(index: u64, size: u64) -> (usize, usize) {
    let inner = u64::BITS - (index ^ (size - 1)).leading_zeros();
    let border = index.checked_shr(inner).unwrap_or(0).count_ones();
    (inner as usize, border as usize)
}

fn split_exact(proof: &[Hash], inner: usize, border: usize) -> Result<(&[Hash], &[Hash]), ProofError> {
    if proof.len() != inner + border {
        return Err(ProofError::Length);
    }
    proof.split_at_checked(inner).ok_or(ProofError::Length)
}

fn chain_inner(seed: Hash, siblings: &[Hash], index: u64, join: &mut impl FnMut(&Hash, &Hash) -> Hash) -> Hash {
    siblings.iter().enumerate().fold(seed, |hash, (level, sibling)| {
        if (index >> level) & 1 == 0 { join(&hash, sibling) } else { join(sibling, &hash) }
    })
}

/// As [`chain_inner`] without the siblings on the right, which the older tree does not have.
fn chain_inner_right(seed: Hash, siblings: &[Hash], index: u64, join: &mut impl FnMut(&Hash, &Hash) -> Hash) -> Hash {
    siblings.iter().enumerate().fold(
        seed,
        |hash, (level, sibling)| {
            if (index >> level) & 1 == 0 { hash } else { join(sibling, &hash) }
        },
    )
}

fn chain_border(seed: Hash, siblings: &[Hash], join: &mut impl FnMut(&Hash, &Hash) -> Hash) -> Hash {
    siblings.iter().fold(seed, |hash, sibling| join(sibling, &hash))
}

fn range_end(first: u64, count: u64, size: u64) -> Option<u64> {
    let end = first.checked_add(count)?;
    (count > 0 && end <= size && size < DECIMAL_LIMIT).then_some(end)
}

/// Maximal subtrees of [low, high) outside [first, end).
fn outside_count(first: u64, end: u64, low: u64, high: u64) -> usize {
    if high <= first || end <= low {
        1
    } else if first <= low && high <= end {
        0
    } else {
        let middle = low + split(high - low);
        outside_count(first, end, low, middle) + outside_count(first, end, middle, high)
    }
}

/// A run of leaves whose proof has the right length. Made by [`Range::new`] only.
struct Range<'a> {
    first: u64,
    end: u64,
    leaves: &'a [Hash],
}

impl<'a> Range<'a> {
    fn new(first: u64, leaves: &'a [Hash], size: u64, proof: &[Hash]) -> Result<Range<'a>, ProofError> {
        let end = range_end(first, leaves.len() as u64, size).ok_or(ProofError::Bounds)?;
        if proof.len() != outside_count(first, end, 0, size) {
            return Err(ProofError::Length);
        }
        Ok(Range { first, end, leaves })
    }

    /// Hash of [low, high); on the way it notes what stands beside `index`, its sibling first.
    fn fold(
        &self,
        low: u64,
        high: u64,
        outside: &mut core::slice::Iter<'_, Hash>,
        index: Option<u64>,
        path: &mut Vec<Hash>,
        join: &mut impl FnMut(&Hash, &Hash) -> Hash,
    ) -> Result<Hash, ProofError> {
        if high <= self.first || self.end <= low {
            return outside.next().copied().ok_or(ProofError::Length);
        }
        if high - low == 1 {
            let at = usize::try_from(low - self.first).map_err(|_| ProofError::Bounds)?;
            return self.leaves.get(at).copied().ok_or(ProofError::Bounds);
        }
        let middle = low + split(high - low);
        let left = self.fold(low, middle, outside, index, path, join)?;
        let right = self.fold(middle, high, outside, index, path, join)?;
        match index {
            Some(index) if (low..middle).contains(&index) => path.push(right),
            Some(index) if (middle..high).contains(&index) => path.push(left),
            Some(_) | None => {}
        }
        Ok(join(&left, &right))
    }
}
