//! Segments: the append-only files of journal and vault, named by the first index that they hold.
//!
//! Guarantees: a reader holds at most [`OPEN_SEGMENTS`] of them open, however many there are; a new segment's header and name are durable
//! before anything is written into it. Does not: know what a frame is.

use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};

use verifier::hash::Hash;

use crate::layout::{
    HEADER, SEGMENT_HEADER, SegmentKind, is_segment_header, segment_first, segment_header, segment_name,
};
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
    open: Mutex<Vec<(u64, File)>>,
}

impl Segments {
    pub(crate) fn new(files: &Files, dir: &Path, kind: SegmentKind, log: Hash) -> Self {
        Self { files: files.clone(), dir: dir.to_owned(), kind, log, open: Mutex::default() }
    }

    pub(crate) fn path(&self, first: u64) -> PathBuf {
        self.dir.join(segment_name(first))
    }

    /// The first indexes of all segments, ascending.
    pub(crate) fn list(&self) -> Result<Vec<u64>, IoFailure> {
        Ok(self.files.list(&self.dir)?.iter().filter_map(|name| segment_first(name)).collect())
    }

    /// A segment to read from.
    pub(crate) fn reading(&self, first: u64) -> Result<File, IoFailure> {
        let mut open = self.open.lock().unwrap_or_else(PoisonError::into_inner);
        let file = match open.iter().position(|(other, _)| *other == first) {
            Some(position) => open.remove(position).1,
            None => self.files.open(&self.path(first), Mode::Read)?,
        };
        if open.len() >= OPEN_SEGMENTS {
            open.remove(0);
        }
        open.push((first, file.clone()));
        Ok(file)
    }

    /// True if a segment's header is whole and of this log.
    pub(crate) fn is_ours(&self, first: u64) -> Result<bool, IoFailure> {
        let file = self.files.open(&self.path(first), Mode::Read)?;
        if file.len()? < SEGMENT_HEADER {
            return Ok(false);
        }
        let header: [u8; HEADER] = file.read_array(0)?;
        Ok(is_segment_header(&header, self.kind, &self.log, first))
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

    /// Removes what an interrupted recovery left.
    pub(crate) fn remove_left_overs(&self) -> Result<(), IoFailure> {
        for name in self.files.list(&self.dir)?.iter().filter(|name| name.ends_with(".new")) {
            self.files.remove(&self.dir.join(name))?;
        }
        Ok(())
    }

    /// Cuts a segment at `offset` and removes all segments beyond `last`, durably; answers the end for appending. `None` if the segment
    /// is missing, of another log or too short: it is never made up.
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

    /// Cuts what a segment holds beyond `offset`, where the next one begins.
    pub(crate) fn trim(&self, first: u64, offset: u64) -> Result<(), IoFailure> {
        let file = self.files.open(&self.path(first), Mode::Write)?;
        if file.len()? > offset {
            file.truncate(offset)?;
            file.sync()?;
        }
        Ok(())
    }

    /// Removes all segments beyond `last`, durably.
    pub(crate) fn remove_after(&self, last: u64) -> Result<(), IoFailure> {
        self.forget_open();
        let doomed: Vec<u64> = self.list()?.into_iter().filter(|first| *first > last).collect();
        for first in &doomed {
            self.files.remove(&self.path(*first))?;
        }
        if !doomed.is_empty() {
            self.files.sync_dir(&self.dir)?;
        }
        Ok(())
    }

    /// Lets go of all files opened for reading: what their names stand for has changed.
    fn forget_open(&self) {
        self.open.lock().unwrap_or_else(PoisonError::into_inner).clear();
    }

    fn replacement(&self, first: u64) -> PathBuf {
        self.dir.join(segment_name(first) + ".new")
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
    /// Goes on in a new segment that begins with index `next` once this one has `limit` bytes.
    pub(crate) fn roll_if_full(&mut self, segments: &Segments, next: u64, limit: u64) -> Result<(), IoFailure> {
        // A segment without a frame has the name that the next one would have.
        if self.offset >= limit && self.offset > SEGMENT_HEADER {
            *self = segments.create(next)?;
        }
        Ok(())
    }

    /// Writes the pieces one after the other. Nothing is durable before [`Tail::sync`].
    pub(crate) fn write(&mut self, pieces: &[&[u8]]) -> Result<(), IoFailure> {
        for piece in pieces {
            self.file.write_at(self.offset, piece)?;
            self.offset += piece.len() as u64;
        }
        Ok(())
    }

    /// Writes and syncs a piece that begins `gap` bytes beyond the end; the end stays where it is until the gap is filled.
    pub(crate) fn write_ahead(&self, gap: usize, piece: &[u8]) -> Result<(), IoFailure> {
        self.file.write_at(self.offset + gap as u64, piece)?;
        self.file.sync()
    }

    /// The end lies behind a piece that was written ahead.
    pub(crate) fn skip(&mut self, len: usize) {
        self.offset += len as u64;
    }

    pub(crate) fn sync(&self) -> Result<(), IoFailure> {
        self.file.sync()
    }
}
