//! The start of CMD: CMD does not run before a guardian watches its process group.
//!
//! The process that becomes CMD starts as this program, with a socket as its standard input. Through the
//! socket it receives the standard input for CMD, which is also the order to begin. If the socket closes
//! instead, the parent has died, and the process exits.

use std::{
    ffi::OsString,
    io::{self, IoSlice, IoSliceMut, Write as _},
    mem::MaybeUninit,
    os::{
        fd::{AsFd as _, OwnedFd},
        unix::process::CommandExt as _,
    },
    process::{Child, Command, ExitCode, Stdio},
};

use nix::sys::signal::{SigSet, Signal};
use rustix::net::{
    AddressFamily, RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, SendAncillaryBuffer,
    SendAncillaryMessage, SendFlags, SocketFlags, SocketType, recvmsg, sendmsg, socketpair,
};

use crate::{
    console::printable,
    exec::reexec::{LAUNCH, QUIET_LAUNCH, reexec},
    exit::code,
};

/// A process that will become the command.
#[derive(Debug)]
pub(crate) struct Launch {
    pub(crate) process: Child,
    go: OwnedFd,
}

impl Launch {
    /// Starts the process in a new process group.
    pub(crate) fn prepare(
        command: &[OsString],
        variables: &[(&str, String)],
        quiet: bool,
    ) -> io::Result<Self> {
        let (go, stdin) =
            socketpair(AddressFamily::UNIX, SocketType::STREAM, SocketFlags::CLOEXEC, None)?;
        let process = reexec(if quiet { QUIET_LAUNCH } else { LAUNCH })?
            .args(command)
            .envs(variables.iter().map(|(name, value)| (name, value)))
            .stdin(Stdio::from(stdin))
            .process_group(0)
            .spawn()?;
        Ok(Self { process, go })
    }

    /// Orders the process to become the command.
    pub(crate) fn begin(&self) -> io::Result<()> {
        let stdin = io::stdin();
        let stdin = [stdin.as_fd()];
        let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(1))];
        let mut control = SendAncillaryBuffer::new(&mut space);
        control.push(SendAncillaryMessage::ScmRights(&stdin));
        sendmsg(&self.go, &[IoSlice::new(b"!")], &mut control, SendFlags::NOSIGNAL)?;
        Ok(())
    }
}

/// Waits for the order, then becomes the command. Returns only if that fails.
pub(crate) fn become_command(command: &[OsString], quiet: bool) -> ExitCode {
    let Some((program, args)) = command.split_first() else { return ExitCode::from(code::USAGE) };
    // A second protection besides the guardian, on systems that have it.
    #[cfg(any(target_os = "linux", target_os = "android"))]
    let _ = rustix::process::set_parent_process_death_signal(Some(rustix::process::Signal::KILL));
    match receive_stdin() {
        Ok(Some(stdin)) if rustix::stdio::dup2_stdin(&stdin).is_ok() => {}
        _ => return ExitCode::from(code::INTERNAL),
    }
    let error = Command::new(program).args(args).exec();
    // The lookup of the command found the file before the lock was requested.
    let (code, next) = match error.kind() {
        io::ErrorKind::NotFound => (
            code::NOT_FOUND,
            ". If the file exists, check that the interpreter in its first line (#!) exists",
        ),
        _ => (code::NOT_EXECUTABLE, ""),
    };
    if !quiet {
        report(&format!("leasehold: cannot execute `{}`: {error}{next}", program.display()));
    }
    ExitCode::from(code)
}

/// Prints a line after an `exec` that failed. An output that cannot be written changes no exit code.
fn report(line: &str) {
    // `exec` has set the default action of this signal.
    let mut pipe = SigSet::empty();
    pipe.add(Signal::SIGPIPE);
    let _ = pipe.thread_block();
    let _ = writeln!(io::stderr(), "{}", printable(line));
}

/// The standard input for the command; `None` if the parent has died.
fn receive_stdin() -> io::Result<Option<OwnedFd>> {
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(1))];
    let mut control = RecvAncillaryBuffer::new(&mut space);
    let mut order = [0];
    let flags = RecvFlags::CMSG_CLOEXEC;
    loop {
        match recvmsg(io::stdin(), &mut [IoSliceMut::new(&mut order)], &mut control, flags) {
            Ok(received) if received.bytes == 0 => return Ok(None),
            Ok(_) => break,
            Err(rustix::io::Errno::INTR) => {}
            Err(error) => return Err(error.into()),
        }
    }
    Ok(control.drain().find_map(|message| match message {
        RecvAncillaryMessage::ScmRights(mut fds) => fds.next(),
        _ => None,
    }))
}
