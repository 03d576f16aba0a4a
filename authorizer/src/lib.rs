//! What is allowed: from request to durable, signed permit. Deny is the default, the error and the timeout.

pub mod answer;
pub mod approval;
pub mod archive;
pub mod canary;
pub mod clock;
pub mod double;
pub mod engine;
pub mod engines;
pub mod execution;
pub mod fold;
pub mod governance;
pub mod http;
pub mod keys;
pub mod lineage;
pub mod live;
pub mod metrics;
pub mod notices;
pub mod present;
pub mod proposal;
pub mod queue;
pub mod quota;
pub mod replay;
pub mod sandbox;
pub mod saver;
pub mod sequencer;
pub mod service;
pub mod settle;
pub mod spare;
pub mod stages;
pub mod state;
pub mod statement;
mod sync;
pub mod traces;
pub mod worker;

pub use service::{Config, Service, StartError};
