//! Proofs between sizes, and every head that was ever published.

use verifier::checkpoint::SignedCheckpoint;
use verifier::cose::{CoseReceipt, MEDIA_TYPE};
use verifier::hash::leaf_hash;
use verifier::proof::{verify_consistency, verify_inclusion};

use super::site::{Site, bad, hash, hashes, not_found};
use crate::common::{ORIGIN, leaf};

#[test]
fn proofs_between_any_sizes_verify() {
    let site = Site::new(&[3, 4, 6]);
    for size in 1..=13 {
        for index in 0..size {
            let proof = site.json(&format!("/v1/proofs/inclusion?index={index}&size={size}"));
            assert_eq!(hash(&proof["leaf"]), leaf_hash(&leaf(index)));
            verify_inclusion(&hash(&proof["leaf"]), index, size, &hashes(&proof["path"]), &hash(&proof["root"]))
                .unwrap();
        }
        let proof = site.json(&format!("/v1/proofs/consistency?from={size}&to=13"));
        assert_eq!(hash(&proof["to_root"]), site.reader.head().checkpoint.root);
        let (from_root, to_root) = (hash(&proof["from_root"]), hash(&proof["to_root"]));
        verify_consistency(size, 13, &hashes(&proof["proof"]), &from_root, &to_root).unwrap();
    }
    assert_eq!(site.json("/v1/proofs/consistency?from=0&to=13")["proof"].as_array().unwrap().len(), 0);
}

#[test]
fn the_whole_history_of_heads_is_there_and_no_other_size() {
    let site = Site::new(&[3, 4, 6]);
    let all = site.json("/v1/checkpoints?from=0&to=100");
    let heads = all["checkpoints"].as_array().unwrap();
    assert_eq!(heads.iter().map(|head| head["size"].as_u64().unwrap()).collect::<Vec<_>>(), [0, 3, 7, 13]);
    assert_eq!(all.get("next"), None);
    for head in heads {
        let note = head["checkpoint"].as_str().unwrap();
        let signed = SignedCheckpoint::open(note, site.reader.verifier_key(), ORIGIN).unwrap();
        assert_eq!(signed.checkpoint().size, head["size"].as_u64().unwrap());
        let one = site.get(&format!("/v1/checkpoints?size={}", signed.checkpoint().size));
        assert_eq!((one.status, one.text()), (200, note));
    }
    let some = site.json("/v1/checkpoints?from=4&to=12");
    assert_eq!(some["checkpoints"].as_array().unwrap().len(), 1);
}

#[test]
fn a_long_history_comes_in_pieces_and_each_links_to_the_next() {
    let batches = vec![1; 600];
    let site = Site::new(&batches);
    let mut path = "/v1/checkpoints?from=0&to=600".to_owned();
    let mut sizes = Vec::new();
    let mut pages = 0;
    loop {
        let answer = site.get(&path);
        let page: serde_json::Value = serde_json::from_slice(&answer.body).unwrap();
        let heads = page["checkpoints"].as_array().unwrap();
        assert!(heads.len() <= 256);
        sizes.extend(heads.iter().map(|head| head["size"].as_u64().unwrap()));
        pages += 1;
        let link = answer.header("link");
        if link.is_empty() {
            assert_eq!(page.get("next"), None);
            break;
        }
        assert_eq!(answer.header("access-control-expose-headers"), "ETag, Link, Use-As-Dictionary");
        path = link.strip_prefix('<').and_then(|rest| rest.strip_suffix(">; rel=\"next\"")).unwrap().to_owned();
        assert!(path.starts_with(&format!("/v1/checkpoints?from={}&", page["next"])), "{link}");
    }
    assert_eq!(pages, 3);
    assert_eq!(sizes, (0..=600).collect::<Vec<u64>>());
    // A page that ends exactly at its last head has no next one.
    assert_eq!(site.get("/v1/checkpoints?from=1&to=256").header("link"), "");
    assert!(!site.get("/v1/checkpoints?from=1&to=257").header("link").is_empty());
}

#[test]
fn any_two_published_heads_are_proved_consistent_by_their_signed_roots() {
    let site = Site::new(&[1, 2, 1, 5, 7, 16, 31, 1, 64]);
    let heads = site.json("/v1/checkpoints?from=0&to=128");
    let signed: Vec<_> = heads["checkpoints"]
        .as_array()
        .unwrap()
        .iter()
        .map(|head| head["checkpoint"].as_str().unwrap())
        .map(|note| SignedCheckpoint::open(note, site.reader.verifier_key(), ORIGIN).unwrap().checkpoint().clone())
        .collect();
    assert_eq!(signed.len(), 10);
    for (place, newer) in signed.iter().enumerate() {
        for older in &signed[..=place] {
            let proof = site.json(&format!("/v1/proofs/consistency?from={}&to={}", older.size, newer.size));
            verify_consistency(older.size, newer.size, &hashes(&proof["proof"]), &older.root, &newer.root).unwrap();
        }
    }
}

#[test]
fn consistency_in_cose_is_signed_between_published_heads_only() {
    let site = Site::new(&[3, 4, 6]);
    let ask = |from: u64, to: u64| {
        site.ask("GET", &format!("/v1/proofs/consistency?from={from}&to={to}"), &[("Accept", MEDIA_TYPE)])
    };
    let root = |size| site.reader.head_at(size).unwrap().unwrap().checkpoint.root;
    for (from, to) in [(3, 7), (3, 13), (7, 13)] {
        let answer = ask(from, to);
        assert_eq!((answer.status, answer.header("content-type")), (200, MEDIA_TYPE));
        let Ok(CoseReceipt::Consistency(receipt)) = CoseReceipt::decode(&answer.body) else { panic!("{from}") };
        assert_eq!((receipt.from, receipt.to), (from, to));
        assert_eq!(receipt.verify(&root(from), site.reader.verifier_key()), Ok(root(to)));
    }
    for (from, to) in [(4, 13), (3, 12)] {
        assert_eq!(ask(from, to).check_problem("consistency"), not_found("not_published"));
    }
    for (from, to) in [(0, 13), (13, 13)] {
        assert_eq!(ask(from, to).check_problem("consistency"), (409, "no_cose_form".to_owned()));
    }
    assert_eq!(ask(13, 3).check_problem("consistency"), bad("malformed_parameter"));
}
