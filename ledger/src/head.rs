//! Heads: what the log signs, and nothing else.
//!
//! Guarantees: a head is a C2SP checkpoint with exactly one signature line, ours (Ed25519, key name = origin), and signing the same size and
//! root again gives the same bytes. Does not: decide when a head may be signed; that is `ledger.rs` and `recover.rs`, after the frame is
//! durable.

use verifier::checkpoint::Checkpoint;
use verifier::hash::Hash;
use verifier::note::{Note, VerifierKey, signature_line};

use crate::signer::Signer;

/// A signed tree head with its time. Only the ledger makes one, after what it covers is durable:
///
/// ```compile_fail
/// fn forge(head: &ledger::Head) -> ledger::Head {
///     ledger::Head { checkpoint: head.checkpoint.clone(), note: String::new(), time_ms: 0 }
/// }
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Head {
    /// Origin, size and root.
    pub checkpoint: Checkpoint,
    /// The signed note (C2SP tlog-checkpoint), as published.
    pub note: String,
    /// The time of the last frame under it, Unix milliseconds; of the log's creation for size 0.
    pub time_ms: u64,
    /// The signature in the note; also what keeps anybody else from making a head.
    pub(crate) signature: [u8; 64],
}

impl Head {
    /// Signs a head.
    pub(crate) fn sign(signer: &Signer, size: u64, root: Hash, time_ms: u64) -> Self {
        let checkpoint = Checkpoint { origin: signer.verifier_key().name().to_owned(), size, root };
        let text = checkpoint.text();
        let signature = signer.sign(&text);
        let note = signer.note(&text, &signature);
        Self { checkpoint, note, time_ms, signature }
    }

    /// A head that was signed before; `None` unless this key signed it.
    pub(crate) fn signed_before(
        key: &VerifierKey,
        size: u64,
        root: Hash,
        time_ms: u64,
        signature: [u8; 64],
    ) -> Option<Self> {
        let checkpoint = Checkpoint { origin: key.name().to_owned(), size, root };
        let text = checkpoint.text();
        key.verify(text.as_bytes(), &signature).then(|| {
            let note = format!("{text}\n{}", signature_line(key.name(), key.id(), &signature));
            Self { checkpoint, note, time_ms, signature }
        })
    }

    /// Reads a head's note: the one spelling, with the one signature line of this key.
    pub(crate) fn from_note(key: &VerifierKey, note: &str, time_ms: u64) -> Option<Self> {
        let parsed = Note::parse(note).ok()?;
        let Checkpoint { size, root, .. } = Checkpoint::parse_text(&parsed.text).ok()?;
        let signature = parsed.signatures.first().and_then(|line| <[u8; 64]>::try_from(line.bytes.as_slice()).ok())?;
        Self::signed_before(key, size, root, time_ms, signature).filter(|head| head.note == note)
    }
}
