//! Issuers as tests need them: keys of both algorithms, and evidence in all three forms.

use ed25519_dalek::Signer as _;
use serde_json::{Value, json};
use verifier::cbor::Encoder;
use verifier::evidence::cwt::signed_bytes;
use verifier::evidence::dsse::{IN_TOTO, pae};
use verifier::evidence::statement::STATEMENT;
use verifier::text::{b64, b64url, hex};

use crate::support::ORIGIN;

/// An issuer's key.
#[derive(Clone)]
pub enum Key {
    Ed25519(ed25519_dalek::SigningKey),
    P256(p256::ecdsa::SigningKey),
}

pub fn ed25519(seed: u8) -> Key {
    Key::Ed25519(ed25519_dalek::SigningKey::from_bytes(&[seed; 32]))
}

pub fn p256(seed: u8) -> Key {
    Key::P256(p256::ecdsa::SigningKey::from_slice(&[seed; 32]).unwrap())
}

impl Key {
    /// As a trust file has it.
    pub fn public(&self) -> String {
        match self {
            Self::Ed25519(key) => format!("ed25519:{}", b64(key.verifying_key().as_bytes())),
            Self::P256(key) => format!("p256:{}", b64(key.verifying_key().to_sec1_point(true).as_bytes())),
        }
    }

    pub fn alg(&self) -> &'static str {
        match self {
            Self::Ed25519(_) => "EdDSA",
            Self::P256(_) => "ES256",
        }
    }

    fn sign(&self, message: &[u8]) -> [u8; 64] {
        match self {
            Self::Ed25519(key) => key.sign(message).to_bytes(),
            Self::P256(key) => {
                let signature: p256::ecdsa::Signature = key.sign(message);
                signature.to_bytes().into()
            }
        }
    }

    /// A compact JWS under whatever header.
    pub fn jws(&self, header: &Value, payload: &Value) -> String {
        let message = format!("{}.{}", b64url(header.to_string().as_bytes()), b64url(payload.to_string().as_bytes()));
        let signature = self.sign(message.as_bytes());
        format!("{message}.{}", b64url(&signature))
    }

    pub fn jwt(&self, payload: &Value) -> String {
        self.jws(&json!({ "alg": self.alg(), "typ": "JWT" }), payload)
    }

    /// An envelope with an in-toto statement about one artifact.
    pub fn envelope(&self, issuer: &str, digest: [u8; 32], predicate_type: &str, predicate: &Value) -> Value {
        let statement = json!({
            "_type": STATEMENT,
            "subject": [{ "name": "tool", "digest": { "sha256": hex(&digest) } }],
            "predicateType": predicate_type,
            "predicate": predicate,
        });
        let payload = statement.to_string().into_bytes();
        let signature = self.sign(&pae(IN_TOTO, &payload));
        json!({
            "payloadType": IN_TOTO,
            "payload": b64(&payload),
            "signatures": [{ "keyid": issuer, "sig": b64(&signature) }],
        })
    }

    /// The claims of [`attested`] as a CWT, in base64url.
    pub fn cwt(&self, claims: &Value) -> String {
        let protected = match self {
            Self::Ed25519(_) => [0xa1, 0x01, 0x27],
            Self::P256(_) => [0xa1, 0x01, 0x26],
        };
        let payload = eat_cbor(claims);
        let signature = self.sign(&signed_bytes(&protected, &payload));
        let mut out = Vec::new();
        let mut e = Encoder(&mut out);
        e.tag(18);
        e.array(4);
        e.bytes(&protected);
        e.map(0);
        e.bytes(&payload);
        e.bytes(&signature);
        b64url(&out)
    }
}

/// What an attestation of an environment says, fresh at a time in milliseconds.
pub fn attested(issuer: &str, subject: &str, nonce: &str, measured: &[(&str, [u8; 32])], now_ms: u64) -> Value {
    let component =
        |(name, digest): &(&str, [u8; 32])| json!({ "measurement-type": name, "measurement-value": b64url(digest) });
    json!({
        "iss": issuer,
        "sub": subject,
        "aud": ORIGIN,
        "iat": now_ms / 1_000,
        "exp": now_ms / 1_000 + 600,
        "eat_nonce": nonce,
        "dbgstat": "disabled",
        "psa-software-components": measured.iter().map(component).collect::<Vec<_>>(),
    })
}

fn eat_cbor(claims: &Value) -> Vec<u8> {
    let mut out = Vec::new();
    let mut e = Encoder(&mut out);
    e.map(8);
    for (key, name) in [(1, "iss"), (2, "sub"), (3, "aud")] {
        e.uint(key);
        e.text(claims[name].as_str().unwrap());
    }
    for (key, name) in [(4, "exp"), (6, "iat")] {
        e.uint(key);
        e.uint(claims[name].as_u64().unwrap());
    }
    e.uint(10);
    e.bytes(claims["eat_nonce"].as_str().unwrap().as_bytes());
    e.uint(263);
    e.uint(if claims["dbgstat"] == "enabled" { 0 } else { 1 });
    e.uint(2399);
    let components = claims["psa-software-components"].as_array().unwrap();
    e.array(components.len());
    for component in components {
        e.map(2);
        e.uint(1);
        e.text(component["measurement-type"].as_str().unwrap());
        e.uint(2);
        e.bytes(&verifier::text::unb64url(component["measurement-value"].as_str().unwrap()).unwrap());
    }
    out
}
