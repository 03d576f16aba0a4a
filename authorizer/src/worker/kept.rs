//! What a worker has kept beside decisions: statements of services and approvals of persons.
//!
//! Guarantees: what is answered is durable; what was looked at under a governance version that is no longer in force is not recorded.

use std::sync::{Arc, PoisonError};

use actix_web::web::Bytes;
use tokio::sync::oneshot;
use verifier::note::VerifierKey;

use super::{ANSWER_DEADLINE, NoAnswer, Worker};
use crate::approval::{Given, NotGiven};
use crate::engine::{RealmMode, Trust};
use crate::keys::Identity;
use crate::live::Live;
use crate::proposal::{MAX_ATTEMPTS, Refusal, Work};
use crate::queue::Load;
use crate::statement::{Answer, Kept, Stated, Submission};
use crate::traces;

impl Worker {
    /// Keeps a statement: its body wrapped in a record, durable.
    ///
    /// # Errors
    /// [`NoAnswer`]; nothing was recorded then, or its answer came too late.
    pub async fn state(&self, caller: &Identity, media_type: &str, body: &Bytes) -> Result<Stated, NoAnswer> {
        for _ in 0..=MAX_ATTEMPTS {
            let governance = self.public_under(caller.realm())?;
            let load = Load { decisions: 1, bytes: body.len() };
            let (reply, answer) = oneshot::channel();
            let what = Kept::Statement { media_type: media_type.to_owned() };
            let (caller, body) = (caller.clone(), body.clone());
            let trace = traces::queued();
            self.hand_over(Work::Statement(Submission { caller, what, body, governance, load, trace, reply }), load)?;
            match tokio::time::timeout(ANSWER_DEADLINE, answer).await {
                Ok(Ok(Answer::Durable(stated))) => return Ok(stated),
                Ok(Ok(Answer::Refused(refusal))) => return Err(NoAnswer::Refused(refusal)),
                Ok(Ok(Answer::Stale)) => {}
                Ok(Err(_)) | Err(_) => return Err(NoAnswer::Unavailable),
            }
        }
        // A burst of governance acts: the caller comes again when it is over.
        Err(NoAnswer::Full)
    }

    /// Checks whose an approval is under the epoch in force, whose governance version comes with it.
    ///
    /// # Errors
    /// [`NoAnswer::NoEpoch`]; within, [`NotGiven`].
    pub fn open_approval(&self, note: &str) -> Result<Result<(Given, u64), NotGiven>, NoAnswer> {
        let live = self.shared.live.load();
        let trust = self.trust(&live)?;
        Ok(Given::open(note, &trust, self.shared.reader.origin()).map(|given| (given, live.governance)))
    }

    /// Whether one of these approvers is this subject.
    ///
    /// # Errors
    /// [`NoAnswer::NoEpoch`].
    pub fn is_approver_of(&self, keys: &[VerifierKey], subject: (&str, &str)) -> Result<bool, NoAnswer> {
        let trust = self.trust(&self.shared.live.load())?;
        let mut approvers = trust.approvals().approvers.iter();
        Ok(approvers.any(|approver| {
            keys.contains(&approver.key) && (approver.person.0.as_str(), approver.person.1.as_str()) == subject
        }))
    }

    fn trust(&self, live: &Live) -> Result<Arc<Trust>, NoAnswer> {
        let engine = live.engines.as_ref().and_then(|engines| engines.get(self.index)).ok_or(NoAnswer::NoEpoch)?;
        Ok(engine.lock().unwrap_or_else(PoisonError::into_inner).trust().clone())
    }

    /// Records an approval that was checked under this governance version.
    ///
    /// # Errors
    /// [`NoAnswer`]; nothing was recorded then, or its answer came too late.
    pub async fn approve(&self, caller: &Identity, given: Given, governance: u64) -> Result<Stated, NoAnswer> {
        let load = Load { decisions: 1, bytes: given.note().len() };
        let (reply, answer) = oneshot::channel();
        let body = Bytes::copy_from_slice(given.note().as_bytes());
        let (caller, what) = (caller.clone(), Kept::Approval(Box::new(given)));
        let trace = traces::queued();
        self.hand_over(Work::Statement(Submission { caller, what, body, governance, load, trace, reply }), load)?;
        match tokio::time::timeout(ANSWER_DEADLINE, answer).await {
            Ok(Ok(Answer::Durable(stated))) => Ok(stated),
            Ok(Ok(Answer::Refused(refusal))) => Err(NoAnswer::Refused(refusal)),
            // Whoever approved under another governance version looks at it again.
            Ok(Ok(Answer::Stale)) => Err(NoAnswer::Full),
            Ok(Err(_)) | Err(_) => Err(NoAnswer::Unavailable),
        }
    }

    /// Whether what a realm asks is withheld; it is taken to be where nobody can say.
    #[must_use]
    pub fn is_committed(&self, realm: &str) -> bool {
        let live = self.shared.live.load();
        let engine = live.engines.as_ref().and_then(|engines| engines.get(self.index));
        let mode = engine.and_then(|engine| engine.lock().unwrap_or_else(PoisonError::into_inner).realm_mode(realm));
        mode != Some(RealmMode::Public)
    }

    /// The governance version under which what a realm submits may be shown to everybody.
    fn public_under(&self, realm: &str) -> Result<u64, NoAnswer> {
        let live = self.shared.live.load();
        if live.frozen {
            return Err(NoAnswer::Refused(Refusal::Frozen));
        }
        let engine = live.engines.as_ref().and_then(|engines| engines.get(self.index)).ok_or(NoAnswer::NoEpoch)?;
        let engine = engine.lock().unwrap_or_else(PoisonError::into_inner);
        match engine.realm_mode(realm) {
            Some(RealmMode::Public) => Ok(live.governance),
            Some(RealmMode::Committed) | None => Err(NoAnswer::NotPublic),
        }
    }
}
