//! Parameters in paths and queries: one spelling each, no unknown ones, none twice.

use actix_web::HttpRequest;
use verifier::text::decimal;

use super::problem::{Code, Problem};

/// Bytes of a query: three numbers with their names take less than half.
const MAX_QUERY: usize = 256;

/// The query of one request, read against the names that its path knows.
pub(super) struct Query<'a> {
    given: Vec<(&'a str, &'a str)>,
}

impl<'a> Query<'a> {
    /// Reads the query; every parameter must be one of `known`.
    pub(super) fn read(request: &'a HttpRequest, known: &[&str]) -> Result<Self, Problem> {
        let query = request.query_string();
        if query.len() > MAX_QUERY {
            return Err(Problem::new(Code::MalformedParameter, format!("a query has at most {MAX_QUERY} bytes")));
        }
        let mut given: Vec<(&str, &str)> = Vec::new();
        for pair in query.split('&').filter(|pair| !pair.is_empty()) {
            let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
            if !known.contains(&name) {
                return Err(Problem::new(
                    Code::UnknownParameter,
                    if known.is_empty() {
                        "this path knows no parameters".to_owned()
                    } else {
                        format!("this path knows `{}` only", known.join("`, `"))
                    },
                ));
            }
            if given.iter().any(|(other, _)| *other == name) {
                return Err(Problem::new(Code::UnknownParameter, format!("`{name}` is given twice")));
            }
            given.push((name, value));
        }
        Ok(Self { given })
    }

    /// A value as it was sent; nothing is decoded.
    pub(super) fn text(&self, name: &str) -> Option<&'a str> {
        self.given.iter().find(|(given, _)| *given == name).map(|(_, value)| *value)
    }

    /// A number that may be left out.
    pub(super) fn number(&self, name: &str) -> Result<Option<u64>, Problem> {
        self.text(name).map(|value| number(name, value)).transpose()
    }

    /// A number that must be there.
    pub(super) fn required(&self, name: &str) -> Result<u64, Problem> {
        self.number(name)?.ok_or_else(|| Problem::new(Code::MissingParameter, format!("`{name}` is missing")))
    }
}

/// A path's last segment as it was sent: nothing decoded, nothing normalised.
pub(super) fn last_segment(request: &HttpRequest) -> &str {
    request.uri().path().rsplit('/').next().unwrap_or_default()
}

/// A number in its one spelling.
pub(super) fn number(name: &str, text: &str) -> Result<u64, Problem> {
    decimal(text).map_err(|_| Problem::malformed(name, "a decimal number below 2^63 without sign or leading zeros"))
}

/// A path whose last segment is an index and which knows no query.
pub(super) fn index(request: &HttpRequest) -> Result<u64, Problem> {
    Query::read(request, &[])?;
    number("index", last_segment(request))
}
