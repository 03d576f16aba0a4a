//! Walks journal and vault frame by frame, believing nothing.
//!
//! Guarantees: a frame that is handed out is whole: header and body have right checksums, its first index is the one expected, its time is
//! not before that of the frame before, its body is exactly its entries. Where the walk ends, it says whether there was simply nothing
//! more or something broken, and where. Does not: judge whether an end is a torn tail or a damaged log; that is for whoever knows which
//! head is remembered.

use std::ops::Range;
use std::path::PathBuf;

use crate::frame::{FRAME_HEADER, FrameHeader, split_body};
use crate::layout::SEGMENT_HEADER;
use crate::segments::Segments;
use crate::storage::{File, IoFailure};
use crate::vault::{NO_PARTS, PrivateOwned, VAULT_FIXED, VaultHeader, decode_head, decode_parts};

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
        offset: u64,
        why: &'static str,
    },
}

/// A walk over the journal.
#[derive(Debug)]
pub(crate) struct JournalScan<'a> {
    segments: &'a Segments,
    list: Vec<u64>,
    current: Option<(u64, File, u64)>,
    pub(crate) segment: u64,
    pub(crate) offset: u64,
    /// The index that must come next.
    pub(crate) next: u64,
    time_ms: u64,
    /// Segments that hold more than what comes before the next one begins, and where that is.
    pub(crate) overlaps: Vec<(u64, u64)>,
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
        let list = segments.list()?;
        Ok(Self { segments, list, current: None, segment, offset, next, time_ms, overlaps: Vec::new() })
    }

    /// The next whole frame, or why there is none. After anything but a frame the walk is over.
    pub(crate) fn step(&mut self) -> Result<Step, IoFailure> {
        loop {
            let following = self.list.iter().copied().find(|first| *first > self.segment);
            let current = match self.current.take() {
                Some(current) if current.0 == self.segment => current,
                _ => match self.enter()? {
                    Ok(current) => current,
                    Err(step) => return Ok(step),
                },
            };
            let (_, file, len) = &current;
            if following == Some(self.next) {
                // A segment ends where the next one begins.
                if *len > self.offset {
                    self.overlaps.push((self.segment, self.offset));
                }
                self.segment = self.next;
                self.offset = SEGMENT_HEADER;
                continue;
            }
            if self.offset == *len {
                return match following {
                    None => Ok(Step::End),
                    Some(_) => Ok(self.broken("frames are missing before the next segment")),
                };
            }
            let step = self.read(file, *len)?;
            self.current = Some(current);
            return Ok(match step {
                Err(why) => self.broken(why),
                Ok(frame) => {
                    self.offset += frame.header.len();
                    self.next = frame.header.end();
                    self.time_ms = frame.header.time_ms;
                    Step::Frame(Box::new(frame))
                }
            });
        }
    }

    fn enter(&self) -> Result<Result<(u64, File, u64), Step>, IoFailure> {
        if !self.list.contains(&self.segment) {
            return Ok(Err(self.broken("the segment is missing")));
        }
        if !self.segments.is_ours(self.segment)? {
            let file = self.segments.path(self.segment);
            return Ok(Err(Step::Broken { file, offset: 0, why: "the segment's header is damaged or of another log" }));
        }
        let file = self.segments.reading(self.segment)?;
        let len = file.len()?;
        if len < self.offset {
            return Ok(Err(self.broken("the segment is too short")));
        }
        Ok(Ok((self.segment, file, len)))
    }

    fn read(&self, file: &File, len: u64) -> Result<Result<Frame, &'static str>, IoFailure> {
        let left = len - self.offset;
        if left < FRAME_HEADER as u64 {
            return Ok(Err("the frame's header is cut off"));
        }
        let Some(header) = FrameHeader::decode(&file.read_array(self.offset)?) else {
            return Ok(Err("the frame's header is damaged"));
        };
        if left < header.len() {
            return Ok(Err("the frame's body is cut off"));
        }
        if header.first != self.next {
            return Ok(Err("the frame begins with another index than expected"));
        }
        if header.time_ms < self.time_ms {
            return Ok(Err("the frame's time is before that of the frame before"));
        }
        let body = file.read_vec(self.offset + FRAME_HEADER as u64, header.body_len as usize)?;
        if crc32fast::hash(&body) != header.body_crc {
            return Ok(Err("the frame's body is damaged"));
        }
        let Some(leaves) = split_body(&body, header.count) else {
            return Ok(Err("the frame's body is not its entries"));
        };
        Ok(Ok(Frame { header, segment: self.segment, offset: self.offset, body, leaves }))
    }

    fn broken(&self, why: &'static str) -> Step {
        Step::Broken { file: self.segments.path(self.segment), offset: self.offset, why }
    }
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
        let start = self.offset + self.header.head_len() as u64;
        segments.reading(self.segment)?.read_vec(start, self.header.body_len as usize)
    }

    /// The parts of one entry out of the body: `Ok(None)` if it has none, `Err` if they are damaged.
    pub(crate) fn parts(&self, body: &[u8], position: usize) -> Result<Option<PrivateOwned>, ()> {
        match self.table.get(position) {
            None => Err(()),
            Some(&NO_PARTS) => Ok(None),
            Some(&start) => body.get(start as usize..).and_then(decode_parts).map(Some).ok_or(()),
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
        Ok(Self { segments, list, segment, offset })
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
        if self.segment != journal.first && self.list.contains(&journal.first) {
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

    fn read(&self) -> Result<Option<VaultFrame>, IoFailure> {
        let (segment, offset) = (self.segment, self.offset);
        if !self.list.contains(&segment) || !self.segments.is_ours(segment)? {
            return Ok(None);
        }
        let file = self.segments.reading(segment)?;
        let len = file.len()?;
        if len.saturating_sub(offset) < VAULT_FIXED as u64 {
            return Ok(None);
        }
        let Some(fixed) = VaultHeader::decode_fixed(&file.read_array(offset)?) else { return Ok(None) };
        if len - offset < fixed.len() {
            return Ok(None);
        }
        let head = file.read_vec(offset, fixed.head_len())?;
        Ok(decode_head(&head).map(|(header, table)| VaultFrame { header, segment, offset, table }))
    }
}
