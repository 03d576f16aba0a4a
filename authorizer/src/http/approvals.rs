//! `POST /v1/approvals`: a person's consent to a denied decision, signed, answered when durable.
//!
//! Guarantees: the approval is by approvers of the epoch in force, none of whom asked, for a decision of this log that was denied, over
//! exactly what was asked there. Who approves is said by the signature, never by the caller. Does not: decide; the request comes again.

use actix_web::web::{Data, Payload};
use actix_web::{HttpRequest, HttpResponse};
use serde_json::json;
use verifier::approval::core_digest;
use verifier::decision::Outcome;
use verifier::note::VerifierKey;
use verifier::record::{MAX_NOTE, Record};
use verifier::request::Request;
use verifier::text::rfc3339;

use super::body;
use super::problem::{Code, Problem};
use super::routes::{admin, respond, unfrozen};
use crate::approval::NotGiven;
use crate::state::approvals::Untaken;
use crate::traces::{self, Recorded, Step};
use crate::worker::Worker;

pub(super) async fn approve(worker: Data<Worker>, request: HttpRequest, payload: Payload) -> HttpResponse {
    respond(try_approve(&worker, &request, payload).await)
}

async fn try_approve(worker: &Worker, request: &HttpRequest, payload: Payload) -> Result<HttpResponse, Problem> {
    let caller = admin(worker, request)?;
    unfrozen(worker)?;
    if !body::content_is(request, "text/plain") {
        return Err(Code::ContentType.into());
    }
    let budget = &worker.shared().admin_budget;
    let (body, _share) = body::read(budget, &caller, request, payload, MAX_NOTE, body::BODY_DEADLINE).await?;
    let parsing = traces::step(Step::Parse);
    let note = std::str::from_utf8(&body).map_err(|_| Code::InvalidUtf8)?;
    let (given, governance) = worker.open_approval(note)??;
    let invalid = |why: &str| Problem::from(Code::InvalidApproval).because(why.to_owned());
    let approval = given.approval();
    let reader = &worker.shared().reader;
    let unknown = || invalid("there is no such decision in this realm");
    let index = reader.permit(&approval.decision).map_err(|_| Code::Unavailable)?.ok_or_else(unknown)?;
    let Ok(Record::Decision(decision)) = reader.record(index) else { return Err(unknown()) };
    if decision.realm != approval.realm {
        return Err(unknown());
    }
    if decision.outcome == Outcome::Allow {
        return Err(Problem::from(Code::ApprovalConflict).because("the decision was not denied".to_owned()));
    }
    let private = reader.private(index).map_err(|_| unknown())?;
    let asked = Request::parse(&private.request).map_err(|_| unknown())?;
    if core_digest(&private.request_salt, &asked) != Some(approval.core) {
        return Err(invalid("it approves something else than what was asked there"));
    }
    let subject = (asked.subject.kind.as_str(), asked.subject.id.as_str());
    if worker.is_approver_of(given.keys(), subject)? {
        return Err(Code::SelfApproval.into());
    }
    let approvers: Vec<String> = given.keys().iter().map(|key| VerifierKey::name(key).to_owned()).collect();
    let (decision, realm) = (approval.decision.to_string(), approval.realm.clone());
    drop(parsing);
    let stated = worker.approve(&caller, given, governance).await?;
    traces::recorded(|| Recorded {
        // It names the decision that it is of.
        committed: worker.is_committed(&realm).then_some(true),
        ..Recorded::of(stated.record().kind_name(), stated.index())
    });
    Ok(HttpResponse::Created().json(json!({
        "index": stated.index(),
        "recorded_at": rfc3339(stated.record().recorded_at()),
        "decision": decision,
        "approvers": approvers,
        "checkpoint": stated.head().note,
    })))
}

impl From<NotGiven> for Problem {
    fn from(not: NotGiven) -> Self {
        let code = match not {
            NotGiven::Signature => Code::NotAnApprover,
            NotGiven::Malformed => Code::InvalidApproval,
            NotGiven::Origin => Code::WrongOrigin,
        };
        Problem::from(code).because(not.to_string())
    }
}

impl From<Untaken> for Problem {
    fn from(untaken: Untaken) -> Self {
        let (code, why) = match untaken {
            Untaken::Expiry => (Code::InvalidApproval, "it is void, or holds for longer than 24 hours"),
            Untaken::Given => (Code::ApprovalConflict, "this approver approved the decision before"),
            Untaken::Used => (Code::ApprovalConflict, "the approvals of this decision are used"),
            Untaken::Other => (Code::InvalidApproval, "earlier approvals of this decision are for something else"),
            Untaken::Full => (Code::Overloaded, "as many approvals as are kept are open"),
        };
        Problem::from(code).because(why.to_owned())
    }
}
