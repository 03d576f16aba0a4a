//! The listeners: the decision API of DESIGN §7.1 over HTTP/1.1, and the ledger's public read API beside it.

mod approvals;
mod authzen;
mod body;
mod browse;
mod connection;
mod dashboard;
mod decisions;
mod descriptors;
mod executions;
mod governance;
mod health;
mod history;
mod keys;
mod lineage;
mod listener;
mod metadata;
mod openapi;
mod permits;
mod private;
mod problem;
mod routes;
mod sandbox;
mod search;
mod server;
mod signature;
mod state;
mod statements;

pub use body::{BODY_DEADLINE, Budget, MAX_BODY, MAX_ITEMS, MAX_READING};
pub use descriptors::{Room, TooFew};
pub(crate) use governance::shown;
pub use metadata::{BaseUrl, Metadata};
pub use openapi::document as openapi;
pub use problem::Code;
pub use routes::configure;
pub use server::{NotListening, PUBLIC_WORKERS, Servers};
