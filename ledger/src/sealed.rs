//! The sealed form of a journal segment: the same frames, compressed, each entry still to be had on its own.
//!
//! ```text
//! journal/<first index>.sealed
//! offset  bytes
//!      0      8  magic "ILSEAL01"
//!      8     32  log id
//!     40      8  first index
//!     48      8  first index of the segment that follows
//!     56      8  length of the raw segment
//!     64      4  frames in the raw segment
//!     68      4  length of the dictionary
//!     72     32  SHA-256 of the dictionary
//!    104      8  where the tables begin
//!    112      4  CRC-32 of the tables
//!    116      4  CRC-32 of all before
//!    120         the dictionary
//!                blocks: one zstd frame (RFC 8878) for each run of entries between two multiples of 256, made with the dictionary;
//!                  its content is count × (u16 length ‖ leaf), so a full one is an entry bundle (C2SP tlog-tiles)
//!                groups: one zstd frame, made without dictionary, for each 256 frame headers; its content is 56 bytes a header,
//!                  {4 count ‖ 4 private parts ‖ 4 length of the body ‖ 8 time ‖ 32 root ‖ 4 CRC-32 of the body}, transposed: the first
//!                  byte of every header, then the second of every header …
//!                tables, up to the end of the file
//!                  for each block  4 length ‖ 4 length of its content ‖ 4 CRC-32 of the zstd frame
//!                  for each group  4 length ‖ 4 entries of its frames ‖ 8 bytes of their bodies ‖ 4 CRC-32 of the zstd frame
//! ```
//!
//! What a raw segment holds beyond this (its header, magic, first index and checksum of each frame header) follows from the rest, so it
//! comes back byte for byte. How many blocks, groups and bytes of tables there are follows from the header.
//!
//! Why headers are transposed: counts and times compress byte by byte, roots not at all; 37 B a header where rows of 76 B take 43.
//!
//! Why the dictionary is raw content (no magic, no entropy tables): that is what `dcz` clients take it for (RFC 9842), and at 256 entries a
//! block tables of its own cost less than a byte an entry. It is trained on leaves of this log alone, which are public.
//!
//! Guarantees: a header or table that decodes is whole, of this log, and contradicts itself nowhere. Does not: know what a zstd frame holds;
//! `read.rs` does.

mod cache;
mod codec;
mod read;
#[cfg(test)]
pub(crate) mod sample;
mod write;

use verifier::hash::Hash;

use crate::bytes::{Put, Take, checked};
use crate::frame::FRAME_HEADER;
use crate::layout::SEGMENT_HEADER;

pub(crate) use cache::Cache;
pub use codec::Dictionary;
pub(crate) use read::{Damage, Sealed, SegmentError};
pub(crate) use write::{ENOUGH, Writer, train};

const MAGIC: &[u8; 8] = b"ILSEAL01";
/// Bytes of a sealed segment's header.
const HEADER: usize = 120;
/// Entries between two borders: a tlog-tiles entry bundle.
pub(crate) const BLOCK_ENTRIES: u64 = 256;
/// Frame headers in a group: 14 KiB, unpacked in some microseconds.
const GROUP_FRAMES: u32 = 256;
/// Bytes of a frame header in a group.
const GROUP_ROW: usize = 56;
/// Entries of the longest kind, each with its length: nothing is unpacked beyond.
const MAX_BLOCK: u32 = 256 * 65_537;
/// Sixteen times what is made; a dictionary is held in memory for each open segment.
const MAX_DICTIONARY: u32 = 64 << 10;
/// A raw segment is full at 64 MiB and may hold one batch (16 MiB) more; larger settings than this are left as they are.
pub(crate) const MAX_RAW: u64 = 1 << 30;
const BLOCK_ROW: usize = 12;
const GROUP_TABLE_ROW: usize = 20;

/// What the header of a sealed segment says, but for the log's id.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Header {
    first: u64,
    end: u64,
    raw_len: u64,
    frames: u32,
    dictionary_len: u32,
    dictionary: Hash,
    tables: u64,
    tables_crc: u32,
}

impl Header {
    fn encode(&self, log: &Hash) -> [u8; HEADER] {
        Put::new()
            .bytes(MAGIC)
            .bytes(&log.0)
            .u64(self.first)
            .u64(self.end)
            .u64(self.raw_len)
            .u32(self.frames)
            .u32(self.dictionary_len)
            .bytes(&self.dictionary.0)
            .u64(self.tables)
            .u32(self.tables_crc)
            .crc()
            .done()
    }

    /// `None` unless it is whole, of this log and first index, and within the limits.
    fn decode(bytes: &[u8; HEADER], log: &Hash, first: u64) -> Option<Self> {
        let mut take = Take(checked(bytes)?);
        if take.array()? != *MAGIC || take.hash()? != *log {
            return None;
        }
        let header = Self {
            first: take.u64()?,
            end: take.u64()?,
            raw_len: take.u64()?,
            frames: take.u32()?,
            dictionary_len: take.u32()?,
            dictionary: take.hash()?,
            tables: take.u64()?,
            tables_crc: take.u32()?,
        };
        let header = take.finish(header)?;
        let counts = header.first == first
            && header.first < header.end
            && header.end < 1 << 63
            && header.frames > 0
            && u64::from(header.frames) <= header.end - header.first
            && header.raw_len <= MAX_RAW
            && header.dictionary_len <= MAX_DICTIONARY
            && header.tables >= HEADER as u64 + u64::from(header.dictionary_len)
            && header.tables <= 2 * MAX_RAW;
        // Each entry has at least its length; so the raw length bounds everything that is counted.
        (counts && header.bodies()? / 2 >= header.end - header.first).then_some(header)
    }

    /// Bytes of all frames' bodies.
    fn bodies(&self) -> Option<u64> {
        self.raw_len.checked_sub(SEGMENT_HEADER + FRAME_HEADER as u64 * u64::from(self.frames))
    }

    fn blocks(&self) -> usize {
        usize::try_from(self.end.div_ceil(BLOCK_ENTRIES) - self.first / BLOCK_ENTRIES).unwrap_or(usize::MAX)
    }

    fn groups(&self) -> usize {
        self.frames.div_ceil(GROUP_FRAMES) as usize
    }

    fn tables_len(&self) -> usize {
        self.blocks() * BLOCK_ROW + self.groups() * GROUP_TABLE_ROW
    }

    /// The first index in a block.
    fn block_first(&self, number: usize) -> u64 {
        self.first.max((self.first / BLOCK_ENTRIES + number as u64) * BLOCK_ENTRIES)
    }
}

/// Where a zstd frame stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Place {
    at: u64,
    len: u32,
    crc: u32,
}

/// A run of entries.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Block {
    place: Place,
    /// Bytes of all blocks before.
    stream: u64,
    content: u32,
}

/// A run of frame headers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Group {
    place: Place,
    /// Index of the first entry of its first frame.
    first: u64,
    /// Where its first frame stands in the raw segment.
    offset: u64,
    frames: u32,
}

/// Both tables.
#[derive(Debug, PartialEq, Eq)]
struct Tables {
    blocks: Vec<Block>,
    groups: Vec<Group>,
}

/// A row of the table of blocks.
fn block_row(len: u32, content: u32, crc: u32) -> [u8; BLOCK_ROW] {
    Put::new().u32(len).u32(content).u32(crc).done()
}

/// A row of the table of groups.
fn group_row(len: u32, entries: u32, bodies: u64, crc: u32) -> [u8; GROUP_TABLE_ROW] {
    Put::new().u32(len).u32(entries).u64(bodies).u32(crc).done()
}

impl Tables {
    /// Reads both tables; `None` unless they have the right checksum and add up to what the header says.
    fn decode(bytes: &[u8], header: &Header) -> Option<Self> {
        if bytes.len() != header.tables_len() || crc32fast::hash(bytes) != header.tables_crc {
            return None;
        }
        let mut take = Take(bytes);
        let mut at = HEADER as u64 + u64::from(header.dictionary_len);
        let mut stream = 0;
        let mut blocks = Vec::with_capacity(header.blocks());
        for number in 0..header.blocks() {
            let (len, content, crc) = (take.u32()?, take.u32()?, take.u32()?);
            let entries = header.block_first(number + 1).min(header.end) - header.block_first(number);
            if content > MAX_BLOCK || u64::from(content) < 2 * entries {
                return None;
            }
            blocks.push(Block { place: Place { at, len, crc }, stream, content });
            at += u64::from(len);
            stream += u64::from(content);
        }
        let (mut first, mut offset, mut left) = (header.first, SEGMENT_HEADER, header.frames);
        let mut groups = Vec::with_capacity(header.groups());
        for _ in 0..header.groups() {
            let (len, entries, bodies, crc) = (take.u32()?, take.u32()?, take.u64()?, take.u32()?);
            let frames = left.min(GROUP_FRAMES);
            groups.push(Group { place: Place { at, len, crc }, first, offset, frames });
            at += u64::from(len);
            first += u64::from(entries);
            offset = offset.checked_add(FRAME_HEADER as u64 * u64::from(frames))?.checked_add(bodies)?;
            left -= frames;
        }
        let adds_up = at == header.tables
            && first == header.end
            && offset == header.raw_len
            && Some(stream) == header.bodies()
            && left == 0;
        take.finish(Self { blocks, groups }).filter(|_| adds_up)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use verifier::hash::sha256;

    fn header() -> Header {
        Header {
            first: 250,
            end: 600,
            raw_len: 64 + 76 * 3 + 5000,
            frames: 3,
            dictionary_len: 9,
            dictionary: sha256(b"words"),
            tables: 120 + 9 + 70 + 80 + 60 + 40,
            tables_crc: crc32fast::hash(&tables()),
        }
    }

    /// Blocks of indexes 250–255, 256–511, 512–599; one group of three headers.
    fn tables() -> Vec<u8> {
        let blocks = [(70, 100), (80, 4000), (60, 900)].map(|(len, content)| block_row(len, content, 7)).concat();
        [blocks, group_row(40, 350, 5000, 8).to_vec()].concat()
    }

    #[test]
    fn the_bytes_of_a_sealed_header_are_pinned() {
        let bytes = header().encode(&sha256(b"log"));
        let wanted = "494c5345414c3031".to_owned()
            + &verifier::text::hex(&sha256(b"log").0)
            + "00000000000000fa 0000000000000258 00000000000014ac 00000003 00000009".replace(' ', "").as_str()
            + &verifier::text::hex(&sha256(b"words").0)
            + "000000000000017b 6bee2360 d289f5a1".replace(' ', "").as_str();
        assert_eq!(verifier::text::hex(&bytes), wanted);
        assert_eq!(Header::decode(&bytes, &sha256(b"log"), 250), Some(header()));
    }

    #[test]
    fn the_bytes_of_the_tables_are_pinned() {
        let wanted = "00000046 00000064 00000007 00000050 00000fa0 00000007 0000003c 00000384 00000007 00000028 0000015e 0000000000001388 00000008";
        assert_eq!(verifier::text::hex(&tables()), wanted.replace(' ', ""));
    }

    #[test]
    fn a_sealed_header_of_another_log_or_place_or_with_a_flipped_bit_is_refused() {
        let log = sha256(b"log");
        let bytes = header().encode(&log);
        assert_eq!(Header::decode(&bytes, &sha256(b"other"), 250), None);
        assert_eq!(Header::decode(&bytes, &log, 251), None);
        for bit in 0..HEADER * 8 {
            let mut flipped = bytes;
            flipped[bit / 8] ^= 1 << (bit % 8);
            assert_eq!(Header::decode(&flipped, &log, 250), None, "bit {bit}");
        }
    }

    #[test]
    fn a_sealed_header_beyond_the_limits_is_refused() {
        let log = sha256(b"log");
        for header in [
            Header { end: 250, ..header() },
            Header { end: u64::MAX, ..header() },
            Header { end: 250 + 2501, ..header() },
            Header { frames: 0, ..header() },
            Header { frames: 351, ..header() },
            Header { raw_len: 64 + 76 * 2, ..header() },
            Header { raw_len: MAX_RAW + 1, ..header() },
            Header { dictionary_len: MAX_DICTIONARY + 1, ..header() },
            Header { tables: 128, ..header() },
            Header { tables: u64::MAX, ..header() },
        ] {
            assert_eq!(Header::decode(&header.encode(&log), &log, 250), None, "{header:?}");
        }
    }

    #[test]
    fn tables_say_where_everything_stands() {
        let tables = Tables::decode(&tables(), &header()).unwrap();
        let blocks: Vec<_> = tables.blocks.iter().map(|block| (block.place.at, block.stream, block.content)).collect();
        assert_eq!(blocks, [(129, 0, 100), (199, 100, 4000), (279, 4100, 900)]);
        let group = Group { place: Place { at: 339, len: 40, crc: 8 }, first: 250, offset: 64, frames: 3 };
        assert_eq!(tables.groups, [group]);
        assert_eq!([0, 1, 2].map(|number| header().block_first(number)), [250, 256, 512]);
    }

    #[test]
    fn tables_that_do_not_add_up_are_refused_though_their_checksum_is_right() {
        for (row, value) in [(0, 71), (1, 101), (1, 11), (4, MAX_BLOCK + 1), (9, 41), (10, 351), (12, 5001)] {
            let mut bytes = tables();
            bytes[4 * row..4 * row + 4].copy_from_slice(&u32::to_be_bytes(value));
            let header = Header { tables_crc: crc32fast::hash(&bytes), ..header() };
            assert_eq!(Tables::decode(&bytes, &header), None, "{row}: {value}");
        }
        assert_eq!(Tables::decode(&tables()[1..], &header()), None);
    }

    #[test]
    fn every_flipped_bit_of_the_tables_is_refused() {
        let bytes = tables();
        for bit in 0..bytes.len() * 8 {
            let mut flipped = bytes.clone();
            flipped[bit / 8] ^= 1 << (bit % 8);
            assert_eq!(Tables::decode(&flipped, &header()), None, "bit {bit}");
        }
    }
}
