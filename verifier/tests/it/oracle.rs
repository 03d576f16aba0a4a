//! Our trees against `rs_merkle`, which is not ours: every index of every size up to 512, and large trees at random places. Its own
//! verification is not asked: it accepts forgeries.

use proptest::prelude::*;
use rs_merkle::MerkleTree;
use sha2::Digest;
use verifier::{
    hash::{Hash, leaf_hash, node_hash},
    proof::{Nodes, prove_consistency, prove_inclusion, root, verify_consistency, verify_inclusion},
};

use crate::support::{leaf, leaves, sure};

/// Sizes of which every index is compared.
const ALL: u64 = 512;

/// The oracle's hasher: RFC 6962 nodes over leaves that are hashed already.
#[derive(Clone)]
pub struct Rfc6962;

impl rs_merkle::Hasher for Rfc6962 {
    type Hash = [u8; 32];

    fn hash(data: &[u8]) -> [u8; 32] {
        leaf_hash(data).0
    }

    fn concat_and_hash(left: &[u8; 32], right: Option<&[u8; 32]>) -> [u8; 32] {
        match right {
            // The library's own SHA-256, not ours over its compression function.
            Some(right) => {
                sha2::Sha256::new().chain_update([1]).chain_update(left).chain_update(right).finalize().into()
            }
            None => *left,
        }
    }
}

/// The oracle over the first `n` leaves.
pub fn oracle(n: u64) -> MerkleTree<Rfc6962> {
    MerkleTree::from_leaves(&leaves(n).iter().map(|leaf| leaf.0).collect::<Vec<_>>())
}

/// All complete subtrees of a number of leaves, made once.
struct Levels(Vec<Vec<Hash>>);

impl Levels {
    fn new(size: u64) -> Self {
        let mut levels = vec![leaves(size)];
        while let Some(below) = levels.last().filter(|level| level.len() > 1) {
            levels.push(below.as_chunks::<2>().0.iter().map(|[left, right]| node_hash(left, right)).collect());
        }
        Self(levels)
    }
}

impl Nodes for Levels {
    type Error = std::convert::Infallible;

    fn node(&self, height: u8, index: u64) -> Result<Hash, Self::Error> {
        Ok(self.0[usize::from(height)][usize::try_from(index).unwrap()])
    }
}

fn path_of(oracle: &MerkleTree<Rfc6962>, index: u64) -> Vec<Hash> {
    oracle.proof(&[usize::try_from(index).unwrap()]).proof_hashes().iter().map(|hash| Hash(*hash)).collect()
}

#[test]
fn every_root_and_path_up_to_512_leaves_is_that_of_the_oracle() {
    let levels = Levels::new(ALL);
    for size in 1..=ALL {
        let oracle = oracle(size);
        let expected = Hash(oracle.root().unwrap());
        assert_eq!(sure(root(&levels, size)), expected, "{size}");
        for index in 0..size {
            let path = sure(prove_inclusion(&levels, index, size));
            assert_eq!(path, path_of(&oracle, index), "{index} of {size}");
            assert_eq!(verify_inclusion(&leaf(index), index, size, &path, &expected), Ok(()), "{index} of {size}");
        }
    }
}

#[test]
fn consistency_between_all_sizes_up_to_512_leads_from_root_to_root_of_the_oracle() {
    let levels = Levels::new(ALL);
    let roots: Vec<Hash> = (1..=ALL).map(|size| Hash(oracle(size).root().unwrap())).collect();
    for (to, newer) in (1..).zip(&roots) {
        for (from, older) in (1..=to).zip(&roots) {
            let proof = sure(prove_consistency(&levels, from, to));
            assert_eq!(verify_consistency(from, to, &proof, older, newer), Ok(()), "{from} to {to}");
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(12))]

    #[test]
    fn large_trees_are_those_of_the_oracle_at_random_places(size in 513_u64..60_000, places in prop::collection::vec(any::<u64>(), 40)) {
        let levels = Levels::new(size);
        let whole = oracle(size);
        let newer = Hash(whole.root().unwrap());
        for (number, place) in places.into_iter().enumerate() {
            let index = place % size;
            let path = sure(prove_inclusion(&levels, index, size));
            prop_assert_eq!(&path, &path_of(&whole, index));
            prop_assert_eq!(verify_inclusion(&leaf(index), index, size, &path, &newer), Ok(()));
            if number % 10 == 0 {
                let older = Hash(oracle(index + 1).root().unwrap());
                let proof = sure(prove_consistency(&levels, index + 1, size));
                prop_assert_eq!(verify_consistency(index + 1, size, &proof, &older, &newer), Ok(()));
            }
        }
    }
}
