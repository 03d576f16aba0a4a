//! Traces as a collector gets them: over HTTP into the service, over OTLP out of it.

use std::collections::{BTreeMap, BTreeSet};
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use authorizer::traces::Options;
use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceRequest;
use opentelemetry_proto::tonic::common::v1::any_value::Value;
use opentelemetry_proto::tonic::common::v1::{AnyValue, KeyValue};
use opentelemetry_proto::tonic::trace::v1::Span;
use prost::Message;
use serde_json::json;

use crate::support::{Answer, Site, bearer, erase, read, with};

const TRACE: &str = "0af7651916cd43dd8448eb211c80319c";
const PARENT: &str = "b7ad6b7169203331";
/// What a decision goes through; all of it below its server span.
const STEPS: [&str; 7] = ["parse", "evaluate", "queue", "sequence", "hash", "commit", "answer"];

/// A collector that keeps what it is sent.
struct Collector {
    address: SocketAddr,
    heads: Arc<Mutex<Vec<String>>>,
    bodies: Arc<Mutex<Vec<Vec<u8>>>>,
}

/// How it answers.
#[derive(Clone, Copy, PartialEq)]
enum Manner {
    Takes,
    NeverAnswers,
    Fails,
    ClosesMidBody,
}

impl Collector {
    fn start(manner: Manner) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let (heads, bodies) = (Arc::default(), Arc::default());
        let collector = Collector { address, heads, bodies };
        let (heads, bodies) = (collector.heads.clone(), collector.bodies.clone());
        std::thread::spawn(move || {
            for stream in listener.incoming() {
                let (heads, bodies) = (heads.clone(), bodies.clone());
                std::thread::spawn(move || serve(&mut stream.unwrap(), manner, &heads, &bodies));
            }
        });
        collector
    }

    fn options(&self, ratio: &str) -> Options {
        let collector = format!("http://{}", self.address).parse().unwrap();
        Options { collector, ratio: ratio.parse().unwrap() }
    }

    fn site(&self, ratio: &str) -> Site {
        let options = self.options(ratio);
        Site::with(None, move |config| config.traces = Some(options.clone()))
    }

    fn messages(&self) -> Vec<ExportTraceServiceRequest> {
        let bodies = self.bodies.lock().unwrap();
        bodies.iter().map(|body| ExportTraceServiceRequest::decode(body.as_slice()).unwrap()).collect()
    }

    fn spans(&self) -> Vec<Span> {
        let resources = self.messages().into_iter().flat_map(|message| message.resource_spans);
        resources.flat_map(|resource| resource.scope_spans).flat_map(|scope| scope.spans).collect()
    }

    /// All that the site has left behind, once it is stopped: stopping sends it.
    fn after(&self, mut site: Site) -> Vec<Span> {
        assert!(site.service.take().unwrap().stop());
        self.spans()
    }
}

fn serve(stream: &mut TcpStream, manner: Manner, heads: &Mutex<Vec<String>>, bodies: &Mutex<Vec<Vec<u8>>>) {
    let mut raw = Vec::new();
    loop {
        let end = loop {
            if let Some(end) = raw.windows(4).position(|w| w == b"\r\n\r\n") {
                break end + 4;
            }
            if !more(stream, &mut raw) {
                return;
            }
        };
        let head = String::from_utf8(raw[..end].to_vec()).unwrap().to_ascii_lowercase();
        let length =
            head.lines().find_map(|line| line.strip_prefix("content-length: ")?.parse::<usize>().ok()).unwrap();
        if manner == Manner::ClosesMidBody {
            return;
        }
        while raw.len() < end + length {
            if !more(stream, &mut raw) {
                return;
            }
        }
        heads.lock().unwrap().push(head);
        bodies.lock().unwrap().push(raw[end..end + length].to_vec());
        raw.drain(..end + length);
        match manner {
            Manner::NeverAnswers => {
                let _ = stream.read(&mut [0]);
                return;
            }
            Manner::Fails => stream.write_all(b"HTTP/1.1 500 No\r\nContent-Length: 0\r\n\r\n").unwrap(),
            _ => stream
                .write_all(b"HTTP/1.1 200 OK\r\nContent-Type: application/x-protobuf\r\nContent-Length: 0\r\n\r\n")
                .unwrap(),
        }
    }
}

fn more(stream: &mut TcpStream, raw: &mut Vec<u8>) -> bool {
    let mut chunk = [0; 65_536];
    let n = stream.read(&mut chunk).unwrap_or(0);
    raw.extend_from_slice(&chunk[..n]);
    n > 0
}

fn sampled() -> String {
    format!("00-{TRACE}-{PARENT}-01")
}

/// A call with the service key, as part of a caller's trace.
fn traced(site: &Site, path: &str, traceparent: &str, body: &serde_json::Value) -> Answer {
    let headers =
        [("Authorization", &*bearer(&site.key)), ("Content-Type", "application/json"), ("traceparent", traceparent)];
    site.call("POST", path, &headers, body.to_string().as_bytes())
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

fn told(value: &AnyValue) -> String {
    match value.value.as_ref().unwrap() {
        Value::StringValue(text) => text.clone(),
        Value::IntValue(number) => number.to_string(),
        Value::BoolValue(flag) => flag.to_string(),
        Value::ArrayValue(list) => list.values.iter().map(told).collect::<Vec<_>>().join(" "),
        other => panic!("{other:?}"),
    }
}

fn attributes(pairs: &[KeyValue]) -> BTreeMap<&str, String> {
    let all: BTreeMap<_, _> =
        pairs.iter().map(|pair| (pair.key.as_str(), told(pair.value.as_ref().unwrap()))).collect();
    assert_eq!(all.len(), pairs.len(), "a key stands twice");
    all
}

/// The server span of this name, and the spans below it.
fn tree<'a>(spans: &'a [Span], name: &str) -> (&'a Span, Vec<&'a Span>) {
    let found: Vec<&Span> = spans.iter().filter(|span| span.kind == 2 && span.name == name).collect();
    assert_eq!(found.len(), 1, "{name}: {spans:?}");
    let top = found[0];
    let below: Vec<&Span> = spans.iter().filter(|span| span.parent_span_id == top.span_id).collect();
    let ids: BTreeSet<_> = spans.iter().map(|span| &span.span_id).collect();
    assert_eq!(ids.len(), spans.len(), "each span has an id of its own");
    for span in &below {
        assert_eq!((&span.trace_id, span.kind), (&top.trace_id, 1));
        assert!(span.start_time_unix_nano >= top.start_time_unix_nano, "{span:?}");
        assert!(
            span.start_time_unix_nano <= span.end_time_unix_nano && span.end_time_unix_nano <= top.end_time_unix_nano
        );
    }
    (top, below)
}

fn names<'a>(spans: &[&'a Span]) -> Vec<&'a str> {
    let mut spans = spans.to_vec();
    spans.sort_by_key(|span| span.start_time_unix_nano);
    spans.iter().map(|span| span.name.as_str()).collect()
}

/// The value of a counter, 0 where it was never counted.
fn counted(text: &str, name: &str) -> u64 {
    text.lines().find_map(|line| line.strip_prefix(name)?.trim().parse().ok()).unwrap_or(0)
}

fn metrics(site: &Site) -> String {
    site.call("GET", "/metrics", &[], b"").text()
}

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

#[test]
fn a_collector_that_never_answers_holds_up_no_decision_and_what_is_lost_is_counted() {
    let collector = Collector::start(Manner::NeverAnswers);
    let site = collector.site("1");
    for _ in 0..5 {
        assert_eq!(site.decide(&read("r1"))["decision"], true);
    }
    // More than wait, and than are in hand. What a path without a meaning is answered costs least.
    for _ in 0..2_048 + 2 * 256 {
        assert_eq!(site.get("/nothing").status, 404);
    }
    assert_eq!(site.decide(&read("r1"))["decision"], true);
    assert_eq!(site.decide(&erase("r1"))["decision"], false);
    let told = metrics(&site);
    let lost = |cause: &str| counted(&told, &format!("authorizer_spans_dropped_total{{cause=\"{cause}\"}}"));
    assert!(lost("queue") + lost("export") > 0, "{told}");
    assert_eq!(counted(&told, "authorizer_spans_exported_total"), 0);
    let (shared, reader, size) = (site.service.as_ref().unwrap().shared().clone(), site.reader.clone(), site.size());
    collector.after(site);
    let told = shared.metrics.all(shared.metrics_now());
    assert!(counted(&told, "authorizer_spans_dropped_total{cause=\"shutdown\"}") > 0, "{told}");
    assert_eq!(reader.head().checkpoint.size, size);
}

#[test]
fn a_collector_that_fails_or_is_gone_costs_spans_and_nothing_else() {
    let nobody = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let gone = Collector { address: nobody, heads: Arc::default(), bodies: Arc::default() };
    for collector in [Collector::start(Manner::Fails), Collector::start(Manner::ClosesMidBody), gone] {
        let site = collector.site("1");
        for _ in 0..3 {
            assert_eq!(site.decide(&read("r1"))["decision"], true);
        }
        let shared = site.service.as_ref().unwrap().shared().clone();
        collector.after(site);
        let told = shared.metrics.all(shared.metrics_now());
        let lost = |cause: &str| counted(&told, &format!("authorizer_spans_dropped_total{{cause=\"{cause}\"}}"));
        // Three decisions and the epoch before them.
        assert_eq!(lost("export") + lost("shutdown"), 3 * (1 + STEPS.len() as u64) + 1, "{told}");
        assert_eq!(counted(&told, "authorizer_spans_exported_total"), 0);
    }
}

#[test]
fn a_request_whose_caller_goes_away_leaves_a_span_without_an_answer() {
    let collector = Collector::start(Manner::Takes);
    let site = collector.site("0");
    let head = format!(
        "GET /livez HTTP/1.1\r\nHost: x\r\n\r\nPOST /v1/decisions HTTP/1.1\r\nHost: x\r\nAuthorization: {}\r\nContent-Type: application/json\r\ntraceparent: {}\r\nContent-Length: 900\r\n\r\n{{",
        bearer(&site.key),
        sampled()
    );
    // Whoever closes with an answer unread resets the connection; a busy machine may see that before the request, and then there is none.
    for wait in 1..20 {
        let mut stream = TcpStream::connect(site.address()).unwrap();
        stream.write_all(head.as_bytes()).unwrap();
        assert!(stream.peek(&mut [0]).unwrap() > 0);
        std::thread::sleep(Duration::from_millis(50 * wait));
        drop(stream);
        std::thread::sleep(Duration::from_millis(1_500));
        if !collector.spans().is_empty() {
            break;
        }
    }
    let spans = collector.after(site);
    let (top, below) = tree(&spans, "POST");
    let all = attributes(&top.attributes);
    assert_eq!(
        (below.len(), all["error.type"].as_str(), top.status.as_ref().unwrap().code),
        (0, "connection_closed", 2)
    );
    assert!(!all.contains_key("http.response.status_code"));
}

#[test]
fn without_a_collector_nothing_is_sent_whatever_a_caller_asks_for() {
    let collector = Collector::start(Manner::Takes);
    let mut site = Site::new();
    assert_eq!(traced(&site, "/v1/decisions", &sampled(), &read("r1")).status, 200);
    assert!(!metrics(&site).contains("authorizer_spans_dropped_total{"));
    assert!(site.service.as_ref().unwrap().shared().tracer.get().is_none());
    assert!(site.service.take().unwrap().stop());
    assert_eq!(collector.heads.lock().unwrap().len(), 0);
}
