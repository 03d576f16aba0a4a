//! Workloads with named seeds, and what measures them; `interlock bench` and the criterion benches run them.

pub mod ledger;
pub mod policy;
