//! A life of a log on a disk that fails: a script of steps, what was acknowledged meanwhile, and what must hold after any of it.
//!
//! What an entry holds follows from its index and from how often appending was tried before, so that whatever the log has after a failure
//! can be compared with what it should have: what was acknowledged is there as it was, anything above it as it was tried once.

use std::collections::{BTreeMap, VecDeque};
use std::path::PathBuf;
use std::sync::Arc;

use ledger::storage::ram::Ram;
use ledger::{AppendError, Batch, CreateError, Head, Ledger, OpenError, Options, Reader};
use verifier::hash::{leaf_hash, root_of};
use verifier::proof::verify_consistency;
use verifier::record::Record;

use crate::common::{Case, ORIGIN, START, statement};

/// Two or three small frames fill a segment.
const SEGMENT_BYTES: u64 = 900;

/// One step of a life. It answers an error only if it did what it must not.
pub type Step = fn(&mut World) -> Result<(), String>;

/// Everything that a writer does, in an order in which each step meets what the others left. A new ability is one more line.
pub const SCRIPT: &[(&str, Step)] = &[
    ("create", World::create),
    ("open an empty log", World::open),
    ("append with private parts", |world| world.append(3)),
    ("append without private parts", |world| world.append(1)),
    ("close", World::close),
    ("re-open", World::open),
    ("append", |world| world.append(4)),
    ("append into a new segment", |world| world.append(5)),
    ("append again", |world| world.append(2)),
    ("append where vault and journal roll apart", |world| world.append(6)),
    ("append three, each staged before the one before is committed", |world| world.append_ahead(&[3, 6, 4])),
    ("close", World::close),
    ("re-open with a mark", World::open),
    ("seal", World::seal),
    ("append after sealing", |world| world.append(4)),
    ("append into one more segment", |world| world.append(3)),
    ("seal again", World::seal),
    ("close", World::close),
    ("re-open with sealed segments", World::open),
    ("append after them", |world| world.append(1)),
    ("close", World::close),
];

pub struct World {
    pub ram: Ram,
    pub dir: PathBuf,
    /// Creating was acknowledged.
    pub made: bool,
    /// For each acknowledged entry, the attempt that it is of.
    acknowledged: Vec<u64>,
    attempts: u64,
    /// Every head that anybody was told of.
    said: BTreeMap<u64, Arc<Head>>,
    writer: Option<(Ledger, Reader)>,
    /// An error was met, so that refusals are in order.
    pub failed: bool,
}

impl World {
    pub fn new() -> Self {
        let (ram, dir) = (Ram::new(), PathBuf::from("/srv/log"));
        let (acknowledged, said) = (Vec::new(), BTreeMap::new());
        Self { ram, dir, made: false, acknowledged, attempts: 0, said, writer: None, failed: false }
    }

    /// How many entries were acknowledged.
    pub fn acknowledged(&self) -> usize {
        self.acknowledged.len()
    }

    /// Lives the script. Whatever fails, the steps after it are tried.
    pub fn live(&mut self) {
        for (name, step) in SCRIPT {
            step(self).unwrap_or_else(|wrong| panic!("{name}: {wrong}"));
        }
        // The process ends; if it could not close, nobody closes for it.
        self.writer = None;
    }

    /// Another world that goes on from here.
    pub fn fork(&self) -> Self {
        Self {
            ram: self.ram.fork(),
            dir: self.dir.clone(),
            made: self.made,
            acknowledged: self.acknowledged.clone(),
            attempts: self.attempts,
            said: self.said.clone(),
            writer: None,
            failed: self.failed,
        }
    }

    fn create(&mut self) -> Result<(), String> {
        let memory = ledger::default_memory(&self.dir);
        match ledger::create_in(Arc::new(self.ram.process()), &self.dir, &memory, ORIGIN, START) {
            Ok(_) => self.made = true,
            Err(CreateError::Io(_)) => self.failed = true,
            Err(other) => return Err(other.to_string()),
        }
        Ok(())
    }

    /// Opens, on a disk that may fail.
    pub fn open(&mut self) -> Result<(), String> {
        match self.try_open()? {
            Ok(()) => Ok(()),
            Err(OpenError::Io(_)) if self.failed || self.ram.faults_left() == 0 => {
                self.failed = true;
                Ok(())
            }
            Err(OpenError::NotALog { .. }) if !self.made => Ok(()),
            Err(other) => Err(other.to_string()),
        }
    }

    fn try_open(&mut self) -> Result<Result<(), OpenError>, String> {
        // Sealed when the script says so: what the background does on its own would come at another time in each life.
        let options = Options { segment_bytes: SEGMENT_BYTES, seal: false, ..Options::new(&self.dir) };
        match Ledger::open_in(Arc::new(self.ram.process()), options, START) {
            Err(refused) => Ok(Err(refused)),
            Ok((ledger, reader)) => {
                // What stands there now is published, whether it was acknowledged before or not.
                self.learn(&reader)?;
                self.writer = Some((ledger, reader));
                Ok(Ok(()))
            }
        }
    }

    pub fn append(&mut self, count: u64) -> Result<(), String> {
        self.append_ahead(&[count])
    }

    /// Appends batches, each staged before the one before it is committed.
    pub fn append_ahead(&mut self, counts: &[u64]) -> Result<(), String> {
        let Some((mut ledger, reader)) = self.writer.take() else { return Ok(()) };
        let (stager, committer) = ledger.split();
        let (mut next, mut waiting) = (reader.size(), VecDeque::new());
        let mut counts = counts.iter();
        let outcome = loop {
            if waiting.len() < 2
                && let Some(count) = counts.next()
            {
                self.attempts += 1;
                match stager.stage(batch(next, *count, self.attempts), START + next) {
                    Ok(staged) => waiting.push_back((self.attempts, next, *count, staged)),
                    refused => break refused.map(drop),
                }
                next += count;
                continue;
            }
            let Some((attempt, first, count, staged)) = waiting.pop_front() else { break Ok(()) };
            match committer.commit(staged) {
                Ok((done, _)) if (done.first, done.head.checkpoint.size) == (first, first + count) => {
                    self.acknowledged.extend((0..count).map(|_| attempt));
                    self.hear(&done.head)?;
                }
                Ok((done, _)) => return Err(format!("appended at {} instead of {first}", done.first)),
                Err(refused) => break Err(refused),
            }
        };
        let size = self.acknowledged.len() as u64;
        let heard = match outcome {
            Ok(()) => Ok(()),
            Err(AppendError::Io(_) | AppendError::Poisoned) => {
                self.failed = true;
                if waiting.into_iter().any(|(.., staged)| committer.commit(staged).is_ok()) {
                    return Err("a poisoned ledger committed what was staged".to_owned());
                }
                if reader.size() != size || !reader.poisoned() {
                    return Err("an append that failed was heard of".to_owned());
                }
                match (0..size).find_map(|index| reader.entry(index).err()) {
                    Some(error) if !error.to_string().contains("the process was killed") => {
                        Err(format!("reads do not go on: {error}"))
                    }
                    _ => Ok(()),
                }
            }
            Err(other) => Err(other.to_string()),
        };
        self.writer = Some((ledger, reader));
        heard
    }

    /// Seals what is full. A failure leaves everything as it was.
    fn seal(&mut self) -> Result<(), String> {
        let Some((ledger, _)) = &self.writer else { return Ok(()) };
        match ledger.seal() {
            Ok(_) => Ok(()),
            Err(_) if self.ram.faults_left() == 0 => Ok(()),
            Err(other) => Err(other.to_string()),
        }
    }

    fn close(&mut self) -> Result<(), String> {
        self.writer = None;
        Ok(())
    }

    /// A head was said. Two heads of one size are one head.
    fn hear(&mut self, head: &Arc<Head>) -> Result<(), String> {
        match self.said.insert(head.checkpoint.size, head.clone()) {
            Some(other) if other.note != head.note => Err(format!("two heads of size {}", head.checkpoint.size)),
            _ => Ok(()),
        }
    }

    /// What must hold now, on a disk that does not fail: the log opens, has all that was acknowledged and contradicts nothing that was said,
    /// takes more, and is found whole. Answers whether it opened at all: a log whose making was never acknowledged need not be one.
    pub fn judge(&mut self) -> Result<bool, String> {
        self.ram.release();
        self.failed = false;
        match self.try_open()? {
            Ok(()) => {}
            Err(OpenError::NotALog { .. }) if !self.made => return Ok(false),
            Err(other) => return Err(other.to_string()),
        }
        let Some((_, reader)) = &self.writer else { return Err("it was opened and is not open".to_owned()) };
        let reader = reader.clone();
        self.compare(&reader)?;
        self.append(2)?;
        self.compare(&reader)?;
        if self.failed {
            return Err("it takes no more".to_owned());
        }
        self.writer = None;
        let report = ledger::fsck_in(Arc::new(self.ram.process()), &self.dir, None, &mut |_| {});
        match report {
            Ok(report) if report.is_clean() => Ok(true),
            other => Err(format!("fsck: {other:?}")),
        }
    }

    /// Finds out which attempts the entries above the acknowledged ones are of; from now on they are published.
    fn learn(&mut self, reader: &Reader) -> Result<(), String> {
        let size = reader.size();
        if size < self.acknowledged.len() as u64 {
            return Err(format!("{size} entries where {} were acknowledged", self.acknowledged.len()));
        }
        for index in self.acknowledged.len() as u64..size {
            let found = reader.entry(index).map_err(|error| error.to_string())?;
            let attempt = (1..=self.attempts).find(|attempt| record(index, *attempt).encode() == found);
            self.acknowledged.push(attempt.ok_or(format!("entry {index} was never appended"))?);
        }
        self.hear(&reader.head())
    }

    fn compare(&self, reader: &Reader) -> Result<(), String> {
        let head = reader.head();
        let size = head.checkpoint.size;
        if size != self.acknowledged.len() as u64 {
            return Err(format!("{size} entries where {} were acknowledged", self.acknowledged.len()));
        }
        let mut leaves = Vec::new();
        for (index, attempt) in (0..).zip(&self.acknowledged) {
            let found = reader.entry(index).map_err(|error| error.to_string())?;
            if found != record(index, *attempt).encode() {
                return Err(format!("entry {index} is another"));
            }
            leaves.push(leaf_hash(&found));
            if let Some(case) = case(index, *attempt) {
                let private = reader.private(index).map_err(|error| error.to_string())?;
                if (private.request, private.detail) != (case.request, case.detail) {
                    return Err(format!("the private parts of {index} are others"));
                }
                if reader.permit(&case.permit).map_err(|error| error.to_string())? != Some(index) {
                    return Err(format!("the permit of {index} is not found"));
                }
            }
        }
        if head.checkpoint.root != root_of(&leaves) {
            return Err("the head is not of the entries".to_owned());
        }
        for (from, said) in &self.said {
            let again = reader.head_at(*from).map_err(|error| error.to_string())?;
            if again.as_ref() != Some(said) {
                return Err(format!("the head of size {from} that was said is gone: {again:?}"));
            }
            let proof = reader.consistency(*from, size).map_err(|error| error.to_string())?;
            verify_consistency(*from, size, &proof, &said.checkpoint.root, &head.checkpoint.root)
                .map_err(|error| format!("the head of size {from} is contradicted: {error}"))?;
        }
        Ok(())
    }
}

/// The decision that stands at an index, if one does; each attempt makes another.
fn case(index: u64, attempt: u64) -> Option<Case> {
    (index % 6 < 3 && !index.is_multiple_of(3)).then(|| Case::new(1000 * attempt + index))
}

fn record(index: u64, attempt: u64) -> Record {
    case(index, attempt).map_or_else(|| statement(1000 * attempt + index, 40), |case| case.record)
}

fn batch(from: u64, count: u64, attempt: u64) -> Batch {
    let mut batch = Batch::default();
    for index in from..from + count {
        match case(index, attempt) {
            Some(case) => case.push(&mut batch),
            None => batch.push(&record(index, attempt), None).unwrap(),
        }
    }
    batch
}
