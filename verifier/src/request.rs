//! The native request: what an agent wants to do, as the authorizer reads it and as the executor gets it back.
//!
//! One strict reading ([`Request::parse`]) serves both sides: the authorizer decides on it, and the guard hands the same value, read from
//! the same committed bytes, to the executor. Unknown fields, duplicate keys and reserved names are refused, so that nobody acts on a
//! field that the decision did not see.

use jiff::Timestamp;
use thiserror::Error;

use crate::decision::PermitId;
use crate::evidence::MAX_TOKEN;
use crate::json::{Document, Json, JsonError, Object, Pairs, Text, View};

/// A single request has at most so many bytes.
pub const MAX_REQUEST: usize = 64 * 1024;
/// A type, id or name has at most so many bytes.
pub const MAX_ID: usize = 1_024;
/// Audience and idempotency key have at most so many bytes.
pub const MAX_LABEL: usize = 255;
/// `delegates` and `scopes` have at most so many entries.
pub const MAX_LIST: usize = 64;
/// `assertions` has at most so many entries: each costs a signature check.
pub const MAX_ASSERTIONS: usize = 8;
/// The fields of a request.
const FIELDS: [&str; 16] = [
    "subject",
    "action",
    "resource",
    "context",
    "idempotency_key",
    "parent",
    "delegates",
    "audience",
    "ttl_ms",
    "lease_ms",
    "uses",
    "deadline",
    "scopes",
    "assertions",
    "attestation",
    "retry_of",
];
/// Object keys that would be instructions to Cedar's own JSON format: a request can never name an entity. All begin with two underscores,
/// and are looked for where any string does.
const ESCAPES: [&str; 3] = ["__entity", "__extn", "__expr"];
/// Context names that Interlock fills in itself.
const RESERVED_CONTEXT: [&str; 2] = ["action", "interlock"];

/// A subject or a resource.
#[derive(Debug, Clone, PartialEq)]
pub struct Entity {
    /// `type`
    pub kind: Text,
    /// `id`
    pub id: Text,
    /// `properties`, in the order of the text.
    pub properties: Object,
}

impl Entity {
    /// Type and id, as records name it.
    pub fn named(&self) -> (String, String) {
        (self.kind.to_string(), self.id.to_string())
    }
}

/// What is to be done.
#[derive(Debug, Clone, PartialEq)]
pub struct Action {
    /// `name`
    pub name: Text,
    /// `properties`, in the order of the text.
    pub properties: Object,
}

/// A native request. Field by field as in the interface; absent lists are empty.
#[derive(Debug, Clone, PartialEq)]
pub struct Request {
    /// Who acts.
    pub subject: Entity,
    /// What is to be done.
    pub action: Action,
    /// To what.
    pub resource: Entity,
    /// Circumstances.
    pub context: Object,
    /// The same key asks for the same permit.
    pub idempotency_key: Option<String>,
    /// The permit that this action descends from.
    pub parent: Option<PermitId>,
    /// Subjects that may name this permit as their parent.
    pub delegates: Vec<String>,
    /// Who may act on the permit.
    pub audience: Option<String>,
    /// How long the permit shall hold, milliseconds, at least 1.
    pub ttl_ms: Option<u64>,
    /// How long the executor may go on without a renewal, milliseconds, at least 1; without it there is no lease.
    pub lease_ms: Option<u64>,
    /// How often it may be acted on, at least 1.
    pub uses: Option<u32>,
    /// The decision is worthless at and after this time, Unix milliseconds.
    pub deadline: Option<u64>,
    /// Scopes that the action claims.
    pub scopes: Vec<String>,
    /// Trust assertions: each a compact JWS or a DSSE envelope (`evidence`), not read yet.
    pub assertions: Vec<Json>,
    /// An attestation result: a JWT or the base64url of a CWT (`evidence::eat`), not read yet.
    pub attestation: Option<String>,
    /// The denied decision that is tried again.
    pub retry_of: Option<PermitId>,
}

/// Why bytes are not a request. `at` is a JSON pointer (RFC 6901).
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum RequestError {
    /// More than [`MAX_REQUEST`] bytes.
    #[error("request has {0} bytes, more than 65,536")]
    TooLarge(usize),
    /// Not strict JSON.
    #[error(transparent)]
    Json(#[from] JsonError),
    /// A field that requests do not have.
    #[error("`{0}` is not a field of a request")]
    UnknownField(String),
    /// A required field is absent.
    #[error("`{0}` is missing")]
    MissingField(String),
    /// A field has another type than the interface says.
    #[error("`{at}` must be {expected}")]
    WrongType {
        /// Where.
        at: String,
        /// What must stand there.
        expected: &'static str,
    },
    /// A value is empty, too long, out of range or holds control characters.
    #[error("`{at}` must be {expected}")]
    InvalidValue {
        /// Where.
        at: String,
        /// What must stand there.
        expected: &'static str,
    },
    /// A name that a request must not use.
    #[error("`{0}` is a reserved name")]
    ReservedName(String),
}

impl RequestError {
    /// The stable code in error answers.
    pub const fn code(&self) -> &'static str {
        match self {
            Self::TooLarge(_) => "request_too_large",
            Self::Json(JsonError::InvalidUtf8(_)) => "invalid_utf8",
            Self::Json(JsonError::Malformed { .. }) => "invalid_json",
            Self::Json(JsonError::DuplicateKey { .. }) => "duplicate_key",
            Self::Json(JsonError::TooDeep { .. }) => "too_deep",
            Self::UnknownField(_) => "unknown_field",
            Self::MissingField(_) => "missing_field",
            Self::WrongType { .. } => "wrong_type",
            Self::InvalidValue { .. } => "invalid_value",
            Self::ReservedName(_) => "reserved_name",
        }
    }
}

impl Request {
    /// Reads one request.
    pub fn parse(bytes: &[u8]) -> Result<Self, RequestError> {
        if bytes.len() > MAX_REQUEST {
            return Err(RequestError::TooLarge(bytes.len()));
        }
        Self::from_document(&Document::parse(bytes)?)
    }

    /// Reads one request from a JSON text.
    pub fn from_document(document: &Document) -> Result<Self, RequestError> {
        let mut fields = Fields::of("", document, document.root())?;
        let request = Self {
            subject: fields.entity("subject")?,
            action: fields.action("action")?,
            resource: fields.entity("resource")?,
            context: fields.object("context")?,
            idempotency_key: fields.label("idempotency_key")?,
            parent: fields.permit("parent")?,
            delegates: fields.strings("delegates")?,
            audience: fields.label("audience")?,
            ttl_ms: fields.positive("ttl_ms")?,
            lease_ms: fields.positive("lease_ms")?,
            uses: match fields.positive("uses")? {
                None => None,
                Some(uses) => Some(u32::try_from(uses).map_err(|_| fields.invalid("uses", "below 2^32"))?),
            },
            deadline: fields.time("deadline")?,
            scopes: fields.strings("scopes")?,
            assertions: fields.assertions("assertions")?,
            attestation: fields.token("attestation")?,
            retry_of: fields.permit("retry_of")?,
        };
        fields.finish(&FIELDS)?;
        request.refuse_reserved_names(document)?;
        Ok(request)
    }

    /// The request without what only an evaluation looks at: properties and context.
    #[must_use]
    pub fn outline(mut self) -> Self {
        self.subject.properties = Object::default();
        self.action.properties = Object::default();
        self.resource.properties = Object::default();
        self.context = Object::default();
        self
    }

    fn refuse_reserved_names(&self, document: &Document) -> Result<(), RequestError> {
        if let Some((name, _)) = self.context.iter().find(|(name, _)| RESERVED_CONTEXT.contains(name)) {
            return Err(RequestError::ReservedName(format!("/context/{name}")));
        }
        if !document.is_underscored() {
            return Ok(());
        }
        let parts = [&self.subject.properties, &self.action.properties, &self.resource.properties, &self.context];
        parts.into_iter().try_for_each(|part| refuse_escapes(part.pairs()))
    }
}

fn refuse_escapes(pairs: Pairs<'_>) -> Result<(), RequestError> {
    pairs.iter().try_for_each(|(name, value)| match ESCAPES.contains(&name) {
        true => Err(RequestError::ReservedName(name.to_owned())),
        false => refuse_escapes_within(value),
    })
}

fn refuse_escapes_within(value: View<'_>) -> Result<(), RequestError> {
    match value {
        View::Object(pairs) => refuse_escapes(pairs),
        View::Array(items) => items.iter().try_for_each(refuse_escapes_within),
        View::Null | View::Bool(_) | View::Int(_) | View::Float(_) | View::String(_) => Ok(()),
    }
}

/// The fields of one object, each taken once; [`Fields::finish`] refuses what is left.
struct Fields<'a> {
    /// Where the object stands: the name of a field of the request, or nothing for the request itself.
    at: &'static str,
    document: &'a Document,
    pairs: Pairs<'a>,
    taken: usize,
}

impl<'a> Fields<'a> {
    fn of(at: &'static str, document: &'a Document, value: View<'a>) -> Result<Self, RequestError> {
        match value {
            View::Object(pairs) => Ok(Self { at, document, pairs, taken: 0 }),
            _ if at.is_empty() => Err(RequestError::WrongType { at: "request".to_owned(), expected: "an object" }),
            _ => Err(RequestError::WrongType { at: format!("/{at}"), expected: "an object" }),
        }
    }

    fn take(&mut self, name: &str) -> Option<View<'a>> {
        let value = self.pairs.get(name)?;
        self.taken += 1;
        Some(value)
    }

    /// `known` are the names that were asked for.
    fn finish(self, known: &[&str]) -> Result<(), RequestError> {
        if self.pairs.iter().count() == self.taken {
            return Ok(());
        }
        let unknown = self.pairs.iter().map(|(name, _)| name).find(|name| !known.contains(name));
        Err(RequestError::UnknownField(self.path(unknown.unwrap_or_default())))
    }

    fn path(&self, name: &str) -> String {
        if self.at.is_empty() { format!("/{name}") } else { format!("/{}/{name}", self.at) }
    }

    fn wrong(&self, name: &str, expected: &'static str) -> RequestError {
        RequestError::WrongType { at: self.path(name), expected }
    }

    fn invalid(&self, name: &str, expected: &'static str) -> RequestError {
        RequestError::InvalidValue { at: self.path(name), expected }
    }

    fn required(&mut self, name: &str) -> Result<View<'a>, RequestError> {
        self.take(name).ok_or_else(|| RequestError::MissingField(self.path(name)))
    }

    fn id(&mut self, name: &str) -> Result<Text, RequestError> {
        match self.required(name)? {
            View::String(id) if is_plain(id, MAX_ID) => Ok(Text::new(id)),
            View::String(_) => Err(self.invalid(name, "1 to 1,024 bytes without control characters")),
            _ => Err(self.wrong(name, "a string")),
        }
    }

    fn object(&mut self, name: &str) -> Result<Object, RequestError> {
        match self.take(name) {
            None => Ok(Object::default()),
            Some(View::Object(pairs)) => Ok(self.document.keep(pairs)),
            Some(_) => Err(self.wrong(name, "an object")),
        }
    }

    fn entity(&mut self, name: &'static str) -> Result<Entity, RequestError> {
        let mut fields = Fields::of(name, self.document, self.required(name)?)?;
        let entity =
            Entity { kind: fields.id("type")?, id: fields.id("id")?, properties: fields.object("properties")? };
        fields.finish(&["type", "id", "properties"])?;
        Ok(entity)
    }

    fn action(&mut self, name: &'static str) -> Result<Action, RequestError> {
        let mut fields = Fields::of(name, self.document, self.required(name)?)?;
        let action = Action { name: fields.id("name")?, properties: fields.object("properties")? };
        fields.finish(&["name", "properties"])?;
        Ok(action)
    }

    fn label(&mut self, name: &str) -> Result<Option<String>, RequestError> {
        match self.take(name) {
            None => Ok(None),
            Some(View::String(label)) if is_plain(label, MAX_LABEL) => Ok(Some(label.to_owned())),
            Some(View::String(_)) => Err(self.invalid(name, "1 to 255 bytes without control characters")),
            Some(_) => Err(self.wrong(name, "a string")),
        }
    }

    fn assertions(&mut self, name: &str) -> Result<Vec<Json>, RequestError> {
        let values = self.array(name, MAX_ASSERTIONS)?;
        for value in &values {
            match value {
                View::String(token) if (1..=MAX_TOKEN).contains(&token.len()) => {}
                View::String(_) => return Err(self.invalid(name, "a list of tokens of 1 to 16,384 bytes")),
                View::Object(_) => {}
                _ => return Err(self.wrong(name, "a list of strings (JWS) and objects (DSSE)")),
            }
        }
        Ok(values.into_iter().map(View::to_json).collect())
    }

    fn token(&mut self, name: &str) -> Result<Option<String>, RequestError> {
        match self.take(name) {
            None => Ok(None),
            Some(View::String(token)) if (1..=MAX_TOKEN).contains(&token.len()) => Ok(Some(token.to_owned())),
            Some(View::String(_)) => Err(self.invalid(name, "a token of 1 to 16,384 bytes")),
            Some(_) => Err(self.wrong(name, "a string")),
        }
    }

    fn permit(&mut self, name: &str) -> Result<Option<PermitId>, RequestError> {
        match self.take(name) {
            None => Ok(None),
            Some(View::String(text)) => {
                text.parse().map(Some).map_err(|_| self.invalid(name, "a permit id of 32 lower-case hex digits"))
            }
            Some(_) => Err(self.wrong(name, "a string")),
        }
    }

    fn positive(&mut self, name: &str) -> Result<Option<u64>, RequestError> {
        match self.take(name) {
            None => Ok(None),
            Some(View::Int(value)) => match u64::try_from(value) {
                Ok(value) if value >= 1 => Ok(Some(value)),
                _ => Err(self.invalid(name, "at least 1")),
            },
            Some(_) => Err(self.wrong(name, "an integer")),
        }
    }

    fn time(&mut self, name: &str) -> Result<Option<u64>, RequestError> {
        const EXPECTED: &str = "an RFC 3339 time after 1970";
        match self.take(name) {
            None => Ok(None),
            Some(View::String(text)) => {
                let time = text.parse::<Timestamp>().map_err(|_| self.invalid(name, EXPECTED))?;
                u64::try_from(time.as_millisecond()).map(Some).map_err(|_| self.invalid(name, EXPECTED))
            }
            Some(_) => Err(self.wrong(name, "a string")),
        }
    }

    fn array(&mut self, name: &str, most: usize) -> Result<Vec<View<'a>>, RequestError> {
        match self.take(name) {
            None => Ok(Vec::new()),
            Some(View::Array(items)) if items.iter().nth(most).is_none() => Ok(items.iter().collect()),
            Some(View::Array(_)) => Err(self.invalid(name, "a shorter list")),
            Some(_) => Err(self.wrong(name, "an array")),
        }
    }

    fn strings(&mut self, name: &str) -> Result<Vec<String>, RequestError> {
        let values = self.array(name, MAX_LIST)?;
        let string = |value| match value {
            View::String(text) if is_plain(text, MAX_ID) => Ok(text.to_owned()),
            _ => Err(self.wrong(name, "a list of strings of 1 to 1,024 bytes without control characters")),
        };
        values.into_iter().map(string).collect()
    }
}

fn is_plain(text: &str, most: usize) -> bool {
    !text.is_empty() && text.len() <= most && !text.chars().any(char::is_control)
}

#[cfg(test)]
mod tests {
    use super::*;

    const SMALL: &str =
        r#""subject":{"type":"Agent","id":"a"},"action":{"name":"read"},"resource":{"type":"Doc","id":"d"}"#;

    fn parse(more: &str) -> Result<Request, RequestError> {
        Request::parse(format!("{{{SMALL}{more}}}").as_bytes())
    }

    fn code(more: &str) -> &'static str {
        parse(more).unwrap_err().code()
    }

    #[test]
    fn every_field_is_read() {
        let request = parse(
            r#","context":{"x":1},"idempotency_key":"k","parent":"000102030405060708090a0b0c0d0e0f","delegates":["b"],"audience":"gw",
            "ttl_ms":5,"lease_ms":4,"uses":2,"deadline":"2026-11-23T10:00:00.5Z","scopes":["s"],"assertions":["a.b.c",{}],"attestation":"x",
            "retry_of":"ffffffffffffffffffffffffffffffff""#,
        )
        .unwrap();
        assert_eq!(request.context.to_pairs(), [("x".into(), Json::Int(1))]);
        assert_eq!(request.deadline, Some(1_795_428_000_500));
        assert_eq!((request.ttl_ms, request.lease_ms, request.uses), (Some(5), Some(4), Some(2)));
        assert_eq!(request.retry_of, Some(PermitId([0xff; 16])));
    }

    #[test]
    fn what_the_interface_does_not_have_is_refused_with_its_code() {
        assert_eq!(code(r#","more":1"#), "unknown_field");
        assert_eq!(parse(r#","uses":1,"more":1,"most":2"#).unwrap_err(), RequestError::UnknownField("/more".into()));
        assert_eq!(parse(r#","context":{},"context":{}"#).unwrap_err().code(), "duplicate_key");
        assert_eq!(code(r#","context":[]"#), "wrong_type");
        assert_eq!(code(r#","uses":0"#), "invalid_value");
        assert_eq!(code(r#","uses":4294967296"#), "invalid_value");
        assert_eq!(code(r#","ttl_ms":1.5"#), "wrong_type");
        assert_eq!(code(r#","lease_ms":0"#), "invalid_value");
        assert_eq!(code(r#","deadline":"tomorrow""#), "invalid_value");
        assert_eq!(code(r#","parent":"0001""#), "invalid_value");
        assert_eq!(code(r#","parent":"FF0102030405060708090a0b0c0d0e0f""#), "invalid_value");
        assert_eq!(code(r#","audience":"a\nb""#), "invalid_value");
        assert_eq!(code(r#","assertions":["1","2","3","4","5","6","7","8","9"]"#), "invalid_value");
        assert_eq!(code(r#","assertions":[1]"#), "wrong_type");
        assert_eq!(code(r#","assertions":[""]"#), "invalid_value");
        assert_eq!(code(r#","attestation":{}"#), "wrong_type");
        assert_eq!(code(&format!(r#","attestation":"{}""#, "a".repeat(MAX_TOKEN + 1))), "invalid_value");
        assert_eq!(Request::parse(b"{}").unwrap_err(), RequestError::MissingField("/subject".into()));
        assert_eq!(Request::parse(b"[]").unwrap_err().code(), "wrong_type");
        assert_eq!(Request::parse(&vec![b' '; MAX_REQUEST + 1]).unwrap_err().code(), "request_too_large");
    }

    #[test]
    fn a_request_cannot_name_an_entity_or_a_fact_of_ours() {
        for more in [
            r#","context":{"u":{"__entity":{"type":"Agent","id":"root"}}}"#,
            r#","context":{"u":[{"__extn":{"fn":"ip","arg":"::"}}]}"#,
            r#","context":{"__expr":"1"}"#,
            r#","context":{"interlock":{}}"#,
            r#","context":{"action":{}}"#,
        ] {
            assert_eq!(code(more), "reserved_name", "{more}");
        }
    }
}
