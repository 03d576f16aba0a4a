//! Strangers look for decisions and for acts of governance: what is disclosed is found, what is not tells nothing, and each look ends.

use std::collections::BTreeSet;
use std::sync::Arc;

use authorizer::archive::Archive;
use authorizer::clock::Manual;
use authorizer::http::Rates;
use serde_json::{Value, json};
use verifier::act::{Act, Deed, Parts, Power};

use crate::support::{Answer, ORIGIN, Site, call, erase, now_ms, read, with, with_gate};

const GET: &str = "GET";

fn ask(site: &Site, method: &str, path: &str, headers: &[(&str, &str)]) -> Answer {
    call(site.service.as_ref().unwrap().public_address().unwrap(), method, path, headers, b"")
}

fn get(site: &Site, path: &str) -> Value {
    let answer = ask(site, GET, path, &[]);
    assert_eq!(answer.status, 200, "{path}: {}", answer.text());
    answer.json()
}

fn indexes(page: &Value) -> Vec<u64> {
    page["results"].as_array().unwrap().iter().map(|one| one["index"].as_u64().unwrap()).collect()
}

/// Who reads what.
fn reads(subject: &str, resource: &str) -> Value {
    let mut request = read(resource);
    request["subject"]["id"] = subject.into();
    request
}

#[test]
fn decisions_are_found_newest_first_by_everything_that_is_disclosed_of_them() {
    let (site, clock) = Site::with_trust(&with_gate(""));
    let ann = site.decide(&reads("ann", "r1"));
    clock.advance(1_000);
    let between = clock_text(&site);
    let bob = site.decide(&with(reads("bob", "r2"), json!({ "audience": "gate" })));
    let denied = site.decide(&erase("r1"));
    let [ann, bob, denied] = [ann, bob, denied].map(|answer| answer["index"].as_u64().unwrap());
    let all = get(&site, "/v1/decisions");
    assert_eq!(indexes(&all), [denied, bob, ann]);
    assert_eq!((&all["next"], &all["unseen"], &all["scanned"]), (&Value::Null, &json!(0), &json!([0, site.size()])));
    let one = &all["results"][1];
    let record = site.reader.record(bob).unwrap();
    let verifier::record::Record::Decision(decision) = record else { panic!("no decision") };
    assert_eq!((&one["subject"], &one["action"]), (&json!({ "type": "Agent", "id": "bob" }), &json!("read")));
    assert_eq!((&one["outcome"], &one["audience"], &one["withheld"]), (&json!("allow"), &json!("gate"), &Value::Null));
    assert_eq!(one["request"], decision.request.to_string());
    assert_eq!(one["policies"], json!({ "names": ["reads"], "count": 1 }));
    assert_eq!((&one["conditions"]["policy"], &one["proof"]), (&json!("pass"), &json!(format!("/v1/receipts/{bob}"))));
    let commitment = decision.detail.to_string().replace('+', "%2B").replace('/', "%2F");
    let code = all["results"][0]["reasons"][0]["code"].as_str().unwrap();
    for (query, expected) in [
        ("outcome=allow".to_owned(), vec![bob, ann]),
        ("outcome=deny".to_owned(), vec![denied]),
        ("realm=main".to_owned(), vec![denied, bob, ann]),
        ("realm=mai".to_owned(), vec![]),
        ("condition=policy".to_owned(), vec![denied]),
        ("condition=scopes".to_owned(), vec![]),
        (format!("commitment={commitment}"), vec![bob]),
        (format!("commitment={}", verifier::text::hex(&decision.request.0)), vec![bob]),
        ("epoch=1".to_owned(), vec![denied, bob, ann]),
        ("epoch=2".to_owned(), vec![]),
        ("subject=ann".to_owned(), vec![ann]),
        ("subject=Agent%3A%3A%22ann%22".to_owned(), vec![ann]),
        ("subject=Bot%3A%3A%22ann%22".to_owned(), vec![]),
        ("action=read".to_owned(), vec![bob, ann]),
        ("resource=r1".to_owned(), vec![denied, ann]),
        ("policy=reads".to_owned(), vec![bob, ann]),
        ("policy=read".to_owned(), vec![]),
        (format!("reason={code}"), vec![denied]),
        ("reason=halted".to_owned(), vec![]),
        ("q=GATE".to_owned(), vec![bob]),
        ("q=%3A%3A%22bo".to_owned(), vec![bob]),
        ("resource=r1&outcome=allow&subject=".to_owned(), vec![ann]),
        (format!("from={between}"), vec![denied, bob]),
        (format!("to={between}"), vec![ann]),
        (format!("from={between}&to={between}"), vec![]),
        (format!("before={bob}"), vec![ann]),
        ("limit=2".to_owned(), vec![denied, bob]),
    ] {
        assert_eq!(indexes(&get(&site, &format!("/v1/decisions?{query}"))), expected, "{query}");
    }
    // By its names, as everywhere.
    let leaf = one["leaf"].as_str().unwrap().replace('+', "-").replace('/', "_");
    for id in [bob.to_string(), one["permit"].as_str().unwrap().to_owned(), leaf] {
        assert_eq!(get(&site, &format!("/v1/decisions/{id}")), *one, "{id}");
    }
    for (id, status, code) in [
        ("0", 404, "unknown_id"),
        ("99", 404, "not_published"),
        ("00000000000000000000000000000000", 404, "unknown_id"),
        ("x", 400, "malformed_parameter"),
    ] {
        let answer = ask(&site, GET, &format!("/v1/decisions/{id}"), &[]);
        assert_eq!((answer.status, &*answer.code()), (status, code), "{id}");
    }
    // Neither the key that asked, nor anything of a token, is in it.
    let text = all.to_string();
    assert!(!text.contains(site.key.split('.').next().unwrap()), "{text}");
    assert!(!["key_id", "signed", "evidence", "idempotency"].iter().any(|word| text.contains(word)), "{text}");
}

/// The time of the site's clock, as parameters have it.
fn clock_text(site: &Site) -> String {
    verifier::text::rfc3339(site.service.as_ref().unwrap().shared().now().at_ms).replace(':', "%3A")
}

#[test]
fn what_is_asked_has_one_spelling_and_limits_and_answers_are_like_those_of_the_whole_listener() {
    let (site, _) = Site::with_trust(&with_gate(""));
    site.decide(&read("r"));
    let long = format!("q={}", "a".repeat(513));
    let huge = format!("q={}", "a".repeat(4_100));
    for (query, code) in [
        ("outcome=Allow", "malformed_parameter"),
        ("condition=all", "malformed_parameter"),
        ("reason=because", "malformed_parameter"),
        ("commitment=AAAA", "malformed_parameter"),
        ("limit=0", "malformed_parameter"),
        ("limit=1001", "malformed_parameter"),
        ("limit=01", "malformed_parameter"),
        ("before=-1", "malformed_parameter"),
        ("epoch=x", "malformed_parameter"),
        ("from=yesterday", "malformed_parameter"),
        ("from=1960-01-01T00:00:00Z", "malformed_parameter"),
        ("format=xml", "malformed_parameter"),
        ("subject=%zz", "malformed_parameter"),
        ("q=a%00", "malformed_parameter"),
        (&long, "malformed_parameter"),
        (&huge, "malformed_parameter"),
        ("page=2", "unknown_parameter"),
        ("q=a&q=b", "unknown_parameter"),
    ] {
        let answer = ask(&site, GET, &format!("/v1/decisions?{query}"), &[]);
        assert_eq!((answer.status, &*answer.code()), (400, code), "{query}");
        assert_eq!(answer.header("access-control-allow-origin"), Some("*"));
    }
    for path in ["/v1/governance?limit=0", "/v1/governance?limit=65", "/v1/governance?x=1", "/v1/decisions/1?x=1"] {
        assert_eq!(ask(&site, GET, path, &[]).status, 400, "{path}");
    }
    assert_eq!(ask(&site, GET, "/v1/decisions", &[("Accept", "text/html")]).code(), "not_acceptable");
    for path in ["/v1/decisions", "/v1/decisions?format=csv", "/v1/decisions/2", "/v1/governance"] {
        let (full, head) = (ask(&site, GET, path, &[]), ask(&site, "HEAD", path, &[]));
        assert_eq!((full.status, head.status, head.body.len()), (200, 200, 0), "{path}");
        for name in ["content-length", "content-type", "etag", "cache-control", "vary", "x-content-type-options"] {
            assert_eq!(head.header(name), full.header(name), "{path}: {name}");
            assert!(full.header(name).is_some(), "{path}: {name}");
        }
        assert_eq!(full.header("cache-control"), Some("no-cache"));
        let again = ask(&site, GET, path, &[("If-None-Match", full.header("etag").unwrap())]);
        assert_eq!((again.status, again.body.len()), (304, 0), "{path}");
        let post = ask(&site, "POST", path, &[]);
        assert_eq!((post.status, post.header("allow"), &*post.code()), (405, Some("GET, HEAD"), "method_not_allowed"));
    }
}

/// Threat 26.
#[test]
fn of_a_committed_realm_decisions_show_commitments_only_and_no_filter_tells_more() {
    let trust = format!("{}[realms]\nmain = \"committed\"\nopen = \"public\"\n", with_gate(""));
    let (site, _) = Site::with_trust(&trust);
    let hidden = site.decide(&reads("annabelle", "secret"))["index"].as_u64().unwrap();
    let denied = site.decide(&erase("secret"))["index"].as_u64().unwrap();
    let key = site.key_of("open");
    let bearer = crate::support::bearer(&key);
    let headers = [("Authorization", &*bearer), ("Content-Type", "application/json")];
    let shown = site.call("POST", "/v1/decisions", &headers, reads("annabelle", "plain").to_string().as_bytes()).json();
    let shown = shown["index"].as_u64().unwrap();
    for format in ["json", "csv"] {
        let text = ask(&site, GET, &format!("/v1/decisions?realm=main&format={format}"), &[]).text();
        assert!(
            !["annabelle", "secret", "read", "erase", "no_matching"].iter().any(|word| text.contains(word)),
            "{text}"
        );
        assert!(text.contains("committed") && text.contains("deny"), "{text}");
    }
    let page = get(&site, "/v1/decisions?realm=main&outcome=allow");
    let one = &page["results"][0];
    assert_eq!((&one["withheld"], one.get("subject"), one.get("reasons")), (&json!("committed"), None, None));
    assert_eq!((&one["request"].is_string(), &one["conditions"]["policy"]), (&true, &json!("pass")));
    // Whatever is asked of their details, the answer is the same for all of them.
    for query in [
        "subject=annabelle",
        "subject=nobody",
        "resource=secret",
        "reason=no_matching_permit",
        "q=read",
        "policy=reads",
    ] {
        let page = get(&site, &format!("/v1/decisions?{query}"));
        assert_eq!(page["unseen"], 2, "{query}");
        let found: BTreeSet<u64> = indexes(&page).into_iter().collect();
        assert!(!found.contains(&hidden) && !found.contains(&denied), "{query}");
        assert_eq!(found.contains(&shown), ["subject=annabelle", "q=read", "policy=reads"].contains(&query), "{query}");
    }
}

#[test]
fn what_was_erased_says_so() {
    let (site, clock) = Site::with_trust(&with_gate("[erasure]\nafter_ms = 0\n"));
    let index = site.decide(&with(reads("ann", "r"), json!({ "ttl_ms": 1 })))["index"].as_u64().unwrap();
    clock.advance(1_000);
    let deed = Deed::Erasure { index, parts: Parts::Both, ground: "art. 17".into(), authority: "officer".into() };
    let note = site.sign(&Act { origin: ORIGIN.into(), follows: 1, deed });
    assert_eq!(site.admin("POST", "/v1/erasures", "text/plain", note.as_bytes()).status, 200);
    let one = get(&site, &format!("/v1/decisions/{index}"));
    assert_eq!((&one["withheld"], one.get("subject")), (&json!("erased"), None));
    let page = get(&site, "/v1/decisions?subject=ann");
    assert_eq!((indexes(&page), &page["unseen"]), (vec![], &json!(1)));
    assert!(ask(&site, GET, "/v1/decisions?format=csv", &[]).text().contains("\"erased\""));
}

#[test]
fn a_look_ends_says_what_it_looked_at_and_pages_lead_over_gaps_to_everything_once() {
    let (site, _) = Site::with_trust(&with_gate(""));
    let first = site.decide(&reads("needle", "r"))["index"].as_u64().unwrap();
    let plain: Vec<Value> = (0..1_200).map(|_| reads("hay", "r")).collect();
    assert_eq!(site.post("/v1/decisions?receipt=none&answer=brief", &Value::Array(plain)).status, 200);
    let last = site.decide(&reads("needle", "r"))["index"].as_u64().unwrap();
    let mut path = "/v1/decisions?subject=needle&limit=5".to_owned();
    let (mut found, mut looks, mut low) = (Vec::new(), 0, site.size());
    loop {
        let answer = ask(&site, GET, &path, &[]);
        let page = answer.json();
        found.extend(indexes(&page));
        looks += 1;
        assert_eq!(page["scanned"][1], low, "nothing is passed over");
        low = page["scanned"][0].as_u64().unwrap();
        let Some(next) = page["next"].as_u64() else {
            assert_eq!(answer.header("link"), None);
            break;
        };
        assert_eq!(next, low);
        let link = answer.header("link").unwrap();
        path = link.strip_prefix('<').unwrap().split_once(">; rel=\"next\"").unwrap().0.to_owned();
        assert_eq!(path, format!("/v1/decisions?subject=needle&limit=5&before={next}"));
    }
    assert_eq!((found, looks, low), (vec![last, first], 2, 0));
    // All of them, each once.
    let (mut all, mut before) = (BTreeSet::new(), site.size());
    loop {
        let page = get(&site, &format!("/v1/decisions?limit=500&before={before}"));
        for index in indexes(&page) {
            assert!(all.insert(index));
        }
        match page["next"].as_u64() {
            Some(next) => before = next,
            None => break,
        }
    }
    assert_eq!(all.len(), 1_202);
}

#[test]
fn an_export_is_csv_that_no_spreadsheet_runs_and_says_where_it_goes_on() {
    let (site, _) = Site::with_trust(&with_gate(""));
    let mut formula = read("r");
    formula["action"]["name"] = "=HYPERLINK(1)".into();
    site.decide(&formula);
    site.decide(&reads("plain", "a\"b,c"));
    let by_accept = ask(&site, GET, "/v1/decisions?limit=1", &[("Accept", "text/csv")]);
    assert_eq!(by_accept.header("content-type"), Some("text/csv; charset=utf-8; header=present"));
    assert_eq!(by_accept.header("vary"), Some("Accept, Accept-Encoding"));
    assert!(by_accept.header("content-disposition").unwrap().starts_with("attachment; filename=\"decisions-"));
    let next = by_accept.header("link").unwrap();
    assert!(next.starts_with("</v1/decisions?limit=1&before=") && next.ends_with(">; rel=\"next\""), "{next}");
    let text = ask(&site, GET, "/v1/decisions?format=csv", &[]).text();
    let lines: Vec<&str> = text.split_terminator("\r\n").collect();
    assert_eq!(lines.len(), 3, "{text}");
    assert!(lines[0].starts_with("\"index\",\"permit\",\"outcome\""), "{text}");
    assert!(lines[2].contains("\"'=HYPERLINK(1)\""), "{text}");
    assert!(lines[1].contains("\"Agent::\"\"plain\"\"\"") && lines[1].contains("a\"\"b,c"), "{text}");
    let cells = |line: &str| line.trim_matches('"').split("\",\"").map(str::to_owned).collect::<Vec<_>>();
    for cell in lines.iter().flat_map(|line| cells(line)) {
        assert!(!cell.starts_with(['=', '+', '-', '@']), "{cell}");
    }
}

fn acts(page: &Value) -> Vec<(u64, &str, &str)> {
    let acts = page["acts"].as_array().unwrap();
    acts.iter()
        .map(|one| {
            (
                one["governance"].as_u64().unwrap(),
                one["act"].as_str().unwrap(),
                one["about"].as_str().unwrap_or_default(),
            )
        })
        .collect()
}

#[test]
fn acts_of_governance_are_found_between_whatever_else_was_recorded_and_what_is_in_force_is_told() {
    let (mut site, _) = Site::with_trust(&with_gate(""));
    let some = |count: u32| {
        let plain: Vec<Value> = (0..count).map(|n| reads("hay", &n.to_string())).collect();
        assert_eq!(site.post("/v1/decisions?receipt=none&answer=brief", &Value::Array(plain)).status, 200);
    };
    some(300);
    let permit = site.decide(&read("r"))["permit"].clone();
    let leased = with(read("r"), json!({ "lease_ms": 10_000, "ttl_ms": 60_000, "audience": "gate" }));
    let leased = site.decide(&leased)["permit"].clone();
    assert_eq!(site.switch(1, "action erase", Power::Halt).status, 200);
    // Records that state no version, with an act behind them.
    assert_eq!(site.event(&leased, verifier::event::Step::Started).status, 200);
    assert_eq!(site.send("/v1/statements", "text/plain", b"evidence").status, 201);
    assert_eq!(site.revoke(2, &permit).status, 200);
    some(20);
    assert_eq!(site.switch(3, "realm other", Power::Halt).status, 200);
    assert_eq!(site.switch(4, "realm other", Power::Run).status, 200);
    assert_eq!(site.publish_trust(&with_gate(""), 5, 2).status, 200);
    let revoked = format!("permit {}", permit.as_str().unwrap());
    let expected = [
        (6, "epoch", "2"),
        (5, "switch", "realm other"),
        (4, "switch", "realm other"),
        (3, "revocation", &*revoked),
        (2, "switch", "action erase"),
        (1, "epoch", "1"),
    ];
    for _ in 0..2 {
        let page = get(&site, "/v1/governance");
        assert_eq!(acts(&page), expected);
        assert_eq!((&page["governance"], &page["next"]), (&json!(6), &Value::Null));
        let now = &page["in_force"];
        assert_eq!(
            (&now["epoch"], &now["newest_epoch"], &now["halted"]),
            (&json!(2), &json!(2), &json!(["action erase"]))
        );
        let thrown = &page["acts"][4];
        assert_eq!((&thrown["power"], &thrown["reason"]), (&json!("halt"), &json!("drill")));
        assert!(thrown["note"].as_str().unwrap().starts_with("interlock/switch/v1\n"));
        let (first, second) = (get(&site, "/v1/governance?limit=4"), get(&site, "/v1/governance?limit=4&before=3"));
        assert_eq!(first["next"], 3);
        assert_eq!([acts(&first), acts(&second)].concat(), expected);
        assert!(acts(&get(&site, "/v1/governance?before=1")).is_empty());
        site.restart();
    }
    assert!(site.service.take().unwrap().stop());
    let (_ledger, reader) = site.open_log();
    let archive =
        Archive::start("127.0.0.1:0".parse().unwrap(), reader, Arc::new(Manual::at(now_ms())), Rates::default(), None)
            .unwrap();
    let page = call(archive.address(), GET, "/v1/governance", &[], b"").json();
    assert_eq!((acts(&page).len(), &page["governance"], &page["in_force"]), (6, &json!(6), &Value::Null));
    let found = call(archive.address(), GET, "/v1/decisions?subject=hay&limit=3", &[], b"").json();
    assert_eq!(indexes(&found).len(), 3);
    assert!(archive.stop());
}

#[test]
fn an_empty_log_has_no_decisions_and_no_acts() {
    let site = Site::without_epoch(None, |config| config.public = Some("127.0.0.1:0".parse().unwrap()));
    let page = get(&site, "/v1/decisions?outcome=deny");
    assert_eq!(page, json!({ "size": 0, "results": [], "unseen": 0, "scanned": [0, 0], "next": null }));
    let page = get(&site, "/v1/governance");
    assert_eq!((&page["governance"], &page["acts"], &page["in_force"]["epoch"]), (&json!(0), &json!([]), &json!(0)));
}
