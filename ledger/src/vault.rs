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
//!                  1 flags (bit 0: disclosed; bit 1: request erased; bit 2: detail erased) ‖ 4 request length ‖ 4 detail length ‖ 16 request salt ‖ 16 detail salt
//!                  ‖ request ‖ detail ‖ CRC-32 of all before
//! ```
//!
//! An erased part has no bytes, and in the place of its salt the index of the `erasure` record, 8 bytes, and 8 zeros; what its bytes took is
//! zeros behind the checksum, so that nothing else moves.
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

/// What the vault has of one decision.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Found<'a> {
    /// Its parts; what is erased is empty.
    pub(crate) private: Private<'a>,
    /// What is erased: bit 0 the request, bit 1 the detail.
    pub(crate) erased: u64,
}

impl Found<'_> {
    /// True if all parts that are not erased are those that the leaf commits to.
    pub(crate) fn matches(&self, request: &Hash, detail: &Hash) -> bool {
        let Private { request_salt, request: sent, detail_salt, detail: told, .. } = &self.private;
        (self.erased & 1 != 0 || commitment(request_salt, sent) == *request)
            && (self.erased & 2 != 0 || commitment(detail_salt, told) == *detail)
    }

    /// True if these are what is left of the parts of the decision whose leaf this is.
    pub(crate) fn belongs_to(&self, leaf: &[u8]) -> bool {
        match Record::decode(leaf) {
            Ok(Record::Decision(decision)) => self.matches(&decision.request, &decision.detail),
            Ok(_) | Err(_) => false,
        }
    }

    /// The `erasure` records that the erased parts name, each with the bit that it must have.
    pub(crate) fn erasures(&self) -> impl Iterator<Item = (u64, u64)> {
        let salts = [(1, self.private.request_salt), (2, self.private.detail_salt)];
        let erased = self.erased;
        salts.into_iter().filter(move |(bit, _)| erased & bit != 0).map(|(bit, salt)| (bit, pointed(&salt)))
    }

    /// The same without some parts, which the record at `by` erases, in as many bytes.
    pub(crate) fn without(&self, parts: u64, by: u64) -> Vec<u8> {
        let Private { disclosed, mut request_salt, request, mut detail_salt, detail } = self.private;
        let gone = parts & !self.erased;
        if gone & 1 != 0 {
            request_salt = pointer(by);
        }
        if gone & 2 != 0 {
            detail_salt = pointer(by);
        }
        let erased = self.erased | parts;
        let left = |bit, part| if erased & bit != 0 { &[][..] } else { part };
        let left = Private { disclosed, request_salt, request: left(1, request), detail_salt, detail: left(2, detail) };
        let mut bytes = Vec::new();
        encode(&left, erased, &mut bytes);
        bytes.resize(encoded_len(&self.private), 0);
        bytes
    }
}

fn pointer(by: u64) -> [u8; 16] {
    (u128::from(by) << 64).to_be_bytes()
}

fn pointed(salt: &[u8; 16]) -> u64 {
    u64::try_from(u128::from_be_bytes(*salt) >> 64).unwrap_or(u64::MAX)
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
}

/// Bytes that parts take in a body.
pub(crate) fn encoded_len(private: &Private<'_>) -> usize {
    OVERHEAD + private.request.len() + private.detail.len()
}

/// Appends parts to a body and answers where they begin.
pub(crate) fn encode_parts(private: &Private<'_>, body: &mut Vec<u8>) -> u32 {
    encode(private, 0, body)
}

fn encode(private: &Private<'_>, erased: u64, body: &mut Vec<u8>) -> u32 {
    let start = body.len();
    body.push(u8::from(private.disclosed) | u8::try_from(erased << 1).unwrap_or(0));
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
pub(crate) fn borrow_parts(bytes: &[u8]) -> Option<Found<'_>> {
    let mut lengths = Take(bytes.get(1..9)?);
    let parts = (lengths.u32()? as usize).checked_add(lengths.u32()? as usize)?;
    let mut take = Take(checked(bytes.get(..OVERHEAD.checked_add(parts)?)?)?);
    let flags = take.u8()?;
    if flags > 7 {
        return None;
    }
    let (disclosed, erased) = (flags & 1 != 0, u64::from(flags >> 1));
    let (request_len, detail_len) = (take.u32()? as usize, take.u32()? as usize);
    let (request_salt, detail_salt) = (take.array()?, take.array()?);
    let (request, detail) = (take.slice(request_len)?, take.slice(detail_len)?);
    if (erased & 1 != 0 && !request.is_empty()) || (erased & 2 != 0 && !detail.is_empty()) {
        return None;
    }
    take.finish(Found { private: Private { disclosed, request_salt, request, detail_salt, detail }, erased })
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
        let Found { private, erased } = borrow_parts(whole).unwrap();
        assert!(erased == 0 && private.disclosed && private.request == b"{}" && private.detail == b"detail");
        for bit in 0..whole.len() * 8 {
            let mut flipped = whole.to_vec();
            flipped[bit / 8] ^= 1 << (bit % 8);
            assert!(borrow_parts(&flipped).is_none(), "bit {bit}");
        }
    }

    #[test]
    fn an_erased_part_leaves_no_byte_and_moves_nothing() {
        let mut whole = Vec::new();
        encode_parts(&sample(), &mut whole);
        let commits = |salt: [u8; 16], part: &[u8]| commitment(&salt, part);
        let (request, detail) = (commits([1; 16], b"{}"), commits([2; 16], b"detail"));
        let found = borrow_parts(&whole).unwrap();
        for (parts, by) in [(1, 700), (2, u64::MAX), (3, 0)] {
            let erased = found.without(parts, by);
            assert_eq!(erased.len(), whole.len());
            let left = borrow_parts(&erased).unwrap();
            assert!(left.erased == parts && left.matches(&request, &detail));
            assert!(left.erasures().all(|(bit, named)| parts & bit != 0 && named == by));
            for (bit, part, salt) in [(1, &b"{}"[..], [1; 16]), (2, b"detail", [2; 16])] {
                let there = |what: &[u8]| erased.windows(what.len()).any(|window| window == what);
                assert_eq!((there(part), there(&salt)), (parts & bit == 0, parts & bit == 0), "{parts} {bit}");
            }
        }
        // One after the other is as both at once, each under its own record.
        let both = borrow_parts(&found.without(1, 7)).unwrap().without(2, 9);
        let both = borrow_parts(&both).unwrap();
        assert_eq!((both.erased, both.erasures().collect::<Vec<_>>()), (3, vec![(1, 7), (2, 9)]));
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
