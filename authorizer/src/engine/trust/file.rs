//! A trust file, table by table, and how it becomes a configuration.
//!
//! Guarantees: unknown fields are refused; what is wrong is named with its place where TOML tells it. Does not: ask whether what it says can be
//! met; `checks.rs` does.

use std::collections::BTreeMap;
use std::sync::Arc;

use serde::Deserialize;
use verifier::note::VerifierKey;

use super::actions::{Action, Grant};
use super::agents::{AgentKey, Agents, Signatures};
use super::approvals::{Approvals, Approver, RuleEntry};
use super::erasure::{self, Erasure};
use super::evidence::{Evidence, Issuer, Reference, Rule};
use super::limits::{self, Limit};
use super::permits::Limits;
use super::subjects::Selector;
use super::{EngineKind, RealmMode, Trust};
use crate::engine::findings::{Finding, FindingCode, Part, Position};

/// An audience has at most so many keys: each may be tried for an event.
pub const MAX_AUDIENCE_KEYS: usize = 64;

/// The file, field by field.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct File {
    realms: Option<BTreeMap<String, RealmMode>>,
    #[serde(default)]
    audiences: BTreeMap<String, Vec<String>>,
    #[serde(default)]
    limits: Limits,
    #[serde(default)]
    engine: EngineEntry,
    #[serde(default)]
    actions: BTreeMap<String, Action>,
    #[serde(default)]
    grants: Vec<Grant>,
    #[serde(default)]
    rates: Vec<limits::RateEntry>,
    #[serde(default)]
    budgets: Vec<limits::BudgetEntry>,
    #[serde(default)]
    concurrency: Vec<limits::ConcurrencyEntry>,
    #[serde(default)]
    agents: Vec<AgentKey>,
    signatures: Option<Signatures>,
    #[serde(default)]
    approvers: Vec<Approver>,
    #[serde(default)]
    approvals: Vec<RuleEntry>,
    #[serde(default)]
    issuers: BTreeMap<String, Arc<Issuer>>,
    #[serde(default)]
    assertions: BTreeMap<String, Rule>,
    #[serde(default)]
    reference_values: BTreeMap<String, Reference>,
    #[serde(default)]
    erasure: erasure::Entry,
}

/// One decision in so many is decided again by plain Cedar, unless the epoch says otherwise: at 400,000 decisions a second some 1,600 of them,
/// a few hundredths of a core; a service with ten decisions a second has one looked at each half minute, and may ask for all of them.
pub const DEFAULT_CHECK_EVERY: u32 = 256;
/// The rarest that an epoch may ask for: one between two `state` records.
pub const RAREST_CHECK_EVERY: u32 = 65_536;

/// The table `engine` of the file.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(super) struct EngineEntry {
    pub(super) kind: EngineKind,
    pub(super) check_every: u32,
}

impl Default for EngineEntry {
    fn default() -> Self {
        Self { kind: EngineKind::default(), check_every: DEFAULT_CHECK_EVERY }
    }
}

impl Trust {
    /// Reads a trust file; refuses what is unknown, out of range, impossible or not implemented.
    pub(in crate::engine) fn parse(text: &str) -> Result<Self, Vec<Finding>> {
        let file: File = toml::from_str(text).map_err(|error| {
            let finding = invalid(error.message());
            vec![match error.span() {
                Some(span) => finding.at(Position::of(text, span.start)),
                None => finding,
            }]
        })?;
        let (trust, mut findings) = Self::of(file);
        findings.extend(trust.out_of_range());
        findings.extend(trust.unmet());
        if findings.is_empty() { Ok(trust) } else { Err(findings) }
    }

    fn of(file: File) -> (Self, Vec<Finding>) {
        let File {
            realms,
            audiences: texts,
            limits,
            engine,
            actions,
            grants,
            rates,
            budgets,
            concurrency,
            agents,
            signatures,
            approvers,
            approvals,
            issuers,
            assertions,
            reference_values,
            erasure,
        } = file;
        let rates = rates.into_iter().map(Limit::from);
        let counted = rates.chain(budgets.into_iter().map(Limit::from)).chain(concurrency.into_iter().map(Limit::from));
        let counted: Vec<Arc<Limit>> = counted.map(Arc::new).collect();
        let limited = counted.iter().flat_map(|limit| limit.reach.subjects.iter().flatten());
        let named = grants.iter().flat_map(|grant| &grant.subjects).chain(limited);
        let named = named.filter_map(|selector| match selector {
            Selector::One(kind, id) => Some((kind.clone(), id.clone())),
            Selector::Type(_) => None,
        });
        let named = named.collect();
        let (mut audiences, mut findings) = (BTreeMap::new(), Vec::new());
        for (audience, keys) in texts {
            let read: Vec<VerifierKey> = keys.iter().filter_map(|key| key.parse().ok()).collect();
            if read.is_empty() || read.len() != keys.len() || read.len() > MAX_AUDIENCE_KEYS {
                let message =
                    format!("audience `{audience}` has 1 to {MAX_AUDIENCE_KEYS} verification keys, and no other text");
                findings.push(invalid(message));
            }
            audiences.insert(audience, read);
        }
        let approvals = Approvals::of(approvers, approvals);
        let erasure = Erasure::of(erasure).unwrap_or_else(|why| {
            findings.push(invalid(why));
            Erasure::default()
        });
        let agents = Agents { keys: agents.into_iter().map(Arc::new).collect(), required: signatures };
        let evidence = Evidence { issuers, rules: assertions, references: reference_values };
        (
            Self {
                realms,
                audiences,
                limits,
                engine,
                critical: actions.values().any(|action| action.critical),
                actions,
                grants,
                counted,
                named,
                agents,
                approvals,
                evidence,
                erasure,
            },
            findings,
        )
    }
}

pub(super) fn invalid(message: impl Into<String>) -> Finding {
    Finding::new(FindingCode::TrustInvalid, Part::Trust, message)
}
