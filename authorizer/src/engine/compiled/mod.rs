//! The compiled engine: an epoch's policies as one flat program, with plain Cedar's answers. See `README.md` here.

mod compile;
mod engine;
mod entities;
mod evaluate;
mod extensions;
mod index;
mod number;
mod operators;
mod pattern;
mod program;
mod scratch;
mod slots;
mod table;
#[cfg(test)]
mod tests;
mod trial;
mod types;
mod value;

pub(super) use engine::{CompiledCedar, Shared};
pub(super) use trial::{REQUESTS, differs};
