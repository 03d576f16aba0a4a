//! Evidence bundles from the public listener: what is in them, what is not, and what is refused.

use std::io::{Read, Write};
use std::net::TcpStream;

use ledger::{Batch, Private, Signer};
use verifier::act::{Act, Deed, Mode};
use verifier::bundle::{Bundle, MEDIA_TYPE, Part};
use verifier::decision::Outcome;
use verifier::epoch::{EpochContent, digest, parts};
use verifier::hash::Hash;
use verifier::proof::{inclusion_length, many_length};
use verifier::record::Record;
use verifier::text::b64;
use verifier::verify::{LogKey, VerifiedBundle, climb_bundle};

use super::site::{Answer, Site, bad, not_found};
use crate::common::{Case, ORIGIN, SECRET, START, statement};

/// Where the first decision stands: behind a statement, a part of an epoch and its closing record.
const FIRST: u64 = 3;

/// A site over a log with an epoch and so many decisions, every third of a realm that is committed.
fn site(decisions: u64) -> Site {
    let mut site = Site::new(&[1]);
    let document = EpochContent::default().encode();
    let mut batch = Batch::default();
    for (part, bytes) in (0..).zip(parts(&document)) {
        batch.push(&Record::EpochPart { recorded_at: START, epoch: 1, part, bytes: bytes.to_vec() }, None).unwrap();
    }
    let deed = Deed::Epoch { number: 1, content: digest(&document), mode: Mode::Live };
    let admin = Signer::generate(&Act::key_name(ORIGIN)).unwrap();
    let note = admin.sign_note(&Act { origin: ORIGIN.into(), follows: 0, deed }.text());
    let closing = Record::Epoch { recorded_at: START, governance: 1, first_part: 1, parts: 1, note, predecessor: None };
    batch.push(&closing, None).unwrap();
    site.epochs.lock().unwrap().push(2);
    site.ledger.append(&batch, START).unwrap();
    let mut left = (FIRST..FIRST + decisions).peekable();
    while left.peek().is_some() {
        let mut batch = Batch::default();
        for number in left.by_ref().take(4_000) {
            let case = Case::new(number);
            let private = Private { disclosed: number % 3 != 2, ..case.private() };
            batch.push(&case.record, Some(private)).unwrap();
        }
        site.ledger.append(&batch, START).unwrap();
    }
    site
}

fn post(site: &Site, path: &str, body: &str) -> Answer {
    let mut stream = TcpStream::connect(site.address).unwrap();
    let head = format!(
        "POST {path} HTTP/1.1\r\nHost: log.example\r\nConnection: close\r\nContent-Length: {}\r\n\r\n",
        body.len()
    );
    stream.write_all(head.as_bytes()).unwrap();
    // A body that is too long may be refused before all of it was sent.
    let _ = stream.write_all(body.as_bytes());
    let mut bytes = Vec::new();
    let _ = stream.read_to_end(&mut bytes);
    Answer::parse(&bytes)
}

fn verified<'a>(site: &Site, bytes: &'a [u8]) -> VerifiedBundle<'a> {
    climb_bundle(bytes, &[LogKey::unlimited(site.reader.verifier_key().clone())]).verdict.unwrap()
}

fn indexes(bundle: &VerifiedBundle<'_>) -> Vec<u64> {
    bundle.records().map(|(index, _, _)| index).collect()
}

#[test]
fn a_list_is_answered_with_a_bundle_that_verifies_with_the_key_alone() {
    let site = site(30);
    let answer = site.get("/v1/bundles?indexes=20,3,5-7");
    assert_eq!((answer.status, answer.header("content-type")), (200, MEDIA_TYPE));
    assert_eq!(answer.header("cache-control"), "no-cache");
    assert!(answer.header("content-disposition").starts_with("attachment"));
    let bundle = verified(&site, &answer.body);
    assert_eq!(indexes(&bundle), [1, 2, 3, 5, 6, 7, 20]);
    assert_eq!(bundle.bundle().manifest.choice, "indexes=3,5-7,20");
    assert_eq!(bundle.bundle().manifest.vkey, site.reader.verifier_key().to_string());
    assert_eq!(bundle.bundle().checkpoint, site.reader.head().note);
    assert_eq!(bundle.epochs()[&1], EpochContent::default().encode());
    for (index, _, parts) in bundle.decisions() {
        let case = Case::new(index);
        match parts.request {
            Part::Disclosed { salt, bytes } => assert_eq!((salt, bytes), (case.request_salt, &case.request[..])),
            state => assert!(index % 3 == 2 && state == Part::Committed, "{index}: {state:?}"),
        }
    }
    // The same question has the same answer, byte for byte, and a HEAD asks for nothing else.
    let again = site.ask("GET", "/v1/bundles?indexes=20,3,5-7", &[("If-None-Match", answer.header("etag"))]);
    assert_eq!(again.status, 304);
    let head = site.ask("HEAD", "/v1/bundles?indexes=20,3,5-7", &[]);
    assert_eq!((head.status, head.header("content-length")), (200, answer.body.len().to_string().as_str()));
    // A list that is too long for a query comes in a body, in any order.
    let posted = post(&site, "/v1/bundles", " [7, 20,3 ,5,6]");
    assert_eq!((posted.status, posted.header("cache-control")), (200, "no-store"));
    assert_eq!(posted.header("access-control-allow-origin"), "*");
    assert_eq!(posted.body, answer.body);
    // Under an older head, for who keeps that one.
    let older = site.get("/v1/bundles?indexes=1&size=3");
    assert_eq!((verified(&site, &older.body).head().size, indexes(&verified(&site, &older.body))), (3, vec![1]));
    assert_eq!(verified(&site, &post(&site, "/v1/bundles?size=3", "[0]").body).head().size, 3);
}

#[test]
fn a_search_finds_the_decisions_that_are_so() {
    let mut site = site(10);
    let mut batch = Batch::default();
    let mut case = Case::new(99);
    let Record::Decision(decision) = &mut case.record else { panic!("a decision") };
    decision.realm = "clinic".into();
    decision.outcome = Outcome::Allow;
    decision.grant = Some(verifier::decision::Grant { expires_at: START, uses: 1, lease_ends_at: None });
    batch.push(&case.record, Some(case.private())).unwrap();
    batch.push(&statement(7, 40), None).unwrap();
    site.ledger.append(&batch, START).unwrap();
    let found = |query: &str| {
        let answer = site.get(&format!("/v1/bundles?{query}"));
        assert_eq!(answer.status, 200, "{query}");
        let bundle = verified(&site, &answer.body);
        assert_eq!(bundle.bundle().manifest.choice, query);
        bundle.decisions().map(|(index, _, _)| index).collect::<Vec<_>>()
    };
    assert_eq!(found("from=0"), (3..=13).collect::<Vec<_>>());
    assert_eq!(found("from=5&to=8"), [5, 6, 7, 8]);
    assert_eq!(found("from=0&outcome=allow"), [13]);
    assert_eq!(found("from=0&to=14&outcome=deny&realm=main&epoch=1"), (3..=12).collect::<Vec<_>>());
    assert_eq!(found("from=0&realm=clinic"), [13]);
    for (query, refusal) in [
        ("", bad("missing_parameter")),
        ("size=3", bad("missing_parameter")),
        ("indexes=1&from=0", bad("missing_parameter")),
        ("indexes=", bad("missing_parameter")),
        ("indexes=3-", bad("malformed_parameter")),
        ("indexes=0-10000", bad("malformed_parameter")),
        ("indexes=1&indexes=2", bad("unknown_parameter")),
        ("indexes=15", not_found("not_published")),
        ("indexes=1&size=2", not_found("not_published")),
        ("indexes=4&size=3", not_found("not_published")),
        ("outcome=maybe", bad("malformed_parameter")),
        ("realm=a%26b", bad("malformed_parameter")),
        ("realm=elsewhere", not_found("nothing_chosen")),
        ("from=0&to=15", not_found("not_published")),
        ("from=15", not_found("not_published")),
        ("from=5&to=4", bad("malformed_parameter")),
        ("x=1", bad("unknown_parameter")),
    ] {
        assert_eq!(site.refused(&format!("/v1/bundles?{query}")), refusal, "{query}");
    }
}

#[test]
fn a_body_that_is_no_list_is_refused_and_so_is_every_other_method() {
    let site = site(3);
    let long = format!("[{}1]", "1,".repeat(131_072));
    let many = format!("{:?}", (0..10_001).collect::<Vec<u64>>());
    for (body, refusal) in [
        ("", bad("malformed_parameter")),
        ("3", bad("malformed_parameter")),
        ("[3,]", bad("malformed_parameter")),
        ("[-3]", bad("malformed_parameter")),
        ("[3.0]", bad("malformed_parameter")),
        ("[\"3\"]", bad("malformed_parameter")),
        ("[3] x", bad("malformed_parameter")),
        (&long, bad("malformed_parameter")),
        (&many, bad("malformed_parameter")),
        ("[]", not_found("nothing_chosen")),
        ("[6]", not_found("not_published")),
        ("[18446744073709551615]", not_found("not_published")),
    ] {
        assert_eq!(post(&site, "/v1/bundles", body).check_problem(body), refusal);
    }
    assert_eq!(post(&site, "/v1/bundles?from=0", "[3]").check_problem("from"), bad("unknown_parameter"));
    for method in ["PUT", "DELETE", "OPTIONS", "PATCH"] {
        let answer = site.ask(method, "/v1/bundles?indexes=3", &[("Content-Length", "0")]);
        assert_eq!(answer.check_problem(method), (405, "method_not_allowed".to_owned()));
        assert_eq!(answer.header("allow"), "GET, HEAD, POST");
    }
}

#[test]
fn of_a_committed_realm_a_bundle_has_commitments_only() {
    let site = site(12);
    let answer = site.get("/v1/bundles?indexes=5,8,11,14");
    assert_eq!(verified(&site, &answer.body).decisions().count(), 4);
    for index in [5, 8, 11, 14] {
        let case = Case::new(index);
        let secrets: [&[u8]; 5] =
            [SECRET.as_bytes(), &case.request, &case.detail, &case.request_salt, &case.detail_salt];
        for secret in secrets {
            let encoded = b64(secret);
            assert!(!answer.body.windows(secret.len()).any(|window| window == secret));
            assert!(!answer.body.windows(encoded.len()).any(|window| window == encoded.as_bytes()));
        }
    }
}

#[test]
fn what_was_erased_is_named_erased_by_the_record_that_says_so() {
    let mut site = site(9);
    let by = site.reader.size();
    let mut batch = Batch::default();
    batch.push(&Record::Erasure { recorded_at: START, index: 4, parts: 1, note: "an act\n".into() }, None).unwrap();
    site.ledger.append(&batch, START).unwrap();
    site.ledger.erase(4, 1, by).unwrap();
    let answer = site.get("/v1/bundles?indexes=3,4");
    let bundle = verified(&site, &answer.body);
    assert_eq!(indexes(&bundle), [1, 2, 3, 4, by]);
    let case = Case::new(4);
    let states: Vec<_> =
        bundle.decisions().map(|(_, _, parts)| (parts.request.state(), parts.detail.state())).collect();
    assert_eq!(states, [("disclosed", "disclosed"), ("erased", "disclosed")]);
    assert!(!answer.body.windows(case.request.len()).any(|window| window == case.request));
    // Under a head from before there is no record to show.
    assert_eq!(site.refused(&format!("/v1/bundles?indexes=4&size={by}")), not_found("not_published"));
}

#[test]
fn an_epoch_that_is_not_what_was_signed_gives_no_bundle() {
    let site = site(3);
    site.epochs.lock().unwrap()[0] = 0;
    assert_eq!(site.refused("/v1/bundles?indexes=3"), (500, "damaged".to_owned()));
    site.epochs.lock().unwrap().clear();
    assert_eq!(site.refused("/v1/bundles?indexes=3"), (500, "damaged".to_owned()));
    assert_eq!(site.get("/v1/bundles?indexes=0").status, 200, "what no epoch governs needs none");
}

/// The largest choice over a log that spans several tiles, in hashes; how long it takes is told and not judged.
#[test]
fn ten_thousand_records_are_proved_at_once_with_a_fraction_of_their_paths() {
    let site = site(20_000);
    let size = site.reader.size();
    let begin = std::time::Instant::now();
    for (name, chosen) in [("all over it", (FIRST..size).step_by(2)), ("in a run", (FIRST..FIRST + 10_000).step_by(1))]
    {
        let chosen: Vec<u64> = chosen.take(10_000).collect();
        assert_eq!(chosen.len(), 10_000);
        let answer = post(&site, "/v1/bundles", &format!("{chosen:?}"));
        assert_eq!(answer.status, 200, "{name}");
        let bundle = Bundle::decode(&answer.body).unwrap();
        let all: Vec<u64> = bundle.entries.iter().map(|entry| entry.index).collect();
        let paths: usize = all.iter().map(|index| inclusion_length(*index, size).unwrap()).sum();
        assert_eq!(Some(bundle.proof.len()), many_length(&all, size));
        assert!(bundle.proof.len() * 10 < paths, "{name}: {} of {paths}", bundle.proof.len());
        verified(&site, &answer.body);
        println!(
            "{name}: {} hashes instead of {paths}, {} bytes, {:?}",
            bundle.proof.len(),
            answer.body.len(),
            begin.elapsed()
        );
    }
    let nowhere = Hash([7; 32]);
    let answer = site.get("/v1/bundles?indexes=3");
    let mut bundle = Bundle::decode(&answer.body).unwrap();
    bundle.proof[0] = nowhere;
    let spoiled = bundle.encode();
    assert!(climb_bundle(&spoiled, &[LogKey::unlimited(site.reader.verifier_key().clone())]).verdict.is_err());
}
