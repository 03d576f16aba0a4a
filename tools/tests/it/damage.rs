//! What rots on the disk below a published head is never served: not as a permit, not as a proof, not under a signature.

use std::path::{Path, PathBuf};

use crate::house::{House, Http, Server, fails, interlock, ok, refund};

/// The refund as a request that can be repeated.
fn repeatable() -> String {
    refund(1).replacen('{', r#"{"idempotency_key":"k","ttl_ms":60000,"#, 1)
}

fn flip(file: &Path, at: usize) {
    let mut bytes = std::fs::read(file).unwrap();
    bytes[at] ^= 1;
    std::fs::write(file, bytes).unwrap();
}

fn journal(house: &House) -> PathBuf {
    let folder = house.path("log/journal");
    std::fs::read_dir(folder)
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .find(|path| path.extension().is_some())
        .unwrap()
}

/// A bit of the expiry in the leaf: an expired permit must not come to life, nor a live one be answered without evidence.
#[test]
fn a_leaf_that_changed_on_the_disk_is_never_an_answer() {
    let house = House::new();
    house.publish("hello");
    let server = house.serve();
    let http = Http::new();
    let (_, first) = http.decide(&server.decisions, &house.api_key, &repeatable()).unwrap();
    assert_eq!(first["decision"], true);
    for _ in 0..3 {
        http.decide(&server.decisions, &house.api_key, &refund(1)).unwrap();
    }
    server.stop();
    let leaf = verifier::text::unb64(first["record"].as_str().unwrap()).unwrap();
    let file = journal(&house);
    let bytes = std::fs::read(&file).unwrap();
    let start = bytes.windows(leaf.len()).position(|window| window == leaf).unwrap();
    // Every byte of the leaf in turn would be the same; the last ones are expiry and uses.
    flip(&file, start + leaf.len() - 9);
    let arguments = ["serve", "--data", &house.path("log"), "--listen", "127.0.0.1:0", "--public", "127.0.0.1:0"];
    let (code, said) = fails(arguments);
    assert_eq!(code, 4, "{said}");
    assert!(said.contains("contradicts the tree"), "{said}");
    assert_eq!(interlock(["audit", &house.path("log"), "--vkey", &house.vkey]).status.code(), Some(1));
    // Restored, it goes on.
    flip(&file, start + leaf.len() - 9);
    let server = house.serve();
    assert_eq!(http.decide(&server.decisions, &house.api_key, &repeatable()).unwrap().1["permit"], first["permit"]);
}

/// A node of the derived tree: no receipt is given that does not hold, and no head is signed over it.
#[test]
fn a_tree_that_changed_on_the_disk_gives_no_proof_and_no_signature() {
    let house = House::new();
    house.publish("hello");
    let server = house.serve();
    let http = Http::new();
    let (_, first) = http.decide(&server.decisions, &house.api_key, &repeatable()).unwrap();
    for _ in 0..6 {
        http.decide(&server.decisions, &house.api_key, &refund(1)).unwrap();
    }
    // The head that was published with the permit is that of two complete subtrees: entries 0 and 1, and the permit.
    let size = first["index"].as_u64().unwrap() + 1;
    assert_eq!(size, 3);
    server.stop();
    // The first of them: beside the permit's way to the root, and no peak of the right edge, which opening would notice.
    flip(&PathBuf::from(house.path("log/tree/01")), 0);
    let server = Server::start(&house.path("log"), &[]);
    let (status, answer) = http.decide(&server.decisions, &house.api_key, &repeatable()).unwrap();
    assert!(status != 200 || answer["decision"] != true, "{answer}");
    let (status, body) = http.get(&format!("{}/v1/receipts/{}", server.public, first["permit"].as_str().unwrap()));
    assert_ne!(status, 200, "{}", String::from_utf8_lossy(&body));
    let (status, body) = http.get(&format!("{}/v1/checkpoints?size={size}", server.public));
    assert_ne!(status, 200, "a head over a damaged tree was signed: {}", String::from_utf8_lossy(&body));
    server.stop();
    assert_eq!(interlock(["fsck", &house.path("log")]).status.code(), Some(1));
    // It is derived: deleted, it comes back right.
    for derived in ["log/tree", "log/index"] {
        std::fs::remove_dir_all(house.path(derived)).unwrap();
    }
    let server = house.serve();
    let (_, again) = http.decide(&server.decisions, &house.api_key, &repeatable()).unwrap();
    assert_eq!((&again["permit"], &again["decision"]), (&first["permit"], &true.into()));
    server.stop();
    ok(["fsck", &house.path("log")]);
}

#[test]
fn the_last_admin_key_cannot_be_revoked() {
    let house = House::new();
    house.publish("hello");
    let log = house.path("log");
    let keys: serde_json::Value = serde_json::from_str(&ok(["keys", "list", "--data", &log, "--json"])).unwrap();
    let admin = keys["keys"].as_array().unwrap().iter().find(|key| key["role"] == "admin").unwrap();
    let id = admin["id"].as_str().unwrap();
    let (code, said) = fails(["keys", "revoke", "--data", &log, id]);
    assert_eq!(code, 1);
    assert!(said.contains("last admin key"), "{said}");
    let server = house.serve();
    let at = ["--url", &server.decisions, "--key-file", &house.path("admin_key")];
    let (code, said) = fails(["keys", "revoke", id].iter().chain(&at));
    assert_eq!(code, 1, "{said}");
    ok(["switch", "global", "halt", "--reason", "drill"].iter().chain(&at));
}

#[test]
fn a_committed_realm_never_becomes_public() {
    let house = House::new();
    let policies = crate::house::root().join("testdata/policies/hello/policies.cedar");
    let trust = house.path("trust.toml");
    let (log, key) = (house.path("log"), house.path("admin_key"));
    let publish = ["policy", "publish", "--data", &log, "--key-file", &key, "--policies", policies.to_str().unwrap()];
    let with = |text: &str| {
        std::fs::write(&trust, text).unwrap();
        interlock(publish.iter().copied().chain(["--trust", &trust])).status.code()
    };
    assert_eq!(with("[realms]\nmain = \"public\"\nclinic = \"committed\"\n"), Some(0));
    assert_eq!(interlock(publish).status.code(), Some(1), "without a word about realms every one would be public");
    assert_eq!(with("[realms]\nmain = \"public\"\nclinic = \"public\"\n"), Some(1));
    assert_eq!(with("[realms]\nmain = \"committed\"\nclinic = \"committed\"\n"), Some(0));
}
