//! The vault: salts and private parts of decisions, beside the log and never in it.
//!
//! ```text
//! vault frame, one for each journal frame that has decisions
//!      0      8  magic "ILVFRM01"
//!      8      8  first index of the journal frame
//!     16      4  count of its entries
//!     20      4  length of the body
//!     24  4 × n  where each entry's parts begin in the body; 0xffffffff: it has none
//!            4  CRC-32 of all before
//!               body: for each decision
//!                  1 flags (bit 0: disclosed) ‖ 4 request length ‖ 4 detail length ‖ 16 request salt ‖ 16 detail salt
//!                  ‖ request ‖ detail ‖ CRC-32 of all before
//! ```
//!
//! Why the table: parts of one decision are found without walking over those of others. Why a checksum for each decision: damage to one
//! loses one, and erasing one does not touch the others.
//!
//! Guarantees: private bytes that are returned are whole. That they are *the* bytes is for their commitments to say: SHA-256(salt ‖ part)
//! stands in the leaf. Does not: encrypt. The directory belongs to the operator.

use verifier::decision::commitment;
use verifier::hash::Hash;
use verifier::record::Record;

use crate::bytes::{Take, checked};
use crate::frame::MAX_BATCH_ENTRIES;

const MAGIC: &[u8; 8] = b"ILVFRM01";
/// Bytes of a vault frame before its table.
pub(crate) const VAULT_FIXED: usize = 24;
/// A batch has at most so many bytes of private parts: twice what four bodies of the largest kind (8 MiB) hold.
pub const MAX_BATCH_PRIVATE_BYTES: usize = 64 << 20;
/// In the table: the entry has no private parts.
pub(crate) const NO_PARTS: u32 = u32::MAX;
/// Bytes of one decision's parts beside the parts themselves.
const OVERHEAD: usize = 1 + 4 + 4 + 16 + 16 + 4;

const _: () = assert!(MAX_BATCH_PRIVATE_BYTES < NO_PARTS as usize);

/// The private parts of one decision on their way into the log.
#[derive(Clone, Copy, Debug)]
pub struct Private<'a> {
    /// The realm was `public` at that time: request and detail are served to anyone. Never widened later.
    pub disclosed: bool,
    /// Salt of the commitment to the request.
    pub request_salt: [u8; 16],
    /// The request's bytes as committed.
    pub request: &'a [u8],
    /// Salt of the commitment to the detail.
    pub detail_salt: [u8; 16],
    /// The detail's bytes.
    pub detail: &'a [u8],
}

/// The private parts of one decision, read back.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PrivateOwned {
    /// Served to anyone.
    pub disclosed: bool,
    /// Salt of the commitment to the request.
    pub request_salt: [u8; 16],
    /// The request's bytes as committed.
    pub request: Vec<u8>,
    /// Salt of the commitment to the detail.
    pub detail_salt: [u8; 16],
    /// The detail's bytes.
    pub detail: Vec<u8>,
}

impl From<Private<'_>> for PrivateOwned {
    fn from(private: Private<'_>) -> Self {
        let Private { disclosed, request_salt, request, detail_salt, detail } = private;
        Self { disclosed, request_salt, request: request.to_vec(), detail_salt, detail: detail.to_vec() }
    }
}

impl Private<'_> {
    /// True if both parts are those that the leaf commits to.
    pub(crate) fn matches(&self, request: &Hash, detail: &Hash) -> bool {
        commitment(&self.request_salt, self.request) == *request
            && commitment(&self.detail_salt, self.detail) == *detail
    }
}

impl PrivateOwned {
    /// True if both parts are those that the leaf commits to.
    pub fn matches(&self, request: &Hash, detail: &Hash) -> bool {
        let Self { disclosed, request_salt, request: sent, detail_salt, detail: told } = self;
        let private = Private {
            disclosed: *disclosed,
            request_salt: *request_salt,
            request: sent,
            detail_salt: *detail_salt,
            detail: told,
        };
        private.matches(request, detail)
    }

    /// True if these are the parts of the decision whose leaf this is.
    pub(crate) fn belongs_to(&self, leaf: &[u8]) -> bool {
        match Record::decode(leaf) {
            Ok(Record::Decision(decision)) => self.matches(&decision.request, &decision.detail),
            Ok(_) | Err(_) => false,
        }
    }
}

/// Bytes that parts take in a body.
pub(crate) fn encoded_len(private: &Private<'_>) -> usize {
    OVERHEAD + private.request.len() + private.detail.len()
}

/// Appends parts to a body and answers where they begin.
pub(crate) fn encode_parts(private: &Private<'_>, body: &mut Vec<u8>) -> u32 {
    let start = body.len();
    body.push(u8::from(private.disclosed));
    // The batch's limit keeps every length far below 2^32.
    for part in [private.request, private.detail] {
        body.extend_from_slice(&u32::try_from(part.len()).unwrap_or(u32::MAX).to_be_bytes());
    }
    body.extend_from_slice(&private.request_salt);
    body.extend_from_slice(&private.detail_salt);
    body.extend_from_slice(private.request);
    body.extend_from_slice(private.detail);
    let crc = crc32fast::hash(body.get(start..).unwrap_or_default());
    body.extend_from_slice(&crc.to_be_bytes());
    u32::try_from(start).unwrap_or(NO_PARTS)
}

/// Reads the parts that begin where `bytes` begin; what follows them is ignored. `None` unless they are whole.
pub(crate) fn decode_parts(bytes: &[u8]) -> Option<PrivateOwned> {
    borrow_parts(bytes).map(PrivateOwned::from)
}

/// As [`decode_parts`], without a copy.
pub(crate) fn borrow_parts(bytes: &[u8]) -> Option<Private<'_>> {
    let mut lengths = Take(bytes.get(1..9)?);
    let parts = (lengths.u32()? as usize).checked_add(lengths.u32()? as usize)?;
    let mut take = Take(checked(bytes.get(..OVERHEAD.checked_add(parts)?)?)?);
    let disclosed = match take.u8()? {
        0 => false,
        1 => true,
        _ => return None,
    };
    let (request_len, detail_len) = (take.u32()? as usize, take.u32()? as usize);
    let (request_salt, detail_salt) = (take.array()?, take.array()?);
    let (request, detail) = (take.slice(request_len)?, take.slice(detail_len)?);
    take.finish(Private { disclosed, request_salt, request, detail_salt, detail })
}

/// The fixed fields at the head of a vault frame, not yet checked against the table's checksum.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct VaultHeader {
    pub(crate) first: u64,
    pub(crate) count: u32,
    pub(crate) body_len: u32,
}

impl VaultHeader {
    /// `None` unless magic and limits hold.
    pub(crate) fn decode_fixed(bytes: &[u8; VAULT_FIXED]) -> Option<Self> {
        let mut take = Take(bytes);
        if take.array()? != *MAGIC {
            return None;
        }
        let header = Self { first: take.u64()?, count: take.u32()?, body_len: take.u32()? };
        let fits = (1..=MAX_BATCH_ENTRIES).contains(&(header.count as usize))
            && header.body_len as usize <= MAX_BATCH_PRIVATE_BYTES;
        take.finish(header).filter(|_| fits)
    }

    /// Bytes of fixed fields, table and checksum.
    pub(crate) fn head_len(&self) -> usize {
        VAULT_FIXED + 4 * self.count as usize + 4
    }

    /// Bytes of the whole frame.
    pub(crate) fn len(&self) -> u64 {
        self.head_len() as u64 + u64::from(self.body_len)
    }
}

/// Writes the head (fixed fields, table, checksum) of a vault frame.
pub(crate) fn encode_head(first: u64, table: &[u32], body_len: u32, out: &mut Vec<u8>) {
    out.clear();
    out.extend_from_slice(MAGIC);
    out.extend_from_slice(&first.to_be_bytes());
    out.extend_from_slice(&u32::try_from(table.len()).unwrap_or(u32::MAX).to_be_bytes());
    out.extend_from_slice(&body_len.to_be_bytes());
    for start in table {
        out.extend_from_slice(&start.to_be_bytes());
    }
    let crc = crc32fast::hash(out);
    out.extend_from_slice(&crc.to_be_bytes());
}

/// Reads a head of exactly `head_len` bytes with its table; `None` unless it is whole.
pub(crate) fn decode_head(bytes: &[u8]) -> Option<(VaultHeader, Vec<u32>)> {
    let header = VaultHeader::decode_fixed(bytes.first_chunk()?)?;
    let content = checked(bytes.get(..header.head_len()).filter(|head| head.len() == bytes.len())?)?;
    let (table, rest) = content.get(VAULT_FIXED..)?.as_chunks::<4>();
    rest.is_empty().then(|| (header, table.iter().map(|start| u32::from_be_bytes(*start)).collect()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sample<'a>() -> Private<'a> {
        Private { disclosed: true, request_salt: [1; 16], request: b"{}", detail_salt: [2; 16], detail: b"detail" }
    }

    #[test]
    fn private_parts_read_back_and_every_flipped_bit_is_refused() {
        let mut body = b"before".to_vec();
        let start = encode_parts(&sample(), &mut body) as usize;
        assert_eq!(body.len() - start, encoded_len(&sample()));
        let whole = &body[start..];
        let parts = decode_parts(whole).unwrap();
        assert!(parts.disclosed && parts.request == b"{}" && parts.detail == b"detail");
        for bit in 0..whole.len() * 8 {
            let mut flipped = whole.to_vec();
            flipped[bit / 8] ^= 1 << (bit % 8);
            assert_eq!(decode_parts(&flipped), None, "bit {bit}");
        }
    }

    #[test]
    fn a_vault_frames_head_reads_back_and_every_flipped_bit_is_refused() {
        let mut head = Vec::new();
        encode_head(9, &[0, NO_PARTS, 60], 120, &mut head);
        let (header, table) = decode_head(&head).unwrap();
        assert_eq!((header.first, header.count, header.body_len), (9, 3, 120));
        assert_eq!(table, [0, NO_PARTS, 60]);
        assert_eq!(header.head_len(), head.len());
        for bit in 0..head.len() * 8 {
            let mut flipped = head.clone();
            flipped[bit / 8] ^= 1 << (bit % 8);
            assert!(decode_head(&flipped).is_none(), "bit {bit}");
        }
    }
}
