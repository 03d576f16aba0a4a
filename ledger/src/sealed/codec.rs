//! zstd with a dictionary, and where the dictionary comes from.
//!
//! Guarantees: nothing is unpacked beyond the length that is asked for; a dictionary is what a client takes as raw content (RFC 9842, `dcz`).
//! Does not: say whether what was unpacked is right; checksums and the tree do.

use std::cell::RefCell;
use std::fmt;
use std::io;

use verifier::hash::{Hash, sha256};
use zstd::bulk::Compressor;
use zstd::dict::DecoderDictionary;
use zstd::zstd_safe::DCtx;

/// Of the 153 B that an airline decision takes in a bundle, 80 cannot be compressed. Level 1 leaves 90.2 at 200 MB/s a core, levels 3 to 9
/// leave 91, level 16 and above 86.9 at 10 MB/s: 64 MiB would take 6 s of a core, and a busy log fills them in one.
const LEVEL: i32 = 1;
/// Leaves of one log look alike: at 1 KiB a decision takes half a byte more, at 16 KiB nothing less that is not learnt by heart.
const DICTIONARY: usize = 4 << 10;
/// What the dictionary is trained on, at most: the trainer takes a quarter of a second for it.
pub(super) const SAMPLES: usize = 1 << 20;
/// A dictionary of the structured kind begins so; ours must not.
const STRUCTURED: [u8; 4] = [0x37, 0xa4, 0x30, 0xec];
/// Bytes of a structured dictionary before entropy tables and content: magic and id.
const ID: usize = 8;

/// Raw content that entries are compressed with, and its name.
pub struct Dictionary {
    bytes: Vec<u8>,
    sha256: Hash,
    unpacking: DecoderDictionary<'static>,
}

impl fmt::Debug for Dictionary {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Dictionary").field("sha256", &self.sha256).field("len", &self.bytes.len()).finish()
    }
}

impl Dictionary {
    /// The dictionary's bytes.
    pub fn bytes(&self) -> &[u8] {
        &self.bytes
    }

    /// SHA-256 of the bytes: its name in `Available-Dictionary` and in the header of `dcz` (RFC 9842).
    pub fn sha256(&self) -> Hash {
        self.sha256
    }

    /// True if a zstd frame that was made with this dictionary unpacks to exactly `bytes`.
    pub(crate) fn unpacks_to(&self, frame: &[u8], bytes: &[u8]) -> bool {
        let mut unpacked = vec![0; bytes.len()];
        unpack(frame, Some(self), &mut unpacked) && unpacked == bytes
    }

    /// `None` if these bytes would be taken for a structured dictionary, or memory is lacking.
    pub(super) fn new(bytes: Vec<u8>) -> Option<Self> {
        if bytes.starts_with(&STRUCTURED) {
            return None;
        }
        let unpacking = DecoderDictionary::try_copy(&bytes).ok()?;
        Some(Self { sha256: sha256(&bytes), bytes, unpacking })
    }

    /// Learns from entries in bundle form, each of `lengths` bytes. Few of them are their own dictionary.
    pub(super) fn train(entries: &[u8], lengths: &[usize]) -> Option<Self> {
        let trained = zstd::dict::from_continuous(entries, lengths, DICTIONARY).ok();
        // Without magic and id it is raw content: its entropy tables are then bytes like any others.
        let trained = trained.and_then(|bytes| Self::new(bytes.get(ID..)?.to_vec()));
        trained.or_else(|| Self::new(entries.get(..DICTIONARY).unwrap_or(entries).to_vec()))
    }
}

/// Something that compresses.
pub(super) fn compressor(dictionary: Option<&Dictionary>) -> io::Result<Compressor<'static>> {
    Compressor::with_dictionary(LEVEL, dictionary.map_or(&[], |dictionary| &dictionary.bytes))
}

/// Unpacks one zstd frame into exactly `into`; `false` if it is damaged, or has more or fewer bytes.
pub(super) fn unpack(frame: &[u8], dictionary: Option<&Dictionary>, into: &mut [u8]) -> bool {
    thread_local! {
        // 160 KiB that would be mapped and cleared for each block.
        static CONTEXT: RefCell<Option<DCtx<'static>>> = const { RefCell::new(None) };
    }
    CONTEXT.with_borrow_mut(|context| {
        let Some(context) = context.take().or_else(DCtx::try_create).map(|fresh| context.insert(fresh)) else {
            return false;
        };
        let done = match dictionary {
            Some(dictionary) => context.decompress_using_ddict(into, frame, dictionary.unpacking.as_ddict()),
            None => context.decompress(into, frame),
        };
        done == Ok(into.len())
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Leaves that look alike, with their lengths.
    fn entries(count: u64) -> (Vec<u8>, Vec<usize>) {
        let entry = |n: u64| {
            [b"\x00\x40a leaf that says nothing new but its number, which is ".as_slice(), &sha256(&n.to_be_bytes()).0]
                .concat()
        };
        let all: Vec<Vec<u8>> = (0..count).map(entry).collect();
        (all.concat(), all.iter().map(Vec::len).collect())
    }

    #[test]
    fn what_is_packed_with_a_dictionary_comes_back_with_it_and_only_with_it() {
        let (bytes, lengths) = entries(2000);
        let dictionary = Dictionary::train(&bytes, &lengths).unwrap();
        assert!((1..=DICTIONARY).contains(&dictionary.bytes().len()));
        let packed = compressor(Some(&dictionary)).unwrap().compress(&bytes[..1000]).unwrap();
        let mut back = vec![0; 1000];
        assert!(unpack(&packed, Some(&dictionary), &mut back));
        assert_eq!(back, bytes[..1000]);
        assert!(!unpack(&packed, None, &mut vec![0; 1000]));
        assert_eq!(
            zstd::zstd_safe::get_dict_id_from_frame(&packed),
            None,
            "the dictionary is named by its SHA-256 alone"
        );
    }

    #[test]
    fn a_frame_of_another_length_than_said_is_refused_and_not_unpacked_beyond() {
        let packed = compressor(None).unwrap().compress(&[7; 1000]).unwrap();
        for len in [0, 1, 999, 1001, 4000] {
            assert!(!unpack(&packed, None, &mut vec![0; len]), "{len}");
        }
        assert!(!unpack(&packed[..packed.len() - 1], None, &mut vec![0; 1000]));
        assert!(unpack(&packed, None, &mut vec![0; 1000]));
    }

    #[test]
    fn too_few_entries_to_learn_from_are_their_own_dictionary() {
        let (bytes, lengths) = entries(3);
        assert_eq!(Dictionary::train(&bytes, &lengths).unwrap().bytes(), bytes);
        assert!(Dictionary::new(STRUCTURED.to_vec()).is_none());
    }
}
