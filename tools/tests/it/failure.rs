//! What goes wrong at start says so, with its exit code, and damages nothing.

use std::fs::OpenOptions;
use std::os::unix::fs::{FileExt, PermissionsExt};
use std::path::Path;
use std::process::Command;

use crate::house::{House, Http, Server, fails, interlock, ok, refund};
use crate::load::{all_there, goes_on};

fn serve_fails(house_path: &str, more: &[&str]) -> String {
    let mut arguments = vec!["serve", "--data", house_path];
    for listener in ["--listen", "--public"].into_iter().filter(|listener| !more.contains(listener)) {
        arguments.extend([listener, "127.0.0.1:0"]);
    }
    let (code, said) = fails(arguments.iter().chain(more));
    assert_eq!(code, 4, "{said}");
    said
}

#[test]
fn a_missing_empty_or_foreign_directory_is_not_a_log_and_does_not_become_one() {
    let folder = tempfile::tempdir().unwrap();
    let path = |name: &str| folder.path().join(name).to_str().unwrap().to_owned();
    assert!(serve_fails(&path("missing"), &[]).contains("is not a log"));
    assert!(!Path::new(&path("missing")).exists());
    std::fs::create_dir(path("empty")).unwrap();
    assert!(serve_fails(&path("empty"), &[]).contains("is not a log"));
    assert_eq!(std::fs::read_dir(path("empty")).unwrap().count(), 0);
    std::fs::create_dir(path("foreign")).unwrap();
    std::fs::write(path("foreign/letter.txt"), "dear").unwrap();
    assert!(serve_fails(&path("foreign"), &[]).contains("is not a log"));
    let (code, said) = fails(["init", "--data", &path("foreign"), "--origin", "ledger.example/x"]);
    assert_eq!(code, 4);
    assert!(said.contains("is not empty"), "{said}");
    assert_eq!(std::fs::read_to_string(path("foreign/letter.txt")).unwrap(), "dear");
}

#[test]
fn a_second_process_is_refused_and_the_first_goes_on() {
    let house = House::new();
    house.publish("hello");
    let server = house.serve();
    assert!(serve_fails(&house.path("log"), &[]).contains("in use by another process"));
    let (status, _) = Http::new().decide(&server.decisions, &house.api_key, &refund(1)).unwrap();
    assert_eq!(status, 200);
}

#[test]
fn a_service_that_ends_says_so_and_what_ended_it_keeps_the_log_shut() {
    let house = House::new();
    house.publish("hello");
    let log = house.path("log");
    let said = house.path("said");
    let arguments = Server::arguments(&log);
    let output = std::fs::File::create(&said).unwrap();
    let mut child = Command::new(env!("CARGO_BIN_EXE_interlock")).args(arguments).stderr(output).spawn().unwrap();
    let wait_for = |words: &str| {
        for _ in 0..600 {
            let text = std::fs::read_to_string(&said).unwrap();
            if text.contains(words) {
                return text;
            }
            std::thread::sleep(std::time::Duration::from_millis(100));
        }
        panic!("no {words} in {}", std::fs::read_to_string(&said).unwrap());
    };
    wait_for("state from");
    // Before the first audit, which comes some seconds after the start.
    let segment = Path::new(&log).join("journal/00000000000000000000.seg");
    let flip_the_last_bit = || {
        let file = OpenOptions::new().read(true).write(true).open(&segment).unwrap();
        let (mut byte, last) = ([0], file.metadata().unwrap().len() - 1);
        file.read_exact_at(&mut byte, last).unwrap();
        file.write_all_at(&[byte[0] ^ 1], last).unwrap();
    };
    flip_the_last_bit();
    let text = wait_for("service_ended");
    assert!(text.contains("interlock: self_audit_failed first_fault=") && !text.contains("panicked"), "{text}");
    assert!(child.try_wait().unwrap().is_none(), "reads go on");
    // Two more looks, and nothing is said again.
    std::thread::sleep(std::time::Duration::from_millis(2_200));
    assert!(Command::new("kill").args(["-TERM", &child.id().to_string()]).status().unwrap().success());
    assert!(child.wait().unwrap().success());
    assert_eq!(std::fs::read_to_string(&said).unwrap().matches("service_ended").count(), 1);
    // Whole again, and still shut.
    flip_the_last_bit();
    assert!(serve_fails(&log, &[]).contains("what a self-audit found wrong"));
    ok(["audit", &log, "--vkey", &house.vkey]);
    std::fs::remove_file(Path::new(&log).join("unsound")).unwrap();
    Server::start(&log, &[]).stop();
}

#[test]
fn a_port_in_use_is_named() {
    let (first, second) = (House::new(), House::new());
    let server = first.serve();
    let taken = server.decisions.strip_prefix("http://").unwrap();
    let said = serve_fails(&second.path("log"), &["--listen", taken]);
    assert!(said.contains("cannot listen") && said.contains(taken), "{said}");
    let taken = server.public.strip_prefix("http://").unwrap();
    assert!(serve_fails(&second.path("log"), &["--public", taken]).contains(taken));
    // Nothing of it harmed the log.
    Server::start(&second.path("log"), &[]).stop();
}

#[test]
fn key_files_that_others_can_read_are_refused() {
    let house = House::new();
    for (file, says) in [("log/keys/log.key", "mode 644"), ("log/keys/api.toml", "mode 644")] {
        let path = house.path(file);
        let open = |mode| std::fs::set_permissions(&path, std::fs::Permissions::from_mode(mode)).unwrap();
        open(0o644);
        let said = serve_fails(&house.path("log"), &[]);
        assert!(said.contains(says) && said.contains("chmod 600"), "{said}");
        open(0o600);
    }
    let admin = house.path("admin_key");
    std::fs::set_permissions(&admin, std::fs::Permissions::from_mode(0o640)).unwrap();
    let (code, said) =
        fails(["switch", "global", "halt", "--reason", "x", "--url", "http://127.0.0.1:9", "--key-file", &admin]);
    assert_eq!(code, 4);
    assert!(said.contains("chmod 600"), "{said}");
    Server::start(&house.path("log"), &[]).stop();
}

#[test]
fn keys_in_the_clear_beyond_loopback_are_refused() {
    let house = House::new();
    let (code, said) = fails(["serve", "--data", &house.path("log"), "--listen", "0.0.0.0:0"]);
    assert_eq!(code, 2);
    assert!(said.contains("--behind-proxy"), "{said}");
}

#[test]
fn an_epoch_that_does_not_validate_is_refused_with_its_position_and_the_old_one_stays() {
    let house = House::new();
    house.publish("hello");
    let file = house.path("bad.cedar");
    let publish = |text: &str| {
        std::fs::write(&file, text).unwrap();
        let (log, key) = (house.path("log"), house.path("admin_key"));
        let (code, said) = fails(["policy", "publish", "--data", &log, "--key-file", &key, "--policies", &file]);
        assert_eq!(code, 1, "{said}");
        said
    };
    assert!(publish("@id(\"a\")\npermit (principal, action, resource)\nwhen { 1 + };").contains("3:"), "position");
    assert!(publish("permit (principal, action, resource);").contains("@id"));
    let server = house.serve();
    let (_, answer) = Http::new().decide(&server.decisions, &house.api_key, &refund(1)).unwrap();
    assert_eq!(answer["policies"], serde_json::json!(["refund-what-was-paid"]));
}

#[test]
fn a_policy_that_can_never_match_is_told_before_it_is_published() {
    let house = House::new();
    let (file, schema) = (house.path("idle.cedar"), house.path("s.cedarschema"));
    std::fs::write(&schema, "entity A; entity R; action x appliesTo { principal: A, resource: R };").unwrap();
    std::fs::write(&file, "@id(\"never\") permit (principal is R, action == Action::\"x\", resource);").unwrap();
    let checked = interlock(["policy", "check", "--policies", &file, "--schema", &schema]);
    let said = String::from_utf8_lossy(&checked.stderr).into_owned();
    assert!(checked.status.success() && said.contains("warning: ") && said.contains("never"), "{said}");
}

/// A directory restored from an older copy would fork if it went on (threat 4).
#[test]
fn a_directory_restored_from_an_older_copy_is_refused() {
    let house = House::new();
    house.publish("hello");
    let (log, copy) = (house.path("log"), house.path("copy"));
    assert!(Command::new("cp").args(["-a", &log, &copy]).status().unwrap().success());
    let server = house.serve();
    Http::new().decide(&server.decisions, &house.api_key, &refund(1)).unwrap();
    server.stop();
    std::fs::rename(&log, house.path("newer")).unwrap();
    std::fs::rename(&copy, &log).unwrap();
    assert!(serve_fails(&log, &[]).contains("older copy"));
    // The memory is lost: only the operator's word opens the log, and that stands in it.
    std::fs::remove_file(house.path("log.memory")).unwrap();
    assert!(serve_fails(&log, &[]).contains("is missing"));
    Server::start(&log, &["--accept-memory-loss"]).stop();
    Server::start(&log, &[]).stop();
}

/// On a disk that is full: 503 and no permit; reads go on; with space again a restart continues.
#[test]
fn a_full_disk_denies_and_damages_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let Some(mount) = small_disk(folder.path()) else { return };
    let _unmount = Unmount(mount.clone());
    let house = House::within(tempfile::tempdir_in(&mount).unwrap());
    house.publish("hello");
    let server = house.serve();
    let http = Http::new();
    let decide = |server: &Server| http.decide(&server.decisions, &house.api_key, &refund(1)).unwrap();
    let (_, before) = decide(&server);
    assert_eq!(before["decision"], true);
    let ballast = mount.join("ballast");
    let mut file = std::fs::File::create(&ballast).unwrap();
    while std::io::Write::write_all(&mut file, &[0; 4096]).is_ok() {}
    let (mut allowed, mut denied) = (vec![before.clone()], None);
    for _ in 0..2_000 {
        let (status, answer) = decide(&server);
        if status != 200 {
            denied = Some((status, answer));
            break;
        }
        allowed.push(answer);
    }
    let (status, answer) = denied.expect("the disk never filled");
    assert_eq!(status, 503, "{answer}");
    assert_ne!(answer["decision"], true);
    assert_eq!(decide(&server).0, 503, "once failed, it stays so until it is opened again");
    assert_eq!(http.get(&format!("{}/checkpoint", server.public)).0, 200, "reads go on");
    all_there(&house, &server, &allowed, "on the full disk");
    server.kill();
    drop(file);
    std::fs::remove_file(&ballast).unwrap();
    let server = house.serve();
    all_there(&house, &server, &allowed, "with space again");
    goes_on(&house, &server, "with space again");
    server.stop();
    ok(["audit", &house.path("log"), "--vkey", &house.vkey]);
}

/// Threat 23: what fills the disk leaves room for whoever has to stop it.
#[test]
fn a_disk_that_is_nearly_full_takes_governance_and_no_decisions_until_there_is_space_again() {
    let folder = tempfile::tempdir().unwrap();
    let Some(mount) = small_disk(folder.path()) else { return };
    let _unmount = Unmount(mount.clone());
    let house = House::within(tempfile::tempdir_in(&mount).unwrap());
    house.publish("hello");
    let server = house.serve();
    let http = Http::new();
    let decide = || http.decide(&server.decisions, &house.api_key, &refund(1)).unwrap();
    assert_eq!(decide().0, 200);
    // Of 3 MiB a twentieth is kept: 154 KiB. Some 100 KiB are left.
    let free = || rustix::fs::statvfs(&mount).map(|disk| disk.f_bavail * disk.f_frsize).unwrap();
    let ballast = mount.join("ballast");
    let mut file = std::fs::File::create(&ballast).unwrap();
    while free() > 100 * 1024 {
        std::io::Write::write_all(&mut file, &[0; 4096]).unwrap();
    }
    let until = |wanted: u16| loop {
        let (status, answer) = decide();
        if status == wanted {
            return answer;
        }
        std::thread::sleep(std::time::Duration::from_millis(50));
    };
    assert_eq!(until(503)["code"], "disk_reserve");
    assert_eq!(http.get(&format!("{}/readyz", server.decisions)).0, 503);
    let (key, url) = (house.path("admin_key"), &server.decisions);
    for way in ["halt", "run"] {
        ok(["switch", "global", way, "--reason", "full", "--url", url, "--key-file", &key]);
    }
    drop(file);
    std::fs::remove_file(&ballast).unwrap();
    assert_eq!(until(200)["decision"], true, "without a restart");
    server.stop();
}

/// A file system of 3 MiB; none where it cannot be mounted.
fn small_disk(folder: &Path) -> Option<std::path::PathBuf> {
    let mount = folder.join("disk");
    std::fs::create_dir(&mount).unwrap();
    let mounted =
        Command::new("mount").args(["-t", "tmpfs", "-o", "size=3m", "tmpfs", mount.to_str().unwrap()]).status();
    if !mounted.is_ok_and(|status| status.success()) {
        eprintln!("NOT RUN: a small tmpfs cannot be mounted here (not root)");
        return None;
    }
    Some(mount)
}

struct Unmount(std::path::PathBuf);

impl Drop for Unmount {
    fn drop(&mut self) {
        // Best effort; a mount that is left ends with the machine.
        let _ = Command::new("umount").args(["-l", self.0.to_str().unwrap_or_default()]).status();
    }
}
