//! A log with its two listeners under one roof, and the administrator's hand: what several commands share.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use authorizer::clock::{Source, System};
use authorizer::fold::STATE_EVERY;
use authorizer::http::{BaseUrl, Rates};
use authorizer::keys::admin_bearer;
use authorizer::metrics::Metrics;
use authorizer::self_audit::{self, Plan};
use authorizer::service::{Config, Folded, Service, StartError};
use authorizer::traces;
use clap::Args;
use ledger::{Ledger, OpenError, Options, Reader, Signer};
use serde_json::Value;
use verifier::act::{Act, Deed};

use crate::client::{Answer, Client, block_on};
use crate::exit::Failure;
use crate::files;
use crate::output::note;

/// The wall clock, Unix milliseconds.
pub fn now_ms() -> u64 {
    System::default().wall_ms()
}

/// Where a house listens.
#[derive(Debug, Clone, Copy)]
pub struct Addresses {
    /// The decision API.
    pub listen: SocketAddr,
    /// The public read API.
    pub public: SocketAddr,
}

impl Addresses {
    /// Free ports on loopback.
    pub fn anywhere_on_loopback() -> Self {
        let free = SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), 0);
        Self { listen: free, public: free }
    }
}

/// From one audit of the log by its own server to the next; by itself as often as usual.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Audits {
    /// So many seconds.
    Every(u64),
    /// Never.
    Off,
}

impl Default for Audits {
    fn default() -> Self {
        Self::Every(self_audit::EVERY.as_secs())
    }
}

impl Audits {
    /// From whole hours, or `off`.
    ///
    /// # Errors
    /// What can be said, in words.
    pub fn parse(text: &str) -> Result<Self, String> {
        let hours = |text: &str| text.parse().ok().filter(|hours| (1..=MAX_AUDIT_HOURS).contains(hours));
        let audits = match text {
            "off" => Some(Self::Off),
            _ => hours(text).map(|hours: u64| Self::Every(hours * 3_600)),
        };
        audits.ok_or_else(|| format!("hours from 1 to {MAX_AUDIT_HOURS}, or `off`"))
    }

    /// What that means for the service, which says its trouble on standard error.
    pub fn plan(self) -> Option<Plan> {
        match self {
            Self::Off => None,
            Self::Every(seconds) => Some(Plan {
                every: Duration::from_secs(seconds),
                tell: Arc::new(|line| note!("interlock: {line}")),
                ..Plan::default()
            }),
        }
    }
}

/// Hours between two self-audits, at most: a year, so that a slip of the hand is not taken for never.
const MAX_AUDIT_HOURS: u64 = 8_760;

/// What an operator says when a log is opened.
#[derive(Debug, Clone, Default)]
pub struct Words {
    /// Where the head is remembered, if not beside the directory.
    pub memory: Option<PathBuf>,
    /// The memory is lost for good; that is recorded in the log.
    pub accept_memory_loss: bool,
    /// The clock is right although it is far from the last record.
    pub accept_clock_gap: bool,
    /// A proxy in front of the decision API ends TLS.
    pub behind_proxy: bool,
    /// By which address clients of the decision API come.
    pub base_url: Option<BaseUrl>,
    /// Strangers cannot try their own policies.
    pub no_sandbox: bool,
    /// What strangers may ask for, if not as much as usual.
    pub public_rates: Option<Rates>,
    /// Where traces go, if anywhere.
    pub traces: Option<traces::Options>,
    /// Decisions between two `state` records, if not as many as usual.
    pub state_every: Option<u64>,
    /// When the log audits itself, if not as often as usual.
    pub self_audit: Audits,
}

/// Opens a log for writing.
pub fn open(data: &Path, words: &Words) -> Result<(Ledger, Reader), Failure> {
    let options =
        Options { memory: words.memory.clone(), accept_memory_loss: words.accept_memory_loss, ..Options::new(data) };
    Ledger::open(options, now_ms()).map_err(|error| match error {
        OpenError::MemoryInside { .. } => Failure::usage(error),
        _ => Failure::unavailable(error),
    })
}

/// An open log with both listeners.
#[derive(Debug)]
pub struct House {
    service: Service,
    reader: Reader,
    public: SocketAddr,
}

impl House {
    /// Opens the log in `data` and serves it. Both addresses are bound, or nothing runs.
    pub fn open(data: &Path, addresses: &Addresses, words: &Words) -> Result<Self, Failure> {
        if addresses.listen == addresses.public && addresses.listen.port() != 0 {
            return Err(Failure::usage(format!("both listeners cannot have the address {}", addresses.listen)));
        }
        let (ledger, reader) = open(data, words)?;
        let config = Config {
            public: Some(addresses.public),
            accept_clock_gap: words.accept_clock_gap,
            behind_proxy: words.behind_proxy,
            base_url: words.base_url.clone(),
            sandbox: !words.no_sandbox,
            public_rates: words.public_rates.unwrap_or_default(),
            traces: words.traces.clone(),
            state_every: words.state_every.unwrap_or(STATE_EVERY),
            self_audit: words.self_audit.plan(),
            ..Config::new(data, addresses.listen)
        };
        let service = Service::start(config, ledger, reader.clone()).map_err(|error| match error {
            StartError::Clock(_) => Failure::unavailable(format!("{error} (--accept-clock-gap)")),
            StartError::Exposed(_) => Failure::usage(format!("{error} (--behind-proxy)")),
            _ => Failure::unavailable(error),
        })?;
        let public = service.public_address().ok_or_else(|| Failure::unavailable("no public listener"))?;
        Ok(Self { service, reader, public })
    }

    /// The log, read side.
    pub fn reader(&self) -> &Reader {
        &self.reader
    }

    /// What is counted.
    pub fn metrics(&self) -> &Metrics {
        &self.service.shared().metrics
    }

    /// Why nothing is decided any more, if so.
    pub fn fault(&self) -> Option<&str> {
        self.service.fault()
    }

    /// What the start had to read.
    pub fn folded(&self) -> &Folded {
        self.service.folded()
    }

    /// Base address of the decision API.
    pub fn decision_url(&self) -> String {
        format!("http://{}", self.service.address())
    }

    /// Base address of the public read API.
    pub fn public_url(&self) -> String {
        format!("http://{}", self.public)
    }

    /// Where the decision API listens.
    pub fn decision_address(&self) -> SocketAddr {
        self.service.address()
    }

    /// Answers what was accepted, closes both listeners and the log.
    pub fn stop(self) {
        if !self.service.stop() {
            note!("interlock: the log was not closed in time; what was answered is durable");
        }
    }
}

/// The administrator: signs acts, and is known to the server by a token that is derived from the signing key.
#[derive(Debug)]
pub struct Admin {
    signer: Signer,
    origin: String,
}

/// A running server, and who administers it.
#[derive(Debug, Args)]
pub struct AtServer {
    /// The server's decision API
    #[arg(long, env = "INTERLOCK_URL", default_value = "http://127.0.0.1:7411")]
    url: String,
    /// The file with the admin key
    #[arg(long, env = "INTERLOCK_KEY_FILE")]
    key_file: PathBuf,
}

impl AtServer {
    /// Signs a deed under the governance version in force and posts it.
    pub fn act(&self, path: &str, deed: Deed) -> Result<Answer, Failure> {
        let admin = Admin::read(&self.key_file)?;
        let client = admin.client(&self.url)?;
        block_on(async {
            let follows = admin.state(&client).await?.governance;
            client.post(path, NOTE, admin.sign(follows, deed).into_bytes()).await?.success()
        })
    }

    /// Posts a note that somebody signed.
    pub fn post(&self, path: &str, note: String) -> Result<Answer, Failure> {
        let client = Admin::read(&self.key_file)?.client(&self.url)?;
        block_on(async { client.post(path, NOTE, note.into_bytes()).await?.success() })
    }
}

/// The media type of a signed note.
const NOTE: &str = "text/plain; charset=utf-8";

/// A signing key, from a file that only its owner can read.
pub fn read_signer(key_file: &Path) -> Result<Signer, Failure> {
    let text = files::read_secret(key_file)?;
    Signer::from_skey(&text).map_err(|error| Failure::usage(format!("{}: {error}", key_file.display())))
}

/// What an act must follow.
#[derive(Debug, Clone, Copy)]
pub struct State {
    /// The newest epoch, in force or a candidate; 0 before the first.
    pub newest_epoch: u64,
    /// The governance version in force.
    pub governance: u64,
}

impl Admin {
    /// From the text that `init` printed.
    pub fn new(skey: &str) -> Result<Self, Failure> {
        Self::named(skey, |name| name.strip_suffix("/admin").filter(|origin| Act::key_name(origin) == name))
    }

    /// Whoever erases: from a file with an erasure key, or with the administrator's.
    pub fn eraser(key_file: &Path) -> Result<Self, Failure> {
        Self::named(&files::read_secret(key_file)?, |name| {
            let origin = name.strip_suffix("/admin").or_else(|| name.strip_suffix("/erasure"))?;
            (Act::key_name(origin) == name || Act::eraser_name(origin) == name).then_some(origin)
        })
    }

    fn named(skey: &str, origin: impl Fn(&str) -> Option<&str>) -> Result<Self, Failure> {
        let signer = Signer::from_skey(skey).map_err(|error| Failure::usage(format!("admin key: {error}")))?;
        let name = signer.verifier_key().name().to_owned();
        let origin = origin(&name).ok_or_else(|| Failure::usage(format!("`{name}` is not an administrator's key")))?;
        Ok(Self { origin: origin.to_owned(), signer })
    }

    /// From a file that only its owner can read.
    pub fn read(key_file: &Path) -> Result<Self, Failure> {
        Self::new(&files::read_secret(key_file)?)
    }

    /// A client that the server knows as the administrator's.
    pub fn client(&self, url: &str) -> Result<Client, Failure> {
        Client::new(url, Some(admin_bearer(&self.signer.seed()).to_string()))
    }

    /// What the next act must follow.
    pub async fn state(&self, client: &Client) -> Result<State, Failure> {
        let answer = client.get("/v1/governance").await?.success()?.json()?;
        let number = |field: &str| answer.get(field).and_then(Value::as_u64);
        let malformed = || Failure::undecidable("the server's answer names no epoch and governance version");
        Ok(State {
            newest_epoch: number("newest_epoch").ok_or_else(malformed)?,
            governance: number("governance").ok_or_else(malformed)?,
        })
    }

    /// The signed note of a deed.
    pub fn sign(&self, follows: u64, deed: Deed) -> String {
        self.signer.sign_note(&Act { origin: self.origin.clone(), follows, deed }.text())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn audits_come_every_so_many_hours_or_never_and_no_slip_of_the_hand_switches_them_off() {
        for (text, audits) in [
            ("off", Some(Audits::Off)),
            ("1", Some(Audits::Every(3_600))),
            ("24", Some(Audits::default())),
            ("8760", Some(Audits::Every(31_536_000))),
            ("0", None),
            ("8761", None),
            ("-1", None),
            ("1.5", None),
            ("OFF", None),
            ("", None),
        ] {
            assert_eq!(Audits::parse(text).ok(), audits, "{text}");
        }
        assert!(Audits::Off.plan().is_none());
        assert_eq!(Audits::Every(7_200).plan().map(|plan| plan.every.as_secs()), Some(7_200));
    }
}
