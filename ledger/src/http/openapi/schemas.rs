//! The forms of answers, as JSON Schema (2020-12) has them: no field but these, so that a new one is seen.
//!
//! Does not: say what the values mean. The views beside the handlers do, and the format chapters.

use serde_json::{Map, Value, json};
use verifier::decision::{Class, Condition};
use verifier::proof::{MAX_CONSISTENCY, MAX_PATH};
use verifier::text::DECIMAL_LIMIT;

use super::super::entries::MAX_PAGE;
use super::super::epochs::{LIVE, MAX_EPOCHS, SHADOW};
use super::super::proofs::MAX_HEADS;

/// Every form that a path refers to.
pub(super) fn all() -> Value {
    let text = || json!({"type": "string"});
    let of = reference;
    let list = |item: Value| json!({"type": "array", "items": item});
    let limited = |item: Value, most: u64| json!({"type": "array", "items": item, "maxItems": most});
    let number = || of("Number");
    let classes = [Class::Pass, Class::NotRequired, Class::Fail, Class::Unknown].map(Class::name);
    let condition = json!({"enum": classes});
    let conditions: Vec<(&str, Value)> =
        Condition::ALL.into_iter().map(|one| (one.name(), condition.clone())).collect();
    let head = [("size", number()), ("root", of("Hash")), ("time", of("Time")), ("checkpoint", text())];
    let epoch = [
        ("epoch", number()),
        ("mode", json!({"enum": [LIVE, SHADOW]})),
        ("index", number()),
        ("governance", number()),
        ("recorded_at", of("Time")),
        ("content", of("Hash")),
        ("first_part", number()),
        ("parts", number()),
        ("note", text()),
        ("predecessor?", text()),
    ];
    let content = [
        ("policies", list(object(&[("id", text()), ("text", text())]))),
        ("schema?", text()),
        ("entities?", text()),
        ("trust?", text()),
    ];
    let log =
        [("origin", text()), ("vkey", text()), ("created_at", of("Time")), ("frozen", json!({"type": "boolean"}))];
    let decision = [
        ("permit", of("Permit")),
        ("decision", json!({"type": "boolean"})),
        ("realm", text()),
        ("evaluated_at", of("Time")),
        ("epoch", number()),
        ("governance", number()),
        ("conditions", object(&conditions)),
        ("request", of("Hash")),
        ("detail", of("Hash")),
        ("expires_at?", of("Time")),
        ("uses?", number()),
        ("lease_ends_at?", of("Time")),
        ("audience?", text()),
    ];
    // What is wrong with the policies that somebody sent.
    let place = || json!({"type": ["integer", "null"], "minimum": 1});
    let finding =
        object(&[("code", text()), ("part", text()), ("line", place()), ("column", place()), ("message", text())]);
    let part = object(&[("salt", of("Base64")), ("bytes", of("Base64"))]);
    let entry = [
        ("index", number()),
        ("leaf", of("Hash")),
        ("record", of("Base64")),
        ("kind", text()),
        ("recorded_at", of("Time")),
        ("decision?", object(&decision)),
        ("note?", text()),
    ];
    json!({
        "Number": {"type": "integer", "minimum": 0, "maximum": DECIMAL_LIMIT - 1},
        "Hash": {"type": "string", "pattern": "^[A-Za-z0-9+/]{43}=$", "description": "SHA-256 in base64 (RFC 4648 §4)"},
        "Base64": {"type": "string", "pattern": "^([A-Za-z0-9+/]{4})*([A-Za-z0-9+/]{2}==|[A-Za-z0-9+/]{3}=)?$"},
        "Permit": {"type": "string", "pattern": "^[0-9a-f]{32}$"},
        "Time": {"type": "string", "format": "date-time"},
        "Problem": object(&[
            ("type", json!({"type": "string", "pattern": "^urn:interlock:problem:[a-z_]+$"})), ("title", text()),
            ("status", json!({"type": "integer"})), ("detail?", text()), ("code", text()), ("findings?", list(finding)),
        ]),
        "Log": object(&[&log[..], &head].concat()),
        "Entry": object(&entry),
        "Entries": object(&[("entries", limited(of("Entry"), MAX_PAGE)), ("next?", number())]),
        "Private": object(&[("index", number()), ("permit", of("Permit")), ("request", part.clone()), ("detail", part)]),
        "Receipt": object(&[
            ("index", number()), ("size", number()), ("leaf", of("Hash")), ("path", limited(of("Hash"), limit(MAX_PATH))),
            ("extra", of("Base64")), ("checkpoint", text()),
        ]),
        "Inclusion": object(&[
            ("index", number()), ("size", number()), ("leaf", of("Hash")), ("root", of("Hash")),
            ("path", limited(of("Hash"), limit(MAX_PATH))),
        ]),
        "Consistency": object(&[
            ("from", number()), ("to", number()), ("from_root", of("Hash")), ("to_root", of("Hash")),
            ("proof", limited(of("Hash"), limit(MAX_CONSISTENCY))),
        ]),
        "Heads": object(&[("checkpoints", limited(object(&head), MAX_HEADS)), ("next?", number())]),
        "Epochs": object(&[("epochs", limited(object(&epoch), MAX_EPOCHS)), ("next?", number())]),
        "Content": object(&[&epoch[..], &content].concat()),
    })
}

/// A form of [`all`], by name.
#[must_use]
pub fn reference(name: &str) -> Value {
    json!({"$ref": format!("#/components/schemas/{name}")})
}

/// An object of exactly these fields; those that end with `?` may be absent.
#[must_use]
pub fn object(fields: &[(&str, Value)]) -> Value {
    let properties: Map<String, Value> =
        fields.iter().map(|(name, schema)| (name.trim_end_matches('?').to_owned(), schema.clone())).collect();
    let required: Vec<&str> = fields.iter().map(|(name, _)| *name).filter(|name| !name.ends_with('?')).collect();
    json!({"type": "object", "properties": properties, "required": required, "additionalProperties": false})
}

/// A limit as JSON has it.
fn limit(most: usize) -> u64 {
    u64::try_from(most).unwrap_or(u64::MAX)
}
