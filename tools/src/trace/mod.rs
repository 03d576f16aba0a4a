//! Recorded agent traffic as native requests: one pure adapter per format.

pub mod airline;
