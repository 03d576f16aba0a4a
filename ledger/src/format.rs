//! The format chapter against the code: every golden vector in `FORMAT.md` is what the encoders of this crate write, and the other way round.
//!
//! A vector that changes is another format. Whoever means that changes it in the chapter, by hand; the failing test prints the new bytes.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;

use verifier::hash::{Hash, sha256};

use crate::derived::Mark;
use crate::frame::FrameHeader;
use crate::layout::{SegmentKind, segment_header};
use crate::memory::{Memory, Remembered};
use crate::rows::Row;
use crate::runs::{Kind, Run, Span};
use crate::sealed::sample;
use crate::storage::Files;
use crate::storage::ram::Ram;
use crate::vault::{NO_PARTS, Private, encode_head, encode_parts, encoded_len};

const CHAPTER: &str = include_str!("../FORMAT.md");

/// The log id of all vectors.
pub(crate) fn log() -> Hash {
    sha256(b"log")
}

/// One of the vectors.
pub(crate) fn samples(name: &str) -> Vec<u8> {
    vectors().remove(name).unwrap_or_else(|| panic!("there is no vector `{name}`"))
}

fn body() -> Vec<u8> {
    let mut body = Vec::new();
    for entry in [&b"alpha"[..], b"", b"gamma"] {
        verifier::tile::push_entry(&mut body, entry).unwrap();
    }
    body
}

fn private<'a>() -> Private<'a> {
    Private { disclosed: true, request_salt: [1; 16], request: b"{}", detail_salt: [2; 16], detail: b"detail" }
}

/// Everything that the chapter has, made by the code.
fn vectors() -> BTreeMap<&'static str, Vec<u8>> {
    let (log, time_ms) = (log(), 1_790_000_000_123);
    let body = body();
    let header = FrameHeader {
        first: 7,
        count: 3,
        parts: 1,
        body_len: u32::try_from(body.len()).unwrap(),
        time_ms,
        root: sha256(b"root"),
        body_crc: crc32fast::hash(&body),
    };
    let (mut parts, mut head) = (Vec::new(), Vec::new());
    encode_parts(&private(), &mut parts);
    assert_eq!(parts.len(), encoded_len(&private()));
    encode_head(7, &[NO_PARTS, 0, NO_PARTS], u32::try_from(parts.len()).unwrap(), &mut head);
    let row = Row {
        first: 7,
        count: 3,
        body_len: header.body_len,
        time_ms,
        segment: 0,
        offset: 64,
        vault_segment: 0,
        vault_offset: 64,
        vault_len: u32::try_from(head.len() + parts.len()).unwrap(),
    };
    let (sealed, tables) = sample::header_and_tables(&log);
    BTreeMap::from([
        ("journal segment header", segment_header(SegmentKind::Journal, &log, 7).to_vec()),
        ("vault segment header", segment_header(SegmentKind::Vault, &log, 7).to_vec()),
        ("frame header", header.encode().to_vec()),
        ("frame body", body),
        ("vault frame head", head),
        ("private parts", parts),
        ("memory slot", memory(&log, time_ms)),
        ("frame row", row.encode().to_vec()),
        ("run", run(&log)),
        ("mark", Mark { size: 10, frames: 2 }.encode(&log).to_vec()),
        ("sealed header", sealed),
        ("sealed tables", tables),
        ("export", crate::transfer::sample()),
    ])
}

fn disk() -> (Ram, Files) {
    let ram = Ram::new();
    let files = Files(Arc::new(ram.process()));
    files.create_dir(Path::new("/d/x"), false).unwrap();
    (ram, files)
}

/// The second slot, which is written first.
fn memory(log: &Hash, time_ms: u64) -> Vec<u8> {
    let (ram, files) = disk();
    let path = Path::new("/d/memory");
    let head = Remembered { size: 10, root: sha256(b"root"), time_ms, signature: [7; 64] };
    // The slot of an even sequence stands at offset 0, so that the file is the slot.
    let mut memory = Memory::create(&files, path, *log).unwrap();
    memory.remember(&head).unwrap();
    memory.remember(&head).unwrap();
    ram.snapshot()[path][..164].to_vec()
}

fn run(log: &Hash) -> Vec<u8> {
    let (ram, files) = disk();
    let span = Span { kind: Kind::Permit, first: 7, end: 9 };
    let rows = [(1 << 40, 8), (2 << 40, 7)].into_iter().map(Ok);
    Run::write(&files, Path::new("/d"), span, log, rows).unwrap();
    ram.snapshot()[&Path::new("/d").join(span.file_name())].clone()
}

/// The blocks ` ```golden NAME ` of a chapter: hexadecimal digits, and what stands behind `#` is for people.
fn goldens(chapter: &str) -> BTreeMap<String, String> {
    let mut found = BTreeMap::new();
    let mut lines = chapter.lines();
    while let Some(line) = lines.next() {
        let Some(name) = line.strip_prefix("```golden ") else { continue };
        let block = lines.by_ref().take_while(|line| *line != "```");
        let hex = block.map(|line| line.split('#').next().unwrap_or_default().replace(' ', "")).collect();
        assert_eq!(found.insert(name.to_owned(), hex), None, "`{name}` stands twice");
    }
    found
}

#[test]
fn the_format_chapter_has_the_bytes_that_the_code_writes() {
    let chapter = goldens(CHAPTER);
    let code: BTreeMap<String, String> =
        vectors().into_iter().map(|(name, bytes)| (name.to_owned(), verifier::text::hex(&bytes))).collect();
    for (name, hex) in &code {
        let golden = chapter.get(name).map_or("", String::as_str);
        assert!(
            golden == hex,
            "`{name}` is not what FORMAT.md has. If another format is meant, put it there:\n{}",
            lines(hex)
        );
    }
    let names = |vectors: &BTreeMap<String, String>| vectors.keys().cloned().collect::<Vec<_>>();
    assert_eq!(names(&chapter), names(&code));
}

fn lines(hex: &str) -> String {
    hex.as_bytes().chunks(64).map(|line| format!("{}\n", std::str::from_utf8(line).unwrap())).collect()
}
