//! The trust configuration of an epoch: realms, limits, grants and what each action requires, as TOML.
//!
//! ```toml
//! # Realms and whether their requests are disclosed. Without this table every realm exists and is public;
//! # with it, a caller of an unlisted realm is denied.
//! [realms]
//! main = "public"
//! clinic = "committed"
//!
//! # The keys (C2SP signed-note) of the enforcement points behind an audience: who may renew and close an execution. A permit has a
//! # lease only if its audience stands here.
//! [audiences]
//! gate = ["gate.example/executor+c0d1b05b+AYqI4910CfGV/VLbLTy6XXLKZwm/HZQSG/N0iAG0D29c"]
//!
//! # How policies are evaluated: by plain Cedar (default), or compiled. The answers are the same; replay asks plain Cedar always. Of what is
//! # decided compiled, one decision in `check_every` (1: all; at most 65,536), drawn by lot, and each with a policy error is decided again
//! # by plain Cedar soon after it was recorded.
//! [engine]
//! kind = "cedar"           # or "compiled"
//! check_every = 256
//!
//! [limits]
//! max_ttl_ms = 3_600_000   # longest lifetime of a permit
//! max_uses = 1             # most uses of a permit
//! max_lease_ms = 60_000    # longest lease: a halted execution goes on at most so long
//! max_depth = 8            # most ancestors of a permit, at most 32
//! max_children = 64        # most open children of a permit
//!
//! # Conditions that an action requires beyond policy, identity, runtime and permissions, which always hold:
//! # `scopes` and `operational`. `scopes` lists what a request for the action must claim.
//! [actions.transfer_funds]
//! require = ["scopes", "operational"]
//! scopes = ["funds:transfer"]
//! critical = true          # default: false; plain Cedar confirms what is decided compiled before it is recorded
//!
//! # Which scopes a subject may hold, and whether it may act without a parent. Subjects are types, or one as `Type::"id"`.
//! # `*` stands for one segment of a scope, a final `**` for one or more.
//! [[grants]]
//! subjects = ["Agent", 'Bot::"planner"']
//! scopes = ["funds:*"]
//! without_parent = true    # default: false
//!
//! # Limits count for each subject of a realm by itself; one without `subjects` or `actions` applies to all of them. A subject that a limit
//! # applies to must be registered in the epoch, or named here: counters for invented subjects have no bound. A permit for several
//! # uses counts as often.
//! [[rates]]                # at most 10 a minute, evenly, 3 at once (default: as many as `count`)
//! name = "transfers"
//! actions = ["transfer_funds"]
//! count = 10
//! per_ms = 60_000
//! burst = 3
//!
//! [[budgets]]              # what is allowed sums up to at most `cap` in any window; nothing is refunded
//! name = "daily-funds"
//! actions = ["transfer_funds"]
//! # An epoch that shortens the window forgets what was spent before it.
//! amount = "context.cents" # or subject.NAME, action.NAME, resource.NAME: an integer within [0, cap]
//! cap = 100_000
//! window_ms = 86_400_000
//!
//! # Keys that agents sign requests with (RFC 9421), and for whom each may speak; and which requests must be signed. Whoever signs
//! # without being asked is held to it too.
//! [[agents]]
//! id = "planner-1"         # `keyid` of the signature
//! key = "6kpsY+KcUgq+9VB7Ey7F+ZVHdq6+vnuSQh7qaRRG0iw="   # Ed25519, base64 of 32 bytes
//! subjects = ['Bot::"planner"']
//!
//! [signatures]
//! actions = ["transfer_funds"]
//! subjects = ["Bot"]
//!
//! # Who may approve, each one person with a key of their own (C2SP signed-note), and what must be approved by how many of whom. Nobody
//! # approves what is asked in their own name.
//! [[approvers]]
//! key = "carol.example/approver+6249d15e+ASa0C4+T//PYlxEvfrxYKyMtvXJRfQgv6Dz7MN3OQ9G7"
//! person = 'User::"carol"'
//!
//! [[approvals]]
//! actions = ["transfer_funds"]
//! subjects = ["Agent"]     # default: all
//! count = 1
//! approvers = ["carol.example/approver"]
//!
//! # Who may erase private parts of decisions, under the name `<origin>/erasure` (default: an administrator), and how old they are then.
//! [erasure]
//! keys = []
//! after_ms = 2_592_000_000 # thirty days
//!
//! [[concurrency]]          # at most so many open leases
//! name = "at-work"
//! subjects = ["Agent"]
//! max = 5
//!
//! # Whose evidence counts. The name is what an issuer calls itself: `iss` of a token, `keyid` of an envelope. An issuer has one kind, and a key
//! # of its own: `ed25519:` and 32 bytes, or `p256:` and the 33 bytes of a compressed point, in base64.
//! [issuers."https://registry.example"]
//! kind = "assertions"
//! key = "p256:A3/Nzidw9sRdQYPL7m/bS3tYBzM1e+nvE7rPbjx70VRF"
//! claims = ["review"]      # claims of a JWT that it may speak about
//! predicates = ["https://slsa.dev/verification_summary/v1"]   # types of in-toto statements that it may make
//!
//! [issuers."https://verifier.example"]
//! kind = "attestation"
//! key = "ed25519:11qYAYKxCrfVS/7TyWQHOg7hcvPapiMlrwIaaPcHURo="
//! max_age_ms = 300_000     # default: so long an attestation is fresh, at most an hour
//! reusable = false         # default: an attestation passes once, by its `eat_nonce`
//!
//! # What is asserted: by any one of the issuers, about the request's `subject` (default) or `resource`, written `Type::"id"`, or about a string
//! # of it such as `subject.model`. With a `predicate` it is a statement about the artifact whose `sha-256:…` stands there, as the id of
//! # subject or resource or as that string. Each claim, or member of the predicate, must have one of the values.
//! [assertions.reviewed-model]
//! issuers = ["https://registry.example"]
//! about = "subject.model"
//! claims = { review = ["passed"] }
//!
//! [assertions.built-tool]
//! issuers = ["https://registry.example"]
//! about = "resource.image"
//! predicate = "https://slsa.dev/verification_summary/v1"
//! claims = { verificationResult = ["PASSED"] }
//!
//! # Digests that an environment must have, for each measurement any one of these.
//! [reference_values.agent-image]
//! image = ["sha-256:9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08"]
//!
//! [actions.delete_account]
//! require = ["trust", "environment", "attestation"]
//! assertions = ["reviewed-model", "built-tool"]   # all of them
//! attestation = ["https://verifier.example"]      # any one of them; default: any issuer of attestations
//! reference_values = ["agent-image"]              # all of them
//! ```
//!
//! Unknown fields are refused. What can never be met (an action that requires a scope which no grant covers) refuses the whole epoch;
//! what has no effect is warned of. A token's `aud` is this log's origin. A request that brings evidence which does not hold is denied also
//! where nothing asks for it.

mod actions;
pub(super) mod agents;
pub(super) mod approvals;
mod checks;
pub(super) mod erasure;
pub(super) mod evidence;
mod file;
pub(super) mod limits;
mod permits;
pub(super) mod scope;
pub(super) mod subjects;

use std::collections::{BTreeMap, HashSet};
use std::sync::Arc;

use serde::Deserialize;
use verifier::decision::{Condition, Counter};
use verifier::note::VerifierKey;
use verifier::request::Entity;

use actions::{Action, Grant};
use agents::Agents;
use approvals::Approvals;
use erasure::Erasure;
use evidence::{Demanded, Evidence};
use file::EngineEntry;
use limits::Limit;
use scope::Scope;
use subjects::Selector;

pub use actions::{ALWAYS, REQUIRABLE};
pub use permits::{DEFAULT_MAX_TTL_MS, DEFAULT_TTL_MS, LONGEST_MAX_TTL_MS, Limits, MOST_MAX_CHILDREN, MOST_MAX_DEPTH};

/// Whether the private parts of a realm's decisions are served to anyone.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum RealmMode {
    /// Request and detail are served to anyone.
    Public,
    /// Only their commitments are.
    Committed,
}

/// How an epoch's policies are evaluated; the answers are the same.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum EngineKind {
    /// By `cedar-policy` itself.
    #[default]
    Cedar,
    /// By a program that they are compiled to at publishing.
    Compiled,
}

/// The trust configuration.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Trust {
    realms: Option<BTreeMap<String, RealmMode>>,
    audiences: BTreeMap<String, Vec<VerifierKey>>,
    limits: Limits,
    engine: EngineEntry,
    actions: BTreeMap<String, Action>,
    /// Whether any action is critical.
    critical: bool,
    grants: Vec<Grant>,
    counted: Vec<Arc<Limit>>,
    named: HashSet<(String, String)>,
    agents: Agents,
    approvals: Approvals,
    evidence: Evidence,
    erasure: Erasure,
}

impl Trust {
    /// The actions that the configuration names.
    pub(super) fn actions(&self) -> impl Iterator<Item = &str> {
        let limited = self.counted.iter().flat_map(|limit| limit.reach.actions.iter().flatten());
        let signed = self.agents.required.iter().flat_map(|required| &required.actions);
        self.actions.keys().chain(limited).chain(signed).chain(self.approvals.actions()).map(String::as_str)
    }

    /// The types of subjects that the configuration names.
    pub(super) fn subject_types(&self) -> impl Iterator<Item = &str> {
        let limited = self.counted.iter().flat_map(|limit| limit.reach.subjects.iter().flatten());
        let signed = self.agents.required.iter().flat_map(|required| &required.subjects);
        let granted = self.grants.iter().flat_map(|grant| &grant.subjects);
        let approved = self.approvals.subjects();
        granted.chain(limited).chain(signed).chain(approved).chain(self.agents.speakers()).map(Selector::kind)
    }

    /// Whether an action requires a condition beyond those that always hold.
    pub(super) fn requires(&self, action: &str, condition: Condition) -> bool {
        self.actions.get(action).is_some_and(|action| action.requires(condition))
    }

    /// The scopes that a request for an action must claim.
    pub(super) fn needed_scopes(&self, action: &str) -> &[Scope] {
        self.actions.get(action).map_or(&[], |action| &action.scopes)
    }

    /// The scopes that a subject may hold; only of grants that let it act without a parent where there is none.
    pub(super) fn granted(&self, subject: &Entity, without_parent: bool) -> Option<Vec<&Scope>> {
        let theirs = self.grants.iter().filter(|grant| grant.subjects.iter().any(|selector| selector.holds(subject)));
        let theirs: Vec<&Grant> = theirs.filter(|grant| grant.without_parent || !without_parent).collect();
        (!theirs.is_empty()).then(|| theirs.into_iter().flat_map(|grant| &grant.scopes).collect())
    }

    /// The keys of the enforcement points behind an audience; none if it is not named.
    pub(crate) fn audience(&self, name: &str) -> &[VerifierKey] {
        self.audiences.get(name).map_or(&[], Vec::as_slice)
    }

    /// Who approves, and what.
    pub(crate) fn approvals(&self) -> &Approvals {
        &self.approvals
    }

    /// Whose evidence counts, and for what.
    pub(super) fn evidence(&self) -> &Evidence {
        &self.evidence
    }

    /// The evidence that an action demands.
    pub(super) fn demanded(&self, action: &str) -> Option<Demanded<'_>> {
        self.actions.get(action).map(Action::demanded)
    }

    /// Who may erase private parts, and when.
    pub(crate) fn erasure(&self) -> &Erasure {
        &self.erasure
    }

    /// Who signs requests, and who must.
    pub(super) fn agents(&self) -> &Agents {
        &self.agents
    }

    /// All limits, in the order of the file: rates, budgets, concurrency.
    pub(super) fn counted(&self) -> &[Arc<Limit>] {
        &self.counted
    }

    /// The limit of that kind and name.
    pub(crate) fn limit(&self, counter: Counter, name: &str) -> Option<&Arc<Limit>> {
        self.counted.iter().find(|limit| limit.counter() == counter && limit.name == name)
    }

    /// Whether the configuration names this one subject.
    pub(super) fn names(&self, subject: &Entity) -> bool {
        !self.named.is_empty() && self.named.contains(&subject.named())
    }

    /// The limits of a permit.
    pub fn limits(&self) -> Limits {
        self.limits
    }

    /// How the epoch's policies are evaluated.
    pub fn engine(&self) -> EngineKind {
        self.engine.kind
    }

    /// One decision in so many is decided again by plain Cedar, where it was decided otherwise.
    pub fn check_every(&self) -> u32 {
        self.engine.check_every
    }

    /// Whether plain Cedar confirms decisions about an action; of none in particular, whether there is such an action.
    pub fn is_critical(&self, action: Option<&str>) -> bool {
        let critical = |name: &str| self.actions.get(name).is_some_and(|action| action.critical);
        self.critical && action.is_none_or(critical)
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
    use crate::engine::findings::{FindingCode, Position};

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
        assert_eq!(trust.actions().collect::<HashSet<_>>(), ["transfer_funds", "delete_account"].into());
        assert_eq!(trust.subject_types().collect::<HashSet<_>>(), ["Agent", "Bot"].into());
        assert_eq!(trust.counted().len(), 3);
        assert_eq!(trust.idle(), []);
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
    fn every_condition_always_holds_or_can_be_required() {
        for condition in Condition::ALL {
            let text = format!("[actions.pay]\nrequire = [\"{}\"]\n", condition.name());
            let expected: &[_] = if ALWAYS.contains(&condition) {
                &[]
            } else {
                assert!(REQUIRABLE.contains(&condition));
                &[FindingCode::TrustImpossible] // there is neither a grant nor a limit nor an issuer here
            };
            let mut found = codes(&text);
            found.dedup();
            assert_eq!(found, expected, "{}", condition.name());
        }
    }
}
