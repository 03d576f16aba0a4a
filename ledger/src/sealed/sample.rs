//! A small sealed segment for tests: its header and tables for the format chapter, and the whole file for mutants.

use std::sync::Arc;

use super::*;
use crate::frame::FrameHeader;
use crate::layout::{SegmentKind, segment_header};
use crate::storage::Files;

/// A header and its tables as the chapter has them: blocks of indexes 250–255, 256–511, 512–599; one group of three frame headers.
pub(crate) fn header_and_tables(log: &Hash) -> (Vec<u8>, Vec<u8>) {
    let blocks = [(70, 100), (80, 4000), (60, 900)].map(|(len, content)| block_row(len, content, 7)).concat();
    let tables = [blocks, group_row(40, 350, 5000, 8).to_vec()].concat();
    let header = Header {
        first: 250,
        end: 600,
        raw_len: 64 + 76 * 3 + 5000,
        frames: 3,
        dictionary_len: 9,
        dictionary: verifier::hash::sha256(b"words"),
        tables: 120 + 9 + 70 + 80 + 60 + 40,
        tables_crc: crc32fast::hash(&tables),
    };
    (header.encode(log).to_vec(), tables)
}

/// A raw segment of 300 entries from index 250 in two frames, and its sealed form in a file of this name.
pub(crate) fn write(files: &Files, path: &std::path::Path, log: &Hash) -> Vec<u8> {
    let entry = |index: u64| [&[0, 12][..], format!("entry {index:06}").as_bytes()].concat();
    let file = files.open(path, crate::storage::Mode::New).unwrap();
    let dictionary = Arc::new(Dictionary::new(b"entry 000".to_vec()).unwrap());
    let mut writer = Writer::begin(file, *log, 250, dictionary).unwrap();
    let mut raw = segment_header(SegmentKind::Journal, log, 250).to_vec();
    for (first, count) in [(250, 200_u32), (450, 100)] {
        let body: Vec<u8> = (first..first + u64::from(count)).flat_map(entry).collect();
        let header = FrameHeader {
            first,
            count,
            parts: 0,
            body_len: u32::try_from(body.len()).unwrap(),
            time_ms: first,
            root: *log,
            body_crc: crc32fast::hash(&body),
        };
        raw.extend_from_slice(&header.encode());
        raw.extend_from_slice(&body);
        writer.header(&header).unwrap();
        for index in first..first + u64::from(count) {
            writer.entries(&entry(index), 1).unwrap();
        }
    }
    writer.finish().unwrap();
    raw
}

/// Everything that a sealed segment gives, if it opens and can be read.
pub(crate) fn read(files: &Files, path: &std::path::Path, log: &Hash) -> Option<Vec<u8>> {
    let file = files.open(path, crate::storage::Mode::Read).unwrap();
    let sealed = Sealed::open(file, log, 250, &Arc::default()).ok()?;
    // What a bundle stands as is read too; only its refusal is allowed to differ.
    for bundle in [0, 1, 2] {
        let _ = sealed.stored_bundle(bundle);
    }
    let mut raw = vec![0; usize::try_from(sealed.raw_len()).unwrap()];
    sealed.read_at(0, &mut raw).ok()?;
    Some(raw)
}

/// Puts the checksums of header and tables right, as far as the file has them.
pub(crate) fn mend(bytes: &mut [u8]) {
    let Some(tables) = bytes.get(104..112).and_then(|at| at.first_chunk()).map(|at| u64::from_be_bytes(*at)) else {
        return;
    };
    if let Some(crc) = usize::try_from(tables).ok().and_then(|at| bytes.get(at..)).map(crc32fast::hash) {
        bytes[112..116].copy_from_slice(&crc.to_be_bytes());
    }
    if bytes.len() >= HEADER {
        let crc = crc32fast::hash(&bytes[..116]);
        bytes[116..120].copy_from_slice(&crc.to_be_bytes());
    }
}
