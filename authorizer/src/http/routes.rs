//! Which path goes where; what is common to all of them.
//!
//! Guarantees: a key is asked for before anything else is said, except for liveness and readiness.

use actix_web::http::header;
use actix_web::web::{self, Data, ServiceConfig};
use actix_web::{HttpRequest, HttpResponse};

use super::problem::{Code, Problem};
use super::{authzen, decisions, governance, health, keys, permits, state};
use crate::keys::Identity;
use crate::worker::Worker;

/// The decision API on one worker.
pub fn configure(config: &mut ServiceConfig, worker: Data<Worker>) {
    let other = || web::route().to(wrong_method);
    config
        .app_data(worker)
        .service(web::resource("/v1/decisions").route(web::post().to(decisions::decide)).default_service(other()))
        .service(
            web::resource("/access/v1/evaluation")
                .route(web::post().to(authzen::evaluation))
                .default_service(web::route().to(authzen::wrong_method)),
        )
        .service(
            web::resource("/access/v1/evaluations")
                .route(web::post().to(authzen::evaluations))
                .default_service(web::route().to(authzen::wrong_method)),
        )
        .service(web::resource("/v1/permits/{permit}").route(web::get().to(permits::show)).default_service(other()))
        .service(web::resource("/v1/epochs").route(web::post().to(governance::epoch)).default_service(other()))
        .service(web::resource("/v1/governance").route(web::get().to(state::show)).default_service(other()))
        .service(web::resource("/v1/switches").route(web::post().to(governance::switch)).default_service(other()))
        .service(
            web::resource("/v1/keys")
                .route(web::post().to(keys::create))
                .route(web::get().to(keys::list))
                .default_service(other()),
        )
        .service(web::resource("/v1/keys/{id}").route(web::delete().to(keys::revoke)).default_service(other()))
        .service(web::resource("/livez").route(web::get().to(health::live)).default_service(other()))
        .service(web::resource("/readyz").route(web::get().to(health::ready)).default_service(other()))
        .default_service(web::route().to(unknown_path));
}

/// Who calls; the first question of every handler.
///
/// # Errors
/// [`Code::Unauthorized`] for every reason alike.
pub fn caller(worker: &Worker, request: &HttpRequest) -> Result<Identity, Problem> {
    let mut given = request.headers().get_all(header::AUTHORIZATION);
    // Two headers are two claims; neither is believed.
    match (given.next(), given.next()) {
        (Some(value), None) => worker.shared().keys.authenticate(value.as_bytes()),
        _ => None,
    }
    .ok_or_else(|| Code::Unauthorized.into())
}

/// The caller, if it may govern.
///
/// # Errors
/// [`Code::Unauthorized`], [`Code::Forbidden`].
pub fn admin(worker: &Worker, request: &HttpRequest) -> Result<Identity, Problem> {
    let caller = caller(worker, request)?;
    if caller.is_admin() { Ok(caller) } else { Err(Code::Forbidden.into()) }
}

/// Refuses before a body is read if nothing could be done with it.
///
/// # Errors
/// [`Code::Unavailable`], [`Code::Overloaded`].
pub fn room(worker: &Worker) -> Result<(), Problem> {
    let queue = &worker.shared().queue;
    if queue.is_closed() {
        return Err(Code::Unavailable.into());
    }
    if queue.has_room() { Ok(()) } else { Err(Code::Overloaded.into()) }
}

/// An answer out of either branch.
pub fn respond(result: Result<HttpResponse, Problem>) -> HttpResponse {
    result.unwrap_or_else(|problem| problem.response())
}

async fn wrong_method(worker: Data<Worker>, request: HttpRequest) -> HttpResponse {
    respond(caller(&worker, &request).and_then(|_| Err(Code::MethodNotAllowed.into())))
}

async fn unknown_path(worker: Data<Worker>, request: HttpRequest) -> HttpResponse {
    respond(caller(&worker, &request).and_then(|_| Err(Code::NotFound.into())))
}
