//! Receipts: found by three names, served in the form that the client asks for, verified with the key alone.

use verifier::checkpoint::SignedCheckpoint;
use verifier::hash::leaf_hash;
use verifier::proof::verify_inclusion;
use verifier::receipt::Receipt;
use verifier::text::{b64, hex};

use super::site::{Site, hash, hashes, not_found};
use crate::common::{Case, ORIGIN, leaf};

#[test]
fn a_receipt_is_found_by_index_permit_and_leaf_hash_and_verifies_with_the_key_alone() {
    let site = Site::new(&[3, 4]);
    let index = 4;
    let leaf_hash = leaf_hash(&leaf(index));
    let url_safe = b64(&leaf_hash.0).replace('+', "-").replace('/', "_");
    for id in [
        index.to_string(),
        Case::new(index).permit.to_string(),
        hex(&leaf_hash.0),
        url_safe.clone(),
        url_safe.trim_end_matches('=').to_owned(),
    ] {
        let answer = site.get(&format!("/v1/receipts/{id}"));
        assert_eq!((answer.status, answer.header("content-type")), (200, "text/plain; charset=utf-8"), "{id}");
        assert_eq!((answer.header("vary"), answer.header("cache-control")), ("Accept", "no-cache"));
        let receipt = Receipt::parse(answer.text()).unwrap();
        let signed = SignedCheckpoint::open(&receipt.checkpoint, site.reader.verifier_key(), ORIGIN).unwrap();
        assert_eq!((receipt.index, signed.checkpoint().size), (index, 7));
        assert_eq!(receipt.extra.as_deref(), Some(&*leaf(index)));
        verify_inclusion(&leaf_hash, index, 7, &receipt.path, &signed.checkpoint().root).unwrap();
    }
    let older = Receipt::parse(site.get("/v1/receipts/2?size=3").text()).unwrap();
    let signed = SignedCheckpoint::open(&older.checkpoint, site.reader.verifier_key(), ORIGIN).unwrap();
    assert_eq!(signed.checkpoint().size, 3);
    assert_eq!(site.refused("/v1/receipts/4?size=3"), not_found("not_published"));

    let json = site.json("/v1/receipts/4");
    assert_eq!((&json["index"], &json["size"]), (&4.into(), &7.into()));
    assert_eq!(hash(&json["leaf"]), leaf_hash);
    assert_eq!(json["checkpoint"], site.reader.head().note);
    verify_inclusion(&leaf_hash, 4, 7, &hashes(&json["path"]), &site.reader.head().checkpoint.root).unwrap();
    let cose = site.ask("GET", "/v1/receipts/4", &[("Accept", "application/scitt-receipt+cose")]);
    assert_eq!(cose.check_problem("receipts"), (406, "not_acceptable".to_owned()), "not built yet, and says so");
}
