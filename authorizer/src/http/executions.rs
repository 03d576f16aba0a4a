//! `POST /v1/executions/{permit}/events`: what an executor reports and asks while it runs; `GET /v1/events`: what it is told meanwhile.
//!
//! Guarantees: an event is taken only under the signature of a key that the epoch names for the permit's audience, or, to abort, from the
//! key that asked for the permit (threat 18); `continue` leaves only when its record is durable (threat 12).
//! Does not: tell callers of another realm that the permit exists.

use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use actix_web::body::{BodySize, MessageBody};
use actix_web::http::header::CACHE_CONTROL;
use actix_web::web::{Bytes, Data, Path, Payload};
use actix_web::{HttpRequest, HttpResponse};
use serde_json::json;
use tokio::sync::broadcast::error::RecvError;
use tokio::sync::mpsc;
use verifier::decision::{Decision, Detail, PermitId};
use verifier::event::{Event, Step};
use verifier::hash::leaf_hash;
use verifier::json::Json;
use verifier::note::{Note, VerifierKey};
use verifier::receipt;
use verifier::record::{ExecutionEvent, LeaseEvent, Record};
use verifier::request::Request;
use verifier::text::{b64, rfc3339};

use super::body;
use super::problem::{Code, Problem};
use super::routes::{caller, respond, room};
use crate::execution::{Followed, MAX_EVENT, Refused};
use crate::keys::Identity;
use crate::notices::{Listener, Notice};
use crate::proposal::MAX_ATTEMPTS;
use crate::state::permits::Over;
use crate::traces::{self, Recorded};
use crate::worker::{NotFollowed, Worker};

/// A stream says something at least this often, so that both sides learn of a broken line, and sees that the service stops.
const HEARTBEAT: Duration = Duration::from_secs(1);
/// Lines that wait for a slow listener before it is cut off.
const MAX_WAITING_LINES: usize = 64;

/// A permit as it stands in the log.
pub(super) struct Stands {
    pub decision: Decision,
    pub detail: Detail,
    pub request: Request,
}

/// A permit of the caller's realm; to anyone else there is no such permit.
pub(super) fn permit(worker: &Worker, caller: &Identity, permit: &str) -> Result<Stands, Problem> {
    let reader = &worker.shared().reader;
    let permit: PermitId = permit.parse().map_err(|_| Code::NotFound)?;
    let index = reader.permit(&permit).map_err(|_| Code::Unavailable)?.ok_or(Code::NotFound)?;
    let (Ok(leaf), Ok(private)) = (reader.entry(index), reader.private(index)) else {
        return Err(Code::NotFound.into());
    };
    let parts = (Record::decode(&leaf), Detail::decode(&private.detail), Request::parse(&private.request));
    let (Ok(Record::Decision(decision)), Ok(detail), Ok(request)) = parts else { return Err(Code::NotFound.into()) };
    if decision.realm != caller.realm() {
        return Err(Code::NotFound.into());
    }
    Ok(Stands { decision: *decision, detail, request })
}

pub(super) async fn report(
    worker: Data<Worker>,
    request: HttpRequest,
    id: Path<String>,
    payload: Payload,
) -> HttpResponse {
    respond(try_report(&worker, &request, &id, payload).await)
}

async fn try_report(
    worker: &Worker,
    request: &HttpRequest,
    id: &str,
    payload: Payload,
) -> Result<HttpResponse, Problem> {
    let caller = caller(worker, request)?;
    room(worker)?;
    let budget = &worker.shared().budget;
    let (body, _share) = body::read(budget, &caller, request, payload, MAX_EVENT, body::BODY_DEADLINE).await?;
    let stands = permit(worker, &caller, id)?;
    if stands.decision.grant.and_then(|grant| grant.lease_ends_at).is_none() {
        return Err(Code::NoLease.into());
    }
    for _ in 0..=MAX_ATTEMPTS {
        let parsing = traces::step(traces::Step::Parse);
        let (keys, governance) = worker.audience_keys(stands.decision.audience.as_deref())?;
        let (step, note) = if body::content_is(request, "text/plain") {
            let (step, note) = signed(worker, &stands, &keys, &body)?;
            (step, Some(note))
        } else if body::content_is(request, "application/json") {
            (abort(&caller, &stands, &body)?, None)
        } else {
            return Err(Code::ContentType.into());
        };
        drop(parsing);
        let permit = (&stands.decision, &stands.detail, &stands.request);
        match worker.follow(permit, step, note, governance).await {
            Ok(followed) => return answer(worker, &stands.decision.realm, &followed),
            Err(NotFollowed::Stale) => {}
            Err(not) => return Err(not.into()),
        }
    }
    Err(NotFollowed::Stale.into())
}

/// An event that the audience signed.
fn signed(worker: &Worker, stands: &Stands, keys: &[VerifierKey], body: &[u8]) -> Result<(Step, String), Problem> {
    let note = std::str::from_utf8(body).map_err(|_| Code::InvalidUtf8)?;
    let opened = Note::open(note, keys).map_err(|_| Code::NotTheAudience)?;
    let event =
        Event::parse(opened.text()).map_err(|error| Problem::from(Code::InvalidEvent).because(error.to_string()))?;
    if event.origin != worker.shared().reader.origin() {
        return Err(Code::WrongOrigin.into());
    }
    if event.permit != stands.decision.permit {
        return Err(Problem::from(Code::InvalidEvent).because("the event is about another permit".into()));
    }
    Ok((event.step, note.to_owned()))
}

/// `{"event":"aborted"}`, from the key that asked for the permit.
fn abort(caller: &Identity, stands: &Stands, body: &[u8]) -> Result<Step, Problem> {
    if caller.key_id() != stands.detail.key_id {
        return Err(Code::NotTheAudience.into());
    }
    let aborted = ("event".into(), Json::String("aborted".into()));
    if Json::parse(body)? == Json::Object(vec![aborted]) {
        Ok(Step::Aborted { executed: None })
    } else {
        Err(Problem::from(Code::InvalidEvent)
            .because("without the audience's signature only `aborted` is taken".into()))
    }
}

fn answer(worker: &Worker, realm: &str, followed: &Followed) -> Result<HttpResponse, Problem> {
    let _answering = traces::step(traces::Step::Answer);
    let (index, head) = (followed.index(), followed.head());
    let leaf = followed.record().encode();
    let hash = leaf_hash(&leaf);
    // Checked under the head that goes with it: without evidence that holds there is no answer.
    let path = worker.shared().reader.proved(&hash, index, head).map_err(|_| Code::Unavailable)?;
    let mut text = String::new();
    receipt::write_text(&mut text, index, &path, Some(&leaf), &head.note);
    let (says, event, lease) = match followed.record() {
        Record::Lease { event: LeaseEvent::Renewed, ends_at, .. } => ("continue", "renewed", *ends_at),
        Record::Closure { event: ExecutionEvent::Started, .. } => ("continue", "started", None),
        Record::Closure { event: ExecutionEvent::Completed, .. } => ("closed", "completed", None),
        Record::Closure { event: ExecutionEvent::Failed | ExecutionEvent::Missing, .. } => ("closed", "failed", None),
        Record::Closure { event: ExecutionEvent::Aborted, .. } => ("closed", "aborted", None),
        _ => ("halt", "halted", None),
    };
    traces::recorded(|| Recorded {
        outcome: Some(says),
        committed: Some(worker.is_committed(realm)),
        codes: followed.codes().iter().copied().collect(),
        ..Recorded::of(followed.record().kind_name(), index)
    });
    Ok(HttpResponse::Ok().insert_header((CACHE_CONTROL, "no-store")).json(json!({
        "answer": says,
        "event": event,
        "index": index,
        "recorded_at": rfc3339(followed.record().recorded_at()),
        "lease_ends_at": lease.map(rfc3339),
        "lease_ends_at_ms": lease,
        "reasons": followed.codes(),
        "leaf": hash,
        "record": b64(&leaf),
        "receipt": text,
    })))
}

impl From<NotFollowed> for Problem {
    fn from(not: NotFollowed) -> Self {
        let over = |what: &str| Problem::from(Code::ExecutionOver).because(what.into());
        match not {
            NotFollowed::NoAnswer(none) => none.into(),
            // A burst of governance acts: the caller comes again when it is over.
            NotFollowed::Stale => Code::Overloaded.into(),
            NotFollowed::Refused(Refused::Frozen) => Code::Frozen.into(),
            NotFollowed::Refused(Refused::Clock) => Code::Clock.into(),
            NotFollowed::Refused(Refused::AlreadyStarted) => Code::AlreadyStarted.into(),
            NotFollowed::Refused(Refused::OtherEnd(ends_at)) => {
                Problem { more: format!(r#","lease_ends_at_ms":{ends_at}"#), ..Problem::from(Code::LeaseChanged) }
            }
            NotFollowed::Refused(Refused::BeyondPermit(expires_at)) => {
                Problem { more: format!(r#","expires_at_ms":{expires_at}"#), ..Problem::from(Code::BeyondPermit) }
            }
            NotFollowed::Refused(Refused::Over(Over::Unknown)) => over("it is not known any more"),
            NotFollowed::Refused(Refused::Over(Over::Revoked)) => over("it was revoked"),
            NotFollowed::Refused(Refused::Over(Over::Halted)) => over("it was halted"),
            NotFollowed::Refused(Refused::Over(Over::Closed)) => over("it was closed, or its lease ran out"),
        }
    }
}

pub(super) async fn stream(worker: Data<Worker>, request: HttpRequest) -> HttpResponse {
    respond(try_stream(&worker, &request))
}

fn try_stream(worker: &Worker, request: &HttpRequest) -> Result<HttpResponse, Problem> {
    let caller = caller(worker, request)?;
    let listener = worker.shared().notices.listen(caller.key_id()).ok_or(Code::Overloaded)?;
    let (lines, receiver) = mpsc::channel(MAX_WAITING_LINES);
    actix_web::rt::spawn(tell(listener, caller.realm().to_owned(), lines));
    let mut response = HttpResponse::Ok();
    response.content_type("text/event-stream").insert_header((CACHE_CONTROL, "no-store"));
    Ok(response.body(Lines(receiver)))
}

/// Tells one listener until it goes away, falls behind, or the service stops.
async fn tell(mut listener: Listener, realm: String, lines: mpsc::Sender<Bytes>) {
    while !listener.is_over() {
        let line = match tokio::time::timeout(HEARTBEAT, listener.receiver.recv()).await {
            Err(_) => Bytes::from_static(b":\n\n"),
            Ok(Ok(notice)) => match line(&notice, &realm) {
                Some(line) => Bytes::from(line),
                None => continue,
            },
            Ok(Err(RecvError::Lagged(_))) => {
                // It must not believe that it has heard all: it comes again, and renews.
                let _ = lines.try_send(Bytes::from_static(b"event: lost\ndata: {}\n\n"));
                return;
            }
            Ok(Err(RecvError::Closed)) => return,
        };
        if lines.try_send(line).is_err() {
            return;
        }
    }
}

fn line(notice: &Notice, of: &str) -> Option<String> {
    match notice {
        Notice::Governance { version, act, target } => {
            let data = json!({ "governance": version, "act": act, "target": target });
            Some(format!("event: governance\ndata: {data}\n\n"))
        }
        Notice::Permit { realm, .. } if realm != of => None,
        Notice::Permit { permit, what, .. } => {
            let data = json!({ "permit": permit.to_string() });
            Some(format!("event: {what}\ndata: {data}\n\n"))
        }
    }
}

/// A body whose lines come one by one.
struct Lines(mpsc::Receiver<Bytes>);

impl MessageBody for Lines {
    type Error = std::convert::Infallible;

    fn size(&self) -> BodySize {
        BodySize::Stream
    }

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Bytes, Self::Error>>> {
        self.0.poll_recv(cx).map(|line| line.map(Ok))
    }
}
