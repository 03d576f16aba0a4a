//! Where spans go: a collector on this machine, over OTLP/HTTP with protobuf (OTLP 1.x, "OTLP/HTTP").
//!
//! Guarantees: only a loopback address is taken: there is no TLS here, and a collector beside the service has it, where it forwards; no
//! redirect is followed and no proxy of the environment asked; an answer is read to at most [`MAX_ANSWER`] bytes, and all of it within
//! [`DEADLINE`]. Does not: try again; `exporter.rs` does.

use std::net::{Ipv4Addr, Ipv6Addr};
use std::str::FromStr;
use std::time::Duration;

use reqwest::header::{CONTENT_TYPE, RETRY_AFTER};
use reqwest::{Client, StatusCode, redirect};

use super::otlp;

/// From connecting to the last byte of the answer: whoever takes longer for some hundred kilobytes on the same machine does not work.
const DEADLINE: Duration = Duration::from_secs(5);
/// An answer says how many spans were rejected and why; nobody needs more words for it.
const MAX_ANSWER: usize = 4 * 1024;
/// An address has at most so many bytes.
const MAX_ADDRESS: usize = 512;
/// Where OTLP/HTTP takes traces, behind the base.
const PATH: &str = "/v1/traces";

/// A collector's address: `http`, loopback, without credentials, query or fragment.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Collector {
    url: String,
}

/// Why an address cannot be a collector's. What may hold a password is not repeated.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NoCollector {
    /// Another scheme.
    #[error("a collector's address begins with `http://`")]
    Scheme,
    /// TLS.
    #[error("`https` is not spoken here: give a collector on this machine, by `http://`; it forwards over TLS")]
    Https,
    /// A user or a password.
    #[error("a collector's address carries no credentials: it would stand in the list of processes")]
    Credentials,
    /// Something behind the path, or a character that no address has.
    #[error("a collector's address is printable ASCII of at most {MAX_ADDRESS} bytes, without query or fragment")]
    Form,
    /// Another machine.
    #[error(
        "`{0}` is not this machine: spans are sent to `127.0.0.1`, `[::1]` or `localhost` only, where a collector forwards them"
    )]
    NotLoopback(String),
    /// Not a port.
    #[error("`{0}` is not a port")]
    Port(String),
}

impl FromStr for Collector {
    type Err = NoCollector;

    fn from_str(text: &str) -> Result<Self, NoCollector> {
        if text.get(..8).is_some_and(|scheme| scheme.eq_ignore_ascii_case("https://")) {
            return Err(NoCollector::Https);
        }
        let rest = text.strip_prefix("http://").ok_or(NoCollector::Scheme)?;
        let authority = rest.split(['/', '?', '#', '\\']).next().unwrap_or_default();
        if authority.contains('@') {
            return Err(NoCollector::Credentials);
        }
        let plain = |c: char| c.is_ascii_graphic() && !matches!(c, '?' | '#' | '@' | '"' | '\\' | '<' | '>' | '%');
        if text.len() > MAX_ADDRESS || !text.chars().all(plain) {
            return Err(NoCollector::Form);
        }
        // What stands behind the last colon is a port, unless that colon is inside the brackets of an IPv6 address.
        let (host, port) = match authority.rsplit_once(':') {
            Some((host, port)) if !port.contains(']') => (host, Some(port)),
            Some(_) | None => (authority, None),
        };
        let v6 = |host: &str| host.strip_prefix('[')?.strip_suffix(']')?.parse::<Ipv6Addr>().ok();
        let loopback = host == "localhost"
            || host.parse::<Ipv4Addr>().is_ok_and(|address| address.is_loopback())
            || v6(host).is_some_and(|address| address.is_loopback());
        if !loopback {
            return Err(NoCollector::NotLoopback(host.to_owned()));
        }
        if let Some(port) = port {
            let number = port.parse::<u16>().ok().filter(|number| *number > 0 && !port.starts_with('+'));
            number.ok_or_else(|| NoCollector::Port(port.to_owned()))?;
        }
        Ok(Collector { url: format!("{}{PATH}", text.trim_end_matches('/')) })
    }
}

/// What became of a batch.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Sent {
    /// Taken, but for so many spans.
    Taken {
        /// What the collector did not want.
        rejected: u64,
    },
    /// Not now; perhaps after the time that it names.
    Later(Option<Duration>),
    /// Never.
    Refused,
}

/// Speaks to a collector.
#[derive(Debug)]
pub struct Sender {
    client: Client,
    url: String,
}

impl Sender {
    /// With a connection that is kept.
    ///
    /// # Errors
    /// What the HTTP client says; it needs nothing that could be missing.
    pub fn new(collector: Collector) -> reqwest::Result<Self> {
        let agent = concat!("interlock/", env!("CARGO_PKG_VERSION"));
        let client =
            Client::builder().timeout(DEADLINE).no_proxy().redirect(redirect::Policy::none()).user_agent(agent);
        Ok(Sender { client: client.build()?, url: collector.url })
    }

    /// Posts a batch, once.
    pub async fn send(&self, batch: Vec<u8>) -> Sent {
        let request = self.client.post(&self.url).header(CONTENT_TYPE, "application/x-protobuf").body(batch);
        // Nobody there, or too slow: both pass.
        let Ok(mut response) = request.send().await else { return Sent::Later(None) };
        let (status, after) = (response.status(), response.headers().get(RETRY_AFTER));
        let after = after.and_then(|value| value.to_str().ok()?.parse().ok()).map(Duration::from_secs);
        let mut body = Vec::new();
        while let Ok(Some(chunk)) = response.chunk().await {
            if body.len().saturating_add(chunk.len()) > MAX_ANSWER {
                break;
            }
            body.extend_from_slice(&chunk);
        }
        match status {
            // Taken whatever the body says, or if it breaks off: sent again it would be there twice.
            _ if status.is_success() => Sent::Taken { rejected: otlp::rejected(&body) },
            // The ones that OTLP lets be tried again.
            StatusCode::TOO_MANY_REQUESTS
            | StatusCode::BAD_GATEWAY
            | StatusCode::SERVICE_UNAVAILABLE
            | StatusCode::GATEWAY_TIMEOUT => Sent::Later(after),
            _ => Sent::Refused,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_collector_is_on_this_machine_and_its_address_says_nothing_else() {
        for (good, url) in [
            ("http://127.0.0.1:4318", "http://127.0.0.1:4318/v1/traces"),
            ("http://127.0.0.1:4318/", "http://127.0.0.1:4318/v1/traces"),
            ("http://localhost", "http://localhost/v1/traces"),
            ("http://[::1]:4318/otlp", "http://[::1]:4318/otlp/v1/traces"),
            ("http://127.9.9.9", "http://127.9.9.9/v1/traces"),
        ] {
            assert_eq!(good.parse::<Collector>().unwrap().url, url);
        }
        let host = |host: &str| NoCollector::NotLoopback(host.into());
        let port = |port: &str| NoCollector::Port(port.into());
        for (bad, why) in [
            ("", NoCollector::Scheme),
            ("127.0.0.1:4318", NoCollector::Scheme),
            ("grpc://127.0.0.1:4317", NoCollector::Scheme),
            ("HTTPS://127.0.0.1:4318", NoCollector::Https),
            ("https://user:secret@collector", NoCollector::Https),
            ("http://user:secret@127.0.0.1", NoCollector::Credentials),
            ("http://127.0.0.1@evil.example", NoCollector::Credentials),
            ("http://127.0.0.1\\@evil.example", NoCollector::Form),
            ("http://127.0.0.1/?key=secret", NoCollector::Form),
            ("http://127.0.0.1/#x", NoCollector::Form),
            ("http://127.0.0.1/a b", NoCollector::Form),
            ("http://collector:4318", host("collector")),
            ("http://10.0.0.1:4318", host("10.0.0.1")),
            ("http://127.0.0.1.evil.example", host("127.0.0.1.evil.example")),
            ("http://[::2]:4318", host("[::2]")),
            ("http://", host("")),
            ("http://127.0.0.1:", port("")),
            ("http://127.0.0.1:0", port("0")),
            ("http://127.0.0.1:+1", port("+1")),
            ("http://127.0.0.1:99999", port("99999")),
        ] {
            let error = bad.parse::<Collector>().unwrap_err();
            assert_eq!(error, why, "{bad}");
            assert!(!error.to_string().contains("secret"));
        }
        assert_eq!(
            format!("http://localhost/{}", "a".repeat(MAX_ADDRESS)).parse::<Collector>(),
            Err(NoCollector::Form)
        );
    }
}
