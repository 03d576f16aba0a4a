//! What an epoch registers, and the groups of its actions, in the program's tables.
//!
//! The same entities as plain Cedar's registry (`engine/registered.rs`): all that are registered, and the actions that stand in a group.

use std::collections::{BTreeMap, BTreeSet};

use cedar_policy::pst::{BinaryOp, Clause, Expr, Literal, Policy as Tree, UnaryOp};
use cedar_policy::{Entities, Entity, EntityUid, EvalResult, Policy};

use super::extensions;
use super::program::{Builder, Registered};
use super::value::{Pair, Span, Value};

/// Registers all of them; `None` if a value cannot be read.
pub(super) fn register(builder: &mut Builder, entities: Entities, actions: Entities) -> Option<()> {
    let registered = entities.into_iter().map(|entity| (entity, false));
    let mut all: Vec<_> = registered.chain(actions.into_iter().map(|action| (action, true))).collect();
    // In order, so that the same content gives the same numbers; of an action that stands in both, the schema's counts.
    all.sort_by_cached_key(|(entity, action)| (entity.uid(), *action));
    for (entity, action) in all {
        let mut reader = Reader { builder, names: Vec::new() };
        let attributes = reader.record(entity.attrs().map(|(name, value)| (name, value.ok())))?;
        let tags = reader.record(entity.tags().map(|(name, value)| (name, value.ok())))?;
        let mut reaches = reader.names;
        let mut ancestors = ancestors(builder, &entity);
        reaches.extend_from_slice(&ancestors);
        for numbers in [&mut ancestors, &mut reaches] {
            numbers.sort_unstable();
            numbers.dedup();
        }
        if action && reaches.is_empty() {
            continue; // to Cedar it is the same whether it is there or not
        }
        let uid = number(builder, &entity.uid());
        let (ancestors, reaches) = (builder.list(&ancestors), builder.list(&reaches));
        builder.register(uid, Registered { is: true, attributes, tags, ancestors, reaches });
    }
    Some(())
}

fn ancestors(builder: &mut Builder, entity: &Entity) -> Vec<u32> {
    let (_, _, ancestors) = entity.clone().into_inner();
    let ancestors: BTreeSet<_> = ancestors.into_iter().collect();
    ancestors.iter().map(|uid| number(builder, uid)).collect()
}

fn number(builder: &mut Builder, uid: &EntityUid) -> u32 {
    builder.entity(&uid.type_name().to_string(), AsRef::<str>::as_ref(uid.id()))
}

/// Reads the values of one entity and remembers whom they name.
struct Reader<'a> {
    builder: &'a mut Builder,
    names: Vec<u32>,
}

impl Reader<'_> {
    fn record<'v>(&mut self, values: impl Iterator<Item = (&'v str, Option<EvalResult>)>) -> Option<Span> {
        let mut pairs = Vec::new();
        for (name, value) in values.collect::<BTreeMap<_, _>>() {
            let name = self.builder.name(name);
            pairs.push(Pair { name, value: self.value(&value?)? });
        }
        Some(self.builder.record(pairs))
    }

    fn value(&mut self, value: &EvalResult) -> Option<Value> {
        Some(match value {
            EvalResult::Bool(value) => Value::Bool(*value),
            EvalResult::Long(value) => Value::Long(*value),
            EvalResult::String(text) => self.builder.text(text),
            EvalResult::EntityUid(uid) => {
                let entity = number(self.builder, uid);
                self.names.push(entity);
                Value::Entity(entity)
            }
            EvalResult::Set(set) => {
                let items = set.iter().map(|value| self.value(value)).collect::<Option<Vec<_>>>()?;
                self.builder.set(items)
            }
            EvalResult::Record(record) => {
                let mut pairs = Vec::new();
                for (name, value) in record.iter() {
                    let name = self.builder.name(name);
                    pairs.push(Pair { name, value: self.value(value)? });
                }
                Value::Record(self.builder.record(pairs))
            }
            EvalResult::ExtensionValue(text) => extension(text)?,
        })
    }
}

/// An extension value, which Cedar gives as the text of an expression.
fn extension(text: &str) -> Option<Value> {
    let simple = text.strip_suffix("\")").and_then(|text| text.split_once("(\""));
    if let Some((constructor, text)) = simple
        && !text.contains(['"', '\\'])
    {
        return match constructor {
            "decimal" => extensions::decimal(text).map(Value::Decimal),
            "datetime" => extensions::datetime(text).map(Value::Datetime),
            "duration" => extensions::duration(text).map(Value::Duration),
            "ip" => extensions::ip(text).map(Value::Ip),
            _ => None,
        };
    }
    // A computed one is an offset; Cedar's own parser knows how that is written.
    let policy = Policy::parse(None, format!("permit (principal, action, resource) when {{ {text} }};")).ok()?;
    let Tree::Static(policy) = policy.to_pst().ok()? else { return None };
    match policy.body().clauses().first()? {
        Clause::When(expression) => computed(expression),
        Clause::Unless(_) => None,
    }
}

fn computed(expression: &Expr) -> Option<Value> {
    match expression {
        Expr::UnaryOp { op, expr } => {
            let Expr::Literal(Literal::String(text)) = &**expr else { return None };
            match op {
                UnaryOp::Datetime => extensions::datetime(text).map(Value::Datetime),
                UnaryOp::Duration => extensions::duration(text).map(Value::Duration),
                UnaryOp::Decimal => extensions::decimal(text).map(Value::Decimal),
                UnaryOp::Ip => extensions::ip(text).map(Value::Ip),
                _ => None,
            }
        }
        Expr::BinaryOp { op: BinaryOp::Offset, left, right } => match (computed(left)?, computed(right)?) {
            (Value::Datetime(from), Value::Duration(by)) => from.checked_add(by).map(Value::Datetime),
            _ => None,
        },
        _ => None,
    }
}
