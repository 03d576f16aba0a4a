//! Bundles as they stand compressed in sealed segments, for clients that have their dictionary.
//!
//! Guarantees: what is given unpacks to the bundle whose leaves are those of the tree. Does not: negotiate; that is HTTP's.

use std::sync::Arc;

use verifier::tile::FULL_WIDTH;

use crate::reader::{ReadError, Reader};
use crate::sealed::Dictionary;
use crate::segments::Segment;

/// A full entry bundle (C2SP tlog-tiles) as it stands in a sealed segment.
#[derive(Clone, Debug)]
pub struct StoredBundle {
    /// One zstd frame (RFC 8878) made with the dictionary as raw content. Behind the 40 bytes that name the dictionary it is the body of a
    /// `dcz` answer (RFC 9842 §5).
    pub zstd: Vec<u8>,
    /// What it was made with.
    pub dictionary: Arc<Dictionary>,
}

impl Reader {
    /// The full bundle of this number as it stands, if all of it is in one sealed segment.
    ///
    /// # Errors
    /// As [`Reader::bundle`]: what does not unpack to the leaves of the tree is not given.
    pub fn stored_bundle(&self, bundle: u64) -> Result<Option<StoredBundle>, ReadError> {
        let width = u64::from(FULL_WIDTH);
        let Some(first) = bundle.checked_mul(width).filter(|first| *first < self.size()) else { return Ok(None) };
        let Segment::Sealed(sealed) = self.shared.journal.reading(self.segment_of(first)?)? else { return Ok(None) };
        let Some(zstd) = sealed.stored_bundle(bundle)? else { return Ok(None) };
        let dictionary = sealed.dictionary().clone();
        if dictionary.unpacks_to(&zstd, &self.believed_run(first, width)?) {
            Ok(Some(StoredBundle { zstd, dictionary }))
        } else {
            Err(ReadError::Damaged { file: sealed.path().to_owned(), index: first })
        }
    }

    /// The dictionary of the newest sealed segment; `None` while none is sealed. Older segments mostly have the same one.
    pub fn newest_dictionary(&self) -> Result<Option<Arc<Dictionary>>, ReadError> {
        let journal = &self.shared.journal;
        let Some(newest) = journal.list_sealed()?.last().copied() else { return Ok(None) };
        Ok(journal.sealed(newest)?.map(|sealed| sealed.dictionary().clone()))
    }
}
