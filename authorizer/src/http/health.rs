//! `/livez` and `/readyz`: without a key, and without a word that a stranger could use.

use actix_web::HttpResponse;
use actix_web::web::Data;

use crate::worker::Worker;

/// The process answers.
pub(super) async fn live() -> HttpResponse {
    HttpResponse::Ok().content_type("application/json").body(r#"{"status":"ok"}"#)
}

/// Decisions can be made; see [`crate::live::Shared::ready`].
pub(super) async fn ready(worker: Data<Worker>) -> HttpResponse {
    match worker.shared().ready() {
        Ok(()) => HttpResponse::Ok().content_type("application/json").body(r#"{"status":"ok"}"#),
        Err(missing) => {
            let body = format!(r#"{{"status":"not ready","missing":"{missing}"}}"#);
            HttpResponse::ServiceUnavailable().content_type("application/json").body(body)
        }
    }
}
