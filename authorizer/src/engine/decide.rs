//! Deciding one request: nine conditions, each with its standing, from the request and recorded facts alone.
//!
//! Pure: no clock, no file, no state that a record could change. What the sequencer must say (kill switches, uses, idempotency, races) it
//! writes into the [`Verdict`] with [`Verdict::fail`]; it can take a pass away, never give one.

use std::sync::Arc;

use verifier::act::{Revoked, Target};
use verifier::decision::{Class, Classes, Condition, Counted, Decision, Detail, Signed};
use verifier::http_signature::HttpSignature;
use verifier::request::Request;

use super::approvals;
use super::catalogue::Catalogue;
use super::codes::Code;
use super::demands::{self, Demands};
use super::evaluate::{Answer, Evaluate};
use super::evidence::{self, Checks, Held};
use super::signatures::{self, Checked};
use super::trust::{DEFAULT_TTL_MS, EngineKind, RealmMode, Trust};

/// What is known beside the request; all of it stands in the record.
#[derive(Debug, Clone, Copy)]
pub struct Facts<'a> {
    /// The realm of the caller's key.
    pub realm: &'a str,
    /// The id of the caller's key, which was checked: this is the input fact of condition 2.
    pub key_id: &'a str,
    /// `evaluated_at`, Unix milliseconds: the one time of every condition and of Cedar.
    pub now_ms: u64,
    /// Whether the request came by AuthZEN, whose committed form is RFC 8785 with its limits on numbers.
    pub authzen: bool,
    /// The origin of the log: what is signed for another one does not count.
    pub origin: &'a str,
    /// The signature of the request's body, as checked by [`Engine::check`] at `now_ms`.
    pub signed: Option<(&'a Checked, &'a Signed)>,
    /// The salt of the request of the denied decision that is tried again, if there is such a decision.
    pub retry_salt: Option<[u8; 16]>,
    /// Whether the permit of the request is renewed: what it rested on once only is not asked for again.
    pub renewal: bool,
    /// What the request's evidence amounts to: filled in by [`Engine::decide`], for policies.
    pub evidence: Option<&'a Held>,
}

impl<'a> Facts<'a> {
    /// A native request that is not signed.
    #[must_use]
    pub const fn unsigned(realm: &'a str, key_id: &'a str, now_ms: u64) -> Self {
        Self {
            realm,
            key_id,
            now_ms,
            authzen: false,
            origin: "",
            signed: None,
            retry_salt: None,
            renewal: false,
            evidence: None,
        }
    }
}

/// How one condition stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Standing {
    /// Evaluated and met.
    Pass,
    /// The epoch does not require it for this action.
    NotRequired,
    /// Evaluated and not met.
    Fail(Code),
    /// Could not be evaluated.
    Unknown(Code),
}

impl Standing {
    /// Its class in the leaf.
    pub const fn class(self) -> Class {
        match self {
            Self::Pass => Class::Pass,
            Self::NotRequired => Class::NotRequired,
            Self::Fail(_) => Class::Fail,
            Self::Unknown(_) => Class::Unknown,
        }
    }

    /// Its code in the detail.
    pub const fn code(self) -> Option<Code> {
        match self {
            Self::Pass | Self::NotRequired => None,
            Self::Fail(code) | Self::Unknown(code) => Some(code),
        }
    }
}

/// What the worker found. A proposal, not a permit: the sequencer has the last word.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Verdict {
    standings: [Standing; 9],
    /// Ids of the determining policies, sorted.
    pub policies: Vec<String>,
    /// Ids of the policies that could not be evaluated, sorted.
    pub errors: Vec<String>,
    /// The earliest time, Unix milliseconds, at which one of the verdicts no longer holds.
    pub valid_until_ms: u64,
    /// The permit's lifetime, milliseconds, if there is one.
    pub ttl_ms: u64,
    /// The permit's uses, if there is one.
    pub uses: u32,
    /// The permit's lease, milliseconds, if there is one.
    pub lease_ms: Option<u64>,
    /// Whether the realm's private parts are disclosed.
    pub mode: RealmMode,
    /// What the fold must grant.
    pub demands: Demands,
    /// What the decision adds to its subject's counters.
    pub counted: Vec<Counted>,
}

impl Verdict {
    /// How a condition stands.
    pub fn standing(&self, condition: Condition) -> Standing {
        let [policy, identity, trust, runtime, scopes, operational, environment, attestation, permissions] =
            self.standings;
        match condition {
            Condition::Policy => policy,
            Condition::Identity => identity,
            Condition::Trust => trust,
            Condition::Runtime => runtime,
            Condition::Scopes => scopes,
            Condition::Operational => operational,
            Condition::Environment => environment,
            Condition::Attestation => attestation,
            Condition::Permissions => permissions,
        }
    }

    /// The nine classes of the leaf.
    pub fn classes(&self) -> Classes {
        Classes::new(self.standings.map(Standing::class))
    }

    /// The codes of the detail, in the order of the conditions.
    pub fn codes(&self) -> impl Iterator<Item = (Condition, Code)> + '_ {
        Condition::ALL
            .into_iter()
            .zip(self.standings)
            .filter_map(|(condition, standing)| Some((condition, standing.code()?)))
    }

    /// Whether nothing stands against the action so far.
    pub fn stands(&self) -> bool {
        self.classes().none_denies()
    }

    /// Lets a code's condition fail; the first code of a condition stays.
    pub fn fail(&mut self, code: Code) {
        self.lower(code.condition(), Standing::Fail(code));
    }

    /// Leaves a code's condition unknown; the first code of a condition stays.
    pub fn unknown(&mut self, code: Code) {
        self.lower(code.condition(), Standing::Unknown(code));
    }

    /// Leaves a code's condition unknown whatever it was: the operator doubts the moment, and says so for whoever computes it again.
    pub fn doubt(&mut self, code: Code) {
        if let Some(standing) = self.standings.get_mut(code.condition().index()) {
            *standing = Standing::Unknown(code);
        }
    }

    /// A condition that was not required is evaluated after all; what stands against it stays.
    pub(super) fn evaluated(&mut self, condition: Condition) {
        if let Some(standing) = self.standings.get_mut(condition.index())
            && *standing == Standing::NotRequired
        {
            *standing = Standing::Pass;
        }
    }

    fn lower(&mut self, condition: Condition, to: Standing) {
        if let Some(standing) = self.standings.get_mut(condition.index())
            && standing.code().is_none()
        {
            *standing = to;
        }
    }
}

/// One worker's engine: its own copy of an epoch.
pub struct Engine {
    evaluator: Box<dyn Evaluate>,
    trust: Arc<Trust>,
    catalogue: Arc<Catalogue>,
    checks: Checks,
    compiled: bool,
}

impl Engine {
    /// `compiled` says that the evaluator is not plain Cedar.
    pub(super) fn new(
        evaluator: Box<dyn Evaluate>,
        compiled: bool,
        trust: Arc<Trust>,
        catalogue: Arc<Catalogue>,
    ) -> Self {
        Self { evaluator, trust, catalogue, checks: Checks::default(), compiled }
    }

    /// Whether a record of the epoch may say that its engines differed about a request.
    pub(crate) fn may_have_differed(&self, request: &Request) -> bool {
        self.trust.engine() == EngineKind::Compiled && self.trust.is_critical(Some(&request.action.name))
    }

    /// Whether what this engine decides about a request counts only if plain Cedar comes to the same.
    pub(crate) fn needs_confirming(&self, request: &Request) -> bool {
        self.compiled && self.trust.is_critical(Some(&request.action.name))
    }

    /// Decides a request. Total: there is an answer to everything, and the answer to doubt is a standing that denies.
    pub fn decide(&self, request: &Request, facts: &Facts<'_>) -> Verdict {
        let found = evidence::weigh(&self.trust, &self.checks, &*self.evaluator, request, facts);
        let facts = &Facts { evidence: Some(&found.held), ..*facts };
        let Answer { standing, policies, errors } = self.evaluator.evaluate(request, facts);
        let mut verdict = Verdict {
            standings: [
                standing,
                Standing::Pass, // the key was checked before the request was read
                found.trust,
                Standing::Pass,
                Standing::NotRequired,
                Standing::NotRequired,
                found.environment,
                found.attestation,
                Standing::Pass,
            ],
            policies,
            errors,
            valid_until_ms: request.deadline.unwrap_or(u64::MAX).min(found.valid_until_ms),
            ttl_ms: request.ttl_ms.unwrap_or_else(|| DEFAULT_TTL_MS.min(self.trust.limits().max_ttl_ms)),
            uses: request.uses.unwrap_or(1),
            lease_ms: request.lease_ms,
            mode: self.trust.realm(facts.realm).unwrap_or(RealmMode::Committed),
            demands: Demands {
                keys: vec![facts.key_id.to_owned()],
                wanted: found.wanted,
                issuers: found.issuers,
                attested: found.nonce,
                ..Demands::default()
            },
            counted: Vec::new(),
        };
        if request.deadline.is_some_and(|deadline| deadline <= facts.now_ms) {
            verdict.fail(Code::Deadline);
        }
        if self.trust.realm(facts.realm).is_none() {
            verdict.fail(Code::UnknownRealm);
        }
        let limits = self.trust.limits();
        if verdict.ttl_ms == 0 || verdict.ttl_ms > limits.max_ttl_ms {
            verdict.fail(Code::TtlExceeded);
        }
        if verdict.uses == 0 || verdict.uses > limits.max_uses {
            verdict.fail(Code::UsesExceeded);
        }
        if verdict.lease_ms.is_some_and(|lease| lease > limits.max_lease_ms) {
            verdict.fail(Code::LeaseExceeded);
        }
        let keys = request.audience.as_deref().map_or(&[][..], |audience| self.trust.audience(audience));
        if verdict.lease_ms.is_some() && keys.is_empty() {
            verdict.fail(Code::AudienceUnknown);
        }
        signatures::identity(&mut verdict, &self.trust, request, facts.signed);
        approvals::approvals(&mut verdict, &self.trust, request, facts.retry_salt);
        demands::scopes(&mut verdict, &self.trust, request);
        demands::operational(&mut verdict, &self.trust, &*self.evaluator, request);
        // As if all of it were granted, so that the largest detail is measured before the sequencer has it.
        verdict.counted = verdict.demands.counted();
        verdict
    }

    /// Decides the request of a permit again, for its renewal. What the permit rested on once only is not asked for again: that its
    /// signature holds now.
    pub fn decide_again(&self, request: &Request, detail: &Detail, realm: &str, origin: &str, now_ms: u64) -> Verdict {
        let signed = detail.signed.as_ref();
        let checked = signed.map(|signed| signatures::check_again(&self.trust, &signed.signature, origin));
        let facts = Facts {
            authzen: detail.authzen,
            origin,
            signed: checked.as_ref().zip(signed),
            retry_salt: detail.retry_salt,
            renewal: true,
            ..Facts::unsigned(realm, &detail.key_id, now_ms)
        };
        self.decide(request, &facts)
    }

    /// Decides a request again as it stands in the log: at the time and from the facts that are recorded.
    pub fn decide_recorded(&self, request: &Request, recorded: &Decision, detail: &Detail, origin: &str) -> Verdict {
        let now_ms = recorded.evaluated_at;
        let checked = detail.signed.as_ref().map(|signed| self.check(&signed.signature, origin, now_ms));
        let facts = Facts {
            authzen: detail.authzen,
            origin,
            signed: checked.as_ref().zip(detail.signed.as_ref()),
            retry_salt: detail.retry_salt,
            ..Facts::unsigned(&recorded.realm, &detail.key_id, now_ms)
        };
        self.decide(request, &facts)
    }

    /// Checks the signature over a body, once for all of its requests.
    pub fn check(&self, signature: &HttpSignature, origin: &str, now_ms: u64) -> Checked {
        signatures::check(&self.trust, signature, origin, now_ms)
    }

    /// The trust configuration, which the fold counts by.
    pub(crate) fn trust(&self) -> &Arc<Trust> {
        &self.trust
    }

    /// What the epoch knows by name.
    pub fn catalogue(&self) -> &Arc<Catalogue> {
        &self.catalogue
    }

    /// Whether the epoch knows what is revoked; `None` where it does not say.
    pub fn knows_revoked(&self, what: &Revoked) -> Option<bool> {
        match what {
            Revoked::Issuer(name) => Some(self.trust.evidence().issuers.contains_key(name)),
            Revoked::Subject(kind, id) => self.knows(&Target::Subject(kind.clone(), id.clone())),
            Revoked::Policy(id) => self.knows(&Target::Policy(id.clone())),
            Revoked::Key(id) => {
                let approves = self.trust.approvals().approvers.iter().any(|approver| approver.key.name() == id);
                Some(approves || self.trust.agents().get(id).is_some())
            }
            Revoked::Permit(_) => None,
        }
    }

    /// A realm's mode; `None` if realms are listed and this one is not.
    pub fn realm_mode(&self, name: &str) -> Option<RealmMode> {
        self.trust.realm(name)
    }

    /// Whether the epoch knows what a switch names; `None` where it does not say.
    pub fn knows(&self, target: &Target) -> Option<bool> {
        match target {
            Target::Realm(name) => self.trust.lists(name),
            Target::Global | Target::Subject(..) | Target::Action(_) | Target::Policy(_) => {
                self.evaluator.knows(target)
            }
        }
    }

    /// The request without the properties and context keys that the epoch's schema does not declare: what an AuthZEN request is
    /// evaluated as, and committed as. Without a schema nothing is left out.
    pub fn tolerate(&self, request: &Request) -> Request {
        self.evaluator.tolerate(request)
    }
}

impl std::fmt::Debug for Engine {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Engine").field("trust", &self.trust).finish_non_exhaustive()
    }
}
