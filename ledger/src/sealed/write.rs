//! Writes a sealed segment: frames in, blocks, groups, tables and header out.
//!
//! Guarantees: nothing that was written is a sealed segment before [`Writer::finish`], which writes the header last. Does not: sync, name,
//! check or swap anything; `seal.rs` does.

use std::io;
use std::sync::Arc;

use verifier::hash::Hash;
use zstd::bulk::Compressor;

use super::codec::{Dictionary, SAMPLES, compressor};
use super::read::{encode_row, transpose};
use super::{BLOCK_ENTRIES, GROUP_FRAMES, GROUP_ROW, HEADER, Header, block_row, group_row};
use crate::frame::{FRAME_HEADER, FrameHeader};
use crate::layout::SEGMENT_HEADER;
use crate::scan::Frame;
use crate::storage::{File, IoFailure};

/// A sealed segment that grows.
pub(crate) struct Writer {
    file: File,
    log: Hash,
    first: u64,
    /// Index of the next entry.
    next: u64,
    frames: u32,
    bodies: u64,
    dictionary: Arc<Dictionary>,
    packing: Compressor<'static>,
    packing_headers: Compressor<'static>,
    /// The block under way.
    block: Vec<u8>,
    /// The group under way.
    group: Vec<u8>,
    group_entries: u32,
    group_bodies: u64,
    /// All groups that are complete, and the rows of both tables.
    groups: Vec<u8>,
    block_rows: Vec<u8>,
    group_rows: Vec<u8>,
    /// Where the next zstd frame will stand.
    at: u64,
}

/// Learns a dictionary from the entries of frames.
pub(crate) fn train<'a>(frames: impl Iterator<Item = &'a Frame>) -> Option<Arc<Dictionary>> {
    let (mut bytes, mut lengths) = (Vec::new(), Vec::new());
    for frame in frames {
        for leaf in &frame.leaves {
            let entry = frame.body.get(leaf.start - 2..leaf.end).unwrap_or_default();
            if bytes.len() + entry.len() > SAMPLES {
                break;
            }
            bytes.extend_from_slice(entry);
            lengths.push(entry.len());
        }
    }
    Dictionary::train(&bytes, &lengths).map(Arc::new)
}

/// Entries of so many bytes are enough to train on.
pub(crate) const ENOUGH: usize = SAMPLES;

impl Writer {
    /// Begins the sealed segment of a first index in an empty file.
    pub(crate) fn begin(file: File, log: Hash, first: u64, dictionary: Arc<Dictionary>) -> Result<Self, IoFailure> {
        let packed = |error: io::Error| IoFailure::new("compress into", file.path(), error);
        let packing = compressor(Some(&dictionary)).map_err(packed)?;
        let packing_headers = compressor(None).map_err(packed)?;
        file.write_at(HEADER as u64, dictionary.bytes())?;
        Ok(Self {
            at: (HEADER + dictionary.bytes().len()) as u64,
            file,
            log,
            first,
            next: first,
            frames: 0,
            bodies: 0,
            dictionary,
            packing,
            packing_headers,
            block: Vec::new(),
            group: Vec::new(),
            group_entries: 0,
            group_bodies: 0,
            groups: Vec::new(),
            block_rows: Vec::new(),
            group_rows: Vec::new(),
        })
    }

    /// Index of the next entry.
    pub(crate) fn next(&self) -> u64 {
        self.next
    }

    /// Entries that the block under way still takes.
    pub(crate) fn room(&self) -> u64 {
        BLOCK_ENTRIES - self.next % BLOCK_ENTRIES
    }

    /// The header of the next frame.
    pub(crate) fn header(&mut self, header: &FrameHeader) -> Result<(), IoFailure> {
        self.frames += 1;
        self.bodies += u64::from(header.body_len);
        self.group.extend_from_slice(&encode_row(header));
        self.group_entries += header.count;
        self.group_bodies += u64::from(header.body_len);
        if self.group.len() == GROUP_FRAMES as usize * GROUP_ROW { self.end_group() } else { Ok(()) }
    }

    /// The next `count` entries in bundle form, none of them beyond the block under way. `true` if that is complete.
    pub(crate) fn entries(&mut self, bytes: &[u8], count: u64) -> Result<bool, IoFailure> {
        assert!(self.next % BLOCK_ENTRIES + count <= BLOCK_ENTRIES, "a block ends where a bundle ends");
        self.block.extend_from_slice(bytes);
        self.next += count;
        let complete = self.next.is_multiple_of(BLOCK_ENTRIES);
        if complete {
            self.end_block()?;
        }
        Ok(complete)
    }

    /// Ends what is under way and writes tables and header.
    pub(crate) fn finish(mut self) -> Result<(), IoFailure> {
        if !self.block.is_empty() {
            self.end_block()?;
        }
        if !self.group.is_empty() {
            self.end_group()?;
        }
        self.file.write_at(self.at, &self.groups)?;
        let tables = [self.block_rows, self.group_rows].concat();
        let header = Header {
            first: self.first,
            end: self.next,
            raw_len: SEGMENT_HEADER + FRAME_HEADER as u64 * u64::from(self.frames) + self.bodies,
            frames: self.frames,
            dictionary_len: u32::try_from(self.dictionary.bytes().len()).unwrap_or(u32::MAX),
            dictionary: self.dictionary.sha256(),
            tables: self.at + self.groups.len() as u64,
            tables_crc: crc32fast::hash(&tables),
        };
        self.file.write_at(header.tables, &tables)?;
        self.file.write_at(0, &header.encode(&self.log))
    }

    fn end_block(&mut self) -> Result<(), IoFailure> {
        let packed = pack(&mut self.packing, &self.block, &self.file)?;
        let (len, crc) = (length(&packed), crc32fast::hash(&packed));
        self.block_rows.extend_from_slice(&block_row(len, length(&self.block), crc));
        self.file.write_at(self.at, &packed)?;
        self.at += packed.len() as u64;
        self.block.clear();
        Ok(())
    }

    fn end_group(&mut self) -> Result<(), IoFailure> {
        let packed = pack(&mut self.packing_headers, &transpose(&self.group, GROUP_ROW), &self.file)?;
        let (len, crc) = (length(&packed), crc32fast::hash(&packed));
        self.group_rows.extend_from_slice(&group_row(len, self.group_entries, self.group_bodies, crc));
        self.groups.extend_from_slice(&packed);
        self.group.clear();
        (self.group_entries, self.group_bodies) = (0, 0);
        Ok(())
    }
}

fn pack(packing: &mut Compressor<'static>, bytes: &[u8], file: &File) -> Result<Vec<u8>, IoFailure> {
    packing.compress(bytes).map_err(|error| IoFailure::new("compress into", file.path(), error))
}

/// A block's limits keep every length far below 2^32.
fn length(bytes: &[u8]) -> u32 {
    u32::try_from(bytes.len()).unwrap_or(u32::MAX)
}
