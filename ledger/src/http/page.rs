//! The page at `/` for people, and the two health probes for machines.
//!
//! Guarantees: the page says what it says without any script: key and head are written into it, and its module only keeps them current.
//! Does not verify anything: the key that it shows comes from the operator who is to be checked, and it says so.

use std::fmt::Write;
use std::sync::LazyLock;

use actix_web::http::header;
use actix_web::{HttpRequest, HttpResponse, web};

use super::Public;
use super::answer::{HTML, TEXT, fresh};
use super::problem::{Code, Problem};
use super::query::Query;
use super::site::secure;
use verifier::hash::sha256;
use verifier::site;
use verifier::text::{hex, rfc3339};

/// The document without what only this log knows.
static DOCUMENT: LazyLock<String> = LazyLock::new(|| site::page("/").map(site::document).unwrap_or_default());
/// The document shows the script that can be downloaded, whole.
static SCRIPT: LazyLock<String> = LazyLock::new(|| escape(site::CHECK_SCRIPT));

/// What this log is, its key and its head.
pub(super) async fn page(request: HttpRequest, public: web::Data<Public>) -> Result<HttpResponse, Problem> {
    Query::read(&request, &[])?;
    let reader = &public.reader;
    let head = reader.head();
    let checkpoint = &head.checkpoint;
    let now = (public.now_ms)();
    let state = match (public.ready)() {
        Ok(()) if reader.frozen() => "<span class=\"tag open\">frozen: complete for ever</span>".to_owned(),
        Ok(()) => "<span class=\"tag good\">ready</span>".to_owned(),
        Err(why) => format!("<span class=\"tag bad\">not ready</span> {}", escape(&why)),
    };
    let vkey = reader.verifier_key().to_string();
    let newest = checkpoint.size.checked_sub(1);
    let html = site::fill(
        &DOCUMENT,
        &[
            ("age", &age(now.saturating_sub(head.time_ms))),
            ("rate", &rate(checkpoint.size, now.saturating_sub(reader.created_ms()))),
            ("state", &state),
            ("origin", &escape(reader.origin())),
            ("vkey", &escape(&vkey)),
            ("fingerprint", &hex(&sha256(vkey.as_bytes()).0)),
            ("size", &checkpoint.size.to_string()),
            ("root", &checkpoint.root.to_string()),
            ("time", &rfc3339(head.time_ms)),
            ("created", &rfc3339(reader.created_ms())),
            ("checkpoint", &escape(&head.note)),
            ("newest", &newest.unwrap_or_default().to_string()),
            ("newest_rows", &newest.map(newest_rows).unwrap_or_default()),
            ("downloads", &downloads(newest)),
            ("script_text", &SCRIPT),
        ],
    );
    let mut answer = fresh(&request, HTML, html).await?;
    secure(answer.headers_mut());
    Ok(answer)
}

/// Links to the newest entry, where there is one.
fn newest_rows(index: u64) -> String {
    format!(
        "<tr><th scope=\"row\"><a href=\"/v1/entries/{index}\">/v1/entries/{index}</a></th><td>one entry: here the newest</td><td>JSON, CBOR</td></tr>\n\
         <tr><th scope=\"row\"><a href=\"/v1/receipts/{index}\">/v1/receipts/{index}</a></th><td>its receipt, also by permit or leaf hash</td>\
         <td>C2SP tlog-proof, JSON, COSE (RFC 9942)</td></tr>\n"
    )
}

/// The newest receipt, where there is one, and the pages that can be kept.
fn downloads(newest: Option<u64>) -> String {
    let mut out = newest.map_or_else(String::new, |index| {
        format!("<a href=\"/v1/receipts/{index}\" download=\"{index}.tlog-proof\">the newest receipt</a>; ")
    });
    let (of, at) = site::SAVED;
    if site::page(of).is_some() {
        // Writing into a String cannot fail.
        let _ = write!(
            out,
            "<a href=\"{at}\" download>the proof viewer as one file</a>, which works from a disk without us; "
        );
    }
    out
}

/// How many entries a second there were on average since the log began, or a day where they are few.
fn rate(size: u64, ms: u64) -> String {
    let seconds = (ms / 1_000).max(1);
    match size / seconds {
        0 => format!("{} / day", u128::from(size) * 86_400 / u128::from(seconds)),
        a_second => format!("{a_second} / s"),
    }
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
#[must_use]
pub fn age(ms: u64) -> String {
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
#[must_use]
pub fn escape(text: &str) -> String {
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
    fn a_rate_is_told_by_the_second_or_by_the_day() {
        for (size, ms, text) in [
            (0, 0, "0 / day"),
            (10, 86_400_000, "10 / day"),
            (10, 1_999, "10 / s"),
            (u64::MAX, 1_000_000, "18446744073709551 / s"),
        ] {
            assert_eq!(rate(size, ms), text);
        }
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
