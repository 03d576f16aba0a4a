//! AuthZEN Authorization API 1.0: `POST /access/v1/evaluation` and `/evaluations`.
//!
//! Guarantees: each evaluation that is answered is a recorded decision, and nothing else is: an item behind a short
//! circuit is neither evaluated nor recorded, an item that is no request is answered `false` and not recorded. Unknown
//! fields are ignored, as the standard demands, and left out of what is committed. `X-Request-ID` is echoed always.
//! Does not: carry a permit unless the caller sends `Interlock-Permit: include` (some clients compare whole answers).

use actix_web::http::header::{HeaderName, HeaderValue};
use actix_web::web::{Data, Payload};
use actix_web::{HttpRequest, HttpResponse};
use verifier::json::{Document, Json, Text};
use verifier::request::{MAX_REQUEST, Request};
use verifier::text::push_b64;

use super::body::{self, MAX_BODY, MAX_ITEMS};
use super::problem::{Code, Problem};
use super::routes::{caller, not_allowed, room_for, take};
use super::signature::SignedBody;
use crate::answer::{Style, Writer, push_string};
use crate::keys::Identity;
use crate::proposal::{Durable, Stop};
use crate::traces::{self, Step};
use crate::worker::{Asked, What, Worker, pause};

const REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");
const PERMIT: HeaderName = HeaderName::from_static("interlock-permit");
/// The fields of an evaluation, with the fields of each that are objects of known shape.
const FIELDS: [(&str, &[&str]); 4] = [
    ("subject", &["type", "id", "properties"]),
    ("action", &["name", "properties"]),
    ("resource", &["type", "id", "properties"]),
    ("context", &[]),
];

type Pairs = Vec<(Text, Json)>;

pub(super) async fn evaluation(worker: Data<Worker>, request: HttpRequest, payload: Payload) -> HttpResponse {
    let result = match read(&worker, &request, payload, MAX_REQUEST).await {
        Ok((caller, json, signed, _share)) => one(&worker, &request, &caller, &json, signed.as_ref()).await,
        Err(problem) => Err(problem),
    };
    respond(&request, result)
}

pub(super) async fn evaluations(worker: Data<Worker>, request: HttpRequest, payload: Payload) -> HttpResponse {
    let result = match read(&worker, &request, payload, MAX_BODY).await {
        Ok((caller, json, signed, _share)) => many(&worker, &request, &caller, &json, signed.as_ref()).await,
        Err(problem) => Err(problem),
    };
    respond(&request, result)
}

pub(super) async fn wrong_method(worker: Data<Worker>, request: HttpRequest) -> HttpResponse {
    respond(&request, caller(&worker, &request).and_then(|_| Err(not_allowed("POST"))))
}

pub(super) async fn metadata_is_read(request: HttpRequest) -> HttpResponse {
    respond(&request, Err(not_allowed("GET, HEAD")))
}

/// The metadata, without a key; none where nobody has told by which address clients come.
pub(super) async fn metadata(worker: Data<Worker>, request: HttpRequest) -> HttpResponse {
    let metadata = worker.shared().metadata.get().filter(|metadata| metadata.path == request.path());
    respond(&request, metadata.map(|metadata| metadata.body.clone()).ok_or(Code::NotFound.into()))
}

pub(super) fn respond(request: &HttpRequest, result: Result<String, Problem>) -> HttpResponse {
    let mut response = match result {
        Ok(body) => HttpResponse::Ok().content_type("application/json").body(body),
        // The bytes of a 401 are the same everywhere.
        Err(problem) if problem.code == Code::Unauthorized => problem.response(),
        Err(problem) => problem.authzen_response(),
    };
    if let Some(id) = request.headers().get(REQUEST_ID) {
        response.headers_mut().insert(REQUEST_ID, HeaderValue::clone(id));
    }
    response
}

pub(super) async fn read<'a>(
    worker: &'a Worker,
    request: &HttpRequest,
    payload: Payload,
    limit: usize,
) -> Result<(Identity, Json, Option<SignedBody>, body::Share<'a>), Problem> {
    let caller = caller(worker, request)?;
    room_for(worker, &caller)?;
    if !body::content_is(request, "application/json") {
        return Err(Code::ContentType.into());
    }
    let budget = &worker.shared().budget;
    let (body, share) = body::read(budget, &caller, request, payload, limit, body::BODY_DEADLINE).await?;
    take(worker, &caller, 0, body.len())?;
    if body.is_empty() {
        return Err(Code::EmptyBody.into());
    }
    let signed = SignedBody::of(request, &body)?;
    let _parsing = traces::step(Step::Parse);
    match Json::parse(&body)? {
        json @ Json::Object(_) => Ok((caller, json, signed, share)),
        other => {
            Err(Problem::from(Code::WrongType).because(format!("the body must be an object, not {}", other.kind())))
        }
    }
}

async fn one(
    worker: &Worker,
    request: &HttpRequest,
    caller: &Identity,
    json: &Json,
    signed: Option<&SignedBody>,
) -> Result<String, Problem> {
    take(worker, caller, 1, 0)?;
    let signed = signed.map(|signed| signed.item(0));
    let asked = vec![Asked { what: What::Parsed(Box::new(evaluated(json, None)?)), signed }];
    let durable = worker.decide(caller, asked, Stop::Never).await?;
    let _answering = traces::step(Step::Answer);
    let mut out = String::new();
    let durable = durable.first().ok_or(Code::Unavailable)?;
    push_decision(&mut out, worker, request, durable, 0)?;
    Ok(out)
}

async fn many(
    worker: &Worker,
    request: &HttpRequest,
    caller: &Identity,
    json: &Json,
    signed: Option<&SignedBody>,
) -> Result<String, Problem> {
    let wrong = |what: &str| Problem::from(Code::WrongType).because(what.into());
    let items = match json.get("evaluations") {
        None => return one(worker, request, caller, json, signed).await,
        Some(Json::Array(items)) if items.is_empty() => return one(worker, request, caller, json, signed).await,
        Some(Json::Array(items)) if items.len() > MAX_ITEMS => return Err(Code::TooManyItems.into()),
        Some(Json::Array(items)) => items,
        Some(_) => return Err(wrong("`/evaluations` must be an array")),
    };
    let stop = match json.get("options") {
        None => Stop::Never,
        Some(options @ Json::Object(_)) => match options.get("evaluations_semantic") {
            None => Stop::Never,
            Some(Json::String(semantic)) => match semantic.as_str() {
                "execute_all" => Stop::Never,
                "deny_on_first_deny" => Stop::AfterDeny,
                "permit_on_first_permit" => Stop::AfterAllow,
                _ => return Err(Problem::from(Code::InvalidValue).because("unknown `evaluations_semantic`".into())),
            },
            Some(_) => return Err(wrong("`/options/evaluations_semantic` must be a string")),
        },
        Some(_) => return Err(wrong("`/options` must be an object")),
    };
    check_defaults(json)?;
    take(worker, caller, items.len(), 0)?;
    let parsing = traces::step(Step::Parse);
    let turn = worker.turn_in_time(items.len()).await?;
    let mut entries: Vec<Result<Request, Problem>> = Vec::with_capacity(items.len());
    for item in items {
        pause(entries.len().max(1)).await;
        entries.push(evaluated(item, Some(json)));
    }
    if stop == Stop::AfterDeny
        && let Some(bad) = entries.iter().position(Result::is_err)
    {
        // What is no request is denied, and what comes behind a denial is not evaluated.
        entries.truncate(bad + 1);
    }
    let asked = entries
        .iter()
        .enumerate()
        .filter_map(|(n, entry)| Some((n, entry.as_ref().ok()?)))
        .map(|(n, request)| Asked {
            what: What::Parsed(Box::new(request.clone())),
            signed: signed.map(|signed| signed.item(n)),
        })
        .collect();
    drop((turn, parsing));
    let durables = worker.decide(caller, asked, stop).await?;
    let _answering = traces::step(Step::Answer);
    let _turn = worker.turn(entries.len()).await;
    let mut decided = durables.iter().flat_map(|durable| (0..durable.items().len()).map(move |n| (durable, n)));
    let mut out = String::from(r#"{"evaluations":["#);
    for (n, entry) in entries.iter().enumerate() {
        pause(n.max(1)).await;
        let separator = if n > 0 { "," } else { "" };
        match entry {
            Err(problem) => {
                out.push_str(separator);
                push_error(&mut out, problem);
            }
            Ok(_) => {
                let Some((durable, at)) = decided.next() else { break };
                out.push_str(separator);
                push_decision(&mut out, worker, request, durable, at)?;
                let allowed = durable.items().get(at).is_some_and(|(_, place)| place.is_allowed());
                match stop {
                    Stop::AfterDeny if !allowed => break,
                    Stop::AfterAllow if allowed => break,
                    Stop::Never | Stop::AfterDeny | Stop::AfterAllow => {}
                }
            }
        }
    }
    out.push_str("]}");
    Ok(out)
}

fn push_decision(
    out: &mut String,
    worker: &Worker,
    request: &HttpRequest,
    durable: &Durable,
    n: usize,
) -> Result<(), Problem> {
    let allowed = durable.items().get(n).is_some_and(|(_, place)| place.is_allowed());
    out.push_str(if allowed { r#"{"decision":true"# } else { r#"{"decision":false"# });
    if request.headers().get(PERMIT).is_some_and(|value| value == "include") {
        out.push_str(r#","context":{"permit":"#);
        let writer = Writer { reader: &worker.shared().reader, style: Style::default(), desk: worker.desk() };
        writer.item(out, durable, n).map_err(|_| Code::Unavailable)?;
        if let Some((item, _)) = durable.items().get(n) {
            // The permit is for these bytes: what was evaluated, without what the schema does not declare.
            out.push_str(r#","request":""#);
            push_b64(out, &item.committed);
            out.push('"');
        }
        out.push('}');
    }
    out.push('}');
    Ok(())
}

fn push_error(out: &mut String, problem: &Problem) {
    out.push_str(r#"{"decision":false,"context":{"error":{"status":400,"message":"#);
    push_string(out, &problem.message());
    out.push_str("}}}");
}

/// One evaluation as a request: known fields only; a field of the item replaces the whole default.
pub(super) fn evaluated(item: &Json, defaults: Option<&Json>) -> Result<Request, Problem> {
    let Json::Object(_) = item else {
        return Err(Problem::from(Code::WrongType).because("an evaluation must be an object".into()));
    };
    let mut pairs = Pairs::new();
    for (field, known) in FIELDS {
        let given = item.get(field).or_else(|| defaults.and_then(|defaults| defaults.get(field)));
        if let Some(value) = given {
            pairs.push(((*field).into(), known_only(value, known)));
        }
    }
    Ok(Request::from_document(&Document::from(&Json::Object(pairs)))?)
}

fn known_only(value: &Json, known: &[&str]) -> Json {
    match value {
        Json::Object(pairs) if !known.is_empty() => {
            Json::Object(pairs.iter().filter(|(name, _)| known.contains(&name.as_str())).cloned().collect())
        }
        other => other.clone(),
    }
}

/// Defaults must be well-formed where they are given, whether or not an item uses them.
fn check_defaults(json: &Json) -> Result<(), Problem> {
    let text = |text: &str| Json::String(text.into());
    let stand_in = |name: &str| match name {
        "action" => Json::Object(vec![("name".into(), text("-"))]),
        "context" => Json::Object(Pairs::new()),
        _ => Json::Object(vec![("type".into(), text("-")), ("id".into(), text("-"))]),
    };
    let whole =
        FIELDS.iter().map(|(field, _)| (Text::new(field), json.get(field).cloned().unwrap_or_else(|| stand_in(field))));
    evaluated(&Json::Object(whole.collect()), None).map(drop)
}
