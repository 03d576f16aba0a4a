//! Condition 2 beyond the API key: an RFC 9421 signature over the body, by a key of the epoch that may speak for the subject.
//!
//! The form was read before ([`verifier::http_signature`]); here it is asked whose it is, whether it holds now, and for whom. Pure: the
//! signature stands in the record's detail, so replay comes to the same answer. Checked once for each body; what is about one request
//! follows from that. Does not: know which nonces are used; `state/nonces.rs` does.

use std::sync::Arc;

use sha2::{Digest, Sha256};
use verifier::decision::Signed;
use verifier::http_signature::{HttpSignature, Params};
use verifier::request::Request;

use super::codes::Code;
use super::decide::Verdict;
use super::trust::Trust;
use super::trust::agents::AgentKey;
use super::trust::evidence::LONGEST_MAX_AGE_MS;

/// A signature holds at most so long, seconds: so long its nonce is remembered.
pub const MAX_SIGNED_S: u64 = 300;
/// A signature may be made so far in the future, milliseconds: clocks of callers differ by seconds.
pub const MAX_SKEW_MS: u64 = 5_000;
/// A signature uses its nonce for at most so long after the decision: made as far ahead as is taken, for as long as is taken.
pub const LONGEST_SIGNED_MS: u64 = MAX_SIGNED_S * 1_000 + MAX_SKEW_MS;
/// An attestation likewise.
pub const LONGEST_ATTESTED_MS: u64 = LONGEST_MAX_AGE_MS + MAX_SKEW_MS;

/// A signature, as checked under one epoch at one time. Its one birthplace is [`check`].
#[derive(Debug, Clone)]
pub struct Checked {
    by: Result<Arc<AgentKey>, Code>,
    expires_ms: u64,
    nonce: [u8; 32],
}

/// What the fold must not have seen yet.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Nonce {
    /// SHA-256 over key id and nonce.
    pub id: [u8; 32],
    /// The body that it came with.
    pub body: [u8; 16],
    /// Which request of the body.
    pub item: u64,
    /// Forgotten at and after this time, Unix milliseconds.
    pub expires_ms: u64,
}

impl Nonce {
    /// The nonce of a signature; `None` if it is none.
    pub fn of(signed: &Signed) -> Option<Self> {
        let params = signed.signature.params().ok()?;
        let expires_ms = milliseconds(params.expires);
        Some(Self { id: id(&params), body: signed.body, item: signed.item, expires_ms })
    }
}

/// Checks a signature at a time, for this origin.
pub(super) fn check(trust: &Trust, signature: &HttpSignature, origin: &str, now_ms: u64) -> Checked {
    let Ok(params) = signature.params() else {
        // Never: what is read was of the form. It denies.
        return Checked { by: Err(Code::SignatureInvalid), expires_ms: 0, nonce: [0; 32] };
    };
    let by = signer(trust, signature, &params, origin, now_ms);
    Checked { by, expires_ms: milliseconds(params.expires), nonce: id(&params) }
}

/// Asks again whose a signature is and for which log, for a permit that is renewed: it need not hold any more, its key must still stand.
pub(super) fn check_again(trust: &Trust, signature: &HttpSignature, origin: &str) -> Checked {
    let by = match signature.params() {
        Ok(params) if params.tag != origin => Err(Code::SignatureOrigin),
        Ok(params) => trust.agents().get(params.key_id).cloned().ok_or(Code::SignatureKeyUnknown),
        Err(_) => Err(Code::SignatureInvalid),
    };
    let by = by.and_then(
        |agent| if signature.is_by(&agent.key) == Ok(true) { Ok(agent) } else { Err(Code::SignatureInvalid) },
    );
    Checked { by, expires_ms: u64::MAX, nonce: [0; 32] }
}

fn signer(
    trust: &Trust,
    signature: &HttpSignature,
    params: &Params<'_>,
    origin: &str,
    now_ms: u64,
) -> Result<Arc<AgentKey>, Code> {
    let agent = trust.agents().get(params.key_id).ok_or(Code::SignatureKeyUnknown)?;
    if params.tag != origin {
        return Err(Code::SignatureOrigin);
    }
    if params.expires.checked_sub(params.created).is_none_or(|held| held == 0 || held > MAX_SIGNED_S) {
        return Err(Code::SignatureWindow);
    }
    if milliseconds(params.created) > now_ms.saturating_add(MAX_SKEW_MS) {
        return Err(Code::SignatureNotYet);
    }
    if milliseconds(params.expires) <= now_ms {
        return Err(Code::SignatureExpired);
    }
    // The one costly step comes last.
    match signature.is_by(&agent.key) {
        Ok(true) => Ok(agent.clone()),
        Ok(false) | Err(_) => Err(Code::SignatureInvalid),
    }
}

/// Holds one request against the signature of its body, or against the want of one.
pub(super) fn identity(verdict: &mut Verdict, trust: &Trust, request: &Request, signed: Option<(&Checked, &Signed)>) {
    let Some((checked, signed)) = signed else {
        if trust.agents().must_sign(request) {
            verdict.fail(Code::SignatureMissing);
        }
        return;
    };
    match &checked.by {
        Err(code) => verdict.fail(*code),
        Ok(agent) if !agent.subjects.iter().any(|selector| selector.holds(&request.subject)) => {
            verdict.fail(Code::SignatureSubject);
        }
        Ok(agent) => {
            verdict.demands.keys.push(agent.key.name().to_owned());
            let Signed { body, item, .. } = *signed;
            verdict.demands.nonce = Some(Nonce { id: checked.nonce, body, item, expires_ms: checked.expires_ms });
            verdict.valid_until_ms = verdict.valid_until_ms.min(checked.expires_ms);
        }
    }
}

/// Nonces of different keys are apart; lengths keep ("a", "bc") and ("ab", "c") apart too.
fn id(params: &Params<'_>) -> [u8; 32] {
    let sha = Sha256::new().chain_update((params.key_id.len() as u64).to_be_bytes());
    sha.chain_update(params.key_id).chain_update(params.nonce).finalize().into()
}

fn milliseconds(seconds: u64) -> u64 {
    seconds.saturating_mul(1_000)
}
