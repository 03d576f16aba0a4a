//! `/v1/epochs`, `/v1/epochs/{n}`, `/v1/epochs/current`: what the log was governed by, read from its own records.
//!
//! Guarantees: an epoch's content is put together from the parts that its closing record names and is served only if it is the document
//! whose digest the administrator signed.

use actix_web::{HttpRequest, HttpResponse, web};
use serde::Serialize;
use verifier::act::{Act, Deed, Mode};
use verifier::epoch::{EpochContent, MAX_CONTENT, digest};
use verifier::hash::Hash;
use verifier::note::Note;
use verifier::record::Record;
use verifier::text::rfc3339;

use super::Public;
use super::answer::fresh_json;
use super::problem::{Code, Problem};
use super::query::{Query, last_segment, number};
use crate::{ReadError, Reader};

/// Epochs in one answer.
pub(super) const MAX_EPOCHS: u64 = 256;
/// Parts that are read at once: 15 MB.
const PARTS_AT_ONCE: u64 = 256;

/// The mode of an epoch that was enforced.
pub(super) const LIVE: &str = "live";
/// The mode of a candidate.
pub(super) const SHADOW: &str = "shadow";

/// One epoch without its content.
#[derive(Serialize)]
struct EpochView {
    epoch: u64,
    /// `live`, or `shadow` for a candidate, which was never enforced.
    mode: &'static str,
    index: u64,
    governance: u64,
    recorded_at: String,
    /// SHA-256 of the content document.
    content: Hash,
    first_part: u64,
    parts: u64,
    /// The signed act.
    note: String,
    /// The final checkpoint of the log that this one succeeds; the first epoch's only.
    #[serde(skip_serializing_if = "Option::is_none")]
    predecessor: Option<String>,
}

/// Some epochs.
#[derive(Serialize)]
struct EpochsView {
    epochs: Vec<EpochView>,
    /// Where to go on; absent at the end.
    #[serde(skip_serializing_if = "Option::is_none")]
    next: Option<u64>,
}

/// The epochs from number `?from=` (1 if it is not given), at most [`MAX_EPOCHS`] at once.
pub(super) async fn list(request: HttpRequest, public: web::Data<Public>) -> Result<HttpResponse, Problem> {
    let from = Query::read(&request, &["from"])?.number("from")?.unwrap_or(1);
    let places = places(&public);
    let count = places.len() as u64;
    let mut epochs = Vec::new();
    let mut next = from.max(1);
    while next <= count && (epochs.len() as u64) < MAX_EPOCHS {
        epochs.push(closing(&public.reader, next, &places)?);
        next += 1;
    }
    fresh_json(&request, &EpochsView { epochs, next: (next <= count).then_some(next) }).await
}

/// One epoch with its content.
#[derive(Serialize)]
struct ContentView {
    #[serde(flatten)]
    epoch: EpochView,
    policies: Vec<PolicyView>,
    #[serde(skip_serializing_if = "Option::is_none")]
    schema: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    entities: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    trust: Option<String>,
}

#[derive(Serialize)]
struct PolicyView {
    id: String,
    text: String,
}

/// Epoch `{n}`, or the newest one that is not a candidate as `current`.
pub(super) async fn content(request: HttpRequest, public: web::Data<Public>) -> Result<HttpResponse, Problem> {
    Query::read(&request, &[])?;
    let places = places(&public);
    let epoch = match last_segment(&request) {
        "current" => current(&public.reader, &places)?,
        text => closing(&public.reader, number("epoch", text)?, &places)?,
    };
    let damaged = || Problem::new(Code::Damaged, format!("the content of epoch {} is damaged", epoch.epoch));
    let document = document(&public.reader, &epoch)?;
    if digest(&document) != epoch.content {
        return Err(damaged());
    }
    let content = EpochContent::decode(&document).map_err(|_| damaged())?;
    let policies = content.policies.into_iter().map(|(id, text)| PolicyView { id, text }).collect();
    let EpochContent { schema, entities, trust, .. } = content;
    fresh_json(&request, &ContentView { epoch, policies, schema, entities, trust }).await
}

/// The indexes of the closing records that are published.
fn places(public: &Public) -> Vec<u64> {
    let size = public.reader.size();
    (public.epochs)().iter().copied().take_while(|index| *index < size).collect()
}

/// The closing record of the newest epoch that was enforced. Candidates are few: each is published by hand.
fn current(reader: &Reader, places: &[u64]) -> Result<EpochView, Problem> {
    let mut number = places.len() as u64;
    loop {
        let epoch = closing(reader, number, places)?;
        if epoch.mode == LIVE {
            return Ok(epoch);
        }
        number -= 1;
    }
}

/// The closing record of an epoch.
fn closing(reader: &Reader, epoch: u64, places: &[u64]) -> Result<EpochView, Problem> {
    let unknown = || Problem::new(Code::UnknownEpoch, format!("there is no epoch {epoch}"));
    let place = epoch.checked_sub(1).and_then(|before| usize::try_from(before).ok()).ok_or_else(unknown)?;
    let index = *places.get(place).ok_or_else(unknown)?;
    let damaged = || Problem::new(Code::Damaged, format!("entry {index} does not close epoch {epoch}"));
    let Record::Epoch { recorded_at, governance, first_part, parts, note, predecessor } = reader.record(index)? else {
        return Err(damaged());
    };
    let act = Note::parse(&note).ok().and_then(|note| Act::parse(&note.text).ok());
    match act.map(|act| act.deed) {
        Some(Deed::Epoch { number, content, mode }) if number == epoch => {
            let recorded_at = rfc3339(recorded_at);
            let mode = if mode == Mode::Live { LIVE } else { SHADOW };
            Ok(EpochView { epoch, mode, index, governance, recorded_at, content, first_part, parts, note, predecessor })
        }
        Some(
            Deed::Epoch { .. }
            | Deed::Switch { .. }
            | Deed::Revocation { .. }
            | Deed::Erasure { .. }
            | Deed::Freeze { .. },
        )
        | None => Err(damaged()),
    }
}

/// The content document of an epoch: its parts one after the other.
fn document(reader: &Reader, epoch: &EpochView) -> Result<Vec<u8>, Problem> {
    let damaged = |index| Problem::new(Code::Damaged, format!("entry {index} is not a part of epoch {}", epoch.epoch));
    let end = epoch.first_part.checked_add(epoch.parts).filter(|end| *end <= epoch.index);
    let end = end.ok_or_else(|| damaged(epoch.index))?;
    let mut document = Vec::new();
    let mut next = epoch.first_part;
    while next < end {
        let leaves = reader.entries(next, PARTS_AT_ONCE.min(end - next))?;
        for leaf in leaves {
            let record = Record::decode(&leaf).map_err(|source| ReadError::NotARecord { index: next, source })?;
            match record {
                Record::EpochPart { epoch: of, part, bytes, .. }
                    if of == epoch.epoch && part == next - epoch.first_part =>
                {
                    document.extend_from_slice(&bytes);
                }
                _ => return Err(damaged(next)),
            }
            if document.len() > MAX_CONTENT {
                return Err(damaged(next));
            }
            next += 1;
        }
    }
    Ok(document)
}
