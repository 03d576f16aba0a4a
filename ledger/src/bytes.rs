//! Reading and writing our own big-endian disk formats without ever running over.

use verifier::hash::Hash;

/// Takes fixed-width values off the front of a slice; `None` once it is too short.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Take<'a>(pub(crate) &'a [u8]);

impl<'a> Take<'a> {
    pub(crate) fn array<const N: usize>(&mut self) -> Option<[u8; N]> {
        let (head, rest) = self.0.split_first_chunk()?;
        self.0 = rest;
        Some(*head)
    }

    pub(crate) fn slice(&mut self, len: usize) -> Option<&'a [u8]> {
        let (head, rest) = self.0.split_at_checked(len)?;
        self.0 = rest;
        Some(head)
    }

    pub(crate) fn u8(&mut self) -> Option<u8> {
        self.array().map(u8::from_be_bytes)
    }

    pub(crate) fn u32(&mut self) -> Option<u32> {
        self.array().map(u32::from_be_bytes)
    }

    pub(crate) fn u64(&mut self) -> Option<u64> {
        self.array().map(u64::from_be_bytes)
    }

    pub(crate) fn hash(&mut self) -> Option<Hash> {
        self.array().map(Hash)
    }

    /// The value is complete only if nothing is left.
    pub(crate) fn finish<T>(self, value: T) -> Option<T> {
        self.0.is_empty().then_some(value)
    }
}

/// Puts values one after the other into an array of exactly their total length.
#[derive(Debug)]
pub(crate) struct Put<const N: usize> {
    bytes: [u8; N],
    at: usize,
}

impl<const N: usize> Put<N> {
    pub(crate) fn new() -> Self {
        Self { bytes: [0; N], at: 0 }
    }

    pub(crate) fn bytes(mut self, value: &[u8]) -> Self {
        let stop = self.at + value.len();
        let place = self.bytes.get_mut(self.at..stop);
        assert!(place.is_some(), "a fixed layout takes what its length says");
        if let Some(place) = place {
            place.copy_from_slice(value);
        }
        self.at = stop;
        self
    }

    pub(crate) fn u32(self, value: u32) -> Self {
        self.bytes(&value.to_be_bytes())
    }

    pub(crate) fn u64(self, value: u64) -> Self {
        self.bytes(&value.to_be_bytes())
    }

    /// Appends the CRC-32 of all before it.
    pub(crate) fn crc(self) -> Self {
        let crc = crc32fast::hash(self.bytes.get(..self.at).unwrap_or_default());
        self.u32(crc)
    }

    pub(crate) fn done(self) -> [u8; N] {
        assert_eq!(self.at, N, "a fixed layout is filled to its end");
        self.bytes
    }
}

/// Splits off and checks the CRC-32 that [`Put::crc`] wrote at the end.
pub(crate) fn checked(bytes: &[u8]) -> Option<&[u8]> {
    let (content, crc) = bytes.split_last_chunk::<4>()?;
    (crc32fast::hash(content) == u32::from_be_bytes(*crc)).then_some(content)
}
