//! The record format against its schema: every kind is valid CDDL, reads back as written, and is refused in every other spelling.

use proptest::prelude::*;
use verifier::decision::{
    Class, Classes, Condition, Counted, Counter, Decision, Detail, Evidence, EvidenceNonce, Grant, Named, Outcome,
    PermitId, Shadow, Signed, commitment,
};
use verifier::hash::Hash;
use verifier::http_signature::HttpSignature;
use verifier::record::{ExecutionEvent, LeaseEvent, MAX_BODY, MAX_NAME, MAX_NOTE, MAX_RECORD, Record, RecordError};

const RECORD_CDDL: &str = include_str!("../../record.cddl");
const DETAIL_CDDL: &str = include_str!("../../detail.cddl");

fn classes() -> Classes {
    let mut classes = Classes::new([Class::NotRequired; 9]);
    for condition in [Condition::Policy, Condition::Identity, Condition::Runtime, Condition::Permissions] {
        classes.set(condition, Class::Pass);
    }
    classes
}

fn allow() -> Decision {
    Decision {
        recorded_at: 1_795_428_000_123,
        governance: 1,
        epoch: 1,
        permit: PermitId([0xa5; 16]),
        realm: "main".into(),
        evaluated_at: 1_795_428_000_120,
        outcome: Outcome::Allow,
        classes: classes(),
        request: Hash([1; 32]),
        detail: Hash([2; 32]),
        grant: Some(Grant { expires_at: 1_795_428_060_120, uses: 1, lease_ends_at: None }),
        audience: None,
        shadow: None,
    }
}

fn deny() -> Decision {
    let mut classes = classes();
    classes.set(Condition::Policy, Class::Fail);
    Decision { outcome: Outcome::Deny, grant: None, classes, ..allow() }
}

/// At least one record of each kind, optional fields both ways.
pub fn every_kind() -> Vec<Record> {
    let recorded_at = 1_795_428_000_000;
    let note = || "interlock/switch/v1\n".to_owned();
    let permit = PermitId([9; 16]);
    let full = Decision {
        grant: Some(Grant { expires_at: 9, uses: 3, lease_ends_at: Some(8) }),
        audience: Some("gateway".into()),
        shadow: Some(Shadow { epoch: 2, outcome: Outcome::Deny, classes: classes() }),
        ..allow()
    };
    vec![
        Record::EpochPart { recorded_at, epoch: 1, part: 0, bytes: vec![1, 2, 3] },
        Record::Epoch { recorded_at, governance: 1, first_part: 0, parts: 1, note: note(), predecessor: None },
        Record::Epoch { recorded_at, governance: 1, first_part: 0, parts: 1, note: note(), predecessor: Some(note()) },
        Record::Decision(Box::new(allow())),
        Record::Decision(Box::new(deny())),
        Record::Decision(Box::new(full)),
        Record::Closure { recorded_at, permit, event: ExecutionEvent::Started, executed: None, note: None },
        Record::Closure {
            recorded_at,
            permit,
            event: ExecutionEvent::Missing,
            executed: Some(Hash([3; 32])),
            note: Some(note()),
        },
        Record::Lease { recorded_at, permit, event: LeaseEvent::Renewed, ends_at: Some(7), cause: None },
        Record::Lease { recorded_at, permit, event: LeaseEvent::Expired, ends_at: None, cause: Some("late".into()) },
        Record::Approval { recorded_at, decision: permit, note: note() },
        Record::Revocation { recorded_at, governance: 2, note: note() },
        Record::Switch { recorded_at, governance: 2, note: note() },
        Record::SystemSwitch { recorded_at, governance: 2, cause: "engine_mismatch".into() },
        Record::Statement { recorded_at, realm: "main".into(), media_type: "text/plain".into(), body: vec![0; 70] },
        Record::State { recorded_at, decisions: 65_536, digest: Hash([4; 32]) },
        Record::Anchor { recorded_at, size: 5, root: Hash([5; 32]), instance: "rekor".into(), entry: vec![6] },
        Record::Erasure { recorded_at, index: 4, parts: 3, note: note() },
        Record::Freeze { recorded_at, governance: 3, note: note() },
        Record::Recovery { recorded_at, size: 0, cause: "memory_loss".into() },
    ]
}

pub fn details() -> [Detail; 3] {
    let small = Detail {
        subject: ("Agent".into(), "a".into()),
        action: "read".into(),
        resource: ("Doc".into(), "d".into()),
        parent: None,
        key_id: "0123456789ab".into(),
        codes: vec![],
        policies: None,
        errors: None,
        idempotency: None,
        retry_of: None,
        authzen: false,
        counted: vec![],
        scopes: vec![],
        delegates: vec![],
        signed: None,
        retry_salt: None,
        evidence: None,
    };
    let many: Vec<String> = (0..50).map(|i| format!("policy-{i:03}")).collect();
    let params = r#"("@method" "@path" "content-digest");created=1;expires=2;nonce="n";keyid="k";tag="o""#;
    let signature = HttpSignature {
        path: "/v1/decisions".into(),
        params: params.into(),
        digest: Hash([8; 32]),
        signature: [9; 64],
    };
    let full = Detail {
        parent: Some(PermitId([1; 16])),
        codes: vec![(Condition::Policy, "forbidden".into()), (Condition::Runtime, "deadline".into())],
        policies: Some(Named::new(&many)),
        errors: Some(Named::new(&["x".to_owned()])),
        idempotency: Some([7; 32]),
        retry_of: Some(PermitId([2; 16])),
        authzen: true,
        counted: [Counter::Rate, Counter::Budget, Counter::Concurrency]
            .map(|counter| Counted { counter, name: "limit".into(), amount: 3 })
            .into(),
        scopes: vec!["mail:read".into()],
        delegates: vec!["Agent::\"b\"".into()],
        signed: Some(Signed { signature: signature.into(), body: [3; 16], item: 4 }),
        retry_salt: Some([5; 16]),
        evidence: Some(Evidence {
            issuers: vec!["a".into(), "b".into()],
            nonce: Some(EvidenceNonce { id: [6; 32], expires_ms: 7 }),
        }),
        ..small.clone()
    };
    let reusable = Evidence { issuers: vec!["a".into()], nonce: None };
    let attested = Detail { evidence: Some(reusable), ..small.clone() };
    [small, full, attested]
}

#[test]
fn every_kind_is_valid_under_the_schema_and_reads_back_as_written() {
    for record in every_kind() {
        let bytes = record.encode();
        cddl::validate_cbor_from_slice(RECORD_CDDL, &bytes, None).unwrap_or_else(|error| panic!("{record:?}: {error}"));
        assert_eq!(Record::decode(&bytes), Ok(record));
    }
    for detail in details() {
        let bytes = detail.encode();
        cddl::validate_cbor_from_slice(DETAIL_CDDL, &bytes, None).unwrap_or_else(|error| panic!("{detail:?}: {error}"));
        assert_eq!(Detail::decode(&bytes), Ok(detail));
    }
}

#[test]
fn the_schema_itself_refuses_what_it_does_not_have() {
    let mut bytes = Record::State { recorded_at: 1, decisions: 2, digest: Hash([4; 32]) }.encode();
    bytes[4] = 16; // a kind that does not exist
    assert!(cddl::validate_cbor_from_slice(RECORD_CDDL, &bytes, None).is_err());
    assert_eq!(Record::decode(&bytes), Err(RecordError::UnknownKind(16)));
}

/// Golden bytes: changing them is changing the format, which needs a new version number.
#[test]
fn the_decision_leaf_has_these_bytes() {
    let hex = verifier::text::hex(&Record::Decision(Box::new(allow())).encode());
    let golden = concat!(
        "ae",
        "0001",
        "0103",
        "021b000001a207d9217b",
        "0301",
        "0401",
        "0550a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5",
        "06646d61696e",
        "071b000001a207d92178",
        "0801",
        "0949000001000101010100",
        "0a5820",
        "0101010101010101010101010101010101010101010101010101010101010101",
        "0b5820",
        "0202020202020202020202020202020202020202020202020202020202020202",
        "0c1b000001a207da0bd8",
        "0d01"
    );
    assert_eq!(hex, golden);
}

#[test]
fn the_parts_of_a_detail_that_prove_something_have_these_bytes() {
    let [small, full, attested] = details();
    let part = |with: Vec<u8>, without: Vec<u8>| {
        let head = [&[without[0] + 1], &without[1..]].concat();
        verifier::text::hex(with.strip_prefix(&head[..]).unwrap())
    };
    assert_eq!(part(attested.encode(), small.encode()), "1181816161");
    let golden = format!("118382616161625820{}07", "06".repeat(32));
    assert_eq!(part(Detail { evidence: full.evidence, ..small.clone() }.encode(), small.encode()), golden);
    let [small, full, _] = details();
    let (without, with) = (small.encode(), Detail { signed: full.signed, ..small }.encode());
    let part = with.strip_prefix(&[&[without[0] + 1], &without[1..]].concat()[..]).unwrap();
    let golden = concat!(
        "0f86",
        "6d2f76312f6465636973696f6e73",
        "7854",
        "2822406d6574686f6422202240706174682220",
        "22636f6e74656e742d64696765737422293b",
        "637265617465643d313b657870697265733d323b6e6f6e63653d226e223b",
        "6b657969643d226b223b7461673d226f22",
        "5820",
        "0808080808080808080808080808080808080808080808080808080808080808",
        "5840",
        "0909090909090909090909090909090909090909090909090909090909090909",
        "0909090909090909090909090909090909090909090909090909090909090909",
        "5003030303030303030303030303030303",
        "04"
    );
    assert_eq!(verifier::text::hex(part), golden);
    let [small, full, _] = details();
    let (without, with) = (small.encode(), Detail { retry_salt: full.retry_salt, ..small }.encode());
    let part = with.strip_prefix(&[&[without[0] + 1], &without[1..]].concat()[..]).unwrap();
    assert_eq!(verifier::text::hex(part), "105005050505050505050505050505050505");
}

/// Hashing is half of what a decision costs: the usual leaf must stay within three SHA-256 blocks.
#[test]
fn the_usual_leaf_with_its_prefix_hashes_in_three_blocks() {
    let leaf = Record::Decision(Box::new(allow())).encode();
    assert!(1 + leaf.len() + 9 <= 3 * 64, "{}", leaf.len());
}

#[test]
fn any_change_of_one_bit_is_refused_or_another_record() {
    for record in every_kind() {
        let bytes = record.encode();
        for bit in 0..bytes.len().min(400) * 8 {
            let mut changed = bytes.clone();
            changed[bit / 8] ^= 1 << (bit % 8);
            if let Ok(other) = Record::decode(&changed) {
                assert_ne!(other, record);
                assert_eq!(other.encode(), changed, "two spellings of {other:?}");
            }
        }
        for len in 0..bytes.len() {
            assert!(Record::decode(&bytes[..len]).is_err());
        }
        assert!(Record::decode(&[&bytes[..], &[0]].concat()).is_err());
    }
}

#[test]
fn an_allow_without_a_grant_and_a_denial_with_one_are_refused() {
    let hollow = Record::Decision(Box::new(Decision { grant: None, ..allow() })).encode();
    assert!(Record::decode(&hollow).is_err());
    let generous = Record::Decision(Box::new(Decision { grant: allow().grant, ..deny() })).encode();
    assert!(Record::decode(&generous).is_err());
}

/// Threat 31: lists are cut with count and digest, and the largest record of each kind fits into an entry bundle.
#[test]
fn the_largest_records_fit() {
    let name = || "n".repeat(MAX_NAME);
    let note = || "n".repeat(MAX_NOTE);
    let most = u64::MAX;
    let largest = [
        Record::EpochPart { recorded_at: most, epoch: most, part: most, bytes: vec![0; MAX_BODY] },
        Record::Epoch {
            recorded_at: most,
            governance: most,
            first_part: most,
            parts: most,
            note: note(),
            predecessor: Some(note()),
        },
        Record::Statement { recorded_at: most, realm: name(), media_type: name(), body: vec![0; MAX_BODY] },
        Record::Anchor {
            recorded_at: most,
            size: most,
            root: Hash([0; 32]),
            instance: name(),
            entry: vec![0; MAX_BODY],
        },
    ];
    for record in largest {
        let bytes = record.encode();
        assert!(bytes.len() <= MAX_RECORD);
        assert_eq!(Record::decode(&bytes), Ok(record));
    }
    let names: Vec<String> = (0..100_000).map(|i| format!("{i:06}")).collect();
    let named = Named::new(&names);
    assert_eq!((named.shown.len(), named.count), (Named::SHOWN, 100_000));
}

/// Threat 1: bytes that a client submits are wrapped. Even if they decode as an allowing decision, their leaf is a statement.
#[test]
fn bytes_of_a_client_are_never_a_decision() {
    let forged = Record::Decision(Box::new(allow())).encode();
    assert!(matches!(Record::decode(&forged), Ok(Record::Decision(_))));
    let media_type = "application/octet-stream".to_owned();
    let wrapped = Record::Statement { recorded_at: 1, realm: "main".into(), media_type, body: forged.clone() };
    let leaf = wrapped.encode();
    assert_ne!(verifier::hash::leaf_hash(&leaf), verifier::hash::leaf_hash(&forged));
    assert_eq!(Record::decode(&leaf), Ok(wrapped));
}

/// Threat 7: the leaf says nothing of who, what and how much; equal requests have unlike commitments under unlike salts.
#[test]
fn the_leaf_tells_nothing_of_the_request() {
    let request = br#"{"subject":{"type":"Customer","id":"mia"},"amount":250}"#;
    assert_ne!(commitment(&[1; 16], request), commitment(&[2; 16], request));
    let decision = Decision { request: commitment(&[1; 16], request), ..allow() };
    let leaf = Record::Decision(Box::new(decision)).encode();
    for secret in [&b"mia"[..], b"250", b"Customer"] {
        assert!(!leaf.windows(secret.len()).any(|window| window == secret));
    }
}

proptest! {
    #[test]
    fn random_bytes_never_panic_and_decode_only_in_their_one_form(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
        if let Ok(record) = Record::decode(&bytes) {
            prop_assert_eq!(record.encode(), bytes.clone());
        }
        if let Ok(detail) = Detail::decode(&bytes) {
            prop_assert_eq!(detail.encode(), bytes);
        }
    }
}
