//! Pages of entries: together they are the log, and each says for how long it stays what it is.

use ledger::Batch;
use serde_json::Value;
use verifier::checkpoint::SignedCheckpoint;
use verifier::hash::{leaf_hash, root_of};
use verifier::record::Record;
use verifier::text::unb64;

use super::site::{Answer, Site, bad, hash, not_found};
use crate::common::{ORIGIN, START, leaf, mixed};

const KEPT: &str = "public, max-age=86400, immutable";

/// Follows the links from a path to the last page; answers each page.
fn pages(site: &Site, path: &str) -> Vec<Value> {
    let (mut path, mut pages) = (path.to_owned(), Vec::new());
    loop {
        let answer = site.get(&path);
        assert_eq!(answer.status, 200, "{path}: {}", answer.text());
        let page: Value = serde_json::from_slice(&answer.body).unwrap();
        let link = answer.header("link").to_owned();
        pages.push(page);
        let page = pages.last().unwrap();
        if link.is_empty() {
            assert_eq!(page.get("next"), None);
            return pages;
        }
        path = link.strip_prefix('<').and_then(|rest| rest.strip_suffix(">; rel=\"next\"")).unwrap().to_owned();
        let next = format!("/v1/entries?from={}", page["next"]);
        assert!(path == next || path.starts_with(&(next + "&to=")), "{link}");
    }
}

fn indexes(pages: &[Value]) -> Vec<u64> {
    let entries = pages.iter().flat_map(|page| page["entries"].as_array().unwrap());
    entries.map(|entry| entry["index"].as_u64().unwrap()).collect()
}

#[test]
fn pages_join_to_the_whole_log_without_a_gap_or_a_repetition_and_lead_to_its_root() {
    let site = Site::new(&[300, 1, 299]);
    let all = pages(&site, "/v1/entries?from=0");
    assert_eq!(all.iter().map(|page| page["entries"].as_array().unwrap().len()).collect::<Vec<_>>(), [256, 256, 88]);
    assert_eq!(indexes(&all), (0..600).collect::<Vec<u64>>());
    let mut leaves = Vec::new();
    for entry in all.iter().flat_map(|page| page["entries"].as_array().unwrap()) {
        let index = entry["index"].as_u64().unwrap();
        let bytes = unb64(entry["record"].as_str().unwrap()).unwrap();
        assert_eq!((&bytes, hash(&entry["leaf"])), (&leaf(index), leaf_hash(&leaf(index))));
        leaves.push(hash(&entry["leaf"]));
    }
    let signed = SignedCheckpoint::open(site.get("/checkpoint").text(), site.reader.verifier_key(), ORIGIN).unwrap();
    assert_eq!(root_of(&leaves), signed.checkpoint().root);
    // An entry is told as it is told alone.
    assert_eq!(all[1]["entries"][7], site.json(&format!("/v1/entries/{}", 256 + 7)));
}

#[test]
fn a_range_ends_before_its_end_and_a_page_that_ends_with_it_has_no_next_one() {
    let site = Site::new(&[600]);
    for (from, to) in [(0, 1), (5, 9), (0, 256), (1, 257), (0, 257), (590, 600), (599, 600), (0, 600), (255, 512)] {
        let found = pages(&site, &format!("/v1/entries?from={from}&to={to}"));
        assert_eq!(indexes(&found), (from..to).collect::<Vec<u64>>(), "{from}..{to}");
        assert_eq!(found.len() as u64, (to - from).div_ceil(256), "{from}..{to}");
    }
    assert_eq!(indexes(&pages(&site, "/v1/entries?from=598")), [598, 599]);
    assert_eq!(indexes(&pages(&site, "/v1/entries?from=600")), [] as [u64; 0], "nothing yet, and nothing wrong");
}

#[test]
fn of_an_empty_log_there_is_an_empty_page_and_no_range() {
    let site = Site::new(&[]);
    let page = site.get("/v1/entries?from=0");
    assert_eq!((page.status, page.text()), (200, "{\"entries\":[]}\n"));
    assert_eq!((page.header("cache-control"), page.header("link")), ("no-cache", ""));
    assert_eq!(site.refused("/v1/entries?from=0&to=1"), not_found("not_published"));
    assert_eq!(site.refused("/v1/entries?from=1"), not_found("not_published"));
}

#[test]
fn what_is_no_range_of_the_published_log_is_refused_by_the_bound_that_is_wrong() {
    let site = Site::new(&[5]);
    let largest = "9223372036854775807";
    for (query, refusal, told) in [
        ("", bad("missing_parameter"), "`from` is missing"),
        ("to=3", bad("missing_parameter"), "`from` is missing"),
        ("from=6", not_found("not_published"), "`from` is 6, and the published log has 5 entries"),
        ("from=0&to=6", not_found("not_published"), "`to` is 6, and the published log has 5 entries"),
        (&*format!("from={largest}"), not_found("not_published"), "`from` is"),
        (&*format!("from=0&to={largest}"), not_found("not_published"), "`to` is"),
        ("from=3&to=3", bad("malformed_parameter"), "`from` must be below `to`"),
        ("from=4&to=3", bad("malformed_parameter"), "`from` must be below `to`"),
        ("from=9&to=7", bad("malformed_parameter"), "`from` must be below `to`"),
        ("from=-1", bad("malformed_parameter"), "`from` must be a decimal number"),
        ("from=01", bad("malformed_parameter"), "`from` must be a decimal number"),
        ("from=0&to=x", bad("malformed_parameter"), "`to` must be a decimal number"),
        ("from=0&to=", bad("malformed_parameter"), "`to` must be a decimal number"),
        ("from=9223372036854775808", bad("malformed_parameter"), "`from` must be a decimal number"),
        ("from=0&from=0", bad("unknown_parameter"), "`from` is given twice"),
        ("from=0&limit=9", bad("unknown_parameter"), "this path knows `from`, `to` only"),
        (&*format!("from={}", "1".repeat(300)), bad("malformed_parameter"), "a query has at most 256 bytes"),
    ] {
        let answer = site.get(&format!("/v1/entries?{query}"));
        assert_eq!(answer.check_problem(query), refusal, "{query}");
        let body: Value = serde_json::from_slice(&answer.body).unwrap();
        assert!(body["detail"].as_str().unwrap().starts_with(told), "{query}: {body}");
    }
    assert_eq!(site.ask("POST", "/v1/entries", &[("Content-Length", "0")]).check_problem("entries").0, 405);
}

#[test]
fn a_page_that_cannot_change_may_be_kept_and_one_that_ends_at_the_head_is_asked_about() {
    let mut site = Site::new(&[300]);
    let same = |one: &Answer, other: &Answer| {
        (other.header("etag"), &other.body, other.header("link")) == (one.header("etag"), &one.body, one.header("link"))
    };
    let fixed = ["/v1/entries?from=0", "/v1/entries?from=0&to=300", "/v1/entries?from=7&to=9", "/v1/entries?from=44"];
    let before: Vec<Answer> = fixed.iter().map(|path| site.get(path)).collect();
    let open = site.get("/v1/entries?from=200");
    assert_eq!(open.header("cache-control"), "no-cache");
    // Exactly full at the head: whether there is a next page will be another answer.
    assert_eq!((before[3].header("cache-control"), before[3].header("link")), ("no-cache", ""));
    site.ledger.append(&mixed(300, 10), START).unwrap();
    for (path, before) in fixed[..3].iter().zip(&before) {
        assert_eq!(before.header("cache-control"), KEPT, "{path}");
        assert!(same(before, &site.get(path)), "{path} is what it was");
        let again = site.ask("GET", path, &[("If-None-Match", before.header("etag"))]);
        assert_eq!((again.status, again.body.len(), again.header("cache-control")), (304, 0, KEPT), "{path}");
        let head = site.ask("HEAD", path, &[]);
        assert_eq!((head.status, head.body.len()), (200, 0), "{path}");
        for name in ["content-length", "content-type", "etag", "cache-control", "link", "access-control-allow-origin"] {
            assert_eq!(head.header(name), before.header(name), "{path}: {name}");
        }
    }
    for (path, before) in [("/v1/entries?from=200", &open), ("/v1/entries?from=44", &before[3])] {
        let after = site.ask("GET", path, &[("If-None-Match", before.header("etag"))]);
        assert_eq!(after.status, 200, "{path}");
        assert!(!same(before, &after), "{path} goes on");
    }
    let other = [site.get("/v1/entries?from=7&to=9"), site.get("/v1/entries?from=7&to=10")];
    assert_ne!(other[0].header("etag"), other[1].header("etag"), "each range has its own validator");
}

/// A record has at most 64 KiB, so 256 of them would be 22 MB of JSON.
#[test]
fn a_page_of_large_records_is_as_short_as_it_must_be_and_pages_still_join() {
    let mut site = Site::new(&[1]);
    let mut batch = Batch::default();
    for number in 0..40_u8 {
        let (realm, media_type) = ("main".into(), "text/plain".into());
        let record = Record::Statement { recorded_at: START, realm, media_type, body: vec![number; 60_000] };
        batch.push(&record, None).unwrap();
    }
    site.ledger.append(&batch, START).unwrap();
    let found = pages(&site, "/v1/entries?from=0");
    assert_eq!(indexes(&found), (0..41).collect::<Vec<u64>>());
    let records = |page: &Value| page["entries"].as_array().unwrap().iter().map(record_len).sum::<usize>();
    assert!(found.len() > 2 && found.iter().all(|page| records(page) <= 1 << 20), "{}", found.len());
}

fn record_len(entry: &Value) -> usize {
    unb64(entry["record"].as_str().unwrap()).unwrap().len()
}
