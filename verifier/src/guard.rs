//! The guard: what an enforcement point asks before it acts.
//!
//! It is given the bytes that are about to be acted on, the permit that came with them and a time, and answers an [`Admitted`], which has
//! no other birthplace, or the closed reason why not. An executor acts on what [`Admitted::request`] holds and on nothing else: that value
//! was read from the committed bytes, so no second parser can find another action in them.
//!
//! It does not know whether the log shows others the same history: it keeps the head that it relied on ([`Admitted::head`]) so that a
//! later, witnessed head can be held against it.

use std::collections::BTreeSet;

use serde::Deserialize;
use thiserror::Error;

use crate::cbor::CborError;
use crate::checkpoint::SignedCheckpoint;
use crate::decision::{Class, Classes, Condition, Decision, Outcome, PermitId, commitment};
use crate::json::Json;
use crate::note::VerifierKey;
use crate::receipt::Receipt;
use crate::record::{Record, RecordError};
use crate::request::{Request, RequestError};
use crate::text::unb64;
use crate::verify::{self, LogKey, verify_receipt};

/// Clocks of honest machines differ by less: a permit from further ahead is refused.
pub const MAX_AHEAD_MS: u64 = 5_000;
/// The longest lifetime that is accepted where the trust file names none: an hour.
pub const DEFAULT_MAX_LIFETIME_MS: u64 = 3_600_000;
/// The longest lifetime that a trust file may accept: a year, as an epoch may at most grant. A larger number is a slip, and would let a use
/// store forget what may still be used.
pub const LONGEST_MAX_LIFETIME_MS: u64 = 366 * 24 * 3_600_000;
/// Of a permit with more uses no more are admitted: finding the next free one must stay cheap.
pub const MAX_USES: u32 = 4_096;
/// These are never `not_required` in a permit that is admitted, whatever the trust file says.
pub const ALWAYS_REQUIRED: [Condition; 3] = [Condition::Policy, Condition::Identity, Condition::Permissions];

/// Whom an enforcement point trusts, and with what. Read from TOML by [`Trust::parse`]:
///
/// ```
/// let trust = verifier::guard::Trust::parse(r#"
/// realm = "main"
/// audience = "booking-gateway"          # omit if permits name none
/// require = ["runtime"]                 # beside policy, identity and permissions
/// max_lifetime_ms = 60000
///
/// [[log_key]]
/// vkey = "ledger.example/evidence+6115c7bb+AYqI4910CfGV/VLbLTy6XXLKZwm/HZQSG/N0iAG0D29c"
/// not_after = "2027-01-01T00:00:00Z"    # also: not_before, max_size
/// "#).unwrap();
/// assert_eq!(trust.keys.len(), 1);
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Trust {
    /// The log's keys; a key's name is the origin that it speaks for.
    pub keys: Vec<LogKey>,
    /// The one realm whose permits are accepted.
    pub realm: String,
    /// The audience that a permit must name; without one it must name none.
    pub audience: Option<String>,
    /// Conditions that must be `pass`, beside [`ALWAYS_REQUIRED`].
    pub require: BTreeSet<Condition>,
    /// A permit that holds longer is refused, milliseconds; never taken for more than [`LONGEST_MAX_LIFETIME_MS`].
    pub max_lifetime_ms: u64,
}

/// Why text is not a trust file.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum TrustError {
    /// Not TOML of this shape; unknown fields are refused.
    #[error("trust file: {0}")]
    Malformed(String),
    /// Without a key nothing can be verified.
    #[error("trust file names no `log_key`")]
    NoKey,
    /// A verification key cannot be read.
    #[error("trust file: `{0}` is not a verification key")]
    Key(String),
    /// A time is not RFC 3339.
    #[error("trust file: `{0}` is not an RFC 3339 time after 1970")]
    Time(String),
    /// There is no such condition.
    #[error("trust file: `{0}` is not a condition")]
    Condition(String),
    /// A key stands there twice: which of its limits hold could only be guessed.
    #[error("trust file names the key `{0}` twice")]
    DuplicateKey(String),
    /// The lifetime is outside 1 to [`LONGEST_MAX_LIFETIME_MS`].
    #[error("trust file: `max_lifetime_ms` is {0}, outside 1..={LONGEST_MAX_LIFETIME_MS}")]
    Lifetime(u64),
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct TrustFile {
    realm: String,
    audience: Option<String>,
    #[serde(default)]
    require: Vec<String>,
    max_lifetime_ms: Option<u64>,
    #[serde(default)]
    log_key: Vec<KeyFile>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct KeyFile {
    vkey: String,
    not_before: Option<String>,
    not_after: Option<String>,
    max_size: Option<u64>,
}

impl Trust {
    /// Reads a trust file.
    pub fn parse(text: &str) -> Result<Self, TrustError> {
        let file: TrustFile =
            toml::from_str(text).map_err(|error| TrustError::Malformed(error.message().to_owned()))?;
        if file.log_key.is_empty() {
            return Err(TrustError::NoKey);
        }
        let max_lifetime_ms = file.max_lifetime_ms.unwrap_or(DEFAULT_MAX_LIFETIME_MS);
        if !(1..=LONGEST_MAX_LIFETIME_MS).contains(&max_lifetime_ms) {
            return Err(TrustError::Lifetime(max_lifetime_ms));
        }
        let mut keys: Vec<LogKey> = Vec::with_capacity(file.log_key.len());
        for key in file.log_key.into_iter().map(log_key) {
            let key = key?;
            if keys.iter().any(|earlier| earlier.key == key.key) {
                return Err(TrustError::DuplicateKey(key.key.to_string()));
            }
            keys.push(key);
        }
        let condition = |name: String| Condition::named(&name).ok_or(TrustError::Condition(name));
        Ok(Self {
            keys,
            realm: file.realm,
            audience: file.audience,
            require: file.require.into_iter().map(condition).collect::<Result<_, _>>()?,
            max_lifetime_ms,
        })
    }
}

fn log_key(file: KeyFile) -> Result<LogKey, TrustError> {
    let time = |text: Option<String>| match text {
        None => Ok(None),
        Some(text) => {
            let time = text.parse::<jiff::Timestamp>().ok().and_then(|time| u64::try_from(time.as_millisecond()).ok());
            time.map(Some).ok_or(TrustError::Time(text))
        }
    };
    let key: VerifierKey = file.vkey.parse().map_err(|_| TrustError::Key(file.vkey.clone()))?;
    Ok(LogKey { key, not_before: time(file.not_before)?, not_after: time(file.not_after)?, max_size: file.max_size })
}

/// A permit as it came with the request: nothing in it is believed yet.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Permit {
    /// The leaf's bytes.
    pub record: Vec<u8>,
    /// The salt of the request's commitment.
    pub salt: [u8; 16],
    /// Where the leaf stands in the log.
    pub receipt: Receipt,
}

impl Permit {
    /// An answer has at most so many bytes.
    pub const MAX_ANSWER: usize = 1024 * 1024;

    /// Takes `salt`, `receipt` and `record` (or the leaf that the receipt carries) from a native answer or from AuthZEN's `context.permit`.
    /// Other fields are not looked at: what they say is not signed.
    pub fn from_answer(json: &[u8]) -> Result<Self, Refusal> {
        if json.len() > Self::MAX_ANSWER {
            return Err(Refusal::Malformed("answer is too long"));
        }
        let answer = Json::parse(json).map_err(|_| Refusal::Malformed("answer is not JSON"))?;
        let text = |key| match answer.get(key) {
            Some(Json::String(text)) => Some(text),
            _ => None,
        };
        let receipt = text("receipt").ok_or(Refusal::Malformed("answer has no `receipt`"))?;
        let receipt = Receipt::parse(receipt).map_err(|_| Refusal::Malformed("`receipt` is not a tlog-proof"))?;
        let salt = text("salt").and_then(|salt| unb64(salt).ok()).and_then(|salt| salt.try_into().ok());
        let salt = salt.ok_or(Refusal::Malformed("`salt` is not 16 bytes in base64"))?;
        let record = match text("record") {
            Some(record) => unb64(record).ok(),
            None => receipt.extra.clone(),
        };
        let record = record.ok_or(Refusal::Malformed("answer has no `record`"))?;
        Ok(Self { record, salt, receipt })
    }
}

/// How an attempt to use a permit came out.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Claim {
    /// This use was free and is now taken, durably.
    Taken,
    /// This use was taken before.
    AlreadyTaken,
}

/// A store could not say; the permit is refused.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[error("use store failed: {0}")]
pub struct UseStoreError(pub String);

/// Remembers which uses of which permits were taken.
///
/// `claim` is durable before it returns [`Claim::Taken`], also against power loss, and gives it at most once for a pair of permit and use,
/// across all who share the store. What has expired may be forgotten.
pub trait UseStore {
    /// Takes use number `nth` (from 0) of a permit that is void at `expires_at`, Unix milliseconds.
    fn claim(&mut self, permit: PermitId, nth: u32, expires_at: u64) -> Result<Claim, UseStoreError>;
}

/// Why an action must not run. Exhaustive on purpose: who enforces must know every one.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum Refusal {
    /// The permit cannot be read.
    #[error("{0}")]
    Malformed(&'static str),
    /// The leaf is not a record.
    #[error("{0}")]
    BadRecord(#[from] RecordError),
    /// The path does not lead to the head, or the head's signature fails.
    #[error("bad proof: {0}")]
    BadProof(verify::Refusal),
    /// No trusted key signed the head.
    #[error("no trusted key signed the head")]
    UnknownKey,
    /// The key that signed the head is not believed for this size or time.
    #[error("the log's key is retired for this size or time")]
    RetiredKey,
    /// The record is no decision: bytes that somebody submitted are not a permit.
    #[error("the record is not a decision")]
    NotADecision,
    /// The decision is a denial.
    #[error("denied")]
    Denied,
    /// An allow with a condition that failed, stayed unknown, or was not required though this enforcement point demands it.
    #[error("hollow: condition `{}` is `{}`", .0.name(), .1.name())]
    Hollow(Condition, Class),
    /// The permit belongs to another realm.
    #[error("permit of another realm")]
    WrongRealm,
    /// The permit is for somebody else.
    #[error("permit for another audience")]
    WrongAudience,
    /// The permit is for other bytes.
    #[error("permit for another request")]
    WrongRequest,
    /// The committed bytes are not a request that can be read.
    #[error("the committed request cannot be read: {0}")]
    UnreadableRequest(RequestError),
    /// Times in the permit lie ahead of the clock.
    #[error("permit from the future")]
    FromTheFuture,
    /// The permit holds longer than this enforcement point accepts.
    #[error("permit holds too long")]
    LifetimeTooLong,
    /// The permit or its lease has run out.
    #[error("permit has expired")]
    Expired,
    /// Issued before the use store began to remember: it may have been used.
    #[error("permit is older than what the use store remembers")]
    OlderThanMemory,
    /// Every use was taken.
    #[error("permit was used already")]
    AlreadyUsed,
    /// The use store could not say.
    #[error(transparent)]
    UseStore(#[from] UseStoreError),
}

impl Refusal {
    /// The stable code.
    pub const fn code(&self) -> &'static str {
        match self {
            Self::Malformed(_) => "malformed_permit",
            Self::BadRecord(_) => "malformed_record",
            Self::BadProof(_) => "bad_proof",
            Self::UnknownKey => "unknown_key",
            Self::RetiredKey => "retired_key",
            Self::NotADecision => "not_a_decision",
            Self::Denied => "denied",
            Self::Hollow(_, _) => "hollow",
            Self::WrongRealm => "wrong_realm",
            Self::WrongAudience => "wrong_audience",
            Self::WrongRequest => "wrong_request",
            Self::UnreadableRequest(_) => "unreadable_request",
            Self::FromTheFuture => "from_the_future",
            Self::LifetimeTooLong => "lifetime_too_long",
            Self::Expired => "expired",
            Self::OlderThanMemory => "older_than_memory",
            Self::AlreadyUsed => "already_used",
            Self::UseStore(_) => "use_store_failed",
        }
    }
}

/// Leave to act, once. Made by [`Guard::admit`] only; it cannot be copied.
///
/// ```compile_fail,E0451
/// # fn forge(request: verifier::request::Request, head: verifier::checkpoint::SignedCheckpoint) {
/// let permit = verifier::decision::PermitId([0; 16]);
/// verifier::guard::Admitted { request, permit, nth: 0, ends_at: u64::MAX, index: 0, head };
/// # }
/// ```
#[derive(Debug)]
pub struct Admitted {
    request: Request,
    permit: PermitId,
    nth: u32,
    ends_at: u64,
    index: u64,
    head: SignedCheckpoint,
}

impl Admitted {
    /// What may be done, as read from the committed bytes. Act on this value alone.
    pub fn request(&self) -> &Request {
        &self.request
    }

    /// The permit's name.
    pub fn permit(&self) -> PermitId {
        self.permit
    }

    /// Which of the permit's uses this is, from 0.
    pub fn nth(&self) -> u32 {
        self.nth
    }

    /// The action must have stopped by then, Unix milliseconds: the permit's end, or its lease's where that is earlier.
    pub fn ends_at(&self) -> u64 {
        self.ends_at
    }

    /// The decision's place in the log.
    pub fn index(&self) -> u64 {
        self.index
    }

    /// The head that was relied on. Keep it: a later, witnessed head of the log must prove consistent with it.
    pub fn head(&self) -> &SignedCheckpoint {
        &self.head
    }
}

/// The `remembers_since` of a store that knows nothing of what was before `now`, Unix milliseconds: records from up to [`MAX_AHEAD_MS`]
/// ahead were admitted too, so the first record that cannot have been used is a later one.
pub const fn remembers_from(now: u64) -> u64 {
    now.saturating_add(MAX_AHEAD_MS + 1)
}

/// Keys of a decision in `record.cddl`.
const EVALUATED_AT: u64 = 7;
const EXPIRES_AT: u64 = 12;

fn out_of_range(key: u64) -> Refusal {
    Refusal::BadRecord(RecordError::Malformed(CborError::OutOfRange(key)))
}

/// An enforcement point's judge.
#[derive(Debug)]
pub struct Guard<S> {
    trust: Trust,
    uses: S,
    remembers_since: u64,
}

impl<S: UseStore> Guard<S> {
    /// `remembers_since` is the record time from which on the store has every use, Unix milliseconds: 0 for a store that was never lost,
    /// [`remembers_from`] the start of this process for one that was.
    pub fn new(trust: Trust, uses: S, remembers_since: u64) -> Self {
        Self { trust, uses, remembers_since }
    }

    /// Judges `permit` for `request`, the bytes that are about to be acted on, at `now`, Unix milliseconds. Takes a use only if all else
    /// holds.
    pub fn admit(&mut self, request: &[u8], permit: &Permit, now: u64) -> Result<Admitted, Refusal> {
        // Two records in one permit: whoever looks at the other one sees another permit than the one that is judged here.
        if permit.receipt.extra.as_ref().is_some_and(|extra| *extra != permit.record) {
            return Err(Refusal::Malformed("the receipt carries another record than `record`"));
        }
        let verified =
            verify_receipt(&permit.receipt, Some(&permit.record), &self.trust.keys).map_err(|error| match error {
                verify::Refusal::Record(error) => Refusal::BadRecord(error),
                verify::Refusal::UnknownKey => Refusal::UnknownKey,
                verify::Refusal::RetiredKey => Refusal::RetiredKey,
                verify::Refusal::NoLeaf | verify::Refusal::Inclusion(_) | verify::Refusal::Head(_) => {
                    Refusal::BadProof(error)
                }
            })?;
        // Whoever stole a retired key can write any record time; the clock on the wall is ours.
        if !verified.key().covers_time(now) {
            return Err(Refusal::RetiredKey);
        }
        let Record::Decision(decision) = verified.record() else {
            return Err(Refusal::NotADecision);
        };
        let ends_at = self.judge(decision, now)?;
        if commitment(&permit.salt, request) != decision.request {
            return Err(Refusal::WrongRequest);
        }
        let request = Request::parse(request).map_err(Refusal::UnreadableRequest)?;
        let nth = self.take_use(decision)?;
        Ok(Admitted {
            request,
            permit: decision.permit,
            nth,
            ends_at,
            index: verified.index(),
            head: verified.signed_head().clone(),
        })
    }

    /// Everything that the decision alone shows; gives the time at which execution must have stopped.
    fn judge(&self, decision: &Decision, now: u64) -> Result<u64, Refusal> {
        let (Outcome::Allow, Some(grant)) = (decision.outcome, decision.grant) else {
            return Err(Refusal::Denied);
        };
        self.refuse_hollow(&decision.classes)?;
        if decision.realm != self.trust.realm {
            return Err(Refusal::WrongRealm);
        }
        if decision.audience != self.trust.audience {
            return Err(Refusal::WrongAudience);
        }
        let ends_at = grant.lease_ends_at.map_or(grant.expires_at, |lease| lease.min(grant.expires_at));
        // The sequencer writes neither; a log that signed one is not to be reasoned with.
        if decision.evaluated_at > decision.recorded_at {
            return Err(out_of_range(EVALUATED_AT));
        }
        if ends_at < decision.recorded_at {
            return Err(out_of_range(EXPIRES_AT));
        }
        let latest = now.saturating_add(MAX_AHEAD_MS);
        if decision.recorded_at > latest {
            return Err(Refusal::FromTheFuture);
        }
        let longest = self.trust.max_lifetime_ms.min(LONGEST_MAX_LIFETIME_MS);
        if grant.expires_at.saturating_sub(decision.evaluated_at) > longest {
            return Err(Refusal::LifetimeTooLong);
        }
        if ends_at <= now {
            return Err(Refusal::Expired);
        }
        if decision.recorded_at < self.remembers_since {
            return Err(Refusal::OlderThanMemory);
        }
        Ok(ends_at)
    }

    fn refuse_hollow(&self, classes: &Classes) -> Result<(), Refusal> {
        for (condition, class) in classes.iter() {
            let demanded = ALWAYS_REQUIRED.contains(&condition) || self.trust.require.contains(&condition);
            match class {
                Class::Pass => {}
                Class::NotRequired if !demanded => {}
                Class::NotRequired | Class::Fail | Class::Unknown => return Err(Refusal::Hollow(condition, class)),
            }
        }
        Ok(())
    }

    fn take_use(&mut self, decision: &Decision) -> Result<u32, Refusal> {
        let Some(grant) = decision.grant else { return Err(Refusal::Denied) };
        for nth in 0..grant.uses.min(MAX_USES) {
            match self.uses.claim(decision.permit, nth, grant.expires_at)? {
                Claim::Taken => return Ok(nth),
                Claim::AlreadyTaken => {}
            }
        }
        Err(Refusal::AlreadyUsed)
    }
}
