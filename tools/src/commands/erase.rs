//! `interlock erase`: erases private parts of a decision, by a record that says on what ground and by whose authority.

use std::path::PathBuf;

use clap::Args;
use verifier::act::{Deed, Parts};

use crate::client::{Client, block_on};
use crate::commands::switch::reason;
use crate::exit::{Exit, Failure};
use crate::files;
use crate::house::Admin;
use crate::output::say;

/// Erase the request or the detail of a decision, or both
///
/// Decisions wait while a segment of the vault, at most 64 MiB, is written anew. Backups are not touched.
#[derive(Debug, Args)]
pub struct Erase {
    /// The decision's index in the log
    index: u64,
    /// `request`, `detail` or `both`
    #[arg(long, default_value = "both", value_parser = parts)]
    parts: Parts,
    /// The ground in law or contract, one line; stands in the log
    #[arg(long)]
    ground: String,
    /// Who ordered it, one line; stands in the log
    #[arg(long)]
    authority: String,
    /// The server's decision API
    #[arg(long, env = "INTERLOCK_URL", default_value = "http://127.0.0.1:7411")]
    url: String,
    /// The file with the erasure key that the epoch names, or with the admin key where it names none
    #[arg(long, env = "INTERLOCK_KEY_FILE")]
    key_file: PathBuf,
    /// A file with an administrator's API key, to be heard with an erasure key; an admin key needs none
    #[arg(long)]
    api_key_file: Option<PathBuf>,
}

fn parts(word: &str) -> Result<Parts, String> {
    Parts::parse(word).ok_or_else(|| "`request`, `detail` or `both`".to_owned())
}

impl Erase {
    /// Signs the act under the governance version in force and posts it.
    pub fn run(&self) -> Result<Exit, Failure> {
        let (ground, authority) = (reason(&self.ground)?, reason(&self.authority)?);
        let admin = Admin::eraser(&self.key_file)?;
        let client = match &self.api_key_file {
            Some(file) => Client::new(&self.url, Some(files::read_secret(file)?.trim().to_owned()))?,
            None => admin.client(&self.url)?,
        };
        let answer = block_on(async {
            let follows = admin.state(&client).await?.governance;
            let deed = Deed::Erasure { index: self.index, parts: self.parts, ground, authority };
            let note = admin.sign(follows, deed);
            client.post("/v1/erasures", "text/plain; charset=utf-8", note.into_bytes()).await?.success()
        })?;
        say!("{}", answer.text()?)?;
        Ok(Exit::Ok)
    }
}
