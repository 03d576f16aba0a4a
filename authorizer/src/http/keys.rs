//! `POST`, `GET` and `DELETE /v1/keys`: API keys, for administrators.

use std::num::NonZeroU32;

use actix_web::web::{self, Data, Path, Payload};
use actix_web::{HttpRequest, HttpResponse};
use serde::Deserialize;
use verifier::json::Json;
use verifier::text::rfc3339;

use super::body;
use super::problem::{Code, Problem};
use super::routes::{admin, respond};
use crate::keys::{KeysError, Role};
use crate::quota::Quota;
use crate::worker::Worker;

/// A body here holds two short strings.
const MAX_BODY: usize = 4 * 1024;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct NewKey {
    #[serde(default = "main")]
    realm: String,
    #[serde(default = "service")]
    role: Role,
    records_per_second: Option<NonZeroU32>,
    bytes_per_second: Option<NonZeroU32>,
}

fn main() -> String {
    "main".into()
}

fn service() -> Role {
    Role::Service
}

pub(super) async fn create(worker: Data<Worker>, request: HttpRequest, payload: Payload) -> HttpResponse {
    respond(try_create(worker, &request, payload).await)
}

async fn try_create(worker: Data<Worker>, request: &HttpRequest, payload: Payload) -> Result<HttpResponse, Problem> {
    let caller = admin(&worker, request)?;
    let budget = &worker.shared().admin_budget;
    let (body, _share) = body::read(budget, &caller, request, payload, MAX_BODY, body::BODY_DEADLINE).await?;
    let text: &[u8] = if body.is_empty() { b"{}" } else { &body };
    // The strict reading first: duplicate keys are refused there.
    Json::parse(text)?;
    let NewKey { realm, role, records_per_second, bytes_per_second } =
        serde_json::from_slice(text).map_err(|error| Problem::from(Code::InvalidValue).because(error.to_string()))?;
    let quota = Quota { records_per_second, bytes_per_second };
    let created = rfc3339(worker.shared().now().at_ms);
    let shared = worker.clone();
    let made = web::block(move || shared.shared().keys.create_limited(&realm, role, quota, created)).await;
    let (key, info) = made.map_err(|_| Code::KeyFile)?.map_err(problem)?;
    let answer = serde_json::json!({
        "id": info.id, "realm": info.realm, "role": info.role, "created": info.created, "key": *key,
        "records_per_second": quota.records_per_second, "bytes_per_second": quota.bytes_per_second,
    });
    Ok(HttpResponse::Created().insert_header(("Cache-Control", "no-store")).json(answer))
}

pub(super) async fn list(worker: Data<Worker>, request: HttpRequest) -> HttpResponse {
    respond(admin(&worker, &request).map(|_| {
        let keys: Vec<_> = worker.shared().keys.list().iter().map(|info| (**info).clone()).collect();
        HttpResponse::Ok().json(serde_json::json!({ "keys": keys }))
    }))
}

pub(super) async fn revoke(worker: Data<Worker>, request: HttpRequest, id: Path<String>) -> HttpResponse {
    respond(try_revoke(worker, &request, id.into_inner()).await)
}

async fn try_revoke(worker: Data<Worker>, request: &HttpRequest, id: String) -> Result<HttpResponse, Problem> {
    admin(&worker, request)?;
    let revoked = rfc3339(worker.shared().now().at_ms);
    let done = web::block(move || worker.shared().keys.revoke(&id, revoked)).await;
    let info = done.map_err(|_| Code::KeyFile)?.map_err(problem)?;
    Ok(HttpResponse::Ok().json(&*info))
}

fn problem(error: KeysError) -> Problem {
    match error {
        KeysError::Unknown(_) => Code::NotFound.into(),
        KeysError::Realm(_) | KeysError::TooMany | KeysError::LastAdmin => {
            Problem::from(Code::InvalidValue).because(error.to_string())
        }
        // Paths and system errors are the operator's, not the caller's.
        KeysError::Io { .. } | KeysError::Exposed { .. } | KeysError::Damaged { .. } | KeysError::Randomness(_) => {
            Code::KeyFile.into()
        }
    }
}
