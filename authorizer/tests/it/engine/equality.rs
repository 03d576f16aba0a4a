//! The engine against `cedar-policy` itself, and engines against each other.

use std::collections::BTreeSet;
use std::str::FromStr;

use authorizer::engine::{Code, Published, Standing};
use cedar_policy::{Authorizer, Context, Decision, Effect, Entities, EntityUid, Policy, PolicyId, PolicySet, Schema};
use proptest::prelude::*;
use proptest::sample::{Index, select};
use proptest::strategy::ValueTree;
use serde_json::{Map, Value, json};
use verifier::epoch::EpochContent;
use verifier::request::Request;

use super::{FACTS, content, policy, read, request};

const SCHEMA: &str = r#"
    type Address = { "city": String, "zip"?: Long, "more"?: { "on": Bool } };
    entity Group in [Group];
    entity User in [Group] = {
        "level": Long, "home"?: Address, "boss"?: User, "since"?: datetime, "marks"?: Set<Long>, "color"?: Color
    };
    entity Doc = { "owner"?: User, "price"?: decimal, "at"?: ipaddr, "age"?: duration, "open"?: Bool, "log"?: Set<{ "city": String }> };
    entity Color enum ["red", "green"];
    action "touch";
    action "read" in ["touch"] appliesTo { principal: User, resource: Doc, context: { "mfa": Bool, "who"?: User, "n"?: Long } };
    action "write" in ["touch"] appliesTo { principal: [User, Group], resource: [Doc, User] };"#;

const ENTITIES: &str = r#"[
    {"uid":{"type":"User","id":"reg"},"attrs":{"level":7,"boss":{"__entity":{"type":"User","id":"chief"}}},"parents":[{"type":"Group","id":"g"}]},
    {"uid":{"type":"User","id":"chief"},"attrs":{"level":9,"marks":[1,2]},"parents":[]},
    {"uid":{"type":"Group","id":"g"},"attrs":{},"parents":[{"type":"Group","id":"top"}]},
    {"uid":{"type":"Group","id":"top"},"attrs":{},"parents":[]}]"#;

/// Valid under the schema; `error-*` can err all the same: overflow, and entities that nobody brought.
const POLICIES: [&str; 23] = [
    r#"@id("any") permit (principal, action, resource);"#,
    r#"@id("level") permit (principal is User, action, resource) when { principal.level > 3 };"#,
    r#"@id("group") permit (principal in Group::"top", action in Action::"touch", resource);"#,
    r#"@id("mfa") forbid (principal, action == Action::"read", resource) unless { context.mfa };"#,
    r#"@id("owner") permit (principal, action, resource is Doc) when { resource has owner && resource.owner == principal };"#,
    r#"@id("price") forbid (principal, action, resource is Doc) when { resource has price && resource.price.greaterThan(decimal("1.5")) };"#,
    r#"@id("since") forbid (principal is User, action, resource) when { principal has since && principal.since < datetime("2024-01-01") };"#,
    r#"@id("net") permit (principal, action, resource is Doc) when { resource has at && resource.at.isInRange(ip("10.0.0.0/8")) };"#,
    r#"@id("age") forbid (principal, action, resource is Doc) when { resource has age && resource.age > duration("1h") };"#,
    r#"@id("marks") permit (principal is User, action, resource) when { principal has marks && principal.marks.containsAny([1, 3]) };"#,
    r#"@id("home") forbid (principal is User, action, resource) when { principal has home.more.on && principal.home.more.on };"#,
    r#"@id("color") forbid (principal is User, action, resource) when { principal has color && principal.color == Color::"red" };"#,
    r#"@id("log") permit (principal, action, resource is Doc) when { resource has log && resource.log.contains({"city": "x"}) };"#,
    r#"@id("reg") permit (principal == User::"reg", action in [Action::"read", Action::"touch"], resource);"#,
    r#"@id("deep") permit (principal is User in Group::"g", action == Action::"write", resource) when { principal.level > 4 };"#,
    r#"@id("doc") forbid (principal, action, resource == Doc::"d") when { resource has open && !resource.open };"#,
    r#"@id("mine") permit (principal == User::"u", action, resource is Doc in Doc::"d");"#,
    r#"@id("nobody") forbid (principal in Group::"nowhere", action, resource);"#,
    r#"@id("self") permit (principal in User::"chief", action == Action::"write", resource in User::"other");"#,
    r#"@id("error-scope") forbid (principal == User::"chief", action == Action::"write", resource is User) when { principal.level + 9223372036854775807 > 0 };"#,
    r#"@id("error-permit") permit (principal is User, action, resource) when { principal.level + 1 > 0 };"#,
    r#"@id("error-forbid") forbid (principal is User, action, resource) when { principal.level * 2 > 100 };"#,
    r#"@id("error-boss") forbid (principal is User, action, resource) when { principal has boss && principal.boss.level > 50 };"#,
];

/// Values for a declared attribute: mostly of its type, sometimes of another.
fn attribute(name: &str) -> BoxedStrategy<Value> {
    let right = match name {
        "level" | "n" | "zip" => select(vec![json!(0), json!(4), json!(60), json!(i64::MAX), json!(i64::MIN)]).boxed(),
        "mfa" | "open" | "on" => any::<bool>().prop_map(Value::from).boxed(),
        "boss" | "owner" | "who" => {
            select(vec!["u", "reg", "chief", "ghost"]).prop_map(|id| json!({"type": "User", "id": id})).boxed()
        }
        "color" => select(vec!["red", "green", "blue"]).prop_map(|id| json!({"type": "Color", "id": id})).boxed(),
        "since" => {
            select(vec!["2023-05-05", "2024-05-05T01:02:03Z", "2024-13-01", "soon"]).prop_map(Value::from).boxed()
        }
        "price" => select(vec!["0.5", "1.5", "2.0001", "2.00001", "1"]).prop_map(Value::from).boxed(),
        "at" => select(vec!["10.1.2.3", "11.0.0.0/8", "::1", "10.0.0.256"]).prop_map(Value::from).boxed(),
        "age" => select(vec!["1h", "61m", "-1d2h", "", "1x"]).prop_map(Value::from).boxed(),
        "marks" => prop::collection::vec(0..4_i64, 0..3).prop_map(Value::from).boxed(),
        "city" => select(vec!["x", "y"]).prop_map(Value::from).boxed(),
        "more" => object(&["on"]).boxed(),
        "home" => object(&["city", "zip", "more"]).boxed(),
        "log" => prop::collection::vec(object(&["city"]), 0..2).prop_map(Value::from).boxed(),
        _ => Just(json!(1)).boxed(),
    };
    let mut wrong =
        vec![json!(true), json!("x"), json!([]), json!({}), json!(["x", 1]), json!({"type": "User", "id": "u"})];
    // A number may stand for a decimal, which Cedar's own JSON refuses.
    wrong.extend((name != "price").then(|| json!(1)));
    let wrong = select(wrong);
    prop_oneof![30 => right, 1 => wrong].boxed()
}

/// An object with some of these attributes, rarely one that is not declared.
fn object(names: &'static [&'static str]) -> BoxedStrategy<Value> {
    let fields: Vec<_> = names
        .iter()
        .map(|name| {
            let likely = if ["level", "mfa", "city", "on"].contains(name) { 0.95 } else { 0.3 };
            (Just((*name).to_owned()), prop::option::weighted(likely, attribute(name)))
        })
        .collect();
    (fields, prop::bool::weighted(0.01))
        .prop_map(|(fields, stray)| {
            let fields = fields.into_iter().filter_map(|(name, value)| Some((name, value?)));
            Value::Object(fields.chain(stray.then(|| ("shoe".to_owned(), json!(1)))).collect())
        })
        .boxed()
}

const USER: &[&str] = &["level", "home", "boss", "since", "marks", "color"];
const DOC: &[&str] = &["owner", "price", "at", "age", "open", "log"];

fn anything() -> impl Strategy<Value = Value> {
    let users = || {
        (select(vec!["u", "reg", "chief"]), object(USER)).prop_map(|(id, properties)| entity("User", id, &properties))
    };
    let docs = || object(DOC).prop_map(|properties| entity("Doc", "d", &properties));
    let reads = (users(), docs(), object(&["mfa", "who", "n"]))
        .prop_map(|(subject, resource, context)| put("read", subject, resource, context));
    let writes = (users(), prop_oneof![docs(), object(USER).prop_map(|p| entity("User", "other", &p))])
        .prop_map(|(subject, resource)| put("write", subject, resource, json!({})));
    prop_oneof![reads, writes]
}

fn entity(kind: &str, id: &str, properties: &Value) -> Value {
    json!({"type": kind, "id": id, "properties": properties})
}

fn put(action: &str, subject: Value, resource: Value, context: Value) -> Value {
    json!({"subject": subject, "action": {"name": action}, "resource": resource, "context": context})
}

fn uid(entity: &Value) -> EntityUid {
    EntityUid::from_json(json!({"type": entity["type"], "id": entity["id"]})).unwrap()
}

/// Cedar's own way from JSON to an answer: registered attributes laid over, everything checked against the schema by Cedar.
/// `None` where Cedar refuses the input.
fn plainly(
    policies: &PolicySet,
    schema: Option<&Schema>,
    json: &Value,
) -> Option<(Decision, BTreeSet<String>, BTreeSet<String>)> {
    let mut entities: Vec<Value> = serde_json::from_str(ENTITIES).unwrap();
    for brought in [&json["subject"], &json["resource"]] {
        let name = json!({"type": brought["type"], "id": brought["id"]});
        let mut attrs: Map<String, Value> = brought["properties"].as_object().unwrap().clone();
        match entities.iter_mut().find(|entity| entity["uid"] == name) {
            Some(registered) => {
                // What the request says of an attribute that is registered must still be of its type.
                let mut said = registered["attrs"].as_object().unwrap().clone();
                said.extend(attrs.clone());
                let said = json!([{"uid": name, "attrs": said, "parents": []}]);
                Entities::from_json_value(said, schema).ok()?;
                attrs.extend(registered["attrs"].as_object().unwrap().clone());
                registered["attrs"] = Value::Object(attrs);
            }
            None => entities.push(json!({"uid": name, "attrs": attrs, "parents": []})),
        }
    }
    let entities = Entities::from_json_value(Value::Array(entities), schema).ok()?;
    let action = EntityUid::from_str(&format!("Action::{}", json["action"]["name"])).unwrap();
    let mut context = json["context"].clone();
    if schema.is_none() {
        context["action"] = json!({});
        context["interlock"] = json!({
            "realm": FACTS.realm, "key": FACTS.key_id, "assertions": [], "attested_by": "", "reference_values": [],
            "evaluated_at": {"__extn": {"fn": "datetime", "arg": "2024-05-15T15:00:00Z"}},
        });
    }
    let context = Context::from_json_value(context, schema.map(|schema| (schema, &action))).ok()?;
    let request =
        cedar_policy::Request::new(uid(&json["subject"]), action, uid(&json["resource"]), context, schema).ok()?;
    let response = Authorizer::new().is_authorized(&request, policies, &entities);
    let reasons = response.diagnostics().reason().map(ToString::to_string).collect();
    let errors = response.diagnostics().errors().map(|error| {
        let cedar_policy::AuthorizationError::PolicyEvaluationError(error) = error;
        error.policy_id().to_string()
    });
    Some((response.decision(), reasons, errors.collect()))
}

/// The engine says what Cedar says, but for the one rule that is ours.
fn equal(chosen: &[Index], json: &Value, schema: Option<&str>) -> Result<bool, TestCaseError> {
    let chosen: BTreeSet<&str> = chosen.iter().map(|index| *index.get(&POLICIES)).collect();
    let content = EpochContent {
        entities: Some(ENTITIES.to_owned()),
        ..content(&chosen.into_iter().collect::<String>(), schema)
    };
    let set = content.policies.iter().map(|(id, text)| Policy::parse(Some(PolicyId::new(id)), text).unwrap());
    let set = PolicySet::from_policies(set).unwrap();
    let schema = schema.map(|text| Schema::from_str(text).unwrap());
    let published = Published::new(content).unwrap();
    let request = Request::parse(json.to_string().as_bytes()).unwrap();
    let verdict = published.replica().unwrap().decide(&request, &FACTS);
    prop_assert_eq!(&verdict, &published.replica_without_index().unwrap().decide(&request, &FACTS));
    prop_assert_eq!(&verdict, &published.compiled_replica().unwrap().decide(&request, &FACTS));
    let Some((decision, reasons, errors)) = plainly(&set, schema.as_ref(), json) else {
        let refused = [Code::Undeclared, Code::Missing, Code::IllTyped];
        prop_assert!(
            policy(&verdict).code().is_some_and(|code| refused.contains(&code)),
            "{:?}: {json}",
            policy(&verdict)
        );
        return Ok(false);
    };
    prop_assert!(verdict.errors.iter().eq(errors.iter()));
    let forbid_erred = errors.iter().any(|id| set.policy(&PolicyId::new(id)).unwrap().effect() == Effect::Forbid);
    match policy(&verdict) {
        Standing::Fail(Code::PolicyError) => prop_assert!(forbid_erred && verdict.policies.is_empty()),
        standing => {
            prop_assert!(verdict.policies.iter().eq(reasons.iter()));
            prop_assert_eq!(standing == Standing::Pass, decision == Decision::Allow);
            prop_assert!(standing != Standing::Pass || !forbid_erred);
        }
    }
    Ok(true)
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 600, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn under_a_schema_the_engine_accepts_and_answers_as_cedar_does(
        chosen in prop::collection::vec(any::<Index>(), 0..8), json in anything(),
    ) {
        equal(&chosen, &json, Some(SCHEMA))?;
    }

    #[test]
    fn without_a_schema_the_engine_answers_as_cedar_does(chosen in prop::collection::vec(any::<Index>(), 0..8), json in anything()) {
        equal(&chosen, &json, None)?;
    }
}

#[test]
fn the_random_requests_are_accepted_often_enough_to_mean_something() {
    let mut runner = proptest::test_runner::TestRunner::deterministic();
    let mut accepted = 0;
    for _ in 0..300 {
        let json = anything().new_tree(&mut runner).unwrap().current();
        accepted += usize::from(equal(&[], &json, Some(SCHEMA)).unwrap());
    }
    assert!((60..=240).contains(&accepted), "{accepted} of 300");
}

#[test]
fn every_replica_gives_the_same_verdict() {
    let policies = r#"
        @id("b") permit (principal, action, resource) when { principal.n > 3 };
        @id("a") permit (principal, action, resource) when { principal.n > 1 };
        @id("c") forbid (principal, action, resource) when { principal.n > 5 };"#;
    let published = Published::new(content(policies, None)).unwrap();
    let (one, two) = (published.replica().unwrap(), published.replica().unwrap());
    let compiled = [published.compiled_replica().unwrap(), published.compiled_replica().unwrap()];
    for n in 0..9 {
        let request = request(&read(&format!("{{\"n\":{n}}}"), "{}", "{}", "{}"));
        let verdict = one.decide(&request, &FACTS);
        for other in [&two].into_iter().chain(&compiled) {
            assert_eq!(verdict, other.decide(&request, &FACTS));
        }
    }
}

/// Any JSON that a request may hold, at any place.
fn wild() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        any::<f64>().prop_map(Value::from),
        "\\PC{0,8}".prop_map(Value::from),
        select(vec!["2024-05-05", "1.5", "10.0.0.1", "1h", "red", "-0.0", "9999-12-31T23:59:59.999Z"])
            .prop_map(Value::from),
    ];
    leaf.prop_recursive(4, 24, 4, |inner| {
        let names =
            prop_oneof![select([USER, DOC, &["type", "id", "city"]].concat()).prop_map(str::to_owned), "[a-z ]{0,3}"];
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..4).prop_map(Value::from),
            prop::collection::btree_map(names, inner, 0..4).prop_map(|map| Value::Object(map.into_iter().collect())),
        ]
    })
}

#[test]
fn there_is_one_answer_to_everything() {
    let content = |schema: Option<&str>| EpochContent {
        entities: Some(ENTITIES.to_owned()),
        ..content(&POLICIES.concat(), schema)
    };
    let published = [Published::new(content(Some(SCHEMA))).unwrap(), Published::new(content(None)).unwrap()];
    let engines =
        published.each_ref().map(|published| (published.replica().unwrap(), published.compiled_replica().unwrap()));
    let object = || prop::collection::btree_map(select([USER, DOC].concat()), wild(), 0..4);
    let all = (object(), object(), object(), object(), any::<bool>());
    let mut runner = proptest::test_runner::TestRunner::new(ProptestConfig {
        cases: 2_000,
        failure_persistence: None,
        ..Default::default()
    });
    let run = runner.run(&all, |(subject, action, resource, context, authzen)| {
        let of = |map: std::collections::BTreeMap<&str, Value>| serde_json::to_string(&map).unwrap();
        let request = request(&read(&of(subject), &of(action), &of(resource), &of(context)));
        let facts = authorizer::engine::Facts { authzen, ..FACTS };
        for (one, two) in &engines {
            let request = if authzen { one.tolerate(&request) } else { request.clone() };
            prop_assert_eq!(one.tolerate(&request), two.tolerate(&request));
            let verdict = one.decide(&request, &facts);
            prop_assert!(!authzen || policy(&verdict).code() != Some(Code::Undeclared));
            prop_assert_eq!(verdict, two.decide(&request, &facts));
        }
        Ok(())
    });
    run.unwrap();
}
