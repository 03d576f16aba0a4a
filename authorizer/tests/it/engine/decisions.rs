//! Condition 1: what the policies say, and what stops a request before they are asked.

use authorizer::engine::{Code, Published, Standing};
use verifier::act::Target;
use verifier::epoch::EpochContent;
use verifier::request::{Request, RequestError};

use super::{FACTS, Twin, content, denied, engine, policy, read, request};

const PERMIT: &str = r#"@id("all") permit (principal, action, resource);"#;

const SCHEMA: &str = r#"
type Address = { "city": String, "zip"?: Long };
entity Group;
entity User in [Group] = { "level"?: Long, "home"?: Address, "boss"?: User, "since"?: datetime };
entity Doc = { "owner"?: User, "price"?: decimal, "tags"?: Set<String>, "at"?: ipaddr, "age"?: duration, "open"?: Bool };
entity Color enum ["red", "green"];
action "reading";
action "read" in ["reading"] appliesTo {
  principal: User, resource: Doc,
  context: { "mfa"?: Bool, "until"?: datetime, "action"?: { "pages": Long, "color"?: Color } },
};
action "plain" appliesTo { principal: User, resource: [Doc, Color] };
"#;

#[test]
fn a_forbid_that_errors_denies() {
    let policies = r#"
        @id("all") permit (principal, action, resource);
        @id("limit") forbid (principal, action == Action::"read", resource) when { resource.size > 10 };"#;
    let engine = engine(policies, None);
    let verdict = engine.decide(&request(&read("{}", "{}", "{}", "{}")), &FACTS);
    assert_eq!(policy(&verdict), Standing::Fail(Code::PolicyError));
    assert_eq!((verdict.policies.as_slice(), verdict.errors.as_slice()), (&[][..], &["limit".to_owned()][..]));
    assert!(!verdict.stands());
    // Where the forbid can be evaluated it decides, and where its scope does not match it is not evaluated.
    assert_eq!(denied(&engine, &read("{}", "{}", r#"{"size":1}"#, "{}")), None);
    assert_eq!(denied(&engine, &read("{}", "{}", r#"{"size":11}"#, "{}")), Some(Code::Forbidden));
    assert_eq!(denied(&engine, &read("{}", "{}", "{}", "{}").replace("read", "write")), None);
}

#[test]
fn a_permit_that_errors_permits_nothing_and_hinders_nothing() {
    let broken = r#"@id("broken") permit (principal, action, resource) when { resource.size > 10 };"#;
    let verdict = engine(broken, None).decide(&request(&read("{}", "{}", "{}", "{}")), &FACTS);
    assert_eq!(policy(&verdict), Standing::Fail(Code::NoMatchingPermit));
    assert_eq!(verdict.errors, ["broken"]);
    let verdict = engine(&format!("{broken}{PERMIT}"), None).decide(&request(&read("{}", "{}", "{}", "{}")), &FACTS);
    assert_eq!(policy(&verdict), Standing::Pass);
    assert_eq!((verdict.policies, verdict.errors), (vec!["all".to_owned()], vec!["broken".to_owned()]));
}

#[test]
fn deny_is_the_default() {
    let none = Twin::of(&Published::new(EpochContent::default()).unwrap());
    assert_eq!(denied(&none, &read("{}", "{}", "{}", "{}")), Some(Code::NoMatchingPermit));
    let other = engine(r#"@id("w") permit (principal, action == Action::"write", resource);"#, None);
    let verdict = other.decide(&request(&read("{}", "{}", "{}", "{}")), &FACTS);
    assert_eq!(policy(&verdict), Standing::Fail(Code::NoMatchingPermit));
    assert!(verdict.policies.is_empty() && !verdict.stands());
}

#[test]
fn determining_policies_are_named_in_order() {
    let policies = r#"
        @id("z") permit (principal, action, resource);
        @id("a") permit (principal, action, resource);
        @id("n") forbid (principal, action, resource) when { context has halt };
        @id("f") forbid (principal, action, resource) when { context has halt };"#;
    let engine = engine(policies, None);
    assert_eq!(engine.decide(&request(&read("{}", "{}", "{}", "{}")), &FACTS).policies, ["a", "z"]);
    let halted = engine.decide(&request(&read("{}", "{}", "{}", r#"{"halt":1}"#)), &FACTS);
    assert_eq!(halted.policies, ["f", "n"]);
    assert_eq!(policy(&halted), Standing::Fail(Code::Forbidden));
}

#[test]
fn what_the_schema_does_not_declare_denies_a_native_request() {
    let engine = engine(PERMIT, Some(SCHEMA));
    assert_eq!(denied(&engine, &read("{}", "{}", "{}", "{}")), Some(Code::NoMatchingPermit).filter(|_| false));
    for json in [
        read(r#"{"shoe":1}"#, "{}", "{}", "{}"),
        read("{}", r#"{"pages":1,"shoe":1}"#, "{}", "{}"),
        read("{}", "{}", r#"{"shoe":null}"#, "{}"),
        read("{}", "{}", "{}", r#"{"shoe":1}"#),
        read(r#"{"home":{"city":"x","shoe":1}}"#, "{}", "{}", "{}"),
        read("{}", r#"{"shoe":1}"#, "{}", "{}").replace(r#""read""#, r#""plain""#),
    ] {
        assert_eq!(denied(&engine, &json), Some(Code::Undeclared), "{json}");
    }
}

#[test]
fn what_the_schema_does_not_declare_is_left_out_of_an_authzen_request() {
    let engine = engine(PERMIT, Some(SCHEMA));
    let json = read(
        r#"{"shoe":1,"level":2,"home":{"city":"x","shoe":1}}"#,
        r#"{"pages":1,"shoe":1}"#,
        r#"{"shoe":1,"tags":["a"]}"#,
        r#"{"shoe":1,"mfa":true}"#,
    );
    let left = read(r#"{"level":2,"home":{"city":"x"}}"#, r#"{"pages":1}"#, r#"{"tags":["a"]}"#, r#"{"mfa":true}"#);
    let tolerated = engine.tolerate(&request(&json));
    assert_eq!(tolerated, request(&left));
    assert_eq!(policy(&engine.decide(&tolerated, &FACTS)), Standing::Pass);
    // What it knows nothing about at all stays, to be denied; without a schema nothing is undeclared.
    let unknown = request(&json.replace(r#""read""#, r#""burn""#));
    assert_eq!(policy(&engine.decide(&engine.tolerate(&unknown), &FACTS)), Standing::Fail(Code::UnknownAction));
    assert_eq!(super::engine(PERMIT, None).tolerate(&request(&json)), request(&json));
}

#[test]
fn what_the_schema_declares_must_be_there_and_of_its_type() {
    let engine = engine(PERMIT, Some(SCHEMA));
    for (good, bad) in [
        (r#"{"level":3}"#, r#"{"level":"3"}"#),
        (r#"{"level":3}"#, r#"{"level":3.0}"#),
        (r#"{"home":{"city":"x"}}"#, r#"{"home":"x"}"#),
        (r#"{"home":{"city":"x","zip":null}}"#, r#"{"home":{"city":"x","zip":true}}"#),
        (r#"{"boss":{"type":"User","id":"b"}}"#, r#"{"boss":{"type":"Doc","id":"b"}}"#),
        (r#"{"boss":null}"#, r#"{"boss":{"type":"User","id":"b","more":1}}"#),
        (r#"{"since":"2024-05-15T15:00:00Z"}"#, r#"{"since":"2024-05-15T15:00:00"}"#),
        (r#"{"since":"2024-05-15"}"#, r#"{"since":"2024-02-30"}"#),
    ] {
        assert_eq!(denied(&engine, &read(good, "{}", "{}", "{}")), None, "{good}");
        assert_eq!(denied(&engine, &read(bad, "{}", "{}", "{}")), Some(Code::IllTyped), "{bad}");
    }
    for (good, bad) in [
        (r#"{"price":"1.25"}"#, r#"{"price":"1.23456"}"#),
        (r#"{"tags":["a","a"]}"#, r#"{"tags":["a",1]}"#),
        (r#"{"tags":[]}"#, r#"{"tags":[null]}"#),
        (r#"{"at":"10.0.0.0/8"}"#, r#"{"at":"10.0.0.0/33"}"#),
        (r#"{"age":"1h30m"}"#, r#"{"age":"1 hour"}"#),
        (r#"{"open":false}"#, r#"{"open":0}"#),
        (r#"{"owner":{"type":"User","id":"b"}}"#, r#"{"owner":"b"}"#),
    ] {
        assert_eq!(denied(&engine, &read("{}", "{}", good, "{}")), None, "{good}");
        assert_eq!(denied(&engine, &read("{}", "{}", bad, "{}")), Some(Code::IllTyped), "{bad}");
    }
    assert_eq!(denied(&engine, &read("{}", "{}", r#"{"price":1.5}"#, "{}")), None);
    assert_eq!(denied(&engine, &read("{}", "{}", r#"{"price":0.00001}"#, "{}")), Some(Code::NotRepresentable));
    for missing in [read(r#"{"home":{"zip":1}}"#, "{}", "{}", "{}"), read("{}", r#"{"color":null}"#, "{}", "{}")] {
        assert_eq!(denied(&engine, &missing), Some(Code::Missing), "{missing}");
    }
}

#[test]
fn unknown_types_and_actions_have_codes_of_their_own() {
    let engine = engine(PERMIT, Some(SCHEMA));
    let json = read("{}", "{}", "{}", "{}");
    assert_eq!(denied(&engine, &json.replace("read", "burn")), Some(Code::UnknownAction));
    assert_eq!(denied(&engine, &json.replace("read", "reading")), Some(Code::UnknownAction));
    assert_eq!(denied(&engine, &json.replace("User", "Ghost")), Some(Code::UnknownType));
    assert_eq!(denied(&engine, &json.replace("Doc", "Ghost")), Some(Code::UnknownType));
    assert_eq!(denied(&engine, &json.replace("User", "Group")), Some(Code::NotApplicable));
    assert_eq!(denied(&engine, &json.replace("Doc", "User")), Some(Code::NotApplicable));
    let color = json.replace("Doc", "Color").replace("read", "plain");
    assert_eq!(denied(&engine, &color), Some(Code::UnknownType));
    assert_eq!(denied(&engine, &color.replace(r#""d""#, r#""red""#)), None);
    assert_eq!(denied(&super::engine(PERMIT, None), &json.replace("User", "not a name")), Some(Code::UnknownType));
}

#[test]
fn without_a_schema_values_are_what_the_json_shows() {
    let policies = r#"
        @id("all") permit (principal, action, resource) when {
          principal.n == 3 && principal.d == decimal("0.5") && principal.s == ["a", 1] && principal.r.x && !(principal has none)
          && context.action.pages == 2 && context.interlock.realm == "main" && context.interlock.key == "0a0b0c0d0e0f"
          && context.interlock.evaluated_at == datetime("2024-05-15T15:00:00Z") };"#;
    let engine = engine(policies, None);
    let subject = r#"{"n":3,"d":0.5,"s":["a",1,1],"r":{"x":true,"y":null},"none":null}"#;
    assert_eq!(denied(&engine, &read(subject, r#"{"pages":2}"#, "{}", "{}")), None);
    for (bad, code) in [
        (r#"{"d":0.00001}"#, Code::NotRepresentable),
        (r#"{"n":9223372036854775808}"#, Code::NotRepresentable),
        (r#"{"s":[null]}"#, Code::NotRepresentable),
        (r#"{"d":-0}"#, Code::NotRepresentable),
    ] {
        assert_eq!(denied(&engine, &read(bad, "{}", "{}", "{}")), Some(code), "{bad}");
    }
}

#[test]
fn interlock_and_action_stand_in_the_context_only_where_declared() {
    let schema = r#"
        entity User; entity Doc;
        action "read" appliesTo { principal: User, resource: Doc, context: { "interlock": { "evaluated_at": datetime } } };
        action "burn" appliesTo { principal: User, resource: Doc };"#;
    let policies = r#"
        @id("read") permit (principal, action == Action::"read", resource)
        when { context.interlock.evaluated_at == datetime("2024-05-15T15:00:00Z") };
        @id("burn") permit (principal, action == Action::"burn", resource);"#;
    let engine = engine(policies, Some(schema));
    assert_eq!(denied(&engine, &read("{}", "{}", "{}", "{}")), None);
    assert_eq!(denied(&engine, &read("{}", "{}", "{}", "{}").replace(r#""read""#, r#""burn""#)), None);
    assert_eq!(denied(&engine, &read("{}", r#"{"pages":1}"#, "{}", "{}")), Some(Code::Undeclared));
}

#[test]
fn an_authzen_integer_that_rfc_8785_cannot_keep_denies() {
    let engine = engine(PERMIT, None);
    let facts = authorizer::engine::Facts { authzen: true, ..FACTS };
    for (json, code) in [
        (r#"{"n":9007199254740991,"f":0.5}"#, None),
        (r#"{"n":9007199254740992}"#, Some(Code::NumberRange)),
        (r#"{"deep":[{"n":-9007199254740993}]}"#, Some(Code::NumberRange)),
        (r#"{"n":1e300}"#, Some(Code::NumberRange)),
    ] {
        let verdict = engine.decide(&request(&read("{}", "{}", "{}", json)), &facts);
        assert_eq!(policy(&verdict).code(), code, "{json}");
    }
    assert_eq!(denied(&engine, &read("{}", "{}", "{}", r#"{"n":9007199254740993}"#)), None);
}

#[test]
fn subject_and_resource_that_are_one_entity_have_one_set_of_properties() {
    let policies = r#"@id("p") permit (principal, action, resource) when { principal.a == 1 && resource.b == 2 };"#;
    let same =
        |subject, resource| read(subject, "{}", resource, "{}").replace("Doc", "User").replace(r#""d""#, r#""u""#);
    for engine in [
        engine(policies, None),
        engine(
            policies,
            Some(
                r#"entity User = { "a": Long, "b": Long }; action "read" appliesTo { principal: User, resource: User };"#,
            ),
        ),
    ] {
        assert_eq!(denied(&engine, &same(r#"{"a":1}"#, r#"{"b":2}"#)), None);
        assert_eq!(denied(&engine, &same(r#"{"a":1,"b":2}"#, r#"{"b":2}"#)), None);
        assert_eq!(denied(&engine, &same(r#"{"a":1,"b":3}"#, r#"{"b":2}"#)), Some(Code::ConflictingProperties));
    }
}

fn with_entities(policies: &str, schema: Option<&str>, entities: &str) -> Twin {
    let content = EpochContent { entities: Some(entities.to_owned()), ..content(policies, schema) };
    Twin::of(&Published::new(content).unwrap())
}

#[test]
fn registered_attributes_win_one_by_one() {
    let policies = r#"
        @id("p") permit (principal, action, resource)
        when { principal.level == 7 && principal.home.city == "x" && principal.boss.level == 9 && resource.open };"#;
    let entities = r#"[
        {"uid":{"type":"User","id":"u"},"attrs":{"level":7,"boss":{"__entity":{"type":"User","id":"b"}}},"parents":[]},
        {"uid":{"type":"User","id":"b"},"attrs":{"level":9},"parents":[]},
        {"uid":{"type":"Doc","id":"d"},"attrs":{"open":true},"parents":[]}]"#;
    let json = read(r#"{"level":1,"home":{"city":"x"}}"#, "{}", r#"{"open":false}"#, "{}");
    let validated = policies.replace("when {", "when { principal has level && principal has home && principal has boss && principal.boss has level && resource has open &&");
    assert_eq!(denied(&with_entities(&validated, Some(SCHEMA), entities), &json), None);
    assert_eq!(denied(&with_entities(policies, None, entities), &json), None);
    // The same request without registration: its own properties are all there is.
    assert_eq!(denied(&engine(policies, None), &json), Some(Code::NoMatchingPermit));
}

#[test]
fn registered_groups_and_action_groups_are_seen() {
    let policies = r#"@id("p") permit (principal in Group::"top", action in Action::"reading", resource);"#;
    let entities = r#"[
        {"uid":{"type":"User","id":"u"},"attrs":{},"parents":[{"type":"Group","id":"mid"}]},
        {"uid":{"type":"Group","id":"mid"},"attrs":{},"parents":[{"type":"Group","id":"top"}]},
        {"uid":{"type":"Group","id":"top"},"attrs":{},"parents":[]}]"#;
    let schema = SCHEMA.replace("entity Group;", "entity Group in [Group];");
    let engine = with_entities(policies, Some(&schema), entities);
    assert_eq!(denied(&engine, &read("{}", "{}", "{}", "{}")), None);
    assert_eq!(denied(&engine, &read(r#"{"level":1}"#, "{}", "{}", "{}")), None);
    let stranger = read("{}", "{}", "{}", "{}").replace(r#""u""#, r#""v""#);
    assert_eq!(denied(&engine, &stranger), Some(Code::NoMatchingPermit));
    let plain = read("{}", "{}", "{}", "{}").replace(r#""read""#, r#""plain""#);
    assert_eq!(denied(&engine, &plain), Some(Code::NoMatchingPermit));
}

#[test]
fn a_registered_tag_survives_the_requests_properties() {
    let schema = r#"entity User = { "n"?: Long } tags String; entity Doc; action "read" appliesTo { principal: User, resource: Doc };"#;
    let policies = r#"@id("p") permit (principal, action, resource) when { principal.hasTag("t") && principal.getTag("t") == "v \"q\"" };"#;
    let entities = r#"[{"uid":{"type":"User","id":"u"},"attrs":{},"parents":[],"tags":{"t":"v \"q\""}}]"#;
    let engine = with_entities(policies, Some(schema), entities);
    assert_eq!(denied(&engine, &read(r#"{"n":1}"#, "{}", "{}", "{}")), None);
}

#[test]
fn a_decision_loads_a_bounded_number_of_entities() {
    let chain: Vec<String> = (0..300)
        .map(|i| {
            let next = i + 1;
            format!(r#"{{"uid":{{"type":"User","id":"{i}"}},"attrs":{{"boss":{{"__entity":{{"type":"User","id":"{next}"}}}}}},"parents":[]}}"#)
        })
        .collect();
    let engine = with_entities(PERMIT, None, &format!("[{}]", chain.join(",")));
    let from = |id: &str| read("{}", "{}", "{}", "{}").replace(r#""u""#, &format!("{id:?}"));
    assert_eq!(denied(&engine, &from("0")), Some(Code::TooManyEntities));
    assert_eq!(denied(&engine, &from("250")), None);
}

#[test]
fn entity_escapes_cannot_be_smuggled() {
    let escape = r#"{"x":{"__entity":{"type":"Group","id":"top"}}}"#;
    for json in [read(escape, "{}", "{}", "{}"), read("{}", escape, "{}", "{}"), read("{}", "{}", "{}", escape)] {
        assert!(matches!(Request::parse(json.as_bytes()), Err(RequestError::ReservedName(_))), "{json}");
    }
    // What only looks like a reference stays a record.
    let policies = r#"@id("p") permit (principal, action, resource) when { principal.x is Group };"#;
    let record = r#"{"x":{"type":"Group","id":"top"}}"#;
    let verdict = engine(policies, None).decide(&request(&read(record, "{}", "{}", "{}")), &FACTS);
    assert_eq!(policy(&verdict), Standing::Fail(Code::NoMatchingPermit));
    assert_eq!(verdict.errors, ["p"]);
}

#[test]
fn both_engines_know_the_same_targets_of_a_switch() {
    let subject = |kind: &str, id: &str| Target::Subject(kind.to_owned(), id.to_owned());
    for (target, under_a_schema, without) in [
        (Target::Policy("all".into()), Some(true), Some(true)),
        (Target::Policy("al".into()), Some(false), Some(false)),
        (Target::Action("read".into()), Some(true), None),
        (Target::Action("burn".into()), Some(false), None),
        (subject("User", "anybody"), Some(true), None),
        (subject("Color", "red"), Some(true), None),
        (subject("Color", "blue"), Some(false), None),
        (subject("Ghost", "g"), Some(false), None),
        (Target::Global, None, None),
    ] {
        assert_eq!(engine(PERMIT, Some(SCHEMA)).knows(&target), under_a_schema, "{target:?}");
        assert_eq!(engine(PERMIT, None).knows(&target), without, "{target:?}");
    }
}
