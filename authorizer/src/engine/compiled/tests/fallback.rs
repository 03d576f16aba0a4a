//! What does not compile is plain Cedar's, and both together answer as plain Cedar alone.

use serde_json::json;

use super::super::super::decide::Standing;
use super::{Both, FACTS};
use crate::engine::Code;
use verifier::request::Request;

#[test]
fn a_policy_set_in_the_language_of_today_is_compiled_whole() {
    for (policies, schema) in [
        (
            include_str!("../../../../../testdata/policies/airline/policies.cedar"),
            include_str!("../../../../../testdata/policies/airline/schema.cedarschema"),
        ),
        (
            include_str!("../../../../../testdata/policies/hello/policies.cedar"),
            include_str!("../../../../../testdata/policies/hello/schema.cedarschema"),
        ),
        (
            include_str!("../../../../../testdata/policies/agentdojo-banking/policies.cedar"),
            include_str!("../../../../../testdata/policies/agentdojo-banking/schema.cedarschema"),
        ),
        (
            include_str!("../../../../../testdata/policies/agentdojo-workspace/policies.cedar"),
            include_str!("../../../../../testdata/policies/agentdojo-workspace/schema.cedarschema"),
        ),
    ] {
        let split = crate::engine::split_policies(policies).unwrap();
        assert!(!split.is_empty());
        let both = Both::new(split.iter().map(|(id, text)| (id.as_str(), text.as_str())), Some(schema), "[]");
        assert_eq!((both.shared.program.ids.len(), both.left()), (split.len(), 0));
    }
}

/// Each policy in turn is taken from the program and left to plain Cedar.
#[test]
fn what_is_left_to_plain_cedar_changes_no_answer() {
    let policies = [
        ("a", "permit (principal, action, resource) when { context.n > 1 };"),
        ("b", "permit (principal, action, resource) when { context.n > 2 };"),
        ("c", "forbid (principal, action, resource) when { context.n > 3 };"),
        ("d", "forbid (principal, action, resource) when { context.n > 4 };"),
        ("e", "permit (principal, action, resource) when { context.m > 1 };"),
        ("f", "forbid (principal, action, resource) when { context.o > 1 };"),
    ];
    let texts: Vec<String> = [json!({}), json!({"n": 1}), json!({"n": 2, "o": 1}), json!({"n": 3, "m": 2, "o": 1})]
        .into_iter()
        .chain([json!({"n": 4, "o": 0}), json!({"n": 5, "o": 2}), json!({"n": 9_i64, "m": "x", "o": 1}), json!({"m": 7, "o": 1})])
        .map(|context| {
            format!(
                r#"{{"subject":{{"type":"User","id":"u"}},"action":{{"name":"read"}},"resource":{{"type":"Doc","id":"d"}},"context":{context}}}"#
            )
        })
        .collect();
    let mut standings = Vec::new();
    for left in 0..1_u32 << policies.len() {
        let both = Both::leaving(&policies, left);
        assert_eq!(u32::try_from(both.left()), Ok(left.count_ones()));
        for text in &texts {
            let request = Request::parse(text.as_bytes()).unwrap();
            standings.push(both.asked(&request, &FACTS).standing);
        }
    }
    for expected in [Standing::Pass, Standing::Fail(Code::Forbidden), Standing::Fail(Code::PolicyError)] {
        assert!(standings.contains(&expected), "{expected:?}");
    }
}
