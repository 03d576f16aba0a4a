//! Permits that others depend on: those with a lease, with a parent, or that name delegates. All others are looked up in the log.
//!
//! Guarantees: whether a permit holds is answered by looking upward, at most as many steps as a lineage is deep; a permit is over at its
//! recorded end, whether or not a record says so; what is over gives its places back once. Bounded by [`MAX_OPEN`].

use std::collections::{BTreeSet, HashMap};

use verifier::decision::PermitId;

use crate::engine::{MOST_MAX_DEPTH, Scope};
use crate::fold::Switches;

/// Permits that are kept at once, about a kilobyte each; beyond it requests that would open one are denied.
pub const MAX_OPEN: usize = 1 << 18;

/// A lease: execution must stop at its end unless it is renewed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Lease {
    /// How long each renewal lasts, milliseconds.
    pub length_ms: u64,
    /// Over at and after this time, Unix milliseconds.
    pub ends_at: u64,
}

/// How an execution ended, by record.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ended {
    /// The executor said so.
    Closed,
    /// It was stopped.
    Halted,
    /// Its lease ran out.
    Expired,
}

/// One permit.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Permit {
    /// Its realm: nobody else sees it.
    pub realm: String,
    /// Type and id.
    pub subject: (String, String),
    /// The action's name.
    pub action: String,
    /// The policies that allowed it, as far as they are named.
    pub policies: Vec<String>,
    /// Whether there are more.
    pub more_policies: bool,
    /// The permit that it descends from.
    pub parent: Option<PermitId>,
    /// How many ancestors it has.
    pub depth: u32,
    /// How many open children it has.
    pub children: u32,
    /// Who may name it as parent.
    pub delegates: Vec<String>,
    /// What its children may claim.
    pub scopes: Vec<Scope>,
    /// The concurrency limits that it counts under.
    pub holds: Vec<String>,
    /// Void at and after this time, Unix milliseconds.
    pub expires_at: u64,
    /// Its lease, if it has one.
    pub lease: Option<Lease>,
    /// How it ended.
    pub ended: Option<Ended>,
}

impl Permit {
    /// When it ends unless something happens.
    fn ends_at(&self) -> u64 {
        self.lease.map_or(self.expires_at, |lease| lease.ends_at.min(self.expires_at))
    }
}

/// Why a permit does not hold.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Over {
    /// It is not known, or expired.
    Unknown,
    /// It was revoked.
    Revoked,
    /// A switch stops it, or its execution was halted.
    Halted,
    /// Its execution ended, or its lease did.
    Closed,
}

/// All permits that are kept.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Permits {
    open: HashMap<PermitId, Permit>,
    /// When each one that still holds its places ends.
    ends: BTreeSet<(u64, PermitId)>,
    /// When each can be forgotten.
    forgotten: BTreeSet<(u64, PermitId)>,
}

impl Permits {
    /// A permit that is kept and not expired.
    #[must_use]
    pub fn get(&self, id: &PermitId, now_ms: u64) -> Option<&Permit> {
        self.open.get(id).filter(|permit| permit.expires_at > now_ms)
    }

    /// Whether one more would be too many.
    #[must_use]
    pub fn is_full(&self) -> bool {
        self.open.len() >= MAX_OPEN
    }

    /// Whether a permit and all that it descends from hold.
    ///
    /// # Errors
    /// [`Over`], of the first that does not, looking upward.
    pub fn holds(&self, id: &PermitId, now_ms: u64, switches: &Switches) -> Result<(), Over> {
        let mut next = Some(*id);
        for _ in 0..=MOST_MAX_DEPTH {
            let Some(id) = next else { return Ok(()) };
            let permit = self.get(&id, now_ms).ok_or(Over::Unknown)?;
            match permit.ended {
                Some(Ended::Halted) => return Err(Over::Halted),
                Some(Ended::Closed | Ended::Expired) => return Err(Over::Closed),
                None if permit.ends_at() <= now_ms => return Err(Over::Closed),
                None => {}
            }
            let subject = (permit.subject.0.as_str(), permit.subject.1.as_str());
            if switches.halt(&permit.realm, subject, &permit.action, &permit.policies, permit.more_policies) {
                return Err(Over::Halted);
            }
            next = permit.parent;
        }
        // Never: no permit is deeper. Doubt denies.
        Err(Over::Unknown)
    }

    /// Keeps a permit that a record allows.
    pub fn open(&mut self, id: PermitId, mut permit: Permit) {
        if let Some(parent) = permit.parent.and_then(|parent| self.open.get_mut(&parent)) {
            parent.children = parent.children.saturating_add(1);
            permit.depth = parent.depth.saturating_add(1);
        }
        self.ends.insert((permit.ends_at(), id));
        self.forgotten.insert((permit.expires_at, id));
        self.open.insert(id, permit);
    }

    /// Ends what is over by a time, and forgets what is expired. Answers the permits that now give back what they held.
    pub fn end_by(&mut self, now_ms: u64) -> Vec<Permit> {
        let mut ended = Vec::new();
        while let Some(&(at, id)) = self.ends.first().filter(|(at, _)| *at <= now_ms) {
            self.ends.remove(&(at, id));
            ended.extend(self.leave(&id));
        }
        while let Some(&(at, id)) = self.forgotten.first().filter(|(at, _)| *at <= now_ms) {
            self.forgotten.remove(&(at, id));
            self.open.remove(&id);
        }
        ended
    }

    /// Takes a permit out of its parent's count.
    fn leave(&mut self, id: &PermitId) -> Option<Permit> {
        let permit = self.open.get(id)?.clone();
        if let Some(parent) = permit.parent.and_then(|parent| self.open.get_mut(&parent)) {
            parent.children = parent.children.saturating_sub(1);
        }
        Some(permit)
    }
}
