//! Keeps notes about single records beside the log, for whoever looks into them: the first ones, and no more than a directory can show.
//!
//! Why: what went wrong first tells most, and a fault that repeats a million times must not fill the disk. Guarantees: a note appears whole
//! or not at all (temporary file, sync, rename, sync of the directory), for the owner alone; there are at most [`MOST`], each of at most
//! [`MAX_CASE`] bytes. Does not: belong to the log; nothing rests on a note, and who has read one removes it. No private part of a record may
//! stand in one: erasing does not look here.

use std::path::PathBuf;

use crate::storage::{Files, IoFailure, Mode};

/// So many notes stand: more than anybody reads.
pub const MOST: usize = 64;
/// A note has at most so many bytes.
pub const MAX_CASE: usize = 4_096;

/// The notes beside one log.
#[derive(Clone, Debug)]
pub struct Cases {
    files: Files,
    dir: PathBuf,
}

impl Cases {
    pub(crate) fn new(files: &Files, dir: PathBuf) -> Self {
        Self { files: files.clone(), dir }
    }

    /// Keeps a note about the record at `index`; says whether it was kept. One that stands already stays as it is.
    ///
    /// # Errors
    /// The disk failed. What stood before stands.
    pub fn keep(&self, index: u64, note: &[u8]) -> Result<bool, IoFailure> {
        if !self.files.exists(&self.dir)? {
            self.files.create_dir(&self.dir, true)?;
            if let Some(parent) = self.dir.parent() {
                self.files.sync_dir(parent)?;
            }
        }
        let (name, unfinished) = (name_of(index), self.dir.join(UNFINISHED));
        let names = self.files.list(&self.dir)?;
        let full = names.iter().filter(|name| name.ends_with(SUFFIX)).count() >= MOST;
        if full || note.len() > MAX_CASE || names.contains(&name) {
            return Ok(false);
        }
        if names.iter().any(|name| name == UNFINISHED) {
            self.files.remove(&unfinished)?;
        }
        let file = self.files.open(&unfinished, Mode::NewSecret)?;
        file.write_at(0, note)?;
        file.sync()?;
        // If we crash before this returns, there is no note, and a left-over that the next one removes.
        self.files.rename(&unfinished, &self.dir.join(name))?;
        self.files.sync_dir(&self.dir)?;
        Ok(true)
    }
}

const SUFFIX: &str = ".json";
const UNFINISHED: &str = "case.new";

fn name_of(index: u64) -> String {
    format!("{index:020}{SUFFIX}")
}

#[cfg(test)]
mod tests {
    use std::path::Path;
    use std::sync::Arc;

    use super::*;
    use crate::storage::ram::Ram;

    #[test]
    fn the_first_notes_stand_whole_also_after_power_was_lost_and_there_is_no_room_for_more_than_a_few() {
        let ram = Ram::new();
        let files = Files(Arc::new(ram.process()));
        let cases = Cases::new(&files, Path::new("/cases").to_owned());
        assert!(cases.keep(7, b"first").unwrap() && !cases.keep(7, b"second").unwrap());
        assert!(!cases.keep(8, &[b'x'; MAX_CASE + 1]).unwrap());
        for index in 100..200 {
            assert_eq!(cases.keep(index, b"more").unwrap(), index < 100 + MOST as u64 - 1, "{index}");
        }
        ram.power_loss();
        let files = Files(Arc::new(ram.process()));
        assert_eq!(files.read(&Path::new("/cases").join(name_of(7)), 99).unwrap(), b"first");
        assert_eq!(files.list(Path::new("/cases")).unwrap().len(), MOST);
    }
}
