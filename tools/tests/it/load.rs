//! Clients that ask for permits while something is done to the server, and what must hold of every permit that they got.

use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, Ordering};

use serde_json::Value;
use verifier::proof::verify_consistency;
use verifier::receipt::Receipt;
use verifier::verify::{LogKey, verify_receipt};

use crate::house::{House, Http, Server, refund};

/// Enough to have several requests in a batch, and another batch under way.
const CLIENTS: usize = 3;

/// What clients were answered so far.
#[derive(Default)]
pub struct Answers {
    allowed: Mutex<Vec<Value>>,
    /// Somebody was told that the log cannot be written: the ledger is poisoned from then on.
    refused: AtomicBool,
}

impl Answers {
    /// The permits that were answered so far.
    pub fn so_far(&self) -> Vec<Value> {
        self.allowed.lock().unwrap().clone()
    }

    pub fn refused(&self) -> bool {
        self.refused.load(Ordering::Acquire)
    }
}

/// Asks for permits from three sides until `meanwhile` is over or the server is gone; answers the permits that were given. Once anybody was
/// told that the log cannot be written, nobody who asks later is allowed anything.
pub fn under_load(house: &House, server: &Server, meanwhile: impl FnOnce(&Answers)) -> Vec<Value> {
    let (answers, over) = (Answers::default(), AtomicBool::new(false));
    std::thread::scope(|scope| {
        for _ in 0..CLIENTS {
            scope.spawn(|| {
                let http = Http::new();
                while !over.load(Ordering::Relaxed) {
                    let refused = answers.refused();
                    match http.decide(&server.decisions, &house.api_key, &refund(1)) {
                        // A slow machine may deny what waited too long.
                        Some((200, answer)) if answer["decision"] != true => {}
                        Some((200, answer)) => {
                            assert!(!refused, "allowed after a refusal: {answer}");
                            answers.allowed.lock().unwrap().push(answer);
                        }
                        Some((503, answer)) => {
                            assert_ne!(answer["decision"], true);
                            answers.refused.fetch_or(answer["code"] == "unavailable", Ordering::AcqRel);
                        }
                        Some((status, answer)) => panic!("{status}: {answer}"),
                        None => break,
                    }
                }
            });
        }
        meanwhile(&answers);
        over.store(true, Ordering::Relaxed);
    });
    answers.allowed.into_inner().unwrap()
}

/// Each of these permits is in the log that the server serves, proves itself there, and what was proved with it before still holds.
pub fn all_there(house: &House, server: &Server, allowed: &[Value], story: &str) {
    let http = Http::new();
    let keys = [LogKey::unlimited(house.vkey.parse().unwrap())];
    for answer in allowed {
        let permit = answer["permit"].as_str().unwrap();
        let (status, receipt) = http.get(&format!("{}/v1/receipts/{permit}", server.public));
        assert_eq!(status, 200, "{story}: permit {permit} was answered and is not in the log");
        let fresh = Receipt::parse(std::str::from_utf8(&receipt).unwrap()).unwrap();
        let verified = verify_receipt(&fresh, None, &keys).unwrap();
        assert_eq!(Some(verified.index()), answer["index"].as_u64());
        // The receipt that left before still proves the same leaf, under a head that is not contradicted.
        let first = Receipt::parse(answer["receipt"].as_str().unwrap()).unwrap();
        let before = verify_receipt(&first, fresh.extra.as_deref(), &keys).unwrap();
        assert_eq!(before.leaf(), verified.leaf());
        let (from, to) = (before.head(), verified.head());
        let proof = http.get(&format!("{}/v1/proofs/consistency?from={}&to={}", server.public, from.size, to.size)).1;
        let proof: Value = serde_json::from_slice(&proof).unwrap();
        let hashes: Vec<_> =
            proof["proof"].as_array().unwrap().iter().map(|hash| hash.as_str().unwrap().parse().unwrap()).collect();
        verify_consistency(from.size, to.size, &hashes, &from.root, &to.root).unwrap();
    }
}

/// The log goes on: one more permit is given, and it is there.
pub fn goes_on(house: &House, server: &Server, story: &str) {
    let (status, answer) = Http::new().decide(&server.decisions, &house.api_key, &refund(1)).unwrap();
    assert_eq!((status, &answer["decision"]), (200, &true.into()), "{story}: {answer}");
    all_there(house, server, &[answer], story);
}
