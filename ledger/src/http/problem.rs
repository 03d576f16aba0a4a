//! Errors of the read API: RFC 9457 problems, each with a code that stays.
//!
//! Guarantees: the list of codes is closed, each has one status, and no answer tells a path of the file system or an error of the
//! operating system. Errors carry no cache header, so that nobody keeps "not there" for something that is published a second later.

use std::fmt;

use actix_web::http::{StatusCode, header};
use actix_web::{HttpResponse, ResponseError};
use serde::Serialize;

use crate::ReadError;

/// What went wrong, in a word for programs. The list only grows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Code {
    /// No such path.
    UnknownPath,
    /// Another method than the path knows: GET and HEAD, and POST of bundles.
    MethodNotAllowed,
    /// A parameter in the path or the query that is not spelled as it must be.
    MalformedParameter,
    /// A parameter that must be there is not.
    MissingParameter,
    /// A parameter that this path does not know, or one given twice.
    UnknownParameter,
    /// None of the media types in `Accept` can be had.
    NotAcceptable,
    /// An index, size, tile or bundle above the published size, or a size that never had a head.
    NotPublished,
    /// No published entry has this permit id or leaf hash.
    UnknownId,
    /// The proof is empty, and an empty one has no COSE form.
    NoCoseForm,
    /// The entry is of a kind that has no request.
    NoRequest,
    /// The realm is `committed`: its requests are not public.
    Committed,
    /// No such epoch.
    UnknownEpoch,
    /// An archive has no key: it answers with the signature of its last head only.
    Unsigned,
    /// No record is chosen for a bundle.
    NothingChosen,
    /// More than a bundle may have.
    TooLarge,
    /// A body that did not arrive in time.
    BodyTimeout,
    /// Private parts were erased, and a record says so.
    Erased,
    /// The private parts should be there and are not.
    Lost,
    /// What is stored is not what it must be.
    Damaged,
    /// The disk does not answer.
    Unavailable,
    /// The service is not ready; the detail says why.
    NotReady,
    /// As many such looks are under way, or bundles being made, as are taken at once.
    Overloaded,
}

impl Code {
    /// Every code.
    pub const ALL: [Self; 22] = [
        Self::UnknownPath,
        Self::MethodNotAllowed,
        Self::MalformedParameter,
        Self::MissingParameter,
        Self::UnknownParameter,
        Self::NotAcceptable,
        Self::NotPublished,
        Self::UnknownId,
        Self::NoCoseForm,
        Self::NoRequest,
        Self::Committed,
        Self::UnknownEpoch,
        Self::Unsigned,
        Self::NothingChosen,
        Self::TooLarge,
        Self::BodyTimeout,
        Self::Erased,
        Self::Lost,
        Self::Damaged,
        Self::Unavailable,
        Self::NotReady,
        Self::Overloaded,
    ];

    /// The word.
    pub const fn name(self) -> &'static str {
        match self {
            Self::UnknownPath => "unknown_path",
            Self::MethodNotAllowed => "method_not_allowed",
            Self::MalformedParameter => "malformed_parameter",
            Self::MissingParameter => "missing_parameter",
            Self::UnknownParameter => "unknown_parameter",
            Self::NotAcceptable => "not_acceptable",
            Self::NotPublished => "not_published",
            Self::UnknownId => "unknown_id",
            Self::NoCoseForm => "no_cose_form",
            Self::NoRequest => "no_request",
            Self::Committed => "committed",
            Self::UnknownEpoch => "unknown_epoch",
            Self::Unsigned => "unsigned",
            Self::NothingChosen => "nothing_chosen",
            Self::TooLarge => "too_large",
            Self::BodyTimeout => "body_timeout",
            Self::Erased => "erased",
            Self::Lost => "lost",
            Self::Damaged => "damaged",
            Self::Unavailable => "unavailable",
            Self::NotReady => "not_ready",
            Self::Overloaded => "overloaded",
        }
    }

    /// The problem type: the same form as on the decision API.
    fn urn(self) -> String {
        format!("urn:interlock:problem:{}", self.name())
    }

    /// The status that goes with it.
    pub fn status(self) -> StatusCode {
        match self {
            Self::UnknownPath
            | Self::NotPublished
            | Self::UnknownId
            | Self::NoRequest
            | Self::Committed
            | Self::UnknownEpoch
            | Self::NothingChosen => StatusCode::NOT_FOUND,
            Self::TooLarge => StatusCode::PAYLOAD_TOO_LARGE,
            Self::BodyTimeout => StatusCode::REQUEST_TIMEOUT,
            Self::MethodNotAllowed => StatusCode::METHOD_NOT_ALLOWED,
            Self::MalformedParameter | Self::MissingParameter | Self::UnknownParameter => StatusCode::BAD_REQUEST,
            Self::NoCoseForm | Self::Unsigned => StatusCode::CONFLICT,
            Self::NotAcceptable => StatusCode::NOT_ACCEPTABLE,
            Self::Erased => StatusCode::GONE,
            Self::Lost | Self::Damaged => StatusCode::INTERNAL_SERVER_ERROR,
            Self::Unavailable | Self::NotReady | Self::Overloaded => StatusCode::SERVICE_UNAVAILABLE,
        }
    }
}

/// One error on its way out.
#[derive(Debug)]
pub struct Problem {
    code: Code,
    detail: String,
    allowed: &'static str,
}

impl Problem {
    /// A problem with one sentence about this case.
    #[must_use]
    pub fn new(code: Code, detail: impl Into<String>) -> Self {
        Self { code, detail: detail.into(), allowed: "GET, HEAD" }
    }

    /// Of a path that knows these methods.
    pub(super) fn allowing(self, allowed: &'static str) -> Self {
        Self { allowed, ..self }
    }

    /// A path or query parameter that is not spelled as it must be.
    #[must_use]
    pub fn malformed(name: &str, wanted: &str) -> Self {
        Self::new(Code::MalformedParameter, format!("`{name}` must be {wanted}"))
    }
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.detail)
    }
}

/// The body (RFC 9457 §3.1); `code` is an extension member, and the end of `type`.
#[derive(Serialize)]
struct Body<'a> {
    r#type: String,
    title: &'a str,
    status: u16,
    detail: &'a str,
    code: &'a str,
}

impl ResponseError for Problem {
    fn status_code(&self) -> StatusCode {
        self.code.status()
    }

    fn error_response(&self) -> HttpResponse {
        let status = self.status_code();
        let mut answer = HttpResponse::build(status);
        if self.code == Code::MethodNotAllowed {
            answer.insert_header((header::ALLOW, self.allowed));
        }
        if self.code == Code::Overloaded {
            answer.insert_header((header::RETRY_AFTER, "1"));
        }
        answer.insert_header((header::CONTENT_TYPE, "application/problem+json"));
        let title = status.canonical_reason().unwrap_or_default();
        let body = Body {
            r#type: self.code.urn(),
            title,
            status: status.as_u16(),
            detail: &self.detail,
            code: self.code.name(),
        };
        // Strings and numbers always serialise.
        answer.body(serde_json::to_vec(&body).unwrap_or_default())
    }
}

impl From<ReadError> for Problem {
    fn from(error: ReadError) -> Self {
        match error {
            ReadError::Beyond { asked, size } => {
                Self::new(Code::NotPublished, format!("`{asked}` is not in the published log of size {size}"))
            }
            ReadError::Range => {
                Self::new(Code::MalformedParameter, "the range is empty, too long or the wrong way round")
            }
            ReadError::NoPrivate { index } => Self::new(Code::NoRequest, format!("entry {index} is not a decision")),
            ReadError::Erased { index } => Self::new(
                Code::Erased,
                format!("request or detail of decision {index} were erased, by a record of this log"),
            ),
            ReadError::Lost { index } => {
                Self::new(Code::Lost, format!("request and detail of decision {index} are missing and were not erased"))
            }
            // Neither the file nor the cause is the public's business; the operator has `interlock fsck`.
            ReadError::Damaged { index, .. }
            | ReadError::Contradiction { index }
            | ReadError::NotARecord { index, .. } => {
                Self::new(Code::Damaged, format!("what is stored at {index} is damaged"))
            }
            ReadError::Unsigned { size } => Self::new(
                Code::Unsigned,
                format!("this archive has no key and no signature for size {size}, only for its last head"),
            ),
            ReadError::Io(_) => Self::new(Code::Unavailable, "the log cannot be read now"),
        }
    }
}

/// The answer to paths that do not exist.
pub(super) async fn unknown_path() -> Result<HttpResponse, Problem> {
    Err(Problem::new(Code::UnknownPath, "there is nothing at this path"))
}

/// The answer to every method but GET and HEAD.
///
/// # Errors
/// [`Code::MethodNotAllowed`], always.
pub async fn method_not_allowed() -> Result<HttpResponse, Problem> {
    Err(Problem::new(Code::MethodNotAllowed, "only GET and HEAD are answered here"))
}
