//! Acts of governance: what an administrator signs.
//!
//! An act is the text of a signed note (C2SP signed-note) under the key name `<origin>/admin`. The whole note stands in the log verbatim,
//! so that whoever holds the log can check who published an epoch or threw a switch. Each act names the origin and the governance version
//! that it follows: an act for another log, or one that is replayed, does not fit.
//!
//! ```text
//! interlock/epoch/v1 (*)        interlock/switch/v1      interlock/freeze/v1
//! <origin>                      <origin>                 <origin>
//! <governance version>          <governance version>     <governance version>
//! <epoch number>                <target>                 <successor's verification key|none>
//! <base64 SHA-256 of content>   <halt|run>               <reason>
//!                               <reason>
//!
//! interlock/revocation/v1                                         interlock/erasure/v1
//! <origin>                                                        <origin>
//! <governance version>                                            <governance version>
//! <permit ID|issuer NAME|key ID|subject TYPE::"id"|policy ID>     <request|detail|both> <index of the decision>
//! <reason>                                                        <ground>
//!                                                                 <authority>
//! ```
//!
//! (*) `interlock/shadow-epoch/v1` publishes the same as a candidate: [`Mode::Shadow`].

use thiserror::Error;

use crate::decision::PermitId;
use crate::hash::Hash;
use crate::note::VerifierKey;
use crate::text::decimal;

/// What is stopped or released.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Target {
    /// Everything: `global`.
    Global,
    /// One realm: `realm NAME`.
    Realm(String),
    /// One subject: `subject TYPE::"id"`, the id as it stands in requests, without escapes.
    Subject(String, String),
    /// One action: `action NAME`.
    Action(String),
    /// One policy: `policy ID`. Every decision that it would determine is denied.
    Policy(String),
}

impl Target {
    /// The line in the act.
    pub fn text(&self) -> String {
        match self {
            Self::Global => "global".to_owned(),
            Self::Realm(name) => format!("realm {name}"),
            Self::Subject(kind, id) => format!("subject {kind}::\"{id}\""),
            Self::Action(name) => format!("action {name}"),
            Self::Policy(id) => format!("policy {id}"),
        }
    }

    /// Reads the line.
    pub fn parse(line: &str) -> Result<Self, ActError> {
        if line == "global" {
            return Ok(Self::Global);
        }
        let named = |rest: &str| if rest.is_empty() { Err(ActError::Target) } else { Ok(rest.to_owned()) };
        match line.split_once(' ').ok_or(ActError::Target)? {
            ("realm", rest) => named(rest).map(Self::Realm),
            ("action", rest) => named(rest).map(Self::Action),
            ("policy", rest) => named(rest).map(Self::Policy),
            ("subject", rest) => {
                let (kind, id) = rest.split_once("::\"").ok_or(ActError::Target)?;
                let id = id.strip_suffix('"').ok_or(ActError::Target)?;
                let segment = |part: &str| !part.is_empty() && part.chars().all(|c| c.is_alphanumeric() || c == '_');
                if !kind.split("::").all(segment) {
                    return Err(ActError::Target);
                }
                Ok(Self::Subject(kind.to_owned(), named(id)?))
            }
            _ => Err(ActError::Target),
        }
    }
}

/// What is taken back for the rest of the log.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Revoked {
    /// A permit, and with it what descends from it: `permit ID`.
    Permit(PermitId),
    /// An issuer of assertions or attestations: `issuer NAME`.
    Issuer(String),
    /// The key of an agent, an approver or a caller, by its id or name: `key ID`.
    Key(String),
    /// A subject: `subject TYPE::"id"`, the id as it stands in requests, without escapes.
    Subject(String, String),
    /// A policy: `policy ID`. Every decision that it would determine is denied.
    Policy(String),
}

impl Revoked {
    /// The line in the act.
    #[must_use]
    pub fn text(&self) -> String {
        match self {
            Self::Permit(id) => format!("permit {id}"),
            Self::Issuer(name) => format!("issuer {name}"),
            Self::Key(id) => format!("key {id}"),
            Self::Subject(kind, id) => Target::Subject(kind.clone(), id.clone()).text(),
            Self::Policy(id) => format!("policy {id}"),
        }
    }

    /// Reads the line.
    ///
    /// # Errors
    /// [`ActError::Revoked`].
    pub fn parse(line: &str) -> Result<Self, ActError> {
        match line.split_once(' ') {
            Some(("permit", id)) => id.parse().map(Self::Permit).map_err(|_| ActError::Revoked),
            Some(("issuer", name)) if !name.is_empty() => Ok(Self::Issuer(name.to_owned())),
            Some(("key", id)) if !id.is_empty() => Ok(Self::Key(id.to_owned())),
            Some(("policy", id)) if !id.is_empty() => Ok(Self::Policy(id.to_owned())),
            Some(("subject", _)) => match Target::parse(line) {
                Ok(Target::Subject(kind, id)) => Ok(Self::Subject(kind, id)),
                Ok(_) | Err(_) => Err(ActError::Revoked),
            },
            Some(_) | None => Err(ActError::Revoked),
        }
    }
}

/// Whether the target is stopped or runs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Power {
    /// Deny everything that concerns the target.
    Halt,
    /// Release a halt.
    Run,
}

/// What a published epoch is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Mode {
    /// It is in force from its record on; a candidate before it is over.
    Live,
    /// A candidate: evaluated beside the live epoch, recorded in every decision, and never enforced.
    Shadow,
}

/// Private parts of a decision.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Parts {
    /// The request.
    Request,
    /// The detail.
    Detail,
    /// Both.
    Both,
}

impl Parts {
    const ALL: [Self; 3] = [Self::Request, Self::Detail, Self::Both];

    /// As an `erasure` record has them: bit 0 the request, bit 1 the detail.
    pub fn bits(self) -> u64 {
        match self {
            Self::Request => 1,
            Self::Detail => 2,
            Self::Both => 3,
        }
    }

    /// From such bits.
    pub fn of_bits(bits: u64) -> Option<Self> {
        Self::ALL.into_iter().find(|parts| parts.bits() == bits)
    }

    /// Whether the detail is among them.
    pub fn has_detail(self) -> bool {
        self.bits() & 2 != 0
    }

    /// The word in the act.
    pub fn name(self) -> &'static str {
        match self {
            Self::Request => "request",
            Self::Detail => "detail",
            Self::Both => "both",
        }
    }

    /// Reads the word.
    pub fn parse(word: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|parts| parts.name() == word)
    }
}

/// What is done.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Deed {
    /// Publish an epoch.
    Epoch {
        /// Its number; the first is 1.
        number: u64,
        /// SHA-256 of its content document.
        content: Hash,
        /// Whether it is enforced. It is what the act's first line says, so nobody switches shadow mode on unseen.
        mode: Mode,
    },
    /// Throw or release a kill switch.
    Switch {
        /// What is concerned.
        target: Target,
        /// Which way.
        power: Power,
        /// Why, one line.
        reason: String,
    },
    /// Take something back for the rest of the log.
    Revocation {
        /// What.
        what: Revoked,
        /// Why, one line.
        reason: String,
    },
    /// Erase private parts of a decision. It raises no governance version.
    Erasure {
        /// The decision.
        index: u64,
        /// Which parts.
        parts: Parts,
        /// The ground in law or contract, one line.
        ground: String,
        /// Who ordered it, one line.
        authority: String,
    },
    /// End the log: nothing is ever appended behind it.
    Freeze {
        /// The key of the log that goes on in its place, if any.
        successor: Option<VerifierKey>,
        /// Why, one line.
        reason: String,
    },
}

/// An act, as signed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Act {
    /// The log that it is for.
    pub origin: String,
    /// The governance version in force when it was signed.
    pub follows: u64,
    /// What is done.
    pub deed: Deed,
}

/// Why text is not an act.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
pub enum ActError {
    /// The first line names no known act, or the number of lines is wrong.
    #[error("not an act that is known")]
    Unknown,
    /// A number is not a plain decimal.
    #[error("a number in the act is malformed")]
    Number,
    /// The digest is not the base64 of 32 bytes.
    #[error("the content digest is malformed")]
    Digest,
    /// The target's form is not known.
    #[error("the target is malformed")]
    Target,
    /// The fifth line is neither `halt` nor `run`.
    #[error("a switch is thrown to `halt` or to `run`")]
    Power,
    /// What is revoked is of no form that is known.
    #[error("what is revoked is none of `permit ID`, `issuer NAME`, `key ID`, `subject TYPE::\"id\"` and `policy ID`")]
    Revoked,
    /// What is erased is not `request`, `detail` or `both` and the index of a decision.
    #[error("what is erased is not `request`, `detail` or `both` and an index")]
    Parts,
    /// The successor is neither a verification key in its one spelling nor `none`.
    #[error("the successor is neither a verification key nor `none`")]
    Successor,
}

impl Act {
    /// The key name that administrators of this origin sign under.
    pub fn key_name(origin: &str) -> String {
        format!("{origin}/admin")
    }

    /// The key name of those who may erase, where the epoch names any.
    pub fn eraser_name(origin: &str) -> String {
        format!("{origin}/erasure")
    }

    /// The text to sign, with its final line feed. No field may hold a line feed; [`Act::parse`] gives back the same act then.
    pub fn text(&self) -> String {
        let Self { origin, follows, deed } = self;
        match deed {
            Deed::Epoch { number, content, mode } => {
                let kind = match mode {
                    Mode::Live => "epoch",
                    Mode::Shadow => "shadow-epoch",
                };
                format!("interlock/{kind}/v1\n{origin}\n{follows}\n{number}\n{content}\n")
            }
            Deed::Switch { target, power, reason } => {
                let power = match power {
                    Power::Halt => "halt",
                    Power::Run => "run",
                };
                format!("interlock/switch/v1\n{origin}\n{follows}\n{}\n{power}\n{reason}\n", target.text())
            }
            Deed::Revocation { what, reason } => {
                format!("interlock/revocation/v1\n{origin}\n{follows}\n{}\n{reason}\n", what.text())
            }
            Deed::Erasure { index, parts, ground, authority } => {
                let parts = parts.name();
                format!("interlock/erasure/v1\n{origin}\n{follows}\n{parts} {index}\n{ground}\n{authority}\n")
            }
            Deed::Freeze { successor, reason } => {
                let successor = successor.as_ref().map_or(NO_SUCCESSOR.to_owned(), VerifierKey::to_string);
                format!("interlock/freeze/v1\n{origin}\n{follows}\n{successor}\n{reason}\n")
            }
        }
    }

    /// Reads the text of an opened note.
    pub fn parse(text: &str) -> Result<Self, ActError> {
        let lines: Vec<&str> = text.strip_suffix('\n').ok_or(ActError::Unknown)?.split('\n').collect();
        let number = |line: &str| decimal(line).map_err(|_| ActError::Number);
        let (origin, follows, deed) = match lines.as_slice() {
            [kind @ ("interlock/epoch/v1" | "interlock/shadow-epoch/v1"), origin, follows, epoch, content] => {
                let content = content.parse().map_err(|_| ActError::Digest)?;
                let mode = if *kind == "interlock/epoch/v1" { Mode::Live } else { Mode::Shadow };
                (origin, follows, Deed::Epoch { number: number(epoch)?, content, mode })
            }
            ["interlock/switch/v1", origin, follows, target, power, reason] => {
                let power = match *power {
                    "halt" => Power::Halt,
                    "run" => Power::Run,
                    _ => return Err(ActError::Power),
                };
                (origin, follows, Deed::Switch { target: Target::parse(target)?, power, reason: (*reason).to_owned() })
            }
            ["interlock/revocation/v1", origin, follows, target, reason] => {
                let what = Revoked::parse(target)?;
                (origin, follows, Deed::Revocation { what, reason: (*reason).to_owned() })
            }
            ["interlock/erasure/v1", origin, follows, target, ground, authority] => {
                let (parts, index) = target.split_once(' ').ok_or(ActError::Parts)?;
                let parts = Parts::parse(parts).ok_or(ActError::Parts)?;
                let (ground, authority) = ((*ground).to_owned(), (*authority).to_owned());
                (origin, follows, Deed::Erasure { index: number(index)?, parts, ground, authority })
            }
            ["interlock/freeze/v1", origin, follows, successor, reason] => {
                (origin, follows, Deed::Freeze { successor: parse_successor(successor)?, reason: (*reason).to_owned() })
            }
            _ => return Err(ActError::Unknown),
        };
        Ok(Self { origin: (*origin).to_owned(), follows: number(follows)?, deed })
    }
}

/// How a freeze says that no log goes on.
const NO_SUCCESSOR: &str = "none";

fn parse_successor(line: &str) -> Result<Option<VerifierKey>, ActError> {
    if line == NO_SUCCESSOR {
        return Ok(None);
    }
    let key: VerifierKey = line.parse().map_err(|_| ActError::Successor)?;
    // One spelling: the act reads back as it was signed.
    if key.to_string() == line { Ok(Some(key)) } else { Err(ActError::Successor) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_act_reads_back_as_written() {
        for target in [
            "global",
            "realm main",
            "subject Agent::\"a b\"",
            "subject N::Agent::\"x::\"y\"",
            "action pay it",
            "policy p-1",
        ] {
            let target = Target::parse(target).unwrap();
            let deed = Deed::Switch { target, power: Power::Halt, reason: "drill".to_owned() };
            let act = Act { origin: "ledger.example/log".to_owned(), follows: 7, deed };
            assert_eq!(Act::parse(&act.text()), Ok(act));
        }
        let key = "ledger.example/evidence+6115c7bb+AYqI4910CfGV/VLbLTy6XXLKZwm/HZQSG/N0iAG0D29c";
        for successor in [None, Some(key.parse().unwrap())] {
            let deed = Deed::Freeze { successor, reason: "the key was stolen".to_owned() };
            let act = Act { origin: "ledger.example/log".to_owned(), follows: 7, deed };
            assert_eq!(Act::parse(&act.text()), Ok(act));
        }
        for line in [
            "permit a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5",
            "issuer https://a b",
            "key 0123456789ab",
            "subject Agent::\"a b\"",
            "policy p-1",
        ] {
            let what = Revoked::parse(line).unwrap();
            assert_eq!(what.text(), line);
            let deed = Deed::Revocation { what, reason: "it was stolen".to_owned() };
            let act = Act { origin: "ledger.example/log".to_owned(), follows: 7, deed };
            assert_eq!(Act::parse(&act.text()), Ok(act));
        }
        for parts in Parts::ALL {
            let (ground, authority) = ("article 17".to_owned(), "the data protection officer".to_owned());
            let deed = Deed::Erasure { index: 17, parts, ground, authority };
            let act = Act { origin: "ledger.example/log".to_owned(), follows: 7, deed };
            assert_eq!(Act::parse(&act.text()), Ok(act));
            assert_eq!(Parts::of_bits(parts.bits()), Some(parts));
        }
        assert_eq!(Act::parse("interlock/erasure/v1\no\n1\nall 17\nwhy\nwho\n"), Err(ActError::Parts));
        for mode in [Mode::Live, Mode::Shadow] {
            let deed = Deed::Epoch { number: 1, content: Hash([7; 32]), mode };
            let act = Act { origin: "ledger.example/log".to_owned(), follows: 0, deed };
            assert_eq!(Act::parse(&act.text()), Ok(act));
        }
    }

    #[test]
    fn an_act_with_a_line_too_many_is_refused() {
        assert_eq!(Act::parse("interlock/switch/v1\no\n1\nglobal\nhalt\nwhy\nmore\n"), Err(ActError::Unknown));
        assert_eq!(Act::parse("interlock/switch/v1\no\n01\nglobal\nhalt\nwhy\n"), Err(ActError::Number));
        assert_eq!(Act::parse("interlock/switch/v1\no\n1\nglobally\nhalt\nwhy\n"), Err(ActError::Target));
        assert_eq!(Act::parse("interlock/switch/v1\no\n1\nglobal\nstop\nwhy\n"), Err(ActError::Power));
        for line in [
            "permit 01",
            "permit ",
            "key ",
            "keys 01",
            "issuer",
            "subject Agent",
            "subject Agent::\"\"",
            "action read",
            "global",
        ] {
            let text = format!("interlock/revocation/v1\no\n1\n{line}\nwhy\n");
            assert_eq!(Act::parse(&text), Err(ActError::Revoked), "{line}");
        }
        assert_eq!(Act::parse("interlock/freeze/v1\no\n1\nnone\nwhy\nmore\n"), Err(ActError::Unknown));
        assert_eq!(Act::parse("interlock/freeze/v1\no\n1\n\nwhy\n"), Err(ActError::Successor));
        assert_eq!(Act::parse("interlock/freeze/v1\no\n1\nother+00000000+AAAA\nwhy\n"), Err(ActError::Successor));
    }
}
