//! A request into slots: every value held against the schema, in the order and with the codes of plain Cedar's conversion.
//!
//! The only module that reads a request. What `engine/evaluate.rs` and `engine/convert.rs` refuse is refused here with the same code, and first where they refuse
//! first. A wrong text of an extension type is found late there (Cedar reads it when an entity or the context is built), so it is kept back here. Once the scratch has
//! its room, only a type that no policy knows, without a schema, allocates.

use std::str::FromStr;

use cedar_policy::EntityTypeName;
use jiff::Timestamp;
use verifier::json::{Pairs, View};
use verifier::request::{Entity, Request};

use super::super::codes::Code;
use super::super::convert::integers_survive;
use super::super::decide::Facts;
use super::extensions;
use super::number::decimal;
use super::program::{Program, Registered, Root};
use super::scratch::{Brought, Scratch};
use super::types::{EntityType, Fields, Kind, Shapes};
use super::value::{Pair, Span, Value};

/// The last millisecond that RFC 3339 has a text for.
const LAST_MS: i64 = 253_402_300_799_999;

/// Reads a request into an empty scratch.
pub(super) fn read(program: &Program, scratch: &mut Scratch, request: &Request, facts: &Facts<'_>) -> Result<(), Code> {
    if facts.authzen && !integers_survive(request) {
        return Err(Code::NumberRange);
    }
    let mut reader = Reader { program, scratch, wrong: false };
    let (wrong_entity, wrong_context) = match &program.shapes {
        Some(shapes) => reader.typed(shapes, request, facts)?,
        None => reader.untyped(request, facts)?,
    };
    if wrong_entity {
        return Err(Code::IllTyped);
    }
    let Scratch { loaded, named, principal, resource, action, .. } = scratch;
    named.push(*action);
    if !loaded.load(program, [principal.entity, resource.entity], named) {
        return Err(Code::TooManyEntities);
    }
    if wrong_context {
        return Err(Code::IllTyped);
    }
    let roots = [
        (Root::Principal, scratch.principal.attributes),
        (Root::Resource, scratch.resource.attributes),
        (Root::Context, scratch.context),
    ];
    for (root, record) in roots {
        scratch.fill(program, root, record);
    }
    Ok(())
}

struct Reader<'a> {
    program: &'a Program,
    scratch: &'a mut Scratch,
    /// Whether a text was no value of its extension type.
    wrong: bool,
}

impl Reader<'_> {
    /// By the schema. Says whether an entity and whether the context holds a wrong text.
    fn typed(&mut self, shapes: &Shapes, request: &Request, facts: &Facts<'_>) -> Result<(bool, bool), Code> {
        let program = self.program;
        let action = program.entity(program.well_known.action_kind, &request.action.name);
        let action = action.and_then(|action| shapes.action(action)).ok_or(Code::UnknownAction)?;
        let (subject, subject_kind) = declared(program, shapes, &request.subject)?;
        let (object, object_kind) = declared(program, shapes, &request.resource)?;
        let applies = |kinds: &[u32], kind: u32| kinds.binary_search(&kind).is_ok();
        if !applies(&action.principals, subject_kind) || !applies(&action.resources, object_kind) {
            return Err(Code::NotApplicable);
        }
        let entity = self.entity(subject_kind, &request.subject.id);
        let one = is_one(request);
        if one {
            conflict(request)?;
        }
        let more = one.then(|| request.resource.properties.pairs());
        self.scratch.principal =
            self.brought(shapes, entity, subject.shape, request.subject.properties.pairs(), more)?;
        self.scratch.resource = if one {
            self.scratch.principal
        } else {
            let entity = self.entity(object_kind, &request.resource.id);
            self.brought(shapes, entity, object.shape, request.resource.properties.pairs(), None)?
        };
        self.scratch.action = action.entity;
        let wrong_entity = std::mem::take(&mut self.wrong);
        let start = self.record(shapes, action.context, request.context.iter(), None)?;
        let properties = &request.action.properties;
        match action.properties {
            Some((fields, required)) if required || !properties.is_empty() => {
                let inner = self.record(shapes, fields, properties.iter(), None)?;
                let value = Value::Record(self.scratch.close_record(program, inner));
                self.scratch.pairs.push(Pair { name: program.well_known.action, value });
            }
            None if !properties.is_empty() => return Err(Code::Undeclared),
            Some(_) | None => {}
        }
        if let Some(fields) = action.interlock {
            self.facts(facts, |name| shapes.column(fields, name).is_some());
        }
        self.scratch.context = self.scratch.close_record(program, start);
        Ok((wrong_entity, self.wrong))
    }

    /// By what the JSON shows; then there is no text that could be wrong.
    fn untyped(&mut self, request: &Request, facts: &Facts<'_>) -> Result<(bool, bool), Code> {
        let program = self.program;
        let one = is_one(request);
        if one {
            conflict(request)?;
        }
        let more = one.then(|| request.resource.properties.pairs());
        let entity = self.named_entity(&request.subject)?;
        self.scratch.principal = self.brought_untyped(entity, request.subject.properties.pairs(), more)?;
        self.scratch.resource = if one {
            self.scratch.principal
        } else {
            let entity = self.named_entity(&request.resource)?;
            self.brought_untyped(entity, request.resource.properties.pairs(), None)?
        };
        self.scratch.action = self.entity(program.well_known.action_kind, &request.action.name);
        let start = self.untyped_record(request.context.iter(), None)?;
        let inner = self.untyped_record(request.action.properties.iter(), None)?;
        let value = Value::Record(self.scratch.close_record(program, inner));
        self.scratch.pairs.push(Pair { name: program.well_known.action, value });
        if program.facts_are_seen {
            self.facts(facts, |_| true);
        }
        self.scratch.context = self.scratch.close_record(program, start);
        Ok((false, false))
    }

    /// The number of an entity, its own if the program does not know it.
    fn entity(&mut self, kind: u32, id: &str) -> u32 {
        self.program.entity(kind, id).unwrap_or_else(|| self.scratch.own.add_entity(kind, id))
    }

    fn named_entity(&mut self, entity: &Entity) -> Result<u32, Code> {
        let kind = match self.program.kind(&entity.kind) {
            Some(kind) => kind,
            None if EntityTypeName::from_str(&entity.kind).is_ok() => self.scratch.own.add_kind(&entity.kind),
            None => return Err(Code::UnknownType),
        };
        Ok(self.entity(kind, &entity.id))
    }

    /// Subject or resource; `more` are properties that it has in its other place.
    fn brought(
        &mut self,
        shapes: &Shapes,
        entity: u32,
        fields: Fields,
        pairs: Pairs<'_>,
        more: Option<Pairs<'_>>,
    ) -> Result<Brought, Code> {
        let registered = self.program.registered(entity);
        let all = united(pairs, more);
        let start = self.record(shapes, fields, all, registered)?;
        Ok(Brought { entity, attributes: self.merged(start, registered) })
    }

    fn brought_untyped(&mut self, entity: u32, pairs: Pairs<'_>, more: Option<Pairs<'_>>) -> Result<Brought, Code> {
        let registered = self.program.registered(entity);
        let all = united(pairs, more);
        let start = self.untyped_record(all, registered)?;
        Ok(Brought { entity, attributes: self.merged(start, registered) })
    }

    /// The request's attributes from `start` on, with what is registered laid over.
    fn merged(&mut self, start: usize, registered: Option<&Registered>) -> Span {
        if let Some(registered) = registered {
            if self.scratch.pairs.len() == start {
                return registered.attributes;
            }
            self.scratch.pairs.extend_from_slice(self.program.view().pairs(registered.attributes));
        }
        self.scratch.close_record(self.program, start)
    }

    /// Whether an attribute is registered: what the request says of it does not count.
    fn overlaid(&self, registered: Option<&Registered>, name: u32) -> bool {
        registered.is_some_and(|registered| self.program.view().attribute(registered.attributes, name).is_some())
    }

    /// Leaves the pairs of a record on the stack and says where they begin. `registered` attributes need not be there.
    fn record<'j>(
        &mut self,
        shapes: &Shapes,
        fields: Fields,
        pairs: impl Iterator<Item = (&'j str, View<'j>)>,
        registered: Option<&Registered>,
    ) -> Result<usize, Code> {
        let start = self.scratch.pairs.len();
        let mut required = 0;
        for (name, view) in pairs {
            let column = shapes.column(fields, name).ok_or(Code::Undeclared)?;
            if matches!(view, View::Null) {
                continue;
            }
            let before = self.wrong;
            let value = self.value(shapes, column.kind, view)?;
            required += u32::from(column.required);
            if self.overlaid(registered, column.name) {
                self.wrong = before;
            } else {
                self.scratch.pairs.push(Pair { name: column.name, value });
            }
        }
        if required < fields.required {
            let staged = self.scratch.pairs.get(start..).unwrap_or_default();
            let missing = |name: u32| !staged.iter().any(|pair| pair.name == name) && !self.overlaid(registered, name);
            let columns = shapes.columns(fields).iter();
            if columns.filter(|column| column.required).any(|column| missing(column.name)) {
                return Err(Code::Missing);
            }
        }
        Ok(start)
    }

    fn value(&mut self, shapes: &Shapes, kind: Kind, view: View<'_>) -> Result<Value, Code> {
        Ok(match (kind, view) {
            (Kind::Bool, View::Bool(value)) => Value::Bool(value),
            (Kind::Long, View::Int(value)) => Value::Long(value),
            (Kind::Text, View::String(text)) => Value::Text(self.scratch.own.add_text(text)),
            (Kind::Decimal, View::String(text)) => self.extension(extensions::decimal(text).map(Value::Decimal)),
            (Kind::Datetime, View::String(text)) => self.extension(extensions::datetime(text).map(Value::Datetime)),
            (Kind::Duration, View::String(text)) => self.extension(extensions::duration(text).map(Value::Duration)),
            (Kind::Ip, View::String(text)) => self.extension(extensions::ip(text).map(Value::Ip)),
            (Kind::Decimal, View::Int(_) | View::Float(_)) => decimal(view)?,
            (Kind::Entity(kind), View::Object(pairs)) => self.reference(shapes, kind, pairs)?,
            (Kind::Set(element), View::Array(items)) => {
                let element = shapes.kind(element).ok_or(Code::EngineError)?;
                let start = self.scratch.items.len();
                for item in items.iter() {
                    let value = self.value(shapes, element, item)?;
                    self.scratch.items.push(value);
                }
                self.scratch.close_set(self.program, start)
            }
            (Kind::Record(shape), View::Object(pairs)) => {
                let start = self.record(shapes, shapes.shape(shape), pairs.iter(), None)?;
                Value::Record(self.scratch.close_record(self.program, start))
            }
            (
                Kind::Bool
                | Kind::Long
                | Kind::Text
                | Kind::Decimal
                | Kind::Datetime
                | Kind::Duration
                | Kind::Ip
                | Kind::Entity(_)
                | Kind::Set(_)
                | Kind::Record(_),
                _,
            ) => return Err(Code::IllTyped),
        })
    }

    fn extension(&mut self, value: Option<Value>) -> Value {
        self.wrong |= value.is_none();
        value.unwrap_or_default()
    }

    /// A reference to an entity: `{"type", "id"}` and nothing else.
    fn reference(&mut self, shapes: &Shapes, kind: u32, pairs: Pairs<'_>) -> Result<Value, Code> {
        let (Some(View::String(ty)), Some(View::String(id)), 2) =
            (pairs.get("type"), pairs.get("id"), pairs.iter().count())
        else {
            return Err(Code::IllTyped);
        };
        let program = self.program;
        if program.view().kind(kind) != ty {
            return Err(Code::IllTyped);
        }
        let known = match shapes.entity(kind) {
            Some(declared) => declared.has(id),
            // An attribute may be an action.
            None => {
                let action = program.entity(program.well_known.action_kind, id);
                kind == program.well_known.action_kind && action.is_some_and(|action| shapes.action(action).is_some())
            }
        };
        if !known {
            return Err(Code::IllTyped);
        }
        let entity = self.entity(kind, id);
        self.scratch.named.push(entity);
        Ok(Value::Entity(entity))
    }

    fn untyped_record<'j>(
        &mut self,
        pairs: impl Iterator<Item = (&'j str, View<'j>)>,
        registered: Option<&Registered>,
    ) -> Result<usize, Code> {
        let start = self.scratch.pairs.len();
        for (name, view) in pairs {
            if matches!(view, View::Null) {
                continue;
            }
            let name = self.program.name(name).unwrap_or_else(|| self.scratch.own.add_name(name));
            let value = self.untyped_value(view)?;
            if !self.overlaid(registered, name) {
                self.scratch.pairs.push(Pair { name, value });
            }
        }
        Ok(start)
    }

    fn untyped_value(&mut self, view: View<'_>) -> Result<Value, Code> {
        Ok(match view {
            View::Null => return Err(Code::NotRepresentable),
            View::Bool(value) => Value::Bool(value),
            View::Int(value) => Value::Long(value),
            View::Float(_) => decimal(view)?,
            View::String(text) => Value::Text(self.scratch.own.add_text(text)),
            View::Array(items) => {
                let start = self.scratch.items.len();
                for item in items.iter() {
                    let value = self.untyped_value(item)?;
                    self.scratch.items.push(value);
                }
                self.scratch.close_set(self.program, start)
            }
            View::Object(pairs) => {
                let start = self.untyped_record(pairs.iter(), None)?;
                Value::Record(self.scratch.close_record(self.program, start))
            }
        })
    }

    /// Puts Interlock's own facts on the stack as one more attribute of the context.
    fn facts(&mut self, facts: &Facts<'_>, wanted: impl Fn(&str) -> bool) {
        let names = self.program.well_known;
        let start = self.scratch.pairs.len();
        if wanted("evaluated_at") {
            let now = i64::try_from(facts.now_ms).ok().filter(|ms| Timestamp::from_millisecond(*ms).is_ok());
            let value = Value::Datetime(now.unwrap_or(LAST_MS));
            self.scratch.pairs.push(Pair { name: names.evaluated_at, value });
        }
        let held = facts.evidence;
        let attested_by = held.map_or("", |held| &held.attested_by);
        for (text, name, fact) in [
            ("attested_by", names.attested_by, attested_by),
            ("key", names.key, facts.key_id),
            ("realm", names.realm, facts.realm),
        ] {
            if wanted(text) {
                let value = Value::Text(self.scratch.own.add_text(fact));
                self.scratch.pairs.push(Pair { name, value });
            }
        }
        let assertions = held.map_or(&[][..], |held| &held.assertions);
        let reference_values = held.map_or(&[][..], |held| &held.reference_values);
        for (text, name, fact) in [
            ("assertions", names.assertions, assertions),
            ("reference_values", names.reference_values, reference_values),
        ] {
            if wanted(text) {
                let start = self.scratch.items.len();
                for text in fact {
                    let value = Value::Text(self.scratch.own.add_text(text));
                    self.scratch.items.push(value);
                }
                let value = self.scratch.close_set(self.program, start);
                self.scratch.pairs.push(Pair { name, value });
            }
        }
        let value = Value::Record(self.scratch.close_record(self.program, start));
        self.scratch.pairs.push(Pair { name: names.interlock, value });
    }
}

fn declared<'a>(program: &Program, shapes: &'a Shapes, entity: &Entity) -> Result<(&'a EntityType, u32), Code> {
    let kind = program.kind(&entity.kind).ok_or(Code::UnknownType)?;
    let declared = shapes.entity(kind).filter(|declared| declared.has(&entity.id));
    Ok((declared.ok_or(Code::UnknownType)?, kind))
}

/// Whether subject and resource are one entity.
fn is_one(request: &Request) -> bool {
    request.subject.kind == request.resource.kind && request.subject.id == request.resource.id
}

/// The properties of one entity must agree where it stands twice.
fn conflict(request: &Request) -> Result<(), Code> {
    let (subject, resource) = (request.subject.properties.pairs(), request.resource.properties.pairs());
    let differs = |(name, value)| subject.get(name).is_some_and(|given| given != value);
    if resource.iter().any(differs) { Err(Code::ConflictingProperties) } else { Ok(()) }
}

/// The properties of an entity, with those that it has in its other place.
fn united<'a>(pairs: Pairs<'a>, more: Option<Pairs<'a>>) -> impl Iterator<Item = (&'a str, View<'a>)> {
    let more = more.into_iter().flat_map(Pairs::iter);
    pairs.iter().chain(more.filter(move |(name, _)| pairs.get(name).is_none()))
}
