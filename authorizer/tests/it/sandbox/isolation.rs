//! Nothing of the sandbox is worth anything outside, and nothing outside is within its reach.

use std::collections::HashSet;

use serde_json::json;
use verifier::decision::PermitId;
use verifier::guard::{self, Claim, Guard, Permit, UseStore, UseStoreError};
use verifier::note::VerifierKey;
use verifier::receipt::Receipt;
use verifier::verify::{LogKey, Refusal, verify_receipt};

use super::{DECISIONS, SAMPLES, body, decided, post, public, request, site, vkey};
use crate::support::{ORIGIN, Site, call, now_ms, read};

/// Uses in memory.
#[derive(Debug, Default)]
struct Uses(HashSet<(PermitId, u32)>);

impl UseStore for Uses {
    fn claim(&mut self, permit: PermitId, nth: u32, _expires_at: u64) -> Result<Claim, UseStoreError> {
        Ok(if self.0.insert((permit, nth)) { Claim::Taken } else { Claim::AlreadyTaken })
    }
}

fn guard(keys: &[&VerifierKey]) -> Guard<Uses> {
    let keys: String = keys.iter().map(|key| format!("[[log_key]]\nvkey = \"{key}\"\n")).collect();
    Guard::new(guard::Trust::parse(&format!("realm = \"main\"\n{keys}")).unwrap(), Uses::default(), 0)
}

#[test]
fn a_receipt_of_the_sandbox_verifies_under_its_own_key_alone() {
    let site = site();
    let said = decided(public(&site), &body());
    let receipt = Receipt::parse(said["answer"]["receipt"].as_str().unwrap()).unwrap();
    let (real, own) = (site.reader.verifier_key().clone(), vkey(&said));
    assert_eq!((said["origin"].as_str(), own.name()), (Some(&*format!("{ORIGIN}/demo")), &*format!("{ORIGIN}/demo")));
    assert_ne!(own.key_bytes(), real.key_bytes());
    assert!(verify_receipt(&receipt, None, &[LogKey::unlimited(own.clone())]).is_ok());
    assert_eq!(verify_receipt(&receipt, None, &[LogKey::unlimited(real)]).unwrap_err(), Refusal::UnknownKey);
    // The sandbox's key under the real log's name: what it signed names another origin.
    let renamed = VerifierKey::new(ORIGIN, &own.key_bytes()).unwrap();
    assert!(verify_receipt(&receipt, None, &[LogKey::unlimited(renamed)]).is_err());
    assert_eq!(call(public(&site), "GET", SAMPLES, &[], b"").json()["vkey"], said["vkey"]);
}

#[test]
fn a_guard_that_trusts_the_log_takes_no_permit_of_the_sandbox() {
    let site = site();
    let said = decided(public(&site), &body());
    let (answer, asked) = (said["answer"].to_string(), request("r1"));
    let permit = Permit::from_answer(answer.as_bytes()).unwrap();
    let real = site.reader.verifier_key();
    assert_eq!(guard(&[real]).admit(asked.as_bytes(), &permit, now_ms()).unwrap_err(), guard::Refusal::UnknownKey);
    // The same permit under the sandbox's key would be one, so it is the key that stands between them.
    assert!(guard(&[&vkey(&said)]).admit(asked.as_bytes(), &permit, now_ms()).is_ok());
    // And the service knows nothing of it.
    let id = said["answer"]["permit"].as_str().unwrap();
    assert_eq!(site.get(&format!("/v1/permits/{id}")).code(), "not_found");
    assert_eq!(call(public(&site), "GET", &format!("/v1/receipts/{id}"), &[], b"").status, 404);
}

#[test]
fn the_log_does_not_grow_by_what_strangers_try() {
    let site = site();
    let before = (site.size(), site.reader.head().note.clone());
    for _ in 0..5 {
        decided(public(&site), &body());
    }
    post(public(&site), &json!({ "policies": "nonsense", "request": "{}" }));
    assert_eq!((site.size(), site.reader.head().note.clone()), before);
    let files: Vec<_> = walk(site.dir.path());
    assert!(
        !files.is_empty() && files.iter().all(|path| !path.contains("sandbox") && !path.contains("demo")),
        "{files:?}"
    );
}

fn walk(folder: &std::path::Path) -> Vec<String> {
    let entries = std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
    entries.flat_map(|path| if path.is_dir() { walk(&path) } else { vec![path.display().to_string()] }).collect()
}

#[test]
fn nobody_meets_what_a_stranger_before_left_behind() {
    let site = site();
    let trust = "[[budgets]]\nname = \"b\"\nsubjects = ['Agent::\"alice\"']\namount = \"context.n\"\ncap = 10\nwindow_ms = 60000\n";
    let mut asked = read("r");
    asked["context"] = json!({ "n": 10 });
    asked["idempotency_key"] = json!("the same for everybody");
    let mut permits = HashSet::new();
    for _ in 0..3 {
        let body = json!({ "policies": super::POLICIES, "trust": trust, "request": asked.to_string() });
        let said = decided(public(&site), &body);
        assert_eq!(said["answer"]["reasons"], json!([]), "{said}");
        assert_eq!(said["answer"]["conditions"]["operational"], "pass");
        permits.insert(said["answer"]["permit"].as_str().unwrap().to_owned());
    }
    assert_eq!(permits.len(), 3);
}

#[test]
fn a_sandbox_that_is_turned_off_says_so() {
    let site = Site::with(None, |config| {
        config.public = Some("127.0.0.1:0".parse().unwrap());
        config.sandbox = false;
    });
    for (method, path) in [("POST", DECISIONS), ("GET", SAMPLES), ("GET", DECISIONS)] {
        let answer =
            call(public(&site), method, path, &[("Content-Type", "application/json")], body().to_string().as_bytes());
        assert_eq!((answer.status, answer.code().as_str()), (404, "sandbox_off"), "{method} {path}");
    }
}

#[test]
fn the_sandbox_is_another_after_a_restart() {
    let mut site = site();
    let first = decided(public(&site), &body());
    site.restart();
    let second = decided(public(&site), &body());
    assert_ne!(first["vkey"], second["vkey"]);
    assert_eq!(first["answer"]["index"], second["answer"]["index"]);
}
