//! The private listener: the decision API of DESIGN §7.1 over HTTP/1.1.

mod authzen;
mod body;
mod decisions;
mod governance;
mod health;
mod keys;
mod permits;
mod problem;
mod routes;

pub use body::{BODY_DEADLINE, MAX_BODY, MAX_ITEMS};
pub(crate) use governance::engines;
pub use problem::Code;
pub use routes::configure;
