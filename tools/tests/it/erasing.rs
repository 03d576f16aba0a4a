//! Erasing from the command line, and what everybody says of it afterwards.

use crate::house::{House, Http, fails, interlock, ok, refund, root};

#[test]
fn what_is_erased_from_the_command_line_is_gone_and_everybody_says_so() {
    let house = House::new();
    let (log, key, trust) = (house.path("log"), house.path("admin_key"), house.path("trust.toml"));
    std::fs::write(&trust, "[erasure]\nafter_ms = 0\n").unwrap();
    let policies = root().join("testdata/policies/hello");
    let (policy, schema) = (policies.join("policies.cedar"), policies.join("schema.cedarschema"));
    let (policy, schema) = (policy.to_str().unwrap(), schema.to_str().unwrap());
    let publish = ["policy", "publish", "--data", &log, "--key-file", &key, "--policies", policy, "--schema", schema];
    ok(publish.iter().copied().chain(["--trust", &trust]));
    let (server, http) = (house.serve(), Http::new());
    let decide = |amount| http.decide(&server.decisions, &house.api_key, &refund(amount)).unwrap().1;
    let (answer, kept) = (decide(250), decide(249));
    let (index, permit) = (answer["index"].to_string(), answer["permit"].as_str().unwrap());
    let erase = ["erase", &index, "--ground", "article 17", "--authority", "the officer", "--key-file", &key];
    let erase = erase.iter().copied().chain(["--url", &server.decisions]);
    let said = ok(erase.clone());
    assert!(said.contains(&format!(r#""erased":{index}"#)), "{said}");
    let (_, said) = fails(erase);
    assert!(said.contains("erased or lost already"), "{said}");
    let status = |index: &str| http.get(&format!("{}/v1/requests/{index}", server.public)).0;
    assert_eq!((status(&index), status(&kept["index"].to_string())), (410, 200));
    let receipt = house.path("erased.tlog-proof");
    ok(["receipt", permit, "-o", &receipt, "--url", &server.public]);
    ok(["verify", &receipt, "--vkey", &house.vkey]);

    // Whoever replays is not told that all came out, and is told what did not.
    let replays = |place: &str| {
        let governors = house.path("log/keys/admin.vkeys");
        let output = interlock(["replay", place, "--vkey", &house.vkey, "--governors", &governors]);
        let said = String::from_utf8(output.stdout).unwrap();
        assert_eq!(output.status.code(), Some(3), "{said}");
        assert!(said.contains("erased: 1 (allow)"), "{said}");
    };
    replays(&server.public);
    server.stop();
    replays(&log);
    for said in [ok(["audit", &log, "--vkey", &house.vkey]), ok(["fsck", &log])] {
        assert!(said.contains("1 erased"), "{said}");
    }
    // A start does not miss it.
    let server = house.serve();
    assert_eq!(http.decide(&server.decisions, &house.api_key, &refund(1)).unwrap().1["decision"], true);
}
