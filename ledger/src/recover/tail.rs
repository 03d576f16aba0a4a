//! What stands in the journal above the remembered head: made durable anew, or cut.
//!
//! Guarantees: a frame is taken only with all its private parts and under the root that it names; what is taken is rewritten to a new segment
//! and synced before the old tail is cut; nothing is cut where the memory says that a frame must be there. Does not: judge anything below the
//! remembered head.

use super::{Certain, Unrecovered, row_of};
use crate::derived::Derived;
use crate::layout::SEGMENT_HEADER;
use crate::open::OpenError;
use crate::scan::{Frame, JournalScan, Step};
use crate::segments::Tail;
use crate::vault_scan::{VaultFrame, VaultScan};

impl Unrecovered {
    /// How many frames above the certain part may be believed, and must be there if the memory's other slot is damaged.
    fn believed(&self) -> Result<(u64, u64), OpenError> {
        let Some((_, slots)) = &self.memory else { return Ok((u64::MAX, 0)) };
        // The slot of a head is written after its frame is durable: damaged or torn, it vouches for one frame.
        let vouched = u64::from(slots.damaged);
        let believed = if self.files.exists(&self.layout.poisoned())? { vouched } else { u64::MAX };
        Ok((believed, if self.accept_memory_loss { 0 } else { vouched }))
    }

    /// Makes what stands above the certain part durable in a new segment, or cuts it; answers where the journal goes on.
    pub(super) fn settle_tail(&self, derived: &mut Derived, certain: &Certain) -> Result<Tail, OpenError> {
        let start = derived.tree.size();
        let (believed, needed) = self.believed()?;
        let (mut taken, mut replacement) = (0, None);
        let last = derived.last()?;
        let (vault_segment, vault_offset) = last.map_or((0, SEGMENT_HEADER), |row| row.vault_end());
        let time_ms = last.map_or(0, |row| row.time_ms);
        let mut scan = JournalScan::new(&self.journal, certain.segment, certain.offset, start, time_ms)?;
        let mut vault = VaultScan::new(&self.vault, vault_segment, vault_offset)?;
        while taken < believed
            && let Step::Frame(frame) = scan.step()?
        {
            let Some(parts) = self.whole_parts(&frame, &mut vault)? else { break };
            derived.tree.grow(&frame.body, frame.leaves.len(), |i| frame.leaves.get(i).cloned().unwrap_or_default());
            let root = derived.tree.grown_root(frame.header.end());
            if root != frame.header.root {
                break;
            }
            let tail = match &mut replacement {
                Some(tail) => tail,
                None => replacement.insert(self.journal.create_replacement(start)?),
            };
            let row = row_of(&frame.header, start, tail.offset, parts.as_ref(), (vault.segment, vault.offset));
            tail.write(&[&frame.header.encode(), &frame.body])?;
            derived.tree.write_nodes()?;
            derived.tree.confirm(&derived.tree.root(), &root)?;
            derived.write_row(&row, |i| frame.leaves.get(i).map_or(0, |leaf| leaf.start as u64 - 2))?;
            derived.accept();
            taken += 1;
        }
        if taken < needed {
            // Nothing above was touched: the operator may still find there what the memory has lost.
            return Err(OpenError::MemorySlotDamaged { file: self.memory_path.clone(), remembered: start });
        }
        for (segment, offset) in &certain.overlaps {
            self.journal.trim(*segment, *offset)?;
        }
        match replacement {
            Some(replacement) => {
                let tail = self.journal.replace(replacement)?;
                if certain.segment < start {
                    self.journal.trim(certain.segment, certain.offset)?;
                }
                self.journal.remove_after(start)?;
                Ok(tail)
            }
            None => match self.journal.cut(certain.segment, certain.offset)? {
                Some(tail) => Ok(tail),
                None => {
                    let (file, index) = (self.journal.path(certain.segment), start.saturating_sub(1));
                    Err(OpenError::BrokenFrame { file, offset: 0, index, why: "the segment is missing or too short" })
                }
            },
        }
    }

    /// The vault frame of a frame that was never acknowledged, if all its parts are those that its leaves commit to. `None`: not whole.
    fn whole_parts(&self, frame: &Frame, vault: &mut VaultScan<'_>) -> Result<Option<Option<VaultFrame>>, OpenError> {
        let parts = match vault.frame_of(&frame.header)? {
            Err(_) => return Ok(None),
            Ok(None) => return Ok(Some(None)),
            Ok(Some(parts)) => parts,
        };
        let body = parts.body(&self.vault)?;
        let whole = frame.leaves.iter().enumerate().all(|(position, leaf)| match parts.borrow(&body, position) {
            Err(()) => false,
            Ok(None) => true,
            Ok(Some(private)) => private.belongs_to(frame.body.get(leaf.clone()).unwrap_or_default()),
        });
        Ok(whole.then_some(Some(parts)))
    }
}
