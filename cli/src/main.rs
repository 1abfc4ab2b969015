//! The program `leasehold`: locks and leader election on Kubernetes Leases or on etcd, for the command line.
//!
//! ```text
//!  leasehold ── renews the Lease ─────────────────────────► API server, or etcd
//!      │  └─── deadline (pipe) ──► guardian ── KILL, at the deadline or when the pipe closes ─┐
//!      └── signals, TERM, KILL ──► CMD and its children: a separate process group     ◄───────┘
//! ```
//!
//! The guardian is this program in a second process that waits for the deadline only. It kills the group in
//! time even while `leasehold` itself is stopped, blocked or dead.
//!
//! Each folder uses only the folders to its right, besides `clock`, `console` and `exit`:
//!
//! ```text
//!  main ─► commands ─► cli ─► sidecar ─┬─► output
//!                                      └─► cluster ─► exec
//! ```

// These macros panic if stderr cannot be written, and would change the exit code.
#![warn(clippy::print_stderr)]

mod backend;
mod cli;
mod clock;
mod cluster;
mod commands;
mod console;
mod exec;
mod exit;
mod log;
mod output;
mod sidecar;

use std::{
    ffi::OsString, io, os::unix::net::UnixStream, process::ExitCode, thread, time::Duration,
};

use tokio::runtime::Runtime;

use crate::{
    cli::args::{Args, Command},
    commands::{demo, elect, events, install, list, lock, manual, prune, release, sessions},
    exec::{guardian, launch, reexec, signals::unless_signalled},
    exit::{Failure, Outcome, code},
    output::stdout,
};

/// Longer than any process runs.
const FOREVER: Duration = Duration::from_secs(u32::MAX as u64);

fn main() -> ExitCode {
    let words: Vec<OsString> = std::env::args_os().collect();
    match words.get(1).and_then(|word| word.to_str()) {
        Some(reexec::GUARDIAN) => return guardian::watch(),
        Some(reexec::LAUNCH) => return launch::become_command(&words[2..], false),
        Some(reexec::QUIET_LAUNCH) => return launch::become_command(&words[2..], true),
        _ => {}
    }
    match Args::read(&words) {
        Ok(args) => conclude(args.quiet(), run(args)),
        Err(usage) if usage.use_stderr() => {
            let _ = usage.print();
            ExitCode::from(code::USAGE)
        }
        Err(help) => {
            stdout::taken(help.print());
            conclude(false, Ok(code::SUCCESS))
        }
    }
}

fn run(args: Args) -> Outcome {
    log::begin(args.quiet(), args.verbose());
    check_files().map_err(|error| Failure::internal("cannot start the async runtime", &error))?;
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .thread_keep_alive(FOREVER)
        .build()
        .map_err(|error| Failure::internal("cannot start the async runtime", &error))?;
    start_thread(&runtime)?;
    let outcome = runtime.block_on(async {
        match args.command {
            Command::Lock(args) => lock::run(args).await,
            Command::Elect(args) => elect::run(*args).await,
            Command::Demo(args) => demo::run(args).await,
            Command::Members(args) => unless_signalled(list::members(args)).await,
            Command::Status(args) => unless_signalled(list::status(args)).await,
            Command::Watch(args) => unless_signalled(events::run(args)).await,
            Command::Release(args) => unless_signalled(release::run(args)).await,
            Command::Sessions(args) => unless_signalled(sessions::run(args)).await,
            Command::Prune(args) => unless_signalled(prune::run(args)).await,
            Command::Install(args) => install::run(&args),
            Command::Schema => Ok(manual::schema()),
            Command::Completions { shell } => Ok(manual::completions(shell)),
            Command::Man => Ok(manual::page()),
        }
    });
    // A DNS query that is still running must not delay the exit.
    runtime.shutdown_background();
    outcome
}

/// The pairs of sockets that use as many files as the start of the runtime.
const PAIRS: usize = 4;

/// Opens as many files as the runtime does at its start, and closes them: the runtime panics if it cannot open its own.
fn check_files() -> io::Result<()> {
    (0..PAIRS).map(|_| UnixStream::pair()).collect::<io::Result<Vec<_>>>().map(drop)
}

/// Starts the thread that resolves names and prints, and that lives as long as the program.
///
/// A renewal on a new connection may need it, and the command may have used up all processes of the user or of the
/// container by then. Without any thread the runtime panics, and the lock would be lost.
fn start_thread(runtime: &Runtime) -> Outcome<()> {
    // The runtime panics if it cannot start its first thread.
    let possible = thread::Builder::new().spawn(|| ()).map(|thread| drop(thread.join()));
    possible.map_err(|error| Failure::internal("cannot start a thread", &error))?;
    drop(runtime.spawn_blocking(|| ()));
    Ok(())
}

/// Success only if the output is complete.
fn complete(code: u8) -> Outcome {
    match stdout::failure().filter(|_| code == code::SUCCESS) {
        Some(error) => {
            let what = "the output is not complete, because it could not be written";
            Err(Failure::internal(what, error))
        }
        None => Ok(code),
    }
}

/// Prints the failure on one line, and returns the exit code.
fn conclude(quiet: bool, outcome: Outcome) -> ExitCode {
    let code = match outcome.and_then(complete) {
        Ok(code) => ExitCode::from(code),
        Err(failure) => {
            if let Some(line) = failure.line().filter(|_| !quiet) {
                console::report(line);
            }
            ExitCode::from(failure.code())
        }
    };
    console::flush();
    code
}
