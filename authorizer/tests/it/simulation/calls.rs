//! What callers ask next: whatever the decision API takes of a service, over what was answered before.

use actix_web::test::TestRequest;
use authorizer::canary;
use rand::RngExt;
use serde_json::{Value, json};

use super::callers::{Answering, Asked, Callers};
use super::epochs;
use super::process::WORKERS;
use super::requests::{self, SignedBody};
use super::world::{Caller, World};
use crate::signing::NATIVE;
use crate::support::{Answer, bearer, read, with};

/// Calls under way at once: enough to fill batches and to be several in every race.
const CALLS: usize = 6;
/// Requests of a body at the most.
pub const MOST_REQUESTS: u64 = 4;
/// Bodies with keys and signed bodies that are remembered, to be sent again.
const REMEMBERED: usize = 8;

impl World {
    /// A caller asks for something.
    pub(super) fn begin(&mut self) {
        let Some(process) = &self.process else { return };
        let mut callers = self.callers.borrow_mut();
        let callers = &mut *callers;
        if callers.under_way() >= CALLS {
            return;
        }
        let at = callers.random.random_range(0..process.http.len());
        let (http, worker) = (process.http[at].clone(), process.workers[at].clone());
        let caller = if callers.random.random_bool(0.2) { Caller::Other } else { Caller::Main };
        let post = |path: &str, kind: &str, key: &str, body: Vec<u8>, fields: &[(&'static str, String)]| {
            let request = TestRequest::post().uri(path).insert_header(("Authorization", bearer(key)));
            let request = request.insert_header(("Content-Type", kind)).set_payload(body);
            let with = |request: TestRequest, (name, value): &(&'static str, String)| {
                request.insert_header((*name, value.as_str()))
            };
            http(fields.iter().fold(request, with).to_request())
        };
        let native = |key: &str, body: String, range: bool, fields: &[(&'static str, String)]| {
            let path = if range { "/v1/decisions?receipt=range" } else { NATIVE };
            post(path, "application/json", key, body.into_bytes(), fields)
        };
        let in_realm = |realm: &str| {
            let caller = if realm == "other" { Caller::Other } else { Caller::Main };
            self.key(caller).secret.as_str()
        };
        let (asked, answering) = match callers.random.random_range(0..100) {
            0..38 => {
                let requests = several(callers);
                let range = callers.random.random_bool(0.3);
                let answering = native(&self.key(caller).secret, body_of(&requests), range, &[]);
                (Asked::Decisions { realm: caller.realm(), requests, range, limited: false }, answering)
            }
            // Under a key that may take little, or one that may be taken back.
            38..48 => {
                let limited = callers.random.random_bool(0.7);
                let mut requests = several(callers);
                for request in &mut requests {
                    // Idempotency is by key: theirs would be other requests under the same names.
                    request.as_object_mut().unwrap().remove("idempotency_key");
                    if limited {
                        callers.asked_limited += 1;
                        request["resource"]["id"] = format!("q{}", callers.asked_limited).into();
                    }
                }
                let caller = if limited { Caller::Limited } else { Caller::Spare };
                let answering = native(&self.key(caller).secret, body_of(&requests), false, &[]);
                (Asked::Decisions { realm: caller.realm(), requests, range: false, limited }, answering)
            }
            48..55 => {
                let SignedBody { requests, body, fields } = signed(callers);
                // Who has seen it may be anybody: nonces hold across realms.
                let answering = native(&self.key(caller).secret, body, false, &fields);
                (Asked::Decisions { realm: caller.realm(), requests, range: false, limited: false }, answering)
            }
            55..75 if !callers.leases.is_empty() => {
                let recent = callers.leases.len().saturating_sub(4);
                let at = callers.random.random_range(recent..callers.leases.len());
                let (realm, permit, ends_at) = callers.leases[at].clone();
                let note = requests::event(&mut callers.random, &permit, ends_at);
                let path = format!("/v1/executions/{permit}/events");
                (Asked::Event { permit }, post(&path, "text/plain", in_realm(realm), note.into_bytes(), &[]))
            }
            75..80 if !callers.permits.is_empty() => {
                let at = callers.random.random_range(0..callers.permits.len());
                let request = TestRequest::get().uri(&format!("/v1/permits/{}", callers.permits[at]));
                let authorization = bearer(&self.key(caller).secret);
                (Asked::Permit, http(request.insert_header(("Authorization", authorization)).to_request()))
            }
            80..84 => {
                let body = requests::statement(&mut callers.random);
                let key = &self.key(caller).secret;
                (Asked::Statement, post("/v1/statements", "application/octet-stream", key, body, &[]))
            }
            84..90 if !callers.unapproved.is_empty() => {
                let at = callers.random.random_range(0..callers.unapproved.len());
                let (realm, denied, request) = callers.unapproved.swap_remove(at);
                let note = requests::approval(&denied, &request, realm, callers.now_ms);
                let mut retry = request;
                retry["retry_of"] = denied["permit"].clone();
                retry.as_object_mut().unwrap().remove("idempotency_key");
                let answering = post("/v1/approvals", "text/plain", &epochs::admin_key(), note.into_bytes(), &[]);
                (Asked::Approval { realm, retry }, answering)
            }
            90..96 if !callers.retries.is_empty() => {
                let (realm, retry) = callers.retries[callers.random.random_range(0..callers.retries.len())].clone();
                let answering = native(in_realm(realm), retry.to_string(), false, &[]);
                (Asked::Decisions { realm, requests: vec![retry], range: false, limited: false }, answering)
            }
            _ => (
                Asked::Canary,
                Box::pin(async move {
                    canary::send(&worker).await;
                    Answer { status: 200, head: String::new(), body: Vec::new() }
                }) as Answering,
            ),
        };
        callers.begin(asked, answering);
    }

    /// So many callers ask for what the first epoch allows.
    pub(super) fn ask(&mut self, count: usize) {
        let process = self.process.as_ref().unwrap();
        let mut callers = self.callers.borrow_mut();
        for n in 0..count {
            let who = ["alice", "bob", "carol"][n % 3];
            let fields = json!({ "subject": { "type": "Agent", "id": who }, "context": { "cents": 1 } });
            let body = with(read(&n.to_string()), fields);
            let authorization = bearer(&self.key(Caller::Main).secret);
            let request = TestRequest::post().uri(NATIVE).insert_header(("Authorization", authorization));
            let request = request.insert_header(("Content-Type", "application/json")).set_payload(body.to_string());
            let asked = Asked::Decisions { realm: "main", requests: vec![body], range: false, limited: false };
            callers.begin(asked, (process.http[n % WORKERS])(request.to_request()));
        }
    }
}

fn body_of(requests: &[Value]) -> String {
    match requests {
        [one] => one.to_string(),
        many => json!(many).to_string(),
    }
}

/// One request, or a few.
fn several(callers: &mut Callers) -> Vec<Value> {
    let many = if callers.random.random_bool(0.25) { callers.random.random_range(2..=MOST_REQUESTS) } else { 1 };
    let Callers { random, permits, asked_before, now_ms, .. } = callers;
    let mut requests = Vec::new();
    for _ in 0..many {
        let again = (!asked_before.is_empty()).then(|| random.random_range(0..asked_before.len()));
        let request = requests::request(random, permits, again.map(|at| &asked_before[at]), *now_ms);
        if request.get("idempotency_key").is_some() {
            asked_before.push_back(request.clone());
            asked_before.drain(..asked_before.len().saturating_sub(REMEMBERED));
        }
        requests.push(request);
    }
    requests
}

/// A body that an agent signed: now, or before, whatever happened since.
fn signed(callers: &mut Callers) -> SignedBody {
    if !callers.signed_before.is_empty() && callers.random.random_bool(0.4) {
        let at = callers.random.random_range(0..callers.signed_before.len());
        return callers.signed_before[at].clone();
    }
    let requests = several(callers);
    let body = requests::signed(&mut callers.random, requests, callers.now_ms);
    callers.signed_before.push_back(body.clone());
    callers.signed_before.drain(..callers.signed_before.len().saturating_sub(REMEMBERED));
    body
}
