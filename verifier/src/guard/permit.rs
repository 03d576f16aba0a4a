//! A permit as it comes to an enforcement point: read, and not believed.

use super::Refusal;
use crate::json::Json;
use crate::receipt::Receipt;
use crate::text::unb64;

/// A permit as it came with the request: nothing in it is believed yet.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Permit {
    /// The leaf's bytes.
    pub record: Vec<u8>,
    /// The salt of the request's commitment.
    pub salt: [u8; 16],
    /// Where the leaf stands in the log.
    pub receipt: Receipt,
}

impl Permit {
    /// An answer has at most so many bytes.
    pub const MAX_ANSWER: usize = 1024 * 1024;

    /// Takes `salt`, `receipt` and `record` (or the leaf that the receipt carries) from a native answer or from AuthZEN's `context.permit`.
    /// Other fields are not looked at: what they say is not signed.
    pub fn from_answer(json: &[u8]) -> Result<Self, Refusal> {
        if json.len() > Self::MAX_ANSWER {
            return Err(Refusal::Malformed("answer is too long"));
        }
        let answer = Json::parse(json).map_err(|_| Refusal::Malformed("answer is not JSON"))?;
        let text = |key| match answer.get(key) {
            Some(Json::String(text)) => Some(text),
            _ => None,
        };
        let receipt = text("receipt").ok_or(Refusal::Malformed("answer has no `receipt`"))?;
        let receipt = Receipt::parse(receipt).map_err(|_| Refusal::Malformed("`receipt` is not a tlog-proof"))?;
        let salt = text("salt").and_then(|salt| unb64(salt).ok()).and_then(|salt| salt.try_into().ok());
        let salt = salt.ok_or(Refusal::Malformed("`salt` is not 16 bytes in base64"))?;
        let record = match text("record") {
            Some(record) => unb64(record).ok(),
            None => receipt.extra.clone(),
        };
        let record = record.ok_or(Refusal::Malformed("answer has no `record`"))?;
        Ok(Self { record, salt, receipt })
    }
}
