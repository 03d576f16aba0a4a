//! The names in a log's directory (DESIGN §6), its `log.toml`, and the header that every segment begins with.
//!
//! Guarantees: a directory is taken for a log only if `log.toml` says so, and a segment for a part of *this* log only if it carries the
//! digest of this log's verification key; a foreign directory or file is refused by name.

use std::ffi::OsString;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};
use verifier::hash::{Hash, sha256};
use verifier::note::VerifierKey;

use crate::bytes::{Put, Take, checked};

/// A segment is closed once it has so many bytes: large enough that a large log has few, small enough to be copied, compressed and
/// re-read whole in the blink of an eye.
pub const SEGMENT_BYTES: u64 = 64 << 20;
/// `log.toml`, key files and marks are never longer than this.
pub(crate) const SMALL_FILE: u64 = 64 << 10;
/// Bytes of a segment's header.
pub(crate) const SEGMENT_HEADER: u64 = HEADER as u64;
/// The same, for arrays.
pub(crate) const HEADER: usize = 64;

/// The paths of one log.
#[derive(Clone, Debug)]
pub(crate) struct Layout {
    pub(crate) dir: PathBuf,
}

impl Layout {
    pub(crate) fn new(dir: &Path) -> Self {
        Self { dir: dir.to_owned() }
    }

    pub(crate) fn log_toml(&self) -> PathBuf {
        self.dir.join("log.toml")
    }

    /// What `log.toml` is called until everything else is there.
    pub(crate) fn unfinished(&self) -> PathBuf {
        self.dir.join("log.toml.new")
    }

    /// What `log.toml` is called until everything that arrives is there.
    pub(crate) fn arriving(&self) -> PathBuf {
        self.dir.join("arriving")
    }

    pub(crate) fn lock(&self) -> PathBuf {
        self.dir.join("lock")
    }

    pub(crate) fn keys(&self) -> PathBuf {
        self.dir.join("keys")
    }

    pub(crate) fn log_key(&self) -> PathBuf {
        self.keys().join("log.key")
    }

    pub(crate) fn journal(&self) -> PathBuf {
        self.dir.join("journal")
    }

    pub(crate) fn vault(&self) -> PathBuf {
        self.dir.join("vault")
    }

    pub(crate) fn tree(&self) -> PathBuf {
        self.dir.join("tree")
    }

    pub(crate) fn index(&self) -> PathBuf {
        self.dir.join("index")
    }

    /// Snapshots of what others fold out of the log; derived.
    pub(crate) fn state(&self) -> PathBuf {
        self.dir.join("state")
    }

    /// Notes about single records, for whoever looks into them.
    pub(crate) fn cases(&self) -> PathBuf {
        self.dir.join("cases")
    }

    /// The last signed head of an archive, a note. It stands there until the directory is opened as a log with a memory of its own.
    pub(crate) fn archived_head(&self) -> PathBuf {
        self.dir.join("head")
    }

    /// Stands there from the first I/O error until a recovery that believed nothing above the remembered head.
    pub(crate) fn poisoned(&self) -> PathBuf {
        self.dir.join("poisoned")
    }

    /// Stands there from the first self-audit that found stored entries other than they were signed until an operator takes it away.
    pub(crate) fn unsound(&self) -> PathBuf {
        self.dir.join("unsound")
    }
}

/// Where the head is remembered unless the operator says otherwise: beside the directory, as `DIR.memory`.
pub fn default_memory(dir: &Path) -> PathBuf {
    let mut name: OsString = dir.file_name().map(OsString::from).unwrap_or_else(|| OsString::from("log"));
    name.push(".memory");
    dir.with_file_name(name)
}

/// The name of a segment: its first index in 20 digits.
pub(crate) fn segment_name(first: u64) -> String {
    format!("{first:020}.seg")
}

/// The name of a segment's sealed form.
pub(crate) fn sealed_name(first: u64) -> String {
    format!("{first:020}.sealed")
}

/// The first index that a segment's name states; `None` for any other name.
pub(crate) fn segment_first(name: &str) -> Option<u64> {
    first_of(name, ".seg")
}

/// The first index that the name of a sealed form states; `None` for any other name.
pub(crate) fn sealed_first(name: &str) -> Option<u64> {
    first_of(name, ".sealed")
}

fn first_of(name: &str, suffix: &str) -> Option<u64> {
    let digits = name.strip_suffix(suffix)?;
    (digits.len() == 20 && digits.bytes().all(|b| b.is_ascii_digit())).then(|| digits.parse().ok())?
}

/// What kind of file a segment belongs to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum SegmentKind {
    Journal,
    Vault,
}

impl SegmentKind {
    fn magic(self) -> &'static [u8; 8] {
        match self {
            Self::Journal => b"ILJRNL01",
            Self::Vault => b"ILVALT01",
        }
    }
}

/// The 64 bytes at the head of a segment: magic 8 ‖ log id 32 ‖ first index 8 ‖ zero 12 ‖ CRC-32 of all before.
pub(crate) fn segment_header(kind: SegmentKind, log: &Hash, first: u64) -> [u8; HEADER] {
    Put::new().bytes(kind.magic()).bytes(&log.0).u64(first).bytes(&[0; 12]).crc().done()
}

/// Reads a segment's header; `None` unless it is whole and of this log, kind and first index.
pub(crate) fn is_segment_header(bytes: &[u8], kind: SegmentKind, log: &Hash, first: u64) -> bool {
    let read = || {
        let mut take = Take(checked(bytes)?);
        let fields = (take.array::<8>()?, take.hash()?, take.u64()?, take.array::<12>()?);
        take.finish(fields)
    };
    read() == Some((*kind.magic(), *log, first, [0; 12]))
}

/// Who a log is: what `log.toml` says, written once.
#[derive(Clone, Debug)]
pub(crate) struct Identity {
    pub(crate) origin: String,
    pub(crate) key: VerifierKey,
    pub(crate) created_ms: u64,
    /// SHA-256 of the verification key's text; it covers the origin.
    pub(crate) id: Hash,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct LogToml {
    version: u32,
    origin: String,
    verification_key: String,
    created_ms: u64,
}

impl Identity {
    pub(crate) fn new(key: VerifierKey, created_ms: u64) -> Self {
        let id = sha256(key.to_string().as_bytes());
        Self { origin: key.name().to_owned(), key, created_ms, id }
    }

    pub(crate) fn to_toml(&self) -> Result<String, toml::ser::Error> {
        toml::to_string(&LogToml {
            version: 1,
            origin: self.origin.clone(),
            verification_key: self.key.to_string(),
            created_ms: self.created_ms,
        })
    }

    /// Reads `log.toml`; the error says what is wrong with it.
    pub(crate) fn from_toml(bytes: &[u8]) -> Result<Self, String> {
        let text = str::from_utf8(bytes).map_err(|_| "it is not UTF-8".to_owned())?;
        let toml: LogToml = toml::from_str(text).map_err(|error| error.message().to_owned())?;
        if toml.version != 1 {
            return Err(format!("version {} is not known", toml.version));
        }
        let key: VerifierKey =
            toml.verification_key.parse().map_err(|error| format!("its verification key is unusable: {error}"))?;
        if key.name() != toml.origin {
            return Err("its verification key has another name than the origin".to_owned());
        }
        Ok(Self::new(key, toml.created_ms))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_segments_name_has_one_spelling() {
        assert_eq!(segment_first(&segment_name(17)), Some(17));
        assert_eq!((sealed_first(&sealed_name(17)), segment_first(&sealed_name(17))), (Some(17), None));
        for other in ["17.seg", "0000000000000000001x.seg", "00000000000000000017", "+0000000000000000017.seg"] {
            assert_eq!(segment_first(other), None, "{other}");
        }
    }

    #[test]
    fn a_segment_of_another_log_or_with_a_flipped_bit_is_refused() {
        let (ours, theirs) = (sha256(b"ours"), sha256(b"theirs"));
        let header = segment_header(SegmentKind::Journal, &ours, 5);
        assert!(is_segment_header(&header, SegmentKind::Journal, &ours, 5));
        assert!(!is_segment_header(&header, SegmentKind::Journal, &theirs, 5));
        assert!(!is_segment_header(&header, SegmentKind::Vault, &ours, 5));
        assert!(!is_segment_header(&header, SegmentKind::Journal, &ours, 6));
        for bit in 0..header.len() * 8 {
            let mut flipped = header;
            flipped[bit / 8] ^= 1 << (bit % 8);
            assert!(!is_segment_header(&flipped, SegmentKind::Journal, &ours, 5));
        }
    }

    #[test]
    fn the_memory_stands_beside_the_directory() {
        assert_eq!(default_memory(Path::new("/srv/log")), Path::new("/srv/log.memory"));
    }
}
