//! The format chapter against the code: the golden vector in `FORMAT.md` is what the digest of a state is of, and reads back as that state.

use std::sync::Arc;

use verifier::act::{Mode, Power, Revoked, Target};
use verifier::approval::Approval;
use verifier::cbor::CborError;
use verifier::decision::{Counter, PermitId};
use verifier::hash::{Hash, sha256};

use super::{Damaged, Fold};
use crate::engine::{Amount, Nonce, Rule, Scope};
use crate::state::counters::Key;
use crate::state::permits::{Ended, Lease, Permit};

const CHAPTER: &str = include_str!("../../FORMAT.md");
const NOW: u64 = 1_795_428_000_000;

fn permit(index: u64) -> Permit {
    Permit {
        index,
        realm: "main".into(),
        subject: ("Agent".into(), "a".into()),
        action: "read".into(),
        policies: vec!["p".into()],
        more_policies: index == 4,
        parent: (index == 4).then_some(PermitId([3; 16])),
        depth: 0,
        children: 0,
        delegates: vec!["Agent::\"b\"".into()],
        scopes: vec![Scope::parse("a:**").unwrap()],
        holds: vec!["at-work".into()],
        rests_on: vec![Revoked::Key("k".into())],
        expires_at: NOW + 60_000,
        lease: (index == 4).then_some(Lease { length_ms: 5_000, ends_at: NOW + 5_000 }),
        started: index == 4,
        held: index == 4,
        ended: None,
    }
}

/// Something of everything.
fn fold() -> Fold {
    let mut fold = Fold { governance: 7, decisions: 65_536, frozen: true, ..Fold::default() };
    fold.publish(1, Mode::Live, 2, Arc::default());
    fold.publish(2, Mode::Shadow, 4, Arc::default());
    fold.switch(&Target::Global, Power::Halt);
    fold.switch(&Target::Action("pay".into()), Power::Halt);
    fold.committed = Arc::new(["clinic".to_owned()].into());
    (fold.parts_from, fold.parts_next, fold.parts) = (65_000, 65_001, b"part".to_vec());
    for index in [5, 16_383, 16_384] {
        fold.idempotency.insert(sha256(&[u8::try_from(index % 251).unwrap()]).0, index, NOW - 1_000 + index / 100);
    }
    fold.state.nonces.consume(&Nonce { id: [9; 32], body: [8; 16], item: 3, expires_ms: NOW + 1_000 });
    fold.state.attestations.consume(&Nonce { id: [7; 32], body: [0; 16], item: 0, expires_ms: NOW + 2_000 });
    let (decision, core) = (PermitId([1; 16]), Hash([2; 32]));
    let approval = Approval { origin: "o".into(), realm: "main".into(), decision, core, expires_at: NOW + 9_000 };
    fold.state.approved.give(&approval, [4; 32]);
    fold.state.approved.use_up(&decision, "main");
    fold.state.permits.open(PermitId([3; 16]), permit(3));
    fold.state.permits.open(PermitId([4; 16]), permit(4));
    fold.state.permits.open(PermitId([5; 16]), permit(5));
    fold.state.permits.end(&PermitId([5; 16]), Ended::Halted);
    fold.state.permits.revoke(PermitId([6; 16]));
    fold.state.revoke(&Revoked::Policy("p".into()));
    fold.state.revoke(&Revoked::Issuer("https://a".into()));
    let rules = [
        (Counter::Rate, Rule::Rate { count: 7, per_ms: 60_000, burst: 4 }),
        (Counter::Budget, Rule::Budget { amount: Amount::Context("n".into()), cap: 9, window_ms: 60_000 }),
        (Counter::Concurrency, Rule::Concurrency { max: 2 }),
    ];
    for (counter, rule) in &rules {
        let key = Key::new(*counter, "limit", "main", &("Agent".into(), "a".into()));
        fold.state.counters.add(key, rule, 2, NOW);
    }
    fold.settle_by(NOW);
    fold
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

fn file(fold: &mut Fold) -> (Vec<u8>, Hash) {
    let snapshot = fold.snapshot();
    (snapshot.pieces().concat(), snapshot.digest())
}

#[test]
fn the_state_is_encoded_as_the_chapter_has_it() {
    let (_, block) = CHAPTER.split_once("```golden state\n").unwrap();
    let golden: String = block.split_once("```").unwrap().0.split_whitespace().collect();
    let (bytes, digest) = file(&mut fold());
    assert_eq!(golden, hex(&bytes), "the file of the state");
    assert_eq!(digest, sha256(&bytes[16..bytes.len() - 3 * 48]));
}

#[test]
fn what_is_read_back_is_the_same_state() {
    let (bytes, digest) = file(&mut fold());
    let mut read = Fold::restore(&bytes, &digest).unwrap();
    assert_eq!(file(&mut read), (bytes, digest));
    assert_eq!((&read.state, &read.switches), (&fold().state, &fold().switches));
    assert_eq!(read.idempotency.get(&sha256(&[5]).0), Some(5));
    // And it goes on as the first one does.
    let (mut lived, later) = (fold(), NOW + 5_000);
    for fold in [&mut lived, &mut read] {
        fold.state.permits.end(&PermitId([4; 16]), Ended::Closed);
        fold.settle_by(later);
    }
    assert_eq!(file(&mut lived), file(&mut read));
}

#[test]
fn a_snapshot_with_any_bit_flipped_or_any_end_cut_off_is_refused() {
    let (bytes, digest) = file(&mut fold());
    for bit in 0..bytes.len() * 8 {
        let mut flipped = bytes.clone();
        flipped[bit / 8] ^= 1 << (bit % 8);
        // A run's digest in the file is taken again of its rows, so it may say anything.
        if let Ok(mut read) = Fold::restore(&flipped, &digest) {
            assert_eq!(file(&mut read), (bytes.clone(), digest), "bit {bit}");
        }
    }
    for end in 0..bytes.len() {
        assert!(Fold::restore(&bytes[..end], &digest).is_err(), "{end}");
    }
    let longer = [&bytes[..], &[0]].concat();
    assert!(matches!(Fold::restore(&longer, &digest), Err(Damaged::Malformed(CborError::Trailing(1)))));
    assert!(matches!(Fold::restore(&bytes, &Hash([0; 32])), Err(Damaged::Digest)));
    let other = [b"ILFOLD02", &bytes[8..]].concat();
    assert!(matches!(Fold::restore(&other, &digest), Err(Damaged::Format)));
}
