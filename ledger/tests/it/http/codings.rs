//! Content codings on the wire: what a client gets for what it accepts, and what tells the forms apart.

use std::io::Read;

use super::site::{Answer, Site, bad, not_found};
use crate::common::leaf;

fn bundle() -> Vec<u8> {
    let mut bytes = Vec::new();
    for index in 0..256 {
        verifier::tile::push_entry(&mut bytes, &leaf(index)).unwrap();
    }
    bytes
}

fn plain(answer: &Answer) -> Vec<u8> {
    match answer.header("content-encoding") {
        "" => answer.body.clone(),
        "gzip" => {
            let mut bytes = Vec::new();
            flate2::read::GzDecoder::new(answer.body.as_slice()).read_to_end(&mut bytes).unwrap();
            bytes
        }
        "zstd" => zstd::decode_all(answer.body.as_slice()).unwrap(),
        other => panic!("`{other}`"),
    }
}

const BUNDLE: &str = "/tile/entries/000";

#[test]
fn a_bundle_comes_in_the_coding_that_the_client_accepts_and_as_it_is_to_others() {
    let site = Site::new(&[300]);
    let bundle = bundle();
    for (accept, coding) in [
        (None, ""),
        (Some(""), ""),
        (Some("identity"), ""),
        (Some("gzip"), "gzip"),
        (Some("zstd"), "zstd"),
        (Some("gzip, deflate, br, zstd"), "zstd"),
        (Some("gzip;q=1.0, zstd;q=0.5"), "gzip"),
        (Some("br"), ""),
        (Some("*"), "gzip"),
        (Some("identity;q=0, *;q=0.5"), "gzip"),
        // A dictionary that nobody named is none.
        (Some("dcz"), ""),
        (Some("dcz, gzip;q=0.5"), "gzip"),
    ] {
        let headers: Vec<(&str, &str)> = accept.map(|accept| ("Accept-Encoding", accept)).into_iter().collect();
        let answer = site.ask("GET", BUNDLE, &headers);
        assert_eq!((answer.status, answer.header("content-encoding")), (200, coding), "{accept:?}");
        assert_eq!(answer.header("content-type"), "application/octet-stream");
        assert_eq!(answer.header("vary"), "Accept-Encoding, Available-Dictionary");
        assert_eq!(answer.header("content-length"), answer.body.len().to_string());
        assert!(plain(&answer) == bundle, "{accept:?}");
        assert_eq!(answer.body.len() < bundle.len(), !coding.is_empty());
        // Made once, kept, and the same again.
        let again = site.ask("GET", BUNDLE, &headers);
        assert_eq!((again.header("etag"), &again.body), (answer.header("etag"), &answer.body));
        let head = site.ask("HEAD", BUNDLE, &headers);
        for name in ["content-length", "content-type", "content-encoding", "etag", "cache-control", "vary"] {
            assert_eq!(head.header(name), answer.header(name), "{accept:?}: {name}");
        }
        assert!(head.body.is_empty());
    }
}

#[test]
fn hashes_and_small_answers_are_left_as_they_are_unless_the_client_cannot_read_that() {
    let site = Site::new(&[300]);
    for path in ["/tile/0/000", "/checkpoint", "/v1/entries/1"] {
        for accept in ["gzip", "zstd, gzip", "*"] {
            let headers = [("Accept-Encoding", accept), ("Accept", "application/cbor, */*;q=0.5")];
            assert_eq!(site.ask("GET", path, &headers).header("content-encoding"), "", "{path} {accept}");
        }
        let answer = site.ask("GET", path, &[("Accept-Encoding", "gzip, identity;q=0")]);
        assert_eq!(answer.header("content-encoding"), "gzip", "{path}");
        assert_eq!(plain(&answer), site.get(path).body);
    }
    // Documents of some length are text, and worth it.
    for path in ["/v1/entries/1", "/v1/checkpoints?from=0&to=300", "/v1/receipts/1", "/v1/log"] {
        let answer = site.ask("GET", path, &[("Accept-Encoding", "gzip"), ("Accept", "application/json")]);
        let plainly = site.ask("GET", path, &[("Accept", "application/json")]);
        assert_eq!(answer.header("content-encoding") == "gzip", plainly.body.len() >= 512, "{path}");
        assert_eq!(plain(&answer), plainly.body, "{path}");
    }
}

#[test]
fn a_client_that_accepts_nothing_gets_nothing() {
    let site = Site::new(&[300]);
    for path in [BUNDLE, "/tile/0/000", "/checkpoint", "/v1/log"] {
        for accept in ["identity;q=0", "*;q=0", "br, identity;q=0"] {
            let answer = site.ask("GET", path, &[("Accept-Encoding", accept)]);
            assert_eq!(answer.check_problem(path), (406, "not_acceptable".to_owned()), "{accept}");
        }
    }
}

#[test]
fn each_coding_has_its_own_validator() {
    let site = Site::new(&[300]);
    let mut tags = Vec::new();
    for accept in ["identity", "gzip", "zstd"] {
        let answer = site.ask("GET", BUNDLE, &[("Accept-Encoding", accept)]);
        let tag = answer.header("etag").to_owned();
        assert!(tag.starts_with('"') && tag.ends_with('"'), "a strong one: {tag}");
        assert!(!tags.contains(&tag), "{tag}");
        tags.push(tag);
    }
    let ask = |accept: &str, tag: &str| {
        let answer = site.ask("GET", BUNDLE, &[("Accept-Encoding", accept), ("If-None-Match", tag)]);
        if answer.status == 304 {
            assert_eq!((answer.body.len(), answer.header("content-encoding")), (0, ""));
            assert_eq!(answer.header("vary"), "Accept-Encoding, Available-Dictionary");
            assert!(!answer.header("cache-control").is_empty());
        }
        answer.status
    };
    for (accept, own) in ["identity", "gzip", "zstd"].into_iter().zip(&tags) {
        for tag in &tags {
            assert_eq!(ask(accept, tag), if tag == own { 304 } else { 200 }, "{accept} {tag}");
        }
        assert_eq!(ask(accept, "*"), 304);
        assert_eq!(ask(accept, &format!("W/{own}")), 304, "compared weakly");
        assert_eq!(ask(accept, &tags.join(", ")), 304, "one of a list");
        assert_eq!(ask(accept, &format!("\"x\" , {own}")), 304);
        assert_eq!(ask(accept, "\"x\""), 200);
        assert_eq!(ask(accept, own.trim_matches('"')), 200, "a tag has quotes");
    }
}

#[test]
fn errors_have_neither_coding_nor_validator() {
    let site = Site::new(&[3]);
    for path in ["/tile/0/001", "/tile/entries/001", "/nothing", "/v1/entries/9", "/v1/entries/x"] {
        for accept in ["gzip", "zstd", "identity;q=0, gzip"] {
            site.ask("GET", path, &[("Accept-Encoding", accept), ("If-None-Match", "*")]).check_problem(path);
        }
    }
}

/// Unpacks with a dictionary as raw content, as a client of RFC 9842 does.
fn with_dictionary(frame: &[u8], dictionary: &[u8]) -> Vec<u8> {
    zstd::bulk::Decompressor::with_dictionary(dictionary).unwrap().decompress(frame, 1 << 20).unwrap()
}

#[test]
fn a_sealed_bundle_goes_as_it_stands_to_a_client_that_names_its_dictionary_and_to_no_other() {
    let site = Site::with_segments(&[300, 300, 300], 20_000);
    assert_eq!(site.get("/v1/log").header("link"), "", "nothing is sealed yet");
    let before = site.get(BUNDLE).body;
    site.ledger.seal().unwrap();
    assert_eq!(site.get(BUNDLE).body, before);

    let link = site.get("/v1/log").header("link").to_owned();
    let path = link.strip_prefix('<').and_then(|rest| rest.strip_suffix(">; rel=\"compression-dictionary\"")).unwrap();
    let answer = site.get(path);
    assert_eq!(answer.header("use-as-dictionary"), "match=\"/tile/entries/*\"");
    assert_eq!(answer.header("cache-control"), "public, max-age=31536000, immutable");
    let dictionary = answer.body;
    let digest = verifier::hash::sha256(&dictionary);
    assert!(path.ends_with(&verifier::text::hex(&digest.0)));
    assert_eq!(site.refused(&format!("/v1/dictionaries/{}", "0".repeat(64))), not_found("unknown_id"));
    assert_eq!(site.refused("/v1/dictionaries/newest"), bad("malformed_parameter"));

    let named = format!(":{}:", verifier::text::b64(&digest.0));
    let ask = |path: &str, accept: &str, dictionary: &str, tag: &str| {
        let headers = [("Accept-Encoding", accept), ("Available-Dictionary", dictionary), ("If-None-Match", tag)];
        site.ask("GET", path, &headers)
    };
    let answer = ask(BUNDLE, "gzip, zstd, dcz", &named, "\"x\"");
    assert_eq!((answer.status, answer.header("content-encoding")), (200, "dcz"));
    assert_eq!(answer.header("vary"), "Accept-Encoding, Available-Dictionary");
    assert_eq!(answer.body[..8], [0x5e, 0x2a, 0x4d, 0x18, 0x20, 0, 0, 0]);
    assert_eq!(answer.body[8..40], digest.0);
    assert_eq!(with_dictionary(&answer.body[40..], &dictionary), before);
    // RFC 9842: the whole body is a zstd stream whose first frame is skipped.
    assert_eq!(with_dictionary(&answer.body, &dictionary), before);
    let tag = answer.header("etag").to_owned();
    assert_eq!(ask(BUNDLE, "dcz", &named, &tag).status, 304);
    for (accept, dictionary) in [
        ("zstd", named.as_str()),
        ("*", &named),
        ("dcz;q=0, zstd", &named),
        ("dcz;q=0.1, zstd", &named),
        ("dcz, zstd", &format!(":{}:", verifier::text::b64(&[1; 32]))),
        ("dcz, zstd", "nonsense"),
    ] {
        let other = ask(BUNDLE, accept, dictionary, &tag);
        assert_eq!(other.status, 200, "{accept} {dictionary}: one form's validator is not another's");
        assert_ne!(other.header("content-encoding"), "dcz", "{accept} {dictionary}");
        assert_eq!(plain(&other), before);
    }
    // What is not sealed, or not full, has no such form.
    for path in ["/tile/entries/003.p/132", "/tile/entries/000.p/5", "/tile/0/000"] {
        assert_eq!(ask(path, "dcz", &named, "\"x\"").header("content-encoding"), "", "{path}");
    }
}
