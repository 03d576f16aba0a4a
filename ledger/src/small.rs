//! Logs with runs of eight keys, for tests: merged runs, which otherwise take a million entries, come after some hundred.

use std::path::Path;
use std::sync::Arc;

use verifier::decision::{Class, Classes, Decision, Outcome, PermitId, commitment};
use verifier::hash::sha256;
use verifier::record::Record;

use crate::open::look;
use crate::storage::Files;
use crate::storage::ram::Ram;
use crate::{Batch, Ledger, Options, Private, Reader, create_in, default_memory};

pub(crate) const DIR: &str = "/srv/log";
/// Entries of the shortest runs.
pub(crate) const SHORT: u64 = 8;

/// A disk with an empty log.
pub(crate) fn new_log() -> Ram {
    let (ram, dir) = (Ram::new(), Path::new(DIR));
    create_in(Arc::new(ram.process()), dir, &default_memory(dir), "log.example/small", 1).unwrap();
    ram
}

pub(crate) fn open(ram: &Ram) -> (Ledger, Reader) {
    let options = Options { seal: false, ..Options::new(DIR) };
    let mut unrecovered = look(Files(Arc::new(ram.process())), options).unwrap();
    unrecovered.run = SHORT;
    unrecovered.recover(1).unwrap()
}

pub(crate) fn permit(number: u64) -> PermitId {
    PermitId(*sha256(&number.to_be_bytes()).0.first_chunk().unwrap())
}

/// A statement for an even number, a decision for an odd one.
pub(crate) fn record(number: u64) -> Record {
    if number.is_multiple_of(2) {
        let body = number.to_be_bytes().to_vec();
        return Record::Statement { recorded_at: 1, realm: "main".into(), media_type: "text/plain".into(), body };
    }
    Record::Decision(Box::new(Decision {
        recorded_at: 1,
        governance: 1,
        epoch: 1,
        permit: permit(number),
        realm: "main".into(),
        evaluated_at: 1,
        outcome: Outcome::Deny,
        classes: Classes::new([Class::Fail; 9]),
        request: commitment(&[1; 16], b"request"),
        detail: commitment(&[2; 16], b"detail"),
        grant: None,
        audience: None,
        shadow: None,
    }))
}

/// Appends the records of these numbers in one batch.
pub(crate) fn append(ledger: &mut Ledger, numbers: impl Iterator<Item = u64>) {
    let mut batch = Batch::default();
    for number in numbers {
        let record = record(number);
        let private = matches!(record, Record::Decision(_)).then_some(Private {
            disclosed: true,
            request_salt: [1; 16],
            request: b"request",
            detail_salt: [2; 16],
            detail: b"detail",
        });
        batch.push(&record, private).unwrap();
    }
    ledger.append(&batch, 1).unwrap();
}
