//! Segments: the append-only files of journal and vault, named by the first index that they hold.
//!
//! A journal segment stands in one of two forms: raw, as it was written (`.seg`), or sealed (`.sealed`, see `sealed.rs`). Both are read
//! through [`Segment`], by places in the raw form. While both are there, the raw one counts: it is removed only after the sealed one has
//! been compared with it.
//!
//! Guarantees: a reader holds at most [`OPEN_SEGMENTS`] of them open, however many there are; a new segment's header and name are durable
//! before anything is written into it; a sealed segment is never cut, appended to or removed. Does not: know what a frame is.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use verifier::hash::Hash;

use crate::layout::{
    HEADER, SEGMENT_HEADER, SegmentKind, is_segment_header, sealed_first, sealed_name, segment_first, segment_header,
    segment_name,
};
use crate::sealed::{Cache, Sealed, SegmentError};
use crate::storage::{File, Files, IoFailure, Mode};

/// Descriptors that readers keep open for journal and vault each: a random reader of a 4 GiB log re-opens nothing.
const OPEN_SEGMENTS: usize = 64;

/// All segments of one kind.
#[derive(Debug)]
pub(crate) struct Segments {
    files: Files,
    dir: PathBuf,
    kind: SegmentKind,
    log: Hash,
    /// Most recently used last.
    open: Mutex<Vec<(u64, Segment)>>,
    cache: Arc<Cache>,
}

/// One segment, open for reading. Places are those in the raw form, whatever form it stands in.
#[derive(Clone, Debug)]
pub(crate) enum Segment {
    Raw(File),
    Sealed(Arc<Sealed>),
}

impl Segment {
    /// The file that it stands in.
    pub(crate) fn path(&self) -> &Path {
        match self {
            Self::Raw(file) => file.path(),
            Self::Sealed(sealed) => sealed.path(),
        }
    }

    /// The length of the raw form.
    pub(crate) fn len(&self) -> Result<u64, IoFailure> {
        match self {
            Self::Raw(file) => file.len(),
            Self::Sealed(sealed) => Ok(sealed.raw_len()),
        }
    }

    pub(crate) fn read_at(&self, offset: u64, buffer: &mut [u8]) -> Result<(), SegmentError> {
        match self {
            Self::Raw(file) => Ok(file.read_at(offset, buffer)?),
            Self::Sealed(sealed) => sealed.read_at(offset, buffer),
        }
    }

    pub(crate) fn read_array<const N: usize>(&self, offset: u64) -> Result<[u8; N], SegmentError> {
        let mut bytes = [0; N];
        self.read_at(offset, &mut bytes)?;
        Ok(bytes)
    }

    pub(crate) fn read_vec(&self, offset: u64, len: usize) -> Result<Vec<u8>, SegmentError> {
        let mut bytes = vec![0; len];
        self.read_at(offset, &mut bytes)?;
        Ok(bytes)
    }
}

impl Segments {
    pub(crate) fn new(files: &Files, dir: &Path, kind: SegmentKind, log: Hash) -> Self {
        let (open, cache) = (Mutex::default(), Arc::default());
        Self { files: files.clone(), dir: dir.to_owned(), kind, log, open, cache }
    }

    /// Whose segments they are.
    pub(crate) fn log(&self) -> Hash {
        self.log
    }

    /// The raw form's path.
    pub(crate) fn path(&self, first: u64) -> PathBuf {
        self.dir.join(segment_name(first))
    }

    /// The path of the form that stands there now.
    pub(crate) fn present(&self, first: u64) -> PathBuf {
        let sealed = self.dir.join(sealed_name(first));
        let is = |path: &Path| self.files.exists(path).unwrap_or(false);
        if !is(&self.path(first)) && is(&sealed) { sealed } else { self.path(first) }
    }

    /// The first indexes of all segments, ascending.
    pub(crate) fn list(&self) -> Result<Vec<u64>, IoFailure> {
        let names = self.files.list(&self.dir)?;
        let firsts = names.iter().filter_map(|name| segment_first(name).or_else(|| self.sealed_first(name)));
        Ok(firsts.collect::<BTreeSet<u64>>().into_iter().collect())
    }

    /// Those that have a raw form, ascending.
    pub(crate) fn list_raw(&self) -> Result<Vec<u64>, IoFailure> {
        Ok(self.files.list(&self.dir)?.iter().filter_map(|name| segment_first(name)).collect())
    }

    /// Those that have a sealed form, ascending.
    pub(crate) fn list_sealed(&self) -> Result<Vec<u64>, IoFailure> {
        Ok(self.files.list(&self.dir)?.iter().filter_map(|name| self.sealed_first(name)).collect())
    }

    /// A segment to read from, in whichever form it stands.
    pub(crate) fn reading(&self, first: u64) -> Result<Segment, SegmentError> {
        self.opened(first, || match self.reading_raw_form(first) {
            Ok(file) => Ok(Segment::Raw(file)),
            Err(failure) if failure.source.kind() == std::io::ErrorKind::NotFound => match self.sealed(first)? {
                Some(sealed) => Ok(Segment::Sealed(Arc::new(sealed))),
                None => Err(failure.into()),
            },
            Err(failure) => Err(failure.into()),
        })
    }

    /// A vault segment to read from: these are never sealed.
    pub(crate) fn reading_vault(&self, first: u64) -> Result<File, IoFailure> {
        match self.opened(first, || self.reading_raw_form(first).map(Segment::Raw))? {
            Segment::Raw(file) => Ok(file),
            Segment::Sealed(_) => self.reading_raw_form(first),
        }
    }

    fn reading_raw_form(&self, first: u64) -> Result<File, IoFailure> {
        self.files.open(&self.path(first), Mode::Read)
    }

    /// A segment out of those that are open, or made so. Whoever removes a raw form waits meanwhile, so none is kept that is gone.
    fn opened<E>(&self, first: u64, make: impl FnOnce() -> Result<Segment, E>) -> Result<Segment, E> {
        let mut open = self.open.lock().unwrap_or_else(PoisonError::into_inner);
        let segment = match open.iter().position(|(other, _)| *other == first) {
            Some(position) => open.remove(position).1,
            None => make()?,
        };
        if open.len() >= OPEN_SEGMENTS {
            open.remove(0);
        }
        open.push((first, segment.clone()));
        Ok(segment)
    }

    /// The sealed form, if there is one.
    pub(crate) fn sealed(&self, first: u64) -> Result<Option<Sealed>, SegmentError> {
        let path = self.dir.join(sealed_name(first));
        if self.kind != SegmentKind::Journal || !self.files.exists(&path)? {
            return Ok(None);
        }
        Sealed::open(self.files.open(&path, Mode::Read)?, &self.log, first, &self.cache).map(Some)
    }

    /// True if a segment's header is whole and of this log.
    pub(crate) fn is_ours(&self, first: u64) -> Result<bool, IoFailure> {
        let segment = match self.reading(first) {
            Ok(segment) => segment,
            Err(SegmentError::Io(failure)) => return Err(failure),
            Err(SegmentError::Damaged(_)) => return Ok(false),
        };
        match segment {
            Segment::Raw(file) if file.len()? < SEGMENT_HEADER => Ok(false),
            Segment::Raw(file) => {
                let header: [u8; HEADER] = file.read_array(0)?;
                Ok(is_segment_header(&header, self.kind, &self.log, first))
            }
            // It was not opened otherwise.
            Segment::Sealed(_) => Ok(true),
        }
    }

    /// Makes a new segment, durably with its name, and answers its end.
    pub(crate) fn create(&self, first: u64) -> Result<Tail, IoFailure> {
        let file = self.files.open(&self.path(first), Mode::New)?;
        file.write_at(0, &segment_header(self.kind, &self.log, first))?;
        file.sync()?;
        self.files.sync_dir(&self.dir)?;
        Ok(Tail { file, first, offset: SEGMENT_HEADER })
    }

    /// Begins the segment that will take the place of all from `first` on. It counts only after [`Segments::replace`].
    pub(crate) fn create_replacement(&self, first: u64) -> Result<Tail, IoFailure> {
        if self.files.exists(&self.replacement(first))? {
            self.files.remove(&self.replacement(first))?;
        }
        let file = self.files.open(&self.replacement(first), Mode::New)?;
        file.write_at(0, &segment_header(self.kind, &self.log, first))?;
        Ok(Tail { file, first, offset: SEGMENT_HEADER })
    }

    /// Syncs a replacement, gives it its name and makes the name durable.
    pub(crate) fn replace(&self, replacement: Tail) -> Result<Tail, IoFailure> {
        replacement.file.sync()?;
        // If we crash here, the replacement is a left-over that the next recovery removes.
        self.files.rename(&self.replacement(replacement.first), &self.path(replacement.first))?;
        self.forget_open();
        self.files.sync_dir(&self.dir)?;
        // If we crash here, the old copies still stand at the end of the segment before; a segment ends where the next one begins.
        Ok(Tail { file: self.files.open(&self.path(replacement.first), Mode::Write)?, ..replacement })
    }

    /// Makes durable what the names stand for now.
    pub(crate) fn sync_names(&self) -> Result<(), IoFailure> {
        self.files.sync_dir(&self.dir)
    }

    /// Begins the sealed form of a segment, in place of what an interrupted sealing left. It counts only after [`Segments::swap`].
    pub(crate) fn create_sealed(&self, first: u64) -> Result<File, IoFailure> {
        let path = self.sealed_new(first);
        if self.files.exists(&path)? {
            self.files.remove(&path)?;
        }
        self.files.open(&path, Mode::New)
    }

    /// Opens the sealed form under way as any reader would.
    pub(crate) fn read_back(&self, first: u64) -> Result<Sealed, SegmentError> {
        let cache = Arc::default();
        Sealed::open(self.files.open(&self.sealed_new(first), Mode::Read)?, &self.log, first, &cache)
    }

    /// Puts the sealed form, which is synced and was compared with the raw one, in its place.
    pub(crate) fn swap(&self, first: u64) -> Result<(), IoFailure> {
        // If we crash here, the raw form stands; the other is a left-over that the next opening removes.
        self.files.rename(&self.sealed_new(first), &self.dir.join(sealed_name(first)))?;
        // If we crash here, both forms may be there: the next opening compares them again and goes on from here.
        self.drop_raw(first)
    }

    /// Removes the raw form of a segment whose sealed form is whole.
    pub(crate) fn drop_raw(&self, first: u64) -> Result<(), IoFailure> {
        // The sealed form's name must last before the raw one's goes: names are changed on the medium in any order.
        self.files.sync_dir(&self.dir)?;
        // If we crash here, both forms are there.
        let mut open = self.open.lock().unwrap_or_else(PoisonError::into_inner);
        self.files.remove(&self.path(first))?;
        open.retain(|(other, _)| *other != first);
        // If we crash here, or power is lost much later, the raw form may come back beside the sealed one: both forms are there.
        Ok(())
    }

    /// Gives up a sealed form under way.
    pub(crate) fn abandon_sealed(&self, first: u64) -> Result<(), IoFailure> {
        let path = self.sealed_new(first);
        if self.files.exists(&path)? { self.files.remove(&path) } else { Ok(()) }
    }

    /// Removes what an interrupted recovery or sealing left.
    pub(crate) fn remove_left_overs(&self) -> Result<(), IoFailure> {
        for name in self.files.list(&self.dir)?.iter().filter(|name| name.ends_with(".new")) {
            self.files.remove(&self.dir.join(name))?;
        }
        Ok(())
    }

    /// Cuts a segment at `offset` and removes all segments beyond `last`, durably; answers the end for appending. `None` if the segment
    /// is missing, sealed, of another log or too short: it is never made up.
    pub(crate) fn cut(&self, last: u64, offset: u64) -> Result<Option<Tail>, IoFailure> {
        if !self.files.exists(&self.path(last))? || !self.is_ours(last)? {
            return Ok(None);
        }
        let file = self.files.open(&self.path(last), Mode::Write)?;
        match file.len()?.cmp(&offset) {
            std::cmp::Ordering::Less => return Ok(None),
            std::cmp::Ordering::Equal => {}
            std::cmp::Ordering::Greater => file.truncate(offset)?,
        }
        // Always synced: what stands here was perhaps only ever in the page cache.
        file.sync()?;
        self.remove_after(last)?;
        Ok(Some(Tail { file, first: last, offset }))
    }

    /// Cuts what a segment holds beyond `offset`, where the next one begins. A sealed one holds nothing there.
    pub(crate) fn trim(&self, first: u64, offset: u64) -> Result<(), IoFailure> {
        if !self.files.exists(&self.path(first))? {
            return Ok(());
        }
        let file = self.files.open(&self.path(first), Mode::Write)?;
        if file.len()? > offset {
            file.truncate(offset)?;
            file.sync()?;
        }
        Ok(())
    }

    /// Removes all raw segments beyond `last`, durably.
    pub(crate) fn remove_after(&self, last: u64) -> Result<(), IoFailure> {
        self.forget_open();
        let doomed: Vec<u64> = self.list_raw()?.into_iter().filter(|first| *first > last).collect();
        for first in &doomed {
            self.files.remove(&self.path(*first))?;
        }
        if !doomed.is_empty() {
            self.files.sync_dir(&self.dir)?;
        }
        Ok(())
    }

    fn sealed_first(&self, name: &str) -> Option<u64> {
        sealed_first(name).filter(|_| self.kind == SegmentKind::Journal)
    }

    /// Lets go of all files opened for reading: what their names stand for has changed.
    fn forget_open(&self) {
        self.open.lock().unwrap_or_else(PoisonError::into_inner).clear();
    }

    fn replacement(&self, first: u64) -> PathBuf {
        self.dir.join(segment_name(first) + ".new")
    }

    fn sealed_new(&self, first: u64) -> PathBuf {
        self.dir.join(sealed_name(first) + ".new")
    }
}
/// The end of the last segment, where the writer appends.
#[derive(Debug)]
pub(crate) struct Tail {
    file: File,
    pub(crate) first: u64,
    pub(crate) offset: u64,
}

impl Tail {
    /// Goes on in a new segment that begins with index `next` once this one has `limit` bytes; `true` if so.
    pub(crate) fn roll_if_full(&mut self, segments: &Segments, next: u64, limit: u64) -> Result<bool, IoFailure> {
        // A segment without a frame has the name that the next one would have.
        let full = self.offset >= limit && self.offset > SEGMENT_HEADER;
        if full {
            *self = segments.create(next)?;
        }
        Ok(full)
    }

    /// Writes the pieces one after the other. Nothing is durable before [`Tail::sync`].
    pub(crate) fn write(&mut self, pieces: &[&[u8]]) -> Result<(), IoFailure> {
        for piece in pieces {
            self.file.write_at(self.offset, piece)?;
            self.offset += piece.len() as u64;
        }
        Ok(())
    }

    /// Writes over what stands at an offset.
    pub(crate) fn overwrite(&self, offset: u64, bytes: &[u8]) -> Result<(), IoFailure> {
        self.file.write_at(offset, bytes)
    }

    /// Makes what was written durable; returns what that took.
    pub(crate) fn sync(&self) -> Result<Duration, IoFailure> {
        self.file.sync_timed()
    }
}
