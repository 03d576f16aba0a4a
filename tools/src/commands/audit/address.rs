//! A log audited at its public address: every entry read, decoded and hashed to the signed head, every tile held against the entries, and
//! the private parts of every decision against the leaf that commits to them.
//!
//! Nothing is believed but what the verification key signed. Private parts that a realm keeps to itself are counted as withheld, those that
//! a record of the log erased as erased; whatever else is not served is a problem. Memory is bounded by some bundles of entries.
//! Does not compare what others were shown: a watch with its state does that, and witnesses.

use std::collections::HashMap;
use std::time::Duration;

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use reqwest::StatusCode;
use serde_json::{Value, json};
use std::io::IsTerminal;
use tokio::task::JoinSet;
use verifier::checkpoint::Checkpoint;
use verifier::decision::Decision;
use verifier::hash::{Hash, leaf_hash, root_of};
use verifier::note::VerifierKey;
use verifier::record::Record;
use verifier::tile::{FULL_WIDTH, Tile};

use crate::client::{Client, block_on};
use crate::commands::replay::parts;
use crate::commands::verify::read_vkey;
use crate::exit::{Exit, Failure};
use crate::output::{self, say};
use crate::remote::Remote;
use crate::watch::state::Folded;

/// Requests for private parts that are under way at once.
const AT_ONCE: usize = 16;
/// Problems that are listed one by one.
const LISTED: usize = 100;
/// One answer takes no longer: a bundle has up to 16 MB.
const PATIENCE: Duration = Duration::from_secs(30);

/// What was found.
#[derive(Default)]
struct Found {
    entries: u64,
    decisions: u64,
    kept: u64,
    withheld: u64,
    erased: u64,
    tiles: u64,
    problem_count: u64,
    problems: Vec<(Option<u64>, String)>,
    /// Decisions whose parts are gone, and what records of erasures say: index to parts.
    gone: Vec<u64>,
    erasures: HashMap<u64, u64>,
}

/// Audits; without a key that the reader brought against the one that the server names.
pub(super) fn audit(url: &str, vkey: Option<&str>, as_json: bool) -> Result<Exit, Failure> {
    let (head, found) = block_on(async {
        let key = match vkey {
            Some(vkey) => read_vkey(vkey)?,
            None => claimed(url).await?,
        };
        let remote = Remote::new(url, key, PATIENCE)?;
        let head = remote.head().await?.checkpoint().clone();
        let mut found = Found::default();
        found.walk(&remote, &head).await?;
        Ok((head, found))
    })?;
    if as_json {
        say!("{}", found.as_json(&head))?
    } else {
        output::print(found.as_text(&head))?
    }
    Ok(if found.problem_count == 0 { Exit::Ok } else { Exit::Invalid })
}

async fn claimed(url: &str) -> Result<VerifierKey, Failure> {
    let log = Client::patient(url, PATIENCE)?.get("/v1/log").await?.success()?.json()?;
    let vkey = log.get("vkey").and_then(Value::as_str);
    let vkey = vkey.ok_or_else(|| Failure::undecidable("the server names no verification key"))?;
    vkey.parse().map_err(Failure::undecidable)
}

impl Found {
    async fn walk(&mut self, remote: &Remote, head: &Checkpoint) -> Result<(), Failure> {
        let bar = progress(head.size);
        let (mut folded, mut tiles) = (Folded::default(), Tiles::default());
        while folded.edge.size() < head.size {
            let first = folded.edge.size();
            let mut decisions = Vec::new();
            for (index, leaf) in (first..).zip(remote.entries(first, head.size).await?) {
                match folded.take(index, &leaf) {
                    Ok(Record::Decision(decision)) => decisions.push((index, decision)),
                    Ok(Record::Erasure { index, parts, .. }) => *self.erasures.entry(index).or_default() |= parts,
                    Ok(_) => {}
                    Err(trouble) => self.problem(Some(index), trouble.to_string()),
                }
                tiles.push(remote, leaf_hash(&leaf), self).await?;
            }
            self.entries = folded.edge.size();
            self.decisions += decisions.len() as u64;
            self.private(remote, decisions).await?;
            bar.set_position(self.entries);
        }
        bar.finish_and_clear();
        tiles.finish(remote, self).await?;
        let root = folded.edge.root();
        if root != head.root {
            self.problem(None, format!("the entries have the root {root}, the signed head says {}", head.root));
        }
        for index in std::mem::take(&mut self.gone) {
            if self.erasures.contains_key(&index) {
                self.erased += 1;
            } else {
                self.problem(
                    Some(index),
                    "its private parts are gone, and no record says that they were erased".into(),
                );
            }
        }
        Ok(())
    }

    /// Asks for the private parts of decisions, and holds them against their leaves.
    async fn private(&mut self, remote: &Remote, mut decisions: Vec<(u64, Box<Decision>)>) -> Result<(), Failure> {
        let mut under_way = JoinSet::new();
        loop {
            while under_way.len() < AT_ONCE
                && let Some((index, decision)) = decisions.pop()
            {
                let client = remote.client().clone();
                under_way.spawn(async move { (index, decision, client.get(&format!("/v1/requests/{index}")).await) });
            }
            let Some(done) = under_way.join_next().await else { return Ok(()) };
            let (index, decision, answer) = done.map_err(Failure::unavailable)?;
            let answer = answer?;
            let said = answer.json().unwrap_or_default();
            let code = said.get("code").and_then(Value::as_str);
            match answer.status {
                StatusCode::OK => match parts(&said) {
                    Some(parts) if parts.matches(&decision.request, &decision.detail) => self.kept += 1,
                    Some(_) => {
                        self.problem(Some(index), "its private parts are not those that its leaf commits to".into())
                    }
                    None => {
                        self.problem(Some(index), "what is served as its private parts is not two salted parts".into())
                    }
                },
                StatusCode::NOT_FOUND if code == Some("committed") => self.withheld += 1,
                StatusCode::GONE => self.gone.push(index),
                StatusCode::SERVICE_UNAVAILABLE | StatusCode::TOO_MANY_REQUESTS => {
                    return Err(Failure::unavailable(format!("the server answered {}", answer.status)));
                }
                status => self.problem(Some(index), format!("its private parts are not served: {status}")),
            }
        }
    }

    fn problem(&mut self, index: Option<u64>, what: String) {
        self.problem_count += 1;
        if self.problems.len() < LISTED {
            self.problems.push((index, what));
        }
    }

    fn as_text(&self, head: &Checkpoint) -> String {
        let Self { entries, decisions, kept, withheld, erased, tiles, problem_count, problems, .. } = self;
        let mut out = format!("{} at size {}, root {}\n", head.origin, head.size, head.root);
        out.push_str(&format!(
            "{entries} entries, {tiles} tiles\n{decisions} decisions, {kept} with their private parts, "
        ));
        out.push_str(&format!("{withheld} withheld, {erased} erased\n"));
        for (index, what) in problems {
            let place = index.map_or_else(String::new, |index| format!("entry {index}: "));
            out.push_str(&format!("  WRONG  {place}{what}\n"));
        }
        let unlisted = problem_count - problems.len() as u64;
        if unlisted > 0 {
            out.push_str(&format!("  and {unlisted} more\n"));
        }
        out.push_str(&match problem_count {
            0 => "audit: clean\n".to_owned(),
            count => format!("audit: {count} problems\n"),
        });
        out
    }

    fn as_json(&self, head: &Checkpoint) -> Value {
        let problems = self.problems.iter().map(|(index, what)| json!({"index": index, "what": what}));
        json!({
            "schema": "interlock/check/v1", "check": "audit", "clean": self.problem_count == 0, "origin": head.origin,
            "size": head.size, "root": head.root, "entries": self.entries, "tiles": self.tiles,
            "decisions": self.decisions, "kept": self.kept, "withheld": self.withheld, "erased": self.erased,
            "problem_count": self.problem_count, "problems": problems.collect::<Vec<_>>(),
        })
    }
}

/// The tiles that the entries give, level by level; each is held against the one that is served when it is full, or at the end.
#[derive(Default)]
struct Tiles(Vec<(u64, Vec<Hash>)>);

impl Tiles {
    async fn push(&mut self, remote: &Remote, leaf: Hash, found: &mut Found) -> Result<(), Failure> {
        let mut node = leaf;
        for level in 0.. {
            if self.0.len() == level {
                self.0.push((0, Vec::new()));
            }
            let Some((index, hashes)) = self.0.get_mut(level) else { break };
            hashes.push(node);
            if hashes.len() < usize::from(FULL_WIDTH) {
                break;
            }
            check(remote, level, *index, hashes, found).await?;
            node = root_of(hashes);
            *index += 1;
            hashes.clear();
        }
        Ok(())
    }

    /// The partial ones at the right edge.
    async fn finish(self, remote: &Remote, found: &mut Found) -> Result<(), Failure> {
        for (level, (index, hashes)) in self.0.iter().enumerate().filter(|(_, (_, hashes))| !hashes.is_empty()) {
            check(remote, level, *index, hashes, found).await?;
        }
        Ok(())
    }
}

async fn check(remote: &Remote, level: usize, index: u64, hashes: &[Hash], found: &mut Found) -> Result<(), Failure> {
    let level = u8::try_from(level).unwrap_or(u8::MAX);
    let width = u16::try_from(hashes.len()).unwrap_or(FULL_WIDTH);
    let tile = Tile { level, index, width };
    found.tiles += 1;
    match remote.tile(tile).await {
        Ok(served) if served == hashes => Ok(()),
        Ok(_) => {
            found.problem(None, format!("{} is not what the entries give", tile.path()));
            Ok(())
        }
        Err(crate::remote::Refused::Wrong(why)) => {
            found.problem(None, why);
            Ok(())
        }
        Err(refused) => Err(refused.into()),
    }
}

fn progress(size: u64) -> ProgressBar {
    let terminal = std::io::stderr().is_terminal();
    let target = if terminal { ProgressDrawTarget::stderr() } else { ProgressDrawTarget::hidden() };
    let style = ProgressStyle::with_template("{bar:40} {pos}/{len} entries, {per_sec}, {eta} left");
    ProgressBar::with_draw_target(Some(size), target).with_style(style.unwrap_or_else(|_| ProgressStyle::default_bar()))
}
