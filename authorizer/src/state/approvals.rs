//! Approvals that stand in the log: by denied decision, each used once.
//!
//! Guarantees: an approver counts once for a decision; when a request was allowed by approvals, no approval of the same decision counts any
//! more, also one that is posted again, for as long as any of them could. Memory is bounded: by [`MAX_APPROVED`] decisions, each with as
//! many approvals as an epoch has approvers, forgotten when the last runs out.

use std::collections::{BTreeMap, BTreeSet};

use verifier::approval::Approval;
use verifier::cbor::{CborError, Decoder, Encoder};
use verifier::decision::PermitId;
use verifier::hash::Hash;

/// An approval holds at most so long after it is recorded, milliseconds: a day, in which whoever asked comes back.
pub const MAX_APPROVAL_MS: u64 = 24 * 3_600_000;
/// Denied decisions with approvals that are kept at once, about a kilobyte each.
pub const MAX_APPROVED: usize = 1 << 16;

/// Why an approval is not taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Untaken {
    /// It is void, or would hold for longer than [`MAX_APPROVAL_MS`].
    Expiry,
    /// This approver approved this decision before.
    Given,
    /// A request was allowed by approvals of this decision.
    Used,
    /// Earlier approvals of this decision are for another core or realm.
    Other,
    /// No more can be kept.
    Full,
}

#[derive(Clone, Debug, PartialEq, Eq)]
struct Entry {
    realm: String,
    core: Hash,
    /// Key and end of each.
    given: Vec<([u8; 32], u64)>,
    used: bool,
    ends_at: u64,
}

/// All approvals that may still count, and those that may not any more.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Approved {
    entries: BTreeMap<PermitId, Entry>,
    ends: BTreeSet<(u64, PermitId)>,
}

impl Approved {
    /// Whether an approval by a key can be recorded now.
    ///
    /// # Errors
    /// [`Untaken`].
    pub fn admits(&self, approval: &Approval, key: &[u8; 32], now_ms: u64) -> Result<(), Untaken> {
        let Approval { realm, decision, core, expires_at, .. } = approval;
        if *expires_at <= now_ms || *expires_at > now_ms.saturating_add(MAX_APPROVAL_MS) {
            return Err(Untaken::Expiry);
        }
        match self.entries.get(decision) {
            None if self.entries.len() >= MAX_APPROVED => Err(Untaken::Full),
            None => Ok(()),
            Some(entry) if entry.used => Err(Untaken::Used),
            Some(entry) if entry.realm != *realm || entry.core != *core => Err(Untaken::Other),
            Some(entry) if entry.given.iter().any(|(by, ends_at)| by == key && *ends_at > now_ms) => {
                Err(Untaken::Given)
            }
            Some(_) => Ok(()),
        }
    }

    /// Keeps an approval that was admitted.
    pub fn give(&mut self, approval: &Approval, key: [u8; 32]) {
        let Approval { realm, decision, core, expires_at, .. } = approval;
        let new = Entry { realm: realm.clone(), core: *core, given: Vec::new(), used: false, ends_at: 0 };
        let entry = self.entries.entry(*decision).or_insert(new);
        entry.given.retain(|(by, _)| *by != key);
        entry.given.push((key, *expires_at));
        self.ends.remove(&(entry.ends_at, *decision));
        entry.ends_at = entry.ends_at.max(*expires_at);
        self.ends.insert((entry.ends_at, *decision));
    }

    /// The keys that approved a decision and still count; `None` where the approvals are for another core.
    #[must_use]
    pub fn given(&self, decision: &PermitId, realm: &str, core: &Hash, now_ms: u64) -> Option<Vec<[u8; 32]>> {
        match self.entries.get(decision).filter(|entry| entry.realm == realm && !entry.used) {
            None => Some(Vec::new()),
            Some(entry) if entry.core != *core => None,
            Some(entry) => Some(entry.given.iter().filter(|(_, at)| *at > now_ms).map(|(key, _)| *key).collect()),
        }
    }

    /// Uses the approvals of a decision up.
    pub fn use_up(&mut self, decision: &PermitId, realm: &str) {
        if let Some(entry) = self.entries.get_mut(decision).filter(|entry| entry.realm == realm) {
            entry.used = true;
        }
    }

    /// Forgets what cannot count any more.
    pub fn forget(&mut self, now_ms: u64) {
        while let Some(&(at, decision)) = self.ends.first().filter(|(at, _)| *at <= now_ms) {
            self.ends.remove(&(at, decision));
            self.entries.remove(&decision);
        }
    }

    /// Whether approvals of a decision are kept.
    #[must_use]
    pub fn holds(&self, decision: &PermitId) -> bool {
        self.entries.contains_key(decision)
    }

    /// Writes them by decision (`FORMAT.md`).
    pub(crate) fn encode(&self, e: &mut Encoder<'_>) {
        e.array(self.entries.len());
        for (decision, Entry { realm, core, given, used, ends_at }) in &self.entries {
            e.array(6);
            e.bytes(&decision.0);
            e.text(realm);
            e.bytes(&core.0);
            e.array(given.len());
            for (key, ends_at) in given {
                e.array(2);
                e.bytes(key);
                e.uint(*ends_at);
            }
            e.uint(u64::from(*used));
            e.uint(*ends_at);
        }
    }

    /// Reads back what [`Approved::encode`] wrote.
    pub(crate) fn decode(d: &mut Decoder<'_>) -> Result<Self, CborError> {
        let mut approved = Self::default();
        for _ in 0..d.array()? {
            d.array_of(6)?;
            let (decision, realm, core) = (PermitId(d.bytes_of()?), d.text()?.to_owned(), Hash(d.bytes_of()?));
            let mut given = Vec::new();
            for _ in 0..d.array()? {
                d.array_of(2)?;
                given.push((d.bytes_of()?, d.uint()?));
            }
            let entry = Entry { realm, core, given, used: d.uint()? != 0, ends_at: d.uint()? };
            approved.ends.insert((entry.ends_at, decision));
            approved.entries.insert(decision, entry);
        }
        Ok(approved)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn approval(decision: u8, core: u8, expires_at: u64) -> Approval {
        let (decision, core) = (PermitId([decision; 16]), Hash([core; 32]));
        Approval { origin: "o".into(), realm: "main".into(), decision, core, expires_at }
    }

    #[test]
    fn approvals_count_once_for_one_core_until_they_run_out_or_are_used() {
        let mut approved = Approved::default();
        let (first, second, id) = (approval(1, 1, 1_000), approval(1, 1, 2_000), PermitId([1; 16]));
        assert_eq!(approved.admits(&first, &[1; 32], 0), Ok(()));
        approved.give(&first, [1; 32]);
        assert_eq!(approved.admits(&first, &[1; 32], 0), Err(Untaken::Given));
        assert_eq!(approved.admits(&approval(1, 2, 1_000), &[2; 32], 0), Err(Untaken::Other));
        approved.give(&second, [2; 32]);
        let given = |approved: &Approved, core: u8, now| approved.given(&id, "main", &Hash([core; 32]), now);
        assert_eq!(given(&approved, 1, 999).unwrap().len(), 2);
        assert_eq!(given(&approved, 1, 1_000), Some(vec![[2; 32]]));
        assert_eq!(given(&approved, 2, 0), None);
        assert_eq!(approved.given(&id, "other", &Hash([1; 32]), 0), Some(vec![]));
        approved.use_up(&id, "other");
        assert_eq!(given(&approved, 1, 999).unwrap().len(), 2);
        approved.use_up(&id, "main");
        approved.forget(1_999);
        assert_eq!(given(&approved, 1, 999), Some(vec![]));
        assert_eq!(approved.admits(&approval(1, 1, 5_000), &[3; 32], 1_999), Err(Untaken::Used));
        approved.forget(2_000);
        assert_eq!(approved, Approved::default());
        assert_eq!(approved.admits(&second, &[2; 32], 2_000), Err(Untaken::Expiry));
        assert_eq!(approved.admits(&approval(1, 1, MAX_APPROVAL_MS + 1), &[1; 32], 0), Err(Untaken::Expiry));
    }

    #[test]
    fn approvals_of_more_decisions_than_are_kept_are_not_taken_until_some_run_out() {
        let mut approved = Approved::default();
        let of = |n: u64, expires_at| {
            let mut id = [0; 16];
            id[..8].copy_from_slice(&n.to_be_bytes());
            Approval { decision: PermitId(id), ..approval(0, 1, expires_at) }
        };
        (0..MAX_APPROVED as u64).for_each(|n| approved.give(&of(n, 1_000), [1; 32]));
        assert_eq!(approved.admits(&of(u64::MAX, 1_000), &[1; 32], 0), Err(Untaken::Full));
        assert_eq!(approved.admits(&of(7, 1_000), &[2; 32], 0), Ok(()));
        approved.forget(1_000);
        assert_eq!(approved.admits(&of(u64::MAX, 2_000), &[1; 32], 1_000), Ok(()));
    }
}
