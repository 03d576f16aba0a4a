//! The remembered head: what keeps a log from forking when its directory is rolled back, restored or damaged (threats 3 and 4).
//!
//! ```text
//! two slots, at offsets 0 and 4096 of a file outside DIR, written in turn
//!      0   8  magic "ILMEMRY1"
//!      8   8  sequence; the slot with the higher one counts
//!     16  32  log id: SHA-256 of the verification key's text
//!     48   8  size
//!     56  32  root
//!     88   8  time, Unix milliseconds
//!     96  64  Ed25519 signature over the checkpoint's text
//!    160   4  CRC-32 of all before
//! ```
//!
//! Guarantees: a head is on the medium here before anybody is told of it. A write that is torn leaves the slot before it, whose head is the
//! last that was published. A slot that is neither whole nor as it was made is told as damaged: the slot of a head is written only after
//! its frame is durable, so recovery can tell a torn write (the frame is there) from damage (it need not be).
//! Does not: notice that the memory itself was rolled back together with the directory; witnesses do. The bytes between the slots are never
//! read and mean nothing.

use std::path::{Path, PathBuf};
use std::time::Duration;

use verifier::hash::Hash;

use crate::bytes::{Put, Take, checked};
use crate::storage::{File, Files, IoFailure, Mode};

const MAGIC: &[u8; 8] = b"ILMEMRY1";
const SLOT: usize = 164;
/// Two slots share no page and no sector.
const SLOT_OFFSETS: [u64; 2] = [0, 4096];
/// A check beside a running writer may meet a slot while it is written; that it does so each of three times is not to be expected.
const LOOKS: u32 = 3;

/// A head as it is remembered.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Remembered {
    pub(crate) size: u64,
    pub(crate) root: Hash,
    pub(crate) time_ms: u64,
    pub(crate) signature: [u8; 64],
}

/// Why the memory cannot be used.
#[derive(Debug, thiserror::Error)]
pub(crate) enum MemoryError {
    #[error(transparent)]
    Io(#[from] IoFailure),
    #[error("`{file}` remembers no head: both slots are damaged", file = file.display())]
    Damaged { file: PathBuf },
    #[error("`{file}` remembers the head of another log", file = file.display())]
    OtherLog { file: PathBuf },
}

/// What a memory file holds.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Slots {
    /// The head in the newest whole slot.
    pub(crate) head: Remembered,
    sequence: u64,
    /// The other slot is damaged: it may have held a newer head.
    pub(crate) damaged: bool,
}

/// The memory file, open for writing.
#[derive(Debug)]
pub(crate) struct Memory {
    file: File,
    log: Hash,
    sequence: u64,
}

impl Memory {
    /// Makes a memory; the file must not exist.
    pub(crate) fn create(files: &Files, path: &Path, log: Hash) -> Result<Self, IoFailure> {
        let file = files.open(path, Mode::New)?;
        Ok(Self { file, log, sequence: 0 })
    }

    /// Opens a memory with what it holds. `None` if there is no such file.
    pub(crate) fn open(files: &Files, path: &Path, log: Hash) -> Result<Option<(Self, Slots)>, MemoryError> {
        if !files.exists(path)? {
            return Ok(None);
        }
        let file = files.open(path, Mode::Write)?;
        let slots = read(&file, &log)?;
        Ok(Some((Self { file, log, sequence: slots.sequence }, slots)))
    }

    /// What a file holds, without opening it for writing. `None` if there is no such file.
    pub(crate) fn peek(files: &Files, path: &Path, log: Hash) -> Result<Option<Slots>, MemoryError> {
        if !files.exists(path)? {
            return Ok(None);
        }
        let file = files.open(path, Mode::Read)?;
        let mut slots = read(&file, &log)?;
        for _ in 1..LOOKS {
            if slots.damaged {
                slots = read(&file, &log)?;
            }
        }
        Ok(Some(slots))
    }

    /// Whether a file was made here and nothing was ever remembered in it.
    pub(crate) fn is_blank(files: &Files, path: &Path) -> Result<bool, IoFailure> {
        let file = files.open(path, Mode::Read)?;
        // The first head goes to the second slot.
        let len = file.len()?.min(SLOT_OFFSETS[1] + SLOT as u64 + 1);
        let bytes = file.read_vec(0, usize::try_from(len).unwrap_or(usize::MAX))?;
        Ok(len <= SLOT_OFFSETS[1] + SLOT as u64 && bytes.iter().all(|byte| *byte == 0))
    }

    /// Remembers a head, durably. If we crash here, the slot before still stands.
    pub(crate) fn remember(&mut self, head: &Remembered) -> Result<Duration, IoFailure> {
        let sequence = self.sequence + 1;
        let synced = self.put(sequence, head)?;
        self.sequence = sequence;
        Ok(synced)
    }

    /// Writes the head that was just read into its slot once more: what the page cache showed may never have reached the medium. If we crash
    /// here, the bytes are the same before, after and between.
    pub(crate) fn renew(&self, head: &Remembered) -> Result<(), IoFailure> {
        self.put(self.sequence, head).map(drop)
    }

    /// Returns what the sync took.
    fn put(&self, sequence: u64, head: &Remembered) -> Result<Duration, IoFailure> {
        let slot: [u8; SLOT] = Put::new()
            .bytes(MAGIC)
            .u64(sequence)
            .bytes(&self.log.0)
            .u64(head.size)
            .bytes(&head.root.0)
            .u64(head.time_ms)
            .bytes(&head.signature)
            .crc()
            .done();
        self.file.write_at(offset_of(sequence), &slot)?;
        self.file.sync_timed()
    }
}

fn offset_of(sequence: u64) -> u64 {
    if sequence.is_multiple_of(2) { SLOT_OFFSETS[0] } else { SLOT_OFFSETS[1] }
}

fn read(file: &File, log: &Hash) -> Result<Slots, MemoryError> {
    let len = file.len()?;
    let mut best: Option<(u64, Hash, Remembered)> = None;
    let (mut whole, mut blank) = (0, 0);
    for offset in SLOT_OFFSETS {
        let bytes: [u8; SLOT] = if offset + SLOT as u64 > len { [0; SLOT] } else { file.read_array(offset)? };
        match decode(&bytes) {
            Some(slot) => {
                whole += 1;
                if best.as_ref().is_none_or(|(sequence, ..)| slot.0 > *sequence) {
                    best = Some(slot);
                }
            }
            None => blank += u32::from(bytes == [0; SLOT]),
        }
    }
    match best {
        None => Err(MemoryError::Damaged { file: file.path().to_owned() }),
        Some((_, other, _)) if other != *log => Err(MemoryError::OtherLog { file: file.path().to_owned() }),
        Some((sequence, _, head)) => {
            // A slot is blank until the second head is remembered, and never again.
            let damaged = whole == 1 && !(sequence == 1 && blank == 1);
            Ok(Slots { head, sequence, damaged })
        }
    }
}

fn decode(bytes: &[u8; SLOT]) -> Option<(u64, Hash, Remembered)> {
    let mut take = Take(checked(bytes)?);
    if take.array()? != *MAGIC {
        return None;
    }
    let (sequence, log) = (take.u64()?, take.hash()?);
    let head = Remembered { size: take.u64()?, root: take.hash()?, time_ms: take.u64()?, signature: take.array()? };
    take.finish((sequence, log, head))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::storage::ram::Ram;
    use std::sync::Arc;
    use verifier::hash::sha256;

    fn head(size: u64) -> Remembered {
        Remembered { size, root: sha256(&size.to_be_bytes()), time_ms: size, signature: [7; 64] }
    }

    fn disk() -> (Ram, Files) {
        let ram = Ram::new();
        let files = Files(Arc::new(ram.process()));
        files.create_dir(Path::new("/m/x"), false).unwrap();
        (ram, files)
    }

    fn held(files: &Files, path: &Path, log: Hash) -> (Remembered, bool) {
        let slots = Memory::peek(files, path, log).unwrap().unwrap();
        (slots.head, slots.damaged)
    }

    #[test]
    fn the_newest_whole_slot_is_remembered_and_damage_to_either_is_told() {
        let (ram, files) = disk();
        let (path, log) = (Path::new("/m/log.memory"), sha256(b"log"));
        let mut memory = Memory::create(&files, path, log).unwrap();
        for size in 1..5 {
            memory.remember(&head(size)).unwrap();
            assert_eq!(held(&files, path, log), (head(size), false));
        }
        // The slot of sequence 4 is at offset 0, that of sequence 3 behind it.
        for bit in 0..SLOT * 8 {
            for (slot, left) in [(0, 3), (4096, 4)] {
                let flip = |bytes: &mut Vec<u8>| bytes[slot + bit / 8] ^= 1 << (bit % 8);
                ram.damage(path, flip).unwrap();
                assert_eq!(held(&files, path, log), (head(left), true), "bit {bit} of the slot at {slot}");
                ram.damage(path, flip).unwrap();
            }
        }
        for (slot, left) in [(0, 3), (4096, 4)] {
            let whole = ram.snapshot()[path].clone();
            ram.damage(path, |bytes| bytes[slot..slot + SLOT].fill(0)).unwrap();
            assert_eq!(held(&files, path, log), (head(left), true), "only a new memory has a blank slot");
            ram.damage(path, |bytes| *bytes = whole).unwrap();
        }
        ram.damage(path, |bytes| bytes.truncate(4096 + 10)).unwrap();
        assert_eq!(held(&files, path, log), (head(4), true));
    }

    #[test]
    fn a_head_that_is_renewed_leaves_the_same_bytes() {
        let (ram, files) = disk();
        let (path, log) = (Path::new("/m/log.memory"), sha256(b"log"));
        let mut memory = Memory::create(&files, path, log).unwrap();
        for size in 1..4 {
            memory.remember(&head(size)).unwrap();
            let before = ram.snapshot();
            let (opened, slots) = Memory::open(&files, path, log).unwrap().unwrap();
            opened.renew(&slots.head).unwrap();
            assert_eq!(ram.snapshot(), before);
        }
    }

    #[test]
    fn a_memory_of_another_log_or_without_a_whole_slot_is_refused() {
        let (ram, files) = disk();
        let path = Path::new("/m/log.memory");
        Memory::create(&files, path, sha256(b"log")).unwrap().remember(&head(1)).unwrap();
        assert!(matches!(Memory::peek(&files, path, sha256(b"x")), Err(MemoryError::OtherLog { .. })));
        ram.damage(path, |bytes| bytes.fill(0)).unwrap();
        assert!(matches!(Memory::peek(&files, path, sha256(b"log")), Err(MemoryError::Damaged { .. })));
    }
}
