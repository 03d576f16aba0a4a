//! A request that must be denied is tried all the time; if it were not, nothing would be allowed any more.

use std::time::Duration;

use authorizer::canary::{self, Canary};
use authorizer::engine::{Facts, Published};
use authorizer::proposal::Work;
use serde_json::json;
use tokio::sync::oneshot;
use verifier::act::Power;
use verifier::epoch::EpochContent;
use verifier::request::Request;

use crate::support::{POLICIES, Site};

fn read() -> serde_json::Value {
    json!({"subject": {"type": "User", "id": "ann"}, "action": {"name": "read"}, "resource": {"type": "Doc", "id": "1"}})
}

/// Hands a canary over that the worker found as the policies find it.
fn sing(site: &Site, request: Request) -> oneshot::Receiver<()> {
    let mut policies: Vec<_> = POLICIES.iter().map(|(id, text)| ((*id).to_owned(), (*text).to_owned())).collect();
    policies.sort();
    let content = EpochContent { policies, schema: None, entities: None, trust: None };
    let shared = site.service.as_ref().unwrap().shared();
    let facts = Facts::unsigned(canary::REALM, "canary", shared.now().at_ms);
    let verdict = Published::new(content).unwrap().replica().unwrap().decide(&request, &facts);
    let (denied, answer) = oneshot::channel();
    shared.queue.push_beside(Work::Canary(Box::new(Canary { request, verdict, denied }))).unwrap();
    answer
}

#[test]
fn a_service_is_ready_once_a_canary_was_denied_and_no_canary_is_ever_recorded() {
    let site = Site::new();
    let size = site.size();
    assert_eq!(site.call("GET", "/readyz", &[], b"").status, 200);
    let denied = sing(&site, canary::request().unwrap());
    denied.blocking_recv().unwrap();
    let shared = site.service.as_ref().unwrap().shared();
    let epoch = shared.live.load().epoch;
    assert!(shared.canaries.age(epoch).is_some());
    assert_eq!(shared.canaries.age(epoch + 1), None, "what was denied under one epoch says nothing of another");
    assert_eq!(site.size(), size);
}

#[test]
fn after_a_canary_that_is_not_denied_nothing_is_allowed_any_more() {
    let site = Site::new();
    assert_eq!(site.decide(&read())["decision"], true);
    let size = site.size();
    // What the policies allow, as if the canary were: it passes the worker and the log's end.
    let allowed = sing(&site, Request::parse(read().to_string().as_bytes()).unwrap());
    assert!(allowed.blocking_recv().is_err(), "it was not denied");
    let service = site.service.as_ref().unwrap();
    let mut waited = Duration::ZERO;
    while service.fault().is_none() && waited < Duration::from_secs(10) {
        std::thread::sleep(Duration::from_millis(5));
        waited += Duration::from_millis(5);
    }
    assert_eq!(service.fault(), Some("a request that must be denied was about to be allowed"));
    let answer = site.post("/v1/decisions", &read());
    assert_eq!((answer.status, site.size()), (503, size), "{}", answer.text());
    assert_eq!(site.call("GET", "/readyz", &[], b"").status, 503);
}

#[test]
fn a_canary_that_the_worker_would_allow_is_noticed_although_the_sequencer_denies_it() {
    let site = Site::new();
    // Throwing the switch makes the sequencer deny everything.
    assert_eq!(site.switch(1, "global", Power::Halt).status, 200);
    let allowed = sing(&site, Request::parse(read().to_string().as_bytes()).unwrap());
    assert!(allowed.blocking_recv().is_err());
}
