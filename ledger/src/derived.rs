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
//! remembered head is checked against them), only what lies above is read and hashed again. The mark is renewed when a segment is closed,
//! when the log is closed and when an opening has derived anything, so that is at most one segment.
//!
//! Guarantees: recovery and append grow the derived files by the same code. Does not: sync on the hot path.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use verifier::hash::Hash;
use verifier::proof::Nodes;

use crate::bytes::{Put, Take, checked};
use crate::grow::Edge;
use crate::layout::Layout;
use crate::levels::Levels;
use crate::rows::{Row, RowError, Rows};
use crate::storage::{Files, IoFailure, Mode};
use crate::tree::Tree;

/// The derived files of one log, at one size.
#[derive(Debug)]
pub(crate) struct Derived {
    pub(crate) tree: Tree,
    pub(crate) rows: Rows,
    pub(crate) frames: u64,
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
        Ok(Self { tree: Tree::new(levels, Edge::empty()), rows, frames: 0 })
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
        Ok(Some(Self { tree: Tree::new(levels, edge), rows, frames: mark.frames }))
    }

    /// The row of the last frame, if there is one.
    pub(crate) fn last(&self) -> Result<Option<Row>, RowError> {
        self.frames.checked_sub(1).map(|number| self.rows.row(number)).transpose()
    }

    /// Writes the row of the frame that the last growth is made of; `start` tells where an entry's length prefix stands in the body.
    pub(crate) fn write_row(&self, row: &Row, start: impl Fn(usize) -> u64) -> Result<(), IoFailure> {
        self.rows.write(self.frames, row, start)
    }

    /// The last growth is the tree now.
    pub(crate) fn accept(&mut self) {
        self.tree.accept();
        self.frames += 1;
    }
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
