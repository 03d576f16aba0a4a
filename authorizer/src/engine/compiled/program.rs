//! The program: an epoch's policies, schema and registered entities as flat tables that all workers share.
//!
//! Everything is a number into a vector: nodes, lists, names, types, entities. Nothing in it is behind a box or a counted reference, and nothing changes after
//! it was made ([`Builder`]). Policies are numbered by the rank of their ids, so ascending numbers are sorted ids.

use super::index::Index;
use super::table::{Table, hash};
use super::types::Shapes;
use super::value::{Pair, Pool, Span, Value, View, offset};

/// No number.
pub(super) const NONE: u32 = u32::MAX;

/// One step of a condition. Operands are numbers of nodes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Node {
    /// A number of [`Program::constants`].
    Constant(u32),
    /// An attribute of principal, resource or context.
    Slot(u32),
    HasSlot(u32),
    Principal,
    Action,
    Resource,
    Context,
    Attribute {
        of: u32,
        name: u32,
    },
    Has {
        of: u32,
        name: u32,
    },
    /// A list of names, outermost first.
    HasPath {
        of: u32,
        names: List,
    },
    Unary {
        op: Unary,
        of: u32,
    },
    Binary {
        op: Binary,
        left: u32,
        right: u32,
    },
    /// A list of nodes.
    And(List),
    Or(List),
    If {
        test: u32,
        then: u32,
        other: u32,
    },
    /// A list of numbers of constants: the texts between wildcards.
    Like {
        of: u32,
        between: List,
    },
    Is {
        of: u32,
        kind: u32,
    },
    /// A list of nodes.
    Set(List),
    /// A list of names and nodes in turn.
    Record(List),
}

/// A range of [`Program::numbers`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) struct List {
    start: u32,
    len: u32,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Unary {
    Not,
    Neg,
    IsEmpty,
    Decimal,
    Datetime,
    Duration,
    Ip,
    IsIpv4,
    IsIpv6,
    IsLoopback,
    IsMulticast,
    ToDate,
    ToTime,
    ToMilliseconds,
    ToSeconds,
    ToMinutes,
    ToHours,
    ToDays,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Binary {
    Equal,
    NotEqual,
    Less,
    LessOrEqual,
    Greater,
    GreaterOrEqual,
    Add,
    Subtract,
    Multiply,
    In,
    Contains,
    ContainsAll,
    ContainsAny,
    GetTag,
    HasTag,
    IsInRange,
    Offset,
    DurationSince,
    DecimalLess,
    DecimalLessOrEqual,
    DecimalGreater,
    DecimalGreaterOrEqual,
}

/// Whose attributes have slots.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Root {
    Principal,
    Resource,
    Context,
}

/// A policy.
#[derive(Debug, Clone, Copy)]
pub(super) struct Compiled {
    pub forbids: bool,
    /// Its whole condition, scope included; [`NONE`] where plain Cedar decides.
    pub root: u32,
}

/// What an epoch registers of an entity.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Registered {
    /// Whether it does at all.
    pub is: bool,
    /// A record.
    pub attributes: Span,
    /// A record.
    pub tags: Span,
    /// Numbers of entities, sorted.
    pub ancestors: List,
    /// Ancestors, and every entity that an attribute or tag names.
    pub reaches: List,
}

/// The whole of it.
#[derive(Debug)]
pub(super) struct Program {
    pub pool: Pool,
    pub constants: Vec<Value>,
    pub nodes: Vec<Node>,
    numbers: Vec<u32>,
    /// Sorted.
    pub ids: Vec<Box<str>>,
    pub policies: Vec<Compiled>,
    pub index: Index,
    /// By number of the entity.
    registered: Vec<Registered>,
    /// By root, then by number of the name.
    slots: [Vec<u32>; 3],
    pub slot_count: u32,
    names: Table,
    kinds: Table,
    entities: Table,
    pub shapes: Option<Shapes>,
    /// Whether a policy can see `context.interlock` without a schema.
    pub facts_are_seen: bool,
    pub well_known: WellKnown,
}

/// Names that every program has.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct WellKnown {
    pub action: u32,
    pub interlock: u32,
    pub assertions: u32,
    pub attested_by: u32,
    pub evaluated_at: u32,
    pub key: u32,
    pub realm: u32,
    pub reference_values: u32,
    /// The type of actions.
    pub action_kind: u32,
}

impl Program {
    pub(super) fn list(&self, list: List) -> &[u32] {
        let start = list.start as usize;
        self.numbers.get(start..start.saturating_add(list.len as usize)).unwrap_or_default()
    }

    pub(super) fn constant(&self, number: u32) -> Value {
        self.constants.get(number as usize).copied().unwrap_or_default()
    }

    /// What is registered of an entity.
    pub(super) fn registered(&self, entity: u32) -> Option<&Registered> {
        self.registered.get(entity as usize).filter(|registered| registered.is)
    }

    /// The slot of an attribute, if a policy looks at it there.
    pub(super) fn slot(&self, root: Root, name: u32) -> Option<u32> {
        let [principal, resource, context] = &self.slots;
        let slots = match root {
            Root::Principal => principal,
            Root::Resource => resource,
            Root::Context => context,
        };
        slots.get(name as usize).copied().filter(|slot| *slot != NONE)
    }

    pub(super) fn name(&self, text: &str) -> Option<u32> {
        let view = self.view();
        self.names.find(hash([0, 0], text), |name| view.name(name) == text)
    }

    pub(super) fn kind(&self, text: &str) -> Option<u32> {
        let view = self.view();
        self.kinds.find(hash([0, 0], text), |kind| view.kind(kind) == text)
    }

    pub(super) fn entity(&self, kind: u32, id: &str) -> Option<u32> {
        let view = self.view();
        self.entities.find(hash([kind, 0], id), |entity| {
            let uid = view.uid(entity);
            uid.kind == kind && view.text(uid.id) == id
        })
    }

    /// What the program alone holds.
    pub(super) fn view(&self) -> View<'_> {
        View { fixed: &self.pool, own: &NOTHING }
    }
}

static NOTHING: Pool = Pool::none();

/// Makes a program.
#[derive(Debug)]
pub(super) struct Builder {
    program: Program,
}

impl Builder {
    pub(super) fn new() -> Self {
        let well_known = WellKnown::default();
        let mut builder = Self {
            program: Program {
                pool: Pool::default(),
                constants: Vec::new(),
                nodes: Vec::new(),
                numbers: Vec::new(),
                ids: Vec::new(),
                policies: Vec::new(),
                index: Index::default(),
                registered: Vec::new(),
                slots: Default::default(),
                slot_count: 0,
                names: Table::default(),
                kinds: Table::default(),
                entities: Table::default(),
                shapes: None,
                facts_are_seen: false,
                well_known,
            },
        };
        builder.program.well_known = WellKnown {
            action: builder.name("action"),
            interlock: builder.name("interlock"),
            assertions: builder.name("assertions"),
            attested_by: builder.name("attested_by"),
            evaluated_at: builder.name("evaluated_at"),
            key: builder.name("key"),
            realm: builder.name("realm"),
            reference_values: builder.name("reference_values"),
            action_kind: builder.kind("Action"),
        };
        builder
    }

    pub(super) fn finish(self) -> Program {
        self.program
    }

    pub(super) fn program(&mut self) -> &mut Program {
        &mut self.program
    }

    pub(super) fn name(&mut self, text: &str) -> u32 {
        if let Some(name) = self.program.name(text) {
            return name;
        }
        let Program { pool, names, .. } = &mut self.program;
        let name = pool.add_name(text);
        let view = View { fixed: pool, own: &NOTHING };
        names.insert(hash([0, 0], text), name, |name| hash([0, 0], view.name(name)));
        name
    }

    pub(super) fn kind(&mut self, text: &str) -> u32 {
        if let Some(kind) = self.program.kind(text) {
            return kind;
        }
        let Program { pool, kinds, .. } = &mut self.program;
        let kind = pool.add_kind(text);
        let view = View { fixed: pool, own: &NOTHING };
        kinds.insert(hash([0, 0], text), kind, |kind| hash([0, 0], view.kind(kind)));
        kind
    }

    pub(super) fn entity(&mut self, kind: &str, id: &str) -> u32 {
        let kind = self.kind(kind);
        if let Some(entity) = self.program.entity(kind, id) {
            return entity;
        }
        let Program { pool, entities, .. } = &mut self.program;
        let entity = pool.add_entity(kind, id);
        let view = View { fixed: pool, own: &NOTHING };
        entities.insert(hash([kind, 0], id), entity, |entity| {
            let uid = view.uid(entity);
            hash([uid.kind, 0], view.text(uid.id))
        });
        entity
    }

    pub(super) fn text(&mut self, text: &str) -> Value {
        Value::Text(self.program.pool.add_text(text))
    }

    pub(super) fn set(&mut self, mut items: Vec<Value>) -> Value {
        let kept = self.program.view().canonical_set(&mut items);
        items.truncate(kept);
        Value::Set(self.program.pool.add_items(&items))
    }

    pub(super) fn record(&mut self, mut pairs: Vec<Pair>) -> Span {
        self.program.view().canonical_record(&mut pairs);
        self.program.pool.add_pairs(&pairs)
    }

    pub(super) fn list(&mut self, numbers: &[u32]) -> List {
        let start = offset(self.program.numbers.len());
        self.program.numbers.extend_from_slice(numbers);
        List { start, len: offset(numbers.len()) }
    }

    pub(super) fn constant(&mut self, value: Value) -> u32 {
        self.program.constants.push(value);
        offset(self.program.constants.len() - 1)
    }

    pub(super) fn node(&mut self, node: Node) -> u32 {
        self.program.nodes.push(node);
        offset(self.program.nodes.len() - 1)
    }

    /// The slot of an attribute, made if there is none.
    pub(super) fn slot(&mut self, root: Root, name: u32) -> u32 {
        if let Some(slot) = self.program.slot(root, name) {
            return slot;
        }
        let Program { slots: [principal, resource, context], slot_count, .. } = &mut self.program;
        let slots = match root {
            Root::Principal => principal,
            Root::Resource => resource,
            Root::Context => context,
        };
        let at = name as usize;
        if slots.len() <= at {
            slots.resize(at + 1, NONE);
        }
        let slot = *slot_count;
        if let Some(place) = slots.get_mut(at) {
            *place = slot;
        }
        *slot_count += 1;
        slot
    }

    /// Registers an entity.
    pub(super) fn register(&mut self, entity: u32, registered: Registered) {
        let at = entity as usize;
        if self.program.registered.len() <= at {
            self.program.registered.resize(at + 1, Registered::default());
        }
        if let Some(place) = self.program.registered.get_mut(at) {
            *place = registered;
        }
    }
}
