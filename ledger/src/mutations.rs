//! Every decoder of this crate's disk formats under thousands of mutants of what its encoders write, half of them with their checksums put
//! right: none panics, and what is accepted comes back byte for byte.

use std::path::Path;
use std::sync::Arc;

use verifier::note::VerifierKey;

use crate::derived::Mark;
use crate::format::{log, samples};
use crate::frame::{FRAME_HEADER, FrameHeader, MAX_BATCH_BYTES, MAX_BATCH_ENTRIES, split_body};
use crate::layout::{Identity, Layout, SegmentKind, is_segment_header};
use crate::memory::Memory;
use crate::mutate::{as_it_is, mutate};
use crate::rows::Row;
use crate::runs::{Kind, Run, Span};
use crate::sealed::sample;
use crate::signer::Signer;
use crate::storage::ram::Ram;
use crate::storage::{Files, Mode};
use crate::vault::{self, borrow_parts, decode_head};

/// A format whose last four bytes are the CRC-32 of all before.
fn mend_end(bytes: &mut [u8]) {
    if let Some(end) = bytes.len().checked_sub(4) {
        let crc = crc32fast::hash(&bytes[..end]);
        bytes[end..].copy_from_slice(&crc.to_be_bytes());
    }
}

fn disk() -> (Ram, Files) {
    let ram = Ram::new();
    let files = Files(Arc::new(ram.process()));
    files.create_dir(Path::new("/d/tree/x"), false).unwrap();
    (ram, files)
}

/// A file that holds a mutant.
fn put(ram: &Ram, path: &Path, bytes: &[u8]) {
    ram.damage(path, |content| content.splice(.., bytes.iter().copied()).for_each(drop)).unwrap();
}

#[test]
fn frames_and_segment_headers() {
    let tried = mutate("frame header", &[samples("frame header")], mend_end, |bytes| {
        let header = FrameHeader::decode(bytes.try_into().ok()?)?;
        assert!((1..=MAX_BATCH_ENTRIES).contains(&(header.count as usize)) && header.parts <= header.count);
        assert!(header.body_len as usize <= MAX_BATCH_BYTES && header.end() < 1 << 63);
        assert_eq!(header.len(), (FRAME_HEADER as u64) + u64::from(header.body_len));
        Some(header.encode().to_vec())
    });
    assert!(tried.accepted * 100 > tried.refused, "too few mutants got past the checksum");
    let body = samples("frame body");
    let count = u32::try_from(verifier::tile::entries(&body).count()).unwrap();
    mutate("frame body", &[body], as_it_is, |bytes| {
        let leaves = split_body(bytes, count)?;
        let mut again = Vec::new();
        for leaf in leaves {
            verifier::tile::push_entry(&mut again, &bytes[leaf]).unwrap();
        }
        Some(again)
    });
    for (name, kind) in [("journal segment header", SegmentKind::Journal), ("vault segment header", SegmentKind::Vault)]
    {
        mutate(name, &[samples(name)], mend_end, |bytes| {
            is_segment_header(bytes, kind, &log(), 7).then(|| crate::layout::segment_header(kind, &log(), 7).to_vec())
        });
    }
}

#[test]
fn vault_frames() {
    let tried = mutate("vault frame head", &[samples("vault frame head")], mend_end, |bytes| {
        let (header, table) = decode_head(bytes)?;
        assert_eq!(header.head_len(), bytes.len());
        let mut again = Vec::new();
        vault::encode_head(header.first, &table, header.body_len, &mut again);
        Some(again)
    });
    assert!(tried.accepted * 100 > tried.refused, "too few mutants got past the checksum");
    mutate("private parts", &[samples("private parts")], mend_end, |bytes| {
        let mut again = borrow_parts(bytes)?.without(0, 0);
        // What follows the parts is another decision's.
        again.extend_from_slice(bytes.get(again.len()..)?);
        Some(again)
    });
}

#[test]
fn memory_rows_runs_and_mark() {
    let (ram, files) = disk();
    let path = Path::new("/d/memory");
    files.open(path, Mode::New).unwrap();
    mutate("memory slot", &[samples("memory slot")], mend_end, |bytes| {
        put(&ram, path, bytes);
        let head = Memory::peek(&files, path, log()).ok()??;
        assert_eq!(bytes.get(56..88), Some(&head.head.root.0[..]));
        Some(bytes.to_vec())
    });
    mutate("frame row", &[samples("frame row")], mend_end, |bytes| {
        Some(Row::decode(bytes.try_into().ok()?)?.encode().to_vec())
    });
    let span = Span { kind: Kind::Permit, first: 7, end: 9 };
    let dir = Path::new("/d");
    files.open(&dir.join(span.file_name()), Mode::New).unwrap();
    let mend_run = |bytes: &mut [u8]| {
        if bytes.len() >= 72 {
            let rows = crc32fast::hash(&bytes[72..]);
            bytes[64..68].copy_from_slice(&rows.to_be_bytes());
            let head = crc32fast::hash(&bytes[..68]);
            bytes[68..72].copy_from_slice(&head.to_be_bytes());
        }
    };
    mutate("run", &[samples("run")], mend_run, |bytes| {
        put(&ram, &dir.join(span.file_name()), bytes);
        let run = Run::open(&files, dir, span, &log()).unwrap()?;
        for key in [0, 1 << 40, u64::MAX] {
            let _ = run.find(key);
        }
        Some(bytes.to_vec())
    });
    let layout = Layout::new(dir);
    files.open(&layout.tree().join("synced"), Mode::New).unwrap();
    mutate("mark", &[samples("mark")], mend_end, |bytes| {
        put(&ram, &layout.tree().join("synced"), bytes);
        Some(Mark::read(&files, &layout, &log()).unwrap()?.encode(&log()).to_vec())
    });
}

#[test]
fn sealed_segments() {
    let (ram, files) = disk();
    let path = Path::new("/d/00000000000000000250.sealed");
    let raw = sample::write(&files, path, &log());
    assert_eq!(sample::read(&files, path, &log()).unwrap(), raw);
    let whole = ram.snapshot()[path].clone();
    // Without mended checksums nothing is read but what was written; with them nothing is promised but an end.
    mutate("sealed segment", std::slice::from_ref(&whole), as_it_is, |bytes| {
        put(&ram, path, bytes);
        let read = sample::read(&files, path, &log())?;
        assert!(read == raw, "another segment was read");
        Some(bytes.to_vec())
    });
    mutate("sealed segment with right checksums", &[whole], sample::mend, |bytes| {
        put(&ram, path, bytes);
        sample::read(&files, path, &log()).map(|_| bytes.to_vec())
    });
}

#[test]
fn keys_and_identities() {
    let signer = Signer::from_seed("ledger.example/evidence", &[1; 32]).unwrap();
    mutate("signing key", &[signer.skey().as_bytes().to_vec()], as_it_is, |bytes| {
        let text = std::str::from_utf8(bytes).ok()?;
        let again = Signer::from_skey(text).ok()?;
        // White space around a key is not part of it.
        assert_eq!(again.skey().as_str(), text.trim());
        Some(bytes.to_vec())
    });
    let key: VerifierKey = signer.verifier_key().clone();
    let toml = Identity::new(key, 1_790_000_000_000).to_toml().unwrap();
    mutate("log.toml", &[toml.into_bytes()], as_it_is, |bytes| {
        let identity = Identity::from_toml(bytes).ok()?;
        assert_eq!(identity.origin, identity.key.name());
        Some(bytes.to_vec())
    });
}
