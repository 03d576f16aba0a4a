//! `GET /v1/lineage/{permit}` on the public listener: a permit's ancestors and descendants, each with its present state.
//!
//! Guarantees: no key is asked for and nothing is shown that the log does not disclose; one look at a time, the others come again. An
//! archive, whose acts of governance nobody has checked, tells of a permit only what its own record and the time tell, and says of how many
//! it knows no more. Does not: say that an execution ran; a state is what the log tells of a permit.

use std::sync::Arc;

use actix_web::http::Method;
use actix_web::http::header::{ACCESS_CONTROL_ALLOW_ORIGIN, CACHE_CONTROL, X_CONTENT_TYPE_OPTIONS};
use actix_web::web::{self, Data, Path, ServiceConfig};
use actix_web::{HttpRequest, HttpResponse};
use ledger::Reader;
use serde_json::{Value, json};
use tokio::sync::{Semaphore, oneshot};
use verifier::decision::PermitId;
use verifier::text::{decimal, rfc3339};

use super::problem::{Code, Problem};
use super::routes::{not_allowed, respond};
use crate::clock::Source;
use crate::lineage::{self, Lineage, Node};
use crate::live::Shared;
use crate::present::Survey;
use crate::proposal::Work;
use crate::queue::Load;
use crate::self_audit::SelfAudits;
use crate::worker::ANSWER_DEADLINE;

/// Looks that are under way at once: each reads up to a thousand records for somebody who has no key.
const AT_ONCE: usize = 1;

/// Who says how permits stand now.
#[derive(Clone)]
pub(crate) enum Teller {
    /// The sequencer, over the fold of the log.
    Service(Arc<Shared>),
    /// Nobody: there are records and a time.
    Archive(Reader, Arc<dyn Source>, Arc<SelfAudits>),
}

impl Teller {
    pub(super) fn reader(&self) -> &Reader {
        match self {
            Teller::Service(shared) => &shared.reader,
            Teller::Archive(reader, ..) => reader,
        }
    }

    /// The time, Unix milliseconds.
    pub(super) fn now_ms(&self) -> u64 {
        match self {
            Teller::Service(shared) => shared.now().at_ms,
            Teller::Archive(_, clock, _) => clock.wall_ms(),
        }
    }

    /// What the log's own audits came to.
    pub(super) fn audits(&self) -> &SelfAudits {
        match self {
            Teller::Service(shared) => &shared.audits,
            Teller::Archive(_, _, audits) => audits,
        }
    }
}

/// What an archive says of a permit that has not run out: whether it was revoked, halted or closed, it has not looked.
const UNKNOWN: &str = "unknown";

struct Looking {
    teller: Teller,
    permits: Semaphore,
}

/// Puts the path into an app, before the read API, which answers every other path.
pub(super) fn configure(config: &mut ServiceConfig, teller: Teller) {
    let looking = Data::new(Looking { teller, permits: Semaphore::new(AT_ONCE) });
    config.service(web::resource("/v1/lineage/{permit}").app_data(looking).default_service(web::route().to(show)));
}

async fn show(looking: Data<Looking>, request: HttpRequest, permit: Path<String>) -> HttpResponse {
    let mut response = respond(match *request.method() {
        Method::GET | Method::HEAD => answer(&looking, &request, &permit).await,
        _ => Err(not_allowed("GET, HEAD")),
    });
    let headers = response.headers_mut();
    for (name, value) in
        [(ACCESS_CONTROL_ALLOW_ORIGIN, "*"), (X_CONTENT_TYPE_OPTIONS, "nosniff"), (CACHE_CONTROL, "no-store")]
    {
        headers.insert(name, actix_web::http::header::HeaderValue::from_static(value));
    }
    response
}

async fn answer(looking: &Looking, request: &HttpRequest, permit: &str) -> Result<HttpResponse, Problem> {
    let permit: PermitId = permit.parse().map_err(|_| Code::NotFound)?;
    let from = match request.query_string() {
        "" => None,
        query => Some(query.strip_prefix("from=").and_then(|from| decimal(from).ok()).ok_or(Code::InvalidQuery)?),
    };
    let _one = looking.permits.try_acquire().map_err(|_| Code::Overloaded)?;
    let reader = looking.teller.reader().clone();
    // Reads files; whatever else this listener serves goes on meanwhile.
    let found = web::block(move || lineage::of(&reader, &permit, from)).await.map_err(|_| Code::Unavailable)?;
    let lineage = found.map_err(|_| Code::Unavailable)?.ok_or(Code::NotFound)?;
    let states = states(&looking.teller, &lineage).await?;
    let unknown = states.iter().filter(|state| **state == UNKNOWN).count();
    let Lineage { size, ancestors, node, descendants, hidden, next } = &lineage;
    let mut states = states.into_iter();
    let mut show = |node: &Node| shown(node, states.next().unwrap_or(UNKNOWN));
    let ancestors: Vec<Value> = ancestors.iter().map(&mut show).collect();
    let node = show(node);
    let descendants: Vec<Value> = descendants.iter().map(&mut show).collect();
    Ok(HttpResponse::Ok().json(json!({
        "permit": permit.to_string(), "size": size, "ancestors": ancestors, "node": node, "descendants": descendants, "next": next,
        "hidden": hidden, "unknown": unknown,
    })))
}

/// The present state of each node, ancestors first: only the sequencer knows all of it.
async fn states(teller: &Teller, lineage: &Lineage) -> Result<Vec<&'static str>, Problem> {
    let nodes = lineage.ancestors.iter().chain([&lineage.node]).chain(&lineage.descendants);
    let permits = nodes.map(|node| (node.decision.permit, node.decision.grant.map(|grant| grant.expires_at)));
    let shared = match teller {
        Teller::Service(shared) => shared,
        Teller::Archive(_, clock, _) => {
            let now = clock.wall_ms();
            let tell = |(_, expires_at): (PermitId, Option<u64>)| match expires_at {
                None => "denied",
                Some(expires_at) if expires_at <= now => "expired",
                Some(_) => UNKNOWN,
            };
            return Ok(permits.map(tell).collect());
        }
    };
    let permits = permits.collect();
    let (reply, answer) = oneshot::channel();
    let pushed = shared.queue.push(Work::Survey(Survey { permits, reply }), Load::default());
    pushed.map_err(|_| Code::Overloaded)?;
    match tokio::time::timeout(ANSWER_DEADLINE, answer).await {
        Ok(Ok(states)) => Ok(states),
        Ok(Err(_)) | Err(_) => Err(Code::Unavailable.into()),
    }
}

fn shown(node: &Node, state: &str) -> Value {
    let Node { index, decision, detail } = node;
    let common = json!({
        "permit": decision.permit.to_string(), "index": index, "state": state,
        "recorded_at": rfc3339(decision.recorded_at),
        "expires_at": decision.grant.map(|grant| rfc3339(grant.expires_at)),
        "lease_ends_at": decision.grant.and_then(|grant| grant.lease_ends_at).map(rfc3339),
        "realm": decision.realm, "audience": decision.audience,
        "proof": format!("/v1/receipts/{index}"),
    });
    let more = match detail {
        Ok(detail) => json!({
            "parent": detail.parent.map(|parent| parent.to_string()),
            "subject": { "type": detail.subject.0, "id": detail.subject.1 },
            "action": detail.action,
            "resource": { "type": detail.resource.0, "id": detail.resource.1 },
            "scopes": detail.scopes,
            "delegates": detail.delegates,
        }),
        Err(why) => json!({ (why.name()): true, "request": decision.request, "detail": decision.detail }),
    };
    match (common, more) {
        (Value::Object(mut common), Value::Object(more)) => {
            common.extend(more);
            Value::Object(common)
        }
        (common, _) => common,
    }
}
