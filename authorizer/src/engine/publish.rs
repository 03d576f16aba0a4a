//! Publishing: an epoch's content is taken whole, strictly, or not at all.
//!
//! Each policy is parsed alone, under the id that it was published with, and that id is its `@id`. With a schema, policies are validated
//! by Cedar in strict mode and registered entities are checked against it. [`Published`] is the proof that all of it held; an
//! [`Engine`](super::Engine) comes only from there. Every engine parses its own copy, since a shared `PolicySet` scales negatively
//! (its reference counts are contended).
//!
//! No text reaches Cedar before it was measured, and what reaches it is worked on with a stack to spare: see [`depth`].

use std::collections::{BTreeSet, HashSet};
use std::str::FromStr;
use std::sync::Arc;

use cedar_policy::{Entities, Policy, PolicyId, PolicySet, PolicySetError, Schema, ValidationMode, Validator};
use verifier::epoch::EpochContent;

use super::catalogue::Catalogue;
use super::compiled::{self, CompiledCedar, Shared};
use super::cost;
use super::decide::Engine;
use super::depth;
use super::evaluate::{Evaluate, PlainCedar};
use super::findings::{Finding, FindingCode, Part, Position, PublishError};
use super::index::Index;
use super::trust::limits::{Amount, Rule};
use super::trust::{EngineKind, Limits, RealmMode, Trust};
use super::types::{Field, Shape, Type, Types};

/// A policy id has at most so many bytes, so that the 32 that a record names always fit.
pub const MAX_POLICY_ID: usize = 255;

/// An epoch's content that passed every check.
#[derive(Debug)]
pub struct Published {
    content: EpochContent,
    trust: Arc<Trust>,
    catalogue: Arc<Catalogue>,
    warnings: Vec<Finding>,
    /// What its policies compiled to, if the epoch asks for it.
    compiled: Option<Arc<Shared>>,
}

/// What becomes of an epoch whose compiled form differs from plain Cedar, where it asks for that form.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Differing {
    /// It is refused: whoever publishes it looks into it.
    Refused,
    /// Plain Cedar decides it: it stands in the log, and must be served.
    DecidedPlain,
}

impl Published {
    /// Checks an epoch's content.
    ///
    /// # Errors
    /// Everything that is wrong with it, part by part; nothing of it may be used then.
    pub fn new(content: EpochContent) -> Result<Self, PublishError> {
        measured(&content)?;
        depth::roomy(|| Self::checked(content)?.compile(Differing::Refused))
    }

    /// The same for an epoch that stands in the log already: where this version's compiled form differs, plain Cedar decides it.
    ///
    /// # Errors
    /// As [`Published::new`], but for that.
    pub fn before(content: EpochContent) -> Result<Self, PublishError> {
        measured(&content)?;
        depth::roomy(|| Self::checked(content)?.compile(Differing::DecidedPlain))
    }

    /// The same for whoever decides by plain Cedar whatever the epoch says: replay.
    ///
    /// # Errors
    /// As [`Published::new`].
    pub fn plain(content: EpochContent) -> Result<Self, PublishError> {
        measured(&content)?;
        depth::roomy(|| Self::checked(content))
    }

    /// The same for the sandbox: what a stranger sent, decided by plain Cedar, and refused where it would take long to validate.
    ///
    /// # Errors
    /// As [`Published::new`], and [`FindingCode::TooCostly`].
    pub fn of_stranger(content: EpochContent) -> Result<Self, PublishError> {
        measured(&content)?;
        depth::roomy(|| {
            cost::measured(&content)?;
            Self::checked(content)
        })
    }

    /// Compiles the policies where the epoch asks for it.
    fn compile(mut self, differing: Differing) -> Result<Self, PublishError> {
        match self.trust.engine() {
            EngineKind::Cedar => return Ok(self),
            EngineKind::Compiled => {}
        }
        match self.tried() {
            Ok(shared) => self.compiled = Some(shared),
            Err(error) if differing == Differing::Refused => return Err(error),
            Err(error) => self.warnings.extend(error.findings),
        }
        Ok(self)
    }

    /// The compiled policies, tried against plain Cedar.
    fn tried(&self) -> Result<Arc<Shared>, PublishError> {
        let Parts { schema, types, policies, entities } = self.parts()?;
        let shared = Arc::new(Shared::new(&policies, types, schema.as_ref(), entities)?);
        let plain = self.plain_cedar(|policies| Index::new(policies.policies()))?;
        let compiled = self.compiled_cedar(&shared)?;
        let seed = self.content.digest().0;
        if let Some(request) = compiled::differs(&shared, seed, compiled::REQUESTS, &plain, &compiled) {
            let (subject, resource) = (&request.subject, &request.resource);
            let message = format!(
                "compiled, the policies answer otherwise than plain Cedar, first about {}::{:?}, {:?}, {}::{:?}",
                subject.kind, subject.id, request.action.name, resource.kind, resource.id
            );
            return Err(Finding::new(FindingCode::CompiledDiffers, Part::Policies, message).into());
        }
        Ok(shared)
    }

    /// Whether [`Published::replica`] is compiled.
    pub fn is_compiled(&self) -> bool {
        self.compiled.is_some()
    }

    fn checked(content: EpochContent) -> Result<Self, PublishError> {
        let mut findings = Vec::new();
        let trust = content.trust.as_deref().map_or(Ok(Trust::default()), Trust::parse);
        let trust = trust.map_err(|found| findings.extend(found)).unwrap_or_default();
        let schema = content.schema.as_deref().map(schema).transpose();
        let schema = schema.map_err(|finding| findings.push(finding)).unwrap_or_default();
        let types = content.schema.as_deref().filter(|_| schema.is_some()).map(Types::of).transpose();
        let types = types.map_err(|found| findings.extend(found)).unwrap_or_default();

        let policies = policies(&content).map_err(|found| findings.extend(found)).unwrap_or_default();
        let mut warnings = Vec::new();
        if let Some(schema) = &schema {
            let result = Validator::new(schema.clone()).validate(&policies, ValidationMode::Strict);
            let finding = |id: &PolicyId, error: &dyn miette::Diagnostic| {
                let id: &str = id.as_ref();
                let text = content.policies.iter().find(|(this, _)| this == id).map_or("", |(_, text)| text);
                Finding::diagnosed(FindingCode::PolicyInvalid, Part::Policy(id.to_owned()), text, error)
            };
            findings.extend(result.validation_errors().map(|error| finding(error.policy_id(), error)));
            warnings.extend(result.validation_warnings().map(|warning| finding(warning.policy_id(), warning)));
        }
        let registered = content.entities.as_deref().map(|text| entities(text, schema.as_ref())).transpose();
        let registered = registered.map_err(|finding| findings.push(finding)).unwrap_or_default().unwrap_or_default();
        let declared = types.as_ref().map(|types| types.actions.keys().cloned().collect());
        let catalogue = Arc::new(Catalogue::new(&registered, declared, &policies));
        if let Some(types) = &types {
            let unknown = trust.actions().filter(|name| !types.actions.contains_key(*name));
            findings.extend(unknown.map(|name| {
                let message = format!("`{name}` is not an action of the schema");
                Finding::new(FindingCode::UnknownAction, Part::Trust, message)
            }));
            let unknown = trust.subject_types().filter(|name| !types.entities.contains_key(*name));
            findings.extend(unknown.map(|name| {
                let message = format!("`{name}` is not an entity type of the schema");
                Finding::new(FindingCode::UnknownType, Part::Trust, message)
            }));
            findings.extend(unsummable(&trust, types));
        }
        if !findings.is_empty() {
            return Err(findings.into());
        }
        warnings.extend(trust.idle());
        let published = Self { content, trust: Arc::new(trust), catalogue, warnings, compiled: None };
        published.plain_cedar(|policies| Index::new(policies.policies()))?; // what a worker will do must hold now
        Ok(published)
    }

    /// An engine for one worker. Of plain Cedar nothing is shared with another one; what is compiled only reads what all share.
    ///
    /// # Errors
    /// None in practice: [`Published::new`] has built one before.
    pub fn replica(&self) -> Result<Engine, PublishError> {
        match &self.compiled {
            None => self.plain_replica(),
            Some(shared) => depth::roomy(|| Ok(self.engine(self.compiled_cedar(shared)?, true))),
        }
    }

    /// An engine of plain Cedar, whatever the epoch says.
    ///
    /// # Errors
    /// None in practice, as [`Published::replica`].
    pub fn plain_replica(&self) -> Result<Engine, PublishError> {
        depth::roomy(|| Ok(self.engine(self.plain_cedar(|policies| Index::new(policies.policies()))?, false)))
    }

    /// A compiled engine, whatever the epoch says, and not tried before: for tests and measurements.
    ///
    /// # Errors
    /// None in practice, as [`Published::replica`].
    pub fn compiled_replica(&self) -> Result<Engine, PublishError> {
        depth::roomy(|| {
            let Parts { schema, types, policies, entities } = self.parts()?;
            let shared = Arc::new(Shared::new(&policies, types, schema.as_ref(), entities)?);
            Ok(self.engine(self.compiled_cedar(&shared)?, true))
        })
    }

    /// An engine of plain Cedar that asks all policies for every decision: what the index is held against.
    ///
    /// # Errors
    /// None in practice, as [`Published::replica`].
    pub fn replica_without_index(&self) -> Result<Engine, PublishError> {
        depth::roomy(|| Ok(self.engine(self.plain_cedar(|policies| Index::none(policies.policies()))?, false)))
    }

    fn engine(&self, evaluator: impl Evaluate + 'static, compiled: bool) -> Engine {
        Engine::new(Box::new(evaluator), compiled, self.trust.clone(), self.catalogue.clone())
    }

    fn plain_cedar(&self, slice: Slice) -> Result<PlainCedar, PublishError> {
        let Parts { schema, types, policies, entities } = self.parts()?;
        Ok(PlainCedar::new(&policies, slice, types, schema.as_ref(), entities)?)
    }

    /// One worker's share of what was compiled, with plain Cedar for what was not.
    fn compiled_cedar(&self, shared: &Arc<Shared>) -> Result<CompiledCedar, PublishError> {
        let left = EpochContent {
            policies: self.content.policies.iter().filter(|(id, _)| shared.leaves(id)).cloned().collect(),
            ..EpochContent::default()
        };
        if left.policies.is_empty() {
            return Ok(CompiledCedar::new(shared.clone(), None));
        }
        let Parts { schema, types, entities, .. } = self.parts()?;
        let slice = |policies: &PolicySet| Index::new(policies.policies());
        let plain = PlainCedar::new(&policies(&left)?, slice, types, schema.as_ref(), entities)?;
        Ok(CompiledCedar::new(shared.clone(), Some(plain)))
    }

    /// Everything of the content in Cedar's terms.
    fn parts(&self) -> Result<Parts, PublishError> {
        let schema = self.content.schema.as_deref().map(schema).transpose()?;
        let types = self.content.schema.as_deref().map(Types::of).transpose()?;
        let policies = policies(&self.content)?;
        let entities = self.content.entities.as_deref().map(|text| entities(text, schema.as_ref())).transpose()?;
        Ok(Parts { schema, types, policies, entities: entities.unwrap_or_default() })
    }

    /// The trust configuration.
    pub fn trust(&self) -> &Arc<Trust> {
        &self.trust
    }

    /// The content that was checked.
    pub fn content(&self) -> &EpochContent {
        &self.content
    }

    /// What Cedar's validation warns of: policies that can never apply, confusable characters.
    pub fn warnings(&self) -> &[Finding] {
        &self.warnings
    }

    /// The limits of a permit.
    pub fn limits(&self) -> Limits {
        self.trust.limits()
    }

    /// A realm's mode. A realm that the epoch does not list is denied, and what is recorded of it is not disclosed.
    pub fn realm_mode(&self, realm: &str) -> RealmMode {
        self.trust.realm(realm).unwrap_or(RealmMode::Committed)
    }
}

/// An epoch's content, parsed anew for whoever owns it.
struct Parts {
    schema: Option<Schema>,
    types: Option<Types>,
    policies: PolicySet,
    entities: Entities,
}

type Slice = fn(&PolicySet) -> Result<Index, Box<PolicySetError>>;

/// Budgets over what the schema does not have as an integer: every request of the action would be denied.
fn unsummable(trust: &Trust, types: &Types) -> Vec<Finding> {
    let mut findings = Vec::new();
    for limit in trust.counted() {
        let Rule::Budget { amount, .. } = &limit.rule else { continue };
        for name in limit.reach.actions.iter().flatten() {
            let Some(action) = types.actions.get(name) else { continue }; // told already
            let integer = |shape: &Shape, name: &str| shape.get(name).is_some_and(|field| field.ty == Type::Long);
            let of_any = |kinds: &BTreeSet<String>, name: &str| {
                kinds.iter().filter_map(|kind| types.entities.get(kind)).any(|kind| integer(&kind.shape, name))
            };
            let summable = match amount {
                Amount::Context(name) => integer(&action.context, name),
                Amount::Subject(name) => of_any(&action.principals, name),
                Amount::Resource(name) => of_any(&action.resources, name),
                Amount::Action(name) => match &action.action {
                    Some(Field { ty: Type::Record(shape), .. }) => integer(shape, name),
                    Some(_) | None => false,
                },
            };
            if !summable {
                let message =
                    format!("budget `{}`: the schema has no such integer for the action `{name}`", limit.name);
                findings.push(Finding::new(FindingCode::TrustImpossible, Part::Trust, message));
            }
        }
    }
    findings
}

/// The trust configuration of an epoch that was published: what the fold counts by.
///
/// # Errors
/// It does not validate: this version is stricter than the one that published it.
pub(crate) fn trust(content: &EpochContent) -> Result<Arc<Trust>, PublishError> {
    Ok(Arc::new(content.trust.as_deref().map_or(Ok(Trust::default()), Trust::parse)?))
}

/// Refuses texts that are too deep to be parsed: every one of them.
fn measured(content: &EpochContent) -> Result<(), PublishError> {
    let policies = content.policies.iter().map(|(id, text)| depth::policies(text, &Part::Policy(id.clone())));
    let schema = content.schema.iter().map(|text| depth::schema(text));
    let entities = content.entities.iter().map(|text| depth::entities(text));
    let findings: Vec<_> = policies.chain(schema).chain(entities).filter_map(Result::err).collect();
    if findings.is_empty() { Ok(()) } else { Err(findings.into()) }
}

/// Splits a file of policies into pairs of id and text, sorted by id; the id is the policy's `@id`.
///
/// # Errors
/// Syntax errors with their place in the file; policies without `@id`, or with one that is taken.
pub fn split_policies(file: &str) -> Result<Vec<(String, String)>, PublishError> {
    depth::policies(file, &Part::Policies)?;
    depth::roomy(|| split(file))
}

fn split(file: &str) -> Result<Vec<(String, String)>, PublishError> {
    let parsed = PolicySet::from_str(file).map_err(|errors| {
        let found =
            errors.iter().map(|error| Finding::diagnosed(FindingCode::PolicySyntax, Part::Policies, file, error));
        found.collect::<Vec<_>>()
    })?;
    let mut findings: Vec<_> = parsed.templates().map(|template| template_refused(&template.to_string())).collect();
    let mut ordered: Vec<_> = parsed.policies().collect();
    // Cedar names them by their place in the file: policy0, policy1, …
    ordered.sort_by_key(|policy| {
        let id: &str = policy.id().as_ref();
        (id.len(), id.to_owned())
    });
    let mut policies: Vec<(String, String)> = Vec::new();
    let mut taken = HashSet::new();
    let mut cursor = 0;
    for policy in ordered {
        let text = policy.to_string();
        let start = file.get(cursor..).and_then(|rest| rest.find(&text)).map_or(cursor, |found| cursor + found);
        cursor = (start + text.len()).min(file.len());
        let finding = |code, message: String| Finding::new(code, Part::Policies, message).at(Position::of(file, start));
        match policy.annotation("id") {
            None => findings.push(finding(FindingCode::PolicyId, "the policy has no `@id`".into())),
            Some(id) if !taken.insert(id) => {
                findings.push(finding(FindingCode::DuplicatePolicyId, format!("`@id` `{id}` is taken")));
            }
            Some(id) => policies.push((id.to_owned(), text)),
        }
    }
    policies.sort();
    if findings.is_empty() { Ok(policies) } else { Err(findings.into()) }
}

fn template_refused(text: &str) -> Finding {
    let message = format!("templates are not supported: `{}`", text.lines().next().unwrap_or_default());
    Finding::new(FindingCode::PolicySyntax, Part::Policies, message)
}

fn schema(text: &str) -> Result<Schema, Finding> {
    match Schema::from_cedarschema_str(text) {
        Ok((schema, _)) => Ok(schema),
        Err(error) => Err(Finding::diagnosed(FindingCode::SchemaInvalid, Part::Schema, text, &error)),
    }
}

fn entities(text: &str, schema: Option<&Schema>) -> Result<Entities, Finding> {
    Entities::from_json_str(text, schema)
        .map_err(|error| Finding::diagnosed(FindingCode::EntitiesInvalid, Part::Entities, text, &error))
}

/// Every policy parsed alone, under its id.
fn policies(content: &EpochContent) -> Result<PolicySet, Vec<Finding>> {
    let mut findings = Vec::new();
    let mut parsed = Vec::with_capacity(content.policies.len());
    let mut last: Option<&str> = None;
    for (id, text) in &content.policies {
        let part = || Part::Policy(id.clone());
        if last.is_some_and(|last| last >= id.as_str()) {
            findings.push(Finding::new(FindingCode::DuplicatePolicyId, part(), "ids are not strictly ascending"));
        }
        last = Some(id);
        if id.is_empty() || id.len() > MAX_POLICY_ID || id.chars().any(char::is_control) {
            let message = format!("an id has 1 to {MAX_POLICY_ID} bytes and no control characters");
            findings.push(Finding::new(FindingCode::PolicyId, part(), message));
        }
        match Policy::parse(Some(PolicyId::new(id)), text) {
            Ok(policy) => {
                if policy.annotation("id") != Some(id) {
                    findings.push(Finding::new(FindingCode::PolicyId, part(), "the text's `@id` is not the id"));
                }
                parsed.push(policy);
            }
            Err(errors) => {
                let found =
                    errors.iter().map(|error| Finding::diagnosed(FindingCode::PolicySyntax, part(), text, error));
                findings.extend(found);
            }
        }
    }
    if !findings.is_empty() {
        return Err(findings);
    }
    PolicySet::from_policies(parsed)
        .map_err(|error| vec![Finding::new(FindingCode::DuplicatePolicyId, Part::Policies, error.to_string())])
}
