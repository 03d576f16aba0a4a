//! What administrators have taken back beside single permits: issuers, keys, subjects and policies.
//!
//! Guarantees: a revocation holds for the rest of the log, also in later epochs: a name that was taken back may have been forged under, and
//! whoever is trusted anew stands under another name. What is to be released again is stopped by a switch instead. Each is an act of an
//! administrator, so there are few. Does not: decide; `settle` does, with the code of the condition that is concerned.

use std::collections::BTreeSet;

use verifier::act::Revoked;
use verifier::cbor::{CborError, Decoder, Encoder};
use verifier::decision::{Detail, Named};

use super::permits::Permit;

/// All that was taken back.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Revocations(BTreeSet<Revoked>);

impl Revocations {
    /// Takes something back.
    pub fn revoke(&mut self, what: Revoked) {
        self.0.insert(what);
    }

    /// Writes them as their acts name them (`FORMAT.md`).
    pub(crate) fn encode(&self, e: &mut Encoder<'_>) {
        e.array(self.0.len());
        self.0.iter().for_each(|what| e.text(&what.text()));
    }

    /// Reads back what [`Revocations::encode`] wrote.
    pub(crate) fn decode(d: &mut Decoder<'_>) -> Result<Self, CborError> {
        let count = d.array()?;
        let one = |_| Revoked::parse(d.text()?).map_err(|_| CborError::OutOfRange(19));
        (0..count).map(one).collect::<Result<_, _>>().map(Self)
    }

    /// Whether nothing was: the usual case, which costs nothing.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Whether this was taken back.
    #[must_use]
    pub fn has(&self, what: &Revoked) -> bool {
        self.0.contains(what)
    }

    /// Whether the key of this id was: an agent's, an approver's or an API key's.
    #[must_use]
    pub fn key(&self, id: &str) -> bool {
        !self.is_empty() && self.has(&Revoked::Key(id.to_owned()))
    }

    /// Whether a subject was.
    #[must_use]
    pub fn subject(&self, kind: &str, id: &str) -> bool {
        !self.is_empty() && self.has(&Revoked::Subject(kind.to_owned(), id.to_owned()))
    }

    /// Whether one of some policies was. Where there are more than are named, any is taken to be among them.
    #[must_use]
    pub fn policies(&self, named: &[String], more: bool) -> bool {
        self.0.iter().any(|what| match what {
            Revoked::Policy(id) => more || named.contains(id),
            Revoked::Permit(_) | Revoked::Issuer(_) | Revoked::Key(_) | Revoked::Subject(..) => false,
        })
    }

    /// [`Revocations::policies`] of a verdict, of which a record names the first only.
    #[must_use]
    pub fn of_verdict(&self, policies: &[String]) -> bool {
        self.policies(policies.get(..Named::SHOWN).unwrap_or(policies), policies.len() > Named::SHOWN)
    }

    /// Whether anything that a permit rests on was.
    #[must_use]
    pub fn touch(&self, permit: &Permit) -> bool {
        !self.is_empty()
            && (self.subject(&permit.subject.0, &permit.subject.1)
                || self.policies(&permit.policies, permit.more_policies)
                || permit.rests_on.iter().any(|what| self.has(what)))
    }

    /// [`Revocations::touch`] for a decision that stands in the log.
    #[must_use]
    pub fn touch_recorded(&self, detail: &Detail) -> bool {
        if self.is_empty() {
            return false;
        }
        let (shown, more) = match &detail.policies {
            Some(named) => (named.shown.as_slice(), named.count > named.shown.len() as u64),
            None => (&[][..], false),
        };
        self.subject(&detail.subject.0, &detail.subject.1)
            || self.policies(shown, more)
            || rests_on(detail).iter().any(|what| self.has(what))
    }
}

/// The keys and issuers that a decision rests on.
#[must_use]
pub fn rests_on(detail: &Detail) -> Vec<Revoked> {
    let signed = detail.signed.as_ref().and_then(|signed| Some(signed.signature.params().ok()?.key_id.to_owned()));
    let issuers = detail.evidence.iter().flat_map(|evidence| &evidence.issuers);
    let keys = [Some(detail.key_id.clone()), signed].into_iter().flatten().map(Revoked::Key);
    keys.chain(issuers.cloned().map(Revoked::Issuer)).collect()
}
