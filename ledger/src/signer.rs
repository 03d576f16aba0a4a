//! Signs notes with Ed25519 under a named key (C2SP signed-note, type 0x01).
//!
//! Guarantees: the same text always gets the same signature (RFC 8032 §5.1.6), so every head of a log can be derived again from its size
//! and root; the seed is wiped from memory when the signer is dropped and appears in no `Debug` output.
//! Does not: decide what may be signed. Whoever holds a signer can sign anything; the ledger gives it heads only.

use std::fmt;

use ed25519_dalek::{Signer as _, SigningKey};
use verifier::cose::signed_bytes;
use verifier::note::{NoteError, VerifierKey, signature_line};
use verifier::text;
use zeroize::Zeroizing;

use crate::head::Head;

/// The type byte of Ed25519 in key texts and key ids.
const ED25519: u8 = 0x01;

/// Why a text is not a signing key.
#[derive(Debug, thiserror::Error)]
pub enum SignerError {
    /// Not `PRIVATE+KEY+<name>+<hex id>+<base64 of 0x01 ‖ seed>`.
    #[error("signing key is not of the form `PRIVATE+KEY+name+id+key`")]
    Malformed,
    /// The id is not that of the name and key.
    #[error("signing key's id does not belong to its name and key")]
    WrongId,
    /// The name or the key cannot be used.
    #[error("signing key's name or public half is unusable: {0}")]
    Unusable(#[from] NoteError),
    /// The system gave no random bytes.
    #[error("the system gave no random bytes")]
    NoRandomness,
}

/// A named Ed25519 key that signs notes.
pub struct Signer {
    key: SigningKey,
    verifier_key: VerifierKey,
}

impl fmt::Debug for Signer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Signer").field("verifier_key", &self.verifier_key).finish_non_exhaustive()
    }
}

impl Signer {
    /// A fresh key from the system's random source.
    pub fn generate(name: &str) -> Result<Self, SignerError> {
        let mut seed = Zeroizing::new([0; 32]);
        getrandom::fill(seed.as_mut_slice()).map_err(|_| SignerError::NoRandomness)?;
        Self::from_seed(name, &seed)
    }

    /// The key of a 32-byte seed (RFC 8032).
    pub fn from_seed(name: &str, seed: &[u8; 32]) -> Result<Self, SignerError> {
        let key = SigningKey::from_bytes(seed);
        let verifier_key = VerifierKey::new(name, &key.verifying_key().to_bytes())?;
        Ok(Self { key, verifier_key })
    }

    /// Reads the text that [`Signer::skey`] writes (the form of Go's `golang.org/x/mod/sumdb/note`); white space around it is ignored.
    pub fn from_skey(text: &str) -> Result<Self, SignerError> {
        let rest = text.trim().strip_prefix("PRIVATE+KEY+").ok_or(SignerError::Malformed)?;
        let (name, rest) = rest.split_once('+').ok_or(SignerError::Malformed)?;
        let (id, key) = rest.split_once('+').ok_or(SignerError::Malformed)?;
        let bytes = Zeroizing::new(text::unb64(key).map_err(|_| SignerError::Malformed)?);
        let (&ED25519, seed) = bytes.split_first().ok_or(SignerError::Malformed)? else {
            return Err(SignerError::Malformed);
        };
        let signer = Self::from_seed(name, seed.try_into().map_err(|_| SignerError::Malformed)?)?;
        if id != text::hex(&signer.verifier_key.id()) {
            return Err(SignerError::WrongId);
        }
        Ok(signer)
    }

    /// The whole key as text; wiped when dropped.
    pub fn skey(&self) -> Zeroizing<String> {
        let mut bytes = Zeroizing::new(vec![ED25519]);
        bytes.extend_from_slice(Zeroizing::new(self.key.to_bytes()).as_slice());
        let key = Zeroizing::new(text::b64(&bytes));
        let id = text::hex(&self.verifier_key.id());
        Zeroizing::new(format!("PRIVATE+KEY+{}+{id}+{}", self.verifier_key.name(), key.as_str()))
    }

    /// The 32-byte seed (RFC 8032), from which other secrets of the same holder may be derived; wiped when dropped.
    pub fn seed(&self) -> Zeroizing<[u8; 32]> {
        Zeroizing::new(self.key.to_bytes())
    }

    /// The public half.
    pub fn verifier_key(&self) -> &VerifierKey {
        &self.verifier_key
    }

    /// The 64 bytes of the signature over a text.
    pub fn sign(&self, text: &str) -> [u8; 64] {
        self.key.sign(text.as_bytes()).to_bytes()
    }

    /// The 64 bytes of the signature of a COSE receipt under a head (RFC 9942). Only heads have one: a root that was never published is
    /// never signed in any form.
    pub(crate) fn sign_cose(&self, head: &Head) -> [u8; 64] {
        self.key.sign(&signed_bytes(&head.checkpoint.root)).to_bytes()
    }

    /// The 64 bytes of the signature over a JWS signing input (RFC 7515 §5.1): two base64url texts with a point between them. It has no
    /// newline, which every note's text has, so that neither can be taken for the other. `None` for anything else.
    pub(crate) fn sign_jws(&self, input: &str) -> Option<[u8; 64]> {
        let part =
            |text: &str| !text.is_empty() && text.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-' || b == b'_');
        let is_input = input.split_once('.').is_some_and(|(header, payload)| part(header) && part(payload));
        is_input.then(|| self.sign(input))
    }

    /// The signed note of a text, which ends with a newline: text, empty line, signature line.
    pub fn sign_note(&self, text: &str) -> String {
        self.note(text, &self.sign(text))
    }

    /// The note of a text and this key's signature over it.
    pub(crate) fn note(&self, text: &str, signature: &[u8; 64]) -> String {
        let line = signature_line(self.verifier_key.name(), self.verifier_key.id(), signature);
        format!("{text}\n{line}")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_signing_key_reads_back_from_its_text() {
        let signer = Signer::generate("example.com/log").unwrap();
        let again = Signer::from_skey(&format!("{}\n", signer.skey().as_str())).unwrap();
        assert_eq!(again.verifier_key().to_string(), signer.verifier_key().to_string());
        assert_eq!(again.sign_note("a\n"), signer.sign_note("a\n"));
    }

    #[test]
    fn the_published_vector_of_a_known_seed_is_met() {
        let signer = Signer::from_seed("ledger.example/evidence", &[1; 32]).unwrap();
        assert_eq!(
            signer.verifier_key().to_string(),
            "ledger.example/evidence+6115c7bb+AYqI4910CfGV/VLbLTy6XXLKZwm/HZQSG/N0iAG0D29c"
        );
        let text = "ledger.example/evidence\n3\nAGY868XbXobp8XZfZbJMmU/3CMbVFFNGO6OZYeEjAMc=\n";
        let line = "— ledger.example/evidence YRXHu9jnsgegQ8r02TWvuGnYmCNsVd25BW5ZYVmePwH5U/Vwf53FrTGCkV6woGwi4hG9KTuq5W0p1m5vDMDBwcWgsgk=\n";
        assert_eq!(signer.sign_note(text), format!("{text}\n{line}"));
    }

    #[test]
    fn only_what_is_a_jws_input_and_so_no_note_is_signed_as_one() {
        let signer = Signer::from_seed("example.com/log", &[9; 32]).unwrap();
        assert_eq!(signer.sign_jws("eyJh.e30"), Some(signer.sign("eyJh.e30")));
        for other in ["", ".", "a.", ".a", "a", "a.b.c", "a.b\n", "log\n1\nroot\n", "a+.b", "a=.b", "a .b"] {
            assert_eq!(signer.sign_jws(other), None, "{other:?}");
        }
    }

    #[test]
    fn a_signing_key_never_shows_in_debug_output() {
        let signer = Signer::from_seed("example.com/log", &[9; 32]).unwrap();
        let seen = format!("{signer:?}");
        assert!(!seen.contains("9, 9") && !seen.contains("0909") && !seen.contains(&text::b64(&[9; 30])));
    }

    #[test]
    fn a_signing_key_with_another_keys_id_is_refused() {
        let text = Signer::from_seed("example.com/log", &[9; 32]).unwrap().skey();
        let (head, tail) = text.rsplit_once('+').unwrap();
        let (head, _) = head.rsplit_once('+').unwrap();
        assert!(matches!(Signer::from_skey(&format!("{head}+00000000+{tail}")), Err(SignerError::WrongId)));
        assert!(matches!(Signer::from_skey("PRIVATE+KEY+x"), Err(SignerError::Malformed)));
    }
}
