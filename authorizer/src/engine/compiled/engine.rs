//! The compiled engine behind the same seam as plain Cedar, and with the same answers.
//!
//! All workers share one [`Shared`]; each has a scratch of its own. Policies that did not compile are asked of plain Cedar, and what both found is put together
//! to one answer. Guarantees that a decision allocates for its answer only, once the scratch has its room (and but for those policies).

use std::cell::RefCell;
use std::sync::Arc;

use cedar_policy::{Entities, PolicyId, PolicySet, Schema};
use verifier::act::Target;
use verifier::request::{Entity, Request};

use super::super::codes::Code;
use super::super::decide::Facts;
use super::super::evaluate::{Answer, Evaluate, PlainCedar, knows};
use super::super::findings::{Finding, FindingCode, Part};
use super::super::types::Types;
use super::compile::compile;
use super::evaluate::Evaluation;
use super::index::{ANY_ACTION, Demand};
use super::program::{NONE, Program};
use super::scratch::Scratch;
use super::slots;
use super::value::Value;

/// What an epoch compiled to: read by all workers.
#[derive(Debug)]
pub(in super::super) struct Shared {
    pub(super) program: Program,
    pub(super) types: Option<Types>,
}

impl Shared {
    /// Compiles an epoch's policies.
    pub(in super::super) fn new(
        policies: &PolicySet,
        types: Option<Types>,
        schema: Option<&Schema>,
        entities: Entities,
    ) -> Result<Self, Finding> {
        let actions = schema.map(Schema::action_entities).transpose();
        let actions = actions
            .map_err(|error| Finding::new(FindingCode::SchemaInvalid, Part::Schema, error.to_string()))?
            .unwrap_or_default();
        let program = compile(policies, types.as_ref(), entities, actions).ok_or_else(|| {
            let message = "a registered value cannot be read by the compiled engine";
            Finding::new(FindingCode::EntitiesInvalid, Part::Entities, message)
        })?;
        Ok(Self { program, types })
    }

    /// Whether plain Cedar decides a policy.
    pub(in super::super) fn leaves(&self, id: &str) -> bool {
        let at = self.program.ids.binary_search_by(|this| (**this).cmp(id)).ok();
        at.and_then(|at| self.program.policies.get(at)).is_none_or(|policy| policy.root == NONE)
    }
}

/// One worker's share of the compiled engine.
pub(in super::super) struct CompiledCedar {
    shared: Arc<Shared>,
    /// Plain Cedar over the policies that did not compile, if there are any.
    plain: Option<PlainCedar>,
    scratch: RefCell<Scratch>,
}

impl CompiledCedar {
    /// `plain` decides the policies that [`Shared::leaves`] to it, if there are any.
    pub(in super::super) fn new(shared: Arc<Shared>, plain: Option<PlainCedar>) -> Self {
        let scratch = RefCell::new(Scratch::new(&shared.program));
        Self { shared, plain, scratch }
    }

    /// Asks every policy that could apply, and leaves what they say in the scratch.
    fn ask(&self, scratch: &mut Scratch) {
        let program = &self.shared.program;
        let above = |entity: u32| {
            program.registered(entity).map_or(&[][..], |registered| program.list(registered.ancestors)).iter().copied()
        };
        let (principal, action, resource) = (scratch.principal.entity, scratch.action, scratch.resource.entity);
        let view = scratch.view(program);
        let kinds = [Demand::PrincipalType(view.uid(principal).kind), Demand::ResourceType(view.uid(resource).kind)];
        for action in [ANY_ACTION, action].into_iter().chain(above(action)) {
            let principals = std::iter::once(principal).chain(above(principal)).map(Demand::Principal);
            let resources = std::iter::once(resource).chain(above(resource)).map(Demand::Resource);
            for demand in std::iter::once(Demand::Nothing).chain(kinds).chain(principals).chain(resources) {
                for number in program.index.bucket(action, demand) {
                    let policy = program.policies.get(*number as usize).filter(|policy| policy.root != NONE);
                    let Some(policy) = policy else { continue };
                    let says = Evaluation { program, scratch }.satisfied(policy.root);
                    match (says, policy.forbids) {
                        (Some(false), _) => {}
                        (Some(true), false) => scratch.permits.push(*number),
                        (Some(true), true) => scratch.forbids.push(*number),
                        (None, _) => scratch.errors.push(*number),
                    }
                }
            }
        }
    }

    /// Ids in order, each once: a policy that names several groups of one action may be asked more than once.
    fn ids<'a>(&'a self, numbers: &mut Vec<u32>) -> impl Iterator<Item = &'a str> {
        numbers.sort_unstable();
        numbers.dedup();
        numbers.iter().filter_map(|number| self.shared.program.ids.get(*number as usize)).map(|id| &**id)
    }

    /// An entity's number, if the program knows it.
    fn entity(&self, entity: &Entity) -> Option<u32> {
        let program = &self.shared.program;
        program.entity(program.kind(&entity.kind)?, &entity.id)
    }
}

impl Evaluate for CompiledCedar {
    fn evaluate(&self, request: &Request, facts: &Facts<'_>) -> Answer {
        let Ok(mut scratch) = self.scratch.try_borrow_mut() else { return Answer::unasked(Code::EngineError) };
        let scratch = &mut *scratch;
        let program = &self.shared.program;
        scratch.clear();
        if let Err(code) = slots::read(program, scratch, request, facts) {
            return Answer::unasked(code);
        }
        self.ask(scratch);
        let forbids = |number: &u32| program.policies.get(*number as usize).is_none_or(|policy| policy.forbids);
        let forbid_erred = scratch.errors.iter().any(forbids);
        let owned = |ids: &mut Vec<u32>| self.ids(ids).map(str::to_owned).collect::<Vec<_>>();
        let Some(plain) = &self.plain else {
            let Scratch { permits, forbids, errors, .. } = scratch;
            // Satisfied permits are not named where a forbid is satisfied.
            let permits = if forbids.is_empty() { owned(permits) } else { Vec::new() };
            return Answer::of(owned(forbids), permits, forbid_erred, owned(errors));
        };
        let mut found = match plain.found(request, facts) {
            Ok(found) => found,
            Err(code) => return Answer::unasked(code),
        };
        found.permits.extend(self.ids(&mut scratch.permits).map(PolicyId::new));
        found.forbids.extend(self.ids(&mut scratch.forbids).map(PolicyId::new));
        found.errors.extend(self.ids(&mut scratch.errors).map(PolicyId::new));
        found.forbid_erred |= forbid_erred;
        found.answer()
    }

    fn tolerate(&self, request: &Request) -> Request {
        match &self.shared.types {
            Some(types) => types.tolerate(request),
            None => request.clone(),
        }
    }

    fn knows(&self, target: &Target) -> Option<bool> {
        let policy = |id: &str| self.shared.program.ids.binary_search_by(|this| (**this).cmp(id)).is_ok();
        knows(target, self.shared.types.as_ref(), policy)
    }

    fn registered(&self, entity: &Entity) -> bool {
        self.entity(entity).is_some_and(|entity| self.shared.program.registered(entity).is_some())
    }

    fn registered_number(&self, entity: &Entity, attribute: &str) -> Option<Option<i64>> {
        let program = &self.shared.program;
        let registered = program.registered(self.entity(entity)?)?;
        match program.view().attribute(registered.attributes, program.name(attribute)?)? {
            Value::Long(value) => Some(Some(value)),
            _ => Some(None),
        }
    }

    fn registered_text(&self, entity: &Entity, attribute: &str) -> Option<Option<String>> {
        let program = &self.shared.program;
        let registered = program.registered(self.entity(entity)?)?;
        let view = program.view();
        match view.attribute(registered.attributes, program.name(attribute)?)? {
            Value::Text(text) => Some(Some(view.text(text).to_owned())),
            _ => Some(None),
        }
    }
}
