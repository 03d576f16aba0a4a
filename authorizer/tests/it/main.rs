//! The authorizer from outside: the engine by its interface, the rest over HTTP on loopback above a real log.
#![cfg(test)]

mod approvals;
mod authentication;
mod authzen;
mod bad_input;
mod canary;
mod clock;
mod decisions;
mod durability;
mod engine;
mod evidence;
mod executions;
mod folding;
mod freeze;
mod governance;
mod idempotency;
mod issuing;
mod lineage;
mod listening;
mod metrics;
mod model;
mod operational;
mod privacy;
mod queue;
mod quotas;
mod replay;
mod revocations;
mod scopes;
mod search;
mod shadow;
mod signatures;
mod simulation;
mod starting;
mod statements;
mod strangers;
mod support;
