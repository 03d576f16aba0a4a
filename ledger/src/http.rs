//! The public read API (DESIGN §7.2): what strangers need to follow the log and to check it, without a key.
//!
//! Guarantees: only GET and HEAD, and POST of a list that is too long for a query; nothing above the published size, which each answer takes
//! once; every parameter has one spelling and a limit; private parts of decisions only where the realm was `public`. Errors are RFC 9457
//! problems with a [`Code`] from a closed list.
//! Does not: vouch for anything. What it serves is checked by the reader with a key that came from elsewhere.

mod answer;
mod bundles;
mod coding;
mod dictionary;
mod documents;
mod entries;
mod epochs;
pub mod habits;
mod openapi;
mod page;
mod problem;
mod proofs;
mod query;
mod records;
mod site;
mod tiles;

use std::fmt;
use std::rc::Rc;
use std::sync::Arc;

use actix_web::dev::{AppService, HttpServiceFactory};
use actix_web::guard::Guard;
use actix_web::middleware::DefaultHeaders;
use actix_web::{Resource, Route, guard, web};

pub use openapi::{Document, Method, Operation, document, object, path, query, read_path, reference, such_as};
pub use problem::Code;
pub use records::PrivateView;

use coding::Cache;

use crate::Reader;

/// What the public listener shows. Make one, share it among the workers.
pub struct Public {
    /// The log.
    pub reader: Reader,
    /// The indexes of all closing `epoch` records in log order, the first epoch's first. Epoch numbers count from 1, so the n-th one
    /// closes epoch n. Indexes above the published size are ignored.
    pub epochs: Box<dyn Fn() -> Arc<[u64]> + Send + Sync>,
    /// Whether the whole service is ready (DESIGN §7.3); if not, why, in words that anyone may read.
    pub ready: Box<dyn Fn() -> Result<(), String> + Send + Sync>,
    /// Metrics in OpenMetrics 1.0 text, of closed sets of labels.
    pub metrics: Box<dyn Fn() -> String + Send + Sync>,
    /// The wall clock in Unix milliseconds: how old the head is on the page.
    pub now_ms: Box<dyn Fn() -> u64 + Send + Sync>,
}

impl fmt::Debug for Public {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Public").field("origin", &self.reader.origin()).finish_non_exhaustive()
    }
}

/// Puts the read API into an app. It answers every path, so whatever else the app serves must be registered before.
pub fn configure(config: &mut web::ServiceConfig, public: Arc<Public>) {
    config.app_data(web::Data::from(public)).app_data(Rc::new(Cache::default())).service(Api);
}

/// The one table of paths.
struct Api;

impl HttpServiceFactory for Api {
    fn register(self, config: &mut AppService) {
        web::scope("")
            .wrap(headers())
            .service(at("/").route(read().to(page::page)))
            .service(site::paths().map(|path| at(path).route(read().to(site::serve))).collect::<Vec<_>>())
            .service(at("/checkpoint").route(read().to(tiles::checkpoint)))
            // Prefixes: matching a pattern was 4 % of what the server does for a tile.
            .service(web::scope("/tile").guard(reading()).default_service(web::to(tiles::resource)))
            .service(web::scope("/tile").default_service(web::to(problem::method_not_allowed)))
            .service(at("/v1/log").route(read().to(records::log)))
            .service(at("/v1/entries").route(read().to(entries::list)))
            .service(at("/v1/entries/{index}").route(read().to(records::entry)))
            .service(at("/v1/requests/{index}").route(read().to(records::request)))
            .service(at("/v1/receipts/{id}").route(read().to(proofs::receipt)))
            .service(at("/v1/proofs/inclusion").route(read().to(proofs::inclusion)))
            .service(at("/v1/proofs/consistency").route(read().to(proofs::consistency)))
            .service(at("/v1/checkpoints").route(read().to(proofs::checkpoints)))
            .service(
                web::resource("/v1/bundles")
                    .route(read().to(bundles::get))
                    .route(web::post().to(bundles::post))
                    .default_service(web::to(bundles::other_method)),
            )
            .service(at("/v1/dictionaries/{digest}").route(read().to(dictionary::dictionary)))
            .service(at("/v1/epochs").route(read().to(epochs::list)))
            .service(at("/v1/epochs/{epoch}").route(read().to(epochs::content)))
            .service(at("/openapi.json").route(read().to(openapi::serve)))
            .service(at("/livez").route(read().to(page::live)))
            .service(at("/readyz").route(read().to(page::ready)))
            .service(at("/metrics").route(read().to(page::metrics)))
            .default_service(web::to(problem::unknown_path))
            .register(config);
    }
}

/// What every answer of the public listener says.
#[must_use]
pub fn headers() -> DefaultHeaders {
    DefaultHeaders::new()
        .add(("Access-Control-Allow-Origin", "*"))
        .add(("Access-Control-Expose-Headers", "ETag, Link, Use-As-Dictionary"))
        .add(("Cross-Origin-Resource-Policy", "cross-origin"))
        .add(("X-Content-Type-Options", "nosniff"))
}

/// A path that knows GET and HEAD only.
#[must_use]
pub fn at(path: &str) -> Resource {
    web::resource(path).default_service(web::to(problem::method_not_allowed))
}

/// The route of GET and HEAD.
#[must_use]
pub fn read() -> Route {
    web::route().guard(reading())
}

fn reading() -> impl Guard {
    guard::Any(guard::Get()).or(guard::Head())
}
