//! `/v1/receipts/{index | permit | leaf hash}`, `/v1/proofs/…` and `/v1/checkpoints`: evidence for one entry, between two sizes, and the
//! history of heads.
//!
//! Guarantees: a receipt's checkpoint is a head that was published. A bare proof may be for any size up to the published one: it says
//! nothing without the signed head of that size.

use actix_web::http::header::{HeaderValue, LINK};
use actix_web::{HttpRequest, HttpResponse, web};
use base64::Engine;
use base64::engine::general_purpose::{URL_SAFE, URL_SAFE_NO_PAD};
use serde::Serialize;
use verifier::cose::CoseReceipt;
use verifier::decision::PermitId;
use verifier::hash::{Hash, leaf_hash};
use verifier::receipt::Receipt;
use verifier::text::unhex;

use super::Public;
use super::answer::{COSE, JSON, TEXT, chosen_by_accept, fresh, fresh_json, negotiate};
use super::documents::HeadView;
use super::problem::{Code, Problem};
use super::query::{Query, last_segment, number};
use crate::{ReadError, Reader};

/// Heads in one answer: each costs a signature (about 20 µs) and a fold of the tree's right edge.
pub(super) const MAX_HEADS: u64 = 256;

/// The receipt of one entry under the newest head, or under the head of `?size=`: as text, JSON or COSE.
pub(super) async fn receipt(request: HttpRequest, public: web::Data<Public>) -> Result<HttpResponse, Problem> {
    let size = Query::read(&request, &["size"])?.number("size")?;
    let media_type = negotiate(&request, &[TEXT, JSON, COSE])?;
    let reader = &public.reader;
    let index = find(reader, last_segment(&request))?;
    let head = match size {
        None => reader.head(),
        Some(size) => published_head(reader, size)?.into(),
    };
    let leaf = reader.entry(index)?;
    let hash = leaf_hash(&leaf);
    let body = if media_type == COSE {
        encoded(&reader.cose_inclusion(&hash, index, &head)?)?
    } else {
        let path = reader.proved(&hash, index, &head)?;
        let receipt = Receipt { index, path, extra: Some(leaf), checkpoint: head.note.clone() };
        if media_type == JSON {
            let json = receipt.to_json().map_err(|_| ReadError::Contradiction { index })?;
            (json + "\n").into_bytes()
        } else {
            receipt.text().into_bytes()
        }
    };
    fresh(&request, media_type, body).await.map(chosen_by_accept)
}

/// The bytes of a COSE receipt, or a problem that says that it has none.
fn encoded(receipt: &CoseReceipt) -> Result<Vec<u8>, Problem> {
    receipt.encode().map_err(|_| {
        Problem::new(Code::NoCoseForm, "the path is empty, and RFC 9942 has no form for that: take the text or JSON")
    })
}

/// The index that an index, a permit id (32 hex digits) or a leaf hash (64 hex digits or URL-safe base64) names. No two of these have the
/// same length: an index has at most 19 digits.
///
/// # Errors
/// [`Code::UnknownId`], [`Code::MalformedParameter`], or why the log cannot be read.
pub fn find(reader: &Reader, id: &str) -> Result<u64, Problem> {
    let unknown = || Problem::new(Code::UnknownId, "no published entry has this id");
    let malformed = || {
        Problem::malformed(
            "id",
            "an index, a permit id (32 lower-case hex digits) or a leaf hash (64, or URL-safe base64)",
        )
    };
    let leaf = match id.len() {
        0..=19 if id.bytes().all(|byte| byte.is_ascii_digit()) => return number("id", id),
        32 => {
            let permit: PermitId = id.parse().map_err(|_| malformed())?;
            return reader.permit(&permit)?.ok_or_else(unknown);
        }
        64 => unhex(id).map_err(|_| malformed())?,
        43 => URL_SAFE_NO_PAD.decode(id).map_err(|_| malformed())?,
        44 => URL_SAFE.decode(id).map_err(|_| malformed())?,
        _ => return Err(malformed()),
    };
    let leaf = Hash::from_slice(&leaf).ok_or_else(malformed)?;
    reader.leaf(&leaf)?.ok_or_else(unknown)
}

/// An inclusion path.
#[derive(Serialize)]
struct InclusionView {
    index: u64,
    size: u64,
    leaf: Hash,
    root: Hash,
    path: Vec<Hash>,
}

/// The path of `?index=` in the tree of `?size=`.
pub(super) async fn inclusion(request: HttpRequest, public: web::Data<Public>) -> Result<HttpResponse, Problem> {
    let query = Query::read(&request, &["index", "size"])?;
    let (index, size) = (query.required("index")?, query.required("size")?);
    let reader = &public.reader;
    let path = reader.inclusion(index, size)?;
    let (leaf, root) = (reader.leaf_hash(index)?, reader.root_at(size)?);
    fresh_json(&request, &InclusionView { index, size, leaf, root, path }).await
}

/// A consistency proof.
#[derive(Serialize)]
struct ConsistencyView {
    from: u64,
    to: u64,
    from_root: Hash,
    to_root: Hash,
    proof: Vec<Hash>,
}

/// The proof that the tree of `?from=` is a prefix of the tree of `?to=`; as COSE between published heads only, since it is signed.
pub(super) async fn consistency(request: HttpRequest, public: web::Data<Public>) -> Result<HttpResponse, Problem> {
    let query = Query::read(&request, &["from", "to"])?;
    let (from, to) = (query.required("from")?, query.required("to")?);
    let reader = &public.reader;
    let answer = if negotiate(&request, &[JSON, COSE])? == COSE {
        if from > to {
            return Err(ReadError::Range.into());
        }
        let (older, newer) = (published_head(reader, from)?, published_head(reader, to)?);
        fresh(&request, COSE, encoded(&reader.cose_consistency(&older, &newer)?)?).await
    } else {
        let proof = reader.consistency(from, to)?;
        let (from_root, to_root) = (reader.root_at(from)?, reader.root_at(to)?);
        fresh_json(&request, &ConsistencyView { from, to, from_root, to_root, proof }).await
    };
    answer.map(chosen_by_accept)
}

/// A run of heads.
#[derive(Serialize)]
struct HeadsView<'a> {
    checkpoints: Vec<HeadView<'a>>,
    /// Where to go on; absent at the end.
    #[serde(skip_serializing_if = "Option::is_none")]
    next: Option<u64>,
}

/// The head of `?size=` as it was signed, or the heads of sizes from `?from=` to `?to=`, at most [`MAX_HEADS`] at once: `next` and a `Link`
/// say where to go on until there are no more.
pub(super) async fn checkpoints(request: HttpRequest, public: web::Data<Public>) -> Result<HttpResponse, Problem> {
    let query = Query::read(&request, &["size", "from", "to"])?;
    let reader = &public.reader;
    let (size, from, to) = (query.number("size")?, query.number("from")?, query.number("to")?);
    let (from, to) = match (size, from, to) {
        (Some(size), None, None) => return fresh(&request, TEXT, published_head(reader, size)?.note).await,
        (None, Some(from), Some(to)) if from <= to => (from, to),
        (None, Some(_), Some(_)) => return Err(Problem::malformed("from", "at most `to`")),
        _ => return Err(Problem::new(Code::MissingParameter, "give either `size`, or `from` and `to`")),
    };
    let limit = usize::try_from(MAX_HEADS).unwrap_or(usize::MAX);
    let heads = reader.heads(from, to, limit)?;
    let next = match heads.last() {
        Some(last) if heads.len() == limit && last.checkpoint.size < to => last.checkpoint.size.checked_add(1),
        _ => None,
    };
    let checkpoints = heads.iter().map(HeadView::new).collect();
    let mut answer = fresh_json(&request, &HeadsView { checkpoints, next }).await?;
    if let Some(next) = next {
        // RFC 8288: the same page further on, so that nobody has to know how the numbers are made.
        let link = format!("</v1/checkpoints?from={next}&to={to}>; rel=\"next\"");
        answer.headers_mut().insert(LINK, HeaderValue::from_str(&link).map_err(|_| unlinkable())?);
    }
    Ok(answer)
}

fn unlinkable() -> Problem {
    Problem::new(Code::Unavailable, "the next page has no name")
}

/// The head of a size that was published.
pub(super) fn published_head(reader: &Reader, size: u64) -> Result<crate::head::Head, Problem> {
    reader
        .head_at(size)?
        .ok_or_else(|| Problem::new(Code::NotPublished, format!("no head of size {size} was ever published")))
}
