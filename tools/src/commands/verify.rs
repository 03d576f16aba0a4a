//! `interlock verify`: receipts against a key, offline. Says rung by rung what held, then the verdict, then what was not checked.
//!
//! The form is told by the content: tlog-proof text, JSON, a range receipt, a COSE receipt of inclusion or consistency. What a form does not
//! carry is given beside it: `--leaf` for COSE and ranges, `--head` for consistency.

mod said;

use std::path::PathBuf;

use clap::Args;
use verifier::cose::CoseReceipt;
use verifier::note::VerifierKey;
use verifier::receipt::Form;
use verifier::verify::{LogKey, climb, climb_cose, climb_range, verify_consistency_receipt};

pub use said::Said;

use crate::exit::{Exit, Failure};
use crate::files;
use crate::output::{self, say};

/// Verify receipts offline.
#[derive(Debug, Args)]
pub struct Verify {
    /// Receipts: tlog-proof text or JSON with the leaf in it, a range receipt, or COSE; `-` reads standard input
    #[arg(required = true)]
    files: Vec<PathBuf>,
    /// The log's verification key, or a file that holds it
    #[arg(long)]
    vkey: Option<String>,
    /// A leaf's bytes, for a receipt that does not carry them; for a range receipt once for each leaf, in order
    #[arg(long)]
    leaf: Vec<PathBuf>,
    /// An older checkpoint, for a COSE receipt of consistency
    #[arg(long)]
    head: Option<PathBuf>,
    /// One JSON object a receipt
    #[arg(long)]
    json: bool,
}

impl Verify {
    /// Verifies every file; the worst verdict is the exit code.
    pub fn run(&self) -> Result<Exit, Failure> {
        let keys: Vec<LogKey> = match &self.vkey {
            Some(vkey) => vec![LogKey::unlimited(read_vkey(vkey)?)],
            None => Vec::new(),
        };
        let leaves: Vec<Vec<u8>> =
            self.leaf.iter().map(|path| files::read_bytes(path, files::MAX_LEAF)).collect::<Result<_, _>>()?;
        let mut worst = Exit::Ok;
        for file in &self.files {
            let name = file.display().to_string();
            let bytes = files::read_bytes(file, files::MAX_RECEIPT)?;
            let form = Form::read(&bytes).map_err(|error| Failure::undecidable(format!("{name}: {error}")))?;
            let said = match form {
                Form::Leaf(receipt) => Said::leaf(&climb(&receipt, Self::one_leaf(&leaves)?, &keys)),
                Form::Range(receipt) => {
                    let leaves: Vec<&[u8]> = leaves.iter().map(Vec::as_slice).collect();
                    Said::range(&climb_range(&receipt, &leaves, &keys))
                }
                Form::Cose(CoseReceipt::Inclusion(receipt)) => {
                    let leaf = Self::one_leaf(&leaves)?.ok_or_else(|| {
                        Failure::undecidable(format!("{name}: a COSE receipt carries no leaf: give it with `--leaf`"))
                    })?;
                    Said::cose(&climb_cose(&receipt, leaf, &keys), &receipt)
                }
                Form::Cose(CoseReceipt::Consistency(receipt)) => {
                    let head = self.head.as_ref().ok_or_else(|| {
                        Failure::undecidable(format!("{name}: give the older checkpoint with `--head`"))
                    })?;
                    let head = files::read_text(head, files::MAX_RECEIPT)?;
                    Said::growth(&verify_consistency_receipt(&receipt, &head, &keys))
                }
            };
            if self.json {
                say!("{}", said.json(&name))?;
            } else {
                output::print(said.text(&name))?;
            }
            if worst == Exit::Ok || said.exit() == Exit::Invalid {
                worst = said.exit();
            }
        }
        Ok(worst)
    }

    fn one_leaf(leaves: &[Vec<u8>]) -> Result<Option<&[u8]>, Failure> {
        match leaves {
            [] => Ok(None),
            [leaf] => Ok(Some(leaf)),
            _ => Err(Failure::usage("several leaves are for a range receipt")),
        }
    }
}

/// The key itself, or the first line of a file with that name.
pub fn read_vkey(text: &str) -> Result<VerifierKey, Failure> {
    let parse = |text: &str| text.trim().parse::<VerifierKey>();
    if let Ok(key) = parse(text) {
        return Ok(key);
    }
    let content = files::read_text(text.as_ref(), files::MAX_KEY_FILE).map_err(|error| {
        Failure::usage(format!("`{text}` is neither a verification key nor a file with one: {error}"))
    })?;
    parse(&content).map_err(|error| Failure::usage(format!("{text}: {error}")))
}
