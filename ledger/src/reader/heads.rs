//! The history of heads: every one that was published, signed again from its frame.
//!
//! Guarantees: nothing is signed but the root that the frame itself states and the tree confirms; an archive, which has no key, gives its last
//! head as it was signed and no other. Does not: keep heads; Ed25519 signatures are deterministic, so each comes out byte for byte as it was.

use verifier::hash::EMPTY_ROOT;

use super::{MAX_ENTRIES, ReadError, Reader};
use crate::frame::FrameHeader;
use crate::head::Head;
use crate::rows::Row;

impl Reader {
    /// The head of this size, if one was ever published. An archive has the last one only: [`ReadError::Unsigned`] for those before.
    pub fn head_at(&self, size: u64) -> Result<Option<Head>, ReadError> {
        let published = self.published();
        if size > published.head.checkpoint.size {
            return Ok(None);
        }
        if size == published.head.checkpoint.size {
            return Ok(Some((*published.head).clone()));
        }
        match size.checked_sub(1) {
            None => {
                let created_ms = self.shared.identity.created_ms;
                Ok(Some(Head::sign(self.shared.signer(0)?, 0, EMPTY_ROOT, created_ms)))
            }
            Some(last) => match self.find(last, &published)?.1 {
                row if row.end() == size => self.head_of(&row).map(Some),
                _ => Ok(None),
            },
        }
    }

    /// The head that was published with a frame, signed again. The tree is derived and may be damaged: nothing is ever signed but the root
    /// that the frame itself states and the tree confirms.
    fn head_of(&self, row: &Row) -> Result<Head, ReadError> {
        let size = row.end();
        let signer = self.shared.signer(size)?;
        let file = self.shared.journal.reading(row.segment)?;
        let header = FrameHeader::decode(&file.read_array(row.offset)?);
        match header.filter(|header| header.end() == size && header.time_ms == row.time_ms) {
            Some(header) if header.root == self.root_at(size)? => {
                Ok(Head::sign(signer, size, header.root, row.time_ms))
            }
            Some(_) => Err(ReadError::Contradiction { index: row.first }),
            None => Err(self.damaged(row.first)),
        }
    }

    /// The published heads of sizes from `from` to `to`, ascending, at most `limit` and [`MAX_ENTRIES`] of them. An archive has its last
    /// one only.
    pub fn heads(&self, from: u64, to: u64, limit: usize) -> Result<Vec<Head>, ReadError> {
        let published = self.published();
        if self.shared.signer.is_none() {
            let size = published.head.checkpoint.size;
            let asked = (from..=to).contains(&size) && limit > 0;
            return Ok(asked.then(|| (*published.head).clone()).into_iter().collect());
        }
        let to = to.min(published.head.checkpoint.size);
        let limit = limit.min(usize::try_from(MAX_ENTRIES).unwrap_or(usize::MAX));
        let mut heads = Vec::new();
        if from > to || limit == 0 {
            return Ok(heads);
        }
        if from == 0 {
            heads.extend(self.head_at(0)?);
        }
        // The first head at or above `from` is that of the frame which holds entry `from - 1`.
        let mut number = match from.saturating_sub(1) {
            index if index < published.head.checkpoint.size => self.find(index, &published)?.0,
            _ => published.frames,
        };
        while heads.len() < limit && number < published.frames {
            let row = self.shared.rows.row(number)?;
            if row.end() > to {
                break;
            }
            heads.push(self.head_of(&row)?);
            number += 1;
        }
        Ok(heads)
    }
}
