//! `POST /v1/sandbox/decisions` and `GET /v1/sandbox/samples` on the public listener (DESIGN §7.2): strangers try their own policies.
//!
//! Guarantees: no key is asked for; who may not come in now is told so before a byte of the body is read; a body is of one content type, so
//! that another site's page cannot send one without asking, and asking is not answered. Where the sandbox is off, both paths say so with a code
//! of their own. Does not: decide; `crate::sandbox` does, and of the service nothing is within its reach.

use std::net::{IpAddr, Ipv4Addr};
use std::sync::Arc;

use actix_web::http::Method;
use actix_web::http::header::{
    ACCESS_CONTROL_ALLOW_ORIGIN, CACHE_CONTROL, HeaderName, HeaderValue, X_CONTENT_TYPE_OPTIONS,
};
use actix_web::web::{self, Data, Payload, ServiceConfig};
use actix_web::{HttpRequest, HttpResponse};

use super::body::{self, BODY_DEADLINE, Budget};
use super::problem::{Code, Problem};
use super::routes::{not_allowed, respond};
use crate::sandbox::{Asked, MAX_BODY, NotIn, Refused, Sandbox};

const JSON: &str = "application/json";
/// Whose bodies these are, in the budget of the sandbox alone.
const STRANGER: &str = "stranger";

/// What both paths have.
struct Place {
    sandbox: Option<Arc<Sandbox>>,
    budget: Budget,
}

/// Puts the paths into an app, before the read API, which answers every other path.
pub(super) fn configure(config: &mut ServiceConfig, sandbox: Option<Arc<Sandbox>>) {
    let place = Data::new(Place { sandbox, budget: Budget::default() });
    let at = |path: &str| web::resource(path).app_data(place.clone());
    config.service(at("/v1/sandbox/decisions").default_service(web::route().to(decide)));
    config.service(at("/v1/sandbox/samples").default_service(web::route().to(samples)));
}

async fn decide(place: Data<Place>, request: HttpRequest, payload: Payload) -> HttpResponse {
    with(respond(answer(&place, &request, payload).await), &[(CACHE_CONTROL, "no-store")])
}

async fn answer(place: &Place, request: &HttpRequest, payload: Payload) -> Result<HttpResponse, Problem> {
    let sandbox = place.sandbox.as_ref().ok_or(Code::SandboxOff)?;
    if request.method() != Method::POST {
        return Err(not_allowed("POST"));
    }
    if !request.query_string().is_empty() {
        return Err(Code::InvalidQuery.into());
    }
    if !body::content_is(request, JSON) {
        return Err(Code::ContentType.into());
    }
    let peer = request.peer_addr().map_or(IpAddr::V4(Ipv4Addr::UNSPECIFIED), |peer| peer.ip());
    let inside = sandbox.enter(peer)?;
    let (body, _share) = body::read_as(&place.budget, STRANGER, request, payload, MAX_BODY, BODY_DEADLINE).await?;
    let asked = Asked::read(&body)?;
    drop(body);
    let answer = sandbox.decide(&inside, asked).await?;
    Ok(HttpResponse::Ok().content_type(JSON).body(answer))
}

async fn samples(place: Data<Place>, request: HttpRequest) -> HttpResponse {
    let found = match (&place.sandbox, request.method()) {
        (None, _) => Err(Code::SandboxOff.into()),
        (Some(_), _) if !request.query_string().is_empty() => Err(Code::InvalidQuery.into()),
        (Some(sandbox), &Method::GET | &Method::HEAD) => Ok(HttpResponse::Ok().json(sandbox.samples())),
        (Some(_), _) => Err(not_allowed("GET, HEAD")),
    };
    with(respond(found), &[(CACHE_CONTROL, "no-store"), (ACCESS_CONTROL_ALLOW_ORIGIN, "*")])
}

fn with(mut response: HttpResponse, headers: &[(HeaderName, &'static str)]) -> HttpResponse {
    for (name, value) in headers.iter().chain([&(X_CONTENT_TYPE_OPTIONS, "nosniff")]) {
        response.headers_mut().insert(name.clone(), HeaderValue::from_static(value));
    }
    response
}

impl From<NotIn> for Problem {
    fn from(not: NotIn) -> Self {
        match not {
            NotIn::Full => Code::SandboxBusy.into(),
            NotIn::Often(wait) => Problem { code: Code::SandboxQuota, ..Problem::owed(wait) },
        }
    }
}

impl From<Refused> for Problem {
    fn from(refused: Refused) -> Self {
        match refused {
            Refused::Body(why) => Problem::from(Code::InvalidJson).because(why),
            Refused::NoSample => Code::UnknownSample.into(),
            Refused::TooLong { name, limit } => {
                Problem::from(Code::SandboxTooLarge).because(format!("`{name}` has more than {limit} bytes"))
            }
            Refused::Content(error) => error.into(),
            // One request: no item of a body has to be named.
            Refused::NoAnswer(none) => Problem { item: None, ..Problem::from(none) },
            Refused::Full => Code::SandboxBusy.into(),
            Refused::Late => Code::SandboxTimeout.into(),
            Refused::Broken => Code::SandboxUnavailable.into(),
        }
    }
}
