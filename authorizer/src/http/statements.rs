//! `POST /v1/statements` and `POST /add`: evidence that a service submits, kept as it came.
//!
//! Guarantees: the body is wrapped in a `statement` record whatever its bytes say, goes through the same bounded queue and the same writer
//! as decisions, and is answered only when that record is durable. A body that is longer than a record holds is refused, never cut.
//! Does not: recognise a repetition. A second submission of the same bytes is a second entry with an index and a time of its own.

use actix_web::http::header::{self, CACHE_CONTROL};
use actix_web::web::{Data, Payload};
use actix_web::{HttpRequest, HttpResponse};
use serde_json::json;
use verifier::hash::leaf_hash;
use verifier::receipt;
use verifier::record::{MAX_BODY, MAX_NAME};
use verifier::text::{b64, rfc3339};

use super::body;
use super::problem::{Code, Problem};
use super::routes::{caller, respond, room_for, take};
use crate::statement::{DSSE, OPAQUE, Stated, check_envelope};
use crate::traces::{self, Recorded, Step};
use crate::worker::Worker;

/// The content type says what the bytes are; the answer proves where they stand.
pub(super) async fn submit(worker: Data<Worker>, request: HttpRequest, payload: Payload) -> HttpResponse {
    respond(match state(&worker, &request, payload, media_type(&request)).await {
        Ok(stated) => answer(&worker, &stated),
        Err(problem) => Err(problem),
    })
}

/// The raw form: whatever the content type says, unless it is an envelope's, the bytes are opaque; the answer is the index.
pub(super) async fn add(worker: Data<Worker>, request: HttpRequest, payload: Payload) -> HttpResponse {
    let media_type = if body::content_is(&request, DSSE) { DSSE } else { OPAQUE };
    let stated = state(&worker, &request, payload, Ok(media_type.to_owned())).await;
    respond(stated.map(|stated| HttpResponse::Ok().content_type("text/plain").body(stated.index().to_string())))
}

async fn state(
    worker: &Worker,
    request: &HttpRequest,
    payload: Payload,
    media_type: Result<String, Problem>,
) -> Result<Stated, Problem> {
    let caller = caller(worker, request)?;
    room_for(worker, &caller)?;
    let media_type = media_type?;
    let budget = &worker.shared().budget;
    let read = body::read(budget, &caller, request, payload, MAX_BODY, body::BODY_DEADLINE).await;
    let (body, _share) = read.map_err(|problem| match problem.code {
        Code::BodyTooLarge => Code::StatementTooLarge.into(),
        _ => problem,
    })?;
    take(worker, &caller, 1, body.len())?;
    let parsing = traces::step(Step::Parse);
    if body.is_empty() {
        return Err(Code::EmptyBody.into());
    }
    if body::content_is(request, DSSE) {
        check_envelope(&body).map_err(|why| Problem::from(Code::InvalidEnvelope).because(why.into()))?;
    }
    drop(parsing);
    let stated = worker.state(&caller, &media_type, &body).await?;
    traces::recorded(|| Recorded::of(stated.record().kind_name(), stated.index()));
    Ok(stated)
}

/// The content type as it was sent: a media type (RFC 9110 §8.3.1), with its parameters, that fits into a record.
fn media_type(request: &HttpRequest) -> Result<String, Problem> {
    let mut given = request.headers().get_all(header::CONTENT_TYPE);
    let (Some(value), None) = (given.next(), given.next()) else { return Err(Code::MediaType.into()) };
    let value = value.to_str().map_err(|_| Code::MediaType)?.trim();
    let essence = value.split(';').next().unwrap_or_default().trim_end();
    let is_token = |text: &str| {
        !text.is_empty() && text.bytes().all(|b| b.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&b))
    };
    match essence.split_once('/') {
        Some((kind, subtype)) if is_token(kind) && is_token(subtype) && value.len() <= MAX_NAME => Ok(value.to_owned()),
        _ => Err(Code::MediaType.into()),
    }
}

fn answer(worker: &Worker, stated: &Stated) -> Result<HttpResponse, Problem> {
    let _answering = traces::step(Step::Answer);
    let (index, head) = (stated.index(), stated.head());
    let leaf = stated.record().encode();
    let hash = leaf_hash(&leaf);
    // Checked under the head that goes with it: without evidence that holds there is no answer.
    let path = worker.shared().reader.proved(&hash, index, head).map_err(|_| Code::Unavailable)?;
    let mut text = String::new();
    receipt::write_text(&mut text, index, &path, Some(&leaf), &head.note);
    Ok(HttpResponse::Created().insert_header((CACHE_CONTROL, "no-store")).json(json!({
        "index": index,
        "recorded_at": rfc3339(stated.record().recorded_at()),
        "leaf": hash,
        "record": b64(&leaf),
        "receipt": text,
    })))
}
