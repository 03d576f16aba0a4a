//! Why: a caller must be able to react to a refusal by a stable code, and learn nothing more from it than it may.
//!
//! Guarantees: every error answer is RFC 9457 problem+json with one code of a closed list (AuthZEN paths: the message
//! as a JSON string); 401 is the same bytes whatever was wrong; no answer carries a secret or a body.

use std::time::Duration;

use actix_web::HttpResponse;
use actix_web::http::{StatusCode, header};
use rand::RngExt;
use verifier::json::JsonError;
use verifier::request::RequestError;

use crate::answer::push_string;
use crate::proposal::Refusal;
use crate::worker::NoAnswer;

/// `Retry-After` of a 503, seconds, drawn at random so that callers do not come back all at once.
const RETRY_AFTER: std::ops::RangeInclusive<u8> = 1..=4;

macro_rules! codes {
    ($($(#[$doc:meta])+ $variant:ident = $status:literal $name:literal $title:literal,)+) => {
        /// Why a call was refused. Nothing was decided and nothing recorded, unless its text says otherwise.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
        pub enum Code {
            $($(#[$doc])+ $variant,)+
        }

        impl Code {
            /// Every code.
            pub const ALL: &'static [Self] = &[$(Self::$variant,)+];

            /// The stable name.
            pub const fn name(self) -> &'static str {
                match self { $(Self::$variant => $name,)+ }
            }

            /// The HTTP status.
            pub const fn status(self) -> u16 {
                match self { $(Self::$variant => $status,)+ }
            }

            const fn title(self) -> &'static str {
                match self { $(Self::$variant => $title,)+ }
            }
        }
    };
}

codes! {
    /// No key, or one that does not hold.
    Unauthorized = 401 "unauthorized" "a valid key is required",
    /// The key may not do this.
    Forbidden = 403 "forbidden" "this key may not do this",
    /// There is no such path or thing, or it is not this key's.
    NotFound = 404 "not_found" "there is no such thing",
    /// Private parts were erased.
    Gone = 410 "erased_parts" "the request or the detail was erased; the record that says so stands in the log",
    /// The path does not know this method.
    MethodNotAllowed = 405 "method_not_allowed" "the path does not know this method",
    /// The content type is not one that the path takes.
    ContentType = 400 "content_type" "the content type is not one that is taken here",
    /// The header that some services have for it: here the key stands in each request, which the log commits to.
    IdempotencyHeader = 400 "idempotency_header" "the idempotency key stands in the request, as `idempotency_key`, not in a header",
    /// The body is encoded.
    ContentEncoding = 400 "content_encoding" "encoded bodies are not taken",
    /// A query parameter is not known.
    InvalidQuery = 400 "invalid_query" "a query parameter is not known",
    /// There is no request in the body.
    EmptyBody = 400 "empty_body" "the body holds no request",
    /// The body is larger than the limit.
    BodyTooLarge = 400 "body_too_large" "the body is larger than the limit",
    /// One request is larger than the limit.
    RequestTooLarge = 400 "request_too_large" "a request is larger than 65,536 bytes",
    /// More requests than a body may have.
    TooManyItems = 400 "too_many_items" "a body holds at most 4,096 requests",
    /// The body did not arrive in time.
    BodyTimeout = 408 "body_timeout" "the body did not arrive in time",
    /// The connection broke within the body.
    BodyIncomplete = 400 "body_incomplete" "the body is incomplete",
    /// Not UTF-8.
    InvalidUtf8 = 400 "invalid_utf8" "the body is not UTF-8",
    /// Not JSON.
    InvalidJson = 400 "invalid_json" "the body is not JSON of the expected shape",
    /// A key stands twice in one object.
    DuplicateKey = 400 "duplicate_key" "a key stands twice in one object",
    /// Nested too deep.
    TooDeep = 400 "too_deep" "the body is nested deeper than 32",
    /// A field that requests do not have.
    UnknownField = 400 "unknown_field" "a field is not known",
    /// A required field is absent.
    MissingField = 400 "missing_field" "a required field is missing",
    /// A field of another type.
    WrongType = 400 "wrong_type" "a field has the wrong type",
    /// A value out of range.
    InvalidValue = 400 "invalid_value" "a value is not acceptable",
    /// A reserved name.
    ReservedName = 400 "reserved_name" "a name is reserved",
    /// An idempotency key was used for another request.
    IdempotencyKeyReused = 422 "idempotency_key_reused" "the idempotency key was used for another request",
    /// A request under the same idempotency key is not answered yet.
    IdempotencyInFlight = 409 "idempotency_in_flight" "a request under this idempotency key is in flight",
    /// An approval is malformed, for something else, or void.
    InvalidApproval = 400 "invalid_approval" "the approval is malformed, void, or for something else",
    /// An approval is not signed by an approver.
    NotAnApprover = 403 "not_an_approver" "the approval is not signed by an approver of the epoch",
    /// Whoever asked cannot approve.
    SelfApproval = 403 "self_approval" "nobody approves what is asked in their own name",
    /// The decision needs no such approval: it was allowed, approved by this person, or tried again.
    ApprovalConflict = 409 "approval_conflict" "the decision takes no such approval any more",
    /// The signature over the body is not of the one form that is taken.
    SignatureMalformed = 400 "signature_malformed" "the signature is not of the form that is taken here",
    /// The body has another digest than was signed.
    ContentDigest = 400 "content_digest" "the body does not have the digest that was signed",
    /// Erasing: the parts are gone already.
    AlreadyErased = 409 "already_erased" "the parts are erased or lost already",
    /// Erasing: too early.
    Retained = 409 "retained" "the epoch keeps private parts for longer",
    /// Erasing: something rests on the parts.
    StillNeeded = 409 "still_needed" "something may still rest on the parts",
    /// What was recorded under the idempotency key is erased.
    Erased = 409 "erased" "what was recorded under this idempotency key is erased",
    /// An act of governance is malformed.
    InvalidAct = 400 "invalid_act" "the act is malformed",
    /// An act is not signed by an admin key.
    InvalidSignature = 403 "invalid_signature" "the act is not signed by an admin key of this log",
    /// An act is for another log.
    WrongOrigin = 400 "wrong_origin" "the act is for another log",
    /// An event is signed by no key of the permit's audience, and the key that asks is not the permit's own.
    NotTheAudience = 403 "not_the_audience" "the event is not signed by the permit's audience",
    /// An execution event is malformed, or about another permit.
    InvalidEvent = 400 "invalid_event" "the event is malformed",
    /// The permit has no lease: there is no execution to follow.
    NoLease = 409 "no_lease" "the permit has no lease",
    /// The execution is over: it must have stopped.
    ExecutionOver = 409 "execution_over" "the execution is over",
    /// The execution was reported to have begun before.
    AlreadyStarted = 409 "already_started" "the execution was reported to have begun before",
    /// The lease ends at another time than the one that is renewed.
    LeaseChanged = 409 "lease_changed" "the lease ends at another time than the one that is renewed",
    /// Renewed, the lease would outlive its permit; it runs out.
    BeyondPermit = 409 "beyond_permit" "the renewed lease would outlive its permit",
    /// An act follows another governance version than the one in force.
    GovernanceConflict = 409 "governance_conflict" "the act does not follow the governance version in force",
    /// The act names another content than was sent with it.
    ContentMismatch = 400 "content_mismatch" "the act names another content than was sent",
    /// The epoch's content does not validate; the old epoch stays.
    EpochInvalid = 400 "epoch_invalid" "the epoch's content does not validate",
    /// The realm is committed or unknown, and a statement would be public.
    RealmNotPublic = 403 "realm_not_public" "a statement is public, and this key's realm is not",
    /// A statement's media type is not one.
    MediaType = 400 "media_type" "the content type is not a media type of at most 255 bytes",
    /// What comes as a DSSE envelope is none.
    InvalidEnvelope = 400 "invalid_envelope" "the body is not the DSSE envelope that its content type claims",
    /// A statement is larger than a record holds.
    StatementTooLarge = 413 "statement_too_large" "a statement has at most 60,000 bytes",
    /// The log has ended: nothing is decided or recorded in it any more.
    Frozen = 503 "frozen" "the log is frozen: nothing is ever recorded in it again",
    /// The clock cannot be relied on, so that nothing can be given a time.
    Clock = 503 "clock" "the clock cannot be relied on",
    /// No epoch is published yet: nothing can be allowed.
    NoEpoch = 503 "no_epoch" "no epoch is published",
    /// The key, or without one the address, has taken what it may take.
    Quota = 429 "quota" "the key, or without one the address, has taken what it may take a second",
    /// What is free of the disk is kept for governance and for executions under way.
    DiskReserve = 503 "disk_reserve" "what is left of the disk is kept for governance and for executions under way",
    /// More is waiting than can be taken.
    Overloaded = 503 "overloaded" "more is waiting than can be taken",
    /// The log cannot be written now: nothing is allowed. What was under way may have been recorded.
    Unavailable = 503 "unavailable" "the log cannot be written now",
    /// The operator has turned the sandbox off.
    SandboxOff = 404 "sandbox_off" "the sandbox is turned off here (`--no-sandbox`, or an archive)",
    /// There is no such sample.
    UnknownSample = 404 "unknown_sample" "there is no such sample",
    /// One of the texts for the sandbox is too long.
    SandboxTooLarge = 400 "sandbox_too_large" "a text is longer than the sandbox takes",
    /// As many requests are inside as there is room for.
    SandboxBusy = 503 "sandbox_busy" "the sandbox is busy",
    /// The address, or all together, asked the sandbox too often.
    SandboxQuota = 429 "sandbox_quota" "the sandbox is asked too often",
    /// The sandbox did not come to an answer in time.
    SandboxTimeout = 503 "sandbox_timeout" "the sandbox did not come to an answer in time",
    /// The sandbox has no log to decide in.
    SandboxUnavailable = 503 "sandbox_unavailable" "the sandbox cannot decide now",
    /// The key file cannot be changed.
    KeyFile = 500 "key_file" "the key file cannot be changed",
}

/// A refusal on its way to the caller.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Problem {
    /// The code.
    pub code: Code,
    /// In words, for people; empty where the title says all.
    pub detail: String,
    /// Which item of a body, from 0.
    pub item: Option<usize>,
    /// Further members of the problem document, as JSON text beginning with a comma.
    pub more: String,
    /// For `405`: the methods that the path knows (RFC 9110 §10.2.1).
    pub allow: Option<&'static str>,
    /// For `429`: seconds to wait.
    pub wait: u64,
}

impl From<Code> for Problem {
    fn from(code: Code) -> Self {
        Problem { code, detail: String::new(), item: None, more: String::new(), allow: None, wait: 0 }
    }
}

impl From<RequestError> for Problem {
    fn from(error: RequestError) -> Self {
        let code = match &error {
            RequestError::TooLarge(_) => Code::RequestTooLarge,
            RequestError::Json(error) => return Problem::from(error.clone()),
            RequestError::UnknownField(_) => Code::UnknownField,
            RequestError::MissingField(_) => Code::MissingField,
            RequestError::WrongType { .. } => Code::WrongType,
            RequestError::InvalidValue { .. } => Code::InvalidValue,
            RequestError::ReservedName(_) => Code::ReservedName,
        };
        Problem::from(code).because(error.to_string())
    }
}

impl From<JsonError> for Problem {
    fn from(error: JsonError) -> Self {
        let code = match &error {
            JsonError::InvalidUtf8(_) => Code::InvalidUtf8,
            JsonError::Malformed { .. } => Code::InvalidJson,
            JsonError::DuplicateKey { .. } => Code::DuplicateKey,
            JsonError::TooDeep { .. } => Code::TooDeep,
        };
        Problem::from(code).because(error.to_string())
    }
}

impl From<NoAnswer> for Problem {
    fn from(none: NoAnswer) -> Self {
        let at = |code: Code, item| Problem { item: Some(item), ..Problem::from(code) };
        match none {
            NoAnswer::NoEpoch => Code::NoEpoch.into(),
            NoAnswer::Full | NoAnswer::Refused(Refusal::TooManyKeys) => Code::Overloaded.into(),
            NoAnswer::Unavailable => Code::Unavailable.into(),
            NoAnswer::NotPublic => Code::RealmNotPublic.into(),
            NoAnswer::Refused(Refusal::Frozen) => Code::Frozen.into(),
            NoAnswer::Refused(Refusal::Clock) => Code::Clock.into(),
            NoAnswer::TooLarge => Code::BodyTooLarge.into(),
            NoAnswer::NoRequest { item, error } => Problem::from(error).at(item),
            NoAnswer::Refused(Refusal::Approval(untaken)) => untaken.into(),
            NoAnswer::Refused(Refusal::KeyReused { item }) => at(Code::IdempotencyKeyReused, item),
            NoAnswer::Refused(Refusal::InFlight { item }) => at(Code::IdempotencyInFlight, item),
            NoAnswer::Refused(Refusal::Erased { item }) => at(Code::Erased, item),
        }
    }
}

impl Problem {
    /// Adds the words.
    #[must_use]
    pub fn because(mut self, detail: String) -> Self {
        self.detail = detail;
        self
    }

    /// A key that has to wait so long.
    #[must_use]
    pub fn owed(wait: Duration) -> Self {
        Problem { wait: wait.as_secs().saturating_add(1), ..Problem::from(Code::Quota) }
    }

    /// An address that has to wait so long: whole seconds, so that it does not come too early.
    #[must_use]
    pub fn owed_by_address(wait: Duration) -> Self {
        let seconds = wait.as_secs().saturating_add(u64::from(wait.subsec_nanos() > 0));
        Problem { wait: seconds, ..Problem::from(Code::Quota) }
    }

    /// Names the item.
    #[must_use]
    pub fn at(mut self, item: usize) -> Self {
        self.item = Some(item);
        self
    }

    /// The answer as RFC 9457 problem+json.
    #[must_use]
    pub fn response(&self) -> HttpResponse {
        let Problem { code, detail, item, more, allow: _, wait: _ } = self;
        let mut body = format!(
            r#"{{"type":"urn:interlock:problem:{}","title":"{}","status":{},"code":"{0}""#,
            code.name(),
            code.title(),
            code.status()
        );
        if !detail.is_empty() {
            body.push_str(r#","detail":"#);
            push_string(&mut body, detail);
        }
        if let Some(item) = item {
            body.push_str(&format!(r#","item":{item}"#));
        }
        body.push_str(more);
        body.push('}');
        self.coded(self.head().content_type("application/problem+json").body(body))
    }

    /// Lets whoever counts answers see the code.
    fn coded(&self, mut response: HttpResponse) -> HttpResponse {
        response.extensions_mut().insert(self.code);
        response
    }

    /// The answer as AuthZEN has it: the body is an error message string.
    #[must_use]
    pub fn authzen_response(&self) -> HttpResponse {
        let mut body = String::new();
        push_string(&mut body, &self.message());
        self.coded(self.head().content_type("application/json").body(body))
    }

    /// Code and words in one line.
    #[must_use]
    pub fn message(&self) -> String {
        let words = if self.detail.is_empty() { self.code.title() } else { &self.detail };
        format!("{}: {words}", self.code.name())
    }

    fn head(&self) -> actix_web::HttpResponseBuilder {
        let status = StatusCode::from_u16(self.code.status()).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
        let mut response = HttpResponse::build(status);
        match self.code.status() {
            401 => {
                response.insert_header((header::WWW_AUTHENTICATE, "Bearer"));
            }
            // Whoever waits for a frozen log waits for ever.
            503 if self.code != Code::Frozen => {
                let seconds = rand::rng().random_range(RETRY_AFTER);
                response.insert_header((header::RETRY_AFTER, seconds.to_string()));
            }
            429 => {
                response.insert_header((header::RETRY_AFTER, self.wait.to_string()));
            }
            _ => {}
        }
        if let Some(methods) = self.allow {
            response.insert_header((header::ALLOW, methods));
        }
        response
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_code_has_a_name_of_its_own() {
        let mut names: Vec<_> = Code::ALL.iter().map(|code| code.name()).collect();
        names.sort_unstable();
        names.dedup();
        assert_eq!(names.len(), Code::ALL.len());
    }
}
