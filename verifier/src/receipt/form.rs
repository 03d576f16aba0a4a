//! Which form a receipt has, told by its first bytes.
//!
//! Guarantees: the forms begin differently (`c2sp.org/`, `{`, 0xd2), so what is read as one can never be read as another.

use super::{RangeReceipt, Receipt, ReceiptError};
use crate::cose::{CoseError, CoseReceipt};

/// First byte of the COSE form: tag 18, `COSE_Sign1`.
pub(crate) const COSE: u8 = 0xd2;

/// A receipt in one of its forms.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Form {
    /// One leaf, as tlog-proof text or JSON: both carry the same.
    Leaf(Receipt),
    /// A run of leaves, as JSON.
    Range(RangeReceipt),
    /// One leaf or two sizes, as COSE.
    Cose(CoseReceipt),
}

/// Why bytes are no receipt.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum FormError {
    /// As text or JSON.
    #[error("{0}")]
    Receipt(#[from] ReceiptError),
    /// As COSE.
    #[error("{0}")]
    Cose(#[from] CoseError),
}

impl Form {
    /// Reads a receipt of any form.
    ///
    /// # Errors
    /// Those of the form that the first bytes announce; bytes that announce none are no receipt.
    pub fn read(bytes: &[u8]) -> Result<Form, FormError> {
        match bytes.trim_ascii_start().first() {
            Some(&COSE) => Ok(Self::Cose(CoseReceipt::decode(bytes)?)),
            // The two JSON forms have no field in common but the checkpoint, which both need.
            Some(b'{') => match Receipt::from_json(bytes) {
                Ok(receipt) => Ok(Self::Leaf(receipt)),
                Err(ReceiptError::Json) => Ok(Self::Range(RangeReceipt::from_json(bytes)?)),
                Err(error) => Err(error.into()),
            },
            _ => {
                let text = str::from_utf8(bytes).map_err(|_| ReceiptError::Header)?;
                Ok(Self::Leaf(Receipt::parse(text)?))
            }
        }
    }
}
