//! Why: what a worker hands to the sequencer and what it gets back. A worker proposes; only the sequencer decides.
//!
//! Guarantees: a proposal carries everything that the sequencer needs to record it, prepared and measured beforehand,
//! so that sequencing cannot fail on what a client sent; permit id and the two salts are independent random bytes.
//! Does not: hold an outcome. No `Outcome` is made in this file.

use std::sync::Arc;

use actix_web::web::Bytes;
use ledger::Head;
use rand::Rng;
use tokio::sync::oneshot;
use verifier::decision::{Detail, Outcome, PermitId, Signed, commitment};
use verifier::hash::Hash;
use verifier::record::Record;
use verifier::request::Request;

use crate::canary::Canary;
use crate::engine::Verdict;
use crate::execution::{MAX_EVENT, Report};
use crate::keys::Identity;
use crate::present::{Look, Present, Survey};
use crate::queue::Load;
use crate::settle;
use crate::state::approvals::Untaken;
use crate::statement::Submission;
use crate::traces::Queued;

/// Times that a proposal is evaluated again before it is denied with `governance_race`: a burst of governance acts is
/// over by then, and a caller must not wait for ever.
pub const MAX_ATTEMPTS: u8 = 3;
/// A verdict older than this is evaluated again: what it rested on may have run out.
pub const MAX_AGE_MS: u64 = 1_000;
/// Bytes of requests and details of one body: what the vault takes in one batch, with room for the codes that the
/// sequencer may add.
pub const MAX_BODY_PRIVATE: usize = 48 * 1024 * 1024;

/// A detail, roughly: its buffer is reserved once.
const DETAIL_BYTES: usize = 512;

/// A decision's leaf with its length, at most: realm, audience and shadow verdicts included, it stays below 800 bytes.
pub const MAX_DECISION_LEAF: usize = 1_024;
/// What a statement's leaf has beside the body, at most: realm and media type of 255 bytes each, and less than 64 of everything else.
pub const MAX_STATEMENT_OVERHEAD: usize = 1_024;

/// When the rest of a body is left undecided and unrecorded.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stop {
    /// Never: every item is recorded.
    Never,
    /// After the first item that is denied.
    AfterDeny,
    /// After the first item that is allowed.
    AfterAllow,
}

/// One request with its worker's verdict, ready to be sequenced. It is large and changes hands often, so it is handed on by its address.
#[derive(Debug)]
pub struct Item {
    /// As evaluated, without what only the evaluation looked at: properties and context.
    pub request: Request,
    /// As asked, where what the schema does not declare was left out (AuthZEN).
    pub original: Option<Request>,
    /// The bytes that the leaf commits to.
    pub committed: Bytes,
    /// The signature of its body.
    pub signed: Option<Signed>,
    /// The idempotency key as it stands in the log.
    pub tag: Option<[u8; 32]>,
    /// What the worker found.
    pub verdict: Verdict,
    /// What it found under the epoch that is tried in the live one's shadow, with its number.
    pub shadow: Option<Box<(u64, Verdict)>>,
    /// The permit's name, if it becomes one.
    pub permit: PermitId,
    /// Salt of the commitment to the request.
    pub request_salt: [u8; 16],
    /// Commitment to the request.
    pub request_hash: Hash,
    /// The private detail and what the leaf says of it.
    pub detail: Prepared,
}

/// A request as it was evaluated.
#[derive(Debug)]
pub struct Evaluated {
    /// As evaluated, without what only the evaluation looked at: properties and context.
    pub request: Request,
    /// As asked, where what the schema does not declare was left out (AuthZEN).
    pub original: Option<Request>,
    /// The bytes that the leaf commits to.
    pub committed: Bytes,
    /// The signature of its body.
    pub signed: Option<Signed>,
}

/// A detail in the bytes that the leaf commits to.
#[derive(Debug)]
pub struct Prepared {
    /// Its salt.
    pub salt: [u8; 16],
    /// Its bytes.
    pub bytes: Vec<u8>,
    /// Its commitment.
    pub hash: Hash,
}

impl Item {
    /// Prepares a request for the log.
    #[must_use]
    pub fn new(
        caller: &Identity,
        asked: Evaluated,
        tag: Option<[u8; 32]>,
        verdict: Verdict,
        shadow: Option<(u64, Verdict)>,
    ) -> Self {
        let Evaluated { request, original, committed, signed } = asked;
        let (mut permit, mut request_salt, mut salt) = ([0; 16], [0; 16], [0; 16]);
        // Seeded by the operating system and reseeded; the three share nothing.
        let mut random = rand::rng();
        random.fill_bytes(&mut permit);
        random.fill_bytes(&mut request_salt);
        random.fill_bytes(&mut salt);
        let request_hash = commitment(&request_salt, &committed);
        let mut item = Item {
            request,
            original,
            committed,
            signed,
            tag,
            verdict,
            shadow: shadow.map(Box::new),
            permit: PermitId(permit),
            request_salt,
            request_hash,
            detail: Prepared { salt, bytes: Vec::with_capacity(DETAIL_BYTES), hash: Hash([0; 32]) },
        };
        item.prepare_detail(caller);
        item
    }

    /// Writes the detail from the verdict as it stands now; again after the sequencer lowered the verdict.
    pub fn prepare_detail(&mut self, caller: &Identity) {
        let detail = self.detail_of(caller);
        self.detail.bytes.clear();
        detail.encode_into(&mut self.detail.bytes);
        self.detail.hash = commitment(&self.detail.salt, &self.detail.bytes);
    }

    /// The detail as the verdict stands now.
    #[must_use]
    pub fn detail_of(&self, caller: &Identity) -> Detail {
        // What was left out of an AuthZEN request is kept beside it, of a native one nothing is.
        let (authzen, signed) = (self.original.is_some(), self.signed.clone());
        settle::detail(&self.request, &self.verdict, caller.key_id(), self.tag, authzen, signed)
    }
}

/// One body on its way to the sequencer. Its items are recorded together and in order, or not at all.
#[derive(Debug)]
pub struct Proposal {
    /// Who asks.
    pub caller: Identity,
    /// The requests, in order; never empty.
    pub items: Vec<Box<Item>>,
    /// The governance version that they were evaluated under.
    pub governance: u64,
    /// The one time of every condition, Unix milliseconds.
    pub evaluated_at: u64,
    /// Whether compiled policies decided it.
    pub compiled: bool,
    /// Evaluations so far, from 1.
    pub attempt: u8,
    /// When to leave the rest out.
    pub stop: Stop,
    /// What it counts for in the queue.
    pub load: Load,
    /// Where the answer goes; dropping it tells the caller that there is none.
    pub reply: oneshot::Sender<Reply>,
    /// Its trace, if its request is traced.
    pub trace: Option<Queued>,
}

/// What waits for the sequencer beside acts of governance.
#[derive(Debug)]
pub enum Work {
    /// Requests to be decided.
    Decisions(Proposal),
    /// A statement to be kept.
    Statement(Submission),
    /// A request that must be denied, and is not recorded.
    Canary(Box<Canary>),
    /// An event of an execution.
    Report(Box<Report>),
    /// A look at what a permit is worth now; nothing is recorded.
    Look(Look),
    /// A look at the states of many permits; nothing is recorded.
    Survey(Survey),
}

impl Work {
    /// What it counts for in the queue.
    #[must_use]
    pub fn load(&self) -> Load {
        match self {
            Work::Decisions(proposal) => proposal.load,
            Work::Statement(submission) => submission.load,
            Work::Canary(_) => Load::default(),
            Work::Report(report) => report.load,
            Work::Look(_) | Work::Survey(_) => Load::default(),
        }
    }

    /// Bytes that its leaves take in a batch, at most.
    #[must_use]
    pub fn leaf_bytes(&self) -> usize {
        match self {
            Work::Decisions(proposal) => proposal.items.len().saturating_mul(MAX_DECISION_LEAF),
            Work::Statement(submission) => submission.body.len().saturating_add(MAX_STATEMENT_OVERHEAD),
            Work::Canary(_) => 0,
            Work::Report(_) => MAX_EVENT + MAX_STATEMENT_OVERHEAD,
            Work::Look(_) | Work::Survey(_) => 0,
        }
    }
}

/// What the sequencer answers.
#[derive(Debug)]
pub enum Reply {
    /// Everything below is durable, under a signed head that is remembered.
    Durable(Durable),
    /// The verdicts no longer hold: evaluate again. Nothing was recorded.
    Stale(Vec<Box<Item>>),
    /// The body cannot be taken. Nothing was recorded.
    Refused(Refusal),
}

/// A body whose records are durable: made by the sequencer after `append` returned, and nowhere else.
///
/// ```compile_fail,E0624
/// fn forged(head: std::sync::Arc<ledger::Head>) -> authorizer::proposal::Durable {
///     authorizer::proposal::Durable::new(Vec::new(), head)
/// }
/// ```
#[derive(Debug)]
pub struct Durable {
    items: Vec<(Box<Item>, Place)>,
    head: Arc<Head>,
}

impl Durable {
    /// For the sequencer, after `append` returned.
    pub(crate) fn new(items: Vec<(Box<Item>, Place)>, head: Arc<Head>) -> Self {
        Durable { items, head }
    }

    /// The items with their places, in order; fewer than asked where the body was stopped.
    #[must_use]
    pub fn items(&self) -> &[(Box<Item>, Place)] {
        &self.items
    }

    /// The signed head that covers all of them.
    #[must_use]
    pub fn head(&self) -> &Arc<Head> {
        &self.head
    }

    /// Whether the last item stopped its body.
    #[must_use]
    pub fn last_is_allowed(&self) -> Option<bool> {
        self.items.last().map(|(_, place)| place.is_allowed())
    }
}

/// Where an item stands in the log.
#[derive(Debug)]
pub enum Place {
    /// Recorded now.
    New {
        /// Its index.
        index: u64,
        /// Its record: always a decision.
        record: Record,
    },
    /// The same request was recorded before under its idempotency key.
    Again {
        /// The index of that record.
        index: u64,
        /// Its permit's state now.
        present: Present,
    },
}

impl Place {
    /// The answer to the same request further down in the same body: the same record, in its present state.
    #[must_use]
    pub fn again(&self) -> Place {
        let present = if self.is_allowed() { Present::Allowed } else { Present::Denied };
        match self {
            Place::New { index, .. } => Place::Again { index: *index, present },
            Place::Again { index, present } => Place::Again { index: *index, present: *present },
        }
    }

    /// Whether the action may start now.
    #[must_use]
    pub fn is_allowed(&self) -> bool {
        match self {
            Place::New { record: Record::Decision(decision), .. } => decision.outcome == Outcome::Allow,
            Place::New { .. } => false,
            Place::Again { present, .. } => *present == Present::Allowed,
        }
    }
}

/// Why a body cannot be taken. `item` counts from 0.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Refusal {
    /// An idempotency key was used for another request.
    KeyReused {
        /// Which item.
        item: usize,
    },
    /// A request under the same idempotency key is not answered yet.
    InFlight {
        /// Which item.
        item: usize,
    },
    /// What was recorded under the idempotency key is erased or lost.
    Erased {
        /// Which item.
        item: usize,
    },
    /// As many idempotency keys as are kept are in use.
    TooManyKeys,
    /// The time of a record cannot be told.
    Clock,
    /// The log has ended.
    Frozen,
    /// An approval cannot be taken.
    Approval(Untaken),
}
