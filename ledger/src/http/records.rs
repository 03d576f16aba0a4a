//! `/v1/log`, `/v1/entries/{index}` and `/v1/requests/{index}`: what the log is, its records, and the disclosed private parts.
//!
//! Guarantees: private parts leave only if the vault says that they were disclosed *and* they are the ones that the leaf commits to.

use actix_web::http::header::LINK;
use actix_web::{HttpRequest, HttpResponse, web};
use serde::Serialize;
use verifier::decision::Decision;
use verifier::record::Record;
use verifier::text::rfc3339;

use super::Public;
use super::answer::{CBOR, FOR_EVER, Immutable, JSON, chosen_by_accept, fresh_json, negotiate};
use super::coding::Matter;
use super::dictionary::link;
use super::documents::{EntryView, HeadView, PartView};
use super::problem::{Code, Problem};
use super::query::{Query, index};
use crate::{PrivateOwned, ReadError};

/// What this log is.
#[derive(Serialize)]
struct LogView<'a> {
    origin: &'a str,
    vkey: String,
    created_at: String,
    /// Nothing is ever appended any more: the head is the final one.
    frozen: bool,
    #[serde(flatten)]
    head: HeadView<'a>,
}

/// Origin, key and newest head.
pub(super) async fn log(request: HttpRequest, public: web::Data<Public>) -> Result<HttpResponse, Problem> {
    Query::read(&request, &[])?;
    let reader = &public.reader;
    let head = reader.head();
    let log = LogView {
        origin: reader.origin(),
        vkey: reader.verifier_key().to_string(),
        created_at: rfc3339(reader.created_ms()),
        frozen: reader.frozen(),
        head: HeadView::new(&head),
    };
    let mut answer = fresh_json(&request, &log).await?;
    if let Some(link) = link(reader) {
        answer.headers_mut().insert(LINK, link);
    }
    Ok(answer)
}

/// One entry: in words with its bytes, or the bytes alone for `Accept: application/cbor`. Only the bytes never change.
pub(super) async fn entry(request: HttpRequest, public: web::Data<Public>) -> Result<HttpResponse, Problem> {
    let index = index(&request)?;
    let reader = &public.reader;
    let media_type = negotiate(&request, &[JSON, CBOR])?;
    let bytes = reader.entry(index)?;
    let answer = if media_type == CBOR {
        let entry = Immutable { keep: FOR_EVER, media_type, matter: Matter::of(bytes.len()) };
        entry.answer(&request, reader, || Ok(bytes)).await
    } else {
        let record = Record::decode(&bytes).map_err(|source| ReadError::NotARecord { index, source })?;
        fresh_json(&request, &EntryView::new(index, &bytes, &record)).await
    };
    answer.map(chosen_by_accept)
}

/// Request and detail of one decision with their salts: `{"index","permit","request":{"salt","bytes"},"detail":{"salt","bytes"}}`, bytes as
/// standard base64. For whoever may see them.
#[derive(Debug, Serialize)]
pub struct PrivateView {
    index: u64,
    permit: String,
    request: PartView,
    detail: PartView,
}

impl PrivateView {
    /// The private parts of a decision.
    ///
    /// # Errors
    /// [`ReadError::Lost`] where they are not those that its leaf commits to.
    pub fn new(index: u64, decision: &Decision, parts: &PrivateOwned) -> Result<Self, ReadError> {
        if !parts.matches(&decision.request, &decision.detail) {
            return Err(ReadError::Lost { index });
        }
        Ok(Self {
            index,
            permit: decision.permit.to_string(),
            request: PartView::new(&parts.request_salt, &parts.request),
            detail: PartView::new(&parts.detail_salt, &parts.detail),
        })
    }
}

/// The private parts of a decision, where the realm was `public`.
pub(super) async fn request(request: HttpRequest, public: web::Data<Public>) -> Result<HttpResponse, Problem> {
    let index = index(&request)?;
    let reader = &public.reader;
    let Record::Decision(decision) = reader.record(index)? else {
        return Err(ReadError::NoPrivate { index }.into());
    };
    let parts = reader.private(index)?;
    if !parts.disclosed {
        return Err(Problem::new(Code::Committed, format!("request and detail of decision {index} are not public")));
    }
    // Not immutable: an erasure may end it.
    fresh_json(&request, &PrivateView::new(index, &decision, &parts)?).await
}
