//! Collectors that fail, callers that go away, and no collector at all: no decision is held up, and what is lost is counted.

use std::io::Write;
use std::net::{TcpListener, TcpStream};
use std::sync::Arc;
use std::time::Duration;

use super::collector::{Collector, Manner, STEPS, attributes, counted, metrics, sampled, traced, tree};
use crate::support::{Site, bearer, erase, read};

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
        // Three decisions, each with its steps, and the epoch before them with its own, of which there is one less.
        assert_eq!(lost("export") + lost("shutdown"), 3 * (1 + STEPS.len() as u64) + STEPS.len() as u64, "{told}");
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
