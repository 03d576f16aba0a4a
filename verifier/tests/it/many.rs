//! Proofs of many leaves: every small tree with every set of leaves, against single paths and against `rs_merkle`, and the forgeries that
//! other verifiers of such proofs let through.

use proptest::prelude::*;
use verifier::hash::{Hash, leaf_hash, root_of};
use verifier::proof::{
    ProofError, inclusion_length, many_length, prove_inclusion, range_length, verify_inclusion, verify_many,
    verify_range,
};

use crate::oracle::oracle;
use crate::support::{Tree, leaf, leaves, prove_many, sure};

/// Largest tree of which every set of leaves is tried.
const SETS: u64 = 11;
/// Largest tree of which single leaves, runs and many random sets are.
const ALL: u64 = 33;

fn of(indexes: &[u64]) -> Vec<Hash> {
    indexes.iter().copied().map(leaf).collect()
}

/// The leaves are proved, and what `rs_merkle` proves them with are the same hashes.
fn check(size: u64, indexes: &[u64]) {
    let all = leaves(size);
    let (proof, root) = (prove_many(&all, indexes), root_of(&all));
    assert_eq!(many_length(indexes, size), Some(proof.len()), "{indexes:?} of {size}");
    assert_eq!(verify_many(indexes, &of(indexes), size, &proof, &root), Ok(()), "{indexes:?} of {size}");
    let oracle = oracle(size);
    assert_eq!(oracle.root(), Some(root.0));
    let places: Vec<usize> = indexes.iter().map(|index| usize::try_from(*index).unwrap()).collect();
    let mut theirs = oracle.proof(&places).proof_hashes().to_vec();
    let mut ours: Vec<[u8; 32]> = proof.iter().map(|hash| hash.0).collect();
    // Theirs go layer by layer; which hashes they are is what both must agree on.
    theirs.sort_unstable();
    ours.sort_unstable();
    assert_eq!(ours, theirs, "{indexes:?} of {size}");
}

#[test]
fn every_set_of_leaves_of_small_trees_is_proved_with_the_hashes_of_the_oracle() {
    for size in 1..=SETS {
        for set in 1..1_u64 << size {
            let indexes: Vec<u64> = (0..size).filter(|index| set >> index & 1 == 1).collect();
            check(size, &indexes);
        }
    }
}

#[test]
fn of_one_leaf_or_a_run_it_is_the_path_or_the_range_proof() {
    for size in 1..=ALL {
        let all = leaves(size);
        let (tree, root) = (Tree(all.clone()), root_of(&all));
        for first in 0..size {
            check(size, &[first]);
            let mut path = sure(prove_inclusion(&tree, first, size));
            assert_eq!(verify_inclusion(&leaf(first), first, size, &path, &root), Ok(()));
            let mut proof = prove_many(&all, &[first]);
            path.sort_unstable();
            proof.sort_unstable();
            assert_eq!(path, proof, "{first} of {size}");
            for end in first + 1..=size {
                let run: Vec<u64> = (first..end).collect();
                let proof = prove_many(&all, &run);
                assert_eq!(range_length(first, end - first, size), Some(proof.len()));
                assert_eq!(verify_range(first, &of(&run), size, &proof, &root), Ok(()), "{first}..{end} of {size}");
            }
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(300))]

    #[test]
    fn random_sets_of_leaves_are_proved_and_no_change_of_anything_is(
        size in 1_u64..=600,
        places in prop::collection::btree_set(any::<u64>(), 1..40),
        change in any::<u64>(),
    ) {
        let mut indexes: Vec<u64> = places.iter().map(|place| place % size).collect();
        indexes.sort_unstable();
        indexes.dedup();
        check(size, &indexes);
        let all = leaves(size);
        let (proof, root, leaves) = (prove_many(&all, &indexes), root_of(&all), of(&indexes));
        let at = |length: usize| usize::try_from(change % length as u64).unwrap();
        let mut spoiled = leaves.clone();
        spoiled[at(leaves.len())].0[at(32)] ^= 1 << (change % 8);
        prop_assert_eq!(verify_many(&indexes, &spoiled, size, &proof, &root), Err(ProofError::Root));
        if !proof.is_empty() {
            let mut spoiled = proof.clone();
            spoiled[at(proof.len())].0[at(32)] ^= 1 << (change % 8);
            prop_assert_eq!(verify_many(&indexes, &leaves, size, &spoiled, &root), Err(ProofError::Root));
            spoiled.truncate(proof.len() - 1);
            prop_assert_eq!(verify_many(&indexes, &leaves, size, &spoiled, &root), Err(ProofError::Length));
        }
        // The same leaves at other places: another set never has the same root.
        let mut moved = indexes.clone();
        let place = at(moved.len());
        moved[place] = change % size;
        if moved != indexes {
            prop_assert!(verify_many(&moved, &leaves, size, &proof, &root).is_err());
        }
    }
}

#[test]
fn one_bit_of_anything_is_too_much() {
    for size in 1..=7 {
        let all = leaves(size);
        let root = root_of(&all);
        for set in 1..1_u64 << size {
            let indexes: Vec<u64> = (0..size).filter(|index| set >> index & 1 == 1).collect();
            let (proof, leaves) = (prove_many(&all, &indexes), of(&indexes));
            for bit in 0..256 * (proof.len() + leaves.len()) {
                let (mut proof, mut leaves) = (proof.clone(), leaves.clone());
                let hashes = proof.len();
                let hash = if bit / 256 < hashes { &mut proof[bit / 256] } else { &mut leaves[bit / 256 - hashes] };
                hash.0[bit % 256 / 8] ^= 1 << (bit % 8);
                assert_eq!(verify_many(&indexes, &leaves, size, &proof, &root), Err(ProofError::Root));
            }
        }
    }
}

/// `rs_merkle`'s own `verify` says yes to each of these.
#[test]
fn what_other_verifiers_let_through_is_refused() {
    let forged = leaf_hash(b"forged");
    for size in 2..=ALL {
        let all = leaves(size);
        let root = root_of(&all);
        for index in 0..size {
            let proof = prove_many(&all, &[index]);
            let refused = |indexes: &[u64], leaves: &[Hash], proof: &[Hash], why| {
                assert_eq!(verify_many(indexes, leaves, size, proof, &root), Err(why), "{indexes:?} of {size}");
            };
            refused(&[index, index], &[leaf(index), forged], &proof, ProofError::Bounds);
            refused(&[index, index], &[forged, leaf(index)], &proof, ProofError::Bounds);
            for beyond in [size, size + 1, 2 * size, u64::MAX] {
                refused(&[index, beyond], &[leaf(index), forged], &proof, ProofError::Bounds);
            }
            let longer = [&proof[..], &[forged]].concat();
            refused(&[index], &[leaf(index)], &longer, ProofError::Length);
            refused(&[index], &[leaf(index), forged], &proof, ProofError::Bounds);
            refused(&[index], &[], &proof, ProofError::Bounds);
            if index > 0 {
                refused(&[index, 0], &[leaf(index), leaf(0)], &prove_many(&all, &[0, index]), ProofError::Bounds);
            }
        }
        assert_eq!(
            verify_many(&[], &[], size, &[root], &root),
            Err(ProofError::Bounds),
            "a root by itself proves nothing"
        );
        assert_eq!(verify_many(&[0], &[root], 1, &[], &root), Ok(()), "so the size must come from the signed head");
    }
    assert_eq!(verify_many(&[0], &[forged], 1 << 63, &[], &forged), Err(ProofError::Bounds));
    assert_eq!(many_length(&[u64::MAX], u64::MAX), None);
}

/// The bars of evidence bundles, in hashes: 10,000 leaves of a million.
#[test]
fn ten_thousand_of_a_million_take_a_third_of_their_paths_and_a_run_a_thousandth() {
    const SIZE: u64 = 1_000_000;
    let ratio = |indexes: &[u64]| {
        let paths: usize = indexes.iter().map(|index| inclusion_length(*index, SIZE).unwrap()).sum();
        let many = many_length(indexes, SIZE).unwrap();
        println!("{} leaves from {}: {many} hashes instead of {paths}", indexes.len(), indexes[0]);
        (many, paths)
    };
    let even: Vec<u64> = (0..10_000).map(|number| number * 100).collect();
    // A full cycle of a linear congruential generator modulo 2^20, without those beyond the end.
    let mut number = 1_u64;
    let mut random: Vec<u64> = std::iter::repeat_with(|| {
        number = (number * 1_664_525 + 1_013_904_223) % (1 << 20);
        number
    })
    .filter(|number| *number < SIZE)
    .take(10_000)
    .collect();
    random.sort_unstable();
    for scattered in [even, random] {
        let (many, paths) = ratio(&scattered);
        assert!(many * 3 <= paths, "{many} of {paths}");
    }
    for first in [0, 123_456, SIZE - 10_000] {
        let (many, paths) = ratio(&(first..first + 10_000).collect::<Vec<_>>());
        assert!(many * 1_000 <= paths, "{many} of {paths}");
    }
}
