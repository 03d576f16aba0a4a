//! The tree while it grows: its right edge in memory, its nodes in the level files.
//!
//! Why apart from rows and marks: the next batch's nodes are computed and written while the batch before it is on its way to the disk, so
//! whoever grows the tree runs ahead of whoever publishes it.
//!
//! Guarantees: recovery and append grow the level files by the same code; nothing that a published root rests on is overwritten.
//! Does not: sync; know what is published.

use std::ops::Range;
use std::path::Path;
use std::sync::Arc;

use verifier::hash::Hash;
use verifier::proof::{self, prove_consistency, verify_consistency};

use crate::grow::{Edge, Growth, Sum};
use crate::levels::Levels;
use crate::storage::IoFailure;

/// How many nodes are read back at once: 32 KiB stay in the first cache.
const CONFIRM_AT_ONCE: usize = 1024;

/// The right edge of a tree, and room to let it grow.
#[derive(Debug)]
pub(crate) struct Tree {
    pub(crate) levels: Arc<Levels>,
    edge: Edge,
    growth: Growth,
    scratch: Vec<u8>,
}

impl Tree {
    /// The tree that stands in `levels` and has this edge.
    pub(crate) fn new(levels: Arc<Levels>, edge: Edge) -> Self {
        Self { levels, edge, growth: Growth::new(), scratch: Vec::new() }
    }

    pub(crate) fn size(&self) -> u64 {
        self.edge.size()
    }

    pub(crate) fn root(&self) -> Hash {
        self.edge.root()
    }

    /// Computes the tree with `count` more leaves. Nothing changes before [`Tree::accept`].
    pub(crate) fn grow(&mut self, arena: &[u8], count: usize, leaf: impl Fn(usize) -> Range<usize> + Sync) {
        self.growth.compute(&self.edge, arena, count, leaf);
    }

    /// The root of the tree just computed, which has `size` leaves.
    pub(crate) fn grown_root(&self, size: u64) -> Hash {
        assert_eq!(self.growth.edge().size(), size, "a root is of the tree that is meant");
        self.growth.edge().root()
    }

    /// Writes the nodes that the last growth made, above everything that was there.
    pub(crate) fn write_nodes(&mut self) -> Result<(), IoFailure> {
        self.levels.write(&self.growth, &mut self.scratch)
    }

    /// [`confirm`] of the last growth.
    pub(crate) fn confirm(&mut self, before: &Hash, root: &Hash) -> Result<(), IoFailure> {
        confirm(&self.levels, &self.growth, self.edge.size(), before, root, &mut self.scratch)
    }

    /// The last growth is the tree now.
    pub(crate) fn accept(&mut self) {
        self.edge.clone_from(self.growth.edge());
    }

    /// [`Tree::accept`], and hands the growth over to whoever will confirm it; the next one is computed in `room`.
    pub(crate) fn pass_on(&mut self, room: Growth) -> Growth {
        self.accept();
        std::mem::replace(&mut self.growth, room)
    }

    /// The root, if the stored nodes say the same.
    pub(crate) fn confirmed_root(&self) -> Result<Hash, IoFailure> {
        let root = self.root();
        if proof::root(&*self.levels, self.size())? == root { Ok(root) } else { Err(changed(&self.levels)) }
    }
}

/// Holds a growth of the tree of `from` leaves, as it stands in the level files, against what was computed, before `root` is signed over
/// it: the new nodes by their sum, and that `root` extends `before`, the root of what is published, by the verifier's own check of
/// consistency on stored nodes alone. So a bit that flipped in memory, in a new node or in the edge that it grew from, or on the way to the
/// files, is an error and not a head.
pub(crate) fn confirm(
    levels: &Levels,
    growth: &Growth,
    from: u64,
    before: &Hash,
    root: &Hash,
    scratch: &mut Vec<u8>,
) -> Result<(), IoFailure> {
    let mut sum = Sum::default();
    for (height, (first, nodes)) in growth.levels().enumerate() {
        let mut at = first;
        for some in nodes.chunks(CONFIRM_AT_ONCE) {
            scratch.resize(some.len() * Hash::LEN, 0);
            levels.read(height, at, scratch)?;
            sum = sum.plus(Sum::of(scratch));
            at += some.len() as u64;
        }
    }
    let to = growth.edge().size();
    let extends = if from == 0 {
        proof::root(levels, to)? == *root
    } else {
        let path = prove_consistency(levels, from, to)?;
        verify_consistency(from, to, &path, before, root).is_ok()
    };
    if sum == growth.sum() && extends { Ok(()) } else { Err(changed(levels)) }
}

fn changed(levels: &Levels) -> IoFailure {
    flipped(&levels.path(""), "the tree is not what was computed")
}

/// A bit is not what it was, and no I/O error explains it.
pub(crate) fn flipped(at: &Path, what: &str) -> IoFailure {
    IoFailure::new("confirm", at, std::io::Error::other(format!("{what}: a bit flipped in memory or on the disk")))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::derived::Derived;
    use crate::layout::Layout;
    use crate::storage::ram::Ram;
    use crate::storage::{Files, Storage};
    use verifier::hash::{leaf_hash, root_of};

    fn leaves(size: usize) -> Vec<u8> {
        (0..size).map(|leaf| u8::try_from(leaf).unwrap()).collect()
    }

    fn true_root(size: usize) -> Hash {
        root_of(&leaves(size).iter().map(|leaf| leaf_hash(&[*leaf])).collect::<Vec<_>>())
    }

    /// A tree of `size` leaves, on its own disk.
    fn tree_of(size: usize) -> (Ram, Layout, Tree) {
        let (ram, layout) = (Ram::new(), Layout::new(Path::new("/log")));
        let files = Files(Arc::new(ram.process()));
        for dir in [Path::new("/log"), &layout.tree(), &layout.index()] {
            ram.process().create_dir(dir, false).unwrap();
        }
        let mut tree = Derived::fresh(&files, &layout, &Hash([7; 32])).unwrap().tree;
        if size > 0 {
            grow(&mut tree, size);
            tree.confirm(&true_root(0), &true_root(size)).unwrap();
            tree.accept();
        }
        (ram, layout, tree)
    }

    fn grow(tree: &mut Tree, to: usize) {
        let from = usize::try_from(tree.size()).unwrap();
        tree.grow(&leaves(to), to - from, |leaf| from + leaf..from + leaf + 1);
        tree.write_nodes().unwrap();
    }

    #[test]
    fn whatever_node_flips_in_memory_or_as_stored_no_other_root_than_the_true_one_is_confirmed() {
        let (mut refused, mut harmless) = (0, 0);
        for (from, to) in (0..10_usize).flat_map(|from| (from + 1..=from + 9).map(move |to| (from, to))) {
            let (before, root) = (true_root(from), true_root(to));
            // A node at the right edge from which the tree grows.
            for height in (0..4).filter(|height| (from >> height) & 1 == 1) {
                let (_ram, _, mut tree) = tree_of(from);
                tree.edge.peak_mut(height).0[31] ^= 0x80;
                grow(&mut tree, to);
                let signed = tree.grown_root(to as u64);
                assert_ne!(signed, root, "the flip is in it");
                tree.confirm(&before, &signed).unwrap_err();
                refused += 1;
            }
            // A node as stored, of those that were there and of the new ones.
            for (height, node) in (0..5).flat_map(|height| (0..to >> height).map(move |node| (height, node))) {
                let (ram, layout, mut tree) = tree_of(from);
                grow(&mut tree, to);
                let path = layout.tree().join(format!("{height:02}"));
                ram.damage(&path, |bytes| bytes[node * 32 + 9] ^= 1).unwrap();
                let new = node >= from >> height;
                match tree.confirm(&before, &root) {
                    Ok(()) => {
                        assert!(!new, "a new node of {from} to {to} at height {height}");
                        harmless += 1;
                    }
                    Err(_) => refused += 1,
                }
            }
        }
        assert!(refused > 400 && harmless > 100, "{refused} refused, {harmless} old nodes were not asked for");
    }
}
