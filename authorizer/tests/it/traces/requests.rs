//! Requests that come to nothing, callers that say what they want traced, and what of a request is never exported.

use std::collections::BTreeSet;

use opentelemetry_proto::tonic::trace::v1::Span;
use serde_json::json;

use super::collector::{Collector, Manner, PARENT, TRACE, attributes, hex, names, sampled, traced, tree};
use crate::support::{Site, bearer, read};

#[test]
fn what_is_refused_before_it_is_parsed_is_a_span_without_steps() {
    let collector = Collector::start(Manner::Takes);
    let site = collector.site("0");
    let parent = sampled();
    let body = read("r1").to_string();
    let stranger = [("Content-Type", "application/json"), ("traceparent", &*parent)];
    assert_eq!(site.call("POST", "/v1/decisions", &stranger, body.as_bytes()).status, 401);
    let plain = [("Authorization", &*bearer(&site.key)), ("Content-Type", "text/plain"), ("traceparent", &*parent)];
    assert_eq!(site.call("POST", "/access/v1/evaluation", &plain, body.as_bytes()).status, 400);
    assert_eq!(traced(&site, "/secret/path", &parent, &json!({})).status, 404);
    assert_eq!(traced(&site, "/v1/executions/secret-permit/events", &parent, &json!({})).status, 404);
    let spans = collector.after(site);
    assert_eq!(spans.len(), 4);
    for (name, status, problem, route) in [
        ("POST /v1/decisions", "401", "unauthorized", Some("/v1/decisions")),
        ("POST /access/v1/evaluation", "400", "content_type", Some("/access/v1/evaluation")),
        ("POST", "404", "not_found", None),
        ("POST /v1/executions/{permit}/events", "404", "not_found", Some("/v1/executions/{permit}/events")),
    ] {
        let (top, below) = tree(&spans, name);
        let all = attributes(&top.attributes);
        assert_eq!(below, Vec::<&Span>::new());
        assert_eq!((all["http.response.status_code"].as_str(), all["interlock.problem"].as_str()), (status, problem));
        assert_eq!(all.get("http.route").map(String::as_str), route);
        assert!(
            !all.contains_key("error.type") && top.status.is_none(),
            "what a caller does wrong is no error of ours"
        );
    }
}

#[test]
fn what_could_not_be_decided_is_an_error_with_its_code() {
    let collector = Collector::start(Manner::Takes);
    let options = collector.options("0");
    let site = Site::without_epoch(None, move |config| config.traces = Some(options.clone()));
    assert_eq!(traced(&site, "/v1/decisions", &sampled(), &read("r1")).status, 503);
    let spans = collector.after(site);
    let (top, below) = tree(&spans, "POST /v1/decisions");
    assert_eq!(names(&below), ["parse", "evaluate"]);
    assert_eq!(attributes(&top.attributes)["error.type"], "no_epoch");
    assert_eq!(top.status.as_ref().unwrap().code, 2);
}

#[test]
fn nothing_that_a_request_says_is_ever_exported() {
    let collector = Collector::start(Manner::Takes);
    let site = collector.site("1");
    let secret = json!({
        "subject": { "type": "SecretAgentType", "id": "secret-subject", "properties": { "secretkey": "secret-value" } },
        "action": { "name": "read", "properties": { "amount": "secret-amount" } },
        "resource": { "type": "SecretDoc", "id": "secret-resource", "properties": { "frozen": true } },
        "context": { "secretcontext": "secret-context" },
        "idempotency_key": "secret-idempotency",
        "audience": "secret-audience",
    });
    let headers = [
        ("Authorization", &*bearer(&site.key)),
        ("Content-Type", "application/json"),
        ("traceparent", &*sampled()),
        ("tracestate", "secret-vendor=secret-state,ot=th:8;x:secret-ot"),
        ("X-Request-ID", "secret-request-id"),
        ("User-Agent", "secret-agent"),
        ("Baggage", "secret-baggage=1"),
        ("Interlock-Permit", "include"),
    ];
    let body = json!([secret, read("secret-plain")]).to_string();
    let answer = site.call("POST", "/v1/decisions?receipt=each", &headers, body.as_bytes());
    assert_eq!(answer.status, 200, "{}", answer.text());
    let permit = answer.json()[0]["permit"].as_str().unwrap().to_owned();
    site.call("POST", "/access/v1/evaluation", &headers, read("secret-authzen").to_string().as_bytes());
    site.call("GET", &format!("/v1/permits/{permit}"), &headers, b"");
    site.call("GET", "/v1/decisions?secret-query=secret", &headers, b"");
    site.call("SECRET", "/secret-path", &headers, b"");
    let mut wrong = headers;
    wrong[0].1 = "Bearer secret-token";
    site.call("POST", "/v1/decisions", &wrong, body.as_bytes());
    wrong[0].1 = headers[0].1;
    site.call("POST", "/v1/decisions", &wrong, b"{\"secret-malformed");
    let key = site.key.clone();
    let part: String = key.chars().take(12).collect();
    let spans = collector.after(site);
    assert!(spans.len() > 20);
    let (top, _) = tree(&spans, "GET /v1/permits/{permit}");
    assert_eq!((hex(&top.trace_id), top.trace_state.as_str()), (TRACE.into(), "ot=th:8"));
    let exported = collector.bodies.lock().unwrap().concat();
    let has = |word: &str| exported.windows(word.len()).any(|w| w.eq_ignore_ascii_case(word.as_bytes()));
    assert!(has("interlock.outcome") && has("/v1/permits/{permit}"), "the search finds what is there");
    for word in ["secret", &permit, &key, &part, "alice", "Agent", "bearer"] {
        assert!(!has(word), "{word}");
    }
}

#[test]
fn a_malformed_parent_begins_a_new_trace_and_one_that_records_nothing_is_followed() {
    let collector = Collector::start(Manner::Takes);
    let site = collector.site("1");
    let zeros = "0".repeat(32);
    let long = format!("cc-{TRACE}-{PARENT}-01-{}", "x".repeat(8_000));
    let bad = [
        "garbage",
        &*sampled().to_uppercase(),
        &*sampled().replace(TRACE, &zeros),
        &*format!("{}-x", sampled()),
        &long,
    ];
    for bad in bad {
        assert_eq!(traced(&site, "/v1/decisions", bad, &read("r1")).status, 200, "{bad}");
    }
    let twice = [("traceparent", &*sampled()), ("traceparent", &*sampled())];
    assert_eq!(site.call("GET", "/livez", &twice, b"").status, 200);
    assert_eq!(traced(&site, "/access/v1/evaluation", &format!("00-{TRACE}-{PARENT}-00"), &read("r1")).status, 200);
    let spans = collector.after(site);
    let tops: Vec<&Span> = spans.iter().filter(|span| span.kind == 2 && span.name != "POST /v1/epochs").collect();
    assert_eq!(tops.len(), bad.len() + 1, "the one whose caller does not record it is not there");
    let traces: BTreeSet<_> = tops.iter().map(|span| &span.trace_id).collect();
    assert_eq!(traces.len(), tops.len(), "each has a trace of its own");
    for top in tops {
        assert!(hex(&top.trace_id) != TRACE && hex(&top.trace_id) != zeros);
        assert_eq!((top.parent_span_id.as_slice(), top.trace_state.as_str(), top.flags), (&[][..], "", 0x103));
    }
}
