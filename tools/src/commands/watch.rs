//! `interlock watch`: a monitor that never forgets. It follows the heads of a log at its public address, derives every entry again, and says
//! what does not hold: one line on standard output, a call to an address, an exit code.
//!
//! Guarantees: no entry is skipped, across restarts and `kill -9`; a fork ends it with the evidence written; what may pass by itself (a
//! server that is away, a cache, garbage) is tried a few times with growing pauses and then told.
//! Does not ask anybody but the log: two readers who compare their states find a split view, one alone finds what contradicts itself.

use std::path::PathBuf;
use std::time::Duration;

use clap::Args;
use serde_json::{Value, json};
use tokio::signal::unix::{SignalKind, signal};
use tokio::time::sleep;
use verifier::text::rfc3339;

use crate::client::block_on;
use crate::commands::verify::read_vkey;
use crate::exit::{Exit, Failure};
use crate::house::now_ms;
use crate::output::say;
use crate::remote::Remote;
use crate::watch::evidence::Place;
use crate::watch::look::{Ended, Seen, Watcher};
use crate::watch::state::State;
use crate::watch::trouble::Trouble;
use crate::watch::webhook::Webhook;

/// Names the JSON form.
const SCHEMA: &str = "interlock/watch-event/v1";
/// A look is tried so often before its trouble is told.
const TRIES: u32 = 4;
/// The first pause; each one is twice as long as the one before, and half of it is left to chance.
const PAUSE: Duration = Duration::from_millis(500);

/// Follow a log and check everything that is new in it.
#[derive(Debug, Args)]
pub struct Watch {
    /// The log's public address
    url: String,
    /// The log's verification key, or a file that holds it
    #[arg(long)]
    vkey: String,
    /// What this watch knows; made where there is none
    #[arg(long, value_name = "FILE")]
    state: PathBuf,
    /// Where evidence of a fork goes; beside the state without
    #[arg(long, value_name = "FILE")]
    evidence: Option<PathBuf>,
    /// Look once and end
    #[arg(long)]
    once: bool,
    /// Seconds between two looks
    #[arg(long, default_value_t = 10, value_parser = clap::value_parser!(u64).range(1..))]
    interval: u64,
    /// Seconds that one answer may take
    #[arg(long, default_value_t = 20, value_parser = clap::value_parser!(u64).range(1..))]
    timeout: u64,
    /// It is trouble if the newest entry is older than so many seconds
    #[arg(long, value_name = "SECONDS")]
    max_age: Option<u64>,
    /// An address to which trouble is posted as JSON
    #[arg(long, value_name = "URL")]
    webhook: Option<String>,
    /// One JSON object a line
    #[arg(long)]
    json: bool,
}

impl Watch {
    /// Watches. 0: all holds; 1, 4, 7, 8: the trouble that ended it, or that it was in when it was ended.
    pub fn run(&self) -> Result<Exit, Failure> {
        let key = read_vkey(&self.vkey)?;
        let place = Place::new(self.evidence.clone(), &self.state, &key);
        let state = State::open(&self.state, &key, now_ms())?;
        let remote = Remote::new(&self.url, key, Duration::from_secs(self.timeout))?;
        block_on(async {
            let mut told =
                Told { webhook: self.webhook.as_deref().map(Webhook::new).transpose()?, last: None, json: self.json };
            let mut watcher = Watcher { remote, state, place };
            let exit = self.follow(&mut watcher, &mut told).await;
            if let Some(webhook) = told.webhook {
                webhook.finish().await;
            }
            exit
        })
    }

    async fn follow(&self, watcher: &mut Watcher, told: &mut Told) -> Result<Exit, Failure> {
        let unavailable = |error: std::io::Error| Failure::unavailable(format!("signals: {error}"));
        let mut terminate = signal(SignalKind::terminate()).map_err(unavailable)?;
        let mut interrupt = signal(SignalKind::interrupt()).map_err(unavailable)?;
        if let Some(fork) = watcher.place.found()? {
            told.trouble(watcher, &fork)?;
            return Ok(fork.exit());
        }
        loop {
            // What is under way is dropped by a signal: the state is what it was made durable as.
            let looked = tokio::select! {
                looked = self.look(watcher) => looked?,
                _ = terminate.recv() => return Ok(told.exit()),
                _ = interrupt.recv() => return Ok(told.exit()),
            };
            match looked {
                Ok(seen) => told.seen(&seen, self.once)?,
                Err(trouble) => {
                    told.trouble(watcher, &trouble)?;
                    // A log that is away or behind may come back; one that lied does not become true again.
                    if !matches!(trouble.exit(), Exit::Unavailable | Exit::Stale) {
                        return Ok(trouble.exit());
                    }
                }
            }
            if self.once {
                return Ok(told.exit());
            }
            tokio::select! {
                () = sleep(jittered(Duration::from_secs(self.interval))) => {}
                _ = terminate.recv() => return Ok(told.exit()),
                _ = interrupt.recv() => return Ok(told.exit()),
            }
        }
    }

    /// A look, tried again where its trouble may pass.
    async fn look(&self, watcher: &mut Watcher) -> Result<Result<Seen, Trouble>, Failure> {
        let mut tries = 1;
        loop {
            let trouble = match watcher.look().await {
                Ok(seen) => return Ok(self.fresh(watcher).map_or(Ok(seen), Err)),
                Err(Ended::Failure(failure)) => return Err(failure),
                Err(Ended::Trouble(trouble)) => trouble,
            };
            if !trouble.may_pass() || tries == TRIES {
                return Ok(Err(trouble));
            }
            sleep(jittered(PAUSE * 2_u32.pow(tries - 1))).await;
            tries += 1;
        }
    }

    /// How old what is shown is, by its newest record, or by this watch where there is none; trouble if that is too old.
    fn fresh(&self, watcher: &Watcher) -> Option<Trouble> {
        let limit = self.max_age?;
        let newest = watcher.state.folded.newest_ms.unwrap_or(watcher.state.since_ms);
        let age = now_ms().saturating_sub(newest) / 1000;
        (age > limit).then_some(Trouble::Stale { age, limit })
    }
}

/// What was said, so that nothing is said twice in a row.
struct Told {
    webhook: Option<Webhook>,
    last: Option<(&'static str, Exit)>,
    json: bool,
}

impl Told {
    fn exit(&self) -> Exit {
        self.last.map_or(Exit::Ok, |(_, exit)| exit)
    }

    fn seen(&mut self, seen: &Seen, always: bool) -> Result<(), Failure> {
        let recovered = self.last.take().is_some();
        if seen.new == 0 && !always && !recovered {
            return Ok(());
        }
        let (head, time) = (&seen.head, rfc3339(now_ms()));
        if self.json {
            return say!(
                "{}",
                json!({
                    "schema": SCHEMA, "time": time, "event": "followed", "origin": head.origin, "size": head.size,
                    "root": head.root, "new": seen.new,
                })
            );
        }
        say!("{time} {} holds at size {}, root {}: {} new", head.origin, head.size, head.root, seen.new)
    }

    fn trouble(&mut self, watcher: &Watcher, trouble: &Trouble) -> Result<(), Failure> {
        if self.last.is_some_and(|(code, _)| code == trouble.code()) {
            return Ok(());
        }
        self.last = Some((trouble.code(), trouble.exit()));
        let event = event(watcher, trouble);
        if let Some(webhook) = &mut self.webhook {
            webhook.tell(&event);
        }
        if self.json {
            return say!("{event}");
        }
        say!("{} TROUBLE {}: {trouble}", rfc3339(now_ms()), trouble.code())
    }
}

fn event(watcher: &Watcher, trouble: &Trouble) -> Value {
    let evidence = match trouble {
        Trouble::Fork { file, .. } => Some(file),
        _ => None,
    };
    json!({
        "schema": SCHEMA, "time": rfc3339(now_ms()), "event": "trouble", "code": trouble.code(),
        "exit": trouble.exit() as u8, "reason": trouble.to_string(), "origin": watcher.remote.key().name(),
        "size": watcher.state.folded.edge.size(), "root": watcher.state.folded.edge.root(), "evidence": evidence,
    })
}

/// Half as long at least, so that watches that began together do not ask together.
fn jittered(pause: Duration) -> Duration {
    use std::hash::{BuildHasher, Hasher};
    // Keys of a hasher are random: enough for this, and no more is needed here.
    let chance = std::hash::RandomState::new().build_hasher().finish() % 1024;
    pause / 2 + pause.mul_f64(0.5).mul_f64(f64::from(u32::try_from(chance).unwrap_or(0)) / 1024.0)
}
