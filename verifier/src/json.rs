//! Strict JSON: one reading of every text.
//!
//! Built on `serde_json`, with what that leaves open closed: a key may stand once in an object, nesting has a limit, text is UTF-8. The
//! authorizer decides on this reading and the guard hands the same reading to the executor, so no two parsers can disagree.
//! Numbers are 64-bit integers where they are written as such, else IEEE 754 doubles (RFC 7493 §2.2).
//! Texts that are plain, which most are, are read in one pass beside it (`plain.rs`), to the same values. A value is a tree ([`Json`]) or, as
//! requests are read, a list ([`Document`]).

mod flat;
mod plain;

use std::cell::Cell;
use std::collections::HashSet;
use std::fmt;

use serde::de::{DeserializeSeed, Deserializer, Error as _, MapAccess, SeqAccess, Visitor};
use serde::ser::{Serialize, SerializeMap, Serializer};
use thiserror::Error;

pub use flat::{Document, Items, Object, Pairs, View};

/// A string that a request, token or document holds. Up to 23 bytes, as most of them are, it needs no memory of its own.
pub use smol_str::SmolStr as Text;

/// Objects and arrays nest at most so deep: a request needs a handful, and recursion must stay small.
pub const MAX_DEPTH: usize = 32;

/// A JSON value. Objects keep the order of the text.
#[derive(Debug, Clone, PartialEq)]
pub enum Json {
    /// `null`
    Null,
    /// `true` or `false`
    Bool(bool),
    /// A number written without fraction or exponent that fits.
    Int(i64),
    /// Any other number.
    Float(f64),
    /// A string.
    String(Text),
    /// An array.
    Array(Vec<Json>),
    /// An object; keys are distinct.
    Object(Vec<(Text, Json)>),
}

/// Why bytes are not JSON that we read. Lines and columns count from 1.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum JsonError {
    /// Not UTF-8.
    #[error("not valid UTF-8 at byte {0}")]
    InvalidUtf8(usize),
    /// Not JSON.
    #[error("not valid JSON at line {line} column {column}: {message}")]
    Malformed {
        /// The line.
        line: usize,
        /// The column, in bytes.
        column: usize,
        /// What was wrong there.
        message: String,
    },
    /// A key stands twice in one object.
    #[error("key `{key}` stands twice in one object, line {line} column {column}")]
    DuplicateKey {
        /// The key.
        key: String,
        /// The line.
        line: usize,
        /// The column, in bytes.
        column: usize,
    },
    /// Nested deeper than [`MAX_DEPTH`].
    #[error("nested deeper than {MAX_DEPTH}, line {line} column {column}")]
    TooDeep {
        /// The line.
        line: usize,
        /// The column, in bytes.
        column: usize,
    },
}

impl Json {
    /// Reads exactly one value, with white space around it at most.
    pub fn parse(bytes: &[u8]) -> Result<Self, JsonError> {
        let text = utf8(bytes)?;
        match Document::plain(text) {
            Some(document) => Ok(document.root().to_json()),
            None => slowly(text),
        }
    }

    /// The value under a key of an object.
    pub fn get(&self, key: &str) -> Option<&Self> {
        match self {
            Self::Object(pairs) => pairs.iter().find(|(name, _)| name == key).map(|(_, value)| value),
            _ => None,
        }
    }

    /// What kind of value it is, for messages.
    pub fn kind(&self) -> &'static str {
        match self {
            Self::Null => "null",
            Self::Bool(_) => "a boolean",
            Self::Int(_) => "an integer",
            Self::Float(_) => "a number",
            Self::String(_) => "a string",
            Self::Array(_) => "an array",
            Self::Object(_) => "an object",
        }
    }
}

fn utf8(bytes: &[u8]) -> Result<&str, JsonError> {
    std::str::from_utf8(bytes).map_err(|error| JsonError::InvalidUtf8(error.valid_up_to()))
}

/// Reads any text, or says what is wrong with it and where.
fn slowly(text: &str) -> Result<Json, JsonError> {
    let fault = Cell::new(None);
    let mut deserializer = serde_json::Deserializer::from_str(text);
    let read = Value { depth: 0, fault: &fault }.deserialize(&mut deserializer);
    read.and_then(|value| deserializer.end().map(|()| value)).map_err(|error| {
        let (line, column) = (error.line(), error.column());
        match fault.take() {
            Some(Fault::DuplicateKey(key)) => JsonError::DuplicateKey { key, line, column },
            Some(Fault::TooDeep) => JsonError::TooDeep { line, column },
            None => {
                let message = error.to_string();
                let message = message.split(" at line ").next().unwrap_or_default().to_owned();
                JsonError::Malformed { line, column, message }
            }
        }
    })
}

impl Serialize for Json {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self {
            Self::Null => serializer.serialize_unit(),
            Self::Bool(value) => serializer.serialize_bool(*value),
            Self::Int(value) => serializer.serialize_i64(*value),
            Self::Float(value) => serializer.serialize_f64(*value),
            Self::String(value) => serializer.serialize_str(value),
            Self::Array(values) => serializer.collect_seq(values),
            Self::Object(pairs) => {
                let mut map = serializer.serialize_map(Some(pairs.len()))?;
                pairs.iter().try_for_each(|(key, value)| map.serialize_entry(key.as_str(), value))?;
                map.end()
            }
        }
    }
}

/// What `serde_json` does not refuse by itself; carried beside its error, which has the position.
enum Fault {
    DuplicateKey(String),
    TooDeep,
}

struct Value<'a> {
    depth: usize,
    fault: &'a Cell<Option<Fault>>,
}

impl Value<'_> {
    fn inner<E: serde::de::Error>(&self) -> Result<Value<'_>, E> {
        if self.depth == MAX_DEPTH {
            self.fault.set(Some(Fault::TooDeep));
            return Err(E::custom("nested too deep"));
        }
        Ok(Value { depth: self.depth + 1, fault: self.fault })
    }
}

impl<'de> DeserializeSeed<'de> for Value<'_> {
    type Value = Json;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Json, D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Value<'_> {
    type Value = Json;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a JSON value")
    }

    fn visit_unit<E>(self) -> Result<Json, E> {
        Ok(Json::Null)
    }

    fn visit_bool<E>(self, value: bool) -> Result<Json, E> {
        Ok(Json::Bool(value))
    }

    fn visit_i64<E>(self, value: i64) -> Result<Json, E> {
        Ok(Json::Int(value))
    }

    #[expect(
        clippy::cast_precision_loss,
        reason = "an integer beyond 64 signed bits is a double, as RFC 7493 reads it"
    )]
    fn visit_u64<E>(self, value: u64) -> Result<Json, E> {
        Ok(i64::try_from(value).map_or(Json::Float(value as f64), Json::Int))
    }

    fn visit_f64<E>(self, value: f64) -> Result<Json, E> {
        Ok(Json::Float(value))
    }

    fn visit_str<E>(self, value: &str) -> Result<Json, E> {
        Ok(Json::String(Text::new(value)))
    }

    fn visit_string<E>(self, value: String) -> Result<Json, E> {
        Ok(Json::String(value.into()))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<Json, A::Error> {
        let mut values = Vec::new();
        loop {
            match seq.next_element_seed(self.inner()?)? {
                Some(value) => values.push(value),
                None => return Ok(Json::Array(values)),
            }
        }
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Json, A::Error> {
        let mut pairs: Vec<(Text, Json)> = Vec::new();
        let mut seen = HashSet::new();
        while let Some(key) = map.next_key::<String>()?.map(Text::from) {
            // A look along a short object is cheaper than hashing; a long one must not cost its square.
            let twice = if pairs.len() < 16 {
                pairs.iter().any(|(name, _)| *name == key)
            } else {
                if seen.is_empty() {
                    seen.extend(pairs.iter().map(|(name, _)| name.clone()));
                }
                !seen.insert(key.clone())
            };
            if twice {
                self.fault.set(Some(Fault::DuplicateKey(key.into())));
                return Err(A::Error::custom("duplicate key"));
            }
            let value = map.next_value_seed(self.inner()?)?;
            pairs.push((key, value));
        }
        Ok(Json::Object(pairs))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_are_read_as_written() {
        let text = br#" {"b":[1,-2,1.5,"x\u00e9",null,true],"a":{}, "big":18446744073709551615} "#;
        let json = Json::parse(text).unwrap();
        assert_eq!(
            json.get("b").and_then(|b| if let Json::Array(b) = b { b.get(1) } else { None }),
            Some(&Json::Int(-2))
        );
        assert_eq!(json.get("big"), Some(&Json::Float(18_446_744_073_709_551_615.0)));
        assert_eq!(Json::parse(b"-0"), Ok(Json::Float(-0.0)));
    }

    #[test]
    fn a_key_that_stands_twice_is_refused_in_short_and_long_objects() {
        let error = Json::parse(b"{\"a\":1,\n \"a\":2}").unwrap_err();
        assert_eq!(error, JsonError::DuplicateKey { key: "a".into(), line: 2, column: 4 });
        let keys: Vec<String> = (0..40).map(|i| format!("\"k{i}\":0")).collect();
        assert!(Json::parse(format!("{{{}}}", keys.join(",")).as_bytes()).is_ok());
        let long = format!("{{{},\"k3\":0}}", keys.join(","));
        assert!(matches!(Json::parse(long.as_bytes()), Err(JsonError::DuplicateKey { key, .. }) if key == "k3"));
        // The same key, spelled with an escape.
        assert!(matches!(Json::parse(br#"{"a":1,"\u0061":2}"#), Err(JsonError::DuplicateKey { .. })));
    }

    #[test]
    fn nesting_beyond_the_limit_is_refused_and_at_the_limit_read() {
        let nested = |depth: usize| [vec![b'['; depth], vec![b']'; depth]].concat();
        assert!(Json::parse(&nested(MAX_DEPTH)).is_ok());
        assert!(matches!(Json::parse(&nested(MAX_DEPTH + 1)), Err(JsonError::TooDeep { .. })));
        assert!(matches!(Json::parse(&nested(1_000_000)), Err(JsonError::TooDeep { .. })));
    }

    #[test]
    fn what_is_not_json_is_refused_with_its_position() {
        assert_eq!(Json::parse(b"\"\xff\""), Err(JsonError::InvalidUtf8(1)));
        for text in ["", "{", "{\"a\":}", "[1,]", "01", "\u{1}1", "{'a':1}", "1 2", "\"\\ud800\"", "NaN", "\u{feff}1"] {
            assert!(matches!(Json::parse(text.as_bytes()), Err(JsonError::Malformed { .. })), "{text}");
        }
    }
}
