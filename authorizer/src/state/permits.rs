//! Permits that others depend on: those with a lease, with a parent, or that name delegates. All others are looked up in the log.
//!
//! Guarantees: whether a permit holds is answered by looking upward, at most as many steps as a lineage is deep; a permit is over at its
//! recorded end, whether or not a record says so; what is over gives its places back once. Bounded by [`MAX_OPEN`].

use std::collections::{BTreeMap, BTreeSet};

use verifier::act::Revoked;
use verifier::cbor::{CborError, Decoder, Encoder};
use verifier::decision::PermitId;

use super::revoked::Revocations;
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
    /// The index of its decision.
    pub index: u64,
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
    /// The keys and issuers that it rests on.
    pub rests_on: Vec<Revoked>,
    /// Void at and after this time, Unix milliseconds.
    pub expires_at: u64,
    /// Its lease, if it has one.
    pub lease: Option<Lease>,
    /// Whether its execution was reported to have begun.
    pub started: bool,
    /// Whether its audience ever said that it acts on it.
    pub held: bool,
    /// How it ended.
    pub ended: Option<Ended>,
}

impl Permit {
    /// When it ends unless something happens: its lease, and never after it is void.
    #[must_use]
    pub fn ends_at(&self) -> u64 {
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
    open: BTreeMap<PermitId, Permit>,
    /// When each one that still holds its places ends.
    ends: BTreeSet<(u64, PermitId)>,
    /// When each is void, as long as it is not.
    voids: BTreeSet<(u64, PermitId)>,
    /// When each lease ends whose end no record tells yet.
    lapses: BTreeSet<(u64, PermitId)>,
    /// Every permit that was taken back: each by an act of an administrator, so there are few.
    revoked: BTreeSet<PermitId>,
}

impl Permits {
    /// A permit that is kept and not expired.
    #[must_use]
    pub fn get(&self, id: &PermitId, now_ms: u64) -> Option<&Permit> {
        self.open.get(id).filter(|permit| permit.expires_at > now_ms)
    }

    /// A permit under whose lease execution may go on, as far as the permit itself says.
    ///
    /// # Errors
    /// [`Over`]: there is no such lease, or it ended.
    pub fn running(&self, id: &PermitId, now_ms: u64) -> Result<(&Permit, Lease), Over> {
        let permit = self.open.get(id).ok_or(Over::Unknown)?;
        let lease = permit.lease.ok_or(Over::Unknown)?;
        match permit.ended {
            Some(Ended::Halted) => Err(Over::Halted),
            Some(Ended::Closed | Ended::Expired) => Err(Over::Closed),
            None if permit.ends_at() <= now_ms => Err(Over::Closed),
            None => Ok((permit, lease)),
        }
    }

    /// The index of the decision of a permit that is kept.
    #[must_use]
    pub fn index(&self, id: &PermitId) -> Option<u64> {
        self.open.get(id).map(|permit| permit.index)
    }

    /// The lease of a permit that is kept, whether over or not.
    #[must_use]
    pub fn lease(&self, id: &PermitId) -> Option<Lease> {
        self.open.get(id)?.lease
    }

    /// Whether a lease ended by a time and no record says so yet.
    #[must_use]
    pub fn lapsed_by(&self, id: &PermitId, now_ms: u64) -> bool {
        self.open
            .get(id)
            .is_some_and(|permit| permit.lease.is_some() && permit.ended.is_none() && permit.ends_at() <= now_ms)
    }

    /// Whether a record says that its lease ran out.
    #[must_use]
    pub fn expired(&self, id: &PermitId) -> bool {
        self.open.get(id).is_some_and(|permit| permit.ended == Some(Ended::Expired))
    }

    /// Whether a permit itself was taken back.
    #[must_use]
    pub fn is_revoked(&self, id: &PermitId) -> bool {
        self.revoked.contains(id)
    }

    /// Takes a permit back. What descends from it is looked up, not touched.
    pub fn revoke(&mut self, id: PermitId) {
        self.revoked.insert(id);
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
    pub fn holds(&self, id: &PermitId, now_ms: u64, switches: &Switches, revoked: &Revocations) -> Result<(), Over> {
        let mut next = Some(*id);
        for _ in 0..=MOST_MAX_DEPTH {
            let Some(id) = next else { return Ok(()) };
            if self.is_revoked(&id) {
                return Err(Over::Revoked);
            }
            let permit = self.get(&id, now_ms).ok_or(Over::Unknown)?;
            if revoked.touch(permit) {
                return Err(Over::Revoked);
            }
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
        let ends = (permit.ends_at(), id);
        self.ends.insert(ends);
        self.voids.insert((permit.expires_at, id));
        if permit.lease.is_some() {
            self.lapses.insert(ends);
        }
        self.open.insert(id, permit);
    }

    /// Ends what is over by a time, and forgets what is void. Answers the permits that now give back what they held.
    pub fn end_by(&mut self, now_ms: u64) -> Vec<Permit> {
        let mut ended = Vec::new();
        while let Some(&(at, id)) = self.ends.first().filter(|(at, _)| *at <= now_ms) {
            self.ends.remove(&(at, id));
            ended.extend(self.leave(&id));
        }
        while let Some(&(at, id)) = self.voids.first().filter(|(at, _)| *at <= now_ms) {
            self.voids.remove(&(at, id));
            // A lease that ran out is remembered until a record says so.
            if self.open.get(&id).is_some_and(|permit| permit.lease.is_none() || permit.ended.is_some()) {
                self.open.remove(&id);
            }
        }
        ended
    }

    /// Leases that ended by a time without a record, the earliest first, at most so many.
    #[must_use]
    pub fn lapsed(&self, now_ms: u64, most: usize) -> Vec<PermitId> {
        let due = self.lapses.iter().take_while(|(at, _)| *at <= now_ms);
        due.take(most).map(|(_, id)| *id).collect()
    }

    /// Whether any lease is open or waits for the record of its end.
    #[must_use]
    pub fn has_leases(&self) -> bool {
        !self.lapses.is_empty()
    }

    /// The realm of a permit that is kept.
    #[must_use]
    pub fn realm(&self, id: &PermitId) -> &str {
        self.open.get(id).map_or("", |permit| &permit.realm)
    }

    /// A lease goes on until another time.
    pub fn renew(&mut self, id: &PermitId, ends_at: u64) {
        let Some(permit) = self.open.get_mut(id) else { return };
        let before = (permit.ends_at(), *id);
        permit.held = true;
        if let Some(lease) = &mut permit.lease {
            lease.ends_at = ends_at;
        }
        let after = (permit.ends_at(), *id);
        for times in [&mut self.ends, &mut self.lapses] {
            times.remove(&before);
            times.insert(after);
        }
    }

    /// Execution began.
    pub fn start(&mut self, id: &PermitId) {
        if let Some(permit) = self.open.get_mut(id) {
            (permit.started, permit.held) = (true, true);
        }
    }

    /// An execution that its audience holds was given up by whoever asked: it is over, and keeps its places until its lease ends.
    pub fn give_up(&mut self, id: &PermitId) {
        if let Some(permit) = self.open.get_mut(id) {
            permit.ended = Some(Ended::Closed);
            self.lapses.remove(&(permit.ends_at(), *id));
        }
    }

    /// An execution ended, by record. Answers the permit if it still held its places.
    pub fn end(&mut self, id: &PermitId, how: Ended) -> Option<Permit> {
        let permit = self.open.get_mut(id)?;
        permit.ended = Some(how);
        let (ends, voids) = ((permit.ends_at(), *id), (permit.expires_at, *id));
        self.lapses.remove(&ends);
        let left = if self.ends.remove(&ends) { self.leave(id) } else { None };
        if !self.voids.contains(&voids) {
            self.open.remove(id);
        }
        left
    }

    /// Takes a permit out of its parent's count.
    fn leave(&mut self, id: &PermitId) -> Option<Permit> {
        let permit = self.open.get(id)?.clone();
        if let Some(parent) = permit.parent.and_then(|parent| self.open.get_mut(&parent)) {
            parent.children = parent.children.saturating_sub(1);
        }
        Some(permit)
    }

    /// Writes them by id, then those that were taken back (`FORMAT.md`).
    pub(crate) fn encode(&self, e: &mut Encoder<'_>) {
        e.array(self.open.len());
        for (id, permit) in &self.open {
            let (ends, voids) = ((permit.ends_at(), *id), (permit.expires_at, *id));
            let flags = [
                permit.started,
                permit.held,
                permit.more_policies,
                self.ends.contains(&ends),
                self.voids.contains(&voids),
                self.lapses.contains(&ends),
            ];
            let flags = (0..).zip(flags).fold(0, |all, (bit, set)| all | (u64::from(set) << bit));
            permit.encode(e, id, flags);
        }
        e.array(self.revoked.len());
        self.revoked.iter().for_each(|id| e.bytes(&id.0));
    }

    /// Reads back what [`Permits::encode`] wrote.
    pub(crate) fn decode(d: &mut Decoder<'_>) -> Result<Self, CborError> {
        let mut permits = Self::default();
        for _ in 0..d.array()? {
            let (id, permit, flags) = Permit::decode(d)?;
            let (ends, voids) = ((permit.ends_at(), id), (permit.expires_at, id));
            for (bit, time, times) in
                [(3, ends, &mut permits.ends), (4, voids, &mut permits.voids), (5, ends, &mut permits.lapses)]
            {
                if flags & (1 << bit) != 0 {
                    times.insert(time);
                }
            }
            permits.open.insert(id, permit);
        }
        for _ in 0..d.array()? {
            permits.revoked.insert(PermitId(d.bytes_of()?));
        }
        Ok(permits)
    }
}

impl Permit {
    fn encode(&self, e: &mut Encoder<'_>, id: &PermitId, flags: u64) {
        let texts = |e: &mut Encoder<'_>, texts: &[String]| {
            e.array(texts.len());
            texts.iter().for_each(|text| e.text(text));
        };
        e.array(18);
        e.bytes(&id.0);
        e.uint(self.index);
        e.text(&self.realm);
        e.text(&self.subject.0);
        e.text(&self.subject.1);
        e.text(&self.action);
        texts(e, &self.policies);
        e.bytes(self.parent.as_ref().map_or(&[][..], |parent| &parent.0));
        e.uint(self.depth.into());
        e.uint(self.children.into());
        texts(e, &self.delegates);
        e.array(self.scopes.len());
        self.scopes.iter().for_each(|scope| e.text(&scope.to_string()));
        texts(e, &self.holds);
        e.array(self.rests_on.len());
        self.rests_on.iter().for_each(|what| e.text(&what.text()));
        e.uint(self.expires_at);
        match self.lease {
            None => e.array(0),
            Some(Lease { length_ms, ends_at }) => {
                e.array(2);
                e.uint(length_ms);
                e.uint(ends_at);
            }
        }
        e.uint(flags);
        e.uint(match self.ended {
            None => 0,
            Some(Ended::Closed) => 1,
            Some(Ended::Halted) => 2,
            Some(Ended::Expired) => 3,
        });
    }

    fn decode(d: &mut Decoder<'_>) -> Result<(PermitId, Self, u64), CborError> {
        fn texts(d: &mut Decoder<'_>) -> Result<Vec<String>, CborError> {
            (0..d.array()?).map(|_| d.text().map(str::to_owned)).collect()
        }
        let wrong = |field| CborError::OutOfRange(field);
        d.array_of(18)?;
        let (id, index, realm) = (PermitId(d.bytes_of()?), d.uint()?, d.text()?.to_owned());
        let (subject, action) = ((d.text()?.to_owned(), d.text()?.to_owned()), d.text()?.to_owned());
        let policies = texts(d)?;
        let parent = match d.bytes()? {
            [] => None,
            id => Some(PermitId(id.try_into().map_err(|_| wrong(7))?)),
        };
        let depth = u32::try_from(d.uint()?).map_err(|_| wrong(8))?;
        let children = u32::try_from(d.uint()?).map_err(|_| wrong(9))?;
        let delegates = texts(d)?;
        let scopes: Option<Vec<Scope>> = texts(d)?.iter().map(|text| Scope::parse(text)).collect();
        let (scopes, holds) = (scopes.ok_or(wrong(11))?, texts(d)?);
        let rests_on: Result<Vec<_>, _> = texts(d)?.iter().map(|text| Revoked::parse(text)).collect();
        let (rests_on, expires_at) = (rests_on.map_err(|_| wrong(13))?, d.uint()?);
        let lease = match d.array()? {
            0 => None,
            2 => Some(Lease { length_ms: d.uint()?, ends_at: d.uint()? }),
            _ => return Err(wrong(15)),
        };
        let flags = d.uint()?;
        let ended = match d.uint()? {
            0 => None,
            1 => Some(Ended::Closed),
            2 => Some(Ended::Halted),
            3 => Some(Ended::Expired),
            _ => return Err(wrong(17)),
        };
        let (started, held, more_policies) = (flags & 1 != 0, flags & 2 != 0, flags & 4 != 0);
        let permit = Permit {
            index,
            realm,
            subject,
            action,
            policies,
            more_policies,
            parent,
            depth,
            children,
            delegates,
            scopes,
            holds,
            rests_on,
            expires_at,
            lease,
            started,
            held,
            ended,
        };
        Ok((id, permit, flags))
    }
}
