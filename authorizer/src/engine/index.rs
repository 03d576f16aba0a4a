//! Policies by what their scope demands, so that a decision asks only those that could apply.
//!
//! Why: Cedar evaluates a policy's scope before its conditions and stops where it is false; a policy whose scope is false is neither
//! satisfied nor in error. Leaving such a policy out changes nothing: not the decision, not the ids that determine it, not the errors. So
//! each policy stands in one bucket for each action that it names, under the one entity or type that its scope demands most narrowly, and
//! a request looks into the buckets of its own action, principal and resource, of their ancestors and types, and into those that demand
//! nothing. What is looked into is evaluated whole, by Cedar, scope included: the index only leaves out.
//!
//! Guarantees: every policy whose scope can be true for a request is in one of its buckets. Does not: evaluate.

use std::collections::HashMap;

use cedar_policy::{
    ActionConstraint, EntityTypeName, EntityUid, Policy, PolicyId, PolicySet, PolicySetError, PrincipalConstraint,
    ResourceConstraint,
};

/// What a bucket's policies demand beside their action.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
enum Demand {
    Nothing,
    /// The principal is this entity or below it.
    Principal(EntityUid),
    PrincipalType(EntityTypeName),
    /// The resource is this entity or below it.
    Resource(EntityUid),
    ResourceType(EntityTypeName),
}

/// Who or what a request is about, with everything that it is `in`.
pub(super) struct Place<'a> {
    pub uid: &'a EntityUid,
    pub ancestors: &'a [EntityUid],
}

type Buckets = HashMap<Demand, PolicySet>;

/// The policies of an epoch, by action and demand.
#[derive(Debug)]
pub(super) struct Index {
    any_action: Buckets,
    by_action: HashMap<EntityUid, Buckets>,
}

impl Index {
    /// Files every policy.
    pub(super) fn new<'a>(policies: impl IntoIterator<Item = &'a Policy>) -> Result<Self, Box<PolicySetError>> {
        let mut index = Self { any_action: HashMap::new(), by_action: HashMap::new() };
        for policy in policies {
            let demand = demand(policy);
            match policy.action_constraint() {
                ActionConstraint::Any => file(&mut index.any_action, demand, policy)?,
                ActionConstraint::Eq(action) => file(index.by_action.entry(action).or_default(), demand, policy)?,
                ActionConstraint::In(mut actions) => {
                    actions.sort();
                    actions.dedup();
                    for action in actions {
                        file(index.by_action.entry(action).or_default(), demand.clone(), policy)?;
                    }
                }
            }
        }
        Ok(index)
    }

    /// One bucket of all policies: what a decision costs, and answers, without an index.
    pub(super) fn none<'a>(policies: impl IntoIterator<Item = &'a Policy>) -> Result<Self, Box<PolicySetError>> {
        let all = PolicySet::from_policies(policies.into_iter().cloned()).map_err(Box::new)?;
        Ok(Self { any_action: HashMap::from([(Demand::Nothing, all)]), by_action: HashMap::new() })
    }

    /// Whether there is a policy of this id.
    pub(super) fn has(&self, id: &PolicyId) -> bool {
        let rooms = std::iter::once(&self.any_action).chain(self.by_action.values());
        rooms.flat_map(Buckets::values).any(|policies| policies.policy(id).is_some())
    }

    /// The buckets that a request must ask. A policy that names several groups of one action may stand in more than one of them.
    pub(super) fn candidates<'a>(
        &'a self,
        principal: &Place<'_>,
        action: &Place<'_>,
        resource: &Place<'_>,
    ) -> Vec<&'a PolicySet> {
        let demands = demands(principal, resource);
        let named = std::iter::once(action.uid).chain(action.ancestors).filter_map(|uid| self.by_action.get(uid));
        let rooms = std::iter::once(&self.any_action).chain(named);
        rooms.flat_map(|room| demands.iter().filter_map(|demand| room.get(demand))).collect()
    }
}

fn file(buckets: &mut Buckets, demand: Demand, policy: &Policy) -> Result<(), Box<PolicySetError>> {
    buckets.entry(demand).or_default().add(policy.clone()).map_err(Box::new)
}

/// Everything that a policy may demand of these two and find.
fn demands(principal: &Place<'_>, resource: &Place<'_>) -> Vec<Demand> {
    let mut demands = Vec::with_capacity(5 + principal.ancestors.len() + resource.ancestors.len());
    demands.push(Demand::Nothing);
    demands.extend(std::iter::once(principal.uid).chain(principal.ancestors).cloned().map(Demand::Principal));
    demands.push(Demand::PrincipalType(principal.uid.type_name().clone()));
    demands.extend(std::iter::once(resource.uid).chain(resource.ancestors).cloned().map(Demand::Resource));
    demands.push(Demand::ResourceType(resource.uid.type_name().clone()));
    demands
}

/// The narrower of what a scope demands of principal and resource.
fn demand(policy: &Policy) -> Demand {
    /// How few requests meet a demand.
    fn narrow(demand: &Demand) -> u8 {
        match demand {
            Demand::Nothing => 0,
            Demand::PrincipalType(_) | Demand::ResourceType(_) => 1,
            Demand::Principal(_) | Demand::Resource(_) => 2,
        }
    }
    let principal = match policy.principal_constraint() {
        PrincipalConstraint::Any => Demand::Nothing,
        PrincipalConstraint::Is(kind) => Demand::PrincipalType(kind),
        PrincipalConstraint::Eq(uid) | PrincipalConstraint::In(uid) | PrincipalConstraint::IsIn(_, uid) => {
            Demand::Principal(uid)
        }
    };
    let resource = match policy.resource_constraint() {
        ResourceConstraint::Any => Demand::Nothing,
        ResourceConstraint::Is(kind) => Demand::ResourceType(kind),
        ResourceConstraint::Eq(uid) | ResourceConstraint::In(uid) | ResourceConstraint::IsIn(_, uid) => {
            Demand::Resource(uid)
        }
    };
    if narrow(&resource) > narrow(&principal) { resource } else { principal }
}
