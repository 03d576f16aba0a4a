//! The compiled engine against `cedar-policy` itself: the same standing, the same sorted policies, the same sorted errors.
//!
//! Plain Cedar is asked without an index, so that ours is tested too. Policies here are not validated: what a schema would refuse must be answered alike as well.

mod exhaustive;
mod fallback;
mod policies;
mod random;
mod survivors;

use std::str::FromStr;
use std::sync::Arc;

use cedar_policy::{Entities, Policy, PolicyId, PolicySet, Schema};
use verifier::request::Request;

use super::super::decide::Facts;
use super::super::evaluate::{Answer, Evaluate, PlainCedar};
use super::super::index::Index;
use super::super::types::Types;
use super::{CompiledCedar, Shared};

/// 2024-05-15T15:00:00Z
const FACTS: Facts<'_> = Facts::unsigned("main", "0a0b0c0d0e0f", 1_715_785_200_000);

/// One epoch under both engines.
struct Both {
    shared: Arc<Shared>,
    plain: PlainCedar,
    compiled: CompiledCedar,
}

impl Both {
    /// Policies by id; those that are no Cedar are left out.
    fn new<'a>(texts: impl IntoIterator<Item = (&'a str, &'a str)>, schema: Option<&str>, entities: &str) -> Self {
        Self::made(texts, schema, entities, 0)
    }

    /// With some of the policies left to plain Cedar, by a bit for each.
    fn leaving(texts: &[(&str, &str)], left: u32) -> Self {
        Self::made(texts.iter().copied(), None, "[]", left)
    }

    fn made<'a>(
        texts: impl IntoIterator<Item = (&'a str, &'a str)>,
        schema: Option<&str>,
        entities: &str,
        left: u32,
    ) -> Self {
        let parse = |(id, text): (&str, &str)| Policy::parse(Some(PolicyId::new(id)), text).ok();
        let policies = PolicySet::from_policies(texts.into_iter().filter_map(parse)).unwrap();
        let types = || schema.map(|text| Types::of(text).unwrap());
        let schema = schema.map(|text| Schema::from_str(text).unwrap());
        let entities = || Entities::from_json_str(entities, schema.as_ref()).unwrap();
        let all = |policies: &PolicySet| Index::none(policies.policies());
        let plain = PlainCedar::new(&policies, all, types(), schema.as_ref(), entities()).unwrap();
        let mut shared = Shared::new(&policies, types(), schema.as_ref(), entities()).unwrap();
        for (number, policy) in shared.program.policies.iter_mut().enumerate().take(32) {
            if left & (1 << number) != 0 {
                policy.root = super::program::NONE;
            }
        }
        let shared = Arc::new(shared);
        let left = policies.policies().filter(|policy| shared.leaves(policy.id().as_ref())).cloned();
        let left = PolicySet::from_policies(left).unwrap();
        let slice = |policies: &PolicySet| Index::new(policies.policies());
        let left =
            (!left.is_empty()).then(|| PlainCedar::new(&left, slice, types(), schema.as_ref(), entities()).unwrap());
        let compiled = CompiledCedar::new(shared.clone(), left);
        Self { shared, plain, compiled }
    }

    /// All policies permit, so that an answer tells what each of them says.
    fn permits(conditions: &[String]) -> Self {
        let texts: Vec<(String, String)> = (0..)
            .zip(conditions)
            .map(|(n, condition)| {
                (format!("{n:05}"), format!("permit (principal, action, resource) when {{ {condition} }};"))
            })
            .collect();
        let both = Self::new(texts.iter().map(|(id, text)| (id.as_str(), text.as_str())), None, "[]");
        assert_eq!(both.shared.program.ids.len(), conditions.len(), "every condition is Cedar");
        both
    }

    /// The answer of both, or why there is none.
    fn asked(&self, request: &Request, facts: &Facts<'_>) -> Answer {
        let (plain, compiled) = (self.plain.evaluate(request, facts), self.compiled.evaluate(request, facts));
        assert_eq!(plain, compiled, "plain Cedar and the compiled engine, about {request:?}");
        plain
    }

    /// Asks about a context.
    fn context(&self, context: &serde_json::Value) -> Answer {
        let text = format!(
            r#"{{"subject":{{"type":"User","id":"u"}},"action":{{"name":"read"}},"resource":{{"type":"Doc","id":"d"}},"context":{context}}}"#
        );
        self.asked(&Request::parse(text.as_bytes()).unwrap(), &FACTS)
    }

    /// How many policies plain Cedar decides.
    fn left(&self) -> usize {
        self.shared.program.ids.iter().filter(|id| self.shared.leaves(id)).count()
    }
}
