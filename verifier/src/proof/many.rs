//! Proofs of many leaves at once, wherever they stand: what an evidence bundle carries instead of a path for each leaf.
//!
//! The proof has the hashes of the maximal subtrees that hold none of the leaves, depth first, left to right; of a run of leaves it is the
//! range proof. Guarantees, as in the parent: indexes strictly ascend and lie below the size, and the number of hashes is computed first and
//! must be exact, so that a repeated leaf, one beyond the end or a hash too many has no way through. Does not prove: that takes the tree.

use super::{ProofError, split};
use crate::{
    hash::{Hash, node_hash},
    text::DECIMAL_LIMIT,
};

/// Checks that the leaves with these hashes stand at these indexes in the tree of `size` leaves with this root.
///
/// # Errors
/// [`ProofError`]; the indexes and the length of `proof` are checked before any hash.
pub fn verify_many(indexes: &[u64], leaves: &[Hash], size: u64, proof: &[Hash], root: &Hash) -> Result<(), ProofError> {
    if root_of_many_by(indexes, leaves, size, proof, &mut node_hash)? == *root { Ok(()) } else { Err(ProofError::Root) }
}

/// The root to which a proof of many leaves leads, with each node made by `join`. It says nothing until it is held against one that is
/// believed.
///
/// # Errors
/// As [`verify_many`], but for the root.
pub fn root_of_many_by(
    indexes: &[u64],
    leaves: &[Hash],
    size: u64,
    proof: &[Hash],
    join: &mut impl FnMut(&Hash, &Hash) -> Hash,
) -> Result<Hash, ProofError> {
    let length = many_length(indexes, size).filter(|_| indexes.len() == leaves.len()).ok_or(ProofError::Bounds)?;
    if proof.len() != length {
        return Err(ProofError::Length);
    }
    fold(indexes, leaves, 0, size, &mut proof.iter(), join)
}

/// Number of hashes in the proof of the leaves at these indexes in a tree of `size`; `None` unless there are some, strictly ascending and
/// below the size.
#[must_use]
pub fn many_length(indexes: &[u64], size: u64) -> Option<usize> {
    let ascending = indexes.is_sorted_by(|left, right| left < right);
    let within = indexes.last().is_some_and(|last| *last < size) && size < DECIMAL_LIMIT;
    (ascending && within).then(|| outside_count(indexes, 0, size))
}

/// Maximal subtrees of [low, high) that hold none of the indexes, which all lie in it.
fn outside_count(indexes: &[u64], low: u64, high: u64) -> usize {
    if indexes.is_empty() {
        1
    } else if indexes.len() as u64 == high - low {
        0
    } else {
        let middle = low + split(high - low);
        let (left, right) = indexes.split_at(indexes.partition_point(|index| *index < middle));
        outside_count(left, low, middle) + outside_count(right, middle, high)
    }
}

/// Hash of [low, high), which holds these leaves.
fn fold(
    indexes: &[u64],
    leaves: &[Hash],
    low: u64,
    high: u64,
    outside: &mut core::slice::Iter<'_, Hash>,
    join: &mut impl FnMut(&Hash, &Hash) -> Hash,
) -> Result<Hash, ProofError> {
    if indexes.is_empty() {
        return outside.next().copied().ok_or(ProofError::Length);
    }
    if high - low == 1 {
        return leaves.first().copied().ok_or(ProofError::Bounds);
    }
    let middle = low + split(high - low);
    let at = indexes.partition_point(|index| *index < middle);
    let (left, right) = indexes.split_at(at);
    let (left_leaves, right_leaves) = leaves.split_at_checked(at).ok_or(ProofError::Bounds)?;
    let left = fold(left, left_leaves, low, middle, outside, join)?;
    let right = fold(right, right_leaves, middle, high, outside, join)?;
    Ok(join(&left, &right))
}
