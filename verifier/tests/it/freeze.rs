//! Threat 36, its second half: a log that ended, its successor, and what a thief of its key can still do.

use ed25519_dalek::{Signer, SigningKey};
use verifier::act::{Act, Deed};
use verifier::decision::Decision;
use verifier::freeze::{Freeze, FreezeError};
use verifier::guard::{Guard, Permit, Refusal, Trust};
use verifier::note::{VerifierKey, key_id, signature_line};
use verifier::record::Record;
use verifier::verify::{LogKey, Verified, verify_receipt};

use crate::guard::{Log, Memory, NOW, ORIGIN, REQUEST, SALT, allow, statement, trust};

/// When the log of these tests ends: just after an honest permit was issued.
const END: u64 = NOW - 3;

struct Administrator(SigningKey);

impl Administrator {
    fn new(seed: u8) -> Self {
        Self(SigningKey::from_bytes(&[seed; 32]))
    }

    fn vkey(&self) -> VerifierKey {
        VerifierKey::new(&Act::key_name(ORIGIN), &self.0.verifying_key().to_bytes()).unwrap()
    }

    fn freeze(&self, successor: Option<VerifierKey>, origin: &str) -> Vec<u8> {
        let deed = Deed::Freeze { successor, reason: "the key was stolen".into() };
        self.record(&Act { origin: origin.into(), follows: 1, deed })
    }

    fn record(&self, act: &Act) -> Vec<u8> {
        let (name, text) = (Act::key_name(ORIGIN), act.text());
        let id = key_id(&name, 1, &self.0.verifying_key().to_bytes());
        let note = format!("{text}\n{}", signature_line(&name, id, &self.0.sign(text.as_bytes()).to_bytes()));
        Record::Freeze { recorded_at: END, governance: 2, note }.encode()
    }
}

fn verified(permit: &Permit, key: &LogKey) -> Verified {
    verify_receipt(&permit.receipt, Some(&permit.record), std::slice::from_ref(key)).unwrap()
}

/// A trust file that says of the old key what its freeze says.
fn trust_after(log: &Log, retired: &LogKey) -> Trust {
    Trust { keys: vec![retired.clone()], ..trust(log, "") }
}

fn admit(trust: &Trust, permit: &Permit, now: u64) -> Result<u64, Refusal> {
    Guard::new(trust.clone(), Memory::default(), 0).admit(REQUEST, permit, now).map(|admitted| admitted.index())
}

#[test]
fn a_frozen_key_is_not_believed_beyond_the_freeze_that_names_its_successor() {
    let (mut log, next, admin) = (Log::new(1), Log::new(2), Administrator::new(3));
    let honest = log.decide(allow());
    let frozen = log.permit(admin.freeze(Some(next.vkey()), ORIGIN), SALT);
    let key = LogKey::unlimited(log.vkey());
    let freeze = Freeze::open(&verified(&frozen, &key), &[admin.vkey()]).unwrap();
    assert_eq!((freeze.successor(), freeze.recorded_at()), (Some(&next.vkey()), END));
    assert_eq!(freeze.head().checkpoint().size, 7);

    let retired = freeze.retire(&key);
    assert_eq!((retired.max_size, retired.not_after), (Some(7), Some(END + 1)));
    verified(&frozen, &retired);
    let after = trust_after(&log, &retired);
    assert_eq!(admit(&after, &honest, END), Ok(5), "what was issued before is good until the freeze");

    // The thief goes on behind the freeze: every head is too large, whatever time the record claims.
    let forged = log.decide(Decision { recorded_at: NOW - 8, ..allow() });
    assert_eq!(admit(&after, &forged, END), Err(Refusal::RetiredKey));
    assert_eq!(admit(&after, &forged, NOW), Err(Refusal::RetiredKey));
    // Or begins a private log below the frozen size: our own clock is beyond the freeze, whatever the record claims.
    let mut private = Log::new(1);
    let forged = private.decide(Decision { recorded_at: END - 1, evaluated_at: END - 2, ..allow() });
    assert_eq!(admit(&after, &forged, NOW), Err(Refusal::RetiredKey));
    // Without the freeze in the trust file all of these would pass.
    assert_eq!(admit(&trust(&log, ""), &forged, NOW), Ok(5));

    // The successor's first epoch names the final head, and its permits are admitted under its own key.
    let mut next = next;
    let predecessor = Some(freeze.head().raw().to_owned());
    let epoch = |predecessor, governance| {
        let note = String::from("a signed act\n");
        Record::Epoch { recorded_at: NOW, governance, first_part: 0, parts: 1, note, predecessor }.encode()
    };
    let next_key = LogKey::unlimited(next.vkey());
    let first = next.permit(epoch(predecessor.clone(), 1), SALT);
    assert!(freeze.is_succeeded_by(&verified(&first, &next_key)));
    for (wrong, governance) in [
        (None, 1),
        (predecessor.clone(), 2),
        (Some(honest.receipt.checkpoint.clone()), 1),
        (Some("nonsense".to_owned()), 1),
    ] {
        let first = next.permit(epoch(wrong, governance), SALT);
        assert!(!freeze.is_succeeded_by(&verified(&first, &next_key)));
    }
    let stranger = Log::new(9).permit(epoch(predecessor, 1), SALT);
    let strangers_key = LogKey::unlimited(Log::new(9).vkey());
    assert!(
        !freeze.is_succeeded_by(&verified(&stranger, &strangers_key)),
        "only the key that the freeze names succeeds"
    );
    let mut both = after;
    both.keys.push(next_key);
    let permit = next.decide(allow());
    assert!(admit(&both, &permit, NOW).is_ok());
}

#[test]
fn whoever_stole_the_logs_key_alone_cannot_name_a_successor() {
    let (admin, thief) = (Administrator::new(3), Administrator::new(4));
    let open = |leaf: Vec<u8>, more: bool| {
        let mut log = Log::new(1);
        let permit = log.permit(leaf, SALT);
        let key = LogKey::unlimited(log.vkey());
        if !more {
            return Freeze::open(&verified(&permit, &key), &[admin.vkey()]);
        }
        // The same leaf under a head that has one more entry.
        let leaf = log.leaves.pop().unwrap();
        log.leaves.push(leaf.clone());
        let behind = log.permit(statement(b"behind"), SALT);
        let path = log.path(5);
        let receipt = verifier::receipt::Receipt { index: 5, path, ..behind.receipt };
        Freeze::open(&verified(&Permit { record: leaf, salt: SALT, receipt }, &key), &[admin.vkey()])
    };
    assert!(open(admin.freeze(None, ORIGIN), false).unwrap().successor().is_none());
    let thieves = thief.freeze(Some(Log::new(9).vkey()), ORIGIN);
    assert!(matches!(open(thieves, false), Err(FreezeError::Signature(_))));
    assert_eq!(open(admin.freeze(None, "other.example/log"), false), Err(FreezeError::OtherAct));
    let switch = Deed::Switch {
        target: verifier::act::Target::Global,
        power: verifier::act::Power::Halt,
        reason: "drill".into(),
    };
    let switch = admin.record(&Act { origin: ORIGIN.into(), follows: 1, deed: switch });
    assert_eq!(open(switch, false), Err(FreezeError::OtherAct));
    assert_eq!(open(statement(b"x"), false), Err(FreezeError::NotAFreeze));
    assert_eq!(open(admin.freeze(None, ORIGIN), true), Err(FreezeError::WentOn { index: 5, size: 7 }));
}

#[test]
fn retiring_a_key_never_widens_what_is_believed_of_it() {
    let (mut log, admin) = (Log::new(1), Administrator::new(3));
    let frozen = log.permit(admin.freeze(None, ORIGIN), SALT);
    let key = LogKey::unlimited(log.vkey());
    let freeze = Freeze::open(&verified(&frozen, &key), &[admin.vkey()]).unwrap();
    let narrow = LogKey { not_before: Some(1), not_after: Some(2), max_size: Some(3), ..key };
    assert_eq!(freeze.retire(&narrow), narrow);
}
