//! The `interlock` command as its users run it: the real binary, real files, real HTTP on loopback.
#![cfg(test)]

mod agentdojo;
mod airline;
mod approving;
mod bundling;
mod damage;
mod descriptors;
mod erasing;
mod failure;
mod fake;
mod house;
mod imports;
mod interop;
mod kills;
mod load;
mod printing;
mod public_rate;
mod rules;
mod sandbox;
mod snapshots;
mod strace;
mod tracing;
mod transfer;
mod walk;
mod watching;
mod witnesses;
