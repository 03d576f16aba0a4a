//! JSON of a request into Cedar's values, by the schema's types; without a schema by what the JSON shows.
//!
//! With a schema a string may stand for a `datetime`, `duration`, `decimal` or `ipaddr`, and `{"type","id"}` for an entity, only where the schema
//! says so. Nothing is guessed, nothing is rounded: what does not fit exactly is a code, and a code denies. A number that is not an integer
//! is the double that JSON readers agree on (RFC 7493 §2.2), by its shortest decimal form.

use cedar_policy::{EntityId, EntityUid, RestrictedExpression as Expr};
use verifier::json::{Json, Object, Text, View};
use verifier::request::Request;

use super::codes::Code;
use super::extension::{Extension, Extensions};
use super::types::{Field, Shape, Type, Types, action_type};

/// The largest integer that RFC 8785 keeps apart from its neighbours.
const LARGEST_EXACT: i64 = (1 << 53) - 1;

type Pairs = [(Text, Json)];

/// Converts the values of one request and remembers the entities that they name.
pub(super) struct Converter<'a> {
    types: &'a Types,
    pub extensions: &'a Extensions,
    pub named: Vec<EntityUid>,
}

impl<'a> Converter<'a> {
    pub(super) fn new(types: &'a Types, extensions: &'a Extensions) -> Self {
        Self { types, extensions, named: Vec::new() }
    }

    /// The attributes of a record. `elsewhere` says which required ones may be absent, since they come from elsewhere.
    pub(super) fn record(
        &mut self,
        shape: &Shape,
        pairs: &Pairs,
        elsewhere: impl Fn(&str) -> bool,
    ) -> Result<Vec<(String, Expr)>, Code> {
        let mut found = Vec::with_capacity(pairs.len());
        for (name, value) in pairs {
            let field = shape.get(name.as_str()).ok_or(Code::Undeclared)?;
            if *value != Json::Null {
                found.push((name.to_string(), self.value(&field.ty, value)?));
            }
        }
        let present = |name: &str| found.iter().any(|(this, _)| this == name) || elsewhere(name);
        if shape.iter().any(|(name, Field { required, .. })| *required && !present(name)) {
            return Err(Code::Missing);
        }
        Ok(found)
    }

    /// One value of a type.
    pub(super) fn value(&mut self, ty: &Type, json: &Json) -> Result<Expr, Code> {
        Ok(match (ty, json) {
            (Type::Bool, Json::Bool(value)) => Expr::new_bool(*value),
            (Type::Long, Json::Int(value)) => Expr::new_long(*value),
            (Type::String, Json::String(text)) => Expr::new_string(text.to_string()),
            // Their text is read, and refused, when the entity or context is built.
            (Type::Decimal, Json::String(text)) => self.extensions.of(Extension::Decimal, text),
            (Type::Datetime, Json::String(text)) => self.extensions.of(Extension::Datetime, text),
            (Type::Duration, Json::String(text)) => self.extensions.of(Extension::Duration, text),
            (Type::Ip, Json::String(text)) => self.extensions.of(Extension::Ip, text),
            (Type::Decimal, Json::Int(_) | Json::Float(_)) => decimal(json, self.extensions)?,
            (Type::Entity(kind), Json::Object(pairs)) => Expr::new_entity_uid(self.entity(kind, pairs)?),
            (Type::Set(element), Json::Array(values)) => {
                Expr::new_set(values.iter().map(|value| self.value(element, value)).collect::<Result<Vec<_>, _>>()?)
            }
            (Type::Record(shape), Json::Object(pairs)) => record_of(self.record(shape, pairs, |_| false)?)?,
            (
                Type::Bool
                | Type::Long
                | Type::String
                | Type::Decimal
                | Type::Datetime
                | Type::Duration
                | Type::Ip
                | Type::Entity(_)
                | Type::Set(_)
                | Type::Record(_),
                _,
            ) => return Err(Code::IllTyped),
        })
    }

    fn entity(&mut self, kind: &str, pairs: &Pairs) -> Result<EntityUid, Code> {
        let (Some(Json::String(ty)), Some(Json::String(id)), 2) = (get(pairs, "type"), get(pairs, "id"), pairs.len())
        else {
            return Err(Code::IllTyped);
        };
        if ty != kind {
            return Err(Code::IllTyped);
        }
        let name = match self.types.entities.get(kind) {
            Some(kind) if kind.ids.as_ref().is_some_and(|ids| !ids.contains(id.as_str())) => {
                return Err(Code::IllTyped);
            }
            Some(kind) => kind.name.clone(),
            // An attribute may be an action.
            None if kind == "Action" && self.types.actions.contains_key(id.as_str()) => {
                action_type().ok_or(Code::EngineError)?
            }
            None => return Err(Code::IllTyped),
        };
        let uid = EntityUid::from_type_name_and_id(name, EntityId::new(id));
        self.named.push(uid.clone());
        Ok(uid)
    }
}

/// A record without a schema.
pub(super) fn untyped_record(pairs: &Pairs, extensions: &Extensions) -> Result<Vec<(String, Expr)>, Code> {
    let present = pairs.iter().filter(|(_, value)| *value != Json::Null);
    present.map(|(name, value)| Ok((name.to_string(), untyped(value, extensions)?))).collect()
}

fn untyped(json: &Json, extensions: &Extensions) -> Result<Expr, Code> {
    Ok(match json {
        Json::Null => return Err(Code::NotRepresentable),
        Json::Bool(value) => Expr::new_bool(*value),
        Json::Int(value) => Expr::new_long(*value),
        Json::Float(_) => decimal(json, extensions)?,
        Json::String(text) => Expr::new_string(text.to_string()),
        Json::Array(values) => {
            Expr::new_set(values.iter().map(|value| untyped(value, extensions)).collect::<Result<Vec<_>, _>>()?)
        }
        Json::Object(pairs) => record_of(untyped_record(pairs, extensions)?)?,
    })
}

/// A record value of converted pairs.
pub(super) fn record_of(pairs: Vec<(String, Expr)>) -> Result<Expr, Code> {
    Expr::new_record(pairs).map_err(|_| Code::EngineError)
}

/// A number as a `decimal` (64 bits, four decimals), exactly or not at all.
fn decimal(json: &Json, extensions: &Extensions) -> Result<Expr, Code> {
    let text = match json {
        Json::Int(value) => format!("{value}.0"),
        Json::Float(value) => shortest(*value).ok_or(Code::NotRepresentable)?,
        Json::Null | Json::Bool(_) | Json::String(_) | Json::Array(_) | Json::Object(_) => return Err(Code::IllTyped),
    };
    let (whole, fraction) = text.split_once('.').ok_or(Code::NotRepresentable)?;
    let scaled = format!("{whole}{fraction:0<4}");
    if fraction.len() > 4 || scaled.parse::<i64>().is_err() {
        return Err(Code::NotRepresentable);
    }
    Ok(extensions.of(Extension::Decimal, &text))
}

/// The shortest decimal text of a double that no other text of 15 digits means; minus zero is none.
fn shortest(value: f64) -> Option<String> {
    if !value.is_finite() || (value == 0.0 && value.is_sign_negative()) {
        return None;
    }
    let text = format!("{value:?}");
    let digits = text.bytes().filter(u8::is_ascii_digit).skip_while(|digit| *digit == b'0').count();
    // Rust writes very large and very small doubles with an exponent: none of them is a decimal.
    (digits <= 15 + usize::from(text.ends_with(".0")) && !text.contains('e')).then_some(text)
}

/// Whether every integer of an AuthZEN request survives RFC 8785.
pub(super) fn integers_survive(request: &Request) -> bool {
    let parts =
        [&request.subject.properties, &request.action.properties, &request.resource.properties, &request.context];
    parts.into_iter().flat_map(Object::iter).all(|(_, value)| survives(value))
}

fn survives(value: View<'_>) -> bool {
    match value {
        View::Int(value) => (-LARGEST_EXACT..=LARGEST_EXACT).contains(&value),
        View::Float(value) => value.fract() != 0.0 || value.abs() < 9_007_199_254_740_992.0,
        View::Array(items) => items.iter().all(survives),
        View::Object(pairs) => pairs.iter().all(|(_, value)| survives(value)),
        View::Null | View::Bool(_) | View::String(_) => true,
    }
}

/// What a schema declares of a request's pairs; the rest is left out, at any depth.
pub(super) fn declared(shape: Option<&Shape>, pairs: &Pairs) -> Vec<(Text, Json)> {
    let field = |name: &Text| shape.and_then(|shape| shape.get(name.as_str()));
    let kept = pairs.iter().filter_map(|(name, value)| Some((name.clone(), declared_value(&field(name)?.ty, value))));
    kept.collect()
}

fn declared_value(ty: &Type, json: &Json) -> Json {
    match (ty, json) {
        (Type::Record(shape), Json::Object(pairs)) => Json::Object(declared(Some(shape), pairs)),
        (Type::Set(element), Json::Array(values)) => {
            Json::Array(values.iter().map(|value| declared_value(element, value)).collect())
        }
        _ => json.clone(),
    }
}

fn get<'a>(pairs: &'a Pairs, key: &str) -> Option<&'a Json> {
    pairs.iter().find(|(name, _)| name == key).map(|(_, value)| value)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn as_decimal(text: &str) -> Result<String, Code> {
        decimal(&Json::parse(text.as_bytes()).unwrap(), &Extensions::default())
            .map(|expr| format!("{expr:?}"))
            .map(|_| text.to_owned())
    }

    #[test]
    fn a_fraction_becomes_a_decimal_exactly_or_not_at_all() {
        for good in
            ["0.1", "-0.5", "1.2345", "1.0", "5", "922337203685477", "99999999999.9999", "1e2", "123456789012.5"]
        {
            assert!(as_decimal(good).is_ok(), "{good}");
        }
        for bad in ["0.00001", "1.23456", "1e19", "-0", "-0.0", "922337203685478", "1e-7", "1234567890123456.5"] {
            assert_eq!(as_decimal(bad), Err(Code::NotRepresentable), "{bad}");
        }
    }
}
