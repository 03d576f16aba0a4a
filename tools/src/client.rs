//! The HTTP client of commands: a base address, an API key, answers with limits, errors in the server's own words.

use std::time::Duration;

use reqwest::{Method, StatusCode};
use serde_json::Value;

use crate::exit::Failure;

/// An answer of 4,096 decisions with everything in it stays below.
const MAX_ANSWER: usize = 64 * 1024 * 1024;
/// No answer takes longer on purpose.
const TIMEOUT: Duration = Duration::from_secs(30);

/// A server, spoken to with one key.
#[derive(Debug, Clone)]
pub struct Client {
    http: reqwest::Client,
    base: String,
    bearer: Option<String>,
}

/// What a server answered.
#[derive(Debug)]
pub struct Answer {
    /// The status.
    pub status: StatusCode,
    /// The body.
    pub body: Vec<u8>,
}

impl Answer {
    /// The body as text.
    pub fn text(&self) -> Result<&str, Failure> {
        std::str::from_utf8(&self.body).map_err(|_| Failure::undecidable("the server's answer is not UTF-8"))
    }

    /// The body as JSON.
    pub fn json(&self) -> Result<Value, Failure> {
        serde_json::from_slice(&self.body)
            .map_err(|error| Failure::undecidable(format!("the server's answer: {error}")))
    }

    /// Refuses every status but success; says what the server said.
    pub fn success(self) -> Result<Self, Failure> {
        if self.status.is_success() {
            return Ok(self);
        }
        let problem: Value = serde_json::from_slice(&self.body).unwrap_or_default();
        let said = ["detail", "title"].into_iter().find_map(|field| problem.get(field)?.as_str());
        let code = problem.get("code").and_then(Value::as_str).unwrap_or("no code");
        let message = format!("the server answered {}: {} ({code})", self.status, said.unwrap_or("no reason given"));
        Err(if self.status.is_server_error() { Failure::unavailable(message) } else { Failure::refused(message) })
    }
}

impl Client {
    /// For the server at `base`, such as `http://127.0.0.1:7411`.
    pub fn new(base: &str, bearer: Option<String>) -> Result<Self, Failure> {
        Self::build(base, bearer, TIMEOUT)
    }

    /// For a server that need not be well meaning: without a key, and no answer takes longer than this.
    pub fn patient(base: &str, patience: Duration) -> Result<Self, Failure> {
        Self::build(base, None, patience)
    }

    fn build(base: &str, bearer: Option<String>, timeout: Duration) -> Result<Self, Failure> {
        if base.starts_with("https:") {
            return Err(Failure::usage(format!(
                "`{base}`: no TLS is built in; name a proxy on this machine that speaks it"
            )));
        }
        let address = reqwest::Url::parse(base).ok().filter(|url| url.scheme() == "http" && url.has_host());
        if address.is_none() {
            return Err(Failure::usage(format!("`{base}` is no address: `http://HOST:PORT` is")));
        }
        // A server that sends its readers elsewhere is not the one that they named.
        let redirect = reqwest::redirect::Policy::none();
        let http = reqwest::Client::builder().timeout(timeout).redirect(redirect).tcp_nodelay(true).no_proxy().build();
        let http = http.map_err(|error| Failure::unavailable(format!("HTTP client: {error}")))?;
        Ok(Self { http, base: base.to_owned(), bearer })
    }

    /// `GET path`, with an answer of at most so many bytes.
    pub async fn get_within(&self, path: &str, limit: usize) -> Result<Answer, Failure> {
        self.send(Method::GET, path, None, None, limit).await
    }

    /// `POST` to the address itself; the answer's body is not read.
    pub async fn post_within(&self, media_type: &'static str, body: Vec<u8>) -> Result<StatusCode, Failure> {
        let request = self.http.post(&self.base).header("content-type", media_type).body(body);
        let answer = request.send().await;
        answer.map(|answer| answer.status()).map_err(|error| Failure::unavailable(innermost(&error)))
    }

    /// `GET path`.
    pub async fn get(&self, path: &str) -> Result<Answer, Failure> {
        self.send(Method::GET, path, None, None, MAX_ANSWER).await
    }

    /// `GET path` in the form of this media type.
    pub async fn get_as(&self, path: &str, media_type: &'static str) -> Result<Answer, Failure> {
        self.send(Method::GET, path, Some(media_type), None, MAX_ANSWER).await
    }

    /// `DELETE path`.
    pub async fn delete(&self, path: &str) -> Result<Answer, Failure> {
        self.send(Method::DELETE, path, None, None, MAX_ANSWER).await
    }

    /// `POST path` with a body of this media type.
    pub async fn post(&self, path: &str, media_type: &'static str, body: Vec<u8>) -> Result<Answer, Failure> {
        self.send(Method::POST, path, None, Some((media_type, body)), MAX_ANSWER).await
    }

    async fn send(
        &self,
        method: Method,
        path: &str,
        accept: Option<&'static str>,
        body: Option<(&'static str, Vec<u8>)>,
        limit: usize,
    ) -> Result<Answer, Failure> {
        let url = format!("{}{path}", self.base.trim_end_matches('/'));
        let mut request = self.http.request(method, &url);
        if let Some(bearer) = &self.bearer {
            request = request.bearer_auth(bearer);
        }
        if let Some(media_type) = accept {
            request = request.header("accept", media_type);
        }
        if let Some((media_type, body)) = body {
            request = request.header("content-type", media_type).body(body);
        }
        let unavailable = |error: reqwest::Error| Failure::unavailable(format!("{url}: {}", innermost(&error)));
        let mut response = request.send().await.map_err(unavailable)?;
        let status = response.status();
        let mut body = Vec::new();
        while let Some(chunk) = response.chunk().await.map_err(unavailable)? {
            if body.len() + chunk.len() > limit {
                return Err(Failure::undecidable(format!("{url}: answer of more than {limit} bytes")));
            }
            body.extend_from_slice(&chunk);
        }
        Ok(Answer { status, body })
    }
}

/// The cause that says most: the innermost one.
fn innermost(error: &dyn std::error::Error) -> String {
    let mut cause = error;
    while let Some(inner) = cause.source() {
        cause = inner;
    }
    cause.to_string()
}

/// Runs one asynchronous command to its end.
pub fn block_on<T>(future: impl Future<Output = Result<T, Failure>>) -> Result<T, Failure> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    runtime.map_err(|error| Failure::unavailable(format!("runtime: {error}")))?.block_on(future)
}
