//! tlog-tiles on the wire: checkpoint, tiles, bundles, their paths and what may be kept of them.

use ledger::Batch;
use verifier::checkpoint::SignedCheckpoint;
use verifier::hash::leaf_hash;
use verifier::tile::{Bundle, Tile, partial_tiles};

use super::site::{Site, bad, not_found};
use crate::common::{ORIGIN, START, leaf, mixed, statement};

#[test]
fn the_checkpoint_is_the_newest_head_and_is_asked_about_each_time() {
    let mut site = Site::new(&[3]);
    let first = site.get("/checkpoint");
    assert_eq!(first.status, 200);
    assert_eq!(first.header("content-type"), "text/plain; charset=utf-8");
    assert_eq!(first.header("cache-control"), "no-cache");
    assert_eq!(first.header("access-control-allow-origin"), "*");
    assert_eq!(first.header("content-encoding"), "");
    let signed = SignedCheckpoint::open(first.text(), site.reader.verifier_key(), ORIGIN).unwrap();
    assert_eq!(signed.checkpoint().size, 3);

    let tag = first.header("etag");
    let again = site.ask("GET", "/checkpoint", &[("If-None-Match", tag)]);
    assert_eq!((again.status, again.body.len(), again.header("etag")), (304, 0, tag));
    site.ledger.append(&mixed(3, 1), START).unwrap();
    let newer = site.ask("GET", "/checkpoint", &[("If-None-Match", tag)]);
    assert_eq!(newer.status, 200);
    assert_eq!(newer.text(), site.reader.head().note);
}

#[test]
fn tiles_and_bundles_rebuild_the_signed_root() {
    let site = Site::new(&[200, 56, 100, 300]);
    let size = 656;
    let mut leaves = Vec::new();
    for index in 0..3 {
        let width = if index < 2 { 256 } else { 144 };
        let bundle = Bundle { index, width };
        let answer = site.get(&format!("/{bundle}"));
        assert_eq!((answer.status, answer.header("content-type")), (200, "application/octet-stream"));
        let keep =
            if width == 256 { "public, max-age=31536000, immutable" } else { "public, max-age=86400, immutable" };
        assert_eq!(answer.header("cache-control"), keep);
        assert_eq!(
            (answer.header("content-encoding"), answer.header("vary")),
            ("", "Accept-Encoding, Available-Dictionary")
        );
        assert_eq!(site.get(&format!("/{}", Tile { level: 0, index, width })).header("vary"), "Accept-Encoding");
        let entries = bundle.split(&answer.body).unwrap();
        let tile = Tile { level: 0, index, width };
        let hashes = site.get(&format!("/{tile}"));
        assert_eq!(hashes.header("content-type"), "application/octet-stream");
        for (position, entry) in entries.iter().enumerate() {
            assert_eq!(*entry, leaf(leaves.len() as u64));
            leaves.push(leaf_hash(entry));
            assert_eq!(leaves.last().unwrap().0, hashes.body[32 * position..32 * (position + 1)]);
        }
        assert_eq!(hashes.body.len(), 32 * usize::from(width));
    }
    assert_eq!(verifier::hash::root_of(&leaves), site.reader.head().checkpoint.root);
    for tile in partial_tiles(size) {
        assert_eq!(site.get(&format!("/{tile}")).status, 200, "{tile}");
    }
    let top = site.get("/tile/1/000.p/2");
    assert_eq!(
        top.body,
        [verifier::hash::root_of(&leaves[..256]).0, verifier::hash::root_of(&leaves[256..512]).0].concat()
    );
}

#[test]
fn a_tile_or_bundle_that_is_not_wholly_published_is_not_there() {
    let mut site = Site::new(&[200, 70]);
    // Every checkpoint's partial tiles stay, and so do those below it.
    for path in ["/tile/0/000.p/200", "/tile/entries/000.p/200", "/tile/0/000", "/tile/0/001.p/14", "/tile/1/000.p/1"] {
        assert_eq!(site.get(path).status, 200, "{path}");
    }
    for path in [
        "/tile/0/001",
        "/tile/0/001.p/15",
        "/tile/0/002.p/1",
        "/tile/1/000",
        "/tile/1/000.p/2",
        "/tile/2/000.p/1",
        "/tile/63/000",
        "/tile/entries/001",
        "/tile/entries/001.p/15",
        "/tile/entries/x009/x223/x372/x036/x854/x775/807",
    ] {
        assert_eq!(site.refused(path), not_found("not_published"), "{path}");
    }
    assert_eq!(site.refused("/tile/0/001.p/15"), not_found("not_published"));
    site.ledger.append(&mixed(270, 1), START).unwrap();
    assert_eq!(site.get("/tile/0/001.p/15").status, 200);
}

#[test]
fn another_spelling_of_a_tiles_path_is_no_path() {
    let site = Site::new(&[300]);
    for path in [
        "/tile",
        "/tile/",
        "/tile/0/0",
        "/tile/00/000",
        "/tile/0/x000/000",
        "/tile/0/000.p/0",
        "/tile/0/000.p/256",
        "/tile/0/000.p/01",
        "/tile/64/000",
        "/tile/0/000/",
        "/tile//0/000",
        "//tile/0/000",
        "/tile/0/%30%30%30",
        "/tile/%30/000",
        "/tile/0/../0/000",
        "/tile/data/000",
        "/TILE/0/000",
        "/Tile/0/000",
        "/tile/0/000.P/3",
        "/tile/0/000.p/3/",
        "/tile/0/000.p/+3",
        "/tile/0/000.p",
        "/tile/0/X001/000",
        "/tile/0/x01/000",
        "/tile/0/001/000",
        "/tile/0/x000/x001/000",
        "/tile/0/x001",
        "/tile/255/000",
        "/tile/entries/x000/001",
        "/tile/entries/000.p/256",
        "/tile/entries/000.p/0",
        "/tile/Entries/000",
    ] {
        assert_eq!(site.refused(path), not_found("unknown_path"), "{path}");
    }
    assert_eq!(site.refused("/tile/0/000?x=1"), bad("unknown_parameter"));
}

#[test]
fn reads_go_on_for_a_large_bundle() {
    let mut site = Site::new(&[]);
    let mut batch = Batch::default();
    for number in 0..256 {
        batch.push(&statement(number, 30_000), None).unwrap();
    }
    site.ledger.append(&batch, START).unwrap();
    let answer = site.get("/tile/entries/000");
    let bundle = Bundle { index: 0, width: 256 };
    assert_eq!(bundle.split(&answer.body).unwrap().len(), 256);
    assert!(answer.body.len() > 256 * 30_000);
}

#[test]
fn the_tiles_of_every_checkpoint_there_ever_was_are_served_for_ever() {
    let batches = [1, 99, 155, 1, 1, 43, 211, 1, 1, 87];
    let site = Site::new(&batches);
    let heads = site.json("/v1/checkpoints?from=0&to=600");
    let sizes: Vec<u64> =
        heads["checkpoints"].as_array().unwrap().iter().map(|head| head["size"].as_u64().unwrap()).collect();
    assert_eq!(sizes, [0, 1, 100, 255, 256, 257, 300, 511, 512, 513, 600]);
    for size in sizes {
        for tile in partial_tiles(size) {
            let answer = site.get(&format!("/{tile}"));
            assert_eq!((answer.status, answer.body.len()), (200, 32 * usize::from(tile.width)), "{tile}");
            // Its full tile, once there, begins with the same bytes.
            let full = site.get(&format!("/{}", Tile { width: 256, ..tile }));
            let exists = Tile { width: 256, ..tile }.exists_at(600);
            assert_eq!(full.status == 200, exists, "{tile}");
            assert!(!exists || full.body.starts_with(&answer.body), "{tile}");
            if tile.level == 0 {
                let bundle = Bundle { index: tile.index, width: tile.width };
                let answer = site.get(&format!("/{bundle}"));
                assert_eq!(bundle.split(&answer.body).unwrap().len(), usize::from(tile.width), "{bundle}");
            }
        }
    }
}

#[test]
fn an_empty_log_has_a_signed_checkpoint_and_no_tile() {
    let site = Site::new(&[]);
    let answer = site.get("/checkpoint");
    let signed = SignedCheckpoint::open(answer.text(), site.reader.verifier_key(), ORIGIN).unwrap();
    assert_eq!((signed.checkpoint().size, signed.checkpoint().root), (0, verifier::hash::EMPTY_ROOT));
    assert_eq!(site.get("/v1/checkpoints?size=0").text(), answer.text());
    for path in ["/tile/0/000", "/tile/0/000.p/1", "/tile/1/000.p/1", "/tile/entries/000.p/1", "/tile/entries/000"] {
        assert_eq!(site.refused(path), not_found("not_published"), "{path}");
    }
}
