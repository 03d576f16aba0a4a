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
//! last that was published. Does not: notice that the memory itself was rolled back together with the directory; witnesses do.

use std::path::{Path, PathBuf};

use verifier::hash::Hash;

use crate::bytes::{Put, Take, checked};
use crate::storage::{File, Files, IoFailure, Mode};

const MAGIC: &[u8; 8] = b"ILMEMRY1";
const SLOT: usize = 164;
/// Two slots share no page and no sector.
const SLOT_OFFSETS: [u64; 2] = [0, 4096];

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

    /// Opens a memory with the head that it remembers. `None` if there is no such file.
    pub(crate) fn open(files: &Files, path: &Path, log: Hash) -> Result<Option<(Self, Remembered)>, MemoryError> {
        if !files.exists(path)? {
            return Ok(None);
        }
        let file = files.open(path, Mode::Write)?;
        let (sequence, head) = read(&file, &log)?;
        Ok(Some((Self { file, log, sequence }, head)))
    }

    /// The head that a file remembers, without opening it for writing. `None` if there is no such file.
    pub(crate) fn peek(files: &Files, path: &Path, log: Hash) -> Result<Option<Remembered>, MemoryError> {
        if !files.exists(path)? {
            return Ok(None);
        }
        Ok(Some(read(&files.open(path, Mode::Read)?, &log)?.1))
    }

    /// Remembers a head, durably. If we crash here, the slot before still stands.
    pub(crate) fn remember(&mut self, head: &Remembered) -> Result<(), IoFailure> {
        let sequence = self.sequence + 1;
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
        self.file.sync()?;
        self.sequence = sequence;
        Ok(())
    }
}

fn offset_of(sequence: u64) -> u64 {
    if sequence.is_multiple_of(2) { SLOT_OFFSETS[0] } else { SLOT_OFFSETS[1] }
}

fn read(file: &File, log: &Hash) -> Result<(u64, Remembered), MemoryError> {
    let len = file.len()?;
    let mut best: Option<(u64, Hash, Remembered)> = None;
    for offset in SLOT_OFFSETS {
        if offset + SLOT as u64 > len {
            continue;
        }
        if let Some(slot) = decode(&file.read_array(offset)?)
            && best.as_ref().is_none_or(|(sequence, ..)| slot.0 > *sequence)
        {
            best = Some(slot);
        }
    }
    match best {
        None => Err(MemoryError::Damaged { file: file.path().to_owned() }),
        Some((_, other, _)) if other != *log => Err(MemoryError::OtherLog { file: file.path().to_owned() }),
        Some((sequence, _, head)) => Ok((sequence, head)),
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

    #[test]
    fn the_newest_whole_slot_is_remembered() {
        let (ram, files) = disk();
        let (path, log) = (Path::new("/m/log.memory"), sha256(b"log"));
        let mut memory = Memory::create(&files, path, log).unwrap();
        for size in 1..5 {
            memory.remember(&head(size)).unwrap();
            assert_eq!(Memory::peek(&files, path, log).unwrap(), Some(head(size)));
        }
        // The slot of sequence 4 is at offset 0; each flipped bit of it leaves sequence 3.
        for byte in 0..SLOT {
            ram.damage(path, |bytes| bytes[byte] ^= 0x10).unwrap();
            assert_eq!(Memory::peek(&files, path, log).unwrap(), Some(head(3)));
            ram.damage(path, |bytes| bytes[byte] ^= 0x10).unwrap();
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
