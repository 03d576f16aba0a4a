//! Evidence that a request brings: what issuers state and sign about its subject, model, tool or environment.
//!
//! Three signed forms (JWS compact, DSSE, COSE_Sign1) and three vocabularies (JWT claims, in-toto statements, EAT). Each reader takes one
//! closed form, has a limit on everything, and gives back the [`Signed`] bytes beside what they say. Guarantees: what is read is what was
//! signed; the key that is asked says the algorithm, never the token. Does not: know issuers, look at a clock, or fetch anything; the
//! authorizer asks an epoch whose word counts, and for what.

pub mod claims;
pub mod cwt;
pub mod dsse;
pub mod eat;
pub mod jws;
pub mod key;
pub mod statement;

use thiserror::Error;

use crate::cbor::CborError;
use key::{Algorithm, IssuerKey};

/// One token or envelope has at most so many bytes: a token is a handful of claims, a statement a page; eight of them fit two requests.
pub const MAX_TOKEN: usize = 16 * 1024;
/// A name (issuer, subject, audience, measurement) has at most so many bytes.
pub const MAX_NAME: usize = 1_024;
/// A token has at most so many claims, components or subjects.
pub const MAX_PARTS: usize = 64;

/// Why bytes are not evidence of the closed form.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum EvidenceError {
    /// More than [`MAX_TOKEN`] bytes.
    #[error("evidence has more than 16,384 bytes")]
    TooLong,
    /// Not three parts (JWS), not the three fields and one signature (DSSE), not a COSE_Sign1.
    #[error("evidence is not of its form")]
    Form,
    /// Base64 in another spelling than the form has.
    #[error("base64 is not in its one spelling")]
    Base64,
    /// Not strict JSON, or a key stands twice.
    #[error("not strict JSON")]
    Json,
    /// Not CBOR in its preferred definite form.
    #[error("malformed CBOR: {0}")]
    Cbor(#[from] CborError),
    /// A header that is not understood: such as `crit`, `b64`, `jwk`, `jku`, `x5c`.
    #[error("a header parameter is unknown, missing or malformed")]
    Header,
    /// An algorithm that is not taken, `none` among them.
    #[error("algorithm is neither `EdDSA` nor `ES256`")]
    Algorithm,
    /// Not 64 bytes.
    #[error("signature has not 64 bytes")]
    Signature,
    /// A payload type that is not taken.
    #[error("payload is of another type")]
    Type,
    /// A claim that is missing, stands twice or has a value that it cannot have.
    #[error("claim `{0}` is missing or malformed")]
    Claim(&'static str),
    /// More than [`MAX_PARTS`].
    #[error("more than 64 claims, components or subjects")]
    TooMany,
}

/// Why a signature does not count.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
pub enum NotSigned {
    /// The token names another algorithm than the key has.
    #[error("the token names another algorithm than the key has")]
    Algorithm,
    /// The key did not sign these bytes.
    #[error("the key did not sign this")]
    Signature,
}

/// Bytes and a signature over them, nothing verified.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Signed {
    /// What the signature is over.
    pub message: Vec<u8>,
    /// What the form says of the algorithm; DSSE says nothing.
    pub algorithm: Option<Algorithm>,
    /// Ed25519 (RFC 8032), or `r ‖ s` of ECDSA (RFC 7518 §3.4).
    pub signature: [u8; 64],
}

impl Signed {
    /// Whether it is this key's. The algorithm is the key's: a token that names another one is refused before anything is computed.
    ///
    /// # Errors
    /// [`NotSigned`].
    pub fn is_by(&self, key: &IssuerKey) -> Result<(), NotSigned> {
        if self.algorithm.is_some_and(|algorithm| algorithm != key.algorithm()) {
            return Err(NotSigned::Algorithm);
        }
        if key.verify(&self.message, &self.signature) { Ok(()) } else { Err(NotSigned::Signature) }
    }
}
