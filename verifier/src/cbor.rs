//! Deterministic CBOR, the small part of it that records and COSE receipts use.
//!
//! Encodes and decodes integers, byte strings, text strings, arrays, maps, tags and null (RFC 8949 §3.1) in the core deterministic form of
//! §4.2.1: definite lengths, shortest heads, map keys ascending. The decoder refuses everything else, so there is exactly one encoding of
//! each value, and bytes that decode are the bytes that encoding gives back.
//!
//! It does not read floats or other simple values. Records have no negative integers, tags or null either; COSE (RFC 9052) has.

use thiserror::Error;

/// Why bytes are not deterministic CBOR of the expected shape.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum CborError {
    /// The input ends inside an item.
    #[error("input ends inside an item at byte {0}")]
    Truncated(usize),
    /// An integer or length is not in its shortest form, or a length is indefinite (RFC 8949 §4.2.1).
    #[error("head at byte {0} is not in its shortest definite form")]
    NotShortest(usize),
    /// The item is of another type than the schema has here.
    #[error("expected {expected} at byte {at}")]
    WrongType {
        /// What the schema has here.
        expected: &'static str,
        /// Where it was looked for.
        at: usize,
    },
    /// A text string is not UTF-8.
    #[error("text at byte {0} is not valid `UTF-8`")]
    InvalidUtf8(usize),
    /// A map lacks a key that the schema requires.
    #[error("key {0} is missing")]
    MissingKey(u64),
    /// A map holds a key that the schema does not have here, or keys are not strictly ascending.
    #[error("unexpected key at byte {0}")]
    UnexpectedKey(usize),
    /// A value lies outside what the schema allows.
    #[error("value of key {0} is out of range")]
    OutOfRange(u64),
    /// Bytes follow the item.
    #[error("{0} bytes follow the item")]
    Trailing(usize),
}

const UINT: u8 = 0;
const NEGATIVE: u8 = 1;
const BYTES: u8 = 2;
const TEXT: u8 = 3;
const ARRAY: u8 = 4;
const MAP: u8 = 5;
const TAG: u8 = 6;
/// The one byte of null: major type 7, value 22.
const NULL: u8 = 0xf6;

/// Appends items to a buffer. Whoever calls keeps counts and key order right; [`Map`] does that for records.
pub struct Encoder<'a>(pub &'a mut Vec<u8>);

impl Encoder<'_> {
    #[expect(clippy::cast_possible_truncation, reason = "each arm has checked the range")]
    fn head(&mut self, major: u8, value: u64) {
        let major = major << 5;
        match value {
            0..=23 => self.0.push(major | value as u8),
            24..=0xff => self.0.extend_from_slice(&[major | 24, value as u8]),
            0x100..=0xffff => {
                self.0.push(major | 25);
                self.0.extend_from_slice(&(value as u16).to_be_bytes());
            }
            0x1_0000..=0xffff_ffff => {
                self.0.push(major | 26);
                self.0.extend_from_slice(&(value as u32).to_be_bytes());
            }
            _ => {
                self.0.push(major | 27);
                self.0.extend_from_slice(&value.to_be_bytes());
            }
        }
    }

    /// An unsigned integer.
    pub fn uint(&mut self, value: u64) {
        self.head(UINT, value);
    }

    /// An integer of either sign.
    pub fn int(&mut self, value: i64) {
        // Two's complement: the complement of a negative number is −1 − value, which is what CBOR writes.
        if value < 0 { self.head(NEGATIVE, !value.cast_unsigned()) } else { self.head(UINT, value.cast_unsigned()) }
    }

    /// A tag; the tagged item follows.
    pub fn tag(&mut self, tag: u64) {
        self.head(TAG, tag);
    }

    /// Null.
    pub fn null(&mut self) {
        self.0.push(NULL);
    }

    /// A byte string.
    pub fn bytes(&mut self, value: &[u8]) {
        self.head(BYTES, value.len() as u64);
        self.0.extend_from_slice(value);
    }

    /// A text string.
    pub fn text(&mut self, value: &str) {
        self.head(TEXT, value.len() as u64);
        self.0.extend_from_slice(value.as_bytes());
    }

    /// The head of an array; `len` items follow.
    pub fn array(&mut self, len: usize) {
        self.head(ARRAY, len as u64);
    }

    /// The head of a map; `len` pairs follow, keys ascending.
    pub fn map(&mut self, len: usize) {
        self.head(MAP, len as u64);
    }
}

/// Reads items one after the other; cannot run over, and [`Decoder::finish`] refuses what is left.
#[derive(Debug, Clone)]
pub struct Decoder<'a> {
    bytes: &'a [u8],
    at: usize,
}

impl<'a> Decoder<'a> {
    /// Starts at the first byte.
    pub fn new(bytes: &'a [u8]) -> Self {
        Self { bytes, at: 0 }
    }

    fn take(&mut self, len: usize) -> Result<&'a [u8], CborError> {
        let end = self.at.checked_add(len).ok_or(CborError::Truncated(self.at))?;
        let slice = self.bytes.get(self.at..end).ok_or(CborError::Truncated(self.at))?;
        self.at = end;
        Ok(slice)
    }

    fn head(&mut self, major: u8, expected: &'static str) -> Result<u64, CborError> {
        let at = self.at;
        let first = *self.bytes.get(at).ok_or(CborError::Truncated(at))?;
        if first >> 5 != major {
            return Err(CborError::WrongType { expected, at });
        }
        self.at += 1;
        let (width, least) = match first & 0x1f {
            small @ 0..=23 => return Ok(u64::from(small)),
            24 => (1, 24),
            25 => (2, 0x100),
            26 => (4, 0x1_0000),
            27 => (8, 0x1_0000_0000),
            _ => return Err(CborError::NotShortest(at)),
        };
        let value = self.take(width)?.iter().fold(0_u64, |value, byte| (value << 8) | u64::from(*byte));
        if value < least { Err(CborError::NotShortest(at)) } else { Ok(value) }
    }

    fn length(&mut self, major: u8, expected: &'static str) -> Result<usize, CborError> {
        let at = self.at;
        let len = self.head(major, expected)?;
        // Every item takes at least one byte, so no honest length exceeds what is left.
        let left = self.bytes.len() - self.at;
        usize::try_from(len).ok().filter(|len| *len <= left).ok_or(CborError::Truncated(at))
    }

    /// An unsigned integer.
    pub fn uint(&mut self) -> Result<u64, CborError> {
        self.head(UINT, "an unsigned integer")
    }

    /// An integer of either sign.
    pub fn int(&mut self) -> Result<i64, CborError> {
        let at = self.at;
        let negative = self.bytes.get(at).is_some_and(|first| first >> 5 == NEGATIVE);
        let head = self.head(if negative { NEGATIVE } else { UINT }, "an integer")?;
        let value = i64::try_from(head).map_err(|_| CborError::WrongType { expected: "an integer of 64 bits", at })?;
        Ok(if negative { !value } else { value })
    }

    /// This tag; the tagged item follows.
    pub fn tag(&mut self, tag: u64) -> Result<(), CborError> {
        let at = self.at;
        if self.head(TAG, "a tag")? == tag { Ok(()) } else { Err(CborError::WrongType { expected: "another tag", at }) }
    }

    /// Null.
    pub fn null(&mut self) -> Result<(), CborError> {
        let at = self.at;
        if self.take(1)? == [NULL] { Ok(()) } else { Err(CborError::WrongType { expected: "null", at }) }
    }

    /// A byte string.
    pub fn bytes(&mut self) -> Result<&'a [u8], CborError> {
        let len = self.length(BYTES, "a byte string")?;
        self.take(len)
    }

    /// A byte string of exactly `N` bytes.
    pub fn bytes_of<const N: usize>(&mut self) -> Result<[u8; N], CborError> {
        let at = self.at;
        self.bytes()?.try_into().map_err(|_| CborError::WrongType { expected: "a byte string of fixed length", at })
    }

    /// A text string.
    pub fn text(&mut self) -> Result<&'a str, CborError> {
        let len = self.length(TEXT, "a text string")?;
        let at = self.at;
        std::str::from_utf8(self.take(len)?).map_err(|_| CborError::InvalidUtf8(at))
    }

    /// A text string of which nobody wants more than its length; refuses what [`Decoder::text`] refuses.
    pub fn skip_text(&mut self) -> Result<usize, CborError> {
        let len = self.length(TEXT, "a text string")?;
        let at = self.at;
        let bytes = self.take(len)?;
        // Most texts are ASCII, and that is told sooner.
        if bytes.is_ascii() || std::str::from_utf8(bytes).is_ok() { Ok(len) } else { Err(CborError::InvalidUtf8(at)) }
    }

    /// The head of an array: how many items follow, at most one a byte that is left.
    pub fn array(&mut self) -> Result<usize, CborError> {
        self.length(ARRAY, "an array")
    }

    /// The head of an array of exactly `len` items.
    pub fn array_of(&mut self, len: usize) -> Result<(), CborError> {
        let at = self.at;
        if self.array()? == len {
            Ok(())
        } else {
            Err(CborError::WrongType { expected: "an array of fixed length", at })
        }
    }

    /// The head of a map of exactly `len` pairs, keys to be read by whoever calls.
    pub fn map_of(&mut self, len: usize) -> Result<(), CborError> {
        let at = self.at;
        if self.length(MAP, "a map")? == len {
            Ok(())
        } else {
            Err(CborError::WrongType { expected: "a map of fixed length", at })
        }
    }

    /// The head of a map: how many pairs follow, at most one a byte that is left; keys to be read by whoever calls.
    pub fn map_len(&mut self) -> Result<usize, CborError> {
        self.length(MAP, "a map")
    }

    /// The head of a map, to be read key by key.
    pub fn map(&mut self) -> Result<Map, CborError> {
        Ok(Map { left: self.length(MAP, "a map")?, next: None, last: None })
    }

    /// The bytes of the next item, of whatever type: definite, with shortest heads, at most `depth` deep in arrays, maps and tags. Floats and
    /// simple values are passed over too.
    pub fn item(&mut self, depth: usize) -> Result<&'a [u8], CborError> {
        let start = self.at;
        self.pass(depth)?;
        self.bytes.get(start..self.at).ok_or(CborError::Truncated(start))
    }

    fn pass(&mut self, depth: usize) -> Result<(), CborError> {
        let at = self.at;
        let first = *self.bytes.get(at).ok_or(CborError::Truncated(at))?;
        let inner = || depth.checked_sub(1).ok_or(CborError::WrongType { expected: "an item that is less deep", at });
        match first >> 5 {
            UINT => self.head(UINT, "an integer").map(drop),
            NEGATIVE => self.head(NEGATIVE, "an integer").map(drop),
            BYTES => self.bytes().map(drop),
            TEXT => self.text().map(drop),
            ARRAY => {
                let (depth, len) = (inner()?, self.array()?);
                (0..len).try_for_each(|_| self.pass(depth))
            }
            MAP => {
                let (depth, len) = (inner()?, self.length(MAP, "a map")?);
                (0..len).try_for_each(|_| self.pass(depth).and_then(|()| self.pass(depth)))
            }
            TAG => {
                let depth = inner()?;
                self.head(TAG, "a tag")?;
                self.pass(depth)
            }
            _ => {
                let width = match first & 0x1f {
                    0..=23 => 0,
                    24 => 1,
                    25 => 2,
                    26 => 4,
                    27 => 8,
                    _ => return Err(CborError::NotShortest(at)),
                };
                self.take(1 + width).map(drop)
            }
        }
    }

    /// Refuses bytes that are left.
    pub fn finish(self) -> Result<(), CborError> {
        match self.bytes.len() - self.at {
            0 => Ok(()),
            left => Err(CborError::Trailing(left)),
        }
    }
}

/// A map with unsigned integer keys that is read in ascending order: each key is asked for by name, so an unknown, repeated or misplaced
/// key is never passed over.
#[derive(Debug)]
pub struct Map {
    left: usize,
    next: Option<u64>,
    last: Option<u64>,
}

impl Map {
    /// Whether the next pair has this key; then its value is the decoder's next item.
    pub fn optional(&mut self, decoder: &mut Decoder<'_>, key: u64) -> Result<bool, CborError> {
        if self.next.is_none() && self.left > 0 {
            let at = decoder.at;
            let read = decoder.uint()?;
            if self.last.is_some_and(|last| read <= last) {
                return Err(CborError::UnexpectedKey(at));
            }
            self.left -= 1;
            self.last = Some(read);
            self.next = Some(read);
        }
        let found = self.next == Some(key);
        if found {
            self.next = None;
        }
        Ok(found)
    }

    /// The next pair must have this key.
    pub fn required(&mut self, decoder: &mut Decoder<'_>, key: u64) -> Result<(), CborError> {
        if self.optional(decoder, key)? { Ok(()) } else { Err(CborError::MissingKey(key)) }
    }

    /// Refuses pairs that were not asked for.
    pub fn finish(self, decoder: &Decoder<'_>) -> Result<(), CborError> {
        if self.left == 0 && self.next.is_none() { Ok(()) } else { Err(CborError::UnexpectedKey(decoder.at)) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn encoded(write: impl Fn(&mut Encoder<'_>)) -> Vec<u8> {
        let mut out = Vec::new();
        write(&mut Encoder(&mut out));
        out
    }

    #[test]
    fn an_item_of_any_type_is_passed_over_and_none_is_run_over() {
        let unhex = |hex: &str| crate::text::unhex(hex).unwrap();
        for hex in [
            "00",
            "38ff",
            "4101",
            "6161",
            "80",
            "83010203",
            "a1616101",
            "c11a514b67b0",
            "f4",
            "f93c00",
            "fb3ff199999999999a",
            "f8ff",
        ] {
            let bytes = unhex(hex);
            let longer = [&bytes[..], &[0]].concat();
            assert_eq!(Decoder::new(&longer).item(1), Ok(bytes.as_slice()), "{hex}");
            (0..bytes.len()).for_each(|end| assert!(Decoder::new(&bytes[..end]).item(1).is_err(), "{hex}"));
        }
        assert!(Decoder::new(&unhex("8180")).item(1).is_err());
        assert!(Decoder::new(&unhex("8180")).item(2).is_ok());
        assert!(Decoder::new(&vec![0x81; 1 << 20]).item(8).is_err());
        for indefinite in ["9fff", "bfff", "5fff", "ff", "fc", "1800"] {
            assert!(Decoder::new(&unhex(indefinite)).item(9).is_err(), "{indefinite}");
        }
    }

    #[test]
    fn integers_encode_as_rfc_8949_appendix_a_has_them() {
        for (value, hex) in [
            (0, "00"),
            (1, "01"),
            (23, "17"),
            (24, "1818"),
            (100, "1864"),
            (1000, "1903e8"),
            (1_000_000, "1a000f4240"),
            (1_000_000_000_000, "1b000000e8d4a51000"),
            (u64::MAX, "1bffffffffffffffff"),
        ] {
            let bytes = encoded(|e| e.uint(value));
            assert_eq!(bytes.iter().map(|b| format!("{b:02x}")).collect::<String>(), hex);
            let mut decoder = Decoder::new(&bytes);
            assert_eq!(decoder.uint(), Ok(value));
            assert_eq!(decoder.finish(), Ok(()));
        }
    }

    #[test]
    fn negative_integers_tags_and_null_encode_as_rfc_8949_appendix_a_has_them() {
        for (value, hex) in
            [(-1, "20"), (-10, "29"), (-100, "3863"), (-1000, "3903e7"), (i64::MIN, "3b7fffffffffffffff"), (24, "1818")]
        {
            let bytes = encoded(|e| e.int(value));
            assert_eq!(bytes.iter().map(|b| format!("{b:02x}")).collect::<String>(), hex);
            assert_eq!(Decoder::new(&bytes).int(), Ok(value));
        }
        assert!(Decoder::new(&[0x3b, 0x80, 0, 0, 0, 0, 0, 0, 0]).int().is_err(), "below the least of 64 bits");
        assert!(Decoder::new(&[0x1b, 0x80, 0, 0, 0, 0, 0, 0, 0]).int().is_err(), "above the largest");
        assert_eq!(Decoder::new(&[0x38, 0]).int(), Err(CborError::NotShortest(0)));
        assert_eq!(encoded(|e| e.tag(18)), [0xd2]);
        assert_eq!(Decoder::new(&[0xd2]).tag(18), Ok(()));
        assert!(Decoder::new(&[0xd1]).tag(18).is_err() && Decoder::new(&[0x12]).tag(18).is_err());
        assert_eq!((encoded(|e| e.null()), Decoder::new(&[0xf6]).null()), (vec![0xf6], Ok(())));
        assert!(Decoder::new(&[0xf7]).null().is_err() && Decoder::new(&[]).null().is_err());
    }

    #[test]
    fn a_longer_form_of_the_same_integer_is_refused() {
        for bytes in
            [&[0x18, 23][..], &[0x19, 0, 255], &[0x1a, 0, 0, 255, 255], &[0x1b, 0, 0, 0, 0, 255, 255, 255, 255]]
        {
            assert_eq!(Decoder::new(bytes).uint(), Err(CborError::NotShortest(0)));
        }
        assert_eq!(Decoder::new(&[0x5f, 0xff]).bytes(), Err(CborError::NotShortest(0)));
    }

    #[test]
    fn a_length_beyond_the_input_is_refused_before_anything_is_reserved() {
        assert_eq!(
            Decoder::new(&[0x9b, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff]).array(),
            Err(CborError::Truncated(0))
        );
        assert_eq!(Decoder::new(&[0x42, 1]).bytes(), Err(CborError::Truncated(0)));
    }

    #[test]
    fn keys_out_of_order_repeated_or_unknown_are_refused() {
        let read = |bytes: &[u8]| {
            let mut decoder = Decoder::new(bytes);
            let mut map = decoder.map()?;
            map.required(&mut decoder, 1)?;
            decoder.uint()?;
            if map.optional(&mut decoder, 2)? {
                decoder.uint()?;
            }
            map.finish(&decoder)?;
            decoder.finish()
        };
        assert_eq!(read(&[0xa2, 1, 0, 2, 0]), Ok(()));
        assert_eq!(read(&[0xa1, 1, 0]), Ok(()));
        assert_eq!(read(&[0xa2, 2, 0, 1, 0]), Err(CborError::MissingKey(1)));
        assert_eq!(read(&[0xa2, 1, 0, 1, 0]), Err(CborError::UnexpectedKey(3)));
        assert!(read(&[0xa2, 1, 0, 3, 0]).is_err());
        assert_eq!(read(&[0xa1, 1, 0, 0]), Err(CborError::Trailing(1)));
    }
}
