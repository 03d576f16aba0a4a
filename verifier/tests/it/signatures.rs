//! Threat 24: signatures that one Ed25519 verifier accepts and another refuses. All of them are refused here, and so are the
//! keys with which they can be made.
//!
//! The equation of RFC 8032 may be checked with or without the factor 8. A signer who adds a point of order 8 to the nonce
//! point or to its key makes signatures that pass the first check and fail the second; batch verification then accepts what
//! single checks refuse, and two auditors disagree about one log.

use curve25519_dalek::{
    constants::{ED25519_BASEPOINT_POINT as B, EIGHT_TORSION},
    edwards::EdwardsPoint,
    scalar::Scalar,
    traits::IsIdentity,
};
use ed25519_dalek::{Signer, SigningKey};
use sha2::{Digest, Sha512};
use verifier::note::{NoteError, VerifierKey};

const MESSAGE: &[u8] = b"a head of the log\n";

/// k = SHA-512(R ‖ A ‖ message) mod ℓ.
fn challenge(r: &EdwardsPoint, a: &EdwardsPoint, message: &[u8]) -> Scalar {
    let mut sha = Sha512::new();
    sha.update(r.compress().as_bytes());
    sha.update(a.compress().as_bytes());
    sha.update(message);
    Scalar::from_bytes_mod_order_wide(&sha.finalize().into())
}

fn signature(r: &EdwardsPoint, s: &Scalar) -> [u8; 64] {
    let mut bytes = [0; 64];
    bytes[..32].copy_from_slice(r.compress().as_bytes());
    bytes[32..].copy_from_slice(s.as_bytes());
    bytes
}

/// The check with the factor 8, which batch verification makes.
fn cofactored(r: &EdwardsPoint, s: &Scalar, a: &EdwardsPoint, message: &[u8]) -> bool {
    let k = challenge(r, a, message);
    (B * s - a * k - r).mul_by_cofactor().is_identity()
}

fn key(bytes: &[u8; 32]) -> Result<VerifierKey, NoteError> {
    VerifierKey::new("log.example", bytes)
}

#[test]
fn a_nonce_point_of_mixed_order_is_refused() {
    let (secret, nonce) = (Scalar::from(7_u64), Scalar::from(11_u64));
    let a = B * secret;
    let key = key(a.compress().as_bytes()).unwrap();
    for torsion in EIGHT_TORSION {
        let r = B * nonce + torsion;
        let s = nonce + challenge(&r, &a, MESSAGE) * secret;
        assert!(cofactored(&r, &s, &a, MESSAGE), "the attack is real");
        assert_eq!(key.verify(MESSAGE, &signature(&r, &s)), torsion.is_identity());
    }
}

#[test]
fn a_nonce_point_of_small_order_is_refused() {
    // s = k·a makes the equation hold for R of small order without any nonce.
    let secret = Scalar::from(7_u64);
    let a = B * secret;
    let key = key(a.compress().as_bytes()).unwrap();
    for r in EIGHT_TORSION {
        let s = challenge(&r, &a, MESSAGE) * secret;
        assert!(cofactored(&r, &s, &a, MESSAGE), "the attack is real");
        assert!(!key.verify(MESSAGE, &signature(&r, &s)));
    }
}

#[test]
fn a_key_of_small_order_is_refused() {
    // Under such a key one signature fits many messages.
    for point in EIGHT_TORSION {
        assert_eq!(key(point.compress().as_bytes()), Err(NoteError::WeakKey));
    }
}

#[test]
fn a_key_of_mixed_order_is_refused() {
    let secret = Scalar::from(7_u64);
    for torsion in EIGHT_TORSION {
        let a = B * secret + torsion;
        let made = key(a.compress().as_bytes());
        assert_eq!(made.is_ok(), torsion.is_identity());
        assert!(made.is_ok() || made == Err(NoteError::WeakKey));
    }
}

#[test]
fn a_signature_under_a_key_of_mixed_order_divides_verifiers_and_therefore_has_no_key_here() {
    // verify_strict itself accepts one in eight of these, batches accept all.
    let (secret, torsion) = (Scalar::from(7_u64), EIGHT_TORSION[1]);
    let a = B * secret + torsion;
    let strict = ed25519_dalek::VerifyingKey::from_bytes(a.compress().as_bytes()).unwrap();
    let (mut accepted, mut refused) = (0, 0);
    for nonce in 1..=64_u64 {
        let nonce = Scalar::from(nonce);
        let r = B * nonce;
        let s = nonce + challenge(&r, &a, MESSAGE) * secret;
        assert!(cofactored(&r, &s, &a, MESSAGE));
        match strict.verify_strict(MESSAGE, &ed25519_dalek::Signature::from_bytes(&signature(&r, &s))) {
            Ok(()) => accepted += 1,
            Err(_) => refused += 1,
        }
    }
    assert!(accepted > 0 && refused > 0, "{accepted} accepted, {refused} refused");
}

#[test]
fn a_second_spelling_of_a_key_is_refused() {
    // y = p + 1 is the point with y = 1; y = p + 3 … p + 18 are other points twice spelled, where they are points at all.
    let mut spellings = 0;
    for low in 0xed..=0xff_u8 {
        for sign in [0x7f, 0xff_u8] {
            let mut bytes = [0xff; 32];
            (bytes[0], bytes[31]) = (low, sign);
            spellings += usize::from(ed25519_dalek::VerifyingKey::from_bytes(&bytes).is_ok());
            assert_eq!(key(&bytes), Err(NoteError::WeakKey), "{low:x} {sign:x}");
        }
    }
    assert!(spellings > 0, "the library alone accepts some of them");
    assert_eq!(key(&[0x02; 32]).is_err(), ed25519_dalek::VerifyingKey::from_bytes(&[0x02; 32]).is_err());
}

#[test]
fn a_scalar_that_is_not_reduced_is_refused() {
    // s and s + ℓ satisfy the same equation; only the smaller one is a signature.
    const ORDER: [u8; 32] = [
        0xed, 0xd3, 0xf5, 0x5c, 0x1a, 0x63, 0x12, 0x58, 0xd6, 0x9c, 0xf7, 0xa2, 0xde, 0xf9, 0xde, 0x14, 0, 0, 0, 0, 0,
        0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0x10,
    ];
    let signing = SigningKey::from_bytes(&[1; 32]);
    let key = key(signing.verifying_key().as_bytes()).unwrap();
    let mut bytes = signing.sign(MESSAGE).to_bytes();
    assert!(key.verify(MESSAGE, &bytes));
    let mut carry = 0_u16;
    for (byte, order) in bytes[32..].iter_mut().zip(ORDER) {
        let sum = u16::from(*byte) + u16::from(order) + carry;
        *byte = u8::try_from(sum & 0xff).unwrap();
        carry = sum >> 8;
    }
    assert!(!key.verify(MESSAGE, &bytes));
}

#[test]
fn every_bit_of_a_signature_and_its_length_count() {
    let signing = SigningKey::from_bytes(&[1; 32]);
    let key = key(signing.verifying_key().as_bytes()).unwrap();
    let good = signing.sign(MESSAGE).to_bytes();
    for bit in 0..512 {
        let mut bytes = good;
        bytes[bit / 8] ^= 1 << (bit % 8);
        assert!(!key.verify(MESSAGE, &bytes), "bit {bit}");
    }
    for length in [0, 1, 63] {
        assert!(!key.verify(MESSAGE, &good[..length]));
    }
    assert!(!key.verify(MESSAGE, &[&good[..], &[0]].concat()));
    assert!(!key.verify(b"a head of the log", &good));
}
