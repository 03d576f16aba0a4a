//! Cosignatures of witnesses (C2SP tlog-cosignature v1): Ed25519 over a checkpoint and the time at which the witness saw it.
//!
//! Guarantees: a time that [`WitnessKey::verify`] answers stands under the witness's signature together with the whole text of the note.
//! Every check is `verify_strict`. Does not know ML-DSA-44 cosignatures (type 0x06): a key of that type is refused when it is read.

use core::{fmt, str::FromStr};

use crate::note::{NoteError, VerifierKey, key_id, read_vkey};
use crate::text::{self, DECIMAL_LIMIT};

/// Algorithm byte of a timestamped Ed25519 cosignature.
pub const COSIGNATURE: u8 = 0x04;

/// Seconds in eight bytes, then the signature.
const LENGTH: usize = 8 + 64;

/// A witness's key with its name. Its text is `name+hex8(id)+base64(0x04 ‖ key)`.
#[derive(Clone, PartialEq, Eq)]
pub struct WitnessKey {
    key: VerifierKey,
    id: [u8; 4],
}

impl WitnessKey {
    /// The key of this name.
    ///
    /// # Errors
    /// As [`VerifierKey::new`].
    pub fn new(name: &str, key: &[u8; 32]) -> Result<Self, NoteError> {
        Ok(Self { key: VerifierKey::new(name, key)?, id: key_id(name, COSIGNATURE, key) })
    }

    /// Name of the key.
    #[must_use]
    pub fn name(&self) -> &str {
        self.key.name()
    }

    /// Key id.
    #[must_use]
    pub fn id(&self) -> [u8; 4] {
        self.id
    }

    /// The 32 bytes of the public key.
    #[must_use]
    pub fn key_bytes(&self) -> [u8; 32] {
        self.key.key_bytes()
    }

    /// When this witness saw the text of a note, in Unix seconds; `None` if `cosignature` is not its. No witness says 0.
    #[must_use]
    pub fn verify(&self, text: &str, cosignature: &[u8]) -> Option<u64> {
        if cosignature.len() != LENGTH {
            return None;
        }
        let (time, signature) = cosignature.split_first_chunk::<8>()?;
        let time = u64::from_be_bytes(*time);
        let seen = time > 0 && time < DECIMAL_LIMIT && self.key.verify(&signed_bytes(time, text), signature);
        seen.then_some(time)
    }
}

/// What a witness signs.
#[must_use]
pub fn signed_bytes(time: u64, text: &str) -> Vec<u8> {
    format!("cosignature/v1\ntime {time}\n{text}").into_bytes()
}

impl FromStr for WitnessKey {
    type Err = NoteError;

    fn from_str(vkey: &str) -> Result<Self, NoteError> {
        let (key, id) = read_vkey(vkey, COSIGNATURE)?;
        let key = Self { id: key_id(key.name(), COSIGNATURE, &key.key_bytes()), key };
        if key.id == id { Ok(key) } else { Err(NoteError::KeyId) }
    }
}

impl fmt::Display for WitnessKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let key = [&[COSIGNATURE], &self.key_bytes()[..]].concat();
        write!(f, "{}+{}+{}", self.name(), text::hex(&self.id), text::b64(&key))
    }
}

impl fmt::Debug for WitnessKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}
