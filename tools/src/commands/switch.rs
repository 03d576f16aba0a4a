//! `interlock switch`: throws or releases a kill switch on a running server.

use clap::{Args, ValueEnum};
use serde_json::Value;
use verifier::act::{Deed, Power, Target};

use crate::exit::{Exit, Failure};
use crate::house::AtServer;
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
    #[command(flatten)]
    at: AtServer,
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
        let answer = self.at.act("/v1/switches", Deed::Switch { target, power, reason })?;
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
