//! What strangers can read of a decision, and what not.

use std::fs;
use std::path::Path;

use serde_json::json;
use verifier::act::{Act, Deed};
use verifier::epoch::EpochContent;

use crate::support::{ORIGIN, Site, call, read};

const NEEDLES: [&str; 5] = ["needle-subject", "needle-resource", "needle-amount", "needle-key", "needle-action"];

fn request() -> serde_json::Value {
    let mut request = read("needle-resource");
    request["subject"]["id"] = "needle-subject".into();
    request["action"]["name"] = "needle-action".into();
    request["context"] = json!({ "note": "needle-amount" });
    request["idempotency_key"] = "needle-key".into();
    request
}

fn contains(bytes: &[u8], needle: &str) -> bool {
    bytes.windows(needle.len()).any(|window| window == needle.as_bytes())
}

fn files(dir: &Path) -> Vec<Vec<u8>> {
    let entries = fs::read_dir(dir).unwrap().map(|entry| entry.unwrap().path());
    entries.flat_map(|path| if path.is_dir() { files(&path) } else { vec![fs::read(path).unwrap()] }).collect()
}

/// Threats 7 and 22: only the vault holds what a request says, so that erasing it there erases it.
#[test]
fn nothing_of_a_request_stands_in_leaf_journal_tree_or_index() {
    let mut site = Site::new();
    let index = site.decide(&request())["index"].as_u64().unwrap();
    let leaf = site.reader.entry(index).unwrap();
    assert!(NEEDLES.iter().all(|needle| !contains(&leaf, needle)));
    assert!(site.service.take().unwrap().stop());
    let data = site.dir.path().join("data");
    for folder in ["journal", "tree", "index", "keys"] {
        for bytes in files(&data.join(folder)) {
            assert!(NEEDLES.iter().all(|needle| !contains(&bytes, needle)), "{folder}");
        }
    }
    let vault = files(&data.join("vault")).concat();
    assert!(NEEDLES.iter().all(|needle| contains(&vault, needle)));
}

#[test]
fn a_committed_realm_is_not_disclosed_on_the_public_listener() {
    let site = Site::with(None, |config| config.public = Some("127.0.0.1:0".parse().unwrap()));
    let public = site.service.as_ref().unwrap().public_address().unwrap();
    let disclosed = |index: u64| call(public, "GET", &format!("/v1/requests/{index}"), &[], b"");
    let shown = site.decide(&request());
    let answer = disclosed(shown["index"].as_u64().unwrap());
    assert_eq!((answer.status, contains(&answer.body, shown["salt"].as_str().unwrap())), (200, true));

    let content = EpochContent {
        policies: vec![("all".into(), "@id(\"all\") permit(principal, action, resource);".into())],
        trust: Some("[realms]\nmain = \"committed\"\n".into()),
        ..EpochContent::default()
    };
    let deed = Deed::Epoch { number: 2, content: content.digest(), mode: verifier::act::Mode::Live };
    let note = site.sign(&Act { origin: ORIGIN.into(), follows: 1, deed });
    let policies: Vec<_> = content.policies.iter().map(|(id, text)| json!({ "id": id, "text": text })).collect();
    let body = json!({ "policies": policies, "trust": content.trust, "note": note }).to_string();
    assert_eq!(site.admin("POST", "/v1/epochs", "application/json", body.as_bytes()).status, 200);

    let mut hidden = request();
    hidden["idempotency_key"] = "another".into();
    let answer = site.decide(&hidden);
    assert_eq!(answer["decision"], true);
    site.verify(&answer);
    let hidden = disclosed(answer["index"].as_u64().unwrap());
    assert_eq!(hidden.status, 404);
    assert!(NEEDLES.iter().all(|needle| !contains(&hidden.body, needle)), "{}", hidden.text());
}
