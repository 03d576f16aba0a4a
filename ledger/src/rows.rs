//! `index/frames` and `index/positions`: where each frame and each 64th entry stands. Derived from journal and vault.
//!
//! ```text
//! index/frames, 64 bytes a frame                       index/positions, 8 bytes for each 64th entry
//!      0  8  first index                                    0  8  offset of its length prefix in its segment
//!      8  4  count
//!     12  4  length of the body
//!     16  8  time, Unix milliseconds
//!     24  8  journal segment (its first index)
//!     32  8  offset of the frame in it
//!     40  8  vault segment (its first index)
//!     48  8  offset of the vault frame, or where the next one would begin
//!     56  4  length of the vault frame; 0: none
//!     60  4  CRC-32 of all before
//! ```
//!
//! Why: every published head is one row, so the history of heads and the look-up of an entry are one binary search over a map; inside a
//! frame at most 63 entries are walked over. Written beside the hot path's syncs, never synced there.
//!
//! Guarantees: a row that is answered has a right checksum. Does not: know how many rows are published; the caller does.

use std::path::{Path, PathBuf};

use crate::bytes::{Put, Take, checked};
use crate::frame::FRAME_HEADER;
use crate::storage::{File, Files, IoFailure, Mode};

/// Each so many entries, one position is kept: at 256 B an entry, a look-up reads at most 16 KiB.
pub(crate) const STRIDE: u64 = 64;
const ROW: usize = 64;

/// One frame's whereabouts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Row {
    pub(crate) first: u64,
    pub(crate) count: u32,
    pub(crate) body_len: u32,
    pub(crate) time_ms: u64,
    pub(crate) segment: u64,
    pub(crate) offset: u64,
    pub(crate) vault_segment: u64,
    pub(crate) vault_offset: u64,
    pub(crate) vault_len: u32,
}

impl Row {
    pub(crate) fn encode(&self) -> [u8; ROW] {
        Put::new()
            .u64(self.first)
            .u32(self.count)
            .u32(self.body_len)
            .u64(self.time_ms)
            .u64(self.segment)
            .u64(self.offset)
            .u64(self.vault_segment)
            .u64(self.vault_offset)
            .u32(self.vault_len)
            .crc()
            .done()
    }

    pub(crate) fn decode(bytes: &[u8; ROW]) -> Option<Self> {
        let mut take = Take(checked(bytes)?);
        let row = Self {
            first: take.u64()?,
            count: take.u32()?,
            body_len: take.u32()?,
            time_ms: take.u64()?,
            segment: take.u64()?,
            offset: take.u64()?,
            vault_segment: take.u64()?,
            vault_offset: take.u64()?,
            vault_len: take.u32()?,
        };
        take.finish(row)
    }

    /// Size of the log after this frame.
    pub(crate) fn end(&self) -> u64 {
        self.first + u64::from(self.count)
    }

    /// Where the frame ends in its segment.
    pub(crate) fn end_offset(&self) -> u64 {
        self.body() + u64::from(self.body_len)
    }

    /// Where the body begins in its segment.
    pub(crate) fn body(&self) -> u64 {
        self.offset + FRAME_HEADER as u64
    }

    /// Where the vault ends after this frame: segment and offset.
    pub(crate) fn vault_end(&self) -> (u64, u64) {
        (self.vault_segment, self.vault_offset + u64::from(self.vault_len))
    }
}

/// Why a row or position cannot be had.
#[derive(Debug, thiserror::Error)]
pub(crate) enum RowError {
    #[error(transparent)]
    Io(#[from] IoFailure),
    #[error("`{file}` is damaged at row {row}", file = file.display())]
    Damaged { file: PathBuf, row: u64 },
}

/// Both files.
#[derive(Clone, Debug)]
pub(crate) struct Rows {
    frames: File,
    positions: File,
    files: Files,
    dir: PathBuf,
}

impl Rows {
    pub(crate) fn open(files: &Files, dir: &Path) -> Result<Self, IoFailure> {
        let frames = files.open_mapped(&dir.join("frames"), Mode::Write)?;
        let positions = files.open_mapped(&dir.join("positions"), Mode::Write)?;
        Ok(Self { frames, positions, files: files.clone(), dir: dir.to_owned() })
    }

    /// As [`Rows::open`], without making anything.
    pub(crate) fn for_reading(files: &Files, dir: &Path) -> Result<Self, IoFailure> {
        let frames = files.open_mapped(&dir.join("frames"), Mode::Read)?;
        let positions = files.open_mapped(&dir.join("positions"), Mode::Read)?;
        Ok(Self { frames, positions, files: files.clone(), dir: dir.to_owned() })
    }

    /// Makes the files hold exactly `frames` rows and the positions of `size` entries; `false` if they hold fewer.
    pub(crate) fn fit(&self, frames: u64, size: u64) -> Result<bool, IoFailure> {
        for (file, wanted) in [(&self.frames, frames * ROW as u64), (&self.positions, size.div_ceil(STRIDE) * 8)] {
            let len = file.len()?;
            if len < wanted {
                return Ok(false);
            }
            if len > wanted {
                file.truncate(wanted)?;
            }
        }
        Ok(true)
    }

    /// True if the files have `frames` rows and the positions of `size` entries, or more. Nothing is made or cut.
    pub(crate) fn hold(&self, frames: u64, size: u64) -> Result<bool, IoFailure> {
        Ok(self.frames.len()? >= frames * ROW as u64 && self.positions.len()? >= size.div_ceil(STRIDE) * 8)
    }

    /// Writes row number `number`, and the positions of its entries; `starts` tells where an entry's length prefix stands in the body.
    pub(crate) fn write(&self, number: u64, row: &Row, starts: impl Fn(usize) -> u64) -> Result<(), IoFailure> {
        let from = row.first.next_multiple_of(STRIDE);
        let mut positions = Vec::new();
        let mut index = from;
        while index < row.end() {
            let inside = usize::try_from(index - row.first).unwrap_or(usize::MAX);
            positions.extend_from_slice(&(row.body() + starts(inside)).to_be_bytes());
            index += STRIDE;
        }
        if !positions.is_empty() {
            self.positions.write_at(from / STRIDE * 8, &positions)?;
        }
        self.frames.write_at(number * ROW as u64, &row.encode())
    }

    /// Row number `number`.
    pub(crate) fn row(&self, number: u64) -> Result<Row, RowError> {
        let bytes = self.frames.read_array(number * ROW as u64)?;
        Row::decode(&bytes).ok_or_else(|| RowError::Damaged { file: self.frames.path().to_owned(), row: number })
    }

    /// The number of the row that holds an entry, among the first `frames` rows; `None` if none does.
    pub(crate) fn find(&self, index: u64, frames: u64) -> Result<Option<(u64, Row)>, RowError> {
        // The number of rows whose first index is at most `index`.
        let (mut low, mut high) = (0, frames);
        while low < high {
            let middle = low + (high - low) / 2;
            let first = u64::from_be_bytes(self.frames.read_array(middle * ROW as u64)?);
            if first <= index {
                low = middle + 1;
            } else {
                high = middle;
            }
        }
        let Some(number) = low.checked_sub(1) else { return Ok(None) };
        let row = self.row(number)?;
        Ok((index < row.end()).then_some((number, row)))
    }

    /// An entry at or before `index` in the same frame, and where its length prefix stands in the segment.
    pub(crate) fn nearest(&self, index: u64, row: &Row) -> Result<(u64, u64), IoFailure> {
        let marked = index / STRIDE * STRIDE;
        if marked <= row.first {
            return Ok((row.first, row.body()));
        }
        Ok((marked, self.position(marked)?))
    }

    /// Where the length prefix of an entry whose index is a multiple of [`STRIDE`] stands in its segment.
    pub(crate) fn position(&self, index: u64) -> Result<u64, IoFailure> {
        Ok(u64::from_be_bytes(self.positions.read_array(index / STRIDE * 8)?))
    }

    /// Makes both files and their names durable.
    pub(crate) fn sync(&self) -> Result<(), IoFailure> {
        self.frames.sync()?;
        self.positions.sync()?;
        self.files.sync_dir(&self.dir)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_row_reads_back_and_every_flipped_bit_is_refused() {
        let row = Row {
            first: 1,
            count: 2,
            body_len: 3,
            time_ms: 4,
            segment: 5,
            offset: 6,
            vault_segment: 7,
            vault_offset: 8,
            vault_len: 9,
        };
        assert_eq!(Row::decode(&row.encode()), Some(row));
        for bit in 0..ROW * 8 {
            let mut bytes = row.encode();
            bytes[bit / 8] ^= 1 << (bit % 8);
            assert_eq!(Row::decode(&bytes), None);
        }
    }
}
