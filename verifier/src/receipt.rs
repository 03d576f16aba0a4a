//! Receipts: one leaf's place in a signed tree as text (C2SP tlog-proof v1) or JSON, and that of a run of leaves as JSON. COSE: `cose`.
//!
//! Guarantees that what is read is exactly one receipt within named limits, and writes back byte for byte.
//! Verifies nothing: that takes the leaf's bytes and a key (`checkpoint`, `proof`). `extra` is not covered by any signature;
//! we carry the leaf's bytes in it, which their hash and the path then prove.

mod form;
mod json;

use core::fmt::Write;

use serde::{Deserialize, Serialize};

use crate::{
    hash::Hash,
    note::MAX_NOTE,
    proof::MAX_PATH,
    text::{self, TextError},
};

pub(crate) use form::COSE;
pub use form::{Form, FormError};
pub use json::MAX_JSON;

/// First line of a receipt.
pub const HEADER: &str = "c2sp.org/tlog-proof@v1";
/// Bytes of `extra`: the largest leaf.
pub const MAX_EXTRA: usize = 65_535;
/// Hashes of a range receipt: two for each level of the tree, left and right of the run.
pub const MAX_RANGE_PROOF: usize = 2 * MAX_PATH;

/// Why a receipt is refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ReceiptError {
    /// Another first line.
    #[error("not a `c2sp.org/tlog-proof@v1` receipt")]
    Header,
    /// Lines missing, in another order, or spelled in another way.
    #[error("malformed receipt")]
    Shape,
    /// Not the JSON of a receipt: other fields, or a value of another kind.
    #[error("not a receipt in JSON")]
    Json,
    /// `extra`, index or a hash in another spelling.
    #[error("malformed receipt: {0}")]
    Text(#[from] TextError),
    /// More hashes, or a longer `extra` or checkpoint, than a receipt may have.
    #[error("receipt is too long")]
    TooLong,
}

/// The inclusion of one leaf. The size of the tree stands in the checkpoint only.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Receipt {
    /// Index of the leaf.
    pub index: u64,
    /// Siblings on the way to the root, the leaf's first.
    pub path: Vec<Hash>,
    /// Bytes that nobody vouches for; ours are the leaf itself.
    pub extra: Option<Vec<u8>>,
    /// The signed checkpoint, verbatim, with all its signature lines.
    pub checkpoint: String,
}

impl Receipt {
    /// Reads a receipt.
    ///
    /// # Errors
    /// Every departure from the format, and the limits of this module.
    pub fn parse(receipt: &str) -> Result<Receipt, ReceiptError> {
        let rest = receipt.strip_prefix(HEADER).and_then(|rest| rest.strip_prefix('\n')).ok_or(ReceiptError::Header)?;
        let (mut line, mut rest) = next_line(rest)?;
        let mut extra = None;
        if let Some(base64) = line.strip_prefix("extra ") {
            if base64.len() > MAX_EXTRA.div_ceil(3) * 4 {
                return Err(ReceiptError::TooLong);
            }
            extra = Some(text::unb64(base64)?);
            (line, rest) = next_line(rest)?;
        }
        let index = text::decimal(line.strip_prefix("index ").ok_or(ReceiptError::Shape)?)?;
        let mut path = Vec::new();
        loop {
            (line, rest) = next_line(rest)?;
            if line.is_empty() {
                break;
            }
            if path.len() == MAX_PATH {
                return Err(ReceiptError::TooLong);
            }
            path.push(line.parse()?);
        }
        if rest.is_empty() {
            return Err(ReceiptError::Shape);
        }
        if rest.len() > MAX_NOTE {
            return Err(ReceiptError::TooLong);
        }
        Ok(Receipt { index, path, extra, checkpoint: rest.to_owned() })
    }

    /// The receipt as text.
    #[must_use]
    pub fn text(&self) -> String {
        let mut out = String::new();
        write_text(&mut out, self.index, &self.path, self.extra.as_deref(), &self.checkpoint);
        out
    }
}

/// Appends a receipt from borrowed parts, growing `out` once: answers write hundreds of them a batch.
pub fn write_text(out: &mut String, index: u64, path: &[Hash], extra: Option<&[u8]>, checkpoint: &str) {
    let extra_length = extra.map_or(0, |extra| extra.len().div_ceil(3) * 4 + "extra \n".len());
    // header and its newline, index line, 45 characters a hash, empty line
    out.reserve(HEADER.len() + 1 + extra_length + 28 + path.len() * 45 + 1 + checkpoint.len());
    out.push_str(HEADER);
    if let Some(extra) = extra {
        out.push_str("\nextra ");
        text::push_b64(out, extra);
    }
    // Writing into a String cannot fail.
    let _ = write!(out, "\nindex {index}\n");
    for hash in path {
        text::with_b64_32(hash.as_bytes(), |text| out.push_str(text));
        out.push('\n');
    }
    out.push('\n');
    out.push_str(checkpoint);
}

/// The inclusion of a run of leaves under one checkpoint, as JSON: `{"first","count","proof":[base64],"checkpoint"}`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RangeReceipt {
    /// Index of the first leaf.
    pub first: u64,
    /// Number of leaves.
    pub count: u64,
    /// Hashes of the maximal subtrees outside the run, depth first, left to right.
    pub proof: Vec<Hash>,
    /// The signed checkpoint, verbatim.
    pub checkpoint: String,
}

impl RangeReceipt {
    /// Refuses what no range receipt can have. Call it on everything that was read from outside.
    ///
    /// # Errors
    /// [`ReceiptError::TooLong`] above [`MAX_RANGE_PROOF`] or the size of a note, [`ReceiptError::Shape`] without leaves.
    pub fn check(&self) -> Result<(), ReceiptError> {
        if self.proof.len() > MAX_RANGE_PROOF || self.checkpoint.len() > MAX_NOTE {
            return Err(ReceiptError::TooLong);
        }
        let end = self.first.checked_add(self.count).ok_or(ReceiptError::Shape)?;
        if self.count == 0 || end >= text::DECIMAL_LIMIT { Err(ReceiptError::Shape) } else { Ok(()) }
    }
}

fn next_line(rest: &str) -> Result<(&str, &str), ReceiptError> {
    rest.split_once('\n').ok_or(ReceiptError::Shape)
}
