//! How answers leave: media types, validators, and how long they may be kept.
//!
//! Guarantees: what is called immutable is a pure function of log key and path (a tile, a bundle, an entry), so its ETag is made of these
//! and of the coding, and is known before the body is read; a page of entries that the log's growth leaves as it is has the ETag of its body
//! and may be kept for a day; everything else is revalidated on every use. `Vary` names every header that
//! chose the answer.

use std::rc::Rc;

use actix_web::http::header::{self, HeaderMap, HeaderValue};
use actix_web::web::Bytes;
use actix_web::{HttpRequest, HttpResponse, HttpResponseBuilder};
use serde::Serialize;
use verifier::hash::sha256;
use verifier::text::hex;

use super::coding::{Cache, Coding, Matter, choose};
use super::problem::{Code, Problem};
use crate::Reader;

/// JSON.
pub const JSON: &str = "application/json";
/// A page.
pub const HTML: &str = "text/html; charset=utf-8";
/// Plain text.
pub(super) const TEXT: &str = "text/plain; charset=utf-8";
/// Bytes.
pub(super) const OCTETS: &str = "application/octet-stream";
/// One record.
pub(super) const CBOR: &str = "application/cbor";

/// A COSE receipt (RFC 9942).
pub(super) const COSE: &str = verifier::cose::MEDIA_TYPE;

/// An evidence bundle.
pub(super) const BUNDLE: &str = verifier::bundle::MEDIA_TYPE;

/// Never changes, and is wanted for as long as the log is read: a year, as long as caches keep anything.
pub(super) const FOR_EVER: &str = "public, max-age=31536000, immutable";
/// Never changes, but something fuller will stand beside it soon: a partial tile. A day spares caches what nobody asks for again.
pub(super) const FOR_A_DAY: &str = "public, max-age=86400, immutable";
/// May be kept, must be asked about each time.
pub(super) const REVALIDATE: &str = "no-cache";

/// Something that never changes at its path.
pub(super) struct Immutable {
    /// How long it may be kept.
    pub(super) keep: &'static str,
    pub(super) media_type: &'static str,
    pub(super) matter: Matter,
}

impl Immutable {
    /// Answers, or 304 without reading it.
    pub(super) async fn answer(
        self,
        request: &HttpRequest,
        reader: &Reader,
        body: impl FnOnce() -> Result<Vec<u8>, Problem>,
    ) -> Result<HttpResponse, Problem> {
        let coding = choose(request.headers(), self.matter).ok_or_else(no_coding)?;
        let path = request.uri().path();
        // The key's id tells one log from another that once stood at the same address.
        let tag = format!("\"{}{path}{}\"", hex(&reader.verifier_key().id()), coding.mark());
        let mut answer = match begin(request, tag, self.keep, coding) {
            Begun::Unchanged(answer) => return Ok(answer),
            Begun::Open(answer) => answer,
        };
        let cache = request.app_data::<Rc<Cache>>().filter(|_| coding != Coding::Identity);
        let bytes = match cache.and_then(|cache| cache.get(path, coding)) {
            Some(bytes) => bytes,
            None => {
                let bytes = Bytes::from(coding.apply(body()?).await.map_err(no_compression)?);
                if let Some(cache) = cache {
                    cache.put(path, coding, &bytes);
                }
                bytes
            }
        };
        Ok(answer.insert_header((header::CONTENT_TYPE, self.media_type)).body(bytes))
    }
}

/// Answers with something that may be another thing tomorrow.
///
/// # Errors
/// [`Code::NotAcceptable`], [`Code::Unavailable`].
pub async fn fresh(
    request: &HttpRequest,
    media_type: &'static str,
    body: impl Into<Vec<u8>>,
) -> Result<HttpResponse, Problem> {
    kept(request, REVALIDATE, media_type, body.into()).await
}

/// As [`fresh`], kept for so long.
async fn kept(
    request: &HttpRequest,
    keep: &'static str,
    media_type: &'static str,
    body: Vec<u8>,
) -> Result<HttpResponse, Problem> {
    // Half of a bundle is hashes, and of what is large each second of compressing is somebody else's.
    let matter = if [COSE, BUNDLE].contains(&media_type) { Matter::Dense } else { Matter::of(body.len()) };
    let coding = choose(request.headers(), matter).ok_or_else(no_coding)?;
    let digest = sha256(&body);
    let tag = format!("\"{}{}\"", hex(digest.0.first_chunk::<16>().map_or(&[], |half| half)), coding.mark());
    match begin(request, tag, keep, coding) {
        Begun::Unchanged(answer) => Ok(answer),
        Begun::Open(mut answer) => {
            let bytes = coding.apply(body).await.map_err(no_compression)?;
            Ok(answer.insert_header((header::CONTENT_TYPE, media_type)).body(bytes))
        }
    }
}

/// Answers with what stays the same while this program runs: a file of the pages. Its validator is made of its digest, which was computed
/// once; it may be another one after an update, so it is asked about each time.
pub(super) async fn steady(
    request: &HttpRequest,
    media_type: &'static str,
    digest: &str,
    body: Bytes,
) -> Result<HttpResponse, Problem> {
    let coding = choose(request.headers(), Matter::of(body.len())).ok_or_else(no_coding)?;
    let tag = format!("\"{digest}{}\"", coding.mark());
    let mut answer = match begin(request, tag, REVALIDATE, coding) {
        Begun::Unchanged(answer) => return Ok(answer),
        Begun::Open(answer) => answer,
    };
    let path = request.uri().path();
    let cache = request.app_data::<Rc<Cache>>().filter(|_| coding != Coding::Identity);
    let bytes = match cache.and_then(|cache| cache.get(path, coding)) {
        Some(bytes) => bytes,
        None if coding == Coding::Identity => body,
        None => {
            let bytes = Bytes::from(coding.apply(body.to_vec()).await.map_err(no_compression)?);
            if let Some(cache) = cache {
                cache.put(path, coding, &bytes);
            }
            bytes
        }
    };
    Ok(answer.insert_header((header::CONTENT_TYPE, media_type)).body(bytes))
}

/// An answer with its validator.
enum Begun {
    /// The client has it: 304, whole.
    Unchanged(HttpResponse),
    /// 200, for a body.
    Open(HttpResponseBuilder),
}

fn begin(request: &HttpRequest, tag: String, keep: &'static str, coding: Coding) -> Begun {
    let unchanged = matches(request.headers(), &tag);
    let mut answer = if unchanged { HttpResponse::NotModified() } else { HttpResponse::Ok() };
    answer
        .insert_header((header::CACHE_CONTROL, keep))
        .insert_header((header::ETAG, tag))
        .insert_header((header::VARY, "Accept-Encoding"));
    if unchanged {
        return Begun::Unchanged(answer.finish());
    }
    if let Some(token) = coding.token() {
        answer.insert_header((header::CONTENT_ENCODING, token));
    }
    Begun::Open(answer)
}

/// Tells caches that `Accept` chose the form, beside the coding.
#[must_use]
pub fn chosen_by_accept(mut answer: HttpResponse) -> HttpResponse {
    answer.headers_mut().insert(header::VARY, HeaderValue::from_static("Accept, Accept-Encoding"));
    answer
}

fn no_coding() -> Problem {
    Problem::new(Code::NotAcceptable, "this can be had as it is, or as `gzip` or `zstd`")
}

fn no_compression(_: std::io::Error) -> Problem {
    Problem::new(Code::Unavailable, "the answer could not be compressed")
}

/// As [`fresh`], with a value as JSON.
///
/// # Errors
/// As [`fresh`].
pub async fn fresh_json(request: &HttpRequest, value: &impl Serialize) -> Result<HttpResponse, Problem> {
    fresh(request, JSON, json(value)).await
}

/// As [`fresh_json`], kept for so long: the same question may be answered from a cache meanwhile.
pub(super) async fn kept_json(
    request: &HttpRequest,
    keep: &'static str,
    value: &impl Serialize,
) -> Result<HttpResponse, Problem> {
    kept(request, keep, JSON, json(value).into()).await
}

/// A value as JSON with a final newline: answers are read in terminals.
fn json(value: &impl Serialize) -> String {
    // Our own types with string keys always serialise.
    let mut text = serde_json::to_string(value).unwrap_or_default();
    text.push('\n');
    text
}

/// Whether `If-None-Match` (RFC 9110 §13.1.2, weak comparison) names this tag.
pub(super) fn matches(headers: &HeaderMap, tag: &str) -> bool {
    headers
        .get_all(header::IF_NONE_MATCH)
        .filter_map(|value| value.to_str().ok())
        .any(|value| value.trim() == "*" || value.split(',').any(|one| one.trim().trim_start_matches("W/") == tag))
}

/// The offered media type that the client likes best (RFC 9110 §12.5.1); the first one if it does not say.
///
/// # Errors
/// [`Code::NotAcceptable`].
pub fn negotiate(request: &HttpRequest, offered: &[&'static str]) -> Result<&'static str, Problem> {
    let accepts: Vec<&str> =
        request.headers().get_all(header::ACCEPT).filter_map(|value| value.to_str().ok()).collect();
    let mut best: Option<(u16, &'static str)> = None;
    for media_type in offered {
        let quality = if accepts.is_empty() { 1000 } else { quality(&accepts, media_type) };
        if quality > best.map_or(0, |(quality, _)| quality) {
            best = Some((quality, media_type));
        }
    }
    best.map(|(_, media_type)| media_type)
        .ok_or_else(|| Problem::new(Code::NotAcceptable, format!("this can be had as `{}` only", offered.join("`, `"))))
}

/// The weight in thousandths that the most specific matching range gives; 0 if none matches.
fn quality(accepts: &[&str], media_type: &str) -> u16 {
    let essence = media_type.split(';').next().unwrap_or_default();
    let kind = essence.split('/').next().unwrap_or_default();
    let mut found = (0, 0);
    for range in accepts.iter().flat_map(|accept| accept.split(',')) {
        let mut parts = range.split(';').map(str::trim);
        let name = parts.next().unwrap_or_default();
        let specificity = if name.eq_ignore_ascii_case(essence) {
            3
        } else if name.strip_suffix("/*").is_some_and(|name| name.eq_ignore_ascii_case(kind)) {
            2
        } else if name == "*/*" {
            1
        } else {
            continue;
        };
        let weight = parts.find_map(|part| part.strip_prefix("q=").or_else(|| part.strip_prefix("Q=")));
        if specificity > found.0 {
            found = (specificity, weight.map_or(1000, thousandths));
        }
    }
    found.1
}

/// `0.8` as 800 (RFC 9110 §12.4.2: at most three digits of fraction); what is no weight counts as 0.
pub(super) fn thousandths(weight: &str) -> u16 {
    let (whole, fraction) = weight.split_once('.').unwrap_or((weight, ""));
    let digits = fraction.bytes().all(|byte| byte.is_ascii_digit()) && fraction.len() <= 3;
    let fraction = format!("{fraction:0<3}").parse().unwrap_or(0);
    match whole {
        "0" if digits => fraction,
        "1" if digits && fraction == 0 => 1000,
        _ => 0,
    }
}

#[cfg(test)]
mod tests {
    use actix_web::test::TestRequest;

    use super::*;

    fn chosen(accept: &str) -> Option<&'static str> {
        let request = TestRequest::default().insert_header((header::ACCEPT, accept)).to_http_request();
        negotiate(&request, &[TEXT, JSON]).ok()
    }

    #[test]
    fn the_client_chooses_among_what_is_offered() {
        for (accept, wanted) in [
            ("*/*", Some(TEXT)),
            ("text/*", Some(TEXT)),
            ("text/plain", Some(TEXT)),
            ("application/json", Some(JSON)),
            ("APPLICATION/JSON", Some(JSON)),
            ("application/*", Some(JSON)),
            ("text/plain;q=0.5, application/json", Some(JSON)),
            ("application/json;q=0.1, */*;q=0.9", Some(TEXT)),
            ("text/html, application/xhtml+xml, */*;q=0.8", Some(TEXT)),
            ("text/plain;q=0, */*", Some(JSON)),
            ("text/plain;q=0.001", Some(TEXT)),
            ("text/plain;q=1.000", Some(TEXT)),
            ("text/plain;q=1.001", None),
            ("text/plain;q=0.0001", None),
            ("text/plain;q=-1", None),
            ("application/scitt-receipt+cose", None),
            ("text/plain;q=0", None),
            ("text/plain;q=nonsense", None),
            ("", None),
        ] {
            assert_eq!(chosen(accept), wanted, "`{accept}`");
        }
        assert_eq!(negotiate(&TestRequest::default().to_http_request(), &[TEXT, JSON]).unwrap(), TEXT);
    }

    #[test]
    fn a_validator_is_compared_weakly_and_in_lists() {
        let matched = |value: &'static str| {
            let request = TestRequest::default().insert_header((header::IF_NONE_MATCH, value)).to_http_request();
            matches(request.headers(), "\"a\"")
        };
        assert!(matched("\"a\"") && matched("*") && matched("W/\"a\"") && matched("\"b\", \"a\""));
        assert!(!matched("\"b\"") && !matched("a") && !matched(""));
    }
}
