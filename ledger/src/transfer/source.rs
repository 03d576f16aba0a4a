//! What of a log is taken: exactly what its last signed head covers.
//!
//! Sealed journal segments are taken as they stand; raw ones are written frame by frame, the last one up to the head, since the log may go on
//! behind it, and the others without what an interrupted recovery may have left at their end. Of the vault the last segment ends with the
//! head too.
//!
//! Why beside a running server: the head is read first. Everything that it covers was durable before it was remembered, journal and vault only
//! grow, and a segment that is sealed meanwhile says the same in either form; so whatever is read later is at least as much.
//!
//! Guarantees: frames that are written one by one are whole and end at the head. Does not: check the files that are taken as they stand;
//! whoever makes a directory of them does.

use std::path::Path;

use super::{CHUNK, Sink, TransferError, Transferred};
use crate::archive::last_head;
use crate::frame::FrameHeader;
use crate::head::Head;
use crate::layout::{Identity, Layout, SEGMENT_HEADER, SMALL_FILE, SegmentKind, segment_header, segment_name};
use crate::open::{OpenError, read_identity};
use crate::scan::{Frame, JournalScan, Step};
use crate::sealed::SegmentError;
use crate::segments::{Segment, Segments};
use crate::storage::{File, Files, Mode};
use crate::vault_scan::VaultScan;

/// A log that is only read.
#[derive(Debug)]
pub(super) struct Source {
    files: Files,
    layout: Layout,
    identity: Identity,
    journal: Segments,
    vault: Segments,
    head: Head,
    has_vault: bool,
}

impl Source {
    /// Identifies a log and its last signed head.
    pub(super) fn look(files: Files, dir: &Path, memory: Option<&Path>) -> Result<Self, TransferError> {
        let layout = Layout::new(dir);
        if !files.exists(&layout.log_toml())? {
            return Err(OpenError::NotALog { dir: dir.to_owned() }.into());
        }
        let identity = read_identity(&files, &layout)?;
        // Before anything else is looked at.
        let (head, _) = last_head(&files, &layout, &identity, memory)?;
        let journal = Segments::new(&files, &layout.journal(), SegmentKind::Journal, identity.id);
        let vault = Segments::new(&files, &layout.vault(), SegmentKind::Vault, identity.id);
        let has_vault = files.exists(&layout.vault())?;
        Ok(Self { files, layout, identity, journal, vault, head, has_vault })
    }

    /// The files of `keys/`, for a backup that is to become the log again.
    pub(super) fn keys(&self) -> Result<Vec<(String, Vec<u8>)>, TransferError> {
        let mut keys = Vec::new();
        for name in self.files.list(&self.layout.keys())? {
            // What an interrupted change left is no key.
            if !name.ends_with(".new") {
                let bytes = self.files.read(&self.layout.keys().join(&name), KEY_FILE)?;
                keys.push((name, bytes));
            }
        }
        Ok(keys)
    }

    /// Copies everything that the head covers.
    pub(super) fn copy(&self, private_parts: bool, sink: &mut dyn Sink) -> Result<Transferred, TransferError> {
        let private_parts = private_parts && self.has_vault;
        let size = self.head.checkpoint.size;
        let below = |list: Vec<u64>| list.into_iter().filter(|first| *first < size.max(1)).collect::<Vec<u64>>();
        let journal = below(self.journal.list()?);
        let vault = if private_parts { below(self.vault.list()?) } else { Vec::new() };
        if journal.is_empty() || vault.is_empty() == private_parts {
            return Err(TransferError::Damaged { what: "its first segment is missing".to_owned() });
        }
        let vault_end = vault.last().map(|last| self.vault_end(&journal, *last)).transpose()?;

        let toml = self.files.read(&self.layout.log_toml(), SMALL_FILE)?;
        self.copy_bytes("log.toml", &toml, sink)?;
        self.copy_bytes("head", self.head.note.as_bytes(), sink)?;
        let ends = journal.iter().copied().skip(1).chain([size]);
        for (first, end) in journal.iter().copied().zip(ends) {
            self.copy_segment(first, end, sink)?;
        }
        for first in &vault {
            let file = self.vault.reading_vault(*first)?;
            let len = vault_end.filter(|_| vault.last() == Some(first)).map_or_else(|| file.len(), Ok)?;
            copy_file(&format!("vault/{}", segment_name(*first)), &file, len, sink)?;
        }
        let checkpoint = &self.head.checkpoint;
        Ok(Transferred {
            origin: self.identity.origin.clone(),
            verification_key: self.identity.key.to_string(),
            size,
            root: checkpoint.root,
            checkpoint: self.head.note.clone(),
            private_parts,
        })
    }

    /// Where the last segment of the vault ends under the head.
    fn vault_end(&self, journal: &[u64], vault: u64) -> Result<u64, TransferError> {
        let from = journal.iter().copied().rfind(|first| *first <= vault).unwrap_or(0);
        let mut scan = JournalScan::new(&self.journal, from, SEGMENT_HEADER, from, 0)?;
        let mut parts = VaultScan::new(&self.vault, vault, SEGMENT_HEADER)?;
        while scan.next < self.head.checkpoint.size {
            let frame = self.next(&mut scan)?;
            if frame.header.first >= vault {
                parts.frame_of(&frame.header)?.map_err(|broken| TransferError::Damaged {
                    what: format!("{}, offset {}: the vault is broken", broken.file.display(), broken.offset),
                })?;
            }
        }
        Ok(parts.offset)
    }

    fn next(&self, scan: &mut JournalScan<'_>) -> Result<Frame, TransferError> {
        let size = self.head.checkpoint.size;
        match scan.step()? {
            Step::Frame(frame) if frame.header.end() <= size => Ok(*frame),
            Step::Frame(frame) => Err(TransferError::Damaged {
                what: format!("the head of size {size} ends within the frame of entry {}", frame.header.first),
            }),
            Step::End => Err(TransferError::Damaged { what: format!("it ends at entry {}", scan.next) }),
            Step::Broken { file, offset, index, why } => {
                let what = format!("{}, entry {index}, offset {offset}: {why}", file.display());
                Err(TransferError::Damaged { what })
            }
        }
    }

    fn copy_bytes(&self, name: &str, bytes: &[u8], sink: &mut dyn Sink) -> Result<(), TransferError> {
        sink.begin(name, bytes.len() as u64)?;
        sink.write(bytes)?;
        sink.end()
    }

    /// The segment of the entries `first..end`.
    fn copy_segment(&self, first: u64, end: u64, sink: &mut dyn Sink) -> Result<(), TransferError> {
        match self.journal.reading(first) {
            // A head in the middle of a sealed segment is older than its sealing.
            Ok(Segment::Sealed(sealed)) if sealed.end() == end => {
                let file = self.files.open(sealed.path(), Mode::Read)?;
                let name = file.path().file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
                copy_file(&format!("journal/{name}"), &file, file.len()?, sink)
            }
            Ok(Segment::Raw(_) | Segment::Sealed(_)) => self.copy_frames(first, end, sink),
            Err(SegmentError::Io(failure)) => Err(failure.into()),
            Err(SegmentError::Damaged(damage)) => {
                let what = format!("{}, entry {}: {}", damage.file.display(), damage.index, damage.why);
                Err(TransferError::Damaged { what })
            }
        }
    }

    /// The frames of the entries `first..end` as a raw segment: once to measure them, once to write them.
    fn copy_frames(&self, first: u64, end: u64, sink: &mut dyn Sink) -> Result<(), TransferError> {
        let mut len = SEGMENT_HEADER;
        self.each_frame(first, end, &mut |frame| {
            len += frame.header.len();
            Ok(())
        })?;
        sink.begin(&format!("journal/{}", segment_name(first)), len)?;
        sink.write(&segment_header(SegmentKind::Journal, &self.identity.id, first))?;
        self.each_frame(first, end, &mut |frame| {
            sink.write(&FrameHeader::encode(&frame.header))?;
            sink.write(&frame.body)
        })?;
        sink.end()
    }

    fn each_frame(
        &self,
        first: u64,
        end: u64,
        visit: &mut dyn FnMut(&Frame) -> Result<(), TransferError>,
    ) -> Result<(), TransferError> {
        let mut scan = JournalScan::new(&self.journal, first, SEGMENT_HEADER, first, 0)?;
        while scan.next < end {
            visit(&self.next(&mut scan)?)?;
        }
        Ok(())
    }
}

/// The file of API keys has at most so many bytes.
const KEY_FILE: u64 = 4 << 20;

fn copy_file(name: &str, file: &File, len: u64, sink: &mut dyn Sink) -> Result<(), TransferError> {
    sink.begin(name, len)?;
    let mut at = 0;
    let mut buffer = vec![0; CHUNK];
    while at < len {
        let count = usize::try_from(len - at).unwrap_or(usize::MAX).min(CHUNK);
        let chunk = buffer.get_mut(..count).unwrap_or_default();
        file.read_at(at, chunk)?;
        sink.write(chunk)?;
        at += count as u64;
    }
    sink.end()
}
