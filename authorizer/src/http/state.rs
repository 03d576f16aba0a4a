//! `GET /v1/governance`: what is in force, for administrators: the next act must follow it.

use actix_web::web::Data;
use actix_web::{HttpRequest, HttpResponse};
use serde_json::json;

use super::routes::{admin, respond};
use crate::worker::Worker;

pub(super) async fn show(worker: Data<Worker>, request: HttpRequest) -> HttpResponse {
    respond(admin(&worker, &request).map(|_| {
        let shared = worker.shared();
        let live = shared.live.load();
        HttpResponse::Ok().json(json!({
            "origin": shared.reader.origin(),
            "vkey": shared.reader.verifier_key().to_string(),
            "epoch": live.epoch,
            "newest_epoch": live.epochs.len(),
            "candidate": live.candidate.as_ref().map(|candidate| candidate.epoch),
            "governance": live.governance,
            "frozen": live.frozen,
        }))
    }))
}
