//! Segments sealed on a disk in memory: every shape of frame comes back byte for byte, and damage costs what it touches and is never answered.

use std::path::Path;

use proptest::prelude::*;
use verifier::hash::sha256;

use super::*;
use crate::frame::{FRAME_HEADER, FrameHeader};
use crate::layout::{SegmentKind, sealed_name, segment_name};
use crate::storage::Files;
use crate::storage::ram::Ram;

pub(crate) const DIR: &str = "/journal";

pub(crate) fn disk() -> (Ram, Segments) {
    let ram = Ram::new();
    Files(Arc::new(ram.process())).create_dir(Path::new(DIR), false).unwrap();
    let segments = fresh(&ram);
    (ram, segments)
}

/// The segments as a reader sees them who has unpacked nothing yet.
pub(crate) fn fresh(ram: &Ram) -> Segments {
    Segments::new(&Files(Arc::new(ram.process())), Path::new(DIR), SegmentKind::Journal, sha256(b"log"))
}

/// Writes a raw segment of frames with entries of these lengths, answers its bytes and the first index of the next.
pub(crate) fn raw(segments: &Segments, first: u64, frames: &[Vec<usize>]) -> (Vec<u8>, u64) {
    let mut tail = segments.create(first).unwrap();
    let mut next = first;
    for lengths in frames {
        let mut body = Vec::new();
        for (index, len) in (next..).zip(lengths) {
            body.extend_from_slice(&u16::try_from(*len).unwrap().to_be_bytes());
            // Half of it looks like all others, half like none.
            let noise = sha256(&index.to_be_bytes()).0;
            body.extend((0..*len).map(|at| if at % 64 < 32 { noise[at % 32] } else { 7 }));
        }
        let header = FrameHeader {
            first: next,
            count: u32::try_from(lengths.len()).unwrap(),
            parts: 0,
            body_len: u32::try_from(body.len()).unwrap(),
            time_ms: 1_790_000_000_000 + next,
            root: sha256(&next.to_le_bytes()),
            body_crc: crc32fast::hash(&body),
        };
        tail.write(&[&header.encode(), &body]).unwrap();
        next = header.end();
    }
    tail.sync().unwrap();
    let len = usize::try_from(tail.offset).unwrap();
    (segments.reading(first).unwrap().read_vec(0, len).unwrap(), next)
}

pub(crate) fn seal(segments: &Segments, first: u64, end: u64) -> Result<(), SealError> {
    let mut sealing = Sealing::begin(segments, first, end)?;
    while !sealing.step(segments)? {}
    Ok(())
}

/// A raw segment comes back byte for byte, whole and in pieces.
fn check(first: u64, frames: &[Vec<usize>], pieces: &[(usize, usize)]) {
    let (_, segments) = disk();
    let (bytes, end) = raw(&segments, first, frames);
    seal(&segments, first, end).unwrap();
    assert!(segments.list_raw().unwrap().is_empty());
    let segment = segments.reading(first).unwrap();
    assert!(matches!(segment, Segment::Sealed(_)));
    assert_eq!(segment.len().unwrap(), bytes.len() as u64);
    assert!(segment.read_vec(0, bytes.len()).unwrap() == bytes, "the whole");
    for (from, len) in pieces {
        let from = from % bytes.len();
        let len = (*len).min(bytes.len() - from);
        assert!(segment.read_vec(from as u64, len).unwrap() == bytes[from..from + len], "{len} bytes at {from}");
    }
    assert!(segment.read_vec(bytes.len() as u64, 1).is_err());
}

#[test]
fn frames_of_every_shape_come_back_byte_for_byte() {
    let pieces: Vec<(usize, usize)> = (0..400).map(|n| (n * 7919, 1 + n * n % 5000)).collect();
    check(0, &[vec![1]], &pieces);
    check(17, &[vec![0, 0, 0]], &pieces);
    // Frames that end on a border, lie across one, and hold many blocks.
    check(0, &[vec![40; 256]], &pieces);
    check(255, &[vec![40], vec![40; 256], vec![40]], &pieces);
    check(1000, &[vec![40; 700], vec![90; 3], vec![10; 1300]], &pieces);
    // Entries of the longest kind, and more frames than a group of headers holds.
    check(250, &[vec![65_535; 7], vec![65_535; 3]], &pieces);
    check(3, &vec![vec![30]; 600], &pieces);
}

#[test]
fn a_dictionary_is_carried_on_from_segment_to_segment() {
    let (_, segments) = disk();
    let mut next = 0;
    for length in [100, 90, 300] {
        let (_, end) = raw(&segments, next, &[vec![length; 300]]);
        seal(&segments, next, end).unwrap();
        next = end;
    }
    let named: Vec<_> =
        [0, 300, 600].map(|first| segments.sealed(first).unwrap().unwrap().dictionary().sha256()).into();
    assert!(named.iter().all(|name| *name == named[0]));
}

#[test]
fn a_segment_that_is_damaged_or_ends_elsewhere_is_not_sealed_and_stays() {
    let (ram, segments) = disk();
    let (bytes, end) = raw(&segments, 0, &[vec![40; 300], vec![40; 300]]);
    let path = Path::new(DIR).join(segment_name(0));
    assert!(matches!(seal(&segments, 0, end + 1), Err(SealError::Damaged(_))));
    for at in [100, FRAME_HEADER + 70, bytes.len() - 1] {
        ram.damage(&path, |bytes| bytes[at] ^= 1).unwrap();
        assert!(matches!(seal(&segments, 0, end), Err(SealError::Damaged(_))), "{at}");
        ram.damage(&path, |bytes| bytes[at] ^= 1).unwrap();
    }
    assert_eq!(ram.snapshot()[&path], bytes);
    assert!(segments.list_sealed().unwrap().is_empty());
    seal(&segments, 0, end).unwrap();
}

#[test]
fn every_flipped_bit_of_a_sealed_segment_is_found_and_never_answered() {
    let (ram, segments) = disk();
    let (bytes, end) = raw(&segments, 250, &[vec![20; 3], vec![20; 9], vec![5; 250]]);
    seal(&segments, 250, end).unwrap();
    let path = Path::new(DIR).join(sealed_name(250));
    let whole = ram.snapshot()[&path].clone();
    let blocks = [250, 256, 512].map(|border: u64| border.max(250));
    for bit in 0..whole.len() * 8 {
        ram.damage(&path, |bytes| bytes[bit / 8] ^= 1 << (bit % 8)).unwrap();
        let mut unpacked = vec![0; bytes.len()];
        let read = fresh(&ram).sealed(250).and_then(|sealed| sealed.unwrap().read_at(0, &mut unpacked));
        let Err(SegmentError::Damaged(damage)) = read else { panic!("bit {bit} was not found") };
        assert_eq!(damage.file, path);
        assert!(blocks.contains(&damage.index), "bit {bit}: {damage}");
        ram.damage(&path, |bytes| bytes.clone_from(&whole)).unwrap();
    }
    for cut in 0..whole.len() {
        ram.damage(&path, |bytes| bytes.truncate(cut)).unwrap();
        assert!(matches!(segments.sealed(250), Err(SegmentError::Damaged(_))), "cut at {cut}");
        ram.damage(&path, |bytes| bytes.clone_from(&whole)).unwrap();
    }
}

#[test]
fn one_damaged_block_costs_its_own_entries_and_no_others() {
    let (ram, segments) = disk();
    let (bytes, end) = raw(&segments, 0, &vec![vec![50; 64]; 20]);
    seal(&segments, 0, end).unwrap();
    let path = Path::new(DIR).join(sealed_name(0));
    // Somewhere in the middle of the blocks.
    ram.damage(&path, |bytes| {
        let middle = bytes.len() / 2;
        bytes[middle] ^= 4
    })
    .unwrap();
    let segment = fresh(&ram).reading(0).unwrap();
    let frame = FRAME_HEADER + 64 * 52;
    let lost: Vec<u64> = (0..20)
        .filter(|n| match segment.read_vec((64 + n * frame) as u64, frame) {
            Ok(read) => {
                assert!(read == bytes[64 + n * frame..][..frame]);
                false
            }
            Err(SegmentError::Damaged(_)) => true,
            Err(SegmentError::Io(failure)) => panic!("{failure}"),
        })
        .map(|n| n as u64)
        .collect();
    assert_eq!(lost.len(), 4, "{lost:?}");
    assert!(lost[0].is_multiple_of(4));
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(60))]

    #[test]
    fn any_frames_come_back_byte_for_byte(
        first in 0_u64..2000,
        frames in prop::collection::vec(
            prop_oneof![
                4 => prop::collection::vec(0_usize..200, 1..4),
                2 => prop::collection::vec(0_usize..120, 200..600),
                1 => prop::collection::vec(60_000_usize..=65_535, 1..4),
            ],
            1..12,
        ),
        pieces in prop::collection::vec((any::<usize>(), 0_usize..100_000), 30),
    ) {
        check(first, &frames, &pieces);
    }
}
