//! What is wrong with a trust configuration that could be read: out of range, impossible, or without effect.
//!
//! Guarantees: an epoch that requires what its own grants and limits can never give is refused before it is in force, when everybody would be
//! denied by it. Does not: know the schema or the registered entities; publishing holds names against those.

use verifier::decision::Condition;

use super::actions::{Action, Grant, MAX_GRANTS};
use super::evidence::Demanded;
use super::file::{RAREST_CHECK_EVERY, invalid};
use super::permits::{LONGEST_MAX_TTL_MS, Limits, MOST_MAX_CHILDREN, MOST_MAX_DEPTH};
use super::scope::{Scope, all_covered};
use super::{Trust, limits};
use crate::engine::findings::{Finding, FindingCode, Part};

impl Trust {
    pub(super) fn out_of_range(&self) -> Vec<Finding> {
        let Limits { max_ttl_ms, max_uses, max_lease_ms, max_depth, max_children } = self.limits;
        let ranges = [
            ("limits.max_ttl_ms", max_ttl_ms, LONGEST_MAX_TTL_MS),
            ("limits.max_uses", max_uses.into(), u32::MAX.into()),
            ("limits.max_lease_ms", max_lease_ms, LONGEST_MAX_TTL_MS),
            ("limits.max_depth", max_depth.into(), MOST_MAX_DEPTH.into()),
            ("limits.max_children", max_children.into(), MOST_MAX_CHILDREN.into()),
            ("engine.check_every", self.check_every().into(), RAREST_CHECK_EVERY.into()),
        ];
        let outside = ranges.into_iter().filter(|(_, value, most)| !(1..=*most).contains(value));
        let mut findings: Vec<_> =
            outside.map(|(name, value, most)| invalid(format!("{name} is {value}, outside 1..={most}"))).collect();
        findings.extend(limits::faults(&self.counted).into_iter().map(invalid));
        findings.extend(self.agents.faults().into_iter().chain(self.approvals.faults(&self.agents)).map(invalid));
        findings.extend(self.evidence.faults(&self.agents, &self.approvals).into_iter().map(invalid));
        for (name, action) in &self.actions {
            let unknown = self.evidence.unknown(action.demanded()).into_iter();
            findings
                .extend(unknown.map(|what| invalid(format!("action `{name}` asks for `{what}`, which there is not"))));
        }
        if self.grants.len() > MAX_GRANTS {
            findings.push(invalid(format!("there are {} grants, more than {MAX_GRANTS}", self.grants.len())));
        }
        if self.grants.iter().any(|grant| grant.subjects.is_empty() || grant.scopes.is_empty()) {
            findings.push(invalid("a grant without subjects or without scopes grants nothing"));
        }
        findings
    }

    /// What an action requires and can never have.
    pub(super) fn unmet(&self) -> Vec<Finding> {
        let impossible = |what: String| Finding::new(FindingCode::TrustImpossible, Part::Trust, what);
        let mut findings: Vec<_> =
            self.agents.impossible().into_iter().chain(self.approvals.impossible()).map(impossible).collect();
        for (name, action) in &self.actions {
            let mut find = |code, message: String| findings.push(Finding::new(code, Part::Trust, message));
            for required in &action.require {
                match Condition::named(required) {
                    Some(_) => {}
                    None => find(
                        FindingCode::UnknownCondition,
                        format!("action `{name}` requires `{required}`, which is not one of the nine conditions"),
                    ),
                }
            }
            let mut never = |what: String| find(FindingCode::TrustImpossible, format!("action `{name}` {what}"));
            if action.requires(Condition::Scopes) {
                let held: Vec<&Scope> = self.grants.iter().flat_map(|grant| &grant.scopes).collect();
                if !self.grants.iter().any(|grant| grant.without_parent) {
                    never("requires `scopes`, and no grant lets a subject act without a parent".to_owned());
                }
                for scope in &action.scopes {
                    if !all_covered(&held, std::slice::from_ref(scope)) {
                        never(format!("requires the scope `{scope}`, which no grant covers"));
                    }
                }
            } else if !action.scopes.is_empty() {
                never("lists scopes and does not require `scopes`: they would never be asked for".to_owned());
            }
            let Demanded { assertions, attestation, reference_values } = action.demanded();
            let lists = [
                (Condition::Trust, "assertions", assertions.is_empty()),
                (Condition::Environment, "reference_values", reference_values.is_empty()),
            ];
            for (condition, list, none) in lists {
                match (action.requires(condition), none) {
                    (true, true) => never(format!("requires `{}`, and names no `{list}`", condition.name())),
                    (false, false) => {
                        never(format!(
                            "names `{list}` and does not require `{}`: they would never be asked for",
                            condition.name()
                        ));
                    }
                    (true, false) | (false, true) => {}
                }
            }
            let attested = action.requires(Condition::Attestation);
            if (attested || action.requires(Condition::Environment)) && !self.evidence.attests() {
                never("requires what is attested, and there is no issuer of attestations".to_owned());
            }
            if !attested && !attestation.is_empty() {
                never("names `attestation` and does not require it: it would never be asked for".to_owned());
            }
            let limited = self.counted.iter().any(|limit| limit.reach.holds_action(name));
            if action.requires(Condition::Operational) && !limited {
                never("requires `operational`, and no limit applies to it".to_owned());
            }
        }
        findings
    }

    /// What has no effect.
    pub(in crate::engine) fn idle(&self) -> Vec<Finding> {
        let required = |condition| self.actions.values().any(|action| action.requires(condition));
        let unused = |what: String| Finding::new(FindingCode::TrustUnused, Part::Trust, what);
        let mut findings: Vec<_> = self.agents.idle().into_iter().chain(self.approvals.idle()).map(unused).collect();
        let attested =
            |action: &&Action| [Condition::Attestation, Condition::Environment].iter().any(|of| action.requires(*of));
        let demanded = self.actions.values().map(Action::demanded);
        let attesting = self.actions.values().filter(attested).map(Action::demanded);
        findings.extend(self.evidence.idle(demanded, attesting).into_iter().map(unused));
        if !self.grants.is_empty() && !required(Condition::Scopes) {
            let message =
                "there are grants, and no action requires `scopes`: only requests that claim some are held to them";
            findings.push(Finding::new(FindingCode::TrustUnused, Part::Trust, message));
        }
        for (n, grant) in self.grants.iter().enumerate() {
            let again = |other: &Grant| {
                other.subjects == grant.subjects
                    && other.scopes == grant.scopes
                    && other.without_parent >= grant.without_parent
            };
            if self.grants.iter().take(n).any(again) {
                let message = format!("grant {} grants nothing that an earlier one does not", n + 1);
                findings.push(Finding::new(FindingCode::TrustUnused, Part::Trust, message));
            }
        }
        findings
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn codes(text: &str) -> Vec<FindingCode> {
        Trust::parse(text).err().into_iter().flatten().map(|finding| finding.code).collect()
    }

    #[test]
    fn limits_out_of_range_are_refused() {
        for (entry, wrong) in [
            ("[[rates]]\nname = \"r\"\ncount = 1\nper_ms = 1000\n", false),
            ("[[rates]]\nname = \"r\"\ncount = 0\nper_ms = 1000\n", true),
            ("[[rates]]\nname = \"r\"\ncount = 1\nper_ms = 0\n", true),
            ("[[rates]]\nname = \"r\"\ncount = 1\nper_ms = 1000\nburst = 0\n", true),
            ("[[rates]]\nname = \"r\"\ncount = 1\nper_ms = 2678400000\nburst = 1\n", false),
            ("[[rates]]\nname = \"r\"\ncount = 1\nper_ms = 2678400000\nburst = 2\n", true),
            ("[[rates]]\nname = \"\"\ncount = 1\nper_ms = 1000\n", true),
            ("[[rates]]\nname = \"r\"\ncount = 1\nper_ms = 1000\nactions = []\n", true),
            ("[[rates]]\nname = \"r\"\ncount = 1\nper_ms = 1000\nsubjects = [\"*\"]\n", true),
            ("[[budgets]]\nname = \"b\"\namount = \"context.n\"\ncap = 1\nwindow_ms = 60\n", false),
            ("[[budgets]]\nname = \"b\"\namount = \"context.n\"\ncap = 1\nwindow_ms = 59\n", true),
            ("[[budgets]]\nname = \"b\"\namount = \"context.n\"\ncap = 0\nwindow_ms = 60\n", true),
            ("[[budgets]]\nname = \"b\"\namount = \"n\"\ncap = 1\nwindow_ms = 60\n", true),
            ("[[concurrency]]\nname = \"c\"\nmax = 0\n", true),
            ("[[concurrency]]\nname = \"c\"\nmax = 1\n[[concurrency]]\nname = \"c\"\nmax = 2\n", true),
            ("[audiences]\ngate = []\n", true),
            ("[audiences]\ngate = [\"gate\"]\n", true),
            ("[limits]\nmax_depth = 33\n", true),
            ("[limits]\nmax_children = 0\n", true),
            ("[limits]\nmax_lease_ms = 0\n", true),
        ] {
            let expected: &[_] = if wrong { &[FindingCode::TrustInvalid] } else { &[] };
            assert_eq!(codes(entry), expected, "{entry}");
        }
    }

    #[test]
    fn what_can_never_be_met_is_refused_and_what_has_no_effect_is_told() {
        let grant = |more: &str| format!("[[grants]]\nsubjects = [\"Agent\"]\nscopes = [\"mail:*\"]\n{more}");
        let action = "[actions.send]\nrequire = [\"scopes\"]\nscopes = [\"mail:send\"]\n";
        let rooted = grant("without_parent = true\n");
        assert_eq!(codes(&format!("{action}{rooted}")), []);
        assert_eq!(codes(&format!("{action}{}", grant(""))), [FindingCode::TrustImpossible]);
        let other = action.replace("mail:send", "calendar:send");
        assert_eq!(codes(&format!("{other}{rooted}")), [FindingCode::TrustImpossible]);
        let unasked = action.replace("\"scopes\"", "");
        assert_eq!(codes(&format!("{unasked}{rooted}")), [FindingCode::TrustImpossible]);
        let idle = Trust::parse(&rooted).unwrap().idle();
        assert_eq!(idle.iter().map(|finding| finding.code).collect::<Vec<_>>(), [FindingCode::TrustUnused]);
        let twice = Trust::parse(&format!("{action}{rooted}{}", grant(""))).unwrap().idle();
        assert_eq!(twice.len(), 1, "{twice:?}");
    }
}
