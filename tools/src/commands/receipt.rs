//! `interlock receipt`: fetches one decision's receipt from the public read API and writes it to a file.

use std::path::PathBuf;

use clap::Args;
use verifier::receipt::Receipt;

use crate::client::{Client, block_on};
use crate::exit::{Exit, Failure};
use crate::files;

/// Fetch a receipt.
#[derive(Debug, Args)]
pub struct Fetch {
    /// Index, permit id or leaf hash (hex)
    id: String,
    /// Where to write it; standard output without
    #[arg(short, long)]
    output: Option<PathBuf>,
    /// The public read API
    #[arg(long, env = "INTERLOCK_PUBLIC_URL", default_value = "http://127.0.0.1:7410")]
    url: String,
}

impl Fetch {
    /// Fetches and writes; what is not a receipt is not written.
    pub fn run(&self) -> Result<Exit, Failure> {
        if self.id.is_empty() || !self.id.bytes().all(|byte| byte.is_ascii_alphanumeric()) {
            return Err(Failure::usage(format!("`{}` is neither an index nor a permit id nor a leaf hash", self.id)));
        }
        let client = Client::new(&self.url, None)?;
        let answer = block_on(async { client.get(&format!("/v1/receipts/{}", self.id)).await?.success() })?;
        let text = answer.text()?;
        Receipt::parse(text).map_err(|error| Failure::undecidable(format!("the server's answer: {error}")))?;
        match &self.output {
            Some(path) => files::write(path, text)?,
            None => print!("{text}"),
        }
        Ok(Exit::Ok)
    }
}
