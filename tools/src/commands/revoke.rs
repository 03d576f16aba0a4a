//! `interlock revoke`: ends a permit, and all that descends from it, on a running server.

use std::path::PathBuf;

use clap::Args;
use verifier::act::Deed;
use verifier::decision::PermitId;

use crate::client::block_on;
use crate::commands::switch::reason;
use crate::exit::{Exit, Failure};
use crate::house::Admin;
use crate::output::say;

/// End a permit, and all that descends from it.
#[derive(Debug, Args)]
pub struct Revoke {
    /// The permit, 32 hexadecimal digits
    permit: PermitId,
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

impl Revoke {
    /// Signs the act under the governance version in force and posts it.
    pub fn run(&self) -> Result<Exit, Failure> {
        let reason = reason(&self.reason)?;
        let admin = Admin::read(&self.key_file)?;
        let client = admin.client(&self.url)?;
        let answer = block_on(async {
            let follows = admin.state(&client).await?.governance;
            let note = admin.sign(follows, Deed::Revocation { permit: self.permit, reason });
            client.post("/v1/revocations", "text/plain; charset=utf-8", note.into_bytes()).await?.success()
        })?;
        say!("{}", answer.text()?)?;
        Ok(Exit::Ok)
    }
}
