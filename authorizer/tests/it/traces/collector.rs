//! A collector as tests need it, and what it was sent, read with the project's own types.

use std::collections::{BTreeMap, BTreeSet};
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::{Arc, Mutex};

use authorizer::traces::Options;
use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceRequest;
use opentelemetry_proto::tonic::common::v1::any_value::Value;
use opentelemetry_proto::tonic::common::v1::{AnyValue, KeyValue};
use opentelemetry_proto::tonic::trace::v1::Span;
use prost::Message;

use crate::support::{Answer, Site, bearer};

pub const TRACE: &str = "0af7651916cd43dd8448eb211c80319c";
pub const PARENT: &str = "b7ad6b7169203331";
/// What a decision goes through; all of it below its server span.
pub const STEPS: [&str; 7] = ["parse", "evaluate", "queue", "sequence", "hash", "commit", "answer"];

/// A collector that keeps what it is sent.
pub struct Collector {
    pub address: SocketAddr,
    pub heads: Arc<Mutex<Vec<String>>>,
    pub bodies: Arc<Mutex<Vec<Vec<u8>>>>,
}

/// How it answers.
#[derive(Clone, Copy, PartialEq)]
pub enum Manner {
    Takes,
    NeverAnswers,
    Fails,
    ClosesMidBody,
}

impl Collector {
    pub fn start(manner: Manner) -> Self {
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

    pub fn options(&self, ratio: &str) -> Options {
        let collector = format!("http://{}", self.address).parse().unwrap();
        Options { collector, ratio: ratio.parse().unwrap() }
    }

    pub fn site(&self, ratio: &str) -> Site {
        let options = self.options(ratio);
        Site::with(None, move |config| config.traces = Some(options.clone()))
    }

    pub fn messages(&self) -> Vec<ExportTraceServiceRequest> {
        let bodies = self.bodies.lock().unwrap();
        bodies.iter().map(|body| ExportTraceServiceRequest::decode(body.as_slice()).unwrap()).collect()
    }

    pub fn spans(&self) -> Vec<Span> {
        let resources = self.messages().into_iter().flat_map(|message| message.resource_spans);
        resources.flat_map(|resource| resource.scope_spans).flat_map(|scope| scope.spans).collect()
    }

    /// All that the site has left behind, once it is stopped: stopping sends it.
    pub fn after(&self, mut site: Site) -> Vec<Span> {
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

pub fn sampled() -> String {
    format!("00-{TRACE}-{PARENT}-01")
}

/// A call with the service key, as part of a caller's trace.
pub fn traced(site: &Site, path: &str, traceparent: &str, body: &serde_json::Value) -> Answer {
    let headers =
        [("Authorization", &*bearer(&site.key)), ("Content-Type", "application/json"), ("traceparent", traceparent)];
    site.call("POST", path, &headers, body.to_string().as_bytes())
}

pub fn hex(bytes: &[u8]) -> String {
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

pub fn attributes(pairs: &[KeyValue]) -> BTreeMap<&str, String> {
    let all: BTreeMap<_, _> =
        pairs.iter().map(|pair| (pair.key.as_str(), told(pair.value.as_ref().unwrap()))).collect();
    assert_eq!(all.len(), pairs.len(), "a key stands twice");
    all
}

/// The server span of this name, and the spans below it.
pub fn tree<'a>(spans: &'a [Span], name: &str) -> (&'a Span, Vec<&'a Span>) {
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

pub fn names<'a>(spans: &[&'a Span]) -> Vec<&'a str> {
    let mut spans = spans.to_vec();
    spans.sort_by_key(|span| span.start_time_unix_nano);
    spans.iter().map(|span| span.name.as_str()).collect()
}

/// The value of a counter, 0 where it was never counted.
pub fn counted(text: &str, name: &str) -> u64 {
    text.lines().find_map(|line| line.strip_prefix(name)?.trim().parse().ok()).unwrap_or(0)
}

pub fn metrics(site: &Site) -> String {
    site.call("GET", "/metrics", &[], b"").text()
}
