//! `interlock switch`: throws or releases a kill switch on a running server.

use std::path::PathBuf;

use clap::{Args, ValueEnum};
use serde_json::Value;
use verifier::act::{Deed, Power, Target};

use crate::client::block_on;
use crate::exit::{Exit, Failure};
use crate::house::Admin;
use crate::output::{note, say};

/// Stop everything, or one realm, subject, action or policy; or let it run again.
#[derive(Debug, Args)]
pub struct Switch {
    /// `global`, `realm NAME`, `subject TYPE::"id"`, `action NAME` or `policy ID`
    target: String,
    /// Which way
    to: To,
    /// Why, one line; stands in the log
    #[arg(long)]
    reason: String,
    /// The server's decision API
    #[arg(long, env = "INTERLOCK_URL", default_value = "http://127.0.0.1:7411")]
    url: String,
    /// The file with the admin key
    #[arg(long, env = "INTERLOCK_KEY_FILE")]
    key_file: PathBuf,
}

#[derive(Debug, Clone, Copy, ValueEnum)]
enum To {
    /// Deny whatever concerns the target
    Halt,
    /// Release it
    Run,
}

impl Switch {
    /// Signs the act under the governance version in force and posts it.
    pub fn run(&self) -> Result<Exit, Failure> {
        let target = Target::parse(&self.target).map_err(Failure::usage)?;
        let reason = reason(&self.reason)?;
        let power = match self.to {
            To::Halt => Power::Halt,
            To::Run => Power::Run,
        };
        let admin = Admin::read(&self.key_file)?;
        let client = admin.client(&self.url)?;
        let answer = block_on(async {
            let follows = admin.state(&client).await?.governance;
            let note = admin.sign(follows, Deed::Switch { target, power, reason });
            client.post("/v1/switches", "text/plain; charset=utf-8", note.into_bytes()).await?.success()
        })?;
        say!("{}", answer.text()?)?;
        for warning in answer.json()?.get("warnings").and_then(Value::as_array).into_iter().flatten() {
            note!("warning: {}", warning.as_str().unwrap_or_default());
        }
        Ok(Exit::Ok)
    }
}

/// A reason as it stands in an act.
pub fn reason(given: &str) -> Result<String, Failure> {
    if given.is_empty() || given.chars().any(char::is_control) {
        return Err(Failure::usage("the reason is one line of text"));
    }
    Ok(given.to_owned())
}
