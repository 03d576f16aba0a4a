//! The seam between which policies determine a decision and how they are evaluated, and the plain way behind it: `cedar-policy`.
//!
//! Whatever stands behind [`Evaluate`] must answer as [`PlainCedar`] does: the same standing, the same sorted policy ids. Cedar skips a
//! policy that errs; here an erring `forbid` denies, because the rule that it states may hold.

use std::str::FromStr;

use cedar_policy::{
    AuthorizationError, Authorizer, Context, Decision, Effect, Entities, EntityId, EntityTypeName, EntityUid, PolicyId,
    PolicySet, PolicySetError, Response, RestrictedExpression as Expr, Schema,
};
use verifier::act::Target;
use verifier::json::{Json, Text};
use verifier::request::{Entity, Request};
use verifier::text::rfc3339;

use super::codes::Code;
use super::convert::{Converter, integers_survive, record_of, untyped_record};
use super::decide::{Facts, Standing};
use super::evidence::Held;
use super::extension::{Extension, Extensions};
use super::findings::{Finding, FindingCode, Part};
use super::index::{Index, Place};
use super::registered::{Brought, Registry};
use super::types::{ACTION, ActionKind, EntityKind, Field, INTERLOCK, Type, Types, action_type};
use super::unseen::facts_are_seen;

/// What the policies say about a request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Answer {
    /// The standing of the condition `policy`.
    pub standing: Standing,
    /// Ids of the policies that determine it, sorted: satisfied forbids, else satisfied permits.
    pub policies: Vec<String>,
    /// Ids of the policies that could not be evaluated, sorted.
    pub errors: Vec<String>,
}

impl Answer {
    /// The policies were not asked: the request does not fit, or, which is never seen, Cedar refused what we made of it.
    pub(super) fn unasked(code: Code) -> Self {
        let standing = if code == Code::EngineError { Standing::Unknown(code) } else { Standing::Fail(code) };
        Self { standing, policies: Vec::new(), errors: Vec::new() }
    }

    /// What follows from which policies are satisfied and which could not be evaluated.
    pub(super) fn of(forbids: Vec<String>, permits: Vec<String>, forbid_erred: bool, errors: Vec<String>) -> Self {
        let (standing, policies) = match (forbids.is_empty(), forbid_erred, permits.is_empty()) {
            (false, _, _) => (Standing::Fail(Code::Forbidden), forbids),
            // Permits that would have allowed do not determine a denial.
            (true, true, _) => (Standing::Fail(Code::PolicyError), Vec::new()),
            (true, false, false) => (Standing::Pass, permits),
            (true, false, true) => (Standing::Fail(Code::NoMatchingPermit), Vec::new()),
        };
        Self { standing, policies, errors }
    }
}

/// Policies of an epoch, ready to be asked: pure, and owned by one worker.
pub trait Evaluate: Send {
    /// What the policies say about a request, under the facts that Interlock supplies.
    fn evaluate(&self, request: &Request, facts: &Facts<'_>) -> Answer;

    /// The request without what the epoch's schema does not declare.
    fn tolerate(&self, request: &Request) -> Request;

    /// Whether the epoch knows what a switch names; `None` where it does not say: realms, and without a schema actions and subjects.
    fn knows(&self, target: &Target) -> Option<bool>;

    /// Whether the epoch registers an entity.
    fn registered(&self, entity: &Entity) -> bool;

    /// An attribute that the epoch registers of an entity: outer `None` if it does not, inner `None` if it is no integer.
    fn registered_number(&self, entity: &Entity, attribute: &str) -> Option<Option<i64>>;

    /// An attribute that the epoch registers of an entity: outer `None` if it does not, inner `None` if it is no string.
    fn registered_text(&self, entity: &Entity, attribute: &str) -> Option<Option<String>>;
}

/// Plain Cedar over those policies of the epoch that could apply.
pub(super) struct PlainCedar {
    authorizer: Authorizer,
    index: Index,
    types: Option<Types>,
    registry: Registry,
    extensions: Extensions,
    facts_are_seen: bool,
}

/// A request in Cedar's terms.
pub(super) struct Question {
    pub request: cedar_policy::Request,
    pub entities: Entities,
}

impl PlainCedar {
    /// `slice` says which policies a decision asks: [`Index::new`], or [`Index::none`] for all of them.
    pub(super) fn new(
        policies: &PolicySet,
        slice: impl FnOnce(&PolicySet) -> Result<Index, Box<PolicySetError>>,
        types: Option<Types>,
        schema: Option<&Schema>,
        entities: Entities,
    ) -> Result<Self, Finding> {
        let actions = schema.map(Schema::action_entities).transpose();
        let actions = actions
            .map_err(|error| Finding::new(FindingCode::SchemaInvalid, Part::Schema, error.to_string()))?
            .unwrap_or_default();
        let registry = Registry::new(entities, actions)?;
        let facts_are_seen = facts_are_seen(policies);
        let index = slice(policies)
            .map_err(|error| Finding::new(FindingCode::DuplicatePolicyId, Part::Policies, error.to_string()))?;
        let extensions = Extensions::default();
        Ok(Self { authorizer: Authorizer::new(), index, types, registry, extensions, facts_are_seen })
    }

    /// The request in Cedar's terms, or the code of what stands against it.
    pub(super) fn question(&self, request: &Request, facts: &Facts<'_>) -> Result<Question, Code> {
        if facts.authzen && !integers_survive(request) {
            return Err(Code::NumberRange);
        }
        let put = match &self.types {
            Some(types) => self.typed(types, request, facts)?,
            None => self.untyped(request, facts)?,
        };
        let Put { principal, action, resource, context, mut named } = put;
        let uids = (principal.uid.clone(), resource.uid.clone());
        named.push(action.clone());
        let brought = if uids.0 == uids.1 { vec![principal] } else { vec![principal, resource] };
        let entities = self.registry.store(brought, named)?;
        let context = Context::from_pairs(context).map_err(|_| Code::IllTyped)?;
        // The request was held against the schema's types already; a second check would cost as much as the evaluation.
        let request =
            cedar_policy::Request::new(uids.0, action, uids.1, context, None).map_err(|_| Code::EngineError)?;
        Ok(Question { request, entities })
    }

    /// What the policies that could apply say, or the code of what stands against the request.
    pub(super) fn found(&self, request: &Request, facts: &Facts<'_>) -> Result<Found, Code> {
        let Question { request, entities } = self.question(request, facts)?;
        let mut found = Found::default();
        for policies in self.candidates(&request) {
            found.add(&self.authorizer.is_authorized(&request, policies, &entities), policies);
        }
        Ok(found)
    }

    /// The policies that could apply to a request.
    fn candidates(&self, request: &cedar_policy::Request) -> Vec<&PolicySet> {
        let (Some(principal), Some(action), Some(resource)) =
            (request.principal(), request.action(), request.resource())
        else {
            return Vec::new(); // no request of ours leaves one out; nothing permits it
        };
        let place = |uid| Place { uid, ancestors: self.registry.ancestors(uid) };
        self.index.candidates(&place(principal), &place(action), &place(resource))
    }

    fn typed(&self, types: &Types, request: &Request, facts: &Facts<'_>) -> Result<Put, Code> {
        let action = types.actions.get(request.action.name.as_str()).ok_or(Code::UnknownAction)?;
        let (subject, subject_uid) = declared_entity(types, &request.subject)?;
        let (object, object_uid) = declared_entity(types, &request.resource)?;
        if !action.principals.contains(request.subject.kind.as_str())
            || !action.resources.contains(request.resource.kind.as_str())
        {
            return Err(Code::NotApplicable);
        }
        let mut converter = Converter::new(types, &self.extensions);
        let mut bring = |kind: &EntityKind, uid: EntityUid, properties: &[(Text, Json)]| {
            let registered = |name: &str| self.registry.has(&uid, name);
            let attributes = converter.record(&kind.shape, properties, registered)?;
            Ok::<_, Code>(Brought { uid, attributes })
        };
        let (principal, resource) = if subject_uid == object_uid {
            let properties = united(&request.subject.properties.to_pairs(), &request.resource.properties.to_pairs())?;
            let both = bring(subject, subject_uid.clone(), &properties)?;
            (both, Brought { uid: subject_uid, attributes: Vec::new() })
        } else {
            let principal = bring(subject, subject_uid, &request.subject.properties.to_pairs())?;
            (principal, bring(object, object_uid, &request.resource.properties.to_pairs())?)
        };
        let mut context = converter.record(&action.context, &request.context.to_pairs(), |_| false)?;
        context.extend(supplied(&mut converter, action, request, facts)?);
        Ok(Put { principal, action: action.uid.clone(), resource, context, named: converter.named })
    }

    fn untyped(&self, request: &Request, facts: &Facts<'_>) -> Result<Put, Code> {
        let bring = |entity: &Entity, properties: &[(Text, Json)]| {
            let kind = EntityTypeName::from_str(&entity.kind).map_err(|_| Code::UnknownType)?;
            let uid = EntityUid::from_type_name_and_id(kind, EntityId::new(&entity.id));
            Ok::<_, Code>(Brought { uid, attributes: untyped_record(properties, &self.extensions)? })
        };
        let (subject, resource) = (&request.subject, &request.resource);
        let same = subject.kind == resource.kind && subject.id == resource.id;
        let (of_subject, of_resource) = (subject.properties.to_pairs(), resource.properties.to_pairs());
        let united = if same { united(&of_subject, &of_resource)? } else { Vec::new() };
        let principal = bring(subject, if same { &united } else { &of_subject })?;
        let resource = bring(resource, if same { &[] } else { &of_resource })?;
        let name = action_type().ok_or(Code::EngineError)?;
        let action = EntityUid::from_type_name_and_id(name, EntityId::new(&request.action.name));
        let mut context = untyped_record(&request.context.to_pairs(), &self.extensions)?;
        let properties = request.action.properties.to_pairs();
        context.push((ACTION.to_owned(), record_of(untyped_record(&properties, &self.extensions)?)?));
        if self.facts_are_seen {
            context.push((INTERLOCK.to_owned(), record_of(interlock(&self.extensions, facts, |_| true))?));
        }
        Ok(Put { principal, action, resource, context, named: Vec::new() })
    }
}

impl Evaluate for PlainCedar {
    fn evaluate(&self, request: &Request, facts: &Facts<'_>) -> Answer {
        self.found(request, facts).map_or_else(Answer::unasked, Found::answer)
    }

    fn tolerate(&self, request: &Request) -> Request {
        match &self.types {
            Some(types) => types.tolerate(request),
            None => request.clone(),
        }
    }

    fn knows(&self, target: &Target) -> Option<bool> {
        knows(target, self.types.as_ref(), |id| self.index.has(&PolicyId::new(id)))
    }

    fn registered(&self, entity: &Entity) -> bool {
        entity_uid(entity).is_some_and(|uid| self.registry.knows(&uid))
    }

    fn registered_number(&self, entity: &Entity, attribute: &str) -> Option<Option<i64>> {
        self.registry.number(&entity_uid(entity)?, attribute)
    }

    fn registered_text(&self, entity: &Entity, attribute: &str) -> Option<Option<String>> {
        self.registry.text(&entity_uid(entity)?, attribute)
    }
}

/// Whether an epoch of this schema knows what a switch names, by whether it has a policy.
pub(super) fn knows(target: &Target, types: Option<&Types>, policy: impl FnOnce(&str) -> bool) -> Option<bool> {
    match (target, types) {
        (Target::Policy(id), _) => Some(policy(id)),
        (Target::Action(name), Some(types)) => Some(types.actions.contains_key(name)),
        (Target::Subject(kind, id), Some(types)) => {
            let kind = types.entities.get(kind);
            Some(kind.is_some_and(|kind| kind.ids.as_ref().is_none_or(|ids| ids.contains(id))))
        }
        (Target::Action(_) | Target::Subject(..), None) | (Target::Global | Target::Realm(_), _) => None,
    }
}

fn entity_uid(entity: &Entity) -> Option<EntityUid> {
    let kind = EntityTypeName::from_str(&entity.kind).ok()?;
    Some(EntityUid::from_type_name_and_id(kind, EntityId::new(&entity.id)))
}

/// What the buckets of the index answered, put together to what Cedar answers about all of their policies at once.
#[derive(Default)]
pub(super) struct Found {
    pub permits: Vec<PolicyId>,
    pub forbids: Vec<PolicyId>,
    pub errors: Vec<PolicyId>,
    pub forbid_erred: bool,
}

impl Found {
    fn add(&mut self, response: &Response, policies: &PolicySet) {
        // The policies that determine a denial are forbids, those that determine an allowance permits. A bucket in which a forbid holds
        // does not tell its satisfied permits, but then nothing is allowed anyway.
        let reason = response.diagnostics().reason().cloned();
        match response.decision() {
            Decision::Allow => self.permits.extend(reason),
            Decision::Deny => self.forbids.extend(reason),
        }
        for error in response.diagnostics().errors() {
            let AuthorizationError::PolicyEvaluationError(error) = error;
            let id = error.policy_id();
            // An id that is not in the set cannot be; if it were, it would count as a forbid.
            self.forbid_erred |= policies.policy(id).is_none_or(|policy| policy.effect() != Effect::Permit);
            self.errors.push(id.clone());
        }
    }

    pub(super) fn answer(self) -> Answer {
        let Self { permits, forbids, errors, forbid_erred } = self;
        Answer::of(sorted(&forbids), sorted(&permits), forbid_erred, sorted(&errors))
    }
}

/// A request's values, converted.
struct Put {
    principal: Brought,
    action: EntityUid,
    resource: Brought,
    context: Vec<(String, Expr)>,
    named: Vec<EntityUid>,
}

fn declared_entity<'a>(types: &'a Types, entity: &Entity) -> Result<(&'a EntityKind, EntityUid), Code> {
    let kind = types.entities.get(entity.kind.as_str()).ok_or(Code::UnknownType)?;
    if kind.ids.as_ref().is_some_and(|ids| !ids.contains(entity.id.as_str())) {
        return Err(Code::UnknownType);
    }
    Ok((kind, EntityUid::from_type_name_and_id(kind.name.clone(), EntityId::new(&entity.id))))
}

/// The properties of one entity that is subject and resource at once.
fn united(subject: &[(Text, Json)], resource: &[(Text, Json)]) -> Result<Vec<(Text, Json)>, Code> {
    let mut all = subject.to_vec();
    for (name, value) in resource {
        match subject.iter().find(|(this, _)| this == name) {
            None => all.push((name.clone(), value.clone())),
            Some((_, given)) if given == value => {}
            Some(_) => return Err(Code::ConflictingProperties),
        }
    }
    Ok(all)
}

/// What the context holds beside the request's own: the action's properties and Interlock's facts, where the schema declares them.
fn supplied(
    converter: &mut Converter<'_>,
    action: &ActionKind,
    request: &Request,
    facts: &Facts<'_>,
) -> Result<Vec<(String, Expr)>, Code> {
    let mut pairs = Vec::new();
    let properties = &request.action.properties.to_pairs();
    match &action.action {
        Some(Field { ty: Type::Record(shape), required }) if *required || !properties.is_empty() => {
            pairs.push((ACTION.to_owned(), record_of(converter.record(shape, properties, |_| false)?)?));
        }
        None if !properties.is_empty() => return Err(Code::Undeclared),
        Some(_) | None => {}
    }
    if let Some(Field { ty: Type::Record(shape), .. }) = &action.interlock {
        pairs.push((
            INTERLOCK.to_owned(),
            record_of(interlock(converter.extensions, facts, |name| shape.contains_key(name)))?,
        ));
    }
    Ok(pairs)
}

fn interlock(extensions: &Extensions, facts: &Facts<'_>, wanted: impl Fn(&str) -> bool) -> Vec<(String, Expr)> {
    let fact = |name: &str, value: &dyn Fn() -> Expr| wanted(name).then(|| (name.to_owned(), value()));
    let held = |of: fn(&Held) -> &Vec<String>| {
        let names = facts.evidence.map_or(&[][..], |held| of(held));
        Expr::new_set(names.iter().map(|name| Expr::new_string(name.clone())))
    };
    let attested_by = || facts.evidence.map_or(String::new(), |held| held.attested_by.clone());
    let all = [
        fact("assertions", &|| held(|held| &held.assertions)),
        fact("attested_by", &|| Expr::new_string(attested_by())),
        fact("evaluated_at", &|| extensions.of(Extension::Datetime, &rfc3339(facts.now_ms))),
        fact("key", &|| Expr::new_string(facts.key_id.to_owned())),
        fact("realm", &|| Expr::new_string(facts.realm.to_owned())),
        fact("reference_values", &|| held(|held| &held.reference_values)),
    ];
    all.into_iter().flatten().collect()
}

fn sorted<'a>(ids: impl IntoIterator<Item = &'a PolicyId>) -> Vec<String> {
    let mut ids: Vec<String> = ids.into_iter().map(|id| AsRef::<str>::as_ref(id).to_owned()).collect();
    ids.sort_unstable();
    ids.dedup();
    ids
}
