//! `interlock watch` over real servers and lying ones: nothing is skipped, whatever ends it, and what contradicts itself is proved.

use std::process::{Child, Command, Output, Stdio};
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use crate::fake::{Answer, Fake};
use crate::house::{House, Http, Server, interlock, ok, refund};

/// A watch over `url` with the state of that name in the house's folder.
fn arguments(house: &House, url: &str, state: &str) -> Vec<String> {
    let state = house.path(state);
    ["watch", url, "--vkey", &house.vkey, "--state", &state, "--json"].map(str::to_owned).into()
}

fn look(house: &House, url: &str, state: &str, more: &[&str]) -> Output {
    let more = ["--once"].iter().chain(more).map(|one| (*one).to_owned());
    interlock(arguments(house, url, state).into_iter().chain(more))
}

/// The one line that a look prints, and its exit code.
fn looked(output: Output) -> (i32, Value) {
    let said = String::from_utf8(output.stdout).unwrap();
    let line = said.lines().last().unwrap_or_else(|| panic!("{}", String::from_utf8_lossy(&output.stderr)));
    (output.status.code().unwrap(), serde_json::from_str(line).unwrap())
}

fn once(house: &House, url: &str) -> (i32, Value) {
    looked(look(house, url, "watch", &[]))
}

/// The code and exit code of a look that must find trouble.
fn trouble(house: &House, url: &str) -> (i32, String) {
    let (exit, said) = once(house, url);
    assert_eq!((&said["event"], &said["exit"]), (&json!("trouble"), &json!(exit)), "{said}");
    (exit, said["code"].as_str().unwrap().to_owned())
}

fn decide(house: &House, server: &Server, amounts: std::ops::Range<u32>) {
    for amount in amounts {
        let (status, answer) = Http::new().decide(&server.decisions, &house.api_key, &refund(amount)).unwrap();
        assert_eq!(status, 200, "{answer}");
    }
}

fn size(url: &str) -> u64 {
    let (_, body) = Http::new().get(&format!("{url}/v1/log"));
    serde_json::from_slice::<Value>(&body).unwrap()["size"].as_u64().unwrap()
}

/// A watch that runs on.
struct Running(Child);

impl Running {
    fn begin(house: &House, url: &str, more: &[&str]) -> Self {
        let mut command = Command::new(env!("CARGO_BIN_EXE_interlock"));
        command.args(arguments(house, url, "watch")).args(["--interval", "1"]).args(more);
        Self(command.stdout(Stdio::piped()).stderr(Stdio::null()).spawn().unwrap())
    }

    fn signal(mut self, signal: &str) -> Option<i32> {
        assert!(Command::new("kill").args([signal, &self.0.id().to_string()]).status().unwrap().success());
        self.0.wait().unwrap().code()
    }

    fn end(mut self) -> (i32, Vec<Value>) {
        let begin = Instant::now();
        while self.0.try_wait().unwrap().is_none() {
            if begin.elapsed() > Duration::from_secs(60) {
                self.0.kill().unwrap();
                panic!("the watch did not end");
            }
            std::thread::sleep(Duration::from_millis(50));
        }
        let output = self.0.wait_with_output().unwrap();
        let lines = String::from_utf8(output.stdout).unwrap();
        (output.status.code().unwrap(), lines.lines().map(|line| serde_json::from_str(line).unwrap()).collect())
    }
}

fn state_of(house: &House) -> Value {
    serde_json::from_slice(&std::fs::read(house.path("watch")).unwrap()).unwrap()
}

/// Waits until the state says what it must.
fn until(house: &House, says: impl Fn(&Value) -> bool) {
    let begin = Instant::now();
    while !std::path::Path::new(&house.path("watch")).exists() || !says(&state_of(house)) {
        assert!(begin.elapsed() < Duration::from_secs(60), "{}", state_of(house));
        std::thread::sleep(Duration::from_millis(50));
    }
}

#[test]
fn a_watch_follows_from_the_empty_log_on_and_counts_every_entry_once() {
    let house = House::new();
    let server = house.serve();
    assert_eq!(once(&house, &server.public).1["size"], 0);
    server.stop();
    house.publish("hello");
    let server = house.serve();
    let mut counted = 0;
    for round in 0..3 {
        decide(&house, &server, 0..round);
        let (exit, said) = once(&house, &server.public);
        counted += said["new"].as_u64().unwrap();
        assert_eq!((exit, &said["size"]), (0, &json!(counted)), "{said}");
        assert_eq!(counted, size(&server.public));
    }
    let (exit, said) = once(&house, &server.public);
    assert_eq!((exit, &said["new"]), (0, &json!(0)));
}

#[test]
fn a_watch_that_is_killed_between_heads_goes_on_where_it_was() {
    let house = House::new();
    house.publish("hello");
    let server = house.serve();
    let mut known = 0;
    for _ in 0..4 {
        decide(&house, &server, 0..3);
        let running = Running::begin(&house, &server.public, &[]);
        let now = size(&server.public);
        until(&house, |state| state["folded"]["size"] == now);
        running.signal("-KILL");
        assert!(now > known);
        known = now;
    }
    // What came while nobody watched is not passed over, nor is anything read again.
    decide(&house, &server, 0..5);
    let fake = Fake::before(&server.public, |_| Answer::Real);
    let (exit, said) = once(&house, &fake.url);
    assert_eq!((exit, said["new"].as_u64()), (0, Some(size(&server.public) - known)), "{said}");
    assert_eq!(fake.paths().len(), 2, "a head and one bundle: {:?}", fake.paths());
    // An end that was asked for is no trouble.
    let running = Running::begin(&house, &server.public, &[]);
    std::thread::sleep(Duration::from_secs(1));
    assert_eq!(running.signal("-TERM"), Some(0));
}

/// More entries than are folded between two saves: what was read is not read again, and what was folded towards a lie is thrown away.
#[test]
fn a_watch_that_is_killed_on_the_way_to_a_head_skips_nothing() {
    let house = House::new();
    house.publish("hello");
    let server = house.serve();
    let batch = format!("[{}]", vec![refund(1); 4096].join(","));
    for _ in 0..5 {
        let patient = Http::waiting(Duration::from_secs(120));
        let (status, answer) = patient.decide(&server.decisions, &house.api_key, &batch).unwrap();
        assert_eq!(status, 200, "{answer}");
    }
    let total = size(&server.public);
    assert!(total > 5 * 4096);
    let stuck = Fake::before(&server.public, |path| match path.strip_prefix("/tile/entries/") {
        Some(number) if number >= "070" => Answer::Hang,
        _ => Answer::Real,
    });
    let running = Running::begin(&house, &stuck.url, &["--timeout", "60"]);
    until(&house, |state| state["towards"]["size"].as_u64().is_some_and(|size| size >= 16_384));
    running.signal("-KILL");
    assert_eq!(state_of(&house)["folded"]["size"], 0, "nothing counts before a signed root covers it");
    let fake = Fake::before(&server.public, |_| Answer::Real);
    let (exit, said) = once(&house, &fake.url);
    assert_eq!((exit, said["new"].as_u64(), said["size"].as_u64()), (0, Some(total), Some(total)), "{said}");
    assert!(!fake.paths().iter().any(|path| path.starts_with("/tile/entries/00")), "{:?}", fake.paths());
}

/// A copy of a log's directory, continued by itself under the same key.
struct Fork {
    house: House,
    ours: Server,
    theirs: Server,
    _copy: House,
}

impl Fork {
    /// Both have the same entries; ours then gets so many more, theirs as many others.
    fn new(ours: u32, theirs: u32) -> Self {
        let house = House::new();
        house.publish("hello");
        let server = house.serve();
        decide(&house, &server, 0..3);
        assert_eq!(once(&house, &server.public).0, 0);
        server.stop();
        let copy = house.copy();
        let fork = Self { ours: house.serve(), theirs: copy.serve(), house, _copy: copy };
        decide(&fork.house, &fork.ours, 0..ours);
        decide(&fork.house, &fork.theirs, 0..theirs);
        fork
    }
}

/// The file convinces whoever has the key alone, and nobody else.
fn convinces(house: &House, file: &str) {
    let judged = |vkey: &str| interlock(["verify", file, "--vkey", vkey]);
    let output = judged(&house.vkey);
    let said = String::from_utf8(output.stdout).unwrap();
    assert_eq!(output.status.code(), Some(7), "{said}");
    assert!(said.contains("ok    signed") && said.contains("FAIL  consistent\nnot verified: fork: "), "{said}");
    assert_eq!(judged(&House::new().vkey).status.code(), Some(5));
    let text = std::fs::read_to_string(file).unwrap();
    let spoiled = house.path("spoiled.json");
    std::fs::write(
        &spoiled,
        text.replacen("\"newer\":\"ledger.example/test\\n", "\"newer\":\"ledger.example/test\\n1", 1),
    )
    .unwrap();
    assert_ne!(interlock(["verify", &spoiled, "--vkey", &house.vkey]).status.code(), Some(7));
}

#[test]
fn a_fork_at_one_size_ends_with_evidence_that_convinces_a_stranger() {
    let fork = Fork::new(2, 2);
    assert_eq!(once(&fork.house, &fork.ours.public).0, 0);
    let (exit, said) = once(&fork.house, &fork.theirs.public);
    assert_eq!((exit, &said["code"]), (7, &json!("fork")), "{said}");
    convinces(&fork.house, said["evidence"].as_str().unwrap());
    // A log that forked once is not whole again, also where it shows the first history.
    assert_eq!(trouble(&fork.house, &fork.ours.public), (7, "fork".into()));
}

#[test]
fn a_fork_at_another_size_is_proved_by_the_tiles_of_the_newer_tree() {
    let fork = Fork::new(2, 5);
    assert_eq!(once(&fork.house, &fork.ours.public).0, 0);
    let calls = Fake::before("", |_| Answer::Body(204, vec![]));
    let running = Running::begin(&fork.house, &fork.theirs.public, &["--webhook", &calls.url]);
    let (exit, lines) = running.end();
    assert_eq!((exit, lines.len()), (7, 1), "{lines:?}");
    convinces(&fork.house, lines[0]["evidence"].as_str().unwrap());
    let told = calls.asked.lock().unwrap().clone();
    assert_eq!(told.len(), 1);
    assert_eq!(serde_json::from_slice::<Value>(&told[0].body).unwrap(), lines[0]);
}

#[test]
fn a_log_that_shrinks_is_told_and_a_fork_is_proved_as_soon_as_it_can_be() {
    let fork = Fork::new(4, 2);
    let before = std::fs::read(fork.house.path("watch")).unwrap();
    assert_eq!(once(&fork.house, &fork.ours.public).0, 0);
    // Smaller, of a size that was never seen: nothing joins it to what was followed, and nothing proves the fork yet.
    assert_eq!(trouble(&fork.house, &fork.theirs.public), (1, "shrunk".into()));
    decide(&fork.house, &fork.theirs, 0..3);
    let (exit, said) = once(&fork.house, &fork.theirs.public);
    assert_eq!(exit, 7, "{said}");
    convinces(&fork.house, said["evidence"].as_str().unwrap());
    // Who has seen only what both have in common is shown one history and cannot tell.
    std::fs::write(fork.house.path("other"), before).unwrap();
    let (exit, said) = looked(look(&fork.house, &fork.theirs.public, "other", &[]));
    assert_eq!((exit, said["size"].as_u64()), (0, Some(size(&fork.theirs.public))), "{said}");
}

#[test]
fn an_older_head_that_belongs_to_the_log_is_stale_and_no_fork() {
    let house = House::new();
    house.publish("hello");
    let server = house.serve();
    decide(&house, &server, 0..2);
    let (_, older) = Http::new().get(&format!("{}/checkpoint", server.public));
    assert_eq!(once(&house, &server.public).0, 0);
    decide(&house, &server, 0..2);
    let (_, between) = Http::new().get(&format!("{}/checkpoint", server.public));
    decide(&house, &server, 0..2);
    assert_eq!(once(&house, &server.public).0, 0);
    for head in [older, between] {
        let cache = Fake::before(&server.public, move |path| match path {
            "/checkpoint" => Answer::Body(200, head.clone()),
            _ => Answer::Real,
        });
        assert_eq!(trouble(&house, &cache.url), (8, "older_head".into()));
    }
    assert_eq!(once(&house, &server.public).0, 0);
}

#[test]
fn a_head_that_was_shown_and_not_reached_is_not_forgotten() {
    let fork = Fork::new(2, 4);
    // Our head of a size is shown, but its entries are withheld; then the other history goes past that size.
    let withholding = Fake::before(&fork.ours.public, |path| match path {
        "/checkpoint" => Answer::Real,
        _ => Answer::Body(404, vec![]),
    });
    assert_eq!(trouble(&fork.house, &withholding.url), (4, "unavailable".into()));
    let (exit, said) = once(&fork.house, &fork.theirs.public);
    assert_eq!(exit, 7, "{said}");
    convinces(&fork.house, said["evidence"].as_str().unwrap());
}

#[test]
fn what_is_too_old_is_told_and_what_is_new_ends_that() {
    let house = House::new();
    house.publish("hello");
    let server = house.serve();
    decide(&house, &server, 0..1);
    std::thread::sleep(Duration::from_millis(2100));
    let (exit, said) = looked(look(&house, &server.public, "watch", &["--max-age", "1"]));
    assert_eq!((exit, &said["code"]), (8, &json!("stale")), "{said}");
    let (exit, said) = looked(look(&house, &server.public, "watch", &["--max-age", "600"]));
    assert_eq!(exit, 0, "{said}");
}

#[test]
fn lies_garbage_and_silence_have_their_codes_and_change_nothing_that_is_known() {
    let house = House::new();
    house.publish("hello");
    let server = house.serve();
    decide(&house, &server, 0..2);
    assert_eq!(once(&house, &server.public).0, 0);
    let known = state_of(&house)["folded"].clone();
    decide(&house, &server, 0..3);
    let flip = |bytes: &mut Vec<u8>| *bytes.last_mut().unwrap() ^= 1;
    let other = House::new();
    let stranger = other.serve();
    let foreign = stranger.public.clone();
    let lies: Vec<(&str, i32, &str, Lie)> = vec![
        ("garbage for a head", 1, "bad_head", head(|| Answer::Body(200, b"hello".to_vec()))),
        ("a head that is not UTF-8", 1, "bad_head", head(|| Answer::Body(200, vec![0xff; 9]))),
        ("a head of megabytes", 1, "bad_head", head(|| Answer::Body(200, vec![b'x'; 3 << 20]))),
        ("a head with a size of its own", 1, "bad_head", head(|| Answer::Changed(|head| head[20] = b'9'))),
        (
            "the head of another log",
            1,
            "bad_head",
            head(move || Answer::Body(200, Http::new().get(&format!("{foreign}/checkpoint")).1)),
        ),
        ("an error", 4, "unavailable", head(|| Answer::Body(500, vec![]))),
        (
            "a redirect",
            4,
            "unavailable",
            head(|| Answer::Raw(b"HTTP/1.1 302 x\r\nLocation: /\r\nContent-Length: 0\r\n\r\n".to_vec())),
        ),
        (
            "half an answer",
            4,
            "unavailable",
            head(|| Answer::Raw(b"HTTP/1.1 200 x\r\nContent-Length: 90\r\n\r\nhalf".to_vec())),
        ),
        ("no HTTP", 4, "unavailable", head(|| Answer::Raw(b"SSH-2.0-x\r\n".to_vec()))),
        ("silence", 4, "unavailable", head(|| Answer::Hang)),
        ("an entry with a bit flipped", 1, "not_derived", entries(move || Answer::Changed(flip))),
        ("entries cut off", 1, "bad_entries", entries(|| Answer::Changed(|bytes| bytes.truncate(bytes.len() - 1)))),
        ("an entry too many", 1, "bad_entries", entries(|| Answer::Changed(|bytes| bytes.extend([0, 0])))),
        ("no entries", 4, "unavailable", entries(|| Answer::Body(404, vec![]))),
    ];
    for (what, exit, code, answer) in lies {
        let fake = Fake::before(&server.public, answer);
        let more: &[&str] = if what == "silence" { &["--timeout", "1"] } else { &[] };
        let said = look(&house, &fake.url, "watch", more);
        let (found, said) = looked(said);
        assert_eq!((found, said["code"].as_str()), (exit, Some(code)), "{what}: {said}");
        assert_eq!(state_of(&house)["folded"], known, "{what}");
        assert!(fake.paths().len() <= 20, "{what}: tried {} times", fake.paths().len());
    }
    assert_eq!(once(&house, &server.public).0, 0);
    assert!(!std::path::Path::new(&house.path("watch.fork.json")).exists(), "none of it proves a fork");
}

type Lie = Box<dyn Fn(&str) -> Answer + Send + Sync>;

fn head(answer: impl Fn() -> Answer + Send + Sync + 'static) -> Lie {
    Box::new(move |path| if path == "/checkpoint" { answer() } else { Answer::Real })
}

fn entries(answer: impl Fn() -> Answer + Send + Sync + 'static) -> Lie {
    Box::new(move |path| if path.starts_with("/tile/entries/") { answer() } else { Answer::Real })
}

#[test]
fn a_server_that_is_away_is_told_once_and_followed_again_when_it_is_back() {
    let house = House::new();
    house.publish("hello");
    let server = house.serve();
    let public = server.public.clone();
    let address = public.strip_prefix("http://").unwrap().to_owned();
    let calls = Fake::before("", |_| Answer::Hang);
    let running = Running::begin(&house, &public, &["--timeout", "1", "--webhook", &calls.url]);
    until(&house, |state| state["folded"]["size"].as_u64() > Some(0));
    server.stop();
    let begin = Instant::now();
    // A webhook that hangs does not hold the watch up.
    while calls.asked.lock().unwrap().is_empty() {
        assert!(begin.elapsed() < Duration::from_secs(60));
        std::thread::sleep(Duration::from_millis(50));
    }
    let server = Server::start_at(&house.path("log"), &address);
    decide(&house, &server, 0..2);
    let now = size(&public);
    until(&house, |state| state["folded"]["size"] == now);
    let mut running = running.0;
    assert!(Command::new("kill").args(["-TERM", &running.id().to_string()]).status().unwrap().success());
    assert_eq!(running.wait().unwrap().code(), Some(0), "what it was in when it ended");
    assert_eq!(calls.asked.lock().unwrap().len(), 1);
}

#[test]
fn one_watch_has_a_state_and_a_damaged_or_foreign_one_is_refused() {
    let house = House::new();
    house.publish("hello");
    let server = house.serve();
    let running = Running::begin(&house, &server.public, &[]);
    until(&house, |state| state["folded"]["size"].as_u64() > Some(0));
    let second = look(&house, &server.public, "watch", &[]);
    assert_eq!(second.status.code(), Some(4));
    assert!(String::from_utf8_lossy(&second.stderr).contains("another watch has this state"));
    running.signal("-KILL");
    let good = std::fs::read_to_string(house.path("watch")).unwrap();
    let size = format!("\"size\":{}", size(&server.public));
    for (from, to) in [(size.as_str(), "\"size\":1"), ("\"seen\"", "\"sin\""), ("{", ""), ("watch/v1", "watch/v2")] {
        std::fs::write(house.path("watch"), good.replacen(from, to, 1)).unwrap();
        assert_eq!(look(&house, &server.public, "watch", &[]).status.code(), Some(3), "{from}");
    }
    std::fs::write(house.path("watch"), &good).unwrap();
    let other = House::new();
    let arguments = ["watch", &server.public, "--vkey", &other.vkey, "--state", &house.path("watch"), "--once"];
    assert_eq!(interlock(arguments).status.code(), Some(2));
    let hidden = look(&house, "https://127.0.0.1:1", "new", &[]);
    assert!(hidden.status.code() == Some(2) && String::from_utf8_lossy(&hidden.stderr).contains("no TLS"));
    for no_address in ["127.0.0.1:1", "file:///etc/passwd", "http://", "log"] {
        assert_eq!(look(&house, no_address, "new", &[]).status.code(), Some(2), "{no_address}");
    }
    assert_eq!(once(&house, &server.public).0, 0);
}

#[test]
fn a_log_is_audited_at_its_address_and_what_its_server_makes_up_is_found() {
    let house = House::new();
    house.publish("hello");
    let server = house.serve();
    decide(&house, &server, 0..4);
    let batch = format!("[{}]", vec![refund(1); 300].join(","));
    assert_eq!(Http::new().decide(&server.decisions, &house.api_key, &batch).unwrap().0, 200);
    let said = ok(["audit", &server.public, "--vkey", &house.vkey]);
    assert!(
        said.contains("304 decisions, 304 with their private parts, 0 withheld, 0 erased")
            && said.ends_with("audit: clean\n"),
        "{said}"
    );
    assert_eq!(interlock(["audit", &server.public]).status.code(), Some(5), "held against its own claim only");
    let audited = |answer: Lie| {
        let fake = Fake::before(&server.public, answer);
        let output = interlock(["audit", &fake.url, "--vkey", &house.vkey, "--json"]);
        let said: Value = serde_json::from_slice(&output.stdout).unwrap_or_default();
        (output.status.code().unwrap(), said)
    };
    let at = |wanted: &'static str, change: fn(&mut Vec<u8>)| -> Lie {
        Box::new(move |path| if path.starts_with(wanted) { Answer::Changed(change) } else { Answer::Real })
    };
    let flip = |bytes: &mut Vec<u8>| *bytes.last_mut().unwrap() ^= 1;
    for (lie, problem) in [
        (at("/tile/entries/001", flip), "the entries have the root"),
        (at("/tile/0/000", flip), "tile/0/000 is not what the entries give"),
        (at("/tile/1/000", flip), "tile/1/000.p/1 is not what the entries give"),
        (at("/v1/requests/9", |body| *body = body.to_ascii_lowercase()), "its private parts are"),
        (
            Box::new(|path: &str| match path {
                "/v1/requests/9" => Answer::Body(410, b"{}".to_vec()),
                _ => Answer::Real,
            }) as Lie,
            "gone, and no record says",
        ),
    ] {
        let (exit, said) = audited(lie);
        let found = said["problems"].to_string();
        assert!(exit == 1 && found.contains(problem), "{problem}: {said}");
    }
    assert_eq!(audited(at("/checkpoint", flip)).0, 1);
}
