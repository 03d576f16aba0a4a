//! `interlock freeze`: ends a log. Nothing is ever appended behind the freeze; reads and proofs go on.
//!
//! Says afterwards what every enforcement point's trust file must say from then on: a key signs for ever, only its readers can stop
//! believing it.

use std::path::{Path, PathBuf};

use clap::Args;
use serde_json::Value;
use verifier::act::Deed;
use verifier::checkpoint::Checkpoint;
use verifier::note::{Note, VerifierKey};
use verifier::text::rfc3339;

use crate::client::{Client, block_on};
use crate::exit::{Exit, Failure};
use crate::house::{self, Admin, House};
use crate::output::{note, say};

/// End a log for ever: in a directory that no server has open, or on a running server.
#[derive(Debug, Args)]
pub struct Freeze {
    /// The log's directory
    #[arg(required_unless_present = "url", conflicts_with = "url")]
    dir: Option<PathBuf>,
    /// A running server's decision API
    #[arg(long)]
    url: Option<String>,
    /// The file with the admin key
    #[arg(long, env = "INTERLOCK_KEY_FILE")]
    key_file: PathBuf,
    /// The verification key of the log that goes on in its place
    #[arg(long, value_name = "VKEY")]
    successor: Option<String>,
    /// Why, one line; stands in the log
    #[arg(long)]
    reason: String,
}

impl Freeze {
    /// Signs the act under the governance version in force and posts it.
    pub fn run(&self) -> Result<Exit, Failure> {
        if self.reason.is_empty() || self.reason.chars().any(char::is_control) {
            return Err(Failure::usage("the reason is one line of text"));
        }
        let successor = self.successor.as_ref().map(|text| text.parse::<VerifierKey>()).transpose();
        let successor = successor.map_err(|error| Failure::usage(format!("--successor: {error}")))?;
        let admin = Admin::read(&self.key_file)?;
        let deed = Deed::Freeze { successor: successor.clone(), reason: self.reason.clone() };
        let (vkey, answer) = match (&self.dir, &self.url) {
            (Some(dir), _) => freeze_in_directory(dir, &admin, deed)?,
            (None, Some(url)) => block_on(freeze(&admin, &admin.client(url)?, deed))?,
            (None, None) => return Err(Failure::usage("either a directory or --url")),
        };
        say!("{answer}")?;
        note!("{}", trust_lines(&vkey, &answer, successor.as_ref())?.trim_end());
        Ok(Exit::Ok)
    }
}

/// The log's key, and what the server answers.
async fn freeze(admin: &Admin, client: &Client, deed: Deed) -> Result<(String, Value), Failure> {
    let state = client.get("/v1/governance").await?.success()?.json()?;
    let vkey = state.get("vkey").and_then(Value::as_str).unwrap_or_default().to_owned();
    let note = admin.sign(admin.state(client).await?.governance, deed);
    Ok((vkey, client.post("/v1/freeze", "text/plain; charset=utf-8", note.into_bytes()).await?.success()?.json()?))
}

/// Opens the directory as a server on ports of its own, so that there is one way to freeze.
fn freeze_in_directory(dir: &Path, admin: &Admin, deed: Deed) -> Result<(String, Value), Failure> {
    let house = House::open(dir, &house::Addresses::anywhere_on_loopback(), &house::Words::default())?;
    let frozen = block_on(async { freeze(admin, &admin.client(&house.decision_url())?, deed).await });
    house.stop();
    frozen
}

/// What trust files must say, from the server's answer.
fn trust_lines(vkey: &str, answer: &Value, successor: Option<&VerifierKey>) -> Result<String, Failure> {
    let text = |field: &str| answer.get(field).and_then(Value::as_str);
    let head = text("checkpoint").and_then(|note| Checkpoint::parse_text(&Note::parse(note).ok()?.text).ok());
    let end =
        text("recorded_at").and_then(|time| time.parse::<jiff::Timestamp>().ok()?.as_millisecond().try_into().ok());
    let (Some(head), Some(end)) = (head, end) else {
        return Err(Failure::undecidable("the server's answer names no final head and time"));
    };
    // The freeze itself is the last record that is believed.
    let (not_after, size) = (rfc3339(u64::saturating_add(end, 1)), head.size);
    let mut lines = format!(
        "frozen; the trust files of its readers must say from now on:\n\n[[log_key]]\nvkey = \"{vkey}\"\n\
         not_after = \"{not_after}\"   # no permit of this log is admitted from then on\nmax_size = {size}\n"
    );
    if let Some(successor) = successor {
        lines.push_str(&format!("\n[[log_key]]\nvkey = \"{successor}\"\n"));
    }
    Ok(lines)
}
