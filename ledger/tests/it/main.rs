//! The ledger through its public door, on a real disk and on one that fails.
#![cfg(test)]

mod checks;
mod common;
mod faults;
mod flips;
mod http;
mod memory;
mod proofs;
mod recovery;
mod round_trip;
mod sealing;
mod threats;
mod tiles;
mod world;
