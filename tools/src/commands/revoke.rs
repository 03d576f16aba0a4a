//! `interlock revoke`: ends a permit, and all that descends from it, on a running server.

use clap::Args;
use verifier::act::Deed;
use verifier::decision::PermitId;

use crate::commands::switch::reason;
use crate::exit::{Exit, Failure};
use crate::house::AtServer;
use crate::output::say;

/// End a permit, and all that descends from it.
#[derive(Debug, Args)]
pub struct Revoke {
    /// The permit, 32 hexadecimal digits
    permit: PermitId,
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
        let answer = self.at.act("/v1/revocations", Deed::Revocation { permit: self.permit, reason })?;
        say!("{}", answer.text()?)?;
        Ok(Exit::Ok)
    }
}
