//! Traces as OTLP says them: one `ExportTraceServiceRequest` in protobuf (opentelemetry-proto 1.x, `trace/v1/trace.proto`).
//!
//! Guarantees: attributes have the names of OpenTelemetry's HTTP conventions, or begin with `interlock.`; their values are numbers and names
//! of closed lists, the path's pattern and the listener's own address. Does not: read protobuf, beside the one number that an answer has.

use rand::Rng;

use super::exporter::Finished;
use super::unit::{Decided, Left, Recorded, Took, Trace};

/// The version of OpenTelemetry's conventions whose names are used.
const SCHEMA: &str = "https://opentelemetry.io/schemas/1.37.0";
/// OTLP's `SpanKind` and `StatusCode`.
const INTERNAL: u64 = 1;
const SERVER: u64 = 2;
const ERROR: u64 = 2;
/// OTLP's `SpanFlags` beside those of W3C: whether it is known that the parent is remote, and that it is.
const SAMPLED: u32 = 1;
const RANDOM: u32 = 2;
const HAS_IS_REMOTE: u32 = 0x100;
const IS_REMOTE: u32 = 0x200;

/// What is the same for all spans of a process: its name, its version, and a random number to tell it from others.
#[derive(Debug)]
pub struct Process(Put);

impl Process {
    pub fn new() -> Self {
        let [a, b, c, d, e, f, g, h, i, j, k, l, m, n, o, p] = random();
        // RFC 9562 §5.4: a random UUID says its version and its variant.
        let (g, i) = (g & 0x0f | 0x40, i & 0x3f | 0x80);
        let instance = [&[a, b, c, d][..], &[e, f], &[g, h], &[i, j], &[k, l, m, n, o, p]]
            .map(|part| part.iter().map(|byte| format!("{byte:02x}")).collect::<String>());
        let mut resource = Put::default();
        resource.text(1, "service.name", "interlock");
        resource.text(1, "service.version", env!("CARGO_PKG_VERSION"));
        resource.text(1, "service.instance.id", &instance.join("-"));
        Process(resource)
    }
}

/// A batch as one message.
pub fn message(process: &Process, batch: &[Finished]) -> Vec<u8> {
    let mut spans = Put::default();
    let mut scope = Put::default();
    scope.bytes(1, b"interlock");
    scope.bytes(2, env!("CARGO_PKG_VERSION").as_bytes());
    spans.bytes(1, &scope.0);
    batch.iter().for_each(|finished| trace(&mut spans, finished));
    spans.bytes(3, SCHEMA.as_bytes());
    let mut resource = Put::default();
    resource.bytes(1, &process.0.0);
    resource.bytes(2, &spans.0);
    resource.bytes(3, SCHEMA.as_bytes());
    let mut all = Put::default();
    all.bytes(1, &resource.0);
    all.0
}

/// The spans of one request.
fn trace(out: &mut Put, finished: &Finished) {
    let Finished { trace, took, .. } = finished;
    // A step that the sequencer ends later than the caller could wait is not waited for.
    let left = trace.left().clone();
    let parent = trace.parent.as_ref();
    let id = parent.map_or_else(random, |parent| parent.trace);
    let server: [u8; 8] = random();
    let flags = parent.map_or(SAMPLED | RANDOM, |parent| SAMPLED | if parent.random { RANDOM } else { 0 });
    let state = parent.map_or("", |parent| &parent.state);
    let span = |span: [u8; 8], above: Option<&[u8]>, remote: u32, (from, to): (u64, u64)| {
        let mut put = Put::default();
        put.bytes(1, &id);
        put.bytes(2, &span);
        if !state.is_empty() {
            put.bytes(3, state.as_bytes());
        }
        if let Some(above) = above {
            put.bytes(4, above);
        }
        put.fixed64(7, trace.begun_ns.saturating_add(from));
        put.fixed64(8, trace.begun_ns.saturating_add(to));
        put.fixed32(16, flags | HAS_IS_REMOTE | remote);
        put
    };
    let above = parent.map(|parent| parent.span.as_slice());
    let mut top = span(server, above, if above.is_some() { IS_REMOTE } else { 0 }, (0, *took));
    request(&mut top, trace, finished, &left);
    out.bytes(2, &top.0);
    for Took { step, from, to, entries } in left.steps {
        let mut below = span(random(), Some(&server), 0, (from, to));
        below.bytes(5, step.name().as_bytes());
        below.number(6, INTERNAL);
        if let Some(entries) = entries {
            below.count(9, "interlock.batch.entries", entries);
        }
        out.bytes(2, &below.0);
    }
}

/// What the conventions say of an HTTP server's span, and what was decided.
fn request(put: &mut Put, trace: &Trace, finished: &Finished, left: &Left) {
    let route = finished.told.as_ref().and_then(|told| told.route.as_deref());
    let method = if trace.method == "_OTHER" { "HTTP" } else { trace.method };
    let name = route.map_or_else(|| method.to_owned(), |route| format!("{method} {route}"));
    put.bytes(5, name.as_bytes());
    put.number(6, SERVER);
    put.text(9, "http.request.method", trace.method);
    put.text(9, "url.scheme", "http");
    put.text(9, "network.protocol.version", "1.1");
    if let Some(at) = finished.at {
        put.text(9, "server.address", &at.ip().to_string());
        put.count(9, "server.port", u64::from(at.port()));
    }
    if let Some(route) = route {
        put.text(9, "http.route", route);
    }
    let failed = match &finished.told {
        Some(told) => {
            put.count(9, "http.response.status_code", u64::from(told.status));
            if let Some(problem) = told.problem {
                put.text(9, "interlock.problem", problem);
            }
            // What a caller did wrong is no error of ours.
            (told.status >= 500).then(|| told.problem.map_or_else(|| told.status.to_string(), str::to_owned))
        }
        None => Some("connection_closed".to_owned()),
    };
    if let Some(decided) = &left.decided {
        decisions(put, decided);
    }
    if let Some(recorded) = &left.recorded {
        record(put, recorded);
    }
    if left.more > 0 {
        put.count(9, "interlock.steps.dropped", left.more);
    }
    if let Some(error) = failed {
        put.text(9, "error.type", &error);
        let mut status = Put::default();
        status.number(3, ERROR);
        put.bytes(15, &status.0);
    }
}

fn decisions(put: &mut Put, decided: &Decided) {
    let Decided { decisions, allowed, repeated, committed, shadow, index, codes } = decided;
    let outcome = match *allowed {
        0 => "deny",
        all if all == *decisions => "allow",
        _ => "mixed",
    };
    put.text(9, "interlock.outcome", outcome);
    put.count(9, "interlock.decisions", *decisions);
    put.count(9, "interlock.allowed", *allowed);
    put.count(9, "interlock.deduplicated", *repeated);
    put.text(9, "interlock.realm.mode", if *committed { "committed" } else { "public" });
    put.flag(9, "interlock.shadow", *shadow);
    if let Some(index) = index {
        put.count(9, "interlock.log.index", *index);
    }
    if !codes.is_empty() {
        put.texts(9, "interlock.codes", codes.iter().copied());
    }
}

fn record(put: &mut Put, recorded: &Recorded) {
    let Recorded { kind, outcome, committed, index, codes } = recorded;
    put.text(9, "interlock.record", kind);
    if let Some(outcome) = outcome {
        put.text(9, "interlock.outcome", outcome);
    }
    if let Some(committed) = committed {
        put.text(9, "interlock.realm.mode", if *committed { "committed" } else { "public" });
    }
    if *committed == Some(true) {
        return;
    }
    put.count(9, "interlock.log.index", *index);
    if !codes.is_empty() {
        put.texts(9, "interlock.codes", codes.iter().copied());
    }
}

/// Bytes that are not all zero, which OTLP and W3C do not take for an id.
fn random<const N: usize>() -> [u8; N] {
    let mut bytes = [0; N];
    while bytes == [0; N] {
        rand::rng().fill_bytes(&mut bytes);
    }
    bytes
}

/// How many spans an `ExportTraceServiceResponse` says were rejected: `partial_success` (1), `rejected_spans` (1). What cannot be read says none.
pub fn rejected(answer: &[u8]) -> u64 {
    let inner = Take(answer).find(1).and_then(|found| if let Found::Bytes(bytes) = found { Some(bytes) } else { None });
    match inner.and_then(|inner| Take(inner).find(1)) {
        Some(Found::Number(rejected)) => rejected,
        Some(Found::Bytes(_)) | None => 0,
    }
}

/// A protobuf message as it is written.
#[derive(Debug, Default)]
struct Put(Vec<u8>);

impl Put {
    fn varint(&mut self, mut value: u64) {
        loop {
            let [low, ..] = value.to_le_bytes();
            value >>= 7;
            if value == 0 {
                return self.0.push(low);
            }
            self.0.push(low | 0x80);
        }
    }

    fn number(&mut self, field: u64, value: u64) {
        self.varint(field << 3);
        self.varint(value);
    }

    fn fixed64(&mut self, field: u64, value: u64) {
        self.varint(field << 3 | 1);
        self.0.extend_from_slice(&value.to_le_bytes());
    }

    fn fixed32(&mut self, field: u64, value: u32) {
        self.varint(field << 3 | 5);
        self.0.extend_from_slice(&value.to_le_bytes());
    }

    fn bytes(&mut self, field: u64, value: &[u8]) {
        self.varint(field << 3 | 2);
        self.varint(value.len() as u64);
        self.0.extend_from_slice(value);
    }

    /// A `KeyValue`, whose value is an `AnyValue`.
    fn attribute(&mut self, field: u64, key: &'static str, value: &Put) {
        let mut pair = Put::default();
        pair.bytes(1, key.as_bytes());
        pair.bytes(2, &value.0);
        self.bytes(field, &pair.0);
    }

    fn text(&mut self, field: u64, key: &'static str, value: &str) {
        self.attribute(field, key, &Put::text_value(value));
    }

    fn texts<'a>(&mut self, field: u64, key: &'static str, values: impl Iterator<Item = &'a str>) {
        let mut list = Put::default();
        values.for_each(|value| list.bytes(1, &Put::text_value(value).0));
        let mut any = Put::default();
        any.bytes(5, &list.0);
        self.attribute(field, key, &any);
    }

    fn flag(&mut self, field: u64, key: &'static str, value: bool) {
        let mut any = Put::default();
        any.number(2, u64::from(value));
        self.attribute(field, key, &any);
    }

    fn count(&mut self, field: u64, key: &'static str, value: u64) {
        let mut any = Put::default();
        // An int64; nothing that is counted reaches the sign.
        any.number(3, value.min(i64::MAX.unsigned_abs()));
        self.attribute(field, key, &any);
    }

    fn text_value(value: &str) -> Put {
        let mut any = Put::default();
        any.bytes(1, value.as_bytes());
        any
    }
}

/// A protobuf message as it is read: enough of it for one number.
struct Take<'a>(&'a [u8]);

enum Found<'a> {
    Number(u64),
    Bytes(&'a [u8]),
}

impl<'a> Take<'a> {
    fn find(mut self, wanted: u64) -> Option<Found<'a>> {
        loop {
            let key = self.varint()?;
            let found = match key & 7 {
                0 => Found::Number(self.varint()?),
                1 => Found::Bytes(self.some(8)?),
                2 => {
                    let len = usize::try_from(self.varint()?).ok()?;
                    Found::Bytes(self.some(len)?)
                }
                5 => Found::Bytes(self.some(4)?),
                _ => return None,
            };
            if key >> 3 == wanted {
                return Some(found);
            }
        }
    }

    fn some(&mut self, len: usize) -> Option<&'a [u8]> {
        let (some, rest) = self.0.split_at_checked(len)?;
        self.0 = rest;
        Some(some)
    }

    fn varint(&mut self) -> Option<u64> {
        let mut value = 0;
        for shift in (0..64).step_by(7) {
            let [byte] = *self.some(1)? else { return None };
            value |= u64::from(byte & 0x7f) << shift;
            if byte & 0x80 == 0 {
                return Some(value);
            }
        }
        None
    }
}

#[cfg(test)]
mod tests {
    use opentelemetry_proto::tonic::collector::trace::v1::{ExportTracePartialSuccess, ExportTraceServiceResponse};
    use prost::Message;

    use std::sync::Arc;

    use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceRequest;
    use opentelemetry_proto::tonic::common::v1::any_value::Value;

    use super::*;

    #[test]
    fn a_request_that_nobody_was_left_to_answer_is_an_error_and_says_so() {
        let finished =
            || Finished { trace: Arc::new(Trace::new("_OTHER", None, 5)), took: 7, told: None, at: None, spans: 1 };
        let bytes = message(&Process::new(), &[finished(), finished()]);
        let read = ExportTraceServiceRequest::decode(bytes.as_slice()).unwrap();
        assert_eq!(read.encode_to_vec().len(), bytes.len(), "nothing in it that the types do not know");
        let spans = &read.resource_spans[0].scope_spans[0].spans;
        assert_eq!(spans.len(), 2);
        for span in spans {
            assert_eq!((span.name.as_str(), span.start_time_unix_nano, span.end_time_unix_nano), ("HTTP", 5, 12));
            assert_eq!(span.status.as_ref().unwrap().code, 2);
            let error = span.attributes.iter().find(|pair| pair.key == "error.type").unwrap();
            let error = error.value.as_ref().unwrap().value.as_ref().unwrap();
            assert_eq!(error, &Value::StringValue("connection_closed".into()));
        }
        assert!(spans[0].trace_id != spans[1].trace_id && spans[0].trace_id.len() == 16);
    }

    #[test]
    fn what_a_collector_rejected_is_read_and_garbage_rejects_nothing() {
        let answer = |rejected_spans| {
            let error_message = "too many".into();
            let partial_success = Some(ExportTracePartialSuccess { rejected_spans, error_message });
            ExportTraceServiceResponse { partial_success }.encode_to_vec()
        };
        for count in [0, 1, 127, 128, 300, 1 << 40] {
            assert_eq!(rejected(&answer(count)), u64::try_from(count).unwrap());
        }
        assert_eq!(rejected(&ExportTraceServiceResponse::default().encode_to_vec()), 0);
        let whole = answer(300);
        for end in 0..whole.len() {
            assert_eq!(rejected(&whole[..end]), 0, "{end}");
        }
        for garbage in [&[0xff; 64][..], &[0x0a, 0xff, 0xff, 0xff, 0xff, 0x0f], &[0x0b], b"<html>"] {
            assert_eq!(rejected(garbage), 0);
        }
    }
}
