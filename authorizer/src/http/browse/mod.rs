//! What the public listener adds for people who look around: `/v1/decisions` and `/v1/governance`.
//!
//! Guarantees: no key is asked for and nothing is shown that the log does not disclose; looks wait for one another, and too many are turned
//! away ([`Code::Overloaded`]): each reads up to thousands of records for somebody who has no key (threat 33).

mod decisions;
mod governance;
mod view;

use std::sync::Arc;
use std::time::Duration;

use actix_web::web::{self, Data, ServiceConfig};
use ledger::ReadError;
use ledger::http::habits::{Code, Problem, at, headers, read};
use tokio::sync::Semaphore;

use super::lineage::Teller;

pub(super) use decisions::{CSV, MAX_TEXT};

/// Looks that are under way at once: they share one core with whatever else strangers ask for.
const AT_ONCE: usize = 1;
/// So long a look waits for those before it: a page asks for two or three things at once.
const PATIENCE: Duration = Duration::from_secs(2);

struct Looking {
    teller: Teller,
    turns: Arc<Semaphore>,
}

/// Puts the paths into an app, before the read API, which answers every other path.
pub(super) fn configure(config: &mut ServiceConfig, teller: Teller) {
    let looking = Data::new(Looking { teller, turns: Arc::new(Semaphore::new(AT_ONCE)) });
    let path = |pattern| at(pattern).app_data(looking.clone()).wrap(headers());
    config
        .service(path("/v1/decisions").route(read().to(decisions::list)))
        .service(path("/v1/decisions/{id}").route(read().to(decisions::one)))
        .service(path("/v1/governance").route(read().to(governance::show)));
}

impl Looking {
    /// Looks, when it is its turn. It reads files; whatever else this listener serves goes on meanwhile.
    async fn look<T: Send + 'static>(
        &self,
        look: impl FnOnce() -> Result<T, ReadError> + Send + 'static,
    ) -> Result<T, Problem> {
        let busy = || Problem::new(Code::Overloaded, "too many look around at once");
        let turn = tokio::time::timeout(PATIENCE, self.turns.clone().acquire_owned()).await.map_err(|_| busy())?;
        let turn = turn.map_err(|_| busy())?;
        // The turn lasts as long as the look, also where nobody waits for it any more.
        let look = move || {
            let _turn = turn;
            look()
        };
        let looked =
            web::block(look).await.map_err(|_| Problem::new(Code::Unavailable, "the log cannot be read now"))?;
        Ok(looked?)
    }
}
