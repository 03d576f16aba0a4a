//! `/v1/entries?from=&to=`: records in words with their bytes, page by page.
//!
//! Why: whoever reads a whole log in JSON would ask for each entry by itself otherwise. Bounds are indexes, `to` is the first that is left out;
//! without it a page goes on to the published head.
//!
//! Guarantees: pages that follow `next` are the whole range, without a gap or a repetition; a page has at most [`MAX_PAGE`] entries and, beyond
//! its first, [`MAX_PAGE_BYTES`] of records; each entry is told exactly as `/v1/entries/{index}` tells it, so nothing private is in it. A page
//! whose end was asked for, or that is full, stays what it is while the log grows, and may be kept. Does not: clip a range to what is
//! published; what is not there yet is an error, and not a short answer that somebody keeps.

use actix_web::http::header::{HeaderValue, LINK};
use actix_web::{HttpRequest, HttpResponse, web};
use serde::Serialize;
use verifier::record::Record;

use super::Public;
use super::answer::{FOR_A_DAY, REVALIDATE, kept_json};
use super::documents::EntryView;
use super::problem::{Code, Problem};
use super::query::Query;
use crate::{MAX_ENTRIES, ReadError, Reader};

/// Entries in one answer: those of an entry bundle.
pub(super) const MAX_PAGE: u64 = 256;
/// Bytes of records in one answer, unless its first alone has more: in base64 and with their words about two megabytes.
const MAX_PAGE_BYTES: usize = 1 << 20;

const _: () = assert!(MAX_PAGE <= MAX_ENTRIES);

/// Some entries in a row.
#[derive(Serialize)]
struct EntriesView<'a> {
    entries: Vec<EntryView<'a>>,
    /// Where to go on; absent at the end.
    #[serde(skip_serializing_if = "Option::is_none")]
    next: Option<u64>,
}

/// The entries from `?from=` up to `?to=`, or up to the head: `next` and a `Link` say where to go on until there are no more.
pub(super) async fn list(request: HttpRequest, public: web::Data<Public>) -> Result<HttpResponse, Problem> {
    let query = Query::read(&request, &["from", "to"])?;
    let (from, to) = (query.required("from")?, query.number("to")?);
    let reader = &public.reader;
    let end = end(from, to, reader.size())?;
    let leaves = page(reader, from, end)?;
    let after = from + leaves.len() as u64;
    let next = (after < end).then_some(after);
    let records: Result<Vec<Record>, ReadError> = (from..)
        .zip(&leaves)
        .map(|(index, leaf)| Record::decode(leaf).map_err(|source| ReadError::NotARecord { index, source }))
        .collect();
    let records = records?;
    let views = (from..).zip(leaves.iter().zip(&records));
    let entries = views.map(|(index, (leaf, record))| EntryView::new(index, leaf, record)).collect();
    // Entries never change; their words may with a new version, so a day and not for ever. What ends at the head alone goes on tomorrow.
    let keep = if to.is_some() || next.is_some() { FOR_A_DAY } else { REVALIDATE };
    let mut answer = kept_json(&request, keep, &EntriesView { entries, next }).await?;
    if let Some(next) = next {
        // RFC 8288, as for runs of heads.
        let to = to.map_or_else(String::new, |to| format!("&to={to}"));
        let link = HeaderValue::from_str(&format!("</v1/entries?from={next}{to}>; rel=\"next\""));
        let unlinkable = |_| Problem::new(Code::Unavailable, "the next page has no name");
        answer.headers_mut().insert(LINK, link.map_err(unlinkable)?);
    }
    Ok(answer)
}

/// Where a range ends, in a log of this size.
fn end(from: u64, to: Option<u64>, size: u64) -> Result<u64, Problem> {
    let beyond = |name: &str, value: u64| {
        Problem::new(Code::NotPublished, format!("`{name}` is {value}, and the published log has {size} entries"))
    };
    match to {
        Some(to) if from >= to => Err(Problem::malformed("from", "below `to`")),
        Some(to) if to > size => Err(beyond("to", to)),
        Some(to) => Ok(to),
        None if from > size => Err(beyond("from", from)),
        None => Ok(size),
    }
}

/// The first leaves of a range, as many as one answer has.
fn page(reader: &Reader, from: u64, end: u64) -> Result<Vec<Vec<u8>>, Problem> {
    let count = MAX_PAGE.min(end - from);
    if count == 0 {
        return Ok(Vec::new());
    }
    let mut leaves = reader.entries(from, count)?;
    let mut bytes = 0_usize;
    let fits = |leaf: &Vec<u8>| {
        bytes = bytes.saturating_add(leaf.len());
        bytes <= MAX_PAGE_BYTES
    };
    let fitting = leaves.iter().map(fits).take_while(|fits| *fits).count();
    leaves.truncate(fitting.max(1));
    Ok(leaves)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn code(from: u64, to: Option<u64>, size: u64) -> Option<String> {
        end(from, to, size).err().map(|problem| problem.to_string())
    }

    #[test]
    fn a_range_is_within_what_is_published_or_says_which_bound_is_not() {
        for size in 0..6 {
            for from in 0..8 {
                assert_eq!(end(from, None, size).ok(), (from <= size).then_some(size));
                for to in 0..8 {
                    assert_eq!(end(from, Some(to), size).ok(), (from < to && to <= size).then_some(to));
                }
            }
        }
        assert!(code(9, Some(9), 5).unwrap().contains("`from` must be below `to`"));
        assert!(code(0, Some(6), 5).unwrap().contains("`to` is 6"));
        assert!(code(6, None, 5).unwrap().contains("`from` is 6"));
    }
}
