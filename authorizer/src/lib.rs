//! What is allowed: from request to durable, signed permit. Deny is the default, the error and the timeout.

pub mod clock;
pub mod engine;
pub mod keys;
pub mod queue;
