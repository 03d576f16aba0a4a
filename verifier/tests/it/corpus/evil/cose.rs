//! COSE receipts that must not verify.

use verifier::cose::{Consistency, CoseReceipt, Inclusion};
use verifier::text::{hex, unhex};
use verifier::verify::LogKey;

use crate::corpus::{Case, Log};

/// COSE receipts of one leaf.
pub fn inclusions(log: &Log) -> Vec<Case> {
    let good = CoseReceipt::Inclusion(log.inclusion(4, 9)).encode().unwrap();
    let with = |name: &str, input: Vec<u8>| Case {
        leaves: vec![log.leaf(4)],
        ..log.evidence(format!("COSE inclusion with {name}"), input)
    };
    let changed = |name: &str, change: fn(&mut Inclusion)| {
        let mut receipt = log.inclusion(4, 9);
        change(&mut receipt);
        with(name, CoseReceipt::Inclusion(receipt).encode().unwrap())
    };
    let swap = |from: &str, to: &str| {
        let text = hex(&good);
        assert_eq!(text.matches(from).count(), 1, "{from} stands once in {text}");
        unhex(&text.replace(from, to)).unwrap()
    };
    let mut cases = vec![
        with("another tag", swap("d28447", "d38447")),
        with("a tag in a longer form", swap("d28447", "d8128447")),
        with("five items", swap("d28447", "d28547")),
        with("an array without a length", swap("d28447", "d29f47")),
        with("another algorithm", swap("a2012719018b01", "a2012619018b01")),
        with("another data structure", swap("a2012719018b01", "a2012719018b02")),
        with("a critical header", swap("47a2012719018b01", "4aa301270281041901018b01")),
        with("the protected header in another order", swap("47a2012719018b01", "47a219018b010127")),
        with("another unprotected header", swap("a119018ca1", "a119018da1")),
        with("two unprotected headers", swap("a119018ca1", "a219018ca1")),
        with("a label in a longer form", swap("a119018ca1", "a11a0000018ca1")),
        with("a proof of another kind", swap("8ca12081", "8ca12281")),
        with("two proofs", swap("8ca12081", "8ca12082")),
        with("a payload", swap("f65840", "405840")),
        with("undefined for the payload", swap("f65840", "f75840")),
        with("a size in a longer form", swap("830904", "83180904")),
        with("a negative index", swap("830904", "830924")),
        with("a byte behind it", [good.clone(), vec![0]].concat()),
        with("white space before it", [vec![b' '], good.clone()].concat()),
        with("a length of 2^63", swap("f65840", "f65b8000000000000000")),
        changed("another index", |r| r.index = 5),
        changed("an index at the size", |r| r.index = 9),
        changed("two hashes swapped", |r| r.path.swap(0, 1)),
        changed("a hash missing", |r| {
            r.path.pop();
        }),
        changed("the signature of another size", |r| r.signature = Log::new().inclusion(4, 10).signature),
        changed("the signature of a head", |r| r.signature = [7; 64]),
        log.evidence("COSE inclusion without its leaf", good.clone()),
        Case { leaves: log.run(4, 2), ..log.evidence("COSE inclusion with two leaves", good.clone()) },
        Case { leaves: log.run(5, 1), ..log.evidence("COSE inclusion with another leaf", good.clone()) },
        Case { leaves: vec![b"x".to_vec()], ..log.evidence("COSE inclusion with no record", good.clone()) },
        Case { keys: vec![], ..with("no key", good.clone()) },
        Case {
            keys: vec![LogKey { max_size: Some(100), ..log.key() }],
            ..with("a key with a limit of size", good.clone())
        },
        Case { keys: vec![LogKey { not_after: Some(1), ..log.key() }], ..with("a key of another time", good.clone()) },
    ];
    // An empty path has no form; the numbers of a path that no tree has are beyond 2^63.
    let (head, tail) = ("d28447a2012719018b01a119018ca120815823", format!("f65840{}", "07".repeat(64)));
    for (name, proof) in [
        ("an empty path", "44830201 80".replace(' ', "")),
        ("a size of 2^63", format!("582d831b8000000000000000 04 81 5820{}", "07".repeat(32)).replace(' ', "")),
        ("a hash of 31 bytes", format!("5824830904815 81f{}", "07".repeat(31)).replace(' ', "")),
    ] {
        cases.push(with(name, unhex(&format!("{}{proof}{tail}", head.strip_suffix("5823").unwrap())).unwrap()));
    }
    cases.extend(
        (1..good.len()).step_by(7).map(|end| with(&format!("only its first {end} bytes"), good[..end].to_vec())),
    );
    cases
}

/// COSE receipts of two sizes.
pub fn consistencies(log: &Log) -> Vec<Case> {
    let good = CoseReceipt::Consistency(log.consistency(4, 9)).encode().unwrap();
    let (older, forged) = (log.head(4), log.head(4).replace("\n4\n", "\n5\n"));
    let with = |name: &str, kept: &str| Case {
        kept: Some(kept.to_owned()),
        ..log.evidence(format!("COSE consistency with {name}"), good.clone())
    };
    let mut short = log.consistency(5, 9);
    short.path.pop();
    let backwards = Consistency { from: 9, to: 4, ..log.consistency(4, 9) };
    let encode = |receipt| CoseReceipt::Consistency(receipt).encode().unwrap();
    vec![
        log.evidence("COSE consistency without an older head", good.clone()),
        with("an older head of another size", &log.head(5)),
        with("a forged older head", &forged),
        with("an older head that is none", "hello"),
        with("an older head of another history", &Log::forked().head(4)),
        Case { keys: vec![], ..with("no key", &older) },
        Case { keys: vec![LogKey { max_size: Some(100), ..log.key() }], ..with("a key with a limit of size", &older) },
        Case { kept: Some(log.head(5)), ..log.evidence("COSE consistency with a hash missing", encode(short)) },
        Case { kept: Some(log.head(9)), ..log.evidence("COSE consistency that goes back", encode(backwards)) },
        Case {
            kept: Some(Log::forked().head(4)),
            ..log.evidence("COSE consistency of a fork", encode(Log::new().consistency(4, 9)))
        },
    ]
}
