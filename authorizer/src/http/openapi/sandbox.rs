//! The sandbox: the one path of the public listener, beside bundles, that takes a body.
//!
//! Guarantees: the limits are those that the sandbox holds. Does not: say what policies and requests must be; Cedar and the decision API do.

use ledger::http::habits::JSON;
use ledger::http::{Method, Operation, object, reference};
use serde_json::{Value, json};

use super::forms::{list, perhaps, text};
use crate::http::problem::Code;
use crate::sandbox::{MAX_BODY, MAX_ENTITIES, MAX_POLICIES_BYTES, MAX_REQUEST, MAX_SCHEMA, MAX_TRUST};

/// Both paths.
pub(super) fn operations() -> [Operation; 2] {
    [decide(), samples()]
}

fn said(codes: &[Code]) -> Vec<(u16, &'static str)> {
    codes.iter().map(|code| (code.status(), code.name())).collect()
}

fn decide() -> Operation {
    use Code::{
        BodyIncomplete, BodyTimeout, BodyTooLarge, Clock, ContentEncoding, ContentType, DuplicateKey, EmptyBody,
        EpochInvalid, IdempotencyInFlight, IdempotencyKeyReused, InvalidJson, InvalidQuery, InvalidUtf8, InvalidValue,
        MissingField, NoEpoch, Overloaded, RequestTooLarge, ReservedName, SandboxBusy, SandboxOff, SandboxQuota,
        SandboxTimeout, SandboxTooLarge, SandboxUnavailable, TooDeep, Unavailable, UnknownField, UnknownSample,
        WrongType,
    };
    Operation {
        path: "/v1/sandbox/decisions",
        method: Method::Post { media_type: JSON, schema: asked(), most: MAX_BODY },
        summary: "A decision under policies of one's own, in a log that is nobody's",
        parameters: vec![],
        answers: vec![(JSON, answer())],
        conditional: false,
        problems: said(&[
            BodyIncomplete,
            BodyTimeout,
            BodyTooLarge,
            Clock,
            ContentEncoding,
            ContentType,
            DuplicateKey,
            EmptyBody,
            EpochInvalid,
            IdempotencyInFlight,
            IdempotencyKeyReused,
            InvalidJson,
            InvalidQuery,
            InvalidUtf8,
            InvalidValue,
            MissingField,
            NoEpoch,
            Overloaded,
            RequestTooLarge,
            ReservedName,
            SandboxBusy,
            SandboxOff,
            SandboxQuota,
            SandboxTimeout,
            SandboxTooLarge,
            SandboxUnavailable,
            TooDeep,
            Unavailable,
            UnknownField,
            UnknownSample,
            WrongType,
        ]),
    }
}

/// The texts, or the name of a sample.
fn asked() -> Value {
    let absent = || json!({"type": "null"});
    let limited = |most: usize| json!({"type": "string", "maxLength": most});
    let sample = object(&[
        (
            "sample",
            json!({"type": "string", "description": "`SET/REQUEST`, as the samples name them", "examples": ["hello/what-was-paid"]}),
        ),
        ("policies?", absent()),
        ("schema?", absent()),
        ("entities?", absent()),
        ("trust?", absent()),
        ("request?", absent()),
    ]);
    let texts = object(&[
        ("sample?", absent()),
        ("policies", limited(MAX_POLICIES_BYTES)),
        ("schema?", perhaps(limited(MAX_SCHEMA))),
        ("entities?", perhaps(limited(MAX_ENTITIES))),
        ("trust?", perhaps(limited(MAX_TRUST))),
        ("request", limited(MAX_REQUEST)),
    ]);
    json!({"oneOf": [sample, texts], "examples": [{"sample": "hello/what-was-paid"}]})
}

fn answer() -> Value {
    let of = reference;
    let finding = object(&[
        ("code", text()),
        ("part", text()),
        ("line", perhaps(of("Number"))),
        ("column", perhaps(of("Number"))),
        ("message", text()),
    ]);
    let epoch = object(&[("number", of("Number")), ("index", perhaps(of("Number"))), ("warnings", list(finding))]);
    let verdicts = || json!({"type": "object", "additionalProperties": text()});
    let native = object(&[
        ("decision", json!({"type": "boolean"})),
        ("permit", of("Permit")),
        ("index", of("Number")),
        ("reasons", list(text())),
        ("conditions", verdicts()),
        ("policies", list(text())),
        ("approval?", json!({"type": "object"})),
        ("evidence?", json!({"type": "object"})),
        ("expires_at", perhaps(of("Time"))),
        ("leaf", of("Hash")),
        ("salt", of("Base64")),
        ("record", of("Base64")),
        ("detail?", object(&[("salt", of("Base64")), ("bytes", of("Base64"))])),
        ("receipt", text()),
    ]);
    object(&[
        ("schema", json!({"const": crate::sandbox::DECISION})),
        ("origin", text()),
        ("vkey", text()),
        ("size", of("Number")),
        ("epoch", epoch),
        ("request", of("Base64")),
        ("errors", list(text())),
        ("answer", native),
    ])
}

fn samples() -> Operation {
    let request = object(&[("id", text()), ("title", text()), ("request", text())]);
    let set = object(&[
        ("id", text()),
        ("title", text()),
        ("says", text()),
        ("policies", text()),
        ("schema", text()),
        ("entities", perhaps(text())),
        ("trust", perhaps(text())),
        ("requests", list(request)),
    ]);
    let limits = json!({"type": "object", "additionalProperties": reference("Number")});
    let all = object(&[
        ("schema", json!({"const": crate::sandbox::SAMPLES})),
        ("origin", text()),
        ("vkey", perhaps(text())),
        ("limits", limits),
        ("samples", list(set)),
    ]);
    Operation {
        path: "/v1/sandbox/samples",
        method: Method::Read,
        summary: "Policies and requests to begin with, and what the sandbox takes",
        parameters: vec![],
        answers: vec![(JSON, all)],
        conditional: false,
        problems: said(&[Code::SandboxOff, Code::InvalidQuery]),
    }
}
