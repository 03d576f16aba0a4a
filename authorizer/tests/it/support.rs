//! A site: a log, keys, an administrator, and a running service.

mod client;
mod governing;

use std::fs;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use authorizer::clock::Manual;
use authorizer::governance::Governors;
use authorizer::keys::{ApiKeys, Role, admin_bearer};
use authorizer::replay::{self, replay};
use authorizer::service::{admin_keys_path, api_keys_path};
use authorizer::{Config, Service};
use ledger::storage::Storage;
use ledger::storage::disk::Disk;
use ledger::storage::ram::Ram;
use ledger::{Ledger, Options, Reader, Signer, create_in, default_memory};
use serde_json::{Value, json};
use verifier::act::Act;
use verifier::event::{Event, Step};
use verifier::receipt::Receipt;
use verifier::record::Record;
use verifier::text::unb64;
use verifier::verify::{LogKey, verify_receipt};

pub use client::{Answer, answer, call};

pub const ORIGIN: &str = "test.example/log";
const SEED: [u8; 32] = [42; 32];

/// Reads are allowed, writes of archived records are forbidden, an action `boom` makes a forbid err.
pub const POLICIES: [(&str, &str); 3] = [
    ("reads", r#"@id("reads") permit(principal, action == Action::"read", resource);"#),
    (
        "writes",
        r#"@id("writes") permit(principal, action == Action::"write", resource) unless { resource has archived && resource.archived };"#,
    ),
    ("frozen", r#"@id("frozen") forbid(principal, action, resource) when { resource has frozen && resource.frozen };"#),
];

pub struct Site {
    pub dir: tempfile::TempDir,
    pub service: Option<Service>,
    pub reader: Reader,
    pub key: String,
    pub admin_key: String,
    pub ram: Option<Ram>,
    admin: Signer,
    adjust: Adjust,
}

type Adjust = Arc<dyn Fn(&mut Config)>;

impl Site {
    /// On disk, with an epoch of [`POLICIES`].
    pub fn new() -> Site {
        Site::with(None, |_| {})
    }

    /// In memory, where syncs can be made to hang or fail.
    pub fn in_memory() -> Site {
        Site::with(Some(Ram::new()), |_| {})
    }

    /// With another configuration.
    pub fn with(ram: Option<Ram>, adjust: impl Fn(&mut Config) + 'static) -> Site {
        let site = Site::without_epoch(ram, adjust);
        let answer = site.publish(&POLICIES, 0, 1);
        assert_eq!(answer.status, 200, "{}", answer.text());
        site
    }

    pub fn without_epoch(ram: Option<Ram>, adjust: impl Fn(&mut Config) + 'static) -> Site {
        let dir = tempfile::tempdir().unwrap();
        let data = dir.path().join("data");
        let adjust: Adjust = Arc::new(adjust);
        let (log, memory) = log_paths(&data, ram.as_ref());
        let now = config(&data, &adjust).clock.wall_ms();
        create_in(storage(ram.as_ref()), &log, &memory, ORIGIN, now).unwrap();
        fs::create_dir_all(data.join("keys")).unwrap();
        let admin = Signer::from_seed(&Act::key_name(ORIGIN), &SEED).unwrap();
        fs::write(admin_keys_path(&data), format!("{}\n", admin.verifier_key())).unwrap();
        let keys = ApiKeys::create_file(&api_keys_path(&data)).unwrap();
        keys.create_admin(&SEED, "2026-01-01T00:00:00.000Z".into()).unwrap();
        let (key, _) = keys.create("main", Role::Service, "2026-01-01T00:00:01.000Z".into()).unwrap();
        let (service, reader) = start(&data, ram.as_ref(), &adjust);
        let (key, admin_key) = (key.to_string(), admin_bearer(&SEED).to_string());
        Site { dir, service: Some(service), reader, key, admin_key, ram, admin, adjust }
    }

    /// Stops and starts again over the same log.
    pub fn restart(&mut self) {
        assert!(self.service.take().unwrap().stop(), "closed in time");
        self.open();
    }

    /// As after `kill -9`: what the old service still holds is void.
    pub fn crash(&mut self) {
        self.ram.as_ref().unwrap().restart();
        drop(self.service.take());
        self.open();
    }

    pub fn open(&mut self) {
        let (service, reader) = start(&self.dir.path().join("data"), self.ram.as_ref(), &self.adjust);
        (self.service, self.reader) = (Some(service), reader);
    }

    pub fn address(&self) -> SocketAddr {
        self.service.as_ref().unwrap().address()
    }

    pub fn size(&self) -> u64 {
        self.reader.head().checkpoint.size
    }

    pub fn records(&self) -> Vec<Record> {
        (0..self.size()).map(|index| self.reader.record(index).unwrap()).collect()
    }

    /// A call with the service key.
    pub fn post(&self, path: &str, body: &Value) -> Answer {
        self.send(path, "application/json", body.to_string().as_bytes())
    }

    pub fn send(&self, path: &str, content_type: &str, body: &[u8]) -> Answer {
        self.call("POST", path, &[("Authorization", &bearer(&self.key)), ("Content-Type", content_type)], body)
    }

    pub fn get(&self, path: &str) -> Answer {
        self.call("GET", path, &[("Authorization", &bearer(&self.key))], b"")
    }

    pub fn admin(&self, method: &str, path: &str, content_type: &str, body: &[u8]) -> Answer {
        self.call(method, path, &[("Authorization", &bearer(&self.admin_key)), ("Content-Type", content_type)], body)
    }

    pub fn call(&self, method: &str, path: &str, headers: &[(&str, &str)], body: &[u8]) -> Answer {
        call(self.address(), method, path, headers, body)
    }

    /// A decision on one request; panics unless the answer is 200.
    pub fn decide(&self, request: &Value) -> Value {
        let answer = self.post("/v1/decisions", request);
        assert_eq!(answer.status, 200, "{}", answer.text());
        answer.json()
    }

    /// With that trust configuration from the first epoch on, under a clock that the test moves.
    pub fn with_trust(trust: &str) -> (Site, Arc<Manual>) {
        Site::with_trust_on(None, trust)
    }

    /// As [`Site::with_trust`], in memory where there is some.
    pub fn with_trust_on(ram: Option<Ram>, trust: &str) -> (Site, Arc<Manual>) {
        let clock = Arc::new(Manual::at(now_ms()));
        let given = clock.clone();
        let site = Site::without_epoch(ram, move |config| {
            config.clock = given.clone();
            config.public = Some("127.0.0.1:0".parse().unwrap());
        });
        let answer = site.publish_trust(trust, 0, 1);
        assert_eq!(answer.status, 200, "{}", answer.text());
        (site, clock)
    }

    /// As [`Site::with_trust`], in memory, with a `state` record every so many decisions.
    pub fn with_states(ram: Ram, every: u64, trust: &str) -> (Site, Arc<Manual>) {
        let clock = Arc::new(Manual::at(now_ms()));
        let given = clock.clone();
        let site = Site::without_epoch(Some(ram), move |config| {
            config.clock = given.clone();
            config.state_every = every;
        });
        let answer = site.publish_trust(trust, 0, 1);
        assert_eq!(answer.status, 200, "{}", answer.text());
        (site, clock)
    }

    /// Where `state` records stand.
    pub fn states(&self) -> Vec<u64> {
        let states = (0..).zip(self.records()).filter(|(_, record)| matches!(record, Record::State { .. }));
        states.map(|(index, _)| index).collect()
    }

    /// The last of them that stands in the log now, and how many records follow it.
    pub fn behind_the_last_state(&self) -> (Option<u64>, u64) {
        let last = self.states().last().copied();
        (last, self.behind(last))
    }

    /// How many records follow a `state` record; all of them without one.
    pub fn behind(&self, state: Option<u64>) -> u64 {
        self.size() - state.map_or(0, |index| index + 1)
    }

    pub fn governors(&self) -> Governors {
        Governors::read(&admin_keys_path(&self.dir.path().join("data")), ORIGIN).unwrap()
    }

    /// The log of a site that was stopped.
    pub fn open_log(&self) -> (Ledger, Reader) {
        let (log, _) = log_paths(&self.dir.path().join("data"), self.ram.as_ref());
        Ledger::open_in(storage(self.ram.as_ref()), Options::new(log), now_ms()).unwrap()
    }

    /// An event that the gate signs.
    pub fn event(&self, permit: &Value, step: Step) -> Answer {
        let event = Event { origin: ORIGIN.into(), permit: permit.as_str().unwrap().parse().unwrap(), step };
        self.send_event(permit, &gate().sign_note(&event.text()))
    }

    pub fn send_event(&self, permit: &Value, note: &str) -> Answer {
        let path = format!("/v1/executions/{}/events", permit.as_str().unwrap());
        self.send(&path, "text/plain", note.as_bytes())
    }

    /// A stranger's look at a permit's lineage.
    pub fn lineage(&self, permit: &Value, query: &str) -> Answer {
        let address = self.service.as_ref().unwrap().public_address().unwrap();
        let path = format!("/v1/lineage/{}{query}", permit.as_str().unwrap());
        (0..100).map(|_| call(address, "GET", &path, &[], b"")).find(|answer| answer.status != 503).unwrap()
    }

    /// Another service key, of a realm.
    pub fn key_of(&self, realm: &str) -> String {
        let body = json!({ "realm": realm, "role": "service" });
        let answer = self.admin("POST", "/v1/keys", "application/json", body.to_string().as_bytes());
        answer.json()["key"].as_str().unwrap_or_else(|| panic!("{}", answer.text())).to_owned()
    }

    /// Asserts that each of the log's decisions can be computed again, and answers how many there are.
    pub fn replays(&self) -> u64 {
        let governors = Governors::read(&admin_keys_path(&self.dir.path().join("data")), ORIGIN).unwrap();
        let checkpoint = self.reader.head().checkpoint.clone();
        let head = (checkpoint.size, checkpoint.root);
        let report =
            replay(&mut self.reader.clone(), &governors, head, replay::Options::default(), &mut |_| {}).unwrap();
        assert_eq!(report.differences, [], "{report:?}");
        assert_eq!((report.same, report.states_same), (report.decisions, report.states));
        report.decisions
    }

    /// Checks an answer as its receiver would, with nothing but the log's key, and gives back the record.
    pub fn verify(&self, answer: &Value) -> Record {
        let receipt = Receipt::parse(answer["receipt"].as_str().unwrap()).unwrap();
        let leaf = unb64(answer["record"].as_str().unwrap()).unwrap();
        let key = LogKey::unlimited(self.reader.verifier_key().clone());
        let verified = verify_receipt(&receipt, Some(&leaf), &[key]).unwrap();
        assert_eq!(verified.index(), answer["index"].as_u64().unwrap());
        assert_eq!(verified.leaf().to_string(), answer["leaf"].as_str().unwrap());
        verified.record().clone()
    }
}

/// A request that [`POLICIES`] allow.
pub fn read(id: &str) -> Value {
    json!({
        "subject": { "type": "Agent", "id": "alice" },
        "action": { "name": "read" },
        "resource": { "type": "Record", "id": id },
    })
}

/// A request that [`POLICIES`] deny.
pub fn erase(id: &str) -> Value {
    let mut request = read(id);
    request["action"]["name"] = "erase".into();
    request
}

pub fn bearer(key: &str) -> String {
    format!("Bearer {key}")
}

/// The wall clock, as the tests' shell.
#[expect(clippy::disallowed_methods, reason = "the test's own shell")]
pub fn now_ms() -> u64 {
    u64::try_from(SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_millis()).unwrap()
}

/// Waits for the thing itself.
pub fn until(there: impl Fn() -> bool) {
    while !there() {
        std::thread::sleep(Duration::from_millis(5));
    }
}

fn storage(ram: Option<&Ram>) -> Arc<dyn Storage> {
    match ram {
        Some(ram) => Arc::new(ram.process()),
        None => Arc::new(Disk),
    }
}

fn log_paths(data: &Path, ram: Option<&Ram>) -> (PathBuf, PathBuf) {
    let log = if ram.is_some() { PathBuf::from("/log") } else { data.to_owned() };
    let memory = default_memory(&log);
    (log, memory)
}

fn config(data: &Path, adjust: &Adjust) -> Config {
    let mut config = Config::new(data, "127.0.0.1:0".parse().unwrap());
    config.workers = 2;
    adjust(&mut config);
    config
}

fn start(data: &Path, ram: Option<&Ram>, adjust: &Adjust) -> (Service, Reader) {
    let config = config(data, adjust);
    let (log, _) = log_paths(data, ram);
    let now = config.clock.wall_ms();
    let (ledger, reader) = Ledger::open_in(storage(ram), Options::new(log), now).unwrap();
    let service = Service::start(config, ledger, reader.clone()).unwrap();
    (service, reader)
}

/// The enforcement point behind the audience `gate`.
pub fn gate() -> Signer {
    Signer::from_seed("gate.example/executor", &[7; 32]).unwrap()
}

/// A trust configuration with that audience in front.
pub fn with_gate(trust: &str) -> String {
    format!("[audiences]\ngate = [\"{}\"]\n{trust}", gate().verifier_key())
}

/// The codes of a denial; none of an allowance.
pub fn reasons(answer: &Value) -> Vec<&str> {
    assert_eq!(answer["decision"].as_bool().unwrap(), answer["reasons"] == json!([]), "{answer}");
    answer["reasons"].as_array().unwrap().iter().map(|reason| reason.as_str().unwrap()).collect()
}

/// A request with these fields laid over it.
pub fn with(mut request: Value, fields: Value) -> Value {
    for (name, value) in fields.as_object().unwrap() {
        request[name] = value.clone();
    }
    request
}
