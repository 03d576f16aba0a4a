//! The real disk: `std::fs` and, for files that are read at random, the memory maps of [`crate::map`].
//!
//! Guarantees: `write_at` writes all or reports an error; a mapped handle never touches a page beyond what it knows to be in the file.
//! Does not: protect against another process that truncates the log's files; the lock keeps our own processes out, and the
//! directory belongs to the operator alone.

use std::fs::{self, DirBuilder, File, OpenOptions, TryLockError};
use std::io;
use std::os::unix::fs::{DirBuilderExt, FileExt, MetadataExt, OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use super::{LockGuard, Mode, Storage, Stored};
use crate::map::Windows;

/// The file system of this machine.
#[derive(Clone, Copy, Debug, Default)]
pub struct Disk;

impl Storage for Disk {
    fn open(&self, path: &Path, mode: Mode, mapped: bool) -> io::Result<Arc<dyn Stored>> {
        let mut options = OpenOptions::new();
        match mode {
            Mode::Read => options.read(true),
            Mode::Write => options.read(true).write(true).create(true).truncate(false),
            Mode::New => options.read(true).write(true).create_new(true),
            Mode::NewSecret => options.read(true).write(true).create_new(true).mode(0o600),
        };
        let file = options.open(path)?;
        if file.metadata()?.is_dir() {
            return Err(io::Error::from(io::ErrorKind::IsADirectory));
        }
        if mapped {
            let end = AtomicU64::new(file.metadata()?.len());
            Ok(Arc::new(Mapped { file, end, windows: Windows::default() }))
        } else {
            Ok(Arc::new(Plain { file }))
        }
    }

    fn list(&self, dir: &Path) -> io::Result<Vec<String>> {
        fs::read_dir(dir)?
            .map(|entry| entry?.file_name().into_string().map_err(|_| io::Error::from(io::ErrorKind::InvalidData)))
            .collect()
    }

    fn create_dir(&self, dir: &Path, secret: bool) -> io::Result<()> {
        DirBuilder::new().mode(if secret { 0o700 } else { 0o777 }).create(dir)
    }

    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        fs::rename(from, to)
    }

    fn remove(&self, path: &Path) -> io::Result<()> {
        fs::remove_file(path)
    }

    fn remove_dir(&self, dir: &Path) -> io::Result<()> {
        fs::remove_dir(dir)
    }

    fn sync_dir(&self, dir: &Path) -> io::Result<()> {
        File::open(dir)?.sync_all()
    }

    fn exists(&self, path: &Path) -> io::Result<bool> {
        fs::exists(path)
    }

    fn real(&self, path: &Path) -> io::Result<PathBuf> {
        fs::canonicalize(path)
    }

    fn permissions(&self, path: &Path) -> io::Result<u32> {
        Ok(fs::metadata(path)?.permissions().mode() & 0o777)
    }

    fn lock(&self, path: &Path) -> io::Result<Option<Box<dyn LockGuard>>> {
        let file = OpenOptions::new().read(true).write(true).create(true).truncate(false).open(path)?;
        match file.try_lock() {
            Ok(()) => Ok(Some(Box::new(Held { _file: file }))),
            Err(TryLockError::WouldBlock) => Ok(None),
            Err(TryLockError::Error(error)) => Err(error),
        }
    }
}

/// The lock lives as long as the descriptor.
#[derive(Debug)]
struct Held {
    _file: File,
}

impl LockGuard for Held {}

/// fdatasync. What no name leads to any more is gone with the process, however well it is synced.
fn sync(file: &File) -> io::Result<()> {
    file.sync_data()?;
    if file.metadata()?.nlink() == 0 {
        return Err(io::Error::new(io::ErrorKind::NotFound, "it was removed while it was in use"));
    }
    Ok(())
}

/// A file read by `pread`: large values, read once in a while.
#[derive(Debug)]
struct Plain {
    file: File,
}

impl Stored for Plain {
    fn len(&self) -> io::Result<u64> {
        Ok(self.file.metadata()?.len())
    }

    fn read_at(&self, offset: u64, buffer: &mut [u8]) -> io::Result<()> {
        self.file.read_exact_at(buffer, offset)
    }

    fn write_at(&self, offset: u64, bytes: &[u8]) -> io::Result<()> {
        self.file.write_all_at(bytes, offset)
    }

    fn truncate(&self, len: u64) -> io::Result<()> {
        self.file.set_len(len)
    }

    fn sync(&self) -> io::Result<()> {
        sync(&self.file)
    }
}

/// A file read through maps: small values, read all the time. `end` is how far this handle knows the file to reach.
#[derive(Debug)]
struct Mapped {
    file: File,
    end: AtomicU64,
    windows: Windows,
}

impl Stored for Mapped {
    fn len(&self) -> io::Result<u64> {
        Ok(self.file.metadata()?.len())
    }

    fn read_at(&self, offset: u64, buffer: &mut [u8]) -> io::Result<()> {
        self.windows.copy(&self.file, self.end.load(Ordering::Acquire), offset, buffer)
    }

    fn write_at(&self, offset: u64, bytes: &[u8]) -> io::Result<()> {
        self.file.write_all_at(bytes, offset)?;
        self.end.fetch_max(offset.saturating_add(bytes.len() as u64), Ordering::AcqRel);
        Ok(())
    }

    fn truncate(&self, len: u64) -> io::Result<()> {
        // Lowered first: a reader that comes now must not touch a page that is about to go.
        self.end.fetch_min(len, Ordering::AcqRel);
        self.file.set_len(len)?;
        self.end.store(len, Ordering::Release);
        Ok(())
    }

    fn sync(&self) -> io::Result<()> {
        sync(&self.file)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// Just below the end of the first window of a map, so that small files cross it.
    const BASE: u64 = (4 << 20) - 6000;

    fn mapped(dir: &Path) -> Arc<dyn Stored> {
        let file = Disk.open(&dir.join("file"), Mode::New, true).unwrap();
        file.truncate(BASE).unwrap();
        file
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(40))]
        #[test]
        fn a_mapped_file_that_is_written_read_and_cut_answers_what_stands_in_it_and_never_more(
            steps in prop::collection::vec((0..3_u8, 0..20_000_usize, 0..9000_usize), 1..40)
        ) {
            let dir = tempfile::tempdir().unwrap();
            let file = mapped(dir.path());
            let mut model = Vec::new();
            for (turn, (what, at, len)) in (1..).zip(steps) {
                let offset = BASE + at as u64;
                match what {
                    0 => {
                        let at = at.min(model.len());
                        file.write_at(BASE + at as u64, &vec![turn; len]).unwrap();
                        model.resize(model.len().max(at + len), 0);
                        model[at..at + len].fill(turn);
                    }
                    1 => {
                        let mut bytes = vec![0; len];
                        match file.read_at(offset, &mut bytes) {
                            Ok(()) => prop_assert_eq!(&bytes[..], &model[at..at + len]),
                            Err(error) => {
                                prop_assert_eq!(error.kind(), io::ErrorKind::UnexpectedEof);
                                prop_assert!(at + len > model.len());
                            }
                        }
                    }
                    _ => {
                        file.truncate(offset).unwrap();
                        model.resize(at, 0);
                    }
                }
                prop_assert_eq!(file.len().unwrap(), BASE + model.len() as u64);
            }
        }
    }

    #[test]
    fn readers_of_a_map_see_whole_what_was_published_while_the_file_grows() {
        let dir = tempfile::tempdir().unwrap();
        let (file, published) = (mapped(dir.path()), AtomicU64::new(BASE));
        let end = BASE + (2 << 20);
        std::thread::scope(|scope| {
            for reader in [0, 1_usize] {
                let (file, published) = (&file, &published);
                scope.spawn(move || {
                    let mut seen = 0;
                    while seen < end {
                        seen = published.load(Ordering::Acquire);
                        for word in (BASE..seen).step_by(8 * (997 + reader)) {
                            let mut bytes = [0; 8];
                            file.read_at(word, &mut bytes).unwrap();
                            assert_eq!(u64::from_le_bytes(bytes), word);
                        }
                    }
                });
            }
            for start in (BASE..end).step_by(4096) {
                let words: Vec<u8> = (start..start + 4096).step_by(8).flat_map(u64::to_le_bytes).collect();
                file.write_at(start, &words).unwrap();
                published.store((start + 4096).min(end), Ordering::Release);
            }
        });
    }
}
