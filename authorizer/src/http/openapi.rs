//! `/openapi.json` of the public listener: the read API's paths, and the one that this room adds.
//!
//! Guarantees: what is served is what stands in `authorizer/openapi.json`, byte for byte (a test compares them), so a change of the API is
//! seen in review. Does not: describe the private listener.

use actix_web::web::{Data, ServiceConfig};
use ledger::http::{Document, Operation, object, path, query};
use serde_json::{Value, json};

use super::problem::Code;

/// The document that the public listener serves.
#[must_use]
pub fn document() -> String {
    ledger::http::document(&[lineage()])
}

/// Has the read API serve it.
pub(super) fn configure(config: &mut ServiceConfig) {
    config.app_data(Data::new(Document(document())));
}

fn lineage() -> Operation {
    let of = |name: &str| json!({"$ref": format!("#/components/schemas/{name}")});
    let problems = [Code::NotFound, Code::InvalidQuery, Code::Overloaded, Code::Unavailable];
    let nodes = || json!({"type": "array", "items": node()});
    let answer = object(&[
        ("permit", of("Permit")),
        ("size", of("Number")),
        ("ancestors", nodes()),
        ("node", node()),
        ("descendants", nodes()),
        ("next", json!({"oneOf": [of("Number"), {"type": "null"}]})),
        ("hidden", of("Number")),
        ("unknown", of("Number")),
    ]);
    Operation {
        path: "/v1/lineage/{permit}",
        summary: "A permit's ancestors and descendants, each with its present state",
        parameters: vec![path("permit", of("Permit")), query("from", of("Number"), false)],
        answers: vec![("application/json", answer)],
        conditional: false,
        problems: problems.into_iter().map(|code| (code.status(), code.name())).collect(),
    }
}

/// One permit; what its realm does not disclose is not there.
fn node() -> Value {
    let of = |name: &str| json!({"$ref": format!("#/components/schemas/{name}")});
    let text = || json!({"type": "string"});
    let perhaps = |schema: Value| json!({"oneOf": [schema, {"type": "null"}]});
    let entity = || object(&[("type", text()), ("id", text())]);
    let texts = || json!({"type": "array", "items": {"type": "string"}});
    let yes = || json!({"const": true});
    object(&[
        ("permit", of("Permit")),
        ("index", of("Number")),
        ("state", text()),
        ("recorded_at", of("Time")),
        ("expires_at", perhaps(of("Time"))),
        ("proof", text()),
        ("parent?", perhaps(of("Permit"))),
        ("subject?", entity()),
        ("action?", text()),
        ("resource?", entity()),
        ("scopes?", texts()),
        ("delegates?", texts()),
        ("committed?", yes()),
        ("erased?", yes()),
        ("missing?", yes()),
        ("request?", of("Hash")),
        ("detail?", of("Hash")),
    ])
}

#[cfg(test)]
mod tests {
    use super::*;

    const FILE: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/openapi.json");

    /// Changing it is approving another API: `INTERLOCK_APPROVE=openapi cargo test -p authorizer openapi`.
    #[test]
    fn the_committed_document_is_the_one_that_is_served() {
        let document = document();
        if std::env::var("INTERLOCK_APPROVE").as_deref() == Ok("openapi") {
            std::fs::write(FILE, &document).unwrap();
        }
        let stands = std::fs::read_to_string(FILE).unwrap_or_default();
        let value = |text: &str| serde_json::from_str::<Value>(text).unwrap_or_default();
        // As values: the order of fields is a matter of how the JSON library was built.
        assert_eq!(value(&stands), value(&document), "another API; approve it with INTERLOCK_APPROVE=openapi");
    }
}
