//! What every test needs: a disk, a log, records and their private parts.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use ledger::storage::ram::Ram;
use ledger::{Batch, Ledger, OpenError, Options, Private, Reader};
use verifier::decision::{Class, Classes, Decision, Outcome, PermitId, commitment};
use verifier::record::Record;

pub const ORIGIN: &str = "log.example/test";
pub const START: u64 = 1_790_000_000_000;

/// A log on a disk in memory.
pub struct Rig {
    pub ram: Ram,
    pub dir: PathBuf,
    pub segment_bytes: u64,
}

impl Rig {
    pub fn new() -> Self {
        Self::with_segments(ledger::SEGMENT_BYTES)
    }

    /// A log whose segments are closed after so many bytes.
    pub fn with_segments(segment_bytes: u64) -> Self {
        let rig = Self { ram: Ram::new(), dir: PathBuf::from("/srv/log"), segment_bytes };
        let memory = ledger::default_memory(&rig.dir);
        ledger::create_in(Arc::new(rig.ram.process()), &rig.dir, &memory, ORIGIN, START).unwrap();
        rig
    }

    /// A closed log of short segments, of so many batches that have as many entries as `count` says.
    pub fn rolled(batches: u64, count: impl Fn(u64) -> u64) -> Self {
        let rig = Self::with_segments(700);
        let (mut ledger, _) = rig.open();
        for batch in 0..batches {
            ledger.append(&mixed(ledger.size(), count(batch)), START + batch).unwrap();
        }
        drop(ledger);
        rig
    }

    pub fn open(&self) -> (Ledger, Reader) {
        self.try_open().unwrap()
    }

    pub fn try_open(&self) -> Result<(Ledger, Reader), OpenError> {
        Ledger::open_in(Arc::new(self.ram.process()), self.options(), START + 1)
    }

    pub fn open_without_memory(&self) -> Result<(Ledger, Reader), OpenError> {
        let options = Options { accept_memory_loss: true, ..self.options() };
        Ledger::open_in(Arc::new(self.ram.process()), options, START + 1)
    }

    fn options(&self) -> Options {
        // Sealing changes the disk whenever it comes to it; tests that count operations ask for it.
        Options { segment_bytes: self.segment_bytes, seal: false, ..Options::new(&self.dir) }
    }

    pub fn memory(&self) -> PathBuf {
        ledger::default_memory(&self.dir)
    }

    pub fn path(&self, inside: &str) -> PathBuf {
        self.dir.join(inside)
    }
}

/// A statement that says `number` and has about `len` bytes.
pub fn statement(number: u64, len: usize) -> Record {
    let mut body = number.to_be_bytes().to_vec();
    body.resize(len.max(8), b'.');
    Record::Statement { recorded_at: START, realm: "main".into(), media_type: "text/plain".into(), body }
}

/// A decision with its private parts, all made from one number. The request contains [`SECRET`].
pub struct Case {
    pub record: Record,
    pub permit: PermitId,
    pub request: Vec<u8>,
    pub detail: Vec<u8>,
    pub request_salt: [u8; 16],
    pub detail_salt: [u8; 16],
}

/// What must never be seen outside the vault.
pub const SECRET: &str = "alice@example.com pays 4711";

impl Case {
    pub fn new(number: u64) -> Self {
        let mut id = [0xa5; 16];
        id[..8].copy_from_slice(&number.wrapping_mul(0x9e37_79b9_7f4a_7c15).to_be_bytes());
        id[8..].copy_from_slice(&number.to_be_bytes());
        let request = format!("{{\"n\":{number},\"who\":\"{SECRET}\"}}").into_bytes();
        let detail = format!("detail {number} of {SECRET}").into_bytes();
        let (request_salt, detail_salt) = (salt(2 * number), salt(2 * number + 1));
        let record = Record::Decision(Box::new(Decision {
            recorded_at: START,
            governance: 1,
            epoch: 1,
            permit: PermitId(id),
            realm: "main".into(),
            evaluated_at: START,
            outcome: Outcome::Deny,
            classes: Classes::new([Class::Fail; 9]),
            request: commitment(&request_salt, &request),
            detail: commitment(&detail_salt, &detail),
            grant: None,
            audience: None,
            shadow: None,
        }));
        Self { record, permit: PermitId(id), request, detail, request_salt, detail_salt }
    }

    pub fn private(&self) -> Private<'_> {
        Private {
            disclosed: true,
            request_salt: self.request_salt,
            request: &self.request,
            detail_salt: self.detail_salt,
            detail: &self.detail,
        }
    }

    pub fn push(&self, batch: &mut Batch) {
        batch.push(&self.record, Some(self.private())).unwrap();
    }
}

fn salt(number: u64) -> [u8; 16] {
    let mut salt = [0xc3; 16];
    salt[..8].copy_from_slice(&number.wrapping_mul(0xd1b5_4a32_d192_ed03).to_be_bytes());
    salt
}

/// A batch of decisions and statements in turn.
pub fn mixed(from: u64, count: u64) -> Batch {
    let mut batch = Batch::default();
    for number in from..from + count {
        if number.is_multiple_of(3) {
            batch.push(&statement(number, 40), None).unwrap();
        } else {
            Case::new(number).push(&mut batch);
        }
    }
    batch
}

/// The leaf that [`mixed`] makes at an index.
pub fn leaf(number: u64) -> Vec<u8> {
    if number.is_multiple_of(3) { statement(number, 40).encode() } else { Case::new(number).record.encode() }
}

/// Everything that the log answers about its first `size` entries is what [`mixed`] put there.
pub fn check_mixed(reader: &Reader, size: u64) {
    assert_eq!(reader.size(), size);
    for index in 0..size {
        assert_eq!(reader.entry(index).unwrap(), leaf(index), "entry {index}");
        if index % 3 != 0 {
            let case = Case::new(index);
            let private = reader.private(index).unwrap();
            assert_eq!((private.request, private.detail), (case.request, case.detail), "private parts {index}");
            assert_eq!(reader.permit(&case.permit).unwrap(), Some(index));
        }
        assert_eq!(reader.leaf(&verifier::hash::leaf_hash(&leaf(index))).unwrap(), Some(index));
    }
    let hashes: Vec<_> = (0..size).map(|index| verifier::hash::leaf_hash(&leaf(index))).collect();
    assert_eq!(reader.head().checkpoint.root, verifier::hash::root_of(&hashes));
}

/// Every file under a real directory with its content.
pub fn files_under(dir: &Path) -> std::collections::BTreeMap<PathBuf, Vec<u8>> {
    let mut found = std::collections::BTreeMap::new();
    for entry in std::fs::read_dir(dir).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            found.extend(files_under(&path));
        } else {
            found.insert(path.clone(), std::fs::read(&path).unwrap());
        }
    }
    found
}
