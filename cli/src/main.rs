//! `leasehold`: locks and leader election on Kubernetes Leases, for the command line.
//!
//! ```text
//!  leasehold ── renews the Lease ─────────────────────────► API server
//!      │  └─── deadline (pipe) ──► guardian ── KILL, at the deadline or when the pipe closes ─┐
//!      └── signals, TERM, KILL ──► CMD and what it starts: a process group of its own ◄───────┘
//! ```
//!
//! The guardian is this program again, in a process that waits for one thing only. So the group dies in
//! time also while `leasehold` itself is stopped, blocked or dead.

mod acquire;
mod args;
mod chain;
#[cfg(test)]
mod chart;
mod clock;
mod command;
mod connect;
mod demo;
mod elect;
mod failure;
mod guardian;
mod help;
mod hold;
mod install;
mod job;
mod label;
mod launch;
mod lock;
mod log;
mod look;
mod manual;
mod news;
mod notices;
mod output;
mod page;
mod plugin;
mod pod;
mod reexec;
mod release;
mod rows;
mod run;
mod serve;
mod sidecar;
mod signals;
mod stage;
mod stands;
mod start;
mod table;
mod terminal;
mod trouble;
mod writes;

use std::{ffi::OsString, process::ExitCode};

use crate::{
    args::{Args, Command, DemoArgs},
    failure::{Failure, Outcome, code},
};

fn main() -> ExitCode {
    let words: Vec<OsString> = std::env::args_os().collect();
    match words.get(1).and_then(|word| word.to_str()) {
        Some(reexec::GUARDIAN) => return guardian::watch(),
        Some(reexec::LAUNCH) => return launch::become_command(&words[2..]),
        _ => {}
    }
    match Args::read(words) {
        Ok(args) => conclude(args.quiet(), run(args)),
        Err(usage) => {
            let _ = usage.print();
            if usage.use_stderr() { ExitCode::from(code::USAGE) } else { ExitCode::SUCCESS }
        }
    }
}

fn run(args: Args) -> Outcome {
    log::begin(args.quiet(), args.verbose());
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(|error| Failure::internal("no runtime", &error))?;
    let outcome = runtime.block_on(async {
        match args.command {
            Command::Lock(args) => lock::run(args).await,
            Command::Elect(args) => elect::run(args).await,
            Command::Members(args) => look::members(args).await,
            Command::Status(args) => look::status(args).await,
            Command::Watch(args) => look::watch(args).await,
            Command::Release(args) => release::run(args).await,
            Command::Install(args) => install::run(&args),
            Command::Demo(DemoArgs { serve: Some(address) }) => stage::run(address).await,
            Command::Demo(DemoArgs { serve: None }) => demo::play()
                .await
                .map(|()| code::SUCCESS)
                .map_err(|what| Failure::new(code::INTERNAL, format!("the demonstration: {what}"))),
            Command::Schema => Ok(manual::schema()),
            Command::Completions { shell } => Ok(manual::completions(shell)),
            Command::Man => Ok(manual::page()),
        }
    });
    // A name that is still being looked up must not keep the program.
    runtime.shutdown_background();
    outcome
}

/// Says what went wrong, on one line, and how the program ends.
fn conclude(quiet: bool, outcome: Outcome) -> ExitCode {
    match outcome {
        Ok(code) => ExitCode::from(code),
        Err(failure) => {
            if let Some(line) = failure.line().filter(|_| !quiet) {
                eprintln!("leasehold: {line}");
            }
            ExitCode::from(failure.code())
        }
    }
}
