//! The ledger through its public door, on a real disk and on one that fails.
#![cfg(test)]

mod common;
mod http;
mod recovery;
mod round_trip;
