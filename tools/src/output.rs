//! The one way to standard output and standard error.
//!
//! Guarantees: a reader that has gone (a closed pipe) ends the command quietly with exit code 4, any other error of standard output with
//! its reason; nothing panics. What is said on standard error is said as far as somebody listens.

use std::fmt::Display;
use std::io::{ErrorKind, Write};

use crate::exit::Failure;

/// Prints a line; `?` ends the command where nobody reads any more.
macro_rules! say {
    ($($what:tt)*) => { $crate::output::print(format!("{}\n", format_args!($($what)*))) };
}

/// Says a line on standard error.
macro_rules! note {
    ($($what:tt)*) => { $crate::output::tell(format_args!($($what)*)) };
}

pub(crate) use {note, say};

/// Writes bytes to standard output as they are, and sees them off.
pub fn print(content: impl AsRef<[u8]>) -> Result<(), Failure> {
    let mut out = std::io::stdout().lock();
    out.write_all(content.as_ref()).and_then(|()| out.flush()).map_err(|error| match error.kind() {
        ErrorKind::BrokenPipe => Failure::quiet(),
        _ => Failure::unavailable(format!("standard output: {error}")),
    })
}

/// Says a line on standard error.
pub fn tell(line: impl Display) {
    // In one piece, so that threads that speak at once do not cut each other's lines. Who closed it does not want to know.
    let _ = std::io::stderr().write_all(format!("{line}\n").as_bytes());
}
