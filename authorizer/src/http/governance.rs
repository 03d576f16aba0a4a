//! `POST /v1/epochs`, `/v1/switches`, `/v1/revocations`, `/v1/erasures` and `/v1/freeze`: signed acts, answered when durable.
//!
//! Guarantees: an epoch's content is validated, compared with the digest that was signed, and built into one engine for
//! each worker before the act is sequenced; whatever fails on the way leaves the old epoch in force.

use std::sync::{Arc, PoisonError};
use std::time::Duration;

use actix_web::web::{self, Bytes, Data, Payload};
use actix_web::{HttpRequest, HttpResponse};
use serde::Deserialize;
use serde_json::json;
use tokio::sync::oneshot;
use verifier::act::{Deed, Revoked, Target};
use verifier::checkpoint::Checkpoint;
use verifier::epoch::{self, EpochContent};
use verifier::note::{Note, VerifierKey};
use verifier::record::MAX_NOTE;
use verifier::text::rfc3339;

use super::body;
use super::problem::{Code, Problem};
use super::routes::{admin, respond, unfrozen};
use crate::canary;
use crate::engine::{Finding, PublishError, Published, RealmMode};
use crate::engines::EngineSet;
use crate::governance::{ActError, Needed, NewEpoch, NotRecorded, Proposed, Recorded, Verified};
use crate::keys::Identity;
use crate::live::Shared;
use crate::queue::Refused;
use crate::traces::{self, Step};
use crate::worker::{ANSWER_DEADLINE, Worker};

/// An epoch's content and the escapes that JSON adds to it.
const MAX_EPOCH_BODY: usize = epoch::MAX_CONTENT + epoch::MAX_CONTENT / 4;
/// An epoch may be large and its line slow; there is one administrator, not thousands.
const EPOCH_DEADLINE: Duration = Duration::from_secs(30);

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Sent {
    policies: Vec<NewPolicy>,
    schema: Option<String>,
    entities: Option<String>,
    trust: Option<String>,
    /// The final checkpoint of the log that this one succeeds; for the first epoch only.
    predecessor: Option<String>,
    note: String,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct NewPolicy {
    id: String,
    text: String,
}

pub(super) async fn switch(worker: Data<Worker>, request: HttpRequest, payload: Payload) -> HttpResponse {
    respond(try_switch(&worker, &request, payload).await)
}

async fn try_switch(worker: &Worker, request: &HttpRequest, payload: Payload) -> Result<HttpResponse, Problem> {
    let verified = note(worker, request, payload).await?;
    let Deed::Switch { target, .. } = &verified.act().deed else {
        return Err(Problem::from(Code::InvalidAct).because("not a switch".into()));
    };
    let warnings: Vec<_> = unknown_target(worker.shared(), target).into_iter().collect();
    let Recorded { index, governance, head, .. } = record(worker.shared(), verified, None).await?;
    Ok(HttpResponse::Ok()
        .json(json!({ "index": index, "governance": governance, "checkpoint": head.note, "warnings": warnings })))
}

pub(super) async fn revocation(worker: Data<Worker>, request: HttpRequest, payload: Payload) -> HttpResponse {
    respond(try_revocation(&worker, &request, payload).await)
}

async fn try_revocation(worker: &Worker, request: &HttpRequest, payload: Payload) -> Result<HttpResponse, Problem> {
    let verified = note(worker, request, payload).await?;
    let Deed::Revocation { what, .. } = &verified.act().deed else {
        return Err(Problem::from(Code::InvalidAct).because("not a revocation".into()));
    };
    // An administrator who mistyped an id must learn that nothing was revoked; a name may be taken back before it comes.
    if let Revoked::Permit(permit) = what
        && worker.shared().reader.permit(permit).map_err(|_| Code::Unavailable)?.is_none()
    {
        return Err(Problem::from(Code::NotFound).because("there is no such permit".into()));
    }
    let warnings: Vec<_> = unknown_revoked(worker.shared(), what).into_iter().collect();
    let Recorded { index, governance, head, .. } = record(worker.shared(), verified, None).await?;
    Ok(HttpResponse::Ok()
        .json(json!({ "index": index, "governance": governance, "checkpoint": head.note, "warnings": warnings })))
}

pub(super) async fn erasure(worker: Data<Worker>, request: HttpRequest, payload: Payload) -> HttpResponse {
    respond(try_erasure(&worker, &request, payload).await)
}

/// Whoever may erase need not be who governs: what counts is whose key signed it.
async fn try_erasure(worker: &Worker, request: &HttpRequest, payload: Payload) -> Result<HttpResponse, Problem> {
    let caller = admin(worker, request)?;
    unfrozen(worker)?;
    let note = act_text(worker, &caller, request, payload).await?;
    let parsing = traces::step(Step::Parse);
    let erasers = erasers(worker.shared());
    let verified = worker.shared().governors.open_erasure(&note, &erasers)?;
    let Deed::Erasure { index: of, .. } = verified.act().deed else {
        return Err(Problem::from(Code::InvalidAct).because("not an erasure".into()));
    };
    drop(parsing);
    let Recorded { index, recorded_at, head, .. } = record(worker.shared(), verified, None).await?;
    Ok(HttpResponse::Ok().json(json!({
        "index": index, "erased": of, "recorded_at": rfc3339(recorded_at), "checkpoint": head.note,
    })))
}

/// Who may erase under the epoch in force; none: administrators.
fn erasers(shared: &Shared) -> Vec<VerifierKey> {
    let live = shared.live.load();
    let engine = live.engines.as_ref().and_then(|engines| engines.first());
    let trust = engine.map(|engine| engine.lock().unwrap_or_else(PoisonError::into_inner).trust().clone());
    trust.map_or(Vec::new(), |trust| trust.erasure().keys.clone())
}

pub(super) async fn freeze(worker: Data<Worker>, request: HttpRequest, payload: Payload) -> HttpResponse {
    respond(try_freeze(&worker, &request, payload).await)
}

async fn try_freeze(worker: &Worker, request: &HttpRequest, payload: Payload) -> Result<HttpResponse, Problem> {
    let verified = note(worker, request, payload).await?;
    let invalid = |why: &str| Err(Problem::from(Code::InvalidAct).because(why.into()));
    match &verified.act().deed {
        Deed::Freeze { successor, .. } if successor.as_ref() == Some(worker.shared().reader.verifier_key()) => {
            return invalid("a log does not succeed itself");
        }
        Deed::Freeze { .. } => {}
        Deed::Epoch { .. } | Deed::Switch { .. } | Deed::Revocation { .. } | Deed::Erasure { .. } => {
            return invalid("not a freeze");
        }
    }
    let Recorded { index, recorded_at, governance, head } = record(worker.shared(), verified, None).await?;
    Ok(HttpResponse::Ok().json(json!({
        "index": index, "governance": governance, "recorded_at": rfc3339(recorded_at), "checkpoint": head.note,
    })))
}

/// A signed act that is sent as it is, by an administrator, to a log that goes on.
async fn note(worker: &Worker, request: &HttpRequest, payload: Payload) -> Result<Verified, Problem> {
    let caller = admin(worker, request)?;
    unfrozen(worker)?;
    let note = act_text(worker, &caller, request, payload).await?;
    let _parsing = traces::step(Step::Parse);
    Ok(worker.shared().governors.open(&note)?)
}

async fn act_text(
    worker: &Worker,
    caller: &Identity,
    request: &HttpRequest,
    payload: Payload,
) -> Result<String, Problem> {
    if !body::content_is(request, "text/plain") {
        return Err(Code::ContentType.into());
    }
    let budget = &worker.shared().admin_budget;
    let (body, _share) = body::read(budget, caller, request, payload, MAX_NOTE, body::BODY_DEADLINE).await?;
    Ok(std::str::from_utf8(&body).map_err(|_| Code::InvalidUtf8)?.to_owned())
}

/// What is revoked for ever must be spelled right; keys are those of the epoch and those of callers.
fn unknown_revoked(shared: &Shared, what: &Revoked) -> Option<String> {
    let live = shared.live.load();
    let engine = live.engines.as_ref()?.first()?.lock().unwrap_or_else(PoisonError::into_inner);
    let of_a_caller = matches!(what, Revoked::Key(id) if shared.keys.list().iter().any(|key| key.id == *id));
    let unknown = engine.knows_revoked(what) == Some(false) && !of_a_caller;
    unknown.then(|| format!("`{}` names nothing that the epoch in force knows: is it spelled right?", what.text()))
}

/// A switch may name what comes only with a later epoch, so it is thrown; but whoever mistyped a name in an emergency must learn that
/// nothing was stopped.
fn unknown_target(shared: &Shared, target: &Target) -> Option<String> {
    let live = shared.live.load();
    let engine = live.engines.as_ref()?.first()?.lock().unwrap_or_else(PoisonError::into_inner);
    let known = engine.knows(target).unwrap_or_else(|| match target {
        Target::Realm(name) => shared.keys.list().iter().any(|key| key.realm == *name && key.revoked.is_none()),
        Target::Global | Target::Subject(..) | Target::Action(_) | Target::Policy(_) => true,
    });
    if !known {
        return Some(format!("`{}` names nothing that the epoch in force knows: is it spelled right?", target.text()));
    }
    match target {
        Target::Subject(_, id) if id.contains('\\') => {
            Some(format!("the id of `{}` is taken as it stands, backslashes too: no escapes are read", target.text()))
        }
        Target::Action(name) if name.contains("::") => Some(format!(
            "`{}` is the name of an action as it stands: `Action::` and quotes are not left out",
            target.text()
        )),
        Target::Global | Target::Realm(_) | Target::Subject(..) | Target::Action(_) | Target::Policy(_) => None,
    }
}

pub(super) async fn epoch(worker: Data<Worker>, request: HttpRequest, payload: Payload) -> HttpResponse {
    respond(try_epoch(worker, &request, payload).await)
}

async fn try_epoch(worker: Data<Worker>, request: &HttpRequest, payload: Payload) -> Result<HttpResponse, Problem> {
    let caller = admin(&worker, request)?;
    unfrozen(&worker)?;
    if !body::content_is(request, "application/json") {
        return Err(Code::ContentType.into());
    }
    let budget = &worker.shared().admin_budget;
    let (body, _share) = body::read(budget, &caller, request, payload, MAX_EPOCH_BODY, EPOCH_DEADLINE).await?;
    let parsing = traces::step(Step::Parse);
    let shared = worker.clone();
    // Parsing and validating thousands of policies takes a while; decisions go on meanwhile.
    let built = web::block(move || build(shared.shared(), &body)).await.map_err(|_| Code::Unavailable)??;
    drop(parsing);
    let Built { verified, number, epoch, warnings } = built;
    let Recorded { index, governance, head, .. } = record(worker.shared(), verified, Some(epoch)).await?;
    // Whoever asks now finds the service ready under the new epoch.
    canary::send(&worker).await;
    Ok(HttpResponse::Ok().json(json!({
        "epoch": number, "index": index, "governance": governance, "checkpoint": head.note, "warnings": warnings,
    })))
}

struct Built {
    verified: Verified,
    number: u64,
    epoch: NewEpoch,
    warnings: Vec<serde_json::Value>,
}

fn build(shared: &Shared, body: &Bytes) -> Result<Built, Problem> {
    let sent: Sent =
        serde_json::from_slice(body).map_err(|error| Problem::from(Code::InvalidJson).because(error.to_string()))?;
    let verified = shared.governors.open(&sent.note)?;
    let Deed::Epoch { number, content: digest, .. } = verified.act().deed else {
        return Err(Problem::from(Code::InvalidAct).because("not an epoch".into()));
    };
    check_predecessor(number, sent.predecessor.as_deref())?;
    let mut policies: Vec<_> = sent.policies.into_iter().map(|NewPolicy { id, text }| (id, text)).collect();
    policies.sort();
    let content = EpochContent { policies, schema: sent.schema, entities: sent.entities, trust: sent.trust };
    let document = content.encode();
    if document.len() > epoch::MAX_CONTENT {
        return Err(Code::BodyTooLarge.into());
    }
    if epoch::digest(&document) != digest {
        return Err(Code::ContentMismatch.into());
    }
    let published = Arc::new(Published::new(content)?);
    refuse_widening(shared, &published)?;
    let engines = EngineSet::of(&published, shared.workers, false)?;
    let warnings = published.warnings().iter().map(shown).collect();
    let epoch = NewEpoch { document, engines, predecessor: sent.predecessor };
    Ok(Built { verified, number, epoch, warnings })
}

/// Whose key signed the other log's last head is for whoever follows the succession to say: the old log's freeze names this log's key.
fn check_predecessor(number: u64, predecessor: Option<&str>) -> Result<(), Problem> {
    let Some(text) = predecessor else { return Ok(()) };
    let invalid = |why: &str| Err(Problem::from(Code::InvalidValue).because(why.into()));
    if number != 1 {
        return invalid("only a log's first epoch names a predecessor");
    }
    let note = Note::parse(text).ok().filter(|_| text.len() <= MAX_NOTE);
    match note.and_then(|note| Checkpoint::parse_text(&note.text).ok()) {
        Some(_) => Ok(()),
        None => invalid("`predecessor` is not a signed checkpoint"),
    }
}

/// What callers of a committed realm were promised holds for every later epoch, also for one that forgets to list realms, and for those
/// after one that left the realm out.
fn refuse_widening(shared: &Shared, published: &Published) -> Result<(), Problem> {
    let live = shared.live.load();
    match live.committed.iter().find(|realm| published.realm_mode(realm) == RealmMode::Public) {
        None => Ok(()),
        Some(realm) => {
            let why = format!("realm `{realm}` was committed in an epoch of this log and would become public");
            Err(Problem::from(Code::EpochInvalid).because(why))
        }
    }
}

async fn record(shared: &Shared, verified: Verified, epoch: Option<NewEpoch>) -> Result<Recorded, Problem> {
    let (reply, answer) = oneshot::channel();
    let kind = match verified.act().deed {
        Deed::Epoch { .. } => "epoch",
        Deed::Switch { .. } => "switch",
        Deed::Revocation { .. } => "revocation",
        Deed::Erasure { .. } => "erasure",
        Deed::Freeze { .. } => "freeze",
    };
    let trace = traces::queued();
    shared.queue.push_act(Proposed { verified, epoch, trace, reply }).map_err(|refused| match refused {
        Refused::Full(_) => Code::Overloaded,
        Refused::Closed => Code::Unavailable,
    })?;
    match tokio::time::timeout(ANSWER_DEADLINE, answer).await {
        Ok(Ok(Ok(recorded))) => {
            traces::recorded(|| traces::Recorded::of(kind, recorded.index));
            Ok(recorded)
        }
        Ok(Ok(Err(not))) => Err(refused(not)),
        // Not known to be durable: the administrator looks at the governance version and, if need be, tries again.
        Ok(Err(_)) | Err(_) => Err(Code::Unavailable.into()),
    }
}

fn refused(not: NotRecorded) -> Problem {
    let conflict = |detail: String, member: &str, number: u64| Problem {
        more: format!(r#","{member}":{number}"#),
        ..Problem::from(Code::GovernanceConflict).because(detail)
    };
    match not {
        NotRecorded::Stale(current) => {
            conflict(format!("the governance version in force is {current}"), "governance", current)
        }
        NotRecorded::EpochNumber(current) => conflict(format!("the newest epoch is {current}"), "epoch", current),
        NotRecorded::Needed(Needed::NoDecision) => {
            Problem::from(Code::NotFound).because("there is no such decision".into())
        }
        NotRecorded::Needed(Needed::Gone) => Code::AlreadyErased.into(),
        NotRecorded::Needed(Needed::Retention(from)) => {
            Problem::from(Code::Retained).because(format!("the epoch keeps it until {}", rfc3339(from)))
        }
        NotRecorded::Needed(Needed::InUse(why)) => Problem::from(Code::StillNeeded).because(why.into()),
        NotRecorded::Frozen => Code::Frozen.into(),
        NotRecorded::NoEpoch => {
            Problem::from(Code::GovernanceConflict).because("the first act is an epoch that is in force".into())
        }
    }
}

impl From<ActError> for Problem {
    fn from(error: ActError) -> Self {
        let code = match error {
            ActError::TooLong | ActError::Malformed(_) => Code::InvalidAct,
            ActError::Signature => Code::InvalidSignature,
            ActError::Origin(_) => Code::WrongOrigin,
        };
        Problem::from(code).because(error.to_string())
    }
}

impl From<PublishError> for Problem {
    fn from(error: PublishError) -> Self {
        let findings: Vec<_> = error.findings.iter().map(shown).collect();
        let more = serde_json::to_string(&findings).unwrap_or_else(|_| "[]".into());
        let problem = Problem::from(Code::EpochInvalid).because(error.to_string());
        Problem { more: format!(r#","findings":{more}"#), ..problem }
    }
}

/// A finding as it is told.
pub(crate) fn shown(finding: &Finding) -> serde_json::Value {
    json!({
        "code": finding.code.name(),
        "part": finding.part.to_string(),
        "line": finding.at.map(|at| at.line),
        "column": finding.at.map(|at| at.column),
        "message": finding.message,
    })
}
