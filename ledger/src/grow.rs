//! How a tree grows by a batch: arithmetic only.
//!
//! Why: nodes are computed level by level, each level in one run over the one below, which rayon splits when it is long; nothing is
//! allocated per entry, and the buffer is used again for the next batch.
//!
//! Guarantees: given the right edge of the tree of n leaves and the next m leaf hashes, [`Growth`] holds exactly the complete nodes that the
//! tree of n + m leaves has and the tree of n had not, and its root (RFC 6962 §2.1). Does not: keep or write anything.

use std::ops::Range;

use rayon::prelude::*;
use verifier::hash::{EMPTY_ROOT, Hash, leaf_hash, node_hash};

/// Below so many hashes, waking the other cores costs about what it saves (256 leaves of 256 B with their nodes take 80 µs on one), and
/// takes them from whoever evaluates the next batch.
pub(crate) const PARALLEL_FROM: usize = 1024;
/// Heights of a tree of fewer than 2^63 leaves.
pub(crate) const HEIGHTS: usize = 63;

/// The right edge of a tree: all that is needed to let it grow.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Edge {
    size: u64,
    /// The last complete node of each height where the count of such nodes is odd; stale elsewhere.
    peaks: [Hash; HEIGHTS],
}

impl Edge {
    /// The tree without leaves.
    pub(crate) fn empty() -> Self {
        Self { size: 0, peaks: [EMPTY_ROOT; HEIGHTS] }
    }

    /// The right edge of a tree of `size` leaves whose nodes are known.
    pub(crate) fn read<E>(size: u64, mut node: impl FnMut(u8, u64) -> Result<Hash, E>) -> Result<Self, E> {
        let mut edge = Self { size, ..Self::empty() };
        for (height, peak) in (0..).zip(edge.peaks.iter_mut()) {
            let count = size >> height;
            if count & 1 == 1 {
                *peak = node(height, count - 1)?;
            }
        }
        Ok(edge)
    }

    pub(crate) fn size(&self) -> u64 {
        self.size
    }

    /// To damage it.
    #[cfg(test)]
    pub(crate) fn peak_mut(&mut self, height: usize) -> &mut Hash {
        &mut self.peaks[height]
    }

    /// The root of the tree.
    pub(crate) fn root(&self) -> Hash {
        let mut root = None;
        for (height, peak) in self.peaks.iter().enumerate() {
            if (self.size >> height) & 1 == 1 {
                root = Some(root.map_or(*peak, |right| node_hash(peak, &right)));
            }
        }
        root.unwrap_or(EMPTY_ROOT)
    }
}

/// A sum over hashes, taken of each at the moment when it is computed, and again of what was stored: a bit that flips in between (Yeti 2022)
/// makes the two differ. Sums need no order, so all cores can add. Not for adversaries: two flips can cancel each other.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Sum([u64; 4]);

impl Sum {
    pub(crate) fn of(hashes: &[u8]) -> Self {
        let lanes = hashes.as_chunks::<8>().0.iter().map(|lane| u64::from_ne_bytes(*lane));
        let mut sum = Self::default();
        for (place, lane) in lanes.enumerate() {
            if let Some(total) = sum.0.get_mut(place % 4) {
                *total = total.wrapping_add(lane);
            }
        }
        sum
    }

    pub(crate) fn plus(self, other: Self) -> Self {
        let [a, b, c, d] = self.0;
        let [e, f, g, h] = other.0;
        Self([a.wrapping_add(e), b.wrapping_add(f), c.wrapping_add(g), d.wrapping_add(h)])
    }
}

/// The new nodes of one growth, and the edge after it. Re-used from batch to batch.
#[derive(Debug)]
pub(crate) struct Growth {
    /// All new nodes, height 0 first.
    nodes: Vec<Hash>,
    /// For each height: index of the first new node, and where the new nodes stand in `nodes`.
    levels: Vec<(u64, Range<usize>)>,
    edge: Edge,
    /// Of all new nodes, as they were computed.
    sum: Sum,
}

impl Growth {
    pub(crate) fn new() -> Self {
        Self { nodes: Vec::new(), levels: Vec::new(), edge: Edge::empty(), sum: Sum::default() }
    }

    /// Computes what `edge` becomes with `count` more leaves, each given by its bytes in `arena`.
    pub(crate) fn compute(
        &mut self,
        edge: &Edge,
        arena: &[u8],
        count: usize,
        leaf: impl Fn(usize) -> Range<usize> + Sync,
    ) {
        self.nodes.clear();
        self.nodes.resize(count, EMPTY_ROOT);
        let hash = |(position, node): (usize, &mut Hash)| {
            let hash = leaf_hash(arena.get(leaf(position)).unwrap_or_default());
            *node = hash;
            Sum::of(&hash.0)
        };
        self.sum = if count < PARALLEL_FROM {
            self.nodes.iter_mut().enumerate().map(hash).fold(Sum::default(), Sum::plus)
        } else {
            let some = self.nodes.par_iter_mut().with_min_len(PARALLEL_FROM / 4);
            some.enumerate().map(hash).reduce(Sum::default, Sum::plus)
        };
        self.raise(edge);
    }

    /// Hashes leaves on all cores, each given by its bytes in `arena`, and answers what `each` makes of it while the cache still has it. It
    /// needs no edge, and so does not wait for the growth before; [`Growth::adopt`] is the rest.
    pub(crate) fn hash<T: Send>(
        &mut self,
        arena: &[u8],
        count: usize,
        leaf: impl Fn(usize) -> Range<usize> + Sync,
        each: impl Fn(usize, &[u8]) -> T + Sync,
    ) -> Vec<T> {
        self.levels.clear();
        self.nodes.clear();
        self.nodes.resize(count, EMPTY_ROOT);
        let one = |(position, node): (usize, &mut Hash)| {
            let leaf = arena.get(leaf(position)).unwrap_or_default();
            *node = leaf_hash(leaf);
            each(position, leaf)
        };
        self.nodes.par_iter_mut().enumerate().with_min_len(PARALLEL_FROM / 8).map(one).collect()
    }

    /// Computes what `edge` becomes with the first `count` of the leaves whose hashes stand here. Their sum was not taken, and so such a
    /// growth is never confirmed.
    pub(crate) fn adopt(&mut self, edge: &Edge, count: usize) {
        self.nodes.truncate(count);
        self.sum = Sum::default();
        self.raise(edge);
    }

    /// Computes the inner nodes above the leaf hashes that stand in `nodes`.
    fn raise(&mut self, edge: &Edge) {
        self.levels.clear();
        self.edge.clone_from(edge);
        self.edge.size = edge.size + self.nodes.len() as u64;
        let mut range = 0..self.nodes.len();
        for (height, peak) in self.edge.peaks.iter_mut().enumerate() {
            let first = edge.size >> height;
            self.levels.push((first, range.clone()));
            let odd = first & 1 == 1;
            let pairs = (range.len() + usize::from(odd)) / 2;
            let start = self.nodes.len();
            debug_assert_eq!(start, range.end);
            self.nodes.resize(start + pairs, EMPTY_ROOT);
            let (below, above) = self.nodes.split_at_mut(start);
            let children = below.get(range.clone()).unwrap_or_default();
            let (left_over, sum) = raise_one(odd.then_some(&*peak), children, above);
            self.sum = self.sum.plus(sum);
            if let Some(last) = left_over {
                *peak = last;
            }
            range = start..start + pairs;
            if pairs == 0 {
                break;
            }
        }
    }

    /// The root of the tree of `size` leaves, from those of `edge`, of which this is a growth, up to those of the grown tree.
    pub(crate) fn root_at(&self, edge: &Edge, size: u64) -> Hash {
        let mut root = None;
        for (height, peak) in edge.peaks.iter().enumerate() {
            let count = size >> height;
            if count & 1 == 0 {
                continue;
            }
            // The last complete node of this height is a new one, or the one that waits at the old edge.
            let new = self.levels.get(height).and_then(|(first, range)| {
                let inside = usize::try_from((count - 1).checked_sub(*first)?).ok()?;
                self.nodes.get(range.clone())?.get(inside)
            });
            let node = new.unwrap_or(peak);
            root = Some(root.map_or(*node, |right| node_hash(node, &right)));
        }
        root.unwrap_or(EMPTY_ROOT)
    }

    /// Index of the first new node and the new nodes of each height, from 0 up.
    pub(crate) fn levels(&self) -> impl Iterator<Item = (u64, &[Hash])> {
        self.levels.iter().map(|(first, range)| (*first, self.nodes.get(range.clone()).unwrap_or_default()))
    }

    /// The sum of all new nodes as they were computed.
    pub(crate) fn sum(&self) -> Sum {
        self.sum
    }

    /// The edge of the grown tree.
    pub(crate) fn edge(&self) -> &Edge {
        &self.edge
    }
}

/// Pairs `waiting` (the lone last node so far) and the new `children` into `parents`; answers the node that is now alone, if any, and the
/// sum of the parents.
fn raise_one(waiting: Option<&Hash>, children: &[Hash], parents: &mut [Hash]) -> (Option<Hash>, Sum) {
    let pair = |parent: &mut Hash, left: &Hash, right: &Hash| {
        let hash = node_hash(left, right);
        *parent = hash;
        Sum::of(&hash.0)
    };
    let (mut rest, mut parents, mut sum) = (children, parents, Sum::default());
    if let Some(left) = waiting {
        let Some((right, others)) = rest.split_first() else { return (Some(*left), sum) };
        let Some((parent, others_up)) = parents.split_first_mut() else { return (None, sum) };
        sum = pair(parent, left, right);
        (rest, parents) = (others, others_up);
    }
    let (pairs, alone) = rest.as_chunks::<2>();
    let others = if pairs.len() < PARALLEL_FROM {
        let all = parents.iter_mut().zip(pairs);
        all.map(|(parent, [left, right])| pair(parent, left, right)).fold(Sum::default(), Sum::plus)
    } else {
        let some = parents.par_iter_mut().with_min_len(PARALLEL_FROM / 2).zip(pairs);
        some.map(|(parent, [left, right])| pair(parent, left, right)).reduce(Sum::default, Sum::plus)
    };
    (alone.first().copied(), sum.plus(others))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeMap;
    use verifier::hash::root_of;

    fn leaves(count: u16) -> Vec<[u8; 2]> {
        (0..count).map(u16::to_be_bytes).collect()
    }

    #[test]
    fn a_tree_grown_in_any_two_steps_has_the_root_and_the_nodes_of_the_whole() {
        for size in 0..=64_usize {
            let all = leaves(u16::try_from(size).unwrap());
            let hashes: Vec<Hash> = all.iter().map(|leaf| leaf_hash(leaf)).collect();
            for cut in 0..=size {
                let mut growth = Growth::new();
                let mut edge = Edge::empty();
                let mut nodes = BTreeMap::new();
                for part in [&all[..cut], &all[cut..]] {
                    growth.compute(&edge, part.as_flattened(), part.len(), |i| 2 * i..2 * i + 2);
                    for (height, (first, new)) in (0_u8..).zip(growth.levels()) {
                        for (index, node) in (first..).zip(new) {
                            assert_eq!(nodes.insert((height, index), *node), None, "written twice");
                        }
                    }
                    let sizes = usize::try_from(edge.size()).unwrap()..=usize::try_from(growth.edge().size()).unwrap();
                    for size in sizes {
                        assert_eq!(growth.root_at(&edge, size as u64), root_of(&hashes[..size]), "{size}");
                    }
                    edge.clone_from(growth.edge());
                }
                assert_eq!(edge.size(), size as u64);
                assert_eq!(edge.root(), root_of(&hashes), "{cut} of {size}");
                let wanted = (0_u8..7).flat_map(|h| (0..(size as u64 >> h)).map(move |i| (h, i)));
                for (height, index) in wanted {
                    let start = usize::try_from(index).unwrap() << height;
                    assert_eq!(nodes.remove(&(height, index)), Some(root_of(&hashes[start..start + (1 << height)])));
                }
                assert!(nodes.is_empty(), "nothing but complete nodes");
            }
        }
    }

    #[test]
    fn a_large_batch_gives_what_many_small_ones_give() {
        let all = leaves(5000);
        let (mut at_once, mut edge) = (Growth::new(), Edge::empty());
        at_once.compute(&edge, all.as_flattened(), all.len(), |i| 2 * i..2 * i + 2);
        let mut growth = Growth::new();
        for part in all.chunks(37) {
            growth.compute(&edge, part.as_flattened(), part.len(), |i| 2 * i..2 * i + 2);
            edge.clone_from(growth.edge());
        }
        assert_eq!(edge.root(), at_once.edge().root());
    }

    #[test]
    fn leaves_that_were_hashed_before_their_edge_was_known_grow_the_same_tree_and_any_shorter_one() {
        let all = leaves(3000);
        for (size, more) in [(0, 1), (5, 700), (7, 2900)] {
            let (mut whole, mut edge) = (Growth::new(), Edge::empty());
            whole.compute(&edge, all.as_flattened(), size, |i| 2 * i..2 * i + 2);
            edge.clone_from(whole.edge());
            let mut growth = Growth::new();
            let later = all[size..].as_flattened();
            let seen = growth.hash(later, more, |i| 2 * i..2 * i + 2, |at, leaf| (at, leaf.to_vec()));
            assert!(seen.iter().enumerate().all(|(at, seen)| *seen == (at, all[size + at].to_vec())));
            for count in [more, more / 2, 0] {
                growth.adopt(&edge, count);
                whole.compute(&edge, later, count, |i| 2 * i..2 * i + 2);
                assert!(growth.levels().eq(whole.levels()) && growth.edge() == whole.edge(), "{size} and {count}");
            }
        }
    }

    #[test]
    fn an_edge_read_from_nodes_is_the_edge_that_grew() {
        let all = leaves(43);
        let mut growth = Growth::new();
        growth.compute(&Edge::empty(), all.as_flattened(), all.len(), |i| 2 * i..2 * i + 2);
        let levels: Vec<Vec<Hash>> = growth.levels().map(|(_, nodes)| nodes.to_vec()).collect();
        let edge = Edge::read(43, |h, i| Ok::<_, ()>(levels[usize::from(h)][usize::try_from(i).unwrap()])).unwrap();
        assert_eq!(edge.root(), growth.edge().root());
    }

    #[test]
    fn every_bit_that_flips_in_a_node_after_it_was_computed_shows_in_the_sum() {
        for (size, more) in [(0, 9), (5, 6), (3, 2100)] {
            let all = leaves(size + more);
            let (mut growth, mut edge) = (Growth::new(), Edge::empty());
            growth.compute(&edge, all.as_flattened(), size.into(), |i| 2 * i..2 * i + 2);
            edge.clone_from(growth.edge());
            growth.compute(&edge, all[size.into()..].as_flattened(), more.into(), |i| 2 * i..2 * i + 2);
            let sum = |growth: &Growth| {
                let nodes = growth.levels().flat_map(|(_, nodes)| nodes);
                nodes.map(|node| Sum::of(&node.0)).fold(Sum::default(), Sum::plus)
            };
            assert_eq!(sum(&growth), growth.sum());
            for bit in (0..growth.nodes.len() * 256).step_by(1 + usize::from(more) / 8) {
                growth.nodes[bit / 256].0[bit / 8 % 32] ^= 1 << (bit % 8);
                assert_ne!(sum(&growth), growth.sum(), "bit {bit}");
                growth.nodes[bit / 256].0[bit / 8 % 32] ^= 1 << (bit % 8);
            }
        }
    }
}
