//! Approvals on their way into the log: whose they are.
//!
//! Guarantees: a [`Given`] has one birthplace: a signed note under keys of approvers of the epoch in force, for this origin, checked with
//! `verify_strict`; when it is posted, and again by every fold. Does not: say whether it counts; `state/approvals.rs` and `settle.rs` do.

use verifier::approval::Approval;
use verifier::note::{Note, VerifierKey};
use verifier::record::MAX_NOTE;

use crate::engine::Trust;

/// An approval whose origin and signatures were checked.
#[derive(Clone, Debug)]
pub struct Given {
    approval: Approval,
    keys: Vec<VerifierKey>,
    note: String,
}

/// Why a note is no approval for this log.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NotGiven {
    /// Too long, or not signed by an approver.
    #[error("no approver of the epoch in force signed it")]
    Signature,
    /// The note's text is none.
    #[error("the text is not an approval")]
    Malformed,
    /// For another log.
    #[error("the approval is for another log")]
    Origin,
}

impl Given {
    /// Checks a signed approval.
    ///
    /// # Errors
    /// [`NotGiven`]; it must not be recorded.
    pub fn open(note: &str, trust: &Trust, origin: &str) -> Result<Self, NotGiven> {
        let keys: Vec<VerifierKey> = trust.approvals().approvers.iter().map(|approver| approver.key.clone()).collect();
        let opened = Some(note).filter(|note| note.len() <= MAX_NOTE).and_then(|note| Note::open(note, &keys).ok());
        let opened = opened.ok_or(NotGiven::Signature)?;
        let approval = Approval::parse(opened.text()).map_err(|_| NotGiven::Malformed)?;
        if approval.origin != origin {
            return Err(NotGiven::Origin);
        }
        Ok(Self { approval, keys: opened.verified_by().to_vec(), note: note.to_owned() })
    }

    /// What was signed.
    #[must_use]
    pub fn approval(&self) -> &Approval {
        &self.approval
    }

    /// By whom; never empty.
    #[must_use]
    pub fn keys(&self) -> &[VerifierKey] {
        &self.keys
    }

    /// The whole signed note, verbatim.
    #[must_use]
    pub fn note(&self) -> &str {
        &self.note
    }
}
