//! Cosignatures and policies against vectors that others made, and the arithmetic of quorums over every set of witnesses.

use ed25519_dalek::{Signer, SigningKey};
use verifier::cosignature::{WitnessKey, signed_bytes};
use verifier::note::{Note, VerifierKey};
use verifier::policy::Policy;
use verifier::text::b64;

const LOG: &str = "ledger.example/evidence+6115c7bb+AYqI4910CfGV/VLbLTy6XXLKZwm/HZQSG/N0iAG0D29c";
const WITNESS: &str = "witness.example/w1+df1c0a35+BIE5dw6ofRdfVqNUZsNMfszLjYqRtO43ol32D1uPybOU";
/// Made and checked by an independent implementation.
const HEAD: &str = "ledger.example/evidence
3
AGY868XbXobp8XZfZbJMmU/3CMbVFFNGO6OZYeEjAMc=

\u{2014} ledger.example/evidence YRXHu9jnsgegQ8r02TWvuGnYmCNsVd25BW5ZYVmePwH5U/Vwf53FrTGCkV6woGwi4hG9KTuq5W0p1m5vDMDBwcWgsgk=
\u{2014} witness.example/w1 3xwKNQAAAABlU/EA161bI5fznznbBWF+cRRDwHCHfo7I2IVszaonrIFuhcHvVGmGvdBAVnVYpP3VNkJYq6Owg13R39eUrrcc510EAg==
";

#[test]
fn a_cosignature_of_another_implementation_verifies_under_its_key_and_time() {
    let key: WitnessKey = WITNESS.parse().unwrap();
    assert_eq!(key.to_string(), WITNESS);
    let note = Note::parse(HEAD).unwrap();
    assert_eq!(key.verify(&note.text, &note.signatures[1].bytes), Some(1_700_000_000));
    assert_eq!(key.verify(&note.text, &note.signatures[0].bytes), None);
    let policy = Policy::parse(format!("log {LOG}\nwitness w1 {WITNESS}\nquorum w1\n").as_bytes()).unwrap();
    let witnessing = policy.witnessing(HEAD).unwrap();
    assert!(witnessing.met);
    assert_eq!(witnessing.each, [("w1".to_owned(), Some(1_700_000_000))]);
}

#[test]
fn a_key_of_a_log_is_no_witness_and_the_other_way_round() {
    assert!(LOG.parse::<WitnessKey>().is_err());
    assert!(WITNESS.parse::<VerifierKey>().is_err());
}

/// The example of the specification: two of three, and one of three others.
#[test]
fn a_quorum_is_met_by_exactly_the_sets_of_witnesses_that_the_policy_says() {
    let witnesses: Vec<(SigningKey, String)> =
        (0..6_u8).map(|n| (SigningKey::from_bytes(&[n + 1; 32]), format!("w.example/{n}"))).collect();
    let key =
        |(signing, name): &(SigningKey, String)| WitnessKey::new(name, signing.verifying_key().as_bytes()).unwrap();
    let lines = |range: std::ops::Range<usize>| -> String {
        range.map(|n| format!("witness W{n} {}\n", key(&witnesses[n]))).collect()
    };
    let text = format!(
        "{}group X 2 W0 W1 W2\n{}group Y any W3 W4 W5\ngroup both all X Y\nquorum both\n",
        lines(0..3),
        lines(3..6)
    );
    let policy = Policy::parse(text.as_bytes()).unwrap();
    let body = "log.example\n0\n47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU=\n";
    let line = |witness: &(SigningKey, String)| {
        let signature = witness.0.sign(&signed_bytes(1, body)).to_bytes();
        let bytes = [&key(witness).id()[..], &1_u64.to_be_bytes(), &signature].concat();
        format!("\u{2014} {} {}\n", witness.1, b64(&bytes))
    };
    for set in 0..64_u32 {
        let chosen: Vec<usize> = (0..6).filter(|n| set >> n & 1 == 1).collect();
        let signed: String = chosen.iter().map(|n| line(&witnesses[*n])).collect();
        let note = format!("{body}\n\u{2014} log.example AAAAAAA=\n{signed}");
        let met = (set & 0b111).count_ones() >= 2 && (set & 0b11_1000) != 0;
        let witnessing = policy.witnessing(&note).unwrap();
        assert_eq!(witnessing.met, met, "{chosen:?}");
        assert_eq!(witnessing.each.iter().filter(|(_, seen)| seen.is_some()).count(), chosen.len());
    }
}
