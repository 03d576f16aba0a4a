//! Whether any policy can see the facts that Interlock adds to a context without a schema.
//!
//! Building those facts costs as much as everything else about a small request (Cedar parses the name `datetime` and the time's text each
//! time). A policy that reaches into `context` by other names only gives the same answer without them. Errs on the side of adding them.

use cedar_policy::{Policy, PolicySet};
use serde_json::{Map, Value};

use super::types::INTERLOCK;

/// True unless every use of `context` in every policy names another attribute.
pub(super) fn facts_are_seen(policies: &PolicySet) -> bool {
    policies.policies().any(policy_sees)
}

fn policy_sees(policy: &Policy) -> bool {
    // The JSON form is Cedar's own syntax tree: no text of ours to misread.
    policy.to_json().map_or(true, |tree| sees(&tree))
}

fn sees(tree: &Value) -> bool {
    match tree {
        Value::Object(node) => reaches(node).unwrap_or_else(|| is_context(tree) || node.values().any(sees)),
        Value::Array(nodes) => nodes.iter().any(sees),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => false,
    }
}

/// For `context.name` and `context has name`: whether the name is that of the facts. `None` for any other node.
fn reaches(node: &Map<String, Value>) -> Option<bool> {
    let inner = node.get(".").or_else(|| node.get("has")).filter(|_| node.len() == 1)?;
    let (left, name) = (inner.get("left")?, inner.get("attr")?.as_str()?);
    is_context(left).then_some(name == INTERLOCK)
}

fn is_context(tree: &Value) -> bool {
    tree.as_object().is_some_and(|node| node.len() == 1) && tree.get("Var").and_then(Value::as_str) == Some("context")
}

#[cfg(test)]
mod tests {
    use std::str::FromStr;

    use super::*;

    fn seen(condition: &str) -> bool {
        let policy = format!("permit(principal, action, resource) when {{ {condition} }};");
        facts_are_seen(&PolicySet::from_str(&policy).unwrap())
    }

    #[test]
    fn a_use_of_context_that_could_show_the_facts_is_found() {
        for condition in [
            "context.interlock.realm == \"main\"",
            "context has interlock",
            "context has interlock.key",
            "context[\"interlock\"] == 1",
            "context == {}",
            "[context].contains(context)",
            "(if true then context else {}).interlock.key == \"k\"",
            "{ \"a\": context }.a has interlock",
            "context has a.b.c", // a form that is not looked into
            "context.amount > 1 && context has \"interlock\"",
        ] {
            assert!(seen(condition), "{condition}");
        }
    }

    #[test]
    fn other_attributes_of_context_do_not_show_the_facts() {
        for condition in [
            "true",
            "context.amount < 1000",
            "context has amount && context.amount.interlock == 1",
            "principal.interlock == \"context\"",
            "resource has context",
            "{ \"Var\": \"context\" } == principal.x",
        ] {
            assert!(!seen(condition), "{condition}");
        }
    }
}
