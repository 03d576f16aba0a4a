//! The log itself, its entries, and the private parts of disclosed decisions.

use ledger::Batch;
use verifier::decision::commitment;
use verifier::hash::leaf_hash;
use verifier::record::Record;
use verifier::text::{b64, unb64};

use super::site::{Site, hash, not_found};
use crate::common::{Case, ORIGIN, START, leaf};

#[test]
fn the_log_says_what_it_is() {
    let site = Site::new(&[3]);
    let log = site.json("/v1/log");
    assert_eq!(log["origin"], ORIGIN);
    assert_eq!(log["vkey"], site.reader.verifier_key().to_string());
    assert_eq!(log["size"], 3);
    assert_eq!(hash(&log["root"]), site.reader.head().checkpoint.root);
    assert_eq!(log["checkpoint"], site.reader.head().note);
    assert_eq!(log["time"], verifier::text::rfc3339(START));
    assert_eq!(log["created_at"], verifier::text::rfc3339(START));
}

#[test]
fn an_entry_comes_with_its_bytes_or_as_nothing_but_its_bytes() {
    let site = Site::new(&[5]);
    let entry = site.json("/v1/entries/1");
    assert_eq!(unb64(entry["record"].as_str().unwrap()).unwrap(), leaf(1));
    assert_eq!(hash(&entry["leaf"]), leaf_hash(&leaf(1)));
    assert_eq!((&entry["index"], &entry["kind"]), (&1.into(), &"decision".into()));
    assert_eq!(entry["decision"]["permit"], Case::new(1).permit.to_string());
    assert_eq!(entry["decision"]["decision"], false);
    assert_eq!(entry["decision"]["conditions"].as_object().unwrap().len(), 9);
    assert_eq!(site.json("/v1/entries/0")["kind"], "statement");
    let raw = site.ask("GET", "/v1/entries/1", &[("Accept", "application/cbor")]);
    assert_eq!((raw.header("content-type"), raw.header("vary")), ("application/cbor", "Accept, Accept-Encoding"));
    assert_eq!(raw.body, leaf(1));
    assert_ne!(raw.header("etag"), site.get("/v1/entries/1").header("etag"));
    let other = site.ask("GET", "/v1/entries/1", &[("Accept", "text/html")]);
    assert_eq!(other.check_problem("entries"), (406, "not_acceptable".to_owned()));
}

#[test]
fn a_disclosed_request_is_served_with_what_its_commitments_need() {
    let site = Site::new(&[5]);
    let case = Case::new(1);
    let parts = site.json("/v1/requests/1");
    assert_eq!(parts["permit"], case.permit.to_string());
    let Record::Decision(decision) = &case.record else { panic!("a decision") };
    for (part, bytes, committed) in
        [("request", &case.request, decision.request), ("detail", &case.detail, decision.detail)]
    {
        let salt: [u8; 16] = unb64(parts[part]["salt"].as_str().unwrap()).unwrap().try_into().unwrap();
        let served = unb64(parts[part]["bytes"].as_str().unwrap()).unwrap();
        assert_eq!(&served, bytes);
        assert_eq!(commitment(&salt, &served), committed);
    }
    // An erasure may end it: never kept without asking.
    assert_eq!(site.get("/v1/requests/1").header("cache-control"), "no-cache");
    assert_eq!(site.refused("/v1/requests/0"), not_found("no_request"));
    assert_eq!(site.refused("/v1/requests/5"), not_found("not_published"));
}

#[test]
fn the_request_of_a_committed_realm_is_not_served_in_any_form() {
    let mut site = Site::new(&[]);
    let case = Case::new(7);
    let mut batch = Batch::default();
    batch.push(&case.record, Some(ledger::Private { disclosed: false, ..case.private() })).unwrap();
    site.ledger.append(&batch, START).unwrap();
    let permit = case.permit.to_string();
    assert_eq!(site.refused("/v1/requests/0"), not_found("committed"));
    let receipt = format!("/v1/receipts/{permit}");
    let secrets: [&[u8]; 4] = [&case.request, &case.detail, &case.request_salt, &case.detail_salt];
    for path in [
        "/v1/requests/0",
        "/v1/entries/0",
        "/v1/entries?from=0",
        &receipt,
        "/tile/entries/000.p/1",
        "/v1/log",
        "/",
        "/v1/epochs",
    ] {
        for accept in ["application/json", "*/*", "application/cbor"] {
            let body = site.ask("GET", path, &[("Accept", accept)]).body;
            for secret in secrets {
                let encoded = b64(secret);
                let found = body.windows(secret.len()).any(|window| window == secret)
                    || body.windows(encoded.len()).any(|window| window == encoded.as_bytes());
                assert!(!found, "{path} tells a private part");
            }
        }
    }
}
