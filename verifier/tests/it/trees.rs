//! Inclusion, consistency and range proofs: all trees up to 64 leaves with every one-bit change of every proof, and the hostile cases that
//! other verifiers let through. Against an independent implementation: `oracle.rs`.

use proptest::prelude::*;
use verifier::{
    hash::{EMPTY_ROOT, Hash, node_hash, root_of},
    proof::{
        MAX_PATH, Nodes, ProofError, inclusion_from_range, inclusion_length, prove_consistency, prove_inclusion,
        prove_range, range_length, root, verify_consistency, verify_inclusion, verify_range,
    },
};

use crate::oracle::oracle;
use crate::support::{Tree, leaf, leaves, sure};

/// Largest tree of which everything is tried.
const ALL: u64 = 64;
/// Largest tree of which every bit of every leaf and root is flipped too.
const FLIPPED: u64 = 9;
/// Largest tree of which every bit of every range proof is flipped: there are 45,760 runs in trees of up to [`ALL`] leaves, and of those one
/// bit of every hash is.
const FLIPPED_RANGES: u64 = 12;

/// Every text that differs from `hashes` in one bit.
fn flips(hashes: &[Hash]) -> impl Iterator<Item = Vec<Hash>> {
    (0..hashes.len() * 256).map(|at| {
        let mut flipped = hashes.to_vec();
        flipped[at / 256].0[at % 256 / 8] ^= 1 << (at % 8);
        flipped
    })
}

#[test]
fn roots_are_those_of_the_oracle() {
    let tree = Tree(leaves(ALL));
    assert_eq!(sure(root(&tree, 0)), EMPTY_ROOT);
    for n in 1..=ALL {
        let expected = Hash(oracle(n).root().unwrap());
        assert_eq!(root_of(&leaves(n)), expected, "{n}");
        assert_eq!(sure(root(&tree, n)), expected, "{n}");
    }
}

#[test]
fn every_index_of_every_size_has_a_path_that_verifies() {
    let tree = Tree(leaves(ALL));
    for size in 1..=ALL {
        let root = root_of(&leaves(size));
        for index in 0..size {
            let path = sure(prove_inclusion(&tree, index, size));
            assert_eq!(inclusion_length(index, size), Some(path.len()));
            assert_eq!(verify_inclusion(&leaf(index), index, size, &path, &root), Ok(()), "{index} of {size}");
        }
    }
}

#[test]
fn an_inclusion_path_proves_one_leaf_at_one_index_of_one_size() {
    let tree = Tree(leaves(ALL));
    for size in 1..=24 {
        let root = root_of(&leaves(size));
        for index in 0..size {
            let path = sure(prove_inclusion(&tree, index, size));
            for other in 0..size {
                if other != index {
                    assert!(verify_inclusion(&leaf(index), other, size, &path, &root).is_err());
                    assert!(verify_inclusion(&leaf(other), index, size, &path, &root).is_err());
                }
            }
            for other in (0..=24).filter(|other| *other != size) {
                // Another size with the same shape on the way up is not told apart by the path, only by the root, which
                // the signed checkpoint binds to its size.
                let other_root = root_of(&leaves(other));
                assert!(verify_inclusion(&leaf(index), index, other, &path, &other_root).is_err());
            }
        }
    }
}

#[test]
fn every_bit_of_an_inclusion_proof_counts() {
    let tree = Tree(leaves(ALL));
    for size in 1..=ALL {
        let root = root_of(&leaves(size));
        for index in 0..size {
            let path = sure(prove_inclusion(&tree, index, size));
            for flipped in flips(&path) {
                assert_eq!(verify_inclusion(&leaf(index), index, size, &flipped, &root), Err(ProofError::Root));
            }
            if size > FLIPPED {
                continue;
            }
            for flipped in flips(&[leaf(index)]) {
                assert_eq!(verify_inclusion(&flipped[0], index, size, &path, &root), Err(ProofError::Root));
            }
            for flipped in flips(&[root]) {
                assert_eq!(verify_inclusion(&leaf(index), index, size, &path, &flipped[0]), Err(ProofError::Root));
            }
        }
    }
}

#[test]
fn a_path_of_another_length_is_refused_before_it_is_hashed() {
    let tree = Tree(leaves(ALL));
    for size in 1..=ALL {
        let root = root_of(&leaves(size));
        for index in 0..size {
            let path = sure(prove_inclusion(&tree, index, size));
            let mut longer = path.clone();
            longer.push(EMPTY_ROOT);
            assert_eq!(verify_inclusion(&leaf(index), index, size, &longer, &root), Err(ProofError::Length));
            if let Some((_, shorter)) = path.split_last() {
                assert_eq!(verify_inclusion(&leaf(index), index, size, shorter, &root), Err(ProofError::Length));
            }
        }
    }
}

#[test]
fn an_inner_node_is_not_a_leaf() {
    // The parent of two leaves is no leaf of the tree half as large.
    let leaves = leaves(4);
    let root = root_of(&leaves);
    let parent = node_hash(&leaves[0], &leaves[1]);
    let uncle = node_hash(&leaves[2], &leaves[3]);
    assert_eq!(verify_inclusion(&parent, 0, 4, &[uncle], &root), Err(ProofError::Length));
    // The root alone is the leaf of a tree of one; that is why the size must come from the signed checkpoint.
    assert_eq!(verify_inclusion(&root, 0, 1, &[], &root), Ok(()));
    assert_eq!(verify_inclusion(&root, 0, 4, &[], &root), Err(ProofError::Length));
}

#[test]
fn consistency_holds_between_all_pairs_of_sizes() {
    let tree = Tree(leaves(ALL));
    for to in 0..=ALL {
        let to_root = root_of(&leaves(to));
        for from in 0..=to {
            let from_root = root_of(&leaves(from));
            let proof = sure(prove_consistency(&tree, from, to));
            assert_eq!(verify_consistency(from, to, &proof, &from_root, &to_root), Ok(()), "{from} to {to}");
            let mut longer = proof.clone();
            longer.push(EMPTY_ROOT);
            assert_eq!(verify_consistency(from, to, &longer, &from_root, &to_root), Err(ProofError::Length));
            if let Some((_, shorter)) = proof.split_last() {
                assert_eq!(verify_consistency(from, to, shorter, &from_root, &to_root), Err(ProofError::Length));
            }
        }
    }
}

#[test]
fn consistency_proofs_are_those_of_the_rfc() {
    // RFC 6962 §2.1.3: the tree of seven leaves a b c d e f j with g = H(a,b), h = H(c,d), i = H(e,f), k = H(g,h), l = H(i,j).
    let leaves = leaves(7);
    let tree = Tree(leaves.clone());
    let [c, d, j] = [leaves[2], leaves[3], leaves[6]];
    let g = root_of(&leaves[..2]);
    let i = root_of(&leaves[4..6]);
    let k = root_of(&leaves[..4]);
    let l = root_of(&leaves[4..]);
    assert_eq!(sure(prove_consistency(&tree, 3, 7)), [c, d, g, l]);
    assert_eq!(sure(prove_consistency(&tree, 4, 7)), [l]);
    assert_eq!(sure(prove_consistency(&tree, 6, 7)), [i, j, k]);
    // And its inclusion paths.
    let h = root_of(&leaves[2..4]);
    assert_eq!(sure(prove_inclusion(&tree, 0, 7)), [leaves[1], h, l]);
    assert_eq!(sure(prove_inclusion(&tree, 3, 7)), [c, g, l]);
    assert_eq!(sure(prove_inclusion(&tree, 4, 7)), [leaves[5], j, k]);
    assert_eq!(sure(prove_inclusion(&tree, 6, 7)), [i, k]);
}

#[test]
fn a_forked_tree_is_never_consistent() {
    // The second history differs in one early leaf; no proof of either leads from one to the other.
    let honest = Tree(leaves(ALL));
    let mut forked = leaves(ALL);
    forked[0] = leaf(9999);
    let forked = Tree(forked);
    for to in 1..=ALL {
        let forked_root = sure(root(&forked, to));
        for from in 1..=to {
            let from_root = root_of(&leaves(from));
            for tree in [&honest, &forked] {
                let proof = sure(prove_consistency(tree, from, to));
                assert_eq!(verify_consistency(from, to, &proof, &from_root, &forked_root), Err(ProofError::Root));
            }
        }
    }
}

#[test]
fn every_bit_of_a_consistency_proof_counts() {
    let tree = Tree(leaves(ALL));
    for to in 1..=ALL {
        let to_root = root_of(&leaves(to));
        for from in 1..=to {
            let from_root = root_of(&leaves(from));
            let proof = sure(prove_consistency(&tree, from, to));
            for flipped in flips(&proof) {
                assert_eq!(verify_consistency(from, to, &flipped, &from_root, &to_root), Err(ProofError::Root));
            }
            if to > FLIPPED {
                continue;
            }
            for flipped in flips(&[from_root]) {
                assert_eq!(verify_consistency(from, to, &proof, &flipped[0], &to_root), Err(ProofError::Root));
            }
            for flipped in flips(&[to_root]) {
                assert_eq!(verify_consistency(from, to, &proof, &from_root, &flipped[0]), Err(ProofError::Root));
            }
        }
    }
}

#[test]
fn the_empty_tree_has_one_root_and_takes_no_proof() {
    let other = leaf(0);
    assert_eq!(verify_consistency(0, 0, &[], &EMPTY_ROOT, &EMPTY_ROOT), Ok(()));
    assert_eq!(verify_consistency(0, 0, &[], &other, &other), Err(ProofError::Root));
    assert_eq!(verify_consistency(0, 1, &[], &EMPTY_ROOT, &other), Ok(()));
    assert_eq!(verify_consistency(0, 1, &[], &other, &other), Err(ProofError::Root));
    assert_eq!(verify_consistency(0, 1, &[other], &EMPTY_ROOT, &other), Err(ProofError::Length));
    assert_eq!(verify_consistency(1, 1, &[other], &other, &other), Err(ProofError::Length));
    assert_eq!(verify_consistency(1, 1, &[], &other, &EMPTY_ROOT), Err(ProofError::Root));
    assert_eq!(verify_consistency(2, 1, &[], &other, &other), Err(ProofError::Bounds));
    assert_eq!(verify_consistency(1, 0, &[], &other, &EMPTY_ROOT), Err(ProofError::Bounds));
    assert_eq!(verify_inclusion(&other, 0, 0, &[], &EMPTY_ROOT), Err(ProofError::Bounds));
    assert_eq!(verify_inclusion(&EMPTY_ROOT, 0, 0, &[], &EMPTY_ROOT), Err(ProofError::Bounds));
}

#[test]
fn sizes_from_two_to_the_sixty_third_on_are_refused_without_overflow() {
    let hash = leaf(0);
    let limit = 1 << 63;
    for size in [limit, limit + 1, u64::MAX] {
        assert_eq!(verify_inclusion(&hash, 0, size, &[], &hash), Err(ProofError::Bounds));
        assert_eq!(verify_consistency(1, size, &[], &hash, &hash), Err(ProofError::Bounds));
        assert_eq!(verify_range(0, &[hash], size, &[], &hash), Err(ProofError::Bounds));
        assert_eq!(inclusion_length(0, size), None);
        assert_eq!(range_length(0, 1, size), None);
    }
    assert_eq!(verify_range(u64::MAX, &[hash], limit - 1, &[], &hash), Err(ProofError::Bounds));
    assert_eq!(inclusion_length(0, limit - 1), Some(MAX_PATH));
    assert_eq!(inclusion_length(limit - 2, limit - 1), Some(62));
    let path = vec![hash; MAX_PATH];
    assert_eq!(verify_inclusion(&hash, 0, limit - 1, &path, &hash), Err(ProofError::Root));
    let many = vec![hash; 125];
    assert_eq!(verify_consistency(limit - 2, limit - 1, &many, &hash, &hash), Err(ProofError::Length));
}

#[test]
fn every_range_of_every_tree_verifies_and_gives_each_leaf_its_path() {
    let all = leaves(ALL);
    let tree = Tree(all.clone());
    for size in (1..=20).chain([31, 32, 33, 63, 64]) {
        let root = root_of(&leaves(size));
        for first in 0..size {
            for end in first + 1..=size {
                let run = &all[usize::try_from(first).unwrap()..usize::try_from(end).unwrap()];
                let proof = sure(prove_range(&tree, first, end - first, size));
                assert_eq!(range_length(first, end - first, size), Some(proof.len()));
                assert_eq!(verify_range(first, run, size, &proof, &root), Ok(()), "{first}..{end} of {size}");
                for index in first..end {
                    let path = inclusion_from_range(first, run, size, &proof, index).unwrap();
                    assert_eq!(path, sure(prove_inclusion(&tree, index, size)), "{index} of {first}..{end} of {size}");
                }
                for outside in [first.wrapping_sub(1), end] {
                    let path = inclusion_from_range(first, run, size, &proof, outside);
                    assert_eq!(path, Err(ProofError::Bounds));
                }
            }
        }
    }
}

#[test]
fn every_bit_and_the_length_of_a_range_proof_count() {
    let all = leaves(ALL);
    let tree = Tree(all.clone());
    let mut runs = 0;
    for size in 1..=ALL {
        let root = root_of(&leaves(size));
        for first in 0..size {
            for end in first + 1..=size {
                let run = &all[usize::try_from(first).unwrap()..usize::try_from(end).unwrap()];
                let proof = sure(prove_range(&tree, first, end - first, size));
                runs += 1;
                // Of a larger tree one bit of each hash, a different one from hash to hash and from run to run.
                let step = if size <= FLIPPED_RANGES { 1 } else { 255 };
                for flipped in flips(&proof).skip(runs % step).step_by(step) {
                    assert_eq!(verify_range(first, run, size, &flipped, &root), Err(ProofError::Root));
                }
                let mut longer = proof.clone();
                longer.push(EMPTY_ROOT);
                assert_eq!(verify_range(first, run, size, &longer, &root), Err(ProofError::Length));
                if let Some((_, shorter)) = proof.split_last() {
                    assert_eq!(verify_range(first, run, size, shorter, &root), Err(ProofError::Length));
                }
                assert_eq!(verify_range(first, run, end - 1, &proof, &root), Err(ProofError::Bounds));
                if size <= FLIPPED {
                    for flipped in flips(run) {
                        assert_eq!(verify_range(first, &flipped, size, &proof, &root), Err(ProofError::Root));
                    }
                }
            }
            assert_eq!(verify_range(first, &[], size, &[], &root), Err(ProofError::Bounds));
        }
    }
    assert_eq!(runs, 45_760);
}

/// A tree whose node hashes are a function of their place, so that a large one needs no memory.
struct Named;

impl Nodes for Named {
    type Error = std::convert::Infallible;

    fn node(&self, height: u8, index: u64) -> Result<Hash, Self::Error> {
        // All leaves are equal, so a complete subtree depends on its height only.
        let _ = index;
        Ok((0..height).fold(leaf(0), |hash, _| node_hash(&hash, &hash)))
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(256))]

    #[test]
    fn proofs_of_large_trees_verify(size in 1_u64..1 << 62, a in any::<u64>(), b in any::<u64>()) {
        let (index, from) = (a % size, b % size + 1);
        let full = sure(root(&Named, size));
        let path = sure(prove_inclusion(&Named, index, size));
        prop_assert_eq!(verify_inclusion(&leaf(0), index, size, &path, &full), Ok(()));
        let proof = sure(prove_consistency(&Named, from, size));
        let old = sure(root(&Named, from));
        prop_assert_eq!(verify_consistency(from, size, &proof, &old, &full), Ok(()));
        let count = (a % 300 + 1).min(size - index);
        let run = vec![leaf(0); usize::try_from(count).unwrap()];
        let proof = sure(prove_range(&Named, index, count, size));
        prop_assert_eq!(verify_range(index, &run, size, &proof, &full), Ok(()));
    }
}
