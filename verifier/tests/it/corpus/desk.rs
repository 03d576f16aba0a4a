//! A log with everything that an evidence bundle may rest on: epochs live and in shadow, parts that are disclosed, committed, erased, lost.

use std::collections::{BTreeMap, BTreeSet};

use verifier::act::{Act, Deed, Mode};
use verifier::bundle::{Bundle, Entry, Manifest, Part, Parts};
use verifier::decision::{Class, Classes, Decision, Grant, Outcome, PermitId, Shadow, commitment};
use verifier::epoch::digest;
use verifier::hash::Hash;
use verifier::note::signature_line;
use verifier::record::Record;

use super::log::{Log, ORIGIN};
use super::{Case, OTHER};
use crate::support::prove_many;

const TIME: u64 = 1_795_428_000_000;
/// What the first epoch says, in two parts, and the candidate in one.
const CONTENT: [&[u8]; 2] = [b"the first epoch, ", b"in two parts"];
const CANDIDATE: &[u8] = b"a candidate";

/// The records, by name.
pub const EPOCH: u64 = 2;
pub const ALLOWED: u64 = 3;
pub const STATEMENT: u64 = 4;
pub const SHADOW: u64 = 6;
pub const COMMITTED: u64 = 7;
pub const ERASED: u64 = 8;
pub const ERASURE: u64 = 9;
pub const LOST: u64 = 10;
/// How many there are.
pub const SIZE: u64 = 19;

/// A log and the parts of its decisions.
#[derive(Clone)]
pub struct Desk {
    pub records: Vec<Record>,
    pub parts: BTreeMap<u64, Parts<'static>>,
    pub log: Log,
}

/// Test data lives as long as the test.
pub fn leak(bytes: impl Into<Vec<u8>>) -> &'static [u8] {
    Box::leak(bytes.into().into_boxed_slice())
}

impl Desk {
    pub fn new() -> Self {
        let mut desk =
            Self { records: Vec::new(), parts: BTreeMap::new(), log: Log { leaves: Vec::new(), ..Log::new() } };
        for (part, bytes) in (0..).zip(CONTENT) {
            desk.records.push(Record::EpochPart { recorded_at: TIME, epoch: 1, part, bytes: bytes.to_vec() });
        }
        let content = digest(&CONTENT.concat());
        desk.close(0, 2, Deed::Epoch { number: 1, content, mode: Mode::Live });
        desk.decide(Outcome::Allow, None);
        let (realm, media_type) = ("main".into(), "text/plain".into());
        desk.records.push(Record::Statement { recorded_at: TIME, realm, media_type, body: b"so it was".to_vec() });
        desk.records.push(Record::EpochPart { recorded_at: TIME, epoch: 2, part: 0, bytes: CANDIDATE.to_vec() });
        desk.close(5, 1, Deed::Epoch { number: 2, content: digest(CANDIDATE), mode: Mode::Shadow });
        let tried = desk.decide(Outcome::Deny, Some(2));
        desk.parts.insert(tried, Parts { request: Part::Committed, detail: Part::Committed });
        let erased = desk.decide(Outcome::Allow, None);
        desk.parts.get_mut(&erased).unwrap().request = Part::Erased { by: ERASURE };
        desk.records.push(Record::Erasure { recorded_at: TIME, index: ERASED, parts: 1, note: "an act\n".into() });
        let lost = desk.decide(Outcome::Deny, None);
        desk.parts.insert(lost, Parts { request: Part::Lost, detail: Part::Lost });
        while (desk.records.len() as u64) < SIZE {
            let outcome = if desk.records.len().is_multiple_of(2) { Outcome::Allow } else { Outcome::Deny };
            desk.decide(outcome, None);
        }
        desk.seal();
        desk
    }

    /// The same after records were changed, signed again by the log's own key.
    pub fn with(change: impl FnOnce(&mut Desk)) -> Self {
        let mut desk = Self::new();
        change(&mut desk);
        desk.seal();
        desk
    }

    fn seal(&mut self) {
        self.log.leaves = self.records.iter().map(Record::encode).collect();
    }

    fn close(&mut self, first_part: u64, parts: u64, deed: Deed) {
        let note = act(ORIGIN, deed);
        self.records.push(Record::Epoch {
            recorded_at: TIME,
            governance: 1,
            first_part,
            parts,
            note,
            predecessor: None,
        });
    }

    /// A decision with disclosed parts; answers its index.
    fn decide(&mut self, outcome: Outcome, shadow: Option<u64>) -> u64 {
        let index = self.records.len() as u64;
        let salt = |part: u8| [u8::try_from(index).unwrap() * 2 + part; 16];
        let (request, detail) = (leak(format!("{{\"n\":{index}}}")), leak(format!("detail of {index}")));
        let class = if outcome == Outcome::Allow { Class::Pass } else { Class::Fail };
        self.records.push(Record::Decision(Box::new(Decision {
            recorded_at: TIME + index,
            governance: 1,
            epoch: 1,
            permit: PermitId([u8::try_from(index).unwrap(); 16]),
            realm: "main".into(),
            evaluated_at: TIME,
            outcome,
            classes: Classes::new([class; 9]),
            request: commitment(&salt(0), request),
            detail: commitment(&salt(1), detail),
            grant: (outcome == Outcome::Allow).then_some(Grant { expires_at: TIME + 9, uses: 1, lease_ends_at: None }),
            audience: None,
            shadow: shadow.map(|epoch| Shadow::of(epoch, Classes::new([Class::Pass; 9]))),
        })));
        let parts = Parts {
            request: Part::Disclosed { salt: salt(0), bytes: request },
            detail: Part::Disclosed { salt: salt(1), bytes: detail },
        };
        self.parts.insert(index, parts);
        index
    }

    /// The decision at an index.
    pub fn decision(&mut self, index: u64) -> &mut Decision {
        match &mut self.records[usize::try_from(index).unwrap()] {
            Record::Decision(decision) => decision,
            other => panic!("{other:?}"),
        }
    }

    /// A bundle of exactly these entries in the tree of `size`.
    pub fn bundle(&self, indexes: &[u64], size: u64) -> Bundle<'static> {
        let record = |index: u64| &self.records[usize::try_from(index).unwrap()];
        let named: BTreeSet<u64> = indexes
            .iter()
            .filter_map(|index| match record(*index) {
                Record::Decision(decision) => Some([Some(decision.epoch), decision.shadow.map(|shadow| shadow.epoch)]),
                _ => None,
            })
            .flatten()
            .flatten()
            .collect();
        let entries = indexes.iter().map(|index| Entry {
            index: *index,
            record: leak(record(*index).encode()),
            parts: self.parts.get(index).copied(),
        });
        let entries: Vec<Entry<'static>> = entries.collect();
        let text = |text: String| str::from_utf8(leak(text)).unwrap();
        Bundle {
            manifest: Manifest {
                vkey: text(self.log.vkey().to_string()),
                choice: "from=0",
                decisions: entries.iter().filter(|entry| entry.parts.is_some()).count() as u64,
                epochs: named.into_iter().collect(),
            },
            checkpoint: text(self.log.head(size)),
            entries,
            proof: prove_many(&self.log.tree().0[..usize::try_from(size).unwrap()], indexes),
        }
    }

    /// The bundle of everything.
    pub fn all(&self) -> Bundle<'static> {
        self.bundle(&(0..SIZE).collect::<Vec<_>>(), SIZE)
    }

    /// A usual one: some decisions, their epochs, an erasure; not all of the log.
    pub fn usual(&self) -> Bundle<'static> {
        self.bundle(&USUAL, SIZE)
    }

    pub fn case(&self, name: &str, bundle: &Bundle<'_>) -> Case {
        self.log.evidence(format!("bundle {name}"), bundle.encode())
    }
}

/// Both epochs, decisions of every state, the erasure.
pub const USUAL: [u64; 12] = [0, 1, EPOCH, ALLOWED, 5, SHADOW, COMMITTED, ERASED, ERASURE, LOST, 13, 17];

/// An act as its administrator signs it; nobody checks that signature here.
pub fn act(origin: &str, deed: Deed) -> String {
    let text = Act { origin: origin.into(), follows: 0, deed }.text();
    format!("{text}\n{}", signature_line(&Act::key_name(ORIGIN), [7; 4], &[7; 64]))
}

/// What must verify.
pub fn good() -> Vec<Case> {
    let desk = Desk::new();
    let mut cases = vec![
        desk.case("of everything", &desk.all()),
        desk.case("of a usual choice", &desk.usual()),
        desk.case("of one decision and its epoch", &desk.bundle(&[0, 1, 2, 17], SIZE)),
        desk.case("of records without a decision", &desk.bundle(&[STATEMENT, ERASURE], SIZE)),
        desk.case("of a part of an epoch that no decision names", &desk.bundle(&[1], SIZE)),
        desk.case("of the only entry of a log", &desk.bundle(&[0], 1)),
        desk.case("under an older head", &desk.bundle(&[0, 1, 2, 3], 4)),
    ];
    let usual = desk.usual();
    let choice = |choice| {
        let mut bundle = usual.clone();
        bundle.manifest.choice = choice;
        bundle
    };
    cases.push(desk.case("with no words for its choice", &choice("")));
    cases.push(desk.case("with every character in its choice", &choice(r##" !"#$%&'()*+,-./0:;<=>?@A[\]^_`a{|}~"##)));
    let with = |name: &str, kept: String| Case { kept: Some(kept), ..desk.case(name, &usual) };
    cases.push(with("beside its own head", desk.log.head(SIZE)));
    cases.push(with("beside a head that it has no proof from", desk.log.head(8)));
    // The closing record may stand in the log twice; the first one counts.
    let twice = Desk::with(|desk| {
        desk.records[11] = desk.records[2].clone();
        desk.parts.remove(&11);
    });
    cases.push(desk.case("with the act of an epoch twice", &twice.bundle(&[0, 1, 2, 3, 11], SIZE)));
    cases
}

/// The same log under another name, for what must not be mixed.
pub fn other() -> Desk {
    let mut desk = Desk::new();
    desk.log.origin = OTHER;
    desk
}

/// A hash of nothing that stands in a tree.
pub const NOWHERE: Hash = Hash([0x77; 32]);
