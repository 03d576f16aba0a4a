//! `/openapi.json`: what this listener answers, as OpenAPI 3.1, made of the limits, media types and codes that the handlers use.
//!
//! Guarantees: every path of the one table in `http.rs` is described, and none that is not there (a test reads that table); each status that
//! an operation can have is listed with its codes. Whether answers have the form that is said here, a property test asks a running server
//! (`tools/api/check`).
//! Does not: describe pages and their parts, nor ranges of bytes, which are not served.

mod schemas;

use actix_web::{HttpRequest, HttpResponse, web};
use serde_json::{Map, Value, json};
use verifier::tile::{FULL_WIDTH, MAX_LEVEL};

use super::answer::{CBOR, COSE, JSON, OCTETS, TEXT, fresh};
use super::problem::{Code, Problem};
use super::query::Query;

pub use schemas::object;

/// OpenMetrics 1.0, as `page.rs` sends it; the property test holds the two against each other.
const METRICS: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";

/// The document that is served, with what else stands on the listener. Without it the paths of this module alone are described.
#[derive(Debug, Clone)]
pub struct Document(pub String);

/// One path that is read.
#[derive(Debug, Clone)]
pub struct Operation {
    /// The path, with its parameters in braces.
    pub path: &'static str,
    /// What it is, in a line.
    pub summary: &'static str,
    /// Parameters, as OpenAPI has them.
    pub parameters: Vec<Value>,
    /// Media types of a good answer, and their schemas.
    pub answers: Vec<(&'static str, Value)>,
    /// Whether a client that has the answer is told so.
    pub conditional: bool,
    /// Statuses and codes of problems, beside those of every path.
    pub problems: Vec<(u16, &'static str)>,
}

/// Serves the document.
pub(super) async fn serve(
    request: HttpRequest,
    document: Option<web::Data<Document>>,
) -> Result<HttpResponse, Problem> {
    Query::read(&request, &[])?;
    let text = document.map_or_else(|| self::document(&[]), |document| document.0.clone());
    fresh(&request, JSON, text).await
}

/// The document about the paths of this module and some more.
#[must_use]
pub fn document(more: &[Operation]) -> String {
    let mut paths = Map::new();
    for operation in operations().iter().chain(more) {
        paths.insert(operation.path.to_owned(), operation.item());
    }
    let document = json!({
        "openapi": "3.1.0",
        "info": {
            "title": "Interlock: public read API",
            "version": env!("CARGO_PKG_VERSION"),
            "summary": "What strangers need to follow the log and to check it, without a key.",
            "license": {"name": "Apache-2.0", "identifier": "Apache-2.0"},
        },
        "security": [],
        "paths": paths,
        "components": {"schemas": schemas::all()},
    });
    // Strings and numbers always serialise; one line a field, so that a change can be read.
    serde_json::to_string_pretty(&document).unwrap_or_default() + "\n"
}

impl Operation {
    fn item(&self) -> Value {
        let content: Map<String, Value> =
            self.answers.iter().map(|(media, schema)| ((*media).to_owned(), json!({"schema": schema}))).collect();
        let mut responses = Map::new();
        responses.insert("200".to_owned(), json!({"description": self.summary, "content": content}));
        if self.conditional {
            responses.insert("304".to_owned(), json!({"description": "`If-None-Match` names what the client has"}));
        }
        let mut problems = self.problems.clone();
        problems.sort_unstable();
        for (status, _) in &problems {
            let codes: Vec<&str> =
                problems.iter().filter(|(other, _)| other == status).map(|(_, code)| *code).collect();
            let schema =
                json!({"allOf": [{"$ref": "#/components/schemas/Problem"}, {"properties": {"code": {"enum": codes}}}]});
            let problem = json!({
                "description": format!("`{}`", codes.join("`, `")),
                "content": {"application/problem+json": {"schema": schema}},
            });
            responses.insert(status.to_string(), problem);
        }
        let mut head = responses.clone();
        // An answer to HEAD has the head alone.
        for answer in head.values_mut().filter_map(Value::as_object_mut) {
            answer.remove("content");
        }
        let operation = |responses: Map<String, Value>| json!({"summary": self.summary, "parameters": self.parameters, "responses": responses});
        json!({"get": operation(responses), "head": operation(head)})
    }
}

fn operation(
    path: &'static str,
    summary: &'static str,
    parameters: &[Value],
    answers: &[(&'static str, Value)],
    codes: &[Code],
) -> Operation {
    let every =
        [Code::UnknownParameter, Code::MalformedParameter, Code::NotAcceptable, Code::Damaged, Code::Unavailable];
    let problems = every.iter().chain(codes).map(|code| (code.status().as_u16(), code.name())).collect();
    Operation { path, summary, parameters: parameters.into(), answers: answers.into(), conditional: true, problems }
}

fn operations() -> Vec<Operation> {
    use Code::{
        Committed, Erased, Lost, MissingParameter, NoCoseForm, NoRequest, NotPublished, NotReady, UnknownEpoch,
        UnknownId, UnknownPath, Unsigned,
    };
    let reference = |name: &str| json!({"$ref": format!("#/components/schemas/{name}")});
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
        operation(path, summary, parameters, &[(OCTETS, octets.clone())], &[NotPublished, UnknownPath])
    };
    vec![
        operation(
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
        operation("/v1/log", "What this log is, and its newest head", &[], &one("Log"), &[]),
        operation(
            "/v1/entries/{index}",
            "One record, in words or in its bytes",
            std::slice::from_ref(&index),
            &[(JSON, reference("Entry")), (CBOR, octets.clone())],
            &[NotPublished],
        ),
        operation(
            "/v1/requests/{index}",
            "Request and detail of a decision, where its realm is public",
            &[index],
            &one("Private"),
            &[NotPublished, NoRequest, Committed, Erased, Lost],
        ),
        operation(
            "/v1/receipts/{id}",
            "The receipt of a record, by index, permit or leaf hash",
            &[such_as(path("id", id), &json!("2")), size()],
            &[(TEXT, text.clone()), (JSON, reference("Receipt")), (COSE, octets.clone())],
            &[NotPublished, UnknownId, NoCoseForm, Unsigned],
        ),
        operation(
            "/v1/proofs/inclusion",
            "The path of one leaf in the tree of a size",
            &[place_of("index", 2), place_of("size", 3)],
            &one("Inclusion"),
            &[MissingParameter, NotPublished],
        ),
        operation(
            "/v1/proofs/consistency",
            "That the tree of one size begins the tree of another",
            &[place_of("from", 2), place_of("to", 3)],
            &[(JSON, reference("Consistency")), (COSE, octets.clone())],
            &[MissingParameter, NotPublished, NoCoseForm, Unsigned],
        ),
        operation(
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
        operation(
            "/v1/dictionaries/{digest}",
            "The dictionary that bundles are compressed with (RFC 9842)",
            &[path("digest", digest)],
            &[(OCTETS, octets)],
            &[UnknownId],
        ),
        operation(
            "/v1/epochs",
            "What the log was governed by",
            &[query("from", reference("Number"), false)],
            &one("Epochs"),
            &[],
        ),
        operation(
            "/v1/epochs/{epoch}",
            "One epoch with its policies",
            &[such_as(path("epoch", number), &json!("current"))],
            &one("Content"),
            &[UnknownEpoch],
        ),
        operation("/openapi.json", "This document", &[], &[(JSON, json!({"type": "object"}))], &[]),
        plain(operation("/livez", "The process answers", &[], &[(TEXT, text.clone())], &[])),
        plain(operation("/readyz", "The service is ready", &[], &[(TEXT, text.clone())], &[NotReady])),
        plain(operation("/metrics", "What is counted (OpenMetrics 1.0)", &[], &[(METRICS, text)], &[])),
    ]
}

/// A parameter in the path.
#[must_use]
pub fn path(name: &str, schema: Value) -> Value {
    json!({"name": name, "in": "path", "required": true, "schema": schema})
}

/// The same, with a value that a log of any size has; it is what a reader tries first.
fn such_as(mut parameter: Value, example: &Value) -> Value {
    if let Some(fields) = parameter.as_object_mut() {
        fields.insert("example".to_owned(), example.clone());
    }
    parameter
}

/// A parameter in the query.
#[must_use]
pub fn query(name: &str, schema: Value, required: bool) -> Value {
    json!({"name": name, "in": "query", "required": required, "schema": schema})
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    /// Pages and their parts, which are for people.
    const PAGES: [&str; 2] = ["/", "/page.css"];

    #[test]
    fn every_path_of_the_table_is_described_and_no_other() {
        let table = include_str!("../http.rs");
        let routed = table.split("service(at(\"").skip(1).map(|rest| rest.split('"').next().unwrap());
        let routed: BTreeSet<&str> = routed.filter(|path| !PAGES.contains(path)).collect();
        assert!(routed.len() > 10, "the search looks in the wrong place");
        let operations = operations();
        let described: BTreeSet<&str> =
            operations.iter().map(|operation| operation.path).filter(|path| !path.starts_with("/tile/")).collect();
        assert_eq!(described, routed);
        assert!(table.contains("web::scope(\"/tile\")"));
    }

    #[test]
    fn every_code_of_a_path_is_in_the_document_with_its_status() {
        let document: Value = serde_json::from_str(&document(&[])).unwrap();
        let said = document["paths"].to_string();
        for code in Code::ALL {
            // Of paths and methods that there are not.
            let elsewhere = code == Code::MethodNotAllowed;
            assert!(elsewhere || said.contains(&format!("\"{}\"", code.name())), "{}", code.name());
        }
    }
}
