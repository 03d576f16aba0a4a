//! What arrives is not believed: damaged and made-up exports, and imports that fail or die at every operation.

use ledger::storage::ram::{Fault, Ram, Rule};
use ledger::{Malformed, OpenError, TransferError};

use crate::common::*;
use crate::transfer::{archive, elsewhere, export, import};

#[test]
fn a_file_that_is_damaged_anywhere_is_refused_and_nothing_remains() {
    let rig = Rig::rolled(6, |_| 3);
    let (file, _) = export(&rig, true);
    let mut tried = 0;
    for at in (0..file.len()).step_by(7) {
        let other = Ram::new();
        let mut flipped = file.clone();
        flipped[at] ^= 1 << (at % 8);
        import(&other, &flipped, None).unwrap_err();
        import(&other, &file[..at], None).unwrap_err();
        assert!(other.snapshot().is_empty(), "byte {at}");
        tried += 2;
    }
    assert!(tried > 500, "{tried}");
    let other = Ram::new();
    let result = import(&other, &[&file[..], b"x"].concat(), None);
    assert!(matches!(result, Err(TransferError::Malformed(Malformed::Trailing))));
    assert!(matches!(import(&other, b"", None), Err(TransferError::Malformed(Malformed::Magic))));
    // After all of that the whole file is still taken.
    import(&other, &file, None).unwrap();
    assert!(matches!(import(&other, &file, None), Err(TransferError::NotEmpty { .. })));
    archive(&other, &elsewhere()).unwrap();
}

/// Whoever makes a file with right digests cannot make up a log.
#[test]
fn a_file_with_right_digests_and_wrong_content_is_refused_and_nothing_remains() {
    let rig = Rig::rolled(6, |_| 3);
    let (file, taken) = export(&rig, true);
    let members = members(&file);
    let names: Vec<&str> = members.iter().map(|(name, _)| name.as_str()).collect();
    assert_eq!(names[..3], ["log.toml", "head", "journal/00000000000000000000.seg"]);
    let journal = names.iter().filter(|name| name.starts_with("journal/")).count();
    assert!(journal > 2 && names.len() > journal + 3, "{names:?}");
    let whole = pack(&members);
    assert!(whole == file, "the test packs as the exporter does");
    let mut cases: Vec<(String, Members)> = Vec::new();
    let mut case = |what: &str, change: &dyn Fn(&mut Members)| {
        let mut changed = members.clone();
        change(&mut changed);
        cases.push((what.to_owned(), changed));
    };
    for n in 0..members.len() {
        case(&format!("without {}", names[n]), &|members| drop(members.remove(n)));
        case(&format!("{} twice", names[n]), &|members| {
            let again = members[n].clone();
            members.insert(n, again);
        });
        case(&format!("{} longer", names[n]), &|members| members[n].1.extend_from_slice(b"x"));
        case(&format!("{} shorter", names[n]), &|members| _ = members[n].1.pop());
        case(&format!("{} empty", names[n]), &|members| members[n].1.clear());
        for part in 1..8 {
            case(&format!("{} with a bit changed", names[n]), &|members| {
                let at = members[n].1.len() * part / 8;
                members[n].1[at] ^= 0x10;
            });
        }
    }
    case("the head of another size", &|members| {
        let head = String::from_utf8(members[1].1.clone()).unwrap();
        members[1].1 = head.replacen("\n18\n", "\n17\n", 1).into_bytes();
    });
    for name in [
        "../escape",
        "journal/../../escape",
        "journal/1.seg",
        "keys/log.key",
        "vault/00000000000000000000.sealed",
        "tree/00",
        "",
    ] {
        case(name, &|members| members.insert(3, (name.to_owned(), b"x".to_vec())));
    }
    case("reversed", &|members| members.reverse());
    case("nothing", &|members| members.clear());
    let mut tried = 0;
    for (what, members) in cases {
        let other = Ram::new();
        let result = import(&other, &pack(&members), None);
        if let Ok(same) = result {
            // Of `log.toml` the time of creation is nobody's signed word, nor is its spelling.
            assert!(what.starts_with("log.toml") && same == taken, "{what}: {same:?}");
            continue;
        }
        assert!(other.snapshot().is_empty(), "{what}: {:?}", other.snapshot().keys());
        tried += 1;
    }
    assert!(tried > 80, "{tried}");
}

#[test]
fn whatever_operation_of_an_import_fails_nothing_of_it_remains_or_it_is_whole() {
    let rig = Rig::rolled(4, |_| 3);
    let (file, _) = export(&rig, true);
    let mut failures = 0;
    for nth in 0.. {
        let other = Ram::new();
        let fault = Fault::Fail(std::io::ErrorKind::StorageFull);
        other.fault(Rule { op: None, path: String::new(), nth, fault });
        match import(&other, &file, None) {
            Ok(_) => {
                other.release();
                archive(&other, &elsewhere()).unwrap();
                break;
            }
            Err(_) => {
                failures += 1;
                assert!(other.snapshot().is_empty(), "operation {nth}: {:?}", other.snapshot().keys());
            }
        }
        // And if the process dies there instead, what is left is whole, or no log and the next import begins anew.
        for power in [false, true] {
            let other = Ram::new();
            other.fault(Rule { op: None, path: String::new(), nth, fault: Fault::Kill });
            let whole = import(&other, &file, None).is_ok();
            if power {
                other.power_loss();
            } else {
                other.restart();
            }
            match archive(&other, &elsewhere()) {
                Ok(reader) => check_mixed(&reader, 12),
                Err(OpenError::NotALog { .. }) => {
                    assert!(!whole);
                    import(&other, &file, None).unwrap();
                    check_mixed(&archive(&other, &elsewhere()).unwrap(), 12);
                }
                Err(other) => panic!("operation {nth}: {other}"),
            }
        }
    }
    assert!(failures > 40, "{failures}");
}

/// Names with contents.
type Members = Vec<(String, Vec<u8>)>;

/// The members of an export, without checking anything.
fn members(file: &[u8]) -> Members {
    let (mut at, mut members) = (8, Vec::new());
    loop {
        let name_len = usize::from(u16::from_be_bytes(file[at..at + 2].try_into().unwrap()));
        let name = String::from_utf8(file[at + 2..at + 2 + name_len].to_vec()).unwrap();
        at += 2 + name_len;
        let len = usize::try_from(u64::from_be_bytes(file[at..at + 8].try_into().unwrap())).unwrap();
        let content = file[at + 8..at + 8 + len].to_vec();
        at += 8 + len + 32;
        if name == "end" {
            return members;
        }
        members.push((name, content));
    }
}

/// An export of these members, with right digests.
fn pack(members: &[(String, Vec<u8>)]) -> Vec<u8> {
    use verifier::hash::sha256;
    let mut file = b"ILEXPRT1".to_vec();
    let mut before = sha256(&file);
    let end = ("end".to_owned(), Vec::new());
    for (name, content) in members.iter().chain([&end]) {
        let mut member = u16::try_from(name.len()).unwrap().to_be_bytes().to_vec();
        member.extend_from_slice(name.as_bytes());
        member.extend_from_slice(&(content.len() as u64).to_be_bytes());
        member.extend_from_slice(content);
        before = sha256(&[&before.0[..], &member].concat());
        file.extend_from_slice(&member);
        file.extend_from_slice(&before.0);
    }
    file
}
