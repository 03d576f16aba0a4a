//! A receipt of a real server under a reader's policy: verified once the witnesses that the policy asks for cosigned its head, and not before.

use ed25519_dalek::{Signer, SigningKey};
use verifier::cosignature::{WitnessKey, signed_bytes};
use verifier::note::Note;
use verifier::text::b64;

use crate::house::{House, Http, interlock, ok, refund};

#[test]
fn a_receipt_is_verified_under_a_policy_once_its_quorum_cosigned() {
    let house = House::new();
    house.publish("hello");
    let server = house.serve();
    let (_, answer) = Http::new().decide(&server.decisions, &house.api_key, &refund(1)).unwrap();
    let receipt = house.path("r.tlog-proof");
    ok(["receipt", answer["permit"].as_str().unwrap(), "-o", &receipt, "--url", &server.public]);
    let signing = SigningKey::from_bytes(&[9; 32]);
    let witness = WitnessKey::new("witness.example/w1", signing.verifying_key().as_bytes()).unwrap();
    let write = |name: &str, text: String| {
        std::fs::write(house.path(name), text).unwrap();
        house.path(name)
    };
    let policy = |quorum: &str| format!("log {}\nwitness w1 {witness}\nquorum {quorum}\n", house.vkey);
    let (asks, asks_nobody) = (write("asks", policy("w1")), write("nobody", policy("none")));
    let judged = |file: &str, policy: &str| {
        let output = interlock(["verify", file, "--policy", policy]);
        (output.status.code().unwrap(), String::from_utf8(output.stdout).unwrap())
    };
    assert_eq!(judged(&receipt, &asks_nobody).0, 0);
    let (exit, said) = judged(&receipt, &asks);
    assert!(exit == 6 && said.contains("--    witness w1: no cosignature") && said.contains("(no_quorum)"), "{said}");

    let text = std::fs::read_to_string(&receipt).unwrap();
    let note = Note::parse(text.split_once("\n\n").unwrap().1).unwrap();
    let time = 1_800_000_000_u64;
    let cosignature = [&time.to_be_bytes()[..], &signing.sign(&signed_bytes(time, &note.text)).to_bytes()].concat();
    let line = format!("\u{2014} {} {}\n", witness.name(), b64(&[&witness.id()[..], &cosignature].concat()));
    let cosigned = write("cosigned.tlog-proof", format!("{text}{line}"));
    let (exit, said) = judged(&cosigned, &asks);
    assert!(exit == 0 && said.contains("ok    witness w1: cosigned at 2027-01-15T08:00:00.000Z"), "{said}");
    assert!(said.contains("ok    witnessed: the quorum of your policy cosigned that head"), "{said}");
    let forged = write("forged.tlog-proof", format!("{text}{}", line.replace("AAAA", "AAAB")));
    assert_eq!(judged(&forged, &asks).0, 1, "a line of a known witness that fails voids the head");
    // A policy that is none ends the command before anything is judged.
    let (exit, said) = judged(&cosigned, &write("none", "quorum w1\n".into()));
    assert_eq!((exit, said.as_str()), (2, ""));
}
