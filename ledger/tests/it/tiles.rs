//! tlog-tiles, exactly: every tile and bundle of every published size up to 600, and around the sizes where a third level begins.

use ledger::{Batch, Ledger, Reader};
use verifier::hash::{Hash, leaf_hash, root_of};
use verifier::tile::{Bundle, Tile, partial_tiles};

use crate::common::*;

/// Sizes up to which every tile of every size is looked at: two full tiles and a part of a third.
const EVERY: u64 = 600;

fn append(ledger: &mut Ledger, count: u64) {
    let first = ledger.size();
    let mut batch = Batch::default();
    for number in first..first + count {
        batch.push(&statement(number, 8), None).unwrap();
    }
    ledger.append(&batch, START).unwrap();
}

fn bytes_of(number: u64) -> Vec<u8> {
    statement(number, 8).encode()
}

/// What a tile must hold, from the leaves alone: at each level the roots of runs of 256^level leaves.
fn tile_of(leaves: &[Hash], tile: &Tile) -> Option<Vec<u8>> {
    let span = 256_usize.checked_pow(u32::from(tile.level))?;
    let first = usize::try_from(tile.index).ok()?.checked_mul(256)?;
    let mut bytes = Vec::new();
    for position in first..first + usize::from(tile.width) {
        bytes.extend_from_slice(&root_of(leaves.get(position * span..(position + 1) * span)?).0);
    }
    Some(bytes)
}

fn bundle_of(size: u64, bundle: &Bundle) -> Option<Vec<u8>> {
    let first = bundle.index * 256;
    let mut bytes = Vec::new();
    for number in first..first + u64::from(bundle.width) {
        verifier::tile::push_entry(&mut bytes, &bytes_of(number)).ok()?;
    }
    (first + u64::from(bundle.width) <= size).then_some(bytes)
}

fn check(reader: &Reader, leaves: &[Hash], tile: &Tile) {
    assert_eq!(reader.tile(tile).unwrap(), tile_of(leaves, tile), "{tile} at size {}", leaves.len());
}

#[test]
fn every_tile_and_bundle_of_every_size_up_to_600_is_what_the_leaves_say_and_stays() {
    let rig = Rig::new();
    let (mut ledger, reader) = rig.open();
    let all: Vec<Hash> = (0..EVERY).map(|number| leaf_hash(&bytes_of(number))).collect();
    for size in 1..=EVERY {
        append(&mut ledger, 1);
        let leaves = &all[..usize::try_from(size).unwrap()];
        let width = u16::try_from(size % 256).unwrap();
        // The right edge: the partial tile of this checkpoint, what is just beyond it, and the full tile that it became.
        for (index, width) in [(size / 256, width), (size / 256, width + 1), (size / 256, 256), ((size - 1) / 256, 256)]
        {
            if width > 0 {
                check(&reader, leaves, &Tile { level: 0, index, width });
            }
        }
        for width in 1..=4 {
            check(&reader, leaves, &Tile { level: 1, index: 0, width });
            check(&reader, leaves, &Tile { level: 1, index: 1, width });
        }
        check(&reader, leaves, &Tile { level: 2, index: 0, width: 1 });
        let expected: Vec<Tile> = partial_tiles(size).collect();
        for level in 0..8 {
            let width = (size >> (8 * u32::from(level))) % 256;
            let named = expected.iter().any(|tile| tile.level == level);
            assert_eq!(named, width > 0, "the specification's partial tile of level {level} at {size}");
        }
        let edge = Bundle { index: size / 256, width: width.max(1) };
        assert_eq!(reader.bundle(&edge).unwrap(), bundle_of(size, &edge), "{edge} at {size}");
        let beyond = Bundle { index: size / 256, width: width + 1 };
        assert_eq!(reader.bundle(&beyond).unwrap(), None, "{beyond} at {size}");
    }
    // All partials of all those checkpoints are still there, and every other width too.
    for index in 0..4 {
        for width in 1..=256 {
            check(&reader, &all, &Tile { level: 0, index, width });
            let bundle = Bundle { index, width };
            assert_eq!(reader.bundle(&bundle).unwrap(), bundle_of(EVERY, &bundle), "{bundle}");
        }
    }
}

#[test]
fn tiles_around_the_third_level_are_what_the_leaves_say() {
    let rig = Rig::new();
    let (mut ledger, reader) = rig.open();
    let mut all = Vec::new();
    for size in [65_279_u64, 65_280, 65_281, 65_535, 65_536, 65_537, 65_792, 65_793, 70_000] {
        while ledger.size() < size {
            let count = (size - ledger.size()).min(8_192);
            all.extend((ledger.size()..ledger.size() + count).map(|number| leaf_hash(&bytes_of(number))));
            append(&mut ledger, count);
        }
        for tile in partial_tiles(size) {
            check(&reader, &all, &tile);
            assert!(reader.tile(&tile).unwrap().is_some(), "{tile} of checkpoint {size}");
            let wider = Tile { width: tile.width + 1, ..tile };
            assert_eq!(reader.tile(&wider).unwrap(), None, "{wider} at {size}");
        }
        for tile in [
            Tile { level: 0, index: 254, width: 256 },
            Tile { level: 0, index: 255, width: 255 },
            Tile { level: 0, index: 255, width: 256 },
            Tile { level: 0, index: 256, width: 1 },
            Tile { level: 1, index: 0, width: 254 },
            Tile { level: 1, index: 0, width: 255 },
            Tile { level: 1, index: 0, width: 256 },
            Tile { level: 1, index: 1, width: 1 },
            Tile { level: 2, index: 0, width: 1 },
            Tile { level: 2, index: 0, width: 2 },
            Tile { level: 3, index: 0, width: 1 },
        ] {
            check(&reader, &all, &tile);
        }
        let last = Bundle { index: (size - 1) / 256, width: u16::try_from((size - 1) % 256 + 1).unwrap() };
        assert_eq!(reader.bundle(&last).unwrap(), bundle_of(size, &last), "{last}");
    }
}
