//! Tile and bundle paths, widths, and the entries of a bundle.

use proptest::prelude::*;
use verifier::tile::{
    Bundle, FULL_WIDTH, MAX_ENTRY, Resource, Tile, TileError, entries, partial_tiles, partial_width, push_entry,
    width_at,
};

fn tile(level: u8, index: u64, width: u16) -> Resource {
    Resource::Tile(Tile { level, index, width })
}

fn bundle(index: u64, width: u16) -> Resource {
    Resource::Bundle(Bundle { index, width })
}

#[test]
fn paths_are_read_and_written_byte_for_byte() {
    let cases = [
        ("tile/0/000", tile(0, 0, 256)),
        ("tile/0/000.p/3", tile(0, 0, 3)),
        ("tile/0/999", tile(0, 999, 256)),
        ("tile/0/x001/000", tile(0, 1000, 256)),
        ("tile/0/x001/x234/067", tile(0, 1_234_067, 256)),
        ("tile/0/x001/x234/067.p/8", tile(0, 1_234_067, 8)),
        ("tile/63/000", tile(63, 0, 256)),
        ("tile/7/x010/000.p/255", tile(7, 10_000, 255)),
        ("tile/entries/000.p/1", bundle(0, 1)),
        ("tile/entries/x001/x234/067", bundle(1_234_067, 256)),
        ("tile/0/x009/x223/x372/x036/x854/x775/807", tile(0, i64::MAX.unsigned_abs(), 256)),
        ("tile/entries/x009/x223/x372/x036/x854/x775/807.p/255", bundle(i64::MAX.unsigned_abs(), 255)),
    ];
    for (path, resource) in cases {
        assert_eq!(Resource::parse(path), Ok(resource), "`{path}`");
        let written = match resource {
            Resource::Tile(tile) => tile.path(),
            Resource::Bundle(bundle) => bundle.path(),
        };
        assert_eq!(written, path);
    }
}

#[test]
fn every_other_spelling_of_a_path_is_refused() {
    for path in [
        "",
        "tile",
        "tile/",
        "tile/0",
        "tile/0/",
        "/tile/0/000",
        "tile/0/0",
        "tile/0/00",
        "tile/0/0000",
        "tile/0/000/",
        "tile/0//000",
        "tile/00/000",
        "tile/01/000",
        "tile/64/000",
        "tile/256/000",
        "tile/-1/000",
        "tile/+1/000",
        "tile/x/000",
        "tile/0/x000/001",
        "tile/0/x000/x001/000",
        "tile/0/001/000",
        "tile/0/x001",
        "tile/0/x001/x000",
        "tile/0/X001/000",
        "tile/0/x01/000",
        "tile/0/000.p",
        "tile/0/000.p/",
        "tile/0/000.p/0",
        "tile/0/000.p/01",
        "tile/0/000.p/256",
        "tile/0/000.p/257",
        "tile/0/000.p/+8",
        "tile/0/000.p/8/",
        "tile/0/000.p/8.p/8",
        "tile/0/000p/8",
        "tile/0/00a",
        "tile/0/\u{0661}\u{0662}\u{0663}",
        "tile/0/%30%30%30",
        "tile/0/..",
        "tile/0/000?x",
        "tile/entries",
        "tile/entries/0",
        "tile/entries/x000/001",
        "tile/Entries/000",
        "tile/data/000",
        "tile/8/0/000",
        "tile/0/x009/x223/x372/x036/x854/x775/808",
        "tile/0/x018/x446/x744/x073/x709/x551/616",
        "tile/0/x999/x999/x999/x999/x999/x999/x999/x999/x999/x999/x999/999",
    ] {
        assert_eq!(Resource::parse(path), Err(TileError::Path), "`{path}`");
    }
}

#[test]
fn partial_widths_are_those_of_the_specification() {
    let partials = |size| partial_tiles(size).map(|tile| tile.path()).collect::<Vec<_>>();
    assert_eq!(partials(0), [""; 0]);
    assert_eq!(partials(256), ["tile/1/000.p/1"]);
    assert_eq!(partials(70_000), ["tile/0/273.p/112", "tile/1/001.p/17", "tile/2/000.p/1"]);
    assert_eq!(partials(65_536), ["tile/2/000.p/1"]);
    assert_eq!((width_at(0, 272, 70_000), width_at(0, 273, 70_000), width_at(0, 274, 70_000)), (256, 112, 0));
    assert_eq!((width_at(1, 0, 70_000), width_at(1, 1, 70_000), width_at(1, 2, 70_000)), (256, 17, 0));
    assert_eq!((width_at(0, 0, 256), width_at(1, 0, 255), width_at(1, 0, 256)), (256, 0, 1));
    assert_eq!(width_at(63, 0, u64::MAX), 0);
    assert_eq!(width_at(0, u64::MAX, u64::MAX), 0);
    assert_eq!(partial_width(8, u64::MAX), 0);
}

#[test]
fn a_tile_exists_up_to_its_width_and_not_beyond() {
    let exists = |width, size| Tile { level: 0, index: 1, width }.exists_at(size);
    assert!(!exists(1, 256));
    assert!(exists(1, 257));
    assert!(!exists(2, 257));
    assert!(exists(1, 512) && exists(255, 512) && exists(FULL_WIDTH, 512));
    assert!(!exists(FULL_WIDTH, 511));
    assert!(!exists(0, 512));
    assert!(Bundle { index: 1, width: 1 }.exists_at(257));
    assert!(!Bundle { index: 1, width: 2 }.exists_at(257));
    assert_eq!(Bundle { index: 3, width: 1 }.first(), Some(768));
}

#[test]
fn a_bundle_is_its_entries_and_nothing_else() {
    let mut bytes = Vec::new();
    for entry in [&b"one"[..], b"", &[7; MAX_ENTRY]] {
        push_entry(&mut bytes, entry).unwrap();
    }
    assert_eq!(push_entry(&mut bytes, &[0; MAX_ENTRY + 1]), Err(TileError::EntryTooLong));
    let of = |width| Bundle { index: 0, width };
    assert_eq!(of(3).split(&bytes).unwrap(), [&b"one"[..], b"", &[7; MAX_ENTRY]]);
    for wrong in [1, 2, 4, 256] {
        assert_eq!(of(wrong).split(&bytes), Err(TileError::Bundle), "{wrong}");
    }
    for cut in [1, 2, 4, 6, bytes.len() - 1] {
        assert_eq!(of(3).split(&bytes[..cut]), Err(TileError::Bundle), "cut at {cut}");
    }
    bytes.push(0);
    assert_eq!(of(3).split(&bytes), Err(TileError::Bundle));
    assert_eq!(of(1).split(&[]), Err(TileError::Bundle));
    let mut read = entries(&[0, 1, 9, 0]);
    assert_eq!(read.next(), Some(Ok(&[9][..])));
    assert_eq!(read.next(), Some(Err(TileError::Bundle)));
    assert_eq!(read.next(), None);
}

proptest! {
    #[test]
    fn every_number_has_one_path(level in 0_u8..64, index in 0_u64..1 << 63, width in 1_u16..=256) {
        let tile = Tile { level, index, width };
        prop_assert_eq!(Resource::parse(&tile.path()), Ok(Resource::Tile(tile)));
        let bundle = Bundle { index, width };
        prop_assert_eq!(Resource::parse(&bundle.path()), Ok(Resource::Bundle(bundle)));
    }

    #[test]
    fn what_is_accepted_is_written_back(path in "tile/(entries|[0-9]{1,2})/(x?[0-9]{3}/){0,3}[0-9]{3}(\\.p/[0-9]{1,3})?") {
        match Resource::parse(&path) {
            Ok(Resource::Tile(tile)) => prop_assert_eq!(tile.path(), path),
            Ok(Resource::Bundle(bundle)) => prop_assert_eq!(bundle.path(), path),
            Err(TileError::Path) => {}
            Err(other) => prop_assert!(false, "{other}"),
        }
    }
}
