//! Checkpoints (C2SP tlog-checkpoint v1.0.0): the head of a log as a signed note.
//!
//! Guarantees that a [`SignedCheckpoint`] was signed by the key that its reader named, for the origin that it named.
//! Does not say that two checkpoints belong to one history: that is a consistency proof.

use crate::{
    hash::{EMPTY_ROOT, Hash},
    note::{MAX_NAME, Note, NoteError, VerifierKey},
    text::{self, TextError},
};

/// Origin, size and root of a log: what a head says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Checkpoint {
    /// Name of the log; its key has the same name.
    pub origin: String,
    /// Number of leaves, below 2^63.
    pub size: u64,
    /// Merkle tree hash of all leaves.
    pub root: Hash,
}

/// Why a checkpoint is refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum CheckpointError {
    /// The note around it.
    #[error("{0}")]
    Note(#[from] NoteError),
    /// Not the three lines, or an empty extension line, or no final newline.
    #[error("malformed checkpoint")]
    Shape,
    /// Size or root in another spelling.
    #[error("malformed checkpoint: {0}")]
    Text(#[from] TextError),
    /// Size 0 with another root than that of the empty tree.
    #[error("empty log with the root of another tree")]
    EmptyRoot,
    /// A valid checkpoint of another log.
    #[error("checkpoint of another origin")]
    Origin,
}

impl Checkpoint {
    /// The three lines that are signed.
    #[must_use]
    pub fn text(&self) -> String {
        format!("{}\n{}\n{}\n", self.origin, self.size, self.root)
    }

    /// Reads the text of a checkpoint. Extension lines are accepted and ignored; we never write any.
    ///
    /// # Errors
    /// Every departure from the format, and an empty log with another root than [`EMPTY_ROOT`].
    pub fn parse_text(text: &str) -> Result<Checkpoint, CheckpointError> {
        let mut lines = text.strip_suffix('\n').ok_or(CheckpointError::Shape)?.split('\n');
        let (Some(origin), Some(size), Some(root)) = (lines.next(), lines.next(), lines.next()) else {
            return Err(CheckpointError::Shape);
        };
        if origin.is_empty() || origin.len() > MAX_NAME || lines.any(str::is_empty) {
            return Err(CheckpointError::Shape);
        }
        let checkpoint = Checkpoint { origin: origin.to_owned(), size: text::decimal(size)?, root: root.parse()? };
        if checkpoint.size == 0 && checkpoint.root != EMPTY_ROOT {
            return Err(CheckpointError::EmptyRoot);
        }
        Ok(checkpoint)
    }
}

/// A checkpoint that a known key signed. Made by [`SignedCheckpoint::open`] only.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SignedCheckpoint {
    checkpoint: Checkpoint,
    raw: String,
}

impl SignedCheckpoint {
    /// Verifies the signature of `key` and that the checkpoint is of `origin`.
    ///
    /// # Errors
    /// As [`Note::open`] and [`Checkpoint::parse_text`]; [`CheckpointError::Origin`] for a checkpoint of another log.
    pub fn open(raw: &str, key: &VerifierKey, origin: &str) -> Result<SignedCheckpoint, CheckpointError> {
        let note = Note::open(raw, core::slice::from_ref(key))?;
        let checkpoint = Checkpoint::parse_text(note.text())?;
        if checkpoint.origin != origin {
            return Err(CheckpointError::Origin);
        }
        Ok(SignedCheckpoint { checkpoint, raw: raw.to_owned() })
    }

    /// What was signed.
    #[must_use]
    pub fn checkpoint(&self) -> &Checkpoint {
        &self.checkpoint
    }

    /// The note as it was read, with all its signature lines.
    #[must_use]
    pub fn raw(&self) -> &str {
        &self.raw
    }
}
