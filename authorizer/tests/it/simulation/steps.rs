//! What may happen next: callers ask, an administrator acts, time passes, the clock steps, the disk will fail.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use actix_web::test::TestRequest;
use authorizer::canary;
use authorizer::clock::Source;
use authorizer::engine::Published;
use authorizer::governance::{NewEpoch, Proposed};
use ledger::storage::ram::{Fault, Op, Rule};
use rand::RngExt;
use serde_json::{Value, json};
use tokio::sync::oneshot;
use verifier::act::{Deed, Mode, Power, Revoked};

use super::callers::{Answering, Asked, Callers};
use super::process::WORKERS;
use super::requests::{self, TARGETS};
use super::world::World;
use crate::support::{Answer, bearer, read, with};

/// Calls under way at once: enough to fill batches and to be several in every race.
const CALLS: usize = 6;

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
        let (realm, key) = &self.keys[usize::from(callers.random.random_bool(0.2))];
        let post = |path: &str, kind: &str, key: &str, body: Vec<u8>| {
            let request = TestRequest::post().uri(path).insert_header(("Authorization", bearer(key)));
            http(request.insert_header(("Content-Type", kind)).set_payload(body).to_request())
        };
        let (asked, answering) = match callers.random.random_range(0..100) {
            0..55 => {
                let many = if callers.random.random_bool(0.25) { callers.random.random_range(2..5) } else { 1 };
                let Callers { random, permits, asked_before, .. } = callers;
                let mut requests = Vec::new();
                for _ in 0..many {
                    let again = (!asked_before.is_empty()).then(|| random.random_range(0..asked_before.len()));
                    let request = requests::request(random, permits, again.map(|at| &asked_before[at]));
                    if request.get("idempotency_key").is_some() {
                        asked_before.push_back(request.clone());
                        asked_before.drain(..asked_before.len().saturating_sub(8));
                    }
                    requests.push(request);
                }
                let range = callers.random.random_bool(0.3);
                let body = if many == 1 { requests[0].to_string() } else { json!(requests).to_string() };
                let path = if range { "/v1/decisions?receipt=range" } else { "/v1/decisions" };
                let answering = post(path, "application/json", key, body.into_bytes());
                (Asked::Decisions { realm, requests, range }, answering)
            }
            55..75 if !callers.leases.is_empty() => {
                let recent = callers.leases.len().saturating_sub(4);
                let at = callers.random.random_range(recent..callers.leases.len());
                let (realm, permit, ends_at) = callers.leases[at].clone();
                let key = &self.keys.iter().find(|(name, _)| *name == realm).unwrap().1;
                let note = requests::event(&mut callers.random, &permit, ends_at);
                let path = format!("/v1/executions/{permit}/events");
                (Asked::Event { permit }, post(&path, "text/plain", key, note.into_bytes()))
            }
            75..80 if !callers.permits.is_empty() => {
                let at = callers.random.random_range(0..callers.permits.len());
                let request = TestRequest::get().uri(&format!("/v1/permits/{}", callers.permits[at]));
                (Asked::Permit, http(request.insert_header(("Authorization", bearer(key))).to_request()))
            }
            80..84 => {
                let body = requests::statement(&mut callers.random);
                (Asked::Statement, post("/v1/statements", "application/octet-stream", key, body))
            }
            84..90 if !callers.unapproved.is_empty() => {
                let at = callers.random.random_range(0..callers.unapproved.len());
                let (realm, denied, request) = callers.unapproved.swap_remove(at);
                let note = requests::approval(&denied, &request, realm, callers.now_ms);
                let mut retry = request;
                retry["retry_of"] = denied["permit"].clone();
                retry.as_object_mut().unwrap().remove("idempotency_key");
                let answering = post("/v1/approvals", "text/plain", &requests::admin_key(), note.into_bytes());
                (Asked::Approval { realm, retry }, answering)
            }
            90..96 if !callers.retries.is_empty() => {
                let (realm, retry) = callers.retries[callers.random.random_range(0..callers.retries.len())].clone();
                let key = &self.keys.iter().find(|(name, _)| *name == realm).unwrap().1;
                let answering = post("/v1/decisions", "application/json", key, retry.to_string().into_bytes());
                (Asked::Decisions { realm, requests: vec![retry], range: false }, answering)
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

    pub(super) async fn advance(&mut self) {
        let ms = match self.pick(100) {
            0..80 => 1 + self.pick(200),
            80..97 => 1 + self.pick(20_000),
            97..99 => 1 + self.pick(600_000),
            _ => 1 + self.pick(30 * 3_600_000),
        };
        self.pass(ms).await;
    }

    pub(super) async fn pass(&mut self, ms: u64) {
        self.clock.advance(ms);
        self.callers.borrow_mut().now_ms += ms;
        tokio::time::advance(Duration::from_millis(ms)).await;
        self.tell(&format!("{ms} ms pass"));
    }

    /// The wall clock alone steps, or is set right again.
    pub(super) fn step_clock(&mut self) {
        let to = match self.pick(5) {
            _ if self.off_ms != 0 => 0,
            0 => 5 * 365 * 24 * 3_600_000,
            1 => 900,
            2 => -900,
            3 => -5_000,
            _ => 0,
        };
        let right = self.clock.wall_ms().saturating_add_signed(-self.off_ms);
        self.clock.step_to(right.saturating_add_signed(to));
        self.off_ms = to;
        self.tell(&format!("the clock is off by {to} ms"));
        self.count("steps of the clock");
    }

    pub(super) fn set_clock_right(&mut self) {
        let right = self.clock.wall_ms().saturating_add_signed(-self.off_ms);
        self.clock.step_to(right);
        self.off_ms = 0;
    }

    /// An administrator's act; some follow a version that is over when they come.
    pub(super) fn govern(&mut self) {
        let Some(process) = &self.process else { return };
        let follows = process.shared.live.load().governance;
        if follows == 0 || self.pick(6) == 0 {
            return self.publish();
        }
        let mut callers = self.callers.borrow_mut();
        let callers = &mut *callers;
        let revoke = callers.random.random_bool(0.3) && !callers.permits.is_empty();
        let (path, deed) = if revoke {
            let recent = callers.permits.len().saturating_sub(8);
            let at = callers.random.random_range(recent..callers.permits.len());
            let permit = callers.permits[at].parse().unwrap();
            ("/v1/revocations", Deed::Revocation { what: Revoked::Permit(permit), reason: "drill".into() })
        } else {
            // Released more often than thrown: a world that is halted decides nothing.
            let target = TARGETS[callers.random.random_range(0..TARGETS.len())];
            let power = if callers.random.random_bool(0.15) { Power::Halt } else { Power::Run };
            ("/v1/switches", requests::switch(target, power))
        };
        let request = TestRequest::post().uri(path).insert_header(("Authorization", bearer(&requests::admin_key())));
        let request = request.insert_header(("Content-Type", "text/plain")).set_payload(requests::act(follows, deed));
        callers.begin(Asked::Act, (process.http[0])(request.to_request()));
    }

    /// So many callers ask for what the first epoch allows.
    pub(super) fn ask(&mut self, count: usize) {
        let process = self.process.as_ref().unwrap();
        let mut callers = self.callers.borrow_mut();
        for n in 0..count {
            let who = ["alice", "bob", "carol"][n % 3];
            let fields = json!({ "subject": { "type": "Agent", "id": who }, "context": { "cents": 1 } });
            let body = with(read(&n.to_string()), fields);
            let request =
                TestRequest::post().uri("/v1/decisions").insert_header(("Authorization", bearer(&self.keys[0].1)));
            let request = request.insert_header(("Content-Type", "application/json")).set_payload(body.to_string());
            let asked = Asked::Decisions { realm: "main", requests: vec![body], range: false };
            callers.begin(asked, (process.http[n % WORKERS])(request.to_request()));
        }
    }

    /// The administrator throws the kill switch.
    pub(super) fn halt(&mut self) {
        let process = self.process.as_ref().unwrap();
        let follows = process.shared.live.load().governance;
        let note = requests::act(follows, requests::switch("global", Power::Halt));
        let request =
            TestRequest::post().uri("/v1/switches").insert_header(("Authorization", bearer(&requests::admin_key())));
        let request = request.insert_header(("Content-Type", "text/plain")).set_payload(note);
        self.callers.borrow_mut().begin(Asked::Act, (process.http[0])(request.to_request()));
    }

    /// The next epoch, straight into the governance lane: building its engines leaves this thread when it comes over HTTP.
    pub(super) fn publish(&mut self) {
        let Some(process) = &self.process else { return };
        let live = process.shared.live.load();
        let (follows, number) = (live.governance, live.epoch + 1);
        let content = requests::content(number);
        let document = content.encode();
        let deed = Deed::Epoch { number, content: content.digest(), mode: Mode::Live };
        let verified = self.governors.open(&requests::act(follows, deed)).unwrap();
        let published = Published::new(content).unwrap();
        let engines = Arc::new((0..WORKERS).map(|_| Mutex::new(published.replica().unwrap())).collect());
        let (reply, answer) = oneshot::channel();
        let epoch = Some(NewEpoch { document, engines, predecessor: None });
        let pushed = process.shared.queue.push_act(Proposed { verified, epoch, trace: None, reply }).is_ok();
        let answering = Box::pin(async move {
            let said = |status: u16, body: Value| Answer { status, head: String::new(), body: body.to_string().into() };
            match answer.await {
                Ok(Ok(recorded)) if pushed => said(
                    200,
                    json!({ "index": recorded.index, "governance": recorded.governance, "checkpoint": recorded.head.note }),
                ),
                Ok(Err(_)) => said(409, json!({ "status": 409, "code": "governance_conflict" })),
                Ok(Ok(_)) | Err(_) => said(503, json!({ "status": 503, "code": "unavailable" })),
            }
        });
        self.callers.borrow_mut().begin(Asked::Act, answering);
    }

    /// The disk will fail, once, some operations from now.
    pub(super) fn plan_fault(&mut self) {
        use std::io::ErrorKind;
        let path = self.one_of(&["journal", "vault", ".memory"]).to_owned();
        let (op, fault) = match self.pick(9) {
            0 => (Op::Sync, Fault::Fail(ErrorKind::Other)),
            1 => (Op::Sync, Fault::FailKept(ErrorKind::Other)),
            2 => (Op::Sync, Fault::Torn { error: ErrorKind::Other, seed: self.pick(1_000) }),
            3 => (Op::Sync, Fault::Kill),
            4 => (Op::Write, Fault::Fail(ErrorKind::StorageFull)),
            5 => (Op::Write, Fault::FailKept(ErrorKind::Other)),
            6 => (Op::Write, Fault::Short { error: ErrorKind::StorageFull, kept: true }),
            7 => (Op::Write, Fault::Short { error: ErrorKind::StorageFull, kept: false }),
            _ => (Op::Write, Fault::Kill),
        };
        let nth = self.pick(4);
        self.tell(&format!("{op:?} of {path} will meet {fault:?} after {nth}"));
        self.count("faults planned");
        self.ram.fault(Rule { op: Some(op), path, nth, fault });
    }
}
