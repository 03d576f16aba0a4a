//! Walks the journal frame by frame, believing nothing. The vault's side: `vault_scan.rs`.
//!
//! Guarantees: a frame that [`JournalScan::step`] hands out is whole: header and body have right checksums, its first index is the one
//! expected, its time is not before that of the frame before, its body is exactly its entries; of a [`Group`] the headers are, and
//! [`check_body`] says it of the bodies. Where the walk ends, it says whether there was simply nothing more or something broken, and where.
//! Does not: judge whether an end is a torn tail or a damaged log; that is for whoever knows which head is remembered.

use std::ops::Range;
use std::path::PathBuf;

use crate::frame::{FRAME_HEADER, FrameHeader, split_body_beside};
use crate::layout::SEGMENT_HEADER;
use crate::sealed::SegmentError;
use crate::segments::{Segment, Segments};
use crate::storage::IoFailure;

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
        let before = self.time_ms;
        let (segment, len) = match self.place()? {
            Ok(place) => place,
            Err(over) => return Ok(Err(over)),
        };
        let left = usize::try_from(len - self.offset).unwrap_or(usize::MAX);
        let mut group = Group { frames: Vec::new(), bytes };
        group.bytes.resize(wanted.min(left), 0);
        match self.gather(&segment, &mut group, left, bound) {
            Ok(()) if group.frames.is_empty() => self.alone(),
            Ok(()) => Ok(Ok(group)),
            Err(SegmentError::Io(failure)) => Err(failure),
            // What lies before it was not handed out yet: it is read again, one frame at a time.
            Err(SegmentError::Damaged(_)) => {
                if let Some(frame) = group.frames.first() {
                    (self.offset, self.next) = (frame.offset, frame.header.first);
                    self.time_ms = before;
                }
                self.careful = true;
                self.alone()
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

    /// Fills a group's bytes from the present offset, finds the frames in them, and reads the end of the last one if it reaches further.
    /// Stops before the first frame that is not what it must be; none at all is for [`JournalScan::alone`] to explain.
    fn gather(&mut self, segment: &Segment, group: &mut Group, left: usize, bound: u64) -> Result<(), SegmentError> {
        let start = self.offset;
        segment.read_at(start, &mut group.bytes)?;
        let mut at = 0;
        while self.next < bound {
            let header = group.bytes.get(at..).and_then(|rest| FrameHeader::decode(rest.first_chunk()?));
            let follows = |header: &FrameHeader| header.first == self.next && header.time_ms >= self.time_ms;
            let Some(header) = header.filter(follows) else { break };
            let body = at + FRAME_HEADER..at + FRAME_HEADER + header.body_len as usize;
            if body.end > left {
                break;
            }
            let there = group.bytes.len();
            if body.end > there {
                group.bytes.resize(body.end, 0);
                segment.read_at(start + there as u64, group.bytes.get_mut(there..).unwrap_or_default())?;
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
    let mut sum = crc32fast::Hasher::new();
    let leaves = split_body_beside(body, header.count, |piece| sum.update(piece));
    if sum.finalize() != header.body_crc {
        return Err("the frame's body is damaged");
    }
    leaves.ok_or("the frame's body is not its entries")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::layout::sealed_name;
    use crate::seal::tests::{DIR, disk, raw, seal};

    /// First index and body of each frame, read step by step, and what came then.
    fn steps(segments: &Segments) -> (Vec<(u64, Vec<u8>)>, Step) {
        let mut scan = JournalScan::new(segments, 0, SEGMENT_HEADER, 0, 0).unwrap();
        let mut found = Vec::new();
        loop {
            match scan.step().unwrap() {
                Step::Frame(frame) => found.push((frame.header.first, frame.body)),
                over => return (found, over),
            }
        }
    }

    /// The same, read in groups.
    fn groups(segments: &Segments, wanted: usize, bound: u64) -> (Vec<(u64, Vec<u8>)>, Option<Step>) {
        let mut scan = JournalScan::new(segments, 0, SEGMENT_HEADER, 0, 0).unwrap();
        let (mut found, mut buffer) = (Vec::new(), Vec::new());
        while scan.next < bound {
            match scan.group(wanted, bound, buffer).unwrap() {
                Ok(group) => {
                    assert!(!group.frames.is_empty());
                    for frame in &group.frames {
                        let body = &group.bytes[frame.body.clone()];
                        check_body(&frame.header, body).unwrap();
                        found.push((frame.header.first, body.to_vec()));
                    }
                    buffer = group.bytes;
                }
                Err(over) => return (found, Some(over)),
            }
        }
        (found, None)
    }

    #[test]
    fn groups_of_any_size_are_the_frames_that_steps_find_raw_or_sealed() {
        let (_, segments) = disk();
        let (_, middle) = raw(&segments, 0, &[vec![9; 3], vec![500; 40], vec![1], vec![70; 700]]);
        raw(&segments, middle, &[vec![30; 5], vec![2000; 9]]);
        for sealed in [false, true] {
            if sealed {
                seal(&segments, 0, middle).unwrap();
            }
            let (wanted, _) = steps(&segments);
            assert_eq!(wanted.len(), 6);
            for size in [1, 100, 76 + 33, 5000, 100_000] {
                assert!(groups(&segments, size, u64::MAX).0 == wanted, "{size}");
                let (below, over) = groups(&segments, size, 43);
                assert!(below == wanted[..2] && over.is_none(), "what begins at the bound is left");
            }
        }
    }

    #[test]
    fn groups_come_as_far_as_steps_and_say_the_same_of_what_is_broken() {
        let (ram, segments) = disk();
        let (_, end) = raw(&segments, 0, &vec![vec![40; 100]; 12]);
        raw(&segments, end, &[vec![1]]);
        let path = |name: &str| std::path::Path::new(DIR).join(name);
        let compare = |path: &std::path::Path, at: usize| {
            ram.damage(path, |bytes| bytes[at] ^= 1).unwrap();
            let segments = crate::seal::tests::fresh(&ram);
            let (wanted, Step::Broken { file, index, .. }) = steps(&segments) else { panic!("{at} was not found") };
            for size in [1, 9000, 1 << 20] {
                let (found, Some(Step::Broken { file: named, index: first, .. })) = groups(&segments, size, u64::MAX)
                else {
                    panic!("{at} was not found in groups of {size}")
                };
                assert!(found == wanted && (&named, first) == (&file, index), "{at}");
            }
            ram.damage(path, |bytes| bytes[at] ^= 1).unwrap();
            (wanted.len(), index)
        };
        // The fifth frame's header.
        let raw_path = path(&crate::layout::segment_name(0));
        assert_eq!(compare(&raw_path, 64 + 4 * (76 + 4200) + 9), (4, 400));
        // The third block, of entries 512 to 767.
        seal(&segments, 0, end).unwrap();
        let sealed_path = path(&sealed_name(0));
        let middle = ram.snapshot()[&sealed_path].len() / 2;
        assert_eq!(compare(&sealed_path, middle), (5, 512));
    }
}
