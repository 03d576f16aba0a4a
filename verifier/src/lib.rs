//! What is true: the formats of the log and the checks that a stranger makes.
//!
//! Pure: no I/O, no clock, no threads. Whoever audits this one crate knows what a permit means.
#![forbid(unsafe_code)]

pub mod checkpoint;
pub mod hash;
pub mod note;
pub mod proof;
pub mod receipt;
pub mod text;
pub mod tile;
