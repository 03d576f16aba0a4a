//! The text of a policy, line by line, with the number of the line that is wrong.

use std::collections::HashMap;

use thiserror::Error;

use super::{Group, Log, MAX_GROUPS, MAX_LOGS, MAX_POLICY, MAX_WITNESSES, Member, Policy, Quorum, Witness};
use crate::cosignature::WitnessKey;
use crate::note::{MAX_NAME, NoteError, VerifierKey};
use crate::text::decimal;

/// What stands for no cosignature at all.
const NONE: &str = "none";

/// Why a policy is refused, and where.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[error("line {line}: {fault}")]
pub struct PolicyError {
    /// The line, from 1; the one behind the last where something is missing.
    pub line: usize,
    /// Why.
    pub fault: PolicyFault,
}

/// What is wrong with a line.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum PolicyFault {
    /// More bytes than [`MAX_POLICY`].
    #[error("the policy is too long")]
    TooLong,
    /// Not UTF-8, or a control character other than tab and newline.
    #[error("a character that a policy may not have")]
    Character,
    /// A line that begins with another word.
    #[error("a line begins with `log`, `witness`, `group` or `quorum`")]
    Keyword,
    /// More or fewer items than a line of its kind has.
    #[error("the line is not `{0}`")]
    Items(&'static str),
    /// A key that is none, or of an algorithm that is not taken.
    #[error("{0}")]
    Key(#[from] NoteError),
    /// A public key that another log or witness has.
    #[error("the public key stands in the policy already")]
    SameKey,
    /// A name that is defined already, or is `none`, or is too long.
    #[error("the name is taken or too long")]
    Name,
    /// A name that no line above defines.
    #[error("the name is not defined above")]
    Undefined,
    /// A member of two groups, or twice of one.
    #[error("the name is a member already")]
    Member,
    /// Not `any`, `all` or a number from 1 to that of the members.
    #[error("the threshold is not `any`, `all` or a number from 1 to that of the members")]
    Threshold,
    /// More lines of a kind than are taken.
    #[error("too many lines of this kind")]
    TooMany,
    /// No line says what the quorum is.
    #[error("there is no `quorum` line")]
    NoQuorum,
    /// A second one does.
    #[error("there is a second `quorum` line")]
    SecondQuorum,
}

/// What was read so far.
#[derive(Default)]
struct Reading {
    logs: Vec<Log>,
    witnesses: Vec<Witness>,
    groups: Vec<Group>,
    names: HashMap<String, Named>,
    quorum: Option<Quorum>,
}

/// What a name stands for, and whether a group has it.
struct Named {
    place: Member,
    taken: bool,
}

impl Policy {
    /// Reads a policy.
    ///
    /// # Errors
    /// [`PolicyError`] for the first line that is wrong.
    pub fn parse(bytes: &[u8]) -> Result<Policy, PolicyError> {
        let at = |line: usize, fault: PolicyFault| PolicyError { line, fault };
        if bytes.len() > MAX_POLICY {
            return Err(at(1, PolicyFault::TooLong));
        }
        let text = str::from_utf8(bytes).map_err(|_| at(1, PolicyFault::Character))?;
        let mut reading = Reading::default();
        let mut last = 0;
        for (number, line) in (1..).zip(text.split('\n')) {
            last = number;
            let control = |byte: u8| (byte < 0x20 && byte != b'\t') || byte == 0x7f;
            if line.bytes().any(control) {
                return Err(at(number, PolicyFault::Character));
            }
            // Space and tab only: no other white space of Unicode separates anything.
            let items: Vec<&str> = line.split([' ', '\t']).filter(|item| !item.is_empty()).collect();
            reading.line(&items).map_err(|fault| at(number, fault))?;
        }
        let Reading { logs, witnesses, groups, quorum, .. } = reading;
        let quorum = quorum.ok_or_else(|| at(last, PolicyFault::NoQuorum))?;
        Ok(Policy { logs, witnesses, groups, quorum })
    }
}

impl Reading {
    fn line(&mut self, items: &[&str]) -> Result<(), PolicyFault> {
        let Some((word, rest)) = items.split_first() else { return Ok(()) };
        match *word {
            comment if comment.starts_with('#') => Ok(()),
            "log" => self.log(rest),
            "witness" => self.witness(rest),
            "group" => self.group(rest),
            "quorum" => self.quorum(rest),
            _ => Err(PolicyFault::Keyword),
        }
    }

    fn log(&mut self, items: &[&str]) -> Result<(), PolicyFault> {
        let (vkey, url) = match items {
            [vkey] => (vkey, None),
            [vkey, url] => (vkey, Some((*url).to_owned())),
            _ => return Err(PolicyFault::Items("log KEY [ADDRESS]")),
        };
        if self.logs.len() == MAX_LOGS {
            return Err(PolicyFault::TooMany);
        }
        let key: VerifierKey = vkey.parse()?;
        self.unused(&key.key_bytes())?;
        self.logs.push(Log { key, url });
        Ok(())
    }

    fn witness(&mut self, items: &[&str]) -> Result<(), PolicyFault> {
        let (name, vkey, url) = match items {
            [name, vkey] => (name, vkey, None),
            [name, vkey, url] => (name, vkey, Some((*url).to_owned())),
            _ => return Err(PolicyFault::Items("witness NAME KEY [ADDRESS]")),
        };
        if self.witnesses.len() == MAX_WITNESSES {
            return Err(PolicyFault::TooMany);
        }
        let key: WitnessKey = vkey.parse()?;
        self.unused(&key.key_bytes())?;
        self.define(name, Member::Witness(self.witnesses.len()))?;
        self.witnesses.push(Witness { name: (*name).to_owned(), key, url });
        Ok(())
    }

    fn group(&mut self, items: &[&str]) -> Result<(), PolicyFault> {
        let [name, threshold, names @ ..] = items else {
            return Err(PolicyFault::Items("group NAME THRESHOLD MEMBER…"));
        };
        if names.is_empty() {
            return Err(PolicyFault::Items("group NAME THRESHOLD MEMBER…"));
        }
        if self.groups.len() == MAX_GROUPS {
            return Err(PolicyFault::TooMany);
        }
        let mut members = Vec::new();
        for name in names {
            let named = self.names.get_mut(*name).ok_or(PolicyFault::Undefined)?;
            if std::mem::replace(&mut named.taken, true) {
                return Err(PolicyFault::Member);
            }
            members.push(named.place);
        }
        let threshold = match *threshold {
            "any" => 1,
            "all" => members.len(),
            number => decimal(number).ok().and_then(|number| usize::try_from(number).ok()).unwrap_or(0),
        };
        if threshold == 0 || threshold > members.len() {
            return Err(PolicyFault::Threshold);
        }
        self.define(name, Member::Group(self.groups.len()))?;
        self.groups.push(Group { name: (*name).to_owned(), threshold, members });
        Ok(())
    }

    fn quorum(&mut self, items: &[&str]) -> Result<(), PolicyFault> {
        let [name] = items else { return Err(PolicyFault::Items("quorum NAME")) };
        if self.quorum.is_some() {
            return Err(PolicyFault::SecondQuorum);
        }
        self.quorum = Some(if *name == NONE {
            Quorum::None
        } else {
            Quorum::Of((*name).to_owned(), self.names.get(*name).ok_or(PolicyFault::Undefined)?.place)
        });
        Ok(())
    }

    fn define(&mut self, name: &str, place: Member) -> Result<(), PolicyFault> {
        if name == NONE || name.len() > MAX_NAME || self.names.contains_key(name) {
            return Err(PolicyFault::Name);
        }
        self.names.insert(name.to_owned(), Named { place, taken: false });
        Ok(())
    }

    fn unused(&self, key: &[u8; 32]) -> Result<(), PolicyFault> {
        let logs = self.logs.iter().map(|log| log.key.key_bytes());
        let same = logs.chain(self.witnesses.iter().map(|witness| witness.key.key_bytes())).any(|other| other == *key);
        if same { Err(PolicyFault::SameKey) } else { Ok(()) }
    }
}
