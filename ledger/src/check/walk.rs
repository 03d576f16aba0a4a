//! The walk that both checks share.
//!
//! Three groups of frames are under way at once: one thread reads the next, with what the vault has of it; all cores hash the leaves of the
//! present one; and they settle the one before: nodes level by level over the whole group, each frame's root out of those nodes, and what the
//! check compares. So nobody waits for what one core does alone. Sealed segments are unpacked while they are read, by all cores too.

use std::ops::{ControlFlow, Range};
use std::path::Path;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, SyncSender, channel, sync_channel};

use rayon::prelude::*;
use verifier::hash::leaf_hash;
use verifier::proof::Nodes;

use super::{CheckError, Problem, Progress, Report};
use crate::archive::last_head;
use crate::frame::{FRAME_HEADER, FrameHeader, split_body};
use crate::grow::{Edge, Growth};
use crate::layout::{Identity, Layout, SEGMENT_HEADER, SegmentKind, default_memory};
use crate::levels::Levels;
use crate::memory::{Memory, MemoryError, Remembered};
use crate::open::{OpenError, read_identity};
use crate::scan::{Group, JournalScan, Placed, Step, check_body};
use crate::segments::Segments;
use crate::storage::{Files, IoFailure};
use crate::vault_scan::{Body, Rooms, VaultBroken, VaultFrame, VaultScan};

/// Frames are gathered to so many bytes before all cores set to work on them: enough to share out, little to hold. Four groups are held.
const GROUP: usize = 8 << 20;

/// Who watches a walk: told how far it is after each group, and may break it off.
pub(super) type Watch<'a> = dyn FnMut(Progress) -> ControlFlow<()> + 'a;

/// Private parts of a frame are shared out by so many: frames of this size are one core's work, who has just read them.
pub(super) const PARTS_AT_ONCE: usize = 1024;

/// A log as a check sees it.
#[derive(Debug)]
pub(super) struct Log {
    pub(super) files: Files,
    pub(super) layout: Layout,
    pub(super) identity: Identity,
    pub(super) journal: Segments,
    pub(super) vault: Segments,
    pub(super) remembered: Option<Remembered>,
    /// An archive may have been made without private parts.
    pub(super) has_vault: bool,
    /// For bodies of the vault.
    pub(super) rooms: Rooms,
    /// Bytes that are gathered at once.
    pub(super) group: usize,
    /// Whoever does the work that is shared out, if not all cores; two threads, since one waits for the reader.
    pub(super) pool: Option<Arc<rayon::ThreadPool>>,
}

impl Log {
    pub(super) fn look(
        files: Files,
        dir: &Path,
        memory: Option<&Path>,
        report: &mut Report,
    ) -> Result<Self, CheckError> {
        let layout = Layout::new(dir);
        if !files.exists(&layout.log_toml())? {
            return Err(OpenError::NotALog { dir: dir.to_owned() }.into());
        }
        let identity = read_identity(&files, &layout)?;
        let memory = memory.map_or_else(|| default_memory(dir), Path::to_owned);
        let remembered = match Memory::peek(&files, &memory, identity.id) {
            Ok(Some(slots)) => {
                if slots.damaged {
                    let what =
                        "one of the memory's two slots is damaged; it may have remembered a newer head".to_owned();
                    report.add(Problem { file: memory, index: Some(slots.head.size), offset: None, what });
                }
                Some(slots.head)
            }
            Err(MemoryError::Io(failure)) => return Err(failure.into()),
            // An archive has its last head inside; whether that is signed by the log's key is for the audit to say.
            Ok(None) if files.exists(&layout.archived_head())? => {
                let (head, _) = last_head(&files, &layout, &identity, Some(&memory))?;
                Some(Remembered::of(&head))
            }
            Ok(None) => {
                report.add(Problem {
                    file: memory,
                    index: None,
                    offset: None,
                    what: "the memory is missing".to_owned(),
                });
                None
            }
            Err(error @ (MemoryError::Damaged { .. } | MemoryError::OtherLog { .. })) => {
                report.add(Problem { file: memory, index: None, offset: None, what: error.to_string() });
                None
            }
        };
        Self::at(files, layout, identity, remembered, report)
    }

    pub(super) fn at(
        files: Files,
        layout: Layout,
        identity: Identity,
        remembered: Option<Remembered>,
        report: &mut Report,
    ) -> Result<Self, CheckError> {
        report.origin.clone_from(&identity.origin);
        report.verification_key = identity.key.to_string();
        let journal = Segments::new(&files, &layout.journal(), SegmentKind::Journal, identity.id);
        let vault = Segments::new(&files, &layout.vault(), SegmentKind::Vault, identity.id);
        let is_archive = !files.exists(&layout.keys())?;
        let has_vault = !is_archive || files.exists(&layout.vault())?;
        report.without_private_parts = !has_vault;
        let (rooms, group, pool) = (Rooms::default(), GROUP, None);
        Ok(Self { files, layout, identity, journal, vault, remembered, has_vault, rooms, group, pool })
    }

    /// Walks over all published frames. `visit` gets them in groups, in order, with what `each` made of the leaves, and with what the vault
    /// has of them. A walk that is broken off judges nothing.
    pub(super) fn walk<T: Send>(
        &self,
        report: &mut Report,
        watch: &mut Watch<'_>,
        each: impl Fn(u64, &[u8]) -> T + Sync,
        mut visit: impl FnMut(&mut Report, &Checked<'_, T>) -> Result<(), CheckError> + Send,
    ) -> Result<ControlFlow<()>, CheckError> {
        let bound = self.remembered.as_ref().map(|head| head.size);
        let mut edge = Edge::empty();
        let (mut hashed, mut spare): (Option<Hashed<T>>, Growth) = (None, Growth::new());
        let mut flow = ControlFlow::Continue(());
        std::thread::scope(|scope| {
            // One group is read and unpacked and one waits while one is hashed and the one before it is settled; its memory comes back.
            let (loaded, groups) = sync_channel(1);
            let (empty, emptied) = channel();
            let reader = scope.spawn(move || self.read_ahead(bound.unwrap_or(u64::MAX), &loaded, &emptied));
            for load in groups.into_iter().map(Some).chain([None]) {
                let room = std::mem::replace(&mut spare, Growth::new());
                let before = hashed.take();
                let (next, settled) = rayon::join(
                    || load.map(|load| hash(load, room, &each)),
                    || before.map(|before| self.settle(before, report, &mut edge, &mut visit)),
                );
                if let Some(settled) = settled {
                    let Settled { over, bytes, growth } = settled?;
                    flow = watch(Progress { done: edge.size(), total: bound.unwrap_or(edge.size()).max(edge.size()) });
                    if over || flow.is_break() {
                        break;
                    }
                    // The reader may be done already.
                    let _unwanted = empty.send(bytes);
                    spare = growth;
                }
                hashed = next;
            }
            // Without the receiver, whatever the reader still has is not waited for.
            drop(empty);
            match reader.join() {
                Ok(done) => done.map_err(CheckError::Io),
                Err(panic) => std::panic::resume_unwind(panic),
            }
        })?;
        if flow.is_continue() {
            self.judge(report, &edge);
        }
        Ok(flow)
    }

    /// Reads group after group with their vault frames, until somebody has enough of them.
    fn read_ahead(&self, bound: u64, loaded: &SyncSender<Load>, emptied: &Receiver<Vec<u8>>) -> Result<(), IoFailure> {
        let mut scan = JournalScan::new(&self.journal, 0, SEGMENT_HEADER, 0, 0)?;
        let vault = self.has_vault.then(|| VaultScan::new(&self.vault, 0, SEGMENT_HEADER)).transpose()?;
        let mut vault = vault.map(VaultScan::reading_ahead);
        let mut lost = false;
        while scan.next < bound {
            let buffer = emptied.try_recv().unwrap_or_default();
            let read = || scan.group(self.group, bound, buffer);
            let read = match &self.pool {
                Some(pool) => pool.install(read),
                None => read(),
            };
            let (group, over) = match read? {
                Ok(group) => (group, None),
                Err(over) => (Group::default(), Some(over)),
            };
            let mut parts = Vec::with_capacity(group.frames.len());
            for frame in &group.frames {
                let read = match &mut vault {
                    None => Parts::Absent,
                    Some(_) if lost => Parts::Lost,
                    Some(vault) => read_parts(vault, &frame.header)?,
                };
                lost |= matches!(read, Parts::Broken(_));
                parts.push(read);
            }
            let last = over.is_some();
            if loaded.send(Load { group, parts, over }).is_err() || last {
                break;
            }
        }
        Ok(())
    }

    /// Grows the tree by a group, holds its roots against it and lets `visit` see what of it holds.
    fn settle<T: Send>(
        &self,
        hashed: Hashed<T>,
        report: &mut Report,
        edge: &mut Edge,
        visit: &mut (impl FnMut(&mut Report, &Checked<'_, T>) -> Result<(), CheckError> + Send),
    ) -> Result<Settled, CheckError> {
        let Hashed { mut frames, bytes, parts, over, mut leaves, mut made, mut growth, flaw } = hashed;
        let mut flaw = flaw.and_then(|(position, why)| {
            let frame = frames.get(position)?;
            Some((position, self.first_wrong(frame), why))
        });
        growth.adopt(edge, leaves.len());
        let whole = flaw.map_or(frames.len(), |(position, ..)| position);
        let wrong_root = frames
            .par_iter()
            .take(whole)
            .position_first(|frame| growth.root_at(edge, frame.header.end()) != frame.header.root);
        if let Some((position, frame)) = wrong_root.and_then(|position| Some((position, frames.get(position)?))) {
            flaw = Some((position, frame.header.first, "the frame's root is not that of its entries and those before"));
        }
        if let Some((position, index, why)) = flaw {
            if let Some(frame) = frames.get(position) {
                let (file, offset) = (self.journal.present(frame.segment), Some(frame.offset));
                report.add(Problem { file, index: Some(index), offset, what: why.to_owned() });
            }
            frames.truncate(position);
            let holds = frames.last().map_or(edge.size(), |frame| frame.header.end());
            leaves.truncate(usize::try_from(holds - edge.size()).unwrap_or(usize::MAX));
            made.truncate(leaves.len());
            growth.adopt(edge, leaves.len());
        }
        let first = edge.size();
        visit(report, &Checked { frames: &frames, leaves: &leaves, parts: &parts, growth: &growth, first, made })?;
        edge.clone_from(growth.edge());
        report.entries = edge.size();
        report.frames += frames.len() as u64;
        if let Some(Step::Broken { file, offset, index, why }) = &over {
            // Without a remembered head, what is broken at the end may be a torn tail; it is still told.
            let (index, offset) = (Some(*index), Some(*offset));
            report.add(Problem { file: file.clone(), index, offset, what: (*why).to_owned() });
        }
        Ok(Settled { over: over.is_some() || flaw.is_some(), bytes, growth })
    }

    /// Which entry of a frame with a damaged body is the first to differ from the tree's leaf hashes; the frame's first where that cannot be
    /// told.
    fn first_wrong(&self, frame: &Placed) -> u64 {
        let levels = Levels::for_reading(&self.files, &self.layout.tree());
        let look = || {
            let segment = self.journal.reading(frame.segment).ok()?;
            let start = frame.offset + FRAME_HEADER as u64;
            let body = segment.read_vec(start, frame.header.body_len as usize).ok()?;
            let leaves = split_body(&body, frame.header.count)?;
            (frame.header.first..).zip(leaves).find_map(|(index, leaf)| {
                let stored = levels.node(0, index).ok()?;
                (leaf_hash(body.get(leaf)?) != stored).then_some(index)
            })
        };
        look().unwrap_or(frame.header.first)
    }

    /// Compares where the walk ended with the remembered head.
    fn judge(&self, report: &mut Report, edge: &Edge) {
        report.size = self.remembered.as_ref().map_or(edge.size(), |head| head.size);
        report.root = Some(edge.root());
        let Some(head) = &self.remembered else { return };
        let what = if edge.size() < head.size {
            format!("{} entries are remembered as published, the journal has {}", head.size, edge.size())
        } else if edge.size() > head.size {
            format!("the remembered size {} is inside a frame", head.size)
        } else if edge.root() != head.root {
            format!("the root at size {} is not the remembered one", head.size)
        } else {
            return;
        };
        report.add(Problem {
            file: self.layout.journal(),
            index: Some(edge.size().min(head.size)),
            offset: None,
            what,
        });
    }
}

/// A group on its way from the disk.
struct Load {
    group: Group,
    parts: Vec<Parts>,
    /// What ends the walk here.
    over: Option<Step>,
}

/// A group whose leaves are hashed, of those frames whose bodies hold.
struct Hashed<T> {
    frames: Vec<Placed>,
    bytes: Vec<u8>,
    parts: Vec<Parts>,
    over: Option<Step>,
    leaves: Vec<Range<usize>>,
    /// What was made of each leaf.
    made: Vec<T>,
    growth: Growth,
    /// The first frame whose body does not hold, and why.
    flaw: Option<(usize, &'static str)>,
}

/// What is left of a group when it was seen.
struct Settled {
    /// The walk is over.
    over: bool,
    bytes: Vec<u8>,
    growth: Growth,
}

/// The half of a group's check that does not depend on the group before, and the longer one: checksums, leaves, and what `each` makes of them.
fn hash<T: Send>(load: Load, mut growth: Growth, each: &(impl Fn(u64, &[u8]) -> T + Sync)) -> Hashed<T> {
    let Load { group: Group { frames, bytes }, parts, over } = load;
    // Where each leaf stands in the group, worked out with the checksums by all cores; gathering them is a copy.
    let check = |frame: &Placed| {
        let mut found = check_body(&frame.header, bytes.get(frame.body.clone()).unwrap_or_default())?;
        for leaf in &mut found {
            *leaf = leaf.start + frame.body.start..leaf.end + frame.body.start;
        }
        Ok(found)
    };
    let bodies: Vec<Result<Vec<Range<usize>>, &'static str>> = frames.par_iter().map(check).collect();
    let mut flaw = None;
    let mut leaves = Vec::new();
    for (position, found) in bodies.into_iter().enumerate() {
        match found {
            Ok(mut found) if leaves.is_empty() => std::mem::swap(&mut leaves, &mut found),
            Ok(mut found) => leaves.append(&mut found),
            Err(why) => {
                flaw = Some((position, why));
                break;
            }
        }
    }
    let first = frames.first().map_or(0, |frame| frame.header.first);
    let leaf = |position: usize| leaves.get(position).cloned().unwrap_or_default();
    let made = growth.hash(&bytes, leaves.len(), leaf, |position, leaf| each(first + position as u64, leaf));
    Hashed { frames, bytes, parts, over, leaves, made, growth, flaw }
}

/// What the vault has of a frame.
#[derive(Debug)]
pub(super) enum Parts {
    /// Its vault frame with the body, if it has one, and where the vault goes on behind it.
    Followed { found: Option<(VaultFrame, Body)>, end: (u64, u64) },
    /// The vault cannot be followed any further.
    Broken(VaultBroken),
    /// It broke before.
    Lost,
    /// There is no vault: an archive that was made without private parts.
    Absent,
}

fn read_parts(vault: &mut VaultScan<'_>, header: &FrameHeader) -> Result<Parts, IoFailure> {
    let found = match vault.frame_of(header)? {
        Ok(found) => found,
        Err(broken) => return Ok(Parts::Broken(broken)),
    };
    let found = match found {
        Some(frame) => {
            let body = vault.body_of(&frame)?;
            Some((frame, body))
        }
        None => None,
    };
    Ok(Parts::Followed { found, end: (vault.segment, vault.offset) })
}

/// Frames whose bodies and roots hold, and what belongs to them.
pub(super) struct Checked<'a, T> {
    frames: &'a [Placed],
    leaves: &'a [Range<usize>],
    parts: &'a [Parts],
    /// The tree's nodes that the frames add.
    pub(super) growth: &'a Growth,
    first: u64,
    /// What was made of each leaf.
    pub(super) made: Vec<T>,
}

/// One frame of a group.
pub(super) struct CheckedFrame<'a, T> {
    pub(super) header: &'a FrameHeader,
    pub(super) segment: u64,
    pub(super) offset: u64,
    pub(super) parts: &'a Parts,
    /// What was made of each leaf.
    pub(super) made: &'a [T],
    /// Each leaf in the group's bytes, and where the body begins there.
    leaves: &'a [Range<usize>],
    body: usize,
}

impl<T> CheckedFrame<'_, T> {
    /// Where the length prefix of an entry stands in the body.
    pub(super) fn start(&self, position: usize) -> u64 {
        self.leaves.get(position).map_or(0, |leaf| (leaf.start - 2 - self.body) as u64)
    }
}

impl<T: Sync> Checked<'_, T> {
    /// How many frames there are.
    pub(super) fn len(&self) -> usize {
        self.frames.len()
    }

    /// One of the frames.
    pub(super) fn frame(&self, number: usize) -> Option<CheckedFrame<'_, T>> {
        let Placed { header, segment, offset, body } = self.frames.get(number)?;
        let from = usize::try_from(header.first - self.first).ok()?;
        let range = from..from + header.count as usize;
        Some(CheckedFrame {
            header,
            segment: *segment,
            offset: *offset,
            parts: self.parts.get(number)?,
            made: self.made.get(range.clone())?,
            leaves: self.leaves.get(range)?,
            body: body.start,
        })
    }

    /// All of them, in order.
    pub(super) fn frames(&self) -> impl Iterator<Item = CheckedFrame<'_, T>> {
        (0..self.len()).filter_map(|number| self.frame(number))
    }
}
