//! Conditions 3, 7 and 8: what issuers of the epoch say of a request's subject, model, tool and environment.
//!
//! Guarantees: all that a request brings is held against the epoch, asked for or not: whoever brings evidence that does not hold is denied.
//! A token counts only for this origin and for what the request names. Pure: the evidence stands in the request, so replay comes to the same
//! answer. Does not: know which nonces are used nor which issuers are revoked; the fold does.

use std::cell::RefCell;
use std::collections::HashMap;
use std::sync::Arc;

use sha2::{Digest, Sha256};
use verifier::decision::Condition;
use verifier::evidence::claims::Claims;
use verifier::evidence::dsse::Envelope;
use verifier::evidence::eat::Eat;
use verifier::evidence::key::IssuerKey;
use verifier::evidence::statement::Statement;
use verifier::evidence::{EvidenceError, NotSigned, Signed, jws};
use verifier::json::{Json, View};
use verifier::request::{Entity, MAX_ASSERTIONS, Request};

use super::codes::Code;
use super::decide::{Facts, Standing};
use super::demands::Wanted;
use super::evaluate::Evaluate;
use super::signatures::{MAX_SKEW_MS, Nonce};
use super::trust::Trust;
use super::trust::evidence::{About, Issuer, Kind, Reference, Rule, sha256};
use super::trust::limits::Amount;

/// Signatures of evidence that one request may have checked: one for each assertion, one for the attestation.
pub const MAX_CHECKS: usize = MAX_ASSERTIONS + 1;
/// Signatures that an engine remembers to hold, about 50 bytes each. When it is full it begins anew: that costs time only.
pub const MAX_REMEMBERED: usize = 4_096;

/// What the evidence of a request amounts to: facts for policies.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Held {
    /// The rules of assertions that hold, by name, sorted.
    pub assertions: Vec<String>,
    /// Whose attestation holds; empty where none does.
    pub attested_by: String,
    /// The sets of reference values that the environment has, by name, sorted.
    pub reference_values: Vec<String>,
}

/// What comes of a request's evidence.
pub(super) struct Found {
    pub trust: Standing,
    pub environment: Standing,
    pub attestation: Standing,
    pub held: Held,
    /// What would change what does not hold.
    pub wanted: Wanted,
    /// Whose word held, for which condition.
    pub issuers: Vec<(Condition, String)>,
    /// The nonce of the attestation, where it may pass once only.
    pub nonce: Option<Nonce>,
    /// The first time at which some of it no longer holds, Unix milliseconds.
    pub valid_until_ms: u64,
}

/// Signatures that were found to hold: by SHA-256 over key and token, until the token runs out. Only that is remembered, which nothing can
/// change; everything else is asked each time. Belongs to one engine, and so to one worker and one epoch.
#[derive(Debug, Default)]
pub(super) struct Checks(RefCell<HashMap<[u8; 32], u64>>);

impl Checks {
    fn by(&self, signed: &Signed, key: &IssuerKey, until_ms: u64, now_ms: u64) -> Result<(), NotSigned> {
        let sha = Sha256::new().chain_update(key.to_string()).chain_update(signed.signature);
        let id: [u8; 32] = sha.chain_update(&signed.message).finalize().into();
        let Ok(mut remembered) = self.0.try_borrow_mut() else { return signed.is_by(key) };
        // An algorithm that is not the key's is refused however often it is brought.
        if signed.algorithm.is_none_or(|algorithm| algorithm == key.algorithm()) && remembered.contains_key(&id) {
            return Ok(());
        }
        signed.is_by(key)?;
        if remembered.len() >= MAX_REMEMBERED {
            remembered.retain(|_, until| *until > now_ms);
        }
        if remembered.len() >= MAX_REMEMBERED {
            remembered.clear();
        }
        remembered.insert(id, until_ms);
        Ok(())
    }
}

/// Weighs all evidence of a request.
pub(super) fn weigh(
    trust: &Trust,
    checks: &Checks,
    policies: &dyn Evaluate,
    request: &Request,
    facts: &Facts<'_>,
) -> Found {
    let required = |condition| trust.requires(&request.action.name, condition);
    let mut found = Found {
        trust: Standing::NotRequired,
        environment: Standing::NotRequired,
        attestation: Standing::NotRequired,
        held: Held::default(),
        wanted: Wanted::default(),
        issuers: Vec::new(),
        nonce: None,
        valid_until_ms: u64::MAX,
    };
    let scales = Scales { trust, checks, policies, request, facts };
    if required(Condition::Trust) || !request.assertions.is_empty() {
        found.trust = scales.assertions(&mut found).map_or_else(Standing::Fail, |()| Standing::Pass);
    }
    let attested = match &request.attestation {
        None => Err(Code::AttestationMissing),
        Some(token) => scales.attestation(token, &mut found),
    };
    if required(Condition::Attestation) || request.attestation.is_some() {
        found.attestation = attested.as_ref().map_or_else(|code| Standing::Fail(*code), |_| Standing::Pass);
    }
    if let Ok(eat) = &attested {
        let sets = trust.evidence().references.iter();
        let had = sets.filter(|(_, reference)| measured(eat, reference).is_ok());
        found.held.reference_values = had.map(|(name, _)| name.clone()).collect();
    }
    if required(Condition::Environment) {
        found.environment = match &attested {
            Err(Code::AttestationMissing) => Standing::Fail(Code::MeasurementMissing),
            Err(_) => Standing::Fail(Code::EnvironmentUnattested),
            Ok(eat) => {
                let names = trust.demanded(&request.action.name).map_or(&[][..], |demanded| demanded.reference_values);
                let sets = names.iter().map(|name| trust.evidence().references.get(name));
                let all = sets.map(|reference| reference.map_or(Err(Code::MeasurementMissing), |of| measured(eat, of)));
                all.collect::<Result<Vec<()>, _>>().map_or_else(Standing::Fail, |_| Standing::Pass)
            }
        };
    }
    found.wanted = wanted(trust, request, &found);
    found
}

/// What the action demands beyond what holds.
fn wanted(trust: &Trust, request: &Request, found: &Found) -> Wanted {
    let Some(demanded) = trust.demanded(&request.action.name) else { return Wanted::default() };
    let beyond = |standing: Standing, all: &[String], held: &[String]| match standing {
        Standing::Fail(_) => all.iter().filter(|name| !held.contains(name)).cloned().collect(),
        Standing::Pass | Standing::NotRequired | Standing::Unknown(_) => Vec::new(),
    };
    let any = || {
        let issuers = trust.evidence().issuers.iter().filter(|(_, issuer)| issuer.kind == Kind::Attestation);
        issuers.map(|(name, _)| name.clone()).collect::<Vec<_>>()
    };
    let attestation = if demanded.attestation.is_empty() { any() } else { demanded.attestation.to_vec() };
    Wanted {
        assertions: beyond(found.trust, demanded.assertions, &found.held.assertions),
        attestation: beyond(found.attestation, &attestation, &[]),
        reference_values: beyond(found.environment, demanded.reference_values, &found.held.reference_values),
    }
}

/// Whether an environment has the digests of a set.
fn measured(eat: &Eat, Reference(set): &Reference) -> Result<(), Code> {
    for (name, digests) in set {
        let (_, digest) = eat.measured.iter().find(|(this, _)| this == name).ok_or(Code::MeasurementMissing)?;
        if !digests.contains(digest) {
            return Err(Code::MeasurementMismatch);
        }
    }
    Ok(())
}

/// What evidence is weighed with.
struct Scales<'a> {
    trust: &'a Trust,
    checks: &'a Checks,
    policies: &'a dyn Evaluate,
    request: &'a Request,
    facts: &'a Facts<'a>,
}

/// An assertion that holds, by whom.
struct Stated {
    issuer: String,
    says: Says,
}

enum Says {
    /// Who it is about, and all claims.
    Claims(String, Json),
    Statement(Statement),
}

impl Scales<'_> {
    /// Condition 3: each assertion holds, and those that the action demands are among them.
    fn assertions(&self, found: &mut Found) -> Result<(), Code> {
        let mut all = Vec::with_capacity(self.request.assertions.len());
        for assertion in &self.request.assertions {
            let (stated, until_ms) = match assertion {
                Json::String(token) => self.token(token)?,
                envelope => (self.envelope(envelope)?, u64::MAX),
            };
            found.valid_until_ms = found.valid_until_ms.min(until_ms);
            found.issuers.push((Condition::Trust, stated.issuer.clone()));
            all.push(stated);
        }
        for (name, rule) in &self.trust.evidence().rules {
            if all.iter().any(|stated| self.is_for(stated, rule) && rule.holds(stated.says.claims())) {
                found.held.assertions.push(name.clone());
            }
        }
        let demanded = self.trust.demanded(&self.request.action.name);
        for name in demanded.map_or(&[][..], |demanded| demanded.assertions) {
            if !found.held.assertions.contains(name) {
                let rule = self.trust.evidence().rules.get(name);
                let otherwise = rule.is_some_and(|rule| all.iter().any(|stated| self.is_for(stated, rule)));
                return Err(if otherwise { Code::AssertionValue } else { Code::AssertionMissing });
            }
        }
        Ok(())
    }

    /// A JWT, and when it runs out.
    fn token(&self, token: &str) -> Result<(Stated, u64), Code> {
        let malformed = |error: EvidenceError| match error {
            EvidenceError::Algorithm => Code::AssertionAlgorithm,
            _ => Code::AssertionMalformed,
        };
        let (signed, payload) = jws::read(token).map_err(malformed)?;
        let (claims, json) = Claims::of_jwt(&payload).map_err(malformed)?;
        let issuer = self.trust.evidence().issuer(&claims.issuer, Kind::Assertions);
        let issuer = issuer.ok_or(Code::AssertionIssuerUnknown)?;
        let until_ms = self.in_time(&claims).map_err(|when| match when {
            NotNow::Yet => Code::AssertionNotYet,
            NotNow::AnyMore => Code::AssertionExpired,
        })?;
        if claims.audience != self.facts.origin {
            return Err(Code::AssertionAudience);
        }
        let Claims { issuer: name, subject, .. } = claims;
        let entities = [&self.request.subject, &self.request.resource];
        let rules = self.trust.evidence().rules.values();
        let mut own = rules.filter(|rule| rule.predicate.is_none() && rule.issuers.contains(&name));
        if !entities.iter().any(|entity| named(entity) == subject)
            && !own.any(|rule| self.about(&rule.about).as_ref() == Some(&subject))
        {
            return Err(Code::AssertionSubject);
        }
        self.check(&signed, issuer, until_ms).map_err(not_asserted)?;
        Ok((Stated { issuer: name, says: Says::Claims(subject, json) }, until_ms))
    }

    /// An in-toto statement. It says of an artifact what is so wherever it is brought: it has neither audience nor end, and counts as long
    /// as its issuer does.
    fn envelope(&self, envelope: &Json) -> Result<Stated, Code> {
        let malformed = |_: EvidenceError| Code::AssertionMalformed;
        let Envelope { issuer: name, payload, signed } = Envelope::read(envelope).map_err(malformed)?;
        let issuer = self.trust.evidence().issuer(&name, Kind::Assertions).ok_or(Code::AssertionIssuerUnknown)?;
        let statement = Statement::read(&payload).map_err(malformed)?;
        if !issuer.states(&statement.predicate_type) {
            return Err(Code::AssertionPredicate);
        }
        let stated = Stated { issuer: name, says: Says::Statement(statement) };
        if !self.trust.evidence().rules.values().any(|rule| self.is_for(&stated, rule)) {
            return Err(Code::AssertionSubject);
        }
        self.check(&signed, issuer, u64::MAX).map_err(not_asserted)?;
        Ok(stated)
    }

    /// Whether an assertion is one that a rule asks for, whatever its values.
    fn is_for(&self, stated: &Stated, rule: &Rule) -> bool {
        let form = match (&stated.says, &rule.predicate) {
            (Says::Claims(subject, _), None) => self.about(&rule.about).as_ref() == Some(subject),
            (Says::Statement(statement), Some(predicate)) => {
                let digest = self.artifact(&rule.about);
                statement.predicate_type == *predicate
                    && digest.is_some_and(|digest| statement.digests.contains(&digest))
            }
            (Says::Claims(..), Some(_)) | (Says::Statement(_), None) => false,
        };
        form && rule.issuers.contains(&stated.issuer)
    }

    /// Condition 8 as far as it can be told without other records.
    fn attestation(&self, token: &str, found: &mut Found) -> Result<Eat, Code> {
        let malformed = |error: EvidenceError| match error {
            EvidenceError::Algorithm => Code::AttestationAlgorithm,
            _ => Code::AttestationMalformed,
        };
        let (signed, eat) = Eat::read(token).map_err(malformed)?;
        let name = &eat.claims.issuer;
        let issuer = self.trust.evidence().issuer(name, Kind::Attestation).ok_or(Code::AttestationIssuerUnknown)?;
        let taken = self.trust.demanded(&self.request.action.name).map_or(&[][..], |demanded| demanded.attestation);
        if !taken.is_empty() && !taken.contains(name) {
            return Err(Code::AttestationIssuerUnknown);
        }
        if eat.claims.audience != self.facts.origin {
            return Err(Code::AttestationAudience);
        }
        if eat.claims.subject != named(&self.request.subject) {
            return Err(Code::AttestationSubject);
        }
        let mut until_ms = self.in_time(&eat.claims).map_err(|when| match when {
            NotNow::Yet => Code::AttestationNotYet,
            NotNow::AnyMore => Code::AttestationExpired,
        })?;
        let stale_ms = milliseconds(eat.issued_at).saturating_add(issuer.max_age_ms);
        // What a permit rested on once only is not asked for again.
        if !self.facts.renewal {
            if stale_ms <= self.facts.now_ms {
                return Err(Code::AttestationStale);
            }
            until_ms = until_ms.min(stale_ms);
        }
        if !eat.sound {
            return Err(Code::AttestationUnsound);
        }
        let nonce = match &eat.nonce {
            _ if issuer.reusable || self.facts.renewal => None,
            Some(nonce) => Some(Nonce { id: nonce_id(name, nonce), body: [0; 16], item: 0, expires_ms: until_ms }),
            None => return Err(Code::AttestationNonceMissing),
        };
        self.check(&signed, issuer, until_ms).map_err(|not| match not {
            NotSigned::Algorithm => Code::AttestationAlgorithm,
            NotSigned::Signature => Code::AttestationSignature,
        })?;
        found.valid_until_ms = found.valid_until_ms.min(until_ms);
        found.issuers.push((Condition::Attestation, name.clone()));
        found.held.attested_by.clone_from(name);
        found.nonce = nonce;
        Ok(eat)
    }

    /// The one costly step comes last.
    fn check(&self, signed: &Signed, issuer: &Arc<Issuer>, until_ms: u64) -> Result<(), NotSigned> {
        self.checks.by(signed, &issuer.key, until_ms, self.facts.now_ms)
    }

    /// Until when a token holds, if it does now.
    fn in_time(&self, claims: &Claims) -> Result<u64, NotNow> {
        let latest = self.facts.now_ms.saturating_add(MAX_SKEW_MS);
        let begins = claims.not_before.max(claims.issued_at).map_or(0, milliseconds);
        let ends = milliseconds(claims.expires);
        match (begins > latest, ends <= self.facts.now_ms) {
            (_, true) => Err(NotNow::AnyMore),
            (true, false) => Err(NotNow::Yet),
            (false, false) => Ok(ends),
        }
    }

    /// What a rule is about, as a token names it in `sub`.
    fn about(&self, about: &About) -> Option<String> {
        match about {
            About::Subject => Some(named(&self.request.subject)),
            About::Resource => Some(named(&self.request.resource)),
            About::Value(place) => self.text(place),
        }
    }

    /// The digest that a rule is about: the entity's id, or the string.
    fn artifact(&self, about: &About) -> Option<[u8; 32]> {
        match about {
            About::Subject => sha256(&self.request.subject.id),
            About::Resource => sha256(&self.request.resource.id),
            About::Value(place) => sha256(&self.text(place)?),
        }
    }

    /// A string as policies see it.
    fn text(&self, place: &Amount) -> Option<String> {
        let registered = match place {
            Amount::Subject(name) => self.policies.registered_text(&self.request.subject, name),
            Amount::Resource(name) => self.policies.registered_text(&self.request.resource, name),
            Amount::Context(_) | Amount::Action(_) => None,
        };
        match (registered, place.in_request(self.request)) {
            (Some(registered), _) => registered,
            (None, Some(View::String(text))) => Some(text.to_owned()),
            (None, _) => None,
        }
    }
}

impl Says {
    /// What values are looked for in.
    fn claims(&self) -> &Json {
        match self {
            Self::Claims(_, json) => json,
            Self::Statement(statement) => &statement.predicate,
        }
    }
}

enum NotNow {
    Yet,
    AnyMore,
}

fn not_asserted(not: NotSigned) -> Code {
    match not {
        NotSigned::Algorithm => Code::AssertionAlgorithm,
        NotSigned::Signature => Code::AssertionSignature,
    }
}

/// An entity as tokens name it, and as switches and delegates do.
fn named(entity: &Entity) -> String {
    format!("{}::\"{}\"", entity.kind, entity.id)
}

/// Nonces of different issuers are apart; the length keeps ("a", "bc") and ("ab", "c") apart too.
fn nonce_id(issuer: &str, nonce: &[u8]) -> [u8; 32] {
    let sha = Sha256::new().chain_update((issuer.len() as u64).to_be_bytes());
    sha.chain_update(issuer).chain_update(nonce).finalize().into()
}

fn milliseconds(seconds: u64) -> u64 {
    seconds.saturating_mul(1_000)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What is remembered changes no answer: not for other bytes, not under another key, not when it is full.
    #[test]
    fn a_signature_that_is_remembered_counts_for_its_token_and_key_alone() {
        use ed25519_dalek::{Signer, SigningKey};
        use verifier::text::b64;
        let key = |seed: u8| {
            let signing = SigningKey::from_bytes(&[seed; 32]);
            let text = format!("ed25519:{}", b64(signing.verifying_key().as_bytes()));
            (text.parse::<IssuerKey>().unwrap(), signing)
        };
        let ((one, signing), (two, _)) = (key(1), key(2));
        let signed = |message: &str| Signed {
            message: message.into(),
            algorithm: None,
            signature: signing.sign(message.as_bytes()).to_bytes(),
        };
        let checks = Checks::default();
        for _ in 0..2 {
            assert_eq!(checks.by(&signed("m"), &one, 10, 0), Ok(()));
            assert_eq!(checks.by(&signed("m"), &two, 10, 0), Err(NotSigned::Signature));
            let other = Signed { message: b"n".to_vec(), ..signed("m") };
            assert_eq!(checks.by(&other, &one, 10, 0), Err(NotSigned::Signature));
        }
        assert_eq!(checks.0.borrow().len(), 1, "only what holds is remembered");
        let lookalike = Signed { algorithm: Some(verifier::evidence::key::Algorithm::Es256), ..signed("m") };
        assert_eq!(checks.by(&lookalike, &one, 10, 0), Err(NotSigned::Algorithm));
        let fill = |until| {
            let ids = (0..MAX_REMEMBERED as u64).map(|n| (Sha256::digest(n.to_be_bytes()).into(), until));
            checks.0.borrow_mut().extend(ids);
        };
        fill(5);
        assert_eq!(checks.by(&signed("o"), &one, 10, 5), Ok(()));
        assert_eq!(checks.0.borrow().len(), 2, "what ran out was forgotten");
        fill(9);
        assert_eq!(checks.by(&signed("p"), &one, 10, 5), Ok(()));
        assert_eq!(checks.0.borrow().len(), 1, "and a full store begins anew");
    }
}
