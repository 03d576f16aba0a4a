//! What an opening makes of sealed segments before it believes anything else.
//!
//! Guarantees: of two forms of one segment the raw one goes only after all of it was compared once more; a log is not opened with a memory
//! that ends before what is sealed. Does not: read sealed segments whole; their readers find what is damaged.

use std::path::Path;

use super::is_same;
use crate::open::OpenError;
use crate::sealed::SegmentError;
use crate::segments::Segments;

/// Finishes a sealing that was interrupted when both forms of a segment stood there.
pub(crate) fn forms(journal: &Segments) -> Result<(), OpenError> {
    let raw = journal.list_raw()?;
    for first in journal.list_sealed()?.into_iter().filter(|first| raw.binary_search(first).is_ok()) {
        if !is_same(journal, first)? {
            let why = "its sealed form beside it holds something else; one of the two is damaged";
            return Err(OpenError::BrokenFrame { file: journal.path(first), offset: 0, index: first, why });
        }
        journal.drop_raw(first)?;
    }
    Ok(())
}

/// A segment is sealed only after entries of the next one were published: what is remembered (in the file `memory`, if there is one) does not
/// end before, and the next one is there.
pub(crate) fn check_followed(journal: &Segments, certain: u64, memory: Option<&Path>) -> Result<(), OpenError> {
    let Some(last) = journal.list_sealed()?.last().copied() else { return Ok(()) };
    let end = match journal.sealed(last) {
        Ok(sealed) => sealed.map_or(last, |sealed| sealed.end()),
        // Whoever comes to it finds it broken; how far it reaches cannot be told.
        Err(SegmentError::Damaged(_)) => last,
        Err(SegmentError::Io(failure)) => return Err(failure.into()),
    };
    if let Some(memory) = memory
        && certain <= end
    {
        return Err(OpenError::MemoryBehind { file: memory.to_owned(), remembered: certain, published: end + 1 });
    }
    if journal.list()?.last() == Some(&last) {
        let why = "the segment is missing";
        return Err(OpenError::BrokenFrame { file: journal.path(end), offset: 0, index: end, why });
    }
    Ok(())
}
