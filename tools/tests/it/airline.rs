//! 1,164 calls that GPT-4o really made, through a spawned server, against an oracle that is not Cedar.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::Value;
use verifier::receipt::Receipt;
use verifier::verify::{LogKey, verify_receipt};

use crate::house::{House, Http, data, ok, secret_file};

#[path = "../../src/trace/airline/oracle.rs"]
mod oracle;

#[test]
fn exactly_the_calls_that_break_a_rule_are_denied_and_every_decision_proves_itself() {
    run("compiled");
}

#[test]
fn plain_cedar_denies_exactly_the_calls_that_break_a_rule() {
    run("cedar");
}

fn run(engine: &str) {
    let Some(file) = data("tau-airline-gpt4o.ndjson") else { return };
    let house = House::new();
    house.publish_under("airline", engine);
    let server = house.serve();
    let key = house.path("key");
    secret_file(key.as_ref(), &house.api_key);
    let said = ok([
        "trace",
        "--format",
        "tau-airline",
        file.to_str().unwrap(),
        "--url",
        &server.decisions,
        "--key-file",
        &key,
        "--json",
    ]);
    let text = std::fs::read_to_string(&file).unwrap();
    let calls: Vec<Value> = text.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let decided: Vec<Value> = said.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert_eq!((calls.len(), decided.len()), (1_164, 1_164));

    let keys = [LogKey::unlimited(house.vkey.parse().unwrap())];
    let http = Http::new();
    let (mut denied, mut by_rule) = (0, BTreeMap::<String, usize>::new());
    for (call, decided) in calls.iter().zip(&decided) {
        let place = format!("{} step {}", call["session"], call["step"]);
        assert_eq!(
            (&decided["session"], &decided["step"], &decided["tool"]),
            (&call["session"], &call["step"], &call["tool"])
        );
        let broken = oracle::broken(call);
        assert_eq!(decided["decision"], broken.is_empty(), "{place}: {broken:?} against {decided}");
        if !broken.is_empty() {
            denied += 1;
            let named: BTreeSet<&str> =
                decided["policies"].as_array().unwrap().iter().filter_map(Value::as_str).collect();
            assert_eq!(named, broken, "{place}");
            assert_eq!(decided["reasons"], serde_json::json!(["forbidden"]), "{place}");
            broken.iter().for_each(|rule| *by_rule.entry((*rule).to_owned()).or_default() += 1);
        }
        let (status, receipt) =
            http.get(&format!("{}/v1/receipts/{}", server.public, decided["permit"].as_str().unwrap()));
        assert_eq!(status, 200, "{place}");
        let receipt = Receipt::parse(std::str::from_utf8(&receipt).unwrap()).unwrap();
        let verified = verify_receipt(&receipt, None, &keys).unwrap();
        assert_eq!(Some(verified.index()), decided["index"].as_u64(), "{place}");
    }
    assert!(denied > 0 && denied < 250, "{denied}");
    println!("1164 calls, {denied} denied, by rule (a call may break several): {by_rule:?}");
    // Computed again: by a stranger at the public address, then from the directory, with every policy asked each time.
    let governors = house.path("log/keys/admin.vkeys");
    let all = |out: String| assert!(out.contains("1164 decisions: 1164 came out byte for byte"), "{out}");
    all(ok(["replay", &server.public, "--vkey", &house.vkey, "--governors", &governors]));
    server.stop();
    ok(["audit", &house.path("log"), "--vkey", &house.vkey]);
    all(ok(["replay", &house.path("log"), "--vkey", &house.vkey, "--full"]));
}
