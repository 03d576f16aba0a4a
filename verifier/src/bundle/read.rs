//! From bytes to a bundle: the same keys in the same order as they are written, and nothing else.

use super::{
    Bundle, BundleError, Entry, MAX_BUNDLE, MAX_CHOICE, MAX_ENTRIES, MAX_EPOCHS, Manifest, NAME, Part, Parts, TAG,
};
use crate::cbor::{CborError, Decoder};
use crate::hash::Hash;
use crate::note::MAX_NOTE;
use crate::record::{MAX_NAME, MAX_RECORD};
use crate::text::DECIMAL_LIMIT;

/// A key as text: its name, and 80 characters of id and base64.
const MAX_VKEY: usize = MAX_NAME + 80;
/// Bytes of the longest part: a request has 64 KiB, a detail names policies by ids of any length.
const MAX_PART: usize = 1 << 20;

pub(super) fn bundle(bytes: &[u8]) -> Result<Bundle<'_>, BundleError> {
    if bytes.len() > MAX_BUNDLE {
        return Err(BundleError::TooLong);
    }
    let mut d = Decoder::new(bytes);
    d.tag(TAG)?;
    let mut map = d.map()?;
    map.required(&mut d, 0)?;
    if d.text()? != NAME {
        return Err(BundleError::Name);
    }
    map.required(&mut d, 1)?;
    let manifest = manifest(&mut d)?;
    map.required(&mut d, 2)?;
    let checkpoint = bounded(&mut d, 2, MAX_NOTE)?;
    map.required(&mut d, 3)?;
    let count = counted(&mut d, 3, MAX_ENTRIES)?;
    let entries = (0..count).map(|_| entry(&mut d)).collect::<Result<_, _>>()?;
    map.required(&mut d, 4)?;
    let proof = hashes(d.bytes()?)?;
    map.finish(&d)?;
    d.finish()?;
    Ok(Bundle { manifest, checkpoint, entries, proof })
}

fn manifest<'a>(d: &mut Decoder<'a>) -> Result<Manifest<'a>, CborError> {
    let mut map = d.map()?;
    map.required(d, 0)?;
    let vkey = bounded(d, 0, MAX_VKEY)?;
    map.required(d, 1)?;
    let choice = bounded(d, 1, MAX_CHOICE)?;
    // It is shown in terminals.
    if !choice.bytes().all(|byte| matches!(byte, b' '..=b'~')) {
        return Err(CborError::OutOfRange(1));
    }
    map.required(d, 2)?;
    let decisions = d.uint()?;
    map.required(d, 3)?;
    let count = counted(d, 3, MAX_EPOCHS)?;
    let epochs = (0..count).map(|_| d.uint()).collect::<Result<_, _>>()?;
    map.finish(d)?;
    Ok(Manifest { vkey, choice, decisions, epochs })
}

fn entry<'a>(d: &mut Decoder<'a>) -> Result<Entry<'a>, CborError> {
    let mut map = d.map()?;
    map.required(d, 0)?;
    let index = index(d, 0)?;
    map.required(d, 1)?;
    let record = d.bytes()?;
    if record.len() > MAX_RECORD {
        return Err(CborError::OutOfRange(1));
    }
    let parts = if map.optional(d, 2)? {
        let request = part(d, 2)?;
        map.required(d, 3)?;
        Some(Parts { request, detail: part(d, 3)? })
    } else {
        None
    };
    map.finish(d)?;
    Ok(Entry { index, record, parts })
}

fn part<'a>(d: &mut Decoder<'a>, key: u64) -> Result<Part<'a>, CborError> {
    let items = d.array()?;
    let part = match (items, d.uint()?) {
        (3, 0) => {
            let (salt, bytes) = (d.bytes_of()?, d.bytes()?);
            if bytes.len() > MAX_PART {
                return Err(CborError::OutOfRange(key));
            }
            Part::Disclosed { salt, bytes }
        }
        (1, 1) => Part::Committed,
        (2, 2) => Part::Erased { by: index(d, key)? },
        (1, 3) => Part::Lost,
        _ => return Err(CborError::OutOfRange(key)),
    };
    Ok(part)
}

fn index(d: &mut Decoder<'_>, key: u64) -> Result<u64, CborError> {
    let index = d.uint()?;
    if index < DECIMAL_LIMIT { Ok(index) } else { Err(CborError::OutOfRange(key)) }
}

fn counted(d: &mut Decoder<'_>, key: u64, most: usize) -> Result<usize, CborError> {
    let count = d.array()?;
    if count <= most { Ok(count) } else { Err(CborError::OutOfRange(key)) }
}

fn bounded<'a>(d: &mut Decoder<'a>, key: u64, most: usize) -> Result<&'a str, CborError> {
    let text = d.text()?;
    if text.len() <= most { Ok(text) } else { Err(CborError::OutOfRange(key)) }
}

fn hashes(bytes: &[u8]) -> Result<Vec<Hash>, CborError> {
    let (hashes, rest) = bytes.as_chunks::<{ Hash::LEN }>();
    if rest.is_empty() { Ok(hashes.iter().map(|hash| Hash(*hash)).collect()) } else { Err(CborError::OutOfRange(4)) }
}
