//! Why: the native answer is what a caller keeps as its permit; it is written once, straight into one buffer.
//!
//! Guarantees: exactly the fields of DESIGN §7.1, in its order, and of them only those that speak of identity where that failed; proofs are those of the head that made the records
//! durable; `decision: true` is written only for a [`Place`] that is allowed.
//! Does not: decide. Proofs are made here, by the HTTP worker, not by the sequencer.

mod hints;

use std::fmt::Write;
use std::sync::{Arc, Mutex, PoisonError};

use ledger::{Head, Near, ReadError, Reader};
use verifier::decision::{Class, Classes, Condition, Decision, Detail, Named, Outcome, Shadow};
use verifier::hash::{Hash, leaf_hash};
use verifier::receipt;
use verifier::record::Record;
use verifier::text::{push_b64, rfc3339};

use crate::present::Present;
use crate::proposal::{Durable, Item, Place};
use crate::worker::pause;

/// A decision's leaf, roughly: its buffer is reserved once.
const LEAF_BYTES: usize = 512;

/// Which receipt an answer carries.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Receipts {
    /// One for each record.
    #[default]
    Each,
    /// One for all records of the body, which stand in a row.
    Range,
    /// None: the caller fetches it later.
    None,
}

/// How an answer is written.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Style {
    /// Which receipt.
    pub receipts: Receipts,
    /// Without `record`, `detail` and `conditions`.
    pub brief: bool,
}

/// One decision as it is shown.
struct Shown<'a> {
    index: u64,
    decision: &'a Decision,
    leaf: &'a [u8],
    present: Present,
    codes: &'a [(Condition, &'a str)],
    policies: &'a [String],
    request_salt: &'a [u8; 16],
    detail_salt: &'a [u8; 16],
    detail: &'a [u8],
    item: Option<&'a Item>,
}

/// Writes answers over one log.
#[derive(Debug)]
pub struct Writer<'a> {
    /// The log.
    pub reader: &'a Reader,
    /// How.
    pub style: Style,
    /// What is used again for each answer of a worker.
    pub desk: &'a Desk,
}

/// What one worker writes its answers with: buffers, and what the last proof shares with its neighbours.
#[derive(Debug, Default)]
pub struct Desk(Mutex<Scratch>);

impl Desk {
    /// Takes what is there; whoever comes meanwhile begins with nothing.
    fn take(&self) -> Scratch {
        std::mem::take(&mut self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }

    fn give(&self, scratch: Scratch) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = scratch;
    }
}

impl Writer<'_> {
    /// The answers to a body's items, `separator` between them; [`Writer::range`] has the receipt for all.
    ///
    /// # Errors
    /// [`ReadError`] where a proof or an earlier record cannot be read.
    pub async fn items(&self, out: &mut String, durable: &Durable, separator: &str) -> Result<(), ReadError> {
        let mut scratch = self.desk.take();
        for (n, (item, place)) in durable.items().iter().enumerate() {
            if n > 0 {
                out.push_str(separator);
                pause(n).await;
            }
            self.place(out, item, place, durable.head(), &mut scratch)?;
        }
        self.desk.give(scratch);
        Ok(())
    }

    /// The answer to the `n`th item alone.
    ///
    /// # Errors
    /// As [`Writer::items`].
    pub fn item(&self, out: &mut String, durable: &Durable, n: usize) -> Result<(), ReadError> {
        match durable.items().get(n) {
            Some((item, place)) => {
                let mut scratch = self.desk.take();
                self.place(out, item, place, durable.head(), &mut scratch)?;
                self.desk.give(scratch);
                Ok(())
            }
            None => Ok(()),
        }
    }

    fn place(
        &self,
        out: &mut String,
        item: &Item,
        place: &Place,
        head: &Head,
        scratch: &mut Scratch,
    ) -> Result<(), ReadError> {
        match place {
            Place::New { index, record } => {
                let mut leaf = std::mem::take(&mut scratch.leaf);
                leaf.clear();
                leaf.reserve(LEAF_BYTES);
                // The one encoding of the record that was just made durable.
                record.encode_into(&mut leaf);
                let Record::Decision(decision) = record else { return Err(ReadError::NoPrivate { index: *index }) };
                let codes: Vec<_> = item.verdict.codes().map(|(condition, code)| (condition, code.name())).collect();
                let policies = &item.verdict.policies;
                let shown = Shown {
                    index: *index,
                    decision,
                    leaf: &leaf,
                    present: if place.is_allowed() { Present::Allowed } else { Present::Denied },
                    codes: &codes,
                    policies: policies.get(..Named::SHOWN).unwrap_or(policies),
                    request_salt: &item.request_salt,
                    detail_salt: &item.detail.salt,
                    detail: &item.detail.bytes,
                    item: Some(item),
                };
                self.write(out, &shown, (self.style.receipts == Receipts::Each).then_some(head), scratch)?;
                scratch.leaf = leaf;
                Ok(())
            }
            Place::Again { index, present } => {
                // It stands outside the body's range, so it brings its own receipt there too.
                let head = (self.style.receipts != Receipts::None).then_some(head);
                self.recorded(out, *index, *present, head)
            }
        }
    }

    /// The answer for a record of the log, with a proof under `head` if there is one.
    ///
    /// # Errors
    /// [`ReadError`]; also where the record is no decision or its parts are gone.
    pub fn recorded(
        &self,
        out: &mut String,
        index: u64,
        present: Present,
        head: Option<&Head>,
    ) -> Result<(), ReadError> {
        let leaf = self.reader.entry(index)?;
        let private = self.reader.private(index)?;
        let (Ok(Record::Decision(decision)), Ok(detail)) = (Record::decode(&leaf), Detail::decode(&private.detail))
        else {
            return Err(ReadError::NoPrivate { index });
        };
        let codes: Vec<_> = detail.codes.iter().map(|(condition, code)| (*condition, code.as_str())).collect();
        let shown = Shown {
            index,
            decision: &decision,
            leaf: &leaf,
            present,
            codes: &codes,
            policies: detail.policies.as_ref().map_or(&[], |named| &named.shown),
            request_salt: &private.request_salt,
            detail_salt: &private.detail_salt,
            detail: &private.detail,
            item: None,
        };
        self.write(out, &shown, head, &mut Scratch::default())
    }

    fn write(
        &self,
        out: &mut String,
        shown: &Shown<'_>,
        head: Option<&Head>,
        scratch: &mut Scratch,
    ) -> Result<(), ReadError> {
        let Shown { decision, .. } = shown;
        // A caller whose identity failed learns that, and nothing of policies and counters (threat 34).
        let known = matches!(decision.classes.of(Condition::Identity), Class::Pass | Class::NotRequired);
        let told: Vec<_> = shown.codes.iter().filter(|(of, _)| known || *of == Condition::Identity).copied().collect();
        let codes = told.as_slice();
        out.push_str(if shown.present == Present::Allowed {
            r#"{"decision":true,"permit":""#
        } else {
            r#"{"decision":false,"permit":""#
        });
        push_hex(out, &decision.permit.0);
        out.push_str(r#"","index":"#);
        push_number(out, shown.index);
        out.push_str(r#","reasons":["#);
        let void = match shown.present {
            Present::Void(code) => Some(code),
            Present::Allowed | Present::Denied => None,
        };
        push_list(out, codes.iter().map(|(_, code)| *code).chain(void));
        out.push(']');
        if !self.style.brief {
            out.push_str(r#","conditions":{"#);
            push_conditions(out, &decision.classes, codes, known);
            out.push('}');
            if let Some(shadow) = decision.shadow.filter(|_| known) {
                push_shadow(out, &shadow);
            }
        }
        out.push_str(r#","policies":["#);
        push_list(out, shown.policies.iter().map(String::as_str).filter(|_| known));
        out.push(']');
        if let Some(item) = shown.item.filter(|_| known) {
            hints::approval(out, item);
            hints::evidence(out, &item.verdict.demands.wanted);
        }
        out.push_str(r#","expires_at":"#);
        match decision.grant {
            Some(grant) => {
                out.push('"');
                out.push_str(&rfc3339(grant.expires_at));
                out.push('"');
            }
            None => out.push_str("null"),
        }
        out.push_str(r#","leaf":""#);
        let leaf = leaf_hash(shown.leaf);
        push_b64(out, &leaf.0);
        out.push_str(r#"","salt":""#);
        push_b64(out, shown.request_salt);
        if !self.style.brief {
            out.push_str(r#"","record":""#);
            push_b64(out, shown.leaf);
            out.push('"');
            if known {
                out.push_str(r#","detail":{"salt":""#);
                push_b64(out, shown.detail_salt);
                out.push_str(r#"","bytes":""#);
                push_b64(out, shown.detail);
                out.push_str(r#""}"#);
            }
        } else {
            out.push('"');
        }
        if let Some(head) = head {
            // Checked under the head that goes with it: without evidence that holds there is no answer.
            let path = self.reader.proved_near(&leaf, shown.index, head, &mut scratch.near)?;
            scratch.receipt.clear();
            // With the leaf in `extra`, as the public API gives it: the text alone, saved to a file, can be verified.
            receipt::write_text(&mut scratch.receipt, shown.index, &path, Some(shown.leaf), &head.note);
            out.push_str(r#","receipt":"#);
            push_string(out, &scratch.receipt);
        }
        out.push('}');
        Ok(())
    }

    /// One receipt for the records that a body has made, which stand in a row; `null` where it made none.
    ///
    /// # Errors
    /// [`ReadError`] where the proof cannot be read.
    pub fn range(&self, out: &mut String, durable: &Durable) -> Result<(), ReadError> {
        let mut made = durable.items().iter().filter_map(|(_, place)| match place {
            Place::New { index, .. } => Some(*index),
            Place::Again { .. } => None,
        });
        let Some(first) = made.next() else {
            out.push_str("null");
            return Ok(());
        };
        let count = 1 + made.count() as u64;
        let head: &Arc<Head> = durable.head();
        let proof: Vec<Hash> = self.reader.proved_range(first, count, head)?;
        out.push_str(r#"{"first":"#);
        push_number(out, first);
        out.push_str(r#","count":"#);
        push_number(out, count);
        out.push_str(r#","proof":["#);
        for (n, hash) in proof.iter().enumerate() {
            out.push_str(if n > 0 { r#",""# } else { r#"""# });
            push_b64(out, &hash.0);
            out.push('"');
        }
        out.push_str(r#"],"checkpoint":"#);
        push_string(out, &head.note);
        out.push('}');
        Ok(())
    }
}

/// What is used again for each item.
#[derive(Debug, Default)]
struct Scratch {
    leaf: Vec<u8>,
    receipt: String,
    near: Near,
}

fn push_conditions(out: &mut String, classes: &Classes, codes: &[(Condition, &str)], all: bool) {
    let told = classes.iter().filter(|(condition, _)| all || *condition == Condition::Identity);
    for (n, (condition, class)) in told.enumerate() {
        out.push_str(if n == 0 { "\"" } else { ",\"" });
        out.push_str(condition.name());
        out.push_str("\":\"");
        out.push_str(class.name());
        if matches!(class, Class::Fail | Class::Unknown)
            && let Some((_, code)) = codes.iter().find(|(of, _)| *of == condition)
        {
            out.push(':');
            out.push_str(code);
        }
        out.push('"');
    }
}

/// What the epoch that is tried would have decided, as the leaf has it. It lets nothing start.
fn push_shadow(out: &mut String, shadow: &Shadow) {
    out.push_str(r#","shadow":{"epoch":"#);
    push_number(out, shadow.epoch);
    out.push_str(r#","decision":"#);
    out.push_str(if shadow.outcome == Outcome::Allow { "true" } else { "false" });
    out.push_str(r#","conditions":{"#);
    push_conditions(out, &shadow.classes, &[], true);
    out.push_str("}}");
}

fn push_list<'a>(out: &mut String, items: impl Iterator<Item = &'a str>) {
    for (n, item) in items.enumerate() {
        if n > 0 {
            out.push(',');
        }
        push_string(out, item);
    }
}

/// A JSON string (RFC 8259 §7).
pub(crate) fn push_string(out: &mut String, text: &str) {
    out.push('"');
    let mut rest = text;
    while let Some(at) = first_special(rest.as_bytes()) {
        let (plain, special) = rest.split_at_checked(at).unwrap_or((rest, ""));
        out.push_str(plain);
        let mut chars = special.chars();
        match chars.next() {
            Some('\n') => out.push_str("\\n"),
            Some(c @ ('"' | '\\')) => {
                out.push('\\');
                out.push(c);
            }
            Some(c) => {
                // Writing into a string cannot fail.
                let _ = write!(out, "\\u{:04x}", u32::from(c));
            }
            None => {}
        }
        rest = chars.as_str();
    }
    out.push_str(rest);
    out.push('"');
}

/// Where the first byte is that a JSON string cannot hold as it is. By blocks, which the vector unit looks at as a whole: receipts are long.
fn first_special(bytes: &[u8]) -> Option<usize> {
    let special = |b: &u8| *b < 0x20 || *b == b'"' || *b == b'\\';
    let (blocks, _) = bytes.as_chunks::<32>();
    let plain = blocks.iter().take_while(|block| !block.iter().fold(false, |any, b| any | special(b))).count() * 32;
    bytes.get(plain..)?.iter().position(special).map(|at| plain + at)
}

fn push_number(out: &mut String, number: u64) {
    // Writing into a string cannot fail.
    let _ = write!(out, "{number}");
}

fn push_hex(out: &mut String, bytes: &[u8]) {
    const DIGITS: [char; 16] = ['0', '1', '2', '3', '4', '5', '6', '7', '8', '9', 'a', 'b', 'c', 'd', 'e', 'f'];
    let digit = |nibble: u8| DIGITS.get(usize::from(nibble)).copied().unwrap_or('0');
    out.extend(bytes.iter().flat_map(|byte| [digit(byte >> 4), digit(byte & 15)]));
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_string_is_written_as_serde_json_reads_it() {
        for text in ["", "plain", "a\"b\\c\nd\te\u{1}", "— é 😀", "\n\n", "ends with \\"] {
            let mut out = String::new();
            push_string(&mut out, text);
            assert_eq!(serde_json::from_str::<String>(&out).unwrap(), text);
        }
    }

    #[test]
    fn a_permit_id_is_written_as_it_displays() {
        let permit = verifier::decision::PermitId([0, 1, 0x9a, 0xff, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15]);
        let mut out = String::new();
        push_hex(&mut out, &permit.0);
        assert_eq!(out, permit.to_string());
    }
}
