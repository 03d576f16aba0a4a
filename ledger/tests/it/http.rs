//! The public read API over a real log, a real listener and a client that speaks bytes: what is on the wire is what is checked.

use std::collections::BTreeMap;
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::sync::{Arc, Mutex, mpsc};
use std::thread::JoinHandle;

use actix_web::dev::ServerHandle;
use actix_web::{App, HttpServer, rt};
use ledger::http::{Public, configure};
use ledger::{Batch, Ledger, Options, Reader, Signer};
use serde_json::Value;
use verifier::act::{Act, Deed};
use verifier::checkpoint::SignedCheckpoint;
use verifier::decision::commitment;
use verifier::epoch::{EpochContent, digest, parts};
use verifier::hash::{Hash, leaf_hash};
use verifier::proof::{verify_consistency, verify_inclusion};
use verifier::receipt::Receipt;
use verifier::record::Record;
use verifier::text::{b64, hex, unb64};
use verifier::tile::{Bundle, Tile, partial_tiles};

use crate::common::{Case, ORIGIN, START, leaf, mixed, statement};

/// How old the head is when the page is asked for.
const AGE_MS: u64 = 3 * 60_000;

/// A log with a public listener on it.
struct Site {
    address: SocketAddr,
    ledger: Ledger,
    reader: Reader,
    ready: Arc<Mutex<Result<(), String>>>,
    epochs: Arc<Mutex<Vec<u64>>>,
    handle: ServerHandle,
    thread: Option<JoinHandle<()>>,
    _place: tempfile::TempDir,
}

impl Site {
    /// A site over a log to which batches of these lengths were appended.
    fn new(batches: &[u64]) -> Self {
        let place = tempfile::tempdir().unwrap();
        let dir = place.path().join("log");
        ledger::create(&dir, ORIGIN, START).unwrap();
        let (mut ledger, reader) = Ledger::open(Options::new(&dir), START).unwrap();
        let mut size = 0;
        for count in batches {
            ledger.append(&mixed(size, *count), START).unwrap();
            size += count;
        }
        let ready = Arc::new(Mutex::new(Ok(())));
        let epochs: Arc<Mutex<Vec<u64>>> = Arc::default();
        let public = Arc::new(Public {
            reader: reader.clone(),
            epochs: {
                let epochs = epochs.clone();
                Box::new(move || epochs.lock().unwrap().as_slice().into())
            },
            ready: {
                let ready = ready.clone();
                Box::new(move || ready.lock().unwrap().clone())
            },
            now_ms: Box::new(|| START + AGE_MS),
        });
        let (send, receive) = mpsc::channel();
        let thread = std::thread::spawn(move || {
            rt::System::new().block_on(async move {
                let server = HttpServer::new(move || App::new().configure(|config| configure(config, public.clone())))
                    .workers(1)
                    .disable_signals()
                    .bind("127.0.0.1:0")
                    .unwrap();
                let address = server.addrs()[0];
                let server = server.run();
                send.send((address, server.handle())).unwrap();
                server.await.unwrap();
            });
        });
        let (address, handle) = receive.recv().unwrap();
        Self { address, ledger, reader, ready, epochs, handle, thread: Some(thread), _place: place }
    }

    fn ask(&self, method: &str, path: &str, headers: &[(&str, &str)]) -> Answer {
        let mut stream = TcpStream::connect(self.address).unwrap();
        let mut text = format!("{method} {path} HTTP/1.1\r\nHost: log.example\r\nConnection: close\r\n");
        for (name, value) in headers {
            text.push_str(&format!("{name}: {value}\r\n"));
        }
        text.push_str("\r\n");
        stream.write_all(text.as_bytes()).unwrap();
        let mut bytes = Vec::new();
        stream.read_to_end(&mut bytes).unwrap();
        Answer::parse(&bytes)
    }

    fn get(&self, path: &str) -> Answer {
        self.ask("GET", path, &[])
    }

    /// A JSON answer.
    fn json(&self, path: &str) -> Value {
        let answer = self.ask("GET", path, &[("Accept", "application/json")]);
        assert_eq!(answer.status, 200, "{path}: {}", answer.text());
        assert_eq!(answer.header("content-type"), "application/json");
        serde_json::from_slice(&answer.body).unwrap()
    }

    /// An error: status and code, and everything that holds for all of them.
    fn refused(&self, path: &str) -> (u16, String) {
        let answer = self.get(path);
        answer.check_problem(path)
    }
}

impl Drop for Site {
    fn drop(&mut self) {
        let handle = self.handle.clone();
        std::thread::spawn(move || rt::System::new().block_on(handle.stop(false))).join().unwrap();
        self.thread.take().map(JoinHandle::join).unwrap().unwrap();
    }
}

/// What came back.
struct Answer {
    status: u16,
    headers: BTreeMap<String, String>,
    body: Vec<u8>,
}

impl Answer {
    fn parse(bytes: &[u8]) -> Self {
        let end = bytes.windows(4).position(|window| window == b"\r\n\r\n").expect("a head");
        let head = std::str::from_utf8(&bytes[..end]).unwrap();
        let mut lines = head.split("\r\n");
        let status = lines.next().unwrap().split(' ').nth(1).unwrap().parse().unwrap();
        let headers = lines
            .map(|line| line.split_once(':').unwrap())
            .map(|(name, value)| (name.to_ascii_lowercase(), value.trim().to_owned()))
            .collect();
        Self { status, headers, body: bytes[end + 4..].to_vec() }
    }

    fn header(&self, name: &str) -> &str {
        self.headers.get(name).map_or("", String::as_str)
    }

    fn text(&self) -> &str {
        std::str::from_utf8(&self.body).unwrap()
    }

    fn check_problem(&self, path: &str) -> (u16, String) {
        assert!(self.status >= 400, "{path} was answered");
        assert_eq!(self.header("content-type"), "application/problem+json", "{path}");
        assert_eq!(self.header("access-control-allow-origin"), "*", "{path}");
        assert_eq!(self.header("cache-control"), "", "an error must not be kept: {path}");
        assert_eq!((self.header("etag"), self.header("content-encoding")), ("", ""), "{path}");
        let body: Value = serde_json::from_slice(&self.body).unwrap();
        assert_eq!(body["status"], self.status, "{path}");
        assert!(body["title"].is_string() && body["detail"].is_string() && body["type"] == "about:blank");
        (self.status, body["code"].as_str().unwrap().to_owned())
    }
}

fn not_found(code: &str) -> (u16, String) {
    (404, code.to_owned())
}

fn bad(code: &str) -> (u16, String) {
    (400, code.to_owned())
}

fn hashes(value: &Value) -> Vec<Hash> {
    value.as_array().unwrap().iter().map(|hash| hash.as_str().unwrap().parse().unwrap()).collect()
}

fn hash(value: &Value) -> Hash {
    value.as_str().unwrap().parse().unwrap()
}

#[test]
fn the_checkpoint_is_the_newest_head_and_is_asked_about_each_time() {
    let mut site = Site::new(&[3]);
    let first = site.get("/checkpoint");
    assert_eq!(first.status, 200);
    assert_eq!(first.header("content-type"), "text/plain; charset=utf-8");
    assert_eq!(first.header("cache-control"), "no-cache");
    assert_eq!(first.header("access-control-allow-origin"), "*");
    assert_eq!(first.header("content-encoding"), "");
    let signed = SignedCheckpoint::open(first.text(), site.reader.verifier_key(), ORIGIN).unwrap();
    assert_eq!(signed.checkpoint().size, 3);

    let tag = first.header("etag");
    let again = site.ask("GET", "/checkpoint", &[("If-None-Match", tag)]);
    assert_eq!((again.status, again.body.len(), again.header("etag")), (304, 0, tag));
    site.ledger.append(&mixed(3, 1), START).unwrap();
    let newer = site.ask("GET", "/checkpoint", &[("If-None-Match", tag)]);
    assert_eq!(newer.status, 200);
    assert_eq!(newer.text(), site.reader.head().note);
}

#[test]
fn tiles_and_bundles_rebuild_the_signed_root() {
    let site = Site::new(&[200, 56, 100, 300]);
    let size = 656;
    let mut leaves = Vec::new();
    for index in 0..3 {
        let width = if index < 2 { 256 } else { 144 };
        let bundle = Bundle { index, width };
        let answer = site.get(&format!("/{bundle}"));
        assert_eq!((answer.status, answer.header("content-type")), (200, "application/octet-stream"));
        assert_eq!(answer.header("cache-control"), "public, max-age=31536000, immutable");
        assert_eq!((answer.header("content-encoding"), answer.header("vary")), ("", ""));
        let entries = bundle.split(&answer.body).unwrap();
        let tile = Tile { level: 0, index, width };
        let hashes = site.get(&format!("/{tile}"));
        assert_eq!(hashes.header("content-type"), "application/octet-stream");
        for (position, entry) in entries.iter().enumerate() {
            assert_eq!(*entry, leaf(leaves.len() as u64));
            leaves.push(leaf_hash(entry));
            assert_eq!(leaves.last().unwrap().0, hashes.body[32 * position..32 * (position + 1)]);
        }
        assert_eq!(hashes.body.len(), 32 * usize::from(width));
    }
    assert_eq!(verifier::hash::root_of(&leaves), site.reader.head().checkpoint.root);
    for tile in partial_tiles(size) {
        assert_eq!(site.get(&format!("/{tile}")).status, 200, "{tile}");
    }
    let top = site.get("/tile/1/000.p/2");
    assert_eq!(
        top.body,
        [verifier::hash::root_of(&leaves[..256]).0, verifier::hash::root_of(&leaves[256..512]).0].concat()
    );
}

#[test]
fn a_tile_or_bundle_that_is_not_wholly_published_is_not_there() {
    let mut site = Site::new(&[200, 70]);
    // Every checkpoint's partial tiles stay, and so do those below it.
    for path in ["/tile/0/000.p/200", "/tile/entries/000.p/200", "/tile/0/000", "/tile/0/001.p/14", "/tile/1/000.p/1"] {
        assert_eq!(site.get(path).status, 200, "{path}");
    }
    for path in [
        "/tile/0/001",
        "/tile/0/001.p/15",
        "/tile/0/002.p/1",
        "/tile/1/000",
        "/tile/1/000.p/2",
        "/tile/2/000.p/1",
        "/tile/63/000",
        "/tile/entries/001",
        "/tile/entries/001.p/15",
        "/tile/entries/x009/x223/x372/x036/x854/x775/807",
    ] {
        assert_eq!(site.refused(path), not_found("not_published"), "{path}");
    }
    assert_eq!(site.refused("/tile/0/001.p/15"), not_found("not_published"));
    site.ledger.append(&mixed(270, 1), START).unwrap();
    assert_eq!(site.get("/tile/0/001.p/15").status, 200);
}

#[test]
fn another_spelling_of_a_tiles_path_is_no_path() {
    let site = Site::new(&[300]);
    for path in [
        "/tile",
        "/tile/",
        "/tile/0/0",
        "/tile/00/000",
        "/tile/0/x000/000",
        "/tile/0/000.p/0",
        "/tile/0/000.p/256",
        "/tile/0/000.p/01",
        "/tile/64/000",
        "/tile/0/000/",
        "/tile//0/000",
        "//tile/0/000",
        "/tile/0/%30%30%30",
        "/tile/%30/000",
        "/tile/0/../0/000",
        "/tile/data/000",
        "/TILE/0/000",
    ] {
        assert_eq!(site.refused(path), not_found("unknown_path"), "{path}");
    }
    assert_eq!(site.refused("/tile/0/000?x=1"), bad("unknown_parameter"));
}

#[test]
fn what_is_immutable_is_not_sent_twice() {
    let site = Site::new(&[300]);
    for path in ["/tile/0/000", "/tile/entries/001.p/44", "/v1/entries/7"] {
        let ask =
            |tag| site.ask("GET", path, &[("Accept", "application/*;q=0.5, application/cbor"), ("If-None-Match", tag)]);
        let first = ask("\"other\"");
        assert_eq!(first.header("cache-control"), "public, max-age=31536000, immutable", "{path}");
        let again = ask(first.header("etag"));
        assert_eq!((again.status, again.body.len()), (304, 0), "{path}");
        assert_eq!(again.header("cache-control"), first.header("cache-control"));
    }
    // Words about an entry may change with the program; only its bytes may be kept.
    assert_eq!(site.get("/v1/entries/7").header("cache-control"), "no-cache");
    // What is not published has no validator that could match.
    assert_eq!(site.ask("GET", "/tile/0/001", &[("If-None-Match", "*")]).status, 404);
}

#[test]
fn head_is_get_without_the_body_and_other_methods_are_refused() {
    let site = Site::new(&[3]);
    for path in
        ["/checkpoint", "/tile/0/000.p/3", "/v1/log", "/v1/entries/0", "/v1/receipts/0", "/", "/page.css", "/livez"]
    {
        let (get, head) = (site.get(path), site.ask("HEAD", path, &[]));
        assert_eq!((head.status, head.body.len()), (200, 0), "{path}");
        for name in ["content-length", "content-type", "etag", "cache-control", "access-control-allow-origin"] {
            assert_eq!(head.header(name), get.header(name), "{path}: {name}");
        }
        assert_eq!(get.header("content-length"), get.body.len().to_string(), "{path}");
        for method in ["POST", "PUT", "DELETE", "OPTIONS", "PATCH"] {
            let answer = site.ask(method, path, &[("Content-Length", "0")]);
            assert_eq!(answer.check_problem(path), (405, "method_not_allowed".to_owned()), "{method} {path}");
            assert_eq!(answer.header("allow"), "GET, HEAD");
        }
    }
    assert_eq!(site.ask("HEAD", "/tile/0/001", &[]).status, 404);
}

#[test]
fn the_log_says_what_it_is() {
    let site = Site::new(&[3]);
    let log = site.json("/v1/log");
    assert_eq!(log["origin"], ORIGIN);
    assert_eq!(log["vkey"], site.reader.verifier_key().to_string());
    assert_eq!(log["size"], 3);
    assert_eq!(hash(&log["root"]), site.reader.head().checkpoint.root);
    assert_eq!(log["checkpoint"], site.reader.head().note);
    assert_eq!(log["time"], verifier::text::rfc3339(START));
    assert_eq!(log["created_at"], verifier::text::rfc3339(START));
}

#[test]
fn an_entry_comes_with_its_bytes_or_as_nothing_but_its_bytes() {
    let site = Site::new(&[5]);
    let entry = site.json("/v1/entries/1");
    assert_eq!(unb64(entry["record"].as_str().unwrap()).unwrap(), leaf(1));
    assert_eq!(hash(&entry["leaf"]), leaf_hash(&leaf(1)));
    assert_eq!((&entry["index"], &entry["kind"]), (&1.into(), &"decision".into()));
    assert_eq!(entry["decision"]["permit"], Case::new(1).permit.to_string());
    assert_eq!(entry["decision"]["decision"], false);
    assert_eq!(entry["decision"]["conditions"].as_object().unwrap().len(), 9);
    assert_eq!(site.json("/v1/entries/0")["kind"], "statement");
    let raw = site.ask("GET", "/v1/entries/1", &[("Accept", "application/cbor")]);
    assert_eq!((raw.header("content-type"), raw.header("vary")), ("application/cbor", "Accept"));
    assert_eq!(raw.body, leaf(1));
    assert_ne!(raw.header("etag"), site.get("/v1/entries/1").header("etag"));
    let other = site.ask("GET", "/v1/entries/1", &[("Accept", "text/html")]);
    assert_eq!(other.check_problem("entries"), (406, "not_acceptable".to_owned()));
}

#[test]
fn parameters_have_one_spelling_and_limits() {
    let site = Site::new(&[5]);
    let long = format!("/v1/proofs/inclusion?index={}", "1".repeat(300));
    for (path, refusal) in [
        ("/v1/entries/5", not_found("not_published")),
        ("/v1/entries/9223372036854775807", not_found("not_published")),
        ("/v1/entries/9223372036854775808", bad("malformed_parameter")),
        ("/v1/entries/-1", bad("malformed_parameter")),
        ("/v1/entries/01", bad("malformed_parameter")),
        ("/v1/entries/%31", bad("malformed_parameter")),
        ("/v1/entries/1%00", bad("malformed_parameter")),
        ("/v1/entries/1?x", bad("unknown_parameter")),
        ("/v1/entries/", not_found("unknown_path")),
        ("/v1/entries/1/", not_found("unknown_path")),
        ("/v1/proofs/inclusion", bad("missing_parameter")),
        ("/v1/proofs/inclusion?index=1", bad("missing_parameter")),
        ("/v1/proofs/inclusion?index=1&size=", bad("malformed_parameter")),
        ("/v1/proofs/inclusion?index=1&size=2&size=3", bad("unknown_parameter")),
        ("/v1/proofs/inclusion?index=1&size=6", not_found("not_published")),
        ("/v1/proofs/inclusion?index=3&size=3", not_found("not_published")),
        (&long, bad("malformed_parameter")),
        ("/v1/proofs/consistency?from=3&to=2", bad("malformed_parameter")),
        ("/v1/proofs/consistency?from=3&to=6", not_found("not_published")),
        ("/v1/proofs/consistency?from=+3&to=5", bad("malformed_parameter")),
        ("/v1/checkpoints", bad("missing_parameter")),
        ("/v1/checkpoints?from=1", bad("missing_parameter")),
        ("/v1/checkpoints?size=5&from=1&to=2", bad("missing_parameter")),
        ("/v1/checkpoints?from=3&to=2", bad("malformed_parameter")),
        ("/v1/checkpoints?size=4", not_found("not_published")),
        ("/v1/checkpoints?size=6", not_found("not_published")),
        ("/v1/receipts/5", not_found("not_published")),
        ("/v1/receipts/1?size=4", not_found("not_published")),
        ("/v1/receipts/1?size=6", not_found("not_published")),
        ("/v1/receipts/x", bad("malformed_parameter")),
        ("/v1/receipts/00000000000000000000000000000000", not_found("unknown_id")),
        ("/v1/receipts/0000000000000000000000000000000A", bad("malformed_parameter")),
        ("/v1/receipts/AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA", not_found("unknown_id")),
        ("/v1/receipts/AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAB", bad("malformed_parameter")),
        ("/v1/epochs/0", not_found("unknown_epoch")),
        ("/v1/epochs/1", not_found("unknown_epoch")),
        ("/v1/epochs/current", not_found("unknown_epoch")),
        ("/v1/epochs/newest", bad("malformed_parameter")),
        ("/v1", not_found("unknown_path")),
        ("/v2/log", not_found("unknown_path")),
        ("/metrics", not_found("unknown_path")),
        ("/../etc/passwd", not_found("unknown_path")),
    ] {
        assert_eq!(site.refused(path), refusal, "{path}");
    }
}

#[test]
fn a_receipt_is_found_by_index_permit_and_leaf_hash_and_verifies_with_the_key_alone() {
    let site = Site::new(&[3, 4]);
    let index = 4;
    let leaf_hash = leaf_hash(&leaf(index));
    let url_safe = b64(&leaf_hash.0).replace('+', "-").replace('/', "_");
    for id in [
        index.to_string(),
        Case::new(index).permit.to_string(),
        hex(&leaf_hash.0),
        url_safe.clone(),
        url_safe.trim_end_matches('=').to_owned(),
    ] {
        let answer = site.get(&format!("/v1/receipts/{id}"));
        assert_eq!((answer.status, answer.header("content-type")), (200, "text/plain; charset=utf-8"), "{id}");
        assert_eq!((answer.header("vary"), answer.header("cache-control")), ("Accept", "no-cache"));
        let receipt = Receipt::parse(answer.text()).unwrap();
        let signed = SignedCheckpoint::open(&receipt.checkpoint, site.reader.verifier_key(), ORIGIN).unwrap();
        assert_eq!((receipt.index, signed.checkpoint().size), (index, 7));
        assert_eq!(receipt.extra.as_deref(), Some(&*leaf(index)));
        verify_inclusion(&leaf_hash, index, 7, &receipt.path, &signed.checkpoint().root).unwrap();
    }
    let older = Receipt::parse(site.get("/v1/receipts/2?size=3").text()).unwrap();
    let signed = SignedCheckpoint::open(&older.checkpoint, site.reader.verifier_key(), ORIGIN).unwrap();
    assert_eq!(signed.checkpoint().size, 3);
    assert_eq!(site.refused("/v1/receipts/4?size=3"), not_found("not_published"));

    let json = site.json("/v1/receipts/4");
    assert_eq!((&json["index"], &json["size"]), (&4.into(), &7.into()));
    assert_eq!(hash(&json["leaf"]), leaf_hash);
    assert_eq!(json["checkpoint"], site.reader.head().note);
    verify_inclusion(&leaf_hash, 4, 7, &hashes(&json["path"]), &site.reader.head().checkpoint.root).unwrap();
    let cose = site.ask("GET", "/v1/receipts/4", &[("Accept", "application/scitt-receipt+cose")]);
    assert_eq!(cose.check_problem("receipts"), (406, "not_acceptable".to_owned()), "not built yet, and says so");
}

#[test]
fn proofs_between_any_sizes_verify() {
    let site = Site::new(&[3, 4, 6]);
    for size in 1..=13 {
        for index in 0..size {
            let proof = site.json(&format!("/v1/proofs/inclusion?index={index}&size={size}"));
            assert_eq!(hash(&proof["leaf"]), leaf_hash(&leaf(index)));
            verify_inclusion(&hash(&proof["leaf"]), index, size, &hashes(&proof["path"]), &hash(&proof["root"]))
                .unwrap();
        }
        let proof = site.json(&format!("/v1/proofs/consistency?from={size}&to=13"));
        assert_eq!(hash(&proof["to_root"]), site.reader.head().checkpoint.root);
        let (from_root, to_root) = (hash(&proof["from_root"]), hash(&proof["to_root"]));
        verify_consistency(size, 13, &hashes(&proof["proof"]), &from_root, &to_root).unwrap();
    }
    assert_eq!(site.json("/v1/proofs/consistency?from=0&to=13")["proof"].as_array().unwrap().len(), 0);
}

#[test]
fn the_whole_history_of_heads_is_there_and_no_other_size() {
    let site = Site::new(&[3, 4, 6]);
    let all = site.json("/v1/checkpoints?from=0&to=100");
    let heads = all["checkpoints"].as_array().unwrap();
    assert_eq!(heads.iter().map(|head| head["size"].as_u64().unwrap()).collect::<Vec<_>>(), [0, 3, 7, 13]);
    assert_eq!(all.get("next"), None);
    for head in heads {
        let note = head["checkpoint"].as_str().unwrap();
        let signed = SignedCheckpoint::open(note, site.reader.verifier_key(), ORIGIN).unwrap();
        assert_eq!(signed.checkpoint().size, head["size"].as_u64().unwrap());
        let one = site.get(&format!("/v1/checkpoints?size={}", signed.checkpoint().size));
        assert_eq!((one.status, one.text()), (200, note));
    }
    let some = site.json("/v1/checkpoints?from=4&to=12");
    assert_eq!(some["checkpoints"].as_array().unwrap().len(), 1);
}

#[test]
fn a_long_history_comes_in_pieces() {
    let batches = vec![1; 300];
    let site = Site::new(&batches);
    let first = site.json("/v1/checkpoints?from=1&to=300");
    assert_eq!((first["checkpoints"].as_array().unwrap().len(), &first["next"]), (256, &257.into()));
    let rest = site.json("/v1/checkpoints?from=257&to=300");
    assert_eq!((rest["checkpoints"].as_array().unwrap().len(), rest.get("next")), (44, None));
}

#[test]
fn a_disclosed_request_is_served_with_what_its_commitments_need() {
    let site = Site::new(&[5]);
    let case = Case::new(1);
    let parts = site.json("/v1/requests/1");
    assert_eq!(parts["permit"], case.permit.to_string());
    let Record::Decision(decision) = &case.record else { panic!("a decision") };
    for (part, bytes, committed) in
        [("request", &case.request, decision.request), ("detail", &case.detail, decision.detail)]
    {
        let salt: [u8; 16] = unb64(parts[part]["salt"].as_str().unwrap()).unwrap().try_into().unwrap();
        let served = unb64(parts[part]["bytes"].as_str().unwrap()).unwrap();
        assert_eq!(&served, bytes);
        assert_eq!(commitment(&salt, &served), committed);
    }
    // An erasure may end it: never kept without asking.
    assert_eq!(site.get("/v1/requests/1").header("cache-control"), "no-cache");
    assert_eq!(site.refused("/v1/requests/0"), not_found("no_request"));
    assert_eq!(site.refused("/v1/requests/5"), not_found("not_published"));
}

#[test]
fn the_request_of_a_committed_realm_is_not_served_in_any_form() {
    let mut site = Site::new(&[]);
    let case = Case::new(7);
    let mut batch = Batch::default();
    batch.push(&case.record, Some(ledger::Private { disclosed: false, ..case.private() })).unwrap();
    site.ledger.append(&batch, START).unwrap();
    let permit = case.permit.to_string();
    assert_eq!(site.refused("/v1/requests/0"), not_found("committed"));
    let receipt = format!("/v1/receipts/{permit}");
    let secrets: [&[u8]; 4] = [&case.request, &case.detail, &case.request_salt, &case.detail_salt];
    for path in ["/v1/requests/0", "/v1/entries/0", &receipt, "/tile/entries/000.p/1", "/v1/log", "/", "/v1/epochs"] {
        for accept in ["application/json", "*/*", "application/cbor"] {
            let body = site.ask("GET", path, &[("Accept", accept)]).body;
            for secret in secrets {
                let encoded = b64(secret);
                let found = body.windows(secret.len()).any(|window| window == secret)
                    || body.windows(encoded.len()).any(|window| window == encoded.as_bytes());
                assert!(!found, "{path} tells a private part");
            }
        }
    }
}

#[test]
fn nothing_above_the_published_size_is_served_while_the_log_grows() {
    let mut site = Site::new(&[]);
    let empty = site.get("/checkpoint");
    assert_eq!(SignedCheckpoint::open(empty.text(), site.reader.verifier_key(), ORIGIN).unwrap().checkpoint().size, 0);
    for path in ["/v1/entries/0", "/v1/requests/0", "/v1/receipts/0", "/tile/0/000.p/1", "/tile/entries/000.p/1"] {
        assert_eq!(site.refused(path), not_found("not_published"), "{path}");
    }
    check_links(&site);
    site.ledger.append(&mixed(0, 2), START).unwrap();
    assert_eq!(site.get("/v1/entries/1").status, 200);
    assert_eq!(site.refused("/v1/entries/2"), not_found("not_published"));
}

#[test]
fn an_epoch_is_served_from_its_records_and_only_if_it_is_what_was_signed() {
    let mut site = Site::new(&[2]);
    let admin = Signer::generate(&Act::key_name(ORIGIN)).unwrap();
    let content = EpochContent {
        policies: vec![("a".into(), "permit (principal, action, resource);".into()), ("b".into(), "x".repeat(100_000))],
        schema: Some("entity User;".into()),
        entities: None,
        trust: None,
    };
    let document = content.encode();
    let publish = |site: &mut Site, number: u64, signed: Hash| {
        let first_part = site.reader.size();
        let mut batch = Batch::default();
        let mut count = 0;
        for (part, bytes) in (0..).zip(parts(&document)) {
            let part = Record::EpochPart { recorded_at: START, epoch: number, part, bytes: bytes.to_vec() };
            batch.push(&part, None).unwrap();
            count += 1;
        }
        let act = Act { origin: ORIGIN.into(), follows: number - 1, deed: Deed::Epoch { number, content: signed } };
        let note = admin.sign_note(&act.text());
        let closing = Record::Epoch {
            recorded_at: START,
            governance: number,
            first_part,
            parts: count,
            note: note.clone(),
            predecessor: None,
        };
        batch.push(&closing, None).unwrap();
        site.epochs.lock().unwrap().push(first_part + count);
        // Known to the index but not yet published.
        let path = format!("/v1/epochs/{number}");
        assert_eq!(site.refused(&path), not_found("unknown_epoch"));
        site.ledger.append(&batch, START).unwrap();
        note
    };
    let note = publish(&mut site, 1, digest(&document));
    publish(&mut site, 2, leaf_hash(b"another document"));

    let first = site.json("/v1/epochs/1");
    assert_eq!((&first["epoch"], &first["governance"], &first["note"]), (&1.into(), &1.into(), &note.into()));
    assert_eq!((&first["first_part"], &first["parts"], &first["index"]), (&2.into(), &2.into(), &4.into()));
    assert_eq!(hash(&first["content"]), digest(&document));
    assert_eq!(first["policies"][0]["id"], "a");
    assert_eq!(first["policies"][1]["text"].as_str().unwrap().len(), 100_000);
    assert_eq!((&first["schema"], first.get("entities")), (&"entity User;".into(), None));
    for path in ["/v1/epochs/2", "/v1/epochs/current"] {
        assert_eq!(site.refused(path), (500, "damaged".to_owned()), "a document that was not signed");
    }
    let list = site.json("/v1/epochs");
    assert_eq!(list["epochs"].as_array().unwrap().len(), 2);
    assert_eq!((&list["epochs"][1]["epoch"], list.get("next")), (&2.into(), None));
    assert_eq!(site.json("/v1/epochs?from=2")["epochs"].as_array().unwrap().len(), 1);
    assert_eq!(site.json("/v1/epochs?from=3")["epochs"].as_array().unwrap().len(), 0);
    // An index that names something else is damage, not another epoch.
    site.epochs.lock().unwrap()[0] = 0;
    assert_eq!(site.refused("/v1/epochs/1"), (500, "damaged".to_owned()));
}

#[test]
fn liveness_and_readiness_are_two_things() {
    let site = Site::new(&[1]);
    assert_eq!((site.get("/livez").text(), site.get("/readyz").text()), ("ok\n", "ready\n"));
    *site.ready.lock().unwrap() = Err("no epoch is published".into());
    assert_eq!(site.get("/livez").status, 200);
    let answer = site.get("/readyz");
    assert_eq!(answer.check_problem("/readyz"), (503, "not_ready".to_owned()));
    assert!(answer.text().contains("no epoch is published"));
    assert_eq!(site.get("/v1/entries/0").status, 200, "reads go on");
}

#[test]
fn the_page_shows_key_and_head_and_asks_nobody_else() {
    let site = Site::new(&[3]);
    *site.ready.lock().unwrap() = Err("<script>alert(1)</script>".into());
    let page = site.get("/");
    assert_eq!((page.status, page.header("content-type")), (200, "text/html; charset=utf-8"));
    let html = page.text();
    let head = site.reader.head();
    for shown in [ORIGIN, &site.reader.verifier_key().to_string(), &head.checkpoint.root.to_string(), "3 minutes old"] {
        assert!(html.contains(shown), "`{shown}`");
    }
    let policy = page.header("content-security-policy");
    for rule in
        ["default-src 'none'", "style-src 'self'", "base-uri 'none'", "form-action 'none'", "frame-ancestors 'none'"]
    {
        assert!(policy.contains(rule), "`{rule}`");
    }
    assert!(!policy.contains("unsafe"));
    for forbidden in ["<script", "http://", "https://", " style=", "onload", "javascript:"] {
        assert!(!html.contains(forbidden), "`{forbidden}`");
    }
    let style = site.get("/page.css");
    assert_eq!(style.header("content-type"), "text/css; charset=utf-8");
    assert!(!style.text().contains("url(") && !style.text().contains("@import"));
    *site.ready.lock().unwrap() = Ok(());
    check_links(&site);
}

/// Every link on the page leads somewhere.
fn check_links(site: &Site) {
    let page = site.get("/");
    let links = page.text().split("href=\"").skip(1).map(|rest| rest.split('"').next().unwrap().replace("&amp;", "&"));
    for link in links {
        assert_eq!(site.get(&link).status, 200, "{link}");
    }
}

#[test]
fn reads_go_on_for_a_large_bundle() {
    let mut site = Site::new(&[]);
    let mut batch = Batch::default();
    for number in 0..256 {
        batch.push(&statement(number, 30_000), None).unwrap();
    }
    site.ledger.append(&batch, START).unwrap();
    let answer = site.get("/tile/entries/000");
    let bundle = Bundle { index: 0, width: 256 };
    assert_eq!(bundle.split(&answer.body).unwrap().len(), 256);
    assert!(answer.body.len() > 256 * 30_000);
}
