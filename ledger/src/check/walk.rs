//! The walk that both checks share: frames in groups, leaves hashed by all cores, roots compared one after the other.

use std::path::Path;

use rayon::prelude::*;
use verifier::hash::{Hash, leaf_hash};
use verifier::proof::Nodes;

use super::{CheckError, Problem, Progress, Report};
use crate::frame::{FRAME_HEADER, FrameHeader, split_body};
use crate::grow::{Edge, Growth};
use crate::layout::{Identity, Layout, SEGMENT_HEADER, SegmentKind, default_memory};
use crate::levels::Levels;
use crate::memory::{Memory, MemoryError, Remembered};
use crate::open::{OpenError, read_identity};
use crate::scan::{Frame, JournalScan, Step};
use crate::segments::Segments;
use crate::storage::Files;

/// Frames are gathered to so many bytes before all cores set to work on them: enough to share out, little to hold.
const GROUP: usize = 8 << 20;

/// A log as a check sees it.
#[derive(Debug)]
pub(super) struct Log {
    pub(super) files: Files,
    pub(super) layout: Layout,
    pub(super) identity: Identity,
    pub(super) journal: Segments,
    pub(super) vault: Segments,
    pub(super) remembered: Option<Remembered>,
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
        report.origin.clone_from(&identity.origin);
        report.verification_key = identity.key.to_string();
        let journal = Segments::new(&files, &layout.journal(), SegmentKind::Journal, identity.id);
        let vault = Segments::new(&files, &layout.vault(), SegmentKind::Vault, identity.id);
        Ok(Self { files, layout, identity, journal, vault, remembered })
    }

    /// Walks over all published frames. `visit` gets each frame with its leaf hashes, its growth, and what `each` made of its leaves.
    pub(super) fn walk<T: Send>(
        &self,
        report: &mut Report,
        progress: &mut dyn FnMut(Progress),
        each: impl Fn(u64, &[u8]) -> T + Sync,
        mut visit: impl FnMut(&mut Report, &Frame, &Growth, Vec<T>) -> Result<(), CheckError>,
    ) -> Result<(), CheckError> {
        let bound = self.remembered.as_ref().map(|head| head.size);
        let mut scan = JournalScan::new(&self.journal, 0, SEGMENT_HEADER, 0, 0)?;
        let (mut edge, mut growth) = (Edge::empty(), Growth::new());
        let mut over = false;
        while !over {
            let (mut group, mut bytes) = (Vec::new(), 0);
            while bytes < GROUP && !over {
                if bound.is_some_and(|bound| scan.next >= bound) {
                    over = true;
                    break;
                }
                match scan.step()? {
                    Step::Frame(frame) => {
                        bytes += frame.body.len();
                        group.push(*frame);
                    }
                    Step::End => over = true,
                    Step::Broken { file, offset, why } => {
                        // Without a remembered head, what is broken at the end may be a torn tail; it is still told.
                        let index = Some(self.first_wrong(scan.segment, offset, scan.next));
                        report.add(Problem { file, index, offset: Some(offset), what: why.to_owned() });
                        over = true;
                    }
                }
            }
            let hashed = hash(&group, &each);
            for (frame, leaves) in group.iter().zip(hashed) {
                let (hashes, made): (Vec<Hash>, Vec<T>) = leaves.into_iter().unzip();
                growth.adopt(&edge, &hashes);
                if growth.edge().root() != frame.header.root {
                    let what = "the frame's root is not that of its entries and those before".to_owned();
                    let file = self.journal.path(frame.segment);
                    report.add(Problem { file, index: Some(frame.header.first), offset: Some(frame.offset), what });
                    over = true;
                    break;
                }
                visit(report, frame, &growth, made)?;
                edge.clone_from(growth.edge());
                report.entries = edge.size();
                report.frames += 1;
            }
            progress(Progress { done: edge.size(), total: bound.unwrap_or(edge.size()).max(edge.size()) });
        }
        self.judge(report, &edge);
        Ok(())
    }

    /// Which entry of a broken frame is the first to differ from the tree's leaf hashes; the frame's first where that cannot be told.
    fn first_wrong(&self, segment: u64, offset: u64, first: u64) -> u64 {
        let levels = Levels::for_reading(&self.files, &self.layout.tree());
        let look = || {
            let file = self.journal.reading(segment).ok()?;
            let header = FrameHeader::decode(&file.read_array(offset).ok()?).filter(|header| header.first == first)?;
            let body = file.read_vec(offset + FRAME_HEADER as u64, header.body_len as usize).ok()?;
            let leaves = split_body(&body, header.count)?;
            (first..).zip(leaves).find_map(|(index, leaf)| {
                let stored = levels.node(0, index).ok()?;
                (leaf_hash(body.get(leaf)?) != stored).then_some(index)
            })
        };
        look().unwrap_or(first)
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

/// Hashes the leaves of all frames, and lets `each` look at them.
fn hash<T: Send>(group: &[Frame], each: &(impl Fn(u64, &[u8]) -> T + Sync)) -> Vec<Vec<(Hash, T)>> {
    let one = |frame: &Frame, position: usize| {
        let leaf = frame.leaves.get(position).and_then(|range| frame.body.get(range.clone())).unwrap_or_default();
        (leaf_hash(leaf), each(frame.header.first + position as u64, leaf))
    };
    // Frames are of any size, so both levels are shared out.
    group
        .par_iter()
        .map(|frame| {
            (0..frame.leaves.len()).into_par_iter().with_min_len(64).map(|position| one(frame, position)).collect()
        })
        .collect()
}
