//! What a decision leaves behind: one span of its caller's trace, and every step below it.

use std::collections::BTreeSet;

use opentelemetry_proto::tonic::trace::v1::Span;
use serde_json::json;

use super::collector::{Collector, Manner, PARENT, STEPS, TRACE, attributes, hex, names, sampled, traced, tree};
use crate::support::{bearer, erase, read, with};

#[test]
fn a_decision_is_one_span_of_its_callers_trace_with_every_step_below_it() {
    let collector = Collector::start(Manner::Takes);
    let site = collector.site("0");
    let address = site.address();
    let answer = traced(&site, "/v1/decisions", &sampled(), &read("r1"));
    assert_eq!(answer.status, 200);
    assert!(!answer.head.to_ascii_lowercase().contains("trace"), "{}", answer.head);
    let index = answer.json()["index"].to_string();
    let spans = collector.after(site);
    assert_eq!(spans.len(), 1 + STEPS.len(), "the epoch was nobody's trace, and nothing is drawn");
    let (top, below) = tree(&spans, "POST /v1/decisions");
    assert_eq!((hex(&top.trace_id), hex(&top.parent_span_id), top.flags), (TRACE.into(), PARENT.into(), 0x301));
    assert_eq!(names(&below), STEPS);
    assert!(below.iter().all(|span| span.flags == 0x101 && span.status.is_none()));
    let port = address.port().to_string();
    let expected = [
        ("http.request.method", "POST"),
        ("http.response.status_code", "200"),
        ("http.route", "/v1/decisions"),
        ("interlock.allowed", "1"),
        ("interlock.decisions", "1"),
        ("interlock.deduplicated", "0"),
        ("interlock.log.index", &index),
        ("interlock.outcome", "allow"),
        ("interlock.realm.mode", "public"),
        ("interlock.shadow", "false"),
        ("network.protocol.version", "1.1"),
        ("server.address", "127.0.0.1"),
        ("server.port", &port),
        ("url.scheme", "http"),
    ];
    assert_eq!(attributes(&top.attributes), expected.map(|(key, value)| (key, value.to_owned())).into());
    assert!(top.status.is_none());
    for span in below {
        let of_batch = ["hash", "commit"].contains(&span.name.as_str());
        let expected = of_batch.then(|| ("interlock.batch.entries", "1".to_owned()));
        assert_eq!(attributes(&span.attributes), expected.into_iter().collect(), "{}", span.name);
    }
    let messages = collector.messages();
    let [resource] = messages[0].resource_spans.as_slice() else { panic!("one process") };
    let resource_attributes = &resource.resource.as_ref().unwrap().attributes;
    let process = attributes(resource_attributes);
    assert_eq!(process.keys().copied().collect::<Vec<_>>(), ["service.instance.id", "service.name", "service.version"]);
    assert_eq!((process["service.name"].as_str(), process["service.instance.id"].len()), ("interlock", 36));
    assert_eq!(resource.scope_spans[0].scope.as_ref().unwrap().name, "interlock");
    let head = collector.heads.lock().unwrap()[0].clone();
    assert!(head.starts_with("post /v1/traces http/1.1\r\n"), "{head}");
    assert!(head.contains("\r\ncontent-type: application/x-protobuf\r\n"), "{head}");
}

#[test]
fn a_batch_is_one_trace_that_says_how_many_were_allowed_and_why_others_were_not() {
    let collector = Collector::start(Manner::Takes);
    let site = collector.site("0");
    let once = with(read("r4"), json!({ "idempotency_key": "k1" }));
    assert_eq!(site.post("/v1/decisions", &once).status, 200);
    let body = json!([read("r1"), erase("r2"), read("r3"), once]);
    let answer = traced(&site, "/v1/decisions?receipt=range", &sampled(), &body);
    let first = answer.json()["results"][0]["index"].to_string();
    let spans = collector.after(site);
    let (top, below) = tree(&spans, "POST /v1/decisions");
    assert_eq!(names(&below), STEPS);
    let all = attributes(&top.attributes);
    let said = |key: &str| all[&*format!("interlock.{key}")].as_str();
    assert_eq!((said("outcome"), said("decisions"), said("allowed"), said("deduplicated")), ("mixed", "4", "3", "1"));
    assert_eq!((said("codes"), said("log.index")), ("no_matching_permit", first.as_str()));
    let entries = below.iter().filter_map(|span| attributes(&span.attributes).remove("interlock.batch.entries"));
    assert_eq!(entries.collect::<Vec<_>>(), ["3", "3"]);
}

#[test]
fn a_denial_is_no_error_and_names_its_codes_but_not_of_a_committed_realm() {
    let collector = Collector::start(Manner::Takes);
    let site = collector.site("0");
    let answer = traced(&site, "/v1/decisions", &sampled(), &erase("r1"));
    assert_eq!(answer.json()["decision"], false);
    let trust = "[realms]\nmain = \"public\"\nclinic = \"committed\"\n";
    assert_eq!(site.publish_trust(trust, 1, 2).status, 200);
    let key = site.key_of("clinic");
    let body = erase("r1").to_string();
    let other = format!("00-{}-{PARENT}-01", TRACE.replace('0', "1"));
    let headers = [("Authorization", &*bearer(&key)), ("Content-Type", "application/json"), ("traceparent", &*other)];
    assert_eq!(site.call("POST", "/v1/decisions", &headers, body.as_bytes()).json()["decision"], false);
    let spans = collector.after(site);
    let of = |trace: &str| {
        let spans: Vec<Span> = spans.iter().filter(|span| hex(&span.trace_id) == trace).cloned().collect();
        let (top, below) = tree(&spans, "POST /v1/decisions");
        assert_eq!(names(&below), STEPS);
        assert!(top.status.is_none());
        let all = attributes(&top.attributes);
        assert!(!all.contains_key("error.type") && all["interlock.outcome"] == "deny");
        let get = |key: &str| all.get(key).cloned();
        (get("interlock.realm.mode"), get("interlock.codes"), get("interlock.log.index").is_some())
    };
    assert_eq!(of(TRACE), (Some("public".into()), Some("no_matching_permit".into()), true));
    assert_eq!(of(&TRACE.replace('0', "1")), (Some("committed".into()), None, false));
}

#[test]
fn authzen_is_traced_by_the_same_steps() {
    let collector = Collector::start(Manner::Takes);
    let site = collector.site("0");
    assert_eq!(traced(&site, "/access/v1/evaluation", &sampled(), &read("r1")).status, 200);
    let many = json!({ "evaluations": [erase("r1"), read("r2")], "options": { "evaluations_semantic": "permit_on_first_permit" } });
    assert_eq!(traced(&site, "/access/v1/evaluations", &sampled(), &many).status, 200);
    let spans = collector.after(site);
    assert_eq!(names(&tree(&spans, "POST /access/v1/evaluation").1), STEPS);
    let (top, below) = tree(&spans, "POST /access/v1/evaluations");
    let found: BTreeSet<&str> = names(&below).into_iter().collect();
    assert_eq!(found, STEPS.into());
    assert_eq!(attributes(&top.attributes)["interlock.outcome"], "mixed");
}
