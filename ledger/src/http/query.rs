//! Parameters in paths and queries: one spelling each, no unknown ones, none twice.
//!
//! Guarantees: numbers have one spelling; texts are what `application/x-www-form-urlencoded` writes, UTF-8 and without control characters.

use actix_web::HttpRequest;
use verifier::text::decimal;

use super::problem::{Code, Problem};

/// Bytes of a query: three numbers with their names take less than half.
const MAX_QUERY: usize = 256;

/// The query of one request, read against the names that its path knows.
#[derive(Debug)]
pub struct Query<'a> {
    given: Vec<(&'a str, &'a str)>,
}

impl<'a> Query<'a> {
    /// Reads the query; every parameter must be one of `known`.
    ///
    /// # Errors
    /// [`Code::UnknownParameter`], also where one is given twice; [`Code::MalformedParameter`] where the whole is too long.
    pub fn read(request: &'a HttpRequest, known: &[&str]) -> Result<Self, Problem> {
        Self::read_within(request, known, MAX_QUERY)
    }

    /// As [`Query::read`], where parameters hold texts: at most `most` bytes in all.
    ///
    /// # Errors
    /// As [`Query::read`].
    pub fn read_within(request: &'a HttpRequest, known: &[&str], most: usize) -> Result<Self, Problem> {
        let query = request.query_string();
        if query.len() > most {
            return Err(Problem::new(Code::MalformedParameter, format!("a query has at most {most} bytes")));
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

    /// A number that may be left out.
    ///
    /// # Errors
    /// [`Code::MalformedParameter`].
    pub fn number(&self, name: &str) -> Result<Option<u64>, Problem> {
        self.given(name).map(|value| number(name, value)).transpose()
    }

    /// A text that may be left out; given without a value it is as if it were left out, as forms send what nobody filled in.
    ///
    /// # Errors
    /// [`Code::MalformedParameter`].
    pub fn text(&self, name: &str) -> Result<Option<String>, Problem> {
        let given = self.given(name).filter(|value| !value.is_empty());
        given.map(|value| decoded(value).ok_or_else(|| Problem::malformed(name, TEXT_FORM))).transpose()
    }

    /// A value as it was sent; nothing is decoded.
    pub(super) fn given(&self, name: &str) -> Option<&'a str> {
        self.given.iter().find(|(given, _)| *given == name).map(|(_, value)| *value)
    }

    /// A number that must be there.
    pub(super) fn required(&self, name: &str) -> Result<u64, Problem> {
        self.number(name)?.ok_or_else(|| Problem::new(Code::MissingParameter, format!("`{name}` is missing")))
    }
}

const TEXT_FORM: &str = "percent-encoded UTF-8 without control characters";

/// The text of a value: `%XX` and `+` as forms write them.
fn decoded(value: &str) -> Option<String> {
    let mut bytes = Vec::with_capacity(value.len());
    let mut rest = value.bytes();
    while let Some(byte) = rest.next() {
        bytes.push(match byte {
            b'+' => b' ',
            b'%' => {
                let digit = |byte: Option<u8>| char::from(byte?).to_digit(16);
                let (high, low) = (digit(rest.next())?, digit(rest.next())?);
                u8::try_from(high << 4 | low).ok()?
            }
            _ => byte,
        });
    }
    String::from_utf8(bytes).ok().filter(|text| !text.chars().any(char::is_control))
}

/// A path's last segment as it was sent: nothing decoded, nothing normalised.
pub fn last_segment(request: &HttpRequest) -> &str {
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

#[cfg(test)]
mod tests {
    use actix_web::test::TestRequest;

    use super::*;

    #[test]
    fn a_text_is_what_a_form_sends_and_nothing_else() {
        for (value, text) in [
            ("refund", Some("refund")),
            ("Agent%3A%3A%22a+b%22", Some("Agent::\"a b\"")),
            ("%2B", Some("+")),
            ("gr%C3%BC%C3%9Fe", Some("grüße")),
            ("%", None),
            ("%4", None),
            ("%zz", None),
            ("%+1", None),
            ("%C3", None),
            ("a%00", None),
            ("a%0Ab", None),
        ] {
            let request = TestRequest::with_uri(&format!("/?q={value}")).to_http_request();
            let found = Query::read(&request, &["q"]).unwrap().text("q");
            assert_eq!(found.ok().flatten().as_deref(), text, "`{value}`");
        }
        let empty = TestRequest::with_uri("/?q=").to_http_request();
        assert_eq!(Query::read(&empty, &["q"]).unwrap().text("q").unwrap(), None);
    }
}
