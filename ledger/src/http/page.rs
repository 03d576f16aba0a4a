//! The page at `/` for people, and the two health probes for machines.
//!
//! Guarantees: no script, no request to anywhere else, and a policy that forbids both. Works without colours of its own in light and dark.
//! Does not verify anything: the key that it shows comes from the operator who is to be checked, and it says so.

use std::fmt::Write;

use actix_web::http::header;
use actix_web::{HttpRequest, HttpResponse, web};

use super::Public;
use super::answer::TEXT;
use super::problem::{Code, Problem};
use super::query::Query;
use verifier::text::rfc3339;

const STYLE: &str = include_str!("page.css");
/// Nothing but our own style sheet, and nobody may frame the page.
const POLICY: &str =
    "default-src 'none'; style-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'";

/// What this log is, its key and its head.
pub(super) async fn page(request: HttpRequest, public: web::Data<Public>) -> Result<HttpResponse, Problem> {
    Query::read(&request, &[])?;
    let reader = &public.reader;
    let head = reader.head();
    let checkpoint = &head.checkpoint;
    let age = age((public.now_ms)().saturating_sub(head.time_ms));
    let state = match (public.ready)() {
        Ok(()) => "<span class=\"good\">ready</span>".to_owned(),
        Err(why) => format!("<span class=\"bad\">not ready</span> {}", escape(&why)),
    };
    let html = format!(
        include_str!("page.html"),
        age = age,
        state = state,
        origin = escape(reader.origin()),
        vkey = escape(&reader.verifier_key().to_string()),
        size = checkpoint.size,
        root = checkpoint.root,
        time = rfc3339(head.time_ms),
        created = rfc3339(reader.created_ms()),
        checkpoint = escape(&head.note),
        newest = checkpoint.size.checked_sub(1).map(newest).unwrap_or_default(),
    );
    Ok(HttpResponse::Ok()
        .insert_header((header::CONTENT_TYPE, "text/html; charset=utf-8"))
        .insert_header((header::CACHE_CONTROL, "no-store"))
        .insert_header((header::CONTENT_SECURITY_POLICY, POLICY))
        .insert_header((header::REFERRER_POLICY, "no-referrer"))
        .body(html))
}

/// Links to the newest entry, where there is one.
fn newest(index: u64) -> String {
    format!(
        "<li><a href=\"/v1/entries/{index}\">/v1/entries/{index}</a> the newest entry</li>\n\
         <li><a href=\"/v1/receipts/{index}\">/v1/receipts/{index}</a> its receipt</li>\n"
    )
}

/// The page's style sheet.
pub(super) async fn style(request: HttpRequest) -> Result<HttpResponse, Problem> {
    Query::read(&request, &[])?;
    Ok(HttpResponse::Ok()
        .insert_header((header::CONTENT_TYPE, "text/css; charset=utf-8"))
        .insert_header((header::CACHE_CONTROL, "public, max-age=3600"))
        .body(STYLE))
}

/// The process answers.
pub(super) async fn live(request: HttpRequest) -> Result<HttpResponse, Problem> {
    Query::read(&request, &[])?;
    Ok(plain("ok\n"))
}

/// The service is ready: 200, or 503 with the reason.
pub(super) async fn ready(request: HttpRequest, public: web::Data<Public>) -> Result<HttpResponse, Problem> {
    Query::read(&request, &[])?;
    (public.ready)().map_err(|why| Problem::new(Code::NotReady, why))?;
    Ok(plain("ready\n"))
}

/// What is counted, as OpenMetrics 1.0 §3 has it.
pub(super) async fn metrics(request: HttpRequest, public: web::Data<Public>) -> Result<HttpResponse, Problem> {
    Query::read(&request, &[])?;
    Ok(HttpResponse::Ok()
        .insert_header((header::CONTENT_TYPE, "application/openmetrics-text; version=1.0.0; charset=utf-8"))
        .insert_header((header::CACHE_CONTROL, "no-store"))
        .body((public.metrics)()))
}

fn plain(text: &'static str) -> HttpResponse {
    HttpResponse::Ok()
        .insert_header((header::CONTENT_TYPE, TEXT))
        .insert_header((header::CACHE_CONTROL, "no-store"))
        .body(text)
}

/// A span of time in its largest unit.
fn age(ms: u64) -> String {
    let seconds = ms / 1000;
    let (count, unit) = match seconds {
        0..60 => (seconds, "second"),
        60..3_600 => (seconds / 60, "minute"),
        3_600..86_400 => (seconds / 3_600, "hour"),
        _ => (seconds / 86_400, "day"),
    };
    let s = if count == 1 { "" } else { "s" };
    format!("{count} {unit}{s}")
}

/// Text inside HTML, also inside attributes.
fn escape(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '&' | '<' | '>' | '"' | '\'' => {
                // Writing into a String cannot fail.
                let _ = write!(out, "&#{};", u32::from(c));
            }
            _ => out.push(c),
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_cannot_become_markup() {
        assert_eq!(escape("<b a='x'>&\"</b>"), "&#60;b a=&#39;x&#39;&#62;&#38;&#34;&#60;/b&#62;");
    }

    #[test]
    fn an_age_is_told_in_its_largest_unit() {
        for (ms, text) in [
            (0, "0 seconds"),
            (1_999, "1 second"),
            (59_999, "59 seconds"),
            (60_000, "1 minute"),
            (3_599_999, "59 minutes"),
            (7_200_000, "2 hours"),
            (86_400_000, "1 day"),
            (u64::MAX, "213503982334 days"),
        ] {
            assert_eq!(age(ms), text);
        }
    }
}
