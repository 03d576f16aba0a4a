//! What holds for every path: GET and HEAD only, parameters with one spelling, validators, nothing above the published size.

use verifier::checkpoint::SignedCheckpoint;

use super::site::{Site, bad, check_links, not_found};
use crate::common::{ORIGIN, START, mixed};

#[test]
fn what_is_immutable_is_not_sent_twice() {
    let site = Site::new(&[300]);
    for path in ["/tile/0/000", "/tile/entries/001.p/44", "/v1/entries/7"] {
        let ask =
            |tag| site.ask("GET", path, &[("Accept", "application/*;q=0.5, application/cbor"), ("If-None-Match", tag)]);
        let first = ask("\"other\"");
        let keep = if path.contains(".p/") { "86400" } else { "31536000" };
        assert_eq!(first.header("cache-control"), format!("public, max-age={keep}, immutable"), "{path}");
        let again = ask(first.header("etag"));
        assert_eq!((again.status, again.body.len()), (304, 0), "{path}");
        assert_eq!(again.header("cache-control"), first.header("cache-control"));
    }
    // Words about an entry may change with the program; only its bytes may be kept.
    assert_eq!(site.get("/v1/entries/7").header("cache-control"), "no-cache");
    // What is not published has no validator that could match.
    assert_eq!(site.ask("GET", "/tile/0/001", &[("If-None-Match", "*")]).status, 404);
}

#[test]
fn head_is_get_without_the_body_and_other_methods_are_refused() {
    let site = Site::new(&[3]);
    for path in
        ["/checkpoint", "/tile/0/000.p/3", "/v1/log", "/v1/entries/0", "/v1/receipts/0", "/", "/site/text.js", "/livez"]
    {
        let (get, head) = (site.get(path), site.ask("HEAD", path, &[]));
        assert_eq!((head.status, head.body.len()), (200, 0), "{path}");
        for name in ["content-length", "content-type", "etag", "cache-control", "access-control-allow-origin"] {
            assert_eq!(head.header(name), get.header(name), "{path}: {name}");
        }
        assert_eq!(get.header("content-length"), get.body.len().to_string(), "{path}");
        for method in ["POST", "PUT", "DELETE", "OPTIONS", "PATCH"] {
            let answer = site.ask(method, path, &[("Content-Length", "0")]);
            assert_eq!(answer.check_problem(path), (405, "method_not_allowed".to_owned()), "{method} {path}");
            assert_eq!(answer.header("allow"), "GET, HEAD");
        }
    }
    assert_eq!(site.ask("HEAD", "/tile/0/001", &[]).status, 404);
}

#[test]
fn parameters_have_one_spelling_and_limits() {
    let site = Site::new(&[5]);
    let long = format!("/v1/proofs/inclusion?index={}", "1".repeat(300));
    for (path, refusal) in [
        ("/v1/entries/5", not_found("not_published")),
        ("/v1/entries/9223372036854775807", not_found("not_published")),
        ("/v1/entries/9223372036854775808", bad("malformed_parameter")),
        ("/v1/entries/-1", bad("malformed_parameter")),
        ("/v1/entries/01", bad("malformed_parameter")),
        ("/v1/entries/%31", bad("malformed_parameter")),
        ("/v1/entries/1%00", bad("malformed_parameter")),
        ("/v1/entries/1?x", bad("unknown_parameter")),
        ("/v1/entries/", not_found("unknown_path")),
        ("/v1/entries/1/", not_found("unknown_path")),
        ("/v1/proofs/inclusion", bad("missing_parameter")),
        ("/v1/proofs/inclusion?index=1", bad("missing_parameter")),
        ("/v1/proofs/inclusion?index=1&size=", bad("malformed_parameter")),
        ("/v1/proofs/inclusion?index=1&size=2&size=3", bad("unknown_parameter")),
        ("/v1/proofs/inclusion?index=1&size=6", not_found("not_published")),
        ("/v1/proofs/inclusion?index=3&size=3", not_found("not_published")),
        (&long, bad("malformed_parameter")),
        ("/v1/proofs/consistency?from=3&to=2", bad("malformed_parameter")),
        ("/v1/proofs/consistency?from=3&to=6", not_found("not_published")),
        ("/v1/proofs/consistency?from=+3&to=5", bad("malformed_parameter")),
        ("/v1/checkpoints", bad("missing_parameter")),
        ("/v1/checkpoints?from=1", bad("missing_parameter")),
        ("/v1/checkpoints?size=5&from=1&to=2", bad("missing_parameter")),
        ("/v1/checkpoints?from=3&to=2", bad("malformed_parameter")),
        ("/v1/checkpoints?size=4", not_found("not_published")),
        ("/v1/checkpoints?size=6", not_found("not_published")),
        ("/v1/receipts/5", not_found("not_published")),
        ("/v1/receipts/1?size=4", not_found("not_published")),
        ("/v1/receipts/1?size=6", not_found("not_published")),
        ("/v1/receipts/x", bad("malformed_parameter")),
        ("/v1/receipts/00000000000000000000000000000000", not_found("unknown_id")),
        ("/v1/receipts/0000000000000000000000000000000A", bad("malformed_parameter")),
        ("/v1/receipts/AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA", not_found("unknown_id")),
        ("/v1/receipts/AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAB", bad("malformed_parameter")),
        ("/v1/epochs/0", not_found("unknown_epoch")),
        ("/v1/epochs/1", not_found("unknown_epoch")),
        ("/v1/epochs/current", not_found("unknown_epoch")),
        ("/v1/epochs/newest", bad("malformed_parameter")),
        ("/v1", not_found("unknown_path")),
        ("/v2/log", not_found("unknown_path")),
        ("/metrics/all", not_found("unknown_path")),
        ("/../etc/passwd", not_found("unknown_path")),
    ] {
        assert_eq!(site.refused(path), refusal, "{path}");
    }
}

#[test]
fn nothing_above_the_published_size_is_served_while_the_log_grows() {
    let mut site = Site::new(&[]);
    let empty = site.get("/checkpoint");
    assert_eq!(SignedCheckpoint::open(empty.text(), site.reader.verifier_key(), ORIGIN).unwrap().checkpoint().size, 0);
    for path in ["/v1/entries/0", "/v1/requests/0", "/v1/receipts/0", "/tile/0/000.p/1", "/tile/entries/000.p/1"] {
        assert_eq!(site.refused(path), not_found("not_published"), "{path}");
    }
    check_links(&site);
    site.ledger.append(&mixed(0, 2), START).unwrap();
    assert_eq!(site.get("/v1/entries/1").status, 200);
    assert_eq!(site.refused("/v1/entries/2"), not_found("not_published"));
}
