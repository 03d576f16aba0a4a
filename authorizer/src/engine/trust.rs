//! The trust configuration of an epoch: realms, limits and what each action requires, as TOML.
//!
//! ```toml
//! # Realms and whether their requests are disclosed. Without this table every realm exists and is public;
//! # with it, a caller of an unlisted realm is denied.
//! [realms]
//! main = "public"
//! clinic = "committed"
//!
//! [limits]
//! max_ttl_ms = 3_600_000   # longest lifetime of a permit
//! max_uses = 1             # most uses of a permit
//!
//! # Conditions that an action requires beyond policy, identity, runtime and permissions, which always hold.
//! [actions.transfer_funds]
//! require = ["policy", "identity", "runtime", "permissions"]
//! ```
//!
//! Unknown fields are refused. A required condition that this version does not evaluate refuses the whole epoch: it must never be
//! recorded as if it had been asked and answered.

use std::collections::BTreeMap;

use serde::Deserialize;
use verifier::decision::Condition;

use super::findings::{Finding, FindingCode, Part, Position};

/// The lifetime of a permit whose request names none (DESIGN §7.1), in milliseconds.
pub const DEFAULT_TTL_MS: u64 = 60_000;
/// The longest lifetime without a trust file: an hour, since nothing but expiry ends a permit whose executor never reports.
pub const DEFAULT_MAX_TTL_MS: u64 = 3_600_000;
/// The longest lifetime that an epoch may set: a year, beyond which a permit is a policy.
pub const LONGEST_MAX_TTL_MS: u64 = 366 * 24 * 3_600_000;
/// The conditions that are evaluated for every action and cannot be switched off.
pub const ALWAYS: [Condition; 4] = [Condition::Policy, Condition::Identity, Condition::Runtime, Condition::Permissions];

/// Whether the private parts of a realm's decisions are served to anyone.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum RealmMode {
    /// Request and detail are served to anyone.
    Public,
    /// Only their commitments are.
    Committed,
}

/// What a permit may be at most.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Limits {
    /// Longest lifetime, milliseconds.
    pub max_ttl_ms: u64,
    /// Most uses.
    pub max_uses: u32,
}

impl Default for Limits {
    fn default() -> Self {
        Self { max_ttl_ms: DEFAULT_MAX_TTL_MS, max_uses: 1 }
    }
}

/// The trust configuration.
#[derive(Debug, Clone, PartialEq, Eq, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Trust {
    realms: Option<BTreeMap<String, RealmMode>>,
    #[serde(default)]
    limits: Limits,
    #[serde(default)]
    actions: BTreeMap<String, Action>,
}

#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
struct Action {
    require: Vec<String>,
}

impl Trust {
    /// Reads a trust file; refuses what is unknown, out of range or not implemented.
    pub(super) fn parse(text: &str) -> Result<Self, Vec<Finding>> {
        let trust: Self = toml::from_str(text).map_err(|error| {
            let finding = Finding::new(FindingCode::TrustInvalid, Part::Trust, error.message());
            vec![match error.span() {
                Some(span) => finding.at(Position::of(text, span.start)),
                None => finding,
            }]
        })?;
        let mut findings = Vec::new();
        let Limits { max_ttl_ms, max_uses } = trust.limits;
        if !(1..=LONGEST_MAX_TTL_MS).contains(&max_ttl_ms) {
            let message = format!("limits.max_ttl_ms is {max_ttl_ms}, outside 1..={LONGEST_MAX_TTL_MS}");
            findings.push(Finding::new(FindingCode::TrustInvalid, Part::Trust, message));
        }
        if max_uses == 0 {
            findings.push(Finding::new(FindingCode::TrustInvalid, Part::Trust, "limits.max_uses is 0"));
        }
        for (action, required) in
            trust.actions.iter().flat_map(|(name, action)| action.require.iter().map(move |c| (name, c)))
        {
            match Condition::named(required) {
                Some(condition) if ALWAYS.contains(&condition) => {}
                Some(_) => findings.push(Finding::new(
                    FindingCode::ConditionNotImplemented,
                    Part::Trust,
                    format!("action `{action}` requires `{required}`, which this version does not evaluate"),
                )),
                None => findings.push(Finding::new(
                    FindingCode::UnknownCondition,
                    Part::Trust,
                    format!("action `{action}` requires `{required}`, which is not one of the nine conditions"),
                )),
            }
        }
        if findings.is_empty() { Ok(trust) } else { Err(findings) }
    }

    /// The actions that the configuration names.
    pub(super) fn actions(&self) -> impl Iterator<Item = &str> {
        self.actions.keys().map(String::as_str)
    }

    /// The limits of a permit.
    pub fn limits(&self) -> Limits {
        self.limits
    }

    /// The realms that are listed as committed.
    pub fn committed(&self) -> impl Iterator<Item = &str> {
        let listed = self.realms.iter().flatten();
        listed.filter(|(_, mode)| **mode == RealmMode::Committed).map(|(name, _)| name.as_str())
    }

    /// Whether a realm is listed; `None` where realms are not.
    pub(super) fn lists(&self, name: &str) -> Option<bool> {
        self.realms.as_ref().map(|realms| realms.contains_key(name))
    }

    /// A realm's mode; `None` if realms are listed and this one is not.
    pub fn realm(&self, name: &str) -> Option<RealmMode> {
        match &self.realms {
            Some(realms) => realms.get(name).copied(),
            None => Some(RealmMode::Public),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn codes(text: &str) -> Vec<FindingCode> {
        Trust::parse(text).err().into_iter().flatten().map(|finding| finding.code).collect()
    }

    #[test]
    fn the_documented_example_is_read() {
        let lines = include_str!("trust.rs").lines().skip_while(|line| *line != "//! ```toml").skip(1);
        let example: Vec<_> =
            lines.take_while(|line| *line != "//! ```").map(|line| line.trim_start_matches("//!")).collect();
        assert!(example.len() > 10);
        let trust = Trust::parse(&example.join("\n")).unwrap();
        assert_eq!(trust.limits(), Limits::default());
        assert_eq!(trust.realm("clinic"), Some(RealmMode::Committed));
        assert_eq!(trust.realm("elsewhere"), None);
        assert_eq!(Trust::default().realm("elsewhere"), Some(RealmMode::Public));
        assert_eq!(trust.actions().collect::<Vec<_>>(), ["transfer_funds"]);
    }

    #[test]
    fn what_is_unknown_or_out_of_range_is_refused() {
        assert_eq!(codes("[realm]\n"), [FindingCode::TrustInvalid]);
        assert_eq!(codes("[limits]\nmax_ttl = 1\n"), [FindingCode::TrustInvalid]);
        assert_eq!(codes("[limits]\nmax_ttl_ms = 0\n"), [FindingCode::TrustInvalid]);
        assert_eq!(codes("[limits]\nmax_uses = 0\n"), [FindingCode::TrustInvalid]);
        assert_eq!(codes("[actions.pay]\nrequire = [\"luck\"]\n"), [FindingCode::UnknownCondition]);
        let at = Trust::parse("[limits]\nmax_uses = \"one\"\n").unwrap_err()[0].at;
        assert_eq!(at, Some(Position { line: 2, column: 12 }));
    }

    #[test]
    fn a_condition_that_is_not_implemented_cannot_be_required() {
        for condition in Condition::ALL {
            let text = format!("[actions.pay]\nrequire = [\"{}\"]\n", condition.name());
            let expected: &[_] =
                if ALWAYS.contains(&condition) { &[] } else { &[FindingCode::ConditionNotImplemented] };
            assert_eq!(codes(&text), expected, "{}", condition.name());
        }
    }
}
