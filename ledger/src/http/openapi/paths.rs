//! The table of what the public listener answers, beside pages.
//!
//! Guarantees: for each path its parameters with their limits, the media types of its answers and its own codes; a test of the parent holds it
//! against the table of routes. Does not: describe what other crates add; they hand it over.

use serde_json::{Value, json};
use verifier::bundle::MAX_CHOSEN;
use verifier::tile::{FULL_WIDTH, MAX_LEVEL};

use super::super::answer::{BUNDLE, CBOR, COSE, JSON, OCTETS, TEXT};
use super::super::bundles::MAX_LIST;
use super::super::problem::Code;
use super::{METRICS, Method, Operation, path, query, read_path, reference, such_as};

/// Every path of the read API.
pub(super) fn operations() -> Vec<Operation> {
    use Code::{
        Committed, Erased, Lost, MissingParameter, NoCoseForm, NoRequest, NotPublished, NotReady, UnknownEpoch,
        UnknownId, UnknownPath, Unsigned,
    };
    let (octets, text) = (json!({"type": "string", "format": "binary"}), json!({"type": "string"}));
    let one = |name: &'static str| [(JSON, reference(name))];
    let size = || query("size", reference("Number"), false);
    let index = such_as(path("index", reference("Number")), &json!(2));
    let place_of = |name: &str, example: u64| such_as(query(name, reference("Number"), true), &json!(example));
    let id = json!({"type": "string", "pattern": "^(0|[1-9][0-9]{0,17}|[0-9a-f]{32}|[0-9a-f]{64}|[A-Za-z0-9_-]{42}[AEIMQUYcgkosw048])$"});
    let place = json!({"type": "string", "pattern": "^[0-9]{3}$", "description": "Groups of three digits; more than three are written `x001/x234/067`"});
    let width = json!({"type": "integer", "minimum": 1, "maximum": FULL_WIDTH - 1});
    let level = json!({"type": "integer", "minimum": 0, "maximum": MAX_LEVEL});
    let number = json!({"type": "string", "pattern": "^(current|0|[1-9][0-9]{0,17})$"});
    let digest = json!({"type": "string", "pattern": "^[0-9a-f]{64}$"});
    let (place, width) = (such_as(path("index", place), &json!("000")), such_as(path("width", width), &json!(1)));
    let level = such_as(path("level", level), &json!(0));
    let plain = |mut operation: Operation| {
        operation.conditional = false;
        operation.problems.retain(|(_, code)| {
            [Code::UnknownParameter.name(), Code::MalformedParameter.name(), NotReady.name()].contains(code)
        });
        operation
    };
    let tile = |path, summary, parameters: &[Value]| {
        read_path(path, summary, parameters, &[(OCTETS, octets.clone())], &[NotPublished, UnknownPath])
    };
    let [by_query, by_list] = bundles();
    vec![
        by_query,
        by_list,
        read_path(
            "/checkpoint",
            "The newest head, a signed note (C2SP tlog-checkpoint)",
            &[],
            &[(TEXT, text.clone())],
            &[],
        ),
        tile("/tile/{level}/{index}", "A full tile: 256 hashes (C2SP tlog-tiles)", &[level.clone(), place.clone()]),
        tile("/tile/{level}/{index}.p/{width}", "A partial tile", &[level, place.clone(), width.clone()]),
        tile(
            "/tile/entries/{index}",
            "A full bundle: 256 entries, each behind its length",
            std::slice::from_ref(&place),
        ),
        tile("/tile/entries/{index}.p/{width}", "A partial bundle", &[place, width]),
        read_path("/v1/log", "What this log is, and its newest head", &[], &one("Log"), &[]),
        read_path(
            "/v1/entries",
            "Records from index `from` up to `to`, which is left out, or up to the head; `next` says where to go on",
            &[place_of("from", 0), such_as(query("to", reference("Number"), false), &json!(3))],
            &one("Entries"),
            &[MissingParameter, NotPublished],
        ),
        read_path(
            "/v1/entries/{index}",
            "One record, in words or in its bytes",
            std::slice::from_ref(&index),
            &[(JSON, reference("Entry")), (CBOR, octets.clone())],
            &[NotPublished],
        ),
        read_path(
            "/v1/requests/{index}",
            "Request and detail of a decision, where its realm is public",
            &[index],
            &one("Private"),
            &[NotPublished, NoRequest, Committed, Erased, Lost],
        ),
        read_path(
            "/v1/receipts/{id}",
            "The receipt of a record, by index, permit or leaf hash",
            &[such_as(path("id", id), &json!("2")), size()],
            &[(TEXT, text.clone()), (JSON, reference("Receipt")), (COSE, octets.clone())],
            &[NotPublished, UnknownId, NoCoseForm, Unsigned],
        ),
        read_path(
            "/v1/proofs/inclusion",
            "The path of one leaf in the tree of a size",
            &[place_of("index", 2), place_of("size", 3)],
            &one("Inclusion"),
            &[MissingParameter, NotPublished],
        ),
        read_path(
            "/v1/proofs/consistency",
            "That the tree of one size begins the tree of another",
            &[place_of("from", 2), place_of("to", 3)],
            &[(JSON, reference("Consistency")), (COSE, octets.clone())],
            &[MissingParameter, NotPublished, NoCoseForm, Unsigned],
        ),
        read_path(
            "/v1/checkpoints",
            "A head as it was signed, by `size`, or a run of heads, by `from` and `to`",
            &[
                size(),
                such_as(query("from", reference("Number"), false), &json!(0)),
                such_as(query("to", reference("Number"), false), &json!(1000)),
            ],
            &[(TEXT, text.clone()), (JSON, reference("Heads"))],
            &[MissingParameter, NotPublished, Unsigned],
        ),
        read_path(
            "/v1/dictionaries/{digest}",
            "The dictionary that bundles are compressed with (RFC 9842)",
            &[path("digest", digest)],
            &[(OCTETS, octets)],
            &[UnknownId],
        ),
        read_path(
            "/v1/epochs",
            "What the log was governed by",
            &[query("from", reference("Number"), false)],
            &one("Epochs"),
            &[],
        ),
        read_path(
            "/v1/epochs/{epoch}",
            "One epoch with its policies",
            &[such_as(path("epoch", number), &json!("current"))],
            &one("Content"),
            &[UnknownEpoch],
        ),
        read_path("/openapi.json", "This document", &[], &[(JSON, json!({"type": "object"}))], &[]),
        plain(read_path("/livez", "The process answers", &[], &[(TEXT, text.clone())], &[])),
        plain(read_path("/readyz", "The service is ready", &[], &[(TEXT, text.clone())], &[NotReady])),
        plain(read_path("/metrics", "What is counted (OpenMetrics 1.0)", &[], &[(METRICS, text)], &[])),
    ]
}

/// Evidence bundles: by a query, or by a list that is too long for one.
fn bundles() -> [Operation; 2] {
    use Code::{
        BodyTimeout, MissingParameter, NotAcceptable, NotPublished, NothingChosen, Overloaded, TooLarge, Unsigned,
    };
    let octets = json!({"type": "string", "format": "binary"});
    let number = |name: &str| query(name, reference("Number"), false);
    let range = "(0|[1-9][0-9]{0,17})(-(0|[1-9][0-9]{0,17}))?";
    let indexes = json!({
        "type": "string", "pattern": format!("^{range}(,{range})*$"), "maxLength": 240,
        "description": format!("Numbers and ranges of at most {MAX_CHOSEN} records, `3,7,100-200`; either this or a search"),
    });
    let outcome = json!({"enum": ["allow", "deny"]});
    let realm = json!({"type": "string", "pattern": "^[A-Za-z0-9._~-]*$", "maxLength": 64});
    let codes = [MissingParameter, NotPublished, NothingChosen, TooLarge, Overloaded, Unsigned];
    let by_query = read_path(
        "/v1/bundles",
        "An evidence bundle of a list of records, or of the decisions that a search finds",
        &[
            such_as(query("indexes", indexes, false), &json!("2,3-5")),
            number("from"),
            number("to"),
            query("outcome", outcome, false),
            query("realm", realm, false),
            number("epoch"),
            number("size"),
        ],
        &[(BUNDLE, octets)],
        &codes,
    );
    let mut by_list = read_path(
        "/v1/bundles",
        "An evidence bundle of a list of records that is too long for a query",
        &[number("size")],
        &by_query.answers,
        &codes,
    );
    let list = json!({
        "type": "array", "items": reference("Number"), "minItems": 1, "maxItems": MAX_CHOSEN, "examples": [[2, 3, 5]],
    });
    by_list.method = Method::Post { media_type: "application/json", schema: list, most: MAX_LIST };
    by_list.conditional = false;
    by_list.problems.retain(|(_, code)| ![NotAcceptable.name(), MissingParameter.name()].contains(code));
    by_list.problems.push((BodyTimeout.status().as_u16(), BodyTimeout.name()));
    [by_query, by_list]
}
