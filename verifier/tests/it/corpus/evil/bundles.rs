//! Bundles that must not verify: every refusal that only bundles have, and the ladder's under them.

use ed25519_dalek::SigningKey;
use verifier::act::{Deed, Mode};
use verifier::bundle::{Bundle, Entry, MAX_CHOICE, MAX_ENTRIES, MAX_EPOCHS, Part};
use verifier::decision::commitment;
use verifier::epoch::digest;
use verifier::record::Record;
use verifier::verify::LogKey;

use super::super::desk::{
    ALLOWED, COMMITTED, Desk, EPOCH, ERASED, ERASURE, LOST, NOWHERE, SHADOW, SIZE, STATEMENT, USUAL, act, leak, other,
};
use super::super::log::{Log, ORIGIN};
use super::super::{Case, OTHER};

pub fn cases() -> Vec<Case> {
    let desk = Desk::new();
    [
        spellings(&desk),
        shapes(&desk),
        manifests(&desk),
        proofs(&desk),
        heads(&desk),
        parts(&desk),
        epochs(),
        beside(&desk),
    ]
    .concat()
}

/// A usual bundle after a change.
fn changed(desk: &Desk, name: &str, change: impl FnOnce(&mut Bundle<'static>)) -> Case {
    let mut bundle = desk.usual();
    change(&mut bundle);
    desk.case(name, &bundle)
}

/// The place of an entry in a usual bundle.
fn place(index: u64) -> usize {
    USUAL.iter().position(|one| *one == index).unwrap()
}

/// Bytes that are no bundle, or not in its one encoding.
fn spellings(desk: &Desk) -> Vec<Case> {
    let good = desk.usual().encode();
    let name = b"sinterlock/bundle/v1";
    let at = good.windows(name.len()).position(|window| window == name).unwrap();
    let with = |name: &str, bytes: Vec<u8>| desk.log.evidence(format!("bundle spelled with {name}"), bytes);
    let replaced = |at: usize, length: usize, by: &[u8]| [&good[..at], by, &good[at + length..]].concat();
    let end = good.len() - 32 * desk.usual().proof.len();
    let mut cases = vec![
        with("another version", replaced(at + name.len() - 1, 1, b"2")),
        with("another name", replaced(at + 1, 1, b"o")),
        with("a name that is not UTF-8", replaced(at + 1, 1, b"\xff")),
        with("nothing but the tag", good[..3].to_vec()),
        with("another tag", replaced(2, 1, b"\xf6")),
        with("no tag", good[3..].to_vec()),
        with("a byte before it", [b"\n", &good[..]].concat()),
        with("a byte behind it", [&good[..], b"\0"].concat()),
        with("a key missing", replaced(3, 1, b"\xa4")),
        with("a key too many", replaced(3, 1, b"\xa6")),
        with("a map without end", replaced(3, 1, b"\xbf")),
        with("a longer head", replaced(3, 1, b"\xb8\x05")),
        with("a text that is bytes", replaced(at, 1, b"\x53")),
        with("its proof cut by a byte", good[..good.len() - 1].to_vec()),
        with("a proof that ends within a hash", {
            let proof = &good[end..good.len() - 1];
            [&good[..end - 2], &[0x58, u8::try_from(proof.len()).unwrap()], proof].concat()
        }),
    ];
    for part in 1..16 {
        cases.push(with(&format!("its end missing, {part}"), good[..good.len() * part / 16].to_vec()));
    }
    cases
}

/// Entries that none has.
fn shapes(desk: &Desk) -> Vec<Case> {
    vec![
        changed(desk, "with a decision that has no parts", |b| b.entries[place(ALLOWED)].parts = None),
        changed(desk, "with an erasure that has parts", |b| {
            b.entries[place(ERASURE)].parts = b.entries[place(LOST)].parts;
        }),
        changed(desk, "with an index of 2^63", |b| b.entries[11].index = 1 << 63),
        changed(desk, "with the largest index that is no index", |b| b.entries[11].index = u64::MAX),
        changed(desk, "with an erasure at 2^63", |b| {
            b.entries[place(ERASED)].parts.as_mut().unwrap().request = Part::Erased { by: 1 << 63 };
        }),
        changed(desk, "with a line feed in its choice", |b| b.manifest.choice = "a\nb"),
        changed(desk, "with a choice that is not ASCII", |b| b.manifest.choice = "\u{e9}"),
        changed(desk, "with a long choice", |b| {
            b.manifest.choice = str::from_utf8(leak(vec![b'x'; MAX_CHOICE + 1])).unwrap();
        }),
        changed(desk, "with a long key", |b| b.manifest.vkey = str::from_utf8(leak(vec![b'x'; 336])).unwrap()),
        changed(desk, "with a record that is none", |b| b.entries[place(ALLOWED)].record = leak(b"hello".to_vec())),
        changed(desk, "with an empty record", |b| b.entries[0].record = &[]),
    ]
}

/// What is beyond a limit and too long to be kept in a file.
pub fn beyond_limits() -> Vec<Case> {
    let desk = &Desk::new();
    let entries = |count: usize| -> Vec<Entry<'static>> {
        (0..count as u64).map(|index| Entry { index, record: &[], parts: None }).collect()
    };
    vec![
        changed(desk, "with a record of 65,536 bytes", |b| b.entries[0].record = leak(vec![0xa1; 65_536])),
        changed(desk, "with a record of 65,535 bytes", |b| b.entries[0].record = leak(vec![0xa1; 65_535])),
        changed(desk, "with a long part", |b| {
            b.entries[place(ALLOWED)].parts.as_mut().unwrap().request =
                Part::Disclosed { salt: [1; 16], bytes: leak(vec![b'x'; (1 << 20) + 1]) };
        }),
        changed(desk, "with a part that is just not too long", |b| {
            b.entries[place(ALLOWED)].parts.as_mut().unwrap().request =
                Part::Disclosed { salt: [1; 16], bytes: leak(vec![b'x'; 1 << 20]) };
        }),
        changed(desk, "with too many entries", |b| b.entries = entries(MAX_ENTRIES + 1)),
        changed(desk, "with just not too many entries", |b| b.entries = entries(MAX_ENTRIES)),
        changed(desk, "with too many epochs", |b| b.manifest.epochs = vec![7; MAX_EPOCHS + 1]),
        changed(desk, "with a long head", |b| {
            b.checkpoint = str::from_utf8(leak(vec![b'x'; 1_000_001])).unwrap();
        }),
    ]
}

/// Manifests that say something else.
fn manifests(desk: &Desk) -> Vec<Case> {
    let with = |name: &str, change: &dyn Fn(&mut verifier::bundle::Manifest<'static>)| {
        changed(desk, &format!("whose manifest has {name}"), |bundle| change(&mut bundle.manifest))
    };
    let text = |text: String| str::from_utf8(leak(text)).unwrap();
    vec![
        with("a decision more", &|m| m.decisions += 1),
        with("no decision", &|m| m.decisions = 0),
        with("an epoch missing", &|m| {
            m.epochs.pop();
        }),
        with("an epoch too many", &|m| m.epochs.push(3)),
        with("an epoch twice", &|m| m.epochs = vec![1, 1, 2]),
        with("epochs out of order", &|m| m.epochs = vec![2, 1]),
        with("no key", &|m| m.vkey = ""),
        with("a key that is none", &|m| m.vkey = "ledger.example/evidence"),
        with("the key of another log", &|m| m.vkey = text(Log { origin: OTHER, ..Log::new() }.vkey().to_string())),
    ]
}

/// Proofs that lead elsewhere, and every way to slip in a leaf.
fn proofs(desk: &Desk) -> Vec<Case> {
    let with = |name: &str, change: &dyn Fn(&mut Bundle<'static>)| changed(desk, &format!("with {name}"), change);
    let statement = Entry { index: SIZE, record: leak(desk.records[4].encode()), parts: None };
    vec![
        with("two hashes swapped", &|b| b.proof.swap(0, 1)),
        with("a hash missing", &|b| {
            b.proof.pop();
        }),
        with("the first hash missing", &|b| {
            b.proof.remove(0);
        }),
        with("a hash too many", &|b| b.proof.push(NOWHERE)),
        with("a hash twice", &|b| b.proof.insert(0, b.proof[0])),
        with("one bit flipped", &|b| b.proof[1].0[31] ^= 1),
        with("no hash", &|b| b.proof.clear()),
        with("two entries swapped", &|b| b.entries.swap(0, 1)),
        with("two records swapped", &|b| {
            let record = b.entries[0].record;
            b.entries[0].record = b.entries[1].record;
            b.entries[1].record = record;
        }),
        with("an entry twice", &|b| {
            b.entries.insert(0, b.entries[0].clone());
        }),
        with("another record at an index that is there", &|b| {
            b.entries.insert(1, Entry { index: 0, ..statement.clone() });
        }),
        with("an entry at the size", &|b| b.entries.push(statement.clone())),
        with("an entry beyond the size", &|b| b.entries.push(Entry { index: 2 * SIZE, ..statement.clone() })),
        with("an entry at the largest index", &|b| b.entries.push(Entry { index: u64::MAX >> 1, ..statement.clone() })),
        with("an entry that is not proved", &|b| b.entries.insert(4, Entry { index: STATEMENT, ..statement.clone() })),
        with("another record in its place", &|b| b.entries[0].record = b.entries[1].record),
        with("an index moved", &|b| b.entries[11].index = 18),
        with("no entries", &|b| {
            b.entries.clear();
            (b.manifest.decisions, b.manifest.epochs) = (0, vec![]);
        }),
        with("no entries and the root for a proof", &|b| {
            b.entries.clear();
            (b.manifest.decisions, b.manifest.epochs) = (0, vec![]);
            b.proof = vec![Desk::new().log.root(SIZE)];
        }),
    ]
}

/// Heads that are not those of the log, and keys that do not believe it.
fn heads(desk: &Desk) -> Vec<Case> {
    let text = |text: String| str::from_utf8(leak(text)).unwrap();
    let with = |name: &str, checkpoint: String| {
        changed(desk, &format!("under {name}"), |bundle| bundle.checkpoint = text(checkpoint))
    };
    let stranger = Log { signing: SigningKey::from_bytes(&[2; 32]), ..desk.log.clone() };
    let usual = desk.case("", &desk.usual());
    let keys = |name: &str, keys: Vec<LogKey>| Case { keys, name: format!("bundle under {name}"), ..usual.clone() };
    let key = desk.log.key();
    let recorded = desk.records[17].recorded_at();
    vec![
        with("the head of another size", desk.log.head(SIZE - 1)),
        with("the head of another log", Log::new().head(SIZE)),
        with("the head of the empty log", desk.log.head(0)),
        with("a head that nobody signed", desk.log.head(SIZE).replace("\u{2014} ledger", "\u{2014} other")),
        with(
            "a head whose signature was spoiled",
            desk.log.head(SIZE).replace("ledger.example/evidence YRXHu", "ledger.example/evidence YRXHuA"),
        ),
        with("a head that is none", "hello".into()),
        with("an empty head", String::new()),
        with("the head of a stranger", stranger.head(SIZE)),
        keys("no key", vec![]),
        keys("another key", vec![stranger.key()]),
        keys("a key of a smaller log", vec![LogKey { max_size: Some(SIZE - 1), ..key.clone() }]),
        keys(
            "a key that was retired before its last record",
            vec![LogKey { not_after: Some(recorded), ..key.clone() }],
        ),
        keys("a key that begins later", vec![LogKey { not_before: Some(recorded), ..key }]),
    ]
}

/// Private parts that are others, or are missing for no reason.
fn parts(desk: &Desk) -> Vec<Case> {
    let with = |name: &str, of: u64, change: &dyn Fn(&mut verifier::bundle::Parts<'static>)| {
        changed(desk, &format!("with {name}"), |b| change(b.entries[place(of)].parts.as_mut().unwrap()))
    };
    let told = Part::Disclosed { salt: [1; 16], bytes: b"{}" };
    let wrong = |parts: u64, index: u64| {
        Desk::with(|desk| {
            let record = &mut desk.records[usize::try_from(ERASURE).unwrap()];
            *record = Record::Erasure { recorded_at: 1, index, parts, note: "an act\n".into() };
        })
    };
    let usual = |name: &str, desk: Desk| desk.case(name, &desk.usual());
    vec![
        with("another request", ALLOWED, &|parts| parts.request = told),
        with("another detail", ALLOWED, &|parts| parts.detail = told),
        with("request and detail swapped", ALLOWED, &|parts| {
            (parts.request, parts.detail) = (parts.detail, parts.request);
        }),
        with("another salt", ALLOWED, &|parts| {
            if let Part::Disclosed { salt, .. } = &mut parts.request {
                salt[15] ^= 1;
            }
        }),
        with("an empty request", ALLOWED, &|parts| parts.request = Part::Disclosed { salt: [6; 16], bytes: b"" }),
        with("a part of a committed realm that is made up", COMMITTED, &|parts| parts.request = told),
        with("an erasure by a record that erases something else", ALLOWED, &|parts| {
            parts.request = Part::Erased { by: ERASURE };
        }),
        with("an erasure by another kind of record", ERASED, &|parts| parts.request = Part::Erased { by: EPOCH }),
        with("an erasure by a record that is not here", ERASED, &|parts| {
            parts.request = Part::Erased { by: STATEMENT };
        }),
        with("an erasure that nobody recorded", ERASED, &|parts| parts.request = Part::Erased { by: 1_000 }),
        with("a detail that was not erased", ERASED, &|parts| parts.detail = Part::Erased { by: ERASURE }),
        usual("whose erasure is of the detail", wrong(2, ERASED)),
        usual("whose erasure is of another decision", wrong(1, ALLOWED)),
    ]
}

/// Epochs that are missing, or are others. All is signed by the log's own key.
fn epochs() -> Vec<Case> {
    let usual = |name: &str, desk: Desk| desk.case(name, &desk.usual());
    let without = |name: &str, missing: &[u64]| {
        let desk = Desk::new();
        let indexes: Vec<u64> = USUAL.into_iter().filter(|index| !missing.contains(index)).collect();
        desk.case(name, &desk.bundle(&indexes, SIZE))
    };
    let closing = |change: fn(&mut u64, &mut u64, &mut String)| {
        Desk::with(|desk| {
            let Record::Epoch { first_part, parts, note, .. } = &mut desk.records[2] else { panic!("an epoch") };
            change(first_part, parts, note);
        })
    };
    let deed = |content: &[u8]| Deed::Epoch { number: 1, content: digest(content), mode: Mode::Live };
    vec![
        without("without the epoch", &[0, 1, EPOCH]),
        without("without the closing record of the epoch", &[EPOCH]),
        without("without a part of the epoch", &[1]),
        without("without the candidate", &[5, SHADOW]),
        usual(
            "whose epoch has another content",
            closing(|_, _, note| {
                *note = act(ORIGIN, Deed::Epoch { number: 1, content: NOWHERE, mode: Mode::Live });
            }),
        ),
        usual(
            "whose epoch is of another log",
            closing(|_, _, note| {
                *note = act(
                    OTHER,
                    Deed::Epoch { number: 1, content: digest(b"the first epoch, in two parts"), mode: Mode::Live },
                );
            }),
        ),
        usual("whose epoch has no act", closing(|_, _, note| *note = "interlock/epoch/v1\n".into())),
        usual(
            "whose act of the epoch is spelled otherwise",
            closing(|_, _, note| *note = note.replacen("\n0\n", "\n00\n", 1)),
        ),
        usual(
            "whose act of the epoch has a line too many",
            closing(|_, _, note| *note = note.replacen("\n0\n", "\n0\nx\n", 1)),
        ),
        usual("whose epoch has a part less", closing(|_, parts, _| *parts = 1)),
        usual("whose epoch has no parts", closing(|_, parts, _| *parts = 0)),
        usual("whose epoch has its parts behind it", closing(|first, _, _| *first = 5)),
        usual("whose epoch begins within itself", closing(|first, _, _| *first = 1)),
        usual(
            "whose epoch has more parts than there are numbers",
            closing(|first, parts, _| (*first, *parts) = (2, u64::MAX)),
        ),
        usual(
            "whose parts are of another epoch",
            Desk::with(|desk| {
                desk.records[0] =
                    Record::EpochPart { recorded_at: 1, epoch: 2, part: 0, bytes: b"the first epoch, ".to_vec() };
            }),
        ),
        usual(
            "whose parts are numbered otherwise",
            Desk::with(|desk| {
                desk.records[1] =
                    Record::EpochPart { recorded_at: 1, epoch: 1, part: 2, bytes: b"in two parts".to_vec() };
            }),
        ),
        usual(
            "whose part of the epoch is another record",
            Desk::with(|desk| {
                desk.records[0] = Record::State { recorded_at: 1, decisions: 1, digest: NOWHERE };
            }),
        ),
        usual(
            "with a decision before its epoch",
            Desk::with(|desk| {
                let (note, candidate) = (act(ORIGIN, deed(b"a candidate")), desk.records[6].clone());
                let Record::Epoch { recorded_at, governance, predecessor, .. } = candidate else { panic!("an epoch") };
                desk.records[2] = Record::State { recorded_at: 1, decisions: 1, digest: NOWHERE };
                desk.records[5] = Record::EpochPart { recorded_at, epoch: 1, part: 0, bytes: b"a candidate".to_vec() };
                desk.records[6] = Record::Epoch { recorded_at, governance, first_part: 5, parts: 1, note, predecessor };
                desk.decision(COMMITTED).shadow = None;
            }),
        ),
        usual(
            "with a commitment and an epoch that are wrong",
            Desk::with(|desk| {
                desk.decision(ALLOWED).request = commitment(&[9; 16], b"other");
                desk.records[2] = Record::State { recorded_at: 1, decisions: 1, digest: NOWHERE };
            }),
        ),
    ]
}

/// What the reader gives beside it.
fn beside(desk: &Desk) -> Vec<Case> {
    let with = |name: &str, kept: String| Case { kept: Some(kept), ..desk.case(name, &desk.usual()) };
    let fork = Desk::with(|desk| desk.records.swap(3, 4));
    let other = other();
    vec![
        with("beside a forked head", fork.log.head(SIZE)),
        with("beside a head that is none", "hello".into()),
        Case {
            keys: vec![desk.log.key(), other.log.key()],
            ..with("beside a head of another log", other.log.head(SIZE))
        },
        Case { leaves: vec![leak(b"x".to_vec()).to_vec()], ..desk.case("with a leaf beside it", &desk.usual()) },
    ]
}
