//! Every decoder of this crate under thousands of mutants of what our own encoders write: none panics, what is accepted comes back byte for
//! byte (or, where spaces mean nothing, as the same value), and nothing beyond a limit is accepted.

use ed25519_dalek::{Signer, SigningKey};
use verifier::act::{Act, Deed, Mode, Power, Revoked, Target};
use verifier::bundle::{MAX_BUNDLE, MAX_ENTRIES as MAX_BUNDLE_ENTRIES};
use verifier::checkpoint::Checkpoint;
use verifier::cose::{Consistency, CoseReceipt, Inclusion, MAX_COSE};
use verifier::decision::Detail;
use verifier::epoch::EpochContent;
use verifier::evidence::claims::Claims;
use verifier::evidence::dsse::{Envelope, IN_TOTO};
use verifier::evidence::eat::Eat;
use verifier::evidence::key::IssuerKey;
use verifier::evidence::statement::{STATEMENT, Statement};
use verifier::evidence::{MAX_NAME as MAX_EVIDENCE_NAME, MAX_PARTS, MAX_TOKEN, Signed, cwt, jws};
use verifier::guard::{Permit, Trust};
use verifier::hash::leaf_hash;
use verifier::json::Json;
use verifier::note::{MAX_NAME, MAX_NOTE, MAX_SIGNATURE_LINE, MAX_SIGNATURES, Note, VerifierKey, signature_line};
use verifier::proof::{MAX_CONSISTENCY, MAX_PATH};
use verifier::receipt::{Form, MAX_EXTRA, MAX_JSON, MAX_RANGE_PROOF, RangeReceipt, Receipt};
use verifier::record::{MAX_RECORD, Record};
use verifier::request::{MAX_ASSERTIONS, MAX_REQUEST, Request};
use verifier::text::{DECIMAL_LIMIT, b64, b64url, hex, unhex};
use verifier::tile::{Bundle, MAX_LEVEL, Resource, Tile, entries, push_entry};

use crate::corpus::Desk;
use crate::mutate::{as_it_is, mutate};
use crate::records::{details, every_kind};
use crate::support::leaves;

/// A decoder of text.
fn of_text(read: impl Fn(&str) -> Option<String>) -> impl Fn(&[u8]) -> Option<Vec<u8>> {
    move |bytes| read(std::str::from_utf8(bytes).ok()?).map(String::into_bytes)
}

fn key() -> (SigningKey, VerifierKey) {
    let signing = SigningKey::from_bytes(&[1; 32]);
    let key = VerifierKey::new("ledger.example/evidence", signing.verifying_key().as_bytes()).unwrap();
    (signing, key)
}

fn signed(text: &str, lines: usize) -> String {
    let (signing, key) = key();
    let line = signature_line(key.name(), key.id(), &signing.sign(text.as_bytes()).to_bytes());
    format!("{text}\n{}", line.repeat(lines))
}

fn heads() -> Vec<String> {
    let checkpoint = |size, root| Checkpoint { origin: "ledger.example/evidence".into(), size, root };
    let texts = [checkpoint(3, leaf_hash(b"a")), checkpoint(u64::MAX >> 1, leaf_hash(b"b"))].map(|head| head.text());
    vec![texts[0].clone(), texts[1].clone(), format!("{}extension\nanother\n", texts[0])]
}

fn bytes(texts: &[String]) -> Vec<Vec<u8>> {
    texts.iter().map(|text| text.clone().into_bytes()).collect()
}

#[test]
fn notes_and_checkpoints() {
    let notes: Vec<String> = heads().iter().flat_map(|text| [signed(text, 1), signed(text, 3)]).collect();
    mutate(
        "note",
        &bytes(&notes),
        as_it_is,
        of_text(|text| {
            let note = Note::parse(text).ok()?;
            assert!(text.len() <= MAX_NOTE && (1..=MAX_SIGNATURES).contains(&note.signatures.len()));
            let lines = note.signatures.iter().map(|signature| {
                let line =
                    format!("\u{2014} {} {}\n", signature.name, b64(&[&signature.id[..], &signature.bytes].concat()));
                assert!(line.len() <= MAX_SIGNATURE_LINE + 1);
                line
            });
            Some(format!("{}\n{}", note.text, lines.collect::<String>()))
        }),
    );
    mutate(
        "checkpoint",
        &bytes(&heads()),
        as_it_is,
        of_text(|text| {
            let head = Checkpoint::parse_text(text).ok()?;
            assert!(head.size < DECIMAL_LIMIT && head.origin.len() <= MAX_NAME);
            // Extension lines are passed over; they stand behind the three lines that are written.
            let more = text.strip_prefix(&head.text())?;
            assert!(
                more.is_empty()
                    || (more.ends_with('\n') && more.trim_end_matches('\n').split('\n').all(|line| !line.is_empty()))
            );
            Some(format!("{}{more}", head.text()))
        }),
    );
    let (_, key) = key();
    mutate(
        "verification key",
        &[key.to_string().into_bytes()],
        as_it_is,
        of_text(|text| {
            let key: VerifierKey = text.parse().ok()?;
            assert!(key.name().len() <= MAX_NAME);
            Some(key.to_string())
        }),
    );
}

#[test]
fn tile_paths_and_bundles() {
    let tile = |level, index, width| Tile { level, index, width }.path();
    let paths = [
        tile(0, 0, 256),
        tile(0, 1_234_067, 8),
        tile(63, i64::MAX.unsigned_abs(), 255),
        Bundle { index: 0, width: 1 }.path(),
        Bundle { index: 70_000, width: 256 }.path(),
    ];
    mutate(
        "tile path",
        &bytes(&paths),
        as_it_is,
        of_text(|text| match Resource::parse(text).ok()? {
            Resource::Tile(tile) => {
                assert!(tile.level <= MAX_LEVEL && tile.index < DECIMAL_LIMIT && (1..=256).contains(&tile.width));
                Some(tile.path())
            }
            Resource::Bundle(bundle) => {
                assert!(bundle.index < DECIMAL_LIMIT && (1..=256).contains(&bundle.width));
                Some(bundle.path())
            }
        }),
    );
    let mut bundle = Vec::new();
    for record in every_kind() {
        push_entry(&mut bundle, &record.encode()).unwrap();
    }
    mutate("entry bundle", &[bundle, vec![0, 0], vec![]], as_it_is, |bytes| {
        let mut again = Vec::new();
        for entry in entries(bytes) {
            push_entry(&mut again, entry.ok()?).unwrap();
        }
        Some(again)
    });
}

fn receipts() -> Vec<Receipt> {
    let checkpoint = signed(&heads()[0], 1);
    let extra = Some(every_kind()[0].encode());
    vec![
        Receipt { index: 2, path: leaves(3), extra: extra.clone(), checkpoint: checkpoint.clone() },
        Receipt { index: 0, path: vec![], extra: None, checkpoint: checkpoint.clone() },
        Receipt { index: 1 << 60, path: leaves(MAX_PATH as u64), extra, checkpoint },
    ]
}

#[test]
fn receipts_of_all_forms() {
    let texts: Vec<String> = receipts().iter().map(Receipt::text).collect();
    mutate(
        "tlog-proof",
        &bytes(&texts),
        as_it_is,
        of_text(|text| {
            let receipt = Receipt::parse(text).ok()?;
            within(&receipt);
            Some(receipt.text())
        }),
    );
    let jsons: Vec<String> = receipts().iter().map(|receipt| receipt.to_json().unwrap()).collect();
    mutate("receipt JSON", &bytes(&jsons), as_it_is, |bytes| {
        let receipt = Receipt::from_json(bytes).ok()?;
        within(&receipt);
        assert!(bytes.len() <= MAX_JSON);
        assert_eq!(Receipt::from_json(receipt.to_json().unwrap().as_bytes()), Ok(receipt));
        Some(bytes.to_vec())
    });
    let checkpoint = signed(&heads()[0], 1);
    let range = |first, count, proof| RangeReceipt { first, count, proof, checkpoint: checkpoint.clone() }.to_json();
    let ranges = [range(0, 1, vec![]), range(5, 300, leaves(9)), range(1, 2, leaves(MAX_RANGE_PROOF as u64))];
    mutate("range receipt JSON", &bytes(&ranges), as_it_is, |bytes| {
        let receipt = RangeReceipt::from_json(bytes).ok()?;
        assert!(receipt.proof.len() <= MAX_RANGE_PROOF && receipt.checkpoint.len() <= MAX_NOTE && receipt.count > 0);
        assert!(receipt.first + receipt.count < DECIMAL_LIMIT);
        assert_eq!(RangeReceipt::from_json(receipt.to_json().as_bytes()), Ok(receipt));
        Some(bytes.to_vec())
    });
    let cose = [
        CoseReceipt::Inclusion(Inclusion { size: 9, index: 4, path: leaves(4), signature: [7; 64] }),
        CoseReceipt::Inclusion(Inclusion { size: 300, index: 299, path: leaves(1), signature: [8; 64] }),
        CoseReceipt::Consistency(Consistency { from: 3, to: 1 << 40, path: leaves(64), signature: [9; 64] }),
    ];
    let cose: Vec<Vec<u8>> = cose.iter().map(|receipt| receipt.encode().unwrap()).collect();
    let tried = mutate("COSE receipt", &cose, as_it_is, |bytes| {
        let receipt = CoseReceipt::decode(bytes).ok()?;
        let (CoseReceipt::Inclusion(Inclusion { path, .. }) | CoseReceipt::Consistency(Consistency { path, .. })) =
            &receipt;
        assert!(bytes.len() <= MAX_COSE && (1..=MAX_CONSISTENCY).contains(&path.len()));
        receipt.encode().ok()
    });
    assert!(tried.accepted > 0, "no mutant reached the end of the decoder");
    let desk = Desk::new();
    let bundles = [desk.all().encode(), desk.usual().encode()];
    let tried = mutate("evidence bundle", &bundles, as_it_is, |bytes| {
        let bundle = verifier::bundle::Bundle::decode(bytes).ok()?;
        assert!(bytes.len() <= MAX_BUNDLE && bundle.entries.len() <= MAX_BUNDLE_ENTRIES);
        Some(bundle.encode())
    });
    assert!(tried.accepted > 0, "no mutant reached the end of the decoder");
    let every: Vec<Vec<u8>> = [bytes(&texts), bytes(&jsons), bytes(&ranges), cose].concat();
    mutate("receipt of any form", &every, as_it_is, |bytes| match Form::read(bytes).ok()? {
        Form::Cose(receipt) => receipt.encode().ok(),
        Form::Leaf(receipt) if !bytes.trim_ascii_start().starts_with(b"{") => Some(receipt.text().into_bytes()),
        Form::Leaf(_) | Form::Range(_) => Some(bytes.to_vec()),
    });
}

fn within(receipt: &Receipt) {
    assert!(receipt.index < DECIMAL_LIMIT && receipt.path.len() <= MAX_PATH && receipt.checkpoint.len() <= MAX_NOTE);
    assert!(receipt.extra.as_ref().is_none_or(|extra| extra.len() <= MAX_EXTRA));
}

#[test]
fn records_details_and_epochs() {
    let records: Vec<Vec<u8>> = every_kind().iter().map(Record::encode).collect();
    let tried = mutate("record", &records, as_it_is, |bytes| {
        let record = Record::decode(bytes);
        assert_eq!(
            Record::outline(bytes).err(),
            record.as_ref().err().cloned(),
            "an outline is refused as the whole is"
        );
        let record = record.ok()?;
        let permit = if let Record::Decision(decision) = &record { Some(decision.permit) } else { None };
        assert_eq!(Record::stated_permit(bytes), Ok(permit), "what a leaf states is what it is");
        assert!(bytes.len() <= MAX_RECORD);
        Some(record.encode())
    });
    assert!(tried.accepted * 100 > tried.refused, "mutants of fields are other records");
    let details: Vec<Vec<u8>> = details().iter().map(Detail::encode).collect();
    mutate("detail", &details, as_it_is, |bytes| Some(Detail::decode(bytes).ok()?.encode()));
    let epoch = |policies: &[(&str, &str)], schema: Option<&str>, trust: Option<&str>| {
        let policies = policies.iter().map(|(id, text)| ((*id).to_owned(), (*text).to_owned())).collect();
        let (schema, trust) = (schema.map(str::to_owned), trust.map(str::to_owned));
        EpochContent { policies, schema, entities: None, trust }.encode()
    };
    let epochs = [
        epoch(&[], None, None),
        epoch(&[("a", "permit (principal, action, resource);"), ("b", "x")], Some("s"), Some("t")),
    ];
    mutate("epoch content", &epochs, as_it_is, |bytes| Some(EpochContent::decode(bytes).ok()?.encode()));
}

#[test]
fn acts() {
    let act = |deed| Act { origin: "ledger.example/evidence".into(), follows: 7, deed }.text();
    let switch = |target| act(Deed::Switch { target, power: Power::Halt, reason: "drill".into() });
    let acts = [
        act(Deed::Epoch { number: 1, content: leaf_hash(b"x"), mode: Mode::Shadow }),
        switch(Target::parse("global").unwrap()),
        switch(Target::parse("subject N::Agent::\"x::\\\"y\"").unwrap()),
        act(Deed::Revocation { what: Revoked::parse("issuer https://i.example").unwrap(), reason: "drill".into() }),
        act(Deed::Revocation { what: Revoked::parse("subject Agent::\"a\"").unwrap(), reason: "drill".into() }),
    ];
    mutate("act", &bytes(&acts), as_it_is, of_text(|text| Some(Act::parse(text).ok()?.text())));
}

#[test]
fn requests_permits_and_trust_files() {
    let requests = [
        r#"{"subject":{"type":"Agent","id":"a","properties":{"n":1,"f":-2.5e3,"s":"\u00e9\n"}},"action":{"name":"read"},"resource":{"type":"Doc","id":"1"},"context":{"deep":[[{"x":null}],true]},"ttl_ms":60000,"uses":2,"idempotency_key":"k"}"#,
        r#"{"subject":{"type":"A","id":"b"},"action":{"name":"c"},"resource":{"type":"D","id":"e"},"audience":"g","deadline":"2026-11-23T03:14:15.926Z","delegates":["x"],"scopes":["s"],"assertions":["a",{}],"attestation":"a","parent":"a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5"}"#,
    ]
    .map(|text| text.as_bytes().to_vec());
    mutate("JSON", &requests, as_it_is, |bytes| {
        let json = Json::parse(bytes).ok()?;
        let written = serde_json::to_vec(&json).unwrap();
        assert_eq!(Json::parse(&written).as_ref(), Ok(&json), "{}", String::from_utf8_lossy(bytes));
        Some(bytes.to_vec())
    });
    mutate("request JSON", &requests, as_it_is, |bytes| {
        let request = Request::parse(bytes).ok()?;
        assert!(bytes.len() <= MAX_REQUEST && request.assertions.len() <= MAX_ASSERTIONS);
        Some(bytes.to_vec())
    });
    let receipt = receipts()[0].text();
    let record = b64(receipts()[0].extra.as_ref().unwrap());
    let answer = format!(
        r#"{{"decision":true,"permit":"a5","index":2,"salt":"{}","record":"{record}","receipt":{}}}"#,
        b64(&[3; 16]),
        serde_json::to_string(&receipt).unwrap()
    );
    mutate("answer with a permit", &[answer.into_bytes()], as_it_is, |bytes| {
        Permit::from_answer(bytes).ok().map(|_| bytes.to_vec())
    });
    let (_, key) = key();
    let trust = format!(
        "realm = \"main\"\nrequire = [\"runtime\"]\nmax_lifetime_ms = 60000\n[[log_key]]\nvkey = \"{key}\"\nnot_after = \"2027-01-01T00:00:00Z\"\nmax_size = 100\n"
    );
    mutate("trust file", &[trust.into_bytes()], as_it_is, |bytes| {
        Trust::parse(std::str::from_utf8(bytes).ok()?).ok().map(|_| bytes.to_vec())
    });
}

const CLAIMS: &str = r#"{"iss":"https://i.example","sub":"Agent::\"a\"","aud":"o","exp":9,"nbf":1,"iat":2,"eat_nonce":"12345678","dbgstat":"disabled","measres":[["m",[["r","success"]]]],"psa-software-components":[{"measurement-type":"image","measurement-value":"BwcHBwcHBwcHBwcHBwcHBwcHBwcHBwcHBwcHBwcHBwc","measurement-desc":"sha-256"}]}"#;
/// RFC 8392, appendix A.3, and the same claims as EAT has them.
const CWTS: [&str; 2] = [
    "d28443a10126a104524173796d6d657472696345434453413235365850a70175636f61703a2f2f61732e6578616d706c652e636f6d02656572696b77037818636f61703a2f2f6c696768742e6578616d706c652e636f6d041a5612aeb0051a5610d9f0061a5610d9f007420b7158405427c1ff28d23fbad1f29c4c7c6a555e601d6fa29f9179bc3d7438bacaca5acd08c8d4d4f96131680c429a01f85951ecee743a52b9b63632c57209120e1c9e30",
    "d83dd28443a10127a05862aa0161690261730361610409050106020a480303030303030303190107011901128182616d818261720119095f81a30165696d616765025820070707070707070707070707070707070707070707070707070707070707070706677368612d323536584000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000",
];

fn compact(header: &str, payload: &str) -> String {
    format!("{}.{}.{}", b64url(header.as_bytes()), b64url(payload.as_bytes()), b64url(&[7; 64]))
}

/// What a signature is over is what was read, in each of the three forms.
#[test]
fn tokens_and_envelopes() {
    let tokens = [compact(r#"{"alg":"EdDSA"}"#, CLAIMS), compact(r#"{"alg":"ES256","typ":"JWT","kid":"k"}"#, "{}")];
    mutate(
        "compact JWS",
        &bytes(&tokens),
        as_it_is,
        of_text(|text| {
            let (Signed { message, signature, .. }, payload) = jws::read(text).ok()?;
            assert!(text.len() <= MAX_TOKEN && message.ends_with(format!(".{}", b64url(&payload)).as_bytes()));
            Some(format!("{}.{}", String::from_utf8(message).unwrap(), b64url(&signature)))
        }),
    );
    let keys = [[&b"ed25519:"[..], b64(key().1.key_bytes().as_slice()).as_bytes()].concat()];
    mutate("issuer's key", &keys, as_it_is, of_text(|text| Some(text.parse::<IssuerKey>().ok()?.to_string())));
    let envelope = format!(
        r#"{{"payloadType":"{IN_TOTO}","payload":"{}","signatures":[{{"keyid":"i","sig":"{}"}}]}}"#,
        b64(b"{}"),
        b64(&[7; 64])
    );
    mutate("DSSE envelope", &[envelope.into_bytes()], as_it_is, |bytes| {
        let Envelope { issuer, payload, .. } = Envelope::read(&Json::parse(bytes).ok()?).ok()?;
        assert!((1..=MAX_EVIDENCE_NAME).contains(&issuer.len()) && payload.len() <= MAX_TOKEN);
        Some(bytes.to_vec())
    });
    let tokens = CWTS[..1].iter().map(|hex| unhex(hex).unwrap()).collect::<Vec<_>>();
    let tried = mutate("CWT", &tokens, as_it_is, |bytes| {
        let (signed, payload) = cwt::read(bytes).ok()?;
        assert!(hex(&signed.message).contains(&hex(payload)) && hex(bytes).ends_with(&hex(&signed.signature)));
        Some(bytes.to_vec())
    });
    assert!(tried.accepted > 0, "no mutant reached the end of the decoder");
}

#[test]
fn claims_statements_and_attestations() {
    mutate("JWT claims", &[CLAIMS.as_bytes().to_vec()], as_it_is, |bytes| {
        let (claims, _) = Claims::of_jwt(bytes).ok()?;
        let names = [claims.issuer, claims.subject, claims.audience];
        assert!(names.iter().all(|name| (1..=MAX_EVIDENCE_NAME).contains(&name.len())) && claims.expires < 1 << 38);
        Some(bytes.to_vec())
    });
    let attestation = |payload: &[u8]| {
        let token = format!("{}.{}.{}", b64url(br#"{"alg":"EdDSA"}"#), b64url(payload), b64url(&[7; 64]));
        let (_, eat) = Eat::read(&token).ok()?;
        assert!(eat.measured.len() <= MAX_PARTS && eat.nonce.is_none_or(|nonce| (8..=88).contains(&nonce.len())));
        Some(payload.to_vec())
    };
    mutate("EAT in JSON", &[CLAIMS.as_bytes().to_vec()], as_it_is, attestation);
    let whole = unhex(CWTS[1]).unwrap();
    let tried = mutate("EAT in CBOR", &[whole], as_it_is, |bytes| {
        let (_, eat) = Eat::read(&b64url(bytes)).ok()?;
        assert!(eat.measured.len() <= MAX_PARTS && eat.nonce.is_none_or(|nonce| (8..=64).contains(&nonce.len())));
        Some(bytes.to_vec())
    });
    assert!(tried.accepted > 0, "no mutant reached the end of the decoder");
    let hex = "ab".repeat(32);
    let statement = format!(
        r#"{{"_type":"{STATEMENT}","subject":[{{"digest":{{"sha256":"{hex}"}}}}],"predicateType":"p","predicate":{{"r":"PASSED"}}}}"#
    );
    mutate("in-toto statement", &[statement.into_bytes()], as_it_is, |bytes| {
        let statement = Statement::read(bytes).ok()?;
        assert!((1..=MAX_PARTS).contains(&statement.digests.len()));
        Some(bytes.to_vec())
    });
}

#[test]
fn nothing_beyond_a_limit_is_accepted() {
    let digits = "9".repeat(1 << 20);
    assert!(Note::parse(&format!("{}\n{}", "a\n".repeat(MAX_NOTE), signed("x\n", 1))).is_err());
    assert!(Note::parse(&signed("x\n", MAX_SIGNATURES + 1)).is_err());
    assert!(Checkpoint::parse_text(&format!("o\n{digits}\n{}\n", leaf_hash(b""))).is_err());
    assert!(Resource::parse(&format!("tile/0/{}000", "x001/".repeat(1 << 16))).is_err());
    assert!(Receipt::parse(&format!("c2sp.org/tlog-proof@v1\nindex {digits}\n\nx")).is_err());
    assert!(Receipt::from_json(&vec![b' '; MAX_JSON + 1]).is_err());
    assert!(RangeReceipt::from_json(&vec![b' '; MAX_JSON + 1]).is_err());
    assert!(CoseReceipt::decode(&vec![0xd2; MAX_COSE + 1]).is_err());
    assert_eq!(
        verifier::bundle::Bundle::decode(&vec![0xd9; MAX_BUNDLE + 1]),
        Err(verifier::bundle::BundleError::TooLong)
    );
    assert!(Record::decode(&vec![0xa1; MAX_RECORD + 1]).is_err());
    assert!(Request::parse(&vec![b' '; MAX_REQUEST + 1]).is_err());
    assert!(Json::parse(&vec![b'['; 1 << 20]).is_err());
    assert!(jws::read(&"a".repeat(MAX_TOKEN + 1)).is_err());
    assert!(cwt::read(&vec![0xd2; MAX_TOKEN + 1]).is_err());
    assert!(Permit::from_answer(&vec![b' '; Permit::MAX_ANSWER + 1]).is_err());
}
