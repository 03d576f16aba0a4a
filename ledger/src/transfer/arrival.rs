//! A directory that is made of what arrives, believing nothing of it.
//!
//! Guarantees: only names that a log has, each once and in order, each no longer than it may be, are written; the directory becomes one that
//! can be opened (`log.toml` comes last, by its name) only after all of it was derived from the journal, held against the signed head, and
//! audited; there is nothing behind the head. Whatever fails on the way removes what was made; what a crash leaves is taken away by the next
//! arrival there. Does not: make a memory or, unless it is given them, keys.

use std::path::{Path, PathBuf};

use verifier::note::VerifierKey;

use super::{Malformed, Sink, TransferError, Transferred, clean};
use crate::archive::Place;
use crate::check::{Report, audit_at};
use crate::create::sync_parent;
use crate::derived::Mark;
use crate::head::Head;
use crate::layout::{
    Identity, Layout, SEGMENT_BYTES, SEGMENT_HEADER, SMALL_FILE, SegmentKind, sealed_first, segment_first,
};
use crate::open::OpenError;
use crate::reader::ReadError;
use crate::rows::Rows;
use crate::segments::Segments;
use crate::storage::{File, Files, IoFailure, LockGuard, Mode};

/// A segment is closed once it has [`SEGMENT_BYTES`]; the frame that fills it may be as large again.
const MAX_SEGMENT: u64 = 4 * SEGMENT_BYTES;
/// Segments of journal and vault: 64 TiB each.
const MAX_SEGMENTS: usize = 1 << 20;

/// The directory under way.
#[derive(Debug)]
pub(super) struct Arrival {
    files: Files,
    layout: Layout,
    key: Option<VerifierKey>,
    /// It did not exist before.
    made: bool,
    lock: Box<dyn LockGuard>,
    toml: Vec<u8>,
    head: Vec<u8>,
    /// The last of each kind that arrived; names ascend.
    journal: Option<u64>,
    vault: Option<u64>,
    segments: usize,
    at: At,
}

/// The member that arrives now.
#[derive(Debug)]
enum At {
    Nothing,
    Toml,
    Head,
    File(File, u64),
}

impl Arrival {
    /// Takes a directory that does not exist, is empty or holds an arrival that was cut short.
    pub(super) fn begin(files: Files, dir: &Path, key: Option<VerifierKey>) -> Result<Self, TransferError> {
        let (layout, made) = (Layout::new(dir), !files.exists(dir)?);
        if made {
            files.create_dir(dir, false)?;
        }
        let lock = take(&files, &layout).inspect_err(|_| {
            if made {
                // An empty directory that cannot be removed is no log.
                let _best_effort = files.remove_dir(dir);
            }
        })?;
        let (toml, head, journal, vault) = (Vec::new(), Vec::new(), None, None);
        let arrival = Self { files, layout, key, made, lock, toml, head, journal, vault, segments: 0, at: At::Nothing };
        match arrival.mark() {
            Ok(()) => Ok(arrival),
            Err(failure) => Err(arrival.undo(failure.into())),
        }
    }

    /// Before everything else: whatever stands beside it from here on is known to be unfinished.
    fn mark(&self) -> Result<(), IoFailure> {
        clear(&self.files, &self.layout)?;
        self.files.write_new(&self.layout.arriving(), Mode::New, &[])?;
        self.files.sync_dir(&self.layout.dir)
    }

    /// Everything arrived: derives, checks, and only then lets the directory be opened. `keys` are written into `keys/`.
    pub(super) fn finish(&mut self, keys: &[(String, Vec<u8>)]) -> Result<Transferred, TransferError> {
        if self.toml.is_empty() || self.head.is_empty() || self.journal.is_none() {
            return Err(Malformed::Incomplete.into());
        }
        let identity = Identity::from_toml(&self.toml)
            .map_err(|why| OpenError::Malformed { file: self.layout.log_toml(), why })?;
        if let Some(key) = &self.key
            && *key != identity.key
        {
            return Err(TransferError::OtherKey { found: identity.key.to_string() });
        }
        let file = self.layout.archived_head();
        let note = str::from_utf8(&self.head).ok();
        let head = note.and_then(|note| Head::from_note(&identity.key, note, identity.created_ms));
        let head = head.ok_or_else(|| OpenError::HeadUnsigned { file: file.clone() })?;
        self.sync_dirs()?;
        let (files, layout) = (self.files.clone(), self.layout.clone());
        drop(Place { files, layout, identity: identity.clone(), head: head.clone() }.open(None)?);
        self.check_lengths(&identity, &head)?;
        let mut report = Report::default();
        audit_at(&self.files, &self.layout, &identity, &head, &mut report)
            .map_err(|error| TransferError::Damaged { what: error.to_string() })?;
        clean(&report)?;
        if !keys.is_empty() {
            self.files.create_dir(&self.layout.keys(), true)?;
            for (name, bytes) in keys {
                self.files.write_new(&self.layout.keys().join(name), Mode::NewSecret, bytes)?;
            }
            self.files.sync_dir(&self.layout.keys())?;
        }
        self.files.write_new(&file, Mode::New, &self.head)?;
        let arriving = self.files.open(&self.layout.arriving(), Mode::Write)?;
        arriving.write_at(0, &self.toml)?;
        arriving.sync()?;
        self.files.sync_dir(&self.layout.dir)?;
        // If we crash before this, there is no log here, and importing again begins anew. After it, everything is there.
        self.files.rename(&self.layout.arriving(), &self.layout.log_toml())?;
        self.files.sync_dir(&self.layout.dir)?;
        sync_parent(&self.files, &self.layout.dir)?;
        Ok(Transferred {
            origin: identity.origin,
            verification_key: identity.key.to_string(),
            size: head.checkpoint.size,
            root: head.checkpoint.root,
            checkpoint: head.note,
            private_parts: self.vault.is_some(),
        })
    }

    /// Every file is exactly as long as the frames in it: nothing stands behind the head, nor between two segments.
    fn check_lengths(&self, identity: &Identity, head: &Head) -> Result<(), TransferError> {
        let (files, layout, size) = (&self.files, &self.layout, head.checkpoint.size);
        let journal = Segments::new(files, &layout.journal(), SegmentKind::Journal, identity.id);
        let vault = Segments::new(files, &layout.vault(), SegmentKind::Vault, identity.id);
        let rows = Rows::for_reading(files, &layout.index())?;
        let frames = Mark::read(files, layout, &identity.id)?.map_or(0, |mark| mark.frames);
        // Where journal and vault stand before the entry that a segment, or nothing, begins with.
        let before = |entry: u64| match entry.checked_sub(1) {
            None => Ok(((0, SEGMENT_HEADER), (0, SEGMENT_HEADER))),
            Some(last) => match rows.find(last, frames).map_err(OpenError::from)? {
                Some((_, row)) => Ok(((row.segment, row.end_offset()), row.vault_end())),
                None => Err(OpenError::Derived { file: layout.index() }),
            },
        };
        let exact = |first: u64, stands: (u64, u64), len: u64, file: PathBuf| {
            let what = || format!("{}: something stands behind its frames", file.display());
            if stands == (first, len) { Ok(()) } else { Err(TransferError::DoesNotHold { first: what(), count: 1 }) }
        };
        let list = journal.list()?;
        for (first, end) in list.iter().copied().zip(list.iter().copied().skip(1).chain([size])) {
            let len = journal.reading(first).map_err(ReadError::from).map_err(OpenError::from)?.len()?;
            exact(first, before(end)?.0, len, journal.present(first))?;
        }
        let list = if self.vault.is_some() { vault.list()? } else { Vec::new() };
        for (first, end) in list.iter().copied().zip(list.iter().copied().skip(1).chain([size])) {
            exact(first, before(end)?.1, vault.reading_vault(first)?.len()?, vault.path(first))?;
        }
        Ok(())
    }

    /// Removes what was made, and gives the reason back.
    pub(super) fn undo(self, reason: TransferError) -> TransferError {
        // The reason is what counts; what cannot be removed has no `log.toml` and is no log.
        let _best_effort = self.remove();
        reason
    }

    fn remove(self) -> Result<(), IoFailure> {
        let Self { files, layout, made, lock, .. } = self;
        if files.exists(&layout.log_toml())? {
            files.rename(&layout.log_toml(), &layout.arriving())?;
        }
        clear(&files, &layout)?;
        drop(lock);
        files.remove(&layout.lock())?;
        if made { files.remove_dir(&layout.dir) } else { Ok(()) }
    }

    fn sync_dirs(&self) -> Result<(), IoFailure> {
        for dir in [self.layout.journal(), self.layout.vault()] {
            if self.files.exists(&dir)? {
                self.files.sync_dir(&dir)?;
            }
        }
        Ok(())
    }

    /// The file that a segment's member becomes, if its name is one and comes next.
    fn segment(&mut self, name: &str) -> Result<Option<PathBuf>, TransferError> {
        let (dir, first, secret) = match name.split_once('/') {
            Some(("journal", name)) if self.vault.is_none() => {
                let first = segment_first(name).or_else(|| sealed_first(name));
                let next = first.filter(|first| self.journal.map_or(*first == 0, |last| *first > last));
                self.journal = next.or(self.journal);
                (self.layout.journal().join(name), next, false)
            }
            Some(("vault", name)) if self.journal.is_some() => {
                let next = segment_first(name).filter(|first| self.vault.map_or(*first == 0, |last| *first > last));
                self.vault = next.or(self.vault);
                (self.layout.vault().join(name), next, true)
            }
            _ => return Ok(None),
        };
        if first.is_none() || self.segments >= MAX_SEGMENTS {
            return Ok(None);
        }
        self.segments += 1;
        if let Some(parent) = dir.parent()
            && !self.files.exists(parent)?
        {
            self.files.create_dir(parent, secret)?;
        }
        Ok(Some(dir))
    }
}

impl Sink for Arrival {
    fn begin(&mut self, name: &str, len: u64) -> Result<(), TransferError> {
        let small = |len: u64| if len > SMALL_FILE { Err(Malformed::TooLong(name.to_owned())) } else { Ok(()) };
        self.at = match name {
            "log.toml" if self.toml.is_empty() => {
                small(len)?;
                At::Toml
            }
            "head" if !self.toml.is_empty() && self.head.is_empty() => {
                small(len)?;
                At::Head
            }
            _ => {
                let path = if self.head.is_empty() { None } else { self.segment(name)? };
                let path = path.ok_or_else(|| Malformed::Name(name.to_owned()))?;
                if len > MAX_SEGMENT {
                    return Err(Malformed::TooLong(name.to_owned()).into());
                }
                At::File(self.files.open(&path, Mode::New)?, 0)
            }
        };
        Ok(())
    }

    fn write(&mut self, bytes: &[u8]) -> Result<(), TransferError> {
        match &mut self.at {
            At::Nothing => {}
            At::Toml => self.toml.extend_from_slice(bytes),
            At::Head => self.head.extend_from_slice(bytes),
            At::File(file, offset) => {
                file.write_at(*offset, bytes)?;
                *offset += bytes.len() as u64;
            }
        }
        Ok(())
    }

    fn end(&mut self) -> Result<(), TransferError> {
        if let At::File(file, _) = std::mem::replace(&mut self.at, At::Nothing) {
            file.sync()?;
        }
        Ok(())
    }
}

/// Locks a directory for an arrival.
fn take(files: &Files, layout: &Layout) -> Result<Box<dyn LockGuard>, TransferError> {
    refuse_others(files, layout)?;
    let locked = || OpenError::Locked { dir: layout.dir.clone() };
    let lock = files.lock(&layout.lock())?.ok_or_else(locked)?;
    // Whoever had the lock may have finished.
    refuse_others(files, layout)?;
    Ok(lock)
}

/// Refuses a directory that has anything in it but what an arrival that was cut short left.
fn refuse_others(files: &Files, layout: &Layout) -> Result<(), TransferError> {
    const OURS: [&str; 8] = ["arriving", "head", "index", "journal", "keys", "lock", "tree", "vault"];
    let names = files.list(&layout.dir)?;
    let nothing = names.iter().all(|name| name == "lock");
    let unfinished =
        names.iter().any(|name| name == "arriving") && names.iter().all(|name| OURS.contains(&name.as_str()));
    if nothing || unfinished { Ok(()) } else { Err(TransferError::NotEmpty { dir: layout.dir.clone() }) }
}

/// Removes what an arrival made, the mark that it is unfinished last.
fn clear(files: &Files, layout: &Layout) -> Result<(), IoFailure> {
    if files.exists(&layout.archived_head())? {
        files.remove(&layout.archived_head())?;
    }
    for dir in [layout.journal(), layout.vault(), layout.tree(), layout.index(), layout.keys()] {
        if files.exists(&dir)? {
            for name in files.list(&dir)? {
                files.remove(&dir.join(name))?;
            }
            files.remove_dir(&dir)?;
        }
    }
    if files.exists(&layout.arriving())? {
        files.sync_dir(&layout.dir)?;
        files.remove(&layout.arriving())?;
    }
    Ok(())
}
