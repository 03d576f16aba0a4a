//! Opens a directory for reading only: an archive that was imported, a backup, or a log whose key is not at hand.
//!
//! What is published there is what its last signed head says: that of the memory, where there is one, else that of the file `head` which
//! import and backup write. Whatever stands above is not believed and not served.
//!
//! Guarantees: nothing is signed, appended, cut or made up; only what is derived (`tree`, `index`) is made again where it is not whole. The
//! signature of the head is checked, and that the tree leads to its root. Nobody writes the directory meanwhile: its lock is held.
//! Does not: give other heads than the last one, since a head before it would have to be signed again, nor COSE receipts, which carry a
//! signature of their own. Does not read every entry; `audit` does.

use std::io::ErrorKind;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::AtomicBool;

use arc_swap::ArcSwap;
use verifier::proof::root;
use verifier::record::Record;

use crate::derived::{Derived, Mark, Owner};
use crate::head::Head;
use crate::keys::{Keys, RUN};
use crate::layout::{Identity, Layout, SEGMENT_HEADER, SMALL_FILE, SegmentKind, default_memory};
use crate::levels::Levels;
use crate::memory::{Memory, MemoryError};
use crate::open::{OpenError, read_identity};
use crate::reader::{Published, Reader, Shared};
use crate::recover::finish::file_keys;
use crate::recover::row_of;
use crate::rows::Rows;
use crate::scan::{JournalScan, Step};
use crate::segments::Segments;
use crate::storage::disk::Disk;
use crate::storage::{Files, IoFailure, LockGuard, Storage};
use crate::vault_scan::VaultScan;

/// Opens the log in `dir` for reading only, with its memory at the default place unless another is named.
///
/// # Errors
/// See [`OpenError`]; [`OpenError::NoHead`] where nothing says what was published.
pub fn open_archive(dir: &Path, memory: Option<&Path>) -> Result<Reader, OpenError> {
    open_archive_in(Arc::new(Disk), dir, memory)
}

/// As [`open_archive`], on any storage.
///
/// # Errors
/// As [`open_archive`].
pub fn open_archive_in(storage: Arc<dyn Storage>, dir: &Path, memory: Option<&Path>) -> Result<Reader, OpenError> {
    let (files, layout) = (Files(storage), Layout::new(dir));
    if !files.exists(&layout.log_toml())? {
        return Err(OpenError::NotALog { dir: dir.to_owned() });
    }
    let lock = match files.lock(&layout.lock()) {
        Ok(Some(lock)) => Some(lock),
        Ok(None) => return Err(OpenError::Locked { dir: dir.to_owned() }),
        // Where nothing can be written, nobody writes.
        Err(failure) if failure.source.kind() == ErrorKind::ReadOnlyFilesystem => None,
        Err(failure) => return Err(failure.into()),
    };
    let identity = read_identity(&files, &layout)?;
    let (head, _) = last_head(&files, &layout, &identity, memory)?;
    Place { files, layout, identity, head }.open(lock)
}

/// The last signed head that a directory knows of, and the file that has it.
pub(crate) fn last_head(
    files: &Files,
    layout: &Layout,
    identity: &Identity,
    memory: Option<&Path>,
) -> Result<(Head, PathBuf), OpenError> {
    let memory = memory.map_or_else(|| default_memory(&layout.dir), Path::to_owned);
    let head = layout.archived_head();
    match Memory::peek(files, &memory, identity.id) {
        Ok(Some(slots)) => {
            let last = slots.head;
            let signed = Head::signed_before(&identity.key, last.size, last.root, last.time_ms, last.signature);
            return signed.map(|head| (head, memory.clone())).ok_or(OpenError::HeadUnsigned { file: memory });
        }
        Ok(None) => {}
        Err(MemoryError::Damaged { .. }) if files.exists(&head)? => {}
        Err(MemoryError::Damaged { file }) => return Err(OpenError::MemoryDamaged { file }),
        Err(MemoryError::OtherLog { file }) => return Err(OpenError::MemoryOfAnotherLog { file }),
        Err(MemoryError::Io(failure)) => return Err(failure.into()),
    }
    if !files.exists(&head)? {
        return Err(OpenError::NoHead { memory, head });
    }
    let note = files.read(&head, SMALL_FILE)?;
    let note = str::from_utf8(&note).ok();
    // Its time is that of the last frame under it, which is not known yet.
    let signed = note.and_then(|note| Head::from_note(&identity.key, note, identity.created_ms));
    signed.map(|signed| (signed, head.clone())).ok_or(OpenError::HeadUnsigned { file: head })
}

/// A directory whose identity and last head are known.
#[derive(Clone, Debug)]
pub(crate) struct Place {
    pub(crate) files: Files,
    pub(crate) layout: Layout,
    pub(crate) identity: Identity,
    pub(crate) head: Head,
}

impl Place {
    /// A reader of what the head covers. What is derived is made again where it is not whole.
    pub(crate) fn open(self, lock: Option<Box<dyn LockGuard>>) -> Result<Reader, OpenError> {
        let found = self.derived_frames().or_else(absent)?;
        let frames = match found {
            Some(frames) => frames,
            None => {
                self.derive()?;
                let made = self.derived_frames()?;
                made.ok_or_else(|| OpenError::Derived { file: self.layout.tree() })?
            }
        };
        self.reader(frames, lock)
    }

    /// The number of frames under the head, if everything that is derived from them is there and leads to its root.
    fn derived_frames(&self) -> Result<Option<u64>, OpenError> {
        let (size, wanted) = (self.head.checkpoint.size, self.head.checkpoint.root);
        let Some(mark) = Mark::read(&self.files, &self.layout, &self.identity.id)? else { return Ok(None) };
        if !Owner::is(&self.files, &self.layout, &self.identity.id)? {
            return Ok(None);
        }
        let levels = Arc::new(Levels::for_reading(&self.files, &self.layout.tree()));
        let rows = Rows::for_reading(&self.files, &self.layout.index())?;
        if mark.size < size || !levels.hold(size)? || !rows.hold(mark.frames, size)? {
            return Ok(None);
        }
        let frames = match size.checked_sub(1) {
            None => 0,
            Some(last) => match rows.find(last, mark.frames)? {
                Some((number, row)) if row.end() == size => number + 1,
                Some(_) | None => return Ok(None),
            },
        };
        let keys = Keys::look(&self.files, &self.layout.index(), self.identity.id, levels.clone(), size, RUN)?;
        let whole = keys.upto() >= size / RUN * RUN && root(&*levels, size)? == wanted;
        Ok(whole.then_some(frames))
    }

    fn reader(self, frames: u64, lock: Option<Box<dyn LockGuard>>) -> Result<Reader, OpenError> {
        let Self { files, layout, identity, mut head } = self;
        let (log, size) = (identity.id, head.checkpoint.size);
        let levels = Arc::new(Levels::for_reading(&files, &layout.tree()));
        let rows = Rows::for_reading(&files, &layout.index())?;
        if let Some(last) = frames.checked_sub(1) {
            head.time_ms = rows.row(last)?.time_ms;
        }
        let keys = Keys::look(&files, &layout.index(), log, levels.clone(), size, RUN)?;
        let shared = Shared {
            identity,
            signer: None,
            levels,
            rows,
            journal: Segments::new(&files, &layout.journal(), SegmentKind::Journal, log),
            vault: Segments::new(&files, &layout.vault(), SegmentKind::Vault, log),
            files,
            layout,
            keys,
            published: ArcSwap::from_pointee(Published { head: Arc::new(head), frames }),
            poisoned: AtomicBool::new(false),
            frozen: AtomicBool::new(false),
            _lock: lock,
        };
        let reader = Reader { shared: Arc::new(shared) };
        file_keys(&reader)?;
        let frozen = match size.checked_sub(1) {
            Some(last) => matches!(reader.record(last)?, Record::Freeze { .. }),
            None => false,
        };
        reader.shared.frozen.store(frozen, std::sync::atomic::Ordering::Release);
        Ok(reader)
    }

    /// Makes everything that is derived from journal and vault up to the head, and holds each frame against it.
    fn derive(&self) -> Result<(), OpenError> {
        for dir in [self.layout.tree(), self.layout.index()] {
            if !self.files.exists(&dir)? {
                self.files.create_dir(&dir, false)?;
            }
        }
        let (files, layout, log) = (&self.files, &self.layout, self.identity.id);
        let (size, wanted) = (self.head.checkpoint.size, self.head.checkpoint.root);
        let journal = Segments::new(files, &layout.journal(), SegmentKind::Journal, log);
        let vault = Segments::new(files, &layout.vault(), SegmentKind::Vault, log);
        let mut derived = Derived::fresh(files, layout, &log)?;
        let mut scan = JournalScan::new(&journal, 0, SEGMENT_HEADER, 0, 0)?;
        // An archive may have been made without private parts: it then has no vault at all, and they are lost to its readers.
        let with_vault = files.exists(&layout.vault())? || files.exists(&layout.keys())?;
        let mut parts = with_vault.then(|| VaultScan::new(&vault, 0, SEGMENT_HEADER)).transpose()?;
        let other = || OpenError::MemoryBeside { file: layout.archived_head(), size };
        while derived.tree.size() < size {
            let index = derived.tree.size();
            let frame = match scan.step()? {
                Step::Frame(frame) => frame,
                Step::End => {
                    let (file, remembered) = (layout.archived_head(), size);
                    return Err(OpenError::MemoryAhead { file, remembered, size: index });
                }
                Step::Broken { file, offset, index, why } => {
                    return Err(OpenError::BrokenFrame { file, offset, index, why });
                }
            };
            let (found, end) = match &mut parts {
                None => (None, (0, SEGMENT_HEADER)),
                Some(scan) => {
                    let found = scan.frame_of(&frame.header)?;
                    let found = found.map_err(|broken| OpenError::BrokenVault {
                        file: broken.file,
                        offset: broken.offset,
                        index,
                    })?;
                    (found, (scan.segment, scan.offset))
                }
            };
            if frame.header.end() > size {
                return Err(other());
            }
            derived.tree.grow(&frame.body, frame.leaves.len(), |i| frame.leaves.get(i).cloned().unwrap_or_default());
            if derived.tree.grown_root(frame.header.end()) != frame.header.root {
                let (file, offset) = (journal.present(frame.segment), frame.offset);
                let why = "its root is not that of its entries and those before";
                return Err(OpenError::BrokenFrame { file, offset, index, why });
            }
            let row = row_of(&frame.header, frame.segment, frame.offset, found.as_ref(), end);
            derived.tree.write_nodes()?;
            derived.write_row(&row, |i| frame.leaves.get(i).map_or(0, |leaf| leaf.start as u64 - 2))?;
            derived.accept();
        }
        if derived.tree.root() != wanted {
            return Err(other());
        }
        let mark = Mark { size, frames: derived.frames };
        mark.set(files, layout, &log, &derived.tree.levels, &derived.rows)?;
        // Runs of keys that do not belong here go; the reader, which is let go of again, writes those that are missing.
        Keys::open(files, &layout.index(), log, derived.tree.levels.clone(), size, RUN)?;
        self.clone().reader(derived.frames, None)?;
        Ok(())
    }
}

/// What is derived and is missing or too short is made again; whatever else fails is told.
fn absent(error: OpenError) -> Result<Option<u64>, OpenError> {
    match error {
        OpenError::Io(IoFailure { source, .. })
            if matches!(source.kind(), ErrorKind::NotFound | ErrorKind::UnexpectedEof) =>
        {
            Ok(None)
        }
        OpenError::Derived { .. } => Ok(None),
        other => Err(other),
    }
}
