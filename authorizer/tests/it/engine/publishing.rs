//! What is refused at publishing, and where it says the fault is.

use authorizer::engine::{FindingCode, Part, Position, Published, split_policies};
use verifier::epoch::EpochContent;

use super::content;

const SCHEMA: &str =
    r#"entity User = { "n"?: Long }; entity Doc; action "read" appliesTo { principal: User, resource: Doc };"#;

fn codes(content: EpochContent) -> Vec<FindingCode> {
    Published::new(content).err().into_iter().flat_map(|error| error.findings).map(|finding| finding.code).collect()
}

fn one(id: &str, text: &str) -> EpochContent {
    EpochContent { policies: vec![(id.to_owned(), text.to_owned())], ..EpochContent::default() }
}

#[test]
fn a_policy_that_does_not_parse_is_refused_with_its_position() {
    let error = Published::new(one("a", "@id(\"a\")\npermit (principal, action, ressource);")).unwrap_err();
    let finding = &error.findings[0];
    assert_eq!((finding.code, &finding.part), (FindingCode::PolicySyntax, &Part::Policy("a".into())));
    assert_eq!(finding.at, Some(Position { line: 2, column: 28 }));
    let file = "@id(\"a\") permit (principal, action, resource);\n\n@id(\"b\") forbid (principal action, resource);";
    let error = split_policies(file).unwrap_err();
    assert_eq!(error.findings[0].at, Some(Position { line: 3, column: 28 }));
}

#[test]
fn a_policys_id_is_its_annotation_and_its_own() {
    let text = r#"permit (principal, action, resource);"#;
    assert_eq!(codes(one("a", text)), [FindingCode::PolicyId]);
    assert_eq!(codes(one("a", &format!("@id(\"b\") {text}"))), [FindingCode::PolicyId]);
    assert_eq!(codes(one("a", &format!("@id(\"a\") {text}"))), []);
    let long = "a".repeat(256);
    assert_eq!(codes(one(&long, &format!("@id(\"{long}\") {text}"))), [FindingCode::PolicyId]);
    let twice = vec![("a".to_owned(), format!("@id(\"a\") {text}")); 2];
    assert_eq!(codes(EpochContent { policies: twice, ..EpochContent::default() }), [FindingCode::DuplicatePolicyId]);

    let error = split_policies(&format!("{text}\n  @id(\"x\") {text}\n@id(\"x\") {text}")).unwrap_err();
    let found: Vec<_> = error.findings.iter().map(|finding| (finding.code, finding.at.unwrap().line)).collect();
    assert_eq!(found, [(FindingCode::PolicyId, 1), (FindingCode::DuplicatePolicyId, 3)]);
}

#[test]
fn a_file_of_policies_is_split_by_id_with_each_text_kept() {
    let file = "// first\n@id(\"b\")\npermit (principal, action, resource)\nwhen { true // yes\n};\n// second\n@id(\"a\") forbid (principal, action, resource);";
    let policies = split_policies(file).unwrap();
    assert_eq!(policies[0], ("a".to_owned(), "@id(\"a\") forbid (principal, action, resource);".to_owned()));
    assert_eq!(policies[1].0, "b");
    assert!(policies[1].1.contains("// yes"));
}

#[test]
fn a_policy_that_does_not_hold_under_the_schema_is_refused() {
    for text in [
        r#"@id("p") permit (principal, action, resource) when { principal.n > 1 };"#,
        r#"@id("p") permit (principal, action, resource) when { principal.m > 1 };"#,
        r#"@id("p") permit (principal is Ghost, action, resource);"#,
        r#"@id("p") permit (principal, action == Action::"burn", resource);"#,
        r#"@id("p") permit (principal, action, resource) when { principal has n && principal.n == "x" };"#,
    ] {
        let error = Published::new(EpochContent { schema: Some(SCHEMA.into()), ..one("p", text) }).unwrap_err();
        assert!(error.findings.iter().all(|finding| finding.code == FindingCode::PolicyInvalid), "{error}");
        assert!(error.findings.iter().all(|finding| finding.at.is_some()), "{error}");
    }
    let never = r#"@id("p") permit (principal is Doc, action, resource);"#;
    let published = Published::new(EpochContent { schema: Some(SCHEMA.into()), ..one("p", never) }).unwrap();
    assert!(!published.warnings().is_empty());
}

#[test]
fn a_schema_must_be_one_and_leave_the_reserved_names_fillable() {
    let under = |schema: &str| codes(EpochContent { schema: Some(schema.to_owned()), ..EpochContent::default() });
    let reads =
        |context| format!("{SCHEMA} action \"w\" appliesTo {{ principal: User, resource: Doc, context: {context} }};");
    let broken = EpochContent { schema: Some("entity User = {\n a: Strin };".into()), ..EpochContent::default() };
    assert_eq!(Published::new(broken).unwrap_err().findings[0].at, Some(Position { line: 2, column: 5 }));
    assert_eq!(under("entity User = {"), [FindingCode::SchemaInvalid]);
    assert_eq!(under("entity User = { a: Ghost };"), [FindingCode::SchemaInvalid]);
    assert_eq!(under(&reads("{ \"action\": String }")), [FindingCode::ReservedContext]);
    assert_eq!(under(&reads("{ \"interlock\": { \"spent\": Long } }")), [FindingCode::ReservedContext]);
    assert_eq!(under(&reads("{ \"interlock\": { \"realm\": Long } }")), [FindingCode::ReservedContext]);
    assert_eq!(under(&reads("{ \"interlock\": { \"realm\": String, \"key\"?: String } }")), []);
    assert_eq!(
        under("namespace N { entity U; action \"a\" appliesTo { principal: U, resource: U }; }"),
        [FindingCode::ActionInNamespace]
    );
}

#[test]
fn types_are_resolved_as_cedar_resolves_them() {
    let schema = r#"
        type Money = { "value": decimal, "at": N::When };
        namespace N { type When = datetime; entity Shop = { "till"?: Money }; entity Doc; }
        entity decimal;
        action "read" appliesTo { principal: N::Shop, resource: N::Doc, context: { "x"?: __cedar::decimal, "w"?: N::When } };"#;
    // `decimal` is an entity type here, so `Money.value` is an entity.
    let content =
        EpochContent { schema: Some(schema.into()), ..one("p", r#"@id("p") permit (principal, action, resource);"#) };
    let engine = super::Twin::of(&Published::new(content).unwrap());
    let json = |till: &str, context: &str| {
        format!(
            r#"{{"subject":{{"type":"N::Shop","id":"s","properties":{{"till":{till}}}}},"action":{{"name":"read"}},
            "resource":{{"type":"N::Doc","id":"d"}},"context":{context}}}"#
        )
    };
    let good = r#"{"value":{"type":"decimal","id":"1"},"at":"2024-01-01"}"#;
    assert_eq!(super::denied(&engine, &json(good, r#"{"x":"1.5","w":"2024-01-01T00:00:00Z"}"#)), None);
    assert!(super::denied(&engine, &json(r#"{"value":"1.5","at":"2024-01-01"}"#, "{}")).is_some());
}

#[test]
fn registered_entities_must_hold_under_the_schema() {
    let with = |entities: &str| {
        codes(EpochContent { schema: Some(SCHEMA.into()), entities: Some(entities.into()), ..EpochContent::default() })
    };
    assert_eq!(with(r#"[{"uid":{"type":"User","id":"u"},"attrs":{"n":1},"parents":[]}]"#), []);
    assert_eq!(
        with(r#"[{"uid":{"type":"User","id":"u"},"attrs":{"n":"1"},"parents":[]}]"#),
        [FindingCode::EntitiesInvalid]
    );
    assert_eq!(with(r#"[{"uid":{"type":"Ghost","id":"u"},"attrs":{},"parents":[]}]"#), [FindingCode::EntitiesInvalid]);
    assert_eq!(with("[{"), [FindingCode::EntitiesInvalid]);
}

#[test]
fn trust_is_refused_when_it_asks_for_what_is_not_there() {
    let trusting = |trust: &str| {
        codes(EpochContent { schema: Some(SCHEMA.into()), trust: Some(trust.into()), ..EpochContent::default() })
    };
    assert_eq!(trusting("[actions.read]\nrequire = [\"policy\"]\n"), []);
    assert_eq!(trusting("[actions.read]\nrequire = [\"attestation\"]\n"), [FindingCode::TrustImpossible]);
    assert_eq!(trusting("[actions.burn]\nrequire = [\"policy\"]\n"), [FindingCode::UnknownAction]);
    assert_eq!(trusting("[issuer]\n"), [FindingCode::TrustInvalid]);
}

#[test]
fn a_budget_over_what_the_schema_has_not_as_an_integer_is_refused() {
    const SCHEMA: &str = r#"
        entity User { paid: Long };
        entity Doc { size: Long, name: String };
        action pay appliesTo { principal: User, resource: Doc,
            context: { cents: Long, note: String, action: { fee: Long } } };
    "#;
    for (amount, expected) in [
        ("context.cents", &[][..]),
        ("subject.paid", &[]),
        ("resource.size", &[]),
        ("action.fee", &[]),
        ("context.note", &[FindingCode::TrustImpossible]),
        ("context.cent", &[FindingCode::TrustImpossible]),
        ("resource.name", &[FindingCode::TrustImpossible]),
        ("subject.size", &[FindingCode::TrustImpossible]),
        ("action.cents", &[FindingCode::TrustImpossible]),
    ] {
        let trust = format!(
            "[[budgets]]\nname = \"b\"\nsubjects = [\"User\"]\nactions = [\"pay\"]\namount = \"{amount}\"\ncap = 9\nwindow_ms = 60_000\n"
        );
        let content = EpochContent { schema: Some(SCHEMA.into()), trust: Some(trust), ..EpochContent::default() };
        assert_eq!(codes(content), expected, "{amount}");
    }
    let trust = "[[grants]]\nsubjects = [\"Ghost\"]\nscopes = [\"a\"]\n";
    let content = EpochContent { schema: Some(SCHEMA.into()), trust: Some(trust.into()), ..EpochContent::default() };
    assert_eq!(codes(content), [FindingCode::UnknownType]);
}

#[test]
fn everything_that_is_wrong_is_told_at_once() {
    let content = EpochContent {
        schema: Some(SCHEMA.into()),
        entities: Some("[".into()),
        trust: Some("[limits]\nmax_uses = 0\n".into()),
        ..content(r#"@id("p") permit (principal is Ghost, action, resource);"#, None)
    };
    assert_eq!(codes(content), [FindingCode::TrustInvalid, FindingCode::PolicyInvalid, FindingCode::EntitiesInvalid]);
}

#[test]
fn an_epoch_says_how_it_is_decided_and_replay_decides_by_plain_cedar_all_the_same() {
    let policy = r#"@id("p") permit (principal, action, resource) when { principal.n > 1 };"#;
    let content = |trust: &str| EpochContent { trust: Some(trust.to_owned()), ..super::content(policy, None) };
    for (trust, compiled) in [
        ("[engine]\nkind = \"cedar\"\n", false),
        ("[engine]\nkind = \"compiled\"\n", true),
        ("", false),
        ("[engine]\n", false),
    ] {
        let published = Published::new(content(trust)).unwrap();
        assert_eq!(published.is_compiled(), compiled, "{trust}");
        let plain = Published::plain(content(trust)).unwrap();
        for n in 0..4 {
            let request = super::request(&super::read(&format!("{{\"n\":{n}}}"), "{}", "{}", "{}"));
            let verdict = published.replica().unwrap().decide(&request, &super::FACTS);
            assert_eq!(verdict.stands(), n > 1);
            assert_eq!(verdict, plain.replica().unwrap().decide(&request, &super::FACTS));
        }
    }
    for wrong in [
        "[engine]\ncheck_every = 0",
        "[engine]\nkind = \"fast\"",
        "[engine]\nkind = \"cedar\"\nmore = 1",
        "[engine]\ncheck_every = 65537",
        "engine = \"compiled\"",
    ] {
        assert_eq!(codes(content(wrong)), [FindingCode::TrustInvalid], "{wrong}");
    }
}
