//! Compression dictionaries (RFC 9842): the dictionary of sealed segments, and bundles as they stand compressed with it (`dcz`).
//!
//! A client finds the dictionary by the link in `/v1/log`, keeps it, and names it by its SHA-256 in `Available-Dictionary`; then a full bundle
//! of a sealed segment goes out as it stands on the disk. Guarantees: `dcz` leaves only if the client asked for it by name and named the very
//! dictionary; everybody else gets what the segment's form does not show. What is sent was unpacked and held against the tree.
//! Does not: keep dictionaries of older segments to fetch; who has one may still use it.

use actix_web::http::header::{self, HeaderMap, HeaderValue};
use actix_web::{HttpRequest, HttpResponse, web};
use verifier::hash::Hash;
use verifier::text::{hex, unb64, unhex};
use verifier::tile::{Bundle, FULL_WIDTH};

use super::Public;
use super::answer::{FOR_EVER, Immutable, OCTETS};
use super::coding::{Matter, weight};
use super::problem::{Code, Problem};
use super::query::{Query, last_segment};
use crate::Reader;

/// What the body of a `dcz` answer begins with (RFC 9842 §5): a skippable frame of 32 bytes, which are the dictionary's SHA-256.
const DCZ: [u8; 8] = [0x5e, 0x2a, 0x4d, 0x18, 0x20, 0x00, 0x00, 0x00];
/// What the dictionary is for.
const USE: &str = "match=\"/tile/entries/*\"";
/// Both headers choose the form of a bundle.
const VARY: &str = "Accept-Encoding, Available-Dictionary";

/// The newest dictionary, at the path of its digest.
pub(super) async fn dictionary(request: HttpRequest, public: web::Data<Public>) -> Result<HttpResponse, Problem> {
    Query::read(&request, &[])?;
    let unknown = || Problem::new(Code::UnknownId, "the newest sealed segment has no dictionary of this digest");
    let digest = unhex(last_segment(&request)).ok().and_then(|bytes| Hash::from_slice(&bytes));
    let digest = digest.ok_or_else(|| Problem::malformed("digest", "64 lower-case hex digits"))?;
    let newest = public.reader.newest_dictionary()?.filter(|newest| newest.sha256() == digest).ok_or_else(unknown)?;
    let kept = Immutable { keep: FOR_EVER, media_type: OCTETS, matter: Matter::Compressible };
    let mut answer = kept.answer(&request, &public.reader, || Ok(newest.bytes().to_vec())).await?;
    answer.headers_mut().insert(USE_AS_DICTIONARY, HeaderValue::from_static(USE));
    Ok(answer)
}

const USE_AS_DICTIONARY: header::HeaderName = header::HeaderName::from_static("use-as-dictionary");

/// The link by which clients find the newest dictionary; none while nothing is sealed, or if that segment cannot be read.
pub(super) fn link(reader: &Reader) -> Option<HeaderValue> {
    let newest = reader.newest_dictionary().ok()??;
    let link = format!("</v1/dictionaries/{}>; rel=\"compression-dictionary\"", hex(&newest.sha256().0));
    HeaderValue::from_str(&link).ok()
}

/// The bundle as it stands, if the client has what it was compressed with.
pub(super) fn stored(request: &HttpRequest, reader: &Reader, bundle: &Bundle) -> Result<Option<HttpResponse>, Problem> {
    let Some(digest) = available(request.headers()).filter(|_| bundle.width == FULL_WIDTH) else { return Ok(None) };
    let Some(stored) = reader.stored_bundle(bundle.index)? else { return Ok(None) };
    if stored.dictionary.sha256() != digest {
        return Ok(None);
    }
    // The frame is what stands in one file; sealing again could make another, so the tag is made of its bytes.
    let tag = format!("\"{}\"", hex(&verifier::hash::sha256(&stored.zstd).0));
    let unchanged = super::answer::matches(request.headers(), &tag);
    let mut answer = if unchanged { HttpResponse::NotModified() } else { HttpResponse::Ok() };
    answer
        .insert_header((header::CACHE_CONTROL, FOR_EVER))
        .insert_header((header::ETAG, tag))
        .insert_header((header::VARY, VARY));
    if unchanged {
        return Ok(Some(answer.finish()));
    }
    let body = [&DCZ[..], &digest.0, &stored.zstd].concat();
    Ok(Some(
        answer
            .insert_header((header::CONTENT_ENCODING, "dcz"))
            .insert_header((header::CONTENT_TYPE, OCTETS))
            .body(body),
    ))
}

/// Tells caches that the dictionary could have chosen the form.
pub(super) fn chosen_by_dictionary(mut answer: HttpResponse) -> HttpResponse {
    answer.headers_mut().insert(header::VARY, HeaderValue::from_static(VARY));
    answer
}

/// The dictionary that the client has and wants used: `dcz` is accepted by name, no less than any coding that is named beside it.
fn available(headers: &HeaderMap) -> Option<Hash> {
    let wanted = weight(headers, "dcz").filter(|weight| *weight > 0)?;
    if ["zstd", "gzip", "x-gzip", "identity"].iter().any(|other| weight(headers, other) > Some(wanted)) {
        return None;
    }
    let mut lines = headers.get_all("available-dictionary");
    // A structured field of one byte sequence (RFC 9651 §3.3.5).
    let (Some(line), None) = (lines.next(), lines.next()) else { return None };
    let base64 = line.to_str().ok()?.trim().strip_prefix(':')?.strip_suffix(':')?;
    Hash::from_slice(&unb64(base64).ok()?)
}

#[cfg(test)]
mod tests {
    use verifier::hash::sha256;
    use verifier::text::b64;

    use super::*;

    fn asked(accept: &'static str, dictionary: &str) -> Option<Hash> {
        let mut headers = HeaderMap::new();
        headers.append(header::ACCEPT_ENCODING, HeaderValue::from_static(accept));
        headers.append(
            header::HeaderName::from_static("available-dictionary"),
            HeaderValue::from_str(dictionary).unwrap(),
        );
        available(&headers)
    }

    #[test]
    fn a_dictionary_is_used_only_if_named_as_the_standard_says_and_wanted() {
        let digest = sha256(b"words");
        let named = format!(":{}:", b64(&digest.0));
        for accept in ["dcz", "gzip, zstd, dcz", "dcz;q=0.5, zstd;q=0.5", "DCZ"] {
            assert_eq!(asked(accept, &named), Some(digest), "{accept}");
        }
        for accept in ["", "*", "zstd", "dcb", "dcz;q=0", "dcz;q=0.4, zstd;q=0.5", "dcz;q=0.4, identity"] {
            assert_eq!(asked(accept, &named), None, "{accept}");
        }
        for other in [
            "",
            "::",
            named.trim_start_matches(':'),
            &b64(&digest.0),
            &format!(":{}:", hex(&digest.0)),
            &format!(":{}:", b64(&[1; 31])),
        ] {
            assert_eq!(asked("dcz", other), None, "{other}");
        }
        assert_eq!(available(&HeaderMap::new()), None);
    }
}
