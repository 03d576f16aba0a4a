//! `interlock export DIR|URL --decisions …`: an evidence bundle instead of the whole log, from a directory that no server holds or from a
//! server's public read API.
//!
//! What does not verify under the key that the source itself names is not written. That key is not to be trusted for coming with the
//! evidence: whoever verifies brings it from elsewhere.

use std::path::Path;

use clap::{Args, ValueEnum};
use ledger::{BundleError, Choice, Reader, Wanted, open_archive};
use serde_json::json;
use verifier::bundle::{Bundle, MAX_CHOSEN};
use verifier::decision::{Outcome, PermitId};
use verifier::note::VerifierKey;
use verifier::text::decimal;
use verifier::verify::{LogKey, climb_bundle};

use crate::client::{Client, block_on};
use crate::exit::Failure;
use crate::output::say;

/// Which records, where not the whole log is meant.
#[derive(Debug, Args)]
#[command(next_help_heading = "An evidence bundle instead of the whole log")]
pub struct Chosen {
    /// These records: indexes, ranges and permit ids, such as `3,7,100-200`
    #[arg(long, value_name = "LIST", conflicts_with_all = ["from", "to", "outcome", "realm", "epoch"])]
    decisions: Option<String>,
    /// The decisions from this index on
    #[arg(long, value_name = "INDEX")]
    from: Option<u64>,
    /// The decisions up to this index
    #[arg(long, value_name = "INDEX")]
    to: Option<u64>,
    /// The decisions that came out so
    #[arg(long)]
    outcome: Option<Verdict>,
    /// The decisions of this realm
    #[arg(long)]
    realm: Option<String>,
    /// The decisions under this epoch
    #[arg(long)]
    epoch: Option<u64>,
    /// Under the head of this size instead of the newest
    #[arg(long)]
    size: Option<u64>,
}

/// What was decided.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Verdict {
    Allow,
    Deny,
}

impl Verdict {
    const fn outcome(self) -> Outcome {
        match self {
            Self::Allow => Outcome::Allow,
            Self::Deny => Outcome::Deny,
        }
    }
}

/// Whether a source is a server.
pub fn is_url(source: &str) -> bool {
    source.starts_with("http://") || source.starts_with("https://")
}

impl Chosen {
    /// Whether a bundle is asked for.
    pub fn asked(&self) -> bool {
        let Self { decisions, from, to, outcome, realm, epoch, size } = self;
        let numbers = [from, to, epoch, size].iter().any(|number| number.is_some());
        numbers || decisions.is_some() || outcome.is_some() || realm.is_some()
    }

    /// The bundle, verified under the key that it names. `undisclosed` takes private parts of committed realms too, from a directory only.
    pub fn bundle(&self, source: &str, memory: Option<&Path>, undisclosed: bool) -> Result<Vec<u8>, Failure> {
        let bytes = match (is_url(source), undisclosed) {
            (true, true) => {
                return Err(Failure::usage("a server gives public parts only: --with-vault needs the directory"));
            }
            (true, false) => self.fetch(&Client::new(source, None)?)?,
            (false, _) => self.make(Path::new(source), memory, undisclosed)?,
        };
        let key = Bundle::decode(&bytes).map_err(Failure::undecidable)?.manifest.vkey.parse::<VerifierKey>();
        let keys = [LogKey::unlimited(key.map_err(Failure::undecidable)?)];
        let refused = climb_bundle(&bytes, &keys).verdict.err();
        match refused {
            None => Ok(bytes),
            Some(refusal) => {
                Err(Failure::refused(format!("what came does not verify: {refusal} ({})", refusal.code())))
            }
        }
    }

    fn make(&self, dir: &Path, memory: Option<&Path>, undisclosed: bool) -> Result<Vec<u8>, Failure> {
        let reader = open_archive(dir, memory).map_err(Failure::unavailable)?;
        let head = match self.size {
            None => reader.head(),
            Some(size) => {
                let head = reader.head_at(size).map_err(Failure::unavailable)?;
                head.ok_or_else(|| Failure::usage(format!("no head of size {size} was ever published")))?.into()
            }
        };
        let size = head.checkpoint.size;
        let choice = self.choice(&mut |permit: &str| by_permit(&reader, permit))?;
        let chosen = choice.find(&reader, size).map_err(failed)?;
        let epochs = reader.closings(size).map_err(Failure::unavailable)?;
        let wanted = Wanted { chosen: &chosen, choice: &choice.words(), epochs: &epochs, undisclosed };
        reader.evidence_bundle(&wanted, &head).map_err(failed)
    }

    fn fetch(&self, client: &Client) -> Result<Vec<u8>, Failure> {
        let choice = self.choice(&mut |permit: &str| {
            let path = format!("/v1/receipts/{permit}");
            let answer = block_on(async { client.get_as(&path, "application/json").await?.success() })?.json()?;
            answer
                .get("index")
                .and_then(serde_json::Value::as_u64)
                .ok_or_else(|| Failure::undecidable("the server's receipt has no index"))
        })?;
        let answer = match &choice {
            Choice::List(indexes) => {
                let path =
                    self.size.map_or_else(|| "/v1/bundles".to_owned(), |size| format!("/v1/bundles?size={size}"));
                let body = json!(indexes).to_string().into_bytes();
                block_on(async { client.post(&path, "application/json", body).await?.success() })?
            }
            Choice::Search { realm, .. } => {
                let plain = |c: char| c.is_ascii_alphanumeric() || "-._~/:@".contains(c);
                if realm.as_ref().is_some_and(|realm| !realm.chars().all(plain)) {
                    return Err(Failure::usage(
                        "a server is asked for realms by plain names only: choose by --decisions",
                    ));
                }
                let size = self.size.map_or_else(String::new, |size| format!("&size={size}"));
                let path = format!("/v1/bundles?{}{size}", choice.words());
                block_on(async { client.get(&path).await?.success() })?
            }
        };
        Ok(answer.body)
    }

    fn choice(&self, permit: &mut dyn FnMut(&str) -> Result<u64, Failure>) -> Result<Choice, Failure> {
        let Some(list) = &self.decisions else {
            let (from, to, epoch) = (self.from.unwrap_or(0), self.to, self.epoch);
            let outcome = self.outcome.map(Verdict::outcome);
            return Ok(Choice::Search { from, to, outcome, realm: self.realm.clone(), epoch });
        };
        let mut indexes = Vec::new();
        for item in list.split(',') {
            // No index has so many digits.
            if item.len() == 32 {
                indexes.push(permit(item)?);
                continue;
            }
            let Choice::List(more) = Choice::list(item).map_err(Failure::usage)? else { continue };
            indexes.extend(more);
            if indexes.len() > 2 * MAX_CHOSEN {
                return Err(Failure::usage(BundleError::TooLarge));
            }
        }
        Choice::of(indexes).map_err(Failure::usage)
    }
}

fn by_permit(reader: &Reader, text: &str) -> Result<u64, Failure> {
    let permit: PermitId = text.parse().map_err(Failure::usage)?;
    let index = reader.permit(&permit).map_err(Failure::unavailable)?;
    index.ok_or_else(|| Failure::refused(format!("no decision of this log has the id {text}")))
}

fn failed(error: BundleError) -> Failure {
    match error {
        BundleError::Nothing | BundleError::TooLarge => Failure::refused(error),
        BundleError::NoEpoch { .. } | BundleError::DoesNotHold { .. } | BundleError::Read(_) => {
            Failure::unavailable(error)
        }
    }
}

/// Says what was taken.
pub fn tell(bytes: &[u8], as_json: bool) -> Result<(), Failure> {
    let bundle = Bundle::decode(bytes).map_err(Failure::undecidable)?;
    // Origin and size are the first two lines of the head.
    let mut lines = bundle.checkpoint.lines();
    let (origin, size) =
        (lines.next().unwrap_or_default(), lines.next().and_then(|size| decimal(size).ok()).unwrap_or(0));
    let (entries, decisions) = (bundle.entries.len(), bundle.manifest.decisions);
    if as_json {
        say!(
            "{}",
            json!({
                "origin": origin, "size": size, "vkey": bundle.manifest.vkey, "choice": bundle.manifest.choice,
                "entries": entries, "decisions": decisions, "epochs": bundle.manifest.epochs,
                "hashes": bundle.proof.len(), "bytes": bytes.len(),
            })
        )
    } else {
        say!(
            "{entries} records of {origin} at size {size}, {decisions} of them decisions\nkey {}",
            bundle.manifest.vkey
        )
    }
}
