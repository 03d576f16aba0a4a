//! What may happen beside what callers ask: an administrator acts, time passes, the clock steps, the disk will fail.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use actix_web::test::TestRequest;
use authorizer::clock::Source;
use authorizer::engine::Published;
use authorizer::governance::{NewEpoch, Proposed};
use ledger::storage::ram::{Fault, Op, Rule};
use rand::RngExt;
use serde_json::{Value, json};
use tokio::sync::oneshot;
use verifier::act::{Deed, Mode, Parts, Power, Revoked};

use super::callers::{Answering, Asked};
use super::epochs::{self, TARGETS};
use super::process::{Process, WORKERS};
use super::world::{Caller, World};
use crate::support::{Answer, bearer};

impl World {
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
        let what = match callers.random.random_range(0..100) {
            0..26 if !callers.permits.is_empty() => {
                let recent = callers.permits.len().saturating_sub(8);
                let at = callers.random.random_range(recent..callers.permits.len());
                Some(format!("permit {}", callers.permits[at]))
            }
            26..33 => Some(epochs::REVOCABLE[callers.random.random_range(0..epochs::REVOCABLE.len())].to_owned()),
            33 => Some(format!("key {}", self.key(Caller::Spare).id)),
            _ => None,
        };
        let (path, deed) = if let Some(what) = &what {
            let what = Revoked::parse(what).unwrap();
            ("/v1/revocations", Deed::Revocation { what, reason: "drill".into() })
        } else {
            // Released more often than thrown: a world that is halted decides nothing.
            let target = TARGETS[callers.random.random_range(0..TARGETS.len())];
            let power = if callers.random.random_bool(0.15) { Power::Halt } else { Power::Run };
            ("/v1/switches", epochs::switch(target, power))
        };
        let asked = match &deed {
            Deed::Revocation { what, .. } => Asked::Revocation(what.clone()),
            _ => Asked::Act,
        };
        callers.begin(asked, send_act(process, path, epochs::act(follows, deed)));
    }

    /// An administrator has parts of an old decision erased, or of one that may not be erased yet.
    pub(super) fn erase(&mut self) {
        let Some(process) = &self.process else { return };
        let follows = process.shared.live.load().governance;
        let mut callers = self.callers.borrow_mut();
        let Some(index) = self.model.any_decision(&mut callers.random) else { return };
        let parts = [Parts::Request, Parts::Detail, Parts::Both][callers.random.random_range(0..3)];
        let (ground, authority) = ("drill".into(), "the officer".into());
        let note = epochs::act(follows, Deed::Erasure { index, parts, ground, authority });
        callers.begin(Asked::Erasure { index, parts: parts.bits() }, send_act(process, "/v1/erasures", note));
    }

    /// The administrator throws the kill switch.
    pub(super) fn halt(&mut self) {
        let process = self.process.as_ref().unwrap();
        let follows = process.shared.live.load().governance;
        let note = epochs::act(follows, epochs::switch("global", Power::Halt));
        self.callers.borrow_mut().begin(Asked::Act, send_act(process, "/v1/switches", note));
    }

    /// The next epoch, now and then as a candidate, straight into the governance lane: building its engines leaves this thread when it comes over HTTP.
    pub(super) fn publish(&mut self) {
        let Some(process) = &self.process else { return };
        let live = process.shared.live.load();
        let newest = live.candidate.as_ref().map_or(live.epoch, |candidate| candidate.epoch.max(live.epoch));
        let (follows, number) = (live.governance, newest + 1);
        let mode = if number > 1 && self.chance(0.4) { Mode::Shadow } else { Mode::Live };
        let content = epochs::content(number);
        let document = content.encode();
        let deed = Deed::Epoch { number, content: content.digest(), mode };
        let verified = self.governors.open(&epochs::act(follows, deed)).unwrap();
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

fn send_act(process: &Process, path: &str, note: String) -> Answering {
    let request = TestRequest::post().uri(path).insert_header(("Authorization", bearer(&epochs::admin_key())));
    (process.http[0])(request.insert_header(("Content-Type", "text/plain")).set_payload(note).to_request())
}
