//! Texts of any depth: refused with their place, or published and evaluated on half of the stack that a worker has.

use std::fmt::Write;

use authorizer::engine::{
    FindingCode, MAX_ANCESTRY, MAX_NESTING, MAX_OPERATORS, MAX_SCHEMA_LINKS, Part, Position, Published, split_policies,
};
use verifier::epoch::EpochContent;

use super::{FACTS, Twin, policy, read, request};

/// Half the stack of a worker; replay evaluates on no smaller one.
const HALF_A_WORKERS_STACK: usize = 1 << 20;

fn policies(condition: &str) -> EpochContent {
    let text = format!("@id(\"p\") permit (principal, action, resource) when {{ {condition} }};");
    let me = r#"[{"uid":{"type":"User","id":"u"},"attrs":{"me":{"__entity":{"type":"User","id":"u"}}},"parents":[]}]"#;
    EpochContent { policies: vec![("p".to_owned(), text)], entities: Some(me.to_owned()), ..EpochContent::default() }
}

fn codes(content: EpochContent) -> Vec<FindingCode> {
    Published::new(content).err().into_iter().flat_map(|error| error.findings).map(|finding| finding.code).collect()
}

/// Every way in which a condition nests, `n` deep; each is true. No operand is a literal, which Cedar would fold away.
fn shapes(n: usize) -> [(&'static str, String); 10] {
    let repeat = |what: &str| what.repeat(n);
    let half = ".me".repeat(n / 2);
    [
        ("brackets", format!("{}true{}", repeat("("), repeat(")"))),
        ("sets", format!("{}1{} != 1", repeat("["), repeat("]"))),
        ("records", format!("{}1{} != 1", repeat("{a: "), repeat("}"))),
        ("calls", format!("{}true{}", repeat("[true].contains("), repeat(")"))),
        ("or", format!("{}principal == principal", repeat("principal == resource || "))),
        ("and", format!("principal == principal{}", repeat(" && principal == principal"))),
        ("sum", format!("1{} > 0", repeat(" + 1"))),
        ("access", format!("principal{half} == principal")),
        ("has", format!("principal has me{half}")),
        ("if", format!("{}true{}", repeat("if principal == principal then "), repeat(" else false"))),
    ]
}

/// 200 brackets, 458 bytes, ended a running server; 16,000 operators ended the command.
#[test]
fn a_policy_that_is_too_deep_is_refused_with_its_place() {
    for n in [MAX_OPERATORS, 1_000, 16_000, 100_000] {
        for (name, condition) in shapes(n) {
            let content = policies(&condition);
            let finding = split_policies(&content.policies[0].1).unwrap_err().findings.remove(0);
            assert_eq!((finding.code, finding.part), (FindingCode::TooDeep, Part::Policies), "{n} {name}");
            assert!(finding.at.is_some());
            assert_eq!(codes(content), [FindingCode::TooDeep], "{n} {name}");
        }
    }
    let error = split_policies(&format!("permit (\nprincipal, {}", "[".repeat(200))).unwrap_err();
    assert_eq!(error.findings[0].at, Some(Position { line: 2, column: 12 + MAX_NESTING - 1 }));
    // What Cedar would skip hides nothing; what is no bracket counts for none.
    let hidden = format!("\" \\\" // \" == \"\" || // ) \r {}", "(".repeat(200));
    assert_eq!(codes(policies(&hidden)), [FindingCode::TooDeep]);
    let shown = format!("\"{0}\" == \"{0}\" // {0}\n", "(&&".repeat(1_000));
    assert_eq!(codes(policies(&shown)), []);
}

#[test]
fn long_lists_are_not_deep() {
    let set = format!("[{}].contains(1)", "1, ".repeat(20_000));
    let alternatives = (0..MAX_OPERATORS / 2).map(|n| format!("context.a.b == {n} && principal.c.d like \"*\" || "));
    let many: String = alternatives.collect();
    for condition in [set, format!("{many}true")] {
        assert_eq!(codes(policies(&condition)), []);
    }
    let file: String = (0..2_000).fold(String::new(), |mut file, n| {
        write!(file, "@id(\"{n}\") permit (principal, action, resource) when {{ 1 < 2 && 2 < 3 }};").unwrap();
        file
    });
    assert_eq!(split_policies(&file).unwrap().len(), 2_000);
}

/// The deepest policies that are published: parsed, evaluated and dropped on half a stack, in whatever build this test runs.
#[test]
fn the_deepest_policies_decide_on_half_a_workers_stack() {
    let around = |inner: &str| {
        // Brackets to the limit, and in the innermost of them operators to the limit.
        format!("{}{inner}{}", "(".repeat(MAX_NESTING - 2), ")".repeat(MAX_NESTING - 2))
    };
    let operators = shapes(MAX_OPERATORS - 8).into_iter().skip(4).map(|(name, condition)| (name, around(&condition)));
    let brackets = shapes(MAX_NESTING - 1).into_iter().take(3);
    let calls = shapes(MAX_NESTING - 3).into_iter().filter(|(name, _)| *name == "calls");
    for (name, condition) in operators.chain(brackets).chain(calls) {
        let published = Published::new(policies(&condition)).unwrap_or_else(|error| panic!("{name}: {error}"));
        let engine = Twin::of(&published);
        let worker = std::thread::Builder::new().stack_size(HALF_A_WORKERS_STACK);
        let worker = worker.spawn(move || {
            let verdict = engine.decide(&request(&read("{}", "{}", "{}", "{}")), &FACTS);
            policy(&verdict).code()
        });
        assert_eq!(worker.unwrap().join().unwrap(), None, "{name}");
    }
}

#[test]
fn a_schema_or_entities_that_are_too_deep_are_refused() {
    let schema = |text: String| codes(EpochContent { schema: Some(text), ..EpochContent::default() });
    for n in [200, 100_000] {
        for (open, close) in [("Set<", ">"), ("{a: ", "}")] {
            let text = format!("entity E {{ a: {}Long{} }};", open.repeat(n), close.repeat(n));
            assert_eq!(schema(text), [FindingCode::TooDeep]);
        }
    }
    let chain = |n: usize| (1..n).fold("entity E0;".to_owned(), |text, n| format!("{text}entity E{n} in E{};", n - 1));
    assert_eq!(schema(chain(MAX_SCHEMA_LINKS + 2)), [FindingCode::TooDeep]);
    let types = |n: usize| {
        let first = "entity E { a: T0 }; type T0 = Long;".to_owned();
        (1..n).fold(first, |text, n| format!("{text}type T{n} = Set<T{}>;", n - 1))
    };
    assert_eq!(schema(types(MAX_SCHEMA_LINKS + 1)), [FindingCode::TooDeep]);
    // As many as may be, each behind the other.
    assert_eq!(schema(chain(MAX_SCHEMA_LINKS)), []);
    assert_eq!(schema(types(MAX_SCHEMA_LINKS)), []);

    let entities = |text: String| codes(EpochContent { entities: Some(text), ..EpochContent::default() });
    let value = |n: usize| {
        format!(
            "[{{\"uid\":{{\"type\":\"E\",\"id\":\"e\"}},\"attrs\":{{\"a\":{}1{}}},\"parents\":[]}}]",
            "[".repeat(n),
            "]".repeat(n)
        )
    };
    assert_eq!(entities(value(MAX_NESTING - 3)), []);
    assert_eq!(entities(value(MAX_NESTING - 2)), [FindingCode::TooDeep]);
    let line = |n: usize, end: &str| {
        let one = |n: usize, parent: String| {
            format!(
                "{{\"uid\":{{\"__entity\":{{\"type\":\"E\",\"id\":\"{n}\"}}}},\"attrs\":{{}},\"parents\":[{parent}]}}"
            )
        };
        let rest = (1..=n).map(|n| one(n, format!("{{\"type\":\"E\",\"id\":\"{}\"}}", n - 1)));
        let all: Vec<_> = std::iter::once(one(0, end.to_owned())).chain(rest).collect();
        format!("[{}]", all.join(","))
    };
    assert_eq!(entities(line(MAX_ANCESTRY, "")), []);
    assert_eq!(entities(line(MAX_ANCESTRY, "{\"type\":\"Not\",\"id\":\"registered\"}")), []);
    for n in [MAX_ANCESTRY + 1, 100_000] {
        assert_eq!(entities(line(n, "")), [FindingCode::TooDeep]);
    }
    assert_eq!(entities(line(50_000, "{\"type\":\"E\",\"id\":\"50000\"}")), [FindingCode::EntitiesInvalid]);
}
