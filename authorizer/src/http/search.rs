//! AuthZEN Authorization API 1.0, the three searches: `POST /access/v1/search/{subject,resource,action}`.
//!
//! Candidates are the entities that the epoch registers and the actions that it knows; each is tried as an evaluation would be, in the
//! order of names, a page at a time.
//!
//! Guarantees: what is found would be allowed by the worker's conditions and the switches at that moment; a token continues the search that
//! it came from, under the same epoch, and no other. Does not: record anything, or grant anything; count; look at parents or amounts.

use actix_web::web::{Data, Payload};
use actix_web::{HttpRequest, HttpResponse};
use sha2::{Digest, Sha256};
use verifier::json::{Json, Text};
use verifier::request::{MAX_REQUEST, Request};
use verifier::text::hex;

use super::authzen::{evaluated, read, respond};
use super::problem::{Code, Problem};
use crate::answer::push_string;
use crate::engine::Catalogue;
use crate::keys::Identity;
use crate::worker::{SLICE, Worker};

/// Results of one page, at most; and as many if nothing is asked for.
const MAX_RESULTS: usize = 1_000;
/// Candidates that one call tries: 4,096 evaluations, as many as a body may have.
const MAX_TRIED: usize = 4_096;

/// What is searched for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Wanted {
    Subject,
    Resource,
    Action,
}

pub(super) async fn subject(worker: Data<Worker>, request: HttpRequest, payload: Payload) -> HttpResponse {
    respond(&request, search(&worker, &request, payload, Wanted::Subject).await)
}

pub(super) async fn resource(worker: Data<Worker>, request: HttpRequest, payload: Payload) -> HttpResponse {
    respond(&request, search(&worker, &request, payload, Wanted::Resource).await)
}

pub(super) async fn action(worker: Data<Worker>, request: HttpRequest, payload: Payload) -> HttpResponse {
    respond(&request, search(&worker, &request, payload, Wanted::Action).await)
}

async fn search(worker: &Worker, request: &HttpRequest, payload: Payload, wanted: Wanted) -> Result<String, Problem> {
    let (caller, json, _, _share) = read(worker, request, payload, MAX_REQUEST).await?;
    let template = wanted.template(&json)?;
    let (epoch, catalogue) = worker.catalogue()?;
    let page = Page::read(&json, wanted, epoch)?;
    let names = wanted.candidates(&catalogue, &template);
    let _turn = worker.turn_in_time(names.len().saturating_sub(page.from)).await?;
    let found = find(worker, &caller, epoch, &page, names, |name| wanted.request(&template, name)).await?;
    Ok(wanted.answer(&template, &page, &found))
}

/// What one call found, and where the next one goes on.
struct Found<'a> {
    names: Vec<&'a str>,
    next: Option<usize>,
}

async fn find<'a>(
    worker: &Worker,
    caller: &Identity,
    epoch: u64,
    page: &Page,
    names: &'a [String],
    request: impl Fn(&str) -> Request,
) -> Result<Found<'a>, Problem> {
    let mut found = Vec::new();
    let mut at = page.from;
    let end = names.len().min(page.from.saturating_add(MAX_TRIED));
    while at < end && found.len() < page.limit {
        let some = names.get(at..end.min(at.saturating_add(SLICE))).unwrap_or_default();
        let would = worker.would_allow(caller, epoch, some.iter().map(|name| request(name)).collect())?;
        for (name, would) in some.iter().zip(would) {
            if found.len() == page.limit {
                break;
            }
            at = at.saturating_add(1);
            if would {
                found.push(name.as_str());
            }
        }
        tokio::task::yield_now().await;
    }
    // Whoever wants no result is not sent round for ever.
    Ok(Found { names: found, next: (at < names.len() && page.limit > 0).then_some(at) })
}

impl Wanted {
    const fn field(self) -> &'static str {
        match self {
            Self::Subject => "subject",
            Self::Resource => "resource",
            Self::Action => "action",
        }
    }

    /// The evaluation that is asked about, with a stand-in for what is searched for.
    fn template(self, json: &Json) -> Result<Request, Problem> {
        let Json::Object(pairs) = json else { return Err(Code::WrongType.into()) };
        let stand_in = |name: &str| Json::String(name.into());
        let mut pairs: Vec<(Text, Json)> = pairs.clone();
        if self == Self::Action {
            pairs.retain(|(name, _)| name != "action");
            pairs.push(("action".into(), Json::Object(vec![("name".into(), stand_in("-"))])));
        } else if let Some((_, Json::Object(entity))) = pairs.iter_mut().find(|(name, _)| name == self.field()) {
            entity.retain(|(name, _)| name != "id");
            entity.push(("id".into(), stand_in("-")));
        }
        evaluated(&Json::Object(pairs), None)
    }

    fn candidates<'a>(self, catalogue: &'a Catalogue, template: &Request) -> &'a [String] {
        match self {
            Self::Subject => catalogue.entities(&template.subject.kind),
            Self::Resource => catalogue.entities(&template.resource.kind),
            Self::Action => catalogue.actions(),
        }
    }

    fn request(self, template: &Request, name: &str) -> Request {
        let mut request = template.clone();
        match self {
            Self::Subject => request.subject.id = name.into(),
            Self::Resource => request.resource.id = name.into(),
            Self::Action => request.action.name = name.into(),
        }
        request
    }

    fn answer(self, template: &Request, page: &Page, found: &Found<'_>) -> String {
        let mut out = String::from("{");
        if page.asked || found.next.is_some() {
            out.push_str(r#""page":{"next_token":"#);
            push_string(&mut out, &found.next.map_or(String::new(), |next| page.token(next)));
            out.push_str(&format!(r#","count":{}}},"#, found.names.len()));
        }
        out.push_str(r#""results":["#);
        for (n, name) in found.names.iter().enumerate() {
            out.push_str(if n > 0 { "," } else { "" });
            let kind = match self {
                Self::Subject => Some(&template.subject.kind),
                Self::Resource => Some(&template.resource.kind),
                Self::Action => None,
            };
            if let Some(kind) = kind {
                out.push_str(r#"{"type":"#);
                push_string(&mut out, kind);
                out.push_str(r#","id":"#);
            } else {
                out.push_str(r#"{"name":"#);
            }
            push_string(&mut out, name);
            out.push('}');
        }
        out.push_str("]}");
        out
    }
}

/// Which part of the results is asked for.
struct Page {
    from: usize,
    limit: usize,
    /// The caller knows of pages.
    asked: bool,
    /// What a token of this search begins with: the epoch, and a digest of everything else in the body.
    search: String,
}

impl Page {
    fn read(json: &Json, wanted: Wanted, epoch: u64) -> Result<Self, Problem> {
        let wrong = |what: &str| Problem::from(Code::WrongType).because(what.to_owned());
        let page = match json.get("page") {
            None => None,
            Some(page @ Json::Object(_)) => Some(page),
            Some(_) => return Err(wrong("`/page` must be an object")),
        };
        let limit = match page.and_then(|page| page.get("limit")) {
            None => MAX_RESULTS,
            Some(Json::Int(limit)) => {
                let limit = usize::try_from(*limit);
                limit
                    .map_err(|_| Problem::from(Code::InvalidValue).because("`/page/limit` is negative".to_owned()))?
                    .min(MAX_RESULTS)
            }
            Some(_) => return Err(wrong("`/page/limit` must be an integer")),
        };
        let search = format!("{epoch}.{}", digest(json, wanted));
        let from = match page.and_then(|page| page.get("token")) {
            None => 0,
            Some(Json::String(token)) if token.is_empty() => 0,
            Some(Json::String(token)) => {
                let place = token.strip_prefix(&search).and_then(|rest| rest.strip_prefix('.')).map(str::parse);
                let Some(Ok(from)) = place else {
                    let why = "`/page/token` is not of this search under the epoch in force: begin again without it";
                    return Err(Problem::from(Code::InvalidValue).because(why.to_owned()));
                };
                from
            }
            Some(_) => return Err(wrong("`/page/token` must be a string")),
        };
        Ok(Self { from, limit, asked: page.is_some(), search })
    }

    fn token(&self, next: usize) -> String {
        format!("{}.{next}", self.search)
    }
}

/// Of everything in a body but the token, which is what the standard allows to change from page to page.
fn digest(json: &Json, wanted: Wanted) -> String {
    let mut body = json.clone();
    if let Json::Object(pairs) = &mut body
        && let Some((_, Json::Object(page))) = pairs.iter_mut().find(|(name, _)| name == "page")
    {
        page.retain(|(name, _)| name != "token");
        if page.is_empty() {
            // Whoever did not speak of pages was given a token all the same.
            pairs.retain(|(name, _)| name != "page");
        }
    }
    let text = serde_json_canonicalizer::to_vec(&body).unwrap_or_default();
    let digest = Sha256::new().chain_update(wanted.field()).chain_update([0]).chain_update(text).finalize();
    hex(digest.get(..16).unwrap_or_default())
}
