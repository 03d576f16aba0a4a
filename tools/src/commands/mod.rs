//! One module a command.

pub mod approval;
pub mod audit;
pub mod bench;
pub mod bundle;
pub mod demo;
pub mod erase;
pub mod freeze;
pub mod init;
pub mod keys;
pub mod policy;
pub mod receipt;
pub mod replay;
pub mod revoke;
pub mod serve;
pub mod switch;
pub mod trace;
pub mod transfer;
pub mod verify;
pub mod watch;
