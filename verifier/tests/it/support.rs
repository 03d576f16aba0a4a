//! What several test modules share: leaves by number, and the tree over them as a prover's source.

use std::convert::Infallible;

use verifier::{
    hash::{Hash, leaf_hash, root_of},
    proof::Nodes,
};

/// Leaf hash number `i`, all distinct.
pub fn leaf(i: u64) -> Hash {
    leaf_hash(&i.to_be_bytes())
}

/// The first `n` leaf hashes.
pub fn leaves(n: u64) -> Vec<Hash> {
    (0..n).map(leaf).collect()
}

/// A tree that computes each node from its leaves: slow and obviously right.
pub struct Tree(pub Vec<Hash>);

impl Nodes for Tree {
    type Error = Infallible;

    fn node(&self, height: u8, index: u64) -> Result<Hash, Infallible> {
        let width = 1_usize << height;
        let start = usize::try_from(index).unwrap() * width;
        // Indexing panics if a prover asks for a subtree that is not complete.
        Ok(root_of(&self.0[start..start + width]))
    }
}

/// Unwraps what cannot fail.
pub fn sure<T>(result: Result<T, Infallible>) -> T {
    match result {
        Ok(value) => value,
        Err(never) => match never {},
    }
}

/// The proof of many leaves by its definition: the maximal subtrees that hold none of them, depth first, left to right.
pub fn prove_many(hashes: &[Hash], indexes: &[u64]) -> Vec<Hash> {
    fn walk(hashes: &[Hash], first: u64, indexes: &[u64], proof: &mut Vec<Hash>) {
        let end = first + hashes.len() as u64;
        if !indexes.iter().any(|index| (first..end).contains(index)) {
            proof.push(root_of(hashes));
        } else if hashes.len() > 1 {
            let (left, right) = hashes.split_at(hashes.len().div_ceil(2).next_power_of_two());
            walk(left, first, indexes, proof);
            walk(right, first + left.len() as u64, indexes, proof);
        }
    }
    let mut proof = Vec::new();
    walk(hashes, 0, indexes, &mut proof);
    proof
}
