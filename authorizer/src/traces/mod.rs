//! OpenTelemetry traces: where the time of one request goes, for an operator with a collector. Off unless asked for (`--otlp`).
//!
//! One server span for each traced request of the decision API's listener, by OpenTelemetry's HTTP conventions, and below it the steps that
//! a decision goes through, and those of everything else that is recorded. `README.md` beside this file says what is in them.
//!
//! Why not the `opentelemetry-otlp` crate: it brings an SDK with its own clock, thread, queue and environment variables, and a builder by
//! which any string becomes an attribute. What is needed is one message of a dozen fields (`otlp.rs`), written from closed lists; so nothing
//! of a request *can* reach a span. Tests read the message with the project's own types (`opentelemetry-proto`).
//!
//! Guarantees: a decision never waits for a collector nor changes by it: what it leaves behind is pushed into a bounded queue or counted as
//! dropped. Beside numbers, names of closed lists and paths' patterns nothing is exported but a trace's and a parent's id and the sampling
//! numbers of `tracestate`, all of fixed form. Does not: promise that a span arrives; propagate a context, since no request follows from one.

mod bound;
mod collector;
mod context;
mod exporter;
mod otlp;
mod tracer;
mod unit;

pub use collector::{Collector, NoCollector};
pub use exporter::Spans;
pub use tracer::{NoRatio, Options, Ratio, Served, Tracer};
pub use unit::{Open, Queued, Recorded, Shares, Step, Trace, decided, queued, recorded, step, within};
