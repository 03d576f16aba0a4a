//! The arithmetic behind a verdict, each hash in hex, so that it can be done again with `sha256sum` or on paper.
//!
//! Guarantees: every line is an equation that was computed here, by the same code that verifies. It judges nothing: whether the keys are
//! believed, `judge` says.

use std::fmt::Write;

use super::Beside;
use super::fork::ForkEvidence;
use super::judge::as_head;
use crate::bundle::{Bundle, MAGIC};
use crate::checkpoint::Checkpoint;
use crate::cose::{Consistency, CoseReceipt, Inclusion, signed_bytes};
use crate::hash::{Hash, leaf_hash, node_hash};
use crate::note::Note;
use crate::proof::{ProofError, root_of_consistency_by, root_of_inclusion_by, root_of_many_by, root_of_range_by};
use crate::receipt::Form;
use crate::text::{b64, hex};

/// The arithmetic of evidence of any form, as lines of text; where it cannot go on, it says why and ends.
#[must_use]
pub fn explain(evidence: &[u8], beside: Beside<'_>) -> String {
    let mut out = String::new();
    if evidence.starts_with(&MAGIC) {
        bundle(&mut out, evidence);
        return out;
    }
    if let Some(note) = as_head(evidence) {
        signed_head(&mut out, note);
        return out;
    }
    if let Ok(evidence) = ForkEvidence::read(evidence) {
        fork(&mut out, &evidence);
        return out;
    }
    match Form::read(evidence) {
        Ok(Form::Leaf(receipt)) => {
            if let Some(leaf) = beside.leaves.first().or(receipt.extra.as_ref()) {
                path(&mut out, leaf, receipt.index, stated_size(&receipt.checkpoint), &receipt.path);
            } else {
                line(&mut out, "the receipt carries no leaf: give it to see the way up");
            }
            signed_head(&mut out, &receipt.checkpoint);
        }
        Ok(Form::Range(receipt)) => {
            let hashes: Vec<Hash> = (beside.leaves.iter().zip(receipt.first..))
                .map(|(leaf, index)| stated_leaf(&mut out, &format!("leaf {index}"), leaf))
                .collect();
            let size = stated_size(&receipt.checkpoint).unwrap_or_default();
            let root = root_of_range_by(receipt.first, &hashes, size, &receipt.proof, &mut showing(&mut out));
            leads_to(&mut out, root);
            signed_head(&mut out, &receipt.checkpoint);
        }
        Ok(Form::Cose(CoseReceipt::Inclusion(receipt))) => inclusion(&mut out, &receipt, beside),
        Ok(Form::Cose(CoseReceipt::Consistency(receipt))) => consistency(&mut out, &receipt, beside),
        Err(error) => line(&mut out, &error.to_string()),
    }
    out
}

fn bundle(out: &mut String, evidence: &[u8]) {
    let bundle = match Bundle::decode(evidence) {
        Ok(bundle) => bundle,
        Err(error) => return line(out, &error.to_string()),
    };
    let indexes: Vec<u64> = bundle.entries.iter().map(|entry| entry.index).collect();
    let named = bundle.entries.iter().map(|entry| (format!("leaf {}", entry.index), entry.record));
    let hashes: Vec<Hash> = named.map(|(name, record)| stated_leaf(out, &name, record)).collect();
    let size = stated_size(bundle.checkpoint).unwrap_or_default();
    let root = root_of_many_by(&indexes, &hashes, size, &bundle.proof, &mut showing(out));
    leads_to(out, root);
    signed_head(out, bundle.checkpoint);
}

fn fork(out: &mut String, evidence: &ForkEvidence) {
    signed_head(out, &evidence.newer);
    if let (Some(root), Some(proof)) = (&evidence.root, &evidence.proof) {
        let size = |note: &str| stated_size(note).unwrap_or_default();
        let (from, to) = (size(&evidence.older), size(&evidence.newer));
        line(out, &format!("what the newer tree has at size {from}: {}", hex(&root.0)));
        line(out, "the proof gives that root first, then the newer one:");
        let newer = root_of_consistency_by(from, to, proof, root, &mut showing(out));
        leads_to(out, newer);
    }
    line(out, "and the same key signed:");
    signed_head(out, &evidence.older);
}

fn inclusion(out: &mut String, receipt: &Inclusion, beside: Beside<'_>) {
    let Some(leaf) = beside.leaves.first() else {
        return line(out, "a COSE receipt carries no leaf: give it to see the way up");
    };
    if let Some(root) = path(out, leaf, receipt.index, Some(receipt.size), &receipt.path) {
        signed_root(out, &root, &receipt.signature);
    }
}

fn consistency(out: &mut String, receipt: &Consistency, beside: Beside<'_>) {
    let Some(older) = beside.kept.and_then(stated) else {
        return line(out, "give the older checkpoint to see how it is continued");
    };
    line(out, &format!("older root      {}  of {} entries", hex(&older.root.0), older.size));
    line(out, "the proof gives the older root first, then the newer one:");
    let root = root_of_consistency_by(receipt.from, receipt.to, &receipt.path, &older.root, &mut showing(out));
    if let Some(root) = leads_to(out, root) {
        signed_root(out, &root, &receipt.signature);
    }
}

fn path(out: &mut String, leaf: &[u8], index: u64, size: Option<u64>, path: &[Hash]) -> Option<Hash> {
    let hash = stated_leaf(out, &format!("leaf {index}"), leaf);
    let root = root_of_inclusion_by(&hash, index, size.unwrap_or_default(), path, &mut showing(out));
    leads_to(out, root)
}

fn stated_leaf(out: &mut String, name: &str, leaf: &[u8]) -> Hash {
    let hash = leaf_hash(leaf);
    line(out, &format!("{name}: SHA-256(00 ‖ {})", hex(leaf)));
    line(out, &format!("  = {}", hex(&hash.0)));
    hash
}

/// Joins two nodes, and writes how.
fn showing(out: &mut String) -> impl FnMut(&Hash, &Hash) -> Hash + '_ {
    move |left, right| {
        let parent = node_hash(left, right);
        line(out, &format!("SHA-256(01 ‖ {} ‖ {})", hex(&left.0), hex(&right.0)));
        line(out, &format!("  = {}", hex(&parent.0)));
        parent
    }
}

fn leads_to(out: &mut String, root: Result<Hash, ProofError>) -> Option<Hash> {
    match root {
        Ok(root) => {
            line(out, &format!("computed root   {}", hex(&root.0)));
            Some(root)
        }
        Err(error) => {
            line(out, &format!("no root: {error}"));
            None
        }
    }
}

fn signed_head(out: &mut String, note: &str) {
    let (Some(head), Ok(parsed)) = (stated(note), Note::parse(note)) else {
        return line(out, "the head is not a checkpoint");
    };
    line(out, &format!("stated root     {}  of {} entries in {}", hex(&head.root.0), head.size, head.origin));
    line(out, &format!("signed bytes    {}", hex(parsed.text.as_bytes())));
    for signature in &parsed.signatures {
        line(
            out,
            &format!(
                "signature       {}  by {} (key id {})",
                hex(&signature.bytes),
                signature.name,
                hex(&signature.id)
            ),
        );
    }
}

fn signed_root(out: &mut String, root: &Hash, signature: &[u8]) {
    line(out, &format!("signed bytes    {}", hex(&signed_bytes(root))));
    line(out, &format!("signature       {}  (base64 {})", hex(signature), b64(signature)));
}

fn stated(note: &str) -> Option<Checkpoint> {
    Checkpoint::parse_text(&Note::parse(note).ok()?.text).ok()
}

fn stated_size(note: &str) -> Option<u64> {
    stated(note).map(|head| head.size)
}

fn line(out: &mut String, text: &str) {
    // Writing into a String cannot fail.
    let _ = writeln!(out, "{text}");
}
