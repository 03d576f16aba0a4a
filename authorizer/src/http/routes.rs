//! Which path goes where; what is common to all of them.
//!
//! Guarantees: a key is asked for before anything else is said, except for liveness, readiness and
//! AuthZEN's metadata, which is absent.

use std::rc::Rc;

use actix_web::http::header;
use actix_web::web::{self, Data, ServiceConfig};
use actix_web::{HttpRequest, HttpResponse, Resource};

use super::connection::{Connection, Peer};
use super::metadata::WELL_KNOWN;
use super::problem::{Code, Problem};
use super::{
    approvals, authzen, decisions, executions, governance, health, keys, permits, private, search, state, statements,
};
use crate::keys::{Identity, Role};
use crate::worker::Worker;

/// The decision API on one worker.
pub fn configure(config: &mut ServiceConfig, worker: Data<Worker>) {
    config
        .app_data(worker)
        .service(at("/v1/decisions", "POST").route(web::post().to(decisions::decide)))
        .service(authzen_at("/access/v1/evaluation").route(web::post().to(authzen::evaluation)))
        .service(authzen_at("/access/v1/evaluations").route(web::post().to(authzen::evaluations)))
        .service(authzen_at("/access/v1/search/subject").route(web::post().to(search::subject)))
        .service(authzen_at("/access/v1/search/resource").route(web::post().to(search::resource)))
        .service(authzen_at("/access/v1/search/action").route(web::post().to(search::action)))
        .service(
            web::resource([WELL_KNOWN.to_owned(), format!("{WELL_KNOWN}/{{tenant:.*}}")])
                .route(web::get().to(authzen::metadata))
                .route(web::head().to(authzen::metadata))
                .default_service(web::route().to(authzen::metadata_is_read)),
        )
        .service(at("/v1/permits/{permit}", "GET").route(web::get().to(permits::show)))
        .service(at("/v1/requests/{index}", "GET").route(web::get().to(private::show)))
        .service(at("/v1/executions/{permit}/events", "POST").route(web::post().to(executions::report)))
        .service(at("/v1/events", "GET").route(web::get().to(executions::stream)))
        .service(at("/v1/epochs", "POST").route(web::post().to(governance::epoch)))
        .service(at("/v1/governance", "GET").route(web::get().to(state::show)))
        .service(at("/v1/approvals", "POST").route(web::post().to(approvals::approve)))
        .service(at("/v1/switches", "POST").route(web::post().to(governance::switch)))
        .service(at("/v1/revocations", "POST").route(web::post().to(governance::revocation)))
        .service(at("/v1/erasures", "POST").route(web::post().to(governance::erasure)))
        .service(at("/v1/freeze", "POST").route(web::post().to(governance::freeze)))
        .service(at("/v1/statements", "POST").route(web::post().to(statements::submit)))
        .service(at("/add", "POST").route(web::post().to(statements::add)))
        .service(at("/v1/keys", "GET, POST").route(web::post().to(keys::create)).route(web::get().to(keys::list)))
        .service(at("/v1/keys/{id}", "DELETE").route(web::delete().to(keys::revoke)))
        .service(at("/livez", "GET").route(web::get().to(health::live)))
        .service(at("/readyz", "GET").route(web::get().to(health::ready)))
        .service(at("/metrics", "GET").route(web::get().to(health::metrics)))
        .default_service(web::route().to(unknown_path));
}

/// A path; every method but those allowed is told so, to whoever has a key.
fn at(path: &str, allowed: &'static str) -> Resource {
    let wrong = move |worker: Data<Worker>, request: HttpRequest| async move {
        respond(caller(&worker, &request).and_then(|_| Err(not_allowed(allowed))))
    };
    web::resource(path).default_service(web::route().to(wrong))
}

/// As [`at`], answering as AuthZEN does.
fn authzen_at(path: &str) -> Resource {
    web::resource(path).default_service(web::route().to(authzen::wrong_method))
}

/// The path knows these methods only.
pub(super) fn not_allowed(allowed: &'static str) -> Problem {
    Problem { allow: Some(allowed), ..Problem::from(Code::MethodNotAllowed) }
}

/// Who calls; the first question of every handler but one. The connection is this kind of caller's from now on.
///
/// # Errors
/// [`Code::Unauthorized`] for every reason alike; [`Code::Forbidden`] for a key that only reads; [`Code::Overloaded`] where callers of this
/// kind have no connection left.
pub fn caller(worker: &Worker, request: &HttpRequest) -> Result<Identity, Problem> {
    let caller = anyone(worker, request)?;
    match caller.role() {
        Role::Service | Role::Admin => Ok(caller),
        Role::Read => Err(Code::Forbidden.into()),
    }
}

/// The caller, if its key was made for reading.
///
/// # Errors
/// As [`caller`]; [`Code::Forbidden`] for every other key.
pub fn reader(worker: &Worker, request: &HttpRequest) -> Result<Identity, Problem> {
    let caller = anyone(worker, request)?;
    match caller.role() {
        Role::Read => Ok(caller),
        Role::Service | Role::Admin => Err(Code::Forbidden.into()),
    }
}

fn anyone(worker: &Worker, request: &HttpRequest) -> Result<Identity, Problem> {
    let mut given = request.headers().get_all(header::AUTHORIZATION);
    // Two headers are two claims; neither is believed.
    let caller = match (given.next(), given.next()) {
        (Some(value), None) => worker.shared().keys.authenticate(value.as_bytes()),
        _ => None,
    }
    .ok_or(Code::Unauthorized)?;
    let peer = if caller.is_admin() { Peer::Admin } else { Peer::Service };
    match request.conn_data::<Rc<Connection>>() {
        Some(connection) if !connection.recognise(peer) => Err(Code::Overloaded.into()),
        Some(_) | None => Ok(caller),
    }
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
/// [`Code::Frozen`], [`Code::Unavailable`], [`Code::Overloaded`].
pub fn room(worker: &Worker) -> Result<(), Problem> {
    unfrozen(worker)?;
    let queue = &worker.shared().queue;
    if queue.is_closed() {
        return Err(Code::Unavailable.into());
    }
    if queue.has_room() { Ok(()) } else { Err(Code::Overloaded.into()) }
}

/// As [`room`], for what fills the disk: what is kept of it is for others, and a key has what it was made for.
///
/// # Errors
/// As [`room`], and [`Code::DiskReserve`], [`Code::Quota`].
pub fn room_for(worker: &Worker, caller: &Identity) -> Result<(), Problem> {
    room(worker)?;
    if worker.shared().is_short() {
        return Err(Code::DiskReserve.into());
    }
    worker.shared().quotas.open(caller).map_err(Problem::owed)
}

/// Takes what a body asks for out of its key's quota.
///
/// # Errors
/// [`Code::Quota`]; nothing was taken then.
pub fn take(worker: &Worker, caller: &Identity, records: usize, bytes: usize) -> Result<(), Problem> {
    worker.shared().quotas.take(caller, records, bytes).map_err(Problem::owed)
}

/// Refuses whatever would be recorded behind a freeze.
///
/// # Errors
/// [`Code::Frozen`].
pub fn unfrozen(worker: &Worker) -> Result<(), Problem> {
    if worker.shared().live.load().frozen { Err(Code::Frozen.into()) } else { Ok(()) }
}

/// An answer out of either branch.
pub fn respond(result: Result<HttpResponse, Problem>) -> HttpResponse {
    result.unwrap_or_else(|problem| problem.response())
}

async fn unknown_path(worker: Data<Worker>, request: HttpRequest) -> HttpResponse {
    respond(caller(&worker, &request).and_then(|_| Err(Code::NotFound.into())))
}
