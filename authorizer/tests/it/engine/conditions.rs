//! The other conditions that are evaluated here, and what is recorded of those that are not.

use authorizer::engine::{ALWAYS, Code, DEFAULT_MAX_TTL_MS, Facts, Published, RealmMode, Standing};
use verifier::decision::{Class, Condition};
use verifier::epoch::EpochContent;

use super::{FACTS, NOW, Twin, content, engine, read, request};

const PERMIT: &str = r#"@id("all") permit (principal, action, resource);"#;

fn with(field: &str) -> String {
    read("{}", "{}", "{}", "{}").replacen('{', &format!("{{{field},"), 1)
}

fn trusting(trust: &str) -> Published {
    Published::new(EpochContent { trust: Some(trust.to_owned()), ..content(PERMIT, None) }).unwrap()
}

#[test]
fn all_nine_conditions_are_told() {
    let verdict = engine(PERMIT, None).decide(&request(&read("{}", "{}", "{}", "{}")), &FACTS);
    assert!(verdict.stands());
    for (condition, class) in verdict.classes().iter() {
        let expected = match condition {
            Condition::Policy | Condition::Identity | Condition::Runtime | Condition::Permissions => Class::Pass,
            Condition::Trust
            | Condition::Scopes
            | Condition::Operational
            | Condition::Environment
            | Condition::Attestation => Class::NotRequired,
        };
        assert_eq!(class, expected, "{}", condition.name());
    }
    assert_eq!((verdict.ttl_ms, verdict.uses, verdict.valid_until_ms), (60_000, 1, u64::MAX));
}

#[test]
fn no_permit_is_hollow() {
    // What always holds cannot be switched off: not by an empty list, not by leaving the action out.
    for trust in ["", "[actions.read]\nrequire = []\n", "[actions.write]\nrequire = [\"runtime\"]\n"] {
        let verdict = Twin::of(&trusting(trust)).decide(&request(&read("{}", "{}", "{}", "{}")), &FACTS);
        assert!(verdict.stands());
        for condition in ALWAYS {
            assert_eq!(verdict.standing(condition), Standing::Pass, "{} under {trust:?}", condition.name());
        }
    }
}

#[test]
fn conditions_are_told_even_when_an_early_one_fails() {
    let json = with(&format!(r#""ttl_ms":{},"deadline":"2024-05-15T15:00:00Z""#, DEFAULT_MAX_TTL_MS + 1));
    let verdict = engine(r#"@id("no") forbid (principal, action, resource);"#, None).decide(&request(&json), &FACTS);
    let codes: Vec<_> = verdict.codes().collect();
    let expected = [
        (Condition::Policy, Code::Forbidden),
        (Condition::Runtime, Code::Deadline),
        (Condition::Permissions, Code::TtlExceeded),
    ];
    assert_eq!(codes, expected);
}

#[test]
fn a_deadline_that_has_passed_denies() {
    let engine = engine(PERMIT, None);
    let open = engine.decide(&request(&with(r#""deadline":"2024-05-15T15:00:00.001Z""#)), &FACTS);
    assert!(open.stands());
    assert_eq!(open.valid_until_ms, NOW + 1);
    let over = engine.decide(&request(&with(r#""deadline":"2024-05-15T15:00:00Z""#)), &FACTS);
    assert_eq!(over.standing(Condition::Runtime), Standing::Fail(Code::Deadline));
}

#[test]
fn a_permit_lives_no_longer_and_serves_no_more_often_than_the_epoch_allows() {
    let engine = Twin::of(&trusting("[limits]\nmax_ttl_ms = 30_000\nmax_uses = 3\n"));
    let permissions = |field| engine.decide(&request(&with(field)), &FACTS).standing(Condition::Permissions);
    assert_eq!(permissions(r#""ttl_ms":30000,"uses":3"#), Standing::Pass);
    assert_eq!(permissions(r#""ttl_ms":30001"#), Standing::Fail(Code::TtlExceeded));
    assert_eq!(permissions(r#""uses":4"#), Standing::Fail(Code::UsesExceeded));
    // The lifetime that is taken when none is asked for gives way to the epoch's.
    assert_eq!(engine.decide(&request(&read("{}", "{}", "{}", "{}")), &FACTS).ttl_ms, 30_000);
}

#[test]
fn a_realm_that_the_epoch_does_not_list_is_denied_and_not_disclosed() {
    let published = trusting("[realms]\nmain = \"public\"\nclinic = \"committed\"\n");
    let engine = published.replica().unwrap();
    let decide = |realm| engine.decide(&request(&read("{}", "{}", "{}", "{}")), &Facts { realm, ..FACTS });
    assert!(decide("main").stands() && decide("clinic").stands());
    assert_eq!(decide("clinic").mode, RealmMode::Committed);
    assert_eq!(decide("moon").standing(Condition::Runtime), Standing::Fail(Code::UnknownRealm));
    assert_eq!((decide("moon").mode, published.realm_mode("moon")), (RealmMode::Committed, RealmMode::Committed));
}

#[test]
fn the_sequencer_can_take_a_pass_away_and_never_give_one() {
    let mut verdict = engine(PERMIT, None).decide(&request(&read("{}", "{}", "{}", "{}")), &FACTS);
    verdict.fail(Code::Deadline);
    verdict.unknown(Code::UnknownRealm);
    assert!(!verdict.stands());
    assert_eq!(verdict.standing(Condition::Runtime), Standing::Fail(Code::Deadline));
}
