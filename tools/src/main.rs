//! The `interlock` command. `main` parses, runs one command and exits with its code; the commands are in `commands`.

#![cfg_attr(not(test), deny(clippy::print_stdout, clippy::print_stderr))] // see output.rs

use std::process::ExitCode;

use clap::{Parser, Subcommand};

mod client;
mod commands;
mod exit;
mod files;
mod house;
mod output;
mod remote;
mod summary;
mod trace;
mod watch;

use commands::{
    approval, audit, bench, demo, erase, freeze, init, keys, policy, receipt, replay, revoke, serve, switch,
    trace as trace_command, transfer, verify, watch as watch_command,
};
use exit::{Exit, Failure};
use output::note;

/// What a worker allocates the sequencer frees, and the other way round, tens of times a decision.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// The safety interlock for AI agents: deny execution unless verified.
#[derive(Debug, Parser)]
#[command(
    name = "interlock",
    version,
    about,
    after_help = "Begin with `interlock demo`. Exit codes: 0 verified, 1 invalid, 2 usage, \
    3 undecidable, 4 unavailable, 5 not anchored in a trusted key, 6 quorum of witnesses not met, 7 fork, 8 stale."
)]
struct Interlock {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    Init(init::Init),
    Serve(serve::Serve),
    Demo(demo::Demo),
    #[command(subcommand)]
    Policy(policy::Policy),
    #[command(subcommand)]
    Keys(keys::Keys),
    Switch(switch::Switch),
    Erase(erase::Erase),
    Revoke(revoke::Revoke),
    #[command(subcommand)]
    Approval(approval::ApprovalCommand),
    Freeze(freeze::Freeze),
    Trace(trace_command::Trace),
    Receipt(receipt::Fetch),
    Verify(verify::Verify),
    Watch(watch_command::Watch),
    Export(transfer::Export),
    Import(transfer::Import),
    Backup(transfer::Backup),
    Audit(audit::Audit),
    Replay(replay::Replay),
    Fsck(audit::Fsck),
    #[command(subcommand)]
    Bench(bench::Bench),
}

impl Interlock {
    fn run(self) -> Result<Exit, Failure> {
        match self.command {
            Command::Init(command) => command.run(),
            Command::Serve(command) => command.run(),
            Command::Demo(command) => command.run(),
            Command::Policy(command) => command.run(),
            Command::Keys(command) => command.run(),
            Command::Switch(command) => command.run(),
            Command::Erase(command) => command.run(),
            Command::Revoke(command) => command.run(),
            Command::Approval(command) => command.run(),
            Command::Freeze(command) => command.run(),
            Command::Trace(command) => command.run(),
            Command::Receipt(command) => command.run(),
            Command::Verify(command) => command.run(),
            Command::Watch(command) => command.run(),
            Command::Export(command) => command.run(),
            Command::Import(command) => command.run(),
            Command::Backup(command) => command.run(),
            Command::Audit(command) => command.run(),
            Command::Replay(command) => command.run(),
            Command::Fsck(command) => command.run(),
            Command::Bench(command) => command.run(),
        }
    }
}

fn main() -> ExitCode {
    let result = Interlock::parse().run();
    result
        .unwrap_or_else(|failure| {
            if let Some(message) = failure.message() {
                note!("interlock: {message}");
            }
            failure.exit
        })
        .into()
}
