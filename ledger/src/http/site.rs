//! The pages for people and their files, as `verifier::site` composes them.
//!
//! Guarantees: strong validators of the bytes, and the policy of [`site::POLICY`] on every page: no other host, nothing inline, no frame.
//! A page's own query (`/proof?permit=…`) is read by its script alone, and never by the server. Does not vouch for what a page says.

use std::sync::LazyLock;

use actix_web::http::header::{self, HeaderMap, HeaderValue};
use actix_web::web::Bytes;
use actix_web::{HttpRequest, HttpResponse};
use verifier::hash::sha256;
use verifier::site;
use verifier::text::hex;

use super::answer::{HTML, steady};
use super::problem::{Problem, unknown_path};
use super::query::Query;

/// What no page of ours needs of a browser.
const PERMISSIONS: &str = "accelerometer=(), camera=(), display-capture=(), geolocation=(), gyroscope=(), magnetometer=(), microphone=(), \
    midi=(), payment=(), publickey-credentials-get=(), usb=()";

/// What is served at one path.
struct Served {
    path: &'static str,
    media_type: &'static str,
    digest: String,
    bytes: Bytes,
}

impl Served {
    fn new(path: &'static str, media_type: &'static str, bytes: Bytes) -> Self {
        // 16 bytes: a validator is compared with others of one path.
        let digest = hex(sha256(&bytes).0.first_chunk::<16>().map_or(&[], |half| half));
        Self { path, media_type, digest, bytes }
    }
}

static SERVED: LazyLock<Vec<Served>> = LazyLock::new(|| {
    let fixed = site::PAGES.iter().filter(|page| page.path != "/");
    let pages = fixed.map(|page| Served::new(page.path, HTML, site::document(page).into()));
    let files = site::FILES
        .iter()
        .map(|file| Served::new(file.path, file.media_type(), Bytes::from_static(file.text.as_bytes())));
    let (of, at) = site::SAVED;
    let saved = site::page(of).map(|page| Served::new(at, HTML, site::saved(page).into()));
    pages.chain(files).chain(saved).collect()
});

/// Every path of the pages but `/`, whose head the server writes into it.
pub(super) fn paths() -> impl Iterator<Item = &'static str> {
    SERVED.iter().map(|served| served.path)
}

/// A page or one of its files.
pub(super) async fn serve(request: HttpRequest) -> Result<HttpResponse, Problem> {
    let path = request.uri().path();
    let Some(served) = SERVED.iter().find(|served| served.path == path) else { return unknown_path().await };
    if site::page(path).is_none() {
        Query::read(&request, &[])?;
    }
    let mut answer = steady(&request, served.media_type, &served.digest, served.bytes.clone()).await?;
    let (_, saved) = site::SAVED;
    if path == saved {
        answer.headers_mut().insert(
            header::CONTENT_DISPOSITION,
            HeaderValue::from_static("attachment; filename=\"interlock-proof.html\""),
        );
    }
    secure(answer.headers_mut());
    Ok(answer)
}

/// The headers of every page and of its files.
pub fn secure(headers: &mut HeaderMap) {
    for (name, value) in [
        (header::CONTENT_SECURITY_POLICY, site::POLICY),
        (header::REFERRER_POLICY, "no-referrer"),
        (header::PERMISSIONS_POLICY, PERMISSIONS),
        (header::CROSS_ORIGIN_OPENER_POLICY, "same-origin"),
        (header::X_FRAME_OPTIONS, "DENY"),
    ] {
        headers.insert(name, HeaderValue::from_static(value));
    }
}
