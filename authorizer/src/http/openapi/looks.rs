//! What strangers read of decisions: lists, one, governance, lineage, and how the service is.
//!
//! Guarantees: parameters with the limits that the handlers hold. Does not: describe the read API of the log itself.

use ledger::http::habits::{Code as Read, JSON};
use ledger::http::{Method, Operation, object, path, query, read_path, reference, such_as};
use serde_json::{Value, json};
use verifier::decision::Condition;

use super::forms::{act, decision, list, measure, node, or_empty, perhaps, text};
use crate::browse::{MAX_ACTS, MAX_LIMIT};
use crate::engine;
use crate::http::browse::{CSV, MAX_TEXT};
use crate::http::problem::Code;
use crate::self_audit::Outcome;

/// Every one of them.
pub(super) fn operations() -> [Operation; 6] {
    [decisions(), one(), governance(), lineage(), health(), history()]
}

fn decisions() -> Operation {
    let page = object(&[
        ("size", reference("Number")),
        ("results", json!({"type": "array", "items": decision(), "maxItems": MAX_LIMIT})),
        ("unseen", reference("Number")),
        ("scanned", json!({"type": "array", "items": reference("Number"), "minItems": 2, "maxItems": 2})),
        ("next", perhaps(reference("Number"))),
    ]);
    let number = |name: &str| query(name, reference("Number"), false);
    let some = |name: &str| {
        let words = format!("At most {MAX_TEXT} bytes of UTF-8 without control characters");
        let text = json!({
            "type": "string", "pattern": r"^[^\u0000-\u001f\u007f-\u009f]*$", "maxLength": MAX_TEXT, "description": words,
        });
        query(name, text, false)
    };
    let either = |name: &str, words: Vec<&str>| {
        let words = [vec![""], words].concat();
        query(name, json!({"enum": words}), false)
    };
    let time = |name: &str| query(name, or_empty(json!({"type": "string", "format": "date-time"})), false);
    let commitment = json!({
        "type": "string", "description": "32 bytes as base64, URL-safe base64 or lower-case hex digits",
        "pattern": "^([0-9a-f]{64}|[A-Za-z0-9+/]{42}[AEIMQUYcgkosw048]=|[A-Za-z0-9_-]{42}[AEIMQUYcgkosw048]=?)?$",
    });
    let reasons = engine::Code::ALL.iter().map(|code| code.name()).collect();
    let limit = json!({"type": "integer", "minimum": 1, "maximum": MAX_LIMIT});
    read_path(
        "/v1/decisions",
        "Decisions, newest first, by what is disclosed of them",
        &[
            either("outcome", vec!["allow", "deny"]),
            some("realm"),
            either("condition", Condition::ALL.map(Condition::name).to_vec()),
            query("commitment", commitment, false),
            number("epoch"),
            some("subject"),
            some("action"),
            some("resource"),
            some("policy"),
            either("reason", reasons),
            some("q"),
            time("from"),
            time("to"),
            number("before"),
            such_as(query("limit", limit, false), &json!(10)),
            either("format", vec!["json", "csv"]),
        ],
        &[(JSON, page), (CSV, text())],
        &[Read::Overloaded],
    )
}

fn one() -> Operation {
    let id = json!({
        "type": "string",
        "pattern": "^(0|[1-9][0-9]{0,17}|[0-9a-f]{32}|[0-9a-f]{64}|[A-Za-z0-9_-]{42}[AEIMQUYcgkosw048])$",
    });
    read_path(
        "/v1/decisions/{id}",
        "One decision, by its index, its permit or its leaf's hash",
        &[such_as(path("id", id), &json!("3"))],
        &[(JSON, decision())],
        &[Read::UnknownId, Read::NotPublished, Read::Overloaded],
    )
}

fn governance() -> Operation {
    let of = reference;
    let flag = || json!({"type": "boolean"});
    let in_force = object(&[
        ("epoch", of("Number")),
        ("newest_epoch", of("Number")),
        ("candidate", perhaps(of("Number"))),
        ("halted", list(text())),
        ("by_plain", flag()),
        ("frozen", flag()),
    ]);
    let view = object(&[
        ("origin", text()),
        ("size", of("Number")),
        ("governance", perhaps(of("Number"))),
        ("in_force", perhaps(in_force)),
        ("acts", json!({"type": "array", "items": act(), "maxItems": MAX_ACTS})),
        ("next", perhaps(of("Number"))),
    ]);
    let limit = json!({"type": "integer", "minimum": 1, "maximum": MAX_ACTS});
    read_path(
        "/v1/governance",
        "What is in force, and the acts that made it so, newest first",
        &[query("before", of("Number"), false), query("limit", limit, false)],
        &[(JSON, view)],
        &[Read::Overloaded],
    )
}

fn lineage() -> Operation {
    let of = reference;
    let problems = [Code::NotFound, Code::InvalidQuery, Code::Overloaded, Code::Unavailable];
    let answer = object(&[
        ("permit", of("Permit")),
        ("size", of("Number")),
        ("ancestors", list(node())),
        ("node", node()),
        ("descendants", list(node())),
        ("next", perhaps(of("Number"))),
        ("hidden", of("Number")),
        ("unknown", of("Number")),
    ]);
    Operation {
        path: "/v1/lineage/{permit}",
        method: Method::Read,
        summary: "A permit's ancestors and descendants, each with its present state",
        parameters: vec![path("permit", of("Permit")), query("from", of("Number"), false)],
        answers: vec![(JSON, answer)],
        conditional: false,
        problems: problems.into_iter().map(|code| (code.status(), code.name())).collect(),
    }
}

/// Counts, and how often each condition was the first that did not pass.
fn counts() -> Vec<(&'static str, Value)> {
    let of = reference;
    let names = Condition::ALL.map(Condition::name);
    let by = json!({"type": "object", "propertyNames": {"enum": names}, "additionalProperties": of("Number")});
    vec![("allowed", of("Number")), ("denied", of("Number")), ("denied_by", by), ("shed", of("Number"))]
}

fn health() -> Operation {
    let of = reference;
    let percentiles =
        || perhaps(object(&[("count", of("Number")), ("p50", measure()), ("p90", measure()), ("p99", measure())]));
    let fsync = object(&[("journal", percentiles()), ("vault", percentiles()), ("memory", percentiles())]);
    let spans = [("decision_ms", percentiles()), ("commit_ms", percentiles()), ("fsync_ms", fsync)];
    let service = object(&[
        ("ready", json!({"type": "boolean"})),
        ("missing", perhaps(text())),
        ("alerts", list(text())),
        ("since", perhaps(of("Time"))),
        ("epoch", of("Number")),
        ("governance", of("Number")),
        ("waiting", of("Number")),
        ("canary_age_ms", perhaps(of("Number"))),
        ("total", object(&counts())),
        ("last_minute", object(&[counts(), spans.to_vec()].concat())),
    ]);
    let head = object(&[("size", of("Number")), ("root", of("Hash")), ("time", of("Time")), ("age_ms", of("Number"))]);
    let health = object(&[
        ("origin", text()),
        ("version", text()),
        ("time", of("Time")),
        ("head", head),
        ("frozen", json!({"type": "boolean"})),
        ("service", perhaps(service)),
        ("self_audit", self_audit()),
    ]);
    read_path("/v1/health", "How the service is", &[], &[(JSON, health)], &[])
}

/// What the log's own audits came to.
fn self_audit() -> Value {
    let of = reference;
    let pass = || vec![("began", of("Time")), ("size", of("Number")), ("root", of("Hash")), ("entries", of("Number"))];
    let outcomes = Outcome::ALL.map(Outcome::name);
    let ended = [("result", json!({"enum": outcomes})), ("ended", of("Time")), ("first_fault", perhaps(of("Number")))];
    object(&[
        ("state", json!({"enum": ["off", "never", "running", "passed", "failed", "unreadable"]})),
        ("every_s", perhaps(of("Number"))),
        ("running", perhaps(object(&pass()))),
        ("last", perhaps(object(&[pass(), ended.to_vec()].concat()))),
    ])
}

fn history() -> Operation {
    let of = reference;
    let column = || list(reference("Number"));
    let gaps = || list(perhaps(measure()));
    let curves = || object(&[("p50", gaps()), ("p90", gaps()), ("p99", gaps())]);
    let names = Condition::ALL.map(Condition::name);
    let columns = object(&[
        ("at", column()),
        ("size", column()),
        ("allowed", column()),
        ("denied", column()),
        ("denied_by", json!({"type": "object", "propertyNames": {"enum": names}, "additionalProperties": column()})),
        ("shed", column()),
        ("waiting", column()),
        ("ready", column()),
        ("looks", column()),
        ("canary_ms", list(perhaps(of("Number")))),
        ("decision_ms", curves()),
        ("commit_ms", curves()),
        ("journal_ms", curves()),
        ("vault_ms", curves()),
        ("memory_ms", curves()),
    ]);
    let course = object(&[
        ("now", of("Number")),
        ("since", perhaps(of("Number"))),
        ("step_ms", of("Number")),
        ("samples", columns),
    ]);
    read_path(
        "/v1/health/history",
        "How the service was, column by column: of the last day by minutes, or of the last minutes by seconds",
        &[query("step", json!({"enum": ["", "second", "minute"]}), false), query("after", of("Number"), false)],
        &[(JSON, course)],
        &[],
    )
}
