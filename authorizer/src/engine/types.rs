//! What the schema says about types, as a table that JSON is converted by.
//!
//! Built from Cedar's own resolved form of the schema, so names are resolved by Cedar's rules and not by ours. Common types are expanded
//! once and shared. Guarantees that `context.action` and `context.interlock`, where declared, can be filled; says nothing about policies.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::str::FromStr;
use std::sync::Arc;

use cedar_policy::{EntityId, EntityTypeName, EntityUid};
use serde_json::Value;
use verifier::request::Request;

use super::convert::declared;
use super::findings::{Finding, FindingCode, Part};

/// The context key under which an action's properties stand.
pub(super) const ACTION: &str = "action";
/// The context key under which the facts stand that Interlock itself supplies.
pub(super) const INTERLOCK: &str = "interlock";

/// A Cedar type.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Type {
    Bool,
    Long,
    String,
    Decimal,
    Datetime,
    Duration,
    Ip,
    /// A reference to an entity of this type.
    Entity(String),
    Set(Arc<Self>),
    Record(Arc<Shape>),
}

/// The attributes of a record or entity type.
pub(super) type Shape = BTreeMap<String, Field>;

/// One attribute.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Field {
    pub ty: Type,
    pub required: bool,
}

/// An entity type.
#[derive(Debug)]
pub(super) struct EntityKind {
    pub name: EntityTypeName,
    pub shape: Arc<Shape>,
    /// The ids of an enumerated type.
    pub ids: Option<BTreeSet<String>>,
}

/// An action that can be asked for.
#[derive(Debug)]
pub(super) struct ActionKind {
    pub uid: EntityUid,
    pub principals: BTreeSet<String>,
    pub resources: BTreeSet<String>,
    /// The context without [`ACTION`] and [`INTERLOCK`].
    pub context: Shape,
    pub action: Option<Field>,
    pub interlock: Option<Field>,
}

/// The whole table.
#[derive(Debug, Default)]
pub(super) struct Types {
    pub entities: HashMap<String, EntityKind>,
    pub actions: HashMap<String, ActionKind>,
}

/// The facts that Interlock supplies: fixed by the request, its key and `evaluated_at`, all of them in the record.
fn facts() -> [(&'static str, Type); 6] {
    let names = || Type::Set(Arc::new(Type::String));
    [
        ("assertions", names()),       // rules of assertions that hold
        ("attested_by", Type::String), // empty where no attestation holds
        ("evaluated_at", Type::Datetime),
        ("key", Type::String),
        ("realm", Type::String),
        ("reference_values", names()), // sets that the attested environment has
    ]
}

impl Types {
    /// The table of a schema in Cedar's syntax that Cedar has accepted.
    pub(super) fn of(schema: &str) -> Result<Self, Vec<Finding>> {
        let (resolved, _) = cedar_policy::schema_str_to_json_with_resolved_types(schema)
            .map_err(|error| vec![Finding::diagnosed(FindingCode::SchemaInvalid, Part::Schema, schema, &error)])?;
        Reader { common: common_types(&resolved), expanded: HashMap::new() }.table(&resolved)
    }
}

impl Types {
    /// A request without what the schema does not declare. What it knows nothing about at all stays, to be denied.
    pub(super) fn tolerate(&self, request: &Request) -> Request {
        let mut request = request.clone();
        for entity in [&mut request.subject, &mut request.resource] {
            if let Some(kind) = self.entities.get(entity.kind.as_str()) {
                entity.properties = declared(Some(&kind.shape), &entity.properties.to_pairs()).into();
            }
        }
        if let Some(action) = self.actions.get(request.action.name.as_str()) {
            let shape = match &action.action {
                Some(Field { ty: Type::Record(shape), .. }) => Some(shape.as_ref()),
                Some(_) | None => None,
            };
            request.action.properties = declared(shape, &request.action.properties.to_pairs()).into();
            request.context = declared(Some(&action.context), &request.context.to_pairs()).into();
        }
        request
    }
}

/// The JSON form of every common type, by its full name.
fn common_types(resolved: &Value) -> HashMap<String, &Value> {
    let namespaces = resolved.as_object().into_iter().flatten();
    namespaces
        .flat_map(|(namespace, body)| {
            let types = body.get("commonTypes").and_then(Value::as_object).into_iter().flatten();
            types.map(move |(name, ty)| (qualify(namespace, name), ty))
        })
        .collect()
}

fn qualify(namespace: &str, name: &str) -> String {
    if namespace.is_empty() { name.to_owned() } else { format!("{namespace}::{name}") }
}

struct Reader<'a> {
    common: HashMap<String, &'a Value>,
    expanded: HashMap<String, Type>,
}

impl Reader<'_> {
    fn table(mut self, resolved: &Value) -> Result<Types, Vec<Finding>> {
        let mut types = Types::default();
        let mut findings = Vec::new();
        for (namespace, body) in resolved.as_object().into_iter().flatten() {
            for (name, kind) in members(body, "entityTypes") {
                let name = qualify(namespace, name);
                match self.entity(&name, kind) {
                    Some(kind) => drop(types.entities.insert(name, kind)),
                    None => findings.push(unreadable(&name)),
                }
            }
            for (name, kind) in members(body, "actions") {
                let Some(applies) = kind.get("appliesTo").filter(|applies| applies_to_something(applies)) else {
                    continue;
                };
                if !namespace.is_empty() {
                    findings.push(Finding::new(
                        FindingCode::ActionInNamespace,
                        Part::Schema,
                        format!("action `{name}` stands in namespace `{namespace}`, but requests name actions of the empty namespace"),
                    ));
                    continue;
                }
                match self.action(name, applies) {
                    Some(Ok(kind)) => drop(types.actions.insert(name.clone(), kind)),
                    Some(Err(finding)) => findings.push(finding),
                    None => findings.push(unreadable(name)),
                }
            }
        }
        if findings.is_empty() { Ok(types) } else { Err(findings) }
    }

    fn entity(&mut self, name: &str, kind: &Value) -> Option<EntityKind> {
        let ids = kind.get("enum").and_then(Value::as_array);
        Some(EntityKind {
            name: EntityTypeName::from_str(name).ok()?,
            shape: kind.get("shape").map_or(Some(Arc::default()), |shape| self.shape(shape))?,
            ids: ids.map(|ids| ids.iter().filter_map(Value::as_str).map(str::to_owned).collect()),
        })
    }

    fn action(&mut self, name: &str, applies: &Value) -> Option<Result<ActionKind, Finding>> {
        let names = |key| -> BTreeSet<String> {
            let list = applies.get(key).and_then(Value::as_array).into_iter().flatten();
            list.filter_map(Value::as_str).map(str::to_owned).collect()
        };
        let mut context = match applies.get("context") {
            Some(context) => Arc::unwrap_or_clone(self.shape(context)?),
            None => Shape::new(),
        };
        let (action, interlock) = (context.remove(ACTION), context.remove(INTERLOCK));
        if action.as_ref().is_some_and(|field| !matches!(field.ty, Type::Record(_))) {
            return Some(Err(reserved(name, "`context.action` must be a record: it holds the action's properties")));
        }
        if let Some(field) = &interlock
            && !suppliable(field)
        {
            let known = facts().map(|(name, ty)| format!("{name}: {}", format!("{ty:?}").to_lowercase())).join(", ");
            return Some(Err(reserved(name, &format!("`context.interlock` may have these attributes only: {known}"))));
        }
        let uid = EntityUid::from_type_name_and_id(action_type()?, EntityId::new(name));
        let (principals, resources) = (names("principalTypes"), names("resourceTypes"));
        Some(Ok(ActionKind { uid, principals, resources, context, action, interlock }))
    }

    fn shape(&mut self, value: &Value) -> Option<Arc<Shape>> {
        match self.ty(value)? {
            Type::Record(shape) => Some(shape),
            _ => None,
        }
    }

    fn ty(&mut self, value: &Value) -> Option<Type> {
        let name = value.get("type")?.as_str()?;
        Some(match name {
            "Bool" | "Boolean" => Type::Bool,
            "Long" => Type::Long,
            "String" => Type::String,
            "Set" => Type::Set(Arc::new(self.ty(value.get("element")?)?)),
            "Record" => {
                let mut shape = Shape::new();
                for (name, field) in members(value, "attributes") {
                    let required = field.get("required").and_then(Value::as_bool).unwrap_or(true);
                    shape.insert(name.clone(), Field { ty: self.ty(field)?, required });
                }
                Type::Record(Arc::new(shape))
            }
            "Entity" => Type::Entity(value.get("name")?.as_str()?.to_owned()),
            "Extension" => extension(value.get("name")?.as_str()?)?,
            name => self.named(name)?,
        })
    }

    /// A common type, or a built-in one by its full name.
    fn named(&mut self, name: &str) -> Option<Type> {
        if let Some(ty) = self.expanded.get(name) {
            return Some(ty.clone());
        }
        let Some(body) = self.common.get(name).copied() else {
            return match name.strip_prefix("__cedar::").unwrap_or(name) {
                "Bool" => Some(Type::Bool),
                "Long" => Some(Type::Long),
                "String" => Some(Type::String),
                name => extension(name),
            };
        };
        let ty = self.ty(body)?;
        self.expanded.insert(name.to_owned(), ty.clone());
        Some(ty)
    }
}

/// The type of all actions that a request can name.
pub(super) fn action_type() -> Option<EntityTypeName> {
    EntityTypeName::from_str("Action").ok()
}

fn members<'a>(body: &'a Value, key: &str) -> impl Iterator<Item = (&'a String, &'a Value)> {
    body.get(key).and_then(Value::as_object).into_iter().flatten()
}

fn extension(name: &str) -> Option<Type> {
    Some(match name {
        "decimal" => Type::Decimal,
        "datetime" => Type::Datetime,
        "duration" => Type::Duration,
        "ipaddr" => Type::Ip,
        _ => return None,
    })
}

/// Whether an action can be asked for at all; others are groups.
fn applies_to_something(applies: &Value) -> bool {
    let some = |key| applies.get(key).and_then(Value::as_array).is_some_and(|list| !list.is_empty());
    some("principalTypes") && some("resourceTypes")
}

/// Whether `context.interlock` asks for nothing but the facts that there are.
fn suppliable(field: &Field) -> bool {
    let Type::Record(shape) = &field.ty else { return false };
    let facts = facts();
    shape.iter().all(|(name, field)| facts.iter().any(|(fact, ty)| fact == name && *ty == field.ty))
}

fn unreadable(name: &str) -> Finding {
    Finding::new(FindingCode::SchemaInvalid, Part::Schema, format!("`{name}` uses a type that is not supported"))
}

fn reserved(action: &str, why: &str) -> Finding {
    Finding::new(FindingCode::ReservedContext, Part::Schema, format!("action `{action}`: {why}"))
}
