//! The verifier against vectors, schemas and oracles that are not its own. Each module tests one format or one family of
//! attacks.
#![cfg(test)]

mod bundles;
mod corpus;
mod cose;
mod cosignatures;
mod format;
mod forms;
mod freeze;
mod guard;
mod many;
#[path = "../../../testdata/mutate.rs"]
mod mutate;
mod mutations;
mod notes;
mod oracle;
mod pages;
mod program;
mod receipts;
mod records;
mod signatures;
mod site;
mod spelling;
mod support;
mod tiles;
mod trees;
mod uses;
mod vector;
