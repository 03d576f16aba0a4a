//! Receipts as JSON: the same evidence as the text, for programs that have a JSON parser and no other.
//!
//! `{"index","size","leaf","path":[base64],"extra","checkpoint"}` and, for a run, `{"first","count","proof":[base64],"checkpoint"}`.
//! Guarantees: no field but these, none twice; `size` and `leaf`, which follow from the others, are checked against them.

use serde::{Deserialize, Serialize};

use super::{MAX_EXTRA, RangeReceipt, Receipt, ReceiptError};
use crate::checkpoint::Checkpoint;
use crate::hash::{Hash, leaf_hash};
use crate::note::{MAX_NOTE, Note};
use crate::proof::MAX_PATH;
use crate::text::{DECIMAL_LIMIT, b64, unb64};

/// Bytes of a receipt in JSON: every character of a checkpoint may be an escape of six, and the rest is below 100 KB.
pub const MAX_JSON: usize = 6 * MAX_NOTE + 2 * MAX_EXTRA;

/// The form of [`Receipt`].
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Form {
    index: u64,
    size: u64,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    leaf: Option<Hash>,
    path: Vec<Hash>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    extra: Option<String>,
    checkpoint: String,
}

impl Receipt {
    /// Reads a receipt in JSON.
    ///
    /// # Errors
    /// [`ReceiptError::Json`] for another shape, and the limits and spellings of the text form; [`ReceiptError::Shape`] if `size` or `leaf`
    /// is not that of checkpoint and `extra`.
    pub fn from_json(json: &[u8]) -> Result<Receipt, ReceiptError> {
        if json.len() > MAX_JSON {
            return Err(ReceiptError::TooLong);
        }
        let form: Form = serde_json::from_slice(json).map_err(|_| ReceiptError::Json)?;
        let extra = form.extra.as_deref().map(unb64).transpose()?;
        if form.path.len() > MAX_PATH
            || form.checkpoint.len() > MAX_NOTE
            || extra.as_ref().is_some_and(|extra| extra.len() > MAX_EXTRA)
        {
            return Err(ReceiptError::TooLong);
        }
        let receipt = Receipt { index: form.index, path: form.path, extra, checkpoint: form.checkpoint };
        let leaf = receipt.extra.as_deref().map(leaf_hash);
        if form.index >= DECIMAL_LIMIT || receipt.claimed_size() != Some(form.size) || form.leaf != leaf {
            return Err(ReceiptError::Shape);
        }
        Ok(receipt)
    }

    /// The receipt in JSON.
    ///
    /// # Errors
    /// [`ReceiptError::Shape`] if the checkpoint states no size.
    pub fn to_json(&self) -> Result<String, ReceiptError> {
        let form = Form {
            index: self.index,
            size: self.claimed_size().ok_or(ReceiptError::Shape)?,
            leaf: self.extra.as_deref().map(leaf_hash),
            path: self.path.clone(),
            extra: self.extra.as_deref().map(b64),
            checkpoint: self.checkpoint.clone(),
        };
        serde_json::to_string(&form).map_err(|_| ReceiptError::Json)
    }

    /// The size that the checkpoint states; nothing is verified.
    fn claimed_size(&self) -> Option<u64> {
        let note = Note::parse(&self.checkpoint).ok()?;
        Checkpoint::parse_text(&note.text).ok().map(|checkpoint| checkpoint.size)
    }
}

impl RangeReceipt {
    /// Reads a range receipt and checks its limits.
    ///
    /// # Errors
    /// [`ReceiptError::Json`] for another shape; as [`RangeReceipt::check`].
    pub fn from_json(json: &[u8]) -> Result<RangeReceipt, ReceiptError> {
        if json.len() > MAX_JSON {
            return Err(ReceiptError::TooLong);
        }
        let receipt: RangeReceipt = serde_json::from_slice(json).map_err(|_| ReceiptError::Json)?;
        receipt.check().map(|()| receipt)
    }

    /// The range receipt in JSON.
    #[must_use]
    pub fn to_json(&self) -> String {
        // Numbers and strings always serialise.
        serde_json::to_string(self).unwrap_or_default()
    }
}
