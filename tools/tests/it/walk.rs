//! The walk of README, and what it promises afterwards.

use verifier::guard::{Claim, Guard, Permit, Trust, UseStore, UseStoreError};

use crate::house::{House, Http, Server, fails, interlock, ok, refund};

#[test]
fn a_newcomer_gets_a_receipt_and_verifies_it_with_the_key_alone() {
    let house = House::new();
    house.publish("hello");
    let server = house.serve();
    let http = Http::new();
    let (status, answer) = http.decide(&server.decisions, &house.api_key, &refund(250)).unwrap();
    assert_eq!((status, &answer["decision"]), (200, &serde_json::json!(true)), "{answer}");
    let (_, denied) = http.decide(&server.decisions, &house.api_key, &refund(251)).unwrap();
    assert_eq!(denied["decision"], false);
    assert_eq!(denied["reasons"], serde_json::json!(["no_matching_permit"]));
    let (_, forbidden) = http.decide(&server.decisions, &house.api_key, &refund(501)).unwrap();
    assert_eq!(forbidden["policies"], serde_json::json!(["no-refund-above-500"]));

    let receipt = house.path("refund.tlog-proof");
    ok(["receipt", answer["permit"].as_str().unwrap(), "-o", &receipt, "--url", &server.public]);
    let said = ok(["verify", &receipt, "--vkey", &house.vkey]);
    for part in ["ok    decoded", "ok    included", "ok    signed", "verified: permit", "not checked: split view"] {
        assert!(said.contains(part), "{part} is not in\n{said}");
    }
    guard_admits_once(&house, &answer);
    server.stop();

    // Everything that is derived is deleted: it comes back from journal and vault alone, byte for byte.
    let folder = std::path::PathBuf::from(house.path("log"));
    let before = listing(&folder);
    for derived in ["tree", "index", "state"] {
        let derived = folder.join(derived);
        std::fs::remove_dir_all(&derived).unwrap_or_else(|_| assert!(!derived.exists(), "{derived:?}"));
    }
    let server = house.serve();
    ok(["receipt", answer["permit"].as_str().unwrap(), "-o", &house.path("again.tlog-proof"), "--url", &server.public]);
    ok(["verify", &house.path("again.tlog-proof"), "--vkey", &house.vkey]);
    server.stop();
    assert_eq!(listing(&folder), before);
    ok(["audit", &house.path("log"), "--vkey", &house.vkey]);
    ok(["fsck", &house.path("log")]);

    // On another directory, with only the key.
    let elsewhere = tempfile::tempdir().unwrap();
    let copy = elsewhere.path().join("x.tlog-proof");
    std::fs::copy(&receipt, &copy).unwrap();
    ok(["verify", copy.to_str().unwrap(), "--vkey", &house.vkey]);
}

#[test]
fn a_candidate_is_tried_from_the_command_line_and_its_receipts_say_so() {
    let house = House::new();
    house.publish("hello");
    let strict = house.path("strict.cedar");
    std::fs::write(&strict, "@id(\"none\") forbid (principal, action, resource);").unwrap();
    let (log, key) = (house.path("log"), house.path("admin_key"));
    ok(["policy", "publish", "--shadow", "--data", &log, "--key-file", &key, "--policies", &strict]);
    let server = house.serve();
    let (_, answer) = Http::new().decide(&server.decisions, &house.api_key, &refund(250)).unwrap();
    assert_eq!((&answer["decision"], &answer["shadow"]["decision"]), (&true.into(), &false.into()), "{answer}");
    let receipt = house.path("tried.tlog-proof");
    ok(["receipt", answer["permit"].as_str().unwrap(), "-o", &receipt, "--url", &server.public]);
    let said = ok(["verify", &receipt, "--vkey", &house.vkey]);
    assert!(said.contains("(in shadow mode: the candidate epoch 2 would deny)"), "{said}");
    let shown = ok(["policy", "show", "--url", &server.public]);
    assert!(shown.contains(r#""epoch":1,"mode":"live""#), "{shown}");
    server.stop();
    let governors = house.path("log/keys/admin.vkeys");
    ok(["replay", &log, "--vkey", &house.vkey, "--governors", &governors]);
}

/// Contents of the derived files.
fn listing(folder: &std::path::Path) -> Vec<(String, Vec<u8>)> {
    let mut all = Vec::new();
    for derived in ["tree", "index"] {
        for entry in std::fs::read_dir(folder.join(derived)).unwrap() {
            let path = entry.unwrap().path();
            all.push((path.file_name().unwrap().to_str().unwrap().to_owned(), std::fs::read(&path).unwrap()));
        }
    }
    all.sort();
    all
}

fn guard_admits_once(house: &House, answer: &serde_json::Value) {
    #[derive(Default)]
    struct Once(bool);
    impl UseStore for Once {
        fn claim(&mut self, _: verifier::decision::PermitId, _: u32, _: u64) -> Result<Claim, UseStoreError> {
            Ok(if std::mem::replace(&mut self.0, true) { Claim::AlreadyTaken } else { Claim::Taken })
        }
    }
    let trust = format!("realm = \"main\"\nrequire = [\"runtime\"]\n[[log_key]]\nvkey = \"{}\"\n", house.vkey);
    let permit = Permit::from_answer(answer.to_string().as_bytes()).unwrap();
    let mut guard = Guard::new(Trust::parse(&trust).unwrap(), Once::default(), 0);
    #[expect(clippy::disallowed_methods, reason = "an executor has a clock")]
    let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap().as_millis();
    let now = u64::try_from(now).unwrap();
    let admitted = guard.admit(refund(250).as_bytes(), &permit, now).unwrap();
    assert_eq!(admitted.request().action.name, "refund");
    assert_eq!(guard.admit(refund(250).as_bytes(), &permit, now).unwrap_err().code(), "already_used");
    assert_eq!(guard.admit(refund(249).as_bytes(), &permit, now).unwrap_err().code(), "wrong_request");
}

#[test]
fn a_permit_that_is_revoked_is_worth_nothing_and_what_nobody_has_is_not_revoked() {
    let house = House::new();
    house.publish("hello");
    let (server, http, key) = (house.serve(), Http::new(), house.path("admin_key"));
    let mut request: serde_json::Value = serde_json::from_str(&refund(250)).unwrap();
    request["idempotency_key"] = "once".into();
    let ask = || http.decide(&server.decisions, &house.api_key, &request.to_string()).unwrap().1;
    let answer = ask();
    assert_eq!(answer["decision"], true, "{answer}");
    let permit = answer["permit"].as_str().unwrap();
    let revoke = |permit: &str, reason: &str| {
        interlock(["revoke", permit, "--reason", reason, "--url", &server.decisions, "--key-file", &key])
    };
    for (permit, reason) in [("17", "a drill"), (permit, ""), (&"0".repeat(32), "a drill")] {
        assert!(!revoke(permit, reason).status.success(), "{permit}, {reason}");
    }
    assert_eq!(ask()["decision"], true);
    assert!(revoke(permit, "a drill").status.success());
    let again = ask();
    assert_eq!((&again["decision"], &again["permit"]), (&false.into(), &answer["permit"]), "{again}");
}

#[test]
fn a_kill_switch_denies_until_it_is_released() {
    let house = House::new();
    house.publish("hello");
    let server = house.serve();
    let http = Http::new();
    let allowed = || http.decide(&server.decisions, &house.api_key, &refund(1)).unwrap().1["decision"].clone();
    let key = house.path("admin_key");
    let switch = |target: &str, to: &str| {
        ok(["switch", target, to, "--reason", "drill", "--url", &server.decisions, "--key-file", &key]);
    };
    assert_eq!(allowed(), true);
    for target in ["global", "realm main", "subject Agent::\"clerk\"", "action refund", "policy refund-what-was-paid"] {
        switch(target, "halt");
        assert_eq!(allowed(), false, "{target}");
        switch(target, "run");
        assert_eq!(allowed(), true, "{target}");
    }
    // It holds across a restart: the state is a fold over the log.
    switch("global", "halt");
    server.kill();
    let server = house.serve();
    let (_, answer) = http.decide(&server.decisions, &house.api_key, &refund(1)).unwrap();
    assert_eq!(answer["decision"], false);
}

#[test]
fn keys_are_made_listed_and_revoked_on_a_running_server_and_in_a_directory() {
    let house = House::new();
    house.publish("hello");
    let (log, admin) = (house.path("log"), house.path("admin_key"));
    let made: serde_json::Value =
        serde_json::from_str(&ok(["keys", "create", "--data", &log, "--realm", "clinic", "--json"])).unwrap();
    let server = house.serve();
    let http = Http::new();
    let key = made["key"].as_str().unwrap();
    let (status, answer) = http.decide(&server.decisions, key, &refund(1)).unwrap();
    assert_eq!((status, answer["decision"].clone()), (200, true.into()));
    let at = ["--url", &server.decisions, "--key-file", &admin, "--json"];
    let listed = ok(["keys", "list"].iter().chain(&at));
    assert!(listed.contains(made["id"].as_str().unwrap()) && !listed.contains(key));
    // A key that reads asks for nothing.
    let reads: serde_json::Value =
        serde_json::from_str(&ok(["keys", "create", "--role", "read", "--realm", "clinic"].iter().chain(&at))).unwrap();
    assert_eq!(reads["role"], "read");
    assert_eq!(http.decide(&server.decisions, reads["key"].as_str().unwrap(), &refund(1)).unwrap().0, 403);
    ok(["keys", "revoke", made["id"].as_str().unwrap()].iter().chain(&at));
    assert_eq!(http.decide(&server.decisions, key, &refund(1)).unwrap().0, 401);
    // While the server has the log, the directory is not to be had.
    let (code, said) = fails(["keys", "list", "--data", &log]);
    assert_eq!(code, 4, "{said}");
    assert!(said.contains("in use by another process"), "{said}");
}

#[test]
fn verifying_ends_with_the_exit_code_of_what_is_wrong() {
    let house = House::new();
    house.publish("hello");
    let server = house.serve();
    let http = Http::new();
    let (_, answer) = http.decide(&server.decisions, &house.api_key, &refund(1)).unwrap();
    let receipt = house.path("good");
    ok(["receipt", answer["permit"].as_str().unwrap(), "-o", &receipt, "--url", &server.public]);
    let good = std::fs::read_to_string(&receipt).unwrap();
    let judge = |name: &str, text: &str, vkey: &str| {
        std::fs::write(house.path(name), text).unwrap();
        interlock(["verify", &house.path(name), "--vkey", vkey]).status.code().unwrap()
    };
    assert_eq!(judge("same", &good, &house.vkey), 0);
    let other = House::new();
    assert_eq!(judge("other-key", &good, &other.vkey), 5);
    let index: u64 = answer["index"].as_u64().unwrap();
    assert_eq!(judge("moved", &good.replace(&format!("index {index}\n"), "index 0\n"), &house.vkey), 1);
    assert_eq!(judge("cut", good.split_once("index").unwrap().0, &house.vkey), 3);
    assert_eq!(judge("empty", "", &house.vkey), 3);
    assert_eq!(interlock(["verify", &receipt]).status.code(), Some(5));
    assert_eq!(interlock(["verify", &receipt, "--vkey", "nonsense"]).status.code(), Some(2));
    assert_eq!(interlock(["verify", "/nowhere", "--vkey", &house.vkey]).status.code(), Some(4));
    assert_eq!(interlock(["verify"]).status.code(), Some(2));
}

#[test]
fn a_receipt_is_fetched_and_verified_in_every_form() {
    let house = House::new();
    house.publish("hello");
    let server = house.serve();
    let http = Http::new();
    let (_, answer) = http.decide(&server.decisions, &house.api_key, &refund(1)).unwrap();
    let permit = answer["permit"].as_str().unwrap();
    let (older, newer) = (house.path("older"), house.path("newer"));
    let head = |path: &str| std::fs::write(path, http.get(&format!("{}/checkpoint", server.public)).1).unwrap();
    head(&older);
    let (_, second) = http.decide(&server.decisions, &house.api_key, &refund(2)).unwrap();
    head(&newer);

    let leaf = house.path("leaf.cbor");
    for form in ["text", "json", "cose"] {
        let file = house.path(&format!("receipt.{form}"));
        ok(["receipt", permit, "--format", form, "-o", &file, "--leaf", &leaf, "--url", &server.public]);
        let said = ok(["verify", &file, "--vkey", &house.vkey, "--leaf", &leaf]);
        for part in ["ok    decoded", "ok    included", "ok    signed", "verified: permit", "not checked: split view"] {
            assert!(said.contains(part), "{part} is not in\n{said}");
        }
        assert_eq!(said.contains("not checked: place"), form == "cose", "{said}");
        // Told by its content, not by its name.
        ok(["verify", &file, "--vkey", &house.vkey, "--leaf", &leaf, "--json"]);
    }
    let cose = house.path("receipt.cose");
    let bare = interlock(["verify", &cose, "--vkey", &house.vkey]);
    let said = String::from_utf8(bare.stdout).unwrap();
    assert_eq!((bare.status.code(), said.contains("(no_leaf)")), (Some(3), true), "{said}");
    let other = house.path("other.cbor");
    let second = second["permit"].as_str().unwrap();
    ok(["receipt", second, "--leaf", &other, "-o", &house.path("second"), "--url", &server.public]);
    let wrong = interlock(["verify", &cose, "--vkey", &house.vkey, "--leaf", &other]);
    assert_eq!(wrong.status.code(), Some(1), "another leaf");
    let stranger = House::new();
    let wrong = interlock(["verify", &cose, "--vkey", &stranger.vkey, "--leaf", &leaf]);
    assert_eq!(wrong.status.code(), Some(1), "another key");

    let size = |path: &str| std::fs::read_to_string(path).unwrap().lines().nth(1).unwrap().to_owned();
    let url = format!("{}/v1/proofs/consistency?from={}&to={}", server.public, size(&older), size(&newer));
    let growth = house.path("growth.cose");
    // A new connection: the server has closed the idle one by now.
    std::fs::write(&growth, Http::new().get_as(&url, "application/scitt-receipt+cose").1).unwrap();
    let said = ok(["verify", &growth, "--vkey", &house.vkey, "--pin", &older]);
    assert!(said.contains("ok    consistent") && said.contains("nothing below it changed"), "{said}");
    assert_eq!(interlock(["verify", &growth, "--vkey", &house.vkey, "--pin", &newer]).status.code(), Some(3));
    assert_eq!(interlock(["verify", &growth, "--vkey", &house.vkey]).status.code(), Some(3));
}

#[test]
fn the_demo_shows_denials_and_verifies_a_receipt() {
    let said = ok(["demo", "--exit"]);
    for part in [
        "verification key",
        "denied",
        "c2sp.org/tlog-proof@v1",
        "ok    signed",
        "verified: decision",
        "not checked:",
        "curl",
    ] {
        assert!(said.contains(part), "{part} is not in\n{said}");
    }
}

#[test]
fn a_server_ends_on_sigterm_and_its_log_opens_again() {
    let house = House::new();
    house.publish("hello");
    let server = house.serve();
    Http::new().decide(&server.decisions, &house.api_key, &refund(1)).unwrap();
    server.stop();
    Server::start(&house.path("log"), &[]).stop();
    ok(["audit", &house.path("log"), "--vkey", &house.vkey]);
}
