//! `kill -9` under load: every permit that was answered is in the log after the restart, and proves itself there.

use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use verifier::receipt::Receipt;
use verifier::verify::{LogKey, verify_receipt};

use crate::house::{House, Http, ok, refund};

/// Twenty, or as many as `INTERLOCK_KILLS` says.
fn kills() -> usize {
    std::env::var("INTERLOCK_KILLS").ok().and_then(|kills| kills.parse().ok()).unwrap_or(20)
}

#[test]
fn every_answered_permit_is_in_the_log_after_kill_9() {
    let house = House::new();
    house.publish("hello");
    let keys = [LogKey::unlimited(house.vkey.parse().unwrap())];
    let mut answered = 0;
    for round in 0..kills() {
        let server = house.serve();
        let permits = Mutex::new(Vec::new());
        let over = AtomicBool::new(false);
        std::thread::scope(|scope| {
            for _ in 0..3 {
                scope.spawn(|| {
                    let http = Http::new();
                    while !over.load(Ordering::Relaxed) {
                        let Some((200, answer)) = http.decide(&server.decisions, &house.api_key, &refund(1)) else {
                            break;
                        };
                        assert_eq!(answer["decision"], true);
                        permits.lock().unwrap().push(answer);
                    }
                });
            }
            // Another moment each round; what matters is that work is under way.
            std::thread::sleep(Duration::from_millis(60 + 23 * (round as u64 % 7)));
            assert!(std::process::Command::new("kill").args(["-KILL", &server.id()]).status().unwrap().success());
            over.store(true, Ordering::Relaxed);
        });
        server.kill();
        let server = house.serve();
        let http = Http::new();
        for answer in permits.into_inner().unwrap() {
            let permit = answer["permit"].as_str().unwrap();
            let (status, receipt) = http.get(&format!("{}/v1/receipts/{permit}", server.public));
            assert_eq!(status, 200, "round {round}: permit {permit} was answered and is not in the log");
            let fresh = Receipt::parse(std::str::from_utf8(&receipt).unwrap()).unwrap();
            let verified = verify_receipt(&fresh, None, &keys).unwrap();
            assert_eq!(Some(verified.index()), answer["index"].as_u64());
            // The receipt that left before the kill still proves the same leaf.
            let first = Receipt::parse(answer["receipt"].as_str().unwrap()).unwrap();
            let before = verify_receipt(&first, fresh.extra.as_deref(), &keys).unwrap();
            assert_eq!(before.leaf(), verified.leaf());
            let (from, to) = (before.head(), verified.head());
            let proof =
                http.get(&format!("{}/v1/proofs/consistency?from={}&to={}", server.public, from.size, to.size)).1;
            let proof: serde_json::Value = serde_json::from_slice(&proof).unwrap();
            let hashes: Vec<_> =
                proof["proof"].as_array().unwrap().iter().map(|hash| hash.as_str().unwrap().parse().unwrap()).collect();
            verifier::proof::verify_consistency(from.size, to.size, &hashes, &from.root, &to.root).unwrap();
            answered += 1;
        }
        server.kill();
    }
    assert!(answered > kills(), "only {answered} permits were answered: the test tested little");
    ok(["audit", &house.path("log"), "--vkey", &house.vkey]);
    println!("{} kills, {answered} answered permits, all in the log", kills());
}
