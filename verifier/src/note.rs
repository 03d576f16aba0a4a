//! Signed notes (C2SP signed-note v1.0.0): a text, an empty line, and lines of signatures over the text.
//!
//! Guarantees that an [`Opened`] text carries at least one valid signature of a key that the caller named, and that no
//! line of a named key fails. Every check is `verify_strict`; keys of small or mixed order and keys in a second spelling
//! are refused when they are read, so that all verifiers agree about every signature.
//! Does not say what the text means, nor that lines of unknown keys are worth anything.

use core::{fmt, str::FromStr};

use ed25519_dalek::{Signature as Ed25519Signature, VerifyingKey};
use sha2::{Digest, Sha256};

use crate::text;

/// Signature lines that a note may have. Go's implementation stops at 100; the specification asks for at least 16.
pub const MAX_SIGNATURES: usize = 100;
/// Bytes of one signature line. An ML-DSA-44 cosignature with a long name needs about 4 KiB.
pub const MAX_SIGNATURE_LINE: usize = 16 * 1024;
/// Bytes of a whole note, as in Go's implementation.
pub const MAX_NOTE: usize = 1_000_000;
/// Bytes of the name of a key of ours: cosignatures of type `0x06` carry it behind one length byte.
pub const MAX_NAME: usize = 255;

/// Algorithm byte of Ed25519 over the text of the note.
pub const ED25519: u8 = 0x01;

const SIGNATURE_PREFIX: &str = "\u{2014} ";

/// Why a note or a key is refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NoteError {
    /// Longer than [`MAX_NOTE`], [`MAX_SIGNATURES`], [`MAX_SIGNATURE_LINE`] or [`MAX_NAME`] permits.
    #[error("note, line or name is too long")]
    TooLong,
    /// A control character other than the newline.
    #[error("control character in note")]
    Control,
    /// No empty line between text and signatures, no final newline or no signature at all.
    #[error("note has no text with signatures behind an empty line")]
    Shape,
    /// A line behind the text that is not `— name base64`.
    #[error("malformed signature line")]
    SignatureLine,
    /// A line that names a known key and does not verify: the whole note is void.
    #[error("signature of a known key does not verify")]
    BadSignature,
    /// No line is by a known key.
    #[error("no signature by a known key")]
    NoKnownKey,
    /// A verification key text that is not `name+hex+base64`, with a name that is allowed.
    #[error("malformed verification key")]
    MalformedKey,
    /// The id in the key text is not the one that name and key give.
    #[error("key id does not belong to name and key")]
    KeyId,
    /// A key of another algorithm than Ed25519.
    #[error("unsupported key algorithm")]
    Algorithm,
    /// Not a point, a second spelling of a point, or a point of small or mixed order.
    #[error("weak or malformed public key")]
    WeakKey,
}

/// Key id: the first four bytes of SHA-256(name ‖ `\n` ‖ algorithm ‖ key).
#[must_use]
pub fn key_id(name: &str, algorithm: u8, key: &[u8]) -> [u8; 4] {
    let mut sha = Sha256::new();
    sha.update(name.as_bytes());
    sha.update([b'\n', algorithm]);
    sha.update(key);
    let digest: [u8; 32] = sha.finalize().into();
    let [a, b, c, d, ..] = digest;
    [a, b, c, d]
}

/// An Ed25519 verification key with its name. Its text is `name+hex8(id)+base64(0x01 ‖ key)`.
#[derive(Clone, PartialEq, Eq)]
pub struct VerifierKey {
    name: String,
    id: [u8; 4],
    key: VerifyingKey,
}

impl VerifierKey {
    /// The key of this name.
    ///
    /// # Errors
    /// A name that is empty, too long, or holds a space, `+` or a control character; bytes that are no good public key.
    pub fn new(name: &str, key: &[u8; 32]) -> Result<VerifierKey, NoteError> {
        if !is_key_name(name) || name.chars().any(char::is_control) {
            return Err(NoteError::MalformedKey);
        }
        if name.len() > MAX_NAME {
            return Err(NoteError::TooLong);
        }
        let point = VerifyingKey::from_bytes(key).map_err(|_| NoteError::WeakKey)?;
        let edwards = point.to_edwards();
        // Small order: verify_strict would refuse every signature. Mixed order: verifiers that multiply by the cofactor
        // disagree with those that do not. Second spelling: the same key under two ids.
        if point.is_weak() || !edwards.is_torsion_free() || edwards.compress().as_bytes() != key {
            return Err(NoteError::WeakKey);
        }
        Ok(VerifierKey { name: name.to_owned(), id: key_id(name, ED25519, key), key: point })
    }

    /// Name of the key; of a log's key it is the origin.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Key id.
    #[must_use]
    pub fn id(&self) -> [u8; 4] {
        self.id
    }

    /// The 32 bytes of the public key.
    #[must_use]
    pub fn key_bytes(&self) -> [u8; 32] {
        self.key.to_bytes()
    }

    /// Whether `signature` is this key's over `message`: RFC 8032 with the checks of `verify_strict`.
    #[must_use]
    pub fn verify(&self, message: &[u8], signature: &[u8]) -> bool {
        Ed25519Signature::from_slice(signature)
            .is_ok_and(|signature| self.key.verify_strict(message, &signature).is_ok())
    }
}

impl FromStr for VerifierKey {
    type Err = NoteError;

    fn from_str(vkey: &str) -> Result<VerifierKey, NoteError> {
        let (key, id) = read_vkey(vkey, ED25519)?;
        if key.id == id { Ok(key) } else { Err(NoteError::KeyId) }
    }
}

/// The key of a text whose algorithm is this one, and the id that it names, which is not checked.
pub(crate) fn read_vkey(vkey: &str, wanted: u8) -> Result<(VerifierKey, [u8; 4]), NoteError> {
    if vkey.len() > MAX_SIGNATURE_LINE {
        return Err(NoteError::TooLong);
    }
    // The first two `+` only: base64 may hold more of them.
    let mut parts = vkey.splitn(3, '+');
    let (Some(name), Some(id), Some(key)) = (parts.next(), parts.next(), parts.next()) else {
        return Err(NoteError::MalformedKey);
    };
    let id: [u8; 4] = text::unhex(id).ok().and_then(|id| id.try_into().ok()).ok_or(NoteError::MalformedKey)?;
    let key = text::unb64(key).map_err(|_| NoteError::MalformedKey)?;
    let (algorithm, key) = key.split_first().ok_or(NoteError::MalformedKey)?;
    if *algorithm != wanted {
        return Err(NoteError::Algorithm);
    }
    let key: &[u8; 32] = key.try_into().map_err(|_| NoteError::MalformedKey)?;
    Ok((VerifierKey::new(name, key)?, id))
}

impl fmt::Display for VerifierKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut key = vec![ED25519];
        key.extend_from_slice(self.key.as_bytes());
        write!(f, "{}+{}+{}", self.name, text::hex(&self.id), text::b64(&key))
    }
}

impl fmt::Debug for VerifierKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// One line behind the text, not verified.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Signature {
    /// Name of the key.
    pub name: String,
    /// Key id.
    pub id: [u8; 4],
    /// What follows the id; its length depends on the algorithm.
    pub bytes: Vec<u8>,
}

/// A note as read, nothing verified.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Note {
    /// What is signed, with its final newline.
    pub text: String,
    /// At least one.
    pub signatures: Vec<Signature>,
}

/// A text that at least one of the caller's keys signed. Made by [`Note::open`] only.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Opened {
    text: String,
    verified_by: Vec<VerifierKey>,
}

impl Opened {
    /// What was signed, with its final newline.
    #[must_use]
    pub fn text(&self) -> &str {
        &self.text
    }

    /// The caller's keys that signed it, in their order, each once; never empty.
    #[must_use]
    pub fn verified_by(&self) -> &[VerifierKey] {
        &self.verified_by
    }
}

impl Note {
    /// Reads a note without verifying it.
    ///
    /// # Errors
    /// Every departure from the format and every limit of this module.
    pub fn parse(raw: &str) -> Result<Note, NoteError> {
        if raw.len() > MAX_NOTE {
            return Err(NoteError::TooLong);
        }
        if raw.bytes().any(|byte| byte < 0x20 && byte != b'\n') {
            return Err(NoteError::Control);
        }
        // The last empty line: the text may have others.
        let (body, lines) = raw.rsplit_once("\n\n").ok_or(NoteError::Shape)?;
        let lines = lines.strip_suffix('\n').ok_or(NoteError::Shape)?;
        let mut signatures = Vec::new();
        for line in lines.split('\n') {
            if signatures.len() == MAX_SIGNATURES {
                return Err(NoteError::TooLong);
            }
            signatures.push(parse_signature(line)?);
        }
        Ok(Note { text: format!("{body}\n"), signatures })
    }

    /// Reads a note and verifies every line by one of `keys`; lines of other keys are ignored.
    ///
    /// # Errors
    /// As [`Note::parse`]; [`NoteError::BadSignature`] if a line by one of `keys` fails, however many others hold;
    /// [`NoteError::NoKnownKey`] if there is none.
    pub fn open(raw: &str, keys: &[VerifierKey]) -> Result<Opened, NoteError> {
        let note = Note::parse(raw)?;
        let mut verified = vec![false; keys.len()];
        for signature in &note.signatures {
            for (key, verified) in keys.iter().zip(&mut verified) {
                if key.id != signature.id || key.name != signature.name {
                    continue;
                }
                if !key.verify(note.text.as_bytes(), &signature.bytes) {
                    return Err(NoteError::BadSignature);
                }
                *verified = true;
            }
        }
        let verified_by: Vec<_> =
            keys.iter().zip(verified).filter(|(_, verified)| *verified).map(|(key, _)| key.clone()).collect();
        if verified_by.is_empty() {
            return Err(NoteError::NoKnownKey);
        }
        Ok(Opened { text: note.text, verified_by })
    }
}

impl Note {
    /// The same text with the first line of one key alone, as a signed note; `None` if it has none of 64 bytes. Verifies nothing.
    #[must_use]
    pub fn only(&self, key: &VerifierKey) -> Option<String> {
        let line = self.signatures.iter().find(|line| line.name == key.name && line.id == key.id)?;
        let signature: &[u8; 64] = line.bytes.as_slice().try_into().ok()?;
        Some(format!("{}\n{}", self.text, signature_line(&line.name, line.id, signature)))
    }
}

/// One signature line with its newline, as a signer writes it.
#[must_use]
pub fn signature_line(name: &str, id: [u8; 4], signature: &[u8; 64]) -> String {
    let mut bytes = [0_u8; 68];
    let (head, tail) = bytes.split_at_mut(4);
    head.copy_from_slice(&id);
    tail.copy_from_slice(signature);
    // prefix 4, space 1, 92 characters of base64, newline 1
    let mut line = String::with_capacity(name.len() + 98);
    line.push_str(SIGNATURE_PREFIX);
    line.push_str(name);
    line.push(' ');
    text::push_b64(&mut line, &bytes);
    line.push('\n');
    line
}

/// Whether the format allows `name` as the name of a key: not empty, no Unicode space, no `+`.
#[must_use]
pub fn is_key_name(name: &str) -> bool {
    !name.is_empty() && !name.chars().any(|c| c.is_whitespace() || c == '+')
}

fn parse_signature(line: &str) -> Result<Signature, NoteError> {
    if line.len() > MAX_SIGNATURE_LINE {
        return Err(NoteError::TooLong);
    }
    let (name, base64) =
        line.strip_prefix(SIGNATURE_PREFIX).and_then(|rest| rest.split_once(' ')).ok_or(NoteError::SignatureLine)?;
    let bytes = text::unb64(base64).map_err(|_| NoteError::SignatureLine)?;
    match bytes.split_first_chunk::<4>() {
        Some((id, bytes)) if is_key_name(name) && !bytes.is_empty() => {
            Ok(Signature { name: name.to_owned(), id: *id, bytes: bytes.to_vec() })
        }
        _ => Err(NoteError::SignatureLine),
    }
}
