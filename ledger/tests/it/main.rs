//! The ledger through its public door, on a real disk and on one that fails.
#![cfg(test)]

mod arrival;
mod backup;
mod checks;
mod common;
mod erasing;
mod faults;
mod flips;
mod freeze;
mod http;
mod leaks;
mod memory;
mod opening;
mod own;
mod proofs;
mod recovery;
mod round_trip;
mod sealing;
mod threats;
mod tiles;
mod transfer;
mod world;
