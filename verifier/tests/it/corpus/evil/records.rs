//! Bytes that are no records.

use verifier::text::unhex;

use crate::corpus::{Case, Kind, Log};

/// Leaves that are not the one encoding of a known kind.
pub fn cases(log: &Log) -> Vec<Case> {
    let mut cases = Vec::new();
    for (index, leaf) in log.leaves.iter().enumerate() {
        let cut = |at: usize| Case::new(format!("record {index} cut at {at}"), Kind::Record, &leaf[..at]);
        cases.extend((0..leaf.len()).step_by(11).map(cut));
        let more = [leaf.as_slice(), &[0]].concat();
        cases.push(Case::new(format!("record {index} with a byte behind it"), Kind::Record, more));
        // One pair more than the map says, and one fewer.
        for (name, head) in [("more", leaf[0] + 1), ("fewer", leaf[0] - 1)] {
            let bytes = [&[head], &leaf[1..]].concat();
            cases.push(Case::new(format!("record {index} with one pair {name}"), Kind::Record, bytes));
        }
    }
    // Of a `recovery`: version, kind, time, size, cause.
    for (name, hex) in [
        ("another version", "a5000201 0e 0200 0300 046178"),
        ("kind 0", "a5000101000200030004 6178"),
        ("kind 16", "a50001011002000300046178"),
        ("a kind of 2^63", "a50001011b8000000000000000 0200 0300 046178"),
        ("a text for a time", "a50001010e02617803000461 78"),
        ("a time in a longer form", "a50001010e02180103000461 78"),
        ("keys in another order", "a50001010e02000461780300"),
        ("a key twice", "a50001010e0200030003000461 78"),
        ("another key", "a50001010e02000300056178"),
        ("a key that is a text", "a50001010e02000300617 8 6178"),
        ("a text that is not UTF-8", "a50001010e0200030004 61ff"),
        ("a text of half a surrogate pair", "a50001010e0200030004 63eda080"),
        ("an overlong text", "a50001010e0200030004 62c0af"),
        ("a text without a length", "a50001010e0200030004 7f6178ff"),
        ("a float for a size", "a50001010e0200 03f93c00 046178"),
        ("an array for a map", "8500010203 04"),
        ("a tag around it", "c1a50001010e02000300046178"),
    ] {
        let bytes = unhex(&hex.replace(' ', "")).unwrap();
        cases.push(Case::new(format!("record with {name}"), Kind::Record, bytes));
    }
    let long = [unhex("a50001010e02000300047901 00".replace(' ', "").as_str()).unwrap(), vec![b'x'; 256]].concat();
    cases.push(Case::new("record with a cause of 256 bytes", Kind::Record, long));
    cases
}
