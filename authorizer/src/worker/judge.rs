//! What is evaluated of what was asked, and what a worker finds about it.
//!
//! Why: a body of hundreds of requests is larger than a core's caches, so each request is read, evaluated and put aside before the next one
//! is read. Guarantees: what is evaluated is what the committed bytes say, and nobody looks at its properties afterwards: they are gone.
//! Pure but for the salts and the name of a permit (`proposal.rs`).

use actix_web::web::Bytes;
use verifier::decision::{PermitId, Signed};
use verifier::request::{Request, RequestError};

use crate::clock::Reading;
use crate::engine::{Checked, Code, Engine, Facts, Verdict};
use crate::keys::Identity;
use crate::proposal::{Evaluated, Item};

/// One request as it came.
#[derive(Debug)]
pub struct Asked {
    /// What is asked.
    pub what: What,
    /// The signature of its body.
    pub signed: Option<Signed>,
}

/// What is asked, and what the leaf commits to.
#[derive(Debug)]
pub enum What {
    /// The exact bytes as sent.
    Sent(Bytes),
    /// AuthZEN: as parsed; the committed form follows from what was evaluated.
    Parsed(Box<Request>),
}

/// A request whose turn has come.
#[derive(Debug)]
pub(super) struct Read {
    request: Request,
    sent: Option<Bytes>,
    signed: Option<Signed>,
}

impl Read {
    /// A request that is neither sent nor signed by anybody.
    pub(super) fn plain(request: Request) -> Self {
        Read { request, sent: None, signed: None }
    }

    /// The denied decision that it tries again.
    pub(super) fn retry_of(&self) -> Option<PermitId> {
        self.request.retry_of
    }

    /// Signatures of its own that it brings; each costs a check.
    pub(super) fn evidence(&self) -> usize {
        self.request.assertions.len() + usize::from(self.request.attestation.is_some())
    }
}

impl Asked {
    /// Reads it.
    ///
    /// # Errors
    /// It is no request.
    pub(super) fn read(self) -> Result<Read, RequestError> {
        let Asked { what, signed } = self;
        Ok(match what {
            What::Sent(sent) => Read { request: Request::parse(&sent)?, sent: Some(sent), signed },
            What::Parsed(request) => Read { request: *request, sent: None, signed },
        })
    }
}

impl From<Item> for Asked {
    fn from(item: Item) -> Self {
        let Item { original, committed, signed, .. } = item;
        Asked { what: original.map_or(What::Sent(committed), |original| What::Parsed(Box::new(original))), signed }
    }
}

/// One epoch as it looks at a body.
#[derive(Clone, Copy)]
pub(super) struct Bench<'a> {
    pub engine: &'a Engine,
    /// Plain Cedar, where it has to confirm critical decisions.
    pub confirm: Option<&'a Engine>,
    /// What it says of the signature over the body.
    pub checked: Option<&'a Checked>,
}

/// What is evaluated of what was asked, and what the worker finds under the live epoch and under the one that is tried in its shadow. What
/// the live epoch leaves out of an AuthZEN request its candidate does not see either: it is not committed to.
pub(super) fn judge(
    live: Bench<'_>,
    tried: Option<Bench<'_>>,
    caller: &Identity,
    asked: Read,
    reading: &Reading,
    origin: &str,
    retry_salt: Option<[u8; 16]>,
) -> (Evaluated, Verdict, Option<Verdict>) {
    let Read { request, sent, signed } = asked;
    let authzen = sent.is_none();
    let mut unreadable = false;
    let (evaluated, committed, original) = match sent {
        Some(sent) => (request, sent, None),
        None => {
            let tolerated = live.engine.tolerate(&request);
            let committed = committed_form(&tolerated);
            // What is evaluated is what the committed bytes say (`1.0` is `1` there), for whoever reads them later does the same.
            let evaluated = Request::parse(&committed).unwrap_or_else(|_| {
                unreadable = true;
                tolerated
            });
            (evaluated, Bytes::from(committed), Some(request))
        }
    };
    let find = |Bench { engine, checked, .. }: Bench<'_>| {
        let facts = Facts {
            authzen,
            origin,
            signed: checked.zip(signed.as_ref()),
            retry_salt,
            ..Facts::unsigned(caller.realm(), caller.key_id(), reading.at_ms)
        };
        let mut verdict = engine.decide(&evaluated, &facts);
        if unreadable {
            verdict.unknown(Code::EngineError);
        }
        if reading.trouble.is_some() {
            verdict.doubt(Code::Clock);
        }
        verdict
    };
    let (mut verdict, shadow) = (find(live), tried.map(find));
    if live.engine.needs_confirming(&evaluated) {
        let plain = live.confirm.map(|engine| find(Bench { engine, ..live }));
        if plain.as_ref() != Some(&verdict) {
            // What is recorded is what plain Cedar says, and that it was not said by both.
            verdict = plain.unwrap_or(verdict);
            verdict.doubt(Code::EngineMismatch);
        }
    }
    (Evaluated { request: evaluated.outline(), original, committed, signed }, verdict, shadow)
}

/// The RFC 8785 form of what was evaluated: subject, action, resource and context, absent where empty.
#[must_use]
fn committed_form(request: &Request) -> Vec<u8> {
    verifier::approval::core(request)
}
