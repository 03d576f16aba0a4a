//! Keeps somebody's snapshots beside the log: bytes under the index of the record that vouches for them.
//!
//! Why: whoever folds the log need not begin at its first record each time. Guarantees: a snapshot appears whole or not at all (temporary
//! file, sync, rename, sync of the directory), for the owner alone; the last [`KEPT`] stand. Does not: believe them. They are derived: a
//! reader holds what it reads against the log, and losing all of them loses nothing. A failure here is not one of the log.

use std::path::PathBuf;

use crate::storage::{Files, IoFailure, Mode};

/// So many snapshots stand: the newest, and the one before it, should the newest be damaged.
pub const KEPT: usize = 2;
/// A snapshot has at most so many bytes: several times what the authorizer's tables hold when all of them are full.
pub const MAX_SNAPSHOT: u64 = 2 << 30;

/// The snapshots beside one log.
#[derive(Clone, Debug)]
pub struct Snapshots {
    files: Files,
    dir: PathBuf,
}

impl Snapshots {
    pub(crate) fn new(files: &Files, dir: PathBuf) -> Self {
        Self { files: files.clone(), dir }
    }

    /// Keeps the pieces, one after the other, as the snapshot of the record at `index`, and removes what is older than the last [`KEPT`].
    ///
    /// # Errors
    /// The disk failed. What stood before stands.
    pub fn keep(&self, index: u64, pieces: &[&[u8]]) -> Result<(), IoFailure> {
        if !self.files.exists(&self.dir)? {
            self.files.create_dir(&self.dir, true)?;
            if let Some(parent) = self.dir.parent() {
                self.files.sync_dir(parent)?;
            }
        }
        let unfinished = self.dir.join(UNFINISHED);
        if self.files.exists(&unfinished)? {
            self.files.remove(&unfinished)?;
        }
        let file = self.files.open(&unfinished, Mode::NewSecret)?;
        let mut offset = 0;
        for piece in pieces {
            file.write_at(offset, piece)?;
            offset += piece.len() as u64;
        }
        file.sync()?;
        // If we crash before this returns, the snapshots before stand, and a left-over that the next one removes.
        self.files.rename(&unfinished, &self.path(index))?;
        self.files.sync_dir(&self.dir)?;
        let doomed: Vec<u64> = self.list()?.into_iter().skip(KEPT).collect();
        for old in &doomed {
            self.files.remove(&self.path(*old))?;
        }
        if doomed.is_empty() { Ok(()) } else { self.files.sync_dir(&self.dir) }
    }

    /// The indexes of the records that snapshots stand for, the newest first.
    ///
    /// # Errors
    /// The disk failed.
    pub fn list(&self) -> Result<Vec<u64>, IoFailure> {
        if !self.files.exists(&self.dir)? {
            return Ok(Vec::new());
        }
        let names = self.files.list(&self.dir)?;
        let mut indexes: Vec<u64> = names.iter().filter_map(|name| index_of(name)).collect();
        indexes.sort_unstable_by(|a, b| b.cmp(a));
        Ok(indexes)
    }

    /// The bytes of one snapshot.
    ///
    /// # Errors
    /// The disk failed, or it is larger than [`MAX_SNAPSHOT`].
    pub fn read(&self, index: u64) -> Result<Vec<u8>, IoFailure> {
        self.files.read(&self.path(index), MAX_SNAPSHOT)
    }

    /// Removes all snapshots, durably: what was erased from the log must not stand in them.
    ///
    /// # Errors
    /// The disk failed.
    pub fn clear(&self) -> Result<(), IoFailure> {
        if !self.files.exists(&self.dir)? {
            return Ok(());
        }
        for name in self.files.list(&self.dir)? {
            self.files.remove(&self.dir.join(name))?;
        }
        self.files.sync_dir(&self.dir)
    }

    fn path(&self, index: u64) -> PathBuf {
        self.dir.join(format!("{index:020}{SUFFIX}"))
    }
}

const SUFFIX: &str = ".fold";
const UNFINISHED: &str = "fold.new";

/// One spelling: 20 digits.
fn index_of(name: &str) -> Option<u64> {
    let digits = name.strip_suffix(SUFFIX)?;
    (digits.len() == 20 && digits.bytes().all(|b| b.is_ascii_digit())).then(|| digits.parse().ok())?
}

#[cfg(test)]
mod tests {
    use std::path::Path;
    use std::sync::Arc;

    use super::*;
    use crate::storage::ram::Ram;

    fn snapshots(ram: &Ram) -> Snapshots {
        Snapshots::new(&Files(Arc::new(ram.process())), Path::new("/state").to_owned())
    }

    #[test]
    fn the_last_two_stand_and_read_back_also_after_power_was_lost() {
        let ram = Ram::new();
        let before = snapshots(&ram);
        assert_eq!((before.list().unwrap(), before.clear().is_ok()), (vec![], true));
        for index in [3, 20, 7] {
            before.keep(index, &[&index.to_be_bytes(), b"rest"]).unwrap();
        }
        ram.power_loss();
        let after = snapshots(&ram);
        assert_eq!(after.list().unwrap(), [20, 7]);
        assert_eq!(after.read(20).unwrap(), [&20_u64.to_be_bytes()[..], b"rest"].concat());
        after.clear().unwrap();
        assert!(snapshots(&ram).list().unwrap().is_empty());
    }

    #[test]
    fn a_name_has_one_spelling() {
        assert_eq!(index_of("00000000000000000017.fold"), Some(17));
        for other in ["17.fold", "+0000000000000000017.fold", "00000000000000000017.fold.new", "fold.new"] {
            assert_eq!(index_of(other), None, "{other}");
        }
    }
}
