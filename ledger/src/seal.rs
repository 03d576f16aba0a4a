//! Puts full journal segments into their sealed form, one at a time and in small steps.
//!
//! read the raw segment → write the sealed one → sync → read it back from the disk, unpack it and compare all of it with the raw one → give
//! it its name → sync the directory → remove the raw one. What a crash after each step leaves is said where the step is made, here and in
//! `segments.rs`; the next opening removes it or finishes the last two steps after comparing once more.
//!
//! Guarantees: a raw segment is removed only after every byte of it was read back out of its sealed form; only segments are touched that
//! are closed, wholly published, and followed by published entries. A failure leaves the raw segment as it was, and is not that of the log:
//! nothing of what was promised rests on the new file before the raw one goes. Does not: decide when; `background.rs` does.

pub(crate) mod settle;

use std::sync::Arc;

use crate::layout::SEGMENT_HEADER;
use crate::scan::{Frame, read_frame};
use crate::sealed::{Damage, Dictionary, ENOUGH, MAX_RAW, Sealed, SegmentError, Writer, train};
use crate::segments::{Segment, Segments};
use crate::storage::{File, IoFailure};

/// What is compared in one step: two blocks of decisions, unpacked in a tenth of a millisecond.
const COMPARED: u64 = 128 << 10;

/// Why a segment was not sealed. It stays as it was.
#[derive(Debug, thiserror::Error)]
pub enum SealError {
    /// The disk failed or is full.
    #[error(transparent)]
    Io(#[from] IoFailure),
    /// The raw segment does not hold what it must, or the sealed one does not read back.
    #[error("not sealed: {0}")]
    Damaged(String),
    /// Segments above 1 GiB stay raw.
    #[error(
        "not sealed: the segment of entry {first} has {len} bytes, more than the {MAX_RAW} of the largest that is sealed"
    )]
    TooLarge {
        /// The segment's first index.
        first: u64,
        /// Its length.
        len: u64,
    },
}

impl From<SegmentError> for SealError {
    fn from(error: SegmentError) -> Self {
        match error {
            SegmentError::Io(failure) => Self::Io(failure),
            SegmentError::Damaged(damage) => Self::Damaged(damage.to_string()),
        }
    }
}

/// What is to be sealed, and what became of it.
#[derive(Debug, Default)]
pub(crate) struct Sealer {
    waiting: Vec<Closed>,
    current: Option<Sealing>,
    pub(crate) sealed: u64,
    pub(crate) failure: Option<SealError>,
}

/// A segment that is closed and wholly published: its first index and that of the next.
type Closed = (u64, u64);

impl Sealer {
    /// Finds the raw segments that may be sealed in a log of this published size.
    pub(crate) fn look(&mut self, journal: &Segments, size: u64) {
        match closed(journal, size) {
            Ok(found) => {
                let busy = self.current.as_ref().map(|sealing| sealing.first);
                self.waiting = found.into_iter().rev().filter(|(first, _)| Some(*first) != busy).collect();
            }
            Err(failure) => self.failure = Some(failure.into()),
        }
    }

    /// Does a little; `false` once there is nothing left to do. What fails is left raw until it is looked for again.
    pub(crate) fn step(&mut self, journal: &Segments) -> bool {
        let stepped = match &mut self.current {
            Some(sealing) => sealing.step(journal),
            None => match self.waiting.pop() {
                None => return false,
                Some((first, end)) => Sealing::begin(journal, first, end).map(|sealing| {
                    self.current = Some(sealing);
                    false
                }),
            },
        };
        match stepped {
            Ok(false) => {}
            Ok(true) => {
                self.current = None;
                self.sealed += 1;
            }
            Err(error) => {
                self.failure = Some(error);
                self.give_up(journal);
            }
        }
        true
    }

    /// Leaves the segment under way raw.
    pub(crate) fn give_up(&mut self, journal: &Segments) {
        if let Some(sealing) = self.current.take() {
            // Best effort: what is left is removed when the log is opened.
            let _left_over = journal.abandon_sealed(sealing.first);
        }
    }
}

/// Raw segments before one that holds a published entry.
fn closed(journal: &Segments, size: u64) -> Result<Vec<Closed>, IoFailure> {
    let raw = journal.list_raw()?;
    let all = journal.list()?;
    let pairs = all.iter().copied().zip(all.iter().copied().skip(1));
    Ok(pairs.filter(|(first, end)| *end < size && raw.binary_search(first).is_ok()).collect())
}

/// One segment on its way.
#[derive(Debug)]
struct Sealing {
    first: u64,
    end: u64,
    raw: Segment,
    len: u64,
    phase: Phase,
}

enum Phase {
    /// Frames go into the new file.
    Packing(Box<Packing>),
    /// The new file is read back and compared, from here on.
    Comparing(Box<Sealed>, u64),
}

impl std::fmt::Debug for Phase {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Packing(_) => "Packing",
            Self::Comparing(..) => "Comparing",
        })
    }
}

struct Packing {
    writer: Option<Writer>,
    file: File,
    /// The frame under way, and how many of its entries are packed.
    frame: Option<(Frame, usize)>,
    /// Where the next frame stands, and the time of the one before.
    offset: u64,
    time_ms: u64,
}

impl Sealing {
    fn begin(journal: &Segments, first: u64, end: u64) -> Result<Self, SealError> {
        let raw = journal.reading(first)?;
        let len = raw.len()?;
        if len > MAX_RAW {
            return Err(SealError::TooLarge { first, len });
        }
        let dictionary = dictionary(journal, &raw, first, len)?;
        // If we crash from here on until the swap, an unfinished file is left, which the next opening removes.
        let file = journal.create_sealed(first)?;
        let writer = Writer::begin(file.clone(), journal.log(), first, dictionary);
        let writer = writer.inspect_err(|_| _ = journal.abandon_sealed(first))?;
        let packing = Packing { writer: Some(writer), file, frame: None, offset: SEGMENT_HEADER, time_ms: 0 };
        Ok(Self { first, end, raw, len, phase: Phase::Packing(Box::new(packing)) })
    }

    /// Packs a block or compares as much; `true` once the sealed form stands in the raw one's place.
    fn step(&mut self, journal: &Segments) -> Result<bool, SealError> {
        match &mut self.phase {
            Phase::Packing(packing) => {
                if packing.step(&self.raw, self.first, self.len)? {
                    self.finish_packing(journal)?;
                }
                Ok(false)
            }
            Phase::Comparing(sealed, at) => {
                let next = self.len.min(*at + COMPARED);
                if !is_same_between(&self.raw, sealed, *at, next)? {
                    return Err(SealError::Damaged("what was sealed does not read back".to_owned()));
                }
                *at = next;
                if next < self.len {
                    return Ok(false);
                }
                journal.swap(self.first)?;
                Ok(true)
            }
        }
    }

    fn finish_packing(&mut self, journal: &Segments) -> Result<(), SealError> {
        let Phase::Packing(packing) = &mut self.phase else { return Ok(()) };
        if let Some(writer) = packing.writer.take() {
            if writer.next() != self.end {
                let damage = Damage {
                    file: self.raw.path().to_owned(),
                    index: writer.next(),
                    why: "it does not end where the next one begins",
                };
                return Err(SealError::Damaged(damage.to_string()));
            }
            writer.finish()?;
        }
        // If we crash before this returns, the file may be anything; it has no name that counts.
        packing.file.sync()?;
        let sealed = journal.read_back(self.first)?;
        if sealed.raw_len() != self.len || sealed.end() != self.end {
            return Err(SealError::Damaged("what was sealed does not read back".to_owned()));
        }
        self.phase = Phase::Comparing(Box::new(sealed), 0);
        Ok(())
    }
}

impl Packing {
    /// Packs up to the end of a block; `true` once there is nothing left.
    fn step(&mut self, raw: &Segment, first: u64, len: u64) -> Result<bool, SealError> {
        let Some(writer) = &mut self.writer else { return Ok(true) };
        loop {
            if let Some((frame, done)) = self.frame.take_if(|(frame, done)| *done < frame.leaves.len()) {
                let room = usize::try_from(writer.room()).unwrap_or(usize::MAX);
                let to = frame.leaves.len().min(done + room);
                let start = frame.leaves.get(done).map_or(0, |leaf| leaf.start - 2);
                let end = frame.leaves.get(to - 1).map_or(0, |leaf| leaf.end);
                let complete = writer.entries(frame.body.get(start..end).unwrap_or_default(), (to - done) as u64)?;
                self.frame = Some((frame, to));
                if complete {
                    return Ok(false);
                }
                continue;
            }
            if self.offset == len {
                return Ok(true);
            }
            let frame = match read_frame(raw, first, self.offset, len, writer.next(), self.time_ms)? {
                Ok(frame) => frame,
                Err((why, index)) => {
                    let damage = Damage { file: raw.path().to_owned(), index, why };
                    return Err(SealError::Damaged(damage.to_string()));
                }
            };
            writer.header(&frame.header)?;
            self.offset += frame.header.len();
            self.time_ms = frame.header.time_ms;
            self.frame = Some((frame, 0));
        }
    }
}

/// The dictionary of the newest sealed segment before this one, so that a client needs one for as much of the log as possible; or one that
/// is trained on this segment's first entries.
fn dictionary(journal: &Segments, raw: &Segment, first: u64, len: u64) -> Result<Arc<Dictionary>, SealError> {
    let before = journal.list_sealed()?.into_iter().rfind(|sealed| *sealed < first);
    match before.map(|before| journal.sealed(before)).transpose() {
        Ok(Some(Some(sealed))) => return Ok(sealed.dictionary().clone()),
        Ok(Some(None) | None) | Err(SegmentError::Damaged(_)) => {}
        Err(SegmentError::Io(failure)) => return Err(failure.into()),
    }
    let (mut frames, mut bytes) = (Vec::new(), 0);
    let (mut offset, mut next, mut time_ms) = (SEGMENT_HEADER, first, 0);
    while offset < len && bytes < ENOUGH {
        // What is wrong with the segment is told when it is packed.
        let Ok(frame) = read_frame(raw, first, offset, len, next, time_ms)? else { break };
        (offset, next, time_ms) = (offset + frame.header.len(), frame.header.end(), frame.header.time_ms);
        bytes += frame.body.len();
        frames.push(frame);
    }
    train(frames.iter()).ok_or_else(|| SealError::Damaged("no dictionary can be made".to_owned()))
}

/// True if the sealed form of a segment holds exactly what the raw one does.
fn is_same(journal: &Segments, first: u64) -> Result<bool, IoFailure> {
    let compare = || -> Result<bool, SegmentError> {
        let raw = journal.reading(first)?;
        let Some(sealed) = journal.sealed(first)? else { return Ok(false) };
        let len = raw.len()?;
        let mut at = 0;
        while at < len && sealed.raw_len() == len {
            let next = len.min(at + COMPARED);
            if !is_same_between(&raw, &sealed, at, next)? {
                return Ok(false);
            }
            at = next;
        }
        Ok(sealed.raw_len() == len)
    };
    match compare() {
        Ok(same) => Ok(same),
        Err(SegmentError::Damaged(_)) => Ok(false),
        Err(SegmentError::Io(failure)) => Err(failure),
    }
}

fn is_same_between(raw: &Segment, sealed: &Sealed, from: u64, to: u64) -> Result<bool, SegmentError> {
    let len = usize::try_from(to - from).unwrap_or(usize::MAX);
    let mut unpacked = vec![0; len];
    sealed.read_at(from, &mut unpacked)?;
    Ok(raw.read_vec(from, len)? == unpacked)
}

#[cfg(test)]
pub(crate) mod tests;
