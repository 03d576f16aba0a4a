//! The right edge of a tree, leaf after leaf: all that a reader must keep to know the root at any later size (RFC 6962 §2.1).
//!
//! Guarantees: an edge has as many hashes as its size has ones in binary, so at most 63; what was kept on a disk is checked for that.

use verifier::hash::{EMPTY_ROOT, Hash, node_hash};
use verifier::text::DECIMAL_LIMIT;

/// Complete subtrees from the left, each as large as one bit of the size.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Edge {
    size: u64,
    peaks: Vec<Hash>,
}

impl Edge {
    /// An edge as it was kept; `None` if it cannot be one.
    pub fn kept(size: u64, peaks: Vec<Hash>) -> Option<Self> {
        let fits = size < DECIMAL_LIMIT && usize::try_from(size.count_ones()).is_ok_and(|count| count == peaks.len());
        fits.then_some(Self { size, peaks })
    }

    /// Leaves so far.
    pub fn size(&self) -> u64 {
        self.size
    }

    /// The subtrees, the largest first.
    pub fn peaks(&self) -> &[Hash] {
        &self.peaks
    }

    /// One more leaf.
    pub fn push(&mut self, leaf: Hash) {
        let mut node = leaf;
        let mut left = self.size;
        while left & 1 == 1 {
            if let Some(peak) = self.peaks.pop() {
                node = node_hash(&peak, &node);
            }
            left >>= 1;
        }
        self.peaks.push(node);
        self.size += 1;
    }

    /// The root of all leaves so far.
    pub fn root(&self) -> Hash {
        let mut peaks = self.peaks.iter().rev();
        let last = peaks.next().copied().unwrap_or(EMPTY_ROOT);
        peaks.fold(last, |right, left| node_hash(left, &right))
    }
}

#[cfg(test)]
mod tests {
    use verifier::hash::{leaf_hash, root_of};

    use super::*;

    #[test]
    fn an_edge_has_the_root_of_every_size_also_after_it_was_kept() {
        let leaves: Vec<Hash> = (0..130_u8).map(|n| leaf_hash(&[n])).collect();
        let mut edge = Edge::default();
        for size in 0..=leaves.len() {
            assert_eq!(edge.root(), root_of(&leaves[..size]), "{size}");
            edge = Edge::kept(edge.size(), edge.peaks().to_vec()).unwrap();
            leaves.get(size).into_iter().for_each(|leaf| edge.push(*leaf));
        }
        assert_eq!(Edge::kept(3, vec![leaves[0]]), None);
        assert_eq!(Edge::kept(u64::MAX, leaves[..64].to_vec()), None);
    }
}
