//! Who may approve what, and how many of them it takes.
//!
//! Guarantees: an approver is one person with one key, which is no agent's; so `count` approvals are those of `count` persons. Does not:
//! check approvals; `http/approvals.rs` and the fold do.

use std::sync::Arc;

use serde::Deserialize;
use verifier::note::VerifierKey;

use super::agents::Agents;
use super::subjects::Selector;

/// An epoch has at most so many approvers: each may be tried for an approval.
pub const MAX_APPROVERS: usize = 64;
/// An epoch has at most so many rules: each is looked at for each decision.
pub const MAX_RULES: usize = 256;

/// One person who may approve.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(try_from = "Entry")]
pub struct Approver {
    /// The key that this person signs with; its name is the approver's.
    pub key: VerifierKey,
    /// Who it is: type and id. Nobody approves what is asked in their own name.
    pub person: (String, String),
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Entry {
    key: String,
    person: Selector,
}

impl TryFrom<Entry> for Approver {
    type Error = String;

    fn try_from(Entry { key, person }: Entry) -> Result<Self, String> {
        let key = key.parse().map_err(|error| format!("an approver's key: {error}"))?;
        match person {
            Selector::One(kind, id) => Ok(Self { key, person: (kind, id) }),
            Selector::Type(kind) => Err(format!("an approver is one person, `Type::\"id\"`, and not all of `{kind}`")),
        }
    }
}

/// A rule as it is written.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RuleEntry {
    actions: Vec<String>,
    subjects: Option<Vec<Selector>>,
    count: usize,
    approvers: Vec<String>,
}

/// What must be approved, by how many of whom.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ApprovalRule {
    /// Names of actions.
    pub actions: Vec<String>,
    subjects: Option<Vec<Selector>>,
    /// So many different ones.
    pub count: usize,
    /// Of these.
    pub approvers: Vec<Arc<Approver>>,
}

/// Approvers and rules.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Approvals {
    /// In the order of the file.
    pub approvers: Vec<Arc<Approver>>,
    /// In the order of the file.
    pub rules: Vec<Arc<ApprovalRule>>,
    unknown: Vec<String>,
}

impl Approvals {
    /// From the entries of a file.
    pub fn of(approvers: Vec<Approver>, rules: Vec<RuleEntry>) -> Self {
        let approvers: Vec<_> = approvers.into_iter().map(Arc::new).collect();
        let mut unknown = Vec::new();
        let mut rule = |RuleEntry { actions, subjects, count, approvers: names }: RuleEntry| {
            let mut of = Vec::new();
            for name in names {
                match approvers.iter().find(|approver| approver.key.name() == name) {
                    Some(approver) if !of.contains(approver) => of.push(approver.clone()),
                    Some(_) | None => unknown.push(name),
                }
            }
            Arc::new(ApprovalRule { actions, subjects, count, approvers: of })
        };
        let rules = rules.into_iter().map(&mut rule).collect();
        Self { approvers, rules, unknown }
    }

    /// The rules that an action of a subject falls under.
    pub fn needed<'a>(
        &'a self,
        action: &'a str,
        (kind, id): (&'a str, &'a str),
    ) -> impl Iterator<Item = &'a Arc<ApprovalRule>> {
        self.rules.iter().filter(move |rule| {
            let about = |selector: &Selector| selector.is(kind, id);
            rule.actions.iter().any(|name| name == action)
                && rule.subjects.as_ref().is_none_or(|subjects| subjects.iter().any(about))
        })
    }

    /// What is wrong with them.
    pub fn faults(&self, agents: &Agents) -> Vec<String> {
        let mut faults = Vec::new();
        if self.approvers.len() > MAX_APPROVERS {
            faults.push(format!("there are {} approvers, more than {MAX_APPROVERS}", self.approvers.len()));
        }
        if self.rules.len() > MAX_RULES {
            faults.push(format!("there are {} rules of approval, more than {MAX_RULES}", self.rules.len()));
        }
        for (n, approver) in self.approvers.iter().enumerate() {
            let name = approver.key.name();
            let same = |other: &&Arc<Approver>| {
                other.key.name() == name
                    || other.key.key_bytes() == approver.key.key_bytes()
                    || other.person == approver.person
            };
            if self.approvers.iter().take(n).any(|other| same(&other)) {
                faults.push(format!("approver `{name}` has the name, the key or the person of an earlier one"));
            }
            if agents.keys.iter().any(|agent| agent.key.key_bytes() == approver.key.key_bytes()) {
                faults.push(format!("approver `{name}` has an agent's key"));
            }
        }
        faults.extend(self.unknown.iter().map(|name| format!("`{name}` is no approver, or stands twice in one rule")));
        for rule in &self.rules {
            if rule.count == 0 || rule.actions.is_empty() || rule.subjects.as_ref().is_some_and(Vec::is_empty) {
                faults.push("a rule of approval asks for nobody's, for no action, or for no subject".to_owned());
            }
        }
        faults
    }

    /// Rules that can never be met.
    pub fn impossible(&self) -> Vec<String> {
        let short = self.rules.iter().filter(|rule| rule.count > rule.approvers.len());
        short
            .map(|rule| {
                format!("`{}` needs {} approvals of {}", rule.actions.join("`, `"), rule.count, rule.approvers.len())
            })
            .collect()
    }

    /// Approvers whom no rule names.
    pub fn idle(&self) -> Vec<String> {
        let named = |approver: &Arc<Approver>| self.rules.iter().any(|rule| rule.approvers.contains(approver));
        let idle = self.approvers.iter().filter(|approver| !named(approver));
        idle.map(|approver| format!("no rule asks for approver `{}`", approver.key.name())).collect()
    }

    /// All whom a rule is about.
    pub fn subjects(&self) -> impl Iterator<Item = &Selector> {
        self.rules.iter().flat_map(|rule| rule.subjects.iter().flatten())
    }

    /// All that must be approved.
    pub fn actions(&self) -> impl Iterator<Item = &String> {
        self.rules.iter().flat_map(|rule| &rule.actions)
    }
}

#[cfg(test)]
mod tests {
    use ed25519_dalek::SigningKey;
    use verifier::note::VerifierKey;

    use super::super::super::findings::FindingCode;
    use super::super::Trust;

    fn approver(name: &str, seed: u8, person: &str) -> String {
        let key = VerifierKey::new(name, SigningKey::from_bytes(&[seed; 32]).verifying_key().as_bytes()).unwrap();
        format!("[[approvers]]\nkey = '{key}'\nperson = '{person}'\n")
    }

    fn rule(count: u8, names: &str) -> String {
        format!("[[approvals]]\nactions = ['pay']\ncount = {count}\napprovers = [{names}]\n")
    }

    fn codes(text: &str) -> Vec<FindingCode> {
        Trust::parse(text).err().into_iter().flatten().map(|finding| finding.code).collect()
    }

    #[test]
    fn approvers_who_are_one_person_or_an_agent_are_refused() {
        let (carol, dave) = (approver("carol", 1, "User::\"carol\""), approver("dave", 2, "User::\"dave\""));
        let both = rule(2, "'carol', 'dave'");
        assert_eq!(codes(&format!("{carol}{dave}{both}")), []);
        for wrong in [
            approver("carol", 2, "User::\"dave\""),
            approver("dave", 1, "User::\"dave\""),
            approver("dave", 2, "User::\"carol\""),
            approver("dave", 2, "User"),
        ] {
            assert!(codes(&format!("{carol}{wrong}{both}")).contains(&FindingCode::TrustInvalid), "{wrong}");
        }
        let agent = "[signatures]\nactions = ['pay']\n[[agents]]\nid = 'a'\nkey = 'iojj3XQJ8ZX9UtstPLpdcspnCb8dlBIb83SIAbQPb1w='\nsubjects = ['Agent']\n";
        assert_eq!(codes(&format!("{carol}{dave}{both}{agent}")), [FindingCode::TrustInvalid]);
    }

    #[test]
    fn a_rule_that_cannot_be_met_is_refused_and_an_approver_without_one_is_told() {
        let (carol, dave) = (approver("carol", 1, "User::\"carol\""), approver("dave", 2, "User::\"dave\""));
        assert_eq!(codes(&format!("{carol}{dave}{}", rule(3, "'carol', 'dave'"))), [FindingCode::TrustImpossible]);
        for wrong in [rule(0, "'carol'"), rule(1, "'carol', 'carol'"), rule(1, "'carol', 'erin'")] {
            assert_eq!(codes(&format!("{carol}{wrong}")), [FindingCode::TrustInvalid], "{wrong}");
        }
        let nothing = rule(1, "'carol'").replace("'pay'", "");
        assert_eq!(codes(&format!("{carol}{nothing}")), [FindingCode::TrustInvalid]);
        assert_eq!(Trust::parse(&format!("{carol}{dave}{}", rule(1, "'carol'"))).unwrap().idle().len(), 1);
    }
}
