//! `/livez`, `/readyz` and `/metrics`: without a key, and without a word that a stranger could use.

use actix_web::HttpResponse;
use actix_web::web::Data;

use crate::worker::Worker;

/// OpenMetrics 1.0 §3.
const METRICS: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";

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

/// Everything that is counted (`metrics.rs`).
pub(super) async fn metrics(worker: Data<Worker>) -> HttpResponse {
    let shared = worker.shared();
    HttpResponse::Ok().content_type(METRICS).body(shared.metrics.all(shared.metrics_now()))
}
