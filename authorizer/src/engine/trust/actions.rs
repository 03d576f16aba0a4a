//! What each action requires, and which scopes subjects may hold.

use serde::Deserialize;
use verifier::decision::Condition;

use super::evidence::Demanded;
use super::scope::Scope;
use super::subjects::Selector;

/// An epoch has at most so many grants: each is looked at for each request with scopes.
pub const MAX_GRANTS: usize = 4_096;
/// The conditions that are evaluated for every action and cannot be switched off.
pub const ALWAYS: [Condition; 4] = [Condition::Policy, Condition::Identity, Condition::Runtime, Condition::Permissions];
/// The conditions that an action may require beside them.
pub const REQUIRABLE: [Condition; 5] =
    [Condition::Trust, Condition::Scopes, Condition::Operational, Condition::Environment, Condition::Attestation];

/// What an action requires beyond what always holds.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Action {
    #[serde(default)]
    pub(super) require: Vec<String>,
    #[serde(default)]
    pub(super) critical: bool,
    #[serde(default)]
    pub(super) scopes: Vec<Scope>,
    #[serde(default)]
    pub(super) assertions: Vec<String>,
    #[serde(default)]
    pub(super) attestation: Vec<String>,
    #[serde(default)]
    pub(super) reference_values: Vec<String>,
}

/// Scopes that some subjects may hold.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub(in crate::engine) struct Grant {
    pub(super) subjects: Vec<Selector>,
    pub(super) scopes: Vec<Scope>,
    #[serde(default)]
    pub(super) without_parent: bool,
}

impl Action {
    pub(super) fn demanded(&self) -> Demanded<'_> {
        let Self { assertions, attestation, reference_values, .. } = self;
        Demanded { assertions, attestation, reference_values }
    }

    pub(super) fn requires(&self, condition: Condition) -> bool {
        self.require.iter().any(|required| required == condition.name())
    }
}
