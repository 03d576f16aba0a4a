//! Walks the vault beside the journal, believing nothing.
//!
//! Guarantees: a vault frame that is handed out has a whole head and belongs to the journal frame that was asked for; parts out of its body
//! have a right checksum. Does not: say that they are the parts that a leaf commits to; audit and recovery do.

use std::ops::Range;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};

use crate::frame::FrameHeader;
use crate::layout::SEGMENT_HEADER;
use crate::segments::Segments;
use crate::storage::{File, IoFailure};
use crate::vault::{Found, NO_PARTS, VAULT_FIXED, VaultHeader, borrow_parts, decode_head};

/// A vault frame's head and where it stands.
#[derive(Clone, Debug)]
pub(crate) struct VaultFrame {
    pub(crate) header: VaultHeader,
    pub(crate) segment: u64,
    pub(crate) offset: u64,
    pub(crate) table: Vec<u32>,
}

impl VaultFrame {
    /// The whole body.
    pub(crate) fn body(&self, segments: &Segments) -> Result<Vec<u8>, IoFailure> {
        segments.reading_vault(self.segment)?.read_vec(self.body_offset(), self.header.body_len as usize)
    }

    fn body_offset(&self) -> u64 {
        self.offset + self.header.head_len() as u64
    }

    /// The parts of one entry out of the body: `Ok(None)` if it has none, `Err` if they are damaged.
    pub(crate) fn borrow<'a>(&self, body: &'a [u8], position: usize) -> Result<Option<Found<'a>>, ()> {
        match self.table.get(position) {
            None => Err(()),
            Some(&NO_PARTS) => Ok(None),
            Some(&start) => body.get(start as usize..).and_then(borrow_parts).map(Some).ok_or(()),
        }
    }
}

/// A walk over the vault that keeps pace with one over the journal.
#[derive(Debug)]
pub(crate) struct VaultScan<'a> {
    segments: &'a Segments,
    list: Vec<u64>,
    pub(crate) segment: u64,
    pub(crate) offset: u64,
    /// The segment whose header was seen to be ours, and its length.
    current: Option<(u64, File, u64)>,
    ahead: Ahead,
}

/// Where the vault is damaged.
#[derive(Debug)]
pub(crate) struct VaultBroken {
    pub(crate) file: PathBuf,
    pub(crate) offset: u64,
}

impl<'a> VaultScan<'a> {
    /// Walks from a known place.
    pub(crate) fn new(segments: &'a Segments, segment: u64, offset: u64) -> Result<Self, IoFailure> {
        let list = segments.list()?;
        Ok(Self { segments, list, segment, offset, current: None, ahead: Ahead::default() })
    }

    /// Reads many short frames at once, for whoever wants the bodies too.
    pub(crate) fn reading_ahead(mut self) -> Self {
        self.ahead.window = WINDOW;
        self
    }

    /// The vault frame of a journal frame; `None` if that has no private parts.
    pub(crate) fn frame_of(
        &mut self,
        journal: &FrameHeader,
    ) -> Result<Result<Option<VaultFrame>, VaultBroken>, IoFailure> {
        if journal.parts == 0 {
            return Ok(Ok(None));
        }
        // The vault rolls on its own: a new segment begins with the first frame in it.
        if self.segment != journal.first && self.list.binary_search(&journal.first).is_ok() {
            self.segment = journal.first;
            self.offset = SEGMENT_HEADER;
        }
        let broken = VaultBroken { file: self.segments.path(self.segment), offset: self.offset };
        let Some(frame) = self.read()? else { return Ok(Err(broken)) };
        let parts = frame.table.iter().filter(|start| **start != NO_PARTS).count();
        if frame.header.first != journal.first || frame.header.count != journal.count || parts != journal.parts as usize
        {
            return Ok(Err(broken));
        }
        self.offset = frame.offset + frame.header.len();
        Ok(Ok(Some(frame)))
    }

    /// The body of the frame that [`VaultScan::frame_of`] has just answered: as part of what was read with it, or for whoever checks it to
    /// read.
    pub(crate) fn body_of(&mut self, frame: &VaultFrame) -> Result<Body, IoFailure> {
        let (offset, len) = (frame.body_offset(), frame.header.body_len as usize);
        match self.enter()? {
            Some((file, end)) if frame.header.len() < LONG => {
                let range = self.ahead.read(&file, end, offset, len)?;
                Ok(Body::Read { bytes: self.ahead.bytes.clone(), range })
            }
            Some((file, _)) => Ok(Body::Unread { file, offset, len }),
            None => Ok(Body::Unread { file: self.segments.reading_vault(frame.segment)?, offset, len }),
        }
    }

    fn read(&mut self) -> Result<Option<VaultFrame>, IoFailure> {
        let (segment, offset) = (self.segment, self.offset);
        let Some((file, len)) = self.enter()? else { return Ok(None) };
        if len.saturating_sub(offset) < VAULT_FIXED as u64 {
            return Ok(None);
        }
        let fixed = self.ahead.read(&file, len, offset, VAULT_FIXED)?;
        let fixed = self.ahead.bytes.get(fixed).and_then(|bytes| bytes.first_chunk());
        let Some(fixed) = fixed.and_then(VaultHeader::decode_fixed) else { return Ok(None) };
        if len - offset < fixed.len() {
            return Ok(None);
        }
        // Long frames follow long ones: of the next one nothing is read with its first bytes.
        self.ahead.long = fixed.len() >= LONG;
        if self.ahead.window > 0 && !self.ahead.long {
            // The body is wanted too: all of it in one piece.
            self.ahead.read(&file, len, offset, usize::try_from(fixed.len()).unwrap_or(usize::MAX))?;
        }
        let head = self.ahead.read(&file, len, offset, fixed.head_len())?;
        let head = self.ahead.bytes.get(head).unwrap_or_default();
        Ok(decode_head(head).map(|(header, table)| VaultFrame { header, segment, offset, table }))
    }

    /// The segment of this log that the walk is in, and its length; `None` if there is none.
    fn enter(&mut self) -> Result<Option<(File, u64)>, IoFailure> {
        let segment = self.segment;
        if let Some((number, file, len)) = &self.current
            && *number == segment
        {
            // A vault segment grows while the log is written beside us.
            let len = if *len > self.offset { *len } else { file.len()? };
            return Ok(Some((file.clone(), len)));
        }
        if self.list.binary_search(&segment).is_err() || !self.segments.is_ours(segment)? {
            return Ok(None);
        }
        let file = self.segments.reading_vault(segment)?;
        let len = file.len()?;
        self.ahead.bytes = Arc::default();
        self.current = Some((segment, file.clone(), len));
        Ok(Some((file, len)))
    }
}

/// How much is read at once where frames are short: many of them, and still in the second cache when they are cut apart.
const WINDOW: usize = 1 << 20;
/// From so many bytes on, a frame's body is read by whoever checks it: so all cores read, each into memory that it has just used, and one
/// that only reads is not what the others wait for.
const LONG: u64 = 64 << 10;

/// A vault frame's body.
#[derive(Clone, Debug)]
pub(crate) enum Body {
    /// Part of a window that others share.
    Read { bytes: Arc<Vec<u8>>, range: Range<usize> },
    /// Where it stands.
    Unread { file: File, offset: u64, len: usize },
}

impl Body {
    /// Its bytes, in `room` if they have yet to be read.
    pub(crate) fn bytes<'a>(&'a self, room: &'a mut Vec<u8>) -> Result<&'a [u8], IoFailure> {
        match self {
            Self::Read { bytes, range } => Ok(bytes.get(range.clone()).unwrap_or_default()),
            Self::Unread { file, offset, len } => {
                if room.len() < *len {
                    room.resize(*len, 0);
                }
                let body = room.get_mut(..*len).unwrap_or_default();
                file.read_at(*offset, body)?;
                Ok(body)
            }
        }
    }
}

/// Memory into which bodies are read, used again: fresh memory costs as much as the copy into it.
#[derive(Debug, Default)]
pub(crate) struct Rooms(Mutex<Vec<Vec<u8>>>);

impl Rooms {
    /// Lends a room that nobody else has.
    pub(crate) fn lend<T>(&self, with: impl FnOnce(&mut Vec<u8>) -> T) -> T {
        let rooms = || self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let mut room = rooms().pop().unwrap_or_default();
        let done = with(&mut room);
        rooms().push(room);
        done
    }
}

/// Bytes of a file that were read before they were asked for.
#[derive(Debug, Default)]
struct Ahead {
    /// How many are read at once; 0: as many as are asked for.
    window: usize,
    /// As if it were 0, behind a long frame.
    long: bool,
    start: u64,
    bytes: Arc<Vec<u8>>,
    /// Earlier windows: one that nobody shares any more is filled again, since fresh memory costs as much as the copy into it.
    used: Vec<Arc<Vec<u8>>>,
}

/// Windows in use at most before fresh ones are forgotten again: what four groups of decisions share.
const USED: usize = 128;

impl Ahead {
    /// Where `count` bytes at `offset` of a file that has `len` stand in the present window.
    fn read(&mut self, file: &File, len: u64, offset: u64, count: usize) -> Result<Range<usize>, IoFailure> {
        let inside = offset.checked_sub(self.start).and_then(|inside| usize::try_from(inside).ok());
        let there = inside.filter(|inside| self.bytes.len().checked_sub(*inside).is_some_and(|left| left >= count));
        if let Some(inside) = there {
            return Ok(inside..inside + count);
        }
        let left = usize::try_from(len.saturating_sub(offset)).unwrap_or(usize::MAX);
        let window = if self.long { 0 } else { self.window };
        let mut bytes = self.unshared();
        bytes.resize(window.min(left).max(count), 0);
        file.read_at(offset, &mut bytes)?;
        (self.start, self.bytes) = (offset, Arc::new(bytes));
        Ok(0..count)
    }

    /// Memory for the next window.
    fn unshared(&mut self) -> Vec<u8> {
        self.used.push(std::mem::take(&mut self.bytes));
        if self.used.len() > USED {
            self.used.remove(0);
        }
        let free = self.used.iter().position(|window| Arc::strong_count(window) == 1);
        free.and_then(|free| Arc::into_inner(self.used.remove(free))).unwrap_or_default()
    }
}
