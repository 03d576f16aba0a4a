//! What strangers can look for in a log that has no search index: decisions by what is disclosed of them, and acts of governance.

mod acts;
mod csv;
mod filter;
mod scan;

pub use acts::{ActAt, Acts, MAX_ACTS, acts, newest};
pub use csv::csv;
pub use filter::{Filter, Seen};
pub use scan::{Found, Looked, MAX_DETAILS, MAX_LEAVES, MAX_LIMIT, found, look};
