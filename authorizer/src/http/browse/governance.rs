//! `GET /v1/governance` on the public listener: what is in force, and the acts that made it so, newest first.
//!
//! Guarantees: nothing that the log does not hold; acts are found by bisection (`browse/acts.rs`), so that one look is bounded. Of an archive,
//! whose acts nobody has checked, it tells the acts, and of what is in force nothing: that is `null`.

use actix_web::web::Data;
use actix_web::{HttpRequest, HttpResponse};
use ledger::http::habits::{Problem, Query, fresh_json};
use serde::Serialize;

use super::Looking;
use super::view::ActView;
use crate::browse::{self, Acts, MAX_ACTS};
use crate::http::lineage::Teller;

/// Acts in one answer, if nobody says how many.
const LIMIT: u64 = 32;

#[derive(Serialize)]
struct View<'a> {
    origin: &'a str,
    size: u64,
    /// The version that the log ends with; `null` where that cannot be told from its last records.
    governance: Option<u64>,
    in_force: Option<InForce>,
    acts: Vec<ActView<'a>>,
    /// Where to go on, as `before`; `null` at the end.
    next: Option<u64>,
}

#[derive(Serialize)]
struct InForce {
    /// 0 before the first.
    epoch: u64,
    newest_epoch: u64,
    /// The epoch that is tried in its shadow.
    candidate: Option<u64>,
    /// What is stopped: the targets of switches that are thrown.
    halted: Vec<String>,
    /// What compiled policies decided was found to differ: plain Cedar decides.
    by_plain: bool,
    frozen: bool,
}

impl InForce {
    fn of(teller: &Teller) -> Option<(u64, Self)> {
        let Teller::Service(shared) = teller else { return None };
        let live = shared.live.load();
        let in_force = Self {
            epoch: live.epoch,
            newest_epoch: live.epochs.len() as u64,
            candidate: live.candidate.as_ref().map(|candidate| candidate.epoch),
            halted: live.switches.halted(),
            by_plain: live.by_plain,
            frozen: live.frozen,
        };
        Some((live.governance, in_force))
    }
}

pub(super) async fn show(request: HttpRequest, looking: Data<Looking>) -> Result<HttpResponse, Problem> {
    let query = Query::read(&request, &["before", "limit"])?;
    let (before, limit) = (query.number("before")?, query.number("limit")?.unwrap_or(LIMIT));
    if !(1..=MAX_ACTS).contains(&limit) {
        return Err(Problem::malformed("limit", &format!("a number from 1 to {MAX_ACTS}")));
    }
    // What is in force is taken before the size: an act that is in force stands in the log.
    let (known, in_force) = InForce::of(&looking.teller).unzip();
    let reader = looking.teller.reader().clone();
    let size = reader.size();
    let looked = move || {
        let version = known.map_or_else(|| browse::newest(&reader, size), |version| Ok(Some(version)))?;
        let first = version.map(|version| before.map_or(version, |before| before.saturating_sub(1).min(version)));
        let acts = first.map_or(Ok(Acts::default()), |first| browse::acts(&reader, first, limit, size))?;
        Ok((version, acts))
    };
    let (governance, Acts { acts, next }) = looking.look(looked).await?;
    let origin = looking.teller.reader().origin();
    let next = next.map(|version| version + 1);
    let acts = acts.iter().map(ActView::new).collect();
    fresh_json(&request, &View { origin, size, governance, in_force, acts, next }).await
}
