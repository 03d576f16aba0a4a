//! Power cuts: what a block device holds at an arbitrary moment under load, mounted again.
//!
//! The log and its memory lie on ext4 in a file on a loop device. Freezing the file system *under* that file holds every write of the device
//! back, whatever the upper file system and the server are in the middle of; the file is then what the device had taken until that moment,
//! and a copy of it what is found after a power cut: its journal must be replayed, and nothing that was only in memory is there. (Copying
//! without the freeze would mix early blocks with late ones, which no power cut does. A device that loses what it had taken but was not yet
//! told to flush is the business of the ledger's own fault model, `ledger/tests/it/faults.rs`.)
//!
//! It needs root, loop devices, and `mkfs.ext4`; without, it says that it was not run.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use ledger::{Ledger, Options};

use crate::house::{House, Server, ok};
use crate::load::{goes_on, under_load};

/// Twenty, or as many as `INTERLOCK_SNAPSHOTS` says.
fn snapshots() -> u64 {
    std::env::var("INTERLOCK_SNAPSHOTS").map_or(20, |snapshots| snapshots.parse().unwrap())
}

/// Runs a command that sets something up or takes it down; what it said if it fails.
fn run(program: &str, arguments: &[&str]) -> Result<(), String> {
    let output = Command::new(program).args(arguments).output().map_err(|error| format!("{program}: {error}"))?;
    let said = String::from_utf8_lossy(&output.stderr).trim().to_owned();
    if output.status.success() { Ok(()) } else { Err(format!("{program} {}: {said}", arguments.join(" "))) }
}

/// A file with an ext4 in it, mounted; taken down when dropped.
struct Mounted {
    at: PathBuf,
}

impl Mounted {
    fn fresh(image: &Path, size: &str, options: &str, at: PathBuf) -> Result<Self, String> {
        let file = image.to_str().unwrap();
        run("truncate", &["-s", size, file])?;
        let eager = format!("lazy_itable_init=0,lazy_journal_init=0{options}");
        run("mkfs.ext4", &["-q", "-F", "-E", &eager, file])?;
        Self::again(image, at)
    }

    fn again(image: &Path, at: PathBuf) -> Result<Self, String> {
        std::fs::create_dir(&at).unwrap();
        run("mount", &["-o", "loop", image.to_str().unwrap(), at.to_str().unwrap()])?;
        Ok(Self { at })
    }
}

impl Drop for Mounted {
    fn drop(&mut self) {
        let at = self.at.to_str().unwrap_or_default();
        // Best effort; a mount that is left ends with the machine.
        let _ = run("umount", &[at]).or_else(|_| run("umount", &["-l", at]));
        let _ = std::fs::remove_dir(&self.at);
    }
}

/// Nothing is written below `at` while this lives.
struct Frozen<'a>(&'a Path);

impl<'a> Frozen<'a> {
    fn now(at: &'a Path) -> Self {
        run("fsfreeze", &["-f", at.to_str().unwrap()]).unwrap();
        Self(at)
    }
}

impl Drop for Frozen<'_> {
    fn drop(&mut self) {
        run("fsfreeze", &["-u", self.0.to_str().unwrap()]).unwrap();
    }
}

#[test]
fn every_permit_answered_before_a_power_cut_is_in_the_log_after_it() {
    let folder = tempfile::tempdir().unwrap();
    let path = |name: &str| folder.path().join(name);
    let below = match Mounted::fresh(&path("below.img"), "320M", "", path("below")) {
        Ok(below) => below,
        Err(why) => {
            return eprintln!("NOT RUN: no file system can be mounted here, so no power cut can be shown: {why}");
        }
    };
    let device = below.at.join("device.img");
    let disk = Mounted::fresh(&device, "160M", "", path("disk")).unwrap();
    let house = House::within(tempfile::tempdir_in(&disk.at).unwrap());
    let inside = PathBuf::from(house.path("log")).strip_prefix(&disk.at).unwrap().to_owned();
    house.publish("hello");
    let server = house.serve();
    let (mut all, mut replayed) = (Vec::new(), 0);
    for round in 0..snapshots() {
        let mut before = Vec::new();
        let allowed = under_load(&house, &server, |answers| {
            std::thread::sleep(Duration::from_millis(40 + 17 * (round % 6)));
            before = answers.so_far();
            let _frozen = Frozen::now(&below.at);
            run("cp", &["--sparse=always", device.to_str().unwrap(), path("cut.img").to_str().unwrap()]).unwrap();
        });
        before.splice(0..0, all.iter().cloned());
        all.extend(allowed);
        replayed += u64::from(needs_recovery(&path("cut.img")));

        let cut = Mounted::again(&path("cut.img"), path("cut")).unwrap();
        let data = cut.at.join(&inside);
        let story = format!("power cut {round}");
        let again = Server::start(data.to_str().unwrap(), &[]);
        goes_on(&house, &again, &story);
        again.stop();
        let (ledger, reader) = Ledger::open(Options::new(&data), 0).unwrap();
        for answer in &before {
            let permit = answer["permit"].as_str().unwrap();
            let index = reader.permit(&permit.parse().unwrap()).unwrap();
            assert_eq!(index, answer["index"].as_u64(), "{story}: permit {permit} was answered and is not in the log");
            // The head under which it was proved is a head of this log, byte for byte.
            let receipt = verifier::receipt::Receipt::parse(answer["receipt"].as_str().unwrap()).unwrap();
            let size = receipt.checkpoint.lines().nth(1).unwrap().parse().unwrap();
            assert_eq!(reader.head_at(size).unwrap().map(|head| head.note), Some(receipt.checkpoint), "{story}");
        }
        drop((ledger, reader));
        ok(["fsck", data.to_str().unwrap()]);
    }
    server.stop();
    assert!(all.len() as u64 > snapshots(), "only {} permits were answered: the test tested little", all.len());
    assert!(replayed > 0, "no copy was taken while anything was under way");
    println!(
        "{} power cuts, {replayed} with a journal to replay, {} answered permits, all in the log",
        snapshots(),
        all.len()
    );
}

/// True if the file system in an image was not left in peace (the superblock's incompatible feature 0x4).
fn needs_recovery(image: &Path) -> bool {
    use std::os::unix::fs::FileExt;
    let mut features = [0; 4];
    std::fs::File::open(image).unwrap().read_exact_at(&mut features, 1024 + 0x60).unwrap();
    u32::from_le_bytes(features) & 0x4 != 0
}
