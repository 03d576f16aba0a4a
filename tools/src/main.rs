//! The `interlock` command.

#[cfg_attr(not(test), expect(dead_code, reason = "the command that sends recorded traffic is not there yet"))]
mod trace;

fn main() {}
