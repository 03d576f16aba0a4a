//! What is true: the formats of the log and the checks that a stranger makes.
//!
//! Pure: no I/O, no clock, no threads. Whoever audits this one crate knows what a permit means.
#![forbid(unsafe_code)]

pub mod act;
pub mod approval;
pub mod bundle;
pub mod cbor;
pub mod checkpoint;
pub mod cose;
pub mod cosignature;
pub mod decision;
pub mod detail;
pub mod epoch;
pub mod event;
pub mod evidence;
pub mod freeze;
pub mod guard;
pub mod hash;
pub mod http_signature;
pub mod json;
pub mod note;
pub mod policy;
pub mod proof;
pub mod receipt;
pub mod record;
pub mod request;
pub mod site;
pub mod text;
pub mod tile;
#[cfg(feature = "uses-file")]
pub mod uses_file;
pub mod verify;
