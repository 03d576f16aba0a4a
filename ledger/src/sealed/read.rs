//! Reads a sealed segment as if it were the raw one: any bytes of it, by their place in the raw file.
//!
//! A place in a frame's header is answered from its group; a place in a body is a place in the stream of all entries, less the headers
//! before it, and is answered from its block. A read unpacks the groups and blocks that it touches and no others.
//!
//! Guarantees: what is answered was unpacked from zstd frames with right checksums, to exactly the lengths that the tables state. What is
//! damaged is named with its first index. Does not: compare with the tree; whoever reads entries does, whatever form they stand in.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use rayon::prelude::*;
use verifier::hash::Hash;

use super::codec::{Dictionary, unpack};
use super::{BLOCK_ENTRIES, Cache, GROUP_FRAMES, GROUP_ROW, HEADER, Header, Place, Tables};
use crate::bytes::{Put, Take};
use crate::frame::{FRAME_HEADER, FrameHeader};
use crate::layout::{HEADER as RAW_HEADER, SEGMENT_HEADER, SegmentKind, segment_header};
use crate::storage::{File, IoFailure};

/// From so many blocks on, a read unpacks them with all cores: half a megabyte, which takes one core half a millisecond.
const PARALLEL_FROM: usize = 8;

/// Why bytes of a segment cannot be had.
#[derive(Debug, thiserror::Error)]
pub(crate) enum SegmentError {
    #[error(transparent)]
    Io(#[from] IoFailure),
    #[error(transparent)]
    Damaged(#[from] Damage),
}

/// Something in a sealed segment that is not what it must be.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("`{file}` is damaged from entry {index} on: {why}", file = file.display())]
pub(crate) struct Damage {
    pub(crate) file: PathBuf,
    /// The first entry that cannot be had.
    pub(crate) index: u64,
    pub(crate) why: &'static str,
}

/// A sealed segment, open for reading.
#[derive(Debug)]
pub(crate) struct Sealed {
    file: File,
    log: Hash,
    header: Header,
    tables: Tables,
    dictionary: Arc<Dictionary>,
    cache: Arc<Cache>,
}

/// Part of what a read is to fill: bytes of the entry stream, from a place in it on.
struct Want<'a> {
    stream: u64,
    into: &'a mut [u8],
}

/// What a read wants of one block: from where in it, and where to.
struct Job<'a> {
    block: usize,
    wants: Vec<(usize, &'a mut [u8])>,
}

impl Sealed {
    /// Opens a file that is to be the sealed segment of this log and first index.
    pub(crate) fn open(file: File, log: &Hash, first: u64, cache: &Arc<Cache>) -> Result<Self, SegmentError> {
        let damaged = |why| Damage { file: file.path().to_owned(), index: first, why };
        let len = file.len()?;
        if len < HEADER as u64 {
            return Err(damaged("it is too short").into());
        }
        let header = Header::decode(&file.read_array(0)?, log, first);
        let header = header.ok_or_else(|| damaged("the segment's header is damaged or of another log"))?;
        if header.tables.checked_add(header.tables_len() as u64) != Some(len) {
            return Err(damaged("its length is not what its header says").into());
        }
        let tables = Tables::decode(&file.read_vec(header.tables, header.tables_len())?, &header);
        let tables = tables.ok_or_else(|| damaged("its tables are damaged"))?;
        let dictionary = Dictionary::new(file.read_vec(HEADER as u64, header.dictionary_len as usize)?);
        let dictionary = dictionary.filter(|dictionary| dictionary.sha256() == header.dictionary);
        let dictionary = Arc::new(dictionary.ok_or_else(|| damaged("its dictionary is damaged"))?);
        Ok(Self { file, log: *log, header, tables, dictionary, cache: cache.clone() })
    }

    pub(crate) fn path(&self) -> &Path {
        self.file.path()
    }

    /// The length of the raw segment.
    pub(crate) fn raw_len(&self) -> u64 {
        self.header.raw_len
    }

    /// The first index of the segment that follows.
    pub(crate) fn end(&self) -> u64 {
        self.header.end
    }

    pub(crate) fn dictionary(&self) -> &Arc<Dictionary> {
        &self.dictionary
    }

    /// Fills `buffer` with what the raw segment has at `offset`.
    pub(crate) fn read_at(&self, offset: u64, buffer: &mut [u8]) -> Result<(), SegmentError> {
        let end = offset.checked_add(buffer.len() as u64);
        if end.is_none_or(|end| end > self.header.raw_len) {
            return Err(IoFailure::new("read", self.path(), std::io::ErrorKind::UnexpectedEof.into()).into());
        }
        let mut wants = Vec::new();
        self.fill_headers(offset, buffer, &mut wants)?;
        self.fill_bodies(wants)
    }

    /// The zstd frame of a full bundle (C2SP tlog-tiles) as it stands, if this segment has all of it.
    pub(crate) fn stored_bundle(&self, bundle: u64) -> Result<Option<Vec<u8>>, SegmentError> {
        let (first, end) =
            (bundle.saturating_mul(BLOCK_ENTRIES), bundle.saturating_add(1).saturating_mul(BLOCK_ENTRIES));
        if first < self.header.first || end > self.header.end {
            return Ok(None);
        }
        let number = usize::try_from(bundle - self.header.first / BLOCK_ENTRIES).unwrap_or(usize::MAX);
        self.tables.blocks.get(number).map(|block| self.frame(&block.place, first)).transpose()
    }

    /// Fills what lies in headers, and says what is wanted of the bodies.
    fn fill_headers<'a>(
        &self,
        offset: u64,
        buffer: &'a mut [u8],
        wants: &mut Vec<Want<'a>>,
    ) -> Result<(), SegmentError> {
        let mut rest = Rest { at: offset, buffer };
        if rest.at < SEGMENT_HEADER {
            let header: [u8; RAW_HEADER] = segment_header(SegmentKind::Journal, &self.log, self.header.first);
            rest.copy(0, &header);
        }
        let mut number = self.tables.groups.partition_point(|group| group.offset <= rest.at).saturating_sub(1);
        while let (false, Some(group)) = (rest.buffer.is_empty(), self.tables.groups.get(number)) {
            let rows = self.rows(number)?;
            let frames_before = number as u64 * u64::from(GROUP_FRAMES);
            let mut stream = group.offset - SEGMENT_HEADER - FRAME_HEADER as u64 * frames_before;
            let (mut start, mut first) = (group.offset, group.first);
            for row in rows.as_chunks::<GROUP_ROW>().0 {
                let Some(header) = decode_row(row, first) else { break };
                let body = start + FRAME_HEADER as u64;
                let end = start + header.len();
                if rest.at < body {
                    rest.copy(start, &header.encode());
                }
                if (body..end).contains(&rest.at) {
                    let stream = stream + (rest.at - body);
                    wants.push(Want { stream, into: rest.take(end) });
                }
                if rest.buffer.is_empty() {
                    break;
                }
                stream += u64::from(header.body_len);
                (start, first) = (end, header.end());
            }
            number += 1;
        }
        // Headers add up to their tables, and these to the raw length: nothing can be left over.
        if rest.buffer.is_empty() { Ok(()) } else { Err(self.damage(self.header.first, "frames are missing").into()) }
    }

    fn fill_bodies(&self, wants: Vec<Want<'_>>) -> Result<(), SegmentError> {
        let mut jobs: Vec<Job<'_>> = Vec::new();
        for Want { mut stream, mut into } in wants {
            let mut number = self.tables.blocks.partition_point(|block| block.stream <= stream).saturating_sub(1);
            while let (false, Some(block)) = (into.is_empty(), self.tables.blocks.get(number)) {
                let inside = usize::try_from(stream - block.stream).unwrap_or(usize::MAX);
                let count = (block.content as usize).saturating_sub(inside).min(into.len());
                let (now, later) = into.split_at_mut(count);
                stream += count as u64;
                into = later;
                match jobs.last_mut() {
                    Some(job) if job.block == number => job.wants.push((inside, now)),
                    _ => jobs.push(Job { block: number, wants: vec![(inside, now)] }),
                }
                number += 1;
            }
            if !into.is_empty() {
                return Err(self.damage(self.header.first, "entries are missing").into());
            }
        }
        if jobs.len() < PARALLEL_FROM {
            return jobs.into_iter().try_for_each(|job| self.fill(job));
        }
        let done: Vec<Result<(), SegmentError>> = jobs.into_par_iter().map(|job| self.fill(job)).collect();
        done.into_iter().collect()
    }

    fn fill(&self, job: Job<'_>) -> Result<(), SegmentError> {
        let Some(block) = self.tables.blocks.get(job.block) else { return Ok(()) };
        let (index, len) = (self.header.block_first(job.block), block.content as usize);
        let mut wants = job.wants;
        if let [(0, into)] = wants.as_mut_slice()
            && into.len() == len
        {
            return self.unpack(&block.place, Some(&self.dictionary), index, into);
        }
        let bytes = self.piece(job.block, &block.place, Some(&self.dictionary), index, len)?;
        for (from, into) in wants {
            into.copy_from_slice(bytes.get(from..from + into.len()).unwrap_or_default());
        }
        Ok(())
    }

    /// The headers of a group, [`GROUP_ROW`] bytes each.
    fn rows(&self, number: usize) -> Result<Arc<[u8]>, SegmentError> {
        let Some(group) = self.tables.groups.get(number) else { return Ok(Arc::default()) };
        let len = group.frames as usize * GROUP_ROW;
        let key = self.tables.blocks.len() + number;
        if let Some(rows) = self.cache.get((self.header.first, key)) {
            return Ok(rows);
        }
        let mut transposed = vec![0; len];
        self.unpack(&group.place, None, group.first, &mut transposed)?;
        let rows: Arc<[u8]> = transpose(&transposed, group.frames as usize).into();
        let next = self.tables.groups.get(number + 1);
        let (end, end_offset) = next.map_or((self.header.end, self.header.raw_len), |next| (next.first, next.offset));
        let headers = || rows.as_chunks::<GROUP_ROW>().0.iter().filter_map(|row| decode_row(row, group.first));
        let entries: u64 = headers().map(|header| u64::from(header.count)).sum();
        let bytes: u64 = headers().map(|header| header.len()).sum();
        if group.first + entries != end || group.offset + bytes != end_offset {
            return Err(self.damage(group.first, "frame headers do not add up to what their table says").into());
        }
        self.cache.put((self.header.first, key), rows.clone());
        Ok(rows)
    }

    fn piece(
        &self,
        number: usize,
        place: &Place,
        dictionary: Option<&Dictionary>,
        index: u64,
        len: usize,
    ) -> Result<Arc<[u8]>, SegmentError> {
        if let Some(bytes) = self.cache.get((self.header.first, number)) {
            return Ok(bytes);
        }
        let mut bytes = vec![0; len];
        self.unpack(place, dictionary, index, &mut bytes)?;
        let bytes: Arc<[u8]> = bytes.into();
        self.cache.put((self.header.first, number), bytes.clone());
        Ok(bytes)
    }

    fn unpack(
        &self,
        place: &Place,
        dictionary: Option<&Dictionary>,
        index: u64,
        into: &mut [u8],
    ) -> Result<(), SegmentError> {
        let frame = self.frame(place, index)?;
        if unpack(&frame, dictionary, into) {
            return Ok(());
        }
        Err(self.damage(index, "a zstd frame does not unpack to what its table says").into())
    }

    fn frame(&self, place: &Place, index: u64) -> Result<Vec<u8>, SegmentError> {
        let frame = self.file.read_vec(place.at, place.len as usize)?;
        if crc32fast::hash(&frame) == place.crc {
            return Ok(frame);
        }
        Err(self.damage(index, "a zstd frame is damaged").into())
    }

    fn damage(&self, index: u64, why: &'static str) -> Damage {
        Damage { file: self.path().to_owned(), index, why }
    }
}

/// What is left of a buffer that is filled from the front, and where in the raw segment it begins.
struct Rest<'a> {
    at: u64,
    buffer: &'a mut [u8],
}

impl<'a> Rest<'a> {
    /// The part of the buffer up to a place in the raw segment.
    fn take(&mut self, end: u64) -> &'a mut [u8] {
        let count = usize::try_from(end - self.at).unwrap_or(usize::MAX).min(self.buffer.len());
        let (now, later) = std::mem::take(&mut self.buffer).split_at_mut(count);
        self.at += count as u64;
        self.buffer = later;
        now
    }

    /// Fills up to the end of `bytes`, which stand at `start` in the raw segment.
    fn copy(&mut self, start: u64, bytes: &[u8]) {
        let from = usize::try_from(self.at - start).unwrap_or(usize::MAX);
        let into = self.take(start + bytes.len() as u64);
        into.copy_from_slice(bytes.get(from..from + into.len()).unwrap_or_default());
    }
}

/// A frame header without what follows from the others.
pub(super) fn encode_row(header: &FrameHeader) -> [u8; GROUP_ROW] {
    Put::new()
        .u32(header.count)
        .u32(header.parts)
        .u32(header.body_len)
        .u64(header.time_ms)
        .bytes(&header.root.0)
        .u32(header.body_crc)
        .done()
}

fn decode_row(row: &[u8; GROUP_ROW], first: u64) -> Option<FrameHeader> {
    let mut take = Take(row);
    let (count, parts, body_len) = (take.u32()?, take.u32()?, take.u32()?);
    let (time_ms, root, body_crc) = (take.u64()?, take.hash()?, take.u32()?);
    take.finish(FrameHeader { first, count, parts, body_len, time_ms, root, body_crc })
}

/// Turns rows into columns, or with the length of a column for that of a row, columns into rows.
pub(super) fn transpose(bytes: &[u8], row: usize) -> Vec<u8> {
    (0..row).flat_map(|column| bytes.iter().skip(column).step_by(row.max(1)).copied()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn transposing_there_and_back_changes_nothing() {
        let rows: Vec<u8> = (0..56 * 3).collect();
        let columns = transpose(&rows, 56);
        assert_eq!(columns[..4], [0, 56, 112, 1]);
        assert_eq!(transpose(&columns, 3), rows);
    }

    #[test]
    fn a_header_comes_back_from_its_row() {
        let header = FrameHeader {
            first: 9,
            count: 3,
            parts: 2,
            body_len: 77,
            time_ms: 5,
            root: verifier::hash::sha256(b"root"),
            body_crc: 8,
        };
        assert_eq!(decode_row(&encode_row(&header), 9), Some(header));
    }
}
