//! The verifier against vectors, schemas and oracles that are not its own.

mod records;
