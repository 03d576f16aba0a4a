//! Requests that an agent signs (RFC 9421 over RFC 9530's digest): each with a nonce of its own, so each is good for one time.

use ed25519_dalek::{Signer, SigningKey};
use sha2::{Digest, Sha256};
use verifier::text::b64;

/// How long a signature holds, seconds.
const HOLDS_S: u64 = 280;

/// An agent's key, of a named seed.
#[derive(Debug)]
pub struct Agent {
    key: SigningKey,
    origin: String,
}

impl Agent {
    /// The agent of a log.
    #[must_use]
    pub fn new(origin: &str) -> Self {
        Agent { key: SigningKey::from_bytes(&[0x49; 32]), origin: origin.to_owned() }
    }

    /// The trust configuration that lets it speak for subjects of a type.
    #[must_use]
    pub fn trust(&self, subjects: &str) -> String {
        let key = b64(self.key.verifying_key().as_bytes());
        format!("[[agents]]\nid = 'bench'\nkey = '{key}'\nsubjects = ['{subjects}']\n")
    }

    /// A signed `POST` of a JSON body with a bearer token, good from `now_s` (Unix seconds) on; `nonce` numbers it.
    #[must_use]
    pub fn post(&self, path: &str, bearer: &str, body: &[u8], now_s: u64, nonce: usize) -> Vec<u8> {
        let digest = format!("sha-256=:{}:", b64(&Sha256::digest(body)));
        let params = format!(
            "(\"@method\" \"@path\" \"content-digest\");created={now_s};expires={};nonce=\"n{nonce}\";keyid=\"bench\";tag=\"{}\"",
            now_s + HOLDS_S,
            self.origin
        );
        let base = format!(
            "\"@method\": POST\n\"@path\": {path}\n\"content-digest\": {digest}\n\"@signature-params\": {params}"
        );
        let signature = b64(&self.key.sign(base.as_bytes()).to_bytes());
        let head = format!(
            "POST {path} HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer {bearer}\r\nContent-Type: application/json\r\n\
             Signature-Input: sig={params}\r\nSignature: sig=:{signature}:\r\nContent-Digest: {digest}\r\nContent-Length: {}\r\n\r\n",
            body.len()
        );
        [head.as_bytes(), body].concat()
    }
}
