//! What only a certain value shows: each of these found a planted bug that random and exhaustive testing had let live.

use serde_json::{Map, Value, json};
use verifier::request::Request;

use super::{Both, FACTS};

fn strings<const N: usize>(conditions: [&str; N]) -> [String; N] {
    conditions.map(str::to_owned)
}

/// Sets stand in order, kinds one behind the other: what is no entity must be seen on either side of those that are.
#[test]
fn every_element_of_what_something_is_in_must_be_an_entity() {
    let both = Both::permits(&strings([
        r#"principal in [User::"u"]"#,
        r#"principal in [User::"u", 1]"#,
        r#"principal in [User::"u", []]"#,
        r#"principal in [User::"u", {}]"#,
        r#"principal in [User::"u", context.more]"#,
        "principal in context.all",
    ]));
    for more in [json!(1), json!("x"), json!([]), json!({"a": 1})] {
        let answer = both.context(&json!({"more": more, "all": []}));
        assert_eq!((answer.policies.len(), answer.errors.len()), (1, 4));
    }
}

#[test]
fn equal_texts_of_a_request_are_one_element_wherever_they_stand() {
    let both = Both::permits(&strings([
        r#"context.a == ["unknown to the policies of others"]"#,
        "context.a == context.b",
        "context.b == [context.c]",
        "[context.c, context.d] == context.b",
        "[context.a, context.b] == [context.b]",
        "context.e == {a: context.b}",
    ]));
    let text = "unknown to the policies of others";
    for (text, satisfied) in [(text, 6), ("known to nobody", 5)] {
        let context = json!({"a": [text, text, text], "b": [text], "c": text, "d": text, "e": {"a": [text, text]}});
        assert_eq!(both.context(&context).policies.len(), satisfied);
    }
}

/// So many that their order after sorting does not tell which came first.
#[test]
fn of_many_registered_attributes_none_is_what_the_request_says() {
    let names: Vec<String> = (0..40).map(|n| format!("a{n:02}")).collect();
    let every = |value: i64| -> Map<String, Value> { names.iter().map(|name| (name.clone(), json!(value))).collect() };
    let entities = json!([{"uid": {"type": "User", "id": "u"}, "attrs": every(1), "parents": []}]).to_string();
    let texts: Vec<(String, String)> = names
        .iter()
        .flat_map(|name| {
            ["principal", "context.who"].map(|who| {
                let text = format!("permit (principal, action, resource) when {{ {who}.{name} == 1 }};");
                (format!("{who} {name}"), text)
            })
        })
        .collect();
    let both = Both::new(texts.iter().map(|(id, text)| (id.as_str(), text.as_str())), None, &entities);
    let mut said = every(2);
    said.insert("more".to_owned(), json!(3));
    let request = json!({"subject": {"type": "User", "id": "u", "properties": said}, "action": {"name": "read"},
        "resource": {"type": "Doc", "id": "d"}});
    let answer = both.asked(&Request::parse(request.to_string().as_bytes()).unwrap(), &FACTS);
    assert_eq!(answer.policies.len(), names.len());
}

/// One entity in both places must be one thing in both.
#[test]
fn an_entity_that_is_subject_and_resource_has_one_value_for_each_property() {
    let both = Both::permits(&strings(["principal.x == 1", "resource.x == 1", "principal.y == resource.y"]));
    let (mut answered, mut refused) = (0, 0);
    for (subject, resource) in [
        (json!({"x": 1}), json!({"x": 1})),
        (json!({"x": 1}), json!({"x": 2})),
        (json!({"x": 2}), json!({"x": 1})),
        (json!({"x": 1}), json!({"y": [1]})),
        (json!({"x": [1, 2]}), json!({"x": [2, 1]})),
        (json!({"x": {"a": 1}}), json!({"x": {"a": "1"}})),
    ] {
        let request = json!({"subject": {"type": "User", "id": "u", "properties": subject}, "action": {"name": "read"},
            "resource": {"type": "User", "id": "u", "properties": resource}});
        let answer = both.asked(&Request::parse(request.to_string().as_bytes()).unwrap(), &FACTS);
        let asked = !answer.policies.is_empty() || !answer.errors.is_empty();
        answered += usize::from(asked);
        refused += usize::from(!asked);
    }
    assert!(answered > 1 && refused > 2, "{answered} answered, {refused} refused");
}

/// A double has a decimal's value if its shortest text has it, and fifteen digits are what every double keeps.
#[test]
fn doubles_are_decimals_exactly_where_plain_cedar_takes_them() {
    let both = Both::permits(&strings(["context.a == context.a", r#"context.a == decimal("0.5")"#]));
    let (mut taken, mut refused) = (0, 0);
    for text in [
        "0.5",
        "-0.5",
        "0.0",
        "-0.0",
        "1.0",
        "1.2345",
        "1.23456",
        "12345678901.2345",
        "99999999999.9999",
        "123456789012.3456",
        "123456789012345.6",
        "123456789012345.0",
        "999999999999999.0",
        "922337203685477.0",
        "922337203685477.6",
        "92233720368547.75",
        "92233720368547.7575",
        "9007199254740993.0",
        "1e15",
        "1e16",
        "1e-4",
        "1e-5",
        "1e300",
        "0.1e1",
    ] {
        let request = format!(
            r#"{{"subject":{{"type":"User","id":"u"}},"action":{{"name":"read"}},"resource":{{"type":"Doc","id":"d"}},"context":{{"a":{text}}}}}"#
        );
        let Ok(request) = Request::parse(request.as_bytes()) else { continue };
        let answered = !both.asked(&request, &FACTS).policies.is_empty();
        taken += usize::from(answered);
        refused += usize::from(!answered);
    }
    assert!(taken > 5 && refused > 5, "{taken} taken, {refused} refused");
}
