//! The tree's nodes on disk: `tree/<height>`, all complete nodes of that height one after the other, 32 bytes each.
//!
//! Why flat: node i of a height stands at 32 · i, the heights 0, 8, 16 … are the levels of C2SP tlog-tiles, and a tile, full or partial, is
//! one slice. Everything here is derived from the journal: it is written beside the hot path's syncs and never synced there.
//!
//! Guarantees: a node that is answered was written by this process, or stood below the synced mark. Does not: check what it reads; the
//! root of the remembered head is checked against it at open, every node by fsck.

use std::path::{Path, PathBuf};
use std::sync::OnceLock;

use verifier::hash::Hash;
use verifier::proof::Nodes;

use crate::grow::{Growth, HEIGHTS};
use crate::storage::{File, Files, IoFailure, Mode};

/// The level files of one log; shared by the writer and all readers.
#[derive(Debug)]
pub(crate) struct Levels {
    files: Files,
    dir: PathBuf,
    levels: [OnceLock<File>; HEIGHTS],
    mode: Mode,
}

impl Levels {
    /// Level files in `dir`; each is opened when it is first needed.
    pub(crate) fn new(files: &Files, dir: &Path) -> Self {
        let levels = [const { OnceLock::new() }; HEIGHTS];
        Self { files: files.clone(), dir: dir.to_owned(), levels, mode: Mode::Write }
    }

    /// As [`Levels::new`], without making anything.
    pub(crate) fn for_reading(files: &Files, dir: &Path) -> Self {
        Self { mode: Mode::Read, ..Self::new(files, dir) }
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.dir.join(name)
    }

    /// Makes the files hold exactly the complete nodes of a tree of `size` leaves: longer files are cut, those of unused heights removed.
    /// `false` if a file is missing or too short to hold them.
    pub(crate) fn fit(&self, size: u64) -> Result<bool, IoFailure> {
        let present = self.files.list(&self.dir)?;
        for height in 0..HEIGHTS {
            let name = level_name(height);
            let wanted = (size >> height) * Hash::LEN as u64;
            if !present.contains(&name) {
                if wanted > 0 {
                    return Ok(false);
                }
            } else if wanted == 0 {
                self.files.remove(&self.dir.join(name))?;
            } else {
                let file = self.file(height)?;
                match file.len()?.cmp(&wanted) {
                    std::cmp::Ordering::Less => return Ok(false),
                    std::cmp::Ordering::Equal => {}
                    std::cmp::Ordering::Greater => file.truncate(wanted)?,
                }
            }
        }
        Ok(true)
    }

    /// True if the files have all complete nodes of a tree of `size` leaves, or more. Nothing is made or cut.
    pub(crate) fn hold(&self, size: u64) -> Result<bool, IoFailure> {
        for height in (0..HEIGHTS).take_while(|height| size >> height > 0) {
            if self.file(height)?.len()? < (size >> height) * Hash::LEN as u64 {
                return Ok(false);
            }
        }
        Ok(true)
    }

    /// Writes the new nodes of a growth.
    pub(crate) fn write(&self, growth: &Growth, scratch: &mut Vec<u8>) -> Result<(), IoFailure> {
        for (height, (first, nodes)) in growth.levels().enumerate() {
            if nodes.is_empty() {
                continue;
            }
            scratch.clear();
            nodes.iter().for_each(|node| scratch.extend_from_slice(&node.0));
            self.file(height)?.write_at(first * Hash::LEN as u64, scratch)?;
        }
        Ok(())
    }

    /// Makes the complete nodes of a tree of `size` leaves durable, with the names of their files.
    pub(crate) fn sync(&self, size: u64) -> Result<(), IoFailure> {
        for height in (0..HEIGHTS).filter(|height| size >> height > 0) {
            self.file(height)?.sync()?;
        }
        self.files.sync_dir(&self.dir)
    }

    /// A run of nodes of one height.
    pub(crate) fn nodes(&self, height: u8, first: u64, count: usize) -> Result<Vec<u8>, IoFailure> {
        self.file(usize::from(height))?.read_vec(first * Hash::LEN as u64, count * Hash::LEN)
    }

    /// A run of nodes of one height, as many as there is room for.
    pub(crate) fn read(&self, height: usize, first: u64, into: &mut [u8]) -> Result<(), IoFailure> {
        self.file(height)?.read_at(first * Hash::LEN as u64, into)
    }

    fn file(&self, height: usize) -> Result<&File, IoFailure> {
        let path = || self.dir.join(level_name(height));
        let Some(slot) = self.levels.get(height) else {
            return Err(IoFailure::new("open", &path(), std::io::ErrorKind::NotFound.into()));
        };
        if let Some(file) = slot.get() {
            return Ok(file);
        }
        let file = self.files.open_mapped(&path(), self.mode)?;
        Ok(slot.get_or_init(|| file))
    }
}

impl Nodes for Levels {
    type Error = IoFailure;

    fn node(&self, height: u8, index: u64) -> Result<Hash, IoFailure> {
        self.file(usize::from(height))?.read_array(index * Hash::LEN as u64).map(Hash)
    }
}

pub(crate) fn level_name(height: usize) -> String {
    format!("{height:02}")
}
