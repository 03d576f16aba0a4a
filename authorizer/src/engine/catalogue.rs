//! What an epoch knows by name: its registered entities and its actions, in order. What a search goes over.
//!
//! Guarantees: every name once, ascending, so that a place in the list stays the same place as long as the epoch is in force.
//! Does not: say who may do what; each candidate is evaluated as a request is.

use std::collections::{BTreeMap, BTreeSet};

use cedar_policy::{ActionConstraint, Entities, EntityUid, PolicySet};

/// Names of an epoch.
#[derive(Debug, Default)]
pub struct Catalogue {
    entities: BTreeMap<String, Vec<String>>,
    actions: Vec<String>,
}

impl Catalogue {
    /// `declared` are the schema's actions; without a schema those count that the policies' scopes name.
    pub(super) fn new(entities: &Entities, declared: Option<BTreeSet<String>>, policies: &PolicySet) -> Self {
        let mut by_type = BTreeMap::<String, Vec<String>>::new();
        for entity in entities.iter() {
            let uid = entity.uid();
            by_type.entry(uid.type_name().to_string()).or_default().push(uid.id().unescaped().to_owned());
        }
        by_type.values_mut().for_each(|ids| ids.sort_unstable());
        let actions = declared
            .unwrap_or_else(|| policies.policies().flat_map(|policy| named(&policy.action_constraint())).collect());
        Self { entities: by_type, actions: actions.into_iter().collect() }
    }

    /// The ids of the registered entities of a type.
    pub fn entities(&self, kind: &str) -> &[String] {
        self.entities.get(kind).map_or(&[], Vec::as_slice)
    }

    /// The names of the actions.
    pub fn actions(&self) -> &[String] {
        &self.actions
    }
}

fn named(constraint: &ActionConstraint) -> Vec<String> {
    let name = |uid: &EntityUid| uid.id().unescaped().to_owned();
    match constraint {
        ActionConstraint::Any => Vec::new(),
        ActionConstraint::Eq(uid) => vec![name(uid)],
        ActionConstraint::In(uids) => uids.iter().map(name).collect(),
    }
}
