//! Signatures and keys that must not be believed.

use curve25519_dalek::constants::{ED25519_BASEPOINT_POINT as B, EIGHT_TORSION};
use curve25519_dalek::edwards::EdwardsPoint;
use curve25519_dalek::scalar::Scalar;
use ed25519_dalek::Signer;
use sha2::{Digest, Sha512};
use verifier::checkpoint::Checkpoint;
use verifier::note::{VerifierKey, key_id, signature_line};
use verifier::text::{b64, hex, unhex};

use crate::corpus::log::ORIGIN;
use crate::corpus::{Case, Kind, Log, OTHER};

/// Signatures that one verifier accepts and another refuses, and plain forgeries.
pub fn signatures(log: &Log) -> Vec<Case> {
    let text = Checkpoint { origin: ORIGIN.into(), size: 9, root: log.root(9) }.text();
    let message = text.as_bytes();
    let note =
        |signature: &[u8]| format!("{text}\n\u{2014} {ORIGIN} {}\n", b64(&[&log.vkey().id()[..], signature].concat()));
    let good = log.signing.sign(message).to_bytes();
    let changed = |at: usize, bit: u8| {
        let mut bytes = good;
        bytes[at] ^= bit;
        note(&bytes)
    };
    let secret = log.signing.to_scalar();
    let public = EdwardsPoint::mul_base(&secret);
    let made = |r: EdwardsPoint, s: &dyn Fn(Scalar) -> Scalar| {
        let mut sha = Sha512::new();
        sha.update(r.compress().as_bytes());
        sha.update(public.compress().as_bytes());
        sha.update(message);
        let k = Scalar::from_bytes_mod_order_wide(&sha.finalize().into());
        note(&[*r.compress().as_bytes(), s(k).to_bytes()].concat())
    };
    let nonce = Scalar::from(11_u64);
    let mut negative_zero = good;
    negative_zero[..32].copy_from_slice(&[[1].as_slice(), &[0; 30], &[0x80]].concat());
    let mut notes = vec![
        ("a bit of R flipped".to_owned(), changed(0, 1)),
        ("the sign of R flipped".to_owned(), changed(31, 0x80)),
        ("a bit of S flipped".to_owned(), changed(32, 1)),
        ("the highest bit of S set".to_owned(), changed(63, 0x80)),
        ("S plus the order".to_owned(), note(&plus_order(good))),
        ("zeros".to_owned(), note(&[0; 64])),
        ("R that is a negative zero".to_owned(), note(&negative_zero)),
        ("63 bytes".to_owned(), note(&good[..63])),
        ("65 bytes".to_owned(), note(&[&good[..], &[0]].concat())),
        ("that of another text".to_owned(), format!("{text}\n{}", log.line("x\n"))),
        ("that of the COSE form".to_owned(), note(&log.inclusion(4, 9).signature)),
        (
            "one that holds and one that does not".to_owned(),
            format!("{}{}", log.sign(&text), changed(0, 1).split("\n\n").nth(1).unwrap()),
        ),
    ];
    for (number, torsion) in EIGHT_TORSION.iter().enumerate().skip(1) {
        notes.push((format!("R of mixed order {number}"), made(B * nonce + torsion, &|k| nonce + k * secret)));
        notes.push((format!("R of small order {number}"), made(*torsion, &|k| k * secret)));
    }
    notes.push(("R that is the neutral element".to_owned(), made(EIGHT_TORSION[0], &|k| k * secret)));
    let mut cases: Vec<Case> =
        notes.iter().map(|(name, note)| log.evidence(format!("signature: {name}"), note.as_str())).collect();
    // What was signed is told by name and id together.
    for (name, line) in [
        ("another id", signature_line(ORIGIN, [9; 4], &good)),
        ("another name", signature_line(OTHER, log.vkey().id(), &good)),
    ] {
        cases.push(log.evidence(format!("signature under {name}"), format!("{text}\n{line}")));
    }
    cases
}

/// s + ℓ satisfies the same equation as s.
fn plus_order(mut signature: [u8; 64]) -> [u8; 64] {
    let order = unhex("edd3f55c1a631258d69cf7a2def9de1400000000000000000000000000000010").unwrap();
    let mut carry = 0_u16;
    for (byte, order) in signature[32..].iter_mut().zip(order) {
        let sum = u16::from(*byte) + u16::from(order) + carry;
        *byte = u8::try_from(sum & 0xff).unwrap();
        carry = sum >> 8;
    }
    signature
}

/// Texts that are no verification keys, and keys that nobody should believe.
pub fn keys(log: &Log) -> Vec<Case> {
    let good = log.vkey().to_string();
    let spelled = |name: &str, bytes: &[u8]| {
        let text = [&[1][..], bytes].concat();
        format!("{name}+{}+{}", hex(&key_id(name, 1, bytes)), b64(&text))
    };
    let secret = Scalar::from(7_u64);
    let mut cases: Vec<(String, String)> = [
        ("one part", "ledger.example".to_owned()),
        ("two parts", good.get(..good.rfind('+').unwrap()).unwrap().replacen('+', "", 1)),
        ("nothing", String::new()),
        ("another id", good.replace("6115c7bb", "6115c7bc")),
        ("an id in upper case", good.replace("6115c7bb", "6115C7BB")),
        ("an id of three bytes", good.replace("6115c7bb", "6115c7")),
        ("a newline behind it", format!("{good}\n")),
        ("another name", good.replace("evidence", "other")),
        ("no name", spelled("", &[0x58; 32])),
        ("a space in its name", spelled("a b", log.vkey().key_bytes().as_slice())),
        ("a wide space in its name", spelled("a\u{3000}b", log.vkey().key_bytes().as_slice())),
        ("a control character in its name", spelled("a\u{7f}b", log.vkey().key_bytes().as_slice())),
        ("a name of 256 bytes", spelled(&"n".repeat(256), log.vkey().key_bytes().as_slice())),
        ("31 bytes", spelled(ORIGIN, &[7; 31])),
        ("no bytes", format!("{ORIGIN}+00000000+")),
        ("another algorithm", format!("{ORIGIN}+00000000+{}", b64(&[2; 33]))),
        ("base64 without padding", format!("{good}A")),
        (
            "no point",
            spelled(
                ORIGIN,
                &(0..=255_u8).map(|low| [low; 32]).find(|bytes| VerifierKey::new("n", bytes).is_err()).unwrap(),
            ),
        ),
        ("y = p", spelled(ORIGIN, &spelling(0xed, 0x7f))),
        ("y = p + 1", spelled(ORIGIN, &spelling(0xee, 0x7f))),
        ("y = p + 3", spelled(ORIGIN, &spelling(0xf0, 0x7f))),
        ("a negative zero", spelled(ORIGIN, &[[1].as_slice(), &[0; 30], &[0x80]].concat())),
    ]
    .map(|(name, text)| (name.to_owned(), text))
    .into();
    for (number, torsion) in EIGHT_TORSION.iter().enumerate() {
        cases.push((format!("small order {number}"), spelled(ORIGIN, torsion.compress().as_bytes())));
        if number > 0 {
            let mixed = (B * secret + torsion).compress();
            cases.push((format!("mixed order {number}"), spelled(ORIGIN, mixed.as_bytes())));
        }
    }
    cases.into_iter().map(|(name, text)| Case::new(format!("key with {name}"), Kind::Key, text)).collect()
}

/// 2^255 − 256 + `low`, with the last byte given: the spellings at and above the field's prime.
fn spelling(low: u8, last: u8) -> [u8; 32] {
    let mut bytes = [0xff; 32];
    (bytes[0], bytes[31]) = (low, last);
    bytes
}
