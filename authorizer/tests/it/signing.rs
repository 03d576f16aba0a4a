//! Signatures over bodies as tests need them, made by hand from RFC 9421 and RFC 9530, part by part.

use ed25519_dalek::{Signer, SigningKey};
use sha2::{Digest, Sha256};
use verifier::text::b64;

use crate::support::ORIGIN;

/// Where native requests go.
pub const NATIVE: &str = "/v1/decisions";

/// A signature, part by part; each test changes one.
#[derive(Clone)]
pub struct Parts {
    pub seed: u8,
    pub path: &'static str,
    pub key_id: &'static str,
    pub created: u64,
    pub expires: u64,
    pub nonce: String,
    pub tag: &'static str,
}

impl Parts {
    /// One that holds for a minute from `created` on, in seconds.
    pub fn of(key_id: &'static str, seed: u8, created: u64, nonce: &str) -> Self {
        Parts { seed, path: NATIVE, key_id, created, expires: created + 60, nonce: nonce.into(), tag: ORIGIN }
    }
}

pub fn key(seed: u8) -> SigningKey {
    SigningKey::from_bytes(&[seed; 32])
}

/// The three header fields of a `POST`.
pub fn sign(parts: &Parts, body: &[u8]) -> [(&'static str, String); 3] {
    let Parts { seed, path, key_id, created, expires, nonce, tag } = parts;
    let digest = format!("sha-256=:{}:", b64(&Sha256::digest(body)));
    let params = format!(
        "(\"@method\" \"@path\" \"content-digest\");created={created};expires={expires};nonce=\"{nonce}\";keyid=\"{key_id}\";tag=\"{tag}\""
    );
    let base =
        format!("\"@method\": POST\n\"@path\": {path}\n\"content-digest\": {digest}\n\"@signature-params\": {params}");
    let signature = b64(&key(*seed).sign(base.as_bytes()).to_bytes());
    [
        ("Signature-Input", format!("sig={params}")),
        ("Signature", format!("sig=:{signature}:")),
        ("Content-Digest", digest),
    ]
}
