//! The entities that an epoch registers, and the small store that one decision sees.
//!
//! Subject and resource come into being with the request; registered attributes win one by one over the request's properties, and registered
//! parents and tags are added. A decision's store holds the two, their registered ancestors, what all of these refer to, transitively,
//! and the action with its groups: nothing else can be reached by a policy that strict validation accepted.

use std::collections::{HashMap, HashSet, VecDeque};
use std::str::FromStr;

use cedar_policy::{Entities, Entity, EntityUid, EvalResult, Expression, RestrictedExpression};

use super::codes::Code;
use super::findings::{Finding, FindingCode, Part};

/// A decision loads at most so many entities: a store is built for each decision, at about a microsecond an entity.
pub const MAX_REQUEST_ENTITIES: usize = 256;

/// What the epoch knows of one entity.
#[derive(Debug)]
struct Registered {
    entity: Entity,
    tags: Vec<(String, RestrictedExpression)>,
    ancestors: Vec<EntityUid>,
    /// Ancestors and every entity that an attribute or tag names.
    reaches: Vec<EntityUid>,
}

/// All that the epoch knows.
#[derive(Debug, Default)]
pub(super) struct Registry(HashMap<EntityUid, Registered>);

/// Subject or resource, as the request brings it.
#[derive(Debug)]
pub(super) struct Brought {
    pub uid: EntityUid,
    pub attributes: Vec<(String, RestrictedExpression)>,
}

impl Registry {
    /// Registered entities, and the schema's actions with their groups.
    pub(super) fn new(entities: Entities, actions: Entities) -> Result<Self, Finding> {
        // An action in no group is the same to Cedar whether it is in the store or not, and most are in none.
        let grouped = actions.into_iter().filter(|action| !reaches(action).is_empty());
        let entities = entities.into_iter().chain(grouped);
        entities.map(|entity| Ok((entity.uid(), Registered::new(entity)?))).collect::<Result<_, _>>().map(Self)
    }

    /// Whether an attribute of an entity is registered.
    pub(super) fn has(&self, uid: &EntityUid, attribute: &str) -> bool {
        self.0.get(uid).is_some_and(|registered| registered.entity.attr(attribute).is_some())
    }

    /// Whether an entity is registered.
    pub(super) fn knows(&self, uid: &EntityUid) -> bool {
        self.0.contains_key(uid)
    }

    /// A registered attribute: outer `None` if there is none, inner `None` if it is no integer.
    pub(super) fn number(&self, uid: &EntityUid, attribute: &str) -> Option<Option<i64>> {
        let value = self.0.get(uid)?.entity.attr(attribute)?;
        Some(match value {
            Ok(EvalResult::Long(value)) => Some(value),
            Ok(_) | Err(_) => None,
        })
    }

    /// A registered attribute: outer `None` if there is none, inner `None` if it is no string.
    pub(super) fn text(&self, uid: &EntityUid, attribute: &str) -> Option<Option<String>> {
        let value = self.0.get(uid)?.entity.attr(attribute)?;
        Some(match value {
            Ok(EvalResult::String(value)) => Some(value),
            Ok(_) | Err(_) => None,
        })
    }

    /// Everything that an entity is `in`, itself left out.
    pub(super) fn ancestors(&self, uid: &EntityUid) -> &[EntityUid] {
        self.0.get(uid).map_or(&[], |registered| &registered.ancestors)
    }

    /// The store of one decision. `named` are the entities that the request's values and context refer to, and the action.
    pub(super) fn store(&self, brought: Vec<Brought>, named: Vec<EntityUid>) -> Result<Entities, Code> {
        let mut seen: HashSet<EntityUid> = HashSet::with_capacity(8);
        let mut queue: VecDeque<EntityUid> = named.into();
        let mut store = Vec::with_capacity(4);
        for entity in brought {
            seen.insert(entity.uid.clone());
            let registered = self.0.get(&entity.uid);
            queue.extend(registered.into_iter().flat_map(|registered| registered.reaches.iter().cloned()));
            store.push(merged(entity, registered)?);
        }
        while let Some(uid) = queue.pop_front() {
            let Some(registered) = self.0.get(&uid) else { continue };
            if !seen.insert(uid) {
                continue;
            }
            if seen.len() > MAX_REQUEST_ENTITIES {
                return Err(Code::TooManyEntities);
            }
            queue.extend(registered.reaches.iter().filter(|uid| !seen.contains(*uid)).cloned());
            store.push(registered.entity.clone());
        }
        Entities::from_entities(store, None).map_err(|_| Code::EngineError)
    }
}

impl Registered {
    fn new(entity: Entity) -> Result<Self, Finding> {
        let tags = entity.tags().map(|(name, value)| Some((name.to_owned(), expression(value.ok()?)?)));
        let Some(tags) = tags.collect() else {
            let message = format!("the tags of `{}` cannot be read", entity.uid());
            return Err(Finding::new(FindingCode::EntitiesInvalid, Part::Entities, message));
        };
        let (_, _, ancestors) = entity.clone().into_inner();
        Ok(Self { tags, ancestors: ancestors.into_iter().collect(), reaches: reaches(&entity), entity })
    }
}

/// A value as an expression again: Cedar has no direct way.
fn expression(value: EvalResult) -> Option<RestrictedExpression> {
    RestrictedExpression::from_str(&Expression::from(value).to_string()).ok()
}

/// The request's entity with what is registered of it laid over.
fn merged(brought: Brought, registered: Option<&Registered>) -> Result<Entity, Code> {
    let Brought { uid, mut attributes } = brought;
    let Some(registered) = registered else {
        return Entity::new_with_tags(uid, attributes, [], []).map_err(|_| Code::IllTyped);
    };
    if attributes.is_empty() {
        return Ok(registered.entity.clone());
    }
    let (_, over, parents) = registered.entity.clone().into_inner();
    attributes.retain(|(name, _)| !over.contains_key(name));
    attributes.extend(over);
    Entity::new_with_tags(uid, attributes, parents, registered.tags.clone()).map_err(|_| Code::IllTyped)
}

fn reaches(entity: &Entity) -> Vec<EntityUid> {
    let mut found = Vec::new();
    let values = entity.attrs().chain(entity.tags());
    for value in values.filter_map(|(_, value)| value.ok()) {
        collect(&value, &mut found);
    }
    let (_, _, ancestors) = entity.clone().into_inner();
    found.extend(ancestors);
    found.sort();
    found.dedup();
    found
}

fn collect(value: &EvalResult, found: &mut Vec<EntityUid>) {
    match value {
        EvalResult::EntityUid(uid) => found.push(uid.clone()),
        EvalResult::Set(set) => set.iter().for_each(|value| collect(value, found)),
        EvalResult::Record(record) => record.iter().for_each(|(_, value)| collect(value, found)),
        EvalResult::Bool(_) | EvalResult::Long(_) | EvalResult::String(_) | EvalResult::ExtensionValue(_) => {}
    }
}
