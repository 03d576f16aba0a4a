//! Acts of administrators: signed, in order, in force from their record on.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;

use serde_json::json;
use verifier::act::{Act, Deed, Power, Target};
use verifier::decision::Outcome;
use verifier::record::Record;

use crate::support::{ORIGIN, POLICIES, Site, bearer, call, erase, read};

#[test]
fn a_kill_switch_denies_what_it_names_until_it_is_released() {
    let mut site = Site::new();
    let cases = ["global", "realm main", "subject Agent::\"alice\"", "action read", "policy reads"];
    let mut version = 1;
    for target in cases {
        assert_eq!(site.switch(version, target, Power::Halt).status, 200, "{target}");
        let denied = site.decide(&read("1"));
        assert_eq!(
            (&denied["decision"], &denied["conditions"]["runtime"]),
            (&json!(false), &json!("fail:halted")),
            "{target}"
        );
        site.verify(&denied);
        site.restart();
        assert_eq!(site.decide(&read("1"))["decision"], false, "{target} after a restart");
        assert_eq!(site.switch(version + 1, target, Power::Run).status, 200);
        assert_eq!(site.decide(&read("1"))["decision"], true, "{target}");
        version += 2;
    }
    for target in ["realm other", "subject Agent::\"bob\"", "action write", "policy writes"] {
        assert_eq!(site.switch(version, target, Power::Halt).status, 200, "{target}");
        assert_eq!(site.decide(&read("1"))["decision"], true, "{target}");
        version += 1;
    }
}

#[test]
fn a_switch_that_names_nothing_the_epoch_knows_is_thrown_with_a_warning() {
    let site = Site::new();
    let warned = |version, target: &str| {
        let answer = site.switch(version, target, Power::Halt);
        assert_eq!(answer.status, 200, "{target}");
        answer.json()["warnings"].as_array().unwrap().len()
    };
    // Without a schema the epoch does not say which actions and subjects there are.
    for (version, (target, warnings)) in (1..).zip([
        ("global", 0),
        ("policy reads", 0),
        ("policy raeds", 1),
        ("realm main", 0),
        ("realm mian", 1),
        ("action raed", 0),
        ("subject Agnet::\"alice\"", 0),
    ]) {
        assert_eq!(warned(version, target), warnings, "{target}");
    }
    let content = verifier::epoch::EpochContent {
        policies: vec![("all".into(), "@id(\"all\") permit(principal, action, resource);".into())],
        schema: Some(
            "entity Agent; entity Record; action read appliesTo { principal: Agent, resource: Record };".into(),
        ),
        trust: Some("[realms]\nmain = \"public\"\nlab = \"public\"\n".into()),
        ..Default::default()
    };
    let deed = Deed::Epoch { number: 2, content: content.digest(), mode: verifier::act::Mode::Live };
    let note = site.sign(&Act { origin: ORIGIN.into(), follows: 8, deed });
    let policies = json!([{ "id": "all", "text": content.policies[0].1 }]);
    let body = json!({ "policies": policies, "schema": content.schema, "trust": content.trust, "note": note });
    assert_eq!(site.admin("POST", "/v1/epochs", "application/json", body.to_string().as_bytes()).status, 200);
    for (version, (target, warnings)) in (9..).zip([
        ("action read", 0),
        ("action raed", 1),
        ("subject Agent::\"anyone\"", 0),
        ("subject Agnet::\"alice\"", 1),
        ("realm lab", 0),
        ("realm other", 1),
        ("policy reads", 1),
    ]) {
        assert_eq!(warned(version, target), warnings, "{target}");
    }
}

#[test]
fn an_act_is_refused_unless_it_is_signed_for_this_log_at_this_version() {
    let site = Site::new();
    let size = site.size();
    let act = |origin: &str, follows| Act {
        origin: origin.into(),
        follows,
        deed: Deed::Switch { target: Target::Global, power: Power::Halt, reason: "x".into() },
    };
    let send = |note: &str| site.admin("POST", "/v1/switches", "text/plain", note.as_bytes());
    let stranger = ledger::Signer::generate(&Act::key_name(ORIGIN)).unwrap();
    let signed = site.sign(&act(ORIGIN, 1));
    let altered = signed.replace("\nhalt\n", "\nrun\n");
    assert_eq!(send(&stranger.sign_note(&act(ORIGIN, 1).text())).code(), "invalid_signature");
    assert_eq!(send(&altered).code(), "invalid_signature");
    assert_eq!(send("nonsense").code(), "invalid_signature");
    assert_eq!(send(&site.sign(&act("other.example/log", 1))).code(), "wrong_origin");
    for follows in [0, 2] {
        let answer = send(&site.sign(&act(ORIGIN, follows)));
        assert_eq!((answer.status, answer.code().as_str()), (409, "governance_conflict"));
        assert_eq!(answer.json()["governance"], 1);
    }
    let epoch = site.sign(&Act {
        origin: ORIGIN.into(),
        follows: 1,
        deed: Deed::Epoch { number: 2, content: verifier::epoch::digest(b""), mode: verifier::act::Mode::Live },
    });
    assert_eq!(send(&epoch).code(), "invalid_act");
    assert_eq!(site.size(), size);
    assert_eq!(send(&signed).status, 200);
    assert_eq!(send(&signed).code(), "governance_conflict", "a replayed act does not fit");
}

#[test]
fn a_policy_that_does_not_parse_is_refused_with_its_position_and_the_old_epoch_stays() {
    let site = Site::new();
    let size = site.size();
    let answer = site.publish(&[("bad", "@id(\"bad\")\npermit(principal, action resource);")], 1, 2);
    assert_eq!((answer.status, answer.code().as_str()), (400, "epoch_invalid"));
    let finding = &answer.json()["findings"][0];
    assert_eq!((finding["line"].as_u64(), finding["part"].as_str().is_some()), (Some(2), true), "{finding}");
    assert_eq!(site.publish(&POLICIES, 1, 3).code(), "governance_conflict", "the next epoch is 2");
    let mut other = site.epoch_body(&POLICIES, 1, 2);
    other["policies"][0]["text"] = "@id(\"frozen\") permit(principal, action, resource);".into();
    let mismatch = site.admin("POST", "/v1/epochs", "application/json", other.to_string().as_bytes());
    assert_eq!(mismatch.code(), "content_mismatch");
    assert_eq!(site.size(), size);
    let Record::Decision(decision) = site.verify(&site.decide(&read("1"))) else { panic!("a decision") };
    assert_eq!((decision.epoch, decision.governance), (1, 1));
}

/// 458 bytes of an administrator ended the server: its parser recursed once for each of 200 brackets.
#[test]
fn a_policy_that_is_too_deep_leaves_the_server_running() {
    let site = Site::new();
    for (open, close) in [("(", ")"), ("[", "]"), ("if true then ", " else false"), ("!(", ")")] {
        let text = format!(
            "@id(\"deep\") permit(principal, action, resource) when {{ {}true{} }};",
            open.repeat(400),
            close.repeat(400)
        );
        let answer = site.publish(&[("deep", &text)], 1, 2);
        assert_eq!((answer.status, answer.code().as_str()), (400, "epoch_invalid"));
        assert_eq!(answer.json()["findings"][0]["code"], "too_deep");
    }
    assert_eq!(site.decide(&read("1"))["decision"], true);
}

#[test]
fn a_new_epoch_is_in_force_from_its_record_on_and_after_a_restart() {
    let mut site = Site::new();
    assert_eq!(site.decide(&erase("1"))["decision"], false);
    let all = [("all", "@id(\"all\") permit(principal, action, resource);")];
    let published = site.publish(&all, 1, 2).json();
    assert_eq!((&published["epoch"], &published["governance"]), (&json!(2), &json!(2)));
    assert!(matches!(
        site.reader.record(published["index"].as_u64().unwrap()).unwrap(),
        Record::Epoch { governance: 2, parts: 1, .. }
    ));
    assert_eq!(site.decide(&erase("1"))["decision"], true);
    site.restart();
    let Record::Decision(decision) = site.verify(&site.decide(&erase("1"))) else { panic!("a decision") };
    assert_eq!((decision.epoch, decision.governance, decision.outcome), (2, 2, Outcome::Allow));
}

#[test]
fn an_epoch_larger_than_one_record_stands_as_a_run_of_parts() {
    let mut site = Site::new();
    let text = format!("@id(\"big\") permit(principal, action, resource); // {}", "x".repeat(150_000));
    assert_eq!(site.publish(&[("big", &text)], 1, 2).status, 200);
    let parts = site.records().iter().filter(|record| matches!(record, Record::EpochPart { epoch: 2, .. })).count();
    assert_eq!(parts, 3);
    site.restart();
    assert_eq!(site.decide(&erase("1"))["decision"], true);
}

/// Threat 5: a verdict from before a switch never stands behind it.
#[test]
fn no_decision_is_recorded_under_a_governance_version_that_is_no_longer_in_force() {
    let site = Site::new();
    let (address, key) = (site.address(), bearer(&site.key));
    let stop = Arc::new(AtomicBool::new(false));
    let callers: Vec<_> = (0..4)
        .map(|_| {
            let (stop, key) = (stop.clone(), key.clone());
            thread::spawn(move || {
                let mut calls = 0;
                while !stop.load(Ordering::SeqCst) {
                    let headers = [("Authorization", &*key), ("Content-Type", "application/json")];
                    let answer = call(address, "POST", "/v1/decisions", &headers, read("1").to_string().as_bytes());
                    assert_eq!(answer.status, 200, "{}", answer.text());
                    calls += 1;
                }
                calls
            })
        })
        .collect();
    for version in 1..60 {
        let power = if version % 2 == 1 { Power::Halt } else { Power::Run };
        assert_eq!(site.switch(version, "action read", power).status, 200);
    }
    stop.store(true, Ordering::SeqCst);
    let calls: u32 = callers.into_iter().map(|caller| caller.join().unwrap()).sum();
    assert!(calls > 20, "{calls}");
    let (mut version, mut halted) = (0, false);
    for record in site.records() {
        match record {
            Record::Epoch { governance, .. } => version = governance,
            Record::Switch { governance, .. } => {
                version = governance;
                halted = !halted;
            }
            Record::Decision(decision) => {
                assert_eq!(decision.governance, version);
                assert!(decision.outcome == Outcome::Deny || !halted, "allowed behind a kill switch");
            }
            _ => {}
        }
    }
}

#[test]
fn a_realm_that_was_ever_committed_never_becomes_public_not_even_by_way_of_an_epoch_without_it() {
    let mut site = Site::without_epoch(None, |_| {});
    let realms = |clinic: &str| format!("[realms]\nmain = \"public\"\n{clinic}");
    assert_eq!(site.publish_trust(&realms("clinic = \"committed\"\n"), 0, 1).status, 200);
    assert_eq!(site.publish_trust(&realms(""), 1, 2).status, 200);
    for _ in 0..2 {
        for trust in [realms("clinic = \"public\"\n"), String::new()] {
            let answer = site.publish_trust(&trust, 2, 3);
            assert_eq!((answer.status, answer.code().as_str()), (400, "epoch_invalid"), "{}", answer.text());
        }
        site.restart();
    }
    assert_eq!(site.publish_trust(&realms("clinic = \"committed\"\n"), 2, 3).status, 200);
}

#[test]
fn a_target_that_is_written_with_escapes_or_as_an_entity_is_thrown_as_it_stands_and_said_so() {
    let site = Site::new();
    for (follows, target) in [(1, r#"subject User::"a\"b""#), (2, r#"action Action::"read""#)] {
        let answer = site.switch(follows, target, Power::Halt);
        assert_eq!(answer.status, 200, "{}", answer.text());
        assert!(answer.text().contains("as it stands"), "{}", answer.text());
    }
    for target in [r#"subject  User::"a""#, r#"subject User ::"a""#, r#"subject User::::"a""#] {
        assert!(Target::parse(target).is_err(), "{target}");
    }
}
