//! The ledger through its public door, on a real disk and on one that fails.
#![expect(clippy::unwrap_used, reason = "a test that cannot go on fails")]

mod common;
mod recovery;
mod round_trip;
