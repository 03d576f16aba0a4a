//! The root of a tree of which leaf after leaf is seen once.

use verifier::hash::{EMPTY_ROOT, Hash, node_hash};

/// The right edge of a tree: complete subtrees of falling height (RFC 6962 §2.1).
#[derive(Default)]
pub(super) struct Frontier(Vec<(u32, Hash)>);

impl Frontier {
    pub(super) fn push(&mut self, leaf: Hash) {
        let mut node = (0, leaf);
        while let Some((_, left)) = self.0.pop_if(|(height, _)| *height == node.0) {
            node = (node.0 + 1, node_hash(&left, &node.1));
        }
        self.0.push(node);
    }

    pub(super) fn root(&self) -> Hash {
        let mut peaks = self.0.iter().rev().map(|(_, peak)| *peak);
        peaks.next().map_or(EMPTY_ROOT, |last| peaks.fold(last, |right, left| node_hash(&left, &right)))
    }
}

#[cfg(test)]
mod tests {
    use verifier::hash::leaf_hash;

    use super::*;

    #[test]
    fn the_frontier_has_the_root_of_every_size() {
        let leaves: Vec<Hash> = (0..70_u8).map(|n| leaf_hash(&[n])).collect();
        let mut tree = Frontier::default();
        for size in 0..=leaves.len() {
            assert_eq!(tree.root(), verifier::hash::root_of(&leaves[..size]), "{size}");
            leaves.get(size).into_iter().for_each(|leaf| tree.push(*leaf));
        }
    }
}
