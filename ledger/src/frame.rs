//! The frame: one batch in the journal, and with its checksum and root all that is needed to believe it.
//!
//! ```text
//! offset  bytes
//!      0      8  magic "ILFRAME1"
//!      8      8  first index
//!     16      4  count of entries, at least 1
//!     20      4  how many of them have private parts; if any, the vault has a frame of the same first index
//!     24      4  length of the body
//!     28      8  time, Unix milliseconds; never below that of the frame before
//!     36     32  root of the tree after this frame
//!     68      4  CRC-32 of the body
//!     72      4  CRC-32 of the 72 bytes before
//!     76         body: count × (u16 length ‖ leaf), the form of a tlog-tiles entry bundle
//! ```
//!
//! Guarantees: a header that decodes is whole and within the limits. Does not: say that a frame was ever published; a valid checksum is
//! not a commit (DESIGN §6), only the remembered head is.

use std::ops::Range;

use verifier::hash::Hash;

use crate::bytes::{Put, Take, checked};

const MAGIC: &[u8; 8] = b"ILFRAME1";
/// Bytes of a frame's header.
pub(crate) const FRAME_HEADER: usize = 76;
/// A batch has at most so many entries: 16 request bodies of the largest kind (4,096).
pub const MAX_BATCH_ENTRIES: usize = 65_536;
/// A batch has at most so many bytes of entries with their lengths: two request bodies of the largest kind (8 MiB), so that recovery and
/// audit can hold a frame in memory.
pub const MAX_BATCH_BYTES: usize = 16 << 20;

const _: () = assert!(MAX_BATCH_BYTES <= u32::MAX as usize, "lengths are 32 bits");
const _: () = assert!(MAX_BATCH_ENTRIES <= u32::MAX as usize, "counts are 32 bits");

/// A decoded frame header.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct FrameHeader {
    pub(crate) first: u64,
    pub(crate) count: u32,
    pub(crate) parts: u32,
    pub(crate) body_len: u32,
    pub(crate) time_ms: u64,
    pub(crate) root: Hash,
    pub(crate) body_crc: u32,
}

impl FrameHeader {
    pub(crate) fn encode(&self) -> [u8; FRAME_HEADER] {
        Put::new()
            .bytes(MAGIC)
            .u64(self.first)
            .u32(self.count)
            .u32(self.parts)
            .u32(self.body_len)
            .u64(self.time_ms)
            .bytes(&self.root.0)
            .u32(self.body_crc)
            .crc()
            .done()
    }

    /// `None` unless the header is whole and within the limits.
    pub(crate) fn decode(bytes: &[u8; FRAME_HEADER]) -> Option<Self> {
        let mut take = Take(checked(bytes)?);
        if take.array()? != *MAGIC {
            return None;
        }
        let header = Self {
            first: take.u64()?,
            count: take.u32()?,
            parts: take.u32()?,
            body_len: take.u32()?,
            time_ms: take.u64()?,
            root: take.hash()?,
            body_crc: take.u32()?,
        };
        let header = take.finish(header)?;
        let fits = (1..=MAX_BATCH_ENTRIES).contains(&(header.count as usize))
            && header.parts <= header.count
            && header.body_len as usize <= MAX_BATCH_BYTES
            && header.first.checked_add(u64::from(header.count)).is_some_and(|end| end < 1 << 63);
        fits.then_some(header)
    }

    /// The size of the log after this frame.
    pub(crate) fn end(&self) -> u64 {
        self.first + u64::from(self.count)
    }

    /// Bytes of header and body.
    pub(crate) fn len(&self) -> u64 {
        FRAME_HEADER as u64 + u64::from(self.body_len)
    }
}

/// Where each entry of a body stands, without its length prefix; `None` unless the body is exactly `count` entries.
pub(crate) fn split_body(body: &[u8], count: u32) -> Option<Vec<Range<usize>>> {
    split_body_beside(body, count, |_| {})
}

/// Bytes that a walk over a body hands to somebody else before it goes over them: few enough to be still in the first cache, since each
/// entry's length is known only once the one before it was read.
const PIECE: usize = 16 << 10;

/// As [`split_body`]; `beside` gets all of the body, piece by piece, each shortly before it is walked over.
pub(crate) fn split_body_beside(body: &[u8], count: u32, mut beside: impl FnMut(&[u8])) -> Option<Vec<Range<usize>>> {
    // Whoever states a count that its body cannot hold reserves nothing for it.
    let mut ranges = Vec::with_capacity((count as usize).min(body.len() / 2));
    let (mut at, mut end, mut whole) = (0, 0, true);
    for piece in body.chunks(PIECE) {
        beside(piece);
        end += piece.len();
        // A length that stands across two pieces is read with the first.
        while whole && at < end {
            let length = body.get(at..).and_then(|rest| rest.first_chunk());
            let entry = length.map(|length| at + 2..at + 2 + usize::from(u16::from_be_bytes(*length)));
            match entry.filter(|entry| entry.end <= body.len()) {
                Some(entry) => {
                    at = entry.end;
                    ranges.push(entry);
                }
                None => whole = false,
            }
        }
    }
    (whole && ranges.len() == count as usize).then_some(ranges)
}

#[cfg(test)]
mod tests {
    use super::*;
    use verifier::hash::sha256;

    fn sample() -> FrameHeader {
        FrameHeader {
            first: 7,
            count: 2,
            parts: 1,
            body_len: 9,
            time_ms: 1_790_000_000_123,
            root: sha256(b"r"),
            body_crc: 5,
        }
    }

    #[test]
    fn a_frame_header_reads_back() {
        assert_eq!(FrameHeader::decode(&sample().encode()), Some(sample()));
    }

    #[test]
    fn the_bytes_of_a_frame_header_are_pinned() {
        let hex = verifier::text::hex(&sample().encode());
        assert_eq!(
            hex,
            "494c4652414d4531 0000000000000007 00000002 00000001 00000009 000001a0c4506c7b".replace(' ', "")
                + &verifier::text::hex(&sha256(b"r").0)
                + "00000005"
                + hex.get(144..).unwrap()
        );
    }

    #[test]
    fn every_flipped_bit_of_a_frame_header_is_refused() {
        for bit in 0..FRAME_HEADER * 8 {
            let mut bytes = sample().encode();
            bytes[bit / 8] ^= 1 << (bit % 8);
            assert_eq!(FrameHeader::decode(&bytes), None, "bit {bit}");
        }
    }

    #[test]
    fn a_header_beyond_the_limits_is_refused() {
        for header in [
            FrameHeader { count: 0, parts: 0, ..sample() },
            FrameHeader { parts: 3, ..sample() },
            FrameHeader { count: 65_537, ..sample() },
            FrameHeader { body_len: (16 << 20) + 1, ..sample() },
            FrameHeader { first: u64::MAX, ..sample() },
        ] {
            assert_eq!(FrameHeader::decode(&header.encode()), None);
        }
    }

    #[test]
    fn a_body_is_exactly_its_entries() {
        let body = [0, 1, 9, 0, 0];
        assert_eq!(split_body(&body, 2), Some(vec![2..3, 5..5]));
        assert_eq!(split_body(&body, 1), None);
        assert_eq!(split_body(&body[..4], 2), None);
        assert_eq!(split_body(&[0, 2, 9], 1), None);
        assert_eq!(split_body(&[0], 1), None);
        assert_eq!(split_body(&[], 0), Some(vec![]));
    }

    #[test]
    fn a_body_of_any_length_is_handed_over_whole_and_split_as_it_was_put_together() {
        // Lengths, and the two bytes of a length, that stand across the border of two pieces.
        for long in PIECE - 6..PIECE + 3 {
            let lengths = [long, 0, 1, 2 * PIECE, 3, 0];
            let (mut body, mut wanted) = (Vec::new(), Vec::new());
            for len in lengths {
                body.extend_from_slice(&u16::try_from(len).unwrap().to_be_bytes());
                wanted.push(body.len()..body.len() + len);
                body.resize(body.len() + len, 7);
            }
            let mut seen = Vec::new();
            let found = split_body_beside(&body, 6, |piece| seen.extend_from_slice(piece));
            assert!(found == Some(wanted) && seen == body, "{long}");
            for cut in [1, 2, 3, 5] {
                let short = &body[..body.len() - cut];
                seen.clear();
                assert_eq!(split_body_beside(short, 6, |piece| seen.extend_from_slice(piece)), None, "{long} {cut}");
                assert!(seen == short, "what is wrong with the entries does not keep it from the checksum");
            }
        }
    }
}
