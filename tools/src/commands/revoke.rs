//! `interlock revoke`: takes a permit back, and all that descends from it, or an issuer, key, subject or policy, on a running server.

use clap::Args;
use serde_json::Value;
use verifier::act::{Deed, Revoked};

use crate::commands::switch::reason;
use crate::exit::{Exit, Failure};
use crate::house::AtServer;
use crate::output::{note, say};

/// End a permit and all that descends from it, or take an issuer, key, subject or policy back for ever.
#[derive(Debug, Args)]
pub struct Revoke {
    /// The permit, 32 hexadecimal digits; or `issuer NAME`, `key ID` (a caller's, an agent's, an approver's), `subject TYPE::"id"`, `policy ID`
    what: String,
    /// Why, one line; stands in the log
    #[arg(long)]
    reason: String,
    #[command(flatten)]
    at: AtServer,
}

impl Revoke {
    /// Signs the act under the governance version in force and posts it.
    pub fn run(&self) -> Result<Exit, Failure> {
        let reason = reason(&self.reason)?;
        let what = match self.what.parse() {
            Ok(permit) => Revoked::Permit(permit),
            Err(_) => Revoked::parse(&self.what).map_err(Failure::usage)?,
        };
        let answer = self.at.act("/v1/revocations", Deed::Revocation { what, reason })?;
        say!("{}", answer.text()?)?;
        for warning in answer.json()?.get("warnings").and_then(Value::as_array).into_iter().flatten() {
            note!("warning: {}", warning.as_str().unwrap_or_default());
        }
        Ok(Exit::Ok)
    }
}
