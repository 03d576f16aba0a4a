//! Receipts: found by three names, served in the form that the client asks for, verified with the key alone.

use verifier::checkpoint::SignedCheckpoint;
use verifier::cose::{CoseReceipt, MEDIA_TYPE};
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
        assert_eq!((answer.header("vary"), answer.header("cache-control")), ("Accept, Accept-Encoding", "no-cache"));
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
    assert_eq!(Receipt::from_json(&site.ask("GET", "/v1/receipts/4", &[("Accept", "application/json")]).body), {
        Ok(Receipt::parse(site.get("/v1/receipts/4").text()).unwrap())
    });
}

#[test]
fn a_receipt_in_cose_is_signed_by_the_key_of_the_log_over_the_root_of_a_published_head() {
    let site = Site::new(&[3, 4]);
    let key = site.reader.verifier_key();
    for (index, size) in [(0, 3), (2, 3), (0, 7), (4, 7), (6, 7)] {
        let answer = site.ask("GET", &format!("/v1/receipts/{index}?size={size}"), &[("Accept", MEDIA_TYPE)]);
        assert_eq!((answer.status, answer.header("content-type")), (200, "application/scitt-receipt+cose"));
        assert_eq!(answer.header("vary"), "Accept, Accept-Encoding");
        let Ok(CoseReceipt::Inclusion(receipt)) = CoseReceipt::decode(&answer.body) else { panic!("{index}") };
        assert_eq!((receipt.index, receipt.size), (index, size));
        let root = site.reader.head_at(size).unwrap().unwrap().checkpoint.root;
        assert_eq!(receipt.verify(&leaf_hash(&leaf(index)), key), Ok(root));
    }
    // A size that was never published is never signed, in this form either.
    let none = site.ask("GET", "/v1/receipts/1?size=5", &[("Accept", MEDIA_TYPE)]);
    assert_eq!(none.check_problem("receipts"), not_found("not_published"));
    let other = site.ask("GET", "/v1/receipts/1", &[("Accept", "image/png")]);
    assert_eq!(other.check_problem("receipts"), (406, "not_acceptable".to_owned()));
}

#[test]
fn the_only_entry_of_a_log_has_no_cose_receipt_and_the_answer_says_so() {
    let site = Site::new(&[1]);
    let answer = site.ask("GET", "/v1/receipts/0", &[("Accept", MEDIA_TYPE)]);
    assert_eq!(answer.check_problem("receipts"), (409, "no_cose_form".to_owned()));
    assert_eq!(site.get("/v1/receipts/0").status, 200);
}
