//! `GET /v1/permits/{permit}`: the full answer again, in the permit's present state, with a fresh proof.

use actix_web::http::header::CACHE_CONTROL;
use actix_web::web::{Data, Path};
use actix_web::{HttpRequest, HttpResponse};
use verifier::decision::{Detail, PermitId};
use verifier::record::Record;

use super::decisions::style;
use super::problem::{Code, Problem};
use super::routes::{caller, respond};
use crate::answer::{Receipts, Writer};
use crate::keys::Identity;
use crate::present::Present;
use crate::worker::Worker;

pub(super) async fn show(worker: Data<Worker>, request: HttpRequest, permit: Path<String>) -> HttpResponse {
    respond(answer(&worker, &request, &permit).await)
}

async fn answer(worker: &Worker, request: &HttpRequest, permit: &str) -> Result<HttpResponse, Problem> {
    let caller = caller(worker, request)?;
    let style = style(request.query_string())?;
    let reader = &worker.shared().reader;
    let permit: PermitId = permit.parse().map_err(|_| Code::NotFound)?;
    let index = reader.permit(&permit).map_err(|_| Code::Unavailable)?.ok_or(Code::NotFound)?;
    let present = present(worker, &caller, index).await?;
    // The size is taken once and covers the record: its permit was found below it.
    let head = reader.head();
    let mut out = String::new();
    let writer = Writer { reader, style, desk: worker.desk() };
    let wanted = (style.receipts != Receipts::None).then_some(&*head);
    writer.recorded(&mut out, index, present, wanted).map_err(|_| Code::Unavailable)?;
    // Its state changes; a copy would tell an old one.
    Ok(HttpResponse::Ok().content_type("application/json").insert_header((CACHE_CONTROL, "no-store")).body(out))
}

/// The state of a permit of this caller; to anyone else there is no such permit.
async fn present(worker: &Worker, caller: &Identity, index: u64) -> Result<Present, Problem> {
    let shared = worker.shared();
    let (Ok(leaf), Ok(private)) = (shared.reader.entry(index), shared.reader.private(index)) else {
        return Err(Code::NotFound.into());
    };
    let (Ok(Record::Decision(decision)), Ok(detail)) = (Record::decode(&leaf), Detail::decode(&private.detail)) else {
        return Err(Code::NotFound.into());
    };
    if detail.key_id != caller.key_id() || decision.realm != caller.realm() {
        return Err(Code::NotFound.into());
    }
    // Without a sequencer nobody can say what was stopped since; doubt denies.
    Ok(worker.look(*decision, detail).await?)
}
