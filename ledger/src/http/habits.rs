//! What paths beside the read API need, so that they answer as it does: the listener is one, whoever put a path there.
//!
//! Guarantees: the same problems with the same codes, the same spelling of parameters, validators, codings and headers. Register such a path
//! before [`configure`](super::configure), with [`at`], [`read`] and [`headers`].

pub use super::answer::{HTML, JSON, chosen_by_accept, fresh, fresh_json, negotiate};
pub use super::documents::Verdicts;
pub use super::page::{age, escape};
pub use super::problem::{Code, Problem};
pub use super::proofs::find;
pub use super::query::{Query, last_segment};
pub use super::site::secure;
pub use super::{at, headers, read};
