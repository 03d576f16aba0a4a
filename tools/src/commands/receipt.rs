//! `interlock receipt`: fetches one decision's receipt from the public read API and writes it to a file.
//!
//! What is not a receipt of the form that was asked for is not written. A COSE receipt does not carry the leaf: `--leaf` fetches that too.

use std::path::PathBuf;

use clap::{Args, ValueEnum};
use verifier::cose::{self, CoseReceipt};
use verifier::hash::leaf_hash;
use verifier::receipt::{Form as Read, Receipt};

use crate::client::{Client, block_on};
use crate::exit::{Exit, Failure};
use crate::files;
use crate::output::{self, note};

/// Fetch a receipt.
#[derive(Debug, Args)]
pub struct Fetch {
    /// Index, permit id or leaf hash (hex)
    id: String,
    /// Where to write it; standard output without
    #[arg(short, long)]
    output: Option<PathBuf>,
    /// The form
    #[arg(long, value_enum, default_value_t = Form::Text)]
    format: Form,
    /// Where to write the leaf, which `verify` needs beside a COSE receipt
    #[arg(long)]
    leaf: Option<PathBuf>,
    /// The public read API
    #[arg(long, env = "INTERLOCK_PUBLIC_URL", default_value = "http://127.0.0.1:7410")]
    url: String,
}

/// The forms of a receipt.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Form {
    /// C2SP tlog-proof v1, with the leaf as `extra`
    Text,
    /// The same as JSON
    Json,
    /// RFC 9942 COSE receipt of inclusion
    Cose,
}

impl Form {
    const fn media_type(self) -> &'static str {
        match self {
            Self::Text => "text/plain",
            Self::Json => "application/json",
            Self::Cose => cose::MEDIA_TYPE,
        }
    }
}

impl Fetch {
    /// Fetches and writes; what is not a receipt is not written.
    pub fn run(&self) -> Result<Exit, Failure> {
        if self.id.is_empty() || !self.id.bytes().all(|byte| byte.is_ascii_alphanumeric()) {
            return Err(Failure::usage(format!("`{}` is neither an index nor a permit id nor a leaf hash", self.id)));
        }
        let client = Client::new(&self.url, None)?;
        let path = format!("/v1/receipts/{}", self.id);
        let answer = block_on(async { client.get_as(&path, self.format.media_type()).await?.success() })?;
        let not_asked = || Failure::undecidable("the server's answer is a receipt of another form");
        let read = Read::read(&answer.body);
        let read = read.map_err(|error| Failure::undecidable(format!("the server's answer: {error}")))?;
        let (index, carried) = match (self.format, read) {
            (Form::Text | Form::Json, Read::Leaf(Receipt { index, extra, .. })) => (index, extra),
            (Form::Cose, Read::Cose(CoseReceipt::Inclusion(receipt))) => (receipt.index, None),
            (_, Read::Leaf(_) | Read::Range(_) | Read::Cose(_)) => return Err(not_asked()),
        };
        if let Some(path) = &self.leaf {
            let leaf = match carried {
                Some(leaf) => leaf,
                None => self.fetch_leaf(&client, index)?,
            };
            files::write(path, &leaf)?;
            note!("leaf {}", leaf_hash(&leaf));
        }
        match &self.output {
            Some(path) => files::write(path, &answer.body)?,
            None => output::print(&answer.body)?,
        }
        Ok(Exit::Ok)
    }

    fn fetch_leaf(&self, client: &Client, index: u64) -> Result<Vec<u8>, Failure> {
        let path = format!("/v1/entries/{index}");
        Ok(block_on(async { client.get_as(&path, "application/cbor").await?.success() })?.body)
    }
}
