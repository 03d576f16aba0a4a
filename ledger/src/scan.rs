//! Walks journal and vault frame by frame, believing nothing.
//!
//! Guarantees: a frame that [`JournalScan::step`] hands out is whole: header and body have right checksums, its first index is the one
//! expected, its time is not before that of the frame before, its body is exactly its entries; of a [`Group`] the headers are, and
//! [`check_body`] says it of the bodies. Where the walk ends, it says whether there was simply nothing more or something broken, and where.
//! Does not: judge whether an end is a torn tail or a damaged log; that is for whoever knows which head is remembered.

use std::ops::Range;
use std::path::PathBuf;

use crate::frame::{FRAME_HEADER, FrameHeader, split_body};
use crate::layout::SEGMENT_HEADER;
use crate::sealed::SegmentError;
use crate::segments::{Segment, Segments};
use crate::storage::{File, IoFailure};
use crate::vault::{NO_PARTS, Private, PrivateOwned, VAULT_FIXED, VaultHeader, borrow_parts, decode_head};

/// A whole frame and where it stands.
#[derive(Debug)]
pub(crate) struct Frame {
    pub(crate) header: FrameHeader,
    pub(crate) segment: u64,
    pub(crate) offset: u64,
    pub(crate) body: Vec<u8>,
    /// Each leaf in the body.
    pub(crate) leaves: Vec<Range<usize>>,
}

/// The next thing in the journal.
#[derive(Debug)]
pub(crate) enum Step {
    Frame(Box<Frame>),
    /// Nothing more.
    End,
    /// Something that is not a whole frame.
    Broken {
        file: PathBuf,
        /// In the raw form of the segment.
        offset: u64,
        /// The first entry that it concerns.
        index: u64,
        why: &'static str,
    },
}

/// Frames that follow one another in a segment, read at once; their bodies are not checked yet.
#[derive(Debug, Default)]
pub(crate) struct Group {
    pub(crate) frames: Vec<Placed>,
    /// What holds the bodies.
    pub(crate) bytes: Vec<u8>,
}

/// A frame in a group.
#[derive(Clone, Debug)]
pub(crate) struct Placed {
    pub(crate) header: FrameHeader,
    pub(crate) segment: u64,
    pub(crate) offset: u64,
    /// Where its body stands in the group's bytes.
    pub(crate) body: Range<usize>,
}

/// What is wrong with a frame, and from which entry on.
type Flaw = (&'static str, u64);

/// A walk over the journal.
#[derive(Debug)]
pub(crate) struct JournalScan<'a> {
    segments: &'a Segments,
    list: Vec<u64>,
    current: Option<(u64, Segment, u64)>,
    pub(crate) segment: u64,
    pub(crate) offset: u64,
    /// The index that must come next.
    pub(crate) next: u64,
    time_ms: u64,
    /// Segments that hold more than what comes before the next one begins, and where that is.
    pub(crate) overlaps: Vec<(u64, u64)>,
    /// Something in reach is damaged: one frame at a time is read, to come as far as possible.
    careful: bool,
}

impl<'a> JournalScan<'a> {
    /// Walks from a known place: index `next` is expected at `offset` of `segment`, at no earlier time than `time_ms`.
    pub(crate) fn new(
        segments: &'a Segments,
        segment: u64,
        offset: u64,
        next: u64,
        time_ms: u64,
    ) -> Result<Self, IoFailure> {
        let (list, overlaps) = (segments.list()?, Vec::new());
        Ok(Self { segments, list, current: None, segment, offset, next, time_ms, overlaps, careful: false })
    }

    /// The next whole frame, or why there is none. After anything but a frame the walk is over.
    pub(crate) fn step(&mut self) -> Result<Step, IoFailure> {
        let (segment, len) = match self.place()? {
            Ok(place) => place,
            Err(over) => return Ok(over),
        };
        Ok(match read_frame(&segment, self.segment, self.offset, len, self.next, self.time_ms)? {
            Err((why, index)) => self.broken(why, index),
            Ok(frame) => {
                self.pass(&frame.header);
                Step::Frame(Box::new(frame))
            }
        })
    }

    /// The next frames, some `wanted` bytes of them and at least one, read into `bytes`; those that begin at or beyond `bound` are left.
    /// `Err` is why there is none; after it the walk is over.
    pub(crate) fn group(
        &mut self,
        wanted: usize,
        bound: u64,
        bytes: Vec<u8>,
    ) -> Result<Result<Group, Step>, IoFailure> {
        if self.careful {
            return self.alone();
        }
        let (segment, len) = match self.place()? {
            Ok(place) => place,
            Err(over) => return Ok(Err(over)),
        };
        let left = usize::try_from(len - self.offset).unwrap_or(usize::MAX);
        let mut group = Group { frames: Vec::new(), bytes };
        let mut window = wanted.min(left);
        loop {
            group.bytes.resize(window, 0);
            match segment.read_at(self.offset, &mut group.bytes) {
                Ok(()) => {}
                Err(SegmentError::Io(failure)) => return Err(failure),
                Err(SegmentError::Damaged(_)) => {
                    self.careful = true;
                    return self.alone();
                }
            }
            match self.gather(&mut group, bound) {
                Ok(()) => return Ok(Ok(group)),
                // The first frame alone is longer than what was asked for.
                Err(Some(frame)) if frame <= left => window = frame,
                Err(Some(_)) => return Ok(Err(self.broken("the frame's body is cut off", self.next))),
                // Whatever is wrong with the first frame, reading it alone tells it.
                Err(None) => return self.alone(),
            }
        }
    }

    /// The next frame as a group.
    fn alone(&mut self) -> Result<Result<Group, Step>, IoFailure> {
        Ok(match self.step()? {
            Step::Frame(frame) => {
                let Frame { header, segment, offset, body: bytes, .. } = *frame;
                let frames = vec![Placed { header, segment, offset, body: 0..bytes.len() }];
                Ok(Group { frames, bytes })
            }
            over @ (Step::End | Step::Broken { .. }) => Err(over),
        })
    }

    /// Finds the frames in a group's bytes. `Err` if there is not one whole frame: its length, if only the end is missing.
    fn gather(&mut self, group: &mut Group, bound: u64) -> Result<(), Option<usize>> {
        let mut at = 0;
        while self.next < bound {
            let header = group.bytes.get(at..).and_then(|rest| FrameHeader::decode(rest.first_chunk()?));
            let follows = |header: &FrameHeader| header.first == self.next && header.time_ms >= self.time_ms;
            let Some(header) = header.filter(follows) else {
                return if group.frames.is_empty() { Err(None) } else { Ok(()) };
            };
            let body = at + FRAME_HEADER..at + FRAME_HEADER + header.body_len as usize;
            if body.end > group.bytes.len() {
                return if group.frames.is_empty() { Err(Some(body.end)) } else { Ok(()) };
            }
            at = body.end;
            group.frames.push(Placed { header, segment: self.segment, offset: self.offset, body });
            self.pass(&header);
        }
        Ok(())
    }

    /// The walk goes on behind a frame.
    fn pass(&mut self, header: &FrameHeader) {
        self.offset += header.len();
        self.next = header.end();
        self.time_ms = header.time_ms;
    }

    /// Goes on in the next segment where one ends; answers the segment, which has something at the present offset, and its length.
    fn place(&mut self) -> Result<Result<(Segment, u64), Step>, IoFailure> {
        loop {
            let following = self.list.get(self.list.partition_point(|first| *first <= self.segment)).copied();
            let (number, segment, len) = match self.current.take() {
                Some(current) if current.0 == self.segment => current,
                _ => match self.enter()? {
                    Ok(current) => current,
                    Err(step) => return Ok(Err(step)),
                },
            };
            if following == Some(self.next) {
                // A segment ends where the next one begins.
                if len > self.offset {
                    self.overlaps.push((self.segment, self.offset));
                }
                self.segment = self.next;
                self.offset = SEGMENT_HEADER;
                continue;
            }
            if self.offset == len {
                return Ok(Err(match following {
                    None => Step::End,
                    Some(_) => self.broken("frames are missing before the next segment", self.next),
                }));
            }
            self.current = Some((number, segment.clone(), len));
            return Ok(Ok((segment, len)));
        }
    }

    fn enter(&self) -> Result<Result<(u64, Segment, u64), Step>, IoFailure> {
        if self.list.binary_search(&self.segment).is_err() {
            return Ok(Err(self.broken("the segment is missing", self.next)));
        }
        let damaged = |why| {
            let file = self.segments.present(self.segment);
            Step::Broken { file, offset: 0, index: self.next, why }
        };
        if !self.segments.is_ours(self.segment)? {
            return Ok(Err(damaged("the segment's header is damaged or of another log")));
        }
        let segment = match self.segments.reading(self.segment) {
            Ok(segment) => segment,
            Err(SegmentError::Io(failure)) => return Err(failure),
            Err(SegmentError::Damaged(damage)) => return Ok(Err(damaged(damage.why))),
        };
        let len = segment.len()?;
        if len < self.offset {
            return Ok(Err(self.broken("the segment is too short", self.next)));
        }
        Ok(Ok((self.segment, segment, len)))
    }

    fn broken(&self, why: &'static str, index: u64) -> Step {
        Step::Broken { file: self.segments.present(self.segment), offset: self.offset, index, why }
    }
}

/// Reads the frame at `offset` of a segment of `len` bytes, which must begin with entry `next` and not be before `time_ms`.
pub(crate) fn read_frame(
    segment: &Segment,
    first: u64,
    offset: u64,
    len: u64,
    next: u64,
    time_ms: u64,
) -> Result<Result<Frame, Flaw>, IoFailure> {
    match try_frame(segment, first, offset, len, next, time_ms) {
        Ok(frame) => Ok(frame.map_err(|why| (why, next))),
        Err(SegmentError::Damaged(damage)) => Ok(Err((damage.why, damage.index.max(next)))),
        Err(SegmentError::Io(failure)) => Err(failure),
    }
}

fn try_frame(
    segment: &Segment,
    first: u64,
    offset: u64,
    len: u64,
    next: u64,
    time_ms: u64,
) -> Result<Result<Frame, &'static str>, SegmentError> {
    let left = len - offset;
    if left < FRAME_HEADER as u64 {
        return Ok(Err("the frame's header is cut off"));
    }
    let Some(header) = FrameHeader::decode(&segment.read_array(offset)?) else {
        return Ok(Err("the frame's header is damaged"));
    };
    if left < header.len() {
        return Ok(Err("the frame's body is cut off"));
    }
    if header.first != next {
        return Ok(Err("the frame begins with another index than expected"));
    }
    if header.time_ms < time_ms {
        return Ok(Err("the frame's time is before that of the frame before"));
    }
    let body = segment.read_vec(offset + FRAME_HEADER as u64, header.body_len as usize)?;
    Ok(check_body(&header, &body).map(|leaves| Frame { header, segment: first, offset, body, leaves }))
}

/// Where each leaf stands in a body that has the right checksum and is exactly its entries; or what is wrong with it.
pub(crate) fn check_body(header: &FrameHeader, body: &[u8]) -> Result<Vec<Range<usize>>, &'static str> {
    if crc32fast::hash(body) != header.body_crc {
        return Err("the frame's body is damaged");
    }
    split_body(body, header.count).ok_or("the frame's body is not its entries")
}

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
    pub(crate) fn parts(&self, body: &[u8], position: usize) -> Result<Option<PrivateOwned>, ()> {
        Ok(self.borrow(body, position)?.map(PrivateOwned::from))
    }

    /// As [`VaultFrame::parts`], without a copy.
    pub(crate) fn borrow<'a>(&self, body: &'a [u8], position: usize) -> Result<Option<Private<'a>>, ()> {
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

    /// Reads so many bytes at once, for whoever wants the bodies too.
    pub(crate) fn reading_ahead(mut self, bytes: usize) -> Self {
        self.ahead.window = bytes;
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

    /// The body of the frame that [`VaultScan::frame_of`] has just answered.
    pub(crate) fn body_of(&mut self, frame: &VaultFrame) -> Result<Vec<u8>, IoFailure> {
        match self.enter()? {
            Some((file, len)) => {
                let body = self.ahead.read(&file, len, frame.body_offset(), frame.header.body_len as usize)?;
                Ok(body.to_vec())
            }
            None => frame.body(self.segments),
        }
    }

    fn read(&mut self) -> Result<Option<VaultFrame>, IoFailure> {
        let (segment, offset) = (self.segment, self.offset);
        let Some((file, len)) = self.enter()? else { return Ok(None) };
        if len.saturating_sub(offset) < VAULT_FIXED as u64 {
            return Ok(None);
        }
        let fixed = self.ahead.read(&file, len, offset, VAULT_FIXED)?;
        let Some(fixed) = fixed.first_chunk().and_then(VaultHeader::decode_fixed) else { return Ok(None) };
        if len - offset < fixed.len() {
            return Ok(None);
        }
        let head = self.ahead.read(&file, len, offset, fixed.head_len())?;
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
        self.ahead.bytes.clear();
        self.current = Some((segment, file.clone(), len));
        Ok(Some((file, len)))
    }
}

/// Bytes of a file that were read before they were asked for.
#[derive(Debug, Default)]
struct Ahead {
    /// How many are read at once; 0: as many as are asked for.
    window: usize,
    start: u64,
    bytes: Vec<u8>,
}

impl Ahead {
    /// `count` bytes at `offset` of a file that has `len`.
    fn read(&mut self, file: &File, len: u64, offset: u64, count: usize) -> Result<&[u8], IoFailure> {
        let inside = offset.checked_sub(self.start).and_then(|inside| usize::try_from(inside).ok());
        let there = inside.filter(|inside| self.bytes.len().checked_sub(*inside).is_some_and(|left| left >= count));
        let inside = match there {
            Some(inside) => inside,
            None => {
                let left = usize::try_from(len.saturating_sub(offset)).unwrap_or(usize::MAX);
                self.bytes.resize(self.window.min(left).max(count), 0);
                file.read_at(offset, &mut self.bytes)?;
                self.start = offset;
                0
            }
        };
        Ok(self.bytes.get(inside..inside + count).unwrap_or_default())
    }
}
