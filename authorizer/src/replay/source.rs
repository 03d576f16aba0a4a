//! Where a log is read from: a directory's own reader, or whatever else gives its entries.

use ledger::{MAX_ENTRIES, PrivateOwned, ReadError, Reader};
use rayon::prelude::*;
use verifier::decision::Detail;

/// One entry as a source has it.
#[derive(Clone, Debug)]
pub struct Stored {
    /// The leaf's bytes.
    pub leaf: Vec<u8>,
    /// A decision's private parts, where they can be had.
    pub private: Option<PrivateOwned>,
    /// Its detail alone, where the request was erased.
    pub detail: Option<Vec<u8>>,
    /// Some of its private parts were erased.
    pub erased: bool,
}

impl Stored {
    /// A decision's detail, where it can be had.
    pub(super) fn own_detail(&self) -> Option<Detail> {
        let bytes = self.private.as_ref().map(|private| &private.detail).or(self.detail.as_ref())?;
        Detail::decode(bytes).ok()
    }
}

/// Where a log is read from.
pub trait Source: Send + Sized {
    /// What went wrong with reading.
    type Error: Send;

    /// The entries `first..first + count`, all of them below the head.
    fn read(&mut self, first: u64, count: u64) -> Result<Vec<Stored>, Self::Error>;

    /// Another hand on the same entries, that reads ahead while those before are computed; `None` where there is one only.
    fn ahead(&self) -> Option<Self> {
        None
    }
}

impl Source for Reader {
    type Error = ReadError;

    fn ahead(&self) -> Option<Self> {
        Some(self.clone())
    }

    fn read(&mut self, first: u64, count: u64) -> Result<Vec<Stored>, ReadError> {
        let end = first.saturating_add(count);
        let mut leaves = Vec::new();
        while first + (leaves.len() as u64) < end {
            let next = first + leaves.len() as u64;
            leaves.extend(self.entries(next, MAX_ENTRIES.min(end - next))?);
        }
        let stored = leaves.into_par_iter().enumerate().map(|(place, leaf)| {
            let index = first + place as u64;
            match self.private(index) {
                Ok(private) => Ok(Stored { leaf, private: Some(private), detail: None, erased: false }),
                Err(ReadError::Lost { .. } | ReadError::NoPrivate { .. }) => {
                    Ok(Stored { leaf, private: None, detail: None, erased: false })
                }
                Err(ReadError::Erased { .. }) => {
                    Ok(Stored { leaf, private: None, detail: self.detail(index)?, erased: true })
                }
                Err(error) => Err(error),
            }
        });
        stored.collect()
    }
}
