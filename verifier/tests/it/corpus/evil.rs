//! What must not verify: at least one input for every refusal, most of them with a reason of their own.

pub mod bundles;
mod cose;
mod records;
mod signed;

use std::collections::BTreeSet;

use ed25519_dalek::SigningKey;
use verifier::checkpoint::Checkpoint;
use verifier::hash::{EMPTY_ROOT, leaf_hash};
use verifier::receipt::{RangeReceipt, Receipt};
use verifier::record::Record;
use verifier::text::{b64, hex};
use verifier::verify::LogKey;

use super::log::ORIGIN;
use super::{Case, Log, OTHER};

pub fn cases() -> Vec<Case> {
    let log = Log::new();
    [
        texts(&log),
        paths(&log),
        leaves(&log),
        heads(&log),
        signed::signatures(&log),
        keys_of_readers(&log),
        jsons(&log),
        ranges(&log),
        cose::inclusions(&log),
        cose::consistencies(&log),
        kept(&log),
        records::cases(&log),
        signed::keys(&log),
        bundles::cases(),
    ]
    .concat()
}

/// The spelling of the text form.
fn texts(log: &Log) -> Vec<Case> {
    let good = log.receipt(4, 9).text();
    let hash = log.receipt(4, 9).path[0].to_string();
    let spelled = [
        ("another version", good.replace("proof@v1", "proof@v2")),
        ("carriage returns", good.replace('\n', "\r\n")),
        ("a byte order mark", format!("\u{feff}{good}")),
        ("a space behind the header", good.replacen('\n', " \n", 1)),
        ("no index line", good.replace("index 4\n", "")),
        ("two index lines", good.replace("index 4\n", "index 4\nindex 4\n")),
        ("an index with a leading zero", good.replace("index 4", "index 04")),
        ("an index with a sign", good.replace("index 4", "index +4")),
        ("an index of 2^63", good.replace("index 4", "index 9223372036854775808")),
        ("an index of 20 digits", good.replace("index 4", "index 99999999999999999999")),
        ("an index of other digits", good.replace("index 4", "index \u{664}")),
        ("a hash without padding", good.replace(&hash, first(&hash, 43))),
        ("a hash of 31 bytes", good.replace(&hash, &b64(&[7; 31]))),
        ("a hash of 33 bytes", good.replace(&hash, &b64(&[7; 33]))),
        ("a hash with a bit behind its end", good.replace(&hash, &format!("{}=", spoil_last(first(&hash, 43))))),
        ("a hash in the URL alphabet", good.replace(&hash, &format!("_{}", hash.get(1..).unwrap()))),
        ("a hash in hex", good.replace(&hash, &hex(&[7; 22]))),
        ("a space behind a hash", good.replace(&hash, &format!("{hash} "))),
        ("extra without padding", good.replacen("extra ", "extra A", 1)),
        ("extra twice", good.replacen("index", "extra AA==\nindex", 1)),
        ("extra behind the index", good.replacen("index 4\n", "index 4\nextra AA==\n", 1)),
        ("no checkpoint", first(&good, good.find("\n\n").unwrap() + 2).to_owned()),
        ("no empty line", good.replacen("\n\n", "\n", 1)),
        ("64 hashes", Receipt { path: vec![leaf_hash(b"x"); 64], ..log.receipt(4, 9) }.text()),
        ("nothing but the header", "c2sp.org/tlog-proof@v1\n".to_owned()),
        ("nothing", String::new()),
        ("some text", "hello\n".to_owned()),
    ];
    let mut cases: Vec<Case> =
        spelled.into_iter().map(|(name, text)| log.evidence(format!("text receipt with {name}"), text)).collect();
    cases.push(log.evidence("text receipt that is not UTF-8", [good.as_bytes(), b"\xff"].concat()));
    let ends: BTreeSet<usize> = good.match_indices('\n').flat_map(|(at, _)| [at, at + 1]).collect();
    let cut = ends.iter().filter(|end| **end < good.len());
    cases.extend(cut.map(|end| log.evidence(format!("text receipt cut at byte {end}"), &good.as_bytes()[..*end])));
    cases
}

fn first(text: &str, length: usize) -> &str {
    text.get(..length).unwrap()
}

/// Sets the lowest of the unused bits.
fn spoil_last(digits: &str) -> String {
    const ALPHABET: &str = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let (head, last) = digits.split_at(digits.len() - 1);
    let value = ALPHABET.find(last).unwrap() | 1;
    format!("{head}{}", ALPHABET.get(value..=value).unwrap())
}

/// Paths that lead elsewhere.
fn paths(log: &Log) -> Vec<Case> {
    let good = log.receipt(4, 9);
    let with = |name: &str, change: fn(&mut Receipt)| {
        let mut receipt = good.clone();
        change(&mut receipt);
        log.evidence(format!("path with {name}"), receipt.text())
    };
    vec![
        with("two hashes swapped", |r| r.path.swap(0, 1)),
        with("a hash missing", |r| {
            r.path.pop();
        }),
        with("the first hash missing", |r| {
            r.path.remove(0);
        }),
        with("a hash too many", |r| r.path.push(leaf_hash(b"x"))),
        with("a hash twice", |r| r.path.push(r.path[0])),
        with("no hash", |r| r.path.clear()),
        with("a zero hash", |r| r.path[1].0 = [0; 32]),
        with("one bit flipped", |r| r.path[2].0[31] ^= 1),
        with("the next index", |r| r.index = 5),
        with("the first index of another turn", |r| r.index = 0),
        with("an index at the size", |r| r.index = 9),
        with("an index beyond the size", |r| r.index = 10),
        with("the largest index", |r| r.index = u64::MAX >> 1),
        with("another leaf", |r| r.extra = Some(Log::new().leaf(5))),
        with("the root of another size", |r| r.checkpoint = Log::new().head(10)),
        with("the root of another history", |r| r.checkpoint = Log::forked().head(9)),
        // The node above two leaves is no leaf: 0x01 and the two hashes are no record.
        with("a node for a leaf", |r| r.extra = Some([&[1][..], &[7; 64]].concat())),
        with("the head of the empty log", |r| r.checkpoint = Log::new().head(0)),
    ]
}

/// Leaves that are no records, too few or too many.
fn leaves(log: &Log) -> Vec<Case> {
    let good = log.receipt(4, 9);
    let bare = Receipt { extra: None, ..good.clone() };
    let with = |name: &str, leaf: Vec<u8>| {
        log.evidence(format!("receipt whose leaf is {name}"), Receipt { extra: Some(leaf), ..good.clone() }.text())
    };
    vec![
        with("empty", vec![]),
        with("text", b"hello".to_vec()),
        with("followed by a byte", [log.leaf(4), vec![0]].concat()),
        with("cut by a byte", log.leaf(4)[..log.leaf(4).len() - 1].to_vec()),
        log.evidence("receipt without a leaf", bare.text()),
        log.evidence("JSON receipt without a leaf", bare.to_json().unwrap()),
        Case { leaves: log.run(4, 2), ..log.evidence("receipt with two leaves beside it", bare.text()) },
        Case { leaves: log.run(5, 1), ..log.evidence("receipt with another leaf beside it", good.text()) },
        Case { leaves: vec![vec![]], ..log.evidence("receipt with an empty leaf beside it", good.text()) },
    ]
}

/// Heads that are not checkpoints of the log.
fn heads(log: &Log) -> Vec<Case> {
    let text = Checkpoint { origin: ORIGIN.into(), size: 9, root: log.root(9) }.text();
    let root = log.root(9).to_string();
    let signed = |name: &str, text: String| (name.to_owned(), log.sign(&text));
    let (head, line) = (log.head(9), log.line(&text));
    let texts = [
        signed("a size with a leading zero", text.replace("\n9\n", "\n09\n")),
        signed("a size of 2^63", text.replace("\n9\n", "\n9223372036854775808\n")),
        signed("an empty size", text.replace("\n9\n", "\n\n")),
        signed("another size", text.replace("\n9\n", "\n20\n")),
        signed("a root without padding", text.replace(&root, first(&root, 43))),
        signed("a root of 31 bytes", text.replace(&root, &b64(&[7; 31]))),
        signed("another root", text.replace(&root, &leaf_hash(b"x").to_string())),
        signed("the empty root", text.replace(&root, &EMPTY_ROOT.to_string())),
        signed("size 0 and another root", text.replace("\n9\n", "\n0\n")),
        signed("no root", format!("{ORIGIN}\n9\n")),
        signed("an empty origin", text.replace(ORIGIN, "")),
        signed("an origin of 256 bytes", text.replace(ORIGIN, &"o".repeat(256))),
        signed("an empty extension line", format!("{text}\nx\n")),
        signed("another origin under the same key", text.replace(ORIGIN, OTHER)),
        ("no signature".to_owned(), text.clone()),
        ("no signature line".to_owned(), format!("{text}\n\n")),
        ("no last newline".to_owned(), head.trim_end().to_owned()),
        ("a control character".to_owned(), head.replace(ORIGIN, "ledger\u{1}")),
        ("a tab".to_owned(), head.replacen('\n', "\t\n", 1)),
        ("a hyphen for the dash".to_owned(), head.replace('\u{2014}', "-")),
        ("two spaces in the signature line".to_owned(), head.replace('\u{2014}', "\u{2014} ")),
        ("a signature of four bytes".to_owned(), format!("{text}\n\u{2014} {ORIGIN} {}\n", b64(&[1; 4]))),
        ("a plus in a name".to_owned(), format!("{text}\n\u{2014} a+b AAAAAAA=\n{line}")),
        ("a space of another kind in a name".to_owned(), format!("{text}\n\u{2014} a\u{85}b AAAAAAA=\n{line}")),
        ("101 lines".to_owned(), format!("{text}\n{}", line.repeat(101))),
        ("a line of 16 KiB".to_owned(), format!("{text}\n\u{2014} {} AAAAAAA=\n{line}", "n".repeat(16_384))),
        ("a line behind the signatures".to_owned(), format!("{head}x\n")),
        ("an empty line behind the signatures".to_owned(), format!("{head}\n")),
    ];
    let receipt = |checkpoint: &str| Receipt { checkpoint: checkpoint.to_owned(), ..log.receipt(4, 9) }.text();
    let mut cases = Vec::new();
    for (name, head) in &texts {
        cases.push(log.evidence(format!("receipt under a head with {name}"), receipt(head)));
    }
    // By itself a head with another size or root is as good as any: what is wrong with it, only a proof shows.
    let by_itself =
        texts.iter().filter(|(name, _)| !["another size", "another root", "the empty root"].contains(&name.as_str()));
    cases.extend(by_itself.map(|(name, head)| log.evidence(format!("head with {name}"), head.as_str())));
    cases
}

/// Keys that do not believe it.
fn keys_of_readers(log: &Log) -> Vec<Case> {
    let stranger = Log { signing: SigningKey::from_bytes(&[2; 32]), ..log.clone() };
    let time = Log::new().receipt(4, 9);
    let recorded = Record::decode(&time.extra.clone().unwrap()).unwrap().recorded_at();
    let key = log.key();
    let limits: [(&str, Vec<LogKey>); 7] = [
        ("no key", vec![]),
        ("another key", vec![stranger.key()]),
        ("the key under another name", vec![Log { origin: OTHER, ..log.clone() }.key()]),
        ("a key that was retired before", vec![LogKey { not_after: Some(recorded), ..key.clone() }]),
        ("a key that begins later", vec![LogKey { not_before: Some(recorded + 1), ..key.clone() }]),
        ("a key of a smaller log", vec![LogKey { max_size: Some(8), ..key.clone() }]),
        ("the retired key before the same one", vec![LogKey { max_size: Some(8), ..key.clone() }, key]),
    ];
    let mut cases = Vec::new();
    for (name, keys) in limits {
        cases.push(Case { keys: keys.clone(), ..log.evidence(format!("receipt under {name}"), time.text()) });
        if !name.contains("that") {
            cases.push(Case { keys, ..log.evidence(format!("head under {name}"), log.head(9)) });
        }
    }
    cases
}

/// The spelling of the JSON form.
fn jsons(log: &Log) -> Vec<Case> {
    let good = log.receipt(4, 9).to_json().unwrap();
    let leaf = leaf_hash(&log.leaf(4)).to_string();
    let index = |with: &str| good.replace("\"index\":4", with);
    [
        ("another size", good.replace("\"size\":9", "\"size\":10")),
        ("another leaf hash", good.replace(&leaf, &leaf_hash(b"x").to_string())),
        ("no leaf hash", good.replace(&format!("\"leaf\":\"{leaf}\","), "")),
        ("a leaf hash of 31 bytes", good.replace(&leaf, &b64(&[7; 31]))),
        ("an index of 2^63", index("\"index\":9223372036854775808")),
        ("an index of 2^64", index("\"index\":18446744073709551616")),
        ("a fraction", index("\"index\":4.0")),
        ("an exponent", index("\"index\":4e0")),
        ("a negative zero", index("\"index\":-0")),
        ("a leading zero", index("\"index\":04")),
        ("an index in quotes", index("\"index\":\"4\"")),
        ("an index of null", index("\"index\":null")),
        ("an index twice", index("\"index\":4,\"index\":4")),
        ("an index twice, once escaped", index("\"index\":4,\"\\u0069ndex\":4")),
        ("another field", index("\"index\":4,\"more\":0")),
        ("a field of objects", index("\"index\":4,\"__proto__\":{}")),
        ("no index", index("\"x\":4")),
        ("a comma too many", good.replace("]", ",]")),
        ("a comma at the end", good.replace('}', ",}")),
        ("half of a surrogate pair", good.replace("ledger", "\\ud800")),
        ("a newline in a string", good.replace("\\n9", "\n9")),
        ("an escape that is none", good.replace("ledger", "\\x6cedger")),
        ("a text behind it", format!("{good}x")),
        ("a second receipt behind it", format!("{good}{good}")),
        ("a byte order mark", format!("\u{feff}{good}")),
        ("an array around it", format!("[{good}]")),
        ("a form feed before it", format!("\u{c}{good}")),
        ("its end missing", first(&good, good.len() - 1).to_owned()),
        ("extra that is not base64", good.replace("\"extra\":\"", "\"extra\":\"-")),
        ("64 hashes", good.replace("\"path\":[", &format!("\"path\":[{}", format!("\"{leaf}\",").repeat(63)))),
        ("no path", good.replace("\"path\"", "\"way\"")),
        ("a checkpoint that is none", good.replace("\\n9\\n", "\\nnine\\n")),
        ("fields of both forms", index("\"index\":4,\"first\":4")),
        ("nothing in it", "{}".to_owned()),
        ("depth", format!("{{\"index\":{}{}}}", "[".repeat(100), "]".repeat(100))),
    ]
    .into_iter()
    .map(|(name, json)| log.evidence(format!("JSON receipt with {name}"), json))
    .collect()
}

/// Runs of leaves.
fn ranges(log: &Log) -> Vec<Case> {
    let good = log.range(2, 4, 9);
    let run = log.run(2, 4);
    let with = |name: &str, change: &dyn Fn(&mut RangeReceipt, &mut Vec<Vec<u8>>)| {
        let (mut receipt, mut leaves) = (good.clone(), run.clone());
        change(&mut receipt, &mut leaves);
        Case { leaves, ..log.evidence(format!("range with {name}"), receipt.to_json()) }
    };
    let key = LogKey { max_size: Some(8), ..log.key() };
    vec![
        with("no leaves beside it", &|_, leaves| leaves.clear()),
        with("a leaf missing", &|_, leaves| drop(leaves.pop())),
        with("a leaf too many", &|_, leaves| leaves.push(Log::new().leaf(6))),
        with("two leaves swapped", &|_, leaves| leaves.swap(0, 1)),
        with("one leaf twice", &|_, leaves| leaves[1] = leaves[0].clone()),
        with("a leaf that is no record", &|_, leaves| leaves[3].push(0)),
        with("a hash missing", &|range, _| {
            range.proof.pop();
        }),
        with("a hash too many", &|range, _| range.proof.push(leaf_hash(b"x"))),
        with("two hashes swapped", &|range, _| range.proof.swap(0, 1)),
        with("another first index", &|range, _| range.first = 3),
        with("an end beyond the size", &|range, _| range.first = 7),
        with("a count of 0", &|range, leaves| (range.count, *leaves) = (0, vec![])),
        with("a sum of 2^63", &|range, _| range.first = (1 << 63) - 4),
        with("a sum beyond 2^64", &|range, _| range.first = u64::MAX),
        with("127 hashes", &|range, _| range.proof = vec![leaf_hash(b"x"); 127]),
        with("the head of another size", &|range, _| range.checkpoint = Log::new().head(10)),
        with("an unsigned head", &|range, _| range.checkpoint = range.checkpoint.replace("ledger", "other")),
        Case { keys: vec![], leaves: run.clone(), ..log.evidence("range under no key", good.to_json()) },
        Case { keys: vec![key], leaves: run, ..log.evidence("range under a key of a smaller log", good.to_json()) },
    ]
}

/// Beside a head that the reader kept.
fn kept(log: &Log) -> Vec<Case> {
    let fork = Log::forked();
    let other = Log { origin: OTHER, ..log.clone() };
    let receipt = log.receipt(4, 9).text();
    let with = |name: &str, kept: String| Case {
        kept: Some(kept),
        ..log.evidence(format!("receipt beside {name}"), receipt.clone())
    };
    let (range, leaves) = (log.range(2, 4, 9).to_json(), log.run(2, 4));
    vec![
        with("a kept head of the same size and another root", fork.head(9)),
        with("a kept head whose last leaf it is, with another root", fork.head(5)),
        with("a kept head that is none", "hello".into()),
        with("a kept head that nobody signed", log.head(9).replace("\n9\n", "\n5\n")),
        with("a kept head of a stranger", Log { signing: SigningKey::from_bytes(&[2; 32]), ..log.clone() }.head(9)),
        Case { keys: vec![log.key(), other.key()], ..with("a kept head of another log", other.head(9)) },
        Case { kept: Some(fork.head(9)), leaves, ..log.evidence("range beside a forked head", range) },
        Case { kept: Some(fork.head(9)), ..log.evidence("head beside a forked head", log.head(9)) },
    ]
}
