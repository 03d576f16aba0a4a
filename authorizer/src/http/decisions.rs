//! `POST /v1/decisions`: one object, an array or lines, answered in kind and in order.

use actix_web::web::{Bytes, Data, Payload};
use actix_web::{HttpRequest, HttpResponse};

use super::body::{self, Shape};
use super::problem::{Code, Problem};
use super::routes::{caller, respond, room_for, take};
use super::signature::SignedBody;
use crate::answer::{Receipts, Style, Writer};
use crate::keys::Identity;
use crate::proposal::{Durable, Stop};
use crate::stages::{Since, Stage, Stages, timed};
use crate::traces::{self, Step};
use crate::worker::{Asked, What, Worker};

const JSON: &str = "application/json";
/// Bytes of a request, roughly: a body of many times as many is a large one.
const SMALL_REQUEST: usize = 256;
const LINES: &str = "application/x-ndjson";
/// A full answer with its receipt, roughly: the buffer is reserved once.
const ANSWER_BYTES: usize = 4 * 1024;

pub(super) async fn decide(worker: Data<Worker>, request: HttpRequest, payload: Payload) -> HttpResponse {
    respond(answer(&worker, &request, payload).await)
}

async fn answer(worker: &Worker, request: &HttpRequest, payload: Payload) -> Result<HttpResponse, Problem> {
    let caller = caller(worker, request)?;
    room_for(worker, &caller)?;
    if request.headers().contains_key("idempotency-key") {
        // Whoever sends it counts on it: passed over, a retry would be a second permit.
        return Err(Code::IdempotencyHeader.into());
    }
    let style = style(request.query_string())?;
    let lines = match (body::content_is(request, JSON), body::content_is(request, LINES)) {
        (true, _) => false,
        (_, true) => true,
        (false, false) => return Err(Code::ContentType.into()),
    };
    let budget = &worker.shared().budget;
    let (body, _share) = body::read(budget, &caller, request, payload, body::MAX_BODY, body::BODY_DEADLINE).await?;
    let stages = &worker.shared().metrics.stages;
    let measured = Stages::measures(Stage::Parse, body.len() / SMALL_REQUEST);
    let parsing = traces::step(Step::Parse);
    let since = measured.then(Since::now);
    let (shape, asked) = parse(worker, request, &caller, &body, lines)?;
    drop(parsing);
    // The requests count where they are read.
    stages.add_some(Stage::Parse, 0, since.map(Since::spent));
    let decided = worker.decide(&caller, asked, Stop::Never).await.map_err(|none| {
        let problem = Problem::from(none);
        if shape == Shape::One { Problem { item: None, ..problem } } else { problem }
    })?;
    // With `Stop::Never` the whole body is one.
    let durable = decided.first().ok_or(Code::Unavailable)?;
    let _answering = traces::step(Step::Answer);
    let _turn = worker.turn(durable.items().len()).await;
    let writer = Writer { reader: &worker.shared().reader, style, desk: worker.desk() };
    // A proof that cannot be read: the records stand, but without evidence there is no answer.
    let (text, spent) = timed(measured, write(&writer, durable, shape)).await;
    let text = text.map_err(|_| Code::Unavailable)?;
    stages.add_some(Stage::Answer, durable.items().len(), spent);
    let content_type = if shape == Shape::Lines { LINES } else { JSON };
    Ok(HttpResponse::Ok().content_type(content_type).body(text))
}

/// The requests of a body, in order, each still to be read. One that is none refuses all of it: nothing is recorded before all are read.
fn parse(
    worker: &Worker,
    request: &HttpRequest,
    caller: &Identity,
    body: &Bytes,
    lines: bool,
) -> Result<(Shape, Vec<Asked>), Problem> {
    let signed = SignedBody::of(request, body)?;
    let (shape, items) = body::split(body, lines)?;
    take(worker, caller, items.len(), body.len())?;
    let signed = |n| signed.as_ref().map(|signed| signed.item(n));
    let asked = items.into_iter().enumerate().map(|(n, sent)| Asked { what: What::Sent(sent), signed: signed(n) });
    Ok((shape, asked.collect()))
}

async fn write(writer: &Writer<'_>, durable: &Durable, shape: Shape) -> Result<String, ledger::ReadError> {
    let mut out = String::with_capacity(durable.items().len().saturating_mul(ANSWER_BYTES));
    let range = writer.style.receipts == Receipts::Range;
    match shape {
        Shape::Lines => {
            writer.items(&mut out, durable, "\n").await?;
            out.push('\n');
            if range {
                out.push_str(r#"{"receipt":"#);
                writer.range(&mut out, durable)?;
                out.push_str("}\n");
            }
        }
        Shape::One | Shape::Array if range => {
            out.push_str(r#"{"results":["#);
            writer.items(&mut out, durable, ",").await?;
            out.push_str(r#"],"receipt":"#);
            writer.range(&mut out, durable)?;
            out.push('}');
        }
        Shape::One => writer.items(&mut out, durable, ",").await?,
        Shape::Array => {
            out.push('[');
            writer.items(&mut out, durable, ",").await?;
            out.push(']');
        }
    }
    Ok(out)
}

/// `?receipt=each|range|none&answer=full|brief`; anything else is refused, and so is a parameter that is
/// given twice: a typing error is not a default, and of two wishes none is the caller's.
pub(super) fn style(query: &str) -> Result<Style, Problem> {
    let (mut receipts, mut brief) = (None, None);
    for pair in query.split('&').filter(|pair| !pair.is_empty()) {
        let twice = match pair {
            "receipt=each" => receipts.replace(Receipts::Each).is_some(),
            "receipt=range" => receipts.replace(Receipts::Range).is_some(),
            "receipt=none" => receipts.replace(Receipts::None).is_some(),
            "answer=full" => brief.replace(false).is_some(),
            "answer=brief" => brief.replace(true).is_some(),
            _ => return Err(Code::InvalidQuery.into()),
        };
        if twice {
            return Err(Problem::from(Code::InvalidQuery).because("a query parameter is given twice".into()));
        }
    }
    Ok(Style { receipts: receipts.unwrap_or_default(), brief: brief.unwrap_or_default() })
}
