//! Epochs, put together from their records.

use ledger::{Batch, Signer};
use verifier::act::{Act, Deed, Mode};
use verifier::epoch::{EpochContent, digest, parts};
use verifier::hash::{Hash, leaf_hash};
use verifier::record::Record;

use super::site::{Site, hash, not_found};
use crate::common::{ORIGIN, START};

#[test]
fn an_epoch_is_served_from_its_records_and_only_if_it_is_what_was_signed() {
    let mut site = Site::new(&[2]);
    let admin = Signer::generate(&Act::key_name(ORIGIN)).unwrap();
    let content = EpochContent {
        policies: vec![("a".into(), "permit (principal, action, resource);".into()), ("b".into(), "x".repeat(100_000))],
        schema: Some("entity User;".into()),
        entities: None,
        trust: None,
    };
    let document = content.encode();
    let publish = |site: &mut Site, number: u64, signed: Hash| {
        let first_part = site.reader.size();
        let mut batch = Batch::default();
        let mut count = 0;
        for (part, bytes) in (0..).zip(parts(&document)) {
            let part = Record::EpochPart { recorded_at: START, epoch: number, part, bytes: bytes.to_vec() };
            batch.push(&part, None).unwrap();
            count += 1;
        }
        let act = Act {
            origin: ORIGIN.into(),
            follows: number - 1,
            deed: Deed::Epoch { number, content: signed, mode: Mode::Live },
        };
        let note = admin.sign_note(&act.text());
        let closing = Record::Epoch {
            recorded_at: START,
            governance: number,
            first_part,
            parts: count,
            note: note.clone(),
            predecessor: None,
        };
        batch.push(&closing, None).unwrap();
        site.epochs.lock().unwrap().push(first_part + count);
        // Known to the index but not yet published.
        let path = format!("/v1/epochs/{number}");
        assert_eq!(site.refused(&path), not_found("unknown_epoch"));
        site.ledger.append(&batch, START).unwrap();
        note
    };
    let note = publish(&mut site, 1, digest(&document));
    publish(&mut site, 2, leaf_hash(b"another document"));

    let first = site.json("/v1/epochs/1");
    assert_eq!((&first["epoch"], &first["governance"], &first["note"]), (&1.into(), &1.into(), &note.into()));
    assert_eq!((&first["first_part"], &first["parts"], &first["index"]), (&2.into(), &2.into(), &4.into()));
    assert_eq!(hash(&first["content"]), digest(&document));
    assert_eq!(first["policies"][0]["id"], "a");
    assert_eq!(first["policies"][1]["text"].as_str().unwrap().len(), 100_000);
    assert_eq!((&first["schema"], first.get("entities")), (&"entity User;".into(), None));
    for path in ["/v1/epochs/2", "/v1/epochs/current"] {
        assert_eq!(site.refused(path), (500, "damaged".to_owned()), "a document that was not signed");
    }
    let list = site.json("/v1/epochs");
    assert_eq!(list["epochs"].as_array().unwrap().len(), 2);
    assert_eq!((&list["epochs"][1]["epoch"], list.get("next")), (&2.into(), None));
    assert_eq!(site.json("/v1/epochs?from=2")["epochs"].as_array().unwrap().len(), 1);
    assert_eq!(site.json("/v1/epochs?from=3")["epochs"].as_array().unwrap().len(), 0);
    // An index that names something else is damage, not another epoch.
    site.epochs.lock().unwrap()[0] = 0;
    assert_eq!(site.refused("/v1/epochs/1"), (500, "damaged".to_owned()));
}
