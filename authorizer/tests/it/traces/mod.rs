//! Traces as a collector gets them: over HTTP into the service, over OTLP out of it.

mod collector;
mod decisions;
mod failures;
mod records;
mod requests;
