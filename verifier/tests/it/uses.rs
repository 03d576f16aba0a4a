//! What an enforcement point remembers of the uses of permits: across executors, restarts, losses and whatever happens to the store's file.

use verifier::decision::{Decision, Grant, PermitId};
use verifier::guard::{Claim, Guard, MAX_AHEAD_MS, Refusal, UseStore, UseStoreError, remembers_from};
use verifier::uses_file::{FileUses, OpenError};

use crate::guard::{Log, Memory, NOW, REQUEST, allow, trust};

/// Threat 2: a second executor with the same store, the same one again, and one after a restart are all refused.
#[test]
fn a_permit_is_used_once_across_executors_and_restarts() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("uses");
    let mut log = Log::new(1);
    let permit = log.decide(allow());
    {
        let uses = FileUses::open(&path, 0).unwrap();
        assert!(matches!(FileUses::open(&path, 0), Err(OpenError::Locked(_))));
        let since = uses.remembers_since();
        let mut guard = Guard::new(trust(&log, ""), uses, since);
        assert!(guard.admit(REQUEST, &permit, NOW).is_ok());
        assert_eq!(guard.admit(REQUEST, &permit, NOW).unwrap_err(), Refusal::AlreadyUsed);
    }
    let uses = FileUses::open(&path, NOW).unwrap();
    let since = uses.remembers_since();
    assert_eq!(since, remembers_from(0));
    let mut guard = Guard::new(trust(&log, ""), uses, since);
    assert_eq!(guard.admit(REQUEST, &permit, NOW).unwrap_err(), Refusal::AlreadyUsed);
}

#[test]
fn a_store_that_was_lost_refuses_what_was_issued_before() {
    let dir = tempfile::tempdir().unwrap();
    let mut log = Log::new(1);
    let permit = log.decide(allow());
    let uses = FileUses::open(&dir.path().join("uses"), NOW).unwrap();
    let since = uses.remembers_since();
    let mut guard = Guard::new(trust(&log, ""), uses, since);
    assert_eq!(guard.admit(REQUEST, &permit, NOW).unwrap_err(), Refusal::OlderThanMemory);
}

/// Threat 15 at the executor: a clock that jumps to 2031 and back makes the store forget nothing that could be used again.
#[test]
fn a_clock_that_jumps_does_not_bring_a_use_back() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("uses");
    let mut log = Log::new(1);
    let permit = log.decide(allow());
    {
        let mut guard = Guard::new(trust(&log, ""), FileUses::open(&path, 0).unwrap(), 0);
        assert!(guard.admit(REQUEST, &permit, NOW).is_ok());
    }
    let year_2031 = 1_930_000_000_000;
    drop(FileUses::open(&path, year_2031).unwrap());
    let uses = FileUses::open(&path, NOW).unwrap();
    let since = uses.remembers_since();
    let mut guard = Guard::new(trust(&log, ""), uses, since);
    assert_eq!(guard.admit(REQUEST, &permit, NOW).unwrap_err(), Refusal::OlderThanMemory);
    assert_eq!(guard.admit(REQUEST, &permit, year_2031).unwrap_err(), Refusal::Expired);
}

#[test]
fn a_store_cut_anywhere_never_gives_a_use_twice() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("uses");
    {
        let mut uses = FileUses::open(&path, 0).unwrap();
        for nth in 0..3 {
            assert_eq!(uses.claim(PermitId([1; 16]), nth, NOW + 1), Ok(Claim::Taken));
        }
    }
    let whole = std::fs::read(&path).unwrap();
    for len in 0..=whole.len() {
        std::fs::write(&path, &whole[..len]).unwrap();
        match FileUses::open(&path, NOW) {
            Err(OpenError::Damaged(_, _)) => assert!(len < 32),
            Err(other) => panic!("{other}"),
            // A cut on an entry's border cannot be told from a store that ended there; any other raises the memory's start.
            Ok(uses) => assert!(uses.remembers_since() == remembers_from(NOW) || (len - 32) % 32 == 0, "cut at {len}"),
        }
    }
    for bit in 0..whole.len() * 8 {
        let mut flipped = whole.clone();
        flipped[bit / 8] ^= 1 << (bit % 8);
        std::fs::write(&path, &flipped).unwrap();
        match FileUses::open(&path, NOW) {
            Err(OpenError::Damaged(_, _)) => {}
            Err(other) => panic!("{other}"),
            Ok(uses) => assert_eq!(uses.remembers_since(), remembers_from(NOW), "bit {bit}"),
        }
    }
}

/// A record from up to five seconds ahead is admitted, so a store that knows nothing from before must refuse those five seconds too: once,
/// a permit from four seconds ahead was admitted, its store lost, and admitted again a second later.
#[test]
fn a_store_that_was_lost_or_torn_refuses_what_was_admitted_from_ahead() {
    let mut log = Log::new(1);
    for ahead in [0, 1, 4_000, MAX_AHEAD_MS] {
        let permit = log.decide(Decision { recorded_at: NOW + ahead, ..allow() });
        type Loss = fn(&std::path::Path);
        let torn: Loss = |path| {
            let mut bytes = std::fs::read(path).unwrap();
            *bytes.last_mut().unwrap() ^= 1;
            std::fs::write(path, bytes).unwrap();
        };
        let losses: [Loss; 3] =
            [|path| std::fs::remove_file(path).unwrap(), |path| drop(std::fs::File::create(path)), torn];
        for loss in losses {
            let dir = tempfile::tempdir().unwrap();
            let path = dir.path().join("uses");
            let mut guard = Guard::new(trust(&log, ""), FileUses::open(&path, 0).unwrap(), 0);
            assert!(guard.admit(REQUEST, &permit, NOW).is_ok());
            drop(guard);
            loss(&path);
            for later in [0, 1_000, 4_500] {
                let uses = FileUses::open(&path, NOW + later).unwrap();
                let since = uses.remembers_since();
                let again = Guard::new(trust(&log, ""), uses, since).admit(REQUEST, &permit, NOW + later);
                assert_eq!(again.unwrap_err(), Refusal::OlderThanMemory, "ahead {ahead}, later {later}");
            }
        }
    }
}

/// Two processes that opened one store by two names both admitted a permit: the lock was a second file, and opening left the other name
/// with a file of its own.
#[test]
fn a_store_is_one_store_by_whatever_name() {
    let dir = tempfile::tempdir().unwrap();
    let path = |name: &str| dir.path().join(name);
    std::fs::create_dir(path("real")).unwrap();
    std::os::unix::fs::symlink(path("real"), path("folder")).unwrap();
    std::os::unix::fs::symlink(path("real/uses"), path("link")).unwrap();
    std::os::unix::fs::symlink(path("link"), path("link of a link")).unwrap();
    // Begun through a link that led nowhere yet, and opened once more: a store is written anew each time.
    drop(FileUses::open(&path("link"), 0).unwrap());
    let mut uses = FileUses::open(&path("link"), 0).unwrap();
    for other in ["real/uses", "folder/uses", "link", "link of a link"] {
        assert!(matches!(FileUses::open(&path(other), 0), Err(OpenError::Locked(_))), "{other}");
    }
    assert_eq!(uses.claim(PermitId([1; 16]), 0, NOW), Ok(Claim::Taken));
    drop(uses);
    for other in ["real/uses", "folder/uses", "link", "link of a link"] {
        let mut uses = FileUses::open(&path(other), 0).unwrap();
        assert_eq!(uses.claim(PermitId([1; 16]), 0, NOW), Ok(Claim::AlreadyTaken), "{other}");
    }
    assert!(path("link").is_symlink());
}

#[test]
fn a_store_with_a_second_hard_link_is_refused() {
    let dir = tempfile::tempdir().unwrap();
    let (path, other) = (dir.path().join("uses"), dir.path().join("other"));
    let uses = FileUses::open(&path, 0).unwrap();
    std::fs::hard_link(&path, &other).unwrap();
    assert!(matches!(FileUses::open(&other, 0), Err(OpenError::Locked(_))));
    drop(uses);
    for name in [&path, &other] {
        assert!(matches!(FileUses::open(name, 0), Err(OpenError::Linked(_))));
    }
    std::fs::remove_file(&other).unwrap();
    assert!(FileUses::open(&path, 0).is_ok());
}

/// Whoever removes every file beside the store removes no lock; and a store that was moved away takes no more uses.
#[test]
fn a_store_whose_file_is_gone_takes_no_more_uses() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("uses");
    let mut first = FileUses::open(&path, 0).unwrap();
    assert_eq!(first.claim(PermitId([1; 16]), 0, NOW), Ok(Claim::Taken));
    for file in std::fs::read_dir(dir.path()).unwrap().map(|file| file.unwrap().path()).filter(|file| *file != path) {
        std::fs::remove_file(file).unwrap();
    }
    assert!(matches!(FileUses::open(&path, NOW), Err(OpenError::Locked(_))));
    std::fs::rename(&path, dir.path().join("moved")).unwrap();
    let second = FileUses::open(&path, NOW).unwrap();
    assert_eq!(second.remembers_since(), remembers_from(NOW));
    for _ in 0..2 {
        assert!(first.claim(PermitId([2; 16]), 0, NOW).is_err());
    }
}

#[test]
fn a_store_that_fails_refuses() {
    struct Broken;
    impl UseStore for Broken {
        fn claim(&mut self, _: PermitId, _: u32, _: u64) -> Result<Claim, UseStoreError> {
            Err(UseStoreError("disk full".into()))
        }
    }
    let mut log = Log::new(1);
    let permit = log.decide(allow());
    let refusal = Guard::new(trust(&log, ""), Broken, 0).admit(REQUEST, &permit, NOW).unwrap_err();
    assert_eq!(refusal.code(), "use_store_failed");
}

#[test]
fn several_uses_are_counted_and_no_more() {
    let mut log = Log::new(1);
    let grant = Some(Grant { expires_at: NOW + 9, uses: 3, lease_ends_at: None });
    let permit = log.decide(Decision { grant, ..allow() });
    let mut guard = Guard::new(trust(&log, ""), Memory::default(), 0);
    for nth in 0..3 {
        assert_eq!(guard.admit(REQUEST, &permit, NOW).map(|admitted| admitted.nth()), Ok(nth));
    }
    assert_eq!(guard.admit(REQUEST, &permit, NOW).unwrap_err(), Refusal::AlreadyUsed);
}
