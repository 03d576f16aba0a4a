//! Public keys of issuers, and the two algorithms that they sign with.
//!
//! The text of a key says its algorithm: `ed25519:` and the base64 of 32 bytes (RFC 8032 §5.1.5), or `p256:` and the base64 of the 33 bytes
//! of a compressed point (SEC 1 §2.3.3). Guarantees: one spelling for each key; Ed25519 is checked by `verify_strict` with keys of small or
//! mixed order refused; P-256 keys are points of the curve. ECDSA signatures need no low `s`: JWS and COSE do not ask for it, and nothing
//! here counts signatures.

use core::fmt;
use core::str::FromStr;

use p256::ecdsa::signature::Verifier;
use p256::ecdsa::{Signature, VerifyingKey};
use thiserror::Error;

use crate::note::VerifierKey;
use crate::text::{b64, unb64};

/// What an issuer signs with.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Algorithm {
    /// Ed25519: `EdDSA` (RFC 8037 §3.1), −8 (RFC 9053 §2.2).
    EdDsa,
    /// ECDSA on P-256 with SHA-256: `ES256` (RFC 7518 §3.4), −7 (RFC 9053 §2.1).
    Es256,
}

impl Algorithm {
    /// The algorithm that JOSE knows by this name.
    #[must_use]
    pub fn of_jose(name: &str) -> Option<Self> {
        match name {
            "EdDSA" => Some(Self::EdDsa),
            "ES256" => Some(Self::Es256),
            _ => None,
        }
    }

    /// The algorithm that COSE knows by this number.
    #[must_use]
    pub fn of_cose(number: i64) -> Option<Self> {
        match number {
            -8 => Some(Self::EdDsa),
            -7 => Some(Self::Es256),
            _ => None,
        }
    }
}

/// Why text is not a key.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
pub enum KeyError {
    /// Neither `ed25519:` nor `p256:` stands in front.
    #[error("a key is `ed25519:` and base64 of 32 bytes, or `p256:` and base64 of 33 bytes")]
    Form,
    /// Not a point of the curve in its one spelling, or one of small or mixed order.
    #[error("weak or malformed public key")]
    Weak,
}

/// An issuer's public key.
#[derive(Clone, PartialEq, Eq)]
pub struct IssuerKey(Key);

#[derive(Clone, PartialEq, Eq)]
enum Key {
    Ed25519(Box<VerifierKey>),
    P256(Box<VerifyingKey>),
}

const ED25519: &str = "ed25519";
const P256: &str = "p256";

impl IssuerKey {
    /// What it signs with.
    #[must_use]
    pub fn algorithm(&self) -> Algorithm {
        match self.0 {
            Key::Ed25519(_) => Algorithm::EdDsa,
            Key::P256(_) => Algorithm::Es256,
        }
    }

    /// Whether it is the same key as one of a note's.
    #[must_use]
    pub fn is(&self, other: &VerifierKey) -> bool {
        matches!(&self.0, Key::Ed25519(key) if key.key_bytes() == other.key_bytes())
    }

    /// Whether the signature is this key's over the message.
    #[must_use]
    pub fn verify(&self, message: &[u8], signature: &[u8; 64]) -> bool {
        match &self.0 {
            Key::Ed25519(key) => key.verify(message, signature),
            Key::P256(key) => {
                Signature::from_slice(signature).is_ok_and(|signature| key.verify(message, &signature).is_ok())
            }
        }
    }
}

impl FromStr for IssuerKey {
    type Err = KeyError;

    fn from_str(text: &str) -> Result<Self, KeyError> {
        let (name, base64) = text.split_once(':').ok_or(KeyError::Form)?;
        let bytes = unb64(base64).map_err(|_| KeyError::Form)?;
        match name {
            ED25519 => {
                let bytes: [u8; 32] = bytes.try_into().map_err(|_| KeyError::Form)?;
                let key = VerifierKey::new(ED25519, &bytes).map_err(|_| KeyError::Weak)?;
                Ok(Self(Key::Ed25519(Box::new(key))))
            }
            P256 if bytes.len() == 33 => {
                // The reader takes other tags of 33 bytes too: a point has one spelling here.
                bytes.first().filter(|tag| matches!(tag, 2 | 3)).ok_or(KeyError::Weak)?;
                let key = VerifyingKey::from_sec1_bytes(&bytes).map_err(|_| KeyError::Weak)?;
                Ok(Self(Key::P256(Box::new(key))))
            }
            _ => Err(KeyError::Form),
        }
    }
}

impl fmt::Display for IssuerKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.0 {
            Key::Ed25519(key) => write!(f, "{ED25519}:{}", b64(&key.key_bytes())),
            Key::P256(key) => write!(f, "{P256}:{}", b64(key.to_sec1_point(true).as_bytes())),
        }
    }
}

impl fmt::Debug for IssuerKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

#[cfg(test)]
mod tests {
    use p256::ecdsa::SigningKey;
    use p256::ecdsa::signature::Signer;

    use super::*;

    const GOOD: [&str; 2] =
        ["ed25519:6kpsY+KcUgq+9VB7Ey7F+ZVHdq6+vnuSQh7qaRRG0iw=", "p256:A3/Nzidw9sRdQYPL7m/bS3tYBzM1e+nvE7rPbjx70VRF"];

    #[test]
    fn a_key_has_one_spelling() {
        for text in GOOD {
            assert_eq!(text.parse::<IssuerKey>().unwrap().to_string(), text);
        }
        let uncompressed = {
            let key = SigningKey::from_slice(&[7; 32]).unwrap();
            format!("p256:{}", b64(key.verifying_key().to_sec1_point(false).as_bytes()))
        };
        for text in [
            "",
            "6kpsY+KcUgq+9VB7Ey7F+ZVHdq6+vnuSQh7qaRRG0iw=",
            "Ed25519:6kpsY+KcUgq+9VB7Ey7F+ZVHdq6+vnuSQh7qaRRG0iw=",
            "p256:6kpsY+KcUgq+9VB7Ey7F+ZVHdq6+vnuSQh7qaRRG0iw=",
            "ed25519:A3/Nzidw9sRdQYPL7m/bS3tYBzM1e+nvE7rPbjx70VRF",
            "ed25519:6kpsY-KcUgq-9VB7Ey7F-ZVHdq6-vnuSQh7qaRRG0iw=",
            "rsa:AAAA",
            &uncompressed,
        ] {
            assert_eq!(text.parse::<IssuerKey>(), Err(KeyError::Form), "{text}");
        }
        for text in [
            "ed25519:AQAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=",
            "p256:AwAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAB",
            "p256:BX/Nzidw9sRdQYPL7m/bS3tYBzM1e+nvE7rPbjx70VRF",
        ] {
            assert_eq!(text.parse::<IssuerKey>(), Err(KeyError::Weak), "{text}");
        }
    }

    /// JWS and COSE take both of `(r, s)` and `(r, −s)`; DER, zeros and other messages are no signatures.
    #[test]
    fn ecdsa_takes_either_s_and_nothing_else() {
        let signing = SigningKey::from_slice(&[7; 32]).unwrap();
        let key = IssuerKey(Key::P256(Box::new(*signing.verifying_key())));
        let signature: Signature = signing.sign(b"m");
        let bytes: [u8; 64] = signature.to_bytes().into();
        let (r, s) = (signature.r(), -*signature.s());
        let other: [u8; 64] = Signature::from_scalars(r.to_bytes(), s.to_bytes()).unwrap().to_bytes().into();
        assert_ne!(bytes, other);
        assert!(key.verify(b"m", &bytes) && key.verify(b"m", &other));
        assert!(!key.verify(b"n", &bytes) && !key.verify(b"m", &[0; 64]) && !key.verify(b"m", &[0xff; 64]));
    }
}
