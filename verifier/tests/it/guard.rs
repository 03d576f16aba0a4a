//! The guard against every way in which a permit can be wrong, forged, stolen, replayed or out of time.

use ed25519_dalek::{Signer, SigningKey};
use verifier::checkpoint::Checkpoint;
use verifier::decision::{Class, Classes, Condition, Decision, Grant, Outcome, PermitId, commitment};
use verifier::guard::{Claim, Guard, LONGEST_MAX_LIFETIME_MS, Permit, Refusal, Trust, TrustError};
use verifier::guard::{UseStore, UseStoreError};
use verifier::hash::{Hash, leaf_hash, root_of};
use verifier::note::{VerifierKey, key_id, signature_line};
use verifier::proof::{Nodes, prove_inclusion};
use verifier::receipt::Receipt;
use verifier::record::Record;

pub(crate) const ORIGIN: &str = "ledger.example/evidence";
pub(crate) const NOW: u64 = 1_795_428_000_000;
pub(crate) const REQUEST: &[u8] =
    br#"{"subject":{"type":"Agent","id":"a"},"action":{"name":"refund"},"resource":{"type":"Booking","id":"b"},"context":{"amount":250}}"#;
pub(crate) const SALT: [u8; 16] = [7; 16];

/// A log of a few leaves under a key, as a test needs it.
pub(crate) struct Log {
    key: SigningKey,
    pub(crate) leaves: Vec<Vec<u8>>,
}

struct Leaves(Vec<Hash>);

impl Nodes for Leaves {
    type Error = std::convert::Infallible;
    fn node(&self, height: u8, index: u64) -> Result<Hash, Self::Error> {
        let width = 1_usize << height;
        let first = usize::try_from(index).unwrap() * width;
        Ok(root_of(&self.0[first..first + width]))
    }
}

impl Log {
    pub(crate) fn new(seed: u8) -> Self {
        Self { key: SigningKey::from_bytes(&[seed; 32]), leaves: (0..5).map(|i| statement(&[i])).collect() }
    }

    pub(crate) fn vkey(&self) -> VerifierKey {
        VerifierKey::new(ORIGIN, &self.key.verifying_key().to_bytes()).unwrap()
    }

    /// Appends a leaf and gives its receipt in the head after it.
    pub(crate) fn permit(&mut self, leaf: Vec<u8>, salt: [u8; 16]) -> Permit {
        self.leaves.push(leaf.clone());
        let hashes: Vec<Hash> = self.leaves.iter().map(|leaf| leaf_hash(leaf)).collect();
        let (index, size) = (hashes.len() as u64 - 1, hashes.len() as u64);
        let text = Checkpoint { origin: ORIGIN.into(), size, root: root_of(&hashes) }.text();
        let public = self.key.verifying_key().to_bytes();
        let signature = self.key.sign(text.as_bytes()).to_bytes();
        let checkpoint = format!("{text}\n{}", signature_line(ORIGIN, key_id(ORIGIN, 1, &public), &signature));
        let path = prove_inclusion(&Leaves(hashes), index, size).unwrap();
        Permit { record: leaf, salt, receipt: Receipt { index, path, extra: None, checkpoint } }
    }

    /// The path of an entry under the newest head.
    pub(crate) fn path(&self, index: u64) -> Vec<Hash> {
        let hashes: Vec<Hash> = self.leaves.iter().map(|leaf| leaf_hash(leaf)).collect();
        let size = hashes.len() as u64;
        prove_inclusion(&Leaves(hashes), index, size).unwrap()
    }

    pub(crate) fn decide(&mut self, decision: Decision) -> Permit {
        self.permit(Record::Decision(Box::new(decision)).encode(), SALT)
    }
}

pub(crate) fn statement(body: &[u8]) -> Vec<u8> {
    Record::Statement { recorded_at: NOW, realm: "main".into(), media_type: "text/plain".into(), body: body.to_vec() }
        .encode()
}

pub(crate) fn allow() -> Decision {
    let mut classes = Classes::new([Class::NotRequired; 9]);
    for condition in [Condition::Policy, Condition::Identity, Condition::Runtime, Condition::Permissions] {
        classes.set(condition, Class::Pass);
    }
    Decision {
        recorded_at: NOW - 5,
        governance: 1,
        epoch: 1,
        permit: PermitId([1; 16]),
        realm: "main".into(),
        evaluated_at: NOW - 9,
        outcome: Outcome::Allow,
        classes,
        request: commitment(&SALT, REQUEST),
        detail: Hash([2; 32]),
        grant: Some(Grant { expires_at: NOW + 59_991, uses: 1, lease_ends_at: None }),
        audience: Some("gateway".into()),
        shadow: None,
    }
}

/// Forgets everything: only for what must fail before a use is taken, and for counting.
#[derive(Default)]
pub(crate) struct Memory(Vec<(PermitId, u32)>);

impl UseStore for Memory {
    fn claim(&mut self, permit: PermitId, nth: u32, _: u64) -> Result<Claim, UseStoreError> {
        if self.0.contains(&(permit, nth)) {
            return Ok(Claim::AlreadyTaken);
        }
        self.0.push((permit, nth));
        Ok(Claim::Taken)
    }
}

pub(crate) fn trust(log: &Log, more: &str) -> Trust {
    let key = format!("[[log_key]]\nvkey = \"{}\"\n", log.vkey());
    Trust::parse(&format!("realm = \"main\"\naudience = \"gateway\"\nmax_lifetime_ms = 60000\n{key}{more}")).unwrap()
}

fn judge(decision: Decision) -> Result<u64, Refusal> {
    let mut log = Log::new(1);
    let permit = log.decide(decision);
    Guard::new(trust(&log, ""), Memory::default(), 0).admit(REQUEST, &permit, NOW).map(|admitted| admitted.ends_at())
}

#[test]
fn an_honest_permit_admits_the_request_that_it_was_given_for() {
    let mut log = Log::new(1);
    let permit = log.decide(allow());
    let admitted = Guard::new(trust(&log, ""), Memory::default(), 0).admit(REQUEST, &permit, NOW).unwrap();
    assert_eq!(admitted.request().action.name, "refund");
    assert_eq!((admitted.permit(), admitted.nth(), admitted.index()), (PermitId([1; 16]), 0, 5));
    assert_eq!(admitted.ends_at(), NOW + 59_991);
    assert_eq!(admitted.head().checkpoint().size, 6);
}

/// Threat 1: what a client submitted stands inside a statement; the guard takes no statement for a permit.
#[test]
fn a_forged_decision_inside_a_statement_is_no_permit() {
    let mut log = Log::new(1);
    let forged = Record::Decision(Box::new(allow())).encode();
    let permit = log.permit(statement(&forged), SALT);
    let mut guard = Guard::new(trust(&log, ""), Memory::default(), 0);
    assert_eq!(guard.admit(REQUEST, &permit, NOW).unwrap_err(), Refusal::NotADecision);
    // Nor does it take the forged bytes themselves: their hash is not in the tree.
    let stolen = Permit { record: forged, ..permit };
    assert_eq!(guard.admit(REQUEST, &stolen, NOW).unwrap_err().code(), "bad_proof");
}

/// Threat 11: other bytes with the same meaning, or fields that one parser sees and another does not, are not the permitted request.
#[test]
fn other_bytes_than_the_committed_are_another_request() {
    let mut log = Log::new(1);
    let permit = log.decide(allow());
    let mut guard = Guard::new(trust(&log, ""), Memory::default(), 0);
    let spaced = [REQUEST, b" "].concat();
    let text = std::str::from_utf8(REQUEST).unwrap();
    let doubled = text.replace("\"amount\":250", "\"amount\":250,\"amount\":9999");
    for other in [spaced.as_slice(), doubled.as_bytes(), b"{}", b""] {
        assert_eq!(guard.admit(other, &permit, NOW).unwrap_err(), Refusal::WrongRequest);
    }
    // Even a committed request with a duplicate key, or a field that the decision ignored, is not handed to an executor.
    for (more, code) in
        [(doubled, "duplicate_key"), (text.replace("\"context\"", "\"note\":1,\"context\""), "unknown_field")]
    {
        let permit = log.decide(Decision { request: commitment(&SALT, more.as_bytes()), ..allow() });
        let refusal = guard.admit(more.as_bytes(), &permit, NOW).unwrap_err();
        assert!(matches!(&refusal, Refusal::UnreadableRequest(error) if error.code() == code), "{refusal}");
    }
}

/// Threat 29: an allow with nine times `not_required`, or with a condition that failed, admits nothing.
#[test]
fn a_hollow_permit_admits_nothing() {
    let hollow = Decision { classes: Classes::new([Class::NotRequired; 9]), ..allow() };
    assert_eq!(judge(hollow), Err(Refusal::Hollow(Condition::Policy, Class::NotRequired)));
    for condition in Condition::ALL {
        for class in [Class::Fail, Class::Unknown] {
            let mut classes = allow().classes;
            classes.set(condition, class);
            assert_eq!(judge(Decision { classes, ..allow() }), Err(Refusal::Hollow(condition, class)));
        }
    }
    // The enforcement point's own list is demanded on top.
    let mut log = Log::new(1);
    let permit = log.decide(allow());
    let mut trust = trust(&log, "");
    trust.require.insert(Condition::Attestation);
    let refusal = Guard::new(trust, Memory::default(), 0).admit(REQUEST, &permit, NOW).unwrap_err();
    assert_eq!(refusal, Refusal::Hollow(Condition::Attestation, Class::NotRequired));
}

#[test]
fn a_permit_for_somebody_else_or_another_time_admits_nothing() {
    let denied = Decision { outcome: Outcome::Deny, grant: None, ..allow() };
    assert_eq!(judge(denied), Err(Refusal::Denied));
    assert_eq!(judge(Decision { realm: "test".into(), ..allow() }), Err(Refusal::WrongRealm));
    assert_eq!(judge(Decision { audience: None, ..allow() }), Err(Refusal::WrongAudience));
    assert_eq!(judge(Decision { audience: Some("other".into()), ..allow() }), Err(Refusal::WrongAudience));
    let grant = |expires_at, lease_ends_at| Some(Grant { expires_at, uses: 1, lease_ends_at });
    assert_eq!(judge(Decision { grant: grant(NOW, None), ..allow() }), Err(Refusal::Expired));
    assert_eq!(judge(Decision { grant: grant(NOW + 1, None), ..allow() }), Ok(NOW + 1));
    assert_eq!(judge(Decision { grant: grant(NOW + 9, Some(NOW)), ..allow() }), Err(Refusal::Expired));
    assert_eq!(judge(Decision { grant: grant(NOW + 9, Some(NOW + 2)), ..allow() }), Ok(NOW + 2));
    assert_eq!(judge(Decision { grant: grant(NOW + 59_992, None), ..allow() }), Err(Refusal::LifetimeTooLong));
    let ahead = Decision { recorded_at: NOW + 5_001, evaluated_at: NOW, ..allow() };
    assert_eq!(judge(ahead), Err(Refusal::FromTheFuture));
    // What the sequencer never writes: evaluated after it was recorded, over before it began.
    let backwards = Decision { evaluated_at: NOW - 4, ..allow() };
    assert_eq!(judge(backwards).unwrap_err().code(), "malformed_record");
    let (recorded_at, at) = (NOW + 2, NOW + 1);
    for grant in [grant(at, None), grant(NOW + 9, Some(at))] {
        assert_eq!(judge(Decision { recorded_at, grant, ..allow() }).unwrap_err().code(), "malformed_record");
    }
}

/// Threat 36: a retired key is not believed for later heads, for later records, nor, whatever time its thief writes, any longer now.
#[test]
fn a_retired_key_is_not_believed() {
    let mut log = Log::new(1);
    let permit = log.decide(allow());
    let judge = |more: &str, now| {
        Guard::new(trust(&log, more), Memory::default(), 0)
            .admit(REQUEST, &permit, now)
            .map(|admitted| admitted.index())
    };
    assert_eq!(judge("max_size = 6", NOW), Ok(5));
    assert_eq!(judge("max_size = 5", NOW), Err(Refusal::RetiredKey));
    let at = |ms: u64| jiff::Timestamp::from_millisecond(ms.try_into().unwrap()).unwrap();
    assert_eq!(judge(&format!("not_after = \"{}\"", at(NOW - 5)), NOW), Err(Refusal::RetiredKey));
    assert_eq!(judge(&format!("not_after = \"{}\"", at(NOW)), NOW), Err(Refusal::RetiredKey));
    assert_eq!(judge(&format!("not_after = \"{}\"", at(NOW + 1)), NOW), Ok(5));
    assert_eq!(judge(&format!("not_before = \"{}\"", at(NOW - 4)), NOW), Err(Refusal::RetiredKey));
}

/// A retirement that was appended as a second entry of the same key was never read: the first entry was believed.
#[test]
fn a_trust_file_that_names_a_key_twice_is_refused() {
    let (log, other) = (Log::new(1), Log::new(2));
    let file = |keys: &[VerifierKey]| {
        let keys: Vec<_> = keys.iter().map(|key| format!("[[log_key]]\nvkey = \"{key}\"\n")).collect();
        Trust::parse(&format!("realm = \"main\"\n{}max_size = 1\n", keys.concat()))
    };
    assert_eq!(file(&[log.vkey(), other.vkey()]).unwrap().keys.len(), 2);
    for keys in [vec![log.vkey(), log.vkey()], vec![log.vkey(), other.vkey(), log.vkey()]] {
        assert_eq!(file(&keys), Err(TrustError::DuplicateKey(log.vkey().to_string())));
    }
}

#[test]
fn a_trust_file_cannot_accept_a_permit_for_ever() {
    let log = Log::new(1);
    let file = |ms: u64| {
        let key = format!("[[log_key]]\nvkey = \"{}\"\n", log.vkey());
        Trust::parse(&format!("realm = \"main\"\nmax_lifetime_ms = {ms}\n{key}")).map(|trust| trust.max_lifetime_ms)
    };
    assert_eq!(file(LONGEST_MAX_LIFETIME_MS), Ok(LONGEST_MAX_LIFETIME_MS));
    for ms in [0, LONGEST_MAX_LIFETIME_MS + 1, i64::MAX as u64] {
        assert_eq!(file(ms), Err(TrustError::Lifetime(ms)));
    }
    // Nor can one that was built without a file.
    let mut log = Log::new(1);
    let grant = Some(Grant { expires_at: NOW + LONGEST_MAX_LIFETIME_MS, uses: 1, lease_ends_at: None });
    let permit = log.decide(Decision { grant, ..allow() });
    let trust = Trust { max_lifetime_ms: u64::MAX, ..trust(&log, "") };
    let refusal = Guard::new(trust, Memory::default(), 0).admit(REQUEST, &permit, NOW).unwrap_err();
    assert_eq!(refusal, Refusal::LifetimeTooLong);
}

/// A permit with one record beside the receipt and another one inside was admitted for the first; a reader of the second saw another story.
#[test]
fn a_receipt_that_carries_another_record_admits_nothing() {
    let mut log = Log::new(1);
    let mut permit = log.decide(allow());
    permit.receipt.extra = Some(Record::Decision(Box::new(Decision { epoch: 2, ..allow() })).encode());
    let mut guard = Guard::new(trust(&log, ""), Memory::default(), 0);
    assert_eq!(guard.admit(REQUEST, &permit, NOW).unwrap_err().code(), "malformed_permit");
    permit.receipt.extra = Some(permit.record.clone());
    assert!(guard.admit(REQUEST, &permit, NOW).is_ok());
}

#[test]
fn a_head_under_another_key_or_a_changed_proof_admits_nothing() {
    let (mut log, other) = (Log::new(1), Log::new(2));
    let permit = log.decide(allow());
    let refusal = Guard::new(trust(&other, ""), Memory::default(), 0).admit(REQUEST, &permit, NOW).unwrap_err();
    assert_eq!(refusal, Refusal::UnknownKey);
    let mut guard = Guard::new(trust(&log, ""), Memory::default(), 0);
    for hash in 0..permit.receipt.path.len() {
        let mut bent = permit.clone();
        bent.receipt.path[hash].0[0] ^= 1;
        assert_eq!(guard.admit(REQUEST, &bent, NOW).unwrap_err().code(), "bad_proof");
    }
    let mut moved = permit.clone();
    moved.receipt.index = 4;
    assert_eq!(guard.admit(REQUEST, &moved, NOW).unwrap_err().code(), "bad_proof");
    let mut resized = permit.clone();
    resized.receipt.checkpoint = permit.receipt.checkpoint.replacen("\n6\n", "\n7\n", 1);
    assert_eq!(guard.admit(REQUEST, &resized, NOW).unwrap_err().code(), "bad_proof");
    let mut salted = permit.clone();
    salted.salt[0] ^= 1;
    assert_eq!(guard.admit(REQUEST, &salted, NOW).unwrap_err(), Refusal::WrongRequest);
    assert!(guard.admit(REQUEST, &permit, NOW).is_ok(), "no refusal before took the use");
}

#[test]
fn a_permit_is_read_from_an_answer_and_from_nothing_less() {
    let mut log = Log::new(1);
    let permit = log.decide(allow());
    let record = verifier::text::b64(&permit.record);
    let salt = verifier::text::b64(&permit.salt);
    let answer =
        serde_json::json!({"decision": true, "record": record, "salt": salt, "receipt": permit.receipt.text()});
    assert_eq!(Permit::from_answer(answer.to_string().as_bytes()), Ok(permit));
    for missing in ["record", "salt", "receipt"] {
        let mut less = answer.clone();
        less.as_object_mut().unwrap().remove(missing);
        assert_eq!(Permit::from_answer(less.to_string().as_bytes()).unwrap_err().code(), "malformed_permit");
    }
}
