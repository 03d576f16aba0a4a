//! Reads of the log: entries, private parts, look-ups. Heads: `reader/heads.rs`. Proofs, tiles and receipts: `prove.rs`.
//!
//! Guarantees: every call takes the published size once and is bounded by it (DESIGN §2.12); nothing above it is served, proved or indexed.
//! Reads go on when the writer is poisoned. Does not: check what it reads against the root at every call; open checks the head, audit all.

mod heads;

use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use arc_swap::ArcSwap;
use verifier::decision::PermitId;
use verifier::hash::{Hash, leaf_hash};
use verifier::note::VerifierKey;
use verifier::proof::Nodes;
use verifier::record::{Record, RecordError};

use crate::head::Head;
use crate::keys::Keys;
use crate::layout::{Identity, Layout};
use crate::levels::Levels;
use crate::rows::{Row, RowError, Rows};
use crate::sealed::{Damage, SegmentError};
use crate::segments::Segments;
use crate::signer::Signer;
use crate::storage::{Files, IoFailure, LockGuard};
use crate::vault::{Found, NO_PARTS, PrivateOwned, VAULT_FIXED, borrow_parts};

/// One call of [`Reader::entries`] or [`Reader::heads`] answers at most so many: a full entry bundle four times over.
pub const MAX_ENTRIES: u64 = 1024;

/// Why something could not be read.
#[derive(Debug, thiserror::Error)]
pub enum ReadError {
    /// There is no such entry, size or range in the published log.
    #[error("`{asked}` is not below the published size {size}")]
    Beyond {
        /// What was asked for: an index, a size or the end of a range.
        asked: u64,
        /// The published size.
        size: u64,
    },
    /// A range that is empty or longer than its limit, or whose sizes are in the wrong order.
    #[error("the range is empty, too long or the wrong way round")]
    Range,
    /// The entry is of a kind that has no private parts.
    #[error("entry {index} has no private parts")]
    NoPrivate {
        /// The entry.
        index: u64,
    },
    /// A decision's private parts are not in the vault, and nothing in the log says that they were erased.
    #[error("the private parts of decision {index} are lost")]
    Lost {
        /// The entry.
        index: u64,
    },
    /// Private parts of a decision were erased, and a record of the log says so.
    #[error("private parts of decision {index} were erased")]
    Erased {
        /// The entry.
        index: u64,
    },
    /// A file does not hold what it must.
    #[error("`{file}` is damaged at entry {index}", file = file.display())]
    Damaged {
        /// The file.
        file: PathBuf,
        /// The entry, or the frame row, that cannot be read.
        index: u64,
    },
    /// An entry, its hash in the tree and the signed head do not belong together.
    #[error(
        "entry {index} contradicts the tree: `interlock fsck` tells which is damaged; `tree` and `index` are derived and may be deleted"
    )]
    Contradiction {
        /// The entry.
        index: u64,
    },
    /// The entry's bytes are not a record.
    #[error("entry {index} is not a record: {source}")]
    NotARecord {
        /// The entry.
        index: u64,
        /// Why.
        source: RecordError,
    },
    /// An archive has no key, and no signature for what was asked.
    #[error("this is an archive: it has no key, and the signature of its last head only, not one for size {size}")]
    Unsigned {
        /// The size of the tree that was to be signed.
        size: u64,
    },
    /// The disk failed.
    #[error(transparent)]
    Io(#[from] IoFailure),
}

impl From<SegmentError> for ReadError {
    fn from(error: SegmentError) -> Self {
        match error {
            SegmentError::Io(failure) => Self::Io(failure),
            SegmentError::Damaged(Damage { file, index, .. }) => Self::Damaged { file, index },
        }
    }
}

impl From<RowError> for ReadError {
    fn from(error: RowError) -> Self {
        match error {
            RowError::Io(failure) => Self::Io(failure),
            RowError::Damaged { file, row } => Self::Damaged { file, index: row },
        }
    }
}

/// What is published: one head, and how many frames lie under it.
#[derive(Clone, Debug)]
pub(crate) struct Published {
    pub(crate) head: Arc<Head>,
    pub(crate) frames: u64,
}

/// What writer and readers share.
#[derive(Debug)]
pub(crate) struct Shared {
    pub(crate) identity: Identity,
    /// Where the log stands, for whoever reads it anew.
    pub(crate) files: Files,
    pub(crate) layout: Layout,
    /// Absent in an archive, which signs nothing.
    pub(crate) signer: Option<Arc<Signer>>,
    pub(crate) levels: Arc<Levels>,
    pub(crate) rows: Rows,
    pub(crate) journal: Segments,
    pub(crate) vault: Segments,
    pub(crate) keys: Keys,
    pub(crate) published: ArcSwap<Published>,
    pub(crate) poisoned: AtomicBool,
    pub(crate) frozen: AtomicBool,
    /// An archive's own hold on its directory; that of a log is the writer's.
    pub(crate) _lock: Option<Box<dyn LockGuard>>,
}

impl Shared {
    /// The log's key.
    pub(crate) fn signer(&self, size: u64) -> Result<&Signer, ReadError> {
        self.signer.as_deref().ok_or(ReadError::Unsigned { size })
    }
}

/// Where the parts of a decision stand in the vault.
#[derive(Clone, Copy, Debug)]
pub(crate) struct PartsPlace {
    pub(crate) segment: u64,
    pub(crate) offset: u64,
}

/// Reads the published log; cheap to clone, for any number of threads.
#[derive(Clone, Debug)]
pub struct Reader {
    pub(crate) shared: Arc<Shared>,
}

impl Reader {
    /// The newest published head.
    pub fn head(&self) -> Arc<Head> {
        self.shared.published.load().head.clone()
    }

    /// The published size.
    pub fn size(&self) -> u64 {
        self.shared.published.load().head.checkpoint.size
    }

    /// The log's verification key.
    pub fn verifier_key(&self) -> &VerifierKey {
        &self.shared.identity.key
    }

    /// The log's name.
    pub fn origin(&self) -> &str {
        &self.shared.identity.origin
    }

    /// When the log was made, Unix milliseconds.
    pub fn created_ms(&self) -> u64 {
        self.shared.identity.created_ms
    }

    /// True once the writer has met an I/O error, or an audit a fault: nothing more will be appended until the log is opened again.
    pub fn poisoned(&self) -> bool {
        self.shared.poisoned.load(Ordering::Acquire)
    }

    /// True if the last published record is a freeze: nothing is ever appended behind it.
    pub fn frozen(&self) -> bool {
        self.shared.frozen.load(Ordering::Acquire)
    }

    /// The bytes of one leaf.
    pub fn entry(&self, index: u64) -> Result<Vec<u8>, ReadError> {
        let run = self.believed_run(index, 1)?;
        run.get(2..).map(<[u8]>::to_vec).ok_or_else(|| self.damaged(index))
    }

    /// The record in one leaf.
    pub fn record(&self, index: u64) -> Result<Record, ReadError> {
        Record::decode(&self.entry(index)?).map_err(|source| ReadError::NotARecord { index, source })
    }

    /// The bytes of `count` leaves from `first`, at most [`MAX_ENTRIES`].
    pub fn entries(&self, first: u64, count: u64) -> Result<Vec<Vec<u8>>, ReadError> {
        let run = self.believed_run(first, count)?;
        let leaves: Vec<Vec<u8>> = verifier::tile::entries(&run).map_while(Result::ok).map(<[u8]>::to_vec).collect();
        if leaves.len() as u64 == count { Ok(leaves) } else { Err(self.damaged(first)) }
    }

    /// The private parts of one decision.
    ///
    /// # Errors
    /// [`ReadError::Erased`] where any of them was erased by a record of the log, [`ReadError::Lost`] where it is missing without one.
    pub fn private(&self, index: u64) -> Result<PrivateOwned, ReadError> {
        let (_, bytes) = self.stored_parts(index)?;
        let found = self.believed_parts(index, &bytes)?;
        if found.erased == 0 { Ok(found.private.into()) } else { Err(ReadError::Erased { index }) }
    }

    /// The detail of one decision; `None` if it was erased, by a record of the log.
    ///
    /// # Errors
    /// As [`Reader::private`].
    pub fn detail(&self, index: u64) -> Result<Option<Vec<u8>>, ReadError> {
        let (_, bytes) = self.stored_parts(index)?;
        let found = self.believed_parts(index, &bytes)?;
        Ok((found.erased & 2 == 0).then(|| found.private.detail.to_vec()))
    }

    /// What is erased of one decision, by records of the log: bit 0 the request, bit 1 the detail.
    ///
    /// # Errors
    /// As [`Reader::private`], but for what is erased.
    pub fn erased(&self, index: u64) -> Result<u64, ReadError> {
        let (_, bytes) = self.stored_parts(index)?;
        Ok(self.believed_parts(index, &bytes)?.erased)
    }

    /// What is left of the parts of one decision. Parts that its leaf does not commit to, or that are gone without a record of it, are no
    /// better than none.
    pub(crate) fn believed_parts<'a>(&self, index: u64, bytes: &'a [u8]) -> Result<Found<'a>, ReadError> {
        let found = borrow_parts(bytes).ok_or(ReadError::Lost { index })?;
        for (bit, by) in found.erasures() {
            let says_so =
                |record| matches!(record, Record::Erasure { index: of, parts, .. } if of == index && parts & bit != 0);
            if by >= self.size() || !says_so(self.record(by)?) {
                return Err(ReadError::Lost { index });
            }
        }
        if found.belongs_to(&self.entry(index)?) { Ok(found) } else { Err(ReadError::Lost { index }) }
    }

    /// Where the parts of one decision stand, and their bytes, not yet believed.
    pub(crate) fn stored_parts(&self, index: u64) -> Result<(PartsPlace, Vec<u8>), ReadError> {
        let published = self.published();
        let (_, row) = self.find(index, &published)?;
        let decision = || match self.record(index)? {
            Record::Decision(_) => Err(ReadError::Lost { index }),
            _ => Err(ReadError::NoPrivate { index }),
        };
        if row.vault_len == 0 {
            return decision();
        }
        let lost = |_: std::io::Error| ReadError::Lost { index };
        let file = match self.shared.vault.reading_vault(row.vault_segment) {
            Ok(file) => file,
            Err(failure) if failure.source.kind() == std::io::ErrorKind::NotFound => return Err(lost(failure.source)),
            Err(failure) => return Err(failure.into()),
        };
        let table = row.vault_offset + VAULT_FIXED as u64;
        let start = u32::from_be_bytes(file.read_array(table + 4 * (index - row.first))?);
        if start == NO_PARTS {
            return decision();
        }
        let body = table + 4 * u64::from(row.count) + 4;
        let from = body + u64::from(start);
        // Up to the next parts would be enough; up to the frame's end is simple, and one of few large reads.
        let lengths: [u8; 9] = file.read_array(from)?;
        let part =
            |at: usize| lengths.get(at..at + 4).and_then(|b| b.first_chunk()).map_or(0, |b| u32::from_be_bytes(*b));
        let len = 45 + u64::from(part(1)) + u64::from(part(5));
        if from + len > row.vault_offset + u64::from(row.vault_len) {
            return Err(ReadError::Lost { index });
        }
        let bytes = file.read_vec(from, usize::try_from(len).unwrap_or(usize::MAX))?;
        Ok((PartsPlace { segment: row.vault_segment, offset: from }, bytes))
    }

    /// The index of the decision with this permit id.
    pub fn permit(&self, permit: &PermitId) -> Result<Option<u64>, ReadError> {
        for index in self.shared.keys.permit(permit, self.size())? {
            if matches!(self.record(index)?, Record::Decision(decision) if decision.permit == *permit) {
                return Ok(Some(index));
            }
        }
        Ok(None)
    }

    /// The first index that has this leaf hash.
    pub fn leaf(&self, leaf: &Hash) -> Result<Option<u64>, ReadError> {
        Ok(self.shared.keys.leaf(leaf, self.size())?)
    }

    fn published(&self) -> Arc<Published> {
        self.shared.published.load_full()
    }

    /// The segment that holds a published entry.
    pub(crate) fn segment_of(&self, index: u64) -> Result<u64, ReadError> {
        Ok(self.find(index, &self.published())?.1.segment)
    }

    fn find(&self, index: u64, published: &Published) -> Result<(u64, Row), ReadError> {
        let size = published.head.checkpoint.size;
        if index >= size {
            return Err(ReadError::Beyond { asked: index, size });
        }
        let found = self.shared.rows.find(index, published.frames)?;
        found.ok_or_else(|| self.damaged(index))
    }

    /// Entries in bundle form, exactly `count` from `first`.
    /// Each leaf is held against its hash in the tree: bytes that rotted on the disk, or were changed there, are an error and not an
    /// answer, whatever their frame's checksum said when it was last read.
    pub(crate) fn believed_run(&self, first: u64, count: u64) -> Result<Vec<u8>, ReadError> {
        let run = self.run(first, count)?;
        let mut next = first;
        for leaf in verifier::tile::entries(&run) {
            let leaf = leaf.map_err(|_| self.damaged(next))?;
            if leaf_hash(leaf) != self.shared.levels.node(0, next)? {
                return Err(ReadError::Contradiction { index: next });
            }
            next += 1;
        }
        if next == first + count { Ok(run) } else { Err(self.damaged(next)) }
    }

    fn run(&self, first: u64, count: u64) -> Result<Vec<u8>, ReadError> {
        let published = self.published();
        let size = published.head.checkpoint.size;
        let end = first.checked_add(count).ok_or(ReadError::Range)?;
        if count == 0 || count > MAX_ENTRIES {
            return Err(ReadError::Range);
        }
        if end > size {
            return Err(ReadError::Beyond { asked: end - 1, size });
        }
        let mut out = Vec::new();
        let (mut number, mut row) = self.find(first, &published)?;
        let mut next = first;
        loop {
            let stop = end.min(row.end());
            self.copy_from_frame(&row, next, stop, &mut out)?;
            next = stop;
            if next == end {
                return Ok(out);
            }
            number += 1;
            row = self.shared.rows.row(number)?;
        }
    }

    /// Copies entries `from..to` of one frame in bundle form.
    fn copy_from_frame(&self, row: &Row, from: u64, to: u64, out: &mut Vec<u8>) -> Result<(), ReadError> {
        /// What is read at once while walking: more than the 63 entries of 256 B that lie before the one asked for.
        const CHUNK: u64 = 32 << 10;
        let file = self.shared.journal.reading(row.segment)?;
        let (mut index, mut offset) = self.shared.rows.nearest(from, row)?;
        let end = row.end_offset();
        let mut chunk = Vec::new();
        let mut at = 0;
        while index < to {
            let left = chunk.get(at..).unwrap_or_default();
            let need = match left.first_chunk() {
                Some(len) => 2 + usize::from(u16::from_be_bytes(*len)),
                None => 2,
            };
            if left.len() < need || left.len() < 2 {
                offset += at as u64;
                let want = CHUNK.max(need as u64).min(end.saturating_sub(offset));
                if want < need as u64 {
                    return Err(self.damaged(index));
                }
                chunk = file.read_vec(offset, usize::try_from(want).unwrap_or(usize::MAX))?;
                at = 0;
                continue;
            }
            if index >= from {
                out.extend_from_slice(left.get(..need).unwrap_or_default());
            }
            at += need;
            index += 1;
        }
        Ok(())
    }

    fn damaged(&self, index: u64) -> ReadError {
        let journal = &self.shared.journal;
        // A directory that cannot be listed leaves the first segment's name.
        let segment = journal.list().ok().and_then(|list| list.into_iter().rfind(|first| *first <= index));
        ReadError::Damaged { file: journal.present(segment.unwrap_or(0)), index }
    }
}
