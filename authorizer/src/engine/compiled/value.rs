//! Values as the compiled engine holds them: small, `Copy`, and with nothing behind them but ranges of two pools.
//!
//! A pool keeps the text, elements and pairs that values refer to. There are two: the program's, which never changes, and the decision's own, which begins
//! where the program's ends and is emptied for the next decision. Sets and records are canonical (sorted, without duplicates), so that
//! equality is one walk. Guarantees that [`View::order`] is total and calls equal what Cedar's `==` calls equal. Does not evaluate.

use std::cmp::Ordering;

use super::extensions::Ip;

/// A value, or the absence of one: an absent attribute and an error are the same to a policy.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) enum Value {
    #[default]
    Absent,
    Bool(bool),
    Long(i64),
    Text(Span),
    /// Ten-thousandths.
    Decimal(i64),
    /// Milliseconds since 1970.
    Datetime(i64),
    /// Milliseconds.
    Duration(i64),
    Ip(Ip),
    /// An entity by its number: what the program knows comes first, what only the request names behind it.
    Entity(u32),
    /// Elements, sorted and distinct.
    Set(Span),
    /// Pairs, sorted by name.
    Record(Span),
}

/// A range of a pool.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) struct Span {
    pub start: u32,
    pub len: u32,
}

/// An attribute: the number of its name, and its value.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Pair {
    pub name: u32,
    pub value: Value,
}

/// An entity's name: the number of its type, and its id.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Uid {
    pub kind: u32,
    pub id: Span,
}

/// How much another pool holds before this one begins.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Base {
    text: u32,
    items: u32,
    pairs: u32,
    pub names: u32,
    pub kinds: u32,
    pub entities: u32,
}

/// What values refer to.
#[derive(Debug, Default)]
pub(super) struct Pool {
    pub base: Base,
    text: String,
    items: Vec<Value>,
    pairs: Vec<Pair>,
    /// Names of attributes.
    names: Vec<Span>,
    /// Names of entity types.
    kinds: Vec<Span>,
    entities: Vec<Uid>,
}

/// A length as an offset. A pool never holds 2^32 of anything; if it did, the last offset reads as nothing, which is an error to a policy.
pub(super) fn offset(length: usize) -> u32 {
    u32::try_from(length).unwrap_or(u32::MAX)
}

fn reach(start: u32, base: u32, len: u32) -> std::ops::Range<usize> {
    let start = start.saturating_sub(base) as usize;
    start..start.saturating_add(len as usize)
}

impl Pool {
    /// An empty pool that continues another one.
    pub(super) fn behind(other: &Self) -> Self {
        let base = Base {
            text: offset(other.text.len()),
            items: offset(other.items.len()),
            pairs: offset(other.pairs.len()),
            names: offset(other.names.len()),
            kinds: offset(other.kinds.len()),
            entities: offset(other.entities.len()),
        };
        Self { base, ..Self::default() }
    }

    /// A pool that nothing refers to: what stands beside the program's while that is made.
    pub(super) const fn none() -> Self {
        let most = u32::MAX;
        let base = Base { text: most, items: most, pairs: most, names: most, kinds: most, entities: most };
        Self {
            base,
            text: String::new(),
            items: Vec::new(),
            pairs: Vec::new(),
            names: Vec::new(),
            kinds: Vec::new(),
            entities: Vec::new(),
        }
    }

    /// Forgets everything, and keeps the room.
    pub(super) fn clear(&mut self) {
        self.text.clear();
        self.items.clear();
        self.pairs.clear();
        self.names.clear();
        self.kinds.clear();
        self.entities.clear();
    }

    pub(super) fn add_text(&mut self, text: &str) -> Span {
        let start = self.base.text.saturating_add(offset(self.text.len()));
        self.text.push_str(text);
        Span { start, len: offset(text.len()) }
    }

    pub(super) fn add_name(&mut self, text: &str) -> u32 {
        let text = self.add_text(text);
        self.names.push(text);
        self.base.names.saturating_add(offset(self.names.len() - 1))
    }

    pub(super) fn add_kind(&mut self, text: &str) -> u32 {
        let text = self.add_text(text);
        self.kinds.push(text);
        self.base.kinds.saturating_add(offset(self.kinds.len() - 1))
    }

    pub(super) fn add_entity(&mut self, kind: u32, id: &str) -> u32 {
        let id = self.add_text(id);
        self.entities.push(Uid { kind, id });
        self.base.entities.saturating_add(offset(self.entities.len() - 1))
    }

    /// Keeps elements that [`View::canonical_set`] has put in order.
    pub(super) fn add_items(&mut self, items: &[Value]) -> Span {
        let start = self.base.items.saturating_add(offset(self.items.len()));
        self.items.extend_from_slice(items);
        Span { start, len: offset(items.len()) }
    }

    /// Keeps pairs that [`View::canonical_record`] has put in order.
    pub(super) fn add_pairs(&mut self, pairs: &[Pair]) -> Span {
        let start = self.base.pairs.saturating_add(offset(self.pairs.len()));
        self.pairs.extend_from_slice(pairs);
        Span { start, len: offset(pairs.len()) }
    }

    /// How many entities it holds.
    pub(super) fn entities(&self) -> u32 {
        offset(self.entities.len())
    }
}

/// Both pools, to read.
#[derive(Debug, Clone, Copy)]
pub(super) struct View<'a> {
    pub fixed: &'a Pool,
    pub own: &'a Pool,
}

impl<'a> View<'a> {
    pub(super) fn text(self, span: Span) -> &'a str {
        let base = self.own.base.text;
        let text = if span.start < base { &self.fixed.text } else { &self.own.text };
        let base = if span.start < base { 0 } else { base };
        text.get(reach(span.start, base, span.len)).unwrap_or_default()
    }

    pub(super) fn items(self, span: Span) -> &'a [Value] {
        let base = self.own.base.items;
        let (items, base) = if span.start < base { (&self.fixed.items, 0) } else { (&self.own.items, base) };
        items.get(reach(span.start, base, span.len)).unwrap_or_default()
    }

    pub(super) fn pairs(self, span: Span) -> &'a [Pair] {
        let base = self.own.base.pairs;
        let (pairs, base) = if span.start < base { (&self.fixed.pairs, 0) } else { (&self.own.pairs, base) };
        pairs.get(reach(span.start, base, span.len)).unwrap_or_default()
    }

    pub(super) fn name(self, name: u32) -> &'a str {
        let base = self.own.base.names;
        let (names, base) = if name < base { (&self.fixed.names, 0) } else { (&self.own.names, base) };
        names.get((name - base) as usize).map_or("", |span| self.text(*span))
    }

    pub(super) fn kind(self, kind: u32) -> &'a str {
        let base = self.own.base.kinds;
        let (kinds, base) = if kind < base { (&self.fixed.kinds, 0) } else { (&self.own.kinds, base) };
        kinds.get((kind - base) as usize).map_or("", |span| self.text(*span))
    }

    pub(super) fn uid(self, entity: u32) -> Uid {
        let base = self.own.base.entities;
        let (entities, base) = if entity < base { (&self.fixed.entities, 0) } else { (&self.own.entities, base) };
        entities.get((entity - base) as usize).copied().unwrap_or_default()
    }

    /// The attribute of a record.
    pub(super) fn attribute(self, record: Span, name: u32) -> Option<Value> {
        let pairs = self.pairs(record);
        // A name that the program knows has one number, so numbers are enough.
        let at = pairs.binary_search_by(|pair| pair.name.cmp(&name)).ok()?;
        pairs.get(at).map(|pair| pair.value)
    }

    /// A total order over all values; equal is what Cedar calls equal.
    pub(super) fn order(self, one: Value, other: Value) -> Ordering {
        match (one, other) {
            (Value::Bool(one), Value::Bool(other)) => one.cmp(&other),
            (Value::Long(one), Value::Long(other))
            | (Value::Decimal(one), Value::Decimal(other))
            | (Value::Datetime(one), Value::Datetime(other))
            | (Value::Duration(one), Value::Duration(other)) => one.cmp(&other),
            (Value::Text(one), Value::Text(other)) => self.text(one).as_bytes().cmp(self.text(other).as_bytes()),
            (Value::Ip(one), Value::Ip(other)) => one.cmp(&other),
            (Value::Entity(one), Value::Entity(other)) => self.order_entities(one, other),
            (Value::Set(one), Value::Set(other)) => {
                let (one, other) = (self.items(one), self.items(other));
                let differ = one.iter().zip(other).map(|(one, other)| self.order(*one, *other));
                let mut differ = differ.filter(|order| *order != Ordering::Equal);
                differ.next().unwrap_or_else(|| one.len().cmp(&other.len()))
            }
            (Value::Record(one), Value::Record(other)) => {
                let (one, other) = (self.pairs(one), self.pairs(other));
                for (one, other) in one.iter().zip(other) {
                    let differ = self.order_names(one.name, other.name);
                    let differ = differ.then_with(|| self.order(one.value, other.value));
                    if differ != Ordering::Equal {
                        return differ;
                    }
                }
                one.len().cmp(&other.len())
            }
            _ => rank(one).cmp(&rank(other)),
        }
    }

    /// Whether two values are equal to Cedar.
    pub(super) fn same(self, one: Value, other: Value) -> bool {
        self.order(one, other) == Ordering::Equal
    }

    /// What the program knows has one number; two others are compared by what they are.
    fn order_entities(self, one: u32, other: u32) -> Ordering {
        if one == other || one.min(other) < self.own.base.entities {
            return one.cmp(&other);
        }
        let (one, other) = (self.uid(one), self.uid(other));
        let kinds = if one.kind.min(other.kind) < self.own.base.kinds {
            one.kind.cmp(&other.kind)
        } else {
            self.kind(one.kind).cmp(self.kind(other.kind))
        };
        kinds.then_with(|| self.text(one.id).cmp(self.text(other.id)))
    }

    fn order_names(self, one: u32, other: u32) -> Ordering {
        if one == other || one.min(other) < self.own.base.names {
            return one.cmp(&other);
        }
        self.name(one).cmp(self.name(other))
    }

    /// Puts elements in order and drops duplicates.
    pub(super) fn canonical_set(self, items: &mut [Value]) -> usize {
        items.sort_unstable_by(|one, other| self.order(*one, *other));
        let mut kept: usize = 0;
        for at in 0..items.len() {
            let Some(item) = items.get(at).copied() else { break };
            let last = kept.checked_sub(1).and_then(|last| items.get(last).copied());
            if last.is_none_or(|last| !self.same(last, item)) {
                if let Some(place) = items.get_mut(kept) {
                    *place = item;
                }
                kept += 1;
            }
        }
        kept
    }

    /// Puts pairs in the order of their names, which are distinct.
    pub(super) fn canonical_record(self, pairs: &mut [Pair]) {
        pairs.sort_unstable_by(|one, other| self.order_names(one.name, other.name));
    }

    /// Whether a set has an element.
    pub(super) fn contains(self, set: Span, item: Value) -> bool {
        self.items(set).binary_search_by(|this| self.order(*this, item)).is_ok()
    }
}

/// Values of different kinds are never equal; how their kinds are ordered does not matter, only that they are.
fn rank(value: Value) -> u8 {
    match value {
        Value::Absent => 0,
        Value::Bool(_) => 1,
        Value::Long(_) => 2,
        Value::Text(_) => 3,
        Value::Decimal(_) => 4,
        Value::Datetime(_) => 5,
        Value::Duration(_) => 6,
        Value::Ip(_) => 7,
        Value::Entity(_) => 8,
        Value::Set(_) => 9,
        Value::Record(_) => 10,
    }
}

const _: () = assert!(size_of::<Value>() == 24, "a value is copied everywhere: it stays small");
