//! Shadow mode: an epoch is tried beside the one in force, every decision says what it would have decided, and nothing of it is enforced.

use authorizer::replay::Options;
use serde_json::{Value, json};
use verifier::act::Power;
use verifier::decision::{Class, Condition, Outcome};
use verifier::epoch::EpochContent;
use verifier::record::Record;

use crate::replay::Entries;
use crate::support::{POLICIES, Site, read, reasons, with};

const NONE: [&str; 0] = [];

/// Reads are forbidden beside what [`POLICIES`] say.
fn stricter(trust: &str) -> EpochContent {
    let mut policies: Vec<_> = POLICIES.iter().map(|(id, text)| ((*id).to_owned(), (*text).to_owned())).collect();
    let text = r#"@id("no-reads") forbid(principal, action == Action::"read", resource) when { resource has secret };"#;
    policies.push(("no-reads".to_owned(), text.to_owned()));
    EpochContent { policies, trust: (!trust.is_empty()).then(|| trust.to_owned()), ..EpochContent::default() }
}

fn secret(id: &str) -> Value {
    with(read(id), json!({ "resource": { "type": "Record", "id": id, "properties": { "secret": true } } }))
}

fn shadow_of(site: &Site, answer: &Value) -> Option<(u64, Outcome)> {
    match site.reader.record(answer["index"].as_u64().unwrap()).unwrap() {
        Record::Decision(decision) => decision.shadow.map(|shadow| (shadow.epoch, shadow.outcome)),
        record => panic!("{record:?}"),
    }
}

#[test]
fn a_candidate_is_recorded_in_every_decision_and_never_enforced_until_it_is_published_live() {
    let mut site = Site::new();
    assert_eq!(shadow_of(&site, &site.decide(&secret("a"))), None);
    let answer = site.publish_shadow(stricter(""), 1, 2);
    assert_eq!(answer.status, 200, "{}", answer.text());

    let tried = site.decide(&secret("b"));
    assert_eq!(reasons(&tried), NONE, "what is tried stops nothing");
    assert_eq!(shadow_of(&site, &tried), Some((2, Outcome::Deny)));
    assert_eq!((&tried["shadow"]["epoch"], &tried["shadow"]["decision"]), (&json!(2), &json!(false)));
    assert_eq!(tried["shadow"]["conditions"]["policy"], "fail");
    let agreed = site.decide(&read("c"));
    assert_eq!((shadow_of(&site, &agreed), &agreed["shadow"]["decision"]), (Some((2, Outcome::Allow)), &json!(true)));
    let found = site.get(&format!("/v1/permits/{}", tried["permit"].as_str().unwrap())).json();
    assert_eq!(found["shadow"], tried["shadow"]);

    // A restart goes on trying; switches concern both.
    site.restart();
    assert_eq!(shadow_of(&site, &site.decide(&secret("d"))), Some((2, Outcome::Deny)));
    assert_eq!(site.switch(2, "policy reads", Power::Halt).status, 200);
    assert_eq!(shadow_of(&site, &site.decide(&read("e"))), Some((2, Outcome::Deny)));
    assert_eq!(site.switch(3, "policy reads", Power::Run).status, 200);

    let governance = site.admin("GET", "/v1/governance", "", b"").json();
    assert_eq!((&governance["epoch"], &governance["candidate"]), (&json!(1), &json!(2)));
    assert_eq!(site.publish_content(stricter(""), 4, 2).code(), "governance_conflict", "a number is given once");
    assert_eq!(site.publish_content(stricter(""), 4, 3).status, 200);
    let enforced = site.decide(&secret("f"));
    assert_eq!((reasons(&enforced), shadow_of(&site, &enforced)), (vec!["forbidden"], None));
    assert_eq!(site.replays(), 6);

    let metrics = site.get("/metrics").text();
    for line in [
        r#"authorizer_shadow_decisions_total{effect="allow",candidate="deny"} 1"#,
        r#"authorizer_shadow_decisions_total{effect="deny",candidate="deny"} 1"#,
    ] {
        assert!(metrics.contains(line), "{line} in {metrics}");
    }
}

/// What the candidate would count is looked up in the counters as they stand, as if it were published at that moment.
#[test]
fn a_candidate_counts_nothing_and_reads_the_counters_as_it_would_find_them() {
    let rate = |name: &str, count| format!("[[rates]]\nname = \"{name}\"\ncount = {count}\nper_ms = 60_000\n");
    let (site, _clock) = Site::with_trust(&rate("calls", 3));
    let content = |trust: String| {
        let live = EpochContent { trust: Some(trust), ..stricter("") };
        let agents = json!([{ "uid": { "type": "Agent", "id": "alice" }, "attrs": {}, "parents": [] }]);
        EpochContent { entities: Some(agents.to_string()), ..live }
    };
    assert_eq!(site.publish_shadow(content(rate("calls", 2)), 1, 2).status, 200);
    let tried: Vec<_> = (0..4)
        .map(|_| site.decide(&read("r")))
        .map(|answer| (answer["decision"].as_bool().unwrap(), shadow_of(&site, &answer).unwrap().1 == Outcome::Allow))
        .collect();
    assert_eq!(tried, [(true, true), (true, true), (true, false), (false, false)]);
    // A limit of another name begins empty, and stays so.
    assert_eq!(site.publish_shadow(content(rate("other", 1)), 2, 3).status, 200);
    let answers = [site.decide(&read("r")), site.decide(&read("r"))];
    assert_eq!(answers.map(|answer| shadow_of(&site, &answer).unwrap()), [(3, Outcome::Allow); 2]);
    assert_eq!(site.replays(), 6);
}

#[test]
fn a_log_does_not_begin_with_a_candidate() {
    let site = Site::without_epoch(None, |_| {});
    let refused = site.publish_shadow(stricter(""), 0, 1);
    assert_eq!((refused.status, refused.code().as_str()), (409, "governance_conflict"));
    assert_eq!(site.post("/v1/decisions", &read("a")).code(), "no_epoch");
    assert_eq!(site.size(), 0);
}

#[test]
fn a_shadow_verdict_that_was_altered_or_left_out_and_signed_again_is_found() {
    let site = Site::new();
    assert_eq!(site.publish_shadow(stricter(""), 1, 2).status, 200);
    let index = usize::try_from(site.decide(&secret("b"))["index"].as_u64().unwrap()).unwrap();
    let differences = |entries: Entries| entries.replay(&site, Options::default()).unwrap().difference_count;
    assert_eq!(differences(Entries::of(&site)), 0);
    let altered = Entries::of(&site).forge(index, |decision, _| {
        let shadow = decision.shadow.as_mut().unwrap();
        assert_eq!(shadow.classes.of(Condition::Policy), Class::Fail);
        (shadow.outcome, shadow.classes) = (Outcome::Allow, decision.classes);
    });
    assert_eq!(differences(altered), 1);
    assert_eq!(differences(Entries::of(&site).forge(index, |decision, _| decision.shadow = None)), 1);
}
