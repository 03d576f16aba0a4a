//! Trust policies (C2SP tlog-policy): which logs a reader believes, and which witnesses must have cosigned a head.
//!
//! Guarantees: what is read is exactly one policy within the limits below, each name defined above its use, each a member once, no key
//! twice; [`Witnessing`] counts cosignatures that verify over the whole text of the head, and a line under a witness's name and id that
//! fails makes the note void, as for every known key (signed-note).
//! Narrower than the specification: the file is UTF-8, witnesses have keys of Ed25519 cosignatures (type 0x04), and a log's key is no
//! witness's (tlog-cosignature says that it must not be). Addresses are read and not used.

mod read;

use crate::cosignature::WitnessKey;
use crate::note::{MAX_SIGNATURES, Note, NoteError, VerifierKey};

pub use read::{PolicyError, PolicyFault};

/// Bytes of a policy: every line that may be there, with long names, and as much again of comments.
pub const MAX_POLICY: usize = 256 * 1024;
/// Logs in a policy; the specification asks for 32.
pub const MAX_LOGS: usize = 64;
/// Witnesses in a policy: no note has more signature lines.
pub const MAX_WITNESSES: usize = MAX_SIGNATURES;
/// Groups in a policy; the specification asks for 32.
pub const MAX_GROUPS: usize = 64;

/// A policy. Made by [`Policy::parse`] only.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Policy {
    logs: Vec<Log>,
    witnesses: Vec<Witness>,
    groups: Vec<Group>,
    quorum: Quorum,
}

/// A log that is believed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Log {
    /// Its key; the name is the origin.
    pub key: VerifierKey,
    /// Where it is, in words that mean nothing here.
    pub url: Option<String>,
}

/// A witness.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Witness {
    /// Its name in the policy, which need not be that of its key.
    pub name: String,
    /// Its key.
    pub key: WitnessKey,
    /// Where it is, in words that mean nothing here.
    pub url: Option<String>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
struct Group {
    name: String,
    threshold: usize,
    members: Vec<Member>,
}

/// A place in the list of witnesses or of groups.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Member {
    Witness(usize),
    Group(usize),
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Quorum {
    None,
    Of(String, Member),
}

/// Which witnesses cosigned a head.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Witnessing {
    /// Each witness of the policy by its name there, and when it cosigned, in Unix seconds.
    pub each: Vec<(String, Option<u64>)>,
    /// Whether they are enough.
    pub met: bool,
}

impl Policy {
    /// The logs that are believed.
    #[must_use]
    pub fn logs(&self) -> &[Log] {
        &self.logs
    }

    /// The witnesses, in the order of the file.
    #[must_use]
    pub fn witnesses(&self) -> &[Witness] {
        &self.witnesses
    }

    /// Name of the quorum; none if no cosignature is asked for.
    #[must_use]
    pub fn quorum(&self) -> Option<&str> {
        match &self.quorum {
            Quorum::None => None,
            Quorum::Of(name, _) => Some(name),
        }
    }

    /// Counts the cosignatures of a head, a signed note. It verifies no log's signature.
    ///
    /// # Errors
    /// As [`Note::parse`]; [`NoteError::BadSignature`] if a line under a witness's name and id does not verify.
    pub fn witnessing(&self, raw: &str) -> Result<Witnessing, NoteError> {
        let note = Note::parse(raw)?;
        let mut seen = vec![None; self.witnesses.len()];
        for line in &note.signatures {
            for (witness, seen) in self.witnesses.iter().zip(&mut seen) {
                if witness.key.id() == line.id && witness.key.name() == line.name {
                    let time = witness.key.verify(&note.text, &line.bytes).ok_or(NoteError::BadSignature)?;
                    *seen = (*seen).max(Some(time));
                }
            }
        }
        let met = self.is_met(&seen);
        let each = self.witnesses.iter().zip(seen).map(|(witness, seen)| (witness.name.clone(), seen)).collect();
        Ok(Witnessing { each, met })
    }

    /// What is said of evidence that carries no head: nobody cosigned it.
    #[must_use]
    pub fn unwitnessed(&self) -> Witnessing {
        let each = self.witnesses.iter().map(|witness| (witness.name.clone(), None)).collect();
        Witnessing { each, met: self.is_met(&vec![None; self.witnesses.len()]) }
    }

    fn is_met(&self, seen: &[Option<u64>]) -> bool {
        let mut groups: Vec<bool> = Vec::with_capacity(self.groups.len());
        // Members of a group stand above it, so one way through is enough.
        for group in &self.groups {
            let witnessed = group.members.iter().filter(|member| has(**member, seen, &groups)).count();
            groups.push(witnessed >= group.threshold);
        }
        match &self.quorum {
            Quorum::None => true,
            Quorum::Of(_, member) => has(*member, seen, &groups),
        }
    }
}

fn has(member: Member, seen: &[Option<u64>], groups: &[bool]) -> bool {
    match member {
        Member::Witness(place) => seen.get(place).is_some_and(Option::is_some),
        Member::Group(place) => groups.get(place).is_some_and(|met| *met),
    }
}
