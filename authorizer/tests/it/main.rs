//! The authorizer from outside, one module per part.
#![expect(clippy::indexing_slicing, clippy::unwrap_used, reason = "helpers of tests may panic as the tests do")]

mod engine;
