//! Whose evidence counts, for what, and which digests an environment must have.
//!
//! Guarantees: an issuer has one kind and a key of its own, so that an assertion is never taken for an attestation and no agent vouches for
//! itself; a rule asks only issuers
//! that may say what it asks for. What an action demands and nobody could give refuses the epoch; what nothing asks for is told. Does not:
//! read evidence; `engine/evidence.rs` does.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use serde::Deserialize;
use verifier::evidence::key::IssuerKey;
use verifier::json::Json;
use verifier::text::unhex;

use super::agents::Agents;
use super::approvals::Approvals;
use super::limits::Amount;

/// An epoch has at most so many issuers, rules of assertions and sets of reference values: each may be looked at for a decision.
pub const MAX_ENTRIES: usize = 256;
/// A rule or a set has at most so many values for one name.
pub const MAX_VALUES: usize = 64;
/// A name has at most so many bytes: records and policies hold it.
pub const MAX_NAME: usize = 255;
/// An attestation is fresh for so long unless the epoch says otherwise, milliseconds: as a request's signature.
pub const DEFAULT_MAX_AGE_MS: u64 = 300_000;
/// The longest that an epoch may call fresh: an hour, since so long its nonce is remembered.
pub const LONGEST_MAX_AGE_MS: u64 = 3_600_000;

/// What an issuer's word is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Kind {
    /// Subjects, models and tools (condition 3).
    Assertions,
    /// The environment that a subject runs in (conditions 7 and 8).
    Attestation,
}

/// Somebody whose word counts.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(try_from = "IssuerEntry")]
pub struct Issuer {
    /// What about.
    pub kind: Kind,
    /// The key that it signs with.
    pub key: IssuerKey,
    claims: BTreeSet<String>,
    predicates: BTreeSet<String>,
    /// An attestation is stale so long after it was issued, milliseconds.
    pub max_age_ms: u64,
    /// Whether an attestation may be brought again while it is fresh.
    pub reusable: bool,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct IssuerEntry {
    kind: Kind,
    key: String,
    #[serde(default)]
    claims: BTreeSet<String>,
    #[serde(default)]
    predicates: BTreeSet<String>,
    max_age_ms: Option<u64>,
    reusable: Option<bool>,
}

impl TryFrom<IssuerEntry> for Issuer {
    type Error = String;

    fn try_from(entry: IssuerEntry) -> Result<Self, String> {
        let IssuerEntry { kind, key, claims, predicates, max_age_ms, reusable } = entry;
        let key = key.parse().map_err(|error| format!("an issuer's key: {error}"))?;
        match kind {
            Kind::Assertions if claims.is_empty() && predicates.is_empty() => {
                return Err("an issuer of assertions has `claims` or `predicates` that it may speak about".to_owned());
            }
            Kind::Assertions if max_age_ms.is_some() || reusable.is_some() => {
                return Err("`max_age_ms` and `reusable` are of issuers of attestations".to_owned());
            }
            Kind::Attestation if !claims.is_empty() || !predicates.is_empty() => {
                return Err("`claims` and `predicates` are of issuers of assertions".to_owned());
            }
            Kind::Assertions | Kind::Attestation => {}
        }
        let max_age_ms = max_age_ms.unwrap_or(DEFAULT_MAX_AGE_MS);
        if !(1..=LONGEST_MAX_AGE_MS).contains(&max_age_ms) {
            return Err(format!("`max_age_ms` is {max_age_ms}, outside 1..={LONGEST_MAX_AGE_MS}"));
        }
        Ok(Self { kind, key, claims, predicates, max_age_ms, reusable: reusable.unwrap_or_default() })
    }
}

impl Issuer {
    /// Whether it may make statements with this type of predicate.
    pub fn states(&self, predicate: &str) -> bool {
        self.predicates.contains(predicate)
    }
}

/// What an assertion is about: it binds its subject to the request.
#[derive(Debug, Clone, PartialEq, Eq, Default, Deserialize)]
#[serde(try_from = "String")]
pub enum About {
    /// The request's subject.
    #[default]
    Subject,
    /// The request's resource.
    Resource,
    /// A string of the request, such as `subject.model`; what is registered wins.
    Value(Amount),
}

impl TryFrom<String> for About {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        match text.as_str() {
            "subject" => Ok(Self::Subject),
            "resource" => Ok(Self::Resource),
            _ => Amount::try_from(text).map(Self::Value),
        }
    }
}

/// A value that a claim must have.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(untagged)]
pub enum Value {
    /// A string.
    Text(String),
    /// `true` or `false`.
    Bool(bool),
    /// An integer.
    Int(i64),
}

impl Value {
    fn is(&self, json: &Json) -> bool {
        match (self, json) {
            (Self::Text(text), Json::String(other)) => text == other,
            (Self::Bool(value), Json::Bool(other)) => value == other,
            (Self::Int(value), Json::Int(other)) => value == other,
            _ => false,
        }
    }
}

/// What must be asserted, by whom, about what.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Rule {
    /// Any one of these.
    pub issuers: Vec<String>,
    /// About this.
    #[serde(default)]
    pub about: About,
    /// An in-toto statement with this type of predicate, or else a JWT.
    pub predicate: Option<String>,
    /// Claims of the JWT, or members of the predicate, each with one of these values.
    #[serde(default)]
    pub claims: BTreeMap<String, Vec<Value>>,
}

impl Rule {
    /// Whether claims, or a predicate, have the values.
    pub fn holds(&self, claims: &Json) -> bool {
        let has = |(name, values): (&String, &Vec<Value>)| {
            claims.get(name).is_some_and(|json| values.iter().any(|value| value.is(json)))
        };
        self.claims.iter().all(has)
    }
}

/// Digests that an environment must have: for each measurement any one of these.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(try_from = "BTreeMap<String, Vec<String>>")]
pub struct Reference(pub BTreeMap<String, Vec<[u8; 32]>>);

impl TryFrom<BTreeMap<String, Vec<String>>> for Reference {
    type Error = String;

    fn try_from(texts: BTreeMap<String, Vec<String>>) -> Result<Self, String> {
        if texts.is_empty() || texts.len() > MAX_VALUES {
            return Err(format!("a set of reference values has 1 to {MAX_VALUES} measurements"));
        }
        let read = |(name, texts): (String, Vec<String>)| {
            if texts.is_empty() || texts.len() > MAX_VALUES {
                return Err(format!("measurement `{name}` has 1 to {MAX_VALUES} reference values"));
            }
            let digests =
                texts.iter().map(|text| sha256(text).ok_or_else(|| format!("`{text}` is no `sha-256:` digest")));
            Ok((name, digests.collect::<Result<_, _>>()?))
        };
        texts.into_iter().map(read).collect::<Result<_, _>>().map(Self)
    }
}

/// A digest as it is written: `sha-256:` and 64 lower-case hex digits.
pub fn sha256(text: &str) -> Option<[u8; 32]> {
    unhex(text.strip_prefix("sha-256:")?).ok()?.try_into().ok()
}

/// What an action demands.
#[derive(Debug, Clone, Copy)]
pub struct Demanded<'a> {
    /// Names of rules of assertions, all of them.
    pub assertions: &'a [String],
    /// Issuers of attestations, any one of them; all of them where there are none.
    pub attestation: &'a [String],
    /// Names of sets of reference values, all of them.
    pub reference_values: &'a [String],
}

/// All that an epoch says of evidence.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Evidence {
    /// By name, which is what they call themselves: `iss`, or `keyid` of an envelope.
    pub issuers: BTreeMap<String, Arc<Issuer>>,
    /// By name.
    pub rules: BTreeMap<String, Rule>,
    /// By name.
    pub references: BTreeMap<String, Reference>,
}

impl Evidence {
    /// The issuer of that name and kind.
    pub fn issuer(&self, name: &str, kind: Kind) -> Option<&Arc<Issuer>> {
        self.issuers.get(name).filter(|issuer| issuer.kind == kind)
    }

    /// What is wrong with it.
    pub fn faults(&self, agents: &Agents, approvals: &Approvals) -> Vec<String> {
        let mut faults = Vec::new();
        let agents = agents.keys.iter().map(|agent| &agent.key);
        let others: Vec<_> = agents.chain(approvals.approvers.iter().map(|approver| &approver.key)).collect();
        let theirs = self.issuers.iter().filter(|(_, issuer)| others.iter().any(|other| issuer.key.is(other)));
        faults.extend(theirs.map(|(name, _)| format!("issuer `{name}` has the key of an agent or an approver")));
        let counts = [
            ("issuers", self.issuers.len()),
            ("assertions", self.rules.len()),
            ("reference_values", self.references.len()),
        ];
        let over = counts.into_iter().filter(|(_, count)| *count > MAX_ENTRIES);
        faults.extend(over.map(|(what, count)| format!("there are {count} {what}, more than {MAX_ENTRIES}")));
        let names = self.issuers.keys().chain(self.rules.keys()).chain(self.references.keys());
        let odd = |name: &&String| name.is_empty() || name.len() > MAX_NAME || name.chars().any(char::is_control);
        faults.extend(names.filter(odd).map(|name| format!("`{}` is no name", name.escape_debug())));
        let mut keys: Vec<(&IssuerKey, &String)> = Vec::new();
        for (name, issuer) in &self.issuers {
            if let Some((_, other)) = keys.iter().find(|(key, _)| **key == issuer.key) {
                faults.push(format!("issuer `{name}` has the key of `{other}`"));
            }
            keys.push((&issuer.key, name));
        }
        for (name, rule) in &self.rules {
            let values = |values: &Vec<Value>| (1..=MAX_VALUES).contains(&values.len());
            if rule.issuers.is_empty() || !rule.claims.values().all(values) {
                faults
                    .push(format!("assertion `{name}` asks nobody, or a claim for 0 or more than {MAX_VALUES} values"));
            }
            if rule.predicate.is_none() && rule.claims.is_empty() {
                faults.push(format!("assertion `{name}` asks neither for claims nor for a predicate"));
            }
            for issuer in &rule.issuers {
                let may = |issuer: &Arc<Issuer>| match &rule.predicate {
                    Some(predicate) => issuer.states(predicate),
                    None => rule.claims.keys().all(|claim| issuer.claims.contains(claim)),
                };
                match self.issuer(issuer, Kind::Assertions) {
                    None => faults.push(format!("assertion `{name}`: `{issuer}` is no issuer of assertions")),
                    Some(issuer) if may(issuer) => {}
                    Some(_) => faults.push(format!("assertion `{name}`: `{issuer}` may not speak about that")),
                }
            }
        }
        faults
    }

    /// What an action demands that there is not.
    pub fn unknown(&self, demanded: Demanded<'_>) -> Vec<String> {
        let Demanded { assertions, attestation, reference_values } = demanded;
        let rules = assertions.iter().filter(|name| !self.rules.contains_key(*name));
        let issuers = attestation.iter().filter(|name| self.issuer(name, Kind::Attestation).is_none());
        let references = reference_values.iter().filter(|name| !self.references.contains_key(*name));
        rules.chain(issuers).chain(references).cloned().collect()
    }

    /// Whether anybody attests.
    pub fn attests(&self) -> bool {
        self.issuers.values().any(|issuer| issuer.kind == Kind::Attestation)
    }

    /// What no action asks for. Policies may look at rules and sets that hold, through `context.interlock`.
    pub fn idle<'a>(
        &self,
        demanded: impl Iterator<Item = Demanded<'a>> + Clone,
        attesting: impl Iterator<Item = Demanded<'a>> + Clone,
    ) -> Vec<String> {
        let mut idle = Vec::new();
        for (name, issuer) in &self.issuers {
            let used = match issuer.kind {
                Kind::Assertions => self.rules.values().any(|rule| rule.issuers.contains(name)),
                Kind::Attestation => {
                    let takes = |all: Demanded<'_>| all.attestation.is_empty() || all.attestation.contains(name);
                    attesting.clone().any(takes)
                }
            };
            if !used {
                idle.push(format!("nothing asks for the word of issuer `{name}`"));
            }
        }
        let asked =
            |name: &String, of: fn(Demanded<'a>) -> &'a [String]| demanded.clone().any(|all| of(all).contains(name));
        let rules = self.rules.keys().filter(|name| !asked(name, |all| all.assertions));
        idle.extend(rules.map(|name| format!("no action asks for the assertion `{name}`")));
        let references = self.references.keys().filter(|name| !asked(name, |all| all.reference_values));
        idle.extend(references.map(|name| format!("no action asks for the reference values `{name}`")));
        idle
    }
}

#[cfg(test)]
mod tests {
    use super::super::super::findings::FindingCode;
    use super::super::Trust;

    const ISSUERS: &str = "
        [issuers.registry]
        kind = 'assertions'
        key = 'ed25519:6kpsY+KcUgq+9VB7Ey7F+ZVHdq6+vnuSQh7qaRRG0iw='
        claims = ['review']
        predicates = ['p']
        [issuers.verifier]
        kind = 'attestation'
        key = 'p256:A3/Nzidw9sRdQYPL7m/bS3tYBzM1e+nvE7rPbjx70VRF'
        ";
    const RULES: &str = "
        [assertions.reviewed]
        issuers = ['registry']
        about = 'subject.model'
        claims = { review = ['passed', 1, true] }
        [assertions.built]
        issuers = ['registry']
        about = 'resource'
        predicate = 'p'
        [reference_values.image]
        image = ['sha-256:abababababababababababababababababababababababababababababababab']
        [actions.pay]
        require = ['trust', 'environment', 'attestation']
        assertions = ['reviewed', 'built']
        attestation = ['verifier']
        reference_values = ['image']
        ";

    fn codes(text: &str) -> Vec<FindingCode> {
        Trust::parse(text).err().into_iter().flatten().map(|finding| finding.code).collect()
    }

    #[test]
    fn what_is_wrong_with_the_evidence_that_an_epoch_takes_refuses_it() {
        let good = format!("{ISSUERS}{RULES}");
        assert_eq!(codes(&good), []);
        assert_eq!(Trust::parse(&good).unwrap().idle(), []);
        let (invalid, impossible) = (FindingCode::TrustInvalid, FindingCode::TrustImpossible);
        for (from, to, why) in [
            ("kind = 'assertions'", "kind = 'gossip'", invalid),
            ("kind = 'assertions'", "kind = 'attestation'", invalid),
            ("claims = ['review']\n", "claims = ['review']\nreusable = true\n", invalid),
            ("claims = ['review']\n", "claims = ['review']\nuri = 'x'\n", invalid),
            ("ed25519:6k", "6k", invalid),
            ("kind = 'attestation'\n", "kind = 'attestation'\npredicates = ['p']\n", invalid),
            ("kind = 'attestation'\n", "kind = 'attestation'\nmax_age_ms = 0\n", invalid),
            ("kind = 'attestation'\n", "kind = 'attestation'\nmax_age_ms = 3_600_001\n", invalid),
            (
                "p256:A3/Nzidw9sRdQYPL7m/bS3tYBzM1e+nvE7rPbjx70VRF",
                "ed25519:6kpsY+KcUgq+9VB7Ey7F+ZVHdq6+vnuSQh7qaRRG0iw=",
                invalid,
            ),
            ("[issuers.verifier]", "[issuers.\"a\\nb\"]", invalid),
            (
                "issuers = ['registry']\n        about = 'subject.model'",
                "issuers = []\nabout = 'subject.model'",
                invalid,
            ),
            (
                "issuers = ['registry']\n        about = 'subject.model'",
                "issuers = ['verifier']\nabout = 'subject.model'",
                invalid,
            ),
            ("about = 'subject.model'", "about = 'model'", invalid),
            ("{ review = ['passed', 1, true] }", "{ review = [] }", invalid),
            ("{ review = ['passed', 1, true] }", "{}", invalid),
            ("{ review = ['passed', 1, true] }", "{ other = ['x'] }", invalid),
            ("predicate = 'p'", "predicate = 'q'", invalid),
            ("sha-256:abab", "sha256:abab", invalid),
            ("sha-256:abab", "sha-256:ab", invalid),
            ("image = ['sha", "Image = []\nimage = ['sha", invalid),
            ("assertions = ['reviewed', 'built']", "assertions = ['reviewed', 'other']", invalid),
            ("attestation = ['verifier']", "attestation = ['registry']", invalid),
            ("reference_values = ['image']", "reference_values = ['other']", invalid),
            ("assertions = ['reviewed', 'built']", "", impossible),
            ("reference_values = ['image']", "", impossible),
            ("['trust', 'environment', 'attestation']", "['environment', 'attestation']", impossible),
            ("['trust', 'environment', 'attestation']", "['trust', 'attestation']", impossible),
            ("['trust', 'environment', 'attestation']", "['trust', 'environment']", impossible),
        ] {
            let changed = good.replacen(from, to, 1);
            assert_ne!(changed, good);
            assert!(codes(&changed).contains(&why), "{from} → {to}: {:?}", codes(&changed));
        }
        for alone in ["attestation", "environment", "trust"] {
            let text = format!("[actions.pay]\nrequire = ['{alone}']\n");
            assert!(codes(&text).contains(&impossible), "{alone}");
        }
    }

    #[test]
    fn an_issuer_that_is_an_agent_is_refused() {
        let agent = "[[agents]]\nid = 'a'\nkey = '6kpsY+KcUgq+9VB7Ey7F+ZVHdq6+vnuSQh7qaRRG0iw='\nsubjects = ['A']\n";
        assert_eq!(codes(&format!("{ISSUERS}{RULES}{agent}")), [FindingCode::TrustInvalid]);
        let other = agent
            .replace("6kpsY+KcUgq+9VB7Ey7F+ZVHdq6+vnuSQh7qaRRG0iw=", "JrQLj5P/89iXES9+vFgrIy29clF9CC/oPPsw3c5D0bs=");
        assert_eq!(codes(&format!("{ISSUERS}{RULES}{other}")), []);
    }

    #[test]
    fn evidence_that_nothing_asks_for_is_told() {
        let idle = |text: &str| Trust::parse(text).unwrap().idle().len();
        assert_eq!(idle(ISSUERS), 2);
        let (rules, _) = RULES.split_once("[actions.pay]").unwrap();
        assert_eq!(idle(&format!("{ISSUERS}{rules}")), 4, "a verifier, two rules, a set");
    }
}
