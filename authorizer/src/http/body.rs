//! Why: bytes of a stranger become requests here, within limits of size and time, and nowhere else.
//!
//! Guarantees: a body is read under a deadline and never beyond its limit, and no key's bodies take what others need; each item is the exact bytes from its `{` to
//! the matching `}`, which is what the log commits to; between items there is nothing but JSON white space and commas.
//! Does not: parse items (`Request::parse` does, and refuses what this scan let through).

use std::collections::HashMap;
use std::future::poll_fn;
use std::pin::pin;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use actix_web::HttpRequest;
use actix_web::body::{BodyStream, MessageBody};
use actix_web::http::header;
use actix_web::web::{Bytes, BytesMut, Payload};

use super::problem::{Code, Problem};
use crate::keys::Identity;

/// A body of decisions: 4,096 requests of 2 KiB.
pub const MAX_BODY: usize = 8 * 1024 * 1024;
/// Requests in one body.
pub const MAX_ITEMS: usize = 4_096;
/// A body must have arrived after this: 8 MiB at 16 Mbit/s.
pub const BODY_DEADLINE: Duration = Duration::from_secs(4);

/// Bytes of bodies that are being read or decided at once, over all connections: 32 bodies of the largest kind.
pub const MAX_READING: usize = 256 * 1024 * 1024;
/// One key may have this part of the bytes, and of the bodies, so that its slow ones leave room for others.
const SHARE: usize = 4;
/// One key may always have so many bodies under way, however few connections there are.
const FEWEST_BODIES: usize = 4;

/// What may still be read: shared by all workers, so that many slow bodies cannot fill the memory. What counts is what has arrived; an
/// announced length takes nothing.
#[derive(Debug)]
pub struct Budget {
    taken: AtomicUsize,
    bodies_of_one: AtomicUsize,
    /// By key id; as many as there are keys.
    keys: Mutex<HashMap<Box<str>, Arc<Held>>>,
}

/// What bodies under one key hold.
#[derive(Debug, Default)]
struct Held {
    bytes: AtomicUsize,
    bodies: AtomicUsize,
}

/// One body's part of the budget, given back when it is dropped.
#[derive(Debug)]
pub struct Share<'a> {
    budget: &'a Budget,
    held: Arc<Held>,
    bytes: usize,
}

impl Default for Budget {
    fn default() -> Self {
        Budget { taken: AtomicUsize::new(0), bodies_of_one: AtomicUsize::new(usize::MAX), keys: Mutex::default() }
    }
}

impl Budget {
    /// Bodies come over at most so many connections: one key gets its part of them.
    pub fn limit_bodies(&self, connections: usize) {
        self.bodies_of_one.store((connections / SHARE).max(FEWEST_BODIES), Ordering::Relaxed);
    }

    /// A body that is about to be read.
    fn begin(&self, key_id: &str) -> Option<Share<'_>> {
        let mut keys = self.keys.lock().unwrap_or_else(PoisonError::into_inner);
        let held = match keys.get(key_id) {
            Some(held) => held.clone(),
            None => keys.entry(key_id.into()).or_default().clone(),
        };
        drop(keys);
        let before = held.bodies.fetch_add(1, Ordering::Relaxed);
        let share = Share { budget: self, held, bytes: 0 };
        (before < self.bodies_of_one.load(Ordering::Relaxed)).then_some(share)
    }
}

impl Share<'_> {
    /// Whether so many bytes more have room. Where not, the share is of no use any more.
    fn take(&mut self, bytes: usize) -> bool {
        self.bytes = self.bytes.saturating_add(bytes);
        let of_all = self.budget.taken.fetch_add(bytes, Ordering::Relaxed).saturating_add(bytes);
        let of_key = self.held.bytes.fetch_add(bytes, Ordering::Relaxed).saturating_add(bytes);
        of_all <= MAX_READING && of_key <= MAX_READING / SHARE
    }
}

impl Drop for Share<'_> {
    fn drop(&mut self) {
        self.budget.taken.fetch_sub(self.bytes, Ordering::Relaxed);
        self.held.bytes.fetch_sub(self.bytes, Ordering::Relaxed);
        self.held.bodies.fetch_sub(1, Ordering::Relaxed);
    }
}

/// The shape in which requests came; the answer has the same.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Shape {
    /// One object.
    One,
    /// A JSON array.
    Array,
    /// One object a line.
    Lines,
}

/// Reads a body of at most `limit` bytes until `deadline`. The share is kept for as long as the body is worked on.
///
/// # Errors
/// [`Code::ContentEncoding`], [`Code::BodyTooLarge`], [`Code::BodyTimeout`], [`Code::BodyIncomplete`],
/// and [`Code::Overloaded`] where the budget, or the caller's share of it, is spent.
pub async fn read<'a>(
    budget: &'a Budget,
    caller: &Identity,
    request: &HttpRequest,
    payload: Payload,
    limit: usize,
    deadline: Duration,
) -> Result<(Bytes, Share<'a>), Problem> {
    read_as(budget, caller.key_id(), request, payload, limit, deadline).await
}

/// As [`read`], for whoever has no key, under a name that stands for all of them.
///
/// # Errors
/// As [`read`].
pub(super) async fn read_as<'a>(
    budget: &'a Budget,
    key_id: &str,
    request: &HttpRequest,
    payload: Payload,
    limit: usize,
    deadline: Duration,
) -> Result<(Bytes, Share<'a>), Problem> {
    let headers = request.headers();
    if headers.get(header::CONTENT_ENCODING).is_some_and(|coding| coding != "identity") {
        return Err(Code::ContentEncoding.into());
    }
    let announced = headers.get(header::CONTENT_LENGTH).and_then(|length| length.to_str().ok()?.parse::<usize>().ok());
    if announced.is_some_and(|length| length > limit) {
        return Err(Code::BodyTooLarge.into());
    }
    let mut share = budget.begin(key_id).ok_or(Code::Overloaded)?;
    let body = collect(payload, announced.unwrap_or(0), limit, &mut share);
    match tokio::time::timeout(deadline, body).await {
        Ok(body) => Ok((body?, share)),
        Err(_) => Err(Code::BodyTimeout.into()),
    }
}

async fn collect(payload: Payload, announced: usize, limit: usize, share: &mut Share<'_>) -> Result<Bytes, Problem> {
    let mut chunks = pin!(BodyStream::new(payload));
    let mut body = BytesMut::new();
    while let Some(chunk) = poll_fn(|cx| chunks.as_mut().poll_next(cx)).await {
        let chunk = chunk.map_err(|_| Code::BodyIncomplete)?;
        if chunk.len() > limit - body.len() {
            return Err(Code::BodyTooLarge.into());
        }
        if !share.take(chunk.len()) {
            return Err(Code::Overloaded.into());
        }
        if body.is_empty() && chunk.len() == announced {
            // All of it, as it came.
            return Ok(chunk);
        }
        if body.is_empty() {
            body.reserve(announced.max(chunk.len()));
        }
        body.extend_from_slice(&chunk);
    }
    Ok(body.freeze())
}

/// Whether the content type is this one, in UTF-8 where it says a character set; other parameters aside.
#[must_use]
pub fn content_is(request: &HttpRequest, wanted: &str) -> bool {
    let value = request.headers().get(header::CONTENT_TYPE).and_then(|value| value.to_str().ok()).unwrap_or_default();
    let (essence, parameters) = value.split_once(';').unwrap_or((value, ""));
    let utf8 = parameters.split(';').all(|parameter| {
        let (name, value) = parameter.split_once('=').unwrap_or((parameter, ""));
        !name.trim().eq_ignore_ascii_case("charset") || value.trim().trim_matches('"').eq_ignore_ascii_case("utf-8")
    });
    essence.trim().eq_ignore_ascii_case(wanted) && utf8
}

/// Splits a body into the bytes of its items.
///
/// # Errors
/// [`Code::EmptyBody`], [`Code::TooManyItems`], [`Code::InvalidJson`], [`Code::InvalidUtf8`].
pub fn split(body: &Bytes, lines: bool) -> Result<(Shape, Vec<Bytes>), Problem> {
    if std::str::from_utf8(body).is_err() {
        return Err(Code::InvalidUtf8.into());
    }
    let items = if lines {
        split_lines(body)?
    } else {
        let whole = trim(body);
        match whole.first() {
            None => return Err(Code::EmptyBody.into()),
            Some(b'[') => return Ok((Shape::Array, some(split_array(body)?)?)),
            Some(_) => return Ok((Shape::One, vec![body.slice_ref(whole)])),
        }
    };
    Ok((Shape::Lines, some(items)?))
}

/// Without the white space of JSON (RFC 8259 §2) in front, and nothing else.
fn trim_start(bytes: &[u8]) -> &[u8] {
    let plain = bytes.iter().position(|b| !matches!(b, b' ' | b'\t' | b'\n' | b'\r')).unwrap_or(bytes.len());
    bytes.get(plain..).unwrap_or_default()
}

fn trim(bytes: &[u8]) -> &[u8] {
    let bytes = trim_start(bytes);
    let end = bytes.iter().rposition(|b| !matches!(b, b' ' | b'\t' | b'\n' | b'\r')).map_or(0, |last| last + 1);
    bytes.get(..end).unwrap_or_default()
}

fn some(items: Vec<Bytes>) -> Result<Vec<Bytes>, Problem> {
    if items.is_empty() { Err(Code::EmptyBody.into()) } else { Ok(items) }
}

fn split_lines(body: &Bytes) -> Result<Vec<Bytes>, Problem> {
    let mut items = Vec::new();
    for line in body.split(|b| *b == b'\n') {
        let line = trim(line);
        if line.is_empty() {
            continue;
        }
        if items.len() == MAX_ITEMS {
            return Err(Code::TooManyItems.into());
        }
        items.push(body.slice_ref(line));
    }
    Ok(items)
}

fn split_array(body: &Bytes) -> Result<Vec<Bytes>, Problem> {
    let malformed = |item: usize, why: &str| Problem::from(Code::InvalidJson).because(why.into()).at(item);
    let mut items = Vec::new();
    // Past the `[` that the caller saw.
    let mut rest = trim(body).get(1..).map(trim_start).unwrap_or_default();
    if rest.first() == Some(&b']') {
        rest = rest.get(1..).unwrap_or_default();
        return if rest.is_empty() { Ok(items) } else { Err(malformed(0, "something stands behind the array")) };
    }
    loop {
        if items.len() == MAX_ITEMS {
            return Err(Code::TooManyItems.into());
        }
        let n = items.len();
        if rest.first() != Some(&b'{') {
            return Err(malformed(n, "an item of the array is not an object"));
        }
        let length = object_length(rest).ok_or_else(|| malformed(n, "an object does not end"))?;
        let (item, behind) = rest.split_at_checked(length).ok_or_else(|| malformed(n, "an object does not end"))?;
        items.push(body.slice_ref(item));
        rest = trim_start(behind);
        match rest.split_first() {
            Some((b',', more)) => rest = trim_start(more),
            Some((b']', [])) => return Ok(items),
            Some((b']', _)) => return Err(malformed(n, "something stands behind the array")),
            Some(_) | None => return Err(malformed(n, "the array does not go on with `,` or `]`")),
        }
    }
}

/// Bytes from the first `{` to its matching `}`. Braces and brackets alike are counted; whether they match by kind is
/// the parser's matter.
fn object_length(bytes: &[u8]) -> Option<usize> {
    let mut depth = 0_usize;
    let mut rest = bytes.iter();
    loop {
        match rest.next()? {
            b'"' => pass_string(&mut rest)?,
            b'{' | b'[' => depth += 1,
            b'}' | b']' => {
                depth = depth.checked_sub(1)?;
                if depth == 0 {
                    return bytes.len().checked_sub(rest.len());
                }
            }
            _ => {}
        }
    }
}

/// Past the closing quote of a string that was opened.
fn pass_string(rest: &mut std::slice::Iter<'_, u8>) -> Option<()> {
    loop {
        match rest.next()? {
            b'"' => return Some(()),
            b'\\' => drop(rest.next()?),
            _ => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn array(text: &str) -> Result<Vec<String>, Code> {
        let body = Bytes::from(text.to_owned());
        let (shape, items) = split(&body, false).map_err(|problem| problem.code)?;
        assert_eq!(shape, Shape::Array);
        Ok(items.iter().map(|item| String::from_utf8(item.to_vec()).unwrap()).collect())
    }

    #[test]
    fn items_are_the_exact_bytes_from_brace_to_matching_brace() {
        assert_eq!(array(r#" [ {"a": "}]{\"" } ,{"b":[{}]}] "#).unwrap(), [r#"{"a": "}]{\"" }"#, r#"{"b":[{}]}"#]);
        assert_eq!(array("[{}]").unwrap(), ["{}"]);
    }

    #[test]
    fn what_stands_between_items_is_white_space_and_commas_only() {
        for text in
            ["[{}{}]", "[{},]", "[,{}]", "[{}", "[{}]x", "[1]", "[{},1]", "[[{}]]", "[{\"a\":1]", "[", "[]]", "[{}x]"]
        {
            assert_eq!(array(text).unwrap_err(), Code::InvalidJson, "{text}");
        }
        assert_eq!(array("[ ]").unwrap_err(), Code::EmptyBody);
    }

    #[test]
    fn the_budget_is_bounded_and_given_back_and_no_key_has_more_than_its_part() {
        let budget = Budget::default();
        budget.limit_bodies(0);
        let part = MAX_READING / SHARE;
        let mut shares: Vec<_> = ["a", "b", "c", "d", "e"].map(|key| budget.begin(key).unwrap()).into();
        assert!(shares.iter_mut().take(SHARE).all(|share| share.take(part)));
        assert!(!shares.last_mut().unwrap().take(1), "all is taken");
        drop(shares);
        let mut one = budget.begin("a").unwrap();
        assert!(one.take(part) && !budget.begin("a").unwrap().take(1), "its part is taken");
        assert!(budget.begin("b").unwrap().take(part), "and another's is not");
        let more: Vec<_> = (1..FEWEST_BODIES).map(|_| budget.begin("a").unwrap()).collect();
        assert!(budget.begin("a").is_none() && budget.begin("b").is_some());
        drop(more);
        assert!(budget.begin("a").is_some());
        drop(one);
        assert_eq!(budget.taken.load(Ordering::Relaxed), 0);
        assert!(budget.begin("a").unwrap().take(part));
    }

    #[test]
    fn one_object_and_lines_keep_their_bytes_too() {
        let body = Bytes::from_static(b" {\"a\": 1}\n");
        assert_eq!(split(&body, false).unwrap(), (Shape::One, vec![Bytes::from_static(b"{\"a\": 1}")]));
        let body = Bytes::from_static(b"{\"a\":1}\r\n\n {\"b\":2}");
        let items = vec![Bytes::from_static(b"{\"a\":1}"), Bytes::from_static(b"{\"b\":2}")];
        assert_eq!(split(&body, true).unwrap(), (Shape::Lines, items));
        assert_eq!(split(&Bytes::from_static(b" \n"), true).unwrap_err().code, Code::EmptyBody);
        assert_eq!(split(&Bytes::from_static(b""), false).unwrap_err().code, Code::EmptyBody);
        assert_eq!(split(&Bytes::from_static(b"{\"\xff\":1}"), false).unwrap_err().code, Code::InvalidUtf8);
    }

    proptest::proptest! {
        #[test]
        fn any_objects_in_an_array_come_out_byte_for_byte(texts: Vec<String>, gap in "[ \t\r\n]{0,2}") {
            let items: Vec<String> = texts
                .iter()
                .map(|text| serde_json::json!({ text.as_str(): [text, { "}": "{" }, [[]]] }).to_string())
                .collect();
            let body = format!("{gap}[{gap}{}{gap}]{gap}", items.join(&format!("{gap},{gap}")));
            match array(&body) {
                Ok(split) => proptest::prop_assert_eq!(split, items),
                Err(code) => proptest::prop_assert_eq!((code, items.len()), (Code::EmptyBody, 0)),
            }
        }
    }

    #[test]
    fn a_body_has_at_most_4096_items() {
        let many = |n: usize| format!("[{}]", vec!["{}"; n].join(","));
        assert_eq!(array(&many(MAX_ITEMS)).unwrap().len(), MAX_ITEMS);
        assert_eq!(array(&many(MAX_ITEMS + 1)).unwrap_err(), Code::TooManyItems);
    }
}
