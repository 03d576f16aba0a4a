//! Approvals from the command line, as an approver and an administrator use it.

use std::path::Path;

use serde_json::{Value, json};

use crate::house::{House, Http, fails, ok, root};

/// A house whose refunds carol or dave approves; the folder holds `carol.key`, `denied.json` and `request.json`.
fn denied() -> (House, crate::house::Server, Value) {
    let house = House::new();
    let mut trust = String::new();
    for name in ["carol", "dave"] {
        let key = ok(["keys", "signer", name, "-o", &house.path(&format!("{name}.key"))]);
        trust += &format!("[[approvers]]\nkey = '{}'\nperson = 'User::\"{name}\"'\n", key.trim());
    }
    trust += "[[approvals]]\nactions = ['refund']\ncount = 1\napprovers = ['carol']\n[[approvals]]\nactions = ['refund']\ncount = 1\napprovers = ['dave', 'carol']\n";
    std::fs::write(house.path("trust.toml"), trust).unwrap();
    let hello = root().join("testdata/policies/hello");
    let (policies, log) = (hello.join("policies.cedar"), house.path("log"));
    let (key, trust) = (house.path("admin_key"), house.path("trust.toml"));
    ok([
        "policy",
        "publish",
        "--data",
        &log,
        "--key-file",
        &key,
        "--policies",
        policies.to_str().unwrap(),
        "--trust",
        &trust,
    ]);
    let server = house.serve();
    let request = refund(250);
    let (_, answer) = Http::new().decide(&server.decisions, &house.api_key, &request).unwrap();
    assert_eq!(answer["reasons"], json!(["approval_missing"]), "{answer}");
    std::fs::write(house.path("denied.json"), answer.to_string()).unwrap();
    std::fs::write(house.path("request.json"), request).unwrap();
    (house, server, answer)
}

fn refund(amount: u64) -> String {
    crate::house::refund(u32::try_from(amount).unwrap())
}

fn sign<'a>(house: &House, key: &'a str, request: &'a str) -> Vec<String> {
    let path = |name: &str| house.path(name);
    let fixed = ["approval", "sign", "--answer", &path("denied.json"), "--vkey", &house.vkey].map(str::to_owned);
    let given = ["--request", &path(request), "--key-file", &path(key)].map(str::to_owned);
    fixed.into_iter().chain(given).collect()
}

#[test]
fn an_approver_checks_a_denial_offline_and_signs_and_the_request_passes_once() {
    let (house, server, denied) = denied();
    let note = house.path("carol.note");
    let mut arguments = sign(&house, "carol.key", "request.json");
    arguments.extend(["-o".to_owned(), note.clone()]);
    ok(&arguments);
    let (key, url) = (house.path("admin_key"), &server.decisions);
    let posted = ok(["approval", "post", &note, "--url", url, "--key-file", &key]);
    assert!(posted.contains(r#""approvers":["carol"]"#), "{posted}");
    let mut retry: Value = serde_json::from_str(&refund(250)).unwrap();
    retry["retry_of"] = denied["permit"].clone();
    let http = Http::new();
    let decide = || http.decide(url, &house.api_key, &retry.to_string()).unwrap().1;
    assert_eq!((&decide()["decision"], &decide()["reasons"]), (&json!(true), &json!(["approval_missing"])));
    server.stop();
}

#[test]
fn nothing_is_signed_for_another_request_log_or_answer_or_with_a_key_that_others_read() {
    let (house, server, _) = denied();
    let good = sign(&house, "carol.key", "request.json");
    let refused = |arguments: &[String]| {
        let (exit, said) = fails(arguments);
        assert!(!said.contains("interlock/approval/v1"), "{said}");
        (exit, said)
    };
    std::fs::write(house.path("other.json"), refund(251)).unwrap();
    let (exit, said) = refused(&sign(&house, "carol.key", "other.json"));
    assert_eq!((exit, said.contains("the request is not the one that was denied")), (1, true), "{said}");
    let other = House::new();
    let foreign: Vec<_> = good.iter().map(|part| part.replace(&house.vkey, &other.vkey)).collect();
    assert_eq!(refused(&foreign).0, 1);
    let mut long = good.clone();
    long.extend(["--valid".to_owned(), "86401".to_owned()]);
    assert_eq!(refused(&long).0, 2);

    let answer = std::fs::read_to_string(house.path("denied.json")).unwrap();
    let with = |alter: &dyn Fn(&mut Value)| {
        let mut answer: Value = serde_json::from_str(&answer).unwrap();
        alter(&mut answer);
        std::fs::write(house.path("denied.json"), answer.to_string()).unwrap();
        refused(&good)
    };
    let (exit, said) = with(&|answer| drop(answer.as_object_mut().unwrap().remove("approval")));
    assert_eq!((exit, said.contains("asks for no approval")), (1, true), "{said}");
    let (exit, said) = with(&|answer| answer["approval"]["decision"] = json!("00"));
    assert_eq!((exit, said.contains("approve that decision")), (1, true), "{said}");
    std::fs::write(house.path("denied.json"), &answer).unwrap();

    fn open_to_all(path: &Path) {
        use std::os::unix::fs::PermissionsExt;
        std::fs::set_permissions(path, std::fs::Permissions::from_mode(0o644)).unwrap();
    }
    open_to_all(Path::new(&house.path("carol.key")));
    let (exit, said) = refused(&good);
    assert_eq!((exit, said.contains("chmod 600")), (4, true), "{said}");
    // Whom the epoch does not name as an approver approves nothing.
    ok(["keys", "signer", "mallory", "-o", &house.path("mallory.key")]);
    let signed = ok(sign(&house, "mallory.key", "request.json"));
    std::fs::write(house.path("mallory.note"), signed).unwrap();
    let (note, key) = (house.path("mallory.note"), house.path("admin_key"));
    let (_, said) = fails(["approval", "post", &note, "--url", &server.decisions, "--key-file", &key]);
    assert!(said.contains("not_an_approver"), "{said}");
    server.stop();
}
