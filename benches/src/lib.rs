//! Workloads with named seeds, and what measures them; `interlock bench` and the criterion benches run them.

pub mod checks;
pub mod cpu;
pub mod echo;
pub mod ledger;
pub mod load;
pub mod open;
pub mod policy;
pub mod random;
pub mod signed;
pub mod sizes;
pub mod soak;
pub mod tiles;
