//! Callers with requests under way, each polled by hand, and what must hold of every answer that they get.

use std::collections::{BTreeMap, HashMap, VecDeque};
use std::future::Future;
use std::path::Path;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Waker};

use authorizer::fold::IDEMPOTENCY_MS;
use ledger::storage::Storage;
use ledger::storage::ram::Process;
use ledger::{Head, Reader};
use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};
use serde_json::Value;
use sha2::{Digest, Sha256};
use verifier::act::Revoked;
use verifier::checkpoint::SignedCheckpoint;
use verifier::decision::{Class, Condition, Detail, Outcome};
use verifier::hash::leaf_hash;
use verifier::proof::verify_range;
use verifier::receipt::{RangeReceipt, Receipt};
use verifier::record::Record;
use verifier::text::unb64;
use verifier::verify::{LogKey, verify_receipt};

use super::limit::Taken;
use super::model::rests_on;
use super::requests::SignedBody;
use crate::support::Answer;

pub type Answering = Pin<Box<dyn Future<Output = Answer>>>;

/// What a call asked for.
pub enum Asked {
    Decisions { realm: &'static str, requests: Vec<Value>, range: bool, limited: bool },
    Event { permit: String },
    Permit,
    Statement,
    Approval { realm: &'static str, retry: Value },
    Act,
    Revocation(Revoked),
    Erasure { index: u64, parts: u64 },
    Canary,
}

struct Call {
    number: u64,
    asked: Asked,
    at_ms: u64,
    /// How much was taken back, and answered so, before it was asked.
    taken_back: usize,
    answering: Answering,
}

/// Something that was answered, and so must be in the log for ever.
#[derive(Clone)]
pub struct Kept {
    pub index: u64,
    pub leaf: Vec<u8>,
}

/// All callers, what they know, and the one source of chance.
pub struct Callers {
    pub random: StdRng,
    /// Permits that were allowed, and leases with their ends, oldest first.
    pub permits: Vec<String>,
    pub leases: Vec<(&'static str, String, u64)>,
    pub retries: Vec<(&'static str, Value)>,
    /// Denials that an approval would change.
    pub unapproved: Vec<(&'static str, Value, Value)>,
    pub kept: Vec<Kept>,
    /// Requests with an idempotency key, the last ones.
    pub asked_before: VecDeque<Value>,
    /// Signed bodies, the last ones.
    pub signed_before: VecDeque<SignedBody>,
    /// Requests of the key that is limited, each about a resource of its own; those that were refused.
    pub asked_limited: u64,
    pub refused: Vec<String>,
    /// Erasures that were answered: the decision and its parts.
    pub erased: Vec<(u64, u64)>,
    pub counts: BTreeMap<String, u64>,
    pub now_ms: u64,
    pub reader: Option<Reader>,
    /// The disk of the process: gone when that is.
    pub disk: Option<Process>,
    /// The largest head that a reader was shown, at any moment of a commit too.
    pub seen: Option<Arc<Head>>,
    calls: Vec<Call>,
    begun: u64,
    taken: Taken,
    taken_back: Vec<Revoked>,
    /// By realm and key: the request, its permit, when it was asked for first.
    keyed: HashMap<(&'static str, String), (Value, String, u64)>,
    trace: Sha256,
    verbose: bool,
}

impl Callers {
    pub fn new(seed: u64, now_ms: u64) -> Self {
        Callers {
            random: StdRng::seed_from_u64(seed),
            permits: Vec::new(),
            leases: Vec::new(),
            retries: Vec::new(),
            unapproved: Vec::new(),
            kept: Vec::new(),
            asked_before: VecDeque::new(),
            signed_before: VecDeque::new(),
            asked_limited: 0,
            refused: Vec::new(),
            erased: Vec::new(),
            counts: BTreeMap::new(),
            now_ms,
            reader: None,
            disk: None,
            seen: None,
            calls: Vec::new(),
            begun: 0,
            taken: Taken::default(),
            taken_back: Vec::new(),
            keyed: HashMap::new(),
            trace: Sha256::new(),
            verbose: std::env::var_os("INTERLOCK_SIM_TRACE").is_some(),
        }
    }

    /// One line of what happens. Ids and salts are random bytes of the operating system and never stand in it.
    pub fn tell(&mut self, line: &str) {
        if self.verbose {
            println!("{line}");
        }
        self.trace.update(line.as_bytes());
        self.trace.update(b"\n");
    }

    pub fn count(&mut self, what: &str) {
        *self.counts.entry(what.to_owned()).or_default() += 1;
    }

    /// What happened so far, in 32 bytes.
    pub fn digest(&self) -> [u8; 32] {
        self.trace.clone().finalize().into()
    }

    pub fn under_way(&self) -> usize {
        self.calls.len()
    }

    pub fn begin(&mut self, asked: Asked, answering: Answering) {
        self.begun += 1;
        let (number, at_ms, taken_back) = (self.begun, self.now_ms, self.taken_back.len());
        self.calls.push(Call { number, asked, at_ms, taken_back, answering });
    }

    /// A process that was killed answers nobody.
    fn alive(&self) -> bool {
        self.disk.as_ref().is_some_and(|disk| disk.exists(Path::new("/")).is_ok())
    }

    /// A stranger looks at the published head.
    pub fn look(&mut self) {
        if let Some(reader) = self.reader.as_ref().filter(|_| self.alive()) {
            self.seen = Some(reader.head());
        }
    }

    /// Lets one of them have its turn.
    pub fn poll_one(&mut self) {
        if self.calls.is_empty() || !self.alive() {
            return;
        }
        let at = self.random.random_range(0..self.calls.len());
        let polled = self.calls[at].answering.as_mut().poll(&mut Context::from_waker(Waker::noop()));
        if let std::task::Poll::Ready(answer) = polled {
            let call = self.calls.remove(at);
            self.answered(call, &answer);
        }
    }

    /// The process is gone; nobody knows what became of what was under way.
    pub fn hang_up(&mut self) {
        self.calls.clear();
        // What a key took is not remembered over a restart.
        (self.reader, self.disk, self.taken) = (None, None, Taken::default());
    }

    fn answered(&mut self, call: Call, answer: &Answer) {
        let name = match &call.asked {
            Asked::Decisions { .. } => "decisions",
            Asked::Event { .. } => "event",
            Asked::Permit => "permit",
            Asked::Statement => "statement",
            Asked::Approval { .. } => "approval",
            Asked::Act => "act",
            Asked::Revocation(_) => "revocation",
            Asked::Erasure { .. } => "erasure",
            Asked::Canary => "canary",
        };
        let code = if answer.status >= 400 { answer.code() } else { String::new() };
        self.tell(&format!("{} {name} {} {code}", call.number, answer.status));
        self.count(&format!("{name} {} {code}", answer.status));
        // Time may have passed since it was signed.
        let void = matches!(call.asked, Asked::Approval { .. }) && code == "invalid_approval";
        match answer.status {
            200 | 201 => {}
            400 if void => return,
            429 => {
                let Asked::Decisions { requests, limited: true, .. } = &call.asked else { panic!("{name}: no quota") };
                let resources = requests.iter().map(|request| request["resource"]["id"].as_str().unwrap().to_owned());
                return self.refused.extend(resources);
            }
            404 | 409 | 422 | 503 => {
                assert!(!answer.text().contains("\"decision\":true"), "{}", answer.text());
                return;
            }
            _ => panic!("{name}: {} {}", answer.status, answer.text()),
        }
        match call.asked {
            Asked::Decisions { realm, requests, range, limited } => {
                if limited {
                    self.taken.took(call.at_ms, self.now_ms, requests.len());
                }
                self.decided(realm, &requests, range, (call.at_ms, call.taken_back), answer);
            }
            Asked::Event { permit } => {
                let json = answer.json();
                let index = self.proved(&json);
                self.tell(&format!("  {} at {index}", json["answer"]));
                if let Some(end) = json["lease_ends_at_ms"].as_u64()
                    && let Some(lease) = self.leases.iter_mut().find(|(_, id, _)| *id == permit)
                {
                    lease.2 = end;
                }
            }
            Asked::Statement => {
                let json = answer.json();
                let index = self.proved(&json);
                self.tell(&format!("  at {index}"));
            }
            Asked::Permit => {
                let json = answer.json();
                self.proved(&json);
                self.tell(&format!("  {}", json["decision"]));
                if json["decision"] == true {
                    self.rests_on_nothing_taken_back(&json, call.taken_back);
                }
            }
            Asked::Approval { realm, retry } => self.retries.push((realm, retry)),
            Asked::Act | Asked::Revocation(_) | Asked::Erasure { .. } => {
                let json = answer.json();
                let index = json["index"].as_u64().unwrap();
                let reader = self.reader.as_ref().unwrap();
                let head = SignedCheckpoint::open(
                    json["checkpoint"].as_str().unwrap(),
                    reader.verifier_key(),
                    reader.origin(),
                );
                assert!(
                    index < head.unwrap().checkpoint().size && index < reader.size(),
                    "an act before it is published"
                );
                let leaf = reader.entry(index).unwrap();
                self.kept.push(Kept { index, leaf });
                self.tell(&format!("  version {} at {index}", json["governance"]));
                match call.asked {
                    Asked::Revocation(what) => {
                        self.count(&format!("{} taken back", what.text().split(' ').next().unwrap()));
                        self.taken_back.push(what);
                    }
                    Asked::Erasure { index, parts } => self.erased.push((index, parts)),
                    _ => {}
                }
            }
            Asked::Canary => {}
        }
    }

    /// Checks the receipt of an answer as its receiver would, with the log's key alone, and keeps what it is for. Its index.
    fn proved(&mut self, answer: &Value) -> u64 {
        let reader = self.reader.as_ref().unwrap();
        let receipt = Receipt::parse(answer["receipt"].as_str().unwrap()).unwrap();
        let leaf = unb64(answer["record"].as_str().unwrap()).unwrap();
        let key = LogKey::unlimited(reader.verifier_key().clone());
        let verified = verify_receipt(&receipt, Some(&leaf), &[key]).unwrap();
        let (index, size) = (verified.index(), verified.head().size);
        assert_eq!(Some(index), answer["index"].as_u64());
        assert!(
            index < size && size <= reader.size(),
            "{index} is answered below {size}, and {} is published",
            reader.size()
        );
        assert_eq!(reader.root_at(size).unwrap(), verified.head().root, "a head that was never published");
        self.kept.push(Kept { index, leaf });
        index
    }

    /// Whoever asks when something is taken back for ever finds nothing allowed that rests on it, also not what was allowed before.
    fn rests_on_nothing_taken_back(&self, answer: &Value, taken_back: usize) {
        let detail = Detail::decode(&unb64(answer["detail"]["bytes"].as_str().unwrap()).unwrap()).unwrap();
        let rests_on = rests_on(answer["permit"].as_str().unwrap().parse().unwrap(), &detail);
        for what in &self.taken_back[..taken_back] {
            assert!(!rests_on.contains(what), "allowed after `{}` was taken back: {answer}", what.text());
        }
    }

    fn decided(
        &mut self,
        realm: &'static str,
        requests: &[Value],
        range: bool,
        (at_ms, taken_back): (u64, usize),
        answer: &Answer,
    ) {
        let json = answer.json();
        let items = match &json {
            Value::Array(items) => items.clone(),
            Value::Object(_) if range => json["results"].as_array().unwrap().clone(),
            one => vec![one.clone()],
        };
        assert_eq!(items.len(), requests.len());
        if range && !json["receipt"].is_null() {
            self.in_range(&json["receipt"], &items);
        }
        for (request, item) in requests.iter().zip(&items) {
            if item.get("receipt").is_some() {
                self.proved(item);
            }
            let allowed = item["decision"] == true;
            let leaf = unb64(item["record"].as_str().unwrap()).unwrap();
            let Record::Decision(decision) = Record::decode(&leaf).unwrap() else { panic!("no decision: {item}") };
            let permit = decision.permit.to_string();
            assert_eq!(item["permit"], permit.as_str());
            self.tell(&format!("  {allowed} {} at {}", item["reasons"], item["index"]));
            self.count(if allowed { "allowed" } else { "denied" });
            assert!(!allowed || decision.outcome == Outcome::Allow, "allowed, and the record denies: {item}");
            // Whoever is not identified is told of none.
            let identified = decision.classes.of(Condition::Identity) == Class::Pass;
            let tried = decision.shadow.as_ref().filter(|_| identified);
            let tried = tried.map(|shadow| (shadow.epoch, shadow.outcome == Outcome::Allow));
            let told = item["shadow"]["epoch"].as_u64().zip(item["shadow"]["decision"].as_bool());
            assert_eq!(tried, told, "another candidate is told of: {item}");
            if let Some(key) = request["idempotency_key"].as_str() {
                self.repeated(realm, key, request, &permit, at_ms);
            }
            if allowed {
                self.rests_on_nothing_taken_back(item, taken_back);
                self.permits.push(permit.clone());
                if let Some(end) = decision.grant.unwrap().lease_ends_at {
                    self.leases.push((realm, permit, end));
                }
            } else if item["reasons"] == serde_json::json!(["approval_missing"]) && request.get("retry_of").is_none() {
                self.unapproved.push((realm, item.clone(), request.clone()));
            }
        }
    }

    fn in_range(&mut self, receipt: &Value, items: &[Value]) {
        let reader = self.reader.as_ref().unwrap();
        let receipt = RangeReceipt::from_json(receipt.to_string().as_bytes()).unwrap();
        let head = SignedCheckpoint::open(&receipt.checkpoint, reader.verifier_key(), reader.origin()).unwrap();
        let head = head.checkpoint();
        assert!(head.size <= reader.size(), "a head that is not published");
        let own: Vec<&Value> = items.iter().filter(|item| item.get("receipt").is_none()).collect();
        let mut leaves: Vec<(u64, Vec<u8>)> = own
            .iter()
            .map(|item| (item["index"].as_u64().unwrap(), unb64(item["record"].as_str().unwrap()).unwrap()))
            .collect();
        leaves.sort();
        leaves.dedup();
        let hashes: Vec<_> = leaves.iter().map(|(_, leaf)| leaf_hash(leaf)).collect();
        assert_eq!((leaves[0].0, leaves.len() as u64), (receipt.first, receipt.count));
        verify_range(receipt.first, &hashes, head.size, &receipt.proof, &head.root).unwrap();
        self.kept.extend(leaves.into_iter().map(|(index, leaf)| Kept { index, leaf }));
    }

    /// The same request under the same key is the same permit for a day.
    fn repeated(&mut self, realm: &'static str, key: &str, request: &Value, permit: &str, at_ms: u64) {
        let known = self.keyed.entry((realm, key.to_owned()));
        let (first, before, asked_ms) = known.or_insert_with(|| (request.clone(), permit.to_owned(), at_ms));
        if before == permit {
            assert_eq!(first, request, "one permit for two requests");
            return;
        }
        // Asked for when the key was not forgotten yet, for certain: a clock may have led by a second.
        let young = self.now_ms.saturating_sub(*asked_ms) < IDEMPOTENCY_MS - 60_000;
        assert!(!young, "a second permit under one key");
        (*first, *before, *asked_ms) = (request.clone(), permit.to_owned(), at_ms);
    }
}
