//! `GET /v1/requests/{index}`: the private parts of a decision, for a key that was made to read its realm.
//!
//! Why: of a `committed` realm the public listener shows commitments only; whoever has to look into it (an auditor, the realm's owner) gets
//! a key that reads, and with it what the leaf commits to, salts included. Guarantees: only of its own realm; what is answered is what the
//! leaf commits to; a decision of another realm, another record and an index beyond the log are one and the same answer.

use actix_web::http::header::CACHE_CONTROL;
use actix_web::web::{Data, Path};
use actix_web::{HttpRequest, HttpResponse};
use ledger::http::PrivateView;
use ledger::{ReadError, Reader};
use verifier::record::Record;

use super::problem::{Code, Problem};
use super::routes::{reader, respond};
use crate::worker::Worker;

pub(super) async fn show(worker: Data<Worker>, request: HttpRequest, index: Path<String>) -> HttpResponse {
    respond(answer(&worker, &request, &index))
}

fn answer(worker: &Worker, request: &HttpRequest, index: &str) -> Result<HttpResponse, Problem> {
    let caller = reader(worker, request)?;
    if !request.query_string().is_empty() {
        return Err(Code::InvalidQuery.into());
    }
    // One spelling, as on the public listener.
    let canonical = |text: &str| text.parse().ok().filter(|index: &u64| index.to_string() == text);
    let index = canonical(index).ok_or(Code::NotFound)?;
    let view = view(&worker.shared().reader, index, caller.realm())?;
    // Not for any cache on the way, and an erasure may end it.
    Ok(HttpResponse::Ok().insert_header((CACHE_CONTROL, "no-store")).json(view))
}

fn view(log: &Reader, index: u64, realm: &str) -> Result<PrivateView, Problem> {
    let Record::Decision(decision) = log.record(index).map_err(problem)? else { return Err(Code::NotFound.into()) };
    if decision.realm != realm {
        return Err(Code::NotFound.into());
    }
    let parts = log.private(index).map_err(problem)?;
    PrivateView::new(index, &decision, &parts).map_err(problem)
}

fn problem(error: ReadError) -> Problem {
    match error {
        ReadError::Beyond { .. } | ReadError::NoPrivate { .. } => Code::NotFound.into(),
        ReadError::Erased { .. } => Code::Gone.into(),
        // Lost or damaged: what the operator has to look into, and nothing that a caller could do.
        _ => Code::Unavailable.into(),
    }
}
