//! The forms of answers that more than one path gives.
//!
//! Does not: say what the values mean; the views beside the handlers do.

use ledger::http::{object, reference};
use serde_json::{Value, json};
use verifier::decision::{Class, Condition};

/// Any text.
pub(super) fn text() -> Value {
    json!({"type": "string"})
}

/// A list of any length.
pub(super) fn list(item: Value) -> Value {
    json!({"type": "array", "items": item})
}

/// A value, or `null`.
pub(super) fn perhaps(schema: Value) -> Value {
    json!({"oneOf": [schema, {"type": "null"}]})
}

/// A number that is not a count of bytes or records.
pub(super) fn measure() -> Value {
    json!({"type": "number", "minimum": 0})
}

/// A parameter that is as good as absent when it is empty, as forms send what nobody filled in.
pub(super) fn or_empty(schema: Value) -> Value {
    json!({"anyOf": [schema, {"const": ""}]})
}

/// A subject or a resource.
pub(super) fn entity() -> Value {
    object(&[("type", text()), ("id", text())])
}

/// The nine, each with its class.
pub(super) fn conditions() -> Value {
    let classes = [Class::Pass, Class::NotRequired, Class::Fail, Class::Unknown].map(Class::name);
    let class = json!({"enum": classes});
    object(&Condition::ALL.map(|condition| (condition.name(), class.clone())))
}

/// One permit of a lineage; what its realm does not disclose is not there.
pub(super) fn node() -> Value {
    let of = reference;
    let yes = || json!({"const": true});
    object(&[
        ("permit", of("Permit")),
        ("index", of("Number")),
        ("state", text()),
        ("recorded_at", of("Time")),
        ("expires_at", perhaps(of("Time"))),
        ("lease_ends_at", perhaps(of("Time"))),
        ("realm", text()),
        ("audience", perhaps(text())),
        ("proof", text()),
        ("parent?", perhaps(of("Permit"))),
        ("subject?", entity()),
        ("action?", text()),
        ("resource?", entity()),
        ("scopes?", list(text())),
        ("delegates?", list(text())),
        ("committed?", yes()),
        ("erased?", yes()),
        ("missing?", yes()),
        ("request?", of("Hash")),
        ("detail?", of("Hash")),
    ])
}

/// One decision; what its realm does not disclose is not there.
pub(super) fn decision() -> Value {
    let of = reference;
    let outcome = || json!({"enum": ["allow", "deny"]});
    let named = || perhaps(object(&[("names", list(text())), ("count", reference("Number"))]));
    object(&[
        ("index", of("Number")),
        ("permit", of("Permit")),
        ("outcome", outcome()),
        ("realm", text()),
        ("recorded_at", of("Time")),
        ("evaluated_at", of("Time")),
        ("epoch", of("Number")),
        ("governance", of("Number")),
        ("conditions", conditions()),
        ("leaf", of("Hash")),
        ("request", of("Hash")),
        ("detail", of("Hash")),
        ("expires_at", perhaps(of("Time"))),
        ("uses", perhaps(of("Number"))),
        ("lease_ends_at", perhaps(of("Time"))),
        ("audience", perhaps(text())),
        ("shadow", perhaps(object(&[("epoch", of("Number")), ("outcome", outcome())]))),
        ("withheld", json!({"enum": ["committed", "erased", "missing", null]})),
        ("subject?", entity()),
        ("action?", text()),
        ("resource?", entity()),
        ("reasons?", list(object(&[("condition", text()), ("code", text())]))),
        ("policies?", named()),
        ("errors?", named()),
        ("parent?", perhaps(of("Permit"))),
        ("retry_of?", perhaps(of("Permit"))),
        ("scopes?", list(text())),
        ("delegates?", list(text())),
        ("proof", text()),
    ])
}

/// One act of governance.
pub(super) fn act() -> Value {
    let of = reference;
    object(&[
        ("index", of("Number")),
        ("governance", of("Number")),
        ("recorded_at", of("Time")),
        ("act", text()),
        ("about", perhaps(text())),
        ("power", json!({"enum": ["halt", "run", null]})),
        ("reason", perhaps(text())),
        ("note", perhaps(text())),
        ("proof", text()),
    ])
}
