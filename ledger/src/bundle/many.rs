//! The proof of many leaves at once, by `rs_merkle`: tile by tile over the tree's own nodes.
//!
//! Why tiles: the library wants all leaves in memory, 200 MiB for a million, and compares index sets pairwise. The nodes of the heights 0, 8,
//! 16 … under one tile are at most 256, and a tree over them is the log's tree in small: only tiles that hold a chosen leaf are read, and at
//! most so many as there are chosen leaves at each of eight levels. Its `verify` is never asked (it accepts forgeries): ours is.
//!
//! Guarantees: the hashes of the maximal subtrees that hold none of the leaves, depth first, left to right; nothing above `size` is read.

use rs_merkle::{Hasher, MerkleTree};
use verifier::hash::{Hash, leaf_hash, node_hash};

/// Nodes under one tile.
const TILE: u64 = 256;
/// Binary levels of one tile.
const HEIGHT: u8 = 8;

/// RFC 6962 for the library: a lone node goes up as it is.
#[derive(Clone)]
struct Rfc6962;

impl Hasher for Rfc6962 {
    type Hash = [u8; 32];

    fn hash(data: &[u8]) -> [u8; 32] {
        leaf_hash(data).0
    }

    fn concat_and_hash(left: &[u8; 32], right: Option<&[u8; 32]>) -> [u8; 32] {
        right.map_or(*left, |right| node_hash(&Hash(*left), &Hash(*right)).0)
    }
}

/// Proves the leaves at `indexes`, strictly ascending and below `size`. `read` gives so many complete nodes of a height from the first on.
pub(super) fn prove_many<E>(
    indexes: &[u64],
    size: u64,
    read: &mut impl FnMut(u8, u64, usize) -> Result<Vec<Hash>, E>,
) -> Result<Vec<Hash>, E> {
    // Each with the first leaf under it: subtrees do not overlap, so that order is depth first, left to right.
    let mut proof: Vec<(u64, [u8; 32])> = Vec::new();
    let mut touched = indexes.to_vec();
    // Hash of the incomplete node at the right end of this height.
    let mut edge: Option<[u8; 32]> = None;
    let mut height = 0;
    loop {
        let complete = size.checked_shr(u32::from(height)).unwrap_or(0);
        let width = complete + u64::from(edge.is_some());
        if width <= 1 {
            break;
        }
        let last = (width - 1) / TILE;
        let above = 1_u64.checked_shl(u32::from(height + HEIGHT));
        let incomplete = above.is_none_or(|above| !size.is_multiple_of(above));
        let mut next_edge = None;
        let mut tiles = distinct(touched.iter().map(|node| node / TILE));
        let parents = tiles.clone();
        if incomplete && tiles.last() != Some(&last) {
            tiles.push(last);
        }
        for tile in tiles {
            let first = tile * TILE;
            let count = complete.saturating_sub(first).min(TILE);
            let mut nodes: Vec<[u8; 32]> = Vec::new();
            if count > 0 {
                let read = read(height, first, usize::try_from(count).unwrap_or(0))?;
                nodes.extend(read.iter().map(|node| node.0));
            }
            if tile == last {
                nodes.extend(edge);
            }
            let tree = MerkleTree::<Rfc6962>::from_leaves(&nodes);
            let begin = touched.partition_point(|node| *node < first);
            let end = touched.partition_point(|node| *node < first + TILE);
            let chosen: Vec<usize> = touched
                .get(begin..end)
                .unwrap_or_default()
                .iter()
                .filter_map(|node| usize::try_from(node - first).ok())
                .collect();
            if !chosen.is_empty() {
                let hashes = tree.proof(&chosen).proof_hashes().to_vec();
                let starts = beside(&chosen, nodes.len());
                proof.extend(starts.iter().zip(hashes).map(|(start, hash)| ((first + start) << height, hash)));
            }
            if tile == last && incomplete {
                next_edge = tree.root();
            }
        }
        (touched, edge) = (parents, next_edge);
        height += HEIGHT;
    }
    proof.sort_unstable_by_key(|(start, _)| *start);
    Ok(proof.into_iter().map(|(_, hash)| Hash(hash)).collect())
}

/// Where the subtrees of the library's proof begin, in its order: layer by layer from the leaves, left to right.
fn beside(chosen: &[usize], leaves: usize) -> Vec<u64> {
    let mut starts = Vec::new();
    let (mut layer, mut width, mut height) = (chosen.to_vec(), leaves, 0);
    while width > 1 {
        let lone = layer.iter().map(|node| node ^ 1).filter(|sibling| *sibling < width);
        starts.extend(lone.filter(|sibling| layer.binary_search(sibling).is_err()).map(|node| (node as u64) << height));
        layer = distinct(layer.iter().map(|node| node / 2));
        (width, height) = (width.div_ceil(2), height + 1);
    }
    starts
}

/// Ascending numbers without repetitions.
fn distinct<T: PartialEq>(ascending: impl Iterator<Item = T>) -> Vec<T> {
    let mut numbers: Vec<T> = ascending.collect();
    numbers.dedup();
    numbers
}

#[cfg(test)]
mod tests {
    use std::convert::Infallible;

    use proptest::prelude::*;
    use verifier::hash::root_of;
    use verifier::proof::{many_length, verify_many};

    use super::*;

    fn leaf(number: u64) -> Hash {
        leaf_hash(&number.to_be_bytes())
    }

    /// Every complete node of a tree, made once.
    struct Tree(Vec<Vec<Hash>>);

    impl Tree {
        fn new(size: u64) -> Self {
            let mut levels = vec![(0..size).map(leaf).collect::<Vec<_>>()];
            while levels.last().unwrap().len() > 1 {
                let below = levels.last().unwrap();
                levels.push(below.as_chunks::<2>().0.iter().map(|[left, right]| node_hash(left, right)).collect());
            }
            Self(levels)
        }

        fn prove(&self, indexes: &[u64], size: u64) -> Vec<Hash> {
            let mut read = |height: u8, first: u64, count: usize| -> Result<Vec<Hash>, Infallible> {
                let first = usize::try_from(first).unwrap();
                let end = (first as u64 + count as u64) << height;
                assert!(end <= size, "nothing above the size is read");
                Ok(self.0[usize::from(height)][first..first + count].to_vec())
            };
            prove_many(indexes, size, &mut read).unwrap()
        }
    }

    fn check(tree: &Tree, root: &Hash, indexes: &[u64], size: u64) {
        let proof = tree.prove(indexes, size);
        let leaves: Vec<Hash> = indexes.iter().copied().map(leaf).collect();
        assert_eq!(Some(proof.len()), many_length(indexes, size), "{indexes:?} of {size}");
        assert_eq!(verify_many(indexes, &leaves, size, &proof, root), Ok(()), "{indexes:?} of {size}");
    }

    #[test]
    fn every_subset_of_small_trees_is_proved() {
        let tree = Tree::new(12);
        for size in 1..=12 {
            let root = root_of(&tree.0[0][..usize::try_from(size).unwrap()]);
            for set in 1..1_u64 << size {
                let indexes: Vec<u64> = (0..size).filter(|index| set >> index & 1 == 1).collect();
                check(&tree, &root, &indexes, size);
            }
        }
    }

    #[test]
    fn the_proof_of_a_run_is_the_range_proof() {
        let tree = Tree::new(1_000);
        for size in [255_u64, 256, 257, 511, 512, 513, 1_000] {
            for (first, end) in [(0, 1), (0, size), (3, 200), (250, 255), (size - 1, size), (100, size)] {
                let indexes: Vec<u64> = (first..end).collect();
                let nodes = Nodes(&tree);
                let range = verifier::proof::prove_range(&nodes, first, end - first, size).unwrap();
                assert_eq!(tree.prove(&indexes, size), range, "{first}..{end} of {size}");
            }
        }
    }

    struct Nodes<'a>(&'a Tree);

    impl verifier::proof::Nodes for Nodes<'_> {
        type Error = Infallible;

        fn node(&self, height: u8, index: u64) -> Result<Hash, Infallible> {
            Ok(self.0.0[usize::from(height)][usize::try_from(index).unwrap()])
        }
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(24))]

        #[test]
        fn random_leaves_of_trees_that_span_tiles_are_proved(
            size in 1_u64..70_000,
            places in prop::collection::btree_set(any::<u64>(), 1..60),
        ) {
            let tree = Tree::new(size);
            let root = root_of(&tree.0[0]);
            let mut indexes: Vec<u64> = places.iter().map(|place| place % size).collect();
            indexes.sort_unstable();
            indexes.dedup();
            check(&tree, &root, &indexes, size);
        }
    }
}
