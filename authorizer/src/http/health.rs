//! `/livez`, `/readyz` and `/metrics`: without a key, and without a word that a stranger could use.

use actix_web::HttpResponse;
use actix_web::web::Data;

use crate::live::Shared;
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
        Ok(()) => {
            let body = format!(r#"{{"status":"ok"{}}}"#, alerts(worker.shared()));
            HttpResponse::Ok().content_type("application/json").body(body)
        }
        Err(missing) => {
            let body = format!(r#"{{"status":"not ready","missing":"{missing}"{}}}"#, alerts(worker.shared()));
            HttpResponse::ServiceUnavailable().content_type("application/json").body(body)
        }
    }
}

/// What an operator has to look into, as one more member; nothing if there is nothing.
fn alerts(shared: &Shared) -> String {
    let alerts = shared.alerts();
    if alerts.is_empty() { String::new() } else { format!(r#","alerts":["{}"]"#, alerts.join(r#"",""#)) }
}

/// Everything that is counted (`metrics.rs`).
pub(super) async fn metrics(worker: Data<Worker>) -> HttpResponse {
    let shared = worker.shared();
    HttpResponse::Ok().content_type(METRICS).body(shared.metrics.all(shared.metrics_now()))
}
