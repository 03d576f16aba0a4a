//! The end of a log and its ways elsewhere, as an operator takes them: freeze, export, import, backup, archives.

use std::path::Path;

use serde_json::Value;
use verifier::receipt::Receipt;
use verifier::record::Record;

use crate::house::{House, Http, Server, fails, interlock, ok, refund};

fn decide(house: &House, server: &Server) -> Value {
    Http::new().decide(&server.decisions, &house.api_key, &refund(1)).unwrap().1
}

/// A log with three decisions, closed.
fn house() -> House {
    let house = House::new();
    house.publish("hello");
    let server = house.serve();
    (0..3).for_each(|_| drop(decide(&house, &server)));
    server.stop();
    house
}

fn read_only(house: &House, name: &str) -> Server {
    Server::read_only(&house.path(name))
}

#[test]
fn an_exported_log_is_an_archive_elsewhere_and_never_the_log() {
    let house = house();
    let (log, file) = (house.path("log"), house.path("log.export"));
    // Beside a running server.
    let server = house.serve();
    let permit = decide(&house, &server)["permit"].as_str().unwrap().to_owned();
    let told: Value = serde_json::from_str(&ok(["export", &log, "-o", &file, "--with-vault", "--json"])).unwrap();
    assert_eq!((&told["size"], &told["private_parts"]), (&6.into(), &true.into()));
    decide(&house, &server);
    let (code, said) = fails(["export", &log, "-o", &file]);
    assert_eq!(code, 4, "{said}");
    let archive = house.path("archive");
    assert_eq!(ok(["import", &file, "--data", &archive, "--vkey", &house.vkey, "--json"]), format!("{told}\n"));
    server.stop();
    ok(["audit", &archive, "--vkey", &house.vkey]);
    ok(["fsck", &archive]);
    // It has no key and nobody's names: whoever replays it brings those who govern.
    let governors = house.path("log/keys/admin.vkeys");
    let said = ok(["replay", &archive, "--vkey", &house.vkey, "--governors", &governors]);
    assert!(said.contains("4 came out byte for byte"), "{said}");
    assert_eq!(fails(["replay", &archive, "--vkey", &house.vkey]).0, 4);
    let (code, said) = fails(["serve", "--data", &archive, "--listen", "127.0.0.1:0", "--public", "127.0.0.1:0"]);
    assert_eq!(code, 4);
    assert!(said.contains("can only be read"), "{said}");
    let server = read_only(&house, "archive");
    let http = Http::new();
    let get = |path: &str| {
        let (status, body) = http.get(&format!("{}{path}", server.public));
        (status, String::from_utf8(body).unwrap())
    };
    assert_eq!(get("/checkpoint"), (200, told["checkpoint"].as_str().unwrap().to_owned()));
    assert_eq!(get("/checkpoint").1, get("/v1/checkpoints?size=6").1);
    let (status, unsigned) = get("/v1/checkpoints?size=3");
    assert_eq!((status, unsigned.contains("\"unsigned\"")), (409, true), "{unsigned}");
    assert_eq!(get("/v1/proofs/consistency?from=3&to=6").0, 200);
    assert!(get("/v1/epochs/current").1.contains("refund-what-was-paid"));
    assert!(get("/v1/requests/5").1.contains(&permit));
    assert_eq!((get("/readyz").0, get("/").0), (200, 200));
    // Nobody has checked here whether it was revoked: that is said, and not guessed.
    let (status, lineage) = get(&format!("/v1/lineage/{permit}"));
    let lineage: Value = serde_json::from_str(&lineage).unwrap();
    assert_eq!((status, &lineage["node"]["state"], &lineage["unknown"]), (200, &"unknown".into(), &1.into()));
    assert_eq!((&lineage["node"]["action"], &lineage["hidden"]), (&"refund".into(), &0.into()));
    let receipt = house.path("archived.tlog-proof");
    ok(["receipt", &permit, "-o", &receipt, "--url", &server.public]);
    ok(["verify", &receipt, "--vkey", &house.vkey]);
    server.stop();
}

#[test]
fn an_export_without_private_parts_says_so_and_its_audit_is_undecided() {
    let house = house();
    let (log, file, archive) = (house.path("log"), house.path("public.export"), house.path("public"));
    let exported = interlock(["export", &log, "-o", &file]);
    assert!(
        exported.status.success() && String::from_utf8_lossy(&exported.stderr).contains("private parts were not taken")
    );
    // The request's resource is in the vault only.
    let bytes = std::fs::read(&file).unwrap();
    assert!(!bytes.windows(14).any(|window| window == b"\"paid\":250}},\""));
    let imported = interlock(["import", &file, "--data", &archive]);
    let said = String::from_utf8_lossy(&imported.stderr).into_owned();
    assert!(imported.status.success() && said.contains("lost") && said.contains("not anchored"), "{said}");
    assert!(!Path::new(&archive).join("vault").exists() && !Path::new(&archive).join("keys").exists());
    let audit = interlock(["audit", &archive, "--vkey", &house.vkey]);
    assert_eq!(audit.status.code(), Some(3));
    assert!(String::from_utf8_lossy(&audit.stdout).contains("were not checked"));
    ok(["fsck", &archive]);
    let server = read_only(&house, "public");
    let (status, body) = Http::new().get(&format!("{}/v1/requests/3", server.public));
    assert_eq!((status, String::from_utf8_lossy(&body).contains("\"lost\"")), (500, true));
    // What may descend from it cannot be read either, and is counted.
    let (_, body) = Http::new().get(&format!("{}/v1/receipts/3", server.public));
    let receipt = Receipt::parse(&String::from_utf8(body).unwrap()).unwrap();
    let Ok(Record::Decision(decision)) = Record::decode(&receipt.extra.unwrap()) else { panic!("no decision") };
    let (status, body) = Http::new().get(&format!("{}/v1/lineage/{}", server.public, decision.permit));
    let lineage: Value = serde_json::from_slice(&body).unwrap();
    assert_eq!((status, &lineage["node"]["missing"], &lineage["hidden"]), (200, &true.into(), &1.into()), "{lineage}");
    assert_eq!(lineage["node"].get("committed"), None);
    server.stop();
}

#[test]
fn a_bad_export_is_refused_with_its_exit_code_and_nothing_remains() {
    let house = house();
    let (log, file, data) = (house.path("log"), house.path("log.export"), house.path("bad"));
    ok(["export", &log, "-o", &file]);
    let whole = std::fs::read(&file).unwrap();
    let import = |bytes: &[u8], more: &[&str]| {
        let bad = house.path("bad.export");
        std::fs::write(&bad, bytes).unwrap();
        let (code, said) = fails(["import", &bad, "--data", &data].iter().chain(more));
        assert!(!Path::new(&data).exists(), "{said}");
        code
    };
    assert_eq!(import(b"", &[]), 3);
    assert_eq!(import(&whole[..whole.len() - 1], &[]), 3);
    assert_eq!(import(&[&whole[..], b"x"].concat(), &[]), 3);
    let mut flipped = whole.clone();
    flipped[whole.len() / 2] ^= 1;
    assert_eq!(import(&flipped, &[]), 3);
    assert_eq!(import(&whole, &["--vkey", &House::new().vkey]), 1);
    let (code, _) = fails(["import", &house.path("missing"), "--data", &data]);
    assert_eq!(code, 4);
    std::fs::create_dir(&data).unwrap();
    std::fs::write(Path::new(&data).join("letter.txt"), "dear").unwrap();
    let (code, said) = fails(["import", &file, "--data", &data]);
    assert!(code == 4 && said.contains("is not empty"), "{said}");
    assert_eq!(std::fs::read_dir(&data).unwrap().count(), 1);
}

/// The way back after a disk was lost, with and without the memory.
#[test]
fn a_backup_becomes_the_log_again_only_with_the_real_memory_or_an_operators_word() {
    let house = house();
    let (log, backup) = (house.path("log"), house.path("backup"));
    let server = house.serve();
    ok(["backup", &log, "--to", &backup, "--with-keys"]);
    ok(["audit", &backup, "--vkey", &house.vkey]);
    ok(["fsck", &backup]);
    decide(&house, &server);
    server.stop();
    let serve = |more: &[&str]| {
        let fixed = ["serve", "--data", &backup, "--listen", "127.0.0.1:0", "--public", "127.0.0.1:0"];
        fails(fixed.iter().chain(more)).1
    };
    assert!(serve(&[]).contains("is missing"));
    assert!(serve(&["--memory", &house.path("log.memory")]).contains("older copy"));
    // For reading it is there at once.
    let reading = read_only(&house, "backup");
    assert_eq!(Http::new().get(&format!("{}/checkpoint", reading.public)).0, 200);
    reading.stop();
    let server = Server::start(&backup, &["--accept-memory-loss"]);
    assert_eq!(decide(&house, &server)["decision"], true);
    server.stop();
    ok(["audit", &backup, "--vkey", &house.vkey]);
    assert!(!Path::new(&backup).join("head").exists());
}

/// Threat 36, as an operator meets it.
#[test]
fn a_frozen_log_names_its_successor_whose_first_epoch_names_its_final_head() {
    let (old, next) = (house(), House::new());
    let server = old.serve();
    let at = ["--url", &server.decisions, "--key-file", &old.path("admin_key")];
    let frozen = interlock(["freeze", "--successor", &next.vkey, "--reason", "the key was stolen"].iter().chain(&at));
    assert!(frozen.status.success(), "{}", String::from_utf8_lossy(&frozen.stderr));
    let answer: Value = serde_json::from_slice(&frozen.stdout).unwrap();
    assert_eq!(answer["index"], 5);
    // What it says can be pasted into a trust file.
    let told = String::from_utf8(frozen.stderr).unwrap();
    let lines = told.split_once("\n\n").unwrap().1;
    let trust = verifier::guard::Trust::parse(&format!("realm = \"main\"\n{lines}")).unwrap();
    assert_eq!((trust.keys[0].max_size, trust.keys[0].key.to_string()), (Some(6), old.vkey.clone()));
    assert_eq!(trust.keys[1].key.to_string(), next.vkey);
    let (status, said) = Http::new().decide(&server.decisions, &old.api_key, &refund(1)).unwrap();
    assert_eq!((status, &said["code"]), (503, &"frozen".into()));
    server.stop();
    // Opened again it serves what was, for ever.
    let server = old.serve();
    let (status, said) = Http::new().decide(&server.decisions, &old.api_key, &refund(1)).unwrap();
    assert_eq!((status, &said["code"]), (503, &"frozen".into()));
    let http = Http::new();
    let (status, checkpoint) = http.get(&format!("{}/checkpoint", server.public));
    assert_eq!((status, &checkpoint), (200, &answer["checkpoint"].as_str().unwrap().as_bytes().to_vec()));
    let log: Value = serde_json::from_slice(&http.get(&format!("{}/v1/log", server.public)).1).unwrap();
    assert_eq!(log["frozen"], true);
    let receipt = old.path("freeze.tlog-proof");
    ok(["receipt", "5", "-o", &receipt, "--url", &server.public]);
    ok(["verify", &receipt, "--vkey", &old.vkey]);
    server.stop();
    let (code, said) = fails(["freeze", &old.path("log"), "--key-file", &old.path("admin_key"), "--reason", "again"]);
    assert!(code == 4 && said.contains("frozen"), "{said}");
    for command in ["audit", "replay"] {
        ok([command, &old.path("log"), "--vkey", &old.vkey]);
    }
    // The successor's first epoch names the final head.
    let end = next.path("old.checkpoint");
    std::fs::write(&end, &checkpoint).unwrap();
    let policies = crate::house::root().join("testdata/policies/hello/policies.cedar");
    let (log, key) = (next.path("log"), next.path("admin_key"));
    ok([
        "policy",
        "publish",
        "--data",
        &log,
        "--key-file",
        &key,
        "--policies",
        policies.to_str().unwrap(),
        "--predecessor",
        &end,
    ]);
    let server = next.serve();
    let epoch: Value = serde_json::from_slice(&http.get(&format!("{}/v1/epochs/1", server.public)).1).unwrap();
    assert_eq!(epoch["predecessor"].as_str().unwrap().as_bytes(), checkpoint);
    server.stop();
}

/// In a directory that no server has open, and without a successor.
#[test]
fn a_log_is_frozen_in_its_directory_too() {
    let house = house();
    let (log, key) = (house.path("log"), house.path("admin_key"));
    let other = House::new();
    let (code, said) = fails(["freeze", &log, "--key-file", &other.path("admin_key"), "--reason", "x"]);
    assert_eq!(code, 1, "{said}");
    let (code, _) = fails(["freeze", &log, "--key-file", &key, "--reason", "two\nlines"]);
    assert_eq!(code, 2);
    let (code, _) = fails(["freeze", &log, "--key-file", &key, "--reason", "x", "--successor", "nonsense"]);
    assert_eq!(code, 2);
    ok(["freeze", &log, "--key-file", &key, "--reason", "the experiment is over"]);
    let server = house.serve();
    assert_eq!(decide(&house, &server)["code"], "frozen");
    server.stop();
    // Its export is an archive of a frozen log.
    let file = house.path("frozen.export");
    ok(["export", &log, "-o", &file]);
    ok(["import", &file, "--data", &house.path("frozen")]);
    let server = read_only(&house, "frozen");
    let (_, said) = Http::new().get(&format!("{}/v1/log", server.public));
    let said: Value = serde_json::from_slice(&said).unwrap();
    assert_eq!(said["frozen"], true);
    server.stop();
}

#[test]
fn a_switch_on_a_name_that_nobody_knows_warns() {
    let house = house();
    let server = house.serve();
    let at = ["--url", &server.decisions, "--key-file", &house.path("admin_key"), "--reason", "drill"];
    let switch = |target: &str| {
        let done = interlock(["switch", target, "halt"].iter().chain(&at));
        assert!(done.status.success());
        String::from_utf8(done.stderr).unwrap()
    };
    assert_eq!(switch("action refund"), "");
    assert!(switch("action refnud").contains("warning") && switch("policy no-such-policy").contains("warning"));
    server.stop();
}

/// A short one; `interlock bench soak --seconds N` runs as long as one wants.
#[test]
fn memory_descriptors_and_maps_stay_flat_while_segments_roll() {
    let place = tempfile::tempdir().unwrap();
    let said = ok(["bench", "soak", "--place", place.path().to_str().unwrap(), "--seconds", "5"]);
    let segments = said.lines().last().and_then(|line| line.split(' ').next()?.parse::<u32>().ok());
    // The warm-up alone closes a hundred, on a machine of any speed.
    assert!(segments.is_some_and(|segments| segments > 100) && !said.contains("GROWN"), "{said}");
    println!("{said}");
}

#[test]
fn key_files_are_copied_for_their_owner_alone() {
    use std::os::unix::fs::PermissionsExt;
    let house = house();
    let backup = house.path("secret-backup");
    ok(["backup", &house.path("log"), "--to", &backup, "--with-keys"]);
    let mode = |path: &str| std::fs::metadata(Path::new(&backup).join(path)).unwrap().permissions().mode() & 0o777;
    assert_eq!((mode("keys"), mode("vault")), (0o700, 0o700));
    for file in ["keys/log.key", "keys/api.toml", "keys/admin.vkeys"] {
        assert_eq!(mode(file), 0o600, "{file}");
    }
    let export = house.path("secret.export");
    ok(["export", &house.path("log"), "-o", &export, "--with-vault"]);
    assert_eq!(std::fs::metadata(&export).unwrap().permissions().mode() & 0o777, 0o600);
    let key = std::fs::read_to_string(Path::new(&backup).join("keys/log.key")).unwrap();
    // `PRIVATE+KEY+name+id+secret`, and the secret's base64 may have a `+` itself.
    let secret = key.trim().splitn(5, '+').nth(4).unwrap().as_bytes().to_owned();
    assert!(secret.len() >= 44, "a whole secret is looked for");
    let bytes = std::fs::read(&export).unwrap();
    assert!(!bytes.windows(secret.len()).any(|window| window == secret), "keys never leave by an export");
}
