//! What is derived from the journal while it grows: tree nodes, frame rows, positions; and the mark up to which they are durable.
//!
//! ```text
//! tree/synced:  magic "ILSYNC01" 8 ‖ log id 32 ‖ size 8 ‖ frames 8 ‖ CRC-32 of all before
//! index/log:    magic "ILINDX01" 8 ‖ log id 32 ‖ CRC-32 of all before
//! ```
//!
//! Both name the log: a directory of derived files that was copied from another log is made again, whatever it holds.
//!
//! Why the mark: opening a log must not cost more when the log is larger. Up to the mark the derived files are believed (the root of the
//! remembered head is checked against them), only what lies above is read and hashed again. The mark is renewed when a segment is closed
//! and when the log is closed, so that is at most one segment.
//!
//! Guarantees: recovery and append grow the derived files by the same code. Does not: sync on the hot path.

use std::ops::Range;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use verifier::hash::Hash;
use verifier::proof::{self, Nodes, prove_consistency, verify_consistency};

use crate::bytes::{Put, Take, checked};
use crate::grow::{Edge, Growth, Sum};
use crate::layout::Layout;
use crate::levels::Levels;
use crate::rows::{Row, RowError, Rows};
use crate::storage::{Files, IoFailure, Mode};

/// How many nodes are read back at once: 32 KiB stay in the first cache.
const CONFIRM_AT_ONCE: usize = 1024;

/// The derived files of one log, at one size.
#[derive(Debug)]
pub(crate) struct Derived {
    pub(crate) levels: Arc<Levels>,
    pub(crate) rows: Rows,
    pub(crate) frames: u64,
    edge: Edge,
    growth: Growth,
    scratch: Vec<u8>,
}

impl Derived {
    /// Derived files that hold nothing.
    pub(crate) fn fresh(files: &Files, layout: &Layout, log: &Hash) -> Result<Self, IoFailure> {
        Mark::forget(files, layout)?;
        Owner::set(files, layout, log)?;
        let levels = Arc::new(Levels::new(files, &layout.tree()));
        let rows = Rows::open(files, &layout.index())?;
        levels.fit(0)?;
        rows.fit(0, 0)?;
        Ok(Self { levels, rows, frames: 0, edge: Edge::empty(), growth: Growth::new(), scratch: Vec::new() })
    }

    /// Derived files as they were at the mark; `None` if they cannot be.
    pub(crate) fn resume(files: &Files, layout: &Layout, log: &Hash, mark: Mark) -> Result<Option<Self>, IoFailure> {
        if !Owner::is(files, layout, log)? {
            return Ok(None);
        }
        let levels = Arc::new(Levels::new(files, &layout.tree()));
        let rows = Rows::open(files, &layout.index())?;
        if !rows.fit(mark.frames, mark.size)? || !levels.fit(mark.size)? {
            return Ok(None);
        }
        let last = match mark.frames.checked_sub(1).map(|number| rows.row(number)).transpose() {
            Ok(last) => last,
            Err(RowError::Damaged { .. }) => return Ok(None),
            Err(RowError::Io(failure)) => return Err(failure),
        };
        if last.map_or(0, |row| row.end()) != mark.size {
            return Ok(None);
        }
        let edge = Edge::read(mark.size, |height, index| levels.node(height, index))?;
        let (frames, growth) = (mark.frames, Growth::new());
        Ok(Some(Self { levels, rows, frames, edge, growth, scratch: Vec::new() }))
    }

    pub(crate) fn size(&self) -> u64 {
        self.edge.size()
    }

    pub(crate) fn root(&self) -> Hash {
        self.edge.root()
    }

    /// The row of the last frame, if there is one.
    pub(crate) fn last(&self) -> Result<Option<Row>, RowError> {
        self.frames.checked_sub(1).map(|number| self.rows.row(number)).transpose()
    }

    /// Computes the tree with `count` more leaves. Nothing changes before [`Derived::accept`].
    pub(crate) fn grow(&mut self, arena: &[u8], count: usize, leaf: impl Fn(usize) -> Range<usize> + Sync) {
        self.growth.compute(&self.edge, arena, count, leaf);
    }

    /// The root of the tree just computed, which has `size` leaves.
    pub(crate) fn grown_root(&self, size: u64) -> Hash {
        assert_eq!(self.growth.edge().size(), size, "a root is of the tree that is meant");
        self.growth.edge().root()
    }

    /// Writes the nodes that the last growth made, above everything that is published.
    pub(crate) fn write_nodes(&mut self) -> Result<(), IoFailure> {
        self.levels.write(&self.growth, &mut self.scratch)
    }

    /// Holds the tree as it stands in its files against what was computed, before `root` is signed over it: the new nodes by their sum, and
    /// that `root` extends `before`, the root of what is published, by the verifier's own check of consistency on stored nodes alone. So a
    /// bit that flipped in memory, in a new node or in the edge that it grew from, or on the way to the files, is an error and not a head.
    pub(crate) fn confirm(&mut self, before: &Hash, root: &Hash) -> Result<(), IoFailure> {
        let mut sum = Sum::default();
        for (height, (first, nodes)) in self.growth.levels().enumerate() {
            let mut at = first;
            for some in nodes.chunks(CONFIRM_AT_ONCE) {
                self.scratch.resize(some.len() * Hash::LEN, 0);
                self.levels.read(height, at, &mut self.scratch)?;
                sum = sum.plus(Sum::of(&self.scratch));
                at += some.len() as u64;
            }
        }
        let (from, to) = (self.edge.size(), self.growth.edge().size());
        let extends = if from == 0 {
            proof::root(&*self.levels, to)? == *root
        } else {
            let path = prove_consistency(&*self.levels, from, to)?;
            verify_consistency(from, to, &path, before, root).is_ok()
        };
        if sum == self.growth.sum() && extends { Ok(()) } else { Err(self.flipped()) }
    }

    /// The root, if the stored nodes say the same.
    pub(crate) fn confirmed_root(&self) -> Result<Hash, IoFailure> {
        let root = self.root();
        if proof::root(&*self.levels, self.size())? == root { Ok(root) } else { Err(self.flipped()) }
    }

    fn flipped(&self) -> IoFailure {
        flipped(&self.levels.path(""), "the tree is not what was computed")
    }

    /// Writes the row of the frame that the last growth is made of; `start` tells where an entry's length prefix stands in the body.
    pub(crate) fn write_row(&self, row: &Row, start: impl Fn(usize) -> u64) -> Result<(), IoFailure> {
        self.rows.write(self.frames, row, start)
    }

    /// The last growth is the tree now.
    pub(crate) fn accept(&mut self) {
        self.edge.clone_from(self.growth.edge());
        self.frames += 1;
    }
}

/// A bit is not what it was, and no I/O error explains it.
pub(crate) fn flipped(at: &Path, what: &str) -> IoFailure {
    IoFailure::new("confirm", at, std::io::Error::other(format!("{what}: a bit flipped in memory or on the disk")))
}

/// Up to where the derived files are durable.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Mark {
    pub(crate) size: u64,
    pub(crate) frames: u64,
}

const MAGIC: &[u8; 8] = b"ILSYNC01";
const MARK: usize = 60;

impl Mark {
    /// The mark, if there is a whole one of this log.
    pub(crate) fn read(files: &Files, layout: &Layout, log: &Hash) -> Result<Option<Self>, IoFailure> {
        let path = layout.tree().join("synced");
        if !files.exists(&path)? {
            return Ok(None);
        }
        let file = files.open(&path, Mode::Read)?;
        if file.len()? != MARK as u64 {
            return Ok(None);
        }
        let bytes: [u8; MARK] = file.read_array(0)?;
        let read = || {
            let mut take = Take(checked(&bytes)?);
            let (magic, id) = (take.array::<8>()?, take.hash()?);
            let mark = Self { size: take.u64()?, frames: take.u64()? };
            take.finish(mark).filter(|_| magic == *MAGIC && id == *log)
        };
        Ok(read())
    }

    /// Makes the derived files durable up to here, then says so.
    pub(crate) fn set(
        self,
        files: &Files,
        layout: &Layout,
        log: &Hash,
        levels: &Levels,
        rows: &Rows,
    ) -> Result<(), IoFailure> {
        levels.sync(self.size)?;
        rows.sync()?;
        put(files, &layout.tree(), "synced", &self.encode(log))
    }

    /// The bytes of the mark.
    pub(crate) fn encode(self, log: &Hash) -> [u8; MARK] {
        Put::new().bytes(MAGIC).bytes(&log.0).u64(self.size).u64(self.frames).crc().done()
    }

    /// Takes the mark away, durably: what follows must not be believed for what stood there before.
    fn forget(files: &Files, layout: &Layout) -> Result<(), IoFailure> {
        for name in ["synced", "synced.new"] {
            let path = layout.tree().join(name);
            if files.exists(&path)? {
                files.remove(&path)?;
            }
        }
        files.sync_dir(&layout.tree())
    }
}

/// Whose derived rows `index/` holds.
pub(crate) struct Owner;

const OWNER_MAGIC: &[u8; 8] = b"ILINDX01";
const OWNER: usize = 44;

impl Owner {
    pub(crate) fn file(layout: &Layout) -> PathBuf {
        layout.index().join("log")
    }

    fn bytes(log: &Hash) -> [u8; OWNER] {
        Put::new().bytes(OWNER_MAGIC).bytes(&log.0).crc().done()
    }

    /// Whether it is this log.
    pub(crate) fn is(files: &Files, layout: &Layout, log: &Hash) -> Result<bool, IoFailure> {
        let path = Self::file(layout);
        if !files.exists(&path)? {
            return Ok(false);
        }
        let file = files.open(&path, Mode::Read)?;
        Ok(file.len()? == OWNER as u64 && file.read_array(0)? == Self::bytes(log))
    }

    /// It is from now on; if we crash here, it is nobody's, or what it was.
    fn set(files: &Files, layout: &Layout, log: &Hash) -> Result<(), IoFailure> {
        if Self::is(files, layout, log)? {
            return Ok(());
        }
        put(files, &layout.index(), "log", &Self::bytes(log))
    }
}

/// Puts a small file durably in the place of what has its name.
fn put(files: &Files, dir: &Path, name: &str, bytes: &[u8]) -> Result<(), IoFailure> {
    let (fresh, path) = (dir.join(format!("{name}.new")), dir.join(name));
    if files.exists(&fresh)? {
        files.remove(&fresh)?;
    }
    files.write_new(&fresh, Mode::New, bytes)?;
    files.rename(&fresh, &path)?;
    files.sync_dir(dir)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::storage::Storage;
    use crate::storage::ram::Ram;
    use verifier::hash::{leaf_hash, root_of};

    fn leaves(size: usize) -> Vec<u8> {
        (0..size).map(|leaf| u8::try_from(leaf).unwrap()).collect()
    }

    fn true_root(size: usize) -> Hash {
        root_of(&leaves(size).iter().map(|leaf| leaf_hash(&[*leaf])).collect::<Vec<_>>())
    }

    /// A tree of `size` leaves, on its own disk.
    fn tree(size: usize) -> (Ram, Layout, Derived) {
        let (ram, layout) = (Ram::new(), Layout::new(Path::new("/log")));
        let files = Files(Arc::new(ram.process()));
        for dir in [Path::new("/log"), &layout.tree(), &layout.index()] {
            ram.process().create_dir(dir, false).unwrap();
        }
        let mut derived = Derived::fresh(&files, &layout, &Hash([7; 32])).unwrap();
        if size > 0 {
            grow(&mut derived, size);
            derived.confirm(&true_root(0), &true_root(size)).unwrap();
            derived.accept();
        }
        (ram, layout, derived)
    }

    fn grow(derived: &mut Derived, to: usize) {
        let from = usize::try_from(derived.size()).unwrap();
        derived.grow(&leaves(to), to - from, |leaf| from + leaf..from + leaf + 1);
        derived.write_nodes().unwrap();
    }

    #[test]
    fn whatever_node_flips_in_memory_or_as_stored_no_other_root_than_the_true_one_is_confirmed() {
        let (mut refused, mut harmless) = (0, 0);
        for (from, to) in (0..10_usize).flat_map(|from| (from + 1..=from + 9).map(move |to| (from, to))) {
            let (before, root) = (true_root(from), true_root(to));
            // A node at the right edge from which the tree grows.
            for height in (0..4).filter(|height| (from >> height) & 1 == 1) {
                let (_ram, _, mut derived) = tree(from);
                derived.edge.peak_mut(height).0[31] ^= 0x80;
                grow(&mut derived, to);
                let signed = derived.grown_root(to as u64);
                assert_ne!(signed, root, "the flip is in it");
                derived.confirm(&before, &signed).unwrap_err();
                refused += 1;
            }
            // A node as stored, of those that were there and of the new ones.
            for (height, node) in (0..5).flat_map(|height| (0..to >> height).map(move |node| (height, node))) {
                let (ram, layout, mut derived) = tree(from);
                grow(&mut derived, to);
                let path = layout.tree().join(format!("{height:02}"));
                ram.damage(&path, |bytes| bytes[node * 32 + 9] ^= 1).unwrap();
                let new = node >= from >> height;
                match derived.confirm(&before, &root) {
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
