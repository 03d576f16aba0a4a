//! The schema as flat tables: what a request is held against while it is read.
//!
//! Made from the same table that plain Cedar's conversion uses ([`Types`]), so both ways hold a request against one reading of the schema. Says nothing about
//! values: see `slots.rs`.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::Arc;

use super::super::types::{EntityKind, Field, Shape, Type, Types};
use super::program::Builder;
use super::value::offset;

/// A type.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    Bool,
    Long,
    Text,
    Decimal,
    Datetime,
    Duration,
    Ip,
    /// The number of an entity type.
    Entity(u32),
    /// The number of the elements' type.
    Set(u32),
    /// The number of a shape.
    Record(u32),
}

/// The attributes of a record or of an entity type, sorted by their names' texts.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Fields {
    start: u32,
    len: u32,
    /// How many of them are required.
    pub required: u32,
}

/// An attribute.
#[derive(Debug)]
pub(super) struct Column {
    pub text: Box<str>,
    pub name: u32,
    pub kind: Kind,
    pub required: bool,
}

/// An entity type.
#[derive(Debug)]
pub(super) struct EntityType {
    pub shape: Fields,
    /// The ids of an enumerated type, sorted.
    pub ids: Option<Vec<Box<str>>>,
}

/// An action that can be asked for.
#[derive(Debug)]
pub(super) struct ActionType {
    pub entity: u32,
    /// Types by number, sorted.
    pub principals: Vec<u32>,
    pub resources: Vec<u32>,
    pub context: Fields,
    /// The record of the action's properties, and whether it is required.
    pub properties: Option<(Fields, bool)>,
    pub interlock: Option<Fields>,
}

/// The whole schema.
#[derive(Debug, Default)]
pub(super) struct Shapes {
    columns: Vec<Column>,
    shapes: Vec<Fields>,
    kinds: Vec<Kind>,
    /// By number of the type.
    entities: Vec<Option<EntityType>>,
    /// Actions by number of their entity, sorted.
    actions: Vec<ActionType>,
}

impl Shapes {
    pub(super) fn of(types: &Types, builder: &mut Builder) -> Self {
        let mut reader = Reader { shapes: Self::default(), builder, seen: HashMap::new() };
        // In order, so that the same content gives the same numbers.
        for (name, kind) in types.entities.iter().collect::<BTreeMap<_, _>>() {
            reader.entity(name, kind);
        }
        for (name, action) in types.actions.iter().collect::<BTreeMap<_, _>>() {
            let entity = reader.builder.entity("Action", name);
            let mut number = |names: &BTreeSet<String>| {
                let mut kinds: Vec<u32> = names.iter().map(|name| reader.builder.kind(name)).collect();
                kinds.sort_unstable();
                kinds
            };
            let (principals, resources) = (number(&action.principals), number(&action.resources));
            let context = reader.fields(&action.context);
            let properties = action.action.as_ref().and_then(|field| Some((reader.record(field)?, field.required)));
            let interlock = action.interlock.as_ref().and_then(|field| reader.record(field));
            let action = ActionType { entity, principals, resources, context, properties, interlock };
            reader.shapes.actions.push(action);
        }
        let mut shapes = reader.shapes;
        shapes.actions.sort_unstable_by_key(|action| action.entity);
        shapes
    }

    pub(super) fn columns(&self, fields: Fields) -> &[Column] {
        let start = fields.start as usize;
        self.columns.get(start..start.saturating_add(fields.len as usize)).unwrap_or_default()
    }

    /// The attribute of a name.
    pub(super) fn column(&self, fields: Fields, name: &str) -> Option<&Column> {
        let columns = self.columns(fields);
        let at = columns.binary_search_by(|column| (*column.text).cmp(name)).ok()?;
        columns.get(at)
    }

    pub(super) fn shape(&self, number: u32) -> Fields {
        self.shapes.get(number as usize).copied().unwrap_or_default()
    }

    pub(super) fn kind(&self, number: u32) -> Option<Kind> {
        self.kinds.get(number as usize).copied()
    }

    pub(super) fn entity(&self, kind: u32) -> Option<&EntityType> {
        self.entities.get(kind as usize)?.as_ref()
    }

    pub(super) fn action(&self, entity: u32) -> Option<&ActionType> {
        let at = self.actions.binary_search_by(|action| action.entity.cmp(&entity)).ok()?;
        self.actions.get(at)
    }
}

impl EntityType {
    /// Whether the type has this id.
    pub(super) fn has(&self, id: &str) -> bool {
        self.ids.as_ref().is_none_or(|ids| ids.binary_search_by(|this| (**this).cmp(id)).is_ok())
    }
}

struct Reader<'a> {
    shapes: Shapes,
    builder: &'a mut Builder,
    /// Shapes that stand in several places were read once; each is held by the schema's table for as long.
    seen: HashMap<*const Shape, u32>,
}

impl Reader<'_> {
    fn entity(&mut self, name: &str, kind: &EntityKind) {
        let shape = self.fields(&kind.shape);
        let ids = kind.ids.as_ref().map(|ids| ids.iter().map(|id| id.as_str().into()).collect());
        let at = self.builder.kind(name) as usize;
        if self.shapes.entities.len() <= at {
            self.shapes.entities.resize_with(at + 1, || None);
        }
        if let Some(place) = self.shapes.entities.get_mut(at) {
            *place = Some(EntityType { shape, ids });
        }
    }

    fn record(&mut self, field: &Field) -> Option<Fields> {
        match self.kind(&field.ty) {
            Kind::Record(shape) => Some(self.shapes.shape(shape)),
            _ => None,
        }
    }

    fn fields(&mut self, shape: &Shape) -> Fields {
        // What is inside comes first, so that a shape's own columns stand together. A `BTreeMap` is sorted.
        let columns: Vec<Column> = shape
            .iter()
            .map(|(text, field)| {
                let (name, kind) = (self.builder.name(text), self.kind(&field.ty));
                Column { text: text.as_str().into(), name, kind, required: field.required }
            })
            .collect();
        let required = offset(columns.iter().filter(|column| column.required).count());
        let fields = Fields { start: offset(self.shapes.columns.len()), len: offset(columns.len()), required };
        self.shapes.columns.extend(columns);
        fields
    }

    fn kind(&mut self, ty: &Type) -> Kind {
        match ty {
            Type::Bool => Kind::Bool,
            Type::Long => Kind::Long,
            Type::String => Kind::Text,
            Type::Decimal => Kind::Decimal,
            Type::Datetime => Kind::Datetime,
            Type::Duration => Kind::Duration,
            Type::Ip => Kind::Ip,
            Type::Entity(name) => Kind::Entity(self.builder.kind(name)),
            Type::Set(element) => {
                let element = self.kind(element);
                self.shapes.kinds.push(element);
                Kind::Set(offset(self.shapes.kinds.len() - 1))
            }
            Type::Record(shape) => {
                let known = self.seen.get(&Arc::as_ptr(shape)).copied();
                Kind::Record(known.unwrap_or_else(|| {
                    let fields = self.fields(shape);
                    self.shapes.shapes.push(fields);
                    let number = offset(self.shapes.shapes.len() - 1);
                    self.seen.insert(Arc::as_ptr(shape), number);
                    number
                }))
            }
        }
    }
}
