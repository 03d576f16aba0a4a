//! What one decision needs beside the program: its pool, its slots, whom it is about and whom it sees.
//!
//! A worker has one and empties it for each decision, so that a decision allocates nothing once the room is there. Guarantees that nothing of one decision
//! is seen by the next.

use super::program::{Program, Registered, Root};
use super::value::{Pair, Pool, Span, Value, View};

/// A decision loads at most so many entities; the rule is plain Cedar's ([`super::super::registered`]).
use super::super::registered::MAX_REQUEST_ENTITIES;

/// The room of one worker.
#[derive(Debug)]
pub(super) struct Scratch {
    pub own: Pool,
    slots: Vec<Value>,
    used: Vec<u32>,
    /// Elements and pairs of what is being put together.
    pub items: Vec<Value>,
    pub pairs: Vec<Pair>,
    pub principal: Brought,
    pub resource: Brought,
    /// An entity.
    pub action: u32,
    /// A record.
    pub context: Span,
    pub loaded: Loaded,
    /// Entities that the request's values name.
    pub named: Vec<u32>,
    pub permits: Vec<u32>,
    pub forbids: Vec<u32>,
    pub errors: Vec<u32>,
}

/// Subject or resource: it exists because the request brings it.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Brought {
    pub entity: u32,
    /// A record: what is registered, and of the rest what the request says.
    pub attributes: Span,
}

impl Scratch {
    pub(super) fn new(program: &Program) -> Self {
        Self {
            own: Pool::behind(&program.pool),
            slots: vec![Value::Absent; program.slot_count as usize],
            used: Vec::new(),
            items: Vec::new(),
            pairs: Vec::new(),
            principal: Brought::default(),
            resource: Brought::default(),
            action: 0,
            context: Span::default(),
            loaded: Loaded::new(),
            named: Vec::new(),
            permits: Vec::new(),
            forbids: Vec::new(),
            errors: Vec::new(),
        }
    }

    /// Forgets the decision before.
    pub(super) fn clear(&mut self) {
        for slot in self.used.drain(..) {
            if let Some(place) = self.slots.get_mut(slot as usize) {
                *place = Value::Absent;
            }
        }
        self.own.clear();
        self.items.clear();
        self.pairs.clear();
        self.loaded.clear();
        self.named.clear();
        self.permits.clear();
        self.forbids.clear();
        self.errors.clear();
        (self.principal, self.resource, self.context) = Default::default();
    }

    pub(super) fn view<'a>(&'a self, program: &'a Program) -> View<'a> {
        View { fixed: &program.pool, own: &self.own }
    }

    pub(super) fn slot(&self, slot: u32) -> Value {
        self.slots.get(slot as usize).copied().unwrap_or_default()
    }

    /// Puts the attributes of principal, resource or context where policies look for them.
    pub(super) fn fill(&mut self, program: &Program, root: Root, record: Span) {
        let Self { own, slots, used, .. } = self;
        let view = View { fixed: &program.pool, own: &*own };
        for Pair { name, value } in view.pairs(record) {
            let Some(slot) = program.slot(root, *name) else { continue };
            if let Some(place) = slots.get_mut(slot as usize) {
                *place = *value;
                used.push(slot);
            }
        }
    }

    /// Keeps the elements from `start` on as a set.
    pub(super) fn close_set(&mut self, program: &Program, start: usize) -> Value {
        let Self { own, items, .. } = self;
        let kept =
            items.get_mut(start..).map_or(0, |items| View { fixed: &program.pool, own: &*own }.canonical_set(items));
        let set = own.add_items(items.get(start..start.saturating_add(kept)).unwrap_or_default());
        items.truncate(start);
        Value::Set(set)
    }

    /// Keeps the pairs from `start` on as a record.
    pub(super) fn close_record(&mut self, program: &Program, start: usize) -> Span {
        let Self { own, pairs, .. } = self;
        if let Some(pairs) = pairs.get_mut(start..) {
            View { fixed: &program.pool, own: &*own }.canonical_record(pairs);
        }
        let record = own.add_pairs(pairs.get(start..).unwrap_or_default());
        pairs.truncate(start);
        record
    }

    /// What policies see of an entity: `None` if there is no such entity for this decision.
    pub(super) fn sight<'a>(&self, program: &'a Program, entity: u32) -> Option<Sight<'a>> {
        let registered = program.registered(entity);
        for brought in [&self.principal, &self.resource] {
            if self.view(program).same(Value::Entity(brought.entity), Value::Entity(entity)) {
                return Some(Sight { attributes: brought.attributes, registered });
            }
        }
        let registered = registered.filter(|_| self.loaded.has(entity))?;
        Some(Sight { attributes: registered.attributes, registered: Some(registered) })
    }
}

/// An entity as policies see it.
#[derive(Debug, Clone, Copy)]
pub(super) struct Sight<'a> {
    pub attributes: Span,
    /// Whence its tags and ancestors come.
    pub registered: Option<&'a Registered>,
}

/// Places of the table of loaded entities: four for each that may be in it.
const PLACES: usize = MAX_REQUEST_ENTITIES * 4;

/// The registered entities that a decision sees: those that subject, resource, action and values reach.
#[derive(Debug)]
pub(super) struct Loaded {
    /// Open addressing: numbers of entities, one more than they are.
    places: Vec<u32>,
    /// In the order in which they came.
    list: Vec<u32>,
}

impl Loaded {
    fn new() -> Self {
        Self { places: vec![0; PLACES], list: Vec::with_capacity(MAX_REQUEST_ENTITIES) }
    }

    fn clear(&mut self) {
        if !self.list.is_empty() {
            self.places.fill(0);
            self.list.clear();
        }
    }

    /// Adds an entity; false if it was there. More than fit are never added: loading ends before.
    fn add(&mut self, entity: u32) -> bool {
        let mut at = home(entity);
        for _ in 0..PLACES {
            let Some(place) = self.places.get_mut(at) else { return false };
            if *place == entity.wrapping_add(1) {
                return false;
            }
            if *place == 0 {
                *place = entity.wrapping_add(1);
                self.list.push(entity);
                return true;
            }
            at = (at + 1) % PLACES;
        }
        false
    }

    fn has(&self, entity: u32) -> bool {
        let mut at = home(entity);
        for _ in 0..PLACES {
            match self.places.get(at) {
                None | Some(0) => return false,
                Some(place) if *place == entity.wrapping_add(1) => return true,
                Some(_) => at = (at + 1) % PLACES,
            }
        }
        false
    }

    /// Loads what is reached; `brought` stand in the store already, by what the request says of them. False if it is too much.
    pub(super) fn load(&mut self, program: &Program, brought: [u32; 2], named: &[u32]) -> bool {
        let [principal, resource] = brought;
        let mut count = if principal == resource { 1 } else { 2 };
        // Breadth first: the list is the queue. Brought ones are in it so that they are not loaded again.
        let reaches = |entity: u32| program.registered(entity).map_or(&[][..], |found| program.list(found.reaches));
        for entity in brought {
            if program.registered(entity).is_some() {
                self.add(entity);
            }
        }
        let mut done = 0;
        for entity in named {
            if program.registered(*entity).is_some() && self.add(*entity) {
                count += 1;
                if count > MAX_REQUEST_ENTITIES {
                    return false;
                }
            }
        }
        while let Some(entity) = self.list.get(done).copied() {
            done += 1;
            for next in reaches(entity) {
                if program.registered(*next).is_some() && self.add(*next) {
                    count += 1;
                    if count > MAX_REQUEST_ENTITIES {
                        return false;
                    }
                }
            }
        }
        true
    }
}

fn home(entity: u32) -> usize {
    entity.wrapping_mul(0x9e37_79b1) as usize % PLACES
}
