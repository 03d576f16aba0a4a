//! `GET /v1/decisions` and `GET /v1/decisions/{index | permit | leaf hash}`: decisions newest first, filtered by what is disclosed of them.
//!
//! Guarantees: stateless; a look is bounded (`browse/scan.rs`), says what it looked at, how many decisions it could not see into, and where to
//! go on: `next` in JSON, and a `Link` with `rel="next"` (RFC 8288) in every form. JSON, or CSV by `Accept: text/csv` or `?format=csv`.

use actix_web::http::header::{CONTENT_DISPOSITION, HeaderValue, LINK};
use actix_web::web::Data;
use actix_web::{HttpRequest, HttpResponse};
use base64::Engine;
use base64::engine::general_purpose::{STANDARD, URL_SAFE, URL_SAFE_NO_PAD};
use jiff::Timestamp;
use ledger::http::habits::{
    Code, JSON, Problem, Query, chosen_by_accept, find, fresh, fresh_json, last_segment, negotiate,
};
use serde::Serialize;
use verifier::decision::Condition;
use verifier::hash::Hash;
use verifier::text::unhex;

use super::Looking;
use super::view::DecisionView;
use crate::browse::{self, Filter, Looked, MAX_LIMIT};
use crate::engine;

/// Media type of RFC 4180.
pub(in crate::http) const CSV: &str = "text/csv; charset=utf-8; header=present";
/// Decisions in one answer, if nobody says how many.
const LIMIT: u64 = 50;
/// Bytes of a query: a few names of the longest kind, percent-encoded.
const MAX_QUERY: usize = 4_096;
/// Bytes of one text to look for: names in records are not longer.
pub(in crate::http) const MAX_TEXT: usize = 512;

const KNOWN: [&str; 16] = [
    "outcome",
    "realm",
    "condition",
    "commitment",
    "epoch",
    "subject",
    "action",
    "resource",
    "policy",
    "reason",
    "q",
    "from",
    "to",
    "before",
    "limit",
    "format",
];

/// What is asked for.
struct Asked {
    filter: Filter,
    times: (Option<u64>, Option<u64>),
    before: Option<u64>,
    limit: u64,
    media_type: &'static str,
}

#[derive(Serialize)]
struct Page<'a> {
    size: u64,
    results: Vec<DecisionView<'a>>,
    /// Decisions that may be wanted too: their details are not shown.
    unseen: u64,
    /// The indexes that were looked at: from the first, up to and without the second.
    scanned: (u64, u64),
    /// Where to go on, as `before`; `null` at the end.
    next: Option<u64>,
}

/// Some decisions.
pub(super) async fn list(request: HttpRequest, looking: Data<Looking>) -> Result<HttpResponse, Problem> {
    let Asked { filter, times, before, limit, media_type } = asked(&request)?;
    let reader = looking.teller.reader().clone();
    let looked = looking.look(move || browse::look(&reader, &filter, times, before, limit)).await?;
    let mut answer = if media_type == CSV {
        let mut answer = fresh(&request, CSV, browse::csv(&looked.found)).await?;
        let name = format!("attachment; filename=\"decisions-{}-{}.csv\"", looked.low, looked.high);
        if let Ok(name) = HeaderValue::try_from(name) {
            answer.headers_mut().insert(CONTENT_DISPOSITION, name);
        }
        answer
    } else {
        let Looked { size, found, unseen, low, high, next } = &looked;
        let results = found.iter().map(DecisionView::new).collect();
        let page = Page { size: *size, results, unseen: *unseen, scanned: (*low, *high), next: *next };
        fresh_json(&request, &page).await?
    };
    if let Some(link) = looked.next.and_then(|next| onward(&request, next)) {
        answer.headers_mut().insert(LINK, link);
    }
    Ok(chosen_by_accept(answer))
}

/// The same query from where this look ended. It was read by [`Query`], so that it holds nothing that ends the reference.
fn onward(request: &HttpRequest, next: u64) -> Option<HeaderValue> {
    let kept = request.query_string().split('&').filter(|pair| !pair.is_empty() && !pair.starts_with("before="));
    let query: Vec<&str> = kept.collect();
    let query = query.join("&");
    let more = if query.is_empty() { "" } else { "&" };
    HeaderValue::try_from(format!("</v1/decisions?{query}{more}before={next}>; rel=\"next\"")).ok()
}

/// One decision, by its index, its permit or its leaf's hash.
pub(super) async fn one(request: HttpRequest, looking: Data<Looking>) -> Result<HttpResponse, Problem> {
    Query::read(&request, &[])?;
    let reader = looking.teller.reader().clone();
    let index = find(&reader, last_segment(&request))?;
    let found = looking.look(move || browse::found(&reader, index)).await?;
    let found = found.ok_or_else(|| Problem::new(Code::UnknownId, format!("entry {index} is not a decision")))?;
    fresh_json(&request, &DecisionView::new(&found)).await
}

fn asked(request: &HttpRequest) -> Result<Asked, Problem> {
    let query = Query::read_within(request, &KNOWN, MAX_QUERY)?;
    let text = |name| match query.text(name)? {
        Some(text) if text.len() > MAX_TEXT => {
            Err(Problem::malformed(name, "at most 512 bytes, which names in records are not longer than"))
        }
        text => Ok(text),
    };
    let allowed = match text("outcome")?.as_deref() {
        None => None,
        Some("allow") => Some(true),
        Some("deny") => Some(false),
        Some(_) => return Err(Problem::malformed("outcome", "`allow` or `deny`")),
    };
    let condition = text("condition")?.map(|name| {
        let names =
            || Problem::malformed("condition", &format!("one of {}", Condition::ALL.map(Condition::name).join(", ")));
        Condition::named(&name).ok_or_else(names)
    });
    let reason = text("reason")?.map(|name| {
        let code = engine::Code::ALL.iter().map(|code| code.name()).find(|code| *code == name);
        code.ok_or_else(|| Problem::malformed("reason", "one of the codes that a condition can fail with"))
    });
    let limit = query.number("limit")?.unwrap_or(LIMIT);
    if !(1..=MAX_LIMIT).contains(&limit) {
        return Err(Problem::malformed("limit", &format!("a number from 1 to {MAX_LIMIT}")));
    }
    let media_type = match text("format")?.as_deref() {
        None => negotiate(request, &[JSON, CSV])?,
        Some("json") => JSON,
        Some("csv") => CSV,
        Some(_) => return Err(Problem::malformed("format", "`json` or `csv`")),
    };
    let commitment = text("commitment")?.map(|text| commitment(&text)).transpose()?;
    let filter = Filter {
        allowed,
        realm: text("realm")?,
        condition: condition.transpose()?,
        commitment,
        epoch: query.number("epoch")?,
        subject: text("subject")?,
        action: text("action")?,
        resource: text("resource")?,
        policy: text("policy")?,
        reason: reason.transpose()?,
        text: text("q")?,
    };
    let time = |name| text(name)?.map(|text| time(name, &text)).transpose();
    Ok(Asked { filter, times: (time("from")?, time("to")?), before: query.number("before")?, limit, media_type })
}

/// A commitment: 64 lower-case hex digits, or standard or URL-safe base64.
fn commitment(text: &str) -> Result<Hash, Problem> {
    let bytes = match text.len() {
        64 => unhex(text).ok(),
        43 => URL_SAFE_NO_PAD.decode(text).ok(),
        _ => STANDARD.decode(text).or_else(|_| URL_SAFE.decode(text)).ok(),
    };
    let hash = bytes.and_then(|bytes| Hash::from_slice(&bytes));
    hash.ok_or_else(|| Problem::malformed("commitment", "32 bytes as base64 or as lower-case hex digits"))
}

/// A time (RFC 3339) in Unix milliseconds.
fn time(name: &str, text: &str) -> Result<u64, Problem> {
    let time = text.parse::<Timestamp>().ok().and_then(|time| u64::try_from(time.as_millisecond()).ok());
    time.ok_or_else(|| Problem::malformed(name, "an RFC 3339 time after 1970"))
}
