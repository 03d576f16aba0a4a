//! `/livez` and `/readyz`: without a key, and without a word that a stranger could use.

use actix_web::HttpResponse;
use actix_web::web::Data;

use crate::worker::Worker;

/// The process answers.
pub(super) async fn live() -> HttpResponse {
    HttpResponse::Ok().content_type("application/json").body(r#"{"status":"ok"}"#)
}

/// Decisions can be made: the log is open and can be written, and an epoch is published. The canary decision of a
/// later version is not part of it yet.
pub(super) async fn ready(worker: Data<Worker>) -> HttpResponse {
    let shared = worker.shared();
    let log = !shared.queue.is_closed() && shared.fault().is_none() && !shared.reader.poisoned();
    let epoch = shared.live.load().engines.is_some();
    let clock = shared.now().trouble.is_none();
    let ready = log && epoch && clock;
    let body = format!(
        r#"{{"status":"{}","log":{log},"epoch":{epoch},"clock":{clock}}}"#,
        if ready { "ok" } else { "not ready" }
    );
    let mut response = if ready { HttpResponse::Ok() } else { HttpResponse::ServiceUnavailable() };
    response.content_type("application/json").body(body)
}
